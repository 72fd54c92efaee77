//! What is asked of a segment of drums, and the condition vector that says it (`docs/drums.md`). Pure.
//!
//! It follows from the settings and from what is known of the song around the segment, so a segment of the past is shown
//! with the very conditions under which it was written.

use super::super::controls::{DENSEST, SPARSEST, octaves_of_tempo};
use super::super::rules::phrase_bar;
use super::super::{Ask, PartNote, Request, SegmentAnswer};
use super::encoding::{Kind, MOST_TICKS};
use crate::contract::Contract;
use crate::contract::drums::{CONDITIONS, DrumControls, MOST_STYLES};
use crate::music::{Note, Part, Segment, Style, StyleWeights, Ticks, Velocity};
use crate::settings::Settings;

pub type Condition = [f32; CONDITIONS];

const TEMPO: usize = 12;
const DENSITY: usize = 13;
const TRIPLETS: usize = 15;
const LEVEL: usize = 17;
const FILL: usize = 19;
const PHRASE: usize = 21;
const BASS_KNOWN: usize = 25;
const BAND_KNOWN: usize = 26;
const BASS: usize = 27;
const BAND: usize = 75;

/// What a segment is to be. `None`: not known.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// Weights of the model's styles; all 0 when not known.
    pub styles: [f32; MOST_STYLES],
    pub quarters_per_minute: f32,
    /// Ticks with a stroke, a quarter note.
    pub density: Option<f32>,
    /// Share of the beats that move in triplets.
    pub triplets: Option<f32>,
    /// Mean velocity.
    pub level: Option<f32>,
    pub fill: Option<bool>,
    /// 0..4.
    pub phrase_bar: Option<usize>,
    /// Onsets in the segment, in ticks of the bar.
    pub bass: Option<Vec<Ticks>>,
    pub band: Option<Vec<Ticks>>,
}

impl Asked {
    pub fn condition(&self) -> Condition {
        let mut condition = [0.0; CONDITIONS];
        condition[..MOST_STYLES].copy_from_slice(&self.styles);
        condition[TEMPO] = octaves_of_tempo(self.quarters_per_minute);
        for (at, value) in [
            (DENSITY, self.density.map(|density| density / 4.0)),
            (TRIPLETS, self.triplets),
            (LEVEL, self.level.map(|level| level / 127.0)),
            (FILL, self.fill.map(|fill| if fill { 1.0 } else { 0.0 })),
        ] {
            (condition[at], condition[at + 1]) = value.map_or((0.0, 0.0), |value| (value, 1.0));
        }
        self.phrase_bar.into_iter().for_each(|bar| condition[PHRASE + bar] = 1.0);
        for (known, first, onsets) in [(BASS_KNOWN, BASS, &self.bass), (BAND_KNOWN, BAND, &self.band)] {
            for onset in onsets.iter().flatten() {
                condition[first + *onset as usize] = 1.0;
            }
            condition[known] = if onsets.is_some() { 1.0 } else { 0.0 };
        }
        condition
    }
}

/// Whether the bass is known to strike at a tick of the bar.
pub fn bass_strikes(condition: &Condition, tick: Ticks) -> bool {
    usize::try_from(tick).is_ok_and(|tick| tick < BAND - BASS && condition[BASS + tick] > 0.0)
}

/// A segment with what shapes its drums.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    pub segment: Segment,
    pub kind: Kind,
    pub settings: &'a Settings,
    pub quarters_per_minute: f32,
    /// What is struck in this segment; drums among it do not matter.
    pub band: &'a [PartNote],
    /// The answers before it, oldest first.
    pub before: &'a [SegmentAnswer],
    /// As far as it is known when the segment is written.
    pub melody: &'a [Note],
}

impl<'a> Scene<'a> {
    /// That of an answer which follows `before`, as the request shows them. `None` in a metre that the model does not know.
    pub fn of(answer: &'a SegmentAnswer, before: &'a [SegmentAnswer], request: &Request<'a>) -> Option<Self> {
        let segment = answer.segment;
        let melody_ends = match request.ask {
            Ask::Jam(_) => segment.start() - answer.margin + 1,
            Ask::Arrange(_) => segment.bar.end(),
        };
        Some(Self {
            segment,
            kind: Kind::of(&segment)?,
            settings: &answer.settings,
            quarters_per_minute: answer.quarters_per_minute,
            band: &answer.notes,
            before,
            melody: &request.melody[..request.melody.partition_point(|note| note.start < melody_ends)],
        })
    }

