//! The bars of a saved song, as versions 1 to 3 have them. Fields are never added, removed or moved: that would be another
//! version.

use super::super::{LedgerBar, Origin};
use crate::generators::{PartNote, SegmentAnswer};
use crate::music::{
    Bar, BarIndex, Chord, Key, Meter, Note, Part, PerPart, PitchClass, PlanSource, PlannedChord, Quality, Ticks,
    Timing, Velocity,
};
use crate::settings::Settings;
use serde::{Deserialize, Serialize};

/// Numbers are little-endian varints where they are wider than a byte, signed ones zigzag (postcard's wire format).
#[derive(Serialize, Deserialize)]
pub struct SavedBar {
    index: i32,
    start: i32,
    beats: u8,
    unit: u8,
    /// 0 anticipated, 1 arranged, 2 edited.
    origin: u8,
    locked: bool,
    listened: bool,
    rolls: u32,
    /// Bit n: part n is to be written anew.
    wanted: u8,
    /// Index into the settings.
    kept_under: Option<u32>,
    locked_chords: [Option<SavedPlan>; 2],
    melody: Option<Vec<SavedNote>>,
    answers: Vec<SavedAnswer>,
}

#[derive(Serialize, Deserialize)]
struct SavedAnswer {
    segment: u8,
    chord: SavedPlan,
    /// Index into the settings.
    settings: u32,
    quarters_per_minute: f32,
    margin: i32,
    parts: Vec<SavedPart>,
}

#[derive(Serialize, Deserialize)]
struct SavedPart {
    part: u8,
    notes: Vec<SavedPlayed>,
}

#[derive(Serialize, Deserialize)]
struct SavedNote {
    /// Ticks after the note before, or after the bar's start.
    after: u32,
    key: u8,
    duration: u32,
    velocity: u8,
}

#[derive(Serialize, Deserialize)]
struct SavedPlayed {
    note: SavedNote,
    /// Sixteenths of a tick.
    timing: i8,
}

#[derive(Serialize, Deserialize)]
struct SavedPlan {
    chord: Option<SavedChord>,
    /// 0 the user, 1 heard, 2 proposed, 3 by rule.
    source: u8,
}

#[derive(Serialize, Deserialize)]
struct SavedChord {
    /// Semitones above C.
    root: u8,
    /// Place in [`Quality::ALL`], to which qualities are only ever added.
    quality: u8,
    slash: Option<u8>,
}

impl SavedBar {
    /// `index` gives settings a number.
    pub fn of(entry: &LedgerBar, index: &mut impl FnMut(&Settings) -> u32) -> Self {
        let LedgerBar { bar, melody, answers, origin, locked, listened, rolls, wanted, kept_under, locked_chords } =
            entry;
        Self {
            index: bar.index.0,
            start: bar.start,
            beats: bar.meter.beats(),
            unit: bar.meter.unit(),
            origin: match origin {
                Origin::Anticipated => 0,
                Origin::Arranged => 1,
                Origin::Edited => 2,
            },
            locked: *locked,
            listened: *listened,
            rolls: *rolls,
            wanted: bits(wanted),
            kept_under: kept_under.as_ref().map(&mut *index),
            locked_chords: locked_chords.map(|planned| planned.map(|planned| SavedPlan::of(&planned))),
            melody: melody.as_ref().map(|notes| saved_notes(bar.start, notes.iter())),
            answers: answers.iter().map(|answer| SavedAnswer::of(answer, index)).collect(),
        }
    }

    /// `None` when it holds what no song can.
    pub fn entry(&self, settings: &[Settings]) -> Option<LedgerBar> {
        let meter = Meter::new(i64::from(self.beats), i64::from(self.unit)).ok()?;
        let bar = Bar { index: BarIndex(place(self.index)?), start: place(self.start)?, meter };
        let of_index = |index: u32| settings.get(index as usize).copied();
        let kept_under = match self.kept_under {
            Some(index) => Some(of_index(index)?),
            None => None,
        };
        let melody = match &self.melody {
            Some(notes) => Some(notes_from(bar.start, notes.iter())?.into_iter().collect()),
            None => None,
        };
        let mut locked_chords = [None; 2];
        for (chord, saved) in locked_chords.iter_mut().zip(&self.locked_chords) {
            *chord = match saved {
                Some(planned) => Some(planned.planned()?),
                None => None,
            };
        }
        let answers: Option<Vec<SegmentAnswer>> =
            self.answers.iter().map(|answer| answer.answer(bar, of_index(answer.settings)?)).collect();
        Some(LedgerBar {
            bar,
            melody,
            answers: answers?,
            origin: match self.origin {
                0 => Origin::Anticipated,
                1 => Origin::Arranged,
                2 => Origin::Edited,
                _ => return None,
            },
            locked: self.locked,
            listened: self.listened,
            rolls: self.rolls,
            wanted: parts_of(self.wanted),
            kept_under,
            locked_chords,
        })
    }
}

