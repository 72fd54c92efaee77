//! Model files so small that one knows what they say, of each engine over rolls and of the extender: written here, node by
//! node, so that the way from a file to notes is tested without trained weights.

use prost::Message;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::type_proto::{self, Tensor};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto, TensorProto,
    TensorShapeProto, TypeProto, ValueInfoProto,
};

const ROWS: usize = 96;
const LOWEST_KEY: usize = 16;
const VOCABULARY: usize = 1505;

/// Plays the melody in all parts: bass two octaves below, chords one below, counter one above, pad in its own octave.
pub fn gan() -> Vec<u8> {
    let mut graph = Graph::default();
    let pad = |row: usize| Some(39 + (row + LOWEST_KEY + 12 - 7) % 12);
    let moved = |semitones: isize| move |row: usize| row.checked_add_signed(semitones).filter(|row| *row < ROWS);
    let parts = [
        graph.moved_rows("melody", "bass", moved(-24)),
        graph.moved_rows("melody", "chords_part", moved(-12)),
        graph.moved_rows("melody", "counter", moved(12)),
        graph.moved_rows("melody", "pad", pad),
    ];
    graph.concat(&parts, "all");
    graph.sure("all", "cells");
    let inputs = [
        ("melody", vec![1, 2, T, 96]),
        ("before", vec![1, 10, T, 96]),
        ("chords", vec![1, 13, T]),
        ("clock", vec![1, 3, T]),
        ("noise", vec![1, 32]),
        ("cond", vec![1, 41]),
    ];
    let none = [0.0; 11];
    let quantiles = format!(r#"{{"density":{none:?},"register":{none:?},"length":{none:?}}}"#);
    let controls = format!(r#"{{"bass":{quantiles},"chords":{quantiles},"counter":{quantiles},"styles":{{}}}}"#);
    let own = [
        ("engine", "gan"),
        ("encoding", "1"),
        ("name", "Small GAN"),
        ("parts", "bass chords counter pad"),
        ("controls", &controls),
        ("thresholds", "0 0 0 0"),
        ("cell_noise", "0.3"),
        ("lean", "0.5"),
        ("noise", "32"),
    ];
    graph.file(&inputs, &[("cells", vec![1, 8, T, 96])], &[&ROLLS[..], &own].concat())
}

/// Brings black keys down by a semitone.
pub fn enhancer() -> Vec<u8> {
    let is_black = |row: usize| [1, 3, 6, 8, 10].contains(&((row + LOWEST_KEY) % 12));
    let mut graph = Graph::default();
    graph.channel("melody", 0, "onset");
    graph.channel("melody", 1, "sustain");
    let below = graph.moved_rows("onset", "below", |row| is_black(row).then(|| row - 1));
    let wrong = graph.moved_rows("onset", "wrong", |row| is_black(row).then_some(row));
    graph.concat(&[below, wrong, "sustain".into()], "all");
    graph.sure("all", "cells");
    let inputs = [
        ("melody", vec![1, 2, T, 96]),
        ("around", vec![1, 4, T, 96]),
        ("locked", vec![1, 1, T, 96]),
        ("profile", vec![1, 12, 1]),
        ("clock", vec![1, 3, T]),
        ("cond", vec![1, 41]),
    ];
    let own = [
        ("engine", "arcnn"),
        ("encoding", "1"),
        ("name", "Small enhancer"),
        ("parts", "enhanced"),
        ("cell_noise", "0.5"),
    ];
    graph.file(&inputs, &[("cells", vec![1, 3, T, 96])], &[&ROLLS[..], &own].concat())
}

/// Strikes each quarter, a semitone higher each time, from middle C in each bar.
pub fn extender() -> Vec<u8> {
    const POSITION: usize = 16;
    const NOTE: usize = 185;
    const BAR: std::ops::Range<usize> = 8..12;
    let mut table = vec![0.0_f32; VOCABULARY * VOCABULARY];
    for (token, row) in table.chunks_exact_mut(VOCABULARY).enumerate() {
        if (POSITION..POSITION + 48).contains(&token) {
            let (key, quarter) = (60 + (token - POSITION) / 12, 8);
            row[NOTE + 15 * (key - 21) + quarter] = 20.0;
        } else {
            // The nearest is a little likelier, so that there is a likeliest.
            (0..48).step_by(12).for_each(|tick| row[POSITION + tick] = 20.0 - 0.05 * tick as f32);
            BAR.for_each(|bar| row[bar] = 10.0);
        }
    }
    let mut graph = Graph::default();
    graph.constant("table", DataType::Float, &[VOCABULARY, VOCABULARY], bytes_of(&table));
    graph.constant("twelve", DataType::Float, &[VOCABULARY, 12], bytes_of(&vec![0.0; 12 * VOCABULARY]));
    for (table, output) in [("table", "logits"), ("twelve", "loudness"), ("twelve", "coming")] {
        graph.node("Gather", &[table, "ids"], output, &[]);
    }
    graph.node("Cast", &["ids"], "numbers", &[integer("to", DataType::Float as i64)]);
    let shape: Vec<u8> = [1_i64, 1, 1, -1, 1].iter().flat_map(|size| size.to_le_bytes()).collect();
    graph.constant("places", DataType::Int64, &[5], shape);
    graph.node("Reshape", &["numbers", "places"], "placed", &[]);
    for output in ["new_k", "new_v"] {
        let nothing = format!("{output} nothing");
        graph.constant(&nothing, DataType::Float, &[1, 1, 1, 1, 2], bytes_of(&[0.0; 2]));
        graph.node("Mul", &["placed", &nothing], output, &[]);
    }
    let inputs = [
        ("ids", vec![1, T]),
        ("cond", vec![1, T, 41]),
        ("pos", vec![1, T]),
        ("mask", vec![1, 1, T, P_AND_T]),
        ("past_k", vec![1, 1, 1, 512, 2]),
        ("past_v", vec![1, 1, 1, 512, 2]),
    ];
    let outputs = [
        ("logits", vec![1, T, VOCABULARY as i64]),
        ("loudness", vec![1, T, 12]),
        ("coming", vec![1, T, 12]),
        ("new_k", vec![1, 1, 1, T, 2]),
        ("new_v", vec![1, 1, 1, T, 2]),
    ];
    let own = [
        ("engine", "extender"),
        ("encoding", "3"),
        ("name", "Small extender"),
        ("parts", "melody"),
        ("controls", "{}"),
        ("window", "512"),
        ("layers", "1"),
        ("heads", "1"),
        ("head_size", "2"),
    ];
    graph.file(&inputs, &outputs, &own)
}

/// Sizes that are open in the file.
const T: i64 = -1;
const P_AND_T: i64 = -2;

const ROLLS: [(&str, &str); 2] = [("bars", "4"), ("keys", "16 96")];

#[derive(Default)]
struct Graph {
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
}

impl Graph {
    fn node(&mut self, operator: &str, inputs: &[&str], output: &str, attributes: &[AttributeProto]) {
        self.nodes.push(NodeProto {
            op_type: operator.into(),
            name: output.into(),
            input: inputs.iter().map(|input| (*input).to_owned()).collect(),
            output: vec![output.into()],
            attribute: attributes.to_vec(),
            ..NodeProto::default()
        });
    }

    fn constant(&mut self, name: &str, kind: DataType, dims: &[usize], raw_data: Vec<u8>) {
        let dims = dims.iter().map(|size| *size as i64).collect();
        let data_type = kind as i32;
        self.constants.push(TensorProto { name: name.into(), data_type, dims, raw_data, ..TensorProto::default() });
    }

    /// Each row goes where `to` says.
    fn moved_rows(&mut self, input: &str, output: &str, to: impl Fn(usize) -> Option<usize>) -> String {
        let mut places = vec![0.0; ROWS * ROWS];
        (0..ROWS).for_each(|row| to(row).into_iter().for_each(|to| places[row * ROWS + to] = 1.0));
        let name = format!("{output} rows");
        self.constant(&name, DataType::Float, &[ROWS, ROWS], bytes_of(&places));
        self.node("MatMul", &[input, &name], output, &[]);
        output.to_owned()
    }

    fn channel(&mut self, input: &str, index: i64, output: &str) {
        let name = format!("{output} index");
        self.constant(&name, DataType::Int64, &[1], index.to_le_bytes().to_vec());
        self.node("Gather", &[input, &name], output, &[integer("axis", 1)]);
    }

    fn concat(&mut self, inputs: &[String], output: &str) {
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        self.node("Concat", &inputs, output, &[integer("axis", 1)]);
    }

    /// Cells as logits that leave no doubt.
    fn sure(&mut self, input: &str, output: &str) {
        self.constant("twice as sure", DataType::Float, &[1], bytes_of(&[40.0]));
        self.constant("sure", DataType::Float, &[1], bytes_of(&[20.0]));
        self.node("Mul", &[input, "twice as sure"], "doubled", &[]);
        self.node("Sub", &["doubled", "sure"], output, &[]);
    }

    fn file(self, inputs: &[(&str, Vec<i64>)], outputs: &[(&str, Vec<i64>)], own: &[(&str, &str)]) -> Vec<u8> {
        let shared = [
            ("grid", "12"),
            ("metres", "4/4 3/4 2/4 6/8"),
            ("styles", "Plain|Fancy"),
            ("licence", "CC0"),
            ("data", "nothing"),
            ("commit", "0"),
            ("scores", "{}"),
        ];
        let entry = |(key, value): &(&str, &str)| StringStringEntryProto {
            key: format!("obbligato.{key}"),
            value: (*value).to_owned(),
        };
        let port = |(name, shape): &(&str, Vec<i64>)| port(name, shape);
        let graph = GraphProto {
            name: "small".into(),
            node: self.nodes,
            initializer: self.constants,
            input: inputs.iter().map(port).collect(),
            output: outputs.iter().map(port).collect(),
            ..GraphProto::default()
        };
        let file = ModelProto {
            ir_version: 8,
            opset_import: vec![OperatorSetIdProto { domain: String::new(), version: 17 }],
            graph: Some(graph),
            metadata_props: shared.iter().chain(own).map(entry).collect(),
            ..ModelProto::default()
        };
        file.encode_to_vec()
    }
}

fn port(name: &str, shape: &[i64]) -> ValueInfoProto {
    let value = |size: &i64| match *size {
        T => dimension::Value::DimParam("T".into()),
        P_AND_T => dimension::Value::DimParam("P_T".into()),
        size => dimension::Value::DimValue(size),
    };
    let dim = shape.iter().map(|size| Dimension { value: Some(value(size)), ..Dimension::default() }).collect();
    let kind = if matches!(name, "ids" | "pos") { DataType::Int64 } else { DataType::Float };
    let tensor = Tensor { elem_type: kind as i32, shape: Some(TensorShapeProto { dim }) };
    let kind = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() };
    ValueInfoProto { name: name.into(), r#type: Some(kind), ..ValueInfoProto::default() }
}

fn integer(name: &str, number: i64) -> AttributeProto {
    let kind = AttributeType::Int as i32;
    AttributeProto { name: name.into(), r#type: kind, i: number, ..AttributeProto::default() }
}

fn bytes_of(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}
