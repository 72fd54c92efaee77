//! How fast the models answer on one thread: `cargo bench --bench model`, with `OBBLIGATO_BACKEND` and
//! `OBBLIGATO_ONNXRUNTIME` to choose the backend, and `OBBLIGATO_MODEL` for another accompanist than the plugin's (its
//! name, or the path of its file). With `OBBLIGATO_ORIGINALS`, the folder that `python -m obbligato_models.originals` has filled,
//! also how long networks of DeepComposer's size take in the same backend.

use obbligato::contract::CONDITIONS;
use obbligato::generators::enhancer::{self, Fixed};
use obbligato::generators::extender;
use obbligato::generators::library::{self, GeneratorChoice};
use obbligato::generators::{Ask, PartNote, Request, SegmentAnswer};
use obbligato::model::{Model, Run, find_model, open_model};
use obbligato::music::{Bar, Key, Meter, Note, Part, PerPart, PlannedChord, Segment, Song, Velocity};
use obbligato::runtime::{Device, Runtime, RuntimeChoice, Target, Values};
use obbligato::settings::{EnhanceSettings, Settings};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tract_onnx::prelude::Tensor;

/// So many that one in a hundred can be told from the worst.
const BARS: i32 = 200;
/// They write the same. The least time of each answer is what it costs; what is more comes from the machine.
const RUNS: usize = 3;
/// With rests between them, in which caches cool and processors slow down: as music is played.
const BARS_IN_TIME: i32 = 30;
const REST: Duration = Duration::from_secs(2);

fn main() {
    let choice = RuntimeChoice::from_environment();
    let before = resident_megabytes();
    let begun = Instant::now();
    let runtime = Runtime::get(&choice);
    let (device, _) = runtime.choose(choice.device);
    println!("backend            {} on {device} ({:.0} ms to start)", runtime.backend(), milliseconds(begun));
    runtime.attempts().iter().for_each(|attempt| println!("                   {attempt}"));
    let target = Target { device, precision: choice.precision };
    let begun = Instant::now();
    let name = std::env::var("OBBLIGATO_MODEL").ok();
    let source = find_model(name.as_deref()).unwrap_or_else(|error| panic!("{error}"));
    let model: Arc<Model> = open_model(&source, runtime, target).unwrap_or_else(|error| panic!("{error}"));
    println!("load               {:.0} ms, {:.0} MB", milliseconds(begun), resident_megabytes() - before);
    let mut memory = model.memory().expect("there is room");
    for (run, tokens, name) in [(Run::One, 1, "token"), (Run::Piece, 32, "piece of 32")] {
        for past in [32, 256, 448] {
            let (ids, conditions) = (vec![100; tokens], vec![[0.1; CONDITIONS]; tokens]);
            let time = median((0..60).map(|_| {
                let begun = Instant::now();
                model.read(&mut memory, run, past, &ids, &conditions).expect("it fits the window");
                milliseconds(begun)
            }));
            println!("{name:18} {time:.2} ms after {past} tokens");
        }
    }
    let generator = GeneratorChoice { name, runtime: choice };
    let resting = perform(true, &generator, BARS_IN_TIME, REST);
    println!("{:18} {}", "bar, every 2 s", Spread::of(resting.times));
    time_band(&generator);
    println!("memory in all      {:.0} MB", resident_megabytes() - before);
    let gan = GeneratorChoice { name: Some("GAN".into()), ..generator };
    match find_model(gan.name.as_deref()) {
        Ok(_) => time_band(&gan),
        Err(problem) => println!("GAN                {problem}"),
    }
    time_melodists(&gan.runtime);
    if let Some(folder) = std::env::var_os("OBBLIGATO_ORIGINALS") {
        time_originals(Path::new(&folder), runtime, device);
    }
}

fn time_band(generator: &GeneratorChoice) {
    let whose = generator.name.as_deref().map(|name| format!("{name}: ")).unwrap_or_default();
    for arrange in [true, false] {
        let runs: Vec<Performance> = (0..RUNS).map(|_| perform(arrange, generator, BARS, Duration::ZERO)).collect();
        let least = |of: fn(&Performance) -> &Vec<f64>| Spread::of(least(runs.iter().map(of)));
        let what = format!("{whose}{}", if arrange { "bar, arranging" } else { "segment, jamming" });
        println!("{what:18} {}", least(|run| &run.times));
        println!("{:18} {}", "  as it came", Spread::of(runs[0].times.clone()));
        println!("{:18} {}", "  to its first note", least(|run| &run.first_notes));
        println!("{:18} {}", "  its drums", least(|run| &run.drums));
        println!("{:18} {} in {BARS} bars", "  notes", runs[0].notes);
    }
}

