//! Loads a model file as a generator.

use super::controls::Condition;
use super::encoding::Token;
use super::reader::Network;
use super::transformer::Transformer;
use crate::model::{Memory, Model, ModelError, Run, find_model, open_model};
use crate::runtime::Runtime;
use std::sync::Arc;

/// The generator of a model: by name, by path, or the one inside the plugin.
///
/// # Errors
/// When there is no such model, or it cannot be played.
pub fn load(name: Option<&str>, runtime: &Runtime) -> Result<Transformer, ModelError> {
    let model = open_model(&find_model(name)?, runtime)?;
    let memory = model.memory()?;
    Ok(Transformer::new(model.contract().clone(), Box::new(OnnxNetwork { model, memory })))
}

/// A shared model and what this generator has read with it.
struct OnnxNetwork {
    model: Arc<Model>,
    memory: Memory,
}

impl Network for OnnxNetwork {
    fn read_piece(&mut self, past: usize, tokens: &[Token], conditions: &[Condition]) -> Result<&[f32], String> {
        self.model.read(&mut self.memory, Run::Piece, past, tokens, conditions).map_err(|error| error.to_string())
    }

    fn read_one(&mut self, past: usize, token: Token, condition: &Condition) -> Result<&[f32], String> {
        let condition = std::slice::from_ref(condition);
        self.model.read(&mut self.memory, Run::One, past, &[token], condition).map_err(|error| error.to_string())
    }
}
