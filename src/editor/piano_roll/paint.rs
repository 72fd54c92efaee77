//! The timeline in colour. GUI THREAD.

use super::colours;
use super::layout::{Area, BarBox, ChordBox, NoteBox, Picture};
use super::score::ChordSource;
use super::selection::Lane;
use crate::editor::theme;
use crate::ledger::BarState;
use egui::emath::GuiRounding;
use egui::{Align2, Color32, CornerRadius, FontId, Galley, Mesh, Painter, Pos2, Rect, Shape, Stroke, StrokeKind, vec2};
use std::ops::Range;
use std::sync::Arc;

/// Font sizes for chords, the first that fits: on one line, else for root and quality.
const CHORD_SIZES: [f32; 4] = [30.0, 25.0, 21.0, 17.0];
const NARROW_SIZES: [f32; 4] = [21.0, 17.0, 14.0, 11.0];
const QUALITY_SIZES: [f32; 3] = [15.0, 12.0, 9.5];

/// Paints a picture with its upper left corner at `origin`; left of it stand the names of rows.
pub struct Paint<'a> {
    pub painter: &'a Painter,
    pub origin: Pos2,
}

impl Paint<'_> {
    pub fn roll(&self, picture: &Picture) {
        let inside = self.clipped_to(&Area { bottom: picture.bands.drums.bottom, ..picture.bands.ruler });
        inside.rows(picture);
        inside.bars(picture);
        inside.notes(&picture.notes);
        picture.bars.iter().for_each(|bar| inside.bar_signs(picture, bar));
        inside.playhead(picture, 0.0, picture.bands.drums.bottom);
        self.names_of_rows(picture);
    }

    /// What to do first.
    pub fn invitation(&self, picture: &Picture) {
        const TEXT: &str = "Play a melody, and it appears here with what the band plays to it.";
        let middle = self.rect(&picture.bands.roll).center();
        self.painter.text(middle, Align2::CENTER_CENTER, TEXT, FontId::proportional(15.0), theme::TEXT);
    }

    /// Round what has the keyboard.
    pub fn focused(&self, rect: Rect) {
        let stroke = Stroke::new(1.0, colours::selection_edge());
        self.painter.rect_stroke(rect, CornerRadius::ZERO, stroke, StrokeKind::Inside);
    }

    fn clipped_to(&self, area: &Area) -> Inside {
        let rect = self.rect(area);
        Inside { painter: self.painter.with_clip_rect(rect.intersect(self.painter.clip_rect())), origin: self.origin }
    }

    fn rect(&self, area: &Area) -> Rect {
        rect_at(self.origin, area)
    }

    fn names_of_rows(&self, picture: &Picture) {
        const SIZE: f32 = 10.0;
        let name = |middle: f32, text: String| {
            let place = self.origin + vec2(-6.0, middle);
            self.painter.text(place, Align2::RIGHT_CENTER, text, FontId::proportional(SIZE), theme::WEAK);
        };
        let keys = &picture.keys;
        for key in keys.keys.clone().filter(|key| key % 12 == 0) {
            let middle = keys.bottom_of(key) - keys.row / 2.0;
            let whole = middle - SIZE / 2.0 > picture.bands.roll.top && middle + SIZE / 2.0 < picture.bands.roll.bottom;
            if whole {
                name(middle, format!("C{}", i32::from(key) / 12 - 1));
            }
        }
        for (row, drum) in picture.drums.iter().enumerate() {
            let (top, bottom) = picture.drum_row(row);
            name((top + bottom) / 2.0, drum.name().into());
        }
        let bands = &picture.bands;
        name((bands.ruler.top + bands.ruler.bottom) / 2.0, "Bar".into());
    }

    /// The chord lane, `height` points high.
    pub fn chords(&self, picture: &Picture, height: f32) {
        let lane = Area { left: 0.0, top: 0.0, right: picture.bands.ruler.right, bottom: height };
        let inside = self.clipped_to(&lane);
        inside.painter.rect_filled(self.rect(&lane), CornerRadius::ZERO, colours::BACKGROUND);
        picture.chords.iter().for_each(|chord| inside.behind_chord(chord, height));
        inside.playhead(picture, 0.0, height);
        // Over the playhead: a name that it crosses is the one that is looked for.
        picture.chords.iter().for_each(|chord| inside.chord(picture, chord, height));
        let place = self.origin + vec2(-6.0, height / 2.0);
        self.painter.text(place, Align2::RIGHT_CENTER, "Chords", FontId::proportional(12.0), theme::WEAK);
    }
}

