//! Colours and sizes of the editor. GUI THREAD.

use crate::music::Part;
use egui::style::ScrollStyle;
use egui::{Color32, Context, CornerRadius, Rgba, Stroke, Style, Theme, Visuals, vec2};

pub const BACKGROUND: Color32 = Color32::from_rgb(0x17, 0x19, 0x1e);
/// Behind rows that stand out from the background.
pub const RAISED: Color32 = Color32::from_rgb(0x1f, 0x22, 0x29);
/// Behind typed text.
const SUNKEN: Color32 = Color32::from_rgb(0x0e, 0x0f, 0x12);
pub const CONTROL: Color32 = Color32::from_rgb(0x31, 0x36, 0x41);
const CONTROL_HOVERED: Color32 = Color32::from_rgb(0x3d, 0x44, 0x52);
const CONTROL_ACTIVE: Color32 = Color32::from_rgb(0x49, 0x52, 0x63);
/// Behind what is chosen.
const CHOSEN: Color32 = Color32::from_rgb(0x2a, 0x4d, 0x7c);

pub const TEXT: Color32 = Color32::from_rgb(0xe8, 0xea, 0xef);
pub const STRONG: Color32 = Color32::from_rgb(0xff, 0xff, 0xff);
pub const WEAK: Color32 = Color32::from_rgb(0xa6, 0xad, 0xba);
pub const PROBLEM: Color32 = Color32::from_rgb(0xff, 0x9d, 0x8a);

/// Round what has the keyboard.
pub const FOCUS: Color32 = Color32::from_rgb(0x8d, 0xc0, 0xff);
/// Of what can be turned.
pub const EDGE: Color32 = Color32::from_rgb(0x77, 0x80, 0x92);
/// The way a knob has not gone.
pub const RAIL: Color32 = Color32::from_rgb(0x5f, 0x67, 0x77);
/// The way it has gone, and what goes well.
pub const ACCENT: Color32 = Color32::from_rgb(0x6f, 0xd3, 0xc4);
/// Of what is locked.
pub const LOCKED: Color32 = Color32::from_rgb(0xff, 0x8f, 0xb1);
/// The melody's colour.
pub const MELODY: Color32 = Color32::from_rgb(0xf6, 0xf1, 0xdc);
/// What wants watching, and is no problem yet.
pub const CAUTION: Color32 = Color32::from_rgb(0xf2, 0xcd, 0x5c);

/// A part's colour, the same wherever the part is shown.
pub fn part_colour(part: Part) -> Color32 {
    let [red, green, blue] = part.colour();
    Color32::from_rgb(red, green, blue)
}

/// [`BACKGROUND`], for the renderer, which takes it as the bytes that it writes and not as light.
pub fn clear_colour() -> Rgba {
    let [red, green, blue] = [BACKGROUND.r(), BACKGROUND.g(), BACKGROUND.b()].map(|byte| f32::from(byte) / 255.0);
    Rgba::from_rgb(red, green, blue)
}

/// Makes everything drawn with this context look like Obbligato, whatever the system prefers.
pub fn apply(context: &Context) {
    context.set_theme(Theme::Dark);
    context.all_styles_mut(restyle);
}

fn restyle(style: &mut Style) {
    style.visuals = visuals();
    style.spacing.item_spacing = vec2(10.0, 8.0);
    style.spacing.button_padding = vec2(8.0, 3.0);
    style.spacing.interact_size.y = 22.0;
    // Bars that are always seen: without them nobody knows that there is more.
    style.spacing.scroll = ScrollStyle { bar_width: 8.0, foreground_color: true, ..ScrollStyle::solid() };
    style.interaction.selectable_labels = false;
}

fn visuals() -> Visuals {
    let mut visuals = Visuals::dark();
    visuals.panel_fill = BACKGROUND;
    visuals.window_fill = RAISED;
    visuals.faint_bg_color = RAISED;
    visuals.extreme_bg_color = SUNKEN;
    visuals.weak_text_color = Some(WEAK);
    visuals.error_fg_color = PROBLEM;
    visuals.selection.bg_fill = CHOSEN;
    visuals.selection.stroke = Stroke::new(1.0, STRONG);
    visuals.slider_trailing_fill = true;
    visuals.widgets.noninteractive.fg_stroke.color = TEXT;
    visuals.widgets.noninteractive.bg_fill = BACKGROUND;
    let states = &mut visuals.widgets;
    for (state, fill, text) in [
        (&mut states.inactive, CONTROL, TEXT),
        (&mut states.hovered, CONTROL_HOVERED, STRONG),
        (&mut states.active, CONTROL_ACTIVE, STRONG),
        (&mut states.open, CONTROL_HOVERED, STRONG),
    ] {
        state.bg_fill = fill;
        state.weak_bg_fill = fill;
        state.fg_stroke.color = text;
        state.corner_radius = CornerRadius::same(4);
        state.expansion = 0.0;
    }
    // The keyboard is where the widget looks active.
    visuals.widgets.active.bg_stroke = Stroke::new(1.5, FOCUS);
    visuals
}

