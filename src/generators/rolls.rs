//! Bars as piano rolls: rolls 1 of `docs/rolls.md`, mirrored by `models/obbligato_models/rolls.py`. Pure.

use super::encoding::{as_known, folded, known_chords};
use crate::contract::rolls::ROWS;
use crate::music::{Chord, Key, Meter, Note, Part, PitchClass, TICKS_PER_QUARTER, Ticks, Velocity};
use std::ops::Range;

/// In a roll.
pub const BARS: Ticks = 4;
/// Rows of a roll, eight octaves; row 0 is the lowest key.
pub const KEYS: usize = ROWS;
pub const LOWEST_KEY: u8 = 16;
/// A roll's ticks are a multiple of this: networks halve a quarter twice.
pub const STEP: Ticks = 48;
/// In this order, two channels each.
pub const PARTS: [Part; 4] = [Part::Bass, Part::Chords, Part::Counter, Part::Pad];
/// Pitch classes of the chord that is given, and whether one is given.
pub const CHORD_ROWS: usize = 13;
/// Bar lines, beats, and where something is known.
pub const CLOCK_ROWS: usize = 3;

/// The pad has each pitch class at one key only, in the octave from here (G3).
const PAD_LOWEST: u8 = 55;
const GIVEN: usize = 12;

/// What computes the cells of a roll: one of the networks of `docs/rolls.md`.
pub trait RollNetwork: Send {
    /// `inputs` by name, as many numbers each as the page says for a roll of so many ticks. Returns the logits of the
    /// cells by channel, tick and row.
    ///
    /// # Errors
    /// In words, when the model cannot be run.
    fn cells(&mut self, ticks: Ticks, inputs: &[(&'static str, Vec<f32>)]) -> Result<&[f32], String>;

    /// Where it computes, where there is a choice.
    fn device(&self) -> Option<String> {
        None
    }

    /// A run for its own sake, if the device has been left alone so long that it would go to sleep.
    ///
    /// # Errors
    /// In words, when the device is lost.
    fn keep_warm(&mut self) -> Result<(), String> {
        Ok(())
    }
}

/// Four bars in this metre.
pub fn ticks_of(meter: Meter) -> Ticks {
    BARS * meter.bar_length()
}

/// A beat as the clock has it: a quarter, in compound metres the dotted unit.
pub fn beat_of(meter: Meter) -> Ticks {
    if meter.is_compound() { meter.beat_length() } else { TICKS_PER_QUARTER }
}

/// The row of a key; those that tokens do not have are folded in by octaves, as there.
pub fn row(key: Key) -> usize {
    usize::from(folded(key) - LOWEST_KEY)
}

pub fn key_of(row: usize) -> Key {
    Key::folded(row as i32 + i32::from(LOWEST_KEY))
}

/// Onset and sustain of some notes, f32 [2, ticks, 96].
#[derive(Debug, Clone, PartialEq)]
pub struct Roll {
    ticks: Ticks,
    cells: Vec<f32>,
}

impl Roll {
    /// Silence.
    pub fn new(ticks: Ticks) -> Self {
        Self { ticks, cells: vec![0.0; 2 * ticks as usize * KEYS] }
    }

    /// Notes, whose starts are counted from `line`. See [`Roll::add`].
    pub fn of<'a>(ticks: Ticks, line: Ticks, notes: impl IntoIterator<Item = &'a Note>) -> Self {
        let mut roll = Self::new(ticks);
        notes.into_iter().for_each(|note| roll.add(line, note));
        roll
    }

    /// A note struck before `line` sounds on from there and is not struck; one that lasts beyond the end is cut.
    pub fn add(&mut self, line: Ticks, note: &Note) {
        // A note that is still held ends far in the future.
        let end = note.end().max(note.start + 1);
        let (start, end) = (note.start - line, end.saturating_sub(line).min(self.ticks));
        if start >= self.ticks || end <= 0 {
            return;
        }
        let row = row(note.key);
        let (onset, sustain) = self.cells.split_at_mut(self.ticks as usize * KEYS);
        (start.max(0)..end).for_each(|tick| sustain[tick as usize * KEYS + row] = 1.0);
        if start >= 0 {
            onset[start as usize * KEYS + row] = 1.0;
        }
    }

    /// Nothing from this tick on.
    pub fn silence_from(&mut self, tick: Ticks) {
        let from = tick.clamp(0, self.ticks) as usize * KEYS;
        self.cells.chunks_exact_mut(self.ticks as usize * KEYS).for_each(|channel| channel[from..].fill(0.0));
    }

    /// By channel (onset, sustain), tick and row.
    pub fn cells(&self) -> &[f32] {
        &self.cells
    }

    pub fn sustain(&self) -> &[f32] {
        &self.cells[self.cells.len() / 2..]
    }
}

/// The notes of these cells, by start and key, from the roll's first tick. A note begins where a key is struck and lasts
/// until it is not sustained, is struck again, or the roll ends; at least a tick. What sounds from the first tick without
/// being struck is no note.
pub fn read(
    ticks: Ticks,
    struck: impl Fn(Ticks, usize) -> bool,
    sustained: impl Fn(Ticks, usize) -> bool,
) -> Vec<Note> {
    let mut notes = Vec::new();
    for row in 0..KEYS {
        for start in (0..ticks).filter(|tick| struck(*tick, row)) {
            let silent = |tick: &Ticks| struck(*tick, row) || !sustained(*tick, row);
            let end = (start + 1..ticks).find(silent).unwrap_or(ticks);
            notes.push(Note { start, key: key_of(row), duration: end - start, velocity: Velocity::default() });
        }
    }
    notes.sort_unstable();
    notes
}

/// Of notes by start: each ends where the next is struck.
pub fn as_line(notes: &mut [Note]) {
    let mut next = Ticks::MAX;
    for index in (0..notes.len()).rev() {
        let start = notes[index].start;
        if notes.get(index + 1).is_some_and(|after| after.start > start) {
            next = notes[index + 1].start;
        }
        notes[index].duration = notes[index].duration.min(next.saturating_sub(start));
    }
}

/// f32 [3, ticks]: 1 at bar lines; 1 at beats, which are counted from each bar line; 1 up to the tick to which something is
/// known. Each bar line comes with the ticks of a beat.
pub fn clock(ticks: Ticks, bar_lines: impl IntoIterator<Item = (Ticks, Ticks)>, known: Ticks) -> Vec<f32> {
    let mut rows = vec![0.0; CLOCK_ROWS * ticks as usize];
    let mut lines = bar_lines.into_iter().peekable();
    let (mut line, mut beat) = (0, TICKS_PER_QUARTER);
    for tick in 0..ticks {
        let new = lines.next_if(|(at, _)| *at == tick);
        (line, beat) = new.unwrap_or((line, beat));
        rows[tick as usize] = f32::from(u8::from(new.is_some()));
        rows[(ticks + tick) as usize] = f32::from(u8::from((tick - line) % beat == 0));
        rows[(2 * ticks + tick) as usize] = f32::from(u8::from(tick < known));
    }
    rows
}

/// The clock of a roll that begins with a bar of this metre.
pub fn clock_in(meter: Meter, known: Ticks) -> Vec<f32> {
    let line = |bar| (bar * meter.bar_length(), beat_of(meter));
    clock(ticks_of(meter), (0..BARS).map(line), known)
}

/// A chord and where it is, in ticks from the roll's first; `None` is N.C.
pub type Placed = (Range<Ticks>, Option<Chord>);

/// f32 [13, ticks]: the pitch classes of the chords that are given, and 1 where one is. N.C. is given without pitch
/// classes.
pub fn chord_rows(ticks: Ticks, chords: &[Placed]) -> Vec<f32> {
    let mut rows = vec![0.0; CHORD_ROWS * ticks as usize];
    for (place, chord) in chords {
        let classes = as_known(*chord).into_iter().flat_map(|chord| chord.classes());
        for row in classes.map(|class| class.semitones() as usize).chain([GIVEN]) {
            let row = row * ticks as usize;
            let (start, end) = (place.start.clamp(0, ticks) as usize, place.end.clamp(0, ticks) as usize);
            rows[row + start..row + end].fill(1.0);
        }
    }
    rows
}

/// The chords held, by start and key: each pitch class at its one key and as long as it stays. Chords are in order.
pub fn pad(chords: &[Placed]) -> Vec<Note> {
    let mut notes: Vec<Note> = Vec::new();
    for (place, chord) in chords {
        for class in as_known(*chord).into_iter().flat_map(|chord| chord.classes()) {
            let key = pad_key(class);
            match notes.iter_mut().find(|note| note.key == key && note.end() == place.start) {
                Some(held) => held.duration += place.end - place.start,
                None => {
                    let (start, duration) = (place.start, place.end - place.start);
                    notes.push(Note { start, key, duration, velocity: Velocity::default() });
                }
            }
        }
    }
    notes.sort_unstable();
    notes
}

pub fn pad_key(class: PitchClass) -> Key {
    let lowest = PitchClass::new(i32::from(PAD_LOWEST));
    Key::folded(i32::from(PAD_LOWEST) + class.above(lowest))
}

/// The chord whose notes sound most likely and whose other pitch classes sound least; none where no pitch class is likely.
/// `chances`: how likely each pitch class of the pad sounds, on average over the chord's ticks.
pub fn chord_said(chances: &[f64; 12]) -> Option<Chord> {
    if chances.iter().all(|chance| *chance < 0.5) {
        return None;
    }
    let score =
        |chord: &Chord| -> f64 { chord.classes().map(|class| 2.0 * chances[class.semitones() as usize] - 1.0).sum() };
    // Of equals the first, as there.
    known_chords().reduce(|best, chord| if score(&chord) > score(&best) { chord } else { best })
}

#[cfg(test)]
mod tests {
    use super::super::encoding::tests::chord;
    use super::*;
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Fixture {
        write: Vec<WriteCase>,
        read: Vec<ReadCase>,
        clock: Vec<ClockCase>,
        chords: Vec<ChordCase>,
    }

    #[derive(Deserialize)]
    struct WriteCase {
        metre: String,
        notes: Vec<[i32; 3]>,
        onsets: Vec<[usize; 2]>,
        sustained: Vec<[usize; 3]>,
    }

    #[derive(Deserialize)]
    struct ReadCase {
        metre: String,
        onsets: Vec<[usize; 2]>,
        sustained: Vec<[usize; 3]>,
        notes: Vec<[i32; 3]>,
    }

    #[derive(Deserialize)]
    struct ClockCase {
        metre: String,
        known: Ticks,
        #[serde(rename = "bar lines")]
        bar_lines: Vec<usize>,
        beats: Vec<usize>,
    }

    #[derive(Deserialize)]
    struct ChordCase {
        metre: String,
        chords: Vec<Vec<String>>,
        rows: Vec<[usize; 3]>,
        pad: Vec<[i32; 3]>,
    }

    fn fixture() -> Fixture {
        serde_json::from_str(include_str!("../../models/parity/rolls.json")).expect("the fixture is well formed")
    }

    fn meter(name: &str) -> Meter {
        let (beats, unit) = name.split_once('/').expect("a metre");
        Meter::new(beats.parse().expect("a number"), unit.parse().expect("a number")).expect("a usual metre")
    }

    fn note([start, duration, key]: &[i32; 3]) -> Note {
        Note { start: *start, key: Key::folded(*key), duration: *duration, velocity: Velocity::default() }
    }

    /// What is set among cells [ticks, rows].
    fn set(cells: &[f32], rows: usize) -> Vec<[usize; 2]> {
        (0..cells.len()).filter(|at| cells[*at] == 1.0).map(|at| [at / rows, at % rows]).collect()
    }

    /// The same for runs of a row: row, first tick, ticks.
    fn unrolled(runs: &[[usize; 3]]) -> Vec<[usize; 2]> {
        let cells = runs.iter().flat_map(|[row, first, ticks]| (*first..first + ticks).map(move |tick| [tick, *row]));
        let mut cells: Vec<[usize; 2]> = cells.collect();
        cells.sort_unstable();
        cells
    }

    #[test]
    fn notes_become_the_cells_that_python_writes() {
        for case in fixture().write {
            let notes: Vec<Note> = case.notes.iter().map(note).collect();
            let ticks = ticks_of(meter(&case.metre));
            let roll = Roll::of(ticks, 0, &notes);
            let (onset, sustain) = roll.cells().split_at(ticks as usize * KEYS);
            assert_eq!(set(onset, KEYS), case.onsets, "{:?}", case.notes);
            assert_eq!(set(sustain, KEYS), unrolled(&case.sustained), "{:?}", case.notes);
            let moved: Vec<Note> = notes.iter().map(|note| Note { start: note.start + 480, ..*note }).collect();
            assert!(Roll::of(ticks, 480, &moved) == roll);
        }
    }

    #[test]
    fn cells_are_read_as_the_notes_that_python_reads() {
        for case in fixture().read {
            let sustained = unrolled(&case.sustained);
            let found = read(
                ticks_of(meter(&case.metre)),
                |tick, row| case.onsets.contains(&[tick as usize, row]),
                |tick, row| sustained.binary_search(&[tick as usize, row]).is_ok(),
            );
            assert_eq!(found, case.notes.iter().map(note).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_clock_is_pythons() {
        for case in fixture().clock {
            let (meter, ticks) = (meter(&case.metre), ticks_of(meter(&case.metre)) as usize);
            let rows = clock_in(meter, case.known);
            let row = |row: usize| set(&rows[row * ticks..(row + 1) * ticks], 1).iter().map(|at| at[0]).collect();
            let (lines, beats, known): (Vec<usize>, Vec<usize>, Vec<usize>) = (row(0), row(1), row(2));
            assert_eq!((lines, beats), (case.bar_lines, case.beats), "{}", case.metre);
            assert_eq!(known, (0..case.known as usize).collect::<Vec<_>>());
        }
    }

    #[test]
    fn chords_and_pad_are_pythons() {
        for case in fixture().chords {
            let (meter, ticks) = (meter(&case.metre), ticks_of(meter(&case.metre)));
            let bars = case.chords.iter().zip(0..).map(|(names, bar)| {
                let bar = crate::music::Bar::of_constant_meter(bar, meter);
                bar.segments().zip(names).map(|(segment, name)| (segment.start()..segment.end(), chord(name)))
            });
            let chords: Vec<Placed> = bars.flatten().collect();
            let rows = chord_rows(ticks, &chords);
            let mut found: Vec<[usize; 2]> =
                set(&rows, ticks as usize).into_iter().map(|[row, tick]| [tick, row]).collect();
            found.sort_unstable();
            assert_eq!(found, unrolled(&case.rows), "{:?}", case.chords);
            let mut expected: Vec<Note> = case.pad.iter().map(note).collect();
            expected.sort_unstable();
            assert_eq!(pad(&chords), expected);
        }
    }

    #[test]
    fn the_pad_says_the_chords_it_holds() {
        for chord in known_chords() {
            let members = chord.class_set();
            let chance = |class| if members.contains(class) { 0.9 } else { 0.1 };
            let mut chances = [0.0; 12];
            PitchClass::all().zip(&mut chances).for_each(|(class, said)| *said = chance(class));
            let said = chord_said(&chances).expect("it is sure");
            // C augmented is E augmented, note for note.
            assert_eq!(said.class_set(), members, "{chord} {said}");
        }
        assert_eq!(chord_said(&[0.4; 12]), None);
    }

    #[test]
    fn a_line_ends_its_notes_where_the_next_is_struck() {
        let mut notes = [[0, 30, 60], [12, 12, 62], [12, 40, 65], [30, 5, 60]].map(|n| note(&n));
        as_line(&mut notes);
        assert_eq!(notes.map(|note| note.duration), [12, 12, 18, 5]);
    }

    #[test]
    fn what_is_held_to_the_end_of_days_fits() {
        let held = Note { start: 30, key: Key::folded(60), duration: Ticks::MAX - 40, velocity: Velocity::default() };
        let mut roll = Roll::of(192, 0, [&held]);
        assert_eq!(set(roll.sustain(), KEYS).len(), 162);
        roll.silence_from(48);
        assert_eq!(set(roll.cells(), KEYS).len(), 1 + 18);
    }
}
