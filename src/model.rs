//! A loaded model: what `docs/encoding.md` calls the graph. Runs on the inference thread.
//!
//! A model is shared by all instances that compute it on the same device; each has its own [`Memory`].
//! Several may compute at once, each in a session of its own for that moment: backends do not let two threads share one.

mod audition;
mod audition_thread;
mod comparison;
mod file;
mod graph;
mod installed;
mod measured;
mod memory;
mod pool;
mod rolls;

pub use audition::{Audition, Trial, fastest};
pub use audition_thread::{AuditionThread, Finished, Progress};
pub use file::FileError;
pub use installed::{
    About, InstalledModel, Kind, ModelSource, drummer, enhancers, extenders, find_enhancer, find_extender, find_model,
    hold_model, installed_models, open_model, open_roll_model,
};
pub use measured::{fastest_known, recall, remember};
pub use memory::Memory;
pub use rolls::RollModel;

use crate::contract::{AT_ONCE, Contract, Controls, Engine};
use crate::runtime::{Backend, Device, Dialect, Keeping, Placement, Runtime, RuntimeError, Session, Target};
use crate::user_folder::models_folder;
use file::ModelFile;
use memory::Listener;
use pool::Pool;
use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// The models inside the plugin.
static EMBEDDED: &[u8] = include_bytes!("../models/weights/accompanist.onnx");
static EMBEDDED_DRUMMER: &[u8] = include_bytes!("../models/weights/drums.onnx");

/// Models that a build can do without; `build.rs` looks which are there.
#[cfg(has_gan)]
static EMBEDDED_GAN: Option<&[u8]> = Some(include_bytes!("../models/weights/gan.onnx"));
#[cfg(not(has_gan))]
static EMBEDDED_GAN: Option<&[u8]> = None;
#[cfg(has_unet)]
static EMBEDDED_UNET: Option<&[u8]> = Some(include_bytes!("../models/weights/unet.onnx"));
#[cfg(not(has_unet))]
static EMBEDDED_UNET: Option<&[u8]> = None;
#[cfg(has_enhancer)]
static EMBEDDED_ENHANCER: Option<&[u8]> = Some(include_bytes!("../models/weights/enhancer.onnx"));
#[cfg(not(has_enhancer))]
static EMBEDDED_ENHANCER: Option<&[u8]> = None;
#[cfg(has_extender)]
static EMBEDDED_EXTENDER: Option<&[u8]> = Some(include_bytes!("../models/weights/extender.onnx"));
#[cfg(not(has_extender))]
static EMBEDDED_EXTENDER: Option<&[u8]> = None;

#[derive(Debug, Clone, thiserror::Error)]
pub enum ModelError {
    #[error("there is no model `{name}`; there are {installed}")]
    Unknown { name: String, installed: String },
    #[error("there is no {kind} here; put its file (.onnx) into {folder}, or name one")]
    NoneOfItsKind { kind: &'static str, folder: String },
    #[error("model `{}` cannot be read: {reason}", .path.display())]
    Unreadable { path: PathBuf, reason: String },
    #[error("model `{name}` {error}")]
    File { name: String, error: FileError },
    #[error("model `{name}` cannot be played: {error}")]
    Runtime { name: String, error: RuntimeError },
    #[error("model `{name}` failed: {reason}")]
    Run { name: String, reason: String },
    #[error("model `{name}` was placed on {device}, but only {placement} run there")]
    Elsewhere { name: String, device: Device, placement: Placement },
}

impl ModelError {
    /// For the window: sentences that say what to do there.
    pub fn in_words(&self) -> String {
        const CHOOSE: &str = "Choose another";
        match self {
            Self::Unknown { name, .. } => {
                let folder = models_folder()
                    .map_or_else(String::new, |folder| format!(", or put its file into {}", folder.display()));
                format!("The model “{name}” is not here. {CHOOSE}{folder}.")
            }
            Self::NoneOfItsKind { kind, folder } => {
                format!("There is no {kind} here. Put its file (.onnx) into {folder}.")
            }
            Self::Unreadable { path, reason } => {
                format!(
                    "The model file {} cannot be read ({reason}). {CHOOSE}, or copy the file there again.",
                    path.display()
                )
            }
            Self::File { name, error } => format!("The model “{name}” {error}. {CHOOSE}."),
            Self::Runtime { name, error } => {
                format!("The model “{name}” cannot be played ({error}). {CHOOSE}, or another device.")
            }
            Self::Run { name, reason } => format!("The model “{name}” failed ({reason}). {CHOOSE}, or another device."),
            Self::Elsewhere { name, device, placement } => format!(
                "The model “{name}” was placed on {device}, but only {placement} run there. {CHOOSE}, or another device."
            ),
        }
    }
}

/// Where a network finds what it has read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caches {
    /// It is told, says what is new, and the new is written there for it.
    Told,
    /// It keeps them itself.
    Kept(Keeping),
}

