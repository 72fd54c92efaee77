//! Loads model files as generators, and keeps them playing when a device fails. Runs on the inference thread, or on the one that
//! brings models.

use super::Generator;
use super::drums::DrumTransformer;
use super::encoding::Token;
use super::enhancer::Enhancer;
use super::extender::Extender;
use super::gan::Gan;
use super::reader::Network;
use super::rolls::RollNetwork;
use super::transformer::Transformer;
use crate::contract::drums::DrumControls;
use crate::contract::extender::ExtenderControls;
use crate::contract::rolls::{self, RollEngine};
use crate::contract::{Controls, Engine};
use crate::model::{
    Audition, AuditionThread, Finished, Memory, Model, ModelError, ModelSource, Progress, RollModel, Run, fastest,
    fastest_known, open_model, open_roll_model, remember,
};
use crate::music::Ticks;
use crate::runtime::{Device, DeviceChoice, Placement, Precision, Runtime, Target};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How a model is to be computed.
#[derive(Clone, Copy)]
pub struct Seat {
    pub runtime: &'static Runtime,
    pub choice: DeviceChoice,
    pub precision: Precision,
}

/// A generator that plays, and a sentence where it plays elsewhere than it was asked to.
pub type Seated<G> = (G, Option<String>);

/// The generator of a model, of whichever engine. Where a device does not start, the processor plays.
///
/// # Errors
/// When it cannot be played.
pub fn load(source: &ModelSource, seat: Seat) -> Result<Seated<Box<dyn Generator>>, ModelError> {
    let mut problem = None;
    if source.engine()?.as_deref() == Some(rolls::Gan::ID) {
        let network = OnnxRolls::<rolls::Gan>::seated(source, seat, &mut problem)?;
        return Ok((Box::new(Gan::new(network.model.contract().clone(), Box::new(network))), problem));
    }
    let mut network = OnnxNetwork::<Controls>::seated(source, seat, &mut problem)?;
    if seat.choice == DeviceChoice::Auto && fastest_known(source, seat.runtime).is_none() {
        network.audition = AuditionState::Wanted;
    }
    Ok((Box::new(Transformer::new(network.model.contract().clone(), Box::new(network))), problem))
}

/// What enhances melodies.
///
/// # Errors
/// When it cannot be played.
pub fn load_enhancer(source: &ModelSource, seat: Seat) -> Result<Seated<Enhancer>, ModelError> {
    let mut problem = None;
    let network = OnnxRolls::<rolls::Enhancer>::seated(source, seat, &mut problem)?;
    Ok((Enhancer::new(network.model.contract().clone(), Box::new(network)), problem))
}

/// What carries melodies on, in its own precision: it writes few tokens, and so the same ones with every backend.
///
/// # Errors
/// When it cannot be played.
pub fn load_extender(source: &ModelSource, seat: Seat) -> Result<Seated<Extender>, ModelError> {
    let mut problem = None;
    let seat = Seat { precision: Precision::Full, ..seat };
    let network = OnnxNetwork::<ExtenderControls>::seated(source, seat, &mut problem)?;
    Ok((Extender::new(network.model.contract().clone(), Box::new(network)), problem))
}

/// The drummer inside the plugin: so small that no device is worth it unless it was asked for.
///
/// # Errors
/// When it cannot be played.
pub fn load_drummer(seat: Seat) -> Result<Seated<DrumTransformer>, ModelError> {
    let mut problem = None;
    let choice = if seat.choice == DeviceChoice::Auto { DeviceChoice::One(Device::Cpu) } else { seat.choice };
    let seat = Seat { choice, ..seat };
    let network = OnnxNetwork::<DrumControls>::seated(&ModelSource::EmbeddedDrummer, seat, &mut problem)?;
    Ok((DrumTransformer::new(network.model.contract().clone(), Box::new(network)), problem))
}

/// A shared model and what this generator has read with it.
struct OnnxNetwork<E> {
    source: ModelSource,
    seat: Seat,
    model: Arc<Model<E>>,
    memory: Memory,
    audition: AuditionState<E>,
    sleep: Sleep,
}

