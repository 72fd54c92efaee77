//! Windows under X11, what can be seen in them and what a pointer does there: a host's, that a plugin's is put into, and that of
//! a program.

use super::picture::Picture;
use anyhow::{Context, Result, bail};
use std::time::{Duration, Instant};
use x11rb::connection::Connection;
use x11rb::protocol::Event;
use x11rb::protocol::xproto::{
    AtomEnum, BUTTON_PRESS_EVENT, BUTTON_RELEASE_EVENT, ButtonPressEvent, ClientMessageEvent, ConnectionExt,
    CreateWindowAux, EventMask, ImageFormat, KEY_PRESS_EVENT, KEY_RELEASE_EVENT, KeyButMask, KeyPressEvent,
    LEAVE_NOTIFY_EVENT, LeaveNotifyEvent, MOTION_NOTIFY_EVENT, MapState, MotionNotifyEvent, NotifyDetail, NotifyMode,
    Window, WindowClass,
};
use x11rb::rust_connection::RustConnection;

/// Open as long as it is kept.
pub struct ParentWindow {
    display: Display,
    window: Window,
    size: (u32, u32),
}

/// The window of a program that was started.
pub struct ProgramWindow {
    display: Display,
    window: Window,
    size: (u32, u32),
}

struct Display {
    connection: RustConnection,
    root: Window,
}

impl ParentWindow {
    /// # Errors
    /// When there is no display.
    pub fn open(width: u32, height: u32) -> Result<Self> {
        let (connection, screen) = x11rb::connect(None).context("there is no X display")?;
        let screen = &connection.setup().roots[screen];
        let (root, visual, depth) = (screen.root, screen.root_visual, screen.root_depth);
        let window = connection.generate_id()?;
        let events = EventMask::STRUCTURE_NOTIFY | EventMask::KEY_PRESS;
        let aux = CreateWindowAux::new().background_pixel(0).event_mask(events);
        let (w, h) = (u16::try_from(width)?, u16::try_from(height)?);
        connection
            .create_window(depth, window, root, 0, 0, w, h, 0, WindowClass::INPUT_OUTPUT, visual, &aux)?
            .check()?;
        connection.map_window(window)?.check()?;
        let display = Display { connection, root };
        display.put_pointer_away()?;
        Ok(Self { display, window, size: (width, height) })
    }

    pub fn number(&self) -> u32 {
        self.window
    }

    /// In pixels.
    pub fn size(&self) -> (u32, u32) {
        self.size
    }

    /// What is seen in it now.
    ///
    /// # Errors
    /// When the window is gone.
    pub fn picture(&self) -> Result<Picture> {
        self.strip(0, self.size.1)
    }

    /// The same of some rows.
    ///
    /// # Errors
    /// When the window is gone.
    pub fn strip(&self, top: u32, height: u32) -> Result<Picture> {
        self.display.strip(self.window, self.size.0, top, height)
    }

    /// Tells the plugin's window what a pointer does at a place, in pixels from its upper left corner.
    ///
    /// # Errors
    /// When there is no window in this one.
    pub fn point(&self, does: Pointer, at: (i16, i16)) -> Result<()> {
        self.display.point(self.inside()?, does, at)
    }

    /// Tells the plugin's window that the key that writes this was pressed and let go of.
    ///
    /// # Errors
    /// When there is no window in this one, or no such key.
    pub fn press_key(&self, writes: char) -> Result<()> {
        let inside = self.inside()?;
        let detail = self.display.key_of(writes)?;
        for response_type in [KEY_PRESS_EVENT, KEY_RELEASE_EVENT] {
            let event = KeyPressEvent {
                response_type,
                detail,
                sequence: 0,
                time: x11rb::CURRENT_TIME,
                root: self.display.root,
                event: inside,
                child: x11rb::NONE,
                root_x: 0,
                root_y: 0,
                event_x: 0,
                event_y: 0,
                state: KeyButMask::default(),
                same_screen: true,
            };
            self.display.connection.send_event(false, inside, EventMask::NO_EVENT, event)?.check()?;
        }
        Ok(())
    }

    /// How often the key that writes this has been pressed in the host's window since it was asked last.
    ///
    /// # Errors
    /// When the display is gone, or there is no such key.
    pub fn heard_key(&self, writes: char) -> Result<usize> {
        let key = self.display.key_of(writes)?;
        let mut heard = 0;
        while let Some(event) = self.display.connection.poll_for_event()? {
            heard += usize::from(matches!(event, Event::KeyPress(pressed) if pressed.detail == key));
        }
        Ok(heard)
    }

    fn inside(&self) -> Result<Window> {
        let inside = self.display.connection.query_tree(self.window)?.reply()?.children;
        inside.first().copied().context("the plugin has opened no window in the host's")
    }
}

impl ProgramWindow {
    /// Waits until there is one of this name.
    ///
    /// # Errors
    /// When there is no display, or none comes within this time.
    pub fn wait_for(name: &str, time: Duration) -> Result<Self> {
        const BETWEEN_LOOKS: Duration = Duration::from_millis(50);
        let (connection, screen) = x11rb::connect(None).context("there is no X display")?;
        let root = connection.setup().roots[screen].root;
        let display = Display { connection, root };
        display.put_pointer_away()?;
        let begun = Instant::now();
        while begun.elapsed() < time {
            if let Some(window) = display.find(name)? {
                let geometry = display.connection.get_geometry(window)?.reply()?;
                let size = (u32::from(geometry.width), u32::from(geometry.height));
                return Ok(Self { display, window, size });
            }
            std::thread::sleep(BETWEEN_LOOKS);
        }
        bail!("no window `{name}` has come within {} s", time.as_secs())
    }

