//! The plugin's window. GUI THREAD: locks what the inference thread locks, never what the audio thread touches.
//!
//! What it shows of the song needs egui alone (feature `editor`); controls and the window itself need the framework.

#[cfg(feature = "plugin")]
mod controls;
#[cfg(feature = "plugin")]
mod links;
pub mod piano_roll;
#[cfg(feature = "plugin")]
mod status;
pub mod theme;
#[cfg(feature = "plugin")]
mod watcher;
#[cfg(feature = "plugin")]
mod window;

#[cfg(feature = "plugin")]
pub use window::{ObbligatoEditor, create};
