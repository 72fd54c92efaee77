//! Which device plays a model fastest at the pace of music: a bar's worth of reading on each, after pauses as they are between
//! bars. In a tight loop devices look better than they are, since many go to sleep within seconds.
//!
//! One step at a time, so that whoever holds an audition can stop in between. Runs on a thread of its own
//! ([`super::AuditionThread`]) or at a shell.

use super::{Memory, Model, ModelError, ModelSource, Run, open_model};
use crate::contract::{AT_ONCE, Engine};
use crate::runtime::{Device, Precision, Runtime, Target};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How a device did.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    pub device: Device,
    /// A bar: the median and the worst of those after pauses, in milliseconds.
    pub median: f64,
    pub worst: f64,
}

pub struct Audition<E> {
    source: ModelSource,
    runtime: &'static Runtime,
    precision: Precision,
    /// Not opened yet.
    waiting: Vec<Device>,
    on_stage: Vec<Performer<E>>,
    pauses: Vec<Duration>,
    due: Instant,
    failures: Vec<ModelError>,
}

struct Performer<E> {
    device: Device,
    model: Arc<Model<E>>,
    memory: Memory,
    milliseconds: Vec<f64>,
}

/// Before each bar. 120 quarters a minute leave 2 s between bars; a rest in the music is longer.
const PAUSES: [u64; 5] = [2, 2, 4, 8, 2];

impl<E: Engine> Audition<E> {
    /// On all devices that can be used here; finding out which may take seconds. `None` where that is the processor alone.
    pub fn new(source: &ModelSource, runtime: &'static Runtime, precision: Precision) -> Option<Self> {
        let usable = runtime.devices().into_iter().filter(|found| found.trouble.is_none());
        let waiting: Vec<Device> = usable.map(|found| found.device).collect();
        (waiting.len() > 1).then(|| Self {
            source: source.clone(),
            runtime,
            precision,
            waiting,
            on_stage: Vec::new(),
            pauses: PAUSES.iter().rev().map(|seconds| Duration::from_secs(*seconds)).collect(),
            due: Instant::now(),
            failures: Vec::new(),
        })
    }

    /// With other pauses.
    #[must_use]
    pub fn with_pauses(self, pauses: Vec<Duration>) -> Self {
        Self { pauses, ..self }
    }

    /// Opens the model on the next device, or plays the next bar on all if it is time. `Some` when all is done.
    pub fn step(&mut self) -> Option<Vec<Trial>> {
        if let Some(device) = self.waiting.pop() {
            match self.open(device) {
                Ok(performer) => self.on_stage.push(performer),
                Err(error) => {
                    self.runtime.lose(device, &error.to_string());
                    self.failures.push(error);
                }
            }
            self.due = Instant::now() + self.pauses.last().copied().unwrap_or_default();
            return None;
        }
        if Instant::now() < self.due {
            return None;
        }
        if self.pauses.pop().is_none() {
            return Some(self.on_stage.iter().map(Performer::trial).collect());
        }
        self.on_stage.retain_mut(|performer| performer.play_bar().map_err(|error| self.failures.push(error)).is_ok());
        self.due = Instant::now() + self.pauses.last().copied().unwrap_or_default();
        None
    }

    /// Why devices dropped out.
    pub fn failures(&self) -> &[ModelError] {
        &self.failures
    }

    fn open(&self, device: Device) -> Result<Performer<E>, ModelError> {
        let target = Target { device, precision: self.precision };
        let model = open_model(&self.source, self.runtime, target)?;
        let memory = model.memory()?;
        Ok(Performer { device, model, memory, milliseconds: Vec::new() })
    }
}

impl<E: Engine> Performer<E> {
    /// As an answer does: reads what was written since in pieces, then token by token.
    fn play_bar(&mut self) -> Result<(), ModelError> {
        const PIECES: usize = 2;
        const TOKENS: usize = 40;
        let begun = Instant::now();
        let conditions = vec![0.0; E::CONDITIONS * AT_ONCE];
        let past = self.model.contract().window / 2 - PIECES * AT_ONCE;
        for piece in 0..PIECES {
            let tokens = [1; AT_ONCE];
            self.model.read_plain(&mut self.memory, Run::Piece, past + piece * AT_ONCE, &tokens, &conditions)?;
        }
        let past = past + PIECES * AT_ONCE;
        for token in 0..TOKENS {
            self.model.read_plain(&mut self.memory, Run::One, past + token, &[1], &conditions[..E::CONDITIONS])?;
        }
        self.milliseconds.push(begun.elapsed().as_secs_f64() * 1000.0);
        Ok(())
    }

    fn trial(&self) -> Trial {
        let mut sorted = self.milliseconds.clone();
        sorted.sort_by(f64::total_cmp);
        let median = sorted.get(sorted.len() / 2).copied().unwrap_or(f64::INFINITY);
        Trial { device: self.device, median, worst: sorted.last().copied().unwrap_or(f64::INFINITY) }
    }
}

/// Who should play. Another device than the processor has to be clearly faster when it is slowest: it costs electricity, a
/// cable to it, and can fail.
pub fn fastest(trials: &[Trial]) -> Device {
    const CLEARLY: f64 = 0.8;
    let worst_of = |device| trials.iter().find(|trial| trial.device == device).map(|trial| trial.worst);
    let cpu = worst_of(Device::Cpu).unwrap_or(f64::INFINITY);
    let best = trials.iter().min_by(|a, b| a.worst.total_cmp(&b.worst));
    best.filter(|best| best.worst < CLEARLY * cpu).map_or(Device::Cpu, |best| best.device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_must_be_clearly_faster_when_it_is_slowest() {
        let trial = |device, median, worst| Trial { device, median, worst };
        let cpu = trial(Device::Cpu, 20.0, 25.0);
        for (other, expected) in [
            (trial(Device::Cuda, 4.0, 10.0), Device::Cuda),
            (trial(Device::Cuda, 4.0, 90.0), Device::Cpu),
            (trial(Device::WebGpu, 4.0, 23.0), Device::Cpu),
        ] {
            assert_eq!(fastest(&[cpu, other]), expected, "{other:?}");
        }
        assert_eq!(fastest(&[]), Device::Cpu);
    }
}
