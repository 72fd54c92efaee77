//! Carries a melody on with a transformer over bar tokens (`docs/encoding.md`), bar by bar. Mirrors
//! `models/obbligato_models/extend/play.py`.

use super::GeneratorError;
use super::context::Context;
use super::controls::{Condition, plain_condition};
use super::dynamics::Dynamics;
use super::encoding::{Meaning, START, Token, bar_token, chord_token, meaning, metre, write_melody};
use super::grammar::{PartGrammar, Stretch};
use super::reader::{Network, Reader};
use super::rolls::as_line;
use super::sampling::{Boldness, Dice, pick};
use crate::contract::extender::ExtenderControls;
use crate::contract::{Contract, LOUDNESS_CLASSES, VOCABULARY};
pub use crate::settings::Sampling;

use crate::music::{Bar, BarIndex, Chord, Key, Meter, Note, Part, Segment, Song, Style, Ticks};
use crate::settings::ExtendSettings;

/// Of one bar; a bar begins only with so many places of the window free.
const MOST_TOKENS: usize = 64;
/// The last of them bring a bar to its end.
const LAST_TOKENS: usize = 4;
/// Bars for which the window has room after what is listened to.
const ROOM: usize = 4 * MOST_TOKENS;
/// Tokens of a bar that was stopped in, at most: the last of them.
const MOST_GIVEN: usize = 2 * MOST_TOKENS;
/// Times the creative risk: the temperature of the chords.
const CHORD_COOLNESS: f32 = 0.7;
/// Bars after which a melody comes back to what it had.
const PHRASES: [usize; 2] = [8, 4];
/// Bars on end in which a melody that is alive may strike nothing: 2 of 968 bars of people were the third of a rest.
const MOST_RESTS: usize = 2;
/// Nats by which what goes on as the bar a phrase before is favoured; chosen on training songs, so that melodies come back as
/// often as people's.
const COMES_BACK: f32 = 1.0;
const TOP_P: f32 = 0.95;
const TOP_K: usize = 12;

/// What the user asks for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Wish {
    /// To be written, the one that was stopped in included.
    pub bars: usize,
    /// Bars of what was heard that are listened back to.
    pub listen: usize,
    pub sampling: Sampling,
    /// Creative risk; 1 is as the model was trained, near 0 always the likeliest is taken.
    pub temperature: f32,
    /// Place in the palette of [`Style`].
    pub style: f32,
    pub seed: u64,
}

impl Default for Wish {
    /// As the plugin has it, for longer.
    fn default() -> Self {
        let ExtendSettings { risk, sampling, listen, .. } = ExtendSettings::default();
        Self { bars: 8, listen: listen.into(), sampling, temperature: risk, style: Style::BY_EAR, seed: 1 }
    }
}

/// How the melody goes on.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Extension {
    /// By start and key.
    pub notes: Vec<Note>,
    /// The chords that the notes were written to, where any are known.
    pub chords: Vec<(Segment, Option<Chord>)>,
}

/// Says the chord of a segment where it is known; the inner `None` is N.C.
pub type KnownChords<'a> = &'a dyn Fn(&Segment) -> Option<Option<Chord>>;

pub struct Extender {
    contract: Contract<ExtenderControls>,
    reader: Reader,
}

impl Extender {
    pub fn new(contract: Contract<ExtenderControls>, network: Box<dyn Network>) -> Self {
        Self { contract, reader: Reader::new(network) }
    }

    /// As shown to the user.
    pub fn name(&self) -> &str {
        &self.contract.name
    }

    pub fn device(&self) -> Option<String> {
        self.reader.device()
    }

