"""Draws how a training of the GAN went: its log, and an animated picture of how its answers to one melody improve.

python -m obbligato_models.gan.report --run runs/gan        (writes models/reports/gan.png and gan.gif)
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import animation  # noqa: E402  (after the choice of a canvas without a screen)
from matplotlib import pyplot as plt  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402

from ..dataset import Run  # noqa: E402
from ..evaluate.classic import PITCHES  # noqa: E402
from ..evaluate.midi import TRACKS, read_melody  # noqa: E402
from ..transformer.report import REPORTS, read_log, smooth  # noqa: E402

LOSSES = (
    ("imitation", "imitation, nats a tick"),
    ("critic", "critic's loss"),
    ("distance", "people's score above the generator's"),
    ("adversarial", "generator's loss with the critic"),
    ("gradient norm", "norm of the critic's gradient (1 is asked)"),
    ("difference", "difference of two answers"),
)
MEASURED = (
    ("empty bars", "empty bars"),
    (PITCHES, "pitch classes, distance from the training songs"),
    ("in scale", "in scale"),
    ("fit", "melody on the accompaniment's pitch classes"),
    ("clash", "semitone clash"),
    ("density overlap", "density, overlap with people"),
)
COLOURS = {"Melody": "#333333", "Bass": "#e4572e", "Chords": "#4c9f70", "Counter": "#2e86ab", "Pad": "#b39ddb"}
SECONDS_A_FRAME = 0.6
LAST_STAYS = 4
"""Frames."""


def draw(run: Path, out: Path) -> None:
    columns, checked = read_log(run / "log.csv")
    line = json.loads((run / "training_line.json").read_text())
    minutes = columns["seconds"] / 60
    figure, axes = plt.subplots(4, 3, figsize=(15, 13), sharex=True)
    for axis, (name, title) in zip(axes.flat, LOSSES, strict=False):
        known = np.isfinite(columns[name])
        axis.plot(minutes[known], columns[name][known], color="#bbb", lw=0.6)
        if known.any():
            over = max(1, known.sum() // 40)
            axis.plot(minutes[known], smooth(columns[name][known], over), color="#333", lw=1.4)
        axis.set_title(title, fontsize=10)
    for axis, (name, title) in zip(axes.flat[len(LOSSES) :], MEASURED, strict=False):
        axis.plot(*checked[name].T, "o-", ms=3, lw=1, color="#1f77b4", label="held-out melodies")
        if name in line:
            axis.axhline(line[name], color="#d62728", lw=1, ls="--", label="people, training songs")
        axis.set_title(title, fontsize=10)
    judged = minutes[np.isfinite(columns["distance"])]
    for axis in axes.flat:
        axis.grid(alpha=0.3)
        if len(judged):
            axis.axvline(judged[0], color="#999", lw=1, ls=":")
    for axis in axes[-1]:
        axis.set_xlabel("minutes (dotted: the critic begins)")
    axes[2, 0].legend(fontsize=8)
    figure.suptitle(f"{run.resolve().name}: {int(columns['step'][-1])} steps, {minutes[-1]:.0f} minutes")
    figure.tight_layout()
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=90)
    plt.close(figure)


# How one melody's answers improve


def steps_of(run: Path) -> dict[str, list[tuple[int, Path]]]:
    """For each melody that was kept, its answers by the step."""
    found: dict[str, list[tuple[int, Path]]] = {}
    for path in sorted((run / "samples").glob("step*.mid")):
        step, song = re.fullmatch(r"step(\d+)-(.+)", path.stem).groups()
        found.setdefault(song, []).append((int(step), path))
    return found


def paint(axis: Axes, song: Run) -> None:
    """A piano roll."""
    rows = (*song.notes[:3], song.pad)
    for name, notes in (("Pad", rows[3]), *zip(TRACKS[:3], rows[:3], strict=True), ("Melody", song.melody)):
        for n in notes:
            axis.broken_barh(
                [(n.start / song.ticks, n.duration / song.ticks)], (n.key - 0.45, 0.9), color=COLOURS[name]
            )
    for bar in range(song.bars + 1):
        axis.axvline(bar, color="#eee", lw=0.8, zorder=0)
    axis.set_ylim(26, 92)
    axis.set_xlim(0, song.bars)


def animate(answers: Sequence[tuple[int, Path]], out: Path) -> None:
    """One frame a step that was kept; `out` is .gif or .png (animated)."""
    songs = [(step, read_melody(path)) for step, path in answers]
    frames = songs + songs[-1:] * LAST_STAYS
    figure, axis = plt.subplots(figsize=(9, 4.2))
    handles = [plt.Rectangle((0, 0), 1, 1, color=COLOURS[name]) for name in COLOURS]

    def frame(index: int) -> None:
        step, song = frames[index]
        axis.clear()
        paint(axis, song)
        axis.set_title(f"step {step}" if step else "untrained", loc="left", fontsize=10)
        axis.legend(handles, COLOURS, loc="upper right", ncols=5, fontsize=7, frameon=False)
        axis.set_xlabel("bars")
        axis.set_ylabel("key")

    out.parent.mkdir(parents=True, exist_ok=True)
    moving = animation.FuncAnimation(figure, frame, frames=len(frames))
    moving.save(out, animation.PillowWriter(fps=1 / SECONDS_A_FRAME), dpi=80)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="folder of gan.train")
    parser.add_argument("--out", type=Path, default=REPORTS, help="folder of the pictures")
    parser.add_argument("--melody", help="of samples/; the first one if it is not named")
    given = parser.parse_args()
    kept = steps_of(given.run)
    if not kept or (given.melody and given.melody not in kept):
        raise SystemExit(f"report: no such melody in {given.run / 'samples'}; there are: {', '.join(kept) or 'none'}")
    try:
        draw(given.run, given.out / "gan.png")
    except (OSError, ValueError) as problem:
        raise SystemExit(f"report: {problem}") from None
    animate(kept[given.melody or next(iter(kept))], given.out / "gan.gif")
    print(given.out / "gan.png", given.out / "gan.gif")


if __name__ == "__main__":
    main()
