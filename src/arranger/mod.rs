//! The engine without threads: melody in, accompaniment out. Runs on the inference thread, and in the command line.
//!
//! Given the same melody, settings and seed it writes the same music wherever it runs; and what it has written once it
//! plays again from the ledger, for as long as melody and settings stay.

mod extending;
mod following;
mod listening;
mod melody_parts;
mod perform;
mod played;
mod standing;
mod writing;

use crate::channels::{Cut, Heard};
use crate::chords_held::{HeldChord, HeldChords, Hold};
use crate::generators::band::Band;
use crate::generators::melodists::{EnhancesMelodies, ExtendsMelodies, Melodists};
use crate::generators::{Ask, Drummer, Generator, PartNote, SegmentAnswer};
use crate::hearing::{HeardBar, Hearing};
use crate::ledger::{Cause, History, Ledger, LedgerBar, LedgerCommand, Origin};
use crate::music::{Bar, Chord, ChordPlan, Note, PerPart, PlanSource, PlannedChord, Segment, Ticks, quantise};
use crate::settings::{ChordInput, Follow, Settings};
use following::Following;
use played::{Played, PlayedSegment};
use std::collections::BTreeMap;
use std::ops::Range;

/// How many bars back a generator may look.
const MEMORY_BARS: usize = 24;
/// How many bars back a loop may have come round.
const LOOP_BARS: usize = 64;

/// Hears a song and answers it.
pub struct Arranger {
    band: Band,
    melodists: Melodists,
    plan: ChordPlan,
    hearing: Hearing,
    chords: HeldChords,
    /// Other chords have been held in this take than those that the song had.
    chords_left: bool,
    history: History,
    following: Following,
    played: Played,
    last_cut: Option<Cut>,
    under_way: Option<UnderWay>,
    /// Takes since the start.
    takes: u32,
    /// How much music has been written so far.
    written: Ticks,
    waits_to_arrange: bool,
}

/// A bar that is being answered in this take. What was decided at its first answer counts until its end.
#[derive(Debug, Clone, Copy)]
struct UnderWay {
    start: Ticks,
    /// The first answer came from the ledger.
    stands: bool,
    /// It had to be arranged before it could be answered.
    arranged: bool,
    settings: Settings,
}

impl Arranger {
    /// `generator` writes what it can, and `drummer` the drums; the rest is written by rule.
    pub fn new(generator: Box<dyn Generator>, drummer: Option<Box<dyn Drummer>>) -> Self {
        Self {
            band: Band::new(generator, drummer),
            melodists: Melodists::default(),
            plan: ChordPlan::default(),
            hearing: Hearing::default(),
            chords: HeldChords::default(),
            chords_left: false,
            history: History::default(),
            following: Following::default(),
            played: Played::default(),
            last_cut: None,
            under_way: None,
            takes: 0,
            written: 0,
            waits_to_arrange: false,
        }
    }

    /// Goes on with another band.
    pub fn set_band(&mut self, generator: Box<dyn Generator>, drummer: Option<Box<dyn Drummer>>) {
        self.band = Band::new(generator, drummer);
    }

    /// Has the melody enhanced by it from now on, or by nobody.
    pub fn set_enhancer(&mut self, enhancer: Option<Box<dyn EnhancesMelodies>>) {
        self.melodists.enhancer = enhancer;
    }

    /// Has the melody carried on by it from now on, or by nobody.
    pub fn set_extender(&mut self, extender: Option<Box<dyn ExtendsMelodies>>) {
        self.melodists.extender = extender;
    }

    pub fn ledger(&self) -> &Ledger {
        self.history.ledger()
    }

    /// The melody of bars that the ledger does not hold yet. What is still held is [`HELD`](crate::hearing::HELD) long.
    pub fn sung(&self) -> Vec<Note> {
        self.hearing.unfinished()
    }

    /// How many steps can be undone and redone.
    pub fn steps(&self) -> (usize, usize) {
        self.history.steps()
    }

    /// Ticks of music written since the start. What the ledger plays again, and what is played in a count-in, does not
    /// count.
    pub fn written(&self) -> Ticks {
        self.written
    }

    /// What went wrong last, in words for the user.
    pub fn problem(&self) -> Option<&str> {
        self.band.problem().or_else(|| self.melodists.problem())
    }

    /// How often the generators have failed.
    pub fn failures(&self) -> u32 {
        self.band.failures().wrapping_add(self.melodists.failures())
    }

    /// Where the generator computes, where that can change.
    pub fn device(&self) -> Option<String> {
        self.band.device()
    }

