//! Generators to try the real-time side with.

use obbligato::generators::library::Loaded;
use obbligato::generators::rules::RuleGenerator;
use obbligato::generators::{Generator, GeneratorError, PartNote, Request};
use obbligato::music::{Key, Meter, Note, Part, PerPart, PlanSource, PlannedChord, Ticks, Timing, Velocity};
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
