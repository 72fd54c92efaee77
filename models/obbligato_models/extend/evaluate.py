"""Scores what the extender plays after the melody of held-out songs against what people went on with.

python -m obbligato_models.extend.evaluate --checkpoint runs/extend/last.pt --dataset data/songs.npz \\
    --out runs/extend/scores

It hears sixteen bars and writes eight. Beside it: people's eight bars, the eight bars before again, and the eight bars
of another song moved into the key. Writes scores.json and scores.md.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import torch

from .. import dataset, export
from .. import encoding as e
from ..dataset import Run
from ..encoding import Bar, Note
from ..evaluate import copies, form
from ..evaluate.bounds import Bound, least
from ..evaluate.excerpts import judged
from ..evaluate.harmony import key_of
from ..evaluate.intervals import Estimate, estimate
from ..evaluate.measures import ratio
from ..evaluate.verdicts import Verdict, as_json, measured, table
from . import play

HEARD, WRITTEN = 16, 8
BARS = HEARD + WRITTEN
WIDEST = 12
"""Semitones of the widest interval that is told apart."""
LAGS = (4, 8)
EXTENDER = "extender"
KINDS = ("pitch classes", "intervals", "durations", "contour")
OVERLAP = least(0.85, 0.9)
ALIKE = Bound("within", 0.06, 0.03, beside_human=True)


@dataclass
class Line:
    """A melody whose last eight bars somebody wrote."""

    run: Run
    notes: list[Note]
    """Of all bars, starts from the first bar line."""

    def new(self) -> list[Note]:
        return [n for n in self.notes if n.start >= HEARD * self.run.ticks]

    def tops(self) -> list[Note]:
        """Of the new notes the highest struck at each place, after the last one that was heard."""
        highest: dict[int, Note] = {}
        for note in sorted(self.notes, key=lambda n: n.key):
            highest[note.start] = note
        ordered = [highest[start] for start in sorted(highest)]
        first = next((i for i, n in enumerate(ordered) if n.start >= HEARD * self.run.ticks), len(ordered))
        return ordered[max(0, first - 1) :]


# What is compared: histograms


def pitch_classes(line: Line) -> np.ndarray:
    """From the tonic of the song."""
    tonic = key_of(line.run)[1]
    return np.bincount([(n.key - tonic) % 12 for n in line.new()], minlength=12).astype(float)


def intervals(line: Line) -> np.ndarray:
    steps = np.diff([n.key for n in line.tops()]).clip(-WIDEST, WIDEST).astype(int)
    return np.bincount(steps + WIDEST, minlength=2 * WIDEST + 1).astype(float)


def durations(line: Line) -> np.ndarray:
    classes = [e.duration_class(n.duration) for n in line.new()]
    return np.bincount(classes, minlength=e.DURATION_CLASSES).astype(float)


def contour(line: Line) -> np.ndarray:
    """Three steps in a row, each down, level or up."""
    signs = np.sign(np.diff([n.key for n in line.tops()])).astype(int) + 1
    threes = [9 * a + 3 * b + c for a, b, c in zip(signs, signs[1:], signs[2:], strict=False)]
    return np.bincount(np.array(threes, int), minlength=27).astype(float)


HISTOGRAMS: dict[str, Callable[[Line], np.ndarray]] = dict(
    zip(KINDS, (pitch_classes, intervals, durations, contour), strict=True)
)


def overlap(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Shared area of two histograms."""
    if not ours.sum() or not theirs.sum():
        return float("nan")
    return float(np.minimum(ours / ours.sum(), theirs / theirs.sum()).sum())


def alike(line: Line) -> np.ndarray:
    """[2, lags]: of each new bar and the one so many bars before, how alike they are; see form.self_similarity."""
    found = []
    for lag in LAGS:
        sums = form.self_similarity(line.run, line.notes, slice(HEARD - lag, BARS))
        found.append(sums[:, lag - 1])
    return np.array(found).T


# Who writes


