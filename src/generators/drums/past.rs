//! What the drummer is shown before a segment: the segments just before, as tokens with their conditions. Pure.
//!
//! A function of the request alone, so that the answer does not depend on how one came here.

use super::super::context::Context;
use super::super::encoding::metre;
use super::super::{Request, SegmentAnswer};
use super::conditions::Scene;
use super::encoding::{MOST_TOKENS, START, write_segment};
use crate::contract::Contract;
use crate::contract::drums::{CONDITIONS, DrumControls};
use crate::music::{Part, Segment};

/// The oldest bars are dropped two at once: what stays can be kept in the model's cache meanwhile.
const BARS_AT_ONCE: i32 = 2;
/// Four bars more are looked at for what is asked of the oldest, and the arranger's memory holds them all.
const MOST_BARS: i32 = 16;

pub type DrumContext = Context<CONDITIONS>;

/// `START` and the segments before `next` that belong together and fit; without any, `START` has no condition yet.
///
/// `answers` are those of the request and what has been written of it so far.
pub fn context_before(
    next: &Segment,
    answers: &[SegmentAnswer],
    request: &Request<'_>,
    contract: &Contract<DrumControls>,
) -> DrumContext {
    let usable = first_usable(next, answers)..answers.len();
    let scenes = usable.filter_map(|index| Scene::of(&answers[index], &answers[..index], request));
    let shown: Vec<(Segment, DrumContext)> = scenes.map(|scene| (scene.segment, tokens_of(&scene, contract))).collect();
    let room = contract.window.saturating_sub(MOST_TOKENS + 1);
    let first = first_shown(&shown, room);
    let mut context = DrumContext { tokens: vec![START], conditions: Vec::new() };
    for (_, segment) in shown.into_iter().skip(first) {
        if context.conditions.is_empty() {
            context.conditions.extend(segment.conditions.first().copied());
        }
        context.append(segment);
    }
    context
}

fn tokens_of(scene: &Scene<'_>, contract: &Contract<DrumControls>) -> DrumContext {
    let tokens = write_segment(scene.kind, scene.kind.bar_line(&scene.segment), scene.band);
    DrumContext::constant(tokens, scene.asked(contract).condition())
}

/// Index of the first of an unbroken row of segments up to `next`, in one metre and with drums, since the band began.
fn first_usable(next: &Segment, answers: &[SegmentAnswer]) -> usize {
    let mut start = next.start();
    let usable = answers.iter().rev().take_while(|answer| {
        let joined = answer.segment.end() == std::mem::replace(&mut start, answer.segment.start());
        let recent = next.bar.index.0 - answer.segment.bar.index.0 <= MOST_BARS;
        let same_metre = metre(answer.segment.bar.meter) == metre(next.bar.meter);
        joined && recent && same_metre && answer.settings.part_is_on(Part::Drums)
    });
    let first = answers.len() - usable.count();
    // While the band waits for something to play with, the rules count the beats: that is no groove to go on with.
    let waiting = answers[first..].iter().take_while(|answer| answer.chord.chord.is_none());
    first + waiting.count()
}

/// Index of the first segment that is shown: as many as fit, dropped by pairs of bars.
fn first_shown(segments: &[(Segment, DrumContext)], room: usize) -> usize {
    let fits = |first: &usize| segments[*first..].iter().map(|(_, tokens)| tokens.len()).sum::<usize>() <= room;
    let begins_pair = |first: &usize| {
        let (segment, _) = &segments[*first];
        *first == 0 || (segment.number == 0 && segment.bar.index.0.rem_euclid(BARS_AT_ONCE) == 0)
    };
    let starts = 0..segments.len();
    starts.clone().filter(begins_pair).find(fits).or_else(|| starts.clone().find(fits)).unwrap_or(segments.len())
}
