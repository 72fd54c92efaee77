//! The models inside the plugin compute here what they computed where they were trained, with each backend.
//!
//! A process has one backend. The tests run with tract; where `OBBLIGATO_ONNXRUNTIME` names a library, they run once more
//! in a process of their own, with ONNX Runtime.
#![cfg(feature = "inference")]

mod small_models;

use obbligato::contract::drums::{self, DrumControls};
use obbligato::contract::extender::ExtenderControls;
use obbligato::contract::rolls::{self as of_rolls, RollEngine};
use obbligato::contract::{CONDITIONS, Controls, Engine};
use obbligato::generators::band::Band;
use obbligato::generators::controls::plain_condition;
use obbligato::generators::enhancer::{Enhancer, Fixed, Wish};
use obbligato::generators::library::{self, GeneratorChoice};
use obbligato::generators::onnx::{self, Seat};
use obbligato::generators::rolls::{self, KEYS, Placed, Roll, RollNetwork};
use obbligato::generators::{Ask, Request, SegmentAnswer, extender};
use obbligato::model::{Memory, Model, ModelSource, RollModel, Run, open_model, open_roll_model};
use obbligato::music::{Bar, BarIndex, Key, Meter, Note, Part, PerPart, Song, Style, TempoChange, Ticks, Velocity};
use obbligato::runtime::{
    BACKEND_VARIABLE, Backend, BackendChoice, Device, DeviceChoice, LIBRARY_VARIABLE, Precision, Runtime,
    RuntimeChoice, Target,
};
use obbligato::settings::Settings;
use serde::Deserialize;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// What PyTorch computed; the files describe the fields.
#[derive(Deserialize)]
struct Reference {
    tolerance: f32,
    ids: Vec<u16>,
    cond: Vec<Stretch>,
    best: Vec<Vec<usize>>,
    values: Vec<Vec<f32>>,
    mean: Vec<f32>,
    logsumexp: Vec<f32>,
    /// Outputs beside the logits; the drummer has none.
    #[serde(default)]
    loudness: Vec<Vec<f32>>,
    #[serde(default)]
    coming: Vec<Vec<f32>>,
}

#[derive(Deserialize)]
struct Stretch {
    tokens: usize,
    cond: Vec<f32>,
}

/// A model inside the plugin with its reference; it reads conditions of `W` numbers.
struct Tested<E, const W: usize> {
    model: Arc<Model<E>>,
    reference: Reference,
    conditions: Vec<[f32; W]>,
}

fn accompanist() -> Tested<Controls, CONDITIONS> {
    let reference = serde_json::from_str(include_str!("../models/parity/accompanist.json"));
    Tested::new(&ModelSource::Embedded, reference.expect("the reference is well formed"))
}

fn drummer() -> Tested<DrumControls, { drums::CONDITIONS }> {
    #[derive(Deserialize)]
    struct File {
        outputs: Reference,
    }
    let file = serde_json::from_str::<File>(include_str!("../models/parity/drums.json"));
    Tested::new(&ModelSource::EmbeddedDrummer, file.expect("the reference is well formed").outputs)
}

impl<E: Engine, const W: usize> Tested<E, W> {
    fn new(source: &ModelSource, reference: Reference) -> Self {
        let model = open(source, Precision::Full);
        let condition = |stretch: &Stretch| <[f32; W]>::try_from(stretch.cond.as_slice()).expect("the right length");
        let conditions: Vec<_> =
            reference.cond.iter().flat_map(|stretch| vec![condition(stretch); stretch.tokens]).collect();
        assert_eq!(conditions.len(), reference.ids.len());
        Self { model, reference, conditions }
    }

    /// Mean divergence of what another says after each token from what this one says.
    fn divergence_of(&self, other: &Model<E>) -> f64 {
        let mut memories = [self.memory(), other.memory().expect("there is room")];
        let (_, words) = E::OUTPUTS[0];
        let mut sum = 0.0;
        for (at, (token, condition)) in self.reference.ids.iter().zip(&self.conditions).enumerate() {
            let [own, its] = [(&*self.model, 0), (other, 1)].map(|(model, which)| {
                let read = model.read(&mut memories[which], Run::One, at, &[*token], &[*condition]);
                likelihoods(&read.expect("it fits the window")[..words])
            });
            sum += own.iter().zip(&its).map(|(own, its)| own.exp() * (own - its)).sum::<f64>();
        }
        sum / self.reference.ids.len() as f64
    }

