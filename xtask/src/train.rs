//! Trains the model anew, from music to the file that the plugin embeds: the commands of `models/README.md` in a row.

use crate::python::Python;
use crate::workspace::{Workspace, run};
use anyhow::Result;
use std::path::PathBuf;

#[derive(Debug, Clone, clap::Args)]
pub struct TrainOptions {
    /// Folder with the music, one folder a set (see models/README.md) [default: what OBBLIGATO_DATA says]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Minutes of training in all; it goes on where it stopped
    #[arg(long, default_value_t = 30.0)]
    pub minutes: f64,
}

// Relative to the folder of the training code.
const DATASET: &str = "data/songs.npz";
const RUN: &str = "runs/accompanist";
const CHECKPOINT: &str = "runs/accompanist/last.pt";
const SCORES: &str = "runs/scores";

/// # Errors
/// When a step fails; what was done before it stays.
pub fn train(workspace: &Workspace, options: &TrainOptions) -> Result<()> {
    let data = options.data.as_ref().map(std::path::absolute).transpose()?;
    let python = Python::prepare(workspace)?;
    let module = |name: &str| {
        let mut command = python.command(workspace, "python");
        command.args(["-m", name]);
        command
    };
    let mut dataset = module("obbligato_models.dataset");
    if let Some(folder) = data {
        dataset.arg("--data").arg(folder);
    }
    run(dataset.args(["--out", DATASET]))?;
    let minutes = options.minutes.to_string();
    run(module("obbligato_models.transformer.train")
        .args(["--dataset", DATASET, "--run", RUN])
        .args(["--minutes", &minutes]))?;
    run(module("obbligato_models.evaluate")
        .args(["model", "--checkpoint", CHECKPOINT, "--dataset", DATASET])
        .args(["--out", SCORES]))?;
    let scores = format!("{SCORES}/scores.json");
    run(module("obbligato_models.export").args(["--checkpoint", CHECKPOINT, "--scores", &scores]))
}