def beginning(run: Run) -> list[Note]:
    return [n for n in run.melody if n.start < HEARD * run.ticks]


def people(runs: Sequence[Run]) -> list[Line]:
    return [Line(run, run.melody) for run in runs]


def again(runs: Sequence[Run]) -> list[Line]:
    """The last eight bars once more."""
    found = []
    for run in runs:
        heard, ticks = beginning(run), WRITTEN * run.ticks
        last = [n._replace(start=n.start + ticks) for n in heard if n.start >= (HEARD - WRITTEN) * run.ticks]
        found.append(Line(run, [*heard, *last]))
    return found


def another_song(runs: Sequence[Run]) -> list[Line]:
    """The same bars of the next song of the metre and mode, in the key."""
    found = []
    for index, run in enumerate(runs):
        others = [*runs[index + 1 :], *runs[:index]]
        mode, tonic = key_of(run)
        same = [r for r in others if r.metre == run.metre]
        other = next((r for r in same if key_of(r)[0] == mode), next(iter(same), run))
        shift = (tonic - key_of(other)[1] + 5) % 12 - 5
        new = [n._replace(key=n.key + shift) for n in other.melody if n.start >= HEARD * run.ticks]
        found.append(Line(run, [*beginning(run), *new]))
    return found


def written(runner, shape, runs: Sequence[Run], choice: play.Choice, seed: int) -> list[Line]:
    """With the chords of what was heard, as the program knows them."""
    found = []
    for index, run in enumerate(runs):
        heard = [Bar(run.metre, run.bar(b, (), False).melody, run.chords[b].tolist()) for b in range(HEARD)]
        request = play.Request(heard, WRITTEN, partial(told, run), run.metre)
        own = play.Choice(**{**vars(choice), "seed": 1000 * seed + index})
        bars = play.extend(runner, shape, request, own)
        notes = [n._replace(start=n.start + b * run.ticks) for b, bar in enumerate(bars, HEARD) for n in bar.melody]
        found.append(Line(run, [*beginning(run), *notes]))
    return found


def told(run: Run, bar: int) -> np.ndarray:
    """The style is that of what was heard."""
    return e.condition(run.styles[:HEARD].mean(0), {}, (), run.tempo, bar)


# Scores


class Scores:
    """Sums of each song, one line a song and seed; seeds are summed within their song."""

    def __init__(self, lines: Sequence[Sequence[Line]], people: Sequence[Line], training: copies.Training):
        songs = range(len(people))
        self.ours = {k: np.array([sum(h(some[i]) for some in lines) for i in songs]) for k, h in HISTOGRAMS.items()}
        self.theirs = {k: np.array([h(people[i]) for i in songs]) for k, h in HISTOGRAMS.items()}
        self.alike = np.array([sum(alike(some[i]) for some in lines) for i in songs])
        rows = [[(i, line.new()) for i, line in enumerate(some) if len(line.new()) > 1] for some in lines]
        played = [copies.Lines(some) for some in rows]
        self.copied = sum(copies.copied(training, some, len(people)) for some in played)
        self.longest = max(copies.longest(training, some) for some in played)
        self.empty = float(np.mean([not line.new() for some in lines for line in some]))

    def overlap(self, kind: str, songs: np.ndarray | slice = slice(None)) -> float:
        return overlap(self.ours[kind][songs].sum(0), self.theirs[kind][songs].sum(0))

    def alike_at(self, lag: int, songs: np.ndarray | slice = slice(None)) -> float:
        return ratio(self.alike[songs].sum(0)[:, LAGS.index(lag)])

    def copied_share(self, songs: np.ndarray | slice = slice(None)) -> float:
        return ratio(self.copied[songs].sum(0))

    def values(self) -> dict[str, float]:
        found = {kind: self.overlap(kind) for kind in KINDS}
        found |= {f"alike at {lag} bars": self.alike_at(lag) for lag in LAGS}
        found |= {"copied": self.copied_share(), "longest run": self.longest[0], "in so many songs": self.longest[1]}
        return {name: round(float(value), 4) for name, value in {**found, "silent": self.empty}.items()}


