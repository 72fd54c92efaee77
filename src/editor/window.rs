//! What stands where in the window, and what it does. GUI THREAD.

use super::controls::Controls;
use super::piano_roll::{PianoRoll, Scene};
use super::watcher::Watcher;
use super::{links, status, theme};
use crate::channels::{Meters, SharedView, SongView};
use crate::generators::library::{self, DeviceOption};
use crate::links::Link;
use crate::music::{ChordPlan, Part, PerPart, TICKS_PER_QUARTER};
use crate::params::ObbligatoParams;
use crate::settings::{ChordInput, Settings};
use egui::{CentralPanel, ComboBox, Frame, Grid, Id, Margin, Panel, RichText, TextEdit, Ui};
use nice_plug::context::gui::GuiContext;
use nice_plug::editor::dpi::LogicalSize;
use nice_plug_egui::{
    EguiEditor, EguiEditorState, EguiNiceSettings, NiceEguiApp, RepaintNotifier, baseview, create_egui_editor,
};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Three octaves of the timeline can be told apart below the controls.
const SIZE: LogicalSize<f32> = LogicalSize { width: 980.0, height: 720.0 };
/// How often the window is painted where it cannot be watched.
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

/// The window's contents.
pub struct ObbligatoEditor {
    params: Arc<ObbligatoParams>,
    view: SharedView,
    meters: Arc<Meters>,
    /// The host; there while the window is open.
    host: Option<GuiContext>,
    plan: PlanText,
    /// The generators there are, while their list is open.
    generators: Option<Vec<String>>,
    /// The same of devices.
    devices: Option<Vec<DeviceOption>>,
    roll: PianoRoll,
    repaint: RepaintNotifier,
    /// There while the window is open, if the system gives it a thread.
    watcher: Option<Watcher>,
}

pub fn create(
    params: Arc<ObbligatoParams>,
    view: SharedView,
    meters: Arc<Meters>,
) -> Option<EguiEditor<ObbligatoEditor>> {
    let settings = EguiNiceSettings::new().with_tile("Obbligato");
    let repaint = RepaintNotifier::new();
    let editor = ObbligatoEditor {
        params,
        view,
        meters,
        host: None,
        plan: PlanText::default(),
        generators: None,
        devices: None,
        roll: PianoRoll::default(),
        repaint: repaint.clone(),
        watcher: None,
    };
    create_egui_editor(EguiEditorState::from_size(SIZE, 1.0), repaint, settings, editor)
}

impl NiceEguiApp for ObbligatoEditor {
    fn build(
        &mut self,
        context: egui::Context,
        host: GuiContext,
        _frame: &mut nice_plug_egui::Frame,
    ) -> Result<(), baseview::HandlerError> {
        theme::apply(&context);
        self.host = Some(host);
        let (params, view, meters) = (self.params.clone(), self.view.clone(), self.meters.clone());
        let repaint = self.repaint.clone();
        let look = move || Seen::of(&params, &view, &meters);
        self.watcher = Watcher::spawn(look, move || repaint.request_repaint()).ok();
        Ok(())
    }

    fn ui(&mut self, ui: &mut Ui, _frame: &mut nice_plug_egui::Frame) {
        let Some(host) = self.host.clone() else {
            return;
        };
        let controls = Controls::new(host.param_setter());
        let view = self.view.get();
        let frame = Frame::new().fill(theme::BACKGROUND).inner_margin(Margin::same(16));
        CentralPanel::default().frame(frame).show(ui, |ui| {
            self.title(ui, &controls);
            links::row(ui, &controls, &self.params);
            ui.separator();
            ui.horizontal_top(|ui| {
                ui.vertical(|ui| self.knobs(ui, &controls, &view));
                // A line between them would take all of the window's height.
                ui.add_space(24.0);
                ui.vertical(|ui| self.parts(ui, &controls, &view));
            });
            ui.separator();
            self.chord_plan(ui, &controls);
            ui.separator();
            // From below, so that the timeline takes what is left.
            let below = Frame::new().inner_margin(Margin { top: 6, ..Margin::ZERO });
            let status = Panel::bottom("status").frame(below).show_separator_line(false);
            status.show(ui, |ui| self.status(ui, &view));
            self.timeline(ui, &controls, &view);
        });
        if self.watcher.is_none() {
            ui.request_repaint_after(BETWEEN_LOOKS);
        }
    }

    fn editor_closed(&mut self) {
        (self.host, self.watcher) = (None, None);
    }
}