    /// There is time for a short piece of other work.
    pub fn at_rest(&mut self) {
        self.band.at_rest();
    }

    /// Between answers while music plays: keeps a device awake that would be slow at the next.
    pub fn keep_warm(&mut self) {
        self.band.keep_warm();
    }

    /// The user's chords; an empty plan leaves the choice to the engine. Bars with other chords are written anew.
    pub fn set_plan(&mut self, plan: ChordPlan) {
        self.plan = plan;
    }

    /// Goes on from a song as it was saved.
    pub fn restore(&mut self, ledger: Ledger) {
        self.history = History::of(ledger);
        self.played.clear();
        self.following.begin();
        (self.last_cut, self.under_way) = (None, None);
    }

    pub fn command(&mut self, command: LedgerCommand) {
        let now = self.last_cut.map(|cut| cut.settings.asked());
        match command {
            LedgerCommand::Undo => self.history.undo(now.as_ref()),
            LedgerCommand::Redo => self.history.redo(now.as_ref()),
            LedgerCommand::Lock(bars) => self.history.change(Cause::Command, |ledger| ledger.lock(bars)),
            LedgerCommand::Unlock(bars) => self.history.change(Cause::Command, |ledger| ledger.unlock(bars)),
            LedgerCommand::Reroll { bars, parts } => {
                self.history.change(Cause::Command, |ledger| ledger.reroll(bars, parts));
            }
            LedgerCommand::Clear(bars) => self.history.change(Cause::Command, |ledger| ledger.clear(bars)),
            LedgerCommand::LockChords(bars) => {
                let chords = self.settled_chords(&bars);
                self.history.change(Cause::Command, |ledger| ledger.lock_chords(chords));
            }
            LedgerCommand::SetChords(chords) => {
                self.history.change(Cause::Command, |ledger| ledger.lock_chords(chords));
            }
            LedgerCommand::LoadMelody(bars) => {
                self.history.change(Cause::Loading, |ledger| ledger.load_melody(bars));
                self.following.begin();
            }
            LedgerCommand::UnlockChords(bars) => {
                self.history.change(Cause::Command, |ledger| ledger.unlock_chords(bars));
            }
        }
    }

    /// Takes in what the audio thread heard. A [`Heard::Cut`] is for [`Arranger::answer`] and changes nothing here.
    pub fn hear(&mut self, heard: &Heard) {
        match *heard {
            Heard::TakeBegan { at, .. } => {
                self.hearing.begin(at);
                self.chords.begin(at);
                self.chords_left = false;
                self.following.begin();
                self.played.clear();
                self.under_way = None;
                self.takes = self.takes.wrapping_add(1);
            }
            Heard::NoteOn { key, velocity, channel, at } => self.hearing.note_on(at, channel, key, velocity),
            Heard::NoteOff { key, channel, at } => {
                self.hearing.note_off(at, channel, key);
                self.chords.note_off(at, channel, key);
            }
            Heard::ChordOn { key, channel, at } => self.chords.note_on(at, channel, key),
            Heard::ChordHeld { key, channel } => self.chords.hold_over(channel, key),
            Heard::Cut(_) => {}
            Heard::TakeEnded { at } => {
                let bars = self.hearing.end(at);
                self.keep(bars, quantise(at));
                self.chords.begin(at);
            }
        }
    }

    /// Answers a segment, handing out notes as they are decided: what stands in the ledger; else what followed when the
    /// same melody was heard before; else something new.
    pub fn answer(&mut self, cut: &Cut, write: &mut dyn FnMut(PartNote)) -> SegmentAnswer {
        let segment = cut.segment;
        self.pass_over(cut);
        self.take_down_chord(cut);
        let written = self.written;
        self.bring_up_to_date(cut);
        let arranged = self.written != written;
        self.remember_before(segment.start());
        let standing = self.standing(cut);
        let stands = standing.is_some();
        let answer = match standing.or_else(|| self.repeated(cut)) {
            Some(answer) => {
                answer.notes.iter().for_each(|note| write(*note));
                if stands { self.complete(answer, cut, write) } else { self.anticipate(answer, false) }
            }
            None => self.jam(cut, write),
        };
        if segment.number == 0 || self.decided(&segment).is_none() {
            self.under_way = Some(UnderWay { start: segment.bar.start, stands, arranged, settings: cut.settings });
        }
        let listened = self.ledger().bar(&segment.bar).is_some_and(|entry| entry.listened);
        self.played.add(PlayedSegment { answer: answer.clone(), listened });
        answer
    }

