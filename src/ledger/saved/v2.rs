//! Version 2 of a saved song. Fields are never added, removed or moved: that would be version 3.

use super::super::{Ledger, LedgerBar};
use super::bars::{SavedBar, bits, parts_of};
use crate::music::{Part, PerPart};
use crate::settings::{CountInBand, Settings};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
pub struct Song {
    /// Each that occurs, once.
    settings: Vec<SavedSettings>,
    bars: Vec<SavedBar>,
}

#[derive(Serialize, Deserialize, PartialEq)]
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
    densities: [f32; Part::COUNT],
}

impl Song {
    pub fn of(ledger: &Ledger) -> Self {
        let mut settings: Vec<SavedSettings> = Vec::new();
        let mut index = |of: &Settings| {
            let saved = SavedSettings::of(of);
            let known = settings.iter().rposition(|known| *known == saved);
            known.unwrap_or_else(|| {
                settings.push(saved);
                settings.len() - 1
            }) as u32
        };
        let bars = ledger.bars().map(|entry| SavedBar::of(entry, &mut index)).collect();
        Self { settings, bars }
    }

    /// `None` when it holds what no song can.
    pub fn ledger(&self) -> Option<Ledger> {
        let settings: Vec<Settings> = self.settings.iter().map(SavedSettings::settings).collect();
        let bars: Option<Vec<LedgerBar>> = self.bars.iter().map(|bar| bar.entry(&settings)).collect();
        bars.map(Ledger::of)
    }
}

impl SavedSettings {
    fn of(settings: &Settings) -> Self {
        Self {
            temperature: settings.temperature,
            style: settings.style,
            density: settings.density,
            seed: settings.seed,
            parts: bits(&PerPart::from_fn(|part| settings.part_is_on(part))),
            count_in: settings.count_in,
            count_in_rests: settings.count_in_band == CountInBand::Rests,
            densities: PerPart::from_fn(|part| settings.parts[part].density).0,
        }
    }

    /// Brought into range.
    fn settings(&self) -> Settings {
        let (on, densities) = (parts_of(self.parts), PerPart(self.densities));
        let mut settings = Settings {
            temperature: self.temperature,
            style: self.style,
            density: self.density,
            seed: self.seed,
            count_in: self.count_in,
            count_in_band: if self.count_in_rests { CountInBand::Rests } else { CountInBand::Rules },
            ..Settings::default()
        };
        for part in Part::ALL {
            (settings.parts[part].on, settings.parts[part].density) = (on[part], densities[part]);
        }
        settings.clamped()
    }
}