    fn memory(&self) -> Memory {
        self.model.memory().expect("there is room")
    }

    /// That what is said after tokens `from..end`, which follow those before, is what it should be.
    fn check(&self, memory: &mut Memory, run: Run, from: usize, end: usize) {
        let (tokens, conditions) = (&self.reference.ids[from..end], &self.conditions[from..end]);
        let outputs = self.model.read(memory, run, from, tokens, conditions).expect("it fits the window");
        let difference = self.difference(end - 1, outputs);
        assert!(difference <= self.reference.tolerance, "after token {}: {difference}", end - 1);
    }

    fn check_token_by_token(&self) {
        let mut memory = self.memory();
        (0..self.reference.ids.len()).for_each(|index| self.check(&mut memory, Run::One, index, index + 1));
    }

    fn check_in_pieces(&self) {
        let mut memory = self.memory();
        (1..=self.reference.ids.len()).for_each(|end| self.check(&mut memory, Run::Piece, (end - 1) / 32 * 32, end));
    }

    fn check_that_what_was_read_before_does_not_matter(&self) {
        let expected = self.read_pieces(&mut self.memory(), &self.reference.ids);
        let mut used = self.memory();
        let other: Vec<u16> = self.reference.ids.iter().rev().copied().collect();
        self.read_pieces(&mut used, &other);
        for past in [40, 41, 90] {
            self.model.read(&mut used, Run::One, past, &[600], &self.conditions[..1]).expect("it fits the window");
        }
        assert_eq!(self.read_pieces(&mut used, &self.reference.ids), expected);
    }

    /// What is said after the last token, read in pieces.
    fn read_pieces(&self, memory: &mut Memory, ids: &[u16]) -> Vec<f32> {
        let mut outputs = Vec::new();
        for (piece, tokens) in ids.chunks(32).enumerate() {
            let past = 32 * piece;
            let conditions = &self.conditions[past..past + tokens.len()];
            outputs =
                self.model.read(memory, Run::Piece, past, tokens, conditions).expect("it fits the window").to_vec();
        }
        outputs
    }

    /// The largest difference of any number that is kept of these outputs, which follow token `index`.
    fn difference(&self, index: usize, outputs: &[f32]) -> f32 {
        let reference = &self.reference;
        let (logits, beside) = outputs.split_at(E::OUTPUTS[0].1);
        let expected = reference.loudness.get(index).into_iter().chain(reference.coming.get(index)).flatten();
        assert_eq!(beside.len(), expected.clone().count());
        let beside = beside.iter().zip(expected).map(|(value, expected)| value - expected);
        let best =
            reference.best[index].iter().zip(&reference.values[index]).map(|(token, value)| logits[*token] - value);
        let mean = logits.iter().sum::<f32>() / logits.len() as f32 - reference.mean[index];
        let sum: f64 = logits.iter().map(|logit| f64::from(*logit).exp()).sum();
        let sum = sum.ln() as f32 - reference.logsumexp[index];
        best.chain(beside).chain([mean, sum]).map(f32::abs).fold(0.0, |largest, difference| {
            if difference > largest || difference.is_nan() { difference } else { largest }
        })
    }
}

/// Logarithms of what logits stand for.
fn likelihoods(logits: &[f32]) -> Vec<f64> {
    let sum: f64 = logits.iter().map(|logit| f64::from(*logit).exp()).sum();
    logits.iter().map(|logit| f64::from(*logit) - sum.ln()).collect()
}

fn open<E: Engine>(source: &ModelSource, precision: Precision) -> Arc<Model<E>> {
    let target = Target { precision, ..Target::default() };
    open_model(source, Runtime::get(&choice()), target).expect("the embedded model can be played")
}

