//! Drums: a groove for each style in any metre, and fills where a phrase ends.

use super::rhythm::{Groove, NEVER, Place, Rank, beats, places};
use super::{Pen, Sheet};
use crate::music::{Key, Part, Segment, Ticks};

/// General MIDI percussion keys.
const KICK: Key = drum(36);
const SIDE_STICK: Key = drum(37);
const SNARE: Key = drum(38);
const CLOSED_HAT: Key = drum(42);
const PEDAL_HAT: Key = drum(44);
const LOW_TOM: Key = drum(45);
const OPEN_HAT: Key = drum(46);
const MIDDLE_TOM: Key = drum(47);
const CRASH: Key = drum(49);
const HIGH_TOM: Key = drum(50);
const RIDE: Key = drum(51);

const fn drum(number: u8) -> Key {
    Key::new(number).expect("below 128")
}

/// A stroke that is played when the density reaches its need.
struct Hit {
    key: Key,
    at: Ticks,
    need: f32,
    /// 0 is a ghost note, 1 an accent.
    strength: f32,
}

pub fn play(sheet: &Sheet<'_>, pen: &mut Pen<'_>) {
    for stretch in &sheet.stretches {
        let segment = stretch.segment;
        pen.begin();
        let hits = if sheet.asleep() { count(segment) } else { groove(sheet, segment) };
        for hit in hits {
            if pen.wants(hit.need) {
                pen.strike_drum(hit.key, hit.at, segment.end(), hit.strength);
            }
        }
    }
}

impl Pen<'_> {
    /// Drums have more between loud and soft than the others.
    fn strike_drum(&mut self, key: Key, at: Ticks, until: Ticks, strength: f32) {
        const LENGTH: Ticks = 3;
        self.strike(key, at, (at + LENGTH).min(until), 3.6 * strength - 2.6);
    }
}

/// Beats on the closed hi-hat, while the band waits for something to play with.
fn count(segment: Segment) -> Vec<Hit> {
    let stroke =
        |(at, _)| Hit { key: CLOSED_HAT, at, need: 0.0, strength: if at == segment.bar.start { 0.7 } else { 0.5 } };
    beats(segment).into_iter().map(stroke).collect()
}

fn groove(sheet: &Sheet<'_>, segment: Segment) -> Vec<Hit> {
    let fill = fill_of(sheet, segment);
    let until = fill.first().map_or(segment.end(), |hit| hit.at);
    let mut hits = time(sheet.texture.groove, segment);
    hits.extend(backbeat(sheet.texture.groove, segment));
    hits.extend(kick(sheet.texture.groove, segment));
    hits.retain(|hit| hit.at < until);
    hits.extend(fill);
    let phrase_begins = sheet.phrase_bar == 0 && segment.number == 0 && !sheet.past.is_empty();
    if phrase_begins && sheet.texture.groove == Groove::Backbeat {
        hits.retain(|hit| hit.at > segment.start() || hit.key == KICK);
        hits.push(Hit { key: CRASH, at: segment.start(), need: 0.2, strength: 0.95 });
    }
    hits
}

/// Ride or hi-hat.
fn time(groove: Groove, segment: Segment) -> Vec<Hit> {
    let (key, strength, needs) = match groove {
        Groove::Soft => (RIDE, 0.3, [0.0, 0.45, 0.95, NEVER]),
        Groove::SideStick => (CLOSED_HAT, 0.55, [0.1, 0.2, 0.45, 0.9]),
        Groove::Backbeat => (CLOSED_HAT, 0.75, [0.05, 0.1, 0.4, 0.88]),
    };
    let places = places(segment);
    let last_pulse = places.iter().rfind(|place| place.rank >= Rank::Pulse).map(|place| place.at);
    let stroke = |place: &Place| {
        let (need, accent) = match place.rank {
            Rank::Bar | Rank::Half => (needs[0], 0.0),
            Rank::Beat => (needs[1], -0.04),
            Rank::Pulse => (needs[2], -0.15),
            Rank::Between => (needs[3], -0.25),
        };
        // Opened before a new pair of bars, and shut by the next stroke.
        let opens = groove == Groove::Backbeat
            && segment.is_last_of_bar()
            && segment.bar.index.0.rem_euclid(2) == 1
            && Some(place.at) == last_pulse;
        Hit { key: if opens { OPEN_HAT } else { key }, at: place.at, need, strength: strength + accent }
    };
    places.iter().map(stroke).collect()
}

