//! The window's piano → the audio thread: keys that go down and up.

use crate::music::{Key, Velocity};

/// A key of the window's piano.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Touch {
    Down { key: Key, velocity: Velocity },
    Up { key: Key },
}

/// More touches than ten fingers make in a second; only a host that does not call lets it fill up.
const CAPACITY: usize = 256;

/// Makes the queue and hands out its ends.
pub fn connect_piano() -> (PianoKeys, PianoTouches) {
    let (touches_in, touches_out) = rtrb::RingBuffer::new(CAPACITY);
    (PianoKeys { touches: touches_in, down: 0, owed: 0 }, PianoTouches { touches: touches_out, owed: 0 })
}

/// The window's end. Every key that was told to be down is told to be up, at the latest when there is room again.
#[derive(Debug)]
pub struct PianoKeys {
    touches: rtrb::Producer<Touch>,
    /// A bit for each key that was told to be down.
    down: u128,
    /// Those whose release did not fit yet.
    owed: u128,
}

impl PianoKeys {
    /// `false` when there is no room: the key is then not struck.
    pub fn press(&mut self, key: Key, velocity: Velocity) -> bool {
        self.settle();
        if self.owed != 0 || self.touches.push(Touch::Down { key, velocity }).is_err() {
            return false;
        }
        self.down |= bit(key);
        true
    }

    pub fn release(&mut self, key: Key) {
        self.owed |= self.down & bit(key);
        self.settle();
    }

    /// Sends the releases that are still owed, as far as there is room.
    pub fn settle(&mut self) {
        while let Some(key) = lowest(self.owed) {
            if self.touches.push(Touch::Up { key }).is_err() {
                return;
            }
            self.owed &= !bit(key);
            self.down &= !bit(key);
        }
    }
}

/// The audio thread's end.
#[derive(Debug)]
pub struct PianoTouches {
    touches: rtrb::Consumer<Touch>,
    /// Keys that were let go while nobody listened.
    owed: u128,
}

impl PianoTouches {
    /// What was played while the host did not call is not played afterwards, but let go.
    pub fn forget_strikes(&mut self) {
        while let Ok(touch) = self.touches.pop() {
            if let Touch::Up { key } = touch {
                self.owed |= bit(key);
            }
        }
    }
}

impl Iterator for PianoTouches {
    type Item = Touch;

    fn next(&mut self) -> Option<Touch> {
        match lowest(self.owed) {
            Some(key) => {
                self.owed &= !bit(key);
                Some(Touch::Up { key })
            }
            None => self.touches.pop().ok(),
        }
    }
}

fn bit(key: Key) -> u128 {
    1 << key.number()
}

fn lowest(keys: u128) -> Option<Key> {
    Key::new(keys.trailing_zeros().min(128) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: usize) -> Key {
        Key::folded((number % 128) as i32)
    }

    #[test]
    fn touches_arrive_in_order() {
        let (mut keys, mut touches) = connect_piano();
        let velocity = Velocity::clamped(77);
        assert!(keys.press(key(60), velocity) && keys.press(key(64), velocity));
        keys.release(key(60));
        keys.release(key(61));
        let arrived: Vec<Touch> = touches.by_ref().collect();
        let down = |number| Touch::Down { key: key(number), velocity };
        assert_eq!(arrived, [down(60), down(64), Touch::Up { key: key(60) }], "what is not down is not let go");
    }

    #[test]
    fn full_is_a_state_and_every_key_comes_up_again() {
        let (mut keys, mut touches) = connect_piano();
        let mut struck = 0;
        for number in 0..2 * CAPACITY {
            struck += usize::from(keys.press(key(number), Velocity::default()));
        }
        assert_eq!(struck, CAPACITY);
        (0..128).for_each(|number| keys.release(key(number)));
        assert!(!keys.press(key(1), Velocity::default()), "releases go first");
        let mut down = [0_i32; 128];
        for _ in 0..2 {
            for touch in touches.by_ref() {
                match touch {
                    Touch::Down { key, .. } => down[usize::from(key.number())] += 1,
                    Touch::Up { key } => down[usize::from(key.number())] = 0,
                }
            }
            keys.settle();
        }
        assert_eq!(down, [0; 128]);
        assert!(keys.press(key(1), Velocity::default()));
    }

    #[test]
    fn what_nobody_heard_is_let_go_and_not_played() {
        let (mut keys, mut touches) = connect_piano();
        keys.press(key(60), Velocity::default());
        assert_eq!(touches.by_ref().count(), 1, "heard");
        keys.release(key(60));
        keys.press(key(62), Velocity::default());
        touches.forget_strikes();
        assert_eq!(touches.collect::<Vec<_>>(), [Touch::Up { key: key(60) }]);
    }
}
