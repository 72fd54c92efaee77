//! The bottom of the window: how it goes, what was done, what is wrong. GUI THREAD.

use super::gauge::{Ease, Gauge};
use super::header::reveal_button;
use super::routing::{Surroundings, first_obstacle};
use super::window::ObbligatoEditor;
use super::{meter, status, theme};
use crate::channels::SongView;
use crate::standalone;
use egui::{Label, Rect, RichText, Role, Sense, Ui, WidgetInfo, pos2, vec2};

impl ObbligatoEditor {
    pub(super) fn status(&mut self, ui: &mut Ui, view: &SongView, at: &Surroundings) {
        self.notice(ui);
        ui.horizontal(|ui| {
            if let Some(gauge) = Gauge::of(view, &self.meters) {
                show_gauge(ui, &gauge);
            }
            let line = status::status_line(view, &self.meters);
            ui.add(Label::new(RichText::new(line).weak()).truncate());
        });
        let problem = view.engine.problem.clone().or_else(|| status::silence_of_engine(&self.meters));
        let problems: Vec<String> = problem.into_iter().chain(self.params.song.problem()).collect();
        let silent = standalone::get().and_then(|found| found.problem());
        let problems: Vec<String> = silent.map(str::to_owned).into_iter().chain(problems).collect();
        for problem in &problems {
            ui.colored_label(theme::PROBLEM, status::sentence(problem));
        }
        if problems.is_empty()
            && let Some(obstacle) = first_obstacle(at)
        {
            // One line, whatever the window's width; all of it stands in the routing check too.
            let text = format!("{} {}", obstacle.what, obstacle.advice);
            ui.add(Label::new(RichText::new(&text).weak()).truncate()).on_hover_text(&text);
        }
    }

    fn notice(&mut self, ui: &mut Ui) {
        let Some(notice) = self.notice.clone() else { return };
        ui.horizontal_wrapped(|ui| {
            ui.colored_label(if notice.well { theme::TEXT } else { theme::PROBLEM }, &notice.text);
            reveal_button(ui, &notice);
            if ui.small_button("OK").clicked() {
                self.notice = None;
            }
        });
    }
}

/// How much of the bar an answer takes; a mark stands at the slowest one.
fn show_gauge(ui: &mut Ui, gauge: &Gauge) {
    const WIDTH: f32 = 120.0;
    let (whole, response) = ui.allocate_exact_size(vec2(WIDTH, 16.0), Sense::hover());
    let colour = match gauge.ease() {
        Ease::Easy => theme::ACCENT,
        Ease::Tight => theme::CAUTION,
        Ease::TooSlow => theme::PROBLEM,
    };
    let rail = whole.shrink2(vec2(1.0, 4.0));
    meter::paint(ui.painter(), rail, gauge.share(), colour);
    let worst = rail.left() + (rail.width() - 2.0) * gauge.worst_share();
    let mark = Rect::from_min_size(pos2(worst, whole.top() + 1.0), vec2(2.0, whole.height() - 2.0));
    ui.painter().rect_filled(mark, 0.0, theme::WEAK);
    response.widget_info(|| WidgetInfo::labeled(Role::Meter, true, format!("Time for an answer: {}", gauge.text())));
    response.on_hover_text("How much of a bar's time its answer takes; the mark is the slowest since loading");
}
