//! The song over time: the chord plan, and below it the melody and all parts. GUI THREAD.
//!
//! What stands where is decided without egui: the song by bar (`score`), the stretch that is seen (`viewport`), what lies in
//! it (`layout`), what keys and buttons ask for (`wish`, `chord_text`). The rest paints that and listens.

mod chord_drag;
mod chord_text;
mod colours;
mod drum_lane;
mod hover;
mod input;
mod layout;
mod paint;
mod score;
mod selection;
#[cfg(test)]
pub(in crate::editor) mod test_songs;
#[cfg(test)]
mod tests;
mod toolbar;
mod typing;
mod viewport;
mod wish;

use crate::channels::SongView;
use crate::ledger::LedgerCommand;
use crate::music::{ChordPlan, Note, PerPart, Ticks};
use crate::settings::PartSettings;
use chord_drag::{ChordDrag, Grip, grip_at};
use chord_text::Place;
use egui::{CursorIcon, EventFilter, Id, Key, Pos2, Rect, Response, Role, Sense, Ui, WidgetInfo, pos2, vec2};
use input::Motion;
use layout::{Picture, Subject};
use paint::Paint;
use score::Score;
use selection::{Lane, Selection};
use std::ops::Range;
use std::sync::Arc;
use toolbar::Toolbar;
use typing::Typing;
use viewport::Viewport;
use wish::Wish;

/// Room for the names of rows.
const GUTTER: f32 = 54.0;
/// Its names are to be read from a metre away.
const CHORD_LANE: f32 = 58.0;
/// Between the chord lane and the roll.
const GAP: f32 = 3.0;
/// Less than this shows no melody any more.
const LEAST_ROLL: f32 = 64.0;

/// What the timeline shows.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    pub view: &'a Arc<SongView>,
    /// The melody of bars that are under way.
    pub sung: &'a [Note],
    /// The user's chord plan as it was typed.
    pub plan: &'a ChordPlan,
    pub parts: PerPart<PartSettings>,
    /// In ticks.
    pub playhead: f64,
    pub playing: bool,
}

/// The timeline and what the user has done to the view of it.
#[derive(Debug)]
pub struct PianoRoll {
    viewport: Viewport,
    selection: Option<Selection>,
    follow: bool,
    typing: Option<Typing>,
    dragged: Option<ChordDrag>,
    score: Score,
    /// What the score was made of.
    shown: Option<Shown>,
    /// Where the playhead was in the last frame.
    playhead: Option<f64>,
    /// The lane that the pointer was over in the last frame.
    under: Option<Id>,
    /// The keyboard is here only because the pointer is.
    visited: bool,
    /// Its keys are the timeline's.
    has_keyboard: bool,
}

#[derive(Debug, Clone)]
struct Shown {
    view: Arc<SongView>,
    plan: ChordPlan,
    parts: PerPart<PartSettings>,
}

impl Default for PianoRoll {
    fn default() -> Self {
        Self {
            viewport: Viewport::default(),
            selection: None,
            follow: true,
            typing: None,
            dragged: None,
            score: Score::default(),
            shown: None,
            playhead: None,
            under: None,
            visited: false,
            has_keyboard: false,
        }
    }
}

impl PianoRoll {
    /// Shows the song in what room is left, and returns what the user asks of the ledger. `beside`: what else stands in the row
    /// of buttons.
    pub fn show(&mut self, ui: &mut Ui, scene: &Scene<'_>, beside: impl FnOnce(&mut Ui)) -> Vec<LedgerCommand> {
        let playhead = sensible(scene.playhead);
        self.take_in(scene);
        let bar = Toolbar {
            score: &self.score,
            selection: self.selection.as_ref(),
            steps: scene.view.steps,
            follow: self.follow,
            chords: self.score.now_and_next(playhead.floor() as Ticks),
        };
        let pressed = bar.show(ui, beside);
        let places = Places::take(ui);
        self.take_keyboard(ui, &places);
        self.viewport.resize(places.roll.width());
        self.move_with(playhead);
        let mut commands = Vec::new();
        for wish in pressed.into_iter().chain(self.keys(ui, &places)) {
            commands.extend(self.fulfil(wish, playhead));
        }
        commands.extend(self.drag_chord(ui, &places, playhead));
        for (response, lane) in [(&places.on_roll, Lane::Roll), (&places.on_chords, Lane::Chords)] {
            self.scroll(ui, response, playhead);
            self.select(ui, response, lane);
        }
        let picture = self.picture(&places, scene.sung, playhead);
        self.open_typing(&places, &picture);
        self.paint(ui, &places, &picture);
        self.explain(ui, &places, &picture);
        commands.extend(self.show_typing(ui, &places));
        if scene.playing {
            ui.request_repaint();
        }
        commands
    }

