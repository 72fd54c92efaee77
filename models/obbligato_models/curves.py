"""Draws the log of a training: each column, and what was measured on held-out songs beside it.

python -m obbligato_models.curves --run runs/arcnn        (writes models/reports/arcnn.png)
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402  (after the choice of a canvas without a screen)

from .transformer.report import HIGHEST, REPORTS, read_log, smooth  # noqa: E402

ASIDE = ("step", "seconds")
WIDE = 3


def draw(log: Path, out: Path) -> None:
    columns, checked = read_log(log)
    minutes = columns["seconds"] / 60
    names = [*(name for name in columns if name not in ASIDE), *(name for name in checked if name not in columns)]
    rows = -(-len(names) // WIDE)
    figure, axes = plt.subplots(rows, WIDE, figsize=(5 * WIDE, 3.4 * rows), sharex=True, squeeze=False)
    for axis, name in zip(axes.flat, names, strict=False):
        if name in columns:
            values = columns[name]
            axis.plot(minutes, values, color="#bbb", lw=0.6)
            axis.plot(minutes, smooth(values, max(1, len(values) // 40)), color="#333", lw=1.4, label="training")
            axis.set_ylim(0, np.nanpercentile(values, HIGHEST) * 1.1)
        if name in checked:
            axis.plot(*checked[name].T, "o-", ms=3, lw=1, color="#1f77b4", label="held-out songs")
            axis.legend(fontsize=8)
        axis.set_title(name, fontsize=10)
        axis.set_xlabel("minutes")
        axis.grid(alpha=0.3)
    for axis in axes.flat[len(names) :]:
        axis.axis("off")
    figure.suptitle(f"{log.parent.name}: {int(columns['step'][-1])} steps, {minutes[-1]:.0f} minutes")
    figure.tight_layout()
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=90)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="folder with log.csv")
    parser.add_argument("--out", type=Path, help="PNG file [default: models/reports/RUN.png]")
    given = parser.parse_args()
    out = given.out or REPORTS / f"{given.run.resolve().name}.png"
    try:
        draw(given.run / "log.csv", out)
    except (OSError, ValueError) as problem:
        raise SystemExit(f"curves: {problem}") from None
    print(out)


if __name__ == "__main__":
    main()
