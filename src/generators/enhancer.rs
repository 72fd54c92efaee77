//! Adds notes to a melody and takes notes away, in a few passes, as a network over piano rolls finds them missing or too many
//! (`docs/rolls.md`). Mirrors `models/obbligato_models/arcnn/enhance.py`.

use super::GeneratorError;
use super::controls::plain_condition;
use super::rolls::{BARS, KEYS, Roll, RollNetwork, STEP, beat_of, clock, key_of, row};
use super::sampling::{Dice, chance_of};
use crate::contract::rolls::{Enhancer as Fields, RollContract};
use crate::music::{Bar, BarIndex, Key, Meter, Note, Song, Style, Ticks, Velocity};
use crate::settings::EnhanceSettings;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Four bars of 12/8.
const LONGEST_ROLL: Ticks = 288;
/// Where four bars are no multiple of [`STEP`] or too long, and where the metre changes: bar lines then fall where they fall.
const OTHER_ROLL: Ticks = 192;
/// Of a new note, where there is room.
const SHORTEST: Ticks = 3;
/// Logits by which the creative risk lowers what is enough for a note to come: without it, a melody to which nothing is missing
/// stays as it is at any risk.
const DARING: f64 = 3.0;
/// What is said of each cell.
const CHANNELS: usize = 3;
const MISSING: usize = 0;
const TOO_MANY: usize = 1;
const SOUNDING: usize = 2;

/// What the user asks for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Wish {
    /// Notes at most that the result has and the melody had not.
    pub add: usize,
    pub remove: Removal,
    /// Passes. None leave the melody as it is.
    pub iterations: u32,
    /// Creative risk; at 0 only what is likelier than not is done, the higher, the more comes that the melody does not need.
    pub temperature: f32,
    /// Place in the palette of [`Style`].
    pub style: f32,
    pub seed: u64,
}

/// How many of the melody's notes, at most, the result has not.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Removal {
    /// 0..=100 of all there are.
    PerCent(f32),
    Notes(usize),
}

impl Removal {
    fn most_of(self, notes: usize) -> usize {
        match self {
            // In double precision, so that what people write comes out: 29 % of 100 are 29.
            Self::PerCent(share) => (f64::from(share.clamp(0.0, 100.0)) / 100.0 * notes as f64 + 1e-6).floor() as usize,
            Self::Notes(most) => most,
        }
    }
}

impl Default for Wish {
    /// As the plugin has it of a bar; but notes to add are those of a whole melody.
    fn default() -> Self {
        let EnhanceSettings { risk, remove, passes, .. } = EnhanceSettings::default();
        let (remove, iterations) = (Removal::PerCent(100.0 * remove), passes.into());
        Self { add: 16, remove, iterations, temperature: risk, style: Style::BY_EAR, seed: 1 }
    }
}

/// What must not be touched.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Fixed {
    /// Notes of the melody that stay.
    pub locked: Vec<Note>,
    /// Ticks in which notes may begin or be removed; `None`: everywhere. What is outside is heard.
    pub editable: Option<Range<Ticks>>,
}

pub struct Enhancer {
    contract: RollContract<Fields>,
    network: Box<dyn RollNetwork>,
}

impl Enhancer {
    pub fn new(contract: RollContract<Fields>, network: Box<dyn RollNetwork>) -> Self {
        Self { contract, network }
    }

    /// As shown to the user.
    pub fn name(&self) -> &str {
        &self.contract.name
    }

    pub fn device(&self) -> Option<String> {
        self.network.device()
    }

    /// The song's melody with notes added and taken away, by start and key. Limits are kept exactly. Of notes struck together
    /// on one key the longest counts, as on a keyboard.
    ///
    /// # Errors
    /// When the network fails.
    pub fn enhance(&mut self, song: &Song, fixed: &Fixed, wish: &Wish) -> Result<Vec<Note>, GeneratorError> {
        let mut work = Work::new(song, fixed, wish, &self.contract);
        for left in (1..=wish.iterations as usize).rev() {
            let edits = work.edits(&mut *self.network)?;
            let now = edits.len().div_ceil(left);
            edits.iter().take(now).for_each(|edit| work.make(edit));
        }
        Ok(work.result())
    }
}

