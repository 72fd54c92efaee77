//! The chord plan: which chord the band plays where, and who said so.

use super::{Bar, Chord, Segment, Song, Ticks};
use serde::{Deserialize, Serialize};

/// Where a planned chord comes from, the strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum PlanSource {
    /// Typed, or from a chord track.
    User,
    /// Harmonised from a melody heard at this place, or at an earlier place that this one repeats.
    Heard,
    /// The model's own choice.
    Proposed,
    /// The rule-based harmony, where no model answers.
    Rule,
}

impl PlanSource {
    pub const fn name(self) -> &'static str {
        match self {
            Self::User => "yours",
            Self::Heard => "heard",
            Self::Proposed => "proposed",
            Self::Rule => "by rule",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedChord {
    /// `None` is N.C.: the band rests.
    pub chord: Option<Chord>,
    pub source: PlanSource,
}

/// The chords the user gave, a list of bars that repeats when it is shorter than the song.
///
/// Each bar holds one or more chords that share it equally. An empty plan says nothing anywhere.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChordPlan {
    bars: Vec<Vec<Option<Chord>>>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    #[error("chord plan, bar {bar}: {source}")]
    Chord { bar: usize, source: super::ChordTextError },
    #[error("chord plan, bar 1: `%` repeats the bar before, and there is none")]
    NothingToRepeat,
    #[error("chord plan: there are no bars in it; write bars between `|`, as in | C | G/B | Am F |")]
    Empty,
}

impl ChordPlan {
    pub fn is_empty(&self) -> bool {
        self.bars.is_empty()
    }

    /// Number of bars before the plan repeats.
    pub fn len(&self) -> usize {
        self.bars.len()
    }

    pub fn from_bars(bars: Vec<Vec<Option<Chord>>>) -> Self {
        Self { bars }
    }

    /// Bars between `|` (or one a line), chords in a bar share it equally, `%` repeats the bar, `N.C.` is none.
    ///
    /// Lines that begin with `#` followed by a space are comments.
    ///
    /// # Errors
    /// Names the bar (from 1) and the chord that cannot be read.
    pub fn parse(text: &str) -> Result<Self, PlanError> {
        let bars = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("# "))
            .flat_map(|line| line.split(['|', '‖']))
            .map(|bar| bar.trim().trim_matches(':').trim())
            .filter(|bar| !bar.is_empty());
        let mut plan: Vec<Vec<Option<Chord>>> = Vec::new();
        for bar in bars {
            let number = plan.len() + 1;
            if bar == "%" {
                plan.push(plan.last().ok_or(PlanError::NothingToRepeat)?.clone());
                continue;
            }
            let chords: Result<Vec<_>, _> = bar.split_whitespace().map(parse_slot).collect();
            plan.push(chords.map_err(|source| PlanError::Chord { bar: number, source })?);
        }
        if plan.is_empty() { Err(PlanError::Empty) } else { Ok(Self { bars: plan }) }
    }

    /// A plan with a chord for each segment of the song, read from the notes of a chord track.
    ///
    /// A segment without a chord of its own keeps the one before; before the first chord, N.C.
    pub fn from_chord_track(song: &Song) -> Self {
        let mut last = None;
        let bars = song
            .bars()
            .map(|bar| {
                bar.segments()
                    .map(|segment| {
                        last = recognise_segment(song, &segment).or(last);
                        last
                    })
                    .collect()
            })
            .collect();
        Self { bars }
    }

    /// The chord of a segment: the one that holds at its start. `None` where the plan says nothing.
    pub fn chord_of(&self, segment: &Segment) -> Option<PlannedChord> {
        self.chord_at(&segment.bar, segment.start() - segment.bar.start)
            .map(|chord| PlannedChord { chord, source: PlanSource::User })
    }

    /// The chord `offset` ticks into a bar; the inner `None` is N.C.
    fn chord_at(&self, bar: &Bar, offset: Ticks) -> Option<Option<Chord>> {
        if self.bars.is_empty() {
            return None;
        }
        let chords = &self.bars[bar.index.0.rem_euclid(self.bars.len() as i32) as usize];
        let slot = offset as usize * chords.len() / bar.meter.bar_length() as usize;
        chords.get(slot).copied()
    }
}

/// Bars between `|`, as [`ChordPlan::parse`] reads them.
impl std::fmt::Display for ChordPlan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for bar in &self.bars {
            f.write_str("|")?;
            for chord in bar {
                match chord {
                    Some(chord) => write!(f, " {chord}")?,
                    None => f.write_str(" N.C.")?,
                }
            }
            f.write_str(" ")?;
        }
        if self.bars.is_empty() { Ok(()) } else { f.write_str("|") }
    }
}

fn parse_slot(text: &str) -> Result<Option<Chord>, super::ChordTextError> {
    match text.to_ascii_uppercase().as_str() {
        "N.C." | "NC" | "N.C" | "N" => Ok(None),
        _ => text.parse().map(Some),
    }
}

fn recognise_segment(song: &Song, segment: &Segment) -> Option<Chord> {
    let mut weights = [0.0; 12];
    let mut lowest = None;
    for note in &song.melody {
        let sounding = note.end().min(segment.end()) - note.start.max(segment.start());
        if sounding > 0 {
            weights[note.key.pitch_class().semitones() as usize] += sounding as f32;
            lowest = Some(lowest.map_or(note.key, |key| note.key.min(key)));
        }
    }
    Chord::recognise(&weights, lowest.map(|key| key.pitch_class()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::music::Meter;

    fn chords_of(plan: &ChordPlan, bars: i32) -> Vec<String> {
        (0..bars)
            .flat_map(|index| Bar::of_constant_meter(index, Meter::COMMON).segments())
            .map(|segment| match plan.chord_of(&segment).expect("the plan has bars").chord {
                Some(chord) => chord.to_string(),
                None => "-".into(),
            })
            .collect()
    }

    #[test]
    fn a_short_plan_repeats_and_its_chords_share_the_bar() {
        let plan = ChordPlan::parse("| C | G/B Am | % | N.C. |").expect("readable");
        assert_eq!(chords_of(&plan, 5), ["C", "C", "G/B", "Am", "G/B", "Am", "-", "-", "C", "C"]);
        assert_eq!(ChordPlan::parse(&plan.to_string()), Ok(plan));
    }

    #[test]
    fn unreadable_chords_are_named_with_their_bar() {
        let error = ChordPlan::parse("| C | Xyz |").expect_err("Xyz is no chord").to_string();
        assert!(error.contains("bar 2") && error.contains("Xyz"), "{error}");
        assert_eq!(ChordPlan::parse("| % |"), Err(PlanError::NothingToRepeat));
        assert_eq!(ChordPlan::parse(" | | "), Err(PlanError::Empty));
    }
}
