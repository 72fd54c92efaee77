//! Attention as one node a layer, with a cache that the network itself fills where it lies: for processors.
//!
//! The node is ONNX Runtime's `GroupQueryAttention`, which tract has from us (`runtime/tract/operators.rs`). It turns queries and keys by their positions, looks at no more of the past than
//! there is, and writes the new keys and values behind it, in place of the twenty nodes that PyTorch writes, which look at
//! the whole window with most of it hidden. All layers are rewritten or none.

use super::{
    CACHES, ONNX_RUNTIME, Uses, constants, float, float_tensor, integers_attribute, kept, layer_of, node, producers,
    replace_nodes, with_float, with_integer,
};
use crate::contract::{AT_ONCE, Contract};
use std::collections::{HashMap, HashSet};
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, NodeProto, TensorProto, ValueInfoProto};

/// Inputs: how many tokens there are with those that are being read, less one; and the same number.
pub const LAST: &str = "last place";
pub const TOTAL: &str = "tokens so far";

/// Places of a cache that is filled in place: a run that is filled up to its length may write behind the window.
pub fn places<E>(contract: &Contract<E>) -> usize {
    contract.window + AT_ONCE
}

const COSINES: &str = "cosines";
const SINES: &str = "sines";
const JOINED_HEADS: &str = "joined heads";

/// Whether this graph has the shape that is looked for; if not, it is as it was. Norms have to be one node each before.
pub fn rewrite<E>(graph: &mut GraphProto, contract: &Contract<E>) -> bool {
    let Some(found) = Layers::find(graph, contract) else { return false };
    let Layers { replaced, sharpness, frequencies } = found;
    let width = (contract.heads * contract.head_size) as i64;
    let angles = |of: fn(f32) -> f32| -> Vec<f32> {
        let angle = |place: usize| frequencies.iter().map(move |frequency| of(place as f32 * frequency));
        (0..places(contract)).flat_map(angle).collect()
    };
    for (name, of) in [(COSINES, f32::cos as fn(f32) -> f32), (SINES, f32::sin)] {
        let table = TensorProto {
            dims: vec![places(contract) as i64, frequencies.len() as i64],
            ..float_tensor(name, &angles(of))
        };
        graph.initializer.push(table);
    }
    graph.initializer.push(super::integer_tensor(JOINED_HEADS, &[1, -1, width]));
    graph.initializer.extend(sharpness);
    replace_nodes(graph, replaced);

    let new: HashSet<&str> = super::super::memory::NEW.into_iter().collect();
    graph.output.retain(|output| !new.contains(output.name.as_str()));
    graph.input.retain(|input| !["pos", "mask"].contains(&input.name.as_str()));
    graph.input.extend([LAST, TOTAL].map(one_integer));
    let shape = [1, contract.heads, places(contract), contract.head_size];
    for layer in CACHES.iter().flat_map(|cache| (0..contract.layers).map(|layer| layer_of(cache, layer))) {
        let of_shape = |name: String| ValueInfoProto { name, ..super::super::file::floats(&shape) };
        graph.input.retain(|input| input.name != layer);
        graph.output.push(of_shape(kept(&layer)));
        graph.input.push(of_shape(layer));
    }
    true
}

fn one_integer(name: &str) -> ValueInfoProto {
    ValueInfoProto { name: name.into(), ..super::super::file::numbers(DataType::Int32, &[1]) }
}

/// What takes the place of all layers.
struct Layers {
    replaced: HashMap<usize, Vec<NodeProto>>,
    /// What queries are multiplied with, by heads that are not turned to the front.
    sharpness: Vec<TensorProto>,
    /// In radians a place, by pairs of numbers in a head.
    frequencies: Vec<f32>,
}

impl Layers {
    fn find<E>(graph: &GraphProto, contract: &Contract<E>) -> Option<Self> {
        let (uses, makers) = (Uses::of(graph), producers(graph));
        let held: HashMap<&str, &TensorProto> = constants(graph).collect();
        let view = View { graph, uses: &uses, makers: &makers, held: &held };
        let mut all = Self { replaced: HashMap::new(), sharpness: Vec::new(), frequencies: Vec::new() };
        for layer in 0..contract.layers {
            let (at, nodes) = view.layer(layer, contract.heads, &mut all)?;
            all.replaced.insert(at, nodes);
        }
        // One table of angles serves all.
        (all.frequencies.len() * 2 == contract.head_size).then_some(all)
    }
}

struct View<'a> {
    graph: &'a GraphProto,
    uses: &'a Uses,
    makers: &'a HashMap<&'a str, &'a NodeProto>,
    held: &'a HashMap<&'a str, &'a TensorProto>,
}

