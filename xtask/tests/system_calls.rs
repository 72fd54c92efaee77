//! The built `.clap` makes no system call in `process`, framework and all: parameters are turned in the midst of blocks,
//! controllers pass, the preview sounds. `cargo xtask test` builds it first.
#![cfg(target_os = "linux")]

mod common;
#[path = "../../tests/forbidden_calls/mod.rs"]
mod forbidden_calls;

use common::{SAMPLE_RATE, clap, every_part_on};
use forbidden_calls::{finish, forbid, system_call_in};
use serde_json::json;
use std::hint::spin_loop;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use xtask::host::clap::ClapPlugin;
use xtask::host::{HostBlock, HostTransport, HostedPlugin, Message, RenderMode, Timed, parameter_number};

const FRAMES: u32 = 480;

/// The children keep a core busy each.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

#[test]
fn a_whole_call_makes_no_system_call() {
    let _alone = ONE_AT_A_TIME.lock();
    assert_eq!(system_call_in("child", "live"), None);
}

/// A render waits for its answers: so calls inside the plugin are found.
#[test]
fn a_system_call_would_be_found_and_named() {
    let _alone = ONE_AT_A_TIME.lock();
    assert_eq!(system_call_in("child", "render"), Some("clock_nanosleep"));
}

#[test]
#[ignore = "started by the tests above, in a process of its own"]
fn child() {
    /// Three bars, and more where the inference thread gets little time beside this one, which never rests.
    const FEWEST: u32 = 600;
    const MOST: u32 = 10 * FEWEST;
    const STRIKES: usize = 30;
    let Some(work) = forbidden_calls::work() else { return };
    let mode = if work == "render" { RenderMode::Offline } else { RenderMode::Realtime };
    let mut plugin = plugin(mode);
    let mut player = Player::new(&mut plugin, mode);
    // Whatever is made at first use is then there.
    (0..100).for_each(|_| player.play_block());
    forbid();
    let before = player.strikes;
    let mut blocks = 0;
    while blocks < FEWEST || (blocks < MOST && player.strikes < before + STRIKES) {
        player.play_block();
        blocks += 1;
    }
    assert!(player.strikes >= before + STRIKES, "a band plays: {} strikes", player.strikes - before);
    finish();
}

/// The rules play, so that nothing has to be loaded.
fn plugin(mode: RenderMode) -> ClapPlugin {
    let mut plugin = clap();
    every_part_on(&mut plugin);
    let mut state = plugin.save_state().expect("it saves");
    state.set_field("generator", &json!("rules"));
    plugin.load_state(&state).expect("it loads");
    for (id, value) in [("preview", 1.0), ("count_in", 0.0)] {
        plugin.set_parameter(id, value).expect("it has the parameter");
    }
    plugin.activate(SAMPLE_RATE, FRAMES, mode).expect("the plugin starts");
    plugin
}

/// A host that plays at 120 in 4/4, live in real time, with a melody, a pedal, bends, and knobs that are turned.
struct Player<'a> {
    plugin: &'a mut ClapPlugin,
    mode: RenderMode,
    transport: HostTransport,
    began: Instant,
    blocks: u32,
    input: Vec<Timed>,
    output: Vec<Timed>,
    /// Of the band, since the start.
    strikes: usize,
}

impl<'a> Player<'a> {
    const BLOCKS_PER_QUARTER: u32 = 50;

    fn new(plugin: &'a mut ClapPlugin, mode: RenderMode) -> Self {
        let transport = HostTransport { playing: true, ..HostTransport::standing() };
        let (input, output) = (Vec::with_capacity(64), Vec::with_capacity(1 << 14));
        Self { plugin, mode, transport, began: Instant::now(), blocks: 0, input, output, strikes: 0 }
    }

    fn play_block(&mut self) {
        self.play_along();
        self.output.clear();
        self.transport.quarters = f64::from(self.blocks) / f64::from(Self::BLOCKS_PER_QUARTER);
        self.transport.bar_number = (self.transport.quarters / 4.0) as i32;
        self.transport.bar_start = 4.0 * f64::from(self.transport.bar_number);
        let block = HostBlock { frames: FRAMES, transport: self.transport, input: &self.input };
        let processor = self.plugin.processor().expect("it is active");
        processor.process(&block, &mut self.output).expect("it processes");
        let strike = |timed: &&Timed| matches!(timed.message, Message::NoteOn { channel: 1.., .. });
        self.strikes += self.output.iter().filter(strike).count();
        self.blocks += 1;
        // Who calls faster has the plugin wait.
        let due = self.began + Duration::from_millis(10) * self.blocks;
        while self.mode == RenderMode::Realtime && Instant::now() < due {
            spin_loop();
        }
    }

    fn play_along(&mut self) {
        const KNOBS: [&str; 8] =
            ["density", "temperature", "style", "preview_level", "bass_velocity", "chords_solo", "pad_on", "thru"];
        let (beat, within) = (self.blocks / Self::BLOCKS_PER_QUARTER, self.blocks % Self::BLOCKS_PER_QUARTER);
        let key = 60 + (beat * 5 % 12) as u8;
        self.input.clear();
        let mut play = |timing, message| self.input.push(Timed { timing, message });
        match within {
            0 => play(7, Message::NoteOn { channel: 0, key, velocity: 90 }),
            10 => play(0, Message::Controller { channel: 0, number: 64, value: 127 }),
            15 => play(479, Message::Controller { channel: 0, number: 64, value: 0 }),
            20 => play(240, Message::PitchBend { channel: 0, value: 9000 }),
            40 => play(100, Message::NoteOff { channel: 0, key }),
            within if within % 7 == 3 => {
                let number = parameter_number(KNOBS[(self.blocks as usize / 7) % KNOBS.len()]);
                play(200, Message::Parameter { number, value: f64::from(within % 2) });
            }
            _ => {}
        }
    }
}
