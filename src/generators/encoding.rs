//! Bars as tokens: encoding 3 of `docs/encoding.md`, mirrored by `models/obbligato_models/encoding.py`. Pure.

use super::PartNote;
use crate::contract::VOCABULARY;
use crate::music::{Bar, Chord, Key, Meter, Note, Part, PerPart, PitchClass, Quality, Segment, Ticks};
use std::collections::BTreeMap;

pub type Token = u16;

pub const PAD: Token = 0;
pub const START: Token = 1;
pub const END: Token = 2;
pub const MELODY: Token = 3;
const TIE: Token = 4;
const PART: Token = 5;
const BAR: Token = 8;
const JAM: Token = 12;
pub(super) const POSITION: Token = 16;
const CHORD: Token = 64;
const NO_CHORD: Token = 184;
pub(super) const NOTE: Token = 185;

/// The parts a model writes, in its order; [`crate::contract::PARTS`] has their names.
pub const PARTS: [Part; 3] = [Part::Bass, Part::Chords, Part::Counter];

/// The keys that have tokens; others are folded in by octaves.
const LOWEST_KEY: u8 = 21;
const HIGHEST_KEY: u8 = 108;
/// Duration classes from 1 on, in ticks; class 0 is [`Length::Held`].
const DURATIONS: [Ticks; 14] = [1, 2, 3, 4, 6, 8, 9, 12, 16, 18, 24, 30, 36, 48];
const DURATION_CLASSES: Token = 1 + DURATIONS.len() as Token;
/// Most notes of the melody, or of a part but the bass, at one position.
const MOST_NOTES: usize = 6;

/// How long a note is known to sound. The longer is the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Length {
    Ticks(Ticks),
    /// Still sounding when the melody was cut.
    Held,
}

/// What a token says. `PAD` and numbers past the vocabulary say nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    Start,
    End,
    Melody,
    Tie,
    Part(Part),
    /// A bar whose melody is known; index of its metre.
    Bar(u8),
    /// A bar that is answered segment by segment; index of its metre.
    Jam(u8),
    /// Ticks from the bar line.
    Position(Ticks),
    /// `None` is N.C.
    Chord(Option<Chord>),
    Note(Key, Length),
}

/// Index of the metre in `BAR` and `JAM`; `None` for metres without one. 2/2 is read as 4/4.
pub fn metre(meter: Meter) -> Option<u8> {
    match (meter.beats(), meter.unit()) {
        (4, 4) | (2, 2) => Some(0),
        (3, 4) => Some(1),
        (2, 4) => Some(2),
        (6, 8) => Some(3),
        _ => None,
    }
}

/// Most notes the model may write at one position of a part.
pub fn notes_a_position(part: Part) -> usize {
    match part {
        Part::Bass => 1,
        Part::Chords | Part::Pad | Part::Counter | Part::Drums | Part::Enhanced | Part::Extension => MOST_NOTES,
    }
}

pub fn meaning(token: Token) -> Option<Meaning> {
    Some(match token {
        START => Meaning::Start,
        END => Meaning::End,
        MELODY => Meaning::Melody,
        TIE => Meaning::Tie,
        PART..BAR => Meaning::Part(PARTS[usize::from(token - PART)]),
        BAR..JAM => Meaning::Bar((token - BAR) as u8),
        JAM..POSITION => Meaning::Jam((token - JAM) as u8),
        POSITION..CHORD => Meaning::Position(Ticks::from(token - POSITION)),
        CHORD..NOTE => Meaning::Chord(chord_of(token)),
        _ if usize::from(token) < VOCABULARY && token >= NOTE => note_of(token - NOTE),
        _ => return None,
    })
}

pub fn bar_token(metre: u8) -> Token {
    BAR + Token::from(metre)
}

pub fn jam_token(metre: u8) -> Token {
    JAM + Token::from(metre)
}

/// `None` for parts that the model does not write.
pub fn part_token(part: Part) -> Option<Token> {
    PARTS.iter().position(|known| *known == part).map(|index| PART + index as Token)
}

