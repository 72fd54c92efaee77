//! The window at the sizes it may have: nothing covers anything, and everything can be come by.

use super::*;
use egui::Rect;

const SIZES: [Vec2; 4] = [vec2(980.0, 760.0), vec2(900.0, 600.0), vec2(700.0, 500.0), vec2(640.0, 420.0)];

/// What is switched on in the window.
#[derive(Debug, Clone, Copy)]
struct Shown {
    sound: bool,
    piano: bool,
    melodists: bool,
}

fn window_with(shown: Shown, size: Vec2) -> Window {
    let mut window = window_of(song(8), size);
    let params = window.state().params.clone();
    let host = window.state().host.clone();
    let context = host.context();
    let setter = context.param_setter();
    for (wanted, param) in [
        (shown.sound, &params.preview),
        (shown.melodists, &params.part(Part::Enhanced).on),
        (shown.melodists, &params.part(Part::Extension).on),
    ] {
        setter.set_parameter(param, wanted);
    }
    if shown.piano {
        click(&mut window, Role::Button, "Piano");
    }
    window.run();
    window
}

fn name_of(node: &Node<'_>) -> String {
    let node = node.accesskit_node();
    format!("{:?} {}", node.role(), node.label().unwrap_or_default())
}

/// Where each control is seen. Of those that are scrolled, what is in sight.
fn seen(window: &Window) -> Vec<(String, Rect)> {
    let scrolled = window.query_by_role_and_label(Role::ScrollView, "Knobs and parts");
    let within = |node: &Node<'_>| {
        let area = scrolled.as_ref()?;
        let ancestors = std::iter::successors(node.parent(), Node::parent);
        let id = area.accesskit_node().id();
        ancestors.into_iter().any(|ancestor| ancestor.accesskit_node().id() == id).then(|| area.rect())
    };
    let controls = window.query_all_by(|node| CONTROLS.contains(&node.role()));
    let seen = controls.map(|node| {
        let rect = within(&node).map_or(node.rect(), |area| node.rect().intersect(area));
        (name_of(&node), rect)
    });
    seen.filter(|(_, rect)| rect.is_positive()).collect()
}

#[test]
fn no_two_controls_overlap() {
    for (size, bits) in SIZES.into_iter().flat_map(|size| (0..8).map(move |bits| (size, bits))) {
        let shown = Shown { sound: bits & 1 != 0, piano: bits & 2 != 0, melodists: bits & 4 != 0 };
        let window = window_with(shown, size);
        let (controls, inside) = (seen(&window), Rect::from_min_size(Pos2::ZERO, size));
        assert!(controls.len() > 20, "{} at {size} with {shown:?}", controls.len());
        for (place, (name, rect)) in controls.iter().enumerate() {
            assert!(inside.contains_rect(*rect), "{name} at {rect:?} is outside of {size} with {shown:?}");
            for (other, covered) in &controls[..place] {
                let both = rect.shrink(0.5).intersect(covered.shrink(0.5));
                assert!(!both.is_positive(), "{name} and {other} cover each other at {size} with {shown:?}: {both:?}");
            }
        }
    }
}

#[test]
fn the_timeline_has_room_in_every_window() {
    for size in SIZES {
        let window = window_with(Shown { sound: true, piano: true, melodists: true }, size);
        let roll = window.get_by(|node| node.label().is_some_and(|label| label.starts_with("Piano roll")));
        assert!(roll.rect().height() >= 80.0, "{size}: {:?}", roll.rect());
    }
}

#[test]
fn a_low_window_begins_with_the_timeline_and_shows_knobs_and_parts_when_asked() {
    for (size, at_once) in SIZES.into_iter().zip([true, true, false, false]) {
        let mut window = window_of(song(8), size);
        let shows = |window: &Window| window.query_by_role_and_label(Role::Slider, "Temperature").is_some();
        let roll = |window: &Window| {
            window.get_by(|node| node.label().is_some_and(|label| label.starts_with("Piano roll"))).rect().height()
        };
        assert_eq!(shows(&window), at_once, "{size}");
        let before = roll(&window);
        click(&mut window, Role::Button, "Knobs and parts");
        assert_eq!(shows(&window), !at_once, "{size}");
        assert_eq!(roll(&window) > before, at_once, "{size}: the room is the timeline's");
        click(&mut window, Role::Button, "View");
        click(&mut window, Role::CheckBox, "Knobs and parts");
        assert_eq!(shows(&window), at_once, "{size}");
    }
}

#[test]
fn the_wheel_scrolls_to_the_parts_and_turns_what_the_pointer_was_brought_to() {
    let mut window = window_of(song(8), vec2(700.0, 560.0));
    let top = |window: &Window| dial(window, "Extension Velocity").rect().top();
    let (before, temperature) = (top(&window), settings(&window).temperature);
    let area = window.get_by_role_and_label(Role::ScrollView, "Knobs and parts").rect();
    // Right of the knobs there is nothing but room.
    wheel(&mut window, area.right_top() + vec2(-40.0, 60.0), -3.0);
    assert!(top(&window) < before - 20.0, "{} after {before}", top(&window));
    wheel(&mut window, area.right_top() + vec2(-40.0, 60.0), 30.0);
    assert_eq!(top(&window), before);
    wheel_over(&mut window, "Temperature", -1.0);
    assert!(settings(&window).temperature < temperature);
    assert_eq!(top(&window), before, "the knob keeps the wheel to itself");
}

/// With the Tab key alone one comes by every control that can be used, and sees each.
#[test]
fn everything_is_reached_by_keyboard() {
    for size in [vec2(1000.0, 760.0), vec2(700.0, 500.0)] {
        let mut window = window_with(Shown { sound: true, piano: false, melodists: true }, size);
        if window.query_by_role_and_label(Role::Slider, "Temperature").is_none() {
            click(&mut window, Role::Button, "Knobs and parts");
        }
        let usable = window.query_all_by(|node| CONTROLS.contains(&node.role()) && !node.is_disabled());
        let all: Vec<_> = usable.map(|node| node.accesskit_node().id()).collect();
        assert!(all.len() > 60, "{}", all.len());
        let mut reached = Vec::new();
        for _ in 0..all.len() + 10 {
            window.key_press(Key::Tab);
            window.run();
            let Some(focused) = window.query_by(|node| node.is_focused()) else { continue };
            let (name, in_sight) = (name_of(&focused), seen(&window));
            let whole = in_sight.iter().any(|(_, rect)| {
                (focused.rect().size() - rect.size()).length() < 1.0 && (rect.min - focused.rect().min).length() < 1.0
            });
            assert!(whole, "{name} at {:?} has the keyboard and is not seen at {size}", focused.rect());
            reached.push(focused.accesskit_node().id());
        }
        let missed = window.query_all_by(|node| {
            let id = node.id();
            all.contains(&id) && !reached.contains(&id)
        });
        let names: Vec<String> = missed.map(|node| name_of(&node)).collect();
        assert!(names.is_empty(), "not reached at {size}: {names:?}");
    }
}
