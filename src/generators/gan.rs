//! Writes accompaniment with a GAN's generator over piano rolls (`docs/rolls.md`): four bars in one pass, of which those are
//! kept that are asked for.

use super::controls::condition;
use super::dynamics::{Dynamics, MEAN_CLASS};
use super::encoding::{PARTS as WRITTEN, bass_of, metre};
use super::rolls::{
    self, KEYS, LOWEST_KEY, PARTS, Placed, Roll, RollNetwork, as_line, chord_rows, chord_said, clock_in, pad_key, read,
    row, ticks_of,
};
use super::sampling::{Dice, chance_of};
use super::{Ask, Generator, GeneratorError, PartNote, Request, SegmentAnswer};
use crate::contract::LOUDNESS_CLASSES;
use crate::contract::rolls::{Gan as Fields, NOISE, RollContract};
use crate::music::{Key, Meter, Note, Part, PerPart, PitchClass, PlanSource, PlannedChord, Segment, Ticks};
use std::ops::Range;

/// Keys of each part that are struck at one tick, at most.
const MOST_STRUCK: [usize; 4] = [1, 6, 1, 4];
const PAD: usize = 3;
/// Of a song's noise at temperature 1; in training it is 1. One drawing stays for a whole song, and the farther out it lies, the
/// farther a song lies from people's (the truncation trick: Brock et al., Large Scale GAN Training, 2018).
const NOISE_SPREAD: f32 = 0.7;
/// Ticks that a note sounds at least, if nothing takes its place: people hardly play shorter ones than a sixteenth.
const SHORTEST: Ticks = 3;
/// By how much thresholds are lowered, in logits, until something is struck in a bar in which all would be silent.
const EASED: [f64; 5] = [0.0, 1.0, 2.0, 3.0, 4.0];
/// Of each part.
const CHANNELS: usize = 2;
/// The song's noise, the cells' and the velocities' are drawn by other dice.
const NOISE_DICE: u64 = 0x6e6f_6973_6500;
const CELL_DICE: u64 = 0x6365_6c6c_7300;
const VELOCITY_DICE: u64 = 0x746f_7563_6800;

pub struct Gan {
    contract: RollContract<Fields>,
    network: Box<dyn RollNetwork>,
}

impl Gan {
    pub fn new(contract: RollContract<Fields>, network: Box<dyn RollNetwork>) -> Self {
        Self { contract, network }
    }
}

impl Generator for Gan {
    fn name(&self) -> &str {
        &self.contract.name
    }

    fn parts(&self) -> PerPart<bool> {
        PerPart::from_fn(|part| PARTS.contains(&part))
    }

    fn plays(&self, meter: Meter) -> bool {
        metre(meter).is_some()
    }

    fn device(&self) -> Option<String> {
        self.network.device()
    }

    fn keep_warm(&mut self) -> Result<(), GeneratorError> {
        self.network.keep_warm().map_err(GeneratorError)
    }

    fn answer(
        &mut self,
        request: &Request<'_>,
        write: &mut dyn FnMut(PartNote),
    ) -> Result<Vec<PlannedChord>, GeneratorError> {
        let meter = request.ask.bar().meter;
        if !self.plays(meter) {
            return Err(GeneratorError(format!("it does not know the metre {meter}")));
        }
        if request.is_waiting() {
            return Ok(vec![PlannedChord { chord: None, source: PlanSource::Proposed }]);
        }
        let scene = Scene::of(request);
        let inputs = scene.inputs(&self.contract);
        let cells = self.network.cells(scene.ticks, &inputs).map_err(GeneratorError)?;
        let expected = 2 * PARTS.len() * scene.ticks as usize * KEYS;
        if cells.len() != expected || cells.iter().any(|logit| !logit.is_finite()) {
            return Err(GeneratorError("what it computed are not the cells of four bars".into()));
        }
        let picture = Picture::new(&scene, cells, &self.contract.own);
        let chords = picture.chords();
        picture.notes(&chords).into_iter().for_each(write);
        Ok(chords)
    }
}

/// What is asked, in ticks from the bar line of the asked bar, where the roll begins.
struct Scene<'a> {
    request: &'a Request<'a>,
    /// Bar line.
    line: Ticks,
    /// Of the roll.
    ticks: Ticks,
    /// The asked segments, each with its chord if that is given.
    asked: Vec<(Segment, Option<PlannedChord>)>,
}

impl<'a> Scene<'a> {
    fn of(request: &'a Request<'a>) -> Self {
        let given = |index: usize| request.chords.get(index).copied().flatten();
        let asked = request.ask.segments().enumerate().map(|(index, segment)| (segment, given(index))).collect();
        Self { request, line: request.ask.bar().start, ticks: ticks_of(request.ask.bar().meter), asked }
    }

    fn inputs(&self, contract: &RollContract<Fields>) -> Vec<(&'static str, Vec<f32>)> {
        let Request { settings, quarters_per_minute, .. } = *self.request;
        let bar = self.request.ask.bar();
        let condition =
            condition(contract.palette(), settings, &self.request.playing(), quarters_per_minute, bar.index);
        vec![
            ("melody", self.melody().cells().to_vec()),
            ("before", self.before()),
            ("chords", chord_rows(self.ticks, &self.given())),
            ("clock", clock_in(bar.meter, self.known())),
            ("noise", self.noise()),
            ("cond", condition.to_vec()),
        ]
    }

