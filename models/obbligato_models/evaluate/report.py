"""The gates on paper: gates.md, gates.json, gates.png, and answers to listen to."""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from . import form
from .excerpts import JUDGED
from .measures import MEASURES
from .midi import file_name, write_rows
from .scores import HUMAN, summary, table, tidy
from .trials import JAM, KNOWN, Trials

if TYPE_CHECKING:
    from .gates import Row

LATENCY = "a bar on one thread, p99: ONNX Runtime int8 / tract, ms"
LATENCY_LIMITS = ("≤ 45 / ≤ 250", "≤ 25 / ≤ 120")
MEASURED_BY = "`cargo xtask bench`"
HEARD = (HUMAN, KNOWN, JAM)
EXAMPLES = 10
"""Songs written as .mid files."""
VERDICT_COLOURS = {"aim": "#2a7", "first gate": "#7a3", "missed": "#c43", "not measured": "#999"}


def write(out: Path, trials: Trials, rows: Sequence[Row], sampling: dict, split: str, seeds: int) -> None:
    out.mkdir(parents=True, exist_ok=True)
    result = as_json(trials, rows, sampling, split, seeds)
    (out / "gates.json").write_text(json.dumps(result, indent=1, allow_nan=False) + "\n")
    text = as_markdown(trials, rows, seeds, result)
    (out / "gates.md").write_text(text)
    plot(trials, rows, out / "gates.png")
    write_examples(trials, out / "midi")
    print(text)


def number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3f}"


def as_markdown(trials: Trials, rows: Sequence[Row], seeds: int, result: dict) -> str:
    whole = sum(run.bars == max(r.bars for r in trials.runs) for run in trials.runs)
    sets = ", ".join(f"{count} {name}" for name, count in result["songs by set"].items())
    text = [
        f"{len(trials.runs)} songs ({sets}), {whole} of them with {max(r.bars for r in trials.runs)} bars; {seeds} "
        f"seed(s), running freely; intervals: 95 %, songs drawn anew 1,000 times.",
        "",
        gate_table(rows),
        "",
        *(f"- {row.metric}: {row.remark}" for row in rows if row.remark),
        "",
        f"By mode, the {result['judged songs']} songs of {', '.join(JUDGED)}:",
        "",
        table(result["all"], list(MEASURES)),
        "",
        "By set:",
        "",
        table({f"{s}, {n}": v[n] for s, v in result["by set"].items() for n in (HUMAN, KNOWN, JAM)}, list(MEASURES)),
        "",
        "Styles: recognised in people / in the model, of stretches of eight bars",
        "",
        *(f"- {name}: {v['human']} / {v['model']}" for name, v in result["styles"].items()),
    ]
    return "\n".join(text) + "\n"


