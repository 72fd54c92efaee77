//! What a model is shown before it answers: the bars just before, as tokens with their conditions. Pure.
//!
//! A function of the request alone, so that the answer does not depend on how one came here.

use super::controls::{Condition, condition};
use super::encoding::{
    PARTS, START, Token, bar_token, chord_token, jam_token, metre, write_answer, write_heard, write_melody,
};
use super::{Ask, Request, SegmentAnswer};
use crate::contract::{CONDITIONS, Contract};
use crate::music::{Bar, PerPart, Segment, Ticks};

/// Tokens of the window that stay free for the bar that is written.
pub const RESERVE: usize = 160;
/// The oldest bars are dropped by so many at once: what stays can be kept in the model's cache meanwhile.
const BARS_AT_ONCE: i32 = 4;
/// Less than this is kept only when more does not fit.
const FEWEST_BARS: usize = 4;
/// Fewer than a generator is given (the arranger's memory), so that the oldest bar given does not matter.
const MOST_BARS: usize = 20;

/// Tokens from `START` on, each with its condition of `W` numbers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Context<const W: usize = CONDITIONS> {
    pub tokens: Vec<Token>,
    pub conditions: Vec<[f32; W]>,
}

impl Context {
    /// The past that fits, and the asked bar up to where the answer begins.
    ///
    /// Its conditions are those of the asked segment. In a jam, `imagined` segments of the bar are still missing.
    pub fn of(request: &Request<'_>, contract: &Contract) -> Self {
        let Some(metre) = metre(request.ask.bar().meter) else { return Self::default() };
        let shown = Shown { request, contract, metre };
        let asked = shown.condition_asked();
        let mut bars: Vec<(Bar, Self)> = Vec::new();
        let mut begun = Self::default();
        for answers in usable_bars(request) {
            let bar = answers[0].segment.bar;
            if bar == request.ask.bar() {
                begun = shown.jam_segments(answers);
            } else {
                bars.push((bar, shown.past_bar(answers)));
            }
        }
        let mut opening = shown.opening(begun.conditions.first().unwrap_or(&asked), &asked);
        opening.append(begun);
        let room = contract.window.saturating_sub(RESERVE + 1 + opening.tokens.len());
        let past = bars.split_off(first_shown(&bars, room));
        Self::joined(past, opening)
    }

    /// What was heard of a segment, in a request's melody and at its margin.
    pub fn hear(&mut self, segment: &Segment, request: &Request<'_>, condition: Condition) {
        let mut tokens = Vec::new();
        write_heard(&mut tokens, segment, request.melody, request.margin);
        self.append(Self::constant(tokens, condition));
    }

    /// `START` has the condition of what follows it.
    fn joined(past: Vec<(Bar, Self)>, opening: Self) -> Self {
        let mut context = Self { tokens: vec![START], conditions: Vec::new() };
        let first = past.first().map_or(&opening, |(_, bar)| bar).conditions.first().copied();
        context.conditions.extend(first);
        past.into_iter().for_each(|(_, bar)| context.append(bar));
        context.append(opening);
        context
    }
}

impl<const W: usize> Context<W> {
    /// Tokens that all have one condition.
    pub fn constant(tokens: Vec<Token>, condition: [f32; W]) -> Self {
        let conditions = vec![condition; tokens.len()];
        Self { tokens, conditions }
    }

    pub fn append(&mut self, more: Self) {
        self.tokens.extend(more.tokens);
        self.conditions.extend(more.conditions);
    }

    pub fn push(&mut self, token: Token, condition: [f32; W]) {
        self.tokens.push(token);
        self.conditions.push(condition);
    }

    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    pub fn truncate(&mut self, length: usize) {
        self.tokens.truncate(length);
        self.conditions.truncate(length);
    }

    /// Takes over `other`'s tokens from this one's length up to `length`.
    pub fn extend_from(&mut self, other: &Self, length: usize) {
        self.tokens.extend_from_slice(&other.tokens[self.tokens.len()..length]);
        self.conditions.extend_from_slice(&other.conditions[self.conditions.len()..length]);
    }

