//! Obbligato listens to a melody and plays with it.

pub mod music;
