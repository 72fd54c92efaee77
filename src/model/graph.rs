//! Gives the same network less to do: rewrites the graph of a model file before a backend plans it. Pure.
//!
//! Files come as PyTorch exports them. What is found there in the shape that is looked for is rewritten, and the rest is left
//! as it is, so that no file depends on it. `docs/performance.md` says what each step is worth.

mod attention;
mod eight_bits;
mod half;
mod norms;
mod packed;
mod renewed;
mod singles;

pub use attention::{LAST, TOTAL, places};
pub use packed::unpack;
pub use renewed::{GOES, STAYS};

use super::Caches;
use crate::contract::Contract;
use crate::runtime::{Dialect, Keeping};
use std::collections::{HashMap, HashSet};
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, ValueInfoProto,
};

/// The caches of keys and values.
pub const CACHES: [&str; 2] = ["past_k", "past_v"];

/// The name of one layer of a cache, as an input of the rewritten graph.
pub fn layer_of(cache: &str, layer: usize) -> String {
    format!("{cache}.{layer}")
}

/// The name of what one layer of a cache has become, as an output of a graph that keeps its caches itself.
pub fn kept(layer: &str) -> String {
    format!("{layer} kept")
}

/// Rewrites all there is to rewrite. The caches are inputs by layer ever after; in plain ONNX that is all.
pub fn lighten<E>(model: &mut ModelProto, contract: &Contract<E>, dialect: Dialect) -> Caches {
    let Some(graph) = &mut model.graph else { return Caches::Told };
    for cache in CACHES {
        split_cache(graph, cache, contract);
    }
    if dialect != Dialect::Standard {
        norms::rewrite(graph, contract);
        model.opset_import.push(OperatorSetIdProto { domain: ONNX_RUNTIME.into(), version: 1 });
    }
    let keeping = match dialect {
        Dialect::Standard => None,
        Dialect::OnDevice | Dialect::HalfOnDevice => renewed::rewrite(graph, contract).then_some(Keeping::Anew),
        Dialect::InPlace | Dialect::EightBits => attention::rewrite(graph, contract).then_some(Keeping::InPlace),
        Dialect::Lent => attention::rewrite(graph, contract).then_some(Keeping::Lent),
    };
    // Tract is slower with attention in two halves than with a copy of the cache.
    if ![Dialect::Standard, Dialect::Lent].contains(&dialect) && keeping != Some(Keeping::InPlace) {
        attend_apart(graph, contract.window);
    }
    match dialect {
        Dialect::EightBits => eight_bits::rewrite(graph),
        Dialect::HalfOnDevice => half::rewrite(graph),
        Dialect::Lent => singles::rewrite(graph),
        Dialect::Standard | Dialect::OnDevice | Dialect::InPlace => {}
    }
    remove_unused(graph);
    keeping.map_or(Caches::Told, Caches::Kept)
}

/// The domain of ONNX Runtime's own operators.
const ONNX_RUNTIME: &str = "com.microsoft";

/// One input a layer, in place of one tensor of which each layer would first have to cut out its own.
fn split_cache<E>(graph: &mut GraphProto, cache: &str, contract: &Contract<E>) {
    let Some(at) = graph.input.iter().position(|input| input.name == cache) else { return };
    graph.input.remove(at);
    graph.input.extend((0..contract.layers).map(|layer| {
        let shape = [1, contract.heads, contract.window, contract.head_size];
        ValueInfoProto { name: layer_of(cache, layer), ..super::file::floats(&shape) }
    }));
    let constants = integers(graph);
    let mut renamed = HashMap::new();
    graph.node.retain(|node| {
        let cut = node.op_type == "Gather" && node.input[0] == cache && integer_attribute(node, "axis") == Some(0);
        let layer = cut.then(|| constants.get(&node.input[1])).flatten();
        let layer = layer.and_then(|layer| usize::try_from(*layer).ok()).filter(|layer| *layer < contract.layers);
        layer.is_none_or(|layer| renamed.insert(node.output[0].clone(), layer_of(cache, layer)).is_some())
    });
    rename_inputs(graph, &renamed);
    if graph.node.iter().any(|node| node.input.iter().any(|input| input == cache)) {
        join_cache(graph, cache, contract.layers);
    }
}

