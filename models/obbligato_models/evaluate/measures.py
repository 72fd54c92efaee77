"""The list of all that is measured on notes alone, with its value for many songs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..dataset import Run
from . import form, harmony, texture
from .answers import Answer
from .excerpts import FIRST_SCORED
from .intervals import Estimate, estimate


def ratio(sums: np.ndarray) -> float:
    return float(sums[0] / sums[1]) if sums[1] else float("nan")


@dataclass(frozen=True)
class Measure:
    """What is summed over songs, and its value."""

    sums: Callable[[Run, Answer, slice], np.ndarray]
    value: Callable[[np.ndarray], float] = ratio


def _agreement(run: Run, answer: Answer, bars: slice) -> np.ndarray:
    """Of the chords that are read from the notes with the human's labels."""
    found = harmony.read_chords(answer.notes, run.metre, run.bars)
    return harmony.agreement(found[bars], run.chords[bars])


def _plan(run: Run, answer: Answer, bars: slice) -> np.ndarray:
    """Of the chords it was made from with the human's labels."""
    if answer.plan is None:
        return np.zeros(3)
    return harmony.agreement(answer.plan[bars], run.chords[bars])


def _beside_human(histogram) -> Callable[[Run, Answer, slice], np.ndarray]:
    return lambda run, answer, bars: texture.beside_human(run, answer.rows, bars, histogram)


def _on_notes(function) -> Callable[[Run, Answer, slice], np.ndarray]:
    return lambda run, answer, bars: function(run, answer.notes, bars)


def _on_rows(function) -> Callable[[Run, Answer, slice], np.ndarray]:
    return lambda run, answer, bars: function(run, answer.rows, bars)


def _counts(run: Run, answer: Answer, bars: slice) -> np.ndarray:
    """[bars in which nothing is struck, notes, bars]."""
    notes = harmony.struck_in(answer.notes, run, bars)
    count = bars.stop - bars.start
    return np.array([count - len({n.start // run.ticks for n in notes}), len(notes), count], float)


def _lag(bars: int) -> Callable[[np.ndarray], float]:
    return lambda sums: ratio(sums[:, bars - 1])


MEASURES = {
    "fit": Measure(_on_notes(harmony.fit)),
    "clash": Measure(_on_notes(harmony.clash)),
    "consonance": Measure(_on_notes(harmony.consonance)),
    "in scale": Measure(_on_notes(harmony.in_scale)),
    "chords agree": Measure(_agreement, lambda s: ratio(s[[0, 2]])),
    "roots agree": Measure(_agreement, lambda s: ratio(s[[1, 2]])),
    "plan agrees": Measure(_plan, lambda s: ratio(s[[1, 2]])),
    "density overlap": Measure(_beside_human(texture.density), texture.overlap),
    "pitch overlap": Measure(_beside_human(texture.pitch), texture.overlap),
    "duration overlap": Measure(_beside_human(texture.duration), texture.overlap),
    "groove overlap": Measure(_on_notes(texture.groove_beside_human), texture.overlap),
    "groove": Measure(_on_notes(texture.groove)),
    "unique bars": Measure(_on_rows(form.unique)),
    "looped bars": Measure(_on_rows(form.loops)),
    "alike at 4 bars": Measure(_on_notes(form.self_similarity), _lag(4)),
    "alike at 8 bars": Measure(_on_notes(form.self_similarity), _lag(8)),
    "changes on strong beats": Measure(_on_notes(form.changes)),
    "cadences": Measure(_on_notes(form.cadences)),
    "empty bars": Measure(_counts, lambda s: ratio(s[[0, 2]])),
    "notes a bar": Measure(_counts, lambda s: ratio(s[[1, 2]])),
}
"""By name."""


class Scores:
    """The measures of many songs, one answer a song and seed; seeds are summed within their song."""

    def __init__(self, runs: Sequence[Run], answers: Sequence[Sequence[Answer]], first: int = FIRST_SCORED):
        """`answers`: one list for each seed."""
        self.songs = len(runs)
        made: dict[tuple[Callable, int], np.ndarray] = {}
        for song, run in enumerate(runs):
            for given in answers:
                for function in {m.sums for m in MEASURES.values()}:
                    found = function(run, given[song], slice(min(first, run.bars), run.bars))
                    made[function, song] = made.get((function, song), 0) + found
        self.sums = {name: np.array([made[m.sums, song] for song in range(self.songs)]) for name, m in MEASURES.items()}

    def value(self, name: str, songs: np.ndarray | Sequence[int] | None = None) -> float:
        chosen = self.sums[name] if songs is None else self.sums[name][songs]
        return MEASURES[name].value(chosen.sum(0))

    def estimate(self, name: str, among: np.ndarray) -> Estimate:
        """Of the songs with these numbers."""
        return estimate(lambda drawn: self.value(name, among[drawn]), len(among))

    def values(self, songs: Sequence[int] | None = None) -> dict[str, float]:
        return {name: round(self.value(name, songs), 4) for name in MEASURES}
