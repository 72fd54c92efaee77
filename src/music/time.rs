//! Musical time: a grid of 12 ticks to the quarter (sixteenths and triplets), metres, bars, segments.

use serde::{Deserialize, Serialize};

/// Time or length in ticks, 12 to the quarter note. Song positions count from the host's position zero.
pub type Ticks = i32;

pub const TICKS_PER_QUARTER: Ticks = 12;

/// Nearest tick to a position in quarter notes.
///
/// Ties go up, also when the position is a little early: a host gives note times in whole samples, so a note
/// halfway between two ticks arrives up to half a sample off, and must not move with the sample rate or block size.
pub fn quantise(quarters: f64) -> Ticks {
    const TIE_TOLERANCE: f64 = 0.01;
    (quarters * TICKS_PER_QUARTER as f64 + 0.5 + TIE_TOLERANCE).floor() as Ticks
}

/// A place or length of the grid in quarter notes.
pub fn in_quarters(ticks: Ticks) -> f64 {
    f64::from(ticks) / f64::from(TICKS_PER_QUARTER)
}

/// A time signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Meter {
    beats: u8,
    unit: u8,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "the time signature {beats}/{unit} cannot be played: the lower number must be 1, 2, 4, 8 or 16 and the bar no longer than 12 quarters"
)]
pub struct MeterError {
    beats: i64,
    unit: i64,
}

impl Meter {
    pub const COMMON: Self = Self { beats: 4, unit: 4 };
    /// Bars longer than this would not fit the queues' bounds.
    const LONGEST_BAR: Ticks = 12 * TICKS_PER_QUARTER;

    /// `unit` is the note value of a beat (4 = quarter).
    ///
    /// # Errors
    /// When a bar would not be a whole number of ticks, or would be longer than twelve quarters.
    pub fn new(beats: i64, unit: i64) -> Result<Self, MeterError> {
        let error = MeterError { beats, unit };
        if !matches!(unit, 1 | 2 | 4 | 8 | 16) || !(1..=64).contains(&beats) {
            return Err(error);
        }
        let meter = Self { beats: beats as u8, unit: unit as u8 };
        if meter.bar_length() > Self::LONGEST_BAR {
            return Err(error);
        }
        Ok(meter)
    }

    pub const fn beats(self) -> u8 {
        self.beats
    }

    pub const fn unit(self) -> u8 {
        self.unit
    }

    pub const fn bar_length(self) -> Ticks {
        self.beats as Ticks * self.unit_length()
    }

    const fn unit_length(self) -> Ticks {
        4 * TICKS_PER_QUARTER / self.unit as Ticks
    }

    /// Eighths or sixteenths in threes: 6/8, 9/8, 12/8.
    pub const fn is_compound(self) -> bool {
        self.unit >= 8 && self.beats > 3 && self.beats.is_multiple_of(3)
    }

    /// The felt beat: a dotted unit in compound metres, else the unit.
    pub const fn beat_length(self) -> Ticks {
        if self.is_compound() { 3 * self.unit_length() } else { self.unit_length() }
    }

    /// Lengths of the segments that a live answer covers: the natural halves of a bar, or the whole.
    ///
    /// 4/4 is 24 + 24; 3/4 and 2/4 are one segment; longer bars are cut at a beat near the middle, the longer half first
    /// (5/4 = 3 + 2, 7/8 = 4 + 3).
    pub fn segments(self) -> (Ticks, Option<Ticks>) {
        let beat = self.beat_length();
        let beats = self.bar_length() / beat;
        let short = self.bar_length() <= 3 * TICKS_PER_QUARTER && !(self.is_compound() && beats == 2);
        if short || beats < 2 {
            return (self.bar_length(), None);
        }
        let first = (beats + 1) / 2 * beat;
        (first, Some(self.bar_length() - first))
    }
}

impl Default for Meter {
    fn default() -> Self {
        Self::COMMON
    }
}

impl std::fmt::Display for Meter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.beats, self.unit)
    }
}

