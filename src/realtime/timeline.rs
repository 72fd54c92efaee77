//! Where we are in the song: makes one steady timeline of what the host says. Runs on the audio thread.

use super::HostTransport;
use crate::music::{Bar, BarIndex, Meter, TICKS_PER_QUARTER, Ticks};

/// A block's place in the song.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Span {
    /// Position of the block's first sample, in quarter notes.
    pub start: f64,
    /// The last tick that the take has reached. It never goes back.
    pub tick: Ticks,
    pub quarters_per_sample: f64,
    pub quarters_per_minute: f64,
    /// The bar in which the block starts.
    pub bar: Bar,
}

impl Span {
    /// Position `sample` samples into the block.
    pub fn position(&self, sample: u32) -> f64 {
        self.start + f64::from(sample) * self.quarters_per_sample
    }

    /// The first sample at or after a position; 0 for positions before the block, more than any block for later ones.
    ///
    /// The tolerance keeps a position that falls on a sample there, whatever block size it is computed from.
    pub fn sample(&self, position: f64) -> u32 {
        const TOLERANCE_SAMPLES: f64 = 1e-3;
        let samples = (position - self.start) / self.quarters_per_sample - TOLERANCE_SAMPLES;
        // A cast from a float saturates.
        samples.ceil().max(0.0) as u32
    }
}

/// What happened to the transport between the last block and this one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Movement {
    /// Stands still, as before.
    Stopped,
    /// Has just stopped, at this position in quarter notes.
    Stops { at: f64 },
    /// Starts, or jumps (a loop's end, a click on the ruler).
    Starts(Span),
    /// Goes on.
    Continues(Span),
}

/// The host's transport made steady: jumps are told from jitter, bars are counted through changes of metre, and
/// a clock of its own runs where the host gives no positions.
#[derive(Debug)]
pub struct Timeline {
    /// Runs while the transport does.
    clock: Option<Clock>,
    bar: Bar,
    /// The furthest that a block of this take began, in quarter notes: jitter does not take it back over a bar line.
    furthest: f64,
}

const DEFAULT_TEMPO: f64 = 120.0;

impl Timeline {
    pub fn new() -> Self {
        Self { clock: None, bar: Bar::of_constant_meter(0, Meter::COMMON), furthest: 0.0 }
    }

    /// Takes the next block. `sample_rate` is more than 0.
    pub fn advance(&mut self, transport: &HostTransport, frames: u32, sample_rate: f64) -> Movement {
        if !transport.playing {
            return match self.clock.take() {
                Some(clock) => Movement::Stops { at: clock.position() },
                None => Movement::Stopped,
            };
        }
        let quarters_per_minute = sensible_tempo(transport.quarters_per_minute);
        let quarters_per_sample = quarters_per_minute / 60.0 / sample_rate;
        let told = sensible_position(transport.quarters);
        let jumped = self.jumped_to(told, quarters_per_sample);
        let mut clock = match (told, self.clock) {
            (Some(told), _) => Clock::new(told, quarters_per_sample),
            (None, Some(clock)) => clock.at_speed(quarters_per_sample),
            (None, None) => Clock::new(0.0, quarters_per_sample),
        };
        let start = clock.position();
        self.furthest = if jumped { start } else { self.furthest.max(start) };
        let tick = floor_to_tick(self.furthest);
        self.bar = self.bar_at(tick, transport, jumped);
        clock.advance(frames);
        self.clock = Some(clock);
        let span = Span { start, tick, quarters_per_sample, quarters_per_minute, bar: self.bar };
        if jumped { Movement::Starts(span) } else { Movement::Continues(span) }
    }

    /// Whether the transport starts here, or was moved. A host that names no position goes on.
    fn jumped_to(&self, told: Option<f64>, quarters_per_sample: f64) -> bool {
        let Some(clock) = self.clock else {
            return true;
        };
        let tolerance = clock.jump_tolerance();
        told.is_some_and(|told| {
            let (earliest, latest) = clock.reach(quarters_per_sample);
            !(earliest - tolerance..=latest + tolerance).contains(&told) || told < self.furthest - tolerance
        })
    }

    /// The bar that holds `tick`.
    fn bar_at(&self, tick: Ticks, transport: &HostTransport, jumped: bool) -> Bar {
        let meter = transport
            .meter
            .and_then(|(beats, unit)| Meter::new(i64::from(beats), i64::from(unit)).ok())
            .unwrap_or(if jumped { Meter::COMMON } else { self.bar.meter });
        self.bar_from_host(tick, meter, transport, jumped)
            .or_else(|| (!jumped).then(|| self.counted_bar(tick, meter)))
            .unwrap_or_else(|| Bar::at(tick, meter))
    }

