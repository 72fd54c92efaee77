//! A knob, and the same as a bar in a row. GUI THREAD.
//!
//! Drag, with shift for fine; wheel; double click for the default; arrows, Page, Home, End, Delete while it has the
//! keyboard; Enter or a digit to type. The right button opens a menu of our own: neither CLAP's nor VST3's context menu of
//! the host is to be had through the framework.

use super::theme;
use super::turn::{PAGE, Turn, notched};
use egui::accesskit::{Action, ActionData};
use egui::epaint::PathShape;
use egui::{
    Align2, Color32, Context, CursorIcon, Event, EventFilter, FontId, Id, Key, MouseWheelUnit, PointerButton, Pos2,
    Rect, Response, Sense, Shape, Stroke, StrokeKind, TextEdit, Ui, Vec2, WidgetInfo, pos2, vec2,
};
use std::f32::consts::TAU;

/// What a dial shows. Positions are a host's, 0..=1.
pub struct Dial<'a> {
    /// For screen readers.
    pub name: &'a str,
    pub position: f32,
    /// Where the host's modulation has it, if that is elsewhere.
    pub modulated: f32,
    pub default: f32,
    /// How many steps it has, if any.
    pub steps: Option<usize>,
    pub text: String,
    pub colour: Color32,
    pub form: Form,
    /// A typed text as a position; `None` where it means none.
    pub read: &'a dyn Fn(&str) -> Option<f32>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Form {
    /// Its text stands below, if anywhere, and may be so wide.
    Knob { diameter: f32, width: f32, shows_value: bool },
    /// As wide as this; its text stands inside.
    Bar(f32),
}

/// What happened to it in this frame.
pub struct Turned {
    pub response: Response,
    /// The pointer holds it.
    pub held: bool,
    pub to: Option<f32>,
}

/// A value while it is typed.
#[derive(Debug, Clone, Default)]
struct Typing {
    text: String,
    /// What was typed before means nothing.
    refused: bool,
    opened: bool,
}

/// Seven eighths of the way round would leave no gap to tell the ends apart.
const SWEEP: f32 = 0.75 * TAU;
const TEXT_HEIGHT: f32 = 18.0;

/// Where it is remembered which dial had the keyboard last.
const LAST: &str = "the dial that had the keyboard last";

/// Whether a dial has the keyboard, and no value is typed into it: it has no use for Space then.
pub fn has_keyboard(context: &Context) -> bool {
    let last: Option<Id> = context.data(|data| data.get_temp(Id::unique(LAST)));
    last.is_some() && context.memory(|memory| memory.focused()) == last
}

