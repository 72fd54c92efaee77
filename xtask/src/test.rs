//! Every test of the project, one step after the other, with a table at the end.

use crate::bundle::{BundleOptions, bundle};
use crate::python::Python;
use crate::requirements::{self, Task};
use crate::runtime::pinned;
use crate::workspace::{PACKAGE, Workspace, cargo, run};
use anyhow::{Result, ensure};
use std::path::Path;
use std::time::{Duration, Instant};

#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub struct TestOptions {
    /// Also the tests of the training code, in a virtual environment that is made (several GB for PyTorch), and those with ONNX Runtime
    #[arg(long)]
    pub training: bool,
    /// Also what takes minutes: a million random hosts, and an hour of playing
    #[arg(long)]
    pub long: bool,
    /// Only the random host with this number, and all that it does
    #[arg(long, value_name = "SEED")]
    pub history: Option<u64>,
}

/// What was tested and how it went.
struct Outcome {
    step: &'static str,
    verdict: Verdict,
    time: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Passed,
    Failed,
    /// What it needs is not here.
    Skipped,
}

type Step = (&'static str, fn(&Workspace) -> Result<()>);

const STEPS: [Step; 14] = [
    ("format", format),
    ("supply chain", supply_chain),
    ("advisories", advisories),
    ("clippy", clippy),
    ("devices", devices),
    ("core tests", core_tests),
    ("plugin tests", plugin_tests),
    ("command line", command_line),
    ("bundle", make_bundle),
    ("host tests", host_tests),
    ("WebGPU", webgpu),
    ("window pictures", window_pictures),
    ("keys", keys_in_the_window),
    ("standalone", without_a_host),
];

/// What a step needs is not here: said in place of failing.
#[derive(Debug)]
struct Missing(String);

impl std::error::Error for Missing {}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

const LONG_STEPS: [Step; 2] = [("million hosts", million_hosts), ("hour of playing", hour_of_playing)];

const TRAINING_STEPS: [Step; 2] = [("training tests", training_tests), ("ONNX Runtime", with_onnx_runtime)];

/// Runs all steps, also after one has failed.
///
/// # Errors
/// When something the build needs is missing, or a step failed.
pub fn test(workspace: &Workspace, options: TestOptions) -> Result<()> {
    if let Some(seed) = options.history {
        return one_history(workspace, seed);
    }
    let needs: &[Task] = if options.training { &[Task::Plugin, Task::Training] } else { &[Task::Plugin] };
    requirements::check(needs)?;
    let long: &[Step] = if options.long { &LONG_STEPS } else { &[] };
    let training: &[Step] = if options.training { &TRAINING_STEPS } else { &[] };
    let steps = STEPS.iter().chain(long).chain(training);
    let outcomes: Vec<Outcome> = steps.map(|step| outcome_of(*step, workspace)).collect();
    println!();
    for Outcome { step, verdict, time } in &outcomes {
        let verdict = match verdict {
            Verdict::Passed => "ok",
            Verdict::Failed => "FAILED",
            Verdict::Skipped => "skipped",
        };
        println!("{step:<16}{verdict:<8}{:>8.1} s", time.as_secs_f64());
    }
    let count = |verdict| outcomes.iter().filter(|outcome| outcome.verdict == verdict).count();
    let failed = count(Verdict::Failed);
    println!("{} passed, {failed} failed", count(Verdict::Passed));
    ensure!(failed == 0, "tests failed");
    Ok(())
}

fn outcome_of((step, perform): Step, workspace: &Workspace) -> Outcome {
    println!("\n== {step}");
    let began = Instant::now();
    let verdict = match perform(workspace) {
        Ok(()) => Verdict::Passed,
        Err(error) if error.is::<Missing>() => {
            println!("skipped: {error}");
            Verdict::Skipped
        }
        Err(error) => {
            eprintln!("{error:#}");
            Verdict::Failed
        }
    };
    Outcome { step, verdict, time: began.elapsed() }
}

fn cargo_in(workspace: &Workspace, arguments: &[&str]) -> Result<()> {
    run(cargo().current_dir(&workspace.root).args(arguments))
}

fn format(workspace: &Workspace) -> Result<()> {
    cargo_in(workspace, &["fmt", "--all", "--check"])
}

/// Whose code is built in, and under which licences.
fn supply_chain(workspace: &Workspace) -> Result<()> {
    needs_cargo_deny()?;
    cargo_in(workspace, &["deny", "check", "licenses", "bans", "sources"])
}

/// Whether anything that is built in is known to be harmful. Who knows it is asked on the network.
fn advisories(workspace: &Workspace) -> Result<()> {
    needs_cargo_deny()?;
    let fetched = cargo().current_dir(&workspace.root).args(["deny", "fetch", "db"]).output();
    let fetched = fetched.is_ok_and(|said| said.status.success());
    ensure!(fetched, Missing("the database of advisories (github.com/RustSec/advisory-db) cannot be reached".into()));
    cargo_in(workspace, &["deny", "check", "advisories"])
}

fn needs_cargo_deny() -> Result<()> {
    let found = cargo().args(["deny", "--version"]).output().is_ok_and(|said| said.status.success());
    ensure!(found, Missing("there is no cargo-deny (cargo install cargo-deny --locked)".into()));
    Ok(())
}

/// In the release profile, so that build scripts and macros are shared with the bundle.
fn clippy(workspace: &Workspace) -> Result<()> {
    cargo_in(workspace, &["clippy", "--release", "--workspace", "--all-targets", "--", "--deny", "warnings"])
}

/// Each device's code alone, also those that no machine of ours has.
fn devices(workspace: &Workspace) -> Result<()> {
    for device in ["cuda", "tensorrt", "directml", "coreml", "webgpu"] {
        let build =
            ["check", "--release", "--package", PACKAGE, "--lib", "--no-default-features", "--features", device];
        cargo_in(workspace, &build)?;
    }
    Ok(())
}

/// In the debug profile: seconds to build, and arithmetic is checked.
fn core_tests(workspace: &Workspace) -> Result<()> {
    cargo_in(workspace, &["test", "--package", PACKAGE, "--no-default-features"])
}

fn plugin_tests(workspace: &Workspace) -> Result<()> {
    cargo_in(workspace, &["test", "--release", "--package", PACKAGE])
}

fn command_line(workspace: &Workspace) -> Result<()> {
    cargo_in(workspace, &["build", "--release", "--package", PACKAGE, "--bin", "obbligato-cli"])
}

fn make_bundle(workspace: &Workspace) -> Result<()> {
    bundle(workspace, BundleOptions::default())
}

/// The built bundles in the hosts of this package.
fn host_tests(workspace: &Workspace) -> Result<()> {
    cargo_in(workspace, &["test", "--release", "--package", "xtask"])
}

/// ONNX Runtime's provider really run, in software where there is no graphics processor.
fn webgpu(workspace: &Workspace) -> Result<()> {
    const LIBRARY: &str = "OBBLIGATO_WEBGPU";
    const DRIVERS: &str = "VK_ICD_FILENAMES";
    /// As Debian's `chromium-common` brings it.
    const IN_SOFTWARE: &str = "/usr/lib/chromium/vk_swiftshader_icd.json";
    let library = std::env::var_os(LIBRARY).filter(|path| Path::new(path).is_file());
    ensure!(library.is_some(), Missing(format!("{LIBRARY} names no ONNX Runtime with WebGPU (docs/gpu.md)")));
    let mut command = cargo();
    command.current_dir(&workspace.root);
    command.args(["test", "--release", "--package", PACKAGE, "--test", "webgpu", "--", "--nocapture"]);
    if cfg!(target_os = "linux") && std::env::var_os(DRIVERS).is_none() {
        ensure!(Path::new(IN_SOFTWARE).is_file(), Missing(format!("there is no {IN_SOFTWARE}, and no {DRIVERS}")));
        command.env(DRIVERS, IN_SOFTWARE);
    }
    run(&mut command)
}

/// Of the bundle that was made before, compared with those in `docs/`.
#[cfg(target_os = "linux")]
fn window_pictures(workspace: &Workspace) -> Result<()> {
    use crate::screenshots::{ScreenshotOptions, screenshots};
    use crate::virtual_display::{NO_DISPLAY, is_possible};
    ensure!(is_possible(), Missing(NO_DISPLAY.into()));
    screenshots(workspace, ScreenshotOptions { compare: true, no_build: true, ..ScreenshotOptions::default() })
}

#[cfg(not(target_os = "linux"))]
fn window_pictures(_workspace: &Workspace) -> Result<()> {
    Err(Missing("the pictures are taken on Linux".into()).into())
}

/// Of the bundle that was made before.
#[cfg(target_os = "linux")]
fn keys_in_the_window(workspace: &Workspace) -> Result<()> {
    use crate::keys::{KeysOptions, keys};
    use crate::virtual_display::{NO_DISPLAY, is_possible};
    ensure!(is_possible(), Missing(NO_DISPLAY.into()));
    keys(workspace, KeysOptions::default())
}

#[cfg(not(target_os = "linux"))]
fn keys_in_the_window(_workspace: &Workspace) -> Result<()> {
    Err(Missing("elsewhere the system passes them on".into()).into())
}

/// Needs headers that nothing else does, and a display.
#[cfg(target_os = "linux")]
fn without_a_host(workspace: &Workspace) -> Result<()> {
    use crate::standalone::{StandaloneOptions, standalone};
    use crate::virtual_display::{NO_DISPLAY, is_possible};
    ensure!(is_possible(), Missing(NO_DISPLAY.into()));
    requirements::check(&[Task::Standalone]).map_err(|missing| Missing(missing.to_string()))?;
    standalone(workspace, StandaloneOptions::default())
}

#[cfg(not(target_os = "linux"))]
fn without_a_host(_workspace: &Workspace) -> Result<()> {
    Err(Missing("it is tried on Linux".into()).into())
}

fn million_hosts(workspace: &Workspace) -> Result<()> {
    long_test(workspace, "random_hosts::no_host_of_a_million_can_make_a_note_hang")
}

/// In a process of its own, whose memory is looked at.
fn hour_of_playing(workspace: &Workspace) -> Result<()> {
    long_test(workspace, "soak::an_hour_of_playing_leaves_nothing_behind")
}

/// Fast, with arithmetic checked.
fn long_test(workspace: &Workspace, name: &str) -> Result<()> {
    let package = ["test", "--profile", "checked", "--package", PACKAGE, "--no-default-features", "--test", "realtime"];
    cargo_in(workspace, &[&package[..], &["--", "--ignored", "--exact", name, "--nocapture"]].concat())
}

fn one_history(workspace: &Workspace, seed: u64) -> Result<()> {
    let package = ["test", "--package", PACKAGE, "--no-default-features", "--test", "realtime"];
    let test = ["--", "--ignored", "--exact", "random_hosts::one_history", "--nocapture"];
    let arguments = [&package[..], &test].concat();
    run(cargo().current_dir(&workspace.root).args(arguments).env("OBBLIGATO_HISTORY", seed.to_string()))
}

fn training_tests(workspace: &Workspace) -> Result<()> {
    let python = Python::prepare(workspace)?;
    run(python.command(workspace, "ruff").args(["check", "."]))?;
    run(python.command(workspace, "python").args(["-m", "pytest", "--quiet"]))
}

/// What depends on the backend, once more with the library that is pinned; the other steps play with tract.
fn with_onnx_runtime(workspace: &Workspace) -> Result<()> {
    let library = pinned(workspace).map_err(|error| Missing(format!("ONNX Runtime cannot be had ({error:#})")))?;
    let run_with = |arguments: &[&str]| {
        let test = ["test", "--release", "--package"];
        let mut command = cargo();
        command.current_dir(&workspace.root).args(test).args(arguments);
        run(command.env("OBBLIGATO_ONNXRUNTIME", &library))
    };
    run_with(&[PACKAGE, "--lib", "--", "model::tests"])?;
    run_with(&[PACKAGE, "--test", "model_parity", "--test", "steady_memory", "--test", "instances"])?;
    run_with(&["xtask", "--test", "clap_host"])
}
