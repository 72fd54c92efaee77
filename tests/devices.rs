//! Devices that are not there, do not start, compute elsewhere than they say, or break in mid-song: what is heard then, and
//! what is said. The devices are made up; what they compute, tract computes.
#![cfg(feature = "inference")]

use obbligato::channels::{
    self, Cut, Heard, RealtimeEnd, Reply, ReplyKind, ReplyMessage, SHORTEST_MARGIN, SharedView, TakeId,
};
use obbligato::contract::Controls;
use obbligato::generators::Generator;
use obbligato::generators::library::Loaded;
use obbligato::generators::onnx::{Seat, load, load_drummer};
use obbligato::inference::InferenceThread;
use obbligato::model::{Audition, AuditionThread, Model, ModelSource, Progress, fastest, open_model};
use obbligato::music::{Bar, Key, Meter, Part, Segment, Velocity};
use obbligato::runtime::{
    Device, DeviceChoice, Dialect, FoundDevice, Placement, Planning, Platform, Precision, Runtime, Session, Target,
    Tract, Values,
};
use obbligato::settings::Settings;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tract_onnx::pb::ModelProto;

/// Runs that a made-up device still has in it.
type Runs = Arc<AtomicUsize>;
const FOR_EVER: usize = usize::MAX;

/// A machine with a graphics processor and one that is broken.
struct MadeUp {
    placement: Placement,
    runs: Runs,
    /// Of each run on the graphics processor.
    delay: Duration,
    /// Of its start with a model.
    start: Duration,
}

struct MadeUpSession {
    inner: Box<dyn Session>,
    placement: Placement,
    runs: Runs,
    delay: Duration,
}

impl Platform for MadeUp {
    fn devices(&self) -> Vec<FoundDevice> {
        let found = |device, trouble: Option<&str>| FoundDevice {
            device,
            name: "Made up".into(),
            trouble: trouble.map(str::to_owned),
        };
        vec![found(Device::Cpu, None), found(Device::WebGpu, None), found(Device::Cuda, Some("no driver"))]
    }

    fn read(&self, device: Device, model: &ModelProto, watched: bool) -> Result<Planning<'_>, String> {
        let plan = Tract.read(Device::Cpu, model, watched)?;
        if device == Device::Cpu {
            return Ok(plan);
        }
        Ok(Box::new(|| {
            std::thread::sleep(self.start);
            if self.runs.load(Ordering::SeqCst) == 0 {
                return Err("out of memory".into());
            }
            let (inner, runs) = (plan()?, self.runs.clone());
            Ok(Box::new(MadeUpSession { inner, placement: self.placement, runs, delay: self.delay }))
        }))
    }

    fn dialect(&self, _device: Device, _precision: Precision) -> Dialect {
        Dialect::Standard
    }
}

impl Session for MadeUpSession {
    fn run(&mut self, inputs: &[(&str, &Values)], take: &mut dyn FnMut(&str, &[f32])) -> Result<(), String> {
        let spend = |runs: usize| if runs == FOR_EVER { Some(runs) } else { runs.checked_sub(1) };
        let left = self.runs.fetch_update(Ordering::SeqCst, Ordering::SeqCst, spend);
        left.map_err(|_| "the device was removed".to_owned())?;
        std::thread::sleep(self.delay);
        self.inner.run(inputs, take)
    }

    fn placement(&mut self) -> Option<Placement> {
        Some(self.placement)
    }
}

const WELL_PLACED: Placement = Placement { on_device: 90, elsewhere: 10 };

/// A process on such a machine, whose graphics processor breaks after so many runs.
fn runtime(placement: Placement, runs: usize) -> (&'static Runtime, Runs) {
    slow_runtime(placement, runs, Duration::ZERO, Duration::ZERO)
}

fn slow_runtime(placement: Placement, runs: usize, delay: Duration, start: Duration) -> (&'static Runtime, Runs) {
    let runs = Arc::new(AtomicUsize::new(runs));
    let made_up = MadeUp { placement, runs: runs.clone(), delay, start };
    (Box::leak(Box::new(Runtime::with_platform(Box::new(made_up)))), runs)
}

fn seat(runtime: &'static Runtime, device: Device) -> Seat {
    Seat { runtime, choice: DeviceChoice::One(device), precision: Precision::Fast }
}

#[test]
fn what_is_not_there_is_said_and_the_processor_plays() {
    let (runtime, _) = runtime(WELL_PLACED, FOR_EVER);
    for (device, words) in [
        (Device::Cuda, "CUDA does not start (no driver), so the CPU plays: choose another device"),
        (Device::CoreMl, "CoreML is not offered by tract here, so the CPU plays: choose another device"),
    ] {
        let (generator, problem) = load(&ModelSource::Embedded, seat(runtime, device)).expect("the processor can");
        assert_eq!((generator.device().as_deref(), problem.as_deref()), (Some("CPU"), Some(words)));
    }
    let (generator, problem) = load(&ModelSource::Embedded, seat(runtime, Device::WebGpu)).expect("it can");
    assert_eq!((generator.device().as_deref(), problem), (Some("WebGPU (90 of 100 steps)"), None));
}

