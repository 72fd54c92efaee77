//! The rule-based generator: a small band that knows harmony by heart and answers in microseconds.
//!
//! It plays where no model does: as the fall-back of a late or failed answer, for the parts and metres that a model
//! does not write, and as a test double. [`harmonise`] chooses key and chords, [`voicing`] the keys of each part,
//! [`rhythm`] the places that a style strikes, [`players`] and [`drums`] put them together. Everything is decided
//! from the request alone.
//!
//! Before anything was heard and without a chord given, the pitched parts rest (a wrong key is worse than none) and
//! the drums count the beats.

mod drums;
mod harmonise;
mod players;
mod rhythm;
mod voicing;

pub use harmonise::{harmonise_bar, tonality_of};
pub use rhythm::phrase_bar;

use super::{Ask, Generator, GeneratorError, PartNote, Request, SegmentAnswer};
use crate::music::{
    Chord, Key, Meter, Note, Part, PerPart, PlanSource, PlannedChord, Segment, Ticks, Tonality, Velocity,
};
use harmonise::{Context, Evidence, Slot, evidence_between, evidence_of};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rhythm::{Needs, Place, Rank, Texture, places};

/// Writes by rule. It has no state.
#[derive(Debug, Clone, Copy, Default)]
pub struct RuleGenerator;

impl Generator for RuleGenerator {
    fn name(&self) -> &str {
        "Rules"
    }

    fn parts(&self) -> PerPart<bool> {
        PerPart::from_fn(Part::is_of_band)
    }

    fn plays(&self, _meter: Meter) -> bool {
        true
    }

    fn answer(
        &mut self,
        request: &Request<'_>,
        write: &mut dyn FnMut(PartNote),
    ) -> Result<Vec<PlannedChord>, GeneratorError> {
        let heard = heard(request);
        let tonality = tonality_of(heard, known_until(request));
        let chords = choose_chords(request, heard, tonality);
        let sheet = Sheet::new(request, heard, tonality, &chords);
        let mut notes = Vec::with_capacity(64);
        for part in Part::BAND.into_iter().filter(|part| request.parts[*part]) {
            let mut pen = Pen::new(part, request, &sheet, &mut notes);
            match part {
                Part::Bass => players::bass(&sheet, &mut pen),
                Part::Chords => players::chords(&sheet, &mut pen),
                Part::Pad => players::pad(&sheet, &mut pen),
                Part::Counter => players::counter(&sheet, &mut pen),
                Part::Drums => drums::play(&sheet, &mut pen),
                Part::Enhanced | Part::Extension => {}
            }
        }
        tidy(&mut notes);
        notes.into_iter().for_each(write);
        Ok(chords)
    }
}

/// In a jam the melody is known up to the segment, arranging up to the end of the bar.
fn known_until(request: &Request<'_>) -> Ticks {
    match request.ask {
        Ask::Jam(segment) => segment.start(),
        Ask::Arrange(bar) => bar.end(),
    }
}

/// The melody that may be known and still matters: the last two dozen bars of it, however long ago.
fn heard<'a>(request: &Request<'a>) -> &'a [Note] {
    const MEMORY: Ticks = 24;
    let until = known_until(request);
    let known = &request.melody[..request.melody.partition_point(|note| note.start < until)];
    let since = known.last().map_or(0, |last| last.start) - MEMORY * request.ask.bar().meter.bar_length().max(48);
    &known[known.partition_point(|note| note.start < since)..]
}

