//! Which keys: chords voice-led by the nearest motion, the bass line, and the counter-melody. Pure.

use crate::music::{Chord, Key, Note, PitchClass, Ticks, Tonality};
use std::ops::RangeInclusive;

/// C3 to C5, where chords are clear and leave the melody room.
pub const CHORD_RANGE: RangeInclusive<i32> = 48..=72;
/// C3 to G5.
pub const PAD_RANGE: RangeInclusive<i32> = 48..=79;
/// E1, the lowest string of a bass, to D3.
pub const BASS_RANGE: RangeInclusive<i32> = 28..=50;
/// E4 to C6.
pub const COUNTER_RANGE: RangeInclusive<i32> = 64..=84;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spacing {
    /// Within an octave where possible.
    Close,
    /// The second lowest voice an octave higher, so that the chord breathes.
    Open,
}

/// The notes of a chord for so many voices (at least three), lowest first, led from those before by the nearest way.
pub fn lead(chord: &Chord, voices: usize, spacing: Spacing, range: RangeInclusive<i32>, before: &[Key]) -> Vec<Key> {
    let classes = classes_for(chord, voices);
    let positions = range.clone().filter(|low| classes.contains(&PitchClass::new(*low)));
    let voicings = positions.map(|low| stack(low, &classes, voices, spacing));
    let centre = (range.start() + range.end()) as f32 / 2.0;
    let cost = |keys: &Vec<i32>| motion(before, keys) + mud(keys) + off_centre(keys, centre) + outside(keys, &range);
    let best = voicings.min_by(|a, b| cost(a).total_cmp(&cost(b))).unwrap_or_default();
    best.into_iter().map(Key::folded).collect()
}

/// Leaves out what is missed least: a perfect fifth, then the root, which the bass has.
fn classes_for(chord: &Chord, voices: usize) -> Vec<PitchClass> {
    let mut intervals = chord.quality.intervals().to_vec();
    for spare in [7, 0] {
        if intervals.len() > voices {
            intervals.retain(|interval| *interval != spare);
        }
    }
    intervals.truncate(voices);
    intervals.into_iter().map(|interval| chord.root.up(interval)).collect()
}

/// The classes piled up from `low`, its octave on top if there are voices to spare.
fn stack(low: i32, classes: &[PitchClass], voices: usize, spacing: Spacing) -> Vec<i32> {
    let above_low = |class: &PitchClass| low + class.above(PitchClass::new(low));
    let mut keys: Vec<i32> = classes.iter().map(above_low).collect();
    keys.sort_unstable();
    for spare in 0..voices.saturating_sub(keys.len()) {
        keys.push(keys[spare] + 12);
    }
    if spacing == Spacing::Open {
        keys[1] += 12;
        keys.sort_unstable();
    }
    keys.dedup();
    keys
}

/// How far the voices have to go; more than a fifth counts double.
fn motion(before: &[Key], keys: &[i32]) -> f32 {
    if before.is_empty() {
        return 0.0;
    }
    let before: Vec<i32> = before.iter().map(|key| i32::from(key.number())).collect();
    let way = |distance: i32| (distance + (distance - 7).max(0)) as f32;
    if before.len() == keys.len() {
        return before.iter().zip(keys).map(|(a, b)| way((a - b).abs())).sum();
    }
    let nearest = |from: &[i32], to: &[i32]| -> f32 {
        let distance = |key: &i32| to.iter().map(|other| (key - other).abs()).min().unwrap_or(0);
        from.iter().map(|key| way(distance(key))).sum()
    };
    (nearest(&before, keys) + nearest(keys, &before)) / 2.0
}

/// Seconds and thirds are muddy in the bass, and a second at the bottom is rough anywhere.
fn mud(keys: &[i32]) -> f32 {
    let lowest = keys.windows(2).next().map_or(12, |pair| pair[1] - pair[0]);
    let rough = if lowest < 3 { 3.0 } else { 0.0 };
    let low = if keys[0] < 52 && lowest < 5 { 2.0 } else { 0.0 };
    rough + low
}

fn off_centre(keys: &[i32], centre: f32) -> f32 {
    let mean = keys.iter().sum::<i32>() as f32 / keys.len() as f32;
    0.35 * (mean - centre).abs()
}

fn outside(keys: &[i32], range: &RangeInclusive<i32>) -> f32 {
    keys.last().map_or(0.0, |top| 20.0 * (top - range.end()).max(0) as f32)
}

/// The bass note of this class nearest to the one before, with a pull to the middle of its range.
pub fn bass_key(class: PitchClass, before: Option<Key>) -> Key {
    const HOME: i32 = 39;
    let before = before.map_or(HOME, |key| i32::from(key.number()));
    let cost = |key: &i32| 5 * (key - before).abs() + 4 * (key - HOME).abs();
    let keys = BASS_RANGE.filter(|key| PitchClass::new(*key) == class);
    Key::folded(keys.min_by_key(cost).unwrap_or(HOME))
}

/// The fifth that goes with the bass; the bass itself under an inversion, which has to stay what it is.
pub fn other_bass_class(chord: &Chord) -> PitchClass {
    match chord.slash {
        Some(bass) => bass,
        None => chord.root.up(chord.quality.intervals()[2]),
    }
}

/// The note of the scale next to `goal`, from the side on which `from` is.
pub fn step_towards(goal: Key, from: Key, tonality: Tonality) -> Key {
    let side = if from < goal { -1 } else { 1 };
    let goal = i32::from(goal.number());
    let scale = tonality.scale();
    let steps = [goal + side, goal + 2 * side];
    let in_scale = steps.into_iter().find(|key| scale.contains(PitchClass::new(*key)));
    Key::folded(in_scale.unwrap_or(steps[0]))
}

