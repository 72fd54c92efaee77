"""What the program does to a model when it loads it for ONNX Runtime on a CPU, as a file: large matrices in eight bits.

python -m obbligato_models.quantise weights/accompanist.onnx accompanist-int8.onnx
python -m obbligato_models.quantise weights/drums.onnx drums-int8.onnx

For measuring what eight bits cost; nobody has to make such a file for the program, which rounds every model by itself
(src/model/graph/eight_bits.rs). Weights get one scale a column and what they are multiplied with one a call, found
while it runs (`onnxruntime.quantization.quantize_dynamic`). The table of tokens, the small matrices and attention stay
as they are. Files hold their large matrices in eight bits already (storage.py), but say nothing of what these are
multiplied with: that is what is measured of them. Of a file in half precision it is both.
The command says how far the file's words are from the original's on made-up music, and how much faster a token is; what
it costs in music is for `evaluate` to say, with the plugin's own command line (models/evaluation.md), and for
`drums.evaluate --file`.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

from . import export, storage
from .drums import export as drums
from .drums import parity
from .transformer.model import Shape

MANY = storage.ROUNDED
"""Matrices with fewer numbers gain nothing: finding the scale of what they read costs as much."""


def quantise(graph: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph with its large constant matrices in eight bits; metadata and names stay."""
    with tempfile.TemporaryDirectory() as folder:
        folded, small = Path(folder) / "folded.onnx", Path(folder) / "small.onnx"
        fold_constants(graph, folded)
        folded_graph = onnx.load(folded)
        quantize_dynamic(
            folded,
            small,
            op_types_to_quantize=["MatMul"],
            nodes_to_quantize=large_products(folded_graph.graph),
            per_channel=True,
            # Numbers up to 64: a processor without VNNI instructions adds pairs of products up in 16 bits.
            reduce_range=True,
            weight_type=QuantType.QInt8,
        )
        result = onnx.load(small)
    storage.store(result.graph)
    onnx.helper.set_model_props(result, {p.key: p.value for p in graph.metadata_props})
    onnx.checker.check_model(result)
    return result


def fold_constants(graph: onnx.ModelProto, path: Path) -> None:
    """Casts, unpacked and transposed weights are worked out: only constants are quantised."""
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(path)
    options.log_severity_level = 3
    onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])


def large_products(graph: onnx.GraphProto) -> list[str]:
    """Products with a large constant, but that of all tokens: its errors go straight into the words."""
    sizes = {t.name: numpy_helper.to_array(t).size for t in graph.initializer if t.data_type == TensorProto.FLOAT}
    outputs = {value.name for value in graph.output}
    products = (node for node in graph.node if node.op_type == "MatMul")
    return [n.name for n in products if sizes.get(n.input[1], 0) >= MANY and n.output[0] not in outputs]


def differences(one: onnx.ModelProto, other: onnx.ModelProto, shape: Shape) -> dict[str, float]:
    """Over the reference music: mean divergence of the words of `other` from those of `one` in nats, and the share of
    tokens after which another is the likeliest."""
    ids, cond = reference_music(one)
    words = []
    for graph in (one, other):
        run = export.onnx_runner(export.with_length(graph, 1, shape.window))
        if is_drummer(one):
            logits = drums.run_steps(run, shape, ids, cond, 1)
        else:
            logits = export.run_steps(run, shape, ids, cond, 1)[0]
        logits = logits.astype(np.float64)
        words.append(logits - np.log(np.exp(logits).sum(1, keepdims=True)))
    divergence = (np.exp(words[0]) * (words[0] - words[1])).sum(1).mean()
    return {"nats": float(divergence), "others": float((words[0].argmax(1) != words[1].argmax(1)).mean())}


def milliseconds_a_token(graphs: list[onnx.ModelProto], shape: Shape, times: int = 200) -> list[float]:
    """Median on one thread with a full window, the graphs in turn, so that both meet the same noise."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.disable_quant_qdq", "1")  # See export.onnx_runner.
    fixed = [export.with_length(graph, 1, shape.window).SerializeToString() for graph in graphs]
    sessions = [onnxruntime.InferenceSession(f, options, providers=["CPUExecutionProvider"]) for f in fixed]
    cond = reference_music(graphs[0])[1][:1]
    inputs = export.step_inputs(shape, [8], cond, shape.window - 1, *export.empty_cache(shape))
    found: list[list[float]] = [[] for _ in graphs]
    for _ in range(times):
        for session, taken in zip(sessions, found, strict=True):
            begun = time.perf_counter()
            session.run(None, inputs)
            taken.append(1000 * (time.perf_counter() - begun))
    return [float(np.median(taken)) for taken in found]


def fields_of(graph: onnx.ModelProto) -> dict[str, str]:
    return {p.key.removeprefix("obbligato."): p.value for p in graph.metadata_props}


def is_drummer(graph: onnx.ModelProto) -> bool:
    return fields_of(graph)["engine"] == "drums"


def reference_music(graph: onnx.ModelProto) -> tuple[list[int], np.ndarray]:
    return parity.reference_music() if is_drummer(graph) else export.reference_music()


def shape_of(graph: onnx.ModelProto) -> Shape:
    fields = fields_of(graph)
    layers, heads, window, head_size = (int(fields[key]) for key in ("layers", "heads", "window", "head_size"))
    return Shape(heads * head_size, layers, heads, window)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="a model that export.py or drums.export wrote")
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    # It advises a preparation that `fold_constants` has done.
    logging.getLogger().setLevel(logging.ERROR)
    graph = onnx.load(arguments.file)
    result = quantise(graph)
    onnx.save(result, arguments.out)
    shape = shape_of(graph)
    far = differences(graph, result, shape)
    before, after = milliseconds_a_token([graph, result], shape)
    print(f"{arguments.out}: {arguments.out.stat().st_size / 1e6:.1f} MB")
    print(f"its words differ by {far['nats']:.4f} nats; another token is the likeliest after {far['others']:.1%}")
    print(f"a token takes {after:.2f} ms instead of {before:.2f} ({after / before:.0%}), one thread, full window")


if __name__ == "__main__":
    main()
