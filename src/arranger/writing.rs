//! What is written: a segment of a jam, the arrangement of a bar, a bar or a part of it anew.

use super::listening::{bars_heard, in_hindsight};
use super::standing::heard;
use super::{Arranger, MEMORY_BARS, missing, seed_of};
use crate::channels::{Cut, SHORTEST_MARGIN};
use crate::generators::band::answer_by_rule;
use crate::generators::{Ask, PartNote, Request, SegmentAnswer};
use crate::ledger::{Cause, LedgerBar, Origin};
use crate::music::{Bar, Note, Part, PerPart, PlanSource, PlannedChord, Segment, Ticks};
use crate::settings::{CountInBand, Follow, Settings};

/// What a [`Request`] borrows.
pub(super) struct Question {
    pub ask: Ask,
    pub melody: Vec<Note>,
    pub past: Vec<SegmentAnswer>,
    pub chords: Vec<Option<PlannedChord>>,
    pub parts: PerPart<bool>,
    /// Of the band.
    standing: Vec<PartNote>,
    /// Of the parts that come of the melody: those that stand, and those that have been written.
    pub melody_notes: Vec<PartNote>,
    pub settings: Settings,
    pub quarters_per_minute: f32,
    margin: Ticks,
    pub rolls: u32,
}

impl Question {
    fn request(&self) -> Request<'_> {
        Request {
            ask: self.ask,
            melody: &self.melody,
            past: &self.past,
            chords: &self.chords,
            parts: self.parts,
            standing: &self.standing,
            settings: &self.settings,
            quarters_per_minute: self.quarters_per_minute,
            margin: self.margin,
            seed: seed_of(&self.settings, &self.ask, self.rolls),
        }
    }

    /// Whether this falls into the count-in: no plan says what to play, and too little has been heard.
    fn listens(&self) -> bool {
        let unplanned = self.chords.iter().all(Option::is_none);
        unplanned && bars_heard(&self.melody, &self.ask.bar()) < i32::from(self.settings.count_in)
    }

    fn rests(&self) -> bool {
        self.settings.count_in_band == CountInBand::Rests
    }
}

impl Arranger {
    /// What is played if the answer should come late, known at once: what stands in the ledger, else by rule.
    pub fn reserve(&mut self, segment: Segment, cut: &Cut, write: &mut dyn FnMut(PartNote)) {
        let cut = &Cut { segment, ..*cut };
        self.remember_before(segment.start());
        if let Some(answer) = self.standing(cut) {
            answer.notes.into_iter().for_each(write);
            return;
        }
        let mut question = self.question_in_jam(cut);
        question.all_standing().for_each(|note| write(*note));
        self.hear_parts(&mut question);
        if !(question.listens() && question.rests()) {
            answer_by_rule(&question.request(), write);
        }
    }

    pub(super) fn jam(&mut self, cut: &Cut, write: &mut dyn FnMut(PartNote)) -> SegmentAnswer {
        let mut question = self.question_in_jam(cut);
        question.all_standing().for_each(|note| write(*note));
        let listening = question.listens();
        let mut answers =
            if listening { self.write_by_rule(&mut question, write) } else { self.write(&mut question, write) };
        self.anticipate(answers.remove(0), listening)
    }

    fn question_in_jam(&self, cut: &Cut) -> Question {
        let segment = cut.segment;
        let melody = self.melody_until(segment.start() - cut.margin, MEMORY_BARS);
        let played = self.played.before(segment.start());
        let played = &played[played.len().saturating_sub(2 * MEMORY_BARS)..];
        let mut question = Question {
            ask: Ask::Jam(segment),
            past: in_hindsight(played, &melody, segment.bar.start),
            melody,
            chords: vec![self.planned_chord(&segment, cut.margin)],
            parts: parts_on(&cut.settings),
            standing: Vec::new(),
            melody_notes: Vec::new(),
            settings: cut.settings.asked(),
            quarters_per_minute: cut.quarters_per_minute,
            margin: cut.margin,
            rolls: self.ledger().bar(&segment.bar).map_or(0, |entry| entry.rolls),
        };
        if let Some((entry, parts)) = self.kept(&segment.bar, &cut.settings) {
            question.keep(&entry.answers, &parts);
        }
        question
    }

