//! What is known when Obbligato is a program of its own and no host's plugin. Said once, by `main`, before the plugin is
//! made; read where the plugin is made, and by its window. The audio thread has no part in it.

mod attempts;

pub use attempts::{Attempt, attempts};

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// What the program found on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Standalone {
    /// Something to be heard with.
    pub has_audio: bool,
    /// The MIDI keyboard that plays, by name.
    pub keyboard: Option<String>,
}

static FOUND: Mutex<Option<Standalone>> = Mutex::new(None);
static STARTED: AtomicBool = AtomicBool::new(false);

/// This process is the program.
pub fn set(found: Standalone) {
    *FOUND.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
}

/// `None` in a host.
pub fn get() -> Option<Standalone> {
    FOUND.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// The plugin has been activated: sound and window are there, or as good as there.
pub fn start() {
    STARTED.store(true, Ordering::Relaxed);
}

pub fn has_started() -> bool {
    STARTED.load(Ordering::Relaxed)
}

impl Standalone {
    /// What the window says of it, if something is missing.
    pub fn problem(&self) -> Option<&'static str> {
        const SILENT: &str = "No sound device could be opened, so nothing is heard. Connect one, or start JACK, and start Obbligato again.";
        (!self.has_audio).then_some(SILENT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_said() {
        let silent = Standalone::default();
        assert!(silent.problem().is_some_and(|problem| problem.contains("nothing is heard")));
        assert_eq!(Standalone { has_audio: true, ..silent }.problem(), None);
    }
}
