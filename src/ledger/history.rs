//! Undo and redo over the ledger: each step keeps the bars that it replaced.

use super::{Ledger, LedgerBar};
use crate::music::Ticks;
use crate::settings::Settings;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Why the ledger changes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cause {
    /// The user wanted it: a step of its own.
    Command,
    /// The user has loaded a melody: a step that brings back what was heard before, too.
    Loading,
    /// It was played, in this take, under these settings. What that replaces is one step; what it adds is none.
    Playing { take: u32, settings: Settings },
    /// It was written anew for other chords of the user's. What that replaces is one step.
    Planning,
    /// What was to be expected of the ledger as it stands: no step.
    Upkeep,
}

impl Cause {
    fn was_played(&self) -> bool {
        matches!(self, Self::Playing { .. })
    }
}

/// The ledger with the way back to what it was.
#[derive(Debug, Default)]
pub struct History {
    ledger: Ledger,
    done: VecDeque<Step>,
    undone: Vec<Step>,
}

#[derive(Debug)]
struct Step {
    cause: Cause,
    /// The bars as they were before; `None` where there was none.
    before: Images,
}

type Images = BTreeMap<Ticks, Option<Arc<LedgerBar>>>;

impl History {
    /// Steps that can be taken back.
    pub const MOST: usize = 100;

    /// Begins with a song as it was saved.
    pub fn of(ledger: Ledger) -> Self {
        Self { ledger, ..Self::default() }
    }

    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// How many steps can be undone and redone.
    pub fn steps(&self) -> (usize, usize) {
        (self.done.len(), self.undone.len())
    }

    pub fn change(&mut self, cause: Cause, change: impl FnOnce(&mut Ledger)) {
        let before = self.ledger.clone();
        change(&mut self.ledger);
        let changed = before.bars.differences(&self.ledger.bars);
        let counts = match cause {
            Cause::Command | Cause::Loading => !changed.is_empty(),
            Cause::Playing { .. } | Cause::Planning => {
                changed.iter().any(|(start, was)| loses_music(was.as_deref(), self.ledger.bar_at(*start)))
            }
            Cause::Upkeep => false,
        };
        if counts {
            self.note(cause, changed);
        }
    }

    /// Goes a step back, if there is one. `now`: the settings under which music that was played over is to stay from now
    /// on, though it was written under others: whoever turned a knob and goes back wants to hear what was there.
    pub fn undo(&mut self, now: Option<&Settings>) {
        if let Some(step) = self.done.pop_back() {
            let before = self.restore(step.before, &step.cause, now);
            self.undone.push(Step { before, ..step });
        }
    }

    /// Takes the last undo back.
    pub fn redo(&mut self, now: Option<&Settings>) {
        if let Some(step) = self.undone.pop() {
            let before = self.restore(step.before, &step.cause, now);
            self.done.push_back(Step { before, ..step });
        }
    }

    fn note(&mut self, cause: Cause, changed: Vec<(Ticks, Option<Arc<LedgerBar>>)>) {
        self.undone.clear();
        match self.done.back_mut().filter(|step| step.goes_on_with(&cause)) {
            // What a step found first is what it replaced.
            Some(step) => changed.into_iter().for_each(|(start, was)| {
                step.before.entry(start).or_insert(was);
            }),
            None => self.done.push_back(Step { cause, before: changed.into_iter().collect() }),
        }
        if self.done.len() > Self::MOST {
            self.done.pop_front();
        }
    }

    /// Brings bars back; what they replace now.
    fn restore(&mut self, images: Images, cause: &Cause, now: Option<&Settings>) -> Images {
        let now = now.filter(|_| cause.was_played());
        let mut replaced = Images::new();
        for (start, image) in images {
            // Bars that have been added since, in another metre.
            let others = image.as_ref().map_or_else(Vec::new, |image| self.ledger.overlapping(&image.bar));
            for other in others {
                replaced.entry(other).or_insert(self.ledger.bars.remove(other));
            }
            let current = self.ledger.bars.remove(start);
            if let Some(image) = image {
                let heard = current.as_deref().filter(|_| *cause != Cause::Loading);
                self.ledger.bars.insert(start, brought_back(image, heard, now));
            }
            replaced.entry(start).or_insert(current);
        }
        replaced
    }
}

impl Step {
    fn goes_on_with(&self, cause: &Cause) -> bool {
        match (&self.cause, cause) {
            (Cause::Playing { take, settings }, Cause::Playing { take: later, settings: others }) => {
                take == later && settings.asks_the_same(others)
            }
            (Cause::Planning, Cause::Planning) => true,
            (Cause::Command | Cause::Loading | Cause::Playing { .. } | Cause::Planning | Cause::Upkeep, _) => false,
        }
    }
}