    /// Its keys are its own; none of them is Space, which a host wants.
    pub fn has_keyboard(&self) -> bool {
        self.has_keyboard
    }

    /// The selected bars by where they begin, and their name.
    pub fn selected(&self) -> Option<(Range<Ticks>, String)> {
        self.selection.as_ref().map(|selected| (selected.ticks(), selected.name()))
    }

    /// Indexes the song anew where it is another than in the last frame.
    fn take_in(&mut self, scene: &Scene<'_>) {
        let same = self.shown.as_ref().is_some_and(|shown| {
            Arc::ptr_eq(&shown.view, scene.view) && shown.plan == *scene.plan && shown.parts == scene.parts
        });
        if !same {
            self.score = Score::of(scene.view, scene.plan, &scene.parts);
            self.shown = Some(Shown { view: scene.view.clone(), plan: scene.plan.clone(), parts: scene.parts });
        }
    }

    fn move_with(&mut self, playhead: f64) {
        let moved = self.playhead.replace(playhead) != Some(playhead);
        if self.follow && moved {
            self.viewport.follow(playhead, &self.score.extent(playhead));
        }
        self.viewport.keep_within(&self.score.extent(playhead));
    }

    /// It has the keyboard while the pointer is over it, and keeps it after a press; else the keys are the host's.
    fn take_keyboard(&mut self, ui: &Ui, places: &Places) {
        let lanes = [&places.on_roll, &places.on_chords];
        let now = lanes.into_iter().find(|lane| lane.hovered()).map(|lane| lane.id);
        let before = std::mem::replace(&mut self.under, now);
        let is_busy = ui.ctx().text_edit_focused() || ui.input(|input| input.pointer.any_down());
        if now != before && !is_busy {
            match (now, before) {
                (Some(lane), _) if !lanes.iter().any(|lane| lane.has_focus()) => {
                    ui.memory_mut(|memory| memory.request_focus(lane));
                    self.visited = true;
                }
                (None, Some(_)) if self.visited => lanes.iter().for_each(|lane| lane.surrender_focus()),
                (Some(_) | None, _) => {}
            }
        }
        self.visited &= lanes.iter().any(|lane| lane.has_focus()) && !ui.input(|input| input.pointer.primary_pressed());
        self.has_keyboard = lanes.iter().any(|lane| lane.has_focus());
    }

    fn keys(&self, ui: &Ui, places: &Places) -> Vec<Wish> {
        for response in [&places.on_roll, &places.on_chords] {
            let filter = EventFilter { horizontal_arrows: true, escape: true, ..EventFilter::default() };
            ui.memory_mut(|memory| memory.set_focus_lock_filter(response.id, filter));
        }
        if self.has_keyboard && self.typing.is_none() { input::key_wishes(ui) } else { Vec::new() }
    }

    fn fulfil(&mut self, wish: Wish, playhead: f64) -> Option<LedgerCommand> {
        let here = playhead.floor() as Ticks;
        if let Some(selection) = wish.selects(self.selection.as_ref(), here, &self.score) {
            self.selection = selection;
            self.reveal_selection();
        }
        let extent = self.score.extent(playhead);
        match wish {
            Wish::TypeChords => {
                self.begin_typing(wish::place_to_type(self.selection.as_ref(), here, &self.score));
            }
            Wish::ToggleFollow => {
                self.follow = !self.follow;
                if self.follow {
                    self.viewport.follow(playhead, &extent);
                }
            }
            Wish::Zoom(factor) => {
                let ahead = self.viewport.x_of(playhead);
                let middle = self.viewport.x_of(self.viewport.visible().start + self.viewport.ticks() / 2.0);
                self.viewport.zoom(factor, if (0.0..2.0 * middle).contains(&ahead) { ahead } else { middle });
                self.viewport.keep_within(&extent);
            }
            Wish::Page(bars) => {
                let bar = self.score.grid_bar(self.viewport.visible().start as Ticks).bar;
                let points = self.viewport.x_of(f64::from(bar.end())) - self.viewport.x_of(f64::from(bar.start));
                self.scroll_by(-points * bars as f32, &extent);
            }
            Wish::Reroll(_)
            | Wish::ToggleLock
            | Wish::ToggleMusicLock
            | Wish::ToggleChordLock
            | Wish::Clear
            | Wish::ClearBars
            | Wish::ClearChords
            | Wish::Undo
            | Wish::Redo
            | Wish::Step(_)
            | Wish::Extend(_)
            | Wish::ToStart
            | Wish::ToEnd
            | Wish::SelectAll
            | Wish::SelectNothing => {}
        }
        wish.command(self.selection.as_ref(), &self.score)
    }

