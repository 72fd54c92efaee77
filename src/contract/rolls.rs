//! What the model files of `docs/rolls.md` say about themselves: the GAN's and the enhancer's.

use super::{ContractError, Controls, METRES, MOST_STYLES, Palette, controls, expect, styles};
use crate::music::{TICKS_PER_QUARTER, Ticks};

/// Version of `docs/rolls.md` that this build reads and writes.
pub const ENCODING: u32 = 1;
/// Numbers that the GAN's noise has.
pub const NOISE: usize = 32;

const BARS: &str = "4";
/// The lowest key of a roll, and how many there are.
const KEYS: &str = "16 96";
/// The same as a number.
pub const ROWS: usize = 96;
const PARTS: usize = 4;
/// Of playing: arranging, or in a jam; with chords given, or without.
const WAYS: usize = 4;

/// What sets the models of one engine apart, and what only they say about themselves.
pub trait RollEngine: Clone + Send + Sync + 'static {
    /// As in `obbligato.engine`.
    const ID: &'static str;
    /// Ids of the parts it writes.
    const PARTS: &'static [&'static str];
    /// Of the graph, by name.
    const INPUTS: &'static [(&'static str, Form)];
    /// What is said of each cell.
    const CHANNELS: usize;
    /// Ticks of the rolls that are read while music plays; others may take a moment the first time.
    const IN_TIME: &'static [Ticks];

    /// # Errors
    /// Names the first field that is missing or cannot be read; `text` looks one up.
    fn read(text: &dyn Fn(&'static str) -> Result<String, ContractError>) -> Result<Self, ContractError>;
}

/// The shape of an input; T is the ticks of a roll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// [1, so many, T, 96]
    Cells(usize),
    /// [1, so many, T]
    Rows(usize),
    /// [1, so many, 1]
    Classes(usize),
    /// [1, so many]
    Numbers(usize),
}

impl Form {
    /// Of a roll of so many ticks.
    pub fn shape(self, ticks: usize) -> Vec<usize> {
        match self {
            Self::Cells(channels) => vec![1, channels, ticks, ROWS],
            Self::Rows(rows) => vec![1, rows, ticks],
            Self::Classes(classes) => vec![1, classes, 1],
            Self::Numbers(count) => vec![1, count],
        }
    }
}

/// A model's description of itself, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct RollContract<E> {
    /// As shown to the user.
    pub name: String,
    /// Names of the style weights, in palette order; 1..=[`MOST_STYLES`].
    pub styles: Vec<String>,
    pub own: E,
    pub licence: String,
    /// What it was trained on.
    pub data: String,
    /// Commit of the training code.
    pub commit: String,
    /// JSON.
    pub scores: String,
}

/// Numbers for each part: arranging, arranging with chords given, in a jam, in a jam with chords given.
type ByWay = [[f32; PARTS]; WAYS];

/// What only a GAN says.
#[derive(Debug, Clone, PartialEq)]
pub struct Gan {
    pub controls: Controls,
    /// Of onsets.
    thresholds: ByWay,
    sustained: ByWay,
    /// How far the temperature moves a cell.
    pub cell_noise: f32,
    /// Logits for a key that the pad is sure to hold.
    pub lean: f32,
}

/// What only an enhancer says.
#[derive(Debug, Clone, PartialEq)]
pub struct Enhancer {
    /// How far the creative risk moves a cell.
    pub cell_noise: f32,
}

impl RollEngine for Gan {
    const ID: &'static str = "gan";
    const PARTS: &'static [&'static str] = &["bass", "chords", "counter", "pad"];
    const INPUTS: &'static [(&'static str, Form)] = &[
        ("melody", Form::Cells(2)),
        ("before", Form::Cells(10)),
        ("chords", Form::Rows(13)),
        ("clock", Form::Rows(3)),
        ("noise", Form::Numbers(NOISE)),
        ("cond", Form::Numbers(super::CONDITIONS)),
    ];
    const CHANNELS: usize = 2 * PARTS;
    const IN_TIME: &'static [Ticks] = &[192, 144, 96];

    fn read(text: &dyn Fn(&'static str) -> Result<String, ContractError>) -> Result<Self, ContractError> {
        expect(text, "noise", &NOISE.to_string())?;
        Ok(Self {
            controls: controls(text("controls")?)?,
            thresholds: by_way("thresholds", text("thresholds")?)?,
            sustained: match text("sustained") {
                Err(ContractError::Missing(_)) => ByWay::default(),
                said => by_way("sustained", said?)?,
            },
            cell_noise: number("cell_noise", text("cell_noise")?)?,
            lean: number("lean", text("lean")?)?,
        })
    }
}

