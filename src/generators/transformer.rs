//! Writes accompaniment with a transformer over bar tokens (`docs/encoding.md`), token by token under the grammar.

use super::context::Context;
use super::controls::{Condition, asked_density, condition};
use super::dynamics::Dynamics;
use super::encoding::{END, Meaning, PARTS, Token, bass_of, chord_token, meaning, metre, part_token, write_part};
use super::grammar::{PartGrammar, Stretch};
use super::pace::Pace;
use super::reader::{Network, Reader};
use super::rules::{RuleGenerator, tonality_of};
use super::sampling::{Boldness, Dice, pick};
use super::{Ask, Generator, GeneratorError, PartNote, Request, SegmentAnswer};
use crate::contract::{Contract, LOUDNESS_CLASSES, VOCABULARY};
use crate::music::{
    Bar, Chord, Key, Meter, Note, Part, PerPart, PitchClass, PlanSource, PlannedChord, Segment, Ticks, Tonality,
    Velocity,
};
use std::ops::Range;

/// As `models/obbligato_models/transformer/sample.py` has them, with which the model was judged.
const CHORD_TEMPERATURE: f32 = 0.5;
const NOTE_TEMPERATURE: f32 = 1.0;
const TOP_P: f32 = 0.95;
/// Nats for a chord that has all of the melody expected in a segment that is not heard yet.
const FORESIGHT: f32 = 12.0;
/// The same where the melody of the segment is known, which the model has read itself.
const HINDSIGHT: f32 = 4.0;
/// Nats for a note that the melody is sure to have in a segment that is not heard yet.
const ALONG: f32 = 2.5;
/// Nats for a note of the chord, where the chord is given.
const FIDELITY: f32 = 0.7;
/// What a semitone beside the melody counts, compared with a note of it.
const RUB: f32 = 0.5;
/// With fewer places left in the window, parts are brought to an end.
const LAST_TOKENS: usize = 8;

pub struct Transformer {
    contract: Contract,
    reader: Reader,
}

impl Transformer {
    pub fn new(contract: Contract, network: Box<dyn Network>) -> Self {
        Self { contract, reader: Reader::new(network) }
    }
}

impl Generator for Transformer {
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
        self.reader.device()
    }

    fn at_rest(&mut self) {
        self.reader.at_rest();
    }

    fn keep_warm(&mut self) -> Result<(), GeneratorError> {
        self.reader.keep_warm().map_err(GeneratorError)
    }

    fn read_ahead(&mut self, request: &Request<'_>) -> bool {
        let writes = self.plays(request.ask.bar().meter) && !request.is_waiting();
        writes && self.reader.read_ahead(&Context::of(request, &self.contract))
    }

    fn answer(
        &mut self,
        request: &Request<'_>,
        write: &mut dyn FnMut(PartNote),
    ) -> Result<Vec<PlannedChord>, GeneratorError> {
        if !self.plays(request.ask.bar().meter) {
            return Err(GeneratorError(format!("it does not know the metre {}", request.ask.bar().meter)));
        }
        if request.is_waiting() {
            return Ok(vec![PlannedChord { chord: None, source: PlanSource::Proposed }]);
        }
        let mut pen = Pen::new(&self.contract, &mut self.reader, request);
        if let Ask::Jam(segment) = request.ask {
            pen.imagine_before(&segment)?;
        }
        let segments: Vec<Segment> = request.ask.segments().collect();
        pen.write_segments(&segments, request.chords, write)
    }
}

/// One answer while it is written.
struct Pen<'a> {
    request: &'a Request<'a>,
    reader: &'a mut Reader,
    window: usize,
    /// All tokens so far. The reader is shown those that are new when it is asked what comes next.
    context: Context,
    condition: Condition,
    /// Those to be written and those that stand, in the model's order, each with how dense it is to be.
    playing: Vec<(Part, Pace)>,
    dice: Dice,
    dynamics: Dynamics,
    /// What the model said last of the loudness of the note it had just read.
    loudness: Option<[f32; LOUDNESS_CLASSES]>,
    lean: Lean,
    /// The melody expected in the segment that is written, where it is not heard yet.
    ahead: Option<Sung>,
}

/// What draws the chords that are chosen, besides what the model thinks of them.
///
/// Where the melody is known, it draws a little more than the model has learnt: chords then fit it as people's do.
/// Ahead of the melody the model's own chords fit it hardly better than another song's would (`models/README.md`), so
/// they are drawn towards the melody that the model itself expects, towards the key that was heard, and towards the chord
/// the rules expect, which follows phrases and repeats.
#[derive(Debug, Clone, Copy)]
enum Lean {
    Known,
    Ahead { tonality: Tonality, expected: Option<Chord> },
}

impl Lean {
    /// Nats against each chord note outside the key.
    const OUTSIDE: f32 = 1.5;
    /// Nats for the expected root, and for each note shared with the expected chord.
    const ROOT: f32 = 2.0;
    const SHARED: f32 = 1.0;

    fn of(request: &Request<'_>) -> Self {
        let Ask::Jam(segment) = request.ask else {
            return Self::Known;
        };
        let harmony_alone = Request { parts: PerPart::from_fn(|_| false), ..*request };
        let expected = RuleGenerator.answer(&harmony_alone, &mut |_| {}).ok();
        Self::Ahead {
            tonality: tonality_of(request.melody, segment.start()),
            expected: expected.and_then(|chords| chords.first()?.chord),
        }
    }

