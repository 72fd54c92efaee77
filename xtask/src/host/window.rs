//! A host's window that a plugin's is put into, and what can be seen in it (X11).

use anyhow::{Context, Result};
use std::path::Path;
use tiny_skia::{ColorU8, Pixmap};
use x11rb::connection::Connection;
use x11rb::protocol::xproto::{ConnectionExt, CreateWindowAux, EventMask, ImageFormat, Window, WindowClass};
use x11rb::rust_connection::RustConnection;

/// Open as long as it is kept.
pub struct ParentWindow {
    connection: RustConnection,
    window: Window,
    size: (u32, u32),
}

impl ParentWindow {
    /// # Errors
    /// When there is no display.
    pub fn open(width: u32, height: u32) -> Result<Self> {
        let (connection, screen) = x11rb::connect(None).context("there is no X display")?;
        let screen = &connection.setup().roots[screen];
        let (root, visual, depth) = (screen.root, screen.root_visual, screen.root_depth);
        let window = connection.generate_id()?;
        let aux = CreateWindowAux::new().background_pixel(0).event_mask(EventMask::STRUCTURE_NOTIFY);
        let (w, h) = (u16::try_from(width)?, u16::try_from(height)?);
        connection
            .create_window(depth, window, root, 0, 0, w, h, 0, WindowClass::INPUT_OUTPUT, visual, &aux)?
            .check()?;
        connection.map_window(window)?.check()?;
        // The pointer stands in the middle of a new display; what it hovers over would be explained in the picture.
        connection.warp_pointer(x11rb::NONE, root, 0, 0, 0, 0, i16::MAX, i16::MAX)?.check()?;
        Ok(Self { connection, window, size: (width, height) })
    }

    pub fn number(&self) -> u32 {
        self.window
    }

    /// In pixels.
    pub fn size(&self) -> (u32, u32) {
        self.size
    }

    /// What is seen in it now.
    ///
    /// # Errors
    /// When the window is gone.
    pub fn picture(&self) -> Result<Picture> {
        let (width, height) = self.size;
        let (w, h) = (u16::try_from(width)?, u16::try_from(height)?);
        let image = self.connection.get_image(ImageFormat::Z_PIXMAP, self.window, 0, 0, w, h, !0)?.reply()?;
        // 24 bits deep: blue, green, red and nothing.
        let rgb = image.data.chunks_exact(4).map(|pixel| [pixel[2], pixel[1], pixel[0]]).collect();
        Ok(Picture { width, height, rgb })
    }
}

impl Drop for ParentWindow {
    fn drop(&mut self) {
        // The connection's end closes it, too.
        let _ = self.connection.destroy_window(self.window);
        let _ = self.connection.flush();
    }
}

/// Pixels, row by row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    width: u32,
    height: u32,
    rgb: Vec<[u8; 3]>,
}

impl Picture {
    /// Nearly all of it has one colour.
    pub fn is_blank(&self) -> bool {
        let mut sorted = self.rgb.clone();
        sorted.sort_unstable();
        let most = sorted.chunk_by(|a, b| a == b).map(<[_]>::len).max().unwrap_or(0);
        most * 100 > self.rgb.len() * 99
    }

    /// Share of pixels that are visibly other ones, 0..=1.
    pub fn difference(&self, other: &Self) -> f64 {
        const VISIBLE: u8 = 24;
        if (self.width, self.height) != (other.width, other.height) {
            return 1.0;
        }
        let differs = |(a, b): &(&[u8; 3], &[u8; 3])| a.iter().zip(*b).any(|(a, b)| a.abs_diff(*b) > VISIBLE);
        self.rgb.iter().zip(&other.rgb).filter(differs).count() as f64 / self.rgb.len() as f64
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

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_written_picture_reads_back() {
        let file = std::env::temp_dir().join(format!("obbligato-picture-{}.png", std::process::id()));
        let drawn = picture(|pixel| [pixel as u8, 7, 200]);
        drawn.write(&file).expect("a temporary file");
        assert_eq!(Picture::read(&file).expect("it is there"), drawn);
        std::fs::remove_file(file).expect("it is there");
    }
}
