//! The key of a melody (called tonality here, since a key is also what one presses).

use super::{PitchClass, PitchClassSet};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Mode {
    Major,
    Minor,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Tonality {
    pub tonic: PitchClass,
    pub mode: Mode,
}

/// How well each degree fits a key: Krumhansl and Kessler, Psychological Review 89 (1982).
const MAJOR_PROFILE: [f32; 12] = [6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88];
const MINOR_PROFILE: [f32; 12] = [6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17];

impl Tonality {
    pub const C_MAJOR: Self = Self { tonic: PitchClass::new(0), mode: Mode::Major };

    /// The key whose profile correlates best with how long each pitch class sounds, and whose scale has them; `None`
    /// in silence. The profiles alone hear E minor in E E F G.
    pub fn of(weights: &[f32; 12]) -> Option<Self> {
        if weights.iter().sum::<f32>() <= 0.0 {
            return None;
        }
        let keys = PitchClass::all().flat_map(|tonic| [Mode::Major, Mode::Minor].map(|mode| Self { tonic, mode }));
        let score = |key: &Self| key.fit(weights) - key.foreign(weights);
        keys.max_by(|a, b| score(a).total_cmp(&score(b)))
    }

    /// The notes of the scale; in minor both sevenths, since harmony uses the raised one.
    pub fn scale(&self) -> PitchClassSet {
        let degrees: &[i32] = match self.mode {
            Mode::Major => &[0, 2, 4, 5, 7, 9, 11],
            Mode::Minor => &[0, 2, 3, 5, 7, 8, 10, 11],
        };
        degrees.iter().map(|degree| self.tonic.up(*degree)).collect()
    }

    /// The share of the weights outside the scale.
    fn foreign(&self, weights: &[f32; 12]) -> f32 {
        let scale = self.scale();
        let outside = PitchClass::all().filter(|class| !scale.contains(*class));
        outside.map(|class| weights[class.semitones() as usize]).sum::<f32>() / weights.iter().sum::<f32>()
    }

    /// Pearson correlation of the weights with the key's profile.
    fn fit(&self, weights: &[f32; 12]) -> f32 {
        let profile = match self.mode {
            Mode::Major => &MAJOR_PROFILE,
            Mode::Minor => &MINOR_PROFILE,
        };
        let mean_weight = weights.iter().sum::<f32>() / 12.0;
        let mean_profile = profile.iter().sum::<f32>() / 12.0;
        let (mut product, mut spread, mut profile_spread) = (0.0, 0.0, 0.0);
        for class in PitchClass::all() {
            let weight = weights[class.semitones() as usize] - mean_weight;
            let degree = profile[class.above(self.tonic) as usize] - mean_profile;
            product += weight * degree;
            spread += weight * weight;
            profile_spread += degree * degree;
        }
        if spread <= 0.0 { 0.0 } else { product / (spread * profile_spread).sqrt() }
    }
}

impl std::fmt::Display for Tonality {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mode = match self.mode {
            Mode::Major => "major",
            Mode::Minor => "minor",
        };
        write!(f, "{} {mode}", self.tonic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_with_a_long_tonic_and_fifth_give_their_key() {
        for tonic in PitchClass::all() {
            for mode in [Mode::Major, Mode::Minor] {
                let key = Tonality { tonic, mode };
                let mut weights = [0.0; 12];
                key.scale().iter().for_each(|class| weights[class.semitones() as usize] = 1.0);
                weights[tonic.semitones() as usize] = 3.0;
                weights[tonic.up(7).semitones() as usize] = 2.0;
                weights[tonic.up(11).semitones() as usize] *= 0.5;
                assert_eq!(Tonality::of(&weights), Some(key));
            }
        }
        assert_eq!(Tonality::of(&[0.0; 12]), None);
    }

    #[test]
    fn a_few_notes_are_heard_in_a_key_that_has_them_all() {
        let mut weights = [0.0; 12];
        [4, 4, 5, 7].into_iter().for_each(|class| weights[class] += 1.0);
        assert_eq!(Tonality::of(&weights), Some(Tonality::C_MAJOR));
    }
}
