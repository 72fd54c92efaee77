//! A long evening: songs with loops, jumps and stops, one after the other. Nothing is left sounding, and no memory.

use crate::bands::{all_parts, loose_band};
use crate::host::{SAMPLE_RATE, TestHost, block, playing};
use obbligato::music::{Key, Part, Velocity};
use obbligato::realtime::{HostTransport, NoteEvent, TimedEvent};
use obbligato::settings::{Follow, Settings};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Sixty-four bars, in quarters.
const SONG: f64 = 256.0;
const QUARTERS_PER_SECOND: f64 = 2.0;

struct Evening {
    host: TestHost,
    dice: ChaCha8Rng,
    settings: Settings,
    position: f64,
    /// Where the transport goes next, and from where.
    turn_at: f64,
    held: Option<Key>,
    input: Vec<TimedEvent>,
    checks: u32,
}

impl Evening {
    fn new() -> Self {
        Self {
            host: TestHost::inline(loose_band()),
            dice: ChaCha8Rng::seed_from_u64(1),
            settings: Settings { thru: true, ..all_parts() },
            position: 0.0,
            turn_at: 16.0,
            held: None,
            input: Vec::new(),
            checks: 0,
        }
    }

    fn play(&mut self, seconds: f64) {
        let end = self.host.elapsed + (seconds * SAMPLE_RATE) as u64;
        while self.host.elapsed < end {
            let frames = [64, 256, 480, 512, 1024, 2048][self.dice.random_range(0..6)];
            self.melody(frames);
            let mut block = block(frames, playing(self.position), &self.settings);
            block.input = &self.input;
            self.host.block(&block);
            self.host.sent.clear();
            self.position += f64::from(frames) / SAMPLE_RATE * QUARTERS_PER_SECOND;
            if self.position >= self.turn_at {
                self.turn();
            }
        }
    }

    /// About two notes a quarter, each until the next, with rests.
    fn melody(&mut self, frames: u32) {
        self.input.clear();
        let share = f64::from(frames) / SAMPLE_RATE * QUARTERS_PER_SECOND * 2.0;
        if !self.dice.random_bool(share.min(1.0)) {
            return;
        }
        let channel = 0;
        if let Some(key) = self.held.take() {
            self.input.push(TimedEvent { timing: 0, event: NoteEvent::Off { channel, key } });
        }
        if self.dice.random_bool(0.8) {
            let (key, velocity) = (Key::folded(self.dice.random_range(60..80)), Velocity::default());
            self.input.push(TimedEvent { timing: 1, event: NoteEvent::On { channel, key, velocity } });
            self.held = Some(key);
        }
    }

    /// A loop comes round, the user clicks elsewhere, stops, or changes something.
    fn turn(&mut self) {
        match self.dice.random_range(0..8) {
            0..4 => self.position = (self.turn_at - self.dice.random_range(1.0..24.0)).max(-4.0),
            4 => self.position = self.dice.random_range(-4.0..SONG - 8.0),
            5 => self.stop(),
            6 => {
                let part = Part::ALL[self.dice.random_range(0..Part::COUNT)];
                let row = &mut self.settings.parts[part];
                (row.on, row.channel) = (self.dice.random_bool(0.8), self.dice.random_range(0..16));
            }
            _ => {
                self.settings.follow = if self.dice.random_bool(0.5) { Follow::Jam } else { Follow::Arrange };
                self.settings.density = self.dice.random_range(0.0..1.0);
            }
        }
        if self.position > SONG - 8.0 {
            self.position = 0.0;
        }
        self.turn_at = self.position + self.dice.random_range(2.0..32.0);
    }

    /// Nothing sounds when the transport stands still.
    fn stop(&mut self) {
        self.host.block(&block(512, HostTransport { playing: false, ..playing(self.position) }, &self.settings));
        self.host.sent.clear();
        self.held = None;
        assert_eq!((self.host.hanging(), self.host.orphans), (0, 0), "after {} samples", self.host.elapsed);
        self.checks += 1;
    }
}

#[test]
fn a_minute_of_playing_leaves_nothing_sounding() {
    let mut evening = Evening::new();
    evening.play(60.0);
    evening.stop();
    assert!(evening.host.meters.bars.load(std::sync::atomic::Ordering::Relaxed) > 20);
}

/// Memory in use by this process, in KiB.
#[cfg(target_os = "linux")]
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("Linux tells");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number of KiB")
}

#[cfg(target_os = "linux")]
#[test]
#[ignore = "an hour of music: cargo xtask test --long"]
fn an_hour_of_playing_leaves_nothing_behind() {
    const MINUTE: f64 = 60.0;
    /// What the allocator may be off by. An hour's notes, if they were kept, would be several times as much.
    const TOLERANCE: u64 = 1024;
    let mut evening = Evening::new();
    // The song is known by then.
    evening.play(15.0 * MINUTE);
    let before = resident_kib();
    evening.play(45.0 * MINUTE);
    let after = resident_kib();
    evening.stop();
    println!(
        "{before} KiB after a quarter of an hour, {after} KiB after an hour; {} stops, nothing hung",
        evening.checks
    );
    assert!(evening.checks > 20);
    assert!(after <= before + TOLERANCE, "{before} KiB became {after} KiB");
}
