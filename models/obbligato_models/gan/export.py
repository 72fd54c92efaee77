"""Writes the generator's ONNX file, its contract and the reference outputs together, and checks that they agree.

python -m obbligato_models.gan.export --checkpoint runs/gan/last.pt --scores runs/gan/scores/scores.json
python -m obbligato_models.gan.export --checkpoint runs/gan/supervised.pt --name U-Net --weights weights/unet.onnx \\
    --parity parity/unet.json
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
from .model import NOISE, Generator
from .play import CELL_NOISE, LEAN, Trained, everywhere, load

NAME = "GAN"
TIME = {"melody": 2, "before": 2, "chords": 2, "clock": 2, "cells": 2}
MUSIC = [
    {
        "metre": "4/4", "known": None, "chords": [["C maj", "G 7"], ["A min", "F maj"]],
        "melody": [[0, 12, 67], [12, 12, 64], [24, 18, 69], [42, 6, 67], [48, 48, 72], [132, 36, 65]],
        "before": {"bass": [[0, 48, 36], [48, 96, 43]], "chords": [[0, 24, 55], [0, 24, 64]], "melody": [[96, 96, 71]]},
        "styles": [0.0, 0.0, 0.0, 0.25, 0.75], "asked": ["bass", "chords", "counter"], "bar": 4, "tempo": 90.0,
    },
    {
        "metre": "3/4", "known": 36, "chords": None, "melody": [[-6, 18, 60], [12, 24, 62]],
        "before": {"counter": [[100, 44, 76]], "pad": [[0, 144, 57]]},
        "styles": [], "asked": ["bass"], "bar": None, "tempo": 140.0,
    },
    {
        "metre": "2/4", "known": None, "chords": [["N.C."]], "melody": [[0, 24, 60], [24, 96, 55]], "before": {},
        "styles": [1.0], "asked": [], "bar": 0, "tempo": 120.0,
    },
]  # fmt: skip
"""Made up."""


def inputs_of(case: dict, noise: np.ndarray) -> roll_file.Inputs:
    metre = e.METRES.index(case["metre"])
    ticks = rolls.ticks_of(metre)

    def roll(notes: list) -> np.ndarray:
        return rolls.write([Note(*n) for n in notes], ticks)

    melody = roll(case["melody"])
    if case["known"] is not None:
        melody[:, case["known"] :] = 0
    before = [roll(case["before"].get(name, [])) for name in (*rolls.PARTS, "melody")]
    labels = [[e.chord_class(name) for name in bar] for bar in case["chords"] or []]
    asked = [e.PARTS.index(p) for p in case["asked"]]
    inputs = {
        "melody": melody,
        "before": np.concatenate(before),
        "chords": rolls.chord_rows([in_segments(bar, metre) for bar in labels], metre),
        "clock": rolls.clock(metre, case["known"]),
        "noise": noise,
        "cond": e.condition(case["styles"], {}, asked, case["tempo"], case["bar"]),
    }
    return {name: np.ascontiguousarray(value[None], np.float32) for name, value in inputs.items()}


def in_segments(bar: list[int], metre: int) -> list[int]:
    """A bar with one chord has it in all of its segments."""
    return (bar * len(e.SEGMENTS[metre]))[: len(e.SEGMENTS[metre])]


def cases() -> list[tuple[dict, roll_file.Inputs]]:
    found = []
    for i, case in enumerate(MUSIC):
        noise = np.round(np.sin(np.arange(1, NOISE + 1) * (i + 1)), 4).astype(np.float32)
        found.append(({**case, "noise": [round(float(x), 4) for x in noise]}, inputs_of(case, noise)))
    return found


def export(trained: Trained, name: str, scores: dict, weights: Path, parity: Path) -> dict[str, float]:
    network = roll_file.rounded(trained.generator)
    graph = roll_file.to_onnx(network, cases()[0][1], "cells", TIME)
    contract = roll_file.fields("gan", name, rolls.PARTS, styles.NAMES, shared.DATA, scores)
    contract |= {
        "controls": json.dumps(trained.controls),
        "thresholds": numbers(trained.thresholds.onset),
        "sustained": numbers(trained.thresholds.sustain),
        "cell_noise": str(CELL_NOISE),
        "lean": str(LEAN),
        "noise": str(NOISE),
    }
    return roll_file.write(network, graph, contract, cases(), weights, parity)


def numbers(rows: list[list[float]]) -> str:
    return " ".join(f"{number:.4f}" for row in rows for number in row)


def untrained() -> Trained:
    torch.manual_seed(1)
    return Trained(roll_file.all_in_use(Generator()), everywhere([0.0] * len(rolls.PARTS)), styles.NO_CONTROLS, 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, help="of gan.train; without it the weights are random")
    parser.add_argument("--name", default=NAME, help="as the plugin shows it")
    parser.add_argument("--scores", type=Path, help="scores.json of gan.evaluate")
    parser.add_argument("--weights", type=Path, default=shared.MODELS / "weights" / "gan.onnx")
    parser.add_argument("--parity", type=Path, default=shared.MODELS / "parity" / "gan.json")
    given = parser.parse_args()
    trained = load(given.checkpoint) if given.checkpoint else untrained()
    scores = json.loads(given.scores.read_text())["summary"] if given.scores else {}
    differences = export(trained, given.name, scores, given.weights, given.parity)
    count = sum(p.numel() for p in trained.generator.parameters())
    print(f"{given.weights}: {given.weights.stat().st_size / 1e6:.1f} MB, {count:,} parameters")
    print("largest difference of a logit:", differences)


if __name__ == "__main__":
    main()