    /// A part that has been turned on since is written to what stands.
    pub(super) fn complete(
        &mut self,
        answer: SegmentAnswer,
        cut: &Cut,
        write: &mut dyn FnMut(PartNote),
    ) -> SegmentAnswer {
        let settings = self.decided(&cut.segment).map_or(cut.settings, |bar| bar.settings);
        let entry = self.ledger().bar(&cut.segment.bar).filter(|entry| !entry.locked);
        let (Some(entry), Some(parts)) = (entry, missing(&answer, &settings)) else {
            return answer;
        };
        let listened = entry.listened;
        let mut question = self.question_in_jam(cut);
        question.add_to(std::slice::from_ref(&answer), parts);
        let mut answers = match (listened, question.rests()) {
            (false, _) => self.write(&mut question, write),
            (true, false) => self.write_by_rule(&mut question, write),
            (true, true) => return answer,
        };
        self.history.change(Cause::Upkeep, |ledger| ledger.extend(answers.clone()));
        answers.remove(0)
    }

    /// Writes what has to be there before a segment can be played.
    pub(super) fn bring_up_to_date(&mut self, cut: &Cut) {
        if cut.offline {
            let wanted: Vec<Bar> = self.ledger().wanted_anew(cut.segment.bar.end()).collect();
            wanted.into_iter().for_each(|bar| self.rewrite(bar));
        }
        if cut.settings.follow == Follow::Arrange && (cut.offline || !self.waits_to_arrange) {
            self.arrange_for(cut);
        }
    }

    fn arrange_for(&mut self, cut: &Cut) {
        /// Live, no more than this is written at once; the rest is left to idle moments.
        const MOST_AT_ONCE: usize = 1;
        let bar = cut.segment.bar;
        let known = self.ledger().bar(&bar).is_some_and(|entry| entry.melody.is_some());
        let agrees = self.following.agrees_at(&bar);
        if known && agrees && cut.segment.number == 0 {
            self.arrange_anew(bar, cut);
        }
        // The first half has been played: for a chord that is held in the second, the bar is arranged afterwards.
        let under_way = self.decided(&cut.segment).is_some();
        let waiting = self.waiting_to_be_arranged(if known && agrees && !under_way { bar.end() } else { bar.start });
        // A render that begins goes on from bars that are what they will stay.
        let now = if cut.offline { known || self.played.is_empty() } else { known && agrees };
        if now && (cut.offline || waiting.len() <= MOST_AT_ONCE) {
            waiting.into_iter().for_each(|bar| self.arrange(bar, cut));
        }
    }

    /// A bar that was arranged for other settings is arranged for these; one that lacks a part gets it.
    fn arrange_anew(&mut self, bar: Bar, cut: &Cut) {
        let Some(entry) = self.ledger().bar(&bar).filter(|entry| entry.is_settled() && !entry.locked) else { return };
        if !entry.answers.iter().all(|answer| self.is_current(entry, answer, &cut.settings)) {
            self.arrange(bar, cut);
        } else if let Some(parts) = entry.answers.first().and_then(|answer| missing(answer, &cut.settings)) {
            let answers = entry.answers.clone();
            let mut question = self.question_for_known(entry, entry.answers[0].settings);
            question.add_to(&answers, parts);
            let answers = self.write(&mut question, &mut |_| {});
            self.history.change(Cause::Upkeep, |ledger| ledger.extend(answers));
        }
    }

    /// Bars before `end` whose melody is known and whose music was written before it was, or for other chords of the user.
    pub(super) fn waiting_to_be_arranged(&self, end: Ticks) -> Vec<Bar> {
        let waits = |entry: &&LedgerBar| {
            let known = entry.bar.start < end && entry.melody.is_some() && !entry.locked;
            known && (!entry.is_settled() || self.has_other_chords(entry))
        };
        self.ledger().bars().filter(waits).map(|entry| entry.bar).collect()
    }

