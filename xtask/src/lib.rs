//! The project's chores behind `cargo xtask`, and the plugin hosts that its tests use.

pub mod bench;
pub mod bundle;
#[cfg(target_os = "linux")]
pub mod frames;
pub mod host;
pub mod install;
pub mod jam;
#[cfg(target_os = "linux")]
pub mod keys;
pub mod lateness;
pub mod piano_roll;
pub mod python;
pub mod requirements;
pub mod runtime;
#[cfg(target_os = "linux")]
pub mod screenshots;
#[cfg(target_os = "linux")]
pub mod standalone;
pub mod startup;
pub mod test;
pub mod train;
pub mod validate;
#[cfg(target_os = "linux")]
pub mod virtual_display;
pub mod workspace;
