//! What is played again instead of being written: what stands in the ledger, and what followed when the same melody was
//! heard before.

use super::extending::began;
use super::following::place_repeated;
use super::played::PlayedSegment;
use super::{Arranger, LOOP_BARS, MEMORY_BARS, missing};
use crate::channels::Cut;
use crate::generators::rules::{harmonise_bar, tonality_of};
use crate::generators::{PartNote, SegmentAnswer};
use crate::ledger::LedgerBar;
use crate::music::{Bar, Chord, Note, Part, PerPart, PlanSource, PlannedChord, Segment, Ticks};
use crate::settings::Settings;

impl Arranger {
    /// What the ledger has for a segment, if it is still what is asked for.
    pub(super) fn standing(&self, cut: &Cut) -> Option<SegmentAnswer> {
        let segment = cut.segment;
        let entry = self.ledger().bar(&segment.bar)?;
        let answer = entry.answer(segment.number)?;
        let stands = entry.locked || (self.following.agrees_at(&segment.bar) && self.still_asked(entry, answer, cut));
        stands.then(|| SegmentAnswer { segment, ..answer.clone() })
    }

    fn still_asked(&self, entry: &LedgerBar, answer: &SegmentAnswer, cut: &Cut) -> bool {
        // A knob that is turned inside a bar counts from the next on.
        match self.decided(&cut.segment) {
            // A chord that is held counts from the next segment on.
            Some(bar) => bar.stands && self.has_fixed_chord(answer),
            None => self.is_current(entry, answer, &cut.settings) && !knows_better(entry, cut),
        }
    }

    /// Whether an answer was written for these settings and for the user's chords as they are now.
    pub(super) fn is_current(&self, entry: &LedgerBar, answer: &SegmentAnswer, settings: &Settings) -> bool {
        let kept = entry.kept_under.is_some_and(|kept_under| kept_under.asks_the_same(settings));
        let counted_in = !entry.listened || answer.settings.counts_in_the_same(settings);
        (kept || answer.settings.asks_the_same(settings)) && counted_in && self.has_fixed_chord(answer)
    }

    pub(super) fn has_fixed_chord(&self, answer: &SegmentAnswer) -> bool {
        match self.fixed_chord(&answer.segment) {
            Some(fixed) => fixed.chord == answer.chord.chord,
            None => answer.chord.source != PlanSource::User,
        }
    }

    /// The parts of a bar that stay though the others are written anew: the locked ones, if it has any.
    pub(super) fn kept(&self, bar: &Bar, settings: &Settings) -> Option<(&LedgerBar, PerPart<bool>)> {
        let entry = self.ledger().bar(bar)?;
        let (written, unlocked) = (entry.parts(), settings.parts.unlocked());
        let kept = PerPart::from_fn(|part| written[part] && !unlocked[part]);
        kept.0.contains(&true).then_some((entry, kept))
    }

    /// What followed when the last two bars were heard before, moved here.
    pub(super) fn repeated(&self, cut: &Cut) -> Option<SegmentAnswer> {
        let segment = cut.segment;
        if self.kept(&segment.bar, &cut.settings).is_some() {
            return None;
        }
        let place = self.place_repeated(segment.bar, segment.start() - cut.margin)?;
        let PlayedSegment { answer, listened } = self.played_at(&Segment { bar: place, ..segment })?;
        let fixed = self.fixed_chord(&segment);
        let fits = answer.settings.asks_the_same(&cut.settings) && missing(&answer, &cut.settings).is_none();
        let melody = self.melody_until(segment.start() - cut.margin, MEMORY_BARS);
        if carries_on(&answer, &segment, &cut.settings, &melody) {
            return None;
        }
        if listened || !fits || fixed.is_some_and(|fixed| fixed.chord != answer.chord.chord) {
            return None;
        }
        let chord = fixed.unwrap_or_else(|| heard(answer.chord.chord));
        Some(SegmentAnswer {
            chord,
            quarters_per_minute: cut.quarters_per_minute,
            margin: cut.margin,
            ..moved(&answer, segment)
        })
    }

    /// A tune that comes round is arranged as it was: what was written when this bar's melody, and that of the two bars
    /// before it, was arranged before, for the same settings and chords. Not where another answer was wanted.
    pub(super) fn arranged_before(
        &self,
        entry: &LedgerBar,
        settings: &Settings,
        quarters_per_minute: f32,
    ) -> Option<Vec<SegmentAnswer>> {
        /// What comes again sooner is a bar over and over, which wants changes.
        const NEAREST: usize = 4;
        let bar = entry.bar;
        let bars = self.ledger().bars_before(bar.start, LOOP_BARS);
        let melody = self.ledger().melody_before(bar.end(), LOOP_BARS + 1);
        let place = place_repeated(&melody, &bars, bar, bar.end() - 1, NEAREST)?;
        let before = self.ledger().bar(&place).filter(|before| is_an_example(before) && entry.rolls == 0)?;
        let again = |segment: Segment| {
            let answer = before.answer(segment.number)?;
            if carries_on(answer, &segment, settings, &melody) {
                return None;
            }
            let fits = answer.settings.asks_the_same(settings) && missing(answer, settings).is_none();
            let fixed = self.fixed_chord(&segment);
            let same_chord = match fixed {
                Some(fixed) => fixed.chord == answer.chord.chord,
                None => answer.chord.source != PlanSource::User,
            };
            let chord = fixed.unwrap_or(answer.chord);
            (fits && same_chord).then(|| SegmentAnswer { chord, quarters_per_minute, ..moved(answer, segment) })
        };
        bar.segments().map(again).collect()
    }

