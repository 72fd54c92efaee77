//! Chords that are dragged in their lane: by the name to another place, by the edge to be longer or shorter. Pure.

use super::layout::{ChordBox, Picture};
use super::score::{GridBar, Score, ShownChord};
use crate::ledger::LedgerCommand;
use crate::music::{PlanSource, PlannedChord, Segment, Ticks};
use std::ops::Range;

/// From the top of the lane down to here one takes a chord by its name; below, bars are selected.
pub const NAMES: f32 = 40.0;

/// What of a chord is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grip {
    /// It is brought to another place, and stays at its own.
    Name,
    /// It lasts until another place.
    Edge,
}

/// A drag under way.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChordDrag {
    pub grip: Grip,
    chord: ShownChord,
    first: Segment,
    last: Segment,
    /// Where the name was taken, from the chord's beginning.
    taken_at: Ticks,
    /// Where it is now.
    at: Segment,
    moved: bool,
}

/// What would be held by a press at a point of the lane, and of which chord.
pub fn grip_at(picture: &Picture, x: f32, y: f32) -> Option<(Grip, &ChordBox)> {
    /// So close to an edge it is meant.
    const NEAR: f32 = 5.0;
    /// Narrower chords have no room for both.
    const NARROW: f32 = 22.0;
    if !(0.0..NAMES).contains(&y) {
        return None;
    }
    let held = |chord: &&ChordBox| chord.shown.is_some();
    let at_edge = |chord: &&ChordBox| chord.right - chord.left >= NARROW && (chord.right - x).abs() <= NEAR;
    let edge = picture.chords.iter().filter(held).find(at_edge).map(|chord| (Grip::Edge, chord));
    edge.or_else(|| picture.chord_at(x).filter(held).map(|chord| (Grip::Name, chord)))
}

impl ChordDrag {
    /// `None` where there is no chord to be held. `tick`: where it is taken.
    pub fn begin(grip: Grip, of: &ChordBox, tick: Ticks) -> Option<Self> {
        let chord = of.shown?;
        let taken_at = tick - of.first.start();
        Some(Self { grip, chord, first: of.first, last: of.last, taken_at, at: of.first, moved: false })
    }

    /// The pointer is at this tick of the song now.
    pub fn move_to(&mut self, tick: Ticks, score: &Score) {
        let meant = match self.grip {
            Grip::Name => tick - self.taken_at + self.shortest() / 2,
            Grip::Edge => tick,
        };
        let bar = score.grid_bar(meant).bar;
        let at = bar.segment_at(meant.clamp(bar.start, bar.end() - 1));
        self.moved |= match self.grip {
            Grip::Name => at != self.first,
            Grip::Edge => at != self.last,
        };
        self.at = at;
    }

    fn shortest(&self) -> Ticks {
        self.first.end() - self.first.start()
    }

    pub fn name(&self) -> String {
        self.chord.name()
    }

    /// The ticks that it would fill; nothing before it has been moved.
    pub fn preview(&self, score: &Score) -> Option<Range<Ticks>> {
        let segments = self.covered(score);
        Some(segments.first()?.start()..segments.last()?.end()).filter(|_| self.moved)
    }

    /// What it asks for where it is let go.
    pub fn command(&self, score: &Score) -> Option<LedgerCommand> {
        if !self.moved {
            return None;
        }
        let own = PlannedChord { chord: self.chord.chord, source: PlanSource::User };
        let mut chords: Vec<(Segment, PlannedChord)> =
            self.covered(score).into_iter().map(|segment| (segment, own)).collect();
        chords.extend(self.given_up(score));
        (!chords.is_empty()).then_some(LedgerCommand::SetChords(chords))
    }

    fn covered(&self, score: &Score) -> Vec<Segment> {
        match self.grip {
            Grip::Name => {
                let count = segments_between(score, self.first.start(), self.last.end()).len();
                let from = segments_between(score, self.at.start(), Ticks::MAX / 2);
                from.into_iter().take(count).collect()
            }
            Grip::Edge => segments_between(score, self.first.start(), self.at.end().max(self.first.end())),
        }
    }

    /// What is left of a chord that is made shorter goes to the one after it.
    fn given_up(&self, score: &Score) -> Vec<(Segment, PlannedChord)> {
        if self.grip == Grip::Name || self.at.end() >= self.last.end() {
            return Vec::new();
        }
        let after = score.grid_bar(self.last.end());
        let next = score.chord(&after, &after.bar.segment_at(self.last.end()));
        let planned = |next: ShownChord| PlannedChord { chord: next.chord, source: PlanSource::User };
        let left = segments_between(score, self.at.end().max(self.first.end()), self.last.end());
        next.map_or_else(Vec::new, |next| left.into_iter().map(|segment| (segment, planned(next))).collect())
    }
}

