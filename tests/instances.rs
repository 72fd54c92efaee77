//! Sixteen instances in one process share their models and have one thread each.
//!
//! In a process of its own, whose threads can be counted.
#![cfg(feature = "inference")]

use obbligato::channels::{
    self, Cut, Heard, Meters, RealtimeEnd, Reply, ReplyKind, ReplyMessage, SHORTEST_MARGIN, SharedView, TakeId,
};
use obbligato::generators::PartNote;
use obbligato::generators::library::{self, GeneratorChoice};
use obbligato::inference::InferenceThread;
use obbligato::links::{BandNumber, Link, Links, Role, Seat, SharedLink};
use obbligato::model::{Model, ModelSource, open_model};
use obbligato::music::{Bar, Key, Meter, Part, Segment, Velocity};
use obbligato::runtime::{Backend, Runtime, RuntimeChoice, Target};
use obbligato::settings::Settings;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

const INSTANCES: usize = 16;
/// So many of them answer at once: all, or few enough for a build without optimisation, but more than a model has sessions.
const ANSWERING: usize = if cfg!(debug_assertions) { 3 } else { INSTANCES };
/// Memory that is promised, in MB.
const ONE: f64 = 150.0;
const SIXTEEN: f64 = 400.0;
/// What they answer lasts so long at 120 quarters a minute, in seconds.
const MUSIC: f64 = 2.0;

struct Instance {
    end: RealtimeEnd,
    _view: SharedView,
    _thread: InferenceThread,
}

impl Instance {
    fn new(links: &Links, role: Role) -> Self {
        let (end, inference) = channels::connect();
        let (view, commands) = (SharedView::default(), crossbeam_channel::unbounded().1);
        let seat = Seat { link: SharedLink::new(Link { role, band: BandNumber::default() }), links: links.clone() };
        let choice = GeneratorChoice { name: None, runtime: RuntimeChoice::from_environment() };
        let load = move || library::load(&choice);
        let thread = InferenceThread::spawn_seated(seat, inference, view.clone(), commands, load);
        Self { end, _view: view, _thread: thread.expect("the system has threads") }
    }

    /// Plays two bars of a melody and asks for what goes with the second.
    fn ask(&mut self) {
        let mut send = |heard| self.end.heard.push(heard).expect("there is room");
        send(Heard::TakeBegan { take: TakeId(1), at: 0.0 });
        for (index, key) in [60, 62, 64, 65, 67, 65, 64, 62].into_iter().enumerate() {
            let (key, at) = (Key::folded(key), index as f64);
            send(Heard::NoteOn { key, velocity: Velocity::default(), channel: 0, at });
            send(Heard::NoteOff { key, channel: 0, at: at + 1.0 });
        }
        let settings = Settings { count_in: 0, ..Settings::default() };
        for segment in segments() {
            let (take, margin) = (TakeId(1), SHORTEST_MARGIN);
            send(Heard::Cut(Cut { take, segment, margin, settings, quarters_per_minute: 120.0, offline: true }));
        }
    }

    /// The notes of all that was asked for.
    fn answer(&mut self) -> Vec<PartNote> {
        let (mut notes, mut complete) = (Vec::new(), 0);
        wait_until(|| {
            while let Ok(Reply { kind, message, .. }) = self.end.replies.pop() {
                match (kind, message) {
                    (ReplyKind::Answer, ReplyMessage::Note(note)) => notes.push(note),
                    (ReplyKind::Answer, ReplyMessage::End) => complete += 1,
                    (ReplyKind::Answer, ReplyMessage::Begin) | (ReplyKind::Reserve, _) => {}
                }
            }
            complete == segments().len()
        });
        notes
    }
}

fn segments() -> Vec<Segment> {
    Bar::of_constant_meter(1, Meter::COMMON).segments().collect()
}

fn wait_until(mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < Duration::from_secs(300), "nothing comes");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Threads of this process, where the system tells them as Linux does: those on which tract's sessions compute, and all others.
fn threads_by_use() -> Option<(usize, usize)> {
    let tasks = std::fs::read_dir("/proc/self/task").ok()?;
    let name = |task: std::io::Result<std::fs::DirEntry>| std::fs::read_to_string(task.ok()?.path().join("comm")).ok();
    let (computing, others): (Vec<_>, Vec<_>) = tasks.filter_map(name).partition(|name| name.trim() == "tract");
    Some((computing.len(), others.len()))
}

fn threads() -> Option<usize> {
    threads_by_use().map(|(_, others)| others)
}

