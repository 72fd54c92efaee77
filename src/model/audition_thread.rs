//! An audition on a thread of its own: to open a device may take seconds, and the inference thread answers meanwhile. It goes on
//! only while it is told that nothing plays.

use super::audition::{Audition, Trial};
use crate::contract::Engine;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Ends with this, which waits for the step that is under way.
pub struct AuditionThread<E> {
    stop: Arc<AtomicBool>,
    /// It may take a step until then.
    rests_until: Arc<Mutex<Instant>>,
    thread: Option<JoinHandle<Option<Finished<E>>>>,
}

/// What came of it. As long as this is there, the models stay loaded that played.
pub struct Finished<E> {
    pub trials: Vec<Trial>,
    _audition: Audition<E>,
}

/// Where it stands.
pub enum Progress<E> {
    Goes,
    /// Without a result where there was no choice, or where it broke.
    Over(Option<Finished<E>>),
}

impl<E: Engine + 'static> AuditionThread<E> {
    /// `gather` finds out who takes part, which may take seconds too; `None` where there is no choice.
    ///
    /// # Errors
    /// When the system has no thread for it.
    pub fn begin(gather: impl FnOnce() -> Option<Audition<E>> + Send + 'static) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let rests_until = Arc::new(Mutex::new(Instant::now()));
        let thread = thread::Builder::new().name("audition".into()).spawn({
            let (stop, rests_until) = (stop.clone(), rests_until.clone());
            move || perform(gather()?, &stop, &rests_until)
        })?;
        Ok(Self { stop, rests_until, thread: Some(thread) })
    }

    /// Nothing plays for the moment. To be said again and again, at least ten times a second.
    pub fn at_rest(&mut self) -> Progress<E> {
        const MOMENT: Duration = Duration::from_millis(100);
        *self.rests_until.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now() + MOMENT;
        match self.thread.take_if(|thread| thread.is_finished()) {
            Some(thread) => Progress::Over(thread.join().ok().flatten()),
            None if self.thread.is_none() => Progress::Over(None),
            None => Progress::Goes,
        }
    }
}

fn perform<E: Engine>(
    mut audition: Audition<E>,
    stop: &AtomicBool,
    rests_until: &Mutex<Instant>,
) -> Option<Finished<E>> {
    const BETWEEN_LOOKS: Duration = Duration::from_millis(5);
    while !stop.load(Ordering::Relaxed) {
        let rests = Instant::now() < *rests_until.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(trials) = rests.then(|| audition.step()).flatten() {
            return Some(Finished { trials, _audition: audition });
        }
        thread::sleep(BETWEEN_LOOKS);
    }
    None
}

impl<E> Drop for AuditionThread<E> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().into_iter().for_each(|thread| drop(thread.join()));
    }
}
