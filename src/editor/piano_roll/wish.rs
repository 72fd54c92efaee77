//! What the user wants of the timeline, whether by key or by button, and what it asks of the ledger. Pure.

use super::chord_text::Place;
use super::score::{Score, ScoreBar};
use super::selection::{Lane, Selection};
use crate::ledger::LedgerCommand;
use crate::music::{Bar, Part, PerPart, Ticks};
use std::ops::Range;

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Wish {
    /// Another answer in the selected bars: in one part, or in all.
    Reroll(Option<Part>),
    /// The lane that was selected in decides: music or chords. Locks, or unlocks what is locked altogether.
    ToggleLock,
    ToggleMusicLock,
    ToggleChordLock,
    /// Forgets bars, or gives chords back to the engine.
    Clear,
    ClearBars,
    ClearChords,
    Undo,
    Redo,
    TypeChords,
    ToggleFollow,
    /// Magnifies by a factor.
    Zoom(f64),
    /// Moves the window by so many bars.
    Page(i32),
    /// Moves the selection by so many bars.
    Step(i32),
    /// Draws the selection further by so many bars.
    Extend(i32),
    ToStart,
    ToEnd,
    SelectAll,
    SelectNothing,
}

impl Wish {
    /// What it asks of the ledger; `None` where it concerns the window only, or nothing is selected that it could be for.
    pub fn command(self, selection: Option<&Selection>, score: &Score) -> Option<LedgerCommand> {
        let lane = selection.map(|selected| selected.lane);
        let bars = selection.map(Selection::ticks);
        match self {
            Self::Reroll(part) => Some(LedgerCommand::Reroll {
                bars: bars?,
                parts: PerPart::from_fn(|each| part.is_none_or(|part| part == each)),
            }),
            Self::ToggleLock if lane == Some(Lane::Chords) => Some(toggled_chord_lock(bars?, score)),
            Self::ToggleLock | Self::ToggleMusicLock => Some(toggled_lock(bars?, score)),
            Self::ToggleChordLock => Some(toggled_chord_lock(bars?, score)),
            Self::Clear if lane == Some(Lane::Chords) => Some(LedgerCommand::UnlockChords(bars?)),
            Self::Clear | Self::ClearBars => Some(LedgerCommand::Clear(bars?)),
            Self::ClearChords => Some(LedgerCommand::UnlockChords(bars?)),
            Self::Undo => Some(LedgerCommand::Undo),
            Self::Redo => Some(LedgerCommand::Redo),
            Self::TypeChords
            | Self::ToggleFollow
            | Self::Zoom(_)
            | Self::Page(_)
            | Self::Step(_)
            | Self::Extend(_)
            | Self::ToStart
            | Self::ToEnd
            | Self::SelectAll
            | Self::SelectNothing => None,
        }
    }

    /// The selection after it; `None`: it stays.
    pub fn selects(self, selection: Option<&Selection>, playhead: Ticks, score: &Score) -> Option<Option<Selection>> {
        let lane = selection.map_or(Lane::Roll, |selected| selected.lane);
        let (first, last) = score.ends().unzip();
        let here = || Some(Selection::of(lane, score.grid_bar(playhead).bar));
        match self {
            Self::Step(bars) => {
                let moved = selection.map(|selected| Selection::of(lane, stepped(selected, bars, score)));
                Some(moved.or_else(here))
            }
            Self::Extend(bars) => {
                let drawn = selection.map(|selected| selected.drawn_to(stepped(selected, bars, score)));
                Some(drawn.or_else(here))
            }
            Self::ToStart => first.map(|first| Some(Selection::of(lane, first))),
            Self::ToEnd => last.map(|last| Some(Selection::of(lane, last))),
            Self::SelectAll => first.zip(last).map(|(first, last)| Some(Selection::of(lane, first).drawn_to(last))),
            Self::SelectNothing => Some(None),
            Self::Reroll(_)
            | Self::ToggleLock
            | Self::ToggleMusicLock
            | Self::ToggleChordLock
            | Self::Clear
            | Self::ClearBars
            | Self::ClearChords
            | Self::Undo
            | Self::Redo
            | Self::TypeChords
            | Self::ToggleFollow
            | Self::Zoom(_)
            | Self::Page(_) => None,
        }
    }
}

/// Where chords are typed that are asked for by key: at the selection, else where the playhead is.
pub fn place_to_type(selection: Option<&Selection>, playhead: Ticks, score: &Score) -> Place {
    let here = || score.grid_bar(playhead).bar;
    let (first, last) = selection.map_or_else(|| (here(), here()), |selected| (selected.first(), selected.last()));
    Place::bars(first, last)
}

/// Whether the button would unlock: all that can be locked there is.
pub fn music_is_locked(bars: &Range<Ticks>, score: &Score) -> bool {
    let mut written = score.known_in(bars).iter().filter(|known| known.state.is_some()).peekable();
    written.peek().is_some() && written.all(ScoreBar::is_locked)
}

pub fn chords_are_locked(bars: &Range<Ticks>, score: &Score) -> bool {
    let known = score.known_in(bars);
    let fixed = |known: &ScoreBar| {
        known.bar.segments().all(|segment| known.locked_chords[usize::from(segment.number)].is_some())
    };
    !known.is_empty() && known.iter().all(fixed)
}

