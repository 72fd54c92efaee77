//! Obbligato listens to a melody and plays with it.

pub mod channels;
pub mod generators;
pub mod midi_file;
pub mod music;
pub mod realtime;
pub mod settings;
