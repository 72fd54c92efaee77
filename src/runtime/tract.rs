//! Models in tract, which is built in: on the processor, everywhere. Called on the inference thread, and computes on threads of its
//! own.

mod operators;

use super::device::{Device, FoundDevice, Planning, Platform, Precision};
use super::session::{Dialect, Kept, KeptCaches, Lent, Placement, Session, Values};
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use tract_onnx::model::ParseResult;
use tract_onnx::pb::ModelProto;
use tract_onnx::prelude::{InferenceModelExt, IntoArcTensor, TValue, TractResult, TypedRunnableModel};
use tract_onnx::tract_core::model::IntoRunnable;
use tract_onnx::tract_hir::infer::InferenceModel;

pub struct Tract;

impl Platform for Tract {
    fn devices(&self) -> Vec<FoundDevice> {
        vec![FoundDevice { device: Device::Cpu, name: std::env::consts::ARCH.into(), trouble: None }]
    }

    fn read(&self, device: Device, model: &ModelProto, _watched: bool) -> Result<Planning<'_>, String> {
        if device != Device::Cpu {
            return Err("tract computes on the CPU".into());
        }
        let read = unbroken(|| Network::read(model))?;
        Ok(Box::new(|| {
            let session = unbroken(|| TractSession::plan(read))?;
            Ok(Box::new(session) as Box<dyn Session>)
        }))
    }

    fn dialect(&self, _device: Device, _precision: Precision) -> Dialect {
        Dialect::Lent
    }
}

/// A plan, and the thread that runs it. Its own: what a run needs on the way stays with the thread that ran, since the
/// allocator keeps room for each, and there are many instances' threads but few sessions.
struct TractSession {
    /// In the order in which the plan wants and gives them.
    inputs: Vec<String>,
    outputs: Vec<String>,
    /// `None` when it is to end.
    given: Option<SyncSender<Vec<Values>>>,
    results: Receiver<Result<Vec<Values>, String>>,
    thread: Option<JoinHandle<()>>,
}

/// A damaged graph is an error, also where tract panics at it.
///
/// # Errors
/// In words.
fn unbroken<T>(work: impl FnOnce() -> TractResult<T>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => done.map_err(|error| error.to_string()),
        Err(_) => Err("its graph does not hold together".into()),
    }
}

/// A model as it was read.
struct Network {
    model: InferenceModel,
    inputs: Vec<String>,
    outputs: Vec<String>,
}

impl Network {
    fn read(proto: &ModelProto) -> TractResult<Self> {
        let graph = proto.graph.as_ref();
        let outputs = graph.map(|graph| graph.output.iter().map(|output| output.name.clone()).collect());
        let ParseResult { model, .. } = operators::onnx().parse(proto, None)?;
        let inputs = model.input_outlets()?.iter().map(|outlet| model.node(outlet.node).name.clone()).collect();
        Ok(Self { model, inputs, outputs: outputs.unwrap_or_default() })
    }
}

impl TractSession {
    fn plan(Network { model, inputs, outputs }: Network) -> TractResult<Self> {
        let plan = model.into_optimized()?.into_runnable()?;
        let (given, to_run) = sync_channel::<Vec<Values>>(1);
        let (said, results) = sync_channel(1);
        let thread = thread::Builder::new().name("tract".into()).spawn(move || {
            while let Ok(values) = to_run.recv() {
                let ran = catch_unwind(AssertUnwindSafe(|| run(&plan, values)));
                let ran =
                    ran.map_err(|_| "tract gave up".to_owned()).and_then(|ran| ran.map_err(|error| error.to_string()));
                if said.send(ran).is_err() {
                    return;
                }
            }
        })?;
        let (given, thread) = (Some(given), Some(thread));
        Ok(Self { inputs, outputs, given, results, thread })
    }

    fn results(&self, values: Vec<Values>) -> Result<Vec<Values>, String> {
        let sent = self.given.as_ref().is_some_and(|given| given.send(values).is_ok());
        let results = if sent { self.results.recv().ok() } else { None };
        results.unwrap_or_else(|| Err("its thread has ended".into()))
    }
}

fn run(plan: &Arc<TypedRunnableModel>, values: Vec<Values>) -> TractResult<Vec<Values>> {
    let results = plan.run(values.into_iter().map(TValue::from_const).collect())?;
    Ok(results.into_iter().map(TValue::into_arc_tensor).collect())
}

/// No thread of a plugin outlives it.
impl Drop for TractSession {
    fn drop(&mut self) {
        self.given = None;
        self.thread.take().into_iter().for_each(|thread| drop(thread.join()));
    }
}

impl Session for TractSession {
    fn run(&mut self, inputs: &[(&str, &Values)], take: &mut dyn FnMut(&str, &[f32])) -> Result<(), String> {
        self.run_keeping(inputs, &mut KeptCaches(Kept::Lent(Vec::new())), take)
    }

    fn run_keeping(
        &mut self,
        inputs: &[(&str, &Values)],
        caches: &mut KeptCaches,
        take: &mut dyn FnMut(&str, &[f32]),
    ) -> Result<(), String> {
        let Kept::Lent(caches) = &mut caches.0 else { return Err("it keeps no caches".into()) };
        let mut given: HashMap<&str, Values> = inputs.iter().map(|(name, values)| (*name, (*values).clone())).collect();
        // They are nobody else's while it runs, or it would have to copy them.
        given.extend(caches.iter_mut().map(|Lent { names, values, .. }| (names[0].as_str(), std::mem::take(values))));
        let wanted = self.inputs.iter().map(|name| {
            let values = given.remove(name.as_str());
            values.ok_or_else(|| format!("it also wants `{name}`"))
        });
        let results = match wanted.collect::<Result<_, _>>().and_then(|wanted| self.results(wanted)) {
            Ok(results) => results,
            Err(reason) => {
                // Whoever reads begins anew.
                caches.iter_mut().try_for_each(Lent::forget)?;
                return Err(reason);
            }
        };
        for (name, values) in self.outputs.iter().zip(results) {
            match caches.iter_mut().find(|lent| lent.names[1] == *name) {
                Some(lent) => lent.values = values,
                None => {
                    let view = values.try_as_plain_ram().map_err(|error| error.to_string())?;
                    take(name, view.as_slice::<f32>().map_err(|error| error.to_string())?);
                }
            }
        }
        Ok(())
    }

    fn placement(&mut self) -> Option<Placement> {
        None
    }
}
