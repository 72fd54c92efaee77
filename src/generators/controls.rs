//! The knobs as a model reads them: the condition vector of `docs/encoding.md`. Pure.

use super::encoding::PARTS;
use crate::contract::{CONDITIONS, MOST_STYLES, Means, Palette};
use crate::music::{BarIndex, PerPart, Style, TICKS_PER_QUARTER};
use crate::settings::Settings;
use std::f32::consts::TAU;

pub type Condition = [f32; CONDITIONS];

/// Shares of the training music at the ends of the density knob: further out a model has seen too little.
pub const SPARSEST: f32 = 0.05;
pub const DENSEST: f32 = 0.95;

const ATTRIBUTES: usize = MOST_STYLES;
const ATTRIBUTES_A_PART: usize = 6;
const POLYPHONY: usize = 30;
const ASKED: usize = 32;
const TEMPO: usize = 35;
const PHRASE: usize = 36;

/// Around the middle of the density knob, so wide on both sides, nothing is asked.
const MIDDLE: f32 = 0.02;
/// Onsets a quarter that are added to a density before its logarithm is taken.
const LEAST_DENSITY: f32 = 0.125;

/// Style, density and tempo as asked, the bar's place in its phrase, and how long the notes usually are in the style, and
/// how many sound together: told these, the model keeps to the style more often. Register is left to it.
///
/// Phrases are counted from the first bar of the song, as they were in training.
pub fn condition(
    palette: Palette<'_>,
    settings: &Settings,
    asked: &PerPart<bool>,
    quarters_per_minute: f32,
    bar: BarIndex,
) -> Condition {
    let styles = style_weights(settings.style, palette.styles.len());
    let mut condition = plain_condition(palette.styles.len(), settings.style, quarters_per_minute, bar);
    condition[..MOST_STYLES].copy_from_slice(&styles.map(|weight| palette.emphasis * weight));
    for (index, _) in PARTS.iter().enumerate().filter(|(_, part)| asked[**part]) {
        let at = ATTRIBUTES + ATTRIBUTES_A_PART * index;
        let known = |value: f32| [value, 1.0];
        let usual = |measure: fn(&Means) -> Option<f32>| usual(palette, index, &styles, measure);
        if let Some(density) = log_density(palette, settings, index) {
            condition[at..at + 2].copy_from_slice(&known(density));
        }
        if let Some(length) = usual(|means| means.length) {
            condition[at + 4..at + 6].copy_from_slice(&known((length / TICKS_PER_QUARTER as f32).log2()));
        }
        if let Some(notes) = usual(|means| means.polyphony) {
            condition[POLYPHONY..POLYPHONY + 2].copy_from_slice(&known(notes - 2.0));
        }
        condition[ASKED + index] = 1.0;
    }
    condition
}

/// Style, tempo and place in the phrase, for models that are asked for no parts. `styles`: how many the model has.
pub fn plain_condition(styles: usize, style: f32, quarters_per_minute: f32, bar: BarIndex) -> Condition {
    let mut condition = [0.0; CONDITIONS];
    condition[..MOST_STYLES].copy_from_slice(&style_weights(style, styles));
    condition[TEMPO] = octaves_of_tempo(quarters_per_minute);
    condition[PHRASE] = 1.0;
    for (index, bars) in [4, 8].into_iter().enumerate() {
        let (sine, cosine) = (TAU * bar.0.rem_euclid(bars) as f32 / bars as f32).sin_cos();
        condition[PHRASE + 1 + 2 * index] = sine;
        condition[PHRASE + 2 + 2 * index] = cosine;
    }
    condition
}

/// A tempo in octaves around 120, as far as models know it; 0 where it is none.
pub fn octaves_of_tempo(quarters_per_minute: f32) -> f32 {
    const KNOWN: f32 = 1.5;
    let octaves = (quarters_per_minute / 120.0).log2();
    if octaves.is_finite() { octaves.clamp(-KNOWN, KNOWN) } else { 0.0 }
}

