//! Measures how fast the models answer, what a call and the preview sound cost the audio thread, how long a project takes to save
//! and load, and what the window's timeline costs. (The built plugin in a host: `jam --live`.)

use crate::requirements::{self, Task};
use crate::workspace::{PACKAGE, Workspace, cargo, run};
use anyhow::Result;

/// In `benches/`.
const BENCHES: [&str; 5] = ["model", "process", "sound", "state", "timeline"];

/// # Errors
/// When something the build needs is missing, or the build fails.
pub fn bench(workspace: &Workspace) -> Result<()> {
    requirements::check(&[Task::Plugin])?;
    let chosen = BENCHES.iter().flat_map(|bench| ["--bench", bench]);
    let plot = workspace.root.join("docs/process.svg");
    run(cargo()
        .current_dir(&workspace.root)
        .env("OBBLIGATO_PLOT", plot)
        .args(["bench", "--package", PACKAGE])
        .args(chosen))
}
