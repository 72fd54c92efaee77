//! Notes, with the pitch and loudness of a MIDI keyboard.

use super::harmony::semitones_prefix;
use super::{PitchClass, Ticks};
use serde::{Deserialize, Serialize};

/// A MIDI key number, 0..=127; 60 is middle C (C4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key(u8);

impl Key {
    /// `None` above 127.
    pub const fn new(number: u8) -> Option<Self> {
        if number < 128 { Some(Self(number)) } else { None }
    }

    /// The key nearest to `number` that has the same pitch class and lies on the keyboard.
    pub fn folded(number: i32) -> Self {
        let mut number = number;
        while number < 0 {
            number += 12;
        }
        while number > 127 {
            number -= 12;
        }
        Self(number as u8)
    }

    pub const fn number(self) -> u8 {
        self.0
    }

    pub const fn pitch_class(self) -> PitchClass {
        PitchClass::new(self.0 as i32)
    }

    /// Moved by whole octaves as far as the keyboard reaches.
    pub fn octaves_up(self, octaves: i8) -> Self {
        Self::folded(self.0 as i32 + 12 * octaves as i32)
    }
}

impl std::fmt::Display for Key {
    /// Scientific pitch notation: `C4` is middle C.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.pitch_class(), self.0 as i32 / 12 - 1)
    }
}

/// The name of a key as [`Display`](std::fmt::Display) writes it, with any accidentals, or its MIDI number.
impl std::str::FromStr for Key {
    type Err = KeyTextError;

    fn from_str(text: &str) -> Result<Self, KeyTextError> {
        let number = text.parse().ok().or_else(|| {
            let (semitones, octave) = semitones_prefix(text)?;
            octave.parse::<i32>().ok()?.checked_add(1)?.checked_mul(12)?.checked_add(semitones)
        });
        let key = number.and_then(|number: i32| Self::new(u8::try_from(number).ok()?));
        key.ok_or_else(|| KeyTextError(text.to_owned()))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no key; write one from C-1 to G9 (C4 is middle C), or a MIDI number from 0 to 127")]
pub struct KeyTextError(pub String);

/// MIDI note-on velocity, 1..=127 (0 would mean note-off).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Velocity(u8);

impl Velocity {
    /// Brought into 1..=127.
    pub const fn clamped(value: i32) -> Self {
        Self(if value < 1 {
            1
        } else if value > 127 {
            127
        } else {
            value as u8
        })
    }

    pub const fn get(self) -> u8 {
        self.0
    }

    pub fn scaled(self, factor: f32) -> Self {
        Self::clamped((self.0 as f32 * factor).round() as i32)
    }
}

impl Default for Velocity {
    fn default() -> Self {
        Self(80)
    }
}

/// How far from its tick a note is played, in sixteenths of a tick: −18..=18, a tick and an eighth each way.
///
/// So far a drummer may lean: a stroke that drags belongs to its beat, not to the tick that happens to be nearest. It is
/// less than the margin at which hearing stops before a segment, so an early note can still be written in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Timing(i8);

impl Timing {
    pub const STEPS_PER_TICK: Ticks = 16;
    pub const EARLIEST: Self = Self(-18);
    pub const LATEST: Self = Self(18);

    /// Brought into −18..=18.
    pub const fn clamped(sixteenths: i32) -> Self {
        Self(if sixteenths < Self::EARLIEST.0 as i32 {
            Self::EARLIEST.0
        } else if sixteenths > Self::LATEST.0 as i32 {
            Self::LATEST.0
        } else {
            sixteenths as i8
        })
    }

    /// The nearest to so many ticks after the tick; negative is before it.
    pub fn of_ticks(ticks: f64) -> Self {
        Self::clamped((ticks * f64::from(Self::STEPS_PER_TICK)).round() as i32)
    }

    /// In sixteenths of a tick, −18..=18.
    pub const fn sixteenths(self) -> i32 {
        self.0 as i32
    }

    /// In ticks, −1.125..=1.125.
    pub fn ticks(self) -> f64 {
        f64::from(self.0) / f64::from(Self::STEPS_PER_TICK)
    }
}

/// A note at an absolute place in the song.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Note {
    /// Onset, in ticks from the start of the song.
    pub start: Ticks,
    pub key: Key,
    /// At least one tick.
    pub duration: Ticks,
    pub velocity: Velocity,
}

impl Note {
    pub fn end(&self) -> Ticks {
        self.start + self.duration
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_reads_back_from_its_name() {
        for number in 0..128 {
            let key = Key::folded(number);
            assert_eq!(key.to_string().parse(), Ok(key));
            assert_eq!(number.to_string().parse(), Ok(key));
        }
        for (text, number) in [("Cb4", 59), ("B#3", 60), ("f♯2", 42), ("G9", 127)] {
            assert_eq!(text.parse(), Ok(Key::folded(number)), "{text}");
        }
        for text in ["", "C", "H", "C4.5", "Ab9", "128", "-1", "C-2", "C99999999999"] {
            assert!(text.parse::<Key>().is_err(), "{text}");
        }
    }
}
