//! The ONNX file of a model: checked before any backend sees it, and given a fixed length. Pure.

use super::{Caches, graph};
use crate::contract::{AT_ONCE, Contract, ContractError, Controls, Engine};
use crate::runtime::Dialect;
use prost::Message;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::type_proto::{self, Tensor};
use tract_onnx::pb::{GraphProto, ModelProto, TensorProto, TensorShapeProto, TypeProto, ValueInfoProto};

/// A file that this build can play.
pub struct ModelFile<E = Controls> {
    proto: ModelProto,
    pub contract: Contract<E>,
}

/// Why a file cannot be played. Each reads on from "model `x` …".
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FileError {
    #[error("is empty")]
    Empty,
    #[error("is not in this build")]
    NotBuiltIn,
    #[error("is not an ONNX file, or is damaged ({0}): copy or export it again")]
    NotOnnx(String),
    #[error("is damaged: its tensor `{0}` is incomplete")]
    Incomplete(String),
    #[error("is damaged: its matrix `{0}` lacks scales, one a row, with which its numbers are finite")]
    Scales(String),
    #[error("keeps its weights in another file: export it as one file")]
    ExternalWeights,
    #[error("has no {kind} `{name}` of type {wanted}: export it again")]
    Graph { kind: &'static str, name: &'static str, wanted: String },
    #[error(transparent)]
    Contract(#[from] ContractError),
}

/// A tensor that goes into or comes out of the graph.
pub(super) struct Port {
    pub name: &'static str,
    pub data: DataType,
    pub shape: Vec<Size>,
}

#[derive(Clone, Copy)]
pub(super) enum Size {
    Fixed(usize),
    /// So many and the length that is open: tokens that are read at once, ticks of a roll.
    AndTokens(usize),
}

/// Reads a file of any engine.
pub(super) fn decode(bytes: &[u8]) -> Result<ModelProto, FileError> {
    if bytes.is_empty() {
        return Err(FileError::Empty);
    }
    ModelProto::decode(bytes).map_err(|error| FileError::NotOnnx(error.to_string()))
}

/// What a file says about itself under a key such as `obbligato.name`.
pub(super) fn metadata(proto: &ModelProto, key: &str) -> Option<String> {
    proto.metadata_props.iter().find(|entry| entry.key == key).map(|entry| entry.value.clone())
}

/// That the graph is whole and has these inputs and outputs.
pub(super) fn check(proto: &ModelProto, inputs: &[Port], outputs: &[Port]) -> Result<(), FileError> {
    let graph = proto.graph.as_ref().ok_or_else(|| FileError::NotOnnx("it has no graph".into()))?;
    graph.initializer.iter().try_for_each(check_complete)?;
    check_ports("input", &graph.input, inputs)?;
    check_ports("output", &graph.output, outputs)
}

/// Fixes the open length.
pub(super) fn fix_length(proto: &mut ModelProto, inputs: &[Port], outputs: &[Port], length: usize) {
    if let Some(GraphProto { input, output, value_info, .. }) = &mut proto.graph {
        fix(input, inputs, length);
        fix(output, outputs, length);
        // What was inferred for inner values may name the length that is fixed now.
        value_info.clear();
    }
}

impl<E: Engine> ModelFile<E> {
    /// # Errors
    /// When the file is damaged, was not made for Obbligato, or for another engine or version of it.
    pub fn read(bytes: &[u8]) -> Result<Self, FileError> {
        let mut proto = decode(bytes)?;
        let contract = Contract::read(|key| metadata(&proto, key))?;
        check(&proto, &inputs(&contract), &outputs(&contract))?;
        proto.graph.as_mut().map_or(Ok(()), graph::unpack)?;
        Ok(Self { proto, contract })
    }

    /// Gives the same network less to do.
    pub fn lighten(&mut self, dialect: Dialect) -> Caches {
        graph::lighten(&mut self.proto, &self.contract, dialect)
    }

    /// The same file for runs of exactly so many tokens: 1 or [`AT_ONCE`]. Backends plan fixed shapes best.
    pub fn with_length(&mut self, tokens: usize) -> &ModelProto {
        debug_assert!(tokens == 1 || tokens == AT_ONCE);
        let (mut inputs, outputs) = (inputs(&self.contract), outputs(&self.contract));
        let shape = vec![Size::Fixed(self.contract.window), Size::AndTokens(0)];
        inputs.push(Port { name: graph::GOES, data: DataType::Float, shape });
        fix_length(&mut self.proto, &inputs, &outputs, tokens);
        &self.proto
    }
}

/// What is said of an input or output of single-precision numbers.
pub fn floats(shape: &[usize]) -> ValueInfoProto {
    numbers(DataType::Float, shape)
}

pub fn numbers(data: DataType, shape: &[usize]) -> ValueInfoProto {
    let shape = shape.iter().map(|size| Size::Fixed(*size)).collect();
    let port = Port { name: "", data, shape };
    ValueInfoProto { r#type: Some(port.with_length(0)), ..ValueInfoProto::default() }
}

fn inputs<E: Engine>(contract: &Contract<E>) -> Vec<Port> {
    let tokens = Size::AndTokens(0);
    let cache = cache_shape(contract, Size::Fixed(contract.window));
    vec![
        Port { name: "ids", data: DataType::Int64, shape: vec![Size::Fixed(1), tokens] },
        Port { name: "cond", data: DataType::Float, shape: vec![Size::Fixed(1), tokens, Size::Fixed(E::CONDITIONS)] },
        Port { name: "pos", data: DataType::Int64, shape: vec![Size::Fixed(1), tokens] },
        Port {
            name: "mask",
            data: DataType::Float,
            shape: vec![Size::Fixed(1), Size::Fixed(1), tokens, Size::AndTokens(contract.window)],
        },
        Port { name: "past_k", data: DataType::Float, shape: cache.clone() },
        Port { name: "past_v", data: DataType::Float, shape: cache },
    ]
}

fn outputs<E: Engine>(contract: &Contract<E>) -> Vec<Port> {
    let tokens = Size::AndTokens(0);
    let new = cache_shape(contract, tokens);
    let said = E::OUTPUTS.iter().map(|&(name, size)| Port {
        name,
        data: DataType::Float,
        shape: vec![Size::Fixed(1), tokens, Size::Fixed(size)],
    });
    let caches = ["new_k", "new_v"].map(|name| Port { name, data: DataType::Float, shape: new.clone() });
    said.chain(caches).collect()
}

fn cache_shape<E>(contract: &Contract<E>, places: Size) -> Vec<Size> {
    let Contract { layers, heads, head_size, .. } = *contract;
    vec![Size::Fixed(layers), Size::Fixed(1), Size::Fixed(heads), places, Size::Fixed(head_size)]
}

fn check_ports(kind: &'static str, found: &[ValueInfoProto], wanted: &[Port]) -> Result<(), FileError> {
    let fits = |port: &Port| found.iter().any(|value| value.name == port.name && port.accepts(value));
    match wanted.iter().find(|port| !fits(port)) {
        Some(port) => Err(FileError::Graph { kind, name: port.name, wanted: port.to_string() }),
        None => Ok(()),
    }
}

impl Port {
    /// Same type and rank; fixed sizes are the same, and the length is open.
    fn accepts(&self, value: &ValueInfoProto) -> bool {
        let Some(TypeProto { value: Some(type_proto::Value::TensorType(tensor)), .. }) = &value.r#type else {
            return false;
        };
        let found: &[Dimension] = tensor.shape.as_ref().map_or(&[], |shape| &shape.dim);
        let same = |(size, found): (&Size, &Dimension)| match (size, &found.value) {
            (Size::Fixed(size), Some(dimension::Value::DimValue(found))) => *size as i64 == *found,
            (Size::AndTokens(_), Some(dimension::Value::DimValue(_))) => false,
            (Size::Fixed(_) | Size::AndTokens(_), Some(dimension::Value::DimParam(_)) | None) => true,
        };
        tensor.elem_type == self.data as i32
            && found.len() == self.shape.len()
            && self.shape.iter().zip(found).all(same)
    }

    fn with_length(&self, tokens: usize) -> TypeProto {
        let dimension = |size: &Size| {
            let size = match size {
                Size::Fixed(size) => *size,
                Size::AndTokens(more) => more + tokens,
            };
            Dimension { value: Some(dimension::Value::DimValue(size as i64)), ..Dimension::default() }
        };
        let shape = TensorShapeProto { dim: self.shape.iter().map(dimension).collect() };
        let tensor = Tensor { elem_type: self.data as i32, shape: Some(shape) };
        TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() }
    }
}

