//! Hosts that do anything, by chance: no note may hang, nothing be released that was not struck, nothing panic, nothing be
//! allocated. A history is all of what one host does, and follows from its seed.

use crate::bands::{all_parts, band_with_melodists, loose_band};
use crate::host::{SAMPLE_RATE, TestHost};
use obbligato::channels::{Cut, EditorCommand, Heard, InferenceEnd, Meters, Reply, ReplyKind, ReplyMessage};
use obbligato::generators::PartNote;
use obbligato::ledger::LedgerCommand;
use obbligato::music::{
    Bar, Key, Meter, Note, Part, PerPart, PlanSource, PlannedChord, Segment, TICKS_PER_QUARTER, Timing, Velocity,
};
use obbligato::realtime::{Block, HostTransport, NoteEvent, TimedEvent};
use obbligato::settings::{
    ChordInput, CountInBand, EnhanceSettings, ExtendSettings, ExtendWhen, Follow, Sampling, Settings,
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

/// One thing a host, its user or its player does.
#[derive(Debug, Clone, Copy)]
pub enum Act {
    Play {
        frames: u32,
    },
    /// A block with a stopped transport.
    Stand {
        frames: u32,
    },
    Jump {
        quarters: f64,
    },
    /// Blocks without a position.
    Lost(bool),
    Tempo(Option<f64>),
    Metre(Option<(i32, i32)>),
    Bar {
        start: Option<f64>,
        number: Option<i32>,
    },
    SampleRate(f64),
    Note {
        timing: u32,
        key: u8,
        channel: u8,
        on: bool,
    },
    Part {
        part: usize,
        on: bool,
        channel: u8,
        octave: i8,
    },
    Follow(Follow),
    CountIn(u8, CountInBand),
    Knob(Knob),
    Chords {
        input: ChordInput,
        split_key: u8,
        channel: u8,
    },
    Edit {
        edit: Edit,
        bars: (i32, i32),
    },
    Thru(bool),
    Bypass(bool),
    Panic(bool),
    PanicButton,
    Reset,
    WorkerSleeps(bool),
}

/// What its user or automation turns; also further than it goes.
#[derive(Debug, Clone, Copy)]
pub enum Knob {
    Temperature(f32),
    Style(f32),
    Density(f32),
    Seed(u32),
    Velocity {
        part: usize,
        factor: f32,
    },
    PartDensity {
        part: usize,
        density: f32,
    },
    Solo {
        part: usize,
        on: bool,
    },
    /// The part stays when a bar is written anew.
    LockPart {
        part: usize,
        on: bool,
    },
    Enhance {
        risk: f32,
        add: u8,
        remove: f32,
        passes: u8,
        feeds: bool,
    },
    Extend {
        when: ExtendWhen,
        risk: f32,
        sampling: Sampling,
        listen: u8,
        bars: u8,
        from: u16,
    },
}

/// What its user does to the song; parts are re-rolled all together.
#[derive(Debug, Clone, Copy)]
pub enum Edit {
    Lock,
    Unlock,
    Reroll,
    Clear,
    LockChords,
    SetChords,
    UnlockChords,
    LoadMelody { waltz: bool },
    Undo,
    Redo,
}

/// What the host with this seed does.
pub fn history(seed: u64) -> Vec<Act> {
    let mut dice = ChaCha8Rng::seed_from_u64(seed);
    let acts = dice.random_range(1..200);
    (0..acts).map(|_| act(&mut dice)).collect()
}

fn act(dice: &mut ChaCha8Rng) -> Act {
    match dice.random_range(0..58) {
        0..16 => Act::Play { frames: frames(dice) },
        16 => Act::Stand { frames: frames(dice) },
        17..20 => Act::Jump { quarters: position(dice) },
        20 => Act::Lost(dice.random_bool(0.5)),
        21 => Act::Tempo(one_of(dice, &[None, Some(120.0), Some(33.3), Some(400.0), Some(0.0), Some(f64::INFINITY)])),
        22 => Act::Metre(
            dice.random_bool(0.9).then(|| (dice.random_range(-1..13), one_of(dice, &[4, 8, 4, 8, 0, 2, 16]))),
        ),
        23 => Act::Bar {
            start: dice.random_bool(0.8).then(|| position(dice)),
            number: dice.random_bool(0.8).then(|| one_of(dice, &[0, 1, 2, 7, -3, i32::MAX, i32::MIN])),
        },
        24 => Act::SampleRate(one_of(dice, &[44_100.0, 48_000.0, 96_000.0, 8000.0, 0.0, f64::NAN])),
        25..36 => Act::Note {
            // Also at and past the end of the block: some hosts do that.
            timing: if dice.random_bool(0.5) { dice.random_range(0..200) } else { dice.random_range(0..9000) },
            key: if dice.random_bool(0.7) { dice.random_range(30..50) } else { dice.random_range(0..128) },
            channel: if dice.random_bool(0.7) { dice.random_range(0..3) } else { dice.random_range(0..16) },
            on: dice.random_bool(0.55),
        },
        36..39 => Act::Part {
            part: dice.random_range(0..Part::COUNT),
            on: dice.random_bool(0.7),
            // A few channels, so that parts and melody meet.
            channel: if dice.random_bool(0.7) { dice.random_range(0..3) } else { dice.random_range(0..20) },
            octave: dice.random_range(-4..5),
        },
        39 => Act::Follow(one_of(dice, &[Follow::Jam, Follow::Arrange])),
        40 => Act::Thru(dice.random_bool(0.7)),
        41 => Act::Bypass(dice.random_bool(0.3)),
        42 => Act::Panic(dice.random_bool(0.5)),
        43 => Act::PanicButton,
        44 => Act::Reset,
        45 => Act::CountIn(dice.random_range(0..4), one_of(dice, &[CountInBand::Rules, CountInBand::Rests])),
        46..49 => {
            let first = dice.random_range(-2..16);
            let edits = [
                Edit::Lock,
                Edit::Unlock,
                Edit::Reroll,
                Edit::Clear,
                Edit::LockChords,
                Edit::SetChords,
                Edit::UnlockChords,
                Edit::LoadMelody { waltz: dice.random_bool(0.3) },
                Edit::Undo,
                Edit::Redo,
            ];
            Act::Edit { edit: one_of(dice, &edits), bars: (first, first + dice.random_range(0..8)) }
        }
        49..51 => Act::Chords {
            input: one_of(dice, &[ChordInput::Off, ChordInput::Split, ChordInput::Split, ChordInput::Channel]),
            // In the midst of the keys that are played most.
            split_key: dice.random_range(36..48),
            channel: dice.random_range(0..3),
        },
        51..57 => Act::Knob(knob(dice)),
        _ => Act::WorkerSleeps(dice.random_bool(0.4)),
    }
}

fn knob(dice: &mut ChaCha8Rng) -> Knob {
    let part = dice.random_range(0..Part::COUNT);
    match dice.random_range(0..10) {
        0 => Knob::Temperature(turned(dice)),
        1 => Knob::Style(8.0 * turned(dice)),
        2 => Knob::Density(turned(dice)),
        3 => Knob::Seed(dice.random_range(0..3)),
        4 => Knob::Velocity { part, factor: turned(dice) },
        5 => Knob::PartDensity { part, density: turned(dice) },
        6 => Knob::Solo { part, on: dice.random_bool(0.6) },
        7 => Knob::LockPart { part, on: dice.random_bool(0.6) },
        8 => Knob::Enhance {
            risk: turned(dice),
            add: one_of(dice, &[0, 4, 32, 255]),
            remove: turned(dice),
            passes: one_of(dice, &[0, 1, 16, 255]),
            feeds: dice.random_bool(0.5),
        },
        _ => Knob::Extend {
            when: one_of(dice, &[ExtendWhen::Stops, ExtendWhen::FromBar, ExtendWhen::CallAndResponse]),
            risk: turned(dice),
            sampling: one_of(dice, &[Sampling::Nucleus, Sampling::TopK, Sampling::Random]),
            listen: one_of(dice, &[0, 1, 16, 255]),
            bars: one_of(dice, &[0, 1, 2, 4, 255]),
            from: one_of(dice, &[0, 1, 2, 5, u16::MAX]),
        },
    }
}

fn turned(dice: &mut ChaCha8Rng) -> f32 {
    if dice.random_bool(0.8) { dice.random_range(0.0..1.5) } else { one_of(dice, &[-1.0, 1e9, f32::NAN]) }
}

fn frames(dice: &mut ChaCha8Rng) -> u32 {
    match dice.random_range(0..8) {
        0 => 0,
        1..3 => dice.random_range(1..65),
        _ => dice.random_range(64..9000),
    }
}

fn position(dice: &mut ChaCha8Rng) -> f64 {
    match dice.random_range(0..10) {
        0..5 => dice.random_range(-8.0..64.0),
        5..8 => 0.5 * f64::from(dice.random_range(-8..64)),
        8 => 999_990.0,
        _ => one_of(dice, &[f64::NAN, 1e12, f64::NEG_INFINITY]),
    }
}

fn one_of<T: Copy>(dice: &mut ChaCha8Rng, choices: &[T]) -> T {
    choices[dice.random_range(0..choices.len())]
}

/// A host in the middle of its history.
pub struct RandomHost {
    pub host: TestHost,
    settings: Settings,
    transport: HostTransport,
    sample_rate: f64,
    quarters: f64,
    lost: bool,
    bypass: bool,
    panic: bool,
    pub worker_sleeps: bool,
    /// The host renders. Only where there is a worker to wait for.
    pub offline: bool,
    input: Vec<TimedEvent>,
}

impl RandomHost {
    pub fn new(host: TestHost) -> Self {
        Self {
            host,
            settings: all_parts(),
            transport: HostTransport::default(),
            sample_rate: SAMPLE_RATE,
            quarters: 0.0,
            lost: false,
            bypass: false,
            panic: false,
            worker_sleeps: false,
            offline: false,
            // More notes than a history has acts.
            input: Vec::with_capacity(256),
        }
    }

    /// Returns whether it was a block.
    pub fn act(&mut self, act: Act) -> bool {
        match act {
            Act::Play { frames } => {
                self.block(frames, true);
                return true;
            }
            Act::Stand { frames } => {
                self.block(frames, false);
                return true;
            }
            Act::Jump { quarters } => self.quarters = quarters,
            Act::Lost(lost) => self.lost = lost,
            Act::Tempo(tempo) => self.transport.quarters_per_minute = tempo,
            Act::Metre(meter) => self.transport.meter = meter,
            Act::Bar { start, number } => (self.transport.bar_start, self.transport.bar_number) = (start, number),
            Act::SampleRate(sample_rate) => self.sample_rate = sample_rate,
            Act::Note { timing, key, channel, on } => {
                let (key, velocity) = (Key::folded(i32::from(key)), Velocity::default());
                let event = if on { NoteEvent::On { channel, key, velocity } } else { NoteEvent::Off { channel, key } };
                let place = self.input.partition_point(|earlier| earlier.timing <= timing);
                self.input.insert(place, TimedEvent { timing, event });
            }
            Act::Part { part, on, channel, octave } => {
                let part = &mut self.settings.parts[Part::ALL[part]];
                (part.on, part.channel, part.octave) = (on, channel, octave);
            }
            Act::Follow(follow) => self.settings.follow = follow,
            Act::CountIn(bars, band) => (self.settings.count_in, self.settings.count_in_band) = (bars, band),
            Act::Knob(knob) => self.turn(knob),
            Act::Chords { input, split_key, channel } => {
                let settings = &mut self.settings;
                (settings.chord_input, settings.split_key, settings.chord_channel) = (input, split_key, channel);
            }
            Act::Edit { edit, bars } => {
                // Where there is no worker nobody listens.
                let _ = self.host.commands.send(EditorCommand::Ledger(command(edit, bars)));
            }
            Act::Thru(on) => self.settings.thru = on,
            Act::Bypass(on) => self.bypass = on,
            Act::Panic(on) => self.panic = on,
            Act::PanicButton => Meters::count(&self.host.meters.panics),
            Act::Reset => self.host.reset(),
            Act::WorkerSleeps(sleeps) => self.worker_sleeps = sleeps,
        }
        false
    }

    fn turn(&mut self, knob: Knob) {
        let settings = &mut self.settings;
        match knob {
            Knob::Temperature(temperature) => settings.temperature = temperature,
            Knob::Style(style) => settings.style = style,
            Knob::Density(density) => settings.density = density,
            Knob::Seed(seed) => settings.seed = seed,
            Knob::Velocity { part, factor } => settings.parts[Part::ALL[part]].velocity = factor,
            Knob::PartDensity { part, density } => settings.parts[Part::ALL[part]].density = density,
            Knob::Solo { part, on } => settings.parts[Part::ALL[part]].solo = on,
            Knob::LockPart { part, on } => settings.parts[Part::ALL[part]].locked = on,
            Knob::Enhance { risk, add, remove, passes, feeds } => {
                settings.enhance = EnhanceSettings { risk, add, remove, passes, feeds };
            }
            Knob::Extend { when, risk, sampling, listen, bars, from } => {
                settings.extend = ExtendSettings { when, risk, sampling, listen, bars, from };
            }
        }
    }

    fn block(&mut self, frames: u32, playing: bool) {
        let quarters = (!self.lost).then_some(self.quarters);
        let block = Block {
            frames,
            sample_rate: self.sample_rate,
            transport: HostTransport { playing, quarters, ..self.transport },
            settings: self.settings,
            bypass: self.bypass,
            panic: self.panic,
            offline: self.offline,
            input: &self.input,
        };
        if self.worker_sleeps {
            self.host.block_without_worker(&block)
        } else {
            self.host.block(&block)
        }
        self.input.clear();
        if playing {
            let tempo = self.transport.quarters_per_minute.filter(|tempo| tempo.is_finite()).unwrap_or(120.0);
            self.quarters += f64::from(frames) / self.sample_rate.max(8000.0) * tempo / 60.0;
        }
    }

    /// Ends the history: also keys that the player never let go of are released. What then still sounds, and what was
    /// released without having been struck.
    pub fn end(&mut self) -> (usize, usize) {
        self.host.reset();
        self.host.stop(&self.settings);
        (self.host.hanging(), self.host.orphans)
    }
}

fn command(edit: Edit, (first, last): (i32, i32)) -> LedgerCommand {
    const BAR: i32 = 4 * TICKS_PER_QUARTER;
    let bars = first * BAR..last * BAR;
    match edit {
        Edit::Lock => LedgerCommand::Lock(bars),
        Edit::Unlock => LedgerCommand::Unlock(bars),
        Edit::Reroll => LedgerCommand::Reroll { bars, parts: PerPart::from_fn(|_| true) },
        Edit::Clear => LedgerCommand::Clear(bars),
        Edit::LockChords => LedgerCommand::LockChords(bars),
        Edit::SetChords => {
            let bars = (first..last).map(|index| Bar::of_constant_meter(index, Meter::COMMON));
            LedgerCommand::SetChords(bars.map(chord).collect())
        }
        Edit::UnlockChords => LedgerCommand::UnlockChords(bars),
        Edit::LoadMelody { waltz } => {
            let meter = Meter::new(if waltz { 3 } else { 4 }, 4).expect("usual");
            let bars = (first..last).map(|index| Bar::of_constant_meter(index, meter));
            LedgerCommand::LoadMelody(bars.map(|bar| (bar, notes(&bar))).collect())
        }
        Edit::Undo => LedgerCommand::Undo,
        Edit::Redo => LedgerCommand::Redo,
    }
}

/// A chord in one half of a bar, or that nothing is to be played there.
fn chord(bar: Bar) -> (Segment, PlannedChord) {
    const NAMES: [&str; 4] = ["C", "F#m7b5", "N.C.", "Bb/D"];
    let name = NAMES[bar.index.0.rem_euclid(4) as usize];
    let chord = name.parse().ok();
    (bar.segment_at(bar.start + 24 * bar.index.0.rem_euclid(2)), PlannedChord { chord, source: PlanSource::User })
}

/// A tune of its own in each bar, or none.
fn notes(bar: &Bar) -> Vec<Note> {
    let number = bar.index.0.rem_euclid(5);
    let note = |place: i32| Note {
        start: bar.start + 36 * place / number,
        key: Key::folded(60 + 7 * place + number),
        duration: 9 * number,
        velocity: Velocity::default(),
    };
    (0..number).map(note).collect()
}

/// A worker that answers what it likes, when it likes.
struct WildBand {
    dice: ChaCha8Rng,
    waiting: Vec<Cut>,
}

impl WildBand {
    fn turn(&mut self, end: &mut InferenceEnd) {
        while let Ok(heard) = end.heard.pop() {
            if let Heard::Cut(cut) = heard {
                self.waiting.push(cut);
            }
        }
        let dice = &mut self.dice;
        self.waiting.retain(|cut| {
            let (answers, forgets) = (dice.random_bool(0.7), dice.random_bool(0.1));
            if answers {
                [ReplyKind::Reserve, ReplyKind::Answer].into_iter().for_each(|kind| reply(dice, end, cut, kind));
            }
            !answers && !forgets
        });
    }
}

/// Something like an answer.
fn reply(dice: &mut ChaCha8Rng, end: &mut InferenceEnd, cut: &Cut, kind: ReplyKind) {
    let mut take = cut.take;
    if dice.random_bool(0.05) {
        take.0 = take.0.wrapping_sub(1);
    }
    let segment = if dice.random_bool(0.2) { cut.segment.next() } else { cut.segment };
    let segment_start = segment.start();
    let mut send = |message| end.replies.push(Reply { take, segment_start, kind, message }).is_ok();
    if dice.random_bool(0.95) {
        send(ReplyMessage::Begin);
    }
    for _ in 0..dice.random_range(0..12) {
        let note = Note {
            start: segment_start + dice.random_range(-4..30),
            key: Key::folded(dice.random_range(30..50)),
            duration: one_of(dice, &[1, 3, 6, 12, 48, 200, 1 << 24]),
            velocity: Velocity::default(),
        };
        let timing = Timing::clamped(dice.random_range(-20..20));
        send(ReplyMessage::Note(PartNote { part: one_of(dice, &Part::ALL), note, timing }));
    }
    if dice.random_bool(0.9) {
        send(ReplyMessage::End);
    }
}

/// Every so many histories have the plugin's own worker, which takes longer; the others a wild one.
const REAL_WORKER_EVERY: u64 = 4;

/// By turns with a band that plays around the grid and with one that works on the melody, too. Without `threads` the worker
/// works between the blocks.
fn with_real_worker(seed: u64, threads: bool) -> RandomHost {
    let melody_parts = !(seed / REAL_WORKER_EVERY).is_multiple_of(2);
    let load = move || if melody_parts { band_with_melodists() } else { loose_band() };
    let mut host = RandomHost::new(if threads { TestHost::threaded(load) } else { TestHost::inline(load()) });
    let parts = &mut host.settings.parts;
    [Part::Enhanced, Part::Extension].into_iter().for_each(|part| parts[part].on = melody_parts);
    host
}

/// What sounds at the end, and what was released without having been struck.
fn play(seed: u64, acts: &[Act]) -> (usize, usize) {
    if seed.is_multiple_of(REAL_WORKER_EVERY) {
        let mut host = with_real_worker(seed, false);
        acts.iter().for_each(|act| {
            host.act(*act);
        });
        return host.end();
    }
    let mut host = RandomHost::new(TestHost::bare());
    let mut band = WildBand { dice: ChaCha8Rng::seed_from_u64(!seed), waiting: Vec::new() };
    for act in acts {
        if host.act(*act) && !host.worker_sleeps {
            band.turn(host.host.end());
        }
    }
    host.end()
}

/// What goes wrong in a history, in words.
fn failure(seed: u64, acts: &[Act]) -> Option<String> {
    match catch_unwind(AssertUnwindSafe(|| play(seed, acts))) {
        Ok((0, 0)) => None,
        Ok((hanging, orphans)) => Some(format!("{hanging} notes hang, {orphans} were released but not struck")),
        Err(panic) => Some(words_of(panic.as_ref())),
    }
}

fn words_of(panic: &(dyn Any + Send)) -> String {
    let words = panic.downcast_ref::<String>().cloned();
    words.or_else(|| panic.downcast_ref::<&str>().map(|words| (*words).to_owned())).unwrap_or_else(|| "a panic".into())
}

/// Leaves out what is not needed for it to go wrong.
fn shortened(seed: u64, mut acts: Vec<Act>) -> Vec<Act> {
    let mut index = acts.len();
    while index > 0 {
        index -= 1;
        let act = acts.remove(index);
        if failure(seed, &acts).is_none() {
            acts.insert(index, act);
        }
    }
    acts
}

fn explain(seed: u64, words: &str) -> String {
    let acts = shortened(seed, history(seed));
    format!(
        "history {seed}: {words}\nThe same goes wrong in {acts:#?}\nAll of it again: cargo xtask test --history {seed}"
    )
}

fn survive(histories: u64) {
    let began = Instant::now();
    let (next, failed) = (AtomicU64::new(0), Mutex::new(None));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= histories {
                return;
            }
            if let Some(words) = failure(seed, &history(seed)) {
                next.store(histories, Ordering::Relaxed);
                failed.lock().expect("nothing panics while it is held").get_or_insert((seed, words));
            }
        }
    };
    thread::scope(|scope| {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        (0..threads).for_each(|_| drop(scope.spawn(work)));
    });
    println!("{histories} histories in {:.1} s", began.elapsed().as_secs_f64());
    if let Some((seed, words)) = failed.into_inner().expect("nothing panicked while it was held") {
        panic!("{}", explain(seed, &words));
    }
}