    /// Carries the song's melody on from a tick, which may lie inside a bar; what the song has from there on is not heard.
    ///
    /// Metres that the model does not know are read as bars of 4/4 that count from the bar in which it goes on, without chords.
    ///
    /// # Errors
    /// When the network fails.
    pub fn extend(
        &mut self,
        song: &Song,
        from: Ticks,
        chords: KnownChords<'_>,
        wish: &Wish,
    ) -> Result<Extension, GeneratorError> {
        let grid = Grid::of(song, from, wish.bars);
        let mut writer = Writer::new(&self.contract, &mut self.reader, song, from, &grid, chords, wish);
        for bar in &grid.coming {
            writer.write_bar(*bar)?;
        }
        Ok(writer.finish(from))
    }
}

/// The bars as the model reads them.
#[derive(Debug, Clone, PartialEq)]
struct Grid {
    /// Before the one in which it goes on.
    heard: Vec<Bar>,
    coming: Vec<Bar>,
    /// Nothing is struck from here on.
    end: Ticks,
    /// Whether they are the song's.
    own: bool,
}

impl Grid {
    fn of(song: &Song, from: Ticks, bars: usize) -> Self {
        let from = from.max(0);
        let all = || song.bars_until(Ticks::MAX);
        let coming: Vec<Bar> = all().skip_while(|bar| bar.end() <= from).take(bars).collect();
        let (Some(first), Some(last)) = (coming.first(), coming.last()) else {
            return Self { heard: Vec::new(), coming, end: from, own: true };
        };
        let (line, end) = (first.start, last.end());
        if coming.iter().all(|bar| metre(bar.meter).is_some()) {
            let mut heard: Vec<Bar> = all().take_while(|bar| bar.start < line).collect();
            let known = heard.iter().rev().take_while(|bar| metre(bar.meter).is_some()).count();
            heard.drain(..heard.len() - known);
            return Self { heard, coming, end, own: true };
        }
        let length = Meter::COMMON.bar_length();
        let bar = |number: i32| Bar {
            index: BarIndex(first.index.0 + number),
            start: line + number * length,
            meter: Meter::COMMON,
        };
        let (before, after) = (line / length, (end - line + length - 1) / length);
        Self { heard: (-before..0).map(bar).collect(), coming: (0..after).map(bar).collect(), end, own: false }
    }
}

struct Writer<'a> {
    contract: &'a Contract<ExtenderControls>,
    reader: &'a mut Reader,
    song: &'a Song,
    from: Ticks,
    grid: &'a Grid,
    known: KnownChords<'a>,
    wish: &'a Wish,
    with_chords: bool,
    /// Whether one note is struck at a time.
    is_line: bool,
    /// Heard and written, by start and key.
    melody: Vec<Note>,
    /// Heard and written, with the chords of their segments.
    bars: Vec<(Bar, Vec<Token>)>,
    /// All tokens since it listened back. The reader is shown those that are new when it is asked what comes next.
    context: Context,
    dice: Dice,
    dynamics: Dynamics,
}

impl<'a> Writer<'a> {
    fn new(
        contract: &'a Contract<ExtenderControls>,
        reader: &'a mut Reader,
        song: &'a Song,
        from: Ticks,
        grid: &'a Grid,
        known: KnownChords<'a>,
        wish: &'a Wish,
    ) -> Self {
        let melody: Vec<Note> = song.melody.iter().filter(|note| note.start < from).copied().collect();
        let chords_of = |bar: &Bar| -> Option<Vec<Token>> {
            bar.segments().map(|segment| known(&segment).filter(|_| grid.own).map(chord_token)).collect()
        };
        let heard: Vec<Option<Vec<Token>>> = grid.heard.iter().map(chords_of).collect();
        let given = grid.coming.iter().any(|bar| chords_of(bar).is_some());
        let with_chords = given || (!heard.is_empty() && heard.iter().all(Option::is_some));
        let chords = |chords: Option<Vec<Token>>| chords.filter(|_| with_chords).unwrap_or_default();
        let bars = grid.heard.iter().copied().zip(heard.into_iter().map(chords)).collect();
        Self {
            contract,
            reader,
            song,
            from,
            grid,
            known,
            wish,
            with_chords,
            is_line: melody.windows(2).all(|pair| pair[0].start < pair[1].start),
            dynamics: Dynamics::of_melody(&melody),
            melody,
            bars,
            context: Context::default(),
            dice: Dice::new(wish.seed),
        }
    }