impl Paint<'_> {
    /// A chord where it would come to be.
    pub fn dragged(&self, name: &str, x: Range<f32>, height: f32) {
        let area = Area { left: x.start, top: 0.0, right: x.end, bottom: height };
        let inside = self.clipped_to(&Area { left: 0.0, right: f32::MAX / 4.0, ..area });
        inside.painter.rect_filled(inside.rect(&area), CornerRadius::same(3), colours::NOW);
        inside.selected(&area);
        inside.chord_name(name, x.start.max(0.0) + 5.0, x.end - x.start, theme::STRONG);
    }
}

/// What is painted inside the timeline's edges.
struct Inside {
    painter: Painter,
    origin: Pos2,
}

fn rect_at(origin: Pos2, area: &Area) -> Rect {
    Rect::from_min_max(origin + vec2(area.left, area.top), origin + vec2(area.right, area.bottom))
}

impl Inside {
    fn at(&self, x: f32, y: f32) -> Pos2 {
        self.origin + vec2(x, y)
    }

    fn rect(&self, area: &Area) -> Rect {
        rect_at(self.origin, area)
    }

    fn vertical(&self, x: f32, top: f32, bottom: f32, stroke: Stroke) {
        self.painter.line_segment([self.at(x, top), self.at(x, bottom)], stroke);
    }

    /// The background: rows of black keys, an octave's lines, rows of drums.
    fn rows(&self, picture: &Picture) {
        let (bands, keys) = (&picture.bands, &picture.keys);
        let whole = Area { bottom: bands.drums.bottom, ..bands.ruler };
        let mut mesh = Mesh::default();
        mesh.add_colored_rect(self.rect(&whole), colours::BACKGROUND);
        let row = |top: f32, bottom: f32| self.rect(&Area { top, bottom, ..bands.roll });
        for key in keys.keys.clone() {
            let bottom = keys.bottom_of(key);
            match key % 12 {
                1 | 3 | 6 | 8 | 10 => mesh.add_colored_rect(row(bottom - keys.row, bottom), colours::BLACK_KEY),
                0 => mesh.add_colored_rect(row(bottom - 1.0, bottom), colours::BEAT),
                _ => {}
            }
        }
        for number in (1..picture.drums.len()).step_by(2) {
            let (top, bottom) = picture.drum_row(number);
            mesh.add_colored_rect(self.rect(&Area { top, bottom, ..bands.drums }), colours::BLACK_KEY);
        }
        self.painter.add(mesh);
        if bands.drums.height() > 0.0 {
            let edge = Stroke::new(1.0, colours::BAR);
            self.painter
                .line_segment([self.at(0.0, bands.drums.top), self.at(bands.drums.right, bands.drums.top)], edge);
        }
    }

    fn bars(&self, picture: &Picture) {
        let (top, bottom) = (picture.bands.roll.top, picture.bands.drums.bottom);
        for beat in &picture.beats {
            self.vertical(*beat, top, bottom, Stroke::new(1.0, colours::BEAT));
        }
        for bar in &picture.bars {
            let area = Area { left: bar.left, top, right: bar.right, bottom };
            if let Some(from) = bar.planned {
                self.hatch(&Area { left: from, ..area });
            }
            match bar.selected {
                Some(Lane::Roll) => self.selected(&Area { top: 0.0, ..area }),
                // The chords are meant: their lane shows it, here the numbers do.
                Some(Lane::Chords) => self.selected(&Area { left: bar.left, right: bar.right, ..picture.bands.ruler }),
                None => {}
            }
            self.vertical(bar.left, 0.0, bottom, Stroke::new(1.0, colours::BAR));
        }
    }

    /// A veil with an edge above and below.
    fn selected(&self, area: &Area) {
        let rect = self.rect(area);
        self.painter.rect_filled(rect, CornerRadius::ZERO, colours::selected());
        let stroke = Stroke::new(2.0, colours::selection_edge());
        for y in [rect.top() + 1.0, rect.bottom() - 1.0] {
            self.painter.hline(rect.x_range(), y, stroke);
        }
    }

    /// Slanting lines: what is planned.
    fn hatch(&self, area: &Area) {
        const APART: f32 = 9.0;
        let clip = self.rect(area).intersect(self.painter.clip_rect());
        if !clip.is_positive() {
            return;
        }
        let painter = self.painter.with_clip_rect(clip);
        // The slant goes on from bar to bar: lines stand at multiples of the distance from the left edge.
        let (from, to) = (clip.left() - self.origin.x, clip.right() - self.origin.x);
        let first = (from / APART).floor() as i32;
        let last = ((to + area.height()) / APART).ceil() as i32;
        for line in first..=last {
            let x = line as f32 * APART;
            let points = [self.at(x, area.top), self.at(x - area.height(), area.bottom)];
            painter.line_segment(points, Stroke::new(1.0, colours::HATCH));
        }
    }