    pub fn asked(&self, contract: &Contract<DrumControls>) -> Asked {
        let manner = Manner::of(self.settings.style);
        let is_on = |part| self.settings.part_is_on(part);
        let others = [Part::Chords, Part::Pad, Part::Counter];
        Asked {
            styles: manner.style_weights(&contract.styles),
            quarters_per_minute: self.quarters_per_minute,
            density: Some(contract.controls.density_at(at_knob(manner.density, self.settings.density_of(Part::Drums)))),
            triplets: Some(if self.moves_in_triplets() { 1.0 } else { 0.0 }),
            level: Some((manner.level * self.melody_level()).min(127.0)),
            fill: Some(self.is_fill()),
            phrase_bar: Some(self.bar_of_eight() % 4),
            bass: is_on(Part::Bass).then(|| self.onsets(|part| part == Part::Bass)),
            band: others.into_iter().any(is_on).then(|| self.onsets(|part| others.contains(&part))),
        }
    }

    fn onsets(&self, of: impl Fn(Part) -> bool) -> Vec<Ticks> {
        let line = self.kind.bar_line(&self.segment);
        let struck = self.band.iter().filter(|note| of(note.part)).map(|note| note.note.start - line);
        struck.filter(|tick| self.kind.ticks().contains(tick) && *tick < MOST_TICKS).collect()
    }

    /// Mean velocity of the melody in the last two bars that are known of it; mezzo-forte where it rests.
    fn melody_level(&self) -> f32 {
        let since = self.segment.start() - 2 * self.segment.bar.meter.bar_length();
        let recent = self.melody.iter().rev().take_while(|note| note.start >= since);
        let (sum, count) =
            recent.fold((0.0, 0.0), |(sum, count), note| (sum + f32::from(note.velocity.get()), count + 1.0));
        if count > 0.0 { sum / count } else { f32::from(Velocity::default().get()) }
    }

    /// Whether more than a third of what melody and band strike off the beat, in the last four bars, is on triplets.
    fn moves_in_triplets(&self) -> bool {
        let Segment { bar, .. } = self.segment;
        if bar.meter.is_compound() {
            return false;
        }
        let since = self.segment.start() - 4 * bar.meter.bar_length();
        let melody = self.melody.iter().rev().take_while(|note| note.start >= since).map(|note| note.start);
        let answers = self.before.iter().rev().take_while(|answer| answer.segment.start() >= since);
        let band = answers.flat_map(|answer| &answer.notes).chain(self.band);
        let band = band.filter(|note| note.part != Part::Drums).map(|note| note.note.start);
        let (mut off, mut triplets) = (0, 0);
        for start in melody.chain(band) {
            let tick = (start - bar.start).rem_euclid(12);
            off += usize::from(tick != 0);
            triplets += usize::from(matches!(tick, 4 | 8));
        }
        3 * triplets > off
    }

    /// The bar's place among eight; two bars of 2/4 are one.
    fn bar_of_eight(&self) -> usize {
        let bar = self.segment.bar;
        let is_half = bar.meter.bar_length() == MOST_TICKS / 2;
        let place = if is_half { bar.index.0.div_euclid(2).rem_euclid(8) } else { phrase_bar(bar, self.melody) };
        place.unsigned_abs() as usize
    }

    /// Where a phrase of four bars ends, now and then; where one of eight does, more often and for the whole bar.
    fn is_fill(&self) -> bool {
        const SHORT: f32 = 0.4;
        const LONG: f32 = 0.6;
        let place = self.bar_of_eight();
        let chance = |of: u64| {
            let bar = self.kind.bar_line(&self.segment);
            share(u64::from(self.settings.seed) << 34 ^ u64::from(bar as u32) << 2 ^ of)
        };
        let short = place % 4 == 3 && self.kind.is_last_of_bar() && chance(1) < SHORT;
        short || (place == 7 && chance(2) < LONG)
    }
}

/// 0 ≤ share < 1, the same for the same number: the finaliser of SplitMix64 (Steele, Lea and Flood 2014).
fn share(number: u64) -> f32 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (number >> 40) as f32 / (1 << 24) as f32
}

/// The share of the training music that a density is to lie above: at the knob's middle what the style asks for.
fn at_knob(usual: f32, knob: f32) -> f32 {
    let least = SPARSEST.min(usual);
    if knob < 0.5 { least + (usual - least) * 2.0 * knob } else { usual + (DENSEST - usual) * (2.0 * knob - 1.0) }
}

