//! Version 2 of a saved song, which is only read: nobody worked on the melody.

use super::super::{Ledger, LedgerBar};
use super::bars::{SavedBar, parts_of};
use crate::music::Part;
use crate::settings::{CountInBand, Settings};
use serde::Deserialize;

#[derive(Deserialize)]
pub struct Song {
    /// Each that occurs, once.
    settings: Vec<SavedSettings>,
    bars: Vec<SavedBar>,
}

#[derive(Deserialize)]
struct SavedSettings {
    temperature: f32,
    style: f32,
    density: f32,
    seed: u32,
    /// Bit n: part n is on.
    parts: u8,
    count_in: u8,
    count_in_rests: bool,
    /// By part.
    densities: [f32; 5],
}

impl Song {
    /// `None` when it holds what no song can.
    pub fn ledger(&self) -> Option<Ledger> {
        let settings: Vec<Settings> = self.settings.iter().map(SavedSettings::settings).collect();
        let bars: Option<Vec<LedgerBar>> = self.bars.iter().map(|bar| bar.entry(&settings)).collect();
        bars.map(Ledger::of)
    }
}

impl SavedSettings {
    /// Brought into range.
    fn settings(&self) -> Settings {
        let on = parts_of(self.parts);
        let mut settings = Settings {
            temperature: self.temperature,
            style: self.style,
            density: self.density,
            seed: self.seed,
            count_in: self.count_in,
            count_in_band: if self.count_in_rests { CountInBand::Rests } else { CountInBand::Rules },
            ..Settings::default()
        };
        for (part, density) in Part::BAND.into_iter().zip(self.densities) {
            (settings.parts[part].on, settings.parts[part].density) = (on[part], density);
        }
        settings.clamped()
    }
}
