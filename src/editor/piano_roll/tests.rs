//! The timeline with a mouse and a keyboard, without a window.

use super::test_songs::{four, plan, settings, song};
use super::{CHORD_LANE, PianoRoll, Scene};
use crate::channels::SongView;
use crate::editor::theme;
use crate::ledger::LedgerCommand;
use crate::music::{ChordPlan, Part, PerPart, PlanSource, PlannedChord, Ticks};
use egui::{Event, Key, Modifiers, MouseWheelSource, MouseWheelUnit, PointerButton, Pos2, RawInput, Rect, TouchPhase};
use egui::{pos2, vec2};
use std::sync::Arc;
use std::time::Duration;

const SIZE: egui::Vec2 = vec2(900.0, 400.0);

/// A window with nothing but the timeline, its user, and what it has sent.
struct Window {
    context: egui::Context,
    roll: PianoRoll,
    view: Arc<SongView>,
    plan: ChordPlan,
    playhead: f64,
    playing: bool,
    sent: Vec<LedgerCommand>,
    /// What a screen reader is told of: each thing's name, its place, and whether it can be used.
    named: Vec<(String, Rect, bool)>,
    repaint_after: Duration,
    shapes: usize,
    modifiers: Modifiers,
}

impl Window {
    fn of(view: SongView) -> Self {
        let context = egui::Context::default();
        theme::apply(&context);
        context.enable_accesskit();
        let mut window = Self {
            context,
            roll: PianoRoll::default(),
            view: Arc::new(view),
            plan: ChordPlan::default(),
            playhead: 0.0,
            playing: false,
            sent: Vec::new(),
            named: Vec::new(),
            repaint_after: Duration::ZERO,
            shapes: 0,
            modifiers: Modifiers::NONE,
        };
        window.rest();
        window
    }

    fn frame(&mut self, mut events: Vec<Event>) {
        if self.context.input(|input| input.modifiers) != self.modifiers {
            events.insert(0, Event::ModifiersChanged(self.modifiers));
        }
        let screen_rect = Some(Rect::from_min_size(Pos2::ZERO, SIZE));
        let input = RawInput { screen_rect, events, focused: true, ..RawInput::default() };
        let (view, plan) = (&self.view, &self.plan);
        let scene = Scene { view, sung: &[], plan, parts: settings(), playhead: self.playhead, playing: self.playing };
        let (roll, sent) = (&mut self.roll, &mut self.sent);
        let mut output = self.context.run_ui(input, |ui| sent.extend(roll.show(ui, &scene, |_| {})));
        let viewport = output.viewport_output.values().next().expect("there is a window");
        (self.repaint_after, self.shapes) = (viewport.repaint_delay, output.shapes.len());
        let update = output.platform_output.accesskit_update.take().expect("it was asked for");
        let named = update.nodes.iter().filter_map(|(_, node)| {
            let (name, at) = (node.label().or(node.value())?.to_owned(), node.bounds()?);
            let rect = Rect::from_min_max(pos2(at.x0 as f32, at.y0 as f32), pos2(at.x1 as f32, at.y1 as f32));
            Some((name, rect, !node.is_disabled()))
        });
        self.named = named.collect();
        output.drop_without_applying_deltas();
    }

    /// Until everything that glides has come to rest.
    fn rest(&mut self) {
        (0..20).for_each(|_| self.frame(Vec::new()));
    }

    fn find(&self, name: &str) -> (Rect, bool) {
        let exactly = self.named.iter().find(|(known, ..)| known == name);
        let found = exactly.or_else(|| self.named.iter().find(|(known, ..)| known.starts_with(name)));
        let names = || self.named.iter().map(|(name, ..)| name.as_str()).collect::<Vec<_>>().join("; ");
        found.map(|(_, rect, enabled)| (*rect, *enabled)).unwrap_or_else(|| panic!("no {name} in: {}", names()))
    }

    fn button(&mut self, at: Pos2, pressed: bool) {
        let (button, modifiers) = (PointerButton::Primary, self.modifiers);
        let event = Event::PointerButton { pos: at, button, pressed, modifiers };
        self.frame(vec![Event::PointerMoved(at), event]);
    }

    fn click_at(&mut self, at: Pos2) {
        self.frame(vec![Event::PointerMoved(at)]);
        self.button(at, true);
        self.button(at, false);
        self.frame(Vec::new());
    }

