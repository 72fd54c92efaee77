"""The drummer's network: the accompanist's transformer, smaller, over the tokens and conditions of docs/drums.md."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..transformer.model import Block, Shape, norm
from . import encoding as e

SHAPE = Shape(width=128, layers=4, heads=4, window=256)
FACTORS = {
    "kind": 6,
    "segment": 6,
    "tick": 49,
    "beat": 5,
    "tick_in_beat": 13,
    "instrument": 12,
    "loudness": 9,
    "timing": 10,
}
"""Each token is the sum of what it says: rows of small tables, with their sizes; row 0 says nothing."""


def factor_rows() -> dict[str, np.ndarray]:
    """For every token its row in each factor table."""
    rows = {name: np.zeros(e.VOCABULARY, np.int64) for name in FACTORS}
    sizes = [1, 1, 1, e.STROKE - e.SEGMENT, e.TOUCH - e.STROKE, e.VOCABULARY - e.TOUCH]
    rows["kind"] = np.repeat(np.arange(FACTORS["kind"]), sizes)
    rows["segment"][e.SEGMENT : e.STROKE] = 1 + np.arange(len(e.SEGMENTS))
    tick, instrument = np.divmod(np.arange(e.TOUCH - e.STROKE), len(e.INSTRUMENTS))
    for name, values in (
        ("tick", tick), ("beat", tick // e.GRID), ("tick_in_beat", tick % e.GRID), ("instrument", instrument),
    ):  # fmt: skip
        rows[name][e.STROKE : e.TOUCH] = 1 + values
    loudness, timing = np.divmod(np.arange(e.VOCABULARY - e.TOUCH), e.TIMINGS)
    rows["loudness"][e.TOUCH :], rows["timing"][e.TOUCH :] = 1 + loudness, 1 + timing
    return rows


class TokenTable(nn.Module):
    """[608, width]: the sum of the factors' rows and a small one of its own; input and output share it."""

    def __init__(self, width: int):
        super().__init__()
        for name, index in factor_rows().items():
            self.register_buffer(f"rows_{name}", torch.from_numpy(index), persistent=False)
        self.tables = nn.ParameterDict(
            {n: nn.Parameter(0.02 * torch.randn(size, width)) for n, size in FACTORS.items()}
        )
        self.own = nn.Parameter(torch.zeros(e.VOCABULARY, width))

    def forward(self) -> Tensor:
        table = self.own
        for name, rows in self.tables.items():
            table = table + rows[getattr(self, f"rows_{name}")]
        return table


USUAL = {e.DENSITY: (0.74, 0.18), e.TRIPLETS: (0.12, 0.25), e.LEVEL: (0.57, 0.14)}
"""Mean and standard deviation of the measures in the condition vector; their flags stand after them."""


@torch.no_grad()
def make_measures_audible(cond: nn.Linear) -> None:
    """Begins with how far a measure is from the usual, in standard deviations: its plain value would drown next to its
    flag."""
    for at, (mean, spread) in USUAL.items():
        cond.weight[:, at] /= spread
        cond.weight[:, at + 1] = -mean * cond.weight[:, at]


class Drummer(nn.Module):
    """Fits the accompanist's `Stepper`, which exports it and plays it."""

    def __init__(self, shape: Shape = SHAPE, dropout: float = 0.0):
        super().__init__()
        # The conditions are part of each token; the blocks are told nothing.
        self.shape = shape = replace(shape, told=0)
        self.dropout = dropout
        self.tokens = TokenTable(shape.width)
        self.cond = nn.Linear(e.COND, shape.width)
        make_measures_audible(self.cond)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.logit_scale = nn.Parameter(torch.tensor(1.0))
        half = shape.head_size // 2
        self.register_buffer("frequencies", 10000.0 ** (-torch.arange(half) / half), persistent=False)

    def embed(self, table: Tensor, ids: Tensor, cond: Tensor) -> Tensor:
        return norm(F.embedding(ids, table)) + self.cond(cond)

    def tell(self, cond: Tensor) -> None:
        """Nothing."""

    def angles(self, pos: Tensor) -> tuple[Tensor, Tensor]:
        angles = pos.unsqueeze(-1).float() * self.frequencies
        return angles.cos().unsqueeze(1), angles.sin().unsqueeze(1)

    def outputs(self, x: Tensor, table: Tensor) -> tuple[Tensor]:
        return (F.linear(norm(x) * self.logit_scale, table),)

    def forward(self, ids: Tensor, cond: Tensor, mask: Tensor) -> Tensor:
        """Training: whole windows. ids [B, T], cond [B, T, 123], mask bool [B, 1, T, T] (true: may look). Returns
        logits [B, T, 608]."""
        table = self.tokens()
        x = self.embed(table, ids, cond)
        cos, sin = self.angles(torch.arange(ids.shape[1])[None])
        cos, sin = cos.to(x.dtype), sin.to(x.dtype)
        for block in self.blocks:
            q, k, v = block.queries_keys_values(x, None, cos, sin)
            finished = block.finish(x, None, F.scaled_dot_product_attention(q, k, v, mask))
            x = x + F.dropout(finished - x, self.dropout, self.training)
        return self.outputs(x, table)[0]
