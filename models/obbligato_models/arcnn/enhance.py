"""Enhances melodies with the network: the program's way in Python, for evaluation.

python -m obbligato_models.arcnn.enhance --checkpoint runs/arcnn/last.pt in.mid out.mid --add 8 --remove 20

The edits are made in a few passes. In each pass the network says of all cells what is missing and what is too many;
the surest edits are made, as many as leave the same number for every pass to come, and the rest is asked again, with
what has changed. What is random is drawn once for each cell, so more passes do not mean more chances.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from .. import encoding as e
from .. import rolls
from ..encoding import Note
from .model import ADD, REMOVE, SUSTAIN, Enhancer, Shape
from .windows import as_line, profile

CELL_NOISE = 0.5
"""How far the creative risk moves a cell, times a logistic number."""
DARING = 3.0
"""Logits by which the creative risk lowers what is enough for a note to come: without it, a melody to which nothing is
missing stays as it is at any risk."""
LONGEST_ROLL = 288
"""Ticks: four bars of 12/8."""
OTHER_ROLL = 192
"""Where four bars are no multiple of `rolls.STEP` or too long; bar lines then fall where they fall."""
SHORTEST = 3
"""Ticks of a new note, where there is room."""

Forward = Callable[..., np.ndarray]


@dataclass(frozen=True)
class Choice:
    """What the user asks for."""

    add: int = 16
    """Notes at most that the result has and the melody had not."""
    remove: float = 20.0
    """Per cent of the melody's notes, at most, that the result has not."""
    iterations: int = 8
    risk: float = 0.5
    """0: only what is likelier than not; the higher, the more comes that the melody does not need."""
    seed: int = 0


@dataclass
class Melody:
    """Any notes, in bars of any length. Starts from the first bar line."""

    notes: list[Note]
    bar_ticks: int = 48
    beat: int = 12
    cond: Callable[[int], np.ndarray] = field(default=lambda bar: e.condition((), bar=bar))
    """Of a bar."""
    locked: frozenset[Note] = frozenset()
    editable: tuple[int, int] | None = None
    """Ticks in which notes may begin or be removed; None: everywhere. What is outside is heard."""

    @property
    def roll_ticks(self) -> int:
        four = rolls.BARS * self.bar_ticks
        return four if four % rolls.STEP == 0 and four <= LONGEST_ROLL else OTHER_ROLL

    @property
    def ticks(self) -> int:
        return max((n.start + n.duration for n in self.notes), default=0)

    @property
    def is_line(self) -> bool:
        """Whether one note is struck at a time."""
        return len({n.start for n in self.notes}) == len(self.notes)

    def may_change(self, tick: int) -> bool:
        return self.editable is None or self.editable[0] <= tick < self.editable[1]


class Edit(NamedTuple):
    strength: float
    note: Note
    added: bool


def enhance(forward: Forward, melody: Melody, choice: Choice | None = None) -> list[Note]:
    """The melody with notes added and removed, sorted. Limits are kept exactly."""
    choice = choice or Choice()
    if not melody.notes or choice.iterations < 1:
        return sorted(melody.notes)
    work = Work(melody, choice)
    for left in range(choice.iterations, 0, -1):
        edits = work.edits(work.logits(forward))
        for edit in edits[: math.ceil(len(edits) / left)]:
            work.make(edit)
    return work.result()