    fn click(&mut self, name: &str) {
        let (rect, enabled) = self.find(name);
        assert!(enabled, "{name} can be pressed");
        self.click_at(rect.center());
    }

    fn drag(&mut self, from: Pos2, to: Pos2) {
        self.frame(vec![Event::PointerMoved(from)]);
        self.button(from, true);
        self.frame(vec![Event::PointerMoved(from.lerp(to, 0.5))]);
        self.frame(vec![Event::PointerMoved(to)]);
        self.button(to, false);
    }

    fn key(&mut self, key: Key, modifiers: Modifiers) {
        self.modifiers = modifiers;
        let event = |pressed| Event::Key { key, physical_key: None, pressed, repeat: false, modifiers };
        self.frame(vec![event(true)]);
        self.frame(vec![event(false)]);
        self.modifiers = Modifiers::NONE;
    }

    fn write(&mut self, text: &str) {
        self.frame(vec![Event::Text(text.into())]);
    }

    fn wheel(&mut self, at: Pos2, delta: egui::Vec2, modifiers: Modifiers) {
        self.modifiers = modifiers;
        let (unit, phase, source) = (MouseWheelUnit::Line, TouchPhase::Move, MouseWheelSource::Unknown);
        self.frame(vec![Event::PointerMoved(at)]);
        self.frame(vec![Event::MouseWheel { unit, delta, phase, source, modifiers }]);
        self.rest();
        self.modifiers = Modifiers::NONE;
    }

    fn point_at_roll(&mut self) {
        let at = self.find("Piano roll").0.center();
        self.frame(vec![Event::PointerMoved(at)]);
        self.frame(Vec::new());
    }

    /// The middle of a bar, in the roll or in the chord lane.
    fn in_bar(&self, lane: &str, index: i32) -> Pos2 {
        let (rect, _) = self.find(lane);
        let x = self.roll.viewport.x_of(f64::from(four(index).start) + 24.0);
        pos2(rect.left() + x, rect.bottom() - 10.0)
    }

    fn select(&mut self, first: i32, last: i32) {
        let (from, to) = (self.in_bar("Piano roll", first), self.in_bar("Piano roll", last));
        self.drag(from, to);
        self.frame(Vec::new());
    }

    fn selected(&self) -> String {
        self.roll.selection.map_or_else(|| "nothing".into(), |selected| selected.name())
    }

    fn sent(&mut self) -> Vec<LedgerCommand> {
        std::mem::take(&mut self.sent)
    }

    /// The view as another song, or the same one changed.
    fn now_shows(&mut self, view: SongView) {
        self.view = Arc::new(view);
        self.rest();
    }
}

/// Bars 3 and 4.
const BARS: std::ops::Range<Ticks> = 96..145;

fn all_parts() -> PerPart<bool> {
    PerPart([true; Part::COUNT])
}

fn only(part: Part) -> PerPart<bool> {
    PerPart::from_fn(|each| each == part)
}

#[test]
fn bars_are_selected_by_drawing_over_them() {
    let mut window = Window::of(song(8));
    window.select(2, 5);
    assert_eq!(window.selected(), "bars 3–6");
    window.select(5, 2);
    assert_eq!(window.selected(), "bars 3–6", "from right to left");
    let (fourth, seventh) = (window.in_bar("Piano roll", 3), window.in_bar("Chords", 6));
    window.click_at(fourth);
    assert_eq!(window.selected(), "bar 4");
    window.modifiers = Modifiers::SHIFT;
    window.click_at(window.in_bar("Piano roll", 1));
    window.modifiers = Modifiers::NONE;
    assert_eq!(window.selected(), "bars 2–4", "shift goes on from what was selected");
    window.click_at(seventh);
    assert_eq!(window.selected(), "bar 7", "another lane begins anew");
    assert_eq!(window.sent(), []);
}

