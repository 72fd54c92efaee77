//! The notes that sound, so that every struck note is released, and none by another part's release. Runs on the audio thread.

use super::timeline::Span;
use super::{EventBuffer, NoteEvent};
use crate::music::{Key, Part, Velocity};

/// Who struck a note.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The player's own melody on its way through.
    Melody,
    Part(Part),
}

#[derive(Debug, Clone, Copy)]
struct SoundingNote {
    source: Source,
    channel: u8,
    key: Key,
    /// In quarter notes; infinite for the melody, whose player decides.
    end: f64,
}

/// All notes that were struck and not yet released.
#[derive(Debug)]
pub struct SoundingNotes {
    notes: Vec<SoundingNote>,
}

impl SoundingNotes {
    const CAPACITY: usize = 512;

    pub fn new() -> Self {
        Self { notes: Vec::with_capacity(Self::CAPACITY) }
    }

    /// Strikes a note, unless there is no room to strike it and later release all that sounds. Returns whether it did.
    ///
    /// A key that sounds already on this channel is released first: synthesisers differ in what a second note-on does.
    pub fn strike(&mut self, timing: u32, note: Strike, output: &mut EventBuffer) -> bool {
        if self.notes.len() == Self::CAPACITY || output.room() < self.notes.len() + 3 {
            return false;
        }
        if self.is_sounding(note.channel, note.key) {
            output.push(timing, NoteEvent::Off { channel: note.channel, key: note.key });
        }
        output.push(timing, NoteEvent::On { channel: note.channel, key: note.key, velocity: note.velocity });
        // The same source striking again takes its note over; another source's note stays, silently, until its own end.
        self.notes.retain(|old| !(old.source == note.source && old.channel == note.channel && old.key == note.key));
        self.notes.push(SoundingNote { source: note.source, channel: note.channel, key: note.key, end: note.end });
        true
    }

    /// Releases the melody's note; `false` if it was never passed on.
    pub fn release_melody(&mut self, timing: u32, channel: u8, key: Key, output: &mut EventBuffer) -> bool {
        let mut found = false;
        self.release_where(timing, output, |note| {
            let this = note.source == Source::Melody && note.channel == channel && note.key == key;
            found |= this;
            this
        });
        found
    }

    /// Releases what ends before sample `until` of the block, each at its sample, but none before sample `earliest`.
    pub fn release_ended(&mut self, until: u32, earliest: u32, span: &Span, output: &mut EventBuffer) {
        while let Some((index, sample)) = self.earliest_end(span).filter(|(_, sample)| *sample < until) {
            let note = self.notes.swap_remove(index);
            self.send_off(sample.max(earliest), note, output);
        }
    }

    /// Releases the accompaniment's notes for which `ended` holds, at sample `timing` of the block.
    pub fn release_parts(&mut self, timing: u32, output: &mut EventBuffer, ended: impl Fn(Part, u8) -> bool) {
        self.release_where(timing, output, |note| match note.source {
            Source::Melody => false,
            Source::Part(part) => ended(part, note.channel),
        });
    }

    /// Releases all that sounds, the melody too, at sample `timing` of the block.
    pub fn release_all(&mut self, timing: u32, output: &mut EventBuffer) {
        self.release_where(timing, output, |_| true);
    }

    fn earliest_end(&self, span: &Span) -> Option<(usize, u32)> {
        let first = self.notes.iter().enumerate().min_by(|(_, a), (_, b)| a.end.total_cmp(&b.end));
        first.map(|(index, note)| (index, span.sample(note.end)))
    }

    fn release_where(&mut self, timing: u32, output: &mut EventBuffer, mut ended: impl FnMut(&SoundingNote) -> bool) {
        let mut index = 0;
        while index < self.notes.len() {
            if ended(&self.notes[index]) {
                let note = self.notes.swap_remove(index);
                self.send_off(timing, note, output);
            } else {
                index += 1;
            }
        }
    }

    /// The key falls silent only when nobody holds it any more.
    fn send_off(&self, timing: u32, note: SoundingNote, output: &mut EventBuffer) {
        if !self.is_sounding(note.channel, note.key) {
            output.push(timing, NoteEvent::Off { channel: note.channel, key: note.key });
        }
    }

    fn is_sounding(&self, channel: u8, key: Key) -> bool {
        self.notes.iter().any(|note| note.channel == channel && note.key == key)
    }
}

/// A note to be struck.
#[derive(Debug, Clone, Copy)]
pub struct Strike {
    pub source: Source,
    pub channel: u8,
    pub key: Key,
    pub velocity: Velocity,
    /// In quarter notes.
    pub end: f64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::music::{Bar, Meter};

    fn strike(source: Source, end: f64) -> Strike {
        Strike { source, channel: 1, key: Key::folded(60), velocity: Velocity::default(), end }
    }

    fn letters(output: &EventBuffer) -> String {
        output.iter().map(|timed| if matches!(timed.event, NoteEvent::On { .. }) { '+' } else { '-' }).collect()
    }

    #[test]
    fn two_parts_on_one_channel_do_not_cut_each_other() {
        let (mut sounding, mut output) = (SoundingNotes::new(), EventBuffer::new());
        let bar = Bar::of_constant_meter(0, Meter::COMMON);
        let span = Span { start: 0.0, tick: 0, quarters_per_sample: 0.1, quarters_per_minute: 120.0, bar };
        sounding.strike(0, strike(Source::Part(Part::Bass), 4.0), &mut output);
        sounding.strike(5, strike(Source::Part(Part::Chords), 1.0), &mut output);
        assert_eq!(letters(&output), "+-+", "struck again, audibly");
        sounding.release_ended(20, 0, &span, &mut output);
        assert_eq!(letters(&output), "+-+", "the bass still holds it");
        sounding.release_ended(90, 0, &span, &mut output);
        assert_eq!(letters(&output), "+-+-");
    }

    #[test]
    fn there_is_always_room_to_release() {
        let (mut sounding, mut output) = (SoundingNotes::new(), EventBuffer::new());
        let mut struck = 0;
        for number in 0..(16 * 128) {
            let note = Strike {
                channel: (number / 128) as u8,
                key: Key::folded(number % 128),
                ..strike(Source::Melody, f64::INFINITY)
            };
            struck += usize::from(sounding.strike(0, note, &mut output));
        }
        sounding.release_all(1, &mut output);
        let offs = output.iter().filter(|timed| matches!(timed.event, NoteEvent::Off { .. })).count();
        assert_eq!(offs, struck);
        assert_eq!(struck, SoundingNotes::CAPACITY);
    }
}
