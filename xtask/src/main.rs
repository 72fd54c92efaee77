//! `cargo xtask`: the command line of the project's chores.

use anyhow::Result;
use clap::{Parser, Subcommand};
use std::process::ExitCode;
use xtask::bench::{BenchOptions, bench};
use xtask::bundle::{BundleOptions, bundle};
#[cfg(target_os = "linux")]
use xtask::frames::{FramesOptions, frames};
use xtask::install::{InstallOptions, install};
use xtask::jam::{JamOptions, jam};
#[cfg(target_os = "linux")]
use xtask::keys::{KeysOptions, keys};
use xtask::lateness::{LatenessOptions, lateness};
use xtask::runtime::{RuntimeChore, runtime};
#[cfg(target_os = "linux")]
use xtask::screenshots::{ScreenshotOptions, screenshots};
#[cfg(target_os = "linux")]
use xtask::standalone::{StandaloneOptions, standalone};
use xtask::startup::{StartupOptions, startup};
use xtask::test::{TestOptions, test};
use xtask::train::{Refused, TrainOptions, train};
use xtask::validate::{ValidateOptions, validate};
use xtask::workspace::Workspace;

/// Builds, tries and tests Obbligato.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Build the plugin as CLAP and VST3 bundles
    Bundle(BundleOptions),
    /// Build what is shipped and copy it to the user's plugin folders
    Install(InstallOptions),
    /// Build the plugin, play a melody to it, and write its answer as MIDI and picture
    Jam(JamOptions),
    /// Run every test
    Test(TestOptions),
    /// Measure how fast the models answer, and what the audio thread, saving a project and the window cost
    Bench(BenchOptions),
    /// Count how often the window is painted while a long song plays
    #[cfg(target_os = "linux")]
    Frames(FramesOptions),
    /// Press keys in the plugin's window, and see which of them its host gets
    #[cfg(target_os = "linux")]
    Keys(KeysOptions),
    /// Bring ONNX Runtime's library, with which models are several times faster
    Runtime {
        #[command(subcommand)]
        chore: RuntimeChore,
    },
    /// Play live at tempos from 60 to 240 beside busy cores, with each inference backend, and count what is late
    Lateness(LatenessOptions),
    /// Measure how long a host waits for the list of plugins, and its user for the model, with each inference backend
    Startup(StartupOptions),
    /// Take the pictures of the window in docs/ anew
    #[cfg(target_os = "linux")]
    Screenshots(ScreenshotOptions),
    /// Build the program that needs no host, and play on it on a virtual display
    #[cfg(target_os = "linux")]
    Standalone(StandaloneOptions),
    /// Teach the model a style from a folder of MIDI files, or train it anew
    Train(TrainOptions),
    /// Run clap-validator on the bundle
    Validate(ValidateOptions),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match perform(arguments.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            if error.is::<Refused>() { Refused::EXIT_CODE.into() } else { ExitCode::FAILURE }
        }
    }
}

fn perform(chore: Chore) -> Result<()> {
    let workspace = Workspace::find()?;
    match chore {
        Chore::Bundle(options) => bundle(&workspace, options),
        Chore::Install(options) => install(&workspace, &options),
        Chore::Jam(options) => jam(&workspace, &options),
        Chore::Test(options) => test(&workspace, options),
        Chore::Bench(options) => bench(&workspace, &options),
        #[cfg(target_os = "linux")]
        Chore::Frames(options) => frames(&workspace, options),
        #[cfg(target_os = "linux")]
        Chore::Keys(options) => keys(&workspace, options),
        Chore::Runtime { chore } => runtime(&workspace, &chore),
        Chore::Lateness(options) => lateness(&workspace, &options),
        Chore::Startup(options) => startup(&workspace, &options),
        #[cfg(target_os = "linux")]
        Chore::Screenshots(options) => screenshots(&workspace, options),
        #[cfg(target_os = "linux")]
        Chore::Standalone(options) => standalone(&workspace, options),
        Chore::Train(options) => train(&workspace, &options),
        Chore::Validate(options) => validate(&workspace, &options),
    }
}
