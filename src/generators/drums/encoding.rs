//! Strokes as tokens, as `docs/drums.md` lays them down. Pure; `models/obbligato_models/drums/encoding.py` does the same.

use super::super::PartNote;
use super::super::encoding::{Token, metre};
use crate::music::{Key, Note, Part, Segment, Ticks, Timing, Velocity};
use std::collections::BTreeMap;

pub const START: Token = 1;
pub const END: Token = 2;
const SEGMENT: Token = 3;
const STROKE: Token = 8;
const TOUCH: Token = 536;

pub const INSTRUMENTS: usize = 11;
/// Ticks of the longest bar.
pub const MOST_TICKS: Ticks = 48;
/// Most strokes of a segment.
pub const MOST_STROKES: usize = 48;
/// Most of a segment's tokens: its own, two for each stroke, and `END`.
pub const MOST_TOKENS: usize = 2 * MOST_STROKES + 2;

const KICK: u8 = 0;
const CLOSED_HAT: u8 = 3;
const OPEN_HAT: u8 = 4;
/// Kick and pedal hat; the rest is struck with hands, of which there are two.
const FEET: [u8; 2] = [KICK, 5];
const HANDS: usize = 2;

/// The General MIDI keys of each instrument: the one it is written with, then those that are read as it.
const KEYS: [&[u8]; INSTRUMENTS] = [
    &[36, 35],
    &[38, 39, 40],
    &[37],
    &[42, 22],
    &[46, 26],
    &[44],
    &[45, 41, 43, 58],
    &[47],
    &[50, 48],
    &[49, 52, 55, 57],
    &[51, 53, 59],
];

/// Ticks of the bar in which each kind of segment lies.
const KINDS: [(Ticks, Ticks); 5] = [(0, 24), (24, 48), (0, 36), (0, 18), (18, 36)];

/// The softest velocity of each loudness class.
const SOFTEST: [i32; 8] = [1, 25, 41, 53, 67, 81, 97, 113];
const LOUDEST: i32 = 127;
/// Timing classes, and how many there are to a tick.
const TIMINGS: Token = 9;
const TIMINGS_PER_TICK: i32 = 4;
const STEPS_PER_TIMING: i32 = Timing::STEPS_PER_TICK / TIMINGS_PER_TICK;

/// What the player and a listener do not notice.
const DURATION: Ticks = 3;

/// A stroke of the bar. Ordered as strokes are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Ticks from the bar line.
    pub tick: Ticks,
    /// 0..11.
    pub instrument: u8,
}

impl Place {
    pub fn is_kick(self) -> bool {
        self.instrument == KICK
    }
}

/// How a stroke is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Touch {
    pub velocity: Velocity,
    pub timing: Timing,
}

/// What a token says. `PAD` and numbers past the vocabulary say nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    Start,
    End,
    Segment(Kind),
    Stroke(Place),
    /// Its loudness and timing classes.
    Touch(u8, u8),
}

/// A segment's place in the metres the model knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind(u8);

impl Kind {
    /// `None` in metres that the model does not know.
    ///
    /// 2/4 is read as 4/4: a bar with an even number is the first half of one, a bar with an odd number the second.
    pub fn of(segment: &Segment) -> Option<Self> {
        match metre(segment.bar.meter)? {
            0 => Some(Self(segment.number)),
            1 => Some(Self(2)),
            2 => Some(Self(segment.bar.index.0.rem_euclid(2) as u8)),
            _ => Some(Self(3 + segment.number)),
        }
    }

    /// Its first tick of the bar, and the first after it.
    pub fn ticks(self) -> std::ops::Range<Ticks> {
        let (start, end) = KINDS[usize::from(self.0)];
        start..end
    }

    /// Whether nothing of the bar comes after it.
    pub fn is_last_of_bar(self) -> bool {
        matches!(self.0, 1 | 2 | 4)
    }

    /// Where the bar of a segment of this kind begins, in ticks of the song.
    pub fn bar_line(self, segment: &Segment) -> Ticks {
        segment.start() - self.ticks().start
    }

    pub fn token(self) -> Token {
        SEGMENT + Token::from(self.0)
    }
}

impl Place {
    pub fn token(self) -> Token {
        STROKE + INSTRUMENTS as Token * self.tick as Token + Token::from(self.instrument)
    }

    pub fn is_by_hand(self) -> bool {
        !FEET.contains(&self.instrument)
    }

