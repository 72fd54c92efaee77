//! Bytes of a Standard MIDI File to a [`MidiFile`].

use super::{Line, MidiFile, PlayedNote};
use crate::music::{Key, Meter, TempoChange, Ticks, Velocity, quantise};
use midly::{Format, Header, MetaMessage, MidiMessage, Timing, TrackEventKind};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// In bytes. Several times what the longest symphony takes; more is not a melody.
pub const LARGEST_FILE: usize = 16 << 20;
/// More than five hours at 120 quarters a minute.
const LONGEST_SONG_QUARTERS: f64 = 40_000.0;
const MOST_NOTES: usize = 500_000;
/// What a note of no length is given (grace notes, drum hits), so that it begins before it ends.
const SHORTEST_NOTE_QUARTERS: f64 = 1.0 / 48.0;
/// Some programs write thousands for "no time passes"; beyond this no host follows.
const FASTEST_TEMPO: f64 = 1000.0;
const LONGEST_NAME: usize = 200;

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ReadError {
    #[error("the file is empty")]
    Empty,
    #[error("the file is larger than {} MB, which no melody is", LARGEST_FILE >> 20)]
    TooLarge,
    #[error("this is not a MIDI file: it does not begin with `MThd`")]
    NotMidi,
    #[error("the file's header is damaged or cut off ({0}); export it again")]
    Header(String),
    #[error("the file is cut off: it ends before its tracks do; copy or export it again")]
    CutOff,
    #[error(
        "the file counts time in SMPTE frames, not in beats, so it has no bars; export it with beats (PPQ, metrical)"
    )]
    Smpte,
    #[error("the file says that a beat has no ticks; export it again")]
    NoResolution,
    #[error("the file is of format 2 (several songs in one); export the song as format 0 or 1")]
    Format2,
    #[error("the file has no notes")]
    NoNotes,
    #[error("the file has more than {MOST_NOTES} notes")]
    TooManyNotes,
    #[error("the song is longer than {LONGEST_SONG_QUARTERS} quarter notes")]
    TooLong,
    #[error("the file has drums only; choose a track by number or name to use it as melody all the same. {available}")]
    OnlyDrums { available: String },
    #[error("there is no track `{wanted}`. {available}")]
    NoSuchTrack { wanted: String, available: String },
    #[error("more than one track fits `{wanted}`. {available}")]
    AmbiguousTrack { wanted: String, available: String },
}

/// Reads a file of format 0 or 1 (also inside RIFF).
///
/// # Errors
/// When there is no music in it that could be played, in a sentence for the user.
pub fn read(bytes: &[u8]) -> Result<MidiFile, ReadError> {
    check_outside(bytes)?;
    let (header, tracks) = midly::parse(bytes).map_err(|error| ReadError::Header(error.to_string()))?;
    let ticks_per_quarter = resolution(header)?;
    if complete_tracks(tracks.unread()) < tracks.size_hint().0 {
        return Err(ReadError::CutOff);
    }
    let mut reader = Reader { ticks_per_quarter, ..Reader::default() };
    for events in tracks.flatten() {
        reader.read_track(events)?;
    }
    reader.finish()
}

fn check_outside(bytes: &[u8]) -> Result<(), ReadError> {
    if bytes.is_empty() {
        return Err(ReadError::Empty);
    }
    if bytes.len() > LARGEST_FILE {
        return Err(ReadError::TooLarge);
    }
    if !(bytes.starts_with(b"MThd") || bytes.starts_with(b"RIFF")) {
        return Err(ReadError::NotMidi);
    }
    if counts_frames(bytes) { Err(ReadError::Smpte) } else { Ok(()) }
}

/// Whether the header's division is in SMPTE frames. Asked before midly reads it, which overflows at 128 frames a second.
fn counts_frames(bytes: &[u8]) -> bool {
    /// From the header chunk's name to its division.
    const TO_DIVISION: usize = 12;
    /// A RIFF wrapper puts twenty bytes before the header.
    const FARTHEST: usize = 64;
    let header = bytes.windows(4).take(FARTHEST).position(|name| name == b"MThd");
    let division = header.and_then(|at| bytes.get(at + TO_DIVISION));
    division.is_some_and(|high| high & 0x80 != 0)
}

