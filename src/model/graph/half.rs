//! Products with constant matrices in half precision, as files are unpacked: for devices, which read a matrix from memory more slowly
//! than they multiply.
//!
//! Only the products themselves: norms, sums and what the network says stay in single precision.

use super::{constants, integers_attribute, node, producers, with_integer, with_integers};
use std::collections::{HashMap, HashSet};
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, NodeProto, TensorProto};

pub fn rewrite(graph: &mut GraphProto) {
    let makers = producers(graph);
    let held: HashMap<&str, &TensorProto> = constants(graph).collect();
    let mut made = HashSet::new();
    let mut products = HashMap::new();
    for (at, product) in super::inner_products(graph) {
        let Some(matrix) = Matrix::find(&makers, &held, &product.input[1]) else { continue };
        products.insert(at, in_half(product, &matrix, &mut made));
    }
    super::replace_nodes(graph, products);
}

/// `made` are the values that are there in half precision.
fn in_half(product: &NodeProto, matrix: &Matrix, made: &mut HashSet<String>) -> Vec<NodeProto> {
    let (vector, result) = (&product.input[0], &product.output[0]);
    let [half_vector, half_result] = [vector, result].map(|value| format!("{value} in half"));
    let mut nodes = Vec::new();
    if made.insert(half_vector.clone()) {
        nodes.push(cast(vector, &half_vector, DataType::Float16));
    }
    let mut factor = matrix.name.to_owned();
    if matrix.turned {
        factor = format!("{} turned", matrix.name);
        if made.insert(factor.clone()) {
            nodes.push(with_integers(node("Transpose", &[matrix.name], &[&factor]), "perm", &[1, 0]));
        }
    }
    nodes.push(node("MatMul", &[&half_vector, &factor], &[&half_result]));
    nodes.push(cast(&half_result, result, DataType::Float));
    made.insert(half_result);
    nodes
}

fn cast(from: &str, to: &str, kind: DataType) -> NodeProto {
    with_integer(node("Cast", &[from], &[to]), "to", i64::from(kind as i32))
}

/// A constant in half precision, and whether its rows become columns before it is multiplied with.
struct Matrix<'a> {
    name: &'a str,
    turned: bool,
}

impl<'a> Matrix<'a> {
    /// Through the casts and turns that an exporter leaves between a weight and its product.
    fn find(
        makers: &HashMap<&str, &'a NodeProto>,
        held: &HashMap<&'a str, &TensorProto>,
        name: &'a str,
    ) -> Option<Self> {
        if let Some(tensor) = held.get(name) {
            let fits = tensor.data_type == DataType::Float16 as i32 && tensor.dims.len() == 2;
            return fits.then_some(Self { name, turned: false });
        }
        let maker = makers.get(name)?;
        let inner = || Self::find(makers, held, &maker.input[0]);
        match maker.op_type.as_str() {
            "Cast" => inner(),
            "Transpose" if integers_attribute(maker, "perm") == [1, 0] => {
                inner().map(|matrix| Self { turned: !matrix.turned, ..matrix })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::EMBEDDED;
    use super::super::super::file::ModelFile;
    use super::super::super::memory::{Listener, Memory};
    use super::*;
    use crate::contract::{AT_ONCE, Controls, Engine};
    use crate::model::Caches;
    use crate::runtime::{Device, Dialect, Platform, Tract};
    use std::sync::Arc;

    /// In tract, which multiplies in half precision where a graph says so; ONNX Runtime's processor takes the casts out.
    #[test]
    fn half_precision_says_nearly_the_same() {
        let mut file = ModelFile::<Controls>::read(EMBEDDED).expect("it is ours");
        assert_eq!(file.lighten(Dialect::Standard), Caches::Told);
        let single = file.with_length(AT_ONCE).clone();
        let mut model = single.clone();
        rewrite(model.graph.as_mut().expect("a model has a graph"));
        let tokens: Vec<u16> = (0..AT_ONCE as u16).map(|at| 2 + at * 13 % 300).collect();
        let said = [single, model].map(|model| {
            let mut session = Tract.open(Device::Cpu, &model, false).expect("it can be planned");
            let mut memory = Memory::empty(&file.contract, Caches::Told, Listener::of(&Arc::default()));
            let memory = memory.as_mut().expect("there is room");
            memory.prepare(0, &tokens, &vec![0.3; AT_ONCE * Controls::CONDITIONS], AT_ONCE);
            let mut logits = Vec::new();
            let mut take = |name: &str, numbers: &[f32]| {
                if name == "logits" {
                    logits.extend_from_slice(numbers);
                }
            };
            memory.run(&mut session, 0, AT_ONCE, AT_ONCE, &mut take).expect("it computes");
            logits
        });
        let apart = said[0].iter().zip(&said[1]).map(|(single, half)| (single - half).abs()).fold(0.0, f32::max);
        println!("logits move by {apart} at most");
        assert!(apart > 0.0 && apart < 0.1, "{apart}");
    }
}