    fn has_other_chords(&self, entry: &LedgerBar) -> bool {
        !entry.answers.iter().all(|answer| self.has_fixed_chord(answer))
    }

    /// Writes one bar that is wanted anew, or that is known and waits for its arrangement. Returns whether there was one:
    /// call it while idle.
    pub fn write_next(&mut self) -> bool {
        let wanted = self.ledger().wanted_anew(Ticks::MAX).next();
        if let Some(bar) = wanted {
            self.rewrite(bar);
            return true;
        }
        let Some(cut) = self.last_cut.filter(|cut| cut.settings.follow == Follow::Arrange) else {
            return false;
        };
        let waiting = self.waiting_to_be_arranged(Ticks::MAX).first().copied();
        waiting.is_some_and(|bar| {
            self.arrange(bar, &cut);
            true
        })
    }

    /// Live, what will have to be read for the next segment is read while there is time, a short piece at a call. Returns
    /// whether there was one: call it while idle.
    pub fn read_ahead(&mut self) -> bool {
        let Some(cut) = self.last_cut.filter(|cut| !cut.offline) else { return false };
        let next = Cut { segment: cut.segment.next(), ..cut };
        let mut question = match self.question_of_next_bar(&cut) {
            Some(question) => question,
            None if self.standing(&next).is_some() => return false,
            None => self.question_in_jam(&next),
        };
        self.hear_parts(&mut question);
        question.leave_melody();
        self.band.read_ahead(&question.request())
    }

    /// What is asked when the next bar begins, if it is then arranged anew: as the bar under way was, because of a knob that is
    /// automated. The settings may be others by then; what the model is shown of the bars before does not depend on them.
    fn question_of_next_bar(&self, cut: &Cut) -> Option<Question> {
        self.under_way.filter(|bar| bar.arranged && bar.start == cut.segment.bar.start)?;
        let entry = self.ledger().bar_at(cut.segment.bar.end())?;
        let wanted = entry.is_settled() && !entry.locked && self.following.agrees_at(&entry.bar);
        wanted.then(|| self.question_to_arrange(entry, cut.settings.asked(), cut))
    }

    /// Writes a bar for its melody: under the settings at which it was heard, unless it is now played under others.
    fn arrange(&mut self, bar: Bar, cut: &Cut) {
        let Some(entry) = self.ledger().bar(&bar) else { return };
        let heard_at = entry.answers.first().map(|answer| answer.settings);
        let heard_at =
            heard_at.filter(|settings| bar.start != cut.segment.bar.start || settings.asks_the_same(&cut.settings));
        // Who plays is the mixer's affair, and the mixer is as it is now.
        let settings = Settings { parts: cut.settings.asked().parts, ..heard_at.unwrap_or(cut.settings.asked()) };
        let cause = match (entry.is_settled(), self.has_other_chords(entry)) {
            (false, _) => Cause::Upkeep,
            (true, true) => Cause::Planning,
            (true, false) => self.playing(),
        };
        let tempo = tempo_of(entry, cut);
        let free = self.kept(&bar, &cut.settings).is_none();
        let again = if free { self.arranged_before(entry, &settings, tempo) } else { None };
        let answers = match again {
            Some(answers) => answers,
            None => {
                let mut question = self.question_to_arrange(entry, settings, cut);
                self.write(&mut question, &mut |_| {})
            }
        };
        self.history.change(cause, |ledger| ledger.write(bar, answers, Origin::Arranged));
    }

    /// About a bar of the ledger and its melody, with what is settled before it.
    fn question_to_arrange(&self, entry: &LedgerBar, settings: Settings, cut: &Cut) -> Question {
        let past = self.ledger().settled_before(entry.bar.start, MEMORY_BARS);
        let known = self.question_for_known(entry, settings);
        let mut question = Question { past, quarters_per_minute: tempo_of(entry, cut), ..known };
        let kept = self.kept(&entry.bar, &cut.settings);
        kept.iter().for_each(|(_, parts)| question.keep(&entry.answers, parts));
        question
    }

