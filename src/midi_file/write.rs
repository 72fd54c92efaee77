//! A song and its accompaniment to the bytes of a Standard MIDI File.

use super::PlayedNote;
use crate::generators::PartNote;
use crate::music::{Meter, Note, Part, Song, TICKS_PER_QUARTER, Ticks};
use midly::num::{u4, u7, u15, u24, u28};
use midly::{Format, Header, MetaMessage, MidiMessage, Smf, Timing, TrackEvent, TrackEventKind};
use std::cmp::Reverse;

/// What most DAWs and notation programs write.
const FILE_TICKS_PER_QUARTER: u16 = 480;
const FILE_TICKS_PER_TICK: i64 = FILE_TICKS_PER_QUARTER as i64 / TICKS_PER_QUARTER as i64;

const MELODY_CHANNEL: u8 = 0;
/// General MIDI program 1, a piano.
const MELODY_PROGRAM: u8 = 0;

/// Writes a file of format 1 with 480 ticks a quarter: a track with tempo, metre and chord names (as markers), then
/// `Melody`, then a track for each part in the order given.
///
/// Notes that would overlap one of their own key end where it is struck again; what lies before 0 is cut off.
pub fn write(song: &Song, parts: &[(Part, Vec<PartNote>)], chords: &[(Ticks, String)], title: &str) -> Vec<u8> {
    write_notes(song, song.melody.iter().map(FileNote::from).collect(), parts, chords, title)
}

/// The same with the melody as it was played instead of the song's, which is on the grid.
pub fn write_played(
    song: &Song,
    melody: &[PlayedNote],
    parts: &[(Part, Vec<PartNote>)],
    chords: &[(Ticks, String)],
    title: &str,
) -> Vec<u8> {
    write_notes(song, melody.iter().map(FileNote::from).collect(), parts, chords, title)
}

fn write_notes(
    song: &Song,
    melody: Vec<FileNote>,
    parts: &[(Part, Vec<PartNote>)],
    chords: &[(Ticks, String)],
    title: &str,
) -> Vec<u8> {
    let mut tracks = vec![
        in_order(conductor(song, chords, title)),
        in_order(voice("Melody", MELODY_CHANNEL, MELODY_PROGRAM, melody)),
    ];
    tracks.extend(parts.iter().map(|(part, notes)| {
        let notes = notes.iter().map(FileNote::from).collect();
        in_order(voice(part.name(), part.default_channel(), part.program(), notes))
    }));
    let timing = Timing::Metrical(u15::new(FILE_TICKS_PER_QUARTER));
    let file = Smf { header: Header::new(Format::Parallel, timing), tracks };
    let mut bytes = Vec::new();
    file.write(&mut bytes).expect("tracks are few and far below four gigabytes, and memory takes every byte");
    bytes
}

/// A note in the file's ticks.
#[derive(Debug, Clone, Copy)]
struct FileNote {
    start: i64,
    end: i64,
    key: u8,
    velocity: u8,
}

impl From<&Note> for FileNote {
    fn from(note: &Note) -> Self {
        let (start, end) = (file_ticks(note.start), file_ticks(note.end()));
        Self { start, end, key: note.key.number(), velocity: note.velocity.get() }
    }
}

impl From<&PartNote> for FileNote {
    fn from(PartNote { note, timing, .. }: &PartNote) -> Self {
        let on_grid = Self::from(note);
        let moved = (timing.ticks() * FILE_TICKS_PER_TICK as f64).round() as i64;
        Self { start: on_grid.start + moved, end: on_grid.end + moved, ..on_grid }
    }
}

impl From<&PlayedNote> for FileNote {
    fn from(note: &PlayedNote) -> Self {
        let ticks = |quarters: f64| (quarters * f64::from(FILE_TICKS_PER_QUARTER)).round() as i64;
        let start = ticks(note.start_quarters).max(0);
        let end = ticks(note.end_quarters).max(start + 1);
        Self { start, end, key: note.key.number(), velocity: note.velocity.get() }
    }
}

fn file_ticks(ticks: Ticks) -> i64 {
    i64::from(ticks) * FILE_TICKS_PER_TICK
}

/// An event at its time in the file's ticks; a track's events are put in order by time and rank.
struct Placed<'a> {
    at: i64,
    /// Of events at one time, names come before note-offs and those before note-ons.
    rank: u8,
    kind: TrackEventKind<'a>,
}

fn conductor<'a>(song: &'a Song, chords: &'a [(Ticks, String)], title: &'a str) -> Vec<Placed<'a>> {
    let meta = |at, message| Placed { at: file_ticks(at), rank: 0, kind: TrackEventKind::Meta(message) };
    let name = std::iter::once(meta(0, MetaMessage::TrackName(title.as_bytes())));
    let tempos = song.tempos.iter().map(|change| {
        let microseconds = (60e6 / change.quarters_per_minute).round().clamp(1.0, f64::from(u24::max_value().as_int()));
        meta(change.at, MetaMessage::Tempo(u24::new(microseconds as u32)))
    });
    let meters = song.meters.iter().map(|(at, meter)| meta(*at, time_signature(*meter)));
    let chords = chords.iter().map(|(at, chord)| meta(*at, MetaMessage::Marker(chord.as_bytes())));
    name.chain(tempos).chain(meters).chain(chords).collect()
}

