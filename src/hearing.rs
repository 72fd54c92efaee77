//! The melody of the take that is being played, from note-ons and note-offs to notes. Inference thread.

use crate::music::{Bar, Key, Note, Ticks, Velocity, quantise};
use std::collections::VecDeque;

/// Length given to a note that is still held: longer than any song.
pub const HELD: Ticks = 1 << 24;

/// What has been heard since the transport last started or jumped.
#[derive(Debug, Default)]
pub struct Hearing {
    start: Ticks,
    /// By start, then key.
    notes: Vec<Note>,
    held: Vec<HeldNote>,
    /// Bars that have begun, or are about to, and whose melody is not final.
    open_bars: VecDeque<Bar>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct HeldNote {
    channel: u8,
    key: Key,
    start: Ticks,
}

/// A bar whose melody is final.
#[derive(Debug, Clone, PartialEq)]
pub struct HeardBar {
    pub bar: Bar,
    pub melody: Vec<Note>,
    /// The take began or ended inside it.
    pub partial: bool,
}

impl Hearing {
    /// Begins a take at `at` quarter notes. What was open before must have been closed with [`Hearing::end`].
    pub fn begin(&mut self, at: f64) {
        *self = Self { start: quantise(at), ..Self::default() };
    }

    /// The melody of this take that begins at `last` or before, by start and key.
    pub fn notes_until(&self, last: Ticks) -> impl Iterator<Item = Note> {
        self.notes.iter().copied().take_while(move |note| note.start <= last)
    }

    /// Notes of this take that begin from `first` to `last`, by start and key.
    pub fn notes_between(&self, first: Ticks, last: Ticks) -> Vec<Note> {
        self.notes_until(last).skip_while(|note| note.start < first).collect()
    }

    /// Bars that are under way, or whose melody is not final yet.
    pub fn open_bars(&self) -> impl Iterator<Item = Bar> {
        self.open_bars.iter().copied()
    }

    /// The melody of bars that are not final yet, by start and key.
    pub fn unfinished(&self) -> Vec<Note> {
        let Some(first) = self.open_bars.front() else { return Vec::new() };
        self.notes.iter().copied().skip_while(|note| note.start < first.start).collect()
    }

    pub fn start(&self) -> Ticks {
        self.start
    }

    /// A key goes down, at `at` quarter notes. `channel` is 0..=15.
    pub fn note_on(&mut self, at: f64, channel: u8, key: Key, velocity: Velocity) {
        // Struck again without a release between: the first one ends here.
        self.note_off(at, channel, key);
        let start = quantise(at);
        let place = self.notes.partition_point(|note| (note.start, note.key) < (start, key));
        if self.notes.get(place).is_some_and(|note| (note.start, note.key) == (start, key)) {
            self.set_end(start, key, start + HELD);
        } else {
            self.notes.insert(place, Note { start, key, duration: HELD, velocity });
        }
        self.held.push(HeldNote { channel, key, start });
    }

    /// A key goes up, at `at` quarter notes. `channel` is 0..=15.
    pub fn note_off(&mut self, at: f64, channel: u8, key: Key) {
        if let Some(index) = self.held.iter().position(|held| held.channel == channel && held.key == key) {
            let held = self.held.swap_remove(index);
            self.set_end(held.start, key, quantise(at));
        }
    }

    fn set_end(&mut self, start: Ticks, key: Key, end: Ticks) {
        if let Ok(index) = self.notes.binary_search_by_key(&(start, key), |note| (note.start, note.key)) {
            self.notes[index].duration = (end - start).max(1);
        }
    }

    /// A bar is under way; its melody will be final some time after its end.
    pub fn expect(&mut self, bar: Bar) {
        let overlapped = |open: &Bar| open.start < bar.end() && bar.start < open.end() && *open != bar;
        self.open_bars.retain(|open| !overlapped(open));
        if !self.open_bars.contains(&bar) {
            self.open_bars.push_back(bar);
        }
    }

    /// Bars that ended before `now` and whose notes have all been released, in order.
    ///
    /// A note held for more than a bar's length keeps its bar open no longer than [`LONGEST_WAIT`].
    pub fn finished_bars(&mut self, now: Ticks) -> Vec<HeardBar> {
        let mut finished = Vec::new();
        while let Some(bar) = self.open_bars.front().copied() {
            let held = self.held.iter().any(|held| held.start < bar.end());
            if now <= bar.end() || (held && now < bar.end() + LONGEST_WAIT) {
                break;
            }
            self.open_bars.pop_front();
            finished.push(self.heard_bar(bar, self.start > bar.start));
        }
        self.forget(now - REMEMBERED);
        finished
    }

