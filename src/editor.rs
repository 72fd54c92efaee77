//! The plugin's window. GUI THREAD: locks what the inference thread locks, never what the audio thread touches.
//!
//! What it shows of the song, and all it decides, needs egui alone (feature `editor`); parameters, files and the window
//! itself need the framework.

#[cfg(feature = "plugin")]
mod chord_row;
#[cfg(feature = "plugin")]
mod controls;
pub mod dial;
#[cfg(feature = "plugin")]
mod files;
pub mod gauge;
#[cfg(feature = "plugin")]
mod header;
pub mod host_calls;
#[cfg(all(feature = "plugin", target_os = "linux"))]
mod host_keys;
pub mod icons;
#[cfg(feature = "plugin")]
mod knobs;
pub mod levels;
#[cfg(feature = "plugin")]
mod links;
#[cfg(feature = "plugin")]
mod melody_rows;
#[cfg(feature = "plugin")]
mod meter;
pub mod notice;
#[cfg(feature = "plugin")]
mod part_rows;
pub mod piano;
pub mod piano_roll;
pub mod plan_text;
#[cfg(feature = "plugin")]
mod presets;
pub mod routing;
#[cfg(feature = "plugin")]
mod routing_check;
pub mod status;
#[cfg(feature = "plugin")]
mod status_bar;
pub mod theme;
pub mod turn;
#[cfg(feature = "plugin")]
mod watcher;
#[cfg(feature = "plugin")]
mod window;
pub mod window_size;

#[cfg(feature = "plugin")]
pub use files::{Choice, Done, Order, carry_out};
#[cfg(feature = "plugin")]
pub use window::{ObbligatoEditor, create};