fn time_signature(meter: Meter) -> MetaMessage<'static> {
    const CLOCKS_PER_TICK: Ticks = 24 / TICKS_PER_QUARTER;
    const THIRTY_SECONDS_PER_QUARTER: u8 = 8;
    let clocks_per_click = (meter.beat_length() * CLOCKS_PER_TICK) as u8;
    let unit_power = meter.unit().trailing_zeros() as u8;
    MetaMessage::TimeSignature(meter.beats(), unit_power, clocks_per_click, THIRTY_SECONDS_PER_QUARTER)
}

fn voice(name: &str, channel: u8, program: u8, notes: Vec<FileNote>) -> Vec<Placed<'_>> {
    let midi = |message| TrackEventKind::Midi { channel: u4::new(channel), message };
    let mut events = vec![
        Placed { at: 0, rank: 0, kind: TrackEventKind::Meta(MetaMessage::TrackName(name.as_bytes())) },
        Placed { at: 0, rank: 1, kind: midi(MidiMessage::ProgramChange { program: u7::new(program) }) },
    ];
    for note in without_overlaps(notes) {
        let key = u7::new(note.key);
        let on = MidiMessage::NoteOn { key, vel: u7::new(note.velocity) };
        let off = MidiMessage::NoteOff { key, vel: u7::new(64) };
        events.push(Placed { at: note.start, rank: 3, kind: midi(on) });
        events.push(Placed { at: note.end, rank: 2, kind: midi(off) });
    }
    events
}

/// What can be played on one channel: of notes struck together on one key the longest and loudest, cut where the key is struck again.
fn without_overlaps(mut notes: Vec<FileNote>) -> Vec<FileNote> {
    notes.iter_mut().for_each(|note| note.start = note.start.max(0));
    notes.retain(|note| note.start < note.end);
    notes.sort_by_key(|note| (note.key, note.start, -note.end, Reverse(note.velocity)));
    notes.dedup_by_key(|note| (note.key, note.start));
    for index in 1..notes.len() {
        let next = notes[index];
        let note = &mut notes[index - 1];
        if note.key == next.key {
            note.end = note.end.min(next.start);
        }
    }
    notes
}

