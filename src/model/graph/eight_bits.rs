//! Products with large constant matrices in whole numbers of eight bits, for ONNX Runtime on a processor.
//!
//! The matrix gets one scale a column; what it is multiplied with gets one a call, found while it runs (dynamic
//! quantisation). Files hold the same whole numbers, which have been [unpacked](super::packed) and are found again here; those of a
//! file in half precision are rounded for the first time. `models/obbligato_models/quantise.py` does the same to a file, for measuring what it costs in music.

use super::{ONNX_RUNTIME, constants, float_tensor, integers_attribute, node, producers, tensor};
use half::f16;
use std::collections::HashMap;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, NodeProto, TensorProto};

/// Matrices with fewer numbers gain nothing: finding the scale of what they are multiplied with costs as much.
const MANY: usize = 32_768;
/// Of 127, as in `storage.py`, which writes the files. Processors without VNNI instructions add up pairs of products in 16 bits, which hold twice 255 · 64 and no more;
/// so each computes the same, and it costs a thousandth of a nat.
const LARGEST: f32 = 64.0;

pub fn rewrite(graph: &mut GraphProto) {
    let makers = producers(graph);
    let held: HashMap<&str, &TensorProto> = constants(graph).collect();
    let mut made = Vec::new();
    let mut products = HashMap::new();
    for (at, product) in super::inner_products(graph) {
        let Some(matrix) = Matrix::find(&makers, &held, &product.input[1]) else { continue };
        let Some((numbers, scales)) = matrix.rounded() else { continue };
        let [name, scale, zero] = ["eight bits", "scales", "zeros"].map(|what| format!("{} {what}", product.output[0]));
        made.push(tensor(&name, DataType::Int8, &[matrix.rows, matrix.columns], numbers));
        made.push(float_tensor(&scale, &scales));
        made.push(tensor(&zero, DataType::Int8, &[matrix.columns], vec![0; matrix.columns]));
        let mut whole =
            node("DynamicQuantizeMatMul", &[&product.input[0], &name, &scale, &zero], &[&product.output[0]]);
        whole.domain = ONNX_RUNTIME.into();
        products.insert(at, vec![whole]);
    }
    graph.initializer.extend(made);
    super::replace_nodes(graph, products);
}

/// A constant matrix, by rows.
struct Matrix {
    rows: usize,
    columns: usize,
    numbers: Vec<f32>,
}

impl Matrix {
    /// Through the casts and turns that an exporter leaves between a weight and its product.
    fn find(makers: &HashMap<&str, &NodeProto>, held: &HashMap<&str, &TensorProto>, name: &str) -> Option<Self> {
        if let Some(tensor) = held.get(name) {
            return Self::of(tensor);
        }
        let maker = makers.get(name)?;
        let inner = || Self::find(makers, held, &maker.input[0]);
        match maker.op_type.as_str() {
            "Cast" => inner(),
            "Transpose" if integers_attribute(maker, "perm") == [1, 0] => Some(inner()?.turned()),
            _ => None,
        }
    }

    fn of(tensor: &TensorProto) -> Option<Self> {
        let [rows, columns] = <[i64; 2]>::try_from(tensor.dims.as_slice()).ok()?.map(|size| size as usize);
        if rows * columns < MANY {
            return None;
        }
        let bytes = tensor.raw_data.as_slice();
        let numbers: Vec<f32> = match DataType::try_from(tensor.data_type).ok()? {
            DataType::Float => bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
            DataType::Float16 => bytes.as_chunks().0.iter().map(|bytes| f16::from_le_bytes(*bytes).to_f32()).collect(),
            _ => return None,
        };
        (numbers.len() == rows * columns).then_some(Self { rows, columns, numbers })
    }

    fn turned(&self) -> Self {
        let mut numbers = Vec::with_capacity(self.numbers.len());
        for column in 0..self.columns {
            numbers.extend(self.numbers.iter().skip(column).step_by(self.columns));
        }
        Self { rows: self.columns, columns: self.rows, numbers }
    }

    /// Whole numbers by rows, and the scale of each column. `None` where a number is not finite.
    fn rounded(&self) -> Option<(Vec<u8>, Vec<f32>)> {
        let mut largest = vec![0.0_f32; self.columns];
        for row in self.numbers.chunks_exact(self.columns) {
            largest.iter_mut().zip(row).for_each(|(most, number)| *most = most.max(number.abs()));
        }
        if !self.numbers.iter().all(|number| number.is_finite()) {
            return None;
        }
        let scales: Vec<f32> = largest.iter().map(|most| if *most > 0.0 { most / LARGEST } else { 1.0 }).collect();
        let rows = self.numbers.chunks_exact(self.columns);
        let whole = |(number, scale): (&f32, &f32)| (number / scale).round_ties_even() as i8 as u8;
        Some((rows.flat_map(|row| row.iter().zip(&scales).map(whole)).collect(), scales))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_column_has_its_scale_and_comes_back_within_half_a_step() {
        let numbers = vec![0.5, -8.0, 0.0, -0.25, 2.0, 0.0];
        let matrix = Matrix { rows: 2, columns: 3, numbers: numbers.clone() };
        let (whole, scales) = matrix.rounded().expect("they are finite");
        assert_eq!(scales, [0.5 / 64.0, 8.0 / 64.0, 1.0]);
        assert_eq!(whole.iter().map(|number| *number as i8).collect::<Vec<_>>(), [64, -64, 0, -32, 16, 0]);
        for (index, number) in numbers.iter().enumerate() {
            let scale = scales[index % 3];
            assert!((f32::from(whole[index] as i8) * scale - number).abs() <= scale / 2.0);
        }
        assert_eq!(matrix.turned().turned().numbers, numbers);
        assert_eq!(matrix.turned().numbers, [0.5, -0.25, -8.0, 2.0, 0.0, 0.0]);
        assert!(Matrix { numbers: vec![f32::NAN; 6], ..matrix }.rounded().is_none());
    }

    /// Pairs of products are added up in 16 bits where there is nothing better.
    #[test]
    fn two_of_the_largest_products_fit_into_sixteen_bits() {
        assert!(2.0 * f32::from(u8::MAX) * LARGEST <= f32::from(i16::MAX));
    }
}
