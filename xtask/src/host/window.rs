//! A host's window that a plugin's is put into, and what can be seen in it (X11).

use anyhow::{Context, Result};
use std::path::Path;
use tiny_skia::{ColorU8, Pixmap};
use x11rb::connection::Connection;
use x11rb::protocol::xproto::{
    BUTTON_PRESS_EVENT, BUTTON_RELEASE_EVENT, ButtonPressEvent, ConnectionExt, CreateWindowAux, EventMask, ImageFormat,
    KeyButMask, LEAVE_NOTIFY_EVENT, LeaveNotifyEvent, MOTION_NOTIFY_EVENT, MotionNotifyEvent, NotifyDetail, NotifyMode,
    Window, WindowClass,
};
use x11rb::rust_connection::RustConnection;

/// Open as long as it is kept.
pub struct ParentWindow {
    connection: RustConnection,
    root: Window,
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
        Ok(Self { connection, root, window, size: (width, height) })
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
        self.strip(0, self.size.1)
    }

    /// The same of some rows.
    ///
    /// # Errors
    /// When the window is gone.
    pub fn strip(&self, top: u32, height: u32) -> Result<Picture> {
        let width = self.size.0;
        let (w, h, y) = (u16::try_from(width)?, u16::try_from(height)?, i16::try_from(top)?);
        let image = self.connection.get_image(ImageFormat::Z_PIXMAP, self.window, 0, y, w, h, !0)?.reply()?;
        // 24 bits deep: blue, green, red and nothing.
        let rgb = image.data.chunks_exact(4).map(|pixel| [pixel[2], pixel[1], pixel[0]]).collect();
        Ok(Picture { width, height, rgb })
    }

    /// Tells the plugin's window what a pointer does at a place, in pixels from its upper left corner.
    ///
    /// # Errors
    /// When there is no window in this one.
    pub fn point(&self, does: Pointer, (x, y): (i16, i16)) -> Result<()> {
        const PRIMARY: u8 = 1;
        let inside = self.connection.query_tree(self.window)?.reply()?.children;
        let event = *inside.first().context("the plugin has opened no window in the host's")?;
        let (root, child, state) = (self.root, x11rb::NONE, KeyButMask::default());
        let (root_x, root_y, event_x, event_y) = (x, y, x, y);
        let (sequence, time, same_screen) = (0, x11rb::CURRENT_TIME, true);
        let send = |message: [u8; 32]| self.connection.send_event(false, event, EventMask::NO_EVENT, message);
        let pressed = |response_type| ButtonPressEvent {
            response_type,
            detail: PRIMARY,
            sequence,
            time,
            root,
            event,
            child,
            root_x,
            root_y,
            event_x,
            event_y,
            state,
            same_screen,
        };
        match does {
            Pointer::Moves => {
                let (response_type, detail) = (MOTION_NOTIFY_EVENT, 0_u8.into());
                let moved = MotionNotifyEvent {
                    response_type,
                    detail,
                    sequence,
                    time,
                    root,
                    event,
                    child,
                    root_x,
                    root_y,
                    event_x,
                    event_y,
                    state,
                    same_screen,
                };
                send(moved.into())?
            }
            Pointer::Presses => send(pressed(BUTTON_PRESS_EVENT).into())?,
            Pointer::LetsGo => send(pressed(BUTTON_RELEASE_EVENT).into())?,
            Pointer::Leaves => {
                let left = LeaveNotifyEvent {
                    response_type: LEAVE_NOTIFY_EVENT,
                    detail: NotifyDetail::NONLINEAR,
                    sequence,
                    time,
                    root,
                    event,
                    child,
                    root_x,
                    root_y,
                    event_x,
                    event_y,
                    state,
                    mode: NotifyMode::NORMAL,
                    same_screen_focus: 0,
                };
                send(left.into())?
            }
        }
        .check()?;
        Ok(())
    }
}

/// What a pointer does, with its primary button.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pointer {
    Moves,
    Presses,
    LetsGo,
    Leaves,
}

impl Drop for ParentWindow {
    fn drop(&mut self) {
        // The connection's end closes it, too.
        let _ = self.connection.destroy_window(self.window);
        let _ = self.connection.flush();
    }
}

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