impl SavedAnswer {
    fn of(answer: &SegmentAnswer, index: &mut impl FnMut(&Settings) -> u32) -> Self {
        let part = |part: Part| {
            let notes: Vec<&PartNote> = answer.notes.iter().filter(|note| note.part == part).collect();
            let saved = saved_notes(answer.segment.bar.start, notes.iter().map(|note| &note.note));
            let played =
                |(note, of): (SavedNote, &PartNote)| SavedPlayed { note, timing: of.timing.sixteenths() as i8 };
            SavedPart { part: part.index() as u8, notes: saved.into_iter().zip(notes).map(played).collect() }
        };
        Self {
            segment: answer.segment.number,
            chord: SavedPlan::of(&answer.chord),
            settings: index(&answer.settings),
            quarters_per_minute: answer.quarters_per_minute,
            margin: answer.margin,
            parts: Part::ALL.into_iter().map(part).filter(|part| !part.notes.is_empty()).collect(),
        }
    }

    fn answer(&self, bar: Bar, settings: Settings) -> Option<SegmentAnswer> {
        let segment = bar.segments().find(|segment| segment.number == self.segment)?;
        let mut notes = Vec::new();
        for saved in &self.parts {
            let part = *Part::ALL.get(usize::from(saved.part))?;
            let plain = notes_from(bar.start, saved.notes.iter().map(|played| &played.note))?;
            let timings = saved.notes.iter().map(|played| Timing::clamped(i32::from(played.timing)));
            notes.extend(plain.into_iter().zip(timings).map(|(note, timing)| PartNote { part, note, timing }));
        }
        let within = |note: &PartNote| (segment.start()..segment.end()).contains(&note.note.start);
        let in_order = self.parts.windows(2).all(|pair| pair[0].part < pair[1].part);
        let sound = in_order && notes.iter().all(within) && self.quarters_per_minute.is_finite() && self.margin >= 0;
        sound.then_some(SegmentAnswer {
            segment,
            chord: self.chord.planned()?,
            notes,
            settings,
            quarters_per_minute: self.quarters_per_minute,
            margin: self.margin,
        })
    }
}

impl SavedPlan {
    fn of(planned: &PlannedChord) -> Self {
        let chord = planned.chord.map(|chord| SavedChord {
            root: chord.root.semitones() as u8,
            quality: Quality::ALL.iter().position(|quality| *quality == chord.quality).expect("ALL has all") as u8,
            slash: chord.slash.map(|slash| slash.semitones() as u8),
        });
        let source = match planned.source {
            PlanSource::User => 0,
            PlanSource::Heard => 1,
            PlanSource::Proposed => 2,
            PlanSource::Rule => 3,
        };
        Self { chord, source }
    }

    fn planned(&self) -> Option<PlannedChord> {
        let source = match self.source {
            0 => PlanSource::User,
            1 => PlanSource::Heard,
            2 => PlanSource::Proposed,
            3 => PlanSource::Rule,
            _ => return None,
        };
        let chord = match &self.chord {
            Some(chord) => Some(chord.chord()?),
            None => None,
        };
        Some(PlannedChord { chord, source })
    }
}

impl SavedChord {
    fn chord(&self) -> Option<Chord> {
        let class = |semitones: u8| (semitones < 12).then(|| PitchClass::new(i32::from(semitones)));
        let slash = match self.slash {
            Some(slash) => Some(class(slash)?),
            None => None,
        };
        Some(Chord { root: class(self.root)?, quality: *Quality::ALL.get(usize::from(self.quality))?, slash })
    }
}

/// Notes by start, each measured from the one before.
fn saved_notes<'a>(bar: Ticks, notes: impl Iterator<Item = &'a Note>) -> Vec<SavedNote> {
    let mut last = bar;
    let saved = |note: &Note| SavedNote {
        after: (note.start - std::mem::replace(&mut last, note.start)).max(0) as u32,
        key: note.key.number(),
        duration: note.duration.max(1) as u32,
        velocity: note.velocity.get(),
    };
    notes.map(saved).collect()
}

/// `None` when there is one that is no note.
fn notes_from<'a>(bar: Ticks, notes: impl Iterator<Item = &'a SavedNote>) -> Option<Vec<Note>> {
    let mut start = bar;
    let mut note = |saved: &SavedNote| {
        start = place(start.checked_add_unsigned(saved.after)?)?;
        Some(Note {
            start,
            key: Key::new(saved.key)?,
            duration: place(i32::try_from(saved.duration).ok()?).filter(|duration| *duration > 0)?,
            velocity: Velocity::clamped(i32::from(saved.velocity)),
        })
    };
    notes.map(&mut note).collect()
}

/// Positions, lengths and numbers that can be added up without harm: two months of music each way.
fn place(ticks: Ticks) -> Option<Ticks> {
    const FURTHEST: Ticks = 1 << 28;
    (-FURTHEST..=FURTHEST).contains(&ticks).then_some(ticks)
}

pub fn bits(parts: &PerPart<bool>) -> u8 {
    parts.iter().filter(|(_, on)| **on).map(|(part, _)| 1 << part.index()).sum()
}

pub fn parts_of(bits: u8) -> PerPart<bool> {
    PerPart::from_fn(|part| bits & (1 << part.index()) != 0)
}
