//! Measures how fast the models answer, with each backend in a process of its own (a process has one), what a call and the preview
//! sound cost the audio thread, how long a project takes to save and load, and what the window's timeline costs. (The built plugin
//! in a host: `jam --live`.)

mod plot;
mod table;

use crate::python::Python;
use crate::requirements::{self, Task};
use crate::workspace::{PACKAGE, Workspace, cargo, run};
use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use std::fs;
use std::path::PathBuf;

/// In `benches/`, but for the models.
const BENCHES: [&str; 4] = ["process", "sound", "state", "timeline"];

#[derive(Debug, Clone, clap::Args)]
pub struct BenchOptions {
    /// Only how fast the models answer
    #[arg(long)]
    pub models: bool,
    /// How many threads share a run in ONNX Runtime; the plugin has one, and tract knows no more
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2], value_parser = clap::value_parser!(u16).range(1..=64))]
    pub threads: Vec<u16>,
}

/// What computes the models, and how.
struct Setting {
    backend: &'static str,
    precision: &'static str,
    threads: u16,
}

/// What `benches/model.rs` has written of one setting.
#[derive(Deserialize)]
struct Measured {
    backend: String,
    figures: Vec<Figure>,
}

#[derive(Deserialize, Clone)]
struct Figure {
    what: String,
    unit: String,
    median: f64,
    /// Where more than one was measured.
    p99: Option<f64>,
}

/// A column of the table.
struct Column {
    name: String,
    figures: Vec<Figure>,
}

impl Column {
    fn figure(&self, what: &str) -> Option<&Figure> {
        self.figures.iter().find(|figure| figure.what == what)
    }
}

/// # Errors
/// When something the build needs is missing, or the build fails.
pub fn bench(workspace: &Workspace, options: &BenchOptions) -> Result<()> {
    requirements::check(&[Task::Plugin])?;
    if !options.models {
        let chosen = BENCHES.iter().flat_map(|bench| ["--bench", bench]);
        let plot = workspace.root.join("docs/process.svg");
        let arguments = ["bench", "--package", PACKAGE];
        run(cargo().current_dir(&workspace.root).env("OBBLIGATO_PLOT", plot).args(arguments).args(chosen))?;
    }
    let originals = originals(workspace)?;
    let mut columns = Vec::new();
    for setting in settings(&options.threads) {
        columns.extend(measure(workspace, &setting, originals.as_ref())?);
    }
    println!("\n{}", table::of(&columns));
    plot::draw(&columns, &workspace.root.join("docs/models.svg"))
}

fn settings(threads: &[u16]) -> Vec<Setting> {
    let tract = Setting { backend: "tract", precision: "full", threads: 1 };
    let onnx_runtime = threads.iter().flat_map(|threads| {
        ["full", "fast"].map(|precision| Setting { backend: "onnxruntime", precision, threads: *threads })
    });
    [tract].into_iter().chain(onnx_runtime).collect()
}

/// Networks of DeepComposer's size, where the environment of the training code is there to make them.
fn originals(workspace: &Workspace) -> Result<Option<PathBuf>> {
    let folder = workspace.target.join("originals");
    if folder.join("enhancer.onnx").is_file() {
        return Ok(Some(folder));
    }
    let Some(python) = Python::existing(workspace) else {
        println!("Without DeepComposer's networks: they are made where `cargo xtask test --training` has run.");
        return Ok(None);
    };
    run(python.command(workspace, "python").args(["-m", "obbligato_models.originals", "--out"]).arg(&folder))?;
    Ok(Some(folder))
}

/// `None` where the backend is not here.
fn measure(workspace: &Workspace, setting: &Setting, originals: Option<&PathBuf>) -> Result<Option<Column>> {
    let file = workspace.target.join("figures.json");
    let mut command = cargo();
    command.current_dir(&workspace.root).args(["bench", "--package", PACKAGE, "--bench", "model"]);
    command.env("OBBLIGATO_BACKEND", setting.backend).env("OBBLIGATO_PRECISION", setting.precision);
    command.env("OBBLIGATO_THREADS", setting.threads.to_string()).env("OBBLIGATO_FIGURES", &file);
    if let Some(folder) = originals {
        command.env("OBBLIGATO_ORIGINALS", folder);
    }
    run(&mut command)?;
    let text = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let Measured { backend, figures } = serde_json::from_slice(&text)?;
    if setting.backend != "tract" && backend == "tract" {
        println!("skipped: there is no ONNX Runtime here (`cargo xtask runtime fetch`)");
        return Ok(None);
    }
    ensure!(!figures.is_empty(), "nothing was measured");
    let precision = if setting.precision == "full" { "single precision" } else { "eight bits" };
    let threads = if setting.threads == 1 { String::new() } else { format!(", {} threads", setting.threads) };
    Ok(Some(Column { name: format!("{backend}, {precision}{threads}"), figures }))
}
