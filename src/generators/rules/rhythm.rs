//! Where in a bar things may be struck, and the texture that each style makes of it. Pure.
//!
//! Density works by *need*: each place has a need between 0 and 1 that depends on its rank and on the style, and is
//! struck when the density reaches it. So density adds notes to what was there and never shuffles them.

use crate::music::{Bar, Note, Segment, Style, StyleWeights, Ticks};

/// How strong a place in the bar is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// Between the pulses: sixteenths.
    Between,
    /// The division of the beat: eighths, also in compound metres.
    Pulse,
    Beat,
    /// The start of a half bar.
    Half,
    Bar,
}

impl Rank {
    /// Metric weight, 0..=1: accents, and how much the harmony cares for a melody note struck here.
    pub const fn strength(self) -> f32 {
        match self {
            Self::Between => 0.15,
            Self::Pulse => 0.35,
            Self::Beat => 0.65,
            Self::Half => 0.85,
            Self::Bar => 1.0,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// In absolute ticks.
    pub at: Ticks,
    pub rank: Rank,
}

const QUARTER: Ticks = 12;
const EIGHTH: Ticks = 6;
const SIXTEENTH: Ticks = 3;

/// The felt beats of a segment as (start, length), in absolute ticks.
///
/// Quarters in simple metres (also under a half-note unit), dotted units in compound ones, and twos and threes where
/// the metre counts an odd number of eighths: 5/8 = 3 + 2, 7/8 = 2 + 2 + 3.
pub fn beats(segment: Segment) -> Vec<(Ticks, Ticks)> {
    let meter = segment.bar.meter;
    let unit = 4 * QUARTER / Ticks::from(meter.unit());
    let count = |length| (segment.end() - segment.start()) / length;
    let lengths = if meter.is_compound() {
        vec![meter.beat_length(); count(meter.beat_length()) as usize]
    } else if unit >= QUARTER {
        vec![QUARTER; count(QUARTER) as usize]
    } else {
        twos_and_threes(count(unit)).into_iter().map(|group| group * unit).collect()
    };
    let mut start = segment.start();
    let place = |length| {
        start += length;
        (start - length, length)
    };
    lengths.into_iter().map(place).collect()
}

fn twos_and_threes(count: Ticks) -> Vec<Ticks> {
    match count {
        1 => vec![1],
        5 => vec![3, 2],
        _ if count % 2 == 0 => vec![2; count as usize / 2],
        _ => [vec![2; (count as usize - 3) / 2], vec![3]].concat(),
    }
}

/// All places of a segment, in order.
pub fn places(segment: Segment) -> Vec<Place> {
    let pulse = if segment.bar.meter.unit() == 16 { SIXTEENTH } else { EIGHTH };
    let beats = beats(segment);
    let rank = |at: Ticks| {
        if at == segment.bar.start {
            Rank::Bar
        } else if at == segment.start() {
            Rank::Half
        } else if let Some((start, _)) = beats.iter().rfind(|(start, _)| *start <= at) {
            match at - start {
                0 => Rank::Beat,
                offset if offset % pulse == 0 => Rank::Pulse,
                _ => Rank::Between,
            }
        } else {
            Rank::Between
        }
    };
    (segment.start()..segment.end()).step_by(SIXTEENTH as usize).map(|at| Place { at, rank: rank(at) }).collect()
}

/// How strong the place is at which something is struck.
pub fn strength_at(bar: Bar, at: Ticks) -> f32 {
    let place = places(bar.segment_at(at)).into_iter().find(|place| place.at == at);
    place.map_or(Rank::Between, |place| place.rank).strength()
}

/// A bar's place in its eight-bar phrase, 0..8. Phrases are counted from the start of the song, but for a pickup.
///
/// A pickup is a first bar that is short, or in which the melody only begins in the second half. Its memory fades with
/// the melody that is known; then bars are counted from the song's start again.
pub fn phrase_bar(bar: Bar, melody: &[Note]) -> i32 {
    let length = bar.meter.bar_length();
    let short = bar.start < bar.index.0 * length;
    let late = melody.first().is_some_and(|first| (length / 2..length).contains(&first.start));
    (bar.index.0 - i32::from(short || late)).rem_euclid(8)
}

/// What the chords do with their notes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Figure {
    /// All voices together, held to the next stroke; they go with the melody's beats where these are known.
    Choral,
    /// All voices together.
    Block,
    /// The lowest first, then the others repeated.
    AfterBeat,
    /// One by one, up and down, left to ring.
    Arpeggio,
    /// Lowest and others in turn.
    Rocking,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BassFigure {
    /// From beat to beat through the chord, a step before a new one.
    Walk,
    Held,
    RootFifth,
    /// Long, and short before the next.
    Dotted,
    /// Repeated.
    Pump,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Groove {
    /// A cymbal, barely.
    Soft,
    SideStick,
    Backbeat,
}

/// The density at which places are struck; the starts of half bars always are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Needs {
    pub beat: f32,
    pub pulse: f32,
    pub between: f32,
}

impl Needs {
    pub const fn of(&self, rank: Rank) -> f32 {
        match rank {
            Rank::Bar | Rank::Half => 0.0,
            Rank::Beat => self.beat,
            Rank::Pulse => self.pulse,
            Rank::Between => self.between,
        }
    }

    fn blend(weighted: impl Iterator<Item = (f32, Self)>) -> Self {
        weighted.fold(needs(0.0, 0.0, 0.0), |sum, (weight, row)| Self {
            beat: sum.beat + weight * row.beat,
            pulse: sum.pulse + weight * row.pulse,
            between: sum.between + weight * row.between,
        })
    }
}

/// How a style plays.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Texture {
    pub figure: Figure,
    pub bass_figure: BassFigure,
    pub groove: Groove,
    /// Voices of the chords.
    pub voices: usize,
    pub chords: Needs,
    pub bass: Needs,
    /// How much of the time to the next stroke a chord sounds.
    pub gate: f32,
    /// Factor on velocities.
    pub touch: f32,
    /// How gladly a chord stays for the second half of a bar; see [`super::harmonise`].
    pub stay: f32,
}

/// A need that no density reaches.
pub const NEVER: f32 = 9.0;

const fn needs(beat: f32, pulse: f32, between: f32) -> Needs {
    Needs { beat, pulse, between }
}

impl Texture {
    /// One row a style, in the order of the palette.
    #[rustfmt::skip]
    const OF_STYLE: [Self; Style::COUNT] = [
        Self { figure: Figure::Choral, bass_figure: BassFigure::Walk, groove: Groove::Soft, voices: 3,
            chords: needs(0.45, 0.95, NEVER), bass: needs(0.45, 0.85, NEVER), gate: 1.0, touch: 0.92, stay: 0.0 },
        Self { figure: Figure::Choral, bass_figure: BassFigure::Held, groove: Groove::Soft, voices: 3,
            chords: needs(0.6, 0.95, NEVER), bass: needs(0.7, NEVER, NEVER), gate: 1.0, touch: 0.95, stay: 0.1 },
        Self { figure: Figure::Choral, bass_figure: BassFigure::Walk, groove: Groove::Soft, voices: 3,
            chords: needs(0.3, 0.6, NEVER), bass: needs(0.4, 0.8, NEVER), gate: 0.9, touch: 0.95, stay: 0.2 },
        Self { figure: Figure::AfterBeat, bass_figure: BassFigure::RootFifth, groove: Groove::Soft, voices: 3,
            chords: needs(0.2, 0.42, 0.97), bass: needs(0.75, NEVER, NEVER), gate: 0.75, touch: 0.9, stay: 0.3 },
        Self { figure: Figure::Arpeggio, bass_figure: BassFigure::Held, groove: Groove::SideStick, voices: 4,
            chords: needs(0.1, 0.35, 0.75), bass: needs(0.8, NEVER, NEVER), gate: 1.0, touch: 0.9, stay: 0.3 },
        Self { figure: Figure::Rocking, bass_figure: BassFigure::RootFifth, groove: Groove::SideStick, voices: 3,
            chords: needs(0.1, 0.4, 0.9), bass: needs(0.65, NEVER, NEVER), gate: 0.95, touch: 0.95, stay: 0.3 },
        Self { figure: Figure::Block, bass_figure: BassFigure::Dotted, groove: Groove::SideStick, voices: 4,
            chords: needs(0.35, 0.8, NEVER), bass: needs(0.75, 0.45, NEVER), gate: 0.92, touch: 1.0, stay: 0.35 },
        Self { figure: Figure::Block, bass_figure: BassFigure::Pump, groove: Groove::Backbeat, voices: 3,
            chords: needs(0.1, 0.45, NEVER), bass: needs(0.1, 0.35, NEVER), gate: 0.6, touch: 1.1, stay: 0.45 },
        Self { figure: Figure::Block, bass_figure: BassFigure::Pump, groove: Groove::Backbeat, voices: 3,
            chords: needs(0.1, 0.3, 0.9), bass: needs(0.05, 0.2, 0.95), gate: 0.45, touch: 1.2, stay: 0.55 },
    ];

