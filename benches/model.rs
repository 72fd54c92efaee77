//! How fast the models answer: `cargo bench --bench model`, with `OBBLIGATO_BACKEND`, `OBBLIGATO_ONNXRUNTIME`,
//! `OBBLIGATO_PRECISION` and `OBBLIGATO_THREADS` to choose what computes them, and `OBBLIGATO_MODEL` for another accompanist than the
//! plugin's (its name, or the path of its file). With `OBBLIGATO_ORIGINALS`, the folder that `python -m obbligato_models.originals`
//! has filled, also how long networks of DeepComposer's size take in the same backend. `OBBLIGATO_FIGURES` names a file for the
//! figures; `cargo xtask bench` lays those of all backends side by side.

use obbligato::contract::CONDITIONS;
use obbligato::contract::rolls;
use obbligato::generators::enhancer::{self, Fixed};
use obbligato::generators::extender;
use obbligato::generators::library::{self, GeneratorChoice};
use obbligato::generators::{Ask, PartNote, Request, SegmentAnswer};
use obbligato::model::{Model, ModelSource, RollModel, Run, find_model, open_model, open_roll_model};
use obbligato::music::{Bar, Key, Meter, Note, Part, PerPart, PlannedChord, Segment, Song, Velocity};
use obbligato::runtime::{Device, Runtime, RuntimeChoice, Target, Values, mistakes_in_environment};
use obbligato::settings::{EnhanceSettings, Settings};
use prost::Message;
use serde::Serialize;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tract_onnx::pb::ModelProto;
use tract_onnx::prelude::Tensor;

/// So many that one in a hundred can be told from the worst.
const BARS: i32 = 200;
/// Of engines whose bars all take about the same.
const FEWER_BARS: i32 = 50;
/// They write the same. The least time of each answer is what it costs; what is more comes from the machine.
const RUNS: usize = 3;
/// With rests between them, in which caches cool and processors slow down: as music is played.
const BARS_IN_TIME: i32 = 30;
const FEWER_BARS_IN_TIME: i32 = 10;
const REST: Duration = Duration::from_secs(2);
/// Before the bar that is written.
const HEARD: i32 = 8;

