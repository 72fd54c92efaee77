//! The preview sound is made on the audio thread too: it asks for no memory, and for nothing of the system.

use crate::bands::all_parts;
use crate::host::allocations_in;
use obbligato::music::{Key, Velocity};
use obbligato::sound::{ByChannel, PreviewSound, SoundEvent, SoundSettings, TimedSound};

const FRAMES: usize = 64;

/// All instruments in all manner of playing, switched on and off, from a number that is turned over in each block.
pub struct Rehearsal {
    sound: PreviewSound,
    events: Vec<TimedSound>,
    left: [f32; FRAMES],
    right: [f32; FRAMES],
    dice: u64,
    /// Squares of all samples, to know that something sounds.
    pub energy: f64,
}

impl Rehearsal {
    pub fn new() -> Self {
        let (sound, events) = (PreviewSound::new(48_000.0), Vec::with_capacity(16));
        Self { sound, events, left: [0.0; FRAMES], right: [0.0; FRAMES], dice: 1, energy: 0.0 }
    }

    pub fn play_block(&mut self) {
        let on = self.roll(40) > 0;
        let settings = SoundSettings::new(on, -6.0, ByChannel::of(&all_parts().parts));
        self.events.clear();
        for index in 0..self.roll(9) as u32 {
            let event = self.event();
            self.events.push(TimedSound { timing: index * 8, event });
        }
        (self.left, self.right) = ([0.0; FRAMES], [0.0; FRAMES]);
        self.sound.play(&settings, &self.events, &mut self.left, &mut self.right);
        self.energy += self.left.iter().chain(&self.right).map(|sample| f64::from(sample * sample)).sum::<f64>();
    }

    fn event(&mut self) -> SoundEvent {
        let (channel, key) = (self.roll(16) as u8, Key::folded(24 + self.roll(80) as i32));
        match self.roll(12) {
            0..6 => SoundEvent::On { channel, key, velocity: Velocity::clamped(1 + self.roll(127) as i32) },
            6..9 => SoundEvent::Off { channel, key },
            9 => SoundEvent::Pedal { channel, down: self.roll(2) == 0 },
            10 => SoundEvent::Bend { channel, semitones: self.roll(5) as f32 - 2.0 },
            _ if self.roll(4) > 0 => SoundEvent::AllOff { channel },
            _ => SoundEvent::Silence { channel },
        }
    }

    /// Of so many sides. The steps are Knuth's (MMIX).
    fn roll(&mut self, sides: u64) -> u64 {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.dice >> 33) % sides
    }
}

#[test]
fn the_preview_sound_asks_for_no_memory() {
    let mut rehearsal = Rehearsal::new();
    assert_eq!(allocations_in(|| (0..2000).for_each(|_| rehearsal.play_block())), 0);
    assert!(rehearsal.energy > 100.0, "it sounds: {}", rehearsal.energy);
}
