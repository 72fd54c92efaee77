//! What an extender's model file says about itself: what an accompanist's does, but for its knobs.

use super::{CONDITIONS, ENCODING, Engine, MOST_STYLES, OUTPUTS};
use serde::Deserialize;

/// No knob of an extender reads what the training music measured.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ExtenderControls {}

impl Engine for ExtenderControls {
    const ID: &'static str = "extender";
    const ENCODING: u32 = ENCODING;
    const PARTS: &'static [&'static str] = &["melody"];
    const OUTPUTS: &'static [(&'static str, usize)] = &OUTPUTS;
    const CONDITIONS: usize = CONDITIONS;
    const MOST_STYLES: usize = MOST_STYLES;
}

#[cfg(test)]
pub mod tests {
    use super::super::{Contract, Controls, tests};
    use super::*;

    /// Of a small extender that this build plays.
    pub fn contract() -> Contract<ExtenderControls> {
        let mut metadata = tests::metadata();
        for (key, value) in [("engine", "extender"), ("parts", "melody"), ("controls", "{}")] {
            metadata.insert(format!("obbligato.{key}"), value.to_owned());
        }
        let error = Contract::<Controls>::read(|key| metadata.get(key).cloned()).expect_err("it does not accompany");
        assert!(error.to_string().contains("`obbligato.engine` = `extender`"), "{error}");
        Contract::read(|key| metadata.get(key).cloned()).expect("the metadata above are complete")
    }
}
