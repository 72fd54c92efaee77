"""Plays the drummer alone: the plugin's sampler in Python, for evaluation and for looking at what it writes.

python -m obbligato_models.drums.sample --style Rock --bars 8 [--checkpoint runs/drums/last.pt] [--out drums.mid]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import mido
import numpy as np
import onnx

from .. import export as shared
from ..transformer.model import Shape
from . import dataset, export
from . import encoding as e
from .encoding import Asked, Stroke

STROKE_TEMPERATURE, STROKE_TOP_P = 1.0, 0.98
LOCK = 0.5
"""Nats for a kick where the bass strikes: the model alone kicks there a little less often than people do."""
TOUCH_TEMPERATURE, TOUCH_TOP_P = 0.9, 0.95
RESERVE = 2 * e.MOST_STROKES + 2
"""A segment begins only with so many places of the window free."""
KEEP_TOKENS = 128
"""What stays of the context at most when it is cut."""
AT_ONCE = 32


@dataclass(frozen=True)
class Choice:
    stroke_temperature: float = STROKE_TEMPERATURE
    stroke_top_p: float = STROKE_TOP_P
    touch_temperature: float = TOUCH_TEMPERATURE
    touch_top_p: float = TOUCH_TOP_P
    lock: float = LOCK


def pick(ids: np.ndarray, logits: np.ndarray, temperature: float, top_p: float, dice: np.random.Generator) -> int:
    """One of `ids` by the softmax of their logits, of the likeliest that hold `top_p` together."""
    values = logits[ids].astype(np.float64) / max(temperature, 1e-3)
    chances = np.exp(values - values.max())
    order = np.argsort(-chances, kind="stable")
    sums = chances[order].cumsum()
    kept = min(len(ids), int(np.searchsorted(sums, top_p * sums[-1])) + 1)
    return int(ids[order[min(kept - 1, int(np.searchsorted(sums, dice.random() * sums[kept - 1], side="right")))]])


class Network:
    """The exported graph with its cache."""

    def __init__(self, graph: onnx.ModelProto):
        sizes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in graph.graph.input}
        layers, _, heads, window, head_size = sizes["past_k"]
        self.shape = Shape(heads * head_size, layers, heads, window)
        self.runs = {n: shared.onnx_runner(shared.with_length(graph, n, window)) for n in (1, AT_ONCE)}
        self.clear()

    def clear(self) -> None:
        self.past = 0
        self.keys, self.values = shared.empty_cache(self.shape)

    def read(self, tokens: Sequence[int], conds: Sequence[np.ndarray]) -> np.ndarray:
        """The logits after the last token."""
        logits = np.zeros(e.VOCABULARY, np.float32)
        at = 0
        while at < len(tokens):
            size = 1 if len(tokens) - at < 4 else AT_ONCE
            chunk, cond = list(tokens[at : at + size]), np.array(conds[at : at + size])
            real = len(chunk)
            cond = np.concatenate([cond, np.zeros((size - real, e.COND), np.float32)])
            chunk += [e.PAD] * (size - real)
            inputs = shared.step_inputs(self.shape, chunk, cond, self.past, self.keys, self.values)
            out, new_k, new_v = self.runs[size](inputs)
            places = slice(self.past, self.past + real)
            self.keys[..., places, :], self.values[..., places, :] = new_k[..., :real, :], new_v[..., :real, :]
            logits, self.past, at = out[0, real - 1], self.past + real, at + real
        return logits


class Player:
    """Writes segment after segment, knowing what it has written."""

    def __init__(self, network: Network, seed: int, choice: Choice | None = None):
        self.network, self.choice = network, choice or Choice()
        self.dice = np.random.default_rng(seed)
        self.segments: list[tuple[list[int], np.ndarray]] = []
        """What is in the window after START: tokens and condition of each segment."""
        self.unread: list[tuple[int, np.ndarray]] = []
        network.clear()

    def write(self, kind: int, asked: Asked) -> list[int]:
        """The tokens of the next segment."""
        cond = e.condition(asked)
        self.make_room(cond)
        tokens, grammar, with_bass = [e.SEGMENT + kind], e.Grammar(), kicks_with_bass(cond)
        grammar.read(tokens[0])
        self.unread.append((tokens[0], cond))
        while tokens[-1] != e.END:
            token = self.choose(grammar, with_bass)
            grammar.read(token)
            tokens.append(token)
            self.unread.append((token, cond))
        self.segments.append((tokens, cond))
        return tokens

    def choose(self, grammar: e.Grammar, with_bass: np.ndarray) -> int:
        choices = grammar.choices()
        if len(choices) == 1:
            return int(choices[0])
        logits = self.network.read([t for t, _ in self.unread], [c for _, c in self.unread])
        self.unread = []
        c = self.choice
        if grammar.struck:
            return pick(choices, logits, c.touch_temperature, c.touch_top_p, self.dice)
        logits = logits + c.lock * with_bass
        return pick(choices, logits, c.stroke_temperature, c.stroke_top_p, self.dice)

    def make_room(self, cond: np.ndarray) -> None:
        size = 1 + sum(len(tokens) for tokens, _ in self.segments)
        if self.segments and size + RESERVE <= self.network.shape.window:
            return
        while self.segments and 1 + sum(len(tokens) for tokens, _ in self.segments) > KEEP_TOKENS:
            self.segments.pop(0)
        self.network.clear()
        first = self.segments[0][1] if self.segments else cond
        self.unread = [(e.START, first), *((t, c) for tokens, c in self.segments for t in tokens)]

    def strokes(self, tokens: Sequence[int]) -> list[Stroke]:
        """A segment's strokes, velocity and deviation drawn within their classes."""
        found = []
        for stroke, touch in zip(tokens[1:-1:2], tokens[2:-1:2], strict=True):
            found.append(Stroke(*e.place_of(stroke), *e.sounding(touch, *self.dice.random(2))))
        return found