fn choice() -> RuntimeChoice {
    match RuntimeChoice::from_environment() {
        choice @ RuntimeChoice { backend: BackendChoice::OnnxRuntime, .. } => choice,
        _ => RuntimeChoice { backend: BackendChoice::Tract, ..RuntimeChoice::default() },
    }
}

#[test]
fn the_backend_is_the_one_that_is_tested() {
    let runtime = Runtime::get(&choice());
    match choice().backend {
        BackendChoice::Tract => assert_eq!(*runtime.backend(), Backend::Tract),
        BackendChoice::OnnxRuntime | BackendChoice::Auto => {
            assert!(matches!(runtime.backend(), Backend::OnnxRuntime { .. }), "{:?}", runtime.attempts());
        }
    }
}

#[test]
fn outputs_are_those_of_the_reference_token_by_token() {
    accompanist().check_token_by_token();
    drummer().check_token_by_token();
}

#[test]
fn outputs_are_those_of_the_reference_in_pieces() {
    accompanist().check_in_pieces();
    drummer().check_in_pieces();
}

/// What the models say in eight bits is what they say in full: in nats, on average over the reference.
#[test]
fn as_few_bits_as_are_used_say_the_same() {
    const MOST: f64 = 0.004;
    let (accompanist, drummer) = (accompanist(), drummer());
    let fast = open(&ModelSource::Embedded, Precision::Fast);
    let far = [
        accompanist.divergence_of(&fast),
        drummer.divergence_of(&open(&ModelSource::EmbeddedDrummer, Precision::Fast)),
    ];
    for (far, whose) in far.into_iter().zip(["accompanist", "drummer"]) {
        println!("{whose}: {far:.5} nats");
        assert!(far < MOST, "{whose}: {far} nats");
        let rounds = *Runtime::get(&choice()).backend() != Backend::Tract;
        assert_eq!(far > 0.0, rounds, "{whose}: ONNX Runtime computes in eight bits, tract does not");
    }
}

#[test]
fn what_was_read_before_does_not_change_a_bit() {
    accompanist().check_that_what_was_read_before_does_not_matter();
    drummer().check_that_what_was_read_before_does_not_matter();
}

#[test]
fn what_does_not_fit_the_window_is_an_error() {
    let Tested { model, .. } = accompanist();
    let mut memory = model.memory().expect("there is room");
    let (window, condition) = (model.contract().window, [[0.0; CONDITIONS]; 33]);
    for (run, past, tokens) in
        [(Run::One, window, 1), (Run::Piece, window - 3, 4), (Run::Piece, 0, 33), (Run::One, 0, 2)]
    {
        let error = model.read(&mut memory, run, past, &vec![1; tokens], &condition[..tokens]);
        let error = error.expect_err("there is no place").to_string();
        assert!(error.contains(&format!("{tokens} tokens after {past} do not fit")), "{error}");
    }
    assert!(model.read(&mut memory, Run::Piece, window - 4, &[1; 4], &condition[..4]).is_ok());
    let narrow = model.read(&mut memory, Run::One, 0, &[1], &[[0.0; 3]]).expect_err("too few").to_string();
    assert!(narrow.contains(&format!("3 conditions instead of {CONDITIONS}")), "{narrow}");
}

#[test]
fn the_contract_is_what_the_knobs_expect() {
    let model = open::<Controls>(&ModelSource::Embedded, Precision::Full);
    let contract = model.contract();
    assert_eq!(contract.styles, Style::NAMES);
    for part in 0..3 {
        let quantiles = contract.controls.quantiles(part);
        assert!([quantiles.density, quantiles.register, quantiles.length].iter().all(|values| values.is_sorted()));
    }
}

