//! The parts that come of the melody: it enhanced, and it carried on. They are written before the band, which plays to them.

use super::extending::{began, comes_in};
use super::seed_of;
use super::writing::Question;
use super::{Arranger, MEMORY_BARS, enhanced_late};
use crate::generators::enhancer::{self, Fixed, Removal};
use crate::generators::extender;
use crate::generators::{Ask, PartNote, SegmentAnswer};
use crate::music::{Bar, Chord, Note, Part, PlanSource, PlannedChord, Segment, Song, TempoChange, Ticks};
use std::collections::BTreeSet;
use std::ops::Range;

/// Before the bar that is enhanced: as much as the network hears.
const HEARD_AROUND: i32 = 8;
/// Bars from the song's start are counted in phrases of so many, of which models are told.
const PHRASE: i32 = 8;

impl Arranger {
    /// Writes the parts of the melody that are asked for, and has the band play to them.
    pub(super) fn play_melody(&mut self, question: &mut Question, write: &mut dyn FnMut(PartNote)) {
        let played = question.melody.clone();
        let enhanced = question.parts[Part::Enhanced].then(|| self.enhance(question, &played));
        self.hear_parts(question);
        match enhanced {
            Some(Some(notes)) => {
                notes.iter().for_each(|note| write(*note));
                question.melody_notes.extend(notes);
            }
            Some(None) => question.do_without(Part::Enhanced),
            None => {}
        }
        if question.settings.feeds_enhanced() {
            let (span, late) = heard_span(&question.ask);
            feed(&mut question.melody, &question.melody_notes, span, late);
        }
        if question.parts[Part::Extension] {
            self.extend(question, &played, write);
        }
        if let Ask::Arrange(_) = question.ask {
            let extension: Vec<Note> = question.extension().collect();
            question.melody.extend(extension);
            question.melody.sort_unstable();
        }
        question.melody_notes.sort_unstable();
        question.leave_melody();
    }

    /// The band is told of what came of the melody before as of the melody itself, and is shown no more of it.
    pub(super) fn hear_parts(&self, question: &mut Question) {
        let played = question.melody.clone();
        for answer in &question.past {
            if question.settings.feeds_enhanced() && answer.settings.feeds_enhanced() {
                let late = enhanced_late(self.ledger(), &answer.segment.bar);
                let span = answer.segment.start() - late..answer.segment.end() - late;
                feed(&mut question.melody, &answer.notes, span, late);
            }
            if question.settings.part_is_on(Part::Extension) {
                question.melody.extend(sounding_of(answer, &played));
            }
        }
        question.melody.sort_unstable();
        question.past.iter_mut().for_each(|answer| answer.notes.retain(|note| note.part.is_of_band()));
    }

    /// A bar in which the player has come in keeps of the extension what sounded.
    pub(super) fn cut_extension(&mut self, bar: &Bar) {
        let Some(entry) = self.ledger().bar(bar).filter(|entry| !entry.locked) else { return };
        let melody = self.ledger().melody_before(bar.end(), MEMORY_BARS);
        let sounding = |answer: &SegmentAnswer| {
            let (of_others, extension): (Vec<PartNote>, Vec<PartNote>) =
                answer.notes.iter().partition(|note| note.part != Part::Extension);
            let kept = sounding_of(answer, &melody);
            let as_it_was = extension.iter().map(|note| &note.note).eq(&kept);
            let kept = kept.into_iter().map(|note| PartNote::on_grid(Part::Extension, note));
            // Which has the last place among the parts.
            let notes = of_others.into_iter().chain(kept).collect();
            (!as_it_was).then(|| SegmentAnswer { notes, ..answer.clone() })
        };
        let cut: Vec<SegmentAnswer> = entry.answers.iter().filter_map(sounding).collect();
        if !cut.is_empty() {
            let cause = self.playing();
            self.history.change(cause, |ledger| ledger.extend(cut));
        }
    }

    // Enhanced

    /// `None` where nobody can.
    fn enhance(&mut self, question: &Question, played: &[Note]) -> Option<Vec<PartNote>> {
        let (bar, settings) = (question.ask.bar(), &question.settings.enhance);
        let (span, late) = heard_span(&question.ask);
        let (song, origin) = self.song(question, &bar, HEARD_AROUND, played);
        let limits = Limits::of(question, played);
        let wish = enhancer::Wish {
            add: limits.add,
            remove: Removal::Notes(limits.remove),
            iterations: u32::from(settings.passes),
            temperature: settings.risk,
            style: question.settings.style,
            seed: seed_of(&question.settings, &question.ask, question.rolls),
        };
        let editable = Some(span.start - origin..span.end - origin);
        let notes = self.melodists.enhance(&song, &Fixed { editable, ..Fixed::default() }, &wish)?;
        let at_place = notes.into_iter().map(|note| Note { start: note.start + origin, ..note });
        let within = at_place.filter(|note| span.contains(&note.start));
        let played = |note: Note| PartNote::on_grid(Part::Enhanced, Note { start: note.start + late, ..note });
        Some(within.map(played).collect())
    }

