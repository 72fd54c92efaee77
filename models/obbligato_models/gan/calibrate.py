"""What a cell's logit must be above, so that each part strikes as often as people do, and sounds as long.

python -m obbligato_models.gan.calibrate --checkpoint runs/gan/iterations/013500.pt --dataset data/songs.npz \\
    --out runs/gan/last.pt

measures these numbers again for a generator as a run kept it, and writes it with them: so any of a run's `iterations/`
can be evaluated and exported.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from .. import dataset, rolls
from .. import encoding as e
from ..dataset import Run
from ..encoding import Note
from ..evaluate.answers import Answer
from ..evaluate.excerpts import SONGS, choose
from ..training import write_checkpoint
from . import play
from .model import NOISE, Generator
from .windows import Windows, given_of

SEED = 13
BATCH, BATCHES = 16, 6
ROUNDS = 10
"""Times that the songs are played: thresholds move what is played, and so the bars before what comes next."""
STRIKE_STEP, SUSTAIN_STEP = 0.7, 1.5
"""Logits for notes that are e times too many or too few, or too long or too short; halved for a part where that went
too far."""


@torch.no_grad()
def thresholds(generator: Generator, windows: Windows) -> list[float]:
    """For each part the logit that as many onsets of the generator are above as people strike, with the noise of
    playing at temperature 1 and after bars as people play them."""
    return by_part(generator, windows, rolls.ONSET, play.CELL_NOISE)


@torch.no_grad()
def sustained(generator: Generator, windows: Windows) -> list[float]:
    """For each part the logit that as many sustained cells of the generator are above as people let sound; 0 for the
    pad, whose sustain says the chords."""
    found = by_part(generator, windows, rolls.SUSTAIN, 0.0)
    found[rolls.PAD] = 0.0
    return found


def by_part(generator: Generator, windows: Windows, channel: int, noise: float) -> list[float]:
    logits, wanted = [[] for _ in rolls.PARTS], np.zeros(len(rolls.PARTS))
    random = np.random.default_rng(SEED)
    for number in range(BATCHES):
        batch = windows.batch(SEED + 1, number, BATCH)
        given = given_of(batch)
        found = generator(*given[:4], torch.randn(BATCH, NOISE), given.cond)[:, channel::2].numpy()
        moved = found + noise * random.logistic(size=found.shape)
        for part in range(len(rolls.PARTS)):
            asked = batch["asked"][:, 2 * part].numpy() > 0
            logits[part].append(moved[asked, part].ravel())
            wanted[part] += float(batch["parts"][:, 2 * part + channel].sum())
    return [highest(np.concatenate(values), int(count)) for values, count in zip(logits, wanted, strict=True)]


def highest(values: np.ndarray, count: int) -> float:
    """The value that `count` others are above."""
    if not count or count >= len(values):
        return 0.0
    return float(np.partition(values, -count)[-count])


class Search:
    """Moves the thresholds of one kind until each part has as much as people's."""

    def __init__(self, thresholds: list[float], step: float):
        self.thresholds = thresholds
        self.steps, self.before = [step] * len(e.PARTS), np.zeros(len(e.PARTS))

    def move(self, ratios: np.ndarray) -> None:
        away = np.log(np.clip(ratios, 0.1, 10.0))
        for part in range(len(e.PARTS)):
            self.steps[part] *= 0.5 if away[part] * self.before[part] < 0 else 1.0
            self.thresholds[part] += self.steps[part] * float(away[part])
        self.before = away


def while_playing(trained: play.Trained, songs: Sequence[Run], way: int, rounds: int = ROUNDS) -> None:
    """Moves the thresholds of one of the WAYS until whole songs have as many notes a part as people's, which sound as
    long: what it plays after its own bars may become ever denser, or ever thinner, and a note ends at the first tick
    that is not sustained."""
    jam, chords_given = way >= 2, way % 2 == 1
    forward = play.torch_forward(trained.generator)
    struck = Search(trained.thresholds.onset[way], STRIKE_STEP)
    sounding = Search(trained.thresholds.sustain[way], SUSTAIN_STEP)
    best = [(np.inf, 0.0, 0.0)] * len(e.PARTS)
    for number in range(rounds):
        seeds = (1000 * number + i for i in range(len(songs)))
        asked = [
            play.song_of(run, trained.controls, seed, jam=jam, chords_given=chords_given)
            for run, seed in zip(songs, seeds, strict=True)
        ]
        answers = play.play(forward, asked, trained.thresholds)
        notes, ticks = beside_people(songs, answers, len), beside_people(songs, answers, sounding_ticks)
        # Where fewer notes are struck, fewer sound; what is looked for is how long each does.
        lasting = ticks / np.maximum(notes, 1e-3)
        away = np.abs(np.log(np.maximum([notes, lasting], 1e-3))).sum(0)
        used = zip(away.tolist(), struck.thresholds, sounding.thresholds, strict=False)
        best = [min(one, other) for one, other in zip(best, used, strict=True)]
        struck.move(notes)
        sounding.move(lasting)
        print(f"{play.WAYS[way]}: beside people's, by part: notes {notes.round(2)}, ticks {ticks.round(2)}", flush=True)
    for part, (_, onset, sustain) in enumerate(best):
        struck.thresholds[part], sounding.thresholds[part] = onset, sustain


def sounding_ticks(notes: Sequence[Note]) -> int:
    return sum(note.duration for note in notes)


def beside_people(songs: Sequence[Run], answers: Sequence[Answer], count: Callable[[list[Note]], int]) -> np.ndarray:
    """How much there is of each part, as a ratio, of the parts that people play; 1 where they play none."""
    ours, theirs = np.zeros(len(e.PARTS)), np.zeros(len(e.PARTS))
    for run, answer in zip(songs, answers, strict=True):
        for part in run.parts:
            ours[part] += count(answer.rows[part])
            theirs[part] += count(run.notes[part])
    return np.where(theirs > 0, ours / np.maximum(theirs, 1), 1.0)


def songs_to_play(runs: Sequence[Run]) -> list[Run]:
    return choose([r for r in runs if r.split == "train"], SONGS)


def again(checkpoint: Path, runs: Sequence[Run]) -> dict:
    """The checkpoint's content with these numbers measured for it."""
    saved = play.saved_in(checkpoint)
    generator = play.generator_in(saved)
    windows = Windows([r for r in runs if r.split == "train"])
    saved["thresholds"], saved["sustained"] = thresholds(generator, windows), sustained(generator, windows)
    found = play.everywhere(saved["thresholds"], saved["sustained"])
    trained, songs = play.Trained(generator, found, saved["controls"], saved["step"]), songs_to_play(runs)
    for way in range(len(play.WAYS)):
        while_playing(trained, songs, way)
    return saved | {"while playing": asdict(found)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--dataset", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    write_checkpoint(given.out, again(given.checkpoint, dataset.load(given.dataset)))


if __name__ == "__main__":
    main()