/// Answers of eight bars: each by a band that has played on, and by one that starts there.
#[test]
fn an_answer_depends_on_the_request_alone() {
    let melody: Vec<Note> = (0..32)
        .map(|beat| Note {
            start: 12 * beat,
            key: Key::folded([60, 64, 67, 69, 65, 62, 67, 59][beat as usize % 8]),
            duration: 12,
            velocity: Velocity::default(),
        })
        .collect();
    let load = || {
        let loaded = library::load(&GeneratorChoice { name: None, runtime: choice() });
        assert_eq!((loaded.problem, loaded.drummer.is_some()), (None, true));
        Band::new(loaded.generator, loaded.drummer)
    };
    let mut settings = Settings::default();
    settings.parts[Part::Drums].on = true;
    let mut playing = load();
    let mut past: Vec<SegmentAnswer> = Vec::new();
    for segment in (0..8).flat_map(|index| Bar::of_constant_meter(index, Meter::COMMON).segments()) {
        let request = Request {
            ask: Ask::Jam(segment),
            melody: &melody[..melody.partition_point(|note| note.start < segment.start())],
            past: &past,
            chords: &[None],
            parts: PerPart::from_fn(|part| settings.part_is_on(part)),
            standing: &[],
            settings: &settings,
            quarters_per_minute: 120.0,
            margin: 2,
            seed: u64::from(segment.start() as u32),
        };
        let answer = playing.answer(&request, &mut |_| {});
        assert_eq!(load().answer(&request, &mut |_| {}), answer, "at {}", segment.start());
        past.extend(answer);
    }
    assert_eq!(playing.problem(), None);
    for part in [Part::Bass, Part::Chords, Part::Drums] {
        let notes = past.iter().flat_map(|answer| &answer.notes).filter(|note| note.part == part).count();
        assert!(notes > 8, "{part:?}: {notes} notes are too few to tell");
    }
}

/// A folder with `gan.onnx`, `gan.json` and the like, to be tested in place of those of the project.
const OWN_FOLDER: &str = "OBBLIGATO_TESTED_MODELS";

/// A model that a build can do without, and what it should say; `None` where it is not there yet.
fn optional(name: &str) -> Option<(ModelSource, String)> {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    let own = std::env::var_os(OWN_FOLDER).map(PathBuf::from);
    let [weights, parity] =
        own.map_or_else(|| ["weights", "parity"].map(|folder| models.join(folder)), |own| [own.clone(), own]);
    let weights = weights.join(name).with_extension("onnx");
    if !weights.exists() {
        eprintln!("skipped: there is no {}", weights.display());
        return None;
    }
    let parity = std::fs::read_to_string(parity.join(name).with_extension("json"));
    Some((ModelSource::File(weights), parity.expect("a model comes with its reference")))
}

/// What PyTorch computed of rolls; the files describe the fields.
#[derive(Deserialize)]
struct RollReference<C> {
    tolerance: f32,
    cases: Vec<C>,
}

#[derive(Deserialize)]
struct Cells {
    /// Channel, tick, row, value.
    cells: Vec<(usize, usize, usize, f32)>,
    means: Vec<f32>,
}

impl Cells {
    fn check(&self, found: &[f32], tolerance: f32) {
        let channels: Vec<&[f32]> = found.chunks_exact(found.len() / self.means.len()).collect();
        for (channel, tick, row, value) in &self.cells {
            let cell = channels[*channel][tick * KEYS + row];
            assert!((cell - value).abs() <= tolerance, "{channel} {tick} {row}: {cell} for {value}");
        }
        for (channel, mean) in channels.iter().zip(&self.means) {
            let found = channel.iter().map(|cell| f64::from(*cell)).sum::<f64>() / channel.len() as f64;
            assert!((found - f64::from(*mean)).abs() <= f64::from(tolerance), "{found} for {mean}");
        }
    }
}

fn meter(name: &str) -> Meter {
    let (beats, unit) = name.split_once('/').expect("a metre");
    Meter::new(beats.parse().expect("a number"), unit.parse().expect("a number")).expect("a usual metre")
}

fn notes(of: &[[i32; 3]]) -> Vec<Note> {
    let note = |[start, duration, key]: &[i32; 3]| Note {
        start: *start,
        key: Key::folded(*key),
        duration: *duration,
        velocity: Velocity::default(),
    };
    of.iter().map(note).collect()
}