/// How well colours can be told apart: Web Content Accessibility Guidelines 2.2.
#[cfg(test)]
pub mod contrast {
    use super::*;

    /// Level AA for text of normal size.
    pub const LEGIBLE: f32 = 4.5;
    /// Level AA for shapes that carry meaning.
    pub const DISCERNIBLE: f32 = 3.0;

    /// Contrast of two opaque colours, 1..=21: the guidelines' "contrast ratio".
    pub fn contrast(a: Color32, b: Color32) -> f32 {
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    fn luminance(colour: Color32) -> f32 {
        assert_eq!(colour.a(), 255, "a transparent colour has no contrast of its own");
        let linear = |channel: u8| {
            let share = f32::from(channel) / 255.0;
            if share <= 0.04045 { share / 12.92 } else { ((share + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * linear(colour.r()) + 0.7152 * linear(colour.g()) + 0.0722 * linear(colour.b())
    }

    #[test]
    fn contrast_is_as_the_guidelines_define_it() {
        assert!((contrast(Color32::WHITE, Color32::BLACK) - 21.0).abs() < 0.01);
        assert!((contrast(Color32::from_rgb(0x77, 0x77, 0x77), Color32::WHITE) - 4.48).abs() < 0.01);
    }
}

#[cfg(test)]
mod tests {
    use super::contrast::{DISCERNIBLE, LEGIBLE, contrast};
    use super::*;

    #[test]
    fn all_text_is_legible() {
        let visuals = visuals();
        let states = &visuals.widgets;
        let mut pairs = vec![
            ("chosen", visuals.selection.stroke.color, visuals.selection.bg_fill),
            ("typed", states.inactive.text_color(), visuals.text_edit_bg_color()),
            ("hint", visuals.weak_text_color(), visuals.text_edit_bg_color()),
        ];
        for state in [&states.inactive, &states.hovered, &states.active, &states.open] {
            pairs.push(("control", state.text_color(), state.weak_bg_fill));
            pairs.push(("check mark", state.text_color(), state.bg_fill));
            pairs.push(("control's label", state.text_color(), visuals.panel_fill));
            pairs.push(("choice", state.text_color(), visuals.selection.bg_fill));
        }
        for background in [BACKGROUND, RAISED] {
            pairs.push(("label", visuals.text_color(), background));
            pairs.push(("going well", ACCENT, background));
            pairs.push(("caution", CAUTION, background));
            pairs.push(("strong", visuals.strong_text_color(), background));
            pairs.push(("weak", visuals.weak_text_color(), background));
            pairs.push(("problem", visuals.error_fg_color, background));
            pairs.extend(Part::ALL.map(|part| (part.name(), part_colour(part), background)));
        }
        pairs.extend([CAUTION, LOCKED].map(|lit| ("sign of a lit button", BACKGROUND, lit)));
        pairs.extend([CONTROL, CONTROL_HOVERED, CONTROL_ACTIVE].map(|fill| ("value in a bar", STRONG, fill)));
        for (name, text, background) in pairs {
            let contrast = contrast(text, background);
            assert!(contrast >= LEGIBLE, "{name}: {text:?} on {background:?} has {contrast:.2}");
        }
    }

    #[test]
    fn the_keyboard_is_seen_where_it_is_and_a_knob_where_it_stands() {
        for background in [BACKGROUND, RAISED, CONTROL, CONTROL_ACTIVE] {
            assert!(contrast(FOCUS, background) >= DISCERNIBLE, "{background:?}");
        }
        assert!(contrast(RAIL, BACKGROUND) >= DISCERNIBLE && contrast(ACCENT, RAIL) >= DISCERNIBLE);
        for background in [BACKGROUND, RAISED, CONTROL] {
            assert!(contrast(EDGE, background) >= DISCERNIBLE, "an empty box or meter on {background:?}");
        }
        for colour in Part::ALL.map(part_colour) {
            assert!(contrast(colour, BACKGROUND) >= DISCERNIBLE, "a meter that is full: {colour:?}");
            assert!(contrast(colour, CONTROL) >= DISCERNIBLE, "a bar that is full: {colour:?}");
        }
        for fill in [CONTROL, CONTROL_HOVERED, CONTROL_ACTIVE] {
            assert!(contrast(STRONG, fill) >= DISCERNIBLE, "the pointer on {fill:?}");
        }
    }

    #[test]
    fn a_slider_shows_how_far_it_is() {
        let visuals = visuals();
        let handle = visuals.widgets.inactive.fg_stroke.color;
        assert!(contrast(handle, visuals.widgets.inactive.bg_fill) >= DISCERNIBLE);
        assert!(contrast(handle, visuals.selection.bg_fill) >= DISCERNIBLE);
    }
}
