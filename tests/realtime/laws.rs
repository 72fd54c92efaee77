//! The notes do not depend on the block size, and they are what the engine writes.

use crate::bands::{Metronome, all_parts, loose_band};
use crate::host::{Run, SAMPLE_RATE, SentNote, TestHost, allocations_in, block, melody, playing};
use obbligato::arranger::Arranger;
use obbligato::generators::PartNote;
use obbligato::generators::library::Loaded;
use obbligato::music::{Key, Meter, Song, TICKS_PER_QUARTER, TempoChange, Timing};
use obbligato::settings::{Follow, Settings};

/// Two phrases with a change of tempo and metre, triplets, and notes that are held over bar lines.
pub fn song() -> Song {
    let meter = |beats, unit| Meter::new(beats, unit).expect("usual");
    let tempo = |at, quarters_per_minute| TempoChange { at, quarters_per_minute };
    Song {
        melody: melody(&[
            (64, 12),
            (64, 12),
            (65, 12),
            (67, 12),
            (67, 4),
            (65, 4),
            (64, 4),
            (62, 24),
            (0, 6),
            (60, 18),
            (60, 12),
            (62, 12),
            (64, 18),
            (62, 6),
            (62, 30),
            (60, 9),
            (62, 9),
            (64, 12),
            (65, 48),
            (67, 18),
            (69, 18),
            (72, 36),
        ]),
        tempos: vec![tempo(0, 97.3), tempo(96, 141.0)],
        meters: vec![(0, meter(4, 4)), (192, meter(3, 4))],
    }
}

/// At a change of metre what was guessed of the bar after it may have begun early; here nothing has to be guessed.
pub fn song_in_one_metre() -> Song {
    Song { meters: vec![(0, Meter::COMMON)], ..song() }
}

fn played(load: fn() -> Loaded, song: &Song, settings: &Settings, run: Run, passes: usize) -> Vec<SentNote> {
    let mut host = TestHost::threaded(load);
    let mut from = 0;
    for _ in 0..passes {
        from = host.elapsed;
        host.play_song(song, settings, run);
    }
    host.stop(settings);
    assert_eq!((host.hanging(), host.orphans), (0, 0));
    assert_eq!(host.count(|meters| &meters.late_notes), 0);
    assert_eq!(host.count(|meters| &meters.dropped), 0);
    host.notes_since(from, song, run)
}

/// A strike: when (in sixteenths of a tick), on which channel, which key.
type Onset = (i32, u8, Key);

/// What the engine writes. Nothing is struck before the song begins.
fn written(load: fn() -> Loaded, song: &Song, settings: &Settings) -> Vec<Onset> {
    let loaded = load();
    let mut arranger = Arranger::new(loaded.generator, loaded.drummer);
    let answers = arranger.perform(song, settings, &mut |_| {});
    let notes = answers.iter().flat_map(|answer| &answer.notes).filter(|note| note.released_at() > 0.0);
    let onset = |note: &PartNote| {
        let part = &settings.parts[note.part];
        let start = Timing::STEPS_PER_TICK * note.note.start + note.timing.sixteenths();
        (start.max(0), part.channel, part.apply(note.part, note.note).key)
    };
    in_order(notes.map(onset))
}

fn onsets(notes: &[SentNote]) -> Vec<Onset> {
    in_order(notes.iter().map(|note| (note.start, note.channel, note.key)))
}

fn in_order(onsets: impl Iterator<Item = Onset>) -> Vec<Onset> {
    let mut onsets: Vec<Onset> = onsets.collect();
    onsets.sort_unstable();
    onsets.dedup();
    onsets
}