    /// Writes a bar anew as far as that is wanted, with random numbers of its own.
    fn rewrite(&mut self, bar: Bar) {
        let Some(entry) = self.ledger().bar(&bar) else { return };
        let (wanted, asked) = (entry.wanted, entry.parts());
        let stays = |part: Part| asked[part] && !wanted[part];
        let mut settings = entry.answers.first().map_or_else(Settings::default, |answer| answer.settings);
        let all = !Part::ALL.into_iter().any(stays);
        if all && let Some(cut) = self.last_cut {
            settings = Settings { parts: settings.parts, ..cut.settings.asked() };
        }
        let mut question = self.question_for_known(entry, settings);
        if !all {
            let standing: Vec<SegmentAnswer> = entry.answers.iter().map(|answer| without(answer, &wanted)).collect();
            question.add_to(&standing, wanted);
        }
        let answers = if entry.melody.is_some() {
            self.write(&mut question, &mut |_| {})
        } else {
            self.write_by_segments(question)
        };
        self.history.change(Cause::Upkeep, |ledger| ledger.write(bar, answers, Origin::Edited));
    }

    /// A bar that has never been heard is written as in a jam.
    fn write_by_segments(&mut self, question: Question) -> Vec<SegmentAnswer> {
        let mut answers: Vec<SegmentAnswer> = Vec::new();
        for (segment, chord) in question.ask.bar().segments().zip(question.chords) {
            let within = |note: &&PartNote| (segment.start()..segment.end()).contains(&note.note.start);
            let mut question = Question {
                ask: Ask::Jam(segment),
                melody: question.melody.clone(),
                past: [question.past.as_slice(), &answers].concat(),
                chords: vec![chord],
                standing: question.standing.iter().filter(within).copied().collect(),
                melody_notes: question.melody_notes.iter().filter(within).copied().collect(),
                ..question
            };
            answers.extend(self.write(&mut question, &mut |_| {}));
        }
        answers
    }

    /// About a bar of the ledger, with all its parts, and what stands before it.
    fn question_for_known(&self, entry: &LedgerBar, settings: Settings) -> Question {
        let bar = entry.bar;
        let before = self.ledger().answers_before(bar.start, MEMORY_BARS);
        Question {
            ask: Ask::Arrange(bar),
            melody: self.ledger().melody_before(bar.end(), MEMORY_BARS),
            past: before.into_iter().map(|(_, answer)| answer.clone()).collect(),
            chords: bar.segments().map(|segment| self.fixed_chord(&segment)).collect(),
            parts: parts_on(&settings),
            standing: Vec::new(),
            melody_notes: Vec::new(),
            settings,
            // The tempo at which the bar was heard, not the one at which it happens to be written.
            quarters_per_minute: entry.answers.first().map_or(120.0, |answer| answer.quarters_per_minute),
            margin: SHORTEST_MARGIN,
            rolls: entry.rolls,
        }
    }

    fn write(&mut self, question: &mut Question, write: &mut dyn FnMut(PartNote)) -> Vec<SegmentAnswer> {
        self.written = self.written.wrapping_add(question.ask.end() - question.ask.start());
        self.play_melody(question, write);
        question.completed(self.band.answer(&question.request(), write))
    }

    /// The band counts in.
    fn write_by_rule(&mut self, question: &mut Question, write: &mut dyn FnMut(PartNote)) -> Vec<SegmentAnswer> {
        self.play_melody(question, write);
        if question.rests() {
            question.parts = PerPart::default();
        }
        question.completed(answer_by_rule(&question.request(), write))
    }
}

