"""Writes the drummer's ONNX file with its contract, and the shared cases of docs/drums.md.

python -m obbligato_models.drums.export --checkpoint runs/drums/last.pt --scores runs/drums/scores.json
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper

from .. import export as shared
from ..storage import LARGEST
from ..transformer.model import Shape, Stepper
from . import dataset, parity
from . import encoding as e
from .model import Drummer

DATA = "Groove MIDI Dataset (CC BY 4.0); Freedoom (BSD 3-clause)"
METRES = "4/4 3/4 2/4 6/8"


def load(checkpoint: Path) -> tuple[Drummer, dict]:
    saved = torch.load(checkpoint, map_location="cpu", weights_only=True)
    model = Drummer(Shape(**saved["shape"]))
    model.load_state_dict(saved["model"])
    return model.eval(), saved["controls"]


def to_onnx(step: Stepper) -> onnx.ModelProto:
    """The graph of docs/drums.md; T is symbolic."""
    shape = step.model.shape
    tokens = 3
    inputs = shared.step_inputs(
        shape, [0] * tokens, np.zeros((tokens, e.COND), np.float32), 0, *shared.empty_cache(shape)
    )
    axes = {**shared.STEP_AXES, "logits": {1: "T"}, **shared.CACHE_AXES}
    graph = shared.traced(step, inputs, ["logits", "new_k", "new_v"], axes, LARGEST)
    cache = [shape.layers, 1, shape.heads, "T", shape.head_size]
    sizes = {"logits": [1, "T", e.VOCABULARY], "new_k": cache, "new_v": cache}
    for output in graph.graph.output:
        output.CopyFrom(helper.make_tensor_value_info(output.name, TensorProto.FLOAT, sizes[output.name]))
    onnx.checker.check_model(graph)
    return graph


def run_steps(run, shape: Shape, ids: list[int], cond: np.ndarray, at_once: int) -> np.ndarray:
    """Logits [tokens, 608] through the cache, `at_once` tokens a call; the last call is filled up with PAD."""
    past_k, past_v = shared.empty_cache(shape)
    read = []
    for past in range(0, len(ids), at_once):
        chunk, chunk_cond = ids[past : past + at_once], cond[past : past + at_once]
        real = len(chunk)
        rest = at_once - real
        chunk_cond = np.concatenate([chunk_cond, np.zeros((rest, e.COND), np.float32)])
        inputs = shared.step_inputs(shape, chunk + [e.PAD] * rest, chunk_cond, past, past_k, past_v)
        logits, new_k, new_v = run(inputs)
        read.append(logits[0, :real])
        past_k[..., past : past + real, :] = new_k[..., :real, :]
        past_v[..., past : past + real, :] = new_v[..., :real, :]
    return np.concatenate(read)


def largest_difference(step: Stepper, graph: onnx.ModelProto) -> dict[str, float]:
    """Between PyTorch and ONNX Runtime, over all logits of the reference music, for both lengths."""
    ids, cond = parity.reference_music()
    shape = step.model.shape
    expected = run_steps(shared.torch_runner(step), shape, ids, cond, 1)
    found = {
        at_once: run_steps(
            shared.onnx_runner(shared.with_length(graph, at_once, shape.window)), shape, ids, cond, at_once
        )
        for at_once in (1, 32)
    }
    return {f"T={at_once}": float(np.abs(logits - expected).max()) for at_once, logits in found.items()}


# The contract


def contract(shape: Shape, controls: dict, scores: dict) -> dict[str, str]:
    fields = {
        "engine": "drums",
        "encoding": "1",
        "grid": str(e.GRID),
        "metres": METRES,
        "parts": "drums",
        "styles": "|".join(dataset.STYLES),
        "controls": json.dumps(controls),
        "window": str(shape.window),
        "layers": str(shape.layers),
        "heads": str(shape.heads),
        "head_size": str(shape.head_size),
        "name": "Drummer",
        "licence": shared.LICENCE,
        "data": DATA,
        "commit": shared.current_commit(),
        "scores": json.dumps(scores),
    }
    return {f"obbligato.{key}": value for key, value in fields.items()}


def export(model: Drummer, controls: dict, scores: dict, weights: Path, cases: Path) -> dict[str, float]:
    step = shared.stepper(model)
    graph = to_onnx(step)
    helper.set_model_props(graph, contract(model.shape, controls, scores))
    differences = largest_difference(step, graph)
    if max(differences.values()) > 2e-3:
        raise SystemExit(f"the exported file does not compute what PyTorch does: {differences}")
    shared.save(graph, weights)
    write_reference(step, cases)
    return differences


def write_reference(step: Stepper, cases: Path) -> None:
    cases.parent.mkdir(parents=True, exist_ok=True)
    ids, cond = parity.reference_music()
    logits = run_steps(shared.torch_runner(step), step.model.shape, ids, cond, 1)
    cases.write_text(parity.text(logits, step.model.shape.window))


def random_drummer(shape: Shape) -> Drummer:
    """Untrained, with all weights in use."""
    torch.manual_seed(1)
    model = Drummer(shape).eval()
    for value in model.parameters():
        if not value.any():
            torch.nn.init.normal_(value, std=0.02)
    return model


NO_CONTROLS = {
    "density": [0.2, 1.7, 2.0, 2.3, 2.6, 2.9, 3.2, 3.6, 3.9, 4.2, 6.0],
    "level": [10, 50, 57, 62, 66, 70, 75, 80, 86, 95, 127],
    "styles": {},
}
"""Placeholder of a model that was not trained."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, help="of train.py; without it the weights are random")
    parser.add_argument("--scores", type=Path, help="JSON of evaluate.py")
    parser.add_argument("--weights", type=Path, default=shared.MODELS / "weights" / "drums.onnx")
    parser.add_argument("--parity", type=Path, default=shared.MODELS / "parity" / "drums.json")
    arguments = parser.parse_args()
    if arguments.checkpoint:
        model, controls = load(arguments.checkpoint)
    else:
        model, controls = random_drummer(Drummer().shape), NO_CONTROLS
    scores = json.loads(arguments.scores.read_text())["summary"] if arguments.scores else {}
    differences = export(model, controls, scores, arguments.weights, arguments.parity)
    megabytes = arguments.weights.stat().st_size / 1e6
    print(f"{arguments.weights}: {megabytes:.1f} MB, {sum(p.numel() for p in model.parameters()):,} parameters")
    print("largest difference of a logit:", differences)


if __name__ == "__main__":
    main()
