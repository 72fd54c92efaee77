//! Key and chords: what the melody fits, where the harmony wants to go, and where the phrase is. Pure.

use super::rhythm::{phrase_bar, strength_at};
use crate::music::{Bar, Chord, Mode, Note, PitchClass, PitchClassSet, Quality, Segment, Ticks, Tonality};

/// Evidence for the harmony: how much each pitch class is in the ear. The sum is the confidence, about 0..=1.
pub type Evidence = [f32; 12];

/// The key is judged from this much melody: eight bars of 4/4. More would be slow to follow a modulation.
const KEY_MEMORY: Ticks = 8 * 48;
/// A longer note counts no more, so that a drone does not outweigh the tune.
const LONGEST_FOR_KEY: Ticks = 48;

/// The key of the melody before `until`, from its last eight bars or so; C major when nothing was heard.
///
/// `melody` is by start. A pause is not forgetting: the eight bars end with the last note. One or two pitch classes
/// could be in many keys, and are taken to be in C major if they can.
pub fn tonality_of(melody: &[Note], until: Ticks) -> Tonality {
    let heard = &melody[..melody.partition_point(|note| note.start < until)];
    let Some(last) = heard.last() else { return Tonality::C_MAJOR };
    let mut weights = [0.0; 12];
    for note in heard.iter().rev().take_while(|note| note.start > last.start - KEY_MEMORY) {
        let sounding = (note.end().min(until) - note.start).clamp(1, LONGEST_FOR_KEY);
        weights[note.key.pitch_class().semitones() as usize] += sounding as f32;
    }
    let classes: PitchClassSet = PitchClass::all().filter(|class| weights[class.semitones() as usize] > 0.0).collect();
    if classes.len() < 3 && classes.iter().all(|class| Tonality::C_MAJOR.scale().contains(class)) {
        return Tonality::C_MAJOR;
    }
    Tonality::of(&weights).unwrap_or(Tonality::C_MAJOR)
}

/// How gladly [`harmonise_bar`] keeps a chord for the second half of a bar.
const USUAL_STAY: f32 = 0.25;

/// The chords that a bar's melody asks for, one a segment.
///
/// `melody` is by start, `past_chords` those of the segments before, oldest first.
pub fn harmonise_bar(melody: &[Note], bar: Bar, past_chords: &[Option<Chord>], tonality: Tonality) -> Vec<Chord> {
    let slots: Vec<Slot> =
        bar.segments().map(|segment| Slot { segment, evidence: evidence_of(melody, segment), given: None }).collect();
    let context = Context { tonality, past: past_chords, phrase_bar: phrase_bar(bar, melody), stay: USUAL_STAY };
    context.harmonise(&slots, &mut || 0.0).into_iter().flatten().collect()
}

/// A segment in want of a chord.
#[derive(Debug, Clone, Copy)]
pub struct Slot {
    pub segment: Segment,
    pub evidence: Evidence,
    /// The chord that has to be here; the inner `None` is N.C.
    pub given: Option<Option<Chord>>,
}

/// What the melody of a segment says of its chord: by duration, and by where in the bar it was struck.
pub fn evidence_of(melody: &[Note], segment: Segment) -> Evidence {
    evidence_between(melody, segment, segment.start(), segment.end())
}

