"""The three measures that AWS DeepComposer showed of a training, computed as their names say, and a few of ours beside
them: read against the *training line*, what people's own music has.

There the empty-bar rate was the rate of bars that are not empty, and the scale was tested on neighbouring semitones
taken together.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..dataset import Run
from .answers import Answer
from .harmony import key_of, struck_in
from .measures import Scores

SHOWN = ("empty bars", "in scale", "fit", "clash", "density overlap", "pitch overlap", "notes a bar")
PITCHES = "pitch classes"
"""Distance of the histogram of pitch classes, counted from the tonic, to the training songs': 0 the same, 1 none in
common."""


def pitch_classes(runs: Sequence[Run], answers: Sequence[Answer]) -> np.ndarray:
    """Share of the notes on each pitch class above the tonic of its song, [12]."""
    counts = np.zeros(12)
    for run, answer in zip(runs, answers, strict=True):
        tonic = key_of(run)[1]
        keys = [n.key for n in struck_in(answer.notes, run, slice(0, run.bars))]
        counts += np.bincount([(key - tonic) % 12 for key in keys], minlength=12)
    return counts / max(1, counts.sum())


def distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a - b).sum() / 2)


class TrainingLine:
    """What people play to training songs."""

    def __init__(self, runs: Sequence[Run], answers: Sequence[Answer]):
        self.values = shown(runs, answers)
        self.pitch_classes = pitch_classes(runs, answers)

    def measure(self, runs: Sequence[Run], answers: Sequence[Answer]) -> dict[str, float]:
        """Of others, to be read beside `values`."""
        return {**shown(runs, answers), PITCHES: distance(pitch_classes(runs, answers), self.pitch_classes)}


def shown(runs: Sequence[Run], answers: Sequence[Answer]) -> dict[str, float]:
    values = Scores(runs, [answers], first=0).values()
    return {name: values[name] for name in SHOWN}
