//! Trains: a style of the user's own into the model that is there, or the whole model anew.

use crate::python::Python;
use crate::workspace::{PACKAGE, Workspace, cargo, run};
use anyhow::{Context, Result, anyhow};
use obbligato::user_folder::models_folder;
use std::fmt;
use std::path::{Path, PathBuf};

#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "With --data and --style-name the shipped model learns a style more, from your own files; the \
new model is put where the plugin looks for it. Without them the whole model is trained from the archives that \
models/README.md lists, evaluated, and exported into the plugin's sources. docs/training.md has the details.")]
pub struct TrainOptions {
    /// Your own MIDI files, in this folder and those inside it, to learn a style from
    #[arg(long, value_name = "FOLDER", requires = "style_name", conflicts_with = "archives")]
    pub data: Option<PathBuf>,
    /// What the style and the new model are called
    #[arg(long, value_name = "NAME", requires = "data")]
    pub style_name: Option<String>,
    /// Minutes of training: for a style at most [default: 15], for the whole model in all [default: 180], going on where
    /// it stopped
    #[arg(long)]
    pub minutes: Option<f64>,
    /// Folder with the archives for the whole model, one folder a set [default: what OBBLIGATO_DATA says]
    #[arg(long, value_name = "DIR")]
    pub archives: Option<PathBuf>,
}

const MINUTES_OF_STYLE: f64 = 15.0;
const MINUTES_OF_MODEL: f64 = 180.0;

// Relative to the folder of the training code.
const DATASET: &str = "data/songs.npz";
const RUN: &str = "runs/accompanist";
const CHECKPOINT: &str = "runs/accompanist/last.pt";
const SCORES: &str = "runs/scores";

/// The training program refused what it was given, and has said why.
#[derive(Debug)]
pub struct Refused;

impl Refused {
    /// Of the training program, and then of this one.
    pub const EXIT_CODE: u8 = 2;
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing was trained")
    }
}

impl std::error::Error for Refused {}

/// # Errors
/// When a step fails; what was done before it stays. [`Refused`] when the user's files are not enough.
pub fn train(workspace: &Workspace, options: &TrainOptions) -> Result<()> {
    match (&options.data, &options.style_name) {
        (Some(data), Some(name)) => train_style(workspace, data, name, options.minutes.unwrap_or(MINUTES_OF_STYLE)),
        _ => train_model(workspace, options.archives.as_deref(), options.minutes.unwrap_or(MINUTES_OF_MODEL)),
    }
}

fn train_style(workspace: &Workspace, data: &Path, name: &str, minutes: f64) -> Result<()> {
    let folder = models_folder().context("the system does not say where the user's files are")?;
    let file = folder.join(format!("{}.onnx", file_stem(name)));
    let python = Python::prepare(workspace)?;
    let mut finetune = python.command(workspace, "python");
    finetune.args(["-m", "obbligato_models.transformer.finetune", "--data"]).arg(std::path::absolute(data)?);
    finetune.args(["--style-name", name, "--minutes", &minutes.to_string(), "--out"]).arg(&file);
    let status = finetune.status().context("cannot run python")?;
    match status.code() {
        Some(0) => {}
        Some(code) if code == i32::from(Refused::EXIT_CODE) => return Err(Refused.into()),
        _ => return Err(anyhow!("training failed ({status})")),
    }
    println!("\nThe models that the plugin lists:");
    let list = ["run", "--quiet", "--release", "--package", PACKAGE, "--bin", "obbligato-cli", "--", "models"];
    run(cargo().current_dir(&workspace.root).args(list))
}

/// A name as every file system takes it.
fn file_stem(name: &str) -> String {
    let plain: String = name.chars().map(|c| if c.is_alphanumeric() { c } else { ' ' }).collect();
    let words: Vec<&str> = plain.split_whitespace().collect();
    if words.is_empty() { "style".to_owned() } else { words.join("-").to_lowercase() }
}

fn train_model(workspace: &Workspace, archives: Option<&Path>, minutes: f64) -> Result<()> {
    let python = Python::prepare(workspace)?;
    let module = |name: &str| {
        let mut command = python.command(workspace, "python");
        command.args(["-m", name]);
        command
    };
    let mut dataset = module("obbligato_models.dataset");
    if let Some(folder) = archives {
        dataset.arg("--data").arg(std::path::absolute(folder)?);
    }
    run(dataset.args(["--out", DATASET]))?;
    run(module("obbligato_models.transformer.train")
        .args(["--dataset", DATASET, "--run", RUN])
        .args(["--minutes", &minutes.to_string()]))?;
    run(module("obbligato_models.transformer.report").args(["--run", RUN]))?;
    run(module("obbligato_models.evaluate")
        .args(["model", "--checkpoint", CHECKPOINT, "--dataset", DATASET])
        .args(["--out", SCORES]))?;
    let scores = format!("{SCORES}/scores.json");
    run(module("obbligato_models.export").args(["--checkpoint", CHECKPOINT, "--scores", &scores]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_after_their_style() {
        for (name, expected) in [
            ("Bossa nova", "bossa-nova"),
            ("  80s / synth: pop ", "80s-synth-pop"),
            ("../..", "style"),
            ("Čardáš", "čardáš"),
        ] {
            assert_eq!(file_stem(name), expected);
        }
    }
}