impl std::fmt::Display for Port {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let size = |size: &Size| match size {
            Size::Fixed(size) => size.to_string(),
            Size::AndTokens(0) => "T".into(),
            Size::AndTokens(more) => format!("{more} + T"),
        };
        let shape: Vec<String> = self.shape.iter().map(size).collect();
        write!(f, "{} [{}]", self.data.as_str_name().to_lowercase(), shape.join(", "))
    }
}

fn fix(values: &mut [ValueInfoProto], ports: &[Port], tokens: usize) {
    for value in values {
        if let Some(port) = ports.iter().find(|port| port.name == value.name) {
            value.r#type = Some(port.with_length(tokens));
        }
    }
}

/// A tensor's data are as many as its dimensions say; a backend might trust them.
fn check_complete(tensor: &TensorProto) -> Result<(), FileError> {
    if !tensor.external_data.is_empty() {
        return Err(FileError::ExternalWeights);
    }
    let elements =
        tensor.dims.iter().try_fold(1_usize, |product, size| product.checked_mul(usize::try_from(*size).ok()?));
    let size = match DataType::try_from(tensor.data_type) {
        Ok(DataType::Float | DataType::Int32 | DataType::Uint32) => 4,
        Ok(DataType::Float16 | DataType::Bfloat16 | DataType::Int16 | DataType::Uint16) => 2,
        Ok(DataType::Int64 | DataType::Uint64 | DataType::Double) => 8,
        Ok(DataType::Int8 | DataType::Uint8 | DataType::Bool) => 1,
        Ok(_) | Err(_) => return Err(FileError::Incomplete(tensor.name.clone())),
    };
    let typed = tensor.float_data.len().max(tensor.int32_data.len()).max(tensor.int64_data.len());
    let present = if tensor.raw_data.is_empty() { typed * size } else { tensor.raw_data.len() };
    let complete = elements.and_then(|elements| elements.checked_mul(size)) == Some(present);
    if complete { Ok(()) } else { Err(FileError::Incomplete(tensor.name.clone())) }
}

