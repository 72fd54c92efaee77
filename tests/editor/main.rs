//! Every control of the window, pressed and turned as a user does, against what the host and the inference thread are told.

mod choices;
mod drags;
mod host;
mod sizes;
mod songs;

use crossbeam_channel::Receiver;
use egui::accesskit::Role;
use egui::{Event, Key, Modifiers, MouseWheelUnit, Pos2, TouchPhase, Vec2, vec2};
use egui_kittest::kittest::{NodeT, Queryable};
use egui_kittest::{Harness, Node};
use host::Host;
use nice_plug::context::gui::GuiContext;
use nice_plug::prelude::Param;
use obbligato::channels::{EditorCommand, Meters, PianoTouches, SharedView, SongView, connect_piano};
use obbligato::editor::window_size::WindowSize;
use obbligato::editor::{Choice, ObbligatoEditor, Order, carry_out, theme};
use obbligato::ledger::LedgerCommand;
use obbligato::music::{Part, PerPart, Ticks, Velocity};
use obbligato::params::ObbligatoParams;
use obbligato::settings::{ChordInput, CountInBand, ExtendWhen, Follow, Sampling, Settings};
use songs::song;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// What the window is opened on.
struct Plugin {
    editor: ObbligatoEditor,
    context: GuiContext,
    host: Arc<Host>,
    params: Arc<ObbligatoParams>,
    meters: Arc<Meters>,
    commands: Receiver<EditorCommand>,
    touches: PianoTouches,
    /// The user's own.
    presets: PathBuf,
}

impl Drop for Plugin {
    fn drop(&mut self) {
        // It is there only if a preset was saved.
        let _ = std::fs::remove_dir_all(&self.presets);
    }
}

/// What can be pressed, turned, typed into or drawn over.
const CONTROLS: [Role; 8] = [
    Role::Slider,
    Role::Button,
    Role::CheckBox,
    Role::RadioButton,
    Role::ComboBox,
    Role::TextInput,
    Role::SpinButton,
    Role::Canvas,
];

type Window = Harness<'static, Plugin>;

fn window_of(view: SongView, size: Vec2) -> Window {
    let (sender, commands) = crossbeam_channel::unbounded();
    let (shared, meters) = (SharedView::default(), Arc::<Meters>::default());
    shared.publish(view);
    let params = Arc::new(ObbligatoParams::new(sender, shared.clone(), meters.clone()));
    let host = Host::new(params.clone());
    let (keys, touches) = connect_piano();
    let presets = folder_for_presets();
    let editor = ObbligatoEditor::new(params.clone(), shared, meters.clone(), WindowSize::default());
    let editor = editor.with_piano(keys, false).with_presets_in(presets.clone());
    let plugin = Plugin { editor, context: host.context(), host, params, meters, commands, touches, presets };
    let builder = Harness::builder()
        .with_size(size)
        .with_step_dt(1.0 / 60.0)
        .with_max_steps(300)
        .with_context_setup(theme::apply);
    let mut window = builder.build_ui_state(|ui, plugin: &mut Plugin| plugin.editor.show(ui, &plugin.context), plugin);
    window.run();
    window
}

/// Another one for each window.
fn folder_for_presets() -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("obbligato-window-{}-{number}", std::process::id()))
}

fn window() -> Window {
    window_of(song(8), vec2(1000.0, 760.0))
}

fn dial<'a>(window: &'a Window, name: &'a str) -> Node<'a> {
    window.get_by_role_and_label(Role::Slider, name)
}

fn click(window: &mut Window, role: Role, name: &str) {
    window.get_by_role_and_label(role, name).click();
    window.run();
}

fn told(window: &Window) -> String {
    window.state().host.told()
}

fn sent(window: &Window) -> Vec<EditorCommand> {
    window.state().commands.try_iter().collect()
}

fn settings(window: &Window) -> Settings {
    window.state().params.settings()
}

/// A dial's name, and what it stands at, 0..=1: read from the parameters, of a part where it has one.
type Dial = (String, fn(&ObbligatoParams, Part) -> f32, Part);