    /// To be added to the logit of a chord; `melody` is the segment's, known or expected.
    fn towards(self, chord: Option<Chord>, melody: &Sung) -> f32 {
        match (self, chord) {
            (Self::Known, chord) => HINDSIGHT * chord.map_or(0.0, |chord| melody.fit(chord)),
            // A band that jams plays: silence breeds silence in what it reads of itself.
            (Self::Ahead { .. }, None) => f32::NEG_INFINITY,
            (Self::Ahead { tonality, expected }, Some(chord)) => {
                let scale = tonality.scale();
                let outside = chord.classes().filter(|class| !scale.contains(*class)).count() as f32;
                let alike = expected.map_or(0.0, |expected| Self::likeness(chord, expected));
                FORESIGHT * melody.fit(chord) + alike - Self::OUTSIDE * outside
            }
        }
    }

    fn likeness(chord: Chord, expected: Chord) -> f32 {
        let members = expected.class_set();
        let shared = chord.classes().filter(|class| members.contains(*class)).count() as f32;
        Self::SHARED * shared + if chord.root == expected.root { Self::ROOT } else { 0.0 }
    }
}

/// The melody of a segment: how long, or how likely, it has each pitch class.
#[derive(Debug, Clone, Copy)]
struct Sung([f32; 12]);

impl Sung {
    /// Ticks that it sounds in a segment.
    fn heard(melody: &[Note], segment: &Segment) -> Self {
        let mut ticks = [0.0; 12];
        for note in melody.iter().take_while(|note| note.start < segment.end()) {
            let inside = note.end().min(segment.end()) - note.start.max(segment.start());
            ticks[note.key.pitch_class().semitones() as usize] += inside.max(0) as f32;
        }
        Self(ticks)
    }

    /// Chances, from what the model says of the coming segment.
    fn expected(said: &[f32]) -> Self {
        let mut chances = [0.0; 12];
        chances.iter_mut().zip(said).for_each(|(chance, logit)| *chance = 1.0 / (1.0 + (-logit).exp()));
        Self(chances)
    }

    /// The share of it that lies on the chord, less half of the share that lies a semitone beside.
    fn fit(&self, chord: Chord) -> f32 {
        const LEAST: f32 = 1e-6;
        let members = chord.class_set();
        let beside = |class: PitchClass| members.contains(class.up(1)) || members.contains(class.up(11));
        let worth = |class: PitchClass| match (members.contains(class), beside(class)) {
            (true, _) => 1.0,
            (false, true) => -RUB,
            (false, false) => 0.0,
        };
        let fit: f32 = PitchClass::all().zip(&self.0).map(|(class, weight)| weight * worth(class)).sum();
        fit / self.0.iter().sum::<f32>().max(LEAST)
    }

    /// To be added to the logit of a note.
    fn along(&self, key: Key) -> f32 {
        ALONG * self.0[key.pitch_class().semitones() as usize]
    }
}

impl<'a> Pen<'a> {
    fn new(contract: &Contract, reader: &'a mut Reader, request: &'a Request<'a>) -> Self {
        let known_until = match request.ask {
            Ask::Jam(segment) => segment.start() - request.margin,
            Ask::Arrange(bar) => bar.end(),
        };
        reader.begin();
        Self {
            request,
            reader,
            window: contract.window,
            context: Context::of(request, contract),
            condition: condition(
                contract.palette(),
                request.settings,
                &request.playing(),
                request.quarters_per_minute,
                request.ask.bar().index,
            ),
            playing: playing(contract, request),
            dice: Dice::new(request.seed),
            dynamics: Dynamics::following(request.melody, known_until),
            loudness: None,
            lean: Lean::of(request),
            ahead: None,
        }
    }

    /// Where playing begins inside a bar, the model still reads whole bars: it is shown its own idea of what came before.
    fn imagine_before(&mut self, asked: &Segment) -> Result<(), GeneratorError> {
        let begun = |answer: &SegmentAnswer| answer.segment.bar == asked.bar && answer.segment.end() == asked.start();
        let answered = self.request.past.last().is_some_and(begun);
        for segment in asked.bar.segments().filter(|segment| segment.start() < asked.start() && !answered) {
            self.write_segments(&[segment], &[None], &mut |_| {})?;
            self.push(END);
            self.context.hear(&segment, self.request, self.condition);
        }
        Ok(())
    }

    /// Chords, then the asked parts, of segments that follow each other in one bar.
    fn write_segments(
        &mut self,
        segments: &[Segment],
        given: &[Option<PlannedChord>],
        write: &mut dyn FnMut(PartNote),
    ) -> Result<Vec<PlannedChord>, GeneratorError> {
        let given = |index: usize| given.get(index).copied().flatten();
        let mut chords = Vec::new();
        for (index, segment) in segments.iter().enumerate() {
            chords.push(self.chord(segment, given(index))?);
        }
        let stretches = segments.iter().enumerate().map(|(index, segment)| stretch(segment, given(index))).collect();
        self.parts(&segments[0].bar, stretches, write)?;
        Ok(chords)
    }

