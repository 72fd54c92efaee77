"""Melodies that were spoilt, and what would make them right again: what the network learns from."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .. import chords, rolls
from .. import encoding as e
from ..dataset import MELODY_ROW, Run
from ..encoding import Note
from ..transformer import train
from .model import ADD, CHANNELS, REMOVE, SUSTAIN

SOURCES = {
    "pop909": 0.35,
    "open_hymnal": 0.2,
    "bach_chorales": 0.12,
    "lieder": 0.15,
    "openewld": 0.1,
    "js_fakes": 0.08,
}
"""Share of the windows: mostly singable lines."""
SPOILT = {"moved": (0.75, 0.35), "removed": (0.65, 0.5), "added": (0.55, 0.3)}
"""Share of windows in which notes are moved, removed or added, and of how many notes at most."""
INTERVALS = {1: 0.45, 2: 0.2, 3: 0.08, 4: 0.05, 5: 0.05, 7: 0.05, 12: 0.04, 0: 0.08}
"""How far a note is moved, up or down; 0: in time."""
LATE = (-6, -3, -2, 2, 3, 6)
FILLED = 0.5
"""Share of removed notes whose time the note before takes."""
LOCKED = 0.3
"""Share of windows in which some of the right notes are said to be right."""
AFTER_KNOWN = 0.6
BEFORE_SPOILT = 0.3
"""Else the bars before are right, as after they were enhanced."""


@dataclass(frozen=True)
class Amounts:
    """Shares of the notes."""

    moved: float = 0.0
    removed: float = 0.0
    added: float = 0.0


def amounts(rng: random.Random) -> Amounts:
    return Amounts(
        **{way: rng.random() * most if rng.random() < share else 0.0 for way, (share, most) in SPOILT.items()}
    )


def spoil(notes: Sequence[Note], share: Amounts, rng: random.Random) -> list[Note]:
    """A melody with some notes moved, some removed, and some put between the others. Starts stay at 0 or later."""
    found: list[Note] = []
    for note in notes:
        if rng.random() < share.removed:
            if found and rng.random() < FILLED:
                found[-1] = found[-1]._replace(
                    duration=max(found[-1].duration, note.start + note.duration - found[-1].start)
                )
        elif rng.random() < share.moved:
            found.append(moved(note, rng))
        else:
            found.append(note)
    for note in notes:
        if rng.random() < share.added:
            found.append(between(note, rng))
    return as_line(sorted(set(found)))


def moved(note: Note, rng: random.Random) -> Note:
    interval = rng.choices(list(INTERVALS), list(INTERVALS.values()))[0]
    if not interval:
        return note._replace(start=max(0, note.start + rng.choice(LATE)))
    return note._replace(key=note.key + rng.choice((-interval, interval)))


def between(note: Note, rng: random.Random) -> Note:
    """A note that somebody might have touched by mistake, near another."""
    step = rng.choice((3, 4, 6))
    start = note.start + step * rng.randint(1, max(1, 24 // step))
    return Note(start, rng.choice((3, 4, 6, 12)), note.key + rng.randint(-7, 7))


def as_line(notes: list[Note]) -> list[Note]:
    """Where one note was struck at a time, each ends where the next begins."""
    starts = [n.start for n in notes]
    ends = [next((s for s in starts[i + 1 :] if s > n.start), 10**9) for i, n in enumerate(notes)]
    return [n._replace(duration=max(1, min(n.duration, end - n.start))) for n, end in zip(notes, ends, strict=True)]


def profile(notes: Sequence[Note]) -> np.ndarray:
    """f32 [12, 1]: the share of the time that each pitch class has."""
    weights = chords.sounding(notes, -(10**9), 10**9)
    return (weights / max(1.0, weights.sum())).astype(np.float32)[:, None]


class Windows:
    """The same seed and number give the same windows. Those of a step have one metre, since they have one length."""

    def __init__(self, runs: Sequence[Run]):
        chosen = [r for r in runs if r.source in SOURCES]
        metres = [m for m in range(len(e.METRES)) if any(r.metre == m for r in chosen)]
        self.bars = {m: sum(r.bars for r in chosen if r.metre == m) for m in metres}
        self.places = {m: train.Windows([r for r in chosen if r.metre == m], SOURCES) for m in metres}

    def batch(self, seed: int, step: int, size: int) -> dict[str, Tensor]:
        rng = random.Random(hash((seed, step)))
        metre = rng.choices(list(self.bars), list(self.bars.values()))[0]
        windows = [self.draw(rng, metre) for _ in range(size)]
        return {key: torch.from_numpy(np.stack([w[key] for w in windows])) for key in windows[0]}

    def draw(self, rng: random.Random, metre: int) -> dict[str, np.ndarray]:
        run, first = self.places[metre].place(rng)
        shift = rng.randint(train.LOWEST_SHIFT, train.HIGHEST_SHIFT)
        style = run.styles[first : first + rolls.BARS].mean(0) if rng.random() < train.STYLE_KNOWN else ()
        cond = e.condition(style, {}, (), run.tempo, first if rng.random() < train.PHRASE_KNOWN else None)
        clean = [stretch(run, first + rolls.BARS * i, shift) for i in (-1, 0, 1)]
        share = amounts(rng)
        spoilt = [spoil(notes, share, rng) for notes in clean]
        if rng.random() >= BEFORE_SPOILT:
            spoilt[0] = clean[0]
        if rng.random() >= AFTER_KNOWN:
            spoilt[2] = None
        return {**example(clean[1], spoilt, metre, rng), "cond": cond}


def stretch(run: Run, first: int, shift: int) -> list[Note]:
    """Four bars of the melody, starts from their first bar line; what is struck before them is left out."""
    rows, notes = run.by_bar()[MELODY_ROW], []
    for bar in range(max(0, first), max(0, min(run.bars, first + rolls.BARS))):
        line = (bar - first) * run.ticks
        notes += [n._replace(start=n.start + line, key=n.key + shift) for n in rows[bar] if n.start >= 0]
    return notes


def example(
    clean: list[Note], spoilt: Sequence[list[Note] | None], metre: int, rng: random.Random
) -> dict[str, np.ndarray]:
    """`spoilt`: the bars before, these, and those after (None: not known)."""
    ticks = rolls.ticks_of(metre)
    before, now, after = (rolls.write(notes or [], ticks) for notes in spoilt)
    target = rolls.write(clean, ticks)
    answer = np.zeros((CHANNELS, ticks, rolls.KEYS), np.float32)
    answer[ADD] = target[rolls.ONSET] * (1 - now[rolls.ONSET])
    answer[REMOVE] = now[rolls.ONSET] * (1 - target[rolls.ONSET])
    answer[SUSTAIN] = target[rolls.SUSTAIN]
    right = set(clean) & set(spoilt[1])
    share = rng.random() if rng.random() < LOCKED else 0.0
    locked = rolls.write([n for n in sorted(right) if rng.random() < share], ticks)[rolls.SUSTAIN :]
    clock = rolls.clock(metre, None if spoilt[2] is not None else 0)
    return {
        "melody": now,
        "around": np.concatenate([before, after]),
        "locked": locked,
        "profile": profile([n for notes in spoilt for n in notes or []]),
        "clock": clock,
        "answer": answer,
    }