impl<'a> View<'a> {
    /// The node where the attention of a layer ends, and what takes its place.
    fn layer(&self, layer: usize, heads: usize, all: &mut Layers) -> Option<(usize, Vec<NodeProto>)> {
        let [past_keys, past_values] = CACHES.map(|cache| layer_of(cache, layer));
        let [keys, values] = [&past_keys, &past_values].map(|past| self.joined_to(past));
        let (keys, values) = (keys?, values?);
        let turned = self.next(keys, "Transpose")?;
        let scores = self.next(turned, "MatMul")?;
        let masked = self.next(scores, "Add").filter(|add| add.input.iter().any(|input| input == "mask"))?;
        let product = self.next(self.next(masked, "Softmax")?, "MatMul")?;
        let front = self.next(product, "Transpose")?;
        let (end, joined) = self.next_at(front, "Reshape")?;

        let scaled = self.made(&scores.input[0], "Mul")?;
        let scale = scaled.input.iter().find_map(|input| float(self.held.get(input.as_str())?))?;
        let queries = scaled
            .input
            .iter()
            .find(|input| self.makers.get(input.as_str()).is_some_and(|maker| maker.op_type == "Concat"))?;

        let attended = &joined.output[0];
        let mut nodes = Vec::new();
        let [q, k] = ["queries", "keys"].map(|what| format!("{attended} {what}"));
        for (turned, name) in [(queries, &q), (&keys.input[1], &k)] {
            self.unturned(turned, name, heads, &mut nodes, all)?;
        }
        let plain_values = self.made(&self.made(&values.input[1], "Transpose")?.input[0], "Reshape")?;
        let [kept_keys, kept_values] = [&past_keys, &past_values].map(|past| kept(past));
        let inputs = [&q, &k, &plain_values.input[0], &past_keys, &past_values, LAST, TOTAL, COSINES, SINES];
        let mut attention = node("GroupQueryAttention", &inputs, &[attended, &kept_keys, &kept_values]);
        attention.domain = ONNX_RUNTIME.into();
        for (name, number) in [("num_heads", heads), ("kv_num_heads", heads), ("do_rotary", 1)] {
            attention = with_integer(attention, name, number as i64);
        }
        nodes.push(with_float(attention, "scale", scale));
        Some((end, nodes))
    }

    /// Queries or keys before they were turned by their positions, heads side by side.
    fn unturned(
        &self,
        turned: &str,
        name: &str,
        heads: usize,
        nodes: &mut Vec<NodeProto>,
        all: &mut Layers,
    ) -> Option<()> {
        let concat = self.made(turned, "Concat")?;
        let first = self.made(&self.made(&concat.input[0], "Sub")?.input[0], "Mul")?;
        let second = self.made(&self.made(&concat.input[1], "Add")?.input[0], "Mul")?;
        let source = &self.made(&first.input[0], "Slice")?.input[0];
        if *source != self.made(&second.input[0], "Slice")?.input[0] {
            return None;
        }
        let frequencies = self.frequencies(&first.input[1])?;
        if !all.frequencies.is_empty() && all.frequencies != frequencies {
            return None;
        }
        all.frequencies = frequencies;

        let (normed, factor) = match self.made(source, "Mul") {
            Some(product) => (&product.input[0], Some(self.held.get(product.input[1].as_str())?)),
            None => (source, None),
        };
        let norm = self.made(normed, "SimplifiedLayerNormalization")?;
        let front =
            self.made(&norm.input[0], "Transpose").filter(|node| integers_attribute(node, "perm") == [0, 2, 1, 3])?;
        let even = format!("{name} even");
        nodes.push(NodeProto {
            input: vec![front.input[0].clone(), norm.input[1].clone()],
            output: vec![even.clone()],
            name: even.clone(),
            ..norm.clone()
        });
        let mut last = even;
        if let Some(factor) = factor {
            if factor.dims != [heads as i64, 1, 1] {
                return None;
            }
            let [by_head, sharp] = ["sharpness", "sharp"].map(|what| format!("{name} {what}"));
            all.sharpness.push(TensorProto { name: by_head.clone(), dims: vec![heads as i64, 1], ..(*factor).clone() });
            nodes.push(node("Mul", &[&last, &by_head], &[&sharp]));
            last = sharp;
        }
        nodes.push(node("Reshape", &[&last, JOINED_HEADS], &[name]));
        Some(())
    }

    /// From the cosines by which something is turned.
    fn frequencies(&self, cosines: &str) -> Option<Vec<f32>> {
        let cosine = self.made(&self.made(cosines, "Unsqueeze")?.input[0], "Cos")?;
        let angles = self.made(&cosine.input[0], "Mul")?;
        let tensor = angles.input.iter().find_map(|input| self.held.get(input.as_str()))?;
        let floats = tensor.raw_data.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        (tensor.data_type == DataType::Float as i32).then_some(floats)
    }

    /// Where the new is put behind the past.
    fn joined_to(&self, past: &str) -> Option<&'a NodeProto> {
        self.graph.node.iter().find(|node| node.op_type == "Concat" && node.input.len() == 2 && node.input[0] == past)
    }

    fn made(&self, name: &str, operator: &str) -> Option<&'a NodeProto> {
        self.makers.get(name).copied().filter(|maker| maker.op_type == operator)
    }

    fn next(&self, node: &NodeProto, operator: &str) -> Option<&'a NodeProto> {
        self.next_at(node, operator).map(|(_, next)| next)
    }

    /// The only reader of a node, if it is of this kind.
    fn next_at(&self, node: &NodeProto, operator: &str) -> Option<(usize, &'a NodeProto)> {
        let at = self.uses.only(&node.output[0])?;
        Some((at, &self.graph.node[at])).filter(|(_, next)| next.op_type == operator)
    }
}