/// The chord the model knows that is nearest: extensions are left off.
///
/// A suspended second is the suspended fourth a fifth higher, note for note (C D G); [`bass_of`] keeps its root below.
pub fn chord_token(chord: Option<Chord>) -> Token {
    let Some(chord) = chord else { return NO_CHORD };
    let (root, quality) = match chord.quality {
        Quality::Major | Quality::Sixth | Quality::AddNinth => (chord.root, 0),
        Quality::Minor | Quality::MinorSixth => (chord.root, 1),
        Quality::Seventh | Quality::Ninth => (chord.root, 2),
        Quality::MajorSeventh => (chord.root, 3),
        Quality::MinorSeventh => (chord.root, 4),
        Quality::Diminished => (chord.root, 5),
        Quality::HalfDiminished => (chord.root, 6),
        Quality::DiminishedSeventh => (chord.root, 7),
        Quality::Augmented => (chord.root, 8),
        Quality::Sus4 => (chord.root, 9),
        Quality::Sus2 => (chord.root.up(7), 9),
    };
    CHORD + 10 * root.semitones() as Token + quality
}

/// The pitch class that the bass has to begin with, where the chord's token does not say it.
pub fn bass_of(chord: Chord) -> Option<PitchClass> {
    if chord.quality == Quality::Sus2 { Some(chord.bass()) } else { chord.slash }
}

/// The chord as the model knows it: one of ten qualities, without a slash.
pub(super) fn as_known(chord: Option<Chord>) -> Option<Chord> {
    chord_of(chord_token(chord))
}

/// All that the model knows, in the order of their tokens.
pub(super) fn known_chords() -> impl Iterator<Item = Chord> {
    (CHORD..NO_CHORD).filter_map(chord_of)
}

fn chord_of(token: Token) -> Option<Chord> {
    const QUALITIES: [Quality; 10] = [
        Quality::Major,
        Quality::Minor,
        Quality::Seventh,
        Quality::MajorSeventh,
        Quality::MinorSeventh,
        Quality::Diminished,
        Quality::HalfDiminished,
        Quality::DiminishedSeventh,
        Quality::Augmented,
        Quality::Sus4,
    ];
    let index = token - CHORD;
    let quality = QUALITIES[usize::from(index % 10)];
    (token != NO_CHORD).then(|| Chord::new(PitchClass::new(i32::from(index / 10)), quality))
}

fn note_token(key: u8, length: Length) -> Token {
    let class = match length {
        Length::Held => 0,
        Length::Ticks(ticks) => 1 + nearest_duration(ticks),
    };
    NOTE + DURATION_CLASSES * Token::from(key - LOWEST_KEY) + class
}

fn note_of(index: Token) -> Meaning {
    let key = Key::folded(i32::from(LOWEST_KEY) + i32::from(index / DURATION_CLASSES));
    let length = match usize::from(index % DURATION_CLASSES) {
        0 => Length::Held,
        class => Length::Ticks(DURATIONS[class - 1]),
    };
    Meaning::Note(key, length)
}

/// Index of the nearest duration, the shorter on a tie.
fn nearest_duration(ticks: Ticks) -> Token {
    let ticks = ticks.clamp(1, 48);
    let distance = |index: &usize| (DURATIONS[*index] - ticks).abs();
    (0..DURATIONS.len()).min_by_key(distance).unwrap_or(0) as Token
}

/// A note as it is written: ticks from the bar line, folded key, length.
struct Written {
    at: Ticks,
    key: u8,
    length: Length,
}

impl Written {
    fn new(bar: &Bar, note: &Note, length: Length) -> Self {
        Self { at: note.start - bar.start, key: folded(note.key), length }
    }
}

/// Keys that have no token are folded in by octaves.
pub(super) fn folded(key: Key) -> u8 {
    let mut key = key.number();
    while key < LOWEST_KEY {
        key += 12;
    }
    while key > HIGHEST_KEY {
        key -= 12;
    }
    key
}

/// `POS t, NOTE …`; of too many notes at a position a bass keeps the lowest, the others the highest.
fn write_notes(tokens: &mut Vec<Token>, notes: impl Iterator<Item = Written>, most: usize) {
    for (at, keys) in by_position(notes) {
        tokens.push(POSITION + at as Token);
        let surplus = if most == 1 { 0 } else { keys.len().saturating_sub(most) };
        tokens.extend(keys.iter().skip(surplus).take(most).map(|(key, length)| note_token(*key, *length)));
    }
}

/// Positions and keys ascending, each key once with its longest note.
fn by_position(notes: impl Iterator<Item = Written>) -> BTreeMap<Ticks, BTreeMap<u8, Length>> {
    let mut positions: BTreeMap<Ticks, BTreeMap<u8, Length>> = BTreeMap::new();
    for note in notes {
        let length = positions.entry(note.at).or_default().entry(note.key).or_insert(note.length);
        *length = note.length.max(*length);
    }
    positions
}

