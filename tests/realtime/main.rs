//! Laws of the real-time side, tried on songs, on hosts of all kinds and on random ones. Every call of `process` is
//! guarded against allocation.

mod bands;
mod chord_input;
mod failures;
#[cfg(target_os = "linux")]
#[path = "../forbidden_calls/mod.rs"]
mod forbidden_calls;
mod host;
mod laws;
mod ledger;
mod links;
mod melody;
mod notes;
mod preview;
mod random_hosts;
mod soak;
#[cfg(target_os = "linux")]
mod system_calls;
mod transport;

#[global_allocator]
static ALLOCATOR: assert_no_alloc::AllocDisabler = assert_no_alloc::AllocDisabler;
