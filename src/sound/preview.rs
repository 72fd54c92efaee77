//! The synthesiser as a whole: events and samples in, sound out. Runs on the audio thread.

use super::reverb::Reverb;
use super::voice::{Mix, Stroke, Voices};
use super::wave::approach;
use super::{SoundEvent, SoundSettings, TimedSound};

/// Plays what leaves the plugin. Made anew for each sample rate.
#[derive(Debug)]
pub struct PreviewSound {
    voices: Voices,
    reverb: Reverb,
    /// By channel.
    pedals: [bool; 16],
    bends: [f32; 16],
    gain: f32,
    gain_rate: f32,
    /// 1 while it is switched on; switched off it goes to 0 by so much in each sample.
    gate: f32,
    gate_loss: f32,
    /// Samples since the last voice ended, and how many it takes until the room is silent, too.
    quiet: usize,
    tail: usize,
}

/// So many samples are mixed at once.
const CHUNK: usize = 64;

impl PreviewSound {
    /// Longer than the room sounds: 100 dB of its fading.
    const TAIL: f32 = Reverb::SECONDS * 100.0 / 60.0;
    const SWITCHING_OFF: f32 = 0.015;

    /// `sample_rate`: samples a second.
    pub fn new(sample_rate: f64) -> Self {
        let sample_rate = sample_rate.clamp(1000.0, 1e6) as f32;
        let tail = (Self::TAIL * sample_rate) as usize;
        Self {
            voices: Voices::new(sample_rate),
            reverb: Reverb::new(sample_rate),
            pedals: [false; 16],
            bends: [1.0; 16],
            gain: 0.0,
            gain_rate: approach(0.01, sample_rate),
            gate: 0.0,
            gate_loss: 1.0 / (Self::SWITCHING_OFF * sample_rate),
            quiet: tail,
            tail,
        }
    }

    /// Forgets everything, without a fade: the host has stopped calling.
    pub fn reset(&mut self) {
        self.voices.clear();
        self.reverb.clear();
        self.pedals = [false; 16];
        self.bends = [1.0; 16];
        self.quiet = self.tail;
    }

    /// Nothing sounds, nor would it.
    pub fn is_asleep(&self) -> bool {
        self.quiet >= self.tail
    }

    /// Adds a block's sound to silence. `events` by timing; those at or past the end of the block sound from its last sample on.
    pub fn play(&mut self, settings: &SoundSettings, events: &[TimedSound], left: &mut [f32], right: &mut [f32]) {
        if settings.on && self.gate < 1.0 {
            self.open(settings.gain);
        }
        let frames = left.len().min(right.len());
        let mut events = events.iter().peekable();
        let mut done = 0;
        while done < frames {
            while let Some(timed) = events.next_if(|timed| timed.timing as usize <= done || done + 1 == frames) {
                self.take(timed.event, settings);
            }
            let next = events.peek().map_or(frames, |timed| (timed.timing as usize).min(frames - 1));
            let until = next.max(done + 1);
            self.sound(settings, &mut left[done..until], &mut right[done..until]);
            done = until;
        }
        // A block without samples brings events, too.
        events.for_each(|timed| self.take(timed.event, settings));
    }

    /// What sounded when it was switched off is over.
    fn open(&mut self, gain: f32) {
        if self.gate <= 0.0 {
            self.reset();
            self.gain = gain;
        }
        self.gate = 1.0;
    }

    fn take(&mut self, event: SoundEvent, settings: &SoundSettings) {
        match event {
            SoundEvent::On { channel, key, velocity } => {
                if settings.on {
                    let instrument = settings.instruments.get(channel);
                    let bend = self.bends[usize::from(channel & 15)];
                    self.voices.strike(Stroke { instrument, channel, key, velocity, bend });
                    self.quiet = 0;
                }
            }
            SoundEvent::Off { channel, key } => self.voices.release(channel, key, self.pedal(channel)),
            SoundEvent::AllOff { channel } => self.voices.release_all(channel, self.pedal(channel)),
            SoundEvent::Pedal { channel, down } => {
                self.pedals[usize::from(channel & 15)] = down;
                if !down {
                    self.voices.release_pedal(channel);
                }
            }
            SoundEvent::Bend { channel, semitones } => {
                let ratio = (semitones.clamp(-24.0, 24.0) / 12.0).exp2();
                self.bends[usize::from(channel & 15)] = ratio;
                self.voices.bend(channel, ratio);
            }
            SoundEvent::Silence { channel } => {
                self.voices.silence(channel);
                self.reverb.empty();
            }
        }
    }

    fn pedal(&self, channel: u8) -> bool {
        self.pedals[usize::from(channel & 15)]
    }

