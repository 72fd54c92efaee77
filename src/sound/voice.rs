//! The notes that sound, and who gives way when there are too many. Runs on the audio thread.

use super::Instrument;
use super::electric_piano::ElectricPiano;
use super::flute::Flute;
use super::kit::{self, Choke};
use super::pad::Pad;
use super::strings::{self, Blow};
use super::struck::Struck;
use crate::music::{Key, Velocity};

/// What can sound.
trait Sounds {
    /// Left and right.
    fn next(&mut self) -> [f32; 2];
    fn sounds(&self) -> bool;
    fn release(&mut self);
    fn bend(&mut self, ratio: f32);
}

/// Where voices are mixed: what is heard at once, and what goes into the room.
pub struct Mix<'a> {
    pub direct: &'a mut [[f32; 2]],
    pub room: &'a mut [f32],
}

/// A note to be struck.
#[derive(Debug, Clone, Copy)]
pub struct Stroke {
    pub instrument: Instrument,
    pub channel: u8,
    pub key: Key,
    pub velocity: Velocity,
    /// Ratio of frequencies.
    pub bend: f32,
}

#[derive(Debug)]
pub struct Voices {
    voices: Vec<Option<Voice>>,
    sample_rate: f32,
    /// Strokes so far.
    strokes: u32,
}

#[derive(Debug)]
struct Voice {
    sound: Sound,
    channel: u8,
    key: Key,
    choke: Choke,
    instrument: Instrument,
    held: Held,
    /// 1 until it must end; then it loses so much in each sample.
    level: f32,
    loss: f32,
    /// Which stroke it was.
    stroke: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    ByKey,
    ByPedal,
    Nobody,
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a box would be allocated on the audio thread")]
enum Sound {
    Struck(Struck),
    ElectricPiano(ElectricPiano),
    Pad(Pad),
    Flute(Flute),
}

impl Voices {
    /// More notes than these do not sound together; ...
    const POLYPHONY: usize = 56;
    /// ... but those that give way need a moment to end.
    const CAPACITY: usize = Self::POLYPHONY + 24;
    /// Seconds in which a voice ends that gives way, or is silenced; no shorter, or it clicks.
    const GIVING_WAY: f32 = 0.006;
    const STRUCK_AGAIN: f32 = 0.03;

    pub fn new(sample_rate: f32) -> Self {
        Self { voices: (0..Self::CAPACITY).map(|_| None).collect(), sample_rate, strokes: 0 }
    }

    pub fn clear(&mut self) {
        self.voices.iter_mut().for_each(|voice| *voice = None);
    }

    pub fn strike(&mut self, stroke: Stroke) {
        let Stroke { instrument, channel, key, .. } = stroke;
        let choke = if instrument == Instrument::Kit { Choke::of(key.number()) } else { Choke::Nothing };
        let rings_on = instrument == Instrument::Kit && choke == Choke::Nothing;
        self.end_where(Self::STRUCK_AGAIN, |voice| {
            let same = voice.key == key && !rings_on;
            voice.channel == channel && (same || (choke != Choke::Nothing && voice.choke == choke))
        });
        self.make_room();
        self.strokes = self.strokes.wrapping_add(1);
        let voice = Voice::new(stroke, choke, self.strokes, self.sample_rate);
        let free = self.voices.iter().position(Option::is_none);
        let place = free.or_else(|| self.faintest()).unwrap_or(0);
        self.voices[place] = Some(voice);
    }

    /// The key is let go; `pedal`: which keeps it sounding.
    pub fn release(&mut self, channel: u8, key: Key, pedal: bool) {
        for voice in self.of_channel(channel).filter(|voice| voice.key == key && voice.held == Held::ByKey) {
            voice.let_go(pedal);
        }
    }

    pub fn release_all(&mut self, channel: u8, pedal: bool) {
        self.of_channel(channel).filter(|voice| voice.held == Held::ByKey).for_each(|voice| voice.let_go(pedal));
    }

    pub fn release_pedal(&mut self, channel: u8) {
        self.of_channel(channel).filter(|voice| voice.held == Held::ByPedal).for_each(|voice| voice.let_go(false));
    }

    /// All that sounds on a channel gets `ratio` times its frequency.
    pub fn bend(&mut self, channel: u8, ratio: f32) {
        self.of_channel(channel).for_each(|voice| voice.sound.as_sounds().bend(ratio));
    }

    pub fn silence(&mut self, channel: u8) {
        self.end_where(Self::GIVING_WAY, |voice| voice.channel == channel);
    }

    /// Adds the next samples of all voices; returns how many it is until the last of them has ended.
    pub fn add_to(&mut self, mix: &mut Mix<'_>) -> usize {
        let mut longest = 0;
        for place in &mut self.voices {
            if let Some(voice) = place {
                let sounded = voice.add_to(mix);
                longest = longest.max(sounded);
                if !voice.sounds() {
                    *place = None;
                }
            }
        }
        longest
    }

    fn of_channel(&mut self, channel: u8) -> impl Iterator<Item = &mut Voice> {
        self.voices.iter_mut().flatten().filter(move |voice| voice.channel == channel)
    }

    fn end_where(&mut self, seconds: f32, ends: impl Fn(&Voice) -> bool) {
        let loss = 1.0 / (seconds * self.sample_rate);
        self.voices
            .iter_mut()
            .flatten()
            .filter(|voice| ends(voice))
            .for_each(|voice| voice.loss = voice.loss.max(loss));
    }

