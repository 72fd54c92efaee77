//! The band made audible: a small synthesiser for those who have no instrument behind the plugin yet. AUDIO THREAD:
//! everything is sized when it is created; nothing allocates, locks, logs, waits or panics.
//!
//! It hears what leaves the plugin, each event at its sample, and knows nothing of blocks: how the host cuts time changes
//! no sample. All sounds are computed: strings, bars and cymbals are sums of decaying modes, the rest oscillators and
//! noise. While nothing sounds it does nothing.

mod electric_piano;
mod flute;
mod kit;
mod modes;
mod pad;
mod preview;
mod reverb;
mod strings;
mod struck;
mod voice;
mod wave;

pub use preview::PreviewSound;

use crate::music::{Key, Part, PerPart, Velocity};
use crate::settings::PartSettings;
use std::ops::RangeInclusive;

/// What an instrument understands, `timing` samples into a block.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TimedSound {
    pub timing: u32,
    pub event: SoundEvent,
}

/// `channel` is 0..=15 in all of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SoundEvent {
    On {
        channel: u8,
        key: Key,
        velocity: Velocity,
    },
    Off {
        channel: u8,
        key: Key,
    },
    /// The sustain pedal.
    Pedal {
        channel: u8,
        down: bool,
    },
    /// Of what can be bent.
    Bend {
        channel: u8,
        semitones: f32,
    },
    /// All keys of the channel are let go.
    AllOff {
        channel: u8,
    },
    /// The channel falls silent at once, and with it the room.
    Silence {
        channel: u8,
    },
}

/// What the user asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SoundSettings {
    pub on: bool,
    /// Factor on the whole.
    pub gain: f32,
    pub instruments: ByChannel,
}

impl SoundSettings {
    /// In decibels.
    pub const LEVEL: RangeInclusive<f32> = -40.0..=6.0;
    pub const USUAL_LEVEL: f32 = 0.0;

    /// `level` in decibels; what is none counts as the usual one.
    pub fn new(on: bool, level: f32, instruments: ByChannel) -> Self {
        let level =
            if level.is_finite() { level.clamp(*Self::LEVEL.start(), *Self::LEVEL.end()) } else { Self::USUAL_LEVEL };
        Self { on, gain: 10_f32.powf(level / 20.0), instruments }
    }
}

/// What plays the notes of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instrument {
    ElectricPiano,
    Bass,
    Piano,
    Pad,
    Flute,
    Kit,
}

impl Instrument {
    /// Of the player's melody.
    const MELODY: Self = Self::ElectricPiano;

    /// Near to the [`Part::program`] of written files.
    const fn of(part: Part) -> Self {
        match part {
            Part::Bass => Self::Bass,
            Part::Chords => Self::Piano,
            Part::Pad => Self::Pad,
            Part::Counter => Self::Flute,
            Part::Drums => Self::Kit,
            Part::Enhanced | Part::Extension => Self::ElectricPiano,
        }
    }
}

/// The instrument of each MIDI channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByChannel([Instrument; 16]);

impl ByChannel {
    /// That of the part which plays on the channel. Where several do, the first in the band's order; where none does, the
    /// melody's.
    pub fn of(parts: &PerPart<PartSettings>) -> Self {
        let mut instruments = [Instrument::MELODY; 16];
        for on in [false, true] {
            for part in Part::ALL.into_iter().rev().filter(|part| parts[*part].on == on) {
                instruments[usize::from(parts[part].channel & 15)] = Instrument::of(part);
            }
        }
        Self(instruments)
    }

    fn get(&self, channel: u8) -> Instrument {
        self.0[usize::from(channel & 15)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_sounds_like_the_part_that_plays_on_it() {
        let mut parts = PerPart::from_fn(PartSettings::of);
        let at = |parts: &PerPart<PartSettings>, channel| ByChannel::of(parts).get(channel);
        assert_eq!(
            [0, 1, 2, 3, 4, 9, 15].map(|channel| at(&parts, channel)),
            [
                Instrument::ElectricPiano,
                Instrument::Bass,
                Instrument::Piano,
                Instrument::Pad,
                Instrument::Flute,
                Instrument::Kit,
                Instrument::ElectricPiano
            ]
        );
        // Drums that are off leave their channel to a part that plays.
        parts[Part::Chords].channel = 9;
        assert_eq!(at(&parts, 9), Instrument::Piano);
        assert_eq!(at(&parts, 2), Instrument::ElectricPiano, "nobody plays there any more");
        parts[Part::Bass].channel = 9;
        assert_eq!(at(&parts, 9), Instrument::Bass, "the first of several");
    }
}
