//! A model on a device, ready to run: all that the rest of the program knows of a backend.

use std::fmt;
use std::sync::Arc;
use tract_onnx::prelude::Tensor;

/// What goes into a session: shared, so that no run has to copy it. Tract's own type, since tract takes no other without a
/// copy, and ONNX Runtime takes any.
pub type Values = Arc<Tensor>;

/// A model on a device, ready to run.
pub trait Session: Send {
    /// Runs the network on what its inputs are called and hold; `take` is shown each output by name.
    ///
    /// # Errors
    /// In words, when the device fails.
    fn run(&mut self, inputs: &[(&str, &Values)], take: &mut dyn FnMut(&str, &[f32])) -> Result<(), String>;

    /// Where the steps of the runs so far were computed. Known once, and only of a session that was opened to be watched.
    fn placement(&mut self) -> Option<Placement>;
}

/// Whose operators a graph may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// ONNX alone.
    Standard,
    /// With what ONNX Runtime knows beyond it, in single precision.
    OnnxRuntime,
    /// The same with large matrices in eight bits: for processors.
    EightBits,
}

/// How many steps of a model ran on the device that was asked for, and how many elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement {
    pub on_device: usize,
    pub elsewhere: usize,
}

impl Placement {
    /// 0..=1; 0 where nothing ran.
    pub fn share(self) -> f32 {
        self.on_device as f32 / (self.on_device + self.elsewhere).max(1) as f32
    }
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} steps", self.on_device, self.on_device + self.elsewhere)
    }
}
