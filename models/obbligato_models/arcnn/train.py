"""Trains the enhancer for a given time in all, going on from the run's checkpoint where there is one.

python -m obbligato_models.arcnn.train --dataset data/songs.npz --run runs/arcnn --minutes 60

The run's folder gets `last.pt` and `log.csv`; docs/training.md says what the numbers mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .. import dataset, rolls
from ..dataset import Run
from ..training import Ahead, Measures, Session, parser, plan_of, to_the_end
from ..transformer import device
from ..transformer.train import Plan
from .model import ADD, REMOVE, SUSTAIN, Enhancer, Shape
from .windows import Windows

SEED = 17
BATCH = 24
RATE = 2e-3
WEIGHT_DECAY = 1e-2
CLIP = 1.0
SUSTAIN_WEIGHT = 0.1
REMOVE_WEIGHT = 1.0
COLUMNS = ("loss", "add", "remove", "sustain")
VALIDATION_BATCHES = 6


def losses(model: Enhancer, batch: dict[str, Tensor]) -> tuple[Tensor, Measures, Tensor]:
    """Nats a roll for the notes that are missing, and for those that are there; the logits."""
    names = ("melody", "around", "locked", "profile", "clock", "cond")
    with device.autocast(torch.device("cpu")):
        logits = model(*(batch[name] for name in names)).float()
    each = F.binary_cross_entropy_with_logits(logits, batch["answer"], reduction="none")
    there = batch["melody"][:, rolls.ONSET]
    add = (each[:, ADD] * (1 - there)).sum((1, 2)).mean()
    remove = (each[:, REMOVE] * there).sum((1, 2)).mean()
    # The whole roll counts here, so by the tick.
    sustain = each[:, SUSTAIN].sum(2).mean()
    loss = add + REMOVE_WEIGHT * remove + SUSTAIN_WEIGHT * sustain
    return loss, {"add": add.item(), "remove": remove.item(), "sustain": sustain.item()}, logits.detach()


@torch.no_grad()
def validate(model: Enhancer, windows: Windows) -> Measures:
    """Losses on fixed windows of held-out songs; and how well the wrong notes are told from the right (area under the
    ROC curve: .5 is guessing)."""
    model.eval()
    found, scores, wrong = [], [], []
    for number in range(VALIDATION_BATCHES):
        batch = windows.batch(99, number, BATCH)
        _, parts, logits = losses(model, batch)
        there = batch["melody"][:, rolls.ONSET] > 0
        scores.append(logits[:, REMOVE][there].numpy())
        wrong.append(batch["answer"][:, REMOVE][there].numpy() > 0)
        found.append(parts)
    model.train()
    means = {kind: float(np.mean([f[kind] for f in found])) for kind in found[0]}
    return {**means, "wrong notes found": roc_area(np.concatenate(scores), np.concatenate(wrong))}


def roc_area(scores: np.ndarray, positive: np.ndarray) -> float:
    from ..evaluate.intervals import ranks

    count, others = positive.sum(), (~positive).sum()
    if not count or not others:
        return float("nan")
    return float((ranks(scores)[positive].sum() - count * (count + 1) / 2) / (count * others))


class Trainer:
    def __init__(self, runs: Sequence[Run], folder: Path, plan: Plan, shape: Shape):
        torch.manual_seed(SEED)
        self.windows = Windows([r for r in runs if r.split == "train"])
        self.held_out = Windows([r for r in runs if r.split == "validation"])
        self.ahead = Ahead(lambda step: self.windows.batch(SEED, step, BATCH))
        self.model = Enhancer(shape)
        optimiser = torch.optim.AdamW(self.model.parameters(), lr=RATE, betas=(0.9, 0.98), weight_decay=WEIGHT_DECAY)
        networks, optimisers = {"model": self.model}, {"model": [optimiser]}
        self.session = Session(folder, plan, networks, optimisers, COLUMNS, {"shape": asdict(shape)})

    def run(self) -> None:
        for _ in self.session.steps(SEED, lambda step: validate(self.model, self.held_out)):
            loss, parts, _ = losses(self.model, self.ahead.batch(self.session.step))
            self.session.learn("model", loss, CLIP)
            self.session.note({"loss": loss.item(), **parts})


def train(runs: Sequence[Run], folder: Path, plan: Plan, shape: Shape) -> None:
    trainer = Trainer(runs, folder, plan, shape)
    to_the_end(trainer.session, trainer.run)


def main() -> None:
    given = parser(__doc__, minutes=60).parse_args()
    shape = Shape(16) if given.tiny else Shape()
    train(dataset.load(given.dataset), given.run, plan_of(given), shape)


if __name__ == "__main__":
    main()
