"""Teaches one variant and measures it, in a process of its own; `python -m obbligato_models.ablations` calls it.

The variant's folder gets the training's `last.pt` and `log.csv`, and in the end `result.json`. A training that was
broken off goes on.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from .. import dataset
from ..dataset import Run
from ..evaluate.excerpts import choose
from ..evaluate.trials import spread
from ..transformer import device
from ..transformer.model import Shape
from ..transformer.train import Plan, Spoilt, Trainer
from .measure import measure
from .variants import VARIANTS, Variant

RESULT = "result.json"
SHAPE, QUICK_SHAPE = Shape(192, 4, 4), Shape(32, 1, 2)
QUICK_STEPS, QUICK_COLLECTED = 20, 1


@dataclass(frozen=True)
class Settings:
    """What the variants of one table have in common."""

    minutes: float = 5
    songs: int = 24
    seeds: int = 3
    """Answers to each song."""
    quick: bool = False
    """A tiny network and a few steps, to see that it works."""


def add_settings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dataset", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="a folder for each variant, and the table")
    parser.add_argument("--minutes", type=float, default=Settings.minutes, help="of one core, to train each variant")
    parser.add_argument("--songs", type=int, default=Settings.songs, help="validation songs to measure on")
    parser.add_argument("--seeds", type=int, default=Settings.seeds, help="answers to each song")
    parser.add_argument("--quick", action="store_true", help="a tiny network, a few steps: to see that it works")


def settings_of(given: argparse.Namespace) -> Settings:
    return Settings(given.minutes, given.songs, given.seeds, given.quick)


class Pupil(Trainer):
    """Has so much of a processor's own time, one thread's: what else the machine does then takes nothing from it.
    Leaves no samples: they would take some of the time, and from the faster variants only."""

    clock: float | None = None
    """That of the processor when training began."""

    def seconds(self) -> float:
        if self.clock is None:
            self.clock = time.process_time()
        return self.before + time.process_time() - self.clock

    def play_samples(self) -> None:
        pass


def teach(variant: Variant, runs: Sequence[Run], folder: Path, settings: Settings) -> Trainer:
    """Raises Spoilt."""
    shape, plan, recipe = SHAPE, Plan(settings.minutes), variant.recipe
    if settings.quick:
        shape, plan = QUICK_SHAPE, Plan(settings.minutes, QUICK_STEPS)
        recipe = replace(recipe, collected=min(recipe.collected, QUICK_COLLECTED))
    shape = replace(shape, told=variant.told)
    trainer = Pupil(runs, folder, plan, shape, device.join(), not settings.quick, recipe)
    trainer.run()
    return trainer


def songs_of(runs: Sequence[Run], count: int) -> list[Run]:
    """So many validation songs, the same for every variant. Ends the program where there are none."""
    songs = spread(choose([r for r in runs if r.split == "validation"]), count)
    if not songs:
        raise SystemExit("the data set has no validation songs that are long enough to be judged")
    return songs


def hold(name: str, runs: Sequence[Run], folder: Path, settings: Settings) -> dict:
    """What result.json says."""
    variant, songs = VARIANTS[name], songs_of(runs, settings.songs)
    trainer = teach(variant, runs, folder, settings)
    found = measure(trainer.last, variant.recipe, songs, settings.seeds)
    return {
        "variant": name,
        "settings": asdict(settings),
        "steps": trainer.step,
        "parameters": sum(value.numel() for value in trainer.model.parameters()),
        "modes": {mode: asdict(measured) for mode, measured in found.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("variant", choices=list(VARIANTS))
    add_settings(parser)
    given = parser.parse_args()
    torch.set_num_threads(1)
    folder = given.out / given.variant
    try:
        result = hold(given.variant, dataset.load(given.dataset), folder, settings_of(given))
    except Spoilt as problem:
        raise SystemExit(str(problem)) from None
    part = (folder / RESULT).with_suffix(".part")
    part.write_text(json.dumps(result, indent=1) + "\n")
    part.replace(folder / RESULT)


if __name__ == "__main__":
    main()
