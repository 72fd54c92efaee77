//! Writes the example melodies from their text: `cargo run --no-default-features --example encode`.
//!
//! The tunes are old and in the public domain; a test checks that the `.mid` files beside this one are what it writes.
//!
//! A tune is bars between `|`. A note is its name, octave and value: `F#4/4.` is a dotted quarter, `F#4` has the value
//! of the note before, `~` ties it to the next, `r` is a rest. `'` ends a phrase (the player breathes), `p mp mf f` set
//! the loudness, `@60` the tempo in quarters a minute.

use obbligato::midi_file;
use obbligato::music::{Key, Meter, Note, Song, TICKS_PER_QUARTER, TempoChange, Ticks, Velocity};
use std::path::Path;

struct Tune {
    file: &'static str,
    title: &'static str,
    meter: (i64, i64),
    /// A first bar that is shorter.
    pickup: Option<(i64, i64)>,
    text: &'static str,
}

const TUNES: [Tune; 7] = [
    Tune {
        file: "ode_to_joy",
        title: "Ode to Joy (Ludwig van Beethoven, 1824)",
        meter: (4, 4),
        pickup: None,
        text: "@112 mf
            F#4/4 F#4 G4 A4 | A4 G4 F#4 E4 | D4 D4 E4 F#4 | F#4/4. E4/8 E4/2 ' |
            F#4/4 F#4 G4 A4 | A4 G4 F#4 E4 | D4 D4 E4 F#4 | E4/4. D4/8 D4/2 ' |
            mp E4/4 E4 F#4 D4 | E4 F#4/8 G4 F#4/4 D4 | E4 F#4/8 G4 F#4/4 E4 | D4 E4 A3/2 ' |
            f F#4/4 F#4 G4 A4 | A4 G4 F#4 E4 | D4 D4 E4 F#4 | E4/4. D4/8 D4/2 '",
    },
    Tune {
        file: "greensleeves",
        title: "Greensleeves (England, 16th century)",
        meter: (6, 8),
        pickup: Some((1, 8)),
        text: "@66 mp
            A4/8 | C5/4 D5/8 E5/8. F#5/16 E5/8 | D5/4 B4/8 G4/8. A4/16 B4/8 |
            C5/4 A4/8 A4/8. G#4/16 A4/8 | B4/4 G#4/8 E4/4 ' A4/8 |
            C5/4 D5/8 E5/8. F#5/16 E5/8 | D5/4 B4/8 G4/8. A4/16 B4/8 |
            C5/8. B4/16 A4/8 G#4/8. F#4/16 G#4/8 | A4/4. A4 ' |
            mf G5/4. G5/8. F#5/16 E5/8 | D5/4 B4/8 G4/8. A4/16 B4/8 |
            C5/4 A4/8 A4/8. G#4/16 A4/8 | B4/4 G#4/8 E4/4. ' |
            G5/4. G5/8. F#5/16 E5/8 | D5/4 B4/8 G4/8. A4/16 B4/8 |
            C5/8. B4/16 A4/8 @60 G#4/8. F#4/16 G#4/8 | @52 A4/2. '",
    },
    Tune {
        file: "amazing_grace",
        title: "Amazing Grace (New Britain, United States, 1829)",
        meter: (3, 4),
        pickup: Some((1, 4)),
        text: "@84 mp
            D4/4 | G4/2 B4/8 G4 | B4/2 A4/4 | G4/2 E4/4 | D4/2 ' D4/4 |
            G4/2 B4/8 G4 | B4/2 A4/4 | mf D5/2.~ | D5/2 ' B4/4 |
            D5/2 B4/8 G4 | B4/2 A4/4 | G4/2 E4/4 | D4/2 ' mp D4/4 |
            G4/2 B4/8 G4 | B4/2 A4/4 | @72 G4/2.~ | G4/2 '",
    },
    Tune {
        file: "scarborough_fair",
        title: "Scarborough Fair (England, traditional)",
        meter: (3, 4),
        pickup: None,
        text: "@104 mp
            D4/2 D4/4 | A4 A4 A4 | E4/4. F4/8 E4/4 | D4/2. ' | r/4 A4 C5 | D5/2 C5/4 | A4 B4 G4 | A4/2.~ |
            A4/2 ' mf D5/4 | D5/2 C5/4 | A4 A4 G4 | F4 E4/2 | C4/2. ' | mp D4/2 A4/4 | G4/2 F4/4 | E4 D4 C4 |
            D4/2.~ | D4/2 ' r/4",
    },
    Tune {
        file: "frere_jacques",
        title: "Frère Jacques (France, 18th century)",
        meter: (4, 4),
        pickup: None,
        text: "@120 mf
            F4/4 G4 A4 F4 | F4 G4 A4 F4 ' | A4 Bb4 C5/2 | A4/4 Bb4 C5/2 ' |
            f C5/8 D5 C5 Bb4 A4/4 F4 | C5/8 D5 C5 Bb4 A4/4 F4 ' | mp F4 C4 F4/2 | F4/4 C4 F4/2 '",
    },
    Tune {
        file: "auld_lang_syne",
        title: "Auld Lang Syne (Scotland, 1799)",
        meter: (4, 4),
        pickup: Some((1, 4)),
        text: "@92 mp
            C4/4 | F4/4. F4/8 F4/4 A4 | G4/4. F4/8 G4/4 A4/8 G4 | F4/4. F4/8 A4/4 C5 | D5/2. ' D5/4 |
            C5/4. A4/8 A4/4 F4 | G4/4. F4/8 G4/4 A4/8 G4 | F4/4. D4/8 D4/4 C4 | F4/2. ' mf D5/4 |
            C5/4. A4/8 A4/4 F4 | G4/4. F4/8 G4/4 D5 | C5/4. A4/8 A4/4 C5 | D5/2. ' f D5/4 |
            C5/4. A4/8 A4/4 F4 | G4/4. F4/8 G4/4 A4/8 G4 | @84 F4/4. D4/8 @76 D4/4 C4 | @68 F4/2. '",
    },
    Tune {
        file: "minuet_in_g",
        title: "Minuet in G (Christian Petzold, before 1725)",
        meter: (3, 4),
        pickup: None,
        text: "@116 mf
            D5/4 G4/8 A4 B4 C5 | D5/4 G4 G4 ' | E5 C5/8 D5 E5 F#5 | G5/4 G4 G4 ' |
            C5 D5/8 C5 B4 A4 | B4/4 C5/8 B4 A4 G4 | F#4/4 G4/8 A4 B4 G4 | A4/2. ' |
            mp D5/4 G4/8 A4 B4 C5 | D5/4 G4 G4 ' | E5 C5/8 D5 E5 F#5 | G5/4 G4 G4 ' |
            mf C5 D5/8 C5 B4 A4 | B4/4 C5/8 B4 A4 G4 | A4/4 B4/8 A4 G4 F#4 | G4/2. '",
    },
];

