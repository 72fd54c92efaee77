//! Half a bar for nobody: how long does a band take here and now?
//!
//! Later answers are asked for as early as those before them took. The first one has none before it.

use super::{Ask, Drummer, Generator, Request, SegmentAnswer};
use crate::channels::SHORTEST_MARGIN;
use crate::music::{Bar, Key, Meter, Note, Part, PerPart, Velocity};
use crate::settings::Settings;
use std::time::{Duration, Instant};

/// The time in which generator and drummer write half a bar of all parts, after a bar of melody; `None` where one of them
/// fails, which is told when it plays.
pub fn rehearse(generator: &mut dyn Generator, drummer: Option<&mut Box<dyn Drummer>>) -> Option<Duration> {
    const SCALE: [i32; 8] = [60, 62, 64, 65, 67, 69, 71, 72];
    let eighth = Meter::COMMON.bar_length() / SCALE.len() as i32;
    let strike = |(at, key): (i32, &i32)| {
        let (start, key) = (at * eighth, Key::folded(*key));
        Note { start, key, duration: eighth, velocity: Velocity::default() }
    };
    let melody: Vec<Note> = (0..).zip(&SCALE).map(strike).collect();
    let mut settings = Settings::default();
    Part::BAND.into_iter().for_each(|part| settings.parts[part].on = true);
    let segment = Bar::of_constant_meter(1, Meter::COMMON).segment_at(0);
    let request = Request {
        ask: Ask::Jam(segment),
        melody: &melody,
        past: &[],
        chords: &[None],
        parts: PerPart::from_fn(|part| settings.part_is_on(part)),
        standing: &[],
        settings: &settings,
        quarters_per_minute: 120.0,
        margin: SHORTEST_MARGIN,
        seed: 0,
    };
    let begun = Instant::now();
    let mut notes = Vec::new();
    let chord = *generator.answer(&request, &mut |note| notes.push(note)).ok()?.first()?;
    if let Some(drummer) = drummer {
        let (quarters_per_minute, margin) = (request.quarters_per_minute, request.margin);
        let answer = SegmentAnswer { segment, chord, notes, settings, quarters_per_minute, margin };
        drummer.play(&request, &[answer], &mut |_| {}).ok()?;
    }
    Some(begun.elapsed())
}

#[cfg(test)]
mod tests {
    use super::super::rules::RuleGenerator;
    use super::super::watched::Watched;
    use super::*;

    #[test]
    fn it_takes_as_long_as_a_whole_band_takes() {
        let mut slow = Watched(|request: &Request<'_>| {
            assert!(Part::BAND.iter().all(|part| request.parts[*part]), "everybody plays");
            std::thread::sleep(Duration::from_millis(30));
        });
        let (slow, rules) = (rehearse(&mut slow, None), rehearse(&mut RuleGenerator, None));
        assert!(slow.expect("it plays") >= Duration::from_millis(30));
        assert!(rules.expect("they play") < Duration::from_millis(30));
    }
}
