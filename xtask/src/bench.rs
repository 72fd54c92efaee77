//! Measures how fast the model inside the plugin answers. (What the plugin costs the audio thread: `jam --live`.)

use crate::requirements::{self, Task};
use crate::workspace::{PACKAGE, Workspace, cargo, run};
use anyhow::Result;

/// # Errors
/// When something the build needs is missing, or the build fails.
pub fn bench(workspace: &Workspace) -> Result<()> {
    requirements::check(&[Task::Plugin])?;
    run(cargo().current_dir(&workspace.root).args(["bench", "--package", PACKAGE, "--bench", "model"]))
}
