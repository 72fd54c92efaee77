//! Who plays what: the generator what it can write, the drummer the drums, the rules the rest, and all that fails. Runs on the
//! inference thread.

use super::groove::Groove;
use super::rules::RuleGenerator;
use super::{Drummer, Generator, GeneratorError, PartNote, Request, SegmentAnswer};
use crate::music::{Part, PerPart, PlanSource, PlannedChord};
use std::panic::{AssertUnwindSafe, catch_unwind};

pub struct Band {
    generator: Box<dyn Generator>,
    drummer: Option<Box<dyn Drummer>>,
    rules: RuleGenerator,
    problem: Option<String>,
    failures: u32,
}

impl Band {
    pub fn new(generator: Box<dyn Generator>, drummer: Option<Box<dyn Drummer>>) -> Self {
        Self { generator, drummer, rules: RuleGenerator, problem: None, failures: 0 }
    }

    /// What went wrong last, in words for the user.
    pub fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    /// How often generator or drummer have failed.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Where the generator computes, where that can change.
    pub fn device(&self) -> Option<String> {
        self.generator.device()
    }

    /// There is time for a short piece of other work.
    pub fn at_rest(&mut self) {
        // An error there is one of an experiment: what plays goes on.
        let _ = catch_unwind(AssertUnwindSafe(|| self.generator.at_rest()));
    }

    /// As [`Generator::keep_warm`], for all who play. A device that is lost here costs no answer, and is told all the same.
    pub fn keep_warm(&mut self) {
        if let Err(error) = guarded(|| self.generator.keep_warm()) {
            self.problem = Some(format!("{}: {error}", self.generator.name()));
        }
        if let Some(drummer) = &mut self.drummer
            && let Err(error) = guarded(|| drummer.keep_warm())
        {
            self.problem = Some(format!("{}: {error}", drummer.name()));
        }
    }

    /// As [`Generator::read_ahead`], for all who are going to answer.
    pub fn read_ahead(&mut self, request: &Request<'_>) -> bool {
        let mut read = || {
            let parts = self.by_model(request);
            let asked = Request { parts, ..*request };
            if self.asks_generator(request, &parts) && self.generator.read_ahead(&asked) {
                return true;
            }
            let drummer = self.drummer.as_mut().filter(|_| request.parts[Part::Drums]);
            drummer.is_some_and(|drummer| drummer.read_ahead(request))
        };
        // An error there is seen, and told, when the answer is wanted.
        catch_unwind(AssertUnwindSafe(&mut read)).unwrap_or(false)
    }

    /// The parts that the generator is to write, drums apart.
    fn by_model(&self, request: &Request<'_>) -> PerPart<bool> {
        let own = self.generator.parts();
        PerPart::from_fn(|part| request.parts[part] && own[part])
    }

    fn asks_generator(&self, request: &Request<'_>, by_model: &PerPart<bool>) -> bool {
        let needed = by_model.0.contains(&true) || request.chords.iter().any(Option::is_none);
        needed && self.generator.plays(request.ask.bar().meter)
    }

    /// Writes all parts that are asked for, handing out notes as they are decided; the answers by segment, with the notes
    /// that stand.
    pub fn answer(&mut self, request: &Request<'_>, write: &mut dyn FnMut(PartNote)) -> Vec<SegmentAnswer> {
        let mut notes = request.standing.to_vec();
        let groove = Groove::of(request.past);
        let bar = request.ask.bar().start;
        let mut collect = |note| {
            let note = groove.applied(note, bar);
            notes.push(note);
            write(note);
        };
        let with_drummer = request.parts[Part::Drums] && self.drummer.is_some();
        let others = PerPart::from_fn(|part| request.parts[part] && !(with_drummer && part == Part::Drums));
        let chords = self.write_parts(&Request { parts: others, ..*request }, &mut collect);
        let answers = into_segments(request, &chords, notes.clone());
        if !with_drummer {
            return answers;
        }
        let mut collect = |note| {
            notes.push(note);
            write(note);
        };
        self.write_drums(request, &answers, &mut collect);
        into_segments(request, &chords, notes)
    }

    fn fail(&mut self, problem: String) {
        self.problem = Some(problem);
        self.failures = self.failures.wrapping_add(1);
    }

