//! The bars that commands are for. Pure.

use crate::music::{Bar, Ticks};
use std::ops::Range;

/// What of the selected bars is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Their music.
    Roll,
    Chords,
}

/// A run of bars, from the one where it was begun to the one it was drawn to, in either direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Selection {
    pub lane: Lane,
    anchor: Bar,
    head: Bar,
}

impl Selection {
    pub fn of(lane: Lane, bar: Bar) -> Self {
        Self { lane, anchor: bar, head: bar }
    }

    /// The same beginning, drawn to another bar.
    #[must_use]
    pub fn drawn_to(self, head: Bar) -> Self {
        Self { head, ..self }
    }

    /// The bar that moves when it is extended.
    pub fn head(&self) -> Bar {
        self.head
    }

    pub fn first(&self) -> Bar {
        if self.head.start < self.anchor.start { self.head } else { self.anchor }
    }

    pub fn last(&self) -> Bar {
        if self.head.start < self.anchor.start { self.anchor } else { self.head }
    }

    /// The bars that begin in this range are the selected ones.
    pub fn ticks(&self) -> Range<Ticks> {
        self.first().start..self.last().start + 1
    }

    pub fn contains(&self, bar: &Bar) -> bool {
        self.ticks().contains(&bar.start)
    }

    /// `bar 5`, `bars 5–8`.
    pub fn name(&self) -> String {
        let (first, last) = (self.first().index.0 + 1, self.last().index.0 + 1);
        if first == last { format!("bar {first}") } else { format!("bars {first}–{last}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::music::Meter;

    #[test]
    fn a_selection_is_the_same_bars_in_either_direction() {
        let bar = |index| Bar::of_constant_meter(index, Meter::COMMON);
        let forwards = Selection::of(Lane::Roll, bar(2)).drawn_to(bar(5));
        let backwards = Selection::of(Lane::Roll, bar(5)).drawn_to(bar(2));
        for selection in [forwards, backwards] {
            assert_eq!((selection.ticks(), selection.name()), (96..241, "bars 3–6".into()));
            let selected: Vec<i32> = (0..9).filter(|index| selection.contains(&bar(*index))).collect();
            assert_eq!(selected, [2, 3, 4, 5]);
        }
        assert_eq!(backwards.drawn_to(bar(7)).ticks(), 240..337, "beyond where it was begun");
        assert_eq!(Selection::of(Lane::Roll, bar(0)).name(), "bar 1");
    }
}
