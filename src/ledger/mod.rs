//! The song as it was heard and as it was answered: what plays again, what can be taken back, what a project keeps.
//!
//! Plain data that the inference thread changes; clones of it go to the editor and into saved state. A clone shares its
//! bars with the original, so it costs little, also after hours.

mod bars;
mod history;
pub mod saved;

pub use history::{Cause, History};

use crate::generators::SegmentAnswer;
use crate::music::{Bar, Note, Part, PerPart, PlanSource, PlannedChord, Segment, Ticks};
use crate::settings::Settings;
use bars::Bars;
use std::ops::Range;
use std::sync::Arc;

/// What the user does to the bars of the song. A range means the bars that begin in it.
#[derive(Debug, Clone, PartialEq)]
pub enum LedgerCommand {
    /// What stands in these bars stays, whatever is played and set, until it is unlocked or cleared.
    Lock(Range<Ticks>),
    Unlock(Range<Ticks>),
    /// Another answer with another seed, in these parts; the other parts stay and are what it hears.
    Reroll {
        bars: Range<Ticks>,
        parts: PerPart<bool>,
    },
    /// Forgets the bars, melody and all.
    Clear(Range<Ticks>),
    /// The chords that are settled for these bars, as played or as planned, become the user's.
    LockChords(Range<Ticks>),
    /// These chords become the user's, whatever is settled there.
    SetChords(Vec<(Segment, PlannedChord)>),
    UnlockChords(Range<Ticks>),
    /// The melody of these bars is known, as if it had been heard; it takes the place of what was heard there.
    LoadMelody(Vec<(Bar, Vec<Note>)>),
    Undo,
    Redo,
}

/// How the music of a bar came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Origin {
    /// Played before its melody was heard.
    #[default]
    Anticipated,
    /// Written for its melody.
    Arranged,
    /// Written anew at the user's wish.
    Edited,
}

/// What is shown of a bar's music.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BarState {
    Anticipated,
    Arranged,
    Edited,
    Locked,
}

/// One bar of the song.
#[derive(Debug, Clone, PartialEq)]
pub struct LedgerBar {
    pub bar: Bar,
    /// The melody notes that begin in this bar, by start and key, with their final durations. `None`: not heard yet.
    pub melody: Option<Vec<Note>>,
    /// What is played, by segment; each with the settings and the seed it was written with.
    pub answers: Vec<SegmentAnswer>,
    pub origin: Origin,
    pub locked: bool,
    /// The band was counting in: this was played by rule, or rested.
    pub listened: bool,
    /// How often the user has asked for another answer; each has its own random numbers.
    pub rolls: u32,
    /// Parts that are to be written anew. Until they are, what stands is played.
    pub wanted: PerPart<bool>,
    /// The settings under which the user went back to this music, though it was written under others.
    pub kept_under: Option<Settings>,
    /// Chords that the user has locked, by segment.
    pub locked_chords: [Option<PlannedChord>; 2],
}

impl LedgerBar {
    fn new(bar: Bar) -> Self {
        Self {
            bar,
            melody: None,
            answers: Vec::new(),
            origin: Origin::default(),
            locked: false,
            listened: false,
            rolls: 0,
            wanted: PerPart::default(),
            kept_under: None,
            locked_chords: [None; 2],
        }
    }

    pub fn state(&self) -> BarState {
        match (self.locked, self.origin) {
            (true, _) => BarState::Locked,
            (false, Origin::Anticipated) => BarState::Anticipated,
            (false, Origin::Arranged) => BarState::Arranged,
            (false, Origin::Edited) => BarState::Edited,
        }
    }

    /// Whether its music is not to be replaced by an arrangement.
    pub fn is_settled(&self) -> bool {
        self.locked || self.origin != Origin::Anticipated
    }

    pub fn answer(&self, number: u8) -> Option<&SegmentAnswer> {
        self.answers.iter().find(|answer| answer.segment.number == number)
    }

    pub fn locked_chord(&self, number: u8) -> Option<PlannedChord> {
        self.locked_chords.get(usize::from(number)).copied().flatten()
    }

    /// The parts that its music was asked for.
    pub fn parts(&self) -> PerPart<bool> {
        PerPart::from_fn(|part| self.answers.iter().any(|answer| answer.settings.part_is_on(part)))
    }
}

/// The bars of the song, by where they begin. They do not overlap.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ledger {
    bars: Bars,
}

