//! What a drummer's model file says about itself beyond what all models do; `docs/drums.md` names the fields.

use super::{Engine, quantile};
use serde::Deserialize;

/// Number of tokens.
pub const VOCABULARY: usize = 608;
/// Length of the condition vector.
pub const CONDITIONS: usize = 123;
/// Places for style weights in the condition vector.
pub const MOST_STYLES: usize = 12;

/// What the training music measured, as far as a knob reads it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct DrumControls {
    /// Ticks with a stroke, a quarter note, at the training quantiles 0, .1, … 1.
    pub density: [f32; 11],
}

impl Engine for DrumControls {
    const ID: &'static str = "drums";
    const ENCODING: u32 = 1;
    const PARTS: &'static [&'static str] = &["drums"];
    const OUTPUTS: &'static [(&'static str, usize)] = &[("logits", VOCABULARY)];
    const CONDITIONS: usize = CONDITIONS;
    const MOST_STYLES: usize = MOST_STYLES;
}

impl DrumControls {
    /// The density below which the share `at` (0..=1) of the training music lies.
    pub fn density_at(&self, at: f32) -> f32 {
        quantile(&self.density, at)
    }
}

#[cfg(test)]
pub mod tests {
    use super::super::{Contract, Controls, tests};
    use super::*;
    use std::collections::BTreeMap;

    pub const STYLES: [&str; 5] = ["Soul and pop", "Country", "Rock", "Dance", "Jazz"];

    /// Metadata of a small drummer that this build plays.
    fn metadata() -> BTreeMap<String, String> {
        let controls = r#"{"density":[0,0.4,0.8,1.2,1.6,2,2.4,2.8,3.2,3.6,4],"level":[0,1],"styles":{}}"#;
        let own = [
            ("engine", "drums"),
            ("encoding", "1"),
            ("parts", "drums"),
            ("styles", &STYLES.join("|")),
            ("controls", controls),
            ("window", "256"),
        ];
        let mut metadata = tests::metadata();
        metadata.extend(own.map(|(key, value)| (format!("obbligato.{key}"), value.to_owned())));
        metadata
    }

    pub fn contract() -> Contract<DrumControls> {
        let metadata = metadata();
        Contract::read(|key| metadata.get(key).cloned()).expect("the metadata above are complete")
    }

    #[test]
    fn a_drummer_is_no_accompanist() {
        let (drummer, accompanist) = (metadata(), tests::metadata());
        let error = Contract::<Controls>::read(|key| drummer.get(key).cloned()).expect_err("it plays drums");
        assert!(error.to_string().contains("`obbligato.engine` = `drums`, this build reads `transformer`"), "{error}");
        let error = Contract::<DrumControls>::read(|key| accompanist.get(key).cloned()).expect_err("no drums");
        assert!(error.to_string().contains("this build reads `drums`"), "{error}");
        assert_eq!(contract().styles, STYLES);
    }
}
