//! Where things are, and running programs with a word on what they are for.

use anyhow::{Context, Result, bail, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Package and library name of the plugin.
pub const PACKAGE: &str = "obbligato";
/// As bundles are called; `bundler.toml` says the same to the bundler.
pub const PLUGIN_NAME: &str = "Obbligato";
pub const PLUGIN_ID: &str = "org.obbligato.obbligato";

/// The checkout and the folder cargo builds into.
#[derive(Debug, Clone)]
pub struct Workspace {
    pub root: PathBuf,
    pub target: PathBuf,
}

impl Workspace {
    /// Asks cargo, so that `CARGO_TARGET_DIR` and cargo's configuration count.
    pub fn find() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask lies in the workspace")?.to_owned();
        let output = cargo()
            .args(["metadata", "--no-deps", "--format-version", "1"])
            .current_dir(&root)
            .output()
            .context("cannot run cargo")?;
        ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
        let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        let target = metadata["target_directory"].as_str().context("cargo names no target directory")?;
        Ok(Self { root, target: PathBuf::from(target) })
    }

    /// Where bundles are put.
    pub fn bundled(&self) -> PathBuf {
        self.target.join("bundled")
    }

    pub fn clap(&self) -> PathBuf {
        self.bundled().join(format!("{PLUGIN_NAME}.clap"))
    }

    pub fn vst3(&self) -> PathBuf {
        self.bundled().join(format!("{PLUGIN_NAME}.vst3"))
    }

    /// The command line program that `cargo build --release` makes.
    pub fn command_line(&self) -> PathBuf {
        self.program("obbligato-cli", "release")
    }

    /// The program that runs without a host, by the profile that it was built in.
    pub fn standalone(&self, profile: &str) -> PathBuf {
        self.program(PACKAGE, profile)
    }

    fn program(&self, name: &str, profile: &str) -> PathBuf {
        self.target.join(profile).join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
    }

    pub fn models(&self) -> PathBuf {
        self.root.join("models")
    }
}

/// The cargo that runs this program.
pub fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Runs a program to its end; its output goes to the user.
///
/// # Errors
/// When it cannot be started or fails.
pub fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.status().with_context(|| format!("cannot run {program}"))?;
    if !status.success() {
        let arguments: Vec<_> = command.get_args().map(|argument| argument.to_string_lossy()).collect();
        bail!("`{program} {}` failed ({status})", arguments.join(" "));
    }
    Ok(())
}
