//! Brings ONNX Runtime's shared library, for the plugin to load: from PyPI's wheels, whose sums are pinned here. Nothing is
//! installed, and Python is needed for its package client alone.

use crate::install::put_beside;
use crate::requirements::{self, PYTHON, Task};
use crate::workspace::{Workspace, run};
use anyhow::{Context, Result, bail, ensure};
use obbligato::checksums;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

#[derive(Debug, Clone, clap::Subcommand)]
pub enum RuntimeChore {
    /// Bring ONNX Runtime's library, for the command line at once; `bundle` and `install` then put it beside the plugin
    Fetch {
        /// One with a graphics processor's provider in it
        #[arg(long, value_enum)]
        gpu: Option<Gpu>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Gpu {
    /// For NVIDIA's; also wants CUDA 13 and cuDNN 9 from NVIDIA
    Cuda,
    /// For all makers' (Direct3D 12, Metal, Vulkan)
    Webgpu,
}

/// A wheel as it stands on PyPI. Those of Python 3.12: which Python runs does not matter, for nothing in them is run by it.
struct Wheel {
    gpu: Option<Gpu>,
    os: &'static str,
    arch: &'static str,
    /// As pip calls this system.
    platform: &'static str,
    requirement: &'static str,
    sha256: &'static str,
}

const CPU: &str = "onnxruntime==1.32.0";
const CUDA: &str = "onnxruntime-gpu==1.31.1";
const WEBGPU: &str = "onnxruntime-webgpu==1.27.0";

#[rustfmt::skip]
const WHEELS: &[Wheel] = &[
    wheel(None, "linux", "x86_64", "manylinux_2_28_x86_64", CPU, "99e1074c4b2197accd5073052a465361be17b89c093b8ffb6e6bd8f986c52df8"),
    wheel(None, "linux", "aarch64", "manylinux_2_28_aarch64", CPU, "e36c187006e7a7c8b8d6d57f1a209dd63f52430dca6c282b177718ad6b841054"),
    wheel(None, "windows", "x86_64", "win_amd64", CPU, "efe7456952c243a05a53d5b8732953625144642c2f3989094277f6217f0c0c40"),
    wheel(None, "windows", "aarch64", "win_arm64", CPU, "64d394c69d561af3efd4d4f49dcac8f11d0ce135a20701c16d53b74056cd4cf8"),
    wheel(None, "macos", "aarch64", "macosx_14_0_arm64", CPU, "d52510bbbcc880c13b826f7d75cdf33ac5cf0bb864d960000fc29ce73f0cb83e"),
    wheel(Some(Gpu::Cuda), "linux", "x86_64", "manylinux_2_28_x86_64", CUDA, "05d548956197b9d01f59b625de740e0d6be3593f874e241a12dc0362650ecdf7"),
    wheel(Some(Gpu::Cuda), "windows", "x86_64", "win_amd64", CUDA, "2bb1e9373baba88f6415257f5b6a589d23e23c16004f7d89adf4344eada5749e"),
    wheel(Some(Gpu::Webgpu), "linux", "x86_64", "manylinux_2_28_x86_64", WEBGPU, "fe5e49e00ad71bc667316d57670bfbf525438783d4a3468e0d337314ec985cbe"),
    wheel(Some(Gpu::Webgpu), "windows", "x86_64", "win_amd64", WEBGPU, "7ef99275b13e8cb9584bd0db7a6f00ebf76095601eeccf7d34749b89ee991c19"),
    wheel(Some(Gpu::Webgpu), "macos", "aarch64", "macosx_14_0_arm64", WEBGPU, "8e6c43281318283a31977ebe752e7b0454db9b2dc42c768ac88641952357196a"),
];

const fn wheel(
    gpu: Option<Gpu>,
    os: &'static str,
    arch: &'static str,
    platform: &'static str,
    requirement: &'static str,
    sha256: &'static str,
) -> Wheel {
    Wheel { gpu, os, arch, platform, requirement, sha256 }
}

/// # Errors
/// When there is no wheel for this system, it cannot be had, or it is not the one that is pinned.
pub fn runtime(workspace: &Workspace, chore: &RuntimeChore) -> Result<()> {
    let RuntimeChore::Fetch { gpu } = chore;
    requirements::check(&[Task::Fetch])?;
    let wheel = wheel_for(*gpu, std::env::consts::OS, std::env::consts::ARCH)?;
    for path in wheel.fetch(workspace, &folder(workspace))? {
        println!("{}", path.display());
    }
    put_beside(&fetched(workspace)?, &workspace.command_line())?;
    println!("It lies beside {}, too.", workspace.command_line().display());
    println!("`cargo xtask bundle` and `cargo xtask install` put it beside the plugin from now on.");
    Ok(())
}

/// What was fetched: libraries, their licences and the list of their sums.
pub fn fetched(workspace: &Workspace) -> Result<Vec<PathBuf>> {
    let folder = folder(workspace);
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
    entries.collect()
}

/// The library for the processor, which tests run with: brought where nothing is bundled from, and once for each version.
///
/// # Errors
/// When there is none for this system, or it cannot be had.
pub fn pinned(workspace: &Workspace) -> Result<PathBuf> {
    let wheel = wheel_for(None, std::env::consts::OS, std::env::consts::ARCH)?;
    let folder = workspace.target.join("pinned").join(wheel.requirement);
    // Its list is written last.
    if !folder.join(checksums::LIST).is_file() {
        requirements::check(&[Task::Fetch])?;
        wheel.fetch(workspace, &folder)?;
    }
    let entries = fs::read_dir(&folder)?.map(|entry| Ok(entry?.path()));
    let files = entries.collect::<Result<Vec<PathBuf>>>()?;
    files
        .into_iter()
        .find(|path| is_library(path))
        .with_context(|| format!("there is no library in {}", folder.display()))
}

/// What else lies beside it has an underscore behind the name.
fn is_library(path: &Path) -> bool {
    path.to_string_lossy().contains("onnxruntime.")
}

fn folder(workspace: &Workspace) -> PathBuf {
    workspace.target.join("onnxruntime")
}

fn wheel_for(gpu: Option<Gpu>, os: &str, arch: &str) -> Result<&'static Wheel> {
    let fits = |wheel: &&Wheel| wheel.gpu == gpu && wheel.os == os && wheel.arch == arch;
    let Some(wheel) = WHEELS.iter().find(fits) else {
        let there: Vec<String> = WHEELS
            .iter()
            .filter(|wheel| wheel.gpu == gpu)
            .map(|wheel| format!("{} on {}", wheel.os, wheel.arch))
            .collect();
        bail!(
            "there is no such library for {os} on {arch} (but for {}); build ONNX Runtime yourself and give it to `cargo xtask install --onnxruntime`",
            there.join(", ")
        );
    };
    Ok(wheel)
}

impl Wheel {
    /// Brings the library and what belongs to it into a folder of its own, with the list of their sums.
    fn fetch(&self, workspace: &Workspace, to: &Path) -> Result<Vec<PathBuf>> {
        let downloads = workspace.target.join("wheels");
        let file = self.download(&downloads)?;
        remove(to)?;
        let unpacked = unpack(&file, &downloads, to)?;
        let sums = unpacked.iter().map(|path| {
            Ok(checksums::line(&checksums::of_file(path)?, &path.file_name().unwrap_or_default().to_string_lossy()))
        });
        fs::write(to.join(checksums::LIST), sums.collect::<Result<String>>()?)?;
        Ok(unpacked)
    }

