//! Devices that can compute models, and who knows which there are. Asked on the inference thread or at a shell.

use super::session::{Dialect, Session};
use serde::{Deserialize, Serialize};
use std::fmt;
use tract_onnx::pb::ModelProto;

/// Where models are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Device {
    #[default]
    Cpu,
    Cuda,
    TensorRt,
    DirectMl,
    CoreMl,
    WebGpu,
}

/// What the user wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum DeviceChoice {
    /// The one that was measured to be the fastest; the processor until something was measured.
    #[default]
    Auto,
    One(Device),
}

/// A device that the library of this process offers and this machine may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundDevice {
    pub device: Device,
    /// As its maker calls it, where that is known.
    pub name: String,
    /// Why it cannot be used after all.
    pub trouble: Option<String>,
}

/// Plans a model that was read: most of the time that loading takes, on whichever thread. Says in words when the device does not start.
pub type Planning<'a> = Box<dyn FnOnce() -> Result<Box<dyn Session>, String> + Send + 'a>;

/// What computes models in a process: a library and the devices it knows. A made-up one in tests.
pub trait Platform: Send + Sync {
    /// The processor first. May take a second, so it is asked once.
    fn devices(&self) -> Vec<FoundDevice>;

    /// Reads a model for one of these devices. One that is `watched` runs slower until its
    /// [`placement`](Session::placement) has been asked for.
    ///
    /// # Errors
    /// In words: when the device cannot read the model.
    fn read(&self, device: Device, model: &ModelProto, watched: bool) -> Result<Planning<'_>, String>;

    /// The same, planned here and now.
    ///
    /// # Errors
    /// In words: when the device does not start, or cannot read the model.
    fn open(&self, device: Device, model: &ModelProto, watched: bool) -> Result<Box<dyn Session>, String> {
        self.read(device, model, watched)?()
    }

    /// What a graph may hold that is computed exactly, or as fast as the device can without being heard.
    fn dialect(&self, device: Device, precision: Precision) -> Dialect;
}

/// How exactly a model is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Precision {
    /// As few bits as cost nothing that can be heard.
    #[default]
    Fast,
    /// As the file says: for comparisons.
    Full,
}

impl Device {
    pub const ALL: [Self; 6] = [Self::Cpu, Self::Cuda, Self::TensorRt, Self::DirectMl, Self::CoreMl, Self::WebGpu];

    /// As it is saved and typed.
    pub fn id(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::TensorRt => "tensorrt",
            Self::DirectMl => "directml",
            Self::CoreMl => "coreml",
            Self::WebGpu => "webgpu",
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "CPU",
            Self::Cuda => "CUDA",
            Self::TensorRt => "TensorRT",
            Self::DirectMl => "DirectML",
            Self::CoreMl => "CoreML",
            Self::WebGpu => "WebGPU",
        }
    }

    pub fn from_id(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|device| device.id().eq_ignore_ascii_case(id.trim()))
    }
}

impl DeviceChoice {
    /// As it is saved and typed: `auto`, or a device's. What is not known is automatic.
    pub fn from_id(id: &str) -> Self {
        Device::from_id(id).map_or(Self::Auto, Self::One)
    }

    pub fn id(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::One(device) => device.id(),
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("Fastest device"),
            Self::One(device) => device.fmt(f),
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
