//! What the user asked for, as plain data. Host parameters and command line flags are two ways to fill it in.

mod melody;

pub use melody::{EnhanceSettings, ExtendSettings, ExtendWhen, Sampling};

use crate::music::{Key, Note, Part, PerPart, Style};
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;

/// When the answer to a melody is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum Follow {
    /// While it is played: each segment from what was heard before it.
    #[default]
    Jam,
    /// For the melody itself, wherever it is known from an earlier pass; elsewhere as in a jam.
    Arrange,
}

/// What the band does while it listens to the first bars of a melody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum CountInBand {
    /// It plays by rule.
    #[default]
    Rules,
    Rests,
}

/// Where among the notes that come in the player's chords are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum ChordInput {
    /// Nowhere: all that is played is melody.
    #[default]
    Off,
    /// Below the split key.
    Split,
    /// On a MIDI channel of their own.
    Channel,
}

/// Everything that shapes an answer. Small and `Copy`, since it crosses to the inference thread with every segment.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// How adventurous notes and rhythms are; 1 is as the model was trained. [`Settings::TEMPERATURE`].
    pub temperature: f32,
    /// Place in the palette of [`Style`]. [`Settings::STYLE`].
    pub style: f32,
    /// How many notes; 0.5 leaves it to the band. [`Settings::DENSITY`].
    pub density: f32,
    pub follow: Follow,
    /// Bars that are listened to before the generator plays, where nothing else gives a plan. [`Settings::COUNT_IN`].
    pub count_in: u8,
    pub count_in_band: CountInBand,
    pub chord_input: ChordInput,
    /// With [`ChordInput::Split`]: keys below it are chords. [`Settings::SPLIT_KEY`].
    pub split_key: u8,
    /// With [`ChordInput::Channel`]: 0..=15, its notes are chords.
    pub chord_channel: u8,
    /// Whether the melody and its controllers are sent on to the output.
    pub thru: bool,
    /// Another seed, another answer to the same melody.
    pub seed: u32,
    pub enhance: EnhanceSettings,
    pub extend: ExtendSettings,
    pub parts: PerPart<PartSettings>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PartSettings {
    pub on: bool,
    /// MIDI channel 0..=15.
    pub channel: u8,
    /// Octaves up. [`PartSettings::OCTAVE`].
    pub octave: i8,
    /// Factor on each velocity. [`PartSettings::VELOCITY`].
    pub velocity: f32,
    /// How many notes against the others: at [`PartSettings::USUAL_DENSITY`] as [`Settings::density`] says, above it more.
    /// [`Settings::DENSITY`].
    pub density: f32,
    /// While a part that is on has this, only such parts are heard. What the others play is written all the same.
    pub solo: bool,
    /// What it plays stays when a bar is written anew; the others go with it.
    pub locked: bool,
}

impl Settings {
    pub const TEMPERATURE: RangeInclusive<f32> = 0.1..=2.0;
    pub const STYLE: RangeInclusive<f32> = Style::BY_EAR..=Style::LAST_POSITION;
    pub const DENSITY: RangeInclusive<f32> = 0.0..=1.0;
    pub const COUNT_IN: RangeInclusive<u8> = 0..=8;
    pub const SPLIT_KEY: RangeInclusive<u8> = 0..=127;
    /// So far a knob may be off and still ask for the same music: hosts round what they send back, and automation is
    /// sampled at other places in every pass.
    const KNOB_TOLERANCE: f32 = 0.02;
    /// A twentieth of the way from one style to the next.
    const STYLE_TOLERANCE: f32 = 0.05;

    /// The same with every value brought into its range; not-a-number becomes the default.
    #[must_use]
    pub fn clamped(self) -> Self {
        let default = Self::default();
        Self {
            temperature: clamp(self.temperature, Self::TEMPERATURE, default.temperature),
            style: clamp(self.style, Self::STYLE, default.style),
            density: clamp(self.density, Self::DENSITY, default.density),
            count_in: self.count_in.clamp(*Self::COUNT_IN.start(), *Self::COUNT_IN.end()),
            split_key: self.split_key.min(*Self::SPLIT_KEY.end()),
            chord_channel: self.chord_channel.min(15),
            enhance: self.enhance.clamped(),
            extend: self.extend.clamped(),
            parts: PerPart::from_fn(|part| self.parts[part].clamped()),
            ..self
        }
    }