#[test]
fn a_device_that_does_not_start_is_not_asked_again() {
    let (runtime, _) = runtime(WELL_PLACED, 0);
    for attempt in 0..2 {
        let (generator, problem) = load(&ModelSource::Embedded, seat(runtime, Device::WebGpu)).expect("the CPU can");
        assert_eq!(generator.device().as_deref(), Some("CPU"));
        let problem = problem.expect("it is told");
        assert!(
            problem.starts_with("WebGPU does not start (") && problem.contains("out of memory"),
            "{attempt}: {problem}"
        );
    }
    let trouble =
        runtime.devices().into_iter().find(|found| found.device == Device::WebGpu).and_then(|found| found.trouble);
    assert!(trouble.is_some_and(|trouble| trouble.contains("out of memory")), "the list shows it");
}

#[test]
fn a_device_that_computes_elsewhere_is_found_out() {
    let (runtime, _) = runtime(Placement { on_device: 3, elsewhere: 97 }, FOR_EVER);
    let (generator, problem) = load(&ModelSource::Embedded, seat(runtime, Device::WebGpu)).expect("the CPU can");
    assert_eq!(generator.device().as_deref(), Some("CPU"));
    let problem = problem.expect("it is told");
    assert!(problem.contains("only 3 of 100 steps run there"), "{problem}");

    let (runtime, _) = self::runtime(Placement { on_device: 3, elsewhere: 97 }, FOR_EVER);
    let seat = seat(runtime, Device::WebGpu);
    let (generator, problem) = load(&ModelSource::EmbeddedGan, seat).expect("the CPU can");
    assert_eq!(generator.device().as_deref(), Some("CPU"));
    assert!(problem.is_some_and(|problem| problem.contains("only 3 of 100 steps run there")), "nor are rolls");
}

/// What the audio thread of an instance does, as far as it matters here.
struct Host {
    end: RealtimeEnd,
    view: SharedView,
    _thread: InferenceThread,
}

impl Host {
    fn with(generator: Box<dyn Generator>) -> Self {
        Self::of(Loaded { generator, ..Loaded::rules() })
    }

    fn of(loaded: Loaded) -> Self {
        let (end, inference) = channels::connect();
        let (view, commands) = (SharedView::default(), crossbeam_channel::unbounded().1);
        let load = || loaded;
        let thread = InferenceThread::spawn(inference, view.clone(), commands, load).expect("the system has threads");
        let mut host = Self { end, view, _thread: thread };
        host.send(Heard::TakeBegan { take: TakeId(1), at: 0.0 });
        host
    }

    fn send(&mut self, heard: Heard) {
        self.end.heard.push(heard).expect("there is room");
    }

    /// Plays a bar of melody, asks for both halves of the next, and waits for what comes. Returns the number of notes.
    fn bar(&mut self, index: i32) -> usize {
        let bar = Bar::of_constant_meter(index, Meter::COMMON);
        for beat in 0..4 {
            let (key, at) = (Key::folded([60, 64, 67, 65][beat as usize]), f64::from(4 * index + beat));
            self.send(Heard::NoteOn { key, velocity: Velocity::default(), channel: 0, at });
            self.send(Heard::NoteOff { key, channel: 0, at: at + 1.0 });
        }
        let next = Bar::of_constant_meter(index + 1, bar.meter);
        next.segments().map(|segment| self.answer(segment)).sum()
    }

