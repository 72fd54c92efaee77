//! Plays drums with a transformer over strokes (`docs/drums.md`): a segment at a time, to what the others have just written.

mod conditions;
mod encoding;
mod grammar;
mod past;

use super::encoding::{Token, metre};
use super::reader::{Network, Reader};
use super::sampling::{Boldness, Dice, pick};
use super::{Drummer, GeneratorError, PartNote, Request, SegmentAnswer};
use crate::contract::Contract;
use crate::contract::drums::{CONDITIONS, DrumControls};
use conditions::{Condition, Scene, bass_strikes};
use encoding::{END, Meaning, Touch, meaning, note_of};
use grammar::DrumGrammar;
use past::{DrumContext, context_before};

/// Where the next stroke is and which: as adventurous as the knob says, at 1 as the model was trained.
const STROKE_TOP_P: f32 = 0.98;
/// Nats for a kick where the bass strikes: the model alone kicks there a little less often than people do.
const LOCK: f32 = 0.5;
/// How it is played is a matter of the hand, not of adventure.
const TOUCH: Boldness = Boldness { temperature: 0.9, top_p: 0.95 };
/// The accompanist throws its dice with the same seed.
const OWN_DICE: u64 = 0x6472_756d_6d65_7273;

pub struct DrumTransformer {
    contract: Contract<DrumControls>,
    reader: Reader<CONDITIONS>,
}

impl DrumTransformer {
    pub fn new(contract: Contract<DrumControls>, network: Box<dyn Network<CONDITIONS>>) -> Self {
        Self { contract, reader: Reader::new(network) }
    }
}

impl Drummer for DrumTransformer {
    fn name(&self) -> &str {
        &self.contract.name
    }

    fn plays(&self, request: &Request<'_>, written: &[SegmentAnswer]) -> bool {
        let waiting = request.past.iter().chain(written).all(|answer| answer.chord.chord.is_none());
        metre(request.ask.bar().meter).is_some() && !waiting
    }

    fn read_ahead(&mut self, request: &Request<'_>) -> bool {
        let segment = request.ask.segments().next().filter(|_| self.plays(request, &[]));
        segment.is_some_and(|segment| {
            self.reader.read_ahead(&context_before(&segment, request.past, request, &self.contract))
        })
    }

    fn keep_warm(&mut self) -> Result<(), GeneratorError> {
        self.reader.keep_warm().map_err(GeneratorError)
    }

    fn play(
        &mut self,
        request: &Request<'_>,
        written: &[SegmentAnswer],
        write: &mut dyn FnMut(PartNote),
    ) -> Result<(), GeneratorError> {
        let mut answers = [request.past, written].concat();
        let mut dice = Dice::new(request.seed ^ OWN_DICE);
        for index in request.past.len()..answers.len() {
            let (before, asked) = answers.split_at(index);
            let segment = asked[0].segment;
            let unknown = || GeneratorError(format!("it does not know the metre {}", segment.bar.meter));
            let scene = Scene::of(&asked[0], before, request).ok_or_else(unknown)?;
            self.reader.begin();
            let pen = Pen {
                reader: &mut self.reader,
                context: context_before(&segment, before, request, &self.contract),
                condition: scene.asked(&self.contract).condition(),
                temperature: request.settings.temperature,
                dice: &mut dice,
            };
            let mut strokes = Vec::new();
            pen.write_segment(&scene, &mut |note| {
                strokes.push(note);
                write(note);
            })?;
            answers[index].notes.extend(strokes);
        }
        Ok(())
    }
}

/// One segment while it is written.
struct Pen<'a> {
    reader: &'a mut Reader<CONDITIONS>,
    /// All tokens so far. The reader is shown those that are new when it is asked what comes next.
    context: DrumContext,
    condition: Condition,
    temperature: f32,
    dice: &'a mut Dice,
}

impl Pen<'_> {
    fn write_segment(mut self, scene: &Scene<'_>, write: &mut dyn FnMut(PartNote)) -> Result<(), GeneratorError> {
        let bar_line = scene.kind.bar_line(&scene.segment);
        let mut grammar = DrumGrammar::new(scene.kind);
        let mut struck = None;
        let mut token = scene.kind.token();
        while token != END {
            self.push(token);
            token = self.choose(&grammar)?;
            grammar.take(token);
            match meaning(token) {
                Some(Meaning::Stroke(place)) => struck = Some(place),
                Some(Meaning::Touch(loudness, timing)) => {
                    let (in_loudness, in_timing) = (self.dice.roll(), self.dice.roll());
                    let touch = Touch::within(loudness, timing, in_loudness, in_timing);
                    struck.take().into_iter().for_each(|place| write(note_of(place, touch, bar_line)));
                }
                Some(Meaning::Start | Meaning::End | Meaning::Segment(_)) | None => {}
            }
        }
        Ok(())
    }

    fn choose(&mut self, grammar: &DrumGrammar) -> Result<Token, GeneratorError> {
        let strokes = Boldness { temperature: self.temperature, top_p: STROKE_TOP_P };
        let boldness = if grammar.wants_touch() { TOUCH } else { strokes };
        let logits = self.reader.read(&self.context).map_err(GeneratorError)?;
        let lean = |token| match meaning(token) {
            Some(Meaning::Stroke(place)) if place.is_kick() && bass_strikes(&self.condition, place.tick) => LOCK,
            _ => 0.0,
        };
        let choices: Vec<(Token, f32)> =
            grammar.choices().into_iter().map(|token| (token, logits[usize::from(token)] + lean(token))).collect();
        let chosen = pick(&choices, boldness, self.dice);
        chosen.ok_or_else(|| GeneratorError("what it computed is not a number".into()))
    }

    fn push(&mut self, token: Token) {
        // `START` has the condition of what follows it.
        if self.context.conditions.is_empty() {
            self.context.conditions.push(self.condition);
        }
        self.context.push(token, self.condition);
    }
}

#[cfg(test)]
mod tests;