#[cfg(test)]
mod tests {
    use super::super::{EMBEDDED, EMBEDDED_DRUMMER};
    use super::*;
    use crate::contract::drums::DrumControls;
    use crate::runtime::{Device, Platform, Tract};

    fn embedded() -> ModelProto {
        ModelProto::decode(EMBEDDED).expect("the embedded model is an ONNX file")
    }

    /// The embedded model after a change.
    fn changed(change: impl FnOnce(&mut ModelProto)) -> Vec<u8> {
        let mut proto = embedded();
        change(&mut proto);
        proto.encode_to_vec()
    }

    fn graph(proto: &mut ModelProto) -> &mut GraphProto {
        proto.graph.as_mut().expect("a model has a graph")
    }

    fn error(bytes: &[u8]) -> String {
        ModelFile::<Controls>::read(bytes).err().expect("the file is not playable").to_string()
    }

    #[test]
    fn the_embedded_model_fits() {
        let file: ModelFile = ModelFile::read(EMBEDDED).expect("the embedded model fits this build");
        assert_eq!(file.contract.styles, crate::music::Style::NAMES);
    }

    #[test]
    fn the_embedded_drummer_fits_and_is_no_accompanist() {
        let file: ModelFile<DrumControls> =
            ModelFile::read(EMBEDDED_DRUMMER).expect("the embedded drummer fits this build");
        assert!(file.contract.controls.density.is_sorted());
        assert!(error(EMBEDDED_DRUMMER).contains("`obbligato.engine` = `drums`"));
    }

