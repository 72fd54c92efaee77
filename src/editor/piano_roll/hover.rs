//! What stands under the pointer, in words. Pure.

use super::layout::{BarBox, NoteBox, Picture};
use super::score::Voice;
use super::selection::Selection;
use crate::editor::piano_roll::drum_lane::Drum;
use crate::ledger::BarState;
use crate::music::{Part, Ticks};

/// A note; else the bar, where the pointer is above the notes.
pub fn on_roll(picture: &Picture, x: f32, y: f32) -> Option<String> {
    if y >= picture.bands.roll.top {
        return picture.note_at(x, y).map(note);
    }
    picture.bar_at(x).map(bar)
}

pub fn on_chords(picture: &Picture, x: f32) -> Option<String> {
    const HINT: &str = "Drag its name to have it elsewhere too, its edge to make it longer; double-click to type";
    const EMPTY: &str = "Double-click to type chords";
    let chord = picture.chord_at(x)?;
    let number = chord.bar.bar.index.0 + 1;
    Some(match chord.shown {
        Some(shown) => {
            let (source, why) = (shown.source.name(), shown.source.explanation());
            format!("{} in bar {number}, {source}: {why}\n{HINT}", shown.name())
        }
        None => format!("Bar {number}: no chord is settled yet\n{EMPTY}"),
    })
}

/// `E4 · Melody · velocity 80 · bar 3, beat 2`.
fn note(shown: &NoteBox) -> String {
    let note = &shown.note;
    let name = match note.voice {
        Voice::Part(Part::Drums) => Drum::of(note.key).name().to_owned(),
        Voice::Melody | Voice::Part(_) => note.key.to_string(),
    };
    let (voice, velocity, number) = (note.voice.name(), note.velocity.get(), shown.bar.index.0 + 1);
    let off = if note.silent { " · off" } else { "" };
    format!("{name} · {voice} · velocity {velocity} · bar {number}, beat {}{off}", beat(shown))
}

/// From 1; with what is past the beat in hundredths.
fn beat(shown: &NoteBox) -> String {
    let beat: Ticks = shown.bar.meter.beat_length();
    let offset = shown.note.start - shown.bar.start;
    let (whole, part) = (offset.div_euclid(beat) + 1, offset.rem_euclid(beat) * 100 / beat);
    if part == 0 { whole.to_string() } else { format!("{whole}.{part:02}") }
}

fn bar(shown: &BarBox) -> String {
    let state = match shown.state {
        None if shown.planned.is_some() => "planned: its chords are settled, its music is not written yet",
        None => "nothing is written yet",
        Some(BarState::Anticipated) if shown.listened => "played while the band was listening",
        Some(BarState::Anticipated) => "anticipated: played before its melody was heard",
        Some(BarState::Arranged) => "arranged: written for its melody",
        Some(BarState::Edited) => "edited: written anew for you",
        Some(BarState::Locked) => "locked: stays whatever is played",
    };
    let wanted = if shown.wanted { "; is being written anew" } else { "" };
    format!("Bar {}, {state}{wanted}", shown.bar.bar.index.0 + 1)
}

/// For whoever hears the window rather than sees it.
pub fn summary(what: &str, picture: &Picture, selection: Option<&Selection>) -> String {
    let number = |bar: Option<&BarBox>| bar.map_or(1, |bar| bar.bar.bar.index.0 + 1);
    let (first, last) = (number(picture.bars.first()), number(picture.bars.last()));
    let selected =
        selection.map_or_else(|| "nothing selected".into(), |selected| format!("{} selected", selected.name()));
    let playing = picture.chords.iter().find(|chord| chord.sounds_now).map_or_else(String::new, |chord| {
        let name = chord.shown.map_or_else(|| "no chord".into(), |shown| shown.name());
        format!(", playhead in bar {} on {name}", chord.bar.bar.index.0 + 1)
    });
    format!("{what}: bars {first} to {last} in view{playing}, {selected}")
}

#[cfg(test)]
mod tests {
    use super::super::layout::Subject;
    use super::super::score::Score;
    use super::super::test_songs::{settings, song};
    use super::super::viewport::Viewport;
    use super::*;
    use crate::channels::SongView;
    use crate::music::ChordPlan;

    fn picture(view: &SongView) -> Picture {
        let mut viewport = Viewport::default();
        viewport.resize(700.0);
        let score = Score::of(view, &ChordPlan::default(), &settings());
        let subject = Subject { score: &score, sung: &[], viewport: &viewport, selection: None, playhead: 50.0 };
        Picture::of(&subject, 700.0, 300.0)
    }

    #[test]
    fn notes_bars_and_chords_are_told() {
        let mut view = song(3);
        view.ledger.lock(48..49);
        let picture = picture(&view);
        let of = |voice: Voice| picture.notes.iter().filter(move |shown| shown.note.voice == voice);
        let text =
            |shown: &NoteBox| on_roll(&picture, shown.area.left + 1.0, (shown.area.top + shown.area.bottom) / 2.0);
        let melody: Vec<_> = of(Voice::Melody).take(2).filter_map(text).collect();
        assert_eq!(
            melody,
            ["C4 · Melody · velocity 100 · bar 1, beat 1", "D4 · Melody · velocity 102 · bar 1, beat 2"]
        );
        let drums: Vec<_> = of(Voice::Part(Part::Drums)).take(2).filter_map(text).collect();
        assert_eq!(
            drums,
            ["Kick · Drums · velocity 76 · bar 1, beat 1", "Hat · Drums · velocity 82 · bar 1, beat 1.50"]
        );
        let above = |x: f32| on_roll(&picture, x, picture.bands.states.top + 1.0).unwrap_or_default();
        assert!(above(picture.bars[0].left + 1.0).starts_with("Bar 1, arranged"));
        assert!(above(picture.bars[1].left + 1.0).starts_with("Bar 2, locked"));
        assert!(on_chords(&picture, 1.0).is_some_and(|text| text.starts_with("C in bar 1, proposed")));
        assert_eq!(
            summary("Chords", &picture, None),
            "Chords: bars 1 to 10 in view, playhead in bar 2 on C, nothing selected"
        );
    }
}
