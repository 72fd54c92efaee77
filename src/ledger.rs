//! The song as it was heard and as it was answered. Inference thread.

use crate::generators::SegmentAnswer;
use crate::music::{Bar, Note, PlannedChord, Segment, Ticks};
use std::collections::BTreeMap;

/// One bar of the song.
#[derive(Debug, Clone, PartialEq)]
pub struct LedgerBar {
    pub bar: Bar,
    /// The melody notes that begin in this bar, by start and key, with their final durations. `None`: not heard yet.
    pub melody: Option<Vec<Note>>,
    /// What was played while the melody was still unknown, by segment.
    pub anticipated: Vec<SegmentAnswer>,
    /// What was written for the known melody, by segment; empty until then.
    pub arranged: Vec<SegmentAnswer>,
}

/// The bars of the song, by where they begin.
#[derive(Debug, Default)]
pub struct Ledger {
    bars: BTreeMap<Ticks, LedgerBar>,
}

impl Ledger {
    pub fn bar_at(&self, start: Ticks) -> Option<&LedgerBar> {
        self.bars.get(&start)
    }

    /// The bar's entry, made if it is new. A bar that the host now measures otherwise loses what was written for it,
    /// and so do the bars it overlaps.
    fn entry(&mut self, bar: Bar) -> &mut LedgerBar {
        let known = self.bars.get(&bar.start).is_some_and(|entry| entry.bar.meter == bar.meter);
        if !known {
            self.bars.retain(|_, old| old.bar.end() <= bar.start || old.bar.start >= bar.end());
        }
        let entry = self.bars.entry(bar.start).or_insert_with(|| LedgerBar {
            bar,
            melody: None,
            anticipated: Vec::new(),
            arranged: Vec::new(),
        });
        entry.bar = bar;
        entry
    }

    /// Keeps a bar's melody. A silent pass over a bar that had a melody leaves it: listening is not erasing.
    pub fn hear(&mut self, bar: Bar, melody: Vec<Note>) {
        let entry = self.entry(bar);
        let unchanged = match &entry.melody {
            Some(old) => melody.is_empty() || same_music(old, &melody),
            None => false,
        };
        if !unchanged {
            entry.melody = Some(melody);
            entry.arranged.clear();
        }
    }

    /// Keeps an answer that was given before the bar was heard.
    ///
    /// Its bar is a guess: the metre may change at the bar line. So it does not replace a bar that was heard in another.
    pub fn anticipate(&mut self, answer: SegmentAnswer) {
        let bar = answer.segment.bar;
        let heard = self.bars.range(..bar.end()).next_back().filter(|(_, entry)| entry.melody.is_some());
        if heard.is_some_and(|(_, entry)| {
            entry.bar.end() > bar.start && (entry.bar.start, entry.bar.meter) != (bar.start, bar.meter)
        }) {
            return;
        }
        replace(&mut self.entry(bar).anticipated, answer);
    }

    pub fn arrange(&mut self, bar: Bar, answers: Vec<SegmentAnswer>) {
        self.entry(bar).arranged = answers;
    }

    /// Forgets what was arranged from `start` on; it will be written anew.
    pub fn forget_arranged_from(&mut self, start: Ticks) {
        self.bars.range_mut(start..).for_each(|(_, entry)| entry.arranged.clear());
    }

    /// The melody before `end`, from at most `bars` bars back, by start and key.
    pub fn melody_before(&self, end: Ticks, bars: usize) -> Vec<Note> {
        let mut entries: Vec<&LedgerBar> = self.bars.range(..end).rev().take(bars).map(|(_, entry)| entry).collect();
        entries.reverse();
        entries.iter().filter_map(|entry| entry.melody.as_ref()).flatten().copied().collect()
    }

    /// Unbroken anticipated answers up to `end`, oldest first, from at most `bars` bars.
    pub fn anticipated_before(&self, end: Ticks, bars: usize) -> Vec<SegmentAnswer> {
        self.answers_before(end, bars, |entry| &entry.anticipated)
    }

    /// Unbroken arranged answers up to `end`, oldest first, from at most `bars` bars.
    pub fn arranged_before(&self, end: Ticks, bars: usize) -> Vec<SegmentAnswer> {
        self.answers_before(end, bars, |entry| &entry.arranged)
    }

    fn answers_before(
        &self,
        end: Ticks,
        bars: usize,
        of: impl Fn(&LedgerBar) -> &Vec<SegmentAnswer>,
    ) -> Vec<SegmentAnswer> {
        let mut found = Vec::new();
        let mut expected_end = end;
        for (_, entry) in self.bars.range(..end).rev().take(bars) {
            for answer in of(entry).iter().rev() {
                if answer.segment.end() > expected_end {
                    continue;
                }
                if answer.segment.end() < expected_end {
                    found.reverse();
                    return found;
                }
                expected_end = answer.segment.start();
                found.push(answer.clone());
            }
            if entry.bar.start < expected_end {
                break;
            }
        }
        found.reverse();
        found
    }