/// The knob's place in the model's own palette of `count` styles: on a whole number one style, between two their blend.
/// Nothing where it plays by ear, as it has learnt to; on the way there the first style fades.
fn style_weights(position: f32, count: usize) -> [f32; MOST_STYLES] {
    let named = (position - Style::BY_EAR).clamp(0.0, 1.0);
    let place = position.clamp(0.0, Style::LAST_POSITION) / Style::LAST_POSITION * (count - 1) as f32;
    let below = (place as usize).min(count - 1);
    let share = place - below as f32;
    let mut weights = [0.0; MOST_STYLES];
    weights[below] = named * (1.0 - share);
    if share > 0.0 {
        weights[below + 1] = share;
    }
    weights
}

/// Onsets a quarter that the settings ask of a part (its place in [`PARTS`]), to be kept to; `None` in the middle of the
/// density knob.
pub fn asked_density(palette: Palette<'_>, settings: &Settings, part: usize) -> Option<f32> {
    Some((log_density(palette, settings, part)?.exp2() - LEAST_DENSITY).max(0.0))
}

/// Whether the density knob asks for something.
fn is_turned(knob: f32) -> bool {
    (knob - 0.5).abs() > MIDDLE
}

/// As the model reads it: a little off the density knob's middle what is usual for the styles, at its ends the training's
/// extremes, in between by octaves. In the middle it is told nothing: songs of one style differ in density.
fn log_density(palette: Palette<'_>, settings: &Settings, part: usize) -> Option<f32> {
    let knob = settings.density_of(PARTS[part]);
    if !is_turned(knob) {
        return None;
    }
    let styles = style_weights(settings.style, palette.styles.len());
    let quantiles = palette.controls.quantiles(part);
    let usual = usual(palette, part, &styles, |means| means.density);
    let usual = usual.unwrap_or(quantiles.density_at(0.5));
    let ends_and_middle = [quantiles.density_at(SPARSEST), usual, quantiles.density_at(DENSEST)];
    let [least, usual, most] = ends_and_middle.map(|onsets| (onsets + LEAST_DENSITY).log2());
    Some(if knob < 0.5 {
        least.min(usual) + (usual - least.min(usual)) * 2.0 * knob
    } else {
        usual + (most.max(usual) - usual) * (2.0 * knob - 1.0)
    })
}

