//! A row a part. GUI THREAD.

use super::controls::{Controls, SMALL_BUTTON, Sign};
use super::icons::Icon;
use super::window::ObbligatoEditor;
use super::{meter, status, theme};
use crate::channels::SongView;
use crate::ledger::LedgerCommand;
use crate::links::Role;
use crate::music::{Part, PerPart, Ticks};
use egui::{Align2, Button, Color32, FontId, Grid, Rect, Response, RichText, Sense, Ui, vec2};

/// In points.
const BETWEEN_BUTTONS: f32 = 3.0;

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
        ui.spacing_mut().item_spacing = vec2(4.0, 3.0);
        ui.spacing_mut().interact_size.y = SMALL_BUTTON.y;
        Grid::new("parts").num_columns(8).min_col_width(0.0).show(ui, |ui| {
            ui.label("");
            ui.weak(RichText::new("On").size(12.0));
            ui.horizontal(button_headings);
            for heading in ["Density", "Octave", "Velocity", "Ch.", "Level"] {
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
            ui.spacing_mut().item_spacing.x = BETWEEN_BUTTONS;
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
        let note = status::part_note(view, &self.meters, part);
        level(ui, self.levels.part(part), colour, note.map_or("", |note| note.word)).on_hover_text(match note {
            Some(note) => note.explanation,
            None => "How loud its last notes were",
        });
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
        level(ui, self.levels.melody(), theme::MELODY, "");
    }
}

/// Over the small buttons of a row.
fn button_headings(ui: &mut Ui) {
    ui.spacing_mut().item_spacing.x = BETWEEN_BUTTONS;
    for heading in ["Solo", "Lock", "New"] {
        let (place, _) = ui.allocate_exact_size(vec2(SMALL_BUTTON.x, 14.0), Sense::hover());
        let font = FontId::proportional(10.5);
        ui.painter().text(place.center(), Align2::CENTER_CENTER, heading, font, theme::WEAK);
    }
}

/// How loud the last strokes were; below it a word where there is one to say.
fn level(ui: &mut Ui, height: f32, colour: Color32, note: &str) -> Response {
    let (whole, response) = ui.allocate_exact_size(vec2(46.0, SMALL_BUTTON.y), Sense::hover());
    let rail = match note {
        "" => whole.shrink2(vec2(1.0, 6.0)),
        note => {
            let font = FontId::proportional(10.0);
            ui.painter().text(whole.left_bottom(), Align2::LEFT_BOTTOM, note, font, theme::WEAK);
            Rect::from_min_size(whole.min + vec2(1.0, 2.0), vec2(whole.width() - 2.0, 5.0))
        }
    };
    meter::paint(ui.painter(), rail, height, colour);
    response
}
