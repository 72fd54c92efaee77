//! The window: what stands where, and what it is made of while it is open. GUI THREAD.
//!
//! Each row has a file of its own that says what it does.

use super::controls::Controls;
use super::dial;
use super::files::FileDesk;
use super::host_calls::HostCalls;
#[cfg(target_os = "linux")]
use super::host_keys::Around;
use super::levels::Levels;
use super::notice::Notice;
use super::piano::Piano;
use super::piano_roll::{PianoRoll, Scene};
use super::plan_text::PlanText;
use super::routing::{Counts, Setup, Surroundings};
use super::watcher::Watcher;
use super::window_size::{self, WindowSize};
use super::{links, presets, theme};
use crate::channels::{Meters, PianoKeys, SharedView, SongView};
use crate::generators::library::DeviceOption;
use crate::links::Link;
use crate::music::PerPart;
use crate::params::ObbligatoParams;
use crate::settings::Settings;
use crate::standalone;
use egui::{CentralPanel, Frame, Id, Margin, Panel, ScrollArea, Separator, Ui, ViewportCommand, accesskit, vec2};
use nice_plug::context::gui::GuiContext;
use nice_plug::editor::dpi::{LogicalSize, PhysicalSize};
use nice_plug::editor::{ResizeHint, SizeConstraints};
use nice_plug::params::internals::ParamPtr;
use nice_plug_egui::{
    EguiEditor, EguiEditorState, EguiNiceSettings, Key as HostKey, KeyCapture, NiceEguiApp, RepaintNotifier, baseview,
    create_egui_editor,
};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub(super) const KNOBS_AND_PARTS: &str = "Knobs and parts";
/// How often the window is painted where it cannot be watched.
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

/// The window's contents.
pub struct ObbligatoEditor {
    pub(super) params: Arc<ObbligatoParams>,
    pub(super) view: SharedView,
    pub(super) meters: Arc<Meters>,
    pub(super) plan: PlanText,
    /// The generators there are, while their list is open.
    pub(super) generators: Option<Vec<String>>,
    /// The same of those that work on the melody.
    pub(super) enhancers: Option<Vec<String>>,
    pub(super) extenders: Option<Vec<String>>,
    /// The same of devices.
    pub(super) devices: Option<Vec<DeviceOption>>,
    pub(super) roll: PianoRoll,
    /// There where somebody hears it.
    pub(super) piano: Option<Piano>,
    pub(super) levels: Levels,
    pub(super) files: FileDesk,
    pub(super) notice: Option<Notice>,
    /// Where the user's presets are, if the system says where.
    pub(super) presets: Option<PathBuf>,
    /// As typed.
    pub(super) preset_name: String,
    /// The routing check is open.
    pub(super) routing: bool,
    /// The host whose steps it shows, as its place in [`routing::HOSTS`]; `None`: not known yet.
    pub(super) routing_host: Option<usize>,
    /// What had been struck when the window was opened.
    opened: Counts,
    calls: Arc<Mutex<HostCalls>>,
    pub(super) size: WindowSize,
    /// Knobs and parts are there, and not all the room is the timeline's; `None`: where there is room for both.
    pub(super) shows_controls: Option<bool>,
    /// The parameter that a pointer held in the last frame.
    held: Option<ParamPtr>,
    /// What had the keyboard in the last frame.
    focused: Option<Id>,
    /// The window is new and may not have the size it is to have.
    settling: bool,
    pub(super) repaint: RepaintNotifier,
    /// The host; there while the window is open.
    host: Option<GuiContext>,
    /// There while the window is open, if the system gives it a thread.
    watcher: Option<Watcher>,
    #[cfg(target_os = "linux")]
    around: Around,
}

pub fn create(
    params: Arc<ObbligatoParams>,
    view: SharedView,
    meters: Arc<Meters>,
    piano: PianoKeys,
) -> Option<EguiEditor<ObbligatoEditor>> {
    let (width, height) = window_size::LEAST;
    let hint = ResizeHint {
        can_resize: true,
        can_resize_horizontally: true,
        can_resize_vertically: true,
        size_constraints: SizeConstraints::Logical { min_size: Some(LogicalSize { width, height }), max_size: None },
        ..ResizeHint::NON_RESIZABLE
    };
    let mut settings = EguiNiceSettings::new().with_tile("Obbligato").with_resize_hint(hint);
    // There are no gradients, and a renderer without a graphics processor spends a fifth of its time on it.
    settings.graphics.dithering = false;
    // In a host whoever wants it opens it.
    let open = standalone::get().is_some_and(|found| found.keyboard.is_none());
    let editor = ObbligatoEditor::new(params, view, meters, WindowSize::remembered()).with_piano(piano, open);
    let WindowSize { width, height, .. } = editor.size;
    // Physical, so that what the host is told of the size holds at any scale of ours.
    let state = EguiEditorState::from_size(PhysicalSize { width, height }, editor.size.factor());
    create_egui_editor(state, editor.repaint.clone(), settings, editor)
}

