//! What instances cost while the transport stands still, in time on a processor, as Linux tells it.
#![cfg(target_os = "linux")]

use obbligato::channels::{self, EditorCommand, SharedView};
use obbligato::generators::library::Loaded;
use obbligato::inference::InferenceThread;
use obbligato::ledger::{BarState, Ledger};
use obbligato::music::{Bar, Key, Meter, Note, Velocity};
use obbligato::realtime::{Block, EventBuffer, HostTransport, RealtimeProcessor};
use obbligato::settings::{Follow, Settings};
use std::fs;
use std::time::{Duration, Instant};

/// Share of a core that an instance may take, audio thread and all. Unoptimised, it takes a few times as much.
const MOST: f64 = if cfg!(debug_assertions) { 0.02 } else { 0.005 };
const BARS: i32 = 300;
const BLOCK: u32 = 512;
const BLOCK_TIME: Duration = Duration::from_micros(10_667);

/// One instance in a host, with a long song that has been arranged.
struct Instance {
    processor: RealtimeProcessor,
    output: EventBuffer,
    view: SharedView,
    _inference: InferenceThread,
}

impl Instance {
    fn new() -> Self {
        let (realtime, end) = channels::connect();
        let (view, (commands, receiver)) = (SharedView::default(), crossbeam_channel::unbounded());
        let inference =
            InferenceThread::spawn(end, view.clone(), receiver, Loaded::rules).expect("the system has threads");
        commands.send(EditorCommand::Restore { ledger: long_song(), number: 1 }).expect("somebody listens");
        let processor = RealtimeProcessor::new(realtime);
        let mut instance = Self { processor, output: EventBuffer::new(), view, _inference: inference };
        (0..100).for_each(|number| instance.block(Some(f64::from(number) * f64::from(BLOCK) / 24_000.0)));
        instance.block(None);
        instance
    }

    /// At 120 quarters a minute and 48 kHz, or stopped.
    fn block(&mut self, quarters: Option<f64>) {
        let transport = HostTransport {
            playing: quarters.is_some(),
            quarters: quarters.or(Some(0.0)),
            quarters_per_minute: Some(120.0),
            ..HostTransport::default()
        };
        self.output.clear();
        let block = Block {
            frames: BLOCK,
            sample_rate: 48_000.0,
            transport,
            settings: Settings { follow: Follow::Arrange, count_in: 0, ..Settings::default() },
            bypass: false,
            panic: false,
            offline: quarters.is_some(),
            input: &[],
        };
        self.processor.process(&block, &mut self.output);
    }

    fn is_arranged(&self) -> bool {
        let view = self.view.get();
        view.ledger.bars().filter(|entry| entry.state() == BarState::Arranged).count() >= BARS as usize
    }
}

fn long_song() -> Ledger {
    let mut ledger = Ledger::default();
    for bar in (0..BARS).map(|index| Bar::of_constant_meter(index, Meter::COMMON)) {
        let note = |beat| Note {
            start: bar.start + 12 * beat,
            key: Key::folded(60 + 7 * beat),
            duration: 12,
            velocity: Velocity::default(),
        };
        ledger.hear(bar, (0..4).map(note).collect());
    }
    ledger
}

/// Of all threads of this process, in seconds.
fn time_on_a_processor() -> f64 {
    let tasks = fs::read_dir("/proc/self/task").expect("Linux lists threads");
    let nanoseconds = |task: std::io::Result<fs::DirEntry>| {
        // A thread may end meanwhile.
        let text = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<f64>().ok()
    };
    tasks.filter_map(nanoseconds).sum::<f64>() / 1e9
}

/// Share of a core that each of so many instances takes while the host stands still, beside what the host takes. Where other
/// programs are busy each waking costs several times as much, so it is looked at again while it is too much.
fn share_of_a_core(count: usize) -> f64 {
    const LOOKS: usize = 5;
    // Before there are any threads but its own.
    let host = cost_of(&mut [], Duration::from_secs(1));
    let mut instances: Vec<Instance> = (0..count).map(|_| Instance::new()).collect();
    let begun = Instant::now();
    while !instances.iter().all(Instance::is_arranged) {
        assert!(begun.elapsed() < Duration::from_secs(300), "the song is never arranged");
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut least = f64::INFINITY;
    for _ in 0..LOOKS {
        let all = cost_of(&mut instances, Duration::from_secs(2));
        least = least.min((all - host) / count as f64);
        if least < MOST {
            break;
        }
    }
    least
}

/// What it takes, as a share of a core, to call these instances for so long, and all that they do meanwhile.
fn cost_of(instances: &mut [Instance], time: Duration) -> f64 {
    let (before, begun) = (time_on_a_processor(), Instant::now());
    while begun.elapsed() < time {
        instances.iter_mut().for_each(|instance| instance.block(None));
        std::thread::sleep(BLOCK_TIME);
    }
    (time_on_a_processor() - before) / begun.elapsed().as_secs_f64()
}

#[test]
fn an_instance_at_rest_costs_next_to_nothing() {
    assert!(time_on_a_processor() > 0.0, "this system does not tell a thread's time");
    for count in [1, 16] {
        let share = share_of_a_core(count);
        println!("{count} at rest: {:.3} % of a core each", 100.0 * share);
        assert!(share < MOST, "{count} at rest: {:.2} % of a core each", 100.0 * share);
    }
}