    fn notes(&self, notes: &[NoteBox]) {
        let mut mesh = Mesh::default();
        mesh.reserve_triangles(4 * notes.len());
        mesh.reserve_vertices(8 * notes.len());
        for shown in notes {
            let colour = colours::voice(shown.note.voice);
            let rect = self.rect(&apart(&shown.area)).round_to_pixels(self.painter.pixels_per_point());
            if shown.note.silent || shown.planned {
                mesh.add_colored_rect(rect, colour);
                let fill = if shown.note.silent { colours::BACKGROUND } else { colours::planned(colour) };
                mesh.add_colored_rect(rect.shrink2(vec2(1.0, 1.0).min(rect.size() / 4.0)), fill);
            } else {
                mesh.add_colored_rect(rect, colours::struck(colour, shown.note.velocity));
            }
        }
        self.painter.add(mesh);
    }

    /// Its number and how its music came about.
    fn bar_signs(&self, picture: &Picture, bar: &BarBox) {
        let bands = &picture.bands;
        if let Some(number) = bar.number {
            let place = self.at(bar.left + 4.0, (bands.ruler.top + bands.ruler.bottom) / 2.0);
            self.painter.text(place, Align2::LEFT_CENTER, number, FontId::proportional(12.0), theme::TEXT);
        }
        let height = bands.states.height();
        let rect = self.rect(&Area { left: bar.left + 1.0, right: bar.right, ..bands.states });
        // What is cut off by the left edge keeps its sign in sight.
        let left = self.at(bar.left.max(0.0), (bands.states.top + bands.states.bottom) / 2.0);
        let colour = bar.state.map_or(theme::WEAK, colours::state);
        if let Some(state) = bar.state {
            self.painter.rect_filled(rect, CornerRadius::ZERO, colours::state_behind(state));
            let middle = left + vec2(1.0 + height / 2.0, 0.0);
            self.with_clip(rect).state_sign(state, middle, height * 0.3, colour);
        }
        if let Some(word) = bar.word().filter(|_| bar.named || bar.wanted) {
            let place = left + vec2(if bar.state.is_some() { 1.1 * height } else { 4.0 }, 0.0);
            self.with_clip(rect).painter.text(place, Align2::LEFT_CENTER, word, FontId::proportional(10.0), colour);
        }
    }

    fn with_clip(&self, rect: Rect) -> Self {
        Self { painter: self.painter.with_clip_rect(rect.intersect(self.painter.clip_rect())), origin: self.origin }
    }

    /// A ring, a disc, a diamond, a padlock.
    fn state_sign(&self, state: BarState, middle: Pos2, radius: f32, colour: Color32) {
        let stroke = Stroke::new(1.5, colour);
        match state {
            BarState::Anticipated => {
                self.painter.circle_stroke(middle, radius, stroke);
            }
            BarState::Arranged => {
                self.painter.circle_filled(middle, radius, colour);
            }
            BarState::Edited => {
                let corners = [vec2(0.0, -1.3), vec2(1.3, 0.0), vec2(0.0, 1.3), vec2(-1.3, 0.0)];
                let points = corners.map(|corner| middle + corner * radius).to_vec();
                self.painter.add(Shape::convex_polygon(points, colour, Stroke::NONE));
            }
            BarState::Locked => self.padlock(middle, radius, colour),
        }
    }

    fn padlock(&self, middle: Pos2, radius: f32, colour: Color32) {
        let body = Rect::from_center_size(middle + vec2(0.0, radius * 0.5), vec2(2.2, 1.5) * radius);
        let bow = middle - vec2(0.0, radius * 0.3);
        self.painter.circle_stroke(bow, radius * 0.7, Stroke::new(1.2, colour));
        self.painter.rect_filled(body, CornerRadius::same(1), colour);
    }

    fn playhead(&self, picture: &Picture, top: f32, bottom: f32) {
        if let Some(x) = picture.playhead {
            self.vertical(x, top, bottom, Stroke::new(2.0, colours::PLAYHEAD));
        }
    }

