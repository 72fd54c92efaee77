//! Draws a piano roll: parts in their colours, bar lines, chord names; long songs in several lines, as in a score.

use anyhow::{Context, Result};
use obbligato::music::{Bar, Note, TICKS_PER_QUARTER, Ticks};
use skrifa::instance::{LocationRef, Size};
use skrifa::outline::{DrawSettings, OutlinePen};
use skrifa::{FontRef, GlyphId, MetadataProvider};
use std::path::Path;
use tiny_skia::{Color, FillRule, Paint, PathBuilder, Pixmap, Rect, Transform};

/// What is drawn.
#[derive(Debug, Clone)]
pub struct PianoRoll {
    pub title: String,
    /// Without gaps.
    pub bars: Vec<Bar>,
    /// Later ones are drawn over earlier ones.
    pub voices: Vec<Voice>,
    /// Where a chord begins.
    pub chords: Vec<(Ticks, String)>,
}

#[derive(Debug, Clone)]
pub struct Voice {
    pub name: String,
    /// sRGB.
    pub colour: [u8; 3],
    pub notes: Vec<Note>,
}

// Lengths are in pixels.
const WIDTH: f32 = 1600.0;
const LEFT: f32 = 44.0;
const RIGHT: f32 = 20.0;
const TITLE_HEIGHT: f32 = 56.0;
const CHORDS_HEIGHT: f32 = 26.0;
const NUMBERS_HEIGHT: f32 = 20.0;
const GAP: f32 = 16.0;
const KEY_HEIGHT: f32 = 7.0;
/// A line of the roll holds as many bars as fit at this width.
const NARROWEST_QUARTER: f32 = 24.0;
const WIDEST_QUARTER: f32 = 48.0;
const TITLE_SIZE: f32 = 24.0;
const CHORD_SIZE: f32 = 17.0;
const SMALL_SIZE: f32 = 13.0;
/// Of what can still be read.
const SMALLEST_SIZE: f32 = 9.0;
/// Keys of room above the highest and below the lowest note.
const SPARE_KEYS: i32 = 2;

const PAPER: [u8; 3] = [0x16, 0x18, 0x1d];
const WHITE_KEY: [u8; 3] = [0x20, 0x23, 0x2a];
const BLACK_KEY: [u8; 3] = [0x1a, 0x1d, 0x23];
const OCTAVE_LINE: [u8; 3] = [0x30, 0x34, 0x3d];
const BEAT_LINE: [u8; 3] = [0x2a, 0x2e, 0x36];
const BAR_LINE: [u8; 3] = [0x5a, 0x60, 0x6c];
const TEXT: [u8; 3] = [0xe6, 0xe8, 0xec];
const FAINT_TEXT: [u8; 3] = [0x8b, 0x92, 0x9e];

impl PianoRoll {
    /// # Errors
    /// When there are no bars, or the file cannot be written.
    pub fn save_png(&self, path: &Path) -> Result<()> {
        let picture = self.draw()?;
        picture.save_png(path).with_context(|| format!("cannot write {}", path.display()))
    }

    fn draw(&self) -> Result<Pixmap> {
        let layout = Layout::of(self).context("a song without bars cannot be drawn")?;
        let mut canvas = Canvas::new(WIDTH, layout.height())?;
        self.draw_title(&mut canvas);
        for (index, line) in layout.lines.iter().enumerate() {
            let line = Line { layout: &layout, bars: line, top: layout.top(index) };
            line.draw_grid(&mut canvas);
            line.draw_chords(&self.chords, &mut canvas);
            self.voices.iter().for_each(|voice| line.draw_voice(voice, &mut canvas));
        }
        Ok(canvas.pixels)
    }

    /// The title, and the voices with their colours from the right.
    fn draw_title(&self, canvas: &mut Canvas) {
        const SQUARE: f32 = 13.0;
        const BASELINE: f32 = 36.0;
        canvas.text(&self.title, LEFT, BASELINE, TITLE_SIZE, TEXT);
        let mut right = WIDTH - RIGHT;
        for voice in self.voices.iter().rev() {
            right -= canvas.text_width(&voice.name, CHORD_SIZE);
            canvas.text(&voice.name, right, BASELINE, CHORD_SIZE, TEXT);
            right -= SQUARE + 7.0;
            canvas.rectangle(right, BASELINE - SQUARE, SQUARE, SQUARE, voice.colour, 1.0);
            right -= 24.0;
        }
    }
}

