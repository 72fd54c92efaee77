"""Teaches each variant, measures them and writes ablations.md, ablations.json and ablations.png.

python -m obbligato_models.ablations --dataset data/songs.npz --out runs/ablations --minutes 8 --processes 2

A variant whose result is there already is not taught again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
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
    parser.add_argument("--processes", type=int, default=1, help="variants at the same time, a core each")
    parser.add_argument("--only", nargs="+", choices=list(VARIANTS), metavar="NAME", help=" ".join(VARIANTS))
    return parser


PASSED_ON = ("dataset", "out", "minutes", "songs", "seeds")


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


def try_all(
    names: Sequence[str], out: Path, settings: Settings, trial: Callable[[str], bool], processes: int = 1
) -> list[str]:
    """Calls `trial` for each variant that has no result, so many at the same time, and returns those whose trial
    failed."""
    missing = [name for name in names if result_of(out, name, settings) is None]

    def numbered(number: int, name: str) -> bool:
        print(f"{name}: {VARIANTS[name].title} ({number} of {len(missing)})", flush=True)
        return trial(name)

    with ThreadPoolExecutor(processes) as pool:
        worked = list(pool.map(numbered, range(1, len(missing) + 1), missing))
    return [name for name, well in zip(missing, worked, strict=True) if not well]


def main() -> None:
    given = parser().parse_args()
    settings = settings_of(given)

    def trial(name: str) -> bool:
        return subprocess.run(trial_command(name, given)).returncode == 0

    failed = try_all(given.only or list(VARIANTS), given.out, settings, trial, given.processes)
    found = {name: result_of(given.out, name, settings) for name in VARIANTS}
    results = {name: result for name, result in found.items() if result}
    if results:
        songs = songs_of(dataset.load(given.dataset, "validation"), settings.songs)
        table.write(given.out, results, measure_baselines(songs))
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
