//! Styles: an ordered palette in which neighbours are alike, so that one knob can move through it and blend.

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
    /// The knob's end: positions run from 0 to this.
    pub const LAST_POSITION: f32 = (Self::COUNT - 1) as f32;
    pub const DEFAULT_POSITION: f32 = 4.0;

    pub fn all() -> impl Iterator<Item = Self> {
        (0..Self::COUNT as u8).map(Self)
    }

    pub fn name(self) -> &'static str {
        Self::NAMES[self.0 as usize]
    }

    pub fn position(self) -> f32 {
        self.0 as f32
    }

    /// By name, or the start of one, without regard to case and dashes; `None` if no name or more than one fits.
    pub fn from_name(text: &str) -> Option<Self> {
        let plain = |text: &str| text.to_lowercase().replace(['-', '_'], " ");
        let wanted = plain(text.trim());
        if wanted.is_empty() {
            return None;
        }
        let mut fitting = Self::all().filter(|style| plain(style.name()).starts_with(&wanted));
        let found = fitting.next()?;
        if plain(found.name()) == wanted || fitting.next().is_none() { Some(found) } else { None }
    }
}

/// How much of each style, summing to 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StyleWeights(pub [f32; Style::COUNT]);

impl StyleWeights {
    /// A knob position 0..=`Style::LAST_POSITION`: on a whole number one style, between two their blend.
    pub fn at(position: f32) -> Self {
        let position = position.clamp(0.0, Style::LAST_POSITION);
        let below = position.floor() as usize;
        let share = position - below as f32;
        let mut weights = [0.0; Style::COUNT];
        weights[below] = 1.0 - share;
        if share > 0.0 {
            weights[below + 1] = share;
        }
        Self(weights)
    }
}

/// What the knob shows: `Hymn`, or `Hymn 70 % + Quartet 30 %`.
pub fn position_text(position: f32) -> String {
    let weights = StyleWeights::at(position).0;
    let mut shares = Style::all().zip(weights).filter_map(|(style, weight)| {
        let percent = (weight * 100.0).round() as i32;
        (percent > 0).then(|| (style.name(), percent))
    });
    match (shares.next(), shares.next()) {
        (Some((name, percent)), Some((next, rest))) => format!("{name} {percent} % + {next} {rest} %"),
        (Some((name, _)), None) => name.to_owned(),
        (None, _) => String::new(),
    }
}

/// Reads what [`position_text`] writes, a style's name, or a number from 0 (first style) on.
pub fn position_from_text(text: &str) -> Option<f32> {
    if let Ok(number) = text.trim().parse::<f32>() {
        return (0.0..=Style::LAST_POSITION).contains(&number).then_some(number);
    }
    let Some((first, second)) = text.split_once('+') else {
        return Style::from_name(text).map(Style::position);
    };
    let share = |part: &str| {
        let (name, percent) = part.trim().trim_end_matches('%').trim().rsplit_once(' ')?;
        Some((Style::from_name(name)?.position(), percent.parse::<f32>().ok()?))
    };
    let ((a, share_a), (b, share_b)) = (share(first)?, share(second)?);
    (share_a + share_b > 0.0).then(|| (a * share_a + b * share_b) / (share_a + share_b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_between_positions_blend_neighbours() {
        let weights = StyleWeights::at(1.25).0;
        assert_eq!(weights[..3], [0.0, 0.75, 0.25]);
        assert_eq!(StyleWeights::at(99.0).0[Style::COUNT - 1], 1.0);
    }

    #[test]
    fn knob_text_reads_back() {
        for step in 0..=100 * (Style::COUNT - 1) {
            let position = step as f32 / 100.0;
            let text = position_text(position);
            let back = position_from_text(&text).unwrap_or_else(|| panic!("{text}"));
            assert!((back - position).abs() < 0.006, "{position} -> {text} -> {back}");
        }
        assert_eq!(position_from_text("romantic"), Some(3.0));
        assert_eq!(position_from_text("b"), None, "two styles begin with b");
    }
}