impl NiceEguiApp for ObbligatoEditor {
    fn build(
        &mut self,
        context: egui::Context,
        host: GuiContext,
        frame: &mut nice_plug_egui::Frame,
    ) -> Result<(), baseview::HandlerError> {
        theme::apply(&context);
        context.set_zoom_factor(self.size.factor());
        // The window is cleared anyway; a panel of that colour would be one more layer over all of it.
        frame.set_clear_color(theme::clear_colour());
        self.host = Some(host);
        self.settling = true;
        self.opened = Counts::of(&self.meters);
        let (params, view, meters) = (self.params.clone(), self.view.clone(), self.meters.clone());
        let (repaint, calls) = (self.repaint.clone(), self.calls.clone());
        let look = move || Seen::of(&params, &view, &meters, &mut lock(&calls));
        self.watcher = Watcher::spawn(look, move || repaint.request_repaint()).ok();
        Ok(())
    }

    fn ui(&mut self, ui: &mut Ui, frame: &mut nice_plug_egui::Frame) {
        self.settle(ui);
        if let Some(host) = self.host.clone() {
            self.show(ui, &host);
        }
        let leaves_space = self.leaves_space_to_host(ui);
        #[cfg(target_os = "linux")]
        if let Some(keys) = self.around.look(frame.baseview_window()) {
            keys.pass(ui, ui.egui_wants_keyboard_input(), leaves_space);
        }
        frame.set_key_capture(if leaves_space {
            KeyCapture::IgnoreKeys(vec![HostKey::Character(" ".into())])
        } else {
            KeyCapture::CaptureAll
        });
        if self.watcher.is_none() {
            ui.request_repaint_after(BETWEEN_LOOKS);
        }
    }

    fn resized(&mut self, size: baseview::WindowSize) {
        (self.size.width, self.size.height) = (size.physical.width, size.physical.height);
    }

    fn editor_closed(&mut self) {
        if let Some(host) = self.host.take() {
            self.let_go(&host);
        }
        self.watcher = None;
        #[cfg(target_os = "linux")]
        {
            self.around = Around::default();
        }
        // What cannot be remembered is only a size.
        let _ = self.size.remember();
    }
}

impl ObbligatoEditor {
    pub fn new(params: Arc<ObbligatoParams>, view: SharedView, meters: Arc<Meters>, size: WindowSize) -> Self {
        Self {
            params,
            view,
            opened: Counts::of(&meters),
            meters,
            plan: PlanText::default(),
            generators: None,
            enhancers: None,
            extenders: None,
            devices: None,
            roll: PianoRoll::default(),
            piano: None,
            levels: Levels::default(),
            files: FileDesk::default(),
            notice: None,
            presets: presets::folder(),
            preset_name: String::new(),
            routing: false,
            routing_host: None,
            calls: Arc::default(),
            size,
            shows_controls: None,
            held: None,
            focused: None,
            settling: false,
            repaint: RepaintNotifier::new(),
            host: None,
            watcher: None,
            #[cfg(target_os = "linux")]
            around: Around::default(),
        }
    }

    /// With a piano whose keys go there. For tests; [`create`] brings its own.
    #[must_use]
    pub fn with_piano(mut self, keys: PianoKeys, open: bool) -> Self {
        self.piano = Some(Piano::new(keys, open));
        self
    }

    /// With the user's presets in this folder.
    #[must_use]
    pub fn with_presets_in(mut self, folder: PathBuf) -> Self {
        self.presets = Some(folder);
        self
    }

    /// Everything, for a host.
    pub fn show(&mut self, ui: &mut Ui, host: &GuiContext) {
        let controls = &Controls::going_on(host.param_setter(), self.held);
        let view = &self.view.get();
        if let Some(piano) = &mut self.piano {
            piano.listen(ui);
            self.meters.dropped.fetch_add(piano.lost(), Ordering::Relaxed);
        }
        let now = ui.input(|input| input.time);
        if self.levels.look(&self.meters, now) {
            ui.request_repaint();
        }
        self.collect_file(host);
        let at = self.surroundings(view);
        let frame = Frame::new().inner_margin(Margin::symmetric(16, 12));
        CentralPanel::default().frame(frame).show(ui, |ui| {
            // From below, so that the rest takes what is left.
            let below = Frame::new().inner_margin(Margin { top: 6, ..Margin::ZERO });
            let status = Panel::bottom("status").frame(below).show_separator_line(false);
            status.show(ui, |ui| self.status(ui, view, &at));
            if let Some(piano) = self.piano.as_mut().filter(|piano| piano.open) {
                let below = Frame::new().inner_margin(Margin { top: 6, ..Margin::ZERO });
                Panel::bottom("piano").frame(below).show_separator_line(false).show(ui, |ui| piano.show(ui));
            }
            self.rows(ui, controls, view);
        });
        self.routing_check(ui, &at);
        self.held = controls.finish(&self.params);
    }

