//! The model inside the plugin computes here what it computed where it was trained, with each backend.
//!
//! A process has one backend. The tests run with tract; where `OBBLIGATO_ONNXRUNTIME` names a library, they run once more
//! in a process of their own, with ONNX Runtime.
#![cfg(feature = "inference")]

use obbligato::contract::{CONDITIONS, VOCABULARY};
use obbligato::generators::controls::Condition;
use obbligato::generators::library::{self, GeneratorChoice};
use obbligato::generators::{Ask, PartNote, Request, SegmentAnswer};
use obbligato::model::{Memory, Model, ModelSource, Run, installed_models, open_model};
use obbligato::music::{Bar, Key, Meter, Note, PerPart, PlannedChord, Style, Velocity};
use obbligato::runtime::{BACKEND_VARIABLE, Backend, BackendChoice, LIBRARY_VARIABLE, Runtime, RuntimeChoice};
use obbligato::settings::Settings;
use serde::Deserialize;
use std::sync::Arc;

/// What PyTorch computed; the file describes its fields.
#[derive(Deserialize)]
struct Reference {
    tolerance: f32,
    ids: Vec<u16>,
    cond: Vec<Stretch>,
    best: Vec<Vec<usize>>,
    values: Vec<Vec<f32>>,
    mean: Vec<f32>,
    logsumexp: Vec<f32>,
    loudness: Vec<Vec<f32>>,
    coming: Vec<Vec<f32>>,
}

#[derive(Deserialize)]
struct Stretch {
    tokens: usize,
    cond: Vec<f32>,
}

impl Reference {
    fn read() -> Self {
        serde_json::from_str(include_str!("../models/parity/accompanist.json")).expect("the reference is well formed")
    }

    fn conditions(&self) -> Vec<Condition> {
        let condition = |stretch: &Stretch| Condition::try_from(stretch.cond.as_slice()).expect("the right length");
        self.cond.iter().flat_map(|stretch| vec![condition(stretch); stretch.tokens]).collect()
    }

    /// The largest difference of any number that is kept of these outputs, which follow token `index`.
    fn difference(&self, index: usize, outputs: &[f32]) -> f32 {
        let (logits, beside) = outputs.split_at(VOCABULARY);
        let expected = self.loudness[index].iter().chain(&self.coming[index]);
        assert_eq!(beside.len(), expected.clone().count());
        let beside = beside.iter().zip(expected).map(|(value, expected)| value - expected);
        let best = self.best[index].iter().zip(&self.values[index]).map(|(token, value)| logits[*token] - value);
        let mean = logits.iter().sum::<f32>() / logits.len() as f32 - self.mean[index];
        let sum: f64 = logits.iter().map(|logit| f64::from(*logit).exp()).sum();
        let sum = sum.ln() as f32 - self.logsumexp[index];
        best.chain(beside).chain([mean, sum]).map(f32::abs).fold(0.0, |largest, difference| {
            if difference > largest || difference.is_nan() { difference } else { largest }
        })
    }
}

fn choice() -> RuntimeChoice {
    match RuntimeChoice::from_environment() {
        choice @ RuntimeChoice { backend: BackendChoice::OnnxRuntime, .. } => choice,
        _ => RuntimeChoice { backend: BackendChoice::Tract, ..RuntimeChoice::default() },
    }
}

fn model() -> Arc<Model> {
    open_model(&ModelSource::Embedded, Runtime::get(&choice())).expect("the embedded model can be played")
}

/// What is said after the last token, read in pieces.
fn read_pieces(model: &Model, memory: &mut Memory, ids: &[u16], conditions: &[Condition]) -> Vec<f32> {
    let mut logits = Vec::new();
    for (piece, tokens) in ids.chunks(32).enumerate() {
        let past = 32 * piece;
        let conditions = &conditions[past..past + tokens.len()];
        logits = model.read(memory, Run::Piece, past, tokens, conditions).expect("it fits the window").to_vec();
    }
    logits
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
    let (reference, model) = (Reference::read(), model());
    let (mut memory, conditions) = (model.memory().expect("there is room"), reference.conditions());
    assert_eq!(conditions.len(), reference.ids.len());
    for (index, token) in reference.ids.iter().enumerate() {
        let logits = model.read(&mut memory, Run::One, index, &[*token], &conditions[index..=index]);
        let difference = reference.difference(index, logits.expect("it fits the window"));
        assert!(difference <= reference.tolerance, "after token {index}: {difference}");
    }
}

#[test]
fn outputs_are_those_of_the_reference_in_pieces() {
    let (reference, model) = (Reference::read(), model());
    let (mut memory, conditions) = (model.memory().expect("there is room"), reference.conditions());
    for end in 1..=reference.ids.len() {
        let from = (end - 1) / 32 * 32;
        let logits = model.read(&mut memory, Run::Piece, from, &reference.ids[from..end], &conditions[from..end]);
        let difference = reference.difference(end - 1, logits.expect("it fits the window"));
        assert!(difference <= reference.tolerance, "after token {}: {difference}", end - 1);
    }
}

#[test]
fn what_was_read_before_does_not_change_a_bit() {
    let (reference, model) = (Reference::read(), model());
    let conditions = reference.conditions();
    let mut fresh = model.memory().expect("there is room");
    let expected = read_pieces(&model, &mut fresh, &reference.ids, &conditions);
    let mut used = model.memory().expect("there is room");
    let other: Vec<u16> = reference.ids.iter().rev().copied().collect();
    read_pieces(&model, &mut used, &other, &conditions);
    for past in [40, 41, 90] {
        model.read(&mut used, Run::One, past, &[1200], &conditions[..1]).expect("it fits the window");
    }
    assert_eq!(read_pieces(&model, &mut used, &reference.ids, &conditions), expected);
}

#[test]
fn what_does_not_fit_the_window_is_an_error() {
    let model = model();
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

/// Answers of eight bars: each by a generator that has played on, and by one that starts there.
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
    let load = || library::load(&GeneratorChoice { name: None, runtime: choice() });
    let settings = Settings::default();
    let mut playing = load();
    assert_eq!(playing.problem, None);
    let mut past: Vec<SegmentAnswer> = Vec::new();
    for bar in (0..8).map(|index| Bar::of_constant_meter(index, Meter::COMMON)) {
        for segment in bar.segments() {
            let request = Request {
                ask: Ask::Jam(segment),
                melody: &melody,
                past: &past,
                chords: &[None],
                parts: PerPart::from_fn(|part| settings.part_is_on(part)),
                settings: &settings,
                quarters_per_minute: 120.0,
                margin: 2,
                seed: u64::from(segment.start() as u32),
            };
            let answer = |loaded: &mut library::Loaded| -> (Vec<PlannedChord>, Vec<PartNote>) {
                let mut notes = Vec::new();
                let chords = loaded.generator.answer(&request, &mut |note| notes.push(note));
                (chords.expect("the model plays"), notes)
            };
            let (chords, notes) = answer(&mut playing);
            assert_eq!(answer(&mut load()), (chords.clone(), notes.clone()), "at {}", segment.start());
            let chord = chords[0];
            past.push(SegmentAnswer { segment, chord, notes, settings, quarters_per_minute: 120.0, margin: 2 });
        }
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
