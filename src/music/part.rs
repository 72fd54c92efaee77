//! The parts of the band. A part's name, usual channel, program and colour stand here and nowhere else.

use serde::{Deserialize, Serialize};
use std::ops::{Index, IndexMut};

/// One voice of what the plugin plays: the band's, and those that come of the melody. Append only: hosts and saved songs refer to
/// the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    Bass,
    Chords,
    Pad,
    Counter,
    Drums,
    /// The melody with notes added and taken away.
    Enhanced,
    /// The melody carried on where the player leaves off.
    Extension,
}

/// What is fixed about a part.
struct Row {
    name: &'static str,
    /// MIDI channel 0..=15.
    channel: u8,
    /// General MIDI program 0..=127 for written files.
    program: u8,
    /// sRGB.
    colour: [u8; 3],
    on: bool,
}

impl Part {
    pub const ALL: [Self; 7] =
        [Self::Bass, Self::Chords, Self::Pad, Self::Counter, Self::Drums, Self::Enhanced, Self::Extension];
    pub const COUNT: usize = Self::ALL.len();
    /// Those that accompany.
    pub const BAND: [Self; 5] = [Self::Bass, Self::Chords, Self::Pad, Self::Counter, Self::Drums];

    const fn row(self) -> Row {
        match self {
            Self::Bass => Row { name: "Bass", channel: 1, program: 33, colour: [0x4f, 0x9d, 0xff], on: true },
            Self::Chords => Row { name: "Chords", channel: 2, program: 0, colour: [0xff, 0xb3, 0x3f], on: true },
            Self::Pad => Row { name: "Pad", channel: 3, program: 89, colour: [0xa7, 0x7b, 0xff], on: false },
            Self::Counter => Row { name: "Counter", channel: 4, program: 73, colour: [0x3f, 0xd0, 0x9b], on: false },
            // General MIDI keeps channel 10 (9 from zero) for drums.
            Self::Drums => Row { name: "Drums", channel: 9, program: 0, colour: [0xe8, 0x5d, 0x75], on: false },
            Self::Enhanced => Row { name: "Enhanced", channel: 5, program: 71, colour: [0xd8, 0xd4, 0x5c], on: false },
            Self::Extension => {
                Row { name: "Extension", channel: 6, program: 68, colour: [0x5f, 0xcf, 0xdc], on: false }
            }
        }
    }

    pub const fn index(self) -> usize {
        self as usize
    }

    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// Stable, lower case: parameter ids, command line, contracts.
    pub const fn id(self) -> &'static str {
        match self {
            Self::Bass => "bass",
            Self::Chords => "chords",
            Self::Pad => "pad",
            Self::Counter => "counter",
            Self::Drums => "drums",
            Self::Enhanced => "enhanced",
            Self::Extension => "extension",
        }
    }

    pub fn from_id(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|part| part.id() == id)
    }

    /// Whether it accompanies. The others come of the melody, and are not the generators' affair.
    pub const fn is_of_band(self) -> bool {
        match self {
            Self::Bass | Self::Chords | Self::Pad | Self::Counter | Self::Drums => true,
            Self::Enhanced | Self::Extension => false,
        }
    }

    /// MIDI channel 0..=15 unless the user chooses another.
    pub const fn default_channel(self) -> u8 {
        self.row().channel
    }

    pub const fn program(self) -> u8 {
        self.row().program
    }

    pub const fn colour(self) -> [u8; 3] {
        self.row().colour
    }

    pub const fn on_by_default(self) -> bool {
        self.row().on
    }
}

/// Who works on the melody itself, each in a part of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Melodist {
    Enhancer,
    Extender,
}

impl Melodist {
    pub const ALL: [Self; 2] = [Self::Enhancer, Self::Extender];

    /// Where it plays.
    pub const fn part(self) -> Part {
        match self {
            Self::Enhancer => Part::Enhanced,
            Self::Extender => Part::Extension,
        }
    }
}

/// One value for each part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PerPart<T>(pub [T; Part::COUNT]);

impl<T> PerPart<T> {
    pub fn from_fn(value: impl FnMut(Part) -> T) -> Self {
        Self(Part::ALL.map(value))
    }

    pub fn iter(&self) -> impl Iterator<Item = (Part, &T)> {
        Part::ALL.into_iter().zip(&self.0)
    }
}

impl<T> Index<Part> for PerPart<T> {
    type Output = T;
    fn index(&self, part: Part) -> &T {
        &self.0[part.index()]
    }
}

impl<T> IndexMut<Part> for PerPart<T> {
    fn index_mut(&mut self, part: Part) -> &mut T {
        &mut self.0[part.index()]
    }
}