fn main() -> std::io::Result<()> {
    for tune in &TUNES {
        let path = tune.path();
        std::fs::write(&path, tune.bytes())?;
        println!("{}", path.display());
    }
    Ok(())
}

impl Tune {
    fn path(&self) -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(self.file).with_extension("mid")
    }

    fn bytes(&self) -> Vec<u8> {
        midi_file::write(&self.song(), &[], &[], self.title)
    }

    fn song(&self) -> Song {
        let mut player = Player { meter: usual(self.meter), bar_ends: vec![0], ..Player::default() };
        let mut meters = vec![(0, player.meter)];
        if let Some(pickup) = self.pickup.map(usual) {
            meters = vec![(0, pickup), (pickup.bar_length(), player.meter)];
            player.bar_ends = vec![pickup.bar_length() - player.meter.bar_length()];
        }
        for word in self.text.split_whitespace() {
            player.read(word).unwrap_or_else(|problem| panic!("{}, at {word}: {problem}", self.file));
        }
        Song { melody: player.notes, tempos: player.tempos, meters }
    }
}

fn usual((beats, unit): (i64, i64)) -> Meter {
    Meter::new(beats, unit).expect("the tunes are in usual metres")
}

/// Reads a tune word by word and plays it with some expression.
#[derive(Default)]
struct Player {
    meter: Meter,
    notes: Vec<Note>,
    tempos: Vec<TempoChange>,
    now: Ticks,
    value: Ticks,
    loudness: i32,
    tied: bool,
    /// Index of the phrase's first note.
    phrase: usize,
    /// Bar lines so far.
    bar_ends: Vec<Ticks>,
}

