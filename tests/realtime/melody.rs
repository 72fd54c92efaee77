//! What comes of the melody, as a host hears it: enhanced, carried on, handed back; in any block size, and again from a saved
//! project.

use crate::bands::band_with_melodists as band;
use crate::host::{Run, SentNote, TestHost, melody};
use obbligato::channels::EditorCommand;
use obbligato::generators::library::Loaded;
use obbligato::music::{Key, Melodist, Note, Part, Song, Ticks, Timing, Velocity};
use obbligato::settings::{EnhanceSettings, ExtendSettings, ExtendWhen, Follow, Settings};

/// Bass, chords, and these parts of the melody.
fn settings(parts: &[Part]) -> Settings {
    let mut settings = Settings { thru: false, count_in: 0, ..Settings::default() };
    parts.iter().for_each(|part| settings.parts[*part].on = true);
    settings
}

/// Four bars and a beat in quarters, with a rest to the end of the eighth, and one last note to count bars by.
fn stops() -> Song {
    let mut notes = [(60, 12), (62, 12), (64, 12), (65, 12)].repeat(4);
    notes.extend([(67, 12), (0, 4 * 48 + 24), (72, 12)]);
    Song { melody: melody(&notes), ..Song::default() }
}

fn pass(host: &mut TestHost, song: &Song, settings: &Settings, run: Run) -> Vec<SentNote> {
    let from = host.elapsed;
    host.play_song(song, settings, run);
    host.stop(settings);
    assert_eq!((host.hanging(), host.orphans), (0, 0), "every note that was struck is released");
    host.notes_since(from, song, run)
}

fn usual_run() -> Run {
    Run::offline(48_000.0, 512)
}

/// Of one part by its channel: where each note begins and ends in quarters, and its key.
fn of_part(notes: &[SentNote], part: Part) -> Vec<(f64, f64, u8)> {
    let quarters = |place: i32| f64::from(place) / f64::from(12 * Timing::STEPS_PER_TICK);
    let of_part = notes.iter().filter(|note| note.channel == part.default_channel());
    of_part.map(|note| (quarters(note.start), quarters(note.end), note.key.number())).collect()
}

#[test]
fn the_enhanced_melody_is_heard_in_its_place_when_the_tune_is_known_and_a_bar_later_in_a_jam() {
    let song = Song { melody: melody(&[(60, 12), (64, 24), (67, 12)].repeat(6)), ..Song::default() };
    for (follow, late) in [(Follow::Jam, 4.0), (Follow::Arrange, 0.0)] {
        let settings = Settings { follow, ..settings(&[Part::Enhanced]) };
        let mut host = TestHost::threaded(band);
        let mut heard = pass(&mut host, &song, &settings, usual_run());
        if follow == Follow::Arrange {
            heard = pass(&mut host, &song, &settings, usual_run());
        }
        let played = song.melody.iter().map(|note| {
            let quarters = |ticks: Ticks| f64::from(ticks) / 12.0 + late;
            (quarters(note.start), quarters(note.end()), note.key.number() + 7)
        });
        let expected: Vec<_> = played.filter(|(start, ..)| *start < 24.0).collect();
        assert_eq!(of_part(&heard, Part::Enhanced), expected, "{follow:?}");
    }
}

#[test]
fn who_stops_is_carried_on_until_coming_in() {
    let settings =
        Settings { extend: ExtendSettings { bars: 8, ..ExtendSettings::default() }, ..settings(&[Part::Extension]) };
    for follow in [Follow::Jam, Follow::Arrange] {
        let settings = Settings { follow, ..settings };
        let mut host = TestHost::threaded(band);
        for pass_number in 0..3 {
            let heard = of_part(&pass(&mut host, &stops(), &settings, usual_run()), Part::Extension);
            // The last strike is on the first beat of the fifth bar; the player comes in on the fourth of the ninth.
            let (first, last) = (heard.first().expect("it goes on"), heard.last().expect("it goes on"));
            assert_eq!(first.0, 20.0, "{follow:?}, pass {pass_number}");
            assert!(last.0 >= 33.0 && last.1 <= 35.0, "{follow:?}, pass {pass_number}: {last:?}");
            assert!(heard.len() >= 13, "a note a beat: {heard:?}");
        }
    }
}

#[test]
fn the_extension_falls_silent_with_the_very_strike_of_the_player() {
    // The player comes in in the middle of a beat, where nobody could know of it before.
    let mut notes = vec![(60, 12); 5];
    notes.extend([(0, 4 * 48 - 6), (72, 30)]);
    let song = Song { melody: melody(&notes), ..Song::default() };
    let comes_in = (5.0 * 12.0 + 4.0 * 48.0 - 6.0) / 12.0;
    let settings =
        Settings { extend: ExtendSettings { bars: 8, ..ExtendSettings::default() }, ..settings(&[Part::Extension]) };
    for block_size in [64, 512, 4096] {
        let run = Run::offline(48_000.0, block_size);
        let heard = of_part(&pass(&mut TestHost::threaded(band), &song, &settings, run), Part::Extension);
        let last = heard.last().expect("it goes on");
        assert_eq!(last.1, comes_in, "cut off there, {last:?}");
    }
}

