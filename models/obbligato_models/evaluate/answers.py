"""Which accompaniments are compared?"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .. import chords
from .. import encoding as e
from ..dataset import MELODY_ROW, Run
from ..encoding import Bar, Note
from .harmony import key_of


@dataclass
class Answer:
    """An accompaniment: notes of bass, chords, counter (and pad), starts from the excerpt's first bar line."""

    rows: list[list[Note]]
    plan: np.ndarray | None = None
    """The chords it was made from, [bars, segments]."""

    @property
    def notes(self) -> list[Note]:
        return [n for row in self.rows for n in row]


def from_bars(run: Run, bars: Sequence[Bar]) -> Answer:
    rows: list[list[Note]] = [[], [], []]
    for index, bar in enumerate(bars):
        for part, notes in bar.parts.items():
            rows[part] += [n._replace(start=n.start + index * run.ticks) for n in notes]
    return Answer(rows, np.array([bar.chords for bar in bars]))


# To compare with


def human(run: Run) -> Answer:
    return Answer([list(row) for row in run.notes[:MELODY_ROW]], run.chords)


def rule_triads(run: Run) -> Answer:
    """The best-fitting triad of each segment's own melody, held."""
    bass, upper, plan, before = [], [], [], 0
    for bar in range(run.bars):
        plan.append([])
        for start, end in e.SEGMENTS[run.metre]:
            line = bar * run.ticks
            before = chords.triad_under(run.melody, line + start, line + end, before)
            plan[-1].append(before)
            root, *rest = e.chord_pitch_classes(before)
            bass.append(Note(line + start, end - start, 36 + root))
            upper += [Note(line + start, end - start, 52 + (p - 4) % 12) for p in (root, *rest)]
    return Answer([bass, upper, []], np.array(plan))


def another_song(runs: Sequence[Run], index: int) -> Answer:
    """The human accompaniment of some other excerpt of the same metre and mode, moved into the same key."""
    run, (mode, tonic) = runs[index], key_of(runs[index])
    others = [(r, key_of(r)) for i, r in enumerate(runs) if i != index and r.metre == run.metre]
    others = [x for x in others if x[0].bars >= run.bars] or others
    same = [x for x in others if x[1][0] == mode and x[0].source == run.source] or [
        x for x in others if x[1][0] == mode
    ]
    if not (same or others):
        return Answer([[], [], []])
    other, (_, other_tonic) = random.Random(index).choice(same or others)
    shift = (tonic - other_tonic + 5) % 12 - 5
    plan = np.full_like(run.chords, e.NO_CHORD)
    bars = min(run.bars, other.bars)
    plan[:bars] = transposed(other.chords[:bars], shift)
    end = run.bars * run.ticks
    rows = other.notes[:MELODY_ROW]
    return Answer([[n._replace(key=n.key + shift) for n in row if n.start < end] for row in rows], plan)


def transposed(labels: np.ndarray, semitones: int) -> np.ndarray:
    moved = 10 * ((labels // 10 + semitones) % 12) + labels % 10
    return np.where(labels == e.NO_CHORD, labels, moved)
