//! The knobs of those that work on the melody, and which of them is wanted. The knobs' values are atomics, read on the audio thread;
//! who is wanted is behind a lock, for the host, the window and the inference thread.

use super::{integer_from_text, linear, number_from_text, percentage, switch};
use crate::channels::EditorCommand;
use crate::music::Melodist;
use crate::settings::{EnhanceSettings, ExtendSettings, ExtendWhen, Sampling};
use crossbeam_channel::Sender;
use nice_plug::params::persist::PersistentField;
use nice_plug::prelude::*;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};

/// How the melody is enhanced. Whether it is says the part's own switch.
#[derive(Params)]
pub struct EnhanceParams {
    #[id = "enhance_risk"]
    pub risk: FloatParam,
    /// Notes a bar at most.
    #[id = "enhance_add"]
    pub add: IntParam,
    /// Share of a bar's notes at most.
    #[id = "enhance_remove"]
    pub remove: FloatParam,
    #[id = "enhance_passes"]
    pub passes: IntParam,
    /// The band plays to it.
    #[id = "enhance_feeds"]
    pub feeds: BoolParam,
}

/// How the melody is carried on. Whether it is says the part's own switch.
#[derive(Params)]
pub struct ExtendParams {
    #[id = "extend_when"]
    pub when: EnumParam<ExtendWhen>,
    #[id = "extend_risk"]
    pub risk: FloatParam,
    #[id = "extend_sampling"]
    pub sampling: EnumParam<Sampling>,
    #[id = "extend_listen"]
    pub listen: IntParam,
    #[id = "extend_bars"]
    pub bars: IntParam,
    /// The bar to begin with, as musicians count.
    #[id = "extend_from"]
    pub from: IntParam,
}

impl EnhanceParams {
    pub(super) fn new() -> Self {
        let default = EnhanceSettings::default();
        Self {
            risk: risk("Enhance Risk", default.risk, EnhanceSettings::RISK),
            add: count("Enhance Add", default.add.into(), EnhanceSettings::ADD, " notes"),
            remove: percentage("Enhance Remove", default.remove, EnhanceSettings::REMOVE),
            passes: count("Enhance Passes", default.passes.into(), EnhanceSettings::PASSES, " passes"),
            feeds: switch("Enhance Feeds Band", default.feeds),
        }
    }

    pub(super) fn settings(&self) -> EnhanceSettings {
        EnhanceSettings {
            risk: self.risk.value(),
            add: self.add.value().clamp(0, 255) as u8,
            remove: self.remove.value(),
            passes: self.passes.value().clamp(0, 255) as u8,
            feeds: self.feeds.value(),
        }
    }
}

impl ExtendParams {
    pub(super) fn new() -> Self {
        let default = ExtendSettings::default();
        Self {
            when: EnumParam::new("Extend When", default.when),
            risk: risk("Extend Risk", default.risk, ExtendSettings::RISK),
            sampling: EnumParam::new("Extend Sampling", default.sampling),
            listen: count("Extend Listen", default.listen.into(), ExtendSettings::LISTEN, " bars"),
            bars: count("Extend Bars", default.bars.into(), ExtendSettings::BARS, " bars"),
            from: count("Extend From", default.from.into(), ExtendSettings::FROM, ""),
        }
    }

    pub(super) fn settings(&self) -> ExtendSettings {
        ExtendSettings {
            when: self.when.value(),
            risk: self.risk.value(),
            sampling: self.sampling.value(),
            listen: self.listen.value().clamp(0, 255) as u8,
            bars: self.bars.value().clamp(0, 255) as u8,
            from: self.from.value().clamp(0, 65_535) as u16,
        }
    }
}

fn risk(name: &str, default: f32, range: RangeInclusive<f32>) -> FloatParam {
    FloatParam::new(name, default, linear(range))
        .with_step_size(0.01)
        .with_value_to_string(Arc::new(|risk| format!("{risk:.2}")))
        .with_string_to_value(Arc::new(number_from_text))
}

/// `unit` may stand behind the number, also without its plural.
fn count<T: Into<i32> + Copy>(name: &str, default: i32, range: RangeInclusive<T>, unit: &'static str) -> IntParam {
    let range = IntRange::Linear { min: (*range.start()).into(), max: (*range.end()).into() };
    let number = move |text: &str| {
        let (text, unit) = (text.trim(), unit.trim());
        let bare = text.strip_suffix(unit).or_else(|| text.strip_suffix(unit.strip_suffix('s').unwrap_or(unit)));
        integer_from_text(bare.filter(|_| !unit.is_empty()).unwrap_or(text))
    };
    IntParam::new(name, default, range).with_unit(unit).with_string_to_value(Arc::new(number))
}

impl Enum for ExtendWhen {
    fn variants() -> &'static [&'static str] {
        &["When I stop", "From a bar", "Call and response"]
    }

    fn ids() -> Option<&'static [&'static str]> {
        Some(&["stops", "from_bar", "call_and_response"])
    }

    fn to_index(self) -> usize {
        match self {
            Self::Stops => 0,
            Self::FromBar => 1,
            Self::CallAndResponse => 2,
        }
    }

    fn from_index(index: usize) -> Self {
        [Self::FromBar, Self::CallAndResponse].into_iter().find(|when| when.to_index() == index).unwrap_or_default()
    }
}

impl Enum for Sampling {
    fn variants() -> &'static [&'static str] {
        &["Nucleus", "Top k", "Random"]
    }

    fn ids() -> Option<&'static [&'static str]> {
        Some(&["nucleus", "top_k", "random"])
    }

    fn to_index(self) -> usize {
        match self {
            Self::Nucleus => 0,
            Self::TopK => 1,
            Self::Random => 2,
        }
    }

    fn from_index(index: usize) -> Self {
        [Self::TopK, Self::Random].into_iter().find(|sampling| sampling.to_index() == index).unwrap_or_default()
    }
}

/// Who is the enhancer, or the extender: a name of [`crate::generators::library`]; an empty one is the first there is.
#[derive(Clone)]
pub struct MelodistField {
    melodist: Melodist,
    name: Arc<Mutex<String>>,
    commands: Sender<EditorCommand>,
}

impl MelodistField {
    pub(super) fn new(melodist: Melodist, commands: Sender<EditorCommand>) -> Self {
        Self { melodist, name: Arc::default(), commands }
    }

    pub fn name(&self) -> String {
        self.name.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From the next bar that is written on. Tell the host of it: [`super::ObbligatoParams::next_edit`].
    pub fn choose(&self, name: String) {
        self.name.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&name);
        let name = Some(name).filter(|name| !name.is_empty());
        // Fails only when the inference thread is gone.
        let _ = self.commands.send(EditorCommand::UseMelodist { melodist: self.melodist, name });
    }
}

impl PersistentField<'_, String> for MelodistField {
    fn set(&self, name: String) {
        self.choose(name);
    }

    fn map<F: Fn(&String) -> R, R>(&self, read: F) -> R {
        read(&self.name())
    }
}