fn toggled_lock(bars: Range<Ticks>, score: &Score) -> LedgerCommand {
    if music_is_locked(&bars, score) { LedgerCommand::Unlock(bars) } else { LedgerCommand::Lock(bars) }
}

fn toggled_chord_lock(bars: Range<Ticks>, score: &Score) -> LedgerCommand {
    if chords_are_locked(&bars, score) { LedgerCommand::UnlockChords(bars) } else { LedgerCommand::LockChords(bars) }
}

fn stepped(selected: &Selection, bars: i32, score: &Score) -> Bar {
    let mut bar = score.grid_bar(selected.head().start);
    for _ in 0..bars.abs() {
        bar = if bars > 0 { score.bar_after(&bar) } else { score.bar_before(&bar) };
    }
    bar.bar
}

#[cfg(test)]
mod tests {
    use super::super::test_songs::{four, settings, song};
    use super::*;
    use crate::channels::SongView;
    use crate::music::ChordPlan;

    fn score(view: &SongView) -> Score {
        Score::of(view, &ChordPlan::default(), &settings())
    }

    fn selected(lane: Lane) -> Selection {
        Selection::of(lane, four(2)).drawn_to(four(3))
    }

    #[test]
    fn every_wish_is_for_the_selected_bars() {
        let score = score(&song(8));
        let roll = selected(Lane::Roll);
        let asked = |wish: Wish| wish.command(Some(&roll), &score);
        let bars = 96..145;
        assert_eq!(asked(Wish::Clear), Some(LedgerCommand::Clear(bars.clone())));
        assert_eq!(asked(Wish::ToggleLock), Some(LedgerCommand::Lock(bars.clone())));
        assert_eq!(asked(Wish::ClearChords), Some(LedgerCommand::UnlockChords(bars.clone())));
        let parts = PerPart([true; Part::COUNT]);
        assert_eq!(asked(Wish::Reroll(None)), Some(LedgerCommand::Reroll { bars: bars.clone(), parts }));
        let parts = PerPart::from_fn(|part| part == Part::Drums);
        assert_eq!(asked(Wish::Reroll(Some(Part::Drums))), Some(LedgerCommand::Reroll { bars, parts }));
        for wish in [Wish::Reroll(None), Wish::Clear, Wish::ToggleLock, Wish::ToggleChordLock, Wish::ClearChords] {
            assert_eq!(wish.command(None, &score), None, "{wish:?} without a selection");
        }
        assert_eq!(Wish::Undo.command(None, &score), Some(LedgerCommand::Undo));
    }

    #[test]
    fn in_the_chord_lane_the_same_keys_mean_the_chords() {
        let score = score(&song(8));
        let chords = selected(Lane::Chords);
        assert_eq!(Wish::ToggleLock.command(Some(&chords), &score), Some(LedgerCommand::LockChords(96..145)));
        assert_eq!(Wish::Clear.command(Some(&chords), &score), Some(LedgerCommand::UnlockChords(96..145)));
        assert_eq!(Wish::ClearBars.command(Some(&chords), &score), Some(LedgerCommand::Clear(96..145)));
    }

    #[test]
    fn what_is_locked_altogether_is_unlocked() {
        let mut view = song(8);
        view.ledger.lock(96..97);
        let wish = |view: &SongView, wish: Wish| wish.command(Some(&selected(Lane::Roll)), &score(view));
        assert_eq!(wish(&view, Wish::ToggleLock), Some(LedgerCommand::Lock(96..145)), "one of two");
        view.ledger.lock(144..145);
        assert_eq!(wish(&view, Wish::ToggleLock), Some(LedgerCommand::Unlock(96..145)));
        let chords: Vec<_> =
            view.chords.iter().copied().filter(|(segment, _)| (96..192).contains(&segment.start())).collect();
        view.ledger.lock_chords(chords[..3].to_vec());
        assert_eq!(wish(&view, Wish::ToggleChordLock), Some(LedgerCommand::LockChords(96..145)), "three of four");
        view.ledger.lock_chords(chords);
        assert_eq!(wish(&view, Wish::ToggleChordLock), Some(LedgerCommand::UnlockChords(96..145)));
    }

    #[test]
    fn the_selection_is_moved_and_drawn() {
        let score = score(&song(8));
        let after = |wish: Wish| wish.selects(Some(&selected(Lane::Roll)), 0, &score).flatten().map(|now| now.name());
        assert_eq!(after(Wish::Step(1)), Some("bar 5".into()));
        assert_eq!(after(Wish::Step(-1)), Some("bar 3".into()));
        assert_eq!(after(Wish::Extend(2)), Some("bars 3–6".into()));
        assert_eq!(after(Wish::Extend(-3)), Some("bars 1–3".into()));
        assert_eq!(after(Wish::SelectAll), Some("bars 1–8".into()));
        assert_eq!((after(Wish::ToStart), after(Wish::ToEnd)), (Some("bar 1".into()), Some("bar 8".into())));
        assert_eq!(Wish::SelectNothing.selects(None, 0, &score), Some(None));
        assert_eq!(Wish::Clear.selects(None, 0, &score), None, "stays");
        let first = Wish::Extend(1).selects(None, 100, &score).flatten().map(|now| now.name());
        assert_eq!(first, Some("bar 3".into()), "where the playhead is");
    }
}