/// How many tokens a run reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Run {
    One,
    /// Up to [`AT_ONCE`]; costs the same for fewer.
    Piece,
}

/// A model in the backend, ready to run.
pub struct Model<E = Controls> {
    contract: Contract<E>,
    source: SessionSource,
    one: Pool<Box<dyn Session>>,
    piece: Pool<Box<dyn Session>>,
    caches: Caches,
    /// Where its steps were seen to run; not asked of the processor.
    placement: Option<Placement>,
    /// How many there are of each.
    sessions: AtomicUsize,
    listeners: Arc<AtomicUsize>,
}

/// What sessions are made from.
#[derive(Clone)]
struct SessionSource {
    /// The file's, for errors.
    name: String,
    bytes: Cow<'static, [u8]>,
    runtime: &'static Runtime,
    target: Target,
    dialect: Dialect,
}

/// One for each that may compute at the same time, and no more than there are cores; each holds the weights once more.
fn most_sessions(backend: &Backend, device: Device) -> usize {
    // Beyond this, memory is worth more than time.
    let most = match backend {
        Backend::OnnxRuntime { .. } => 4,
        // It unpacks the weights for itself, once for runs of one token and once for those of a piece.
        Backend::Tract => 2,
    };
    match device {
        Device::Cpu => thread::available_parallelism().map_or(1, usize::from).min(most),
        // It computes one thing after the other in any case.
        Device::Cuda | Device::TensorRt | Device::DirectMl | Device::CoreMl | Device::WebGpu => 1,
    }
}

/// That a model is computed where it was placed: some providers fall back silently.
///
/// # Errors
/// When most steps were seen to run elsewhere.
fn verify(name: &str, device: Device, placement: Option<Placement>) -> Result<(), ModelError> {
    /// Of the steps. What has to do with shapes and positions stays on the processor by design.
    const LEAST_SHARE: f32 = 0.5;
    match placement.filter(|placement| placement.share() < LEAST_SHARE) {
        Some(placement) if device != Device::Cpu => {
            Err(ModelError::Elsewhere { name: name.to_owned(), device, placement })
        }
        Some(_) | None => Ok(()),
    }
}

impl<E: Engine> Model<E> {
    /// `name` is the file's, for errors. Takes longer on a device that compiles what it runs.
    ///
    /// # Errors
    /// When the file is damaged, for another version, or not for this device.
    pub fn load(
        name: &str,
        bytes: Cow<'static, [u8]>,
        runtime: &'static Runtime,
        target: Target,
    ) -> Result<Self, ModelError> {
        let dialect = runtime.dialect(target);
        let source = SessionSource { name: name.to_owned(), bytes, runtime, target, dialect };
        // Half precision is an extra of graphics processors that some do not have.
        let single =
            (dialect == Dialect::HalfOnDevice).then(|| SessionSource { dialect: Dialect::OnDevice, ..source.clone() });
        match (Self::ready(source), single) {
            (Err(_), Some(single)) => Self::ready(single),
            (loaded, _) => loaded,
        }
    }

    fn ready(source: SessionSource) -> Result<Self, ModelError> {
        let mut model = Self::open(source)?;
        model.warm_up()?;
        Ok(model)
    }

