//! Controls for host parameters. GUI THREAD.
//!
//! Every change is told to the host inside a gesture (begin, set, end), so that it records automation rightly.

use super::dial::{Dial, Form, Turned};
use super::icons::Icon;
use super::theme;
use crate::params::{ObbligatoParams, ParamVisitor};
use egui::{Button, Checkbox, Color32, Response, RichText, Role, Stroke, Ui, Vec2, WidgetInfo, vec2};
use nice_plug::params::internals::ParamPtr;
use nice_plug::prelude::{BoolParam, Enum, EnumParam, Param, ParamSetter};
use std::cell::Cell;

pub const SMALL_BUTTON: Vec2 = vec2(24.0, 20.0);

/// What stands on a small button.
#[derive(Debug, Clone, Copy)]
pub enum Sign {
    Letter(&'static str),
    Icon(Icon),
}

/// In points.
#[derive(Debug, Clone, Copy)]
pub struct KnobSize {
    pub diameter: f32,
    /// Of knob and value.
    pub width: f32,
}

/// Draws controls and tells the host of changes.
pub struct Controls<'a> {
    setter: ParamSetter<'a>,
    /// The parameter that a pointer holds: its gesture has begun.
    held: Cell<Option<ParamPtr>>,
    /// Its control was there in this frame.
    seen: Cell<bool>,
}

impl<'a> Controls<'a> {
    /// For what no pointer holds.
    pub fn new(setter: ParamSetter<'a>) -> Self {
        Self::going_on(setter, None)
    }

    /// For a frame. `held`: what the last one's [`finish`](Self::finish) returned.
    pub fn going_on(setter: ParamSetter<'a>, held: Option<ParamPtr>) -> Self {
        Self { setter, held: Cell::new(held), seen: Cell::new(false) }
    }

    /// After a frame: ends the gesture of a control that is gone, and returns what is held on.
    pub fn finish(&self, params: &ObbligatoParams) -> Option<ParamPtr> {
        let held = self.held.get()?;
        if !self.seen.get() {
            params.visit_all(&mut Release { held, setter: &self.setter });
            self.held.set(None);
        }
        self.held.get()
    }

    pub fn setter(&self) -> &ParamSetter<'a> {
        &self.setter
    }

    /// A large knob with its value below. `shows_value`: else it is told elsewhere.
    pub fn knob(&self, ui: &mut Ui, param: &impl Param, size: KnobSize, shows_value: bool) -> Response {
        let form = Form::Knob { diameter: size.diameter, width: size.width, shows_value };
        self.dial(ui, param, form, theme::ACCENT)
    }

    /// The same in a row, with its value inside.
    pub fn bar(&self, ui: &mut Ui, param: &impl Param, width: f32, colour: Color32) -> Response {
        self.dial(ui, param, Form::Bar(width), colour)
    }

    fn dial(&self, ui: &mut Ui, param: &impl Param, form: Form, colour: Color32) -> Response {
        let position = param.unmodulated_normalized_value();
        let dial = Dial {
            name: param.name(),
            position,
            modulated: param.modulated_normalized_value(),
            default: param.default_normalized_value(),
            steps: param.step_count(),
            text: param.normalized_value_to_string(position, true),
            colour,
            form,
            read: &|text| param.string_to_normalized_value(text),
        };
        let Turned { response, held, to } = dial.show(ui);
        self.tell(param, held, to);
        response
    }

    pub fn switch(&self, ui: &mut Ui, param: &BoolParam, label: &str) -> Response {
        let mut on = param.unmodulated_plain_value();
        let response = checkbox(ui, &mut on, label);
        self.tell(param, is_held(&response), response.changed().then(|| param.preview_normalized(on)));
        response
    }

    /// A button that stays down, as small as its sign. The parameter's own name is what a screen reader is told.
    pub fn toggle(&self, ui: &mut Ui, param: &BoolParam, sign: Sign, lit: Color32) -> Response {
        let on = param.unmodulated_plain_value();
        let colour = if on { theme::BACKGROUND } else { theme::TEXT };
        let letter = match sign {
            Sign::Letter(letter) => letter,
            Sign::Icon(_) => "",
        };
        let button = Button::new(RichText::new(letter).color(colour)).min_size(SMALL_BUTTON);
        let response = ui.add(button.fill(if on { lit } else { theme::CONTROL }));
        if let Sign::Icon(icon) = sign {
            icon.paint(ui.painter(), response.rect.center(), colour);
        }
        response.widget_info(|| WidgetInfo::selected(Role::Button, ui.is_enabled(), on, param.name()));
        self.tell(param, is_held(&response), response.clicked().then(|| param.preview_normalized(!on)));
        response
    }

    /// All choices side by side.
    pub fn choice<T: Enum + PartialEq + 'static>(&self, ui: &mut Ui, param: &EnumParam<T>) {
        let now = param.unmodulated_plain_value().to_index();
        let (mut held, mut chosen) = (false, None);
        for (index, name) in T::variants().iter().enumerate() {
            let response = ui.selectable_label(index == now, *name);
            response.widget_info(|| {
                WidgetInfo::selected(Role::RadioButton, true, index == now, format!("{}: {name}", param.name()))
            });
            held |= is_held(&response);
            chosen = if response.clicked() { Some(index) } else { chosen };
        }
        self.tell(param, held, chosen.map(|index| param.preview_normalized(T::from_index(index))));
    }

    /// The user has changed something that is no parameter: the host is to ask before it is lost.
    pub fn tell_of_edit(&self, params: &ObbligatoParams) {
        self.setter.begin_set_parameter(&params.edits);
        self.setter.set_parameter(&params.edits, params.next_edit());
        self.setter.end_set_parameter(&params.edits);
    }

    fn tell(&self, param: &impl Param, held: bool, normalized: Option<f32>) {
        // What is set is what the parameter can be; a value that snaps back to what it is changes nothing.
        let now = param.unmodulated_normalized_value();
        let snapped = normalized.map(|normalized| param.preview_normalized(param.preview_plain(normalized)));
        let change = snapped.filter(|snapped| (snapped - now).abs() > f32::EPSILON);
        let open = self.held.get() == Some(param.as_ptr());
        let gesture = Gesture::of(open, held, change.is_some());
        if gesture.begins {
            self.setter.begin_set_parameter(param);
        }
        if let Some(normalized) = change {
            self.setter.set_parameter_normalized(param, normalized);
        }
        if gesture.ends {
            self.setter.end_set_parameter(param);
        }
        if held || open {
            self.held.set(held.then(|| param.as_ptr()));
            self.seen.set(true);
        }
    }
}

