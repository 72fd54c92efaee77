"""Melodies as tokens, and what the network is shown of them.

The network is the accompanist's (transformer/model.py), smaller, over the same tokens and conditions. Of a bar there
are only its chords, where they are known, and its melody:

    BAR  [CHORD x segments]  POS NOTE ... POS NOTE ...

A bar ends where the next BAR stands. So 512 tokens hold some forty bars, where the accompanist's hold sixteen.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from .. import encoding as e
from ..dataset import MELODY_ROW, Run
from ..encoding import Bar
from ..transformer import train
from ..transformer.model import Shape

SHAPE = Shape(width=192, layers=6, heads=4, window=512, told=48)
LENGTH = 512
SOURCES = {
    "pop909": 0.4,
    "lieder": 0.2,
    "openewld": 0.14,
    "open_hymnal": 0.09,
    "bach_chorales": 0.06,
    "string_quartets": 0.05,
    "js_fakes": 0.03,
    "freedoom": 0.03,
}
"""Share of the windows."""
CHORDS_KNOWN = 0.7
"""Share of excerpts with chords."""
CHORD_WEIGHT = 1.0
SHORTEST = 8
"""An excerpt begins so many bars before the end of its song, if it can: what is learnt is going on."""


def encode(bar: Bar, with_chords: bool) -> list[int]:
    chords = [e.CHORD + chord for chord in bar.chords] if with_chords else []
    return [e.BAR + bar.metre, *chords, *e.note_list(n for n in bar.melody if n.start >= 0)]


def velocities(bar: Bar) -> list[int]:
    """Of the melody's notes, in the order of their tokens."""
    written: list[int] = []
    tokens = e.note_list((n for n in bar.melody if n.start >= 0), velocities=written)
    return [v for token, v in zip(tokens, written, strict=True) if token >= e.NOTE]


class Windows:
    """Draws training windows. The same seed and number give the same window. They have the fields of the accompanist's
    (transformer/train.py), whose losses read them."""

    def __init__(self, runs: Sequence[Run]):
        self.music = train.Windows(runs, SOURCES)
        self.shifted = self.music.shifted

    def batch(self, seed: int, step: int, size: int) -> dict[str, Tensor]:
        windows = [self.draw((seed, step, i)) for i in range(size)]
        return {key: torch.from_numpy(np.stack([w[key] for w in windows])) for key in windows[0]}

    def draw(self, seed: tuple[int, ...]) -> dict[str, np.ndarray]:
        """One window of LENGTH + 1 tokens, filled with as many excerpts as it takes."""
        rng = random.Random(hash(seed))
        excerpts, length = [], 0
        while length <= LENGTH:
            excerpt = self.excerpt(rng, LENGTH + 1 - length)
            excerpt["excerpt"] = np.full(len(excerpt["ids"]), len(excerpts))
            excerpt["bar"] = excerpt["bar"] + 1000 * len(excerpts)
            length += len(excerpt["ids"])
            excerpts.append(excerpt)
        return {key: np.concatenate([x[key] for x in excerpts]) for key in excerpts[0]}

    def excerpt(self, rng: random.Random, room: int) -> dict[str, np.ndarray]:
        """Bars of one run from START on, cut where there is no more room."""
        run, first = self.music.place(rng)
        first = min(first, max(0, run.bars - SHORTEST))
        shift = rng.randint(train.LOWEST_SHIFT, train.HIGHEST_SHIFT)
        with_chords = rng.random() < CHORDS_KNOWN
        style = rng.random() < train.STYLE_KNOWN
        phrase = rng.random() < train.PHRASE_KNOWN
        tempo = run.tempo * 2 ** rng.uniform(-0.15, 0.15)
        mean = melody_level(run)
        ids, loudness, bars, conds = [e.START], [-1], [0], []
        coming: list = [train.UNASKED]
        for index in range(first, run.bars):
            bar = run.bar(index, (), False)
            tokens = encode(bar, with_chords)
            cond = condition(run, index, tempo, style, phrase)
            conds += [cond] * (len(tokens) + (not conds))
            ids += tokens
            loudness += levels(tokens, velocities(bar), mean)
            coming += train.coming_melody(tokens, run.melody_classes()[index] if with_chords else None)
            bars += [index - first + 1] * len(tokens)
            if len(ids) > room:
                break
        tokens = self.shifted[shift][ids[:room]]
        return {
            "ids": tokens,
            "target": tokens,
            "cond": np.array(conds[:room]),
            "weight": np.array([float(i > 0) for i in range(len(tokens))], np.float32),
            "loudness": np.array(loudness[:room]),
            "coming": np.roll(np.array(coming[:room], np.float32), shift, 1),
            "bar": np.array(bars[:room]),
            "hidden": np.zeros(len(tokens), bool),
        }


def condition(run: Run, bar: int, tempo: float, style: bool = True, phrase: bool = True) -> np.ndarray:
    """Style over the bars around, tempo, place in the phrase; no parts are asked for."""
    around = run.styles[max(0, bar - 4) : bar + 4].mean(0) if style else ()
    return e.condition(around, {}, (), tempo, bar if phrase else None)


def melody_level(run: Run) -> float | None:
    """Mean velocity of the melody; None where it was written down and not played."""
    known = [n.velocity for n in run.notes[MELODY_ROW] if n.velocity]
    return float(np.mean(known)) if known and np.std(known) >= 2.0 else None


def levels(tokens: Sequence[int], played: Sequence[int], mean: float | None) -> list[int]:
    """Loudness class of each token that is a note; -1 for the others, and where it is not known."""
    left = iter(played)
    found = [next(left) if token >= e.NOTE else 0 for token in tokens]
    return [e.loudness_class(v, mean) if v and mean is not None else -1 for v in found]
