//! What the user asks of those that work on the melody: the enhancer and the extender. What is asked of each part lies in
//! [`super::PartSettings`].

use super::clamp;
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;

/// How the melody is enhanced. Limits are for each bar.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EnhanceSettings {
    /// Creative risk: at 0 only what is likelier than not is done. [`EnhanceSettings::RISK`].
    pub risk: f32,
    /// Notes of a bar, at most, that the melody had not. [`EnhanceSettings::ADD`].
    pub add: u8,
    /// Share of a bar's notes, at most, that are taken away. [`EnhanceSettings::REMOVE`].
    pub remove: f32,
    /// [`EnhanceSettings::PASSES`]. None leave the melody as it is.
    pub passes: u8,
    /// The band plays to the enhanced melody and not to the one that was played.
    pub feeds: bool,
}

impl EnhanceSettings {
    pub const RISK: RangeInclusive<f32> = 0.0..=2.0;
    pub const ADD: RangeInclusive<u8> = 0..=32;
    pub const REMOVE: RangeInclusive<f32> = 0.0..=1.0;
    pub const PASSES: RangeInclusive<u8> = 0..=16;

    pub(super) fn clamped(self) -> Self {
        let default = Self::default();
        Self {
            risk: clamp(self.risk, Self::RISK, default.risk),
            add: self.add.min(*Self::ADD.end()),
            remove: clamp(self.remove, Self::REMOVE, default.remove),
            passes: self.passes.min(*Self::PASSES.end()),
            feeds: self.feeds,
        }
    }

    /// Whether both ask for the same music.
    pub(super) fn asks_the_same(&self, other: &Self, tolerance: f32) -> bool {
        (self.add, self.passes, self.feeds) == (other.add, other.passes, other.feeds)
            && (self.risk - other.risk).abs() <= tolerance
            // Limits are kept exactly, as far as a host keeps them itself.
            && (self.remove - other.remove).abs() <= REMOVE_TOLERANCE
    }
}

/// Less than a per cent: a host's rounding.
const REMOVE_TOLERANCE: f32 = 0.004;

impl Default for EnhanceSettings {
    fn default() -> Self {
        Self { risk: 0.5, add: 4, remove: 0.2, passes: 8, feeds: false }
    }
}

/// Among which tokens of the extender the next is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum Sampling {
    /// The likeliest that hold most of the chance together: as many as the model doubts between.
    #[default]
    Nucleus,
    /// A dozen of the likeliest.
    TopK,
    /// All that may come.
    Random,
}

/// When the melody is carried on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum ExtendWhen {
    /// When the player has stopped.
    #[default]
    Stops,
    /// From a bar that is chosen.
    FromBar,
    /// The player has so many bars, then the extender as many, from the song's first bar on.
    CallAndResponse,
}

/// How the melody is carried on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ExtendSettings {
    pub when: ExtendWhen,
    /// Creative risk: 1 is as the model was trained. [`ExtendSettings::RISK`].
    pub risk: f32,
    pub sampling: Sampling,
    /// Bars that are listened back to. [`ExtendSettings::LISTEN`].
    pub listen: u8,
    /// For how long, and how long a call is. [`ExtendSettings::BARS`].
    pub bars: u8,
    /// With [`ExtendWhen::FromBar`]: counted from 1, as musicians do. [`ExtendSettings::FROM`].
    pub from: u16,
}

impl ExtendSettings {
    pub const RISK: RangeInclusive<f32> = 0.0..=2.0;
    pub const LISTEN: RangeInclusive<u8> = 1..=24;
    pub const BARS: RangeInclusive<u8> = 1..=64;
    pub const FROM: RangeInclusive<u16> = 1..=999;

    pub(super) fn clamped(self) -> Self {
        Self {
            risk: clamp(self.risk, Self::RISK, Self::default().risk),
            listen: self.listen.clamp(*Self::LISTEN.start(), *Self::LISTEN.end()),
            bars: self.bars.clamp(*Self::BARS.start(), *Self::BARS.end()),
            from: self.from.clamp(*Self::FROM.start(), *Self::FROM.end()),
            ..self
        }
    }

    pub(super) fn asks_the_same(&self, other: &Self, tolerance: f32) -> bool {
        let plainly = |of: &Self| (of.when, of.sampling, of.listen, of.bars, of.from());
        plainly(self) == plainly(other) && (self.risk - other.risk).abs() <= tolerance
    }

    /// The bar to begin with counts only where it is asked for.
    fn from(&self) -> Option<u16> {
        (self.when == ExtendWhen::FromBar).then_some(self.from)
    }
}

impl Default for ExtendSettings {
    fn default() -> Self {
        let (when, sampling) = (ExtendWhen::default(), Sampling::default());
        Self { when, risk: 1.0, sampling, listen: 16, bars: 4, from: 9 }
    }
}
