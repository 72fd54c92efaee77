"""Does it play the style that was asked for? A classifier that was taught on human bars tells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from .. import encoding as e
from .. import styles
from ..dataset import Run
from ..encoding import Bar, Note
from .excerpts import beginning
from .intervals import rank_correlation
from .playing import Player, request

STRETCH = 8
"""Bars that are judged together."""
SURE = 0.6
"""Human bars with less weight on their first style teach nothing."""
MOST_EXAMPLES = 900
"""Of each style."""
DECAY = 1e-3
BLENDS = (0.0, 0.25, 0.5, 0.75, 1.0)
ASKED = (e.BASS, e.CHORDS)
"""All styles have these; a counter-melody would give some of them away."""

FEATURES = (
    "bass onsets a quarter",
    "chords onsets a quarter",
    "chords notes an onset",
    "chords share of single notes",
    "chords share of three notes and more",
    "bass mean key",
    "chords mean key",
    "chords spread of keys",
    "bass log duration",
    "chords log duration",
    "bass held to the next onset",
    "chords held to the next onset",
    "bass onsets off the beat",
    "chords onsets off the beat",
    "chords onsets off the eighth",
    "triplet onsets",
    "syncopation",
    "bass with chords",
    "onsets as in the bar before",
    "bass leap",
    "bass repeats",
    "chords leap",
    "chords repeat",
    "silent bars",
)


def features(bass: Sequence[Note], upper: Sequence[Note], metre: int, bars: int) -> np.ndarray:
    """Texture of a stretch, in the order of FEATURES; starts from its first bar line. 0 where a part rests."""
    ticks = e.BAR_TICKS[metre]
    quarters = bars * ticks / e.GRID
    low, high = Line(bass), Line(upper)
    every = sorted({*low.onsets, *high.onsets})
    at_once = [len(high.at[t]) for t in high.onsets]
    steps = [t % 24 for t in every]
    pattern = np.zeros((bars, ticks), bool)
    for t in every:
        pattern[min(bars - 1, t // ticks), t % ticks] = True
    union = (pattern[:-1] | pattern[1:]).sum(1)
    same = (pattern[:-1] & pattern[1:]).sum(1) / np.maximum(union, 1)
    return np.array(
        [
            len(low.onsets) / quarters,
            len(high.onsets) / quarters,
            mean(at_once),
            mean(n == 1 for n in at_once),
            mean(n >= 3 for n in at_once),
            mean(n.key for n in bass) / 12,
            mean(n.key for n in upper) / 12,
            float(np.std([n.key for n in upper])) / 12 if upper else 0.0,
            mean(np.log2(max(1, n.duration)) for n in bass),
            mean(np.log2(max(1, n.duration)) for n in upper),
            low.held(),
            high.held(),
            mean(t % 12 != 0 for t in low.onsets),
            mean(t % 12 != 0 for t in high.onsets),
            mean(t % 6 != 0 for t in high.onsets),
            mean(t % 6 in (2, 4) for t in steps),
            mean(t % 12 != 0 and t + 12 - t % 12 not in low.at and t + 12 - t % 12 not in high.at for t in every),
            mean(t in high.at for t in low.onsets),
            mean(same[union > 0]),
            mean(abs(s) for s in low.steps) / 12,
            mean(s == 0 for s in low.steps),
            mean(abs(s) for s in high.steps) / 12,
            mean(s == 0 for s in high.steps),
            1 - len({t // ticks for t in every}) / bars,
        ]
    )


def mean(values) -> float:
    values = list(values)
    return float(np.mean(values)) if values else 0.0


class Line:
    """A part as a line of onsets."""

    def __init__(self, notes: Sequence[Note]):
        self.at: dict[int, list[Note]] = {}
        for note in notes:
            self.at.setdefault(note.start, []).append(note)
        self.onsets = sorted(self.at)
        tops = [max(n.key for n in self.at[t]) for t in self.onsets]
        self.steps = [b - a for a, b in zip(tops, tops[1:], strict=False)]

    def held(self) -> float:
        """Mean share of the time to the next onset that a note is held, at most 1."""
        pairs = zip(self.onsets, self.onsets[1:], strict=False)
        return mean(min(1.0, max(n.duration for n in self.at[a]) / (b - a)) for a, b in pairs)


# The classifier


@dataclass
class Classifier:
    """Multinomial logistic regression on standardised features."""

    names: list[int]
    """Styles it knows, by number."""
    centre: np.ndarray
    spread: np.ndarray
    weights: np.ndarray
    """[features + 1, styles known]"""

    def scores(self, given: np.ndarray) -> np.ndarray:
        """Log odds, [examples, styles known]."""
        standard = (given - self.centre) / self.spread
        return np.concatenate([standard, np.ones((len(given), 1))], 1) @ self.weights

    def styles(self, given: np.ndarray) -> np.ndarray:
        return np.array(self.names)[self.scores(given).argmax(1)]


def teach(given: np.ndarray, labels: np.ndarray) -> Classifier:
    """Every style weighs the same, however many examples it has."""
    names = sorted(set(labels.tolist()))
    target = torch.tensor([names.index(label) for label in labels.tolist()])
    centre, spread = given.mean(0), given.std(0) + 1e-6
    x = np.concatenate([(given - centre) / spread, np.ones((len(given), 1))], 1)
    x = torch.from_numpy(x).double()
    balance = 1 / torch.bincount(target).double()
    weights = torch.zeros(x.shape[1], len(names), dtype=torch.double, requires_grad=True)
    optimiser = torch.optim.LBFGS([weights], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(x @ weights, target, balance) + DECAY * weights[:-1].square().sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    return Classifier(names, centre, spread, weights.detach().numpy())


def examples(runs: Sequence[Run], most: int = MOST_EXAMPLES) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, styles and song numbers of human stretches whose style is sure; spread evenly over the songs."""
    places: dict[int, list[tuple[int, int]]] = {}
    for song, run in enumerate(runs):
        for first in range(0, run.bars - STRETCH + 1, STRETCH):
            weights = run.styles[first : first + STRETCH].mean(0)
            if weights.max() >= SURE:
                places.setdefault(int(weights.argmax()), []).append((song, first))
    found = []
    for style, known in places.items():
        for song, first in known[:: max(1, -(-len(known) // most))]:
            run = runs[song]
            line, end = first * run.ticks, (first + STRETCH) * run.ticks
            rows = [[n._replace(start=n.start - line) for n in run.notes[p] if line <= n.start < end] for p in ASKED]
            if any(rows):
                found.append((features(*rows, run.metre, STRETCH), style, song))
    return np.array([f for f, _, _ in found]), np.array([s for _, s, _ in found]), np.array([s for _, _, s in found])


def recall(asked: np.ndarray, heard: np.ndarray) -> float:
    """Share of stretches recognised, mean over the styles."""
    return mean((heard[asked == style] == style).mean() for style in np.unique(asked))


# What the model plays


def play_styles(
    player: Player, runs: Sequence[Run], asked: Sequence[np.ndarray], bars: int, seed: int
) -> list[list[list[np.ndarray]]]:
    """Every song in every style vector: features of its stretches, [style vector][song][stretch]."""
    begun = [beginning(run, bars) for run in runs]
    requests = [
        request(run, seed=seed + song, parts=ASKED, styles=vector) for vector in asked for song, run in enumerate(begun)
    ]
    answers = iter(player.play(requests))
    return [[stretches(next(answers)) for _ in begun] for _ in asked]


def stretches(bars: Sequence[Bar]) -> list[np.ndarray]:
    found = []
    for first in range(0, len(bars) - STRETCH + 1, STRETCH):
        part = bars[first : first + STRETCH]
        ticks = e.BAR_TICKS[part[0].metre]
        rows = [
            [n._replace(start=n.start + i * ticks) for i, bar in enumerate(part) for n in bar.parts.get(p, [])]
            for p in ASKED
        ]
        found.append(features(*rows, part[0].metre, STRETCH))
    return found


def one_style(style: int) -> np.ndarray:
    return np.eye(len(styles.NAMES), dtype=np.float32)[style]


def blend(first: int, second: int, share: float) -> np.ndarray:
    return (1 - share) * one_style(first) + share * one_style(second)


def blend_order(classifier: Classifier, first: int, second: int, played: Sequence[Sequence[np.ndarray]]) -> float:
    """Rank correlation between the second style's share and how much more the features speak for it than for the first
    (mean log odds of all stretches at each share). `played`: the stretches at each of BLENDS."""
    a, b = classifier.names.index(first), classifier.names.index(second)
    means = []
    for given in played:
        scores = classifier.scores(np.array(given))
        means.append(float((scores[:, b] - scores[:, a]).mean()))
    return rank_correlation(np.array(BLENDS), np.array(means))
