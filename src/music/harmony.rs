//! Pitch classes and chords, with the names people write them by.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A pitch without its octave: C = 0 … B = 11.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PitchClass(u8);

impl PitchClass {
    pub const fn new(semitones: i32) -> Self {
        Self(semitones.rem_euclid(12) as u8)
    }

    pub fn all() -> impl Iterator<Item = Self> {
        (0..12).map(Self)
    }

    pub const fn semitones(self) -> i32 {
        self.0 as i32
    }

    pub const fn up(self, semitones: i32) -> Self {
        Self::new(self.0 as i32 + semitones)
    }

    /// Semitones from `lower` up to this, 0..=11.
    pub const fn above(self, lower: Self) -> i32 {
        (self.0 as i32 - lower.0 as i32).rem_euclid(12)
    }

    /// A letter and its accidentals at the start of `text` (`C`, `F#`, `B♭`); also returns what follows.
    fn parse_prefix(text: &str) -> Option<(Self, &str)> {
        semitones_prefix(text).map(|(semitones, rest)| (Self::new(semitones), rest))
    }
}

/// The same in semitones above the C of its octave: −1 for `Cb`.
pub(super) fn semitones_prefix(text: &str) -> Option<(i32, &str)> {
    let mut chars = text.chars();
    let natural = match chars.next()?.to_ascii_uppercase() {
        'C' => 0,
        'D' => 2,
        'E' => 4,
        'F' => 5,
        'G' => 7,
        'A' => 9,
        'B' | 'H' => 11,
        _ => return None,
    };
    let mut semitones = natural;
    let mut rest = chars.as_str();
    while let Some(accidental) = rest.chars().next() {
        semitones += match accidental {
            '#' | '♯' => 1,
            'b' | '♭' => -1,
            '♮' => 0,
            _ => break,
        };
        rest = &rest[accidental.len_utf8()..];
    }
    Some((semitones, rest))
}

impl fmt::Display for PitchClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [&str; 12] = ["C", "Db", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B"];
        f.write_str(NAMES[self.0 as usize])
    }
}

/// Any number of pitch classes, as bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct PitchClassSet(u16);

impl PitchClassSet {
    pub const EMPTY: Self = Self(0);

    pub const fn contains(self, class: PitchClass) -> bool {
        self.0 & (1 << class.0) != 0
    }

    #[must_use]
    pub const fn with(self, class: PitchClass) -> Self {
        Self(self.0 | (1 << class.0))
    }

    pub const fn len(self) -> u32 {
        self.0.count_ones()
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn iter(self) -> impl Iterator<Item = PitchClass> {
        PitchClass::all().filter(move |class| self.contains(*class))
    }
}

impl FromIterator<PitchClass> for PitchClassSet {
    fn from_iter<I: IntoIterator<Item = PitchClass>>(classes: I) -> Self {
        classes.into_iter().fold(Self::EMPTY, Self::with)
    }
}

/// What is built on a chord's root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Quality {
    Major,
    Minor,
    Seventh,
    MajorSeventh,
    MinorSeventh,
    Diminished,
    HalfDiminished,
    DiminishedSeventh,
    Augmented,
    Sus4,
    Sus2,
    Sixth,
    MinorSixth,
    AddNinth,
    Ninth,
}

impl Quality {
    pub const ALL: [Self; 15] = [
        Self::Major,
        Self::Minor,
        Self::Seventh,
        Self::MajorSeventh,
        Self::MinorSeventh,
        Self::Diminished,
        Self::HalfDiminished,
        Self::DiminishedSeventh,
        Self::Augmented,
        Self::Sus4,
        Self::Sus2,
        Self::Sixth,
        Self::MinorSixth,
        Self::AddNinth,
        Self::Ninth,
    ];