    fn write_bar(&mut self, bar: Bar) -> Result<(), GeneratorError> {
        if self.context.is_empty() || self.context.len() + MOST_TOKENS > self.contract.window {
            self.listen();
        }
        let condition = self.condition(&bar);
        // The first token of all has the condition of what follows it.
        if self.context.is_empty() {
            self.context.push(START, condition);
        }
        metre(bar.meter).into_iter().for_each(|metre| self.context.push(bar_token(metre), condition));
        let chords = self.chords(&bar, condition)?;
        let mut heard = Vec::new();
        write_melody(&mut heard, &bar, &self.melody);
        let is_position = |token: &Token| matches!(meaning(*token), Some(Meaning::Position(_)));
        let surplus = heard.len().saturating_sub(MOST_GIVEN);
        heard.drain(..heard.iter().skip(surplus).position(is_position).map_or(0, |next| surplus + next));
        let given = heard.len();
        self.context.append(Context::constant(heard, condition));
        let notes = self.notes(&bar, given, condition)?;
        self.melody.extend(notes);
        self.melody.sort_unstable();
        self.bars.push((bar, chords));
        Ok(())
    }

    /// Reads the last bars anew, as many as are asked for and fit.
    fn listen(&mut self) {
        let written = self.bars.len() - self.grid.heard.len();
        let first = self.bars.len().saturating_sub(self.wish.listen.max(written));
        let mut bars: Vec<Context> = self.bars[first..].iter().map(|(bar, chords)| self.tokens(bar, chords)).collect();
        let mut length: usize = 1 + bars.iter().map(Context::len).sum::<usize>();
        let dropped = bars.iter().take_while(|bar| {
            let fits = length + ROOM <= self.contract.window;
            length -= if fits { 0 } else { bar.len() };
            !fits
        });
        let dropped = dropped.count();
        self.reader.begin();
        self.context = Context::default();
        for bar in bars.drain(..).skip(dropped) {
            if self.context.is_empty() {
                let first = bar.conditions.first().copied();
                first.into_iter().for_each(|condition| self.context.push(START, condition));
            }
            self.context.append(bar);
        }
    }

    /// A bar as it was heard or written.
    fn tokens(&self, bar: &Bar, chords: &[Token]) -> Context {
        let mut tokens: Vec<Token> =
            metre(bar.meter).map(bar_token).into_iter().chain(chords.iter().copied()).collect();
        write_melody(&mut tokens, bar, &self.melody);
        Context::constant(tokens, self.condition(bar))
    }

    fn condition(&self, bar: &Bar) -> Condition {
        let tempo = self.song.tempo_at(bar.start) as f32;
        plain_condition(self.contract.styles.len(), self.wish.style, tempo, bar.index)
    }

    /// Those that are given, else the model's own. Where nobody knows any it goes without.
    fn chords(&mut self, bar: &Bar, condition: Condition) -> Result<Vec<Token>, GeneratorError> {
        let mut chords = Vec::new();
        let with_chords = self.with_chords;
        for segment in bar.segments().filter(|_| with_chords) {
            let token = match (self.known)(&segment) {
                Some(chord) => chord_token(chord),
                None => {
                    let is_chord = |token| matches!(meaning(token), Some(Meaning::Chord(_)));
                    self.draw(CHORD_COOLNESS * self.wish.temperature, &[], is_chord)?.0
                }
            };
            self.context.push(token, condition);
            chords.push(token);
        }
        Ok(chords)
    }

