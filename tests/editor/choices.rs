//! What is chosen from lists and menus, and the sound and the piano of the window.

use super::*;
use egui_kittest::kittest::By;
use obbligato::channels::Touch;
use obbligato::editor::window_size::USUAL;
use obbligato::generators::library;
use obbligato::links::Role as TrackRole;
use obbligato::music::Melodist;
use obbligato::runtime::{Device, DeviceChoice};
use obbligato::standalone::{self, Standalone};
use std::process::Command;

/// Chooses from a list by the beginning of what it says.
fn choose(window: &mut Window, list: &str, beginning: &str) {
    click(window, Role::ComboBox, list);
    let offered = By::new().predicate(|node| {
        node.role() == Role::Button && node.label().is_some_and(|label| label.starts_with(beginning))
    });
    window.get(offered).click();
    window.run();
}

fn touches(window: &mut Window) -> Vec<Touch> {
    window.state_mut().touches.by_ref().collect()
}

#[test]
fn the_sound_is_switched_on_and_turned() {
    let mut window = window();
    assert!(!window.state().params.preview.value(), "in a host it is off to begin with");
    assert!(window.query_by_role_and_label(Role::Slider, "Preview Level").is_none());
    click(&mut window, Role::CheckBox, "Sound");
    assert!(window.state().params.preview.value());
    assert_eq!(told(&window), "(Preview Sound=)");
    let before = window.state().params.preview_level.value();
    wheel_over(&mut window, "Preview Level", -1.0);
    assert!(window.state().params.preview_level.value() < before);
    assert_eq!(told(&window), "(Preview Level=)");
}

/// Whether this is the program is said once for a process; so the test asks in one of its own.
#[test]
fn the_program_has_its_sound_on_and_no_steps_for_hosts() {
    const ASKED: &str = "OBBLIGATO_TEST_OF_THE_PROGRAM";
    if std::env::var_os(ASKED).is_none() {
        let mut program = Command::new(std::env::current_exe().expect("it runs"));
        let name = "choices::the_program_has_its_sound_on_and_no_steps_for_hosts";
        let ended = program.args(["--exact", name]).env(ASKED, "1").output().expect("it runs");
        let said = String::from_utf8_lossy(&ended.stdout);
        assert!(ended.status.success() && said.contains("1 passed"), "{said}");
        return;
    }
    standalone::set(Standalone { has_audio: true, keyboard: None });
    let mut window = window_of(SongView::default(), vec2(1000.0, 760.0));
    assert!(window.state().params.preview.value());
    click(&mut window, Role::Button, "No sound?");
    window.get_by_label_contains("Play a note: the band begins with it.");
    assert!(window.query_by_role_and_label(Role::ComboBox, "From here to your instruments, in").is_none());
}

#[test]
fn the_piano_is_opened_and_played() {
    let mut window = window();
    let strip =
        |window: &Window| window.query_by_label_contains("Piano: play with the pointer").map(|node| node.rect());
    assert_eq!(strip(&window), None);
    window.key_press(Key::A);
    window.run();
    assert_eq!(touches(&mut window), [], "closed, it has no letters");
    click(&mut window, Role::Button, "Piano");
    let at = strip(&window).expect("it is open").left_center() + vec2(3.0, 20.0);
    window.drag_at(at);
    window.run();
    let down = touches(&mut window);
    assert!(matches!(down[..], [Touch::Down { .. }]), "{down:?}");
    window.drop_at(at);
    window.run();
    let up = touches(&mut window);
    assert!(matches!(up[..], [Touch::Up { .. }]), "{up:?}");
    window.key_press(Key::A);
    window.run();
    let letter = touches(&mut window);
    assert!(matches!(letter[..], [Touch::Down { .. }, Touch::Up { .. }]), "{letter:?}");
    click(&mut window, Role::Button, "Piano");
    assert_eq!(strip(&window), None);
}

#[test]
fn space_is_the_hosts_unless_a_control_needs_it() {
    let mut window = window();
    let is_left = |window: &Window| window.state().editor.leaves_space_to_host(&window.ctx);
    let roll = window.get_by(|node| node.label().is_some_and(|label| label.starts_with("Piano roll"))).rect();
    window.hover_at(roll.center());
    window.run();
    assert!(is_left(&window), "the timeline has keys of its own, and Space is none of them");
    window.get_by_role_and_label(Role::TextInput, "Chords").focus();
    window.run();
    assert!(!is_left(&window), "chords are typed with spaces");
    window.get_by_role_and_label(Role::CheckBox, "Melody thru").focus();
    window.run();
    assert!(!is_left(&window), "it switches what has the keyboard");
    window.get_by_role_and_label(Role::Slider, "Temperature").focus();
    window.run();
    assert!(is_left(&window), "a knob is turned with arrows");
    window.key_press(Key::Enter);
    window.run();
    assert!(!is_left(&window), "a value is typed");
    window.key_press(Key::Escape);
    window.run();
    click(&mut window, Role::Button, "Piano");
    let strip = window.get_by_label_contains("Piano: play with the pointer").rect();
    window.hover_at(strip.center());
    window.run();
    assert!(is_left(&window));
}

#[test]
fn another_model_is_chosen() {
    let mut window = window();
    choose(&mut window, "Model", "rules");
    let sent = sent(&window);
    let chosen = sent.iter().find_map(|command| match command {
        EditorCommand::UseGenerator(choice) => Some(choice.name.clone()),
        _ => None,
    });
    assert_eq!(chosen, Some(Some("rules".into())));
    let rerolled = |command: &EditorCommand| matches!(command, EditorCommand::Ledger(LedgerCommand::Reroll { .. }));
    assert!(sent.iter().any(rerolled), "what is not locked is written anew");
    assert_eq!(told(&window), "(Edits=)");
}

