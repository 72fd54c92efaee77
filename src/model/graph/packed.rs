//! Matrices that a file stores in eight bits with one scale a row, unpacked to half precision when it is read. Pure.
//!
//! Nothing else has to know of them: what comes out is what files in half precision hold, a constant and a cast. The whole
//! numbers are found again where they are computed with ([`eight_bits`](super::eight_bits)), since a row's largest number
//! is stored so that half precision holds it. `models/obbligato_models/storage.py` writes them.

use super::{integer_attribute, node, tensor, with_integer};
use crate::model::file::FileError;
use half::f16;
use half::slice::HalfFloatSliceExt;
use std::collections::{HashMap, HashSet};
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, NodeProto, TensorProto};

/// # Errors
/// When a matrix has not one scale a row, or a number that comes out is not finite in half precision. The tensors are
/// complete, or this is not called.
pub fn unpack(graph: &mut GraphProto) -> Result<(), FileError> {
    let held: HashMap<&str, &TensorProto> = graph.initializer.iter().map(|held| (held.name.as_str(), held)).collect();
    let mut made = Vec::new();
    let mut read = HashSet::new();
    let mut casts = HashMap::new();
    for (at, unpacks) in graph.node.iter().enumerate() {
        let Some(matrix) = Matrix::find(unpacks, &held) else { continue };
        let [name] = unpacks.output.as_slice() else { continue };
        let numbers = matrix.numbers().ok_or_else(|| FileError::Scales(name.clone()))?;
        let half = format!("{name}.half");
        made.push(tensor(&half, DataType::Float16, &[matrix.rows, matrix.columns], numbers));
        let to = i64::from(DataType::Float as i32);
        casts.insert(at, vec![with_integer(node("Cast", &[&half], &[name]), "to", to)]);
        read.extend(unpacks.input.iter().cloned());
    }
    graph.initializer.retain(|tensor| !read.contains(&tensor.name));
    graph.initializer.append(&mut made);
    super::replace_nodes(graph, casts);
    Ok(())
}

/// A constant in eight bits, by rows.
struct Matrix<'a> {
    rows: usize,
    columns: usize,
    whole: &'a TensorProto,
    scales: Option<&'a TensorProto>,
}

impl<'a> Matrix<'a> {
    /// What else a network may unpack, such as a tensor with one scale in all, is left to the backend.
    fn find(unpacks: &NodeProto, held: &HashMap<&str, &'a TensorProto>) -> Option<Self> {
        let constant = |at: usize| held.get(unpacks.input.get(at)?.as_str()).copied();
        let by_rows = unpacks.op_type == "DequantizeLinear" && integer_attribute(unpacks, "axis") == Some(0);
        let whole = constant(0).filter(|whole| by_rows && whole.data_type == DataType::Int8 as i32)?;
        let [rows, columns] = <[i64; 2]>::try_from(whole.dims.as_slice()).ok()?.map(|size| size as usize);
        let named = unpacks.input.get(2).filter(|zero| !zero.is_empty());
        let from_zero = named.is_none_or(|_| constant(2).is_some_and(|zero| bytes(zero).all(|byte| byte == 0)));
        from_zero.then_some(Self { rows, columns, whole, scales: constant(1) })
    }

    /// In half precision, as a file holds them.
    fn numbers(&self) -> Option<Vec<u8>> {
        let scales = floats(self.scales?);
        if scales.len() != self.rows {
            return None;
        }
        let mut numbers = Vec::with_capacity(2 * self.rows * self.columns);
        let (mut row, mut halves) = (Vec::new(), Vec::new());
        let mut whole = bytes(self.whole);
        for scale in scales {
            row.clear();
            row.extend(whole.by_ref().take(self.columns).map(|number| f32::from(number) * scale));
            // A row at a time is many times as fast as a number at a time.
            halves.resize(row.len(), f16::ZERO);
            halves.convert_from_f32_slice(&row);
            if !halves.iter().all(|number| number.is_finite()) {
                return None;
            }
            numbers.extend(halves.iter().flat_map(|number| number.to_le_bytes()));
        }
        Some(numbers)
    }
}

/// Of a tensor in eight bits, in either of the two places that it may have.
fn bytes(tensor: &TensorProto) -> impl Iterator<Item = i8> {
    let typed = tensor.int32_data.iter().map(|number| *number as i8);
    tensor.raw_data.iter().map(|byte| *byte as i8).chain(typed)
}

