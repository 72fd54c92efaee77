//! Obbligato as a program of its own: audio and MIDI from JACK, ALSA or the system's own interface.

use std::process::ExitCode;

fn main() -> ExitCode {
    if nice_plug::prelude::nice_export_standalone::<obbligato::plugin::Obbligato>() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
