"""Plays melodies through the generator as the program does: from its cells to notes. docs/rolls.md describes it.

python -m obbligato_models.gan.play --run runs/gan [--from-iteration 0] melody.mid out.mid
"""

from __future__ import annotations

import argparse
import pickle
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from .. import encoding as e
from .. import rolls
from ..dataset import Run
from ..encoding import Note
from ..evaluate.answers import Answer
from ..evaluate.playing import condition_of
from ..rolls import Place
from .model import NOISE, Generator, Shape
from .windows import window_of

CELL_NOISE = 0.45
"""How far the temperature moves a cell: at 1 / this a cell is struck with the very chance that the network gives it."""
LEAN = 0.5
"""Logits for a key whose pitch class the pad is sure to hold, and against one that it is sure not to."""
NOISE_SPREAD = 0.7
"""Of a song's noise at temperature 1; in training it is 1. One drawing stays for a whole song, and the farther out it
lies, the farther a song lies from people's: seeds played between 7 and 25 notes a bar, with basses half an octave apart
(the truncation trick: Brock et al., Large Scale GAN Training, 2018)."""
SHORTEST = 3
"""Ticks that a note sounds at least, if nothing takes its place: people hardly play shorter ones than a sixteenth."""
EASED = (0.0, 1.0, 2.0, 3.0, 4.0)
"""By how much thresholds are lowered, in logits, until something is struck in a bar in which all would be silent."""
WAYS = ("arranging", "arranging, chords given", "jam", "jam, chords given")
"""Of playing: what is known then is not the same, nor how sure the network is."""

Forward = Callable[..., np.ndarray]
"""From melody, before, chords, clock, noise and cond to logits, as the graph has them."""


@dataclass
class Thresholds:
    """What a cell's logit must be above, in each of the WAYS, for each part."""

    onset: list[list[float]]
    sustain: list[list[float]]


def everywhere(onset: Sequence[float], sustain: Sequence[float] = (0.0,) * len(rolls.PARTS)) -> Thresholds:
    """The same in all ways."""
    return Thresholds([list(onset) for _ in WAYS], [list(sustain) for _ in WAYS])


@dataclass(frozen=True)
class Choice:
    temperature: float = 1.0
    cell_noise: float = CELL_NOISE
    lean: float = LEAN