/// Of a tensor in single precision; none of any other.
fn floats(tensor: &TensorProto) -> Vec<f32> {
    if tensor.data_type != DataType::Float as i32 {
        return Vec::new();
    }
    let raw = tensor.raw_data.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
    raw.chain(tensor.float_data.iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::file::ModelFile;
    use super::super::super::{EMBEDDED, EMBEDDED_DRUMMER, EMBEDDED_EXTENDER};
    use super::super::float_tensor;
    use super::*;
    use crate::contract::drums::DrumControls;
    use crate::contract::extender::ExtenderControls;
    use crate::contract::{Controls, Engine};
    use crate::runtime::Dialect;
    use prost::Message;
    use tract_onnx::pb::ModelProto;

    /// A matrix of two rows of three, and the node that unpacks it.
    fn stored(scales: &[f32]) -> GraphProto {
        let whole: Vec<u8> = [64_i8, -32, 0, 5, 127, -128].map(|number| number as u8).to_vec();
        let unpacks = node("DequantizeLinear", &["w.whole", "w.scales"], &["w"]);
        GraphProto {
            initializer: vec![tensor("w.whole", DataType::Int8, &[2, 3], whole), float_tensor("w.scales", scales)],
            node: vec![with_integer(unpacks, "axis", 0)],
            ..GraphProto::default()
        }
    }

    fn halves(tensor: &TensorProto) -> Vec<f32> {
        tensor.raw_data.as_chunks().0.iter().map(|bytes| f16::from_le_bytes(*bytes).to_f32()).collect()
    }

    #[test]
    fn each_row_has_its_scale_and_what_comes_out_is_half_precision_and_a_cast() {
        let mut graph = stored(&[0.25, 2.0]);
        unpack(&mut graph).expect("it is whole");
        let [half] = graph.initializer.as_slice() else { panic!("what was packed is gone: {graph:?}") };
        assert_eq!((half.name.as_str(), half.dims.as_slice()), ("w.half", [2, 3].as_slice()));
        assert_eq!(halves(half), [16.0, -8.0, 0.0, 10.0, 254.0, -256.0]);
        let [cast] = graph.node.as_slice() else { panic!("one node: {graph:?}") };
        assert_eq!((cast.op_type.as_str(), &cast.input[0], &cast.output[0]), ("Cast", &half.name, &"w".to_owned()));
        assert_eq!(integer_attribute(cast, "to"), Some(i64::from(DataType::Float as i32)));
    }

    #[test]
    fn numbers_in_the_other_place_and_a_zero_point_of_zeros_mean_the_same() {
        let (mut graph, mut expected) = (stored(&[0.25, 2.0]), stored(&[0.25, 2.0]));
        let [whole, scales] = graph.initializer.as_mut_slice() else { panic!("two constants") };
        whole.int32_data = whole.raw_data.drain(..).map(|byte| i32::from(byte as i8)).collect();
        scales.float_data = floats(scales);
        scales.raw_data.clear();
        graph.initializer.push(tensor("zeros", DataType::Int8, &[2], vec![0; 2]));
        graph.node[0].input.push("zeros".into());
        unpack(&mut graph).expect("it is whole");
        unpack(&mut expected).expect("it is whole");
        assert_eq!(graph, expected);
    }

    #[test]
    fn what_is_stored_otherwise_is_left_alone() {
        let changes: [fn(&mut GraphProto); 4] = [
            |graph| graph.node[0].attribute.clear(),
            |graph| graph.initializer[0].data_type = DataType::Uint8 as i32,
            |graph| graph.initializer[0].dims = vec![6],
            |graph| {
                graph.initializer.push(tensor("points", DataType::Int8, &[2], vec![0, 1]));
                graph.node[0].input.push("points".into());
            },
        ];
        for change in changes {
            let mut graph = stored(&[0.25, 2.0]);
            change(&mut graph);
            let before = graph.clone();
            unpack(&mut graph).expect("it is not ours");
            assert_eq!(graph, before);
        }
    }

    #[test]
    fn a_matrix_without_good_scales_is_named() {
        let refused = |graph: &mut GraphProto| unpack(graph).expect_err("it is damaged").to_string();
        for scales in [&[0.25][..], &[0.25; 3], &[], &[0.25, f32::NAN], &[f32::INFINITY, 1.0], &[0.25, 1e6]] {
            let error = refused(&mut stored(scales));
            assert!(error.starts_with("is damaged: its matrix `w`"), "{scales:?}: {error}");
        }
        let mut lost = stored(&[0.25, 2.0]);
        lost.initializer.truncate(1);
        assert!(refused(&mut lost).contains("`w`"));
        let mut of_another_kind = stored(&[0.25, 2.0]);
        of_another_kind.initializer[1].data_type = DataType::Int32 as i32;
        assert!(refused(&mut of_another_kind).contains("`w`"));
    }

    /// The matrices in a file, by name: whole numbers and scales by rows.
    fn packed(bytes: &[u8]) -> HashMap<String, (Vec<i8>, Vec<f32>, usize)> {
        let graph = ModelProto::decode(bytes).expect("an ONNX file").graph.expect("a model has a graph");
        let held = graph.initializer.iter().map(|held| (held.name.as_str(), held)).collect();
        let found = graph.node.iter().filter_map(|unpacks| {
            let matrix = Matrix::find(unpacks, &held)?;
            let scales = floats(matrix.scales.expect("it has scales"));
            Some((unpacks.output[0].clone(), (super::bytes(matrix.whole).collect(), scales, matrix.columns)))
        });
        found.collect()
    }

    /// What ONNX Runtime computes with on a processor is what the file holds.
    fn check_whole_numbers<E: Engine>(bytes: &[u8], products: usize) {
        let packed = packed(bytes);
        let mut file = ModelFile::<E>::read(bytes).expect("it is ours");
        file.lighten(Dialect::EightBits);
        let graph = file.with_length(1).graph.as_ref().expect("a model has a graph");
        let held: HashMap<&str, &TensorProto> =
            graph.initializer.iter().map(|held| (held.name.as_str(), held)).collect();
        let mut found = 0;
        for product in graph.node.iter().filter(|node| node.op_type == "DynamicQuantizeMatMul") {
            let [whole, scales] = [1, 2].map(|at| held[product.input[at].as_str()]);
            // The stored matrix whose rows are these columns, by its numbers: the names of products are PyTorch's.
            let turned = |stored: &(Vec<i8>, Vec<f32>, usize)| {
                let (numbers, columns) = (&stored.0, stored.2);
                whole.dims[0] as usize == columns
                    && numbers.len() == whole.raw_data.len()
                    && (0..columns).all(|column| {
                        let row = super::bytes(whole).skip(column * stored.1.len()).take(stored.1.len());
                        row.eq(numbers.iter().skip(column).step_by(columns).copied())
                    })
            };
            let stored = packed.values().find(|stored| turned(stored)).expect("the whole numbers are the file's");
            for (found, stored) in floats(scales).iter().zip(&stored.1) {
                assert!((found - stored).abs() <= 1e-3 * stored, "{found} for {stored}");
            }
            found += 1;
        }
        assert_eq!(found, products);
    }

    #[test]
    fn the_whole_numbers_that_are_computed_with_are_those_of_the_file() {
        check_whole_numbers::<Controls>(EMBEDDED, 42);
        check_whole_numbers::<DrumControls>(EMBEDDED_DRUMMER, 8);
    }

    /// What files held before they were packed.
    #[test]
    fn a_file_in_half_precision_is_the_same_model() {
        fn check<E: Engine>(bytes: &[u8], matrices: usize) {
            let mut former = ModelProto::decode(bytes).expect("an ONNX file");
            assert_eq!(packed(bytes).len(), matrices);
            unpack(former.graph.as_mut().expect("a model has a graph")).expect("it is whole");
            let former = former.encode_to_vec();
            assert_eq!(packed(&former).len(), 0);
            assert!(former.len() > bytes.len() * 4 / 3, "half precision is larger");
            let [packed, former] = [bytes, &former].map(|bytes| {
                let mut file = ModelFile::<E>::read(bytes).expect("it is ours");
                file.lighten(Dialect::Standard);
                file.with_length(1).clone()
            });
            assert!(packed == former);
        }
        check::<Controls>(EMBEDDED, 44);
        check::<DrumControls>(EMBEDDED_DRUMMER, 26);
        EMBEDDED_EXTENDER.into_iter().for_each(|bytes| check::<ExtenderControls>(bytes, 43));
    }
}