    /// The bar the host names, if it can be true: some hosts leave the field at zero.
    ///
    /// Its number is believed after a jump only. From there on bars are counted: a number that stands still, as some
    /// hosts leave it, would make each bar another than the one that was expected.
    fn bar_from_host(&self, tick: Ticks, meter: Meter, transport: &HostTransport, jumped: bool) -> Option<Bar> {
        let start = sensible_position(transport.bar_start).map(floor_to_tick)?;
        let holds = start <= tick && tick < start + meter.bar_length();
        let counted = (!jumped && start >= self.bar.start).then(|| self.counted_index(start));
        let index = counted
            .or(transport.bar_number.filter(|number| number.unsigned_abs() <= MOST_BARS))
            .unwrap_or_else(|| Bar::at(start, meter).index.0);
        holds.then_some(Bar { index: BarIndex(index), start, meter })
    }

    /// Number of the bar that begins at `start`, at or after the last one. The last one may have been cut short.
    fn counted_index(&self, start: Ticks) -> i32 {
        let length = self.bar.meter.bar_length();
        self.bar.index.0 + (start - self.bar.start + length - 1) / length
    }

    /// Counts on from the last bar. A new metre begins at the bar line nearest below.
    fn counted_bar(&self, tick: Ticks, meter: Meter) -> Bar {
        let mut bar = self.bar;
        let whole_bars = (tick - bar.start) / bar.meter.bar_length();
        bar.index.0 += whole_bars;
        bar.start += whole_bars * bar.meter.bar_length();
        // A metre that changes while its bar is under way counts from the next bar line.
        if whole_bars > 0 || tick == bar.start { Bar { meter, ..bar } } else { bar }
    }
}

/// Counts samples from a known position: hours of small steps do not add up their roundings.
#[derive(Debug, Clone, Copy)]
struct Clock {
    /// In quarter notes.
    anchor: f64,
    samples: u64,
    quarters_per_sample: f64,
    /// Samples in the last block.
    block: u32,
}

impl Clock {
    fn new(anchor: f64, quarters_per_sample: f64) -> Self {
        Self { anchor, samples: 0, quarters_per_sample, block: 0 }
    }

    fn position(&self) -> f64 {
        self.anchor + self.samples as f64 * self.quarters_per_sample
    }

    fn advance(&mut self, frames: u32) {
        self.samples += u64::from(frames);
        self.block = frames;
    }

    /// The same place, from where it goes on at another speed.
    fn at_speed(self, quarters_per_sample: f64) -> Self {
        if self.quarters_per_sample == quarters_per_sample {
            return self;
        }
        Self { block: self.block, ..Self::new(self.position(), quarters_per_sample) }
    }

    /// Between which positions the next block begins if nothing special happened. The tempo may have changed anywhere
    /// in the last block, and hosts give it once a block.
    fn reach(&self, quarters_per_sample: f64) -> (f64, f64) {
        let expected = self.position();
        let at_new_speed = expected + f64::from(self.block) * (quarters_per_sample - self.quarters_per_sample);
        (expected.min(at_new_speed), expected.max(at_new_speed))
    }

    /// Hosts round positions, and some take them from a clock of their own.
    fn jump_tolerance(&self) -> f64 {
        0.02 + 0.5 * f64::from(self.block) * self.quarters_per_sample
    }
}

/// The sample rate, if it can be true: where a host leaves it at zero, a block would be longer than any song.
pub fn sensible_sample_rate(sample_rate: f64) -> f64 {
    const USUAL: f64 = 48_000.0;
    if (1000.0..=10e6).contains(&sample_rate) { sample_rate } else { USUAL }
}

/// Quarter notes a minute; 120 where the host's cannot be true.
pub fn sensible_tempo(tempo: Option<f64>) -> f64 {
    told_tempo(tempo).unwrap_or(DEFAULT_TEMPO)
}

/// Quarter notes a minute, if they can be true.
pub fn told_tempo(tempo: Option<f64>) -> Option<f64> {
    tempo.filter(|tempo| (1.0..=2000.0).contains(tempo))
}