    fn sound(&mut self, settings: &SoundSettings, left: &mut [f32], right: &mut [f32]) {
        for (left, right) in left.chunks_mut(CHUNK).zip(right.chunks_mut(CHUNK)) {
            // Up to the very sample at which it falls asleep, so that blocks do not matter.
            let awake = left.len().min(self.tail - self.quiet.min(self.tail));
            if awake > 0 && self.gate > 0.0 {
                self.mix(settings, &mut left[..awake], &mut right[..awake]);
            }
        }
    }

    fn mix(&mut self, settings: &SoundSettings, left: &mut [f32], right: &mut [f32]) {
        let frames = left.len();
        let (mut direct, mut room) = ([[0.0; 2]; CHUNK], [0.0; CHUNK]);
        let mut mix = Mix { direct: &mut direct[..frames], room: &mut room[..frames] };
        let sounded = self.voices.add_to(&mut mix);
        self.quiet = if sounded > 0 { frames - sounded } else { self.quiet + frames };
        for index in 0..frames {
            let wet = self.reverb.next(room[index]);
            self.gain += self.gain_rate * (settings.gain - self.gain);
            if !settings.on {
                self.gate = (self.gate - self.gate_loss).max(0.0);
            }
            let gain = self.gain * self.gate;
            left[index] += soft(gain * (direct[index][0] + wet[0]));
            right[index] += soft(gain * (direct[index][1] + wet[1]));
        }
    }
}

