//! Styles: an ordered palette in which neighbours are alike, so that one knob can move through it and blend. Before the
//! first of them the knob names none: the band plays by ear.

use serde::{Deserialize, Serialize};

/// A style that the accompanist was trained on, named after what it was learnt from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Style(u8);

impl Style {
    /// In palette order. The embedded model's contract is tested against this.
    pub const NAMES: [&'static str; 9] = [
        "Chorale",
        "Hymn",
        "Quartet",
        "Romantic song",
        "Arpeggio ballad",
        "Broken-chord ballad",
        "Block-chord ballad",
        "Driving pop",
        "Rock band",
    ];
    pub const COUNT: usize = Self::NAMES.len();
    /// No style is named: the model plays what the melody suggests. The knob's one end.
    pub const BY_EAR: f32 = -1.0;
    /// The knob's other end.
    pub const LAST_POSITION: f32 = (Self::COUNT - 1) as f32;
    /// What players take who have no ear, the rules and the drummer.
    const USUAL: usize = 4;

    pub fn all() -> impl Iterator<Item = Self> {
        (0..Self::COUNT as u8).map(Self)
    }

    pub fn name(self) -> &'static str {
        Self::NAMES[self.0 as usize]
    }

    pub fn position(self) -> f32 {
        self.0 as f32
    }
}

/// How much of each style, summing to 1: for players who need to be told one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StyleWeights(pub [f32; Style::COUNT]);

impl StyleWeights {
    /// A knob position [`Style::BY_EAR`]..=[`Style::LAST_POSITION`]: from 0 on a whole number is one style, and between two
    /// is their blend.
    pub fn at(position: f32) -> Self {
        let mut weights = [0.0; Style::COUNT];
        for (place, share) in shares(position) {
            weights[place.unwrap_or(Style::USUAL)] += share;
        }
        Self(weights)
    }
}

/// The stops of the knob that a position lies between, and its share of each. `None` is by ear.
fn shares(position: f32) -> [(Option<usize>, f32); 2] {
    let position = position.clamp(Style::BY_EAR, Style::LAST_POSITION);
    let share = position - position.floor();
    let stop = |position: f32| (position >= 0.0).then_some(position as usize);
    [(stop(position.floor()), 1.0 - share), (stop(position.ceil()), share)]
}

const BY_EAR: &str = "By ear";

/// The names of the knob's stops, with their positions.
pub fn stops() -> impl Iterator<Item = (&'static str, f32)> {
    let styles = Style::all().map(|style| (style.name(), style.position()));
    std::iter::once((BY_EAR, Style::BY_EAR)).chain(styles)
}

/// The stops next to a position, in order, each with its share of what is played there. On a stop these are it and its
/// neighbours, of which nothing is played.
pub fn blend(position: f32) -> impl Iterator<Item = (&'static str, f32)> {
    let near = stops().map(move |(name, stop)| (name, 1.0 - (position - stop).abs()));
    near.filter(|(_, share)| *share >= 0.0)
}

/// What the knob shows: `By ear`, `Hymn`, or `Hymn 70 % + Quartet 30 %`.
pub fn position_text(position: f32) -> String {
    let name = |place: Option<usize>| place.map_or(BY_EAR, |place| Style::NAMES[place]);
    let [(first, share), (next, _)] = shares(position).map(|(place, share)| (name(place), share));
    match (share * 100.0).round() as i32 {
        100 => first.to_owned(),
        0 => next.to_owned(),
        percent => format!("{first} {percent} % + {next} {} %", 100 - percent),
    }
}

/// Reads what [`position_text`] writes, a stop's name, or a number from -1 (by ear) on.
pub fn position_from_text(text: &str) -> Option<f32> {
    if let Ok(number) = text.trim().parse::<f32>() {
        return (Style::BY_EAR..=Style::LAST_POSITION).contains(&number).then_some(number);
    }
    let Some((first, second)) = text.split_once('+') else {
        return position_of(text);
    };
    let share = |part: &str| {
        let (name, percent) = part.trim().trim_end_matches('%').trim().rsplit_once(' ')?;
        Some((position_of(name)?, percent.parse::<f32>().ok()?))
    };
    let ((a, share_a), (b, share_b)) = (share(first)?, share(second)?);
    (share_a + share_b > 0.0).then(|| (a * share_a + b * share_b) / (share_a + share_b))
}

/// By name, or the start of one, without regard to case and dashes; `None` if no name or more than one fits.
fn position_of(name: &str) -> Option<f32> {
    let plain = |text: &str| text.to_lowercase().replace(['-', '_'], " ");
    let wanted = plain(name.trim());
    let fitting = || stops().filter(|(stop, _)| plain(stop).starts_with(&wanted));
    let whole = fitting().find(|(stop, _)| plain(stop) == wanted);
    let only = || fitting().next().filter(|_| !wanted.is_empty() && fitting().count() == 1);
    whole.or_else(only).map(|(_, position)| position)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_between_positions_blend_neighbours() {
        let weights = StyleWeights::at(1.25).0;
        assert_eq!(weights[..3], [0.0, 0.75, 0.25]);
        assert_eq!(StyleWeights::at(99.0).0[Style::COUNT - 1], 1.0);
        let sums = |position: f32| StyleWeights::at(position).0.iter().sum::<f32>();
        assert!((-10..=80).all(|tenths| (sums(0.1 * tenths as f32) - 1.0).abs() < 1e-5));
    }

    #[test]
    fn the_blend_is_told_with_the_neighbours() {
        let told =
            |position| blend(position).map(|(name, share)| (name, (share * 100.0_f32).round())).collect::<Vec<_>>();
        assert_eq!(told(1.25), [("Hymn", 75.0), ("Quartet", 25.0)]);
        assert_eq!(told(2.0), [("Hymn", 0.0), ("Quartet", 100.0), ("Romantic song", 0.0)]);
        assert_eq!(told(Style::BY_EAR), [("By ear", 100.0), ("Chorale", 0.0)]);
        assert_eq!(told(Style::LAST_POSITION), [("Driving pop", 0.0), ("Rock band", 100.0)]);
    }

    #[test]
    fn who_has_no_ear_plays_what_is_usual() {
        assert_eq!(StyleWeights::at(Style::BY_EAR), StyleWeights::at(Style::USUAL as f32));
        assert_eq!(StyleWeights::at(-0.25).0[..5], [0.75, 0.0, 0.0, 0.0, 0.25]);
    }

    #[test]
    fn knob_text_reads_back() {
        for step in -100..=100 * (Style::COUNT as i32 - 1) {
            let position = step as f32 / 100.0;
            let text = position_text(position);
            let back = position_from_text(&text).unwrap_or_else(|| panic!("{text}"));
            assert!((back - position).abs() < 0.006, "{position} -> {text} -> {back}");
        }
        assert_eq!(position_from_text("romantic"), Some(3.0));
        assert_eq!(position_from_text("by"), Some(Style::BY_EAR));
        assert_eq!(position_text(-0.3), "By ear 30 % + Chorale 70 %");
        assert_eq!(position_from_text("b"), None, "several begin with b");
        assert_eq!(position_from_text(" "), None);
        assert_eq!(position_from_text("-1.1"), None);
    }
}