    /// How many tokens from the start are the same in both, conditions included.
    pub fn common_start(&self, other: &Self) -> usize {
        let ours = self.tokens.iter().zip(&self.conditions);
        let theirs = other.tokens.iter().zip(&other.conditions);
        ours.zip(theirs).take_while(|(a, b)| a == b).count()
    }
}

/// How the past is shown for one request.
struct Shown<'a> {
    request: &'a Request<'a>,
    contract: &'a Contract,
    metre: u8,
}

impl Shown<'_> {
    /// The asked bar's first tokens: with its melody when arranging.
    fn opening(&self, of_bar: &Condition, asked: &Condition) -> Context {
        match self.request.ask {
            Ask::Jam(_) => Context::constant(vec![jam_token(self.metre)], *of_bar),
            Ask::Arrange(bar) => {
                let mut tokens = vec![bar_token(self.metre)];
                write_melody(&mut tokens, &bar, self.request.melody);
                Context::constant(tokens, *asked)
            }
        }
    }

    fn condition_asked(&self) -> Condition {
        let request = self.request;
        condition(
            self.contract.palette(),
            request.settings,
            &request.playing(),
            request.quarters_per_minute,
            request.ask.bar().index,
        )
    }

    /// A whole bar of the past, in the layout that this request asks for.
    fn past_bar(&self, answers: &[SegmentAnswer]) -> Context {
        match self.request.ask {
            Ask::Arrange(_) => self.known_bar(answers),
            Ask::Jam(_) => {
                let answered = self.jam_segments(answers);
                let first = answered.conditions.first().copied().into_iter();
                let mut bar = Context { tokens: vec![jam_token(self.metre)], conditions: first.collect() };
                bar.append(answered);
                bar
            }
        }
    }

    fn known_bar(&self, answers: &[SegmentAnswer]) -> Context {
        let bar = answers[0].segment.bar;
        let of_segments: Vec<PerPart<bool>> = answers.iter().map(asked_of).collect();
        let asked = PerPart::from_fn(|part| of_segments.iter().any(|asked| asked[part]));
        let notes: Vec<_> = answers.iter().flat_map(|answer| answer.notes.iter().copied()).collect();
        let mut tokens = vec![bar_token(self.metre)];
        write_melody(&mut tokens, &bar, self.request.melody);
        tokens.extend(answers.iter().map(|answer| chord_token(answer.chord.chord)));
        write_answer(&mut tokens, &bar, (bar.start, bar.end()), &asked, &notes);
        Context::constant(tokens, self.condition_of(&answers[0], &asked))
    }

    /// Answered segments of one bar, each followed by what was heard of it when the next was asked for.
    fn jam_segments(&self, answers: &[SegmentAnswer]) -> Context {
        let mut context = Context::default();
        for answer in answers {
            let (segment, asked) = (&answer.segment, asked_of(answer));
            let mut tokens = vec![chord_token(answer.chord.chord)];
            write_answer(&mut tokens, &segment.bar, (segment.start(), segment.end()), &asked, &answer.notes);
            write_heard(&mut tokens, segment, self.request.melody, self.margin_after(segment.end()));
            context.append(Context::constant(tokens, self.condition_of(answer, &asked)));
        }
        context
    }

    fn condition_of(&self, answer: &SegmentAnswer, asked: &PerPart<bool>) -> Condition {
        condition(
            self.contract.palette(),
            &answer.settings,
            asked,
            answer.quarters_per_minute,
            answer.segment.bar.index,
        )
    }

    /// The margin at which hearing stopped for the segment that begins here.
    fn margin_after(&self, start: Ticks) -> Ticks {
        let next = self.request.past.iter().find(|answer| answer.segment.start() == start);
        next.map_or(self.request.margin, |answer| answer.margin)
    }
}

/// The parts that a past answer was asked for: those that were on, and those that have notes nevertheless.
fn asked_of(answer: &SegmentAnswer) -> PerPart<bool> {
    let has_notes = |part| answer.notes.iter().any(|note| note.part == part);
    PerPart::from_fn(|part| PARTS.contains(&part) && (answer.settings.part_is_on(part) || has_notes(part)))
}

