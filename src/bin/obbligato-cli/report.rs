//! What the person at the shell is shown: progress, and a short summary at the end.

use indicatif::{ProgressBar, ProgressStyle};
use obbligato::generators::library::Loaded;
use obbligato::generators::{PartNote, SegmentAnswer};
use obbligato::midi_file::MidiFile;
use obbligato::music::{ChordPlan, Part, PerPart, Segment, Song};
use obbligato::settings::Settings;
use std::fmt;
use std::io::Write;
use std::time::Duration;

/// How a file went.
pub struct Report {
    /// Sentences about the input, and about a generator that failed on the way.
    pub warnings: Vec<String>,
    pub chords: ChordPlan,
    melody_track: String,
    melody_notes: usize,
    parts: Vec<(Part, usize)>,
    /// The time that each bar took.
    bars: Vec<Duration>,
    generator: String,
    backend: String,
    /// Parts that are on and not the generator's own.
    by_rule: PerPart<bool>,
}

impl Report {
    pub fn new(file: &MidiFile, melody_track: &str, loaded: &Loaded, settings: &Settings) -> Self {
        let backend = if loaded.backend.is_empty() {
            String::new()
        } else {
            format!(" on {} ({})", loaded.backend, loaded.device)
        };
        let by_rule = loaded.by_rule();
        Self {
            warnings: file.warnings.clone(),
            chords: ChordPlan::default(),
            melody_track: melody_track.to_owned(),
            melody_notes: 0,
            parts: Vec::new(),
            bars: Vec::new(),
            generator: loaded.generator.name().to_owned(),
            backend,
            by_rule: PerPart::from_fn(|part| settings.part_is_on(part) && by_rule[part]),
        }
    }

    pub fn add_time(&mut self, segment: Segment, time: Duration) {
        match self.bars.last_mut() {
            Some(bar) if segment.number > 0 => *bar += time,
            Some(_) | None => self.bars.push(time),
        }
    }

    pub fn count(&mut self, song: &Song, parts: &[(Part, Vec<PartNote>)], answers: &[SegmentAnswer]) {
        self.melody_notes = song.melody.len();
        self.parts = parts.iter().map(|(part, notes)| (*part, notes.len())).collect();
        let mut bars: Vec<Vec<_>> = Vec::new();
        for answer in answers {
            match bars.last_mut() {
                Some(bar) if answer.segment.number > 0 => bar.push(answer.chord.chord),
                Some(_) | None => bars.push(vec![answer.chord.chord]),
            }
        }
        bars.iter_mut().for_each(|chords| chords.dedup());
        self.chords = ChordPlan::from_bars(bars);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let track = if self.melody_track.is_empty() { "a track without a name" } else { &self.melody_track };
        writeln!(f, "  {} bars; melody from {track}, {} notes", self.bars.len(), self.melody_notes)?;
        let parts: Vec<String> = self.parts.iter().map(|(part, notes)| format!("{} {notes}", part.name())).collect();
        writeln!(f, "  notes: {}", parts.join(", "))?;
        let (median, worst) = milliseconds(&self.bars);
        write!(f, "  {}{}; a bar took {median:.2} ms (median), {worst:.2} ms (worst)", self.generator, self.backend)?;
        let by_rule: Vec<&str> = self.by_rule.iter().filter(|(_, rule)| **rule).map(|(part, _)| part.name()).collect();
        if by_rule.is_empty() { Ok(()) } else { write!(f, "\n  by rule: {}", by_rule.join(", ")) }
    }
}

/// Median and worst.
fn milliseconds(times: &[Duration]) -> (f64, f64) {
    let mut milliseconds: Vec<f64> = times.iter().map(|time| time.as_secs_f64() * 1e3).collect();
    milliseconds.sort_by(f64::total_cmp);
    let median = milliseconds.get(milliseconds.len() / 2).copied().unwrap_or(0.0);
    (median, milliseconds.last().copied().unwrap_or(0.0))
}

/// A bar on stderr; it hides itself where that is not a terminal.
pub fn progress_bar(length: usize, shown: bool, unit: &str) -> ProgressBar {
    if !shown {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template(&format!("{{wide_bar}} {{pos}} of {{len}} {unit}, {{eta}} left"));
    ProgressBar::new(length as u64).with_style(style.expect("the template's fields are indicatif's"))
}

/// Prints a line. A reader that has gone away (`| head`) is no failure.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
