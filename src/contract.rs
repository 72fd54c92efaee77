//! What a model file says about itself, and whether this build can play it.
//!
//! Pure: the metadata come as text, so that the check is the same for every inference backend. `docs/encoding.md` names
//! the fields; what follows is the accompanist's, [`drums`] has the drummer's, [`extender`] that of what carries melodies on,
//! and [`rolls`] those of the networks that see music as a picture.

pub mod drums;
pub mod extender;
pub mod rolls;

use crate::music::{TICKS_PER_QUARTER, Ticks};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// Version of `docs/encoding.md` that this build reads and writes.
pub const ENCODING: u32 = 3;
pub const ENGINE: &str = "transformer";
/// Metres by their index in `BAR` and `JAM` tokens.
pub const METRES: [&str; 4] = ["4/4", "3/4", "2/4", "6/8"];
/// Ids of the parts a model writes, in the order in which it writes them.
pub const PARTS: [&str; 3] = ["bass", "chords", "counter"];
/// Number of tokens.
pub const VOCABULARY: usize = 1505;
/// Length of the condition vector.
pub const CONDITIONS: usize = 41;
/// Classes of a note's velocity.
pub const LOUDNESS_CLASSES: usize = 12;
/// What the graph says after each token, by name and size.
pub const OUTPUTS: [(&str, usize); 3] = [("logits", VOCABULARY), ("loudness", LOUDNESS_CLASSES), ("coming", 12)];
/// Tokens that a model reads in one run, when it does not read one.
pub const AT_ONCE: usize = 32;
/// Places for style weights in the condition vector.
pub const MOST_STYLES: usize = 12;

const WINDOW: RangeInclusive<usize> = 256..=8192;
const LAYERS: RangeInclusive<usize> = 1..=64;
const HEADS: RangeInclusive<usize> = 1..=64;
const HEAD_SIZE: RangeInclusive<usize> = 2..=512;
/// Keys or values of a whole window: 256 MB in single precision. A file that asks for more is damaged or a mistake.
const LARGEST_CACHE: usize = 1 << 26;

/// What sets the models of one engine apart; a type for what their knobs read stands for it.
pub trait Engine: DeserializeOwned + Clone + Send + Sync + 'static {
    /// As in `obbligato.engine`.
    const ID: &'static str;
    /// Version of its page that this build reads and writes.
    const ENCODING: u32;
    /// Ids of the parts it writes, in the order in which it writes them.
    const PARTS: &'static [&'static str];
    /// What the graph says after each token, by name and size: the logits of the next token first.
    const OUTPUTS: &'static [(&'static str, usize)];
    /// Length of the condition vector.
    const CONDITIONS: usize;
    /// Places for style weights in the condition vector.
    const MOST_STYLES: usize;
}

impl Engine for Controls {
    const ID: &'static str = ENGINE;
    const ENCODING: u32 = ENCODING;
    const PARTS: &'static [&'static str] = &PARTS;
    const OUTPUTS: &'static [(&'static str, usize)] = &OUTPUTS;
    const CONDITIONS: usize = CONDITIONS;
    const MOST_STYLES: usize = MOST_STYLES;
}

/// A model's description of itself, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Contract<E = Controls> {
    /// As shown to the user.
    pub name: String,
    /// Names of the style weights, in palette order; 1..=[`Engine::MOST_STYLES`].
    pub styles: Vec<String>,
    pub controls: E,
    /// Tokens of the past that the model can see.
    pub window: usize,
    pub layers: usize,
    pub heads: usize,
    pub head_size: usize,
    pub licence: String,
    /// What it was trained on.
    pub data: String,
    /// Commit of the training code.
    pub commit: String,
    /// JSON.
    pub scores: String,
}

/// What the training music measured, so that a knob moves within what the model has seen.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Controls {
    pub bass: Quantiles,
    pub chords: Quantiles,
    pub counter: Quantiles,
    /// Means by style name, then part id.
    pub styles: BTreeMap<String, BTreeMap<String, Means>>,
}

/// The accompanist is told a style with so much of the weight that it has learnt it with: then bars have more of what sets it
/// apart (`EMPHASIS` in `models/obbligato_models/styles.py`).
pub const EMPHASIS: f32 = 1.3;

/// What a model's knobs read: its styles, and what the training music measured.
#[derive(Debug, Clone, Copy)]
pub struct Palette<'a> {
    pub styles: &'a [String],
    /// With so much of the weight that it was learnt with a style is told.
    pub emphasis: f32,
    pub controls: &'a Controls,
}

/// Values at the training quantiles 0, .1, … 1.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Quantiles {
    /// Onsets a quarter note.
    pub density: [f32; 11],
    /// Mean key.
    pub register: [f32; 11],
    /// Mean duration in ticks.
    pub length: [f32; 11],
}

