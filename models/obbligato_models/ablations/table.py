"""The results side by side: ablations.md, ablations.json, ablations.png."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..evaluate.intervals import Estimate, estimate
from ..evaluate.measures import ratio
from .measure import LOSSES, MEASURES, MODES, Measured
from .variants import VARIANTS

BASE = "base"
HEADINGS = {"known": "Melody known", "jam": "Jam"}
PER_BAR = "nats a bar"
PICTURED = (PER_BAR, *(m for m in MEASURES if m not in LOSSES))
MARK = "†"


def write(out: Path, results: Mapping[str, dict], baselines: Mapping[str, Measured]) -> None:
    """`results`: what result.json says, by variant, in the order of the rows."""
    data = {
        "settings": next(iter(results.values()))["settings"],
        "baselines": {name: found.values for name, found in baselines.items()},
        "variants": {name: summary(name, results) for name in results},
    }
    (out / "ablations.json").write_text(json.dumps(data, indent=1) + "\n")
    text = as_markdown(results, baselines)
    (out / "ablations.md").write_text(text)
    plot(results, baselines, out / "ablations.png")
    print(text)


def summary(name: str, results: Mapping[str, dict]) -> dict:
    """A result without its songs, but with the intervals that they give."""
    result, intervals = results[name], {}
    for mode in MODES:
        found = {m: beside_base(results, name, mode, m) for m in MEASURES}
        intervals[mode] = {m: [round(x, 4) for x in interval] for m, interval in found.items() if interval}
    return {
        "title": VARIANTS[name].title,
        "steps": result["steps"],
        "parameters": result["parameters"],
        "values": {mode: result["modes"][mode]["values"] for mode in MODES},
        "beside base": intervals,
    }


def beside_base(results: Mapping[str, dict], name: str, mode: str, measure: str) -> Estimate | None:
    """By how much the variant's value is above the base's, on the same songs; None where that cannot be said."""
    if name == BASE or BASE not in results or f"{mode} {measure}" in VARIANTS[name].other_tokens:
        return None
    sums = [results[n]["modes"][mode]["by_song"].get(measure) for n in (name, BASE)]
    if None in sums:
        return None
    ours, base = (np.array(of_songs) for of_songs in sums)
    found = estimate(lambda drawn: ratio(ours[drawn].sum(0)) - ratio(base[drawn].sum(0)), len(ours))
    return found if np.isfinite(found).all() else None


# On paper


def as_markdown(results: Mapping[str, dict], baselines: Mapping[str, Measured]) -> str:
    first = next(iter(results.values()))
    songs, settings = len(first["modes"]["known"]["by_song"]["fit"]), first["settings"]
    minutes = f"{settings['minutes']:g} minutes of one core's training each"
    taught = "a few steps of tiny networks" if settings["quick"] else minutes
    lines = [
        f"{songs} validation songs, answers to each: {settings['seeds']}; {taught}. Losses in nats.",
        "",
        f"Bold: other songs would hardly (5 %) turn the difference from the base round. {MARK}: counted over other "
        "tokens than the base's; compare nats a bar.",
    ]
    missing = [VARIANTS[name].title for name in VARIANTS if name not in results]
    if missing:
        lines += ["", "Without a result: " + ", ".join(missing) + "."]
    for mode in MODES:
        lines += ["", f"{HEADINGS[mode]}:", "", *rows(mode, results, baselines)]
    return "\n".join(lines) + "\n"


def rows(mode: str, results: Mapping[str, dict], baselines: Mapping[str, Measured]) -> list[str]:
    lines = ["| | steps | " + " | ".join(MEASURES) + " |", "|---" * (len(MEASURES) + 2) + "|"]
    for name, found in baselines.items():
        lines.append(f"| {name} | – | " + " | ".join(number(m, found.values.get(m)) for m in MEASURES) + " |")
    for name, result in results.items():
        cells = " | ".join(cell(results, name, mode, m) for m in MEASURES)
        lines.append(f"| {VARIANTS[name].title} | {result['steps']} | {cells} |")
    return lines


def cell(results: Mapping[str, dict], name: str, mode: str, measure: str) -> str:
    text = number(measure, results[name]["modes"][mode]["values"][measure])
    if f"{mode} {measure}" in VARIANTS[name].other_tokens:
        return f"{text} {MARK}"
    apart = beside_base(results, name, mode, measure)
    return f"**{text}**" if apart and not apart.low <= 0 <= apart.high else text


def number(measure: str, value: float | None) -> str:
    return "–" if value is None else f"{value:.{2 if measure == PER_BAR else 3}f}"


# The picture


def plot(results: Mapping[str, dict], baselines: Mapping[str, Measured], path: Path) -> None:
    """A bar for each variant, the interval of its difference from the base, and lines for people and another song."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(
        len(MODES), len(PICTURED), figsize=(2.4 * len(PICTURED), 1 + 0.55 * len(results) * len(MODES)), sharey=True
    )
    for line, mode in zip(axes, MODES, strict=True):
        for axis, measure in zip(line, PICTURED, strict=True):
            panel(axis, mode, measure, results, baselines)
        line[0].set_ylabel(HEADINGS[mode])
    axes[0, 0].invert_yaxis()
    handles, labels = axes[0, PICTURED.index("fit")].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=len(labels), fontsize=8)
    figure.suptitle("Axes do not begin at 0. Whiskers: how sure the difference from the base is, 95 %", fontsize=9)
    figure.tight_layout(rect=(0, 0.03, 1, 1))
    figure.savefig(path, dpi=90)
    pyplot.close(figure)


def panel(axis, mode: str, measure: str, results: Mapping[str, dict], baselines: Mapping[str, Measured]) -> None:
    names = [VARIANTS[name].title for name in results]
    values = [result["modes"][mode]["values"][measure] for result in results.values()]
    heights = [np.nan if value is None else value for value in values]
    axis.barh(names, heights, color=["#356" if name == BASE else "#6ab" for name in results])
    for place, name in enumerate(results):
        apart = beside_base(results, name, mode, measure)
        if apart:
            reach = [[apart.value - apart.low], [apart.high - apart.value]]
            axis.errorbar([heights[place]], [place], xerr=reach, color="#222", lw=1)
    lines = [(found.values.get(measure), name) for name, found in baselines.items()]
    for (value, name), style in zip(lines, (":", "--"), strict=True):
        if value is not None:
            axis.axvline(value, color="#c43", lw=1, ls=style, label=name)
    axis.set_title(measure, fontsize=9)
    axis.tick_params(labelsize=7)
    everything = [x for x in (*heights, *(value for value, _ in lines if value is not None)) if np.isfinite(x)]
    if everything:
        margin = 0.15 * (max(everything) - min(everything)) or 0.1
        axis.set_xlim(max(0, min(everything) - margin), max(everything) + margin)
