//! The plugin's song as a file, and a file's melody as the plugin's: between the ledger and [`Song`].

use super::{Line, MidiFile, chord_names, write};
use crate::generators::{PartNote, SegmentAnswer};
use crate::ledger::{Ledger, LedgerBar};
use crate::music::{Bar, Meter, Note, Part, PerPart, Song, TempoChange, Ticks};
use crate::settings::PartSettings;
use std::ops::Range;

/// Which bars go into a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Extent {
    /// All; the file begins where the host's song does, or at a bar before that.
    Song,
    /// Those that begin in a range; the file begins with the first of them.
    Bars(Range<Ticks>),
}

/// The bytes of a file with the melody and each part that is heard on a track of its own, as they sound. `None` where
/// nothing is to be heard of these bars.
pub fn arrangement(ledger: &Ledger, extent: &Extent, parts: &PerPart<PartSettings>, title: &str) -> Option<Vec<u8>> {
    let bars: Vec<&LedgerBar> = ledger.bars().filter(|entry| extent.contains(entry.bar.start)).collect();
    let first = bars.first()?.bar.start;
    let begins = match extent {
        Extent::Song => first.min(0),
        Extent::Bars(_) => first,
    };
    let song = song_of(&bars, begins);
    let parts = sounding(&bars, parts, begins);
    let silent = song.melody.is_empty() && parts.is_empty();
    let chords = answers(&bars).map(|answer| (answer.segment.start() - begins, answer.chord.chord));
    (!silent).then(|| write(&song, &parts, &chord_names(chords), title))
}

impl Extent {
    fn contains(&self, start: Ticks) -> bool {
        match self {
            Self::Song => true,
            Self::Bars(bars) => bars.contains(&start),
        }
    }
}

fn song_of(bars: &[&LedgerBar], begins: Ticks) -> Song {
    let melody = bars.iter().filter_map(|entry| entry.melody.as_ref()).flatten();
    let mut melody: Vec<Note> = melody.map(|note| Note { start: note.start - begins, ..*note }).collect();
    melody.sort_unstable();
    Song { melody, tempos: tempos(bars, begins), meters: meters(bars, begins) }
}

/// A change also where bars begin anew, since that is where a bar line is.
fn meters(bars: &[&LedgerBar], begins: Ticks) -> Vec<(Ticks, Meter)> {
    let mut meters: Vec<(Ticks, Meter)> = Vec::new();
    for bar in bars.iter().map(|entry| entry.bar) {
        let at = bar.start - begins;
        let goes_on =
            meters.last().is_some_and(|(from, meter)| *meter == bar.meter && (at - from) % meter.bar_length() == 0);
        if meters.is_empty() && at % bar.meter.bar_length() != 0 {
            meters.push((0, bar.meter));
        }
        if !goes_on {
            let from = if meters.is_empty() { 0 } else { at };
            meters.push((from, bar.meter));
        }
    }
    meters
}

/// The tempo of each answer when it was written.
fn tempos(bars: &[&LedgerBar], begins: Ticks) -> Vec<TempoChange> {
    const SAME: f64 = 0.01;
    let mut tempos: Vec<TempoChange> = Vec::new();
    for answer in answers(bars) {
        let quarters_per_minute = f64::from(answer.quarters_per_minute);
        if tempos.last().is_none_or(|before| (before.quarters_per_minute - quarters_per_minute).abs() > SAME) {
            let at = if tempos.is_empty() { 0 } else { answer.segment.start() - begins };
            tempos.push(TempoChange { at, quarters_per_minute });
        }
    }
    if tempos.is_empty() { Song::default().tempos } else { tempos }
}

fn sounding(bars: &[&LedgerBar], settings: &PerPart<PartSettings>, begins: Ticks) -> Vec<(Part, Vec<PartNote>)> {
    let heard = settings.heard();
    let notes_of = |part: Part| {
        let notes = answers(bars).flat_map(|answer| &answer.notes).filter(move |note| note.part == part);
        let sounds = |written: &PartNote| {
            let note = settings[part].apply(part, written.note);
            PartNote { note: Note { start: note.start - begins, ..note }, ..*written }
        };
        notes.map(sounds).collect::<Vec<_>>()
    };
    let parts = Part::ALL.into_iter().filter(|part| heard[*part]).map(|part| (part, notes_of(part)));
    parts.filter(|(_, notes)| !notes.is_empty()).collect()
}

fn answers<'a>(bars: &'a [&LedgerBar]) -> impl Iterator<Item = &'a SegmentAnswer> {
    bars.iter().flat_map(|entry| &entry.answers)
}

