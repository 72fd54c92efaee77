//! What this instance does among others: the band, or one part of it on a track of its own. GUI THREAD.

use super::controls::Controls;
use crate::links::{BandNumber, Link, Role};
use crate::params::ObbligatoParams;
use egui::{DragValue, Ui, WidgetInfo};

pub fn row(ui: &mut Ui, controls: &Controls<'_>, params: &ObbligatoParams) {
    let now = params.link.get();
    let mut chosen = now;
    ui.horizontal_wrapped(|ui| {
        ui.label("This track plays")
            .on_hover_text("The band; or one part of a band that is on another track; or its chords come from here");
        for role in Role::all() {
            let button = ui.selectable_label(role == now.role, role.name());
            button.widget_info(|| {
                let name = format!("This track plays: {}", role.name());
                WidgetInfo::selected(egui::Role::RadioButton, true, role == now.role, name)
            });
            if button.clicked() {
                chosen.role = role;
            }
        }
        let label = ui.label(if now.role == Role::Band { "as band" } else { "of band" }).id;
        chosen.band = number(ui, now, label);
    });
    if chosen != now {
        params.link.choose(chosen);
        controls.tell_of_edit(params);
    }
}

fn number(ui: &mut Ui, now: Link, label: egui::Id) -> BandNumber {
    /// Numbers a point of dragging.
    const SPEED: f64 = 0.05;
    let mut number = now.band.get();
    let field = DragValue::new(&mut number).range(BandNumber::RANGE).speed(SPEED).update_while_editing(false);
    ui.add(field).labelled_by(label);
    BandNumber::clamped(number)
}