class Work:
    """A melody while it is changed."""

    def __init__(self, melody: Melody, choice: Choice):
        self.melody, self.choice, self.notes = melody, choice, sorted(melody.notes)
        self.before = set(melody.notes)
        self.most_removed = math.floor(min(100.0, max(0.0, choice.remove)) / 100 * len(self.before))
        self.most_added = max(0, choice.add)
        self.ticks = melody.roll_ticks
        self.rolls = sorted({n.start // self.ticks for n in melody.notes})
        """Numbers of the rolls in which somebody plays: where nobody does, nothing is added."""
        self.at = {number: index for index, number in enumerate(self.rolls)}
        drawn = [self.draw(number) for number in self.rolls]
        self.doubt, self.fancy, self.mood = (np.stack(kind) for kind in zip(*drawn, strict=True))
        self.lengths: np.ndarray | None = None

    def draw(self, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What is random in a roll: for each note that might go, each that might come, and each tick."""
        random = np.random.default_rng((self.choice.seed, number))
        risk, cells = self.choice.risk, (self.ticks, rolls.KEYS)
        doubt, fancy = random.logistic(size=cells), random.gumbel(size=cells)
        mood = DARING + CELL_NOISE * random.logistic(size=self.ticks)
        return risk * CELL_NOISE * doubt, risk * fancy, risk * mood

    # What the network hears

    def logits(self, forward: Forward) -> np.ndarray:
        """[rolls, 3, T, 96]"""
        locked = [n for n in self.notes if n in self.melody.locked]
        inputs: dict[str, list[np.ndarray]] = {}
        for number in self.rolls:
            line = number * self.ticks
            held = rolls.write([n._replace(start=n.start - line) for n in locked], self.ticks)
            told = {
                "melody": self.roll(number),
                "around": np.concatenate([self.roll(number - 1), self.roll(number + 1)]),
                "locked": held[rolls.SUSTAIN :],
                "profile": profile(self.notes),
                "clock": self.clock(line),
                "cond": self.melody.cond(line // self.melody.bar_ticks),
            }
            for name, value in told.items():
                inputs.setdefault(name, []).append(value)
        found = forward(**{name: np.stack(values).astype(np.float32) for name, values in inputs.items()})
        self.lengths = found[:, SUSTAIN] > 0
        return found.astype(np.float64)

    def roll(self, index: int) -> np.ndarray:
        line = index * self.ticks
        near = [n for n in self.notes if line - LONGEST_ROLL < n.start < line + self.ticks]
        return rolls.write([n._replace(start=n.start - line) for n in near], self.ticks)

    def clock(self, line: int) -> np.ndarray:
        lines = range(-line % self.melody.bar_ticks, self.ticks, self.melody.bar_ticks)
        after = line + self.ticks < self.melody.ticks
        return rolls.clock_of(self.ticks, lines, self.melody.beat, None if after else 0)

    # What it says

    def edits(self, logits: np.ndarray) -> list[Edit]:
        """All that are likelier than not, the surest first, that may be made. At a tick at most one note is missing: it
        is likely if one of all keys is, and then it is the likeliest of them."""
        removed = logits[:, REMOVE] + self.doubt
        missing = log_odds(logistic(logits[:, ADD]).sum(2)) + self.mood
        keys = (logits[:, ADD] + self.fancy).argmax(2) + rolls.LOWEST_KEY
        found, struck = [], {}
        for note in self.notes:
            roll, tick = divmod(note.start, self.ticks)
            strength = float(removed[self.at[roll], tick, rolls.row(note.key)])
            stays = strength <= 0 or note in self.melody.locked or not self.melody.may_change(note.start)
            struck[note.start] = struck.get(note.start, False) or stays
            if not stays and not (self.melody.is_line and missing[self.at[roll], tick] > 0):
                found.append(Edit(strength, note, False))
        for index, tick in np.argwhere(missing > 0).tolist():
            note = Note(self.rolls[index] * self.ticks + tick, 1, int(keys[index, tick]))
            taken = self.melody.is_line and struck.get(note.start, False)
            if not taken and self.has_room(note.start) and note[:3:2] not in {n[:3:2] for n in self.notes}:
                found.append(Edit(float(missing[index, tick]), note, True))
        return sorted(found, key=lambda edit: (-edit.strength, edit.note))

    def has_room(self, start: int) -> bool:
        """A note may begin there, and no locked one would be cut short."""
        held = any(n.start <= start < n.start + n.duration for n in self.notes if n in self.melody.locked)
        return self.melody.may_change(start) and not (held and self.melody.is_line) and start < self.melody.ticks

    # What is done

    def make(self, edit: Edit) -> None:
        """Unless a limit forbids it, or an edit before it has taken its reason away."""
        if not edit.added:
            if edit.note in self.notes and self.allowed(self.without(edit.note)):
                self.notes = self.without(edit.note)
            return
        struck = [n for n in self.notes if n.start == edit.note.start]
        if self.melody.is_line and struck:
            self.exchange(struck[0], edit.note)
        elif self.allowed([*self.notes, edit.note]):
            self.notes = sorted([*self.notes, self.shaped(edit.note)])

    def exchange(self, old: Note, new: Note) -> None:
        """In a line the new note takes the place of the one that is struck there, with its length and velocity."""
        changed = [*self.without(old), old._replace(key=new.key)]
        if old not in self.melody.locked and self.allowed(changed):
            self.notes = sorted(changed)

    def without(self, note: Note) -> list[Note]:
        return [n for n in self.notes if n != note]

    def allowed(self, notes: Sequence[Note]) -> bool:
        """Compared with the melody by onset and key: a note that is put back was never removed."""
        before, after = ({(n.start, n.key) for n in some} for some in (self.before, notes))
        return len(after - before) <= self.most_added and len(before - after) <= self.most_removed

    def shaped(self, note: Note) -> Note:
        """With a length and a velocity."""
        roll, tick = divmod(note.start, self.ticks)
        silent = np.flatnonzero(~self.lengths[self.at[roll], tick:, rolls.row(note.key)])
        wanted = int(silent[0]) if len(silent) else self.ticks - tick
        later = [n.start for n in self.notes if n.start > note.start]
        room = min(later, default=self.melody.ticks) - note.start
        near = sorted(self.notes, key=lambda n: abs(n.start - note.start))[:2]
        velocity = round(sum(n.velocity for n in near) / len(near)) if near and all(n.velocity for n in near) else 0
        return note._replace(duration=max(1, min(room, max(SHORTEST, wanted))), velocity=velocity)

    def result(self) -> list[Note]:
        return as_line(self.notes) if self.melody.is_line else self.notes


def logistic(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits))


def log_odds(chances: np.ndarray) -> np.ndarray:
    sure = np.clip(chances, 1e-9, 1 - 1e-9)
    return np.log(sure / (1 - sure))


def torch_forward(model: Enhancer) -> Forward:
    def forward(**inputs: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return model(**{name: torch.from_numpy(v) for name, v in inputs.items()}).numpy()

    return forward


def load(checkpoint: Path) -> Enhancer:
    saved = torch.load(checkpoint, map_location="cpu", weights_only=True)
    model = Enhancer(Shape(**saved["shape"]))
    model.load_state_dict(saved["model"])
    return model.eval()


def add_options(parser: argparse.ArgumentParser) -> None:
    """An option for each of `Choice`."""
    for name, value in vars(Choice()).items():
        parser.add_argument(f"--{name}", type=type(value), default=value)


def choice_of(given: argparse.Namespace) -> Choice:
    return Choice(**{name: getattr(given, name) for name in vars(Choice())})


def main() -> None:
    from ..evaluate.midi import melody_named, write_midi
    from ..styles import NAMES

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--style", choices=NAMES)
    add_options(parser)
    parser.add_argument("melody", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    run = melody_named(given.melody)
    weights = np.eye(len(NAMES))[NAMES.index(given.style)] if given.style else ()
    melody = Melody(run.melody, run.ticks, rolls.BEATS[run.metre], lambda b: e.condition(weights, {}, (), run.tempo, b))
    before = {n[:3:2] for n in run.melody}
    run.notes = (*run.notes[:3], enhance(torch_forward(load(given.checkpoint)), melody, choice_of(given)))
    after = {n[:3:2] for n in run.melody}
    write_midi(given.out, run)
    print(f"{len(after - before)} notes added, {len(before - after)} of {len(before)} removed")


if __name__ == "__main__":
    main()