    /// In pixels.
    pub fn size(&self) -> (u32, u32) {
        self.size
    }

    /// What is seen in it now.
    ///
    /// # Errors
    /// When the window is gone.
    pub fn picture(&self) -> Result<Picture> {
        self.display.strip(self.window, self.size.0, 0, self.size.1)
    }

    /// Tells it what a pointer does at a place, in pixels from its upper left corner.
    ///
    /// # Errors
    /// When the window is gone.
    pub fn point(&self, does: Pointer, at: (i16, i16)) -> Result<()> {
        self.display.point(self.window, does, at)
    }

    /// As the cross in a title bar does.
    ///
    /// # Errors
    /// When the window is gone.
    pub fn ask_to_close(&self) -> Result<()> {
        let atom = |name: &str| self.display.connection.intern_atom(false, name.as_bytes());
        let (protocols, delete) = (atom("WM_PROTOCOLS")?.reply()?.atom, atom("WM_DELETE_WINDOW")?.reply()?.atom);
        let message = ClientMessageEvent::new(32, self.window, protocols, [delete, x11rb::CURRENT_TIME, 0, 0, 0]);
        self.display.connection.send_event(false, self.window, EventMask::NO_EVENT, message)?.check()?;
        Ok(())
    }
}

impl Display {
    /// It stands in the middle of a new display; what it hovers over would be explained in the picture.
    fn put_pointer_away(&self) -> Result<()> {
        let moved = self.connection.warp_pointer(x11rb::NONE, self.root, 0, 0, 0, 0, i16::MAX, i16::MAX)?;
        Ok(moved.check()?)
    }

    fn find(&self, name: &str) -> Result<Option<Window>> {
        for window in self.connection.query_tree(self.root)?.reply()?.children {
            let property =
                self.connection.get_property(false, window, AtomEnum::WM_NAME, AtomEnum::ANY, 0, u32::MAX)?.reply();
            let attributes = self.connection.get_window_attributes(window)?.reply();
            // It may have gone in this moment.
            if property.is_ok_and(|property| property.value == name.as_bytes())
                && attributes.is_ok_and(|attributes| attributes.map_state == MapState::VIEWABLE)
            {
                return Ok(Some(window));
            }
        }
        Ok(None)
    }

    fn key_of(&self, writes: char) -> Result<u8> {
        let setup = self.connection.setup();
        let (first, last) = (setup.min_keycode, setup.max_keycode);
        let mapping = self.connection.get_keyboard_mapping(first, last - first + 1)?.reply()?;
        let mut keys = mapping.keysyms.chunks(usize::from(mapping.keysyms_per_keycode).max(1)).zip(first..=last);
        // Latin letters have their own numbers as symbols.
        let found = keys.find(|(symbols, _)| symbols[0] == u32::from(writes));
        Ok(found.with_context(|| format!("no key writes `{writes}`"))?.1)
    }

    fn strip(&self, window: Window, width: u32, top: u32, height: u32) -> Result<Picture> {
        let (w, h, y) = (u16::try_from(width)?, u16::try_from(height)?, i16::try_from(top)?);
        let image = self.connection.get_image(ImageFormat::Z_PIXMAP, window, 0, y, w, h, !0)?.reply()?;
        Ok(Picture::of_pixels(width, height, &image.data))
    }

    /// As the server would, for a window at the upper left corner of the display.
    fn point(&self, event: Window, does: Pointer, (x, y): (i16, i16)) -> Result<()> {
        const PRIMARY: u8 = 1;
        let (root, child, state) = (self.root, x11rb::NONE, KeyButMask::default());
        let (root_x, root_y, event_x, event_y) = (x, y, x, y);
        let (sequence, time, same_screen) = (0, x11rb::CURRENT_TIME, true);
        let send = |message: [u8; 32]| self.connection.send_event(false, event, EventMask::NO_EVENT, message);
        let pressed = |response_type| ButtonPressEvent {
            response_type,
            detail: PRIMARY,
            sequence,
            time,
            root,
            event,
            child,
            root_x,
            root_y,
            event_x,
            event_y,
            state,
            same_screen,
        };
        match does {
            Pointer::Moves => {
                let (response_type, detail) = (MOTION_NOTIFY_EVENT, 0_u8.into());
                let moved = MotionNotifyEvent {
                    response_type,
                    detail,
                    sequence,
                    time,
                    root,
                    event,
                    child,
                    root_x,
                    root_y,
                    event_x,
                    event_y,
                    state,
                    same_screen,
                };
                send(moved.into())?
            }
            Pointer::Presses => send(pressed(BUTTON_PRESS_EVENT).into())?,
            Pointer::LetsGo => send(pressed(BUTTON_RELEASE_EVENT).into())?,
            Pointer::Leaves => {
                let left = LeaveNotifyEvent {
                    response_type: LEAVE_NOTIFY_EVENT,
                    detail: NotifyDetail::NONLINEAR,
                    sequence,
                    time,
                    root,
                    event,
                    child,
                    root_x,
                    root_y,
                    event_x,
                    event_y,
                    state,
                    mode: NotifyMode::NORMAL,
                    same_screen_focus: 0,
                };
                send(left.into())?
            }
        }
        .check()?;
        Ok(())
    }
}

/// What a pointer does, with its primary button.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pointer {
    Moves,
    Presses,
    LetsGo,
    Leaves,
}

impl Drop for ParentWindow {
    fn drop(&mut self) {
        // The connection's end closes it, too.
        let _ = self.display.connection.destroy_window(self.window);
        let _ = self.display.connection.flush();
    }
}
