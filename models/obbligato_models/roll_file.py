"""What the exporters of networks over rolls have in common: the graph, its comparison with PyTorch, the reference
outputs. T, the ticks of a roll, is symbolic in the file; the loader fixes it to that of a metre.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper
from torch import nn

from . import encoding as e
from . import export as shared
from . import rolls, storage

Inputs = dict[str, np.ndarray]

MOST = 48
"""So many of the highest outputs of a case are written down."""
PARITY_TOLERANCE = 0.01


def rounded(network: nn.Module) -> nn.Module:
    """As the file holds it: weights in half precision."""
    found = copy.deepcopy(network).eval()
    with torch.no_grad():
        for value in found.parameters():
            if value.numel() >= storage.SMALL:
                value.copy_(value.half().float())
    return found


def to_onnx(network: nn.Module, inputs: Inputs, output: str, time: Mapping[str, int]) -> onnx.ModelProto:
    """`time`: which axis of an input or of the output is T."""
    graph = shared.traced(network, inputs, [output], {name: {axis: "T"} for name, axis in time.items()})
    size: list[int | str] = list(run(network, inputs).shape)
    size[time[output]] = "T"
    graph.graph.output[0].CopyFrom(helper.make_tensor_value_info(output, TensorProto.FLOAT, size))
    onnx.checker.check_model(graph)
    return graph


def run(network: nn.Module, inputs: Inputs) -> np.ndarray:
    with torch.no_grad():
        return network(*(torch.from_numpy(v) for v in inputs.values())).numpy()


def largest_difference(network: nn.Module, graph: onnx.ModelProto, cases: Sequence[Inputs]) -> dict[str, float]:
    """Between PyTorch and ONNX Runtime, by the length of the roll."""
    found: dict[str, float] = {}
    for inputs in cases:
        ticks = inputs["clock"].shape[2]
        (heard,) = shared.onnx_runner(shared.with_length(graph, ticks, 0))(inputs)
        name = f"T={ticks}"
        found[name] = max(found.get(name, 0.0), float(np.abs(heard - run(network, inputs)).max()))
    return found


def write(
    network: nn.Module,
    graph: onnx.ModelProto,
    contract: Mapping[str, str],
    cases: Sequence[tuple[dict, Inputs]],
    weights: Path,
    parity: Path,
) -> dict[str, float]:
    """The file and the reference outputs, if they agree. `cases`: what to write down of a case, and its inputs."""
    helper.set_model_props(graph, {f"obbligato.{key}": value for key, value in contract.items()})
    differences = largest_difference(network, graph, [inputs for _, inputs in cases])
    if not max(differences.values()) < shared.TOLERANCE:
        raise SystemExit(f"the exported file does not compute what PyTorch does: {differences}")
    parity.parent.mkdir(parents=True, exist_ok=True)
    shared.save(graph, weights)
    lines = [json.dumps({**told, **reference(run(network, inputs))}) for told, inputs in cases]
    about = {"about": ABOUT, "tolerance": PARITY_TOLERANCE}
    parity.write_text(json.dumps(about, indent=1)[:-2] + ',\n "cases": [\n' + ",\n".join(lines) + "\n]}\n")
    return differences


ABOUT = [
    "PyTorch with the file's half-precision weights on made-up music; notes are [start, duration, key] in ticks from",
    "the roll's first bar line, those of the bars before from theirs. cells: the highest outputs as [channel, tick,",
    "row, value]; means: of each channel. They agree within `tolerance`.",
]


def reference(outputs: np.ndarray) -> dict:
    """outputs [1, channels, T, 96]."""
    best = np.argsort(-outputs[0].ravel(), kind="stable")[:MOST]
    places = np.stack(np.unravel_index(best, outputs[0].shape), 1).tolist()
    cells = [[*place, round(float(outputs[0][tuple(place)]), 4)] for place in places]
    return {"cells": cells, "means": outputs[0].mean((1, 2)).round(5).tolist()}


def fields(engine: str, name: str, parts: Sequence[str], styles: Sequence[str], data: str, scores: dict) -> dict:
    """What every contract of these engines says."""
    return {
        "engine": engine,
        "encoding": rolls.VERSION,
        "grid": str(e.GRID),
        "metres": " ".join(e.METRES),
        "parts": " ".join(parts),
        "styles": "|".join(styles),
        "bars": str(rolls.BARS),
        "keys": f"{rolls.LOWEST_KEY} {rolls.KEYS}",
        "name": name,
        "licence": shared.LICENCE,
        "data": data,
        "commit": shared.current_commit(),
        "scores": json.dumps(scores),
    }


def all_in_use(network: nn.Module) -> nn.Module:
    """An untrained network whose weights are none of them 0, for work on the program around it."""
    with torch.no_grad():
        for value in network.parameters():
            if not value.any():
                nn.init.normal_(value, std=0.02)
    return network.eval()
