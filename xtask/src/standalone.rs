//! The program that needs no host, tried as a newcomer would who has no sound device and no keyboard: it opens, its piano is played
//! with the mouse, the timeline shows what was played, and it closes.

use crate::host::window::{Pointer, ProgramWindow};
use crate::requirements::{self, Task};
use crate::virtual_display::{USUAL_RATE, on_display};
use crate::workspace::{PACKAGE, PLUGIN_NAME, Workspace, cargo, run};
use anyhow::{Context, Result, bail, ensure};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub struct StandaloneOptions {
    /// The display is there: try it
    #[arg(long, hide = true)]
    pub on_display: bool,
}

/// A white key in the right half of the piano, in pixels from the lower left corner of a window of the usual size.
const KEY: (i16, i16) = (600, 90);
/// Rows above the piano, from the top of the window on: of the timeline.
const TIMELINE: std::ops::Range<u32> = 420..620;

/// Builds it and tries it.
///
/// # Errors
/// When what it is built of or a virtual display is missing, or it does not do what it should.
pub fn standalone(workspace: &Workspace, options: StandaloneOptions) -> Result<()> {
    if options.on_display {
        return play(workspace);
    }
    requirements::check(&[Task::Standalone])?;
    let build = ["build", "--release", "--package", PACKAGE, "--bin", PACKAGE, "--features", "standalone"];
    run(cargo().current_dir(&workspace.root).args(build))?;
    on_display(&["standalone", "--on-display"], USUAL_RATE)
}

fn play(workspace: &Workspace) -> Result<()> {
    const OPENS: Duration = Duration::from_secs(30);
    const SHOWS: Duration = Duration::from_secs(10);
    const HELD: Duration = Duration::from_millis(600);
    let mut program = Program::start(workspace)?;
    let window = ProgramWindow::wait_for(PLUGIN_NAME, OPENS)?;
    until(OPENS, "its window stays blank", || Ok(!window.picture()?.is_blank()))?;
    let empty = steady(&window, OPENS)?;
    let key = (KEY.0, i16::try_from(window.size().1)? - KEY.1);
    for does in [Pointer::Moves, Pointer::Presses] {
        window.point(does, key)?;
    }
    std::thread::sleep(HELD);
    window.point(Pointer::LetsGo, key)?;
    until(SHOWS, "the timeline does not show what was played", || {
        Ok(window.picture()?.rows(TIMELINE).difference(&empty.rows(TIMELINE)) > 0.0)
    })?;
    window.ask_to_close()?;
    let ended = program.wait(SHOWS)?;
    ensure!(ended.success(), "it ended with {ended}");
    println!("opened, played and closed without a sound device");
    Ok(())
}

/// What is seen when it has stopped changing: models have been loaded, and nothing plays.
fn steady(window: &ProgramWindow, time: Duration) -> Result<crate::host::picture::Picture> {
    const BETWEEN_LOOKS: Duration = Duration::from_millis(500);
    let mut last = window.picture()?;
    until(time, "its window goes on changing", || {
        std::thread::sleep(BETWEEN_LOOKS);
        let now = window.picture()?;
        let same = now == last;
        last = now;
        Ok(same)
    })?;
    Ok(last)
}

fn until(time: Duration, otherwise: &str, mut done: impl FnMut() -> Result<bool>) -> Result<()> {
    const BETWEEN_LOOKS: Duration = Duration::from_millis(50);
    let begun = Instant::now();
    while !done()? {
        if begun.elapsed() > time {
            bail!("{otherwise} for {} s", time.as_secs());
        }
        std::thread::sleep(BETWEEN_LOOKS);
    }
    Ok(())
}

/// Ended when it is dropped.
struct Program(Child);

impl Program {
    fn start(workspace: &Workspace) -> Result<Self> {
        let file = workspace.standalone("release");
        // Whatever sound devices there are here: it is the one without that is tried.
        let started = Command::new(&file).args(["--backend", "dummy"]).spawn();
        Ok(Self(started.with_context(|| format!("cannot start {}", file.display()))?))
    }

    fn wait(&mut self, time: Duration) -> Result<ExitStatus> {
        let mut ended = None;
        until(time, "it does not close", || {
            ended = self.0.try_wait()?;
            Ok(ended.is_some())
        })?;
        ended.context("it has ended")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
