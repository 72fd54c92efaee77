//! A model on a device, ready to run: all that the rest of the program knows of a backend. Runs on the
//! inference thread.

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

    /// The same for a network that keeps its caches itself.
    ///
    /// # Errors
    /// As above, and where a backend cannot.
    fn run_keeping(
        &mut self,
        _inputs: &[(&str, &Values)],
        _caches: &mut KeptCaches,
        _take: &mut dyn FnMut(&str, &[f32]),
    ) -> Result<(), String> {
        Err("it keeps no caches".into())
    }

    /// Where the steps of the runs so far were computed. Known once, and only of a session that was opened to be watched.
    fn placement(&mut self) -> Option<Placement>;
}

/// How a network keeps its caches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeping {
    /// It changes them where they lie.
    InPlace,
    /// They are lent to it for a run; it changes them where they lie and gives them back.
    Lent,
    /// It says them anew, whole: into the memory of its device, from where the next run takes them.
    Anew,
}

/// Tensors that a network reads and changes. They outlive sessions, and any session of a model on one device takes them.
pub struct KeptCaches(pub(super) Kept);

pub(super) enum Kept {
    Lent(Vec<Lent>),
    /// In place or anew.
    Bound(Vec<Bound>),
}

/// A cache in the computer's memory.
pub(super) struct Lent {
    /// As an input, and as an output.
    pub(super) names: [String; 2],
    pub(super) values: Values,
    pub(super) shape: Vec<usize>,
}

impl Lent {
    fn zeros(names: [String; 2], shape: Vec<usize>) -> Result<Self, String> {
        let values = Tensor::zero::<f32>(&shape).map_err(|error| super::one_line(&error.to_string()))?;
        Ok(Self { names, values: Arc::new(values), shape })
    }

    /// After a run that failed, in which it was lost.
    pub(super) fn forget(&mut self) -> Result<(), String> {
        self.values = Self::zeros(Default::default(), self.shape.clone())?.values;
        Ok(())
    }
}

/// A cache where ONNX Runtime has it.
pub(super) struct Bound {
    pub(super) keeping: Keeping,
    /// As an input, and as an output.
    pub(super) names: [String; 2],
    pub(super) values: ort::value::Tensor<f32>,
    /// Where the next run writes what is said anew.
    pub(super) next: Option<ort::value::Tensor<f32>>,
}

/// None.
impl Default for KeptCaches {
    fn default() -> Self {
        Self(Kept::Bound(Vec::new()))
    }
}

impl KeptCaches {
    /// All zero. `names` are those of inputs and of the outputs that they become.
    ///
    /// # Errors
    /// In words, when there is no room.
    pub fn zeros(
        keeping: Keeping,
        names: impl IntoIterator<Item = [String; 2]>,
        shape: &[usize],
    ) -> Result<Self, String> {
        if keeping == Keeping::Lent {
            let lent = |names| Lent::zeros(names, shape.to_vec());
            return names.into_iter().map(lent).collect::<Result<_, _>>().map(|lent| Self(Kept::Lent(lent)));
        }
        let zeros = || ort::value::Tensor::from_array((shape, vec![0.0_f32; shape.iter().product()]));
        let bound = |names| {
            let values = zeros().map_err(|error| super::one_line(&error.to_string()))?;
            Ok(Bound { keeping, names, values, next: None })
        };
        names.into_iter().map(bound).collect::<Result<_, _>>().map(|bound| Self(Kept::Bound(bound)))
    }
}

#[cfg(test)]
impl KeptCaches {
    /// Where those lie that are lent.
    pub fn places(&self) -> Vec<usize> {
        match &self.0 {
            Kept::Lent(lent) => lent.iter().map(|lent| lent.values.as_bytes().as_ptr().addr()).collect(),
            Kept::Bound(_) => Vec::new(),
        }
    }
}

/// Whose operators a graph may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// ONNX alone.
    Standard,
    /// With what ONNX Runtime knows beyond it, in single precision, and caches that are [said anew](Keeping::Anew): for
    /// devices with memory of their own.
    OnDevice,
    /// The same with products in half precision.
    HalfOnDevice,
    /// Single precision with caches that are [changed in place](Keeping::InPlace): for processors.
    InPlace,
    /// That with large matrices in eight bits.
    EightBits,
    /// Single precision with caches that are [lent](Keeping::Lent): for tract with operators of our own.
    Lent,
}

impl Dialect {
    /// What numbers most of a model is computed in, in words.
    pub fn numbers(self) -> &'static str {
        match self {
            Self::Standard | Self::OnDevice | Self::InPlace | Self::Lent => "single precision",
            Self::HalfOnDevice => "half precision",
            Self::EightBits => "eight bits",
        }
    }
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
