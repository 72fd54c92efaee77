//! Standard MIDI Files: reads melodies and chord tracks, writes arrangements. The only module naming `midly`.
//!
//! Pure: bytes in, music out, and the other way round. Reading takes what notation programs and DAWs write, and answers
//! everything else with a [`ReadError`]; oddities that can be lived with become [`MidiFile::warnings`].

mod arrangement;
mod chords;
mod melody_line;
mod read;
#[cfg(test)]
mod test_files;
mod write;

pub use arrangement::{Extent, arrangement};
pub use chords::chord_names;
pub use melody_line::TrackChoice;
pub use read::{LARGEST_FILE, ReadError, read};
pub use write::{write, write_played};

use crate::music::{Key, Meter, Note, Song, TempoChange, Ticks, Velocity, in_quarters, quantise};

/// What a file holds, on its own timeline.
#[derive(Debug, Clone, PartialEq)]
pub struct MidiFile {
    /// Name of a first track without notes.
    pub title: Option<String>,
    /// The tracks that have notes, in the file's order; where all is in one track, its channels.
    pub lines: Vec<Line>,
    /// By time; the first at 0.
    pub tempos: Vec<TempoChange>,
    /// By time; the first at 0.
    pub meters: Vec<(Ticks, Meter)>,
    /// Marker, cue and text events by time; lyrics are not among them.
    pub markers: Vec<(Ticks, String)>,
    /// Sentences about what was odd and how it was taken.
    pub warnings: Vec<String>,
}

/// The notes of one track or channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// As in the file; empty if it has none.
    pub name: String,
    /// By start, then key. Notes of one key and channel do not overlap.
    pub notes: Vec<PlayedNote>,
}

/// A note as it stands in the file, not brought to the grid: what a host plays to the plugin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PlayedNote {
    /// Quarter notes from the start of the song.
    pub start_quarters: f64,
    /// Later than the start.
    pub end_quarters: f64,
    pub key: Key,
    pub velocity: Velocity,
    /// 0..=15.
    pub channel: u8,
}

impl PlayedNote {
    /// The note on the grid, at least one tick long.
    pub fn on_grid(&self) -> Note {
        let start = quantise(self.start_quarters);
        let duration = (quantise(self.end_quarters) - start).max(1);
        Note { start, key: self.key, duration, velocity: self.velocity }
    }
}

/// Exactly where the grid says, on the first channel.
impl From<&Note> for PlayedNote {
    fn from(note: &Note) -> Self {
        let (start_quarters, end_quarters) = (in_quarters(note.start), in_quarters(note.end()));
        Self { start_quarters, end_quarters, key: note.key, velocity: note.velocity, channel: 0 }
    }
}

impl MidiFile {
    /// The song whose melody is `line`.
    pub fn song(&self, line: &Line) -> Song {
        self.song_of(line.notes.iter())
    }

    fn song_of<'a>(&self, notes: impl Iterator<Item = &'a PlayedNote>) -> Song {
        let mut melody: Vec<Note> = notes.map(PlayedNote::on_grid).collect();
        melody.sort_unstable();
        Song { melody, tempos: self.tempos.clone(), meters: self.meters.clone() }
    }
}
