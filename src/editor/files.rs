//! Saving the song and loading a melody, with the system's own dialogs. GUI THREAD; a thread of its own for each dialog,
//! so that neither the window nor the host waits while the user looks for a folder.
//!
//! Notes cannot be dragged out of the window, nor files dropped on it: baseview 0.4 begins no drag, and what it tells of a
//! dropped file egui-baseview 0.9 does not pass on. Saving and showing the file is the way instead.

use crate::midi_file::{self, TrackChoice};
use crate::music::{Bar, Note};
use crate::user_folder::user_folder;
use rfd::{AsyncFileDialog, FileHandle};
use std::fs;
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

/// What the user wants of the file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Bytes of a MIDI file, and a name without its ending.
    Save {
        bytes: Vec<u8>,
        name: String,
    },
    LoadMelody,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
pub enum Done {
    Saved(PathBuf),
    /// The system has no dialog, so the file went where the user's files are.
    SavedUnasked(PathBuf),
    Melody(Melody),
    /// In words.
    Failed(String),
    Cancelled,
}

/// A melody from a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Melody {
    /// Of the file.
    pub name: String,
    pub bars: Vec<(Bar, Vec<Note>)>,
    /// Sentences about what was odd in it.
    pub warnings: Vec<String>,
}

/// What the user chose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    File(PathBuf),
    Nothing,
    /// No dialog could be shown.
    NoDialog,
}

/// At most one dialog at a time.
#[derive(Default)]
pub struct FileDesk {
    running: Option<Running>,
}

