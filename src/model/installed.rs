//! The models there are: those inside the plugin, and files in the user's models folder. Shared by all instances.

use super::file::ModelFile;
use super::{EMBEDDED, EMBEDDED_DRUMMER, Model, ModelError};
use crate::checksums::{self, Verdict};
use crate::contract::drums::DrumControls;
use crate::contract::{Contract, Controls, Engine};
use crate::runtime::{Runtime, Target};
use crate::user_folder::models_folder;
use std::any::Any;
use std::borrow::Cow;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Where a model comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ModelSource {
    Embedded,
    EmbeddedDrummer,
    File(PathBuf),
}

/// A model for the user to choose, or a file that cannot be played and why.
#[derive(Debug, Clone)]
pub struct InstalledModel<E = Controls> {
    /// The contract's name, or the file's where it has none.
    pub name: String,
    pub source: ModelSource,
    pub contract: Result<Contract<E>, ModelError>,
}

/// Who plays the drums.
pub fn drummer() -> InstalledModel<DrumControls> {
    InstalledModel::of(ModelSource::EmbeddedDrummer)
}

/// The accompanists: the embedded one first, then the user's by file name.
pub fn installed_models() -> Vec<InstalledModel> {
    let files = models_folder().map(|folder| files_in(&folder)).unwrap_or_default();
    let sources = [ModelSource::Embedded].into_iter().chain(files.into_iter().map(ModelSource::File));
    sources.map(InstalledModel::of).collect()
}

/// An accompanist by its name, or by the path of its file; `None` is the embedded one.
///
/// # Errors
/// When there is none: lists those there are.
pub fn find_model(name: Option<&str>) -> Result<ModelSource, ModelError> {
    let Some(name) = name else { return Ok(ModelSource::Embedded) };
    find_among(name, installed_models())
}

/// A loaded model, the same for all who ask for it on the same device while anyone holds it. It is forgotten when nobody
/// does.
///
/// # Errors
/// When the file cannot be read or played.
pub fn open_model<E: Engine>(
    source: &ModelSource,
    runtime: &'static Runtime,
    target: Target,
) -> Result<Arc<Model<E>>, ModelError> {
    static OPEN: Mutex<Option<HashMap<Opened, Weak<dyn Any + Send + Sync>>>> = Mutex::new(None);
    let key = Opened { source: source.clone(), target, runtime: std::ptr::from_ref(runtime) as usize };
    // Held while loading, so that two instances do not load the same file at once.
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    let open = open.get_or_insert_default();
    if let Some(Ok(model)) = open.get(&key).and_then(Weak::upgrade).map(Arc::downcast) {
        return Ok(model);
    }
    let model = Arc::new(Model::load(&source.file_name(), source.bytes()?, runtime, target)?);
    let shared: Arc<dyn Any + Send + Sync> = model.clone();
    open.retain(|_, model| model.strong_count() > 0);
    open.insert(key, Arc::downgrade(&shared));
    Ok(model)
}

/// What has been loaded, where, and by which of a test's runtimes.
#[derive(PartialEq, Eq, Hash)]
struct Opened {
    source: ModelSource,
    target: Target,
    runtime: usize,
}

fn find_among(name: &str, installed: Vec<InstalledModel>) -> Result<ModelSource, ModelError> {
    let path = Path::new(name);
    if path.extension().is_some_and(|extension| extension == "onnx") && path.is_file() {
        return Ok(ModelSource::File(path.to_owned()));
    }
    // The user's own come last in the list and win over the embedded one of the same name.
    let found = installed.iter().rev().find(|model| model.answers_to(name));
    found.map(|model| model.source.clone()).ok_or_else(|| {
        let names: Vec<&str> = installed.iter().map(|model| model.name.as_str()).collect();
        ModelError::Unknown { name: name.to_owned(), installed: names.join(", ") }
    })
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let is_model = |path: &PathBuf| path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("onnx"));
    let mut files: Vec<PathBuf> = paths.filter(is_model).collect();
    files.sort();
    files
}

