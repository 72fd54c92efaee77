//! Whether the host runs the plugin at all. Pure.

use std::time::{Duration, Instant};

/// A host that asks for no block as long as this runs it no more.
const LONG: Duration = Duration::from_millis(1000);

/// Watches the count of blocks.
#[derive(Debug, Clone, Copy, Default)]
pub struct HostCalls {
    blocks: u32,
    changed: Option<Instant>,
}

impl HostCalls {
    /// Whether blocks have been asked for within the last second.
    pub fn look(&mut self, blocks: u32, now: Instant) -> bool {
        if std::mem::replace(&mut self.blocks, blocks) != blocks {
            self.changed = Some(now);
        }
        self.changed.is_some_and(|changed| now.saturating_duration_since(changed) < LONG)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_calls_until_it_has_been_silent_for_a_second() {
        let start = Instant::now();
        let mut calls = HostCalls::default();
        let mut look = |blocks, milliseconds| calls.look(blocks, start + Duration::from_millis(milliseconds));
        assert!(!look(0, 0), "it never has");
        assert!(look(1, 10) && look(2, 500) && look(2, 1499));
        assert!(!look(2, 1501));
        assert!(look(3, 9000));
    }
}
