//! Finds a generator by name and loads it. Reads files: on the thread that brings models, or at a shell.

use super::melodists::{EnhancesMelodies, ExtendsMelodies};
#[cfg(feature = "inference")]
use super::rehearsal::rehearse;
use super::rules::RuleGenerator;
use super::{Drummer, Generator};
use crate::music::{Part, PerPart};
use std::time::Duration;

/// Which generator is wanted, and how it is to be run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GeneratorChoice {
    /// `rules`, or the name of an installed model; `None` is the model inside the plugin.
    pub name: Option<String>,
    #[cfg(feature = "inference")]
    pub runtime: crate::runtime::RuntimeChoice,
}

impl GeneratorChoice {
    /// Whether both are computed in the same way, whoever plays.
    pub fn runs_like(&self, other: &Self) -> bool {
        self.named(None) == other.named(None)
    }

    /// Another model, computed in the same way.
    #[must_use]
    pub fn named(&self, name: Option<String>) -> Self {
        let mut other = self.clone();
        other.name = name;
        other
    }
}

/// Generators ready to play, and how they came about.
pub struct Loaded {
    pub generator: Box<dyn Generator>,
    /// `None` where the generator, or else the rules, play the drums.
    pub drummer: Option<Box<dyn Drummer>>,
    /// Who is there already to work on the melody; else they are opened when they are first wanted.
    pub enhancer: Option<Box<dyn EnhancesMelodies>>,
    pub extender: Option<Box<dyn ExtendsMelodies>>,
    /// Inference backend with its version; empty for the rules.
    pub backend: String,
    /// Where the model runs; empty for the rules.
    pub device: String,
    /// What did not work out, for the user; the generator is then the next best.
    pub problem: Option<String>,
    /// How long it took for half a bar when it was tried; unknown of the rules, which take no time.
    pub half_bar: Option<Duration>,
    /// What was asked for, where it was asked by name.
    pub choice: Option<GeneratorChoice>,
}

/// The generators there are for the user to choose, by name, the built-in model first. Reads the user's models folder.
pub fn names() -> Vec<String> {
    let mut names = model_names();
    names.push(RULES.to_owned());
    names
}

/// A device for the user to choose.
#[cfg(feature = "inference")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceOption {
    pub choice: crate::runtime::DeviceChoice,
    /// Its kind, and as its maker calls it.
    pub label: String,
    /// Why it cannot be chosen.
    pub trouble: Option<String>,
}

/// The devices there are to compute models, automatic choice first. Starts each the first time, which may take a second.
#[cfg(feature = "inference")]
pub fn devices() -> Vec<DeviceOption> {
    use crate::runtime::{DeviceChoice, FoundDevice, Runtime, RuntimeChoice};
    let auto = DeviceOption { choice: DeviceChoice::Auto, label: DeviceChoice::Auto.to_string(), trouble: None };
    let option = |FoundDevice { device, name, trouble }: FoundDevice| DeviceOption {
        choice: DeviceChoice::One(device),
        label: if name.is_empty() { device.to_string() } else { format!("{device} ({name})") },
        trouble,
    };
    let found = Runtime::get(&RuntimeChoice::from_environment()).devices();
    [auto].into_iter().chain(found.into_iter().map(option)).collect()
}

#[cfg(not(feature = "inference"))]
fn model_names() -> Vec<String> {
    Vec::new()
}

#[cfg(feature = "inference")]
fn model_names() -> Vec<String> {
    crate::model::installed_models().into_iter().map(|model| model.name).collect()
}

impl Loaded {
    pub fn rules() -> Self {
        Self {
            generator: Box::new(RuleGenerator),
            drummer: None,
            enhancer: None,
            extender: None,
            backend: String::new(),
            device: String::new(),
            problem: None,
            half_bar: None,
            choice: None,
        }
    }

    /// The parts that are written by rule.
    pub fn by_rule(&self) -> PerPart<bool> {
        let mut played = self.generator.parts();
        played[Part::Drums] |= self.drummer.is_some();
        PerPart::from_fn(|part| part.is_of_band() && !played[part])
    }
}

/// The name of the generator that needs no model.
pub const RULES: &str = "rules";

/// Loads what is wanted. What cannot be loaded is replaced by the rules, with the reason in [`Loaded::problem`].
pub fn load(choice: &GeneratorChoice) -> Loaded {
    let by_rule = choice.name.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(RULES));
    let loaded = if by_rule { Loaded::rules() } else { load_model(choice) };
    Loaded { choice: Some(choice.clone()), ..loaded }
}

#[cfg(not(feature = "inference"))]
fn load_model(choice: &GeneratorChoice) -> Loaded {
    Loaded { problem: choice.name.is_some().then(|| no_models(choice)), ..Loaded::rules() }
}

#[cfg(not(feature = "inference"))]
fn no_models(choice: &GeneratorChoice) -> String {
    let named = choice.name.as_ref().map(|name| format!(", so `{name}` cannot play"));
    format!("This build has no models{}: choose the rules, or another build.", named.unwrap_or_default())
}

