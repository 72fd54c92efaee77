//! Which of a file's lines is the melody.

use super::{Line, MidiFile, PlayedNote, ReadError};
use std::str::FromStr;

/// The track that holds the melody.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum TrackChoice {
    /// By its name, else the highest line that is not drums.
    #[default]
    Automatic,
    /// Counting the tracks that have notes, from 1.
    Number(usize),
    /// The whole name or a part of it, without regard to case.
    Name(String),
}

impl FromStr for TrackChoice {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(text.trim().parse().map_or_else(|_| Self::Name(text.trim().to_owned()), Self::Number))
    }
}

/// What people call the track one sings or plays alone, the surest first.
const MELODY_WORDS: [&[&str]; 3] = [
    &["melody", "melodie", "melodia", "mélodie", "melodía", "tune", "cantus"],
    &[
        "vocal", "vocals", "vox", "voice", "voz", "voix", "voce", "gesang", "stimme", "sing", "singer", "soprano",
        "sopran",
    ],
    &["lead", "solo", "theme", "canto", "treble", "discant"],
];

/// Names of what goes with a melody.
const ACCOMPANIMENT_WORDS: [&str; 19] = [
    "backing",
    "background",
    "bg",
    "choir",
    "chorus",
    "harmony",
    "chord",
    "chords",
    "accomp",
    "accompaniment",
    "comp",
    "pad",
    "bass",
    "bajo",
    "tenor",
    "alto",
    "rhythm",
    "left",
    "strings",
];

const DRUM_WORDS: [&str; 6] = ["drum", "drums", "percussion", "perc", "schlagzeug", "batterie"];

/// General MIDI keeps channel 10 (9 from zero) for drums.
const DRUM_CHANNEL: u8 = 9;

impl MidiFile {
    /// The line that `choice` means.
    ///
    /// # Errors
    /// When there is none, or more than one, with a list of what there is.
    pub fn melody_line(&self, choice: &TrackChoice) -> Result<&Line, ReadError> {
        if self.lines.is_empty() {
            return Err(ReadError::NoNotes);
        }
        match choice {
            TrackChoice::Automatic => self.likeliest_melody(),
            TrackChoice::Number(number) => {
                let line = number.checked_sub(1).and_then(|index| self.lines.get(index));
                line.ok_or_else(|| self.no_such_track(&number.to_string()))
            }
            TrackChoice::Name(name) => self.line_named(name),
        }
    }

    fn likeliest_melody(&self) -> Result<&Line, ReadError> {
        let end = self.lines.iter().flat_map(|line| &line.notes).map(|note| note.end_quarters).fold(0.0, f64::max);
        let pitched = self.lines.iter().filter(|line| !line.is_drums());
        let rank = |line: &&Line| (line.melody_words(), line.height(end));
        pitched
            .max_by(|a, b| {
                let ((words, height), (other_words, other_height)) = (rank(a), rank(b));
                words.cmp(&other_words).then(height.total_cmp(&other_height))
            })
            .ok_or_else(|| ReadError::OnlyDrums { available: self.list_of_lines() })
    }

    fn line_named(&self, wanted: &str) -> Result<&Line, ReadError> {
        let plain = wanted.to_lowercase();
        if let Some(exact) = self.lines.iter().find(|line| line.name.to_lowercase() == plain) {
            return Ok(exact);
        }
        let mut fitting = self.lines.iter().filter(|line| line.name.to_lowercase().contains(&plain));
        match (fitting.next(), fitting.next()) {
            (Some(line), None) => Ok(line),
            (None, _) => Err(self.no_such_track(wanted)),
            (Some(_), Some(_)) => {
                Err(ReadError::AmbiguousTrack { wanted: wanted.to_owned(), available: self.list_of_lines() })
            }
        }
    }

    fn no_such_track(&self, wanted: &str) -> ReadError {
        ReadError::NoSuchTrack { wanted: wanted.to_owned(), available: self.list_of_lines() }
    }

    fn list_of_lines(&self) -> String {
        const SHOWN: usize = 20;
        let lines = self.lines.iter().enumerate().take(SHOWN).map(|(index, line)| {
            let name = if line.name.is_empty() { "without a name" } else { &line.name };
            format!("{} {name} ({} notes)", index + 1, line.notes.len())
        });
        let more = if self.lines.len() > SHOWN { ", …" } else { "" };
        format!("Tracks with notes: {}{more}", lines.collect::<Vec<_>>().join(", "))
    }
}

impl Line {
    /// Whether it is a drum part, by channel or name.
    pub fn is_drums(&self) -> bool {
        let on_drum_channel = self.notes.iter().filter(|note| note.channel == DRUM_CHANNEL).count();
        2 * on_drum_channel > self.notes.len() || self.has_word(&DRUM_WORDS)
    }

    /// 0 where the name does not speak of a melody, more the surer it does.
    fn melody_words(&self) -> usize {
        if self.has_word(&ACCOMPANIMENT_WORDS) {
            return 0;
        }
        let found = MELODY_WORDS.iter().position(|words| self.has_word(words));
        found.map_or(0, |place| MELODY_WORDS.len() - place)
    }

    fn has_word(&self, words: &[&str]) -> bool {
        let name = self.name.to_lowercase();
        name.split(|sign: char| !sign.is_alphabetic()).any(|word| words.contains(&word))
    }