/// A thread that has loaded a model ends a moment after the model is there.
fn assert_threads(expected: Option<usize>, why: &str) {
    const SOON: Duration = Duration::from_secs(5);
    let begun = Instant::now();
    while threads() != expected && begun.elapsed() < SOON {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(threads(), expected, "{why}");
}

/// What this process uses, where the system tells as Linux does: memory in MB, and time on a processor in seconds.
fn used() -> Option<(f64, f64)> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kibibytes: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    let tasks = std::fs::read_dir("/proc/self/task").ok()?;
    let time = |task: std::io::Result<std::fs::DirEntry>| {
        let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<f64>().ok()
    };
    Some((kibibytes * 1024.0 / 1e6, tasks.filter_map(time).sum::<f64>() / 1e9))
}

#[test]
fn sixteen_instances_share_their_models_and_have_a_thread_each() {
    let alone = used();
    let runtime = Runtime::get(&RuntimeChoice::from_environment());
    let model: Arc<Model> =
        open_model(&ModelSource::Embedded, runtime, Target::default()).expect("the built-in model can be played");
    let before = threads();
    let grown_by = |more: usize| before.map(|before| before + more);
    let links = Links::default();

    let ready = |meters: &Meters| meters.ready.load(Ordering::Relaxed);
    let mut bands = vec![Instance::new(&links, Role::Band)];
    wait_until(|| ready(&bands[0].end.meters));
    let first = used();
    bands.extend((1..INSTANCES).map(|_| Instance::new(&links, Role::Band)));
    wait_until(|| bands.iter().all(|band| ready(&band.end.meters)));
    assert_eq!(Arc::strong_count(&model), 1 + INSTANCES, "it was loaded once, and all have it");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let most = if *runtime.backend() == Backend::Tract { 2 } else { 4 };
    assert_eq!(model.sessions(), cores.min(most));
    assert_threads(grown_by(INSTANCES), "each has one");
    // Of accompanist and drummer, for one token and for a piece.
    let computing = if *runtime.backend() == Backend::Tract { 2 * 2 * model.sessions() } else { 0 };
    assert!(
        threads_by_use().is_none_or(|(found, _)| found == computing),
        "{computing} expected: {:?}",
        threads_by_use()
    );

    let loaded = used();
    let begun = Instant::now();
    bands.iter_mut().take(ANSWERING).for_each(Instance::ask);
    let answers: Vec<Vec<PartNote>> = bands.iter_mut().take(ANSWERING).map(Instance::answer).collect();
    let elapsed = begun.elapsed();
    if let (Some(alone), Some(first), Some(loaded), Some(playing)) = (alone, first, loaded, used()) {
        let [one, all, busy] = [first, loaded, playing].map(|used| used.0 - alone.0);
        println!(
            "{}: {one:.0} MB for the models and one instance, {all:.0} MB for {INSTANCES}, {busy:.0} MB once {ANSWERING} of them \
             play; {ANSWERING} bars answered in {:.0} ms, {:.3} of a core each at 120 quarters a minute",
            runtime.backend(),
            elapsed.as_secs_f64() * 1000.0,
            (playing.1 - loaded.1) / ANSWERING as f64 / MUSIC,
        );
        assert!(one <= ONE, "one instance takes {one:.0} MB");
        assert!(all <= SIXTEEN, "{INSTANCES} instances take {all:.0} MB");
        assert!(busy <= SIXTEEN, "{busy:.0} MB when they play");
    }
    assert!(answers[0].len() > 2, "{:?}", answers[0]);
    assert!(answers.iter().all(|answer| *answer == answers[0]), "in whatever session it is computed");
    assert_threads(grown_by(INSTANCES), "nothing behind the models makes threads of its own");

    // Who plays a part of another's band holds no model.
    let parts: Vec<Instance> = (0..4).map(|_| Instance::new(&links, Role::Part(Part::Bass))).collect();
    // Which of the bands came first, and leads, is chance.
    wait_until(|| bands.iter().any(|band| band.end.meters.parts_played_elsewhere()[Part::Bass]));
    assert_eq!(Arc::strong_count(&model), 1 + INSTANCES);
    assert_threads(grown_by(INSTANCES + parts.len()), "each part has one");

    drop((bands, parts));
    assert_threads(before, "all have ended");
    let forgotten = Arc::downgrade(&model);
    drop(model);
    assert!(forgotten.upgrade().is_none(), "nobody needs it any more");
    assert!(threads_by_use().is_none_or(|(computing, _)| computing == 0), "{:?}", threads_by_use());
}
