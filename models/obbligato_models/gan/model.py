"""The networks: a generator that answers four bars of melody with four parts, and a critic that hears whether people
might have played them.

Generator: unet.py over the melody, its pitch classes in every octave, the four bars before, the chords where they are
given, and the clock; noise and conditions are told to every block. Critic: a convolutional network over the same, and
the parts that it judges.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import encoding as e
from .. import rolls
from ..unet import PATCH_KEYS, PATCH_TICKS, Around, Heard, Stem, UNet, by_class, folded, in_every_octave
from ..unet import Shape as Backbone

NOISE = 32
CHANNELS = 2 * len(rolls.PARTS)
"""Of the parts: onset and sustain of each."""
BEFORE = CHANNELS + 2
"""Of the four bars before: the parts, and the melody's two."""
ROLLS, CLASSES, TICKS = 2 + BEFORE, 2, 4
"""Channels of what both networks hear: melody and the bars before; the melody's pitch classes and the given chords; the
clock and whether a chord is given."""


@dataclass(frozen=True)
class Shape:
    width: int = 96
    critic: int = 64
    inner: tuple[int, int, int] | None = None
    """See unet.Shape; slim.py makes such a generator."""


class Given(NamedTuple):
    """What both networks know of four bars.

    melody  [B, 2, T, 96], silent where it is not known
    before  [B, 10, T, 96], the four bars before: parts, then melody
    chords  [B, 13, T], see rolls.chord_rows
    clock   [B, 3, T]
    cond    [B, 41], as the transformer's
    """

    melody: Tensor
    before: Tensor
    chords: Tensor
    clock: Tensor
    cond: Tensor


def heard(given: Given) -> Heard:
    sounding = given.melody[:, rolls.SUSTAIN : rolls.SUSTAIN + 1]
    return Heard(
        torch.cat([given.melody, given.before], 1),
        torch.cat([folded(sounding), by_class(given.chords[:, :12])], 1),
        torch.cat([given.clock, given.chords[:, 12:]], 1),
    )


class Generator(nn.Module):
    def __init__(self, shape: Shape | None = None):
        super().__init__()
        self.shape = shape = shape or Shape()
        self.net = UNet(Backbone(ROLLS, CLASSES, TICKS, CHANNELS, NOISE + e.COND, shape.width, inner=shape.inner))
        # So few cells are struck that a network which begins at one half would spend its first steps on silence.
        nn.init.constant_(self.net.head.bias, -5.0)

    def forward(
        self, melody: Tensor, before: Tensor, chords: Tensor, clock: Tensor, noise: Tensor, cond: Tensor
    ) -> Tensor:
        """Logits of the parts' cells, [B, 8, T, 96]; noise [B, 32], standard normal times the temperature."""
        given = Given(melody, before, chords, clock, cond)
        return self.net(heard(given), torch.cat([noise, cond], 1))


class Critic(nn.Module):
    """No normalisation over examples, which would let one example's gradient depend on the others (Gulrajani et al.
    2017)."""

    def __init__(self, shape: Shape | None = None):
        super().__init__()
        width = (shape or Shape()).critic
        patch = (PATCH_TICKS, PATCH_KEYS)
        self.around = Stem((ROLLS, CLASSES, TICKS), width)
        self.told = nn.Linear(e.COND, width)
        self.parts = nn.Conv2d(CHANNELS, width, patch, stride=patch, bias=False)
        self.classes = nn.Conv2d(len(rolls.PARTS), width, patch, stride=patch, bias=False)
        self.near = Around(width, width)
        self.halves = nn.Conv2d(width, 2 * width, 2, stride=2)
        self.far = Around(2 * width, 2 * width)
        self.wholes = nn.Conv2d(2 * width, 3 * width, 2, stride=2)
        self.everything = nn.Linear(3 * width, 3 * width)
        self.score = nn.Linear(3 * width, 1)

    def listen(self, given: Given) -> Tensor:
        """What `forward` needs to know beside the parts: the same for people's and the generator's."""
        return self.around(heard(given)) + self.told(given.cond)[..., None, None]

    def forward(self, parts: Tensor, listened: Tensor) -> Tensor:
        """[B], higher for people. parts [B, 8, T, 96], 0 to 1."""
        classes = in_every_octave(self.classes(folded(parts[:, rolls.SUSTAIN :: 2])))
        x = listened + self.parts(parts) + classes
        x = x + self.near(F.leaky_relu(x, 0.2))
        x = self.halves(F.leaky_relu(x, 0.2))
        x = x + self.far(F.leaky_relu(x, 0.2))
        x = F.leaky_relu(self.wholes(F.leaky_relu(x, 0.2)), 0.2)
        x = x + self.everything(x.mean((2, 3)))[..., None, None]
        return self.score(F.leaky_relu(x, 0.2).mean((2, 3))).squeeze(1)
