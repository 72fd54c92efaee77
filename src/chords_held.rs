//! Chords that a player holds while the music runs, as on an arranger keyboard: keys that go down and up in, the chord of
//! each segment out. Pure.
//!
//! - Two keys held for a moment, or three struck, are a chord; single keys change nothing.
//! - Letting go changes nothing either, unless three keys of a chord are kept: a hand never leaves all keys at once.
//! - A chord stays until another is held, or the take ends.
//! - What counts for a segment is what was held when the song was last listened to before it, so a chord that is struck
//!   inside a segment counts from the next one on.

use crate::music::{Chord, Key, Segment, Ticks, quantise};
use std::collections::VecDeque;

/// What a hand needs for a chord: a 32nd, in whole ticks.
const MOMENT: Ticks = 2;
/// So many different notes are a chord at once.
const FULL_CHORD: u32 = 3;
/// So many semitones below the next key, the lowest is a bass of its own. Closer, an inversion is only how the hand finds
/// its way to the chord.
const BASS_APART: u8 = 7;

/// The chords of one take.
#[derive(Debug, Clone, Default)]
pub struct HeldChords {
    start: Ticks,
    /// The keys that are down, with their channels.
    keys: Vec<(u8, Key)>,
    /// By time.
    phases: VecDeque<Phase>,
    /// The last chord of the phases that have been forgotten.
    before: Option<Chord>,
}

/// From one key that goes down or up to the next.
#[derive(Debug, Clone, Copy)]
struct Phase {
    from: Ticks,
    struck: bool,
    /// Different notes, octaves apart being the same.
    notes: u32,
    chord: Option<Chord>,
}

/// A chord that a player has given for a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldChord {
    pub chord: Chord,
    pub hold: Hold,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// Its keys are down.
    Now,
    /// Its keys were down when the take began in this segment; the player may be about to change them.
    OverStart,
    /// Its keys have been let go.
    Past,
}

impl HeldChords {
    /// Phases that are remembered one by one: the last few seconds of very busy hands.
    const MOST: usize = 64;

    /// Begins a take at `at` quarter notes. No key is down.
    pub fn begin(&mut self, at: f64) {
        *self = Self { start: quantise(at), ..Self::default() };
    }

    /// A key is down since before the take began.
    pub fn hold_over(&mut self, channel: u8, key: Key) {
        self.strike(Ticks::MIN, channel, key);
    }

    /// A key goes down at `at` quarter notes. One that comes after another never counts as before it.
    pub fn note_on(&mut self, at: f64, channel: u8, key: Key) {
        self.strike(quantise(at), channel, key);
    }

    /// A key goes up. One that was not down is ignored.
    pub fn note_off(&mut self, at: f64, channel: u8, key: Key) {
        if let Some(place) = self.keys.iter().position(|down| *down == (channel, key)) {
            self.keys.swap_remove(place);
            self.add(quantise(at), false);
        }
    }

    /// The chord for a segment, as far as it was known `margin` ticks before it.
    pub fn chord_at(&self, segment: &Segment, margin: Ticks) -> Option<HeldChord> {
        self.known_at(segment.start() - margin, segment)
    }

    /// The chord that a segment turned out to have: the one in its middle. `until` is how far the take has come.
    pub fn chord_in(&self, segment: &Segment, until: Ticks) -> Option<HeldChord> {
        let middle = (segment.start() + segment.end()) / 2;
        let heard = self.start <= middle && middle <= until;
        self.known_at(middle, segment).filter(|_| heard)
    }

    fn known_at(&self, until: Ticks, segment: &Segment) -> Option<HeldChord> {
        let known = self.phases.partition_point(|phase| phase.from <= until);
        let mut down = true;
        let mut end = until;
        for phase in self.phases.iter().take(known).rev() {
            down &= phase.notes > 0;
            if let Some(chord) = phase.chord_until(end) {
                let over_start = phase.from < self.start && segment.start() <= self.start;
                let hold = match (down, over_start) {
                    (false, _) => Hold::Past,
                    (true, true) => Hold::OverStart,
                    (true, false) => Hold::Now,
                };
                return Some(HeldChord { chord, hold });
            }
            end = phase.from;
        }
        self.before.map(|chord| HeldChord { chord, hold: Hold::Past })
    }

    fn strike(&mut self, from: Ticks, channel: u8, key: Key) {
        self.keys.retain(|down| *down != (channel, key));
        self.keys.push((channel, key));
        self.add(from, true);
    }

    fn add(&mut self, from: Ticks, struck: bool) {
        if self.phases.len() == Self::MOST {
            let forgotten = self.phases.pop_front();
            let end = self.phases.front().map_or(from, |next| next.from);
            self.before = forgotten.and_then(|phase| phase.chord_until(end)).or(self.before);
        }
        // Hosts may round.
        let from = self.phases.back().map_or(from, |last| from.max(last.from));
        let mut classes = [false; 12];
        self.keys.iter().for_each(|(_, key)| classes[key.pitch_class().semitones() as usize] = true);
        let notes = classes.into_iter().filter(|sounds| *sounds).count() as u32;
        let keys = self.keys.iter().map(|(_, key)| *key);
        self.phases.push_back(Phase { from, struck, notes, chord: chord_of(keys) });
    }
}

