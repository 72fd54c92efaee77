"""Judges of what the model plays, learnt from people: does this belong to that melody, which style is it, and (while
the model learns, posttrain.py) is it a person or the machine who plays?

python -m obbligato_models.transformer.reward --dataset data/songs.npz --out runs/judges.pt --minutes 11

A judge hears a piano roll of some bars and says a number, or one for each style, for every segment. Match and style
learn from people's songs alone, before the model does.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import dataset, styles
from .. import encoding as e
from ..dataset import MELODY_ROW, Run
from ..encoding import Note
from . import device

CELL = 3
"""Ticks of a sixteenth: rolls go by these."""
KEYS = e.HIGHEST_KEY - e.LOWEST_KEY + 1
ROWS = MELODY_ROW + 1
BARS = 6
"""Of an example."""
BATCH = 48
RATE = 1.5e-3
WIDTH = 128
DILATIONS = (1, 2, 4, 8)
SHARES = {
    "pop909": 0.36,
    "lieder": 0.16,
    "open_hymnal": 0.12,
    "bach_chorales": 0.1,
    "js_fakes": 0.05,
    "string_quartets": 0.12,
    "freedoom": 0.09,
}
"""Of the examples: nearer to equal than in the model's training, so that every style is known."""
WITHOUT_COUNTER, WITHOUT_OTHER = 0.4, 0.1
"""Shares of the examples in which a part is not heard."""


# Piano rolls


