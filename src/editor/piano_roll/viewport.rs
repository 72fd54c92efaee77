//! Which stretch of the song is seen, and how large. Pure.

use std::ops::Range;

/// Ticks of a bar in 4/4, by which zoom is measured.
const USUAL_BAR: f64 = 48.0;
/// Below this a bar's mark would no longer be a shape. It bounds how many bars are seen at once, and so what is painted.
const NARROWEST_BAR: f64 = 14.0;
const WIDEST_BAR: f64 = 900.0;
/// So that eight bars lie ahead of a followed playhead in a window of the usual width.
const FIRST_BAR: f64 = 70.0;
/// Where a followed playhead stands, as a share of the width.
const PLAYHEAD_AT: f64 = 0.3;

/// From ticks to points right of the left edge, and back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Viewport {
    /// Tick at the left edge.
    start: f64,
    points_per_tick: f64,
    /// In points.
    width: f64,
}

impl Default for Viewport {
    fn default() -> Self {
        Self { start: 0.0, points_per_tick: FIRST_BAR / USUAL_BAR, width: 0.0 }
    }
}

impl Viewport {
    /// Takes in how wide the window is now, in points; its left edge stays.
    pub fn resize(&mut self, width: f32) {
        self.width = f64::from(width.max(1.0));
    }

    /// Points right of the left edge.
    pub fn x_of(&self, tick: f64) -> f32 {
        ((tick - self.start) * self.points_per_tick) as f32
    }

    /// The tick that stands `x` points right of the left edge.
    pub fn tick_at(&self, x: f32) -> f64 {
        self.start + f64::from(x) / self.points_per_tick
    }

    /// How many are seen.
    pub fn ticks(&self) -> f64 {
        self.width / self.points_per_tick
    }

    /// From the tick at the left edge to that at the right.
    pub fn visible(&self) -> Range<f64> {
        self.start..self.start + self.ticks()
    }

    /// Zooms so that what is at `x` stays there. Factors above 1 magnify.
    pub fn zoom(&mut self, factor: f64, x: f32) {
        let (low, high) = (NARROWEST_BAR / USUAL_BAR, WIDEST_BAR / USUAL_BAR);
        let fixed = self.tick_at(x);
        self.points_per_tick = (self.points_per_tick * factor).clamp(low, high);
        self.start = fixed - f64::from(x) / self.points_per_tick;
    }

    /// Moves the song by so many points; positive moves it to the right, which shows what is earlier.
    pub fn scroll(&mut self, points: f32) {
        self.start -= f64::from(points) / self.points_per_tick;
    }

    /// Keeps some of the song in sight.
    pub fn keep_within(&mut self, song: &Range<f64>) {
        let last = (song.end - self.ticks()).max(song.start);
        self.start = self.start.clamp(song.start, last);
    }

    /// Scrolls with the playhead; at the beginning of the song it waits for it.
    pub fn follow(&mut self, playhead: f64, song: &Range<f64>) {
        self.start = (playhead - PLAYHEAD_AT * self.ticks()).max(song.start);
    }

    /// Scrolls no further than it must to show the whole of a stretch, or its beginning where it is too long.
    pub fn reveal(&mut self, ticks: &Range<f64>) {
        if ticks.end > self.visible().end {
            self.start = ticks.end - self.ticks();
        }
        if ticks.start < self.start {
            self.start = ticks.start;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SONG: Range<f64> = 0.0..14_400.0;

    fn viewport() -> Viewport {
        let mut viewport = Viewport::default();
        viewport.resize(840.0);
        viewport
    }

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() < 0.01
    }

    #[test]
    fn what_is_under_the_pointer_stays_there_while_it_is_zoomed() {
        for factor in [0.2, 0.9, 1.1, 7.0] {
            for x in [0.0, 300.0, 840.0] {
                let mut viewport = viewport();
                viewport.scroll(-2000.0);
                let before = viewport.tick_at(x);
                viewport.zoom(factor, x);
                assert!(near(viewport.tick_at(x), before), "{factor} at {x}");
                assert!(near(f64::from(viewport.x_of(before)), f64::from(x)));
            }
        }
    }

    #[test]
    fn zoom_is_bounded_and_so_is_what_is_seen() {
        let mut viewport = viewport();
        (0..100).for_each(|_| viewport.zoom(0.5, 10.0));
        assert!(near(viewport.ticks(), 840.0 / 14.0 * 48.0));
        (0..100).for_each(|_| viewport.zoom(2.0, 10.0));
        assert!(near(viewport.ticks(), 840.0 / 900.0 * 48.0));
    }

    #[test]
    fn scrolling_ends_where_the_song_does() {
        let mut viewport = viewport();
        viewport.scroll(1e9);
        viewport.keep_within(&SONG);
        assert!(near(viewport.visible().start, SONG.start));
        viewport.scroll(-1e9);
        viewport.keep_within(&SONG);
        assert!(near(viewport.visible().end, SONG.end));
        viewport.keep_within(&(0.0..10.0));
        assert!(near(viewport.visible().start, 0.0), "a song shorter than the window begins at its left edge");
    }

    #[test]
    fn a_followed_playhead_has_eight_bars_ahead_of_it() {
        let mut viewport = viewport();
        viewport.follow(10.0, &SONG);
        assert!(near(viewport.visible().start, 0.0));
        viewport.follow(4800.0, &SONG);
        assert!(viewport.visible().start < 4800.0 && viewport.visible().end >= 4800.0 + 8.0 * 48.0);
    }

    #[test]
    fn what_is_revealed_is_seen_and_nothing_moves_if_it_was() {
        let mut viewport = viewport();
        viewport.reveal(&(48.0..96.0));
        assert!(near(viewport.visible().start, 0.0));
        viewport.reveal(&(4800.0..4848.0));
        assert!(near(viewport.visible().end, 4848.0));
        viewport.reveal(&(480.0..528.0));
        assert!(near(viewport.visible().start, 480.0));
        viewport.reveal(&(960.0..10_000.0));
        assert!(near(viewport.visible().start, 960.0), "too long: its beginning");
    }
}
