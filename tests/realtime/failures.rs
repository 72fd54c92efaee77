//! Whatever becomes of the worker, the music goes on by rule, the audio thread does not wait, and the user is told.

use crate::bands::{all_parts, loose_band, no_chords};
use crate::host::{Run, SAMPLE_RATE, SAMPLES_PER_QUARTER, TestHost, block, playing, release, strike, worker};
use crate::laws::song;
use crossbeam_channel::{Receiver, Sender, select};
use obbligato::channels::{
    self, Cut, Heard, Meters, Reply, ReplyKind, ReplyMessage, SHORTEST_MARGIN, SharedView, TakeId,
};
use obbligato::generators::library::Loaded;
use obbligato::generators::rules::RuleGenerator;
use obbligato::generators::{Generator, GeneratorError, PartNote, Request};
use obbligato::ledger::BarState;
use obbligato::music::{Bar, Key, Meter, Note, Part, PerPart, PlannedChord, Velocity};
use obbligato::realtime::TimedEvent;
use obbligato::settings::{Follow, Settings};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Blocks a quarter.
const BLOCKS: u64 = 24;
const BAR: u64 = 4 * SAMPLES_PER_QUARTER as u64;

/// A melody that never comes round, which would be answered as it was before.
fn key_of(quarter: u64) -> i32 {
    let step = quarter * (quarter + 1) * 37 % 1009 % 11;
    [60, 62, 64, 65, 67, 69, 71, 72, 74, 76, 77][step as usize]
}

/// Plays quarters `from..to`, a melody in quarters, and takes a turn after each block.
fn play(host: &mut TestHost, from: u64, to: u64, mut turn: impl FnMut(&mut TestHost)) {
    let frames = SAMPLES_PER_QUARTER / BLOCKS as u32;
    for step in from * BLOCKS..to * BLOCKS {
        let mut block = block(frames, playing(step as f64 / BLOCKS as f64), &all_parts());
        let key = key_of(step / BLOCKS);
        let (struck, released) = ([strike(0, key)], [release(0, key)]);
        block.input = match step % BLOCKS {
            0 => &struck,
            20 => &released,
            _ => &[],
        };
        host.block(&block);
        turn(host);
    }
}

/// Strikes in each bar, of each part that was struck at all.
fn strikes_by_bar(host: &TestHost, bars: std::ops::Range<u64>) -> Vec<usize> {
    let strikes = host.strikes();
    bars.map(|bar| strikes.iter().filter(|sample| **sample / BAR == bar).count()).collect()
}

fn assert_nothing_hangs(host: &mut TestHost) {
    host.stop(&all_parts());
    assert_eq!((host.hanging(), host.orphans), (0, 0));
}

/// Rules that cannot be relied on.
struct Unreliable {
    /// Answers before the trouble begins.
    good: u32,
    trouble: Trouble,
}

enum Trouble {
    Fails,
    Panics,
    /// Each answer waits for a word from outside.
    Waits {
        asked: Sender<()>,
        go_on: Receiver<()>,
    },
}

impl Generator for Unreliable {
    fn name(&self) -> &str {
        "Unreliable"
    }

    fn parts(&self) -> PerPart<bool> {
        RuleGenerator.parts()
    }

    fn plays(&self, _: Meter) -> bool {
        true
    }

    fn answer(
        &mut self,
        request: &Request<'_>,
        write: &mut dyn FnMut(PartNote),
    ) -> Result<Vec<PlannedChord>, GeneratorError> {
        if self.good > 0 {
            self.good -= 1;
            return RuleGenerator.answer(request, write);
        }
        match &self.trouble {
            Trouble::Fails => Err(GeneratorError("no strings left".into())),
            Trouble::Panics => panic!("a string broke"),
            Trouble::Waits { asked, go_on } => {
                // At the end of a test nobody listens any more.
                let _ = asked.send(());
                match go_on.recv() {
                    Ok(()) => RuleGenerator.answer(request, write),
                    Err(_) => Ok(no_chords(request)),
                }
            }
        }
    }
}

fn unreliable(good: u32, trouble: Trouble) -> Loaded {
    Loaded { generator: Box::new(Unreliable { good, trouble }), ..Loaded::rules() }
}

