//! Pictures of the plugin's window: taken of the built `.clap` under a virtual display, and compared with those in `docs/`.
//!
//! On a virtual display, so this is done on Linux only ([`crate::virtual_display`]).

use crate::bundle::{BundleOptions, bundle};
use crate::host::clap::ClapPlugin;
use crate::host::picture::Picture;
use crate::host::window::{ParentWindow, Pointer};
use crate::host::{HostBlock, HostTransport, HostedPlugin, PlayOptions, PluginState, RenderMode, SongPlayer};
use crate::jam::Melody;
use crate::virtual_display::{USUAL_RATE, on_display};
use crate::workspace::{PLUGIN_ID, Workspace};
use anyhow::{Context, Result, ensure};
use obbligato::music::Meter;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub struct ScreenshotOptions {
    /// Compare with the pictures that are there instead of replacing them
    #[arg(long)]
    pub compare: bool,
    /// Use the bundle as it was built before
    #[arg(long)]
    pub no_build: bool,
    /// The display is there: take the pictures
    #[arg(long, hide = true)]
    pub on_display: bool,
}

/// What a picture shows.
struct Scene {
    name: &'static str,
    /// In points.
    size: (u32, u32),
    scale: f64,
    state: Option<fn(&mut PluginState)>,
    /// Beside a band of five.
    parameters: &'static [(&'static str, f64)],
    /// Bars of the tune that have been played.
    bars: u32,
    /// Bars after which the player rests.
    rests_after: i32,
    /// How often these bars are played: the second time the band knows them.
    passes: usize,
    /// Where the window is pressed, in points, one after the other.
    presses: &'static [(i16, i16)],
}

const USUAL: Scene = Scene {
    name: "",
    size: (980, 760),
    scale: 1.0,
    state: None,
    parameters: &[],
    bars: 0,
    rests_after: i32::MAX,
    passes: 1,
    presses: &[],
};

const SCENES: [Scene; 8] = [
    Scene { name: "empty", ..USUAL },
    Scene { name: "playing", size: (1280, 860), bars: 7, ..USUAL },
    Scene { name: "melody", size: (1280, 860), parameters: &ENHANCED_AND_ANSWERED, bars: 7, rests_after: 4, ..USUAL },
    Scene { name: "planned", state: Some(with_a_plan), bars: 2, ..USUAL },
    Scene { name: "error", size: (900, 600), state: Some(with_a_model_that_is_gone), ..USUAL },
    Scene { name: "large", scale: 2.0, bars: 4, ..USUAL },
    Scene { name: "small", size: (700, 500), state: Some(with_a_plan), bars: 5, ..USUAL },
    Scene { name: "arranged", size: (1280, 860), parameters: &ARRANGED, bars: 7, passes: 2, presses: &LOCKED, ..USUAL },
];

/// The band knows the melody, between two styles, and is heard.
const ARRANGED: [(&str, f64); 3] = [("follow", 1.0), ("style", 0.4), ("preview", 1.0)];
/// The fifth bar, its Lock, and the piano.
const LOCKED: [(i16, i16); 3] = [(225, 600), (97, 340), (816, 23)];

/// The melody is enhanced, and its four bars are answered by the extender's (call and response, the last of the choices).
const ENHANCED_AND_ANSWERED: [(&str, f64); 3] = [("enhanced_on", 1.0), ("extension_on", 1.0), ("extend_when", 1.0)];

const QUARTERS_PER_MINUTE: f64 = 100.0;
const SAMPLE_RATE: f64 = 48_000.0;
const BLOCK: u32 = 512;

/// Takes the pictures, or compares them.
///
/// # Errors
/// When there is no virtual display, the window does not open, or a picture is not as it was.
pub fn screenshots(workspace: &Workspace, options: ScreenshotOptions) -> Result<()> {
    if options.on_display {
        return take(workspace, options.compare);
    }
    if !options.no_build {
        bundle(workspace, BundleOptions::default())?;
    }
    let compare = if options.compare { &["--compare"][..] } else { &[] };
    on_display(&[&["screenshots", "--on-display"], compare].concat(), USUAL_RATE)
}

fn folder(workspace: &Workspace) -> PathBuf {
    workspace.root.join("docs").join("screenshots")
}

fn take(workspace: &Workspace, compare: bool) -> Result<()> {
    let mut differing = Vec::new();
    for scene in &SCENES {
        let picture = scene.picture(workspace).with_context(|| format!("the window `{}`", scene.name))?;
        ensure!(!picture.is_blank(), "the window `{}` is blank", scene.name);
        let file = folder(workspace).join(format!("{}.png", scene.name));
        if compare {
            differing.extend(difference(&picture, &file, workspace, scene)?);
        } else {
            picture.write(&file)?;
            println!("{}", file.display());
        }
    }
    ensure!(
        differing.is_empty(),
        "{}\nLook at both; if the new ones are right, `cargo xtask screenshots` puts them in their place.",
        differing.join("\n")
    );
    Ok(())
}

/// Of all pixels: times and rounding may differ, what stands where may not.
pub const TOLERATED: f64 = 0.015;
/// Side of a square that is looked at by itself, in pixels: about as high as a line.
pub const TILE: u32 = 16;
/// Of a square's pixels. Between two runs none differs by more than a hundredth; a word that comes or goes makes a fifth.
pub const TOLERATED_IN_TILE: f64 = 0.15;

