//! Builds the plugin and puts it into bundles.

use crate::install::put_beside;
use crate::requirements::{self, Task};
use crate::runtime::fetched;
use crate::workspace::{PACKAGE, Workspace, cargo, run};
use anyhow::{Context, Result};
use std::path::Path;

#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub struct BundleOptions {
    /// Build what is shipped: smaller and faster, but several minutes longer to link
    #[arg(long)]
    pub dist: bool,
    /// Also build the program that runs without a host (JACK, ALSA, CoreAudio, WASAPI)
    #[arg(long)]
    pub standalone: bool,
}

impl BundleOptions {
    fn profile(&self) -> &'static str {
        if self.dist { "dist" } else { "release" }
    }
}

/// Makes the CLAP and VST3 bundles.
///
/// # Errors
/// When something the build needs is missing, or the build fails.
pub fn bundle(workspace: &Workspace, options: BundleOptions) -> Result<()> {
    let tasks: &[Task] = if options.standalone { &[Task::Plugin, Task::Standalone] } else { &[Task::Plugin] };
    requirements::check(tasks)?;
    let profile = ["--profile", options.profile()];
    // The manifest asks for a plain library; see there.
    let plugin = ["rustc", "--package", PACKAGE, "--lib", "--crate-type", "cdylib"];
    run(cargo().current_dir(&workspace.root).args(plugin).args(profile))?;
    if options.standalone {
        let program = ["build", "--package", PACKAGE, "--bin", PACKAGE, "--features", "standalone"];
        run(cargo().current_dir(&workspace.root).args(program).args(profile))?;
    }
    // The bundler reads its configuration from the current folder.
    std::env::set_current_dir(&workspace.root)?;
    nice_plug_xtask::bundle(&workspace.target, PACKAGE, &profile.map(str::to_owned), false)?;
    let program = options.standalone.then(|| workspace.standalone(options.profile()));
    for built in [workspace.clap(), workspace.vst3()].into_iter().chain(program) {
        put_beside(&fetched(workspace)?, &built)?;
        let megabytes = size_of(&built)? as f64 / 1e6;
        eprintln!("{} ({megabytes:.1} MB)", built.display());
    }
    Ok(())
}

/// Bytes in a file, or in all files of a folder.
fn size_of(path: &Path) -> Result<u64> {
    let metadata = path.metadata().with_context(|| format!("there is no {}", path.display()))?;
    if metadata.is_file() {
        return Ok(metadata.len());
    }
    std::fs::read_dir(path)?.map(|entry| size_of(&entry?.path())).sum()
}
