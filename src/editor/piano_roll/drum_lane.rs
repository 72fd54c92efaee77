//! The drums by name, as rows from the lowest (the kick) up. Pure.

use crate::music::Key;

/// An instrument of the drum set, with the keys General MIDI gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Drum(u8);

const DRUMS: [(&str, &[u8]); 10] = [
    ("Kick", &[35, 36]),
    ("Snare", &[38, 40]),
    ("Rim", &[31, 37]),
    ("Clap", &[39]),
    ("Toms", &[41, 43, 45, 47, 48, 50]),
    ("Hat", &[22, 42, 44]),
    ("Open hat", &[26, 46]),
    ("Ride", &[51, 53, 59]),
    ("Crash", &[49, 52, 55, 57]),
    ("Other", &[]),
];

impl Drum {
    pub const COUNT: usize = DRUMS.len();

    pub fn of(key: Key) -> Self {
        let named = DRUMS.iter().position(|(_, keys)| keys.contains(&key.number()));
        Self(named.unwrap_or(Self::COUNT - 1) as u8)
    }

    pub fn name(self) -> &'static str {
        DRUMS[usize::from(self.0)].0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_one_name() {
        let named: Vec<u8> = DRUMS.iter().flat_map(|(_, keys)| keys.iter().copied()).collect();
        let name = |number: u8| Drum::of(Key::folded(i32::from(number))).name();
        for number in 0..128 {
            let times = named.iter().filter(|key| **key == number).count();
            assert!(times <= 1, "{number}");
            assert_eq!(name(number) == "Other", times == 0, "{number}");
        }
        assert_eq!((name(36), name(42), name(46), name(51)), ("Kick", "Hat", "Open hat", "Ride"));
    }
}