    fn chord(&mut self, segment: &Segment, given: Option<PlannedChord>) -> Result<PlannedChord, GeneratorError> {
        let melody = match self.lean {
            Lean::Known => Sung::heard(self.request.melody, segment),
            Lean::Ahead { .. } => self.foresee()?,
        };
        if let Some(given) = given {
            self.push(chord_token(given.chord));
            return Ok(given);
        }
        // Half of the knob's way, as the ear measures it: harmony that wanders sounds wrong sooner than a melody that does.
        let temperature = CHORD_TEMPERATURE * self.request.settings.temperature.max(0.0).sqrt();
        let lean = self.lean;
        let choices = self.choices(|token| match meaning(token) {
            Some(Meaning::Chord(chord)) => Some(lean.towards(chord, &melody)),
            _ => None,
        })?;
        let token = self.draw(temperature, &choices)?;
        self.push(token);
        let chord = proposed(token);
        Ok(PlannedChord { chord, source: PlanSource::Proposed })
    }

    /// The melody that the model expects in the segment that begins here.
    fn foresee(&mut self) -> Result<Sung, GeneratorError> {
        let said = self.reader.read(&self.context).map_err(GeneratorError)?;
        let expected = Sung::expected(&said[VOCABULARY + LOUDNESS_CLASSES..]);
        self.ahead = Some(expected);
        Ok(expected)
    }

    fn parts(
        &mut self,
        bar: &Bar,
        stretches: Vec<Stretch>,
        write: &mut dyn FnMut(PartNote),
    ) -> Result<(), GeneratorError> {
        let playing = self.playing.clone();
        for (index, (part, pace)) in playing.iter().enumerate() {
            let then = playing.get(index + 1).and_then(|(next, _)| part_token(*next)).unwrap_or(END);
            if self.request.parts[*part] {
                part_token(*part).into_iter().for_each(|token| self.push(token));
                self.part(bar, PartGrammar::new(*part, then, stretches.clone()), *pace, &stretches, write)?;
            } else {
                self.read_standing(bar, *part, &stretches);
            }
        }
        Ok(())
    }

    /// Shows the model a part that stays as it is.
    fn read_standing(&mut self, bar: &Bar, part: Part, stretches: &[Stretch]) {
        let ends = stretches.first().zip(stretches.last());
        let span = ends.map_or((0, 0), |(first, last)| (bar.start + first.start, bar.start + last.end));
        let mut tokens = Vec::new();
        write_part(&mut tokens, bar, span, part, self.request.standing);
        tokens.into_iter().for_each(|token| self.push(token));
    }

    fn part(
        &mut self,
        bar: &Bar,
        mut grammar: PartGrammar,
        pace: Pace,
        stretches: &[Stretch],
        write: &mut dyn FnMut(PartNote),
    ) -> Result<(), GeneratorError> {
        let mut urge = self.urge(grammar.part());
        let line =
            stretches.first().map_or(0, |stretch| stretch.start)..stretches.last().map_or(0, |stretch| stretch.end);
        let mut chosen: Option<(Ticks, Key, Ticks)> = None;
        loop {
            self.loudness = None;
            let next = self.next_in(&grammar, pace, &line, std::mem::take(&mut urge))?;
            // Only now has the model said how loud the note before is.
            if let Some((at, key, duration)) = chosen.take() {
                let duration = duration.min(silence_after(at, stretches) - at);
                let note = Note { start: bar.start + at, key, duration, velocity: self.velocity() };
                write(PartNote::on_grid(grammar.part(), note));
            }
            let Some(token) = next else { return Ok(()) };
            self.push(token);
            chosen = grammar.take(token);
        }
    }

    fn velocity(&mut self) -> Velocity {
        match self.loudness.take() {
            Some(loudness) => self.dynamics.velocity(&loudness, &mut self.dice),
            None => self.dynamics.usual(),
        }
    }

    /// Nats for beginning to play, where a part that was asked for has rested for a while.
    ///
    /// A model reads from its own silence that silence goes on; who turned the part on wants to hear it.
    fn urge(&self, part: Part) -> f32 {
        const RESTED: usize = 2;
        const URGE: f32 = 3.0;
        let asked = self.request.past.iter().rev().take_while(|answer| answer.settings.part_is_on(part));
        let silent = asked.take_while(|answer| answer.notes.iter().all(|note| note.part != part));
        let bars = silent.filter(|answer| answer.segment.number == 0 && answer.chord.chord.is_some()).count();
        if bars >= RESTED { URGE * (2.0 * self.request.settings.density_of(part)).min(1.0) } else { 0.0 }
    }

    /// The next position or note; `None` at the part's end.
    fn next_in(
        &mut self,
        grammar: &PartGrammar,
        pace: Pace,
        line: &Range<Ticks>,
        urge: f32,
    ) -> Result<Option<Token>, GeneratorError> {
        let full = self.context.len() + LAST_TOKENS > self.window;
        if grammar.may_end() && (full || grammar.is_over()) {
            return Ok(None);
        }
        let temperature = NOTE_TEMPERATURE * self.request.settings.temperature;
        let ahead = self.ahead;
        let mut choices = self.choices(|token| {
            grammar.allows(token).then(|| match meaning(token) {
                Some(Meaning::Position(_)) => urge,
                Some(Meaning::Note(key, _)) => {
                    let faithful = if grammar.is_of_chord(key) { FIDELITY } else { 0.0 };
                    faithful + ahead.map_or(0.0, |melody| melody.along(key))
                }
                _ => 0.0,
            })
        })?;
        pace.pull(&mut choices, grammar, line);
        let token = self.draw(temperature, &choices)?;
        Ok((!grammar.ends_with(token)).then_some(token))
    }

