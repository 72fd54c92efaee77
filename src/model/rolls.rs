//! A loaded network over piano rolls: what `docs/rolls.md` calls a graph. Runs on the inference thread.
//!
//! Shared by all instances that compute it on the same device. It remembers nothing, so one session a length serves all.

use super::file::{self, FileError, Port, Size};
use super::pool::Pool;
use super::{ModelError, verify};
use crate::contract::rolls::{Form, ROWS, RollContract, RollEngine};
use crate::music::Ticks;
use crate::runtime::{Device, Placement, Runtime, Session, Target, Values};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tract_onnx::pb::ModelProto;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::prelude::Tensor;

/// A file that this build can play.
pub struct RollFile<E> {
    proto: ModelProto,
    pub contract: RollContract<E>,
}

impl<E: RollEngine> RollFile<E> {
    /// # Errors
    /// When the file is damaged, was not made for Obbligato, or for another engine or version of it.
    pub fn read(bytes: &[u8]) -> Result<Self, FileError> {
        let proto = file::decode(bytes)?;
        let contract = RollContract::read(|key| file::metadata(&proto, key))?;
        file::check(&proto, &inputs::<E>(), &outputs::<E>())?;
        Ok(Self { proto, contract })
    }

    /// The same file for rolls of exactly so many ticks. Backends plan fixed shapes best.
    fn with_ticks(&mut self, ticks: usize) -> &ModelProto {
        file::fix_length(&mut self.proto, &inputs::<E>(), &outputs::<E>(), ticks);
        &self.proto
    }
}

fn inputs<E: RollEngine>() -> Vec<Port> {
    let size = |form: Form| -> Vec<Size> {
        match form {
            Form::Cells(channels) => vec![Size::Fixed(1), Size::Fixed(channels), Size::AndTokens(0), Size::Fixed(ROWS)],
            Form::Rows(rows) => vec![Size::Fixed(1), Size::Fixed(rows), Size::AndTokens(0)],
            Form::Classes(_) | Form::Numbers(_) => form.shape(0).into_iter().map(Size::Fixed).collect(),
        }
    };
    E::INPUTS.iter().map(|(name, form)| Port { name, data: DataType::Float, shape: size(*form) }).collect()
}

fn outputs<E: RollEngine>() -> Vec<Port> {
    let shape = vec![Size::Fixed(1), Size::Fixed(E::CHANNELS), Size::AndTokens(0), Size::Fixed(ROWS)];
    vec![Port { name: CELLS, data: DataType::Float, shape }]
}

const CELLS: &str = "cells";

/// A network in the backend, ready to run.
pub struct RollModel<E> {
    /// The file's name, for errors.
    name: String,
    contract: RollContract<E>,
    runtime: &'static Runtime,
    target: Target,
    plans: Mutex<Plans<E>>,
    /// Where the steps of the first plan were seen to run; not asked of the processor.
    placement: Option<Placement>,
}

/// Sessions by the ticks of their rolls, and what others are made from.
struct Plans<E> {
    file: RollFile<E>,
    sessions: BTreeMap<Ticks, Arc<Pool<Box<dyn Session>>>>,
}

impl<E: RollEngine> RollModel<E> {
    /// `name` is the file's, for errors.
    ///
    /// # Errors
    /// When the file is damaged, for another engine or version, or not for this device.
    pub fn load(name: &str, bytes: &[u8], runtime: &'static Runtime, target: Target) -> Result<Self, ModelError> {
        let file = RollFile::<E>::read(bytes).map_err(|error| ModelError::file(name, error))?;
        let contract = file.contract.clone();
        let plans = Mutex::new(Plans { file, sessions: BTreeMap::new() });
        let mut model = Self { name: name.to_owned(), contract, runtime, target, plans, placement: None };
        for ticks in E::IN_TIME {
            // The first run of a session is the slowest, and says where it ran.
            model.read_silence(*ticks)?;
            let placement = model.sessions_for(*ticks)?.lend().placement();
            verify(name, target.device, placement)?;
            model.placement = model.placement.or(placement);
        }
        Ok(model)
    }

    /// A run for its own sake.
    ///
    /// # Errors
    /// When the backend fails.
    pub fn read_silence(&self, ticks: Ticks) -> Result<(), ModelError> {
        let silence = E::INPUTS.iter().map(|(name, form)| {
            let size = form.shape(ticks as usize).into_iter().product();
            (*name, vec![0.0; size])
        });
        self.cells(ticks, &silence.collect::<Vec<_>>(), &mut Vec::new())
    }

    pub fn contract(&self) -> &RollContract<E> {
        &self.contract
    }

    pub fn device(&self) -> Device {
        self.target.device
    }

    /// Where its steps were seen to run.
    pub fn placement(&self) -> Option<Placement> {
        self.placement
    }

    /// Writes the logits of a roll's cells over what was in `cells`. `inputs`: by name, as many numbers as their form has.
    ///
    /// # Errors
    /// When an input is missing or has another size, or the backend fails.
    pub fn cells(
        &self,
        ticks: Ticks,
        inputs: &[(&'static str, Vec<f32>)],
        cells: &mut Vec<f32>,
    ) -> Result<(), ModelError> {
        let values = self.values(ticks, inputs)?;
        let pool = self.sessions_for(ticks)?;
        let given: Vec<(&str, &Values)> = values.iter().map(|(name, values)| (*name, values)).collect();
        cells.clear();
        let mut take = |name: &str, numbers: &[f32]| {
            if name == CELLS {
                cells.extend_from_slice(numbers);
            }
        };
        let done = pool.lend().run(&given, &mut take);
        done.map_err(|reason| self.failed(reason))?;
        let expected = E::CHANNELS * ticks as usize * ROWS;
        if cells.len() == expected {
            return Ok(());
        }
        Err(self.failed(format!("`{CELLS}` has {} numbers instead of {expected}", cells.len())))
    }

    fn values(
        &self,
        ticks: Ticks,
        inputs: &[(&'static str, Vec<f32>)],
    ) -> Result<Vec<(&'static str, Values)>, ModelError> {
        let value = |(name, form): &(&'static str, Form)| {
            let given = inputs.iter().find(|(given, _)| given == name).map_or(&[][..], |(_, numbers)| numbers);
            let shape = form.shape(ticks as usize);
            let expected: usize = shape.iter().product();
            if given.len() != expected {
                return Err(self.failed(format!("`{name}` was given {} numbers instead of {expected}", given.len())));
            }
            let tensor = Tensor::from_shape(&shape, given).map_err(|error| self.failed(error.to_string()))?;
            Ok((*name, Arc::new(tensor)))
        };
        E::INPUTS.iter().map(value).collect()
    }

    fn sessions_for(&self, ticks: Ticks) -> Result<Arc<Pool<Box<dyn Session>>>, ModelError> {
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pool) = plans.sessions.get(&ticks) {
            return Ok(pool.clone());
        }
        // The other lengths are planned in the same way.
        let watched = self.target.device != Device::Cpu && plans.sessions.is_empty();
        let session = self.runtime.session(self.target.device, plans.file.with_ticks(ticks as usize), watched);
        let session = session.map_err(|error| ModelError::Runtime { name: self.name.clone(), error })?;
        let pool = Arc::new(Pool::of(session));
        plans.sessions.insert(ticks, pool.clone());
        Ok(pool)
    }

    fn failed(&self, reason: String) -> ModelError {
        ModelError::Run { name: self.name.clone(), reason }
    }
}
