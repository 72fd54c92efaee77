//! A loaded model: what `docs/encoding.md` calls the graph. Runs on the inference thread.
//!
//! A model is shared by all instances that compute it on the same device; each has its own [`Memory`].
//! Several may compute at once, each in a session of its own for that moment: backends do not let two threads share one.

mod audition;
mod file;
mod graph;
mod installed;
mod measured;
mod pool;
mod rolls;

pub use audition::{Audition, Trial, fastest};
pub use file::FileError;
pub use installed::{
    About, InstalledModel, Kind, ModelSource, drummer, enhancers, extenders, find_enhancer, find_extender, find_model,
    hold_model, installed_models, open_model, open_roll_model,
};
pub use measured::{fastest_known, recall, remember};
pub use rolls::RollModel;

use crate::contract::{AT_ONCE, Contract, Controls, Engine};
use crate::runtime::{Device, Dialect, Placement, Runtime, RuntimeError, Session, Target, Values};
use file::ModelFile;
use pool::Pool;
use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use tract_onnx::prelude::{Datum, Tensor};

/// The models inside the plugin.
static EMBEDDED: &[u8] = include_bytes!("../models/weights/accompanist.onnx");
static EMBEDDED_DRUMMER: &[u8] = include_bytes!("../models/weights/drums.onnx");

/// Models that a build can do without; `build.rs` looks which are there.
#[cfg(has_gan)]
static EMBEDDED_GAN: Option<&[u8]> = Some(include_bytes!("../models/weights/gan.onnx"));
#[cfg(not(has_gan))]
static EMBEDDED_GAN: Option<&[u8]> = None;
#[cfg(has_enhancer)]
static EMBEDDED_ENHANCER: Option<&[u8]> = Some(include_bytes!("../models/weights/enhancer.onnx"));
#[cfg(not(has_enhancer))]
static EMBEDDED_ENHANCER: Option<&[u8]> = None;
#[cfg(has_extender)]
static EMBEDDED_EXTENDER: Option<&[u8]> = Some(include_bytes!("../models/weights/extender.onnx"));
#[cfg(not(has_extender))]
static EMBEDDED_EXTENDER: Option<&[u8]> = None;

/// Added to attention scores where a token must not look.
const HIDDEN: f32 = -1e9;

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
    /// Where its steps were seen to run; not asked of the processor.
    placement: Option<Placement>,
    /// How many there are of each.
    sessions: AtomicUsize,
    listeners: Arc<AtomicUsize>,
}

/// What sessions are made from.
struct SessionSource {
    /// The file's, for errors.
    name: String,
    bytes: Cow<'static, [u8]>,
    runtime: &'static Runtime,
    target: Target,
    dialect: Dialect,
}

/// One for each that may compute at the same time, and no more than there are cores; each holds the weights once more.
fn most_sessions(device: Device) -> usize {
    /// Beyond this, memory is worth more than time: a session of each kind takes some 150 MB with tract.
    const MOST: usize = 4;
    match device {
        Device::Cpu => thread::available_parallelism().map_or(1, usize::from).min(MOST),
        // It computes one thing after the other in any case.
        Device::Cuda | Device::TensorRt | Device::DirectMl | Device::CoreMl | Device::WebGpu => 1,
    }
}

