//! The built `.clap` in a host: what a listener or a host would notice. `cargo xtask test` builds it first.

mod common;

use common::{
    BLOCK_SIZE, Render, Running, SAMPLE_RATE, assert_clean, assert_every_bar_answered, assert_reports_no_latency,
    changing_tune, clap, every_part_on, on_grid, survive_a_wild_host, tune, turned_knobs, without_thru, workspace,
};
use obbligato::midi_file;
use obbligato::music::{Note, Part, Song};
use serde_json::json;
use std::process::Command;
use std::time::Duration;
use xtask::host::clap::ClapPlugin;
use xtask::host::{
    BlockProcessor, EngineReport, HostBlock, HostTransport, HostedPlugin, Message, PlayOptions, RenderMode, SongPlayer,
    Timed, parameter_number,
};

#[test]
fn the_bundle_holds_a_note_effect() {
    let plugins = ClapPlugin::list(&workspace().clap()).expect("`cargo xtask test` builds the bundle");
    let [(id, features)] = plugins.as_slice() else { panic!("one plugin, not {plugins:?}") };
    assert_eq!(id, "org.obbligato.obbligato");
    assert_eq!(features.first().map(String::as_str), Some("note-effect"));
}

#[test]
fn hosts_see_every_parameter_under_its_lasting_number() {
    let parameters = clap().parameters();
    let part_parameters = ["on", "channel", "octave", "velocity", "density", "solo", "lock"];
    let of_parts = Part::ALL.iter().flat_map(|part| part_parameters.map(|what| format!("{}_{what}", part.id())));
    let general = "temperature style density follow count_in count_in_band chord_input split_key chord_channel thru \
                   bypass panic edits preview preview_level enhance_risk enhance_add enhance_remove enhance_passes enhance_feeds \
                   extend_when extend_risk extend_sampling extend_listen extend_bars extend_from";
    let ids = general.split_whitespace().map(str::to_owned).chain(of_parts);
    let mut expected: Vec<u32> = ids.map(|id| parameter_number(&id)).collect();
    let mut seen: Vec<u32> = parameters.iter().map(|parameter| parameter.number).collect();
    expected.sort_unstable();
    seen.sort_unstable();
    assert_eq!(seen, expected, "{parameters:?}");
}

#[test]
fn values_read_as_people_write_them() {
    let mut plugin = clap();
    for (id, text) in [
        ("style", "Hymn"),
        ("temperature", "0.80"),
        ("follow", "Arrange"),
        ("bass_octave", "-2"),
        ("chord_input", "Split"),
        ("split_key", "F#3"),
    ] {
        let value = plugin.parameter_from_text(id, text).expect("the text is in range");
        assert_eq!(plugin.parameter_text(id, value).expect("each value has a text"), text);
    }
    assert!(plugin.parameter_from_text("style", "Polka").is_err());
}

/// Neither an event nor its sample, nor the order of those at one sample.
#[test]
fn block_size_changes_nothing() {
    // Blocks of one sample cost the most, so that song is short, and nothing is counted in.
    for (song, count_in, sizes) in [
        (tune(2), 0.0, vec![1, 17, 64]),
        (tune(6), 0.5, vec![17, 32, 64, 480, 512, 4096, 8192]),
        (changing_tune(), 0.0, vec![17, 32, 512, 4096, 8192]),
    ] {
        let play = |block_size| {
            // A new instance each time: one that has heard the song before plays it differently.
            let mut plugin = clap();
            every_part_on(&mut plugin);
            plugin.set_parameter("count_in", count_in).expect("it counts in");
            let recording = Render { block_size, ..Render::whole(&song, 1) }.play(&mut plugin, &song);
            assert_clean(&recording, &format!("blocks of {block_size}"));
            assert_every_bar_answered(&recording, 0, &song);
            let by_rule = EngineReport::settled(&mut plugin).expect("it reports").generator == "Rules";
            assert!(!by_rule, "a model plays");
            recording.sent
        };
        let reference = play(512);
        for size in sizes {
            assert_eq!(play(size), reference, "blocks of {size}");
        }
    }
}