    fn reveal_selection(&mut self) {
        if let Some(selection) = &self.selection {
            let head = selection.head();
            let before = self.viewport;
            self.viewport.reveal(&(f64::from(head.start)..f64::from(head.end())));
            self.follow &= self.viewport == before;
        }
    }

    /// Whoever scrolls by hand wants to look elsewhere than at the playhead.
    fn scroll_by(&mut self, points: f32, extent: &Range<f64>) {
        if points != 0.0 {
            self.follow = false;
            self.viewport.scroll(points);
            self.viewport.keep_within(extent);
        }
    }

    fn scroll(&mut self, ui: &Ui, response: &Response, playhead: f64) {
        let motion = Motion::over(ui, response);
        let extent = self.score.extent(playhead);
        if let Some((factor, x)) = motion.zoom {
            self.viewport.zoom(factor, x - response.rect.left());
            self.viewport.keep_within(&extent);
        }
        self.scroll_by(motion.scroll, &extent);
    }

    /// A press on a chord's name or edge takes it along, until it is let go; Escape lets it go where it was.
    fn drag_chord(&mut self, ui: &Ui, places: &Places, playhead: f64) -> Option<LedgerCommand> {
        let lane = &places.on_chords;
        let (pressed, down, escape, pointer) = ui.input(|input| {
            let pointer = &input.pointer;
            (pointer.primary_pressed(), pointer.primary_down(), input.key_pressed(Key::Escape), pointer.interact_pos())
        });
        let pointer = pointer? - places.chords.min;
        let tick = self.viewport.tick_at(pointer.x).floor() as Ticks;
        if pressed && lane.is_pointer_button_down_on() && self.typing.is_none() {
            let picture = self.picture(places, &[], playhead);
            let held = grip_at(&picture, pointer.x, pointer.y);
            self.dragged = held.and_then(|(grip, chord)| ChordDrag::begin(grip, chord, tick));
        }
        if escape {
            self.dragged = None;
        }
        let dragged = self.dragged.as_mut()?;
        dragged.move_to(tick, &self.score);
        if down {
            return None;
        }
        self.dragged.take().and_then(|dragged| dragged.command(&self.score))
    }

    /// A press selects a bar, drawing goes on from it; with shift it goes on from what was selected.
    fn select(&mut self, ui: &Ui, response: &Response, lane: Lane) {
        let (pressed, down, shift, pointer) = ui.input(|input| {
            let pointer = &input.pointer;
            (pointer.primary_pressed(), pointer.primary_down(), input.modifiers.shift, pointer.interact_pos())
        });
        let draws = down && response.is_pointer_button_down_on() && (pressed || self.dragged.is_none());
        let Some(pointer) = pointer.filter(|_| draws) else { return };
        let x = pointer.x - response.rect.left();
        if pressed {
            response.request_focus();
        }
        self.scroll_towards(ui, x, response.rect.width());
        let bar = self.score.grid_bar(self.viewport.tick_at(x.clamp(0.0, response.rect.width() - 1.0)) as Ticks).bar;
        let going_on = self.selection.filter(|selected| selected.lane == lane && (shift || !pressed));
        self.selection = Some(going_on.map_or(Selection::of(lane, bar), |selected| selected.drawn_to(bar)));
    }

    /// A selection drawn beyond an edge takes the window with it.
    fn scroll_towards(&mut self, ui: &Ui, x: f32, width: f32) {
        const POINTS_A_FRAME: f32 = 6.0;
        let beyond = if x < 0.0 {
            1.0
        } else if x > width {
            -1.0
        } else {
            return;
        };
        let extent = self.score.extent(self.playhead.unwrap_or(0.0));
        self.scroll_by(beyond * POINTS_A_FRAME, &extent);
        ui.request_repaint();
    }

    fn picture(&self, places: &Places, sung: &[Note], playhead: f64) -> Picture {
        let (score, viewport, selection) = (&self.score, &self.viewport, self.selection.as_ref());
        let subject = Subject { score, sung, viewport, selection, playhead };
        Picture::of(&subject, places.roll.width(), places.roll.height())
    }

