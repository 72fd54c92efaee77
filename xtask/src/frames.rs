//! How often the window is painted while a long song plays, on the software renderer of a virtual display: different pictures of
//! it are counted.

use crate::bundle::{BundleOptions, bundle};
use crate::host::clap::ClapPlugin;
use crate::host::picture::Picture;
use crate::host::window::ParentWindow;
use crate::host::{HostBlock, HostTransport, HostedPlugin, PlayOptions, RenderMode, SongPlayer};
use crate::jam::Melody;
use crate::virtual_display::{USUAL_RATE, on_display};
use crate::workspace::{PLUGIN_ID, Workspace};
use anyhow::Result;
use obbligato::music::{Meter, Note};
use serde_json::json;
use std::time::{Duration, Instant};

#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub struct FramesOptions {
    /// Use the bundle as it was built before
    #[arg(long)]
    pub no_build: bool,
    /// The display is there: count
    #[arg(long, hide = true)]
    pub on_display: bool,
}

/// More often than anybody paints.
const FASTEST_RATE: u32 = 300;
const SIZE: (u32, u32) = (900, 600);
const BARS: i32 = 300;
/// Of the example.
const BARS_OF_TUNE: i32 = 16;
/// Fast enough for the playhead to stand elsewhere, by a pixel, in each picture.
const QUARTERS_PER_MINUTE: f64 = 480.0;
const SAMPLE_RATE: f64 = 48_000.0;
const BLOCK: u32 = 512;

/// Prints how many different pictures of the window a second has while the transport runs, and while it stands still.
///
/// # Errors
/// When there is no virtual display, or the window does not open.
pub fn frames(workspace: &Workspace, options: FramesOptions) -> Result<()> {
    if options.on_display {
        return count(workspace);
    }
    if !options.no_build {
        bundle(workspace, BundleOptions::default())?;
    }
    for (rate, why) in [(USUAL_RATE, "as most screens are"), (FASTEST_RATE, "so that nothing waits for the screen")] {
        println!("On a screen of {rate} refreshes a second, {why}:");
        on_display(&["frames", "--on-display"], rate)?;
    }
    Ok(())
}

fn count(workspace: &Workspace) -> Result<()> {
    let mut plugin = ClapPlugin::load(&workspace.clap(), PLUGIN_ID)?;
    let mut state = plugin.save_state()?;
    // What is measured is the window, so the least there is plays.
    state.set_field("generator", &json!("rules"));
    plugin.load_state(&state)?;
    for part in ["pad", "counter", "drums"] {
        plugin.set_parameter(&format!("{part}_on"), 1.0)?;
    }
    plugin.activate(SAMPLE_RATE, BLOCK, RenderMode::Offline)?;
    play_all(workspace, &mut plugin)?;
    plugin.deactivate();
    plugin.activate(SAMPLE_RATE, BLOCK, RenderMode::Realtime)?;
    let window = ParentWindow::open(SIZE.0, SIZE.1)?;
    plugin.open_window(window.number(), window.size(), 1.0)?;
    let mut host = Host { plugin, window, samples: 0 };
    host.pictures(false, Duration::from_secs(3))?;
    for (playing, word) in [(true, "the transport runs"), (false, "nothing moves")] {
        let lasts = Duration::from_secs(10);
        let before = processor_time()?;
        let shown = host.pictures(playing, lasts)?;
        let each = (processor_time()? - before).as_secs_f64() * 1000.0 / shown.max(1) as f64;
        let (rate, (width, height)) = (shown as f64 / lasts.as_secs_f64(), SIZE);
        println!("{rate:5.1} pictures a second while {word} ({BARS} bars, {width} × {height})");
        if shown > 0 {
            println!("{each:5.1} ms of processor time for each, the host and its looking included");
        }
        // What fades has faded.
        host.pictures(false, Duration::from_secs(3))?;
    }
    host.plugin.close_window();
    Ok(())
}

/// What this process has taken of all cores so far, in hundredths of a second.
fn processor_time() -> Result<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // The name of the program may hold anything; behind its bracket the 12th and 13th are user's and system's time.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
    let ticks: u64 = fields.filter_map(|field| field.parse::<u64>().ok()).sum();
    Ok(Duration::from_millis(10 * ticks))
}

/// The tune as often as makes a long song.
fn play_all(workspace: &Workspace, plugin: &mut ClapPlugin) -> Result<()> {
    let mut melody = Melody::read(&workspace.root.join("examples/ode_to_joy.mid"), "")?;
    let once = melody.song.melody.clone();
    let bar = Meter::COMMON.bar_length();
    let rounds = (0..BARS).step_by(BARS_OF_TUNE as usize).map(|first| first * bar);
    melody.song.melody =
        rounds.flat_map(|from| once.iter().map(move |note| Note { start: note.start + from, ..*note })).collect();
    let end = 4.0 * f64::from(BARS);
    let options = PlayOptions { sample_rate: SAMPLE_RATE, block_size: BLOCK, stretches: vec![0.0..end], live: false };
    SongPlayer::of_song(&melody.song).play(plugin, &options, &|_| {})?;
    Ok(())
}

struct Host {
    plugin: ClapPlugin,
    window: ParentWindow,
    /// Played since the window was opened.
    samples: u64,
}

impl Host {
    /// Calls the plugin as fast as it would be heard, and counts the pictures that are other ones than those before.
    fn pictures(&mut self, playing: bool, lasts: Duration) -> Result<usize> {
        const BETWEEN_LOOKS: Duration = Duration::from_millis(2);
        let (began, from) = (Instant::now(), self.samples);
        let (mut shown, mut last) = (0, self.strip()?);
        while began.elapsed() < lasts {
            while (self.samples - from) as f64 / SAMPLE_RATE < began.elapsed().as_secs_f64() {
                self.block(playing)?;
            }
            self.plugin.serve_requests();
            let now = self.strip()?;
            shown += usize::from(now != last);
            last = now;
            std::thread::sleep(BETWEEN_LOOKS);
        }
        Ok(shown)
    }

    /// A few rows of the timeline: all of the window would take longer to look at than to paint.
    fn strip(&self) -> Result<Picture> {
        self.window.strip(SIZE.1 - 110, 4)
    }

    fn block(&mut self, playing: bool) -> Result<()> {
        const FIRST_BAR: i32 = 100;
        let quarters = 4.0 * f64::from(FIRST_BAR) + self.samples as f64 / SAMPLE_RATE * QUARTERS_PER_MINUTE / 60.0;
        let bar = (quarters / 4.0).floor();
        let transport = HostTransport {
            playing,
            quarters,
            quarters_per_minute: QUARTERS_PER_MINUTE,
            meter: (4, 4),
            bar_start: 4.0 * bar,
            bar_number: bar as i32,
        };
        self.samples += u64::from(BLOCK);
        self.plugin.processor()?.process(&HostBlock { frames: BLOCK, transport, input: &[] }, &mut Vec::new())
    }
}
