"""Has it been heard before? Runs of notes that stand in the training songs too, in any key."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .. import encoding as e
from ..dataset import Run
from ..encoding import Note

LONG_RUN = 24
"""Notes of a run that is long enough to be recognised."""
_FARTHEST = 96
"""Two bars of 4/4: a longer rest divides a line."""
_BREAK = -1
_BASE = 0x9E3779B97F4A7C15
_INVERSE = pow(_BASE, -1, 1 << 64)


def steps(notes: Sequence[Note]) -> list[int]:
    """Of each note but the first the time and the interval since the note before it, as one number. The same in every
    key. Notes struck together follow each other from low to high."""
    ordered = sorted((n.start, n.key) for n in notes)
    found = []
    for (start, key), (next_start, next_key) in zip(ordered, ordered[1:], strict=False):
        time = next_start - start
        found.append(_BREAK if time > _FARTHEST else time * 256 + 128 + next_key - key)
    return found


class Lines:
    """The lines of many songs one after the other, ready to be searched for runs of any length. Arithmetic is modulo
    2**64: a run's hash is a polynomial in `_BASE`."""

    def __init__(self, rows: Sequence[tuple[int, Sequence[Note]]]):
        """`rows`: a song's number and one of its lines."""
        found: list[int] = []
        owners: list[int] = []
        for song, row in rows:
            found += [*steps(row), _BREAK]
            owners += [song] * (len(found) - len(owners))
        self.songs = np.array(owners, np.int64)
        values = np.array(found, np.int64)
        self.breaks = np.concatenate([[0], (values == _BREAK).cumsum()])
        powers = _powers(_BASE, len(values))
        self.sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(_mix(values.astype(np.uint64)) * powers)])
        self.inverse = _powers(_INVERSE, len(values))

    def runs(self, notes: int) -> tuple[np.ndarray, np.ndarray]:
        """Where runs of so many notes begin, and the hash of each."""
        length = notes - 1
        if len(self.inverse) < length:
            return np.zeros(0, np.int64), np.zeros(0, np.uint64)
        first = np.flatnonzero(self.breaks[length:] == self.breaks[:-length])
        return first, (self.sums[first + length] - self.sums[first]) * self.inverse[first]


def _powers(base: int, count: int) -> np.ndarray:
    """base**0, base**1, ..."""
    factors = np.full(count, base, np.uint64)
    factors[:1] = 1
    return np.cumprod(factors)


def _mix(values: np.ndarray) -> np.ndarray:
    """Spreads small numbers over 64 bits (the finaliser of splitmix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


class Training:
    """The lines of the training songs, melodies too, with a sorted list of runs for each length that was asked for."""

    def __init__(self, runs: Sequence[Run]):
        numbers = {song: i for i, song in enumerate(sorted({r.song for r in runs}))}
        self.lines = Lines([(numbers[r.song], row) for r in runs for row in r.notes if row])
        self.sorted: dict[int, np.ndarray] = {}

    def has(self, hashes: np.ndarray, notes: int) -> np.ndarray:
        if notes not in self.sorted:
            self.sorted[notes] = np.unique(self.lines.runs(notes)[1])
        known = self.sorted[notes]
        if not len(known):
            return np.zeros(len(hashes), bool)
        return known[np.searchsorted(known, hashes).clip(max=len(known) - 1)] == hashes

    def holders(self, value: np.uint64, notes: int) -> int:
        """How many songs have this run."""
        first, hashes = self.lines.runs(notes)
        return len(set(self.lines.songs[first[hashes == value]].tolist()))


def rows_of(answers: Sequence) -> list[tuple[int, Sequence[Note]]]:
    return [(i, row) for i, answer in enumerate(answers) for row in answer.rows[: len(e.PARTS)] if row]


def longest(training: Training, played: Lines) -> tuple[int, int]:
    """Notes of the longest run that stands in the training songs (0: none of two), and in how many of them it does."""

    def found(notes: int) -> np.ndarray:
        hashes = played.runs(notes)[1]
        return hashes[training.has(hashes, notes)]

    low, high = 1, 4
    while len(found(high)):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if len(found(middle)) else (low, middle)
    if low == 1:
        return 0, 0
    return low, training.holders(found(low)[0], low)


def copied(training: Training, played: Lines, songs: int, notes: int = LONG_RUN) -> np.ndarray:
    """Of each song [notes in runs of at least so many that stand in the training songs, notes]."""
    first, hashes = played.runs(notes)
    inside = np.zeros(len(played.songs) + notes, int)
    for start in first[training.has(hashes, notes)]:
        inside[start : start + notes] = 1
    # A line of n notes takes n places: n - 1 steps and the break after them.
    covered = np.bincount(played.songs, inside[: len(played.songs)], songs)
    return np.stack([covered, np.bincount(played.songs, minlength=songs)], 1)


# Phrases of a counter-melody


def phrases(rows: Sequence[Sequence[Note]]) -> list[tuple[int, ...]]:
    """Eight intervals in a row of each line's top notes, but not scales and repetitions that any two songs share."""
    found = []
    for row in rows:
        top = {n.start: n.key for n in row}
        keys = [top[t] for t in sorted(top)]
        steps = [b - a for a, b in zip(keys, keys[1:], strict=False)]
        found += [tuple(steps[i : i + 8]) for i in range(len(steps) - 7) if len(set(steps[i : i + 8])) > 2]
    return found


def shared_phrases(training: Sequence[Run], answers: dict[str, Sequence]) -> dict[str, float]:
    """Share of the counter-melodies' phrases that stand in a pop song of the training set, in any key."""
    known = set(phrases([row for r in training if r.source == "pop909" for row in (r.notes[e.COUNTER], r.melody)]))
    shares = {}
    for name, given in answers.items():
        played = phrases([a.rows[e.COUNTER] for a in given])
        shares[name] = round(sum(p in known for p in played) / max(1, len(played)), 4)
    return shares
