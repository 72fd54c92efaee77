//! Trains the model anew, in the virtual environment of the training code.

use crate::python::Python;
use crate::workspace::{Workspace, run};
use anyhow::{Context, Result};
use std::path::PathBuf;

#[derive(Debug, Clone, clap::Args)]
pub struct TrainOptions {
    /// Folder with the music archives, one folder a set; see models/README.md
    #[arg(long, value_name = "DIR", env = "OBBLIGATO_DATA")]
    pub data: PathBuf,
    /// How long to train, in minutes
    #[arg(long, default_value_t = 30)]
    pub minutes: u32,
}