/// On a thread of its own, as in the plugin: the GNU allocator gives memory that a thread lets go back to the system sooner than that of a
/// process's first thread, and so do its runs.
fn main() {
    let measured = std::thread::spawn(measure).join();
    measured.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

fn measure() {
    let choice = RuntimeChoice::from_environment();
    mistakes_in_environment().iter().for_each(|mistake| println!("{mistake}"));
    let mut report = Report::new();
    let begun = Instant::now();
    let runtime = Runtime::get(&choice);
    let (device, _) = runtime.choose(choice.device);
    report.backend = runtime.backend().to_string();
    println!("{} on {device} ({:.0} ms to start)", report.backend, milliseconds(begun));
    runtime.attempts().iter().for_each(|attempt| println!("  {attempt}"));
    let target = Target { device, precision: choice.precision };

    let name = std::env::var("OBBLIGATO_MODEL").ok();
    time_accompanist(&GeneratorChoice { name, runtime: choice.clone() }, runtime, target, &mut report);
    let gan = GeneratorChoice { name: Some("GAN".into()), runtime: choice.clone() };
    match find_model(gan.name.as_deref()) {
        Ok(_) => time_gan(&gan, runtime, target, &mut report),
        Err(problem) => println!("GAN: {problem}"),
    }
    let melodists = GeneratorChoice { name: None, runtime: choice };
    time_enhancer(&melodists, &mut report);
    time_extender(&melodists, &mut report);
    if let Some(folder) = std::env::var_os("OBBLIGATO_ORIGINALS") {
        time_originals(Path::new(&folder), runtime, device, &mut report);
    }
    report.save();
}

fn time_accompanist(choice: &GeneratorChoice, runtime: &'static Runtime, target: Target, report: &mut Report) {
    let begun = Instant::now();
    let source = find_model(choice.name.as_deref()).unwrap_or_else(|error| panic!("{error}"));
    let model: Arc<Model> = open_model(&source, runtime, target).unwrap_or_else(|error| panic!("{error}"));
    report.time("accompanist: load", milliseconds(begun));
    println!("computed in {}", model.numbers());
    let mut memory = model.memory().expect("there is room");
    for (run, tokens, name) in [(Run::One, 1, "a token"), (Run::Piece, 32, "32 tokens")] {
        for past in [32, 256, 448] {
            let (ids, conditions) = (vec![100; tokens], vec![[0.1; CONDITIONS]; tokens]);
            let times = (0..60).map(|_| {
                let begun = Instant::now();
                model.read(&mut memory, run, past, &ids, &conditions).expect("it fits the window");
                milliseconds(begun)
            });
            report.spread(&format!("accompanist: {name} after {past}"), Spread::of(times.collect()));
        }
    }
    let resting = perform(Task::Arrange, choice, BARS_IN_TIME, REST);
    report.time("accompanist: first bar", resting.times[0]);
    for (task, what) in
        [(Task::Arrange, "a bar, arranging"), (Task::Render, "a bar, rendering"), (Task::Jam, "a half bar, jamming")]
    {
        let runs: Vec<Performance> = (0..RUNS).map(|_| perform(task, choice, BARS, Duration::ZERO)).collect();
        let least = |of: fn(&Performance) -> &Vec<f64>| Spread::of(least(runs.iter().map(of)));
        let mut tell = |which: &str, spread| report.spread(&format!("accompanist: {what}{which}"), spread);
        tell("", least(|run| &run.times));
        tell(", as it came", Spread::of(runs[0].times.clone()));
        tell(", to its first note", least(|run| &run.first_notes));
        tell(", its drums", least(|run| &run.drums));
        if task == Task::Arrange {
            report.share_of_a_bar("accompanist", least(|run| &run.times));
        }
        println!("{} notes in {BARS} bars", runs[0].notes);
    }
    report.spread("accompanist: a bar after two seconds of rest", Spread::of(resting.times));
    report.memory("accompanist and drummer");
}

fn time_gan(choice: &GeneratorChoice, runtime: &'static Runtime, target: Target, report: &mut Report) {
    /// Four bars of 4/4.
    const TICKS: i32 = 192;
    let begun = Instant::now();
    let network: Arc<RollModel<rolls::Gan>> =
        open_roll_model(&ModelSource::EmbeddedGan, runtime, target).unwrap_or_else(|error| panic!("{error}"));
    report.time("GAN: load", milliseconds(begun));
    let resting = perform(Task::Arrange, choice, FEWER_BARS_IN_TIME, REST);
    report.time("GAN: first bar", resting.times[0]);
    let four_bars = least_of_runs(FEWER_BARS, |_| network.read_silence(TICKS).expect("it computes"));
    report.spread("GAN: four bars, the network alone", four_bars);
    let runs: Vec<Vec<f64>> =
        (0..RUNS).map(|_| perform(Task::Arrange, choice, FEWER_BARS, Duration::ZERO).times).collect();
    let bars = Spread::of(least(runs.iter()));
    report.spread("GAN: a bar (four are painted)", bars);
    report.share_of_a_bar("GAN", bars);
    report.spread("GAN: a bar after two seconds of rest", Spread::of(resting.times));
    report.memory("GAN");
}

/// Bar after bar of a melody, each with those that were heard before it.
fn time_enhancer(choice: &GeneratorChoice, report: &mut Report) {
    let begun = Instant::now();
    let mut enhancer = match library::open_enhancer(choice) {
        Ok(enhancer) => enhancer,
        Err(problem) => return println!("enhancer: {problem}"),
    };
    report.time("enhancer: load", milliseconds(begun));
    let length = Meter::COMMON.bar_length();
    let fixed = Fixed { editable: Some(HEARD * length..(HEARD + 1) * length), ..Fixed::default() };
    let iterations = u32::from(EnhanceSettings::default().passes);
    let wish = enhancer::Wish { iterations, ..Default::default() };
    time_melodist("enhancer", &format!("a bar, {iterations} passes"), report, |at| {
        enhancer.melodist.enhance(&bars(at, HEARD + 1), &fixed, &wish).expect("the enhancer works");
    });
}

fn time_extender(choice: &GeneratorChoice, report: &mut Report) {
    let begun = Instant::now();
    let mut extender = match library::open_extender(choice) {
        Ok(extender) => extender,
        Err(problem) => return println!("extender: {problem}"),
    };
    report.time("extender: load", milliseconds(begun));
    let line = HEARD * Meter::COMMON.bar_length();
    let wish = extender::Wish { bars: 1, listen: HEARD as usize, ..Default::default() };
    time_melodist("extender", "a bar", report, |at| {
        extender.melodist.extend(&bars(at, HEARD), line, &|_| None, &wish).expect("the extender works");
    });
}

fn time_melodist(who: &str, what: &str, report: &mut Report, mut work: impl FnMut(i32)) {
    let resting = (0..FEWER_BARS_IN_TIME).map(|at| {
        std::thread::sleep(REST);
        timed(|| work(at))
    });
    let resting: Vec<f64> = resting.collect();
    report.time(&format!("{who}: first bar"), resting[0]);
    let bars = least_of_runs(FEWER_BARS, &mut work);
    report.spread(&format!("{who}: {what}"), bars);
    report.share_of_a_bar(who, bars);
    report.spread(&format!("{who}: a bar after two seconds of rest"), Spread::of(resting));
    report.memory(who);
}

fn least_of_runs(count: i32, mut work: impl FnMut(i32)) -> Spread {
    let mut run = |_| (0..count).map(|at| timed(|| work(at))).collect::<Vec<f64>>();
    let runs: Vec<Vec<f64>> = (0..RUNS).map(&mut run).collect();
    Spread::of(least(runs.iter()))
}

fn timed(work: impl FnOnce()) -> f64 {
    let begun = Instant::now();
    work();
    milliseconds(begun)
}

/// Some of the melody, as a song of its own.
fn bars(first: i32, count: i32) -> Song {
    let at_beginning = |beat| Note { start: note(beat).start - note(4 * first).start, ..note(beat) };
    Song { melody: (4 * first..4 * (first + count)).map(at_beginning).collect(), ..Song::default() }
}

/// Of each answer.
fn least<'a>(runs: impl Iterator<Item = &'a Vec<f64>>) -> Vec<f64> {
    let both = |one: Vec<f64>, other: Vec<f64>| one.into_iter().zip(other).map(|(a, b)| a.min(b)).collect();
    runs.cloned().reduce(both).unwrap_or_default()
}

