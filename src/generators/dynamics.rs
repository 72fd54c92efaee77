//! How loud the band plays: as a model reads it from the music, around what the melody's loudness asks for. Pure.

use super::sampling::{Boldness, Dice, pick};
use crate::contract::LOUDNESS_CLASSES;
use crate::music::{Note, Ticks, Velocity};

/// The band neither vanishes under a whisper nor shouts back.
const SOFTEST: f32 = 45.0;
const LOUDEST: f32 = 112.0;
/// The band's mean velocity beside the melody's: in POP909 the piano's is 81 under a melody of 92.
const BESIDE: f32 = 0.88;
/// How much of the melody counts: two bars of 4/4, in ticks.
const RECENT: Ticks = 96;

/// As `docs/encoding.md` has it: velocities in a class, and the class of the band's mean.
const STEP: f32 = 6.0;
pub const MEAN_CLASS: f32 = 6.0;
/// As `models/obbligato_models/transformer/sample.py` has it.
const BOLDNESS: Boldness = Boldness { temperature: 0.8, top_p: 0.95 };

/// The loudness of one answer.
#[derive(Debug, Clone, Copy)]
pub struct Dynamics {
    /// Mean velocity of the band around here.
    level: f32,
}

impl Dynamics {
    /// Follows the melody notes struck in the two bars before `until`; mezzo-forte where there are none.
    pub fn following(melody: &[Note], until: Ticks) -> Self {
        Self { level: BESIDE * recent_level(melody, until).clamp(SOFTEST, LOUDEST) }
    }

    /// As loud as the melody was played at its end.
    pub fn of_melody(melody: &[Note]) -> Self {
        let end = melody.last().map_or(0, |last| last.start + 1);
        Self { level: recent_level(melody, end) }
    }

    /// The velocity of a note, drawn from the logits of its class. A class that is no number counts as the mean.
    pub fn velocity(&self, loudness: &[f32; LOUDNESS_CLASSES], dice: &mut Dice) -> Velocity {
        let classes: Vec<_> = (0u16..).zip(loudness.iter().copied()).collect();
        let class = pick(&classes, BOLDNESS, dice).map_or(MEAN_CLASS, f32::from);
        let within = dice.roll() - 0.5;
        Velocity::clamped((self.level + STEP * (class - MEAN_CLASS + within)).round() as i32)
    }

    /// The velocity of a note of which nothing is said.
    pub fn usual(&self) -> Velocity {
        Velocity::clamped(self.level.round() as i32)
    }
}

/// Mean velocity of what was struck in the two bars before `until`.
fn recent_level(melody: &[Note], until: Ticks) -> f32 {
    let recent = melody.iter().filter(|note| (until - RECENT..until).contains(&note.start));
    let (sum, count) =
        recent.fold((0.0, 0.0), |(sum, count), note| (sum + f32::from(note.velocity.get()), count + 1.0));
    if count > 0.0 { sum / count } else { f32::from(Velocity::default().get()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::music::Key;

    fn melody(velocity: i32) -> Vec<Note> {
        let note = |start| Note { start, key: Key::folded(60), duration: 12, velocity: Velocity::clamped(velocity) };
        (0..8).map(|beat| note(beat * 12)).collect()
    }

    /// Mean and range of velocities of one class after a melody of the given velocity.
    fn heard(class: usize, velocity: i32) -> (f32, i32) {
        let dynamics = Dynamics::following(&melody(velocity), 96);
        let mut loudness = [-20.0; LOUDNESS_CLASSES];
        loudness[class] = 20.0;
        let mut dice = Dice::new(5);
        let drawn: Vec<i32> = (0..300).map(|_| i32::from(dynamics.velocity(&loudness, &mut dice).get())).collect();
        let range = drawn.iter().max().zip(drawn.iter().min()).map_or(0, |(most, least)| most - least);
        (drawn.iter().sum::<i32>() as f32 / 300.0, range)
    }

    #[test]
    fn the_band_follows_the_melody_and_the_model() {
        assert!(heard(6, 100).0 > heard(6, 60).0 + 25.0);
        let (soft, loud) = (heard(4, 90).0, heard(8, 90).0);
        assert!((loud - soft - 24.0).abs() < 1.0, "{soft} {loud}");
    }

    #[test]
    fn repeated_notes_differ_a_little() {
        assert!((4..=6).contains(&heard(6, 90).1));
    }

    #[test]
    fn extremes_of_the_melody_are_not_followed_all_the_way() {
        assert!(heard(6, 1).0 > 35.0 && heard(6, 127).0 < 105.0);
        let usual = f32::from(Velocity::default().get()) * BESIDE;
        assert_eq!(Dynamics::following(&[], 0).usual(), Velocity::clamped(usual.round() as i32));
    }

    #[test]
    fn what_is_no_number_is_the_mean() {
        let dynamics = Dynamics::following(&melody(90), 96);
        let velocity = dynamics.velocity(&[f32::NAN; LOUDNESS_CLASSES], &mut Dice::new(1)).get();
        assert!(velocity.abs_diff(79) <= 3, "{velocity}");
    }
}
