"""Is it played as people play? Histograms of an answer beside those of the human, as sums that can be added up."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .. import encoding as e
from ..dataset import Run
from ..encoding import Note
from .harmony import struck_in

CELL = 3
"""Ticks of a sixteenth: onsets are compared on this grid."""
MOST_ONSETS = 13
"""Classes of density: onsets in two quarters, the last for this and more."""
GROOVE_CLASSES = 17


def density(run: Run, notes: Sequence[Note], bars: slice) -> np.ndarray:
    """Bars by onsets in two quarters."""
    onsets = np.bincount([t // run.ticks for t in {n.start for n in notes}], minlength=run.bars)[bars]
    per_half = (onsets * e.GRID * 2 / run.ticks).round().astype(int)
    return np.bincount(per_half.clip(0, MOST_ONSETS - 1), minlength=MOST_ONSETS).astype(float)


def pitch(run: Run, notes: Sequence[Note], bars: slice) -> np.ndarray:
    return np.bincount([n.key for n in notes], minlength=128).astype(float)


def duration(run: Run, notes: Sequence[Note], bars: slice) -> np.ndarray:
    classes = [e.duration_class(n.duration) for n in notes]
    return np.bincount(classes, minlength=e.DURATION_CLASSES).astype(float)


def beside_human(run: Run, rows: Sequence[Sequence[Note]], bars: slice, histogram) -> np.ndarray:
    """[2, parts, classes]: the human's histograms and the answer's. Parts that the human does not play are left out."""
    sides = []
    for side in (run.notes, rows):
        given = [
            struck_in(side[p], run, bars) if p in run.parts and p < len(side) else None for p in range(len(e.PARTS))
        ]
        empty = np.zeros_like(histogram(run, [], bars))
        sides.append([histogram(run, notes, bars) if notes is not None else empty for notes in given])
    return np.array(sides)


def overlap(sums: np.ndarray) -> float:
    """Shared area of the human's and the answer's histograms [2, parts, classes], each of area 1; mean over parts."""
    human, given = sums
    played = human.sum(1) > 0
    if not played.any():
        return float("nan")
    shares = [h / np.maximum(h.sum(1, keepdims=True), 1e-9) for h in (human[played], given[played])]
    return float(np.minimum(*shares).sum(1).mean())


# Groove


def onsets(notes: Sequence[Note], run: Run) -> np.ndarray:
    """Which sixteenths of each bar have an onset, bool [bars, cells]."""
    cells = np.zeros((run.bars, run.ticks // CELL), bool)
    for note in notes:
        bar, tick = divmod(note.start, run.ticks)
        if 0 <= bar < run.bars:
            cells[bar, min(cells.shape[1] - 1, round(tick / CELL))] = True
    return cells


def likeness(notes: Sequence[Note], run: Run, bars: slice) -> np.ndarray:
    """Of each two neighbouring bars, the share of sixteenths in which both have an onset or neither has (grooving
    pattern similarity, Wu and Yang 2020). Two silent bars are left out."""
    cells = onsets(notes, run)[bars]
    sounding = cells[:-1].any(1) | cells[1:].any(1)
    return (cells[:-1] == cells[1:]).mean(1)[sounding]


def groove(run: Run, notes: Sequence[Note], bars: slice) -> np.ndarray:
    """[sum over neighbouring bars of their likeness, pairs of bars]."""
    found = likeness(notes, run, bars)
    return np.array([found.sum(), len(found)])


def groove_beside_human(run: Run, notes: Sequence[Note], bars: slice) -> np.ndarray:
    """[2, 1, classes]: pairs of neighbouring bars by likeness, the human's and the answer's."""
    human = [n for p in run.parts for n in run.notes[p]]
    classes = [(likeness(side, run, bars) * (GROOVE_CLASSES - 1)).round().astype(int) for side in (human, notes)]
    return np.array([[np.bincount(c, minlength=GROOVE_CLASSES)] for c in classes], float)
