//! What the take has played, which is what the band remembers while it jams.
//!
//! The ledger may meanwhile be written anew in idle moments; what was played stays what it was.

use super::LOOP_BARS;
use crate::generators::SegmentAnswer;
use crate::music::{Segment, Ticks};

#[derive(Debug, Clone, PartialEq)]
pub struct PlayedSegment {
    pub answer: SegmentAnswer,
    /// In a count-in.
    pub listened: bool,
}

/// An unbroken row of answers, oldest first.
#[derive(Debug, Default)]
pub struct Played {
    segments: Vec<PlayedSegment>,
}

impl Played {
    /// Two segments a bar.
    const MOST: usize = 2 * LOOP_BARS;

    pub fn clear(&mut self) {
        self.segments.clear();
    }

    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Takes an answer in. What it does not follow on is forgotten.
    pub fn add(&mut self, played: PlayedSegment) {
        let start = played.answer.segment.start();
        self.segments.retain(|old| old.answer.segment.end() <= start);
        if self.end() != Some(start) {
            self.segments.clear();
        }
        if self.segments.len() == Self::MOST {
            self.segments.remove(0);
        }
        self.segments.push(played);
    }

    /// The row up to `start`; empty if it does not reach there.
    pub fn before(&self, start: Ticks) -> &[PlayedSegment] {
        let count = self.segments.partition_point(|played| played.answer.segment.end() <= start);
        let row = &self.segments[..count];
        if row.last().is_some_and(|last| last.answer.segment.end() == start) { row } else { &[] }
    }

    pub fn answer_to(&self, segment: &Segment) -> Option<&PlayedSegment> {
        self.segments.iter().find(|played| {
            let other = &played.answer.segment;
            (other.start(), other.end()) == (segment.start(), segment.end())
        })
    }

    fn end(&self) -> Option<Ticks> {
        self.segments.last().map(|last| last.answer.segment.end())
    }
}
