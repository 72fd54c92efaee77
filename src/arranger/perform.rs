//! A whole song played through the engine as a host would.

use super::Arranger;
use crate::channels::{Cut, Heard, SHORTEST_MARGIN, TakeId};
use crate::generators::SegmentAnswer;
use crate::music::{Bar, Note, Segment, Song, Ticks, in_quarters};
use crate::settings::{Follow, Settings};

impl Arranger {
    /// Plays a whole song through the engine as a host would, and returns the answers by segment.
    ///
    /// A jam is what the plugin plays in its first pass over the song, an arrangement what it plays in its second.
    /// `progress` is called after each segment.
    pub fn perform(
        &mut self,
        song: &Song,
        settings: &Settings,
        progress: &mut dyn FnMut(&SegmentAnswer),
    ) -> Vec<SegmentAnswer> {
        let settings = settings.clamped();
        let bars: Vec<Bar> = song.bars().collect();
        let take = |number| Heard::TakeBegan { take: TakeId(number), at: 0.0 };
        self.hear(&take(1));
        let mut events = melody_events(song).into_iter().peekable();
        let mut answers = Vec::new();
        for segment in bars.iter().flat_map(|bar| bar.segments()) {
            let cut_at = segment.start() - SHORTEST_MARGIN;
            while let Some((_, heard)) = events.next_if(|(at, _)| *at <= cut_at) {
                self.hear(&heard);
            }
            let cut = cut_of(song, segment, &settings);
            match settings.follow {
                Follow::Jam => {
                    let answer = self.answer(&cut, &mut |_| {});
                    progress(&answer);
                    answers.push(answer);
                }
                Follow::Arrange => self.hearing.expect(segment.bar),
            }
        }
        events.for_each(|(_, heard)| self.hear(&heard));
        let end = bars.last().map_or(0, Bar::end);
        self.hear(&Heard::TakeEnded { at: in_quarters(end) });
        if settings.follow == Follow::Arrange {
            self.hear(&take(2));
            for segment in bars.iter().flat_map(|bar| bar.segments()) {
                let answer = self.answer(&cut_of(song, segment, &settings), &mut |_| {});
                progress(&answer);
                answers.push(answer);
            }
        }
        answers
    }
}

pub(super) fn cut_of(song: &Song, segment: Segment, settings: &Settings) -> Cut {
    Cut {
        take: TakeId(1),
        segment,
        margin: SHORTEST_MARGIN,
        settings: *settings,
        // The tempo where the plugin would have cut: just before the segment.
        quarters_per_minute: Cut::tempo(song.tempo_at((segment.start() - SHORTEST_MARGIN).max(0))),
        offline: true,
    }
}

/// The melody as a host would send it, by time; releases before strikes.
pub(super) fn melody_events(song: &Song) -> Vec<(Ticks, Heard)> {
    let mut events: Vec<(Ticks, Heard)> = Vec::with_capacity(2 * song.melody.len());
    for note in &song.melody {
        let Note { start, key, velocity, .. } = *note;
        events.push((start, Heard::NoteOn { key, velocity, channel: 0, at: in_quarters(start) }));
        events.push((note.end(), Heard::NoteOff { key, channel: 0, at: in_quarters(note.end()) }));
    }
    events.sort_by_key(|(at, heard)| (*at, matches!(heard, Heard::NoteOn { .. })));
    events
}