fn resolution(header: Header) -> Result<f64, ReadError> {
    match header.format {
        Format::SingleTrack | Format::Parallel => {}
        Format::Sequential => return Err(ReadError::Format2),
    }
    match header.timing {
        Timing::Metrical(ticks) if ticks.as_int() > 0 => Ok(f64::from(ticks.as_int())),
        Timing::Metrical(_) => Err(ReadError::NoResolution),
        Timing::Timecode(..) => Err(ReadError::Smpte),
    }
}

/// Track chunks that have all the bytes they announce. midly takes what is there of the last one without a word.
fn complete_tracks(mut chunks: &[u8]) -> usize {
    let mut count = 0;
    while let Some((head, rest)) = chunks.split_first_chunk::<8>() {
        let length = u32::from_be_bytes([head[4], head[5], head[6], head[7]]) as usize;
        let Some(next) = rest.get(length..) else { break };
        count += usize::from(head.starts_with(b"MTrk"));
        chunks = next;
    }
    count
}

/// What has been read so far. Times are in the file's own ticks until [`Reader::finish`].
#[derive(Default)]
struct Reader {
    ticks_per_quarter: f64,
    tracks: Vec<Track>,
    /// Microseconds a quarter.
    tempos: Vec<(u64, u32)>,
    /// Beats, and the unit as a power of two.
    signatures: Vec<(u64, u8, u8)>,
    markers: Vec<(u64, String)>,
    warnings: BTreeSet<String>,
    notes: usize,
}

#[derive(Default)]
struct Track {
    name: String,
    notes: Vec<RawNote>,
    /// Where reading has come to.
    now: u64,
    /// Starts and velocities of notes struck and not yet released, by channel and key, the oldest first.
    held: BTreeMap<(u8, u8), VecDeque<(u64, u8)>>,
}

#[derive(Clone, Copy)]
struct RawNote {
    start: u64,
    end: u64,
    key: u8,
    velocity: u8,
    channel: u8,
}

impl Track {
    fn read_message(&mut self, channel: u8, message: MidiMessage) {
        match message {
            MidiMessage::NoteOn { key, vel } if vel.as_int() > 0 => {
                self.held.entry((channel, key.as_int())).or_default().push_back((self.now, vel.as_int()));
            }
            MidiMessage::NoteOn { key, .. } | MidiMessage::NoteOff { key, .. } => self.release(channel, key.as_int()),
            MidiMessage::Aftertouch { .. }
            | MidiMessage::Controller { .. }
            | MidiMessage::ProgramChange { .. }
            | MidiMessage::ChannelAftertouch { .. }
            | MidiMessage::PitchBend { .. } => {}
        }
    }

    /// Ends the oldest: repeated notes that overlap a little are the usual case.
    fn release(&mut self, channel: u8, key: u8) {
        if let Some((start, velocity)) = self.held.get_mut(&(channel, key)).and_then(VecDeque::pop_front) {
            self.notes.push(RawNote { start, end: self.now, key, velocity, channel });
        }
    }

    /// Ends all notes that still sound; says how many.
    fn release_all(&mut self) -> usize {
        let mut count = 0;
        for ((channel, key), notes) in std::mem::take(&mut self.held) {
            count += notes.len();
            let ended =
                notes.into_iter().map(|(start, velocity)| RawNote { start, end: self.now, key, velocity, channel });
            self.notes.extend(ended);
        }
        count
    }
}