/// What one listener has read: keys and values by layer and place in the window, and a run's inputs.
pub struct Memory {
    /// By layer: keys first, then values.
    caches: Vec<(String, Values)>,
    inputs: [(&'static str, Values); 4],
    /// What the last run adds to the caches.
    new: [Vec<f32>; NEW.len()],
    /// What the last token read was followed by.
    outputs: Vec<f32>,
    _listener: Listener,
}

/// One that reads with a model.
struct Listener(Arc<AtomicUsize>);

impl Listener {
    fn of(listeners: &Arc<AtomicUsize>) -> Self {
        listeners.fetch_add(1, Ordering::Relaxed);
        Self(listeners.clone())
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
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
        let mut model = Self::open(source)?;
        model.warm_up()?;
        Ok(model)
    }

    fn open(source: SessionSource) -> Result<Self, ModelError> {
        let (contract, [one, piece]) = source.sessions::<E>(source.target.device != Device::Cpu)?;
        Ok(Self {
            contract,
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
        /// Of the steps. What has to do with shapes and positions stays on the processor by design.
        const LEAST_SHARE: f32 = 0.5;
        let mut memory = self.memory()?;
        for run in [Run::Piece, Run::One] {
            memory.prepare(0, &[0], &vec![0.0; E::CONDITIONS], run.length(), self.contract.window);
            let done = self.run(&mut self.sessions_for(run).lend(), &mut memory, 0, 1, run.length());
            done.map_err(|reason| self.failed(&reason))?;
        }
        self.placement = self.one.lend().placement();
        let device = self.source.target.device;
        match self.placement.filter(|placement| placement.share() < LEAST_SHARE) {
            Some(placement) if device != Device::Cpu => {
                Err(ModelError::Elsewhere { name: self.source.name.clone(), device, placement })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// How many may compute at the same time.
    pub fn sessions(&self) -> usize {
        self.sessions.load(Ordering::Relaxed)
    }

    pub fn device(&self) -> Device {
        self.source.target.device
    }

    /// Where its steps were seen to run.
    pub fn placement(&self) -> Option<Placement> {
        self.placement
    }

    /// Another session for another listener, as long as it could make things faster.
    fn make_room(&self) {
        let wanted = self.listeners.load(Ordering::Relaxed).min(most_sessions(self.device()));
        let add = |made| (made < wanted).then_some(made + 1);
        if self.sessions.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_err() {
            return;
        }
        match self.source.sessions::<E>(false) {
            Ok((_, [one, piece])) => {
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
        let Contract { window, layers, heads, head_size, .. } = self.contract;
        let named = graph::CACHES.iter().flat_map(|cache| (0..layers).map(|layer| graph::layer_of(cache, layer)));
        // Places that are hidden still enter the sums, with weight 0: they must hold numbers.
        let zeros = || Tensor::zero::<f32>(&[1, heads, window, head_size]).map(Arc::new);
        let caches = named.map(|name| Ok((name, zeros().map_err(|error| self.failed(&error))?)));
        let caches = caches.collect::<Result<_, ModelError>>()?;
        let listener = Listener::of(&self.listeners);
        self.make_room();
        let inputs = ["ids", "cond", "pos", "mask"].map(|name| (name, Values::default()));
        Ok(Memory { caches, inputs, new: Default::default(), outputs: Vec::new(), _listener: listener })
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
        memory.prepare(past, tokens, conditions, length, self.contract.window);
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
        let Contract { window, layers, head_size, .. } = self.contract;
        let new_size = self.contract.cache_size() / window * length;
        let Memory { caches, inputs, outputs, new, .. } = memory;
        outputs.clear();
        outputs.resize(E::OUTPUTS.iter().map(|(_, size)| size).sum(), f32::NAN);
        new.iter_mut().for_each(Vec::clear);
        let mut wrong = None;
        let mut take = |name: &str, numbers: &[f32]| {
            let mut at = 0;
            let wanted = E::OUTPUTS.iter().find_map(|(output, size)| {
                at += size;
                (*output == name).then(|| (length * size, at - size..at))
            });
            let expected = wanted.as_ref().map_or(new_size, |(size, _)| *size);
            if numbers.len() != expected {
                wrong = Some(format!("`{name}` has {} numbers instead of {expected}", numbers.len()));
            } else if let Some((_, place)) = wanted {
                let last = (tokens - 1) * place.len();
                outputs[place.clone()].copy_from_slice(&numbers[last..last + place.len()]);
            } else if let Some(which) = NEW.iter().position(|new| *new == name) {
                new[which].extend_from_slice(numbers);
            }
        };
        let by_name = inputs.iter().map(|(name, values)| (*name, values));
        let given: Vec<(&str, &Values)> =
            by_name.chain(caches.iter().map(|(name, values)| (name.as_str(), values))).collect();
        session.run(&given, &mut take)?;
        if let Some(wrong) = wrong {
            return Err(wrong);
        }
        for (caches, new) in caches.chunks_exact_mut(layers).zip(new) {
            for ((_, cache), new) in caches.iter_mut().zip(new.chunks_exact(new_size / layers)) {
                change(cache, |places: &mut [f32]| {
                    let heads = places.chunks_exact_mut(window * head_size).zip(new.chunks_exact(length * head_size));
                    heads.for_each(|(place, new)| {
                        place[past * head_size..][..tokens * head_size].copy_from_slice(&new[..tokens * head_size]);
                    });
                })?;
            }
        }
        Ok(())
    }

    fn failed(&self, reason: &impl ToString) -> ModelError {
        ModelError::Run { name: self.source.name.clone(), reason: reason.to_string() }
    }
}

/// What a run adds to the caches, in their order.
const NEW: [&str; 2] = ["new_k", "new_v"];

/// Nobody shares them between runs, so nothing is copied.
fn change<T: Datum>(values: &mut Values, write: impl FnOnce(&mut [T])) -> Result<(), String> {
    let mut plain = Arc::make_mut(values).try_as_plain_ram_mut().map_err(|error| error.to_string())?;
    plain.as_slice_mut::<T>().map(write).map_err(|error| error.to_string())
}

/// For runs of one token and of a piece.
type Sessions = [Box<dyn Session>; 2];

impl SessionSource {
    /// For runs of one token, which may be watched, and of a piece.
    fn sessions<E: Engine>(&self, watched: bool) -> Result<(Contract<E>, Sessions), ModelError> {
        let file = ModelFile::<E>::read(&self.bytes).map_err(|error| ModelError::file(&self.name, error));
        let mut file = file?;
        file.lighten(self.dialect);
        let mut session = |tokens, watched| {
            let session = self.runtime.session(self.target.device, &file.with_length(tokens), watched);
            session.map_err(|error| ModelError::Runtime { name: self.name.clone(), error })
        };
        let sessions = [session(1, watched)?, session(AT_ONCE, false)?];
        Ok((file.contract, sessions))
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

impl Memory {
    /// What the last token read was followed by.
    pub fn outputs(&self) -> &[f32] {
        &self.outputs
    }

    /// Fills in the inputs of a run; places after the tokens are filled up and hidden. `conditions` are those of each token.
    fn prepare(&mut self, past: usize, tokens: &[u16], conditions: &[f32], length: usize, window: usize) {
        let [ids, cond, pos, mask] = &mut self.inputs;
        let width = conditions.len() / tokens.len();
        fill(&mut ids.1, &[1, length], |ids: &mut [i64]| {
            ids.fill(FILLER);
            ids.iter_mut().zip(tokens).for_each(|(id, token)| *id = i64::from(*token));
        });
        fill(&mut cond.1, &[1, length, width], |places: &mut [f32]| {
            let (known, filled_up) = places.split_at_mut(conditions.len());
            known.copy_from_slice(conditions);
            filled_up.fill(0.0);
        });
        fill(&mut pos.1, &[1, length], |places: &mut [i64]| {
            places.iter_mut().zip(past..).for_each(|(place, position)| *place = position as i64);
        });
        fill(&mut mask.1, &[1, 1, length, window + length], |mask: &mut [f32]| {
            mask.fill(HIDDEN);
            for (index, row) in mask.chunks_exact_mut(window + length).enumerate() {
                row[..past].fill(0.0);
                row[window..=window + index].fill(0.0);
            }
        });
    }
}

/// Stands after the last token of a piece.
const FILLER: i64 = 0;

/// Writes a tensor, in the room of the one that was there if that has the same shape.
fn fill<T: Datum + Copy + Default>(values: &mut Values, shape: &[usize], write: impl FnOnce(&mut [T])) {
    const FITS: &str = "its numbers are as many and of the kind that was asked for";
    if values.shape() != shape || values.datum_type() != T::datum_type() {
        let blank = vec![T::default(); shape.iter().product()];
        *values = Arc::new(Tensor::from_shape(shape, &blank).expect(FITS));
    }
    change(values, write).expect(FITS);
}

impl ModelError {
    fn file(name: &str, error: FileError) -> Self {
        Self::File { name: name.to_owned(), error }
    }
}
