//! Where a melody is carried on: by the metre and the ticks of what was played alone, so that it does not matter when it is
//! asked, nor what has been written. Pure.

use crate::music::{Bar, Note, Ticks};
use crate::settings::{ExtendSettings, ExtendWhen};

/// A sixteenth: so far from a line a player's hand may be.
const HAND: Ticks = 3;
/// A note that sounds up to a line is known to have ended only a little after it.
const RELEASE: Ticks = 2;

/// From where on the melody is being carried on at `at`, a place in `bar`, after what was played before. `None` where the
/// player plays, or has left nothing to be carried on.
///
/// Bars are counted back in the metre of `bar`.
pub fn began(settings: &ExtendSettings, bar: &Bar, at: Ticks, played: &[Note]) -> Option<Ticks> {
    let played = &played[..played.partition_point(|note| note.start < at)];
    let (bars, length) = (i32::from(settings.bars), bar.meter.bar_length());
    let last = played.last()?.start;
    match settings.when {
        ExtendWhen::Stops => {
            let sounds_until = played.iter().map(Note::end).max()?;
            let silent = (last + length - HAND).max(sounds_until.saturating_add(RELEASE));
            let from = (silent <= at).then(|| segment_from(bar, silent))?;
            // The bar in which it begins is the first.
            let first = bar.start + (from - bar.start).div_euclid(length) * length;
            (from <= at && at < first + bars * length).then_some(from)
        }
        ExtendWhen::FromBar => {
            let number = bar.index.0 - (i32::from(settings.from) - 1);
            let from = (0..bars).contains(&number).then(|| bar.start - number * length)?;
            (last < from + HAND).then_some(from)
        }
        ExtendWhen::CallAndResponse => {
            let (number, into) = (bar.index.0.div_euclid(bars), bar.index.0.rem_euclid(bars));
            let from = bar.start - into * length;
            let called = from - bars * length - HAND <= last && last < from + HAND;
            (number.rem_euclid(2) == 1 && called).then_some(from)
        }
    }
}

/// Where the player comes in again: the first strike from `at` on, but for one that is late on the line at which the stretch
/// began.
pub fn comes_in(began: Ticks, at: Ticks, melody: &[Note]) -> Option<Ticks> {
    melody.iter().map(|note| note.start).find(|start| at.max(began + HAND) <= *start)
}

/// The first place from `position` on, in the metre of `bar`, at which a segment begins.
fn segment_from(bar: &Bar, position: Ticks) -> Ticks {
    let length = bar.meter.bar_length();
    let into = (position - bar.start).rem_euclid(length);
    let (first, second) = bar.meter.segments();
    let lines = [0].into_iter().chain(second.map(|_| first)).chain([length]);
    let next = lines.into_iter().find(|line| into <= *line).unwrap_or(length);
    position - into + next
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::music::{Key, Meter, Velocity};

    fn note(start: Ticks, duration: Ticks) -> Note {
        Note { start, key: Key::folded(60), duration, velocity: Velocity::default() }
    }

    /// The half bars of the first twelve bars of 4/4 in which the melody is carried on, where the player's notes are known
    /// as far as they begin before them.
    fn halves(settings: ExtendSettings, played: &[Note]) -> Vec<f32> {
        let halves = (0..24).map(|half| half * 24);
        let carried_on = halves.filter(|at| began(&settings, &Bar::at(*at, Meter::COMMON), *at, played).is_some());
        carried_on.map(|at| at as f32 / 48.0).collect()
    }

    fn from_to(first: f32, end: f32) -> Vec<f32> {
        (0..24).map(|half| half as f32 / 2.0).filter(|half| (first..end).contains(half)).collect()
    }

    #[test]
    fn who_stops_is_carried_on_after_a_bar_without_a_strike() {
        let settings = ExtendSettings { bars: 4, ..ExtendSettings::default() };
        let played = |last| [note(24, 12), note(last, 12)];
        assert_eq!(halves(settings, &played(48)), from_to(2.0, 6.0), "a last note on the line");
        assert_eq!(halves(settings, &played(50)), from_to(2.0, 6.0), "a late one");
        assert_eq!(halves(settings, &played(45)), from_to(2.0, 6.0), "an early one");
        assert_eq!(halves(settings, &[note(48, 12), note(72, 12)]), from_to(2.5, 6.0), "one in the middle of its bar");
        assert_eq!(halves(settings, &[note(48, 1 << 24)]), [0.0; 0], "a key that is held is no rest");
        assert_eq!(halves(settings, &[note(48, 120)]), from_to(4.0, 8.0), "nor is a long note");
        assert_eq!(halves(settings, &[note(0, 12), note(144, 12)]), [from_to(1.0, 3.5), from_to(4.0, 8.0)].concat());
        assert_eq!(halves(settings, &[]), [0.0; 0], "nothing can be carried on");
    }

    #[test]
    fn from_a_bar_on_the_melody_is_carried_on_until_the_player_comes_in() {
        let settings = ExtendSettings { when: ExtendWhen::FromBar, from: 5, bars: 3, ..ExtendSettings::default() };
        let call: Vec<Note> = (0..16).map(|beat| note(12 * beat, 12)).collect();
        assert_eq!(halves(settings, &call), from_to(4.0, 7.0));
        assert_eq!(
            halves(settings, &[call.clone(), vec![note(194, 6)]].concat()),
            from_to(4.0, 7.0),
            "a late last note"
        );
        assert_eq!(halves(settings, &[call, vec![note(230, 6)]].concat()), from_to(4.0, 5.0));
        assert_eq!(halves(settings, &[]), [0.0; 0]);
    }

    #[test]
    fn a_call_is_answered_and_silence_is_not() {
        let settings = ExtendSettings { when: ExtendWhen::CallAndResponse, bars: 2, ..ExtendSettings::default() };
        assert_eq!(halves(settings, &[note(20, 12)]), from_to(2.0, 4.0));
        assert_eq!(halves(settings, &[note(20, 12), note(97, 6)]), from_to(2.0, 4.0), "a late last note");
        assert_eq!(halves(settings, &[note(20, 12), note(130, 6)]), from_to(2.0, 3.0), "until the player comes in");
        assert_eq!(halves(settings, &[note(20, 12), note(250, 6)]), [from_to(2.0, 4.0), from_to(6.0, 8.0)].concat());
        assert_eq!(halves(settings, &[]), [0.0; 0]);
    }

    #[test]
    fn segments_begin_where_the_metre_says() {
        let places = |meter: Meter| [0, 1, 12, 25, 40].map(|position| segment_from(&Bar::at(96, meter), position));
        assert_eq!(places(Meter::COMMON), [0, 24, 24, 48, 48]);
        let waltz = Meter::new(3, 4).expect("usual");
        assert_eq!(segment_from(&Bar::of_constant_meter(2, waltz), 1), 36);
        assert_eq!(segment_from(&Bar::of_constant_meter(2, waltz), -35), 0);
    }

    #[test]
    fn the_player_comes_in_with_the_first_strike_that_is_no_late_one() {
        let melody = [note(97, 3), note(130, 3)];
        assert_eq!(comes_in(96, 96, &melody), Some(130));
        assert_eq!(comes_in(48, 96, &melody), Some(97));
        assert_eq!(comes_in(48, 131, &melody), None);
    }
}
