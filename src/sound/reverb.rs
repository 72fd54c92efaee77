//! The room: delays that feed each other (Jot and Chaigne 1991), with a matrix that loses nothing. Runs on the audio thread.

use super::wave::decay;

const LINES: usize = 8;

/// A small hall.
#[derive(Debug)]
pub struct Reverb {
    before: Delay,
    smear: [Delay; 4],
    lines: [Line; LINES],
    /// While it is emptied: samples left until it is empty, and how many it takes.
    closing: u32,
    close: u32,
}

#[derive(Debug)]
struct Line {
    delay: Delay,
    /// Factor per round, and share of the last sample that stays: walls take the high notes first.
    keep: f32,
    dull: f32,
    last: f32,
}

impl Reverb {
    /// Until it has faded by 60 dB.
    pub const SECONDS: f32 = 1.25;
    /// Seconds from the sound to the first wall, and of each line: without common divisors.
    const BEFORE: f32 = 0.016;
    const LENGTHS: [f32; LINES] = [0.0297, 0.0331, 0.0371, 0.0411, 0.0437, 0.0479, 0.0523, 0.0571];
    const SMEAR: [f32; 4] = [0.0047, 0.0036, 0.0127, 0.0093];
    const SMEARING: f32 = 0.62;
    const CLOSE: f32 = 0.01;

    pub fn new(sample_rate: f32) -> Self {
        let dull = (-(std::f32::consts::TAU * 5200.0 / sample_rate)).exp();
        let line = |seconds: f32| Line {
            delay: Delay::new(seconds, sample_rate),
            keep: decay(Self::SECONDS, sample_rate).powf(seconds * sample_rate),
            dull,
            last: 0.0,
        };
        Self {
            before: Delay::new(Self::BEFORE, sample_rate),
            smear: Self::SMEAR.map(|seconds| Delay::new(seconds, sample_rate)),
            lines: Self::LENGTHS.map(line),
            closing: 0,
            close: ((Self::CLOSE * sample_rate) as u32).max(1),
        }
    }

    pub fn next(&mut self, input: f32) -> [f32; 2] {
        let mut smeared = self.before.next(input);
        for delay in &mut self.smear {
            let late = delay.oldest();
            let into = smeared - Self::SMEARING * late;
            delay.next(into);
            smeared = late + Self::SMEARING * into;
        }
        let heard: [f32; LINES] = std::array::from_fn(|index| self.lines[index].hear());
        // A reflection at the diagonal (Householder's), which keeps the energy.
        let shared = heard.iter().sum::<f32>() * (2.0 / LINES as f32);
        for (index, line) in self.lines.iter_mut().enumerate() {
            let sign = if index % 2 == 0 { 1.0 } else { -1.0 };
            line.delay.next(heard[index] - shared + sign * smeared);
        }
        let level = self.level();
        [level * (heard[0] - heard[2] + heard[4] - heard[6]), level * (heard[1] - heard[3] + heard[5] - heard[7])]
    }

    /// Falls silent within a hundredth of a second.
    pub fn empty(&mut self) {
        if self.closing == 0 {
            self.closing = self.close;
        }
    }

    pub fn clear(&mut self) {
        self.before.clear();
        self.smear.iter_mut().for_each(Delay::clear);
        for line in &mut self.lines {
            line.delay.clear();
            line.last = 0.0;
        }
        self.closing = 0;
    }

    fn level(&mut self) -> f32 {
        if self.closing == 0 {
            return 1.0;
        }
        let level = self.closing as f32 / self.close as f32;
        self.closing -= 1;
        if self.closing == 0 {
            self.clear();
        }
        level
    }
}

impl Line {
    fn hear(&mut self) -> f32 {
        let late = self.delay.oldest();
        self.last = late + self.dull * (self.last - late);
        self.keep * self.last
    }
}

#[derive(Debug)]
struct Delay {
    samples: Vec<f32>,
    place: usize,
}

impl Delay {
    fn new(seconds: f32, sample_rate: f32) -> Self {
        Self { samples: vec![0.0; ((seconds * sample_rate) as usize).max(1)], place: 0 }
    }

    fn oldest(&self) -> f32 {
        self.samples[self.place]
    }

    /// Puts a sample in and takes the oldest out.
    fn next(&mut self, sample: f32) -> f32 {
        let oldest = std::mem::replace(&mut self.samples[self.place], sample);
        self.place = if self.place + 1 == self.samples.len() { 0 } else { self.place + 1 };
        oldest
    }

    fn clear(&mut self) {
        self.samples.fill(0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE_RATE: f32 = 48_000.0;

    /// Loudness of the answer to one click, by tenth of a second.
    fn tail(reverb: &mut Reverb, tenths: usize) -> Vec<f32> {
        let mut loudness = vec![0.0; tenths];
        for sample in 0..tenths * 4800 {
            let [left, right] = reverb.next(if sample == 0 { 1.0 } else { 0.0 });
            loudness[sample / 4800] += left * left + right * right;
        }
        loudness
    }

    #[test]
    fn the_room_fades_as_long_as_it_says() {
        let loudness = tail(&mut Reverb::new(SAMPLE_RATE), 13);
        let decibels = |tenth: usize| 10.0 * (loudness[tenth] / loudness[1]).log10();
        // The walls take the high frequencies sooner.
        assert!((-62.0..-42.0).contains(&decibels(11)), "{loudness:?}");
        assert!(loudness.windows(2).skip(1).all(|pair| pair[1] < pair[0]), "{loudness:?}");
    }

    #[test]
    fn an_emptied_room_is_silent() {
        let mut reverb = Reverb::new(SAMPLE_RATE);
        tail(&mut reverb, 1);
        reverb.empty();
        let closing: Vec<f32> = (0..600).map(|_| reverb.next(0.0)[0].abs()).collect();
        assert!(closing[..400].iter().any(|sample| *sample > 1e-4), "not with a click");
        assert!(closing[480..].iter().all(|sample| *sample == 0.0));
        assert!(tail(&mut reverb, 3)[1] > 1e-3, "and open again");
    }
}
