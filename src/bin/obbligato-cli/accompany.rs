//! `accompany`: one melody file in, one arrangement out.

use crate::arguments::Accompany;
use crate::failure::Failure;
use crate::folder;
use crate::report::{Report, progress_bar, say};
use obbligato::arranger::Arranger;
use obbligato::contract::drums::DrumControls;
use obbligato::generators::library::{self, GeneratorChoice, RULES};
use obbligato::generators::{PartNote, SegmentAnswer};
use obbligato::midi_file::{self, LARGEST_FILE, MidiFile, TrackChoice, chord_names};
use obbligato::model::{Model, ModelError, ModelSource, find_model, hold_model, open_model};
use obbligato::music::{ChordPlan, Part, Song};
use obbligato::runtime::{Place, Runtime, Target};
use obbligato::settings::Settings;
use std::any::Any;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// From here on a progress bar is worth its place.
const LONG_SONG_BARS: usize = 24;

/// # Errors
/// [`Failure::Input`] when a file or flag is wrong (in a folder: some file failed), [`Failure::Other`] when an arrangement cannot
/// be written.
pub fn run(flags: &Accompany) -> Result<(), Failure> {
    let order = Order::new(flags)?;
    if let Some(problem) = library::load(&order.generator).problem {
        eprintln!("warning: {problem}");
    }
    if flags.input.is_dir() {
        return folder::run(flags, &order);
    }
    let output = if flags.output.is_dir() {
        let name = flags.input.file_name().ok_or_else(|| Failure::input(&flags.input, "this is not a file"))?;
        flags.output.join(name)
    } else {
        flags.output.clone()
    };
    let report = order.accompany(&flags.input, &output, !flags.quiet)?;
    report.warnings.iter().for_each(|warning| eprintln!("warning: {}: {warning}", flags.input.display()));
    if !flags.quiet {
        say_beside(&output, &format!("{} → {}\n{report}", flags.input.display(), output.display()));
    }
    if flags.show_chords {
        say_beside(&output, &report.chords.to_string());
    }
    Ok(())
}

/// What is wanted, the same for every file.
pub struct Order {
    settings: Settings,
    plan: ChordPlan,
    track: TrackChoice,
    generator: GeneratorChoice,
    _models: Option<Models>,
}

/// Held so that they are loaded once, however many files there are.
struct Models {
    _accompanist: Arc<dyn Any + Send + Sync>,
    /// `None` where it cannot be played: then the rules drum.
    _drummer: Option<Arc<Model<DrumControls>>>,
}

impl Order {
    fn new(flags: &Accompany) -> Result<Self, Failure> {
        let plan = flags.chords.as_deref().map(chord_plan).transpose()?.unwrap_or_default();
        let generator = flags.generator().map_err(|error| Failure::Input(format!("--runtime: {error}")))?;
        check_runtime(flags.runtime.as_ref(), &generator)?;
        let models = match models(&generator) {
            Err(error) if generator.name.is_some() => return Err(Failure::Input(format!("--generator: {error}"))),
            // The rules play in place of the built-in model.
            loaded => loaded.ok().flatten(),
        };
        Ok(Self { settings: flags.settings(), plan, track: flags.track(), generator, _models: models })
    }

    /// Reads a melody, lets it be accompanied, and writes the arrangement.
    ///
    /// # Errors
    /// [`Failure::Input`] when the melody cannot be read, [`Failure::Other`] when the arrangement cannot be written.
    pub fn accompany(&self, input: &Path, output: &Path, show_progress: bool) -> Result<Report, Failure> {
        if is_same_file(input, output) {
            return Err(Failure::input(output, "this is the melody itself; write to another file"));
        }
        let file = read_midi(input)?;
        let line = file.melody_line(&self.track).map_err(|error| Failure::input(input, error))?;
        let song = file.song(line);
        let loaded = library::load(&self.generator);
        let mut report = Report::new(&file, &line.name, &loaded, &self.settings);
        let mut arranger = Arranger::new(loaded.generator, loaded.drummer);
        arranger.set_plan(self.plan.clone());
        let answers = self.perform(&mut arranger, &song, &mut report, show_progress);
        report.warnings.extend(arranger.problem().map(str::to_owned));
        let parts = self.parts(&answers);
        report.count(&song, &parts, &answers);
        let chords = chord_names(answers.iter().map(|answer| (answer.segment.start(), answer.chord.chord)));
        let bytes = midi_file::write_played(&song, &line.notes, &parts, &chords, &title(&file, input));
        write_midi(output, &bytes)?;
        Ok(report)
    }

    fn perform(
        &self,
        arranger: &mut Arranger,
        song: &Song,
        report: &mut Report,
        show_progress: bool,
    ) -> Vec<SegmentAnswer> {
        let bars = song.bars().count();
        let bar = progress_bar(bars, show_progress && bars >= LONG_SONG_BARS, "bars");
        let mut before = Instant::now();
        let answers = arranger.perform(song, &self.settings, &mut |answer| {
            report.add_time(answer.segment, before.elapsed());
            before = Instant::now();
            bar.set_position(answer.segment.bar.index.0.max(0) as u64 + 1);
        });
        bar.finish_and_clear();
        answers
    }

