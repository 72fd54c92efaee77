//! What may follow what in the notes of a part: positions ascend, keys ascend within a position, and the part ends with
//! the one structural token that comes next. Pure.

use super::encoding::{Length, Meaning, Token, meaning, notes_a_position};
use crate::music::{Key, Part, PitchClass, PitchClassSet, Ticks};

/// A part that is being written, in ticks from its bar line.
///
/// It is bounded: each position is later than the one before, and holds at most a few notes.
#[derive(Debug, Clone)]
pub struct PartGrammar {
    part: Part,
    /// What follows the part: the next asked part's token, or `END`.
    then: Token,
    stretches: Vec<Stretch>,
    position: Option<Ticks>,
    /// Keys written at this position.
    keys: Vec<Key>,
    /// Which stretches have a note.
    begun: Vec<bool>,
    onsets: usize,
}

/// A part of the bar under one chord.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    pub start: Ticks,
    pub end: Ticks,
    /// No note may begin here.
    pub silent: bool,
    /// Pitch class of the first bass note.
    pub bass: Option<PitchClass>,
    /// The notes of a chord that is given.
    pub chord: Option<PitchClassSet>,
}

impl PartGrammar {
    pub fn new(part: Part, then: Token, stretches: Vec<Stretch>) -> Self {
        let begun = vec![false; stretches.len()];
        Self { part, then, stretches, position: None, keys: Vec::new(), begun, onsets: 0 }
    }

    /// Whether the token may come next. There is always one that may.
    pub fn allows(&self, token: Token) -> bool {
        if token == self.then {
            return self.may_end();
        }
        if let Some(Meaning::Position(at)) = meaning(token) {
            return self.allows_position(at);
        }
        matches!(meaning(token), Some(Meaning::Note(key, Length::Ticks(_))) if self.allows_key(key))
    }

    pub fn part(&self) -> Part {
        self.part
    }

    /// The position that was written last.
    pub fn position(&self) -> Option<Ticks> {
        self.position
    }

    /// Whether a key at this position is a note of the chord that is given there.
    pub fn is_of_chord(&self, key: Key) -> bool {
        let stretch = self.position.and_then(|at| self.stretch_at(at)).map(|index| &self.stretches[index]);
        stretch.and_then(|stretch| stretch.chord).is_some_and(|chord| chord.contains(key.pitch_class()))
    }

    /// How many positions were written.
    pub fn onsets(&self) -> usize {
        self.onsets
    }

    /// Whether the token ends the part.
    pub fn ends_with(&self, token: Token) -> bool {
        token == self.then
    }

    /// Whether nothing but the end may follow.
    pub fn is_over(&self) -> bool {
        let next = self.position.map_or(0, |position| position + 1);
        let later = self.stretches.iter().any(|stretch| !stretch.silent && stretch.end > next);
        let together = self.position.is_some() && self.keys.len() < notes_a_position(self.part);
        self.may_end() && !later && !together
    }

    /// Whether the part may end here: a position is followed by at least one note.
    pub fn may_end(&self) -> bool {
        self.position.is_none() || !self.keys.is_empty()
    }

    /// Goes on to a token that is allowed; the note it says, as its start, key and duration.
    pub fn take(&mut self, token: Token) -> Option<(Ticks, Key, Ticks)> {
        let meaning = meaning(token)?;
        if let Meaning::Position(at) = meaning {
            self.position = Some(at);
            self.onsets += 1;
            self.keys.clear();
        }
        let Meaning::Note(key, Length::Ticks(duration)) = meaning else { return None };
        let at = self.position?;
        self.keys.push(key);
        let stretch = self.stretch_at(at)?;
        self.begun[stretch] = true;
        Some((at, key, duration))
    }

    fn allows_position(&self, at: Ticks) -> bool {
        let later = self.position.is_none_or(|position| at > position);
        later && self.may_end() && self.stretch_at(at).is_some_and(|index| !self.stretches[index].silent)
    }

    fn allows_key(&self, key: Key) -> bool {
        let Some(position) = self.position else { return false };
        let room = self.keys.len() < notes_a_position(self.part);
        let higher = self.keys.last().is_none_or(|last| key > *last);
        room && higher && self.required_bass(position).is_none_or(|class| key.pitch_class() == class)
    }

    fn required_bass(&self, at: Ticks) -> Option<PitchClass> {
        let index = self.stretch_at(at).filter(|index| self.part == Part::Bass && !self.begun[*index])?;
        self.stretches[index].bass
    }