/// All dials.
fn dials() -> Vec<Dial> {
    fn of<P: Param>(param: &P) -> f32 {
        param.unmodulated_normalized_value()
    }
    let mut dials: Vec<Dial> = vec![
        ("Temperature".into(), |params, _| of(&params.temperature), Part::Bass),
        ("Style".into(), |params, _| of(&params.style), Part::Bass),
        ("Density".into(), |params, _| of(&params.density), Part::Bass),
        ("Count-in".into(), |params, _| of(&params.count_in), Part::Bass),
    ];
    for part in Part::ALL {
        if part.is_of_band() {
            dials.push((format!("{} Density", part.name()), |params, part| of(&params.part(part).density), part));
        }
        dials.push((format!("{} Octave", part.name()), |params, part| of(&params.part(part).octave), part));
        dials.push((format!("{} Velocity", part.name()), |params, part| of(&params.part(part).velocity), part));
        dials.push((format!("{} Channel", part.name()), |params, part| of(&params.part(part).channel), part));
    }
    dials
}

fn drag(window: &mut Window, from: Pos2, by: Vec2) {
    window.hover_at(from);
    window.step();
    window.drag_at(from);
    window.step();
    for part in [0.3, 0.6, 1.0] {
        window.hover_at(from + part * by);
        window.step();
    }
    window.drop_at(from + by);
    window.run();
}

fn wheel(window: &mut Window, at: Pos2, notches: f32) {
    window.hover_at(at);
    window.step();
    let (unit, phase, source) = (MouseWheelUnit::Line, TouchPhase::Move, egui::MouseWheelSource::Unknown);
    let (delta, modifiers) = (vec2(0.0, notches), Modifiers::NONE);
    window.event(Event::MouseWheel { unit, delta, phase, source, modifiers });
    window.run();
}

fn wheel_over(window: &mut Window, name: &str, notches: f32) {
    let at = dial(window, name).rect().center();
    wheel(window, at, notches);
}

#[test]
fn every_dial_is_dragged_within_one_gesture() {
    let mut window = window();
    for (name, value, part) in dials() {
        let before = value(&window.state().params, part);
        let from = dial(&window, &name).rect().center();
        let by = if before < 0.5 { vec2(0.0, -90.0) } else { vec2(0.0, 90.0) };
        drag(&mut window, from, by);
        let after = value(&window.state().params, part);
        assert!(if before < 0.5 { after > before } else { after < before }, "{name}: {before} to {after}");
        let told = told(&window);
        assert!(told.starts_with(&format!("({name}=")) && told.ends_with(')'), "{name}: {told}");
        assert_eq!((told.matches('(').count(), told.matches(')').count()), (1, 1), "{name}: {told}");
    }
}

#[test]
fn shift_drags_ten_times_finer() {
    let moved = |modifiers: Modifiers| {
        let mut window = window();
        window.event(Event::ModifiersChanged(modifiers));
        let from = dial(&window, "Temperature").rect().center();
        let before = settings(&window).temperature;
        drag(&mut window, from, vec2(0.0, 60.0));
        before - settings(&window).temperature
    };
    let (coarse, fine) = (moved(Modifiers::NONE), moved(Modifiers::SHIFT));
    assert!(coarse > 0.4 && fine > 0.02 && fine < coarse / 5.0, "{coarse} and {fine}");
}

#[test]
fn the_wheel_and_the_arrows_turn_every_dial_by_a_notch_and_a_double_click_turns_it_back() {
    let mut window = window();
    for (name, value, part) in dials() {
        let at = dial(&window, &name).rect().center();
        let now = |window: &Window| value(&window.state().params, part);
        let default = now(&window);
        let up = default < 0.9;
        wheel(&mut window, at, if up { 1.0 } else { -1.0 });
        let wheeled = now(&window);
        assert!((wheeled > default) == up && wheeled != default, "{name}: {default} to {wheeled}");
        assert_eq!(told(&window), format!("({name}=)"), "by the wheel");
        dial(&window, &name).focus();
        window.run();
        window.key_press(if up { Key::ArrowUp } else { Key::ArrowDown });
        window.run();
        assert!((now(&window) > wheeled) == up && now(&window) != wheeled, "{name} by key");
        assert_eq!(told(&window), format!("({name}=)"), "by key");
        for _ in 0..2 {
            window.drag_at(at);
            window.step();
            window.drop_at(at);
            window.step();
        }
        window.run();
        assert!((now(&window) - default).abs() < 1e-4, "{name} back at {default}: {}", now(&window));
        told(&window);
    }
}

