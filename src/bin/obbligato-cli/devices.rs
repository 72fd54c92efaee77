//! `devices`: what can compute models here, where they really run, and how fast.

use crate::failure::Failure;
use crate::report::say;
use obbligato::contract::Controls;
use obbligato::model::{
    Audition, Model, ModelError, ModelSource, Trial, fastest, find_model, open_model, recall, remember,
};
use obbligato::runtime::{Device, DeviceChoice, FoundDevice, Precision, Runtime, RuntimeChoice, Target};
use std::time::Duration;

/// # Errors
/// [`Failure::Input`] when there is no such model.
pub fn run(measure: bool, model: Option<&str>, quiet: bool) -> Result<(), Failure> {
    let choice = RuntimeChoice::from_environment();
    let runtime = Runtime::get(&choice);
    let source = find_model(model).map_err(|error| Failure::Input(format!("--generator: {error}")))?;
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    say(&format!("{} on {}, {cores} cores", std::env::consts::OS, std::env::consts::ARCH));
    say(&format!("Models are computed by {}", runtime.library()));
    runtime
        .attempts()
        .iter()
        .filter(|attempt| attempt.failure.is_some())
        .for_each(|attempt| say(&format!("  {attempt}")));
    let devices = runtime.devices();
    for found in &devices {
        say(&line(found, &source, runtime, choice.precision));
    }
    if measure {
        match measured(&source, runtime, choice.precision, quiet) {
            Some(trials) => remember(&source, runtime, trials),
            None => say("There is no other device to measure."),
        }
    }
    say(&verdict(&source, runtime, &devices));
    Ok(())
}

/// A device, and what share of the model's steps runs there.
fn line(found: &FoundDevice, source: &ModelSource, runtime: &'static Runtime, precision: Precision) -> String {
    let name = if found.name.is_empty() { String::new() } else { format!(" ({})", found.name) };
    let opened = || open_model::<Controls>(source, runtime, Target { device: found.device, precision });
    let truth = match (&found.trouble, found.device) {
        (Some(trouble), _) => format!("cannot be used: {trouble}"),
        (None, Device::Cpu) => opened().map_or_else(unusable, |model| format!("runs all steps in {}", model.numbers())),
        (None, _) => match opened() {
            Ok(model) => format!("{}; {}", placed(&model), compared(&model, source, runtime)),
            Err(error) => unusable(error),
        },
    };
    format!("  {:<9}{}{name}: {truth}", found.device.id(), found.device)
}

fn unusable(error: ModelError) -> String {
    format!("cannot be used: {error}")
}

fn placed(model: &Model) -> String {
    let runs = |placement| format!("runs {placement} in {}", model.numbers());
    model.placement().map_or("it does not say where its steps run".into(), runs)
}

/// Whether a device computes what the processor does, which has the model's own precision for this.
fn compared(model: &Model, source: &ModelSource, runtime: &'static Runtime) -> String {
    /// Of half precision a tenth of this is expected; wrong numbers are several apart.
    const MOST: f32 = 0.5;
    let target = Target { device: Device::Cpu, precision: Precision::Full };
    let apart = open_model::<Controls>(source, runtime, target).and_then(|cpu| model.furthest_from(&cpu));
    match apart {
        Ok(apart) if apart < MOST => format!("its numbers are the CPU's within {apart:.4}"),
        Ok(apart) => format!("its numbers are WRONG: {apart} from the CPU's"),
        Err(error) => format!("it was not compared: {error}"),
    }
}

/// Plays bars on each device, with pauses as between bars.
fn measured(source: &ModelSource, runtime: &'static Runtime, precision: Precision, quiet: bool) -> Option<Vec<Trial>> {
    const BETWEEN_LOOKS: Duration = Duration::from_millis(5);
    let mut audition = Audition::<Controls>::new(source, runtime, precision)?;
    if !quiet {
        say("  Playing on each device, with pauses as in music: half a minute …");
    }
    let trials = loop {
        if let Some(trials) = audition.step() {
            break trials;
        }
        std::thread::sleep(BETWEEN_LOOKS);
    };
    audition.failures().iter().for_each(|failure| say(&format!("  dropped out: {failure}")));
    Some(trials)
}

/// What `auto` stands for here, and why.
fn verdict(source: &ModelSource, runtime: &Runtime, devices: &[FoundDevice]) -> String {
    let auto = DeviceChoice::Auto.id();
    let Some(trials) = recall(source, runtime) else {
        let usable = devices.iter().filter(|found| found.trouble.is_none()).count();
        let why =
            if usable > 1 { "nothing has been measured here yet: add --measure" } else { "there is no other device" };
        return format!("  {auto:<9}is the CPU: {why}");
    };
    let times = trials.iter().map(|trial| {
        format!(
            "\n             {:<9}{:.1} ms a bar, {:.1} ms after a pause at its worst",
            trial.device.id(),
            trial.median,
            trial.worst
        )
    });
    format!("  {auto:<9}is {}:{}", fastest(&trials), times.collect::<String>())
}
