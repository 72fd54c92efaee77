//! Presets: what shapes the music, as a small text that a musician can read, in the user's folder or built in. GUI THREAD.
//!
//! A host's own presets keep everything, the song too; the framework has neither CLAP's preset discovery nor VST3's program
//! lists, so a host does not see these.

use crate::params::{ObbligatoParams, ParamVisitor};
use crate::user_folder::user_folder;
use nice_plug::prelude::{Param, ParamSetter};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preset {
    /// Of the format.
    obbligato_preset: u32,
    pub name: String,
    /// By the parameter's id, as the host shows it. What is missing is at its default.
    settings: BTreeMap<String, String>,
}

const FORMAT: u32 = 1;

/// Those that are always there, in order.
const FACTORY: [(&str, &[(&str, &str)]); 9] = [
    ("Bass and chords", &[]),
    (
        "Quiet hymn",
        &[("style", "Hymn"), ("temperature", "0.60"), ("density", "35 %"), ("pad_on", "On"), ("pad_velocity", "80 %")],
    ),
    (
        "Quartet",
        &[("style", "Quartet"), ("temperature", "0.80"), ("counter_on", "On"), ("pad_on", "On"), ("chords_on", "Off")],
    ),
    ("Ballad", &[("style", "Arpeggio ballad"), ("temperature", "0.90"), ("pad_on", "On"), ("pad_velocity", "70 %")]),
    (
        "Song with drums",
        &[("style", "Block-chord ballad"), ("drums_on", "On"), ("drums_density", "40 %"), ("drums_velocity", "85 %")],
    ),
    ("Driving pop", &[("style", "Driving pop"), ("density", "60 %"), ("drums_on", "On"), ("pad_on", "On")]),
    (
        "Rock band",
        &[
            ("style", "Rock band"),
            ("temperature", "1.10"),
            ("density", "60 %"),
            ("drums_on", "On"),
            ("bass_velocity", "115 %"),
            ("drums_velocity", "115 %"),
        ],
    ),
    ("Bass alone", &[("chords_on", "Off"), ("bass_density", "60 %")]),
    (
        "Everybody, and daring",
        &[("temperature", "1.50"), ("pad_on", "On"), ("counter_on", "On"), ("drums_on", "On"), ("count_in", "2 bars")],
    ),
];

pub fn factory() -> impl Iterator<Item = Preset> {
    FACTORY.iter().map(|(name, settings)| {
        let settings = settings.iter().map(|(id, value)| ((*id).to_owned(), (*value).to_owned())).collect();
        Preset { obbligato_preset: FORMAT, name: (*name).to_owned(), settings }
    })
}

impl Preset {
    /// The parameters as they stand.
    pub fn of(name: String, params: &ObbligatoParams) -> Self {
        let mut read = Read(BTreeMap::new());
        params.visit_music(&mut read);
        Self { obbligato_preset: FORMAT, name, settings: read.0 }
    }

    /// Turns the parameters to it, each in a gesture of its own. The parameters whose value means nothing here stay.
    pub fn apply(&self, params: &ObbligatoParams, setter: &ParamSetter<'_>) -> Vec<String> {
        let mut turn = Turn { preset: self, setter, unread: Vec::new() };
        params.visit_music(&mut turn);
        turn.unread
    }

    /// # Errors
    /// In words, when it is no preset that this version reads.
    pub fn from_text(text: &str) -> Result<Self, String> {
        let preset: Self = serde_json::from_str(text).map_err(|error| format!("this is no preset ({error})"))?;
        if preset.obbligato_preset > FORMAT {
            return Err("this preset was saved by a later Obbligato: update it to use it".into());
        }
        Ok(preset)
    }

    pub fn to_text(&self) -> String {
        serde_json::to_string_pretty(self).expect("text is written into memory")
    }
}

struct Read(BTreeMap<String, String>);

impl ParamVisitor for Read {
    fn visit(&mut self, id: &str, param: &impl Param) {
        let text = param.normalized_value_to_string(param.unmodulated_normalized_value(), true);
        self.0.insert(id.to_owned(), text);
    }
}

struct Turn<'a> {
    preset: &'a Preset,
    setter: &'a ParamSetter<'a>,
    unread: Vec<String>,
}