    /// Neighbouring styles blend: what is a number lies between theirs, and the figures take turns by bars, the later
    /// style coming first at the end of each four.
    pub fn at(position: f32, phrase_bar: i32) -> Self {
        const TURN: [f32; 4] = [0.125, 0.625, 0.375, 0.875];
        let turn = TURN[phrase_bar.rem_euclid(4) as usize];
        let weights = StyleWeights::at(position).0;
        let rows: Vec<(f32, Self)> = weights.into_iter().zip(Self::OF_STYLE).collect();
        let mut passed = 0.0;
        let on_turn = rows.iter().find(|(weight, _)| {
            passed += weight;
            passed > turn
        });
        let mean = |value: fn(&Self) -> f32| rows.iter().map(|(weight, row)| weight * value(row)).sum();
        let blend = |needs: fn(&Self) -> Needs| Needs::blend(rows.iter().map(|(weight, row)| (*weight, needs(row))));
        Self {
            chords: blend(|row| row.chords),
            bass: blend(|row| row.bass),
            gate: mean(|row| row.gate),
            touch: mean(|row| row.touch),
            stay: mean(|row| row.stay),
            ..on_turn.unwrap_or(&rows[0]).1
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::music::{Key, Meter, Velocity};

    fn beat_lengths(beats_of_bar: i64, unit: i64) -> Vec<Ticks> {
        let meter = Meter::new(beats_of_bar, unit).expect("a playable metre");
        let bar = Bar::of_constant_meter(2, meter);
        bar.segments().flat_map(beats).map(|(_, length)| length).collect()
    }

    #[test]
    fn beats_are_felt_as_in_the_metre() {
        for (beats, unit, expected) in [
            (4, 4, vec![12; 4]),
            (2, 2, vec![12; 4]),
            (3, 4, vec![12; 3]),
            (6, 8, vec![18; 2]),
            (12, 8, vec![18; 4]),
            (5, 8, vec![18, 12]),
            (7, 8, vec![12, 12, 18]),
            (3, 8, vec![18]),
            (1, 16, vec![3]),
        ] {
            assert_eq!(beat_lengths(beats, unit), expected, "{beats}/{unit}");
        }
    }

    #[test]
    fn every_bar_is_filled_with_beats_and_begins_with_its_strongest_place() {
        for unit in [1, 2, 4, 8, 16] {
            for meter in (1..=48).filter_map(|beats| Meter::new(beats, unit).ok()) {
                let bar = Bar::of_constant_meter(1, meter);
                let total: Ticks = bar.segments().flat_map(beats).map(|(_, length)| length).sum();
                assert_eq!(total, meter.bar_length(), "{meter}");
                let strongest = bar.segments().flat_map(places).max_by_key(|place| place.rank);
                assert_eq!(strongest, Some(Place { at: bar.start, rank: Rank::Bar }), "{meter}");
            }
        }
    }

    #[test]
    fn phrases_begin_after_a_pickup() {
        let first = |start| [Note { start, key: Key::folded(60), duration: 12, velocity: Velocity::default() }];
        let (plain, after_quarter) = (
            Bar::of_constant_meter(4, Meter::COMMON),
            Bar { start: 3 * 48 + 12, ..Bar::of_constant_meter(4, Meter::COMMON) },
        );
        assert_eq!(phrase_bar(plain, &first(0)), 4);
        assert_eq!(phrase_bar(plain, &first(36)), 3);
        assert_eq!(phrase_bar(plain, &first(96)), 4);
        assert_eq!(phrase_bar(after_quarter, &first(0)), 3);
    }

    #[test]
    fn the_style_knob_blends_its_neighbours() {
        let figures = |position| (0..4).map(|bar| Texture::at(position, bar).figure).collect::<Vec<_>>();
        use Figure::{Arpeggio, Rocking};
        assert_eq!(figures(4.0), [Arpeggio; 4]);
        assert_eq!(figures(4.25), [Arpeggio, Arpeggio, Arpeggio, Rocking]);
        assert_eq!(figures(4.5), [Arpeggio, Rocking, Arpeggio, Rocking]);
        let between = Texture::at(6.5, 0).touch;
        assert!((between - 1.05).abs() < 1e-6, "{between}");
    }
}
