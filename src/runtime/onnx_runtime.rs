//! Models in ONNX Runtime: its devices, and sessions on them. The library has been opened before. Runs
//! on the inference thread.

use super::device::{Device, FoundDevice, Planning, Platform, Precision};
use super::one_line;
use super::session::{Bound, Dialect, Keeping, Kept, KeptCaches, Placement, Session, Values};
use ort::environment::Environment;
use ort::ep::{self, ExecutionProvider, ExecutionProviderDispatch};
use ort::memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType};
use ort::session::builder::{AutoDevicePolicy, GraphOptimizationLevel, SessionBuilder};
use ort::session::{OutputSelector, RunOptions, SessionInputValue};
use ort::value::{Outlet, PrimitiveTensorElementType, Tensor, TensorRef};
use prost::Message;
use serde::Deserialize;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{
    GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorShapeProto, TypeProto, ValueInfoProto, type_proto,
};
use tract_onnx::prelude::{Datum, DatumType};
use tract_onnx::tract_core::tract_data::prelude::PlainView;

pub struct OnnxRuntime {
    environment: Environment,
    /// That share the work of a run on the processor.
    threads: usize,
}

impl OnnxRuntime {
    /// # Errors
    /// In words, when the library does not start.
    pub fn start(threads: usize) -> Result<Self, String> {
        let environment = ort::init().with_name("obbligato").with_telemetry(false).build();
        environment.map(|environment| Self { environment, threads }).map_err(|error| one_line(&error.to_string()))
    }

    /// What is known of a device without starting it. `None` where the library or the machine has none.
    fn find(&self, device: Device) -> Option<FoundDevice> {
        let provider = Provider::of(device)?;
        let hardware = self.environment.devices().find(|found| found.ep().is_ok_and(|ep| ep == provider.name));
        let listed = hardware.and_then(|found| {
            let hardware = found.hardware_device();
            // By this number, as `lspci` writes it, the maker's drivers know a device.
            Some(format!("{} {:04x}", hardware.vendor().ok()?, hardware.id()).trim().to_owned())
        });
        match listed {
            Some(name) => Some(FoundDevice { device, name, trouble: None }),
            // Libraries do not list the devices of all their providers; those are tried.
            None if (provider.offered)() => Some(FoundDevice { device, name: String::new(), trouble: None }),
            None => None,
        }
    }
}

impl Platform for OnnxRuntime {
    fn devices(&self) -> Vec<FoundDevice> {
        let cpu = FoundDevice { device: Device::Cpu, name: std::env::consts::ARCH.into(), trouble: None };
        let others = Device::ALL.into_iter().filter_map(|device| self.find(device)).map(|mut found| {
            found.trouble = self.open(found.device, &probe(), false).err();
            found
        });
        [cpu].into_iter().chain(others).collect()
    }

    fn read(&self, device: Device, model: &ModelProto, watched: bool) -> Result<Planning<'_>, String> {
        let model = model.encode_to_vec();
        Ok(Box::new(move || {
            let profile = watched.then(fresh_profile);
            let session = SessionBuilder::new(&self.environment)
                .and_then(|builder| on_device(builder, device, self.threads))
                .and_then(|builder| match &profile {
                    Some(path) => Ok(builder.with_profiling(path)?),
                    None => Ok(builder),
                })
                .and_then(|mut builder| builder.commit_from_memory(&model));
            let session = session.map_err(|error| one_line(&error.to_string()))?;
            Ok(Box::new(OnnxSession { session, device, watched, outputs: Vec::new() }))
        }))
    }

    fn dialect(&self, device: Device, precision: Precision) -> Dialect {
        match (device, precision) {
            (Device::Cpu, Precision::Fast) => Dialect::EightBits,
            (Device::Cpu, Precision::Full) => Dialect::InPlace,
            (Device::Cuda | Device::WebGpu, Precision::Fast) => Dialect::HalfOnDevice,
            (Device::Cuda | Device::WebGpu, Precision::Full) => Dialect::OnDevice,
            // Who compiles graphs knows plain ones best.
            (Device::TensorRt | Device::DirectMl | Device::CoreMl, _) => Dialect::Standard,
        }
    }
}