/// For a graph that wants the whole cache after all.
fn join_cache(graph: &mut GraphProto, cache: &str, layers: usize) {
    let first = format!("{cache} first axis");
    graph.initializer.push(integer_tensor(&first, &[0]));
    let layer = |layer| node("Unsqueeze", &[&layer_of(cache, layer), &first], &[&format!("{cache} joined {layer}")]);
    let mut nodes: Vec<NodeProto> = (0..layers).map(layer).collect();
    let parts: Vec<String> = nodes.iter().map(|node| node.output[0].clone()).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    nodes.push(with_integer(node("Concat", &parts, &[cache]), "axis", 0));
    nodes.append(&mut graph.node);
    graph.node = nodes;
}

/// Attention looks at the past and at the new tokens in turn, in place of a copy of the past with the new ones at its end.
/// What is added up is the same.
fn attend_apart(graph: &mut GraphProto, window: usize) {
    let uses = Uses::of(graph);
    let mut replaced: HashMap<usize, Vec<NodeProto>> = HashMap::new();
    for (at, joined) in graph.node.iter().enumerate() {
        let of_cache = joined.input.first().is_some_and(|first| CACHES.iter().any(|cache| first.starts_with(cache)));
        if joined.op_type != "Concat" || joined.input.len() != 2 || !of_cache {
            continue;
        }
        let Some(next) = uses.only(&joined.output[0]) else { continue };
        let reads = |node: &NodeProto, from: &NodeProto| node.op_type == "MatMul" && node.input[1] == from.output[0];
        let (past, new) = (joined.input[0].as_str(), joined.input[1].as_str());
        if reads(&graph.node[next], joined) {
            replaced.extend([(at, vec![]), (next, weigh_apart(&graph.node[next], past, new))]);
        } else if let Some(product) = uses.only(&graph.node[next].output[0]).filter(|product| {
            let turned = &graph.node[next];
            turned.op_type == "Transpose" && reads(&graph.node[*product], turned)
        }) {
            let turned = integers_attribute(&graph.node[next], "perm");
            let scores = score_apart(&graph.node[product], past, new, turned);
            replaced.extend([(at, vec![]), (next, vec![]), (product, scores)]);
        }
    }
    if replaced.is_empty() {
        return;
    }
    let places = i64::try_from(window).unwrap_or(i64::MAX);
    let numbers = [(PAST_BEGINS, 0), (PAST_ENDS, places), (NEW_ENDS, i64::MAX), (LAST_AXIS, -1)];
    graph.initializer.extend(numbers.map(|(name, number)| integer_tensor(name, &[number])));
    replace_nodes(graph, replaced);
}

const PAST_BEGINS: &str = "past begins";
const PAST_ENDS: &str = "past ends";
const NEW_ENDS: &str = "new ends";
const LAST_AXIS: &str = "last axis";

/// Queries by keys.
fn score_apart(product: &NodeProto, past: &str, new: &str, turned: &[i64]) -> Vec<NodeProto> {
    let (queries, scores) = (product.input[0].as_str(), product.output[0].as_str());
    let mut nodes = Vec::new();
    let halves = [past, new].map(|keys| {
        let (keys_turned, half) = (format!("{scores} {keys} turned"), format!("{scores} {keys}"));
        nodes.push(with_integers(node("Transpose", &[keys], &[&keys_turned]), "perm", turned));
        nodes.push(node("MatMul", &[queries, &keys_turned], &[&half]));
        half
    });
    nodes.push(with_integer(node("Concat", &[&halves[0], &halves[1]], &[scores]), "axis", -1));
    nodes
}

/// Weights by values.
fn weigh_apart(product: &NodeProto, past: &str, new: &str) -> Vec<NodeProto> {
    let (weights, sum) = (product.input[0].as_str(), product.output[0].as_str());
    let mut nodes = Vec::new();
    let halves = [(past, PAST_BEGINS, PAST_ENDS), (new, PAST_ENDS, NEW_ENDS)].map(|(values, begins, ends)| {
        let (part, half) = (format!("{sum} {values} weights"), format!("{sum} {values}"));
        nodes.push(node("Slice", &[weights, begins, ends, LAST_AXIS], &[&part]));
        nodes.push(node("MatMul", &[&part, values], &[&half]));
        half
    });
    nodes.push(node("Add", &[&halves[0], &halves[1]], &[sum]));
    nodes
}

