"""The style palette: its names, how a bar of training music is weighed in it, and what its controls measured."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from . import encoding as e
from .encoding import Note

NAMES = (
    "Chorale",
    "Hymn",
    "Quartet",
    "Romantic song",
    "Arpeggio ballad",
    "Broken-chord ballad",
    "Block-chord ballad",
    "Driving pop",
    "Rock band",
)
"""Ordered so that neighbours sound alike."""
CHORALE, HYMN, QUARTET, ROMANTIC, ARPEGGIO, BROKEN, BLOCK, DRIVING, ROCK = range(9)
BY_SOURCE = {
    "bach_chorales": CHORALE,
    "js_fakes": CHORALE,
    "open_hymnal": HYMN,
    "string_quartets": QUARTET,
    "lieder": ROMANTIC,
    "freedoom": ROCK,
}
WHOLE = (CHORALE, HYMN, QUARTET, ROCK)
"""A set of one of these styles is all of that style."""
ROMANTIC_SHARE = 0.75
"""The rest of a romantic song's weight goes to the texture of its piano."""
BARS_AROUND = 4
"""A bar's weights are the mean over so many bars before and after it."""

LIVELY = 6
FEW = 2


def texture(accompaniment: Sequence[Note]) -> np.ndarray:
    """One bar's weights by the rule of pop909/textures.tsv, [9]. All 0 for a bar without accompaniment."""
    weights = np.zeros(len(NAMES))
    onsets: dict[int, int] = {}
    for note in accompaniment:
        onsets[note.start] = onsets.get(note.start, 0) + 1
    if not onsets:
        return weights
    count = len(onsets)
    singles = sum(n == 1 for n in onsets.values()) / count
    full = sum(n >= 3 for n in onsets.values()) / count
    if count <= FEW:
        weights[BLOCK] = 1
    elif singles >= 0.7 and count >= 5:
        weights[ARPEGGIO] = 1
    elif full >= 0.5:
        weights[DRIVING if count >= LIVELY else BLOCK] = 1
    elif count >= LIVELY:
        weights[BROKEN] = 1
    else:
        weights[[ARPEGGIO, BROKEN, BLOCK]] = 1 / 3
    return weights


def weigh(source: str, bars: Sequence[Sequence[Note]]) -> np.ndarray:
    """Style weights for each bar of a run, [bars, 9]; rows sum to 1, or to 0 where the style is not known."""
    if source == "openewld":
        return np.zeros((len(bars), len(NAMES)), np.float32)
    by_source = BY_SOURCE.get(source)
    if by_source in WHOLE:
        weights = np.zeros((len(bars), len(NAMES)), np.float32)
        weights[:, by_source] = 1
        return weights
    each = np.array([texture(bar) for bar in bars])
    around = np.array([each[max(0, i - BARS_AROUND) : i + BARS_AROUND + 1].sum(0) for i in range(len(bars))])
    total = around.sum(1, keepdims=True)
    around = np.divide(around, total, out=np.zeros_like(around), where=total > 0)
    if by_source is not None:
        around *= 1 - ROMANTIC_SHARE
        around[:, by_source] = 1 - around.sum(1)
    return around.astype(np.float32)


# Controls: what the knobs mean

NO_CONTROLS: dict = {
    "bass": {
        "density": [0.25, 0.33, 0.4, 0.5, 0.5, 0.5, 0.66, 0.75, 1.0, 1.25, 2.0],
        "register": [32, 36, 38, 40, 41, 42, 43, 44, 45, 47, 50],
        "length": [3, 6, 9, 12, 15, 18, 20, 22, 24, 30, 48],
    },
    "chords": {
        "density": [0.25, 0.5, 0.75, 1.0, 1.2, 1.5, 1.75, 2.0, 2.3, 2.75, 4.0],
        "register": [50, 54, 56, 57, 58, 59, 60, 61, 63, 65, 72],
        "length": [3, 6, 7, 8, 9, 10, 12, 15, 18, 24, 48],
    },
    "counter": {
        "density": [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9, 1.1, 1.5, 2.5],
        "register": [55, 60, 62, 64, 66, 68, 70, 72, 74, 77, 84],
        "length": [3, 4, 6, 7, 8, 9, 10, 12, 14, 18, 36],
    },
    "styles": {},
}
"""Placeholder of a model that was not trained."""
MEASURES = ("density", "register", "length", "polyphony")
STRETCH = 8
"""Bars over which an attribute is measured."""


def controls(runs: Sequence) -> dict:
    """Per part the values at the training quantiles 0, .1 ... 1, and for each style its weighted means. `runs` are
    dataset.Run of the training side."""
    values = {part: {m: [] for m in MEASURES} for part in e.PARTS}
    sums = np.zeros((len(NAMES), len(e.PARTS), len(MEASURES), 2))
    for run in runs:
        for first in range(0, run.bars, STRETCH):
            bars = slice(first, min(run.bars, first + STRETCH))
            style = run.styles[bars].mean(0)
            for part in run.parts:
                measured = run.attributes(part, bars)
                for m, value in enumerate(measured):
                    if value is None or (part == e.COUNTER and m == 0 and value == 0):
                        continue
                    values[e.PARTS[part]][MEASURES[m]].append(value)
                    sums[:, part, m, 0] += style * value
                    sums[:, part, m, 1] += style
    result: dict = {}
    for part, by_measure in values.items():
        result[part] = {
            m: [round(float(x), 2) for x in np.quantile(v, np.linspace(0, 1, 11))]
            for m, v in by_measure.items()
            if v and (m != "polyphony" or part == "chords")
        }
    result["styles"] = {
        name: {
            part: {
                m: round(float(sums[s, p, i, 0] / sums[s, p, i, 1]), 2)
                for i, m in enumerate(MEASURES)
                if sums[s, p, i, 1] > 0 and (m != "polyphony" or part == "chords")
            }
            for p, part in enumerate(e.PARTS)
        }
        for s, name in enumerate(NAMES)
    }
    return result


USUAL = ("length", "polyphony")
"""What is told of a style beside its name: with these it is recognised more often. Not its density: songs of one style
differ in it, and told the mean they all had about that (models/README.md)."""


def with_usual(cond: np.ndarray, controls: dict) -> np.ndarray:
    """A condition vector in which the parts that are asked for have what is usual in its styles, as the plugin has it;
    what is known already stays. `controls`: see `controls`."""
    weights = cond[e.STYLES : e.STYLES + len(NAMES)]
    told = cond.copy()
    for part in np.flatnonzero(cond[e.ASKED : e.ASKED + len(e.PARTS)]):
        usual = {m: usual_in(controls, weights, e.PARTS[part], m) for m in USUAL}
        e.tell(told, int(part), e.Attributes(**usual))
    return told


EMPHASIS = 1.3
"""A style is told with so much of the weight that it was learnt with: bars then have more of what sets it apart. Songs
in other styles than their own were recognised in .88 for .80 of the stretches, and those in their own overlap with
people's as before (models/README.md)."""


def emphasised(cond: np.ndarray) -> np.ndarray:
    told = cond.copy()
    told[e.STYLES : e.STYLES + len(NAMES)] *= EMPHASIS
    return told


def usual_in(controls: dict, weights: np.ndarray, part: str, measure: str) -> float | None:
    """The weighted mean over the styles that have it."""
    means = [controls["styles"].get(name, {}).get(part, {}).get(measure) for name in NAMES]
    known = [(w, m) for w, m in zip(weights, means, strict=True) if m is not None and w > 0]
    total = sum(w for w, _ in known)
    return sum(w * m for w, m in known) / total if known else None