#[test]
fn bars_are_selected_by_keys() {
    let mut window = Window::of(song(60));
    window.click_at(window.in_bar("Piano roll", 2));
    for (key, modifiers, expected) in [
        (Key::ArrowRight, Modifiers::SHIFT, "bars 3–4"),
        (Key::ArrowRight, Modifiers::SHIFT, "bars 3–5"),
        (Key::ArrowLeft, Modifiers::SHIFT, "bars 3–4"),
        (Key::ArrowRight, Modifiers::NONE, "bar 5"),
        (Key::ArrowLeft, Modifiers::NONE, "bar 4"),
        (Key::End, Modifiers::NONE, "bar 60"),
        (Key::Home, Modifiers::NONE, "bar 1"),
        (Key::A, Modifiers::COMMAND, "bars 1–60"),
        (Key::Escape, Modifiers::NONE, "nothing"),
    ] {
        window.key(key, modifiers);
        assert_eq!(window.selected(), expected, "{key:?}");
    }
}

#[test]
fn what_the_keys_select_comes_into_sight() {
    let mut window = Window::of(song(60));
    window.click_at(window.in_bar("Piano roll", 2));
    window.key(Key::End, Modifiers::NONE);
    let last = f64::from(four(59).start);
    assert!(window.roll.viewport.visible().contains(&last) && !window.roll.follow);
    window.key(Key::Home, Modifiers::NONE);
    assert!(window.roll.viewport.visible().contains(&0.0));
}

#[test]
fn keys_and_buttons_send_commands() {
    let mut window = Window::of(SongView { steps: (1, 1), ..song(8) });
    window.select(2, 3);
    for (text, expected) in [
        ("r", LedgerCommand::Reroll { bars: BARS, parts: all_parts() }),
        ("R", LedgerCommand::Reroll { bars: BARS, parts: all_parts() }),
        ("1", LedgerCommand::Reroll { bars: BARS, parts: only(Part::Bass) }),
        ("5", LedgerCommand::Reroll { bars: BARS, parts: only(Part::Drums) }),
        ("l", LedgerCommand::Lock(BARS)),
    ] {
        window.write(text);
        assert_eq!(window.sent(), [expected], "{text}");
    }
    for (key, modifiers, expected) in [
        (Key::Delete, Modifiers::NONE, LedgerCommand::Clear(BARS)),
        (Key::Backspace, Modifiers::NONE, LedgerCommand::Clear(BARS)),
        (Key::Z, Modifiers::COMMAND, LedgerCommand::Undo),
        (Key::Z, Modifiers::COMMAND | Modifiers::SHIFT, LedgerCommand::Redo),
        (Key::Y, Modifiers::COMMAND, LedgerCommand::Redo),
    ] {
        window.key(key, modifiers);
        assert_eq!(window.sent(), [expected], "{key:?}");
    }
    for (button, expected) in [
        ("Lock", LedgerCommand::Lock(BARS)),
        ("Clear", LedgerCommand::Clear(BARS)),
        ("Lock chords", LedgerCommand::LockChords(BARS)),
        ("Clear chords", LedgerCommand::UnlockChords(BARS)),
        ("Undo", LedgerCommand::Undo),
        ("Redo", LedgerCommand::Redo),
    ] {
        window.click(button);
        assert_eq!(window.sent(), [expected], "{button}");
    }
}

#[test]
fn one_part_is_rolled_again_from_the_menu() {
    let mut window = Window::of(song(8));
    window.select(2, 3);
    for (item, parts) in [("All parts", all_parts()), ("Counter", only(Part::Counter)), ("Bass", only(Part::Bass))] {
        window.click("Re-roll");
        window.rest();
        window.click(item);
        assert_eq!(window.sent(), [LedgerCommand::Reroll { bars: BARS, parts }], "{item}");
    }
}

#[test]
fn without_a_selection_nothing_can_be_done_to_bars() {
    let mut window = Window::of(song(8));
    for button in ["Re-roll", "Lock", "Clear", "Lock chords", "Clear chords", "Undo", "Redo"] {
        assert!(!window.find(button).1, "{button}");
    }
    for text in ["r", "3", "l"] {
        window.write(text);
    }
    window.key(Key::Delete, Modifiers::NONE);
    assert_eq!(window.sent(), []);
}

#[test]
fn what_is_locked_can_be_unlocked() {
    let mut view = song(8);
    view.ledger.lock(BARS);
    let chords: Vec<_> = view.chords.iter().copied().filter(|(at, _)| BARS.contains(&at.bar.start)).collect();
    view.ledger.lock_chords(chords);
    let mut window = Window::of(view);
    window.select(2, 3);
    window.click("Unlock");
    window.click("Unlock chords");
    assert_eq!(window.sent(), [LedgerCommand::Unlock(BARS), LedgerCommand::UnlockChords(BARS)]);
}

