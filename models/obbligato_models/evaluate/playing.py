"""How does the model make its own answers?"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import cache
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from .. import encoding as e
from .. import styles
from ..dataset import Run
from ..encoding import Attributes, Bar
from ..transformer import sample
from ..transformer.model import Stepper
from .answers import Answer, from_bars
from .excerpts import FIRST_SCORED


def condition_of(
    run: Run,
    asked: Sequence[int],
    bar: int,
    styles: Sequence[float] | None = None,
    attributes: dict[int, Attributes] | None = None,
) -> np.ndarray:
    """What the model is told: style (the song's own unless said otherwise), parts, tempo, place in the phrase, and the
    attributes that are given."""
    return e.condition(run.styles.mean(0) if styles is None else styles, attributes or {}, asked, run.tempo, bar)


def request(
    run: Run,
    jam: bool = False,
    given_chords: bool = False,
    given_bars: int = 0,
    listening: int = 0,
    seed: int = 0,
    parts: Sequence[int] | None = None,
    **told,
) -> sample.Request:
    """The first `given_bars` are the human's; in the first `listening` bars the melody is known and nobody plays.
    `told`: see `condition_of`."""
    wanted = tuple(run.parts if parts is None else parts)
    asked = [() if i < listening else wanted for i in range(run.bars)]
    bars = [run.bar(i, asked[i], jam and i >= listening) for i in range(run.bars)]
    conds = [condition_of(run, asked[i], i, **told) for i in range(run.bars)]
    return sample.Request(bars, conds, asked, given_chords, given_bars, seed=seed)


MODES = {
    "model, melody known": {},
    "model, melody known, chords given": {"given_chords": True},
    "model, jam": {"jam": True},
    "model, jam, four bars of listening first": {"jam": True, "listening": FIRST_SCORED},
    "model, jam, four human bars first": {"jam": True, "given_bars": FIRST_SCORED},
    "model, jam, chords given": {"jam": True, "given_chords": True},
}

AT_ONCE = 128
"""At most so many songs side by side: each has a cache of some megabytes."""


class Player:
    """Answers requests with the model of a checkpoint, in this process or in several others."""

    def __init__(self, checkpoint: Path, choice: sample.Choice, processes: int = 1):
        self.checkpoint, self.choice, self.processes = checkpoint, choice, processes
        self.pool = ProcessPoolExecutor(processes, get_context("spawn")) if processes > 1 else None

    def play(self, requests: Sequence[sample.Request]) -> list[list[Bar]]:
        rounds = -(-len(requests) // (AT_ONCE * self.processes))
        shares = [list(requests[i :: rounds * self.processes]) for i in range(rounds * self.processes)]
        somewhere = self.pool.map if self.pool else map
        played = list(somewhere(play_some, repeat(self.checkpoint), shares, repeat(self.choice)))
        return [played[i % len(shares)][i // len(shares)] for i in range(len(requests))]


def play_some(checkpoint: Path, requests: list[sample.Request], choice: sample.Choice) -> list[list[Bar]]:
    if not requests:
        return []
    step, controls = stepper_of(checkpoint)
    songs = sample.perform(step, [as_the_plugin_asks(r, controls) for r in requests], choice, brief=True)
    return [song.answers for song in songs]


def as_the_plugin_asks(request: sample.Request, controls: dict) -> sample.Request:
    """The style is told with emphasis. What is usual in it is told, and not kept to; a density that is asked for is."""
    paced = any(e.density_known(cond) for cond in request.conds)
    conds = [styles.emphasised(styles.with_usual(cond, controls)) for cond in request.conds]
    return replace(request, conds=conds, paced=paced)


@cache
def stepper_of(checkpoint: Path) -> tuple[Stepper, dict]:
    """And what its controls measure."""
    from .. import export

    torch.set_num_threads(1)  # Steps are small: two threads mostly wait for each other.
    model, saved = export.load(checkpoint)
    return export.stepper(model), saved["controls"]


def model_answers(player: Player, runs: Sequence[Run], seed: int = 0, **mode) -> list[Answer]:
    requests = [request(run, seed=1000 * seed + index, **mode) for index, run in enumerate(runs)]
    return [from_bars(run, bars) for run, bars in zip(runs, player.play(requests), strict=True)]
