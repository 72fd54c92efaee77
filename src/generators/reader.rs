//! Reads tokens through a network, and only those that it does not remember. Runs on the inference thread.
//!
//! What is remembered must not change what is computed, not even by rounding: an answer is the same after a jump, in the
//! command line and in the plugin. So a context is always read in the same pieces, cut at multiples of [`AT_ONCE`] from
//! its start, and what was read token by token while an answer was written is read anew before the next.

use super::context::Context;
use super::encoding::Token;
use crate::contract::{AT_ONCE, CONDITIONS};

/// What computes the next token's likelihoods from tokens with conditions of `W` numbers. It remembers what it has read, by
/// the place in the window.
pub trait Network<const W: usize = CONDITIONS>: Send {
    /// Reads up to [`AT_ONCE`] tokens that follow the first `past`; returns what is said after the last: the
    /// outputs of its engine, joined.
    ///
    /// # Errors
    /// In words, when the model cannot be run.
    fn read_piece(&mut self, past: usize, tokens: &[Token], conditions: &[[f32; W]]) -> Result<&[f32], String>;

    /// The same for one token, faster.
    ///
    /// # Errors
    /// In words, when the model cannot be run.
    fn read_one(&mut self, past: usize, token: Token, condition: &[f32; W]) -> Result<&[f32], String>;

    /// Where it computes, where there is a choice.
    fn device(&self) -> Option<String> {
        None
    }

    /// A run for its own sake, if the device has been left alone so long that it would go to sleep. From the place `free` on
    /// nothing that is remembered has to stay.
    ///
    /// # Errors
    /// In words, when the device is lost; all that was read is then forgotten.
    fn keep_warm(&mut self, _free: usize) -> Result<(), String> {
        Ok(())
    }

    /// There is time for a short piece of other work. Returns whether all that was read is forgotten.
    fn at_rest(&mut self) -> bool {
        false
    }
}

pub struct Reader<const W: usize = CONDITIONS> {
    network: Box<dyn Network<W>>,
    /// What the network remembers.
    read: Context<W>,
    /// How much of it was read in whole pieces.
    firm: usize,
    /// Whether the next reading is the first of an answer.
    at_start: bool,
    outputs: Vec<f32>,
}

impl<const W: usize> Reader<W> {
    pub fn new(network: Box<dyn Network<W>>) -> Self {
        Self { network, read: Context::default(), firm: 0, at_start: true, outputs: Vec::new() }
    }

    pub fn device(&self) -> Option<String> {
        self.network.device()
    }

    /// Between answers there is time for a short piece of other work.
    pub fn at_rest(&mut self) {
        if self.network.at_rest() {
            self.forget();
        }
    }

    /// Between answers that lie far apart: keeps the device awake. Answers are the same without.
    ///
    /// # Errors
    /// In words, when the device is lost.
    pub fn keep_warm(&mut self) -> Result<(), String> {
        self.begin();
        let warmed = self.network.keep_warm(self.firm);
        if warmed.is_err() {
            self.forget();
        }
        warmed
    }

    fn forget(&mut self) {
        self.read.truncate(0);
        self.firm = 0;
    }

    /// A new answer begins: what was written one by one is no longer relied on.
    pub fn begin(&mut self) {
        self.at_start = true;
        self.read.truncate(self.firm);
    }

    /// Between answers: reads one more piece of a context that will begin what is asked next, if there is a whole one that is
    /// not remembered. Returns whether there was. An answer is the same without.
    pub fn read_ahead(&mut self, context: &Context<W>) -> bool {
        self.begin();
        let next = self.read.common_start(context) / AT_ONCE;
        if (next + 1) * AT_ONCE > context.len() {
            return false;
        }
        let read = self.read_piece(context, next);
        if read.is_err() {
            // What does not go away will be seen, and told, when an answer is wanted.
            self.forget();
        }
        read.is_ok()
    }

    /// What is said after the last token of a context that is not empty. Within an answer it only grows.
    ///
    /// # Errors
    /// When the network fails; it is then taken to remember nothing.
    pub fn read(&mut self, context: &Context<W>) -> Result<&[f32], String> {
        let done = if self.at_start { self.read_pieces(context) } else { self.read_rest(context) };
        if done.is_err() {
            self.forget();
        }
        self.at_start = false;
        done.map(|()| self.outputs.as_slice())
    }

    fn read_pieces(&mut self, context: &Context<W>) -> Result<(), String> {
        // The last piece is read in any case: what is said after it is wanted.
        let last = (context.len() - 1) / AT_ONCE;
        let first = (self.read.common_start(context) / AT_ONCE).min(last);
        (first..=last).try_for_each(|piece| self.read_piece(context, piece))
    }

    fn read_piece(&mut self, context: &Context<W>, piece: usize) -> Result<(), String> {
        let (from, to) = (piece * AT_ONCE, context.len().min((piece + 1) * AT_ONCE));
        self.read.truncate(from);
        let outputs = self.network.read_piece(from, &context.tokens[from..to], &context.conditions[from..to])?;
        self.outputs.clear();
        self.outputs.extend_from_slice(outputs);
        self.read.extend_from(context, to);
        self.firm = to;
        Ok(())
    }

    fn read_rest(&mut self, context: &Context<W>) -> Result<(), String> {
        for index in self.read.len()..context.len() {
            let outputs = self.network.read_one(index, context.tokens[index], &context.conditions[index])?;
            self.outputs.clear();
            self.outputs.extend_from_slice(outputs);
            self.read.extend_from(context, index + 1);
        }
        Ok(())
    }
}