impl Reader {
    fn read_track(&mut self, mut events: midly::EventIter<'_>) -> Result<(), ReadError> {
        let number = self.tracks.len() + 1;
        let mut track = Track::default();
        loop {
            let bytes_left = events.unread().len();
            let Some(Ok(event)) = events.next() else {
                if bytes_left > 0 {
                    self.warn(format!("track {number} is damaged; what comes before the damage is used"));
                }
                break;
            };
            track.now += u64::from(event.delta.as_int());
            match event.kind {
                TrackEventKind::Midi { channel, message } => track.read_message(channel.as_int(), message),
                TrackEventKind::Meta(MetaMessage::EndOfTrack) => break,
                TrackEventKind::Meta(message) => self.read_meta(&mut track, message),
                TrackEventKind::SysEx(_) | TrackEventKind::Escape(_) => {}
            }
        }
        if track.release_all() > 0 {
            self.warn(format!("track {number} has notes that are never released; they end with the track"));
        }
        self.notes += track.notes.len();
        self.tracks.push(track);
        if self.notes > MOST_NOTES { Err(ReadError::TooManyNotes) } else { Ok(()) }
    }

    fn read_meta(&mut self, track: &mut Track, message: MetaMessage<'_>) {
        match message {
            MetaMessage::TrackName(name) if track.name.is_empty() => track.name = text_of(name),
            MetaMessage::Tempo(microseconds) => self.tempos.push((track.now, microseconds.as_int())),
            MetaMessage::TimeSignature(beats, unit_power, ..) => self.signatures.push((track.now, beats, unit_power)),
            MetaMessage::Marker(text) | MetaMessage::CuePoint(text) | MetaMessage::Text(text) => {
                self.markers.push((track.now, text_of(text)));
            }
            _ => {}
        }
    }

    fn finish(mut self) -> Result<MidiFile, ReadError> {
        let title = self.tracks.first().filter(|track| track.notes.is_empty() && !track.name.is_empty());
        let title = title.map(|track| track.name.clone());
        let tempos = self.tempo_map();
        let meters = self.meter_map();
        let markers = self.marker_list();
        let lines = self.lines()?;
        if lines.is_empty() && markers.is_empty() {
            return Err(ReadError::NoNotes);
        }
        Ok(MidiFile { title, lines, tempos, meters, markers, warnings: self.warnings.into_iter().collect() })
    }

    fn quarters(&self, time: u64) -> f64 {
        time as f64 / self.ticks_per_quarter
    }

    /// `None` beyond the longest song.
    fn ticks(&self, time: u64) -> Option<Ticks> {
        let quarters = self.quarters(time);
        (quarters <= LONGEST_SONG_QUARTERS).then(|| quantise(quarters))
    }

    fn tempo_map(&mut self) -> Vec<TempoChange> {
        let mut map = BTreeMap::from([(0, 120.0)]);
        let mut events = std::mem::take(&mut self.tempos);
        events.sort_by_key(|(time, _)| *time);
        for (time, microseconds) in events {
            if microseconds == 0 {
                self.warn("a tempo of zero was left out".to_owned());
            } else if let Some(at) = self.ticks(time) {
                map.insert(at, (60e6 / f64::from(microseconds)).min(FASTEST_TEMPO));
            }
        }
        map.into_iter().map(|(at, quarters_per_minute)| TempoChange { at, quarters_per_minute }).collect()
    }

    fn meter_map(&mut self) -> Vec<(Ticks, Meter)> {
        let mut map = BTreeMap::from([(0, Meter::COMMON)]);
        let mut events = std::mem::take(&mut self.signatures);
        events.sort_by_key(|(time, ..)| *time);
        for (time, beats, unit_power) in events {
            let Some(at) = self.ticks(time) else { continue };
            let unit = 1i64.checked_shl(u32::from(unit_power)).unwrap_or(0);
            let exact = Meter::new(i64::from(beats), unit).ok();
            let meter = exact.or_else(|| nearest_meter(beats, unit_power));
            if exact.is_none() {
                let taken = meter.map_or("was left out".to_owned(), |meter| format!("is taken as bars of {meter}"));
                self.warn(format!("the time signature {beats}/{unit} {taken}"));
            }
            if let Some(meter) = meter {
                map.insert(at, meter);
            }
        }
        map.into_iter().collect()
    }

    fn marker_list(&mut self) -> Vec<(Ticks, String)> {
        let mut markers = std::mem::take(&mut self.markers);
        markers.sort_by_key(|(time, _)| *time);
        let placed = markers.into_iter().filter_map(|(time, text)| Some((self.ticks(time)?, text)));
        placed.filter(|(_, text)| !text.is_empty()).collect()
    }

