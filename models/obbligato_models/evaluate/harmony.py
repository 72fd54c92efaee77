"""Does it sound right with the melody? Measures of one song, as sums that can be added up over songs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .. import chords, dataset
from .. import encoding as e
from ..dataset import Run
from ..encoding import Note

CONSONANCE = np.array([1, -1, -1, 1, 1, 0, -1, 1, 1, 1, -1, -1], float)
"""By the interval from the lower to the upper note, modulo an octave: unison, thirds, fifth and sixths 1, fourth 0, the
rest -1 (Yeh et al. 2021)."""
_MELODY_ABOVE = CONSONANCE[(np.arange(12)[:, None] - np.arange(12)) % 12]
MAJOR = (0, 2, 4, 5, 7, 9, 11)


def grid(notes: Sequence[Note], ticks: int, classes: int) -> np.ndarray:
    """bool [ticks, classes]: 12 for pitch classes, 128 for keys."""
    cells = np.zeros((ticks, classes), bool)
    for note in notes:
        cells[max(0, note.start) : note.start + max(1, note.duration), note.key % classes] = True
    return cells


def in_segments(cells: np.ndarray, metre: int) -> np.ndarray:
    """What sounds anywhere in a segment, at each of its ticks."""
    size = e.SEGMENTS[metre][0][1]
    return cells.reshape(-1, size, cells.shape[1]).any(1).repeat(size, 0)


def fit(run: Run, answer: Sequence[Note], bars: slice) -> np.ndarray:
    """[melody ticks whose pitch class sounds in the answer of the same segment, melody ticks]."""
    ticks, stretch = run.bars * run.ticks, slice(bars.start * run.ticks, bars.stop * run.ticks)
    melody = grid(run.melody, ticks, 12)[stretch]
    heard = grid(run.melody, ticks, 128)[stretch].sum()
    fits = (melody & in_segments(grid(answer, ticks, 12), run.metre)[stretch]).sum() / max(1, melody.sum())
    return np.array([fits * heard, heard], float)


def clash(run: Run, answer: Sequence[Note], bars: slice) -> np.ndarray:
    """[melody ticks in which a note a semitone away sounds, melody ticks]."""
    ticks, stretch = run.bars * run.ticks, slice(bars.start * run.ticks, bars.stop * run.ticks)
    melody, keys = grid(run.melody, ticks, 128)[stretch], grid(answer, ticks, 128)[stretch]
    beside = np.zeros_like(keys)
    beside[:, 1:] |= keys[:, :-1]
    beside[:, :-1] |= keys[:, 1:]
    return np.array([(melody & beside).sum(), melody.sum()], float)


def consonance(run: Run, answer: Sequence[Note], bars: slice) -> np.ndarray:
    """[sum over the ticks in which melody and answer both sound of the mean consonance of their pairs of notes, ticks].
    The melody counts as the upper note."""
    ticks, stretch = run.bars * run.ticks, slice(bars.start * run.ticks, bars.stop * run.ticks)
    melody, keys = (by_class(grid(notes, ticks, 128)[stretch]) for notes in (run.melody, answer))
    pairs = melody.sum(1) * keys.sum(1)
    sums = ((melody @ _MELODY_ABOVE) * keys).sum(1)
    both = pairs > 0
    return np.array([(sums[both] / pairs[both]).sum(), both.sum()], float)


def by_class(keys: np.ndarray) -> np.ndarray:
    """Notes of each pitch class, [ticks, 12], from keys [ticks, 128]."""
    return np.pad(keys, ((0, 0), (0, 4))).reshape(len(keys), 11, 12).sum(1)


def scale(notes: Sequence[Note]) -> set[int]:
    """The seven notes of the major scale that holds most of the music."""
    weights = chords.sounding(notes, 0, 10**9)
    tonic = max(range(12), key=lambda t: sum(weights[(t + i) % 12] for i in MAJOR))
    return {(tonic + i) % 12 for i in MAJOR}


def in_scale(run: Run, answer: Sequence[Note], bars: slice) -> np.ndarray:
    """[time of the answer's notes that are in the scale of the human song, time of all]."""
    held_in = scale([n for row in run.notes for n in row])
    since = struck_in(answer, run, bars)
    return np.array([sum(n.duration for n in since if n.key % 12 in held_in), sum(n.duration for n in since)], float)


def struck_in(notes: Sequence[Note], run: Run, bars: slice) -> list[Note]:
    return [n for n in notes if bars.start * run.ticks <= n.start < bars.stop * run.ticks]


def read_chords(notes: Sequence[Note], metre: int, bars: int) -> np.ndarray:
    """The chord that explains best what sounds in each segment, [bars, segments]."""
    return np.array(dataset.segment_chords([], sorted(notes), None, metre, bars))


def agreement(found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """[segments with the expected chord, with its root, segments where a chord is expected]."""
    asked = expected != e.NO_CHORD
    same_root = (found // 10 == expected // 10) & (found != e.NO_CHORD)
    return np.array([(found == expected)[asked].sum(), same_root[asked].sum(), asked.sum()], float)


_PROFILES = {
    "major": (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88),
    "minor": (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17),
}


def key_of(run: Run) -> tuple[str, int]:
    """Mode and tonic of the human song by Krumhansl's profiles."""
    weights = chords.sounding([n for row in run.notes for n in row], 0, run.bars * run.ticks)
    chances = {
        (mode, tonic): np.corrcoef(weights, np.roll(profile, tonic))[0, 1]
        for mode, profile in _PROFILES.items()
        for tonic in range(12)
    }
    return max(chances, key=chances.get)