#[test]
fn call_and_response_alternate() {
    let extend = ExtendSettings { when: ExtendWhen::CallAndResponse, bars: 1, ..ExtendSettings::default() };
    let settings = Settings { extend, ..settings(&[Part::Extension]) };
    let call = [(60, 12), (64, 12), (67, 12), (72, 11), (0, 49)];
    let song = Song { melody: melody(&call.repeat(3)), ..Song::default() };
    let heard = of_part(&pass(&mut TestHost::threaded(band), &song, &settings, usual_run()), Part::Extension);
    let bars: Vec<i32> = heard.iter().map(|(start, ..)| (start / 4.0) as i32).collect();
    assert_eq!(bars, [1, 1, 1, 1, 3, 3, 3, 3], "the song ends with the third call");
}

#[test]
fn a_saved_project_gives_the_same_notes_in_any_block_size_with_and_without_the_models() {
    let both = settings(&[Part::Enhanced, Part::Extension]);
    let feeds = EnhanceSettings { feeds: true, ..EnhanceSettings::default() };
    for settings in [both, Settings { follow: Follow::Arrange, ..both }, Settings { enhance: feeds, ..both }] {
        let mut host = TestHost::threaded(band);
        pass(&mut host, &stops(), &settings, usual_run());
        let heard = pass(&mut host, &stops(), &settings, usual_run());
        assert!([Part::Enhanced, Part::Extension].iter().all(|part| of_part(&heard, *part).len() > 8));
        for block_size in [33, 512, 2048] {
            let run = Run::offline(48_000.0, block_size);
            let mut anew = TestHost::threaded(band);
            pass(&mut anew, &stops(), &settings, run);
            assert_eq!(pass(&mut anew, &stops(), &settings, run), heard, "rendered anew in blocks of {block_size}");
            let mut other = TestHost::threaded(Loaded::rules);
            other.state.load(host.state.save());
            assert_eq!(pass(&mut other, &stops(), &settings, run), heard, "without models, blocks of {block_size}");
        }
        let other_seed = Settings { seed: 2, ..settings };
        let other = pass(&mut TestHost::threaded(band), &stops(), &other_seed, usual_run());
        assert_ne!(of_part(&other, Part::Extension), of_part(&heard, Part::Extension));
    }
}

#[test]
fn where_there_is_no_model_it_is_told_and_the_band_plays() {
    let settings = settings(&[Part::Enhanced, Part::Extension]);
    let mut host = TestHost::threaded(Loaded::rules);
    for melodist in Melodist::ALL {
        host.commands.send(EditorCommand::UseMelodist { melodist, name: Some("nobody".into()) }).expect("it runs");
    }
    let heard = pass(&mut host, &stops(), &settings, usual_run());
    assert!(of_part(&heard, Part::Enhanced).is_empty() && of_part(&heard, Part::Extension).is_empty());
    assert!(of_part(&heard, Part::Bass).len() > 8, "the music goes on");
    let problem = host.problem().expect("it is told");
    assert!(problem.contains("nobody") && problem.ends_with("the melody is not enhanced."), "{problem}");
}

#[test]
fn strange_melodies_are_survived() {
    let note =
        |start: Ticks, key: i32| Note { start, key: Key::folded(key), duration: 6, velocity: Velocity::default() };
    let far = 40 * 48;
    for melody in [
        vec![note(0, 60)],
        (0..128).map(|key| note(24, key)).collect(),
        vec![note(0, 60), note(far, 62)],
        vec![note(3 * 48, 0), note(3 * 48 + 1, 127)],
    ] {
        let song = Song { melody, ..Song::default() };
        for follow in [Follow::Jam, Follow::Arrange] {
            for (add, remove, passes) in [(0, 0.0, 1), (32, 1.0, 16)] {
                let enhance = EnhanceSettings { add, remove, passes, risk: 2.0, feeds: true };
                let settings = Settings { follow, enhance, ..settings(&[Part::Enhanced, Part::Extension]) };
                let mut host = TestHost::threaded(band);
                pass(&mut host, &song, &settings, usual_run());
                let second = pass(&mut host, &song, &settings, usual_run());
                assert_eq!(pass(&mut host, &song, &settings, usual_run()), second, "it plays again");
                assert!(of_part(&second, Part::Extension).len() <= 4 * 4, "four bars of quarters at most");
            }
        }
    }
}