    /// Whether all that a render needs for this segment is written already. The song has then come to it.
    pub fn plays_again(&mut self, cut: &Cut) -> bool {
        self.pass_over(cut);
        self.take_down_chord(cut);
        let end = cut.segment.bar.end();
        let waits = cut.settings.follow == Follow::Arrange && !self.waiting_to_be_arranged(end).is_empty();
        let wanted = self.ledger().wanted_anew(end).next().is_some();
        !waits && !wanted && self.standing(cut).is_some_and(|answer| missing(&answer, &cut.settings).is_none())
    }

    /// The band stands in for another that is on its way: what is played live is not arranged by it.
    pub fn wait_to_arrange(&mut self, waits: bool) {
        self.waits_to_arrange = waits;
    }

    /// The song has come to a cut. Where its answer would come too late this is all; the melody is heard nevertheless.
    pub fn pass_over(&mut self, cut: &Cut) {
        let start = cut.segment.start();
        self.last_cut = Some(*cut);
        if cut.settings.chord_input == ChordInput::Off {
            self.chords = HeldChords::default();
        }
        self.hearing.expect(cut.segment.bar);
        self.following.compare(&self.hearing, self.history.ledger(), start - cut.margin);
        let bars = self.hearing.finished_bars(start);
        self.keep(bars, start);
    }

    /// Keeps what was heard of bars, when the take has come as far as `until`.
    fn keep(&mut self, bars: Vec<HeardBar>, until: Ticks) {
        if self.is_arranging() {
            bars.iter().for_each(|heard| self.keep_chords(&heard.bar, until));
        }
        let cause = self.playing();
        for heard in bars {
            let known = self.ledger().bar_at(heard.bar.start).is_some_and(|entry| entry.melody.is_some());
            // Half a bar says nothing about the half that was not heard.
            if !(heard.partial && known) {
                self.history.change(cause, |ledger| ledger.hear(heard.bar, heard.melody));
                self.cut_extension(&heard.bar);
            }
        }
    }

    /// To be arranged for, the chords of a bar are those that were held in it, not those that were known when it was played.
    fn keep_chords(&mut self, bar: &Bar, until: Ticks) {
        for segment in bar.segments() {
            let held = self.chords.chord_in(&segment, until);
            let planned = held.and_then(|held| self.planned_by_hand(held, &segment));
            if let Some(planned) = planned.filter(|_| self.fixed_chord(&segment) != planned) {
                self.history.change(Cause::Upkeep, |ledger| ledger.give_chord(&segment, planned));
            }
        }
    }

    /// What was decided when the bar of a later segment began.
    fn decided(&self, segment: &Segment) -> Option<UnderWay> {
        self.under_way.filter(|bar| segment.number > 0 && bar.start == segment.bar.start)
    }

    fn playing(&self) -> Cause {
        let settings = self.last_cut.map_or_else(Settings::default, |cut| cut.settings);
        Cause::Playing { take: self.takes, settings: settings.asked() }
    }

    /// A take that begins goes on from what stands before it.
    fn remember_before(&mut self, start: Ticks) {
        if !self.played.before(start).is_empty() {
            return;
        }
        let answers = self.history.ledger().answers_before(start, MEMORY_BARS);
        for (entry, answer) in answers {
            self.played.add(PlayedSegment { answer: answer.clone(), listened: entry.listened });
        }
    }

    fn anticipate(&mut self, answer: SegmentAnswer, listening: bool) -> SegmentAnswer {
        let cause = self.playing();
        self.history.change(cause, |ledger| ledger.anticipate(answer.clone(), listening));
        answer
    }

    /// The melody that may be known up to `last`: this take's, and before it what the ledger keeps of so many bars.
    fn melody_until(&self, last: Ticks, bars: usize) -> Vec<Note> {
        let mut melody = self.ledger().melody_before(self.hearing.start(), bars);
        melody.retain(|note| note.start < self.hearing.start());
        melody.extend(self.hearing.notes_until(last));
        melody
    }

    /// The user's chord for a segment: a locked one (also one that was held while it was played), else the typed one.
    fn fixed_chord(&self, segment: &Segment) -> Option<PlannedChord> {
        self.locked_chord(segment).or_else(|| self.plan.chord_of(segment))
    }

    fn locked_chord(&self, segment: &Segment) -> Option<PlannedChord> {
        self.ledger().bar(&segment.bar)?.locked_chord(segment.number)
    }