/// Nodes and weights that nothing leads out of any more.
fn remove_unused(graph: &mut GraphProto) {
    let mut wanted: HashSet<String> = graph.output.iter().map(|output| output.name.clone()).collect();
    let mut nodes = std::mem::take(&mut graph.node);
    nodes.reverse();
    nodes.retain(|node| {
        let used = node.output.iter().any(|output| wanted.contains(output));
        if used {
            wanted.extend(node.input.iter().cloned());
        }
        used
    });
    nodes.reverse();
    graph.node = nodes;
    graph.initializer.retain(|tensor| wanted.contains(&tensor.name));
}

/// Who reads what, by index into the nodes.
struct Uses(HashMap<String, Vec<usize>>);

impl Uses {
    fn of(graph: &GraphProto) -> Self {
        let mut uses: HashMap<String, Vec<usize>> = HashMap::new();
        for (at, node) in graph.node.iter().enumerate() {
            node.input.iter().for_each(|input| uses.entry(input.clone()).or_default().push(at));
        }
        // What leaves the graph is read outside.
        graph.output.iter().for_each(|output| uses.entry(output.name.clone()).or_default().push(usize::MAX));
        Self(uses)
    }

    /// The one node that reads it, if there is just one.
    fn only(&self, name: &str) -> Option<usize> {
        match self.0.get(name)?.as_slice() {
            [at] if *at != usize::MAX => Some(*at),
            _ => None,
        }
    }
}

/// The node that makes each value.
fn producers(graph: &GraphProto) -> HashMap<&str, &NodeProto> {
    graph.node.iter().flat_map(|node| node.output.iter().map(move |output| (output.as_str(), node))).collect()
}

/// The products of matrices, each with its place. Not one that gives an output: its errors would go straight into the words.
fn inner_products(graph: &GraphProto) -> impl Iterator<Item = (usize, &NodeProto)> {
    let is_output = |name: &String| graph.output.iter().any(|output| output.name == *name);
    let inner = move |node: &NodeProto| node.op_type == "MatMul" && !node.output.first().is_some_and(is_output);
    graph.node.iter().enumerate().filter(move |(_, node)| inner(node))
}

fn replace_nodes(graph: &mut GraphProto, mut replaced: HashMap<usize, Vec<NodeProto>>) {
    let nodes = std::mem::take(&mut graph.node).into_iter().enumerate();
    graph.node = nodes.flat_map(|(at, node)| replaced.remove(&at).unwrap_or_else(|| vec![node])).collect();
}

fn rename_inputs(graph: &mut GraphProto, names: &HashMap<String, String>) {
    for input in graph.node.iter_mut().flat_map(|node| &mut node.input) {
        if let Some(name) = names.get(input) {
            input.clone_from(name);
        }
    }
}

/// Constants of one integer, by name.
fn integers(graph: &GraphProto) -> HashMap<String, i64> {
    constants(graph).filter_map(|(name, tensor)| Some((name.to_owned(), integer(tensor)?))).collect()
}

/// Initializers, and nodes that hold a tensor.
fn constants(graph: &GraphProto) -> impl Iterator<Item = (&str, &TensorProto)> {
    let nodes = graph.node.iter().filter(|node| node.op_type == "Constant");
    let held = nodes.filter_map(|node| Some((node.output.first()?.as_str(), attribute(node, "value")?.t.as_ref()?)));
    graph.initializer.iter().map(|tensor| (tensor.name.as_str(), tensor)).chain(held)
}

fn integer(tensor: &TensorProto) -> Option<i64> {
    if tensor.data_type != DataType::Int64 as i32 {
        return None;
    }
    match (tensor.int64_data.as_slice(), <[u8; 8]>::try_from(tensor.raw_data.as_slice())) {
        ([number], _) => Some(*number),
        ([], Ok(bytes)) => Some(i64::from_le_bytes(bytes)),
        _ => None,
    }
}

