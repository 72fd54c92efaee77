//! Which keys of the piano are down, and by what: letters of the computer's keyboard, or the pointer. Pure.

use super::letters::{self, Shift};
use crate::channels::PianoKeys;
use crate::music::{Key, Velocity};
use egui::{Event, Modifiers};

/// The hands on the piano.
#[derive(Debug)]
pub struct Hands {
    keys: PianoKeys,
    letters: Vec<(egui::Key, Key)>,
    pointer: Option<Key>,
    /// The C that A plays.
    pub octave: i32,
    /// Of letters.
    pub velocity: Velocity,
    /// Strikes for which there was no room.
    pub lost: u32,
}

impl Hands {
    /// Of the C that A plays, as key numbers.
    const OCTAVES: (i32, i32) = (12, 108);

    pub fn new(keys: PianoKeys) -> Self {
        Self { keys, letters: Vec::new(), pointer: None, octave: 60, velocity: Velocity::clamped(90), lost: 0 }
    }

    pub fn is_down(&self, key: Key) -> bool {
        self.pointer == Some(key) || self.letters.iter().any(|(_, held)| *held == key)
    }

    /// Plays what letters say; `true` for events that nobody else is to hear.
    pub fn take(&mut self, event: &Event) -> bool {
        match event {
            Event::Key { key, pressed: true, repeat, modifiers, .. } if is_plain(*modifiers) => {
                self.press(*key, *repeat)
            }
            Event::Key { key, pressed: false, .. } => self.let_go(*key),
            // A letter under a modifier comes up as another one, or not at all.
            Event::Key { .. } => {
                self.release_letters();
                false
            }
            Event::Text(text) => is_letter_of_ours(text),
            Event::WindowFocused(false) => {
                self.release_all();
                false
            }
            _ => false,
        }
    }

    /// The pointer holds this key, or none.
    pub fn point(&mut self, key: Option<(Key, Velocity)>) {
        let now = key.map(|(key, _)| key);
        if self.pointer == now {
            return;
        }
        let before = self.pointer.take();
        before.into_iter().for_each(|before| self.release_unless_held(before));
        if let Some((key, velocity)) = key {
            self.strike(key, velocity);
            self.pointer = Some(key);
        }
    }

    pub fn release_letters(&mut self) {
        for (_, key) in std::mem::take(&mut self.letters) {
            self.release_unless_held(key);
        }
    }

    pub fn release_all(&mut self) {
        self.release_letters();
        self.point(None);
    }

    /// Once a frame: releases that found no room.
    pub fn settle(&mut self) {
        self.keys.settle();
    }

    pub fn move_octave(&mut self, octaves: i32) {
        self.release_letters();
        self.octave = (self.octave + 12 * octaves).clamp(Self::OCTAVES.0, Self::OCTAVES.1);
    }

    fn press(&mut self, letter: egui::Key, repeat: bool) -> bool {
        if let Some(semitones) = letters::semitones(letter) {
            let key = Key::new((self.octave + semitones).clamp(0, 255) as u8);
            if let Some(key) = key.filter(|_| !repeat && !self.letters.iter().any(|(held, _)| *held == letter)) {
                self.strike(key, self.velocity);
                self.letters.push((letter, key));
            }
            return true;
        }
        match letters::shift(letter) {
            Some(Shift::Octave(octaves)) => self.move_octave(octaves),
            Some(Shift::Velocity(step)) => self.velocity = Velocity::clamped(i32::from(self.velocity.get()) + step),
            None => return false,
        }
        true
    }

    fn let_go(&mut self, letter: egui::Key) -> bool {
        let Some(place) = self.letters.iter().position(|(held, _)| *held == letter) else { return false };
        let (_, key) = self.letters.remove(place);
        self.release_unless_held(key);
        true
    }

    fn strike(&mut self, key: Key, velocity: Velocity) {
        if !self.is_down(key) && !self.keys.press(key, velocity) {
            self.lost += 1;
        }
    }

    fn release_unless_held(&mut self, key: Key) {
        if !self.is_down(key) {
            self.keys.release(key);
        }
    }
}

fn is_plain(modifiers: Modifiers) -> bool {
    !(modifiers.alt || modifiers.ctrl || modifiers.command || modifiers.mac_cmd || modifiers.shift)
}