#[test]
fn in_the_chord_lane_keys_are_for_chords() {
    let mut window = Window::of(song(8));
    let (from, to) = (window.in_bar("Chords", 2), window.in_bar("Chords", 3));
    window.drag(from, to);
    assert_eq!(window.selected(), "bars 3–4");
    window.write("l");
    window.key(Key::Delete, Modifiers::NONE);
    assert_eq!(window.sent(), [LedgerCommand::LockChords(BARS), LedgerCommand::UnlockChords(BARS)]);
}

fn chords(bars: std::ops::RangeInclusive<i32>, name: &str) -> LedgerCommand {
    let planned = PlannedChord { chord: name.parse().ok(), source: PlanSource::User };
    LedgerCommand::SetChords(bars.flat_map(|index| four(index).segments()).map(|segment| (segment, planned)).collect())
}

/// Writes over what stands in the field.
fn type_chord(window: &mut Window, text: &str) {
    window.key(Key::A, Modifiers::COMMAND);
    window.write(text);
    window.key(Key::Enter, Modifiers::NONE);
    window.frame(Vec::new());
}

#[test]
fn a_chord_is_typed_where_it_is_double_clicked() {
    let mut window = Window::of(song(8));
    let at = window.in_bar("Chords", 4);
    window.click_at(at);
    window.click_at(at);
    window.rest();
    type_chord(&mut window, "F#m7");
    assert_eq!(window.sent(), [chords(4..=4, "F#m7")]);
    assert!(window.roll.typing.is_none());
    window.write("r");
    assert_eq!(window.sent().len(), 1, "the keys are the timeline's again");
}

#[test]
fn enter_types_chords_for_what_is_selected() {
    let mut window = Window::of(song(8));
    window.select(2, 3);
    window.key(Key::Enter, Modifiers::NONE);
    window.rest();
    type_chord(&mut window, "Am");
    assert_eq!(window.sent(), [chords(2..=3, "Am")]);
}

#[test]
fn typing_can_be_given_up_and_what_cannot_be_read_stays_open() {
    let mut window = Window::of(song(8));
    window.select(2, 2);
    window.key(Key::Enter, Modifiers::NONE);
    window.rest();
    type_chord(&mut window, "Xyz");
    assert!(window.roll.typing.is_some() && window.sent().is_empty());
    window.rest();
    assert!(window.named.iter().any(|(name, ..)| name.contains("“Xyz” is not a chord")), "it says why");
    window.key(Key::Escape, Modifiers::NONE);
    assert!(window.roll.typing.is_none() && window.sent().is_empty());
    assert_eq!(window.selected(), "bar 3", "Escape was for the field");
    window.click_at(window.in_bar("Piano roll", 2));
    window.key(Key::Enter, Modifiers::NONE);
    window.rest();
    window.key(Key::Enter, Modifiers::NONE);
    window.frame(Vec::new());
    assert!(window.roll.typing.is_none() && window.sent().is_empty(), "nothing was changed");
}

#[test]
fn the_window_follows_the_playhead_until_it_is_scrolled_by_hand() {
    let mut window = Window::of(song(100));
    window.playing = true;
    let start = |window: &Window| window.roll.viewport.visible().start;
    for bar in 0..50 {
        window.playhead = f64::from(48 * bar) + 5.0;
        window.frame(Vec::new());
        let visible = window.roll.viewport.visible();
        assert!(visible.contains(&window.playhead) && visible.end >= window.playhead + 7.0 * 48.0);
    }
    window.wheel(window.in_bar("Piano roll", 51), vec2(0.0, 3.0), Modifiers::NONE);
    let looked_at = start(&window);
    assert!(looked_at < 48.0 * 49.0 && !window.roll.follow);
    window.playhead = 48.0 * 80.0;
    window.rest();
    assert_eq!(start(&window), looked_at, "it stays where the user looks");
    window.click("Follow");
    assert!(window.roll.viewport.visible().contains(&window.playhead));
    window.point_at_roll();
    window.write("f");
    assert!(!window.roll.follow);
}

