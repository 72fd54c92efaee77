//! Keeps to the density that was asked for: onsets come sooner while there have been too few, later after too many.
//! As `models/obbligato_models/transformer/pace.py` has it. Pure.
//!
//! A model is told the density, but what it has just played speaks louder. So the chance of each next position is
//! multiplied by exp(−pull · gap), the gap in quarter notes to the onset before: among the places the model likes, the
//! nearer or the farther. The pull follows the onsets that are missing, as an integral controller does.

use super::encoding::{Meaning, Token, meaning};
use super::grammar::PartGrammar;
use super::{Request, SegmentAnswer};
use crate::music::{Part, TICKS_PER_QUARTER, Ticks};
use crate::settings::Settings;
use std::ops::Range;

/// What is missing from bars before these, the asked one among them, is forgiven.
const BARS: i32 = 8;
/// Pull, in nats a quarter note, for each onset that is missing.
const GAIN: f32 = 1.2;
const MOST: f32 = 4.0;

/// The onsets of one part in one answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// Onsets a quarter note; where none are asked for, nothing is pulled.
    asked: Option<f32>,
    /// Onsets that are missing before the answer; negative where there were too many.
    missing: f32,
}

impl Pace {
    /// `asked`: what settings ask of the part, in onsets a quarter note.
    pub fn of(part: Part, request: &Request<'_>, asked: impl Fn(&Settings) -> Option<f32>) -> Self {
        let first = request.ask.bar().index.0 - (BARS - 1);
        let recent = request.past.iter().filter(|answer| {
            let before = answer.segment.start() < request.ask.start();
            before && answer.segment.bar.index.0 >= first && answer.settings.part_is_on(part)
        });
        let missing = recent.filter_map(|answer| {
            let ticks = answer.segment.end() - answer.segment.start();
            Some(asked(&answer.settings)? * quarters(ticks) - onsets(answer, part) as f32)
        });
        Self { asked: asked(request.settings), missing: missing.sum() }
    }

    /// Pulls the next positions, and the end of the part, nearer or farther. `line`: where what is written begins and ends,
    /// in ticks from the bar line. How likely it is that any of these comes, and not one more note at the same position,
    /// stays as it is.
    pub fn pull(&self, choices: &mut [(Token, f32)], grammar: &PartGrammar, line: &Range<Ticks>) {
        let Some(asked) = self.asked.filter(|_| grammar.may_end()) else { return };
        let last = grammar.position().unwrap_or(line.start);
        let missing = self.missing + asked * quarters(last - line.start) - grammar.onsets() as f32;
        let pull = (GAIN * missing).clamp(-MOST, MOST);
        let gap = |token: Token| match meaning(token) {
            Some(Meaning::Position(at)) => Some(quarters(at - last)),
            _ => grammar.ends_with(token).then(|| quarters(line.end - last)),
        };
        let before = log_sum(choices.iter().filter(|(token, _)| gap(*token).is_some()));
        for (token, logit) in choices.iter_mut() {
            *logit -= gap(*token).map_or(0.0, |gap| pull * gap);
        }
        let after = log_sum(choices.iter().filter(|(token, _)| gap(*token).is_some()));
        // Not a number where the model's own logits are none: the choice then says so.
        choices.iter_mut().filter(|(token, _)| gap(*token).is_some()).for_each(|(_, logit)| *logit += before - after);
    }
}

fn quarters(ticks: Ticks) -> f32 {
    ticks as f32 / TICKS_PER_QUARTER as f32
}

fn onsets(answer: &SegmentAnswer, part: Part) -> usize {
    let mut starts: Vec<Ticks> =
        answer.notes.iter().filter(|note| note.part == part).map(|note| note.note.start).collect();
    starts.dedup();
    starts.len()
}

fn log_sum<'a>(choices: impl Iterator<Item = &'a (Token, f32)> + Clone) -> f32 {
    let most = choices.clone().map(|(_, logit)| *logit).fold(f32::NEG_INFINITY, f32::max);
    most + choices.map(|(_, logit)| (logit - most).exp()).sum::<f32>().ln()
}

#[cfg(test)]
mod tests {
    use super::super::Ask;
    use super::super::encoding::{END, NOTE, POSITION};
    use super::super::grammar::Stretch;
    use super::*;
    use crate::music::{Bar, Meter, PerPart};

    fn grammar() -> PartGrammar {
        PartGrammar::new(Part::Bass, END, vec![Stretch { start: 0, end: 48, silent: false, bass: None, chord: None }])
    }

    fn request<'a>(past: &'a [SegmentAnswer], settings: &'a Settings) -> Request<'a> {
        Request {
            ask: Ask::Arrange(Bar::of_constant_meter(4, Meter::COMMON)),
            melody: &[],
            past,
            chords: &[None, None],
            parts: PerPart::from_fn(|_| true),
            standing: &[],
            settings,
            quarters_per_minute: 100.0,
            margin: 2,
            seed: 1,
        }
    }

    /// Evenly likely positions on the quarters, and the end.
    fn choices() -> Vec<(Token, f32)> {
        [0, 12, 24, 36].map(|tick| (POSITION + tick, 0.0)).into_iter().chain([(END, 0.0), (NOTE, 1.0)]).collect()
    }

    fn pulled(missing: f32, asked: Option<f32>) -> Vec<f32> {
        let mut choices = choices();
        Pace { asked, missing }.pull(&mut choices, &grammar(), &(0..48));
        choices.into_iter().map(|(_, logit)| logit).collect()
    }

    #[test]
    fn what_is_missing_makes_the_near_likelier() {
        let near = pulled(2.0, Some(1.0));
        let far = pulled(-2.0, Some(1.0));
        assert!(near[..5].is_sorted_by(|a, b| a > b) && far[..5].is_sorted(), "{near:?} {far:?}");
        let sum = |logits: &[f32]| logits[..5].iter().map(|logit| logit.exp()).sum::<f32>();
        for logits in [near, far] {
            assert!((sum(&logits) - 5.0).abs() < 1e-4, "one of these comes as likely as before");
            assert_eq!(logits[5], 1.0, "another note at the same place too");
        }
    }

    #[test]
    fn where_nothing_is_asked_or_missing_nothing_moves() {
        for logits in [pulled(2.0, None), pulled(0.0, Some(1.0))] {
            assert!(logits[..5].iter().all(|logit| logit.abs() < 1e-5), "{logits:?}");
        }
    }

    #[test]
    fn the_bars_before_are_counted_with_what_was_asked_of_them() {
        let asked = |settings: &Settings| Some(4.0 * settings.density);
        let of = |bars: std::ops::Range<i32>, density| {
            bars.flat_map(move |index| {
                Bar::of_constant_meter(index, Meter::COMMON).segments().map(move |segment| SegmentAnswer {
                    segment,
                    chord: crate::music::PlannedChord { chord: None, source: crate::music::PlanSource::Rule },
                    notes: Vec::new(),
                    settings: Settings { density, ..Settings::default() },
                    quarters_per_minute: 100.0,
                    margin: 2,
                })
            })
            .collect::<Vec<_>>()
        };
        let settings = Settings { density: 0.25, ..Settings::default() };
        let missing = |past: &[SegmentAnswer]| Pace::of(Part::Bass, &request(past, &settings), asked).missing;
        assert_eq!(missing(&of(0..4, 0.25)), 16.0, "all four");
        assert_eq!(missing(&[of(0..2, 0.0), of(2..4, 0.5)].concat()), 16.0);
        assert_eq!(missing(&of(-9..-3, 1.0)), 0.0, "that is long ago");
        assert_eq!(missing(&[]), 0.0);
    }
}