/// Answers by bar, oldest first: an unbroken row of whole bars in the asked metre, and last the asked bar if it has begun.
fn usable_bars<'a>(request: &Request<'a>) -> Vec<&'a [SegmentAnswer]> {
    let mut bars = Vec::new();
    let (mut rest, mut next, asked) = (request.past, request.ask.start(), request.ask.bar());
    while let Some(last) = rest.last() {
        let bar = last.segment.bar;
        let first = rest.iter().rposition(|answer| answer.segment.bar != bar).map_or(0, |before| before + 1);
        let (before, answers) = rest.split_at(first);
        let whole = answers[0].segment.start() == bar.start;
        let joined = answers.windows(2).all(|pair| pair[0].segment.end() == pair[1].segment.start());
        if !(whole && joined && last.segment.end() == next && metre(bar.meter) == metre(asked.meter)) {
            break;
        }
        bars.push(answers);
        (rest, next) = (before, bar.start);
    }
    bars.reverse();
    bars
}

/// Index of the first bar that is shown: as many as fit, dropped by fours, at least the newest four if they fit.
fn first_shown(bars: &[(Bar, Context)], room: usize) -> usize {
    let tokens_from = |first: usize| bars[first..].iter().map(|(_, bar)| bar.len()).sum::<usize>();
    let fits = |first: &usize| tokens_from(*first) <= room && bars.len() - first <= MOST_BARS;
    let in_block = |first: &usize| {
        let (bar, _) = &bars[*first];
        (*first == 0 || bar.index.0.rem_euclid(BARS_AT_ONCE) == 0) && bars.len() - first >= FEWEST_BARS
    };
    let starts = 0..bars.len();
    starts.clone().filter(in_block).find(fits).or_else(|| starts.clone().find(fits)).unwrap_or(bars.len())
}

#[cfg(test)]
mod tests {
    use super::super::PartNote;
    use super::super::encoding::tests::{Case, cases};
    use super::*;
    use crate::contract::tests::contract;
    use crate::music::{Key, Meter, Note, Part, PlanSource, PlannedChord, Velocity};
    use crate::settings::Settings;

    /// What a request needs to refer to.
    struct Scene {
        melody: Vec<Note>,
        past: Vec<SegmentAnswer>,
        margin: Ticks,
        parts: PerPart<bool>,
    }

    impl Scene {
        fn of(case: &Case) -> Self {
            let parts = case.asked_parts();
            let mut settings = Settings::default();
            Part::ALL.into_iter().for_each(|part| settings.parts[part].on = parts[part]);
            let margin = case.margin();
            let answers = case.segments().into_iter().map(|(segment, chord, notes)| SegmentAnswer {
                segment,
                chord: PlannedChord { chord, source: PlanSource::User },
                notes: if PARTS.iter().any(|part| parts[*part]) { notes } else { Vec::new() },
                settings,
                quarters_per_minute: 120.0,
                margin,
            });
            Self { past: answers.collect(), melody: case.melody(), margin, parts }
        }

        /// `count` bars of 4/4 with a bass note in each half, from bar `first` on.
        fn plain(first: i32, count: i32) -> Self {
            let bars = (first..first + count).map(|index| Bar::of_constant_meter(index, Meter::COMMON));
            let answers = bars.flat_map(|bar| bar.segments()).map(|segment| {
                let note =
                    Note { start: segment.start(), key: Key::folded(40), duration: 24, velocity: Velocity::default() };
                SegmentAnswer {
                    segment,
                    chord: PlannedChord { chord: None, source: PlanSource::Rule },
                    notes: vec![PartNote::on_grid(Part::Bass, note)],
                    settings: Settings::default(),
                    quarters_per_minute: 120.0,
                    margin: 2,
                }
            });
            let parts = PerPart::from_fn(|part| part == Part::Bass);
            Self { past: answers.collect(), melody: Vec::new(), margin: 2, parts }
        }

        fn context(&self, ask: Ask) -> Context {
            self.context_after(&self.past, ask)
        }

