"""The backbone that the GAN's generator and the enhancer share: a U-Net over piano rolls, told its conditions in every
block.

A roll is cut into patches of a quarter by four keys; what is the same in every octave, or at every key, is read once.
Time is a ring: what stands before the first tick is the last one, whose channel of earlier bars holds the bar before.
So a roll may have any length that is a multiple of `rolls.STEP`.
Plain operations only: the exported graph runs in ONNX Runtime and in tract.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import rolls

PATCH_TICKS, PATCH_KEYS = 12, 4


@dataclass(frozen=True)
class Shape:
    rolls: int
    """Channels with a row for every key."""
    classes: int
    """Channels with a row for every pitch class."""
    ticks: int
    """Channels with one row."""
    outputs: int
    told: int
    """Numbers that the blocks are told."""
    width: int = 96
    hidden: int = 128
    """Width of what is made of the conditions."""
    inner: tuple[int, int, int] | None = None
    """Channels between the two convolutions of a block, at each of the three sizes; `None`: as many as around them."""

    @property
    def widths(self) -> tuple[int, int, int]:
        """Channels at patches, and at those of twice and of four times the size."""
        return self.width, 4 * self.width // 3, 5 * self.width // 3


def norm(x: Tensor) -> Tensor:
    """Over the channels of each place."""
    return x * torch.rsqrt(x.pow(2).mean(1, keepdim=True) + 1e-6)


class Around(nn.Module):
    """A convolution over 3 by 3 places: a ring in time, silence below the lowest and above the highest key."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=(0, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(torch.cat([x[:, :, -1:], x, x[:, :, :1]], 2))


class Block(nn.Module):
    """Adds to what it reads; begins by adding nothing. After https://arxiv.org/abs/1709.07871 the conditions scale and
    move every channel."""

    def __init__(self, width: int, inner: int, hidden: int):
        super().__init__()
        self.first, self.second = Around(width, inner), Around(inner, width)
        self.told = nn.Linear(hidden, 2 * width)
        nn.init.zeros_(self.second.conv.weight)
        nn.init.zeros_(self.second.conv.bias)

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        scale, moved = self.told(told)[..., None, None].chunk(2, 1)
        h = F.silu(norm(x) * (1 + scale) + moved)
        return x + self.second(F.silu(self.first(h)))


class Heard(NamedTuple):
    """What a network hears of some bars.

    roll     [B, rolls, T, 96]
    classes  [B, classes, T, 12], row 0 is an E as in a roll
    ticks    [B, ticks, T]
    """

    roll: Tensor
    classes: Tensor
    ticks: Tensor


def in_every_octave(x: Tensor) -> Tensor:
    """Along the keys."""
    return torch.cat([x] * (rolls.KEYS // 12), 3)


class Stem(nn.Module):
    """Patches of a quarter by four keys, [B, width, T / 12, 24]."""

    def __init__(self, channels: tuple[int, int, int], width: int):
        super().__init__()
        patch = (PATCH_TICKS, PATCH_KEYS)
        self.roll = nn.Conv2d(channels[0], width, patch, stride=patch)
        self.classes = nn.Conv2d(channels[1], width, patch, stride=patch, bias=False)
        self.ticks = nn.Conv1d(channels[2], width, PATCH_TICKS, stride=PATCH_TICKS, bias=False)

    def forward(self, heard: Heard) -> Tensor:
        octaves = in_every_octave(self.classes(heard.classes))
        return self.roll(heard.roll) + octaves + self.ticks(heard.ticks).unsqueeze(3)


class Finer(nn.Module):
    """Makes `ticks` by `keys` places of each, with a bias for each of them. A transposed convolution writes its results
    where they belong; one of a place, moved about afterwards, takes two and a half times as long."""

    def __init__(self, inputs: int, outputs: int, ticks: int, keys: int):
        super().__init__()
        self.ticks, self.keys = ticks, keys
        self.conv = nn.ConvTranspose2d(inputs, outputs, (ticks, keys), stride=(ticks, keys), bias=False)
        # As of a convolution with so many inputs.
        nn.init.uniform_(self.conv.weight, -(inputs**-0.5), inputs**-0.5)
        self.bias = nn.Parameter(torch.empty(outputs, ticks, keys).uniform_(-(inputs**-0.5), inputs**-0.5))

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, T, K] to [B, outputs, T · ticks, K · keys]. Only the time becomes no constant of an exported
        graph."""
        batch, wide = int(x.shape[0]), int(x.shape[3])
        bias = self.bias.repeat(1, 1, wide).reshape(len(self.bias), 1, -1)
        rows = self.conv(x).reshape(batch, len(self.bias), -1, bias.shape[2])
        return (rows + bias).reshape(batch, len(self.bias), -1, wide * self.keys)


class UNet(nn.Module):
    def __init__(self, shape: Shape):
        super().__init__()
        self.shape = shape
        near, middle, far = shape.widths
        blocks = list(zip(shape.widths, shape.inner or shape.widths, strict=True))
        self.told = nn.Sequential(nn.Linear(shape.told, shape.hidden), nn.SiLU(), nn.Linear(shape.hidden, shape.hidden))
        self.stem = Stem((shape.rolls, shape.classes, shape.ticks), near)
        self.down = nn.ModuleList([nn.Conv2d(near, middle, 2, stride=2), nn.Conv2d(middle, far, 2, stride=2)])
        self.up = nn.ModuleList([Finer(middle, near, 2, 2), Finer(far, middle, 2, 2)])
        self.before = nn.ModuleList(Block(*sizes, shape.hidden) for sizes in blocks[:2])
        self.after = nn.ModuleList(Block(*sizes, shape.hidden) for sizes in blocks[:2])
        self.bottom = Block(*blocks[2], shape.hidden)
        self.everywhere = nn.Linear(far, far)
        """What all of the roll has in common, its key above all, is heard everywhere."""
        self.head = Finer(near, shape.outputs, PATCH_TICKS, PATCH_KEYS)

    def forward(self, heard: Heard, told: Tensor) -> Tensor:
        """told [B, told]. Returns [B, outputs, T, 96]."""
        told = F.silu(self.told(told))
        x, kept = self.stem(heard), []
        for block, down in zip(self.before, self.down, strict=True):
            x = block(x, told)
            kept.append(x)
            x = down(x)
        x = x + self.everywhere(x.mean((2, 3)))[..., None, None]
        x = self.bottom(x, told)
        for block, up, side in zip(reversed(self.after), reversed(self.up), reversed(kept), strict=True):
            x = block(up(x) + side, told)
        return self.head(F.silu(norm(x)))


def folded(roll: Tensor) -> Tensor:
    """In how many octaves each pitch class sounds, [B, C, T, 12], of [B, C, T, 96]."""
    batch, channels = (int(n) for n in roll.shape[:2])
    return roll.reshape(batch, channels, -1, rolls.KEYS // 12, 12).sum(3)


def by_class(rows: Tensor) -> Tensor:
    """Rows of pitch classes from C, [B, 12, T], as [B, 1, T, 12] from E."""
    first = rolls.LOWEST_KEY % 12
    return torch.cat([rows[:, first:], rows[:, :first]], 1).transpose(1, 2).unsqueeze(1)