fn in_order(mut events: Vec<Placed<'_>>) -> Vec<TrackEvent<'_>> {
    events.sort_by_key(|event| (event.at, event.rank));
    let mut now = 0;
    let mut track = Vec::with_capacity(events.len() + 1);
    for event in events {
        // A rest of a hundred thousand bars is the longest that the format can hold.
        let delta = (event.at - now).clamp(0, i64::from(u28::max_value().as_int()));
        track.push(TrackEvent { delta: u28::new(delta as u32), kind: event.kind });
        now = event.at;
    }
    track.push(TrackEvent { delta: u28::new(0), kind: TrackEventKind::Meta(MetaMessage::EndOfTrack) });
    track
}

#[cfg(test)]
mod tests {
    use super::super::{PlayedNote, TrackChoice, read};
    use super::*;
    use crate::music::{Key, TempoChange, Velocity};
    use proptest::prelude::*;

    fn any_note() -> impl Strategy<Value = Note> {
        (0..2000, 0u8..128, 1..100, 1..128).prop_map(|(start, key, duration, velocity)| Note {
            start,
            key: Key::folded(i32::from(key)),
            duration,
            velocity: Velocity::clamped(velocity),
        })
    }

    /// One note a key and place, none longer than to the next of its key.
    fn playable(mut notes: Vec<Note>) -> Vec<Note> {
        notes.sort_unstable_by_key(|note| (note.key, note.start, -note.duration, Reverse(note.velocity)));
        notes.dedup_by_key(|note| (note.key, note.start));
        for index in 1..notes.len() {
            if notes[index - 1].key == notes[index].key {
                notes[index - 1].duration = notes[index - 1].duration.min(notes[index].start - notes[index - 1].start);
            }
        }
        notes.sort_unstable();
        notes
    }

    fn any_song() -> impl Strategy<Value = Song> {
        let tempos = prop::collection::btree_map(1..2000, 20.0..400.0, 0..5);
        let meters = prop::collection::btree_map(1..2000, (1i64..12, 0u32..5), 0..5);
        let melody = prop::collection::vec(any_note(), 1..60);
        (melody, tempos, meters).prop_map(|(melody, tempos, meters)| {
            let change = |(at, quarters_per_minute)| TempoChange { at, quarters_per_minute };
            let meter = |(at, (beats, power))| Some((at, Meter::new(beats, 1i64 << power).ok()?));
            let mut song = Song { melody: playable(melody), ..Song::default() };
            song.tempos.extend(tempos.into_iter().map(change));
            song.meters.extend(meters.into_iter().filter_map(meter));
            song
        })
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(
            song in any_song(),
            bass in prop::collection::vec(any_note(), 1..60),
            drums in prop::collection::vec(any_note(), 1..60),
        ) {
            let parts = [on_grid(Part::Bass, &bass), on_grid(Part::Pad, &[]), on_grid(Part::Drums, &drums)];
            let chords = [(0, "C".to_owned()), (24, "F♯m7♭5/E".to_owned())];
            let bytes = write(&song, &parts, &chords, "A title");
            let file = read(&bytes).expect("our own file");
            prop_assert_eq!(&file.warnings, &Vec::<String>::new());
            prop_assert_eq!(file.title.as_deref(), Some("A title"));
            prop_assert_eq!(&file.markers, &chords);
            let names: Vec<&str> = file.lines.iter().map(|line| line.name.as_str()).collect();
            prop_assert_eq!(names, ["Melody", "Bass", "Drums"]);
            let back = file.song(file.melody_line(&TrackChoice::Automatic).expect("the melody"));
            prop_assert_eq!(&back.melody, &song.melody);
            prop_assert_eq!(&back.meters, &song.meters);
            prop_assert_eq!(back.tempos.len(), song.tempos.len());
            for (back, tempo) in back.tempos.iter().zip(&song.tempos) {
                prop_assert_eq!(back.at, tempo.at);
                prop_assert!((back.quarters_per_minute - tempo.quarters_per_minute).abs() < 0.1);
            }
            for (line, (part, notes)) in file.lines[1..].iter().zip([(Part::Bass, bass), (Part::Drums, drums)]) {
                prop_assert_eq!(line.notes.iter().map(PlayedNote::on_grid).collect::<Vec<_>>(), playable(notes));
                prop_assert!(line.notes.iter().all(|note| note.channel == part.default_channel()));
            }
        }
    }

    fn on_grid(part: Part, notes: &[Note]) -> (Part, Vec<PartNote>) {
        (part, notes.iter().map(|note| PartNote::on_grid(part, *note)).collect())
    }

    #[test]
    fn timing_moves_a_note_from_its_strike_to_its_release() {
        let note = |start, duration, sixteenths| PartNote {
            part: Part::Drums,
            note: Note { start, key: Key::folded(38), duration, velocity: Velocity::default() },
            timing: crate::music::Timing::clamped(sixteenths),
        };
        for (written, expected) in [
            (note(12, 6, 4), vec![(490, 730)]),
            (note(12, 6, -18), vec![(435, 675)]),
            (note(12, 6, 1), vec![(483, 723)]),
            (note(0, 3, -4), vec![(0, 110)]),
        ] {
            let parts = [(Part::Drums, vec![written])];
            let file = read(&write(&Song::default(), &parts, &[], "")).expect("our own file");
            assert_eq!(file_times(&file.lines[0].notes), expected, "{written:?}");
        }
        let close = [(Part::Drums, vec![note(12, 3, 18), note(13, 3, -18)])];
        let file = read(&write(&Song::default(), &close, &[], "")).expect("our own file");
        assert_eq!(file_times(&file.lines[0].notes), [(475, 525), (525, 645)], "in the order in which they sound");
    }

    fn file_times(notes: &[PlayedNote]) -> Vec<(i64, i64)> {
        let ticks = |quarters: f64| (quarters * f64::from(FILE_TICKS_PER_QUARTER)).round() as i64;
        notes.iter().map(|note| (ticks(note.start_quarters), ticks(note.end_quarters))).collect()
    }

    #[test]
    fn a_played_melody_keeps_its_timing() {
        let played = |start_quarters, end_quarters| PlayedNote {
            start_quarters,
            end_quarters,
            key: Key::folded(60),
            velocity: Velocity::default(),
            channel: 5,
        };
        let melody = [played(0.013, 0.49), played(0.5021, 0.5022), played(0.5022, 2.0)];
        let bytes = write_played(&Song::default(), &melody, &[], &[], "");
        let back = &read(&bytes).expect("our own file").lines[0].notes;
        assert_eq!(file_times(back), [(6, 235), (241, 960)], "the two that fall together are one");
    }

    #[test]
    fn parts_that_rest_have_a_track_and_what_lies_before_the_song_is_cut_off() {
        let early = Note { start: -6, key: Key::folded(40), duration: 12, velocity: Velocity::default() };
        let gone = Note { start: -30, ..early };
        let parts = [on_grid(Part::Bass, &[gone, early]), on_grid(Part::Counter, &[])];
        let bytes = write(&Song::default(), &parts, &[], "");
        let smf = Smf::parse(&bytes).expect("our own file");
        assert_eq!((smf.header.format, smf.tracks.len()), (Format::Parallel, 4));
        let bass = &read(&bytes).expect("our own file").lines[0].notes;
        assert_eq!(bass.len(), 1);
        assert_eq!((bass[0].start_quarters, bass[0].end_quarters), (0.0, 0.5));
    }
}
