//! The built `.vst3` in a host, and beside the `.clap`. `cargo xtask test` builds both first.

mod common;

use common::{
    Render, assert_clean, assert_every_bar_answered, assert_reports_no_latency, changing_tune, clap, every_part_on,
    on_grid, survive_a_wild_host, tune, turned_knobs, vst3, workspace,
};
use serde_json::json;
use xtask::host::vst3::Vst3Plugin;
use xtask::host::{HostBlock, HostTransport, HostedPlugin, Message, RenderMode, Timed};

#[test]
fn hosts_list_it_as_instrument_and_tool() {
    let categories = Vst3Plugin::categories(&workspace().vst3()).expect("`cargo xtask test` builds the bundle");
    assert_eq!(categories, "Instrument|Tools");
}

#[test]
fn both_formats_play_the_same_notes() {
    for (song, block_size) in [(tune(6), 512), (changing_tune(), 64)] {
        let (mut clap, mut vst3) = (clap(), vst3());
        let render = Render { block_size, ..Render::whole(&song, 1) };
        let played = [&mut clap as &mut dyn HostedPlugin, &mut vst3].map(|plugin| {
            every_part_on(plugin);
            let recording = render.play(plugin, &song);
            assert_clean(&recording, "a whole song");
            assert_every_bar_answered(&recording, 0, &song);
            on_grid(&recording, 0)
        });
        assert_eq!(played[0], played[1]);
    }
}

#[test]
fn both_formats_play_the_same_notes_where_knobs_are_turned_inside_blocks() {
    let song = changing_tune();
    let play = |plugin: &mut dyn HostedPlugin, block_size| {
        every_part_on(plugin);
        let render = Render { block_size, automation: turned_knobs(), ..Render::whole(&song, 1) };
        on_grid(&render.play(plugin, &song), 0)
    };
    let expected = play(&mut clap(), 512);
    for block_size in [32, 480, 8192] {
        assert_eq!(play(&mut vst3(), block_size), expected, "blocks of {block_size}");
    }
}

/// In VST3 the plugin does not learn in time that a render begins, and sees it by the clock. The band rests in the first bar,
/// since nothing has been heard.
#[test]
fn a_render_that_the_plugin_is_told_of_too_late_is_the_same() {
    let song = tune(6);
    let expected = on_grid(&Render::whole(&song, 1).play(&mut clap(), &song), 0);
    for block_size in [64, 1024] {
        let mut plugin = vst3().told_once();
        let recording = Render { block_size, ..Render::whole(&song, 1) }.play(&mut plugin, &song);
        assert_clean(&recording, "told too late");
        assert_eq!(on_grid(&recording, 0), expected, "blocks of {block_size}");
    }
}

/// A song that has been arranged strikes with the first sample.
#[test]
fn so_is_one_that_begins_with_music() {
    let song = tune(6);
    let mut first = clap();
    let passes = Render::whole(&song, 3).play(&mut first, &song);
    let (expected, saved) = (on_grid(&passes, 2), first.save_state().expect("it saves"));
    assert!(expected.iter().any(|(_, note)| note.start == 0), "the first bar is played");
    for block_size in [64, 1024] {
        let mut plugin = vst3().told_once();
        plugin.load_state(&saved).expect("it loads");
        let recording = Render { block_size, ..Render::whole(&song, 1) }.play(&mut plugin, &song);
        assert_clean(&recording, "told too late");
        assert_eq!(on_grid(&recording, 0), expected, "blocks of {block_size}");
    }
}

#[test]
fn it_reports_no_latency() {
    assert_reports_no_latency(&mut vst3());
}

#[test]
fn every_note_is_released_at_stop_and_jump() {
    let song = tune(6);
    let mut plugin = vst3();
    every_part_on(&mut plugin);
    let recording = Render::of([0.0..9.3, 4.0..9.3]).play(&mut plugin, &song);
    assert_clean(&recording, "a jump and a stop inside a bar");
    assert!(recording.sent.len() > 20, "the band plays");
}

#[test]
fn saved_state_brings_back_the_same_music_in_either_format() {
    let song = tune(4);
    let mut first = vst3();
    first.set_parameter("style", 0.2).expect("it has a style");
    let mut state = first.save_state().expect("it saves");
    state.set_field("seed", &json!(99));
    state.set_field("plan", &json!("| F | Bb C |"));
    first.load_state(&state).expect("it loads");
    let music = on_grid(&Render::whole(&song, 1).play(&mut first, &song), 0);
    let saved = first.save_state().expect("it saves");
    for plugin in [&mut vst3() as &mut dyn HostedPlugin, &mut clap()] {
        plugin.load_state(&saved).expect("it loads");
        assert_eq!(on_grid(&Render::whole(&song, 1).play(plugin, &song), 0), music);
    }
}

#[test]
fn thru_passes_the_melody_and_its_controllers() {
    let mut plugin = vst3();
    let input = [
        Timed { timing: 3, message: Message::NoteOn { channel: 0, key: 72, velocity: 101 } },
        Timed { timing: 10, message: Message::Controller { channel: 0, number: 64, value: 127 } },
        Timed { timing: 11, message: Message::PitchBend { channel: 0, value: 12_345 } },
        Timed { timing: 40, message: Message::NoteOff { channel: 0, key: 72 } },
    ];
    plugin.activate(48_000.0, 64, RenderMode::Realtime).expect("the plugin starts");
    let mut sent = Vec::new();
    let block = HostBlock { frames: 64, transport: HostTransport::standing(), input: &input };
    plugin.processor().expect("it is active").process(&block, &mut sent).expect("it processes");
    assert_eq!(sent, input);
}

#[test]
fn wild_hosts_are_survived() {
    for seed in 1..=4 {
        survive_a_wild_host(&mut vst3(), seed).unwrap_or_else(|error| panic!("seed {seed}: {error:#}"));
    }
}