/// Tells the host that a parameter is held no more.
struct Release<'a> {
    held: ParamPtr,
    setter: &'a ParamSetter<'a>,
}

impl ParamVisitor for Release<'_> {
    fn visit(&mut self, _id: &str, param: &impl Param) {
        if param.as_ptr() == self.held {
            self.setter.end_set_parameter(param);
        }
    }
}

/// A box whose edge is seen though it is empty.
pub fn checkbox(ui: &mut Ui, on: &mut bool, label: &str) -> Response {
    let before = std::mem::replace(&mut ui.visuals_mut().widgets.inactive.bg_stroke, Stroke::new(1.0, theme::EDGE));
    let response = ui.add(Checkbox::new(on, label));
    ui.visuals_mut().widgets.inactive.bg_stroke = before;
    response
}

fn is_held(response: &Response) -> bool {
    response.is_pointer_button_down_on()
}

/// What the host is told about a gesture in one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Gesture {
    begins: bool,
    ends: bool,
}

impl Gesture {
    /// `open`: the control was held in the last frame. `held`: it is now. A typed value changes without being held.
    fn of(open: bool, held: bool, changes: bool) -> Self {
        Self { begins: !open && (held || changes), ends: !held && (open || changes) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the host sees of a course of frames `(held, changes)`.
    fn told(frames: &[(bool, bool)]) -> String {
        let mut open = false;
        let mut told = String::new();
        for &(held, changes) in frames {
            let gesture = Gesture::of(open, held, changes);
            told += if gesture.begins { "(" } else { "" };
            told += if changes { "x" } else { "" };
            told += if gesture.ends { ")" } else { "" };
            open = held;
        }
        told
    }

    #[test]
    fn changes_are_told_inside_gestures() {
        let drag = [(true, false), (true, true), (true, true), (false, false), (false, false)];
        assert_eq!(told(&drag), "(xx)");
        assert_eq!(told(&[(false, true), (false, false), (false, true)]), "(x)(x)", "typed");
        assert_eq!(told(&[(true, false), (false, true)]), "(x)", "a click that sets when it is released");
        assert_eq!(told(&[(true, false), (false, false)]), "()", "touched and left");
        assert_eq!(told(&[(false, false); 3]), "");
    }

    #[test]
    fn whatever_happens_every_gesture_that_begins_ends() {
        // All courses of six frames, then one in which nothing is held.
        for course in 0..1u32 << 12 {
            let mut frames: Vec<(bool, bool)> =
                (0..6).map(|frame| (course >> (2 * frame) & 1 == 1, course >> (2 * frame + 1) & 1 == 1)).collect();
            frames.push((false, false));
            let told = told(&frames);
            let mut depth = 0;
            for letter in told.chars() {
                depth += match letter {
                    '(' => 1,
                    ')' => -1,
                    _ => 0,
                };
                assert!((0..=1).contains(&depth) && (letter != 'x' || depth == 1), "{frames:?} told {told}");
            }
            assert_eq!(depth, 0, "{frames:?} told {told}");
        }
    }
}
