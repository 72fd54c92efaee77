"""Does it listen to the melody? The loss of what people played, with their melody and with that of later bars."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from .. import encoding as e
from ..dataset import MELODY_ROW, Run
from ..transformer import train
from ..transformer.layout import SHIPPED
from ..transformer.model import Transformer
from .playing import condition_of

SHIFT = 3
"""Bars by which the melody is moved: too many for the same chord, and no usual length of a phrase."""
WINDOW = 512
KINDS = ("chords", "parts")


@torch.no_grad()
def shift_test(model: Transformer, runs: Sequence[Run], shift: int = SHIFT) -> np.ndarray:
    """[songs, 2, 3]: for chord tokens and for those of the parts the loss in nats, the loss with the melody moved, and
    the number of tokens. The melody is known; the first window of tokens counts."""
    sums = np.zeros((len(runs), len(KINDS), 3))
    for song, run in enumerate(runs):
        for column, moved in enumerate((0, shift)):
            each, weights = losses(model, run, moved)
            for row, weight in enumerate((train.CHORD_WEIGHT, 1)):
                sums[song, row, column] = each[weights == weight].sum()
                sums[song, row, 2] = (weights == weight).sum()
    return sums


def losses(model: Transformer, run: Run, shift: int) -> tuple[np.ndarray, np.ndarray]:
    """Of each token its loss and its weight in training, which tells its kind."""
    melody = run.by_bar()[MELODY_ROW]
    ids, weights, conds = [e.START], [0.0], []
    for index in range(run.bars):
        bar = run.bar(index, run.parts, False)
        bar.melody = melody[(index + shift) % run.bars]
        tokens = e.encode(bar)
        ids += tokens
        weights += train.target_weights(SHIPPED.roles(tokens), False)
        conds += [condition_of(run, run.parts, index)] * (len(tokens) + (index == 0))
    ids, weights = torch.tensor([ids[: WINDOW + 1]]), np.array(weights[1 : WINDOW + 1])
    cond = torch.from_numpy(np.stack(conds[: ids.shape[1] - 1]))[None]
    each = torch.nn.functional.cross_entropy(model(ids[:, :-1], cond).logits[0], ids[0, 1:], reduction="none")
    return each.numpy(), weights


def rise(sums: np.ndarray, kind: str) -> float:
    """Nats a token by which the loss rises, of [songs, 2, 3]."""
    as_it_is, moved, count = sums[:, KINDS.index(kind)].sum(0)
    return float((moved - as_it_is) / count) if count else float("nan")
