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
    /// Seconds of music since the first call, while nothing but its song speaks for a render.
    presumed: Option<f64>,
    last: Option<Call>,
    /// Seconds by which the music is ahead of the clock.
    lead: f64,
    /// Seconds of music in the stretch that is being measured, and how long the host took for them.
    stretch: f64,
    host_time: f64,
}

/// How the host calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    Live,
    /// The song runs in the first call after an activation: a render that the host has not told of, or else a plugin that was put into
    /// a song that plays. Until the clock tells which, a little waiting loses no note of the one and stops the other but once.
    PresumedRender,
    Render,
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

    /// Seconds of music after which a render would have shown, though the plugin has made it wait.
    const PRESUMED_FOR: f64 = 1.0;

    /// `offline` is what the host says. If that is `certain`, a render is not presumed, nor is its end looked for by the clock.
    pub fn new(offline: bool, certain: bool) -> Self {
        let presumed = (!offline && !certain).then_some(0.0);
        Self { offline, certain, presumed, last: None, lead: 0.0, stretch: 0.0, host_time: 0.0 }
    }

    /// Forgets the last call: time passed since that says nothing.
    pub fn interrupt(&mut self) {
        self.last = None;
    }

    /// Takes the beginning of a call for `length` seconds, in which the song runs or stands still.
    pub fn begin(&mut self, length: f64, song_runs: bool, now: Instant) -> Pace {
        if let Some(last) = self.last {
            if self.offline { self.measure_pace(&last, now) } else { self.measure_lead(&last, now) }
        }
        self.last = Some(Call { began: now, ended: now, length });
        let over = |music: &f64| *music > Self::PRESUMED_FOR || !song_runs;
        self.presumed = self.presumed.filter(|music| !over(music)).map(|music| music + length);
        match (self.offline, self.presumed) {
            (true, _) => Pace::Render,
            (false, Some(_)) => Pace::PresumedRender,
            (false, None) => Pace::Live,
        }
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
        *self = Self { offline, presumed: None, lead: 0.0, stretch: 0.0, host_time: 0.0, ..*self };
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
        /// host waits `outside` seconds after each burst. Returns whether the last call was a render's.
        fn run(&mut self, seconds: f64, burst: usize, inside: f64, outside: f64) -> bool {
            let mut pace = Pace::Live;
            let mut music = 0.0;
            while music < seconds {
                for _ in 0..burst {
                    pace = self.detector.begin(BLOCK, true, self.now);
                    self.now += Duration::from_secs_f64(inside);
                    self.detector.end(self.now);
                    music += BLOCK;
                }
                self.now += Duration::from_secs_f64(outside);
            }
            pace == Pace::Render
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
    fn a_song_that_runs_from_the_first_call_may_be_a_render() {
        let now = Instant::now();
        let mut put_into_a_song = OfflineDetector::new(false, false);
        let calls = (0..200u32).map(|call| now + Duration::from_secs_f64(BLOCK) * call);
        let paces: Vec<Pace> = calls.map(|at| put_into_a_song.begin(BLOCK, true, at)).collect();
        assert_eq!(paces[..90], [Pace::PresumedRender; 90]);
        assert_eq!(paces[100..], [Pace::Live; 100], "a second later it is known not to be");

        let mut render = OfflineDetector::new(false, false);
        let paces: Vec<Pace> = (0..200u32).map(|_| render.begin(BLOCK, true, now)).collect();
        assert!(!paces.contains(&Pace::Live));
        assert_eq!(paces[60..], [Pace::Render; 140]);

        let mut waits_for_the_user = OfflineDetector::new(false, false);
        assert_eq!(waits_for_the_user.begin(BLOCK, false, now), Pace::Live);
        let started = waits_for_the_user.begin(BLOCK, true, now + Duration::from_secs_f64(BLOCK));
        assert_eq!(started, Pace::Live, "a host that plays calls before the song runs");
    }

    #[test]
    fn a_host_that_is_certain_is_believed() {
        assert!(Host::new(true, true).run(60.0, 1, 0.0, BLOCK));
    }
}
