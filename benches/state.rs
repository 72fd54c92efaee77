//! What the length of a song costs: how long a project takes to save and to load it, and the inference thread to answer a
//! segment and to keep the answer. A busy band of five, for 300 bars and for eleven hours: `cargo bench --bench state`.

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use obbligato::arranger::Arranger;
use obbligato::channels::{Cut, Heard, RealtimeEnd, SHORTEST_MARGIN, SharedView, SongView, TakeId, connect};
use obbligato::generators::library::Loaded;
use obbligato::generators::rules::RuleGenerator;
use obbligato::generators::{PartNote, SegmentAnswer};
use obbligato::inference::InferenceWorker;
use obbligato::ledger::saved::from_text;
use obbligato::ledger::{Cause, History, Ledger, LedgerBar};
use obbligato::music::{Bar, Key, Meter, Note, Part, Segment, Song, Ticks, Velocity, in_quarters};
use obbligato::settings::Settings;
use obbligato::state::SongState;
use std::hint::black_box;
use std::sync::Arc;

/// Ten minutes, and eleven hours, at 120 quarters a minute.
const SONGS: [i32; 2] = [300, 20_000];
/// What is written; longer songs are this one, again and again.
const WRITTEN: i32 = 300;

fn settings() -> Settings {
    let mut settings = Settings { count_in: 0, density: 1.0, style: 7.0, ..Settings::default() };
    Part::BAND.into_iter().for_each(|part| settings.parts[part].on = true);
    settings
}

fn bar(index: i32) -> Bar {
    Bar::of_constant_meter(index, Meter::COMMON)
}

fn song_of(bars: i32) -> Ledger {
    const KEYS: [i32; 13] = [0, 4, 7, 5, 9, 7, 2, 11, 12, 7, 4, 0, 5];
    let note = |eighth: i32| Note {
        start: 6 * eighth,
        key: Key::folded(60 + KEYS[((eighth * eighth / 7 + eighth / 5) % 13) as usize]),
        duration: 6,
        velocity: Velocity::default(),
    };
    let song = Song { melody: (0..8 * WRITTEN).map(note).collect(), ..Song::default() };
    let mut arranger = Arranger::new(Box::new(RuleGenerator), None);
    arranger.perform(&song, &settings(), &mut |_| {});
    let written = arranger.ledger();
    let at = |index: i32| {
        let entry = written.bar_at(bar(index % WRITTEN).start).expect("it was written");
        moved(entry, bar(index))
    };
    Ledger::of((0..bars).map(at))
}

fn moved(entry: &LedgerBar, bar: Bar) -> LedgerBar {
    let by = bar.start - entry.bar.start;
    let note = |note: &Note| Note { start: note.start + by, ..*note };
    let part_note = |played: &PartNote| PartNote { note: note(&played.note), ..*played };
    let answer = |answer: &SegmentAnswer| SegmentAnswer {
        segment: Segment { bar, ..answer.segment },
        notes: answer.notes.iter().map(part_note).collect(),
        ..answer.clone()
    };
    LedgerBar {
        bar,
        melody: entry.melody.as_ref().map(|notes| notes.iter().map(note).collect()),
        answers: entry.answers.iter().map(answer).collect(),
        ..entry.clone()
    }
}

fn save_and_load(criterion: &mut Criterion) {
    for bars in SONGS {
        let ledger = song_of(bars);
        let notes: usize = ledger.bars().flat_map(|entry| &entry.answers).map(|answer| answer.notes.len()).sum();
        let view = SharedView::default();
        view.publish(SongView { ledger, ..SongView::default() });
        let (commands, _receiver) = crossbeam_channel::unbounded();
        let state = SongState::new(view, commands);
        let saved = state.save();
        println!("{bars} bars, {notes} notes: {} bytes", saved.len());
        let mut group = criterion.benchmark_group("project");
        group.sample_size(10);
        group.bench_function(format!("save {bars} bars"), |bench| bench.iter(|| black_box(&state).save()));
        // What freeing the song takes is not the host's time.
        group.bench_function(format!("load {bars} bars"), |bench| {
            bench.iter_batched(|| saved.clone(), |text| from_text(black_box(&text)), BatchSize::SmallInput);
        });
        group.finish();
    }
}

/// An answer is kept in the middle of a song that the window sees, too.
fn change(criterion: &mut Criterion) {
    for bars in SONGS {
        let mut history = History::of(song_of(bars));
        let answer = history.ledger().bar_at(bar(bars / 2).start).expect("it is there").answers[0].clone();
        let mut take = 0;
        criterion.bench_function(&format!("a change among {bars} bars"), |bench| {
            bench.iter(|| {
                let shown = history.ledger().clone();
                take += 1;
                let answer = SegmentAnswer { quarters_per_minute: take as f32, ..answer.clone() };
                let cause = Cause::Playing { take, settings: answer.settings };
                history.change(cause, |ledger| ledger.anticipate(answer, false));
                shown
            });
        });
    }
}

/// The inference thread at the end of a song, where it writes something new.
struct AtTheEnd {
    worker: InferenceWorker,
    realtime: RealtimeEnd,
    at: Segment,
}

impl AtTheEnd {
    const TAKE: TakeId = TakeId(1);

    fn of(bars: i32) -> Self {
        let (realtime, end) = connect();
        let (commands, received) = crossbeam_channel::unbounded();
        let mut worker = InferenceWorker::new(end, SharedView::default(), received, Loaded::rules(), Arc::default());
        let ledger = song_of(bars);
        commands.send(obbligato::channels::EditorCommand::Restore { ledger, number: 1 }).expect("the worker is there");
        worker.run_pending();
        let mut at_the_end = Self { worker, realtime, at: bar(bars).segment_at(0) };
        at_the_end.hear(Heard::TakeBegan { take: Self::TAKE, at: in_quarters(bar(bars).start) });
        at_the_end
    }

    fn hear(&mut self, heard: Heard) {
        self.realtime.heard.push(heard).expect("there is room");
    }

    fn answer_next(&mut self) {
        let at: Ticks = self.at.start();
        self.hear(Heard::NoteOn {
            key: Key::folded(60 + at % 12),
            velocity: Velocity::default(),
            channel: 0,
            at: in_quarters(at),
        });
        let (take, margin, settings) = (Self::TAKE, SHORTEST_MARGIN, settings());
        let cut = Cut { take, segment: self.at, margin, settings, quarters_per_minute: 120.0, offline: false };
        self.hear(Heard::Cut(cut));
        while self.worker.run_pending() {}
        while self.realtime.replies.pop().is_ok() {}
        self.at = self.at.next();
    }
}

fn cut(criterion: &mut Criterion) {
    for bars in SONGS {
        let mut at_the_end = AtTheEnd::of(bars);
        criterion.bench_function(&format!("a segment after {bars} bars"), |bench| {
            bench.iter(|| at_the_end.answer_next());
        });
    }
}

criterion_group!(benches, save_and_load, change, cut);
criterion_main!(benches);