/// How the song is laid out.
struct Layout<'a> {
    lines: Vec<&'a [Bar]>,
    quarter_width: f32,
    lowest_key: i32,
    highest_key: i32,
}

impl<'a> Layout<'a> {
    fn of(roll: &'a PianoRoll) -> Option<Self> {
        let room = WIDTH - LEFT - RIGHT;
        let lines = break_lines(&roll.bars, (room / NARROWEST_QUARTER) * TICKS_PER_QUARTER as f32);
        let longest = lines.iter().map(|line| length_of(line)).max()?;
        let keys = roll.voices.iter().flat_map(|voice| &voice.notes).map(|note| i32::from(note.key.number()));
        let (lowest, highest) = keys.fold((i32::MAX, i32::MIN), |(low, high), key| (low.min(key), high.max(key)));
        let (lowest, highest) = if lowest > highest { (48, 72) } else { (lowest, highest) };
        Some(Self {
            lines,
            quarter_width: (room * TICKS_PER_QUARTER as f32 / longest as f32).min(WIDEST_QUARTER),
            lowest_key: lowest - SPARE_KEYS,
            highest_key: highest + SPARE_KEYS,
        })
    }

    fn keys_height(&self) -> f32 {
        (self.highest_key - self.lowest_key + 1) as f32 * KEY_HEIGHT
    }

    fn line_height(&self) -> f32 {
        CHORDS_HEIGHT + self.keys_height() + NUMBERS_HEIGHT + GAP
    }

    fn top(&self, line: usize) -> f32 {
        TITLE_HEIGHT + line as f32 * self.line_height()
    }

    fn height(&self) -> f32 {
        self.top(self.lines.len())
    }
}

/// As many bars a line as fit into `longest` ticks, at least one.
fn break_lines(bars: &[Bar], longest: f32) -> Vec<&[Bar]> {
    let mut lines = Vec::new();
    let mut rest = bars;
    while !rest.is_empty() {
        let fitting = (1..=rest.len()).take_while(|count| length_of(&rest[..*count]) as f32 <= longest).last();
        let (line, following) = rest.split_at(fitting.unwrap_or(1));
        lines.push(line);
        rest = following;
    }
    lines
}

fn length_of(bars: &[Bar]) -> Ticks {
    match (bars.first(), bars.last()) {
        (Some(first), Some(last)) => last.end() - first.start,
        (None, _) | (_, None) => 0,
    }
}

/// One line of the roll.
struct Line<'a> {
    layout: &'a Layout<'a>,
    bars: &'a [Bar],
    top: f32,
}

