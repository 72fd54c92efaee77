//! Saved songs: the same again, small, and refused in words when they are not what was written.

use super::super::{LedgerBar, Origin};
use super::*;
use crate::generators::{PartNote, SegmentAnswer};
use crate::music::{
    Bar, BarIndex, Key, Meter, Note, Part, PerPart, PlanSource, PlannedChord, Segment, Ticks, Timing, Velocity,
};
use crate::settings::{CountInBand, EnhanceSettings, ExtendSettings, ExtendWhen, Sampling, Settings};
use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn planned(chord: &str, source: PlanSource) -> PlannedChord {
    PlannedChord { chord: chord.parse().ok(), source }
}

fn note(start: Ticks, key: i32, duration: Ticks, velocity: i32) -> Note {
    Note { start, key: Key::folded(key), duration, velocity: Velocity::clamped(velocity) }
}

fn answer(segment: Segment, chord: PlannedChord, settings: Settings, notes: Vec<PartNote>) -> SegmentAnswer {
    SegmentAnswer { segment, chord, notes, settings, quarters_per_minute: 97.5, margin: 3 }
}

/// A song with one of everything that can be saved; `v3.txt` is it, as version 3 wrote it.
fn one_of_everything() -> Ledger {
    one_of_everything_with(|settings| {
        settings.parts[Part::Bass].density = 0.875;
        settings.parts[Part::Extension].on = true;
        settings.enhance = EnhanceSettings { risk: 1.25, add: 7, remove: 0.5, passes: 3, feeds: true };
        let (when, sampling) = (ExtendWhen::CallAndResponse, Sampling::TopK);
        settings.extend = ExtendSettings { when, risk: 0.75, sampling, listen: 3, bars: 2, from: 500 };
    })
}

fn one_of_everything_with(more: impl Fn(&mut Settings)) -> Ledger {
    let mut settings = Settings { temperature: 0.75, style: 2.5, density: 0.25, seed: 4711, ..Settings::default() };
    more(&mut settings);
    settings.parts[Part::Drums].on = true;
    let rests = Settings { count_in: 2, count_in_band: CountInBand::Rests, ..settings };
    let empty = LedgerBar::new(Bar { index: BarIndex(-1), start: -36, meter: Meter::new(3, 4).expect("usual") });
    let [pickup, listened, common, edited, planned_only] = [-1, 0, 1, 2, 3].map(|index: i32| match index {
        -1 => empty.bar,
        index => Bar::of_constant_meter(index, Meter::COMMON),
    });
    let halves: Vec<Segment> = common.segments().collect();
    let played = |part, note, sixteenths| PartNote { part, note, timing: Timing::clamped(sixteenths) };
    Ledger::of([
        LedgerBar { bar: pickup, melody: Some(vec![note(-12, 67, 12, 90)]), ..empty.clone() },
        LedgerBar {
            bar: listened,
            melody: Some(vec![note(0, 60, 12, 1), note(0, 64, 30, 127), note(47, 72, 1 << 24, 80)]),
            answers: vec![answer(listened.segment_at(0), planned("x", PlanSource::Rule), rests, Vec::new())],
            listened: true,
            ..empty.clone()
        },
        LedgerBar {
            bar: common,
            melody: Some(Vec::new()),
            answers: vec![
                answer(
                    halves[0],
                    planned("Bbm7b5/E", PlanSource::Heard),
                    settings,
                    vec![
                        played(Part::Bass, note(48, 40, 24, 77), 0),
                        played(Part::Bass, note(60, 43, 5, 78), -18),
                        played(Part::Drums, note(48, 36, 1, 127), 18),
                        played(Part::Drums, note(48, 42, 1, 3), 1),
                    ],
                ),
                answer(
                    halves[1],
                    planned("Cadd9", PlanSource::User),
                    settings,
                    vec![played(Part::Chords, note(72, 60, 100, 60), 5)],
                ),
            ],
            origin: Origin::Arranged,
            locked: true,
            locked_chords: [None, Some(planned("Cadd9", PlanSource::User))],
            ..empty.clone()
        },
        LedgerBar {
            bar: edited,
            answers: vec![answer(edited.segment_at(0), planned("G9", PlanSource::Proposed), rests, Vec::new())],
            origin: Origin::Edited,
            rolls: 300,
            wanted: PerPart::from_fn(|part| matches!(part, Part::Chords | Part::Drums)),
            kept_under: Some(settings),
            ..empty.clone()
        },
        LedgerBar { bar: planned_only, locked_chords: [Some(planned("N.C.", PlanSource::User)), None], ..empty },
    ])
}

#[test]
fn what_version_1_wrote_is_read() {
    assert_eq!(from_text(include_str!("v1.txt").trim_end()), Ok(one_of_everything_with(|_| {})));
}

#[test]
fn what_version_2_wrote_is_read() {
    let with_density = one_of_everything_with(|settings| settings.parts[Part::Bass].density = 0.875);
    assert_eq!(from_text(include_str!("v2.txt").trim_end()), Ok(with_density));
}