#[test]
fn where_a_generator_fails_or_panics_the_rules_play_its_answer() {
    let mut by_rule = TestHost::inline(Loaded::rules());
    play(&mut by_rule, 0, 32, |_| {});
    for (trouble, words) in [(Trouble::Fails, "no strings left"), (Trouble::Panics, "a string broke")] {
        let mut host = TestHost::inline(unreliable(4, trouble));
        play(&mut host, 0, 32, |_| {});
        assert_eq!(host.sent, by_rule.sent, "{words}");
        // Sixteen segments and the one that is asked for ahead, but for the four that were good.
        assert_eq!(host.count(|meters| &meters.failed_answers), 13);
        assert_eq!(host.count(|meters| &meters.late_segments), 0);
        let problem = host.problem().expect("it is told");
        assert!(problem.starts_with("Unreliable failed, so the rules play") && problem.contains(words), "{problem}");
        assert_nothing_hangs(&mut host);
    }
}

/// A worker on a thread that takes a turn when it is told to, so that its speed is counted in blocks.
struct SlowWorker {
    turns: Option<Sender<()>>,
    done: Receiver<()>,
    asked: Receiver<()>,
    go_on: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
    /// Blocks that an answer takes; `None`: for ever.
    blocks: Option<u64>,
    /// It is in the middle of an answer, for so many blocks.
    busy_for: Option<u64>,
}

impl SlowWorker {
    /// After `good` answers in no time at all, each takes so many blocks.
    fn start(good: u32, blocks: Option<u64>) -> (TestHost, Self) {
        let (realtime, end) = channels::connect();
        let view = SharedView::default();
        let host = TestHost::alone(realtime, view.clone());
        let (turns, turns_taken) = crossbeam_channel::bounded::<()>(1);
        let (done_in, done) = crossbeam_channel::bounded(1);
        let (asked_in, asked) = crossbeam_channel::bounded(1);
        let (go_on, go_on_out) = crossbeam_channel::bounded(1);
        let body = move || {
            let waits = Trouble::Waits { asked: asked_in, go_on: go_on_out };
            let mut worker = worker(end, view, crossbeam_channel::unbounded().1, unreliable(good, waits));
            while turns_taken.recv().is_ok() {
                worker.run_pending();
                // At the end of a test nobody listens any more.
                let _ = done_in.send(());
            }
        };
        let thread = Some(thread::spawn(body));
        let worker = Self { turns: Some(turns), done, asked, go_on: Some(go_on), thread, blocks, busy_for: None };
        (host, worker)
    }

    /// The time of a block passes for the worker.
    fn turn(&mut self) {
        match self.busy_for.map(|left| left.checked_sub(1)) {
            Some(Some(left)) => self.busy_for = Some(left),
            Some(None) => {
                let go_on = self.go_on.as_ref().expect("there until it is dropped");
                go_on.send(()).expect("the worker waits");
                self.wait();
            }
            None => {
                let turns = self.turns.as_ref().expect("there until it is dropped");
                turns.send(()).expect("the worker waits");
                self.wait();
            }
        }
    }

    /// Until it has done what there was to do, or thinks about an answer.
    fn wait(&mut self) {
        select! {
            recv(self.done) -> done => {
                done.expect("the worker lives");
                self.busy_for = None;
            }
            recv(self.asked) -> asked => {
                asked.expect("the worker lives");
                self.busy_for = Some(self.blocks.unwrap_or(u64::MAX));
            }
        }
    }
}

impl Drop for SlowWorker {
    fn drop(&mut self) {
        (self.turns, self.go_on) = (None, None);
        // Its answer ends now that nobody can tell it to go on.
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(ended.is_none_or(|ended| ended.is_ok()) || thread::panicking(), "the worker survived");
    }
}