/// The knob's place for weights that are of one style or of two neighbours, in a palette of `count`.
fn knob(weights: &[f32], count: usize) -> f32 {
    let place: f32 = weights.iter().zip(0..).map(|(weight, style)| weight * style as f32).sum();
    if weights.is_empty() { Style::BY_EAR } else { place / (count - 1) as f32 * Style::LAST_POSITION }
}

#[derive(Deserialize)]
struct GanCase {
    metre: String,
    known: Option<Ticks>,
    chords: Option<Vec<Vec<String>>>,
    melody: Vec<[i32; 3]>,
    before: HashMap<String, Vec<[i32; 3]>>,
    styles: Vec<f32>,
    asked: Vec<String>,
    bar: Option<i32>,
    tempo: f32,
    noise: Vec<f32>,
    #[serde(flatten)]
    expected: Cells,
}

impl GanCase {
    fn chords(&self) -> Vec<Placed> {
        let bars = self.chords.iter().flatten().zip(0..).flat_map(|(names, bar)| {
            let bar = Bar::of_constant_meter(bar, meter(&self.metre));
            bar.segments().zip(names.iter().cycle()).map(|(segment, name)| {
                let chord = (name != "N.C.").then(|| name.replace(' ', "").parse().expect("a chord"));
                (segment.start()..segment.end(), chord)
            })
        });
        bars.collect()
    }

    fn inputs(&self, styles: usize) -> Vec<(&'static str, Vec<f32>)> {
        let ticks = rolls::ticks_of(meter(&self.metre));
        let mut melody = Roll::of(ticks, 0, &notes(&self.melody));
        self.known.into_iter().for_each(|known| melody.silence_from(known));
        let before = ["bass", "chords", "counter", "pad", "melody"].map(|part| {
            let played = self.before.get(part).map(|played| notes(played)).unwrap_or_default();
            Roll::of(ticks, 0, &played).cells().to_vec()
        });
        let bar = BarIndex(self.bar.unwrap_or(0));
        let mut condition = plain_condition(styles, knob(&self.styles, styles), self.tempo, bar);
        if self.bar.is_none() {
            condition[36..].fill(0.0);
        }
        for (part, place) in ["bass", "chords", "counter"].iter().zip(32..) {
            condition[place] = f32::from(u8::from(self.asked.iter().any(|asked| asked == part)));
        }
        vec![
            ("melody", melody.cells().to_vec()),
            ("before", before.concat()),
            ("chords", rolls::chord_rows(ticks, &self.chords())),
            ("clock", rolls::clock_in(meter(&self.metre), self.known.unwrap_or(ticks))),
            ("noise", self.noise.clone()),
            ("cond", condition.to_vec()),
        ]
    }
}

fn open_rolls<E: RollEngine>(source: &ModelSource) -> Arc<RollModel<E>> {
    let target = Target { precision: Precision::Full, ..Target::default() };
    open_roll_model(source, Runtime::get(&choice()), target).expect("the model can be played")
}

#[test]
fn the_gan_paints_what_the_reference_says() {
    check_that_it_paints("gan");
}

#[test]
fn the_network_without_a_critic_paints_what_the_reference_says() {
    check_that_it_paints("unet");
}

fn check_that_it_paints(name: &str) {
    let Some((source, text)) = optional(name) else { return };
    let reference: RollReference<GanCase> = serde_json::from_str(&text).expect("the reference is well formed");
    let model = open_rolls::<of_rolls::Gan>(&source);
    let mut cells = Vec::new();
    for case in reference.cases {
        let inputs = case.inputs(model.contract().styles.len());
        model.cells(rolls::ticks_of(meter(&case.metre)), &inputs, &mut cells).expect("it computes");
        case.expected.check(&cells, reference.tolerance);
    }
}

#[derive(Deserialize)]
struct EnhancerCase {
    metre: String,
    styles: Vec<f32>,
    tempo: f64,
    locked: Vec<usize>,
    notes: Vec<[i32; 3]>,
    #[serde(flatten)]
    expected: Cells,
}

