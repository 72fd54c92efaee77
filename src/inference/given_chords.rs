//! Chords that a chord track gives a band, on their way to the band's arranger. INFERENCE THREAD of the band.
//!
//! Two tracks come round a loop a little apart. So the keys that are down are known here: a take of the band begins with
//! them, whether the chord track has begun its own already or not.

use crate::channels::Heard;
use crate::music::Key;

/// No channel of the band's own notes: a chord's release must not end a note of the melody.
const CHANNELS: u8 = 16;

#[derive(Debug, Default)]
pub struct GivenChords {
    /// With their channels.
    down: Vec<(u8, Key)>,
}

impl GivenChords {
    /// What the band's arranger is to hear of what the chord track has heard. `reach` is how far the band's take has come, in
    /// quarter notes: what lies beyond it belongs to another take, and counts from here on.
    pub fn take_in(&mut self, given: &[Heard], reach: f64) -> Vec<Heard> {
        let mut heard = Vec::new();
        for given in given {
            match *given {
                Heard::ChordOn { key, channel, at } => {
                    let channel = self.press(key, channel);
                    heard.push(Heard::ChordOn { key, channel, at: at.min(reach) });
                }
                Heard::ChordHeld { key, channel } => {
                    let channel = self.press(key, channel);
                    heard.push(Heard::ChordHeld { key, channel });
                }
                Heard::NoteOff { key, channel, at } => {
                    let let_go = (CHANNELS + channel, key);
                    if self.down.contains(&let_go) {
                        self.down.retain(|down| *down != let_go);
                        heard.push(Heard::NoteOff { key, channel: CHANNELS + channel, at: at.min(reach) });
                    }
                }
                Heard::TakeBegan { at, .. } | Heard::TakeEnded { at } => {
                    let at = at.min(reach);
                    heard.extend(self.down.drain(..).map(|(channel, key)| Heard::NoteOff { key, channel, at }));
                }
                Heard::NoteOn { .. } | Heard::Cut(_) => {}
            }
        }
        heard
    }

    /// What a take of the band begins with.
    pub fn held_over(&self) -> impl Iterator<Item = Heard> {
        self.down.iter().map(|(channel, key)| Heard::ChordHeld { key: *key, channel: *channel })
    }

    fn press(&mut self, key: Key, channel: u8) -> u8 {
        let pressed = (CHANNELS + channel, key);
        if !self.down.contains(&pressed) {
            self.down.push(pressed);
        }
        pressed.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channels::TakeId;

    fn on(number: i32, at: f64) -> Heard {
        Heard::ChordOn { key: Key::folded(number), channel: 0, at }
    }

    fn off(number: i32, at: f64) -> Heard {
        Heard::NoteOff { key: Key::folded(number), channel: 0, at }
    }

    /// As text: `+` down, `-` up, `=` held, each with its place.
    fn told(heard: &[Heard]) -> String {
        let text = |heard: &Heard| match heard {
            Heard::ChordOn { key, channel: CHANNELS, at } => format!("+{}@{at}", key.number()),
            Heard::ChordHeld { key, channel: CHANNELS } => format!("={}", key.number()),
            Heard::NoteOff { key, channel: CHANNELS, at } => format!("-{}@{at}", key.number()),
            other => format!("{other:?}"),
        };
        heard.iter().map(text).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_take_begins_with_the_keys_that_are_down() {
        let mut chords = GivenChords::default();
        let heard = chords.take_in(&[on(48, 1.0), on(52, 1.0), off(48, 2.0), off(60, 2.0)], 4.0);
        assert_eq!(told(&heard), "+48@1 +52@1 -48@2", "60 was never down");
        assert_eq!(told(&chords.held_over().collect::<Vec<_>>()), "=52");
        let ended = chords.take_in(&[Heard::TakeEnded { at: 3.0 }], 4.0);
        assert_eq!(told(&ended), "-52@3");
        assert_eq!(chords.held_over().count(), 0);
    }

    #[test]
    fn what_belongs_to_the_take_before_counts_from_now_on() {
        let mut chords = GivenChords::default();
        chords.take_in(&[on(48, 15.0)], 16.0);
        // The band has begun anew at 0, the chord track not yet.
        assert_eq!(told(&chords.held_over().collect::<Vec<_>>()), "=48");
        let began = Heard::TakeBegan { take: TakeId(2), at: 0.0 };
        let held = Heard::ChordHeld { key: Key::folded(50), channel: 0 };
        let heard = chords.take_in(&[Heard::TakeEnded { at: 16.0 }, began, held, on(53, 0.5)], 2.0);
        assert_eq!(told(&heard), "-48@2 =50 +53@0.5");
    }
}
