//! Finds system calls of a thread: its work is done in a process of its own, where the kernel forbids the thread every call
//! there is, and ends the process at the first. Which call it was is found by forbidding half of them, then half of that.
//!
//! The child is a test that is ignored, and does the work that [`work`] names.

use seccompiler::{SeccompAction, SeccompFilter};
use std::collections::BTreeMap;
use std::env;
use std::hint::spin_loop;
use std::ops::Range;
use std::os::unix::process::ExitStatusExt;
use std::process::{self, Command};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;
use syscalls::Sysno;

/// What the child does, and which calls are forbidden while it does.
const WORK: &str = "OBBLIGATO_SYSTEM_CALLS_WORK";
const FORBIDDEN: &str = "OBBLIGATO_SYSTEM_CALLS_FORBIDDEN";
/// A process that the kernel ended because of a forbidden call was sent this signal, SIGSYS.
const FORBIDDEN_CALL: i32 = 31;

/// A call that the child, by the name of its test, makes in this work.
pub fn system_call_in(child: &str, work: &str) -> Option<&'static str> {
    let all: Vec<Sysno> = Sysno::iter().collect();
    if !is_ended(child, work, "all") {
        return None;
    }
    let is_among = |range: &Range<usize>| is_ended(child, work, &format!("{}..{}", range.start, range.end));
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
fn is_ended(child: &str, work: &str, forbidden: &str) -> bool {
    let mut process = Command::new(env::current_exe().expect("the test has a file"));
    process.args(["--exact", child, "--ignored", "--nocapture"]).env(WORK, work).env(FORBIDDEN, forbidden);
    let output = process.output().expect("the test can be started again");
    let ended = output.status.signal() == Some(FORBIDDEN_CALL);
    assert!(ended || output.status.success(), "{work}, {forbidden} forbidden: {output:?}");
    ended
}

/// The work is done.
static DONE: AtomicBool = AtomicBool::new(false);

/// In the child: what is to be done. `None` where the test was started by hand.
pub fn work() -> Option<String> {
    let (Ok(work), Ok(_)) = (env::var(WORK), env::var(FORBIDDEN)) else { return None };
    // The thread that is forbidden all calls may not even end the process.
    thread::spawn(|| {
        while !DONE.load(Ordering::Acquire) {
            thread::sleep(Duration::from_millis(1));
        }
        process::exit(0);
    });
    Some(work)
}

/// In the child: ends its process. The thread may not end: that takes calls, too.
pub fn finish() -> ! {
    DONE.store(true, Ordering::Release);
    loop {
        spin_loop();
    }
}

/// In the child: from here on this thread may make none of the calls that are forbidden.
pub fn forbid() {
    let which = env::var(FORBIDDEN).expect("it is a child");
    let architecture = env::consts::ARCH.try_into().expect("the kernel can filter here");
    let (rules, others, these) = if which == "all" {
        (BTreeMap::new(), SeccompAction::KillProcess, SeccompAction::Allow)
    } else {
        let (start, end) = which.split_once("..").expect("a range in the list");
        let place = |text: &str| text.parse::<usize>().expect("a place in the list");
        let calls = Sysno::iter().skip(place(start)).take(place(end) - place(start));
        let rules = calls.map(|call| (i64::from(call.id()), Vec::new())).collect();
        (rules, SeccompAction::Allow, SeccompAction::KillProcess)
    };
    let filter = SeccompFilter::new(rules, others, these, architecture).expect("the rules are sound");
    let program: seccompiler::BpfProgram = filter.try_into().expect("the rules can be compiled");
    seccompiler::apply_filter(&program).expect("the kernel takes the filter");
}
