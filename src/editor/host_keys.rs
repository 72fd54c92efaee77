//! Keys that are the host's, under X11: there a window that has been pressed keeps the keyboard, one under the pointer gets the keys
//! in any case, and the layer below (baseview 0.4) does not pass on what it is told to leave. So the keyboard goes back to the
//! host's window when nothing in ours wants it, and keys that come nevertheless are sent there. GUI THREAD.

use egui::{Event, Key, Modifiers, Ui};
use nice_plug_egui::baseview::WindowContext;
use raw_window_handle::{HasWindowHandle, RawWindowHandle};
use x11rb::connection::Connection;
use x11rb::errors::ReplyError;
use x11rb::protocol::xproto::{
    AtomEnum, ConnectionExt, EventMask, InputFocus, KEY_PRESS_EVENT, KEY_RELEASE_EVENT, KeyButMask, KeyPressEvent,
    Window,
};
use x11rb::rust_connection::RustConnection;

/// Whose the window around ours is.
#[derive(Default)]
pub enum Around {
    /// The server has not made ours yet.
    #[default]
    Unknown,
    /// Ours stands alone, or the display cannot be asked.
    Nobody,
    Host(Box<HostKeys>),
}

/// The host's window around ours.
pub struct HostKeys {
    connection: RustConnection,
    root: Window,
    host: Window,
    keyboard: Keyboard,
    /// Something in our window wanted the keyboard in the last frame.
    wanted: bool,
    down: Down,
}

/// Keys that were sent to the host and not released yet, with when they were pressed last, in seconds.
#[derive(Default)]
struct Down(Vec<(Key, f64)>);

/// What each key writes without a modifier.
struct Keyboard {
    first: u8,
    /// As X11 numbers symbols.
    symbols: Vec<u32>,
}

impl Around {
    /// To be called in each frame: it takes some until it is known.
    pub fn look(&mut self, window: &WindowContext) -> Option<&mut HostKeys> {
        if matches!(self, Self::Unknown) {
            *self = HostKeys::around(window).unwrap_or(Self::Nobody);
        }
        if let Self::Host(keys) = self { Some(keys) } else { None }
    }
}

impl HostKeys {
    /// `None` where the display cannot be asked.
    fn around(window: &WindowContext) -> Option<Around> {
        let ours = match window.window_handle().ok()?.as_raw() {
            RawWindowHandle::Xlib(handle) => u32::try_from(handle.window).ok()?,
            RawWindowHandle::Xcb(handle) => handle.window.get(),
            _ => return None,
        };
        let (connection, screen) = x11rb::connect(None).ok()?;
        let root = connection.setup().roots.get(screen)?.root;
        let Ok(host) = top_level(&connection, ours, root) else { return Some(Around::Unknown) };
        if host == ours {
            return None;
        }
        let keyboard = Keyboard::of(&connection).ok()?;
        let keys = Self { connection, root, host, keyboard, wanted: false, down: Down::default() };
        Some(Around::Host(Box::new(keys)))
    }

    /// To be called in each frame. `wanted`: something has the keyboard; `leaves_space`: but not this key.
    pub fn pass(&mut self, ui: &Ui, wanted: bool, leaves_space: bool) {
        let (now, released, keys) = ui.input(|input| {
            let key = |event: &Event| match *event {
                Event::Key { key, pressed, modifiers, .. } => Some((key, pressed, modifiers)),
                _ => None,
            };
            (input.time, input.pointer.any_released(), input.events.iter().filter_map(key).collect::<Vec<_>>())
        });
        let wanted_before = std::mem::replace(&mut self.wanted, wanted);
        // A host that has gone is no reason for anything.
        if !wanted && (released || wanted_before) {
            let _ = self.give_back();
        }
        for (key, pressed, modifiers) in keys {
            let is_hosts = !wanted || (leaves_space && key == Key::Space && modifiers.is_none());
            if self.down.sends(key, pressed, is_hosts, now) {
                let _ = self.send(key, pressed, modifiers);
            }
        }
    }

    fn give_back(&self) -> Result<(), ReplyError> {
        self.connection.set_input_focus(InputFocus::PARENT, self.host, x11rb::CURRENT_TIME)?.check()
    }

    fn send(&self, key: Key, pressed: bool, modifiers: Modifiers) -> Result<(), ReplyError> {
        let Some(detail) = symbol(key).and_then(|symbol| self.keyboard.key_of(symbol)) else { return Ok(()) };
        let held = [
            (modifiers.shift, KeyButMask::SHIFT),
            (modifiers.ctrl, KeyButMask::CONTROL),
            (modifiers.alt, KeyButMask::MOD1),
        ];
        let event = KeyPressEvent {
            response_type: if pressed { KEY_PRESS_EVENT } else { KEY_RELEASE_EVENT },
            detail,
            sequence: 0,
            time: x11rb::CURRENT_TIME,
            root: self.root,
            event: self.host,
            child: x11rb::NONE,
            root_x: 0,
            root_y: 0,
            event_x: 0,
            event_y: 0,
            state: held.iter().filter(|(held, _)| *held).fold(KeyButMask::default(), |all, (_, one)| all | *one),
            same_screen: true,
        };
        self.connection.send_event(false, self.host, EventMask::NO_EVENT, event)?.check()
    }
}