def roll_of(rows: Sequence[Sequence[Note]], cells: int) -> np.ndarray:
    """What is struck and what sounds, by part (the melody last), sixteenth and key: bool [4, 2, cells, 88]."""
    found = np.zeros((ROWS, 2, cells, KEYS), bool)
    for row, notes in enumerate(rows):
        for note in notes:
            first = max(0, note.start // CELL)
            last = max(first + 1, -(-(note.start + min(note.duration, 10_000)) // CELL))
            key = e.fold_key(note.key) - e.LOWEST_KEY
            if note.start >= 0:
                found[row, 0, first : first + 1, key] = True
            found[row, 1, first:last, key] = True
    return found


def moved(roll: np.ndarray, semitones: int) -> np.ndarray:
    """Keys that leave the range are lost."""
    found = np.zeros_like(roll)
    if semitones >= 0:
        found[..., semitones:] = roll[..., : KEYS - semitones]
    else:
        found[..., :semitones] = roll[..., -semitones:]
    return found


def pitch_classes(roll: np.ndarray) -> np.ndarray:
    """How much of the roll each pitch class fills, [12]."""
    keys = roll.reshape(-1, KEYS).sum(0)
    return np.bincount((np.arange(KEYS) + e.LOWEST_KEY) % 12, keys, 12)


class Rolls:
    """Of whole runs, made when they are first asked for and kept as bits."""

    def __init__(self):
        self.bits: dict[int, np.ndarray] = {}

    def of(self, run: Run, first: int, bars: int) -> np.ndarray:
        if id(run) not in self.bits:
            self.bits[id(run)] = np.packbits(roll_of(run.notes, run.bars * run.ticks // CELL), axis=-1)
        a_bar = run.ticks // CELL
        some = self.bits[id(run)][:, :, first * a_bar : (first + bars) * a_bar]
        return np.unpackbits(some, axis=-1, count=KEYS).astype(bool)


@dataclass
class Heard:
    """Rolls of one length in cells, filled up with silence, and what is known of them."""

    roll: Tensor
    """[B, 4, 2, cells, 88]"""
    metre: Tensor
    """[B]"""
    asked: Tensor
    """Which parts ought to play, [B, 3]."""
    style: Tensor
    """[B, styles]"""
    segments: Tensor
    """Of each cell the number of its segment, [B, cells]; -1 behind the end."""

    def __len__(self) -> int:
        return len(self.roll)

    def some(self, which: Sequence[int] | Tensor) -> Heard:
        return Heard(*(getattr(self, name)[which] for name in ("roll", "metre", "asked", "style", "segments")))


@dataclass
class Sample:
    """Bars that somebody plays, before they stand beside others."""

    roll: np.ndarray
    metre: int
    asked: Sequence[int]
    style: np.ndarray


def together(samples: Sequence[Sample]) -> Heard:
    cells = max(s.roll.shape[2] for s in samples)
    roll = np.zeros((len(samples), ROWS, 2, cells, KEYS), np.float32)
    asked = np.zeros((len(samples), len(e.PARTS)), np.float32)
    style = np.zeros((len(samples), len(styles.NAMES)), np.float32)
    segments = np.full((len(samples), cells), -1)
    for i, sample in enumerate(samples):
        here = sample.roll.shape[2]
        roll[i, :, :, :here] = sample.roll
        asked[i, list(sample.asked)] = 1
        style[i, : len(sample.style)] = sample.style
        segments[i, :here] = np.arange(here) // cells_of(sample.metre)
    metre = torch.tensor([s.metre for s in samples])
    return Heard(torch.from_numpy(roll), metre, *map(torch.from_numpy, (asked, style, segments)))


def cells_of(metre: int) -> int:
    """In a segment."""
    return e.SEGMENTS[metre][0][1] // CELL


# The network


def by_class(roll: Tensor) -> Tensor:
    """Which pitch classes, [.., 12] of [.., 88]."""
    first = e.LOWEST_KEY % 12
    padded = F.pad(roll, (first, (-first - KEYS) % 12))
    return padded.unflatten(-1, (-1, 12)).amax(-2)


def intervals(melody: Tensor, other: Tensor) -> Tensor:
    """Of each interval from a pitch class of the melody up to one of the other how much there is, [.., 12]."""
    pairs = [(melody * other.roll(-i, -1)).sum(-1) for i in range(12)]
    return torch.stack(pairs, -1) / melody.sum(-1, keepdim=True).clamp(min=1)


class Ear(nn.Module):
    """Numbers for every segment, from the rows of the roll it hears; with the melody among them also from the intervals
    between the melody and the rest, which are the same in all keys."""

    def __init__(self, rows: Sequence[int], outputs: int, told: bool = False, width: int = WIDTH):
        super().__init__()
        self.rows, self.told, self.compares = tuple(rows), told, MELODY_ROW in rows
        inputs = len(rows) * 2 * (KEYS + 12) + 16 + len(e.METRES)
        inputs += 4 * 12 if self.compares else 0
        inputs += len(styles.NAMES) if told else 0
        inputs += len(e.PARTS)
        self.first = nn.Linear(inputs, width)
        self.layers = nn.ModuleList(
            nn.Conv1d(width, width, 5, padding=2 * dilation, dilation=dilation) for dilation in DILATIONS
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(len(DILATIONS) + 1))
        self.last = nn.Linear(2 * width, outputs)
        nn.init.zeros_(self.last.weight)

    def forward(self, heard: Heard) -> Tensor:
        """[B, segments, outputs]."""
        share, cells = shares(heard.segments)
        x = self.first(self.features(heard, share, cells))
        for layer, norm in zip(self.layers, self.norms, strict=False):
            x = x + F.gelu(layer(norm(x).transpose(1, 2)).transpose(1, 2))
        x = self.norms[-1](x)
        mean = share @ x
        everything = (cells.unsqueeze(-1) * x).sum(1, keepdim=True) / cells.sum(1)[:, None, None].clamp(min=1)
        return self.last(torch.cat([mean, everything.expand_as(mean)], -1))

    def features(self, heard: Heard, share: Tensor, cells: Tensor) -> Tensor:
        roll = heard.roll[:, list(self.rows)]
        count = roll.shape[3]
        classes = by_class(roll)
        given = [roll.permute(0, 3, 1, 2, 4).flatten(2), classes.permute(0, 3, 1, 2, 4).flatten(2)]
        if self.compares:
            given += self.compared(heard, share)
        place = torch.arange(count)[None] % (torch.tensor(e.BAR_TICKS)[heard.metre] // CELL)[:, None]
        given += [F.one_hot(place, 16).float(), spread(F.one_hot(heard.metre, len(e.METRES)).float(), count)]
        given.append(spread(heard.asked, count))
        if self.told:
            given.append(spread(heard.style, count))
        return torch.cat(given, -1)

    def compared(self, heard: Heard, share: Tensor) -> list[Tensor]:
        sounding = by_class(heard.roll[:, :, 1])
        melody, bass = sounding[:, MELODY_ROW], sounding[:, e.BASS]
        upper = sounding[:, e.CHORDS : MELODY_ROW].amax(1)
        in_segment = (share @ sounding[:, :MELODY_ROW].amax(1) > 0).float()
        back = (share > 0).float().transpose(1, 2)
        everywhere = back @ in_segment
        melody_there = back @ (share @ melody)
        return [
            intervals(melody, bass),
            intervals(melody, upper),
            intervals(melody, everywhere),
            intervals(melody_there, everywhere),
        ]


def shares(segments: Tensor) -> tuple[Tensor, Tensor]:
    """The weights with which cells make the means of segments, [B, segments, cells], and which are used, [B, cells]."""
    count = int(segments.max()) + 1
    belongs = (segments[:, None, :] == torch.arange(count)[None, :, None]).float()
    return belongs / belongs.sum(-1, keepdim=True).clamp(min=1), (segments >= 0).float()


def spread(values: Tensor, count: int) -> Tensor:
    return values[:, None].expand(-1, count, -1)


class Judges(nn.Module):
    """What was learnt from people alone."""

    def __init__(self, width: int = WIDTH):
        super().__init__()
        self.match = Ear((e.BASS, e.CHORDS, e.COUNTER, MELODY_ROW), 1, width=width)
        self.style = Ear((e.BASS, e.CHORDS), len(styles.NAMES), width=width)

    @torch.no_grad()
    def judge(self, heard: Heard) -> tuple[Tensor, Tensor]:
        """Log odds that the accompaniment belongs to the melody, [B, segments], and log chances of the styles, [B,
        segments, styles]."""
        with device.autocast(torch.device("cpu")):
            match, style = self.match(heard), self.style(heard)
        return match[..., 0].float(), style.float().log_softmax(-1)


def people_or_machine() -> Ear:
    """Hears no melody, so that it listens to how one plays; told which style and parts were asked for."""
    return Ear((e.BASS, e.CHORDS, e.COUNTER), 1, told=True)


# Examples


class People:
    """Draws what people played, and what would not fit."""

    def __init__(self, runs: Sequence[Run], bars: int = BARS):
        self.bars, self.rolls = bars, Rolls()
        usable = [r for r in runs if r.bars >= bars and e.CHORDS in r.parts and e.BASS in r.parts]
        self.runs = {s: [r for r in usable if r.source == s] for s in SHARES}
        self.runs = {s: found for s, found in self.runs.items() if found}
        if not self.runs:
            raise TooLittle(f"the data set has no song with bass and chords of {bars} bars or more")
        self.shares = [SHARES[s] for s in self.runs]
        self.weights = {s: np.cumsum([r.bars for r in found]) for s, found in self.runs.items()}

    def place(self, rng: random.Random, source: str | None = None) -> tuple[Run, int]:
        source = source or rng.choices(list(self.runs), self.shares)[0]
        weights = self.weights[source]
        run = self.runs[source][int(np.searchsorted(weights, rng.randrange(weights[-1]), side="right"))]
        return run, rng.randrange(run.bars - self.bars + 1)

    def parts(self, run: Run, rng: random.Random) -> tuple[int, ...]:
        dropped = {e.COUNTER: WITHOUT_COUNTER}
        kept = tuple(p for p in run.parts if rng.random() >= dropped.get(p, WITHOUT_OTHER))
        return kept or run.parts

    def sample(self, run: Run, first: int, parts: Sequence[int], shift: int = 0) -> Sample:
        roll = moved(self.rolls.of(run, first, self.bars), shift)
        roll[[p for p in range(MELODY_ROW) if p not in parts]] = False
        return Sample(roll, run.metre, parts, run.styles[first : first + self.bars].mean(0))

    def example(self, rng: random.Random) -> tuple[Sample, np.ndarray]:
        """What people played to a melody, or in half of the cases something else; and of each segment whether it
        belongs there: 1, 0, or -1 where one cannot say."""
        run, first = self.place(rng)
        parts = self.parts(run, rng)
        sample = self.sample(run, first, parts, rng.randint(-5, 6))
        count = self.bars * len(e.SEGMENTS[run.metre])
        belongs = np.ones(count)
        if rng.random() < 0.5:
            return sample, belongs
        way, cells = rng.random(), cells_of(run.metre)
        changed = slice(0, count)
        if way > 0.75:
            begin = rng.randrange(count)
            changed = slice(begin, min(count, begin + rng.randint(1, 6)))
            way = rng.random() * 0.7
        other, says = self.other(sample, run, first, parts, way, rng)
        there = slice(changed.start * cells, changed.stop * cells)
        sample.roll[:MELODY_ROW, :, there] = other[:MELODY_ROW, :, there]
        belongs[changed] = says[changed]
        return sample, belongs

    def other(self, sample: Sample, run: Run, first: int, parts, way: float, rng) -> tuple[np.ndarray, np.ndarray]:
        """A roll whose accompaniment belongs to something else, and of its segments 0, or -1 where the chord is the
        same."""
        here = run.chords[first : first + self.bars].ravel()
        if way < 0.4 and run.bars >= 2 * self.bars:
            place = rng.randrange(run.bars - self.bars + 1)
            there = run.chords[place : place + self.bars].ravel()
            roll = self.sample(run, place, parts).roll
            shift = self.shift_between(roll, sample.roll)
            return moved(roll, shift), np.where(there == here, -1.0, 0.0)
        if way < 0.65:
            for _ in range(8):
                song, place = self.place(rng, run.source)
                if song.metre == run.metre and song is not run:
                    roll = self.sample(song, place, parts).roll
                    return moved(roll, self.shift_between(roll, sample.roll)), np.zeros(len(here))
        if way < 0.78:
            return moved(sample.roll, rng.choice([-6, -5, -4, -3, -2, -1, 1, 2, 3, 4, 5])), np.zeros(len(here))
        later = rng.choice([4, 8, 12]) if run.metre == 0 else cells_of(run.metre)
        return np.roll(sample.roll, later, 2), np.zeros(len(here))

    def shift_between(self, roll: np.ndarray, like: np.ndarray) -> int:
        """By which its pitch classes come nearest to the other's: into its key."""
        a, b = pitch_classes(roll[:MELODY_ROW, 1]), pitch_classes(like[:MELODY_ROW, 1])
        return max(range(-5, 7), key=lambda s: float(np.roll(a, s) @ b))

    def batch(self, seed: tuple[int, ...], size: int = BATCH) -> tuple[Heard, Tensor]:
        rng = random.Random(hash(seed))
        samples, belongs = zip(*(self.example(rng) for _ in range(size)), strict=True)
        count = max(map(len, belongs))
        padded = np.full((size, count), -1.0, np.float32)
        for row, values in zip(padded, belongs, strict=True):
            row[: len(values)] = values
        return together(samples), torch.from_numpy(padded)


class TooLittle(Exception):
    """Says what the data set lacks."""


# Learning


def losses(judges: Judges, heard: Heard, belongs: Tensor, balance: Tensor) -> tuple[Tensor, dict[str, float]]:
    """Of both judges, and how often each is right, by segments. The style is learnt where nothing was put in its
    place."""
    with device.autocast(torch.device("cpu")):
        match, style = judges.match(heard)[..., 0].float(), judges.style(heard).float()
    known = belongs >= 0
    match_loss = F.binary_cross_entropy_with_logits(match[known], belongs[known])
    whole = ((belongs != 0) & (belongs >= 0)).float() * (heard.style.sum(-1, keepdim=True) > 0)
    target = heard.style[:, None].expand_as(style)
    each = -(target * balance * style.log_softmax(-1)).sum(-1)
    style_loss = (each * whole).sum() / whole.sum().clamp(min=1)
    sure = whole.bool() & (target.amax(-1) >= 0.6)
    right = style.argmax(-1) == target.argmax(-1)
    found = {
        "match": float(((match > 0).float() == belongs)[known].float().mean()),
        "style": float(right[sure].float().mean()),
        "match loss": float(match_loss.detach()),
        "style loss": float(style_loss.detach()),
    }
    return match_loss + 0.5 * style_loss, found


def balance_of(people: People, rounds: int = 400) -> Tensor:
    """Weights that make the styles equal in the loss."""
    rng = random.Random(11)
    mean = np.zeros(len(styles.NAMES))
    for _ in range(rounds):
        run, first = people.place(rng)
        mean += run.styles[first : first + people.bars].mean(0) / rounds
    return torch.from_numpy((1 / np.maximum(mean, 0.02) / len(mean)).astype(np.float32))


def learn(runs: Sequence[Run], minutes: float, steps: int | None = None, seed: int = 3, width: int = WIDTH) -> Judges:
    """Judges taught on the training side; how good they are on the validation side is printed. Raises TooLittle."""
    torch.manual_seed(seed)
    people, held_out = (People([r for r in runs if r.split == side]) for side in ("train", "validation"))
    judges, balance = Judges(width), balance_of(people)
    optimiser = torch.optim.AdamW(judges.parameters(), lr=RATE, weight_decay=0.01)
    started, step = time.monotonic(), 0
    while (done := step / steps if steps else (time.monotonic() - started) / (60 * minutes)) < 1:
        for group in optimiser.param_groups:
            group["lr"] = RATE * min(1, (step + 1) / 30) * max(0.03, min(1, (1 - done) / 0.6))
        loss, _ = losses(judges, *people.batch((seed, step)), balance)
        loss.backward()
        nn.utils.clip_grad_norm_(judges.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        step += 1
        if step % 100 == 0:
            print(step, *(f"{k} {v:.3f}" for k, v in check(judges, held_out, balance, 4).items()), flush=True)
    print(f"{step} steps; on songs not learnt from:", check(judges, held_out, balance, 16), flush=True)
    return judges.eval()


@torch.no_grad()
def check(judges: Judges, people: People, balance: Tensor, batches: int) -> dict[str, float]:
    found = [losses(judges, *people.batch((99, i)), balance)[1] for i in range(batches)]
    return {key: round(float(np.nanmean([f[key] for f in found])), 4) for key in found[0]}


def save(judges: Judges, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(judges.state_dict(), path)


def load(path: Path) -> Judges:
    state = torch.load(path, map_location="cpu", weights_only=True)
    judges = Judges(len(state["match.first.bias"]))
    judges.load_state_dict(state)
    return judges.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="the .pt file to write")
    parser.add_argument("--minutes", type=float, default=11)
    parser.add_argument("--steps", type=int, help="instead of minutes")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    try:
        save(learn(dataset.load(arguments.dataset), arguments.minutes, arguments.steps), arguments.out)
    except TooLittle as problem:
        raise SystemExit(f"reward: {problem}") from None


if __name__ == "__main__":
    main()
