//! Whoever plays on takes no more memory. Alone in its process, which nothing else may fill meanwhile; with ONNX Runtime
//! where `OBBLIGATO_ONNXRUNTIME` names a library, else with tract.
#![cfg(all(feature = "inference", target_os = "linux"))]

use obbligato::contract::drums::{CONDITIONS, DrumControls};
use obbligato::model::{Model, ModelSource, Run, open_model};
use obbligato::runtime::{Runtime, RuntimeChoice, Target};
use std::sync::Arc;

/// An hour of playing is half a million runs.
#[test]
fn reading_on_takes_no_more_memory() {
    /// A hundred bytes a run would be more.
    const MOST_KIB: usize = 800;
    let runtime = Runtime::get(&RuntimeChoice::from_environment());
    let model: Arc<Model<DrumControls>> =
        open_model(&ModelSource::EmbeddedDrummer, runtime, Target::default()).expect("it is ours");
    let mut memory = model.memory().expect("there is room");
    let mut read = |runs: usize| {
        for run in 0..runs {
            let past = run % (model.contract().window - 1);
            model.read(&mut memory, Run::One, past, &[1], &[[0.1; CONDITIONS]]).expect("it fits");
        }
        resident_kib()
    };
    let before = read(1000);
    let grown = read(8000).saturating_sub(before);
    println!("{}: {grown} KiB more after 8000 runs", runtime.backend());
    assert!(grown < MOST_KIB, "{grown} KiB more after 8000 runs with {}", runtime.backend());
}

fn resident_kib() -> usize {
    let text = std::fs::read_to_string("/proc/self/status").expect("Linux tells");
    let line = text.lines().find(|line| line.starts_with("VmRSS:")).expect("Linux tells");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number of KiB")
}
