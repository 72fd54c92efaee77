//! Songs for the tests of the timeline.

use crate::channels::SongView;
use crate::generators::{PartNote, SegmentAnswer};
use crate::ledger::{Ledger, Origin};
use crate::music::{
    Bar, ChordPlan, Key, Meter, Note, Part, PerPart, PlanSource, PlannedChord, Segment, Ticks, Velocity,
};
use crate::settings::{PartSettings, Settings};

pub fn four(index: i32) -> Bar {
    Bar::of_constant_meter(index, Meter::COMMON)
}

/// All parts on, so that all notes sound.
pub fn settings() -> PerPart<PartSettings> {
    PerPart::from_fn(|part| PartSettings { on: true, ..PartSettings::of(part) })
}

pub fn plan(text: &str) -> ChordPlan {
    ChordPlan::parse(text).unwrap_or_default()
}

fn note(start: Ticks, key: u8, duration: Ticks) -> Note {
    Note { start, key: Key::folded(i32::from(key)), duration, velocity: Velocity::clamped(40 + i32::from(key)) }
}

fn answer(segment: Segment) -> SegmentAnswer {
    let start = segment.start();
    let mut notes = vec![PartNote::on_grid(Part::Bass, note(start, 36, 24))];
    notes.extend([48, 52, 55].map(|key| PartNote::on_grid(Part::Chords, note(start, key, 12))));
    let drums = [(0, 36), (6, 42), (12, 38), (18, 42)];
    notes.extend(drums.map(|(place, key)| PartNote::on_grid(Part::Drums, note(start + place, key, 3))));
    let chord = PlannedChord { chord: "C".parse().ok(), source: PlanSource::Proposed };
    let mut settings = Settings::default();
    settings.parts = PerPart::from_fn(|part| PartSettings { on: true, ..settings.parts[part] });
    SegmentAnswer { segment, chord, notes, settings, quarters_per_minute: 120.0, margin: 2 }
}

/// Bars in 4/4, each with a melody and its answer.
pub fn song(bars: i32) -> SongView {
    let mut ledger = Ledger::default();
    for bar in (0..bars).map(four) {
        let melody = (0..4).map(|beat| note(bar.start + 12 * beat, 60 + 2 * beat as u8, 12)).collect();
        ledger.hear(bar, melody);
        ledger.write(bar, bar.segments().map(answer).collect(), Origin::Arranged);
    }
    SongView { chords: ledger.chords(), ledger, ..SongView::default() }
}
