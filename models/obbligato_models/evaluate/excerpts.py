"""Which songs, and which bars of them? Decided by the data set alone, so that every model gets the same ones."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ..dataset import MELODY_ROW, Run

BARS = 24
FIRST_SCORED = 4
"""Bars before this one are not scored: a jam has nothing to go by there."""
PHRASE = 8
"""Excerpts begin a multiple of so many bars after their song: the place in the phrase that is told is the true one."""


class Wanted(NamedTuple):
    """How many songs of a set, and how short one may be."""

    songs: int
    fewest_bars: int = 12


SONGS = {
    "pop909": Wanted(32),
    "lieder": Wanted(8),
    "open_hymnal": Wanted(5),
    "bach_chorales": Wanted(2),
}
"""For the table of the modes."""
GATE_BARS = 32
GATE_SONGS = {
    "pop909": Wanted(40, GATE_BARS),
    "lieder": Wanted(20, GATE_BARS),
    "open_hymnal": Wanted(8),
    "bach_chorales": Wanted(3),
    "string_quartets": Wanted(5, GATE_BARS),
    "freedoom": Wanted(5, GATE_BARS),
}
"""Hymns and chorales are short, so they come on top of 60 pop songs and art songs of full length."""
JUDGED = ("pop909", "lieder", "open_hymnal", "bach_chorales")
"""The sets that are put to the gates, which were set where people reach .79 of fit. In quartets and game music the
first line is often no melody to the others (people .58 and .47): these two are reported by set."""
LONG_BARS = 64
LONG_SONGS = {source: wanted._replace(fewest_bars=LONG_BARS) for source, wanted in GATE_SONGS.items()}


def excerpt(run: Run, bars: int = BARS) -> Run:
    """The stretch of a run with the most bars in which the melody is struck, earliest first."""
    bars = min(bars, run.bars)
    struck = np.array([any(n.start >= 0 for n in notes) for notes in run.by_bar()[MELODY_ROW]], int)
    sums = np.concatenate([[0], struck.cumsum()])
    first = PHRASE * int((sums[bars:] - sums[:-bars])[::PHRASE].argmax())
    line, end = first * run.ticks, (first + bars) * run.ticks
    rows = tuple([n._replace(start=n.start - line) for n in row if line <= n.start < end] for row in run.notes)
    part = slice(first, first + bars)
    parts = tuple(p for p in run.parts if rows[p])
    return Run(
        run.song, run.source, run.metre, bars, run.tempo, parts, rows, run.chords[part], run.styles[part], run.split
    )


def choose(runs: Sequence[Run], songs: dict[str, Wanted] = SONGS, bars: int = BARS) -> list[Run]:
    """One excerpt a song, from its longest run; songs in an order that their names decide."""
    chosen = []
    for source, wanted in songs.items():
        longest: dict[str, Run] = {}
        for run in runs:
            if run.source == source and run.bars >= wanted.fewest_bars:
                if run.song not in longest or run.bars > longest[run.song].bars:
                    longest[run.song] = run
        names = sorted(longest)
        random.Random(5).shuffle(names)
        excerpts = (excerpt(longest[name], bars) for name in names)
        usable = (x for x in excerpts if x.parts and len(x.melody) >= x.bars)
        chosen += [x for x, _ in zip(usable, range(wanted.songs), strict=False)]
    return chosen


def judged(runs: Sequence[Run], few: int | None = None, bars: int = GATE_BARS) -> list[Run]:
    """The songs that are put to gates. `few`: at most so many of each set."""
    wanted = {
        source: Wanted(min(of.songs, few or of.songs), min(of.fewest_bars, bars))
        for source, of in GATE_SONGS.items()
        if source in JUDGED
    }
    return choose(runs, wanted, bars)


def beginning(run: Run, bars: int) -> Run:
    """The first bars of an excerpt."""
    bars = min(bars, run.bars)
    rows = tuple([n for n in row if n.start < bars * run.ticks] for row in run.notes)
    return replace(
        run, bars=bars, notes=rows, chords=run.chords[:bars], styles=run.styles[:bars], _by_bar=None, _sums=None
    )
