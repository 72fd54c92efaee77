"""The table of gates: what is asked of the model, and whether it does it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .. import dataset
from .. import encoding as e
from ..transformer import sample
from . import listening, obedience, report, style
from .bounds import Bound, least, most, near_human
from .excerpts import JUDGED
from .intervals import Estimate, estimate, known_mean
from .measures import ratio
from .playing import Player
from .scores import HUMAN, OTHER, RULE
from .trials import GIVEN, JAM, JAM_GIVEN, KNOWN, LISTENED, Size, Trials, hold


@dataclass
class Row:
    metric: str
    bound: Bound
    human: float
    rule: float
    other: float
    model: Estimate
    judged: Estimate
    """What the bound is put to: the model's value, or its difference from the human's."""
    remark: str = ""

    @property
    def verdict(self) -> str:
        return self.bound.verdict(self.judged)


NOT_BELOW_HUMAN = Bound("at least", -0.011, -0.001, beside_human=True)
"""The same distances from the human as the absolute gates of the scale have on pop songs."""

MEASURED = (
    ("melody time on accompaniment pitch classes, melody known", KNOWN, "fit", least(0.74, 0.77)),
    ("pitch consonance score", KNOWN, "consonance", least(0.56, 0.59)),
    ("semitone clash", KNOWN, "clash", most(0.028, 0.024)),
    ("in scale, all songs", KNOWN, "in scale", NOT_BELOW_HUMAN),
    ("chord agreement (root) when chords are given", GIVEN, "roots agree", least(0.88, 0.93)),
    ("overlap with people: density", KNOWN, "density overlap", least(0.85, 0.92)),
    ("overlap with people: pitch", KNOWN, "pitch overlap", least(0.85, 0.92)),
    ("overlap with people: duration", KNOWN, "duration overlap", least(0.85, 0.92)),
    ("overlap with people: groove", KNOWN, "groove overlap", least(0.85, 0.92)),
    ("jam without a plan, bars 5 and later: melody time as above", JAM, "fit", least(0.62, 0.68)),
    ("the same after four bars of listening", LISTENED, "fit", least(0.62, 0.68)),
    ("jam with the plan given: melody time as above", JAM_GIVEN, "fit", least(0.76, 0.78)),
    ("chord plan: same root as the human's, melody known", KNOWN, "plan agrees", least(0.40, 0.50)),
    ("bars unique in a song", KNOWN, "unique bars", near_human(0.08, 0.04)),
    ("groove between neighbours", KNOWN, "groove", near_human(0.03, 0.02)),
    ("bars alike at a lag of 4", KNOWN, "alike at 4 bars", near_human(0.06, 0.03)),
    ("bars alike at a lag of 8", KNOWN, "alike at 8 bars", near_human(0.06, 0.03)),
    ("chord changes on strong beats", KNOWN, "changes on strong beats", near_human(0.06, 0.03)),
    ("phrases of eight bars that end in a cadence", KNOWN, "cadences", near_human(0.1, 0.06)),
)
"""What is read from notes: words, the mode that is judged, the measure, the bound."""


def rows(trials: Trials) -> list[Row]:
    table = [measured(trials, *given) for given in MEASURED]
    table.insert(3, pop_scale(trials))
    return [
        *table,
        listening_row(trials),
        density_row(trials),
        muted_row(trials),
        grammar_row(trials),
        copies_row(trials),
        *long_rows(trials),
        style_row(trials),
        blend_row(trials),
    ]


def measured(trials: Trials, metric: str, mode: str, name: str, bound: Bound) -> Row:
    return of_songs(trials, metric, mode, name, bound, trials.of(JUDGED))


def of_songs(trials: Trials, metric: str, mode: str, name: str, bound: Bound, among: np.ndarray) -> Row:
    model, people = trials.scores[mode], trials.scores[HUMAN]
    found = judged = model.estimate(name, among)
    if bound.beside_human:
        judged = estimate(lambda drawn: model.value(name, among[drawn]) - people.value(name, among[drawn]), len(among))
    sides = (trials.scores[side].value(name, among) for side in (HUMAN, RULE, OTHER))
    return Row(metric, bound, *sides, found, judged)


def pop_scale(trials: Trials) -> Row:
    """The scale's gates were set where people keep to it: art songs modulate."""
    pop = trials.of(("pop909",))
    return of_songs(trials, "in scale, pop songs", KNOWN, "in scale", least(0.965, 0.975), pop)


def alone(
    metric: str, bound: Bound, value: Callable[[np.ndarray], float], songs: int, human=np.nan, remark: str = ""
) -> Row:
    """A row of the model alone."""
    found = estimate(value, songs)
    return Row(metric, bound, human, np.nan, np.nan, found, found, remark)


def listening_row(trials: Trials) -> Row:
    loss = trials.loss[trials.of(JUDGED)]
    parts = listening.rise(loss, "parts")
    return alone(
        "melody moved three bars: loss of the chord tokens rises, nats",
        least(0.25, 0.4),
        lambda songs: listening.rise(loss[songs], "chords"),
        len(loss),
        remark=f"of the parts' tokens by {parts:.3f}",
    )