    fn paint(&self, ui: &Ui, places: &Places, picture: &Picture) {
        let painter = ui.painter();
        let lane = Paint { painter, origin: places.chords.min };
        lane.chords(picture, places.chords.height());
        if let Some((dragged, ticks)) = self.dragged.and_then(|dragged| Some((dragged, dragged.preview(&self.score)?)))
        {
            let x = |tick: Ticks| self.viewport.x_of(f64::from(tick));
            lane.dragged(&dragged.name(), x(ticks.start)..x(ticks.end), places.chords.height());
        }
        let paint = Paint { painter, origin: places.roll.min };
        paint.roll(picture);
        if self.score.is_empty() && picture.notes.is_empty() {
            paint.invitation(picture);
        }
        for (response, what) in [(&places.on_chords, "Chords"), (&places.on_roll, "Piano roll")] {
            let label = hover::summary(what, picture, self.selection.as_ref());
            response.widget_info(|| WidgetInfo::labeled(Role::Canvas, true, &label));
            if response.has_focus() {
                paint.focused(response.rect);
            }
        }
    }

    fn explain(&self, ui: &Ui, places: &Places, picture: &Picture) {
        let held = self.dragged.map(|dragged| dragged.grip);
        let under = places.pointer_in(&places.on_chords).and_then(|at| Some(grip_at(picture, at.x, at.y)?.0));
        match held.or(under) {
            Some(Grip::Name) => {
                ui.set_cursor_icon(if held.is_some() { CursorIcon::Grabbing } else { CursorIcon::Grab })
            }
            Some(Grip::Edge) => ui.set_cursor_icon(CursorIcon::ResizeHorizontal),
            None => {}
        }
        let on_roll = places.pointer_in(&places.on_roll).and_then(|at| hover::on_roll(picture, at.x, at.y));
        let on_chords = places.pointer_in(&places.on_chords).and_then(|at| hover::on_chords(picture, at.x));
        for (response, text) in [(&places.on_roll, on_roll), (&places.on_chords, on_chords)] {
            if let Some(text) = text {
                response.clone().on_hover_text_at_pointer(text);
            }
        }
    }

    fn open_typing(&mut self, places: &Places, picture: &Picture) {
        let pointer = places.pointer_in(&places.on_chords).filter(|_| places.on_chords.double_clicked());
        if let Some(chord) = pointer.and_then(|at| picture.chord_at(at.x)) {
            self.begin_typing(Place { first: chord.first, last: chord.last });
        }
    }

    fn begin_typing(&mut self, place: Place) {
        self.viewport.reveal(&(f64::from(place.first.start())..f64::from(place.first.end())));
        self.typing = Some(Typing::new(place, place.text(&self.score)));
    }

    fn show_typing(&mut self, ui: &mut Ui, places: &Places) -> Option<LedgerCommand> {
        let mut typing = self.typing.take()?;
        let x = |tick: Ticks| places.chords.left() + self.viewport.x_of(f64::from(tick));
        let span = x(typing.place.first.start())..x(typing.place.last.end());
        let outcome = typing.show(ui, places.chords, &span, &self.score);
        match outcome {
            None => self.typing = Some(typing),
            Some(_) => places.on_chords.request_focus(),
        }
        outcome.flatten()
    }
}

/// Where lane and roll stand in the window, and what the pointer does there.
struct Places {
    chords: Rect,
    roll: Rect,
    on_chords: Response,
    on_roll: Response,
}

impl Places {
    fn take(ui: &mut Ui) -> Self {
        let least = CHORD_LANE + GAP + LEAST_ROLL;
        let size = vec2(ui.available_width(), ui.available_height().max(least));
        let (whole, _) = ui.allocate_exact_size(size, Sense::hover());
        let left = whole.left() + GUTTER;
        let chords = Rect::from_min_max(pos2(left, whole.top()), pos2(whole.right(), whole.top() + CHORD_LANE));
        let roll = Rect::from_min_max(pos2(left, chords.bottom() + GAP), whole.max);
        let sense = Sense::click_and_drag();
        let on_chords = ui.interact(chords, ui.scope_id().with("chords"), sense);
        let on_roll = ui.interact(roll, ui.scope_id().with("roll"), sense);
        Self { chords, roll, on_chords, on_roll }
    }

    /// Where the pointer is, from the upper left corner of a place.
    fn pointer_in(&self, response: &Response) -> Option<Pos2> {
        let pointer = response.hover_pos()?;
        Some((pointer - response.rect.min).to_pos2())
    }
}

/// A host may say anything; what is further away than any song is long counts as its start.
fn sensible(playhead: f64) -> f64 {
    const FURTHEST: f64 = 1e7;
    if playhead.abs() <= FURTHEST { playhead } else { 0.0 }
}