@dataclass
class Song:
    """A melody to accompany, and what the generator has played to it so far."""

    run: Run
    asked: tuple[int, ...]
    cond: Callable[[int], np.ndarray]
    """Of a bar."""
    jam: bool = False
    """Segment by segment, each before its melody is heard."""
    chords_given: bool = False
    seed: int = 0
    played: list[list[Note]] = field(default_factory=lambda: [[] for _ in rolls.PARTS])
    plan: list[int] = field(default_factory=list)
    """Chords, by segments."""

    def __post_init__(self):
        self.random = np.random.default_rng(self.seed)
        self.noise = self.random.standard_normal(NOISE).astype(np.float32)

    @property
    def way(self) -> int:
        """Which of the WAYS."""
        return 2 * self.jam + self.chords_given

    def lines(self) -> list[tuple[int, int]]:
        """The stretches that are written one after the other, in ticks: bars, or in a jam segments."""
        run = self.run
        each = segments(run) if self.jam else [(0, run.ticks)]
        return [(b * run.ticks + start, b * run.ticks + end) for b in range(run.bars) for start, end in each]

    def inputs(self, line: tuple[int, int], temperature: float) -> dict[str, np.ndarray]:
        """Of the roll that begins with the bar of this stretch. The melody is known up to the stretch, arranging to its
        end; chords that are given, to its end."""
        ticks = self.run.ticks
        first = line[0] // ticks
        end = line[1] - first * ticks
        known = line[0] - first * ticks if self.jam else end
        window = window_of(self.run, Place(first), self.asked, known, self.chords_given)
        window["chords"][:, end:] = 0
        for part, notes in enumerate(self.played):
            ours = window["before"][2 * part : 2 * part + 2]
            ours[:] = 0
            if part == rolls.PAD:
                rolls.add(ours, rolls.pad(self.planned_before(first), self.run.metre))
            else:
                rolls.add(ours, notes, (rolls.BARS - first) * ticks)
        names = ("melody", "before", "chords", "clock")
        noise = temperature * NOISE_SPREAD * self.noise
        return {**{name: window[name] for name in names}, "noise": noise, "cond": self.cond(first)}

    def planned_before(self, first: int) -> list[list[int]]:
        """Chords of the four bars before a bar, by segments."""
        each = len(segments(self.run))
        before = [[e.NO_CHORD] * each] * rolls.BARS + np.reshape(self.plan[: first * each], (-1, each)).tolist()
        return before[-rolls.BARS :]

    def take(self, line: tuple[int, int], logits: np.ndarray, choice: Choice, thresholds: Thresholds) -> None:
        first = line[0] // self.run.ticks * self.run.ticks
        logits = logits.copy()
        logits[rolls.SUSTAIN :: 2] -= np.array(thresholds.sustain[self.way], np.float32)[:, None, None]
        strength = strengths(logits, choice, thresholds.onset[self.way], self.random)
        self.break_silence(strength, logits, line)
        last = self.latest_end(line)
        for part, notes in enumerate(notes_above(strength, logits, self.asked)):
            inside = [n._replace(start=n.start + first) for n in notes if line[0] <= n.start + first < line[1]]
            self.played[part] += [n._replace(duration=min(n.duration, last - n.start)) for n in inside]
            if part in rolls.LINES:
                self.played[part] = as_line(self.played[part])
        labels = rolls.chords_of(logistic(logits[2 * rolls.PAD + rolls.SUSTAIN]), self.run.metre)
        if self.chords_given:
            labels = self.run.chords[first // self.run.ticks :][: rolls.BARS]
        inside = [line[0] <= first + bar * self.run.ticks + start < line[1] for bar, start in places(self.run)]
        self.plan += [chord for chord, wanted in zip(labels.ravel().tolist(), inside, strict=False) if wanted]

    def latest_end(self, line: tuple[int, int]) -> int:
        """Of a note: what was handed out cannot be shortened any more when the next roll knows better. So a note sounds
        into the next segment at most."""
        bar = line[1] // self.run.ticks * self.run.ticks
        return next(bar + end for start, end in segments(self.run) if bar + start >= line[1])

    def break_silence(self, strength: np.ndarray, logits: np.ndarray, line: tuple[int, int]) -> None:
        """Raises bass and chords of a stretch where in the bar that ends with it the melody sounds and no part would. A
        generator goes on from what it has played, so one that falls silent stays so."""
        ticks, raised = self.run.ticks, [part for part in self.asked if part in (e.BASS, e.CHORDS)]
        first, bar = line[0] // ticks * ticks, (line[1] - ticks, line[1])
        heard = [n for n in self.run.melody if not self.jam or n.start < line[0]]
        before = [n for part in self.asked for n in self.played[part]]
        if not raised or not sounds_in(heard, bar) or sounds_in(before, bar):
            return
        free = slice(line[0] - first, line[1] - first)
        drawn = strength[raised, free].copy()
        for eased in EASED:
            strength[raised, free] = drawn + eased
            struck = (n for part in notes_above(strength, logits, self.asked)[: rolls.PAD] for n in part)
            if sounds_in((n._replace(start=n.start + first) for n in struck if n.start + first < line[1]), bar):
                break

    def answer(self) -> Answer:
        """Without the pad, which people did not play: it stands in the plan."""
        return Answer(self.played[: len(e.PARTS)], np.array(self.plan).reshape(self.run.bars, -1))


def segments(run: Run) -> Sequence[tuple[int, int]]:
    return e.SEGMENTS[run.metre]


def places(run: Run) -> list[tuple[int, int]]:
    """Bar and first tick of each segment of a roll."""
    return [(bar, start) for bar in range(rolls.BARS) for start, _ in segments(run)]


def logistic(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits.astype(np.float64)))


def notes_of(
    logits: np.ndarray, asked: Sequence[int], choice: Choice, thresholds: Sequence[float], random: np.random.Generator
) -> list[list[Note]]:
    """Of each part, from logits [8, T, 96]. `thresholds`: one a part, what an onset's logit must be above."""
    return notes_above(strengths(logits, choice, thresholds, random), logits, asked)