impl Line<'_> {
    fn start(&self) -> Ticks {
        self.bars[0].start
    }

    fn end(&self) -> Ticks {
        self.bars[self.bars.len() - 1].end()
    }

    fn x(&self, at: Ticks) -> f32 {
        LEFT + (at - self.start()) as f32 * self.layout.quarter_width / TICKS_PER_QUARTER as f32
    }

    fn keys_top(&self) -> f32 {
        self.top + CHORDS_HEIGHT
    }

    /// Upper edge of a key's row.
    fn y(&self, key: i32) -> f32 {
        self.keys_top() + (self.layout.highest_key - key) as f32 * KEY_HEIGHT
    }

    fn draw_grid(&self, canvas: &mut Canvas) {
        let (left, width) = (LEFT, self.x(self.end()) - LEFT);
        for key in self.layout.lowest_key..=self.layout.highest_key {
            let colour = if is_black(key) { BLACK_KEY } else { WHITE_KEY };
            canvas.rectangle(left, self.y(key), width, KEY_HEIGHT, colour, 1.0);
            if key.rem_euclid(12) == 0 {
                canvas.rectangle(left, self.y(key) + KEY_HEIGHT - 1.0, width, 1.0, OCTAVE_LINE, 1.0);
                canvas.text(&format!("C{}", key / 12 - 1), 12.0, self.y(key) + KEY_HEIGHT, SMALL_SIZE, FAINT_TEXT);
            }
        }
        let (top, height) = (self.keys_top(), self.layout.keys_height());
        for bar in self.bars {
            let beat = bar.meter.beat_length() as usize;
            for at in (bar.start..bar.end()).step_by(beat).skip(1) {
                canvas.rectangle(self.x(at), top, 1.0, height, BEAT_LINE, 1.0);
            }
            canvas.rectangle(self.x(bar.start), top, 1.0, height, BAR_LINE, 1.0);
            let number = (bar.index.0 + 1).to_string();
            canvas.text(&number, self.x(bar.start) + 2.0, top + height + SMALL_SIZE, SMALL_SIZE, FAINT_TEXT);
        }
        canvas.rectangle(self.x(self.end()), top, 1.0, height, BAR_LINE, 1.0);
    }

    /// A name that does not fit before the next is written smaller, or left out.
    fn draw_chords(&self, chords: &[(Ticks, String)], canvas: &mut Canvas) {
        const AIR: f32 = 5.0;
        let here: Vec<_> = chords.iter().filter(|(at, _)| (self.start()..self.end()).contains(at)).collect();
        for (index, (at, name)) in here.iter().enumerate() {
            let end = here.get(index + 1).map_or(f32::MAX, |(next, _)| self.x(*next));
            let room = end - self.x(*at) - AIR;
            let size = CHORD_SIZE.min(CHORD_SIZE * room / canvas.text_width(name, CHORD_SIZE));
            if size >= SMALLEST_SIZE {
                canvas.text(name, self.x(*at) + 2.0, self.keys_top() - 7.0, size, TEXT);
            }
        }
    }

    fn draw_voice(&self, voice: &Voice, canvas: &mut Canvas) {
        for note in &voice.notes {
            let (start, end) = (note.start.max(self.start()), note.end().min(self.end()));
            if start >= end {
                continue;
            }
            // A pixel of air, so that repeated notes stay apart.
            let width = (self.x(end) - self.x(start) - 1.5).max(2.0);
            let loudness = 0.55 + 0.45 * f32::from(note.velocity.get()) / 127.0;
            let y = self.y(i32::from(note.key.number()));
            canvas.rectangle(self.x(start) + 1.0, y + 0.5, width, KEY_HEIGHT - 1.0, voice.colour, loudness);
        }
    }
}

fn is_black(key: i32) -> bool {
    matches!(key.rem_euclid(12), 1 | 3 | 6 | 8 | 10)
}

struct Canvas {
    pixels: Pixmap,
    face: FontRef<'static>,
}

impl Canvas {
    fn new(width: f32, height: f32) -> Result<Self> {
        let mut pixels = Pixmap::new(width as u32, height.ceil() as u32).context("the picture is too large")?;
        pixels.fill(colour(PAPER, 1.0));
        let face = FontRef::new(epaint_default_fonts::UBUNTU_LIGHT).context("the typeface reads")?;
        Ok(Self { pixels, face })
    }

    fn rectangle(&mut self, x: f32, y: f32, width: f32, height: f32, rgb: [u8; 3], opacity: f32) {
        if let Some(rectangle) = Rect::from_xywh(x, y, width, height) {
            self.pixels.fill_rect(rectangle, &paint(rgb, opacity), Transform::identity(), None);
        }
    }

    /// `baseline` is the y at which letters stand.
    fn text(&mut self, text: &str, x: f32, baseline: f32, size: f32, rgb: [u8; 3]) {
        let outlines = self.face.outline_glyphs();
        let mut pen = x;
        for glyph in self.glyphs(text) {
            let mut outline = Outline(PathBuilder::new());
            // A letter that cannot be drawn leaves a gap, as a space does.
            if let Some(letter) = outlines.get(glyph) {
                let _ = letter.draw(DrawSettings::unhinted(Size::new(size), LocationRef::default()), &mut outline);
            }
            if let Some(path) = outline.0.finish() {
                let place = Transform::from_row(1.0, 0.0, 0.0, -1.0, pen, baseline);
                self.pixels.fill_path(&path, &paint(rgb, 1.0), FillRule::Winding, place, None);
            }
            pen += self.advance(glyph, size);
        }
    }

