//! Obbligato listens to a melody and plays with it.

pub mod arranger;
pub mod channels;
pub mod chords_held;
pub mod contract;
#[cfg(feature = "editor")]
pub mod editor;
pub mod generators;
pub mod hearing;
pub mod inference;
pub mod ledger;
pub mod links;
pub mod midi_file;
#[cfg(feature = "inference")]
pub mod model;
pub mod music;
#[cfg(feature = "plugin")]
pub mod params;
#[cfg(feature = "plugin")]
pub mod plugin;
pub mod realtime;
#[cfg(feature = "inference")]
pub mod runtime;
pub mod settings;
pub mod sound;
pub mod state;
pub mod user_folder;