def verdicts(ours: Scores, human: Scores) -> list[Verdict]:
    songs = len(ours.alike)

    def found(value: Callable[[np.ndarray], float]) -> Estimate:
        return estimate(value, songs)

    rows = [Verdict(f"{kind}, overlap", OVERLAP, found(partial(ours.overlap, kind))) for kind in KINDS]
    for lag in LAGS:
        rows.append(Verdict(f"alike at {lag} bars", ALIKE, found(partial(ours.alike_at, lag)), human.alike_at(lag)))
    most = found(human.copied_share).high
    copied = Bound("at most", most, human.copied_share())
    rows.append(Verdict("notes in copied runs", copied, found(ours.copied_share), human.copied_share()))
    return [*rows, Verdict("melodies without a note", Bound("at most", 0.02, 0.0), measured(ours.empty))]


def songs_of(runs: Sequence[Run], few: int | None = None) -> list[Run]:
    """Long enough, and sung or played in the bars that are to be written too."""
    chosen = judged(runs, few, BARS)
    long_enough = [r for r in chosen if r.bars == BARS]
    return [r for r in long_enough if sum(n.start >= HEARD * r.ticks for n in r.melody) >= WRITTEN]


def evaluate(runner, shape, runs: Sequence[Run], training: Sequence[Run], choice: play.Choice, seeds: int) -> dict:
    known = copies.Training(training)
    human = people(runs)
    systems = {
        "people": [human],
        "the last bars again": [again(runs)],
        "another song, same key": [another_song(runs)],
        EXTENDER: [written(runner, shape, runs, choice, seed) for seed in range(seeds)],
    }
    scores = {name: Scores(lines, human, known) for name, lines in systems.items()}
    return {
        "songs": len(runs),
        "sampling": vars(choice),
        "all": {name: s.values() for name, s in scores.items()},
        "verdicts": verdicts(scores[EXTENDER], scores["people"]),
    }


def write(out: Path, result: dict) -> str:
    rows: list[Verdict] = result.pop("verdicts")
    columns = list(result["all"][EXTENDER])
    lines = ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name, values in result["all"].items():
        lines.append(f"| {name} | " + " | ".join(f"{values[c]:.3g}" for c in columns) + " |")
    text = f"{result['songs']} songs\n\n{table(rows)}\n\n" + "\n".join(lines) + "\n"
    out.mkdir(parents=True, exist_ok=True)
    summary = {"songs": result["songs"], "split": result["split"], **result["all"]}
    saved = {**result, "gates": as_json(rows), "summary": summary}
    (out / "scores.json").write_text(json.dumps(saved, indent=1) + "\n")
    (out / "scores.md").write_text(text)
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--checkpoint", type=Path)
    which.add_argument("--weights", type=Path, help="the exported file")
    parser.add_argument("--dataset", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--split", choices=("train", "validation", "test"), default="validation")
    parser.add_argument("--songs", type=int, help="only so many of each set")
    parser.add_argument("--seeds", type=int, default=3)
    play.add_options(parser)
    given = parser.parse_args()
    file = given.weights or given.checkpoint
    if not file.is_file():
        raise SystemExit(f"evaluate: there is no file {file}")
    everything = dataset.load(given.dataset)
    runs = songs_of([r for r in everything if r.split == given.split], given.songs)
    torch.set_num_threads(1)
    training = [r for r in everything if r.split == "train"]
    if given.weights:
        graph = onnx.load(given.weights)
        runner, shape = export.onnx_runner(graph), export.shape_of(graph)
    else:
        step = play.load(given.checkpoint)
        runner, shape = export.torch_runner(step), step.model.shape
    result = evaluate(runner, shape, runs, training, play.choice_of(given), given.seeds)
    print(write(given.out, {**result, "split": given.split}))


if __name__ == "__main__":
    main()