    // Extension

    fn extend(&mut self, question: &mut Question, played: &[Note], write: &mut dyn FnMut(PartNote)) {
        let bar = question.ask.bar();
        let segments: Vec<Segment> = question.ask.segments().collect();
        let mut rest = segments.as_slice();
        while let Some((first, later)) = rest.split_first() {
            rest = later;
            let Some(from) = began(&question.settings.extend, &bar, first.start(), played) else { continue };
            // A whole bar is written in one go.
            while let Some((next, later)) = rest.split_first()
                && began(&question.settings.extend, &bar, next.start(), played) == Some(from)
            {
                rest = later;
            }
            let line = rest.first().map_or(question.ask.end(), Segment::start);
            let end = comes_in(from, first.start(), played).map_or(line, |strike| strike.min(line));
            self.extend_from(question, first.start()..end, write);
        }
    }

    fn extend_from(&mut self, question: &mut Question, span: Range<Ticks>, write: &mut dyn FnMut(PartNote)) {
        let (bar, settings) = (question.ask.bar(), question.settings.extend);
        let before = before(&question.melody, question.extension(), span.start);
        let (song, origin) = self.song(question, &bar, i32::from(settings.listen), &before);
        let known = known_chords(question);
        let known = |segment: &Segment| {
            let at = segment.start() + origin;
            let before_all = known.first().is_some_and(|(start, _)| at < *start);
            let found = known.iter().rfind(|(start, _)| *start == at).map(|(_, chord)| *chord);
            // Before the music nobody played a chord.
            found.or(before_all.then_some(None))
        };
        let wish = extender::Wish {
            bars: 1,
            listen: usize::from(settings.listen),
            sampling: settings.sampling,
            temperature: settings.risk,
            style: question.settings.style,
            seed: seed_of(&question.settings, &question.ask, question.rolls),
        };
        let Some(found) = self.melodists.extend(&song, span.start - origin, &known, &wish) else {
            return question.do_without(Part::Extension);
        };
        let at_place = found.notes.into_iter().map(|note| Note { start: note.start + origin, ..note });
        for note in at_place.filter(|note| span.contains(&note.start)) {
            let note = PartNote::on_grid(Part::Extension, note);
            write(note);
            question.melody_notes.push(note);
        }
        for (segment, planned) in question.ask.segments().zip(&mut question.chords) {
            let of_segment = found.chords.iter().find(|(of, _)| of.start() + origin == segment.start());
            let thought = of_segment.map(|(_, chord)| PlannedChord { chord: *chord, source: PlanSource::Proposed });
            *planned = planned.or(thought.filter(|_| span.contains(&segment.start())));
        }
    }

    /// The song around `bar` that a melodist hears, and where in ours it begins: some bars before it, as far back as the metre
    /// is the same.
    fn song(&self, question: &Question, bar: &Bar, back: i32, melody: &[Note]) -> (Song, Ticks) {
        let length = bar.meter.bar_length();
        let phrase_of = |index: i32| index.div_euclid(PHRASE) * PHRASE;
        let starts =
            melody.iter().map(|note| note.start).chain(question.past.iter().map(|answer| answer.segment.start()));
        let music = starts.min().map_or(0, |start| (start - bar.start).div_euclid(length)).min(0);
        let first = phrase_of(bar.index.0 - back).max(phrase_of(bar.index.0 + music));
        let origin = bar.start - (bar.index.0 - first) * length;
        let other_metre =
            self.ledger().bars().rev().find(|other| other.bar.start < bar.start && other.bar.meter != bar.meter);
        let since = other_metre.map_or(origin, |other| other.bar.end().max(origin));
        let until = question.ask.end();
        let heard = melody.iter().filter(|note| since <= note.start && note.start < until);
        // A key that is held is known so far.
        let cut = |note: &Note| {
            let duration = note.duration.min(until - note.start);
            Note { start: note.start - origin, duration, ..*note }
        };
        let quarters_per_minute = f64::from(question.quarters_per_minute);
        let song = Song {
            melody: heard.map(cut).collect(),
            tempos: vec![TempoChange { at: 0, quarters_per_minute }],
            meters: vec![(0, bar.meter)],
        };
        (song, origin)
    }
}

/// What may be added and taken away in what is asked for, so that the limits of a bar hold for its halves together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Limits {
    add: usize,
    remove: usize,
}

