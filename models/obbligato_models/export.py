"""Writes the ONNX file, its contract and the reference outputs together, and checks that they agree.

python -m obbligato_models.export --checkpoint runs/accompanist/last.pt --scores runs/scores/scores.json
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import subprocess
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper
from torch import nn

from . import encoding as e
from . import storage, styles
from .encoding import Bar, Note
from .transformer.model import Shape, Stepper, Transformer

MODELS = Path(__file__).parents[1]
LICENCE = "MIT OR Apache-2.0"
DATA = (
    "POP909 and POP909-CL (MIT); OpenScore Lieder (CC0); Open Hymnal (public domain); "
    "Bach Chorales Figured Bass (CC BY 4.0); OpenEWLD (MIT); JS Fake Chorales (CC BY 4.0); "
    "OpenScore String Quartets (CC0); Freedoom (BSD 3-clause)"
)
MASKED = -1e9
ENCODING = "3"
"""Of docs/encoding.md."""
TOLERANCE = 2e-3
"""How far a file's outputs may be from PyTorch's."""
OUTPUTS = ["logits", "loudness", "coming", "new_k", "new_v"]

Music = tuple[list[int], np.ndarray]
"""Tokens, and the condition of each."""


def load(checkpoint: Path) -> tuple[Transformer, dict]:
    saved = torch.load(checkpoint, map_location="cpu", weights_only=True)
    model = Transformer(Shape(**saved["shape"]))
    model.load_state_dict(saved["model"])
    return model.eval(), saved


@torch.no_grad()
def stepper(model: Transformer, largest: int | None = storage.LARGEST) -> Stepper:
    """The network as the file holds it (storage.py): the token table worked out, weights rounded. The tables it was
    worked out from are in no file and stay as they are. `largest`: of the whole numbers, None for half precision."""
    step = Stepper(model).eval()
    for name, value in step.named_parameters():
        if not name.startswith("model.tokens."):
            value.copy_(torch.from_numpy(storage.as_stored(name, value.numpy(), largest)))
    return step


Axes = Mapping[str, dict[int, str]]
"""Of inputs and outputs: the axes whose length is a name."""
STEP_AXES: Axes = {"ids": {1: "T"}, "cond": {1: "T"}, "pos": {1: "T"}, "mask": {2: "T", 3: "P_T"}}
CACHE_AXES: Axes = {"new_k": {3: "T"}, "new_v": {3: "T"}}


def traced(
    network: nn.Module,
    inputs: Mapping[str, np.ndarray],
    outputs: Sequence[str],
    axes: Axes,
    largest: int | None = None,
) -> onnx.ModelProto:
    """As PyTorch exports it, with weights stored as storage.py says."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            tuple(torch.from_numpy(v) for v in inputs.values()),
            file,
            dynamo=False,
            opset_version=17,
            do_constant_folding=False,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes={name: dict(named) for name, named in axes.items()},
        )
    graph = onnx.load_from_string(file.getvalue())
    storage.store(graph.graph, largest)
    return graph


def to_onnx(step: Stepper, largest: int | None = storage.LARGEST) -> onnx.ModelProto:
    shape = step.model.shape
    tokens = 3
    inputs = step_inputs(shape, [0] * tokens, np.zeros((tokens, e.COND), np.float32), 0, *empty_cache(shape))
    said = {name: {1: "T"} for name in ("logits", "loudness", "coming")}
    graph = traced(step, inputs, OUTPUTS, {**STEP_AXES, **said, **CACHE_AXES}, largest)
    state_output_shapes(graph.graph, shape)
    onnx.checker.check_model(graph)
    return graph


def state_output_shapes(graph: onnx.GraphProto, shape: Shape) -> None:
    sizes = {
        "logits": [1, "T", e.VOCABULARY],
        "loudness": [1, "T", e.LOUDNESS_CLASSES],
        "coming": [1, "T", 12],
        "new_k": [shape.layers, 1, shape.heads, "T", shape.head_size],
        "new_v": [shape.layers, 1, shape.heads, "T", shape.head_size],
    }
    for output in graph.output:
        output.CopyFrom(helper.make_tensor_value_info(output.name, TensorProto.FLOAT, sizes[output.name]))


def with_length(graph: onnx.ModelProto, tokens: int, window: int) -> onnx.ModelProto:
    """The same file with T fixed, as the plugin's loader does it."""
    fixed = onnx.ModelProto()
    fixed.CopyFrom(graph)
    for value in [*fixed.graph.input, *fixed.graph.output]:
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.dim_value = window + tokens if dim.dim_param == "P_T" else tokens
    return fixed


# Running step by step


def empty_cache(shape: Shape) -> tuple[np.ndarray, np.ndarray]:
    size = (shape.layers, 1, shape.heads, shape.window, shape.head_size)
    return np.zeros(size, np.float32), np.zeros(size, np.float32)