    fn open(source: SessionSource) -> Result<Self, ModelError> {
        let (contract, caches, [one, piece]) = source.sessions::<E>(source.target.device != Device::Cpu)?;
        Ok(Self {
            contract,
            caches,
            source,
            one: Pool::of(one),
            piece: Pool::of(piece),
            placement: None,
            sessions: AtomicUsize::new(1),
            listeners: Arc::default(),
        })
    }

    /// The first run of each session is the slowest, and says where it ran.
    fn warm_up(&mut self) -> Result<(), ModelError> {
        let mut memory = self.memory()?;
        for run in [Run::Piece, Run::One] {
            memory.prepare(0, &[0], &vec![0.0; E::CONDITIONS], run.length());
            let done = self.run(&mut self.sessions_for(run).lend(), &mut memory, 0, 1, run.length());
            done.map_err(|reason| self.failed(&reason))?;
        }
        self.placement = self.one.lend().placement();
        verify(&self.source.name, self.source.target.device, self.placement)
    }

    /// How many may compute at the same time.
    pub fn sessions(&self) -> usize {
        self.sessions.load(Ordering::Relaxed)
    }

    pub fn device(&self) -> Device {
        self.source.target.device
    }

    /// What numbers most of it is computed in, in words.
    pub fn numbers(&self) -> &'static str {
        self.source.dialect.numbers()
    }

    /// Where its steps were seen to run.
    pub fn placement(&self) -> Option<Placement> {
        self.placement
    }

    /// Another session for another listener, as long as it could make things faster.
    fn make_room(&self) {
        let wanted =
            self.listeners.load(Ordering::Relaxed).min(most_sessions(self.source.runtime.backend(), self.device()));
        let add = |made| (made < wanted).then_some(made + 1);
        if self.sessions.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_err() {
            return;
        }
        match self.source.sessions::<E>(false) {
            Ok((_, _, [one, piece])) => {
                self.one.add(one);
                self.piece.add(piece);
            }
            // There is one at least; without another, this costs time and nothing else.
            Err(_) => {
                self.sessions.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    pub fn contract(&self) -> &Contract<E> {
        &self.contract
    }

    /// An empty memory for one listener. Takes as long as loading where this makes another session.
    ///
    /// # Errors
    /// When there is no room for it.
    pub fn memory(&self) -> Result<Memory, ModelError> {
        let listener = Listener::of(&self.listeners);
        let memory = Memory::empty(&self.contract, self.caches, listener).map_err(|reason| self.failed(&reason))?;
        self.make_room();
        Ok(memory)
    }

    /// Reads tokens that follow the first `past` of what is remembered, and forgets what was there from that place on.
    /// Returns the [`Engine::OUTPUTS`] after the last one, joined.
    ///
    /// What a [`Run::Piece`] adds to the memory depends on the tokens before it and on its own tokens alone, to the last bit; a
    /// [`Run::One`] may round otherwise.
    ///
    /// # Errors
    /// When there are more tokens than the run or the window holds, or the backend fails.
    pub fn read<'m, const W: usize>(
        &self,
        memory: &'m mut Memory,
        run: Run,
        past: usize,
        tokens: &[u16],
        conditions: &[[f32; W]],
    ) -> Result<&'m [f32], ModelError> {
        if W != E::CONDITIONS {
            return Err(self.failed(&format!("it was given {W} conditions instead of {}", E::CONDITIONS)));
        }
        self.read_plain(memory, run, past, tokens, conditions.as_flattened())
    }

    /// The same with conditions one after the other.
    fn read_plain<'m>(
        &self,
        memory: &'m mut Memory,
        run: Run,
        past: usize,
        tokens: &[u16],
        conditions: &[f32],
    ) -> Result<&'m [f32], ModelError> {
        let length = run.length();
        let fits = (1..=length).contains(&tokens.len()) && tokens.len() * E::CONDITIONS == conditions.len();
        if !fits || past + tokens.len() > self.contract.window {
            return Err(self.failed(&format!("{} tokens after {past} do not fit its window", tokens.len())));
        }
        memory.prepare(past, tokens, conditions, length);
        let done = self.run(&mut self.sessions_for(run).lend(), memory, past, tokens.len(), length);
        done.map_err(|error| self.failed(&error))?;
        Ok(&memory.outputs)
    }

    fn sessions_for(&self, run: Run) -> &Pool<Box<dyn Session>> {
        match run {
            Run::One => &self.one,
            Run::Piece => &self.piece,
        }
    }

    fn run(
        &self,
        session: &mut Box<dyn Session>,
        memory: &mut Memory,
        past: usize,
        tokens: usize,
        length: usize,
    ) -> Result<(), String> {
        let mut outputs = std::mem::take(&mut memory.outputs);
        outputs.clear();
        outputs.resize(E::OUTPUTS.iter().map(|(_, size)| size).sum(), f32::NAN);
        let mut wrong = None;
        let mut take = |name: &str, numbers: &[f32]| {
            let mut at = 0;
            for (output, size) in E::OUTPUTS {
                if *output == name && numbers.len() == length * size {
                    let last = (tokens - 1) * size;
                    outputs[at..at + size].copy_from_slice(&numbers[last..last + size]);
                } else if *output == name {
                    wrong = Some(format!("`{name}` has {} numbers instead of {}", numbers.len(), length * size));
                }
                at += size;
            }
        };
        let done = memory.run(session, past, tokens, length, &mut take);
        memory.outputs = outputs;
        done.and(wrong.map_or(Ok(()), Err))
    }

    fn failed(&self, reason: &impl ToString) -> ModelError {
        ModelError::Run { name: self.source.name.clone(), reason: reason.to_string() }
    }
}