impl ObbligatoEditor {
    fn title(&self, ui: &mut Ui, controls: &Controls<'_>) {
        ui.horizontal(|ui| {
            ui.heading(RichText::new("Obbligato").color(theme::STRONG));
            ui.add_space(20.0);
            controls.choice(ui, &self.params.follow);
            ui.add_space(20.0);
            controls.switch(ui, &self.params.thru, "Melody thru");
            ui.add_space(20.0);
            let seed = self.params.seed.load(Ordering::Relaxed);
            if ui.button("Another take").on_hover_text("Answers the same melody differently from here on").clicked() {
                self.params.reroll();
                controls.tell_of_edit(&self.params);
            }
            ui.weak(format!("seed {seed}"));
            ui.add_space(20.0);
            if ui.button("Panic").on_hover_text("Silences everything, until the next half bar").clicked() {
                Meters::count(&self.meters.panics);
            }
        });
    }

    fn knobs(&mut self, ui: &mut Ui, controls: &Controls<'_>, view: &SongView) {
        const WIDTH: f32 = 250.0;
        Grid::new("knobs").num_columns(2).show(ui, |ui| {
            let label = ui.label("Model").id;
            ui.horizontal(|ui| {
                self.generator(ui, controls, view, label);
                self.device(ui, controls);
            });
            ui.end_row();
            let label = ui.label("Temperature").id;
            controls.slider(ui, &self.params.temperature, WIDTH).labelled_by(label);
            ui.end_row();
            let label = ui.label("Style").id;
            controls.slider(ui, &self.params.style, WIDTH).labelled_by(label);
            ui.end_row();
            let label = ui.label("Density").id;
            controls.slider(ui, &self.params.density, WIDTH).labelled_by(label);
            ui.end_row();
            let label = ui.label("Count-in").id;
            ui.horizontal(|ui| {
                controls.number(ui, &self.params.count_in).labelled_by(label);
                ui.weak("meanwhile the band");
                controls.choice(ui, &self.params.count_in_band);
            });
            ui.end_row();
        });
    }

