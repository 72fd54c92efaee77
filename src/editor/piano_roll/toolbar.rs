//! The buttons above the timeline. GUI THREAD.

use super::input::ZOOM_STEP;
use super::score::{Score, ShownChord};
use super::selection::Selection;
use super::wish::{Wish, chords_are_locked, music_is_locked};
use crate::editor::theme;
use crate::music::Part;
use egui::{Button, FontId, Response, RichText, Stroke, Ui, pos2, vec2};

/// What the buttons show.
pub struct Toolbar<'a> {
    pub score: &'a Score,
    pub selection: Option<&'a Selection>,
    /// Steps that can be undone and redone.
    pub steps: (usize, usize),
    pub follow: bool,
    /// The chord that sounds, and the one it changes to.
    pub chords: Option<(ShownChord, Option<ShownChord>)>,
}

impl Toolbar<'_> {
    /// `beside`: what else stands in the row.
    pub fn show(&self, ui: &mut Ui, beside: impl FnOnce(&mut Ui)) -> Option<Wish> {
        let mut wish = None;
        ui.horizontal_wrapped(|ui| {
            ui.spacing_mut().item_spacing.x = 6.0;
            self.music(ui, &mut wish);
            ui.separator();
            self.chords(ui, &mut wish);
            ui.separator();
            self.history(ui, &mut wish);
            ui.separator();
            self.window(ui, &mut wish);
            beside(ui);
            let selected = self.selection.map_or_else(|| "drag over bars to select".into(), Selection::name);
            ui.weak(selected);
            self.now_and_next(ui);
        });
        wish
    }

    /// To be read from a metre away, where there is room for it.
    fn now_and_next(&self, ui: &Ui) {
        const ARROW: f32 = 26.0;
        let Some((now, next)) = self.chords else { return };
        let named =
            |chord: ShownChord, colour| ui.painter().layout_no_wrap(chord.name(), FontId::proportional(28.0), colour);
        let (now, next) = (named(now, theme::STRONG), next.map(|next| named(next, theme::TEXT)));
        let width =
            now.size().x + next.as_ref().map_or(0.0, |next| next.size().x + 2.0 * ui.spacing().item_spacing.x + ARROW);
        let room = ui.available_rect_before_wrap();
        if width > room.width() {
            return;
        }
        let at = |x: f32, height: f32| pos2(x, room.center().y - height / 2.0);
        let left = room.right() - width;
        let arrow = left + now.size().x + ui.spacing().item_spacing.x;
        ui.painter().galley(at(left, now.size().y), now, theme::STRONG);
        if let Some(next) = next {
            ui.painter().arrow(at(arrow, 0.0), vec2(ARROW, 0.0), Stroke::new(2.0, theme::WEAK));
            ui.painter().galley(at(room.right() - next.size().x, next.size().y), next, theme::TEXT);
        }
    }

    fn music(&self, ui: &mut Ui, wish: &mut Option<Wish>) {
        let selected = self.selection.is_some();
        ui.add_enabled_ui(selected, |ui| {
            let menu = ui.menu_button("Re-roll", |ui| self.parts(ui, wish));
            explain(menu.response, "Another answer in the selected bars (R; 1 to 7 for one part)");
        });
        let locked = self.selection.is_some_and(|selected| music_is_locked(&selected.ticks(), self.score));
        let (text, hint) = if locked {
            ("Unlock", "The selected bars may change again (L)")
        } else {
            ("Lock", "The music of the selected bars stays, whatever is played and set (L)")
        };
        press(ui, wish, Wish::ToggleMusicLock, selected, text, hint);
        press(ui, wish, Wish::ClearBars, selected, "Clear", "Forgets the selected bars, melody and all (Delete)");
    }

    fn parts(&self, ui: &mut Ui, wish: &mut Option<Wish>) {
        if ui.button("All parts").clicked() {
            *wish = Some(Wish::Reroll(None));
        }
        for part in Part::ALL {
            if ui.button(RichText::new(part.name()).color(theme::part_colour(part))).clicked() {
                *wish = Some(Wish::Reroll(Some(part)));
            }
        }
    }

    fn chords(&self, ui: &mut Ui, wish: &mut Option<Wish>) {
        let selected = self.selection.is_some();
        let locked = self.selection.is_some_and(|selected| chords_are_locked(&selected.ticks(), self.score));
        let (text, hint) = if locked {
            ("Unlock chords", "The band may choose other chords here (L, selected in the chord lane)")
        } else {
            ("Lock chords", "The chords of the selected bars stay (L, selected in the chord lane)")
        };
        press(ui, wish, Wish::ToggleChordLock, selected, text, hint);
        let hint = "Gives the chords of the selected bars back to the band (Delete, selected in the chord lane)";
        press(ui, wish, Wish::ClearChords, selected, "Clear chords", hint);
    }

    fn history(&self, ui: &mut Ui, wish: &mut Option<Wish>) {
        let (undo, redo) = self.steps;
        press(ui, wish, Wish::Undo, undo > 0, "Undo", "Takes back the last change to the bars (Ctrl+Z)");
        press(ui, wish, Wish::Redo, redo > 0, "Redo", "Does again what was taken back (Ctrl+Shift+Z, Ctrl+Y)");
    }

    fn window(&self, ui: &mut Ui, wish: &mut Option<Wish>) {
        let follow = ui.selectable_label(self.follow, "Follow");
        if follow.on_hover_text("Scrolls with the playhead; scrolling by hand ends it (F)").clicked() {
            *wish = Some(Wish::ToggleFollow);
        }
        for (sign, name, factor) in [("−", "Zoom out", 1.0 / ZOOM_STEP), ("+", "Zoom in", ZOOM_STEP)] {
            let hint = "Or Ctrl and the wheel, or the keys + and −";
            let button = ui.add(Button::new(sign)).accessible_name(name);
            if button.on_hover_text(format!("{name}. {hint}")).clicked() {
                *wish = Some(Wish::Zoom(factor));
            }
        }
    }
}

fn press(ui: &mut Ui, wish: &mut Option<Wish>, means: Wish, enabled: bool, text: &str, hint: &str) {
    if explain(ui.add_enabled(enabled, Button::new(text)), hint).clicked() {
        *wish = Some(means);
    }
}

fn explain(response: Response, hint: &str) -> Response {
    response.on_hover_text(hint).on_disabled_hover_text(hint)
}