    /// Asks the generator for what it can write and the rules for the rest; the chords that were settled on.
    fn write_parts(&mut self, request: &Request<'_>, write: &mut dyn FnMut(PartNote)) -> Vec<PlannedChord> {
        let mut begun = PerPart::from_fn(|_| false);
        let by_model = self.by_model(request);
        let mut chords = None;
        if self.asks_generator(request, &by_model) {
            let mut write = |note: PartNote| {
                begun[note.part] = true;
                write(note);
            };
            let asked = Request { parts: by_model, ..*request };
            match guarded(|| self.generator.answer(&asked, &mut write)) {
                Ok(settled) => chords = Some(settled),
                Err(error) => {
                    self.fail(failure(self.generator.name(), "play", &error.to_string()));
                }
            }
        }
        // What a failed generator has handed out already may be sounding; its parts keep that and the rules do the others.
        let done = if chords.is_some() { by_model } else { begun };
        let given: Vec<_> = match &chords {
            Some(chords) => chords.iter().copied().map(Some).collect(),
            None => request.chords.to_vec(),
        };
        let rest = PerPart::from_fn(|part| request.parts[part] && !done[part]);
        let by_rule = self.rules.answer(&Request { parts: rest, chords: &given, ..*request }, write);
        chords.or(by_rule.ok()).unwrap_or_default()
    }

    /// `answers` are what the others play.
    fn write_drums(&mut self, request: &Request<'_>, answers: &[SegmentAnswer], write: &mut dyn FnMut(PartNote)) {
        let mut begun = false;
        let mut noting = |note: PartNote| {
            begun = true;
            write(note);
        };
        let done = match self.drummer.as_mut().filter(|drummer| drummer.plays(request, answers)) {
            None => false,
            Some(drummer) => match guarded(|| drummer.play(request, answers, &mut noting)) {
                Ok(()) => true,
                Err(error) => {
                    let problem = failure(drummer.name(), "drum", &error.to_string());
                    self.fail(problem);
                    begun
                }
            },
        };
        if !done {
            let parts = PerPart::from_fn(|part| part == Part::Drums);
            let chords: Vec<_> = answers.iter().map(|answer| Some(answer.chord)).collect();
            // Their chords are those given.
            let _ = self.rules.answer(&Request { parts, chords: &chords, ..*request }, write);
        }
    }
}

/// Writes by rule alone, in microseconds; the answers by segment, with the notes that stand.
pub fn answer_by_rule(request: &Request<'_>, write: &mut dyn FnMut(PartNote)) -> Vec<SegmentAnswer> {
    let mut notes = request.standing.to_vec();
    let chords = RuleGenerator.answer(request, &mut |note| {
        notes.push(note);
        write(note);
    });
    into_segments(request, &chords.expect("rules have an answer to whatever they are asked"), notes)
}

/// A generator's panic is its own affair.
fn failure(who: &str, play: &str, reason: &str) -> String {
    let reason = reason.trim_end_matches('.');
    format!("{who} failed, so the rules {play}: {reason}. If it happens again, choose another model or device.")
}

pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T, GeneratorError>) -> Result<T, GeneratorError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let words = panic.downcast_ref::<&str>().copied().map(str::to_owned);
        let words = words.or_else(|| panic.downcast_ref::<String>().cloned());
        Err(GeneratorError(words.unwrap_or_else(|| "it panicked".into())))
    })
}

