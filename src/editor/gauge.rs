//! How much of a bar's time its answer takes, and what was lost. Pure.

use crate::channels::{Meters, SongView};
use crate::music::{Meter, TICKS_PER_QUARTER};
use std::sync::atomic::Ordering;

/// The time an answer takes against the time there is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gauge {
    /// Smoothed over the last answers.
    pub milliseconds: f32,
    pub bar_milliseconds: f32,
    /// The slowest answer since loading.
    pub worst_milliseconds: f32,
}

/// How well it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ease {
    Easy,
    /// The slowest answers come close to the bar.
    Tight,
    /// It does not keep up.
    TooSlow,
}

impl Gauge {
    /// `None` before anything has been answered.
    pub fn of(view: &SongView, meters: &Meters) -> Option<Self> {
        let answered = meters.bars.load(Ordering::Relaxed) > 0;
        let tempo = view.ledger.bars().next_back().and_then(|entry| entry.answers.last());
        let here = view.ledger.bar_holding(meters.playhead_tick());
        let here_tempo = here.and_then(|entry| entry.answers.last()).or(tempo);
        let meter = here.map_or(Meter::COMMON, |entry| entry.bar.meter);
        let quarters = meter.bar_length() as f32 / TICKS_PER_QUARTER as f32;
        let quarters_per_minute = here_tempo.map_or(120.0, |answer| answer.quarters_per_minute.max(1.0));
        answered.then(|| Self {
            milliseconds: meters.milliseconds_per_bar.load(Ordering::Relaxed),
            bar_milliseconds: quarters * 60_000.0 / quarters_per_minute,
            worst_milliseconds: view.engine.worst_milliseconds_per_bar,
        })
    }

    /// Of the bar, 0..=1.
    pub fn share(&self) -> f32 {
        share(self.milliseconds, self.bar_milliseconds)
    }

    pub fn worst_share(&self) -> f32 {
        share(self.worst_milliseconds, self.bar_milliseconds)
    }

    pub fn ease(&self) -> Ease {
        /// From here on little is left for what else the computer does.
        const TIGHT: f32 = 0.6;
        if self.share() >= 1.0 {
            Ease::TooSlow
        } else if self.share() >= TIGHT {
            Ease::Tight
        } else {
            Ease::Easy
        }
    }

    /// `42 of 2000 ms a bar`.
    pub fn text(&self) -> String {
        format!("{} of {:.0} ms a bar", milliseconds(self.milliseconds), self.bar_milliseconds)
    }
}

fn share(part: f32, whole: f32) -> f32 {
    let share = part / whole;
    if share.is_nan() { 0.0 } else { share.clamp(0.0, 1.0) }
}

/// Rules answer in microseconds, models in tens of milliseconds.
pub fn milliseconds(value: f32) -> String {
    if value < 10.0 { format!("{value:.1}") } else { format!("{value:.0}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channels::EngineStatus;
    use crate::editor::piano_roll::test_songs::song;

    fn gauge(milliseconds: f32, worst: f32) -> Option<Gauge> {
        let meters = Meters::default();
        meters.bars.store(3, Ordering::Relaxed);
        meters.milliseconds_per_bar.store(milliseconds, Ordering::Relaxed);
        let engine = EngineStatus { worst_milliseconds_per_bar: worst, ..EngineStatus::default() };
        Gauge::of(&SongView { engine, ..song(4) }, &meters)
    }

    #[test]
    fn an_answer_is_measured_against_its_bar() {
        let gauge = gauge(42.4, 230.0).expect("it has answered");
        assert_eq!(gauge.text(), "42 of 2000 ms a bar", "at 120");
        assert!((gauge.share() - 0.0212).abs() < 1e-4 && (gauge.worst_share() - 0.115).abs() < 1e-4);
        assert_eq!(Gauge::of(&song(4), &Meters::default()), None, "nothing was answered yet");
    }

    #[test]
    fn what_is_too_slow_is_told_from_what_is_tight() {
        let ease = |milliseconds| gauge(milliseconds, 0.0).map(|gauge| gauge.ease());
        assert_eq!(
            [0.0, 1199.0, 1201.0, 2000.0, 1e9].map(ease),
            [Some(Ease::Easy), Some(Ease::Easy), Some(Ease::Tight), Some(Ease::TooSlow), Some(Ease::TooSlow)]
        );
        assert_eq!(ease(f32::NAN), Some(Ease::Easy));
    }
}