/// A constant of one number in single precision.
fn float(tensor: &TensorProto) -> Option<f32> {
    if tensor.data_type != DataType::Float as i32 {
        return None;
    }
    match (tensor.float_data.as_slice(), <[u8; 4]>::try_from(tensor.raw_data.as_slice())) {
        ([number], _) => Some(*number),
        ([], Ok(bytes)) => Some(f32::from_le_bytes(bytes)),
        _ => None,
    }
}

fn attribute<'a>(node: &'a NodeProto, name: &str) -> Option<&'a AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name == name)
}

fn integer_attribute(node: &NodeProto, name: &str) -> Option<i64> {
    attribute(node, name).map(|attribute| attribute.i)
}

fn integers_attribute<'a>(node: &'a NodeProto, name: &str) -> &'a [i64] {
    attribute(node, name).map_or(&[], |attribute| &attribute.ints)
}

fn node(operator: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    NodeProto {
        op_type: operator.into(),
        name: outputs[0].to_owned(),
        input: owned(inputs),
        output: owned(outputs),
        ..NodeProto::default()
    }
}

fn with_integer(mut node: NodeProto, name: &str, number: i64) -> NodeProto {
    let kind = AttributeType::Int as i32;
    node.attribute.push(AttributeProto { name: name.into(), r#type: kind, i: number, ..AttributeProto::default() });
    node
}

fn with_integers(mut node: NodeProto, name: &str, numbers: &[i64]) -> NodeProto {
    let (kind, ints) = (AttributeType::Ints as i32, numbers.to_vec());
    node.attribute.push(AttributeProto { name: name.into(), r#type: kind, ints, ..AttributeProto::default() });
    node
}

fn with_float(mut node: NodeProto, name: &str, number: f32) -> NodeProto {
    let kind = AttributeType::Float as i32;
    node.attribute.push(AttributeProto { name: name.into(), r#type: kind, f: number, ..AttributeProto::default() });
    node
}

fn tensor(name: &str, kind: DataType, dims: &[usize], raw_data: Vec<u8>) -> TensorProto {
    let dims = dims.iter().map(|size| *size as i64).collect();
    TensorProto { name: name.into(), data_type: kind as i32, dims, raw_data, ..TensorProto::default() }
}

fn integer_tensor(name: &str, numbers: &[i64]) -> TensorProto {
    let bytes = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    tensor(name, DataType::Int64, &[numbers.len()], bytes)
}

fn float_tensor(name: &str, numbers: &[f32]) -> TensorProto {
    let bytes = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    tensor(name, DataType::Float, &[numbers.len()], bytes)
}

#[cfg(test)]
mod tests {
    use super::super::file::ModelFile;
    use super::super::{EMBEDDED, EMBEDDED_DRUMMER};
    use super::*;
    use crate::contract::drums::DrumControls;
    use crate::contract::{Controls, Engine};

    /// The graph of a model for one token, and how many layers it has.
    fn lightened<E: Engine>(bytes: &[u8], dialect: Dialect) -> (GraphProto, usize) {
        let mut file = ModelFile::<E>::read(bytes).expect("it is ours");
        file.lighten(dialect);
        let graph = file.with_length(1).graph.clone();
        (graph.expect("a model has a graph"), file.contract.layers)
    }

    fn count(graph: &GraphProto, operator: &str) -> usize {
        graph.node.iter().filter(|node| node.op_type == operator).count()
    }

    /// The shapes that are looked for are those that the exporter writes: else nothing would be rewritten, and nobody notice.
    #[test]
    fn everything_in_our_own_files_is_rewritten() {
        let all =
            |dialect| [lightened::<Controls>(EMBEDDED, dialect), lightened::<DrumControls>(EMBEDDED_DRUMMER, dialect)];
        for (graph, layers) in all(Dialect::Standard) {
            let inputs: HashSet<&str> = graph.input.iter().map(|input| input.name.as_str()).collect();
            let caches = CACHES.iter().flat_map(|cache| (0..layers).map(|layer| layer_of(cache, layer)));
            assert!(caches.clone().all(|cache| inputs.contains(cache.as_str())) && inputs.len() == 4 + 2 * layers);
            // The table of tokens is looked into.
            assert_eq!((count(&graph, "Gather"), count(&graph, "Softmax")), (1, layers));
        }
        for (graph, layers) in all(Dialect::OnDevice) {
            let copies = graph.node.iter().filter(|node| node.op_type == "Concat" && node.input[0].starts_with("past"));
            assert_eq!((count(&graph, "Pow"), copies.count()), (0, 0), "no cache is copied");
            let outputs: HashSet<&str> = graph.output.iter().map(|output| output.name.as_str()).collect();
            let changed = CACHES.iter().flat_map(|cache| (0..layers).map(|layer| kept(&layer_of(cache, layer))));
            assert!(changed.clone().all(|cache| outputs.contains(cache.as_str())) && !outputs.contains("new_k"));
            assert_eq!(count(&graph, "SimplifiedLayerNormalization"), 4 * layers + 2);
            assert_eq!(count(&graph, "DynamicQuantizeMatMul"), 0);
        }
        let products = [46, 25];
        let graphs = all(Dialect::HalfOnDevice).into_iter().zip(all(Dialect::OnDevice)).zip(products);
        for (((half, _), (single, _)), products) in graphs {
            assert_eq!(count(&half, "MatMul"), count(&single, "MatMul"));
            let in_half = |node: &&NodeProto| node.op_type == "MatMul" && node.output[0].ends_with(" in half");
            assert_eq!(half.node.iter().filter(in_half).count(), products, "all with a stored matrix but the last");
            let is_half = |tensor: &&TensorProto| tensor.data_type == DataType::Float16 as i32;
            let stored = |graph: &GraphProto| graph.initializer.iter().filter(is_half).count();
            assert_eq!(stored(&half), stored(&single), "what is multiplied with is what is stored");
        }
        for (graph, layers) in [Dialect::InPlace, Dialect::Lent].into_iter().flat_map(all) {
            assert_eq!((count(&graph, "GroupQueryAttention"), count(&graph, "Softmax")), (layers, 0));
            assert_eq!((count(&graph, "Cos"), count(&graph, "Concat"), count(&graph, "Transpose") > 0), (0, 0, true));
            let inputs: HashSet<&str> = graph.input.iter().map(|input| input.name.as_str()).collect();
            assert_eq!(inputs.len(), 4 + 2 * layers);
            assert!(["ids", "cond", LAST, TOTAL].iter().all(|name| inputs.contains(name)));
            let outputs: HashSet<&str> = graph.output.iter().map(|output| output.name.as_str()).collect();
            let changed = CACHES.iter().flat_map(|cache| (0..layers).map(|layer| kept(&layer_of(cache, layer))));
            assert!(changed.clone().all(|cache| outputs.contains(cache.as_str())) && !outputs.contains("new_k"));
        }
        let [(accompanist, layers), (drummer, of_drums)] = all(Dialect::EightBits);
        assert_eq!(count(&accompanist, "DynamicQuantizeMatMul"), 7 * layers);
        assert_eq!(count(&drummer, "DynamicQuantizeMatMul"), 2 * of_drums, "its other matrices are small");
        let bytes = |graph: &GraphProto| graph.initializer.iter().map(|tensor| tensor.raw_data.len()).sum::<usize>();
        let [(in_half, _), _] = all(Dialect::InPlace);
        let [eight, half] = [&accompanist, &in_half].map(bytes);
        assert!(eight < half * 2 / 3, "{eight} bytes of {half}: what is not used any more is gone");
    }

    #[test]
    fn a_graph_that_uses_its_cache_otherwise_gets_it_whole() {
        let mut file = ModelFile::<Controls>::read(EMBEDDED).expect("it is ours");
        let contract = file.contract.clone();
        let graph = &mut file.with_length(1).graph.clone().expect("a model has a graph");
        graph
            .node
            .iter_mut()
            .filter(|node| node.op_type == "Gather")
            .for_each(|node| node.op_type = "Elsewhere".into());
        split_cache(graph, "past_k", &contract);
        let joined = graph.node.iter().find(|node| node.output[0] == "past_k").expect("it is made");
        assert_eq!((joined.op_type.as_str(), joined.input.len()), ("Concat", contract.layers));
    }
}
