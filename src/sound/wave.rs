//! Oscillators, noise, filters and decays. Phases are in cycles, 0..1. Runs on the audio thread.

use std::f32::consts::PI;

/// Frequency of a MIDI key number, in hertz.
pub fn hertz(key: f32) -> f32 {
    440.0 * ((key - 69.0) / 12.0).exp2()
}

/// Factor per sample of what has faded by 60 dB after so many seconds.
pub fn decay(seconds: f32, sample_rate: f32) -> f32 {
    // ln(0.001)
    (-6.907_755 / (seconds * sample_rate)).exp()
}

/// Share per sample of the way to a target; two thirds of it are gone after so many seconds.
pub fn approach(seconds: f32, sample_rate: f32) -> f32 {
    1.0 - (-1.0 / (seconds * sample_rate)).exp()
}

/// The sine of a phase, right to a millionth.
pub fn sine(cycles: f32) -> f32 {
    let x = cycles - cycles.round();
    let quarter = if x > 0.25 {
        0.5 - x
    } else if x < -0.25 {
        -0.5 - x
    } else {
        x
    };
    let angle = quarter * (2.0 * PI);
    let square = angle * angle;
    // Minimax polynomial over a quarter turn to each side.
    angle * (0.999_996_6 + square * (-0.166_648_24 + square * (0.008_306_29 + square * -0.000_183_63)))
}

/// Goes on by a step of less than a cycle.
pub fn advance(phase: &mut f32, step: f32) {
    *phase += step;
    if *phase >= 1.0 {
        *phase -= 1.0;
    }
}

/// A sawtooth, -1..1, whose edge is rounded over two samples ("PolyBLEP": Välimäki and Huovilainen 2007), so that it does
/// not alias audibly.
pub fn saw(phase: f32, step: f32) -> f32 {
    let plain = 2.0 * phase - 1.0;
    if phase < step {
        let t = phase / step;
        plain - (t + t - t * t - 1.0)
    } else if phase > 1.0 - step {
        let t = (phase - 1.0) / step;
        plain - (t * t + t + t + 1.0)
    } else {
        plain
    }
}

/// White noise, the same for the same seed (Marsaglia's xorshift).
#[derive(Debug, Clone, Copy)]
pub struct Noise(u32);

impl Noise {
    pub fn new(seed: u32) -> Self {
        // Spread, so that neighbouring seeds do not begin alike; zero would stay zero.
        Self(seed.wrapping_mul(0x9e37_79b9) | 1)
    }

    /// -1..1.
    pub fn next(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0 as i32 as f32 / 2_147_483_648.0
    }

    /// 0..1.
    pub fn share(&mut self) -> f32 {
        0.5 + 0.5 * self.next()
    }
}

/// A two-pole filter with all its outputs at once (the "state variable filter" in Zavalishin's *The Art of VA Filter
/// Design*, 2012), steady at any cutoff.
#[derive(Debug, Clone, Copy, Default)]
pub struct Filter {
    cutoff: f32,
    damping: f32,
    first: f32,
    second: f32,
}

#[derive(Debug, Clone, Copy)]
pub struct Filtered {
    pub low: f32,
    /// As loud at its middle as what came in.
    pub band: f32,
    pub high: f32,
}

impl Filter {
    /// `resonance` from 0.5 (none) up; the bandwidth is the cutoff divided by it.
    pub fn new(hertz: f32, resonance: f32, sample_rate: f32) -> Self {
        let mut filter = Self { damping: 1.0 / resonance, ..Self::default() };
        filter.tune(hertz, sample_rate);
        filter
    }

    pub fn tune(&mut self, hertz: f32, sample_rate: f32) {
        self.cutoff = (PI * (hertz / sample_rate).min(0.45)).tan();
    }

    pub fn next(&mut self, input: f32) -> Filtered {
        let g = self.cutoff;
        let high = (input - (self.damping + g) * self.first - self.second) / (1.0 + g * (self.damping + g));
        let band = g * high + self.first;
        let low = g * band + self.second;
        self.first = band + g * high;
        self.second = low + g * band;
        Filtered { low, band: band * self.damping, high }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sine_is_one() {
        for step in -2000..2000 {
            let cycles = step as f32 / 500.0;
            assert!((sine(cycles) - (2.0 * PI * cycles).sin()).abs() < 4e-6, "{cycles}");
        }
    }

    #[test]
    fn what_decays_is_a_thousandth_when_it_should_be() {
        let left = (0..24_000).fold(1.0_f32, |left, _| left * decay(0.5, 48_000.0));
        assert!((left - 0.001).abs() < 1e-5, "{left}");
    }

    #[test]
    fn filters_let_through_what_they_are_for() {
        let loudness = |hertz: f32| {
            let (mut filter, mut sums) = (Filter::new(1000.0, 0.707, 48_000.0), [0.0_f32; 3]);
            for sample in 0..48_000 {
                let out = filter.next(sine((sample as f32 * hertz / 48_000.0).fract()));
                for (sum, value) in sums.iter_mut().zip([out.low, out.band, out.high]) {
                    *sum += value * value / 24_000.0;
                }
            }
            sums
        };
        let [below, at, above] = [50.0, 1000.0, 18_000.0].map(loudness);
        assert!(below[0] > 0.95 && below[1] < 0.02 && below[2] < 0.001, "{below:?}");
        assert!((at[0] - 0.5).abs() < 0.02 && at[1] > 0.95 && (at[2] - 0.5).abs() < 0.02, "{at:?}");
        assert!(above[0] < 0.001 && above[2] > 0.95, "{above:?}");
    }
}
