//! Counts what comes late when the built plugin plays at the pace of the music while other programs keep every core busy: at
//! tempos from 60 to 240, with each inference backend in a process of its own (a process has one).

use crate::bundle::{BundleOptions, bundle};
use crate::host::clap::ClapPlugin;
use crate::host::{EngineReport, HostedPlugin};
use crate::jam::{BandOptions, FollowOption, JamOptions, Melody, play};
use crate::workspace::{PLUGIN_ID, Workspace};
use anyhow::{Context, Result, ensure};
use obbligato::midi_file::PlayedNote;
use obbligato::music::{Key, Note, Song, TICKS_PER_QUARTER, TempoChange, Ticks, Velocity};
use std::hint::black_box;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

/// As in the plugin.
const BACKEND_VARIABLE: &str = "OBBLIGATO_BACKEND";

#[derive(Debug, Clone, clap::Args)]
pub struct LatenessOptions {
    /// Quarters a minute
    #[arg(long, value_delimiter = ',', default_values_t = [60.0, 90.0, 120.0, 150.0, 180.0, 210.0, 240.0])]
    pub tempi: Vec<f64>,
    /// Bars of 4/4 that are played at each
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(i32).range(1..=1000))]
    pub bars: i32,
    /// `arrange` plays the song twice: the second time bars are arranged while it plays
    #[arg(long, value_enum, default_value = "jam")]
    pub follow: FollowOption,
    /// Programs that compute all the time meanwhile [default: one for each core]
    #[arg(long)]
    pub busy: Option<usize>,
    /// `tract`, `onnxruntime` (found as the plugin finds it; OBBLIGATO_ONNXRUNTIME names its library)
    #[arg(long, value_delimiter = ',', default_values = ["tract", "onnxruntime"])]
    pub backends: Vec<String>,
    /// Use the bundle as it was built before
    #[arg(long)]
    pub no_build: bool,
}

/// # Errors
/// When the build fails, a backend is missing, or anything was late.
pub fn lateness(workspace: &Workspace, options: &LatenessOptions) -> Result<()> {
    if !options.no_build {
        bundle(workspace, BundleOptions::default())?;
    }
    let [backend] = options.backends.as_slice() else {
        return each_in_its_process(options);
    };
    ensure!(
        std::env::var(BACKEND_VARIABLE).is_ok_and(|chosen| chosen == *backend),
        "set {BACKEND_VARIABLE}={backend} to measure this backend alone"
    );
    let busy = options.busy.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from));
    let _others = Others::start(busy);
    let mut late = 0;
    for quarters_per_minute in &options.tempi {
        let report = play_at(workspace, *quarters_per_minute, options)?;
        late += report.late_segments + report.late_notes;
        println!("{}", row(&report, *quarters_per_minute));
    }
    ensure!(late == 0, "{backend}: {late} segments and notes were late");
    Ok(())
}

fn each_in_its_process(options: &LatenessOptions) -> Result<()> {
    println!(
        "| backend | quarters a minute | half bars | of these late | notes late | a bar took (median, worst), ms | it lasts, ms |"
    );
    println!("|---|---|---|---|---|---|---|");
    let tempi: Vec<String> = options.tempi.iter().map(f64::to_string).collect();
    let mut failed = Vec::new();
    for backend in &options.backends {
        let mut child = Command::new(std::env::current_exe().context("this program has a file")?);
        child.args(["lateness", "--no-build", "--backends", backend, "--tempi", &tempi.join(",")]);
        child.args(["--bars", &options.bars.to_string()]).env(BACKEND_VARIABLE, backend);
        if options.follow == FollowOption::Arrange {
            child.args(["--follow", "arrange"]);
        }
        if let Some(busy) = options.busy {
            child.args(["--busy", &busy.to_string()]);
        }
        if !child.status().context("this program can be started again")?.success() {
            failed.push(backend.as_str());
        }
    }
    ensure!(failed.is_empty(), "late or missing: {}", failed.join(", "));
    Ok(())
}

/// The whole band, without a count-in: the models answer every bar.
fn play_at(workspace: &Workspace, quarters_per_minute: f64, options: &LatenessOptions) -> Result<EngineReport> {
    let melody = melody(quarters_per_minute, options.bars);
    let mut plugin = ClapPlugin::load(&workspace.clap(), PLUGIN_ID)?;
    let band = BandOptions { parts: Some(vec!["all".to_owned()]), ..BandOptions::default() };
    band.set_up(&mut plugin)?;
    plugin.set_parameter("count_in", 0.0)?;
    let jam = JamOptions {
        melody: None,
        out: None,
        track: String::new(),
        band,
        follow: options.follow,
        live: true,
        block_size: 512,
        sample_rate: 48_000.0,
        no_build: true,
    };
    Ok(play(&mut plugin, &melody, &jam)?.report)
}

/// Quarters and eighths that never come round: what was heard before would be played again, and no model asked.
fn melody(quarters_per_minute: f64, bars: i32) -> Melody {
    const KEYS: [i32; 11] = [60, 62, 64, 65, 67, 69, 71, 72, 74, 76, 77];
    const EIGHTH: Ticks = TICKS_PER_QUARTER / 2;
    let note = |eighth: i32| {
        let chance = eighth * (eighth + 1) * 37 % 1009;
        let key = Key::folded(KEYS[(chance % 11) as usize]);
        (eighth % 2 == 0 || chance % 3 == 0).then_some(Note {
            start: eighth * EIGHTH,
            key,
            duration: EIGHTH,
            velocity: Velocity::default(),
        })
    };
    let melody: Vec<Note> = (0..8 * bars).filter_map(note).collect();
    let notes = melody.iter().map(PlayedNote::from).collect();
    let tempos = vec![TempoChange { at: 0, quarters_per_minute }];
    Melody { song: Song { melody, tempos, ..Song::default() }, notes }
}

fn row(report: &EngineReport, quarters_per_minute: f64) -> String {
    let bar = 4.0 * 60_000.0 / quarters_per_minute;
    format!(
        "| {} | {quarters_per_minute} | {} | {} | {} | {:.0}, {:.0} | {bar:.0} |",
        report.backend,
        2 * report.bars,
        report.late_segments,
        report.late_notes,
        report.median_ms_per_bar,
        report.worst_ms_per_bar
    )
}

/// Other programs, as far as the scheduler is concerned.
struct Others {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Others {
    fn start(count: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = (0..count)
            .map(|_| {
                let stop = stop.clone();
                thread::spawn(move || {
                    let mut number = 1_u64;
                    while !stop.load(Ordering::Relaxed) {
                        number = black_box(number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
                    }
                })
            })
            .collect();
        Self { stop, threads }
    }
}

impl Drop for Others {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}