#[test]
fn wheel_and_pinch_zoom_where_the_pointer_is() {
    let mut window = Window::of(song(100));
    window.roll.viewport.scroll(-2000.0);
    window.rest();
    let at = window.in_bar("Piano roll", 30);
    let x = at.x - window.find("Piano roll").0.left();
    let (under, seen) = (window.roll.viewport.tick_at(x), window.roll.viewport.ticks());
    window.wheel(at, vec2(0.0, 2.0), Modifiers::COMMAND);
    let zoomed = window.roll.viewport.ticks();
    assert!(zoomed < 0.95 * seen && (window.roll.viewport.tick_at(x) - under).abs() < 0.5);
    window.frame(vec![Event::Zoom(0.5)]);
    assert!((window.roll.viewport.ticks() - 2.0 * zoomed).abs() < 0.5);
    window.click("Zoom in");
    let nearer = window.roll.viewport.ticks();
    assert!(nearer < 2.0 * zoomed);
    window.point_at_roll();
    window.write("+");
    window.write("-");
    assert!((window.roll.viewport.ticks() - nearer).abs() < 0.5);
    window.click("Zoom out");
    assert!(window.roll.viewport.ticks() > nearer);
}

#[test]
fn keys_are_the_timelines_while_the_pointer_is_over_it_and_after_a_press() {
    let mut window = Window::of(song(8));
    let followed = |window: &mut Window| {
        let before = window.roll.follow;
        window.write("f");
        window.roll.follow != before
    };
    let outside = window.find("Undo").0.center();
    assert!(!followed(&mut window), "nobody has looked at it: they are the host's");
    window.point_at_roll();
    assert!(followed(&mut window));
    window.frame(vec![Event::PointerMoved(outside)]);
    window.frame(Vec::new());
    assert!(!followed(&mut window), "the pointer has only passed over it");
    window.click_at(window.in_bar("Piano roll", 2));
    window.frame(vec![Event::PointerMoved(outside)]);
    window.frame(Vec::new());
    assert!(followed(&mut window), "bars are selected: they are meant");
}

#[test]
fn pages_turn_by_bars() {
    let mut window = Window::of(song(100));
    window.point_at_roll();
    window.key(Key::PageDown, Modifiers::NONE);
    assert!((window.roll.viewport.visible().start - 8.0 * 48.0).abs() < 0.5);
    window.key(Key::PageUp, Modifiers::NONE);
    assert!(window.roll.viewport.visible().start.abs() < 0.5);
}

#[test]
fn nothing_is_painted_again_while_nothing_moves() {
    let mut window = Window::of(song(30));
    assert_eq!(window.repaint_after, Duration::MAX);
    window.playing = true;
    window.frame(Vec::new());
    assert_eq!(window.repaint_after, Duration::ZERO, "the playhead moves");
    window.playing = false;
    window.rest();
    window.select(2, 3);
    window.rest();
    // A tip may be about to appear.
    window.frame(vec![Event::PointerGone]);
    window.rest();
    assert_eq!(window.repaint_after, Duration::MAX);
}

#[test]
fn a_longer_song_paints_no_more() {
    let shapes = |bars: i32| {
        let mut window = Window::of(song(bars));
        window.roll.viewport.scroll(-1000.0);
        window.rest();
        window.shapes
    };
    assert_eq!(shapes(60), shapes(300));
}

#[test]
fn a_screen_reader_hears_where_the_music_is() {
    let mut window = Window::of(song(8));
    window.plan = plan("| Dm |");
    window.playhead = 100.0;
    window.rest();
    window.select(2, 3);
    let (lane, roll) = (window.find("Chords: bars 1 to").0, window.find("Piano roll: bars 1 to").0);
    assert!(lane.height() == CHORD_LANE && roll.top() > lane.bottom() && roll.width() > 800.0);
    window.find("Piano roll: bars 1 to 13 in view, playhead in bar 3 on Dm, bars 3–4 selected");
}

#[test]
fn any_song_and_any_playhead_can_be_shown() {
    let mut window = Window::of(SongView::default());
    for playhead in [f64::NAN, f64::INFINITY, -1e300, 1e300, -5000.0, 1e7] {
        window.playhead = playhead;
        window.rest();
        window.select(0, 1);
    }
    window.now_shows(song(3));
    window.point_at_roll();
    window.key(Key::A, Modifiers::COMMAND);
    assert_eq!(window.selected(), "bars 1–3");
}
