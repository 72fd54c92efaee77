//! Version 3 of a saved song. Fields are never added, removed or moved: that would be version 4.

use super::super::{Ledger, LedgerBar};
use super::bars::{SavedBar, bits, parts_of};
use crate::music::{Part, PerPart};
use crate::settings::{CountInBand, EnhanceSettings, ExtendSettings, ExtendWhen, Sampling, Settings};
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
    /// By part of the band.
    densities: [f32; 5],
    enhance: SavedEnhance,
    extend: SavedExtend,
}

#[derive(Serialize, Deserialize, PartialEq)]
struct SavedEnhance {
    risk: f32,
    add: u8,
    remove: f32,
    passes: u8,
    feeds: bool,
}

#[derive(Serialize, Deserialize, PartialEq)]
struct SavedExtend {
    /// 0 when the player stops, 1 from a bar on, 2 call and response.
    when: u8,
    risk: f32,
    /// 0 nucleus, 1 top-k, 2 random.
    sampling: u8,
    listen: u8,
    bars: u8,
    from: u16,
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
        let settings: Vec<Settings> = self.settings.iter().map(SavedSettings::settings).collect::<Option<_>>()?;
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
            densities: Part::BAND.map(|part| settings.parts[part].density),
            enhance: SavedEnhance::of(&settings.enhance),
            extend: SavedExtend::of(&settings.extend),
        }
    }

    /// Brought into range; `None` for a choice that does not exist.
    fn settings(&self) -> Option<Settings> {
        let on = parts_of(self.parts);
        let mut settings = Settings {
            temperature: self.temperature,
            style: self.style,
            density: self.density,
            seed: self.seed,
            count_in: self.count_in,
            count_in_band: if self.count_in_rests { CountInBand::Rests } else { CountInBand::Rules },
            enhance: self.enhance.settings(),
            extend: self.extend.settings()?,
            ..Settings::default()
        };
        Part::ALL.into_iter().for_each(|part| settings.parts[part].on = on[part]);
        let densities = Part::BAND.into_iter().zip(self.densities);
        densities.for_each(|(part, density)| settings.parts[part].density = density);
        Some(settings.clamped())
    }
}

impl SavedEnhance {
    fn of(&EnhanceSettings { risk, add, remove, passes, feeds }: &EnhanceSettings) -> Self {
        Self { risk, add, remove, passes, feeds }
    }

    fn settings(&self) -> EnhanceSettings {
        let &Self { risk, add, remove, passes, feeds } = self;
        EnhanceSettings { risk, add, remove, passes, feeds }
    }
}

impl SavedExtend {
    fn of(&ExtendSettings { when, risk, sampling, listen, bars, from }: &ExtendSettings) -> Self {
        let when = match when {
            ExtendWhen::Stops => 0,
            ExtendWhen::FromBar => 1,
            ExtendWhen::CallAndResponse => 2,
        };
        let sampling = match sampling {
            Sampling::Nucleus => 0,
            Sampling::TopK => 1,
            Sampling::Random => 2,
        };
        Self { when, risk, sampling, listen, bars, from }
    }

    fn settings(&self) -> Option<ExtendSettings> {
        let &Self { when, risk, sampling, listen, bars, from } = self;
        let when = match when {
            0 => ExtendWhen::Stops,
            1 => ExtendWhen::FromBar,
            2 => ExtendWhen::CallAndResponse,
            _ => return None,
        };
        let sampling = match sampling {
            0 => Sampling::Nucleus,
            1 => Sampling::TopK,
            2 => Sampling::Random,
            _ => return None,
        };
        Some(ExtendSettings { when, risk, sampling, listen, bars, from })
    }
}
