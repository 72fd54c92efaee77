//! Songs for the window.

use obbligato::channels::SongView;
use obbligato::generators::{PartNote, SegmentAnswer};
use obbligato::ledger::{Ledger, Origin};
use obbligato::music::{
    Bar, Key, Meter, Note, Part, PerPart, PlanSource, PlannedChord, Segment, TICKS_PER_QUARTER, Ticks, Velocity,
};
use obbligato::settings::{PartSettings, Settings};

fn note(start: Ticks, key: i32, duration: Ticks) -> Note {
    Note { start, key: Key::folded(key), duration, velocity: Velocity::clamped(40 + key) }
}

fn answer(segment: Segment) -> SegmentAnswer {
    let start = segment.start();
    let mut notes = vec![PartNote::on_grid(Part::Bass, note(start, 36, 24))];
    notes.extend([48, 52, 55].map(|key| PartNote::on_grid(Part::Chords, note(start, key, 12))));
    let drums = [(0, 36), (6, 42), (12, 38), (18, 42)];
    notes.extend(drums.map(|(place, key)| PartNote::on_grid(Part::Drums, note(start + place, key, 3))));
    SegmentAnswer {
        segment,
        chord: PlannedChord { chord: "C".parse().ok(), source: PlanSource::Proposed },
        notes,
        settings: Settings {
            parts: PerPart::from_fn(|part| PartSettings { on: true, ..PartSettings::of(part) }),
            ..Settings::default()
        },
        quarters_per_minute: 120.0,
        margin: 2,
    }
}

/// Bars in 4/4 with a melody in quarters, bass, chords and drums.
pub fn song(bars: i32) -> SongView {
    let mut ledger = Ledger::default();
    for bar in (0..bars).map(|index| Bar::of_constant_meter(index, Meter::COMMON)) {
        let melody = (0..4).map(|beat| note(bar.start + beat * TICKS_PER_QUARTER, 60 + 2 * beat, 12));
        ledger.hear(bar, melody.collect());
        ledger.write(bar, bar.segments().map(answer).collect(), Origin::Arranged);
    }
    SongView { chords: ledger.chords(), ledger, ..SongView::default() }
}