/// As [`evidence_of`], for the melody between two places that stands in for the segment's own.
pub fn evidence_between(melody: &[Note], segment: Segment, start: Ticks, end: Ticks) -> Evidence {
    /// A note tied over from before is in the ear, but was chosen for the chord before.
    const TIED: f32 = 0.6;
    /// The share of a segment that has to be filled for full confidence.
    const ENOUGH: f32 = 0.35;
    let mut weights = [0.0; 12];
    for note in &melody[..melody.partition_point(|note| note.start < end)] {
        let sounding = note.end().min(end) - note.start.max(start);
        if sounding <= 0 {
            continue;
        }
        let accent = if note.start < start {
            TIED
        } else {
            0.15 + 0.85 * strength_at(segment.bar, segment.start() + note.start - start).powi(2)
        };
        weights[note.key.pitch_class().semitones() as usize] += accent * sounding as f32;
    }
    let enough = weights.iter().sum::<f32>().max(ENOUGH * (end - start) as f32);
    weights.map(|weight| weight / enough)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Function {
    Tonic,
    Subdominant,
    Dominant,
}
use Function::{Dominant, Subdominant, Tonic};

/// A chord as it stands in a key.
struct Degree {
    /// Semitones of the root above the tonic.
    steps: i32,
    quality: Quality,
    function: Function,
    /// What it costs to use it: plain chords nothing, borrowed and applied ones need a reason in the melody.
    cost: f32,
}

const fn degree(steps: i32, quality: Quality, function: Function, cost: f32) -> Degree {
    Degree { steps, quality, function, cost }
}

const MAJOR_DEGREES: [Degree; 12] = [
    degree(0, Quality::Major, Tonic, 0.0),
    degree(5, Quality::Major, Subdominant, 0.05),
    degree(7, Quality::Major, Dominant, 0.05),
    degree(7, Quality::Seventh, Dominant, 0.2),
    degree(9, Quality::Minor, Tonic, 0.2),
    degree(2, Quality::Minor, Subdominant, 0.25),
    degree(4, Quality::Minor, Tonic, 0.45),
    degree(2, Quality::Seventh, Subdominant, 0.65),
    degree(4, Quality::Seventh, Tonic, 0.7),
    degree(9, Quality::Seventh, Tonic, 0.75),
    degree(5, Quality::Minor, Subdominant, 0.8),
    degree(10, Quality::Major, Subdominant, 0.75),
];

const MINOR_DEGREES: [Degree; 11] = [
    degree(0, Quality::Minor, Tonic, 0.0),
    degree(5, Quality::Minor, Subdominant, 0.1),
    degree(7, Quality::Major, Dominant, 0.1),
    degree(7, Quality::Seventh, Dominant, 0.2),
    degree(8, Quality::Major, Subdominant, 0.2),
    degree(3, Quality::Major, Tonic, 0.3),
    degree(10, Quality::Major, Dominant, 0.3),
    degree(2, Quality::HalfDiminished, Subdominant, 0.5),
    degree(7, Quality::Minor, Dominant, 0.6),
    degree(5, Quality::Major, Subdominant, 0.75),
    degree(0, Quality::Seventh, Tonic, 0.8),
];

/// How much a perfect fit of the melody counts against everything else.
const FIT: f32 = 2.0;

/// What a borrowed or applied chord costs when the melody has none of its foreign notes.
const UNFOUNDED: f32 = 0.6;

/// Where the harmony is.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    pub tonality: Tonality,
    /// Chords of the segments before, oldest first.
    pub past: &'a [Option<Chord>],
    /// The bar's place in its phrase, 0..8.
    pub phrase_bar: i32,
    /// How gladly a chord stays for the second half of a bar, 0..=0.5.
    pub stay: f32,
}

impl Context<'_> {
    /// The best way through the slots (Viterbi). `whim` is added to each choice's score, in an order that does not
    /// depend on the key.
    pub fn harmonise(&self, slots: &[Slot], whim: &mut dyn FnMut() -> f32) -> Vec<Option<Chord>> {
        let mut ways = vec![Way { score: 0.0, chords: vec![] }];
        for slot in slots {
            let options = self.options(slot, whim);
            let extend = |(chord, score): &(Option<Chord>, f32)| {
                let reach = |way: &Way| way.score + self.step(way.chords.last(), *chord, slot.segment) + score;
                let best = ways.iter().max_by(|a, b| reach(a).total_cmp(&reach(b)))?;
                Some(Way { score: reach(best), chords: [best.chords.as_slice(), &[*chord]].concat() })
            };
            ways = options.iter().filter_map(extend).collect();
        }
        // The first of equals, the plainer one: the tables begin with it.
        ways.reverse();
        ways.into_iter().max_by(|a, b| a.score.total_cmp(&b.score)).map(|way| way.chords).unwrap_or_default()
    }

    fn options(&self, slot: &Slot, whim: &mut dyn FnMut() -> f32) -> Vec<(Option<Chord>, f32)> {
        if let Some(given) = slot.given {
            return vec![(given, 0.0)];
        }
        let option = |degree: &Degree| {
            let chord = Chord::new(self.tonality.tonic.up(degree.steps), degree.quality);
            let reason = if self.is_founded(&chord, &slot.evidence) { 0.0 } else { -UNFOUNDED };
            let score = FIT * fit(&chord, &slot.evidence) + phrase(degree, self.phrase_bar, slot.segment) - degree.cost;
            (Some(chord), score + reason + whim())
        };
        self.degrees().iter().map(option).collect()
    }

    /// Whether the chord's notes outside the scale, if it has any, are in the ear.
    fn is_founded(&self, chord: &Chord, evidence: &Evidence) -> bool {
        /// Less is a passing note.
        const HEARD: f32 = 0.12;
        let scale = self.tonality.scale();
        let mut foreign = chord.classes().filter(|class| !scale.contains(*class)).peekable();
        foreign.peek().is_none() || foreign.any(|class| evidence[class.semitones() as usize] > HEARD)
    }

    fn degrees(&self) -> &'static [Degree] {
        match self.tonality.mode {
            Mode::Major => &MAJOR_DEGREES,
            Mode::Minor => &MINOR_DEGREES,
        }
    }

    fn function(&self, chord: &Chord) -> Option<Function> {
        let steps = chord.root.above(self.tonality.tonic);
        self.degrees().iter().find(|degree| degree.steps == steps).map(|degree| degree.function)
    }

    /// How well a chord follows the one before: `chosen` in this answer, else the last of the past.
    fn step(&self, chosen: Option<&Option<Chord>>, chord: Option<Chord>, segment: Segment) -> f32 {
        let before = chosen.copied().or_else(|| self.past.last().copied()).flatten();
        let (Some(before), Some(chord)) = (before, chord) else { return 0.0 };
        if before.root == chord.root && before.quality == chord.quality {
            return if segment.number == 0 { self.weariness(before) } else { self.stay };
        }
        // A dominant seventh wants to fall a fifth; up a step it deceives.
        let hangs = before.quality == Quality::Seventh && !matches!(chord.root.above(before.root), 0 | 1 | 2 | 5);
        let backwards = self.function(&before) == Some(Dominant) && self.function(&chord) == Some(Subdominant);
        root_motion(chord.root.above(before.root)) - if hangs { 0.6 } else { 0.0 } - if backwards { 0.35 } else { 0.0 }
    }

    /// A chord that has lasted wants to move on at a bar line.
    fn weariness(&self, chord: Chord) -> f32 {
        let lasted = self.past.iter().rev().take_while(|past| **past == Some(chord)).count();
        0.15 - 0.06 * lasted.min(8) as f32
    }
}

