//! The drum set, by the keys of General MIDI. Runs on the audio thread.

use super::modes::{Mode, Modes};
use super::strings::Blow;
use super::struck::{Burst, BurstKind, Fall, Struck};
use super::wave::{Filter, Noise};

/// Drums that share a thing to strike: a new stroke on one ends the other's sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choke {
    Nothing,
    Hats,
}

impl Choke {
    pub fn of(key: u8) -> Self {
        if matches!(key, 22 | 26 | 42 | 44 | 46) { Self::Hats } else { Self::Nothing }
    }
}

/// How a drum or cymbal sounds; keys that are none sound like a block of wood.
pub fn strike(key: u8, blow: Blow) -> Struck {
    match key {
        35 | 36 => kick(blow),
        38 | 40 => snare(blow),
        31 | 37 => rim(blow),
        39 => clap(blow),
        41 => tom(blow, 78.0, -0.5),
        43 => tom(blow, 92.0, -0.35),
        45 => tom(blow, 112.0, -0.15),
        47 => tom(blow, 134.0, 0.05),
        48 => tom(blow, 160.0, 0.25),
        50 => tom(blow, 190.0, 0.4),
        22 | 42 => hat(blow, 0.075),
        44 => hat(Blow { force: 0.6 * blow.force, ..blow }, 0.05),
        26 | 46 => hat(blow, 0.75),
        51 | 59 => ride(blow, 1.0),
        53 => ride(blow, 2.6),
        49 | 57 => crash(blow, key as f32 - 49.0),
        52 | 55 => crash(blow, 5.0),
        54 | 69 | 70 | 82 => shaker(blow),
        _ => wood(key, blow),
    }
}

fn kick(blow: Blow) -> Struck {
    let Blow { force, seed, sample_rate, .. } = blow;
    let mut drum = Struck::new(0.0004, None, sample_rate);
    drum.fall = Fall::new(95.0 + 110.0 * force, 49.0, 0.028, 1.05 * force, 0.42, sample_rate);
    let beater = Filter::new(2300.0, 0.6, sample_rate);
    drum.burst = Burst::new(Noise::new(seed), BurstKind::Band, beater, 0.5 * force * force, 0.018, sample_rate);
    drum.modes.add(Mode { hertz: 172.0, seconds: 0.07, amplitude: 0.25 * force, pan: 0.0, phase: 0.0 });
    drum
}

fn snare(blow: Blow) -> Struck {
    let Blow { force, seed, sample_rate, .. } = blow;
    let mut drum = Struck::new(0.0003, None, sample_rate);
    let mut noise = Noise::new(seed);
    // No two strokes hit the same spot.
    let spot = 0.94 + 0.12 * noise.share();
    for (hertz, seconds, amplitude) in
        [(186.0, 0.16, 0.5), (279.0, 0.12, 0.26), (332.0, 0.13, 0.34), (405.0, 0.09, 0.2), (512.0, 0.08, 0.16)]
    {
        drum.modes.add(Mode { hertz, seconds, amplitude: 0.85 * amplitude * force * spot, pan: 0.04, phase: 0.0 });
    }
    let wires = Filter::new(2500.0 + 1900.0 * force * spot, 0.55, sample_rate);
    drum.burst = Burst::new(noise, BurstKind::Band, wires, 0.95 * force, 0.16 + 0.1 * force, sample_rate);
    drum
}

fn rim(blow: Blow) -> Struck {
    let Blow { force, seed, sample_rate, .. } = blow;
    let mut drum = Struck::new(0.0002, None, sample_rate);
    for (hertz, seconds, amplitude) in
        [(478.0, 0.05, 0.3), (1010.0, 0.045, 0.5), (1690.0, 0.04, 0.4), (2590.0, 0.03, 0.2)]
    {
        drum.modes.add(Mode { hertz, seconds, amplitude: amplitude * force, pan: 0.06, phase: 0.0 });
    }
    let stick = Filter::new(3500.0, 0.8, sample_rate);
    drum.burst = Burst::new(Noise::new(seed), BurstKind::Band, stick, 0.4 * force, 0.015, sample_rate);
    drum
}

fn clap(blow: Blow) -> Struck {
    let Blow { force, seed, sample_rate, .. } = blow;
    let mut hands = Struck::new(0.0003, None, sample_rate);
    let palm = Filter::new(1250.0, 1.3, sample_rate);
    let burst = Burst::new(Noise::new(seed), BurstKind::Band, palm, 1.3 * force, 0.16, sample_rate);
    hands.burst = burst.repeated(3, 0.0105, sample_rate);
    hands
}