    /// Whether a drummer who strikes these at one tick may strike this one too.
    pub fn goes_with(self, others: &[Self]) -> bool {
        let hats = [CLOSED_HAT, OPEN_HAT];
        let other_hat = |other: &Self| other.instrument != self.instrument && hats.contains(&other.instrument);
        let hand_is_free = others.iter().filter(|other| other.is_by_hand()).count() < HANDS;
        (hand_is_free || !self.is_by_hand()) && !(hats.contains(&self.instrument) && others.iter().any(other_hat))
    }
}

impl Touch {
    fn token(self) -> Token {
        let loudness = SOFTEST.iter().rposition(|softest| i32::from(self.velocity.get()) >= *softest).unwrap_or(0);
        // The nearest class, the later on a tie.
        let timing = (self.timing.sixteenths() + STEPS_PER_TIMING / 2).div_euclid(STEPS_PER_TIMING);
        let timing = (timing + TIMINGS_PER_TICK).clamp(0, i32::from(TIMINGS) - 1);
        TOUCH + TIMINGS * loudness as Token + timing as Token
    }

    /// One of what the classes stand for, by two shares 0 ≤ share < 1.
    pub fn within(loudness: u8, timing: u8, in_loudness: f32, in_timing: f32) -> Self {
        let softest = SOFTEST[usize::from(loudness)];
        let beyond = SOFTEST.get(usize::from(loudness) + 1).copied().unwrap_or(LOUDEST + 1);
        let velocity = softest + (in_loudness * (beyond - softest) as f32) as i32;
        // Downward, so that it is written as the same class again.
        let step = (in_timing * STEPS_PER_TIMING as f32) as i32 - STEPS_PER_TIMING / 2;
        let timing = STEPS_PER_TIMING * (i32::from(timing) - TIMINGS_PER_TICK) + step;
        Self { velocity: Velocity::clamped(velocity), timing: Timing::clamped(timing) }
    }
}

pub fn meaning(token: Token) -> Option<Meaning> {
    let beyond = TOUCH + TIMINGS * SOFTEST.len() as Token;
    match token {
        START => Some(Meaning::Start),
        END => Some(Meaning::End),
        SEGMENT..STROKE => Some(Meaning::Segment(Kind((token - SEGMENT) as u8))),
        STROKE..TOUCH => {
            let (tick, instrument) = ((token - STROKE) / INSTRUMENTS as Token, (token - STROKE) % INSTRUMENTS as Token);
            Some(Meaning::Stroke(Place { tick: Ticks::from(tick), instrument: instrument as u8 }))
        }
        _ if (TOUCH..beyond).contains(&token) => {
            Some(Meaning::Touch(((token - TOUCH) / TIMINGS) as u8, ((token - TOUCH) % TIMINGS) as u8))
        }
        _ => None,
    }
}

/// The tokens of strokes and ends that may be chosen from: all of these ticks.
pub fn stroke_tokens(ticks: std::ops::Range<Ticks>) -> std::ops::Range<Token> {
    let token = |tick| Place { tick, instrument: 0 }.token();
    token(ticks.start)..token(ticks.end)
}

pub fn touch_tokens() -> std::ops::Range<Token> {
    TOUCH..TOUCH + TIMINGS * SOFTEST.len() as Token
}

/// A stroke as the note that is sent; `bar_line` in ticks of the song.
pub fn note_of(place: Place, touch: Touch, bar_line: Ticks) -> PartNote {
    let key = Key::folded(i32::from(KEYS[usize::from(place.instrument)][0]));
    let note = Note { start: bar_line + place.tick, key, duration: DURATION, velocity: touch.velocity };
    PartNote { part: Part::Drums, note, timing: touch.timing }
}

/// The strokes of a segment, from its token to its `END`. Keys that are no drums and ticks outside are left out.
pub fn write_segment(kind: Kind, bar_line: Ticks, notes: &[PartNote]) -> Vec<Token> {
    let drums = notes.iter().filter(|note| note.part == Part::Drums);
    let strokes = drums.filter_map(|note| {
        let place = Place { tick: note.note.start - bar_line, instrument: instrument_of(note.note.key)? };
        let touch = Touch { velocity: note.note.velocity, timing: note.timing };
        kind.ticks().contains(&place.tick).then_some((place, touch))
    });
    let mut tokens = vec![kind.token()];
    for (place, touch) in playable(strokes).into_iter().take(MOST_STROKES) {
        tokens.extend([place.token(), touch.token()]);
    }
    tokens.push(END);
    tokens
}

fn instrument_of(key: Key) -> Option<u8> {
    KEYS.iter().position(|keys| keys.contains(&key.number())).map(|instrument| instrument as u8)
}