    /// The notes of each part that is on, as the plugin would send them.
    fn parts(&self, answers: &[SegmentAnswer]) -> Vec<(Part, Vec<PartNote>)> {
        let notes_of = |part| {
            let notes = answers.iter().flat_map(|answer| &answer.notes).filter(move |note| note.part == part);
            notes.map(|note| PartNote { note: self.settings.parts[part].apply(part, note.note), ..*note }).collect()
        };
        let on = Part::ALL.into_iter().filter(|part| self.settings.part_is_on(*part));
        on.map(|part| (part, notes_of(part))).collect()
    }
}

/// A library that was asked for has to be the one that computes.
///
/// # Errors
/// [`Failure::Input`] when it cannot be opened.
pub fn check_runtime(asked: Option<&PathBuf>, choice: &GeneratorChoice) -> Result<(), Failure> {
    if asked.is_none() {
        return Ok(());
    }
    let attempts = Runtime::get(&choice.runtime).attempts();
    let refused = attempts.iter().find(|attempt| attempt.place == Place::Setting && attempt.failure.is_some());
    refused.map_or(Ok(()), |attempt| Err(Failure::Input(format!("--runtime: {attempt}"))))
}

/// The models of a generator; the rules have none.
fn models(choice: &GeneratorChoice) -> Result<Option<Models>, ModelError> {
    let name = choice.name.as_deref();
    if name.is_some_and(|name| name.eq_ignore_ascii_case(RULES)) {
        return Ok(None);
    }
    let runtime = Runtime::get(&choice.runtime);
    let source = find_model(name)?;
    let (device, _) = runtime.choose(choice.runtime.device);
    let target = Target { device, precision: choice.runtime.precision };
    let accompanist = hold_model(&source, runtime, target)?;
    let drummer = open_model(&ModelSource::EmbeddedDrummer, runtime, target).ok();
    Ok(Some(Models { _accompanist: accompanist, _drummer: drummer }))
}

/// Chords from a text as people write it, from a text file, or from a MIDI file.
///
/// # Errors
/// [`Failure::Input`] when they cannot be read, or a MIDI file has none.
pub fn chord_plan(text: &str) -> Result<ChordPlan, Failure> {
    let path = PathBuf::from(text);
    let extension = path.extension().map(|extension| extension.to_ascii_lowercase());
    let named = |endings: &[&str]| endings.iter().any(|ending| extension.as_deref() == Some(ending.as_ref()));
    if named(&["mid", "midi"]) {
        let plan = read_midi(&path)?.chord_plan();
        return if plan.is_empty() { Err(Failure::input(&path, "there are no chords in it")) } else { Ok(plan) };
    }
    if path.is_file() || named(&["txt", "chords"]) {
        let text = fs::read_to_string(&path).map_err(|error| Failure::input(&path, error))?;
        return ChordPlan::parse(&text).map_err(|error| Failure::input(&path, error));
    }
    ChordPlan::parse(text).map_err(|error| Failure::Input(format!("--chords: {error}")))
}

/// Stands for what comes in by stdin, or goes out by stdout.
const STREAM: &str = "-";

pub fn is_stream(path: &Path) -> bool {
    path.as_os_str() == STREAM
}

/// A line for the person at the shell, where it does not get into a file that goes out by stdout.
pub fn say_beside(output: &Path, line: &str) {
    if is_stream(output) { eprintln!("{line}") } else { say(line) }
}

/// # Errors
/// [`Failure::Input`] when it cannot be read, or is no MIDI file.
pub fn read_midi(path: &Path) -> Result<MidiFile, Failure> {
    let mut bytes = Vec::new();
    let reader: Box<dyn Read> = if is_stream(path) {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(path).map_err(|error| Failure::input(path, error))?)
    };
    // One byte more than is taken, so that the reader sees that it is too much.
    let most = LARGEST_FILE as u64 + 1;
    reader.take(most).read_to_end(&mut bytes).map_err(|error| Failure::input(path, error))?;
    midi_file::read(&bytes).map_err(|error| Failure::input(path, error))
}

/// # Errors
/// [`Failure::Other`] when it cannot be written.
pub fn write_midi(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let written = if is_stream(path) { io::stdout().write_all(bytes) } else { fs::write(path, bytes) };
    written.map_err(|error| Failure::other(path, error))
}

pub fn is_same_file(input: &Path, output: &Path) -> bool {
    matches!((input.canonicalize(), output.canonicalize()), (Ok(input), Ok(output)) if input == output)
}

pub fn title(file: &MidiFile, input: &Path) -> String {
    let of_path =
        || if is_stream(input) { "Melody".into() } else { input.file_stem().unwrap_or_default().to_string_lossy() };
    file.title.clone().unwrap_or_else(|| of_path().into_owned())
}