    /// The oldest gives way, rather one that nobody holds.
    fn make_room(&mut self) {
        let going_on = || self.voices.iter().flatten().filter(|voice| voice.loss == 0.0);
        if going_on().count() < Self::POLYPHONY {
            return;
        }
        let first = going_on().min_by_key(|voice| (voice.held != Held::Nobody, voice.stroke));
        if let Some(stroke) = first.map(|voice| voice.stroke) {
            self.end_where(Self::GIVING_WAY, |voice| voice.stroke == stroke);
        }
    }

    fn faintest(&self) -> Option<usize> {
        let voices = self.voices.iter().enumerate().filter_map(|(place, voice)| Some((place, voice.as_ref()?.level)));
        voices.min_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(place, _)| place)
    }
}

impl Voice {
    fn new(stroke: Stroke, choke: Choke, number: u32, sample_rate: f32) -> Self {
        let Stroke { instrument, channel, key, velocity, bend } = stroke;
        let blow = Blow { key: f32::from(key.number()), force: force(velocity), seed: number, sample_rate };
        let mut sound = match instrument {
            Instrument::ElectricPiano => Sound::ElectricPiano(ElectricPiano::new(blow)),
            Instrument::Bass => Sound::Struck(strings::bass(blow)),
            Instrument::Piano => Sound::Struck(strings::piano(blow)),
            Instrument::Pad => Sound::Pad(Pad::new(blow)),
            Instrument::Flute => Sound::Flute(Flute::new(blow)),
            Instrument::Kit => Sound::Struck(kit::strike(key.number(), blow)),
        };
        sound.as_sounds().bend(bend);
        Self { sound, channel, key, choke, instrument, held: Held::ByKey, level: 1.0, loss: 0.0, stroke: number }
    }

    fn let_go(&mut self, pedal: bool) {
        if pedal {
            self.held = Held::ByPedal;
        } else {
            self.held = Held::Nobody;
            self.sound.as_sounds().release();
        }
    }

    fn sounds(&mut self) -> bool {
        self.level > 0.0 && self.sound.as_sounds().sounds()
    }

    fn add_to(&mut self, mix: &mut Mix<'_>) -> usize {
        let balance = Balance::of(self.instrument);
        let fade = Fade { level: &mut self.level, loss: self.loss };
        match &mut self.sound {
            Sound::Struck(sound) => add(sound, fade, balance, mix),
            Sound::ElectricPiano(sound) => add(sound, fade, balance, mix),
            Sound::Pad(sound) => add(sound, fade, balance, mix),
            Sound::Flute(sound) => add(sound, fade, balance, mix),
        }
    }
}

struct Fade<'a> {
    level: &'a mut f32,
    loss: f32,
}

/// One voice's samples; returns how many it sounded for.
fn add<S: Sounds>(sound: &mut S, fade: Fade<'_>, balance: Balance, mix: &mut Mix<'_>) -> usize {
    let frames = mix.direct.len();
    for (index, (direct, room)) in mix.direct.iter_mut().zip(mix.room.iter_mut()).enumerate() {
        if *fade.level <= 0.0 || !sound.sounds() {
            return index;
        }
        let gain = *fade.level * balance.direct;
        let [left, right] = sound.next();
        direct[0] += gain * left;
        direct[1] += gain * right;
        *room += *fade.level * balance.room * (left + right);
        *fade.level -= fade.loss;
    }
    frames
}

/// How loud an instrument is in the band, and in the room.
#[derive(Debug, Clone, Copy)]
struct Balance {
    direct: f32,
    room: f32,
}

impl Balance {
    const fn of(instrument: Instrument) -> Self {
        let (direct, room) = match instrument {
            Instrument::ElectricPiano => (0.18, 0.018),
            Instrument::Bass => (0.17, 0.0025),
            Instrument::Piano => (0.19, 0.019),
            Instrument::Pad => (0.11, 0.020),
            Instrument::Flute => (0.12, 0.018),
            Instrument::Kit => (0.31, 0.020),
        };
        Self { direct, room }
    }
}

/// A velocity as amplitude, 0..1. Twice the velocity is 9 dB.
fn force(velocity: Velocity) -> f32 {
    let share = f32::from(velocity.get()) / 127.0;
    share.powf(1.5)
}

impl Sound {
    fn as_sounds(&mut self) -> &mut dyn Sounds {
        match self {
            Self::Struck(sound) => sound,
            Self::ElectricPiano(sound) => sound,
            Self::Pad(sound) => sound,
            Self::Flute(sound) => sound,
        }
    }
}

impl Sounds for Struck {
    fn next(&mut self) -> [f32; 2] {
        Self::next(self)
    }
    fn sounds(&self) -> bool {
        Self::sounds(self)
    }
    fn release(&mut self) {
        Self::release(self);
    }
    /// Neither pianos nor drums can be bent.
    fn bend(&mut self, _ratio: f32) {}
}

macro_rules! bendable {
    ($($sound:ty),*) => {$(
        impl Sounds for $sound {
            fn next(&mut self) -> [f32; 2] {
                Self::next(self)
            }
            fn sounds(&self) -> bool {
                Self::sounds(self)
            }
            fn release(&mut self) {
                Self::release(self);
            }
            fn bend(&mut self, ratio: f32) {
                Self::bend(self, ratio);
            }
        }
    )*};
}

bendable!(ElectricPiano, Pad, Flute);