#[test]
fn while_the_worker_is_stalled_the_last_bar_is_played_again() {
    // Four bars are answered, then never again.
    let (mut host, mut worker) = SlowWorker::start(8, None);
    play(&mut host, 0, 64, |_| worker.turn());
    let bars = strikes_by_bar(&host, 0..16);
    assert!(bars[1..].iter().all(|strikes| *strikes >= 4), "{bars:?}");
    // The reserve of the segment that was asked for ahead, and then the same bar over and over.
    assert!(bars[6..].iter().all(|strikes| *strikes == bars[6]), "{bars:?}");
    let late = host.count(|meters| &meters.late_segments);
    assert_eq!((late, host.count(|meters| &meters.repeated_segments)), (24, 23));
    assert_eq!(host.count(|meters| &meters.late_in_a_row), 24);
    assert_nothing_hangs(&mut host);
}

#[test]
fn a_worker_that_is_a_hundred_times_too_slow_is_told_of_and_not_waited_for() {
    // A segment is 48 blocks long; each answer takes the time of a hundred.
    let (mut host, mut worker) = SlowWorker::start(8, Some(100 * 48));
    play(&mut host, 0, 600, |_| worker.turn());
    let bars = strikes_by_bar(&host, 0..150);
    assert!(bars[1..].iter().all(|strikes| *strikes >= 4), "{bars:?}");
    let late = host.count(|meters| &meters.late_segments);
    assert!((290..300).contains(&late), "{late} of 300 segments late");
    assert_eq!(host.count(|meters| &meters.late_notes), 0, "what comes too late does not sound in between");
    let problem = host.problem().expect("it is told");
    assert_eq!(
        problem,
        "Unreliable is too slow here, and the rules play what it misses: choose another model or device."
    );
    assert_nothing_hangs(&mut host);
}

/// Answers after so many milliseconds.
struct Slow(Arc<AtomicU64>);

impl Generator for Slow {
    fn name(&self) -> &str {
        "Slow"
    }

    fn parts(&self) -> PerPart<bool> {
        RuleGenerator.parts()
    }

    fn plays(&self, _: Meter) -> bool {
        true
    }

    fn answer(
        &mut self,
        request: &Request<'_>,
        write: &mut dyn FnMut(PartNote),
    ) -> Result<Vec<PlannedChord>, GeneratorError> {
        thread::sleep(Duration::from_millis(self.0.load(Ordering::Relaxed)));
        RuleGenerator.answer(request, write)
    }
}

#[test]
fn the_worker_is_asked_as_early_as_its_slowest_recent_answer_needs() {
    let (mut realtime, end) = channels::connect();
    let milliseconds = Arc::new(AtomicU64::new(0));
    let half_bar = Some(Duration::from_millis(50));
    let slow = Loaded { generator: Box::new(Slow(milliseconds.clone())), half_bar, ..Loaded::rules() };
    let mut worker = worker(end, SharedView::default(), crossbeam_channel::unbounded().1, slow);
    let mut segment = Bar::of_constant_meter(0, Meter::COMMON).segment_at(0);
    realtime.heard.push(Heard::TakeBegan { take: TakeId(1), at: 0.0 }).expect("there is room");
    let mut wanted_after = |thinks: u64, answers: u32| {
        milliseconds.store(thinks, Ordering::Relaxed);
        let begun = Instant::now();
        for _ in 0..answers {
            // A melody that does not come round, which would be played as it was before.
            let (key, at) = (Key::folded(key_of(segment.start() as u64 / 24)), f64::from(segment.start()) / 12.0 - 1.0);
            let settings = all_parts();
            let (take, margin, quarters_per_minute, offline) = (TakeId(1), SHORTEST_MARGIN, 120.0, false);
            let strike = Heard::NoteOn { key, velocity: Velocity::default(), channel: 0, at };
            let cut = Heard::Cut(Cut { take, segment, margin, settings, quarters_per_minute, offline });
            [strike, cut].into_iter().for_each(|heard| realtime.heard.push(heard).expect("there is room"));
            worker.run_pending();
            while realtime.replies.pop().is_ok() {}
            segment = segment.next();
        }
        let elapsed = begun.elapsed().as_secs_f64() * 1000.0;
        (f64::from(realtime.meters.wanted_seconds.load(Ordering::Relaxed)), elapsed)
    };
    let (before, _) = wanted_after(0, 0);
    assert!((before - 0.075).abs() < 1e-6, "as long as it took when it was tried, and a half more");
    let (wanted, elapsed) = wanted_after(100, 1);
    assert!((0.149..=0.0015 * elapsed).contains(&wanted), "{wanted} s for an answer of {elapsed} ms");
    let (later, _) = wanted_after(0, 3);
    assert!(later >= 0.13, "it may come again: {later} s");
    let (wanted, elapsed) = wanted_after(200, 1);
    assert!(wanted >= 0.299, "{wanted} s for an answer of {elapsed} ms");
    let (at_last, _) = wanted_after(0, 200);
    assert!(at_last <= 0.1, "and is forgotten slowly: {at_last} s");
}

