//! Where we are in the song: makes one steady timeline of what the host says. Runs on the audio thread.

use super::HostTransport;
use crate::music::{Bar, BarIndex, Meter, TICKS_PER_QUARTER, Ticks};

/// A block's place in the song.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Span {
    /// Position of the block's first sample, in quarter notes.
    pub start: f64,
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
/// a clock of its own runs where the host has none.
#[derive(Debug)]
pub struct Timeline {
    /// Where the next block should begin if nothing special happens; `None` while stopped.
    expected: Option<f64>,
    bar: Bar,
}

const DEFAULT_TEMPO: f64 = 120.0;

impl Timeline {
    pub fn new() -> Self {
        Self { expected: None, bar: Bar::of_constant_meter(0, Meter::COMMON) }
    }

    /// Takes the next block. `frames` may be 0.
    pub fn advance(&mut self, transport: &HostTransport, frames: u32, sample_rate: f64) -> Movement {
        if !transport.playing {
            return match self.expected.take() {
                Some(at) => Movement::Stops { at },
                None => Movement::Stopped,
            };
        }
        let quarters_per_minute = sensible_tempo(transport.quarters_per_minute);
        let quarters_per_sample = quarters_per_minute / 60.0 / sample_rate.max(1.0);
        let length = f64::from(frames) * quarters_per_sample;
        let start = sensible_position(transport.quarters).or(self.expected).unwrap_or(0.0);
        let jumped = self.expected.is_none_or(|expected| (start - expected).abs() > jump_tolerance(length));
        self.bar = self.bar_at(start, transport, jumped);
        self.expected = Some(start + length);
        let span = Span { start, quarters_per_sample, quarters_per_minute, bar: self.bar };
        if jumped { Movement::Starts(span) } else { Movement::Continues(span) }
    }

    fn bar_at(&self, start: f64, transport: &HostTransport, jumped: bool) -> Bar {
        let meter = transport
            .meter
            .and_then(|(beats, unit)| Meter::new(i64::from(beats), i64::from(unit)).ok())
            .unwrap_or(if jumped { Meter::COMMON } else { self.bar.meter });
        let position = floor_to_tick(start);
        self.bar_from_host(position, meter, transport)
            .or_else(|| (!jumped).then(|| self.counted_bar(position, meter)))
            .unwrap_or_else(|| Bar::at(position, meter))
    }

    /// The bar the host names, if it can be true: some hosts leave the field at zero.
    fn bar_from_host(&self, position: Ticks, meter: Meter, transport: &HostTransport) -> Option<Bar> {
        let start = sensible_position(transport.bar_start).map(floor_to_tick)?;
        let holds = start <= position && position < start + meter.bar_length();
        let index = transport.bar_number.unwrap_or_else(|| self.counted_index(start, meter));
        holds.then_some(Bar { index: BarIndex(index), start, meter })
    }

    fn counted_index(&self, start: Ticks, meter: Meter) -> i32 {
        if start == self.bar.start {
            self.bar.index.0
        } else if start == self.bar.end() {
            self.bar.index.0 + 1
        } else {
            Bar::at(start, meter).index.0
        }
    }

    /// Counts on from the last bar. A new metre begins at the bar line nearest below.
    fn counted_bar(&self, position: Ticks, meter: Meter) -> Bar {
        let mut bar = self.bar;
        if position < bar.start {
            return Bar { meter, ..bar };
        }
        let whole_bars = (position - bar.start) / bar.meter.bar_length();
        bar.index.0 += whole_bars;
        bar.start += whole_bars * bar.meter.bar_length();
        // A metre that changes while its bar is under way counts from the next bar line.
        if whole_bars > 0 || position == bar.start { Bar { meter, ..bar } } else { bar }
    }
}

fn sensible_tempo(tempo: Option<f64>) -> f64 {
    tempo.filter(|tempo| tempo.is_finite() && (1.0..=2000.0).contains(tempo)).unwrap_or(DEFAULT_TEMPO)
}

/// Positions beyond a million quarters (five days at 120) are nonsense.
fn sensible_position(quarters: Option<f64>) -> Option<f64> {
    quarters.filter(|quarters| quarters.is_finite() && quarters.abs() < 1e6)
}

/// Hosts round positions and give a tempo once a block, so a ramp puts the next block a little off.
fn jump_tolerance(block_length: f64) -> f64 {
    0.02 + 0.5 * block_length
}

/// The tick that `quarters` has reached. A position a hair before a tick counts as on it.
fn floor_to_tick(quarters: f64) -> Ticks {
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

    fn bar_of(movement: Movement) -> (Ticks, i32, String) {
        match movement {
            Movement::Starts(span) | Movement::Continues(span) => {
                (span.bar.start, span.bar.index.0, span.bar.meter.to_string())
            }
            Movement::Stopped | Movement::Stops { .. } => panic!("plays"),
        }
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
    fn a_clock_of_its_own_runs_without_positions() {
        let mut timeline = Timeline::new();
        let transport = HostTransport { playing: true, ..HostTransport::default() };
        let mut last = 0.0;
        for _ in 0..10 {
            match timeline.advance(&transport, 24_000, 48_000.0) {
                Movement::Starts(span) | Movement::Continues(span) => last = span.start,
                Movement::Stopped | Movement::Stops { .. } => panic!("plays"),
            }
        }
        assert!((last - 9.0).abs() < 1e-9);
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
    fn nonsense_from_the_host_gives_a_sensible_place() {
        for transport in [
            HostTransport { quarters: Some(f64::NAN), ..playing(0.0) },
            HostTransport { quarters_per_minute: Some(0.0), ..playing(3.0) },
            HostTransport { meter: Some((0, -4)), ..playing(3.0) },
            HostTransport { bar_start: Some(f64::INFINITY), bar_number: Some(7), ..playing(3.0) },
            HostTransport { quarters: Some(1e300), ..playing(0.0) },
        ] {
            let mut timeline = Timeline::new();
            let (start, _, _) = bar_of(timeline.advance(&transport, 64, 0.0));
            assert_eq!(start, 0, "{transport:?}");
        }
    }
}