/// Positions beyond a million quarters (five days at 120) are nonsense, and so are more bars than fit in there.
pub fn sensible_position(quarters: Option<f64>) -> Option<f64> {
    quarters.filter(|quarters| quarters.abs() < 1e6)
}

const MOST_BARS: u32 = 4_000_000;

/// The tick that `quarters` has reached. A position a hair before a tick counts as on it.
pub fn floor_to_tick(quarters: f64) -> Ticks {
    const HAIR: f64 = 1e-3;
    (quarters * f64::from(TICKS_PER_QUARTER) + HAIR).floor() as Ticks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn playing(quarters: f64) -> HostTransport {
        HostTransport {
            playing: true,
            quarters: Some(quarters),
            quarters_per_minute: Some(120.0),
            meter: Some((4, 4)),
            ..HostTransport::default()
        }
    }

    fn span_of(movement: Movement) -> Span {
        match movement {
            Movement::Starts(span) | Movement::Continues(span) => span,
            Movement::Stopped | Movement::Stops { .. } => panic!("plays"),
        }
    }

    /// Start in ticks, number, and metre.
    fn bar_of(movement: Movement) -> (Ticks, i32, String) {
        let bar = span_of(movement).bar;
        (bar.start, bar.index.0, bar.meter.to_string())
    }

    /// Which of the blocks begin a take. A quarter each at 120, unless the transport says otherwise.
    fn starts(blocks: impl IntoIterator<Item = HostTransport>) -> Vec<bool> {
        let mut timeline = Timeline::new();
        let mut advance = |transport| timeline.advance(&transport, 24_000, 48_000.0);
        blocks.into_iter().map(|transport| matches!(advance(transport), Movement::Starts(_))).collect()
    }

    #[test]
    fn jumps_are_found_by_position_not_by_the_playing_flag() {
        let mut timeline = Timeline::new();
        assert!(matches!(timeline.advance(&playing(0.0), 24_000, 48_000.0), Movement::Starts(_)));
        assert!(matches!(timeline.advance(&playing(1.0), 24_000, 48_000.0), Movement::Continues(_)));
        assert!(matches!(timeline.advance(&playing(8.0), 64, 48_000.0), Movement::Starts(_)));
        let stopped = HostTransport::default();
        assert!(matches!(timeline.advance(&stopped, 64, 48_000.0), Movement::Stops { .. }));
        assert_eq!(timeline.advance(&stopped, 64, 48_000.0), Movement::Stopped);
    }

    #[test]
    fn a_clock_of_its_own_runs_without_positions_at_the_tempo_that_is_told() {
        let mut timeline = Timeline::new();
        let mut at = |quarters_per_minute| {
            let transport = HostTransport { playing: true, quarters_per_minute, ..HostTransport::default() };
            span_of(timeline.advance(&transport, 24_000, 48_000.0)).start
        };
        assert_eq!([at(None), at(None), at(Some(60.0)), at(Some(60.0)), at(Some(240.0))], [0.0, 1.0, 2.0, 2.5, 3.0]);
    }

    #[test]
    fn the_own_clock_is_exact_after_ten_hours() {
        const SAMPLE_RATE: f64 = 44_100.0;
        const BLOCK: u32 = 1021;
        let mut timeline = Timeline::new();
        let transport = HostTransport { playing: true, quarters_per_minute: Some(113.7), ..HostTransport::default() };
        let blocks = (36_000.0 * SAMPLE_RATE) as u64 / u64::from(BLOCK);
        let last = (0..=blocks).map(|_| timeline.advance(&transport, BLOCK, SAMPLE_RATE)).last();
        let samples = blocks * u64::from(BLOCK);
        let exact = samples as f64 * 113.7 / 60.0 / SAMPLE_RATE;
        // One rounding of a number of this size, where a sum of all steps would be off by thousands.
        let found = span_of(last.expect("there are blocks")).start;
        assert!((found - exact).abs() <= 2.0 * exact * f64::EPSILON, "{found} {exact}");
    }

    #[test]
    fn a_tempo_that_changes_inside_a_block_is_no_jump() {
        for (from, to) in [(60.0, 240.0), (240.0, 60.0), (20.0, 400.0), (120.0, 121.0)] {
            // The change comes anywhere in the first block; the position says where that has led.
            for share in [0.0, 0.3, 0.5, 1.0] {
                let reached = (share * from + (1.0 - share) * to) / 120.0;
                let at = |tempo, quarters| HostTransport { quarters_per_minute: Some(tempo), ..playing(quarters) };
                assert_eq!(starts([at(from, 0.0), at(to, reached)]), [true, false], "{from} to {to}, {share} in");
            }
        }
    }

    #[test]
    fn jitter_does_not_go_back_over_a_bar_line() {
        let mut timeline = Timeline::new();
        let mut bars = Vec::new();
        for quarters in [3.98, 4.001, 3.995, 4.004] {
            // The host's bar goes back with its position.
            let bar_start = Some(if quarters < 4.0 { 0.0 } else { 4.0 });
            let transport = HostTransport { bar_start, ..playing(quarters) };
            let movement = timeline.advance(&transport, 64, 48_000.0);
            bars.push((span_of(movement).bar.index.0, matches!(movement, Movement::Starts(_))));
        }
        assert_eq!(bars, [(0, true), (1, false), (1, false), (1, false)]);
    }

    #[test]
    fn going_back_in_small_steps_is_found() {
        let steps = (0..20).map(|step| playing(8.0 - 0.4 * f64::from(step)));
        let mut timeline = Timeline::new();
        let jumps = steps.filter(|at| matches!(timeline.advance(at, 24_000, 48_000.0), Movement::Starts(_))).count();
        assert!(jumps > 5, "{jumps}");
    }

    #[test]
    fn bars_are_counted_through_a_change_of_metre() {
        let mut timeline = Timeline::new();
        let mut bars = Vec::new();
        for quarter in 0..12 {
            let meter = if quarter < 4 { (4, 4) } else { (3, 4) };
            let transport = HostTransport { meter: Some(meter), ..playing(f64::from(quarter)) };
            bars.push(bar_of(timeline.advance(&transport, 24_000, 48_000.0)));
        }
        assert_eq!(bars[3], (0, 0, "4/4".into()));
        assert_eq!(bars[4], (48, 1, "3/4".into()));
        assert_eq!(bars[7], (84, 2, "3/4".into()));
        assert_eq!(bars[11], (120, 3, "3/4".into()));
    }

    #[test]
    fn a_bar_that_is_cut_short_is_counted() {
        let mut timeline = Timeline::new();
        // The third bar ends after two quarters; VST3 has no bar numbers.
        for (quarter, bar_start) in [(7, 4), (8, 8), (9, 8)] {
            let bar_start = Some(f64::from(bar_start));
            timeline.advance(&HostTransport { bar_start, ..playing(f64::from(quarter)) }, 24_000, 48_000.0);
        }
        let next = HostTransport { bar_start: Some(10.0), ..playing(10.0) };
        assert_eq!(bar_of(timeline.advance(&next, 24_000, 48_000.0)), (120, 3, "4/4".into()));
    }

    #[test]
    fn a_bar_number_that_stands_still_is_not_believed() {
        let mut timeline = Timeline::new();
        let bars = (0..9).map(|quarter| {
            let bar_start = Some(f64::from(quarter / 4 * 4));
            let transport = HostTransport { bar_start, bar_number: Some(0), ..playing(f64::from(quarter)) };
            bar_of(timeline.advance(&transport, 24_000, 48_000.0))
        });
        let starts: Vec<(Ticks, i32)> = bars.map(|(start, index, _)| (start, index)).collect();
        assert_eq!((starts[3], starts[4], starts[8]), ((0, 0), (48, 1), (96, 2)));
    }

    #[test]
    fn nonsense_from_the_host_gives_a_sensible_place() {
        for transport in [
            HostTransport { quarters: Some(f64::NAN), ..playing(0.0) },
            HostTransport { quarters_per_minute: Some(0.0), ..playing(3.0) },
            HostTransport { meter: Some((0, -4)), ..playing(3.0) },
            HostTransport { bar_start: Some(f64::INFINITY), bar_number: Some(7), ..playing(3.0) },
            HostTransport { bar_start: Some(0.0), bar_number: Some(i32::MAX), ..playing(3.0) },
            HostTransport { quarters: Some(1e300), ..playing(0.0) },
        ] {
            let mut timeline = Timeline::new();
            let (start, index, _) = bar_of(timeline.advance(&transport, 64, 48_000.0));
            assert_eq!((start, index), (0, 0), "{transport:?}");
        }
        for sample_rate in [0.0, -1.0, 1e-9, f64::NAN, f64::INFINITY] {
            assert_eq!(sensible_sample_rate(sample_rate), 48_000.0);
        }
    }
}
