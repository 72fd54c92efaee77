//! What a build needs that cargo does not fetch, and which package brings it: said before a compiler fails.

use anyhow::{Result, bail};
use std::process::{Command, Stdio};

/// What is going to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    Plugin,
    Standalone,
    Training,
    Fetch,
}

/// How packages are installed here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Installer {
    Apt,
    Dnf,
    Pacman,
    Zypper,
    Brew,
    Unknown,
}

/// A program or library that must be there.
struct Requirement {
    /// For the user.
    what: &'static str,
    /// Succeeds where it is there.
    probe: &'static [&'static str],
    /// Package names by [`Installer::ALL`].
    packages: [&'static str; Installer::ALL.len()],
}

const C_COMPILER: Requirement = Requirement {
    what: "a C compiler (`cc`)",
    probe: &["cc", "--version"],
    packages: ["gcc libc6-dev", "gcc", "gcc", "gcc", "gcc"],
};

const PKG_CONFIG: Requirement = Requirement {
    what: "pkg-config",
    probe: &["pkg-config", "--version"],
    packages: ["pkg-config", "pkgconf-pkg-config", "pkgconf", "pkg-config", "pkgconf"],
};

const ALSA: Requirement = Requirement {
    what: "the ALSA headers",
    probe: &["pkg-config", "--exists", "alsa"],
    packages: ["libasound2-dev", "alsa-lib-devel", "alsa-lib", "alsa-devel", "alsa-lib"],
};

const JACK: Requirement = Requirement {
    what: "the JACK headers",
    probe: &["pkg-config", "--exists", "jack"],
    packages: ["libjack-jackd2-dev", "pipewire-jack-audio-connection-kit-devel", "jack2", "libjack-devel", "jack"],
};

/// As Python is called here.
pub const PYTHON: &str = if cfg!(windows) { "python" } else { "python3" };

const PYTHON_WITH_VENV: Requirement = Requirement {
    what: "Python 3.11 or newer with venv",
    probe: &[PYTHON, "-c", "import sys, venv, ensurepip; assert sys.version_info >= (3, 11)"],
    packages: ["python3 python3-venv", "python3", "python", "python3", "python"],
};

const PIP: Requirement = Requirement {
    what: "pip, Python's package client",
    probe: &[PYTHON, "-m", "pip", "--version"],
    packages: ["python3-pip", "python3-pip", "python-pip", "python3-pip", "python3"],
};

impl Task {
    fn requirements(self) -> &'static [Requirement] {
        // Elsewhere rustc finds the system's own compiler and sound headers, or says what to install itself.
        let linux = cfg!(target_os = "linux");
        match self {
            Self::Plugin if linux => &[C_COMPILER],
            Self::Standalone if linux => &[C_COMPILER, PKG_CONFIG, ALSA, JACK],
            Self::Plugin | Self::Standalone => &[],
            Self::Training => &[PYTHON_WITH_VENV],
            Self::Fetch if cfg!(windows) => &[],
            Self::Fetch => &[PIP],
        }
    }
}

impl Installer {
    const ALL: [Self; 5] = [Self::Apt, Self::Dnf, Self::Pacman, Self::Zypper, Self::Brew];

    fn program(self) -> &'static str {
        match self {
            Self::Apt => "apt-get",
            Self::Dnf => "dnf",
            Self::Pacman => "pacman",
            Self::Zypper => "zypper",
            Self::Brew => "brew",
            Self::Unknown => "",
        }
    }

    fn command(self, packages: &str) -> String {
        match self {
            Self::Apt => format!("sudo apt-get install {packages}"),
            Self::Dnf => format!("sudo dnf install {packages}"),
            Self::Pacman => format!("sudo pacman -S {packages}"),
            Self::Zypper => format!("sudo zypper install {packages}"),
            Self::Brew => format!("brew install {packages}"),
            Self::Unknown => format!("the packages that Debian calls {packages}"),
        }
    }
}

/// # Errors
/// When something is missing, with the command that installs it.
pub fn check(tasks: &[Task]) -> Result<()> {
    let succeeds = |command: &[&str]| {
        let (program, arguments) = command.split_first().expect("each probe names a program");
        let mut probe = Command::new(program);
        probe.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        probe.status().is_ok_and(|status| status.success())
    };
    match missing(tasks, &succeeds) {
        Some(message) => bail!(message),
        None => Ok(()),
    }
}

/// What the user reads, if anything is missing.
fn missing(tasks: &[Task], succeeds: &dyn Fn(&[&str]) -> bool) -> Option<String> {
    let mut needed: Vec<&Requirement> = tasks.iter().flat_map(|task| task.requirements()).collect();
    needed.dedup_by_key(|requirement| requirement.what);
    needed.retain(|requirement| !succeeds(requirement.probe));
    if needed.is_empty() {
        return None;
    }
    let place = Installer::ALL.iter().position(|installer| succeeds(&[installer.program(), "--version"]));
    let installer = place.map_or(Installer::Unknown, |place| Installer::ALL[place]);
    // Debian's names are the ones most people can translate.
    let packages: Vec<&str> = needed.iter().map(|requirement| requirement.packages[place.unwrap_or(0)]).collect();
    let what: Vec<&str> = needed.iter().map(|requirement| requirement.what).collect();
    Some(format!("{} is missing. Install with:\n    {}", what.join(", "), installer.command(&packages.join(" "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_not_asked_for() {
        assert_eq!(missing(&[Task::Plugin, Task::Standalone, Task::Training], &|_| true), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_missing_package_is_named_as_the_system_calls_it() {
        let without_jack = |command: &[&str]| match command {
            ["dnf", ..] => true,
            ["apt-get", ..] => false,
            _ => !command.contains(&"jack"),
        };
        let message = missing(&[Task::Plugin, Task::Standalone], &without_jack).expect("JACK is missing");
        assert!(message.contains("JACK headers") && message.contains("dnf install pipewire-jack"), "{message}");
        let message = missing(&[Task::Training], &|_| false).expect("all is missing");
        assert!(message.contains("python3-venv"), "{message}");
    }
}
