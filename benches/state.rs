//! How long a project takes to save and to load a song of 300 bars with a busy band of five: `cargo bench --bench state`.

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use obbligato::arranger::Arranger;
use obbligato::channels::{SharedView, SongView};
use obbligato::generators::rules::RuleGenerator;
use obbligato::ledger::Ledger;
use obbligato::ledger::saved::from_text;
use obbligato::music::{Key, Note, Part, Song, Velocity};
use obbligato::settings::Settings;
use obbligato::state::SongState;
use std::hint::black_box;

const BARS: i32 = 300;

fn long_song() -> Ledger {
    const KEYS: [i32; 13] = [0, 4, 7, 5, 9, 7, 2, 11, 12, 7, 4, 0, 5];
    let note = |eighth: i32| Note {
        start: 6 * eighth,
        key: Key::folded(60 + KEYS[((eighth * eighth / 7 + eighth / 5) % 13) as usize]),
        duration: 6,
        velocity: Velocity::default(),
    };
    let song = Song { melody: (0..8 * BARS).map(note).collect(), ..Song::default() };
    let mut settings = Settings { count_in: 0, density: 1.0, style: 7.0, ..Settings::default() };
    Part::BAND.into_iter().for_each(|part| settings.parts[part].on = true);
    let mut arranger = Arranger::new(Box::new(RuleGenerator), None);
    arranger.perform(&song, &settings, &mut |_| {});
    arranger.ledger().clone()
}

fn save_and_load(criterion: &mut Criterion) {
    let ledger = long_song();
    let notes: usize = ledger.bars().flat_map(|entry| &entry.answers).map(|answer| answer.notes.len()).sum();
    let view = SharedView::default();
    view.publish(SongView { ledger, ..SongView::default() });
    let (commands, _receiver) = crossbeam_channel::unbounded();
    let state = SongState::new(view, commands);
    let saved = state.save();
    println!("{BARS} bars, {notes} notes: {} bytes", saved.len());
    criterion.bench_function("save 300 bars", |bench| bench.iter(|| black_box(&state).save()));
    // What freeing the song takes is not the host's time.
    criterion.bench_function("load 300 bars", |bench| {
        bench.iter_batched(|| saved.clone(), |text| from_text(black_box(&text)), BatchSize::SmallInput);
    });
}

criterion_group!(benches, save_and_load);
criterion_main!(benches);