    fn answer(&mut self, segment: Segment) -> usize {
        let mut settings = Settings { count_in: 0, ..Settings::default() };
        settings.parts[Part::Drums].on = true;
        let (take, margin) = (TakeId(1), SHORTEST_MARGIN);
        // As live, but that all is waited for: what is late here is a slow test machine.
        self.send(Heard::Cut(Cut { take, segment, margin, settings, quarters_per_minute: 120.0, offline: true }));
        let (begun, mut notes) = (Instant::now(), 0);
        loop {
            assert!(begun.elapsed() < Duration::from_secs(60), "there is no answer");
            match self.end.replies.pop() {
                Ok(Reply { kind: ReplyKind::Answer, message: ReplyMessage::End, segment_start, .. })
                    if segment_start == segment.start() =>
                {
                    return notes;
                }
                Ok(Reply { kind: ReplyKind::Answer, message: ReplyMessage::Note(_), .. }) => notes += 1,
                Ok(_) => {}
                Err(_) => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    }

    /// Waits for something to be shown, and says how long it took.
    fn shown(&self, what: impl Fn(&channels::EngineStatus) -> bool) -> Duration {
        let begun = Instant::now();
        while !what(&self.view.get().engine) {
            assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", self.view.get().engine);
            std::thread::sleep(Duration::from_millis(1));
        }
        begun.elapsed()
    }
}

#[test]
fn a_device_that_breaks_in_mid_song_costs_no_bar() {
    let (runtime, runs) = runtime(WELL_PLACED, FOR_EVER);
    let (generator, _) = load(&ModelSource::Embedded, seat(runtime, Device::WebGpu)).expect("it can");
    let mut host = Host::with(generator);
    host.shown(|engine| engine.device == "WebGPU (90 of 100 steps)");
    assert!((0..2).map(|bar| host.bar(bar)).sum::<usize>() > 4, "it plays");
    assert_eq!(host.view.get().engine.problem, None);

    // It has begun the bar when it breaks.
    runs.store(12, Ordering::SeqCst);
    assert!(host.bar(2) > 0, "the rules play what is left of the bar");
    let told_after = host.shown(|engine| engine.problem.is_some());
    assert!(told_after < Duration::from_secs(1), "{told_after:?}");
    let status = host.view.get().engine.clone();
    let problem = status.problem.expect("it is shown");
    assert!(problem.contains("WebGPU failed") && problem.contains("the device was removed"), "{problem}");
    assert!(problem.contains("from the next bar on the CPU plays"), "{problem}");
    assert_eq!(status.device, "CPU", "what is shown is what plays");

    let failures = host.end.meters.failed_answers.load(Ordering::Relaxed);
    assert!((3..6).map(|bar| host.bar(bar)).sum::<usize>() > 4, "the model plays on");
    assert_eq!(host.end.meters.failed_answers.load(Ordering::Relaxed), failures, "and does not fail again");
    let (generator, problem) = load(&ModelSource::Embedded, seat(runtime, Device::WebGpu)).expect("the CPU can");
    assert_eq!(generator.device().as_deref(), Some("CPU"), "nor is it asked again: {problem:?}");
}

/// A song on a device that breaks before its third bar; what the model is called, and what is said then.
fn plays_on_when_the_device_breaks(loaded: Loaded, runs: &Runs, words: &str) -> Host {
    let mut host = Host::of(loaded);
    assert!((0..2).map(|bar| host.bar(bar)).sum::<usize>() > 4, "it plays");
    assert_eq!(host.view.get().engine.problem, None);
    assert_eq!(host.end.meters.failed_answers.load(Ordering::Relaxed), 0);
    runs.store(0, Ordering::SeqCst);
    assert!(host.bar(2) > 0, "the rules play the bar");
    let told_after = host.shown(|engine| engine.problem.is_some());
    assert!(told_after < Duration::from_secs(1), "{told_after:?}");
    let problem = host.view.get().engine.problem.clone().expect("it is shown");
    assert!(problem.contains(words) && problem.contains("the device was removed"), "{problem}");
    assert!(problem.contains("from the next bar on the CPU plays"), "{problem}");
    let failures = host.end.meters.failed_answers.load(Ordering::Relaxed);
    assert_eq!(failures, 1, "of one answer");
    assert!((3..6).map(|bar| host.bar(bar)).sum::<usize>() > 4, "the model plays on");
    assert_eq!(host.end.meters.failed_answers.load(Ordering::Relaxed), failures, "and does not fail again");
    host
}

#[test]
fn a_network_over_rolls_plays_on_when_its_device_breaks() {
    let (runtime, runs) = runtime(WELL_PLACED, FOR_EVER);
    let (generator, problem) = load(&ModelSource::EmbeddedGan, seat(runtime, Device::WebGpu)).expect("it can");
    assert_eq!((generator.device().as_deref(), problem), (Some("WebGPU (90 of 100 steps)"), None));
    let loaded = Loaded { generator, ..Loaded::rules() };
    let host = plays_on_when_the_device_breaks(loaded, &runs, "GAN failed, so the rules play: WebGPU failed");
    assert_eq!(host.view.get().engine.device, "CPU", "what is shown is what plays");
}

#[test]
fn the_drummer_plays_on_when_its_device_breaks() {
    let (runtime, runs) = runtime(WELL_PLACED, FOR_EVER);
    let (drummer, problem) = load_drummer(seat(runtime, Device::WebGpu)).expect("it can");
    assert_eq!(problem, None);
    let loaded = Loaded { drummer: Some(Box::new(drummer)), ..Loaded::rules() };
    plays_on_when_the_device_breaks(loaded, &runs, "Drummer failed, so the rules drum: WebGPU failed");
}

/// What a device has done so far.
fn spent(runs: &Runs, of: usize) -> usize {
    of - runs.load(Ordering::SeqCst)
}

#[test]
fn a_device_is_kept_awake_while_music_plays_and_left_alone_when_it_does_not() {
    const MANY: usize = 1_000_000;
    let device = seat(runtime(WELL_PLACED, FOR_EVER).0, Device::WebGpu);
    for source in [ModelSource::Embedded, ModelSource::EmbeddedGan] {
        let (runtime, runs) = runtime(WELL_PLACED, FOR_EVER);
        let (generator, _) = load(&source, Seat { runtime, ..device }).expect("it can");
        let mut host = Host::with(generator);
        assert!(host.bar(0) > 0, "it plays");
        runs.store(MANY, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(2500));
        assert_eq!(spent(&runs, MANY), 0, "the transport stands still");

        host.end.meters.playing.store(true, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(2500));
        let awake = spent(&runs, MANY);
        assert!((2..=3).contains(&awake), "{source:?}: {awake} runs");

        // It breaks in a rest of the music: nobody hears anything of it.
        runs.store(0, Ordering::SeqCst);
        let told_after = host.shown(|engine| engine.problem.is_some());
        assert!(told_after < Duration::from_millis(2500), "{told_after:?}");
        let status = host.view.get().engine.clone();
        assert!(status.problem.is_some_and(|problem| problem.contains("from the next bar on the CPU plays")));
        assert_eq!(status.device, "CPU");
        assert!(host.bar(1) > 0, "it plays on");
        assert_eq!(host.end.meters.failed_answers.load(Ordering::Relaxed), 0, "no answer was lost");
    }
}

#[test]
fn an_audition_takes_the_faster_one() {
    for (delay, expected) in [(Duration::from_millis(20), Device::Cpu), (Duration::ZERO, Device::WebGpu)] {
        let (runtime, _) = slow_runtime(WELL_PLACED, FOR_EVER, delay, Duration::ZERO);
        let audition = Audition::<Controls>::new(&ModelSource::Embedded, runtime, Precision::Fast);
        let mut audition = audition.expect("there is a choice").with_pauses(vec![Duration::from_millis(1); 3]);
        let trials = loop {
            if let Some(trials) = audition.step() {
                break trials;
            }
        };
        let mut devices: Vec<&str> = trials.iter().map(|trial| trial.device.id()).collect();
        devices.sort_unstable();
        assert_eq!(devices, ["cpu", "webgpu"], "the broken one was not asked");
        if expected == Device::Cpu {
            assert_eq!(fastest(&trials), expected, "{trials:?}");
        }
        let worst = |device| trials.iter().find(|trial| trial.device == device).expect("it played").worst;
        assert_eq!(worst(Device::WebGpu) > 800.0, expected == Device::Cpu, "42 runs of 20 ms and more: {trials:?}");
    }
}

#[test]
fn an_audition_holds_nobody_up_and_waits_while_music_plays() {
    const START: Duration = Duration::from_millis(800);
    let (runtime, runs) = slow_runtime(WELL_PLACED, 1 << 20, Duration::ZERO, START);
    let left = runs.load(Ordering::SeqCst);
    let mut thread = AuditionThread::<Controls>::begin(move || {
        let audition = Audition::new(&ModelSource::Embedded, runtime, Precision::Fast);
        audition.map(|audition| audition.with_pauses(vec![Duration::from_millis(1); 3]))
    })
    .expect("there is a thread for it");
    // Nobody has said that nothing plays. In this time it would have started and run once.
    std::thread::sleep(4 * START);
    assert_eq!(runs.load(Ordering::SeqCst), left);
    let begun = Instant::now();
    let mut slowest = Duration::ZERO;
    let finished = loop {
        let asked = Instant::now();
        let progress = thread.at_rest();
        slowest = slowest.max(asked.elapsed());
        if let Progress::Over(finished) = progress {
            break finished;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(begun.elapsed() > START, "it opened the device");
    assert!(slowest < START / 2, "who asks does not wait for it: {slowest:?}");
    assert_eq!(finished.expect("there was a choice").trials.len(), 2);
    assert!(matches!(thread.at_rest(), Progress::Over(None)), "it is told once");
}

#[test]
fn one_device_holds_one_model_for_all() {
    let (runtime, _) = runtime(WELL_PLACED, FOR_EVER);
    let open = |device| -> Arc<Model> {
        let target = Target { device, ..Target::default() };
        open_model(&ModelSource::Embedded, runtime, target).expect("it can be played")
    };
    let (gpu, again, cpu) = (open(Device::WebGpu), open(Device::WebGpu), open(Device::Cpu));
    assert!(Arc::ptr_eq(&gpu, &again) && !Arc::ptr_eq(&gpu, &cpu));
    let _memories: Vec<_> = (0..3).map(|_| gpu.memory().expect("there is room")).collect();
    assert_eq!(gpu.sessions(), 1, "a device computes one thing after the other in any case");
}