#[test]
fn a_bar_is_written_ahead_only_where_the_next_segment_does_not_wait_for_it() {
    let (mut realtime, end) = channels::connect();
    let half_bar = Some(Duration::from_millis(400));
    let slow = Loaded { generator: Box::new(Slow(Arc::default())), half_bar, ..Loaded::rules() };
    let view = SharedView::default();
    let mut worker = worker(end, view.clone(), crossbeam_channel::unbounded().1, slow);
    realtime.heard.push(Heard::TakeBegan { take: TakeId(1), at: 0.0 }).expect("there is room");
    // Two bars are heard and wait to be arranged, the second of them live.
    for segment in (0..2).flat_map(|index| Bar::of_constant_meter(index, Meter::COMMON).segments()) {
        let settings = Settings { follow: Follow::Arrange, ..all_parts() };
        let (take, margin, quarters_per_minute, offline) = (TakeId(1), SHORTEST_MARGIN, 120.0, false);
        let at = f64::from(segment.start()) / 12.0 - 1.0;
        let strike = Heard::NoteOn { key: Key::folded(60), velocity: Velocity::default(), channel: 0, at };
        let cut = Heard::Cut(Cut { take, segment, margin, settings, quarters_per_minute, offline });
        [strike, cut].into_iter().for_each(|heard| realtime.heard.push(heard).expect("there is room"));
        worker.run_pending();
    }
    let arranged = || view.get().ledger.bars().filter(|entry| entry.state() == BarState::Arranged).count();
    let mut look = |playhead: f64| {
        realtime.meters.playing.store(true, Ordering::Relaxed);
        realtime.meters.playhead_quarters.store(playhead, Ordering::Relaxed);
        worker.run_pending();
        arranged()
    };
    // The next segment begins at 8 and is asked for a 32nd before; a bar takes .8 s, which are 1.6 quarters.
    assert_eq!(look(6.5), 0, "there is no time");
    assert_eq!(look(5.9), 1, "there is");
}

#[test]
fn when_the_worker_is_gone_the_last_bar_is_played_again() {
    let mut host = TestHost::inline(Loaded::rules());
    play(&mut host, 0, 18, |_| {});
    host.kill_worker();
    play(&mut host, 18, 64, |_| {});
    let bars = strikes_by_bar(&host, 0..16);
    assert!(bars[1..].iter().all(|strikes| *strikes >= 4), "{bars:?}");
    assert!(bars[6..].iter().all(|strikes| *strikes == bars[6]), "{bars:?}");
    assert!(host.count(|meters| &meters.repeated_segments) >= 20);
    assert_nothing_hangs(&mut host);
}

#[test]
fn without_a_worker_it_is_the_last_bar_after_a_jump_as_well() {
    let mut host = TestHost::inline(Loaded::rules());
    play(&mut host, 0, 16, |_| {});
    host.kill_worker();
    play(&mut host, 4, 16, |_| {});
    let bars = strikes_by_bar(&host, 4..7);
    // For a 16th the worker is waited for; what was to be struck in it is not made up for.
    assert!(bars[0] >= 4 && bars[1..].iter().all(|strikes| *strikes >= 4 && *strikes == bars[1]), "{bars:?}");
    assert_nothing_hangs(&mut host);
}