/// Letters come a second time as text, which the timeline would take for its own keys.
fn is_letter_of_ours(text: &str) -> bool {
    let key = egui::Key::from_name(&text.to_ascii_uppercase());
    key.is_some_and(|key| letters::semitones(key).is_some() || letters::shift(key).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channels::{PianoTouches, Touch, connect_piano};

    fn hands() -> (Hands, PianoTouches) {
        let (keys, touches) = connect_piano();
        (Hands::new(keys), touches)
    }

    fn letter(key: egui::Key, pressed: bool, modifiers: Modifiers) -> Event {
        Event::Key { key, physical_key: None, pressed, repeat: false, modifiers }
    }

    fn down(key: egui::Key) -> Event {
        letter(key, true, Modifiers::NONE)
    }

    fn up(key: egui::Key) -> Event {
        letter(key, false, Modifiers::NONE)
    }

    /// `+60` struck, `-60` let go.
    fn heard(touches: &mut PianoTouches) -> String {
        let told = touches.map(|touch| match touch {
            Touch::Down { key, .. } => format!("+{}", key.number()),
            Touch::Up { key } => format!("-{}", key.number()),
        });
        told.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn letters_play_and_nobody_else_hears_them() {
        let (mut hands, mut touches) = hands();
        for event in
            [down(egui::Key::A), Event::Text("a".into()), down(egui::Key::D), up(egui::Key::A), up(egui::Key::D)]
        {
            assert!(hands.take(&event), "{event:?}");
        }
        assert_eq!(heard(&mut touches), "+60 +64 -60 -64");
        // The timeline's own: written anew, a part, zoom.
        for event in [down(egui::Key::R), Event::Text("r".into()), Event::Text("1".into()), Event::Text("+".into())] {
            assert!(!hands.take(&event), "{event:?}");
        }
        assert!(!hands.take(&letter(egui::Key::A, true, Modifiers::COMMAND)), "select all");
        assert_eq!(heard(&mut touches), "");
    }

    #[test]
    fn a_held_letter_does_not_strike_again() {
        let (mut hands, mut touches) = hands();
        hands.take(&down(egui::Key::A));
        let repeat = Event::Key {
            key: egui::Key::A,
            physical_key: None,
            pressed: true,
            repeat: true,
            modifiers: Modifiers::NONE,
        };
        assert!(hands.take(&repeat) && hands.take(&down(egui::Key::A)));
        assert_eq!(heard(&mut touches), "+60");
    }

    #[test]
    fn nothing_hangs_when_the_window_loses_the_keyboard() {
        let modified = letter(egui::Key::S, true, Modifiers::SHIFT);
        for (what, event) in
            [("focus", Event::WindowFocused(false)), ("a modifier", modified), ("octave", down(egui::Key::X))]
        {
            let (mut hands, mut touches) = hands();
            hands.take(&down(egui::Key::A));
            hands.take(&event);
            assert_eq!(heard(&mut touches), "+60 -60", "{what}");
            hands.take(&up(egui::Key::A));
            assert_eq!(heard(&mut touches), "", "{what}");
        }
        let (mut hands, mut touches) = hands();
        hands.point(Some((Key::folded(72), Velocity::default())));
        hands.take(&Event::WindowFocused(false));
        assert_eq!(heard(&mut touches), "+72 -72");
    }

    #[test]
    fn the_pointer_slides_from_key_to_key() {
        let (mut hands, mut touches) = hands();
        for key in [Some(60), Some(60), Some(62), None, None] {
            hands.point(key.map(|key| (Key::folded(key), Velocity::default())));
        }
        assert_eq!(heard(&mut touches), "+60 -60 +62 -62");
    }

    #[test]
    fn a_key_is_let_go_by_the_last_that_holds_it() {
        let (mut hands, mut touches) = hands();
        hands.take(&down(egui::Key::A));
        hands.point(Some((Key::folded(60), Velocity::default())));
        hands.take(&up(egui::Key::A));
        assert_eq!(heard(&mut touches), "+60");
        assert!(hands.is_down(Key::folded(60)));
        hands.point(None);
        assert_eq!(heard(&mut touches), "-60");
    }

    #[test]
    fn octave_and_velocity_move_within_bounds() {
        let (mut hands, mut touches) = hands();
        (0..20).for_each(|_| assert!(hands.take(&down(egui::Key::X))));
        hands.take(&down(egui::Key::P));
        assert_eq!(heard(&mut touches), "+123", "the highest key there is");
        (0..20).for_each(|_| assert!(hands.take(&down(egui::Key::C))));
        assert_eq!(hands.velocity, Velocity::clamped(1));
        (0..20).for_each(|_| assert!(hands.take(&down(egui::Key::V))));
        assert_eq!(hands.velocity, Velocity::clamped(127));
    }
}