    /// What may come next. `lean` is added to the logit of a token; one without is not allowed here.
    fn choices(&mut self, lean: impl Fn(Token) -> Option<f32>) -> Result<Vec<(Token, f32)>, GeneratorError> {
        let said = self.reader.read(&self.context).map_err(GeneratorError)?;
        let (logits, said) = said.split_at(VOCABULARY);
        self.loudness = said[..LOUDNESS_CLASSES].try_into().ok();
        let tokens = (0..VOCABULARY as Token).zip(logits);
        Ok(tokens.filter_map(|(token, logit)| Some((token, logit + lean(token)?))).collect())
    }

    fn draw(&mut self, temperature: f32, choices: &[(Token, f32)]) -> Result<Token, GeneratorError> {
        let chosen = pick(choices, Boldness { temperature, top_p: TOP_P }, &mut self.dice);
        chosen.ok_or_else(|| GeneratorError("what it computed is not a number".into()))
    }

    fn push(&mut self, token: Token) {
        self.context.push(token, self.condition);
    }
}

/// The parts that play, each with how dense it is to be.
fn playing(contract: &Contract, request: &Request<'_>) -> Vec<(Part, Pace)> {
    let playing = request.playing();
    let parts = PARTS.into_iter().enumerate().filter(|(_, part)| playing[*part]);
    parts
        .map(|(index, part)| {
            (part, Pace::of(part, request, |settings| asked_density(contract.palette(), settings, index)))
        })
        .collect()
}

fn proposed(token: Token) -> Option<Chord> {
    if let Some(Meaning::Chord(chord)) = meaning(token) { chord } else { None }
}

/// What a given chord asks of the notes in its segment.
fn stretch(segment: &Segment, given: Option<PlannedChord>) -> Stretch {
    let line = segment.bar.start;
    let chord = given.and_then(|given| given.chord);
    Stretch {
        start: segment.start() - line,
        end: segment.end() - line,
        silent: given.is_some() && chord.is_none(),
        bass: chord.and_then(bass_of),
        chord: chord.map(|chord| chord.class_set()),
    }
}