    /// Until the model begins another bar. `given`: so many tokens of the bar's own notes were heard.
    fn notes(&mut self, bar: &Bar, given: usize, condition: Condition) -> Result<Vec<Note>, GeneratorError> {
        let Some(then) = metre(bar.meter).map(bar_token) else { return Ok(Vec::new()) };
        let (start, end) = ((self.from - bar.start).max(0), bar.end().min(self.grid.end) - bar.start);
        let anywhere = Stretch { start, end, silent: false, bass: None, chord: None };
        // A bass has one note at a position, as a melody that is a line; the others as many as any melody.
        let part = if self.is_line { Part::Bass } else { Part::Counter };
        let mut grammar = PartGrammar::new(part, then, vec![anywhere]);
        let mut notes = Vec::new();
        let mut chosen: Option<(Ticks, Key, Ticks)> = None;
        let (phrases, first) = (self.a_phrase_before(bar, then), self.context.len() - given);
        let strikes = given == 0 && self.has_rested();
        for _ in given..MOST_TOKENS - LAST_TOKENS {
            let written = &self.context.tokens[first..];
            let known = phrases.iter().filter_map(|bar| bar.strip_prefix(written)?.first().copied());
            let known: Vec<Token> = known.collect();
            let may_end = !strikes || !written.is_empty();
            let allowed = |token| grammar.allows(token) && (may_end || token != then);
            let (token, loudness) = self.draw(self.wish.temperature, &known, allowed)?;
            // Only now has the model said how loud the note before is.
            notes.extend(chosen.take().map(|chosen| self.note(bar, chosen, &loudness)));
            if token == then {
                return Ok(notes);
            }
            self.context.push(token, condition);
            chosen = grammar.take(token);
        }
        let loudness = [0.0; LOUDNESS_CLASSES].map(|_: f32| f32::NAN);
        notes.extend(chosen.take().map(|chosen| self.note(bar, chosen, &loudness)));
        Ok(notes)
    }

    fn note(&mut self, bar: &Bar, chosen: (Ticks, Key, Ticks), loudness: &[f32; LOUDNESS_CLASSES]) -> Note {
        let (at, key, duration) = chosen;
        Note { start: bar.start + at, key, duration, velocity: self.dynamics.velocity(loudness, &mut self.dice) }
    }

    /// As long as a melody may, and it is still in the ear.
    fn has_rested(&self) -> bool {
        let is_struck = |bar: &Bar| self.melody.iter().any(|note| (bar.start..bar.end()).contains(&note.start));
        let heard = self.bars.iter().rev().take(self.wish.listen).map(|(bar, _)| is_struck(bar));
        let struck: Vec<bool> = heard.collect();
        struck.contains(&true) && !struck.iter().take(MOST_RESTS).any(|struck| *struck)
    }

    /// The notes of the bars a phrase before, and what begins the bar after.
    fn a_phrase_before(&self, bar: &Bar, then: Token) -> Vec<Vec<Token>> {
        let before = PHRASES.iter().filter_map(|bars| self.bars.get(self.bars.len().checked_sub(*bars)?));
        let notes = before.filter(|(before, _)| before.meter == bar.meter).map(|(before, _)| {
            let mut tokens = Vec::new();
            write_melody(&mut tokens, before, &self.melody);
            tokens.push(then);
            tokens
        });
        notes.collect()
    }

    /// The token that comes next, and how loud the one before is. Those that are `known` from before are favoured.
    fn draw(
        &mut self,
        temperature: f32,
        known: &[Token],
        allowed: impl Fn(Token) -> bool,
    ) -> Result<(Token, [f32; LOUDNESS_CLASSES]), GeneratorError> {
        let said = self.reader.read(&self.context).map_err(GeneratorError)?;
        let (logits, said) = said.split_at(VOCABULARY);
        let mut loudness = [f32::NAN; LOUDNESS_CLASSES];
        loudness.copy_from_slice(&said[..LOUDNESS_CLASSES]);
        let favoured = |token| if known.contains(&token) { COMES_BACK } else { 0.0 };
        let choices = (0..VOCABULARY as Token).zip(logits).map(|(token, logit)| (token, logit + favoured(token)));
        let mut choices: Vec<(Token, f32)> = choices.filter(|(token, _)| allowed(*token)).collect();
        if self.wish.sampling == Sampling::TopK {
            choices.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            choices.truncate(TOP_K);
        }
        let top_p = if self.wish.sampling == Sampling::Nucleus { TOP_P } else { 1.0 };
        let token = pick(&choices, Boldness { temperature, top_p }, &mut self.dice);
        Ok((token.ok_or_else(|| GeneratorError("what it computed is not a number".into()))?, loudness))
    }