    fn behind_chord(&self, chord: &ChordBox, height: f32) {
        let area = Area { left: chord.left, top: 0.0, right: chord.right, bottom: height };
        if chord.sounds_now {
            self.painter.rect_filled(self.rect(&area), CornerRadius::ZERO, colours::NOW);
        }
        if chord.selected {
            self.selected(&area);
        }
        let begins_bar = chord.first.number == 0;
        self.vertical(chord.left, 0.0, height, Stroke::new(1.0, if begins_bar { colours::BAR } else { colours::BEAT }));
    }

    fn chord(&self, picture: &Picture, chord: &ChordBox, height: f32) {
        let Some(shown) = chord.shown else { return };
        let past = picture.playhead.is_some_and(|playhead| chord.right <= playhead);
        let colour = if past { theme::WEAK } else { theme::STRONG };
        // What is cut off by the left edge keeps its name in sight.
        let left = chord.left.max(0.0) + 5.0;
        self.chord_name(&shown.name(), left, chord.right - left - 2.0, colour);
        self.source(shown.source, self.at(left + 4.0, height - 9.0), chord.right - left);
    }

    /// As large as fits; where it is narrow, root over quality.
    fn chord_name(&self, name: &str, left: f32, width: f32, colour: Color32) {
        const MIDDLE: f32 = 21.0;
        let place = |galley: Arc<Galley>, middle: f32| {
            self.painter.galley(self.at(left, middle - galley.size().y / 2.0), galley, colour);
        };
        if let Some(whole) = self.fitting(name, &CHORD_SIZES, width, colour) {
            return place(whole, MIDDLE);
        }
        let (root, quality) = name.split_at(root_length(name));
        if let Some(root) = self.fitting(root, &NARROW_SIZES, width, colour) {
            place(root, MIDDLE - 7.0);
        }
        if let Some(quality) = self.fitting(quality, &QUALITY_SIZES, width, colour) {
            place(quality, MIDDLE + 11.0);
        }
    }

    fn fitting(&self, text: &str, sizes: &[f32], width: f32, colour: Color32) -> Option<Arc<Galley>> {
        let sized = |size: f32| self.painter.layout_no_wrap(text.to_owned(), FontId::proportional(size), colour);
        sizes.iter().map(|size| sized(*size)).find(|galley| galley.size().x <= width)
    }

    /// Where a chord comes from: a sign, and the word where there is room.
    fn source(&self, source: ChordSource, middle: Pos2, width: f32) {
        const RADIUS: f32 = 3.5;
        const ROOM_FOR_SIGN: f32 = 9.0;
        let colour = colours::source(source);
        let stroke = Stroke::new(1.3, colour);
        if width < ROOM_FOR_SIGN {
            return;
        }
        match source {
            ChordSource::Locked => self.padlock(middle, RADIUS, colour),
            ChordSource::Yours => {
                let square = Rect::from_center_size(middle, vec2(2.0, 2.0) * RADIUS);
                self.painter.rect_filled(square, CornerRadius::ZERO, colour);
            }
            ChordSource::Heard => {
                self.painter.circle_filled(middle, RADIUS, colour);
            }
            ChordSource::Loop => {
                self.painter.circle_stroke(middle, RADIUS, stroke);
                self.painter.circle_filled(middle, RADIUS * 0.4, colour);
            }
            ChordSource::Proposed => {
                self.painter.circle_stroke(middle, RADIUS, stroke);
            }
            ChordSource::Rule => {
                self.painter.hline(middle.x - RADIUS..=middle.x + RADIUS, middle.y, stroke);
            }
        }
        let word = self.painter.layout_no_wrap(source.name().into(), FontId::proportional(10.0), colour);
        if word.size().x + 14.0 <= width {
            self.painter.galley(middle + vec2(8.0, -word.size().y / 2.0), word, colour);
        }
    }
}

/// Bytes of a chord's name that are its root: a letter and an accidental. The other names stay whole.
fn root_length(name: &str) -> usize {
    match name.as_bytes() {
        [b'A'..=b'G', b'b' | b'#', ..] => 2,
        [b'A'..=b'G', ..] => 1,
        _ => name.len(),
    }
}

/// Notes that follow each other on one key do not melt into one.
fn apart(area: &Area) -> Area {
    const GAP: f32 = 1.0;
    if area.right - area.left > 4.0 { Area { right: area.right - GAP, ..*area } } else { *area }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chords_are_split_behind_their_root() {
        for (name, root) in
            [("C", "C"), ("Am7", "A"), ("Ebmaj7", "Eb"), ("F#m7b5", "F#"), ("G/B", "G"), ("N.C.", "N.C.")]
        {
            assert_eq!(&name[..root_length(name)], root);
        }
    }
}
