//! Loads model files as generators.

use super::drums::DrumTransformer;
use super::encoding::Token;
use super::reader::Network;
use super::transformer::Transformer;
use crate::contract::drums::DrumControls;
use crate::contract::{Controls, Engine};
use crate::model::{Memory, Model, ModelError, ModelSource, Run, find_model, open_model};
use crate::runtime::Runtime;
use std::sync::Arc;

/// The generator of a model: by name, by path, or the one inside the plugin.
///
/// # Errors
/// When there is no such model, or it cannot be played.
pub fn load(name: Option<&str>, runtime: &'static Runtime) -> Result<Transformer, ModelError> {
    let network = OnnxNetwork::<Controls>::open(&find_model(name)?, runtime)?;
    Ok(Transformer::new(network.model.contract().clone(), Box::new(network)))
}

/// The drummer inside the plugin.
///
/// # Errors
/// When it cannot be played.
pub fn load_drummer(runtime: &'static Runtime) -> Result<DrumTransformer, ModelError> {
    let network = OnnxNetwork::<DrumControls>::open(&ModelSource::EmbeddedDrummer, runtime)?;
    Ok(DrumTransformer::new(network.model.contract().clone(), Box::new(network)))
}

/// A shared model and what this generator has read with it.
struct OnnxNetwork<E> {
    model: Arc<Model<E>>,
    memory: Memory,
}

impl<E: Engine> OnnxNetwork<E> {
    fn open(source: &ModelSource, runtime: &'static Runtime) -> Result<Self, ModelError> {
        let model = open_model::<E>(source, runtime)?;
        let memory = model.memory()?;
        Ok(Self { model, memory })
    }
}

impl<E: Engine, const W: usize> Network<W> for OnnxNetwork<E> {
    fn read_piece(&mut self, past: usize, tokens: &[Token], conditions: &[[f32; W]]) -> Result<&[f32], String> {
        self.model.read(&mut self.memory, Run::Piece, past, tokens, conditions).map_err(|error| error.to_string())
    }

    fn read_one(&mut self, past: usize, token: Token, condition: &[f32; W]) -> Result<&[f32], String> {
        let condition = std::slice::from_ref(condition);
        self.model.read(&mut self.memory, Run::One, past, &[token], condition).map_err(|error| error.to_string())
    }
}
