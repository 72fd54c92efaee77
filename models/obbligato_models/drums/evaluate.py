"""Scores of the drummer, playing freely under what held-out takes measured.

python -m obbligato_models.drums.evaluate --checkpoint runs/drums/last.pt --dataset data/drums.npz \\
    --out runs/drums/scores.json

Without --checkpoint the exported file is scored. Takes of one split (`--split`), up to BARS bars each. Measured are:

instruments, positions, loudness, timing   overlap (shared area) of the histograms of all strokes with the people's;
            positions are ticks of the bar, by what the instrument does in a groove (kick, snare, time, ...)
            beside it: the two halves of these takes (every other bar), and the takes of the other held-out split
own groove  the same of instrument and position, take by take, with the take whose style, tempo ... were asked for
kick-bass   share of bass onsets with a kick within a tick; "other song": with the bass of another song
density     rank correlation of what was asked and what came
fills       share of segments that stand out by snare and toms (the rule of dataset.py), asked for or not
repeats     share of bars with the same strokes as the bar before; likeness of neighbours, and of bars four apart
"""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx

from . import dataset, sample, train
from . import encoding as e
from .dataset import FAMILIES, Take
from .encoding import Asked, Stroke
from .sample import Choice, Network, Player
from .train import Score, Wanted

BARS = 32
FEWEST_BARS = 8
SEEDS = 2


@dataclass
class Playing:
    """A take, and what the model played under its conditions."""

    take: Take
    asked: list[tuple[int, Asked]]
    tokens: list[list[int]]
    bars: list[list[Stroke]]

    def like(self) -> Take:
        """The model's bars in the take's place."""
        return replace(self.take, bars=self.bars)


class Everything(Wanted):
    """All that a take measured; its own bass and band, or a drawn one that does not leave the bass out."""

    def __init__(self, score: Score, seed: int):
        super().__init__(score, 1.0, random.Random(seed))
        self.known = {"styles", "density", "triplets", "level", "fill", "phrase_bar"}
        self.tempo = score.take.tempo
        self.blur = dict.fromkeys(self.blur, 0.0)
        if score.take.bass is not None:
            self.bass, self.band = score.take.bass, score.take.band


def asked_of(take: Take, seed: int) -> list[tuple[int, Asked]]:
    score = Score(take)
    wanted = Everything(score, seed)
    return [(part.kind, wanted.asked(bar, part)) for bar, parts in enumerate(score.bars) for part in parts]


def shortened(take: Take) -> Take:
    """The first bars."""
    end = min(BARS, len(take.bars))
    onsets = {
        name: None if given is None else [t for t in given if t < end * take.ticks]
        for name, given in (("bass", take.bass), ("band", take.band))
    }
    return replace(take, bars=take.bars[:end], triplets=take.triplets[:end], fills=take.fills[:end], **onsets)


def play(network: Network, take: Take, asked: list[tuple[int, Asked]], seed: int, choice: Choice) -> Playing:
    player = Player(network, seed, choice)
    tokens = sample.play(player, asked)
    strokes = [player.strokes(segment) for segment in tokens]
    per_bar = len(take.kinds)
    bars = [[s for part in strokes[i : i + per_bar] for s in part] for i in range(0, len(strokes), per_bar)]
    return Playing(take, asked, tokens, bars)


# Histograms


def strokes_of(takes: Sequence[Take]) -> Iterator[tuple[Take, Stroke]]:
    return ((take, s) for take in takes for bar in take.bars for s in bar)


HISTOGRAMS = {
    "instruments": lambda take, s: s.instrument,
    "positions": lambda take, s: (take.metre, s.tick, int(FAMILIES[s.instrument])),
    "loudness": lambda take, s: e.touch_of(e.touch_token(s.velocity, 0))[0],
    "timing": lambda take, s: e.touch_of(e.touch_token(1, s.deviation))[1],
    "grooves": lambda take, s: (s.tick, s.instrument),
}


def histogram(name: str, takes: Sequence[Take]) -> Counter:
    return Counter(HISTOGRAMS[name](take, s) for take, s in strokes_of(takes))


def overlap(a: Counter, b: Counter) -> float:
    """Shared area of two histograms, each of area 1."""
    total_a, total_b = sum(a.values()), sum(b.values())
    return sum(min(a[k] / total_a, b[k] / total_b) for k in a.keys() & b.keys()) if total_a and total_b else 0.0


def own_groove(takes: Sequence[Take], played: Sequence[Take]) -> float:
    pairs = zip(takes, played, strict=True)
    return mean(overlap(histogram("grooves", [take]), histogram("grooves", [other])) for take, other in pairs)


def mean(values: Iterator[float]) -> float:
    return float(np.mean(list(values)))


# Bars


def pattern(bar: Sequence[Stroke]) -> frozenset[tuple[int, int]]:
    return frozenset((s.tick, s.instrument) for s in bar)