/// Bar after bar of a melody, each with eight bars before it.
fn time_melodists(runtime: &RuntimeChoice) {
    const BEFORE: i32 = 8;
    let choice = GeneratorChoice { name: None, runtime: runtime.clone() };
    let bars = |first: i32, count: i32| {
        let at_beginning = |beat| Note { start: note(beat).start - note(4 * first).start, ..note(beat) };
        Song { melody: (4 * first..4 * (first + count)).map(at_beginning).collect(), ..Song::default() }
    };
    let length = Meter::COMMON.bar_length();
    let (bar, line) = (BEFORE * length..(BEFORE + 1) * length, BEFORE * length);
    let spread = |work: &mut dyn FnMut(i32)| {
        let run = |_| {
            let timed = |bar| {
                let begun = Instant::now();
                work(bar);
                milliseconds(begun)
            };
            (0..BARS / 4).map(timed).collect::<Vec<f64>>()
        };
        let runs: Vec<Vec<f64>> = (0..RUNS).map(run).collect();
        Spread::of(least(runs.iter()))
    };
    match library::open_enhancer(&choice) {
        Ok(mut enhancer) => {
            let fixed = Fixed { editable: Some(bar), ..Fixed::default() };
            let wish =
                enhancer::Wish { iterations: u32::from(EnhanceSettings::default().passes), ..Default::default() };
            let passes = wish.iterations;
            let time = spread(&mut |at| {
                let song = bars(at, BEFORE + 1);
                enhancer.melodist.enhance(&song, &fixed, &wish).expect("the enhancer works");
            });
            println!("enhancer, a bar    {time} ({passes} passes)");
        }
        Err(problem) => println!("enhancer           {problem}"),
    }
    match library::open_extender(&choice) {
        Ok(mut extender) => {
            let wish = extender::Wish { bars: 1, listen: BEFORE as usize, ..Default::default() };
            let time = spread(&mut |at| {
                extender.melodist.extend(&bars(at, BEFORE), line, &|_| None, &wish).expect("the extender works");
            });
            println!("extender, a bar    {time}");
        }
        Err(problem) => println!("extender           {problem}"),
    }
}

/// Of each answer.
fn least<'a>(runs: impl Iterator<Item = &'a Vec<f64>>) -> Vec<f64> {
    let both = |one: Vec<f64>, other: Vec<f64>| one.into_iter().zip(other).map(|(a, b)| a.min(b)).collect();
    runs.cloned().reduce(both).unwrap_or_default()
}

/// DeepComposer's networks in size and shape; the numbers in them are random.
fn time_originals(folder: &Path, runtime: &Runtime, device: Device) {
    /// Of the enhancer, for one edit.
    const PASSES: f64 = 100.0;
    let time = |file: &str, inputs: &[(&str, &[usize])]| {
        let model = std::fs::read(folder.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
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
    println!("original: GAN      {two_bars} for two bars");
    let pass = time("enhancer.onnx", &[("melody", &[1, 1, 128, 128])]);
    println!("original: AR-CNN   {pass} a pass; {PASSES} passes for an edit: {:.0} ms", PASSES * pass.median);
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

fn perform(arrange: bool, choice: &GeneratorChoice, bars: i32, rest: Duration) -> Performance {
    let melody: Vec<Note> = (0..4 * bars).map(note).collect();
    let mut settings = Settings::default();
    settings.parts[Part::Drums].on = true;
    let mut loaded = library::load(choice);

    let mut past: Vec<SegmentAnswer> = Vec::new();
    let mut performance = Performance::default();
    for bar in (0..bars).map(|index| Bar::of_constant_meter(index, Meter::COMMON)) {
        std::thread::sleep(rest);
        let asks: Vec<Ask> = if arrange { vec![Ask::Arrange(bar)] } else { bar.segments().map(Ask::Jam).collect() };
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
            // As the plugin does between answers in a jam, from what it has heard until then.
            let heard = melody.partition_point(|note| note.start < ask.start());
            let ahead = Request { melody: &melody[..heard], ..request };
            while !arrange && loaded.generator.read_ahead(&ahead) {}
            while !arrange && loaded.drummer.as_mut().is_some_and(|drummer| drummer.read_ahead(&ahead)) {}
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

fn median(times: impl Iterator<Item = f64>) -> f64 {
    Spread::of(times.collect()).median
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

/// Memory of this process; 0 where the system does not say it as Linux does.
fn resident_megabytes() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kilobytes.unwrap_or(0.0) / 1024.0
}
