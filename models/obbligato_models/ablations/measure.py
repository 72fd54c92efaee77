"""The loss of what people played to held-out songs, and how the network sounds when it runs freely on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from .. import encoding as e
from .. import export
from ..dataset import MELODY_ROW, Run
from ..encoding import Bar
from ..evaluate import playing
from ..evaluate.answers import Answer, from_bars
from ..evaluate.excerpts import FIRST_SCORED
from ..evaluate.measures import Scores, ratio
from ..evaluate.playing import Player
from ..evaluate.scores import HUMAN, OTHER, baselines, tidy
from ..transformer import train
from ..transformer.layout import Role
from ..transformer.model import Transformer
from ..transformer.sample import Choice, Request
from ..transformer.train import Recipe

MODES = {"known": False, "jam": True}
"""Whether it is a jam."""
LOSSES = ("chord loss", "part loss", "nats a bar")
RATIOS = ("fit", "clash", "consonance")
OVERLAPS = ("density overlap", "pitch overlap", "duration overlap")
UNAIDED_FIT = "fit, unaided"
MEASURES = (*LOSSES, "fit", UNAIDED_FIT, "clash", "consonance", *OVERLAPS)
"""Of each mode."""
UNAIDED = Choice(foresight=0.0, hindsight=0.0, along=0.0)
"""The sampler without what draws it towards the melody: how much has the network learnt itself?"""
READ_AT_ONCE, HISTORY = 2, 8
"""Bars whose loss is taken in one window, and bars before them, if so many fit."""


@dataclass
class Measured:
    """Of one mode."""

    values: dict[str, float | None]
    """None: could not be measured."""
    by_song: dict[str, list[list[float]]]
    """Of the measures that are ratios of sums: those of each song."""


def measure(checkpoint: Path, recipe: Recipe, songs: Sequence[Run], seeds: int = 1) -> dict[str, Measured]:
    """By mode. `seeds`: answers to each song."""
    model, found = export.load(checkpoint)[0], {}
    losses = {mode: held_out_loss(model, recipe, songs, jam) for mode, jam in MODES.items()}
    aided, unaided = (Player(checkpoint, choice) for choice in (Choice(), UNAIDED))
    for mode, jam in MODES.items():
        scores = heard(aided, recipe, songs, jam, seeds)
        sums = losses[mode] | {name: scores.sums[name] for name in RATIOS}
        sums[UNAIDED_FIT] = heard(unaided, recipe, songs, jam, seeds).sums["fit"]
        found[mode] = measured(sums, scores)
    return found


def measured(sums: dict[str, np.ndarray], scores: Scores) -> Measured:
    values = {name: ratio(of_songs.sum(0)) for name, of_songs in sums.items()}
    values |= {name: scores.value(name) for name in OVERLAPS}
    return Measured(
        tidy({name: round(values[name], 4) for name in MEASURES if name in values}),
        {name: of_songs.round(3).tolist() for name, of_songs in sums.items()},
    )


def measure_baselines(songs: Sequence[Run]) -> dict[str, Measured]:
    """People, and another song in the same key: the same for both modes, and without a loss."""
    answers = {name: given for name, given in baselines(songs).items() if name in (HUMAN, OTHER)}
    scores = {name: Scores(songs, [given]) for name, given in answers.items()}
    sums = {name: {m: found.sums[m] for m in RATIOS} for name, found in scores.items()}
    return {name: measured(sums[name] | {UNAIDED_FIT: sums[name]["fit"]}, found) for name, found in scores.items()}


# Loss


@torch.no_grad()
def held_out_loss(model: Transformer, recipe: Recipe, songs: Sequence[Run], jam: bool) -> dict[str, np.ndarray]:
    """[nats, chord tokens], [nats, tokens of the parts] and [nats of both, bars] of each song from bar 5 on, after what
    people played."""
    sums = np.zeros((len(LOSSES), len(songs), 2))
    for song, run in enumerate(songs):
        written = [written_bar(recipe, run, index, jam) for index in range(run.bars)]
        for first in range(FIRST_SCORED, run.bars, READ_AT_ONCE):
            each, roles = read(model, *window(written, first))
            for row, kinds in enumerate(((Role.CHORD,), (Role.CHOSEN, Role.CLOSING))):
                mine = np.isin(roles, kinds)
                sums[row, song] += each[mine].sum(), mine.sum()
        sums[2, song] = sums[:2, song, 0].sum(), max(0, run.bars - FIRST_SCORED)
    return dict(zip(LOSSES, sums, strict=True))


Written = tuple[list[int], list[Role], np.ndarray]
"""Of a bar: tokens, their roles, its condition."""


def written_bar(recipe: Recipe, run: Run, index: int, jam: bool) -> Written:
    following = run.by_bar()[MELODY_ROW][index + 1] if not jam and index + 1 < run.bars else None
    tokens = recipe.layout.encode(run.bar(index, run.parts, jam), following=following)
    return tokens, recipe.layout.roles(tokens), recipe.told(playing.condition_of(run, run.parts, index))


def window(written: Sequence[Written], first: int) -> tuple[list[Written], int]:
    """Some bars from `first` on, after as many others as fit; and the number of the others."""
    last = min(len(written), first + READ_AT_ONCE)
    begin = max(0, first - HISTORY)
    while begin < first and 1 + sum(len(tokens) for tokens, _, _ in written[begin:last]) > train.LENGTH:
        begin += 1
    return list(written[begin:last]), first - begin


def read(model: Transformer, bars: Sequence[Written], history: int) -> tuple[np.ndarray, np.ndarray]:
    """Of each token of the bars after the history its loss and its role."""
    ids = torch.tensor([[e.START, *(token for tokens, _, _ in bars for token in tokens)]])
    conds = [bars[0][2], *(cond for tokens, _, cond in bars for _ in tokens)]
    logits = model(ids[:, :-1], torch.from_numpy(np.stack(conds[:-1]))[None]).logits[0]
    each = torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="none").numpy()
    before = sum(len(tokens) for tokens, _, _ in bars[:history])
    return each[before:], np.array([role for _, roles, _ in bars[history:] for role in roles])


# Running freely


def heard(player: Player, recipe: Recipe, songs: Sequence[Run], jam: bool, seeds: int) -> Scores:
    given = [playing.request(run, jam, seed=1000 * seed + i) for seed in range(seeds) for i, run in enumerate(songs)]
    played = player.play([in_recipe(request, recipe) for request in given])
    answers = [answer(run, bars) for run, bars in zip([*songs] * seeds, played, strict=True)]
    return Scores(songs, [answers[i : i + len(songs)] for i in range(0, len(answers), len(songs))])


def in_recipe(request: Request, recipe: Recipe) -> Request:
    return replace(request, conds=[recipe.told(cond) for cond in request.conds], layout=recipe.layout)


def answer(run: Run, bars: Sequence[Bar]) -> Answer:
    """With one chord for each segment of the shipped layout: the first, where there were more."""
    count = len(e.SEGMENTS[run.metre])
    return from_bars(run, [replace(bar, chords=bar.chords[:: len(bar.chords) // count]) for bar in bars])