impl Player {
    fn read(&mut self, word: &str) -> Result<(), &'static str> {
        match word {
            "p" => self.loudness = 56,
            "mp" => self.loudness = 68,
            "mf" => self.loudness = 80,
            "f" => self.loudness = 92,
            "'" => self.end_phrase(),
            "|" => return self.bar_line(),
            _ => match word.strip_prefix('@') {
                Some(tempo) => {
                    let quarters_per_minute = tempo.parse().map_err(|_| "no tempo")?;
                    self.tempos.push(TempoChange { at: self.now, quarters_per_minute });
                }
                None => return self.read_note(word),
            },
        }
        Ok(())
    }

    fn bar_line(&mut self) -> Result<(), &'static str> {
        let due = self.bar_ends.last().expect("begins with one") + self.meter.bar_length();
        self.bar_ends.push(due);
        if self.now == due { Ok(()) } else { Err("the bar is too long or too short") }
    }

    fn read_note(&mut self, word: &str) -> Result<(), &'static str> {
        let tied_on = word.ends_with('~');
        let (name, value) = match word.trim_end_matches('~').split_once('/') {
            Some((name, value)) => (name, Some(value)),
            None => (word.trim_end_matches('~'), None),
        };
        if let Some(value) = value {
            self.value = ticks_of(value).ok_or("no note value")?;
        }
        let key = if name == "r" { None } else { Some(key_of(name).ok_or("no note")?) };
        match (key, self.notes.last_mut().filter(|_| self.tied)) {
            (Some(key), Some(last)) if key == last.key => last.duration += self.value,
            (_, Some(_)) => return Err("a tie joins equal notes"),
            (Some(key), None) => self.strike(key),
            (None, None) => {}
        }
        self.tied = tied_on;
        self.now += self.value;
        Ok(())
    }

    fn strike(&mut self, key: Key) {
        // One key can only sound again after it has been let go.
        if let Some(last) = self.notes.last_mut().filter(|last| last.key == key && last.end() == self.now) {
            last.duration -= 1;
        }
        let velocity = Velocity::clamped(self.loudness + self.accent());
        self.notes.push(Note { start: self.now, key, duration: self.value, velocity });
    }

    /// The first of the bar is strong, other beats less, what lies between is light.
    fn accent(&self) -> i32 {
        let in_bar = (self.now - self.bar_ends[0]).rem_euclid(self.meter.bar_length());
        match in_bar {
            0 => 7,
            _ if in_bar % self.meter.beat_length() == 0 => 2,
            _ => -3,
        }
    }

    /// A phrase swells to its middle and its last note leaves room to breathe.
    fn end_phrase(&mut self) {
        const SWELL: Ticks = 10;
        let (start, end) = (self.notes[self.phrase].start, self.now);
        for note in &mut self.notes[self.phrase..] {
            let (past, left) = (note.start - start, end - note.start);
            let swell = 4 * SWELL * past * left / ((end - start) * (end - start));
            note.velocity = Velocity::clamped(i32::from(note.velocity.get()) + swell);
        }
        let last = self.notes.last_mut().expect("a phrase has notes");
        last.duration -= (last.duration / 4).clamp(1, TICKS_PER_QUARTER / 2);
        self.phrase = self.notes.len();
    }
}

fn key_of(name: &str) -> Option<Key> {
    let octave = name.chars().last()?.to_digit(10)?;
    let (class, sharps) = match name[..name.len() - 1].split_at_checked(1)? {
        (letter, "#") => (letter, 1),
        (letter, "b") => (letter, -1),
        (letter, "") => (letter, 0),
        _ => return None,
    };
    let white = [("C", 0), ("D", 2), ("E", 4), ("F", 5), ("G", 7), ("A", 9), ("B", 11)];
    let (_, semitones) = white.into_iter().find(|(letter, _)| *letter == class)?;
    Some(Key::folded(12 * (octave as i32 + 1) + semitones + sharps))
}

/// `4` is a quarter, `4.` a dotted one.
fn ticks_of(value: &str) -> Option<Ticks> {
    let part: Ticks = value.trim_end_matches('.').parse().ok().filter(|part| (1..=16).contains(part))?;
    let plain = 4 * TICKS_PER_QUARTER / part;
    Some(if value.ends_with('.') { plain + plain / 2 } else { plain })
}

#[cfg(test)]
mod tests {
    use super::*;
    use obbligato::midi_file::{TrackChoice, read};

    #[test]
    fn the_files_are_what_is_written_here() {
        for tune in &TUNES {
            let path = tune.path();
            let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            assert!(bytes == tune.bytes(), "{} differs: run the example `encode`", path.display());
        }
    }

    #[test]
    fn the_files_read_back_as_the_tunes() {
        for tune in &TUNES {
            let file = read(&tune.bytes()).expect("our own file");
            let song = file.song(file.melody_line(&TrackChoice::Automatic).expect("a melody"));
            assert_eq!(song.melody, tune.song().melody, "{}", tune.title);
            assert_eq!(file.title.as_deref(), Some(tune.title));
            assert_eq!(file.warnings, Vec::<String>::new());
        }
    }

    #[test]
    fn an_ode_is_as_people_sing_it() {
        let song = TUNES[0].song();
        let first: Vec<String> = song.melody[..8].iter().map(|note| format!("{}@{}", note.key, note.start)).collect();
        assert_eq!(first.join(" "), "F#4@0 F#4@12 G4@24 A4@36 A4@48 G4@60 F#4@72 E4@84");
        assert_eq!(song.bars().count(), 16);
    }
}