struct Way {
    score: f32,
    chords: Vec<Option<Chord>>,
}

/// How well a chord goes on to a root so many semitones higher.
fn root_motion(semitones: i32) -> f32 {
    match semitones {
        5 => 0.22,    // down a fifth
        0 => 0.05,    // another chord on the same root
        7 => 0.12,    // up a fifth
        2 => 0.12,    // up a step
        9 | 8 => 0.1, // down a third
        1 | 10 => 0.05,
        3 | 4 => -0.05,
        _ => -0.4, // by a tritone, or down a semitone
    }
}

/// Notes of the chord speak for it; a note just above one of its notes speaks most against it.
fn fit(chord: &Chord, evidence: &Evidence) -> f32 {
    let members = chord.class_set();
    let score = |class: PitchClass| {
        if chord.classes().take(3).any(|member| member == class) {
            1.0
        } else if members.contains(class) {
            0.8
        } else if members.contains(class.up(-1)) {
            -1.0
        } else if members.contains(class.up(1)) {
            -0.5
        } else {
            -0.35
        }
    };
    PitchClass::all().map(|class| evidence[class.semitones() as usize] * score(class)).sum()
}

/// What the phrase wants: home at its start, away in the middle, a half close after four bars, home after eight.
fn phrase(degree: &Degree, phrase_bar: i32, segment: Segment) -> f32 {
    let (tonic, last) = (degree.steps == 0 && degree.cost == 0.0, segment.is_last_of_bar());
    match (phrase_bar, degree.function) {
        (0, Tonic) if tonic && segment.number == 0 => 0.35,
        (4, Tonic) if tonic && segment.number == 0 => 0.2,
        (7, Tonic) if tonic && last => 0.4,
        (7, Dominant) if !last => 0.2,
        (3, Dominant) if last => 0.35,
        (6, Dominant) if last => 0.25,
        (1 | 2 | 5, Subdominant) => 0.12,
        (1, Tonic) if !tonic => 0.1,
        (_, Tonic | Subdominant | Dominant) => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::quarters;
    use super::*;
    use crate::music::Meter;

    const ODE_TO_JOY: [u8; 32] = [
        64, 64, 65, 67, 67, 65, 64, 62, 60, 60, 62, 64, 64, 62, 62, 0, //
        64, 64, 65, 67, 67, 65, 64, 62, 60, 60, 62, 64, 62, 60, 60, 0,
    ];

    fn harmony_of(keys: &[u8], up: i32) -> Vec<Chord> {
        let moved: Vec<u8> = keys.iter().map(|key| if *key == 0 { 0 } else { (i32::from(*key) + up) as u8 }).collect();
        let melody = quarters(&moved);
        let mut past = Vec::new();
        for index in 0..(keys.len() / 4) as i32 {
            let bar = Bar::of_constant_meter(index, Meter::COMMON);
            let chords = harmonise_bar(&melody, bar, &past, tonality_of(&melody, bar.end()));
            past.extend(chords.into_iter().map(Some));
        }
        past.into_iter().flatten().collect()
    }

    #[test]
    fn the_key_is_clear_after_four_notes_and_outlasts_a_pause() {
        let melody = quarters(&ODE_TO_JOY);
        for until in [48, 96, 384, 4_000] {
            assert_eq!(tonality_of(&melody, until), Tonality::C_MAJOR, "until {until}");
        }
        assert_eq!(tonality_of(&[], 96), Tonality::C_MAJOR);
    }

    #[test]
    fn a_melody_in_another_key_gets_the_same_chords_there() {
        let home = harmony_of(&ODE_TO_JOY, 0);
        for up in -6..=6 {
            let there: Vec<Chord> = home.iter().map(|chord| Chord { root: chord.root.up(up), ..*chord }).collect();
            assert_eq!(harmony_of(&ODE_TO_JOY, up), there, "moved by {up}");
        }
    }

    #[test]
    fn ode_to_joy_is_harmonised_as_in_a_songbook() {
        let chords: Vec<String> = harmony_of(&ODE_TO_JOY, 0).iter().map(Chord::to_string).collect();
        expect_test::expect![["C G7 | G7 C | F G | C G | C G7 | G7 C | F G | G C"]]
            .assert_eq(&chords.chunks(2).map(|bar| bar.join(" ")).collect::<Vec<_>>().join(" | "));
    }
}
