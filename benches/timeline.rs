//! What a frame of the timeline costs in a song of 300 bars with a busy band of five, at 900 × 600, without painting it on
//! the screen: `cargo bench --no-default-features --features editor --bench timeline`. A 60th of a second is 16.7 ms.

use criterion::{Criterion, criterion_group, criterion_main};
use egui::{Context, Event, Pos2, RawInput, Rect, pos2, vec2};
use obbligato::channels::SongView;
use obbligato::editor::piano_roll::{PianoRoll, Scene};
use obbligato::editor::theme;
use obbligato::generators::{PartNote, SegmentAnswer};
use obbligato::ledger::{Ledger, Origin};
use obbligato::music::{Bar, ChordPlan, Key, Meter, Note, Part, PlanSource, PlannedChord, Segment, Ticks, Velocity};
use obbligato::settings::Settings;
use std::hint::black_box;
use std::sync::Arc;

const BARS: i32 = 300;

fn note(start: Ticks, key: i32, duration: Ticks) -> Note {
    Note { start, key: Key::folded(key), duration, velocity: Velocity::clamped(60 + start % 60) }
}

/// 33 notes, so 66 a bar.
fn answer(segment: Segment) -> SegmentAnswer {
    let start = segment.start();
    let chord = |part, base| (0..12).map(move |step| (part, note(start + 6 * (step / 3), base + 4 * (step % 3), 6)));
    let bass = (0..4).map(|step| (Part::Bass, note(start + 6 * step, 36 + step, 6)));
    let counter = (0..4).map(|step| (Part::Counter, note(start + 6 * step, 72 + step, 6)));
    let pad = (0..3).map(|voice| (Part::Pad, note(start, 60 + 4 * voice, 24)));
    let drums = (0..10).map(|step| (Part::Drums, note(start + 2 * step, [36, 42, 38, 46][(step % 4) as usize], 2)));
    let notes = bass.chain(chord(Part::Chords, 52)).chain(pad).chain(counter).chain(drums);
    let mut settings = Settings::default();
    Part::BAND.into_iter().for_each(|part| settings.parts[part].on = true);
    SegmentAnswer {
        segment,
        chord: PlannedChord { chord: "Am7".parse().ok(), source: PlanSource::Proposed },
        notes: notes.map(|(part, note)| PartNote::on_grid(part, note)).collect(),
        settings,
        quarters_per_minute: 120.0,
        margin: 2,
    }
}

fn song() -> SongView {
    let mut ledger = Ledger::default();
    for index in 0..BARS {
        let bar = Bar::of_constant_meter(index, Meter::COMMON);
        ledger.hear(bar, (0..8).map(|step| note(bar.start + 6 * step, 72 + step, 6)).collect());
        ledger.write(bar, bar.segments().map(answer).collect(), Origin::Arranged);
    }
    SongView { chords: ledger.chords(), ledger, ..SongView::default() }
}

struct Window {
    context: Context,
    roll: PianoRoll,
    view: Arc<SongView>,
    playhead: f64,
}

impl Window {
    fn new() -> Self {
        let context = Context::default();
        theme::apply(&context);
        Self { context, roll: PianoRoll::default(), view: Arc::new(song()), playhead: 4800.0 }
    }

    /// A frame while the song plays: about a 60th of a second later than the last.
    fn frame(&mut self, events: Vec<Event>) -> usize {
        self.playhead = 4800.0 + (self.playhead - 4800.0 + 0.4) % 4800.0;
        let screen_rect = Some(Rect::from_min_size(Pos2::ZERO, vec2(900.0, 600.0)));
        let input = RawInput { screen_rect, events, ..RawInput::default() };
        let (view, plan) = (&self.view, &ChordPlan::default());
        let parts = Settings::default().parts;
        let scene = Scene { view, sung: &[], plan, parts, playhead: self.playhead, playing: true };
        let roll = &mut self.roll;
        let mut output = self.context.run_ui(input, |ui| {
            black_box(roll.show(ui, &scene, |_| {}));
        });
        let shapes = std::mem::take(&mut output.shapes);
        let pixels_per_point = output.pixels_per_point;
        output.drop_without_applying_deltas();
        self.context.tessellate(shapes, pixels_per_point).len()
    }
}

fn frames(criterion: &mut Criterion) {
    let mut window = Window::new();
    criterion.bench_function("a frame, a dozen bars in view", |bench| bench.iter(|| window.frame(Vec::new())));

    let mut far = Window::new();
    for _ in 0..9 {
        far.frame(vec![Event::PointerMoved(pos2(450.0, 400.0)), Event::Zoom(0.5)]);
    }
    criterion.bench_function("a frame, sixty bars in view", |bench| bench.iter(|| far.frame(Vec::new())));

    let mut answered = Window::new();
    let views = [Arc::new(song()), Arc::new(song())];
    let mut turn = 0;
    criterion.bench_function("a frame in which the song has changed", |bench| {
        bench.iter(|| {
            turn += 1;
            answered.view = views[turn % 2].clone();
            answered.frame(Vec::new())
        });
    });
}

criterion_group!(benches, frames);
criterion_main!(benches);