    /// Forgets notes that begin before `first`.
    fn forget(&mut self, first: Ticks) {
        let forgotten = self.notes.partition_point(|note| note.start < first);
        self.notes.drain(..forgotten);
    }

    /// Ends the take at `at` quarter notes, and with it all held notes.
    pub fn end(&mut self, at: f64) -> Vec<HeardBar> {
        let end = quantise(at);
        for held in std::mem::take(&mut self.held) {
            self.set_end(held.start, held.key, end);
        }
        let open = std::mem::take(&mut self.open_bars);
        let begun = open.into_iter().filter(|bar| bar.start < end);
        begun.map(|bar| self.heard_bar(bar, self.start > bar.start || end < bar.end())).collect()
    }

    fn heard_bar(&self, bar: Bar, partial: bool) -> HeardBar {
        let melody = self.notes.iter().filter(|note| bar.start <= note.start && note.start < bar.end());
        HeardBar { bar, melody: melody.copied().collect(), partial }
    }
}

/// A take may last for hours. Nobody looks back further than 64 bars; these are as many of the longest that are usual, or
/// 256 of 4/4.
const REMEMBERED: Ticks = 256 * 48;

/// A note is at most four quarters long to the models, so its bar need not wait longer for its end.
const LONGEST_WAIT: Ticks = 48;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::music::Meter;

    fn key(number: i32) -> Key {
        Key::folded(number)
    }

    #[test]
    fn a_bar_is_final_when_its_notes_have_ended() {
        let mut hearing = Hearing::default();
        hearing.begin(0.0);
        let bar = Bar::of_constant_meter(0, Meter::COMMON);
        hearing.expect(bar);
        hearing.expect(bar.next());
        hearing.note_on(3.0, 0, key(60), Velocity::default());
        assert_eq!(hearing.finished_bars(72), [], "still held");
        assert_eq!(hearing.unfinished()[0].duration, HELD);
        hearing.note_off(5.0, 0, key(60));
        assert_eq!(hearing.unfinished()[0].duration, 24);
        let finished = hearing.finished_bars(72);
        assert_eq!(finished.iter().map(|heard| heard.bar).collect::<Vec<_>>(), [bar]);
        assert_eq!(finished[0].melody[0].duration, 24);
        assert!(!finished[0].partial);
        assert_eq!(hearing.unfinished(), []);
    }

    #[test]
    fn of_a_take_that_lasts_for_hours_the_end_is_remembered() {
        const BARS: i32 = 10_000;
        let mut hearing = Hearing::default();
        hearing.begin(0.0);
        let (mut most, mut heard) = (0, 0);
        // A key that is never let go of is one note in all, and long forgotten.
        hearing.note_on(0.0, 0, key(40), Velocity::default());
        for index in 0..BARS {
            hearing.expect(Bar::of_constant_meter(index, Meter::COMMON));
            for beat in 4 * index..4 * (index + 1) {
                hearing.note_on(f64::from(beat), 0, key(60 + beat % 12), Velocity::default());
                hearing.note_off(f64::from(beat) + 0.9, 0, key(60 + beat % 12));
            }
            heard += hearing.finished_bars(48 * (index + 1)).iter().map(|heard| heard.melody.len()).sum::<usize>();
            most = most.max(hearing.notes.len());
        }
        assert!(most < 4 * 260, "{most} notes are remembered");
        heard += hearing.end(f64::from(4 * BARS)).iter().map(|heard| heard.melody.len()).sum::<usize>();
        assert_eq!(heard, 4 * BARS as usize + 1, "each was heard once");
    }

    #[test]
    fn the_end_of_a_take_ends_its_notes() {
        let mut hearing = Hearing::default();
        hearing.begin(1.0);
        hearing.expect(Bar::of_constant_meter(0, Meter::COMMON));
        hearing.note_on(2.0, 0, key(60), Velocity::default());
        let heard = hearing.end(3.0);
        assert_eq!(heard.len(), 1);
        assert!(heard[0].partial);
        assert_eq!(heard[0].melody[0].duration, 12);
        assert_eq!(hearing.unfinished(), [], "a take that is over leaves nothing open");
    }

    #[test]
    fn a_note_struck_twice_ends_where_the_second_begins() {
        let mut hearing = Hearing::default();
        hearing.begin(0.0);
        hearing.note_on(0.0, 0, key(60), Velocity::default());
        hearing.note_on(1.0, 0, key(60), Velocity::default());
        hearing.note_off(2.0, 0, key(60));
        let lengths: Vec<Ticks> = hearing.notes_until(100).map(|note| note.duration).collect();
        assert_eq!(lengths, [12, 12]);
    }
}