/// How a drummer goes with a style of the accompaniment, or with a blend.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Manner {
    soul_and_pop: f32,
    rock: f32,
    dance: f32,
    /// Share of the training music that has fewer strokes.
    density: f32,
    /// Factor on the melody's velocity.
    level: f32,
}

impl Manner {
    /// At a place of the style knob.
    fn of(position: f32) -> Self {
        let mut blend = Self { soul_and_pop: 0.0, rock: 0.0, dance: 0.0, density: 0.0, level: 0.0 };
        for (style, weight) in Style::all().zip(StyleWeights::at(position).0) {
            let own = Self::of_style(style.name());
            blend.soul_and_pop += weight * own.soul_and_pop;
            blend.rock += weight * own.rock;
            blend.dance += weight * own.dance;
            blend.density += weight * own.density;
            blend.level += weight * own.level;
        }
        blend
    }

    /// The table of `docs/drums.md`. The styles that have no drums of their own get the softest.
    fn of_style(name: &str) -> Self {
        let (soul_and_pop, rock, dance, density, level) = match name {
            "Arpeggio ballad" => (0.8, 0.2, 0.0, 0.2, 0.75),
            "Broken-chord ballad" => (0.7, 0.3, 0.0, 0.3, 0.8),
            "Block-chord ballad" => (0.6, 0.4, 0.0, 0.35, 0.85),
            "Driving pop" => (0.25, 0.6, 0.15, 0.55, 0.95),
            "Rock band" => (0.0, 1.0, 0.0, 0.6, 1.0),
            _ => (1.0, 0.0, 0.0, 0.1, 0.6),
        };
        Self { soul_and_pop, rock, dance, density, level }
    }

