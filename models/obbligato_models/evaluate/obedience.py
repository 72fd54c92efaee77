"""Does it do as it is told? Density asked for and got, parts that are muted, the grammar."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .. import encoding as e
from ..dataset import Run
from ..encoding import Attributes, Bar
from ..styles import STRETCH
from .excerpts import beginning
from .intervals import known_mean, rank_correlation
from .playing import Player, request

LEVELS = (1, 3, 5, 7, 9)
"""Of the eleven training quantiles 0, .1, ... 1 of a part's density."""


# Density


def density_sweep(player: Player, runs: Sequence[Run], controls: dict, seed: int) -> np.ndarray:
    """Rows of song, part, density asked for, density got (onsets a quarter over eight bars, as it was learnt). The
    other attributes are not given."""
    asked, requests = [], []
    for song, run in enumerate(runs):
        for part in run.parts:
            for level in LEVELS:
                density = controls[e.PARTS[part]]["density"][level]
                seeds = seed + 100 * song + 10 * part + level
                told = {"attributes": {part: Attributes(density=density)}}
                requests.append(request(beginning(run, STRETCH), seed=seeds, **told))
                asked.append((song, part, density))
    answers = player.play(requests)
    return np.array([(*a, density_of(bars, a[1])) for a, bars in zip(asked, answers, strict=True)])


def density_of(bars: Sequence[Bar], part: int) -> float:
    """Onsets a quarter."""
    onsets = sum(len({n.start for n in bar.parts[part]}) for bar in bars)
    return onsets * e.GRID / sum(e.BAR_TICKS[bar.metre] for bar in bars)


def density_obeyed(rows: np.ndarray, songs: np.ndarray) -> float:
    """Rank correlation of asked and got over songs and levels, mean over the parts."""
    drawn = np.concatenate([rows[rows[:, 0] == song] for song in songs])
    parts = [drawn[drawn[:, 1] == part] for part in np.unique(rows[:, 1])]
    return known_mean(rank_correlation(p[:, 2], p[:, 3]) for p in parts)


# Muted parts


def muted_silent(player: Player, runs: Sequence[Run], seed: int) -> np.ndarray:
    """Of each song [bars in which a muted part is silent, bars with a muted part]: every part is muted once, with the
    melody known and in a jam."""
    songs, requests = [], []
    for song, run in enumerate(runs):
        for muted in run.parts:
            for jam in (False, True):
                parts = [p for p in run.parts if p != muted]
                requests.append(request(beginning(run, STRETCH), jam, seed=seed + song, parts=parts))
                songs.append((song, muted))
    sums = np.zeros((len(runs), 2))
    for (song, muted), bars in zip(songs, player.play(requests), strict=True):
        sums[song] += sum(not bar.parts.get(muted) for bar in bars), len(bars)
    return sums


# Grammar


def grammar_errors(bars: Sequence[Bar]) -> list[str]:
    """What is wrong with bars that were written freely: tokens that cannot be read, or that are read as other notes."""
    errors = []
    for index, bar in enumerate(bars):
        try:
            (read,) = e.decode(e.encode(bar))
        except ValueError as problem:
            errors.append(f"bar {index + 1}: {problem}")
            continue
        for part, notes in bar.parts.items():
            if [n[:3] for n in read.parts[part]] != [n[:3] for n in notes]:
                errors.append(f"bar {index + 1}: {e.PARTS[part]} is read as other notes")
    return errors
