//! Builds what is shipped, and copies it to where hosts look for plugins.

use crate::bundle::{BundleOptions, bundle};
use crate::runtime::fetched;
use crate::workspace::Workspace;
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};

#[derive(Debug, Clone, Default, clap::Args)]
pub struct InstallOptions {
    /// ONNX Runtime's shared library, copied to where the plugin looks for it [default: what `runtime fetch` brought]
    #[arg(long, value_name = "LIBRARY")]
    pub onnxruntime: Option<PathBuf>,
    /// Copy the bundles as they were built before
    #[arg(long)]
    pub no_build: bool,
}

/// The user's plugin folders.
struct PluginFolders {
    clap: PathBuf,
    vst3: PathBuf,
}

impl PluginFolders {
    fn of_user() -> Result<Self> {
        if cfg!(target_os = "windows") {
            let common = folder_in("LOCALAPPDATA")?.join("Programs").join("Common");
            return Ok(Self { clap: common.join("CLAP"), vst3: common.join("VST3") });
        }
        let home = folder_in("HOME")?;
        if cfg!(target_os = "macos") {
            let plugins = home.join("Library").join("Audio").join("Plug-Ins");
            return Ok(Self { clap: plugins.join("CLAP"), vst3: plugins.join("VST3") });
        }
        Ok(Self { clap: home.join(".clap"), vst3: home.join(".vst3") })
    }
}

/// Replaces what was installed before.
///
/// # Errors
/// When the build fails, or the folders cannot be written.
pub fn install(workspace: &Workspace, options: &InstallOptions) -> Result<()> {
    let folders = PluginFolders::of_user()?;
    let onnxruntime = options.onnxruntime.as_ref().map(std::path::absolute).transpose()?;
    if !options.no_build {
        bundle(workspace, BundleOptions { dist: true, ..BundleOptions::default() })?;
    }
    for (bundle, folder) in [(workspace.clap(), folders.clap), (workspace.vst3(), folders.vst3)] {
        ensure!(bundle.exists(), "there is no {}; run `cargo xtask bundle` first", bundle.display());
        let installed = folder.join(bundle.file_name().context("a bundle has a name")?);
        replace(&bundle, &installed)?;
        println!("installed {}", installed.display());
        let named = onnxruntime.iter().cloned();
        // What was named is used in place of what was fetched.
        let libraries = if onnxruntime.is_some() { named.collect() } else { fetched(workspace)? };
        for destination in put_beside(&libraries, &installed)? {
            println!("installed {}", destination.display());
        }
    }
    Ok(())
}

/// Copies libraries to where a plugin or program looks for them; what lay there before is gone.
///
/// # Errors
/// When they cannot be read or written.
pub fn put_beside(libraries: &[PathBuf], plugin: &Path) -> Result<Vec<PathBuf>> {
    let folder = resources_of(plugin);
    if !plugin.is_dir() {
        remove(&folder)?;
    }
    let copies = libraries.iter().map(|library| {
        let name = library.file_name().with_context(|| format!("{} is no library", library.display()))?;
        let destination = folder.join(name);
        replace(library, &destination)?;
        Ok(destination)
    });
    copies.collect()
}

/// Where an installed plugin looks for its library: inside its bundle, or beside it where the plugin is one file.
fn resources_of(plugin: &Path) -> PathBuf {
    if plugin.is_dir() { plugin.join("Contents").join("Resources") } else { plugin.with_extension("resources") }
}

fn folder_in(variable: &str) -> Result<PathBuf> {
    let folder = std::env::var_os(variable).filter(|folder| !folder.is_empty());
    Ok(PathBuf::from(folder.with_context(|| format!("{variable} is not set, so the plugin folders are unknown"))?))
}

/// Copies a file or folder over what is there. A file is put in place by renaming, since a host may have it open.
fn replace(from: &Path, to: &Path) -> Result<()> {
    let folder = to.parent().context("a destination lies in a folder")?;
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let fresh = to.with_extension("new");
    remove(&fresh)?;
    copy(from, &fresh).with_context(|| format!("cannot write {}", fresh.display()))?;
    remove(to)?;
    std::fs::rename(&fresh, to).with_context(|| format!("cannot write {}", to.display()))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    if from.is_file() {
        std::fs::copy(from, to)?;
        return Ok(());
    }
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

fn remove(path: &Path) -> Result<()> {
    if path.is_dir() {
        std::fs::remove_dir_all(path)?;
    } else if path.exists() {
        std::fs::remove_file(path)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_replaces_the_one_before_with_all_its_files() {
        let folder = std::env::temp_dir().join(format!("obbligato-install-{}", std::process::id()));
        let (new, installed) = (folder.join("new/X.vst3"), folder.join("installed/X.vst3"));
        for (bundle, file) in [(&new, "Contents/a/X.so"), (&installed, "Contents/b/old.so")] {
            let path = bundle.join(file);
            std::fs::create_dir_all(path.parent().expect("it has one")).expect("a writable temporary folder");
            std::fs::write(path, file).expect("a writable temporary folder");
        }
        replace(&new, &installed).expect("both are there");
        assert!(installed.join("Contents/a/X.so").is_file());
        assert!(!installed.join("Contents/b").exists());
        assert!(!folder.join("installed/X.new").exists());
        std::fs::remove_dir_all(folder).expect("it was made above");
    }
}
