"""Made-up songs for the tests of the evaluation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from obbligato_models import encoding as e
from obbligato_models import styles
from obbligato_models.dataset import Run
from obbligato_models.encoding import Note


def song(melody: Sequence[Note], bass=(), chords=(), counter=(), bars=1, metre=0, labels=0, **fields) -> Run:
    """`labels`: one chord class for all segments, or an array of them."""
    rows = (list(bass), list(chords), list(counter), list(melody))
    found = np.broadcast_to(labels, (bars, len(e.SEGMENTS[metre]))).copy()
    parts = tuple(p for p, row in enumerate(rows[:3]) if row)
    fields = {"song": "x/y", "source": "pop909", "styles": np.zeros((bars, len(styles.NAMES)), np.float32)} | fields
    return Run(metre=metre, bars=bars, tempo=90.0, parts=parts, notes=rows, chords=found, **fields)


def every(ticks: int, count: int, *keys: int, duration: int | None = None, first: int = 0) -> list[Note]:
    """The same keys struck again and again."""
    return [Note(first + i * ticks, duration or ticks, key) for i in range(count) for key in keys]


def all_bars(run: Run) -> slice:
    return slice(0, run.bars)