/// What one player can play, in order: where strokes exclude each other the louder stay, of equals the lower instrument.
fn playable(strokes: impl Iterator<Item = (Place, Touch)>) -> Vec<(Place, Touch)> {
    let mut loudest: BTreeMap<Place, Touch> = BTreeMap::new();
    for (place, touch) in strokes {
        let kept = loudest.entry(place).or_insert(touch);
        if touch.velocity > kept.velocity {
            *kept = touch;
        }
    }
    let mut by_loudness: Vec<(Place, Touch)> = loudest.into_iter().collect();
    by_loudness.sort_by_key(|(place, touch)| (place.tick, std::cmp::Reverse(touch.velocity), place.instrument));
    let mut chosen: Vec<(Place, Touch)> = Vec::new();
    for (place, touch) in by_loudness {
        let together: Vec<Place> = chosen.iter().map(|(other, _)| *other).filter(|o| o.tick == place.tick).collect();
        if place.goes_with(&together) {
            chosen.push((place, touch));
        }
    }
    chosen.sort_by_key(|(place, _)| *place);
    chosen
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::contract::drums::VOCABULARY;
    use crate::music::{Bar, Meter};
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Fixture {
        strokes: Vec<Case>,
    }

    /// Strokes are `[tick, key, velocity, deviation in ticks]`.
    #[derive(Deserialize)]
    struct Case {
        kind: u8,
        strokes: Vec<[f64; 4]>,
        tokens: Vec<Token>,
    }

    fn cases() -> Vec<Case> {
        let text = include_str!("../../../models/parity/drums.json");
        serde_json::from_str::<Fixture>(text).expect("the fixture is well formed").strokes
    }

    fn note([tick, key, velocity, deviation]: [f64; 4]) -> PartNote {
        let note = Note {
            start: tick as Ticks,
            key: Key::folded(key as i32),
            duration: DURATION,
            velocity: Velocity::clamped(velocity as i32),
        };
        let sixteenths = (deviation * f64::from(Timing::STEPS_PER_TICK)).floor() as i32;
        PartNote { part: Part::Drums, note, timing: Timing::clamped(sixteenths) }
    }

    #[test]
    fn strokes_become_the_tokens_that_python_writes() {
        let cases = cases();
        assert!(cases.len() >= 7);
        for case in cases {
            let notes: Vec<PartNote> = case.strokes.iter().copied().map(note).collect();
            assert_eq!(write_segment(Kind(case.kind), 0, &notes), case.tokens, "{:?}", case.strokes);
        }
    }

    #[test]
    fn what_a_token_says_is_written_as_that_token() {
        let mut pads = 0;
        for token in 0..VOCABULARY as Token {
            let written = match meaning(token) {
                Some(Meaning::Start) => START,
                Some(Meaning::End) => END,
                Some(Meaning::Segment(kind)) => kind.token(),
                Some(Meaning::Stroke(place)) => place.token(),
                Some(Meaning::Touch(loudness, timing)) => {
                    for share in [0.0, 0.3, 0.5, 0.999_999_9] {
                        let touch = Touch::within(loudness, timing, share, 1.0 - share - 1e-7);
                        assert_eq!(touch.token(), token, "{touch:?}");
                    }
                    token
                }
                None => {
                    pads += 1;
                    token
                }
            };
            assert_eq!(written, token);
        }
        assert_eq!((pads, meaning(VOCABULARY as Token)), (1, None));
    }

    #[test]
    fn segments_have_the_kinds_of_their_metres() {
        for (meter, index, expected) in [
            ((4, 4), 3, vec![(0, 0), (1, 0)]),
            ((2, 2), 3, vec![(0, 0), (1, 0)]),
            ((3, 4), 1, vec![(2, 0)]),
            ((6, 8), 1, vec![(3, 0), (4, 0)]),
            ((2, 4), 6, vec![(0, 0)]),
            ((2, 4), 7, vec![(1, -24)]),
            ((5, 4), 0, vec![]),
        ] {
            let meter = Meter::new(meter.0, meter.1).expect("a metre");
            let bar = Bar::of_constant_meter(index, meter);
            let kinds = bar.segments().filter_map(|segment| {
                let kind = Kind::of(&segment)?;
                assert_eq!(kind.ticks().len() as Ticks, segment.end() - segment.start());
                Some((kind.0, kind.bar_line(&segment) - bar.start))
            });
            assert_eq!(kinds.collect::<Vec<_>>(), expected, "{meter}");
        }
    }
}
