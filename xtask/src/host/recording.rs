//! What a plugin sent while a song was played, and the notes in it.

use super::{Message, Timed};
use obbligato::generators::PartNote;
use obbligato::music::{Key, Note, Part, TICKS_PER_QUARTER, Ticks, Timing, Velocity, quantise};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// A message with its place in the song.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sent {
    /// Which stretch of the playing it was sent in; see [`super::PlayOptions::stretches`]. What is sent after the
    /// last stretch counts from its end.
    pub stretch: usize,
    /// Place in the song; where the transport stands, the place where it stopped.
    pub quarters: f64,
    pub message: Message,
}

/// A note the plugin played, from its note-on to its note-off.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HostNote {
    pub channel: u8,
    pub key: u8,
    pub velocity: u8,
    pub start_quarters: f64,
    pub end_quarters: f64,
}

/// All that a plugin sent.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Recording {
    pub sent: Vec<Sent>,
    /// Messages that came earlier than the one before in their block, or lay outside of it.
    pub unsorted: usize,
    /// How long each process call took.
    pub call_times: Vec<Duration>,
    /// End of each stretch in quarter notes, where a note that sounds across a jump is cut.
    pub(super) stretch_ends: Vec<f64>,
}

impl Recording {
    /// The notes struck in a stretch, by start, channel and key.
    pub fn notes(&self, stretch: usize) -> Vec<HostNote> {
        let end = self.stretch_ends[stretch];
        let mut notes = Vec::new();
        let mut held: BTreeMap<(u8, u8), VecDeque<(Sent, u8)>> = BTreeMap::new();
        for sent in &self.sent {
            match sent.message {
                Message::NoteOn { channel, key, velocity } => {
                    held.entry((channel, key)).or_default().push_back((*sent, velocity));
                }
                Message::NoteOff { channel, key } => {
                    let struck = held.get_mut(&(channel, key)).and_then(VecDeque::pop_front);
                    if let Some((on, velocity)) = struck.filter(|(on, _)| on.stretch == stretch) {
                        let end_quarters = if sent.stretch == stretch { sent.quarters } else { end };
                        notes.push(HostNote { channel, key, velocity, start_quarters: on.quarters, end_quarters });
                    }
                }
                Message::Controller { .. } | Message::PitchBend { .. } | Message::Parameter { .. } => {}
            }
        }
        notes.sort_by(|a, b| {
            a.start_quarters.total_cmp(&b.start_quarters).then((a.channel, a.key).cmp(&(b.channel, b.key)))
        });
        notes
    }

    /// Notes that were struck and never released.
    pub fn hanging(&self) -> usize {
        self.count_held().0
    }

    /// Note-offs for what did not sound.
    pub fn orphan_offs(&self) -> usize {
        self.count_held().1
    }

    fn count_held(&self) -> (usize, usize) {
        let mut held: BTreeMap<(u8, u8), usize> = BTreeMap::new();
        let mut orphans = 0;
        for sent in &self.sent {
            match sent.message {
                Message::NoteOn { channel, key, .. } => *held.entry((channel, key)).or_default() += 1,
                Message::NoteOff { channel, key } => match held.get_mut(&(channel, key)) {
                    Some(count) if *count > 0 => *count -= 1,
                    Some(_) | None => orphans += 1,
                },
                Message::Controller { .. } | Message::PitchBend { .. } | Message::Parameter { .. } => {}
            }
        }
        (held.values().sum(), orphans)
    }

    /// Adds what was sent in a block of `frames` samples; `place` turns a sample of the block into quarters.
    pub(super) fn add_block(&mut self, stretch: usize, frames: u32, block: &[Timed], place: impl Fn(u32) -> f64) {
        let mut last = 0;
        for Timed { timing, message } in block.iter().copied() {
            if timing < last || timing >= frames.max(1) {
                self.unsorted += 1;
            }
            last = last.max(timing);
            self.sent.push(Sent { stretch, quarters: place(timing), message });
        }
    }
}

impl HostNote {
    /// The note as the engine would have written it for a part; `None` if its key is not on the keyboard.
    pub fn of_part(&self, part: Part) -> Option<PartNote> {
        let note = self.on_grid()?;
        let ticks = self.start_quarters * f64::from(TICKS_PER_QUARTER);
        Some(PartNote { part, note, timing: Timing::of_ticks(ticks - f64::from(note.start)) })
    }

    /// The note on the grid of the engine; `None` if its key is not on the keyboard.
    pub fn on_grid(&self) -> Option<Note> {
        let start: Ticks = quantise(self.start_quarters);
        let duration = (quantise(self.end_quarters) - start).max(1);
        Some(Note { start, key: Key::new(self.key)?, duration, velocity: Velocity::clamped(i32::from(self.velocity)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recording(blocks: &[(usize, &[Timed])]) -> Recording {
        let mut recording = Recording { stretch_ends: vec![4.0, 8.0], ..Recording::default() };
        for (stretch, messages) in blocks {
            recording.add_block(*stretch, 100, messages, |timing| f64::from(timing) / 100.0);
        }
        recording
    }

    const ON: Message = Message::NoteOn { channel: 1, key: 60, velocity: 100 };
    const OFF: Message = Message::NoteOff { channel: 1, key: 60 };

    #[test]
    fn notes_across_a_jump_end_where_the_stretch_ends() {
        let jump = recording(&[(0, &[Timed { timing: 50, message: ON }]), (1, &[Timed { timing: 0, message: OFF }])]);
        let notes = jump.notes(0);
        assert_eq!((notes.len(), notes[0].start_quarters, notes[0].end_quarters), (1, 0.5, 4.0));
        assert_eq!((jump.notes(1).len(), jump.hanging(), jump.orphan_offs(), jump.unsorted), (0, 0, 0, 0));
    }

    #[test]
    fn a_note_off_the_grid_keeps_its_timing() {
        let played = HostNote { channel: 1, key: 60, velocity: 90, start_quarters: 12.26 / 12.0, end_quarters: 1.25 };
        let note = played.of_part(Part::Bass).expect("a key");
        assert_eq!((note.note.start, note.note.duration, note.timing), (12, 3, Timing::clamped(4)));
    }

    #[test]
    fn what_is_wrong_is_counted() {
        let wrong = [
            Timed { timing: 90, message: ON },
            Timed { timing: 10, message: ON },
            Timed { timing: 100, message: Message::NoteOff { channel: 2, key: 60 } },
        ];
        let recorded = recording(&[(0, &wrong)]);
        assert_eq!((recorded.hanging(), recorded.orphan_offs(), recorded.unsorted), (2, 1, 2));
    }
}