#[test]
fn another_device_is_chosen() {
    let mut window = window();
    choose(&mut window, "Device", "CPU");
    assert_eq!(window.state().params.device.choice(), DeviceChoice::One(Device::Cpu));
    assert_eq!(told(&window), "(Edits=)");
}

#[test]
fn who_works_on_the_melody_is_chosen() {
    let lists = [
        (Melodist::Enhancer, "Enhanced on", "Enhancer", library::enhancer_names()),
        (Melodist::Extender, "Extension on", "Extender", library::extender_names()),
    ];
    for (melodist, switch, list, names) in lists {
        // A build may come without these models.
        let Some(first) = names.first() else { continue };
        let mut window = window_of(song(8), vec2(1000.0, 860.0));
        click(&mut window, Role::CheckBox, switch);
        sent(&window);
        choose(&mut window, list, if first == list { "built in" } else { first });
        let wanted = EditorCommand::UseMelodist { melodist, name: Some(first.clone()) };
        assert!(sent(&window).contains(&wanted), "{list}");
    }
}

#[test]
fn a_track_plays_the_band_a_part_of_it_or_its_chords() {
    let mut window = window();
    let rows = |window: &Window| {
        let on = |part: &Part| window.query_by_role_and_label(Role::CheckBox, &format!("{} on", part.name())).is_some();
        Part::ALL.into_iter().filter(on).collect::<Vec<_>>()
    };
    for role in TrackRole::all() {
        click(&mut window, Role::RadioButton, &format!("This track plays: {}", role.name()));
        assert_eq!(window.state().params.link.get().role, role);
        let expected = match role {
            TrackRole::Band => Part::ALL.to_vec(),
            TrackRole::Part(part) => vec![part],
            TrackRole::ChordTrack => vec![],
        };
        assert_eq!(rows(&window), expected);
    }
    assert!(told(&window).ends_with("(Edits=)"));
    let number = window.get_by_role_and_label(Role::SpinButton, "of band");
    number.set_value_accesskit(3.0);
    window.run();
    assert_eq!(window.state().params.link.get().band.get(), 3);
    assert_eq!(told(&window), "(Edits=)");
}

#[test]
fn the_window_takes_its_usual_size() {
    let mut window = window_of(song(8), vec2(640.0, 420.0));
    click(&mut window, Role::Button, "View");
    click(&mut window, Role::Button, "Usual window size");
    assert_eq!(window.ctx.content_rect().size(), vec2(USUAL.0, USUAL.1));
}

#[test]
fn a_preset_is_saved_under_its_name_and_comes_back() {
    let mut window = window();
    wheel_over(&mut window, "Temperature", 5.0);
    let kept = settings(&window).temperature;
    click(&mut window, Role::Button, "Presets");
    window.get_by_role_and_label(Role::TextInput, "Name of a new preset").focus();
    window.run();
    window.event(Event::Text("Evening".into()));
    window.run();
    click(&mut window, Role::Button, "Save");
    window.get_by_label_contains("Preset “Evening” is saved.");
    assert!(window.state().presets.join("Evening.json").is_file());
    wheel_over(&mut window, "Temperature", -5.0);
    click(&mut window, Role::Button, "Presets");
    click(&mut window, Role::Button, "Evening");
    assert!((settings(&window).temperature - kept).abs() < 0.006, "as exactly as it is shown");
}

#[test]
fn every_preset_is_reached_in_a_low_window() {
    let mut window = window_of(song(8), vec2(640.0, 420.0));
    click(&mut window, Role::Button, "Presets");
    let name = window.get_by_role_and_label(Role::TextInput, "Name of a new preset").rect();
    assert!(name.bottom() < 420.0, "{name:?}");
}

#[test]
fn where_there_is_nothing_to_save_the_window_says_so() {
    let mut window = window_of(SongView::default(), vec2(1000.0, 760.0));
    click(&mut window, Role::Button, "File");
    click(&mut window, Role::Button, "Save the song as MIDI…");
    window.get_by_label("There is nothing to save yet: play a melody first.");
}

#[test]
fn the_routing_check_has_the_steps_of_the_host_that_is_chosen() {
    let mut window = window_of(SongView::default(), vec2(1000.0, 760.0));
    click(&mut window, Role::Button, "No sound?");
    assert!(window.query_by_label_contains("Put Obbligato first in the track's FX").is_none());
    choose(&mut window, "From here to your instruments, in", "Reaper");
    window.get_by_label_contains("Put Obbligato first in the track's FX");
}

#[test]
fn the_melody_is_carried_on_with_the_likeliest_notes() {
    let mut window = window_of(song(8), vec2(1000.0, 860.0));
    click(&mut window, Role::CheckBox, "Extension on");
    click(&mut window, Role::RadioButton, "Extend Sampling: Top k");
    assert_eq!(settings(&window).extend.sampling, Sampling::TopK);
}

#[test]
fn what_the_pointer_rests_on_is_explained() {
    let mut window = window();
    let told = |window: &mut Window, at: Pos2, words: &str| {
        window.hover_at(at);
        window.run_steps(90);
        window.query_by_label_contains(words).is_some()
    };
    let panic = window.get_by_role_and_label(Role::Button, "Panic").rect().center();
    assert!(told(&mut window, panic, "Silences everything"));
    let roll = window.get_by(|node| node.label().is_some_and(|label| label.starts_with("Piano roll"))).rect();
    assert!(told(&mut window, roll.left_top() + vec2(20.0, 24.0), "Bar 1, arranged"));
    assert!(!told(&mut window, panic, "Bar 1, arranged"), "it goes when the pointer does");
}