    /// Who writes the music. What there is to choose from is looked up when the list is opened.
    fn generator(&mut self, ui: &mut Ui, controls: &Controls<'_>, view: &SongView, label: Id) {
        let mut chosen = None;
        let list = ComboBox::from_id_salt("generator").selected_text(&view.engine.generator).show_ui(ui, |ui| {
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
            self.params.generator.choose(name);
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
        list.response.on_hover_text("Where the model is computed, from the next bar on");
        if list.inner.is_none() {
            self.devices = None;
        }
        if let Some(choice) = chosen {
            self.params.device.choose(choice);
            controls.tell_of_edit(&self.params);
        }
    }

    fn parts(&self, ui: &mut Ui, controls: &Controls<'_>, view: &SongView) {
        Grid::new("parts").num_columns(6).striped(true).show(ui, |ui| {
            for heading in ["Part", "On", "Channel", "Octave", "Velocity", ""] {
                ui.weak(heading);
            }
            ui.end_row();
            for part in Part::ALL {
                self.part(ui, controls, view, part);
                ui.end_row();
            }
        });
    }

    fn part(&self, ui: &mut Ui, controls: &Controls<'_>, view: &SongView, part: Part) {
        const VELOCITY_WIDTH: f32 = 110.0;
        let row = self.params.part(part);
        let label = ui.label(RichText::new(part.name()).color(theme::part_colour(part))).id;
        controls.switch(ui, &row.on, "").labelled_by(label);
        controls.number(ui, &row.channel).labelled_by(label);
        controls.number(ui, &row.octave).labelled_by(label);
        controls.slider(ui, &row.velocity, VELOCITY_WIDTH).labelled_by(label);
        ui.weak(status::part_note(view, &self.meters, part));
    }

    fn chord_plan(&mut self, ui: &mut Ui, controls: &Controls<'_>) {
        ui.horizontal(|ui| {
            let label = ui.label("Chords").id;
            self.plan.refresh(self.params.plan.text());
            let field = TextEdit::singleline(&mut self.plan.typed)
                .hint_text("yours, as in  | C | G/B | Am F |   (empty: the band chooses)")
                .desired_width(f32::INFINITY);
            if ui.add(field).labelled_by(label).lost_focus()
                && let Some(text) = self.plan.commit()
            {
                self.params.plan.set_text(text);
                controls.tell_of_edit(&self.params);
            }
        });
        if let Some(problem) = self.params.plan.problem() {
            ui.colored_label(theme::PROBLEM, problem);
        }
        ui.horizontal(|ui| {
            ui.weak("held on")
                .on_hover_text("The chords that you hold are played by the band, and not heard as melody");
            controls.choice(ui, &self.params.chord_input);
            match self.params.chord_input.value() {
                ChordInput::Off => {}
                ChordInput::Split => {
                    controls.number(ui, &self.params.split_key);
                }
                ChordInput::Channel => {
                    controls.number(ui, &self.params.chord_channel);
                }
            }
        });
    }

    fn timeline(&mut self, ui: &mut Ui, controls: &Controls<'_>, view: &Arc<SongView>) {
        let playhead = self.meters.playhead_quarters.load(Ordering::Relaxed) * f64::from(TICKS_PER_QUARTER);
        let playing = self.meters.playing.load(Ordering::Relaxed);
        let scene = Scene { view, plan: &self.plan.read, parts: self.params.settings().parts, playhead, playing };
        for command in self.roll.show(ui, &scene) {
            self.params.song.command(command);
            controls.tell_of_edit(&self.params);
        }
    }

    fn status(&self, ui: &mut Ui, view: &SongView) {
        ui.weak(status::status_line(view, &self.meters));
        let problem = view.engine.problem.clone().or_else(|| status::silence_of_engine(&self.meters));
        for problem in problem.into_iter().chain(self.params.song.problem()) {
            ui.colored_label(theme::PROBLEM, problem);
        }
    }
}

/// What changes in the window though nobody touches it.
#[derive(Debug, Clone)]
struct Seen {
    settings: Settings,
    link: Link,
    played_elsewhere: PerPart<bool>,
    playhead: f64,
    playing: bool,
    /// What was lost.
    counts: [u32; 6],
    view: Arc<SongView>,
}

impl Seen {
    fn of(params: &ObbligatoParams, view: &SharedView, meters: &Meters) -> Self {
        let counted = [
            &meters.late_segments,
            &meters.late_notes,
            &meters.repeated_segments,
            &meters.late_in_a_row,
            &meters.failed_answers,
            &meters.dropped,
        ];
        Self {
            settings: params.settings(),
            link: params.link.get(),
            played_elsewhere: meters.parts_played_elsewhere(),
            playhead: meters.playhead_quarters.load(Ordering::Relaxed),
            playing: meters.playing.load(Ordering::Relaxed),
            counts: counted.map(|counter| counter.load(Ordering::Relaxed)),
            view: view.get(),
        }
    }
}

impl PartialEq for Seen {
    /// The song is another one where it has been published anew.
    fn eq(&self, other: &Self) -> bool {
        let chosen = |seen: &Self| (seen.settings, seen.link, seen.played_elsewhere);
        let plain = |seen: &Self| (chosen(seen), seen.playhead.to_bits(), seen.playing, seen.counts);
        plain(self) == plain(other) && Arc::ptr_eq(&self.view, &other.view)
    }
}

/// The chord plan while it is typed. It counts when the field is left.
#[derive(Debug, Default)]
struct PlanText {
    typed: String,
    /// The text that counts, as last seen.
    saved: String,
    /// What it says; nothing where it cannot be read.
    read: ChordPlan,
}

impl PlanText {
    /// Takes in a text that came from elsewhere: a song that was loaded.
    fn refresh(&mut self, saved: String) {
        if self.saved != saved {
            self.typed.clone_from(&saved);
            self.take(saved);
        }
    }

    /// What was typed, if it is new.
    fn commit(&mut self) -> Option<String> {
        (self.typed != self.saved).then(|| {
            self.take(self.typed.clone());
            self.typed.clone()
        })
    }

    fn take(&mut self, text: String) {
        self.read = ChordPlan::parse(&text).unwrap_or_default();
        self.saved = text;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_is_painted_again_when_what_it_shows_has_changed() {
        let (sender, _commands) = crossbeam_channel::unbounded();
        let (view, meters) = (SharedView::default(), Arc::<Meters>::default());
        let params = ObbligatoParams::new(sender, view.clone(), meters.clone());
        let seen = || Seen::of(&params, &view, &meters);
        let mut before = seen();
        assert_eq!(before, seen(), "nothing has happened");
        let mut differs = |what: &str| assert_ne!(std::mem::replace(&mut before, seen()), seen(), "{what}");
        view.publish(SongView::default());
        differs("a song");
        meters.playhead_quarters.store(1.5, Ordering::Relaxed);
        differs("the playhead");
        meters.playing.store(true, Ordering::Relaxed);
        differs("the transport");
        Meters::count(&meters.dropped);
        differs("a loss");
        params.reroll();
        differs("a setting");
    }

    #[test]
    fn a_typed_plan_counts_once_and_a_loaded_one_replaces_it() {
        let mut plan = PlanText { typed: "| C |".into(), ..PlanText::default() };
        plan.refresh(String::new());
        assert_eq!(plan.typed, "| C |", "typing is not disturbed");
        assert_eq!(plan.commit(), Some("| C |".into()));
        assert_eq!(plan.commit(), None);
        assert_eq!(plan.read.to_string(), "| C |");
        plan.refresh("| C |".into());
        plan.refresh("| Dm |".into());
        assert_eq!((plan.typed.as_str(), plan.read.to_string()), ("| Dm |", "| Dm |".into()));
        assert_eq!(plan.commit(), None);
    }
}