    /// Space starts and stops most hosts' transport. A field that is typed into needs it, and so do buttons that were come by with
    /// the Tab key. Keys that nothing in the window has the keyboard for are the host's in any case.
    pub fn leaves_space_to_host(&self, context: &egui::Context) -> bool {
        self.roll.has_keyboard() || self.piano.as_ref().is_some_and(Piano::has_keyboard) || dial::has_keyboard(context)
    }

    /// What the window holds it lets go: nobody is there any more to do so.
    pub fn let_go(&mut self, host: &GuiContext) {
        self.held = Controls::going_on(host.param_setter(), self.held).finish(&self.params);
        self.piano.iter_mut().for_each(Piano::release_all);
    }

    fn rows(&mut self, ui: &mut Ui, controls: &Controls<'_>, view: &Arc<SongView>) {
        let shows_controls = self.shows_controls(ui);
        self.header(ui, controls, view);
        line(ui);
        if shows_controls {
            self.knobs_and_parts(ui, controls, view);
            line(ui);
            self.chord_plan(ui, controls);
            line(ui);
        }
        self.timeline(ui, controls, view);
    }

    pub(super) fn shows_controls(&self, ui: &Ui) -> bool {
        /// Of a window in points; in a lower one they would leave next to nothing of themselves and of the timeline.
        const ROOM_FOR_BOTH: f32 = 520.0;
        self.shows_controls.unwrap_or(ui.ctx().content_rect().height() >= ROOM_FOR_BOTH)
    }

    /// As much of them as leaves room for the timeline; one scrolls to the rest.
    fn knobs_and_parts(&mut self, ui: &mut Ui, controls: &Controls<'_>, view: &Arc<SongView>) {
        /// Of chords and timeline.
        const BELOW: f32 = 248.0;
        /// The highest of them, so that it is seen whole.
        const LEAST: f32 = 96.0;
        /// Narrower windows have the parts below the knobs.
        const SIDE_BY_SIDE: f32 = 850.0;
        let most = (ui.available_height() - BELOW).max(LEAST);
        let area = ScrollArea::both().id_salt("controls").max_height(most).min_scrolled_height(LEAST);
        area.auto_shrink([false, true]).show(ui, |ui| {
            tell_reader(ui);
            links::row(ui, controls, &self.params);
            if ui.available_width() >= SIDE_BY_SIDE {
                ui.horizontal_top(|ui| {
                    ui.vertical(|ui| self.knobs(ui, controls, view));
                    ui.add_space(4.0);
                    ui.vertical(|ui| self.parts(ui, controls, view));
                });
            } else {
                self.knobs(ui, controls, view);
                ui.scope(|ui| self.parts(ui, controls, view));
            }
            self.melody_rows(ui, controls, view);
            self.bring_focus_into_sight(ui);
        });
    }

    /// Who goes through the controls with the Tab key sees where they are.
    fn bring_focus_into_sight(&mut self, ui: &Ui) {
        let focused = ui.memory(|memory| memory.focused());
        if focused == std::mem::replace(&mut self.focused, focused) {
            return;
        }
        let Some(response) = focused.and_then(|id| ui.ctx().read_response(id)) else { return };
        // Only what is scrolled can be cut off.
        if !response.interact_rect.contains_rect(response.rect) {
            ui.scroll_to_rect(response.rect, None);
        }
    }

    fn timeline(&mut self, ui: &mut Ui, controls: &Controls<'_>, view: &Arc<SongView>) {
        let playhead = self.meters.playhead();
        let playing = self.meters.playing.load(Ordering::Relaxed);
        let (sung, parts) = (&self.view.sung(), self.params.settings().parts);
        let scene = Scene { view, sung, plan: self.plan.read(), parts, playhead, playing };
        let before = self.shows_controls(ui);
        let mut shown = before;
        for command in self.roll.show(ui, &scene, |ui| controls_switch(ui, &mut shown)) {
            self.params.command(command);
            controls.tell_of_edit(&self.params);
        }
        if shown != before {
            self.shows_controls = Some(shown);
        }
    }

