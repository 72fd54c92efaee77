//! What is dragged: chords in their lane, and knobs that go while they are held.

use super::*;

fn lane(window: &Window) -> egui::Rect {
    window.get_by(|node| node.label().is_some_and(|label| label.starts_with("Chords: bars"))).rect()
}

/// Points to a bar, before anybody has zoomed.
const BAR: f32 = 70.0;

/// Where the chords are set that the window asks for.
fn set(window: &Window) -> Vec<Ticks> {
    let asked = sent(window).into_iter().find_map(|command| match command {
        EditorCommand::Ledger(LedgerCommand::SetChords(chords)) => Some(chords),
        _ => None,
    });
    asked.into_iter().flatten().map(|(segment, _)| segment.start()).collect()
}

#[test]
fn a_chord_is_dragged_by_its_name_to_another_bar() {
    let mut window = window();
    let from = lane(&window).left_top() + vec2(0.4 * BAR, 12.0);
    drag(&mut window, from, vec2(2.0 * BAR, 0.0));
    assert_eq!(set(&window), [96, 120]);
}

#[test]
fn a_chord_is_dragged_by_its_edge_to_last_longer() {
    let mut window = window();
    let from = lane(&window).left_top() + vec2(BAR - 2.0, 12.0);
    drag(&mut window, from, vec2(0.8 * BAR, 0.0));
    assert_eq!(set(&window), [0, 24, 48, 72]);
}

#[test]
fn escape_gives_a_dragged_chord_up() {
    let mut window = window();
    let from = lane(&window).left_top() + vec2(0.4 * BAR, 12.0);
    window.hover_at(from);
    window.step();
    window.drag_at(from);
    window.step();
    window.hover_at(from + vec2(2.0 * BAR, 0.0));
    window.step();
    window.key_press(Key::Escape);
    window.step();
    window.drop_at(from + vec2(2.0 * BAR, 0.0));
    window.run();
    assert_eq!(set(&window), [0; 0]);
}

#[test]
fn a_knob_that_goes_while_it_is_held_is_let_go() {
    let hold = |window: &mut Window, name: &str| {
        let at = dial(window, name).rect().center();
        window.hover_at(at);
        window.step();
        window.drag_at(at);
        window.step();
        window.hover_at(at - vec2(0.0, 40.0));
        window.step();
        assert!(!told(window).contains(')'), "it is held");
    };
    let mut window = window();
    hold(&mut window, "Temperature");
    let plugin = window.state_mut();
    plugin.editor.let_go(&plugin.context);
    assert_eq!(told(&window), ")", "the window is closed");

    let mut window = window_of(song(8), vec2(1000.0, 760.0));
    hold(&mut window, "Temperature");
    window.set_size(vec2(640.0, 420.0));
    window.step();
    assert_eq!(told(&window), ")", "the knobs make room for the timeline");
    window.drop_at(Pos2::ZERO);
    window.run();
    assert_eq!(told(&window), "", "and nothing more is told");
}
