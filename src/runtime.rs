//! Picks and loads the inference backend: ONNX Runtime's shared library where one is found, else tract, which is built in.
//! Knows the devices there are, and which of them have failed.
//!
//! Runs on the inference thread or at a shell, never on the audio thread. The backend holds for the life of the process,
//! since the library's function table is global; what was tried is kept for the user to read. Devices are chosen by each
//! instance. The only file with `unsafe`: it loads foreign code.

mod device;
mod environment;
mod onnx_runtime;
mod session;
mod tract;

pub use device::{Device, DeviceChoice, FoundDevice, Planning, Platform, Precision};
pub use environment::{
    BACKEND_VARIABLE, DEVICE_VARIABLE, LIBRARY_VARIABLE, PRECISION_VARIABLE, THREADS_VARIABLE, mistakes_in_environment,
};
pub use session::{Dialect, Keeping, KeptCaches, Placement, Session, Values};
pub use tract::Tract;

use crate::checksums::{self, Verdict};
use crate::user_folder::user_folder;
use ort::sys::{ORT_API_VERSION, OrtApi, OrtApiBase};
use std::ffi::CStr;
use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use tract_onnx::pb::ModelProto;

/// What the user wants. The first [`Runtime::get`] of the process decides about library and backend.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RuntimeChoice {
    /// Absolute path of an ONNX Runtime library, tried before all others.
    pub library: Option<PathBuf>,
    pub backend: BackendChoice,
    pub device: DeviceChoice,
    pub precision: Precision,
    /// `None` is one, so that the host keeps its cores.
    pub threads: Option<NonZeroUsize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BackendChoice {
    /// ONNX Runtime if a library is found, else tract.
    #[default]
    Auto,
    /// The same, but it is a problem when no library is found.
    OnnxRuntime,
    Tract,
}

/// What computes models in this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Backend {
    OnnxRuntime { version: String, path: PathBuf },
    Tract,
}

/// A library that was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    pub path: PathBuf,
    pub place: Place,
    /// `None` when it was taken.
    pub failure: Option<LibraryError>,
}

/// Where a library was looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Named by the user.
    Setting,
    BesidePlugin,
    UserFolder,
}

/// Why a library cannot be used. Each reads on from "`path` …".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LibraryError {
    #[error("is not an absolute path: write it from the root on")]
    Relative,
    #[error("is not a file")]
    NotAFile,
    #[error("is incomplete: copy or download it again")]
    Truncated,
    #[error(
        "is damaged, or another file than the one that was fetched: its SHA-256 is not the one in its folder's list"
    )]
    Changed,
    #[error("is not a shared library for this system ({0})")]
    NotALibrary(String),
    #[error("is not ONNX Runtime: it has no OrtGetApiBase")]
    NotOnnxRuntime,
    #[error(
        "is too old: it offers API {offered}, this build needs {ORT_API_VERSION} (ONNX Runtime 1.{ORT_API_VERSION} or newer)"
    )]
    TooOld { offered: String },
}

/// Why there is no session.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RuntimeError {
    #[error("{backend} does not start ({reason})")]
    Start { backend: String, reason: String },
    #[error("{backend} cannot read it ({reason})")]
    Model { backend: String, reason: String },
}

/// A device that was settled on, and how exactly it computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Target {
    pub device: Device,
    pub precision: Precision,
}

pub struct Runtime {
    choice: RuntimeChoice,
    backend: Backend,
    attempts: Vec<Attempt>,
    platform: Result<Box<dyn Platform>, RuntimeError>,
    devices: OnceLock<Vec<FoundDevice>>,
    /// Devices that have failed in this process, and why.
    lost: Mutex<Vec<(Device, String)>>,
}

static RUNTIME: OnceLock<Runtime> = OnceLock::new();