impl Ledger {
    /// A ledger of these bars; of two that overlap the later one is left out.
    pub fn of(bars: impl IntoIterator<Item = LedgerBar>) -> Self {
        let mut ledger = Self::default();
        for bar in bars {
            if ledger.overlapping(&bar.bar).is_empty() {
                ledger.bars.insert(bar.bar.start, Arc::new(bar));
            }
        }
        ledger
    }

    pub fn is_empty(&self) -> bool {
        self.bars.is_empty()
    }

    /// In the order of the song.
    pub fn bars(&self) -> impl DoubleEndedIterator<Item = &LedgerBar> {
        self.bars.iter().map(Arc::as_ref)
    }

    pub fn bar_at(&self, start: Ticks) -> Option<&LedgerBar> {
        self.bars.get(start).map(Arc::as_ref)
    }

    /// The bar in which a position lies.
    pub fn bar_holding(&self, position: Ticks) -> Option<&LedgerBar> {
        let entry = self.bars.before(position.saturating_add(1)).next_back()?;
        (position < entry.bar.end()).then_some(&**entry)
    }

    /// The entry of this very bar: one that begins here in another metre is another bar.
    pub fn bar(&self, bar: &Bar) -> Option<&LedgerBar> {
        self.bar_at(bar.start).filter(|entry| entry.bar.meter == bar.meter)
    }

    /// What is played in a segment.
    pub fn answer_to(&self, segment: &Segment) -> Option<&SegmentAnswer> {
        self.bar(&segment.bar)?.answer(segment.number)
    }

    /// Keeps a bar's melody. A silent pass over a bar that had a melody leaves it: listening is not erasing.
    ///
    /// Music that was written for another melody is still played, but it no longer counts as written for this one.
    pub fn hear(&mut self, bar: Bar, melody: Vec<Note>) {
        self.set_melody(bar, melody, |old, new| new.is_empty() || same_music(old, new));
    }

    /// Keeps the melody of bars that come from elsewhere. A bar that is silent there is silent.
    pub fn load_melody(&mut self, bars: Vec<(Bar, Vec<Note>)>) {
        bars.into_iter().for_each(|(bar, melody)| self.set_melody(bar, melody, same_music));
    }

    fn set_melody(&mut self, bar: Bar, melody: Vec<Note>, is_known: impl Fn(&[Note], &[Note]) -> bool) {
        let known = self.bar(&bar).and_then(|entry| entry.melody.as_ref());
        let unchanged = known.is_some_and(|old| is_known(old, &melody));
        let Some(entry) = self.entry(bar) else { return };
        if !unchanged {
            let entry = Arc::make_mut(entry);
            entry.melody = Some(melody);
            if !entry.locked {
                entry.origin = Origin::Anticipated;
            }
        }
    }

    /// Keeps an answer that was given before the bar was heard; `listening`: in a count-in.
    ///
    /// Its bar is a guess: the metre may change at the bar line. So it does not replace a bar that was heard in another.
    pub fn anticipate(&mut self, answer: SegmentAnswer, listening: bool) {
        let bar = answer.segment.bar;
        if self.was_heard_otherwise(&bar) {
            return;
        }
        let Some(entry) = self.entry(bar).filter(|entry| !entry.locked) else { return };
        let entry = Arc::make_mut(entry);
        entry.answers.retain(|old| old.segment.start() != answer.segment.start());
        entry.answers.push(answer);
        entry.answers.sort_by_key(|answer| answer.segment.start());
        (entry.origin, entry.listened) = (Origin::Anticipated, listening);
        (entry.wanted, entry.kept_under) = (PerPart::default(), None);
    }

    /// Keeps what was written for a whole bar, or anew for some of its parts.
    pub fn write(&mut self, bar: Bar, answers: Vec<SegmentAnswer>, origin: Origin) {
        let Some(entry) = self.entry(bar).filter(|entry| !entry.locked) else { return };
        let entry = Arc::make_mut(entry);
        (entry.answers, entry.origin, entry.listened) = (answers, origin, false);
        (entry.wanted, entry.kept_under) = (PerPart::default(), None);
    }

    /// Keeps answers that have gained a part; all else about their bars stays.
    pub fn extend(&mut self, answers: Vec<SegmentAnswer>) {
        for answer in answers {
            let Some(entry) = self.bars.get_mut(answer.segment.bar.start).filter(|entry| !entry.locked) else {
                continue;
            };
            let place = entry.answers.iter().position(|old| old.segment.start() == answer.segment.start());
            if let Some(place) = place {
                Arc::make_mut(entry).answers[place] = answer;
            }
        }
    }