#[test]
fn block_size_changes_nothing_where_knobs_are_turned_inside_blocks() {
    let song = changing_tune();
    let play = |block_size| {
        let mut plugin = clap();
        every_part_on(&mut plugin);
        let render = Render { block_size, automation: turned_knobs(), ..Render::whole(&song, 1) };
        let recording = render.play(&mut plugin, &song);
        assert_clean(&recording, &format!("blocks of {block_size}"));
        on_grid(&recording, 0)
    };
    let reference = play(512);
    let bass = |notes: &[(u8, Note)], ticks: std::ops::Range<i32>| {
        notes
            .iter()
            .filter(|(channel, note)| *channel == Part::Bass.default_channel() && ticks.contains(&note.start))
            .count()
    };
    assert_eq!(bass(&reference, 64..132), 0, "switched off at 5.31");
    assert!(bass(&reference, 132..230) > 0, "and on at 11.03");
    for size in [17, 32, 64, 480, 512, 4096, 8192] {
        assert_eq!(play(size), reference, "blocks of {size}");
    }
}

/// Two tracks that a host calls one after the other in each block; the melody is on the first's.
struct Tracks<'a> {
    melody: &'a mut dyn BlockProcessor,
    other: &'a mut dyn BlockProcessor,
    other_first: bool,
}

impl BlockProcessor for Tracks<'_> {
    fn process(&mut self, block: &HostBlock<'_>, output: &mut Vec<Timed>) -> anyhow::Result<()> {
        let silent = HostBlock { input: &[], ..*block };
        if self.other_first {
            self.other.process(&silent, output)?;
        }
        self.melody.process(block, output)?;
        if !self.other_first {
            self.other.process(&silent, output)?;
        }
        output.sort_by_key(|timed| timed.timing);
        Ok(())
    }
}

/// What a band and the instance that plays a part of it send in a render of a song.
fn rendered_together(band: &mut ClapPlugin, part: &mut ClapPlugin, song: &Song, part_first: bool) -> Vec<(u8, Note)> {
    for plugin in [&mut *band, &mut *part] {
        plugin.activate(SAMPLE_RATE, BLOCK_SIZE, RenderMode::Offline).expect("the plugin starts");
    }
    // Instances look for each other every ten milliseconds.
    std::thread::sleep(Duration::from_millis(500));
    let stretches = vec![SongPlayer::of_song(song).whole()];
    let options = PlayOptions { sample_rate: SAMPLE_RATE, block_size: BLOCK_SIZE, stretches, live: false };
    let mut tracks = Tracks {
        melody: band.processor().expect("it is active"),
        other: part.processor().expect("it is active"),
        other_first: part_first,
    };
    let recording = SongPlayer::of_song(song).play_to(&mut tracks, &options, &|_| {}).expect("both process");
    assert_clean(&recording, "two tracks");
    on_grid(&recording, 0)
}

#[test]
fn an_instance_on_another_track_plays_a_part_of_the_band_also_after_saving_and_loading() {
    const CHANNEL: u8 = 11;
    let song = tune(8);
    let (mut band, mut part) = (clap(), clap());
    for plugin in [&mut band, &mut part] {
        without_thru(plugin);
        every_part_on(plugin);
    }
    part.set_parameter("bass_channel", f64::from(CHANNEL) / 15.0).expect("it has a channel");
    let alone = on_grid(&Render::whole(&song, 1).play(&mut band, &song), 0);
    let elsewhere = |channel| if channel == Part::Bass.default_channel() { CHANNEL } else { channel };
    let mut expected: Vec<(u8, Note)> = alone.iter().map(|(channel, note)| (elsewhere(*channel), *note)).collect();
    expected.sort_unstable();
    assert!(expected.iter().filter(|(channel, _)| *channel == CHANNEL).count() > 8);
    // A number of their own: all bands of this process can find each other, those of tests that run meanwhile too.
    for (plugin, link) in [(&mut band, "band 7"), (&mut part, "bass 7")] {
        let mut linked = plugin.save_state().expect("it saves");
        linked.set_field("link", &json!(link));
        plugin.load_state(&linked).expect("it loads");
    }
    for part_first in [false, true] {
        assert_eq!(rendered_together(&mut band, &mut part, &song, part_first), expected, "part first: {part_first}");
    }
    // The project is closed and opened again; now the part is loaded first.
    let saved = [&mut band, &mut part].map(|plugin| plugin.save_state().expect("it saves"));
    drop((band, part));
    let mut part = clap();
    part.load_state(&saved[1]).expect("it loads");
    let mut band = clap();
    band.load_state(&saved[0]).expect("it loads");
    for part_first in [false, true] {
        assert_eq!(rendered_together(&mut band, &mut part, &song, part_first), expected, "part first: {part_first}");
    }
    // Without the part the band plays it again.
    drop(part);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(on_grid(&Render::whole(&song, 1).play(&mut band, &song), 0), alone);
}