#[test]
fn every_dial_takes_a_typed_value() {
    let mut window = window();
    for (name, typed, expected) in [
        ("Temperature", "1.5", "1.50"),
        ("Style", "hymn", "Hymn"),
        ("Density", "70", "70 %"),
        ("Count-in", "2", "2 bars"),
        ("Bass Octave", "-2", "-2"),
        ("Drums Velocity", "150 %", "150 %"),
        ("Pad Channel", "7", "7"),
    ] {
        dial(&window, name).focus();
        window.run();
        window.key_press(Key::Enter);
        window.run();
        let field = window.get_by_role_and_label(Role::TextInput, name);
        field.focus();
        window.key_press_modifiers(Modifiers::COMMAND, Key::A);
        window.event(Event::Text(typed.into()));
        window.run();
        window.key_press(Key::Enter);
        window.run();
        assert_eq!(dial(&window, name).value().as_deref(), Some(expected), "{name}");
        assert_eq!(told(&window), format!("({name}=)"));
    }
    dial(&window, "Temperature").focus();
    window.run();
    window.event(Event::Text("0".into()));
    window.run();
    assert!(window.query_by_role_and_label(Role::TextInput, "Temperature").is_some(), "a digit opens the field");
    window.event(Event::Text("x".into()));
    window.key_press(Key::Enter);
    window.run();
    assert!(window.query_by_role_and_label(Role::TextInput, "Temperature").is_some(), "rubbish is not taken");
    window.key_press(Key::Escape);
    window.run();
    assert_eq!(dial(&window, "Temperature").value().as_deref(), Some("1.50"));
}

#[test]
fn the_right_button_offers_to_type_and_to_turn_back() {
    let mut window = window();
    wheel_over(&mut window, "Density", 3.0);
    dial(&window, "Density").click_secondary();
    window.run();
    click(&mut window, Role::Button, "Back to the default");
    assert_eq!(settings(&window).density, 0.5);
    dial(&window, "Density").click_secondary();
    window.run();
    click(&mut window, Role::Button, "Type a value…");
    assert!(window.query_by_role_and_label(Role::TextInput, "Density").is_some());
}

#[test]
fn a_screen_reader_can_set_every_dial() {
    let mut window = window();
    for (name, value, part) in dials() {
        dial(&window, &name).set_value_accesskit(0.0);
        window.run();
        assert_eq!(value(&window.state().params, part), 0.0, "{name}");
        dial(&window, &name).increment_accesskit();
        window.run();
        assert!(value(&window.state().params, part) > 0.0, "{name}");
        let told = told(&window);
        let (begun, ended) = (told.matches('(').count(), told.matches(')').count());
        assert!(begun == ended && begun >= 1, "{name}: {told}");
    }
}

#[test]
fn every_part_has_its_switches() {
    let mut window = window();
    for part in Part::ALL {
        let name = part.name();
        let before = settings(&window).parts[part];
        for (role, label) in [
            (Role::CheckBox, format!("{name} on")),
            (Role::Button, format!("{name} Solo")),
            (Role::Button, format!("{name} Lock")),
        ] {
            click(&mut window, role, &label);
            let told = told(&window);
            assert!(told.starts_with('(') && told.ends_with("=)") && told.matches('(').count() == 1, "{label}: {told}");
        }
        let after = settings(&window).parts[part];
        assert_eq!((after.on, after.solo, after.locked), (!before.on, !before.solo, !before.locked), "{name}");
    }
}