    /// What is still to be written anew is given up: what stands is what was locked.
    pub fn lock(&mut self, bars: Range<Ticks>) {
        self.bars.change(
            &bars,
            |entry| !entry.locked && !entry.answers.is_empty(),
            |entry| {
                (entry.locked, entry.wanted) = (true, PerPart::default());
            },
        );
    }

    pub fn unlock(&mut self, bars: Range<Ticks>) {
        self.bars.change(&bars, |entry| entry.locked, |entry| entry.locked = false);
    }

    /// Wants another answer in these parts, where they were asked for.
    pub fn reroll(&mut self, bars: Range<Ticks>, parts: PerPart<bool>) {
        let wanted = |entry: &LedgerBar| {
            let asked = entry.parts();
            PerPart::from_fn(|part| asked[part] && (parts[part] || entry.wanted[part]))
        };
        let concerns =
            |entry: &LedgerBar| !entry.locked && Part::ALL.iter().any(|part| parts[*part] && entry.parts()[*part]);
        self.bars.change(&bars, concerns, |entry| {
            entry.wanted = wanted(entry);
            entry.rolls = entry.rolls.wrapping_add(1);
        });
    }

    pub fn clear(&mut self, bars: Range<Ticks>) {
        self.bars.retain(|entry| !bars.contains(&entry.bar.start));
    }

    /// Makes these chords the user's.
    pub fn lock_chords(&mut self, chords: impl IntoIterator<Item = (Segment, PlannedChord)>) {
        for (segment, planned) in chords {
            let chord = Some(PlannedChord { source: PlanSource::User, ..planned });
            let place = usize::from(segment.number);
            let known = self.bar(&segment.bar).is_some_and(|entry| entry.locked_chords[place] == chord);
            if let Some(entry) = self.entry(segment.bar).filter(|_| !known) {
                Arc::make_mut(entry).locked_chords[place] = chord;
            }
        }
    }

    /// Makes a chord the user's that is held for a segment about to be played. Its bar is a guess, as in
    /// [`Ledger::anticipate`].
    pub fn give_chord(&mut self, segment: &Segment, planned: PlannedChord) {
        if self.was_heard_otherwise(&segment.bar) {
            return;
        }
        if let Some(entry) = self.entry(segment.bar).filter(|entry| !entry.locked) {
            Arc::make_mut(entry).locked_chords[usize::from(segment.number)] = Some(planned);
        }
    }

    pub fn unlock_chords(&mut self, bars: Range<Ticks>) {
        self.bars.change(&bars, |entry| entry.locked_chords != [None; 2], |entry| entry.locked_chords = [None; 2]);
        // A bar that held nothing but its chords.
        self.bars
            .retain(|entry| entry.melody.is_some() || !entry.answers.is_empty() || entry.locked_chords != [None; 2]);
    }

    /// At most `count` bars before `end`, in order.
    pub fn bars_before(&self, end: Ticks, count: usize) -> Vec<Bar> {
        let mut bars: Vec<Bar> = self.bars.before(end).rev().take(count).map(|entry| entry.bar).collect();
        bars.reverse();
        bars
    }

    /// The melody before `end`, from at most `bars` bars back, by start and key.
    pub fn melody_before(&self, end: Ticks, bars: usize) -> Vec<Note> {
        let mut entries: Vec<&LedgerBar> = self.bars.before(end).rev().take(bars).map(Arc::as_ref).collect();
        entries.reverse();
        entries.iter().filter_map(|entry| entry.melody.as_ref()).flatten().copied().collect()
    }

    /// Unbroken answers up to `end`, oldest first, from at most `bars` bars, with their bars.
    pub fn answers_before(&self, end: Ticks, bars: usize) -> Vec<(&LedgerBar, &SegmentAnswer)> {
        self.unbroken_before(end, bars, |_| true)
    }

    /// The same, as far as the bars are settled.
    pub fn settled_before(&self, end: Ticks, bars: usize) -> Vec<SegmentAnswer> {
        let settled = self.unbroken_before(end, bars, LedgerBar::is_settled);
        settled.into_iter().map(|(_, answer)| answer.clone()).collect()
    }

    fn unbroken_before(
        &self,
        end: Ticks,
        bars: usize,
        counts: impl Fn(&LedgerBar) -> bool,
    ) -> Vec<(&LedgerBar, &SegmentAnswer)> {
        let mut found = Vec::new();
        let mut expected_end = end;
        for entry in self.bars.before(end).rev().take(bars).map(Arc::as_ref).take_while(|entry| counts(entry)) {
            for answer in entry.answers.iter().rev() {
                if answer.segment.end() == expected_end {
                    expected_end = answer.segment.start();
                    found.push((entry, answer));
                }
            }
            if entry.bar.start < expected_end {
                break;
            }
        }
        found.reverse();
        found
    }

