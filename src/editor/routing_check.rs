//! The routing check as a panel over the window. GUI THREAD.

use super::icons::Icon;
use super::routing::{HOSTS, Surroundings, findings};
use super::theme;
use super::window::ObbligatoEditor;
use egui::{ComboBox, RichText, ScrollArea, Sense, Ui, Window, vec2};

impl ObbligatoEditor {
    pub(super) fn routing_check(&mut self, ui: &mut Ui, at: &Surroundings) {
        let Some(mut host) = self.routing else { return };
        let mut open = true;
        let panel = Window::new("No sound?").open(&mut open).collapsible(false).default_width(560.0);
        let room = ui.ctx().content_rect().height() - 120.0;
        panel.default_pos(ui.ctx().content_rect().min + vec2(60.0, 60.0)).show(ui, |ui| {
            ScrollArea::vertical().max_height(room.max(120.0)).show(ui, |ui| {
                checks(ui, at);
                ui.separator();
                steps(ui, &mut host);
            });
        });
        self.routing = open.then_some(host);
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
fn steps(ui: &mut Ui, host: &mut usize) {
    ui.horizontal(|ui| {
        let label = ui.label("From here to your instruments, in").id;
        let list = ComboBox::from_id_salt("host").selected_text(HOSTS[*host].name);
        list.show_index(ui, host, HOSTS.len(), |place| HOSTS[place].name).labelled_by(label);
    });
    for (number, step) in HOSTS[*host].steps.iter().enumerate() {
        ui.horizontal_top(|ui| {
            ui.label(RichText::new(format!("{}.", number + 1)).color(theme::WEAK));
            ui.vertical(|ui| ui.label(*step));
        });
    }
}