    /// Up to where the melody is known: in a jam the segment that is asked for, arranging the end of the bar.
    fn known(&self) -> Ticks {
        match self.request.ask {
            Ask::Jam(segment) => segment.start() - self.line,
            Ask::Arrange(bar) => bar.end() - self.line,
        }
    }

    fn melody(&self) -> Roll {
        let mut roll = Roll::of(self.ticks, self.line, self.request.melody);
        roll.silence_from(self.known());
        roll
    }

    /// The four bars before: what the parts played, the chords as the pad has them, and the melody.
    fn before(&self) -> Vec<f32> {
        let (answers, since) = self.past();
        let line = self.line - self.ticks;
        let mut rolls = vec![Roll::new(self.ticks); PARTS.len() + 1];
        for PartNote { part, note, .. } in answers.iter().flat_map(|answer| &answer.notes) {
            WRITTEN.iter().position(|known| known == part).into_iter().for_each(|at| rolls[at].add(line, note));
        }
        // As in training, a chord that was held before is struck where the four bars begin.
        let shown = answers.iter().filter(|answer| answer.segment.start() >= line);
        let chords =
            shown.map(|answer| (answer.segment.start() - line..answer.segment.end() - line, answer.chord.chord));
        rolls::pad(&chords.collect::<Vec<_>>()).iter().for_each(|note| rolls[PAD].add(0, note));
        let heard = self.request.melody.iter().filter(|note| (since..self.line).contains(&note.start));
        heard.for_each(|note| rolls[PARTS.len()].add(line, note));
        rolls.iter().flat_map(|roll| roll.cells()).copied().collect()
    }

    /// The answers before the asked bar, an unbroken row in its metre, and where that begins or could have begun: bars of
    /// another metre stand at other places of the ring. Notes from farther back may sound on into the four bars.
    fn past(&self) -> (&'a [SegmentAnswer], Ticks) {
        let earliest = self.line - 2 * self.ticks;
        let past = self.request.past;
        let past = &past[..past.partition_point(|answer| answer.segment.start() < self.line)];
        let (mut first, mut next) = (past.len(), self.line);
        while let Some(answer) = first.checked_sub(1).map(|before| &past[before]) {
            let same = metre(answer.segment.bar.meter) == metre(self.request.ask.bar().meter);
            if !same {
                return (&past[first..], next);
            }
            if answer.segment.end() != next || next <= earliest {
                break;
            }
            (first, next) = (first - 1, answer.segment.start());
        }
        (&past[first..], earliest)
    }

    /// Chords that are given: those of the asked segments, and with them that of the bar's first half, which was played.
    fn given(&self) -> Vec<Placed> {
        let placed = |segment: &Segment| segment.start() - self.line..segment.end() - self.line;
        let asked = self.asked.iter().filter_map(|(segment, given)| Some((placed(segment), given.as_ref()?.chord)));
        let asked: Vec<Placed> = asked.collect();
        let begun = self.request.past.iter().filter(|answer| answer.segment.start() >= self.line && !asked.is_empty());
        begun.map(|answer| (placed(&answer.segment), answer.chord.chord)).chain(asked.clone()).collect()
    }

    /// One drawing a song, so that a song hangs together.
    fn noise(&self) -> Vec<f32> {
        let mut dice = Dice::new(u64::from(self.request.settings.seed) ^ NOISE_DICE);
        let reach = self.request.settings.temperature * NOISE_SPREAD;
        (0..NOISE).map(|_| reach * dice.normal() as f32).collect()
    }

    /// Ticks that are asked for.
    fn stretch(&self) -> Range<Ticks> {
        self.request.ask.start() - self.line..self.request.ask.end() - self.line
    }

    /// Where no note may sound: under N.C. that was given.
    fn silent(&self) -> impl Iterator<Item = Range<Ticks>> {
        let silent = self.asked.iter().filter(|(_, given)| given.is_some_and(|given| given.chord.is_none()));
        silent.map(|(segment, _)| segment.start() - self.line..segment.end() - self.line)
    }
}

/// What the network says of four bars.
struct Picture<'a> {
    scene: &'a Scene<'a>,
    cells: &'a [f32],
    fields: &'a Fields,
    /// What the logits must be above, for each part.
    onset: &'a [f32; PARTS.len()],
    sustain: &'a [f32; PARTS.len()],
}

impl<'a> Picture<'a> {
    fn new(scene: &'a Scene<'a>, cells: &'a [f32], fields: &'a Fields) -> Self {
        let in_jam = matches!(scene.request.ask, Ask::Jam(_));
        let [onset, sustain] = fields.thresholds(in_jam, !scene.given().is_empty());
        Self { scene, cells, fields, onset, sustain }
    }

    fn logit(&self, channel: usize, tick: Ticks, row: usize) -> f32 {
        self.cells[(channel * self.scene.ticks as usize + tick as usize) * KEYS + row]
    }

    fn sustained(&self, part: usize, tick: Ticks, row: usize) -> bool {
        self.logit(CHANNELS * part + 1, tick, row) > self.sustain[part]
    }

    /// How likely the pad holds a pitch class.
    fn chance(&self, tick: Ticks, class: PitchClass) -> f64 {
        chance_of(f64::from(self.logit(CHANNELS * PAD + 1, tick, row(pad_key(class)))))
    }