    pub fn part_is_on(&self, part: Part) -> bool {
        self.parts[part].on
    }

    /// Whether the band plays to the enhanced melody.
    pub fn feeds_enhanced(&self) -> bool {
        self.part_is_on(Part::Enhanced) && self.enhance.feeds
    }

    /// How many notes are asked of a part. [`Settings::DENSITY`].
    pub fn density_of(&self, part: Part) -> f32 {
        let against_others = self.parts[part].density - PartSettings::USUAL_DENSITY;
        (self.density + against_others).clamp(*Self::DENSITY.start(), *Self::DENSITY.end())
    }

    /// Whether a key belongs to a chord that is given, and not to the melody.
    pub fn is_chord_key(&self, channel: u8, key: Key) -> bool {
        match self.chord_input {
            ChordInput::Off => false,
            ChordInput::Split => key.number() < self.split_key,
            ChordInput::Channel => channel == self.chord_channel,
        }
    }

    /// Whether the two ask for the same music as far as all parts go: which of them play is another matter, and channel,
    /// octave, velocity and thru only change how it sounds.
    pub fn asks_the_same(&self, other: &Self) -> bool {
        let near = |a: f32, b: f32, tolerance: f32| (a - b).abs() <= tolerance;
        let part_asks_the_same = |part: Part| {
            let same = match part {
                Part::Bass | Part::Chords | Part::Pad | Part::Counter | Part::Drums => {
                    near(self.parts[part].density, other.parts[part].density, Self::KNOB_TOLERANCE)
                }
                Part::Enhanced => self.enhance.asks_the_same(&other.enhance, Self::KNOB_TOLERANCE),
                Part::Extension => self.extend.asks_the_same(&other.extend, Self::KNOB_TOLERANCE),
            };
            same || !(self.part_is_on(part) && other.part_is_on(part))
        };
        self.seed == other.seed
            && Part::ALL.into_iter().all(part_asks_the_same)
            && near(self.temperature, other.temperature, Self::KNOB_TOLERANCE)
            && near(self.density, other.density, Self::KNOB_TOLERANCE)
            && near(self.style, other.style, Self::STYLE_TOLERANCE)
    }

    /// Whether a count-in is the same under both.
    pub fn counts_in_the_same(&self, other: &Self) -> bool {
        (self.count_in, self.count_in_band) == (other.count_in, other.count_in_band)
    }

    /// What of the settings shapes the music that is written; the rest at its usual value.
    #[must_use]
    pub fn asked(&self) -> Self {
        let part = |part: Part| {
            let PartSettings { on, density, .. } = self.parts[part];
            PartSettings { on, density, ..PartSettings::of(part) }
        };
        let Self { follow, chord_input, split_key, chord_channel, thru, .. } = Self::default();
        let parts = PerPart::from_fn(part);
        Self { follow, chord_input, split_key, chord_channel, thru, parts, ..*self }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            temperature: 1.0,
            style: Style::BY_EAR,
            density: 0.5,
            follow: Follow::Jam,
            count_in: 4,
            count_in_band: CountInBand::Rules,
            chord_input: ChordInput::Off,
            split_key: 60,
            chord_channel: 1,
            thru: true,
            seed: 1,
            enhance: EnhanceSettings::default(),
            extend: ExtendSettings::default(),
            parts: PerPart::from_fn(PartSettings::of),
        }
    }
}

impl PartSettings {
    pub const OCTAVE: RangeInclusive<i8> = -3..=3;
    pub const VELOCITY: RangeInclusive<f32> = 0.0..=2.0;
    pub const USUAL_DENSITY: f32 = 0.5;

