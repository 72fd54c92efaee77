//! AUDIO THREAD. Everything here is sized when it is created; nothing allocates, locks, logs, blocks or panics.
//! (The one exception is named: an offline render may wait for the inference thread.)

mod accompaniment_player;
mod melody_capture;
mod panic_trigger;
mod players_clock;
mod processor;
mod sounding;
mod timeline;
mod vamp;

pub use processor::RealtimeProcessor;

use crate::music::{Key, Velocity};
use crate::settings::Settings;

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

impl NoteEvent {
    pub fn channel(&self) -> u8 {
        match self {
            Self::On { channel, .. } | Self::Off { channel, .. } => *channel,
        }
    }
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
    /// Length in samples. 0: parameters and notes are handed over, and no time passes.
    pub frames: u32,
    pub sample_rate: f64,
    pub transport: HostTransport,
    pub settings: Settings,
    /// Nothing is answered; the melody goes through.
    pub bypass: bool,
    /// The panic switch as it stands; turning it on silences everything.
    pub panic: bool,
    /// The host renders faster than real time: waiting for the inference thread is allowed.
    pub offline: bool,
    /// By timing.
    pub input: &'a [TimedEvent],
}

/// The events of one block on their way out: a fixed number of places.
#[derive(Debug)]
pub struct EventBuffer {
    events: Vec<TimedEvent>,
}

impl EventBuffer {
    /// More events in a block than any MIDI cable could carry in a second.
    pub const CAPACITY: usize = 4096;

    pub fn new() -> Self {
        Self { events: Vec::with_capacity(Self::CAPACITY) }
    }

    pub fn clear(&mut self) {
        self.events.clear();
    }

    /// Places left.
    pub fn room(&self) -> usize {
        Self::CAPACITY - self.events.len()
    }

    /// Adds an event; `false` when it is full. Events of one timing stay in the order in which they were added.
    pub fn push(&mut self, timing: u32, event: NoteEvent) -> bool {
        if self.room() == 0 {
            return false;
        }
        // The processor goes forward in time, so this nearly always ends at once.
        let place = self.events.iter().rposition(|earlier| earlier.timing <= timing).map_or(0, |index| index + 1);
        self.events.insert(place, TimedEvent { timing, event });
        true
    }

    /// The events by timing.
    pub fn iter(&self) -> impl Iterator<Item = &TimedEvent> {
        self.events.iter()
    }
}

impl Default for EventBuffer {
    fn default() -> Self {
        Self::new()
    }
}
