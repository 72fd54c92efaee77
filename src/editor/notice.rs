//! What the window tells after something was done, until it is put away. Pure.

use std::path::PathBuf;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    pub text: String,
    pub well: bool,
    /// To be shown in the file manager.
    pub file: Option<PathBuf>,
}

impl Notice {
    pub fn done(text: impl Into<String>) -> Self {
        Self { text: text.into(), well: true, file: None }
    }

    pub fn problem(text: impl Into<String>) -> Self {
        Self { text: text.into(), well: false, file: None }
    }

    pub fn about(self, file: PathBuf) -> Self {
        Self { file: Some(file), ..self }
    }
}