    /// The usual settings of a part.
    pub fn of(part: Part) -> Self {
        Self {
            on: part.on_by_default(),
            channel: part.default_channel(),
            octave: 0,
            velocity: 1.0,
            density: Self::USUAL_DENSITY,
            solo: false,
            locked: false,
        }
    }

    /// The note as it is sent out. Drums keep their keys: an octave up would be another instrument.
    #[must_use]
    pub fn apply(&self, part: Part, note: Note) -> Note {
        let octaves = if part == Part::Drums { 0 } else { self.octave };
        Note { key: note.key.octaves_up(octaves), velocity: note.velocity.scaled(self.velocity), ..note }
    }

    fn clamped(self) -> Self {
        Self {
            channel: self.channel.min(15),
            octave: self.octave.clamp(*Self::OCTAVE.start(), *Self::OCTAVE.end()),
            velocity: clamp(self.velocity, Self::VELOCITY, 1.0),
            density: clamp(self.density, Settings::DENSITY, Self::USUAL_DENSITY),
            ..self
        }
    }
}

impl PerPart<PartSettings> {
    /// The parts that are to be heard: of those that are on the ones that are soloed, or all where none is.
    pub fn heard(&self) -> PerPart<bool> {
        let soloed = self.iter().any(|(_, part)| part.on && part.solo);
        PerPart::from_fn(|part| self[part].on && (self[part].solo || !soloed))
    }

    /// The parts that may be written anew.
    pub fn unlocked(&self) -> PerPart<bool> {
        PerPart::from_fn(|part| !self[part].locked)
    }
}