#[test]
fn sample_rate_changes_nothing() {
    let song = tune(4);
    let play = |sample_rate| {
        let recording = Render { sample_rate, ..Render::whole(&song, 1) }.play(&mut clap(), &song);
        on_grid(&recording, 0)
    };
    let reference = play(48_000.0);
    for rate in [8_000.0, 44_100.0, 192_000.0] {
        assert_eq!(play(rate), reference, "{rate} Hz");
    }
}

#[test]
fn it_reports_no_latency() {
    assert_reports_no_latency(&mut clap());
}

#[test]
fn every_note_is_released_at_stop_and_jump() {
    let song = tune(8);
    for (what, stretches) in [
        ("stop inside a bar", vec![0.0..9.3]),
        ("jump back, as a loop does", vec![4.0..12.0, 4.0..12.0, 4.0..12.0]),
        ("jump ahead inside a bar", vec![0.0..6.7, 17.1..22.9]),
        ("start inside a bar", vec![2.5..9.0]),
    ] {
        let mut plugin = clap();
        every_part_on(&mut plugin);
        let recording = Render::of(stretches).play(&mut plugin, &song);
        assert_clean(&recording, what);
        assert!(recording.sent.len() > 20, "{what}: the band plays");
    }
}

#[test]
fn every_note_is_released_after_the_host_deactivates() {
    let mut plugin = clap();
    every_part_on(&mut plugin);
    let mut running = Running::start(&mut plugin);
    running.play_until_sounding(&[0, Part::Bass.default_channel(), Part::Pad.default_channel()]);
    running.reactivate();
    assert_eq!(running.sounding(), []);
}

#[test]
fn parts_are_released_when_the_user_changes_them() {
    let [bass, chords] = [Part::Bass, Part::Chords].map(Part::default_channel);
    let mut plugin = clap();
    let mut running = Running::start(&mut plugin);
    running.play_until_sounding(&[bass, chords]);
    running.set("bass_on", 0.0);
    running.set("chords_channel", 1.0);
    running.play_on(0.1);
    assert!(!running.channels().contains(&bass) && !running.channels().contains(&chords), "{:?}", running.channels());
    running.play_until_sounding(&[15]);
    running.set("bypass", 1.0);
    running.play_on(0.1);
    assert!(running.channels().iter().all(|channel| *channel == 0), "{:?}", running.channels());
    running.set("bypass", 0.0);
    running.play_until_sounding(&[15]);
    running.stop();
    assert_eq!(running.sounding(), []);
}

#[test]
fn the_panic_switch_silences_everything_and_the_band_comes_back() {
    let band = [Part::Bass, Part::Chords].map(Part::default_channel);
    let mut plugin = clap();
    let mut running = Running::start(&mut plugin);
    running.play_until_sounding(&band);
    let before = running.sent.len();
    running.set("panic", 1.0);
    running.play_on(0.01);
    assert!(band.iter().all(|channel| !running.channels().contains(channel)), "{:?}", running.channels());
    let all_sound_off = |timed: &&Timed| matches!(timed.message, Message::Controller { number: 120, value: 0, .. });
    assert_eq!(running.sent[before..].iter().filter(all_sound_off).count(), 16, "a word to every channel");
    running.play_until_sounding(&band);
    running.stop();
    assert_eq!(running.sounding(), []);
}

#[test]
fn bypass_leaves_the_melody_and_nothing_else() {
    let song = tune(4);
    let mut plugin = clap();
    plugin.set_parameter("bypass", 1.0).expect("it has bypass");
    let recording = Render::whole(&song, 1).play(&mut plugin, &song);
    assert_clean(&recording, "bypassed");
    let melody: Vec<Note> = on_grid(&recording, 0).into_iter().map(|(_, note)| note).collect();
    assert_eq!(melody, song.melody);
}