def gate_table(rows: Sequence[Row]) -> str:
    lines = [
        "| metric | first gate | aim | human | rule triads | another song, same key | model | verdict |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        limits = (row.bound.words(row.bound.gate), row.bound.words(row.bound.aim))
        sides = (number(v) for v in (row.human, row.rule, row.other))
        model = f"{number(row.model.value)} [{number(row.model.low)}, {number(row.model.high)}]"
        lines.append("| " + " | ".join([row.metric, *limits, *sides, model, row.verdict]) + " |")
    lines.append("| " + " | ".join([LATENCY, *LATENCY_LIMITS, *"––––", MEASURED_BY]) + " |")
    return "\n".join(lines)


def plain(value):
    """For JSON: numbers rounded, what could not be measured as null."""
    if isinstance(value, dict):
        return {key: plain(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, float | np.floating):
        return None if math.isnan(value) else round(float(value), 4)
    return value


def as_json(trials: Trials, rows: Sequence[Row], sampling: dict, split: str, seeds: int) -> dict:
    sources = sorted({run.source for run in trials.runs})
    members = {s: trials.of((s,)) for s in sources}
    judged = trials.of(JUDGED)
    result = {
        "songs": len(trials.runs),
        "judged songs": len(judged),
        "songs by set": {s: len(found) for s, found in members.items()},
        "bars": int(sum(run.bars for run in trials.runs)),
        "split": split,
        "seeds": seeds,
        "sampling": sampling,
        "gates": [
            {
                "metric": row.metric,
                "first gate": row.bound.words(row.bound.gate),
                "aim": row.bound.words(row.bound.aim),
                "human": row.human,
                "rule triads": row.rule,
                "another song": row.other,
                "model": row.model.value,
                "interval": [row.model.low, row.model.high],
                "judged": list(row.judged),
                "verdict": row.verdict,
                "remark": row.remark,
            }
            for row in rows
        ],
        "all": {name: tidy(s.values(judged)) for name, s in trials.scores.items()},
        "by set": {s: {n: tidy(x.values(found)) for n, x in trials.scores.items()} for s, found in members.items()},
        "alike by lag": {name: lags(trials, name).tolist() for name in HEARD},
        "styles": style_table(trials),
        "grammar errors": trials.errors,
    }
    result["summary"] = {**summary(result), "gates": {row.metric: [*row.model, row.verdict] for row in rows}}
    return plain(result)


def style_table(trials: Trials) -> dict[str, dict]:
    """Of each style the share recognised in people and in the model, and as what the model's stretches were heard."""
    found, result = trials.styles, {}
    for name, style in zip(found.names, found.classifier.names, strict=True):
        heard = found.heard[found.asked == style]
        as_what = {n: float((heard == s).mean()) for n, s in zip(found.names, found.classifier.names, strict=True)}
        result[name] = {"human": found.human_recall.get(name, math.nan), "model": as_what[name], "heard as": as_what}
    return result


def lags(trials: Trials, system: str) -> np.ndarray:
    sums = trials.scores[system].sums["alike at 4 bars"][trials.of(JUDGED)].sum(0)
    return np.divide(sums[0], sums[1], out=np.full(form.LAGS, np.nan), where=sums[1] > 0)


def write_examples(trials: Trials, folder: Path) -> None:
    """Some songs as people and as the model play them."""
    folder.mkdir(exist_ok=True)
    chosen = np.unique(np.linspace(0, len(trials.runs) - 1, EXAMPLES).round().astype(int))
    for name in HEARD:
        for song in chosen:
            run, answer = trials.runs[song], trials.examples[name][song]
            write_rows(folder / f"{file_name(run)} ({name}).mid", run, answer.rows)


# The picture


def plot(trials: Trials, rows: Sequence[Row], path: Path) -> None:
    """One strip for each gate: the model with its interval, people, baselines and limits; and bars alike by lag."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    shown = [row for row in rows if not math.isnan(row.model.value)]
    columns = 4
    lines = -(-(len(shown) + 1) // columns)
    figure, axes = pyplot.subplots(lines, columns, figsize=(16, 1.5 * lines))
    for axis in axes.flat[len(shown) + 1 :]:
        axis.set_axis_off()
    for axis, row in zip(axes.flat, shown, strict=False):
        strip(axis, row)
    last = axes.flat[len(shown)]
    for name in HEARD:
        last.plot(range(1, form.LAGS + 1), lags(trials, name), label=name, lw=1)
    last.set_title("bars alike, by lag", fontsize=8)
    last.tick_params(labelsize=7)
    last.legend(fontsize=6)
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=6, fontsize=8)
    figure.tight_layout(rect=(0, 0.02, 1, 1))
    figure.savefig(path, dpi=90)
    pyplot.close(figure)


def strip(axis, row: Row) -> None:
    value, low, high = row.model
    colour = VERDICT_COLOURS[row.verdict.removesuffix(" ?")]
    axis.errorbar([value], [0], xerr=[[value - low], [high - value]], fmt="o", color=colour, label="model, 95 %")
    for side, mark, label in (
        (row.human, "D", "human"),
        (row.rule, "v", "rule triads"),
        (row.other, "x", "another song"),
    ):
        axis.plot([side], [0], mark, color="#333", ms=5, mfc="none", label=label)
    for limit, style, label in ((row.bound.gate, ":", "first gate"), (row.bound.aim, "--", "aim")):
        for place in limit_places(row, limit):
            axis.axvline(place, color="#888", ls=style, lw=1, label=label)
            label = None
    axis.set_yticks([])
    axis.tick_params(labelsize=7)
    axis.set_title("\n".join(textwrap.wrap(f"{row.metric}: {row.verdict}", 60)), fontsize=7)


def limit_places(row: Row, limit: float) -> list[float]:
    """Where a limit stands on the axis of the model's value."""
    if not row.bound.beside_human:
        return [limit]
    return [row.human - limit, row.human + limit] if row.bound.kind == "within" else [row.human + limit]
