//! Piano and bass: strings by their partials. Runs on the audio thread.
//!
//! Where a stiff string's partials lie, how a hammer or finger at one place of it leaves some of them out, and how a
//! piano's sound fades fast at first and slowly later, is in Fletcher and Rossing, *The Physics of Musical Instruments*
//! (1998), chapters 2 and 12.

use super::modes::{Mode, Modes};
use super::struck::{Burst, BurstKind, Struck};
use super::wave::{Filter, Noise, hertz};
use std::f32::consts::PI;

/// A note's strike: the key number, how hard (0..1), and a seed for its noise.
#[derive(Debug, Clone, Copy)]
pub struct Blow {
    pub key: f32,
    pub force: f32,
    pub seed: u32,
    pub sample_rate: f32,
}

/// Two strings a note, a hair out of tune: one leans left and fades early, one right and lasts.
pub fn piano(blow: Blow) -> Struck {
    let Blow { key, force, seed, sample_rate } = blow;
    let fundamental = hertz(key);
    let mut piano = Struck::new(0.0009, Some(0.30 - 0.0012 * key), sample_rate);
    let string = String {
        stiffness: 1.1e-4 * ((key - 40.0) / 15.0).exp2(),
        struck_at: 0.118,
        // A fast hammer is a hard one.
        brightness: 500.0 + 2.2 * fundamental.min(900.0) + 3300.0 * force * force,
        slope: 0.55,
    };
    let seconds = (24.0 * (-(key - 33.0) / 18.0).exp2()).clamp(0.6, 20.0);
    let pan = ((key - 60.0) / 60.0).clamp(-0.5, 0.5);
    for number in 1..=Modes::CAPACITY as u32 / 2 {
        let (partial, amplitude) = string.partial(fundamental, number);
        // A soundboard gives little below a hundred hertz.
        let amplitude = 0.8 * amplitude * partial / (partial + 70.0);
        let lasts = seconds / (1.0 + partial / 1700.0 + 0.05 * number as f32);
        let mode =
            |hertz: f32, amplitude: f32, seconds: f32, pan: f32| Mode { hertz, seconds, amplitude, pan, phase: 0.0 };
        let spread = 0.33 + 0.1 * (number % 3) as f32;
        piano.modes.add(mode(partial, 0.64 * amplitude, 0.5 * lasts, pan - spread));
        piano.modes.add(mode(partial * 1.000_42 + 0.11, 0.4 * amplitude, lasts, pan + spread));
    }
    let knock = Filter::new(240.0 + 12.0 * key, 0.8, sample_rate);
    let level = 0.22 * force * force;
    piano.burst = Burst::new(Noise::new(seed), BurstKind::Low, knock, level, 0.06, sample_rate);
    piano
}

/// An electric bass, plucked with a finger.
pub fn bass(blow: Blow) -> Struck {
    let Blow { key, force, seed, sample_rate } = blow;
    let fundamental = hertz(key);
    let mut bass = Struck::new(0.0022, Some(0.16), sample_rate);
    let string =
        String { stiffness: 5e-5, struck_at: 0.21, brightness: 330.0 + 2.0 * fundamental + 1500.0 * force, slope: 0.8 };
    let seconds = (9.0 * (-(key - 28.0) / 22.0).exp2()).clamp(1.0, 9.0);
    for number in 1..=Modes::CAPACITY as u32 / 2 {
        let (partial, amplitude) = string.partial(fundamental, number);
        // The pickup hears the string at one place.
        let amplitude = 1.9 * amplitude * (PI * number as f32 * 0.27).sin().abs();
        let lasts = seconds / (1.0 + 0.32 * number as f32);
        let mode = |amplitude: f32, seconds: f32| Mode { hertz: partial, seconds, amplitude, pan: 0.0, phase: 0.0 };
        bass.modes.add(mode(0.6 * amplitude, 0.25 * lasts));
        bass.modes.add(mode(0.5 * amplitude, lasts));
    }
    let finger = Filter::new(1800.0, 0.7, sample_rate);
    bass.burst = Burst::new(Noise::new(seed), BurstKind::Band, finger, 0.06 * force, 0.03, sample_rate);
    bass
}

struct String {
    /// How far its partials are stretched.
    stiffness: f32,
    /// Where it is struck, as a share of its length.
    struck_at: f32,
    /// Above this many hertz a partial gets little of the blow.
    brightness: f32,
    /// How fast the partials get weaker.
    slope: f32,
}

impl String {
    /// Frequency and amplitude.
    fn partial(&self, fundamental: f32, number: u32) -> (f32, f32) {
        let n = number as f32;
        let hertz = fundamental * n * (1.0 + self.stiffness * n * n).sqrt();
        let place = (PI * n * self.struck_at).sin().abs();
        (hertz, place * n.powf(-self.slope) * (-hertz / self.brightness).exp())
    }
}