#[test]
fn after_a_jump_the_reserve_is_played_from_its_first_note() {
    let (mut host, mut worker) = SlowWorker::start(8, None);
    play(&mut host, 0, 15, |_| worker.turn());
    let begun = host.elapsed;
    // Where nothing was played before.
    play(&mut host, 100, 102, |_| worker.turn());
    // As long as an answer may take, .115 of a quarter.
    let first = host.strikes().into_iter().find(|sample| *sample >= begun).map(|sample| sample - begun);
    assert!(first.is_some_and(|sample| (2760..=2761).contains(&sample)), "{first:?}");
    assert_eq!(host.count(|meters| &meters.repeated_segments), 0);
    assert_eq!(host.count(|meters| &meters.late_notes), 0);
    assert_nothing_hangs(&mut host);
}

/// The silence after a panic is not the last bar.
#[test]
fn after_a_panic_the_last_bar_is_still_music() {
    let (mut host, mut worker) = SlowWorker::start(8, None);
    play(&mut host, 0, 15, |_| worker.turn());
    let begun = host.elapsed;
    // The reserve is there, and it is not settled yet that it is played.
    play(&mut host, 100, 108, |host| {
        if host.elapsed == begun + 2000 {
            Meters::count(&host.meters.panics);
        }
        worker.turn();
    });
    let half_bar = |number: u64| {
        let half = begun + number * BAR / 2..begun + (number + 1) * BAR / 2;
        host.strikes().iter().filter(|sample| half.contains(sample)).count()
    };
    assert_eq!(half_bar(0), 0);
    assert!((1..4).all(|number| half_bar(number) >= 2), "{:?}", [0, 1, 2, 3].map(half_bar));
    assert_nothing_hangs(&mut host);
}

#[test]
fn where_loading_a_model_fails_badly_the_rules_play() {
    let notes = |load: fn() -> Loaded| {
        let mut host = TestHost::threaded(load);
        host.play_song(&song(), &all_parts(), Run::offline(SAMPLE_RATE, 512));
        (host.sent.clone(), host.problem())
    };
    let (expected, none) = notes(Loaded::rules);
    let (sent, problem) = notes(|| panic!("half a file"));
    assert_eq!((sent, none), (expected, None));
    assert_eq!(
        problem.as_deref(),
        Some("The model could not be loaded (an error in the program), so the rules play: choose another.")
    );
}

#[test]
fn while_a_model_is_loaded_the_rules_play() {
    let (open, gate) = crossbeam_channel::bounded::<()>(0);
    let mut host = TestHost::threaded(move || {
        gate.recv().expect("the test opens it");
        Loaded { generator: Box::new(Slow(Arc::default())), ..Loaded::rules() }
    });
    // Half a bar takes a twentieth of a second, in which the worker looks a few times.
    play(&mut host, 0, 64, |_| thread::sleep(Duration::from_millis(1)));
    let bars = strikes_by_bar(&host, 1..16);
    assert!(bars.iter().filter(|strikes| **strikes >= 4).count() > 8, "{bars:?}");
    assert_eq!(
        host.problem().as_deref(),
        Some("The model is being loaded; the rules play until then. Wait a few seconds.")
    );
    open.send(()).expect("it is waited for");
    let loaded = |host: &TestHost| host.view.get().engine.generator == "Slow";
    let there = (0..10_000).any(|_| {
        thread::sleep(Duration::from_millis(1));
        loaded(&host)
    });
    assert!(there, "it plays when it is there");
    assert_eq!(host.problem(), None);
    assert_nothing_hangs(&mut host);
}

#[test]
fn a_render_waits_for_its_model() {
    let notes = |pause: u64| {
        let mut host = TestHost::threaded(move || {
            thread::sleep(Duration::from_millis(pause));
            loose_band()
        });
        host.play_song(&song(), &all_parts(), Run::offline(SAMPLE_RATE, 512));
        host.sent.clone()
    };
    assert_eq!(notes(300), notes(0));
}

/// Has an error where nothing is meant to be able to fail.
struct Broken {
    /// Since it was loaded.
    asked: AtomicBool,
}

impl Generator for Broken {
    fn name(&self) -> &str {
        "Broken"
    }

    fn parts(&self) -> PerPart<bool> {
        assert!(!self.asked.swap(true, Ordering::Relaxed), "out of range");
        RuleGenerator.parts()
    }

    fn plays(&self, meter: Meter) -> bool {
        RuleGenerator.plays(meter)
    }

