"""Carries melodies on with the network: the program's way in Python, for evaluation.

python -m obbligato_models.extend.play --checkpoint runs/extend/last.pt melody.mid out.mid --bars 8 --listen 16
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from .. import encoding as e
from .. import export, storage
from ..encoding import Bar, Note
from ..transformer import sample
from ..transformer.model import Outputs, Shape, Stepper
from .windows import encode

SAMPLINGS = ("nucleus", "top-k", "random")
MOST_TOKENS = 64
"""Of one bar; a bar begins only with so many places of the window free."""
AT_ONCE = 32
"""Tokens that are read in one run, as in the program."""
PHRASES = (8, 4)
"""Bars after which a melody comes back to what it had."""
MOST_RESTS = 2
"""Bars on end in which a melody that is alive may strike nothing: 2 of 968 bars of people were the third of a rest."""
CHORD_COOLNESS = 0.7
"""Times the creative risk: the temperature of the chords."""


@dataclass(frozen=True)
class Choice:
    """What the user asks for."""

    risk: float = 1.0
    """Temperature. 0: always the likeliest."""
    sampling: str = "nucleus"
    top_p: float = 0.95
    top_k: int = 12
    listen: int = 16
    """Bars of what was heard that are listened back to."""
    comes_back: float = 1.0
    """Nats by which what goes on as the bar a phrase before is favoured; chosen on training songs, so that melodies
    come back as often as people's."""
    seed: int = 0


class Ending(NamedTuple):
    """A player who stops within a bar: what was heard of it, and from which tick on it is filled."""

    bar: Bar
    tick: int


@dataclass
class Request:
    """A melody to carry on. `heard`: whole bars; with their chords where these are known."""

    heard: list[Bar]
    bars: int
    """To be written, the one that was stopped in included."""
    cond: Callable[[int], np.ndarray]
    """Of a bar, counted from the first of `heard`."""
    metre: int = 0
    ending: Ending | None = None
    chords: list[list[int]] | None = None
    """Of the bars to be written, where they are given."""

    @property
    def with_chords(self) -> bool:
        return self.chords is not None or (bool(self.heard) and all(bar.chords for bar in self.heard))

    @property
    def voices(self) -> int:
        """How many notes the player strikes together at most."""
        struck: dict[tuple[int, int], int] = {}
        for index, bar in enumerate([*self.heard, *([self.ending.bar] if self.ending else [])]):
            for note in bar.melody:
                if note.start >= 0:
                    struck[index, note.start] = struck.get((index, note.start), 0) + 1
        return max(struck.values(), default=1)


class Reader:
    """Reads tokens one after the other; the network's window holds them all."""

    def __init__(self, run, shape: Shape):
        """`run`: see export.torch_runner and export.onnx_runner."""
        self.run, self.shape = run, shape
        self.past, self.cache = 0, export.empty_cache(shape)

    def read(self, tokens: Sequence[int], cond: np.ndarray) -> Outputs:
        """What the network says after the last."""
        for first in range(0, len(tokens), AT_ONCE):
            ids = list(tokens[first : first + AT_ONCE])
            inputs = export.step_inputs(self.shape, ids, np.tile(cond, (len(ids), 1)), self.past, *self.cache)
            *outputs, new_k, new_v = self.run(inputs)
            for kept, new in zip(self.cache, (new_k, new_v), strict=True):
                kept[..., self.past : self.past + len(ids), :] = new
            self.past += len(ids)
        return Outputs(*(values[0, -1] for values in outputs))


def extend(run, shape: Shape, request: Request, choice: Choice | None = None) -> list[Bar]:
    """The bars that come next, starts from their own bar lines."""
    writer = Writer(run, shape, request, choice or Choice())
    return [writer.bar(index) for index in range(request.bars)]