impl RollEngine for Enhancer {
    const ID: &'static str = "arcnn";
    const PARTS: &'static [&'static str] = &["enhanced"];
    const INPUTS: &'static [(&'static str, Form)] = &[
        ("melody", Form::Cells(2)),
        ("around", Form::Cells(4)),
        ("locked", Form::Cells(1)),
        ("profile", Form::Classes(12)),
        ("clock", Form::Rows(3)),
        ("cond", Form::Numbers(super::CONDITIONS)),
    ];
    const CHANNELS: usize = 3;
    const IN_TIME: &'static [Ticks] = &[192];

    fn read(text: &dyn Fn(&'static str) -> Result<String, ContractError>) -> Result<Self, ContractError> {
        Ok(Self { cell_noise: number("cell_noise", text("cell_noise")?)? })
    }
}

impl<E: RollEngine> RollContract<E> {
    /// Reads and checks the metadata of a file; `value` looks up a key such as `obbligato.name`.
    ///
    /// # Errors
    /// Names the first field that is missing, cannot be read, or is not what this build plays.
    pub fn read(value: impl Fn(&str) -> Option<String>) -> Result<Self, ContractError> {
        let text = |key: &'static str| value(&format!("obbligato.{key}")).ok_or(ContractError::Missing(key));
        expect(text, "engine", E::ID)?;
        let encoding = text("encoding")?;
        if encoding != ENCODING.to_string() {
            return Err(ContractError::Encoding { found: encoding, expected: ENCODING });
        }
        let grid: Ticks = TICKS_PER_QUARTER;
        expect(text, "grid", &grid.to_string())?;
        expect(text, "metres", &METRES.join(" "))?;
        expect(text, "parts", &E::PARTS.join(" "))?;
        expect(text, "bars", BARS)?;
        expect(text, "keys", KEYS)?;
        Ok(Self {
            name: text("name")?,
            styles: styles(text("styles")?, MOST_STYLES)?,
            own: E::read(&text)?,
            licence: text("licence")?,
            data: text("data")?,
            commit: text("commit")?,
            scores: text("scores")?,
        })
    }
}

impl Gan {
    /// What the logits of onsets must be above, and those of sustained cells, for each part: what is known is not the same in
    /// each way of playing, nor how sure the network is of its notes.
    pub fn thresholds(&self, jam: bool, chords_given: bool) -> [&[f32; PARTS]; 2] {
        let way = 2 * usize::from(jam) + usize::from(chords_given);
        [&self.thresholds[way], &self.sustained[way]]
    }
}

impl RollContract<Gan> {
    /// What its knobs read.
    pub fn palette(&self) -> Palette<'_> {
        Palette { styles: &self.styles, emphasis: 1.0, controls: &self.own.controls }
    }
}

/// Four numbers, as older files have them, hold in all ways.
fn by_way(key: &'static str, found: String) -> Result<ByWay, ContractError> {
    if found.split_whitespace().count() == PARTS {
        return Ok([numbers(key, found)?; WAYS]);
    }
    let together: [f32; PARTS * WAYS] = numbers(key, found)?;
    Ok(std::array::from_fn(|way| std::array::from_fn(|part| together[way * PARTS + part])))
}

fn number(key: &'static str, found: String) -> Result<f32, ContractError> {
    numbers::<1>(key, found).map(|[number]| number)
}

fn numbers<const COUNT: usize>(key: &'static str, found: String) -> Result<[f32; COUNT], ContractError> {
    let numbers: Option<Vec<f32>> =
        found.split_whitespace().map(|word| word.parse().ok().filter(|number: &f32| number.is_finite())).collect();
    numbers.and_then(|numbers| numbers.try_into().ok()).ok_or_else(|| {
        let wanted = if COUNT == 1 { "a number".to_owned() } else { format!("{COUNT} numbers with spaces between") };
        ContractError::Unreadable { key, found, wanted }
    })
}

#[cfg(test)]
pub mod tests {
    use super::super::tests;
    use super::*;
    use std::collections::BTreeMap;