        fn context_after(&self, past: &[SegmentAnswer], ask: Ask) -> Context {
            let request = Request {
                ask,
                melody: &self.melody,
                past,
                chords: &[None, None],
                parts: self.parts,
                standing: &[],
                settings: &Settings::default(),
                quarters_per_minute: 120.0,
                margin: self.margin,
                seed: 1,
            };
            Context::of(&request, &contract())
        }

        fn next_bar(&self) -> Bar {
            self.past.last().expect("there is a past").segment.bar.next()
        }
    }

    fn bars_in(context: &Context) -> usize {
        context.tokens.iter().filter(|token| (8..16).contains(*token)).count()
    }

    #[test]
    fn the_past_is_shown_in_the_tokens_that_python_writes() {
        for case in cases() {
            let scene = Scene::of(&case);
            let next = scene.next_bar();
            let (ask, begin) = match case.is_jam() {
                true => (Ask::Jam(next.segments().next().expect("a bar has segments")), 12),
                false => (Ask::Arrange(next), 8),
            };
            let context = scene.context(ask);
            let mut expected = case.tokens.clone();
            expected.push(begin + Token::from(metre(next.meter).expect("the model knows it")));
            assert_eq!(context.tokens, expected, "{}", case.name);
            assert_eq!(context.conditions.len(), expected.len());
        }
    }

    #[test]
    fn the_second_half_of_a_bar_sees_the_first() {
        let mut scene = Scene::plain(0, 2);
        let last = scene.past.pop().expect("four segments").segment;
        let context = scene.context(Ask::Jam(last));
        let half = [184, 5, 16, 185 + 15 * 19 + 11, 6, 2, 3];
        let second_half = [184, 5, 40, 185 + 15 * 19 + 11, 6, 2, 3];
        assert_eq!(context.tokens, [&[1, 12][..], &half, &second_half, &[12], &half].concat());
    }

    #[test]
    fn bars_are_dropped_by_fours_and_the_oldest_bar_given_does_not_matter() {
        let mut shown = Vec::new();
        for count in 1..60 {
            let scene = Scene::plain(2, count);
            let ask = Ask::Arrange(scene.next_bar());
            let context = scene.context(ask);
            assert!(context.len() + RESERVE <= contract().window);
            let remembered = &scene.past[scene.past.len().saturating_sub(2 * 24)..];
            assert_eq!(scene.context_after(remembered, ask), context, "{count} bars");
            shown.push(bars_in(&context) - 1);
        }
        assert_eq!(shown[..20], (1..=20).collect::<Vec<_>>());
        assert_eq!(shown[20..30], [19, 20, 17, 18, 19, 20, 17, 18, 19, 20]);
    }

    #[test]
    fn a_gap_another_metre_and_half_a_bar_end_what_is_shown() {
        let shown = |scene: &Scene| bars_in(&scene.context(Ask::Arrange(scene.next_bar()))) - 1;
        let mut gap = Scene::plain(0, 8);
        gap.past.drain(4..6);
        assert_eq!(shown(&gap), 5);
        let mut half = Scene::plain(0, 8);
        half.past.remove(0);
        assert_eq!(shown(&half), 7);
        let mut waltz = Scene::plain(0, 8);
        let three = Bar { meter: Meter::new(3, 4).expect("usual"), ..waltz.past[6].segment.bar };
        waltz.past[6].segment.bar = three;
        assert_eq!(shown(&waltz), 4);
        let far = Scene::plain(0, 8);
        let next = far.next_bar().next();
        assert_eq!(bars_in(&far.context(Ask::Arrange(next))), 1);
    }

    #[test]
    fn dense_bars_leave_fewer_than_four_rather_than_none() {
        let mut scene = Scene::plain(0, 8);
        for answer in &mut scene.past {
            let (start, sample) = (answer.segment.start(), answer.notes[0]);
            let at = |tick| PartNote { note: Note { start: start + tick, ..sample.note }, ..sample };
            answer.notes = (0..24).map(at).collect();
        }
        let context = scene.context(Ask::Arrange(scene.next_bar()));
        assert_eq!(bars_in(&context) - 1, 3, "a bar is about a hundred tokens");
    }
}
