//! A row a part. GUI THREAD.

use super::controls::{Controls, SMALL_BUTTON, Sign};
use super::icons::Icon;
use super::window::ObbligatoEditor;
use super::{status, theme};
use crate::channels::SongView;
use crate::ledger::LedgerCommand;
use crate::links::Role;
use crate::music::{Part, PerPart, Ticks};
use egui::{Button, Color32, Grid, Rect, RichText, Sense, Ui, vec2};

impl ObbligatoEditor {
    pub(super) fn parts(&self, ui: &mut Ui, controls: &Controls<'_>, view: &SongView) {
        let shown: &[Part] = match self.params.link.get().role {
            Role::Band => &Part::ALL,
            Role::Part(own) => &[own],
            Role::ChordTrack => {
                ui.weak("Keys on this track are the band's chords; the band itself is on another track.");
                return;
            }
        };
        ui.spacing_mut().item_spacing = vec2(4.0, 5.0);
        Grid::new("parts").num_columns(9).min_col_width(0.0).show(ui, |ui| {
            for heading in ["", "On", "", "Density", "Octave", "Velocity", "Ch.", "Level", ""] {
                ui.weak(RichText::new(heading).size(12.0));
            }
            ui.end_row();
            for part in shown {
                self.part(ui, controls, view, *part);
                ui.end_row();
            }
        });
    }

    fn part(&self, ui: &mut Ui, controls: &Controls<'_>, view: &SongView, part: Part) {
        let (row, colour) = (self.params.part(part), theme::part_colour(part));
        ui.label(RichText::new(part.name()).color(colour));
        let on = controls.switch(ui, &row.on, "");
        on.widget_info(|| {
            egui::WidgetInfo::selected(egui::Role::CheckBox, true, row.on.value(), format!("{} on", part.name()))
        });
        ui.horizontal(|ui| {
            ui.spacing_mut().item_spacing.x = 3.0;
            controls
                .toggle(ui, &row.solo, Sign::Letter("S"), theme::CAUTION)
                .on_hover_text("Solo: only such parts are heard");
            let hint = "Lock: what it plays stays, whatever is played and set; the others go with it";
            controls.toggle(ui, &row.lock, Sign::Icon(Icon::Padlock), theme::LOCKED).on_hover_text(hint);
            self.reroll_button(ui, controls, part);
        });
        if part.is_of_band() {
            controls.bar(ui, &row.density, 54.0, colour).on_hover_text("More or fewer notes than the others");
        } else {
            ui.weak("");
        }
        controls.bar(ui, &row.octave, 38.0, colour);
        controls.bar(ui, &row.velocity, 54.0, colour);
        controls.bar(ui, &row.channel, 34.0, colour).on_hover_text("MIDI channel");
        level(ui, self.levels.part(part), colour);
        ui.weak(RichText::new(status::part_note(view, &self.meters, part)).size(11.0));
    }

    /// In the selected bars, else everywhere.
    fn reroll_button(&self, ui: &mut Ui, controls: &Controls<'_>, part: Part) {
        let selected = self.roll.selected();
        let place =
            selected.as_ref().map_or("everywhere (select bars to change only these)", |(_, name)| name.as_str());
        let locked = self.params.part(part).lock.value();
        let button = ui.add_enabled(!locked, Button::new("").min_size(SMALL_BUTTON));
        let button = button
            .on_hover_text(format!("Another answer in this part: {place}"))
            .on_disabled_hover_text("It is locked");
        button
            .widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, !locked, format!("Re-roll {}", part.name())));
        Icon::Die.paint(ui.painter(), button.rect.center(), if locked { theme::EDGE } else { theme::TEXT });
        if button.clicked() {
            let bars = selected.map_or(Ticks::MIN..Ticks::MAX, |(bars, _)| bars);
            self.params.command(LedgerCommand::Reroll { bars, parts: PerPart::from_fn(|each| each == part) });
            controls.tell_of_edit(&self.params);
        }
    }

    pub(super) fn melody_level(&self, ui: &mut Ui) {
        ui.weak(RichText::new("Melody in").size(12.0));
        level(ui, self.levels.melody(), theme::MELODY);
    }
}

/// How loud the last strokes were.
fn level(ui: &mut Ui, height: f32, colour: Color32) {
    let (whole, _) = ui.allocate_exact_size(vec2(44.0, 20.0), Sense::hover());
    let rail = whole.shrink2(vec2(0.0, 6.0));
    ui.painter().rect_filled(rail, 2.0, theme::RAIL);
    if height > 0.0 {
        let filled = Rect::from_min_size(rail.min, vec2(rail.width() * height, rail.height()));
        ui.painter().rect_filled(filled, 2.0, colour);
    }
}