/// What is wrong with a picture, if something is.
fn difference(picture: &Picture, file: &Path, workspace: &Workspace, scene: &Scene) -> Result<Option<String>> {
    let before = Picture::read(file)?;
    let (share, tile) = (picture.difference(&before), picture.worst_tile(&before, TILE, scene.steady(picture)));
    println!("{}: {:.2} %, of a square {:.0} %", scene.name, 100.0 * share, 100.0 * tile.share);
    if share <= TOLERATED && tile.share <= TOLERATED_IN_TILE {
        return Ok(None);
    }
    let now = workspace.target.join("screenshots").join(format!("{}.png", scene.name));
    picture.write(&now)?;
    Ok(Some(format!(
        "{}: {:.1} % of the pixels are not as in {}, and {:.0} % of those around {}, {}",
        now.display(),
        100.0 * share,
        file.display(),
        100.0 * tile.share,
        tile.left + TILE / 2,
        tile.top + TILE / 2
    )))
}

impl Scene {
    fn picture(&self, workspace: &Workspace) -> Result<Picture> {
        let mut plugin = ClapPlugin::load(&workspace.clap(), PLUGIN_ID)?;
        let mut state = plugin.save_state()?;
        // The rules play the same on every machine.
        state.set_field("generator", &json!("rules"));
        self.state.iter().for_each(|change| change(&mut state));
        plugin.load_state(&state)?;
        for part in ["pad", "counter", "drums"] {
            plugin.set_parameter(&format!("{part}_on"), 1.0)?;
        }
        self.parameters.iter().try_for_each(|(id, value)| plugin.set_parameter(id, *value))?;
        self.play(workspace, &mut plugin)?;
        let pixels = |points: u32| (f64::from(points) * self.scale).round() as u32;
        let window = ParentWindow::open(pixels(self.size.0), pixels(self.size.1))?;
        plugin.open_window(window.number(), window.size(), self.scale)?;
        let picture = self.press(&mut plugin, &window).and_then(|()| self.settled(&mut plugin, &window));
        plugin.close_window();
        picture
    }

    fn play(&self, workspace: &Workspace, plugin: &mut ClapPlugin) -> Result<()> {
        plugin.activate(SAMPLE_RATE, BLOCK, RenderMode::Offline)?;
        if self.bars == 0 {
            return Ok(());
        }
        let mut melody = Melody::read(&workspace.root.join("examples/ode_to_joy.mid"), "")?;
        let rests = Meter::COMMON.bar_length().saturating_mul(self.rests_after);
        melody.song.melody.retain(|note| note.start < rests);
        let end = 4.0 * f64::from(self.bars) + 1.5;
        let options = PlayOptions {
            sample_rate: SAMPLE_RATE,
            block_size: BLOCK,
            stretches: vec![0.0..end; self.passes],
            live: false,
        };
        SongPlayer::of_song(&melody.song).play(plugin, &options, &|_| {})?;
        Ok(())
    }

    /// Presses what is to be pressed, each when the window has seen what came before.
    fn press(&self, plugin: &mut ClapPlugin, window: &ParentWindow) -> Result<()> {
        for place in self.presses {
            self.settled(plugin, window)?;
            for does in [Pointer::Moves, Pointer::Presses, Pointer::LetsGo, Pointer::Leaves] {
                window.point(does, *place)?;
                self.pass(plugin)?;
            }
        }
        Ok(())
    }

    /// The row of pixels below which times are told, which differ from run to run.
    fn steady(&self, picture: &Picture) -> u32 {
        const STATUS: f64 = 46.0;
        let below = if self.bars == 0 { 0.0 } else { STATUS * self.scale };
        picture.height().saturating_sub(below as u32)
    }

    /// The picture once it no longer changes. The host goes on calling, a sample at a time, so that time stands still.
    fn settled(&self, plugin: &mut ClapPlugin, window: &ParentWindow) -> Result<Picture> {
        const LONGEST: Duration = Duration::from_secs(30);
        /// Pauses without a change.
        const STILL: u32 = 6;
        let began = Instant::now();
        let (mut last, mut still) = (window.picture()?, 0);
        while still < STILL {
            ensure!(began.elapsed() < LONGEST, "the window is blank or does not come to rest");
            self.pass(plugin)?;
            let now = window.picture()?;
            still = if now == last && !now.is_blank() { still + 1 } else { 0 };
            last = now;
        }
        Ok(last)
    }

    /// A tenth of a second.
    fn pass(&self, plugin: &mut ClapPlugin) -> Result<()> {
        const PAUSE: Duration = Duration::from_millis(100);
        let until = Instant::now() + PAUSE;
        while Instant::now() < until {
            self.stand(plugin)?;
            plugin.serve_requests();
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    fn stand(&self, plugin: &mut ClapPlugin) -> Result<()> {
        let playing = self.bars > 0;
        let quarters = if playing { 4.0 * f64::from(self.bars) + 1.5 } else { 0.0 };
        let transport = HostTransport {
            playing,
            quarters,
            quarters_per_minute: QUARTERS_PER_MINUTE,
            meter: (4, 4),
            bar_start: 4.0 * f64::from(self.bars),
            bar_number: self.bars as i32,
        };
        plugin.processor()?.process(&HostBlock { frames: 1, transport, input: &[] }, &mut Vec::new())
    }
}

fn with_a_plan(state: &mut PluginState) {
    state.set_field("plan", &json!("| C | G/B | Am | Em | F | C/E | Dm7 | G7 |"));
}

fn with_a_model_that_is_gone(state: &mut PluginState) {
    state.set_field("generator", &json!("Bossa nova"));
}