impl Down {
    /// Whether the host is to be told. What it was told is pressed it is told is released.
    fn sends(&mut self, key: Key, pressed: bool, is_hosts: bool, now: f64) -> bool {
        /// A press that follows as soon is the same one: it repeats, or the host hands on to us what we hand on to it. Later it is
        /// another: of the one before, the release went elsewhere.
        const SAME: f64 = 0.3;
        let before = self.0.iter().position(|(down, _)| *down == key).map(|place| self.0.swap_remove(place).1);
        let sends = if pressed { is_hosts && before.is_none_or(|at| now - at > SAME) } else { before.is_some() };
        if pressed && (sends || before.is_some()) {
            self.0.push((key, now));
        }
        sends
    }
}

/// The window around `ours` that a window manager knows; without one, the outermost.
fn top_level(connection: &RustConnection, ours: Window, root: Window) -> Result<Window, ReplyError> {
    let state = connection.intern_atom(false, b"WM_STATE")?.reply()?.atom;
    let mut window = ours;
    loop {
        let known = connection.get_property(false, window, state, AtomEnum::ANY, 0, 0)?.reply()?;
        let parent = connection.query_tree(window)?.reply()?.parent;
        if known.type_ != x11rb::NONE || parent == root || parent == x11rb::NONE {
            return Ok(window);
        }
        window = parent;
    }
}

impl Keyboard {
    fn of(connection: &RustConnection) -> Result<Self, ReplyError> {
        let (first, last) = (connection.setup().min_keycode, connection.setup().max_keycode);
        let mapping = connection.get_keyboard_mapping(first, last - first + 1)?.reply()?;
        let keys = mapping.keysyms.chunks(usize::from(mapping.keysyms_per_keycode).max(1));
        Ok(Self { first, symbols: keys.map(|symbols| symbols[0]).collect() })
    }

    fn key_of(&self, symbol: u32) -> Option<u8> {
        let place = self.symbols.iter().position(|written| *written == symbol)?;
        u8::try_from(usize::from(self.first) + place).ok()
    }
}

/// As X11 numbers it (`keysymdef.h` of X.Org); `None` for keys that the layer below does not tell of.
fn symbol(key: Key) -> Option<u32> {
    const NAMED: [(Key, u32); 15] = [
        (Key::Backspace, 0xff08),
        (Key::Tab, 0xff09),
        (Key::Enter, 0xff0d),
        (Key::Escape, 0xff1b),
        (Key::Home, 0xff50),
        (Key::ArrowLeft, 0xff51),
        (Key::ArrowUp, 0xff52),
        (Key::ArrowRight, 0xff53),
        (Key::ArrowDown, 0xff54),
        (Key::PageUp, 0xff55),
        (Key::PageDown, 0xff56),
        (Key::End, 0xff57),
        (Key::Insert, 0xff63),
        (Key::Delete, 0xffff),
        (Key::Space, 0x20),
    ];
    if let Some((_, symbol)) = NAMED.iter().find(|(known, _)| *known == key) {
        return Some(*symbol);
    }
    match key.name().as_bytes() {
        [letter] => Some(u32::from(letter.to_ascii_lowercase())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_the_symbols_that_x11_gives_them() {
        let known = [
            (Key::A, Some(0x61)),
            (Key::Z, Some(0x7a)),
            (Key::Num7, Some(0x37)),
            (Key::Space, Some(0x20)),
            (Key::F, Some(0x66)),
            (Key::Delete, Some(0xffff)),
            (Key::F12, None),
        ];
        for (key, expected) in known {
            assert_eq!(symbol(key), expected, "{key:?}");
        }
    }

    #[test]
    fn each_press_and_its_release_are_sent_once() {
        let mut down = Down::default();
        let (pressed, released) = (true, false);
        // When, what, whose the key is then, and whether it is sent.
        for (now, what, is_hosts, expected) in [
            (0.0, pressed, true, true),
            (0.02, pressed, true, false),
            (0.25, pressed, true, false),
            (0.5, pressed, true, false),
            (0.6, released, false, true),
            (0.6, released, true, false),
            (1.0, pressed, false, false),
            (1.1, released, true, false),
            (2.0, pressed, true, true),
            // Its release went elsewhere.
            (5.0, pressed, true, true),
            (5.1, released, true, true),
        ] {
            assert_eq!(down.sends(Key::Space, what, is_hosts, now), expected, "at {now}");
        }
        assert!(down.0.is_empty());
    }

    #[test]
    fn a_key_is_found_by_what_it_writes() {
        let keyboard = Keyboard { first: 8, symbols: vec![0, 0xff1b, 0x31, 0x20] };
        assert_eq!((keyboard.key_of(0x20), keyboard.key_of(0x61)), (Some(11), None));
    }
}