impl Dial<'_> {
    pub fn show(&self, ui: &mut Ui) -> Turned {
        let (whole, response) = ui.allocate_exact_size(self.size(), Sense::click_and_drag());
        let id = response.id;
        if let Some(typing) = ui.data(|data| data.get_temp::<Typing>(id)) {
            return self.type_value(ui, response, whole, typing);
        }
        if response.has_focus() {
            ui.data_mut(|data| data.insert_temp(Id::unique(LAST), id));
        }
        let to = self.moved(ui, &response);
        self.menu(&response);
        self.tell_reader(ui, &response);
        if ui.is_rect_visible(whole) {
            match self.form {
                Form::Knob { diameter, shows_value, .. } => {
                    self.paint_knob(ui, &response, whole, diameter);
                    if shows_value {
                        let below = pos2(whole.center().x, whole.bottom() - TEXT_HEIGHT / 2.0);
                        let font = FontId::proportional(14.0);
                        ui.painter().text(below, Align2::CENTER_CENTER, &self.text, font, theme::STRONG);
                    }
                }
                Form::Bar(_) => self.paint_bar(ui, &response, whole),
            }
        }
        if response.hovered() || response.dragged() {
            ui.set_cursor_icon(CursorIcon::ResizeVertical);
        }
        let held = response.is_pointer_button_down_on() && ui.input(|input| input.pointer.primary_down());
        Turned { response, held, to }
    }

    fn size(&self) -> Vec2 {
        match self.form {
            Form::Knob { diameter, width, .. } => vec2(width.max(diameter), diameter + TEXT_HEIGHT),
            Form::Bar(width) => vec2(width, 20.0),
        }
    }

    /// Where pointer, wheel, keyboard and screen reader want it; the last of them counts.
    fn moved(&self, ui: &Ui, response: &Response) -> Option<f32> {
        let reset = ui.data_mut(|data| data.remove_temp::<bool>(response.id.with("reset"))).is_some();
        if response.double_clicked() || reset {
            return Some(self.default);
        }
        let asked = self.asked_by_reader(ui, response.id).or_else(|| self.by_key(ui, response));
        asked.or_else(|| self.by_wheel(ui, response)).or_else(|| Self::by_drag(ui, response, self.position))
    }

    fn by_drag(ui: &Ui, response: &Response, position: f32) -> Option<f32> {
        let id = response.id.with("turn");
        if response.drag_started_by(PointerButton::Primary) {
            ui.data_mut(|data| data.insert_temp(id, Turn::from(position).drag(0.0, 0.0, false)));
            response.request_focus();
        }
        if !response.dragged_by(PointerButton::Primary) {
            return None;
        }
        let mut turn = Turn::from(ui.data(|data| data.get_temp(id)).unwrap_or(position));
        let (delta, fine) = (response.drag_delta(), ui.input(|input| input.modifiers.shift));
        let turned = turn.drag(delta.x, delta.y, fine);
        ui.data_mut(|data| data.insert_temp(id, turned));
        (delta != Vec2::ZERO).then_some(turned)
    }

    fn by_wheel(&self, ui: &Ui, response: &Response) -> Option<f32> {
        /// As many points of a track pad are a notch.
        const POINTS: f32 = 50.0;
        if !is_aimed_at(ui, response) {
            return None;
        }
        let (notches, fine) = ui.input_mut(|input| {
            // What it stands in is not to scroll too.
            input.smooth_scroll_delta = Vec2::ZERO;
            let turned = input.events.iter().filter_map(|event| match event {
                // With shift some systems turn the wheel sideways.
                Event::MouseWheel { unit, delta, .. } => {
                    let delta = if delta.y == 0.0 { delta.x } else { delta.y };
                    Some(if *unit == MouseWheelUnit::Point { delta / POINTS } else { delta })
                }
                _ => None,
            });
            (turned.sum::<f32>(), input.modifiers.shift)
        });
        (notches != 0.0).then(|| notched(self.position, notches, fine, self.steps))
    }

    fn by_key(&self, ui: &Ui, response: &Response) -> Option<f32> {
        if !response.has_focus() {
            return None;
        }
        let filter = EventFilter { horizontal_arrows: true, vertical_arrows: true, ..EventFilter::default() };
        ui.memory_mut(|memory| memory.set_focus_lock_filter(response.id, filter));
        let events = ui.input(|input| input.events.clone());
        let mut to = None;
        for event in events {
            match event {
                Event::Key { key, pressed: true, modifiers, .. } if !modifiers.command && !modifiers.alt => {
                    if key == Key::Enter {
                        open(ui, response.id, self.text.clone());
                    }
                    to = self.keyed(key, modifiers.shift).or(to);
                }
                Event::Text(text) if text.starts_with(|first: char| first.is_ascii_digit() || first == '-') => {
                    open(ui, response.id, text);
                }
                _ => {}
            }
        }
        to
    }

    fn keyed(&self, key: Key, fine: bool) -> Option<f32> {
        let by = |notches: f32| Some(notched(self.position, notches, fine, self.steps));
        match key {
            Key::ArrowUp | Key::ArrowRight => by(1.0),
            Key::ArrowDown | Key::ArrowLeft => by(-1.0),
            Key::PageUp => by(PAGE),
            Key::PageDown => by(-PAGE),
            Key::Home => Some(0.0),
            Key::End => Some(1.0),
            Key::Delete | Key::Backspace => Some(self.default),
            _ => None,
        }
    }

    fn asked_by_reader(&self, ui: &Ui, id: Id) -> Option<f32> {
        ui.input(|input| {
            let requests = input.accesskit_action_requests(id, Action::SetValue);
            let set = requests.filter_map(|request| match request.data {
                Some(ActionData::NumericValue(value)) => Some((value as f32).clamp(0.0, 1.0)),
                _ => None,
            });
            let times = |action| input.num_accesskit_action_requests(id, action) as f32;
            let notches = times(Action::Increment) - times(Action::Decrement);
            set.last().or_else(|| (notches != 0.0).then(|| notched(self.position, notches, false, self.steps)))
        })
    }

    fn menu(&self, response: &Response) {
        let id = response.id;
        response.context_menu(|ui| {
            if ui.button("Type a value…").clicked() {
                open(ui, id, self.text.clone());
            }
            if ui.button("Back to the default").clicked() {
                // The dial itself is not in reach from its menu: it finds this in the next frame.
                ui.data_mut(|data| data.insert_temp(id.with("reset"), true));
            }
        });
    }

    fn tell_reader(&self, ui: &Ui, response: &Response) {
        response.widget_info(|| WidgetInfo::slider(ui.is_enabled(), f64::from(self.position), self.name));
        ui.ctx().accesskit_node_builder(response.id, |node| {
            node.set_min_numeric_value(0.0);
            node.set_max_numeric_value(1.0);
            node.set_value(self.text.as_str());
            for action in [Action::SetValue, Action::Increment, Action::Decrement] {
                node.add_action(action);
            }
        });
    }

    fn type_value(&self, ui: &mut Ui, response: Response, whole: Rect, mut typing: Typing) -> Turned {
        let place = match self.form {
            Form::Knob { diameter, .. } => Rect::from_min_max(pos2(whole.left(), whole.top() + diameter), whole.max),
            Form::Bar(_) => whole,
        };
        let id = response.id;
        let colour = if typing.refused { theme::PROBLEM } else { theme::STRONG };
        let edit =
            TextEdit::singleline(&mut typing.text).id(id.with("typed")).margin(vec2(4.0, 1.0)).text_color(colour);
        let field = ui.put(place, edit).accessible_name(self.name);
        if !std::mem::replace(&mut typing.opened, true) {
            field.request_focus();
        }
        let (mut to, mut over) = (None, false);
        if field.lost_focus() {
            to = (self.read)(&typing.text);
            over = to.is_some() || !ui.input(|input| input.key_pressed(Key::Enter));
            // Who presses Escape, or looks elsewhere, has not meant it.
            to = to.filter(|_| !ui.input(|input| input.key_pressed(Key::Escape)));
            typing.refused = !over;
            if !over {
                field.request_focus();
            }
        }
        if over {
            ui.data_mut(|data| data.remove::<Typing>(id));
            response.request_focus();
        } else {
            ui.data_mut(|data| data.insert_temp(id, typing));
        }
        Turned { response, held: false, to }
    }

    fn paint_knob(&self, ui: &Ui, response: &Response, whole: Rect, diameter: f32) {
        let painter = ui.painter();
        let centre = pos2(whole.center().x, whole.top() + diameter / 2.0);
        let radius = diameter / 2.0 - 4.0;
        let style = ui.style().interact(response);
        painter.circle(centre, radius - 5.0, style.bg_fill, Stroke::new(1.0, theme::EDGE));
        let ring = |from: f32, to: f32, width: f32, colour: Color32| {
            let points = arc(centre, radius, from, to);
            painter.add(Shape::Path(PathShape::line(points, Stroke::new(width, colour))));
        };
        ring(0.0, 1.0, 4.0, theme::RAIL);
        if self.position > 0.0 {
            ring(0.0, self.position, 4.0, self.colour);
        }
        let at = |position: f32, distance: f32| centre + distance * Vec2::angled(angle(position));
        painter.line_segment(
            [at(self.position, radius - 16.0), at(self.position, radius - 6.0)],
            Stroke::new(2.5, theme::STRONG),
        );
        if (self.modulated - self.position).abs() > 1e-3 {
            painter.circle_filled(at(self.modulated, radius), 3.0, theme::STRONG);
        }
        if response.has_focus() {
            painter.circle_stroke(centre, radius + 3.0, Stroke::new(1.5, theme::FOCUS));
        }
    }

    fn paint_bar(&self, ui: &Ui, response: &Response, whole: Rect) {
        let painter = ui.painter();
        let style = ui.style().interact(response);
        painter.rect_filled(whole, style.corner_radius, style.bg_fill);
        let width = whole.width() * self.position;
        // Below the text, so that both are seen.
        let strip = |width: f32| {
            Rect::from_min_max(pos2(whole.left(), whole.bottom() - 3.0), pos2(whole.left() + width, whole.bottom()))
        };
        painter.rect_filled(strip(whole.width()), 1.0, theme::BACKGROUND);
        painter.rect_filled(strip(width), 1.0, self.colour);
        if (self.modulated - self.position).abs() > 1e-3 {
            let at = pos2(whole.left() + whole.width() * self.modulated, whole.bottom() - 1.5);
            painter.circle_filled(at, 2.5, theme::STRONG);
        }
        painter.text(
            whole.center() - vec2(0.0, 1.0),
            Align2::CENTER_CENTER,
            &self.text,
            FontId::proportional(12.5),
            theme::STRONG,
        );
        if response.has_focus() {
            painter.rect_stroke(whole, style.corner_radius, Stroke::new(1.5, theme::FOCUS), StrokeKind::Outside);
        }
    }
}