/// The segments that begin in a stretch, of bars that have room for them.
fn segments_between(score: &Score, from: Ticks, until: Ticks) -> Vec<Segment> {
    /// No drag reaches further.
    const MOST: usize = 400;
    let first = score.grid_bar(from);
    let bars = std::iter::successors(Some(first), |bar| Some(score.bar_after(bar)));
    let near = bars.take_while(|bar| bar.bar.start < until).take(MOST).filter(GridBar::is_whole);
    let segments = near.flat_map(|bar| bar.bar.segments());
    segments.filter(|segment| (from..until).contains(&segment.start())).collect()
}

#[cfg(test)]
mod tests {
    use super::super::layout::Subject;
    use super::super::test_songs::{four, settings, song};
    use super::super::viewport::Viewport;
    use super::*;
    use crate::music::ChordPlan;

    /// Bars of C, F, G and Am, two halves each, then C Dm in one bar.
    fn score() -> Score {
        let mut view = song(8);
        let chord = |name: &str| PlannedChord { chord: name.parse().ok(), source: PlanSource::User };
        let names = ["C", "C", "F", "F", "G", "G", "Am", "Am", "C", "Dm"];
        let segments = (0..5).flat_map(|index| four(index).segments());
        view.ledger.lock_chords(segments.zip(names).map(|(segment, name)| (segment, chord(name))));
        Score::of(&view, &ChordPlan::default(), &settings())
    }

    fn picture(score: &Score) -> Picture {
        let mut viewport = Viewport::default();
        viewport.resize(700.0);
        Picture::of(&Subject { score, sung: &[], viewport: &viewport, selection: None, playhead: 0.0 }, 700.0, 300.0)
    }

    /// What a drag asks for, from one tick to another.
    fn dragged(grip: Grip, from: Ticks, to: Ticks) -> String {
        let score = score();
        let picture = picture(&score);
        let chord = picture.chords.iter().find(|chord| chord.first.start() <= from && from < chord.last.end());
        let mut drag = ChordDrag::begin(grip, chord.expect("it is seen"), from).expect("it can be held");
        drag.move_to(to, &score);
        match drag.command(&score) {
            Some(LedgerCommand::SetChords(chords)) => {
                let name = |planned: &PlannedChord| planned.chord.map_or("N.C.".into(), |chord| chord.to_string());
                let named = chords.iter().map(|(at, planned)| format!("{}:{}", at.start(), name(planned)));
                named.collect::<Vec<_>>().join(" ")
            }
            None => "nothing".into(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn a_chord_is_brought_to_another_place_with_its_length() {
        assert_eq!(dragged(Grip::Name, 50, 50 + 96), "144:F 168:F");
        assert_eq!(dragged(Grip::Name, 50, 50 + 24), "72:F 96:F", "over a bar line");
        assert_eq!(dragged(Grip::Name, 220, 2), "0:Dm", "half a bar");
        assert_eq!(dragged(Grip::Name, 50, 58), "nothing", "it has hardly been moved");
        assert_eq!(dragged(Grip::Name, 50, 50 + 4800), "4848:F 4872:F", "beyond what was heard");
    }

    #[test]
    fn an_edge_makes_it_longer_and_shorter() {
        assert_eq!(dragged(Grip::Edge, 60, 110), "48:F 72:F 96:F");
        assert_eq!(dragged(Grip::Edge, 60, 50), "48:F 72:G", "the next one comes earlier");
        assert_eq!(dragged(Grip::Edge, 60, 0), "48:F 72:G", "no shorter than half a bar");
        assert_eq!(dragged(Grip::Edge, 60, 80), "nothing");
    }

    #[test]
    fn names_and_edges_are_told_apart_and_below_them_bars_are_selected() {
        let score = score();
        let picture = picture(&score);
        let held = |x: f32, y: f32| grip_at(&picture, x, y).map(|(grip, chord)| (grip, chord.first.start()));
        let first = &picture.chords[0];
        assert_eq!(held(10.0, 10.0), Some((Grip::Name, 0)));
        assert_eq!(held(first.right - 3.0, 10.0), Some((Grip::Edge, 0)));
        assert_eq!(held(first.right + 3.0, 10.0), Some((Grip::Edge, 0)));
        assert_eq!(held(first.right + 9.0, 10.0), Some((Grip::Name, 48)));
        assert_eq!((held(10.0, NAMES + 1.0), held(10.0, -1.0)), (None, None));
        let unknown = picture.chords.iter().find(|chord| chord.shown.is_none()).expect("nothing is known ahead");
        assert_eq!(held((unknown.left + unknown.right) / 2.0, 10.0), None);
    }
}
