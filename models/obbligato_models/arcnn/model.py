"""The network: for each cell of a melody's roll, whether a note is missing there, and for each note whether it is one
too many. It is called again and again while its edits are made, in any order (an orderless autoregressive model,
after Uria, Murray and Larochelle, A deep and tractable density estimator, 2014)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .. import encoding as e
from .. import rolls
from ..unet import Heard, UNet, by_class, folded
from ..unet import Shape as Backbone

ADD, REMOVE, SUSTAIN = range(3)
"""Channels of the answer. The last: whether some note sounds there, which gives a new note its length."""
CHANNELS = 3
AROUND = 4
"""Channels of the bars before and of the bars after: onset and sustain each."""
BIAS = (-6.0, -2.0, -4.0)
"""What the network begins with: few notes are missing."""


@dataclass(frozen=True)
class Shape:
    width: int = 64


class Enhancer(nn.Module):
    def __init__(self, shape: Shape | None = None):
        super().__init__()
        self.shape = shape = shape or Shape()
        self.net = UNet(Backbone(2 + AROUND + 1, 2, 3, CHANNELS, e.COND, shape.width))
        with torch.no_grad():
            self.net.head.bias.copy_(torch.tensor(BIAS)[:, None, None])

    def forward(
        self, melody: Tensor, around: Tensor, locked: Tensor, profile: Tensor, clock: Tensor, cond: Tensor
    ) -> Tensor:
        """Logits [B, 3, T, 96].

        melody   [B, 2, T, 96], as it is by now
        around   [B, 4, T, 96], the bars before and the bars after; silent where they are not known
        locked   [B, 1, T, 96], where a note sounds that is sure to stay
        profile  [B, 12, 1], the share of the whole melody's time that each pitch class has
        clock    [B, 3, T], its last row 1 where the bars after are known
        cond     [B, 41], as the transformer's
        """
        sounding = folded(melody[:, rolls.SUSTAIN : rolls.SUSTAIN + 1])
        classes = torch.cat([sounding, by_class(profile) + 0 * sounding], 1)
        return self.net(Heard(torch.cat([melody, around, locked], 1), classes, clock), cond)