impl Runtime {
    /// The backend of this process; the first call chooses it and loads its library.
    pub fn get(choice: &RuntimeChoice) -> &'static Self {
        RUNTIME.get_or_init(|| Self::start(choice.clone()))
    }

    /// With devices of one's own: for tests.
    pub fn with_platform(platform: Box<dyn Platform>) -> Self {
        Self {
            choice: RuntimeChoice::default(),
            backend: Backend::Tract,
            attempts: Vec::new(),
            platform: Ok(platform),
            devices: OnceLock::new(),
            lost: Mutex::default(),
        }
    }

    /// The library by version and place: what was measured with one says nothing about another.
    pub fn library(&self) -> String {
        match &self.backend {
            Backend::OnnxRuntime { version, path } => format!("ONNX Runtime {version} at {}", path.display()),
            Backend::Tract => concat!("tract in Obbligato ", env!("CARGO_PKG_VERSION")).into(),
        }
    }

    pub fn backend(&self) -> &Backend {
        &self.backend
    }

    /// Every library that was tried, in order.
    pub fn attempts(&self) -> &[Attempt] {
        &self.attempts
    }

    /// What the library offers and this machine has, the processor first; with a word where one cannot be used. The first
    /// call starts each, which may take seconds.
    pub fn devices(&self) -> Vec<FoundDevice> {
        let found = self.devices.get_or_init(|| self.platform.as_ref().map(|p| p.devices()).unwrap_or_default());
        let lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        let with_trouble = |found: &FoundDevice| {
            let reason = lost.iter().find(|(device, _)| *device == found.device).map(|(_, reason)| reason.clone());
            FoundDevice { trouble: found.trouble.clone().or(reason), ..found.clone() }
        };
        found.iter().map(with_trouble).collect()
    }

    /// The device to begin with, and a sentence where it is not the one that was asked for.
    pub fn choose(&self, choice: DeviceChoice) -> (Device, Option<String>) {
        let wanted = match choice {
            DeviceChoice::Auto | DeviceChoice::One(Device::Cpu) => return (Device::Cpu, None),
            DeviceChoice::One(device) => device,
        };
        let found = self.devices().into_iter().find(|found| found.device == wanted);
        let trouble = match found {
            Some(FoundDevice { trouble: None, .. }) => return (wanted, None),
            Some(FoundDevice { trouble: Some(reason), .. }) => format!("does not start ({reason})"),
            None => format!("is not offered by {} here", self.backend),
        };
        (Device::Cpu, Some(format!("{wanted} {trouble}, so the CPU plays: choose another device")))
    }

    /// From now on a device is not used any more in this process.
    pub fn lose(&self, device: Device, reason: &str) {
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        if lost.iter().all(|(known, _)| *known != device) {
            lost.push((device, reason.to_owned()));
        }
    }

    /// A sentence for the user when what was asked for is not what plays.
    pub fn problem(&self) -> Option<String> {
        problem(&self.choice, &self.backend, &self.attempts)
    }

    /// The same for someone whose choice came later, and can only be granted when the host is started again.
    pub fn problem_for(&self, choice: &RuntimeChoice) -> Option<String> {
        if (&self.choice.library, self.choice.backend) == (&choice.library, choice.backend) {
            return self.problem();
        }
        Some(format!("{} was chosen for the whole process before: start the host again to change it", self.backend))
    }

    /// Whose operators a graph may use on this target.
    pub(crate) fn dialect(&self, target: Target) -> Dialect {
        let platform = self.platform.as_deref();
        platform.map_or(Dialect::Standard, |platform| platform.dialect(target.device, target.precision))
    }

    /// Reads a model, to be planned on whichever thread. See [`Platform::read`].
    ///
    /// # Errors
    /// When the backend cannot be started, or cannot read the model; what is returned, when it cannot plan it.
    pub fn read<'a>(
        &'a self,
        device: Device,
        model: &ModelProto,
        watched: bool,
    ) -> Result<impl FnOnce() -> Result<Box<dyn Session>, RuntimeError> + Send + use<'a>, RuntimeError> {
        let platform = self.platform.as_ref().map_err(Clone::clone)?;
        let failed = move |reason| {
            let backend = match device {
                Device::Cpu => self.backend.to_string(),
                other => format!("{} on {other}", self.backend),
            };
            RuntimeError::Model { backend, reason }
        };
        let planning = platform.read(device, model, watched).map_err(failed)?;
        Ok(move || planning().map_err(failed))
    }

    /// A session for a model.
    ///
    /// # Errors
    /// When the backend cannot be started, or cannot read the model.
    pub fn session(&self, device: Device, model: &ModelProto, watched: bool) -> Result<Box<dyn Session>, RuntimeError> {
        self.read(device, model, watched)?()
    }

    fn start(choice: RuntimeChoice) -> Self {
        let mut attempts = Vec::new();
        let found = match choice.backend {
            BackendChoice::Tract => None,
            BackendChoice::Auto | BackendChoice::OnnxRuntime => first_that_opens(candidates(&choice), &mut attempts),
        };
        let (backend, platform) = match found {
            None => (Backend::Tract, Ok(Box::new(tract::Tract) as Box<dyn Platform>)),
            Some((backend, api)) => {
                ort::set_api(api);
                let started = onnx_runtime::OnnxRuntime::start(choice.threads.map_or(1, NonZeroUsize::get));
                let started = started.map(|started| Box::new(started) as Box<dyn Platform>);
                let failed = |reason| RuntimeError::Start { backend: backend.to_string(), reason };
                (backend.clone(), started.map_err(failed))
            }
        };
        Self { choice, backend, attempts, platform, devices: OnceLock::new(), lost: Mutex::default() }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OnnxRuntime { version, .. } => write!(f, "ONNX Runtime {version}"),
            Self::Tract => f.write_str("tract"),
        }
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.failure {
            Some(failure) => write!(f, "`{}` {failure}", self.path.display()),
            None => write!(f, "`{}` is in use", self.path.display()),
        }
    }
}