/// The chords given, and where there are none, those the melody and the harmony so far ask for.
fn choose_chords(request: &Request<'_>, heard: &[Note], tonality: Tonality) -> Vec<PlannedChord> {
    let given = |index: usize| request.chords.get(index).copied().flatten();
    let playing = |chord: &PlannedChord| chord.chord.is_some();
    let awake = !heard.is_empty()
        || request.past.iter().any(|answer| playing(&answer.chord))
        || request.chords.iter().flatten().any(playing);
    let settings = request.settings.clamped();
    let past: Vec<Option<Chord>> = request.past.iter().map(|answer| answer.chord.chord).collect();
    let phrase_bar = phrase_bar(request.ask.bar(), heard);
    let stay = Texture::at(settings.style, phrase_bar).stay;
    let context = Context { tonality, past: &past, phrase_bar, stay };
    let slot = |(index, segment): (usize, Segment)| Slot {
        segment,
        evidence: match request.ask {
            Ask::Jam(_) => anticipate(heard, segment),
            Ask::Arrange(_) => evidence_of(heard, segment),
        },
        given: given(index).map(|planned| planned.chord).or((!awake).then_some(None)),
    };
    let slots: Vec<Slot> = request.ask.segments().enumerate().map(slot).collect();
    let mut dice = ChaCha8Rng::seed_from_u64(request.seed);
    let reach = settings.temperature * if matches!(request.ask, Ask::Jam(_)) { 0.1 } else { 0.05 };
    let chords = context.harmonise(&slots, &mut || reach * (2.0 * dice.random::<f32>() - 1.0));
    let plan = |(index, chord)| given(index).unwrap_or(PlannedChord { chord, source: PlanSource::Rule });
    chords.into_iter().enumerate().map(plan).collect()
}

/// What the melody will probably do in a segment that is not heard yet: hold what it holds, go on as it went on
/// before, and stay with the harmony of the bar's first half.
fn anticipate(heard: &[Note], segment: Segment) -> Evidence {
    let start = segment.start();
    let mut evidence = [0.0; 12];
    let mut add = |share: f32, from: Evidence| {
        from.into_iter().zip(&mut evidence).for_each(|(weight, sum)| *sum += share * weight);
    };
    let mut held = [0.0; 12];
    for note in heard.iter().filter(|note| note.end() > start) {
        held[note.key.pitch_class().semitones() as usize] = 1.0;
    }
    add(0.5, held);
    let (since, share) = if segment.number == 0 { (start - 12, 0.2) } else { (segment.bar.start, 0.5) };
    add(share, evidence_between(heard, segment, since, start));
    if let Some(shift) = repetition(heard, segment) {
        add(0.7, evidence_between(heard, segment, start - shift, segment.end() - shift));
    }
    evidence
}

/// How many ticks ago the melody of the bar before `segment` was played before, if it was.
fn repetition(heard: &[Note], segment: Segment) -> Option<Ticks> {
    /// Fewer notes are alike by chance.
    const FEWEST: usize = 3;
    let length = segment.bar.meter.bar_length();
    let within = |start: Ticks| {
        let from = heard.partition_point(|note| note.start < start);
        &heard[from..heard.partition_point(|note| note.start < start + length)]
    };
    let now = within(segment.start() - length);
    let alike = |shift: &Ticks| {
        let then = within(segment.start() - length - shift);
        let same = |note: &&Note| then.iter().any(|old| old.start + shift == note.start && old.key == note.key);
        now.len() >= FEWEST && 4 * now.iter().filter(same).count() >= 3 * now.len().max(then.len())
    };
    [16, 8, 4, 2].map(|bars| bars * length).into_iter().find(alike)
}

/// A segment to be written, with its chord.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    segment: Segment,
    /// `None` is N.C.
    chord: Option<Chord>,
    /// The same chord sounds in the first half of the bar.
    continued: bool,
    /// The chord that follows, if it is known to be another.
    turns_to: Option<Chord>,
}

/// What all players read from.
struct Sheet<'a> {
    heard: &'a [Note],
    past: &'a [SegmentAnswer],
    stretches: Vec<Stretch>,
    /// The bar's place in its eight-bar phrase, 0..8.
    phrase_bar: i32,
    /// The melody of the stretches is known.
    melody_known: bool,
    tonality: Tonality,
    texture: Texture,
    /// 0..=1 and a little beyond: as set for the part, and fewer notes where the tempo is fast.
    density: PerPart<f32>,
    /// 0.1..=2.
    temperature: f32,
    /// Factor on velocities: the style's touch and the melody's loudness.
    loudness: f32,
}

