//! The host's events as music, and back. Runs on the audio thread.

use crate::music::{Key, Velocity};
use crate::realtime::{self, EventBuffer, HostTransport, TimedEvent};
use crate::sound::{SoundEvent, TimedSound};
use nice_plug::midi::{Channel, Key as HostKey, VoiceID};
use nice_plug::prelude::{NoteEvent, Transport};

/// An event as the host gives it. Exclusive messages are not taken, so there is no type for them.
pub type HostEvent = NoteEvent<()>;

/// What a host event is to us.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Incoming {
    On {
        channel: u8,
        key: Key,
        velocity: Velocity,
    },
    /// `None`: on all channels, or all keys.
    Off {
        channel: Option<u8>,
        key: Option<Key>,
    },
    /// Sustain, bend and the like: not ours to change.
    Controller,
    KeyPressure,
    /// Note expressions and events about voices: they belong to notes as the host numbers them, which ends here.
    Unused,
}

impl Incoming {
    pub fn of(event: &HostEvent) -> Self {
        match *event {
            NoteEvent::NoteOn { channel, key, velocity, .. } => match key_of(key) {
                Some(key) => {
                    Self::On { channel: channel_of(channel).unwrap_or(0), key, velocity: velocity_of(velocity) }
                }
                None => Self::Unused,
            },
            NoteEvent::NoteOff { channel, key, .. } | NoteEvent::Choke { channel, key, .. } => {
                Self::Off { channel: channel_of(channel), key: key_of(key) }
            }
            NoteEvent::MidiCC { .. }
            | NoteEvent::MidiPitchBend { .. }
            | NoteEvent::MidiChannelPressure { .. }
            | NoteEvent::MidiProgramChange { .. } => Self::Controller,
            NoteEvent::PolyPressure { .. } => Self::KeyPressure,
            // The framework's list may grow.
            _ => Self::Unused,
        }
    }
}

fn channel_of(channel: Channel) -> Option<u8> {
    channel.number().map(|number| number.min(15))
}

fn key_of(key: HostKey) -> Option<Key> {
    key.number().and_then(Key::new)
}

/// A host's velocity is 0..=1, where 0 is still a note.
fn velocity_of(velocity: f32) -> Velocity {
    Velocity::clamped((velocity * 127.0).round() as i32)
}

/// The notes that came in with one block, in time order.
#[derive(Debug)]
pub struct IncomingNotes {
    events: Vec<TimedEvent>,
    /// A bit for each key that is held, by channel.
    held: [u128; 16],
}

impl IncomingNotes {
    /// Note-ons beyond this are dropped; no player or sequencer comes near.
    const STRIKES: usize = 4096;
    /// Whatever is held can be released.
    const CAPACITY: usize = Self::STRIKES + 16 * 128;

    pub fn new() -> Self {
        Self { events: Vec::with_capacity(Self::CAPACITY), held: [0; 16] }
    }

    pub fn clear(&mut self) {
        self.events.clear();
    }

    pub fn events(&self) -> &[TimedEvent] {
        &self.events
    }

    /// `false` if there is no room.
    pub fn strike(&mut self, timing: u32, channel: u8, key: Key, velocity: Velocity) -> bool {
        if self.events.len() >= Self::STRIKES {
            return false;
        }
        self.held[usize::from(channel)] |= 1 << key.number();
        self.push(timing, realtime::NoteEvent::On { channel, key, velocity });
        true
    }

    /// Releases a key, or with `None` all that are held.
    pub fn release(&mut self, timing: u32, channel: Option<u8>, key: Option<Key>) {
        let channels = channel.map_or(0..16, |channel| channel..channel + 1);
        let keys = key.map_or(0..128, |key| key.number()..key.number() + 1);
        for channel in channels {
            for number in keys.clone() {
                if self.held[usize::from(channel)] & (1 << number) != 0
                    && let Some(key) = Key::new(number)
                {
                    self.held[usize::from(channel)] &= !(1 << number);
                    self.push(timing, realtime::NoteEvent::Off { channel, key });
                }
            }
        }
    }

