//! A struck thing: its modes, the noise of the strike, and for a bass drum its falling tone. Runs on the audio thread.

use super::modes::Modes;
use super::wave::{Filter, Noise, advance, approach, decay, sine};

/// Strings, drums and cymbals.
#[derive(Debug, Clone)]
pub struct Struck {
    pub modes: Modes,
    pub burst: Burst,
    pub fall: Fall,
    /// A hammer takes a moment to press, so that nothing clicks.
    onset: Onset,
    /// How fast it fades once let go; `None`: it rings on.
    damper: Option<f32>,
    age: u32,
    ended: bool,
}

impl Struck {
    /// How often it is looked at whether it still sounds, in samples.
    const LOOK: u32 = 256;

    /// Silent until something is put into it. `onset` in seconds.
    pub fn new(onset: f32, damper: Option<f32>, sample_rate: f32) -> Self {
        Self {
            modes: Modes::none(sample_rate),
            burst: Burst::none(),
            fall: Fall::none(),
            onset: Onset { level: 0.0, rate: approach(onset, sample_rate) },
            damper,
            age: 0,
            ended: false,
        }
    }

    pub fn next(&mut self) -> [f32; 2] {
        let [left, right] = self.modes.next();
        let middle = self.burst.next() + self.fall.next();
        let level = self.onset.next();
        self.age += 1;
        if self.age.is_multiple_of(Self::LOOK) {
            self.ended = !(self.modes.rings() || self.burst.sounds() || self.fall.sounds());
        }
        [level * (left + middle), level * (right + middle)]
    }

    pub fn release(&mut self) {
        if let Some(seconds) = self.damper.take() {
            self.modes.damp(seconds);
        }
    }

    pub fn sounds(&self) -> bool {
        !self.ended
    }
}

#[derive(Debug, Clone, Copy)]
struct Onset {
    level: f32,
    rate: f32,
}

impl Onset {
    fn next(&mut self) -> f32 {
        self.level += self.rate * (1.0 - self.level);
        self.level
    }
}

/// Filtered noise that fades.
#[derive(Debug, Clone, Copy)]
pub struct Burst {
    noise: Noise,
    filter: Filter,
    kind: BurstKind,
    level: f32,
    fade: f32,
    /// It is struck again so many times: the hands of a clap.
    again: u8,
    every: u32,
    until_again: u32,
    struck_at: f32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BurstKind {
    Low,
    Band,
    High,
}

impl Burst {
    const FAINT: f32 = 1e-4;

    fn none() -> Self {
        Self {
            noise: Noise::new(0),
            filter: Filter::new(1000.0, 1.0, 48_000.0),
            kind: BurstKind::Low,
            level: 0.0,
            fade: 0.0,
            again: 0,
            every: 0,
            until_again: 0,
            struck_at: 0.0,
        }
    }

    /// `seconds` until it has faded by 60 dB.
    pub fn new(noise: Noise, kind: BurstKind, filter: Filter, level: f32, seconds: f32, sample_rate: f32) -> Self {
        Self { noise, filter, kind, level, struck_at: level, fade: decay(seconds, sample_rate), ..Self::none() }
    }

    /// Struck so many more times, some seconds apart.
    #[must_use]
    pub fn repeated(self, times: u8, seconds: f32, sample_rate: f32) -> Self {
        let every = (seconds * sample_rate) as u32;
        Self { again: times, every, until_again: every, ..self }
    }

    fn next(&mut self) -> f32 {
        if !self.sounds() {
            return 0.0;
        }
        if self.again > 0 {
            self.until_again -= 1;
            if self.until_again == 0 {
                (self.again, self.until_again, self.level) = (self.again - 1, self.every.max(1), self.struck_at);
            }
        }
        let out = self.filter.next(self.level * self.noise.next());
        self.level *= self.fade;
        match self.kind {
            BurstKind::Low => out.low,
            BurstKind::Band => out.band,
            BurstKind::High => out.high,
        }
    }

    fn sounds(&self) -> bool {
        self.level > Self::FAINT || self.again > 0
    }
}

/// A tone that falls while it fades.
#[derive(Debug, Clone, Copy)]
pub struct Fall {
    phase: f32,
    /// Cycles a sample.
    step: f32,
    last_step: f32,
    rate: f32,
    level: f32,
    fade: f32,
}

impl Fall {
    const FAINT: f32 = 3e-5;

    fn none() -> Self {
        Self { phase: 0.0, step: 0.0, last_step: 0.0, rate: 0.0, level: 0.0, fade: 0.0 }
    }

    /// From one frequency to another, two thirds of the way within `fall` seconds; gone after `seconds`.
    pub fn new(from: f32, to: f32, fall: f32, level: f32, seconds: f32, sample_rate: f32) -> Self {
        Self {
            phase: 0.0,
            step: from / sample_rate,
            last_step: to / sample_rate,
            rate: approach(fall, sample_rate),
            level,
            fade: decay(seconds, sample_rate),
        }
    }

    fn next(&mut self) -> f32 {
        if !self.sounds() {
            return 0.0;
        }
        let out = self.level * sine(self.phase);
        advance(&mut self.phase, self.step);
        self.step += self.rate * (self.last_step - self.step);
        self.level *= self.fade;
        out
    }

    fn sounds(&self) -> bool {
        self.level > Self::FAINT
    }
}