    fn answer(
        &mut self,
        request: &Request<'_>,
        write: &mut dyn FnMut(PartNote),
    ) -> Result<Vec<PlannedChord>, GeneratorError> {
        RuleGenerator.answer(request, write)
    }
}

#[test]
fn an_error_in_the_worker_itself_does_not_end_it() {
    let (realtime, end) = channels::connect();
    let view = SharedView::default();
    let band = Loaded { generator: Box::new(Broken { asked: AtomicBool::new(false) }), ..Loaded::rules() };
    let mut host = TestHost::alone(realtime, view.clone());
    let mut worker = worker(end, view, crossbeam_channel::unbounded().1, band);
    play(&mut host, 0, 8, |_| {
        worker.take_turn();
    });
    assert_eq!(host.count(|meters| &meters.failed_answers), 5, "four segments, and the one that is asked for ahead");
    assert!(host.problem().is_some_and(|problem| problem.contains("error in the program")), "{:?}", host.problem());
    assert_nothing_hangs(&mut host);
}

/// An engine far behind writes much that is of no use any more.
#[test]
fn answers_that_nobody_waits_for_take_no_room() {
    let mut host = TestHost::bare();
    let frames = SAMPLES_PER_QUARTER / BLOCKS as u32;
    let note = |start| Note { start, key: Key::folded(60), duration: 6, velocity: Velocity::default() };
    for step in 0..40 * BLOCKS {
        host.block(&block(frames, playing(step as f64 / BLOCKS as f64), &all_parts()));
        let end = host.end();
        while let Ok(heard) = end.heard.pop() {
            let Heard::Cut(cut) = heard else { continue };
            let mut send = |segment_start, message| {
                let reply = Reply { take: cut.take, segment_start, kind: ReplyKind::Answer, message };
                end.replies.push(reply).expect("there is room: every block takes out what is in");
            };
            // First a flood for what is long over, then what is asked for.
            let (past, start) = (cut.segment.start() - 480, cut.segment.start());
            (0..500).for_each(|_| send(past, ReplyMessage::Note(PartNote::on_grid(Part::Bass, note(past)))));
            send(start, ReplyMessage::Begin);
            send(start, ReplyMessage::Note(PartNote::on_grid(Part::Bass, note(start))));
            send(start, ReplyMessage::End);
        }
    }
    assert_eq!(host.strikes().len(), 20, "one a segment");
    assert_eq!(host.count(|meters| &meters.dropped), 0);
}

#[test]
fn a_queue_that_nobody_empties_is_not_waited_for_and_then_the_take_is_told_anew() {
    let settings = Settings::default();
    let mut host = TestHost::bare();
    let mut notes = Vec::new();
    (0..100).for_each(|_| notes.extend([strike(0, 60), release(0, 60)]));
    let frames = SAMPLES_PER_QUARTER / BLOCKS as u32;
    let mut step = 0;
    let mut go_on = |host: &mut TestHost, notes: &[TimedEvent]| {
        let mut block = block(frames, playing(step as f64 / BLOCKS as f64), &settings);
        block.input = notes;
        host.block(&block);
        step += 1;
    };
    (0..BLOCKS * 10).for_each(|_| go_on(&mut host, &notes));
    let dropped = host.count(|meters| &meters.dropped);
    assert!(dropped > 39_000, "{dropped} of 48,000 dropped");
    // The worker comes back. What it finds is the beginning of what was played.
    while host.end().heard.pop().is_ok() {}
    (0..BLOCKS * 3).for_each(|_| go_on(&mut host, &[]));
    let mut told = Vec::new();
    while let Ok(heard) = host.end().heard.pop() {
        told.push(heard);
    }
    let Some([Heard::TakeEnded { at: ended }, Heard::TakeBegan { at, .. }, Heard::Cut(cut)]) = told.first_chunk()
    else {
        panic!("{told:?}");
    };
    assert_eq!((ended, cut.segment.start()), (at, 144));
    assert!((144.0 - 12.0 * at - 1.5).abs() < 1e-3, "told where the segment is asked for, at {at}");
    assert_eq!(told.iter().filter(|heard| matches!(heard, Heard::TakeBegan { .. })).count(), 1);
}
