//! Measures what a host and its user wait for: until the plugins of the bundle are listed, and until the model plays in an instance that
//! was activated. Each time in a process of its own, as when a host starts, with each inference backend.

use crate::bundle::{BundleOptions, bundle};
use crate::host::clap::ClapPlugin;
use crate::host::{HostedPlugin, RenderMode};
use crate::workspace::{PLUGIN_ID, Workspace};
use anyhow::{Context, Result, bail, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

/// As in the plugin.
const BACKEND_VARIABLE: &str = "OBBLIGATO_BACKEND";
/// Of each backend.
const STARTS: usize = 5;

#[derive(Debug, Clone, clap::Args)]
pub struct StartupOptions {
    /// `tract`, `onnxruntime` (found as the plugin finds it; OBBLIGATO_ONNXRUNTIME names its library)
    #[arg(long, value_delimiter = ',', default_values = ["tract", "onnxruntime"])]
    pub backends: Vec<String>,
    /// Another build than the bundle that is made now
    #[arg(long, value_name = "FILE")]
    pub plugin: Option<PathBuf>,
    /// Start once, in this very process
    #[arg(long, hide = true)]
    pub here: bool,
}

/// # Errors
/// When the build fails, or a plugin does not start.
pub fn startup(workspace: &Workspace, options: &StartupOptions) -> Result<()> {
    let plugin = match &options.plugin {
        Some(plugin) => plugin.clone(),
        None => {
            bundle(workspace, BundleOptions::default())?;
            workspace.clap()
        }
    };
    if options.here {
        let start = Start::of(&plugin)?;
        println!("{} {} {}", start.listed, start.ready, start.backend);
        return Ok(());
    }
    println!("| backend | listed, ms (median, worst of {STARTS}) | ready, ms |");
    println!("|---|---|---|");
    for backend in &options.backends {
        let starts = (0..STARTS).map(|_| in_own_process(&plugin, backend));
        let starts = starts.collect::<Result<Vec<Start>>>()?;
        let spread = |of: fn(&Start) -> f64| {
            let mut times: Vec<f64> = starts.iter().map(of).collect();
            times.sort_by(f64::total_cmp);
            format!("{:.0}, {:.0}", times[STARTS / 2], times[STARTS - 1])
        };
        println!("| {} | {} | {} |", starts[0].backend, spread(|start| start.listed), spread(|start| start.ready));
    }
    Ok(())
}

/// Times in milliseconds.
struct Start {
    listed: f64,
    ready: f64,
    backend: String,
}

impl Start {
    fn of(plugin: &Path) -> Result<Self> {
        const LONGEST: Duration = Duration::from_secs(60);
        const BETWEEN_LOOKS: Duration = Duration::from_millis(1);
        let begun = Instant::now();
        ensure!(!ClapPlugin::list(plugin)?.is_empty(), "there is no plugin in {}", plugin.display());
        let listed = milliseconds(begun);
        let begun = Instant::now();
        let mut instance = ClapPlugin::load(plugin, PLUGIN_ID)?;
        instance.activate(48_000.0, 512, RenderMode::Realtime)?;
        let backend = loop {
            let report = instance.save_state()?.report()?;
            if !report.backend.is_empty() {
                break report.backend;
            }
            ensure!(begun.elapsed() < LONGEST, "no model plays: {:?}", report.problem);
            thread::sleep(BETWEEN_LOOKS);
        };
        Ok(Self { listed, ready: milliseconds(begun), backend })
    }

    /// As the child process of [`in_own_process`] wrote it.
    fn read(line: &str) -> Option<Self> {
        let mut words = line.trim().splitn(3, ' ');
        let mut number = || words.next()?.parse().ok();
        Some(Self { listed: number()?, ready: number()?, backend: words.next()?.to_owned() })
    }
}

fn in_own_process(plugin: &Path, backend: &str) -> Result<Start> {
    let mut child = Command::new(std::env::current_exe().context("this program has a file")?);
    child.args(["startup", "--here", "--plugin"]).arg(plugin).env(BACKEND_VARIABLE, backend);
    let said = child.output().context("this program can be started again")?;
    if !said.status.success() {
        bail!("{backend}: {}", String::from_utf8_lossy(&said.stderr).trim());
    }
    let line = String::from_utf8_lossy(&said.stdout).into_owned();
    Start::read(&line).with_context(|| format!("{backend}: `{line}` are no figures"))
}

fn milliseconds(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1000.0
}