/// Sorts the notes into segments, each by part, start and key.
fn into_segments(request: &Request<'_>, chords: &[PlannedChord], mut notes: Vec<PartNote>) -> Vec<SegmentAnswer> {
    const NO_CHORD: PlannedChord = PlannedChord { chord: None, source: PlanSource::Rule };
    notes.sort();
    let segments = request.ask.segments().enumerate();
    segments
        .map(|(index, segment)| SegmentAnswer {
            segment,
            chord: chords.get(index).copied().unwrap_or(NO_CHORD),
            notes: notes
                .iter()
                .filter(|note| segment.start() <= note.note.start && note.note.start < segment.end())
                .copied()
                .collect(),
            settings: *request.settings,
            quarters_per_minute: request.quarters_per_minute,
            margin: request.margin,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generators::Ask;
    use crate::music::{Bar, Key, Meter, Note, Velocity};
    use crate::settings::Settings;

    /// Plays one stroke to each of the bass's notes, and fails after so many.
    struct Shadow {
        strokes: usize,
        panics: bool,
    }

    impl Drummer for Shadow {
        fn name(&self) -> &str {
            "Shadow"
        }

        fn plays(&self, request: &Request<'_>, _: &[SegmentAnswer]) -> bool {
            request.ask.bar().index.0 > 0
        }

        fn play(
            &mut self,
            _: &Request<'_>,
            written: &[SegmentAnswer],
            write: &mut dyn FnMut(PartNote),
        ) -> Result<(), GeneratorError> {
            let bass = written.iter().flat_map(|answer| &answer.notes).filter(|note| note.part == Part::Bass);
            for (index, note) in bass.enumerate() {
                if index == self.strokes {
                    assert!(!self.panics, "a stick broke");
                    return Err(GeneratorError("a stick is lost".into()));
                }
                write(PartNote::on_grid(Part::Drums, Note { key: Key::folded(77), ..note.note }));
            }
            Ok(())
        }
    }

    /// Bass and drums of bar `index`, and the problem.
    fn played(drummer: Option<Shadow>, index: i32) -> ([Vec<Note>; 2], Option<String>) {
        let drummer = drummer.map(|drummer| Box::new(drummer) as Box<dyn Drummer>);
        let mut band = Band::new(Box::new(RuleGenerator), drummer);
        let melody = [Note { start: 0, key: Key::folded(67), duration: 48, velocity: Velocity::default() }];
        let request = Request {
            ask: Ask::Arrange(Bar::of_constant_meter(index, Meter::COMMON)),
            melody: &melody,
            past: &[],
            chords: &[None, None],
            parts: PerPart::from_fn(|part| matches!(part, Part::Bass | Part::Drums)),
            standing: &[],
            settings: &Settings { density: 0.8, ..Settings::default() },
            quarters_per_minute: 120.0,
            margin: 2,
            seed: 1,
        };
        let mut handed_out = Vec::new();
        let answers = band.answer(&request, &mut |note| handed_out.push(note));
        let mut kept: Vec<PartNote> = answers.into_iter().flat_map(|answer| answer.notes).collect();
        handed_out.sort();
        kept.sort();
        assert_eq!(kept, handed_out, "what is kept is what was played");
        let of = |part| kept.iter().filter(|note| note.part == part).map(|note| note.note).collect();
        ([of(Part::Bass), of(Part::Drums)], band.problem().map(str::to_owned))
    }

    #[test]
    fn the_drummer_hears_what_was_just_written() {
        let ([bass, drums], problem) = played(Some(Shadow { strokes: 100, panics: false }), 1);
        assert!(bass.len() > 2);
        assert_eq!(
            drums.iter().map(|note| note.start).collect::<Vec<_>>(),
            bass.iter().map(|note| note.start).collect::<Vec<_>>()
        );
        assert_eq!(problem, None);
    }

    #[test]
    fn the_rules_drum_where_the_drummer_does_not() {
        let ([bass, by_rule], _) = played(None, 1);
        assert!(by_rule.len() > 4);
        for panics in [false, true] {
            let (parts, problem) = played(Some(Shadow { strokes: 0, panics }), 1);
            assert_eq!(parts, [bass.clone(), by_rule.clone()]);
            let problem = problem.expect("it is told");
            assert!(problem.starts_with("Shadow failed, so the rules drum: a stick"), "{problem}");
        }
        let (parts, problem) = played(Some(Shadow { strokes: 100, panics: false }), 0);
        assert_eq!((parts, problem), (played(None, 0).0, None), "asked, it does not play here");
    }

    #[test]
    fn strokes_that_were_struck_before_a_failure_stay_alone() {
        let ([_, drums], problem) = played(Some(Shadow { strokes: 2, panics: false }), 1);
        assert_eq!(drums.iter().map(|note| note.key).collect::<Vec<_>>(), [Key::folded(77); 2]);
        assert!(problem.is_some());
    }
}
