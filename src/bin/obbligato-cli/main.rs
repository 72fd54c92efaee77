//! Obbligato at a shell: writes accompaniments to melodies in MIDI files, with the engine of the plugin.
//!
//! Exit codes: 0 done, 2 for an input or a flag that is wrong, 1 for anything else that failed.

mod accompany;
mod arguments;
mod devices;
mod failure;
mod folder;
mod melody;
mod models;
mod report;

use arguments::{Arguments, Command};
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let command = Arguments::parse().command;
    obbligato::runtime::mistakes_in_environment().iter().for_each(|mistake| eprintln!("warning: {mistake}"));
    let result = match command {
        Command::Accompany(flags) => accompany::run(&flags),
        Command::Enhance(flags) => melody::enhance(&flags),
        Command::Extend(flags) => melody::extend(&flags),
        Command::Devices { measure, generator, quiet } => devices::run(measure, generator.as_deref(), quiet),
        Command::Models => {
            models::run();
            Ok(())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            failure.exit_code()
        }
    }
}