    /// Semitones above the root, the root first.
    pub const fn intervals(self) -> &'static [i32] {
        match self {
            Self::Major => &[0, 4, 7],
            Self::Minor => &[0, 3, 7],
            Self::Seventh => &[0, 4, 7, 10],
            Self::MajorSeventh => &[0, 4, 7, 11],
            Self::MinorSeventh => &[0, 3, 7, 10],
            Self::Diminished => &[0, 3, 6],
            Self::HalfDiminished => &[0, 3, 6, 10],
            Self::DiminishedSeventh => &[0, 3, 6, 9],
            Self::Augmented => &[0, 4, 8],
            Self::Sus4 => &[0, 5, 7],
            Self::Sus2 => &[0, 2, 7],
            Self::Sixth => &[0, 4, 7, 9],
            Self::MinorSixth => &[0, 3, 7, 9],
            Self::AddNinth => &[0, 4, 7, 2],
            Self::Ninth => &[0, 4, 7, 10, 2],
        }
    }

    /// As written after the root: `m7` in `Am7`.
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Major => "",
            Self::Minor => "m",
            Self::Seventh => "7",
            Self::MajorSeventh => "maj7",
            Self::MinorSeventh => "m7",
            Self::Diminished => "dim",
            Self::HalfDiminished => "m7b5",
            Self::DiminishedSeventh => "dim7",
            Self::Augmented => "aug",
            Self::Sus4 => "sus4",
            Self::Sus2 => "sus2",
            Self::Sixth => "6",
            Self::MinorSixth => "m6",
            Self::AddNinth => "add9",
            Self::Ninth => "9",
        }
    }

    fn from_suffix(text: &str) -> Option<Self> {
        let plain = text.replace(['(', ')'], "").replace('♭', "b").replace('♯', "#");
        Some(match plain.as_str() {
            "" | "maj" | "M" | "major" => Self::Major,
            "m" | "min" | "-" | "mi" | "minor" => Self::Minor,
            "7" | "dom7" => Self::Seventh,
            "maj7" | "M7" | "Maj7" | "ma7" | "Δ" | "Δ7" | "j7" => Self::MajorSeventh,
            "m7" | "min7" | "-7" | "mi7" => Self::MinorSeventh,
            "dim" | "°" | "o" | "mb5" => Self::Diminished,
            "m7b5" | "min7b5" | "-7b5" | "ø" | "ø7" | "mi7b5" => Self::HalfDiminished,
            "dim7" | "°7" | "o7" => Self::DiminishedSeventh,
            "aug" | "+" | "#5" => Self::Augmented,
            "sus4" | "sus" => Self::Sus4,
            "sus2" => Self::Sus2,
            "6" | "maj6" | "M6" => Self::Sixth,
            "m6" | "min6" | "-6" => Self::MinorSixth,
            "add9" | "add2" => Self::AddNinth,
            "9" => Self::Ninth,
            _ => return None,
        })
    }
}

/// A chord: root, quality, and the bass note where it is another than the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Chord {
    pub root: PitchClass,
    pub quality: Quality,
    /// `None`: the root.
    pub slash: Option<PitchClass>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a chord I can read; write a root and one of: m 7 maj7 m7 dim m7b5 dim7 aug sus2 sus4 6 m6 add9 9, with an optional bass as in G/B"
)]
pub struct ChordTextError(pub String);

impl Chord {
    pub const fn new(root: PitchClass, quality: Quality) -> Self {
        Self { root, quality, slash: None }
    }

    /// The lowest note's pitch class.
    pub fn bass(&self) -> PitchClass {
        self.slash.unwrap_or(self.root)
    }

    /// Pitch classes from the root up; the slash bass is not among them unless the chord has it.
    pub fn classes(&self) -> impl Iterator<Item = PitchClass> + use<> {
        let root = self.root;
        self.quality.intervals().iter().map(move |interval| root.up(*interval))
    }

    pub fn class_set(&self) -> PitchClassSet {
        self.classes().collect()
    }

    /// The chord that best explains weighted pitch classes: its notes' weight, less what is missing and what is foreign.
    ///
    /// `bass` is the class of the lowest note, which is likelier to be the root. What is explained as well by two qualities
    /// has the one that comes first in [`Quality::ALL`]: a lone fifth is major, A C E G a minor seventh. `None` when nothing
    /// sounds.
    pub fn recognise(weights: &[f32; 12], bass: Option<PitchClass>) -> Option<Self> {
        let total: f32 = weights.iter().sum();
        if total <= 0.0 {
            return None;
        }
        let score = |chord: &Self| {
            let members = chord.class_set();
            let inside: f32 = members.iter().map(|class| weights[class.semitones() as usize]).sum();
            let missing = members.iter().filter(|class| weights[class.semitones() as usize] <= 0.0).count() as f32;
            let root_below = if bass == Some(chord.root) { 0.15 } else { 0.0 };
            // Fewer notes explain as much with less: a triad wins over the seventh that is not there.
            let size = 0.02 * members.len() as f32;
            (2.0 * inside - total) / total + root_below - 0.3 * missing / members.len() as f32 - size
        };
        let ranked = Quality::ALL.into_iter().enumerate();
        let (_, best) = PitchClass::all()
            .flat_map(|root| ranked.clone().map(move |(rank, quality)| (rank, Self::new(root, quality))))
            .max_by(|(a_rank, a), (b_rank, b)| score(a).total_cmp(&score(b)).then(b_rank.cmp(a_rank)))?;
        let slash = bass.filter(|bass| *bass != best.root && best.class_set().contains(*bass));
        Some(Self { slash, ..best })
    }
}

