//! The models there are: those inside the plugin, and files in the user's models folder. Shared by all instances.
//! Reads files and waits for locks: on inference threads, the window's and at a shell.

use super::file::{self, FileError, ModelFile};
use super::rolls::{RollFile, RollModel};
use super::{
    EMBEDDED, EMBEDDED_DRUMMER, EMBEDDED_ENHANCER, EMBEDDED_EXTENDER, EMBEDDED_GAN, EMBEDDED_UNET, Model, ModelError,
};
use crate::checksums::{self, Verdict};
use crate::contract::drums::DrumControls;
use crate::contract::extender::ExtenderControls;
use crate::contract::rolls::{Enhancer, Gan, RollContract, RollEngine};
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
    EmbeddedGan,
    /// The GAN's network as it was before the critic spoke.
    EmbeddedUnet,
    EmbeddedEnhancer,
    EmbeddedExtender,
    File(PathBuf),
}

/// What a model does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Accompanies, token by token.
    Transformer,
    /// Accompanies, four bars at once.
    Gan,
    Enhancer,
    Extender,
    Drummer,
}

/// A model for the user to choose, or a file that cannot be played and why.
#[derive(Debug, Clone)]
pub struct InstalledModel {
    /// The contract's name, or the file's where it has none.
    pub name: String,
    pub source: ModelSource,
    pub about: Result<About, ModelError>,
}

/// What a file says of the model in it.
#[derive(Debug, Clone, PartialEq)]
pub struct About {
    pub kind: Kind,
    pub styles: Vec<String>,
    /// What it was trained on.
    pub data: String,
    pub licence: String,
}

/// Who plays the drums.
pub fn drummer() -> InstalledModel {
    InstalledModel::of(ModelSource::EmbeddedDrummer)
}

/// The accompanists: the embedded ones first, then the user's by file name, also those that nobody can play.
pub fn installed_models() -> Vec<InstalledModel> {
    let painters = [EMBEDDED_GAN.map(|_| ModelSource::EmbeddedGan), EMBEDDED_UNET.map(|_| ModelSource::EmbeddedUnet)];
    let embedded: Vec<ModelSource> =
        [ModelSource::Embedded].into_iter().chain(painters.into_iter().flatten()).collect();
    installed(&embedded, |kind| !matches!(kind, Some(Kind::Enhancer | Kind::Extender)))
}

/// Those that enhance a melody: the embedded one first.
pub fn enhancers() -> Vec<InstalledModel> {
    let embedded: Vec<ModelSource> = EMBEDDED_ENHANCER.map(|_| ModelSource::EmbeddedEnhancer).into_iter().collect();
    installed(&embedded, |kind| kind == Some(Kind::Enhancer))
}

/// Those that carry a melody on: the embedded one first.
pub fn extenders() -> Vec<InstalledModel> {
    let embedded: Vec<ModelSource> = EMBEDDED_EXTENDER.map(|_| ModelSource::EmbeddedExtender).into_iter().collect();
    installed(&embedded, |kind| kind == Some(Kind::Extender))
}

/// `wanted` is asked about the user's files; `None` stands for one that cannot be played.
fn installed(embedded: &[ModelSource], wanted: impl Fn(Option<Kind>) -> bool) -> Vec<InstalledModel> {
    let files = models_folder().map(|folder| files_in(&folder)).unwrap_or_default();
    let own = files.into_iter().map(|file| InstalledModel::of(ModelSource::File(file)));
    let own = own.filter(|model| wanted(model.about.as_ref().ok().map(|about| about.kind)));
    embedded.iter().cloned().map(InstalledModel::of).chain(own).collect()
}

/// An accompanist by its name, or by the path of its file; `None` is the embedded one.
///
/// # Errors
/// When there is none: lists those there are.
pub fn find_model(name: Option<&str>) -> Result<ModelSource, ModelError> {
    let Some(name) = name else { return Ok(ModelSource::Embedded) };
    find_among(name, installed_models())
}

/// An enhancer by its name, or by the path of its file; `None` is the first there is.
///
/// # Errors
/// When there is none: lists those there are.
pub fn find_enhancer(name: Option<&str>) -> Result<ModelSource, ModelError> {
    find_or_first(name, "enhancer", enhancers())
}

/// An extender by its name, or by the path of its file; `None` is the first there is.
///
/// # Errors
/// When there is none: lists those there are.
pub fn find_extender(name: Option<&str>) -> Result<ModelSource, ModelError> {
    find_or_first(name, "extender", extenders())
}

fn find_or_first(
    name: Option<&str>,
    kind: &'static str,
    installed: Vec<InstalledModel>,
) -> Result<ModelSource, ModelError> {
    match (name, installed.first()) {
        (Some(name), _) => find_among(name, installed),
        (None, Some(first)) => Ok(first.source.clone()),
        (None, None) => {
            let folder =
                models_folder().map_or_else(|| "the models folder".into(), |folder| folder.display().to_string());
            Err(ModelError::NoneOfItsKind { kind, folder })
        }
    }
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
    open_shared(source, runtime, target, |bytes| Model::load(&source.file_name(), bytes, runtime, target))
}

/// The same for a network over rolls.
///
/// # Errors
/// When the file cannot be read or played.
pub fn open_roll_model<E: RollEngine>(
    source: &ModelSource,
    runtime: &'static Runtime,
    target: Target,
) -> Result<Arc<RollModel<E>>, ModelError> {
    open_shared(source, runtime, target, |bytes| RollModel::load(&source.file_name(), &bytes, runtime, target))
}