fn problem(choice: &RuntimeChoice, backend: &Backend, attempts: &[Attempt]) -> Option<String> {
    let refused = attempts.iter().find(|attempt| attempt.place == Place::Setting && attempt.failure.is_some());
    if let Some(attempt) = refused {
        return Some(format!("{attempt}, so {backend} plays: name another library in {LIBRARY_VARIABLE}, or none"));
    }
    if choice.backend != BackendChoice::OnnxRuntime || *backend != Backend::Tract {
        return None;
    }
    let tried = attempts.iter().map(|attempt| format!(" {attempt};")).collect::<String>();
    let folder = user_folder().map_or_else(String::new, |folder| format!(", in {}", folder.display()));
    Some(format!(
        "no ONNX Runtime was found:{tried} put its library beside the plugin{folder}, or set {LIBRARY_VARIABLE}"
    ))
}

fn first_that_opens(candidates: Vec<(Place, PathBuf)>, attempts: &mut Vec<Attempt>) -> Option<(Backend, OrtApi)> {
    for (place, path) in candidates {
        let opened = open(&path);
        attempts.push(Attempt { path: path.clone(), place, failure: opened.as_ref().err().cloned() });
        if let Ok((version, api)) = opened {
            return Some((Backend::OnnxRuntime { version, path }, api));
        }
    }
    None
}

/// Libraries to try, the most wanted first. Never the system's search path: Windows has an old one there.
fn candidates(choice: &RuntimeChoice) -> Vec<(Place, PathBuf)> {
    let named = choice.library.iter().map(|path| (Place::Setting, path.clone()));
    let beside = own_binary().map(|binary| folders_beside(&binary)).unwrap_or_default();
    let beside = beside.into_iter().map(|folder| (Place::BesidePlugin, folder));
    let user = user_folder().into_iter().map(|folder| (Place::UserFolder, folder));
    let found =
        beside.chain(user).flat_map(|(place, folder)| libraries_in(&folder).into_iter().map(move |path| (place, path)));
    named.chain(found).collect()
}

/// Folders that belong to a plugin or program: its own, its bundle's resources, and `<its name>.resources`.
fn folders_beside(binary: &Path) -> Vec<PathBuf> {
    let Some(folder) = binary.parent() else { return Vec::new() };
    let mut folders = vec![folder.to_owned()];
    if let Some(contents) = folder.parent().filter(|parent| parent.file_name().is_some_and(|name| name == "Contents")) {
        folders.push(contents.join("Resources"));
    }
    folders.push(binary.with_extension("resources"));
    folders
}

/// ONNX Runtime libraries in a folder, the newest first.
fn libraries_in(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let names = entries.filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()));
    let mut names: Vec<String> = names.filter(|name| is_library_name(name)).collect();
    names.sort_by_key(|name| std::cmp::Reverse(numbers_in(name)));
    names.into_iter().map(|name| folder.join(name)).collect()
}

