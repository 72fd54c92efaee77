//! AUDIO THREAD. Everything here is sized when it is created; nothing waits (but for an offline render), allocates,
//! locks, logs or panics.

use crate::music::{Key, Velocity};

/// A note event of a block, `timing` samples into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimedEvent {
    pub timing: u32,
    pub event: NoteEvent,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoteEvent {
    /// `channel` 0..=15.
    On {
        channel: u8,
        key: Key,
        velocity: Velocity,
    },
    Off {
        channel: u8,
        key: Key,
    },
}

/// What the host says about its transport at the start of a block. Nothing of it is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct HostTransport {
    pub playing: bool,
    /// Position in quarter notes.
    pub quarters: Option<f64>,
    pub quarters_per_minute: Option<f64>,
    /// Time signature: beats and unit.
    pub meter: Option<(i32, i32)>,
    /// Where the current bar began, in quarter notes.
    pub bar_start: Option<f64>,
    /// Number of the current bar, 0 for the first.
    pub bar_number: Option<i32>,
}

/// One call of the host.
#[derive(Debug, Clone, Copy)]
pub struct Block<'a> {
    /// Length in samples; 0 is allowed.
    pub frames: u32,
    pub sample_rate: f64,
    pub transport: HostTransport,
    pub settings: crate::settings::Settings,
    /// The host renders faster than real time: waiting for the inference thread is allowed.
    pub offline: bool,
    /// By timing.
    pub input: &'a [TimedEvent],
}
