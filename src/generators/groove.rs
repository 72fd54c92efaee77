//! The band plays around the beat as its drummer does: where in the bar people push or drag is learnt from drummers
//! (`docs/drums.md`), and the pitched parts go with them. Pure.
//!
//! What the accompanist has learnt from is written on a grid, so it has no timing of its own.

use super::{PartNote, SegmentAnswer};
use crate::music::{Part, TICKS_PER_QUARTER, Ticks, Timing};

/// The newest segments whose strokes count: four bars of 4/4.
const HEARD: usize = 8;
/// So many strokes exactly on the grid are thought beside those at a place: one late stroke is no groove.
const DOUBT: f64 = 2.0;

/// Where the drums have been playing around the grid.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Groove {
    /// Place in the bar and deviation, both in ticks, of each stroke.
    strokes: Vec<(Ticks, f64)>,
}

impl Groove {
    /// Of the newest of these answers. Without drums that have a timing, everything is on the grid.
    pub fn of(past: &[SegmentAnswer]) -> Self {
        let newest = &past[past.len().saturating_sub(HEARD)..];
        let strokes = newest.iter().flat_map(|answer| {
            let drums = answer.notes.iter().filter(|note| note.part == Part::Drums);
            drums.map(|stroke| (stroke.note.start - answer.segment.bar.start, stroke.timing.ticks()))
        });
        Self { strokes: strokes.collect() }
    }

    /// The note as the groove has it, in a bar that begins at `bar`: moved by the mean of the strokes at its place in the
    /// bar, where there were none of those at its place in the beat. Pads have no attack that could be late.
    pub fn applied(&self, note: PartNote, bar: Ticks) -> PartNote {
        let moves = matches!(note.part, Part::Bass | Part::Chords | Part::Counter);
        if !moves || note.timing != Timing::default() {
            return note;
        }
        let place = note.note.start - bar;
        let in_beat = |tick: Ticks| tick.rem_euclid(TICKS_PER_QUARTER);
        let mean = self.mean(|tick| tick == place).or_else(|| self.mean(|tick| in_beat(tick) == in_beat(place)));
        PartNote { timing: mean.map_or(note.timing, Timing::of_ticks), ..note }
    }

    fn mean(&self, there: impl Fn(Ticks) -> bool) -> Option<f64> {
        let (sum, count) = self
            .strokes
            .iter()
            .filter(|(tick, _)| there(*tick))
            .fold((0.0, 0.0), |(sum, count), (_, deviation)| (sum + deviation, count + 1.0));
        (count > 0.0).then(|| sum / (count + DOUBT))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::music::{Bar, Key, Meter, Note, PlanSource, PlannedChord, Velocity};
    use crate::settings::Settings;

    fn note(part: Part, start: Ticks, sixteenths: i32) -> PartNote {
        let note = Note { start, key: Key::folded(40), duration: 6, velocity: Velocity::default() };
        PartNote { timing: Timing::clamped(sixteenths), ..PartNote::on_grid(part, note) }
    }

    /// So many bars with these strokes: place in the bar, sixteenths of a tick.
    fn bars(count: i32, strokes: &[(Ticks, i32)]) -> Vec<SegmentAnswer> {
        let bars = (0..count).map(|index| Bar::of_constant_meter(index, Meter::COMMON));
        bars.flat_map(|bar| {
            bar.segments().map(move |segment| SegmentAnswer {
                segment,
                chord: PlannedChord { chord: None, source: PlanSource::Rule },
                notes: strokes
                    .iter()
                    .map(|(tick, timing)| note(Part::Drums, bar.start + tick, *timing))
                    .filter(|stroke| (segment.start()..segment.end()).contains(&stroke.note.start))
                    .collect(),
                settings: Settings::default(),
                quarters_per_minute: 100.0,
                margin: 2,
            })
        })
        .collect()
    }

    fn moved(past: &[SegmentAnswer], part: Part, place: Ticks) -> i32 {
        Groove::of(past).applied(note(part, 960 + place, 0), 960).timing.sixteenths()
    }

    #[test]
    fn the_band_drags_where_the_drummer_drags() {
        let past = bars(4, &[(0, 0), (12, 9), (18, -6)]);
        let found: Vec<_> = [0, 12, 18].map(|place| moved(&past, Part::Bass, place)).into();
        assert_eq!(found, [0, 6, -4], "two thirds of the way after four bars");
        assert_eq!(moved(&past, Part::Chords, 12), 6);
        assert_eq!(moved(&past, Part::Pad, 12), 0);
    }

    #[test]
    fn where_no_drum_is_struck_the_place_in_the_beat_counts() {
        let past = bars(4, &[(6, 8), (18, 8)]);
        assert_eq!(moved(&past, Part::Bass, 30), 6);
        assert_eq!(moved(&past, Part::Bass, 12), 0);
    }

    #[test]
    fn without_drums_everything_is_on_the_grid() {
        assert_eq!(moved(&bars(4, &[]), Part::Bass, 12), 0);
        assert_eq!(moved(&[], Part::Counter, 6), 0);
    }

    #[test]
    fn only_the_newest_bars_count() {
        let late = bars(4, &[(12, 9)]);
        let even = bars(4, &[(12, 0)]);
        let past: Vec<_> = late.into_iter().chain(even).collect();
        assert_eq!(moved(&past, Part::Bass, 12), 0);
    }
}