    /// Bars before `end` that are to be written anew, in order.
    pub fn wanted_anew(&self, end: Ticks) -> impl Iterator<Item = Bar> {
        let wanted = self.bars.before(end).filter(|entry| entry.wanted.0.contains(&true));
        wanted.map(|entry| entry.bar)
    }

    /// The chords as they stand.
    pub fn chords(&self) -> Vec<(Segment, PlannedChord)> {
        let answers = self.bars().flat_map(|entry| &entry.answers);
        answers.map(|answer| (answer.segment, answer.chord)).collect()
    }

    /// The bar's entry, made if it is new. A bar that the host now measures otherwise loses what was written for it,
    /// and so do the bars it overlaps; `None` if one of these is locked, and stays.
    fn entry(&mut self, bar: Bar) -> Option<&mut Arc<LedgerBar>> {
        let others = self.overlapping(&bar);
        if others.iter().any(|start| self.bar_at(*start).is_some_and(|other| other.locked)) {
            return None;
        }
        others.iter().for_each(|start| {
            self.bars.remove(*start);
        });
        if self.bars.get(bar.start).is_none() {
            self.bars.insert(bar.start, Arc::new(LedgerBar::new(bar)));
        }
        let entry = self.bars.get_mut(bar.start)?;
        if entry.bar != bar {
            Arc::make_mut(entry).bar = bar;
        }
        Some(entry)
    }

    /// Whether the melody was heard here in bars of another metre.
    fn was_heard_otherwise(&self, bar: &Bar) -> bool {
        let heard = self.bars.before(bar.end()).next_back().filter(|entry| entry.melody.is_some());
        heard.is_some_and(|entry| {
            entry.bar.end() > bar.start && (entry.bar.start, entry.bar.meter) != (bar.start, bar.meter)
        })
    }

    /// Where other bars begin that share time with this one, or are this one in another metre.
    fn overlapping(&self, bar: &Bar) -> Vec<Ticks> {
        let same = |entry: &LedgerBar| (entry.bar.start, entry.bar.meter) == (bar.start, bar.meter);
        let before_end = self.bars.before(bar.end()).rev().take_while(|entry| entry.bar.end() > bar.start);
        before_end.filter(|entry| !same(entry)).map(|entry| entry.bar.start).collect()
    }
}

