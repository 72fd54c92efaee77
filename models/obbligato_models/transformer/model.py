"""The network: a decoder-only transformer over bar tokens with a condition vector at every token, which is added to the
token and speaks in every block.

Rotary positions, RMS norms without weights, squared ReLU. Plain operations only: the exported graph runs in ONNX
Runtime and in tract.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import encoding as e


@dataclass(frozen=True)
class Shape:
    width: int = 256
    layers: int = 6
    heads: int = 4
    window: int = 512
    told: int = 64
    """Width of what every block is told of the conditions; 0: nothing."""

    @property
    def head_size(self) -> int:
        return self.width // self.heads


# Each token is the sum of what it says: rows of small tables, named here by their sizes.
KINDS = 12
FACTORS = {
    "kind": KINDS,
    "metre": 5,
    "part": 4,
    "tick": 49,
    "beat": 5,
    "tick_in_beat": 13,
    "octave": 11,
    "key": 89,
    "duration": 16,
    "root": 13,
    "quality": 11,
}


def factor_rows() -> tuple[dict[str, np.ndarray], np.ndarray]:
    """For every token its row in each factor table (0: does not apply), and its pitch classes as weights [1505, 12]:
    a note's own, a chord's tones. Sharing them is what ties chords to notes."""
    rows = {name: np.zeros(e.VOCABULARY, np.int64) for name in FACTORS}
    pitch_classes = np.zeros((e.VOCABULARY, 12), np.float32)
    for token in range(e.VOCABULARY):
        if token < e.PART:
            rows["kind"][token] = token
        elif token < e.BAR:
            rows["kind"][token], rows["part"][token] = 5, 1 + token - e.PART
        elif token < e.POS:
            rows["kind"][token], rows["metre"][token] = 6 + (token >= e.JAM), 1 + (token - e.BAR) % 4
        elif token < e.CHORD:
            tick = token - e.POS
            rows["kind"][token], rows["tick"][token] = 8, 1 + tick
            rows["beat"][token], rows["tick_in_beat"][token] = 1 + tick // 12, 1 + tick % 12
        elif token < e.NOTE:
            chord = token - e.CHORD
            rows["kind"][token] = 9
            if chord != e.NO_CHORD:
                rows["root"][token], rows["quality"][token] = 1 + chord // 10, 1 + chord % 10
                tones = list(e.chord_pitch_classes(chord))
                pitch_classes[token, tones] = 1 / np.sqrt(len(tones))
        else:
            key, duration = e.token_key(token), (token - e.NOTE) % e.DURATION_CLASSES
            rows["kind"][token], rows["duration"][token] = 10, 1 + duration
            rows["key"][token], rows["octave"][token] = 1 + key - e.LOWEST_KEY, key // 12
            pitch_classes[token, key % 12] = 1
    return rows, pitch_classes


class TokenTable(nn.Module):
    """[1505, width]: the sum of the factors' rows and a small one of its own; input and output share it."""

    def __init__(self, width: int):
        super().__init__()
        rows, pitch_classes = factor_rows()
        for name, index in rows.items():
            self.register_buffer(f"rows_{name}", torch.from_numpy(index), persistent=False)
        self.register_buffer("pitch_classes", torch.from_numpy(pitch_classes), persistent=False)
        self.tables = nn.ParameterDict(
            {n: nn.Parameter(0.02 * torch.randn(size, width)) for n, size in FACTORS.items()}
        )
        self.pitch_class = nn.Parameter(0.02 * torch.randn(12, width))
        self.own = nn.Parameter(torch.zeros(e.VOCABULARY, width))

    def forward(self) -> Tensor:
        table = self.own + self.pitch_classes @ self.pitch_class
        for name, rows in self.tables.items():
            table = table + rows[getattr(self, f"rows_{name}")]
        return table


