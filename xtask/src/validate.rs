//! Runs clap-validator on the built bundle, where there is one.

use crate::workspace::{Workspace, run};
use anyhow::{Result, ensure};
use std::path::PathBuf;
use std::process::Command;

#[derive(Debug, Clone, clap::Args)]
pub struct ValidateOptions {
    /// The validator
    #[arg(long, value_name = "PROGRAM", default_value = "clap-validator")]
    pub validator: PathBuf,
    /// How often; its tests are random
    #[arg(long, default_value_t = 1)]
    pub runs: u32,
}

/// # Errors
/// When the bundle or the validator is missing, or the validator finds something.
pub fn validate(workspace: &Workspace, options: &ValidateOptions) -> Result<()> {
    let bundle = workspace.clap();
    ensure!(bundle.exists(), "there is no {}; run `cargo xtask bundle` first", bundle.display());
    let found = Command::new(&options.validator).arg("--version").output().is_ok_and(|output| output.status.success());
    ensure!(
        found,
        "`{}` cannot be run. Get clap-validator from https://github.com/free-audio/clap-validator and put it on the \
         PATH, or name it with --validator",
        options.validator.display()
    );
    for _ in 0..options.runs {
        run(Command::new(&options.validator).args(["validate", "--only-failed"]).arg(&bundle))?;
    }
    println!("{} passed {} times", bundle.display(), options.runs);
    Ok(())
}
