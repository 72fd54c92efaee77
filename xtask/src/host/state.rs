//! The state a plugin saves, and what Obbligato's says about its engine.

use super::HostedPlugin;
use anyhow::{Context, Result};
use serde_json::Value;
use std::time::{Duration, Instant};

/// What a plugin saves: JSON with `params`, and `fields` that hold JSON texts.
#[derive(Debug, Clone, PartialEq)]
pub struct PluginState(Value);

/// How the engine did, as the plugin reports it in its state. All counts are since loading.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct EngineReport {
    /// Empty until a model has been loaded.
    pub backend: String,
    pub device: String,
    pub generator: String,
    pub bars: u64,
    pub median_ms_per_bar: f64,
    pub worst_ms_per_bar: f64,
    pub late_segments: u64,
    pub late_notes: u64,
    pub dropped: u64,
    pub problem: Option<String>,
    pub chords: Vec<ReportedChord>,
}

/// A chord the band played.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportedChord {
    /// From 0.
    pub bar: i32,
    /// Segment of the bar, 0 or 1.
    pub segment: u8,
    /// `N.C.` where the band rests.
    pub name: String,
    /// Who chose it.
    pub source: String,
}

impl PluginState {
    pub fn from_json(bytes: &[u8]) -> Result<Self> {
        Ok(Self(serde_json::from_slice(bytes).context("the plugin's state is not JSON")?))
    }

    pub fn to_json(&self) -> Vec<u8> {
        self.0.to_string().into_bytes()
    }

    /// A field beside the parameters; `None` if the plugin saves no such field.
    pub fn field(&self, key: &str) -> Option<Value> {
        serde_json::from_str(self.0["fields"][key].as_str()?).ok()
    }

    pub fn set_field(&mut self, key: &str, value: &Value) {
        self.0["fields"][key] = Value::String(value.to_string());
    }

    /// All parameters, for comparison.
    pub fn parameters(&self) -> &Value {
        &self.0["params"]
    }

    /// # Errors
    /// When the plugin saves none.
    pub fn report(&self) -> Result<EngineReport> {
        let report = self.field("report").context("the plugin's state has no engine report")?;
        Ok(EngineReport::read(&report))
    }
}

impl EngineReport {
    /// The report once it no longer changes: the inference thread may still be at work when the last block is done.
    ///
    /// # Errors
    /// When the plugin saves no report.
    pub fn settled(plugin: &mut dyn HostedPlugin) -> Result<Self> {
        const PAUSE: Duration = Duration::from_millis(50);
        const LONGEST: Duration = Duration::from_secs(10);
        let began = Instant::now();
        let mut report = plugin.save_state()?.report()?;
        loop {
            std::thread::sleep(PAUSE);
            let later = plugin.save_state()?.report()?;
            if later == report || began.elapsed() > LONGEST {
                return Ok(later);
            }
            report = later;
        }
    }

    fn read(json: &Value) -> Self {
        let text = |key: &str| json[key].as_str().unwrap_or_default().to_owned();
        let count = |key: &str| json[key].as_u64().unwrap_or_default();
        let milliseconds = |key: &str| json[key].as_f64().unwrap_or_default();
        Self {
            backend: text("backend"),
            device: text("device"),
            generator: text("generator"),
            bars: count("bars"),
            median_ms_per_bar: milliseconds("median_ms_per_bar"),
            worst_ms_per_bar: milliseconds("worst_ms_per_bar"),
            late_segments: count("late_segments"),
            late_notes: count("late_notes"),
            dropped: count("dropped"),
            problem: json["problem"].as_str().map(str::to_owned),
            chords: json["chords"].as_array().into_iter().flatten().filter_map(ReportedChord::read).collect(),
        }
    }
}

impl ReportedChord {
    fn read(json: &Value) -> Option<Self> {
        Some(Self {
            bar: i32::try_from(json[0].as_i64()?).ok()?,
            segment: u8::try_from(json[1].as_u64()?).ok()?,
            name: json[2].as_str()?.to_owned(),
            source: json[3].as_str()?.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_are_texts_that_hold_json() {
        let mut state = PluginState::from_json(br#"{"params":{},"fields":{"seed":"1"}}"#).expect("it is JSON");
        assert_eq!(state.field("seed"), Some(json!(1)));
        state.set_field("plan", &json!("| C |"));
        let saved = PluginState::from_json(&state.to_json()).expect("what was written reads");
        assert_eq!(saved.field("plan"), Some(json!("| C |")));
    }

    #[test]
    fn the_report_names_its_chords() {
        let mut state = PluginState::from_json(br#"{"params":{},"fields":{}}"#).expect("it is JSON");
        assert!(state.report().is_err());
        state.set_field("report", &json!({ "backend": "tract", "bars": 3, "chords": [[0, 1, "Am", "proposed"]] }));
        let report = state.report().expect("it is there now");
        assert_eq!((report.backend.as_str(), report.bars), ("tract", 3));
        let chord = ReportedChord { bar: 0, segment: 1, name: "Am".to_owned(), source: "proposed".to_owned() };
        assert_eq!(report.chords, [chord]);
    }
}
