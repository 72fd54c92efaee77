//! Small signs that no font has. GUI THREAD.

use egui::{Color32, CornerRadius, Painter, Pos2, Rect, Stroke, StrokeKind, vec2};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Icon {
    Padlock,
    /// Another throw.
    Die,
    Tick,
    Cross,
}

impl Icon {
    /// About a dozen points high.
    pub fn paint(self, painter: &Painter, middle: Pos2, colour: Color32) {
        let stroke = Stroke::new(1.5, colour);
        let at = |x: f32, y: f32| middle + vec2(x, y);
        let line = |from: Pos2, to: Pos2| {
            painter.line_segment([from, to], stroke);
        };
        match self {
            Self::Padlock => {
                painter.circle_stroke(at(0.0, -2.0), 3.0, stroke);
                painter.rect_filled(
                    Rect::from_center_size(at(0.0, 2.0), vec2(9.0, 6.5)),
                    CornerRadius::same(1),
                    colour,
                );
            }
            Self::Die => {
                let edge = Rect::from_center_size(middle, vec2(11.0, 11.0));
                painter.rect_stroke(edge, CornerRadius::same(2), stroke, StrokeKind::Inside);
                for (x, y) in [(-2.4, -2.4), (0.0, 0.0), (2.4, 2.4)] {
                    painter.circle_filled(at(x, y), 1.1, colour);
                }
            }
            Self::Tick => {
                line(at(-4.0, 0.5), at(-1.0, 3.5));
                line(at(-1.0, 3.5), at(4.5, -4.0));
            }
            Self::Cross => {
                line(at(-3.5, -3.5), at(3.5, 3.5));
                line(at(-3.5, 3.5), at(3.5, -3.5));
            }
        }
    }
}
