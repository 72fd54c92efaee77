//! The chord plan as text, and where chords are held. GUI THREAD.

use super::controls::Controls;
use super::status::sentence;
use super::theme;
use super::window::ObbligatoEditor;
use crate::settings::ChordInput;
use egui::{TextEdit, Ui};

impl ObbligatoEditor {
    pub(super) fn chord_plan(&mut self, ui: &mut Ui, controls: &Controls<'_>) {
        ui.horizontal_wrapped(|ui| {
            const HELD: f32 = 330.0;
            let label = ui.label("Chords").id;
            self.plan.refresh(self.params.plan.text());
            let field = TextEdit::singleline(&mut self.plan.typed)
                .hint_text("yours, as in  | C | G/B | Am F |   (empty: the band chooses)")
                .desired_width((ui.available_size_before_wrap().x - HELD).max(200.0));
            if ui.add(field).labelled_by(label).lost_focus()
                && let Some(text) = self.plan.commit()
            {
                self.params.plan.set_text(text);
                controls.tell_of_edit(&self.params);
            }
            self.held_chords(ui, controls);
        });
        if let Some(problem) = self.params.plan.problem() {
            ui.colored_label(theme::PROBLEM, sentence(&problem));
        }
    }

    fn held_chords(&self, ui: &mut Ui, controls: &Controls<'_>) {
        ui.weak("held on").on_hover_text("The chords that you hold are played by the band, and not heard as melody");
        controls.choice(ui, &self.params.chord_input);
        match self.params.chord_input.value() {
            ChordInput::Off => {}
            ChordInput::Split => {
                controls.bar(ui, &self.params.split_key, 56.0, theme::ACCENT).on_hover_text("Keys below it are chords");
            }
            ChordInput::Channel => {
                controls.bar(ui, &self.params.chord_channel, 56.0, theme::ACCENT).on_hover_text("Its notes are chords");
            }
        }
    }
}
