//! The main job from end to end: builds the plugin, plays a melody to it as a host does, and writes down its answer.

use crate::bundle::{BundleOptions, bundle};
use crate::host::clap::ClapPlugin;
use crate::host::{EngineReport, HostNote, HostedPlugin, PlayOptions, Recording, RenderMode, SongPlayer};
use crate::piano_roll::{PianoRoll, Voice};
use crate::workspace::{PLUGIN_ID, Workspace};
use anyhow::{Context, Result, anyhow, bail, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use obbligato::generators::PartNote;
use obbligato::midi_file::{self, PlayedNote, TrackChoice};
use obbligato::music::{Bar, ChordPlan, Part, Song, Ticks, in_quarters};
use obbligato::settings::Settings;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

#[derive(Debug, Clone, clap::Args)]
pub struct JamOptions {
    /// The melody, a MIDI file [default: examples/ode_to_joy.mid]
    pub melody: Option<PathBuf>,
    /// Where the answer is written [default: `jam` in cargo's target folder]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Track that holds the melody, by number from 1 or by name
    #[arg(long, default_value = "")]
    pub track: String,
    #[command(flatten)]
    pub band: BandOptions,
    /// `arrange` plays the song twice and keeps the second pass, in which the melody is known
    #[arg(long, value_enum, default_value = "jam")]
    pub follow: FollowOption,
    /// Play at the pace of the music, and count what is late
    #[arg(long)]
    pub live: bool,
    /// Samples a process call
    #[arg(long, default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub block_size: u32,
    /// Samples a second
    #[arg(long, default_value_t = 48_000.0)]
    pub sample_rate: f64,
    /// Use the bundle as it was built before
    #[arg(long)]
    pub no_build: bool,
}

/// What the user would set in the plugin's window; the plugin's own defaults where nothing is given.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct BandOptions {
    /// Who writes the music, as in the window's list: a model's name, or `rules` [default: the built-in model]
    #[arg(long, value_name = "NAME")]
    pub generator: Option<String>,
    /// A style by name, a blend as the plugin writes it, or a position in the palette
    #[arg(long)]
    pub style: Option<String>,
    /// How adventurous, from 0.1 to 2
    #[arg(long)]
    pub temperature: Option<f32>,
    /// How many notes, from 0 to 1
    #[arg(long)]
    pub density: Option<f32>,
    /// Who plays along: `all`, or some of bass,chords,pad,counter,drums
    #[arg(long, value_delimiter = ',')]
    pub parts: Option<Vec<String>>,
    /// Another seed, another answer
    #[arg(long)]
    pub seed: Option<u32>,
    /// Chords to play on, as `| C | G/B | Am F |`, or a file with them
    #[arg(long)]
    pub chords: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum FollowOption {
    #[default]
    Jam,
    Arrange,
}

/// A melody to play.
pub struct Melody {
    pub song: Song,
    /// As in the file.
    pub notes: Vec<PlayedNote>,
}

/// What came back.
pub struct Answer {
    pub parts: Vec<(Part, Vec<PartNote>)>,
    /// Where each chord begins.
    pub chords: Vec<(Ticks, String)>,
    pub bars: Vec<Bar>,
    pub report: EngineReport,
    pub recording: Recording,
    pub time: Duration,
}

/// Runs the whole job.
///
/// # Errors
/// When the build fails, the melody cannot be read, or the plugin misbehaves.
pub fn jam(workspace: &Workspace, options: &JamOptions) -> Result<()> {
    let melody_path = match &options.melody {
        Some(path) => std::path::absolute(path)?,
        None => workspace.root.join("examples").join("ode_to_joy.mid"),
    };
    let out = match &options.out {
        Some(folder) => std::path::absolute(folder)?,
        None => workspace.target.join("jam"),
    };
    let melody = Melody::read(&melody_path, &options.track)?;
    if !options.no_build {
        eprintln!("building the plugin (the first time takes some minutes)");
        bundle(workspace, BundleOptions::default())?;
    }
    ensure!(workspace.clap().exists(), "there is no {}; leave out --no-build", workspace.clap().display());
    let mut plugin = ClapPlugin::load(&workspace.clap(), PLUGIN_ID)?;
    options.band.set_up(&mut plugin)?;
    let answer = play(&mut plugin, &melody, options)?;
    let title = melody_path.file_stem().context("a melody file has a name")?.to_string_lossy().into_owned();
    let written = write(&answer, &melody, &title, &out)?;
    summarise(&answer, &melody, &title);
    if options.live {
        summarise_calls(&answer.recording, options);
    }
    written.iter().for_each(|path| println!("{}", path.display()));
    check(&answer.recording)
}

impl Melody {
    /// # Errors
    /// When the file or its track cannot be read, in a sentence for the user.
    pub fn read(path: &Path, track: &str) -> Result<Self> {
        let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let file = midi_file::read(&bytes).with_context(|| path.display().to_string())?;
        for warning in &file.warnings {
            eprintln!("{}: {warning}", path.display());
        }
        let choice = if track.is_empty() { TrackChoice::Automatic } else { track.parse()? };
        let line = file.melody_line(&choice).with_context(|| path.display().to_string())?;
        Ok(Self { song: file.song(line), notes: line.notes.clone() })
    }
}

impl BandOptions {
    /// Brings the options into the plugin as a host does: its parameters, and by its state generator, seed and chords.
    ///
    /// # Errors
    /// When the plugin cannot read a value.
    pub fn set_up(&self, plugin: &mut dyn HostedPlugin) -> Result<()> {
        // The melody is known; through the plugin it would come back among the parts.
        plugin.set_parameter("thru", 0.0)?;
        if let Some(style) = &self.style {
            let position = plugin.parameter_from_text("style", style)?;
            plugin.set_parameter("style", position)?;
        }
        let knobs =
            [("temperature", self.temperature, Settings::TEMPERATURE), ("density", self.density, Settings::DENSITY)];
        for (id, value, range) in knobs {
            if let Some(value) = value {
                let (lowest, highest) = range.into_inner();
                ensure!((lowest..=highest).contains(&value), "{id} goes from {lowest} to {highest}");
                plugin.set_parameter(id, f64::from((value - lowest) / (highest - lowest)))?;
            }
        }
        if let Some(wanted) = &self.parts {
            switch_parts(plugin, wanted)?;
        }
        let mut state = plugin.save_state()?;
        if let Some(generator) = &self.generator {
            state.set_field("generator", &json!(generator));
        }
        if let Some(seed) = self.seed {
            state.set_field("seed", &json!(seed));
        }
        if let Some(chords) = &self.chords {
            state.set_field("plan", &json!(read_chords(chords)?.to_string()));
        }
        plugin.load_state(&state)
    }
}

fn switch_parts(plugin: &mut dyn HostedPlugin, wanted: &[String]) -> Result<()> {
    const ALL: &str = "all";
    if let Some(unknown) = wanted.iter().find(|id| *id != ALL && Part::from_id(id).is_none()) {
        bail!("there is no part `{unknown}`; write `{ALL}`, or some of {}", Part::ALL.map(Part::id).join(","));
    }
    for part in Part::ALL {
        let on = wanted.iter().any(|id| id == part.id() || (id == ALL && part.is_of_band()));
        plugin.set_parameter(&format!("{}_on", part.id()), f64::from(u8::from(on)))?;
    }
    Ok(())
}

/// Chords from text, a text file, or a MIDI file.
fn read_chords(text: &str) -> Result<ChordPlan> {
    let path = Path::new(text);
    if !path.is_file() {
        return parse_plan(text);
    }
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {text}"))?;
    match String::from_utf8(bytes) {
        Ok(lines) if !lines.starts_with("MThd") => parse_plan(&lines),
        Ok(_) | Err(_) => Ok(midi_file::read(&std::fs::read(path)?).context(text.to_owned())?.chord_plan()),
    }
}

fn parse_plan(text: &str) -> Result<ChordPlan> {
    // As one sentence: the cause stands in it already.
    ChordPlan::parse(text).map_err(|error| anyhow!(error.to_string()))
}

/// Plays the melody once, or twice to arrange, and takes down the last pass.
///
/// # Errors
/// When the plugin fails or reports nothing.
pub fn play(plugin: &mut dyn HostedPlugin, melody: &Melody, options: &JamOptions) -> Result<Answer> {
    let follow = match options.follow {
        FollowOption::Jam => 0.0,
        FollowOption::Arrange => 1.0,
    };
    plugin.set_parameter("follow", follow)?;
    let mode = if options.live { RenderMode::Realtime } else { RenderMode::Offline };
    plugin.activate(options.sample_rate, options.block_size, mode)?;
    let player = SongPlayer::new(&melody.song, &melody.notes);
    ensure!(!player.bars().is_empty(), "the melody has no bars");
    let passes = match options.follow {
        FollowOption::Jam => 1,
        FollowOption::Arrange => 2,
    };
    if options.live {
        wait_for_model(plugin, &player, options)?;
    }
    let stretches = vec![player.whole(); passes];
    let play_options = play_options(options, stretches);
    let progress = progress_bar(player.whole().end * passes as f64);
    let began = Instant::now();
    let recording = player.play(plugin, &play_options, &|quarters| progress.set_position(quarters as u64))?;
    progress.finish_and_clear();
    let time = began.elapsed();
    let report = EngineReport::settled(plugin)?;
    plugin.deactivate();
    let notes = recording.notes(passes - 1);
    let bars = player.bars().to_vec();
    Ok(Answer { parts: by_part(&notes)?, chords: chord_changes(&report, &bars), bars, report, recording, time })
}

fn play_options(options: &JamOptions, stretches: Vec<std::ops::Range<f64>>) -> PlayOptions {
    let JamOptions { sample_rate, block_size, live, .. } = *options;
    PlayOptions { sample_rate, block_size, stretches, live }
}

/// A player who sits down to play has given the plugin time to load its model.
fn wait_for_model(plugin: &mut dyn HostedPlugin, player: &SongPlayer, options: &JamOptions) -> Result<()> {
    const LONGEST: Duration = Duration::from_secs(20);
    let began = Instant::now();
    while plugin.save_state()?.report()?.backend.is_empty() && began.elapsed() < LONGEST {
        let standing = std::iter::once(0.0..0.0).collect();
        player.play(plugin, &play_options(options, standing), &|_| {})?;
    }
    Ok(())
}

fn progress_bar(quarters: f64) -> ProgressBar {
    let style = ProgressStyle::with_template("playing [{bar:40}] {percent} %  {elapsed}");
    let bar = ProgressBar::new(quarters as u64);
    bar.set_style(style.expect("the template is fixed and right").progress_chars("=> "));
    bar
}

/// Sorts notes into parts by the channels that are usual for them.
fn by_part(notes: &[HostNote]) -> Result<Vec<(Part, Vec<PartNote>)>> {
    let stray = notes.iter().find(|note| Part::ALL.iter().all(|part| part.default_channel() != note.channel));
    if let Some(stray) = stray {
        bail!("the plugin played on channel {}, which belongs to no part", stray.channel + 1);
    }
    let notes_of = |part: Part| {
        let of_part = notes.iter().filter(|note| note.channel == part.default_channel());
        of_part.filter_map(|note| note.of_part(part)).collect::<Vec<PartNote>>()
    };
    let parts = Part::ALL.into_iter().map(|part| (part, notes_of(part)));
    Ok(parts.filter(|(_, notes)| !notes.is_empty()).collect())
}

/// The chords as reported, where they change.
fn chord_changes(report: &EngineReport, bars: &[Bar]) -> Vec<(Ticks, String)> {
    let mut changes: Vec<(Ticks, String)> = report
        .chords
        .iter()
        .filter_map(|chord| {
            let bar = bars.iter().find(|bar| bar.index.0 == chord.bar)?;
            let segment = bar.segments().nth(usize::from(chord.segment))?;
            Some((segment.start(), chord.name.clone()))
        })
        .collect();
    changes.sort();
    changes.dedup_by(|later, earlier| later.1 == earlier.1);
    changes
}

/// Writes the MIDI file and the picture.
fn write(answer: &Answer, melody: &Melody, title: &str, out: &Path) -> Result<[PathBuf; 2]> {
    std::fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    let files = ["mid", "png"].map(|extension| out.join(title).with_extension(extension));
    let bytes = midi_file::write(&melody.song, &answer.parts, &answer.chords, title);
    std::fs::write(&files[0], bytes).with_context(|| format!("cannot write {}", files[0].display()))?;
    const MELODY_COLOUR: [u8; 3] = [0xf4, 0xf4, 0xf0];
    let of_part = |(part, notes): &(Part, Vec<PartNote>)| Voice {
        name: part.name().to_owned(),
        colour: part.colour(),
        notes: notes.iter().map(|note| note.note).collect(),
    };
    let melody_voice = Voice { name: "Melody".to_owned(), colour: MELODY_COLOUR, notes: melody.song.melody.clone() };
    let roll = PianoRoll {
        title: title.replace('_', " "),
        bars: answer.bars.clone(),
        voices: answer.parts.iter().map(of_part).chain([melody_voice]).collect(),
        chords: answer.chords.clone(),
    };
    roll.save_png(&files[1])?;
    Ok(files)
}

fn summarise(answer: &Answer, melody: &Melody, title: &str) {
    let report = &answer.report;
    println!("{title}: {} bars answered", answer.bars.len());
    println!("  {:<10} {:>5} notes", "Melody", melody.song.melody.len());
    for (part, notes) in &answer.parts {
        println!("  {:<10} {:>5} notes", part.name(), notes.len());
    }
    println!("  chords     {}", sources(report));
    println!("  inference  {} on {}, {}", report.backend, report.device, report.generator);
    println!("  a bar      {:.1} ms (median), {:.1} ms (worst)", report.median_ms_per_bar, report.worst_ms_per_bar);
    println!(
        "  late       {} segments, {} notes; {} messages dropped",
        report.late_segments, report.late_notes, report.dropped
    );
    let music = melody.song.seconds_at(in_quarters(melody.song.end()));
    println!("  played     {music:.1} s of music in {:.1} s", answer.time.as_secs_f64());
    if let Some(problem) = &report.problem {
        println!("  problem    {problem}");
    }
}

/// How many half-bars have their chord from whom.
fn sources(report: &EngineReport) -> String {
    let mut counts = BTreeMap::<&str, usize>::new();
    for chord in &report.chords {
        *counts.entry(&chord.source).or_default() += 1;
    }
    let counts: Vec<String> = counts.iter().map(|(source, count)| format!("{count} {source}")).collect();
    counts.join(", ")
}

/// What the plugin costs the audio thread.
fn summarise_calls(recording: &Recording, options: &JamOptions) {
    let mut times = recording.call_times.clone();
    times.sort_unstable();
    let microseconds = |time: Option<&Duration>| time.map_or(0.0, |time| time.as_secs_f64() * 1e6);
    let (median, worst) = (microseconds(times.get(times.len() / 2)), microseconds(times.last()));
    let allowed = f64::from(options.block_size) / options.sample_rate * 1e6;
    println!("  a call     {median:.0} µs (median), {worst:.0} µs (worst) of {allowed:.0} µs");
}

/// What no plugin may do.
fn check(recording: &Recording) -> Result<()> {
    let (hanging, orphans, unsorted) = (recording.hanging(), recording.orphan_offs(), recording.unsorted);
    ensure!(
        hanging == 0 && orphans == 0 && unsorted == 0,
        "the plugin left {hanging} notes sounding, released {orphans} that did not sound, and sent {unsorted} events \
         out of order"
    );
    Ok(())
}