    /// What this take played in a segment, or else what the ledger has.
    fn played_at(&self, segment: &Segment) -> Option<PlayedSegment> {
        let of_ledger = || {
            let entry = self.ledger().bar(&segment.bar)?;
            Some(PlayedSegment { answer: entry.answer(segment.number)?.clone(), listened: entry.listened })
        };
        self.played.answer_to(segment).cloned().or_else(of_ledger)
    }

    /// Where the melody was as it is now, known up to `until`, with `bar` as what comes next: the bar that came then.
    pub(super) fn place_repeated(&self, bar: Bar, until: Ticks) -> Option<Bar> {
        let bars = self.ledger().bars_before(bar.start, LOOP_BARS);
        place_repeated(&self.melody_until(until, LOOP_BARS), &bars, bar, until, 1)
    }

    /// The chord plan's word on a segment that is answered before its melody is heard: the user's chord, held or fixed; else
    /// what was heard at this place before; else what followed when the last two bars were heard before.
    pub(super) fn planned_chord(&self, segment: &Segment, margin: Ticks) -> Option<PlannedChord> {
        let repeated = || self.chord_at(&self.place_repeated(segment.bar, segment.start() - margin)?, segment.number);
        let given = self.held_chord(segment, margin).or_else(|| self.fixed_chord(segment));
        given.or_else(|| self.chord_heard_here(segment)).or_else(repeated)
    }

    fn chord_heard_here(&self, segment: &Segment) -> Option<PlannedChord> {
        let entry = self.ledger().bar(&segment.bar)?;
        entry.melody.as_ref().filter(|melody| !melody.is_empty())?;
        if entry.is_settled()
            && let Some(answer) = entry.answer(segment.number)
        {
            return Some(heard(answer.chord.chord));
        }
        let before = self.ledger().melody_before(segment.bar.end(), MEMORY_BARS);
        self.harmonised(&before, segment)
    }

    /// The chord of a bar of the loop: as it was played, or, where the band only listened, as it should have been.
    fn chord_at(&self, place: &Bar, number: u8) -> Option<PlannedChord> {
        let there = Segment { bar: *place, number };
        let PlayedSegment { answer, listened } = self.played_at(&there)?;
        if !listened {
            return Some(heard(answer.chord.chord));
        }
        self.harmonised(&self.melody_until(place.end() - 1, MEMORY_BARS), &there)
    }

    fn harmonised(&self, melody: &[Note], segment: &Segment) -> Option<PlannedChord> {
        let tonality = tonality_of(melody, segment.bar.end());
        let before = self.ledger().answers_before(segment.bar.start, 2);
        let past: Vec<Option<Chord>> = before.iter().map(|(_, answer)| answer.chord.chord).collect();
        let chords = harmonise_bar(melody, segment.bar, &past, tonality);
        chords.get(usize::from(segment.number)).map(|chord| heard(Some(*chord)))
    }

    /// The chords that are settled for the eight bars from `segment` on, up to where the generator will choose.
    pub fn chords_ahead(&self, segment: Segment) -> Vec<(Segment, PlannedChord)> {
        const BARS: i32 = 8;
        let Some(cut) = self.last_cut else { return Vec::new() };
        let place = self.place_repeated(segment.bar, cut.segment.start() - cut.margin);
        let shift = place.map(|place| segment.bar.start - place.start);
        let chord = |segment: Segment| {
            let standing = || Some(self.standing(&Cut { segment, ..cut })?.chord);
            let repeated = || {
                let start = segment.bar.start - shift?;
                self.chord_at(&self.ledger().bar_at(start)?.bar, segment.number)
            };
            let given = self.held_chord(&segment, cut.margin).or_else(|| self.fixed_chord(&segment));
            let known = given.or_else(standing).or_else(|| self.chord_heard_here(&segment));
            known.or_else(repeated)
        };
        let segments = std::iter::successors(Some(segment), |segment| Some(segment.next()));
        let near = segments.take_while(|ahead| ahead.bar.index.0 - segment.bar.index.0 < BARS);
        near.map_while(|segment| Some((segment, chord(segment)?))).collect()
    }
}

/// Whether the melody is carried on in this segment, or was in the one before that is like it: each time it goes on anew, and
/// where the player plays it does not.
fn carries_on(before: &SegmentAnswer, segment: &Segment, settings: &Settings, melody: &[Note]) -> bool {
    let played = before.notes.iter().any(|note| note.part == Part::Extension);
    let now = || began(&settings.extend, &segment.bar, segment.start(), melody).is_some();
    settings.part_is_on(Part::Extension) && (played || now())
}

/// Live, the band answers a bar of its count-in anew the second time round, since now it knows the tune. A render plays
/// what was heard.
fn knows_better(entry: &LedgerBar, cut: &Cut) -> bool {
    entry.listened && entry.melody.is_some() && !cut.offline
}

/// Whether a bar's music is what was wanted of a band that knew the tune: no count-in that was locked, nor what is to be
/// written anew.
fn is_an_example(entry: &LedgerBar) -> bool {
    entry.is_settled() && !entry.listened && !entry.wanted.0.contains(&true)
}

/// An answer as that of a later segment.
fn moved(answer: &SegmentAnswer, segment: Segment) -> SegmentAnswer {
    let shift = segment.start() - answer.segment.start();
    let moved = |note: &PartNote| PartNote { note: Note { start: note.note.start + shift, ..note.note }, ..*note };
    SegmentAnswer { segment, notes: answer.notes.iter().map(moved).collect(), ..answer.clone() }
}

pub(super) fn heard(chord: Option<Chord>) -> PlannedChord {
    PlannedChord { chord, source: PlanSource::Heard }
}
