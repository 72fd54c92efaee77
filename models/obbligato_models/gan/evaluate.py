"""Scores the generator on held-out songs against its gates, beside people, rules, and itself before the critic spoke.

python -m obbligato_models.gan.evaluate --run runs/gan --dataset data/songs.npz --out runs/gan/scores

Writes scores.json and scores.md. models/evaluation.md says how to read the measures.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from .. import dataset
from .. import export as shared
from ..dataset import Run
from ..evaluate.answers import Answer
from ..evaluate.bounds import least, most
from ..evaluate.classic import PITCHES, TrainingLine
from ..evaluate.excerpts import judged
from ..evaluate.measures import Scores
from ..evaluate.scores import COLUMNS, HUMAN, baselines, table, tidy
from ..evaluate.verdicts import Verdict, as_json, measured
from ..evaluate.verdicts import table as verdict_table
from . import export, play

MODES = {
    "GAN": {},
    "GAN, chords given": {"chords_given": True},
    "GAN, jam": {"jam": True},
    "GAN, jam, chords given": {"jam": True, "chords_given": True},
}
SUPERVISED = "its supervised start"
KEPT = ("fit", "clash", "consonance", "density overlap", "pitch overlap", "empty bars")
"""What goes into the model file."""
GATES = {
    "fit": least(0.70, 0.75),
    "clash": most(0.035, 0.025),
    "density overlap": least(0.80, 0.88),
    "pitch overlap": least(0.80, 0.88),
    "empty bars": most(0.02, 0.01),
}
MILLISECONDS = most(10, 4)
"""For four bars, in ONNX Runtime on one thread."""
RUNS = 300


def answers_of(trained: play.Trained, runs: Sequence[Run], choice: play.Choice, seed: int, **mode) -> list[Answer]:
    songs = [play.song_of(run, trained.controls, 1000 * seed + i, **mode) for i, run in enumerate(runs)]
    return play.play(play.torch_forward(trained.generator), songs, trained.thresholds, choice)


def p99_milliseconds(weights: Path) -> float:
    """Of a roll of four bars in 4/4."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    graph = shared.with_length(onnx.load(weights), 192, 0)
    session = onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
    inputs, taken = export.cases()[0][1], []
    for _ in range(RUNS):
        started = time.perf_counter()
        session.run(None, inputs)
        taken.append(1000 * (time.perf_counter() - started))
    return float(np.percentile(taken[RUNS // 10 :], 99))


def evaluate(folder: Path, runs: Sequence[Run], training: Sequence[Run], choice: play.Choice, seeds: int) -> dict:
    trained = play.load(folder / "last.pt")
    systems = {name: [answers] for name, answers in baselines(runs).items()}
    for name, mode in MODES.items():
        systems[name] = [answers_of(trained, runs, choice, seed, **mode) for seed in range(seeds)]
    if (folder / "supervised.pt").exists():
        before = play.load(folder / "supervised.pt")
        systems[SUPERVISED] = [answers_of(before, runs, choice, seed) for seed in range(seeds)]
    scores = {name: Scores(runs, answers) for name, answers in systems.items()}
    songs = np.arange(len(runs))
    verdicts = [
        Verdict(name, bound, scores["GAN"].estimate(name, songs), scores[HUMAN].value(name))
        for name, bound in GATES.items()
    ]
    people = judged(training)
    line = TrainingLine(people, baselines(people)[HUMAN])
    return {
        "songs": len(runs),
        "sampling": vars(choice),
        "verdicts": verdicts,
        "all": {name: tidy(s.values()) for name, s in scores.items()},
        "training line": tidy(line.values),
        PITCHES: {name: round(line.measure(runs, answers[0])[PITCHES], 4) for name, answers in systems.items()},
    }


def summary(result: dict) -> dict:
    kept = {name: {k: v[k] and round(v[k], 3) for k in KEPT} for name, v in result["all"].items()}
    return {"songs": result["songs"], "split": "validation", **kept}


def write(out: Path, result: dict) -> str:
    verdicts: list[Verdict] = result.pop("verdicts")
    columns = [c for c in COLUMNS if c != "unique bars"]
    pitches = "\n".join(f"| {name} | {value:.3f} |" for name, value in result[PITCHES].items())
    text = f"{result['songs']} songs\n\n{verdict_table(verdicts)}\n\n{table(result['all'], columns)}\n\n"
    text += f"| | distance of pitch classes from the training songs' |\n|---|---|\n{pitches}\n"
    out.mkdir(parents=True, exist_ok=True)
    saved = {**result, "gates": as_json(verdicts), "summary": summary(result)}
    (out / "scores.json").write_text(json.dumps(saved, indent=1) + "\n")
    (out / "scores.md").write_text(text)
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="folder of gan.train")
    parser.add_argument("--dataset", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--weights", type=Path, help="the exported file, to measure how fast it is")
    parser.add_argument("--songs", type=int, help="only so many of each set")
    parser.add_argument("--seeds", type=int, default=3)
    defaults = play.Choice()
    for name in ("temperature", "cell_noise", "lean"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=float, default=getattr(defaults, name))
    given = parser.parse_args()
    choice = play.Choice(given.temperature, given.cell_noise, given.lean)
    everything = dataset.load(given.dataset)
    runs = judged([r for r in everything if r.split == "validation"], given.songs)
    result = evaluate(given.run, runs, [r for r in everything if r.split == "train"], choice, given.seeds)
    if given.weights:
        taken = measured(p99_milliseconds(given.weights))
        result["verdicts"].append(Verdict("p99 of four bars, ms", MILLISECONDS, taken))
    print(write(given.out, result))


if __name__ == "__main__":
    main()
