//! The routing check as a panel over the window. GUI THREAD.

use super::icons::Icon;
use super::routing::{HOSTS, Surroundings, findings};
use super::theme;
use super::window::ObbligatoEditor;
use egui::{ComboBox, RichText, ScrollArea, Sense, Ui, Window, vec2};

impl ObbligatoEditor {
    pub(super) fn routing_check(&mut self, ui: &mut Ui, at: &Surroundings) {
        if !self.routing {
            return;
        }
        let mut open = true;
        let panel = Window::new("No sound?").open(&mut open).collapsible(false).default_width(560.0);
        let room = ui.ctx().content_rect().height() - 120.0;
        panel.default_pos(ui.ctx().content_rect().min + vec2(60.0, 60.0)).show(ui, |ui| {
            ScrollArea::vertical().max_height(room.max(120.0)).show(ui, |ui| {
                checks(ui, at);
                // A program of its own has nobody behind it.
                if !at.is_program {
                    ui.separator();
                    steps(ui, &mut self.routing_host);
                }
            });
        });
        self.routing = open;
    }
}

fn checks(ui: &mut Ui, at: &Surroundings) {
    for finding in findings(at) {
        let (sign, colour) = if finding.well { (Icon::Tick, theme::ACCENT) } else { (Icon::Cross, theme::PROBLEM) };
        ui.horizontal_top(|ui| {
            let (place, _) = ui.allocate_exact_size(vec2(12.0, 18.0), Sense::hover());
            sign.paint(ui.painter(), place.center(), colour);
            ui.vertical(|ui| {
                ui.label(&finding.what);
                if !finding.advice.is_empty() {
                    ui.weak(&finding.advice);
                }
            });
        });
    }
}

/// From here to the instruments.
fn steps(ui: &mut Ui, host: &mut Option<usize>) {
    ui.horizontal(|ui| {
        let label = ui.label("From here to your instruments, in").id;
        let name = host.map_or("choose your host", |place| HOSTS[place].name);
        let list = ComboBox::from_id_salt("host").selected_text(name).show_ui(ui, |ui| {
            for (place, known) in HOSTS.iter().enumerate() {
                ui.selectable_value(host, Some(place), known.name);
            }
        });
        list.response.labelled_by(label);
    });
    let steps = host.map_or(&[][..], |place| HOSTS[place].steps);
    for (number, step) in steps.iter().enumerate() {
        ui.horizontal_top(|ui| {
            ui.label(RichText::new(format!("{}.", number + 1)).color(theme::WEAK));
            ui.vertical(|ui| ui.label(*step));
        });
    }
}
