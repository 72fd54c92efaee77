//! Small plugin hosts: they load the built bundles into this process, play a song to them and record what comes back.
//!
//! [`clap`] and [`vst3`] speak the formats; everything else sees a [`HostedPlugin`]. [`SongPlayer`] moves the transport.

pub mod clap;
#[cfg(target_os = "linux")]
pub mod picture;
mod recording;
mod song_player;
mod state;
pub mod vst3;
#[cfg(target_os = "linux")]
pub mod window;

pub use recording::{HostNote, Recording, Sent};
pub use song_player::{Automation, PlayOptions, SongPlayer};
pub use state::{EngineReport, PluginState};

use anyhow::Result;

/// A channel message, as it goes into a plugin or comes out; or a parameter that the host automates, which only goes in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Message {
    /// `channel` 0..=15, `velocity` 0..=127.
    NoteOn {
        channel: u8,
        key: u8,
        velocity: u8,
    },
    NoteOff {
        channel: u8,
        key: u8,
    },
    Controller {
        channel: u8,
        number: u8,
        value: u8,
    },
    /// 0..=16383; 8192 is the middle.
    PitchBend {
        channel: u8,
        value: u16,
    },
    /// By its [`parameter_number`], 0..=1. It has no steps, or one.
    Parameter {
        number: u32,
        value: f64,
    },
}

/// A message `timing` samples into a block.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Timed {
    pub timing: u32,
    pub message: Message,
}

/// What the host says of its transport at the start of a block. A host may say anything, so nothing is checked here.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HostTransport {
    pub playing: bool,
    pub quarters: f64,
    pub quarters_per_minute: f64,
    /// Beats and unit.
    pub meter: (u16, u16),
    /// Where the bar began, in quarter notes.
    pub bar_start: f64,
    /// 0 for the first bar.
    pub bar_number: i32,
}

impl HostTransport {
    /// Before the first bar of a song in 4/4, at 120 quarters a minute.
    pub fn standing() -> Self {
        Self { playing: false, quarters: 0.0, quarters_per_minute: 120.0, meter: (4, 4), bar_start: 0.0, bar_number: 0 }
    }
}

/// One process call.
#[derive(Debug, Clone, Copy)]
pub struct HostBlock<'a> {
    /// At most what the plugin was activated for.
    pub frames: u32,
    pub transport: HostTransport,
    /// By timing.
    pub input: &'a [Timed],
}

/// Whether the host renders as fast as it can, or at the pace of the music.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RenderMode {
    Offline,
    Realtime,
}

/// What a plugin says of a parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// What the format knows it by; see [`parameter_number`].
    pub number: u32,
    pub name: String,
    /// 0 where it is continuous.
    pub steps: u32,
}

/// A loaded plugin. Lives on the thread that loaded it; its [`BlockProcessor`] is lent to the audio thread.
pub trait HostedPlugin {
    fn parameters(&mut self) -> Vec<Parameter>;

    /// Sets a parameter to 0..=1 (or to what no host should send): at once, or with the next block while active.
    fn set_parameter(&mut self, id: &str, value: f64) -> Result<()>;

    /// The value, 0..=1, that a user's text means.
    fn parameter_from_text(&mut self, id: &str, text: &str) -> Result<f64>;

    /// What the user reads for a value.
    fn parameter_text(&mut self, id: &str, value: f64) -> Result<String>;

    fn save_state(&mut self) -> Result<PluginState>;

    fn load_state(&mut self, state: &PluginState) -> Result<()>;

    fn activate(&mut self, sample_rate: f64, largest_block: u32, mode: RenderMode) -> Result<()>;

    fn deactivate(&mut self);

    /// The delay that the host is told to make up for, in samples.
    fn latency(&mut self) -> Result<u32>;

    /// # Errors
    /// While the plugin is not active.
    fn processor(&mut self) -> Result<&mut (dyn BlockProcessor + Send)>;
}

/// The side of a plugin that the audio thread calls.
pub trait BlockProcessor {
    /// Adds what the plugin sends to `output`, in the order it was sent.
    fn process(&mut self, block: &HostBlock<'_>, output: &mut Vec<Timed>) -> Result<()>;
}

/// The number by which both formats know the parameter `id`, as the plugin framework derives it.
pub fn parameter_number(id: &str) -> u32 {
    const HIGHEST_BIT: u32 = 1 << 31;
    let hash = id.bytes().fold(0_u32, |hash, byte| hash.wrapping_mul(31).wrapping_add(u32::from(byte)));
    hash & !HIGHEST_BIT
}

/// A plugin's velocity 0..=1 as MIDI's 0..=127.
fn midi_velocity(velocity: f64) -> u8 {
    (velocity * 127.0).round().clamp(0.0, 127.0) as u8
}
