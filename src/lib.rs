//! Obbligato listens to a melody and plays with it.

pub mod arranger;
pub mod channels;
pub mod contract;
pub mod generators;
pub mod hearing;
pub mod ledger;
pub mod midi_file;
pub mod inference;
pub mod music;
pub mod realtime;
pub mod settings;