/// Whether the pointer was brought to it. What was scrolled under a pointer at rest is not meant by the wheel.
fn is_aimed_at(ui: &Ui, response: &Response) -> bool {
    let id = response.id.with("aimed");
    let before = ui.data(|data| data.get_temp::<bool>(id)).unwrap_or(false);
    let moved = || ui.input(|input| input.events.iter().any(|event| matches!(event, Event::PointerMoved(_))));
    let now = response.hovered() && (before || moved());
    if now != before {
        ui.data_mut(|data| data.insert_temp(id, now));
    }
    now
}

fn open(ui: &Ui, id: Id, text: String) {
    ui.data_mut(|data| data.insert_temp(id, Typing { text, ..Typing::default() }));
    ui.ctx().request_repaint();
}

/// From the lower left clockwise to the lower right.
fn angle(position: f32) -> f32 {
    (TAU - SWEEP) / 2.0 + TAU / 4.0 + SWEEP * position
}

fn arc(centre: Pos2, radius: f32, from: f32, to: f32) -> Vec<Pos2> {
    const PIECES: usize = 40;
    let pieces = ((to - from) * PIECES as f32).ceil().max(1.0) as usize;
    let at = |piece: usize| from + (to - from) * piece as f32 / pieces as f32;
    (0..=pieces).map(|piece| centre + radius * Vec2::angled(angle(at(piece)))).collect()
}