    /// Hosts should send events in time order; one that comes too early is taken as coming now.
    fn push(&mut self, timing: u32, event: realtime::NoteEvent) {
        let timing = self.events.last().map_or(timing, |last| timing.max(last.timing));
        self.events.push(TimedEvent { timing, event });
    }
}

/// Why the host did not take an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// There may be room in the next block.
    Full,
    Never,
}

/// All that goes out with one block: our notes, and controllers passed on. The framework does not sort it.
#[derive(Debug)]
pub struct OutgoingEvents {
    events: Vec<Outgoing>,
    /// A bit for each key whose last strike the host did not take, by channel.
    unstruck: [u128; 16],
}

#[derive(Debug, Clone, Copy)]
struct Outgoing {
    timing: u32,
    /// Order among events of one timing.
    sequence: usize,
    /// A release that the host had no room for in the block before.
    kept: bool,
    event: Payload,
}

#[derive(Debug, Clone, Copy)]
enum Payload {
    Note(realtime::NoteEvent),
    Passed(HostEvent),
}

impl OutgoingEvents {
    /// Controllers beyond this are dropped.
    const PASSED: usize = 8192;
    /// Sustain off, all notes off, all sound off.
    const SILENCING: [(u8, f32); 3] = [(64, 0.0), (123, 0.0), (120, 0.0)];
    /// Room for the controllers, those of a panic, a block's notes, and as many releases that the host had no room for.
    pub const CAPACITY: usize = Self::PASSED + 16 * Self::SILENCING.len() + 2 * EventBuffer::CAPACITY;

    pub fn new() -> Self {
        Self { events: Vec::with_capacity(Self::CAPACITY), unstruck: [0; 16] }
    }

    /// Passes a host event on as it is; `false` if there is no room.
    pub fn pass(&mut self, event: HostEvent) -> bool {
        self.events.len() < Self::PASSED && self.push(event.timing(), Payload::Passed(event))
    }

    /// Tells whatever plays our notes to fall silent, before anything else of the block: a held pedal, or a release that
    /// was lost on the way, keeps sounding otherwise.
    pub fn silence_channels(&mut self) {
        for channel in 0..16 {
            for (cc, value) in Self::SILENCING {
                self.push(0, Payload::Passed(NoteEvent::MidiCC { timing: 0, channel, cc, value }));
            }
        }
    }

    /// Adds a note event; `false` if there is no room.
    pub fn note(&mut self, timed: &TimedEvent) -> bool {
        self.push(timed.timing, Payload::Note(timed.event))
    }

    /// Hands everything to the host by time. Releases that the host has no room for are kept for the next block, before all
    /// else in it; what the host did not strike is not released. Returns the number of events that were lost.
    pub fn send(&mut self, mut send: impl FnMut(HostEvent) -> Result<(), Refused>) -> u32 {
        let (mut lost, unstruck) = (0, &mut self.unstruck);
        self.events.sort_unstable_by_key(|outgoing| (outgoing.timing, outgoing.sequence));
        self.events.retain_mut(|outgoing| {
            if outgoing.releases_nothing(unstruck) {
                return false;
            }
            let sent = send(outgoing.host_event());
            outgoing.note_strike(sent.is_ok(), unstruck);
            match sent {
                Ok(()) => false,
                Err(Refused::Full) if outgoing.is_release() => {
                    (outgoing.timing, outgoing.kept) = (0, true);
                    true
                }
                Err(Refused::Full | Refused::Never) => {
                    lost += 1;
                    false
                }
            }
        });
        self.events.iter_mut().enumerate().for_each(|(sequence, kept)| kept.sequence = sequence);
        lost
    }

    fn push(&mut self, timing: u32, event: Payload) -> bool {
        let room = self.events.len() < Self::CAPACITY;
        if room {
            self.events.push(Outgoing { timing, sequence: self.events.len(), kept: false, event });
        }
        room
    }
}

impl Outgoing {
    fn is_release(&self) -> bool {
        matches!(self.event, Payload::Note(realtime::NoteEvent::Off { .. }))
    }

