//! The count-in: a band that does not know the tune yet listens, and remembers what it would have played to it. Pure.

use super::played::PlayedSegment;
use super::seed_of;
use crate::generators::band::answer_by_rule;
use crate::generators::{Ask, Request, SegmentAnswer};
use crate::music::{Bar, Note, PerPart, Ticks};

/// Whole bars since the first note of a melody, up to `bar`: a pickup is no bar.
pub fn bars_heard(melody: &[Note], bar: &Bar) -> i32 {
    melody.first().map_or(0, |first| (bar.start - first.start).div_euclid(bar.meter.bar_length())).max(0)
}

/// The past as a generator is shown it: bars before `until` that were only listened to as the rules would have played them
/// had they known the melody, whatever sounded. So the generator goes on from bars that fit the tune.
pub fn in_hindsight(played: &[PlayedSegment], melody: &[Note], until: Ticks) -> Vec<SegmentAnswer> {
    let mut past: Vec<SegmentAnswer> = Vec::with_capacity(played.len());
    for of_bar in played.chunk_by(|a, b| a.answer.segment.bar.start == b.answer.segment.bar.start) {
        let bar = of_bar[0].answer.segment.bar;
        let whole = of_bar.len() == bar.segments().len() && bar.end() <= until;
        if whole && of_bar.iter().all(|played| played.listened) {
            let known = knowing_the_melody(&of_bar[0].answer, melody, &past);
            past.extend(known);
        } else {
            past.extend(of_bar.iter().map(|played| played.answer.clone()));
        }
    }
    past
}

fn knowing_the_melody(answer: &SegmentAnswer, melody: &[Note], past: &[SegmentAnswer]) -> Vec<SegmentAnswer> {
    let ask = Ask::Arrange(answer.segment.bar);
    let request = Request {
        ask,
        melody: &melody[..melody.partition_point(|note| note.start < ask.end())],
        past,
        chords: &[None; 2][..ask.segments().count()],
        parts: PerPart::from_fn(|part| answer.settings.part_is_on(part)),
        standing: &[],
        settings: &answer.settings,
        quarters_per_minute: answer.quarters_per_minute,
        margin: answer.margin,
        seed: seed_of(&answer.settings, &ask, 0),
    };
    answer_by_rule(&request, &mut |_| {})
}