    fn stretch_at(&self, at: Ticks) -> Option<usize> {
        self.stretches.iter().position(|stretch| (stretch.start..stretch.end).contains(&at))
    }
}

#[cfg(test)]
mod tests {
    use super::super::encoding::{END, PAD, part_token};
    use super::*;
    use crate::contract::VOCABULARY;
    use proptest::prelude::*;

    fn stretch(start: Ticks, end: Ticks) -> Stretch {
        Stretch { start, end, silent: false, bass: None, chord: None }
    }

    fn allowed(grammar: &PartGrammar) -> Vec<Token> {
        (PAD..VOCABULARY as Token).filter(|token| grammar.allows(*token)).collect()
    }

    /// Chooses by the numbers given, and returns the notes until the part ends.
    fn play(mut grammar: PartGrammar, choices: &[u16]) -> Vec<(Ticks, Key, Ticks)> {
        let mut notes = Vec::new();
        for choice in choices {
            let allowed = allowed(&grammar);
            let token = allowed[usize::from(*choice) % allowed.len()];
            if grammar.ends_with(token) {
                break;
            }
            notes.extend(grammar.take(token));
        }
        notes
    }

    proptest! {
        #[test]
        fn whatever_is_chosen_is_a_well_formed_part(choices in prop::collection::vec(any::<u16>(), 0..400)) {
            let stretches = vec![stretch(0, 24), Stretch { silent: true, ..stretch(24, 48) }];
            for part in [Part::Bass, Part::Chords, Part::Counter] {
                let notes = play(PartGrammar::new(part, END, stretches.clone()), &choices);
                prop_assert!(notes.windows(2).all(|pair| (pair[0].0, pair[0].1) < (pair[1].0, pair[1].1)));
                for note in &notes {
                    prop_assert!((0..24).contains(&note.0) && note.2 >= 1);
                    let together = notes.iter().filter(|other| other.0 == note.0).count();
                    prop_assert!(together <= notes_a_position(part));
                }
            }
        }

        #[test]
        fn the_bass_begins_each_slash_chord_with_its_bass(choices in prop::collection::vec(any::<u16>(), 0..60)) {
            let bass = |class| Some(PitchClass::new(class));
            let stretches =
                vec![Stretch { bass: bass(11), ..stretch(0, 24) }, Stretch { bass: bass(4), ..stretch(24, 48) }];
            let notes = play(PartGrammar::new(Part::Bass, END, stretches), &choices);
            for (from, to, class) in [(0, 24, 11), (24, 48, 4)] {
                let first = notes.iter().find(|note| (from..to).contains(&note.0));
                prop_assert!(first.is_none_or(|note| note.1.pitch_class() == PitchClass::new(class)));
            }
        }
    }

    #[test]
    fn a_part_is_over_when_only_its_end_may_follow() {
        let silent = Stretch { silent: true, ..stretch(0, 24) };
        for (part, stretches, tokens, over) in [
            (Part::Bass, vec![silent], &[][..], true),
            (Part::Bass, vec![silent, stretch(24, 48)], &[], false),
            (Part::Bass, vec![stretch(0, 24)], &[16 + 23], false),
            (Part::Bass, vec![stretch(0, 24)], &[16 + 23, 185 + 1], true),
            (Part::Bass, vec![stretch(0, 24)], &[16 + 22, 185 + 1], false),
            (Part::Bass, vec![stretch(0, 24), Stretch { silent: true, ..stretch(24, 48) }], &[16 + 23, 185 + 1], true),
            (Part::Chords, vec![stretch(0, 24)], &[16 + 23, 185 + 1], false),
        ] {
            let mut grammar = PartGrammar::new(part, END, stretches);
            for token in tokens {
                grammar.take(*token);
            }
            assert_eq!(grammar.is_over(), over, "{part:?} {tokens:?}");
            assert_eq!(allowed(&grammar) == [END], over);
        }
    }

    #[test]
    fn a_position_has_a_note_before_the_part_ends() {
        let chords = part_token(Part::Chords).expect("the model writes chords");
        let mut grammar = PartGrammar::new(Part::Bass, chords, vec![stretch(24, 36)]);
        assert_eq!(allowed(&grammar).len(), 12 + 1, "positions of the stretch, or the end");
        assert!(grammar.allows(chords) && !grammar.allows(END));
        grammar.take(16 + 30);
        assert!(!grammar.allows(chords) && allowed(&grammar).len() == 88 * 14);
        grammar.take(185 + 15 * 20 + 3);
        assert_eq!(allowed(&grammar), [chords, 16 + 31, 16 + 32, 16 + 33, 16 + 34, 16 + 35]);
    }
}