/// For runs of one token and of a piece.
type Sessions = [Box<dyn Session>; 2];

impl SessionSource {
    /// For runs of one token, which may be watched, and of a piece.
    fn sessions<E: Engine>(&self, watched: bool) -> Result<(Contract<E>, Caches, Sessions), ModelError> {
        let file = ModelFile::<E>::read(&self.bytes).map_err(|error| ModelError::file(&self.name, error));
        let mut file = file?;
        let caches = file.lighten(self.dialect);
        let failed = |error| ModelError::Runtime { name: self.name.clone(), error };
        let mut read = |tokens, watched| self.runtime.read(self.target.device, file.with_length(tokens), watched);
        let one = read(1, watched).map_err(failed)?;
        let (one, piece) = thread::scope(|scope| {
            let one = scope.spawn(one);
            let piece = read(AT_ONCE, false).and_then(|plan| plan());
            (one.join(), piece)
        });
        let one = one.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Ok((file.contract, caches, [one.map_err(failed)?, piece.map_err(failed)?]))
    }
}

impl Run {
    fn length(self) -> usize {
        match self {
            Self::One => 1,
            Self::Piece => AT_ONCE,
        }
    }
}

impl ModelError {
    fn file(name: &str, error: FileError) -> Self {
        Self::File { name: name.to_owned(), error }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksums;
    use crate::runtime::{FoundDevice, Planning, Platform, Precision, RuntimeChoice, Tract};
    use prost::Message;
    use tract_onnx::pb::{ModelProto, NodeProto};

    #[test]
    fn what_is_wrong_with_a_model_is_told_with_what_to_do() {
        let name = || "Bossa nova".to_owned();
        let errors = [
            ModelError::Unknown { name: name(), installed: "Accompanist, Accompanist".into() },
            ModelError::NoneOfItsKind { kind: "enhancer", folder: "/models".into() },
            ModelError::Unreadable { path: "/models/a.onnx".into(), reason: "no right to".into() },
            ModelError::File { name: name(), error: FileError::Empty },
            ModelError::Runtime {
                name: name(),
                error: RuntimeError::Start { backend: "tract".into(), reason: "no room".into() },
            },
            ModelError::Run { name: name(), reason: "no room".into() },
        ];
        for words in errors.map(|error| error.in_words()) {
            assert!(words.ends_with('.') && words.starts_with(char::is_uppercase), "{words}");
            assert!(words.contains("Choose another") || words.contains("Put its file"), "{words}");
            assert!(!words.contains('`'), "{words}");
        }
    }

    /// `None` where these tests run with tract, which knows none of its operators.
    fn onnx_runtime() -> Option<&'static Runtime> {
        let runtime = Runtime::get(&RuntimeChoice::from_environment());
        if *runtime.backend() == Backend::Tract {
            eprintln!("skipped: it takes ONNX Runtime's library ({})", crate::runtime::LIBRARY_VARIABLE);
            return None;
        }
        Some(runtime)
    }

