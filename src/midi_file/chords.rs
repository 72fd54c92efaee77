//! Chords from a file: by name from its markers, else recognised from its notes.

use super::{Line, MidiFile};
use crate::music::{Chord, ChordPlan, Segment, Ticks};

/// A marker's chord; the inner `None` is N.C.
type NamedChord = (Ticks, Option<Chord>);

const NO_CHORD: &str = "N.C.";

/// Fewer chord names than one in so many bars are rehearsal letters (`A`, `B`).
const BARS_PER_CHORD_NAME: usize = 4;

impl MidiFile {
    /// A chord for each half-bar: from markers that are chord names if most markers are, else from what the pitched
    /// lines play together. Empty if the file has neither.
    pub fn chord_plan(&self) -> ChordPlan {
        let song = self.song_of(self.lines.iter().filter(|line| !line.is_drums()).flat_map(|line: &Line| &line.notes));
        let names: Vec<NamedChord> =
            self.markers.iter().filter_map(|(at, text)| Some((*at, chord_named(text)?))).collect();
        let last_name = names.last().map_or(0, |(at, _)| at + 1);
        let bars: Vec<_> = song.bars_until(song.end().max(last_name)).collect();
        let most = 2 * names.len() > self.markers.len();
        if !most || (names.len() * BARS_PER_CHORD_NAME < bars.len() && !song.melody.is_empty()) {
            return ChordPlan::from_chord_track(&song);
        }
        let chords_of_bar = |bar: crate::music::Bar| bar.segments().map(|segment| chord_in(&names, &segment)).collect();
        ChordPlan::from_bars(bars.into_iter().map(chords_of_bar).collect())
    }
}

/// The names of chords where they change, as markers are to have them; `None` is N.C.
pub fn chord_names(chords: impl IntoIterator<Item = (Ticks, Option<Chord>)>) -> Vec<(Ticks, String)> {
    let name = |chord: Option<Chord>| chord.map_or_else(|| NO_CHORD.to_owned(), |chord| chord.to_string());
    let mut names: Vec<(Ticks, String)> = chords.into_iter().map(|(at, chord)| (at, name(chord))).collect();
    names.dedup_by(|later, earlier| later.1 == earlier.1);
    names
}

fn chord_named(text: &str) -> Option<Option<Chord>> {
    match text.to_ascii_uppercase().as_str() {
        NO_CHORD | "NC" => Some(None),
        _ => text.parse().ok().map(Some),
    }
}

/// The last name before the segment's middle: markers set by hand come late.
fn chord_in(names: &[NamedChord], segment: &Segment) -> Option<Chord> {
    let middle = (segment.start() + segment.end()) / 2;
    names.iter().take_while(|(at, _)| *at < middle).last().and_then(|(_, chord)| *chord)
}

#[cfg(test)]
mod tests {
    use super::super::read;
    use super::super::test_files::{file, melody_track, meta, track};

    /// The plan of a file with these markers (quarter note, text) and a track of these keys, a quarter each.
    fn plan_of(markers: &[(u32, &str)], keys: &[u8]) -> String {
        let mut now = 0;
        let events: Vec<(u32, Vec<u8>)> = markers
            .iter()
            .map(|(quarter, text)| {
                let delta = quarter - std::mem::replace(&mut now, *quarter);
                (96 * delta, meta(6, text.as_bytes()))
            })
            .collect();
        let events: Vec<(u32, &[u8])> = events.iter().map(|(delta, event)| (*delta, event.as_slice())).collect();
        let tracks = [track(&events), melody_track("Chords", 0, keys)];
        read(&file(1, &tracks)).expect("notes or markers").chord_plan().to_string()
    }

    #[test]
    fn markers_that_are_chord_names_win() {
        let names = [(0, "Am"), (2, "F♯dim7"), (4, "N.C."), (10, "G/B"), (11, "Verse")];
        assert_eq!(plan_of(&names, &[]), "| Am F#dim7 | N.C. N.C. | N.C. G/B |");
        assert_eq!(plan_of(&[(0, "Am"), (5, "Dm7")], &[60; 8]), "| Am Am | Am Dm7 |");
    }

    #[test]
    fn rehearsal_letters_are_not_chords() {
        let keys = [[60, 64, 67, 60].as_slice(); 16].concat();
        let plan = plan_of(&[(0, "A"), (32, "B")], &keys);
        assert!(plan.starts_with("| C"), "{plan}");
        assert_eq!(plan_of(&[(0, "Intro"), (4, "Am")], &[60, 64, 67, 60]), plan_of(&[], &[60, 64, 67, 60]));
    }
}