fn same_music(a: &[Note], b: &[Note]) -> bool {
    let plain = |note: &Note| (note.start, note.key, note.duration);
    a.iter().map(plain).eq(b.iter().map(plain))
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

    /// Answers of a bar, in which bass and chords were asked for.
    fn answers(bar: Bar) -> Vec<SegmentAnswer> {
        let answer = |segment| SegmentAnswer {
            segment,
            chord: PlannedChord { chord: None, source: PlanSource::Rule },
            notes: Vec::new(),
            settings: Settings::default(),
            quarters_per_minute: 120.0,
            margin: 2,
        };
        bar.segments().map(answer).collect()
    }

    fn written(count: i32) -> Ledger {
        let mut ledger = Ledger::default();
        for index in 0..count {
            ledger.hear(bar(index), melody(index, &[60, 62]));
            ledger.write(bar(index), answers(bar(index)), Origin::Arranged);
        }
        ledger
    }

    fn starts(ledger: &Ledger) -> Vec<Ticks> {
        ledger.bars().map(|entry| entry.bar.start).collect()
    }

    #[test]
    fn a_silent_pass_leaves_the_melody() {
        let mut ledger = Ledger::default();
        ledger.hear(bar(0), melody(0, &[60, 62]));
        ledger.hear(bar(0), Vec::new());
        assert_eq!(ledger.bar_at(0).and_then(|entry| entry.melody.clone()), Some(melody(0, &[60, 62])));
    }

    #[test]
    fn music_for_another_melody_is_kept_but_not_settled() {
        let mut ledger = written(2);
        ledger.hear(bar(0), melody(0, &[60, 62]));
        assert_eq!(ledger.bar_at(0).map(LedgerBar::state), Some(BarState::Arranged));
        ledger.hear(bar(0), melody(0, &[60, 64]));
        let entry = ledger.bar_at(0).expect("it is there");
        assert_eq!((entry.state(), entry.answers.len()), (BarState::Anticipated, 2));
        ledger.lock(48..96);
        ledger.hear(bar(1), melody(1, &[60, 64]));
        assert_eq!(ledger.bar_at(48).map(LedgerBar::state), Some(BarState::Locked));
    }

    #[test]
    fn bars_in_another_metre_replace_the_ones_they_overlap() {
        let mut ledger = Ledger::default();
        (0..3).for_each(|index| ledger.hear(bar(index), melody(index, &[60])));
        let waltz = Bar { meter: Meter::new(3, 4).expect("usual"), ..bar(1) };
        ledger.hear(waltz, Vec::new());
        assert_eq!(starts(&ledger), [0, 48, 96]);
        assert_eq!(ledger.bar_at(48).map(|entry| entry.bar.meter.beats()), Some(3));
        assert_eq!(ledger.bar(&bar(1)), None);
    }

    #[test]
    fn a_loaded_melody_takes_the_place_of_what_was_heard_rests_too() {
        let mut ledger = written(3);
        ledger.hear(bar(1), melody(1, &[60]));
        ledger.lock(0..48);
        ledger.load_melody(vec![(bar(0), melody(0, &[72])), (bar(1), Vec::new()), (bar(4), melody(4, &[64]))]);
        let known = |start| ledger.bar_at(start).and_then(|entry| entry.melody.clone());
        assert_eq!([0, 48, 192].map(known), [Some(melody(0, &[72])), Some(Vec::new()), Some(melody(4, &[64]))]);
        let state = |start| ledger.bar_at(start).map(LedgerBar::state);
        assert_eq!([0, 48].map(state), [Some(BarState::Locked), Some(BarState::Anticipated)]);
        assert_eq!(
            ledger.bar_at(48).map(|entry| entry.answers.len()),
            Some(2),
            "its music is played until it is arranged"
        );
    }

    #[test]
    fn a_locked_bar_stays_in_any_metre() {
        let mut ledger = written(3);
        ledger.lock(48..49);
        let before = ledger.clone();
        let five = Meter::new(5, 4).expect("usual");
        ledger.hear(Bar::of_constant_meter(0, five), Vec::new());
        ledger.write(Bar { meter: five, ..bar(1) }, Vec::new(), Origin::Edited);
        ledger.anticipate(answers(Bar { meter: five, ..bar(1) }).remove(0), false);
        ledger.anticipate(answers(bar(1)).remove(0), true);
        ledger.extend(answers(bar(1)));
        ledger.reroll(0..1000, PerPart::from_fn(|_| true));
        assert_eq!(ledger.bar_at(48), before.bar_at(48));
        assert_eq!(starts(&ledger), [0, 48, 96]);
    }

    #[test]
    fn only_parts_that_were_asked_for_are_wanted_anew() {
        let mut ledger = written(2);
        ledger.reroll(0..48, PerPart::from_fn(|part| matches!(part, Part::Bass | Part::Drums)));
        let entry = ledger.bar_at(0).expect("it is there");
        assert_eq!((entry.wanted.0, entry.rolls), (PerPart::from_fn(|part| part == Part::Bass).0, 1));
        assert_eq!(ledger.wanted_anew(Ticks::MAX).collect::<Vec<_>>(), [bar(0)]);
        ledger.reroll(0..48, PerPart::from_fn(|part| part == Part::Drums));
        assert_eq!(ledger.bar_at(0).map(|entry| entry.rolls), Some(1), "there are no drums to roll");
        ledger.lock(0..48);
        assert_eq!(ledger.wanted_anew(Ticks::MAX).count(), 0, "what stands was locked");
    }

    #[test]
    fn a_row_of_answers_ends_where_one_is_missing() {
        let mut ledger = written(5);
        ledger.clear(48..49);
        let row = |ledger: &Ledger, end| ledger.answers_before(end, 24).len();
        assert_eq!((row(&ledger, 240), row(&ledger, 240 - 24), row(&ledger, 96), row(&ledger, 48)), (6, 5, 0, 2));
        ledger.hear(bar(3), melody(3, &[72]));
        assert_eq!(ledger.settled_before(240, 24).len(), 2);
        assert_eq!(ledger.answers_before(240, 2).len(), 4);
    }

    #[test]
    fn locked_chords_are_the_users_and_may_stand_alone() {
        let mut ledger = Ledger::default();
        let planned = PlannedChord { chord: "Am".parse().ok(), source: PlanSource::Proposed };
        ledger.lock_chords([(bar(2).segment_at(0), planned)]);
        let entry = ledger.bar_at(96).expect("it is made");
        assert_eq!(entry.locked_chord(0), Some(PlannedChord { source: PlanSource::User, ..planned }));
        assert_eq!(entry.locked_chord(1), None);
        ledger.unlock_chords(0..1000);
        assert!(ledger.is_empty());
    }
}
