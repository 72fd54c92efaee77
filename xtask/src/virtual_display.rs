//! A virtual display: an X server's (Xvfb), on Linux.
//!
//! A plugin opens the display that the process was started with; so what is done on one is done by a process of its own.

use anyhow::{Context, Result, bail, ensure};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// Refreshes a second, as of most screens.
pub const USUAL_RATE: u32 = 60;
/// Large enough for the largest picture.
const SCREEN: &str = "2100x1700x24";

/// This program once more, on a virtual display of its own that is refreshed so many times a second.
///
/// # Errors
/// When there is none, or what was asked for fails.
pub fn on_display(arguments: &[&str], rate: u32) -> Result<()> {
    let Some(display) = Display::open(rate)? else { bail!("{NO_DISPLAY}") };
    let mut child = Command::new(std::env::current_exe()?);
    child.args(arguments);
    // No window size, model or library of the user's own; the same renderer everywhere.
    // Its path is seen in a picture, so it is the same everywhere too.
    let empty = std::env::temp_dir().join("obbligato-pictures");
    let child = child
        .env("DISPLAY", &display.name)
        .env("XDG_DATA_HOME", &empty)
        .env("LIBGL_ALWAYS_SOFTWARE", "1")
        .env("OBBLIGATO_BACKEND", "tract");
    crate::workspace::run(child)
}

pub const NO_DISPLAY: &str =
    "there is no Xvfb, so no window can be looked at (Debian: apt-get install xvfb libgl1-mesa-dri)";

/// Whether there can be one here.
pub fn is_possible() -> bool {
    cfg!(target_os = "linux") && Command::new("Xvfb").arg("-help").output().is_ok()
}

/// A virtual display, while it is kept.
struct Display {
    server: Child,
    name: String,
}

impl Display {
    /// `None` where there is no server.
    fn open(rate: u32) -> Result<Option<Self>> {
        let arguments = ["-displayfd", "1", "-screen", "0", SCREEN, "-nolisten", "tcp", "+extension", "GLX"];
        // Older servers know no other rate than the usual one.
        let rate = (rate != USUAL_RATE).then(|| ["-fakescreenfps".to_owned(), rate.to_string()]);
        let server = Command::new("Xvfb")
            .args(arguments)
            .args(rate.into_iter().flatten())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let Ok(mut server) = server else { return Ok(None) };
        // It says its number when it is ready.
        let mut number = String::new();
        BufReader::new(server.stdout.take().context("piped")?).read_line(&mut number)?;
        let name = format!(":{}", number.trim());
        let display = Self { server, name };
        ensure!(!number.trim().is_empty(), "Xvfb does not start");
        Ok(Some(display))
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
