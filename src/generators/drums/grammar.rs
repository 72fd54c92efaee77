//! What may follow what in a segment of drums: strokes ascend, each is followed by its touch, and one player can play them.
//! Pure.

use super::super::encoding::Token;
use super::encoding::{END, Kind, MOST_STROKES, Meaning, Place, meaning, stroke_tokens, touch_tokens};

/// A segment that is being written, after its own token. It is bounded by the ticks, instruments and strokes there are.
#[derive(Debug, Clone)]
pub struct DrumGrammar {
    kind: Kind,
    strokes: usize,
    /// The strokes at the tick of the last one.
    together: Vec<Place>,
    /// The last stroke has no touch yet.
    struck: bool,
}

impl DrumGrammar {
    pub fn new(kind: Kind) -> Self {
        Self { kind, strokes: 0, together: Vec::new(), struck: false }
    }

    /// Whether a touch comes next, and nothing else.
    pub fn wants_touch(&self) -> bool {
        self.struck
    }

    /// What may come next, ascending. Never nothing.
    pub fn choices(&self) -> Vec<Token> {
        if self.struck {
            return touch_tokens().collect();
        }
        let next = self.together.last().map_or(0, |place| place.token() + 1);
        let strokes = stroke_tokens(self.kind.ticks()).filter(|token| *token >= next && self.strokes < MOST_STROKES);
        std::iter::once(END).chain(strokes.filter(|token| self.can_be_played(*token))).collect()
    }

    /// Goes on to a token that is allowed.
    pub fn take(&mut self, token: Token) {
        self.struck = false;
        if let Some(Meaning::Stroke(place)) = meaning(token) {
            self.together.retain(|other| other.tick == place.tick);
            self.together.push(place);
            self.strokes += 1;
            self.struck = true;
        }
    }

    fn can_be_played(&self, token: Token) -> bool {
        let Some(Meaning::Stroke(place)) = meaning(token) else { return false };
        let at_once = self.together.first().is_some_and(|other| other.tick == place.tick);
        !at_once || place.goes_with(&self.together)
    }
}

#[cfg(test)]
mod tests {
    use super::super::encoding::{Touch, note_of, write_segment};
    use super::*;
    use crate::music::{Bar, Meter};

    fn kinds() -> Vec<Kind> {
        let bars = [(4, 4), (3, 4), (6, 8)]
            .map(|(beats, unit)| Bar::of_constant_meter(0, Meter::new(beats, unit).expect("a usual metre")));
        bars.into_iter().flat_map(Bar::segments).map(|segment| Kind::of(&segment).expect("known")).collect()
    }

    /// Takes choices at random until the end; the tokens after the segment's own.
    fn wander(kind: Kind, mut seed: u64) -> Vec<Token> {
        let mut grammar = DrumGrammar::new(kind);
        let mut tokens = Vec::new();
        while tokens.last() != Some(&END) {
            let choices = grammar.choices();
            assert!(choices.is_sorted_by(|a, b| a < b));
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let chance = (seed >> 33) as usize;
            // One of the next strokes, so that there are many; now and then the end.
            let near = match choices.len() {
                _ if grammar.wants_touch() => chance % choices.len(),
                1 => 0,
                _ if chance.is_multiple_of(50) => 0,
                length => 1 + chance % 3.min(length - 1),
            };
            grammar.take(choices[near]);
            tokens.push(choices[near]);
        }
        tokens
    }

    #[test]
    fn whatever_is_allowed_is_written_the_same_when_it_is_read_back() {
        let mut longest = 0;
        for kind in kinds() {
            for seed in 0..100 {
                let tokens = wander(kind, seed);
                longest = longest.max(tokens.len());
                let notes: Vec<_> = tokens
                    .windows(2)
                    .filter_map(|pair| match (meaning(pair[0])?, meaning(pair[1])?) {
                        (Meaning::Stroke(place), Meaning::Touch(loudness, timing)) => {
                            Some(note_of(place, Touch::within(loudness, timing, 0.5, 0.5), 0))
                        }
                        _ => None,
                    })
                    .collect();
                assert_eq!(write_segment(kind, 0, &notes)[1..], tokens, "seed {seed}");
            }
        }
        assert_eq!(longest, 2 * MOST_STROKES + 1, "the fullest segment was tried");
    }
}