/// The mean of the asked styles; `None` where none of them has the part, and where they are hardly asked for.
fn usual(
    palette: Palette<'_>,
    part: usize,
    styles: &[f32; MOST_STYLES],
    measure: impl Fn(&Means) -> Option<f32>,
) -> Option<f32> {
    let mean = |name: &String| palette.controls.means(name, part).and_then(&measure);
    let known = palette.styles.iter().zip(styles).filter_map(|(name, weight)| Some((mean(name)?, *weight)));
    let (sum, total) = known.fold((0.0, 0.0), |(sum, total), (mean, weight)| (sum + mean * weight, total + weight));
    let named: f32 = styles.iter().sum();
    (total > 0.0 && named >= 0.5).then_some(sum / total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::EMPHASIS;
    use crate::contract::tests::contract;
    use crate::music::Part;

    fn bass_only() -> PerPart<bool> {
        PerPart::from_fn(|part| part == Part::Bass)
    }

    fn with(settings: Settings) -> Condition {
        condition(contract().palette(), &settings, &bass_only(), 60.0, BarIndex(8))
    }

    #[test]
    fn the_vector_says_what_was_asked() {
        let condition = with(Settings { style: 0.0, density: 0.0, ..Settings::default() });
        let mut expected = [0.0; CONDITIONS];
        (expected[0], expected[12], expected[13], expected[32], expected[35]) =
            (EMPHASIS, -0.678_071_9, 1.0, 1.0, -1.0);
        (expected[16], expected[17]) = (0.0, 1.0);
        (expected[36], expected[38], expected[40]) = (1.0, 1.0, 1.0);
        assert_eq!(condition, expected);
    }

    #[test]
    fn bars_are_counted_by_fours_and_eights() {
        let phrase = |bar| {
            let condition = condition(contract().palette(), &Settings::default(), &bass_only(), 60.0, BarIndex(bar));
            condition[36..].iter().map(|value| (value * 100.0).round()).collect::<Vec<_>>()
        };
        assert_eq!(phrase(10), [100.0, 0.0, -100.0, 100.0, 0.0]);
        assert_eq!(phrase(-6), phrase(10));
    }

    #[test]
    fn the_style_knob_spans_the_models_own_palette() {
        let weights = |style| with(Settings { style, ..Settings::default() })[..3].to_vec();
        assert_eq!(weights(0.0), [EMPHASIS, 0.0, 0.0]);
        assert_eq!(weights(Style::LAST_POSITION / 2.0), [0.5 * EMPHASIS, 0.5 * EMPHASIS, 0.0]);
        assert_eq!(weights(Style::LAST_POSITION), [0.0, EMPHASIS, 0.0]);
    }

    #[test]
    fn in_its_middle_the_density_knob_asks_for_nothing() {
        let asked = |density| {
            let settings = Settings { style: 0.0, density, ..Settings::default() };
            asked_density(contract().palette(), &settings, 0).map(|onsets| (onsets * 100.0).round() / 100.0)
        };
        assert_eq!([0.0, 0.5, 1.0].map(asked), [Some(0.5), None, Some(9.5)]);
        assert_eq!(with(Settings { style: 0.0, density: 0.5, ..Settings::default() })[12..14], [0.0, 0.0]);
    }

    #[test]
    fn a_part_has_a_density_of_its_own() {
        let asked = |of_bass| {
            let mut settings = Settings { style: 0.0, ..Settings::default() };
            settings.parts[Part::Bass].density = of_bass;
            [0, 2].map(|part| asked_density(contract().palette(), &settings, part).is_some())
        };
        assert_eq!([0.0, 0.5, 1.0].map(asked), [[true, false], [false, false], [true, false]]);
    }

    #[test]
    fn by_ear_nothing_is_told_but_what_the_density_knob_asks() {
        let by_ear = |density| with(Settings { style: Style::BY_EAR, density, ..Settings::default() })[..32].to_vec();
        assert_eq!(by_ear(0.5), [0.0; 32]);
        let sparse = by_ear(0.0);
        assert_eq!((sparse[12], sparse[13]), (0.625_f32.log2(), 1.0));
        assert_eq!(sparse.iter().filter(|value| **value != 0.0).count(), 2);
        assert_eq!(
            with(Settings { style: -0.75, ..Settings::default() })[..14],
            [&[0.25 * EMPHASIS][..], &[0.0; 13]].concat()
        );
        assert_eq!(with(Settings { style: -0.25, ..Settings::default() })[17], 1.0, "a style is named, almost");
    }

    #[test]
    fn more_density_never_asks_for_less() {
        for style in [Style::BY_EAR, 0.0, 3.0, 6.0] {
            let steps = (0..=20).map(|step| step as f32 / 20.0);
            let densities: Vec<f32> = steps
                .filter(|density| *density != 0.5)
                .map(|density| with(Settings { style, density, ..Settings::default() })[12])
                .collect();
            assert!(densities.is_sorted(), "{densities:?}");
            assert_eq!([densities[0], densities[19]], [0.625_f32.log2(), 9.625_f32.log2()]);
        }
    }

    #[test]
    fn tempo_stays_in_what_the_model_knows() {
        let tempo = |quarters_per_minute| {
            condition(contract().palette(), &Settings::default(), &bass_only(), quarters_per_minute, BarIndex(0))[35]
        };
        assert_eq!([0.0, -5.0, 1e9, 120.0, f32::NAN].map(tempo), [0.0, 0.0, 1.5, 0.0, 0.0]);
        assert_eq!(tempo(1.0), -1.5);
    }
}
