"""Writes the extender's ONNX file, its contract and the reference outputs together, and checks that they agree.

python -m obbligato_models.extend.export --checkpoint runs/extend/last.pt --scores runs/extend/scores/scores.json

The graph is the accompanist's (docs/encoding.md).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from .. import encoding as e
from .. import export as shared
from .. import roll_file, storage, styles
from ..encoding import Bar, Note
from ..transformer.model import Shape, Transformer
from .windows import SHAPE, encode


def music() -> shared.Music:
    """Made up: three bars with chords, then as many in 3/4 without."""
    line = [Note(0, 12, 67), Note(12, 12, 64), Note(24, 18, 69), Note(42, 6, 67)]
    bars = [Bar(0, line, [0, 50]), Bar(0, line[1:], [91, 72]), Bar(0, [], [120, 0])]
    bars += [Bar(1, [Note(12 * i, 12, 60 + 2 * i) for i in range(3)]), Bar(1, [Note(0, 36, 65)]), Bar(1, [])]
    ids, cond = [e.START], []
    for i, bar in enumerate(bars):
        tokens = encode(bar, with_chords=i < 3)
        weights = np.eye(len(styles.NAMES))[i] if i % 2 else ()
        cond += [e.condition(weights, {}, (), 90 + 20 * i, i if i > 1 else None)] * (len(tokens) + (i == 0))
        ids += tokens
    return ids, np.array(cond)


def contract(shape: Shape, scores: dict) -> dict[str, str]:
    fields = shared.contract(shape, {}, scores, shared.current_commit())
    own = {"engine": "extender", "parts": "melody", "name": "Extender"}
    return fields | {f"obbligato.{key}": value for key, value in own.items()}


def export(model: Transformer, scores: dict, weights: Path, parity: Path) -> dict[str, float]:
    return shared.write(model, contract(model.shape, scores), music(), weights, parity, storage.FINEST)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, help="of extend.train; without it the weights are random")
    parser.add_argument("--scores", type=Path, help="scores.json of extend.evaluate")
    parser.add_argument("--weights", type=Path, default=shared.MODELS / "weights" / "extender.onnx")
    parser.add_argument("--parity", type=Path, default=shared.MODELS / "parity" / "extender.json")
    given = parser.parse_args()
    torch.manual_seed(1)
    model = shared.load(given.checkpoint)[0] if given.checkpoint else roll_file.all_in_use(Transformer(SHAPE))
    scores = json.loads(given.scores.read_text())["summary"] if given.scores else {}
    differences = export(model, scores, given.weights, given.parity)
    count = sum(p.numel() for p in model.parameters())
    print(f"{given.weights}: {given.weights.stat().st_size / 1e6:.1f} MB, {count:,} parameters")
    print("largest difference of a logit:", differences)


if __name__ == "__main__":
    main()
