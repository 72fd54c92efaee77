//! Models in tract, which is built in: on the processor, everywhere. Runs on the inference thread.

use super::device::{Device, FoundDevice, Platform, Precision};
use super::session::{Dialect, Placement, Session, Values};
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use tract_onnx::model::ParseResult;
use tract_onnx::prelude::{Framework, InferenceModelExt, TValue, TVec, TractResult, TypedRunnableModel};
use tract_onnx::tract_core::model::IntoRunnable;

pub struct Tract;

impl Platform for Tract {
    fn devices(&self) -> Vec<FoundDevice> {
        vec![FoundDevice { device: Device::Cpu, name: std::env::consts::ARCH.into(), trouble: None }]
    }

    fn open(&self, device: Device, model: &[u8], _watched: bool) -> Result<Box<dyn Session>, String> {
        if device == Device::Cpu { open(model) } else { Err("tract computes on the CPU".into()) }
    }

    fn dialect(&self, _device: Device, _precision: Precision) -> Dialect {
        Dialect::Standard
    }
}

struct TractSession {
    plan: Arc<TypedRunnableModel>,
    /// In the order in which the plan wants and gives them.
    inputs: Vec<String>,
    outputs: Vec<String>,
}

/// Plans a model. A damaged graph is an error, also where tract panics at it.
///
/// # Errors
/// In words.
pub fn open(model: &[u8]) -> Result<Box<dyn Session>, String> {
    match catch_unwind(AssertUnwindSafe(|| TractSession::plan(model))) {
        Ok(Ok(session)) => Ok(Box::new(session)),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("its graph does not hold together".into()),
    }
}

impl TractSession {
    fn plan(mut model: &[u8]) -> TractResult<Self> {
        let onnx = tract_onnx::onnx();
        let proto = onnx.proto_model_for_read(&mut model)?;
        let graph = proto.graph.as_ref();
        let outputs = graph.map(|graph| graph.output.iter().map(|output| output.name.clone()).collect());
        let ParseResult { model, .. } = onnx.parse(&proto, None)?;
        let inputs = model.input_outlets()?.iter().map(|outlet| model.node(outlet.node).name.clone()).collect();
        let plan = model.into_optimized()?.into_runnable()?;
        Ok(Self { plan, inputs, outputs: outputs.unwrap_or_default() })
    }

    fn results(&self, inputs: &[(&str, &Values)]) -> TractResult<TVec<TValue>> {
        let given: HashMap<&str, &Values> = inputs.iter().copied().collect();
        let values = self.inputs.iter().map(|name| {
            let values = given.get(name.as_str()).map(|values| TValue::from_const((*values).clone()));
            values.ok_or_else(|| tract_onnx::prelude::TractError::msg(format!("it also wants `{name}`")))
        });
        self.plan.run(values.collect::<TractResult<_>>()?)
    }
}

impl Session for TractSession {
    fn run(&mut self, inputs: &[(&str, &Values)], take: &mut dyn FnMut(&str, &[f32])) -> Result<(), String> {
        let results = catch_unwind(AssertUnwindSafe(|| self.results(inputs)));
        let results = results.map_err(|_| "tract gave up".to_owned())?.map_err(|error| error.to_string())?;
        for (name, values) in self.outputs.iter().zip(&results) {
            let view = values.try_as_plain_ram().map_err(|error| error.to_string())?;
            take(name, view.as_slice::<f32>().map_err(|error| error.to_string())?);
        }
        Ok(())
    }

    fn placement(&mut self) -> Option<Placement> {
        None
    }
}
