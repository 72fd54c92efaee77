"""Draws what a training run's log.csv says, of train.py or posttrain.py.

python -m obbligato_models.transformer.report --run runs/accompanist        (writes models/reports/accompanist.png)
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402  (after the choice of a canvas without a screen)

from ..export import MODELS
from .train import PARTS_OF_LOSS

REPORTS = MODELS / "reports"
HIGHEST = 98
"""Per cent of the values: what lies above, at the very beginning, is cut off."""
TITLES = {
    "loss": "loss (weighted sum)",
    "chords": "chords, nats a token",
    "parts": "notes and ends of the parts, nats a token",
    "loudness": "velocity class, nats a note",
    "coming": "melody of the coming segment, nats",
    "speed": "thousand tokens a second",
}


def read_log(path: Path) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Columns of the log, and of each validation measure [minutes, value]. Raises ValueError where it is no log."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows or "step" not in rows[0] or "validation" not in rows[0]:
        raise ValueError(f"{path} has no lines of training")
    rows = without_lost(rows)
    columns = {name: np.array([float(r[name]) for r in rows]) for name in rows[0] if name != "validation"}
    checked: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        for name, value in measures(row["validation"]).items():
            checked.setdefault(name, []).append((float(row["seconds"]) / 60, value))
    return columns, {name: np.array(values) for name, values in checked.items()}


def without_lost(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Without the lines of steps that a run stopped before saving, and that were done again."""
    kept: list[dict[str, str]] = []
    for row in rows:
        while kept and int(kept[-1]["step"]) >= int(row["step"]):
            kept.pop()
        kept.append(row)
    return kept


def measures(text: str) -> dict[str, float]:
    """`known chords=1.9 jam chords=2.4` as numbers."""
    found, name = {}, []
    for word in text.split():
        label, said, value = word.partition("=")
        name.append(label)
        if said:
            found[" ".join(name)], name = float(value), []
    return found


def smooth(values: np.ndarray, over: int) -> np.ndarray:
    """Mean of the last `over` values."""
    sums = np.concatenate([[0.0], np.nan_to_num(values).cumsum()])
    places = np.arange(1, len(values) + 1)
    first = np.maximum(0, places - over)
    return (sums[places] - sums[first]) / (places - first)


def draw(log: Path, out: Path) -> None:
    columns, checked = read_log(log)
    minutes = columns["seconds"] / 60
    columns["speed"] = columns["tokens a second"] / 1000
    kinds = ["loss", *(kind for kind in PARTS_OF_LOSS if kind in columns), "speed"]
    figure, axes = plt.subplots(2, -(-len(kinds) // 2), figsize=(14, 7), sharex=True)
    for axis, kind in zip(axes.flat, kinds, strict=False):
        values = columns[kind]
        axis.plot(minutes, values, color="#bbb", lw=0.6)
        axis.plot(minutes, smooth(values, max(1, len(values) // 40)), color="#333", lw=1.4, label="training")
        for way, colour in (("known", "#1f77b4"), ("jam", "#d62728")):
            points = checked.get(f"{way} {kind}", np.zeros((0, 2)))
            if points[:, 1].any():
                axis.plot(*points.T, "o-", ms=3, lw=1, color=colour, label=f"held-out songs, {way}")
        axis.set_title(TITLES[kind], fontsize=10)
        axis.set_ylim(0, np.nanpercentile(values, HIGHEST) * 1.1)
        axis.grid(alpha=0.3)
    for axis in axes[-1]:
        axis.set_xlabel("minutes")
    axes[0, 1].legend(fontsize=8)
    figure.suptitle(f"{log.parent.name}: {int(columns['step'][-1])} steps, {minutes[-1]:.0f} minutes")
    figure.tight_layout()
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=90)
    plt.close(figure)


REWARD_TITLES = {
    "match": "match: log odds that it belongs to the melody",
    "fit": "fit: share of melody time that sounds in it",
    "clash": "clash: less than nothing for semitones",
    "people": "people or machine: log odds",
    "style": "style asked for: log chance",
}
"""Columns of posttrain.py's log end with these, after the kind of excerpt."""


def is_by_reward(log: Path) -> bool:
    with log.open(newline="") as file:
        return file.readline().startswith("round,")


def draw_rewards(log: Path, out: Path) -> None:
    """Of a run by reward: each reward by kind of excerpt, and what the ordinary training says. Raises ValueError where
    the log has no lines."""
    with log.open(newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        raise ValueError(f"{log} has no lines of training")
    columns = {name: np.array([float(row[name] or "nan") for row in rows]) for name in rows[0]}
    minutes = columns["seconds"] / 60
    figure, axes = plt.subplots(2, 4, figsize=(17, 7), sharex=True)
    for axis, (reward, title) in zip(axes.flat, REWARD_TITLES.items(), strict=False):
        for name in (n for n in columns if n.endswith(f" {reward}")):
            line = axis.plot(
                minutes, smooth(columns[name], max(1, len(rows) // 6)), lw=1.6, label=name.rsplit(" ", 1)[0]
            )
            axis.plot(minutes, columns[name], ".", ms=3, alpha=0.4, color=line[0].get_color())
        axis.set_title(title, fontsize=10)
    others = (("chords", "parts"), ("drift", "clipped"), ("judge right",))
    for axis, names in zip(axes.flat[len(REWARD_TITLES) :], others, strict=True):
        for name in names:
            axis.plot(minutes, columns[name], lw=1.4, label=name)
        axis.set_title(" and ".join(names), fontsize=10)
        axis.legend(fontsize=8)
    for axis in axes.flat:
        axis.grid(alpha=0.3)
    for axis in axes[-1]:
        axis.set_xlabel("minutes")
    axes[0, 0].legend(fontsize=8)
    figure.suptitle(f"{log.parent.name}: {int(columns['round'][-1])} rounds, {minutes[-1]:.0f} minutes")
    figure.tight_layout()
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=80)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="folder with log.csv")
    parser.add_argument("--out", type=Path, help="PNG file [default: models/reports/RUN.png]")
    arguments = parser.parse_args()
    out = arguments.out or REPORTS / f"{arguments.run.resolve().name}.png"
    try:
        log = arguments.run / "log.csv"
        (draw_rewards if is_by_reward(log) else draw)(log, out)
    except (OSError, ValueError) as problem:
        raise SystemExit(f"report: {problem}") from None
    print(out)


if __name__ == "__main__":
    main()