    #[test]
    fn a_fixed_length_is_written_everywhere_it_counts() {
        let mut file: ModelFile = ModelFile::read(EMBEDDED).expect("the embedded model fits this build");
        for tokens in [1, 32] {
            let window = file.contract.window;
            let graph = file.with_length(tokens).graph.as_ref().expect("a model has a graph");
            let sizes: Vec<i64> = graph.input.iter().chain(&graph.output).flat_map(dimensions).collect();
            let of_length = |length: usize| sizes.iter().filter(|size| **size == length as i64).count();
            assert!(sizes.iter().all(|size| *size > 0), "{sizes:?}");
            assert_eq!(of_length(window + tokens), 1, "the mask");
            assert!(of_length(tokens) >= 9, "{sizes:?}");
        }
    }

    fn dimensions(value: &ValueInfoProto) -> Vec<i64> {
        let Some(TypeProto { value: Some(type_proto::Value::TensorType(tensor)), .. }) = &value.r#type else {
            return Vec::new();
        };
        let size = |dimension: &Dimension| match dimension.value {
            Some(dimension::Value::DimValue(size)) => size,
            Some(dimension::Value::DimParam(_)) | None => -1,
        };
        tensor.shape.as_ref().map_or_else(Vec::new, |shape| shape.dim.iter().map(size).collect())
    }

    #[test]
    fn files_that_are_no_models_are_refused_in_words() {
        assert_eq!(error(b""), "is empty");
        assert!(error(b"MThd\0\0\0\x06\0\x01\0\x02").contains("is not an ONNX file, or is damaged"));
        for share in [10, 1000, EMBEDDED.len() / 2, EMBEDDED.len() - EMBEDDED.len() / 50] {
            let error = error(&EMBEDDED[..share]);
            assert!(error.contains("damaged") || error.contains("not made for Obbligato"), "{share} bytes: {error}");
        }
    }

    #[test]
    fn models_of_another_kind_are_refused_in_words() {
        let set = |key: &str, value: &str| {
            changed(|proto| {
                let entry = proto.metadata_props.iter_mut().find(|entry| entry.key == format!("obbligato.{key}"));
                entry.expect("the key is there").value = value.to_owned();
            })
        };
        assert!(error(&set("encoding", "7")).contains("was exported for encoding 7, this build reads 3"));
        assert!(error(&set("head_size", "31")).contains("has no input `past_k` of type float ["));
        assert!(error(&changed(|proto| proto.metadata_props.clear())).contains("was not made for Obbligato"));
        let renamed = changed(|proto| graph(proto).input[0].name = "tokens".into());
        assert!(error(&renamed).contains("has no input `ids` of type int64 [1, T]"));
        let without_output = changed(|proto| graph(proto).output.clear());
        assert!(error(&without_output).contains("has no output `logits`"));
    }

    #[test]
    fn a_graph_that_lost_nodes_is_refused() {
        let open = |bytes: &[u8]| {
            let mut file: ModelFile = ModelFile::read(bytes).expect("the ports are there");
            Tract.open(Device::Cpu, file.with_length(1), false).map(drop)
        };
        for kept in [3, 40, 400] {
            let cut = changed(|proto| graph(proto).node.truncate(kept));
            assert!(open(&cut).is_err(), "the outputs come from nowhere");
        }
        assert_eq!(open(EMBEDDED), Ok(()));
    }

    #[test]
    fn a_tensor_that_lost_data_is_named() {
        let cut = changed(|proto| graph(proto).initializer[0].raw_data.truncate(7));
        assert!(error(&cut).contains("is incomplete"), "{}", error(&cut));
        let huge = changed(|proto| graph(proto).initializer[0].dims = vec![i64::MAX, i64::MAX]);
        assert!(error(&huge).contains("is incomplete"));
        let external = changed(|proto| graph(proto).initializer[0].external_data.push(Default::default()));
        assert!(error(&external).contains("in another file"));
        let without_scales = changed(|proto| graph(proto).initializer.retain(|tensor| tensor.name != "table.scales"));
        assert!(error(&without_scales).contains("its matrix `table` lacks scales"), "{}", error(&without_scales));
    }
}
