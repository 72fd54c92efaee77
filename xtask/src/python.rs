//! The virtual environment of the training code.

use crate::requirements::{self, PYTHON, Task};
use crate::workspace::{Workspace, run};
use anyhow::Result;
use std::path::PathBuf;
use std::process::Command;

/// A virtual environment in cargo's target folder, with the packages of `models/pyproject.toml`.
#[derive(Debug, Clone)]
pub struct Python {
    folder: PathBuf,
}

impl Python {
    /// Makes the environment, or brings the one that is there up to date.
    ///
    /// # Errors
    /// When Python is missing, or a package cannot be installed.
    pub fn prepare(workspace: &Workspace) -> Result<Self> {
        requirements::check(&[Task::Training])?;
        let python = Self { folder: workspace.target.join("python") };
        if !python.program("python").exists() {
            run(Command::new(PYTHON).args(["-m", "venv"]).arg(&python.folder))?;
        }
        let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--editable"];
        run(python.command(workspace, "python").args(install).arg(".[dev]"))?;
        Ok(python)
    }

    /// The environment as it is; `None` where nobody has made one.
    pub fn existing(workspace: &Workspace) -> Option<Self> {
        let python = Self { folder: workspace.target.join("python") };
        python.program("python").exists().then_some(python)
    }

    /// A program of the environment, run in the folder of the training code.
    pub fn command(&self, workspace: &Workspace, program: &str) -> Command {
        let mut command = Command::new(self.program(program));
        command.current_dir(workspace.models());
        command
    }

    fn program(&self, name: &str) -> PathBuf {
        let programs = if cfg!(windows) { "Scripts" } else { "bin" };
        self.folder.join(programs).join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
    }
}