fn is_library_name(name: &str) -> bool {
    if cfg!(windows) {
        name.eq_ignore_ascii_case("onnxruntime.dll")
    } else if cfg!(target_os = "macos") {
        name == "libonnxruntime.dylib" || (name.starts_with("libonnxruntime.1.") && name.ends_with(".dylib"))
    } else {
        name == "libonnxruntime.so" || name.starts_with("libonnxruntime.so.")
    }
}

/// `libonnxruntime.so.1.24.2` → 1, 24, 2.
fn numbers_in(name: &str) -> Vec<u32> {
    name.split('.').filter_map(|part| part.parse().ok()).collect()
}

/// Opens a library and takes its function table. It stays loaded: its code may run until the process ends.
fn open(path: &Path) -> Result<(String, OrtApi), LibraryError> {
    if !path.is_absolute() {
        return Err(LibraryError::Relative);
    }
    if !path.is_file() {
        return Err(LibraryError::NotAFile);
    }
    if is_truncated(path).unwrap_or(false) {
        return Err(LibraryError::Truncated);
    }
    match checksums::check(path) {
        Ok(Verdict::Intact | Verdict::Unlisted) => {}
        Ok(Verdict::Changed) => return Err(LibraryError::Changed),
        Err(error) => return Err(LibraryError::NotALibrary(error.to_string())),
    }
    // SAFETY: loading runs the library's own initialisers. The file was named by the user or stands in the plugin's or
    // the user's own folder, so it is trusted as the plugin itself is.
    let library = unsafe { libloading::Library::new(path) };
    let library = library.map_err(|error| LibraryError::NotALibrary(innermost(&error)))?;
    // A library that was opened is never closed: it may have started threads or registered exit handlers.
    let library = Box::leak(Box::new(library));
    type GetApiBase = unsafe extern "system" fn() -> *const OrtApiBase;
    // SAFETY: ONNX Runtime's C header declares this symbol with this type, in every version.
    let get_base = unsafe { library.get::<GetApiBase>(c"OrtGetApiBase") };
    let get_base = get_base.map_err(|_| LibraryError::NotOnnxRuntime)?;
    // SAFETY: the function takes nothing and returns null or a pointer to a static of the library, which stays loaded.
    let base = unsafe { get_base().as_ref() }.ok_or(LibraryError::NotOnnxRuntime)?;
    table_of(base)
}

fn table_of(base: &OrtApiBase) -> Result<(String, OrtApi), LibraryError> {
    // SAFETY: the function returns a static, null-terminated string.
    let version = unsafe { CStr::from_ptr((base.GetVersionString)()) }.to_string_lossy().into_owned();
    let minor = version.split('.').nth(1).unwrap_or(&version).to_owned();
    let too_old = || LibraryError::TooOld { offered: minor.clone() };
    // The minor version is the API version; an older library asked for this one would complain on the error stream.
    if minor.parse::<u32>().is_ok_and(|offered| offered < ORT_API_VERSION) {
        return Err(too_old());
    }
    // SAFETY: the function returns null for a version it does not offer, else a pointer to a static table whose first
    // entries are those of that version, which is what `OrtApi` describes.
    let table = unsafe { (base.GetApi)(ORT_API_VERSION).as_ref() }.ok_or_else(too_old)?;
    Ok((version, table.clone()))
}

