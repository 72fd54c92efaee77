"""Do its bars hang together as those of a song? Repetition, harmonic rhythm, cadences, loops and drift, as sums that
can be added up over songs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .. import chords
from .. import encoding as e
from ..dataset import Run
from ..encoding import Note
from .excerpts import LONG_BARS, PHRASE
from .harmony import fit, key_of, read_chords, struck_in
from .texture import CELL

LAGS = 16
EARLY, LATE = slice(16, 32), slice(48, LONG_BARS)
"""The bars of a long run that are compared: 17 to 32 and 49 to 64."""
BEAT = (12, 12, 12, 18)
"""Ticks of a beat, by metre."""
STRONG = ((0, 2), (0,), (0,), (0,))
"""Strong beats, by metre."""
TO_TONIC = {5, 7}
"""Roots, in semitones above the tonic, from which a step to the tonic makes a cadence: IV and V."""


# Repetition


def struck(run: Run, rows: Sequence[Sequence[Note]], bars: slice) -> list[frozenset]:
    """Of each bar what is struck in it: part, place in the bar, key."""
    found: list[set] = [set() for _ in range(run.bars)]
    for part, notes in enumerate(rows):
        for note in notes:
            bar, tick = divmod(note.start, run.ticks)
            if 0 <= bar < run.bars:
                found[bar].add((part, tick, note.key))
    return [frozenset(bar) for bar in found[bars]]


def unique(run: Run, rows: Sequence[Sequence[Note]], bars: slice) -> np.ndarray:
    """[different bars, bars]."""
    found = struck(run, rows, bars)
    return np.array([len(set(found)), len(found)], float)


def loops(run: Run, rows: Sequence[Sequence[Note]], bars: slice) -> np.ndarray:
    """[bars that are struck as the bar before, bars with something struck]."""
    found = struck(run, rows, bars)
    same = sum(bool(a) and a == b for a, b in zip(found, found[1:], strict=False))
    return np.array([same, sum(map(bool, found[1:]))], float)


def self_similarity(run: Run, notes: Sequence[Note], bars: slice) -> np.ndarray:
    """[2, LAGS]: for each lag of 1, 2, ... bars the sum of the likeness of bars so far apart, and their number. It
    is the cosine between what is struck, by sixteenth and pitch class. Pairs with a silent bar are left out."""
    cells = np.zeros((run.bars, run.ticks // CELL, 12))
    for note in notes:
        bar, tick = divmod(note.start, run.ticks)
        if 0 <= bar < run.bars:
            cells[bar, min(cells.shape[1] - 1, round(tick / CELL)), note.key % 12] = 1
    flat = cells.reshape(run.bars, -1)[bars]
    sizes = np.sqrt(flat.sum(1))
    cosines = (flat @ flat.T) / np.maximum(np.outer(sizes, sizes), 1e-9)
    heard = sizes > 0
    sums = np.zeros((2, LAGS))
    for lag in range(1, min(LAGS + 1, len(flat))):
        both = heard[:-lag] & heard[lag:]
        sums[:, lag - 1] = cosines.diagonal(lag)[both].sum(), both.sum()
    return sums


# Harmonic rhythm and cadences


def changes(run: Run, notes: Sequence[Note], bars: slice) -> np.ndarray:
    """[changes of root on a strong beat, changes of root], read beat by beat from what sounds."""
    beat, beats = BEAT[run.metre], run.ticks // BEAT[run.metre]
    roots = roots_by(notes, beat, run.bars * beats)
    strong, every = 0, 0
    before = -1
    for place in range(bars.start * beats, bars.stop * beats):
        if roots[place] >= 0:
            if before >= 0 and roots[place] != before:
                every += 1
                strong += place % beats in STRONG[run.metre]
            before = roots[place]
    return np.array([strong, every], float)


def roots_by(notes: Sequence[Note], ticks: int, count: int) -> list[int]:
    """Roots of stretches of so many ticks; -1 where nothing sounds."""
    rows: list[list[Note]] = [[] for _ in range(count)]
    for note in notes:
        for place in range(max(0, note.start // ticks), min(count, -(-(note.start + note.duration) // ticks))):
            rows[place].append(note)
    found = [chords.label([], row, i * ticks, (i + 1) * ticks) for i, row in enumerate(rows)]
    return [-1 if c == e.NO_CHORD else c // 10 for c in found]


def phrase_phase(run: Run) -> int:
    """In which of eight bars phrases end: where the melody is most often about to rest."""
    starts = sorted({n.start for n in run.melody})
    gaps = np.zeros(run.bars)
    for now, coming in zip(starts, [*starts[1:], run.bars * run.ticks], strict=True):
        gaps[now // run.ticks] = max(gaps[now // run.ticks], (coming - now) / run.ticks)
    return int(np.argmax([gaps[phase::PHRASE].mean() if phase < run.bars else 0 for phase in range(PHRASE)]))


def cadences(run: Run, notes: Sequence[Note], bars: slice) -> np.ndarray:
    """[phrase ends with a cadence, phrase ends]: V-I or IV-I in the last two bars or into the segment after them, or
    that segment on I."""
    (_, tonic), phase = key_of(run), phrase_phase(run)
    roots = read_chords(notes, run.metre, run.bars) // 10
    ends = [b for b in range(phase, min(bars.stop, run.bars), PHRASE) if b - 1 >= bars.start]
    closed = 0
    for bar in ends:
        close = [*roots[bar - 1 : bar + 1].ravel(), *roots[bar + 1 : bar + 2, 0]]
        steps = [(int(r) - tonic) % 12 for r in close if r < 12]
        moves = zip(steps, steps[1:], strict=False)
        closed += bool(steps) and (steps[-1] == 0 or any(a in TO_TONIC and b == 0 for a, b in moves))
    return np.array([closed, len(ends)], float)


# Drift


def drift(run: Run, notes: Sequence[Note]) -> np.ndarray:
    """[2, 3]: for the early and the late bars of a long run the melody time that fits, melody time, notes."""
    rows = [[*fit(run, notes, stretch), len(struck_in(notes, run, stretch))] for stretch in (EARLY, LATE)]
    return np.array(rows, float)