    /// Bars before `end` whose melody is known but not yet arranged, in order.
    pub fn waiting_to_be_arranged(&self, end: Ticks) -> Vec<Bar> {
        let waiting = self.bars.range(..end).filter(|(_, entry)| entry.melody.is_some() && entry.arranged.is_empty());
        waiting.map(|(_, entry)| entry.bar).collect()
    }

    /// The chords as they stand: the arranged ones where there are any.
    pub fn chords(&self) -> Vec<(Segment, PlannedChord)> {
        let answers = self
            .bars
            .values()
            .flat_map(|entry| if entry.arranged.is_empty() { &entry.anticipated } else { &entry.arranged });
        answers.map(|answer| (answer.segment, answer.chord)).collect()
    }

    /// Where the two bars before `bar` were heard once before: the bar that followed them then. The latest such place.
    ///
    /// A repeat must be literal in rhythm and pitch, and must say something: two silent bars repeat nothing.
    pub fn place_before_repeated(&self, bar: Bar) -> Option<&LedgerBar> {
        let mut before: Vec<&LedgerBar> = self.bars.range(..bar.start).map(|(_, entry)| entry).collect();
        let last = before.pop()?;
        let last_but_one = before.pop()?;
        if last.bar.end() != bar.start || last_but_one.bar.end() != last.bar.start || !says_something(last) {
            return None;
        }
        before.push(last_but_one);
        before.windows(3).rev().map(|bars| (bars[0], bars[1], bars[2])).find_map(|(first, second, third)| {
            let follows = first.bar.end() == second.bar.start && second.bar.end() == third.bar.start;
            let repeated = repeats(first, last_but_one) && repeats(second, last);
            (follows && repeated && third.bar.meter == bar.meter).then_some(third)
        })
    }
}

fn replace(answers: &mut Vec<SegmentAnswer>, answer: SegmentAnswer) {
    answers.retain(|old| old.segment.start() != answer.segment.start());
    answers.push(answer);
    answers.sort_by_key(|answer| answer.segment.start());
}

fn same_music(a: &[Note], b: &[Note]) -> bool {
    let plain = |note: &Note| (note.start, note.key, note.duration);
    a.iter().map(plain).eq(b.iter().map(plain))
}

fn says_something(entry: &LedgerBar) -> bool {
    entry.melody.as_ref().is_some_and(|melody| melody.len() >= 2)
}

fn repeats(earlier: &LedgerBar, later: &LedgerBar) -> bool {
    let onsets = |entry: &LedgerBar| -> Option<Vec<_>> {
        let start = entry.bar.start;
        Some(entry.melody.as_ref()?.iter().map(|note| (note.start - start, note.key)).collect())
    };
    earlier.bar.meter == later.bar.meter && onsets(earlier).is_some() && onsets(earlier) == onsets(later)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::music::{Key, Meter, Velocity};

    fn bar(index: i32) -> Bar {
        Bar::of_constant_meter(index, Meter::COMMON)
    }

    fn melody(index: i32, keys: &[u8]) -> Vec<Note> {
        let note = |(place, key): (usize, &u8)| Note {
            start: bar(index).start + 12 * place as Ticks,
            key: Key::folded(i32::from(*key)),
            duration: 12,
            velocity: Velocity::default(),
        };
        keys.iter().enumerate().map(note).collect()
    }

    #[test]
    fn a_silent_pass_leaves_the_melody() {
        let mut ledger = Ledger::default();
        ledger.hear(bar(0), melody(0, &[60, 62]));
        ledger.hear(bar(0), Vec::new());
        assert_eq!(ledger.bar_at(0).and_then(|entry| entry.melody.clone()), Some(melody(0, &[60, 62])));
    }

    #[test]
    fn a_repeat_is_found_where_its_continuation_stands() {
        let mut ledger = Ledger::default();
        for (index, keys) in [[60, 62], [64, 65], [67, 60], [60, 62], [64, 65]].iter().enumerate() {
            ledger.hear(bar(index as i32), melody(index as i32, keys));
        }
        assert_eq!(ledger.place_before_repeated(bar(5)).map(|entry| entry.bar), Some(bar(2)));
        ledger.hear(bar(4), melody(4, &[64, 66]));
        assert_eq!(ledger.place_before_repeated(bar(5)), None);
    }

    #[test]
    fn bars_in_another_metre_replace_the_ones_they_overlap() {
        let mut ledger = Ledger::default();
        (0..3).for_each(|index| ledger.hear(bar(index), melody(index, &[60])));
        let waltz = Bar { meter: Meter::new(3, 4).expect("usual"), ..bar(1) };
        ledger.hear(waltz, Vec::new());
        let starts: Vec<Ticks> = ledger.waiting_to_be_arranged(1000).iter().map(|bar| bar.start).collect();
        assert_eq!(starts, [0, 48, 96]);
        assert_eq!(ledger.bar_at(48).map(|entry| entry.bar.meter.beats()), Some(3));
    }
}
