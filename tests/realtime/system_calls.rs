//! `process` makes no system call, and waits for nothing: a lock that is held elsewhere is a call too (`futex`).
//!
//! Tried in a process of its own, where the kernel forbids the audio thread every call there is, and ends the process at the
//! first. Which call it was is found by forbidding half of them, then half of that.

use crate::bands::all_parts;
use crate::host::{TestHost, block, playing, release, strike};
use crate::preview::Rehearsal;
use crate::random_hosts::{Act, RandomHost, history};
use obbligato::generators::library::Loaded;
use seccompiler::{SeccompAction, SeccompFilter};
use std::collections::BTreeMap;
use std::env;
use std::hint::{black_box, spin_loop};
use std::ops::Range;
use std::os::unix::process::ExitStatusExt;
use std::process::{self, Command};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;
use syscalls::Sysno;

/// What the child does, and which calls are forbidden while it does.
const WORK: &str = "OBBLIGATO_SYSTEM_CALLS_WORK";
const FORBIDDEN: &str = "OBBLIGATO_SYSTEM_CALLS_FORBIDDEN";
/// A process that the kernel ended because of a forbidden call was sent this signal, SIGSYS.
const FORBIDDEN_CALL: i32 = 31;

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

/// A call that the child makes in this work.
fn system_call_in(work: &str) -> Option<&'static str> {
    let all: Vec<Sysno> = Sysno::iter().collect();
    if !is_ended(work, "all") {
        return None;
    }
    let is_among = |range: &Range<usize>| is_ended(work, &format!("{}..{}", range.start, range.end));
    let mut among = 0..all.len();
    assert!(is_among(&among), "a call that is in no list");
    while among.len() > 1 {
        let middle = among.start + among.len() / 2;
        let half = among.start..middle;
        among = if is_among(&half) { half } else { middle..among.end };
    }
    Some(all[among.start].name())
}

/// Whether the child is ended for making a call that is forbidden.
fn is_ended(work: &str, forbidden: &str) -> bool {
    let mut child = Command::new(env::current_exe().expect("the test has a file"));
    child
        .args(["--exact", "system_calls::child", "--ignored", "--nocapture"])
        .env(WORK, work)
        .env(FORBIDDEN, forbidden);
    let output = child.output().expect("the test can be started again");
    let ended = output.status.signal() == Some(FORBIDDEN_CALL);
    assert!(ended || output.status.success(), "{work}, {forbidden} forbidden: {output:?}");
    ended
}

/// The work is done; how many blocks and strikes it was.
static DONE: AtomicBool = AtomicBool::new(false);
static BLOCKS: AtomicU64 = AtomicU64::new(0);
static STRIKES: AtomicU64 = AtomicU64::new(0);

#[test]
#[ignore = "started by the tests above, in a process of its own"]
fn child() {
    let (Ok(work), Ok(forbidden)) = (env::var(WORK), env::var(FORBIDDEN)) else {
        return;
    };
    // This thread may then not even end the process.
    thread::spawn(|| {
        while !DONE.load(Ordering::Acquire) {
            thread::sleep(Duration::from_millis(1));
        }
        println!("{} blocks, {} strikes", BLOCKS.load(Ordering::Relaxed), STRIKES.load(Ordering::Relaxed));
        process::exit(0);
    });
    match work.as_str() {
        "process" => process_blocks(&forbidden),
        "preview" => {
            let mut rehearsal = Rehearsal::new();
            forbid(&forbidden);
            (0..2000).for_each(|_| rehearsal.play_block());
        }
        "nothing" => forbid(&forbidden),
        "yield" => {
            forbid(&forbidden);
            thread::yield_now();
        }
        "lock" => wait_for_lock(&forbidden),
        "allocate" => {
            forbid(&forbidden);
            black_box(vec![1_u8; 1 << 28]);
        }
        other => panic!("unknown work {other}"),
    }
    finish();
}

/// The thread may not end: that takes calls, too.
fn finish() -> ! {
    DONE.store(true, Ordering::Release);
    loop {
        spin_loop();
    }
}

/// Wants a lock that another thread holds, for two seconds.
fn wait_for_lock(forbidden: &str) {
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
    forbid(forbidden);
    WANTED.store(true, Ordering::Release);
    drop(LOCK.lock());
}

/// From here on this thread may make none of these calls: all, or a range in the list.
fn forbid(which: &str) {
    let architecture = env::consts::ARCH.try_into().expect("the kernel can filter here");
    let (rules, others, these) = if which == "all" {
        (BTreeMap::new(), SeccompAction::KillProcess, SeccompAction::Allow)
    } else {
        let (start, end) = which.split_once("..").expect("a range");
        let place = |text: &str| text.parse::<usize>().expect("a place in the list");
        let calls = Sysno::iter().skip(place(start)).take(place(end) - place(start));
        let rules = calls.map(|call| (i64::from(call.id()), Vec::new())).collect();
        (rules, SeccompAction::Allow, SeccompAction::KillProcess)
    };
    let filter = SeccompFilter::new(rules, others, these, architecture).expect("the rules are sound");
    let program: seccompiler::BpfProgram = filter.try_into().expect("the rules can be compiled");
    seccompiler::apply_filter(&program).expect("the kernel takes the filter");
}

/// An ordinary song, then random hosts, with a worker on its own thread, which may do what it likes.
fn process_blocks(forbidden: &str) -> ! {
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
    forbid(forbidden);
    let mut blocks = 0_u64;
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
        blocks += 1;
        // The worker looks every few milliseconds; without a little time for it nothing would ever be answered.
        (0..2000).for_each(|_| spin_loop());
    }
    let strikes = host.host.sent.iter().filter(|sent| sent.is_on()).count() as u64;
    for history in &histories {
        host.host.sent.clear();
        blocks += history.iter().filter(|act| host.act(**act)).count() as u64;
    }
    assert!(strikes > 100, "a band plays");
    BLOCKS.store(blocks, Ordering::Relaxed);
    STRIKES.store(strikes, Ordering::Relaxed);
    finish();
}