#[test]
fn thru_passes_the_melody_and_its_controllers_at_their_sample() {
    let mut plugin = clap();
    let input = [
        Timed { timing: 3, message: Message::NoteOn { channel: 0, key: 72, velocity: 101 } },
        Timed { timing: 10, message: Message::Controller { channel: 0, number: 64, value: 127 } },
        Timed { timing: 11, message: Message::PitchBend { channel: 0, value: 12_345 } },
        Timed { timing: 40, message: Message::NoteOff { channel: 0, key: 72 } },
        Timed { timing: 63, message: Message::Controller { channel: 0, number: 64, value: 0 } },
    ];
    for (thru, expected) in [(1.0, &input[..]), (0.0, &[])] {
        plugin.set_parameter("thru", thru).expect("it has thru");
        plugin.activate(SAMPLE_RATE, 64, RenderMode::Realtime).expect("the plugin starts");
        let mut sent = Vec::new();
        let block = HostBlock { frames: 64, transport: HostTransport::standing(), input: &input };
        plugin.processor().expect("it is active").process(&block, &mut sent).expect("it processes");
        assert_eq!(sent, expected, "thru {thru}");
        plugin.deactivate();
    }
}

#[test]
fn saved_state_brings_back_the_same_music() {
    let song = tune(4);
    let mut first = clap();
    without_thru(&mut first);
    for (id, value) in [("style", 0.4), ("density", 0.8), ("pad_on", 1.0), ("bass_octave", 4.0 / 6.0)] {
        first.set_parameter(id, value).expect("it has the parameter");
    }
    let mut state = first.save_state().expect("it saves");
    state.set_field("seed", &json!(4711));
    state.set_field("plan", &json!("| Am F | C G |"));
    first.load_state(&state).expect("it loads");
    let music = on_grid(&Render::whole(&song, 1).play(&mut first, &song), 0);
    let chords: Vec<String> =
        EngineReport::settled(&mut first).expect("it reports").chords.into_iter().map(|chord| chord.name).collect();
    assert_eq!(chords[..4], ["Am", "F", "C", "G"]);
    let saved = first.save_state().expect("it saves");
    assert_eq!((saved.field("seed"), saved.field("plan")), (Some(json!(4711)), Some(json!("| Am F | C G |"))));

    let mut second = clap();
    second.load_state(&saved).expect("it loads");
    assert_eq!(second.save_state().expect("it saves").parameters(), saved.parameters());
    assert_eq!(on_grid(&Render::whole(&song, 1).play(&mut second, &song), 0), music);

    let mut other = clap();
    state.set_field("seed", &json!(4712));
    other.load_state(&state).expect("it loads");
    assert_ne!(on_grid(&Render::whole(&song, 1).play(&mut other, &song), 0), music, "another seed, another answer");
}

#[test]
fn a_damaged_state_is_refused_or_survived() {
    let song = tune(2);
    let mut plugin = clap();
    let mut state = plugin.save_state().expect("it saves");
    state.set_field("plan", &json!("| Xyz |"));
    plugin.load_state(&state).expect("an unreadable plan is kept to be mended");
    every_part_on(&mut plugin);
    let recording = Render::whole(&song, 1).play(&mut plugin, &song);
    assert_every_bar_answered(&recording, 0, &song);
    let problem = plugin.save_state().expect("it saves").report().expect("it reports").problem;
    assert!(problem.as_deref().is_some_and(|problem| problem.contains("Xyz")), "{problem:?}");
    state.set_field("seed", &json!("not a number"));
    // Whether it refuses or skips the field, it goes on.
    let _ = plugin.load_state(&state);
    assert_every_bar_answered(&Render::whole(&song, 1).play(&mut plugin, &song), 0, &song);
}

#[test]
fn wild_hosts_are_survived() {
    for seed in 1..=4 {
        survive_a_wild_host(&mut clap(), seed).unwrap_or_else(|error| panic!("seed {seed}: {error:#}"));
    }
}

#[test]
fn every_bar_of_a_long_song_is_answered_in_both_passes() {
    let song = tune(48);
    let mut plugin = clap();
    without_thru(&mut plugin);
    every_part_on(&mut plugin);
    plugin.set_parameter("follow", 1.0).expect("it arranges");
    let recording = Render { block_size: 4096, ..Render::whole(&song, 2) }.play(&mut plugin, &song);
    assert_clean(&recording, "48 bars twice");
    assert_every_bar_answered(&recording, 0, &song);
    assert_every_bar_answered(&recording, 1, &song);
    let report = EngineReport::settled(&mut plugin).expect("it reports");
    assert_eq!((report.late_segments, report.late_notes, report.dropped), (0, 0, 0));
    assert!(report.bars >= 96, "{} bars", report.bars);
}

