//! Obbligato as a program of its own: audio and MIDI from JACK, ALSA or the system's own interface; where there is no sound
//! device, the window without sound.

use obbligato::plugin::Obbligato;
use obbligato::standalone::{self, Attempt};
use std::env;
use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(problem) = no_display() {
        eprintln!("{problem}");
        return ExitCode::FAILURE;
    }
    let given: Vec<String> = env::args().collect();
    let mut went_well = false;
    for Attempt { found, arguments } in standalone::attempts(&given, midi_keyboard().as_deref()) {
        if let Some(problem) = found.problem() {
            eprintln!("{problem}");
        }
        standalone::set(found);
        went_well = nice_plug::prelude::nice_export_standalone_with_args::<Obbligato, _>(arguments);
        // It returns at once where the sound system cannot be opened, else when the window is closed.
        if standalone::has_started() {
            break;
        }
    }
    if went_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What to do where no window can be opened; the framework would wait for one for ever.
fn no_display() -> Option<&'static str> {
    let none = cfg!(target_os = "linux") && env::var_os("DISPLAY").is_none_or(|display| display.is_empty());
    none.then_some(
        "Obbligato opens a window, and there is no display to open it on (DISPLAY is not set). For files there is \
         `obbligato-cli accompany`.",
    )
}

/// The first that is connected, if it is not the system's own loop.
fn midi_keyboard() -> Option<String> {
    let input = midir::MidiInput::new("Obbligato").ok()?;
    let mut names = input.ports().into_iter().filter_map(|port| input.port_name(&port).ok());
    names.find(|name| !name.contains("Midi Through"))
}
