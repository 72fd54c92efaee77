//! The pad: saws a little out of tune behind a soft filter, as a string machine has them. Runs on the audio thread.

use super::strings::Blow;
use super::wave::{Filter, Noise, advance, approach, hertz, saw, sine};

#[derive(Debug, Clone)]
pub struct Pad {
    saws: [Saw; 4],
    bend: f32,
    filters: [Filter; 2],
    /// Its loudness goes towards `target`.
    level: f32,
    target: f32,
    rate: f32,
    release_rate: f32,
    drift: f32,
    drift_step: f32,
}

#[derive(Debug, Clone, Copy)]
struct Saw {
    phase: f32,
    step: f32,
}

impl Pad {
    const FAINT: f32 = 3e-5;
    /// Cents.
    const TUNING: [f32; 4] = [-9.0, 4.0, -4.0, 9.0];

    pub fn new(blow: Blow) -> Self {
        let Blow { key, force, seed, sample_rate } = blow;
        let mut noise = Noise::new(seed);
        let saws = Self::TUNING
            .map(|cents| Saw { phase: noise.share() % 1.0, step: hertz(key + cents / 100.0) / sample_rate });
        let cutoff = (260.0 + 1.6 * hertz(key)) * (0.7 + 0.9 * force);
        Self {
            saws,
            bend: 1.0,
            filters: [Filter::new(cutoff, 0.6, sample_rate); 2],
            level: 0.0,
            target: force.sqrt(),
            rate: approach(0.22, sample_rate),
            release_rate: approach(0.28, sample_rate),
            drift: noise.share() % 1.0,
            drift_step: 0.31 / sample_rate,
        }
    }

    pub fn next(&mut self) -> [f32; 2] {
        self.level += self.rate * (self.target - self.level);
        // They part and meet again slowly.
        let drift = 1.0 + 0.0009 * sine(self.drift);
        advance(&mut self.drift, self.drift_step);
        let mut sides = [0.0; 2];
        for (index, one) in self.saws.iter_mut().enumerate() {
            let step = one.step * self.bend * if index % 2 == 0 { drift } else { 2.0 - drift };
            sides[index / 2] += saw(one.phase, step);
            advance(&mut one.phase, step);
        }
        let level = 0.5 * self.level;
        [level * self.filters[0].next(sides[0]).low, level * self.filters[1].next(sides[1]).low]
    }

    pub fn release(&mut self) {
        (self.target, self.rate) = (0.0, self.release_rate);
    }

    /// `ratio` of the bent frequency to the key's own.
    pub fn bend(&mut self, ratio: f32) {
        self.bend = ratio;
    }

    pub fn sounds(&self) -> bool {
        self.target > 0.0 || self.level > Self::FAINT
    }
}