#[test]
fn what_version_3_wrote_is_read() {
    assert_eq!(from_text(include_str!("v3.txt").trim_end()), Ok(one_of_everything()));
}

#[test]
fn saving_and_reading_gives_the_same() {
    for ledger in [one_of_everything(), Ledger::default()] {
        assert_eq!(from_text(&to_text(&ledger)), Ok(ledger));
    }
    assert_eq!(to_text(&Ledger::default()), "");
}

#[test]
fn other_versions_and_damage_are_refused_in_words() {
    let text = to_text(&one_of_everything());
    let (_, packed) = text.split_once(':').expect("a version and what it packs");
    let words = |text: &str| from_text(text).expect_err("it is no song").to_string();
    assert!(words(&format!("4:{packed}")).contains("later Obbligato (format 4; this one reads up to 3)"));
    assert!(words("4:anything at all").contains("later"));
    for damaged in [packed, &format!("0:{packed}"), &format!("-1:{packed}"), ":", "3", "3:", "3:AAAA", "57", "\u{0}"] {
        assert!(words(damaged).contains("damaged"), "{damaged}");
    }
    for end in 0..text.len() {
        assert!(end == 0 || from_text(&text[..end]).is_err(), "{end} of {} bytes", text.len());
    }
}

#[test]
fn a_song_too_large_to_be_one_is_refused_before_it_is_unpacked() {
    let packed = BASE64_STANDARD.encode(compress_to_vec_zlib(&[0; 4096], 1));
    assert!(packed.len() < 64);
    assert_eq!(unpacked(&packed, 4096), Ok(vec![0; 4096]));
    assert_eq!(unpacked(&packed, 4095), Err(SavedError::Damaged("it is larger than any song")));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damage_that_the_check_sum_does_not_see_is_survived(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = postcard::to_allocvec(&v3::Song::of(&one_of_everything())).expect("plain data");
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        survives(&bytes);
    }
}

/// A part that stands there twice is no answer: its notes could not be saved as they are.
#[test]
fn a_number_in_the_place_of_another_is_survived() {
    let bytes = postcard::to_allocvec(&v3::Song::of(&one_of_everything())).expect("plain data");
    for place in 0..bytes.len() {
        for byte in 0..Part::COUNT as u8 {
            let mut bytes = bytes.clone();
            bytes[place] = byte;
            survives(&bytes);
        }
    }
}

/// Whatever is read can be saved again: it is a song.
fn survives(bytes: &[u8]) {
    let text = format!("3:{}", BASE64_STANDARD.encode(compress_to_vec_zlib(bytes, 1)));
    if let Ok(ledger) = from_text(&text) {
        let bars: Vec<Bar> = ledger.bars().map(|entry| entry.bar).collect();
        assert!(bars.windows(2).all(|pair| pair[0].end() <= pair[1].start));
        assert_eq!(from_text(&to_text(&ledger)), Ok(ledger));
    }
}

/// The usual case, with music, is tested where there is somebody to play it.
#[test]
fn three_hundred_bars_without_any_pattern_still_fit() {
    const LARGEST_SAVED: usize = 300_000;
    let mut dice = ChaCha8Rng::seed_from_u64(1);
    let mut settings = Settings::default();
    Part::ALL.into_iter().for_each(|part| settings.parts[part].on = true);
    let mut random_notes = |segment: Segment| {
        let mut notes: Vec<PartNote> =
            [(Part::Bass, 5), (Part::Chords, 14), (Part::Pad, 4), (Part::Counter, 7), (Part::Drums, 14)]
                .into_iter()
                .flat_map(|(part, count)| [part].repeat(count))
                .map(|part| PartNote {
                    part,
                    note: note(
                        dice.random_range(segment.start()..segment.end()),
                        dice.random_range(30..90),
                        dice.random_range(1..48),
                        dice.random_range(1..128),
                    ),
                    timing: Timing::clamped(dice.random_range(-18..19)),
                })
                .collect();
        notes.sort_unstable();
        notes
    };
    let bar = |index| Bar::of_constant_meter(index, Meter::COMMON);
    let mut ledger = Ledger::default();
    for bar in (0..300).map(bar) {
        let melody = (0..8).map(|place| note(bar.start + 6 * place, 60 + (bar.index.0 * 7 + place * 5) % 24, 6, 80));
        ledger.hear(bar, melody.collect());
        let chord = planned("Am7", PlanSource::Proposed);
        let answers = bar.segments().map(|segment| answer(segment, chord, settings, random_notes(segment)));
        ledger.write(bar, answers.collect(), Origin::Arranged);
    }
    let size = to_text(&ledger).len();
    assert!(size < LARGEST_SAVED, "26400 notes in {size} bytes");
    let unpacked = postcard::to_allocvec(&v3::Song::of(&ledger)).expect("plain data").len();
    assert!(unpacked / 300 * 100_000 < LARGEST, "two days of such bars are read again");
    assert_eq!(from_text(&to_text(&ledger)), Ok(ledger));
}