/// An accompanist of whichever kind, loaded, and kept as long as this is.
///
/// # Errors
/// When the file cannot be read or played.
pub fn hold_model(
    source: &ModelSource,
    runtime: &'static Runtime,
    target: Target,
) -> Result<Arc<dyn Any + Send + Sync>, ModelError> {
    match source.engine()?.as_deref() {
        Some(Gan::ID) => Ok(open_roll_model::<Gan>(source, runtime, target)?),
        Some(_) | None => Ok(open_model::<Controls>(source, runtime, target)?),
    }
}

fn open_shared<M: Any + Send + Sync>(
    source: &ModelSource,
    runtime: &'static Runtime,
    target: Target,
    load: impl FnOnce(Cow<'static, [u8]>) -> Result<M, ModelError>,
) -> Result<Arc<M>, ModelError> {
    static OPEN: Mutex<Option<HashMap<Opened, Weak<dyn Any + Send + Sync>>>> = Mutex::new(None);
    let key = Opened { source: source.clone(), target, runtime: std::ptr::from_ref(runtime) as usize };
    // Held while loading, so that two instances do not load the same file at once.
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    let open = open.get_or_insert_default();
    if let Some(Ok(model)) = open.get(&key).and_then(Weak::upgrade).map(Arc::downcast) {
        return Ok(model);
    }
    let model = Arc::new(load(source.bytes()?)?);
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

impl InstalledModel {
    fn of(source: ModelSource) -> Self {
        let file = source.file_name();
        let drums = source == ModelSource::EmbeddedDrummer;
        let read = |bytes: Cow<'static, [u8]>| about(&bytes, drums).map_err(|error| ModelError::file(&file, error));
        match source.bytes().and_then(read) {
            Ok((name, about)) => Self { name, source, about: Ok(about) },
            Err(error) => Self { name: file, source, about: Err(error) },
        }
    }

    fn answers_to(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name) || self.source.file_name().eq_ignore_ascii_case(name)
    }
}

/// A model's name and what its file says of it. Nobody chooses the drummer, so a file that `drums` is one that cannot be
/// played unless it is ours.
fn about(bytes: &[u8], drums: bool) -> Result<(String, About), FileError> {
    fn of_tokens<E>(kind: Kind, contract: Contract<E>) -> (String, About) {
        let Contract { name, styles, data, licence, .. } = contract;
        (name, About { kind, styles, data, licence })
    }
    fn of_rolls<E>(kind: Kind, contract: RollContract<E>) -> (String, About) {
        let RollContract { name, styles, data, licence, .. } = contract;
        (name, About { kind, styles, data, licence })
    }
    Ok(match engine_in(bytes)?.as_deref() {
        Some(Gan::ID) => of_rolls(Kind::Gan, RollFile::<Gan>::read(bytes)?.contract),
        Some(Enhancer::ID) => of_rolls(Kind::Enhancer, RollFile::<Enhancer>::read(bytes)?.contract),
        Some(ExtenderControls::ID) => of_tokens(Kind::Extender, ModelFile::<ExtenderControls>::read(bytes)?.contract),
        Some(DrumControls::ID) if drums => of_tokens(Kind::Drummer, ModelFile::<DrumControls>::read(bytes)?.contract),
        Some(_) | None => of_tokens(Kind::Transformer, ModelFile::<Controls>::read(bytes)?.contract),
    })
}

fn engine_in(bytes: &[u8]) -> Result<Option<String>, FileError> {
    Ok(file::metadata(&file::decode(bytes)?, "obbligato.engine"))
}

impl ModelSource {
    /// Which engine's model it is, as the file says; `None` where it says nothing.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn engine(&self) -> Result<Option<String>, ModelError> {
        engine_in(&self.bytes()?).map_err(|error| ModelError::file(&self.file_name(), error))
    }

    /// Without its folder and extension.
    fn file_name(&self) -> String {
        match self {
            Self::Embedded => "built in".into(),
            Self::EmbeddedDrummer => "built-in drummer".into(),
            Self::EmbeddedGan => "built-in GAN".into(),
            Self::EmbeddedUnet => "built-in U-Net".into(),
            Self::EmbeddedEnhancer => "built-in enhancer".into(),
            Self::EmbeddedExtender => "built-in extender".into(),
            Self::File(path) => path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        }
    }

    pub(super) fn bytes(&self) -> Result<Cow<'static, [u8]>, ModelError> {
        const CHANGED: &str = "its SHA-256 is not the one in its folder's list: it is damaged, or it was exported anew";
        /// Larger than any model that could keep up with music on a computer.
        const LARGEST: u64 = 2 << 30;
        let embedded = match self {
            Self::Embedded => Some(EMBEDDED),
            Self::EmbeddedDrummer => Some(EMBEDDED_DRUMMER),
            Self::EmbeddedGan => EMBEDDED_GAN,
            Self::EmbeddedUnet => EMBEDDED_UNET,
            Self::EmbeddedEnhancer => EMBEDDED_ENHANCER,
            Self::EmbeddedExtender => EMBEDDED_EXTENDER,
            Self::File(_) => None,
        };
        let path = match (self, embedded) {
            (_, Some(bytes)) => return Ok(Cow::Borrowed(bytes)),
            (Self::File(path), None) => path,
            (_, None) => return Err(ModelError::file(&self.file_name(), FileError::NotBuiltIn)),
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
        let error = installed[1].about.as_ref().expect_err("it is empty").to_string();
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