fn tom(blow: Blow, hertz: f32, pan: f32) -> Struck {
    let Blow { force, seed, sample_rate, .. } = blow;
    let mut drum = Struck::new(0.0005, None, sample_rate);
    drum.fall = Fall::new(hertz * (1.0 + 0.5 * force), hertz, 0.045, 0.6 * force, 0.6, sample_rate);
    // The next modes of a round membrane.
    for (ratio, seconds, amplitude) in [(1.593, 0.3, 0.3), (2.136, 0.2, 0.2), (2.653, 0.14, 0.12)] {
        drum.modes.add(Mode { hertz: hertz * ratio, seconds, amplitude: amplitude * force, pan, phase: 0.0 });
    }
    let stick = Filter::new(1400.0, 0.6, sample_rate);
    drum.burst = Burst::new(Noise::new(seed), BurstKind::Band, stick, 0.35 * force, 0.04, sample_rate);
    drum
}

fn hat(blow: Blow, seconds: f32) -> Struck {
    let Blow { force, seed, sample_rate, .. } = blow;
    let mut hat = Struck::new(0.0002, Some(0.05), sample_rate);
    let metal = Metal { seed: 7, lowest: 3100.0, highest: 14_500.0, seconds, pan: 0.3, tilt: 0.6 };
    metal.ring(&mut hat.modes, 0.055 * force, seed);
    let air = Filter::new(7600.0, 0.6, sample_rate);
    hat.burst = Burst::new(Noise::new(seed), BurstKind::High, air, 0.26 * force, 0.8 * seconds, sample_rate);
    hat
}

/// `bell`: how much of its cup is heard.
fn ride(blow: Blow, bell: f32) -> Struck {
    let Blow { force, seed, sample_rate, .. } = blow;
    let mut ride = Struck::new(0.0003, None, sample_rate);
    for (hertz, seconds, amplitude) in
        [(2310.0, 1.5, 0.035), (3120.0, 1.2, 0.05), (4690.0, 0.9, 0.04), (5870.0, 0.7, 0.03)]
    {
        ride.modes.add(Mode { hertz, seconds, amplitude: amplitude * bell * force, pan: -0.35, phase: 0.0 });
    }
    let metal = Metal { seed: 23, lowest: 420.0, highest: 12_000.0, seconds: 1.7, pan: -0.35, tilt: 0.1 };
    metal.ring(&mut ride.modes, 0.02 * force, seed);
    let stick = Filter::new(6200.0, 0.7, sample_rate);
    ride.burst = Burst::new(Noise::new(seed), BurstKind::High, stick, 0.2 * force, 0.09, sample_rate);
    ride
}

fn crash(blow: Blow, which: f32) -> Struck {
    let Blow { force, seed, sample_rate, .. } = blow;
    let mut crash = Struck::new(0.002, None, sample_rate);
    let lowest = 330.0 + 25.0 * which;
    let metal = Metal { seed: 41, lowest, highest: 13_500.0, seconds: 2.2, pan: 0.25, tilt: 0.3 };
    metal.ring(&mut crash.modes, 0.06 * force, seed);
    let air = Filter::new(4800.0 + 100.0 * which, 0.55, sample_rate);
    crash.burst = Burst::new(Noise::new(seed), BurstKind::High, air, 0.34 * force, 1.1, sample_rate);
    crash
}

fn shaker(blow: Blow) -> Struck {
    let Blow { force, seed, sample_rate, .. } = blow;
    let mut shaker = Struck::new(0.008, None, sample_rate);
    let seeds = Filter::new(6000.0, 0.9, sample_rate);
    shaker.burst = Burst::new(Noise::new(seed), BurstKind::Band, seeds, 0.5 * force, 0.09, sample_rate);
    shaker
}

fn wood(key: u8, blow: Blow) -> Struck {
    let Blow { force, sample_rate, .. } = blow;
    let mut wood = Struck::new(0.0004, None, sample_rate);
    let hertz = 380.0 * (f32::from(key % 24) / 24.0).exp2();
    for (ratio, seconds, amplitude) in [(1.0, 0.11, 0.5), (2.71, 0.06, 0.2), (5.15, 0.04, 0.08)] {
        wood.modes.add(Mode { hertz: hertz * ratio, seconds, amplitude: amplitude * force, pan: -0.1, phase: 0.0 });
    }
    wood
}

/// A cymbal: so many modes that nobody hears one.
struct Metal {
    /// Each cymbal has its own modes, the same at every stroke.
    seed: u32,
    lowest: f32,
    highest: f32,
    seconds: f32,
    pan: f32,
    /// How much louder the high modes are.
    tilt: f32,
}

impl Metal {
    fn ring(&self, modes: &mut Modes, amplitude: f32, stroke: u32) {
        let (mut own, mut stroke) = (Noise::new(self.seed), Noise::new(stroke));
        let octaves = (self.highest / self.lowest).log2();
        for number in 0..Modes::CAPACITY {
            let height = (number as f32 + own.share()) / Modes::CAPACITY as f32;
            let hertz = self.lowest * (octaves * height).exp2();
            let seconds = self.seconds * (1.25 - 0.7 * height) * (0.7 + 0.6 * own.share());
            let amplitude = amplitude * (1.0 - self.tilt + 2.0 * self.tilt * height) * (0.4 + 0.6 * stroke.share());
            modes.add(Mode { hertz, seconds, amplitude, pan: self.pan + 0.3 * own.next(), phase: stroke.share() });
        }
    }
}
