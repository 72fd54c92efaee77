//! Chords typed at a place of the song. Pure.

use super::score::{GridBar, Score};
use crate::ledger::LedgerCommand;
use crate::music::{Bar, BarIndex, ChordPlan, PlannedChord, Segment, Ticks};
use std::ops::Range;

/// The stretch that typed chords are for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    pub first: Segment,
    pub last: Segment,
}

impl Place {
    pub fn bars(first: Bar, last: Bar) -> Self {
        let end = |bar: Bar| bar.segment_at(bar.end() - 1);
        Self { first: first.segment_at(first.start), last: end(last) }
    }

    /// The bars it touches, by where they begin.
    fn starts(&self) -> Range<Ticks> {
        self.first.bar.start..self.last.bar.start + 1
    }

    /// What stands there, as it would be typed.
    pub fn text(&self, score: &Score) -> String {
        let mut bars = Vec::new();
        for bar in score.grid(self.first.start()..self.last.end()) {
            let inside = bar.bar.segments().filter(|segment| self.contains(segment));
            let mut names: Vec<String> =
                inside.filter_map(|segment| Some(score.chord(&bar, &segment)?.name())).collect();
            names.dedup();
            bars.push(names.join(" "));
        }
        bars.join(" | ")
    }

    /// What is to be done when `text` is typed here: bars between `|` as in the chord plan. A text shorter than the place
    /// repeats in it, a longer one goes beyond it; an empty one takes away what was typed here before.
    ///
    /// # Errors
    /// Says which chord cannot be read.
    pub fn command(&self, text: &str, score: &Score) -> Result<LedgerCommand, String> {
        if text.trim().is_empty() {
            return Ok(LedgerCommand::UnlockChords(self.starts()));
        }
        let typed = ChordPlan::parse(text).map_err(|error| error.to_string())?;
        let bars = self.bars_for(typed.len(), score);
        let whole = bars.len() > 1 || text.split_whitespace().count() > 1;
        let chords = (0..).zip(&bars).flat_map(|(index, bar)| {
            let inside = bar.bar.segments().filter(|segment| whole || self.contains(segment));
            let typed = &typed;
            inside.filter_map(move |segment| Some((segment, typed_chord(typed, index, segment)?)))
        });
        Ok(LedgerCommand::SetChords(chords.collect()))
    }

    /// The bars of the place, and those after it that so many typed bars reach; none that has no room of its own.
    fn bars_for(&self, typed: usize, score: &Score) -> Vec<GridBar> {
        let first = score.grid_bar(self.first.bar.start);
        let bars = std::iter::successors(Some(first), |bar| Some(score.bar_after(bar)));
        let end = self.last.end();
        let reached = bars.enumerate().take_while(|(index, bar)| *index < typed || bar.bar.start < end);
        reached.map(|(_, bar)| bar).filter(GridBar::is_whole).collect()
    }

    fn contains(&self, segment: &Segment) -> bool {
        (self.first.start()..self.last.end()).contains(&segment.start())
    }
}

/// The chord of a segment when the typed bars begin `index` bars before it.
fn typed_chord(typed: &ChordPlan, index: i32, segment: Segment) -> Option<PlannedChord> {
    let bar = Bar { index: BarIndex(index), ..segment.bar };
    typed.chord_of(&Segment { bar, ..segment })
}

#[cfg(test)]
mod tests {
    use super::super::test_songs::{four, settings, song};
    use super::*;

    fn score() -> Score {
        Score::of(&song(8), &ChordPlan::default(), &settings())
    }

    fn typed(place: &Place, text: &str) -> String {
        match place.command(text, &score()) {
            Ok(LedgerCommand::SetChords(chords)) => {
                let name = |planned: &PlannedChord| planned.chord.map_or("N.C.".into(), |chord| chord.to_string());
                let named = chords.iter().map(|(at, planned)| format!("{}:{}", at.start(), name(planned)));
                named.collect::<Vec<_>>().join(" ")
            }
            Ok(other) => format!("{other:?}"),
            Err(error) => error,
        }
    }

    #[test]
    fn a_chord_is_for_the_place_where_it_is_typed() {
        let bar = Place::bars(four(2), four(2));
        assert_eq!(typed(&bar, "Am"), "96:Am 120:Am");
        let half = Place { last: bar.first, ..bar };
        assert_eq!(typed(&half, "Am"), "96:Am");
        assert_eq!(typed(&Place { first: bar.last, ..bar }, " n.c. "), "120:N.C.");
        assert_eq!(typed(&Place::bars(four(2), four(4)), "Am"), "96:Am 120:Am 144:Am 168:Am 192:Am 216:Am");
    }

    #[test]
    fn several_chords_share_their_bar_and_bars_go_on() {
        let bar = Place::bars(four(2), four(2));
        assert_eq!(typed(&bar, "Am F"), "96:Am 120:F");
        assert_eq!(typed(&Place { last: bar.first, ..bar }, "Am F"), "96:Am 120:F", "typed at half a bar");
        assert_eq!(typed(&bar, "Am | F G/B"), "96:Am 120:Am 144:F 168:G/B");
        assert_eq!(typed(&Place::bars(four(0), four(3)), "C | G"), "0:C 24:C 48:G 72:G 96:C 120:C 144:G 168:G");
        assert_eq!(typed(&Place::bars(four(100), four(100)), "C"), "4800:C 4824:C", "beyond what was heard");
    }

    #[test]
    fn nothing_typed_gives_the_choice_back_and_rubbish_is_named() {
        let two = Place::bars(four(2), four(3));
        assert_eq!(two.command("  ", &score()), Ok(LedgerCommand::UnlockChords(96..145)));
        let error = two.command("C | Xyz", &score()).expect_err("no chord");
        assert!(error.contains("Xyz"), "{error}");
    }

    #[test]
    fn what_stands_is_offered_as_text() {
        let mut view = song(8);
        let planned = |name: &str| PlannedChord { chord: name.parse().ok(), ..view.chords[0].1 };
        let chords = [(four(1).segment_at(72), planned("F")), (four(2).segment_at(96), planned("G"))];
        view.ledger.lock_chords(chords);
        let score = Score::of(&view, &ChordPlan::default(), &settings());
        let place = Place::bars(four(0), four(2));
        assert_eq!(place.text(&score), "C | C F | G C");
        assert_eq!(Place::bars(four(20), four(20)).text(&score), "");
    }

    #[test]
    fn a_bar_without_room_gets_no_chord() {
        let mut view = song(1);
        let late = Bar { start: 60, ..four(1) };
        view.ledger.hear(late, Vec::new());
        let score = Score::of(&view, &ChordPlan::default(), &settings());
        let LedgerCommand::SetChords(chords) = Place::bars(four(0), four(0)).command("C|D|E", &score).expect("read")
        else {
            panic!("chords are set");
        };
        assert_eq!(chords.iter().map(|(segment, _)| segment.start()).collect::<Vec<_>>(), [0, 24, 60, 84]);
    }
}