/// Melody notes with onset in the bar and their full durations, as they follow `BAR`.
pub fn write_melody(tokens: &mut Vec<Token>, bar: &Bar, melody: &[Note]) {
    let struck = melody.iter().filter(|note| (bar.start..bar.end()).contains(&note.start));
    let written = struck.map(|note| Written::new(bar, note, Length::Ticks(note.duration)));
    write_notes(tokens, written, MOST_NOTES);
}

/// The notes of an answer that begin in `start..end`, part by part as asked for, and `END`.
pub fn write_answer(
    tokens: &mut Vec<Token>,
    bar: &Bar,
    (start, end): (Ticks, Ticks),
    asked: &PerPart<bool>,
    notes: &[PartNote],
) {
    for part in PARTS.into_iter().filter(|part| asked[*part]) {
        write_part(tokens, bar, (start, end), part, notes);
    }
    tokens.push(END);
}

/// The notes of one part that begin in `start..end`, as they stand in an answer.
pub fn write_part(tokens: &mut Vec<Token>, bar: &Bar, (start, end): (Ticks, Ticks), part: Part, notes: &[PartNote]) {
    tokens.extend(part_token(part));
    let of_part = notes.iter().filter(|note| note.part == part).map(|note| &note.note);
    let here = of_part.filter(|note| (start..end).contains(&note.start));
    let written = here.map(|note| Written::new(bar, note, Length::Ticks(note.duration)));
    write_notes(tokens, written, notes_a_position(part));
}

