//! Stored constants in single precision, and matrices turned as a product wants them: for tract, which would find this out
//! once for each length that it plans, a step at a time.

use super::{Uses, integer_attribute, integers_attribute};
use half::f16;
use half::slice::HalfFloatSliceExt;
use std::collections::{HashMap, HashSet};
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, NodeProto, TensorProto};

pub fn rewrite(graph: &mut GraphProto) {
    let uses = Uses::of(graph);
    let halves = graph.initializer.iter().filter(|held| held.data_type == DataType::Float16 as i32);
    let halves: HashMap<&str, &TensorProto> = halves.map(|held| (held.name.as_str(), held)).collect();
    let (mut made, mut done) = (Vec::new(), HashSet::new());
    for (at, cast) in graph.node.iter().enumerate() {
        let to_single = cast.op_type == "Cast" && integer_attribute(cast, "to") == Some(DataType::Float as i64);
        let half = cast.input.first().and_then(|name| halves.get(name.as_str())).filter(|_| to_single);
        let Some(numbers) = half.and_then(|half| singles(half)) else { continue };
        done.insert(at);
        let dims = numbers.dims.clone();
        made.push(match uses.only(&cast.output[0]).filter(|next| turns(&graph.node[*next])) {
            Some(next) if let [rows, columns] = *dims => {
                done.insert(next);
                let float_data = turned(&numbers.float_data, rows as usize, columns as usize);
                let name = graph.node[next].output[0].clone();
                TensorProto { name, dims: vec![columns, rows], float_data, ..numbers }
            }
            _ => TensorProto { name: cast.output[0].clone(), ..numbers },
        });
    }
    let mut at = 0..;
    graph.node.retain(|_| at.next().is_none_or(|at| !done.contains(&at)));
    graph.initializer.append(&mut made);
}

fn turns(node: &NodeProto) -> bool {
    node.op_type == "Transpose" && integers_attribute(node, "perm") == [1, 0]
}

/// What a file holds in half precision; `None` where it is held as no file of ours does.
fn singles(half: &TensorProto) -> Option<TensorProto> {
    /// As many as stay in the processor's nearest memory.
    const AT_ONCE: usize = 4096;
    let (stored, []) = half.raw_data.as_chunks::<2>() else { return None };
    let mut float_data = vec![0.0; stored.len()];
    let mut numbers = Vec::with_capacity(AT_ONCE);
    for (stored, single) in stored.chunks(AT_ONCE).zip(float_data.chunks_mut(AT_ONCE)) {
        numbers.clear();
        numbers.extend(stored.iter().map(|bytes| f16::from_le_bytes(*bytes)));
        numbers.convert_to_f32_slice(single);
    }
    let data_type = DataType::Float as i32;
    Some(TensorProto { data_type, dims: half.dims.clone(), float_data, ..TensorProto::default() })
}

/// By squares, of which the processor holds both sides nearby.
fn turned(numbers: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    const SIDE: usize = 16;
    let mut found = vec![0.0; numbers.len()];
    for first_row in (0..rows).step_by(SIDE) {
        for first_column in (0..columns).step_by(SIDE) {
            for column in first_column..columns.min(first_column + SIDE) {
                for row in first_row..rows.min(first_row + SIDE) {
                    found[column * rows + row] = numbers[row * columns + column];
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::{float_tensor, node, tensor, with_integer, with_integers};
    use super::*;

    fn in_half(name: &str, dims: &[usize], numbers: &[f32]) -> TensorProto {
        let bytes = numbers.iter().flat_map(|number| f16::from_f32(*number).to_le_bytes()).collect();
        tensor(name, DataType::Float16, dims, bytes)
    }

    fn cast(from: &str, to: &str) -> NodeProto {
        with_integer(node("Cast", &[from], &[to]), "to", DataType::Float as i64)
    }

    #[test]
    fn matrices_are_turned_where_nobody_wants_them_as_they_are() {
        let (rows, columns) = (19, 35);
        let numbers: Vec<f32> = (0..rows * columns).map(|at| at as f32).collect();
        let turn = |from: &str, to: &str| with_integers(node("Transpose", &[from], &[to]), "perm", &[1, 0]);
        let mut graph = GraphProto {
            initializer: vec![
                in_half("a half", &[rows, columns], &numbers),
                in_half("b half", &[rows, columns], &numbers),
                in_half("c half", &[3], &numbers[..3]),
                float_tensor("d", &[1.0]),
            ],
            node: vec![
                cast("a half", "a"),
                turn("a", "a turned"),
                cast("b half", "b"),
                turn("b", "b turned"),
                node("Gather", &["b", "ids"], &["found"]),
                cast("c half", "c"),
                cast("d", "still d"),
            ],
            ..GraphProto::default()
        };
        rewrite(&mut graph);
        let left: Vec<&str> = graph.node.iter().map(|node| node.output[0].as_str()).collect();
        assert_eq!(left, ["b turned", "found", "still d"]);
        let held = |name: &str| {
            let held = graph.initializer.iter().find(|held| held.name == name).expect("it is held");
            (held.dims.clone(), held.float_data.clone())
        };
        assert_eq!(held("b"), (vec![19, 35], numbers.clone()));
        assert_eq!(held("c"), (vec![3], numbers[..3].to_vec()));
        let (dims, turned) = held("a turned");
        assert_eq!(dims, [35, 19]);
        assert!((0..rows).all(|row| (0..columns).all(|at| turned[at * rows + row] == numbers[row * columns + at])));
    }
}