#[test]
fn instances_do_not_hear_each_other() {
    let (song, other_song) = (tune(4), changing_tune());
    let alone = on_grid(&Render::whole(&song, 1).play(&mut clap(), &song), 0);
    std::thread::scope(|scope| {
        let other = scope.spawn(|| Render::whole(&other_song, 1).play(&mut clap(), &other_song));
        assert_eq!(on_grid(&Render::whole(&song, 1).play(&mut clap(), &song), 0), alone);
        assert_clean(&other.join().expect("it plays"), "the other");
    });
}

/// Plays in the plugin and in the command line program, and compares the written files' lines.
fn assert_same_as_command_line(song: &Song, follow: &str, flags: &[&str], set_up: impl Fn(&mut dyn HostedPlugin)) {
    let program = workspace().command_line();
    assert!(program.exists(), "there is no {}; `cargo xtask test` builds it", program.display());
    let folder =
        std::env::temp_dir().join(format!("obbligato-host-{}-{follow}-{}", std::process::id(), flags.concat().len()));
    std::fs::create_dir_all(&folder).expect("a writable temporary folder");
    let (input, output) = (folder.join("in.mid"), folder.join("out.mid"));
    std::fs::write(&input, midi_file::write(song, &[], &[], "in")).expect("a writable temporary folder");
    let run = Command::new(program)
        .arg("accompany")
        .arg(&input)
        .arg("-o")
        .arg(&output)
        .args(["--follow", follow])
        .args(flags)
        .output();
    let run = run.expect("the program starts");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let written = midi_file::read(&std::fs::read(&output).expect("the program wrote it")).expect("it is a MIDI file");
    std::fs::remove_dir_all(&folder).expect("it was made above");

    let mut plugin = clap();
    without_thru(&mut plugin);
    plugin.set_parameter("follow", if follow == "arrange" { 1.0 } else { 0.0 }).expect("it follows");
    set_up(&mut plugin);
    let passes = if follow == "arrange" { 2 } else { 1 };
    let recording = Render::whole(song, passes).play(&mut plugin, song);
    let end = (SongPlayer::of_song(song).whole().end * 12.0) as i32;
    let mut expected: Vec<(u8, Note)> = written
        .lines
        .iter()
        .filter(|line| line.name != "Melody")
        .flat_map(|line| line.notes.iter().map(|note| (note.channel, note.on_grid())))
        // The host stops at the last bar line.
        .map(|(channel, note)| (channel, Note { duration: note.duration.min(end - note.start), ..note }))
        .collect();
    expected.sort_unstable();
    // What is early in the bar that does not come any more has been struck already.
    let settled =
        |notes: Vec<(u8, Note)>| notes.into_iter().filter(|(_, note)| note.start < end - 2).collect::<Vec<_>>();
    let expected = settled(expected);
    assert_eq!(settled(on_grid(&recording, passes - 1)), expected, "{follow} {flags:?}");
    assert!(expected.len() > 20, "there is something to compare");
}

#[test]
fn jams_like_the_command_line() {
    assert_same_as_command_line(&tune(6), "jam", &["--seed", "7"], |plugin| {
        let mut state = plugin.save_state().expect("it saves");
        state.set_field("seed", &json!(7));
        plugin.load_state(&state).expect("it loads");
    });
}

#[test]
fn drums_like_the_command_line() {
    for follow in ["jam", "arrange"] {
        assert_same_as_command_line(&tune(6), follow, &["--parts", "bass,chords,pad,drums"], |plugin| {
            for part in [Part::Pad, Part::Drums] {
                plugin.set_parameter(&format!("{}_on", part.id()), 1.0).expect("each part has a switch");
            }
        });
    }
}

#[test]
fn arranges_like_the_command_line() {
    assert_same_as_command_line(&changing_tune(), "arrange", &[], |_| {});
    // Its four bars come round, twice.
    assert_same_as_command_line(&tune(12), "arrange", &[], |_| {});
    assert_same_as_command_line(
        &tune(6),
        "arrange",
        &["--style", "Hymn", "--chords", "| C | G/B | Am F | G |"],
        |plugin| {
            let hymn = plugin.parameter_from_text("style", "Hymn").expect("it is a style");
            plugin.set_parameter("style", hymn).expect("it has a style");
            let mut state = plugin.save_state().expect("it saves");
            state.set_field("plan", &json!("| C | G/B | Am F | G |"));
            plugin.load_state(&state).expect("it loads");
        },
    );
}