/// What stands for a device in ONNX Runtime.
struct Provider {
    device: Device,
    name: &'static str,
    /// Whether the library was built with it.
    offered: fn() -> bool,
    dispatch: fn() -> ExecutionProviderDispatch,
}

/// Those that this program was built with; the processor needs none.
const PROVIDERS: &[Provider] = &[
    #[cfg(feature = "cuda")]
    Provider::new::<ep::CUDA>(Device::Cuda),
    #[cfg(feature = "tensorrt")]
    Provider::new::<ep::NVRTX>(Device::TensorRt),
    #[cfg(feature = "directml")]
    Provider::new::<ep::DirectML>(Device::DirectMl),
    #[cfg(feature = "coreml")]
    Provider::new::<ep::CoreML>(Device::CoreMl),
    #[cfg(feature = "webgpu")]
    Provider::new::<ep::WebGPU>(Device::WebGpu),
];

impl Provider {
    // Nobody calls it where this program was built for the processor alone.
    #[allow(dead_code)]
    const fn new<E: ExecutionProvider + Default + Into<ExecutionProviderDispatch>>(device: Device) -> Self {
        let offered = || E::is_available().unwrap_or(false);
        Self { device, name: E::NAME, offered, dispatch: || E::default().into() }
    }

    fn of(device: Device) -> Option<&'static Self> {
        PROVIDERS.iter().find(|provider| provider.device == device)
    }
}

/// Without busy waiting between bars.
fn on_device(builder: SessionBuilder, device: Device, threads: usize) -> ort::Result<SessionBuilder> {
    let builder = builder
        .with_optimization_level(GraphOptimizationLevel::All)?
        .with_intra_threads(threads)?
        .with_intra_op_spinning(false)?;
    match Provider::of(device) {
        None if device != Device::Cpu => Err(ort::Error::new("this program was built without it")),
        // The processor is asked for by name: left alone, a library with more in it might choose something else.
        None => Ok(builder
            .with_auto_device(AutoDevicePolicy::PreferCPU)?
            .with_execution_providers([ep::CPU::default().with_arena_allocator(true).build()])?),
        Some(provider) => Ok(builder.with_execution_providers([(provider.dispatch)().error_on_failure()])?),
    }
}

struct OnnxSession {
    session: ort::session::Session,
    device: Device,
    watched: bool,
    /// What it says is written here, from the first run on: so no run needs new memory, of which the wrapper leaks a little
    /// for each output that ONNX Runtime makes anew.
    outputs: Vec<(String, Tensor<f32>)>,
}

impl OnnxSession {
    /// Room for all that it says, but not for what is `changed` in place. The sizes have to be known, as they are in all graphs
    /// that are planned here.
    fn room(&self, changed: impl Fn(&str) -> bool) -> ort::Result<Vec<(String, Tensor<f32>)>> {
        let zeros = |outlet: &Outlet| {
            let sizes = outlet.dtype().tensor_shape().into_iter().flat_map(|shape| shape.iter());
            let sizes: Result<Vec<usize>, _> = sizes.map(|size| usize::try_from(*size)).collect();
            let shape = sizes.map_err(|_| ort::Error::new(format!("the size of `{}` is open", outlet.name())))?;
            let zeros = vec![0.0_f32; shape.iter().product()];
            Ok((outlet.name().to_owned(), Tensor::from_array((shape, zeros))?))
        };
        self.session.outputs().iter().filter(|outlet| !changed(outlet.name())).map(zeros).collect()
    }
}