/// Where the next silent stretch begins: no note sounds into it.
fn silence_after(at: Ticks, stretches: &[Stretch]) -> Ticks {
    stretches.iter().filter(|stretch| stretch.silent && stretch.start > at).map(|s| s.start).min().unwrap_or(Ticks::MAX)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::contract::tests::contract;
    use crate::settings::Settings;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Outputs that depend on every token and condition read so far, and on their places, as a real model's do; loudness
    /// and the coming melody stand after the tokens.
    ///
    /// What was read piece by piece is remembered with another rounding than what was read one by one.
    pub struct Hashing {
        remembered: Vec<u64>,
        logits: Vec<f32>,
        /// Tokens read so far, padding not counted.
        work: Arc<AtomicUsize>,
        shape: fn(Token, f32) -> f32,
    }

    impl Hashing {
        pub fn new(shape: fn(Token, f32) -> f32) -> Self {
            Self { remembered: Vec::new(), logits: Vec::new(), work: Arc::default(), shape }
        }

        fn remember(&mut self, past: usize, token: Token, condition: &Condition, rounding: u64) {
            assert!(past <= self.remembered.len(), "the network was not shown what it is to remember");
            self.remembered.truncate(past);
            let before = self.remembered.last().copied().unwrap_or(17);
            let bits = condition.iter().fold(rounding, |bits, value| mixed(bits ^ u64::from(value.to_bits())));
            self.remembered.push(mixed(before ^ bits ^ u64::from(token) << 16 ^ past as u64));
            self.work.fetch_add(1, Ordering::Relaxed);
        }

        fn logits(&mut self) -> &[f32] {
            let seed = *self.remembered.last().expect("something was read");
            let logit = |token: Token| (mixed(seed ^ u64::from(token)) % 1000) as f32 / 200.0;
            self.logits = (0..OUTPUTS as Token).map(|token| (self.shape)(token, logit(token))).collect();
            &self.logits
        }
    }

    const LOUDNESS: Token = VOCABULARY as Token;
    const COMING: Token = LOUDNESS + LOUDNESS_CLASSES as Token;
    const OUTPUTS: usize = COMING as usize + 12;

    fn mixed(number: u64) -> u64 {
        let number = (number ^ (number >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        number ^ (number >> 29)
    }

    impl Network for Hashing {
        fn read_piece(&mut self, past: usize, tokens: &[Token], conditions: &[Condition]) -> Result<&[f32], String> {
            assert!(past.is_multiple_of(32) && (1..=32).contains(&tokens.len()));
            for (index, (token, condition)) in tokens.iter().zip(conditions).enumerate() {
                self.remember(past + index, *token, condition, 0);
            }
            Ok(self.logits())
        }

        fn read_one(&mut self, past: usize, token: Token, condition: &Condition) -> Result<&[f32], String> {
            self.remember(past, token, condition, 1);
            Ok(self.logits())
        }
    }

    struct Failing;

    impl Network for Failing {
        fn read_piece(&mut self, _: usize, _: &[Token], _: &[Condition]) -> Result<&[f32], String> {
            Err("the device is gone".into())
        }

        fn read_one(&mut self, _: usize, _: Token, _: &Condition) -> Result<&[f32], String> {
            Err("the device is gone".into())
        }
    }

    /// Parts end soon enough for music: notes and positions are a little less likely than the end.
    fn musical(token: Token, logit: f32) -> f32 {
        if token < 16 { logit + 4.0 } else { logit }
    }

    fn transformer(shape: fn(Token, f32) -> f32) -> Transformer {
        Transformer::new(contract(), Box::new(Hashing::new(shape)))
    }

    fn song(bars: i32) -> Vec<Note> {
        let note = |beat: i32| Note {
            start: 12 * beat,
            key: Key::folded(60 + beat * 7 % 12),
            duration: 10 + beat % 5,
            velocity: Velocity::default(),
        };
        (0..4 * bars).map(note).collect()
    }

    /// A request with usual settings, asking for bass and chords.
    fn request<'a>(
        ask: Ask,
        melody: &'a [Note],
        past: &'a [SegmentAnswer],
        chords: &'a [Option<PlannedChord>],
        settings: &'a Settings,
    ) -> Request<'a> {
        let parts = PerPart::from_fn(|part| settings.part_is_on(part));
        Request {
            ask,
            melody,
            past,
            chords,
            parts,
            standing: &[],
            settings,
            quarters_per_minute: 100.0,
            margin: 2,
            seed: 9,
        }
    }

    fn given(text: &str) -> Option<PlannedChord> {
        let chord = (text != "N.C.").then(|| text.parse().expect("a chord"));
        Some(PlannedChord { chord, source: PlanSource::User })
    }

    fn answers(transformer: &mut Transformer, request: &Request<'_>) -> Vec<SegmentAnswer> {
        let mut notes = Vec::new();
        let chords = transformer.answer(request, &mut |note| notes.push(note)).expect("the network works");
        let segments: Vec<Segment> = request.ask.segments().collect();
        assert_eq!(chords.len(), segments.len());
        let of = |segment: &Segment| {
            let within = |note: &&PartNote| (segment.start()..segment.end()).contains(&note.note.start);
            notes.iter().filter(within).copied().collect::<Vec<_>>()
        };
        assert_eq!(segments.iter().map(|segment| of(segment).len()).sum::<usize>(), notes.len(), "onsets lie in them");
        let answer = |(segment, chord): (&Segment, PlannedChord)| SegmentAnswer {
            segment: *segment,
            chord,
            notes: of(segment),
            settings: *request.settings,
            quarters_per_minute: request.quarters_per_minute,
            margin: request.margin,
        };
        segments.iter().zip(chords).map(answer).collect()
    }

    /// Plays a song with one transformer, and each answer also with one that has read nothing.
    fn play(arrange: bool, bars: i32, shape: fn(Token, f32) -> f32) -> (Vec<SegmentAnswer>, usize) {
        let (answers, work) = play_with(arrange, bars, shape, false);
        (answers, work.iter().sum())
    }

    /// The same, with the tokens that each answer reads; before it, what can be is read ahead.
    fn play_with(
        arrange: bool,
        bars: i32,
        shape: fn(Token, f32) -> f32,
        ahead: bool,
    ) -> (Vec<SegmentAnswer>, Vec<usize>) {
        let (melody, settings) = (song(bars), Settings::default());
        let network = Hashing::new(shape);
        let work = network.work.clone();
        let mut seasoned = Transformer::new(contract(), Box::new(network));
        let (mut past, mut read) = (Vec::new(), Vec::new());
        for bar in (0..bars).map(|index| Bar::of_constant_meter(index, Meter::COMMON)) {
            let asks: Vec<Ask> = if arrange { vec![Ask::Arrange(bar)] } else { bar.segments().map(Ask::Jam).collect() };
            for ask in asks {
                let heard = melody.partition_point(|note| note.start < ask.start());
                let known = request(ask, &melody[..heard], &past, &[None, None], &settings);
                while ahead && seasoned.read_ahead(&known) {}
                let request = request(ask, &melody, &past, &[None, None], &settings);
                let before = work.load(Ordering::Relaxed);
                let answer = answers(&mut seasoned, &request);
                read.push(work.load(Ordering::Relaxed) - before);
                assert_eq!(answers(&mut transformer(shape), &request), answer);
                past.extend(answer);
            }
        }
        (past, read)
    }

    #[test]
    fn what_was_read_ahead_is_not_read_when_it_is_wanted() {
        for arrange in [false, true] {
            let (answers, plain) = play_with(arrange, 40, musical, false);
            let (same, read) = play_with(arrange, 40, musical, true);
            assert!(answers == same, "an answer is the same");
            // The last piece is read in any case, and perhaps the one in which the melody went on; then what is written.
            let written = answers.iter().map(|answer| 2 * answer.notes.len() + 3).max().unwrap_or_default();
            let most = 2 * 32 + if arrange { 2 } else { 1 } * written + 2;
            assert!(
                read.iter().all(|read| *read <= most),
                "{} of {most}",
                read.iter().max().expect("there are answers")
            );
            let worst = plain.iter().max().expect("there are answers");
            assert!(worst > &(3 * most / 2), "{worst}: without, dropped bars cost the whole window");
        }
    }

    #[test]
    fn an_answer_depends_on_the_request_alone() {
        for arrange in [false, true] {
            let (answers, _) = play(arrange, 40, musical);
            let notes = answers.iter().map(|answer| answer.notes.len()).sum::<usize>();
            assert!(notes > 40, "{notes} notes are too few to tell");
        }
    }

    #[test]
    fn what_is_remembered_is_not_read_again() {
        let (answers, work) = play(true, 40, musical);
        let written: usize = answers.iter().map(|answer| answer.notes.len() * 2 + 3).sum();
        // Melodies, each bar's answer twice (written and read anew), at most a piece before it, and the window each time
        // that bars are dropped.
        let most = 2 * written + 40 * (10 + 32) + 10 * 352;
        assert!(work < most, "{work} tokens were read for {written} written; {most} should do");
    }

    #[test]
    fn only_the_parts_that_are_asked_for_are_written() {
        let melody = song(2);
        for part in PARTS {
            let mut settings = Settings::default();
            Part::ALL.into_iter().for_each(|other| settings.parts[other].on = other == part || other == Part::Pad);
            let bar = Bar::of_constant_meter(0, Meter::COMMON);
            let request = request(Ask::Arrange(bar), &melody, &[], &[None, None], &settings);
            let answers = answers(&mut transformer(|token, logit| if token == END { -9.0 } else { logit }), &request);
            let notes: Vec<&PartNote> = answers.iter().flat_map(|answer| &answer.notes).collect();
            assert!(!notes.is_empty() && notes.iter().all(|note| note.part == part), "{part:?}");
        }
    }

    #[test]
    fn a_part_is_written_to_those_that_stand() {
        let (melody, settings) = (song(2), Settings::default());
        let bar = Bar::of_constant_meter(0, Meter::COMMON);
        let chords = [given("C"), given("F")];
        let parts = PerPart::from_fn(|part| part == Part::Chords);
        let written_to = |bass: i32| {
            let note = Note { start: 6, key: Key::folded(bass), duration: 12, velocity: Velocity::default() };
            let standing = [PartNote::on_grid(Part::Bass, note)];
            let request = request(Ask::Arrange(bar), &melody, &[], &chords, &settings);
            let request = Request { parts, standing: &standing, ..request };
            let answers = answers(&mut transformer(|token, logit| if token == END { -9.0 } else { logit }), &request);
            answers.into_iter().flat_map(|answer| answer.notes).collect::<Vec<_>>()
        };
        let to_c = written_to(36);
        assert!(to_c.len() > 2 && to_c.iter().all(|note| note.part == Part::Chords), "{to_c:?}");
        assert_eq!(written_to(36), to_c);
        assert_ne!(written_to(41), to_c, "the bass is heard");
    }

    #[test]
    fn given_chords_are_kept_and_their_bass_begins() {
        let (melody, settings) = (song(2), Settings::default());
        let bar = Bar::of_constant_meter(0, Meter::COMMON);
        let chords = [given("C/E"), given("Dsus2")];
        for seed in 0..20 {
            let request = Request { seed, ..request(Ask::Arrange(bar), &melody, &[], &chords, &settings) };
            let answers = answers(&mut transformer(|token, logit| if token == 6 { -9.0 } else { logit }), &request);
            for (answer, (chord, bass)) in answers.iter().zip(chords.into_iter().flatten().zip([4, 2])) {
                assert_eq!(answer.chord, chord);
                let first = answer.notes.iter().find(|note| note.part == Part::Bass);
                assert!(first.is_none_or(|note| note.note.key.pitch_class() == PitchClass::new(bass)), "seed {seed}");
            }
            assert!(answers.iter().any(|answer| answer.notes.iter().any(|note| note.part == Part::Bass)));
        }
    }

    #[test]
    fn no_chord_is_silence() {
        let (melody, settings) = (song(2), Settings::default());
        let bar = Bar::of_constant_meter(0, Meter::COMMON);
        let chords = [given("C"), given("N.C.")];
        let request = request(Ask::Arrange(bar), &melody, &[], &chords, &settings);
        let answers = answers(&mut transformer(|token, logit| if token < 16 { -9.0 } else { logit }), &request);
        assert!(answers[0].notes.len() > 4 && answers[1].notes.is_empty());
        assert!(answers[0].notes.iter().all(|note| note.note.end() <= 24), "nothing sounds into it");
    }

    #[test]
    fn proposed_chords_say_so_and_keep_to_the_key() {
        let settings = Settings::default();
        let scale = [60, 62, 64, 65, 67, 69, 71, 72];
        let note = |(beat, key): (usize, &i32)| Note {
            start: 12 * beat as Ticks,
            key: Key::folded(*key),
            duration: 12,
            velocity: Velocity::default(),
        };
        let melody: Vec<Note> = scale.iter().enumerate().map(note).collect();
        let key = tonality_of(&melody, 96).scale();
        let mut inside = 0;
        for segment in (2..32).flat_map(|index| Bar::of_constant_meter(index, Meter::COMMON).segments()) {
            let request = request(Ask::Jam(segment), &melody, &[], &[None], &settings);
            let chord = answers(&mut transformer(musical), &request)[0].chord;
            assert_eq!(chord.source, PlanSource::Proposed);
            let chord = chord.chord.expect("a band that jams plays");
            inside += usize::from(chord.classes().all(|class| key.contains(class)));
        }
        // A network that knows nothing would stay inside with about one chord in five.
        assert!(inside > 45, "{inside} of 60 chords are in C major");
    }

    #[test]
    fn proposed_chords_have_the_melody_that_is_expected() {
        let (melody, settings) = (song(8), Settings::default());
        let share = |shape: fn(Token, f32) -> f32| {
            let segments = (8..28).flat_map(|index| Bar::of_constant_meter(index, Meter::COMMON).segments());
            let fits = segments.filter(|segment| {
                let request = request(Ask::Jam(*segment), &melody, &[], &[None], &settings);
                let chord = answers(&mut transformer(shape), &request)[0].chord.chord.expect("a band that jams plays");
                chord.class_set().contains(PitchClass::new(8))
            });
            fits.count()
        };
        // Nobody knows the melody, and everybody expects an A flat.
        let (blind, foreseeing) = (
            share(|token, logit| if token >= COMING { -4.0 } else { logit }),
            share(|token, logit| match token {
                0..COMING => logit,
                _ => {
                    if token == COMING + 8 {
                        4.0
                    } else {
                        -6.0
                    }
                }
            }),
        );
        assert!(foreseeing > 30 && foreseeing > blind + 10, "{foreseeing} of 40 chords have it, {blind} by chance");
    }

    #[test]
    fn notes_go_along_with_the_melody_that_is_expected() {
        let (melody, settings) = (song(8), Settings::default());
        let share = |shape: fn(Token, f32) -> f32| {
            let segments = (8..28).flat_map(|index| Bar::of_constant_meter(index, Meter::COMMON).segments());
            let notes: Vec<PartNote> = segments
                .flat_map(|segment| {
                    let chords = [given("C")];
                    let request = request(Ask::Jam(segment), &melody, &[], &chords, &settings);
                    answers(&mut transformer(shape), &request).remove(0).notes
                })
                .collect();
            let along = notes.iter().filter(|note| note.note.key.pitch_class() == PitchClass::new(8));
            along.count() as f32 / notes.len() as f32
        };
        let blind = share(|token, logit| if token >= COMING { -9.0 } else { logit });
        let foreseeing = share(|token, logit| match token {
            0..COMING => logit,
            _ => {
                if token == COMING + 8 {
                    9.0
                } else {
                    -9.0
                }
            }
        });
        assert!(foreseeing > 2.0 * blind && blind > 0.02, "{blind} {foreseeing}");
    }

    #[test]
    fn notes_keep_to_a_chord_that_is_given() {
        let (melody, settings) = (song(8), Settings::default());
        let of_c = |given_chord: &str| {
            let chord: Chord = "C".parse().expect("a chord");
            let bars = (0..40).map(|index| Bar::of_constant_meter(index, Meter::COMMON));
            let notes = bars.flat_map(|bar| {
                let chords = [given(given_chord); 2];
                let request = request(Ask::Arrange(bar), &melody, &[], &chords, &settings);
                let answers = answers(&mut transformer(musical), &request);
                answers.into_iter().flat_map(|answer| answer.notes).collect::<Vec<_>>()
            });
            // The bass begins on the root anyway.
            let notes: Vec<PartNote> = notes.filter(|note| note.part == Part::Chords).collect();
            let within = notes.iter().filter(|note| chord.class_set().contains(note.note.key.pitch_class()));
            within.count() as f32 / notes.len() as f32
        };
        let (under_c, elsewhere) = (of_c("C"), of_c("F#"));
        let odds = |share: f32| share / (1.0 - share);
        let drawn = (odds(under_c) / odds(elsewhere)).ln();
        // By a chord that holds none of these notes they are also pushed away.
        assert!(drawn > FIDELITY, "{under_c} {elsewhere}");
    }

    #[test]
    fn as_many_notes_come_as_the_density_knob_asks_for() {
        let melody = song(16);
        let density = |knob: f32| {
            let settings = Settings { style: 0.0, density: knob, ..Settings::default() };
            let (mut transformer, mut past) = (transformer(musical), Vec::new());
            for index in 0..16 {
                let ask = Ask::Arrange(Bar::of_constant_meter(index, Meter::COMMON));
                past.extend(answers(&mut transformer, &request(ask, &melody, &past, &[None, None], &settings)));
            }
            let bass = past.iter().flat_map(|answer| &answer.notes).filter(|note| note.part == Part::Bass);
            bass.count() as f32 / 64.0
        };
        // The network has never heard of densities.
        for knob in [0.0, 0.2, 0.4] {
            let asked =
                asked_density(contract().palette(), &Settings { style: 0.0, density: knob, ..Settings::default() }, 0);
            let (asked, got) = (asked.expect("it is off the middle"), density(knob));
            assert!((got / asked).log2().abs() < 0.25, "asked for {asked} onsets a quarter, got {got}");
        }
    }

    /// A model that is sure of one class.
    fn as_loud_as<const CLASS: Token>(token: Token, logit: f32) -> f32 {
        match token {
            0..16 => logit + 2.0,
            16..LOUDNESS => logit,
            LOUDNESS..COMING => {
                if token == LOUDNESS + CLASS {
                    9.0
                } else {
                    -9.0
                }
            }
            COMING.. => logit,
        }
    }

    #[test]
    fn notes_are_as_loud_as_the_model_says() {
        let (melody, settings) = (song(2), Settings { style: 0.0, ..Settings::default() });
        let mean = |shape: fn(Token, f32) -> f32| {
            let ask = Ask::Arrange(Bar::of_constant_meter(1, Meter::COMMON));
            let answers = answers(&mut transformer(shape), &request(ask, &melody, &[], &[None, None], &settings));
            let notes: Vec<f32> = answers
                .iter()
                .flat_map(|answer| &answer.notes)
                .map(|note| f32::from(note.note.velocity.get()))
                .collect();
            assert!(notes.len() > 3);
            notes.iter().sum::<f32>() / notes.len() as f32
        };
        let (soft, loud) = (mean(as_loud_as::<3>), mean(as_loud_as::<9>));
        assert!((30.0..42.0).contains(&(loud - soft)), "{soft} {loud}");
    }

    #[test]
    fn a_part_that_has_rested_long_comes_back() {
        let (melody, settings) = (song(8), Settings::default());
        let mut past = Vec::new();
        let mut played = [0, 0];
        for (index, played) in played.iter_mut().enumerate() {
            for seed in 0..200 {
                let ask = Ask::Arrange(Bar::of_constant_meter(3, Meter::COMMON));
                let request = Request { seed, ..request(ask, &melody, &past, &[None, None], &settings) };
                // One position in fifty times: such a part hardly ever begins.
                let mut transformer = transformer(|token, _| if (16..64).contains(&token) { -4.0 } else { 3.0 });
                let notes = answers(&mut transformer, &request).into_iter().flat_map(|answer| answer.notes);
                *played += usize::from(notes.filter(|note| note.part == Part::Bass).count() > 0);
            }
            if index == 0 {
                let bars = (0..3).flat_map(|index| Bar::of_constant_meter(index, Meter::COMMON).segments());
                let rested = |segment| SegmentAnswer {
                    segment,
                    chord: given("C").expect("a chord"),
                    notes: Vec::new(),
                    settings,
                    quarters_per_minute: 120.0,
                    margin: 2,
                };
                past = bars.map(rested).collect();
            }
        }
        assert!(played[1] > 3 * played[0] / 2, "{played:?} of 200 bars");
    }

    #[test]
    fn before_anything_is_heard_the_band_listens() {
        let (melody, settings) = (song(1), Settings::default());
        let segment = Bar::of_constant_meter(0, Meter::COMMON).segments().next().expect("a bar has segments");
        let ask = |chords| {
            let request = request(Ask::Jam(segment), &melody, &[], chords, &settings);
            answers(&mut transformer(|token, logit| if token == END { -9.0 } else { logit }), &request)
        };
        let listening = &ask(&[None])[0];
        assert_eq!((listening.chord.chord, listening.notes.len()), (None, 0));
        assert!(!ask(&[given("F")])[0].notes.is_empty(), "a given chord needs no melody");
    }

    #[test]
    fn playing_may_begin_inside_a_bar() {
        let (melody, settings) = (song(1), Settings::default());
        let segment = Bar::of_constant_meter(3, Meter::COMMON).segments().last().expect("a bar has segments");
        let chords = [given("F")];
        let request = request(Ask::Jam(segment), &melody, &[], &chords, &settings);
        let answers = answers(&mut transformer(|token, logit| if token == END { -9.0 } else { logit }), &request);
        assert!(!answers[0].notes.is_empty());
    }

    #[test]
    fn a_model_that_never_ends_is_ended() {
        let (answers, _) = play(true, 3, |token, logit| if token < 16 { -1e6 } else { logit });
        let notes = answers.iter().map(|answer| answer.notes.len()).max();
        // It plays on at nearly every place that the grammar leaves it.
        assert!(notes.is_some_and(|notes| notes >= 20), "{notes:?}");
        let (_, work) = play(false, 3, |token, logit| if (64..1505).contains(&token) { logit } else { 9.0 + logit });
        assert!(work < 10_000, "{work}");
    }

    #[test]
    fn a_broken_model_is_an_error_in_words() {
        let (melody, settings) = (song(1), Settings::default());
        let bar = Bar::of_constant_meter(0, Meter::COMMON);
        let request = request(Ask::Arrange(bar), &melody, &[], &[None, None], &settings);
        let error =
            |mut transformer: Transformer| transformer.answer(&request, &mut |_| {}).expect_err("broken").to_string();
        assert_eq!(error(transformer(|_, _| f32::NAN)), "what it computed is not a number");
        assert_eq!(error(Transformer::new(contract(), Box::new(Failing))), "the device is gone");
    }

    #[test]
    fn a_metre_it_does_not_know_is_refused() {
        let transformer = transformer(musical);
        let plays = |beats, unit| transformer.plays(Meter::new(beats, unit).expect("a metre"));
        assert_eq!([(4, 4), (3, 4), (2, 4), (6, 8), (2, 2)].map(|(b, u)| plays(b, u)), [true; 5]);
        assert_eq!([(5, 4), (12, 8), (3, 8)].map(|(b, u)| plays(b, u)), [false; 3]);
    }
}