    /// The chord that the player gives for a segment that is about to be played, if it comes before what is fixed there.
    fn held_chord(&self, segment: &Segment, margin: Ticks) -> Option<PlannedChord> {
        // What plays again was written when the keys were known that late: the same keys then give the same chord.
        let margin = self.ledger().answer_to(segment).map_or(margin, |answer| answer.margin.max(margin));
        let held = self.chords.chord_at(segment, margin)?;
        self.planned_by_hand(held, segment).filter(|_| !self.is_as_arranged(&held.chord, segment))
    }

    /// A chord that has been let go stays, unless a plan is typed. At the start of a take it may be that of a loop's end.
    fn planned_by_hand(&self, held: HeldChord, segment: &Segment) -> Option<PlannedChord> {
        let typed = || self.plan.chord_of(segment).is_some();
        let counts = match held.hold {
            Hold::Now => true,
            Hold::Past => !typed(),
            Hold::OverStart => !typed() && self.locked_chord(segment).is_none(),
        };
        counts.then_some(PlannedChord { chord: Some(held.chord), source: PlanSource::User })
    }

    /// Arranging, the song's own chords are counted on for as long as what is held is what it has just before: who plays
    /// them again changes to the next when it comes, and not before. That ends where another chord is held.
    fn is_as_arranged(&self, held: &Chord, segment: &Segment) -> bool {
        let before = match segment.number {
            0 => self.ledger().bars_before(segment.start(), 1).pop().and_then(|bar| bar.segments().next_back()),
            _ => Some(Segment { number: segment.number - 1, ..*segment }),
        };
        let just_before = before.filter(|before| before.end() == segment.start());
        let had = just_before.and_then(|before| self.locked_chord(&before)).and_then(|planned| planned.chord);
        let counted_on = self.is_arranging() && !self.chords_left;
        counted_on && self.locked_chord(segment).is_some() && had == Some(*held)
    }

    fn is_arranging(&self) -> bool {
        self.last_cut.is_some_and(|cut| cut.settings.follow == Follow::Arrange)
    }

    /// Writes the chord that is held into the song, so that later passes and renders have it too.
    fn take_down_chord(&mut self, cut: &Cut) {
        let segment = cut.segment;
        let held = self.held_chord(&segment, cut.margin);
        if let Some(planned) = held.filter(|_| self.fixed_chord(&segment) != held) {
            self.chords_left |= self.locked_chord(&segment).is_some();
            let cause = self.playing();
            self.history.change(cause, |ledger| ledger.give_chord(&segment, planned));
        }
    }

    /// The chords of these bars as they are played, or settled for what comes.
    fn settled_chords(&self, bars: &Range<Ticks>) -> Vec<(Segment, PlannedChord)> {
        let ahead = self.last_cut.map_or_else(Vec::new, |cut| self.chords_ahead(cut.segment.next()));
        let chords = self.ledger().chords().into_iter().chain(ahead);
        let within = chords.filter(|(segment, _)| bars.contains(&segment.bar.start));
        // What is planned is newer than what was played.
        let by_place: BTreeMap<Ticks, (Segment, PlannedChord)> =
            within.map(|(segment, chord)| (segment.start(), (segment, chord))).collect();
        by_place.into_values().collect()
    }
}

/// How much later than the melody its enhanced form stands in a bar: what was written for the bar's own melody is in its place.
fn enhanced_late(ledger: &Ledger, bar: &Bar) -> Ticks {
    let own = |entry: &LedgerBar| entry.origin != Origin::Anticipated && entry.melody.is_some();
    if ledger.bar(bar).is_some_and(own) { 0 } else { melody_parts::lateness(bar) }
}

/// Parts that are on and that an answer was not asked for.
fn missing(answer: &SegmentAnswer, settings: &Settings) -> Option<PerPart<bool>> {
    let parts = PerPart::from_fn(|part| settings.part_is_on(part) && !answer.settings.part_is_on(part));
    parts.0.contains(&true).then_some(parts)
}

/// Random numbers of an answer: by the user's seed and the place in the song, so that a bar can be written alone, and by
/// how often another answer was wanted there.
fn seed_of(settings: &Settings, ask: &Ask, rolls: u32) -> u64 {
    let kind: u64 = match ask {
        Ask::Jam(_) => 1,
        Ask::Arrange(_) => 2,
    };
    let place = u64::from(ask.start() as u32);
    let stream =
        kind.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(u64::from(rolls).wrapping_mul(0xd1b5_4a32_d192_ed03));
    // The finaliser of SplitMix64 (Steele, Lea, Flood 2014) spreads neighbouring places apart.
    let mut mixed = (u64::from(settings.seed) << 32 | place).wrapping_add(stream);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod melody_tests;
#[cfg(test)]
mod tests;