    /// By the model's own list of styles; what it does not have is left out.
    fn style_weights(&self, styles: &[String]) -> [f32; MOST_STYLES] {
        let weight = |name: &str| match name {
            "Soul and pop" => self.soul_and_pop,
            "Rock" => self.rock,
            "Dance" => self.dance,
            _ => 0.0,
        };
        let mut weights = [0.0; MOST_STYLES];
        let known: f32 = styles.iter().map(|name| weight(name)).sum();
        for (place, name) in weights.iter_mut().zip(styles).filter(|_| known > 0.0) {
            *place = weight(name) / known;
        }
        weights
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::drums::tests::contract;
    use crate::music::{Bar, Key, Meter, style_from_text};
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Fixture {
        conditions: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Case {
        styles: Vec<f32>,
        tempo: f32,
        density: Option<f32>,
        triplets: Option<f32>,
        level: Option<f32>,
        fill: Option<bool>,
        phrase_bar: Option<usize>,
        bass: Option<Vec<Ticks>>,
        band: Option<Vec<Ticks>>,
        cond: Vec<f32>,
    }

    #[test]
    fn the_vector_is_the_one_that_python_writes() {
        let text = include_str!("../../../models/parity/drums.json");
        let cases = serde_json::from_str::<Fixture>(text).expect("the fixture is well formed").conditions;
        assert!(cases.len() >= 5);
        for Case { styles, tempo, density, triplets, level, fill, phrase_bar, bass, band, cond } in cases {
            let mut weights = [0.0; MOST_STYLES];
            weights[..styles.len()].copy_from_slice(&styles);
            let asked = Asked {
                styles: weights,
                quarters_per_minute: tempo,
                density,
                triplets,
                level,
                fill,
                phrase_bar,
                bass,
                band,
            };
            let condition = asked.condition();
            assert_eq!(condition.len(), cond.len());
            let differs = condition.iter().zip(&cond).position(|(a, b)| (a - b).abs() > 2e-6);
            assert_eq!(differs, None, "{asked:?}");
        }
    }

    fn note(start: Ticks, velocity: i32) -> Note {
        Note { start, key: Key::folded(60), duration: 3, velocity: Velocity::clamped(velocity) }
    }

    /// What is asked of segment `number` of a bar of 4/4.
    fn asked_of(index: i32, number: u8, settings: &Settings, melody: &[Note], band: &[PartNote]) -> Asked {
        let segment = Segment { bar: Bar::of_constant_meter(index, Meter::COMMON), number };
        let kind = Kind::of(&segment).expect("a metre it knows");
        let scene = Scene { segment, kind, settings, quarters_per_minute: 90.0, band, before: &[], melody };
        scene.asked(&contract())
    }

    #[test]
    fn the_band_of_the_segment_is_heard_and_muted_parts_are_unknown() {
        let on = |start, part| PartNote::on_grid(part, note(start, 80));
        let band = [
            on(96, Part::Bass),
            on(120, Part::Bass),
            on(138, Part::Bass),
            on(126, Part::Chords),
            on(130, Part::Pad),
            on(131, Part::Drums),
        ];
        let mut settings = Settings::default();
        let asked = asked_of(2, 1, &settings, &[], &band);
        assert_eq!((asked.bass, asked.band), (Some(vec![24, 42]), Some(vec![30, 34])));
        settings.parts[Part::Bass].on = false;
        assert_eq!(asked_of(2, 1, &settings, &[], &band).bass, None);
        settings.parts[Part::Chords].on = false;
        assert_eq!(asked_of(2, 1, &settings, &[], &band).band, None);
    }

    #[test]
    fn every_style_of_the_palette_has_its_drums() {
        let softest = Manner::of_style("Hymn");
        for style in Style::all() {
            let own = Manner::of_style(style.name());
            assert!((own.soul_and_pop + own.rock + own.dance - 1.0).abs() < 1e-6);
            let quiet = ["Chorale", "Hymn", "Romantic song", "Quartet"].contains(&style.name());
            assert_eq!(own == softest, quiet, "{}", style.name());
        }
        let weights = |style| asked_of(0, 0, &Settings { style, ..Settings::default() }, &[], &[]).styles[..4].to_vec();
        let pop = style_from_text("Driving pop").expect("a style");
        assert_eq!(weights(pop), [0.25, 0.0, 0.6, 0.15]);
        assert_eq!(weights(0.0), [1.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn knobs_and_melody_move_density_and_level() {
        let melody = |velocity| [note(12, velocity), note(36, velocity)];
        let asked = |density, velocity| {
            let asked = asked_of(1, 0, &Settings { density, ..Settings::default() }, &melody(velocity), &[]);
            asked.density.zip(asked.level).expect("both are asked for")
        };
        let densities: Vec<f32> = (0..=10).map(|step| asked(step as f32 / 10.0, 80).0).collect();
        assert!(densities.is_sorted_by(|a, b| a < b), "{densities:?}");
        assert!(asked(0.5, 110).1 > asked(0.5, 60).1 + 20.0);
    }

    #[test]
    fn triplets_are_told_by_what_is_played_off_the_beat() {
        let moves = |ticks: &[Ticks], meter| {
            let bar = Bar::of_constant_meter(4, meter);
            let melody: Vec<Note> = ticks.iter().map(|tick| note(bar.start - 48 + tick, 80)).collect();
            let segment = Segment { bar, number: 0 };
            let kind = Kind::of(&segment).expect("a metre it knows");
            let settings = &Settings::default();
            let scene =
                Scene { segment, kind, settings, quarters_per_minute: 90.0, band: &[], before: &[], melody: &melody };
            scene.moves_in_triplets()
        };
        assert!(moves(&[0, 4, 8, 12, 20, 24, 30], Meter::COMMON));
        assert!(!moves(&[0, 6, 12, 18, 24, 28, 33], Meter::COMMON));
        assert!(!moves(&[], Meter::COMMON));
        assert!(!moves(&[0, 4, 8], Meter::new(6, 8).expect("a metre")));
    }

    #[test]
    fn fills_come_where_phrases_end() {
        let mut counts = [[0; 2]; 8];
        for seed in 0..400 {
            let settings = Settings { seed, ..Settings::default() };
            for (bar, counts) in counts.iter_mut().enumerate() {
                let fills =
                    [0, 1].map(|number| asked_of(8 + bar as i32, number, &settings, &[], &[]).fill == Some(true));
                assert!(!fills[0] || fills[1], "a fill goes on to the bar line");
                counts.iter_mut().zip(fills).for_each(|(count, fill)| *count += i32::from(fill));
            }
        }
        let near = |count: i32, share: f32| (count as f32 / 400.0 - share).abs() < 0.08;
        assert!(near(counts[3][1], 0.4) && near(counts[7][0], 0.6) && near(counts[7][1], 0.76), "{counts:?}");
        assert_eq!(counts[3][0], 0);
        assert!([0, 1, 2, 4, 5, 6].iter().all(|bar| counts[*bar] == [0, 0]), "{counts:?}");
    }
}