def repeats(takes: Sequence[Take], lag: int = 1) -> tuple[float, float]:
    """Share of bars equal to the one `lag` before, and their mean likeness (shared strokes, twice, of all)."""
    same, likeness = [], []
    for take in takes:
        bars = [pattern(bar) for bar in take.bars]
        for one, other in zip(bars, bars[lag:], strict=False):
            same.append(one == other)
            likeness.append(2 * len(one & other) / max(1, len(one) + len(other)))
    return float(np.mean(same)), float(np.mean(likeness))


def kick_share(take: Take, bass: Sequence[int]) -> float:
    """Share of the bass's onsets with a kick within a tick; nan without any."""
    kicks = {
        bar * take.ticks + s.tick for bar, strokes in enumerate(take.bars) for s in strokes if s.instrument == e.KICK
    }
    inside = [t for t in bass if t < len(take.bars) * take.ticks]
    return float(np.mean([any(t + d in kicks for d in (-1, 0, 1)) for t in inside])) if inside else float("nan")


def other_song(take: Take, takes: Sequence[Take], seed: int = 0) -> Take:
    """Another with a bass in the same metre, always the same one."""
    others = [t for t in takes if t.name.split("#")[0] != take.name.split("#")[0] and t.metre == take.metre and t.bass]
    return random.Random(f"{take.name}{seed}").choice(others)


def fill_shares(playings: Sequence[Playing]) -> dict[str, float]:
    """Share of segments that stand out, where a fill was asked for and where not."""
    shares: dict[bool, list[bool]] = {True: [], False: []}
    for playing in playings:
        found = dataset.find_fills(playing.like()).ravel()
        for (_, asked), stands_out in zip(playing.asked, found, strict=True):
            shares[bool(asked.fill)].append(bool(stands_out))
    return {"asked": float(np.mean(shares[True])), "not asked": float(np.mean(shares[False]))}


def rank_correlation(a: Sequence[float], b: Sequence[float]) -> float:
    """Spearman's; ties in their mean rank."""

    def ranks(values: Sequence[float]) -> np.ndarray:
        _, index, counts = np.unique(values, return_inverse=True, return_counts=True)
        return (counts.cumsum() - (counts - 1) / 2)[index]

    return float(np.corrcoef(ranks(a), ranks(b))[0, 1])


# The report


def played_freely(network: Network, takes: Sequence[Take], choice: Choice) -> list[list[Playing]]:
    """For each seed, all takes."""
    return [
        [play(network, take, asked_of(take, i), 100 * seed + i, choice) for i, take in enumerate(takes)]
        for seed in range(SEEDS)
    ]


def groove_scores(takes: Sequence[Take], others: Sequence[Take], runs: Sequence[Sequence[Playing]]) -> dict:
    """`others`: takes that people played elsewhere."""
    played = [playing.like() for run in runs for playing in run]
    halves = [[replace(take, bars=take.bars[i::2]) for take in takes] for i in (0, 1)]
    strangers = [*takes[1:], takes[0]]
    scores: dict = {"model": {}, "people": {}, "other takes": {}}
    for name in ("instruments", "positions", "loudness", "timing"):
        human = histogram(name, takes)
        scores["model"][name] = overlap(human, histogram(name, played))
        scores["people"][name] = overlap(*(histogram(name, half) for half in halves))
        scores["other takes"][name] = overlap(human, histogram(name, others))
    scores["model"]["own groove"] = own_groove([*takes] * len(runs), played)
    scores["people"]["own groove"] = own_groove(*halves)
    scores["other takes"]["own groove"] = own_groove(takes, strangers)
    for who, music in (("model", played), ("people", takes)):
        scores[who]["repeats"], scores[who]["likeness"] = repeats(music)
        scores[who]["likeness at 4"] = repeats(music, 4)[1]
    scores["model"]["fills"] = fill_shares([playing for run in runs for playing in run])
    return scores


def difference_of_seeds(runs: Sequence[Sequence[Playing]]) -> float:
    """Share of bars in which two seeds play other strokes."""
    pairs = [
        (pattern(one), pattern(other))
        for first, second in zip(runs[0], runs[1], strict=True)
        for one, other in zip(first.bars, second.bars, strict=True)
    ]
    return mean(one != other for one, other in pairs)


def grammar_errors(playings: Sequence[Playing]) -> int:
    errors = 0
    for playing in playings:
        try:
            e.decode([e.START, *(token for segment in playing.tokens for token in segment)])
        except ValueError:
            errors += 1
    return errors


def bass_scores(network: Network, takes: Sequence[Take], everyone: Sequence[Take], choice: Choice) -> dict:
    """`takes` with a recorded bass, unseen; `everyone` has the basses to compare with."""
    rock = np.eye(len(dataset.STYLES), dtype=np.float32)[dataset.ROCK]
    rows: dict[str, list[tuple[float, float]]] = {"people": [], "model": [], "model, asked for Rock": []}
    rows["people, all songs"] = [(kick_share(t, t.bass), kick_share(t, other_song(t, everyone).bass)) for t in everyone]
    for i, take in enumerate(takes):
        other = [t for t in other_song(take, everyone).bass if t < len(take.bars) * take.ticks]
        rows["people"].append((kick_share(take, take.bass), kick_share(take, other)))
        for name, styled in (("model", take), ("model, asked for Rock", replace(take, styles=rock))):
            playing = play(network, take, asked_of(styled, i), i, choice).like()
            rows[name].append((kick_share(playing, take.bass), kick_share(playing, other)))
    return {
        name: dict(zip(("own bass", "other song's bass"), np.nanmean(values, 0).round(4).tolist(), strict=True))
        for name, values in rows.items()
    }