#[test]
fn who_works_on_the_melody_has_a_row_while_the_part_is_on() {
    let mut window = window_of(song(8), vec2(980.0, 860.0));
    let is_seen = |node: Node<'_>| assert!(node.rect().right() < 966.0, "at {:?}", node.rect());
    let enhance = ["Enhance Add", "Enhance Remove", "Enhance Passes", "Enhance Risk"];
    let extend = ["Extend Bars", "Extend Listen", "Extend Risk"];
    for name in enhance.iter().chain(&extend) {
        assert!(window.query_by_role_and_label(Role::Slider, name).is_none(), "{name}: nobody has asked for it");
    }
    click(&mut window, Role::CheckBox, "Enhanced on");
    click(&mut window, Role::CheckBox, "Extension on");
    told(&window);
    let usual = settings(&window);
    for name in enhance.into_iter().chain(extend) {
        let dial = dial(&window, name);
        dial.set_value_accesskit(0.0);
        window.run();
        assert!(told(&window).starts_with(&format!("({name}=")), "{name}");
    }
    let now = settings(&window);
    assert_eq!((now.enhance.add, now.enhance.remove, now.enhance.passes, now.enhance.risk), (0, 0.0, 0, 0.0));
    assert_eq!((now.extend.bars, now.extend.listen, now.extend.risk), (1, 1, 0.0));
    assert_ne!((now.enhance, now.extend), (usual.enhance, usual.extend));
    click(&mut window, Role::CheckBox, "Band plays to it");
    assert!(settings(&window).enhance.feeds);
    click(&mut window, Role::RadioButton, "Extend Sampling: Random");
    click(&mut window, Role::RadioButton, "Extend When: Call and response");
    let now = settings(&window).extend;
    assert_eq!((now.sampling, now.when), (Sampling::Random, ExtendWhen::CallAndResponse));
    assert!(window.query_by_role_and_label(Role::Slider, "Extend From").is_none());
    click(&mut window, Role::RadioButton, "Extend When: From a bar");
    is_seen(dial(&window, "Extend From"));
    is_seen(window.get_by_role_and_label(Role::RadioButton, "Extend Sampling: Random"));
}

#[test]
fn a_part_is_rolled_again_everywhere_or_in_the_selected_bars_and_not_while_it_is_locked() {
    let mut window = window();
    let rolled = |window: &Window| {
        let rolls = sent(window).into_iter().filter_map(|command| match command {
            EditorCommand::Ledger(LedgerCommand::Reroll { bars, parts }) => Some((bars, parts)),
            _ => None,
        });
        rolls.collect::<Vec<_>>()
    };
    let only = |part| PerPart::from_fn(|each| each == part);
    click(&mut window, Role::Button, "Re-roll Drums");
    assert_eq!(rolled(&window), [(Ticks::MIN..Ticks::MAX, only(Part::Drums))]);
    assert_eq!(told(&window), "(Edits=)", "the host is to ask before it is lost");
    let roll = window.get_by(|node| node.label().is_some_and(|label| label.starts_with("Piano roll")));
    let inside = roll.rect().left_center() + vec2(80.0, 0.0);
    window.drag_at(inside);
    window.step();
    window.drop_at(inside);
    window.run();
    click(&mut window, Role::Button, "Re-roll Bass");
    assert_eq!(rolled(&window), [(48..49, only(Part::Bass))]);
    click(&mut window, Role::Button, "Bass Lock");
    click(&mut window, Role::Button, "Re-roll Bass");
    assert_eq!(rolled(&window), []);
}

#[test]
fn ways_of_working_are_chosen_side_by_side() {
    let mut window = window();
    click(&mut window, Role::RadioButton, "Follow: Arrange");
    assert_eq!((settings(&window).follow, told(&window).as_str()), (Follow::Arrange, "(Follow=)"));
    click(&mut window, Role::RadioButton, "Count-in Band: Rests");
    assert_eq!(settings(&window).count_in_band, CountInBand::Rests);
    click(&mut window, Role::CheckBox, "Melody thru");
    assert!(!settings(&window).thru);
    for (name, input, value) in
        [("Channel", ChordInput::Channel, "Chord Channel"), ("Split", ChordInput::Split, "Split Key")]
    {
        click(&mut window, Role::RadioButton, &format!("Chord Input: {name}"));
        assert_eq!(settings(&window).chord_input, input);
        let before = dial(&window, value).value();
        wheel_over(&mut window, value, 1.0);
        assert_ne!(dial(&window, value).value(), before);
    }
}

#[test]
fn another_take_and_panic_reach_the_engine() {
    let mut window = window();
    click(&mut window, Role::Button, "Another take");
    assert_eq!((settings(&window).seed, told(&window).as_str()), (2, "(Edits=)"));
    click(&mut window, Role::Button, "Panic");
    assert_eq!(window.state().meters.panics.load(Ordering::Relaxed), 1);
}