    /// pip refuses a file whose sum is another.
    fn download(&self, to: &Path) -> Result<PathBuf> {
        remove(to)?;
        fs::create_dir_all(to)?;
        let wanted = to.join("wanted.txt");
        fs::write(&wanted, format!("{} --hash=sha256:{}\n", self.requirement, self.sha256))?;
        let pip = ["-m", "pip", "download", "--disable-pip-version-check", "--no-deps", "--require-hashes"];
        let kind = ["--only-binary", ":all:", "--implementation", "cp", "--python-version", "3.12", "--abi", "cp312"];
        let mut command = Command::new(PYTHON);
        command.args(pip).args(kind).args(["--platform", self.platform]).arg("--dest").arg(to);
        run(command.arg("--requirement").arg(&wanted))?;
        let is_wheel = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "whl");
        let files = fs::read_dir(to)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<PathBuf>>>()?;
        files.into_iter().find(is_wheel).context("pip downloaded no wheel")
    }
}

/// Takes out of a wheel what the plugin needs; the files that were written.
fn unpack(wheel: &Path, beside: &Path, to: &Path) -> Result<Vec<PathBuf>> {
    let all = beside.join("unpacked");
    run(Command::new(PYTHON).args(["-m", "zipfile", "--extract"]).arg(wheel).arg(&all))?;
    fs::create_dir_all(to)?;
    let package = all.join("onnxruntime");
    let mut written = Vec::new();
    for folder in [package.join("capi"), package] {
        for entry in fs::read_dir(folder)? {
            let from = entry?.path();
            let name = from.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if let Some(name) = kept(&name) {
                fs::copy(&from, to.join(&name))?;
                written.push(to.join(name));
            }
        }
    }
    fs::remove_dir_all(&all)?;
    written.sort();
    ensure!(written.iter().any(|path| is_library(path)), "there is no library in {}", wheel.display());
    Ok(written)
}