    /// Those that were given, else those that the pad says.
    fn chords(&self) -> Vec<PlannedChord> {
        let said = |segment: &Segment| {
            let ticks = segment.start() - self.scene.line..segment.end() - self.scene.line;
            let mut chances = [0.0; 12];
            for (class, mean) in PitchClass::all().zip(&mut chances) {
                let sum: f64 = ticks.clone().map(|tick| self.chance(tick, class)).sum();
                *mean = sum / f64::from(ticks.end - ticks.start);
            }
            PlannedChord { chord: chord_said(&chances), source: PlanSource::Proposed }
        };
        self.scene.asked.iter().map(|(segment, given)| given.unwrap_or_else(|| said(segment))).collect()
    }

    /// Of all parts that are to be written, in the order in which they are struck.
    fn notes(&self, chords: &[PlannedChord]) -> Vec<PartNote> {
        let request = self.scene.request;
        let dynamics = Dynamics::following(request.melody, self.scene.line + self.scene.known());
        let eased = self.eased();
        let mut notes = Vec::new();
        for (index, part) in PARTS.into_iter().enumerate().filter(|(_, part)| request.parts[*part]) {
            let mut dice = Dice::new(request.seed ^ VELOCITY_DICE ^ index as u64);
            let written = if index == PAD { self.pad(chords) } else { self.part(index, eased) };
            for note in written.into_iter().filter_map(|note| self.outside_of_silence(note)) {
                let velocity = dynamics.velocity(&accent(note.start, request.ask.bar().meter), &mut dice);
                let start = self.scene.line + note.start;
                notes.push(PartNote::on_grid(part, Note { start, velocity, ..note }));
            }
        }
        notes.sort_by_key(|note| (note.note.start, note.part, note.note.key));
        notes
    }

    /// By how much the thresholds of bass and chords are lowered: in a bar in which the melody sounds and all of them would be silent, until one
    /// is not. A network that is shown its own silence goes on with it.
    fn eased(&self) -> f64 {
        let (request, end) = (self.scene.request, self.scene.stretch().end);
        let bar = end - request.ask.bar().meter.bar_length()..end;
        let sounds = |note: &Note| note.start - self.scene.line < bar.end && note.end() - self.scene.line > bar.start;
        let heard = request.melody.iter().filter(|note| note.start < self.scene.line + self.scene.known());
        let before = request.past.iter().flat_map(|answer| &answer.notes).chain(request.standing);
        let mut others = before.filter(|played| PARTS[..PAD].contains(&played.part)).map(|played| &played.note);
        if !PARTS[..PAD].iter().any(|part| request.parts[*part] && is_raised(*part))
            || !heard.into_iter().any(sounds)
            || others.any(sounds)
        {
            return 0.0;
        }
        let parts = (0..PAD).filter(|part| request.parts[PARTS[*part]]);
        let is_heard = |eased: &f64| parts.clone().any(|part| !self.part(part, *eased).is_empty());
        EASED.into_iter().find(is_heard).unwrap_or(0.0)
    }

    /// A note as it may be played: it does not begin under N.C., nor sound into it.
    fn outside_of_silence(&self, note: Note) -> Option<Note> {
        let silent = self.scene.silent().find(|silent| silent.end > note.start);
        match silent {
            Some(silent) if silent.contains(&note.start) => None,
            Some(silent) => Some(Note { duration: note.duration.min(silent.start - note.start), ..note }),
            None => Some(note),
        }
    }

    /// The notes of a part that begin in the stretch that is asked for, from the bar line.
    ///
    /// What was handed out cannot be shortened any more when the next roll knows better. So a note sounds into the next
    /// segment at most.
    fn part(&self, part: usize, eased: f64) -> Vec<Note> {
        let stretch = self.scene.stretch();
        let struck = self.struck(part, eased);
        let is_struck = |tick, row: usize| struck[tick as usize * KEYS + row];
        let sounds = |tick, row: usize| {
            let just_struck = (1..SHORTEST.min(tick + 1)).any(|before| is_struck(tick - before, row));
            just_struck || self.sustained(part, tick, row)
        };
        let mut notes = read(self.scene.ticks, is_struck, sounds);
        if MOST_STRUCK[part] == 1 {
            as_line(&mut notes);
        }
        notes.retain(|note| stretch.contains(&note.start));
        let last = self.scene.asked.last().map_or(stretch.end, |(segment, _)| segment.next().end() - self.scene.line);
        notes.iter_mut().for_each(|note| note.duration = note.duration.min(last - note.start));
        if PARTS[part] == Part::Bass {
            self.found_chords(&mut notes);
        }
        notes
    }

    /// The first bass note under a chord that is given with a bass is that bass.
    fn found_chords(&self, notes: &mut [Note]) {
        for (segment, given) in &self.scene.asked {
            let wanted = given.and_then(|given| given.chord).and_then(bass_of);
            let within = segment.start() - self.scene.line..segment.end() - self.scene.line;
            let first = notes.iter_mut().find(|note| within.contains(&note.start));
            wanted.zip(first).into_iter().for_each(|(class, note)| note.key = nearest(note.key, class));
        }
    }