/// The music comes back, not what was heard of the melody: the host's tune is as it is now.
fn brought_back(image: Arc<LedgerBar>, current: Option<&LedgerBar>, now: Option<&Settings>) -> Arc<LedgerBar> {
    let heard =
        current.filter(|current| current.bar.meter == image.bar.meter).and_then(|current| current.melody.clone());
    let foreign = |settings: &&Settings| image.answers.iter().any(|answer| !answer.settings.asks_the_same(settings));
    let kept_under = now.filter(foreign).copied().or(image.kept_under);
    let melody = heard.or_else(|| image.melody.clone());
    if melody == image.melody && kept_under == image.kept_under {
        return image;
    }
    Arc::new(LedgerBar { melody, kept_under, ..Arc::unwrap_or_clone(image) })
}

/// Whether something was to be heard or seen of a bar that is not there any more.
fn loses_music(before: Option<&LedgerBar>, after: Option<&LedgerBar>) -> bool {
    let Some(before) = before else { return false };
    let kept = after.is_some_and(|after| {
        let mut chords = before.locked_chords.iter().zip(&after.locked_chords);
        let chords = chords.all(|(was, is)| was.is_none() || was == is);
        let answers = before.answers.iter().all(|answer| after.answers.contains(answer));
        chords && answers
    });
    let anything = !before.answers.is_empty() || before.locked_chords != [None; 2];
    anything && !kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generators::SegmentAnswer;
    use crate::music::{Bar, Key, Meter, Note, PerPart, PlanSource, PlannedChord, Velocity};

    fn bar(index: i32) -> Bar {
        Bar::of_constant_meter(index, Meter::COMMON)
    }

    /// An empty answer to the first half of a bar, which its chord and tempo tell from others.
    fn answer(index: i32, tempo: f32, settings: Settings) -> SegmentAnswer {
        SegmentAnswer {
            segment: bar(index).segment_at(0),
            chord: PlannedChord { chord: None, source: PlanSource::Rule },
            notes: Vec::new(),
            settings,
            quarters_per_minute: tempo,
            margin: 2,
        }
    }

    fn melody(key: i32) -> Vec<Note> {
        vec![Note { start: 0, key: Key::folded(key), duration: 4, velocity: Velocity::default() }]
    }

    fn playing(take: u32, settings: Settings) -> Cause {
        Cause::Playing { take, settings }
    }

    fn play(history: &mut History, take: u32, index: i32, tempo: f32, settings: Settings) {
        history.change(playing(take, settings), |ledger| ledger.anticipate(answer(index, tempo, settings), false));
    }

    fn tempos(history: &History) -> Vec<f32> {
        history.ledger().bars().flat_map(|entry| &entry.answers).map(|answer| answer.quarters_per_minute).collect()
    }

    #[test]
    fn what_a_take_plays_over_is_one_step_and_what_it_adds_is_none() {
        let settings = Settings::default();
        let mut history = History::default();
        (0..4).for_each(|index| play(&mut history, 1, index, 100.0, settings));
        assert_eq!(history.steps(), (0, 0));
        (0..6).for_each(|index| play(&mut history, 2, index, 110.0, settings));
        assert_eq!(history.steps(), (1, 0));
        let other = Settings { density: 0.9, ..settings };
        (4..6).for_each(|index| play(&mut history, 2, index, 120.0, other));
        assert_eq!(history.steps(), (2, 0), "another setting, another step");
        history.undo(None);
        assert_eq!(tempos(&history), [110.0; 6]);
        history.undo(None);
        assert_eq!(tempos(&history), [100.0, 100.0, 100.0, 100.0, 110.0, 110.0]);
        history.redo(None);
        history.redo(None);
        assert_eq!(tempos(&history), [110.0, 110.0, 110.0, 110.0, 120.0, 120.0]);
        assert_eq!(history.steps(), (2, 0));
    }

    #[test]
    fn nothing_changed_is_no_step_and_a_new_step_ends_redoing() {
        let mut history = History::default();
        play(&mut history, 1, 0, 100.0, Settings::default());
        history.change(Cause::Command, |ledger| ledger.lock(0..48));
        history.change(Cause::Command, |ledger| ledger.lock(0..48));
        history.change(Cause::Command, |ledger| ledger.clear(480..960));
        assert_eq!(history.steps(), (1, 0));
        history.undo(None);
        assert_eq!(history.steps(), (0, 1));
        play(&mut history, 2, 1, 100.0, Settings::default());
        assert_eq!(history.steps(), (0, 1), "playing on is no reason to forget");
        history.change(Cause::Command, |ledger| ledger.lock(0..48));
        assert_eq!(history.steps(), (1, 0));
        history.undo(None);
        history.undo(None);
        assert_eq!(history.steps(), (0, 1));
    }

    #[test]
    fn a_hundred_steps_are_kept() {
        let mut history = History::default();
        play(&mut history, 0, 0, 0.0, Settings::default());
        (1..=130).for_each(|take| play(&mut history, take, 0, take as f32, Settings::default()));
        assert_eq!(history.steps(), (History::MOST, 0));
        (0..200).for_each(|_| history.undo(None));
        assert_eq!(tempos(&history), [30.0]);
        (0..200).for_each(|_| history.redo(None));
        assert_eq!(tempos(&history), [130.0]);
    }

    #[test]
    fn music_comes_back_and_the_melody_stays_as_it_was_heard_last() {
        let settings = Settings::default();
        let other = Settings { seed: 2, ..settings };
        let mut history = History::default();
        play(&mut history, 1, 0, 100.0, settings);
        history.change(playing(1, settings), |ledger| ledger.hear(bar(0), melody(60)));
        play(&mut history, 2, 0, 110.0, other);
        history.change(playing(2, other), |ledger| ledger.hear(bar(0), melody(62)));
        history.undo(Some(&other));
        let entry = history.ledger().bar_at(0).expect("it was played");
        assert_eq!((entry.melody.clone(), entry.answers[0].quarters_per_minute), (Some(melody(62)), 100.0));
        assert_eq!(entry.kept_under, Some(other), "though the knobs stand otherwise");
    }

    #[test]
    fn a_melody_that_was_loaded_goes_again() {
        let settings = Settings::default();
        let mut history = History::default();
        play(&mut history, 1, 0, 100.0, settings);
        history.change(playing(1, settings), |ledger| ledger.hear(bar(0), melody(60)));
        let before = history.ledger().clone();
        let loaded = vec![(bar(0), melody(62)), (bar(1), Vec::new())];
        history.change(Cause::Loading, |ledger| ledger.load_melody(loaded.clone()));
        let after = history.ledger().clone();
        assert_eq!(after.bar_at(0).and_then(|entry| entry.melody.clone()), Some(melody(62)));
        history.undo(Some(&settings));
        assert_eq!(history.ledger(), &before);
        history.redo(Some(&settings));
        assert_eq!(history.ledger(), &after);
        history.change(Cause::Loading, |ledger| ledger.load_melody(loaded));
        assert_eq!(history.steps(), (1, 0), "it was there already");
    }

    /// What a change touches in a song of so many bars, which somebody else sees too: bars that are looked at, and bars that
    /// are written anew.
    fn touched_by_a_change(bars: i32) -> (usize, usize) {
        let settings = Settings::default();
        let halves = |index| {
            bar(index).segments().map(move |segment| SegmentAnswer { segment, ..answer(index, 100.0, settings) })
        };
        let whole = |index| LedgerBar { answers: halves(index).collect(), ..LedgerBar::new(bar(index)) };
        let mut history = History::of(Ledger::of((0..bars).map(whole)));
        let shown = history.ledger().clone();
        play(&mut history, 1, bars / 2, 90.0, settings);
        assert_ne!(history.ledger(), &shown);
        history.ledger().bars.not_shared_with(&shown.bars)
    }

    /// 20,000 bars are eleven hours at 120 quarters a minute. How long it takes is measured by `cargo bench --bench state`.
    #[test]
    fn a_change_costs_no_more_after_hours() {
        let (minutes, hours) = (touched_by_a_change(300), touched_by_a_change(20_000));
        assert_eq!((minutes.1, hours.1), (1, 1), "one bar was changed");
        assert!(hours.0 <= minutes.0, "{} bars are looked at, and {} after hours", minutes.0, hours.0);
    }

    #[test]
    fn bars_in_another_metre_give_way_when_the_old_ones_come_back() {
        let settings = Settings::default();
        let mut history = History::default();
        (0..3).for_each(|index| play(&mut history, 1, index, 100.0, settings));
        let waltz = Meter::new(3, 4).expect("usual");
        let in_three = |index| SegmentAnswer {
            segment: Bar::of_constant_meter(index, waltz).segment_at(0),
            ..answer(index, 110.0, settings)
        };
        for index in 0..4 {
            history.change(playing(2, settings), |ledger| ledger.anticipate(in_three(index), false));
        }
        assert_eq!(tempos(&history), [110.0; 4]);
        history.undo(None);
        assert_eq!(tempos(&history), [100.0; 3]);
        let starts: Vec<Ticks> = history.ledger().bars().map(|entry| entry.bar.start).collect();
        assert_eq!(starts, [0, 48, 96]);
        history.redo(None);
        assert_eq!(tempos(&history), [110.0; 4]);
        assert_eq!(history.ledger().bar_at(0).map(|entry| entry.wanted), Some(PerPart::default()));
    }
}