/// Keeps what a model says first.
struct First {
    model: Arc<RollModel<of_rolls::Enhancer>>,
    said: Vec<f32>,
    first: Arc<Mutex<Option<Vec<f32>>>>,
}

impl RollNetwork for First {
    fn cells(&mut self, ticks: Ticks, inputs: &[(&'static str, Vec<f32>)]) -> Result<&[f32], String> {
        self.model.cells(ticks, inputs, &mut self.said).map_err(|error| error.to_string())?;
        self.first.lock().expect("no test has panicked").get_or_insert_with(|| self.said.clone());
        Ok(&self.said)
    }
}

#[test]
fn the_enhancer_paints_what_the_reference_says() {
    let Some((source, text)) = optional("enhancer") else { return };
    let reference: RollReference<EnhancerCase> = serde_json::from_str(&text).expect("the reference is well formed");
    let model = open_rolls::<of_rolls::Enhancer>(&source);
    for case in reference.cases {
        let first = Arc::default();
        let network = First { model: model.clone(), said: Vec::new(), first: Arc::clone(&first) };
        let melody = notes(&case.notes);
        let fixed = Fixed { locked: case.locked.iter().map(|index| melody[*index]).collect(), ..Fixed::default() };
        let song = Song {
            melody,
            tempos: vec![TempoChange { at: 0, quarters_per_minute: case.tempo }],
            meters: vec![(0, meter(&case.metre))],
        };
        let style = knob(&case.styles, model.contract().styles.len());
        let wish = Wish { iterations: 1, style, ..Wish::default() };
        let mut enhancer = Enhancer::new(model.contract().clone(), Box::new(network));
        enhancer.enhance(&song, &fixed, &wish).expect("it computes");
        let said = first.lock().expect("no test has panicked").take().expect("it was asked");
        case.expected.check(&said, reference.tolerance);
    }
}

#[test]
fn the_extender_says_what_the_reference_says() {
    let Some((source, text)) = optional("extender") else { return };
    let reference = serde_json::from_str(&text).expect("the reference is well formed");
    let extender: Tested<ExtenderControls, CONDITIONS> = Tested::new(&source, reference);
    extender.check_token_by_token();
    extender.check_in_pieces();
    extender.check_that_what_was_read_before_does_not_matter();
}

/// A file in the target folder, for this backend's process alone.
fn file_of(name: &str, bytes: &[u8]) -> ModelSource {
    let backend = choice().backend;
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{backend:?}.onnx"));
    std::fs::write(&file, bytes).expect("the target folder can be written");
    ModelSource::File(file)
}

/// A small enhancer's file, with a word changed for one that is as long.
fn small_enhancer(test: &str, change: Option<(&str, &str)>) -> ModelSource {
    let mut bytes = small_models::enhancer();
    if let Some((from, to)) = change {
        let at = bytes.windows(from.len()).position(|window| window == from.as_bytes()).expect("it is there");
        bytes[at..at + from.len()].copy_from_slice(to.as_bytes());
    }
    file_of(test, &bytes)
}

#[test]
fn small_models_play_from_their_files_the_notes_that_they_were_made_for() {
    let seat =
        Seat { runtime: Runtime::get(&choice()), choice: DeviceChoice::One(Device::Cpu), precision: Precision::Full };
    let (mut gan, problem) = onnx::load(&file_of("gan", &small_models::gan()), seat).expect("it can be played");
    assert_eq!((gan.name(), problem), ("Small GAN", None));
    let melody = notes(&[[48, 12, 67], [60, 30, 64], [90, 6, 65]]);
    let request = Request {
        ask: Ask::Arrange(Bar::of_constant_meter(1, Meter::COMMON)),
        melody: &melody,
        past: &[],
        chords: &[None, None],
        parts: PerPart::from_fn(|part| part == Part::Bass),
        standing: &[],
        settings: &Settings::default(),
        quarters_per_minute: 120.0,
        margin: 2,
        seed: 1,
    };
    let mut bass = Vec::new();
    gan.answer(&request, &mut |note| bass.push((note.note.start, note.note.duration, note.note.key.number())))
        .expect("it plays");
    assert_eq!(bass, [(48, 12, 43), (60, 30, 40), (90, 6, 41)]);

    let extender = onnx::load_extender(&file_of("extender", &small_models::extender()), seat);
    let (mut extender, _) = extender.expect("it can be played");
    let song = Song { melody, ..Song::default() };
    let wish = extender::Wish { bars: 2, temperature: 0.0, ..extender::Wish::default() };
    let found = extender.extend(&song, 96, &|_| None, &wish).expect("it plays");
    let places: Vec<(Ticks, u8)> = found.notes.iter().map(|note| (note.start, note.key.number())).collect();
    let expected = (2..4).flat_map(|bar| (0..4_u8).map(move |beat| (48 * bar + 12 * Ticks::from(beat), 60 + beat)));
    assert_eq!(places, expected.collect::<Vec<_>>());
}

/// What a small enhancer is shown of a roll with a C sharp in its second beat.
fn black_key(ticks: Ticks) -> Vec<(&'static str, Vec<f32>)> {
    let size = |channels: usize| vec![0.0; channels * ticks as usize * KEYS];
    let melody = Roll::of(ticks, 0, &notes(&[[0, 12, 60], [12, 12, 61]])).cells().to_vec();
    let clock = vec![0.0; 3 * ticks as usize];
    vec![
        ("melody", melody),
        ("around", size(4)),
        ("locked", size(1)),
        ("profile", vec![0.0; 12]),
        ("clock", clock),
        ("cond", vec![0.0; 41]),
    ]
}

#[test]
fn rolls_of_any_length_are_played() {
    let model = open_rolls::<of_rolls::Enhancer>(&small_enhancer("lengths", None));
    let mut cells = Vec::new();
    for ticks in [96, 144, 192, 240, 288, 96] {
        model.cells(ticks, &black_key(ticks), &mut cells).expect("it computes");
        let set = (0..cells.len()).filter(|at| cells[*at] > 0.0);
        let set: Vec<[usize; 3]> =
            set.map(|at| [at / KEYS / ticks as usize, at / KEYS % ticks as usize, at % KEYS]).collect();
        let sounding = (0..24).map(|tick| [2, tick, 44 + usize::from(tick >= 12)]);
        let expected: Vec<[usize; 3]> = [[0, 12, 44], [1, 12, 45]].into_iter().chain(sounding).collect();
        assert_eq!(set, expected, "{ticks} ticks");
    }
    let error = model.cells(144, &black_key(96), &mut cells).expect_err("they are too few").to_string();
    assert!(error.contains("`melody` was given 18432 numbers instead of 27648"), "{error}");
}

#[test]
fn networks_over_rolls_that_cannot_be_played_are_refused_in_words() {
    let target = Target { precision: Precision::Full, ..Target::default() };
    for (from, to, words) in [
        ("profile", "profits", "has no input `profile` of type float [1, 12, 1]"),
        ("Concat", "Concoc", "cannot be played"),
        ("obbligato.bars", "obbligato.cars", "have no `obbligato.bars`"),
    ] {
        let source = small_enhancer(from, Some((from, to)));
        let opened = open_roll_model::<of_rolls::Enhancer>(&source, Runtime::get(&choice()), target);
        let error = opened.err().expect("it is damaged").to_string();
        assert!(error.contains(words), "{from}: {error}");
    }
}

#[test]
fn onnx_runtime_passes_the_same_tests() {
    if choice().backend == BackendChoice::OnnxRuntime {
        return;
    }
    if std::env::var_os(LIBRARY_VARIABLE).is_none() {
        eprintln!("skipped: set {LIBRARY_VARIABLE} to the path of an ONNX Runtime library");
        return;
    }
    let own = std::env::current_exe().expect("a test is a program");
    let run = std::process::Command::new(own).env(BACKEND_VARIABLE, "onnxruntime").output();
    let run = run.expect("a program can be started again");
    let words = [run.stdout, run.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(run.status.success() && words.contains("the_backend_is_the_one_that_is_tested ... ok"), "{words}");
}
