//! What one listener has read with a model: keys and values by layer and place in the window, and the inputs of a run. Runs on the
//! inference thread.

use super::Caches;
use super::graph::{self, CACHES, GOES, LAST, STAYS, TOTAL};
use crate::contract::{Contract, Engine};
use crate::runtime::{Keeping, KeptCaches, Session, Values};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tract_onnx::prelude::{Datum, Tensor};

/// Added to attention scores where a token must not look.
const HIDDEN: f32 = -1e9;
/// Stands after the last token of a piece.
const FILLER: i64 = 0;
/// What a run adds to the caches, in their order, where it only tells.
pub const NEW: [&str; 2] = ["new_k", "new_v"];

/// What one listener has read.
pub struct Memory {
    cache: Cache,
    inputs: Vec<(&'static str, Values)>,
    window: usize,
    /// What the last token read was followed by.
    pub(super) outputs: Vec<f32>,
    _listener: Listener,
}

enum Cache {
    Told {
        /// By layer: keys first, then values.
        past: Vec<(String, Values)>,
        /// What the last run adds to them.
        new: [Vec<f32>; NEW.len()],
        layers: usize,
        head_size: usize,
        /// Numbers of one place in all layers.
        place: usize,
    },
    Kept(KeptCaches),
}

/// One that reads with a model.
pub(super) struct Listener(Arc<AtomicUsize>);

impl Listener {
    pub(super) fn of(listeners: &Arc<AtomicUsize>) -> Self {
        listeners.fetch_add(1, Ordering::Relaxed);
        Self(listeners.clone())
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Memory {
    /// # Errors
    /// In words, when there is no room for it.
    pub(super) fn empty<E: Engine>(contract: &Contract<E>, caches: Caches, listener: Listener) -> Result<Self, String> {
        let &Contract { window, layers, heads, head_size, .. } = contract;
        let names = CACHES.iter().flat_map(|cache| (0..layers).map(|layer| graph::layer_of(cache, layer)));
        // Places that are hidden may still enter the sums, with weight 0: they must hold numbers.
        let (cache, inputs): (_, &[&'static str]) = match caches {
            Caches::Told => {
                let zeros = || Tensor::zero::<f32>(&[1, heads, window, head_size]).map(Arc::new);
                let past = names.map(|name| Ok((name, zeros().map_err(|error| error.to_string())?)));
                let past = past.collect::<Result<_, String>>()?;
                let place = contract.cache_size() / window;
                let cache = Cache::Told { past, new: Default::default(), layers, head_size, place };
                (cache, &["ids", "cond", "pos", "mask"])
            }
            Caches::Kept(keeping) => {
                let names = names.map(|name| {
                    let kept = graph::kept(&name);
                    [name, kept]
                });
                let (places, inputs): (_, &[&'static str]) = match keeping {
                    Keeping::InPlace | Keeping::Lent => (graph::places(contract), &["ids", "cond", LAST, TOTAL]),
                    Keeping::Anew => (window, &["ids", "cond", "pos", "mask", STAYS, GOES]),
                };
                (Cache::Kept(KeptCaches::zeros(keeping, names, &[1, heads, places, head_size])?), inputs)
            }
        };
        let inputs = inputs.iter().map(|name| (*name, Values::default())).collect();
        Ok(Self { cache, inputs, window, outputs: Vec::new(), _listener: listener })
    }

    /// What the last token read was followed by.
    pub fn outputs(&self) -> &[f32] {
        &self.outputs
    }

    /// Where its caches lie, if they are lent to runs.
    #[cfg(test)]
    pub(super) fn lent_places(&self) -> Vec<usize> {
        match &self.cache {
            Cache::Kept(caches) => caches.places(),
            Cache::Told { .. } => Vec::new(),
        }
    }

    /// Fills in the inputs of a run; places after the tokens are filled up and hidden. `conditions` are those of each token.
    pub(super) fn prepare(&mut self, past: usize, tokens: &[u16], conditions: &[f32], length: usize) {
        let (width, window) = (conditions.len() / tokens.len(), self.window);
        for (name, values) in &mut self.inputs {
            match *name {
                "ids" => fill(values, &[1, length], |ids: &mut [i64]| {
                    ids.fill(FILLER);
                    ids.iter_mut().zip(tokens).for_each(|(id, token)| *id = i64::from(*token));
                }),
                "cond" => fill(values, &[1, length, width], |places: &mut [f32]| {
                    let (known, filled_up) = places.split_at_mut(conditions.len());
                    known.copy_from_slice(conditions);
                    filled_up.fill(0.0);
                }),
                "pos" => fill(values, &[1, length], |places: &mut [i64]| {
                    places.iter_mut().zip(past..).for_each(|(place, position)| *place = position as i64);
                }),
                "mask" => fill(values, &[1, 1, length, window + length], |mask: &mut [f32]| {
                    mask.fill(HIDDEN);
                    for (index, row) in mask.chunks_exact_mut(window + length).enumerate() {
                        row[..past].fill(0.0);
                        row[window..=window + index].fill(0.0);
                    }
                }),
                STAYS => fill(values, &[window, 1], |places: &mut [f32]| {
                    places.fill(1.0);
                    places[past..past + tokens.len()].fill(0.0);
                }),
                GOES => fill(values, &[window, length], |places: &mut [f32]| {
                    places.fill(0.0);
                    let rows = places.chunks_exact_mut(length).skip(past).take(tokens.len());
                    rows.enumerate().for_each(|(token, row)| row[token] = 1.0);
                }),
                LAST => fill(values, &[1], |last: &mut [i32]| last.fill((past + length - 1) as i32)),
                _ => fill(values, &[1], |total: &mut [i32]| total.fill((past + length) as i32)),
            }
        }
    }

    /// A run of what was prepared; so many of its tokens are real.
    ///
    /// # Errors
    /// In words, when the device fails or the network says something else than it should.
    pub(super) fn run(
        &mut self,
        session: &mut Box<dyn Session>,
        past: usize,
        tokens: usize,
        length: usize,
        take: &mut dyn FnMut(&str, &[f32]),
    ) -> Result<(), String> {
        let inputs = self.inputs.iter().map(|(name, values)| (*name, values));
        match &mut self.cache {
            Cache::Kept(caches) => session.run_keeping(&inputs.collect::<Vec<_>>(), caches, take),
            Cache::Told { past: caches, new, layers, head_size, place } => {
                new.iter_mut().for_each(Vec::clear);
                let caches_by_name = caches.iter().map(|(name, values)| (name.as_str(), values));
                let given: Vec<(&str, &Values)> = inputs.chain(caches_by_name).collect();
                session.run(&given, &mut |name, numbers| match NEW.iter().position(|new| *new == name) {
                    Some(which) => new[which].extend_from_slice(numbers),
                    None => take(name, numbers),
                })?;
                let new_size = *place * length;
                if let Some(wrong) = new.iter().find(|new| new.len() != new_size) {
                    return Err(format!("its caches grow by {} numbers instead of {new_size}", wrong.len()));
                }
                let new_layers = new.iter().flat_map(|new| new.chunks_exact(new_size / *layers));
                for ((_, cache), new) in caches.iter_mut().zip(new_layers) {
                    change(cache, |places: &mut [f32]| {
                        let heads = places
                            .chunks_exact_mut(self.window * *head_size)
                            .zip(new.chunks_exact(length * *head_size));
                        heads.for_each(|(place, new)| {
                            place[past * *head_size..][..tokens * *head_size]
                                .copy_from_slice(&new[..tokens * *head_size]);
                        });
                    })?;
                }
                Ok(())
            }
        }
    }
}

/// Nobody shares them between runs, so nothing is copied.
fn change<T: Datum>(values: &mut Values, write: impl FnOnce(&mut [T])) -> Result<(), String> {
    let mut plain = Arc::make_mut(values).try_as_plain_ram_mut().map_err(|error| error.to_string())?;
    plain.as_slice_mut::<T>().map(write).map_err(|error| error.to_string())
}

/// Writes a tensor, in the room of the one that was there if that has the same shape.
fn fill<T: Datum + Copy + Default>(values: &mut Values, shape: &[usize], write: impl FnOnce(&mut [T])) {
    const FITS: &str = "its numbers are as many and of the kind that was asked for";
    if values.shape() != shape || values.datum_type() != T::datum_type() {
        let blank = vec![T::default(); shape.iter().product()];
        *values = Arc::new(Tensor::from_shape(shape, &blank).expect(FITS));
    }
    change(values, write).expect(FITS);
}