def step_inputs(
    shape: Shape, ids: list[int], cond: np.ndarray, past: int, past_k: np.ndarray, past_v: np.ndarray
) -> dict[str, np.ndarray]:
    """Tokens that follow `past` others whose keys and values fill the first places of the cache."""
    count = len(ids)
    mask = np.full((1, 1, count, shape.window + count), MASKED, np.float32)
    mask[..., :past] = 0
    mask[..., shape.window :] = np.triu(np.full((count, count), MASKED, np.float32), 1)
    return {
        "ids": np.array([ids], np.int64),
        "cond": cond[None].astype(np.float32),
        "pos": np.arange(past, past + count, dtype=np.int64)[None],
        "mask": mask,
        "past_k": past_k,
        "past_v": past_v,
    }


def run_steps(run, shape: Shape, ids: list[int], cond: np.ndarray, at_once: int) -> list[np.ndarray]:
    """Logits [tokens, 1505], loudness and coming [tokens, 12] through the cache, `at_once` tokens a call; the last call
    is filled up with PAD."""
    past_k, past_v = empty_cache(shape)
    read = []
    for past in range(0, len(ids), at_once):
        chunk, chunk_cond = ids[past : past + at_once], cond[past : past + at_once]
        real = len(chunk)
        chunk = chunk + [e.PAD] * (at_once - real)
        chunk_cond = np.concatenate([chunk_cond, np.zeros((at_once - real, e.COND), np.float32)])
        *outputs, new_k, new_v = run(step_inputs(shape, chunk, chunk_cond, past, past_k, past_v))
        read.append([values[0, :real] for values in outputs])
        past_k[..., past : past + real, :] = new_k[..., :real, :]
        past_v[..., past : past + real, :] = new_v[..., :real, :]
    return [np.concatenate(values) for values in zip(*read, strict=True)]


