//! A loaded model: what `docs/encoding.md` calls the graph. Runs on the inference thread.
//!
//! With `runtime.rs` the only file that names `ort`. A model is shared by all instances; each has its own [`Memory`].
//! Several may compute at once, each in a session of its own for that moment: backends do not let two threads share one.

mod file;
mod installed;
mod pool;

pub use file::FileError;
pub use installed::{InstalledModel, ModelSource, drummer, find_model, installed_models, open_model};

use crate::contract::{AT_ONCE, Contract, Controls, Engine};
use crate::runtime::{Backend, Runtime, RuntimeError};
use file::ModelFile;
use ort::memory::Allocator;
use ort::session::Session;
use ort::value::{Tensor, TensorRef};
use pool::Pool;
use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// The models inside the plugin.
static EMBEDDED: &[u8] = include_bytes!("../models/weights/accompanist.onnx");
static EMBEDDED_DRUMMER: &[u8] = include_bytes!("../models/weights/drums.onnx");

/// Added to attention scores where a token must not look.
const HIDDEN: f32 = -1e9;

#[derive(Debug, Clone, thiserror::Error)]
pub enum ModelError {
    #[error("there is no model `{name}`; there are {installed}")]
    Unknown { name: String, installed: String },
    #[error("model `{}` cannot be read: {reason}", .path.display())]
    Unreadable { path: PathBuf, reason: String },
    #[error("model `{name}` {error}")]
    File { name: String, error: FileError },
    #[error("model `{name}` cannot be played: {error}")]
    Runtime { name: String, error: RuntimeError },
    #[error("model `{name}` failed: {reason}")]
    Run { name: String, reason: String },
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
    one: Pool<Session>,
    piece: Pool<Session>,
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
}

/// One for each that may compute at the same time, and no more than there are cores; each holds the weights once more.
fn most_sessions() -> usize {
    /// Beyond this, memory is worth more than time: a session of each kind takes some 150 MB with tract.
    const MOST: usize = 4;
    thread::available_parallelism().map_or(1, usize::from).min(MOST)
}

/// What one listener has read: keys and values by place in the window, and room for a run's inputs.
pub struct Memory {
    keys: Tensor<f32>,
    values: Tensor<f32>,
    ids: Vec<i64>,
    conditions: Vec<f32>,
    positions: Vec<i64>,
    mask: Vec<f32>,
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
    /// `name` is the file's, for errors.
    ///
    /// # Errors
    /// When the file is damaged, for another version, or not for this backend.
    pub fn load(name: &str, bytes: Cow<'static, [u8]>, runtime: &'static Runtime) -> Result<Self, ModelError> {
        let mut file = ModelFile::<E>::read(&bytes).map_err(|error| ModelError::file(name, error))?;
        // Ours have been tested with it.
        let ours = [EMBEDDED, EMBEDDED_DRUMMER].contains(&&*bytes);
        if *runtime.backend() == Backend::Tract && !ours {
            file::check_plan(&file.with_length(1)).map_err(|error| ModelError::file(name, error))?;
        }
        let source = SessionSource { name: name.to_owned(), bytes, runtime };
        let (one, piece) = source.sessions(&mut file)?;
        Ok(Self {
            contract: file.contract,
            source,
            one: Pool::of(one),
            piece: Pool::of(piece),
            sessions: AtomicUsize::new(1),
            listeners: Arc::default(),
        })
    }

    /// How many may compute at the same time.
    pub fn sessions(&self) -> usize {
        self.sessions.load(Ordering::Relaxed)
    }