def density_row(trials: Trials) -> Row:
    table = trials.density
    by_part = ", ".join(
        f"{name} {obedience.density_obeyed(table[table[:, 1] == part], np.unique(table[:, 0])):.3f}"
        for part, name in enumerate(e.PARTS)
        if (table[:, 1] == part).any()
    )
    return alone(
        "density asked for and got, rank correlation",
        least(0.85, 0.92),
        lambda songs: obedience.density_obeyed(table, songs),
        len(trials.runs),
        remark=by_part,
    )


def muted_row(trials: Trials) -> Row:
    return alone("muted part silent", least(1, 1), lambda s: ratio(trials.muted[s].sum(0)), len(trials.muted), 1.0)


def grammar_row(trials: Trials) -> Row:
    count = float(len(trials.errors))
    found = Estimate(count, count, count)
    remark = f"{trials.bars_read} bars read" + "".join(f"; {error}" for error in trials.errors[:3])
    return Row("grammar errors", most(0, 0), 0.0, np.nan, np.nan, found, found, remark)


def copies_row(trials: Trials) -> Row:
    people, model = trials.copied[HUMAN], trials.copied[KNOWN]
    chance = estimate(lambda songs: ratio(people.sums[songs].sum(0)), len(people.sums))
    found = estimate(lambda songs: ratio(model.sums[songs].sum(0)), len(model.sums))
    sides = (f"{name}: {c.longest} notes, in {c.holders} of the songs" for name, c in trials.copied.items())
    remark = "longest run by " + "; ".join(sides)
    metric = "share of notes in runs of 24 and more that stand in the training set"
    return Row(metric, most(chance.high, chance.high), chance.value, np.nan, np.nan, found, found, remark)


def long_rows(trials: Trials) -> list[Row]:
    songs = len(trials.long_runs)

    def row(metric: str, value: Callable[[np.ndarray], float], sums: dict, bound: Bound) -> Row:
        model, human = sums[KNOWN], sums[HUMAN]
        found = estimate(lambda chosen: value(model[chosen]), songs)
        judged = estimate(lambda chosen: value(model[chosen]) - value(human[chosen]), songs)
        remark = f"in a jam {value(sums[JAM]):.3f}" if songs else ""
        return Row(metric, bound, value(human), np.nan, np.nan, found, judged, remark)

    return [
        row(
            "64 bars: fit of the last 16 less that of bars 17 to 32", fit_change, trials.drifted, near_human(0.05, 0.03)
        ),
        row(
            "64 bars: notes in the last 16 over those in bars 17 to 32",
            density_change,
            trials.drifted,
            near_human(0.15, 0.1),
        ),
        row(
            "64 bars: bars struck as the bar before",
            lambda sums: ratio(sums.sum(0)),
            trials.looped,
            Bound("at most", 0.05, 0.02, beside_human=True),
        ),
    ]


def fit_change(sums: np.ndarray) -> float:
    early, late = sums.sum(0)
    return ratio(late[:2]) - ratio(early[:2])


def density_change(sums: np.ndarray) -> float:
    early, late = sums.sum(0)
    return ratio(np.array([late[2], early[2]]))


def style_row(trials: Trials) -> Row:
    found = trials.styles

    def value(songs: np.ndarray) -> float:
        places = np.concatenate([np.flatnonzero(found.songs == s) for s in songs])
        return style.recall(found.asked[places], found.heard[places])

    return alone(
        "style asked for is recognised",
        least(0.8, 0.8),
        value,
        len(np.unique(found.songs)),
        found.ceiling,
        "human: the classifier on people it has not seen",
    )


def blend_row(trials: Trials) -> Row:
    found = trials.styles
    songs = len(next(iter(found.blends.values()))[0]) if found.blends else 0

    def orders(chosen: Sequence[int]) -> list[float]:
        pairs = zip(found.classifier.names, found.classifier.names[1:], strict=False)
        return [
            style.blend_order(found.classifier, *pair, [[x for s in chosen for x in share[s]] for share in played])
            for pair, played in zip(pairs, found.blends.values(), strict=True)
        ]

    each = dict(zip(found.blends, orders(range(songs)), strict=True))
    return alone(
        "blend of two neighbouring styles moves the features, rank correlation",
        least(0.9, 0.95),
        lambda chosen: known_mean(orders(chosen)),
        songs,
        remark="; ".join(f"{name} {order:.2f}" for name, order in each.items()),
    )


def judge(
    checkpoint: Path, data: Path, out: Path, split: str, size: Size, choice: sample.Choice, processes: int
) -> None:
    """Writes gates.md, gates.json, gates.png and some answers as .mid files; prints the table."""
    player = Player(checkpoint, choice, processes)
    trials = hold(checkpoint, dataset.load(data), split, size, player)
    report.write(out, trials, rows(trials), vars(choice), split, size.seeds)
