//! INFERENCE THREAD: a generator on its way. It is loaded on a thread of its own, so that the band plays meanwhile.

use crate::generators::library::{self, GeneratorChoice, Loaded};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

type Load = Box<dyn FnOnce() -> Loaded + Send>;

/// What is being loaded, and what is wanted after that. Dropping it waits: a plugin must not be unloaded under a thread.
#[derive(Default)]
pub struct Loading {
    thread: Option<JoinHandle<Loaded>>,
    /// Chosen while another was being loaded: only the last choice counts.
    next: Option<GeneratorChoice>,
}

impl Loading {
    /// Begins to load. What the thread is not given is loaded here and now.
    pub fn begin(&mut self, load: impl FnOnce() -> Loaded + Send + 'static) -> Option<Loaded> {
        // A thread that cannot be started drops what it was given, so the work is handed over only once it runs.
        let (give, take) = crossbeam_channel::bounded::<Load>(1);
        let body = move || take.recv().map_or_else(|_| Loaded::rules(), safely);
        match std::thread::Builder::new().name("obbligato loading".into()).spawn(body) {
            Ok(thread) => {
                self.thread = Some(thread);
                // The thread waits for it.
                let _ = give.send(Box::new(load));
                None
            }
            Err(_) => Some(safely(Box::new(load))),
        }
    }

    /// Loads what is chosen, after what is being loaded.
    pub fn choose(&mut self, choice: GeneratorChoice) -> Option<Loaded> {
        if self.is_going_on() {
            self.next = Some(choice);
            return None;
        }
        self.begin(move || library::load(&choice))
    }

    pub fn is_going_on(&self) -> bool {
        self.thread.is_some()
    }

    /// What is there by now.
    pub fn look(&mut self) -> Option<Loaded> {
        self.thread.as_ref()?.is_finished().then(|| self.join()).flatten()
    }

    /// Waits for what was chosen last, but no longer than until `deadline`; `None` if nothing is there.
    pub fn wait(&mut self, deadline: Option<Instant>) -> Option<Loaded> {
        const BETWEEN_LOOKS: Duration = Duration::from_millis(1);
        while self.is_going_on() && deadline.is_none_or(|deadline| Instant::now() < deadline) {
            if let Some(loaded) = self.look() {
                return Some(loaded);
            }
            std::thread::sleep(BETWEEN_LOOKS);
        }
        None
    }

    /// What has been loaded, unless another was chosen meanwhile.
    fn join(&mut self) -> Option<Loaded> {
        let loaded = self.thread.take()?.join().unwrap_or_else(|_| failed());
        match self.next.take().filter(|next| loaded.choice.as_ref() != Some(next)) {
            Some(next) => self.choose(next),
            None => Some(loaded),
        }
    }
}

impl Drop for Loading {
    fn drop(&mut self) {
        self.next = None;
        self.join();
    }
}

fn safely(load: Load) -> Loaded {
    catch_unwind(AssertUnwindSafe(load)).unwrap_or_else(|_| failed())
}

fn failed() -> Loaded {
    Loaded {
        problem: Some(
            "The model could not be loaded (an error in the program), so the rules play: choose another.".into(),
        ),
        ..Loaded::rules()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> GeneratorChoice {
        GeneratorChoice::default().named(Some(name.to_owned()))
    }

    #[test]
    fn of_what_is_chosen_meanwhile_the_last_counts() {
        let (open, gate) = crossbeam_channel::bounded::<()>(0);
        let mut loading = Loading::default();
        let begun = loading.begin(move || {
            gate.recv().expect("the test opens it");
            Loaded::rules()
        });
        assert!(begun.is_none() && loading.look().is_none(), "it is not there yet");
        for name in ["first", "second"] {
            assert!(loading.choose(named(name)).is_none());
        }
        assert!(loading.wait(Some(Instant::now())).is_none(), "nobody waits for it");
        open.send(()).expect("the thread listens");
        let loaded = loading.wait(None).expect("it is there in the end");
        assert_eq!(loaded.choice, Some(named("second")));
        assert!(!loading.is_going_on() && loading.wait(None).is_none());
    }

    #[test]
    fn dropping_it_waits_for_its_thread() {
        let (open, gate) = crossbeam_channel::bounded::<()>(1);
        let ended = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let mut loading = Loading::default();
        let seen = ended.clone();
        loading.begin(move || {
            let _ = gate.recv_timeout(Duration::from_millis(200));
            seen.store(true, std::sync::atomic::Ordering::Relaxed);
            Loaded::rules()
        });
        drop(loading);
        assert!(ended.load(std::sync::atomic::Ordering::Relaxed));
        drop(open);
    }
}