/// Somebody who works on the melody.
pub struct Opened<M: ?Sized> {
    pub melodist: Box<M>,
    pub name: String,
    /// A sentence where it computes elsewhere than it was asked to.
    pub elsewhere: Option<String>,
}

/// What enhances melodies, for the plugin.
///
/// # Errors
/// When there is none, or it cannot be played, in words for the user.
#[cfg(feature = "inference")]
pub fn open_enhancer(choice: &GeneratorChoice) -> Result<Opened<dyn EnhancesMelodies>, String> {
    let (enhancer, elsewhere) = load_enhancer(choice).map_err(|error| error.in_words())?;
    Ok(Opened { name: enhancer.name().to_owned(), melodist: Box::new(enhancer), elsewhere })
}

/// What carries melodies on, for the plugin.
///
/// # Errors
/// When there is none, or it cannot be played, in words for the user.
#[cfg(feature = "inference")]
pub fn open_extender(choice: &GeneratorChoice) -> Result<Opened<dyn ExtendsMelodies>, String> {
    let (extender, elsewhere) = load_extender(choice).map_err(|error| error.in_words())?;
    Ok(Opened { name: extender.name().to_owned(), melodist: Box::new(extender), elsewhere })
}

/// There is none.
///
/// # Errors
/// Always.
#[cfg(not(feature = "inference"))]
pub fn open_enhancer(choice: &GeneratorChoice) -> Result<Opened<dyn EnhancesMelodies>, String> {
    Err(no_models(choice))
}

/// There is none.
///
/// # Errors
/// Always.
#[cfg(not(feature = "inference"))]
pub fn open_extender(choice: &GeneratorChoice) -> Result<Opened<dyn ExtendsMelodies>, String> {
    Err(no_models(choice))
}

/// The enhancers there are for the user to choose, by name. Reads the user's models folder.
#[cfg(feature = "inference")]
pub fn enhancer_names() -> Vec<String> {
    crate::model::enhancers().into_iter().map(|model| model.name).collect()
}

/// The extenders there are for the user to choose, by name. Reads the user's models folder.
#[cfg(feature = "inference")]
pub fn extender_names() -> Vec<String> {
    crate::model::extenders().into_iter().map(|model| model.name).collect()
}

/// What enhances melodies: by name or by its file, else the first there is. Also a sentence where it computes elsewhere than
/// it was asked to.
///
/// # Errors
/// When there is none, or it cannot be played.
#[cfg(feature = "inference")]
pub fn load_enhancer(
    choice: &GeneratorChoice,
) -> Result<super::onnx::Seated<super::enhancer::Enhancer>, crate::model::ModelError> {
    super::onnx::load_enhancer(&crate::model::find_enhancer(choice.name.as_deref())?, seat_of(choice))
}

/// What carries melodies on: by name or by its file, else the first there is. Also a sentence where it computes elsewhere
/// than it was asked to.
///
/// # Errors
/// When there is none, or it cannot be played.
#[cfg(feature = "inference")]
pub fn load_extender(
    choice: &GeneratorChoice,
) -> Result<super::onnx::Seated<super::extender::Extender>, crate::model::ModelError> {
    super::onnx::load_extender(&crate::model::find_extender(choice.name.as_deref())?, seat_of(choice))
}

#[cfg(feature = "inference")]
fn seat_of(choice: &GeneratorChoice) -> super::onnx::Seat {
    let runtime = crate::runtime::Runtime::get(&choice.runtime);
    super::onnx::Seat { runtime, choice: choice.runtime.device, precision: choice.runtime.precision }
}

#[cfg(feature = "inference")]
fn load_model(choice: &GeneratorChoice) -> Loaded {
    use super::onnx::{load, load_drummer};
    let seat = seat_of(choice);
    let runtime = seat.runtime;
    let mut loaded = Loaded {
        backend: runtime.backend().to_string(),
        problem: runtime.problem_for(&choice.runtime),
        ..Loaded::rules()
    };
    let generator = crate::model::find_model(choice.name.as_deref()).and_then(|source| load(&source, seat));
    match generator {
        Ok((generator, elsewhere)) => {
            loaded.device = generator.device().unwrap_or_default();
            loaded.problem = loaded.problem.or(elsewhere);
            loaded.generator = generator;
        }
        Err(error) => {
            return Loaded {
                problem: Some(format!("{} Until then the rules play.", error.in_words())),
                ..Loaded::rules()
            };
        }
    }
    match load_drummer(seat) {
        Ok((drummer, elsewhere)) => {
            loaded.problem = loaded.problem.or(elsewhere);
            loaded.drummer = Some(Box::new(drummer));
        }
        Err(error) => loaded.problem = Some(format!("{} Until then the rules drum.", error.in_words())),
    }
    loaded.half_bar = rehearse(&mut *loaded.generator, loaded.drummer.as_mut());
    crate::runtime::give_back_memory();
    loaded
}
