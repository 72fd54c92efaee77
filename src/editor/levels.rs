//! Meters of the voices: how they light up and fade. Pure.

use crate::channels::{Meters, Strikes};
use crate::music::{Part, PerPart};

/// Seconds in which a meter falls to a tenth.
const FALL: f64 = 0.45;
/// Less is not seen.
const DARK: f32 = 0.03;

/// What the meters have come to.
#[derive(Debug, Clone, Default)]
pub struct Levels {
    melody: Level,
    parts: PerPart<Level>,
    /// Seconds, at the last look.
    now: f64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Level {
    strikes: u32,
    /// 0..=1.
    height: f32,
}

impl Levels {
    /// Takes in what has been struck since the last look; `now` in seconds. Whether something is still fading.
    pub fn look(&mut self, meters: &Meters, now: f64) -> bool {
        let passed = (now - std::mem::replace(&mut self.now, now)).max(0.0);
        let kept = 0.1_f64.powf(passed / FALL) as f32;
        self.melody.look(&meters.melody, kept);
        Part::ALL.into_iter().for_each(|part| self.parts[part].look(&meters.parts[part], kept));
        self.melody.height > 0.0 || self.parts.iter().any(|(_, level)| level.height > 0.0)
    }

    /// 0..=1, of the loudest velocity.
    pub fn melody(&self) -> f32 {
        self.melody.height
    }

    /// 0..=1, of the loudest velocity.
    pub fn part(&self, part: Part) -> f32 {
        self.parts[part].height
    }
}

impl Level {
    fn look(&mut self, strikes: &Strikes, kept: f32) {
        let (count, velocity) = strikes.get();
        self.height *= kept;
        if self.height < DARK {
            self.height = 0.0;
        }
        if std::mem::replace(&mut self.strikes, count) != count {
            self.height = self.height.max(f32::from(velocity) / 127.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::music::Velocity;

    #[test]
    fn a_meter_shows_the_strike_and_fades() {
        let meters = Meters::default();
        let mut levels = Levels::default();
        assert!(!levels.look(&meters, 10.0), "dark, so nothing is to be painted");
        meters.parts[Part::Pad].strike(Velocity::clamped(127));
        meters.melody.strike(Velocity::clamped(64));
        assert!(levels.look(&meters, 10.1));
        assert_eq!((levels.part(Part::Pad), levels.part(Part::Bass)), (1.0, 0.0));
        assert!((levels.melody() - 64.0 / 127.0).abs() < 1e-6);
        levels.look(&meters, 10.1 + FALL);
        assert!((levels.part(Part::Pad) - 0.1).abs() < 1e-3);
        meters.parts[Part::Pad].strike(Velocity::clamped(1));
        levels.look(&meters, 10.1 + FALL);
        assert!((levels.part(Part::Pad) - 0.1).abs() < 1e-3, "a soft stroke does not cut a loud one short");
        assert!(!levels.look(&meters, 14.0), "over");
        assert_eq!(levels.part(Part::Pad), 0.0);
    }
}