impl<'a> Sheet<'a> {
    fn new(request: &Request<'a>, heard: &'a [Note], tonality: Tonality, chords: &[PlannedChord]) -> Self {
        let settings = request.settings.clamped();
        let phrase_bar = phrase_bar(request.ask.bar(), heard);
        let texture = Texture::at(settings.style, phrase_bar);
        Self {
            heard,
            past: request.past,
            stretches: stretches(request, chords),
            phrase_bar,
            melody_known: matches!(request.ask, Ask::Arrange(_)),
            tonality,
            texture,
            density: PerPart::from_fn(|part| settings.density_of(part) - tempo_relief(request.quarters_per_minute)),
            temperature: settings.temperature,
            loudness: texture.touch * loudness(heard),
        }
    }

    /// Nothing has been heard, given or played.
    fn asleep(&self) -> bool {
        self.heard.is_empty()
            && self.stretches.iter().all(|stretch| stretch.chord.is_none())
            && self.past.iter().all(|answer| answer.chord.chord.is_none())
    }

    /// The keys a part sounded last, each once, lowest first.
    fn last_keys(&self, part: Part) -> Vec<Key> {
        let keys_of = |answer: &SegmentAnswer| {
            let of_part = answer.notes.iter().filter(|note| note.part == part);
            let mut keys: Vec<Key> = of_part.map(|note| note.note.key).collect();
            keys.sort_unstable();
            keys.dedup();
            keys
        };
        self.past.iter().rev().map(keys_of).find(|keys| !keys.is_empty()).unwrap_or_default()
    }

    /// The last note of a part that plays one at a time.
    fn last_key(&self, part: Part) -> Option<Key> {
        let last_of = |answer: &SegmentAnswer| answer.notes.iter().rfind(|note| note.part == part).map(|n| n.note.key);
        self.past.iter().rev().find_map(last_of)
    }
}

fn stretches(request: &Request<'_>, chords: &[PlannedChord]) -> Vec<Stretch> {
    let before = request.past.last().and_then(|answer| answer.chord.chord);
    let chord_of = |index: usize| chords.get(index).and_then(|planned| planned.chord);
    let stretch = |(index, segment): (usize, Segment)| {
        let chord = chord_of(index);
        let previous = if index == 0 { before } else { chord_of(index - 1) };
        Stretch {
            segment,
            chord,
            continued: segment.number > 0 && chord.is_some() && chord == previous,
            turns_to: chord_of(index + 1).filter(|next| Some(*next) != chord),
        }
    };
    request.ask.segments().enumerate().map(stretch).collect()
}

/// A fast tempo asks for fewer notes a beat, a slow one for more: .12 for each doubling from 110.
fn tempo_relief(quarters_per_minute: f32) -> f32 {
    let doublings = (quarters_per_minute.clamp(40.0, 300.0) / 110.0).log2();
    if doublings.is_nan() { 0.0 } else { 0.12 * doublings.clamp(-1.0, 1.0) }
}

/// The band follows the melody's loudness half-way.
fn loudness(heard: &[Note]) -> f32 {
    const USUAL: f32 = 80.0;
    let recent = heard.iter().rev().take(8);
    let count = recent.len();
    if count == 0 {
        return 1.0;
    }
    let mean = recent.map(|note| f32::from(note.velocity.get())).sum::<f32>() / count as f32;
    0.5 + 0.5 * mean / USUAL
}

/// A player's hand: how hard, how sure, and the dice for what is left open.
struct Pen<'a> {
    part: Part,
    /// One stream a part, so that muting one does not change another.
    dice: ChaCha8Rng,
    temperature: f32,
    density: f32,
    phrase_bar: i32,
    /// Velocity of a stroke of full strength.
    velocity: f32,
    /// How much more than the density the player does in this segment.
    whim: f32,
    notes: &'a mut Vec<PartNote>,
}