/// Whether it is still to be found out where this model is fastest.
enum AuditionState<E> {
    Over,
    Wanted,
    Running(AuditionThread<E>),
}

impl<E: Engine> OnnxNetwork<E> {
    fn seated(source: &ModelSource, seat: Seat, problem: &mut Option<String>) -> Result<Self, ModelError> {
        let (model, memory) = seated(source, seat, problem, |device| Self::on(source, seat, device))?;
        Ok(Self { source: source.clone(), seat, model, memory, audition: AuditionState::Over, sleep: Sleep::begun() })
    }

    fn on(source: &ModelSource, seat: Seat, device: Device) -> Result<(Arc<Model<E>>, Memory), ModelError> {
        let model = open_model::<E>(source, seat.runtime, Target { device, precision: seat.precision })?;
        let memory = model.memory()?;
        Ok((model, memory))
    }

    /// What a failed run leaves to say. What was read is forgotten: the caller begins anew, on the processor if the device
    /// was another.
    fn recover(&mut self, error: &ModelError) -> String {
        let (playing, words) =
            recovered(error, self.model.device(), self.seat, |device| Self::on(&self.source, self.seat, device));
        playing.into_iter().for_each(|playing| (self.model, self.memory) = playing);
        words
    }

    /// Takes the place that an audition has found.
    fn settle(&mut self, device: Device) -> bool {
        match Self::on(&self.source, self.seat, device) {
            Ok(playing) if device != self.model.device() => {
                (self.model, self.memory) = playing;
                true
            }
            Ok(_) | Err(_) => false,
        }
    }
}

/// A device goes to sleep when nobody asks it anything, and the next run waits until it is awake.
struct Sleep {
    last_run: Instant,
}

impl Sleep {
    fn begun() -> Self {
        Self { last_run: Instant::now() }
    }

    fn ran(&mut self) {
        self.last_run = Instant::now();
    }

    /// Whether the device has been left alone for long. The processor keeps itself awake.
    fn threatens(&self, device: Device) -> bool {
        /// Graphics processors lower their clock after a few seconds; half a bar is shorter than this above 120 quarters a minute.
        const LONG: Duration = Duration::from_secs(1);
        device != Device::Cpu && self.last_run.elapsed() > LONG
    }
}

fn device_in_words(device: Device, placement: Option<Placement>) -> String {
    placement.map_or(device.to_string(), |placement| format!("{device} ({placement})"))
}

/// Opens a model on the device that was chosen, or that is known to be the fastest; where that does not start, on the
/// processor, and says so.
fn seated<M>(
    source: &ModelSource,
    seat: Seat,
    problem: &mut Option<String>,
    open: impl Fn(Device) -> Result<M, ModelError>,
) -> Result<M, ModelError> {
    let known = || fastest_known(source, seat.runtime).map_or(DeviceChoice::Auto, DeviceChoice::One);
    let wanted = if seat.choice == DeviceChoice::Auto { known() } else { seat.choice };
    let (device, elsewhere) = seat.runtime.choose(wanted);
    *problem = elsewhere;
    match open(device) {
        Err(error) if device != Device::Cpu => {
            seat.runtime.lose(device, &error.to_string());
            *problem = Some(format!("{device} does not start ({error}), so the CPU plays: choose another device"));
            open(Device::Cpu)
        }
        opened => opened,
    }
}

/// The model on the processor, after it failed on another device, and what there is to say.
fn recovered<M>(
    error: &ModelError,
    device: Device,
    seat: Seat,
    open: impl Fn(Device) -> Result<M, ModelError>,
) -> (Option<M>, String) {
    if device == Device::Cpu {
        return (None, error.to_string());
    }
    seat.runtime.lose(device, &error.to_string());
    match open(Device::Cpu) {
        Ok(model) => (
            Some(model),
            format!("{device} failed ({error}); from the next bar on the CPU plays, unless you choose another device"),
        ),
        Err(and) => (None, format!("{device} failed ({error}), and so did the CPU ({and}): choose another model")),
    }
}

