"""Which accompaniments are compared, and how does the model make its own?"""

from __future__ import annotations

import random
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from .. import chords
from .. import encoding as e
from ..dataset import MELODY_ROW, Run
from ..encoding import Attributes, Bar, Note
from ..transformer import sample
from .excerpts import FIRST_SCORED
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


# From the model


def from_bars(run: Run, bars: Sequence[Bar]) -> Answer:
    rows: list[list[Note]] = [[], [], []]
    for index, bar in enumerate(bars):
        for part, notes in bar.parts.items():
            rows[part] += [n._replace(start=n.start + index * run.ticks) for n in notes]
    return Answer(rows, np.array([bar.chords for bar in bars]))


def condition_of(
    run: Run,
    asked: Sequence[int],
    bar: int,
    styles: Sequence[float] | None = None,
    attributes: dict[int, Attributes] | None = None,
) -> np.ndarray:
    """What the model is told: style (the song's own unless said otherwise), parts, tempo, place in the phrase, and the
    attributes that are given."""
    return e.condition(run.styles.mean(0) if styles is None else styles, attributes or {}, asked, run.tempo, bar)


def request(
    run: Run,
    jam: bool = False,
    given_chords: bool = False,
    given_bars: int = 0,
    listening: int = 0,
    seed: int = 0,
    parts: Sequence[int] | None = None,
    **told,
) -> sample.Request:
    """The first `given_bars` are the human's; in the first `listening` bars the melody is known and nobody plays.
    `told`: see `condition_of`."""
    wanted = tuple(run.parts if parts is None else parts)
    asked = [() if i < listening else wanted for i in range(run.bars)]
    bars = [run.bar(i, asked[i], jam and i >= listening) for i in range(run.bars)]
    conds = [condition_of(run, asked[i], i, **told) for i in range(run.bars)]
    return sample.Request(bars, conds, asked, given_chords, given_bars, seed=seed)


MODES = {
    "model, melody known": {},
    "model, melody known, chords given": {"given_chords": True},
    "model, jam": {"jam": True},
    "model, jam, four bars of listening first": {"jam": True, "listening": FIRST_SCORED},
    "model, jam, four human bars first": {"jam": True, "given_bars": FIRST_SCORED},
    "model, jam, chords given": {"jam": True, "given_chords": True},
}

AT_ONCE = 64
"""Songs side by side: each has a cache of some megabytes."""


class Player:
    """Answers requests with the model of a checkpoint, in one process or several."""

    def __init__(self, checkpoint: Path, choice: sample.Choice, processes: int = 1):
        self.checkpoint, self.choice, self.processes = checkpoint, choice, processes
        self.step = None

    def play(self, requests: Sequence[sample.Request]) -> list[list[Bar]]:
        chunks = [list(requests[i : i + AT_ONCE]) for i in range(0, len(requests), AT_ONCE)]
        if self.processes == 1:
            answers = map(self.play_some, chunks)
            return [bars for chunk in answers for bars in chunk]
        with ProcessPoolExecutor(self.processes, get_context("spawn")) as pool:
            return [bars for chunk in pool.map(self.play_some, chunks) for bars in chunk]

    def play_some(self, requests: Sequence[sample.Request]) -> list[list[Bar]]:
        from .. import export

        torch.set_num_threads(1)  # Steps are small: two threads mostly wait for each other.
        if self.step is None:
            self.step = export.stepper(export.load(self.checkpoint)[0])
        return sample.play(self.step, requests, self.choice)

    def __getstate__(self) -> dict:
        """Each process loads the model itself."""
        return {**vars(self), "step": None}


def model_answers(player: Player, runs: Sequence[Run], seed: int = 0, **mode) -> list[Answer]:
    requests = [request(run, seed=1000 * seed + index, **mode) for index, run in enumerate(runs)]
    return [from_bars(run, bars) for run, bars in zip(runs, player.play(requests), strict=True)]