fn clamp(value: f32, range: RangeInclusive<f32>, default: f32) -> f32 {
    if value.is_nan() { default } else { value.clamp(*range.start(), *range.end()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_out_of_range_are_brought_in() {
        let mut wild =
            Settings { temperature: f32::NAN, style: 1e9, density: -1.0, count_in: 200, ..Settings::default() };
        let (channel, octave, velocity, density) = (200, -128, f32::INFINITY, f32::NAN);
        let usual = PartSettings { on: true, ..PartSettings::of(Part::Bass) };
        wild.parts[Part::Bass] = PartSettings { channel, octave, velocity, density, ..usual };
        let tame = wild.clamped();
        assert_eq!((tame.temperature, tame.style, tame.density), (1.0, Style::LAST_POSITION, 0.0));
        assert_eq!(tame.count_in, 8);
        assert_eq!(tame.parts[Part::Bass], PartSettings { channel: 15, octave: -3, velocity: 2.0, ..usual });
    }

    #[test]
    fn a_part_is_asked_for_more_or_fewer_notes_than_the_others() {
        let asked = |density, of_bass| {
            let mut settings = Settings { density, ..Settings::default() };
            settings.parts[Part::Bass].density = of_bass;
            [Part::Bass, Part::Drums].map(|part| settings.density_of(part))
        };
        assert_eq!(asked(0.5, 0.5), [0.5, 0.5]);
        assert_eq!(asked(0.5, 0.0), [0.0, 0.5]);
        assert_eq!(asked(0.75, 0.25), [0.5, 0.75]);
        assert_eq!(asked(0.75, 1.0), [1.0, 0.75]);
    }

    #[test]
    fn who_is_soloed_is_heard_alone_if_it_plays_at_all() {
        let heard = |on: [bool; Part::COUNT], solo: [bool; Part::COUNT]| {
            let part = |part: Part| {
                let (on, solo) = (on[part.index()], solo[part.index()]);
                PartSettings { on, solo, ..PartSettings::of(part) }
            };
            PerPart::from_fn(part).heard().0
        };
        let on = [true, true, false, true, false, true, false];
        let only = |parts: &[usize]| std::array::from_fn(|part| parts.contains(&part));
        assert_eq!(heard(on, only(&[])), on);
        assert_eq!(heard(on, only(&[1, 3])), only(&[1, 3]));
        assert_eq!(heard(on, only(&[2])), on, "a part that is off silences nobody");
    }

    #[test]
    fn the_same_music_is_asked_for_as_long_as_a_knob_stays_where_it_is() {
        let usual = Settings { style: 4.0, ..Settings::default() };
        let mut sounding = Settings { thru: false, follow: Follow::Arrange, count_in: 0, ..usual };
        let played = PartSettings { on: true, solo: true, locked: true, ..PartSettings::of(Part::Pad) };
        sounding.parts[Part::Pad] = PartSettings { channel: 9, octave: 2, velocity: 0.5, density: 0.9, ..played };
        let rounded = Settings { temperature: 1.004, style: 4.01, density: 0.495, ..usual };
        assert!(usual.asks_the_same(&sounding) && usual.asks_the_same(&rounded), "the pad was off");
        let mut busier = sounding;
        busier.parts[Part::Pad].density = 0.8;
        assert!(!sounding.asks_the_same(&busier));
        for other in [
            Settings { temperature: 1.05, ..usual },
            Settings { style: 4.2, ..usual },
            Settings { density: 0.45, ..usual },
            Settings { seed: 2, ..usual },
        ] {
            assert!(!usual.asks_the_same(&other), "{other:?}");
        }
    }

    #[test]
    fn what_works_on_the_melody_is_asked_for_only_where_it_is_on() {
        let (enhance, extend) = (EnhanceSettings::default(), ExtendSettings::default());
        for (part, other) in [
            (Part::Enhanced, Settings { enhance: EnhanceSettings { add: 3, ..enhance }, ..Settings::default() }),
            (Part::Enhanced, Settings { enhance: EnhanceSettings { remove: 0.21, ..enhance }, ..Settings::default() }),
            (Part::Enhanced, Settings { enhance: EnhanceSettings { feeds: true, ..enhance }, ..Settings::default() }),
            (Part::Extension, Settings { extend: ExtendSettings { bars: 2, ..extend }, ..Settings::default() }),
        ] {
            let (mut usual, mut other) = (Settings::default(), other);
            assert!(usual.asks_the_same(&other), "{part:?} is off");
            (usual.parts[part].on, other.parts[part].on) = (true, true);
            assert!(!usual.asks_the_same(&other), "{other:?}");
        }
        let mut elsewhere = Settings::default();
        elsewhere.parts[Part::Extension].on = true;
        let from_nine = Settings { extend: ExtendSettings { from: 3, ..extend }, ..elsewhere };
        assert!(elsewhere.asks_the_same(&from_nine), "nobody asks for a bar");
    }

    #[test]
    fn chords_are_told_from_the_melody_by_key_or_channel() {
        let chord_keys = |chord_input, split_key, chord_channel| {
            let settings = Settings { chord_input, split_key, chord_channel, ..Settings::default() };
            let keys = [(0, 59), (0, 60), (1, 59), (1, 72)];
            keys.map(|(channel, key)| settings.is_chord_key(channel, Key::folded(key)))
        };
        assert_eq!(chord_keys(ChordInput::Off, 60, 1), [false; 4]);
        assert_eq!(chord_keys(ChordInput::Split, 60, 1), [true, false, true, false]);
        assert_eq!(chord_keys(ChordInput::Channel, 60, 1), [false, false, true, true]);
        assert_eq!(chord_keys(ChordInput::Split, 0, 1), [false; 4], "nothing is below the lowest key");
    }

    #[test]
    fn what_is_asked_forgets_how_it_sounds() {
        let mut settings = Settings { thru: false, follow: Follow::Arrange, seed: 9, ..Settings::default() };
        (settings.chord_input, settings.split_key, settings.chord_channel) = (ChordInput::Split, 50, 7);
        let usual = PartSettings { on: true, density: 0.9, ..PartSettings::of(Part::Pad) };
        settings.parts[Part::Pad] =
            PartSettings { channel: 9, octave: 2, velocity: 0.5, solo: true, locked: true, ..usual };
        let asked = settings.asked();
        assert_eq!((asked.seed, asked.thru, asked.follow), (9, true, Follow::Jam));
        assert_eq!((asked.chord_input, asked.split_key, asked.chord_channel), (ChordInput::Off, 60, 1));
        assert_eq!(asked.parts[Part::Pad], usual);
    }
}
