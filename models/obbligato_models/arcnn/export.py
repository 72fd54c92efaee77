"""Writes the enhancer's ONNX file, its contract and the reference outputs together, and checks that they agree.

python -m obbligato_models.arcnn.export --checkpoint runs/arcnn/last.pt --scores runs/arcnn/scores/scores.json
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from .. import encoding as e
from .. import export as shared
from .. import roll_file, rolls, styles
from ..encoding import Note
from . import enhance
from .enhance import CELL_NOISE, Melody, Work, load
from .model import Enhancer

TIME = {"melody": 2, "around": 2, "locked": 2, "clock": 2, "cells": 2}
DATA = (
    "POP909 and POP909-CL (MIT); OpenScore Lieder (CC0); Open Hymnal (public domain); "
    "Bach Chorales Figured Bass (CC BY 4.0); OpenEWLD (MIT); JS Fake Chorales (CC BY 4.0)"
)
MUSIC = [
    {
        "metre": "4/4", "styles": [0.5, 0.5], "tempo": 90.0, "locked": [1, 2],
        "notes": [[0, 12, 67], [12, 12, 64], [24, 18, 68], [42, 6, 67], [48, 48, 72], [180, 24, 65], [204, 36, 64]],
    },
    {"metre": "3/4", "styles": [], "tempo": 140.0, "locked": [], "notes": [[12, 24, 62], [36, 36, 61], [72, 70, 60]]},
    {"metre": "2/4", "styles": [0.0, 0.0, 0.0, 1.0], "tempo": 120.0, "locked": [0], "notes": [[0, 96, 72]]},
]  # fmt: skip
"""Made up; all of it is heard, the first four bars are asked about."""


def inputs_of(case: dict) -> roll_file.Inputs:
    """As the sampler has them."""
    metre = e.METRES.index(case["metre"])
    notes = [Note(*n) for n in case["notes"]]
    melody = Melody(
        notes,
        e.BAR_TICKS[metre],
        rolls.BEATS[metre],
        lambda bar: e.condition(case["styles"], {}, (), case["tempo"], bar),
        frozenset(notes[i] for i in case["locked"]),
    )
    asked: list[roll_file.Inputs] = []

    def listen(**inputs: np.ndarray) -> np.ndarray:
        asked.append({name: value[:1] for name, value in inputs.items()})
        return np.zeros((len(inputs["melody"]), 3, *inputs["melody"].shape[2:]))

    Work(melody, enhance.Choice()).logits(listen)
    return asked[0]


def cases() -> list[tuple[dict, roll_file.Inputs]]:
    return [(case, inputs_of(case)) for case in MUSIC]


def export(model: Enhancer, scores: dict, weights: Path, parity: Path) -> dict[str, float]:
    network = roll_file.rounded(model)
    graph = roll_file.to_onnx(network, cases()[0][1], "cells", TIME)
    contract = roll_file.fields("arcnn", "Enhancer", ["enhanced"], styles.NAMES, DATA, scores)
    contract["cell_noise"] = str(CELL_NOISE)
    return roll_file.write(network, graph, contract, cases(), weights, parity)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, help="of arcnn.train; without it the weights are random")
    parser.add_argument("--scores", type=Path, help="scores.json of arcnn.evaluate")
    parser.add_argument("--weights", type=Path, default=shared.MODELS / "weights" / "enhancer.onnx")
    parser.add_argument("--parity", type=Path, default=shared.MODELS / "parity" / "enhancer.json")
    given = parser.parse_args()
    torch.manual_seed(1)
    model = load(given.checkpoint) if given.checkpoint else roll_file.all_in_use(Enhancer())
    scores = json.loads(given.scores.read_text())["summary"] if given.scores else {}
    differences = export(model, scores, given.weights, given.parity)
    count = sum(p.numel() for p in model.parameters())
    print(f"{given.weights}: {given.weights.stat().st_size / 1e6:.1f} MB, {count:,} parameters")
    print("largest difference of a logit:", differences)


if __name__ == "__main__":
    main()
