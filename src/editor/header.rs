//! The top row: how one works with the band, and the menus for presets, files and the window. GUI THREAD.

use super::controls::{Controls, checkbox};
use super::files::{self, Done, Order};
use super::notice::Notice;
use super::presets::{self, Preset};
use super::window::{KNOBS_AND_PARTS, ObbligatoEditor};
use super::window_size::{SCALES, USUAL};
use super::{routing, theme};
use crate::channels::{Meters, SongView};
use crate::ledger::LedgerCommand;
use crate::midi_file::{Extent, arrangement};
use crate::settings::Follow;
use egui::containers::menu::{MenuButton, MenuConfig};
use egui::{Button, PopupCloseBehavior, RichText, ScrollArea, TextEdit, Ui, ViewportCommand, vec2};
use nice_plug::context::gui::GuiContext;
use std::sync::atomic::Ordering;

/// Between groups of the top row, in points beside what is between all.
const APART: f32 = 6.0;

impl ObbligatoEditor {
    pub(super) fn header(&mut self, ui: &mut Ui, controls: &Controls<'_>, view: &SongView) {
        // What finds no room goes into a second row.
        ui.horizontal_wrapped(|ui| {
            ui.spacing_mut().item_spacing.x = 8.0;
            ui.heading(RichText::new("Obbligato").color(theme::STRONG));
            self.preset_menu(ui, controls);
            self.file_menu(ui, view);
            self.view_menu(ui);
            ui.add_space(APART);
            controls.choice(ui, &self.params.follow);
            ui.add_space(APART);
            controls.switch(ui, &self.params.thru, "Melody thru").on_hover_text("Sends the melody on with the band");
            ui.add_space(APART);
            self.another_take(ui, controls);
            if ui.button("Panic").on_hover_text("Silences everything, until the next half bar").clicked() {
                Meters::count(&self.meters.panics);
            }
            self.sound(ui, controls);
            self.routing_button(ui);
        });
    }

    /// The band heard without an instrument behind the plugin, and a piano to play to it.
    fn sound(&mut self, ui: &mut Ui, controls: &Controls<'_>) {
        ui.add_space(APART);
        let sound = controls.switch(ui, &self.params.preview, "Sound");
        sound.on_hover_text("Plays band and melody with the plugin's own instruments, to its audio output");
        if self.params.preview.value() {
            controls.bar(ui, &self.params.preview_level, 60.0, theme::ACCENT).on_hover_text("How loud");
        }
        if let Some(piano) = &mut self.piano {
            let hint = "Play with the pointer, or with the letters of the computer's keyboard";
            if ui.selectable_label(piano.open, "Piano").on_hover_text(hint).clicked() {
                piano.set_open(!piano.open);
            }
        }
    }

    fn another_take(&self, ui: &mut Ui, controls: &Controls<'_>) {
        let seed = self.params.seed.load(Ordering::Relaxed);
        let hint = format!("Answers the same melody differently from here on (now seed {seed})");
        if ui.button("Another take").on_hover_text(hint).clicked() {
            self.params.reroll();
            controls.tell_of_edit(&self.params);
        }
    }

    fn view_menu(&mut self, ui: &mut Ui) {
        ui.menu_button("View", |ui| {
            ui.weak("Size of what stands in the window");
            for scale in SCALES {
                if ui.radio(self.size.scale == scale, format!("{scale} %")).clicked() {
                    self.size.scale = scale;
                    ui.ctx().set_zoom_factor(self.size.factor());
                }
            }
            ui.separator();
            let mut shown = self.shows_controls(ui);
            if checkbox(ui, &mut shown, KNOBS_AND_PARTS).changed() {
                self.shows_controls = Some(shown);
            }
            if ui.button("Usual window size").clicked() {
                ui.send_viewport_cmd(ViewportCommand::InnerSize(vec2(USUAL.0, USUAL.1)));
            }
        });
    }

    fn file_menu(&mut self, ui: &mut Ui, view: &SongView) {
        let selected = self.roll.selected();
        ui.menu_button("File", |ui| {
            ui.add_enabled_ui(!self.files.is_busy(), |ui| {
                if ui.button("Save the song as MIDI…").clicked() {
                    self.save_midi(view, &Extent::Song, "Obbligato song".into());
                }
                let selection = ui.add_enabled(selected.is_some(), Button::new("Save the selected bars as MIDI…"));
                let selection = selection.on_disabled_hover_text("Drag over bars in the timeline to select them");
                if let Some((bars, name)) = selected.filter(|_| selection.clicked()) {
                    self.save_midi(view, &Extent::Bars(bars), format!("Obbligato {name}"));
                }
                let load = ui.button("Load a melody…");
                if load.on_hover_text("The band then knows the song without having heard it").clicked() {
                    self.order(Order::LoadMelody);
                }
            });
        });
    }

    fn save_midi(&mut self, view: &SongView, extent: &Extent, name: String) {
        match arrangement(&view.ledger, extent, &self.params.settings().parts, &name) {
            Some(bytes) => self.order(Order::Save { bytes, name }),
            None => self.notice = Some(Notice::problem("There is nothing to save yet: play a melody first.")),
        }
    }