    /// How high the line lies, in semitones, less what speaks against a melody: chords, and long silence.
    fn height(&self, song_end_quarters: f64) -> f64 {
        const OCTAVE: f64 = 12.0;
        let mean_key =
            self.notes.iter().map(|note| f64::from(note.key.number())).sum::<f64>() / self.notes.len() as f64;
        let named_otherwise = if self.has_word(&ACCOMPANIMENT_WORDS) { OCTAVE } else { 0.0 };
        let silence = 1.0 - self.activity(song_end_quarters);
        mean_key - OCTAVE * self.chordal_share() - 2.0 * OCTAVE * silence * silence - named_otherwise
    }

    /// Share of notes that are struck together with another.
    fn chordal_share(&self) -> f64 {
        const TOGETHER_QUARTERS: f64 = 1.0 / 16.0;
        let together = |pair: &&[PlayedNote]| pair[1].start_quarters - pair[0].start_quarters < TOGETHER_QUARTERS;
        self.notes.windows(2).filter(together).count() as f64 / self.notes.len() as f64
    }

    /// Share of the song's four-quarter stretches in which a note is struck.
    fn activity(&self, song_end_quarters: f64) -> f64 {
        const STRETCH_QUARTERS: f64 = 4.0;
        let mut stretches: Vec<u64> =
            self.notes.iter().map(|note| (note.start_quarters / STRETCH_QUARTERS) as u64).collect();
        stretches.dedup();
        stretches.len() as f64 / (song_end_quarters / STRETCH_QUARTERS).ceil().max(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::read;
    use super::super::test_files::{file, melody_track};
    use super::*;

    const HIGH: &[u8] = &[76, 77, 79, 76, 74, 72, 74, 76];
    const MIDDLE: &[u8] = &[60, 62, 64, 60, 60, 62, 64, 60];
    const LOW: &[u8] = &[36, 43, 36, 43, 36, 43, 36, 43];

    /// Tracks as name, channel and keys, and the name of the one that `choice` gives or a word from the error.
    fn check(choice: &str, tracks: &[(&str, u8, &[u8])], expected: &str) {
        let tracks: Vec<_> = tracks.iter().map(|(name, channel, keys)| melody_track(name, *channel, keys)).collect();
        let read = read(&file(1, &tracks)).expect("tracks with notes");
        let Ok(choice) = choice.parse();
        let choice = if choice == TrackChoice::Name(String::new()) { TrackChoice::Automatic } else { choice };
        match read.melody_line(&choice) {
            Ok(line) => assert_eq!(line.name, expected),
            Err(error) => assert!(error.to_string().contains(expected), "{error} does not name {expected}"),
        }
    }

    #[test]
    fn the_melody_is_found_by_its_name() {
        check("", &[("Flute", 0, HIGH), ("Lead Vocals", 1, MIDDLE), ("Bass", 2, LOW)], "Lead Vocals");
        check("", &[("Backing Vocals", 0, HIGH), ("VOICE 1", 1, MIDDLE)], "VOICE 1");
        check("", &[("Lead Guitar", 0, HIGH), ("Melody", 1, LOW)], "Melody");
        check("", &[("Alto", 0, MIDDLE), ("Soprano", 1, MIDDLE)], "Soprano");
    }

    #[test]
    fn without_a_name_the_highest_line_that_is_not_drums_is_the_melody() {
        check("", &[("Piano left", 0, LOW), ("Piano right", 1, MIDDLE)], "Piano right");
        check("", &[("a", 9, HIGH), ("b", 1, MIDDLE)], "b");
        check("", &[("Drums", 0, HIGH), ("b", 1, LOW)], "b");
        check("", &[("sparkle", 0, &[100]), ("tune", 1, &HIGH.repeat(8))], "tune");
        check("", &[("Drum kit", 9, LOW)], "1 Drum kit (8 notes)");
    }

    #[test]
    fn chords_lie_lower_than_they_sound() {
        let chord =
            |key: u8| vec![(0u32, vec![0x90, key, 80]), (0, vec![0x90, key + 4, 80]), (0, vec![0x90, key + 7, 80])];
        let mut events: Vec<(u32, Vec<u8>)> = vec![(0, super::super::test_files::meta(3, b"comping"))];
        for _ in 0..8 {
            events.extend(chord(69));
            events.extend([(96, vec![0x80, 69, 0]), (0, vec![0x80, 73, 0]), (0, vec![0x80, 76, 0])]);
        }
        let events: Vec<(u32, &[u8])> = events.iter().map(|(delta, event)| (*delta, event.as_slice())).collect();
        let tracks =
            [super::super::test_files::track(&events), melody_track("line", 1, &[67, 69, 71, 72, 71, 69, 67, 67])];
        let read = read(&file(1, &tracks)).expect("two tracks");
        assert_eq!(read.melody_line(&TrackChoice::Automatic).expect("a melody").name, "line");
    }

    #[test]
    fn tracks_are_chosen_by_number_and_name() {
        let tracks: &[(&str, u8, &[u8])] = &[("Violin I", 0, HIGH), ("Violin II", 1, MIDDLE), ("Cello", 2, LOW)];
        check("3", tracks, "Cello");
        check("cell", tracks, "Cello");
        check("violin i", tracks, "Violin I");
        check("violin", tracks, "more than one");
        check("4", tracks, "no track `4`. Tracks with notes: 1 Violin I (8 notes), 2 Violin II");
        check("0", tracks, "no track");
        check("oboe", tracks, "3 Cello");
    }
}
