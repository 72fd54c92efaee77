//! The counter-melody's flute: a few partials, breath, and a vibrato that comes late. Runs on the audio thread.

use super::strings::Blow;
use super::wave::{Filter, Noise, advance, approach, decay, hertz, sine};

#[derive(Debug, Clone)]
pub struct Flute {
    phase: f32,
    step: f32,
    bend: f32,
    partials: [f32; Flute::PARTIALS],
    vibrato: f32,
    vibrato_step: f32,
    vibrato_depth: f32,
    vibrato_rate: f32,
    noise: Noise,
    breath: Filter,
    breath_level: f32,
    /// The burst of air that a note begins with.
    chiff: f32,
    chiff_fade: f32,
    level: f32,
    target: f32,
    rate: f32,
    release_rate: f32,
    pan: f32,
}

impl Flute {
    const PARTIALS: usize = 6;
    const FAINT: f32 = 3e-5;
    /// Share of the frequency that the vibrato moves it by, and of the loudness.
    const VIBRATO: (f32, f32) = (0.0042, 0.06);

    pub fn new(blow: Blow) -> Self {
        let Blow { key, force, seed, sample_rate } = blow;
        let frequency = hertz(key);
        let mut noise = Noise::new(seed);
        // Low notes are rich, high ones nearly pure; a strong breath brings out the upper partials.
        let edge = (0.35 + 0.65 * force) * (-(key - 60.0) / 24.0).exp2().clamp(0.15, 1.2);
        let mut partials = [1.0, 0.62 * edge, 0.34 * edge, 0.15 * edge, 0.07 * edge, 0.03 * edge];
        for (index, partial) in partials.iter_mut().enumerate() {
            if (index as f32 + 1.0) * frequency > 0.4 * sample_rate {
                *partial = 0.0;
            }
        }
        Self {
            phase: 0.0,
            step: frequency / sample_rate,
            bend: 1.0,
            partials,
            vibrato: noise.share() % 1.0,
            vibrato_step: (4.9 + 0.5 * noise.share()) / sample_rate,
            vibrato_depth: 0.0,
            vibrato_rate: approach(0.55, sample_rate),
            noise,
            breath: Filter::new(frequency.clamp(300.0, 2500.0) * 1.7, 0.9, sample_rate),
            breath_level: 0.035,
            chiff: 0.22 * force,
            chiff_fade: decay(0.09, sample_rate),
            level: 0.0,
            target: force.sqrt(),
            rate: approach(0.032, sample_rate),
            release_rate: approach(0.05, sample_rate),
            pan: 0.22,
        }
    }

    pub fn next(&mut self) -> [f32; 2] {
        let (in_pitch, in_loudness) = Self::VIBRATO;
        let wave = self.vibrato_depth * sine(self.vibrato);
        advance(&mut self.vibrato, self.vibrato_step);
        self.vibrato_depth += self.vibrato_rate * (1.0 - self.vibrato_depth);
        self.level += self.rate * (self.target - self.level);
        let tone = self.tone();
        advance(&mut self.phase, self.step * self.bend * (1.0 + in_pitch * wave));
        let air = self.breath.next(self.noise.next()).band * (self.breath_level + self.chiff);
        self.chiff *= self.chiff_fade;
        let out = self.level * (0.62 * tone * (1.0 + in_loudness * wave) + air);
        [out * (1.0 - self.pan), out * (1.0 + self.pan)]
    }

    /// The sum of the partials: each sine follows from the two before it.
    fn tone(&self) -> f32 {
        let first = sine(self.phase);
        let twice_cosine = 2.0 * sine(self.phase + 0.25);
        let (mut before, mut now, mut sum) = (0.0, first, 0.0);
        for partial in self.partials {
            sum += partial * now;
            (before, now) = (now, twice_cosine * now - before);
        }
        sum
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