/// The name under which a file of the wheel is kept; `None` for what only Python needs.
fn kept(name: &str) -> Option<String> {
    match name {
        "LICENSE" => return Some("ONNXRUNTIME-LICENSE.txt".into()),
        "ThirdPartyNotices.txt" => return Some("ONNXRUNTIME-NOTICES.txt".into()),
        _ => {}
    }
    let library = name.contains(".so") || name.ends_with(".dll") || name.ends_with(".dylib");
    // TensorRT's own provider wants gigabytes that hardly anyone has, and gains nothing on models this small.
    let unwanted = ["pybind11", "tensorrt"].iter().any(|word| name.contains(word));
    (library && !unwanted).then(|| name.to_owned())
}

fn remove(path: &Path) -> Result<()> {
    if path.exists() {
        fs::remove_dir_all(path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wheel_is_pinned_to_the_last_bit() {
        for wheel in WHEELS {
            assert!(wheel.sha256.len() == 64 && wheel.sha256.bytes().all(|digit| digit.is_ascii_hexdigit()));
            assert!(wheel.requirement.contains("=="), "{}", wheel.requirement);
            let found = wheel_for(wheel.gpu, wheel.os, wheel.arch).expect("it is in the list");
            assert_eq!(found.sha256, wheel.sha256, "no two are for the same system");
        }
        let error = wheel_for(Some(Gpu::Cuda), "macos", "aarch64").err().expect("NVIDIA has left").to_string();
        assert!(error.contains("but for linux on x86_64, windows on x86_64"), "{error}");
    }

    #[test]
    fn what_only_python_needs_is_left_behind() {
        for name in ["libonnxruntime.so.1.32.0", "onnxruntime.dll", "libonnxruntime.1.32.0.dylib", "dxcompiler.dll"] {
            assert_eq!(kept(name).as_deref(), Some(name));
        }
        for name in [
            "onnxruntime_pybind11_state.cpython-312-x86_64-linux-gnu.so",
            "onnxruntime_pybind11_state.pyd",
            "libonnxruntime_providers_tensorrt.so",
            "__init__.py",
        ] {
            assert_eq!(kept(name), None);
        }
    }
}
