//! What rings when it is struck: a bank of decaying sines. Runs on the audio thread.

use std::f32::consts::TAU;

/// So many modes are computed side by side by one instruction of the processor, or two.
const LANES: usize = 8;

/// Modes of a struck string, bar or cymbal. Each is a vector that turns and shrinks; its height is what is heard.
#[derive(Debug, Clone)]
pub struct Modes {
    rows: [Row; Modes::ROWS],
    count: usize,
    sample_rate: f32,
}

#[derive(Debug, Clone, Copy, Default)]
struct Row {
    /// The vectors.
    across: [f32; LANES],
    up: [f32; LANES],
    /// What each is turned and shrunk by in a sample.
    turn: [f32; LANES],
    rise: [f32; LANES],
    left: [f32; LANES],
    right: [f32; LANES],
}

/// One way in which it rings.
#[derive(Debug, Clone, Copy)]
pub struct Mode {
    pub hertz: f32,
    /// Until it has faded by 60 dB.
    pub seconds: f32,
    pub amplitude: f32,
    /// -1 left .. 1 right.
    pub pan: f32,
    /// In cycles; 0 begins in silence.
    pub phase: f32,
}

impl Modes {
    const ROWS: usize = 6;
    pub const CAPACITY: usize = Self::ROWS * LANES;
    /// Below -90 dB nobody hears it.
    const FAINT: f32 = 3e-5;

    pub fn none(sample_rate: f32) -> Self {
        Self { rows: [Row::default(); Self::ROWS], count: 0, sample_rate }
    }

    /// What cannot be heard or does not fit is left out.
    pub fn add(&mut self, mode: Mode) {
        let audible = mode.hertz < 0.45 * self.sample_rate && mode.amplitude > Self::FAINT;
        if !audible || self.count == Self::CAPACITY {
            return;
        }
        let (row, lane) = (&mut self.rows[self.count / LANES], self.count % LANES);
        let shrink = super::wave::decay(mode.seconds, self.sample_rate);
        let (sine, cosine) = (TAU * mode.hertz / self.sample_rate).sin_cos();
        (row.turn[lane], row.rise[lane]) = (shrink * cosine, shrink * sine);
        let (sine, cosine) = (TAU * mode.phase).sin_cos();
        (row.across[lane], row.up[lane]) = (mode.amplitude * cosine, mode.amplitude * sine);
        // Equal power.
        let (right, left) = ((1.0 + mode.pan) * TAU / 8.0).sin_cos();
        (row.left[lane], row.right[lane]) = (left, right);
        self.count += 1;
    }

    /// The next sample, left and right.
    pub fn next(&mut self) -> [f32; 2] {
        let (mut left, mut right) = ([0.0; LANES], [0.0; LANES]);
        for row in &mut self.rows[..self.count.div_ceil(LANES)] {
            for lane in 0..LANES {
                let (across, up) = (row.across[lane], row.up[lane]);
                row.across[lane] = row.turn[lane] * across - row.rise[lane] * up;
                row.up[lane] = row.rise[lane] * across + row.turn[lane] * up;
                left[lane] += row.left[lane] * up;
                right[lane] += row.right[lane] * up;
            }
        }
        [left.iter().sum(), right.iter().sum()]
    }

    /// From now on everything fades at least so fast: a damper, or a hand.
    pub fn damp(&mut self, seconds: f32) {
        let shrink = super::wave::decay(seconds, self.sample_rate);
        for row in &mut self.rows {
            for lane in 0..LANES {
                row.turn[lane] *= shrink;
                row.rise[lane] *= shrink;
            }
        }
    }

    /// Whether it can still be heard.
    pub fn rings(&self) -> bool {
        let loudest = |row: &Row| row.across.iter().zip(&row.up).map(|(a, u)| a * a + u * u).fold(0.0, f32::max);
        self.rows.iter().map(loudest).fold(0.0, f32::max) > Self::FAINT * Self::FAINT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE_RATE: f32 = 48_000.0;

    fn one(hertz: f32, seconds: f32, pan: f32) -> Modes {
        let mut modes = Modes::none(SAMPLE_RATE);
        modes.add(Mode { hertz, seconds, amplitude: 0.5, pan, phase: 0.0 });
        modes
    }

    #[test]
    fn a_mode_is_a_sine_that_fades() {
        let mut modes = one(1000.0, 1.0, 0.0);
        for sample in 0..SAMPLE_RATE as u32 {
            let seconds = sample as f32 / SAMPLE_RATE;
            let expected = 0.5 * (TAU * (1000.0 * seconds).fract()).sin() * 0.001_f32.powf(seconds) / 2_f32.sqrt();
            let [left, right] = modes.next();
            assert!((left - expected).abs() < 2e-3 && (right - expected).abs() < 2e-3, "{sample}: {left} {expected}");
        }
    }

    #[test]
    fn it_stands_where_it_is_put_and_ends() {
        let mut modes = one(300.0, 0.2, -1.0);
        let (mut left, mut right, mut length) = (0.0, 0.0, 0);
        while modes.rings() {
            let sample = modes.next();
            left += sample[0] * sample[0];
            right += sample[1] * sample[1];
            length += 1;
        }
        assert!(right < 1e-9 * left, "{left} {right}");
        // 84 dB of decay from a half at 60 dB in .2 s.
        assert!((length as f32 / SAMPLE_RATE - 0.28).abs() < 0.01, "{length}");
    }

    #[test]
    fn a_damped_mode_ends_soon() {
        let mut modes = one(300.0, 20.0, 0.0);
        modes.damp(0.1);
        for _ in 0..(0.15 * SAMPLE_RATE) as u32 {
            modes.next();
        }
        assert!(!modes.rings());
    }

    #[test]
    fn what_the_sample_rate_cannot_hold_is_left_out() {
        assert!(!one(23_000.0, 1.0, 0.0).rings());
        let mut modes = Modes::none(SAMPLE_RATE);
        for _ in 0..2 * Modes::CAPACITY {
            modes.add(Mode { hertz: 100.0, seconds: 1.0, amplitude: 1.0, pan: 0.0, phase: 0.25 });
        }
        let [left, _] = modes.next();
        assert!(left < 1.01 * Modes::CAPACITY as f32 * 0.708, "as many as there is room for: {left}");
    }
}
