"""Scores accompaniments by what is heard, with the model running freely on songs it has not seen.

python -m obbligato_models.evaluate model --checkpoint runs/accompanist/last.pt --dataset data/songs.npz --out scores
python -m obbligato_models.evaluate export-melodies --dataset data/songs.npz --out melodies
python -m obbligato_models.evaluate midi FOLDER [--melodies melodies] [--dataset data/songs.npz]

Definitions (all over bars 5 to the end of each excerpt, pooled over songs):

fit           share of melody time whose pitch class sounds somewhere in the accompaniment (all parts) of that segment
clash         share of melody time in which an accompaniment note a semitone away sounds at the same time
in scale      share of accompaniment time on the seven-note scale that holds most of the human song
chords agree  share of segments whose chord, read from the accompaniment's notes, is the human's label
... overlap   shared area of the model's and the human's histograms: onsets a bar, keys, durations; mean over parts
empty bars    share of bars in which nothing is struck
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import mido
import numpy as np
import torch

from . import chords, dataset
from . import encoding as e
from .dataset import MELODY_ROW, Run
from .encoding import Bar, Note

SONGS = {"pop909": 32, "lieder": 8, "open_hymnal": 5, "bach_chorales": 2}
BARS = 24
FIRST_SCORED = 4
TRACKS = ("Bass", "Chords", "Counter", "Pad")


@dataclass
class Answer:
    """An accompaniment: notes of bass, chords, counter (and pad), starts from the excerpt's first bar line."""

    rows: list[list[Note]]

    @property
    def notes(self) -> list[Note]:
        return [n for row in self.rows for n in row]


# Excerpts


def excerpt(run: Run, bars: int = BARS) -> Run:
    """The stretch of a run with the most bars in which the melody is struck, earliest first."""
    bars = min(bars, run.bars)
    struck = np.array([any(n.start >= 0 for n in notes) for notes in run.by_bar()[MELODY_ROW]], int)
    sums = np.concatenate([[0], struck.cumsum()])
    first = int((sums[bars:] - sums[:-bars]).argmax())
    line, end = first * run.ticks, (first + bars) * run.ticks
    rows = tuple([Note(n.start - line, n.duration, n.key) for n in row if line <= n.start < end] for row in run.notes)
    part = slice(first, first + bars)
    parts = tuple(p for p in run.parts if rows[p])
    return Run(
        run.song, run.source, run.metre, bars, run.tempo, parts, rows, run.chords[part], run.styles[part], run.split
    )


def choose(runs: list[Run], songs: dict[str, int] = SONGS, bars: int = BARS) -> list[Run]:
    """One excerpt a song, its longest run; songs in an order that their names decide."""
    chosen = []
    for source, count in songs.items():
        longest: dict[str, Run] = {}
        for run in runs:
            if run.source == source and run.bars > longest.get(run.song, run).bars - 1 and run.bars >= 12:
                longest[run.song] = run
        names = sorted(longest)
        random.Random(5).shuffle(names)
        excerpts = [excerpt(longest[name], bars) for name in names]
        chosen += [x for x in excerpts if x.parts and len(x.melody) >= x.bars][:count]
    return chosen


# What is measured


def grid(notes: Sequence[Note], ticks: int, classes: int) -> np.ndarray:
    """bool [ticks, classes]: 12 for pitch classes, 128 for keys."""
    cells = np.zeros((ticks, classes), bool)
    for note in notes:
        cells[max(0, note.start) : note.start + max(1, note.duration), note.key % classes] = True
    return cells


def in_segments(cells: np.ndarray, metre: int) -> np.ndarray:
    """What sounds anywhere in a segment, at each of its ticks."""
    size = e.SEGMENTS[metre][0][1]
    return cells.reshape(-1, size, cells.shape[1]).any(1).repeat(size, 0)


def fit_and_clash(melody: Sequence[Note], answer: Sequence[Note], metre: int, bars: int, first: int = 0) -> np.ndarray:
    """[melody ticks that fit, that clash, melody ticks], over bars from `first` on."""
    ticks = bars * e.BAR_TICKS[metre]
    since = first * e.BAR_TICKS[metre]
    melody_classes, answer_classes = grid(melody, ticks, 12), in_segments(grid(answer, ticks, 12), metre)
    melody_keys, keys = grid(melody, ticks, 128), grid(answer, ticks, 128)
    beside = np.zeros_like(keys)
    beside[:, 1:] |= keys[:, :-1]
    beside[:, :-1] |= keys[:, 1:]
    fits = (melody_classes & answer_classes)[since:].sum() / max(1, melody_classes[since:].sum())
    clashes = (melody_keys & beside)[since:].sum() / max(1, melody_keys[since:].sum())
    heard = melody_keys[since:].sum()
    return np.array([fits * heard, clashes * heard, heard], float)


