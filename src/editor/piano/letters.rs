//! The computer's keyboard as a piano: the row from A are white keys, the row above them black ones. Pure.

use egui::Key;

/// Semitones above the C that A plays; `None`: no key of the piano.
pub fn semitones(letter: Key) -> Option<i32> {
    ROW.iter().position(|key| *key == letter).map(|place| place as i32)
}

/// The letter that plays so many semitones above the C of A.
pub fn letter(semitones: i32) -> Option<Key> {
    ROW.get(usize::try_from(semitones).ok()?).copied()
}

const ROW: [Key; 16] = [
    Key::A,
    Key::W,
    Key::S,
    Key::E,
    Key::D,
    Key::F,
    Key::T,
    Key::G,
    Key::Y,
    Key::H,
    Key::U,
    Key::J,
    Key::K,
    Key::O,
    Key::L,
    Key::P,
];

/// What other letters do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shift {
    Octave(i32),
    Velocity(i32),
}

pub fn shift(letter: Key) -> Option<Shift> {
    const VELOCITY_STEP: i32 = 12;
    match letter {
        Key::Z => Some(Shift::Octave(-1)),
        Key::X => Some(Shift::Octave(1)),
        Key::C => Some(Shift::Velocity(-VELOCITY_STEP)),
        Key::V => Some(Shift::Velocity(VELOCITY_STEP)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_lie_as_on_a_piano() {
        for (letter, key) in
            [(Key::A, 0), (Key::W, 1), (Key::D, 4), (Key::F, 5), (Key::J, 11), (Key::K, 12), (Key::P, 15)]
        {
            assert_eq!(semitones(letter), Some(key));
        }
        // White keys in the row from A, black ones above.
        let white = [Key::A, Key::S, Key::D, Key::F, Key::G, Key::H, Key::J, Key::K, Key::L];
        for (index, letter) in ROW.into_iter().enumerate() {
            assert_eq!(white.contains(&letter), super::super::strip::is_white(index as i32), "{letter:?}");
            assert!(shift(letter).is_none());
            assert_eq!(super::letter(index as i32), Some(letter));
        }
        assert_eq!((letter(-1), letter(16), semitones(Key::Q)), (None, None, None));
    }
}
