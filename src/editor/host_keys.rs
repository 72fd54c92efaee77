//! Keys that are the host's, under X11: there a window that has been pressed keeps the keyboard, and the layer below (baseview 0.4)
//! does not pass on what it is told to leave. So the keyboard goes back to the host's window when nothing in ours wants it, and
//! Space is sent there while something does. GUI THREAD.

use egui::{Event, Key, Ui};
use nice_plug_egui::baseview::WindowContext;
use raw_window_handle::{HasWindowHandle, RawWindowHandle};
use x11rb::connection::Connection;
use x11rb::errors::ReplyError;
use x11rb::protocol::xproto::{
    AtomEnum, ConnectionExt, EventMask, InputFocus, KEY_PRESS_EVENT, KEY_RELEASE_EVENT, KeyButMask, KeyPressEvent,
    Window,
};
use x11rb::rust_connection::RustConnection;

/// The host's window around ours.
pub struct HostKeys {
    connection: RustConnection,
    root: Window,
    host: Window,
    /// A key that writes a space; `None` where the keyboard has none.
    space: Option<u8>,
    /// Something in our window wanted the keyboard in the last frame.
    wanted: bool,
}

impl HostKeys {
    /// `None` where the window is in no other, and where the display cannot be asked.
    pub fn around(window: &WindowContext) -> Option<Self> {
        let ours = match window.window_handle().ok()?.as_raw() {
            RawWindowHandle::Xlib(handle) => u32::try_from(handle.window).ok()?,
            RawWindowHandle::Xcb(handle) => handle.window.get(),
            _ => return None,
        };
        let (connection, screen) = x11rb::connect(None).ok()?;
        let root = connection.setup().roots.get(screen)?.root;
        let host = top_level(&connection, ours, root).ok().filter(|top| *top != ours)?;
        let space = key_of_space(&connection).ok().flatten();
        Some(Self { connection, root, host, space, wanted: false })
    }

    /// To be called in each frame. `wanted`: something has the keyboard; `leaves_space`: but not this key.
    pub fn pass(&mut self, ui: &Ui, wanted: bool, leaves_space: bool) {
        let (released, space) = ui.input(|input| {
            let of_space = |event: &Event| match event {
                Event::Key { key: Key::Space, pressed, .. } => Some(*pressed),
                _ => None,
            };
            (input.pointer.any_released(), input.events.iter().filter_map(of_space).collect::<Vec<bool>>())
        });
        let wanted_before = std::mem::replace(&mut self.wanted, wanted);
        // A host that has gone is no reason for anything.
        if !wanted && (released || wanted_before) {
            let _ = self.give_back();
        }
        if leaves_space {
            space.into_iter().for_each(|pressed| drop(self.send_space(pressed)));
        }
    }

    fn give_back(&self) -> Result<(), ReplyError> {
        self.connection.set_input_focus(InputFocus::PARENT, self.host, x11rb::CURRENT_TIME)?.check()
    }

    fn send_space(&self, pressed: bool) -> Result<(), ReplyError> {
        let Some(detail) = self.space else { return Ok(()) };
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
            state: KeyButMask::default(),
            same_screen: true,
        };
        self.connection.send_event(false, self.host, EventMask::NO_EVENT, event)?.check()
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

fn key_of_space(connection: &RustConnection) -> Result<Option<u8>, ReplyError> {
    /// As X11 numbers symbols.
    const SPACE: u32 = 0x20;
    let (first, last) = (connection.setup().min_keycode, connection.setup().max_keycode);
    let mapping = connection.get_keyboard_mapping(first, last - first + 1)?.reply()?;
    let mut keys = mapping.keysyms.chunks(usize::from(mapping.keysyms_per_keycode).max(1)).zip(first..=last);
    Ok(keys.find(|(symbols, _)| symbols.first() == Some(&SPACE)).map(|(_, key)| key))
}