impl OnnxSession {
    /// Room in the device's memory; in the computer's where it has none of its own, or tells nobody.
    fn beside_the_weights(&self, shape: &[i64]) -> ort::Result<Tensor<f32>> {
        let names: &[AllocationDevice<'_>] = match self.device {
            Device::Cuda => &[AllocationDevice::CUDA],
            // It has been renamed.
            Device::WebGpu => &[AllocationDevice::WEBGPU_BUFFER, AllocationDevice::new("WebGPU_Buf\0")],
            Device::Cpu | Device::TensorRt | Device::DirectMl | Device::CoreMl => &[],
        };
        let room = |name: &AllocationDevice<'_>| {
            let place = MemoryInfo::new(*name, 0, AllocatorType::Device, MemoryType::Default)?;
            Tensor::new(&Allocator::new(&self.session, place)?, shape)
        };
        names.iter().find_map(|name| room(name).ok()).map_or_else(|| Tensor::new(&Allocator::default(), shape), Ok)
    }
}

impl Session for OnnxSession {
    fn run(&mut self, inputs: &[(&str, &Values)], take: &mut dyn FnMut(&str, &[f32])) -> Result<(), String> {
        self.run_keeping(inputs, &mut KeptCaches::default(), take)
    }

    fn run_keeping(
        &mut self,
        inputs: &[(&str, &Values)],
        caches: &mut KeptCaches,
        take: &mut dyn FnMut(&str, &[f32]),
    ) -> Result<(), String> {
        let said = |error: ort::Error| one_line(&error.to_string());
        let given = inputs.iter().map(|(name, values)| Ok((*name, view(values)?)));
        let mut given: Vec<(&str, SessionInputValue<'_>)> = given.collect::<Result<_, String>>()?;
        let mut room = OutputSelector::default();
        let Kept::Bound(caches) = &mut caches.0 else { return Err("it borrows no caches".into()) };
        for Bound { keeping, values, next, .. } in &mut *caches {
            if *keeping == Keeping::Anew && next.is_none() {
                *next = Some(self.beside_the_weights(values.shape()).map_err(said)?);
            }
        }
        for Bound { names: [read, written], values, next, .. } in &*caches {
            given.push((read, values.view().into_dyn().into()));
            room = room.preallocate(written, same(next.as_ref().unwrap_or(values))?);
        }
        if self.outputs.is_empty() {
            let changed = |name: &str| caches.iter().any(|bound| bound.names[1] == name);
            self.outputs = self.room(changed).map_err(said)?;
        }
        for (name, values) in &self.outputs {
            room = room.preallocate(name, same(values)?);
        }
        let options = RunOptions::new().map_err(said)?.with_outputs(room);
        self.session.run_with_options(given, &options).map_err(said)?;
        for Bound { values, next, .. } in caches {
            if let Some(now) = next.take() {
                let before = std::mem::replace(values, now);
                // The zeros at the beginning lie elsewhere.
                *next = (!before.memory_info().is_cpu_accessible()).then_some(before);
            }
        }
        self.outputs.iter().for_each(|(name, values)| take(name, values.extract_tensor().1));
        Ok(())
    }

    fn placement(&mut self) -> Option<Placement> {
        if !std::mem::take(&mut self.watched) {
            return None;
        }
        let path = PathBuf::from(self.session.end_profiling().ok()?);
        let profile = std::fs::read(&path);
        // A file of ours in the temporary folder: that it stays behind would be no harm.
        let _ = std::fs::remove_file(&path);
        let steps: Vec<Step> = serde_json::from_slice(&profile.ok()?).ok()?;
        Some(placement(&steps, Provider::of(self.device).map_or("CPUExecutionProvider", |provider| provider.name)))
    }
}

/// The same tensor once more, and no copy.
fn same(values: &Tensor<f32>) -> Result<Tensor<f32>, String> {
    values.view().try_upgrade().map_err(|_| "a tensor of ours is not ours".to_owned())
}

/// Without a copy.
fn view(values: &Values) -> Result<SessionInputValue<'_>, String> {
    let plain = values.try_as_plain_ram().map_err(|error| error.to_string())?;
    let shape = values.shape();
    let made = match values.datum_type() {
        DatumType::I64 => given::<i64>(shape, &plain),
        DatumType::I32 => given::<i32>(shape, &plain),
        _ => given::<f32>(shape, &plain),
    };
    made.map_err(|error| one_line(&error.to_string()))
}