/// The second of two beats, the last of three.
fn backbeat(groove: Groove, segment: Segment) -> Option<Hit> {
    let at = backbeat_place(segment)?;
    let (key, need, strength) = match groove {
        Groove::Soft => (PEDAL_HAT, 0.5, 0.3),
        Groove::SideStick => (SIDE_STICK, 0.1, 0.75),
        Groove::Backbeat => (SNARE, 0.0, 0.97),
    };
    Some(Hit { key, at, need, strength })
}

fn backbeat_place(segment: Segment) -> Option<Ticks> {
    let beats = beats(segment);
    match beats[..] {
        // Half a compound bar is a single beat: the second one answers the first.
        [(at, _)] if segment.bar.meter.is_compound() => (segment.number == 1).then_some(at),
        // Three eighths that stand alone.
        [(at, 18)] => Some(at + 12),
        [_] => None,
        _ => beats.last().map(|(at, _)| *at),
    }
}

fn kick(groove: Groove, segment: Segment) -> Vec<Hit> {
    let hit = |at, need, strength| Hit { key: KICK, at, need, strength };
    let start = segment.start();
    let taken = backbeat_place(segment) == Some(start);
    // The eighth before the half bar pushes into it, and the one after it answers.
    let (push, answer) = (segment.end() - 6, start + 6);
    let room = segment.end() - start >= 24;
    match groove {
        Groove::Soft => vec![],
        Groove::SideStick if taken => vec![],
        Groove::SideStick if segment.number == 0 => {
            vec![hit(start, 0.0, 0.8), hit(push, if room { 0.65 } else { NEVER }, 0.6)]
        }
        Groove::SideStick => vec![hit(start, 0.3, 0.7)],
        Groove::Backbeat if taken => vec![hit(segment.end() - 6, 0.6, 0.7)],
        Groove::Backbeat if segment.number == 0 => {
            vec![hit(start, 0.0, 1.0), hit(push, if room { 0.55 } else { NEVER }, 0.8)]
        }
        Groove::Backbeat => vec![hit(start, 0.05, 0.95), hit(answer, if room { 0.35 } else { NEVER }, 0.8)],
    }
}

/// Toms down through the last beat of every fourth bar, longer at the end of the phrase.
fn fill_of(sheet: &Sheet<'_>, segment: Segment) -> Vec<Hit> {
    const NEED: f32 = 0.3;
    let due = segment.is_last_of_bar() && matches!(sheet.phrase_bar, 3 | 7) && sheet.density[Part::Drums] >= NEED;
    if !due || sheet.texture.groove == Groove::Soft {
        return vec![];
    }
    let beats = beats(segment);
    let long = sheet.phrase_bar == 7 && sheet.texture.groove == Groove::Backbeat && beats.len() > 1;
    let Some((start, _)) = beats.get(beats.len() - if long { 2 } else { 1 }) else { return vec![] };
    let finest = if sheet.texture.groove == Groove::Backbeat && sheet.density[Part::Drums] > 0.4 {
        Rank::Between
    } else {
        Rank::Pulse
    };
    let strokes: Vec<Place> =
        places(segment).into_iter().filter(|place| place.at >= *start && place.rank >= finest).collect();
    let stroke = |(index, place): (usize, &Place)| {
        let key = [SNARE, HIGH_TOM, MIDDLE_TOM, LOW_TOM][index * 4 / strokes.len()];
        // It grows into the next bar.
        let grown = 0.7 + 0.25 * index as f32 / strokes.len() as f32;
        Hit { key, at: place.at, need: 0.0, strength: grown - if place.rank < Rank::Pulse { 0.08 } else { 0.0 } }
    };
    strokes.iter().enumerate().map(stroke).collect()
}
