//! Keys, wheel and pointer as wishes. GUI THREAD.

use super::wish::Wish;
use crate::music::Part;
use egui::{Event, Key, Modifiers, PointerButton, Response, Ui, Vec2};

/// One step of the zoom keys and buttons.
pub const ZOOM_STEP: f64 = 1.25;
/// Bars that a page turns.
const PAGE: i32 = 8;

/// The keys pressed since the last frame.
pub fn key_wishes(ui: &Ui) -> Vec<Wish> {
    ui.input(|input| {
        let wishes = input.events.iter().filter_map(|event| match event {
            Event::Text(text) => lettered(text),
            Event::Key { key, pressed: true, modifiers, .. } => named(*key, *modifiers),
            _ => None,
        });
        wishes.collect()
    })
}

/// Letters and signs come as text, so that they are where the user's keyboard has them.
fn lettered(text: &str) -> Option<Wish> {
    let mut letters = text.chars();
    let (letter, None) = (letters.next()?, letters.next()) else { return None };
    match letter.to_ascii_lowercase() {
        'r' => Some(Wish::Reroll(None)),
        'l' => Some(Wish::ToggleLock),
        'f' => Some(Wish::ToggleFollow),
        '+' | '=' => Some(Wish::Zoom(ZOOM_STEP)),
        '-' => Some(Wish::Zoom(1.0 / ZOOM_STEP)),
        digit => {
            let number = digit.to_digit(10)?.checked_sub(1)?;
            Part::ALL.get(number as usize).map(|part| Wish::Reroll(Some(*part)))
        }
    }
}

fn named(key: Key, modifiers: Modifiers) -> Option<Wish> {
    match key {
        Key::Z if modifiers.command && modifiers.shift => Some(Wish::Redo),
        Key::Z if modifiers.command => Some(Wish::Undo),
        // Some hosts' windows do not pass on the former.
        Key::Y if modifiers.command => Some(Wish::Redo),
        Key::A if modifiers.command => Some(Wish::SelectAll),
        _ if modifiers.command || modifiers.alt => None,
        Key::Delete | Key::Backspace => Some(Wish::Clear),
        Key::Escape => Some(Wish::SelectNothing),
        Key::PageUp => Some(Wish::Page(-PAGE)),
        Key::PageDown => Some(Wish::Page(PAGE)),
        Key::Enter => Some(Wish::TypeChords),
        Key::ArrowLeft if modifiers.shift => Some(Wish::Extend(-1)),
        Key::ArrowRight if modifiers.shift => Some(Wish::Extend(1)),
        Key::ArrowLeft => Some(Wish::Step(-1)),
        Key::ArrowRight => Some(Wish::Step(1)),
        Key::Home => Some(Wish::ToStart),
        Key::End => Some(Wish::ToEnd),
        _ => None,
    }
}

/// How wheel, track pad and middle button move what is under the pointer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Motion {
    /// Factor, and the place that stays where it is, in points of the window.
    pub zoom: Option<(f64, f32)>,
    /// Points to the right.
    pub scroll: f32,
}

impl Motion {
    pub fn over(ui: &Ui, response: &Response) -> Self {
        let panned = if response.dragged_by(PointerButton::Middle) { response.drag_delta().x } else { 0.0 };
        let Some(pointer) = response.hover_pos() else { return Self { zoom: None, scroll: panned } };
        ui.input(|input| {
            let Vec2 { x, y } = input.smooth_scroll_delta();
            let zoom = f64::from(input.zoom_delta());
            Self { zoom: (zoom != 1.0).then_some((zoom, pointer.x)), scroll: panned + x + y }
        })
    }
}