/// What the counter-melody hears of the melody while it sounds.
#[derive(Debug, Clone, Copy)]
pub struct CounterContext<'a> {
    /// The keys that sound together with it, as far as known, and for how many ticks.
    pub melody: &'a [(Key, Ticks)],
    /// Where the melody lies: the mean of its last keys.
    pub melody_height: Option<i32>,
    /// Semitones the melody just moved.
    pub melody_motion: i32,
    pub before: Option<Key>,
}

/// A chord note for the counter-melody: near the last one, against the melody's motion, in thirds and sixths to it,
/// never on its key. None where the melody is on all of them.
pub fn counter_key(chord: &Chord, context: &CounterContext<'_>) -> Option<Key> {
    let members = chord.class_set();
    let occupied = |key: &i32| context.melody.iter().any(|(other, _)| i32::from(other.number()) == *key);
    let cost = |key: &i32| counter_cost(*key, context);
    let keys = COUNTER_RANGE.filter(|key| members.contains(PitchClass::new(*key)) && !occupied(key));
    keys.min_by_key(cost).map(Key::folded)
}

fn counter_cost(key: i32, context: &CounterContext<'_>) -> i32 {
    let together: Ticks = context.melody.iter().map(|(_, ticks)| ticks).sum();
    let against = |(other, ticks): &(Key, Ticks)| ticks * roughness((key - i32::from(other.number())).abs());
    let harmony = context.melody.iter().map(against).sum::<i32>() / together.max(1);
    let home = 2 * (key - counter_home(context)).abs();
    harmony + home + counter_motion(key, context)
}

/// How little so many semitones are liked between counter-melody and melody.
fn roughness(semitones: i32) -> i32 {
    match semitones % 12 {
        0 => 40,
        1 | 11 => 60,
        2 | 6 | 10 => 15,
        3 | 4 | 8 | 9 => -10,
        _ => 0,
    }
}

fn counter_motion(key: i32, context: &CounterContext<'_>) -> i32 {
    const WIDEST: i32 = 12;
    let Some(before) = context.before else { return 0 };
    let motion = key - i32::from(before.number());
    let leap = match motion.abs() {
        0 => 15,
        1 | 2 => 0,
        3 | 4 => 8,
        5 => 18,
        distance if distance <= WIDEST => 10 * distance,
        distance => 500 + distance,
    };
    let contrary = motion * context.melody_motion < 0;
    leap - if contrary { 12 } else { 0 }
}

/// Below a high melody, above a low one.
fn counter_home(context: &CounterContext<'_>) -> i32 {
    const HIGH: i32 = 71;
    let Some(melody) = context.melody_height else { return HIGH };
    let home = if melody >= HIGH { melody - 8 } else { melody + 7 };
    home.clamp(*COUNTER_RANGE.start() + 2, *COUNTER_RANGE.end() - 6)
}

/// The keys that sound between two places, and for how many ticks.
pub fn sounding(melody: &[Note], start: Ticks, end: Ticks) -> Vec<(Key, Ticks)> {
    let struck = &melody[..melody.partition_point(|note| note.start < end)];
    let overlap = |note: &Note| (note.key, note.end().min(end) - note.start.max(start));
    struck.iter().map(overlap).filter(|(_, ticks)| *ticks > 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::music::Quality;

    fn every_chord() -> impl Iterator<Item = Chord> {
        PitchClass::all().flat_map(|root| Quality::ALL.map(|quality| Chord::new(root, quality)))
    }

    #[test]
    fn chords_move_by_small_steps_within_their_range() {
        for spacing in [Spacing::Close, Spacing::Open] {
            for voices in [3, 4] {
                for first in every_chord() {
                    let before = lead(&first, voices, spacing, CHORD_RANGE, &[]);
                    for chord in every_chord() {
                        let keys = lead(&chord, voices, spacing, CHORD_RANGE, &before);
                        assert!(
                            keys.iter().all(|key| CHORD_RANGE.contains(&i32::from(key.number()))),
                            "{chord} {keys:?}"
                        );
                        assert!(keys.iter().all(|key| chord.class_set().contains(key.pitch_class())), "{chord}");
                        assert_eq!(keys.len(), voices);
                        let leaps = before.iter().zip(&keys).map(|(a, b)| a.number().abs_diff(b.number()));
                        assert!(leaps.max() <= Some(7), "{first} {before:?} -> {chord} {keys:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn neighbouring_chords_keep_their_common_notes() {
        let chord = |name: &str| name.parse::<Chord>().expect("a chord");
        let mut before = vec![];
        let mut lines = String::new();
        for name in ["C", "Am", "F", "Dm", "G7", "C"] {
            before = lead(&chord(name), 3, Spacing::Close, CHORD_RANGE, &before);
            let keys: Vec<String> = before.iter().map(Key::to_string).collect();
            lines += &format!("{name}: {}\n", keys.join(" "));
        }
        expect_test::expect![[r#"
            C: G3 C4 E4
            Am: A3 C4 E4
            F: A3 C4 F4
            Dm: A3 D4 F4
            G7: G3 B3 F4
            C: G3 C4 E4
        "#]]
        .assert_eq(&lines);
    }

    #[test]
    fn the_bass_stays_in_its_range_without_wide_leaps() {
        for class in PitchClass::all() {
            for before in BASS_RANGE.map(Key::folded) {
                let key = bass_key(class, Some(before));
                assert!(BASS_RANGE.contains(&i32::from(key.number())) && key.pitch_class() == class);
                assert!(key.number().abs_diff(before.number()) <= 12, "{before} -> {key}");
            }
        }
    }
}