    /// Where a part's keys are struck, by tick and row. What lies outside of the stretch that is asked for says only how long
    /// notes last: there nothing is left to chance.
    fn struck(&self, part: usize, eased: f64) -> Vec<bool> {
        let (stretch, settings) = (self.scene.stretch(), self.scene.request.settings);
        let raised = if is_raised(PARTS[part]) { eased } else { 0.0 };
        let threshold = f64::from(self.onset[part]);
        // A part plays the same whoever else does.
        let mut dice = Dice::new(self.scene.request.seed ^ CELL_DICE ^ part as u64);
        let reach = f64::from(settings.temperature) * f64::from(self.fields.cell_noise);
        let mut struck = vec![false; self.scene.ticks as usize * KEYS];
        for (tick, struck) in (0..self.scene.ticks).zip(struck.chunks_exact_mut(KEYS)) {
            let lean = self.lean(tick);
            let mut strengths: Vec<(f64, usize)> = (0..KEYS)
                .map(|row| {
                    let noise = if stretch.contains(&tick) { reach * dice.logistic() + raised } else { 0.0 };
                    let lean = if part == PAD { 0.0 } else { lean[(row + usize::from(LOWEST_KEY)) % 12] };
                    let onset = f64::from(self.logit(CHANNELS * part, tick, row));
                    (onset + lean + noise - threshold, row)
                })
                .filter(|(strength, _)| *strength > 0.0)
                .collect();
            strengths.sort_by(|a, b| b.0.total_cmp(&a.0));
            strengths.iter().take(MOST_STRUCK[part]).for_each(|(_, row)| struck[*row] = true);
        }
        struck
    }

    /// Logits for keys of each pitch class, from C.
    fn lean(&self, tick: Ticks) -> [f64; 12] {
        let mut lean = [0.0; 12];
        for (class, lean) in PitchClass::all().zip(&mut lean) {
            *lean = f64::from(self.fields.lean) * (2.0 * self.chance(tick, class) - 1.0);
        }
        lean
    }

    /// Where chords were given these, else as it is in the picture; all of it ends with the stretch. What sounds on from
    /// before is struck anew, since what was handed out ended there.
    fn pad(&self, chords: &[PlannedChord]) -> Vec<Note> {
        let struck = self.struck(PAD, 0.0);
        let mut notes = Vec::new();
        let mut given: Vec<Placed> = Vec::new();
        for ((segment, told), chord) in self.scene.asked.iter().zip(chords) {
            let ticks = segment.start() - self.scene.line..segment.end() - self.scene.line;
            if told.is_some() {
                given.push((ticks, chord.chord));
                continue;
            }
            let held = |tick, row| tick < ticks.end && self.sustained(PAD, tick, row);
            let begins = |tick: Ticks, row: usize| {
                let goes_on = tick == ticks.start && held(tick, row);
                ticks.contains(&tick) && (goes_on || struck[tick as usize * KEYS + row])
            };
            notes.extend(read(ticks.end, begins, held));
        }
        notes.extend(rolls::pad(&given));
        notes.sort_unstable();
        joined(notes, &struck)
    }
}

/// Whether a part breaks a silence of all.
fn is_raised(part: Part) -> bool {
    matches!(part, Part::Bass | Part::Chords)
}

/// Notes of one key that follow each other without a stroke between them are one: a bar is read by segments.
fn joined(notes: Vec<Note>, struck: &[bool]) -> Vec<Note> {
    let mut joined: Vec<Note> = Vec::new();
    for note in notes {
        let anew = struck[note.start as usize * KEYS + row(note.key)];
        match joined.iter_mut().find(|before| before.key == note.key && before.end() == note.start && !anew) {
            Some(before) => before.duration += note.duration,
            None => joined.push(note),
        }
    }
    joined
}

/// The key of a pitch class that is nearest, the lower of two.
fn nearest(key: Key, class: PitchClass) -> Key {
    let up = class.above(key.pitch_class());
    Key::folded(i32::from(key.number()) + if up < 6 { up } else { up - 12 })
}

