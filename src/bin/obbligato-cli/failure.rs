//! What went wrong, in words for the person at the shell.

use std::fmt::Display;
use std::path::Path;
use std::process::ExitCode;

#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Something that was given is wrong.
    #[error("{0}")]
    Input(String),
    /// What was given is right, and yet it cannot be done.
    #[error("{0}")]
    Other(String),
}

impl Failure {
    pub fn input(path: &Path, reason: impl Display) -> Self {
        Self::Input(format!("{}: {reason}", path.display()))
    }

    pub fn other(path: &Path, reason: impl Display) -> Self {
        Self::Other(format!("{}: {reason}", path.display()))
    }

    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Input(_) => ExitCode::from(2),
            Self::Other(_) => ExitCode::FAILURE,
        }
    }
}
