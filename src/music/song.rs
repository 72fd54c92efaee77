//! A melody with its tempo and metre map: what a file or a finished recording holds.

use super::{Bar, BarIndex, Meter, Note, TICKS_PER_QUARTER, Ticks, in_quarters};

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TempoChange {
    /// Ticks from the start of the song.
    pub at: Ticks,
    /// Quarter notes a minute.
    pub quarters_per_minute: f64,
}

/// A melody on the song's own timeline.
#[derive(Debug, Clone, PartialEq)]
pub struct Song {
    /// By start, then key.
    pub melody: Vec<Note>,
    /// By time; the first at 0.
    pub tempos: Vec<TempoChange>,
    /// By time; the first at 0.
    pub meters: Vec<(Ticks, Meter)>,
}

impl Default for Song {
    fn default() -> Self {
        Self {
            melody: Vec::new(),
            tempos: vec![TempoChange { at: 0, quarters_per_minute: 120.0 }],
            meters: vec![(0, Meter::COMMON)],
        }
    }
}

impl Song {
    /// End of the last melody note.
    pub fn end(&self) -> Ticks {
        self.melody.iter().map(Note::end).max().unwrap_or(0)
    }

    /// Quarter notes a minute at a place in the song.
    pub fn tempo_at(&self, position: Ticks) -> f64 {
        let next = self.tempos.partition_point(|change| change.at <= position);
        self.tempos[next.saturating_sub(1)].quarters_per_minute
    }

    /// Seconds from the start of the song to a position in quarter notes.
    pub fn seconds_at(&self, quarters: f64) -> f64 {
        let mut seconds = 0.0;
        for (index, change) in self.tempos.iter().enumerate() {
            let start = in_quarters(change.at);
            let end = self.tempos.get(index + 1).map_or(quarters, |next| in_quarters(next.at).min(quarters));
            if end > start {
                seconds += (end - start) * 60.0 / change.quarters_per_minute;
            }
        }
        seconds
    }

    /// The bars from the start until the melody has ended. A metre that changes inside a bar cuts that bar short.
    pub fn bars(&self) -> impl Iterator<Item = Bar> {
        self.bars_until(self.end())
    }

    /// The bars that begin before `end`, in the metres of the song.
    pub fn bars_until(&self, end: Ticks) -> impl Iterator<Item = Bar> {
        let mut next = (0 < end).then(|| self.bar_from(BarIndex(0), 0));
        std::iter::from_fn(move || {
            let bar = next?;
            let following = self.bar_from(BarIndex(bar.index.0 + 1), bar.end());
            next = (following.start < end).then_some(following);
            Some(bar)
        })
    }

    fn bar_from(&self, index: BarIndex, start: Ticks) -> Bar {
        let change = self.meters.partition_point(|(at, _)| *at <= start);
        let meter = self.meters[change.saturating_sub(1)].1;
        let cut = self.meters.get(change).map_or(Ticks::MAX, |(at, _)| *at) - start;
        let meter = if cut < meter.bar_length() { meter_of_length(cut).unwrap_or(meter) } else { meter };
        Bar { index, start, meter }
    }
}

/// A metre whose bar has this length, in the largest unit that fits.
fn meter_of_length(length: Ticks) -> Option<Meter> {
    [4, 8, 16].into_iter().find_map(|unit| {
        let unit_length = 4 * TICKS_PER_QUARTER / unit;
        (length % unit_length == 0).then(|| Meter::new(i64::from(length / unit_length), i64::from(unit)).ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::music::{Key, Velocity};

    #[test]
    fn bars_follow_the_metre_map_and_a_pickup() {
        let meter = |beats, unit| Meter::new(beats, unit).expect("usual");
        let song = Song {
            melody: vec![Note { start: 150, key: Key::folded(60), duration: 12, velocity: Velocity::default() }],
            meters: vec![(0, meter(1, 4)), (12, meter(4, 4)), (96, meter(3, 4))],
            ..Song::default()
        };
        let bars: Vec<(Ticks, String)> = song.bars().map(|bar| (bar.start, bar.meter.to_string())).collect();
        let expected = [(0, "1/4"), (12, "4/4"), (60, "3/4"), (96, "3/4"), (132, "3/4")];
        assert_eq!(bars, expected.map(|(start, meter)| (start, meter.to_owned())));
    }

    #[test]
    fn seconds_follow_the_tempo_map() {
        let tempo = |at, quarters_per_minute| TempoChange { at, quarters_per_minute };
        let song = Song { tempos: vec![tempo(0, 60.0), tempo(48, 120.0)], ..Song::default() };
        assert!((song.seconds_at(2.0) - 2.0).abs() < 1e-9);
        assert!((song.seconds_at(6.0) - 5.0).abs() < 1e-9);
        assert_eq!(song.tempo_at(47), 60.0);
        assert_eq!(song.tempo_at(48), 120.0);
    }
}
