"""A model file as a network that can be trained, and back: the inverse of export.py.

python -m obbligato_models.transformer.model_file weights/accompanist.onnx runs/shipped.pt

writes the file's network as a checkpoint, for `train --begin-from`, `posttrain`, `evaluate` and `export`.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import helper

from .. import encoding as e
from .. import export, storage
from ..drums.model import Drummer
from .model import Shape, Transformer


class Refused(Exception):
    """Says what is wrong with a file, or with what was asked."""


@dataclass
class File:
    """A model file: the network and its contract, without `obbligato.` before the keys."""

    model: Transformer
    fields: dict[str, str]

    @property
    def styles(self) -> list[str]:
        return self.fields["styles"].split("|")


def read_file(path: Path) -> File:
    """The inverse of export: a network for training with the file's weights. The whole token table is in the tokens'
    own rows; the shared tables begin at zero."""
    graph = graph_of(path)
    fields = fields_of(graph)
    if fields.get("engine") != "transformer" or fields.get("encoding") != export.ENCODING:
        raise Refused(
            f"{path} is not a transformer of encoding {export.ENCODING}, which this program trains: "
            "take the file of the same version"
        )
    return File(network_of(graph), fields)


def graph_of(path: Path) -> onnx.ModelProto:
    """Raises Refused where there is none."""
    try:
        return onnx.load(path)
    except Exception as problem:  # onnx passes on whatever its parser finds.
        raise Refused(f"{path} is not a model file: {problem}") from None


def over_tokens(graph: onnx.ModelProto) -> str:
    """The engine of a network over tokens; raises Refused where it is none."""
    engine = fields_of(graph).get("engine")
    if engine not in ("transformer", "drums", "extender"):
        raise Refused("this file holds no network over tokens")
    return engine


def fields_of(graph: onnx.ModelProto) -> dict[str, str]:
    return {p.key.removeprefix("obbligato."): p.value for p in graph.metadata_props}


def network_of(graph: onnx.ModelProto) -> Transformer | Drummer:
    """Of any engine over tokens, in half precision or eight bits."""
    fields, weights = fields_of(graph), storage.weights(graph.graph)
    sizes = [int(fields[key]) for key in ("layers", "heads", "window")]
    told = weights.get("model.told.weight", np.empty((0, 0))).shape[0]
    shape = Shape(weights["table"].shape[1], *sizes, told)
    model = Drummer(shape) if fields["engine"] == "drums" else Transformer(shape)
    state = {name: torch.zeros_like(value) for name, value in model.state_dict().items()}
    for name, value in weights.items():
        place = "tokens.own" if name == "table" else name.removeprefix("model.")
        state[place] = torch.from_numpy(value.astype(np.float32))
    # PyTorch's exporter writes what is equal but once: before it is trained, the sharpness of all blocks.
    missing = [n for n in state if not n.startswith("tokens.") and f"model.{n}" not in weights]
    if missing:
        raise Refused(f"the file says nothing of {missing[0]}: was its network ever trained?")
    model.load_state_dict(state)
    return model.eval()


def write_file(path: Path, file: File) -> None:
    """Raises Refused where the graph does not compute what the network does."""
    step = export.stepper(file.model.cpu())
    graph = export.to_onnx(step)
    helper.set_model_props(graph, {f"obbligato.{key}": value for key, value in file.fields.items()})
    difference = max(export.largest_difference(step, graph).values())
    if not difference < export.TOLERANCE:
        raise Refused(f"the exported file differs from the network by {difference}; nothing was written")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    onnx.save(graph, part)
    part.replace(path)


@torch.no_grad()
def begin_like(model: Transformer, new: int, known: int) -> None:
    for weight in model.condition_weights():
        weight[:, e.STYLES + new] = weight[:, e.STYLES + known]


@torch.no_grad()
def place_beside(file: File, name: str, new: int, known: int) -> None:
    """Moves the new style from its place behind the others to the one after `known`, so that the knob blends them."""
    order = list(range(new))
    order.insert(known + 1, new)
    for weight in file.model.condition_weights():
        weight[:, : len(order)] = weight[:, order].clone()
    names = [*file.styles, name]
    file.fields["styles"] = "|".join(names[i] for i in order)


def write_checkpoint(path: Path, file: File) -> None:
    """What the programs need of train.py's checkpoint that begin anew with its weights, or judge or export them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    controls = json.loads(file.fields["controls"])
    torch.save({"shape": asdict(file.model.shape), "model": file.model.state_dict(), "controls": controls}, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="the .onnx file to read")
    parser.add_argument("checkpoint", type=Path, help="the .pt file to write")
    arguments = parser.parse_args()
    try:
        write_checkpoint(arguments.checkpoint, read_file(arguments.file))
    except Refused as problem:
        print(f"model_file: {problem}", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
