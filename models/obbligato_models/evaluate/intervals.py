"""How sure is a value? Bootstrap intervals: songs are drawn anew, with replacement, and the value is taken again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

RESAMPLES = 1000
LEVEL = 0.95
SEED = 11


class Estimate(NamedTuple):
    value: float
    low: float
    high: float


def estimate(value: Callable[[np.ndarray], float], songs: int) -> Estimate:
    """`value` of all songs, and between which limits it falls in 95 of 100 draws of as many songs. `value` takes the
    numbers of the songs, some of them more than once. What all draws have in common (a histogram of fewer songs is
    less even, whoever plays) is taken off: their median is moved onto the value."""
    random = np.random.default_rng(SEED)
    draws = [value(random.integers(0, songs, songs)) for _ in range(RESAMPLES)] if songs else [np.nan]
    tail = 100 * (1 - LEVEL) / 2
    if not np.isfinite(draws).any():
        return Estimate(float("nan"), float("nan"), float("nan"))
    low, middle, high = np.nanpercentile(draws, (tail, 50, 100 - tail))
    found = float(value(np.arange(songs)))
    return Estimate(found, float(found + low - middle), float(found + high - middle))


def known_mean(values: Iterable[float]) -> float:
    """Of those that are numbers; nan where none is."""
    known = [v for v in values if not np.isnan(v)]
    return float(np.mean(known)) if known else float("nan")


def ranks(values: np.ndarray) -> np.ndarray:
    """1 for the smallest; equal values share their mean rank."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = counts.cumsum()
    return (last - (counts - 1) / 2)[place]


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's; nan where one of the two never changes."""
    a, b = ranks(np.asarray(a)), ranks(np.asarray(b))
    if len(a) < 2 or not a.std() or not b.std():
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])