#[test]
fn no_host_can_make_a_note_hang() {
    survive(20_000);
}

/// Hosts that render and play by turns, with a worker on its own thread.
#[test]
fn no_render_can_make_a_note_hang_or_hang_itself() {
    for seed in (0..60).map(|number| REAL_WORKER_EVERY * number) {
        let mut host = with_real_worker(seed, true);
        for (index, act) in history(seed).into_iter().enumerate() {
            host.offline = !((index + seed as usize) / 12).is_multiple_of(3);
            host.act(act);
        }
        assert_eq!(host.end(), (0, 0), "seed {seed}: hanging, orphans");
    }
}

#[test]
#[ignore = "minutes: cargo xtask test --long"]
fn no_host_of_a_million_can_make_a_note_hang() {
    survive(1_000_000);
}

#[test]
#[ignore = "cargo xtask test --history SEED"]
fn one_history() {
    let seed = std::env::var("OBBLIGATO_HISTORY").map_or(0, |seed| seed.parse().expect("the seed is a number"));
    println!("{:#?}", history(seed));
    if let Some(words) = failure(seed, &history(seed)) {
        panic!("{}", explain(seed, &words));
    }
}

/// Otherwise a seed would say nothing.
#[test]
fn a_history_comes_out_the_same_each_time() {
    for seed in (0..8).map(|number| REAL_WORKER_EVERY * number) {
        let run = || {
            let mut host = with_real_worker(seed, false);
            history(seed).into_iter().for_each(|act| {
                host.act(act);
            });
            host.host.sent.clone()
        };
        assert_eq!(run(), run(), "history {seed}");
    }
}