def density_scores(network: Network, controls: dict, choice: Choice, bars: int = 8) -> dict:
    """Styles of the palette, quantiles .1 to .9, with a band that plays quarters."""
    asked_for, got = [], []
    for s in (dataset.POP, dataset.ROCK, dataset.DANCE, dataset.FUNK, dataset.JAZZ):
        weights = np.eye(len(dataset.STYLES))[s].tolist()
        for q in range(1, 10):
            density = controls["density"][q]
            asked = Asked(weights, 110.0, density, 0.0, 75.0, bass=None, band=None)
            player = Player(network, 10 * s + q, choice)
            tokens = sample.play(player, sample.phrases(bars, 0, asked, fills=False))
            ticks = sum(len({e.place_of(t)[0] for t in part[1:-1:2]}) for part in tokens)
            asked_for.append(density)
            got.append(ticks / (4 * bars))
    return {
        "rank correlation": rank_correlation(asked_for, got),
        "asked": [round(float(np.mean(asked_for[i::9])), 2) for i in range(9)],
        "got": [round(float(np.mean(got[i::9])), 2) for i in range(9)],
    }


def phrase_scores(network: Network, choice: Choice, bars: int = 32) -> dict[str, float]:
    """As the program asks: fills in the last segment of four bars and the last bar of eight; 4/4, four styles."""
    playings = []
    for s in (dataset.POP, dataset.ROCK, dataset.DANCE, dataset.FUNK):
        for fills in (True, False):
            weights = np.eye(len(dataset.STYLES), dtype=np.float32)[s]
            asked = sample.phrases(bars, 0, Asked(weights.tolist(), 110.0, None, 0.0, 80.0), fills)
            empty = np.zeros((bars, 2), int)
            take = Take(f"style {s}", "", "", 110.0, 0, weights, [[]] * bars, empty)
            playings.append(play(network, take, asked, s, choice))
    return fill_shares(playings)


def report(network: Network, takes: Sequence[Take], split: str, controls: dict, choice: Choice) -> dict:
    grooves = [shortened(t) for t in takes if t.timed and not t.only_fill and len(t.bars) >= FEWEST_BARS]
    unseen = [t for t in grooves if t.split != "train" and " in 6/8" not in t.name]
    people, others = ([t for t in unseen if (t.split == split) == own] for own in (True, False))
    with_bass = [shortened(t) for t in takes if t.split != "train" and t.bass and len(t.bars) >= FEWEST_BARS]
    runs = played_freely(network, people, choice)
    scores = groove_scores(people, others or people, runs)
    return {
        "takes": len(people),
        "bars": sum(len(take.bars) for take in people),
        "grooves": scores,
        "grammar errors": grammar_errors([playing for run in runs for playing in run]),
        "bars that differ between two seeds": difference_of_seeds(runs),
        "kick-bass": {"songs": len(with_bass), **bass_scores(network, with_bass, [t for t in takes if t.bass], choice)},
        "density": density_scores(network, controls, choice),
        "fills as the program asks": phrase_scores(network, choice),
    }


def summary(scores: dict) -> dict:
    """What the file's metadata quotes."""
    model = scores["grooves"]["model"]
    names = ("instruments", "positions", "loudness", "timing", "own groove", "repeats", "likeness")
    return {
        **{name: round(model[name], 3) for name in names},
        "kick-bass": scores["kick-bass"]["model"],
        "density": round(scores["density"]["rank correlation"], 3),
        "fills": {k: round(v, 3) for k, v in scores["fills as the program asks"].items()},
        "grammar errors": scores["grammar errors"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, help="the exported file without it")
    parser.add_argument(
        "--file", type=Path, help="another exported file, for example in eight bits (obbligato_models.quantise)"
    )
    parser.add_argument("--dataset", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--split", default="validation", choices=("validation", "test"))
    parser.add_argument("--temperature", type=float, default=sample.STROKE_TEMPERATURE)
    parser.add_argument("--top-p", type=float, default=sample.STROKE_TOP_P)
    a = parser.parse_args()
    graph = onnx.load(a.file) if a.file else sample.graph_of(a.checkpoint)
    takes = dataset.load(a.dataset)
    controls = train.controls([take for take in takes if take.split == "train"])
    scores = report(Network(graph), takes, a.split, controls, Choice(a.temperature, a.top_p))
    a.out.parent.mkdir(parents=True, exist_ok=True)
    a.out.write_text(json.dumps({"split": a.split, "summary": summary(scores), **scores}, indent=1) + "\n")
    print(json.dumps(scores, indent=1))


if __name__ == "__main__":
    main()