impl fmt::Display for Chord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.root, self.quality.suffix())?;
        match self.slash {
            Some(bass) if bass != self.root => write!(f, "/{bass}"),
            Some(_) | None => Ok(()),
        }
    }
}

impl FromStr for Chord {
    type Err = ChordTextError;

    fn from_str(text: &str) -> Result<Self, ChordTextError> {
        let error = || ChordTextError(text.to_owned());
        let (root, rest) = PitchClass::parse_prefix(text.trim()).ok_or_else(error)?;
        if let Some(quality) = Quality::from_suffix(rest) {
            return Ok(Self::new(root, quality));
        }
        let (suffix, bass) = rest.rsplit_once('/').ok_or_else(error)?;
        let quality = Quality::from_suffix(suffix).ok_or_else(error)?;
        let (bass, nothing) = PitchClass::parse_prefix(bass).ok_or_else(error)?;
        if !nothing.is_empty() {
            return Err(error());
        }
        Ok(Self { root, quality, slash: (bass != root).then_some(bass) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_chord_reads_back_from_its_name() {
        for root in PitchClass::all() {
            for quality in Quality::ALL {
                for slash in PitchClass::all().map(Some).chain([None]) {
                    let chord = Chord { root, quality, slash: slash.filter(|bass| *bass != root) };
                    assert_eq!(chord.to_string().parse(), Ok(chord));
                }
            }
        }
    }

    #[test]
    fn chords_are_read_as_people_write_them() {
        for (text, plain) in [
            ("B♭m7♭5/E♭", "Bbm7b5/Eb"),
            ("F♯°7", "F#dim7"),
            ("CΔ", "Cmaj7"),
            ("A-", "Am"),
            ("E7(b5)", ""),
            ("Gsus", "Gsus4"),
            ("bb", "Bb"),
        ] {
            match text.parse::<Chord>() {
                Ok(chord) => assert_eq!(chord.to_string(), plain, "{text}"),
                Err(error) => assert!(plain.is_empty() && error.to_string().contains(text), "{text}: {error}"),
            }
        }
    }

    #[test]
    fn chords_are_recognised_from_their_notes() {
        for root in PitchClass::all() {
            for quality in [Quality::Major, Quality::Minor, Quality::Seventh, Quality::HalfDiminished, Quality::Sus4] {
                let chord = Chord::new(root, quality);
                let mut weights = [0.0; 12];
                chord.classes().for_each(|class| weights[class.semitones() as usize] = 1.0);
                assert_eq!(Chord::recognise(&weights, Some(root)), Some(chord));
            }
        }
        assert_eq!(Chord::recognise(&[0.0; 12], None), None);
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_the_commoner_chord() {
        let recognised = |classes: &[i32], bass: Option<i32>| {
            let mut weights = [0.0; 12];
            classes.iter().for_each(|class| weights[*class as usize] = 1.0);
            Chord::recognise(&weights, bass.map(PitchClass::new)).map(|chord| chord.to_string())
        };
        for (classes, bass, expected) in [
            (vec![0, 7], Some(0), "C"),
            (vec![0, 4], Some(0), "C"),
            (vec![0, 10], Some(0), "C7"),
            (vec![9, 0], Some(9), "Am"),
            (vec![9, 0], None, "F"),
            (vec![9, 0, 4, 7], None, "Am7"),
            (vec![9, 0, 4, 7], Some(0), "C6"),
        ] {
            assert_eq!(recognised(&classes, bass).as_deref(), Some(expected), "{classes:?}");
        }
    }
}