/// Whether an ELF file ends before its loadable segments do. Mapping such a file would crash the process; other systems'
/// loaders check this themselves.
fn is_truncated(path: &Path) -> std::io::Result<bool> {
    const HEADER: usize = 64;
    const LOADABLE: u64 = 1;
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut header = [0; HEADER];
    if length < HEADER as u64 {
        return Ok(true);
    }
    file.read_exact(&mut header)?;
    const ELF_64_LITTLE_ENDIAN: &[u8] = b"\x7fELF\x02\x01";
    if !header.starts_with(ELF_64_LITTLE_ENDIAN) {
        return Ok(false);
    }
    let (table, entry_size, entries) = (number(&header, 32, 8), number(&header, 54, 2), number(&header, 56, 2));
    for index in 0..entries {
        let mut entry = [0; 56];
        file.seek(SeekFrom::Start(table.saturating_add(index * entry_size)))?;
        if file.read_exact(&mut entry).is_err() {
            return Ok(true);
        }
        let end = number(&entry, 8, 8).saturating_add(number(&entry, 32, 8));
        if number(&entry, 0, 4) == LOADABLE && end > length {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A little-endian number of `size` bytes.
fn number(bytes: &[u8], at: usize, size: usize) -> u64 {
    bytes[at..at + size].iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// What the system said, without what was wrapped around it.
fn innermost(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| one_line(&error.to_string()), innermost)
}

/// Hands memory that is free back to the system. The GNU allocator keeps for each thread what that once used, and planning a
/// model takes several times what the plan then holds. For the end of loading: it takes some milliseconds.
pub fn give_back_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it may be called at any time by any thread, and touches free memory alone.
    unsafe {
        libc::malloc_trim(0);
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The file this code was loaded from: the plugin's own library, or the program.
#[cfg(unix)]
fn own_binary() -> Option<PathBuf> {
    use std::os::unix::ffi::OsStrExt;
    let address = own_binary as fn() -> Option<PathBuf> as *const libc::c_void;
    let mut info = std::mem::MaybeUninit::<libc::Dl_info>::zeroed();
    // SAFETY: `address` lies in this very code, and `info` is a struct of pointers to be filled in, for which all zeros
    // is a valid value.
    let info = unsafe { (libc::dladdr(address, info.as_mut_ptr()) != 0).then(|| info.assume_init())? };
    if info.dli_fname.is_null() {
        return None;
    }
    // SAFETY: a non-null name is a null-terminated string that lives as long as this code is loaded.
    let name = unsafe { CStr::from_ptr(info.dli_fname) };
    let path = PathBuf::from(std::ffi::OsStr::from_bytes(name.to_bytes()));
    // A program that was started by a relative path is named as it was typed.
    if path.is_absolute() { Some(path) } else { std::env::current_exe().ok() }
}

/// The file this code was loaded from: the plugin's own library, or the program.
#[cfg(windows)]
fn own_binary() -> Option<PathBuf> {
    use std::os::windows::ffi::OsStringExt;
    use windows_sys::Win32::System::LibraryLoader::{
        GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS, GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT, GetModuleFileNameW,
        GetModuleHandleExW,
    };
    const LONGEST_PATH: usize = 32_768;
    let flags = GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT;
    let address = own_binary as fn() -> Option<PathBuf> as *const u16;
    let mut module = std::ptr::null_mut();
    // SAFETY: with the first flag the name is read as an address, which lies in this very code; `module` is written.
    if unsafe { GetModuleHandleExW(flags, address, &mut module) } == 0 {
        return None;
    }
    let mut name = vec![0; LONGEST_PATH];
    // SAFETY: the module is loaded as long as this code runs, and the buffer is as long as is said.
    let length = unsafe { GetModuleFileNameW(module, name.as_mut_ptr(), LONGEST_PATH as u32) } as usize;
    (length > 0).then(|| PathBuf::from(std::ffi::OsString::from_wide(&name[..length])))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of this test's own, removed when it ends.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("obbligato-runtime-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).expect("the temporary folder is writable");
            Self(path)
        }

        fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
            let path = self.0.join(name);
            std::fs::write(&path, bytes).expect("the temporary folder is writable");
            path
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn what_is_no_library_is_refused_in_words() {
        let folder = Folder::new("refused");
        for (path, words) in [
            (PathBuf::from("libonnxruntime.so"), "is not an absolute path"),
            (folder.0.join("nothing"), "is not a file"),
            (folder.0.clone(), "is not a file"),
            (folder.file("empty", b""), "is incomplete"),
            (folder.file("text", &b"no library ".repeat(99)), "is not a shared library"),
        ] {
            let error = open(&path).err().unwrap_or_else(|| panic!("{} was opened", path.display())).to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_library_that_was_cut_off_is_refused_before_it_is_mapped() {
        let folder = Folder::new("truncated");
        let own = std::fs::read(own_binary().expect("a test is a program")).expect("it can be read");
        for share in [100, 1000, own.len() / 8] {
            let path = folder.file("cut.so", &own[..share]);
            assert_eq!(open(&path).err(), Some(LibraryError::Truncated), "{share} bytes");
        }
        assert!(!is_truncated(&folder.file("whole.so", &own)).expect("it can be read"));
    }

    #[test]
    fn a_library_that_is_not_the_one_that_was_fetched_is_refused() {
        let folder = Folder::new("changed");
        let path = folder.file("libonnxruntime.so", &b"a library".repeat(99));
        let sum = checksums::of_file(&path).expect("it can be read");
        folder.file(checksums::LIST, checksums::line(&sum, "libonnxruntime.so").as_bytes());
        assert!(matches!(open(&path), Err(LibraryError::NotALibrary(_))), "the sum is right");
        folder.file("libonnxruntime.so", &b"a library!".repeat(99));
        assert_eq!(open(&path).err(), Some(LibraryError::Changed));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_library_that_is_something_else_is_refused() {
        let libc = File::open("/proc/self/maps").and_then(std::io::read_to_string).expect("Linux has it");
        let libc = libc.lines().filter_map(|line| line.split_whitespace().nth(5)).find(|path| path.contains("libc.so"));
        let path = PathBuf::from(libc.expect("the standard library needs it"));
        assert_eq!(open(&path).err(), Some(LibraryError::NotOnnxRuntime));
    }

    #[test]
    fn an_old_library_is_told_from_its_table() {
        unsafe extern "system" fn no_table(_version: u32) -> *const OrtApi {
            std::ptr::null()
        }
        unsafe extern "system" fn version() -> *const std::ffi::c_char {
            c"1.20.1".as_ptr()
        }
        unsafe extern "system" fn odd_version() -> *const std::ffi::c_char {
            c"nightly".as_ptr()
        }
        for (version, offered) in [(version as unsafe extern "system" fn() -> _, "20"), (odd_version, "nightly")] {
            let base = OrtApiBase { GetApi: no_table, GetVersionString: version };
            let error = table_of(&base).expect_err("there is no table").to_string();
            assert!(error.contains(&format!("it offers API {offered}, this build needs 24")), "{error}");
        }
    }

    #[test]
    fn a_plugin_is_searched_where_its_bundle_keeps_things() {
        let folders = folders_beside(Path::new("/p/Obbligato.vst3/Contents/x86_64-linux/Obbligato.so"));
        assert!(folders.contains(&PathBuf::from("/p/Obbligato.vst3/Contents/Resources")), "{folders:?}");
        let folders = folders_beside(Path::new("/p/Obbligato.clap"));
        assert_eq!(folders, [PathBuf::from("/p"), PathBuf::from("/p/Obbligato.resources")]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_newest_library_of_a_folder_comes_first() {
        let folder = Folder::new("newest");
        for name in
            ["libonnxruntime.so.1.9.0", "libonnxruntime.so.1.24.1", "libonnxruntime_providers_shared.so", "readme.so"]
        {
            folder.file(name, b"");
        }
        let found = libraries_in(&folder.0);
        assert_eq!(found, ["libonnxruntime.so.1.24.1", "libonnxruntime.so.1.9.0"].map(|name| folder.0.join(name)));
    }

    #[test]
    fn a_library_that_was_named_and_refused_is_a_problem_to_read() {
        let attempt = |place| Attempt { path: "/lib/x.so".into(), place, failure: Some(LibraryError::NotAFile) };
        let auto = RuntimeChoice::default();
        let wanted = RuntimeChoice { backend: BackendChoice::OnnxRuntime, ..RuntimeChoice::default() };
        let of = |choice, attempt| problem(choice, &Backend::Tract, &[attempt]);
        let sentence = of(&auto, attempt(Place::Setting)).expect("it was named");
        assert_eq!(
            sentence,
            "`/lib/x.so` is not a file, so tract plays: name another library in OBBLIGATO_ONNXRUNTIME, or none"
        );
        assert_eq!(of(&auto, attempt(Place::UserFolder)), None);
        let sentence = of(&wanted, attempt(Place::UserFolder)).expect("it was wanted");
        assert!(sentence.contains("`/lib/x.so` is not a file") && sentence.contains(LIBRARY_VARIABLE), "{sentence}");
    }
}