/// Number of a bar, 0 for the first of the song; negative in a pre-roll.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BarIndex(pub i32);

/// A bar's place in the song.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Bar {
    pub index: BarIndex,
    pub start: Ticks,
    pub meter: Meter,
}

impl Bar {
    /// Bar `index` of a song that has this metre from its start.
    pub fn of_constant_meter(index: i32, meter: Meter) -> Self {
        Self { index: BarIndex(index), start: index * meter.bar_length(), meter }
    }

    /// The bar that holds `position` in a song that has this metre from its start.
    pub fn at(position: Ticks, meter: Meter) -> Self {
        Self::of_constant_meter(position.div_euclid(meter.bar_length()), meter)
    }

    pub fn end(&self) -> Ticks {
        self.start + self.meter.bar_length()
    }

    /// The bar after this one, in the same metre.
    pub fn next(&self) -> Self {
        Self { index: BarIndex(self.index.0 + 1), start: self.end(), meter: self.meter }
    }

    pub fn segments(self) -> impl DoubleEndedIterator<Item = Segment> + ExactSizeIterator {
        let count = if self.meter.segments().1.is_some() { 2 } else { 1 };
        (0..count).map(move |number| Segment { bar: self, number })
    }

    /// The segment that holds `position`, which lies in this bar.
    pub fn segment_at(self, position: Ticks) -> Segment {
        let (first, second) = self.meter.segments();
        let number = u8::from(second.is_some() && position >= self.start + first);
        Segment { bar: self, number }
    }
}

/// The part of a bar that is answered at once when playing live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Segment {
    pub bar: Bar,
    /// 0 or 1.
    pub number: u8,
}

impl Segment {
    pub fn start(&self) -> Ticks {
        let (first, _) = self.bar.meter.segments();
        self.bar.start + if self.number == 0 { 0 } else { first }
    }

    pub fn end(&self) -> Ticks {
        let (first, second) = self.bar.meter.segments();
        if self.number == 0 && second.is_some() { self.bar.start + first } else { self.bar.end() }
    }

    pub fn is_last_of_bar(&self) -> bool {
        self.end() == self.bar.end()
    }

    /// The segment after this one, the metre staying.
    pub fn next(&self) -> Self {
        if self.is_last_of_bar() { Self { bar: self.bar.next(), number: 0 } } else { Self { bar: self.bar, number: 1 } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_fall_into_natural_segments() {
        for (beats, unit, expected) in [
            (4, 4, vec![24, 24]),
            (2, 2, vec![24, 24]),
            (3, 4, vec![36]),
            (2, 4, vec![24]),
            (6, 8, vec![18, 18]),
            (9, 8, vec![36, 18]),
            (12, 8, vec![36, 36]),
            (5, 4, vec![36, 24]),
            (7, 8, vec![24, 18]),
        ] {
            let meter = Meter::new(beats, unit).expect("a usual metre");
            let bar = Bar::of_constant_meter(3, meter);
            let lengths: Vec<Ticks> = bar.segments().map(|s| s.end() - s.start()).collect();
            assert_eq!(lengths, expected, "{meter}");
            assert_eq!(bar.segments().last().map(|s| s.end()), Some(bar.end()));
            for position in bar.start..bar.end() {
                let segment = bar.segment_at(position);
                assert!(segment.start() <= position && position < segment.end());
            }
        }
    }

    #[test]
    fn metres_that_do_not_fit_the_grid_are_refused() {
        for (beats, unit) in [(4, 32), (0, 4), (4, 0), (4, 3), (-3, 4), (30, 2)] {
            assert!(Meter::new(beats, unit).is_err(), "{beats}/{unit}");
        }
    }

    #[test]
    fn ties_are_quantised_upward_even_if_a_little_early() {
        assert_eq!(quantise(1.0 / 24.0), 1);
        assert_eq!(quantise(1.0 / 24.0 - 1e-5), 1);
        assert_eq!(quantise(-0.001), 0);
        assert_eq!(quantise(2.0), 24);
    }
}
