"""Draws what the networks are shown: four bars of a song, and the four before."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from .. import encoding as e
from .. import rolls
from ..dataset import Run
from ..rolls import Place
from ..transformer import train
from .model import Given

NO_BEFORE = 0.15
"""Share of windows without the bars before, as at the beginning of a song."""
CHORDS_GIVEN = 0.35
AHEAD = 0.3
"""Share of windows whose melody is not known to the end: the generator plays ahead of it, as in a jam."""
PARTS_LEFT_OUT = 0.1
"""Share of a song's parts that are not asked for."""


class Windows:
    """The same seed and number give the same windows. Those of a step have one metre, since they have one length."""

    def __init__(self, runs: Sequence[Run]):
        playing = [r for r in runs if r.parts]
        metres = [m for m in range(len(e.METRES)) if any(r.metre == m for r in playing)]
        self.bars = {m: sum(r.bars for r in playing if r.metre == m) for m in metres}
        self.places = {m: train.Windows([r for r in playing if r.metre == m]) for m in metres}

    def metre(self, rng: random.Random) -> int:
        return rng.choices(list(self.bars), list(self.bars.values()))[0]

    def batch(self, seed: int, step: int, size: int) -> dict[str, Tensor]:
        """`parts` as people play them, `asked` [B, 8] for which channels they count, and all that is `Given`."""
        rng = random.Random(hash((seed, step)))
        metre = self.metre(rng)
        windows = [self.draw(rng, metre) for _ in range(size)]
        return {key: torch.from_numpy(np.stack([w[key] for w in windows])) for key in windows[0]}

    def draw(self, rng: random.Random, metre: int) -> dict[str, np.ndarray]:
        run, first = self.places[metre].place(rng)
        asked = tuple(p for p in run.parts if rng.random() >= PARTS_LEFT_OUT) or run.parts
        shift = rng.randint(train.LOWEST_SHIFT, train.HIGHEST_SHIFT)
        cond = train.Conditions(run, first, asked, shift, rng).at(first, asked)
        given = rng.random() < CHORDS_GIVEN
        known = None
        if rng.random() < AHEAD:
            lines = [b * run.ticks + start for b in range(rolls.BARS) for start, _ in e.SEGMENTS[metre]]
            known = rng.choice(lines[: len(lines) // 2])
        window = window_of(run, Place(first, shift), asked, known, given)
        if rng.random() < NO_BEFORE:
            window["before"][:] = 0
        return {**window, "cond": cond}


def window_of(
    run: Run, place: Place, asked: Sequence[int], known: int | None = None, chords_given: bool = False
) -> dict[str, np.ndarray]:
    """Without conditions. `known`: ticks up to which the melody may be known."""
    earlier = place._replace(first=place.first - rolls.BARS)
    labels = run.chords[place.first : place.first + rolls.BARS]
    chords = rolls.chord_rows(labels, run.metre, chords_given)
    chords[:12] = np.roll(chords[:12], place.shift, 0)
    channels = asked_channels(asked)
    parts = rolls.parts_of(run, place) * channels[:, None, None]
    before = np.concatenate([rolls.parts_of(run, earlier) * channels[:, None, None], rolls.melody_of(run, earlier)])
    melody = rolls.melody_of(run, place)
    if known is not None:
        melody[:, known:] = 0
    clock = rolls.clock(run.metre, known)
    return {
        "parts": parts, "before": before, "melody": melody, "chords": chords, "clock": clock, "asked": channels,
    }  # fmt: skip


def asked_channels(asked: Sequence[int]) -> np.ndarray:
    """f32 [8]: 1 for the channels of the parts that are asked for; the pad always is."""
    wanted = [float(p in asked or p == rolls.PAD) for p in range(len(rolls.PARTS))]
    return np.repeat(np.array(wanted, np.float32), 2)


def given_of(batch: dict[str, Tensor]) -> Given:
    return Given(*(batch[name] for name in Given._fields))
