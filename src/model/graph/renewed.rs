//! Caches that the network says anew, whole, with each run: what comes out of one run goes into the next, and so need not leave
//! the device in between. Made of plain operators, so any device runs it.
//!
//! `kept = past · stays + goes · new`, with a column of ones and zeros for the places that stay, and a matrix with a one where a
//! place of the window takes in a new token. Ones and zeros change no number.

use super::{CACHES, kept, layer_of, node, replace_nodes};
use crate::contract::Contract;
use std::collections::{HashMap, HashSet};
use tract_onnx::pb::{GraphProto, NodeProto, ValueInfoProto};

/// Inputs: `[window, 1]`, 1 for the places that stay as they are; `[window, tokens]`, 1 where a place takes in a token.
pub const STAYS: &str = "stays";
pub const GOES: &str = "goes";

/// Whether each layer puts its new keys and values behind a cache, as is looked for; if not, the graph is as it was.
pub fn rewrite<E>(graph: &mut GraphProto, contract: &Contract<E>) -> bool {
    let caches = || CACHES.iter().flat_map(|cache| (0..contract.layers).map(|layer| layer_of(cache, layer)));
    let mut replaced: HashMap<usize, Vec<NodeProto>> = HashMap::new();
    for (at, joined) in graph.node.iter().enumerate() {
        let is_cache = |name: &String| CACHES.iter().any(|cache| name.starts_with(cache));
        if joined.op_type == "Concat" && joined.input.len() == 2 && is_cache(&joined.input[0]) {
            replaced.insert(at, [vec![joined.clone()], renew(&joined.input[0], &joined.input[1])].concat());
        }
    }
    if replaced.len() != caches().count() {
        return false;
    }
    replace_nodes(graph, replaced);
    let new: HashSet<&str> = super::super::memory::NEW.into_iter().collect();
    graph.output.retain(|output| !new.contains(output.name.as_str()));
    let shape = [1, contract.heads, contract.window, contract.head_size];
    let floats = super::super::file::floats;
    graph.output.extend(caches().map(|layer| ValueInfoProto { name: kept(&layer), ..floats(&shape) }));
    graph.input.push(ValueInfoProto { name: STAYS.into(), ..floats(&[contract.window, 1]) });
    // Its type is written with the number of tokens.
    graph.input.push(ValueInfoProto { name: GOES.into(), ..ValueInfoProto::default() });
    true
}

fn renew(past: &str, new: &str) -> Vec<NodeProto> {
    let [stays, comes] = ["stays", "comes"].map(|what| format!("{past} {what}"));
    vec![
        node("Mul", &[past, STAYS], &[&stays]),
        node("MatMul", &[GOES, new], &[&comes]),
        node("Add", &[&stays, &comes], &[&kept(past)]),
    ]
}
