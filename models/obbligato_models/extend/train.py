"""Trains the extender for a given time in all, going on from the run's checkpoint where there is one.

python -m obbligato_models.extend.train --dataset data/songs.npz --run runs/extend --minutes 60

The run's folder gets `last.pt` and `log.csv`; docs/training.md says what the numbers mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from .. import dataset
from ..dataset import Run
from ..training import Ahead, Measures, Session, parser, plan_of, to_the_end
from ..transformer import train as accompanist
from ..transformer.model import Shape, Transformer
from ..transformer.train import Plan
from .windows import SHAPE, Windows

SEED = 19
BATCH = 8
CLIP = 1.0
COLUMNS = ("loss", "chords", "melody", "loudness", "coming")
VALIDATION_BATCHES = 6


def losses(model, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, Measures]:
    """The accompanist's, whose parts are here the melody and the ends of its bars."""
    loss, found = accompanist.losses(model, batch)
    return loss, {"melody": found.pop("parts"), **found}


@torch.no_grad()
def validate(model: Transformer, windows: Windows) -> Measures:
    """On fixed windows of held-out songs."""
    found = [losses(model, windows.batch(99, number, BATCH))[1] for number in range(VALIDATION_BATCHES)]
    return {kind: float(np.nanmean([f[kind] for f in found])) for kind in COLUMNS[1:]}


class Trainer:
    def __init__(self, runs: Sequence[Run], folder: Path, plan: Plan, shape: Shape, compiled: bool):
        torch.manual_seed(SEED)
        self.windows = Windows([r for r in runs if r.split == "train"])
        self.held_out = Windows([r for r in runs if r.split == "validation"])
        self.ahead = Ahead(lambda step: self.windows.batch(SEED, step, BATCH))
        self.model = Transformer(shape)
        optimisers = {"model": accompanist.optimisers(self.model)}
        facts = {"shape": asdict(shape)}
        self.session = Session(folder, plan, {"model": self.model}, optimisers, COLUMNS, facts)
        self.forward = torch.compile(self.model) if compiled else self.model

    def run(self) -> None:
        losses(self.forward, self.ahead.batch(self.session.step))[0].backward()  # Compiles before the clock starts.
        for _ in self.session.steps(SEED, lambda step: validate(self.model, self.held_out)):
            loss, parts = losses(self.forward, self.ahead.batch(self.session.step))
            self.session.learn("model", loss, CLIP)
            self.session.note({"loss": loss.item(), **parts})


def train(runs: Sequence[Run], folder: Path, plan: Plan, shape: Shape, compiled: bool = False) -> None:
    trainer = Trainer(runs, folder, plan, shape, compiled)
    to_the_end(trainer.session, trainer.run)


def main() -> None:
    options = parser(__doc__, minutes=60)
    options.add_argument("--no-compile", action="store_true")
    given = options.parse_args()
    shape = Shape(64, 2, 2, told=16) if given.tiny else SHAPE
    train(dataset.load(given.dataset), given.run, plan_of(given), shape, not given.no_compile)


if __name__ == "__main__":
    main()