    /// Whether it ends a note that the host never had. What is kept ends one of the time before.
    fn releases_nothing(&self, unstruck: &mut [u128; 16]) -> bool {
        let Payload::Note(realtime::NoteEvent::Off { channel, key }) = self.event else { return false };
        let (keys, bit) = (&mut unstruck[usize::from(channel)], 1 << key.number());
        let nothing = !self.kept && *keys & bit != 0;
        if nothing {
            *keys &= !bit;
        }
        nothing
    }

    fn note_strike(&self, taken: bool, unstruck: &mut [u128; 16]) {
        if let Payload::Note(realtime::NoteEvent::On { channel, key, .. }) = self.event {
            let (keys, bit) = (&mut unstruck[usize::from(channel)], 1 << key.number());
            *keys = if taken { *keys & !bit } else { *keys | bit };
        }
    }

    fn host_event(&self) -> HostEvent {
        let (timing, voice_id) = (self.timing, VoiceID::Wildcard);
        match self.event {
            Payload::Passed(event) => event,
            Payload::Note(realtime::NoteEvent::On { channel, key, velocity }) => NoteEvent::NoteOn {
                timing,
                voice_id,
                channel: Channel::Number(channel),
                key: HostKey::Number(key.number()),
                velocity: f32::from(velocity.get()) / 127.0,
            },
            Payload::Note(realtime::NoteEvent::Off { channel, key }) => NoteEvent::NoteOff {
                timing,
                voice_id,
                channel: Channel::Number(channel),
                key: HostKey::Number(key.number()),
                velocity: 0.0,
            },
        }
    }
}

/// What the preview hears of an event that goes out; nothing of what would change no sound.
pub fn sound_event(event: &HostEvent) -> Option<TimedSound> {
    /// What a wheel bends by, unless an instrument is told otherwise.
    const BEND_SEMITONES: f32 = 2.0;
    let event_of = match *event {
        NoteEvent::NoteOn { channel, key, velocity, .. } => {
            SoundEvent::On { channel: channel_of(channel)?, key: key_of(key)?, velocity: velocity_of(velocity) }
        }
        NoteEvent::NoteOff { channel, key, .. } => SoundEvent::Off { channel: channel_of(channel)?, key: key_of(key)? },
        NoteEvent::MidiCC { channel, cc: 64, value, .. } => SoundEvent::Pedal { channel, down: value >= 0.5 },
        NoteEvent::MidiCC { channel, cc: 120, .. } => SoundEvent::Silence { channel },
        NoteEvent::MidiCC { channel, cc: 123, .. } => SoundEvent::AllOff { channel },
        NoteEvent::MidiPitchBend { channel, value, .. } => {
            SoundEvent::Bend { channel, semitones: BEND_SEMITONES * (2.0 * value - 1.0) }
        }
        _ => return None,
    };
    Some(TimedSound { timing: event.timing(), event: event_of })
}

/// What the host says about its transport.
///
/// The raw fields: the framework's getters derive what is missing from one metre since the song's start.
pub fn host_transport(transport: &Transport) -> HostTransport {
    let meter = transport.time_sig_numerator.zip(transport.time_sig_denominator);
    let (bar_start, bar_number) = if bar_is_told(transport, meter) {
        (transport.bar_start_pos_beats, transport.bar_number)
    } else {
        (None, None)
    };
    HostTransport {
        playing: transport.playing,
        quarters: transport.pos_beats,
        quarters_per_minute: transport.tempo,
        meter,
        bar_start,
        bar_number,
    }
}

