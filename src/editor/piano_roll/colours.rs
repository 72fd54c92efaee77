//! Colours of the timeline. GUI THREAD.

use super::score::{ChordSource, Voice};
use crate::editor::theme;
use crate::ledger::BarState;
use crate::music::Velocity;
use egui::Color32;

pub const BACKGROUND: Color32 = Color32::from_rgb(0x10, 0x11, 0x15);
/// Rows of black keys, and every second row of drums.
pub const BLACK_KEY: Color32 = Color32::from_rgb(0x16, 0x18, 0x1d);
pub const BEAT: Color32 = Color32::from_rgb(0x22, 0x25, 0x2d);
pub const BAR: Color32 = Color32::from_rgb(0x46, 0x4c, 0x5a);
/// As bright as it can be and still be told from the edges of all notes; the word above the bar says the same.
pub const HATCH: Color32 = Color32::from_rgb(0x3b, 0x41, 0x4e);
pub const PLAYHEAD: Color32 = Color32::from_rgb(0xff, 0xff, 0xff);
/// Behind the chord that sounds.
pub const NOW: Color32 = Color32::from_rgb(0x2c, 0x34, 0x46);
/// Laid over what is selected, and round it.
const SELECTED: [u8; 3] = [0x6f, 0xa8, 0xff];

pub fn voice(voice: Voice) -> Color32 {
    match voice {
        Voice::Melody => theme::MELODY,
        Voice::Part(part) => theme::part_colour(part),
    }
}

/// A note's colour: the louder, the brighter.
pub fn struck(colour: Color32, velocity: Velocity) -> Color32 {
    const SOFTEST: f32 = 0.7;
    over_background(colour, SOFTEST + (1.0 - SOFTEST) * f32::from(velocity.get()) / 127.0)
}

/// Inside a note that is only planned; its edge has the full colour.
pub fn planned(colour: Color32) -> Color32 {
    over_background(colour, 0.3)
}

pub fn selected() -> Color32 {
    let [red, green, blue] = SELECTED;
    Color32::from_rgba_unmultiplied(red, green, blue, 0x38)
}

pub fn selection_edge() -> Color32 {
    let [red, green, blue] = SELECTED;
    Color32::from_rgb(red, green, blue)
}

pub fn state(state: BarState) -> Color32 {
    match state {
        BarState::Anticipated => Color32::from_rgb(0xa9, 0xb4, 0xc6),
        BarState::Arranged => Color32::from_rgb(0x6f, 0xd3, 0x9a),
        BarState::Edited => Color32::from_rgb(0xf2, 0xcd, 0x5c),
        BarState::Locked => theme::LOCKED,
    }
}

/// Behind the sign of a bar's state.
pub fn state_behind(of: BarState) -> Color32 {
    over_background(state(of), 0.2)
}

pub fn source(source: ChordSource) -> Color32 {
    match source {
        ChordSource::Locked => state(BarState::Locked),
        ChordSource::Yours => Color32::from_rgb(0x8d, 0xc0, 0xff),
        ChordSource::Heard => state(BarState::Arranged),
        ChordSource::Loop => Color32::from_rgb(0xd7, 0xb4, 0xff),
        ChordSource::Proposed | ChordSource::Rule => state(BarState::Anticipated),
    }
}

/// As if painted with this opacity, 0..=1.
fn over_background(colour: Color32, opacity: f32) -> Color32 {
    let mix = |over: u8, under: u8| (f32::from(over) * opacity + f32::from(under) * (1.0 - opacity)).round() as u8;
    let (over, under) = (colour, BACKGROUND);
    Color32::from_rgb(mix(over.r(), under.r()), mix(over.g(), under.g()), mix(over.b(), under.b()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::editor::theme::contrast::{DISCERNIBLE, LEGIBLE, contrast};
    use crate::music::Part;

    const STATES: [BarState; 4] = [BarState::Anticipated, BarState::Arranged, BarState::Edited, BarState::Locked];
    const SOURCES: [ChordSource; 6] = [
        ChordSource::Locked,
        ChordSource::Yours,
        ChordSource::Heard,
        ChordSource::Loop,
        ChordSource::Proposed,
        ChordSource::Rule,
    ];

    /// What a selected place looks like.
    fn beneath_selection(colour: Color32) -> Color32 {
        colour.blend(selected())
    }

    #[test]
    fn every_note_can_be_told_from_what_is_behind_it() {
        let voices = Part::ALL.map(Voice::Part).into_iter().chain([Voice::Melody]);
        for voice in voices.map(voice) {
            assert!(contrast(voice, HATCH) >= DISCERNIBLE, "edge of a planned note: {voice:?}");
            for background in [BACKGROUND, BLACK_KEY] {
                for velocity in [1, 64, 127] {
                    let note = struck(voice, Velocity::clamped(velocity));
                    let contrast = contrast(note, background);
                    assert!(contrast >= DISCERNIBLE, "{voice:?} at {velocity} on {background:?}: {contrast:.2}");
                }
            }
            let loud = struck(voice, Velocity::clamped(127));
            assert!(
                contrast(loud, BACKGROUND) >= LEGIBLE && contrast(loud, beneath_selection(BACKGROUND)) >= DISCERNIBLE
            );
        }
    }

    #[test]
    fn a_planned_note_is_not_taken_for_one_that_is_struck() {
        for voice in Part::ALL.map(Voice::Part).map(voice) {
            assert!(contrast(voice, planned(voice)) >= DISCERNIBLE, "{voice:?}");
        }
    }

    #[test]
    fn signs_and_words_are_legible() {
        for background in [BACKGROUND, NOW, beneath_selection(BACKGROUND)] {
            for text in [theme::TEXT, theme::STRONG, theme::WEAK] {
                assert!(contrast(text, background) >= LEGIBLE, "{text:?} on {background:?}");
            }
            for source in SOURCES.map(source) {
                assert!(contrast(source, background) >= LEGIBLE, "{source:?} on {background:?}");
            }
        }
        for of in STATES {
            assert!(contrast(state(of), state_behind(of)) >= LEGIBLE, "{of:?}");
        }
        assert!(contrast(selection_edge(), BACKGROUND) >= DISCERNIBLE);
        assert!(contrast(PLAYHEAD, HATCH) >= LEGIBLE);
    }
}