/// Leaves what is not loud as it is, and never reaches full scale.
fn soft(sample: f32) -> f32 {
    const STRAIGHT: f32 = 0.7;
    const REST: f32 = 0.29;
    let over = (sample.abs() - STRAIGHT) / REST;
    if over <= 0.0 { sample } else { sample.signum() * (STRAIGHT + REST * over / (1.0 + over)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::music::{Key, PerPart, Velocity};
    use crate::settings::PartSettings;
    use crate::sound::ByChannel;

    const SAMPLE_RATE: usize = 48_000;
    const CHANNELS: [u8; 6] = [0, 1, 2, 3, 4, 9];

    fn settings() -> SoundSettings {
        SoundSettings::new(true, 0.0, ByChannel::of(&PerPart::from_fn(PartSettings::of)))
    }

    fn on(channel: u8, key: i32, velocity: i32) -> SoundEvent {
        SoundEvent::On { channel, key: Key::folded(key), velocity: Velocity::clamped(velocity) }
    }

    fn off(channel: u8, key: i32) -> SoundEvent {
        SoundEvent::Off { channel, key: Key::folded(key) }
    }

    /// A host that counts samples.
    struct Host {
        sound: PreviewSound,
        settings: SoundSettings,
        left: Vec<f32>,
        right: Vec<f32>,
    }

    impl Host {
        fn new(sample_rate: usize) -> Self {
            let (sound, settings) = (PreviewSound::new(sample_rate as f64), settings());
            Self { sound, settings, left: Vec::new(), right: Vec::new() }
        }

        fn block(&mut self, frames: usize, events: &[TimedSound]) {
            let start = self.left.len();
            self.left.resize(start + frames, 0.0);
            self.right.resize(start + frames, 0.0);
            self.sound.play(&self.settings, events, &mut self.left[start..], &mut self.right[start..]);
        }

        /// These events now, and so many seconds.
        fn play(&mut self, events: &[SoundEvent], seconds: f32) {
            let now: Vec<TimedSound> = events.iter().map(|event| TimedSound { timing: 0, event: *event }).collect();
            self.block((seconds * self.sound.tail as f32 / PreviewSound::TAIL) as usize, &now);
        }

        fn peak(&self, from: usize) -> f32 {
            self.left[from..].iter().chain(&self.right[from..]).fold(0.0, |peak, sample| peak.max(sample.abs()))
        }
    }

    /// A bar of a full band, loud, as events by sample.
    fn song(sample_rate: usize) -> Vec<(usize, SoundEvent)> {
        let mut events = Vec::new();
        let mut note = |eighth: usize, length: usize, channel: u8, key: i32| {
            // A bar lasts half a second: these tests also run without optimisation.
            let at = |eighth: usize| eighth * sample_rate / 16 + 7 * usize::from(channel);
            events.push((at(eighth), on(channel, key, 100)));
            events.push((at(eighth + length) - 20, off(channel, key)));
        };
        for eighth in 0..8 {
            note(eighth, 1, 0, 72 + (eighth as i32 * 5) % 12);
            note(eighth, 1, 9, if eighth % 2 == 0 { 42 } else { 46 });
            note(eighth, 1, 1, 36 + (eighth as i32 / 4) * 2);
            note(eighth, 1, 9, [36, 49, 38, 51][eighth % 4]);
            if eighth % 4 == 0 {
                [55, 60, 64].into_iter().for_each(|key| note(eighth, 4, 2, key));
                [57, 62, 65].into_iter().for_each(|key| note(eighth, 4, 3, key));
                note(eighth, 3, 4, 79);
            }
        }
        events.sort_by_key(|(at, _)| *at);
        events
    }

    /// The song in blocks of these lengths, again and again, with half a second after it.
    fn render(sample_rate: usize, blocks: &[usize]) -> Host {
        let (mut host, song) = (Host::new(sample_rate), song(sample_rate));
        let end = sample_rate;
        let mut lengths = blocks.iter().cycle();
        while host.left.len() < end {
            let start = host.left.len();
            let frames = (*lengths.next().expect("again and again")).min(end - start);
            let inside = song.iter().filter(|(at, _)| (start..start + frames).contains(at));
            let events: Vec<TimedSound> =
                inside.map(|(at, event)| TimedSound { timing: (at - start) as u32, event: *event }).collect();
            host.block(frames, &events);
        }
        host
    }

    #[test]
    fn block_size_changes_no_sample() {
        let reference = render(SAMPLE_RATE, &[512]);
        for blocks in [vec![1], vec![64], vec![17, 0, 300, 1], vec![8192]] {
            let other = render(SAMPLE_RATE, &blocks);
            assert!(reference.left == other.left && reference.right == other.right, "blocks of {blocks:?}");
        }
    }

    /// In decibels below full scale.
    fn loudness(samples: &[f32]) -> f32 {
        10.0 * (samples.iter().map(|sample| sample * sample).sum::<f32>() / samples.len() as f32).log10()
    }

    #[test]
    fn every_sample_rate_sounds_alike_and_nothing_clips() {
        let at = |rate: usize| {
            let host = render(rate, &[256]);
            assert!(host.peak(0) < 0.95, "{rate} Hz: {}", host.peak(0));
            (loudness(&host.left[..rate / 2]), loudness(&host.right[..rate / 2]))
        };
        let reference = at(48_000);
        assert!((-24.0..-12.0).contains(&reference.0), "{reference:?}");
        for rate in [44_100, 192_000] {
            let (left, right) = at(rate);
            assert!(
                (left - reference.0).abs() < 1.0 && (right - reference.1).abs() < 1.0,
                "{rate}: {left} {reference:?}"
            );
        }
        assert!(render(8000, &[64]).peak(0) < 0.95);
    }

    /// What a listener hears as a click: a step that is far out of the line of its neighbours.
    fn steepest(samples: &[f32]) -> f32 {
        let bends = samples.windows(4).map(|w| (w[3] - 3.0 * w[2] + 3.0 * w[1] - w[0]).abs());
        bends.fold(0.0, f32::max)
    }

    #[test]
    fn notes_end_without_a_click_however_they_end() {
        for channel in CHANNELS.into_iter().filter(|channel| *channel != 9) {
            let mut host = Host::new(SAMPLE_RATE);
            host.play(&[on(channel, 60, 110)], 0.5003);
            let struck = host.left.len();
            let ends: [&[SoundEvent]; 4] = [
                &[off(channel, 60)],
                &[on(channel, 60, 40)],
                &[SoundEvent::Silence { channel }],
                &[SoundEvent::AllOff { channel }],
            ];
            for end in ends {
                let mut host = Host::new(SAMPLE_RATE);
                host.play(&[on(channel, 60, 110)], 0.5003);
                host.play(end, 0.2);
                let (before, after) = (steepest(&host.left[..struck]), steepest(&host.left[struck - 4..]));
                assert!(after <= before * 1.05 + 2e-4, "channel {channel}, {end:?}: {before} {after}");
            }
            host.settings.on = false;
            host.play(&[], 0.2);
            assert!(steepest(&host.left[struck - 4..]) <= 1.05 * steepest(&host.left[..struck]) + 2e-4, "switched off");
        }
    }

    #[test]
    fn a_tail_ends_and_then_it_sleeps() {
        for channel in CHANNELS {
            let mut host = Host::new(SAMPLE_RATE);
            assert!(host.sound.is_asleep());
            host.play(&[on(channel, 45, 127), on(channel, 49, 127), on(channel, 80, 127)], 1.0);
            assert!(host.peak(SAMPLE_RATE / 2) > 1e-3, "channel {channel} sounds");
            host.play(&[off(channel, 45), off(channel, 49), off(channel, 80)], 8.0);
            assert!(host.sound.is_asleep(), "channel {channel}");
            // Nothing so small that processors slow down over it.
            let tiny = host.left.iter().filter(|sample| **sample != 0.0 && sample.abs() < 1e-30).count();
            assert_eq!(tiny, 0, "channel {channel}");
            let end = host.left.len() - 1;
            assert_eq!((host.left[end], host.right[end]), (0.0, 0.0));
            let fades = host.left[..end].iter().rposition(|sample| *sample != 0.0).expect("it has sounded");
            assert!(host.left[fades].abs() < 3e-5, "channel {channel} breaks off at {}", host.left[fades]);
        }
    }

    #[test]
    fn a_panic_and_the_switch_silence_all_of_it() {
        let everything = CHANNELS.map(|channel| on(channel, 49, 120));
        let panic: Vec<SoundEvent> = (0..16).map(|channel| SoundEvent::Silence { channel }).collect();
        for switched_off in [false, true] {
            let mut host = Host::new(SAMPLE_RATE);
            host.play(&everything, 1.0);
            host.settings.on = !switched_off;
            host.play(if switched_off { &[] } else { &panic }, 0.1);
            let after = SAMPLE_RATE + SAMPLE_RATE / 50;
            assert_eq!(host.peak(after), 0.0, "20 ms later, switched off {switched_off}");
            host.settings.on = true;
            host.play(&[on(0, 60, 90)], 0.5);
            assert!(host.peak(after) > 0.02, "and it plays again");
        }
    }

    #[test]
    fn what_is_struck_while_it_is_off_is_not_heard_later() {
        let mut host = Host::new(SAMPLE_RATE);
        host.settings.on = false;
        host.play(&[on(2, 60, 120)], 0.2);
        host.settings.on = true;
        host.play(&[], 0.2);
        assert_eq!(host.peak(0), 0.0);
    }

    #[test]
    fn the_pedal_holds_what_keys_let_go() {
        let loudness_after = |events: &[&[SoundEvent]]| {
            let mut host = Host::new(SAMPLE_RATE);
            events.iter().for_each(|now| host.play(now, 0.5));
            host.peak(host.left.len() - SAMPLE_RATE / 100)
        };
        let (down, up) = (SoundEvent::Pedal { channel: 0, down: true }, SoundEvent::Pedal { channel: 0, down: false });
        let held = loudness_after(&[&[on(0, 60, 100)], &[down], &[off(0, 60)]]);
        let let_go = loudness_after(&[&[on(0, 60, 100)], &[down], &[off(0, 60)], &[up]]);
        let never = loudness_after(&[&[on(0, 60, 100)], &[], &[off(0, 60)]]);
        assert!(held > 10.0 * never && held > 10.0 * let_go, "{held} {never} {let_go}");
    }

    #[test]
    fn a_bend_moves_the_pitch() {
        let crossings = |semitones: f32| {
            let mut host = Host::new(SAMPLE_RATE);
            host.play(&[SoundEvent::Bend { channel: 0, semitones }, on(0, 69, 60)], 0.1);
            host.play(&[], 1.0);
            let sounding = &host.left[SAMPLE_RATE / 10..];
            sounding.windows(2).filter(|pair| pair[0] < 0.0 && pair[1] >= 0.0).count()
        };
        assert!((438..=442).contains(&crossings(0.0)), "{}", crossings(0.0));
        assert!((491..=497).contains(&crossings(2.0)), "{}", crossings(2.0));
    }

    #[test]
    fn however_many_notes_it_stays_within_its_means() {
        let mut host = Host::new(SAMPLE_RATE);
        for round in 0..40 {
            let chord: Vec<SoundEvent> =
                (0..20).map(|step| on(CHANNELS[step % 6], 30 + 3 * step as i32 + round, 127)).collect();
            host.play(&chord, 0.05);
        }
        assert!(host.peak(0) < 0.995 && host.left.iter().all(|sample| sample.is_finite()));
        let all_off: Vec<SoundEvent> = (0..16).map(|channel| SoundEvent::AllOff { channel }).collect();
        host.play(&all_off, 8.0);
        assert!(host.sound.is_asleep());
    }

    #[test]
    fn a_low_c_is_a_low_c_on_every_instrument() {
        // The strongest of the semitones near it, by the energy at each (Goertzel's filter).
        let energy = |samples: &[f32], key: f32| {
            let turn = std::f32::consts::TAU * crate::sound::wave::hertz(key) / SAMPLE_RATE as f32;
            let (mut before, mut now) = (0.0_f32, 0.0_f32);
            for sample in samples {
                (before, now) = (now, sample + 2.0 * turn.cos() * now - before);
            }
            before * before + now * now - 2.0 * turn.cos() * before * now
        };
        for (channel, key) in [(0, 60), (1, 36), (2, 48), (3, 60), (4, 72)] {
            let mut host = Host::new(SAMPLE_RATE);
            host.play(&[on(channel, key, 90)], 1.2);
            let tone = &host.left[SAMPLE_RATE / 5..];
            let near = (key - 3..=key + 3).map(|near| (near, energy(tone, near as f32)));
            let strongest = near.max_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(near, _)| near);
            assert_eq!(strongest, Some(key), "channel {channel}");
        }
    }
}
