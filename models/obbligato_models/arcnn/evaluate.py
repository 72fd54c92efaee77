"""Scores the enhancer on melodies of held-out songs that were spoilt on purpose.

python -m obbligato_models.arcnn.evaluate --checkpoint runs/arcnn/last.pt --dataset data/songs.npz \\
    --out runs/arcnn/scores

Off tune: 15 % of the notes moved by a semitone. Gaps: 25 % of the notes removed. Beside the enhancer stand the spoilt
melody as it is, and the rule: each note to the nearest one of the major scale that holds most of the spoilt melody.
Ornaments: what the creative risk adds to the melody as people sing it. Writes scores.json and scores.md.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .. import dataset, rolls
from .. import encoding as e
from ..dataset import Run
from ..encoding import Note
from ..evaluate.bounds import Bound, least
from ..evaluate.excerpts import judged
from ..evaluate.harmony import scale
from ..evaluate.intervals import estimate
from ..evaluate.measures import ratio
from ..evaluate.verdicts import Verdict, as_json, table
from . import enhance
from .enhance import Choice, Forward, Melody
from .windows import Amounts, spoil

OFF_TUNE = 0.15
GAPS = 0.25
RETUNING = Choice(add=10**6, remove=25.0, risk=0.0)
FILLING = Choice(add=10**6, remove=0.0, risk=0.0)
RISKS, ORNAMENTS_A_BAR = (0.0, 0.5, 1.0, 2.0), 2
SPOILT, RULE, ENHANCER = "as it is", "rule: nearest of the scale", "enhancer"
STAY = least(0.90, 0.95)
IN_SCALE = Bound("within", 0.02, 0.01, beside_human=True)


@dataclass(frozen=True)
class Trial:
    """A melody that was spoilt, and what somebody made of it."""

    run: Run
    spoilt: list[Note]
    result: list[Note]

    def sums(self) -> dict[str, np.ndarray]:
        """Each [what counts, of how much]."""
        held_in = scale([n for row in self.run.notes for n in row])
        melodies = self.run.melody, self.spoilt, self.result
        clean, spoilt, result = ({(n.start, n.key) for n in notes} for notes in melodies)
        right, wrong, missing = clean & spoilt, spoilt - clean, clean - spoilt
        time = sum(n.duration for n in self.result)
        return {
            "in scale": np.array([sum(n.duration for n in self.result if n.key % 12 in held_in), time], float),
            "right notes stay": np.array([len(right & result), len(right)], float),
            "wrong notes go": np.array([len(wrong - result), len(wrong)], float),
            "missing notes come": np.array([len(missing & result), len(missing)], float),
            "new notes are right": np.array([len((result - spoilt) & clean), len(result - spoilt)], float),
            "notes": np.array([len(result), len(clean)], float),
        }


def off_tune(run: Run, seed: int) -> list[Note]:
    """As many notes as are due, each a semitone up or down."""
    rng = random.Random(seed)
    chosen = set(rng.sample(range(len(run.melody)), round(OFF_TUNE * len(run.melody))))
    return [n._replace(key=n.key + rng.choice((-1, 1))) if i in chosen else n for i, n in enumerate(run.melody)]


def with_gaps(run: Run, seed: int) -> list[Note]:
    return spoil(run.melody, Amounts(removed=GAPS), random.Random(seed))


def to_scale(notes: Sequence[Note]) -> list[Note]:
    held_in = scale(list(notes))
    nearest = [min(range(-2, 3), key=lambda step, n=n: ((n.key + step) % 12 not in held_in, abs(step))) for n in notes]
    return [n._replace(key=n.key + step) for n, step in zip(notes, nearest, strict=True)]


def enhanced(forward: Forward, run: Run, notes: list[Note], choice: Choice) -> list[Note]:
    style = run.styles.mean(0)
    beat = rolls.BEATS[run.metre]
    melody = Melody(notes, run.ticks, beat, lambda bar: e.condition(style, {}, (), run.tempo, bar))
    return enhance.enhance(forward, melody, choice)


def ornaments(forward: Forward, runs: Sequence[Run], iterations: int, risk: float) -> dict[str, float]:
    """What comes to clean melodies, of which nothing may go."""
    new, fitting, bars = 0, 0, sum(run.bars for run in runs)
    for seed, run in enumerate(runs):
        choice = Choice(ORNAMENTS_A_BAR * run.bars, 0.0, iterations, risk, seed)
        held_in = scale([n for row in run.notes for n in row])
        came = {(n.start, n.key) for n in enhanced(forward, run, run.melody, choice)}
        came -= {(n.start, n.key) for n in run.melody}
        new, fitting = new + len(came), fitting + sum(key % 12 in held_in for _, key in came)
    return {"new notes a bar": round(new / bars, 4), "of them in scale": round(fitting / max(1, new), 4)}


class Scores:
    def __init__(self, trials: Sequence[Trial]):
        each = [trial.sums() for trial in trials]
        self.sums = {name: np.array([sums[name] for sums in each]) for name in each[0]}

    def value(self, name: str, songs: np.ndarray | slice = slice(None)) -> float:
        return ratio(self.sums[name][songs].sum(0))

    def values(self) -> dict[str, float]:
        return {name: round(self.value(name), 4) for name in self.sums}


def evaluate(forward: Forward, runs: Sequence[Run], iterations: int) -> dict:
    retuning, filling = (Choice(**{**vars(c), "iterations": iterations}) for c in (RETUNING, FILLING))
    spoilt = [off_tune(run, seed) for seed, run in enumerate(runs)]
    gaps = [with_gaps(run, seed) for seed, run in enumerate(runs)]
    retuned = [enhanced(forward, run, notes, retuning) for run, notes in zip(runs, spoilt, strict=True)]
    filled = [enhanced(forward, run, notes, filling) for run, notes in zip(runs, gaps, strict=True)]
    ruled = [to_scale(notes) for notes in spoilt]

    def scores(given: Sequence[list[Note]], made: Sequence[list[Note]]) -> Scores:
        return Scores([Trial(*row) for row in zip(runs, given, made, strict=True)])

    tuned = {SPOILT: scores(spoilt, spoilt), RULE: scores(spoilt, ruled), ENHANCER: scores(spoilt, retuned)}
    clean = scores(spoilt, [run.melody for run in runs])
    found = tuned[ENHANCER]
    songs = len(runs)
    verdicts = [
        Verdict("in scale", IN_SCALE, estimate(lambda s: found.value("in scale", s), songs), clean.value("in scale")),
        Verdict("right notes stay", STAY, estimate(lambda s: found.value("right notes stay", s), songs)),
    ]
    return {
        "songs": songs,
        "iterations": iterations,
        "off tune": {"clean": clean.values(), **{name: s.values() for name, s in tuned.items()}},
        "gaps": {SPOILT: scores(gaps, gaps).values(), ENHANCER: scores(gaps, filled).values()},
        "ornaments": {f"risk {risk:g}": ornaments(forward, runs, iterations, risk) for risk in RISKS},
        "verdicts": verdicts,
    }


def write(out: Path, result: dict) -> str:
    rows: list[Verdict] = result.pop("verdicts")
    text = f"{result['songs']} songs, {result['iterations']} passes\n\n{table(rows)}\n"
    for name in ("off tune", "gaps", "ornaments"):
        columns = list(list(result[name].values())[-1])
        lines = [f"| {name} | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
        for system, values in result[name].items():
            lines.append(f"| {system} | " + " | ".join(f"{values[c]:.3f}" for c in columns) + " |")
        text += "\n" + "\n".join(lines) + "\n"
    out.mkdir(parents=True, exist_ok=True)
    summary = {"songs": result["songs"], "split": "validation", "off tune": result["off tune"][ENHANCER]}
    saved = {**result, "gates": as_json(rows), "summary": summary}
    (out / "scores.json").write_text(json.dumps(saved, indent=1) + "\n")
    (out / "scores.md").write_text(text)
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--dataset", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--songs", type=int, help="only so many of each set")
    parser.add_argument("--iterations", type=int, default=Choice().iterations)
    given = parser.parse_args()
    runs = judged(dataset.load(given.dataset, "validation"), given.songs)
    forward = enhance.torch_forward(enhance.load(given.checkpoint))
    print(write(given.out, evaluate(forward, runs, given.iterations)))


if __name__ == "__main__":
    main()
