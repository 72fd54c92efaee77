"""Chord labels of the ten qualities, read from chord tracks or found in the notes that sound."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from . import encoding as e
from .encoding import Note

MELODY_WEIGHT = 0.5
"""Melodies pass through notes that are not in the chord."""
BASS_IS_ROOT = 0.14
BASS_IS_TONE = 0.04
FOURTH_TONE = 0.11
"""A seventh must sound for this share of the time to be heard as one."""
RARE = 0.06
RARE_QUALITIES = ("maj7", "dim", "m7b5", "dim7", "aug", "sus4")


def _templates() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    tones = np.zeros((e.NO_CHORD, 12))
    cost = np.zeros(e.NO_CHORD)
    roots = np.arange(e.NO_CHORD) // 10
    for chord in range(e.NO_CHORD):
        tones[chord, list(e.chord_pitch_classes(chord))] = 1
        cost[chord] = FOURTH_TONE * (tones[chord].sum() - 3) + RARE * (e.QUALITIES[chord % 10] in RARE_QUALITIES)
    return tones, cost, roots


TONES, _COST, _ROOTS = _templates()
TRIADS = np.array([c for c in range(e.NO_CHORD) if e.QUALITIES[c % 10] in ("maj", "min")])


def fit(weights: np.ndarray, bass: int | None) -> int:
    """The chord that explains most of the sounding time `weights` [12] with the fewest tones; `bass` is the lowest
    pitch class. No chord where nothing sounds."""
    total = weights.sum()
    if total <= 0:
        return e.NO_CHORD
    score = TONES @ (weights / total) - _COST
    if bass is not None:
        score = score + BASS_IS_ROOT * (bass == _ROOTS) + BASS_IS_TONE * TONES[:, bass]
    return int(score.argmax())


def sounding(notes: Iterable[Note], start: int, end: int) -> np.ndarray:
    """Ticks that each pitch class sounds in a stretch, [12]."""
    weights = np.zeros(12)
    for note in notes:
        overlap = min(end, note.start + note.duration) - max(start, note.start)
        if overlap > 0:
            weights[note.key % 12] += overlap
    return weights


def label(melody: list[Note], accompaniment: list[Note], start: int, end: int) -> int:
    """The chord of a segment from everything that sounds in it; notes may reach beyond it."""
    weights = sounding(accompaniment, start, end) + MELODY_WEIGHT * sounding(melody, start, end)
    low = [n for n in accompaniment if n.start < end and n.start + n.duration > start and n.key <= 59]
    bass = None
    if low:
        lowest = min(n.key for n in low)
        by_class = sounding([n for n in low if n.key <= lowest + 4], start, end)
        weights = weights + 0.5 * by_class
        bass = int(by_class.argmax())
    return fit(weights, bass)


def from_chord_track(notes: list[Note], start: int, end: int) -> int:
    """The label that a chord track's block chord stands for: the chord that sounds longest in the segment."""
    best: dict[tuple[int, ...], int] = {}
    chords: dict[int, list[Note]] = {}
    for note in notes:
        chords.setdefault(note.start, []).append(note)
    for onset, group in chords.items():
        overlap = min(end, onset + max(n.duration for n in group)) - max(start, onset)
        if overlap > 0:
            keys = tuple(sorted(n.key for n in group))
            best[keys] = best.get(keys, 0) + overlap
    if not best:
        return e.NO_CHORD
    keys, ticks = max(best.items(), key=lambda item: item[1])
    if 2 * ticks < end - start and sum(best.values()) * 2 < end - start:
        return e.NO_CHORD
    weights = np.zeros(12)
    weights[[k % 12 for k in keys]] = 1
    return fit(weights, keys[0] % 12)


def triad_under(melody: list[Note], start: int, end: int, before: int) -> int:
    """The rule: the major or minor triad that holds most of the segment's melody; in doubt the one before."""
    weights = sounding(melody, start, end)
    if weights.sum() <= 0:
        return before
    score = TONES[TRIADS] @ weights
    score = score + 1e-3 * weights[TRIADS // 10] + 1e-6 * (before == TRIADS)
    return int(TRIADS[score.argmax()])