struct Running {
    done: Receiver<Done>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl FileDesk {
    pub fn is_busy(&self) -> bool {
        self.running.is_some()
    }

    /// Shows the dialog; `finished` is called when there is something to [`collect`](Self::collect).
    ///
    /// # Errors
    /// In words, when the system gives no thread.
    pub fn begin(&mut self, order: Order, finished: impl Fn() + Send + 'static) -> Result<(), String> {
        if self.is_busy() {
            return Ok(());
        }
        // Made here: macOS shows dialogs on the main thread alone.
        let dialog = dialog(&order);
        let (sender, done) = channel();
        let over = Arc::new(AtomicBool::new(false));
        let ends = over.clone();
        let work = move || {
            let choice = choice(dialog, &ends);
            let _ = sender.send(carry_out(order, choice));
            finished();
        };
        let thread = thread::Builder::new().name("obbligato file".into()).spawn(work);
        let thread = thread.map_err(|error| format!("The system gave no thread for a dialog ({error})."))?;
        self.running = Some(Running { done, over, thread: Some(thread) });
        Ok(())
    }

    pub fn collect(&mut self) -> Option<Done> {
        let done = self.running.as_ref()?.done.try_recv().ok()?;
        self.running = None;
        Some(done)
    }
}

impl Drop for Running {
    /// The plugin may be unloaded: nobody of ours waits for a dialog any more.
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

type Dialog = Pin<Box<dyn Future<Output = Option<FileHandle>> + Send>>;

fn dialog(order: &Order) -> Dialog {
    let dialog = AsyncFileDialog::new().add_filter("MIDI file", &["mid", "midi"]);
    match order {
        Order::Save { name, .. } => {
            Box::pin(dialog.set_title("Save the song").set_file_name(format!("{name}.mid")).save_file())
        }
        Order::LoadMelody => Box::pin(dialog.set_title("Load a melody").pick_file()),
    }
}

fn choice(dialog: Dialog, over: &AtomicBool) -> Choice {
    /// Nobody closes a dialog as soon as that after it was asked for.
    const INSTANT: Duration = Duration::from_millis(250);
    let asked = Instant::now();
    match wait(dialog, over) {
        Some(Some(file)) => Choice::File(file.path().to_owned()),
        Some(None) if asked.elapsed() < INSTANT => Choice::NoDialog,
        Some(None) | None => Choice::Nothing,
    }
}

/// Waits on this thread; `None` if it is over before.
fn wait<T>(future: impl Future<Output = T>, over: &AtomicBool) -> Option<T> {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    while !over.load(Ordering::Relaxed) {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return Some(value);
        }
        thread::park();
    }
    None
}

/// Reads or writes the file that was chosen.
pub fn carry_out(order: Order, choice: Choice) -> Done {
    match (order, choice) {
        (_, Choice::Nothing) => Done::Cancelled,
        (Order::Save { bytes, .. }, Choice::File(path)) => saved(with_ending(path), &bytes, Done::Saved),
        (Order::Save { bytes, name }, Choice::NoDialog) => match user_folder() {
            Some(folder) => saved(folder.join("midi").join(format!("{name}.mid")), &bytes, Done::SavedUnasked),
            None => Done::Failed(NO_DIALOG.into()),
        },
        (Order::LoadMelody, Choice::File(path)) => match melody(&path) {
            Ok(melody) => Done::Melody(melody),
            Err(problem) => {
                Done::Failed(format!("{} cannot be loaded: {problem}. Choose another MIDI file.", path.display()))
            }
        },
        (Order::LoadMelody, Choice::NoDialog) => Done::Failed(NO_DIALOG.into()),
    }
}

const NO_DIALOG: &str = "The system shows no file dialog. On Linux install xdg-desktop-portal with a backend for your desktop, \
                         or zenity.";

fn saved(path: PathBuf, bytes: &[u8], done: impl Fn(PathBuf) -> Done) -> Done {
    let made = path.parent().map_or(Ok(()), fs::create_dir_all);
    match made.and_then(|()| fs::write(&path, bytes)) {
        Ok(()) => done(path),
        Err(error) => Done::Failed(format!("{} cannot be saved ({error}). Choose another folder.", path.display())),
    }
}

/// Some dialogs leave the ending to us.
fn with_ending(path: PathBuf) -> PathBuf {
    let has_ending = path
        .extension()
        .is_some_and(|ending| ending.eq_ignore_ascii_case("mid") || ending.eq_ignore_ascii_case("midi"));
    if has_ending {
        return path;
    }
    let mut name = path.into_os_string();
    name.push(".mid");
    name.into()
}

fn melody(path: &Path) -> Result<Melody, String> {
    let size = fs::metadata(path).map_err(|error| error.to_string())?.len();
    if size > midi_file::LARGEST_FILE as u64 {
        return Err(midi_file::ReadError::TooLarge.to_string());
    }
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    let file = midi_file::read(&bytes).map_err(|error| error.to_string())?;
    let line = file.melody_line(&TrackChoice::Automatic).map_err(|error| error.to_string())?;
    let name = path.file_stem().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    Ok(Melody { name, bars: file.melody_by_bar(line), warnings: file.warnings.clone() })
}

/// Shows a file in the system's file manager.
pub fn reveal(path: PathBuf) {
    // Waiting for the command must not be the window's affair. Without a thread there is nothing to show.
    let _ = thread::Builder::new().name("obbligato reveal".into()).spawn(move || {
        for mut command in revealing(&path) {
            let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            if quiet.status().is_ok_and(|status| status.success()) {
                break;
            }
        }
    });
}

/// What may do it, the best first.
fn revealing(path: &Path) -> Vec<Command> {
    let command = |program: &str| Command::new(program);
    let folder = path.parent().unwrap_or(path);
    if cfg!(windows) {
        let mut explorer = command("explorer");
        explorer.arg(format!("/select,{}", path.display()));
        return vec![explorer];
    }
    if cfg!(target_os = "macos") {
        let mut open = command("open");
        open.arg("-R").arg(path);
        return vec![open];
    }
    let mut file_manager = command("dbus-send");
    file_manager.args([
        "--session",
        "--print-reply",
        "--dest=org.freedesktop.FileManager1",
        "/org/freedesktop/FileManager1",
        "org.freedesktop.FileManager1.ShowItems",
        &format!("array:string:{}", uri(path)),
        "string:",
    ]);
    let mut open = command("xdg-open");
    open.arg(folder);
    vec![file_manager, open]
}

/// `file:///…`, with everything that is not plain percent-encoded: `dbus-send` divides arrays at commas.
fn uri(path: &Path) -> String {
    let mut uri = "file://".to_owned();
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => uri.push(char::from(*byte)),
            _ => uri += &format!("%{byte:02X}"),
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{pending, ready};

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("obbligato-files-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).expect("the system has room for it");
        folder
    }

    fn save(bytes: &[u8]) -> Order {
        Order::Save { bytes: bytes.to_vec(), name: "Song".into() }
    }

    #[test]
    fn what_is_saved_is_in_the_file_that_was_chosen() {
        let folder = folder("saved");
        let done = carry_out(save(b"notes"), Choice::File(folder.join("mine")));
        assert_eq!(done, Done::Saved(folder.join("mine.mid")), "the ending is added");
        assert_eq!(fs::read(folder.join("mine.mid")).expect("it is there"), b"notes");
        let done = carry_out(save(b"more"), Choice::File(folder.join("mine.MID")));
        assert_eq!(done, Done::Saved(folder.join("mine.MID")));
        assert_eq!(carry_out(save(b"none"), Choice::Nothing), Done::Cancelled);
        let done = carry_out(save(b"none"), Choice::File(folder.join("mine.mid").join("below a file.mid")));
        assert!(matches!(done, Done::Failed(problem) if problem.contains("cannot be saved")));
        fs::remove_dir_all(folder).expect("it is there");
    }

    #[test]
    fn a_melody_is_loaded_bar_by_bar() {
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/ode_to_joy.mid");
        let Done::Melody(melody) = carry_out(Order::LoadMelody, Choice::File(example)) else { panic!("it is loaded") };
        assert_eq!((melody.name.as_str(), melody.bars.len()), ("ode_to_joy", 16));
        let keys: Vec<u8> = melody.bars[0].1.iter().map(|note| note.key.number()).collect();
        assert_eq!(keys.len(), 4);
        assert_eq!(keys[0], keys[1], "it begins with a repeated note");
    }

    #[test]
    fn what_is_no_melody_is_refused_in_words() {
        let folder = folder("refused");
        let path = folder.join("text.mid");
        fs::write(&path, "rubbish").expect("room");
        let Done::Failed(problem) = carry_out(Order::LoadMelody, Choice::File(path)) else { panic!("no music") };
        assert!(problem.contains("text.mid cannot be loaded: this is not a MIDI file"), "{problem}");
        let Done::Failed(problem) = carry_out(Order::LoadMelody, Choice::File(folder.join("none.mid"))) else {
            panic!("no file")
        };
        assert!(problem.contains("none.mid"), "{problem}");
        assert_eq!(carry_out(Order::LoadMelody, Choice::NoDialog), Done::Failed(NO_DIALOG.into()));
        fs::remove_dir_all(folder).expect("it is there");
    }

    #[test]
    fn a_dialog_that_is_never_answered_holds_nobody() {
        let over = Arc::new(AtomicBool::new(false));
        assert_eq!(wait(ready(7), &over), Some(7));
        let ends = over.clone();
        let waiting = thread::spawn(move || wait(pending::<()>(), &ends));
        over.store(true, Ordering::Relaxed);
        waiting.thread().unpark();
        assert_eq!(waiting.join().expect("it does not panic"), None);
    }

    #[test]
    fn a_file_is_named_to_the_file_manager_whatever_its_name() {
        assert_eq!(uri(Path::new("/a b/Grün, 50%.mid")), "file:///a%20b/Gr%C3%BCn%2C%2050%25.mid");
    }
}
