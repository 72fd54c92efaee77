//! Remembers how devices did: a file in the user's folder, so that each machine is measured once for each model and library.
//! Read on the loading thread, written by
//! the inference thread, both at a shell.

use super::ModelSource;
use super::audition::{Trial, fastest};
use crate::checksums;
use crate::runtime::{Device, Runtime};
use crate::user_folder::user_folder;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What was measured of one model, with one library, on one machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Record {
    machine: String,
    library: String,
    /// The sum of its file.
    model: String,
    trials: Vec<Trial>,
}

/// How the devices did with a model, if they have been tried.
pub fn recall(source: &ModelSource, runtime: &Runtime) -> Option<Vec<Trial>> {
    recall_from(&file()?, &record(source, runtime)?)
}

/// The device that was the fastest with a model.
pub fn fastest_known(source: &ModelSource, runtime: &Runtime) -> Option<Device> {
    recall(source, runtime).map(|trials| fastest(&trials))
}

/// Keeps what was measured. That it cannot be written costs no more than measuring again.
pub fn remember(source: &ModelSource, runtime: &Runtime, trials: Vec<Trial>) {
    if let (Some(file), Some(record)) = (file(), record(source, runtime)) {
        let _ = remember_in(&file, Record { trials, ..record });
    }
}

fn file() -> Option<PathBuf> {
    Some(user_folder()?.join("devices.json"))
}

/// Without results.
fn record(source: &ModelSource, runtime: &Runtime) -> Option<Record> {
    let model = checksums::of_bytes(&source.bytes().ok()?);
    Some(Record { machine: machine(), library: runtime.library(), model, trials: Vec::new() })
}

/// As far as it is known without starting anything: a home folder may be carried from one to another.
fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let name = std::fs::read_to_string("/etc/machine-id").unwrap_or_default();
    let name = std::env::var("COMPUTERNAME").unwrap_or_else(|_| name.trim().to_owned());
    checksums::of_bytes(format!("{name} {} {cores}", std::env::consts::ARCH).as_bytes())
}

fn recall_from(file: &Path, wanted: &Record) -> Option<Vec<Trial>> {
    read(file).into_iter().find(|record| record.is_of(wanted)).map(|record| record.trials)
}

fn remember_in(file: &Path, new: Record) -> std::io::Result<()> {
    /// Old libraries and models are forgotten some day.
    const MOST: usize = 64;
    let mut records = read(file);
    records.retain(|record| !record.is_of(&new));
    records.push(new);
    records.drain(..records.len().saturating_sub(MOST));
    std::fs::create_dir_all(file.parent().unwrap_or(Path::new(".")))?;
    // Another instance may read at this very moment.
    let fresh = file.with_extension(format!("{}.new", std::process::id()));
    std::fs::write(&fresh, serde_json::to_vec_pretty(&records)?)?;
    std::fs::rename(fresh, file)
}

/// What cannot be read was never measured.
fn read(file: &Path) -> Vec<Record> {
    let text = std::fs::read(file).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

impl Record {
    fn is_of(&self, other: &Self) -> bool {
        (&self.machine, &self.library, &self.model) == (&other.machine, &other.library, &other.model)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_model_and_library_is_measured_for_itself() {
        let folder = std::env::temp_dir().join(format!("obbligato-measured-{}", std::process::id()));
        let file = folder.join("devices.json");
        let record = |library: &str, model: &str, worst| Record {
            machine: "here".into(),
            library: library.into(),
            model: model.into(),
            trials: vec![Trial { device: Device::WebGpu, median: 1.0, worst }],
        };
        assert_eq!(recall_from(&file, &record("a", "m", 0.0)), None);
        for (library, model, worst) in [("a", "m", 1.0), ("b", "m", 2.0), ("a", "n", 3.0), ("a", "m", 4.0)] {
            remember_in(&file, record(library, model, worst)).expect("the temporary folder is writable");
        }
        for (library, model, worst) in [("a", "m", 4.0), ("b", "m", 2.0), ("a", "n", 3.0)] {
            let found = recall_from(&file, &record(library, model, 0.0)).expect("it was measured");
            assert_eq!(found[0].worst, worst);
        }
        std::fs::write(&file, "{").expect("writable");
        assert_eq!(recall_from(&file, &record("a", "m", 0.0)), None, "a damaged file is no obstacle");
        std::fs::remove_dir_all(folder).expect("it was made above");
    }
}