/// A note's place: where it is struck and on which key.
type Place = (Ticks, Key);

/// A melody while it is changed.
struct Work<'a> {
    song: &'a Song,
    fixed: &'a Fixed,
    wish: &'a Wish,
    contract: &'a RollContract<Fields>,
    notes: BTreeMap<Place, Note>,
    before: BTreeSet<Place>,
    locked: BTreeSet<Place>,
    /// From where on a locked note sounds until when, or one before it does.
    locked_until: Vec<(Ticks, Ticks)>,
    /// How many notes the result has and the melody had not, and the other way round.
    added: usize,
    removed: usize,
    most_removed: usize,
    bars: Vec<Bar>,
    /// Of a roll.
    ticks: Ticks,
    /// Of the melody.
    end: Ticks,
    /// Numbers of the rolls in which somebody plays: where nobody does, nothing is added.
    rolls: Vec<Ticks>,
    /// Whether one note is struck at a time.
    is_line: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Edit {
    strength: f64,
    what: Change,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Change {
    Remove(Place),
    /// With the ticks for which some note is thought to sound there.
    Add(Place, Ticks),
}

/// What is random in a roll. Drawn once: more passes do not mean more chances.
struct Chance {
    /// For each tick, whether some note is missing there.
    mood: Vec<f64>,
    /// For each cell, whether its note is too many, and which of the missing it is.
    doubt: Vec<f64>,
    fancy: Vec<f64>,
}

impl<'a> Work<'a> {
    fn new(song: &'a Song, fixed: &'a Fixed, wish: &'a Wish, contract: &'a RollContract<Fields>) -> Self {
        let mut notes = BTreeMap::new();
        for note in &song.melody {
            let kept = notes.entry((note.start, note.key)).or_insert(*note);
            kept.duration = kept.duration.max(note.duration);
        }
        let before: BTreeSet<Place> = notes.keys().copied().collect();
        let locked: BTreeSet<Place> = fixed.locked.iter().map(|note| (note.start, note.key)).collect();
        let sounding = notes.iter().filter(|(place, _)| locked.contains(*place)).map(|(_, note)| note);
        let locked_until = sounding.scan(Ticks::MIN, |last, note| {
            *last = note.end().max(*last);
            Some((note.start, *last))
        });
        let bars: Vec<Bar> = song.bars().collect();
        let ticks = roll_ticks(&bars);
        let mut rolls: Vec<Ticks> = before.iter().map(|(start, _)| start.div_euclid(ticks)).collect();
        rolls.dedup();
        // Elsewhere nothing may change.
        let reaches = |roll: &Ticks, span: &Range<Ticks>| roll * ticks < span.end && span.start < (roll + 1) * ticks;
        rolls.retain(|roll| fixed.editable.as_ref().is_none_or(|editable| reaches(roll, editable)));
        let starts = before.iter().map(|(start, _)| *start).collect::<BTreeSet<_>>().len();
        Self {
            song,
            fixed,
            wish,
            contract,
            locked_until: locked_until.collect(),
            locked,
            added: 0,
            removed: 0,
            most_removed: wish.remove.most_of(before.len()),
            bars,
            ticks,
            end: song.end(),
            rolls,
            is_line: starts == before.len(),
            notes,
            before,
        }
    }

    // What the network hears

    fn inputs(&self, number: Ticks, profile: &[f32]) -> Vec<(&'static str, Vec<f32>)> {
        let line = number * self.ticks;
        let locked = self.notes.iter().filter(|(place, _)| self.locked.contains(*place)).map(|(_, note)| note);
        let held = Roll::of(self.ticks, line, locked);
        let around = [self.roll(number - 1), self.roll(number + 1)];
        let bar = self.bars.partition_point(|bar| bar.start <= line).saturating_sub(1);
        let tempo = self.song.tempo_at(line) as f32;
        let styles = self.contract.styles.len();
        vec![
            ("melody", self.roll(number).cells().to_vec()),
            ("around", around.iter().flat_map(Roll::cells).copied().collect()),
            ("locked", held.sustain().to_vec()),
            ("profile", profile.to_vec()),
            ("clock", self.clock(line)),
            ("cond", plain_condition(styles, self.wish.style, tempo, BarIndex(bar as i32)).to_vec()),
        ]
    }

    fn roll(&self, number: Ticks) -> Roll {
        let line = number * self.ticks;
        let near = self.notes.range((line - LONGEST_ROLL + 1, LOWEST)..(line + self.ticks, LOWEST));
        Roll::of(self.ticks, line, near.map(|(_, note)| note))
    }

    fn clock(&self, line: Ticks) -> Vec<f32> {
        let bars = &self.bars[self.bars.partition_point(|bar| bar.start < line)..];
        let lines = bars.iter().map(|bar| (bar.start, bar.meter)).chain(self.bars_after());
        let lines = lines.skip_while(|(start, _)| *start < line).take_while(|(start, _)| *start < line + self.ticks);
        let known = if line + self.ticks < self.end { self.ticks } else { 0 };
        clock(self.ticks, lines.map(|(start, meter)| (start - line, beat_of(meter))), known)
    }

    /// The bars that would come after the last.
    fn bars_after(&self) -> impl Iterator<Item = (Ticks, Meter)> {
        let last = self.bars.last().copied();
        std::iter::successors(last.map(|bar| bar.next()), |bar| Some(bar.next())).map(|bar| (bar.start, bar.meter))
    }

    /// The share of the time that each pitch class has.
    fn profile(&self) -> Vec<f32> {
        let mut ticks = [0.0_f64; 12];
        for note in self.notes.values() {
            ticks[note.key.pitch_class().semitones() as usize] += f64::from(note.duration);
        }
        let sum: f64 = ticks.iter().sum();
        ticks.iter().map(|ticks| (ticks / sum.max(1.0)) as f32).collect()
    }

    // What it says

    /// All that are likelier than not, the surest first, that may be made.
    fn edits(&self, network: &mut dyn RollNetwork) -> Result<Vec<Edit>, GeneratorError> {
        let profile = self.profile();
        let mut edits = Vec::new();
        for number in &self.rolls {
            let cells = network.cells(self.ticks, &self.inputs(*number, &profile)).map_err(GeneratorError)?;
            if cells.len() != CHANNELS * self.ticks as usize * KEYS || cells.iter().any(|logit| !logit.is_finite()) {
                return Err(GeneratorError("what it computed are not the cells of a melody".into()));
            }
            let said = Said { cells, chance: self.chance(*number), ticks: self.ticks };
            self.edits_in(*number * self.ticks, &said, &mut edits);
        }
        edits.sort_by(|a, b| b.strength.total_cmp(&a.strength).then(a.what.cmp(&b.what)));
        Ok(edits)
    }

    fn edits_in(&self, line: Ticks, said: &Said<'_>, edits: &mut Vec<Edit>) {
        let mut stays = vec![false; self.ticks as usize];
        for (place, note) in self.notes.range((line, LOWEST)..(line + self.ticks, LOWEST)) {
            let tick = note.start - line;
            let strength = said.too_many(tick, row(note.key));
            let kept = strength <= 0.0 || self.locked.contains(place) || !self.may_change(note.start);
            stays[tick as usize] |= kept;
            // In a line what comes there takes its place.
            if !(kept || self.is_line && said.missing(tick) > 0.0) {
                edits.push(Edit { strength, what: Change::Remove(*place) });
            }
        }
        for tick in (0..self.ticks).filter(|tick| said.missing(*tick) > 0.0) {
            let row = said.likeliest(tick);
            let place = (line + tick, key_of(row));
            let taken = self.is_line && stays[tick as usize];
            if !taken && self.has_room(line + tick) && !self.notes.contains_key(&place) {
                edits.push(Edit { strength: said.missing(tick), what: Change::Add(place, said.length(tick, row)) });
            }
        }
    }

    fn may_change(&self, start: Ticks) -> bool {
        self.fixed.editable.as_ref().is_none_or(|editable| editable.contains(&start))
    }

    /// A note may begin there, and no locked one would be cut short.
    fn has_room(&self, start: Ticks) -> bool {
        let locked = self.locked_until.partition_point(|(from, _)| *from <= start);
        let held = self.is_line && locked.checked_sub(1).is_some_and(|last| start < self.locked_until[last].1);
        self.may_change(start) && !held && start < self.end
    }

    fn chance(&self, number: Ticks) -> Chance {
        let (ticks, cells) = (self.ticks as usize, self.ticks as usize * KEYS);
        let risk = f64::from(self.wish.temperature.max(0.0));
        let reach = risk * f64::from(self.contract.own.cell_noise);
        // Spreads neighbouring rolls apart.
        let mut dice = Dice::new(self.wish.seed ^ (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        Chance {
            mood: (0..ticks).map(|_| risk * DARING + reach * dice.logistic()).collect(),
            doubt: (0..cells).map(|_| reach * dice.logistic()).collect(),
            fancy: (0..cells).map(|_| risk * dice.gumbel()).collect(),
        }
    }

    // What is done

    /// Unless a limit forbids it, or an edit before it has taken its reason away.
    fn make(&mut self, edit: &Edit) {
        match edit.what {
            Change::Remove(place) => self.exchange(Some(place), None),
            Change::Add(place, length) => {
                let struck =
                    self.notes.range((place.0, LOWEST)..(place.0 + 1, LOWEST)).next().map(|(at, note)| (*at, *note));
                match struck.filter(|_| self.is_line) {
                    // It has the length and velocity of the one whose place it takes.
                    Some((old, note)) if !self.locked.contains(&old) => {
                        self.exchange(Some(old), Some(Note { key: place.1, ..note }));
                    }
                    Some(_) => {}
                    None => self.exchange(None, Some(self.shaped(place, length))),
                }
            }
        }
    }

    /// Takes a note away and puts another there, if the limits allow both together. They compare with the melody by start and
    /// key: a note that is put back was never removed.
    fn exchange(&mut self, old: Option<Place>, new: Option<Note>) {
        let old = old.filter(|old| self.notes.contains_key(old));
        let new = new.map(|note| ((note.start, note.key), note));
        if new.is_some_and(|(place, _)| self.notes.contains_key(&place)) || (old, new) == (None, None) {
            return;
        }
        let (mut added, mut removed) = (self.added, self.removed);
        if let Some(old) = old {
            if self.before.contains(&old) { removed += 1 } else { added -= 1 }
        }
        if let Some((place, _)) = new {
            if self.before.contains(&place) { removed -= 1 } else { added += 1 }
        }
        if added > self.wish.add || removed > self.most_removed {
            return;
        }
        (self.added, self.removed) = (added, removed);
        old.iter().for_each(|old| {
            self.notes.remove(old);
        });
        self.notes.extend(new);
    }

    /// With a length and a velocity: until the next note at most, and as loud as the two that are nearest.
    fn shaped(&self, (start, key): Place, wanted: Ticks) -> Note {
        let later = self.notes.range((start + 1, LOWEST)..).next().map_or(self.end, |((start, _), _)| *start);
        let duration = wanted.max(SHORTEST).min(later - start).max(1);
        let before = self.notes.range(..(start + 1, LOWEST)).rev().take(2).map(|(_, note)| note);
        let after = self.notes.range((start + 1, LOWEST)..).take(2).map(|(_, note)| note);
        let mut near: Vec<&Note> = before.chain(after).collect();
        near.sort_by_key(|note| ((note.start - start).abs(), note.start, note.key));
        near.truncate(2);
        let sum: i32 = near.iter().map(|note| i32::from(note.velocity.get())).sum();
        let velocity = match near.len() as i32 {
            0 => Velocity::default(),
            count => Velocity::clamped((sum + count / 2) / count),
        };
        Note { start, key, duration, velocity }
    }

    /// In a line a note ends where a new one comes in; what was legato before stays legato.
    fn result(self) -> Vec<Note> {
        let mut notes: Vec<Note> = self.notes.into_values().collect();
        let old: BTreeSet<Ticks> = self.before.iter().map(|(start, _)| *start).collect();
        let mut next = Ticks::MAX;
        for note in notes.iter_mut().rev().filter(|_| self.is_line) {
            note.duration = note.duration.min(next.saturating_sub(note.start));
            if !old.contains(&note.start) {
                next = note.start;
            }
        }
        notes
    }
}

/// Before all keys at a tick.
const LOWEST: Key = match Key::new(0) {
    Some(key) => key,
    None => unreachable!(),
};

/// Four bars where that can be a roll.
fn roll_ticks(bars: &[Bar]) -> Ticks {
    let Some(first) = bars.first() else { return OTHER_ROLL };
    let four = BARS * first.meter.bar_length();
    let steady = bars.iter().all(|bar| bar.meter.bar_length() == first.meter.bar_length());
    if steady && four % STEP == 0 && four <= LONGEST_ROLL { four } else { OTHER_ROLL }
}

/// What the network says of one roll.
struct Said<'a> {
    cells: &'a [f32],
    chance: Chance,
    ticks: Ticks,
}

impl Said<'_> {
    fn logit(&self, channel: usize, tick: Ticks, row: usize) -> f64 {
        f64::from(self.cells[(channel * self.ticks as usize + tick as usize) * KEYS + row])
    }

    fn too_many(&self, tick: Ticks, row: usize) -> f64 {
        self.logit(TOO_MANY, tick, row) + self.chance.doubt[tick as usize * KEYS + row]
    }

    /// At a tick at most one note is missing: it is likely if one of all keys is.
    fn missing(&self, tick: Ticks) -> f64 {
        let chance: f64 = (0..KEYS).map(|row| chance_of(self.logit(MISSING, tick, row))).sum();
        let sure = chance.clamp(1e-9, 1.0 - 1e-9);
        (sure / (1.0 - sure)).ln() + self.chance.mood[tick as usize]
    }

    /// The row of the note that is missing.
    fn likeliest(&self, tick: Ticks) -> usize {
        let strength = |row: usize| self.logit(MISSING, tick, row) + self.chance.fancy[tick as usize * KEYS + row];
        (0..KEYS).reduce(|best, row| if strength(row) > strength(best) { row } else { best }).unwrap_or(0)
    }

    /// For how long some note sounds there.
    fn length(&self, tick: Ticks, row: usize) -> Ticks {
        let silent = (tick..self.ticks).find(|tick| self.logit(SOUNDING, *tick, row) <= 0.0);
        silent.unwrap_or(self.ticks) - tick
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::rolls::tests::enhancer as contract;
    use proptest::prelude::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    type Inputs = [(&'static str, Vec<f32>)];

    /// Says what a test wants it to say of what it is shown.
    struct Scripted<F> {
        say: F,
        said: Vec<f32>,
        asked: Arc<AtomicUsize>,
    }

    impl<F: FnMut(Ticks, &Inputs) -> Vec<f32> + Send> RollNetwork for Scripted<F> {
        fn cells(&mut self, ticks: Ticks, inputs: &Inputs) -> Result<&[f32], String> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            self.said = (self.say)(ticks, inputs);
            Ok(&self.said)
        }
    }

    fn enhancer_that(say: impl FnMut(Ticks, &Inputs) -> Vec<f32> + Send + 'static) -> (Enhancer, Arc<AtomicUsize>) {
        let asked = Arc::default();
        let network = Scripted { say, said: Vec::new(), asked: Arc::clone(&asked) };
        (Enhancer::new(contract(), Box::new(network)), asked)
    }

    fn note([start, duration, key]: [i32; 3]) -> Note {
        Note { start, key: Key::folded(key), duration, velocity: Velocity::clamped(40 + start % 50) }
    }

    fn song(notes: &[[i32; 3]]) -> Song {
        let mut melody: Vec<Note> = notes.iter().copied().map(note).collect();
        melody.sort_unstable();
        Song { melody, ..Song::default() }
    }

    /// Logits of -20, but for these: channel, tick, key, logit.
    fn cells(ticks: Ticks, said: &[(usize, Ticks, i32, f32)]) -> Vec<f32> {
        let mut cells = vec![-20.0; CHANNELS * ticks as usize * KEYS];
        for (channel, tick, key, logit) in said {
            cells[(channel * ticks as usize + *tick as usize) * KEYS + row(Key::folded(*key))] = *logit;
        }
        cells
    }

    /// Any logits, which depend on all that is shown; every other cell is likelier than not.
    fn any_cells(ticks: Ticks, inputs: &Inputs, picture: u64) -> Vec<f32> {
        let bits = inputs.iter().flat_map(|(_, values)| values).fold(picture, |bits, value| {
            (bits ^ u64::from(value.to_bits())).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23)
        });
        let mut dice = Dice::new(bits);
        let mut cells: Vec<f32> = (0..CHANNELS * ticks as usize * KEYS).map(|_| 8.0 * dice.roll() - 4.0).collect();
        // Of 96 keys that are as likely one would always be missing.
        cells[..ticks as usize * KEYS].iter_mut().for_each(|logit| *logit -= 6.0);
        cells
    }

    /// How many notes the second has and the first has not, and the other way round.
    fn differences(before: &[Note], after: &[Note]) -> (usize, usize) {
        let places = |notes: &[Note]| notes.iter().map(|note| (note.start, note.key)).collect::<BTreeSet<_>>();
        let (before, after) = (places(before), places(after));
        (after.difference(&before).count(), before.difference(&after).count())
    }

    const TUNE: &[[i32; 3]] = &[[0, 12, 60], [12, 12, 62], [24, 12, 65], [36, 12, 64], [48, 48, 60]];
    const CALM: Wish = Wish {
        add: 16,
        remove: Removal::PerCent(100.0),
        iterations: 3,
        temperature: 0.0,
        style: Style::BY_EAR,
        seed: 1,
    };

    fn enhanced(song: &Song, wish: &Wish, said: &'static [(usize, Ticks, i32, f32)]) -> Vec<Note> {
        let (mut enhancer, _) = enhancer_that(move |ticks, _| cells(ticks, said));
        enhancer.enhance(song, &Fixed::default(), wish).expect("the network works")
    }

    #[test]
    fn a_wrong_note_gives_way_to_the_right_one() {
        let song = song(TUNE);
        let after = enhanced(&song, &CALM, &[(TOO_MANY, 24, 65, 3.0), (MISSING, 24, 64, 3.0), (TOO_MANY, 12, 62, 2.0)]);
        let expected = [note([0, 12, 60]), note([24, 12, 64]), note([36, 12, 64]), note([48, 48, 60])];
        assert_eq!(after, expected, "with the length and velocity of the one whose place it takes");
    }

    #[test]
    fn a_note_that_is_missing_comes_in_as_its_neighbours_are() {
        let song = song(TUNE);
        let after = enhanced(&song, &CALM, &[(MISSING, 66, 67, 3.0), (SOUNDING, 66, 67, 1.0), (SOUNDING, 67, 67, 1.0)]);
        let velocity = Velocity::clamped((i32::from(note(TUNE[3]).velocity.get()) + 1 + 88) / 2);
        assert_eq!(after[5], Note { start: 66, key: Key::folded(67), duration: 3, velocity });
        assert_eq!(after[4], Note { duration: 18, ..note(TUNE[4]) }, "a line: it ends where the new one is struck");
        assert_eq!(after[..4], song.melody[..4]);
    }

    #[test]
    fn the_higher_the_risk_the_more_comes_that_is_not_needed() {
        let song = song(TUNE);
        let added = |temperature| {
            // From two to seven logits less likely than not, between the notes of the first bar.
            let said = &[
                (MISSING, 6, 64, -2.0),
                (MISSING, 18, 64, -3.0),
                (MISSING, 30, 62, -4.0),
                (MISSING, 42, 62, -5.0),
                (MISSING, 54, 64, -7.0),
            ];
            let after = enhanced(&song, &Wish { temperature, ..CALM }, said);
            assert!(song.melody.iter().all(|note| after.iter().any(|kept| kept.start == note.start)), "none goes");
            differences(&song.melody, &after).0
        };
        let found = [0.0, 0.5, 1.0, 2.0].map(added);
        assert!(found[0] == 0 && found.is_sorted() && found[2] > 0 && found[3] > found[2], "{found:?}");
    }

    #[test]
    fn locked_notes_stay_and_only_what_may_change_changes() {
        let song = song(TUNE);
        let spoilt = |ticks: Ticks| {
            let all = |channel| (0..ticks as usize * KEYS).map(move |_| if channel == MISSING { -4.0 } else { 5.0 });
            (0..CHANNELS).flat_map(all).collect::<Vec<f32>>()
        };
        let enhanced = |fixed: Fixed| {
            let (mut enhancer, _) = enhancer_that(move |ticks, _| spoilt(ticks));
            enhancer.enhance(&song, &fixed, &Wish { add: 100, ..CALM }).expect("the network works")
        };
        let locked = vec![note(TUNE[2]), note(TUNE[4])];
        let after = enhanced(Fixed { locked: locked.clone(), ..Fixed::default() });
        assert!(locked.iter().all(|note| after.contains(note)), "{after:?}");
        assert!(differences(&song.melody, &after).1 == 3 && after.len() > 5, "{after:?}");
        let after = enhanced(Fixed { editable: Some(12..30), ..Fixed::default() });
        let outside = |notes: &[Note]| {
            let outside = notes.iter().filter(|note| !(12..30).contains(&note.start));
            outside.map(|note| (note.start, note.key)).collect::<Vec<_>>()
        };
        assert_eq!(outside(&after), outside(&song.melody));
        assert!(differences(&song.melody, &after).1 > 0);
    }

    #[test]
    fn the_surest_edits_come_first_and_as_many_in_each_pass() {
        let said = &[(TOO_MANY, 0, 60, 1.0), (TOO_MANY, 24, 65, 9.0), (TOO_MANY, 36, 64, 4.0)];
        let song = song(TUNE);
        let after = enhanced(&song, &Wish { remove: Removal::PerCent(40.0), ..CALM }, said);
        let left: Vec<Ticks> = after.iter().map(|note| note.start).collect();
        assert_eq!(left, [0, 12, 48], "two of five may go");
        let (mut enhancer, asked) = enhancer_that(|ticks, _| cells(ticks, said));
        enhancer.enhance(&song, &Fixed::default(), &CALM).expect("the network works");
        assert_eq!(asked.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn bars_of_any_length_make_rolls_that_the_network_can_read() {
        for (beats, unit, expected) in
            [(4, 4, 192), (3, 4, 144), (2, 4, 96), (6, 8, 144), (12, 8, 288), (5, 4, 240), (7, 8, 192), (3, 8, 192)]
        {
            let meter = Meter::new(beats, unit).expect("usual");
            let song = Song { meters: vec![(0, meter)], ..song(TUNE) };
            let (mut enhancer, _) = enhancer_that(move |ticks, inputs| {
                assert_eq!((ticks, ticks % STEP), (expected, 0));
                let sizes: Vec<usize> = inputs.iter().map(|(_, values)| values.len()).collect();
                let cells = ticks as usize * KEYS;
                assert_eq!(sizes, [2 * cells, 4 * cells, cells, 12, 3 * ticks as usize, 41]);
                let lines = (0..ticks).filter(|tick| inputs[4].1[*tick as usize] == 1.0);
                assert!(lines.eq((0..ticks).step_by(meter.bar_length() as usize)));
                super::tests::cells(ticks, &[])
            });
            enhancer.enhance(&song, &Fixed::default(), &CALM).expect("the network works");
        }
        let changing = Song { meters: vec![(0, Meter::COMMON), (48, Meter::new(3, 4).expect("usual"))], ..song(TUNE) };
        let bars: Vec<Bar> = changing.bars().collect();
        assert_eq!(roll_ticks(&bars), OTHER_ROLL);
    }

    #[test]
    fn hours_of_silence_cost_nothing_and_stay_silent() {
        let late = 2 * 3600 * 24;
        let song = song(&[[0, 12, 60], [late, 12, 64]]);
        let (mut enhancer, asked) = enhancer_that(|ticks, inputs| any_cells(ticks, inputs, 7));
        let after = enhancer.enhance(&song, &Fixed::default(), &CALM).expect("the network works");
        assert_eq!(asked.load(Ordering::Relaxed), 2 * 3);
        assert!(after.iter().all(|note| note.start < 192 || note.start >= late - 192), "{after:?}");
    }

    #[test]
    fn silence_stays_silent_and_what_is_no_picture_is_told() {
        let (mut enhancer, asked) = enhancer_that(|_, _| vec![f32::NAN]);
        let silent = Song::default();
        assert_eq!(enhancer.enhance(&silent, &Fixed::default(), &CALM).expect("nothing is asked"), []);
        assert_eq!(asked.load(Ordering::Relaxed), 0);
        let error = enhancer.enhance(&song(TUNE), &Fixed::default(), &CALM).expect_err("it is none").to_string();
        assert!(error.contains("not the cells of a melody"), "{error}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn limits_are_kept_exactly(
            notes in proptest::collection::vec((0..300_i32, 1..60_i32, 0..128_i32), 0..30),
            chord in any::<bool>(), add in 0..30_usize, remove in 0..=100_u8, iterations in 0..3_u32,
            temperature in 0.0..2.0_f32, picture in 0..1000_u64,
        ) {
            let mut notes: Vec<[i32; 3]> = notes.into_iter().map(|(start, duration, key)| [start, duration, key]).collect();
            if chord {
                notes.extend((0..128).map(|key| [96, 24, key]));
            }
            let song = song(&notes);
            let fixed = Fixed { locked: song.melody.iter().step_by(5).copied().collect(), editable: None };
            let wish = Wish { add, remove: Removal::PerCent(f32::from(remove)), iterations, temperature, ..CALM };
            let play = || {
                let (mut enhancer, _) = enhancer_that(move |ticks, inputs| any_cells(ticks, inputs, picture));
                enhancer.enhance(&song, &fixed, &wish).expect("the network works")
            };
            let after = play();
            prop_assert_eq!(&after, &play(), "the same seed, the same notes");
            let before = Work::new(&song, &fixed, &wish, &contract()).result();
            let (added, removed) = differences(&before, &after);
            prop_assert!(added <= add, "{added} of {add}");
            prop_assert!(removed <= usize::from(remove) * before.len() / 100, "{removed} of {remove} %");
            if iterations == 0 || (add, remove) == (0, 0) {
                prop_assert_eq!(&after, &before);
            }
            for note in &after {
                prop_assert!(note.duration >= 1 && note.start >= 0);
                let old = before.iter().find(|old| (old.start, old.key) == (note.start, note.key));
                prop_assert!(old.is_none_or(|old| old.velocity == note.velocity));
            }
            let places: BTreeSet<Place> = after.iter().map(|note| (note.start, note.key)).collect();
            prop_assert!(fixed.locked.iter().all(|note| places.contains(&(note.start, note.key))));
        }
    }
}
