"""What the model is made to play before it is judged, and what was found out about it, song by song."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .. import export, styles
from ..dataset import Run
from . import copies, form, listening, obedience, style
from .answers import Answer, human
from .excerpts import FIRST_SCORED, GATE_BARS, GATE_SONGS, LONG_BARS, LONG_SONGS, Wanted, choose
from .measures import Scores
from .playing import MODES, Player, model_answers
from .scores import HUMAN, baselines

KNOWN = "model, melody known"
GIVEN = "model, melody known, chords given"
JAM = "model, jam"
LISTENED = "model, jam, four bars of listening first"
JAM_GIVEN = "model, jam, chords given"
PLAYED = (KNOWN, GIVEN, JAM, LISTENED, JAM_GIVEN)
LONG_MODES = (KNOWN, JAM)


@dataclass(frozen=True)
class Size:
    """How much is played. Songs are those of `excerpts.py`."""

    songs: dict[str, Wanted]
    long_songs: dict[str, Wanted]
    bars: int = GATE_BARS
    seeds: int = 3
    style_songs: int = 24
    style_bars: int = 2 * style.STRETCH
    blend_songs: int = 12


FULL = Size(GATE_SONGS, LONG_SONGS)


def few(songs: dict[str, Wanted]) -> dict[str, Wanted]:
    return {source: wanted._replace(songs=1) for source, wanted in songs.items()}


QUICK = Size(few(GATE_SONGS), few(LONG_SONGS), 16, 1, 2, style.STRETCH, 1)


@dataclass
class Copied:
    longest: int
    """Notes."""
    holders: int
    """Training songs that have the longest run."""
    sums: np.ndarray
    """Of each song [notes in long copied runs, notes]."""


@dataclass
class Styles:
    names: list[str]
    ceiling: float
    """Share of held-out human stretches that the classifier recognises, mean over the styles."""
    human_recall: dict[str, float]
    asked: np.ndarray
    heard: np.ndarray
    songs: np.ndarray
    """Of each stretch that the model played: the style asked for, the style heard, the song's number."""
    blends: dict[str, list[list[list[np.ndarray]]]]
    """By the names of two neighbours: features of the stretches, [share of the second][song][stretch]."""
    classifier: style.Classifier


@dataclass
class Trials:
    """Everything that the gates are read from."""

    runs: list[Run]
    scores: dict[str, Scores]
    """Of the baselines and of each mode."""
    loss: np.ndarray
    """See `listening.shift_test`."""
    density: np.ndarray
    """See `obedience.density_sweep`."""
    muted: np.ndarray
    copied: dict[str, Copied]
    long_runs: list[Run]
    drifted: dict[str, np.ndarray]
    """By system, [songs, 2, 3]: see `form.drift`."""
    looped: dict[str, np.ndarray]
    styles: Styles
    errors: list[str] = field(default_factory=list)
    """Where the grammar was broken."""
    bars_read: int = 0
    """By the grammar."""
    examples: dict[str, list[Answer]] = field(default_factory=dict)
    """The first seed's answers of each mode."""

    def of(self, sources: Sequence[str]) -> np.ndarray:
        """Numbers of the songs of some sets."""
        return np.array([i for i, run in enumerate(self.runs) if run.source in sources], int)


class Stage:
    """Says what is being done and how long it took."""

    def __init__(self):
        self.started = time.monotonic()

    def done(self, what: str) -> None:
        now = time.monotonic()
        print(f"{what}: {now - self.started:.0f} s", flush=True)
        self.started = now


class CheckedPlayer:
    """A player that reads everything it has played with the grammar."""

    def __init__(self, player: Player):
        self.player, self.errors, self.bars_read = player, [], 0

    def play(self, requests: Sequence) -> list:
        answers = self.player.play(requests)
        for bars in answers:
            self.errors += obedience.grammar_errors(bars)
            self.bars_read += len(bars)
        return answers