    fn surroundings(&self, view: &SongView) -> Surroundings {
        let is_called = lock(&self.calls).look(self.meters.blocks.load(Ordering::Relaxed), Instant::now());
        let (settings, is_program) = (self.params.settings(), standalone::get().is_some());
        let setup = Setup { link: self.params.link.get(), preview: self.params.preview.value(), is_program };
        Surroundings::of(view, &self.meters, &settings, setup, &self.opened, is_called)
    }

    /// A window that has come out too small to be used (a system scale that was not known when it was made) is asked to be
    /// as large as usual.
    fn settle(&mut self, ui: &Ui) {
        if std::mem::take(&mut self.settling) {
            let size = ui.ctx().content_rect().size();
            let (width, height) = window_size::LEAST;
            if size.x < width / self.size.factor() || size.y < height / self.size.factor() {
                let (width, height) = window_size::USUAL;
                ui.send_viewport_cmd(ViewportCommand::InnerSize(vec2(width, height)));
            }
        }
    }
}

/// A screen reader hears where the controls begin that are scrolled together.
fn tell_reader(ui: &Ui) {
    let seen = ui.clip_rect();
    ui.ctx().accesskit_node_builder(ui.unique_id(), |node| {
        node.set_role(accesskit::Role::ScrollView);
        node.set_label(KNOBS_AND_PARTS);
        let (x0, y0) = (f64::from(seen.left()), f64::from(seen.top()));
        let (x1, y1) = (f64::from(seen.right()), f64::from(seen.bottom()));
        node.set_bounds(accesskit::Rect { x0, y0, x1, y1 });
    });
}

fn controls_switch(ui: &mut Ui, shown: &mut bool) {
    let hint = "Without them, and the chords as text, all the room is the timeline's";
    ui.toggle_value(shown, KNOBS_AND_PARTS).on_hover_text(hint);
}

fn line(ui: &mut Ui) {
    ui.add(Separator::default().spacing(2.0));
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What changes in the window though nobody touches it.
#[derive(Debug, Clone)]
struct Seen {
    settings: Settings,
    link: Link,
    played_elsewhere: PerPart<bool>,
    playhead: f64,
    playing: bool,
    is_called: bool,
    struck: Counts,
    /// What was lost, and what the routing check tells.
    counts: [u32; 6],
    flags: [bool; 2],
    view: Arc<SongView>,
}

impl Seen {
    fn of(params: &ObbligatoParams, view: &SharedView, meters: &Meters, calls: &mut HostCalls) -> Self {
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
            is_called: calls.look(meters.blocks.load(Ordering::Relaxed), Instant::now()),
            struck: Counts::of(meters),
            counts: counted.map(|counter| counter.load(Ordering::Relaxed)),
            flags: [&meters.ready, &meters.bypassed].map(|flag| flag.load(Ordering::Relaxed)),
            view: view.get(),
        }
    }
}

impl PartialEq for Seen {
    /// The song is another one where it has been published anew.
    fn eq(&self, other: &Self) -> bool {
        let chosen = |seen: &Self| (seen.settings, seen.link, seen.played_elsewhere);
        let host = |seen: &Self| (seen.playhead.to_bits(), seen.playing, seen.is_called, seen.flags);
        let counted = |seen: &Self| (seen.struck, seen.counts);
        chosen(self) == chosen(other)
            && host(self) == host(other)
            && counted(self) == counted(other)
            && Arc::ptr_eq(&self.view, &other.view)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::music::{Part, Velocity};

    #[test]
    fn the_window_is_painted_again_when_what_it_shows_has_changed() {
        let (sender, _commands) = crossbeam_channel::unbounded();
        let (view, meters) = (SharedView::default(), Arc::<Meters>::default());
        let params = ObbligatoParams::new(sender, view.clone(), meters.clone());
        let calls = Mutex::new(HostCalls::default());
        let seen = || Seen::of(&params, &view, &meters, &mut lock(&calls));
        let mut before = seen();
        assert_eq!(before, seen(), "nothing has happened");
        let mut differs = |what: &str| assert_ne!(std::mem::replace(&mut before, seen()), seen(), "{what}");
        view.publish(SongView::default());
        differs("a song");
        meters.playhead_quarters.store(1.5, Ordering::Relaxed);
        differs("the playhead");
        meters.playing.store(true, Ordering::Relaxed);
        differs("the transport");
        Meters::count(&meters.blocks);
        differs("the host's first call");
        Meters::count(&meters.dropped);
        differs("a loss");
        meters.parts[Part::Bass].strike(Velocity::clamped(1));
        differs("a note");
        meters.ready.store(true, Ordering::Relaxed);
        differs("the model is there");
        params.reroll();
        differs("a setting");
        let before = seen();
        Meters::count(&meters.blocks);
        assert_eq!(before, seen(), "that the host goes on calling is nothing to see");
    }
}
