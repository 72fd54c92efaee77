"""What a cell's logit must be above, so that each part strikes as often as people do, and sounds as long.

python -m obbligato_models.gan.calibrate --checkpoint runs/gan/iterations/013500.pt --dataset data/songs.npz \\
    --out runs/gan/last.pt

measures these numbers again for a generator as a run kept it, and writes it with them: so any of a run's `iterations/`
can be evaluated and exported.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from .. import dataset, rolls
from .. import encoding as e
from ..dataset import Run
from ..evaluate.answers import Answer
from ..evaluate.excerpts import SONGS, choose
from ..training import write_checkpoint
from . import play
from .model import NOISE, Generator
from .windows import Windows, given_of

SEED = 13
BATCH, BATCHES = 16, 6
ROUNDS = 5
"""Times that the songs are played: thresholds move what is played, and so the bars before what comes next."""
STEP = 0.7
"""Logits for notes that are e times too many or too few; halved for a part where that went too far."""


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


def while_playing(trained: play.Trained, songs: Sequence[Run], rounds: int = ROUNDS) -> list[float]:
    """Thresholds with which whole songs have as many notes a part as people's: what it plays after its own bars may
    become ever denser, or ever thinner."""
    found, steps, before = list(trained.thresholds), [STEP] * len(e.PARTS), np.zeros(len(e.PARTS))
    for number in range(rounds):
        asked = [play.song_of(run, trained.controls, 1000 * number + i) for i, run in enumerate(songs)]
        ratios = notes_beside_people(songs, play.play(play.torch_forward(trained.generator), asked, found))
        away = np.log(np.clip(ratios, 0.1, 10.0))
        for part in range(len(e.PARTS)):
            steps[part] *= 0.5 if away[part] * before[part] < 0 else 1.0
            found[part] += steps[part] * float(away[part])
        before = away
        print(f"notes beside people's, by part: {np.round(ratios, 2)}", flush=True)
    return found


def notes_beside_people(songs: Sequence[Run], answers: Sequence[Answer]) -> np.ndarray:
    """Ratio of notes, of the parts that people play; 1 where they play none."""
    ours, theirs = np.zeros(len(e.PARTS)), np.zeros(len(e.PARTS))
    for run, answer in zip(songs, answers, strict=True):
        for part in run.parts:
            ours[part] += len(answer.rows[part])
            theirs[part] += len(run.notes[part])
    return np.where(theirs > 0, ours / np.maximum(theirs, 1), 1.0)


def songs_to_play(runs: Sequence[Run]) -> list[Run]:
    return choose([r for r in runs if r.split == "train"], SONGS)


def again(checkpoint: Path, runs: Sequence[Run]) -> dict:
    """The checkpoint's content with these numbers measured for it."""
    saved = play.saved_in(checkpoint)
    generator = play.generator_in(saved)
    windows = Windows([r for r in runs if r.split == "train"])
    saved["thresholds"], saved["sustained"] = thresholds(generator, windows), sustained(generator, windows)
    lowered = play.lower(generator, saved["sustained"])
    trained = play.Trained(lowered, saved["thresholds"], saved["controls"], saved["step"])
    saved["thresholds"] = while_playing(trained, songs_to_play(runs))
    return saved


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--dataset", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    write_checkpoint(given.out, again(given.checkpoint, dataset.load(given.dataset)))


if __name__ == "__main__":
    main()