    fn order(&mut self, order: Order) {
        let repaint = self.repaint.clone();
        if let Err(problem) = self.files.begin(order, move || repaint.request_repaint()) {
            self.notice = Some(Notice::problem(problem));
        }
    }

    /// Takes in what a dialog has led to.
    pub(super) fn collect_file(&mut self, host: &GuiContext) {
        if let Some(done) = self.files.collect() {
            self.take_file(done, host);
        }
    }

    /// What came of a file. Public for tests, which have nobody to answer a dialog.
    pub fn take_file(&mut self, done: Done, host: &GuiContext) {
        self.notice = match done {
            Done::Cancelled => return,
            Done::Saved(path) => Some(Notice::done(format!("Saved as {}.", path.display())).about(path)),
            Done::SavedUnasked(path) => {
                let text = format!("The system shows no file dialog, so it was saved as {}.", path.display());
                Some(Notice::done(text).about(path))
            }
            Done::Failed(problem) => Some(Notice::problem(problem)),
            Done::Melody(melody) => {
                let mut text = format!("“{}”: the melody of {} bars is known.", melody.name, melody.bars.len());
                if self.params.follow.value() == Follow::Jam {
                    text += " Choose Arrange, so that the band plays to it note by note.";
                }
                text.extend(melody.warnings.iter().map(|warning| format!(" {warning}")));
                self.params.command(LedgerCommand::LoadMelody(melody.bars));
                Controls::new(host.param_setter()).tell_of_edit(&self.params);
                Some(Notice::done(text))
            }
        };
    }

    fn preset_menu(&mut self, ui: &mut Ui, controls: &Controls<'_>) {
        let config = MenuConfig::new().close_behavior(PopupCloseBehavior::CloseOnClickOutside);
        MenuButton::new("Presets").config(config).ui(ui, |ui| {
            /// Of the window: for the button above it, and the name of a new preset below.
            const BESIDE: f32 = 110.0;
            let mut chosen = None;
            let most = (ui.ctx().content_rect().height() - BESIDE).max(60.0);
            ScrollArea::vertical().max_height(most).show(ui, |ui| {
                ui.weak("Built in");
                for preset in presets::factory() {
                    if ui.button(&preset.name).clicked() {
                        chosen = Some(Ok(preset));
                    }
                }
                ui.separator();
                ui.weak("Yours");
                let folder = self.presets.as_deref();
                for name in folder.map(presets::names_in).unwrap_or_default() {
                    if ui.button(&name).clicked() {
                        chosen = folder.map(|folder| presets::load_from(folder, &name));
                    }
                }
            });
            self.save_preset(ui);
            if let Some(chosen) = chosen {
                self.apply_preset(controls, chosen);
                ui.close();
            }
        });
    }

    fn apply_preset(&mut self, controls: &Controls<'_>, chosen: Result<Preset, String>) {
        self.notice = Some(match chosen {
            Err(problem) => {
                Notice::problem(format!("The preset cannot be used: {problem}. Save it again, or remove its file."))
            }
            Ok(preset) => {
                let unread = preset.apply(&self.params, controls.setter());
                match unread.as_slice() {
                    [] => Notice::done(format!("Preset “{}”. It counts from the next bar on.", preset.name)),
                    unread => Notice::problem(format!(
                        "Preset “{}”, but {}: turn what is missing by hand, and save it again.",
                        preset.name,
                        unread.join(", ")
                    )),
                }
            }
        });
    }

    fn save_preset(&mut self, ui: &mut Ui) {
        ui.horizontal(|ui| {
            let field = TextEdit::singleline(&mut self.preset_name).hint_text("name").desired_width(130.0);
            ui.add(field).accessible_name("Name of a new preset");
            let named = !self.preset_name.trim().is_empty();
            if ui.add_enabled(named, Button::new("Save")).on_disabled_hover_text("Type a name").clicked() {
                let preset = Preset::of(self.preset_name.trim().to_owned(), &self.params);
                let folder = self.presets.as_deref().ok_or(std::io::ErrorKind::NotFound.into());
                self.notice = Some(match folder.and_then(|folder| presets::save_in(folder, &preset)) {
                    Ok(path) => Notice::done(format!("Preset “{}” is saved.", preset.name)).about(path),
                    Err(error) => Notice::problem(format!(
                        "The preset cannot be saved ({error}). See that its folder can be written."
                    )),
                });
                self.preset_name.clear();
                ui.close();
            }
        });
    }

    fn routing_button(&mut self, ui: &mut Ui) {
        let button = ui.selectable_label(self.routing, "No sound?");
        if button.on_hover_text("Says why nothing may be heard, and what to do in your host").clicked() {
            self.routing = !self.routing;
            self.routing_host = self.routing_host.or_else(|| routing::host_of(&program()));
        }
    }
}

/// The file name of the program that runs us.
fn program() -> String {
    let path = std::env::current_exe().ok();
    path.and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned())).unwrap_or_default()
}

/// Shows a file where the user can drag it from.
pub(super) fn reveal_button(ui: &mut Ui, notice: &Notice) {
    if let Some(file) = &notice.file
        && ui.button("Show in folder").clicked()
    {
        files::reveal(file.clone());
    }
}