/// What of a segment's melody had been heard `margin` ticks before its end: `MELODY`, ties, notes.
///
/// `margin` is the page's lead and half a tick: notes struck up to `end - margin` are known, and ends up to there.
pub fn write_heard(tokens: &mut Vec<Token>, segment: &Segment, melody: &[Note], margin: Ticks) {
    let (start, cut) = (segment.start(), segment.end() - margin);
    let length =
        |note: &Note, from: Ticks| if note.end() > cut { Length::Held } else { Length::Ticks(note.end() - from) };
    let tied = melody.iter().filter(|note| note.start < start && note.end() > start);
    let tied = tied.map(|note| Written { at: 0, key: folded(note.key), length: length(note, start) });
    tokens.push(MELODY);
    for keys in by_position(tied).into_values() {
        let surplus = keys.len().saturating_sub(MOST_NOTES);
        tokens.extend(keys.iter().skip(surplus).flat_map(|(key, length)| [TIE, note_token(*key, *length)]));
    }
    let struck = melody.iter().filter(|note| (start..=cut).contains(&note.start) && note.start < segment.end());
    let struck = struck.map(|note| Written::new(&segment.bar, note, length(note, note.start)));
    write_notes(tokens, struck, MOST_NOTES);
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::contract;
    use crate::music::Velocity;
    use serde::Deserialize;
    use std::collections::HashMap;

    #[derive(Deserialize)]
    struct Fixture {
        cases: Vec<Case>,
    }

    /// Music and its tokens, shared with the Python code.
    #[derive(Deserialize)]
    pub struct Case {
        pub name: String,
        mode: String,
        metre: String,
        asked: Vec<String>,
        lead: Option<f32>,
        bars: Vec<CaseBar>,
        pub tokens: Vec<Token>,
    }

    /// Notes are `[start, duration, key]`.
    #[derive(Deserialize)]
    struct CaseBar {
        melody: Vec<[i32; 3]>,
        chords: Vec<String>,
        parts: HashMap<String, Vec<[i32; 3]>>,
    }

    pub fn cases() -> Vec<Case> {
        let text = include_str!("../../models/parity/encoding.json");
        serde_json::from_str::<Fixture>(text).expect("the fixture is well formed").cases
    }

    impl Case {
        pub fn is_jam(&self) -> bool {
            self.mode == "jam"
        }

        pub fn margin(&self) -> Ticks {
            (self.lead.unwrap_or(1.5) + 0.5) as Ticks
        }

        pub fn asked_parts(&self) -> PerPart<bool> {
            PerPart::from_fn(|part| self.asked.iter().any(|id| id == part.id()))
        }

        pub fn melody(&self) -> Vec<Note> {
            let mut melody: Vec<Note> = self.bars.iter().flat_map(|bar| &bar.melody).map(|n| note(n, 0)).collect();
            melody.sort();
            melody
        }

        /// Each segment with its chord and the notes of the asked parts that begin in it.
        pub fn segments(&self) -> Vec<(Segment, Option<Chord>, Vec<PartNote>)> {
            let bars = self.bars.iter().zip(0..);
            let segments = bars.flat_map(|(given, number)| {
                let bar = Bar::of_constant_meter(number, self.meter());
                bar.segments().zip(&given.chords).map(move |(segment, name)| (segment, chord(name), given))
            });
            segments.map(|(segment, chord, given)| (segment, chord, self.notes_in(&segment, given))).collect()
        }

        fn notes_in(&self, segment: &Segment, given: &CaseBar) -> Vec<PartNote> {
            let asked = self.asked_parts();
            let parts = PARTS.into_iter().filter(|part| asked[*part]);
            let notes = parts.flat_map(|part| given.parts.get(part.id()).into_iter().flatten().map(move |n| (part, n)));
            let notes = notes.map(|(part, n)| PartNote::on_grid(part, note(n, segment.bar.start)));
            notes.filter(|n| (segment.start()..segment.end()).contains(&n.note.start)).collect()
        }

        fn meter(&self) -> Meter {
            let (beats, unit) = self.metre.split_once('/').expect("a metre");
            let number = |text: &str| text.parse().expect("a number");
            Meter::new(number(beats), number(unit)).expect("a usual metre")
        }
    }

    fn note([start, duration, key]: &[i32; 3], line: Ticks) -> Note {
        Note { start: start + line, key: Key::folded(*key), duration: *duration, velocity: Velocity::default() }
    }

    pub fn chord(name: &str) -> Option<Chord> {
        (name != "N.C.").then(|| name.replace(' ', "").parse().expect("the fixture's chords are readable"))
    }

    // That bars become the tokens that Python writes is tested where they are put together, in `context`.

    #[test]
    fn the_fixture_has_its_cases() {
        let cases = cases();
        let (jam, known): (Vec<&Case>, Vec<&Case>) = cases.iter().partition(|case| case.is_jam());
        assert!(jam.len() >= 5 && known.len() >= 8);
        for metre in contract::METRES {
            assert!(cases.iter().any(|case| case.metre == metre), "{metre}");
        }
    }

    #[test]
    fn every_token_means_one_thing() {
        let write = |meaning| match meaning {
            Meaning::Start => Some(START),
            Meaning::End => Some(END),
            Meaning::Melody => Some(MELODY),
            Meaning::Tie => Some(TIE),
            Meaning::Part(part) => part_token(part),
            Meaning::Bar(metre) => Some(bar_token(metre)),
            Meaning::Jam(metre) => Some(jam_token(metre)),
            Meaning::Position(at) => Some(POSITION + at as Token),
            Meaning::Chord(chord) => Some(chord_token(chord)),
            Meaning::Note(key, length) => Some(note_token(key.number(), length)),
        };
        for token in 1..VOCABULARY as Token {
            assert_eq!(meaning(token).and_then(write), Some(token));
        }
        for nothing in [PAD, VOCABULARY as Token, Token::MAX] {
            assert_eq!(meaning(nothing), None);
        }
    }

    #[test]
    fn a_chord_token_sounds_only_notes_of_its_chord() {
        for root in PitchClass::all() {
            for quality in Quality::ALL {
                let chord = Chord::new(root, quality);
                let read = chord_of(chord_token(Some(chord))).expect("not N.C.");
                assert!(read.classes().all(|class| chord.class_set().contains(class)), "{chord} as {read}");
                assert!(read.root == root || bass_of(chord) == Some(root), "{chord} as {read}");
            }
        }
    }

    #[test]
    fn the_contract_names_the_same_metres_and_parts() {
        for (index, name) in contract::METRES.into_iter().enumerate() {
            let (beats, unit) = name.split_once('/').expect("a metre");
            let meter = Meter::new(beats.parse().expect("a number"), unit.parse().expect("a number"));
            assert_eq!(metre(meter.expect("a usual metre")), Some(index as u8));
        }
        assert_eq!(PARTS.map(Part::id), contract::PARTS);
        assert_eq!(NOTE + DURATION_CLASSES * Token::from(HIGHEST_KEY - LOWEST_KEY + 1), VOCABULARY as Token);
    }
}
