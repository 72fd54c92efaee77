//! `enhance` and `extend`: one melody file in, another melody out.

use crate::accompany::{check_runtime, chord_plan, is_same_file, is_stream, read_midi, say_beside, title, write_midi};
use crate::arguments::{Enhance, Extend, OfMelody};
use crate::failure::Failure;
use obbligato::generators::enhancer::Fixed;
use obbligato::generators::library::{self, GeneratorChoice};
use obbligato::midi_file::{self, MidiFile, PlayedNote, chord_names};
use obbligato::music::{Note, Segment, Song, Ticks};
use std::collections::BTreeMap;

/// # Errors
/// [`Failure::Input`] when the melody cannot be read or the model not be played, [`Failure::Other`] when the outcome cannot be
/// written.
pub fn enhance(flags: &Enhance) -> Result<(), Failure> {
    let (opened, choice) = (Opened::read(&flags.melody)?, choice(&flags.melody)?);
    let (mut enhancer, elsewhere) = library::load_enhancer(&choice).map_err(not_played)?;
    elsewhere.into_iter().for_each(|problem| eprintln!("warning: {problem}"));
    let after = enhancer.enhance(&opened.song, &Fixed::default(), &flags.wish());
    let after = after.map_err(|error| Failure::Other(format!("{} failed: {error}", enhancer.name())))?;
    let before = opened.places();
    let kept = after.iter().filter(|note| before.contains_key(&(note.start, note.key))).count();
    let played: Vec<PlayedNote> = after.iter().map(|note| opened.as_played(note, &before)).collect();
    opened.write(&flags.melody, &played, &[])?;
    let (added, removed) = (after.len() - kept, before.len() - kept);
    let words = format!("  {}: {added} notes added, {removed} of {} removed", enhancer.name(), before.len());
    opened.tell(&flags.melody, &words);
    Ok(())
}

/// # Errors
/// [`Failure::Input`] when melody or chords cannot be read or the model not be played, [`Failure::Other`] when the outcome
/// cannot be written.
pub fn extend(flags: &Extend) -> Result<(), Failure> {
    let plan = flags.chords.as_deref().map(chord_plan).transpose()?.unwrap_or_default();
    let (opened, choice) = (Opened::read(&flags.melody)?, choice(&flags.melody)?);
    let from = opened.bar_line(flags.from)?;
    let (mut extender, elsewhere) = library::load_extender(&choice).map_err(not_played)?;
    elsewhere.into_iter().for_each(|problem| eprintln!("warning: {problem}"));
    let known = |segment: &Segment| plan.chord_of(segment).map(|planned| planned.chord);
    let found = extender.extend(&opened.song, from, &known, &flags.wish());
    let found = found.map_err(|error| Failure::Other(format!("{} failed: {error}", extender.name())))?;
    let heard = opened.line_notes().filter(|note| note.on_grid().start < from).copied();
    let played: Vec<PlayedNote> = heard.chain(found.notes.iter().map(PlayedNote::from)).collect();
    let chords = chord_names(found.chords.iter().map(|(segment, chord)| (segment.start(), *chord)));
    opened.write(&flags.melody, &played, &chords)?;
    let bar = opened.song.bars_until(from).count() + 1;
    opened.tell(&flags.melody, &format!("  {}: {} notes from bar {bar} on", extender.name(), found.notes.len()));
    Ok(())
}

/// A melody with the file that it came from.
struct Opened {
    file: MidiFile,
    line: usize,
    song: Song,
}

impl Opened {
    fn read(flags: &OfMelody) -> Result<Self, Failure> {
        if is_same_file(&flags.input, &flags.output) {
            return Err(Failure::input(&flags.output, "this is the melody itself; write to another file"));
        }
        let file = read_midi(&flags.input)?;
        let chosen = file.melody_line(&flags.track()).map_err(|error| Failure::input(&flags.input, error))?;
        let song = file.song(chosen);
        let line = file.lines.iter().position(|line| std::ptr::eq(line, chosen)).unwrap_or(0);
        file.warnings.iter().for_each(|warning| eprintln!("warning: {}: {warning}", flags.input.display()));
        Ok(Self { file, line, song })
    }

    fn line_notes(&self) -> impl Iterator<Item = &PlayedNote> {
        self.file.lines[self.line].notes.iter()
    }

    /// Where each note is on the grid; of several at one place the longest.
    fn places(&self) -> BTreeMap<(Ticks, obbligato::music::Key), PlayedNote> {
        let mut places: BTreeMap<_, PlayedNote> = BTreeMap::new();
        for played in self.line_notes() {
            let note = played.on_grid();
            let kept = places.entry((note.start, note.key)).or_insert(*played);
            if kept.on_grid().duration < note.duration {
                *kept = *played;
            }
        }
        places
    }

    /// What stays is played as it was.
    fn as_played(&self, note: &Note, before: &BTreeMap<(Ticks, obbligato::music::Key), PlayedNote>) -> PlayedNote {
        let new = PlayedNote::from(note);
        before.get(&(note.start, note.key)).map_or(new, |old| {
            let as_long = old.on_grid().duration == note.duration;
            let end_quarters = if as_long { old.end_quarters } else { new.end_quarters.max(old.start_quarters + 0.01) };
            PlayedNote { end_quarters, ..*old }
        })
    }

    /// Where a bar begins, counted from 1; without a number, where the melody's last bar ends.
    fn bar_line(&self, number: Option<u32>) -> Result<Ticks, Failure> {
        let bars = self.song.bars().count();
        match number.map(|number| number as usize) {
            None => Ok(self.song.bars().last().map_or(0, |bar| bar.end())),
            Some(number) if number <= bars + 1 => {
                Ok(self.song.bars_until(Ticks::MAX).nth(number - 1).map_or(0, |bar| bar.start))
            }
            Some(number) => Err(Failure::Input(format!("--from {number}: the melody has {bars} bars"))),
        }
    }

    fn write(&self, flags: &OfMelody, played: &[PlayedNote], chords: &[(Ticks, String)]) -> Result<(), Failure> {
        let bytes = midi_file::write_played(&self.song, played, &[], chords, &title(&self.file, &flags.input));
        write_midi(&flags.output, &bytes)
    }

    fn tell(&self, flags: &OfMelody, words: &str) {
        if !flags.quiet && !is_stream(&flags.output) {
            say_beside(&flags.output, &format!("{} → {}\n{words}", flags.input.display(), flags.output.display()));
        }
    }
}

fn choice(flags: &OfMelody) -> Result<GeneratorChoice, Failure> {
    let choice = flags.choice().map_err(|error| Failure::Input(format!("--runtime: {error}")))?;
    check_runtime(flags.runtime.as_ref(), &choice)?;
    Ok(choice)
}

fn not_played(error: impl std::fmt::Display) -> Failure {
    Failure::Input(format!("--model: {error}"))
}
