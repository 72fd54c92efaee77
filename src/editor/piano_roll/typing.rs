//! The field in the chord lane that chords are typed into. GUI THREAD.

use super::chord_text::Place;
use super::score::Score;
use crate::editor::status::sentence;
use crate::editor::theme;
use crate::ledger::LedgerCommand;
use egui::{FontId, Id, Key, Rect, RichText, TextEdit, Tooltip, Ui, pos2, vec2};
use std::ops::Range;

#[derive(Debug, Clone)]
pub struct Typing {
    pub place: Place,
    text: String,
    /// What stood there before.
    before: String,
    problem: Option<String>,
    /// It has asked for the keyboard.
    opened: bool,
}

impl Typing {
    pub fn new(place: Place, text: String) -> Self {
        Self { place, before: text.clone(), text, problem: None, opened: false }
    }

    /// `None` while it is open; then what was typed asks for, if anything. `span` is where its place stands.
    pub fn show(&mut self, ui: &mut Ui, lane: Rect, span: &Range<f32>, score: &Score) -> Option<Option<LedgerCommand>> {
        let field = TextEdit::singleline(&mut self.text)
            .id(Id::unique("typed chords"))
            .font(FontId::proportional(18.0))
            .hint_text("Am  or  C | F G");
        let response = ui.put(field_rect(lane, span), field).accessible_name("Chords from here on");
        if !std::mem::replace(&mut self.opened, true) {
            response.request_focus();
            return None;
        }
        if let Some(problem) = &self.problem {
            Tooltip::always_open(ui.ctx().clone(), ui.layer_id(), response.id.with("problem"), response.rect)
                .show(|ui| ui.label(RichText::new(sentence(problem)).color(theme::PROBLEM)));
        }
        if !response.lost_focus() {
            return None;
        }
        if ui.input(|input| input.key_pressed(Key::Escape)) || self.text == self.before {
            return Some(None);
        }
        match self.place.command(&self.text, score) {
            Ok(command) => Some(Some(command)),
            Err(problem) => {
                self.problem = Some(problem);
                response.request_focus();
                None
            }
        }
    }
}

/// Over its place, but wide enough to type in and inside the lane.
fn field_rect(lane: Rect, span: &Range<f32>) -> Rect {
    const NARROWEST: f32 = 150.0;
    let width = (span.end - span.start).clamp(NARROWEST, lane.width().max(NARROWEST));
    let left = span.start.clamp(lane.left(), (lane.right() - width).max(lane.left()));
    Rect::from_min_size(pos2(left, lane.top() + 8.0), vec2(width, lane.height() - 16.0))
}