def scale(notes: Sequence[Note]) -> set[int]:
    weights = chords.sounding(notes, 0, 10**9)
    major = (0, 2, 4, 5, 7, 9, 11)
    tonic = max(range(12), key=lambda t: sum(weights[(t + i) % 12] for i in major))
    return {(tonic + i) % 12 for i in major}


def read_chords(notes: Sequence[Note], metre: int, bars: int) -> np.ndarray:
    return np.array(dataset.segment_chords([], sorted(notes), None, metre, bars))


def histograms(run: Run, rows: Sequence[Sequence[Note]]) -> dict[tuple[str, int], np.ndarray]:
    found = {}
    for part in run.parts:
        notes = [n for n in rows[part] if n.start >= FIRST_SCORED * run.ticks] if part < len(rows) else []
        onsets = np.bincount([t // run.ticks for t in {n.start for n in notes}], minlength=run.bars)[
            FIRST_SCORED : run.bars
        ]
        per_quarter = (onsets * e.GRID * 2 / run.ticks).round().astype(int)
        found["density", part] = np.bincount(per_quarter.clip(0, 12), minlength=13).astype(float)
        found["pitch", part] = np.bincount([n.key for n in notes], minlength=128).astype(float)
        found["duration", part] = np.bincount([e.duration_class(n.duration) for n in notes], minlength=15).astype(float)
    return found


def overlap(human: dict, model: dict, what: str) -> float:
    shared = []
    for key, expected in human.items():
        if key[0] == what and expected.sum():
            total = model[key].sum()
            shared.append(np.minimum(expected / expected.sum(), model[key] / total).sum() if total else 0.0)
    return float(np.mean(shared)) if shared else 0.0


def score(runs: Sequence[Run], answers: Sequence[Answer], first: int = FIRST_SCORED) -> dict[str, float]:
    """Pooled over songs. `runs` hold the melodies and what the human played."""
    heard, inside, empty, notes, bars = np.zeros(3), np.zeros(2), 0, 0, 0
    agree: list[bool] = []
    human_sums: dict = {}
    model_sums: dict = {}
    for run, answer in zip(runs, answers, strict=True):
        heard += fit_and_clash(run.melody, answer.notes, run.metre, run.bars, first)
        since = [n for n in answer.notes if first * run.ticks <= n.start < run.bars * run.ticks]
        human = [n for row in run.notes for n in row]
        held_in = scale(human)
        inside += [sum(n.duration for n in since if n.key % 12 in held_in), sum(n.duration for n in since)]
        struck = {n.start // run.ticks for n in since}
        empty += run.bars - first - len(struck)
        notes += len(since)
        bars += run.bars - first
        if run.parts:
            read = read_chords(answer.notes, run.metre, run.bars)[first:]
            labels = run.chords[first:]
            agree += (read == labels)[labels != e.NO_CHORD].tolist()
            for sums, rows in ((human_sums, run.notes), (model_sums, answer.rows)):
                for key, values in histograms(run, rows).items():
                    sums[key] = sums.get(key, 0) + values
    result = {
        "fit": heard[0] / max(1, heard[2]),
        "clash": heard[1] / max(1, heard[2]),
        "in scale": inside[0] / max(1, inside[1]),
        "chords agree": float(np.mean(agree)) if agree else 0.0,
        "density overlap": overlap(human_sums, model_sums, "density"),
        "pitch overlap": overlap(human_sums, model_sums, "pitch"),
        "duration overlap": overlap(human_sums, model_sums, "duration"),
        "empty bars": empty / max(1, bars),
        "notes a bar": notes / max(1, bars),
    }
    return {key: round(float(value), 4) for key, value in result.items()}


# Accompaniments to compare


def human(run: Run) -> Answer:
    return Answer([list(row) for row in run.notes[:MELODY_ROW]])


def rule_triads(run: Run) -> Answer:
    """The best-fitting triad of each segment's own melody, held."""
    bass, upper, before = [], [], 0
    for bar in range(run.bars):
        for start, end in e.SEGMENTS[run.metre]:
            line = bar * run.ticks
            before = chords.triad_under(run.melody, line + start, line + end, before)
            root, *rest = e.chord_pitch_classes(before)
            bass.append(Note(line + start, end - start, 36 + root))
            upper += [Note(line + start, end - start, 52 + (p - 4) % 12) for p in (root, *rest)]
    return Answer([bass, upper, []])


_PROFILES = {
    "major": (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88),
    "minor": (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17),
}


def key_of(run: Run) -> tuple[str, int]:
    """Mode and tonic by Krumhansl's profiles."""
    weights = chords.sounding([n for row in run.notes for n in row], 0, run.bars * run.ticks)
    chances = {
        (mode, tonic): np.corrcoef(weights, np.roll(profile, tonic))[0, 1]
        for mode, profile in _PROFILES.items()
        for tonic in range(12)
    }
    return max(chances, key=chances.get)


def another_song(runs: Sequence[Run], index: int) -> Answer:
    """The human accompaniment of some other excerpt of the same metre and mode, moved into the same key."""
    run, (mode, tonic) = runs[index], key_of(runs[index])
    others = [(r, key_of(r)) for i, r in enumerate(runs) if i != index and r.metre == run.metre]
    same = [x for x in others if x[1][0] == mode and x[0].source == run.source] or [
        x for x in others if x[1][0] == mode
    ]
    if not (same or others):
        return Answer([[], [], []])
    other, (_, other_tonic) = random.Random(index).choice(same or others)
    shift = (tonic - other_tonic + 5) % 12 - 5
    return Answer([[n._replace(key=n.key + shift) for n in row] for row in other.notes[:MELODY_ROW]])


def from_bars(run: Run, bars: Sequence[Bar]) -> Answer:
    rows: list[list[Note]] = [[], [], []]
    for index, bar in enumerate(bars):
        for part, notes in bar.parts.items():
            rows[part] += [n._replace(start=n.start + index * run.ticks) for n in notes]
    return Answer(rows)


def condition_of(run: Run, asked: Sequence[int]) -> np.ndarray:
    """What the model is told in evaluation: style, parts, tempo; no attributes."""
    return e.condition(run.styles.mean(0), {}, asked, run.tempo)


MODES = {
    "model, melody known": {},
    "model, melody known, chords given": {"given_chords": True},
    "model, jam": {"jam": True},
    "model, jam, four bars of listening first": {"jam": True, "listening": FIRST_SCORED},
    "model, jam, four human bars first": {"jam": True, "given_bars": FIRST_SCORED},
    "model, jam, chords given": {"jam": True, "given_chords": True},
}


def model_answers(
    step, runs: Sequence[Run], choice, jam=False, given_chords=False, given_bars=0, listening=0
) -> list[Answer]:
    """The first `given_bars` are the human's; in the first `listening` bars the melody is known and nobody plays."""
    from .transformer import sample

    requests = []
    for index, run in enumerate(runs):
        asked = [() if i < listening else run.parts for i in range(run.bars)]
        bars = [run.bar(i, asked[i], jam and i >= listening) for i in range(run.bars)]
        conds = [condition_of(run, parts) for parts in asked]
        requests.append(sample.Request(bars, conds, asked, given_chords, given_bars, seed=index))
    return [from_bars(run, bars) for run, bars in zip(runs, sample.play(step, requests, choice), strict=True)]


@torch.no_grad()
def shift_test(model, runs: Sequence[Run]) -> dict[str, float]:
    """Loss of the human's chords and parts, the melody known, as it is and with the melody of three bars later."""
    from .transformer import train

    kinds, result = train.token_kinds(), {}
    for name, shift in (("", 0), (" melody moved", 3)):
        sums = {"chord loss": [0.0, 0], "part loss": [0.0, 0]}
        for run in runs:
            ids, weights = [e.START], [0.0]
            for index in range(run.bars):
                bar = run.bar(index, run.parts, False)
                bar.melody = run.by_bar()[MELODY_ROW][(index + shift) % run.bars]
                tokens = e.encode(bar)
                ids += tokens
                weights += train.target_weights(tokens, kinds, False)
            ids, weights = torch.tensor([ids[:513]]), torch.tensor(weights[1:513])
            cond = torch.from_numpy(condition_of(run, run.parts)).expand(1, ids.shape[1] - 1, -1)
            loss = torch.nn.functional.cross_entropy(model(ids[:, :-1], cond)[0], ids[0, 1:], reduction="none")
            for key, weight in (("chord loss", train.CHORD_WEIGHT), ("part loss", 1)):
                sums[key][0] += float(loss[weights == weight].sum())
                sums[key][1] += int((weights == weight).sum())
        result.update({key + name: round(total / max(1, count), 4) for key, (total, count) in sums.items()})
    return result


def phrases(rows: Sequence[Sequence[Note]]) -> list[tuple[int, ...]]:
    """Eight intervals in a row of each line's top notes, but not scales and repetitions that any two songs share."""
    found = []
    for row in rows:
        top = {n.start: n.key for n in row}
        keys = [top[t] for t in sorted(top)]
        steps = [b - a for a, b in zip(keys, keys[1:], strict=False)]
        found += [tuple(steps[i : i + 8]) for i in range(len(steps) - 7) if len(set(steps[i : i + 8])) > 2]
    return found


def copied(training: Sequence[Run], answers: dict[str, Sequence[Answer]]) -> dict[str, float]:
    """Share of the counter-melodies' phrases that stand in a pop song of the training set, in any key."""
    known = set(phrases([row for r in training if r.source == "pop909" for row in (r.notes[e.COUNTER], r.melody)]))
    shares = {}
    for name, given in answers.items():
        played = phrases([a.rows[e.COUNTER] for a in given])
        shares[name] = round(sum(p in known for p in played) / max(1, len(played)), 4)
    return shares


def evaluate_model(
    checkpoint: Path, runs: list[Run], training: list[Run], choice, modes: Sequence[str] = tuple(MODES)
) -> dict:
    from . import export

    model, _ = export.load(checkpoint)
    step = export.stepper(model)
    systems: dict[str, list[Answer]] = {
        "human": [human(r) for r in runs],
        "another song, same key": [another_song(runs, i) for i in range(len(runs))],
        "rule: triads under the melody": [rule_triads(r) for r in runs],
    }
    for name in modes:
        started = time.monotonic()
        systems[name] = model_answers(step, runs, choice, **MODES[name])
        print(f"{name}: {time.monotonic() - started:.0f} s", flush=True)
    pop = [i for i, r in enumerate(runs) if r.source == "pop909"]
    result = {
        "songs": len(runs),
        "bars": int(sum(r.bars for r in runs)),
        "sampling": vars(choice),
        "all": {name: score(runs, answers) for name, answers in systems.items()},
        "pop909": {name: score([runs[i] for i in pop], [answers[i] for i in pop]) for name, answers in systems.items()},
        "shift test": shift_test(model, runs),
        "copied counter-melody": copied(training, {n: a for n, a in systems.items() if n in ("human", *MODES)}),
    }
    result["summary"] = summary(result)
    return result


def summary(result: dict) -> dict:
    """What goes into the model file."""
    kept = ("fit", "clash", "chords agree", "density overlap")
    table = {name: {k: round(v[k], 3) for k in kept} for name, v in result["all"].items()}
    return {"songs": result["songs"], "split": "validation", **table}


def table(scores: dict[str, dict[str, float]]) -> str:
    columns = list(next(iter(scores.values())))
    lines = ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name, values in scores.items():
        cells = [f"{values[c]:.1f}" if c == "notes a bar" else f"{values[c]:.3f}" for c in columns]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def plot(result: dict, path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    names = list(result["all"])
    figure, axes = pyplot.subplots(1, 4, figsize=(15, 3.6), sharey=True)
    for axis, measure in zip(axes, ("fit", "clash", "chords agree", "density overlap"), strict=True):
        axis.barh(names, [result["all"][n][measure] for n in names], color="#4a7")
        axis.axvline(result["all"]["human"][measure], color="#333", lw=1, ls=":")
        axis.set_title(measure)
    axes[0].invert_yaxis()
    figure.tight_layout()
    figure.savefig(path, dpi=90)


# MIDI files


def read_melody(path: Path) -> Run:
    """A .mid file as a run: the track named Melody, or the first with notes; parts by their tracks' names."""
    score_ = dataset.read_score(path.read_bytes())
    tracks: dict[str, list[Note]] = {}
    for name, notes in score_.tracks:
        if notes:
            tracks.setdefault(name.lower(), []).extend(dataset.quantise(notes))
    numerator, denominator = score_.metres[0][1:] if score_.metres else (4, 4)
    metre = dataset.METRE_OF.get((numerator, denominator))
    if metre is None:
        raise ValueError(f"{path}: metre {numerator}/{denominator} is not one of {', '.join(e.METRES)}")
    melody = tracks.get("melody")
    rows = tuple(sorted(tracks.get(t.lower(), [])) for t in TRACKS)
    if melody is None and not any(rows):
        melody = next(iter(tracks.values()), [])
    melody = sorted(melody or [])
    last = max((n.start for row in (melody, *rows) for n in row), default=0)
    bars = last // e.BAR_TICKS[metre] + 1
    found = np.full((bars, len(e.SEGMENTS[metre])), e.NO_CHORD)
    tempo = score_.tempos[0][1] if score_.tempos else 120.0
    run = Run(path.stem, "midi", metre, bars, tempo, (), (*rows[:3], melody), found, np.zeros((bars, 7), np.float32))
    run.pad = rows[3]
    return run


def write_midi(path: Path, run: Run, answers: Sequence[Bar] = ()) -> None:
    midi = mido.MidiFile(ticks_per_beat=480)
    head = mido.MidiTrack()
    numerator, denominator = (int(x) for x in e.METRES[run.metre].split("/"))
    head.append(mido.MetaMessage("time_signature", numerator=numerator, denominator=denominator))
    head.append(mido.MetaMessage("set_tempo", tempo=round(60e6 / run.tempo)))
    midi.tracks.append(head)
    rows = {"Melody": run.melody}
    if answers:
        rows |= dict(zip(TRACKS, from_bars(run, answers).rows, strict=False))
    for name, notes in rows.items():
        track = mido.MidiTrack()
        track.append(mido.MetaMessage("track_name", name=name))
        events = sorted(
            event for n in notes for event in ((n.start * 40, 1, n.key, 80), ((n.start + n.duration) * 40, 0, n.key, 0))
        )
        now = 0
        for tick, on, key, velocity in events:
            track.append(mido.Message("note_on" if on else "note_off", note=key, velocity=velocity, time=tick - now))
            now = tick
        midi.tracks.append(track)
    midi.save(path)


def file_name(run: Run) -> str:
    return run.song.replace("/", "--")


def export_melodies(runs: Sequence[Run], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for run in runs:
        write_midi(folder / f"{file_name(run)}.mid", run)
    print(f"{len(runs)} melodies in {folder}")


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
    result = {"files": len(runs), "problems": problems, "all": {folder.name: score(runs, answers)}}
    if validation:
        result["all"] = {"human": score(runs, [human(r) for r in runs]), **result["all"]}
    return result


def main() -> None:
    from .transformer import sample

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    model = commands.add_parser("model")
    model.add_argument("--checkpoint", type=Path, required=True)
    model.add_argument("--dataset", type=Path, required=True)
    model.add_argument("--out", type=Path, required=True, help="folder for scores.json, scores.md and scores.png")
    model.add_argument("--split", default="validation")
    model.add_argument("--songs", type=int, help="only so many of each set")
    model.add_argument("--bars", type=int, default=BARS)
    model.add_argument("--chord-temperature", type=float, default=sample.CHORD_TEMPERATURE)
    model.add_argument("--note-temperature", type=float, default=sample.NOTE_TEMPERATURE)
    model.add_argument("--top-p", type=float, default=sample.TOP_P)
    model.add_argument("--modes", nargs="*", default=list(MODES))
    melodies = commands.add_parser("export-melodies")
    melodies.add_argument("--dataset", type=Path, required=True)
    melodies.add_argument("--out", type=Path, required=True)
    melodies.add_argument("--bars", type=int, default=BARS)
    midi = commands.add_parser("midi")
    midi.add_argument("folder", type=Path)
    midi.add_argument("--melodies", type=Path)
    midi.add_argument("--dataset", type=Path)
    midi.add_argument("--bars", type=int, default=BARS)
    midi.add_argument("--out", type=Path, help="JSON file")
    arguments = parser.parse_args()

    if arguments.command == "model":
        torch.set_num_threads(1)  # Steps are small: two threads mostly wait for each other.
        wanted = {s: min(n, arguments.songs or n) for s, n in SONGS.items()}
        everything = dataset.load(arguments.dataset)
        runs = choose([r for r in everything if r.split == arguments.split], wanted, arguments.bars)
        training = [r for r in everything if r.split == "train"]
        choice = sample.Choice(arguments.chord_temperature, arguments.note_temperature, arguments.top_p)
        result = evaluate_model(arguments.checkpoint, runs, training, choice, arguments.modes)
        arguments.out.mkdir(parents=True, exist_ok=True)
        (arguments.out / "scores.json").write_text(json.dumps(result, indent=1) + "\n")
        text = f"All {result['songs']} songs\n\n{table(result['all'])}\n\npop909\n\n{table(result['pop909'])}\n"
        text += f"\nshift test {result['shift test']}\ncopied {result['copied counter-melody']}\n"
        (arguments.out / "scores.md").write_text(text)
        plot(result, arguments.out / "scores.png")
        print(text)
    elif arguments.command == "export-melodies":
        export_melodies(choose(dataset.load(arguments.dataset, "validation"), bars=arguments.bars), arguments.out)
    else:
        validation = (
            choose(dataset.load(arguments.dataset, "validation"), bars=arguments.bars) if arguments.dataset else []
        )
        result = score_folder(arguments.folder, arguments.melodies, validation)
        print(table(result["all"]), *result["problems"], sep="\n")
        if arguments.out:
            arguments.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
