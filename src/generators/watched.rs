//! For tests, here and in `tests/`: the rules, watched.

use super::rules::RuleGenerator;
use super::{Generator, GeneratorError, PartNote, Request};
use crate::music::{Meter, PerPart, PlannedChord};

/// Plays by rule, after something was done with what is asked.
pub struct Watched<F>(pub F);

impl<F: FnMut(&Request<'_>) + Send> Generator for Watched<F> {
    fn name(&self) -> &'static str {
        "Watched"
    }

    fn parts(&self) -> PerPart<bool> {
        RuleGenerator.parts()
    }

    fn plays(&self, meter: Meter) -> bool {
        RuleGenerator.plays(meter)
    }

    fn answer(
        &mut self,
        request: &Request<'_>,
        write: &mut dyn FnMut(PartNote),
    ) -> Result<Vec<PlannedChord>, GeneratorError> {
        self.0(request);
        RuleGenerator.answer(request, write)
    }
}