impl Limits {
    fn of(question: &Question, played: &[Note]) -> Self {
        let settings = &question.settings.enhance;
        let (span, late) = heard_span(&question.ask);
        let (add, bar) = (usize::from(settings.add), question.ask.bar());
        let of_whole = |from, end| share(settings.remove, places(played, from..end).len());
        let Ask::Jam(segment) = question.ask else {
            return Self { add, remove: of_whole(span.start, span.end) };
        };
        if bar.segments().count() == 1 {
            return Self { add, remove: of_whole(span.start, span.end) };
        }
        if segment.number == 0 {
            // Half of the bar's are left for the other half, of which nothing is known yet.
            return Self { add: add.div_ceil(2), remove: of_whole(span.start, span.end) };
        }
        let first = question.past.last().filter(|first| first.segment.bar.start == bar.start);
        let (added, removed) = first.map_or((0, 0), |first| differences(first, played, late));
        let remove = of_whole(bar.start - late, bar.end() - late);
        Self { add: add.saturating_sub(added), remove: remove.saturating_sub(removed) }
    }
}

/// How many notes were added and taken away in the first half of the bar.
fn differences(first: &SegmentAnswer, played: &[Note], late: Ticks) -> (usize, usize) {
    if !first.settings.part_is_on(Part::Enhanced) {
        return (0, 0);
    }
    let notes = first.notes.iter().filter(|note| note.part == Part::Enhanced);
    let after: BTreeSet<_> = notes.map(|note| (note.note.start - late, note.note.key)).collect();
    let before = places(played, first.segment.start() - late..first.segment.end() - late);
    (after.difference(&before).count(), before.difference(&after).count())
}

/// The places of notes in a span; of several at one place one counts.
fn places(notes: &[Note], span: Range<Ticks>) -> BTreeSet<(Ticks, crate::music::Key)> {
    notes.iter().filter(|note| span.contains(&note.start)).map(|note| (note.start, note.key)).collect()
}

/// So many of a number at most. The knob's steps are exact: 29 % of 100 are 29.
fn share(share: f32, of: usize) -> usize {
    let thousandths = (f64::from(share) * 1000.0).round() as usize;
    thousandths * of / 1000
}

/// The melody that is enhanced for what is asked, and how much later it is played: not at all where the melody is known, else a
/// bar; two in metres whose bar is one segment, since its end is not known when it is asked for.
fn heard_span(ask: &Ask) -> (Range<Ticks>, Ticks) {
    let late = match ask {
        Ask::Arrange(_) => 0,
        Ask::Jam(segment) => lateness(&segment.bar),
    };
    (ask.start() - late..ask.end() - late, late)
}

/// How much later the enhanced melody is played in a jam.
pub(super) fn lateness(bar: &Bar) -> Ticks {
    let bars = if bar.segments().count() == 1 { 2 } else { 1 };
    bars * bar.meter.bar_length()
}

/// Puts the enhanced notes in the place of the melody that they were made from.
fn feed(melody: &mut Vec<Note>, notes: &[PartNote], span: Range<Ticks>, late: Ticks) {
    melody.retain(|note| !span.contains(&note.start));
    let enhanced = notes.iter().filter(|note| note.part == Part::Enhanced);
    let heard = enhanced.map(|note| Note { start: note.note.start - late, ..note.note });
    melody.extend(heard.filter(|note| span.contains(&note.start)));
    melody.sort_unstable();
}

/// The notes of an answer that carry the melody on, as far as the player let them.
fn sounding_of(answer: &SegmentAnswer, played: &[Note]) -> Vec<Note> {
    let start = answer.segment.start();
    let notes = answer.notes.iter().filter(|note| note.part == Part::Extension).map(|note| note.note);
    let from = began(&answer.settings.extend, &answer.segment.bar, start, played).unwrap_or(start);
    let end = comes_in(from, start, played).unwrap_or(Ticks::MAX);
    let sounding = notes.filter(|note| note.start < end);
    sounding.map(|note| Note { duration: note.duration.min(end.saturating_sub(note.start)), ..note }).collect()
}

fn before(melody: &[Note], extension: impl Iterator<Item = Note>, end: Ticks) -> Vec<Note> {
    let mut notes: Vec<Note> = melody.iter().copied().chain(extension).filter(|note| note.start < end).collect();
    notes.sort_unstable();
    notes
}

/// Those of the segments before and of those that are asked for, by their starts.
fn known_chords(question: &Question) -> Vec<(Ticks, Option<Chord>)> {
    let past = question.past.iter().map(|answer| (answer.segment.start(), answer.chord.chord));
    let asked = question.ask.segments().zip(&question.chords);
    past.chain(asked.filter_map(|(segment, planned)| Some((segment.start(), (*planned)?.chord)))).collect()
}
