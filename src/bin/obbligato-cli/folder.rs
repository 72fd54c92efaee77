//! `accompany` for a folder: many files at once, and what fails does not stop the rest.

use crate::accompany::{Order, is_same_file};
use crate::arguments::Accompany;
use crate::failure::Failure;
use crate::report::{progress_bar, say};
use indicatif::ProgressBar;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// # Errors
/// [`Failure::Input`] when the folder cannot be read or some file failed, [`Failure::Other`] when there cannot be a folder to write to.
pub fn run(flags: &Accompany, order: &Order) -> Result<(), Failure> {
    let inputs = melodies_in(&flags.input)?;
    if is_same_file(&flags.input, &flags.output) {
        return Err(Failure::input(&flags.output, "the melodies are here; write to another folder"));
    }
    fs::create_dir_all(&flags.output).map_err(|error| Failure::other(&flags.output, error))?;
    let batch = Batch {
        order,
        inputs: &inputs,
        output: &flags.output,
        next: AtomicUsize::new(0),
        progress: progress_bar(inputs.len(), !flags.quiet, "files"),
    };
    let failed = batch.run(jobs(flags, inputs.len()));
    batch.progress.finish_and_clear();
    if !flags.quiet {
        let done = inputs.len() - failed;
        say(&format!("{done} of {} files accompanied, written to {}", inputs.len(), flags.output.display()));
    }
    if failed == 0 { Ok(()) } else { Err(Failure::Input(format!("{failed} of {} files failed", inputs.len()))) }
}

struct Batch<'a> {
    order: &'a Order,
    inputs: &'a [PathBuf],
    output: &'a Path,
    /// Index of the file that is taken up next.
    next: AtomicUsize,
    progress: ProgressBar,
}

impl Batch<'_> {
    /// Works through the files on `jobs` threads; returns how many failed.
    fn run(&self, jobs: usize) -> usize {
        thread::scope(|scope| {
            let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(|| self.work())).collect();
            workers.into_iter().map(|worker| worker.join().expect("a file's panic is caught")).sum()
        })
    }

    fn work(&self) -> usize {
        let mut failed = 0;
        while let Some(input) = self.inputs.get(self.next.fetch_add(1, Ordering::Relaxed)) {
            failed += usize::from(!self.take(input));
            self.progress.inc(1);
        }
        failed
    }

    /// Whether the file could be accompanied; says why if not.
    fn take(&self, input: &Path) -> bool {
        let output = self.output.join(input.file_name().expect("it was listed in a folder"));
        // A bug that one file brings to light must not cost the others their turn.
        let result = catch_unwind(AssertUnwindSafe(|| self.order.accompany(input, &output, false)));
        let result = result.unwrap_or_else(|_| Err(Failure::other(input, "the engine panicked; please report it")));
        match &result {
            Ok(report) => report.warnings.iter().for_each(|warning| {
                self.tell(&format!("warning: {}: {warning}", input.display()));
            }),
            Err(failure) => self.tell(&format!("failed: {failure}")),
        }
        result.is_ok()
    }

    /// Writes a line to stderr, above the progress bar.
    fn tell(&self, line: &str) {
        self.progress.suspend(|| eprintln!("{line}"));
    }
}

/// The MIDI files that lie in a folder itself, by name.
fn melodies_in(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries = fs::read_dir(folder).map_err(|error| Failure::input(folder, error))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(|path| is_melody(path)).collect();
    files.sort();
    if files.is_empty() { Err(Failure::input(folder, "there are no .mid files in this folder")) } else { Ok(files) }
}

fn is_melody(path: &Path) -> bool {
    let is_midi = |extension: &std::ffi::OsStr| ["mid", "midi"].iter().any(|midi| extension.eq_ignore_ascii_case(midi));
    // macOS keeps notes of its own in files that begin with a dot and end like the file that they are about.
    let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
    path.extension().is_some_and(is_midi) && !hidden && path.is_file()
}

fn jobs(flags: &Accompany, files: usize) -> usize {
    let cores = || thread::available_parallelism().map_or(1, usize::from);
    flags.jobs.map_or_else(cores, usize::from).min(files)
}
