//! Things that are lent to one thread at a time, first come, first served.
//!
//! In turn, and not to whoever asks quickest: of several instances that answer at the same time, each then has its first
//! notes after a few tokens.

use std::ops::{Deref, DerefMut};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

pub struct Pool<T> {
    state: Mutex<State<T>>,
    returned: Condvar,
}

struct State<T> {
    free: Vec<T>,
    /// How many have come so far, and how many of them have been served.
    came: u64,
    served: u64,
}

/// Given back when it is dropped.
pub struct Lent<'a, T> {
    pool: &'a Pool<T>,
    /// There until it is dropped.
    thing: Option<T>,
}

impl<T> Pool<T> {
    pub fn of(first: T) -> Self {
        Self { state: Mutex::new(State { free: vec![first], came: 0, served: 0 }), returned: Condvar::new() }
    }

    pub fn add(&self, another: T) {
        self.lock().free.push(another);
        self.returned.notify_all();
    }

    /// Waits until one is free and everyone who came before has one.
    pub fn lend(&self) -> Lent<'_, T> {
        let mut state = self.lock();
        let turn = state.came;
        state.came += 1;
        loop {
            if state.served == turn
                && let Some(thing) = state.free.pop()
            {
                state.served += 1;
                drop(state);
                // There may be another for the next in turn.
                self.returned.notify_all();
                return Lent { pool: self, thing: Some(thing) };
            }
            state = self.returned.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Deref for Lent<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.thing.as_ref().expect("it is there until it is dropped")
    }
}

impl<T> DerefMut for Lent<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.thing.as_mut().expect("it is there until it is dropped")
    }
}

impl<T> Drop for Lent<'_, T> {
    fn drop(&mut self) {
        if let Some(thing) = self.thing.take() {
            self.pool.add(thing);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Barrier, mpsc};
    use std::thread;

    #[test]
    fn each_is_lent_to_one_at_a_time_and_all_of_them_at_once() {
        let pool = Pool::of(1);
        pool.add(2);
        // Two meet only if both things can be lent at once.
        let meeting = Barrier::new(2);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let _thing = pool.lend();
                    meeting.wait();
                });
            }
        });
        let (lent, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let _thing = pool.lend();
                        most.fetch_max(lent.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        thread::yield_now();
                        lent.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert!((1..=2).contains(&most.load(Ordering::SeqCst)));
    }

    #[test]
    fn who_came_first_is_served_first() {
        let pool = Pool::of(());
        let (sender, served) = mpsc::channel();
        let held = pool.lend();
        thread::scope(|scope| {
            for number in 1..=4_u64 {
                let (pool, sender) = (&pool, sender.clone());
                scope.spawn(move || {
                    let _thing = pool.lend();
                    sender.send(number).expect("the test listens");
                });
                while pool.lock().came < number + 1 {
                    thread::yield_now();
                }
            }
            drop(held);
        });
        drop(sender);
        assert_eq!(served.iter().collect::<Vec<_>>(), [1, 2, 3, 4]);
    }

    #[test]
    fn a_panic_gives_it_back() {
        let pool = Pool::of(7);
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let _thing = pool.lend();
            panic!("a string broke");
        }));
        assert!(panicked.is_err());
        assert_eq!(*pool.lend(), 7);
    }
}
