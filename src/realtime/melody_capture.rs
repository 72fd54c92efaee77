//! Hears the melody and the player's chords, and asks for answers in time. Runs on the audio thread.

use super::timeline::Span;
use crate::channels::{Cut, Heard, Meters, SHORTEST_MARGIN, TakeId};
use crate::music::{Key, Segment, TICKS_PER_QUARTER, Ticks, Velocity};
use crate::settings::Settings;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Where the next segment is asked for.
#[derive(Debug, Clone, Copy)]
pub struct NextCut {
    segment: Segment,
    margin: Ticks,
    /// In quarter notes.
    pub at: f64,
}

/// Sends what is heard to the inference thread, and cuts it where answers are due.
pub struct MelodyCapture {
    queue: rtrb::Producer<Heard>,
    meters: Arc<Meters>,
    take: TakeId,
    /// The segment to be asked for next; `None` while stopped.
    next: Option<Segment>,
    /// By channel, the keys of chords that are down, as bits; also while stopped.
    chord_keys: [u128; 16],
    /// The queue was full, so the other side has heard half of what was played.
    lossy: bool,
}

impl MelodyCapture {
    pub fn new(queue: rtrb::Producer<Heard>, meters: Arc<Meters>) -> Self {
        Self { queue, meters, take: TakeId::default(), next: None, chord_keys: [0; 16], lossy: false }
    }

    pub fn take(&self) -> TakeId {
        self.take
    }

    /// Begins a take in the middle of `segment` or at its start; its answer is due at once.
    pub fn begin(&mut self, at: f64, segment: Segment) {
        self.take.0 = self.take.0.wrapping_add(1);
        self.next = Some(segment);
        self.lossy = false;
        self.tell_beginning(at);
    }

    /// The other side knows of no key that was struck before the take.
    fn tell_beginning(&mut self, at: f64) {
        self.send(Heard::TakeBegan { take: self.take, at });
        for (channel, mut keys) in (0..16).zip(self.chord_keys) {
            while keys != 0 {
                let key = Key::folded(keys.trailing_zeros() as i32);
                self.send(Heard::ChordHeld { key, channel });
                keys &= keys - 1;
            }
        }
    }

    /// Ends the take, if there is one, at `at` quarter notes.
    pub fn end(&mut self, at: f64) {
        if self.next.take().is_some() {
            self.meters.set_asked(None);
            self.send(Heard::TakeEnded { at });
        }
    }

    /// The host's bars turned out otherwise than expected: what was asked ahead is asked again, in this segment.
    pub fn correct(&mut self, segment: Segment) {
        self.take.0 = self.take.0.wrapping_add(1);
        self.next = Some(segment);
    }

    /// A key goes down, at `at` quarter notes. `channel` is 0..=15.
    pub fn note_on(&mut self, at: f64, channel: u8, key: Key, velocity: Velocity) {
        if self.next.is_some() {
            self.send(Heard::NoteOn { key, velocity, channel, at });
        }
    }

    /// A key goes down that is one of a chord, at `at` quarter notes. `channel` is 0..=15.
    pub fn chord_on(&mut self, at: f64, channel: u8, key: Key) {
        self.chord_keys[usize::from(channel % 16)] |= 1 << key.number();
        if self.next.is_some() {
            self.send(Heard::ChordOn { key, channel, at });
        }
    }

    /// All keys of chords count as released at `at` quarter notes: who holds them may not say when they are.
    pub fn let_go_of_chords(&mut self, at: f64) {
        for channel in 0..16 {
            while self.chord_keys[usize::from(channel)] != 0 {
                let number = self.chord_keys[usize::from(channel)].trailing_zeros();
                self.note_off(at, channel, Key::folded(number as i32));
            }
        }
    }

    /// A key goes up, of the melody or of a chord, at `at` quarter notes. `channel` is 0..=15.
    pub fn note_off(&mut self, at: f64, channel: u8, key: Key) {
        self.chord_keys[usize::from(channel % 16)] &= !(1 << key.number());
        if self.next.is_some() {
            self.send(Heard::NoteOff { key, channel, at });
        }
    }

    /// Where the next cut falls, in a call of so many samples. `None` while stopped.
    pub fn next_cut(&self, span: &Span, frames: u32, offline: bool) -> Option<NextCut> {
        let segment = self.next?;
        let margin = self.margin(&segment, span, frames, offline);
        // The margin counts whole ticks that are surely known; rounding takes the other half tick.
        let at = (f64::from(segment.start()) - (f64::from(margin) - 0.5)) / f64::from(TICKS_PER_QUARTER);
        Some(NextCut { segment, margin, at })
    }

    /// Asks for the next segment, at `at` quarter notes, and returns it.
    pub fn cut(&mut self, next: NextCut, at: f64, span: &Span, settings: &Settings, offline: bool) -> Segment {
        let NextCut { segment, margin, .. } = next;
        self.mend(at);
        self.send(Heard::Cut(Cut {
            take: self.take,
            segment,
            margin,
            settings: *settings,
            quarters_per_minute: Cut::tempo(span.quarters_per_minute),
            offline,
        }));
        self.meters.set_asked(Some((self.take, segment.start())));
        self.next = Some(segment.next());
        segment
    }

    /// As late as the measured inference time allows, and the time from one call to the next: what is asked for in a call can at the
    /// earliest be there in the next. Offline always the least, so that a render is reproducible.
    fn margin(&self, segment: &Segment, span: &Span, frames: u32, offline: bool) -> Ticks {
        if offline {
            return SHORTEST_MARGIN;
        }
        // A slow machine in fast music hears little, but what it plays comes in time.
        let longest = (segment.end() - segment.start()) * 3 / 4;
        let seconds = f64::from(self.meters.wanted_seconds.load(Ordering::Relaxed));
        let quarters = seconds * span.quarters_per_minute / 60.0 + f64::from(frames) * span.quarters_per_sample;
        // Rounding takes half a tick. A cast from a float saturates.
        ((quarters * f64::from(TICKS_PER_QUARTER) + 0.5).ceil() as Ticks).min(longest).max(SHORTEST_MARGIN)
    }

    /// What was heard in part is ended, and the take told anew from here on, as soon as there is room again.
    fn mend(&mut self, at: f64) {
        /// A take's beginning and some seconds of playing.
        const ROOM: usize = 256;
        if self.lossy && self.queue.slots() >= ROOM {
            self.lossy = false;
            self.send(Heard::TakeEnded { at });
            self.tell_beginning(at);
        }
    }

    fn send(&mut self, heard: Heard) {
        if self.queue.push(heard).is_err() {
            Meters::count(&self.meters.dropped);
            self.lossy = true;
        }
    }
}