/// DeepComposer's networks in size and shape; the numbers in them are random.
fn time_originals(folder: &Path, runtime: &Runtime, device: Device, report: &mut Report) {
    /// Of the enhancer, for one edit.
    const PASSES: f64 = 100.0;
    let time = |file: &str, inputs: &[(&str, &[usize])]| {
        let model = std::fs::read(folder.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        let model = ModelProto::decode(&*model).unwrap_or_else(|error| panic!("{file}: {error}"));
        let mut session = runtime.session(device, &model, false).unwrap_or_else(|error| panic!("{file}: {error}"));
        let zeros = |shape: &[usize]| Arc::new(Tensor::zero::<f32>(shape).expect("there is room"));
        let values: Vec<(&str, Values)> = inputs.iter().map(|(name, shape)| (*name, zeros(shape))).collect();
        let given: Vec<(&str, &Values)> = values.iter().map(|(name, value)| (*name, value)).collect();
        let run = |_| {
            let begun = Instant::now();
            session.run(&given, &mut |_, _| {}).expect("it computes");
            milliseconds(begun)
        };
        Spread::of((0..22).map(run).skip(2).collect())
    };
    let two_bars = time("accompanist.onnx", &[("melody", &[1, 1, 32, 128]), ("noise", &[1, 512, 2, 8])]);
    report.spread("DeepComposer's GAN: two bars", two_bars);
    let pass = time("enhancer.onnx", &[("melody", &[1, 1, 128, 128])]);
    report.spread("DeepComposer's AR-CNN: a pass", pass);
    report.time("DeepComposer's AR-CNN: an edit of a hundred passes", PASSES * pass.median);
}

/// Times in milliseconds.
#[derive(Default)]
struct Performance {
    /// Of each answer without drums, and to its first note.
    times: Vec<f64>,
    first_notes: Vec<f64>,
    /// Of its drums.
    drums: Vec<f64>,
    /// How many there were, drums and all.
    notes: usize,
}

/// What is asked, and whether there is time to read ahead.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Task {
    /// Whole bars for a melody that is known, live.
    Arrange,
    /// The same one directly after the other.
    Render,
    /// Half bars before their melody is heard.
    Jam,
}

fn perform(task: Task, choice: &GeneratorChoice, bars: i32, rest: Duration) -> Performance {
    let melody: Vec<Note> = (0..4 * bars).map(note).collect();
    let mut settings = Settings::default();
    settings.parts[Part::Drums].on = true;
    let mut loaded = library::load(choice);

    let mut past: Vec<SegmentAnswer> = Vec::new();
    let mut performance = Performance::default();
    for bar in (0..bars).map(|index| Bar::of_constant_meter(index, Meter::COMMON)) {
        std::thread::sleep(rest);
        let asks: Vec<Ask> =
            if task == Task::Jam { bar.segments().map(Ask::Jam).collect() } else { vec![Ask::Arrange(bar)] };
        for ask in asks {
            let request = Request {
                ask,
                melody: &melody,
                past: &past,
                chords: &[None, None],
                parts: PerPart::from_fn(|part| settings.part_is_on(part)),
                standing: &[],
                settings: &settings,
                quarters_per_minute: 120.0,
                margin: 2,
                seed: u64::from(ask.start() as u32),
            };
            // As the plugin does between answers; in a jam, from what it has heard until then.
            let heard = melody.partition_point(|note| task != Task::Jam || note.start < ask.start());
            let ahead = Request { melody: &melody[..heard], ..request };
            while task != Task::Render && loaded.generator.read_ahead(&ahead) {}
            while task != Task::Render && loaded.drummer.as_mut().is_some_and(|drummer| drummer.read_ahead(&ahead)) {}
            let begun = Instant::now();
            let mut notes = Vec::new();
            let mut first = None;
            let answered = loaded.generator.answer(&request, &mut |note| {
                first.get_or_insert_with(|| milliseconds(begun));
                notes.push(note);
            });
            performance.times.push(milliseconds(begun));
            performance.first_notes.extend(first);
            let chords = answered.expect("the model plays");
            let answers = |notes: &[PartNote]| -> Vec<SegmentAnswer> {
                let answer = |(segment, chord): (Segment, &PlannedChord)| {
                    let within = |note: &&PartNote| segment.start() <= start(note) && start(note) < segment.end();
                    let (notes, chord) = (notes.iter().filter(within).copied().collect(), *chord);
                    SegmentAnswer { segment, chord, notes, settings, quarters_per_minute: 120.0, margin: 2 }
                };
                ask.segments().zip(&chords).map(answer).collect()
            };
            let written = answers(&notes);
            let begun = Instant::now();
            let drummer = loaded.drummer.as_mut().expect("the embedded drummer can be played");
            drummer.play(&request, &written, &mut |note| notes.push(note)).expect("the drummer plays");
            performance.drums.push(milliseconds(begun));
            performance.notes += notes.len();
            let answered = answers(&notes);
            past.extend(answered);
        }
    }
    performance
}