def kicks_with_bass(cond: np.ndarray) -> np.ndarray:
    """1 for the kick wherever the bass strikes, where that is known, [608]."""
    kicks = np.zeros(e.VOCABULARY)
    for tick in np.flatnonzero(cond[e.BASS : e.BASS + 48]):
        kicks[e.stroke_token(int(tick), e.KICK)] = 1
    return kicks


def play(player: Player, segments: Sequence[tuple[int, Asked]]) -> list[list[int]]:
    return [player.write(kind, asked) for kind, asked in segments]


def phrases(bars: int, metre: int, asked: Asked, fills: bool = True) -> list[tuple[int, Asked]]:
    """So many bars, with a fill in the last segment of each phrase, and all of its last bar every eighth."""
    segments = []
    for bar in range(bars):
        kinds = e.KINDS_OF_METRE[metre]
        for half, kind in enumerate(kinds):
            whole_bar, last = bar % 8 == 7, bar % 4 == 3 and half == len(kinds) - 1
            segments.append((kind, replace(asked, fill=fills and (whole_bar or last), phrase_bar=bar % 4)))
    return segments


def grid(segments: Sequence[tuple[int, Sequence[Stroke]]], metre: int) -> str:
    """Bars as text: a row an instrument, a column a sixteenth (a stroke in between goes to the one before), loudness
    as 0..7."""
    per_bar = len(e.KINDS_OF_METRE[metre])
    lines = []
    for first in range(0, len(segments), per_bar):
        strokes = [s for _, part in segments[first : first + per_bar] for s in part]
        lines.append(f"bar {first // per_bar + 1}")
        for i, name in enumerate(e.INSTRUMENTS):
            row = ["."] * (e.BAR_TICKS[metre] // 3)
            for s in strokes:
                if s.instrument == i:
                    row[s.tick // 3] = str(e.touch_of(e.touch_token(s.velocity, 0))[0])
            if any(x != "." for x in row):
                beats = "|".join("".join(row[b : b + 4]) for b in range(0, len(row), 4))
                lines.append(f"  {name:>10} {beats}")
    return "\n".join(lines)


def write_midi(path: Path, segments: Sequence[tuple[int, Sequence[Stroke]]], metre: int, tempo: float) -> None:
    quarter = 480
    events: list[tuple[int, int, int]] = []
    bar = 0
    for i, (kind, strokes) in enumerate(segments):
        for s in strokes:
            at = max(0, round((bar * e.BAR_TICKS[metre] + s.tick + s.deviation) * quarter / e.GRID))
            events += [(at, e.KEYS[s.instrument], s.velocity), (at + quarter // 4, e.KEYS[s.instrument], 0)]
        bar += kind == e.KINDS_OF_METRE[metre][-1] and i + 1 < len(segments)
    track = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=round(60e6 / tempo))])
    numerator, denominator = next(m for m, index in dataset.METRES.items() if index == metre)
    track.append(mido.MetaMessage("time_signature", numerator=numerator, denominator=denominator))
    now = 0
    for at, key, velocity in sorted(events, key=lambda event: (event[0], event[2])):
        track.append(mido.Message("note_on", channel=9, note=key, velocity=velocity, time=at - now))
        now = at
    mido.MidiFile(tracks=[track], ticks_per_beat=quarter).save(path)


def graph_of(checkpoint: Path | None) -> onnx.ModelProto:
    """The graph of a checkpoint, else the file in `weights`."""
    if checkpoint is None:
        return onnx.load(shared.MODELS / "weights" / "drums.onnx")
    return export.to_onnx(shared.stepper(export.load(checkpoint)[0]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, help="the exported file without it")
    parser.add_argument("--style", default="Rock", choices=dataset.STYLES)
    parser.add_argument("--metre", type=int, default=0, help="0: 4/4, 1: 3/4, 2: 6/8")
    parser.add_argument("--tempo", type=float, default=110.0)
    parser.add_argument("--bars", type=int, default=8)
    parser.add_argument("--density", type=float)
    parser.add_argument("--triplets", type=float, default=0.0)
    parser.add_argument("--level", type=float)
    parser.add_argument("--bass", type=int, nargs="*", help="its onsets in each bar, ticks")
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path)
    a = parser.parse_args()
    weights = [float(name == a.style) for name in dataset.STYLES]
    asked = Asked(weights, a.tempo, a.density, a.triplets, a.level)
    segments = phrases(a.bars, a.metre, asked)
    if a.bass is not None:
        onsets = {kind: [t for t in a.bass if start <= t < end] for kind, (start, end) in enumerate(e.SEGMENTS)}
        segments = [(kind, replace(wanted, bass=onsets[kind])) for kind, wanted in segments]
    player = Player(Network(graph_of(a.checkpoint)), a.seed, Choice(STROKE_TEMPERATURE * a.temperature))
    answers = play(player, segments)
    played = [(kind, player.strokes(tokens)) for (kind, _), tokens in zip(segments, answers, strict=True)]
    print(grid(played, a.metre))
    if a.out:
        write_midi(a.out, played, a.metre, a.tempo)


if __name__ == "__main__":
    main()