/// A song in one metre, without the last moment in which a bar after it would begin early.
fn assert_plays_what_is_written(load: fn() -> Loaded, song: &Song, settings: &Settings, passes: usize) {
    let end = song.bars().last().map_or(0, |bar| bar.end()) * Timing::STEPS_PER_TICK + Timing::EARLIEST.sixteenths();
    let within = |onsets: Vec<Onset>| onsets.into_iter().filter(|(start, ..)| *start < end).collect::<Vec<_>>();
    let notes = played(load, song, settings, Run::offline(SAMPLE_RATE, 256), passes);
    assert_eq!(within(onsets(&notes)), within(written(load, song, settings)));
}

#[test]
fn block_size_and_sample_rate_do_not_change_the_notes() {
    let (song, settings) = (song(), all_parts());
    for load in [Loaded::rules, loose_band] {
        let expected = played(load, &song, &settings, Run::offline(SAMPLE_RATE, 512), 1);
        assert!(expected.len() > 60, "a band plays: {} notes", expected.len());
        for block_size in [1, 17, 64, 480, 4096, 8192] {
            let notes = played(load, &song, &settings, Run::offline(SAMPLE_RATE, block_size), 1);
            assert_eq!(notes, expected, "blocks of {block_size}");
        }
        for sample_rate in [44_100.0, 96_000.0] {
            let notes = played(load, &song, &settings, Run::offline(sample_rate, 512), 1);
            assert_eq!(onsets(&notes), onsets(&expected), "{sample_rate} Hz");
        }
    }
}

#[test]
fn the_first_pass_plays_the_jam_that_the_engine_writes() {
    assert_plays_what_is_written(Loaded::rules, &song(), &all_parts(), 1);
    assert_plays_what_is_written(loose_band, &song_in_one_metre(), &all_parts(), 1);
}

#[test]
fn the_second_pass_plays_the_arrangement_that_the_engine_writes() {
    let settings = Settings { follow: Follow::Arrange, ..all_parts() };
    assert_plays_what_is_written(Loaded::rules, &song(), &settings, 2);
    assert_plays_what_is_written(loose_band, &song_in_one_metre(), &settings, 2);
}

#[test]
fn a_note_before_its_segment_is_struck_in_time_or_as_soon_as_it_is_known() {
    const SAMPLES_PER_TICK: i32 = 2000;
    const SEGMENT: i32 = 24 * SAMPLES_PER_TICK;
    // Half a tick.
    const BLOCK: i32 = 1000;
    let settings = Settings { count_in: 0, ..Settings::default() };
    for (sixteenths, expected) in [(0, 0), (5, 625), (18, 2250), (-5, -625), (-8, -1000), (-12, -1000), (-18, -1000)] {
        let timing = Timing::clamped(sixteenths);
        let mut host = TestHost::inline(Metronome { timing, ..Metronome::default() }.load());
        for start in (0..8 * SEGMENT).step_by(BLOCK as usize) {
            let quarters = f64::from(start) / f64::from(SAMPLES_PER_TICK * TICKS_PER_QUARTER);
            let block = block(BLOCK as u32, playing(quarters), &settings);
            // The worker wakes once a segment, so each answer has come half a tick before it is due.
            let awake = start == 0 || (start + 2 * BLOCK) % SEGMENT == 0;
            if awake { host.block(&block) } else { host.block_without_worker(&block) }
        }
        let strikes: Vec<i64> = host.strikes().into_iter().map(|sample| sample as i64).collect();
        // The first segment is known when its first block is over.
        let later = (1..8).map(|segment| i64::from(segment * SEGMENT + expected));
        assert_eq!(strikes[1..8], later.collect::<Vec<_>>(), "{sixteenths} sixteenths");
        assert_eq!(host.count(|meters| &meters.late_notes), 0);
        assert_eq!(host.count(|meters| &meters.late_segments), 0);
    }
}

#[test]
fn the_guard_sees_what_it_guards_against() {
    assert_eq!(allocations_in(|| {}), 0);
    let mut notes = vec![1];
    assert!(allocations_in(|| notes = vec![1, 2, 3]) >= 2, "one for the new notes, one to free the old: {notes:?}");
}
