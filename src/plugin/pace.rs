//! Tells an offline render from playing, by the clock. Runs on the audio thread.

use std::time::Instant;

/// Compares how much music the host asks for with the time that passes.
///
/// Needed because hosts do not always say: VST3's process mode reaches the plugin one activation late (so it may be
/// wrong either way), and some CLAP hosts render without the extension that would tell.
#[derive(Debug)]
pub struct OfflineDetector {
    offline: bool,
    certain: bool,
    last: Option<Call>,
    /// Seconds by which the music is ahead of the clock.
    lead: f64,
    /// Seconds of music in the stretch that is being measured, and how long the host took for them.
    stretch: f64,
    host_time: f64,
}

#[derive(Debug, Clone, Copy)]
struct Call {
    began: Instant,
    ended: Instant,
    /// Seconds of music in the block.
    length: f64,
}

impl OfflineDetector {
    /// Hosts that play render ahead by a hardware buffer (8192 samples are .19 s) or a read-ahead buffer (.2 s is usual).
    const LEAD_OF_A_RENDER: f64 = 0.5;
    /// Seconds of music over which the pace is measured before it is called real time again.
    const STRETCH: f64 = 1.0;
    /// Share of the music's time that passes in the host when it plays: all, less what the plugin itself takes.
    const HOST_SHARE: f64 = 0.8;
    /// A single pause counts no more than this: it may be a disk that is slow or a user who thinks.
    const LONGEST_PAUSE: f64 = 0.25;

    /// `offline` is what the host says; if that is `certain` and true, the clock is not asked.
    pub fn new(offline: bool, certain: bool) -> Self {
        Self { offline, certain, last: None, lead: 0.0, stretch: 0.0, host_time: 0.0 }
    }

    /// Forgets the last call: time passed since that says nothing.
    pub fn interrupt(&mut self) {
        self.last = None;
    }

    /// Takes the beginning of a call; returns whether this is an offline render.
    pub fn begin(&mut self, length: f64, now: Instant) -> bool {
        if let Some(last) = self.last {
            if self.offline { self.measure_pace(&last, now) } else { self.measure_lead(&last, now) }
        }
        self.last = Some(Call { began: now, ended: now, length });
        self.offline
    }

    /// Takes the end of a call: what the plugin spent waiting must not count as the host's time.
    pub fn end(&mut self, now: Instant) {
        if let Some(last) = &mut self.last {
            last.ended = now;
        }
    }

    fn measure_lead(&mut self, last: &Call, now: Instant) {
        let passed = now.saturating_duration_since(last.began).as_secs_f64();
        self.lead = (self.lead + last.length - passed).max(0.0);
        if self.lead > Self::LEAD_OF_A_RENDER {
            self.decide(true);
        }
    }

    fn measure_pace(&mut self, last: &Call, now: Instant) {
        if self.certain {
            return;
        }
        let passed = now.saturating_duration_since(last.ended).as_secs_f64();
        self.stretch += last.length;
        self.host_time += passed.min(Self::LONGEST_PAUSE);
        if self.stretch >= Self::STRETCH {
            self.decide(self.host_time < Self::HOST_SHARE * self.stretch);
        }
    }

    fn decide(&mut self, offline: bool) {
        *self = Self { offline, lead: 0.0, stretch: 0.0, host_time: 0.0, ..*self };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const BLOCK: f64 = 512.0 / 48_000.0;

    struct Host {
        now: Instant,
        detector: OfflineDetector,
    }

    impl Host {
        fn new(offline: bool, certain: bool) -> Self {
            Self { now: Instant::now(), detector: OfflineDetector::new(offline, certain) }
        }

        /// Calls for `seconds` of music in bursts of `burst` blocks; the plugin takes `inside` seconds a block, and the
        /// host waits `outside` seconds after each burst. Returns the last answer.
        fn run(&mut self, seconds: f64, burst: usize, inside: f64, outside: f64) -> bool {
            let mut offline = false;
            let mut music = 0.0;
            while music < seconds {
                for _ in 0..burst {
                    offline = self.detector.begin(BLOCK, self.now);
                    self.now += Duration::from_secs_f64(inside);
                    self.detector.end(self.now);
                    music += BLOCK;
                }
                self.now += Duration::from_secs_f64(outside);
            }
            offline
        }
    }

    #[test]
    fn playing_is_never_taken_for_a_render() {
        for (burst, inside) in [(1, 0.0), (1, 0.009), (16, 0.0005), (18, 0.0)] {
            let burst_length = BLOCK * burst as f64;
            let outside = burst_length - inside * burst as f64;
            assert!(!Host::new(false, false).run(600.0, burst, inside, outside), "bursts of {burst}");
        }
    }

    #[test]
    fn a_render_shows_within_a_second_of_music_even_while_the_plugin_makes_it_wait() {
        let mut host = Host::new(false, false);
        assert!(!host.run(0.4, 1, 0.0, 0.001));
        assert!(host.run(0.6, 1, 0.0, 0.001));
        assert!(host.run(60.0, 1, 0.05, 0.001), "slower than real time, but not for the host's sake");
    }

    #[test]
    fn playing_again_after_a_render_shows_within_two_seconds_of_music() {
        for (burst, offline_by_the_host) in [(1, true), (1, false), (16, true)] {
            let mut host = Host::new(offline_by_the_host, false);
            assert!(host.run(10.0, burst, 0.0, 0.001));
            assert!(!host.run(2.1, burst, 0.001, (BLOCK - 0.001) * burst as f64), "bursts of {burst}");
        }
    }

    #[test]
    fn a_pause_in_a_render_changes_nothing() {
        let mut host = Host::new(true, false);
        for _ in 0..10 {
            assert!(host.run(2.0, 1, 0.0, 0.001));
            host.now += Duration::from_secs(5);
        }
    }

    #[test]
    fn a_host_that_is_certain_is_believed() {
        assert!(Host::new(true, true).run(60.0, 1, 0.0, BLOCK));
    }
}