fn start(note: &PartNote) -> i32 {
    note.note.start
}

fn note(beat: i32) -> Note {
    const KEYS: [i32; 16] = [60, 62, 64, 67, 69, 67, 64, 60, 65, 69, 72, 69, 67, 65, 62, 59];
    let key = Key::folded(KEYS[beat as usize % KEYS.len()]);
    Note { start: 12 * beat, key, duration: 12, velocity: Velocity::default() }
}

fn milliseconds(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1000.0
}

/// Milliseconds.
#[derive(Debug, Clone, Copy, Default)]
struct Spread {
    median: f64,
    /// One in a hundred takes longer.
    p99: f64,
    worst: f64,
}

impl Spread {
    fn of(mut times: Vec<f64>) -> Self {
        times.sort_by(f64::total_cmp);
        let at = |share: usize| times.get((times.len() * share / 100).min(times.len().saturating_sub(1))).copied();
        let at = |share| at(share).unwrap_or(0.0);
        Self { median: at(50), p99: at(99), worst: at(100) }
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{:.1} ms, p99 {:.1} ms, worst {:.1} ms", self.median, self.p99, self.worst)
    }
}

/// What was measured: printed as it comes, and in the end written for whoever compares it with other runs.
#[derive(Serialize)]
struct Report {
    backend: String,
    figures: Vec<Figure>,
    /// Memory of the process before anything was loaded, in MB.
    #[serde(skip)]
    before: f64,
}

#[derive(Serialize)]
struct Figure {
    what: String,
    unit: &'static str,
    median: f64,
    /// Where more than one was measured.
    p99: Option<f64>,
}

impl Report {
    fn new() -> Self {
        Self { backend: String::new(), figures: Vec::new(), before: resident_megabytes() }
    }

    fn spread(&mut self, what: &str, spread: Spread) {
        println!("{what:48} {spread}");
        self.keep(what, "ms", spread.median, Some(spread.p99));
    }

    fn time(&mut self, what: &str, milliseconds: f64) {
        println!("{what:48} {milliseconds:.1} ms");
        self.keep(what, "ms", milliseconds, None);
    }

    /// What is left of the time at the fastest tempo that is promised, where a bar of 4/4 lasts a second.
    fn share_of_a_bar(&mut self, who: &str, bar: Spread) {
        const BAR: f64 = 1000.0;
        let what = format!("{who}: share of a bar at 240");
        println!("{what:48} {:.3}, p99 {:.3}", bar.median / BAR, bar.p99 / BAR);
        self.keep(&what, "", bar.median / BAR, Some(bar.p99 / BAR));
    }

    /// Of the process while these are loaded.
    fn memory(&mut self, with: &str) {
        let what = format!("memory with {with}");
        let megabytes = resident_megabytes() - self.before;
        println!("{what:48} {megabytes:.0} MB");
        self.keep(&what, "MB", megabytes, None);
    }

    fn keep(&mut self, what: &str, unit: &'static str, median: f64, p99: Option<f64>) {
        self.figures.push(Figure { what: what.into(), unit, median, p99 });
    }

    fn save(&self) {
        if let Some(file) = std::env::var_os("OBBLIGATO_FIGURES") {
            let text = serde_json::to_vec_pretty(self).expect("figures are numbers");
            std::fs::write(file, text).expect("the file for the figures is writable");
        }
    }
}

/// Memory of this process; 0 where the system does not say it as Linux does.
fn resident_megabytes() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kilobytes.unwrap_or(0.0) / 1024.0
}