    fn lines(&mut self) -> Result<Vec<Line>, ReadError> {
        let mut tracks = std::mem::take(&mut self.tracks);
        tracks.retain(|track| !track.notes.is_empty());
        if let [all] = tracks.as_slice() {
            tracks = by_channel(all);
        }
        tracks.into_iter().map(|track| self.line(track)).collect()
    }

    fn line(&self, track: Track) -> Result<Line, ReadError> {
        let notes = track.notes.iter().map(|note| self.played(note)).collect::<Result<Vec<_>, _>>()?;
        Ok(Line { name: track.name, notes: without_overlaps(notes) })
    }

    fn played(&self, note: &RawNote) -> Result<PlayedNote, ReadError> {
        let start_quarters = self.quarters(note.start);
        let end_quarters = self.quarters(note.end).max(start_quarters + SHORTEST_NOTE_QUARTERS);
        if end_quarters > LONGEST_SONG_QUARTERS {
            return Err(ReadError::TooLong);
        }
        Ok(PlayedNote {
            start_quarters,
            end_quarters,
            key: Key::folded(i32::from(note.key)),
            velocity: Velocity::clamped(i32::from(note.velocity)),
            channel: note.channel,
        })
    }

    fn warn(&mut self, sentence: String) {
        self.warnings.insert(sentence);
    }
}

/// A track that holds everything, as in format 0, taken apart. Several channels are named by number.
fn by_channel(all: &Track) -> Vec<Track> {
    let mut channels = BTreeMap::<u8, Vec<RawNote>>::new();
    for note in &all.notes {
        channels.entry(note.channel).or_default().push(*note);
    }
    let alone = channels.len() == 1;
    let name = |channel: u8| if alone { all.name.clone() } else { format!("Channel {}", channel + 1) };
    channels.into_iter().map(|(channel, notes)| Track { name: name(channel), notes, ..Track::default() }).collect()
}

/// By start, then key; a note ends where its own key is struck again on its channel, as on a keyboard. Of notes struck
/// together on one key the longest stays.
fn without_overlaps(mut notes: Vec<PlayedNote>) -> Vec<PlayedNote> {
    let place = |note: &PlayedNote| (note.channel, note.key);
    notes.sort_by(|a, b| {
        let starts = place(a).cmp(&place(b)).then(a.start_quarters.total_cmp(&b.start_quarters));
        starts.then(b.end_quarters.total_cmp(&a.end_quarters))
    });
    notes.dedup_by(|later, earlier| place(later) == place(earlier) && later.start_quarters == earlier.start_quarters);
    for index in 1..notes.len() {
        let next = notes[index];
        let note = &mut notes[index - 1];
        if place(note) == place(&next) {
            note.end_quarters = note.end_quarters.min(next.start_quarters);
        }
    }
    notes.sort_by(|a, b| a.start_quarters.total_cmp(&b.start_quarters).then(a.key.cmp(&b.key)));
    notes
}

/// Bars that keep the bar lines of a metre that is too long or in too small a unit to be played as it stands.
///
/// Long bars are divided evenly (16/4 becomes 4/4); units below a sixteenth are counted in sixteenths, rounded.
fn nearest_meter(beats: u8, unit_power: u8) -> Option<Meter> {
    if beats == 0 || unit_power > 6 {
        return None;
    }
    let (beats, unit) = (i64::from(beats), 1i64 << unit_power);
    let (beats, unit) = if unit > 16 { (((beats * 16 + unit / 2) / unit).max(1), 16) } else { (beats, unit) };
    let at_most_four_quarters = |beats: i64| beats * 4 <= unit * 4;
    Meter::new(beats, unit).ok().or_else(|| {
        let divisor = (1..=beats).rev().find(|part| beats % part == 0 && at_most_four_quarters(*part))?;
        Meter::new(divisor, unit).ok()
    })
}