impl<'a> Pen<'a> {
    fn new(part: Part, request: &Request<'_>, sheet: &Sheet<'_>, notes: &'a mut Vec<PartNote>) -> Self {
        let velocity = match part {
            Part::Bass => 80.0,
            Part::Chords => 68.0,
            Part::Pad => 52.0,
            Part::Counter | Part::Enhanced | Part::Extension => 70.0,
            Part::Drums => 88.0,
        };
        let mut dice = ChaCha8Rng::seed_from_u64(request.seed);
        dice.set_stream(1 + part.index() as u64);
        Self {
            part,
            dice,
            temperature: sheet.temperature,
            density: sheet.density[part],
            phrase_bar: sheet.phrase_bar,
            velocity: velocity * sheet.loudness,
            whim: 0.0,
            notes,
        }
    }

    /// True so often, 0..=1 at a temperature of 1.
    fn chance(&mut self, probability: f32) -> bool {
        self.dice.random::<f32>() < probability * self.temperature
    }

    /// Begins a segment: one whim for all of it, so that its pattern stays whole.
    fn begin(&mut self) {
        const REACH: f32 = 0.06;
        self.whim = REACH * self.temperature * (2.0 * self.dice.random::<f32>() - 1.0);
    }

    /// Whether a place of this need is struck.
    fn wants(&self, need: f32) -> bool {
        need <= 0.0 || need <= self.density + self.whim
    }

    /// The places of a segment that are struck; `relief` makes some likelier than their rank says.
    ///
    /// Short notes come in from the end of the segment: those that lead into the next first.
    fn places(&self, segment: Segment, needs: &Needs, relief: impl Fn(&Place) -> f32) -> Vec<Place> {
        /// The last half bar of a phrase breathes.
        const BREATH: f32 = 0.12;
        /// How much earlier the last short notes come in than the first.
        const LEAD: f32 = 0.08;
        let breath = if self.phrase_bar == 7 && segment.is_last_of_bar() { BREATH } else { 0.0 };
        let length = (segment.end() - segment.start()) as f32;
        let late = |place: &Place| (place.at - segment.start()) as f32 / length - 0.5;
        let need = |place: &Place| match place.rank {
            Rank::Bar | Rank::Half => 0.0,
            Rank::Beat => needs.of(place.rank) - relief(place) + breath,
            Rank::Pulse | Rank::Between => needs.of(place.rank) - LEAD * late(place) + breath,
        };
        places(segment).into_iter().filter(|place| self.wants(need(place))).collect()
    }

    /// A note from `start` to `end` (at least a tick), louder the stronger its place (0..=1).
    fn strike(&mut self, key: Key, start: Ticks, end: Ticks, strength: f32) {
        let human = (1.5 + 1.5 * self.temperature) * (2.0 * self.dice.random::<f32>() - 1.0);
        let velocity = Velocity::clamped((self.velocity * (0.78 + 0.22 * strength) + human).round() as i32);
        let note = Note { start, key, duration: (end - start).max(1), velocity };
        self.notes.push(PartNote::on_grid(self.part, note));
    }
}

/// By part, start and key; a key struck again ends its note before.
fn tidy(notes: &mut Vec<PartNote>) {
    notes.sort_unstable();
    notes.dedup_by_key(|note| (note.part, note.note.start, note.note.key));
    for index in 0..notes.len() {
        let PartNote { part, note, .. } = notes[index];
        let later = notes[index + 1..].iter().take_while(|other| other.part == part && other.note.start < note.end());
        let again = later.map(|other| other.note).find(|other| other.key == note.key);
        if let Some(again) = again {
            notes[index].note.duration = again.start - note.start;
        }
    }
}

#[cfg(test)]
mod tests;
