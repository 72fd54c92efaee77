//! The player's own instrument: an electric piano with tines. Runs on the audio thread.
//!
//! Two pairs of sines in which one turns the phase of the other (Chowning 1973): a body that mellows, and the ping of the
//! tine.

use super::strings::Blow;
use super::wave::{advance, approach, decay, hertz, sine};

#[derive(Debug, Clone)]
pub struct ElectricPiano {
    /// Cycles a sample of the key.
    step: f32,
    bend: f32,
    body: f32,
    tine: f32,
    swing: f32,
    swing_step: f32,
    level: f32,
    fade: f32,
    onset: f32,
    onset_rate: f32,
    /// How far the phases are turned, in cycles.
    warmth: f32,
    warmth_fade: f32,
    least_warmth: f32,
    ping: f32,
    ping_fade: f32,
    damper: f32,
}

impl ElectricPiano {
    const FAINT: f32 = 3e-5;
    /// The tine's overtone above the key.
    const TINE: f32 = 14.0;
    /// Swings from side to side a second, and how far.
    const SWING: (f32, f32) = (4.6, 0.16);

    pub fn new(blow: Blow) -> Self {
        let Blow { key, force, sample_rate, .. } = blow;
        let step = hertz(key) / sample_rate;
        // High keys need fewer overtones, and could not hold them.
        let height = ((96.0 - key) / 48.0).clamp(0.05, 1.3);
        let fits = if Self::TINE * step < 0.4 { 1.0 } else { 0.0 };
        let seconds = (11.0 * (-(key - 48.0) / 22.0).exp2()).clamp(1.0, 14.0);
        Self {
            step,
            bend: 1.0,
            body: 0.0,
            tine: 0.0,
            swing: 0.0,
            swing_step: Self::SWING.0 / sample_rate,
            level: force,
            fade: decay(seconds, sample_rate),
            onset: 0.0,
            onset_rate: approach(0.0012, sample_rate),
            warmth: height * (0.05 + 0.21 * force),
            warmth_fade: decay(2.2, sample_rate),
            least_warmth: 0.045 * height,
            ping: fits * height * 0.075 * force * force,
            ping_fade: decay(0.32, sample_rate),
            damper: decay(0.22, sample_rate),
        }
    }

    pub fn next(&mut self) -> [f32; 2] {
        let step = self.step * self.bend;
        let turned = (self.warmth + self.least_warmth) * sine(self.body) + self.ping * sine(self.tine);
        let tone = sine(self.body + turned);
        advance(&mut self.body, step);
        self.tine = (self.tine + Self::TINE * step).fract();
        let swing = Self::SWING.1 * sine(self.swing);
        advance(&mut self.swing, self.swing_step);
        self.onset += self.onset_rate * (1.0 - self.onset);
        self.level *= self.fade;
        self.warmth *= self.warmth_fade;
        self.ping *= self.ping_fade;
        let out = tone * self.level * self.onset;
        [out * (1.0 - swing), out * (1.0 + swing)]
    }

    pub fn release(&mut self) {
        self.fade *= self.damper;
    }

    /// `ratio` of the bent frequency to the key's own.
    pub fn bend(&mut self, ratio: f32) {
        self.bend = ratio;
    }

    pub fn sounds(&self) -> bool {
        self.level > Self::FAINT
    }
}
