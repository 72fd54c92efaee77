//! Loads model files as generators, and keeps them playing when a device fails.

use super::drums::DrumTransformer;
use super::encoding::Token;
use super::reader::Network;
use super::transformer::Transformer;
use crate::contract::drums::DrumControls;
use crate::contract::{Controls, Engine};
use crate::model::{
    Audition, Memory, Model, ModelError, ModelSource, Run, fastest, fastest_known, open_model, remember,
};
use crate::runtime::{Device, DeviceChoice, Precision, Runtime, Target};
use std::sync::Arc;

/// How a model is to be computed.
#[derive(Clone, Copy)]
pub struct Seat {
    pub runtime: &'static Runtime,
    pub choice: DeviceChoice,
    pub precision: Precision,
}

/// A generator that plays, and a sentence where it plays elsewhere than it was asked to.
pub type Seated<G> = (G, Option<String>);

/// The generator of a model. Where a device does not start, the processor plays.
///
/// # Errors
/// When it cannot be played.
pub fn load(source: &ModelSource, seat: Seat) -> Result<Seated<Transformer>, ModelError> {
    let mut problem = None;
    let mut network = OnnxNetwork::<Controls>::seated(source, seat, &mut problem)?;
    if seat.choice == DeviceChoice::Auto && fastest_known(source, seat.runtime).is_none() {
        network.audition = AuditionState::Wanted;
    }
    Ok((Transformer::new(network.model.contract().clone(), Box::new(network)), problem))
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
}

/// Whether it is still to be found out where this model is fastest.
enum AuditionState<E> {
    Over,
    Wanted,
    Running(Audition<E>),
}

impl<E: Engine> OnnxNetwork<E> {
    fn seated(source: &ModelSource, seat: Seat, problem: &mut Option<String>) -> Result<Self, ModelError> {
        let known = || fastest_known(source, seat.runtime).map_or(DeviceChoice::Auto, DeviceChoice::One);
        let wanted = if seat.choice == DeviceChoice::Auto { known() } else { seat.choice };
        let (device, elsewhere) = seat.runtime.choose(wanted);
        *problem = elsewhere;
        let opened = Self::on(source, seat, device);
        let (model, memory) = match opened {
            Err(error) if device != Device::Cpu => {
                seat.runtime.lose(device, &error.to_string());
                *problem = Some(format!("{device} does not start ({error}); playing on the CPU"));
                Self::on(source, seat, Device::Cpu)?
            }
            opened => opened?,
        };
        Ok(Self { source: source.clone(), seat, model, memory, audition: AuditionState::Over })
    }

    fn on(source: &ModelSource, seat: Seat, device: Device) -> Result<(Arc<Model<E>>, Memory), ModelError> {
        let model = open_model::<E>(source, seat.runtime, Target { device, precision: seat.precision })?;
        let memory = model.memory()?;
        Ok((model, memory))
    }

    /// What a failed run leaves to say. What was read is forgotten: the caller begins anew, on the processor if the device
    /// was another.
    fn recover(&mut self, error: &ModelError) -> String {
        let device = self.model.device();
        if device == Device::Cpu {
            return error.to_string();
        }
        self.seat.runtime.lose(device, &error.to_string());
        match Self::on(&self.source, self.seat, Device::Cpu) {
            Ok(playing) => {
                (self.model, self.memory) = playing;
                format!("{device} failed ({error}); from the next bar on the CPU plays")
            }
            Err(and) => format!("{device} failed ({error}), and so did the CPU ({and})"),
        }
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

impl<E: Engine, const W: usize> Network<W> for OnnxNetwork<E> {
    fn read_piece(&mut self, past: usize, tokens: &[Token], conditions: &[[f32; W]]) -> Result<&[f32], String> {
        let read = self.model.read(&mut self.memory, Run::Piece, past, tokens, conditions).map(drop);
        read.map_err(|error| self.recover(&error))?;
        Ok(self.memory.outputs())
    }

    fn read_one(&mut self, past: usize, token: Token, condition: &[f32; W]) -> Result<&[f32], String> {
        let condition = std::slice::from_ref(condition);
        let read = self.model.read(&mut self.memory, Run::One, past, &[token], condition).map(drop);
        read.map_err(|error| self.recover(&error))?;
        Ok(self.memory.outputs())
    }

    fn device(&self) -> Option<String> {
        let device = self.model.device();
        Some(self.model.placement().map_or(device.to_string(), |placement| format!("{device} ({placement})")))
    }

    fn at_rest(&mut self) -> bool {
        match &mut self.audition {
            AuditionState::Over => false,
            AuditionState::Wanted => {
                let audition = Audition::new(&self.source, self.seat.runtime, self.seat.precision);
                self.audition = audition.map_or(AuditionState::Over, AuditionState::Running);
                false
            }
            AuditionState::Running(audition) => {
                let Some(trials) = audition.step() else { return false };
                let device = fastest(&trials);
                remember(&self.source, self.seat.runtime, trials);
                let moved = self.settle(device);
                self.audition = AuditionState::Over;
                moved
            }
        }
    }
}
