//! The large knobs, who writes the music, and where it is computed. GUI THREAD.

use super::controls::{Controls, KnobSize};
use super::window::ObbligatoEditor;
use super::{meter, theme};
use crate::channels::SongView;
use crate::generators::library;
use crate::music::style_blend;
use egui::{Align, Align2, ComboBox, FontId, Id, Layout, Rect, RichText, Role, Sense, Ui, WidgetInfo, pos2, vec2};
use nice_plug::prelude::Param;

const LARGE: KnobSize = KnobSize { diameter: 70.0, width: 84.0 };
const SMALL: KnobSize = KnobSize { diameter: 54.0, width: 60.0 };

impl ObbligatoEditor {
    pub(super) fn knobs(&mut self, ui: &mut Ui, controls: &Controls<'_>, view: &SongView) {
        ui.horizontal_top(|ui| {
            ui.spacing_mut().item_spacing.x = 16.0;
            let params = &self.params;
            titled(ui, "Temperature", "How adventurous: 1 is as the model was trained", LARGE, |ui| {
                controls.knob(ui, &params.temperature, LARGE, true);
            });
            titled(ui, "Style", "What the band plays like; between two styles it plays their blend", LARGE, |ui| {
                controls.knob(ui, &params.style, LARGE, false);
            });
            ui.vertical(|ui| {
                ui.add_space(TITLE);
                blend(ui, params.style.unmodulated_plain_value());
            });
            titled(ui, "Density", "How many notes: 50 % leaves it to the band", SMALL, |ui| {
                controls.knob(ui, &params.density, SMALL, true);
            });
        });
        ui.horizontal(|ui| {
            let label = ui.label("Model").id;
            self.generator(ui, controls, view, label);
            self.device(ui, controls);
            self.melody_level(ui);
        });
        ui.horizontal(|ui| {
            ui.label("Count-in").on_hover_text("Bars that are listened to before the band plays its own");
            controls.bar(ui, &self.params.count_in, 60.0, theme::ACCENT);
            ui.weak("meanwhile it");
            controls.choice(ui, &self.params.count_in_band);
        });
    }

    /// Who writes the music. What there is to choose from is looked up when the list is opened.
    fn generator(&mut self, ui: &mut Ui, controls: &Controls<'_>, view: &SongView, label: Id) {
        let mut chosen = None;
        let name = if view.engine.generator.is_empty() { "being loaded…" } else { view.engine.generator.as_str() };
        let list = ComboBox::from_id_salt("generator").width(132.0).selected_text(name).show_ui(ui, |ui| {
            for name in self.generators.get_or_insert_with(library::names) {
                if ui.selectable_label(name.eq_ignore_ascii_case(&view.engine.generator), name.as_str()).clicked() {
                    chosen = Some(name.clone());
                }
            }
        });
        list.response.labelled_by(label).on_hover_text("Writes what is not locked anew");
        if list.inner.is_none() {
            self.generators = None;
        }
        if let Some(name) = chosen {
            self.params.choose_generator(name);
            controls.tell_of_edit(&self.params);
        }
    }

    /// Where the model is computed; what plays now stands in the status line. Devices are looked for when the list is opened.
    fn device(&mut self, ui: &mut Ui, controls: &Controls<'_>) {
        let now = self.params.device.choice();
        let mut chosen = None;
        let list = ComboBox::from_id_salt("device").selected_text(now.to_string()).show_ui(ui, |ui| {
            for option in self.devices.get_or_insert_with(library::devices) {
                let row = ui.add_enabled_ui(option.trouble.is_none(), |ui| {
                    ui.selectable_label(option.choice == now, option.label.as_str())
                });
                let row = row.inner.on_disabled_hover_text(option.trouble.as_deref().unwrap_or_default());
                if row.clicked() {
                    chosen = Some(option.choice);
                }
            }
        });
        list.response.widget_info(|| WidgetInfo::labeled(Role::ComboBox, true, "Device"));
        list.response.on_hover_text("Where the model is computed, from the next bar on");
        if list.inner.is_none() {
            self.devices = None;
        }
        if let Some(choice) = chosen {
            self.params.device.choose(choice);
            controls.tell_of_edit(&self.params);
        }
    }
}

/// Height of a knob's name, in points.
const TITLE: f32 = 18.0;

/// A knob below its name.
fn titled(ui: &mut Ui, title: &str, hint: &str, size: KnobSize, knob: impl FnOnce(&mut Ui)) {
    ui.allocate_ui_with_layout(vec2(size.width, 0.0), Layout::top_down(Align::Center), |ui| {
        ui.spacing_mut().item_spacing.y = 2.0;
        ui.label(RichText::new(title).size(14.0).color(theme::STRONG)).on_hover_text(hint);
        knob(ui);
    });
}

/// The styles that are played, each with its share as a bar; on a style, its neighbours.
fn blend(ui: &mut Ui, position: f32) {
    const WIDTH: f32 = 134.0;
    const ROW: f32 = 29.0;
    let rows: Vec<(&str, f32)> = style_blend(position).collect();
    let (whole, _) = ui.allocate_exact_size(vec2(WIDTH, 3.0 * ROW), Sense::hover());
    let painter = ui.painter();
    let top = whole.center().y - ROW * rows.len() as f32 / 2.0;
    for (row, (name, share)) in rows.into_iter().enumerate() {
        let top = top + ROW * row as f32;
        let played = share > 0.005;
        let (size, colour) =
            if share > 0.5 { (15.0, theme::STRONG) } else { (12.0, if played { theme::TEXT } else { theme::WEAK }) };
        painter.text(pos2(whole.left(), top + 9.0), Align2::LEFT_CENTER, name, FontId::proportional(size), colour);
        if played {
            let rail = Rect::from_min_size(pos2(whole.left(), top + 20.0), vec2(WIDTH - 44.0, 4.0));
            meter::paint(painter, rail, share, theme::ACCENT);
            let percent = format!("{:.0} %", share * 100.0);
            let beside = pos2(whole.right(), rail.center().y);
            painter.text(beside, Align2::RIGHT_CENTER, percent, FontId::proportional(12.0), theme::TEXT);
        }
    }
}
