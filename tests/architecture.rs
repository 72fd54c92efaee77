//! The house in `docs/architecture.md`: a module uses only what stands below it, and frameworks are named only where
//! the map says.

use std::fs;
use std::path::{Path, PathBuf};

/// From the ground up. A module may use its own row and the rows before it.
const ROWS: &[&[&str]] = &[
    &["music", "user_folder", "checksums"],
    &["settings", "runtime", "contract", "model", "standalone"],
    &["channels", "generators", "ledger"],
    &["hearing", "chords_held", "links", "arranger", "realtime", "sound"],
    &["inference", "midi_file", "params", "state"],
    &["editor"],
    &["plugin", "bin", "main", "lib"],
];

/// A crate, and the only places that may name it.
const FRAMEWORKS: &[(&str, &[&str])] = &[
    ("ort", &["runtime"]),
    ("libloading", &["runtime"]),
    ("tract_onnx", &["runtime", "model"]),
    ("nice_plug", &["params", "plugin", "editor", "main"]),
    ("nice_plug_egui", &["params", "plugin", "editor"]),
    ("egui", &["editor"]),
    ("x11rb", &["editor"]),
    ("raw_window_handle", &["editor"]),
    ("midir", &["main"]),
    ("rfd", &["editor"]),
    ("midly", &["midi_file"]),
    ("rtrb", &["channels", "realtime"]),
    ("crossbeam_channel", &["inference", "params", "plugin", "editor", "state"]),
    ("postcard", &["ledger"]),
    ("miniz_oxide", &["ledger"]),
    ("base64", &["ledger"]),
];

struct SourceFile {
    /// The room it stands in: `music` for `src/music/note.rs`.
    module: String,
    path: PathBuf,
    text: String,
}

fn sources() -> Vec<SourceFile> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &root, &mut files);
    assert!(files.len() > 20, "the sources are where they were");
    files
}

fn collect(root: &Path, folder: &Path, files: &mut Vec<SourceFile>) {
    for entry in fs::read_dir(folder).expect("src is readable") {
        let path = entry.expect("src is readable").path();
        if path.is_dir() {
            collect(root, &path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let inside = path.strip_prefix(root).expect("found below root");
            let first = inside.components().next().expect("a file has a name").as_os_str().to_string_lossy();
            let module = first.trim_end_matches(".rs").to_owned();
            let text = fs::read_to_string(&path).expect("sources are text");
            files.push(SourceFile { module, path, text });
        }
    }
}

/// Code lines, without comments.
fn code_lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(|line| line.split("//").next().unwrap_or(line))
}

fn row_of(module: &str) -> usize {
    let row = ROWS.iter().position(|row| row.contains(&module));
    row.unwrap_or_else(|| panic!("`{module}` is not in the map: add it to a row here and in docs/architecture.md"))
}

#[test]
fn modules_use_only_what_stands_below_them() {
    let mut wrong = Vec::new();
    for file in sources() {
        let row = row_of(&file.module);
        for line in code_lines(&file.text) {
            for used in line.split("crate::").skip(1).chain(line.split("obbligato::").skip(1)) {
                let used: String = used.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                if ROWS.iter().flat_map(|row| row.iter()).any(|module| *module == used) && row_of(&used) > row {
                    wrong.push(format!("{}: {}", file.path.display(), line.trim()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn frameworks_are_named_only_where_the_map_says() {
    let mut wrong = Vec::new();
    for file in sources() {
        for (framework, places) in FRAMEWORKS {
            let named = code_lines(&file.text).any(|line| {
                let path = format!("{framework}::");
                let at = line.find(&path);
                let bare =
                    at.is_some_and(|at| !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':'));
                bare || line.trim() == format!("use {framework};")
            });
            if named && !places.contains(&file.module.as_str()) {
                wrong.push(format!("{} names {framework}", file.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A lock that nobody holds makes no system call, so the tests that look for calls would not see it.
#[test]
fn the_audio_thread_names_nothing_that_waits() {
    const WAITING: &[&str] = &[
        "Mutex",
        "RwLock",
        "Condvar",
        "Barrier",
        "OnceLock",
        "LazyLock",
        "mpsc",
        ".lock(",
        "park",
        "yield_now",
        "print!",
        "println!",
        "dbg!",
        "std::fs",
        "std::net",
        "std::process",
        "std::io",
        "spawn",
    ];
    let files: Vec<SourceFile> =
        sources().into_iter().filter(|file| matches!(file.module.as_str(), "realtime" | "sound")).collect();
    assert!(files.len() > 5);
    let mut sleeps = Vec::new();
    for file in &files {
        let product = file.text.split("#[cfg(test)]").next().unwrap_or_default();
        for line in code_lines(product) {
            let waits = WAITING.iter().find(|word| line.contains(**word));
            assert_eq!(waits, None, "{}: {}", file.path.display(), line.trim());
            if line.contains("::sleep(") {
                sleeps.push(file.path.file_name().expect("a file has a name"));
            }
        }
    }
    assert_eq!(sleeps, ["accompaniment_player.rs"], "an offline render waits in one place");
}

#[test]
fn unsafe_code_stands_in_one_file() {
    for file in sources().iter().filter(|file| !file.path.ends_with("src/runtime.rs")) {
        let keyword = ["un", "safe"].concat();
        assert!(!code_lines(&file.text).any(|line| line.contains(&keyword)), "{}", file.path.display());
    }
}