    fn metadata(engine: &str, parts: &str) -> BTreeMap<String, String> {
        let own = [
            ("engine", engine),
            ("encoding", "1"),
            ("parts", parts),
            ("bars", "4"),
            ("keys", "16 96"),
            ("noise", "32"),
            ("thresholds", "-0.5 0 0.25 1  -1 0.5 1 2  0 0 0 0  1 2 3 4.5"),
            ("sustained", "0 0 0 0  0 0 0 0  0 0 0 0  -1 -2 -3 0"),
            ("cell_noise", "0.3"),
            ("lean", "0.5"),
        ];
        let mut metadata = tests::metadata();
        metadata.extend(own.map(|(key, value)| (format!("obbligato.{key}"), value.to_owned())));
        metadata
    }

    fn read<E: RollEngine>(metadata: &BTreeMap<String, String>) -> Result<RollContract<E>, ContractError> {
        RollContract::read(|key| metadata.get(key).cloned())
    }

    fn of_gan() -> BTreeMap<String, String> {
        metadata("gan", "bass chords counter pad")
    }

    /// Of a small GAN that this build plays.
    pub fn gan() -> RollContract<Gan> {
        read(&of_gan()).expect("the metadata above are complete")
    }

    /// Of a small enhancer that this build plays.
    pub fn enhancer() -> RollContract<Enhancer> {
        read(&metadata("arcnn", "enhanced")).expect("the metadata above are complete")
    }

    #[test]
    fn what_the_files_say_is_read() {
        let each = [[-0.5, 0.0, 0.25, 1.0], [-1.0, 0.5, 1.0, 2.0], [0.0; 4], [1.0, 2.0, 3.0, 4.5]];
        assert_eq!(gan().own.thresholds, each);
        assert_eq!(gan().own.thresholds(false, true), [&each[1], &[0.0; 4]]);
        assert_eq!(gan().own.thresholds(true, true), [&each[3], &[-1.0, -2.0, -3.0, 0.0]]);
        assert_eq!((gan().own.cell_noise, gan().own.lean), (0.3, 0.5));
        assert_eq!(enhancer().own.cell_noise, 0.3);
    }

    #[test]
    fn an_older_gan_plays_alike_in_all_ways() {
        let mut metadata = of_gan();
        metadata.insert("obbligato.thresholds".into(), "-0.5 0 0.25 1".into());
        metadata.remove("obbligato.sustained");
        let read = read::<Gan>(&metadata).expect("it is complete");
        for (jam, chords_given) in [(false, false), (false, true), (true, false), (true, true)] {
            assert_eq!(read.own.thresholds(jam, chords_given), [&[-0.5, 0.0, 0.25, 1.0], &[0.0; 4]]);
        }
    }

    #[test]
    fn what_does_not_fit_is_said_in_words() {
        for (key, value, words) in [
            ("engine", "arcnn", "says `obbligato.engine` = `arcnn`, this build reads `gan`"),
            ("encoding", "2", "was exported for encoding 2, this build reads 1: export it again or update"),
            ("parts", "bass chords counter", "this build reads `bass chords counter pad`"),
            ("keys", "21 88", "this build reads `16 96`"),
            ("bars", "2", "this build reads `4`"),
            ("noise", "64", "this build reads `32`"),
            ("thresholds", "0 0 0", "which is not 16 numbers with spaces between"),
            ("sustained", "0 0 0 x", "which is not 4 numbers with spaces between"),
            ("thresholds", "0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 NaN", "which is not 16 numbers"),
            ("lean", "much", "`much`, which is not a number"),
            ("controls", "{}", "missing field"),
        ] {
            let mut metadata = of_gan();
            metadata.insert(format!("obbligato.{key}"), value.to_owned());
            let error = read::<Gan>(&metadata).expect_err(key).to_string();
            assert!(error.contains(words), "{key}: {error}");
        }
        for missing in ["name", "styles", "thresholds", "cell_noise", "lean", "bars", "keys", "scores"] {
            let mut metadata = of_gan();
            metadata.remove(&format!("obbligato.{missing}"));
            let error = read::<Gan>(&metadata).expect_err(missing).to_string();
            assert!(error.contains(missing), "{error}");
        }
        let error = read::<Enhancer>(&of_gan()).expect_err("it accompanies").to_string();
        assert!(error.contains("this build reads `arcnn`"), "{error}");
    }
}