/// How likely each class of velocity is: the picture has none, so the metre's accents are played, as hands do it.
fn accent(tick: Ticks, meter: Meter) -> [f32; LOUDNESS_CLASSES] {
    /// Classes are six velocities wide; a neighbour is drawn now and then.
    const FALL: f32 = 2.0;
    let class = match tick {
        _ if tick % meter.bar_length() == 0 => MEAN_CLASS + 1.0,
        _ if tick % rolls::beat_of(meter) == 0 => MEAN_CLASS,
        _ => MEAN_CLASS - 1.0,
    };
    std::array::from_fn(|index| -FALL * (index as f32 - class).abs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::rolls::tests::gan as contract;
    use crate::music::{Bar, Velocity};
    use crate::settings::Settings;
    use proptest::prelude::*;
    use std::sync::{Arc, Mutex};

    type Inputs = Vec<(&'static str, Vec<f32>)>;

    /// Says what a test wants it to say, and keeps what it was shown.
    struct Scripted {
        say: Box<dyn FnMut(Ticks) -> Vec<f32> + Send>,
        shown: Arc<Mutex<Vec<Inputs>>>,
        said: Vec<f32>,
    }

    impl RollNetwork for Scripted {
        fn cells(&mut self, ticks: Ticks, inputs: &[(&'static str, Vec<f32>)]) -> Result<&[f32], String> {
            self.shown.lock().expect("no test has panicked").push(inputs.to_vec());
            self.said = (self.say)(ticks);
            if self.said.is_empty() { Err("the device is gone".into()) } else { Ok(&self.said) }
        }
    }

    fn gan_that(say: impl FnMut(Ticks) -> Vec<f32> + Send + 'static) -> (Gan, Arc<Mutex<Vec<Inputs>>>) {
        let shown = Arc::default();
        let network = Scripted { say: Box::new(say), shown: Arc::clone(&shown), said: Vec::new() };
        (Gan::new(contract(), Box::new(network)), shown)
    }

    /// Cells that are as sure as `sure` of these notes, [start, duration, key] by part.
    fn cells(ticks: Ticks, sure: f32, parts: [&[[i32; 3]]; 4]) -> Vec<f32> {
        let roll = |notes: &[[i32; 3]]| Roll::of(ticks, 0, &notes.iter().map(note).collect::<Vec<_>>());
        let cells = parts.into_iter().flat_map(|notes| roll(notes).cells().to_vec());
        cells.map(|cell| sure * (2.0 * cell - 1.0)).collect()
    }

    fn note([start, duration, key]: &[i32; 3]) -> Note {
        Note { start: *start, key: Key::folded(*key), duration: *duration, velocity: Velocity::default() }
    }

    /// Any cells, the same for the same seed; a few of a hundred are set.
    fn any_cells(ticks: Ticks, seed: u64) -> Vec<f32> {
        let mut dice = Dice::new(seed);
        (0..8 * ticks as usize * KEYS).map(|_| 8.0 * dice.roll() - 7.7).collect()
    }

    fn all_parts() -> Settings {
        let mut settings = Settings::default();
        Part::ALL.into_iter().for_each(|part| settings.parts[part].on = true);
        settings
    }

    struct Asked {
        ask: Ask,
        melody: Vec<Note>,
        past: Vec<SegmentAnswer>,
        chords: Vec<Option<PlannedChord>>,
        settings: Settings,
        seed: u64,
    }

    impl Asked {
        fn bar(index: i32) -> Self {
            let bar = Bar::of_constant_meter(index, Meter::COMMON);
            let melody = (0..4 * (index + 1)).map(|beat| note(&[12 * beat, 12, 60 + beat % 5])).collect();
            let (past, chords, settings) = (Vec::new(), vec![None; 2], all_parts());
            Self { ask: Ask::Arrange(bar), melody, past, chords, settings, seed: 5 }
        }

        fn answered(&self, gan: &mut Gan) -> Result<(Vec<PlannedChord>, Vec<PartNote>), GeneratorError> {
            let parts = PerPart::from_fn(|part| self.settings.part_is_on(part) && part != Part::Drums);
            let request = Request {
                ask: self.ask,
                melody: &self.melody,
                past: &self.past,
                chords: &self.chords,
                parts,
                standing: &[],
                settings: &self.settings,
                quarters_per_minute: 100.0,
                margin: 2,
                seed: self.seed,
            };
            let mut notes = Vec::new();
            let chords = gan.answer(&request, &mut |note| notes.push(note))?;
            assert_eq!(chords.len(), request.ask.segments().count());
            Ok((chords, notes))
        }

        fn notes(&self, gan: &mut Gan) -> Vec<PartNote> {
            self.answered(gan).expect("the network works").1
        }
    }

    fn of(part: Part, notes: &[PartNote]) -> Vec<[i32; 3]> {
        let notes = notes.iter().filter(|note| note.part == part).map(|note| note.note);
        notes.map(|note| [note.start, note.duration, i32::from(note.key.number())]).collect()
    }

    fn given(text: &str) -> Option<PlannedChord> {
        let chord = (text != "N.C.").then(|| text.parse().expect("a chord"));
        Some(PlannedChord { chord, source: PlanSource::User })
    }

    /// C in the first half, F in the second, and what goes with it; beyond the bar it goes on.
    const BASS: &[[i32; 3]] = &[[0, 30, 36], [24, 36, 41], [60, 132, 48]];
    const CHORDS: &[[i32; 3]] = &[[0, 24, 52], [0, 24, 55], [0, 24, 60], [36, 60, 53], [36, 12, 57]];
    const COUNTER: &[[i32; 3]] = &[[12, 48, 76], [42, 6, 77]];
    const PAD_NOTES: &[[i32; 3]] = &[[0, 192, 60], [0, 24, 64], [0, 24, 55], [24, 168, 65], [24, 168, 57]];

    fn sure_gan() -> Gan {
        gan_that(|ticks| cells(ticks, 30.0, [BASS, CHORDS, COUNTER, PAD_NOTES])).0
    }

    #[test]
    fn cells_become_the_notes_of_the_asked_bar() {
        let (chords, notes) = Asked::bar(2).answered(&mut sure_gan()).expect("the network works");
        assert_eq!(chords.iter().map(|chord| chord.chord.expect("one").to_string()).collect::<Vec<_>>(), ["C", "F"]);
        // A bass note ends where the next is struck; none sounds farther than the next segment.
        assert_eq!(of(Part::Bass, &notes), [[96, 24, 36], [120, 36, 41]]);
        let expected = [[96, 24, 52], [96, 24, 55], [96, 24, 60], [132, 36, 53], [132, 12, 57]];
        assert_eq!(of(Part::Chords, &notes), expected);
        assert_eq!(of(Part::Counter, &notes), [[108, 30, 76], [138, 6, 77]]);
        let expected = [[96, 24, 55], [96, 48, 60], [96, 24, 64], [120, 24, 57], [120, 24, 65]];
        assert_eq!(of(Part::Pad, &notes), expected);
        assert!(notes.is_sorted_by_key(|note| note.note.start), "in the order in which they are struck");
    }

    #[test]
    fn a_note_sounds_a_sixteenth_unless_another_takes_its_place() {
        let chords: &[[i32; 3]] = &[[0, 1, 52], [6, 2, 55], [7, 1, 55], [24, 1, 60]];
        let counter: &[[i32; 3]] = &[[0, 1, 76], [2, 1, 77]];
        let (mut gan, _) = gan_that(move |ticks| cells(ticks, 30.0, [BASS, chords, counter, PAD_NOTES]));
        let notes = Asked::bar(2).notes(&mut gan);
        assert_eq!(of(Part::Chords, &notes), [[96, 3, 52], [102, 1, 55], [103, 3, 55], [120, 3, 60]]);
        assert_eq!(of(Part::Counter, &notes), [[96, 2, 76], [98, 3, 77]]);
    }

    /// Nearly sure of its notes; all others are far below the thresholds.
    fn timid_gan(by: f32) -> Gan {
        let timid = move |ticks: Ticks| {
            let sure = cells(ticks, 1.0, [&[], CHORDS, COUNTER, PAD_NOTES]);
            sure.iter().map(|cell| if *cell > 0.0 { -by } else { -30.0 }).collect()
        };
        gan_that(timid).0
    }

    #[test]
    fn where_all_would_be_silent_bass_and_chords_dare_more() {
        let mut asked = Asked::bar(2);
        asked.settings.temperature = 0.0;
        let notes = asked.notes(&mut timid_gan(2.5));
        let starts: Vec<i32> = of(Part::Chords, &notes).iter().map(|note| note[0]).collect();
        assert_eq!(starts, [96, 96, 96, 132, 132]);
        assert!(of(Part::Counter, &notes).is_empty(), "a counter-melody may rest");
        assert!(asked.notes(&mut timid_gan(9.0)).is_empty(), "what nobody would play is not played");

        let mut alone = Asked::bar(2);
        alone.settings.temperature = 0.0;
        [Part::Bass, Part::Chords].into_iter().for_each(|part| alone.settings.parts[part].on = false);
        assert!(of(Part::Counter, &alone.notes(&mut timid_gan(2.5))).is_empty());

        asked.melody.retain(|note| note.start < 96);
        assert!(
            of(Part::Chords, &asked.notes(&mut timid_gan(2.5))).is_empty(),
            "with a melody that rests all may rest"
        );
    }

    #[test]
    fn in_a_jam_half_a_bar_may_be_silent_after_one_that_is_not() {
        let mut asked = Asked::bar(2);
        let mut segments = Bar::of_constant_meter(2, Meter::COMMON).segments();
        let (first, last) = (segments.next().expect("two"), segments.next().expect("two"));
        (asked.ask, asked.chords) = (Ask::Jam(last), vec![None]);
        asked.settings.temperature = 0.0;
        assert!(!of(Part::Chords, &asked.notes(&mut timid_gan(2.5))).is_empty());
        let bass = PartNote::on_grid(Part::Bass, note(&[96, 12, 36]));
        let (settings, chord) = (asked.settings, given("C").expect("given"));
        let notes = vec![bass];
        asked.past =
            vec![SegmentAnswer { segment: first, chord, notes, settings, quarters_per_minute: 100.0, margin: 2 }];
        assert!(of(Part::Chords, &asked.notes(&mut timid_gan(2.5))).is_empty());
    }

    #[test]
    fn each_way_of_playing_has_its_thresholds() {
        let segment = Bar::of_constant_meter(2, Meter::COMMON).segments().next().expect("two");
        // The bass's are -.5, -1, 0 and 1 for onsets, and for what is sustained 0, 0, 0 and -1.
        for (jam, chord, threshold, ticks) in
            [(false, "", -0.5, 3), (false, "C", -1.0, 3), (true, "", 0.0, 3), (true, "C", 1.0, 12)]
        {
            for (logit, sounds) in [(threshold + 0.1, true), (threshold - 0.1, false)] {
                let (mut gan, _) = gan_that(move |roll| {
                    let mut cells = cells(roll, 30.0, [&[], &[[0, 12, 60]], &[], &[]]);
                    let bass = row(Key::folded(36));
                    cells[bass] = logit;
                    (0..12).for_each(|tick| cells[(roll + tick) as usize * KEYS + bass] = -0.5);
                    cells
                });
                gan.contract.own.lean = 0.0;
                let mut asked = Asked::bar(2);
                asked.settings.temperature = 0.0;
                asked.chords = vec![(!chord.is_empty()).then(|| given(chord)).flatten(); 2];
                if jam {
                    (asked.ask, asked.chords) = (Ask::Jam(segment), vec![asked.chords[0]]);
                }
                let expected = if sounds { vec![[96, ticks, 36]] } else { Vec::new() };
                assert_eq!(of(Part::Bass, &asked.notes(&mut gan)), expected, "{jam} {chord} {logit}");
            }
        }
    }

    #[test]
    fn in_a_jam_one_segment_is_kept_and_the_pad_sounds_on() {
        let mut asked = Asked::bar(2);
        let last = Bar::of_constant_meter(2, Meter::COMMON).segments().last().expect("two");
        (asked.ask, asked.chords) = (Ask::Jam(last), vec![None]);
        let notes = asked.notes(&mut sure_gan());
        assert_eq!(of(Part::Bass, &notes), [[120, 36, 41]]);
        assert_eq!(of(Part::Pad, &notes), [[120, 24, 57], [120, 24, 60], [120, 24, 65]]);
    }

    #[test]
    fn before_anything_is_heard_it_waits() {
        let mut asked = Asked::bar(0);
        let first = Bar::of_constant_meter(0, Meter::COMMON).segments().next().expect("two");
        (asked.ask, asked.melody, asked.chords) = (Ask::Jam(first), Vec::new(), vec![None]);
        let (chords, notes) = asked.answered(&mut sure_gan()).expect("the network works");
        assert_eq!((chords[0].chord, notes.len()), (None, 0));
        asked.chords = vec![given("G")];
        assert!(!asked.notes(&mut sure_gan()).is_empty(), "a chord is enough");
    }

    #[test]
    fn chords_that_are_given_are_played() {
        let mut asked = Asked::bar(1);
        asked.chords = vec![given("Am/G"), given("N.C.")];
        let (chords, notes) = asked.answered(&mut sure_gan()).expect("the network works");
        assert_eq!(chords, [given("Am/G"), given("N.C.")].map(|chord| chord.expect("given")));
        assert_eq!(of(Part::Bass, &notes), [[48, 24, 31]], "the slash's bass, and silence under N.C.");
        assert_eq!(of(Part::Pad, &notes), [[48, 24, 57], [48, 24, 60], [48, 24, 64]]);
        assert!(notes.iter().all(|note| note.note.end() <= 72));
    }

    #[test]
    fn the_network_is_shown_what_the_page_says() {
        let (mut gan, shown) = gan_that(|ticks| cells(ticks, 30.0, [BASS, CHORDS, COUNTER, PAD_NOTES]));
        let mut asked = Asked::bar(0);
        for bar in (0..6).map(|index| Bar::of_constant_meter(index, Meter::COMMON)) {
            asked.melody = Asked::bar(bar.index.0).melody;
            asked.ask = Ask::Arrange(bar);
            let (chords, notes) = asked.answered(&mut gan).expect("the network works");
            for (segment, chord) in bar.segments().zip(chords) {
                let within = |note: &&PartNote| (segment.start()..segment.end()).contains(&note.note.start);
                let (notes, settings) = (notes.iter().filter(within).copied().collect(), asked.settings);
                asked.past.push(SegmentAnswer {
                    segment,
                    chord,
                    notes,
                    settings,
                    quarters_per_minute: 100.0,
                    margin: 2,
                });
            }
        }
        asked.past.truncate(11);
        let last = Bar::of_constant_meter(5, Meter::COMMON).segments().last().expect("two");
        asked.melody.push(note(&[258, 1_000_000, 72]));
        (asked.ask, asked.chords) = (Ask::Jam(last), vec![given("G7")]);
        asked.notes(&mut gan);
        let shown = shown.lock().expect("no test has panicked");
        let input = |run: usize, name: &str| {
            let found = shown[run].iter().find(|(input, _)| *input == name);
            found.unwrap_or_else(|| panic!("{name}")).1.clone()
        };
        let names: Vec<&str> = shown[0].iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["melody", "before", "chords", "clock", "noise", "cond"]);
        assert!(input(0, "before").iter().all(|cell| *cell == 0.0));
        let heard = Roll::of(192, 240, &asked.melody[20..24]);
        assert!(input(5, "melody") == heard.cells(), "arranging, the bar's melody is known and no more");
        let mut half = Roll::of(192, 240, &asked.melody);
        half.silence_from(24);
        assert!(input(6, "melody") == half.cells());
        assert_eq!(input(6, "clock")[2 * 192..].iter().sum::<f32>(), 24.0);
        let before = input(6, "before");
        let before: Vec<&[f32]> = before.chunks_exact(2 * 192 * KEYS).collect();
        let played = asked.past.iter().flat_map(|answer| &answer.notes).filter(|note| note.part == Part::Bass);
        assert!(before[0] == Roll::of(192, 48, played.map(|note| &note.note)).cells());
        let held = (0..4).flat_map(|bar| {
            let line = 48 * bar;
            [[line, 24, 55], [line, 24, 64], [line + 24, 24, 57], [line + 24, 24, 65]]
        });
        let held: Vec<Note> = held.chain([[0, 192, 60]]).map(|n| note(&n)).collect();
        assert!(before[3] == Roll::of(192, 0, &held).cells());
        assert!(before[4] == Roll::of(192, 48, &asked.melody[..20]).cells());
        let rows = input(6, "chords");
        let on = |row: usize| (0..192).filter(|tick| rows[192 * row + tick] == 1.0).collect::<Vec<_>>();
        assert_eq!(on(12), (0..48).collect::<Vec<_>>(), "with the given chord the one that was just played");
        assert_eq!((on(5), on(9)), ((24..48).collect(), Vec::new()));
        assert!(input(0, "noise") == input(6, "noise"), "a song has one");
        assert_eq!(input(0, "cond")[32..35], [1.0; 3]);
    }

    #[test]
    fn bars_of_another_metre_are_not_shown() {
        let (mut gan, shown) = gan_that(|ticks| cells(ticks, 30.0, [BASS, CHORDS, COUNTER, PAD_NOTES]));
        let mut asked = Asked::bar(2);
        let waltz = Bar { start: 60, ..Bar::of_constant_meter(1, Meter::new(3, 4).expect("a waltz")) };
        let answer = SegmentAnswer {
            segment: waltz.segments().next().expect("one"),
            chord: given("C").expect("given"),
            notes: vec![PartNote::on_grid(Part::Bass, note(&[60, 36, 36]))],
            settings: all_parts(),
            quarters_per_minute: 100.0,
            margin: 2,
        };
        asked.past = vec![answer];
        asked.notes(&mut gan);
        assert!(shown.lock().expect("no test has panicked")[0][1].1.iter().all(|cell| *cell == 0.0));
    }

    #[test]
    fn what_is_no_picture_is_an_error_in_words() {
        for (say, words) in [
            (Vec::new(), "the device is gone"),
            (vec![0.0; 7], "not the cells of four bars"),
            (vec![f32::NAN; 8 * 192 * KEYS], "not the cells of four bars"),
        ] {
            let (mut gan, _) = gan_that(move |_| say.clone());
            let error = Asked::bar(0).answered(&mut gan).expect_err("it cannot be played").to_string();
            assert!(error.contains(words), "{error}");
        }
        let five = Meter::new(5, 4).expect("usual");
        assert!(!sure_gan().plays(five));
    }

    #[test]
    fn temperature_and_seed_change_the_music() {
        let play = |temperature, seed| {
            let mut asked = Asked::bar(3);
            (asked.settings.temperature, asked.seed) = (temperature, seed);
            // Half sure of everything.
            asked.notes(&mut gan_that(|ticks| cells(ticks, 1.5, [BASS, CHORDS, COUNTER, PAD_NOTES])).0)
        };
        let notes = |play: Vec<PartNote>| of(Part::Chords, &play);
        assert_eq!(notes(play(1.0, 5)), notes(play(1.0, 5)));
        assert_ne!(notes(play(2.0, 5)), notes(play(2.0, 6)));
        assert_eq!(notes(play(0.1, 5)), notes(play(0.1, 6)), "what is cool is sure");
    }

    #[test]
    fn accents_follow_the_metre_and_loudness_the_melody() {
        let mut asked = Asked::bar(2);
        let loud = |asked: &Asked| {
            let notes = asked.notes(&mut sure_gan());
            let of = |start| {
                let velocities =
                    notes.iter().filter(|n| n.note.start == start).map(|n| f32::from(n.note.velocity.get()));
                let velocities: Vec<f32> = velocities.collect();
                velocities.iter().sum::<f32>() / velocities.len() as f32
            };
            (of(96), of(138))
        };
        let (first, last) = loud(&asked);
        assert!(first > last, "{first} {last}");
        asked.melody.iter_mut().for_each(|note| note.velocity = Velocity::clamped(45));
        assert!(loud(&asked).0 < first - 15.0);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]

        /// Laws of whatever the network says, and whoever is asked.
        #[test]
        fn laws_of_any_picture(
            picture in 0..1000_u64, seed in 0..1000_u64, on in proptest::array::uniform4(any::<bool>()),
            meter in 0..4_usize, jam in any::<bool>(), temperature in 0.1..2.0_f32,
            melody in proptest::collection::vec((0..400_i32, 1..60_i32, 0..128_i32), 0..40),
        ) {
            let meter = [(4, 4), (3, 4), (2, 4), (6, 8)].map(|(beats, unit)| Meter::new(beats, unit).expect("usual"))[meter];
            let bar = Bar::of_constant_meter(3, meter);
            let mut asked = Asked::bar(3);
            asked.melody = melody.iter().map(|(start, duration, key)| note(&[*start, *duration, *key])).collect();
            asked.melody.sort_unstable();
            if !jam {
                asked.melody.retain(|note| note.start < bar.end());
            }
            asked.seed = seed;
            asked.settings.temperature = temperature;
            asked.ask = if jam { Ask::Jam(bar.segments().last().expect("one at least")) } else { Ask::Arrange(bar) };
            asked.chords = vec![None; asked.ask.segments().count()];
            PARTS.into_iter().zip(on).for_each(|(part, on)| asked.settings.parts[part].on = on);
            let play = |asked: &Asked| asked.notes(&mut gan_that(move |ticks| any_cells(ticks, picture)).0);
            let notes = play(&asked);
            prop_assert_eq!(&notes, &play(&asked), "the same seed, the same notes");
            for note in &notes {
                prop_assert!(asked.settings.part_is_on(note.part));
                prop_assert!((asked.ask.start()..asked.ask.end()).contains(&note.note.start));
                prop_assert!(note.note.duration >= 1 && note.note.duration <= 2 * meter.bar_length());
            }
            for (part, most) in PARTS.into_iter().zip(MOST_STRUCK) {
                let starts = notes.iter().filter(|note| note.part == part && part != Part::Pad).map(|note| note.note.start);
                let mut count = std::collections::BTreeMap::<Ticks, usize>::new();
                starts.for_each(|start| *count.entry(start).or_default() += 1);
                prop_assert!(count.values().all(|count| *count <= most));
            }
            // Who else plays changes no note of a part.
            let mut alone = asked.settings;
            PARTS.into_iter().filter(|part| *part != Part::Bass).for_each(|part| alone.parts[part].on = false);
            asked.settings = alone;
            let bass: Vec<PartNote> = notes.into_iter().filter(|note| note.part == Part::Bass).collect();
            prop_assert_eq!(play(&asked), bass);
        }
    }

    #[test]
    fn hours_of_silence_and_all_keys_at_once_are_played_to() {
        let mut asked = Asked::bar(7200);
        asked.melody = (0..128).map(|key| note(&[0, 48, key])).collect();
        assert!(!asked.notes(&mut sure_gan()).is_empty());
        let line = 7200 * 48;
        asked.melody.extend((0..128).map(|key| note(&[line, 48, key])));
        assert!(!asked.notes(&mut sure_gan()).is_empty());
        asked.melody.clear();
        assert!(!asked.notes(&mut sure_gan()).is_empty());
    }
}