impl MidiFile {
    /// The melody of a line bar by bar, rests too, on the file's own timeline.
    pub fn melody_by_bar(&self, line: &Line) -> Vec<(Bar, Vec<Note>)> {
        let song = self.song(line);
        let notes_in = |bar: &Bar| {
            let first = song.melody.partition_point(|note| note.start < bar.start);
            song.melody[first..].iter().take_while(|note| note.start < bar.end()).copied().collect()
        };
        song.bars().map(|bar| (bar, notes_in(&bar))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{TrackChoice, read};
    use super::*;
    use crate::ledger::Origin;
    use crate::music::{BarIndex, Key, PlanSource, PlannedChord, Segment, Velocity};
    use crate::settings::Settings;

    fn note(start: Ticks, key: i32) -> Note {
        Note { start, key: Key::folded(key), duration: 12, velocity: Velocity::clamped(80) }
    }

    fn answer(segment: Segment, chord: &str, tempo: f32) -> SegmentAnswer {
        let start = segment.start();
        let notes = [(Part::Bass, 36), (Part::Chords, 60), (Part::Drums, 38)];
        SegmentAnswer {
            segment,
            chord: PlannedChord { chord: chord.parse().ok(), source: PlanSource::Proposed },
            notes: notes.map(|(part, key)| PartNote::on_grid(part, note(start, key))).to_vec(),
            settings: Settings::default(),
            quarters_per_minute: tempo,
            margin: 2,
        }
    }

    /// Two bars of four and two of three, slower from the third on.
    fn ledger() -> Ledger {
        let (four, three) = (Meter::COMMON, Meter::new(3, 4).expect("usual"));
        let bars = [(0, four, "C", 100.0), (48, four, "F", 100.0), (96, three, "F", 90.0), (132, three, "G", 90.0)];
        let mut ledger = Ledger::default();
        for (index, (start, meter, chord, tempo)) in (0..).zip(bars) {
            let bar = Bar { index: BarIndex(index), start, meter };
            ledger.hear(bar, vec![note(start, 72), note(start + 12, 74)]);
            let answers = bar.segments().map(|segment| answer(segment, chord, tempo)).collect();
            ledger.write(bar, answers, Origin::Arranged);
        }
        ledger
    }

    fn file(extent: &Extent, parts: &PerPart<PartSettings>) -> MidiFile {
        read(&arrangement(&ledger(), extent, parts, "Song").expect("there is music")).expect("our own file")
    }

    fn names(file: &MidiFile) -> Vec<&str> {
        file.lines.iter().map(|line| line.name.as_str()).collect()
    }

    fn all_on() -> PerPart<PartSettings> {
        PerPart::from_fn(|part| PartSettings { on: true, ..PartSettings::of(part) })
    }

    #[test]
    fn the_song_is_saved_with_its_metres_and_tempos_a_track_a_part() {
        let file = file(&Extent::Song, &all_on());
        assert_eq!(names(&file), ["Melody", "Bass", "Chords", "Drums"]);
        assert_eq!(file.title.as_deref(), Some("Song"));
        let meters: Vec<(Ticks, String)> = file.meters.iter().map(|(at, meter)| (*at, meter.to_string())).collect();
        assert_eq!(meters, [(0, "4/4".to_owned()), (96, "3/4".to_owned())]);
        let tempos: Vec<(Ticks, f64)> =
            file.tempos.iter().map(|change| (change.at, change.quarters_per_minute.round())).collect();
        assert_eq!(tempos, [(0, 100.0), (96, 90.0)]);
        assert_eq!(file.markers, [(0, "C".to_owned()), (48, "F".to_owned()), (132, "G".to_owned())]);
        let starts: Vec<Ticks> = file.lines[1].notes.iter().map(|note| note.on_grid().start).collect();
        assert_eq!(starts[..4], [0, 24, 48, 72]);
    }

    #[test]
    fn a_selection_begins_at_the_start_of_the_file() {
        let file = file(&Extent::Bars(96..133), &all_on());
        let melody: Vec<Ticks> = file.lines[0].notes.iter().map(|note| note.on_grid().start).collect();
        assert_eq!(melody, [0, 12, 36, 48]);
        let meters: Vec<(Ticks, String)> = file.meters.iter().map(|(at, meter)| (*at, meter.to_string())).collect();
        assert_eq!(meters, [(0, "3/4".to_owned())]);
        assert_eq!(file.tempos[0].quarters_per_minute.round(), 90.0);
        let nothing = Extent::Bars(1000..2000);
        assert_eq!(arrangement(&ledger(), &nothing, &all_on(), ""), None);
        assert_eq!(arrangement(&Ledger::default(), &Extent::Song, &all_on(), ""), None);
    }

    #[test]
    fn what_is_saved_is_what_is_heard() {
        let mut parts = all_on();
        (parts[Part::Bass].octave, parts[Part::Bass].velocity) = (-1, 0.5);
        parts[Part::Drums].on = false;
        let file = file(&Extent::Song, &parts);
        assert_eq!(names(&file), ["Melody", "Bass", "Chords"]);
        let bass = file.lines[1].notes[0].on_grid();
        assert_eq!((bass.key.number(), bass.velocity.get()), (24, 40));
        parts[Part::Chords].solo = true;
        assert_eq!(names(&self::file(&Extent::Song, &parts)), ["Melody", "Chords"]);
    }

    #[test]
    fn a_pickup_before_the_song_moves_the_file_so_that_nothing_is_lost() {
        let mut ledger = ledger();
        let pickup = Bar { index: BarIndex(-1), start: -12, meter: Meter::new(1, 4).expect("usual") };
        ledger.hear(pickup, vec![note(-12, 67)]);
        let bytes = arrangement(&ledger, &Extent::Song, &all_on(), "").expect("music");
        let file = read(&bytes).expect("our own file");
        let starts: Vec<Ticks> = file.lines[0].notes.iter().take(3).map(|note| note.on_grid().start).collect();
        assert_eq!(starts, [0, 12, 24]);
        let meters: Vec<(Ticks, String)> = file.meters.iter().map(|(at, meter)| (*at, meter.to_string())).collect();
        assert_eq!(meters, [(0, "1/4".into()), (12, "4/4".into()), (108, "3/4".to_owned())]);
    }

    #[test]
    fn what_was_saved_can_be_loaded_as_a_melody() {
        let file = file(&Extent::Song, &all_on());
        let line = file.melody_line(&TrackChoice::Automatic).expect("the melody");
        let loaded = file.melody_by_bar(line);
        let heard: Vec<(Bar, Vec<Note>)> =
            ledger().bars().map(|entry| (entry.bar, entry.melody.clone().unwrap_or_default())).collect();
        assert_eq!(loaded, heard);
    }
}