def norm(x: Tensor) -> Tensor:
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions. x [.., T, head size], cos and sin [.., T, head size / 2]."""
    half = int(x.shape[-1]) // 2
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """Attention for training, bool mask (true: may look; every query at one place at least). Queries and keys have a
    known length, so no maximum has to be taken off before the exponential: on a CPU half as fast again as
    `scaled_dot_product_attention` with a mask."""
    scores = (q @ k.transpose(2, 3)) * q.shape[-1] ** -0.5
    weights = torch.where(mask, scores.exp(), torch.zeros((), dtype=scores.dtype))
    return (weights @ v) / weights.float().sum(-1, keepdim=True).to(v.dtype)


class Told(NamedTuple):
    """What the conditions do in a block, after https://arxiv.org/abs/2212.09748: attention reads the residual stream
    moved by `attended`, the layer after it reads it scaled and moved. [.., T, width] each."""

    attended: Tensor
    scale: Tensor
    moved: Tensor


class Block(nn.Module):
    def __init__(self, shape: Shape):
        super().__init__()
        width = shape.width
        self.heads, self.head_size = shape.heads, shape.head_size
        self.sharpness = nn.Parameter(torch.full((shape.heads, 1, 1), 1.5))
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.up = nn.Linear(width, 4 * width, bias=False)
        self.down = nn.Linear(4 * width, width, bias=False)
        self.told = nn.Linear(shape.told, 3 * width, bias=False) if shape.told else None
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.down.weight)
        if self.told is not None:
            nn.init.zeros_(self.told.weight)

    def hear(self, told: Tensor | None) -> Told | None:
        """From what the network makes of the conditions, [.., T, told]."""
        return None if told is None else Told(*self.told(told).split(self.heads * self.head_size, -1))

    def split(self, x: Tensor) -> Tensor:
        """[B, T, width] to [B, heads, T, head size]. Only B becomes a constant of an exported graph, never T."""
        return x.reshape(int(x.shape[0]), -1, self.heads, self.head_size).transpose(1, 2)

    def queries_keys_values(
        self, x: Tensor, told: Told | None, cos: Tensor, sin: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        h = norm(x) if told is None else norm(x) + told.attended
        q, k, v = self.split(self.query(h)), self.split(self.key(h)), self.split(self.value(h))
        return rotate(norm(q) * self.sharpness, cos, sin), rotate(norm(k), cos, sin), v

    def finish(self, x: Tensor, told: Told | None, attended: Tensor) -> Tensor:
        x = x + self.out(attended.transpose(1, 2).reshape(int(x.shape[0]), -1, self.heads * self.head_size))
        h = norm(x) if told is None else norm(x) * (1 + told.scale) + told.moved
        return x + self.down(F.relu(self.up(h)).square())


class Outputs(NamedTuple):
    """After each token: what comes next, and two things read beside it.

    logits    [B, T, 1505] of the next token
    loudness  [B, T, 12] of the velocity class of the note that the token is
    coming    [B, T, 12] of each pitch class to sound in the melody of the segment that comes next (jam)
    """

    logits: Tensor
    loudness: Tensor
    coming: Tensor


class Transformer(nn.Module):
    def __init__(self, shape: Shape | None = None):
        super().__init__()
        self.shape = shape = shape or Shape()
        self.tokens = TokenTable(shape.width)
        self.cond = nn.Linear(e.COND, shape.width)
        self.told = nn.Linear(e.COND, shape.told) if shape.told else None
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.logit_scale = nn.Parameter(torch.tensor(1.0))
        self.loudness = nn.Linear(shape.width, e.LOUDNESS_CLASSES)
        self.coming = nn.Linear(shape.width, 12)
        half = shape.head_size // 2
        self.register_buffer("frequencies", 10000.0 ** (-torch.arange(half) / half), persistent=False)

    def embed(self, table: Tensor, ids: Tensor, cond: Tensor) -> Tensor:
        return norm(F.embedding(ids, table)) + self.cond(cond)

    def tell(self, cond: Tensor) -> Tensor | None:
        """What the blocks are told, [B, T, told]."""
        return None if self.told is None else torch.tanh(self.told(cond))

    def condition_weights(self) -> list[Tensor]:
        """The matrices with a column for each of the conditions."""
        return [layer.weight for layer in (self.cond, self.told) if layer is not None]

    def angles(self, pos: Tensor) -> tuple[Tensor, Tensor]:
        angles = pos.unsqueeze(-1).float() * self.frequencies
        return angles.cos().unsqueeze(1), angles.sin().unsqueeze(1)

    def outputs(self, x: Tensor, table: Tensor) -> Outputs:
        x = norm(x)
        return Outputs(F.linear(x * self.logit_scale, table), self.loudness(x), self.coming(x))

    def forward(self, ids: Tensor, cond: Tensor, mask: Tensor | None = None) -> Outputs:
        """Training: whole windows. ids [B, T], cond [B, T, 41], mask bool [B, 1, T, T] (true: may look), causal if
        none."""
        table = self.tokens()
        x = self.embed(table, ids, cond)
        cos, sin = self.angles(torch.arange(ids.shape[1], device=ids.device)[None])
        cos, sin = cos.to(x.dtype), sin.to(x.dtype)
        if mask is None:
            mask = torch.ones(ids.shape[1], ids.shape[1], dtype=torch.bool, device=ids.device).tril()
        heard = self.tell(cond)
        for block in self.blocks:
            told = block.hear(heard)
            q, k, v = block.queries_keys_values(x, told, cos, sin)
            x = block.finish(x, told, attend(q, k, v, mask))
        return self.outputs(x, table)


class Stepper(nn.Module):
    """The same network as docs/encoding.md's graph: some tokens at once, the past in a cache that the host owns."""

    def __init__(self, model: Transformer):
        super().__init__()
        self.model = model
        self.table = nn.Parameter(model.tokens().detach().clone())
        self.scale = model.shape.head_size**-0.5

    def forward(
        self, ids: Tensor, cond: Tensor, pos: Tensor, mask: Tensor, past_k: Tensor, past_v: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """ids, pos [B, T], cond [B, T, 41], mask [B, 1, T, P + T] added, past [layers, B, heads, P, head size]."""
        x = self.model.embed(self.table, ids, cond)
        cos, sin = self.model.angles(pos)
        heard = self.model.tell(cond)
        new_k, new_v = [], []
        for i, block in enumerate(self.model.blocks):
            told = block.hear(heard)
            q, k, v = block.queries_keys_values(x, told, cos, sin)
            new_k.append(k)
            new_v.append(v)
            scores = (q * self.scale) @ torch.cat([past_k[i], k], 2).transpose(2, 3) + mask
            x = block.finish(x, told, scores.softmax(-1) @ torch.cat([past_v[i], v], 2))
        outputs = self.model.outputs(x, self.table)
        return *outputs, torch.stack(new_k), torch.stack(new_v)
