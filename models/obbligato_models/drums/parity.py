"""The cases of models/parity/drums.json, which the tests of both languages read. The music is made up."""

from __future__ import annotations

import json

import numpy as np

from . import dataset
from . import encoding as e
from .encoding import Asked, Stroke

STROKE_CASES: list[tuple[int, str]] = [
    (0, ""),
    (0, "0 36 100 0, 0 42 70 0.1, 6 42 45 -0.3, 12 38 110 0.2, 12 42 71 0, 18 42 40 0"),
    (1, "24 35 24 0.125, 24 49 127 -0.125, 36 40 25 1.4, 40 43 96 -3, 44 58 97 0.4, 12 36 90 0"),
    (2, "0 51 80 0, 0 53 81 0, 12 44 52 0, 24 42 60 0, 24 46 61 0, 30 42 60 0, 30 26 60 0"),
    (3, "0 38 90 0, 0 51 90 0, 0 49 90 0, 0 36 90 0, 0 44 1 0, 12 37 53 0.374, 15 48 66 0.375"),
    (4, "18 45 67 -0.375, 24 47 80 -0.376, 30 50 112 0.9, 33 52 113 -0.9, 35 22 41 0.5"),
    (0, ", ".join(f"{t} {k} {90 - t} 0" for t in range(24) for k in (36, 38, 42))),
]
"""Kind, and strokes as tick, key, velocity, deviation: other keys, clashes, the edges of classes, over 48 strokes."""


def style(**weights: float) -> list[float]:
    return [weights.get(name.lower().replace(" ", "_").replace("-", "_"), 0.0) for name in dataset.STYLES]


CONDITION_CASES = [
    Asked(),
    Asked(style(rock=1.0), 138.0, 2.5, 0.0, 92.0, False, 0, [0, 18], [0, 6, 12, 18]),
    Asked(style(rock=0.6, soul_and_pop=0.25, dance=0.15), 100.0, 3.1, 0.0, 80.0, True, 3, [24, 42], []),
    Asked(style(jazz=1.0), 210.0, None, 1.0, None, False, 2, None, [0, 16, 28]),
    Asked(style(latin=0.5, hip_hop=0.5), 30.0, 1.2, None, 64.0, None, None, [], None),
]


def stroke_cases() -> list[dict]:
    cases = []
    for kind, text in STROKE_CASES:
        given = [[float(x) if "." in x else int(x) for x in stroke.split()] for stroke in text.split(", ") if stroke]
        strokes = [Stroke(tick, e.INSTRUMENT_OF[key], velocity, late) for tick, key, velocity, late in given]
        cases.append({"kind": kind, "strokes": given, "tokens": e.encode(kind, strokes)})
    return cases


def condition_cases() -> list[dict]:
    return [{**vars(asked), "cond": rounded(e.condition(asked))} for asked in CONDITION_CASES]


def rounded(values: np.ndarray) -> list[float]:
    return [round(float(x), 6) for x in values]


def reference_music() -> tuple[list[int], np.ndarray]:
    """The strokes of the cases as one context, each segment under another condition."""
    ids, cond = [e.START], []
    for i, case in enumerate([*stroke_cases(), *stroke_cases()[1:5]]):
        vector = e.condition(CONDITION_CASES[i % len(CONDITION_CASES)])
        cond += [vector] * (len(case["tokens"]) + (not cond))
        ids += case["tokens"]
    return ids, np.array(cond)


def outputs(logits: np.ndarray, window: int) -> dict:
    """`logits` [tokens, 608] of the reference music."""
    ids, cond = reference_music()
    breaks = [0, *(np.flatnonzero((cond[1:] != cond[:-1]).any(1)) + 1).tolist(), len(ids)]
    runs = [{"tokens": b - a, "cond": rounded(cond[a])} for a, b in zip(breaks, breaks[1:], strict=False)]
    best = np.argsort(-logits, 1)[:, :8]
    return {
        "tolerance": 0.01,
        "window": window,
        "ids": ids,
        "cond": runs,
        "best": best.tolist(),
        "values": np.take_along_axis(logits, best, 1).round(4).tolist(),
        "mean": logits.mean(1).round(4).tolist(),
        "logsumexp": np.log(np.exp(logits.astype(np.float64)).sum(1)).round(4).tolist(),
    }


ABOUT = [
    "Shared cases of docs/drums.md; the music is made up.",
    "strokes: a segment's kind, its strokes as [tick of the bar, key, velocity, deviation in ticks], in any order",
    "and beyond what one player can play, and the tokens they become.",
    "conditions: what is asked for (styles: weights in the contract's order; tempo: quarters a minute; density:",
    "ticks with a stroke, a quarter; level: mean velocity; bass and band: onsets in ticks of the bar; null: not",
    "known), and cond.",
    "outputs: PyTorch with the file's rounded weights, in the fields of accompanist.json: agree within",
    "tolerance, with T = 1 and with T = 32.",
]


def text(logits: np.ndarray, window: int) -> str:
    """The file, with one case a line."""
    lines = [f'"about": {json.dumps(ABOUT, indent=1)}']
    for name, cases in (("strokes", stroke_cases()), ("conditions", condition_cases())):
        lines.append(f'"{name}": [\n' + ",\n".join(json.dumps(case) for case in cases) + "\n]")
    fields = ",\n".join(f'"{key}": {json.dumps(value)}' for key, value in outputs(logits, window).items())
    return "{\n" + ",\n".join(lines) + f',\n"outputs": {{\n{fields}\n}}\n}}\n'
