"""Scores accompaniments: of a checkpoint against the gates or in a table of its modes, or .mid files of any program.

python -m obbligato_models.evaluate gates --checkpoint runs/accompanist/last.pt --dataset data/songs.npz --out gates
python -m obbligato_models.evaluate model --checkpoint runs/accompanist/last.pt --dataset data/songs.npz --out scores
python -m obbligato_models.evaluate export-melodies --dataset data/songs.npz --out melodies
python -m obbligato_models.evaluate midi FOLDER [--melodies melodies] [--dataset data/songs.npz]

models/evaluation.md says what is measured and how to read it.
"""

from __future__ import annotations

import argparse
from dataclasses import fields, replace
from pathlib import Path

from .. import dataset
from ..transformer import sample
from . import gates, midi, scores, trials
from .excerpts import BARS, choose
from .playing import MODES


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m obbligato_models.evaluate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)

    passing = commands.add_parser("gates", help="the table of gates, with intervals")
    passing.add_argument("--checkpoint", type=Path, required=True)
    passing.add_argument("--dataset", type=Path, required=True)
    passing.add_argument(
        "--out", type=Path, required=True, help="folder for gates.json, gates.md, the picture, examples"
    )
    passing.add_argument("--quick", action="store_true", help="a few songs, one seed: to see that it works")
    passing.add_argument("--split", default="validation")
    passing.add_argument("--seeds", type=int, help="how often each song is played [default: 3]")
    passing.add_argument("--processes", type=int, default=1, help="that play at the same time, a core each")
    add_sampling(passing)

    model = commands.add_parser("model", help="a table of the modes")
    model.add_argument("--checkpoint", type=Path, required=True)
    model.add_argument("--dataset", type=Path, required=True)
    model.add_argument("--out", type=Path, required=True, help="folder for scores.json, scores.md and scores.png")
    model.add_argument("--split", default="validation")
    model.add_argument("--songs", type=int, help="only so many of each set")
    model.add_argument("--bars", type=int, default=BARS)
    model.add_argument("--modes", nargs="*", default=list(MODES))
    add_sampling(model)

    melodies = commands.add_parser("export-melodies", help="melodies of validation songs as .mid files")
    melodies.add_argument("--dataset", type=Path, required=True)
    melodies.add_argument("--out", type=Path, required=True)
    melodies.add_argument("--bars", type=int, default=BARS)

    files = commands.add_parser("midi", help="scores of .mid files that any program wrote")
    files.add_argument("folder", type=Path)
    files.add_argument("--melodies", type=Path)
    files.add_argument("--dataset", type=Path)
    files.add_argument("--bars", type=int, default=BARS)
    files.add_argument("--out", type=Path, help="JSON file")
    return parser


def add_sampling(command: argparse.ArgumentParser) -> None:
    """An option for each setting of the sampler (transformer/sample.py)."""
    for field in fields(sample.Choice):
        command.add_argument(f"--{field.name.replace('_', '-')}", type=float, default=field.default)


def choice_of(given: argparse.Namespace) -> sample.Choice:
    return sample.Choice(**{field.name: getattr(given, field.name) for field in fields(sample.Choice)})


def main() -> None:
    given = parser().parse_args()
    if given.command == "gates":
        size = trials.QUICK if given.quick else trials.FULL
        size = replace(size, seeds=given.seeds or size.seeds)
        gates.judge(given.checkpoint, given.dataset, given.out, given.split, size, choice_of(given), given.processes)
    elif given.command == "model":
        scores.score_model(
            given.checkpoint,
            given.dataset,
            given.out,
            given.split,
            given.songs,
            given.bars,
            choice_of(given),
            given.modes,
        )
    elif given.command == "export-melodies":
        midi.export_melodies(choose(dataset.load(given.dataset, "validation"), bars=given.bars), given.out)
    else:
        scores.score_midi(given.folder, given.melodies, given.dataset, given.bars, given.out)


if __name__ == "__main__":
    main()
