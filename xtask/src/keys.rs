//! Keys in the plugin's window: which of them its host gets, and which are typed.

use crate::host::clap::ClapPlugin;
use crate::host::window::{ParentWindow, Pointer};
use crate::host::{HostBlock, HostTransport, HostedPlugin, RenderMode};
use crate::virtual_display::{USUAL_RATE, on_display};
use crate::workspace::{PLUGIN_ID, Workspace};
use anyhow::{Result, ensure};
use std::time::{Duration, Instant};

#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub struct KeysOptions {
    /// The display is there: try it
    #[arg(long, hide = true)]
    pub on_display: bool,
}

const SIZE: (u32, u32) = (980, 760);
/// Places in a window of that size, in pixels from its upper left corner: nothing that could be pressed, the knob of the
/// temperature, the timeline, and the field in which chords are typed.
const NOTHING: (i16, i16) = (940, 160);
const KNOB: (i16, i16) = (58, 135);
const TIMELINE: (i16, i16) = (500, 600);
const FIELD: (i16, i16) = (300, 300);

/// Tries the bundle as it was built before.
///
/// # Errors
/// When there is no virtual display, the window does not open, or a key goes where it should not.
pub fn keys(workspace: &Workspace, options: KeysOptions) -> Result<()> {
    if !options.on_display {
        return on_display(&["keys", "--on-display"], USUAL_RATE);
    }
    let mut plugin = ClapPlugin::load(&workspace.clap(), PLUGIN_ID)?;
    plugin.activate(48_000.0, 512, RenderMode::Realtime)?;
    let window = ParentWindow::open(SIZE.0, SIZE.1)?;
    plugin.open_window(window.number(), window.size(), 1.0)?;
    let mut host = Host { plugin, window };
    host.wait(Duration::from_secs(3))?;
    // By the place that was pressed before: how often the host hears Space, and a letter. The timeline has letters of its own; a knob has
    // the keyboard once it was turned.
    for (place, name, space, letter) in
        [(NOTHING, "nothing", 1, 1), (KNOB, "a knob", 1, 1), (TIMELINE, "the timeline", 1, 0), (FIELD, "a field", 0, 0)]
    {
        host.click(place)?;
        for (key, expected) in [(' ', space), ('q', letter)] {
            let heard = host.press(key)?;
            ensure!(heard == expected, "after a click on {name} the host heard `{key}` {heard} times, not {expected}");
        }
    }
    host.plugin.close_window();
    println!("the host got its keys, and no others");
    Ok(())
}

struct Host {
    plugin: ClapPlugin,
    window: ParentWindow,
}

impl Host {
    fn click(&mut self, place: (i16, i16)) -> Result<()> {
        for does in [Pointer::Moves, Pointer::Presses, Pointer::LetsGo] {
            self.window.point(does, place)?;
            self.wait(Duration::from_millis(150))?;
        }
        Ok(())
    }

    /// How often the host heard it.
    fn press(&mut self, key: char) -> Result<usize> {
        self.window.heard_key(key)?;
        self.window.press_key(key)?;
        self.wait(Duration::from_millis(400))?;
        self.window.heard_key(key)
    }

    /// Goes on as a host whose transport stands still.
    fn wait(&mut self, time: Duration) -> Result<()> {
        const BETWEEN_BLOCKS: Duration = Duration::from_millis(10);
        let transport = HostTransport::standing();
        let begun = Instant::now();
        while begun.elapsed() < time {
            self.plugin.processor()?.process(&HostBlock { frames: 512, transport, input: &[] }, &mut Vec::new())?;
            self.plugin.serve_requests();
            std::thread::sleep(BETWEEN_BLOCKS);
        }
        Ok(())
    }
}