/// Otherwise nothing would be tried.
#[test]
fn somewhere_in_the_histories_every_part_plays() {
    let mut played = PerPart::<usize>::default();
    for seed in (0..200).map(|number| REAL_WORKER_EVERY * number) {
        let mut host = with_real_worker(seed, false);
        history(seed).into_iter().for_each(|act| {
            host.act(act);
        });
        let view = host.host.view.get();
        let notes = view.ledger.bars().flat_map(|entry| &entry.answers).flat_map(|answer| &answer.notes);
        notes.for_each(|note| played[note.part] += 1);
    }
    assert!(Part::ALL.into_iter().all(|part| played[part] > 20), "{played:?}");
}

/// Strikes that nothing releases, and releases of nothing, are found.
#[test]
fn what_hangs_is_found() {
    let mut host = RandomHost::new(TestHost::bare());
    for (channel, on) in [(0, true), (1, true)] {
        host.act(Act::Note { timing: 0, key: 40, channel, on });
    }
    host.act(Act::Thru(true));
    host.act(Act::Stand { frames: 64 });
    assert_eq!((host.host.hanging(), host.host.orphans), (2, 0));
    assert_eq!(host.end(), (0, 0));
    assert!(words_of(&*catch_unwind(|| panic!("{}", 7)).expect_err("it panics")).contains('7'));
}
