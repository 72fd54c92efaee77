//! A row each for those that work on the melody, while their parts are on: who does it, and how. GUI THREAD.

use super::controls::Controls;
use super::theme;
use super::window::ObbligatoEditor;
use crate::channels::{MelodistStatus, SongView};
use crate::generators::library;
use crate::links::Role;
use crate::music::{Melodist, Part};
use crate::settings::ExtendWhen;
use egui::{ComboBox, RichText, Ui};

/// Widths of bars, in points.
const BAR: f32 = 58.0;
const RISK: f32 = 44.0;

impl ObbligatoEditor {
    pub(super) fn melody_rows(&mut self, ui: &mut Ui, controls: &Controls<'_>, view: &SongView) {
        let params = self.params.clone();
        let wanted = |part| params.part(part).on.value() && params.link.get().role == Role::Band;
        if wanted(Part::Enhanced) {
            ui.horizontal_wrapped(|ui| self.enhance_row(ui, controls, &view.engine.enhancer));
        }
        if wanted(Part::Extension) {
            ui.horizontal_wrapped(|ui| self.extend_row(ui, controls, &view.engine.extender));
        }
    }

    fn enhance_row(&mut self, ui: &mut Ui, controls: &Controls<'_>, status: &MelodistStatus) {
        self.melodist(ui, controls, Melodist::Enhancer, status);
        let (params, colour) = (&self.params.enhance, theme::part_colour(Part::Enhanced));
        ui.weak("adds");
        controls.bar(ui, &params.add, BAR, colour).on_hover_text("New notes of a bar at most");
        ui.weak("removes");
        controls.bar(ui, &params.remove, BAR, colour).on_hover_text("Share of a bar's notes at most");
        ui.weak("in");
        let hint = "More passes are more careful; none leave the melody as it is";
        controls.bar(ui, &params.passes, BAR, colour).on_hover_text(hint);
        ui.weak("risk");
        let hint = "Creative risk: at 0 only what is likelier than not is done; the higher, the more ornaments";
        controls.bar(ui, &params.risk, RISK, colour).on_hover_text(hint);
        let hint = "The band plays to the enhanced melody and not to the one that is played";
        controls.switch(ui, &params.feeds, "Band plays to it").on_hover_text(hint);
    }

    fn extend_row(&mut self, ui: &mut Ui, controls: &Controls<'_>, status: &MelodistStatus) {
        // All of it is to be seen in a window of the usual size.
        ui.spacing_mut().item_spacing.x = 4.0;
        self.melodist(ui, controls, Melodist::Extender, status);
        let (params, colour) = (&self.params.extend, theme::part_colour(Part::Extension));
        controls.choice(ui, &params.when);
        if params.when.value() == ExtendWhen::FromBar {
            controls.bar(ui, &params.from, 40.0, colour).on_hover_text("The bar to begin with");
        }
        ui.weak("for");
        let hint = "How long the melody is carried on; with call and response also how long a call is";
        controls.bar(ui, &params.bars, BAR, colour).on_hover_text(hint);
        ui.weak("after");
        controls.bar(ui, &params.listen, BAR, colour).on_hover_text("Bars that are listened back to");
        ui.weak("risk");
        controls.bar(ui, &params.risk, RISK, colour).on_hover_text("Creative risk: 1 is as the model was trained");
        controls.choice(ui, &params.sampling);
    }

    /// Who does it. What there is to choose from is looked up when the list is opened.
    fn melodist(&mut self, ui: &mut Ui, controls: &Controls<'_>, melodist: Melodist, status: &MelodistStatus) {
        let (word, names, all): (_, _, fn() -> Vec<String>) = match melodist {
            Melodist::Enhancer => ("Enhancer", &mut self.enhancers, library::enhancer_names),
            Melodist::Extender => ("Extender", &mut self.extenders, library::extender_names),
        };
        let label = ui.label(RichText::new(word).color(theme::part_colour(melodist.part()))).id;
        let name = match (&status.name, &status.problem) {
            (name, _) if !name.is_empty() => shown(name, word),
            (_, Some(_)) => "none",
            (_, None) => "when it plays",
        };
        let mut chosen = None;
        let list = ComboBox::from_id_salt(word).width(84.0).selected_text(name).show_ui(ui, |ui| {
            for each in names.get_or_insert_with(all) {
                if ui.selectable_label(each.eq_ignore_ascii_case(&status.name), shown(each, word)).clicked() {
                    chosen = Some(each.clone());
                }
            }
        });
        if list.inner.is_none() {
            *names = None;
        }
        let hint = status.problem.as_deref().unwrap_or("Writes what is not locked in this part anew");
        list.response.labelled_by(label).on_hover_text(hint);
        if let Some(name) = chosen {
            self.params.choose_melodist(melodist, name);
            controls.tell_of_edit(&self.params);
        }
    }
}

/// The one that comes with the plugin is called like what it does: its name would stand there twice.
fn shown<'a>(name: &'a str, word: &str) -> &'a str {
    if name == word { "built in" } else { name }
}
