//! Root-mean-square norms as one node each, where PyTorch writes six.

use super::{Uses, float_tensor, integer_attribute, integers_attribute, node, producers, replace_nodes};
use super::{constants, float, with_float, with_integer};
use crate::contract::Contract;
use std::collections::{BTreeSet, HashMap};
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, NodeProto};

/// What follows the square: mean, a little more, root, its inverse, times what was squared.
const STEPS: [&str; 5] = ["ReduceMean", "Add", "Sqrt", "Div", "Mul"];

pub fn rewrite<E>(graph: &mut GraphProto, contract: &Contract<E>) {
    let uses = Uses::of(graph);
    let makers = producers(graph);
    let floats: HashMap<&str, f32> =
        constants(graph).filter_map(|(name, tensor)| Some((name, float(tensor)?))).collect();
    let mut replaced: HashMap<usize, Vec<NodeProto>> = HashMap::new();
    let mut sizes = BTreeSet::new();
    for (at, square) in graph.node.iter().enumerate() {
        if square.op_type != "Pow" || floats.get(square.input[1].as_str()) != Some(&2.0) {
            continue;
        }
        let Some(steps) = follow(graph, &uses, at) else { continue };
        let [mean, more, root, inverse, product] = steps.map(|step| &graph.node[step]);
        let little = more.input.iter().find_map(|input| floats.get(input.as_str()));
        let (Some(little), true) = (little, is_norm(mean, inverse, product, &square.input[0], &floats)) else {
            continue;
        };
        debug_assert_eq!(root.op_type, "Sqrt");
        let size = last_axis(graph, &makers, &square.input[0]).unwrap_or(contract.heads * contract.head_size);
        sizes.insert(size);
        let norm = node("SimplifiedLayerNormalization", &[&square.input[0], &ones(size)], &[&product.output[0]]);
        let norm = with_float(with_integer(norm, "axis", -1), "epsilon", *little);
        replaced.insert(at, vec![]);
        steps[..4].iter().for_each(|step| drop(replaced.insert(*step, vec![])));
        replaced.insert(steps[4], vec![norm]);
    }
    graph.initializer.extend(sizes.into_iter().map(|size| float_tensor(&ones(size), &vec![1.0; size])));
    replace_nodes(graph, replaced);
}

/// Such a norm has no weights.
fn ones(size: usize) -> String {
    format!("{size} ones")
}

/// The nodes after a square, if each is the only reader of the one before.
fn follow(graph: &GraphProto, uses: &Uses, square: usize) -> Option<[usize; STEPS.len()]> {
    let mut found = [0; STEPS.len()];
    let mut at = square;
    for (step, operator) in found.iter_mut().zip(STEPS) {
        at = uses.only(&graph.node[at].output[0])?;
        if graph.node[at].op_type != operator {
            return None;
        }
        *step = at;
    }
    Some(found)
}

fn is_norm(
    mean: &NodeProto,
    inverse: &NodeProto,
    product: &NodeProto,
    squared: &str,
    floats: &HashMap<&str, f32>,
) -> bool {
    let over_last = integers_attribute(mean, "axes") == [-1] && integer_attribute(mean, "keepdims") != Some(0);
    let of_one = floats.get(inverse.input[0].as_str()) == Some(&1.0);
    over_last && of_one && product.input.iter().any(|input| input == squared)
}

/// The size of a value's last axis, where it was cut into heads; else unknown.
fn last_axis(graph: &GraphProto, makers: &HashMap<&str, &NodeProto>, value: &str) -> Option<usize> {
    let turned = makers.get(value).filter(|node| node.op_type == "Transpose")?;
    let cut = makers.get(turned.input[0].as_str()).filter(|node| node.op_type == "Reshape")?;
    let (_, shape) = constants(graph).find(|(name, _)| *name == cut.input[1])?;
    if shape.data_type != DataType::Int64 as i32 || integers_attribute(turned, "perm").last() != Some(&3) {
        return None;
    }
    let last: [u8; 8] = shape.raw_data.last_chunk().copied()?;
    usize::try_from(i64::from_le_bytes(last)).ok()
}
