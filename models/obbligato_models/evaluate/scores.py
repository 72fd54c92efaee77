"""A table of the model's modes beside people and rules, and of what another program wrote."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from pathlib import Path

from .. import dataset, export
from .. import encoding as e
from ..dataset import MELODY_ROW, Run
from ..transformer import sample
from . import copies, listening
from .answers import Answer, another_song, human, rule_triads
from .excerpts import SONGS, choose
from .measures import Scores
from .midi import file_name, read_melody
from .playing import MODES, Player, model_answers

COLUMNS = (
    "fit",
    "clash",
    "consonance",
    "in scale",
    "chords agree",
    "roots agree",
    "density overlap",
    "pitch overlap",
    "duration overlap",
    "groove overlap",
    "unique bars",
    "empty bars",
    "notes a bar",
)
KEPT = ("fit", "clash", "consonance", "roots agree", "density overlap")
"""What goes into the model file."""
PICTURED = ("fit", "clash", "roots agree", "density overlap")

HUMAN, OTHER, RULE = "human", "another song, same key", "rule: triads under the melody"


def baselines(runs: Sequence[Run]) -> dict[str, list[Answer]]:
    return {
        HUMAN: [human(r) for r in runs],
        OTHER: [another_song(runs, i) for i in range(len(runs))],
        RULE: [rule_triads(r) for r in runs],
    }


def evaluate_model(
    checkpoint: Path, runs: list[Run], training: list[Run], choice: sample.Choice, modes: Sequence[str] = tuple(MODES)
) -> dict:
    player = Player(checkpoint, choice)
    systems = baselines(runs)
    for name in modes:
        started = time.monotonic()
        systems[name] = model_answers(player, runs, **MODES[name])
        print(f"{name}: {time.monotonic() - started:.0f} s", flush=True)
    pop = [i for i, r in enumerate(runs) if r.source == "pop909"]
    scores = {name: Scores(runs, [answers]) for name, answers in systems.items()}
    loss = listening.shift_test(export.load(checkpoint)[0], runs)
    result = {
        "songs": len(runs),
        "bars": int(sum(r.bars for r in runs)),
        "sampling": vars(choice),
        "all": {name: tidy(s.values()) for name, s in scores.items()},
        "pop909": {name: tidy(s.values(pop)) for name, s in scores.items()},
        "shift test": {kind: round(listening.rise(loss, kind), 4) for kind in listening.KINDS},
        "copied counter-melody": copies.shared_phrases(
            training, {n: a for n, a in systems.items() if n in (HUMAN, *MODES)}
        ),
    }
    result["summary"] = summary(result)
    return result


def tidy(values: dict[str, float]) -> dict[str, float | None]:
    """What could not be measured as None, which JSON has a word for."""
    return {key: None if math.isnan(value) else value for key, value in values.items()}


def summary(result: dict) -> dict:
    table = {name: {k: v[k] and round(v[k], 3) for k in KEPT} for name, v in result["all"].items()}
    return {"songs": result["songs"], "split": "validation", **table}


def table(scores: dict[str, dict[str, float | None]], columns: Sequence[str] = COLUMNS) -> str:
    lines = ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name, values in scores.items():
        cells = ["–" if values[c] is None else f"{values[c]:.{1 if c == 'notes a bar' else 3}f}" for c in columns]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def plot(result: dict, path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    names = list(result["all"])
    figure, axes = pyplot.subplots(1, len(PICTURED), figsize=(15, 3.6), sharey=True)
    for axis, measure in zip(axes, PICTURED, strict=True):
        axis.barh(names, [result["all"][n][measure] or 0 for n in names], color="#4a7")
        axis.axvline(result["all"][HUMAN][measure], color="#333", lw=1, ls=":")
        axis.set_title(measure)
    axes[0].invert_yaxis()
    figure.tight_layout()
    figure.savefig(path, dpi=90)


def score_model(
    checkpoint: Path, data: Path, out: Path, split: str, songs: int | None, bars: int, choice: sample.Choice, modes
) -> None:
    """Writes scores.json, scores.md and scores.png. `songs`: at most so many of each set."""
    wanted = {s: w._replace(songs=min(w.songs, songs or w.songs)) for s, w in SONGS.items()}
    everything = dataset.load(data)
    runs = choose([r for r in everything if r.split == split], wanted, bars)
    training = [r for r in everything if r.split == "train"]
    result = evaluate_model(checkpoint, runs, training, choice, modes)
    out.mkdir(parents=True, exist_ok=True)
    (out / "scores.json").write_text(json.dumps(result, indent=1) + "\n")
    text = f"All {result['songs']} songs\n\n{table(result['all'])}\n\npop909\n\n{table(result['pop909'])}\n"
    text += f"\nmelody moved, nats {result['shift test']}\ncopied {result['copied counter-melody']}\n"
    (out / "scores.md").write_text(text)
    plot(result, out / "scores.png")
    print(text)


# Another program


def score_folder(folder: Path, melodies: Path | None, validation: Sequence[Run]) -> dict:
    """Scores .mid files of another program. With the dataset, those named as exported are compared with the human."""
    by_name = {file_name(r): r for r in validation}
    runs, answers, problems = [], [], []
    for path in sorted(folder.glob("*.mid")):
        try:
            played = read_melody(path)
            run = by_name.get(path.stem)
            if run is None:
                run = read_melody(melodies / path.name) if melodies and (melodies / path.name).exists() else played
            if run.metre != played.metre:
                raise ValueError(f"metre is {e.METRES[played.metre]}, the melody's {e.METRES[run.metre]}")
            if not run.melody:
                raise ValueError("no melody: give the folder of melodies")
        except (ValueError, OSError, EOFError) as problem:
            problems.append(f"{path.name}: {problem}")
            continue
        end = run.bars * run.ticks
        rows = [[n for n in row if n.start < end] for row in (*played.notes[:MELODY_ROW], played.pad)]
        runs.append(run)
        answers.append(Answer(rows))
    if not runs:
        raise SystemExit(f"{folder}: no .mid file could be scored. " + "; ".join(problems[:3]))
    result = {"files": len(runs), "problems": problems, "all": {folder.name: tidy(Scores(runs, [answers]).values())}}
    if validation:
        result["all"] = {HUMAN: tidy(Scores(runs, [[human(r) for r in runs]]).values()), **result["all"]}
    return result


def score_midi(folder: Path, melodies: Path | None, data: Path | None, bars: int, out: Path | None) -> None:
    validation = choose(dataset.load(data, "validation"), bars=bars) if data else []
    result = score_folder(folder, melodies, validation)
    print(table(result["all"]), *result["problems"], sep="\n")
    if out:
        out.write_text(json.dumps(result, indent=1) + "\n")