    /// Another session for another listener, as long as it could make things faster.
    fn make_room(&self) {
        let wanted = self.listeners.load(Ordering::Relaxed).min(most_sessions());
        let add = |made| (made < wanted).then_some(made + 1);
        if self.sessions.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_err() {
            return;
        }
        let file = ModelFile::<E>::read(&self.source.bytes).map_err(|error| ModelError::file(&self.source.name, error));
        match file.and_then(|mut file| self.source.sessions(&mut file)) {
            Ok((one, piece)) => {
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
    /// When the backend has no room for it.
    pub fn memory(&self) -> Result<Memory, ModelError> {
        let Contract { window, layers, heads, head_size, .. } = self.contract;
        let zeros = || -> ort::Result<Tensor<f32>> {
            let mut tensor = Tensor::<f32>::new(&Allocator::default(), [layers, 1, heads, window, head_size])?;
            // Places that are hidden still enter the sums, with weight 0: they must hold numbers.
            tensor.try_extract_tensor_mut::<f32>()?.1.fill(0.0);
            Ok(tensor)
        };
        let made = zeros().and_then(|keys| Ok((keys, zeros()?)));
        let (keys, values) = made.map_err(|error| self.failed(&error))?;
        let listener = Listener::of(&self.listeners);
        self.make_room();
        Ok(Memory {
            keys,
            values,
            ids: Vec::new(),
            conditions: Vec::new(),
            positions: Vec::new(),
            mask: Vec::new(),
            outputs: Vec::new(),
            _listener: listener,
        })
    }

    /// Reads tokens that follow the first `past` of what is remembered, and forgets what was there from that place on.
    /// Returns the [`Engine::OUTPUTS`] after the last one, joined.
    ///
    /// What a token adds to the memory in a [`Run::Piece`] depends on the tokens before it and its place in the piece
    /// alone, to the last bit; a [`Run::One`] may round otherwise.
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
        let (sessions, length) = match run {
            Run::One => (&self.one, 1),
            Run::Piece => (&self.piece, AT_ONCE),
        };
        let fits = (1..=length).contains(&tokens.len()) && tokens.len() == conditions.len();
        if !fits || past + tokens.len() > self.contract.window {
            return Err(self.failed(&format!("{} tokens after {past} do not fit its window", tokens.len())));
        }
        if W != E::CONDITIONS {
            return Err(self.failed(&format!("it was given {W} conditions instead of {}", E::CONDITIONS)));
        }
        memory.prepare(past, tokens, conditions, length, self.contract.window);
        let done = self.run(&mut sessions.lend(), memory, past, tokens.len(), length);
        done.map_err(|error| self.failed(&error))?;
        Ok(&memory.outputs)
    }

    fn run(
        &self,
        session: &mut Session,
        memory: &mut Memory,
        past: usize,
        tokens: usize,
        length: usize,
    ) -> ort::Result<()> {
        let Contract { window, head_size, .. } = self.contract;
        let outputs = session.run(ort::inputs![
            "ids" => TensorRef::from_array_view(([1, length], memory.ids.as_slice()))?,
            "cond" => TensorRef::from_array_view(([1, length, E::CONDITIONS], memory.conditions.as_slice()))?,
            "pos" => TensorRef::from_array_view(([1, length], memory.positions.as_slice()))?,
            "mask" => TensorRef::from_array_view(([1, 1, length, window + length], memory.mask.as_slice()))?,
            "past_k" => &memory.keys,
            "past_v" => &memory.values,
        ])?;
        let output = |name: &str, size: usize| {
            let (_, numbers) = outputs[name].try_extract_tensor::<f32>()?;
            let error = || ort::Error::new(format!("`{name}` has {} numbers instead of {size}", numbers.len()));
            if numbers.len() == size { Ok(numbers) } else { Err(error()) }
        };
        memory.outputs.clear();
        for (name, size) in E::OUTPUTS.iter().copied() {
            memory.outputs.extend_from_slice(&output(name, length * size)?[(tokens - 1) * size..tokens * size]);
        }
        let size = self.contract.cache_size() / window * length;
        for (name, cache) in [("new_k", &mut memory.keys), ("new_v", &mut memory.values)] {
            let (_, places) = cache.try_extract_tensor_mut::<f32>()?;
            let from = output(name, size)?.chunks_exact(length * head_size);
            for (place, new) in places.chunks_exact_mut(window * head_size).zip(from) {
                place[past * head_size..][..tokens * head_size].copy_from_slice(&new[..tokens * head_size]);
            }
        }
        Ok(())
    }

    fn failed(&self, reason: &impl ToString) -> ModelError {
        ModelError::Run { name: self.contract.name.clone(), reason: reason.to_string() }
    }
}

impl SessionSource {
    /// For runs of one token and of a piece.
    fn sessions<E: Engine>(&self, file: &mut ModelFile<E>) -> Result<(Session, Session), ModelError> {
        let mut session = |tokens| {
            let session = self.runtime.session(&file.with_length(tokens));
            session.map_err(|error| ModelError::Runtime { name: self.name.clone(), error })
        };
        Ok((session(1)?, session(AT_ONCE)?))
    }
}

impl Memory {
    /// Fills in the inputs of a run; places after the tokens are filled up and hidden.
    fn prepare<const W: usize>(
        &mut self,
        past: usize,
        tokens: &[u16],
        conditions: &[[f32; W]],
        length: usize,
        window: usize,
    ) {
        const FILLER: i64 = 0;
        self.ids.clear();
        self.ids.extend(tokens.iter().map(|token| i64::from(*token)));
        self.ids.resize(length, FILLER);
        self.conditions.clear();
        self.conditions.extend(conditions.iter().flatten());
        self.conditions.resize(length * W, 0.0);
        self.positions.clear();
        self.positions.extend((past..past + length).map(|position| position as i64));
        self.mask.clear();
        self.mask.resize(length * (window + length), HIDDEN);
        for (index, row) in self.mask.chunks_exact_mut(window + length).enumerate() {
            row[..past].fill(0.0);
            row[window..=window + index].fill(0.0);
        }
    }
}

impl ModelError {
    fn file(name: &str, error: FileError) -> Self {
        Self::File { name: name.to_owned(), error }
    }
}