    fn text_width(&self, text: &str, size: f32) -> f32 {
        self.glyphs(text).into_iter().map(|glyph| self.advance(glyph, size)).sum()
    }

    /// Those of the letters that the typeface has.
    fn glyphs(&self, text: &str) -> Vec<GlyphId> {
        let letters = self.face.charmap();
        text.chars().filter_map(|letter| letters.map(letter)).collect()
    }

    /// From one letter to the next.
    fn advance(&self, glyph: GlyphId, size: f32) -> f32 {
        let metrics = self.face.glyph_metrics(Size::new(size), LocationRef::default());
        metrics.advance_width(glyph).unwrap_or(0.0)
    }
}

fn colour([red, green, blue]: [u8; 3], opacity: f32) -> Color {
    let alpha = (opacity * 255.0).round().clamp(0.0, 255.0) as u8;
    Color::from_rgba8(red, green, blue, alpha)
}

fn paint(rgb: [u8; 3], opacity: f32) -> Paint<'static> {
    let mut paint = Paint { anti_alias: true, ..Paint::default() };
    paint.set_color(colour(rgb, opacity));
    paint
}

/// A letter's outline on its way to tiny-skia.
struct Outline(PathBuilder);

impl OutlinePen for Outline {
    fn move_to(&mut self, x: f32, y: f32) {
        self.0.move_to(x, y);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        self.0.line_to(x, y);
    }

    fn quad_to(&mut self, cx0: f32, cy0: f32, x: f32, y: f32) {
        self.0.quad_to(cx0, cy0, x, y);
    }

    fn curve_to(&mut self, cx0: f32, cy0: f32, cx1: f32, cy1: f32, x: f32, y: f32) {
        self.0.cubic_to(cx0, cy0, cx1, cy1, x, y);
    }

    fn close(&mut self) {
        self.0.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use obbligato::music::{Key, Meter, Velocity};

    fn roll(bars: i32, notes: Vec<Note>) -> PianoRoll {
        PianoRoll {
            title: "Test".to_owned(),
            bars: (0..bars).map(|index| Bar::of_constant_meter(index, Meter::COMMON)).collect(),
            voices: vec![Voice { name: "Bass".to_owned(), colour: [255, 0, 0], notes }],
            chords: vec![(0, "Am".to_owned())],
        }
    }

    #[test]
    fn notes_stand_at_their_time_and_key_in_their_colour() {
        let note = Note { start: 12, key: Key::folded(60), duration: 12, velocity: Velocity::clamped(127) };
        let roll = roll(2, vec![note]);
        let picture = roll.draw().expect("there are bars");
        let middle_of = |quarter: f32| {
            let x = LEFT + quarter * WIDEST_QUARTER;
            let y = TITLE_HEIGHT + CHORDS_HEIGHT + (SPARE_KEYS as f32 + 0.5) * KEY_HEIGHT;
            let pixel = picture.pixel(x as u32, y as u32).expect("it is in the picture");
            [pixel.red(), pixel.green(), pixel.blue()]
        };
        assert_eq!(middle_of(1.5), [255, 0, 0]);
        assert_eq!(middle_of(0.5), WHITE_KEY);
        assert_eq!(middle_of(2.5), WHITE_KEY);
    }

    #[test]
    fn long_songs_are_broken_into_lines() {
        let roll = roll(100, Vec::new());
        let layout = Layout::of(&roll).expect("there are bars");
        let counts: Vec<usize> = layout.lines.iter().map(|line| line.len()).collect();
        assert_eq!(counts, [16, 16, 16, 16, 16, 16, 4]);
        assert!(roll.draw().is_ok());
        assert!(self::roll(0, Vec::new()).draw().is_err());
    }
}
