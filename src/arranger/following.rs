//! Whether what is played is the tune that is known: at this place, or as it was at an earlier one. By ticks alone, so that
//! block sizes and threads do not matter.

use crate::hearing::Hearing;
use crate::ledger::Ledger;
use crate::music::{Bar, Note, Ticks};

/// A player's hand, and rounding, may be so far off.
const TOLERANCE: Ticks = 1;

/// Follows a take's melody along what the ledger knows.
#[derive(Debug, Default)]
pub struct Following {
    /// The last bar in which another melody was played than the one known.
    left_in: Option<Bar>,
}

impl Following {
    pub fn begin(&mut self) {
        self.left_in = None;
    }

    /// Takes in what has been played up to `until`, before the ledger does. A bar without a note is listened to: it says
    /// nothing against the tune.
    pub fn compare(&mut self, hearing: &Hearing, ledger: &Ledger, until: Ticks) {
        for bar in hearing.open_bars().filter(|bar| ledger.bar(bar).is_some_and(|known| known.melody.is_some())) {
            let span = Span { from: bar.start.max(hearing.start()), until: until.min(bar.end() - 1) };
            let played = hearing.notes_between(span.from - TOLERANCE, span.until);
            let known = ledger.melody_before(bar.end() + TOLERANCE, 3);
            if !between(&played, span.from, span.until).is_empty() && !agree(&played, &known, 0, span) {
                self.left_in = Some(bar);
            }
        }
    }

    /// Whether the tune that is known may be counted on in this bar: a whole bar of it has been played since it was left.
    pub fn agrees_at(&self, bar: &Bar) -> bool {
        self.left_in.is_none_or(|left| bar.start >= left.end() + left.meter.bar_length())
    }
}

/// Onsets from the first tick to the last, both included.
#[derive(Debug, Clone, Copy)]
struct Span {
    from: Ticks,
    until: Ticks,
}

/// Where the two bars before `bar`, and what is known of it up to `until`, were heard before, `nearest` bars ago or more: the
/// bar there. The latest such place.
///
/// `melody` is by start; `bars` are those before `bar`, in order. A repeat must be literal in rhythm and pitch, and say
/// something: two bars with a note each are alike by chance.
pub fn place_repeated(melody: &[Note], bars: &[Bar], bar: Bar, until: Ticks, nearest: usize) -> Option<Bar> {
    const FEWEST_NOTES: usize = 3;
    let follows =
        |bars: &[Bar]| bars.windows(2).all(|pair| pair[0].end() == pair[1].start && pair[0].meter == bar.meter);
    let (_, before) = bars.split_at(bars.len().checked_sub(2)?);
    if !follows(&[before, &[bar]].concat()) {
        return None;
    }
    let span = Span { from: before[0].start, until };
    let recent = between(melody, span.from - TOLERANCE, span.until);
    if between(recent, span.from, bar.start - 1).len() < FEWEST_NOTES {
        return None;
    }
    let old = &bars[..(bars.len() + 1).saturating_sub(nearest)];
    let places = old.windows(3).rev().filter(|place| follows(place) && place[2].meter == bar.meter);
    places.map(|place| place[2]).find(|place| agree(recent, melody, bar.start - place.start, span))
}

/// Whether `known`, moved on by `shift`, has what is played in a span, and nothing else in it. Both are by start, and reach
/// a little beyond, as far as that is heard.
fn agree(played: &[Note], known: &[Note], shift: Ticks, span: Span) -> bool {
    let in_known = |note: &Note| has(known, note, note.start - shift);
    let in_played = |note: &Note| has(played, note, note.start + shift);
    // What is known to come last may be about to be played.
    let inside = between(known, span.from - shift, span.until - shift - TOLERANCE);
    between(played, span.from, span.until).iter().all(in_known) && inside.iter().all(in_played)
}

fn has(notes: &[Note], like: &Note, start: Ticks) -> bool {
    between(notes, start - TOLERANCE, start + TOLERANCE).iter().any(|note| note.key == like.key)
}

