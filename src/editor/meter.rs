//! A bar that shows how much of something there is. GUI THREAD.

use super::theme;
use egui::{Color32, Painter, Rect, Stroke, StrokeKind, vec2};

/// Fills a share of it, 0..=1. Its edge is seen where it is empty.
pub fn paint(painter: &Painter, whole: Rect, share: f32, colour: Color32) {
    painter.rect_filled(whole, 2.0, theme::BACKGROUND);
    if share > 0.0 {
        let filled = Rect::from_min_size(whole.min, vec2(whole.width() * share, whole.height()));
        painter.rect_filled(filled, 2.0, colour);
    }
    painter.rect_stroke(whole, 2.0, Stroke::new(1.0, theme::EDGE), StrokeKind::Outside);
}
