//! The models inside the plugin compute here what they computed where they were trained, with each backend.
//!
//! A process has one backend. The tests run with tract; where `OBBLIGATO_ONNXRUNTIME` names a library, they run once more
//! in a process of their own, with ONNX Runtime.
#![cfg(feature = "inference")]

use obbligato::contract::drums::{self, DrumControls};
use obbligato::contract::{CONDITIONS, Controls, Engine};
use obbligato::generators::band::Band;
use obbligato::generators::library::{self, GeneratorChoice};
use obbligato::generators::{Ask, Request, SegmentAnswer};
use obbligato::model::{Memory, Model, ModelSource, Run, installed_models, open_model};
use obbligato::music::{Bar, Key, Meter, Note, Part, PerPart, Style, Velocity};
use obbligato::runtime::{
    BACKEND_VARIABLE, Backend, BackendChoice, LIBRARY_VARIABLE, Precision, Runtime, RuntimeChoice, Target,
};
use obbligato::settings::Settings;
use serde::Deserialize;
use std::sync::Arc;

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
    let installed = installed_models();
    let contract = installed[0].contract.as_ref().expect("the embedded model fits this build");
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
