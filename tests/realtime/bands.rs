//! Generators to try the real-time side with.

use obbligato::generators::enhancer::{self, Fixed};
use obbligato::generators::extender::{self, Extension, KnownChords};
use obbligato::generators::library::Loaded;
use obbligato::generators::melodists::{EnhancesMelodies, ExtendsMelodies};
use obbligato::generators::rules::RuleGenerator;
use obbligato::generators::{Generator, GeneratorError, PartNote, Request};
use obbligato::music::{Key, Meter, Note, Part, PerPart, PlanSource, PlannedChord, Song, Ticks, Timing, Velocity};
use obbligato::settings::Settings;

/// The melody does not sound; the whole band does.
pub fn all_parts() -> Settings {
    let mut settings = Settings { thru: false, count_in: 0, ..Settings::default() };
    Part::BAND.into_iter().for_each(|part| settings.parts[part].on = true);
    settings
}

/// Only this part sounds.
pub fn only(part: Part) -> Settings {
    let mut settings = Settings { thru: false, count_in: 0, ..Settings::default() };
    Part::ALL.into_iter().for_each(|other| settings.parts[other].on = other == part);
    settings
}

/// The rules' notes, each played around the grid by its own chance.
struct LooseBand(RuleGenerator);

impl Generator for LooseBand {
    fn name(&self) -> &str {
        "Loose band"
    }

    fn parts(&self) -> PerPart<bool> {
        self.0.parts()
    }

    fn plays(&self, meter: Meter) -> bool {
        self.0.plays(meter)
    }

    fn answer(
        &mut self,
        request: &Request<'_>,
        write: &mut dyn FnMut(PartNote),
    ) -> Result<Vec<PlannedChord>, GeneratorError> {
        self.0.answer(request, &mut |note| write(PartNote { timing: chance_timing(&note), ..note }))
    }
}

/// Anything that a timing can be, by the note.
fn chance_timing(note: &PartNote) -> Timing {
    let number = u64::from(note.note.start.unsigned_abs()) << 16 | u64::from(note.note.key.number()) << 3;
    let mixed = (number | note.part.index() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33;
    let (earliest, latest) = (Timing::EARLIEST.sixteenths(), Timing::LATEST.sixteenths());
    Timing::clamped(earliest + (mixed % (latest - earliest + 1) as u64) as i32)
}

pub fn loose_band() -> Loaded {
    Loaded { generator: Box::new(LooseBand(RuleGenerator)), ..Loaded::rules() }
}

/// Raises every note of what it may change by a fifth; with notes to add alone it adds the octave.
struct Fifths;

impl EnhancesMelodies for Fifths {
    fn name(&self) -> &str {
        "Fifths"
    }

    fn enhance(&mut self, song: &Song, fixed: &Fixed, _: &enhancer::Wish) -> Result<Vec<Note>, GeneratorError> {
        let raised = |note: &Note| {
            let key = Key::folded(i32::from(note.key.number()) + 7);
            let may_change = fixed.editable.as_ref().is_none_or(|editable| editable.contains(&note.start));
            if may_change { Note { key, ..*note } } else { *note }
        };
        Ok(song.melody.iter().map(raised).collect())
    }
}

/// Goes on with a key a beat, of which the seed and what was heard decide.
struct Beats;

impl ExtendsMelodies for Beats {
    fn name(&self) -> &str {
        "Beats"
    }

    fn extend(
        &mut self,
        song: &Song,
        from: Ticks,
        _: KnownChords<'_>,
        wish: &extender::Wish,
    ) -> Result<Extension, GeneratorError> {
        let heard = song.melody.iter().filter(|note| note.start < from).map(|note| i32::from(note.key.number()));
        let sum: i32 = heard.sum::<i32>() + (wish.seed % 97) as i32;
        let end = (from / 48 + wish.bars as Ticks) * 48;
        let note = |start: Ticks| {
            let key = Key::folded(60 + (sum + start).rem_euclid(12));
            Note { start, key, duration: 12, velocity: Velocity::default() }
        };
        Ok(Extension { notes: ((from + 11) / 12 * 12..end).step_by(12).map(note).collect(), chords: Vec::new() })
    }
}

pub fn band_with_melodists() -> Loaded {
    Loaded {
        generator: Box::new(RuleGenerator),
        enhancer: Some(Box::new(Fifths)),
        extender: Some(Box::new(Beats)),
        ..Loaded::rules()
    }
}

/// Strikes a key of one part at the start of each segment, always so far from the grid.
#[derive(Debug, Clone, Copy)]
pub struct Metronome {
    pub part: Part,
    pub timing: Timing,
    /// In ticks.
    pub duration: Ticks,
}

impl Default for Metronome {
    fn default() -> Self {
        Self { part: Part::Bass, timing: Timing::default(), duration: 12 }
    }
}

impl Metronome {
    pub fn load(self) -> Loaded {
        Loaded { generator: Box::new(self), ..Loaded::rules() }
    }
}

impl Generator for Metronome {
    fn name(&self) -> &str {
        "Metronome"
    }

    fn parts(&self) -> PerPart<bool> {
        PerPart::from_fn(|part| part == self.part)
    }

    fn plays(&self, _: Meter) -> bool {
        true
    }

    fn answer(
        &mut self,
        request: &Request<'_>,
        write: &mut dyn FnMut(PartNote),
    ) -> Result<Vec<PlannedChord>, GeneratorError> {
        for segment in request.ask.segments() {
            let (start, duration) = (segment.start(), self.duration);
            let note = Note { start, key: Key::folded(40), duration, velocity: Velocity::default() };
            write(PartNote { part: self.part, note, timing: self.timing });
        }
        Ok(no_chords(request))
    }
}

/// No chord is settled on.
pub fn no_chords(request: &Request<'_>) -> Vec<PlannedChord> {
    request.ask.segments().map(|_| PlannedChord { chord: None, source: PlanSource::Rule }).collect()
}
