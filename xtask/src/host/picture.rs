//! Pictures of a window: whether something is in them, and how far two of them are apart.

use anyhow::{Context, Result};
use std::path::Path;
use tiny_skia::{ColorU8, Pixmap};

/// A square of a picture, and how much of it is another one than before.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tile {
    pub left: u32,
    pub top: u32,
    /// Of its pixels, 0..=1.
    pub share: f64,
}

/// Pixels, row by row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    width: u32,
    height: u32,
    rgb: Vec<[u8; 3]>,
}

impl Picture {
    /// Of 24 bits deep: blue, green, red and nothing.
    pub(super) fn of_pixels(width: u32, height: u32, pixels: &[u8]) -> Self {
        let rgb = pixels.chunks_exact(4).map(|pixel| [pixel[2], pixel[1], pixel[0]]).collect();
        Self { width, height, rgb }
    }

    /// Nearly all of it has one colour.
    pub fn is_blank(&self) -> bool {
        let mut sorted = self.rgb.clone();
        sorted.sort_unstable();
        let most = sorted.chunk_by(|a, b| a == b).map(<[_]>::len).max().unwrap_or(0);
        most * 100 > self.rgb.len() * 99
    }

    /// Share of pixels that are visibly other ones, 0..=1.
    pub fn difference(&self, other: &Self) -> f64 {
        if (self.width, self.height) != (other.width, other.height) {
            return 1.0;
        }
        let pixels = self.rgb.iter().zip(&other.rgb);
        pixels.filter(|(a, b)| are_different(a, b)).count() as f64 / self.rgb.len() as f64
    }

    /// The square of `side` pixels that differs most from the same place of a picture of the same size: a word that is missing
    /// is next to nothing of a picture, and much of a square. Looks at the rows above `below`.
    pub fn worst_tile(&self, other: &Self, side: u32, below: u32) -> Tile {
        // They overlap by half, so that what is as large as half a square lies in one of them.
        let steps = |end: u32| (0..end.saturating_sub(side) + 1).step_by((side / 2).max(1) as usize);
        let tiles = steps(below.min(self.height)).flat_map(|top| steps(self.width).map(move |left| (left, top)));
        let share = |left: u32, top: u32| {
            let places = (top..top + side).flat_map(|y| (left..left + side).map(move |x| (x, y)));
            let differing = places.filter(|(x, y)| match (self.pixel(*x, *y), other.pixel(*x, *y)) {
                (Some(a), Some(b)) => are_different(a, b),
                _ => false,
            });
            differing.count() as f64 / f64::from(side * side)
        };
        let rated = tiles.map(|(left, top)| Tile { left, top, share: share(left, top) });
        rated.fold(
            Tile { left: 0, top: 0, share: 0.0 },
            |worst, tile| if tile.share > worst.share { tile } else { worst },
        )
    }

    /// Some rows of it.
    pub fn rows(&self, rows: std::ops::Range<u32>) -> Self {
        let rows = rows.start.min(self.height)..rows.end.min(self.height);
        let place = |row: u32| (row * self.width) as usize;
        let rgb = self.rgb[place(rows.start)..place(rows.end)].to_vec();
        Self { width: self.width, height: rows.end - rows.start, rgb }
    }

    pub fn height(&self) -> u32 {
        self.height
    }

    fn pixel(&self, x: u32, y: u32) -> Option<&[u8; 3]> {
        if x < self.width { self.rgb.get((y * self.width + x) as usize) } else { None }
    }

    /// # Errors
    /// When there is no such PNG file.
    pub fn read(file: &Path) -> Result<Self> {
        let pixels = Pixmap::load_png(file).with_context(|| format!("no picture {}", file.display()))?;
        let rgb = pixels.pixels().iter().map(|pixel| [pixel.red(), pixel.green(), pixel.blue()]).collect();
        Ok(Self { width: pixels.width(), height: pixels.height(), rgb })
    }

    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, file: &Path) -> Result<()> {
        let mut pixels = Pixmap::new(self.width, self.height).context("a window has a size")?;
        for (pixel, [red, green, blue]) in pixels.pixels_mut().iter_mut().zip(&self.rgb) {
            *pixel = ColorU8::from_rgba(*red, *green, *blue, u8::MAX).premultiply();
        }
        file.parent().map_or(Ok(()), std::fs::create_dir_all)?;
        pixels.save_png(file).with_context(|| format!("cannot write {}", file.display()))
    }
}

fn are_different(a: &[u8; 3], b: &[u8; 3]) -> bool {
    const VISIBLE: u8 = 24;
    a.iter().zip(b).any(|(a, b)| a.abs_diff(*b) > VISIBLE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::screenshots::{TILE, TOLERATED, TOLERATED_IN_TILE};

    fn picture(colour: impl Fn(u32) -> [u8; 3]) -> Picture {
        Picture { width: 40, height: 25, rgb: (0..1000).map(colour).collect() }
    }

    #[test]
    fn what_is_blank_and_what_differs() {
        let blank = picture(|pixel| if pixel < 5 { [255; 3] } else { [20; 3] });
        let drawn = picture(|pixel| if pixel < 50 { [255; 3] } else { [20; 3] });
        assert!(blank.is_blank() && !drawn.is_blank());
        assert!((blank.difference(&drawn) - 0.045).abs() < 1e-9);
        let rounded = picture(|pixel| if pixel < 50 { [250; 3] } else { [22; 3] });
        assert_eq!(rounded.difference(&drawn), 0.0);
        let smaller = Picture { width: 25, height: 40, ..drawn.clone() };
        assert_eq!(smaller.difference(&drawn), 1.0);
    }

    #[test]
    fn a_sentence_that_is_missing_is_found() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/screenshots/error.png");
        let whole = Picture::read(&file).expect("it is in the documentation");
        assert_eq!(whole.worst_tile(&whole, TILE, whole.height).share, 0.0);
        let mut without = whole.clone();
        let is_problem =
            |[red, green, blue]: &[u8; 3]| *red > 200 && (100..200).contains(green) && (80..180).contains(blue);
        let (rows, background) = (without.rgb.chunks_mut(whole.width as usize), [0x17, 0x19, 0x1e]);
        // What is wrong stands in one line, at the bottom of the window.
        let line = rows.skip(whole.height as usize * 4 / 5).filter(|row| row.iter().any(is_problem));
        let blanked = line.map(|row| row.fill(background)).count();
        assert!((6..40).contains(&blanked), "{blanked} rows");
        assert!(without.difference(&whole) < TOLERATED, "of the whole picture it is next to nothing");
        let tile = without.worst_tile(&whole, TILE, whole.height);
        assert!(tile.share > TOLERATED_IN_TILE && tile.top > whole.height * 3 / 4, "{tile:?}");
    }

    #[test]
    fn a_written_picture_reads_back() {
        let file = std::env::temp_dir().join(format!("obbligato-picture-{}.png", std::process::id()));
        let drawn = picture(|pixel| [pixel as u8, 7, 200]);
        drawn.write(&file).expect("a temporary file");
        assert_eq!(Picture::read(&file).expect("it is there"), drawn);
        std::fs::remove_file(file).expect("it is there");
    }
}
