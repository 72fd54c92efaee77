//! How large the window is, and how large what stands in it: remembered on this machine, for all instances, since it is a
//! matter of screen and eyes and not of the song. Pure but for reading and writing its file.

use crate::user_folder::user_folder;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Of a window in points: physical pixels by system scale and [`WindowSize::scale`].
pub const USUAL: (f32, f32) = (980.0, 760.0);
pub const LEAST: (f32, f32) = (640.0, 420.0);
/// What can be chosen, in per cent.
pub const SCALES: [u16; 5] = [100, 125, 150, 175, 200];
const FILE: &str = "window.json";

/// What is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WindowSize {
    /// In physical pixels.
    pub width: u32,
    pub height: u32,
    /// In per cent, on top of the system's own scale.
    pub scale: u16,
}

impl Default for WindowSize {
    fn default() -> Self {
        Self { width: USUAL.0 as u32, height: USUAL.1 as u32, scale: SCALES[0] }
    }
}

impl WindowSize {
    /// What was remembered; the usual size where nothing was, or nonsense.
    pub fn remembered() -> Self {
        path().and_then(|path| fs::read_to_string(path).ok()).map_or_else(Self::default, |text| Self::from_text(&text))
    }

    /// # Errors
    /// When the user's folder cannot be written.
    pub fn remember(&self) -> io::Result<()> {
        let path = path().ok_or(io::ErrorKind::NotFound)?;
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        fs::write(path, serde_json::to_string(self)?)
    }

    fn from_text(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_else(|_| Self::default()).sensible()
    }

    /// No smaller than can be used, no larger than any screen.
    fn sensible(self) -> Self {
        const LARGEST: u32 = 10_000;
        Self {
            width: self.width.clamp(LEAST.0 as u32, LARGEST),
            height: self.height.clamp(LEAST.1 as u32, LARGEST),
            scale: self.scale.clamp(SCALES[0], SCALES[SCALES.len() - 1]),
        }
    }

    pub fn factor(&self) -> f32 {
        f32::from(self.scale) / 100.0
    }
}

fn path() -> Option<PathBuf> {
    Some(user_folder()?.join(Path::new(FILE)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_comes_back() {
        let size = WindowSize { width: 1500, height: 900, scale: 150 };
        let text = serde_json::to_string(&size).expect("plain data");
        assert_eq!(WindowSize::from_text(&text), size);
        assert!((size.factor() - 1.5).abs() < 1e-6);
    }

    #[test]
    fn nonsense_is_the_usual_size_or_as_near_as_can_be() {
        for text in ["", "57", "[]", "{\"width\":-1}", "{\"scale\":\"large\"}"] {
            assert_eq!(WindowSize::from_text(text), WindowSize::default(), "{text}");
        }
        let tiny = WindowSize::from_text(r#"{"width":1,"height":99999,"scale":900}"#);
        assert_eq!(tiny, WindowSize { width: 640, height: 10_000, scale: 200 });
    }
}