/// Old programs wrote Latin-1.
fn text_of(bytes: &[u8]) -> String {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
    };
    let printable: String = text.chars().filter(|sign| !sign.is_control()).take(LONGEST_NAME).collect();
    printable.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::test_files::{chunk, file, file_with_division, melody_track, meta, track};
    use super::*;
    use crate::music::ChordPlan;
    use proptest::prelude::*;

    /// One track's notes as (start, end, key, velocity), in quarters.
    fn notes_of(events: &[(u32, &[u8])]) -> Vec<(f64, f64, u8, u8)> {
        let read = read(&file(0, &[track(events)])).expect("a file with notes");
        let notes = read.lines.iter().flat_map(|line| &line.notes);
        notes.map(|n| (n.start_quarters, n.end_quarters, n.key.number(), n.velocity.get())).collect()
    }

    #[test]
    fn running_status_and_note_ons_of_velocity_zero_are_understood() {
        let events: &[(u32, &[u8])] =
            &[(0, &[0x90, 60, 90]), (48, &[60, 0]), (0, &[62, 70]), (48, &[62, 0]), (0, &[0x80, 99, 0])];
        assert_eq!(notes_of(events), [(0.0, 0.5, 60, 90), (0.5, 1.0, 62, 70)]);
    }

    #[test]
    fn a_key_struck_again_ends_its_note_and_hanging_notes_end_with_the_track() {
        let overlapping: &[(u32, &[u8])] =
            &[(0, &[0x90, 60, 90]), (96, &[0x90, 60, 80]), (12, &[0x80, 60, 0]), (84, &[0x80, 60, 0])];
        assert_eq!(notes_of(overlapping), [(0.0, 1.0, 60, 90), (1.0, 2.0, 60, 80)]);
        let hanging: &[(u32, &[u8])] = &[(0, &[0x90, 60, 90]), (192, &[0xb0, 64, 0])];
        assert_eq!(notes_of(hanging), [(0.0, 2.0, 60, 90)]);
        let twice_at_once: &[(u32, &[u8])] =
            &[(0, &[0x90, 60, 90]), (0, &[0x90, 60, 80]), (48, &[0x80, 60, 0]), (48, &[0x80, 60, 0])];
        assert_eq!(notes_of(twice_at_once), [(0.0, 1.0, 60, 80)]);
    }

    #[test]
    fn notes_of_no_length_become_short_ones() {
        let events: &[(u32, &[u8])] = &[(96, &[0x90, 60, 90]), (0, &[0x80, 60, 0])];
        assert_eq!(notes_of(events), [(1.0, 1.0 + SHORTEST_NOTE_QUARTERS, 60, 90)]);
        let read = read(&file(0, &[track(events)])).expect("a file with a note");
        let note = read.song(&read.lines[0]).melody[0];
        assert_eq!((note.start, note.duration), (12, 1));
    }

    #[test]
    fn tempo_and_metre_maps_are_merged_from_all_tracks_and_put_in_order() {
        let tempo = |microseconds: u32| meta(0x51, &microseconds.to_be_bytes()[1..]);
        let signature = |beats, power| meta(0x58, &[beats, power, 24, 8]);
        let conductor = track(&[
            (0, &signature(1, 2)),
            (96, &signature(3, 2)),
            (0, &signature(6, 3)),
            (192, &tempo(500_000)),
            (0, &tempo(0)),
        ]);
        let other = track(&[(96, &tempo(600_000)), (0, &tempo(1_000_000)), (0, &[0x90, 60, 9]), (900, &[60, 0])]);
        let read = read(&file(1, &[conductor, other])).expect("a file with a note");
        let tempos: Vec<(Ticks, f64)> = read.tempos.iter().map(|c| (c.at, c.quarters_per_minute)).collect();
        assert_eq!(tempos, [(0, 120.0), (12, 60.0), (36, 120.0)]);
        let meters: Vec<(Ticks, String)> = read.meters.iter().map(|(at, meter)| (*at, meter.to_string())).collect();
        assert_eq!(meters, [(0, "1/4".to_owned()), (12, "6/8".to_owned())]);
        assert_eq!(read.warnings, ["a tempo of zero was left out"]);
    }

    #[test]
    fn metres_that_cannot_be_played_keep_their_bar_lines_where_possible() {
        for (beats, unit_power, taken) in [
            (16, 2, Some("4/4")),
            (13, 0, Some("1/1")),
            (30, 1, Some("2/2")),
            (200, 4, Some("10/16")),
            (12, 5, Some("6/16")),
            (7, 5, Some("4/16")),
            (1, 6, Some("1/16")),
            (0, 2, None),
            (4, 200, None),
        ] {
            let meter = nearest_meter(beats, unit_power).map(|meter| meter.to_string());
            assert_eq!(meter.as_deref(), taken, "{beats} over 2^{unit_power}");
            let events: &[(u32, &[u8])] =
                &[(0, &meta(0x58, &[beats, unit_power, 24, 8])), (0, &[0x90, 60, 9]), (96, &[60, 0])];
            let read = read(&file(0, &[track(events)])).expect("a file with a note");
            assert!(read.warnings[0].contains("time signature"), "{:?}", read.warnings);
            assert_eq!(read.meters, [(0, meter.map_or(Meter::COMMON, |_| nearest_meter(beats, unit_power).unwrap()))]);
        }
    }

    #[test]
    fn channels_of_a_single_track_are_lines_of_their_own() {
        let events: &[(u32, &[u8])] =
            &[(0, &meta(3, b"Song")), (0, &[0x90, 72, 9]), (0, &[0x91, 40, 9]), (96, &[40, 0]), (0, &[0x80, 72, 0])];
        let names = |bytes: &[u8]| -> Vec<String> {
            read(bytes).expect("a file with notes").lines.into_iter().map(|line| line.name).collect()
        };
        assert_eq!(names(&file(0, &[track(events)])), ["Channel 1", "Channel 2"]);
        assert_eq!(names(&file(0, &[melody_track("Alone", 3, &[60])])), ["Alone"]);
    }

    #[test]
    fn names_are_read_in_the_old_encoding_too_and_a_riff_wrapper_is_taken_off() {
        let events: &[(u32, &[u8])] = &[(0, &meta(3, b"M\xe9lodie\0")), (0, &[0x90, 72, 9]), (96, &[72, 0])];
        let plain = file(0, &[track(events)]);
        let inner = [b"data".as_slice(), &(plain.len() as u32).to_le_bytes(), &plain].concat();
        let riff = [b"RIFF".as_slice(), &(inner.len() as u32 + 4).to_le_bytes(), b"RMID", &inner].concat();
        assert_eq!(read(&plain).expect("readable").lines[0].name, "Mélodie");
        assert_eq!(read(&plain), read(&riff));
    }

    #[test]
    fn what_cannot_be_played_is_refused_in_words() {
        let good = melody_track("", 0, &[60, 62]);
        let far = track(&[(0, &[0x90, 60, 9]), (0x0fff_ffff, &[60, 0])]);
        for (bytes, error) in [
            (vec![], ReadError::Empty),
            (vec![0; LARGEST_FILE + 1], ReadError::TooLarge),
            (b"PK\x03\x04 and so on".to_vec(), ReadError::NotMidi),
            (file_with_division(1, 0xe728, std::slice::from_ref(&good)), ReadError::Smpte),
            (file_with_division(1, 0x8000, std::slice::from_ref(&good)), ReadError::Smpte),
            (file_with_division(1, 0, std::slice::from_ref(&good)), ReadError::NoResolution),
            (file(2, &[good.clone(), good.clone()]), ReadError::Format2),
            (file(1, &[]), ReadError::NoNotes),
            (file(1, &[track(&[])]), ReadError::NoNotes),
            (file(0, &[far]), ReadError::TooLong),
        ] {
            assert_eq!(read(&bytes), Err(error));
        }
        for bytes in [b"MThd".to_vec(), file(7, &[good]), b"RIFF1234WAVEfmt ".to_vec()] {
            assert!(matches!(read(&bytes), Err(ReadError::Header(_))));
        }
    }

    #[test]
    fn too_many_notes_are_refused() {
        let pair: &[u8] = &[0, 60, 9, 0, 60, 0];
        let body = [[0, 0x90, 60, 9, 0, 60, 0].as_slice(), &pair.repeat(MOST_NOTES)].concat();
        assert_eq!(read(&file(0, &[body])), Err(ReadError::TooManyNotes));
    }

    #[test]
    fn a_damaged_track_gives_what_comes_before_the_damage() {
        let mut body = melody_track("", 0, &[60, 62]);
        body.truncate(body.len() - 4);
        body.extend([0, 0xf5, 1, 2]);
        let read = read(&file(1, &[body])).expect("notes before the damage");
        assert_eq!(read.lines[0].notes.len(), 2);
        assert_eq!(read.warnings, ["track 1 is damaged; what comes before the damage is used"]);
    }

    #[test]
    fn padding_and_unknown_chunks_are_passed_over() {
        let plain = file(1, &[melody_track("", 0, &[60])]);
        let mut padded = plain.clone();
        padded.extend([0, 0, 0]);
        let (head, tracks) = plain.split_at(14);
        let with_unknown = [head, &chunk(b"XFIH", b"anything"), tracks].concat();
        assert_eq!(read(&padded), read(&plain));
        assert_eq!(read(&with_unknown), read(&plain));
    }

    /// A file with something of everything.
    fn rich_file() -> Vec<u8> {
        let conductor = track(&[
            (0, &meta(3, b"Title")),
            (0, &meta(0x58, &[3, 2, 24, 8])),
            (0, &meta(0x51, &[7, 0xa1, 0x20])),
            (96, &meta(6, b"Am")),
            (96, &meta(0x54, &[0x41, 0, 0, 0, 0])),
            (0, &[0xf0, 3, 1, 2, 0xf7]),
        ]);
        file(1, &[conductor, melody_track("Melody", 0, &[60, 62, 62, 64]), melody_track("Bass", 1, &[36, 43])])
    }

    #[test]
    fn a_file_cut_off_anywhere_is_refused() {
        let whole = rich_file();
        assert!(read(&whole).is_ok());
        for length in 0..whole.len() {
            assert!(read(&whole[..length]).is_err(), "cut after {length} bytes");
        }
    }

    fn check_sane(file: &MidiFile) {
        assert_eq!((file.tempos[0].at, file.meters[0].0), (0, 0));
        assert!(file.tempos.iter().all(|change| (1.0..=FASTEST_TEMPO).contains(&change.quarters_per_minute)));
        for line in &file.lines {
            assert!(line.notes.is_sorted_by(|a, b| (a.start_quarters, a.key) <= (b.start_quarters, b.key)));
            for (index, note) in line.notes.iter().enumerate() {
                assert!(0.0 <= note.start_quarters && note.start_quarters < note.end_quarters);
                assert!(note.end_quarters <= LONGEST_SONG_QUARTERS);
                let same_key = |other: &&PlayedNote| (other.key, other.channel) == (note.key, note.channel);
                let next = line.notes[index + 1..].iter().find(same_key);
                assert!(next.is_none_or(|next| note.end_quarters <= next.start_quarters));
            }
            let song = file.song(line);
            assert!(song.bars().count() <= (LONGEST_SONG_QUARTERS * 4.0) as usize);
            assert!(song.melody.iter().all(|note| note.start >= 0 && note.duration >= 1));
        }
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(head in prop::bool::ANY, body in prop::collection::vec(any::<u8>(), 0..400)) {
            let bytes = if head { file(1, &[body]) } else { [b"MThd\0\0\0\x06".as_slice(), &body].concat() };
            if let Ok(read) = read(&bytes) {
                check_sane(&read);
            }
        }

        #[test]
        fn damaged_files_never_panic(damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12)) {
            let mut bytes = rich_file();
            for (place, value) in damage {
                let index = place.index(bytes.len());
                bytes[index] = value;
            }
            if let Ok(read) = read(&bytes) {
                check_sane(&read);
                // A damaged time makes a song of hours, which takes its while without optimisation.
                if read.lines.iter().all(|line| read.song(line).bars().count() < 1000) {
                    prop_assert_eq!(ChordPlan::parse(&read.chord_plan().to_string()).is_ok(), !read.chord_plan().is_empty());
                }
            }
        }
    }
}