#[test]
fn chords_are_typed_as_text() {
    let mut window = window();
    window.get_by_role_and_label(Role::TextInput, "Chords").focus();
    window.run();
    window.event(Event::Text("| Am | F |".into()));
    window.key_press(Key::Enter);
    window.run();
    assert_eq!(window.state().params.plan.text(), "| Am | F |");
    assert!(sent(&window).iter().any(|command| matches!(command, EditorCommand::SetPlan(plan) if plan.len() == 2)));
    assert_eq!(told(&window), "(Edits=)");
}

#[test]
fn a_preset_turns_the_knobs_and_leaves_the_wiring() {
    let mut window = window();
    wheel_over(&mut window, "Bass Channel", 1.0);
    let channel = settings(&window).parts[Part::Bass].channel;
    wheel_over(&mut window, "Pad Octave", 1.0);
    told(&window);
    click(&mut window, Role::Button, "Presets");
    click(&mut window, Role::Button, "Rock band");
    let after = settings(&window);
    let near = |value: f32, expected: f32| (value - expected).abs() < 1e-4;
    assert!(near(after.style, 8.0) && near(after.temperature, 1.1) && near(after.density, 0.6), "{after:?}");
    assert!(after.parts[Part::Drums].on && after.parts[Part::Pad].octave == 0, "what it does not name is as usual");
    assert_eq!(after.parts[Part::Bass].channel, channel);
    let told = told(&window);
    assert!(told.contains("(Style=)") && told.matches('(').count() == told.matches("=)").count(), "{told}");
}

#[test]
fn a_melody_that_is_loaded_goes_to_the_ledger_and_is_told_of() {
    let mut window = window();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/ode_to_joy.mid");
    let done = carry_out(Order::LoadMelody, Choice::File(example));
    let plugin = window.state_mut();
    plugin.editor.take_file(done, &plugin.context);
    window.run();
    let sent = sent(&window);
    let loaded = sent.iter().find_map(|command| match command {
        EditorCommand::Ledger(LedgerCommand::LoadMelody(bars)) => Some(bars.len()),
        _ => None,
    });
    assert_eq!((loaded, told(&window).as_str()), (Some(16), "(Edits=)"));
    let notice = window.get_by_label_contains("the melody of 16 bars is known");
    assert!(notice.value().or(notice.accesskit_node().label()).is_some_and(|text| text.contains("Choose Arrange")));
    click(&mut window, Role::Button, "OK");
    assert!(window.query_by_label_contains("16 bars is known").is_none());
}

#[test]
fn the_routing_check_says_what_is_missing() {
    let mut window = window_of(SongView::default(), vec2(1000.0, 760.0));
    click(&mut window, Role::Button, "No sound?");
    window.get_by_label("The host is not running this plugin.");
    window.get_by_label("No melody has arrived.");
    let meters = window.state().meters.clone();
    Meters::count(&meters.blocks);
    meters.melody.strike(Velocity::clamped(80));
    window.run();
    window.get_by_label("The host runs this plugin.");
    window.get_by_label_contains("A melody arrives: 1 note since");
}

#[test]
fn the_window_can_be_made_larger_for_the_eyes() {
    let mut window = window();
    click(&mut window, Role::Button, "View");
    click(&mut window, Role::RadioButton, "150 %");
    assert!((window.ctx.zoom_factor() - 1.5).abs() < 1e-6);
}

#[test]
fn every_control_has_a_name_for_screen_readers() {
    let window = window();
    let unnamed: Vec<String> = window
        .query_all_by(|node| {
            CONTROLS.contains(&node.role()) && node.label().is_none_or(|label| label.trim().is_empty())
        })
        .map(|node| format!("{:?} at {:?}", node.accesskit_node().role(), node.rect()))
        .collect();
    assert!(unnamed.is_empty(), "{unnamed:?}");
}

#[test]
fn nothing_is_painted_again_while_nothing_moves() {
    for size in [vec2(1000.0, 760.0), vec2(450.0, 300.0), vec2(1900.0, 1000.0)] {
        let mut window = window_of(song(30), size);
        assert!(window.run_ok().is_some(), "it comes to rest at {size}");
        window.state().meters.parts[Part::Bass].strike(Velocity::clamped(100));
        window.step();
        assert!(window.run_ok().is_some(), "the meter has fallen");
    }
}