impl<E: Engine> InstalledModel<E> {
    fn of(source: ModelSource) -> Self {
        let file = source.file_name();
        let read =
            |bytes: Cow<'static, [u8]>| ModelFile::<E>::read(&bytes).map_err(|error| ModelError::file(&file, error));
        let contract = source.bytes().and_then(read).map(|file| file.contract);
        let name = contract.as_ref().map_or(file.clone(), |contract| contract.name.clone());
        Self { name, source, contract }
    }

    fn answers_to(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name) || self.source.file_name().eq_ignore_ascii_case(name)
    }
}

impl ModelSource {
    /// Without its folder and extension.
    fn file_name(&self) -> String {
        match self {
            Self::Embedded => "built in".into(),
            Self::EmbeddedDrummer => "built-in drummer".into(),
            Self::File(path) => path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        }
    }

    pub(super) fn bytes(&self) -> Result<Cow<'static, [u8]>, ModelError> {
        const CHANGED: &str = "its SHA-256 is not the one in its folder's list: it is damaged, or it was exported anew";
        /// Larger than any model that could keep up with music on a computer.
        const LARGEST: u64 = 2 << 30;
        let path = match self {
            Self::Embedded => return Ok(Cow::Borrowed(EMBEDDED)),
            Self::EmbeddedDrummer => return Ok(Cow::Borrowed(EMBEDDED_DRUMMER)),
            Self::File(path) => path,
        };
        let unreadable = |reason: String| ModelError::Unreadable { path: path.clone(), reason };
        let size = std::fs::metadata(path).map_err(|error| unreadable(error.to_string()))?.len();
        if size > LARGEST {
            return Err(unreadable(format!("it is larger than {} GB", LARGEST >> 30)));
        }
        match checksums::check(path) {
            Ok(Verdict::Intact | Verdict::Unlisted) => {}
            Ok(Verdict::Changed) => return Err(unreadable(CHANGED.into())),
            Err(error) => return Err(unreadable(error.to_string())),
        }
        std::fs::read(path).map(Cow::Owned).map_err(|error| unreadable(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_found_by_name_and_by_path() {
        let folder = std::env::temp_dir().join(format!("obbligato-models-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("the temporary folder is writable");
        let write = |name: &str, bytes: &[u8]| std::fs::write(folder.join(name), bytes).expect("writable");
        write("mine.onnx", EMBEDDED);
        write("broken.onnx", b"");
        write("notes.txt", b"not a model");
        let files = files_in(&folder);
        assert_eq!(files, ["broken.onnx", "mine.onnx"].map(|name| folder.join(name)));

        let sources = [ModelSource::Embedded].into_iter().chain(files.into_iter().map(ModelSource::File));
        let installed: Vec<InstalledModel> = sources.map(InstalledModel::of).collect();
        let find = |name: &str| find_among(name, installed.clone());
        let mine = ModelSource::File(folder.join("mine.onnx"));
        let embedded_name = installed[0].name.clone();
        assert_eq!(find("MINE").ok(), Some(mine.clone()));
        assert_eq!(find(&embedded_name.to_lowercase()).ok(), Some(mine.clone()), "the user's own wins");
        assert_eq!(find("built in").ok(), Some(ModelSource::Embedded));
        assert_eq!(find(&folder.join("mine.onnx").to_string_lossy()).ok(), Some(mine));
        let error = find("Nobody").expect_err("there is none").to_string();
        assert_eq!(error, format!("there is no model `Nobody`; there are {embedded_name}, broken, {embedded_name}"));
        let error = installed[1].contract.as_ref().expect_err("it is empty").to_string();
        assert_eq!(error, "model `broken` is empty");
        let list = checksums::line(&checksums::of_bytes(EMBEDDED), "mine.onnx");
        write(checksums::LIST, list.as_bytes());
        assert!(ModelSource::File(folder.join("mine.onnx")).bytes().is_ok());
        write("mine.onnx", EMBEDDED_DRUMMER);
        let changed = ModelSource::File(folder.join("mine.onnx")).bytes().expect_err("it is another").to_string();
        assert!(changed.contains("mine.onnx` cannot be read: its SHA-256 is not"), "{changed}");
        std::fs::remove_dir_all(&folder).expect("it is ours");
        let gone = ModelSource::File(folder.join("mine.onnx")).bytes().expect_err("it is gone").to_string();
        assert!(gone.contains("mine.onnx` cannot be read"), "{gone}");
    }
}