    fn tract() -> &'static Runtime {
        Box::leak(Box::new(Runtime::with_platform(Box::new(Tract))))
    }

    /// On the processor, whatever dialect that is.
    fn open(runtime: &'static Runtime, dialect: Dialect) -> Model {
        Model::ready(source(runtime, dialect)).expect("it is ours")
    }

    fn source(runtime: &'static Runtime, dialect: Dialect) -> SessionSource {
        let target = Target { device: Device::Cpu, precision: Precision::Full };
        SessionSource { name: "ours".into(), bytes: Cow::Borrowed(EMBEDDED), runtime, target, dialect }
    }

    /// ONNX Runtime's processor has no such product and takes the casts out again; so this is about the graph, and how far
    /// half precision is from single is tested with tract.
    #[test]
    fn a_graph_in_half_precision_is_the_same_network() {
        let Some(runtime) = onnx_runtime() else { return };
        let [single, half] = [Dialect::OnDevice, Dialect::HalfOnDevice].map(|dialect| open(runtime, dialect));
        assert_eq!((single.numbers(), half.numbers()), ("single precision", "half precision"));
        let apart = half.furthest_from(&single).expect("both compute");
        assert!(apart < 0.01, "{apart}");
    }

    /// A graphics processor that cannot multiply in half precision; what it can, ONNX Runtime computes on the processor.
    struct WithoutHalf(&'static Runtime);

    impl Platform for WithoutHalf {
        fn devices(&self) -> Vec<FoundDevice> {
            Vec::new()
        }

        fn read(&self, _device: Device, model: &ModelProto, _watched: bool) -> Result<Planning<'_>, String> {
            let nodes = model.graph.iter().flat_map(|graph| &graph.node);
            if nodes.into_iter().any(|node| node.output.iter().any(|output| output.ends_with(" in half"))) {
                return Err("the shader wants f16".into());
            }
            let plan = self.0.read(Device::Cpu, model, false).map_err(|error| error.to_string())?;
            Ok(Box::new(|| plan().map_err(|error| error.to_string())))
        }

        fn dialect(&self, _device: Device, _precision: Precision) -> Dialect {
            Dialect::HalfOnDevice
        }
    }

    #[test]
    fn a_device_without_half_precision_computes_in_single() {
        let Some(onnx_runtime) = onnx_runtime() else { return };
        let runtime = Box::leak(Box::new(Runtime::with_platform(Box::new(WithoutHalf(onnx_runtime)))));
        let target = Target { device: Device::WebGpu, precision: Precision::Fast };
        let model = Model::<Controls>::load("ours", Cow::Borrowed(EMBEDDED), runtime, target).expect("it can");
        assert_eq!((model.device(), model.numbers()), (Device::WebGpu, "single precision"));
    }

    /// The list beside the weights is written by the exporters.
    #[test]
    fn the_built_in_models_are_those_that_were_exported() {
        let listed = include_str!("../models/weights/SHA256SUMS");
        let models = [
            ("accompanist", Some(EMBEDDED)),
            ("drums", Some(EMBEDDED_DRUMMER)),
            ("gan", EMBEDDED_GAN),
            ("unet", EMBEDDED_UNET),
            ("enhancer", EMBEDDED_ENHANCER),
            ("extender", EMBEDDED_EXTENDER),
        ];
        for (name, bytes) in models.iter().filter_map(|(name, bytes)| Some((name, (*bytes)?))) {
            let line = checksums::line(&checksums::of_bytes(bytes), &format!("{name}.onnx"));
            assert!(listed.contains(&line), "{name}.onnx is damaged, or SHA256SUMS is older than it: {line}");
        }
    }

    /// A device keeps its caches otherwise than the processor; ONNX Runtime can do it that way on the processor too.
    #[test]
    fn a_cache_that_is_said_anew_is_read_like_one_that_is_told() {
        let Some(runtime) = onnx_runtime() else { return };
        let models = [Dialect::Standard, Dialect::OnDevice, Dialect::InPlace].map(|dialect| open(runtime, dialect));
        assert_eq!(models[1].caches, Caches::Kept(Keeping::Anew));
        assert_read_alike(&models);
    }

    #[test]
    fn a_cache_that_is_lent_is_read_like_one_that_is_told_and_stays_where_it_lies() {
        let models = [Dialect::Standard, Dialect::Lent].map(|dialect| open(tract(), dialect));
        assert_eq!(models[1].caches, Caches::Kept(Keeping::Lent));
        let mut memories = assert_read_alike(&models);
        let places = memories[1].lent_places();
        assert_eq!(places.len(), 2 * models[1].contract.layers);
        for run in [Run::Piece, Run::One] {
            let read = models[1].read_plain(&mut memories[1], run, 80, &[5], &[0.3; Controls::CONDITIONS]);
            assert!(read.is_ok());
            assert_eq!(memories[1].lent_places(), places, "nothing is copied");
        }
    }

    #[test]
    fn after_a_run_that_failed_a_cache_that_was_lent_is_as_new() {
        let model = open(tract(), Dialect::Lent);
        let mut memory = model.memory().expect("there is room");
        let conditions = [0.3; Controls::CONDITIONS];
        let read = |memory: &mut Memory| model.read_plain(memory, Run::One, 0, &[5], &conditions).map(<[f32]>::to_vec);
        let first = read(&mut memory).expect("it fits the window");
        let beyond = graph::places(&model.contract);
        memory.prepare(beyond, &[5], &conditions, 1);
        assert!(model.run(&mut model.one.lend(), &mut memory, beyond, 1, 1).is_err());
        assert_eq!(read(&mut memory).expect("it fits the window"), first);
    }

    /// Somebody's own model may attend in another way.
    #[test]
    fn a_graph_in_which_attention_is_not_found_is_computed_as_it_is() {
        let mut proto = file::decode(EMBEDDED).expect("it is ours");
        let graph = proto.graph.as_mut().expect("a model has a graph");
        let softmax = graph.node.iter().position(|node| node.op_type == "Softmax").expect("it attends");
        let weights = std::mem::replace(&mut graph.node[softmax].output[0], "weights".into());
        let (op_type, input, output) = ("Identity".into(), vec!["weights".into()], vec![weights]);
        graph.node.insert(softmax + 1, NodeProto { op_type, input, output, ..NodeProto::default() });
        let bytes = proto.encode_to_vec();
        let models = [Dialect::Standard, Dialect::Lent].map(|dialect| {
            let changed = SessionSource { bytes: Cow::Owned(bytes.clone()), ..source(tract(), dialect) };
            Model::ready(changed).expect("it can be planned")
        });
        assert_eq!(models[1].caches, Caches::Told);
        assert_read_alike(&models);
    }

    /// Models of the same weights, which differ in how they remember. Returns what they remember.
    fn assert_read_alike<const N: usize>(models: &[Model; N]) -> [Memory; N] {
        let mut memories = models.each_ref().map(|model| model.memory().expect("there is room"));
        let tokens: Vec<u16> = (0..80).map(|at| 2 + at * 13 % 300).collect();
        let conditions = vec![0.3; tokens.len() * Controls::CONDITIONS];
        // The last begins again in the midst of what was read.
        let runs =
            [(0, Run::Piece, 32), (32, Run::One, 1), (33, Run::Piece, 6), (39, Run::One, 1), (20, Run::Piece, 32)];
        for (past, run, count) in runs {
            let given = past * Controls::CONDITIONS..(past + count) * Controls::CONDITIONS;
            let said = models.iter().zip(&mut memories).map(|(model, memory)| {
                let read = model.read_plain(memory, run, past, &tokens[past..past + count], &conditions[given.clone()]);
                read.expect("it fits the window").to_vec()
            });
            let said: Vec<Vec<f32>> = said.collect();
            for other in &said[1..] {
                let apart = said[0].iter().zip(other).map(|(one, other)| (one - other).abs()).fold(0.0, f32::max);
                assert!(apart < 1e-3, "{count} after {past}: {apart}");
            }
        }
        memories
    }
}