def strengths(
    logits: np.ndarray, choice: Choice, thresholds: Sequence[float], random: np.random.Generator
) -> np.ndarray:
    """By how much each cell is above what it is struck at, [4, T, 96]."""
    held = logistic(logits[2 * rolls.PAD + rolls.SUSTAIN, :, rolls.PAD_ROWS])
    lean = choice.lean * np.tile(2 * np.roll(held, (rolls.PAD_LOWEST - rolls.LOWEST_KEY) % 12, 1) - 1, rolls.KEYS // 12)
    found = logits[rolls.ONSET :: 2].astype(np.float64)
    found[: rolls.PAD] += lean
    for part, threshold in enumerate(thresholds):
        moved = choice.temperature * choice.cell_noise * random.logistic(size=found[part].shape)
        found[part] += moved - threshold
    return found


def notes_above(strength: np.ndarray, logits: np.ndarray, asked: Sequence[int]) -> list[list[Note]]:
    """Of each part: what is struck where its strength is above 0."""
    found = []
    for part, most in enumerate(rolls.MOST_STRUCK):
        above, sustain = strength[part], logits[2 * part + rolls.SUSTAIN]
        struck = (above > 0) & (above >= np.partition(above, -most, 1)[:, -most, None])
        if part not in (*asked, rolls.PAD):
            struck[:] = False
        notes = rolls.read(np.stack([struck, sounding(struck, sustain > 0) if part != rolls.PAD else sustain > 0]))
        found.append(as_line(notes) if part in rolls.LINES else notes)
    return found


def sounding(struck: np.ndarray, sustained: np.ndarray) -> np.ndarray:
    """What is sustained, and what was struck less than SHORTEST ticks before."""
    found = sustained.copy()
    for later in range(1, SHORTEST):
        found[later:] |= struck[:-later]
    return found


def sounds_in(notes: Iterable[Note], bar: tuple[int, int]) -> bool:
    return any(n.start < bar[1] and n.start + n.duration > bar[0] for n in notes)


def as_line(notes: list[Note]) -> list[Note]:
    """Each ends where the next is struck."""
    ends = [n.start for n in notes[1:]]
    cut = [n._replace(duration=min(n.duration, end - n.start)) for n, end in zip(notes, ends, strict=False)]
    return cut + notes[-1:]


def play(forward: Forward, songs: Sequence[Song], thresholds: Thresholds, choice: Choice | None = None) -> list[Answer]:
    """Songs of one metre side by side."""
    choice = choice or Choice()
    for metre in range(len(e.METRES)):
        together = [s for s in songs if s.run.metre == metre]
        waiting = [s.lines() for s in together]
        while any(waiting):
            now = [(song, lines.pop(0)) for song, lines in zip(together, waiting, strict=True) if lines]
            inputs = [song.inputs(line, choice.temperature) for song, line in now]
            logits = forward(**{name: np.stack([x[name] for x in inputs]) for name in inputs[0]})
            for (song, line), found in zip(now, logits, strict=True):
                song.take(line, found, choice, thresholds)
    return [song.answer() for song in songs]


def song_of(run: Run, controls: dict | None = None, seed: int = 0, **mode) -> Song:
    """As the plugin asks: style, tempo, parts, the bar's number, and what is usual in the style."""
    from .. import styles

    def cond(bar: int) -> np.ndarray:
        told = condition_of(run, run.parts, bar)
        return styles.with_usual(told, controls) if controls else told

    return Song(run, run.parts, cond, seed=seed, **mode)


def torch_forward(generator: Generator) -> Forward:
    def forward(**inputs: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return generator(**{name: torch.from_numpy(v).float() for name, v in inputs.items()}).numpy()

    return forward


@dataclass
class Trained:
    """A generator and what a checkpoint says of it."""

    generator: Generator
    thresholds: Thresholds
    controls: dict
    step: int


def saved_in(checkpoint: Path) -> dict:
    """What a checkpoint holds. One that is none ends the program in words."""
    if not checkpoint.is_file():
        raise SystemExit(f"there is no file {checkpoint}")
    try:
        saved = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except (OSError, EOFError, RuntimeError, pickle.UnpicklingError):
        saved = None
    if not isinstance(saved, dict) or not {"generator", "shape", "thresholds"} <= saved.keys():
        raise SystemExit(f"{checkpoint} is no checkpoint of gan.train, gan.calibrate or gan.slim")
    return saved


def generator_in(saved: dict) -> Generator:
    """Ready to play."""
    generator = Generator(Shape(**saved["shape"]))
    generator.load_state_dict({name: value.float() for name, value in saved["generator"].items()})
    return generator.eval()


def load(checkpoint: Path) -> Trained:
    saved = saved_in(checkpoint)
    return Trained(generator_in(saved), thresholds_in(saved), saved["controls"], saved["step"])


def thresholds_in(saved: dict) -> Thresholds:
    """Until `calibrate` has measured them while it plays, they are the same in all ways."""
    if "while playing" in saved:
        return Thresholds(**saved["while playing"])
    return everywhere(saved["thresholds"], saved.get("sustained", [0.0] * len(rolls.PARTS)))


def iteration_file(folder: Path, step: int) -> Path:
    return folder / "iterations" / f"{step:06d}.pt"


def checkpoint_of(folder: Path, iteration: int | None) -> Path:
    """Of a run: as it was after so many steps, or the last."""
    path = folder / "last.pt" if iteration is None else iteration_file(folder, iteration)
    if not path.exists():
        kept = ", ".join(str(int(p.stem)) for p in sorted((folder / "iterations").glob("*.pt"))) or "none"
        raise SystemExit(f"{path} is not there; iterations that were kept: {kept}")
    return path


def main() -> None:
    from ..evaluate.midi import melody_named, write_rows
    from ..styles import NAMES

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="folder of gan.train")
    parser.add_argument("--from-iteration", type=int, help="as it was then; 0: untrained [default: as it is now]")
    parser.add_argument("--style", choices=NAMES)
    parser.add_argument("--parts", default="bass chords counter")
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("melody", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    trained = load(checkpoint_of(given.run, given.from_iteration))
    run = melody_named(given.melody)
    run.parts = tuple(e.PARTS.index(p) for p in given.parts.split())
    if given.style:
        run.styles[:, NAMES.index(given.style)] = 1
    song = song_of(run, trained.controls, given.seed)
    play(torch_forward(trained.generator), [song], trained.thresholds, Choice(given.temperature))
    write_rows(given.out, run, song.played)


if __name__ == "__main__":
    main()
