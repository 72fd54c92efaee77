//! Where the keys of the piano lie on the screen. Pure.

use crate::music::{Key, Velocity};
use egui::{Pos2, Rect, pos2, vec2};

/// The piano as it is drawn: whole octaves from a C.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Strip {
    pub rect: Rect,
    /// A C.
    pub lowest: i32,
    pub octaves: i32,
}

const WHITE_IN_OCTAVE: i32 = 7;
/// Share of a white key's width and height.
const BLACK: (f32, f32) = (0.6, 0.62);
/// Points; narrower keys are missed by fingers and pointers.
const NARROWEST_WHITE: f32 = 17.0;

pub fn is_white(key: i32) -> bool {
    matches!(key.rem_euclid(12), 0 | 2 | 4 | 5 | 7 | 9 | 11)
}

impl Strip {
    /// As many octaves as the width holds, with middle C's in the middle.
    pub fn within(rect: Rect) -> Self {
        let fits = (rect.width() / (NARROWEST_WHITE * WHITE_IN_OCTAVE as f32)) as i32;
        let octaves = fits.clamp(1, 7);
        Self { rect, lowest: 60 - 12 * (octaves / 2), octaves }
    }

    /// From the left, white before black, so that black ones are drawn upon them.
    pub fn keys(&self) -> impl Iterator<Item = (Key, Rect)> {
        let all = self.lowest..self.lowest + 12 * self.octaves;
        let (white, black) = (all.clone().filter(|key| is_white(*key)), all.filter(|key| !is_white(*key)));
        let strip = *self;
        white.chain(black).map(move |key| (Key::folded(key), strip.rect_of(key)))
    }

    /// The key under a point.
    pub fn key_at(&self, point: Pos2) -> Option<Key> {
        let hit = self.keys().filter(|(_, rect)| rect.contains(point));
        // Black keys come last and lie on top.
        self.rect.contains(point).then(|| hit.last().map(|(key, _)| key)).flatten()
    }

    /// Further down a key is struck harder.
    pub fn velocity_at(&self, point: Pos2, key: Key) -> Velocity {
        let rect = self.rect_of(i32::from(key.number()));
        let depth = ((point.y - rect.top()) / rect.height()).clamp(0.0, 1.0);
        Velocity::clamped((40.0 + 80.0 * depth).round() as i32)
    }

    fn rect_of(&self, key: i32) -> Rect {
        let width = self.rect.width() / (WHITE_IN_OCTAVE * self.octaves) as f32;
        let left = |white: i32| self.rect.left() + width * white as f32;
        if is_white(key) {
            let min = pos2(left(self.whites_below(key)), self.rect.top());
            return Rect::from_min_size(min, vec2(width, self.rect.height()));
        }
        let middle = left(self.whites_below(key));
        let min = pos2(middle - 0.5 * BLACK.0 * width, self.rect.top());
        Rect::from_min_size(min, vec2(BLACK.0 * width, BLACK.1 * self.rect.height()))
    }

    fn whites_below(&self, key: i32) -> i32 {
        (self.lowest..key).filter(|below| is_white(*below)).count() as i32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strip() -> Strip {
        Strip::within(Rect::from_min_size(pos2(10.0, 20.0), vec2(800.0, 60.0)))
    }

    #[test]
    fn every_key_is_found_where_it_is_drawn() {
        let strip = strip();
        assert_eq!((strip.lowest, strip.octaves), (24, 6));
        assert_eq!(strip.keys().count(), 72);
        for (key, rect) in strip.keys() {
            let low_on_it = pos2(rect.center().x, rect.bottom() - 1.0);
            assert_eq!(strip.key_at(low_on_it), Some(key));
            assert!(strip.rect.contains_rect(rect.shrink(0.01)), "{key}");
        }
        assert_eq!(strip.key_at(pos2(9.0, 30.0)), None);
        assert_eq!(strip.key_at(pos2(100.0, 81.0)), None);
    }

    #[test]
    fn a_narrow_strip_has_fewer_keys_around_the_middle() {
        let narrow = Strip::within(Rect::from_min_size(pos2(0.0, 0.0), vec2(300.0, 60.0)));
        assert_eq!((narrow.lowest, narrow.octaves), (48, 2));
        assert_eq!(Strip::within(Rect::from_min_size(pos2(0.0, 0.0), vec2(5.0, 5.0))).octaves, 1);
        let wide = Strip::within(Rect::from_min_size(pos2(0.0, 0.0), vec2(9000.0, 60.0)));
        assert!(wide.keys().all(|(key, _)| (24..108).contains(&key.number())));
    }

    #[test]
    fn the_lower_the_louder() {
        let strip = strip();
        let (key, rect) = strip.keys().next().expect("keys");
        let at = |y: f32| strip.velocity_at(pos2(rect.center().x, y), key).get();
        assert_eq!((at(rect.top()), at(rect.bottom()), at(0.0), at(999.0)), (40, 120, 40, 120));
    }
}