impl Question {
    /// These notes stay as they are.
    fn stand<'a>(&mut self, notes: impl Iterator<Item = &'a PartNote>) {
        let (of_band, of_melody): (Vec<PartNote>, Vec<PartNote>) =
            notes.copied().partition(|note| note.part.is_of_band());
        self.standing.extend(of_band);
        self.melody_notes.extend(of_melody);
        self.standing.sort_unstable();
        self.melody_notes.sort_unstable();
    }

    fn all_standing(&self) -> impl Iterator<Item = &PartNote> {
        self.standing.iter().chain(&self.melody_notes)
    }

    /// The melody carried on, in what is asked for.
    pub fn extension(&self) -> impl Iterator<Item = Note> {
        self.melody_notes.iter().filter(|note| note.part == Part::Extension).map(|note| note.note)
    }

    /// The parts that come of the melody are written, or are not to be.
    pub fn leave_melody(&mut self) {
        (self.parts[Part::Enhanced], self.parts[Part::Extension]) = (false, false);
    }

    /// Nobody could write it: it is asked for again when this is played again.
    pub fn do_without(&mut self, part: Part) {
        (self.parts[part], self.settings.parts[part].on) = (false, false);
    }

    /// The band's answers with the parts that come of the melody.
    fn completed(&self, mut answers: Vec<SegmentAnswer>) -> Vec<SegmentAnswer> {
        for answer in &mut answers {
            let span = answer.segment.start()..answer.segment.end();
            answer.notes.extend(self.melody_notes.iter().filter(|note| span.contains(&note.note.start)));
            answer.notes.sort_unstable();
        }
        answers
    }

    /// These parts stay as they are in these answers, and the others are written to go with them.
    fn keep(&mut self, standing: &[SegmentAnswer], parts: &PerPart<bool>) {
        let mut stands = Vec::new();
        for (segment, chord) in self.ask.segments().zip(&mut self.chords) {
            let answer = standing.iter().find(|answer| answer.segment.start() == segment.start());
            let Some(answer) = answer else { continue };
            // They were written to the chord that stands; only one that the user fixes comes before it.
            if !chord.is_some_and(|planned| planned.source == PlanSource::User) {
                *chord = Some(heard(answer.chord.chord));
            }
            stands.extend(answer.notes.iter().filter(|note| parts[note.part]));
        }
        self.stand(stands.into_iter());
        for part in Part::ALL.into_iter().filter(|part| parts[*part]) {
            (self.parts[part], self.settings.parts[part].on) = (false, true);
        }
    }

    /// Asks for nothing but `parts`, to go with what stands in these answers, under their chords.
    fn add_to(&mut self, standing: &[SegmentAnswer], parts: PerPart<bool>) {
        for (segment, chord) in self.ask.segments().zip(&mut self.chords) {
            let answer = standing.iter().find(|answer| answer.segment.start() == segment.start());
            *chord = answer.map(|answer| answer.chord).or(*chord);
        }
        self.parts = parts;
        (self.standing, self.melody_notes) = (Vec::new(), Vec::new());
        self.stand(standing.iter().flat_map(|answer| &answer.notes));
        if let Some(first) = standing.first() {
            self.settings = first.settings;
            self.quarters_per_minute = first.quarters_per_minute;
        }
        Part::ALL.into_iter().for_each(|part| self.settings.parts[part].on |= parts[part]);
    }
}

/// The tempo at which a bar was heard; where it was not, the one it is about to be played at.
fn tempo_of(entry: &LedgerBar, cut: &Cut) -> f32 {
    entry.answers.first().map_or(cut.quarters_per_minute, |answer| answer.quarters_per_minute)
}

fn parts_on(settings: &Settings) -> PerPart<bool> {
    PerPart::from_fn(|part| settings.part_is_on(part))
}

/// An answer without the notes of these parts.
fn without(answer: &SegmentAnswer, parts: &PerPart<bool>) -> SegmentAnswer {
    let notes = answer.notes.iter().filter(|note| !parts[note.part]).copied().collect();
    SegmentAnswer { notes, ..answer.clone() }
}
