//! `process` makes no system call, and waits for nothing: a lock that is held elsewhere is a call too (`futex`).

use crate::bands::all_parts;
use crate::forbidden_calls::{self, finish, forbid};
use crate::host::{TestHost, block, playing, release, strike};
use crate::preview::Rehearsal;
use crate::random_hosts::{Act, RandomHost, history};
use obbligato::generators::library::Loaded;
use std::hint::{black_box, spin_loop};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

#[test]
fn process_makes_no_system_call() {
    assert_eq!(system_call_in("process"), None);
}

#[test]
fn nor_does_the_preview_sound() {
    assert_eq!(system_call_in("preview"), None);
}

#[test]
fn a_system_call_would_be_found_and_named() {
    for (work, name) in
        [("nothing", None), ("yield", Some("sched_yield")), ("lock", Some("futex")), ("allocate", Some("mmap"))]
    {
        assert_eq!(system_call_in(work), name, "{work}");
    }
}

fn system_call_in(work: &str) -> Option<&'static str> {
    forbidden_calls::system_call_in("system_calls::child", work)
}

#[test]
#[ignore = "started by the tests above, in a process of its own"]
fn child() {
    let Some(work) = forbidden_calls::work() else { return };
    match work.as_str() {
        "process" => process_blocks(),
        "preview" => {
            let mut rehearsal = Rehearsal::new();
            forbid();
            (0..2000).for_each(|_| rehearsal.play_block());
        }
        "nothing" => forbid(),
        "yield" => {
            forbid();
            thread::yield_now();
        }
        "lock" => wait_for_lock(),
        "allocate" => {
            forbid();
            black_box(vec![1_u8; 1 << 28]);
        }
        other => panic!("unknown work {other}"),
    }
    finish();
}

/// Wants a lock that another thread holds, for two seconds.
fn wait_for_lock() {
    static LOCK: Mutex<()> = Mutex::new(());
    static HELD: AtomicBool = AtomicBool::new(false);
    static WANTED: AtomicBool = AtomicBool::new(false);
    thread::spawn(|| {
        let _held = LOCK.lock();
        HELD.store(true, Ordering::Release);
        while !WANTED.load(Ordering::Acquire) {
            thread::sleep(Duration::from_millis(1));
        }
        thread::sleep(Duration::from_secs(2));
    });
    while !HELD.load(Ordering::Acquire) {
        spin_loop();
    }
    forbid();
    WANTED.store(true, Ordering::Release);
    drop(LOCK.lock());
}

/// An ordinary song, then random hosts, with a worker on its own thread, which may do what it likes.
fn process_blocks() -> ! {
    const SONG: u32 = 6000;
    const HISTORIES: u64 = 300;
    let mut host = TestHost::threaded(Loaded::rules);
    // So that the account does not ask for memory either.
    host.sent.reserve(1 << 20);
    let mut histories: Vec<_> = (0..HISTORIES).map(history).collect();
    // What the user does to the song is sent from another thread.
    histories.iter_mut().for_each(|history| history.retain(|act| !matches!(act, Act::Edit { .. })));
    let settings = all_parts();
    // Once, so that whatever is made at first use is there.
    host.block(&block(64, playing(0.0), &settings));
    let mut host = RandomHost::new(host);
    forbid();
    for step in 0..SONG {
        let (struck, released) =
            ([strike(0, 60 + (step / 50 % 12) as i32)], [release(0, 60 + (step / 50 % 12) as i32)]);
        let mut block = block(480, playing(f64::from(step) * 0.02), &settings);
        block.input = match step % 50 {
            0 => &struck,
            40 => &released,
            _ => &[],
        };
        host.host.block(&block);
        // The worker looks every few milliseconds; without a little time for it nothing would ever be answered.
        (0..2000).for_each(|_| spin_loop());
    }
    let strikes = host.host.sent.iter().filter(|sent| sent.is_on()).count();
    for history in &histories {
        host.host.sent.clear();
        history.iter().for_each(|act| {
            host.act(*act);
        });
    }
    assert!(strikes > 100, "a band plays");
    // Before the host is dropped.
    finish();
}