class Writer:
    def __init__(self, run, shape: Shape, request: Request, choice: Choice):
        self.run, self.shape, self.request, self.choice = run, shape, request, choice
        self.random = np.random.default_rng(choice.seed)
        self.bars = list(request.heard)
        """Heard and written."""
        self.reader: Reader | None = None
        self.line = request.voices == 1

    def listen(self) -> None:
        """Reads the last bars anew, as many as are asked for and fit."""
        first = max(0, len(self.bars) - max(self.choice.listen, len(self.bars) - len(self.request.heard)))
        tokens = [encode(bar, self.request.with_chords) for bar in self.bars]
        while 1 + sum(map(len, tokens[first:])) + 4 * MOST_TOKENS > self.shape.window and first < len(self.bars):
            first += 1
        self.reader = Reader(self.run, self.shape)
        self.reader.read([e.START], self.request.cond(first))
        for index in range(first, len(self.bars)):
            self.reader.read(tokens[index], self.request.cond(index))

    def bar(self, number: int) -> Bar:
        """The next bar; `number` of those to be written."""
        if self.reader is None or self.reader.past + MOST_TOKENS > self.shape.window:
            self.listen()
        request, metre = self.request, self.request.metre
        self.cond = request.cond(len(self.bars))
        ending = request.ending if number == 0 else None
        outputs = self.reader.read([e.BAR + metre], self.cond)
        chords, outputs = self.chords(number, outputs)
        heard = [n for n in ending.bar.melody if 0 <= n.start < ending.tick] if ending else []
        given = e.note_list(heard)
        if given:
            outputs = self.reader.read(given, self.cond)
        notes = self.notes(given, ending.tick if ending else 0, outputs)
        bar = Bar(metre, sorted([*heard, *notes]), chords)
        self.bars.append(bar)
        return Bar(metre, notes, chords)

    def chords(self, number: int, outputs: Outputs) -> tuple[list[int], Outputs]:
        """Those that are given, else the network's own. Where nobody knows any it goes without."""
        if not self.request.with_chords:
            return [], outputs
        given = self.request.chords[number] if self.request.chords else None
        found = []
        for segment in range(len(e.SEGMENTS[self.request.metre])):
            if given is not None:
                token = e.CHORD + given[segment]
            else:
                token = self.draw(outputs.logits, e.allowed_chords(), CHORD_COOLNESS * self.choice.risk)
            outputs = self.reader.read([token], self.cond)
            found.append(token - e.CHORD)
        return found, outputs

    def notes(self, given: list[int], first: int, outputs: Outputs) -> list[Note]:
        """Until the network begins another bar. `given`: tokens of the notes that were heard before tick `first`."""
        metre = self.request.metre
        end, then = e.BAR_TICKS[metre], e.BAR + metre
        # A bass has one note at a position, as a melody that is a line; the others as many as any melody.
        part = e.BASS if self.line else e.COUNTER
        written, velocities = list(given), []
        phrases, strikes = self.a_phrase_before(then), not given and self.has_rested()
        while len(written) < MOST_TOKENS - 4:
            allowed = e.allowed_in_part(part, written, 0, end, then)
            allowed[e.POS : e.POS + first] = False
            if len(written) == len(given):
                # The last note that was heard is not joined by another.
                allowed[e.NOTE :] = False
            allowed[then] &= not strikes or bool(written)
            logits, at = outputs.logits.copy(), len(written)
            logits[[bar[at] for bar in phrases if bar[:at] == written and at < len(bar)]] += self.choice.comes_back
            token = self.draw(logits, allowed, self.choice.risk)
            if token == then:
                break
            outputs = self.reader.read([token], self.cond)
            written.append(token)
            if token >= e.NOTE:
                velocities.append(self.velocity(outputs.loudness))
        new = written[len(given) :]
        if new and new[-1] < e.CHORD:
            new.pop()
        return sample.read_notes(new, velocities)

    def has_rested(self) -> bool:
        """As long as a melody may, and it is still in the ear."""
        struck = [any(n.start >= 0 for n in bar.melody) for bar in self.bars[-self.choice.listen :]]
        return any(struck) and not any(struck[-MOST_RESTS:])

    def a_phrase_before(self, then: int) -> list[list[int]]:
        """The notes of those bars, and what begins the bar after."""
        bars = [self.bars[-bars] for bars in PHRASES if bars <= len(self.bars)]
        return [[*e.note_list(n for n in bar.melody if n.start >= 0), then] for bar in bars]

    def draw(self, logits: np.ndarray, allowed: np.ndarray, temperature: float) -> int:
        choice = self.choice
        if choice.sampling == "top-k":
            allowed = allowed & (logits >= np.sort(logits[allowed])[-min(choice.top_k, allowed.sum())])
        top_p = choice.top_p if choice.sampling == "nucleus" else 1.0
        return sample.pick(logits, allowed, temperature, top_p, self.random)

    def velocity(self, logits: np.ndarray) -> int:
        everything = np.ones(len(logits), bool)
        found = sample.pick(logits, everything, sample.LOUDNESS_TEMPERATURE, sample.TOP_P, self.random)
        return sample.USUAL_VELOCITY + e.LOUDNESS_STEP * (found - e.MEAN_LOUDNESS)


def load(checkpoint: Path) -> Stepper:
    return export.stepper(export.load(checkpoint)[0], storage.FINEST)


def add_options(parser: argparse.ArgumentParser) -> None:
    """An option for each of `Choice`."""
    for name, value in vars(Choice()).items():
        kinds = {"choices": SAMPLINGS} if name == "sampling" else {}
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value, **kinds)


def choice_of(given: argparse.Namespace) -> Choice:
    return Choice(**{name: getattr(given, name) for name in vars(Choice())})


def main() -> None:
    from ..evaluate.midi import melody_named, write_midi
    from ..styles import NAMES

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--bars", type=int, default=8)
    parser.add_argument("--style", choices=NAMES)
    add_options(parser)
    parser.add_argument("melody", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    run = melody_named(given.melody)
    weights = np.eye(len(NAMES))[NAMES.index(given.style)] if given.style else ()
    heard = [Bar(run.metre, run.bar(b, (), False).melody) for b in range(run.bars)]
    request = Request(heard, given.bars, lambda b: e.condition(weights, {}, (), run.tempo, b), run.metre)
    step = load(given.checkpoint)
    torch.set_num_threads(1)
    bars = extend(export.torch_runner(step), step.model.shape, request, choice_of(given))
    for index, bar in enumerate(bars, run.bars):
        run.melody.extend(n._replace(start=n.start + index * run.ticks) for n in bar.melody)
    run.bars += len(bars)
    write_midi(given.out, run)


if __name__ == "__main__":
    main()
