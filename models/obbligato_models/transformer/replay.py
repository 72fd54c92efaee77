"""What a model file plays by itself: music to remember its styles by, where the songs it was trained on are not.

Fine-tuning asks the network what comes next in this music, and draws it to what the file says.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from .. import encoding as e
from .. import export
from ..dataset import Run
from ..encoding import Bar
from . import sample, train
from .model import Transformer

SOURCE = "file"
BARS = 16
"""Of an excerpt."""
UNKNOWN_STYLE = 0.2
"""Share of the excerpts whose style is not said."""


def some_style(count: int, random: np.random.Generator) -> np.ndarray:
    """None, or a place on the palette of the first `count` styles as the knob blends it, [count]."""
    style = np.zeros(count, np.float32)
    if random.random() >= UNKNOWN_STYLE:
        place = random.random() * (count - 1) if random.random() < 0.5 else float(random.integers(count))
        below = int(place)
        style[below] = 1 - (place - below)
        style[min(below + 1, count - 1)] += place - below
    return style


def played(model: Transformer, count: int, runs: Sequence[Run], songs: int, random: np.random.Generator) -> list[Run]:
    """What the model plays to excerpts of the runs' melodies, in some of its `count` styles; half of them in a jam."""
    bars = np.array([r.bars for r in runs])
    chosen = [runs[i] for i in random.choice(len(runs), songs, p=bars / bars.sum())]
    excerpts = [melody_from(run, int(random.integers(max(1, run.bars - BARS + 1)))) for run in chosen]
    requests = []
    for i, excerpt in enumerate(excerpts):
        excerpt.styles = np.tile(some_style(count, random), (excerpt.bars, 1))
        excerpt.parts = (e.BASS, e.CHORDS, e.COUNTER)[: random.integers(2, 4)]
        song = [excerpt.bar(bar, (), jam=i % 2 == 0) for bar in range(excerpt.bars)]
        conds = [e.condition(excerpt.styles[0], {}, excerpt.parts, excerpt.tempo, bar) for bar in range(excerpt.bars)]
        requests.append(sample.Request(song, conds, [excerpt.parts] * excerpt.bars, seed=int(random.integers(1 << 30))))
    step = export.stepper(copy.deepcopy(model).cpu())
    answers = train.one_thread(lambda: sample.play(step, requests))
    return [with_answer(*pair) for pair in zip(excerpts, answers, strict=True)]


def melody_from(run: Run, first: int) -> Run:
    """The melody of `BARS` bars."""
    bars = min(BARS, run.bars - first)
    line, end = first * run.ticks, (first + bars) * run.ticks
    melody = [n._replace(start=n.start - line) for n in run.melody if line <= n.start < end]
    nobody = run.chords[first : first + bars], run.styles[first : first + bars]
    return Run(run.song, SOURCE, run.metre, bars, run.tempo, (), ([], [], [], melody), *nobody, run.split)


def with_answer(excerpt: Run, bars: Sequence[Bar]) -> Run:
    rows = [
        [n._replace(start=n.start + i * excerpt.ticks) for i, bar in enumerate(bars) for n in bar.parts.get(part, [])]
        for part in range(len(e.PARTS))
    ]
    chords = np.array([bar.chords for bar in bars], np.int16)
    return replace(excerpt, notes=(*rows, excerpt.melody), chords=chords, _by_bar=None, _melody_classes=None)
