//! Where the user's own files are: models, libraries, presets, saved MIDI, and what the window and the devices remember.

use std::path::PathBuf;

/// The user's folder. `None` when the system does not say where it is.
pub fn user_folder() -> Option<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = std::env::home_dir;
    if cfg!(windows) {
        Some(variable("APPDATA")?.join("Obbligato"))
    } else if cfg!(target_os = "macos") {
        Some(home()?.join("Library/Application Support/Obbligato"))
    } else {
        Some(variable("XDG_DATA_HOME").or_else(|| Some(home()?.join(".local/share")))?.join("obbligato"))
    }
}

/// Where users put their models. `None` when the system does not say where it is.
pub fn models_folder() -> Option<PathBuf> {
    Some(user_folder()?.join("models"))
}
