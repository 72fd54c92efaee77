//! A piano in the window, for those who have no keyboard at hand: played with the pointer, or with the letters of the
//! computer's keyboard. GUI THREAD.
//!
//! It is a keyboard on MIDI channel 1: what it plays is melody, or a chord where the keyboard is split.

mod held;
mod letters;
mod strip;

use self::held::Hands;
use self::strip::{Strip, is_white};
use super::theme;
use crate::channels::PianoKeys;
use crate::music::{Key, Velocity};
use egui::{Align2, Color32, DragValue, FontId, Rect, Role, Sense, Stroke, StrokeKind, Ui, WidgetInfo, vec2};

/// The piano and whether it is shown.
#[derive(Debug)]
pub struct Piano {
    pub open: bool,
    /// The keyboard is at its keys, and nowhere else in the window.
    has_keyboard: bool,
    /// As it was in the last frame.
    under_pointer: bool,
    hands: Hands,
}

const HEIGHT: f32 = 62.0;
const IVORY: Color32 = Color32::from_rgb(0xd9, 0xdc, 0xe2);
const EBONY: Color32 = Color32::from_rgb(0x1b, 0x1d, 0x22);

impl Piano {
    pub fn new(keys: PianoKeys, open: bool) -> Self {
        Self { open, has_keyboard: false, under_pointer: false, hands: Hands::new(keys) }
    }

    /// Takes the letters of a frame, before anything else does. While text is typed they are no keys of the piano.
    pub fn listen(&mut self, ui: &Ui) {
        self.hands.settle();
        if !self.open || ui.ctx().text_edit_focused() {
            self.hands.release_letters();
            return;
        }
        ui.input_mut(|input| input.events.retain(|event| !self.hands.take(event)));
    }

    /// The strip of keys, and what the letters play.
    pub fn show(&mut self, ui: &mut Ui) {
        ui.horizontal(|ui| {
            ui.vertical(|ui| self.controls(ui));
            self.strip(ui);
        });
    }

    /// A piano that is put away lets go of its keys.
    pub fn set_open(&mut self, open: bool) {
        self.open = open;
        self.hands.release_all();
    }

    /// The window goes, or nobody is there to let the keys go.
    pub fn release_all(&mut self) {
        self.hands.release_all();
    }

    /// None of its keys is Space, which a host wants.
    pub fn has_keyboard(&self) -> bool {
        self.open && self.has_keyboard
    }

    /// Strikes that found no room since the last look.
    pub fn lost(&mut self) -> u32 {
        std::mem::take(&mut self.hands.lost)
    }

    fn controls(&mut self, ui: &mut Ui) {
        ui.horizontal(|ui| {
            ui.label("Letters from");
            let lower = ui.small_button("−").on_hover_text("An octave lower (Z)");
            ui.label(Key::folded(self.hands.octave).to_string());
            let higher = ui.small_button("+").on_hover_text("An octave higher (X)");
            let octaves = i32::from(higher.clicked()) - i32::from(lower.clicked());
            if octaves != 0 {
                self.hands.move_octave(octaves);
            }
        });
        ui.horizontal(|ui| {
            let label = ui.label("Velocity").id;
            let mut velocity = self.hands.velocity.get();
            let field = ui.add(DragValue::new(&mut velocity).range(1..=127).speed(0.5)).labelled_by(label);
            if field.on_hover_text("How hard letters strike (C softer, V harder)").changed() {
                self.hands.velocity = Velocity::clamped(i32::from(velocity));
            }
        });
    }

    fn strip(&mut self, ui: &mut Ui) {
        let size = vec2(ui.available_width(), HEIGHT);
        let (rect, response) = ui.allocate_exact_size(size, Sense::click_and_drag());
        response.widget_info(|| WidgetInfo::labeled(Role::Group, true, "Piano: play with the pointer, or A to P"));
        // A window without the keyboard leaves letters to the host, which has keys of its own.
        let entered = response.contains_pointer() && !self.under_pointer && !ui.ctx().text_edit_focused();
        self.under_pointer = response.contains_pointer();
        if entered || ui.memory(|memory| memory.focused().is_none()) {
            response.request_focus();
        }
        self.has_keyboard = response.has_focus();
        let strip = Strip::within(rect);
        // Down, not clicked: a key sounds when it is pressed.
        let pointer = response.interact_pointer_pos().filter(|_| response.is_pointer_button_down_on());
        let touched = pointer.and_then(|point| Some((point, strip.key_at(point)?)));
        self.hands.point(touched.map(|(point, key)| (key, strip.velocity_at(point, key))));
        for (key, rect) in strip.keys() {
            self.paint_key(ui, key, rect);
        }
        if self.has_keyboard {
            let stroke = Stroke::new(1.5, theme::FOCUS);
            ui.painter().rect_stroke(rect, 2.0, stroke, StrokeKind::Inside);
        }
    }

    fn paint_key(&self, ui: &Ui, key: Key, rect: Rect) {
        let white = is_white(i32::from(key.number()));
        let (fill, ink) = match (self.hands.is_down(key), white) {
            (true, _) => (theme::ACCENT, EBONY),
            (false, true) => (IVORY, EBONY),
            (false, false) => (EBONY, IVORY),
        };
        ui.painter().rect(rect, 2.0, fill, Stroke::new(1.0, theme::BACKGROUND), StrokeKind::Inside);
        if let Some(letter) = letters::letter(i32::from(key.number()) - self.hands.octave) {
            let place = rect.center_bottom() - vec2(0.0, 3.0);
            ui.painter().text(place, Align2::CENTER_BOTTOM, letter.name(), FontId::proportional(11.0), ink);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::editor::theme::contrast::{LEGIBLE, contrast};

    #[test]
    fn letters_on_keys_are_legible() {
        for (ink, fill) in [(EBONY, IVORY), (IVORY, EBONY), (EBONY, theme::ACCENT)] {
            assert!(contrast(ink, fill) >= LEGIBLE, "{ink:?} on {fill:?}");
        }
    }
}