impl Phase {
    /// Its chord, if it lasted so long that it was meant.
    fn chord_until(&self, end: Ticks) -> Option<Chord> {
        let lasted = end.saturating_sub(self.from) >= MOMENT;
        let meant = match self.struck {
            true => self.notes >= FULL_CHORD || (self.notes == FULL_CHORD - 1 && lasted),
            false => self.notes >= FULL_CHORD && lasted,
        };
        self.chord.filter(|_| meant)
    }
}

/// The chord of keys that are down together.
fn chord_of(keys: impl Iterator<Item = Key> + Clone) -> Option<Chord> {
    let lowest = keys.clone().min()?;
    let next = keys.clone().filter(|key| *key > lowest).min();
    let mut weights = [0.0; 12];
    keys.for_each(|key| weights[key.pitch_class().semitones() as usize] = 1.0);
    let chord = Chord::recognise(&weights, Some(lowest.pitch_class()))?;
    let bass_apart = next.is_none_or(|next| next.number() - lowest.number() >= BASS_APART);
    Some(if bass_apart { chord } else { Chord { slash: None, ..chord } })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::music::{Bar, Meter, TICKS_PER_QUARTER};
    use proptest::prelude::*;

    fn segment(number: i32) -> Segment {
        Bar::of_constant_meter(number.div_euclid(2), Meter::COMMON).segment_at(24 * number)
    }

    fn quarters(tick: Ticks) -> f64 {
        f64::from(tick) / f64::from(TICKS_PER_QUARTER)
    }

    /// A hand at a take from tick 0 on: `(tick, key)`, with a minus where the key goes up.
    fn hand(events: &[(Ticks, i32)]) -> HeldChords {
        let mut held = HeldChords::default();
        held.begin(0.0);
        for (tick, key) in events {
            let pressed = Key::folded(key.abs());
            if *key > 0 {
                held.note_on(quarters(*tick), 0, pressed)
            } else {
                held.note_off(quarters(*tick), 0, pressed)
            }
        }
        held
    }

    /// The chord of each segment, `name` while it is held, `(name)` after, `-` before there is one.
    fn chords(held: &HeldChords, segments: i32) -> String {
        let text = |number| match held.chord_at(&segment(number), 2) {
            None => "-".to_owned(),
            Some(HeldChord { chord, hold: Hold::Past }) => format!("({chord})"),
            Some(HeldChord { chord, hold: Hold::OverStart }) => format!("<{chord}>"),
            Some(HeldChord { chord, hold: Hold::Now }) => chord.to_string(),
        };
        (0..segments).map(text).collect::<Vec<_>>().join(" ")
    }

    /// All keys at one tick.
    fn at(tick: Ticks, keys: &[i32]) -> Vec<(Ticks, i32)> {
        keys.iter().map(|key| (tick, *key)).collect()
    }

    #[test]
    fn a_chord_counts_from_the_next_segment_until_another_is_held() {
        let play = [at(3, &[48, 52, 55]), at(60, &[-48, -52, -55]), at(100, &[50, 53, 57])].concat();
        assert_eq!(chords(&hand(&play), 6), "- C C (C) (C) Dm");
    }

    #[test]
    fn a_chord_a_little_early_counts_for_the_segment_it_is_meant_for() {
        for (tick, expected) in [(21, "- C"), (22, "- C"), (23, "- -"), (24, "- -")] {
            assert_eq!(chords(&hand(&at(tick, &[48, 52, 55])), 2), expected, "tick {tick}");
        }
        let held = hand(&at(16, &[48, 52, 55]));
        assert_eq!(held.chord_at(&segment(1), 9), None, "the longer the margin, the earlier");
        assert!(held.chord_at(&segment(1), 8).is_some());
    }

    #[test]
    fn a_hand_that_lets_go_key_by_key_has_not_changed_the_chord() {
        let seventh = at(3, &[48, 52, 55, 58]);
        let leave = |events: &[(Ticks, i32)]| chords(&hand(&[&seventh[..], events].concat()), 3);
        assert_eq!(leave(&[(12, -48), (13, -52), (13, -55), (14, -58)]), "- (C7) (C7)");
        assert_eq!(leave(&[(22, -48)]), "- C7 Edim", "what stays down is a chord of its own");
        assert_eq!(leave(&[(12, -58)]), "- C C");
        assert_eq!(leave(&[(12, -58), (12, -48)]), "- C7 C7", "two keys that are left are not");
    }

    #[test]
    fn two_keys_are_a_chord_when_they_are_held_and_one_is_none() {
        assert_eq!(chords(&hand(&at(3, &[48, 55])), 2), "- C");
        assert_eq!(chords(&hand(&at(3, &[45, 48])), 2), "- Am");
        assert_eq!(chords(&hand(&at(3, &[48, 60])), 2), "- -", "an octave is one note");
        let walking = [at(3, &[48, 52, 55]), at(20, &[-48, -52, -55]), at(26, &[41]), at(30, &[-41]), at(30, &[43])];
        assert_eq!(chords(&hand(&walking.concat()), 4), "- (C) (C) (C)");
        // The second half of a chord is still to come when the segment is asked for.
        let late = [at(3, &[48, 52, 55]), at(20, &[-48, -52, -55]), at(22, &[53]), at(22, &[57]), at(24, &[60])];
        assert_eq!(chords(&hand(&late.concat()), 3), "- (C) F");
    }

    #[test]
    fn a_chord_that_is_rolled_or_changed_legato_is_what_is_down_in_the_end() {
        assert_eq!(chords(&hand(&[(10, 48), (12, 52), (14, 55), (16, 59)]), 2), "- Cmaj7");
        let legato = [at(3, &[48, 52, 55]), at(12, &[53, 57]), at(13, &[-52, -55])].concat();
        assert_eq!(chords(&hand(&legato), 2), "- F");
    }

    #[test]
    fn an_inversion_is_a_way_to_hold_a_chord_and_a_low_key_a_bass() {
        for (keys, expected) in [
            (vec![52, 55, 60], "C"),
            (vec![55, 60, 64], "C"),
            (vec![40, 55, 60], "C/E"),
            (vec![43, 60, 65, 69], "Fadd9/G"),
            (vec![45, 48, 52, 55], "Am7"),
            (vec![48, 52, 55, 57], "C6"),
        ] {
            assert_eq!(chords(&hand(&at(3, &keys)), 2), format!("- {expected}"), "{keys:?}");
        }
    }

    #[test]
    fn what_is_held_when_a_take_begins_is_known_at_once() {
        let mut held = hand(&at(3, &[48, 52, 55]));
        held.begin(2.0);
        assert_eq!(held.chord_at(&segment(1), 2), None, "a new take knows nothing");
        [48, 52, 55].into_iter().for_each(|key| held.hold_over(0, Key::folded(key)));
        assert_eq!(chords(&held, 4), "<C> <C> C C");
        held.note_off(2.5, 0, Key::folded(48));
        held.note_off(2.5, 0, Key::folded(52));
        held.note_off(2.5, 0, Key::folded(55));
        assert_eq!(chords(&held, 3), "<C> <C> (C)");
    }

    #[test]
    fn in_the_end_a_segment_has_the_chord_of_its_middle() {
        let held = hand(&[at(25, &[48, 52, 55]), at(58, &[-48, -52, -55]), at(60, &[50, 53, 57])].concat());
        let chord = |number, until| held.chord_in(&segment(number), until).map(|held| held.chord.to_string());
        assert_eq!([chord(0, 96), chord(1, 96), chord(2, 96)], [None, Some("C".into()), Some("Dm".into())]);
        assert_eq!([chord(2, 60), chord(2, 59)], [Some("Dm".into()), None], "what has not come to its middle has none");
    }

    #[test]
    fn a_chord_outlasts_any_number_of_single_keys() {
        let mut events = [at(3, &[48, 52, 55]), at(9, &[-48, -52, -55])].concat();
        (0..200).for_each(|step| events.extend([(12 + step, 40), (12 + step, -40)]));
        assert_eq!(hand(&events).chord_at(&segment(20), 2).map(|held| held.chord.to_string()), Some("C".into()));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

        /// Whatever hands do: what comes later is not known earlier, and no key is left over.
        #[test]
        fn the_future_changes_nothing(
            keys in prop::collection::vec((0..4_i32, 36..60_i32, any::<bool>()), 1..HeldChords::MOST),
        ) {
            let mut tick = 0;
            let events: Vec<(Ticks, i32)> = keys
                .into_iter()
                .map(|(after, key, down)| {
                    tick += after;
                    (tick, if down { key } else { -key })
                })
                .collect();
            let all = hand(&events);
            for number in 1..=tick / 24 {
                let until = 24 * number - 2;
                let known: Vec<(Ticks, i32)> = events.iter().copied().filter(|(tick, _)| *tick <= until).collect();
                let then = hand(&known);
                prop_assert_eq!(all.chord_at(&segment(number), 2), then.chord_at(&segment(number), 2));
            }
            let mut all = all;
            (36..60).for_each(|key| all.note_off(quarters(tick), 0, Key::folded(key)));
            prop_assert!(all.keys.is_empty());
            let last = all.chord_at(&segment(tick / 24 + 2), 2);
            prop_assert!(last.is_none_or(|held| held.hold == Hold::Past));
        }
    }
}