def hold(checkpoint: Path, everything: list[Run], split: str, size: Size, player: Player) -> Trials:
    """Plays and measures. `everything`: the whole data set, of which the training side teaches the style classifier and
    is searched for copies."""
    stage, checked = Stage(), CheckedPlayer(player)
    model, saved = export.load(checkpoint)
    held_out = [r for r in everything if r.split == split]
    training = [r for r in everything if r.split == "train"]
    runs = choose(held_out, size.songs, size.bars)
    if not runs:
        raise SystemExit(f"the data set has no songs of the {split} side that are long enough to be judged")
    played = baselines_of(runs)
    for name in PLAYED:
        played[name] = [model_answers(checked, runs, seed, **MODES[name]) for seed in range(size.seeds)]
        stage.done(name)
    scores = {name: Scores(runs, given) for name, given in played.items()}
    stage.done("measures")
    loss = listening.shift_test(model, runs)
    stage.done("melody moved")
    copied = search(training, runs, played)
    stage.done("copies")
    density = obedience.density_sweep(checked, runs, saved["controls"], seed=7_000_000)
    stage.done("density")
    muted = obedience.muted_silent(checked, runs, seed=8_000_000)
    stage.done("muted parts")
    long_runs = choose(held_out, size.long_songs, LONG_BARS)
    drifted, looped = play_long(checked, long_runs)
    stage.done("long runs")
    styles_ = play_styles(checked, training, held_out, runs, size)
    stage.done("styles")
    first = {name: given[0] for name, given in played.items()}
    errors, bars_read = checked.errors, checked.bars_read
    return Trials(
        runs, scores, loss, density, muted, copied, long_runs, drifted, looped, styles_, errors, bars_read, first
    )


def baselines_of(runs: Sequence[Run]) -> dict[str, list[list[Answer]]]:
    return {name: [given] for name, given in baselines(runs).items()}


def search(training: Sequence[Run], runs: Sequence[Run], played: dict) -> dict[str, Copied]:
    """Copies in what people played and in what the model made of itself."""
    known, found = copies.Training(training), {}
    for name in (HUMAN, KNOWN, JAM):
        rows = [(song, row) for given in played[name] for song, row in copies.rows_of(given)]
        lines = copies.Lines(rows)
        found[name] = Copied(*copies.longest(known, lines), copies.copied(known, lines, len(runs)))
    return found


def play_long(player: CheckedPlayer, runs: Sequence[Run]) -> tuple[dict, dict]:
    """By system: drift, [songs, 2, 3], and looped bars, [songs, 2]."""
    played = {HUMAN: [human(r) for r in runs], **{m: model_answers(player, runs, 9000, **MODES[m]) for m in LONG_MODES}}
    drifted, looped = {}, {}
    for name, given in played.items():
        pairs = list(zip(runs, given, strict=True))
        drifted[name] = np.array([form.drift(r, a.notes) for r, a in pairs]).reshape(-1, 2, 3)
        bars = slice(FIRST_SCORED, LONG_BARS)
        looped[name] = np.array([form.loops(r, a.rows, bars) for r, a in pairs]).reshape(-1, 2)
    return drifted, looped


def play_styles(
    player: CheckedPlayer, training: Sequence[Run], held_out: Sequence[Run], runs: Sequence[Run], size: Size
) -> Styles:
    """Teaches the classifier, tries it on people, and then on the model."""
    given, labels, _ = style.examples(training)
    classifier = style.teach(given, labels)
    tried, true, _ = style.examples(held_out)
    found = classifier.styles(tried)
    human_recall = {styles.NAMES[s]: style.mean(found[true == s] == s) for s in sorted(set(true.tolist()))}

    long_enough = [r for r in runs if r.bars >= size.style_bars]
    melodies = spread(long_enough, size.style_songs)
    vectors = [style.one_style(s) for s in classifier.names]
    played = style.play_styles(player, melodies, vectors, size.style_bars, seed=10_000_000)
    rows = [
        (asked, song, stretch)
        for asked, songs in zip(classifier.names, played, strict=True)
        for song, stretches in enumerate(songs)
        for stretch in stretches
    ]
    blends = {}
    few_melodies = spread(long_enough, size.blend_songs)
    for first, second in zip(classifier.names, classifier.names[1:], strict=False):
        mixed = [style.blend(first, second, share) for share in style.BLENDS]
        name = f"{styles.NAMES[first]} to {styles.NAMES[second]}"
        blends[name] = style.play_styles(player, few_melodies, mixed, style.STRETCH, seed=11_000_000)
    return Styles(
        [styles.NAMES[s] for s in classifier.names],
        style.recall(true, found),
        human_recall,
        np.array([r[0] for r in rows]),
        classifier.styles(np.array([r[2] for r in rows])),
        np.array([r[1] for r in rows]),
        blends,
        classifier,
    )


def spread(runs: Sequence[Run], count: int) -> list[Run]:
    """So many of the runs, from all over the list, which goes from set to set."""
    return [runs[i] for i in np.unique(np.linspace(0, len(runs) - 1, count).round().astype(int))] if runs else []