fn given<'a, T: Datum + PrimitiveTensorElementType + fmt::Debug>(
    shape: &'a [usize],
    plain: &PlainView<'a>,
) -> ort::Result<SessionInputValue<'a>> {
    let numbers = plain.as_slice::<T>().map_err(|error| ort::Error::new(error.to_string()))?;
    TensorRef::from_array_view((shape, numbers)).map(SessionInputValue::from)
}

/// An event of ONNX Runtime's profile.
#[derive(Deserialize)]
struct Step {
    #[serde(default)]
    cat: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    args: Arguments,
}

#[derive(Deserialize, Default)]
struct Arguments {
    #[serde(default)]
    provider: String,
}

fn placement(steps: &[Step], provider: &str) -> Placement {
    let ran = steps.iter().filter(|step| step.cat == "Node" && step.name.ends_with("_kernel_time"));
    let (here, elsewhere): (Vec<&Step>, Vec<&Step>) = ran.partition(|step| step.args.provider == provider);
    Placement { on_device: here.len(), elsewhere: elsewhere.len() }
}

/// The beginning of a file name that no other session writes to.
fn fresh_profile() -> PathBuf {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(Path::new(&format!("obbligato-placement-{}-{number}", std::process::id())))
}

/// The smallest of models: does a device start?
fn probe() -> ModelProto {
    let value = |name: &str| ValueInfoProto { name: name.into(), ..one_number() };
    let add = NodeProto {
        op_type: "Add".into(),
        input: vec!["x".into(), "x".into()],
        output: vec!["y".into()],
        ..NodeProto::default()
    };
    let graph = GraphProto {
        name: "probe".into(),
        node: vec![add],
        input: vec![value("x")],
        output: vec![value("y")],
        ..GraphProto::default()
    };
    let opset_import = vec![OperatorSetIdProto { domain: String::new(), version: 17 }];
    ModelProto { ir_version: 8, graph: Some(graph), opset_import, ..ModelProto::default() }
}

fn one_number() -> ValueInfoProto {
    let size = Dimension { value: Some(dimension::Value::DimValue(1)), ..Dimension::default() };
    let shape = TensorShapeProto { dim: vec![size] };
    let tensor = type_proto::Tensor { elem_type: DataType::Float as i32, shape: Some(shape) };
    let kind = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() };
    ValueInfoProto { r#type: Some(kind), ..ValueInfoProto::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_counted_where_they_ran() {
        let profile = r#"[
            {"cat":"Session","name":"model_run","args":{}},
            {"cat":"Node","name":"a_kernel_time","args":{"op_name":"MatMul","provider":"WebGpuExecutionProvider"}},
            {"cat":"Node","name":"a_fence_before","args":{"op_name":"MatMul"}},
            {"cat":"Node","name":"b_kernel_time","args":{"op_name":"Cast","provider":"CPUExecutionProvider"}},
            {"cat":"Node","name":"c_kernel_time","args":{"op_name":"Add","provider":"WebGpuExecutionProvider"}}]"#;
        let steps: Vec<Step> = serde_json::from_str(profile).expect("as ONNX Runtime writes it");
        let found = placement(&steps, "WebGpuExecutionProvider");
        assert_eq!(found, Placement { on_device: 2, elsewhere: 1 });
        assert_eq!(placement(&steps, "CUDAExecutionProvider").share(), 0.0, "a silent fall-back is seen");
        assert_eq!(found.to_string(), "2 of 3 steps");
    }
}
