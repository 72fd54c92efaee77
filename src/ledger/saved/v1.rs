//! Version 1 of a saved song. Fields are never added, removed or moved: that would be version 2.

use super::super::{Ledger, LedgerBar, Origin};
use crate::generators::{PartNote, SegmentAnswer};
use crate::music::{
    Bar, BarIndex, Chord, Key, Meter, Note, Part, PerPart, PitchClass, PlanSource, PlannedChord, Quality, Ticks,
    Timing, Velocity,
};
use crate::settings::{CountInBand, Settings};
use serde::{Deserialize, Serialize};

/// Numbers are little-endian varints where they are wider than a byte, signed ones zigzag (postcard's wire format).
#[derive(Serialize, Deserialize)]
pub struct Song {
    /// Each that occurs, once.
    settings: Vec<SavedSettings>,
    bars: Vec<SavedBar>,
}

#[derive(Serialize, Deserialize, PartialEq)]
struct SavedSettings {
    temperature: f32,
    style: f32,
    density: f32,
    seed: u32,
    /// Bit n: part n is on.
    parts: u8,
    count_in: u8,
    count_in_rests: bool,
}

#[derive(Serialize, Deserialize)]
struct SavedBar {
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

impl Song {
    pub fn of(ledger: &Ledger) -> Self {
        let mut song = Self { settings: Vec::new(), bars: Vec::new() };
        for entry in ledger.bars() {
            let bar = song.bar(entry);
            song.bars.push(bar);
        }
        song
    }

    /// `None` when it holds what no song can.
    pub fn ledger(&self) -> Option<Ledger> {
        let bars: Option<Vec<LedgerBar>> = self.bars.iter().map(|bar| bar.entry(&self.settings)).collect();
        bars.map(Ledger::of)
    }

    fn bar(&mut self, entry: &LedgerBar) -> SavedBar {
        let LedgerBar { bar, melody, answers, origin, locked, listened, rolls, wanted, kept_under, locked_chords } =
            entry;
        SavedBar {
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
            kept_under: kept_under.map(|settings| self.settings(&settings)),
            locked_chords: locked_chords.map(|planned| planned.map(|planned| SavedPlan::of(&planned))),
            melody: melody.as_ref().map(|notes| saved_notes(bar.start, notes.iter())),
            answers: answers.iter().map(|answer| self.answer(answer)).collect(),
        }
    }

    fn answer(&mut self, answer: &SegmentAnswer) -> SavedAnswer {
        let part = |part: Part| {
            let notes: Vec<&PartNote> = answer.notes.iter().filter(|note| note.part == part).collect();
            let saved = saved_notes(answer.segment.bar.start, notes.iter().map(|note| &note.note));
            let played =
                |(note, of): (SavedNote, &PartNote)| SavedPlayed { note, timing: of.timing.sixteenths() as i8 };
            SavedPart { part: part.index() as u8, notes: saved.into_iter().zip(notes).map(played).collect() }
        };
        SavedAnswer {
            segment: answer.segment.number,
            chord: SavedPlan::of(&answer.chord),
            settings: self.settings(&answer.settings),
            quarters_per_minute: answer.quarters_per_minute,
            margin: answer.margin,
            parts: Part::ALL.into_iter().map(part).filter(|part| !part.notes.is_empty()).collect(),
        }
    }

    /// Its index; an index to what is not there yet adds it.
    fn settings(&mut self, settings: &Settings) -> u32 {
        let saved = SavedSettings::of(settings);
        let known = self.settings.iter().rposition(|known| *known == saved);
        known.unwrap_or_else(|| {
            self.settings.push(saved);
            self.settings.len() - 1
        }) as u32
    }
}

impl SavedSettings {
    fn of(settings: &Settings) -> Self {
        Self {
            temperature: settings.temperature,
            style: settings.style,
            density: settings.density,
            seed: settings.seed,
            parts: bits(&PerPart::from_fn(|part| settings.part_is_on(part))),
            count_in: settings.count_in,
            count_in_rests: settings.count_in_band == CountInBand::Rests,
        }
    }

    /// Brought into range.
    fn settings(&self) -> Settings {
        let on = parts_of(self.parts);
        let mut settings = Settings {
            temperature: self.temperature,
            style: self.style,
            density: self.density,
            seed: self.seed,
            count_in: self.count_in,
            count_in_band: if self.count_in_rests { CountInBand::Rests } else { CountInBand::Rules },
            ..Settings::default()
        };
        Part::ALL.into_iter().for_each(|part| settings.parts[part].on = on[part]);
        settings.clamped()
    }
}

impl SavedBar {
    fn entry(&self, settings: &[SavedSettings]) -> Option<LedgerBar> {
        let meter = Meter::new(i64::from(self.beats), i64::from(self.unit)).ok()?;
        let bar = Bar { index: BarIndex(place(self.index)?), start: place(self.start)?, meter };
        let of_index = |index: u32| settings.get(index as usize).map(SavedSettings::settings);
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
        let sound = notes.iter().all(within) && self.quarters_per_minute.is_finite() && self.margin >= 0;
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

fn bits(parts: &PerPart<bool>) -> u8 {
    parts.iter().filter(|(_, on)| **on).map(|(part, _)| 1 << part.index()).sum()
}

fn parts_of(bits: u8) -> PerPart<bool> {
    PerPart::from_fn(|part| bits & (1 << part.index()) != 0)
}