impl ParamVisitor for Turn<'_> {
    fn visit(&mut self, id: &str, param: &impl Param) {
        let to = match self.preset.settings.get(id) {
            None => param.default_normalized_value(),
            Some(text) => match param.string_to_normalized_value(text) {
                Some(value) => value,
                None => return self.unread.push(format!("{} has no value “{text}”", param.name())),
            },
        };
        let to = param.preview_normalized(param.preview_plain(to));
        if (to - param.unmodulated_normalized_value()).abs() > f32::EPSILON {
            self.setter.begin_set_parameter(param);
            self.setter.set_parameter_normalized(param, to);
            self.setter.end_set_parameter(param);
        }
    }
}

/// Where the user's presets are. `None` when the system does not say where.
pub fn folder() -> Option<PathBuf> {
    Some(user_folder()?.join("presets"))
}

/// The names of the presets in a folder, in order.
pub fn names_in(folder: &Path) -> Vec<String> {
    let files = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
    let presets = files.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    let mut names: Vec<String> =
        presets.filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned())).collect();
    names.sort_by_key(|name| name.to_lowercase());
    names
}

/// Saves it under its name; one of that name is replaced.
///
/// # Errors
/// When the folder cannot be written.
pub fn save_in(folder: &Path, preset: &Preset) -> io::Result<PathBuf> {
    fs::create_dir_all(folder)?;
    let path = folder.join(format!("{}.json", file_name(&preset.name)));
    fs::write(&path, preset.to_text())?;
    Ok(path)
}

/// # Errors
/// In words, when there is none, or none that can be read.
pub fn load_from(folder: &Path, name: &str) -> Result<Preset, String> {
    let path = folder.join(format!("{name}.json"));
    let text = fs::read_to_string(&path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    Preset::from_text(&text).map_err(|problem| format!("{}: {problem}", path.display()))
}

/// A name that every file system takes.
fn file_name(name: &str) -> String {
    const LONGEST: usize = 80;
    let plain = |letter: char| if letter.is_control() || r#"/\:*?"<>|."#.contains(letter) { '_' } else { letter };
    let name: String = name.trim().chars().take(LONGEST).map(plain).collect();
    if name.is_empty() { "Preset".into() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channels::{Meters, SharedView};
    use std::sync::Arc;

    fn params() -> ObbligatoParams {
        let (sender, _commands) = crossbeam_channel::unbounded();
        ObbligatoParams::new(sender, SharedView::default(), Arc::<Meters>::default())
    }

    #[test]
    fn a_preset_says_what_the_host_shows() {
        let preset = Preset::of("Mine".into(), &params());
        assert_eq!(preset.settings["temperature"], "1.00");
        assert_eq!((preset.settings["style"].as_str(), preset.settings["bass_on"].as_str()), ("By ear", "On"));
        assert!(["bass_channel", "thru", "follow", "bass_solo"].iter().all(|id| !preset.settings.contains_key(*id)));
        assert_eq!(Preset::from_text(&preset.to_text()), Ok(preset));
    }

    #[test]
    fn every_built_in_value_means_what_it_says() {
        struct Check<'a>(&'a Preset, usize);
        impl ParamVisitor for Check<'_> {
            fn visit(&mut self, id: &str, param: &impl Param) {
                if let Some(text) = self.0.settings.get(id) {
                    let value = param.string_to_normalized_value(text).expect("it is read");
                    assert_eq!(&param.normalized_value_to_string(value, true), text, "{} of {}", id, self.0.name);
                    assert_ne!(value, param.default_normalized_value(), "{id} of {} is the default", self.0.name);
                    self.1 += 1;
                }
            }
        }
        for preset in factory() {
            let mut check = Check(&preset, 0);
            params().visit_music(&mut check);
            assert_eq!(check.1, preset.settings.len(), "{} names what is no parameter", preset.name);
        }
    }

    #[test]
    fn presets_are_kept_in_files_by_name() {
        let folder = std::env::temp_dir().join(format!("obbligato-presets-{}", std::process::id()));
        let preset = |name: &str| Preset::of(name.into(), &params());
        assert_eq!(names_in(&folder), [""; 0]);
        for name in ["zither", "Waltz / slow", "  "] {
            save_in(&folder, &preset(name)).expect("the system has room for it");
        }
        assert_eq!(names_in(&folder), ["Preset", "Waltz _ slow", "zither"]);
        assert_eq!(load_from(&folder, "zither"), Ok(preset("zither")));
        fs::write(folder.join("odd.json"), r#"{"obbligato_preset":2,"name":"odd","settings":{}}"#).expect("room");
        assert!(load_from(&folder, "odd").is_err_and(|problem| problem.contains("later Obbligato")));
        assert!(load_from(&folder, "none").is_err_and(|problem| problem.contains("cannot be read")));
        fs::remove_dir_all(&folder).expect("it is there");
    }
}
