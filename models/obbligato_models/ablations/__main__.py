"""Teaches each variant, one after the other, measures them and writes ablations.md, ablations.json and ablations.png.

python -m obbligato_models.ablations --dataset data/songs.npz --out runs/ablations --minutes 5

A variant whose result is there already is not taught again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from .. import dataset
from . import table
from .measure import measure_baselines
from .trial import RESULT, Settings, add_settings, settings_of, songs_of
from .variants import VARIANTS


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m obbligato_models.ablations",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_settings(parser)
    parser.add_argument("--only", nargs="+", choices=list(VARIANTS), metavar="NAME", help=" ".join(VARIANTS))
    return parser


PASSED_ON = ("dataset", "out", "minutes", "songs", "seeds", "processes")


def trial_command(name: str, given: argparse.Namespace) -> list[str]:
    settings = [f"--{option}={getattr(given, option)}" for option in PASSED_ON]
    quick = ["--quick"] if given.quick else []
    return [sys.executable, "-m", "obbligato_models.ablations.trial", name, *settings, *quick]


def result_of(out: Path, name: str, settings: Settings) -> dict | None:
    """None: there is none yet. Ends the program where it was made with other settings."""
    path = out / name / RESULT
    if not path.exists():
        return None
    result = json.loads(path.read_text())
    if result["settings"] != asdict(settings):
        raise SystemExit(f"{path} was made with other settings, {result['settings']}: take another --out or delete it")
    return result


def try_all(names: Sequence[str], out: Path, settings: Settings, trial: Callable[[str], bool]) -> list[str]:
    """Calls `trial` for each variant that has no result, and returns those whose trial failed."""
    open_ = [name for name in names if result_of(out, name, settings) is None]
    failed = []
    for number, name in enumerate(open_, 1):
        print(f"{name}: {VARIANTS[name].title} ({number} of {len(open_)})", flush=True)
        if not trial(name):
            failed.append(name)
    return failed


def main() -> None:
    given = parser().parse_args()
    settings = settings_of(given)

    def trial(name: str) -> bool:
        return subprocess.run(trial_command(name, given)).returncode == 0

    failed = try_all(given.only or list(VARIANTS), given.out, settings, trial)
    found = {name: result_of(given.out, name, settings) for name in VARIANTS}
    results = {name: result for name, result in found.items() if result}
    if results:
        songs = songs_of(dataset.load(given.dataset, "validation"), settings.songs)
        table.write(given.out, results, measure_baselines(songs))
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