/// Whether the bar is more than a guess of the framework's.
///
/// Where it splits a block at a parameter change, it derives the bar from one metre since the song's start, which is
/// wrong after a change of metre. A bar that agrees with the guess tells nothing that counting on would not.
fn bar_is_told(transport: &Transport, meter: Option<(i32, i32)>) -> bool {
    let (Some(quarters), Some(bar_start)) = (transport.pos_beats, transport.bar_start_pos_beats) else {
        return false;
    };
    let Some((beats, unit)) = meter else {
        return true;
    };
    let bar_length = f64::from(beats) / f64::from(unit) * 4.0;
    let guess = (quarters / bar_length).floor();
    let same_number = transport.bar_number.is_none_or(|number| number == guess as i32);
    !(same_number && (bar_start - guess * bar_length).abs() < 1e-6)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: HostKey = HostKey::Number(60);

    fn on(timing: u32, velocity: f32) -> HostEvent {
        NoteEvent::NoteOn { timing, voice_id: VoiceID::Wildcard, channel: Channel::Number(2), key: KEY, velocity }
    }

    fn off(timing: u32, channel: Channel, key: HostKey) -> HostEvent {
        NoteEvent::NoteOff { timing, voice_id: VoiceID::Wildcard, channel, key, velocity: 0.0 }
    }

    fn bend(timing: u32) -> HostEvent {
        NoteEvent::MidiPitchBend { timing, channel: 0, value: 0.5 }
    }

    fn note_off(number: u8) -> TimedEvent {
        TimedEvent { timing: 9, event: realtime::NoteEvent::Off { channel: 0, key: Key::folded(i32::from(number)) } }
    }

    #[test]
    fn velocities_survive_the_way_through() {
        for number in 1..=127u8 {
            let Incoming::On { channel, key, velocity } = Incoming::of(&on(0, f32::from(number) / 127.0)) else {
                panic!("a note-on");
            };
            assert_eq!((channel, key.number(), velocity.get()), (2, 60, number));
            let mut outgoing = OutgoingEvents::new();
            outgoing.note(&TimedEvent { timing: 7, event: realtime::NoteEvent::On { channel, key, velocity } });
            let mut sent = Vec::new();
            outgoing.send(|event| {
                sent.push(event);
                Ok(())
            });
            assert_eq!(sent, [on(7, f32::from(number) / 127.0)]);
        }
        assert!(matches!(Incoming::of(&on(0, 0.0)), Incoming::On { velocity, .. } if velocity.get() == 1));
        assert!(matches!(Incoming::of(&on(0, f32::NAN)), Incoming::On { velocity, .. } if velocity.get() == 1));
    }

    #[test]
    fn expressions_are_not_passed_on_and_controllers_are() {
        let (timing, voice_id, channel) = (0, VoiceID::Wildcard, Channel::Number(0));
        let pressure = NoteEvent::PolyPressure { timing, voice_id, channel, key: KEY, pressure: 0.5 };
        let tuning = NoteEvent::PolyTuning { timing, voice_id, channel, key: KEY, tuning: 0.5 };
        assert_eq!(Incoming::of(&bend(0)), Incoming::Controller);
        assert_eq!(Incoming::of(&NoteEvent::MidiCC { timing, channel: 0, cc: 64, value: 1.0 }), Incoming::Controller);
        assert_eq!(Incoming::of(&pressure), Incoming::KeyPressure);
        assert_eq!(Incoming::of(&tuning), Incoming::Unused);
    }

    #[test]
    fn a_release_of_all_keys_releases_those_that_are_held() {
        let mut notes = IncomingNotes::new();
        for (channel, number) in [(0, 60), (0, 64), (3, 60), (15, 127)] {
            assert!(notes.strike(0, channel, Key::folded(number), Velocity::default()));
        }
        notes.clear();
        let Incoming::Off { channel, key } = Incoming::of(&off(0, Channel::Wildcard, KEY)) else {
            panic!("a note-off");
        };
        notes.release(5, channel, key);
        assert_eq!(notes.events().len(), 2, "key 60 on two channels");
        notes.release(2, None, None);
        let released: Vec<(u32, u8)> = notes.events()[2..]
            .iter()
            .map(|timed| match timed.event {
                realtime::NoteEvent::Off { channel, .. } => (timed.timing, channel),
                realtime::NoteEvent::On { .. } => panic!("nothing was struck"),
            })
            .collect();
        assert_eq!(released, [(5, 0), (5, 15)], "in time order though the host's were not");
        notes.release(6, None, None);
        assert_eq!(notes.events().len(), 4, "nothing is held any more");
    }

    #[test]
    fn a_flood_loses_strikes_but_no_releases() {
        let mut notes = IncomingNotes::new();
        let room = notes.events.capacity();
        let mut lost = 0;
        for round in 0..10_000 {
            let (channel, key) = ((round / 128 % 16) as u8, Key::folded(round % 128));
            lost += usize::from(!notes.strike(0, channel, key, Velocity::default()));
        }
        notes.release(1, None, None);
        assert_eq!(lost, 10_000 - IncomingNotes::STRIKES);
        assert_eq!(notes.events.len(), IncomingNotes::CAPACITY);
        assert_eq!(notes.events.capacity(), room, "it never had to grow");
    }

    #[test]
    fn events_go_out_by_time_and_in_order_within_one_time() {
        let mut outgoing = OutgoingEvents::new();
        outgoing.pass(bend(9));
        outgoing.pass(bend(3));
        outgoing.note(&note_off(40));
        outgoing.note(&TimedEvent { timing: 0, ..note_off(41) });
        outgoing.note(&note_off(42));
        let mut sent = Vec::new();
        let lost = outgoing.send(|event| {
            sent.push(event);
            Ok(())
        });
        let expected = |timing, number| off(timing, Channel::Number(0), HostKey::Number(number));
        assert_eq!(sent, [expected(0, 41), bend(3), bend(9), expected(9, 40), expected(9, 42)]);
        assert_eq!(lost, 0);
    }

    #[test]
    fn a_panic_reaches_every_channel_before_the_notes() {
        let mut outgoing = OutgoingEvents::new();
        outgoing.silence_channels();
        outgoing.note(&TimedEvent { timing: 0, ..note_off(41) });
        let mut sent = Vec::new();
        outgoing.send(|event| {
            sent.push(event);
            Ok(())
        });
        assert_eq!(sent.len(), 49);
        for channel in 0..16 {
            let controllers: Vec<u8> = sent
                .iter()
                .filter_map(|event| match event {
                    NoteEvent::MidiCC { timing: 0, channel: of, cc, value: 0.0 } if *of == channel => Some(*cc),
                    _ => None,
                })
                .collect();
            assert_eq!(controllers, [64, 123, 120]);
        }
        assert!(matches!(sent[48], NoteEvent::NoteOff { .. }));
    }

    #[test]
    fn a_release_the_host_has_no_room_for_is_sent_with_the_next_block() {
        let mut outgoing = OutgoingEvents::new();
        outgoing.pass(bend(0));
        outgoing.note(&note_off(40));
        assert_eq!(outgoing.send(|_| Err(Refused::Full)), 1, "the bend is lost");
        let mut sent = Vec::new();
        outgoing.note(&TimedEvent { timing: 0, ..note_off(41) });
        outgoing.send(|event| {
            sent.push(event);
            Err(Refused::Never)
        });
        let expected = |number| off(0, Channel::Number(0), HostKey::Number(number));
        assert_eq!(sent, [expected(40), expected(41)]);
        assert_eq!(outgoing.send(|_| panic!("nothing is left")), 0);
    }

    /// What a host gets that takes so many events in each block: keys that go down and up.
    fn sent_in(blocks: &[&[TimedEvent]], room: &[usize]) -> Vec<(u8, bool)> {
        let mut outgoing = OutgoingEvents::new();
        let mut sent = Vec::new();
        for (block, room) in blocks.iter().zip(room) {
            block.iter().for_each(|event| assert!(outgoing.note(event)));
            let full = sent.len() + room;
            outgoing.send(|event| match event {
                _ if sent.len() == full => Err(Refused::Full),
                NoteEvent::NoteOn { key, .. } => {
                    sent.push((key.number().unwrap_or_default(), true));
                    Ok(())
                }
                NoteEvent::NoteOff { key, .. } => {
                    sent.push((key.number().unwrap_or_default(), false));
                    Ok(())
                }
                other => panic!("only notes were given: {other:?}"),
            });
        }
        sent
    }

    fn note_on(number: u8) -> TimedEvent {
        let (key, velocity) = (Key::folded(i32::from(number)), Velocity::default());
        TimedEvent { timing: 0, event: realtime::NoteEvent::On { channel: 0, key, velocity } }
    }

    #[test]
    fn a_release_that_comes_late_ends_the_old_note_and_not_the_new_one() {
        let (on, off) = (note_on(40), TimedEvent { timing: 0, ..note_off(40) });
        let before = [on, note_on(41), note_on(42), off];
        let expected = [(40, true), (41, true), (42, true), (40, false), (40, true), (40, false)];
        assert_eq!(sent_in(&[&before, &[on], &[off]], &[3, 9, 9]), expected);
        assert_eq!(sent_in(&[&before, &[], &[on, off]], &[3, 0, 9]), expected, "kept for two blocks");
    }

    #[test]
    fn what_the_host_did_not_strike_is_not_released() {
        let (on, off) = (note_on(40), TimedEvent { timing: 0, ..note_off(40) });
        assert_eq!(sent_in(&[&[on], &[off]], &[0, 9]), []);
        assert_eq!(sent_in(&[&[on, off], &[on], &[off]], &[0, 9, 9]), [(40, true), (40, false)]);
        // The release of the first is still to be sent when the second is refused.
        assert_eq!(sent_in(&[&[on], &[off, on], &[]], &[1, 0, 9]), [(40, true), (40, false)]);
        assert_eq!(sent_in(&[&[on], &[off, on], &[off]], &[1, 0, 9]), [(40, true), (40, false)]);
        assert_eq!(sent_in(&[&[on], &[off, on, off], &[on]], &[1, 0, 9]), [(40, true), (40, false), (40, true)]);
    }

    #[test]
    fn a_bar_that_the_framework_derived_is_not_passed_on() {
        // Three bars of 4/4, then 3/4: the fifth bar begins at 15, and one metre since the start would say the same,
        // but with another number.
        let at = |quarters, bar_start, bar_number| {
            let mut transport = Transport::new(48_000.0);
            transport.playing = true;
            transport.pos_beats = Some(quarters);
            transport.tempo = Some(100.0);
            (transport.time_sig_numerator, transport.time_sig_denominator) = (Some(3), Some(4));
            (transport.bar_start_pos_beats, transport.bar_number) = (Some(bar_start), bar_number);
            let heard = host_transport(&transport);
            assert_eq!(
                (heard.quarters, heard.quarters_per_minute, heard.meter),
                (Some(quarters), Some(100.0), Some((3, 4)))
            );
            (heard.bar_start, heard.bar_number)
        };
        assert_eq!(at(15.5, 15.0, Some(4)), (Some(15.0), Some(4)), "the host counts a bar less than the guess");
        assert_eq!(at(15.5, 15.0, Some(5)), (None, None), "the guess");
        assert_eq!(at(17.0, 16.0, None), (Some(16.0), None), "VST3 has no bar numbers");
        let mut without_position = Transport::new(48_000.0);
        without_position.bar_start_pos_beats = Some(4.0);
        assert_eq!(host_transport(&without_position), HostTransport::default(), "CLAP copies the bar without asking");
    }

    #[test]
    fn the_preview_hears_notes_pedal_and_bend() {
        let heard = |event: HostEvent| sound_event(&event).map(|timed| (timed.timing, timed.event));
        let key = Key::folded(60);
        let struck = SoundEvent::On { channel: 2, key, velocity: Velocity::clamped(127) };
        assert_eq!(heard(on(7, 1.0)), Some((7, struck)));
        assert_eq!(heard(off(9, Channel::Number(2), KEY)), Some((9, SoundEvent::Off { channel: 2, key })));
        let controller = |cc, value| heard(NoteEvent::MidiCC { timing: 3, channel: 4, cc, value });
        assert_eq!(controller(64, 1.0), Some((3, SoundEvent::Pedal { channel: 4, down: true })));
        assert_eq!(controller(64, 0.0), Some((3, SoundEvent::Pedal { channel: 4, down: false })));
        assert_eq!(controller(120, 0.0), Some((3, SoundEvent::Silence { channel: 4 })));
        assert_eq!(controller(123, 0.0), Some((3, SoundEvent::AllOff { channel: 4 })));
        assert_eq!(controller(7, 0.5), None);
        assert_eq!(heard(bend(5)), Some((5, SoundEvent::Bend { channel: 0, semitones: 0.0 })));
        let up = NoteEvent::MidiPitchBend { timing: 0, channel: 0, value: 1.0 };
        assert_eq!(heard(up), Some((0, SoundEvent::Bend { channel: 0, semitones: 2.0 })));
    }
}