/// A shared network over rolls, and what it said last.
struct OnnxRolls<E> {
    source: ModelSource,
    seat: Seat,
    model: Arc<RollModel<E>>,
    said: Vec<f32>,
    sleep: Sleep,
}

impl<E: RollEngine> OnnxRolls<E> {
    fn seated(source: &ModelSource, seat: Seat, problem: &mut Option<String>) -> Result<Self, ModelError> {
        let model = seated(source, seat, problem, |device| Self::on(source, seat, device))?;
        Ok(Self { source: source.clone(), seat, model, said: Vec::new(), sleep: Sleep::begun() })
    }

    fn on(source: &ModelSource, seat: Seat, device: Device) -> Result<Arc<RollModel<E>>, ModelError> {
        open_roll_model(source, seat.runtime, Target { device, precision: seat.precision })
    }

    /// What a failed run leaves to say; if another device than the processor failed, that one plays from now on.
    fn recover(&mut self, error: &ModelError) -> String {
        let open = |device| Self::on(&self.source, self.seat, device);
        let (playing, words) = recovered(error, self.model.device(), self.seat, open);
        playing.into_iter().for_each(|playing| self.model = playing);
        words
    }
}

impl<E: RollEngine> RollNetwork for OnnxRolls<E> {
    fn cells(&mut self, ticks: Ticks, inputs: &[(&'static str, Vec<f32>)]) -> Result<&[f32], String> {
        let read = self.model.cells(ticks, inputs, &mut self.said);
        self.sleep.ran();
        read.map_err(|error| self.recover(&error))?;
        Ok(&self.said)
    }

    fn device(&self) -> Option<String> {
        Some(device_in_words(self.model.device(), self.model.placement()))
    }

    fn keep_warm(&mut self) -> Result<(), String> {
        if !self.sleep.threatens(self.model.device()) {
            return Ok(());
        }
        let warmed = self.model.read_silence(E::IN_TIME[0]);
        self.sleep.ran();
        warmed.map_err(|error| self.recover(&error))
    }
}

impl<E: Engine, const W: usize> Network<W> for OnnxNetwork<E> {
    fn read_piece(&mut self, past: usize, tokens: &[Token], conditions: &[[f32; W]]) -> Result<&[f32], String> {
        let read = self.model.read(&mut self.memory, Run::Piece, past, tokens, conditions).map(drop);
        self.sleep.ran();
        read.map_err(|error| self.recover(&error))?;
        Ok(self.memory.outputs())
    }

    fn read_one(&mut self, past: usize, token: Token, condition: &[f32; W]) -> Result<&[f32], String> {
        let condition = std::slice::from_ref(condition);
        let read = self.model.read(&mut self.memory, Run::One, past, &[token], condition).map(drop);
        self.sleep.ran();
        read.map_err(|error| self.recover(&error))?;
        Ok(self.memory.outputs())
    }

    fn device(&self) -> Option<String> {
        Some(device_in_words(self.model.device(), self.model.placement()))
    }

    fn keep_warm(&mut self, free: usize) -> Result<(), String> {
        if !self.sleep.threatens(self.model.device()) || free >= self.model.contract().window {
            return Ok(());
        }
        self.read_one(free, 0, &[0.0; W]).map(drop)
    }

    fn at_rest(&mut self) -> bool {
        match &mut self.audition {
            AuditionState::Over => false,
            AuditionState::Wanted => {
                let (source, Seat { runtime, precision, .. }) = (self.source.clone(), self.seat);
                let begun = AuditionThread::begin(move || Audition::new(&source, runtime, precision));
                self.audition = begun.map_or(AuditionState::Over, AuditionState::Running);
                false
            }
            AuditionState::Running(audition) => {
                let Progress::Over(finished) = audition.at_rest() else { return false };
                self.audition = AuditionState::Over;
                let Some(Finished { trials, .. }) = &finished else { return false };
                remember(&self.source, self.seat.runtime, trials.clone());
                self.settle(fastest(trials))
            }
        }
    }
}