fn between(notes: &[Note], from: Ticks, until: Ticks) -> &[Note] {
    let first = notes.partition_point(|note| note.start < from);
    let end = notes.partition_point(|note| note.start <= until);
    &notes[first..end.max(first)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::music::{Key, Meter, Velocity};

    fn bar(index: i32) -> Bar {
        Bar::of_constant_meter(index, Meter::COMMON)
    }

    fn note(start: Ticks, key: u8) -> Note {
        Note { start, key: Key::folded(i32::from(key)), duration: 6, velocity: Velocity::default() }
    }

    /// Two notes a bar, on its first and third beat.
    fn tune(bars: &[[u8; 2]]) -> Vec<Note> {
        let of_bar = |(index, keys): (usize, &[u8; 2])| {
            let start = bar(index as i32).start;
            [note(start, keys[0]), note(start + 24, keys[1])]
        };
        bars.iter().enumerate().flat_map(of_bar).collect()
    }

    fn known() -> Ledger {
        let mut ledger = Ledger::default();
        for (index, notes) in tune(&[[60, 62], [64, 65], [67, 60], [62, 59]]).chunks(2).enumerate() {
            ledger.hear(bar(index as i32), notes.to_vec());
        }
        ledger
    }

    /// Where a take that plays these notes from bar 0 on is found to be with the tune, by bars.
    fn with_the_tune(notes: &[Note]) -> Vec<bool> {
        let (mut hearing, mut following, ledger) = (Hearing::default(), Following::default(), known());
        hearing.begin(0.0);
        (0..4)
            .map(|index| {
                hearing.expect(bar(index));
                let until = bar(index).start - 2;
                for note in notes.iter().filter(|note| bar(index - 1).start - 2 < note.start && note.start <= until) {
                    let at = f64::from(note.start) / 12.0;
                    hearing.note_on(at, 0, note.key, note.velocity);
                    hearing.note_off(at + 0.4, 0, note.key);
                }
                following.compare(&hearing, &ledger, until);
                hearing.finished_bars(bar(index).start);
                following.agrees_at(&bar(index))
            })
            .collect()
    }

    #[test]
    fn a_tune_is_left_in_the_bar_that_differs_and_joined_again_after_one_that_does_not() {
        let tune = |second: [u8; 2]| tune(&[[60, 62], second, [67, 60], [62, 59]]);
        assert_eq!(with_the_tune(&tune([64, 65])), [true; 4]);
        assert_eq!(with_the_tune(&tune([64, 66])), [true, true, false, true]);
        assert_eq!(with_the_tune(&[]), [true; 4], "who listens does not play another tune");
        let mut missing = tune([64, 65]);
        missing.remove(2);
        assert_eq!(with_the_tune(&missing), [true, true, false, true], "a note is left out");
        let mut late = tune([64, 65]);
        late.iter_mut().for_each(|note| note.start += 1);
        assert_eq!(with_the_tune(&late), [true; 4], "a hand is not a clock");
    }

    #[test]
    fn a_repeat_is_found_where_its_continuation_stands() {
        let bars: Vec<Bar> = (0..5).map(bar).collect();
        let repeated = |melody: &[[u8; 2]], until: Ticks| place_repeated(&tune(melody), &bars, bar(5), until, 1);
        let melody = [[60, 62], [64, 65], [67, 60], [60, 62], [64, 65], [67, 72]];
        assert_eq!(repeated(&melody, bar(5).start - 2), Some(bar(2)));
        assert_eq!(repeated(&melody, bar(5).start + 22), Some(bar(2)), "it still is the same");
        assert_eq!(repeated(&melody, bar(5).start + 26), None, "and now it is left");
        assert_eq!(repeated(&[[60, 62], [64, 65], [67, 60], [60, 62], [64, 66]], bar(5).start - 2), None);
        let steady = [[60, 62]; 5];
        assert_eq!(repeated(&steady, bar(5).start - 2), Some(bar(4)), "the latest place");
        let until = bar(5).start - 2;
        let nearest = |nearest| place_repeated(&tune(&steady), &bars, bar(5), until, nearest);
        assert_eq!([1, 2, 3, 4, 9].map(nearest), [Some(bar(4)), Some(bar(3)), Some(bar(2)), None, None]);
        let few: Vec<Note> = tune(&steady).into_iter().step_by(2).collect();
        assert_eq!(place_repeated(&few, &bars, bar(5), until, 1), None, "a note a bar says too little");
        assert_eq!(place_repeated(&tune(&melody), &bars[..4], bar(5), until, 1), None, "a bar is missing");
    }
}
