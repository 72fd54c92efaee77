//! Watches what the window shows while nobody touches it, so that it is painted when that changes and only then.
//! A THREAD OF ITS OWN while the window is open.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How soon a change is seen that comes from elsewhere than the window.
const BETWEEN_LOOKS: Duration = Duration::from_millis(33);

/// Ends its thread when it is dropped.
pub struct Watcher {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watcher {
    /// Calls `changed` whenever `look` sees something else than the time before.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn spawn<Seen: PartialEq>(
        look: impl Fn() -> Seen + Send + 'static,
        changed: impl Fn() + Send + 'static,
    ) -> io::Result<Self> {
        let over = Arc::new(AtomicBool::new(false));
        let ends = over.clone();
        let watch = move || {
            let mut seen = look();
            while !ends.load(Ordering::Relaxed) {
                thread::park_timeout(BETWEEN_LOOKS);
                let now = look();
                if now != seen {
                    seen = now;
                    changed();
                }
            }
        };
        let thread = thread::Builder::new().name("obbligato window".into()).spawn(watch)?;
        Ok(Self { over, thread: Some(thread) })
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It panics only if a look does; the window closes all the same.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;
    use std::sync::mpsc;

    #[test]
    fn changes_are_told_and_nothing_else_is() {
        let shown = Arc::new(AtomicU32::new(0));
        let (looked, looks) = mpsc::channel();
        let (told, changes) = mpsc::channel();
        let look = {
            let shown = shown.clone();
            move || {
                let now = shown.load(Ordering::Relaxed);
                let _ = looked.send(now);
                now
            }
        };
        let tell = move || told.send(()).expect("the test listens");
        let watcher = Watcher::spawn(look, tell).expect("there are threads");
        let see_thrice = |wanted| assert_eq!(looks.iter().filter(|seen| *seen == wanted).take(3).count(), 3);
        see_thrice(0);
        assert!(changes.try_recv().is_err(), "nothing has changed");
        shown.store(1, Ordering::Relaxed);
        see_thrice(1);
        drop(watcher);
        assert_eq!(changes.try_iter().count(), 1, "told once");
        assert!(looks.iter().all(|seen| seen == 1), "the thread has ended, and with it the looks");
    }
}