    fn finish(self, from: Ticks) -> Extension {
        let mut notes: Vec<Note> = self.melody.into_iter().filter(|note| note.start >= from).collect();
        if self.is_line {
            as_line(&mut notes);
        }
        let written = self.bars.iter().skip(self.grid.heard.len());
        let chords = written.flat_map(|(bar, chords)| bar.segments().zip(chords)).map(|(segment, token)| {
            let chord = match meaning(*token) {
                Some(Meaning::Chord(chord)) => chord,
                _ => None,
            };
            (segment, chord)
        });
        Extension { notes, chords: chords.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::super::transformer::tests::Hashing;
    use super::*;
    use crate::contract::extender::tests::contract;
    use crate::music::Velocity;
    use proptest::prelude::*;

    /// Bars end soon enough for music.
    fn musical(token: Token, logit: f32) -> f32 {
        if token < 16 { logit + 3.0 } else { logit }
    }

    fn extender() -> Extender {
        Extender::new(contract(), Box::new(Hashing::new(musical)))
    }

    fn note(start: Ticks, key: i32) -> Note {
        Note { start, key: Key::folded(key), duration: 12, velocity: Velocity::clamped(60) }
    }

    /// A note on each quarter of so many bars.
    fn song(bars: i32, meter: Meter) -> Song {
        let beats = bars * meter.bar_length() / 12;
        let melody = (0..beats).map(|beat| note(12 * beat, 60 + beat * 7 % 12)).collect();
        Song { melody, meters: vec![(0, meter)], ..Song::default() }
    }

    fn nobody_knows(_: &Segment) -> Option<Option<Chord>> {
        None
    }

    fn extend(song: &Song, from: Ticks, wish: &Wish) -> Extension {
        extender().extend(song, from, &nobody_knows, wish).expect("the network works")
    }

    #[test]
    fn it_goes_on_for_as_many_bars_as_are_asked_for() {
        let song = song(4, Meter::COMMON);
        let found = extend(&song, 192, &Wish { bars: 6, ..Wish::default() });
        assert!(found.notes.iter().all(|note| (192..192 + 6 * 48).contains(&note.start)), "{:?}", found.notes);
        assert!(found.notes.last().is_some_and(|last| last.start >= 192 + 3 * 48), "{:?}", found.notes);
        assert!(found.notes.windows(2).all(|pair| pair[0].end() <= pair[1].start), "a line stays a line");
        assert!(found.notes.iter().all(|note| note.velocity.get().abs_diff(60) <= 40), "about as loud");
        assert_eq!(found.chords, [], "nobody knows any");
        assert_eq!(extend(&song, 192, &Wish { bars: 0, ..Wish::default() }), Extension::default());
    }

    #[test]
    fn an_answer_depends_on_what_is_asked_alone() {
        let mut seasoned = extender();
        for seed in 0..4 {
            let (song, wish) = (song(3 + seed, Meter::COMMON), Wish { bars: 12, seed: seed as u64, ..Wish::default() });
            let from = song.end();
            let found = seasoned.extend(&song, from, &nobody_knows, &wish).expect("the network works");
            assert_eq!(found, extend(&song, from, &wish));
            assert_ne!(found, extend(&song, from, &Wish { seed: 99, ..wish }));
        }
    }

    #[test]
    fn a_player_who_stops_within_a_bar_is_carried_on_from_there() {
        let song = song(4, Meter::COMMON);
        let found = extend(&song, 100, &Wish { bars: 2, ..Wish::default() });
        assert!(found.notes.iter().all(|note| (100..192).contains(&note.start)), "{:?}", found.notes);
        assert!(found.notes.iter().any(|note| note.start < 144), "{:?}", found.notes);
        let mut cut = song.clone();
        cut.melody.retain(|note| note.start < 100);
        assert_eq!(extend(&cut, 100, &Wish { bars: 2, ..Wish::default() }), found, "what comes later is not heard");
    }

    #[test]
    fn chords_are_those_that_are_known() {
        let song = song(2, Meter::COMMON);
        let names = ["C", "Am", "F", "G7"];
        let chord = |segment: &Segment| names[segment.bar.index.0 as usize % 4].parse().ok();
        let everywhere = |segment: &Segment| Some(chord(segment));
        let wish = Wish { bars: 2, ..Wish::default() };
        let found = extender().extend(&song, 96, &everywhere, &wish).expect("the network works");
        let said: Vec<String> =
            found.chords.iter().filter_map(|(_, chord)| Some(chord.as_ref()?.to_string())).collect();
        assert_eq!(said, ["F", "F", "G7", "G7"]);
        let heard = |segment: &Segment| (segment.start() < 96).then(|| chord(segment));
        let found = extender().extend(&song, 96, &heard, &wish).expect("the network works");
        assert_eq!(found.chords.len(), 4, "where they were known it thinks of some");
        let once = |segment: &Segment| (segment.start() == 0).then(|| chord(segment));
        assert_eq!(extender().extend(&song, 96, &once, &wish).expect("the network works").chords, []);
    }

    #[test]
    fn cool_it_is_always_the_likeliest_and_hot_samplings_differ() {
        let song = song(4, Meter::COMMON);
        let play = |sampling, temperature| extend(&song, 192, &Wish { sampling, temperature, ..Wish::default() });
        let places = |found: Extension| found.notes.iter().map(|note| (note.start, note.key)).collect::<Vec<_>>();
        let cool = [Sampling::Nucleus, Sampling::TopK, Sampling::Random].map(|sampling| places(play(sampling, 0.0)));
        assert!(cool[0] == cool[1] && cool[1] == cool[2]);
        let hot = [Sampling::Nucleus, Sampling::TopK, Sampling::Random].map(|sampling| places(play(sampling, 2.0)));
        assert!(hot[0] != hot[1] && hot[1] != hot[2] && hot[0] != hot[2]);
    }

    #[test]
    fn where_nothing_is_likelier_a_melody_comes_back_to_what_it_had() {
        let mut indifferent = Extender::new(contract(), Box::new(Hashing::new(|_, _| 0.0)));
        let (song, wish) = (song(4, Meter::COMMON), Wish { bars: 4, temperature: 0.0, ..Wish::default() });
        let found = indifferent.extend(&song, 192, &nobody_knows, &wish).expect("the network works");
        let place = |later: Ticks| move |note: &Note| (note.start + later, note.key, note.duration);
        let before: Vec<_> = song.melody.iter().map(place(192)).collect();
        assert_eq!(found.notes.iter().map(place(0)).collect::<Vec<_>>(), before);
    }

    #[test]
    fn it_rests_for_two_bars_on_end_and_no_longer() {
        let silent = |token: Token, _| if token < 16 { 9.0 } else { 0.0 };
        let mut silent = Extender::new(contract(), Box::new(Hashing::new(silent)));
        let mut bars_with_notes = |heard: i32, rest: i32| -> Vec<Ticks> {
            let (song, from) = (song(heard, Meter::COMMON), (heard + rest) * 48);
            let wish = Wish { bars: 6, temperature: 0.0, listen: 16, ..Wish::default() };
            let found = silent.extend(&song, from, &nobody_knows, &wish).expect("the network works");
            found.notes.iter().map(|note| (note.start - from) / 48).collect()
        };
        assert_eq!([bars_with_notes(4, 0), bars_with_notes(4, 1)], [[2, 5], [1, 4]]);
        assert!(bars_with_notes(4, 16).is_empty() && bars_with_notes(0, 4).is_empty(), "nothing is in the ear");
    }

    #[test]
    fn it_listens_back_as_far_as_it_is_asked_to_and_as_fits() {
        let (contract, song) = (contract(), song(100, Meter::COMMON));
        let grid = Grid::of(&song, 4800, 4);
        let bars = |listen| {
            let (wish, mut reader) = (Wish { listen, ..Wish::default() }, Reader::new(Box::new(Hashing::new(musical))));
            let mut writer = Writer::new(&contract, &mut reader, &song, 4800, &grid, &nobody_knows, &wish);
            writer.listen();
            writer.context.tokens.iter().filter(|token| **token == bar_token(0)).count()
        };
        assert_eq!([0, 1, 8, 16].map(bars), [0, 1, 8, 16]);
        assert_eq!(bars(80), (512 - ROOM - 1) / 9, "nine tokens a bar");
    }

    #[test]
    fn metres_that_the_model_does_not_know_are_read_as_common_time() {
        let five = Meter::new(5, 4).expect("usual");
        let song = song(4, five);
        let grid = Grid::of(&song, 240, 2);
        assert_eq!((grid.coming.len(), grid.end, grid.own), (3, 360, false));
        assert_eq!((grid.heard.len(), grid.coming[0].start), (5, 240));
        let found = extend(&song, 240, &Wish { bars: 2, ..Wish::default() });
        assert!(found.notes.iter().all(|note| (240..360).contains(&note.start)), "{:?}", found.notes);
        let waltz = Meter::new(3, 4).expect("usual");
        let changing = Song { meters: vec![(0, five), (60, waltz)], ..song };
        let grid = Grid::of(&changing, 132, 2);
        let starts: Vec<Ticks> = grid.heard.iter().chain(&grid.coming).map(|bar| bar.start).collect();
        assert_eq!((starts, grid.own), (vec![60, 96, 132, 168], true));
    }

    #[test]
    fn a_bar_that_is_as_full_as_can_be_fits_the_window() {
        let melody = (0..190).flat_map(|start| (60..66).map(move |key| note(start, key))).collect();
        let song = Song { melody, ..Song::default() };
        let found = extend(&song, 190, &Wish { bars: 12, ..Wish::default() });
        assert!(found.notes.iter().all(|note| note.start >= 190) && !found.notes.is_empty(), "{:?}", found.notes);
        let grid = Grid::of(&song, 190, 3);
        let (contract, wish, mut reader) =
            (contract(), Wish::default(), Reader::new(Box::new(Hashing::new(musical)) as Box<dyn Network>));
        let mut writer = Writer::new(&contract, &mut reader, &song, 190, &grid, &nobody_knows, &wish);
        for bar in &grid.coming {
            writer.write_bar(*bar).expect("the network works");
            assert!(writer.context.len() < contract.window, "{}", writer.context.len());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn whatever_was_played_can_be_carried_on(
            notes in proptest::collection::vec((0..400_i32, 0..128_i32), 0..40), chord in any::<bool>(),
            silence in 0..2_i32, bars in 0..20_usize, listen in 0..40_usize, from in 0..500_i32, seed in 0..100_u64,
        ) {
            let mut melody: Vec<Note> = notes.into_iter().map(|(start, key)| note(start, key)).collect();
            if chord {
                melody.extend((0..128).map(|key| note(96, key)));
            }
            melody.sort_unstable();
            let from = from + silence * 24 * 3600;
            let song = Song { melody, ..Song::default() };
            let wish = Wish { bars, listen, seed, ..Wish::default() };
            let found = extend(&song, from, &wish);
            prop_assert_eq!(&found, &extend(&song, from, &wish));
            let end = (from / 48 + bars as i32) * 48;
            for note in &found.notes {
                prop_assert!((from..end.max(from)).contains(&note.start) && note.duration >= 1);
            }
        }
    }
}