/// The same measures averaged over the bars of one style; `None` where the style has no notes of the part.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub struct Means {
    pub density: Option<f32>,
    pub register: Option<f32>,
    pub length: Option<f32>,
    /// Notes an onset; of chords only.
    pub polyphony: Option<f32>,
}

/// Why a file cannot be played. Each reads on from "model `x` …".
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ContractError {
    #[error("was not made for Obbligato: its metadata have no `obbligato.{0}`")]
    Missing(&'static str),
    #[error("was exported for encoding {found}, this build reads {expected}: export it again or update")]
    Encoding { found: String, expected: u32 },
    #[error("says `obbligato.{key}` = `{found}`, this build reads `{expected}`: export it again or update")]
    Unexpected { key: &'static str, found: String, expected: String },
    #[error("says `obbligato.{key}` = `{found}`, which is not {wanted}: export it again")]
    Unreadable { key: &'static str, found: String, wanted: String },
    #[error("wants {0} numbers to remember its window, more than this build grants: is the file damaged?")]
    TooLarge(usize),
}

impl<E: Engine> Contract<E> {
    /// Reads and checks the metadata of a file; `value` looks up a key such as `obbligato.name`.
    ///
    /// # Errors
    /// Names the first field that is missing, cannot be read, or is not what this build plays.
    pub fn read(value: impl Fn(&str) -> Option<String>) -> Result<Self, ContractError> {
        let text = |key: &'static str| value(&format!("obbligato.{key}")).ok_or(ContractError::Missing(key));
        expect(text, "engine", E::ID)?;
        let encoding = text("encoding")?;
        if encoding != E::ENCODING.to_string() {
            return Err(ContractError::Encoding { found: encoding, expected: E::ENCODING });
        }
        let grid: Ticks = TICKS_PER_QUARTER;
        expect(text, "grid", &grid.to_string())?;
        expect(text, "metres", &METRES.join(" "))?;
        expect(text, "parts", &E::PARTS.join(" "))?;
        let contract = Self {
            name: text("name")?,
            styles: styles(text("styles")?, E::MOST_STYLES)?,
            controls: controls(text("controls")?)?,
            window: size("window", text("window")?, WINDOW)?,
            layers: size("layers", text("layers")?, LAYERS)?,
            heads: size("heads", text("heads")?, HEADS)?,
            head_size: size("head_size", text("head_size")?, HEAD_SIZE)?,
            licence: text("licence")?,
            data: text("data")?,
            commit: text("commit")?,
            scores: text("scores")?,
        };
        match contract.cache_size() {
            0..=LARGEST_CACHE => Ok(contract),
            too_large => Err(ContractError::TooLarge(too_large)),
        }
    }

    /// Numbers in `past_k`, and as many in `past_v`.
    pub fn cache_size(&self) -> usize {
        self.layers * self.heads * self.window * self.head_size
    }
}

fn expect(
    text: impl Fn(&'static str) -> Result<String, ContractError>,
    key: &'static str,
    expected: &str,
) -> Result<(), ContractError> {
    let found = text(key)?;
    if found == expected {
        return Ok(());
    }
    Err(ContractError::Unexpected { key, found, expected: expected.to_owned() })
}

fn styles(text: String, most: usize) -> Result<Vec<String>, ContractError> {
    let names: Vec<String> = text.split('|').map(|name| name.trim().to_owned()).collect();
    if names.len() <= most && names.iter().all(|name| !name.is_empty()) {
        return Ok(names);
    }
    let wanted = format!("a list of 1 to {most} names, joined by `|`");
    Err(ContractError::Unreadable { key: "styles", found: text, wanted })
}

fn controls<E: Engine>(text: String) -> Result<E, ContractError> {
    serde_json::from_str(&text).map_err(|error| {
        let found: String = text.chars().take(40).collect();
        let wanted = format!("a table of quantiles and means ({error})");
        ContractError::Unreadable { key: "controls", found, wanted }
    })
}

fn size(key: &'static str, found: String, range: RangeInclusive<usize>) -> Result<usize, ContractError> {
    match usize::from_str(found.trim()) {
        Ok(number) if range.contains(&number) => Ok(number),
        Ok(_) | Err(_) => {
            let wanted = format!("a number from {} to {}", range.start(), range.end());
            Err(ContractError::Unreadable { key, found, wanted })
        }
    }
}

impl Contract {
    /// What its knobs read.
    pub fn palette(&self) -> Palette<'_> {
        Palette { styles: &self.styles, emphasis: EMPHASIS, controls: &self.controls }
    }
}

impl Controls {
    /// The quantiles of a part, by its place in [`PARTS`].
    pub fn quantiles(&self, part: usize) -> &Quantiles {
        [&self.bass, &self.chords, &self.counter][part]
    }

    /// The means of a part in a style, where the training music had it.
    pub fn means(&self, style: &str, part: usize) -> Option<&Means> {
        self.styles.get(style)?.get(PARTS[part])
    }
}

impl Quantiles {
    /// The value below which the share `at` (0..=1) of the training bars lies.
    pub fn density_at(&self, at: f32) -> f32 {
        quantile(&self.density, at)
    }
}

/// The value at a share 0..=1, between the tenths that are known.
fn quantile(tenths: &[f32; 11], at: f32) -> f32 {
    let place = at.clamp(0.0, 1.0) * 10.0;
    let below = (place as usize).min(9);
    let share = place - below as f32;
    tenths[below] * (1.0 - share) + tenths[below + 1] * share
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// Metadata of a small model that this build plays.
    pub fn metadata() -> BTreeMap<String, String> {
        let quantiles = r#"{"density":[0,1,2,3,4,5,6,7,8,9,10],"register":[30,31,32,33,34,35,36,37,38,39,40],
            "length":[1,2,3,4,5,6,7,8,9,10,11]}"#;
        let means = r#"{"bass":{"density":1.0,"register":40,"length":12},"counter":{"density":0,"register":null}}"#;
        let controls = format!(
            r#"{{"bass":{quantiles},"chords":{quantiles},"counter":{quantiles},"styles":{{"Waltz":{means}}}}}"#
        );
        [
            ("engine", "transformer"),
            ("encoding", "3"),
            ("grid", "12"),
            ("metres", "4/4 3/4 2/4 6/8"),
            ("parts", "bass chords counter"),
            ("styles", "Waltz|March"),
            ("controls", controls.as_str()),
            ("window", "512"),
            ("layers", "2"),
            ("heads", "2"),
            ("head_size", "8"),
            ("name", "Test"),
            ("licence", "CC0"),
            ("data", "none"),
            ("commit", "0"),
            ("scores", "{}"),
        ]
        .map(|(key, value)| (format!("obbligato.{key}"), value.to_owned()))
        .into()
    }

    pub fn contract() -> Contract {
        read(&metadata()).expect("the metadata above are complete")
    }

    fn read(metadata: &BTreeMap<String, String>) -> Result<Contract, ContractError> {
        Contract::read(|key| metadata.get(key).cloned())
    }

    #[test]
    fn what_does_not_fit_is_said_in_words() {
        for (key, value, words) in [
            ("engine", "gan", "says `obbligato.engine` = `gan`, this build reads `transformer`"),
            ("encoding", "4", "was exported for encoding 4, this build reads 3: export it again or update"),
            ("metres", "4/4", "this build reads `4/4 3/4 2/4 6/8`"),
            ("styles", "a|b|c|d|e|f|g|h|i|j|k|l|m", "1 to 12 names"),
            ("styles", "a||b", "1 to 12 names"),
            ("controls", "{", "not a table"),
            ("controls", r#"{"bass":{}}"#, "missing field"),
            ("window", "lots", "`lots`, which is not a number from 256 to 8192"),
            ("layers", "0", "from 1 to 64"),
            ("heads", "64", ""),
        ] {
            let mut metadata = metadata();
            metadata.insert(format!("obbligato.{key}"), value.to_owned());
            match read(&metadata) {
                Ok(contract) => assert!(words.is_empty(), "{key}: {contract:?}"),
                Err(error) => assert!(!words.is_empty() && error.to_string().contains(words), "{key}: {error}"),
            }
        }
    }

    #[test]
    fn every_field_is_required() {
        for missing in metadata().into_keys() {
            let mut metadata = metadata();
            metadata.remove(&missing);
            let error = read(&metadata).expect_err(&missing).to_string();
            assert!(error.contains(&missing), "{error}");
        }
    }

    #[test]
    fn a_monstrous_window_is_refused() {
        let mut metadata = metadata();
        for (key, value) in [("window", "8192"), ("layers", "64"), ("heads", "64"), ("head_size", "512")] {
            metadata.insert(format!("obbligato.{key}"), value.to_owned());
        }
        let error = read(&metadata).expect_err("64 GB").to_string();
        assert!(error.contains("17179869184"), "{error}");
    }

    #[test]
    fn quantiles_are_read_between_the_tenths() {
        let quantiles = contract().controls.bass;
        assert_eq!([0.0, 0.05, 0.5, 1.0, 7.0].map(|at| quantiles.density_at(at)), [0.0, 0.5, 5.0, 10.0, 10.0]);
    }
}
