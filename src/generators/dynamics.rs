//! How loud the band plays: by rule, since no model writes velocities. Pure.

use crate::music::{Bar, Key, Note, Part, Ticks, Velocity};

/// The loudness of one answer.
#[derive(Debug, Clone, Copy)]
pub struct Dynamics {
    /// Mean velocity of the melody around here.
    level: f32,
    seed: u64,
}

/// The band neither vanishes under a whisper nor shouts back.
const SOFTEST: f32 = 45.0;
const LOUDEST: f32 = 112.0;
/// Velocities differ by up to this, so that repeated notes do not sound like a machine.
const VARIATION: i32 = 4;
/// How much of the melody counts: two bars of 4/4, in ticks.
const RECENT: Ticks = 96;

impl Dynamics {
    /// Follows the melody notes struck in the two bars before `until`; mezzo-forte where there are none.
    pub fn following(melody: &[Note], until: Ticks, seed: u64) -> Self {
        let recent = melody.iter().filter(|note| (until - RECENT..until).contains(&note.start));
        let (sum, count) =
            recent.fold((0.0, 0.0), |(sum, count), note| (sum + f32::from(note.velocity.get()), count + 1.0));
        let level = if count > 0.0 { sum / count } else { f32::from(Velocity::default().get()) };
        Self { level: level.clamp(SOFTEST, LOUDEST), seed }
    }

    /// Louder on strong beats, by part, with a small variation that depends on the seed and the note alone.
    pub fn velocity(&self, part: Part, bar: &Bar, start: Ticks, key: Key) -> Velocity {
        let loudness = self.level * balance(part) * accent(bar, start);
        let note = (start as u64) << 16 | u64::from(key.number()) << 8 | part.index() as u64;
        let variation = (mixed(self.seed ^ note) % (2 * VARIATION as u64 + 1)) as i32 - VARIATION;
        Velocity::clamped(loudness.round() as i32 + variation)
    }
}

/// Loudness beside the melody.
fn balance(part: Part) -> f32 {
    match part {
        Part::Bass | Part::Drums => 0.95,
        Part::Chords => 0.8,
        Part::Pad => 0.65,
        Part::Counter => 0.85,
    }
}

fn accent(bar: &Bar, start: Ticks) -> f32 {
    let offset = start - bar.start;
    let beat = bar.meter.beat_length();
    let on_segment = bar.segments().any(|segment| segment.start() == start);
    match offset {
        0 => 1.08,
        _ if on_segment => 1.04,
        _ if offset % beat == 0 => 1.0,
        _ if offset % (beat / 2).max(1) == 0 => 0.94,
        _ => 0.9,
    }
}

/// A number that looks random: the finaliser of SplitMix64 (Steele, Lea and Flood 2014).
fn mixed(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::music::Meter;

    fn melody(velocity: i32) -> Vec<Note> {
        let note = |start| Note { start, key: Key::folded(60), duration: 12, velocity: Velocity::clamped(velocity) };
        (0..8).map(|beat| note(beat * 12)).collect()
    }

    fn mean(part: Part, offset: Ticks, velocity: i32) -> f32 {
        let bar = Bar::of_constant_meter(2, Meter::COMMON);
        let of_seed = |seed| {
            let dynamics = Dynamics::following(&melody(velocity), bar.start, seed);
            f32::from(dynamics.velocity(part, &bar, bar.start + offset, Key::folded(40)).get())
        };
        (0..500).map(of_seed).sum::<f32>() / 500.0
    }

    #[test]
    fn the_band_follows_the_melody_and_accents_the_metre() {
        assert!(mean(Part::Bass, 0, 100) > mean(Part::Bass, 0, 60) + 20.0);
        let accents = [0, 24, 12, 6, 5].map(|offset| mean(Part::Bass, offset, 90));
        assert!(accents.is_sorted_by(|louder, softer| louder > softer), "{accents:?}");
        assert!(mean(Part::Chords, 0, 90) < mean(Part::Bass, 0, 90));
    }

    #[test]
    fn extremes_of_the_melody_are_not_followed_all_the_way() {
        assert!(mean(Part::Pad, 5, 1) > 20.0);
        assert!(mean(Part::Bass, 0, 127) < 120.0);
    }

    #[test]
    fn variation_is_small_and_the_same_for_the_same_note() {
        let bar = Bar::of_constant_meter(0, Meter::COMMON);
        let velocity =
            |seed, key| Dynamics::following(&[], 0, seed).velocity(Part::Bass, &bar, 0, Key::folded(key)).get();
        let velocities: Vec<u8> = (0..200).map(|seed| velocity(seed, 40)).collect();
        let (least, most) = (velocities.iter().min().copied(), velocities.iter().max().copied());
        assert_eq!(most.zip(least).map(|(most, least)| most - least), Some(2 * VARIATION as u8));
        assert_eq!(velocity(3, 41), velocity(3, 41));
    }
}
