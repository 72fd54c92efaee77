//! ONNX Runtime's WebGPU provider, really run: on a graphics processor, or in software over Vulkan (`docs/gpu.md`).
//!
//! A process has one library, so each test runs in a process of its own.
#![cfg(feature = "webgpu")]

use obbligato::contract::drums::DrumControls;
use obbligato::model::{Model, ModelSource, open_model};
use obbligato::runtime::{
    BACKEND_VARIABLE, Backend, Device, LIBRARY_VARIABLE, Precision, Runtime, RuntimeChoice, Target,
};
use std::process::Command;
use std::sync::Arc;

/// Environment variable with the path of an ONNX Runtime library that has the provider: `cargo xtask runtime fetch --gpu webgpu`.
const WEBGPU_VARIABLE: &str = "OBBLIGATO_WEBGPU";

/// Runs one test of this file again, in a process with that library, if there is one.
fn in_own_process(test: &str) {
    let Some(library) = std::env::var_os(WEBGPU_VARIABLE) else {
        eprintln!("skipped: {test}: set {WEBGPU_VARIABLE} to an ONNX Runtime library with WebGPU (docs/gpu.md)");
        return;
    };
    let own = std::env::current_exe().expect("a test is a program");
    let arguments = ["--exact", test, "--ignored", "--nocapture"];
    let mut program = Command::new(own);
    program.args(arguments).env(LIBRARY_VARIABLE, library).env(BACKEND_VARIABLE, "onnxruntime");
    let run = program.output().expect("a program can be started again");
    let words = [run.stdout, run.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(run.status.success() && words.contains("1 passed"), "{words}");
    println!("{words}");
}

#[test]
fn the_provider_computes_what_the_processor_does() {
    in_own_process("webgpu_computes_what_the_processor_does");
}

/// Run by the test above.
#[test]
#[ignore = "in a process of its own"]
fn webgpu_computes_what_the_processor_does() {
    let runtime = Runtime::get(&RuntimeChoice::from_environment());
    assert!(matches!(runtime.backend(), Backend::OnnxRuntime { .. }), "{:?}", runtime.attempts());
    let found = runtime.devices().into_iter().find(|found| found.device == Device::WebGpu);
    let found = found.expect("the library offers it");
    assert_eq!(found.trouble, None, "and it starts");
    println!("found {} ({})", found.device, found.name);

    let open = |device, precision| -> Arc<Model<DrumControls>> {
        let target = Target { device, precision };
        open_model(&ModelSource::EmbeddedDrummer, runtime, target).unwrap_or_else(|error| panic!("{error}"))
    };
    let cpu = open(Device::Cpu, Precision::Full);
    for (precision, most) in [(Precision::Full, 0.05), (Precision::Fast, 0.2)] {
        let webgpu = open(Device::WebGpu, precision);
        let placement = webgpu.placement().expect("it was watched");
        println!("{placement} on {} in {}", webgpu.device(), webgpu.numbers());
        assert!(placement.share() > 0.9, "{placement}");
        assert_eq!(webgpu.device(), Device::WebGpu);
        let furthest = webgpu.furthest_from(&cpu).expect("both compute");
        println!("furthest from the processor's logits: {furthest}");
        assert!(furthest < most, "{furthest}");
    }
}
