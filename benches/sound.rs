//! What the preview sound costs the audio thread while a band of five and a melody play, in blocks of 64 samples:
//! `cargo bench --bench sound`. Each block is the least of several runs, so that what else the machine does is left out.

use obbligato::music::{Key, Part, PerPart, Velocity};
use obbligato::settings::PartSettings;
use obbligato::sound::{ByChannel, PreviewSound, SoundEvent, SoundSettings, TimedSound};
use std::time::Instant;

const FRAMES: usize = 64;
const SAMPLE_RATE: usize = 48_000;
/// What a block may take in all, in seconds: as long as it sounds.
const BUDGET: f64 = FRAMES as f64 / SAMPLE_RATE as f64;
const EIGHTH: usize = SAMPLE_RATE / 5;

fn main() {
    // With `--test` cargo asks whether it runs, not how fast.
    let tries = std::env::args().any(|argument| argument == "--test");
    let (runs, seconds) = if tries { (1, 1) } else { (5, 20) };
    let blocks = seconds * SAMPLE_RATE / FRAMES;
    let runs: Vec<Vec<f64>> = (0..runs).map(|_| shares(blocks, true)).collect();
    let mut least: Vec<f64> =
        (0..blocks).map(|block| runs.iter().map(|run| run[block]).fold(f64::INFINITY, f64::min)).collect();
    least.sort_by(f64::total_cmp);
    let at = |share: f64| least[((blocks - 1) as f64 * share) as usize];
    println!("preview sound, {FRAMES} samples (a block lasts {:.0} µs), share of the block:", 1e6 * BUDGET);
    println!("  median {:.4}, p99 {:.4}, worst {:.4}", at(0.5), at(0.99), at(1.0));
    let mut asleep = shares(blocks, false);
    asleep.sort_by(f64::total_cmp);
    println!("  nothing struck: median {:.6}", asleep[blocks / 2]);
}

/// What each block took of its time.
fn shares(blocks: usize, plays: bool) -> Vec<f64> {
    let parts = PerPart::from_fn(|part: Part| PartSettings { on: true, ..PartSettings::of(part) });
    let settings = SoundSettings::new(true, 0.0, ByChannel::of(&parts));
    let mut sound = PreviewSound::new(SAMPLE_RATE as f64);
    let (mut left, mut right) = ([0.0; FRAMES], [0.0; FRAMES]);
    let mut held = Vec::new();
    let block = |block: usize| {
        let start = block * FRAMES;
        let events = if plays && start % EIGHTH < FRAMES { strike(start / EIGHTH, &mut held) } else { Vec::new() };
        (left, right) = ([0.0; FRAMES], [0.0; FRAMES]);
        let began = Instant::now();
        sound.play(&settings, &events, &mut left, &mut right);
        began.elapsed().as_secs_f64() / BUDGET
    };
    (0..blocks).map(block).collect()
}

/// The notes of an eighth, after those of the eighth before were let go.
fn strike(eighth: usize, held: &mut Vec<(u8, Key)>) -> Vec<TimedSound> {
    let step = (eighth * 5 % 12) as i32;
    let mut keys = vec![(0, 72 + step), (1, 36 + step / 4), (9, 42), (9, if eighth % 4 == 2 { 38 } else { 36 })];
    if eighth.is_multiple_of(2) {
        keys.extend([48, 52, 55, 59].map(|key| (2, key + step / 3)));
    }
    if eighth.is_multiple_of(8) {
        keys.extend([55, 60, 64, 67].map(|key| (3, key)));
        keys.extend([(4, 79), (9, 49)]);
    }
    let offs = std::mem::take(held).into_iter().map(|(channel, key)| SoundEvent::Off { channel, key });
    let keys = keys.into_iter().map(|(channel, key)| (channel, Key::folded(key)));
    *held = keys.collect();
    let velocity = Velocity::clamped(90);
    let ons = held.iter().map(|(channel, key)| SoundEvent::On { channel: *channel, key: *key, velocity });
    offs.chain(ons).map(|event| TimedSound { timing: 0, event }).collect()
}
