"""Stores a model file of a network over tokens anew, with its large matrices in eight bits (storage.py).

python -m obbligato_models.pack weights/accompanist.onnx --parity parity/accompanist.json

The exporters write such files themselves: this is for files in half precision, as they were written before. What the
file says of itself stays. With --parity the reference outputs are written anew, from PyTorch with the file's weights.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import onnx
from onnx import ModelProto

from . import export, storage
from .drums import export as drums
from .extend import export as extend
from .transformer import model_file
from .transformer.model import Stepper

LARGEST = {"transformer": storage.LARGEST, "drums": storage.LARGEST, "extender": storage.FINEST}
"""By engine."""


def packed(graph: ModelProto) -> ModelProto:
    engine = model_file.over_tokens(graph)
    found = ModelProto()
    found.CopyFrom(graph)
    storage.store(found.graph, LARGEST[engine])
    onnx.checker.check_model(found)
    return found


def differences(graph: ModelProto, step: Stepper) -> dict[str, float]:
    """Between PyTorch and ONNX Runtime, as the exporter of the engine finds them."""
    engine = model_file.fields_of(graph)["engine"]
    if engine == "drums":
        return drums.largest_difference(step, graph)
    return export.largest_difference(step, graph, extend.music() if engine == "extender" else None)


def write_reference(graph: ModelProto, step: Stepper, parity: Path) -> None:
    engine = model_file.fields_of(graph)["engine"]
    if engine == "drums":
        drums.write_reference(step, parity)
    else:
        export.write_reference(step, extend.music() if engine == "extender" else export.reference_music(), parity)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="the .onnx file, which is rewritten")
    parser.add_argument("--parity", type=Path, help="its reference outputs, which are rewritten")
    given = parser.parse_args()
    try:
        graph = packed(model_file.graph_of(given.file))
    except model_file.Refused as problem:
        raise SystemExit(f"pack: {problem}") from None
    before = given.file.stat().st_size
    step = Stepper(model_file.network_of(graph)).eval()
    found = differences(graph, step)
    if not max(found.values()) < export.TOLERANCE:
        raise SystemExit(f"pack: the file does not compute what PyTorch does: {found}; nothing was written")
    export.save(graph, given.file)
    if given.parity:
        write_reference(graph, step, given.parity)
    print(f"{given.file}: {before / 1e6:.1f} MB before, {given.file.stat().st_size / 1e6:.1f} now")


if __name__ == "__main__":
    main()