def torch_runner(step: Stepper):
    def run(inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        with torch.no_grad():
            return [out.numpy() for out in step(*(torch.from_numpy(v) for v in inputs.values()))]

    return run


def shape_of(graph: onnx.ModelProto) -> Shape:
    """Of an exported network over tokens."""
    said = {entry.key: entry.value for entry in graph.metadata_props}
    sizes = [said.get(f"obbligato.{key}") for key in ("layers", "heads", "head_size", "window")]
    if None in sizes:
        raise SystemExit("export: this file holds no network over tokens")
    layers, heads, head_size, window = map(int, sizes)
    return Shape(width=heads * head_size, layers=layers, heads=heads, window=window)


def onnx_runner(graph: onnx.ModelProto):
    options = onnxruntime.SessionOptions()
    # Else matrices in eight bits are unpacked anew with every token.
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    session = onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda inputs: session.run(None, inputs)


# Reference outputs


def reference_music() -> Music:
    """Made-up music: two known bars, then two of jam, with changing conditions."""
    melody = [Note(0, 12, 67), Note(12, 12, 64), Note(24, 18, 69), Note(42, 6, 67)]
    bass = [Note(0, 24, 36), Note(24, 24, 41)]
    chords = [Note(t, 12, k) for t in (12, 36) for k in ((52, 55, 60) if t == 12 else (53, 57, 60))]
    both = {e.BASS: bass, e.CHORDS: chords}
    bars = [
        Bar(0, melody, [0, 50], both),
        Bar(0, melody[:3], [0, 50], both),
        Bar(0, melody, [0, 50], both, jam=True),
        Bar(0, [Note(-6, 18, 67), Note(24, 24, 72)], [91, 72], {**both, e.COUNTER: [Note(6, 6, 76)]}, jam=True),
    ]
    ids, cond = [e.START], []
    for i, bar in enumerate(bars):
        tokens = e.encode(bar)
        style = [0.0] * len(styles.NAMES)
        style[3], style[4] = 0.5, 0.5
        attributes = {part: e.measure(notes, 48) for part, notes in bar.parts.items()} if i % 2 else {}
        vector = e.condition(style if i else (), attributes, bar.parts, 90 + 20 * i, i if i > 1 else None)
        cond += [vector] * (len(tokens) + (i == 0))
        ids += tokens
    return ids, np.array(cond)


def reference_outputs(step: Stepper, music: Music) -> dict:
    ids, cond = music
    shape = step.model.shape
    logits, loudness, coming = run_steps(torch_runner(step), shape, ids, cond, 1)
    runs, at = [], 0
    while at < len(ids):
        end = at
        while end < len(ids) and (cond[end] == cond[at]).all():
            end += 1
        runs.append({"tokens": end - at, "cond": [round(float(x), 6) for x in cond[at]]})
        at = end
    best = np.argsort(-logits, 1)[:, :8]
    return {
        "about": [
            "PyTorch with the file's rounded weights, one token at a time through the cache.",
            "ids: the tokens; cond: runs of tokens with one condition vector; then per token the eight highest logits",
            "(best: ids, values), the mean of all 1505 logits, their logsumexp, and the outputs loudness, coming.",
            "Agree within `tolerance`, with T = 1 and with T = 32 (the last call filled up with PAD, which",
            "is dropped).",
        ],
        "tolerance": 0.01,
        "window": shape.window,
        "ids": ids,
        "cond": runs,
        "best": best.tolist(),
        "values": np.take_along_axis(logits, best, 1).round(4).tolist(),
        "mean": logits.mean(1).round(4).tolist(),
        "logsumexp": np.log(np.exp(logits.astype(np.float64)).sum(1)).round(4).tolist(),
        "loudness": loudness.round(4).tolist(),
        "coming": coming.round(4).tolist(),
    }


def largest_difference(step: Stepper, graph: onnx.ModelProto, music: Music | None = None) -> dict[str, float]:
    """Between PyTorch and ONNX Runtime, over all outputs of the reference music, for both lengths."""
    ids, cond = music or reference_music()
    shape = step.model.shape
    expected = run_steps(torch_runner(step), shape, ids, cond, 1)
    differences = {}
    for at_once in (1, 32):
        found = run_steps(onnx_runner(with_length(graph, at_once, shape.window)), shape, ids, cond, at_once)
        pairs = zip(found, expected, strict=True)
        differences[f"T={at_once}"] = max(float(np.abs(a - b).max()) for a, b in pairs)
    return differences


# The contract


def contract(shape: Shape, controls: dict, scores: dict, commit: str) -> dict[str, str]:
    fields = {
        "engine": "transformer",
        "encoding": ENCODING,
        "grid": str(e.GRID),
        "metres": " ".join(e.METRES),
        "parts": " ".join(e.PARTS),
        "styles": "|".join(styles.NAMES),
        "controls": json.dumps(controls),
        "window": str(shape.window),
        "layers": str(shape.layers),
        "heads": str(shape.heads),
        "head_size": str(shape.head_size),
        "name": "Accompanist",
        "licence": LICENCE,
        "data": DATA,
        "commit": commit,
        "scores": json.dumps(scores),
    }
    return {f"obbligato.{key}": value for key, value in fields.items()}


def current_commit() -> str:
    result = subprocess.run(["git", "rev-parse", "HEAD"], cwd=MODELS, capture_output=True, text=True)
    return result.stdout.strip() or "unknown"


def export(model: Transformer, controls: dict, scores: dict, weights: Path, parity: Path) -> dict[str, float]:
    fields = contract(model.shape, controls, scores, current_commit())
    return write(model, fields, reference_music(), weights, parity)


def save(graph: onnx.ModelProto, weights: Path) -> None:
    """The file, and its sum in the list of its folder: a copy that was damaged is then refused by name."""
    weights.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(graph, weights)
    listed = weights.parent / "SHA256SUMS"
    lines = listed.read_text().splitlines() if listed.exists() else []
    sums = {name: sum for sum, name in (line.split("  ", 1) for line in lines)}
    sums[weights.name] = hashlib.sha256(weights.read_bytes()).hexdigest()
    listed.write_text("".join(f"{sum}  {name}\n" for name, sum in sorted(sums.items())))


def write(
    model: Transformer,
    fields: dict[str, str],
    music: Music,
    weights: Path,
    parity: Path,
    largest: int = storage.LARGEST,
) -> dict[str, float]:
    """The file with its contract, and what it says of some made-up music, if both agree."""
    step = stepper(model, largest)
    graph = to_onnx(step, largest)
    helper.set_model_props(graph, fields)
    differences = largest_difference(step, graph, music)
    if max(differences["T=1"], differences["T=32"]) > TOLERANCE:
        raise SystemExit(f"the exported file does not compute what PyTorch does: {differences}")
    save(graph, weights)
    write_reference(step, music, parity)
    return differences


def write_reference(step: Stepper, music: Music, parity: Path) -> None:
    parity.parent.mkdir(parents=True, exist_ok=True)
    lines = (f"{json.dumps(key)}: {json.dumps(value)}" for key, value in reference_outputs(step, music).items())
    parity.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, help="of train.py; without it the weights are random")
    parser.add_argument("--scores", type=Path, help="scores.json or gates.json of the evaluation")
    parser.add_argument("--weights", type=Path, default=MODELS / "weights" / "accompanist.onnx")
    parser.add_argument("--parity", type=Path, default=MODELS / "parity" / "accompanist.json")
    arguments = parser.parse_args()
    if arguments.checkpoint:
        model, saved = load(arguments.checkpoint)
    else:
        torch.manual_seed(1)
        model, saved = Transformer().eval(), {}
        for value in model.parameters():
            if not value.any():
                torch.nn.init.normal_(value, std=0.02)
    scores = json.loads(arguments.scores.read_text())["summary"] if arguments.scores else {}
    differences = export(model, saved.get("controls", styles.NO_CONTROLS), scores, arguments.weights, arguments.parity)
    megabytes = arguments.weights.stat().st_size / 1e6
    print(f"{arguments.weights}: {megabytes:.1f} MB, {sum(p.numel() for p in model.parameters()):,} parameters")
    print("largest difference of a logit:", differences)


if __name__ == "__main__":
    main()
