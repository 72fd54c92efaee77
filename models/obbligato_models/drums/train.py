"""Trains the drummer for a given time in all, going on from the run's checkpoint where there is one.

python -m obbligato_models.drums.train --dataset data/drums.npz --run runs/drums --minutes 13
"""

from __future__ import annotations

import argparse
import csv
import math
import random
import time
from bisect import bisect, bisect_left
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..transformer.model import Shape
from . import band, dataset
from . import encoding as e
from .dataset import Take
from .model import SHAPE, Drummer

SEED = 11
BATCH = 32
LENGTH = 256
DROPOUT = 0.2
MUON_RATE = 3e-3
ADAM_RATE = 3e-3
WEIGHT_DECAY = 0.1
WARM_UP_STEPS = 60
COOL_DOWN = 0.6
"""Share of the time in which the rates fall to `FLOOR`."""
FLOOR = 0.03
CLIP = 1.0
SAVE_MINUTES = 2
VALIDATE_STEPS = 200

FREEDOOM = 0.2
"""Share of the excerpts."""
ONLY_FILL = 0.06
SPLICED = 0.2
"""Share of phrase ends in 4/4 takes that get another fill take of their style instead."""
TOUCH_WEIGHT = 0.4
TIMED_ONLY = 0.0
"""Touches of machines are not learnt."""
OTHER_LEVEL = 0.5
"""Share of excerpts whose velocities are multiplied, by something in `GAINS`."""
GAINS = (0.6, 1.25)
TEMPO_SPREAD = 0.15
"""Octaves."""
BLUR = {"density": 0.15, "triplets": 0.08, "level": 5.0}
"""Standard deviation of what an excerpt's measures are moved by: told exactly, they would give away the take."""
KNOWN = {"styles": 0.9, "density": 0.8, "triplets": 0.8, "level": 0.8, "fill": 0.8, "phrase_bar": 0.85}
HEARD = 0.85
"""Share of excerpts in which a recorded bass is known, and of those in which the band is."""
REACH, REACH_SHARES = (0, 1, 2, 1000), (0.15, 0.1, 0.1, 0.65)
"""So many segments of the past an excerpt's tokens see: who cannot copy must listen to what is asked."""
PHRASE_BARS = 4


@dataclass
class Segment:
    """What one segment's tokens are made of, and whether it is a fill."""

    kind: int
    ids: np.ndarray
    velocities: np.ndarray
    timings: np.ndarray
    fill: bool

    def tokens(self, gain: float) -> np.ndarray:
        tokens = np.empty(2 * len(self.ids) + 2, np.int64)
        tokens[0], tokens[-1] = e.SEGMENT + self.kind, e.END
        tokens[1:-1:2] = self.ids
        velocities = np.clip(np.rint(self.velocities * gain), 1, 127)
        loudness = np.searchsorted(e.LOUDNESS_BOUNDS, velocities, side="right") - 1
        tokens[2:-1:2] = e.TOUCH + e.TIMINGS * loudness + self.timings
        return tokens


def segment(take: Take, bar: int, half: int) -> Segment:
    kind = take.kinds[half]
    start, end = e.SEGMENTS[kind]
    strokes = [s for s in take.bars[bar] if start <= s.tick < end][: e.MOST_STROKES]
    ids = [e.stroke_token(s.tick, s.instrument) for s in strokes]
    timings = [e.touch_of(e.touch_token(1, s.deviation))[1] for s in strokes]
    velocities = np.array([s.velocity for s in strokes], float)
    return Segment(kind, np.array(ids, int), velocities, np.array(timings, int), bool(take.fills[bar, half]))


class Score:
    """A take as segments, and what it measures phrase by phrase."""

    def __init__(self, take: Take):
        self.take = take
        self.bars = [[segment(take, bar, half) for half in range(len(take.kinds))] for bar in range(len(take.bars))]
        self.phrases = [self.measure(bar) for bar in range(0, len(take.bars), PHRASE_BARS)]
        self.last_in_phrase = (-len(take.bars)) % PHRASE_BARS if take.only_fill else 0
        """A take that is only a fill ends its phrase."""

    def measure(self, first: int) -> dict[str, float | None]:
        bars = self.take.bars[first : first + PHRASE_BARS]
        moving = self.take.triplets[first : first + PHRASE_BARS].sum(0)
        velocities = [s.velocity for bar in bars for s in bar]
        onsets = sum(len({s.tick for s in bar}) for bar in bars)
        return {
            "density": onsets / (len(bars) * self.take.ticks / e.GRID),
            "level": float(np.mean(velocities)) if velocities else None,
            "triplets": moving[0] / moving[1] if moving[1] else None,
        }

    def phrase_bar(self, bar: int) -> int:
        return (bar + self.last_in_phrase) % PHRASE_BARS


class Windows:
    """Draws training windows from takes. The same seed and number give the same window."""

    def __init__(self, takes: list[Take]):
        scores = [Score(take) for take in takes]
        self.pools: list[tuple[float, list[Score], list[float]]] = []
        for share, chosen in (
            (FREEDOOM, [s for s in scores if s.take.source == "freedoom"]),
            (ONLY_FILL, [s for s in scores if s.take.only_fill]),
            (1 - FREEDOOM - ONLY_FILL, [s for s in scores if s.take.source == "groove" and not s.take.only_fill]),
        ):
            if chosen:
                self.pools.append((share, chosen, np.cumsum(take_weights(chosen)).tolist()))
        self.fills: dict[int, list[list[Segment]]] = defaultdict(list)
        for score in scores:
            if score.take.only_fill and score.take.metre == 0 and len(score.bars) == 1:
                self.fills[main_style(score.take)].append(score.bars[0])

    def draw(self, seed: tuple[int, ...]) -> dict[str, np.ndarray]:
        """One window of LENGTH + 1 tokens, filled with as many excerpts as it takes."""
        rng = random.Random(hash(seed))
        excerpts, length = [], 0
        while length <= LENGTH:
            excerpt = self.excerpt(rng, LENGTH + 1 - length)
            excerpt["excerpt"] = np.full(len(excerpt["ids"]), len(excerpts))
            length += len(excerpt["ids"])
            excerpts.append(excerpt)
        return {key: np.concatenate([x[key] for x in excerpts]) for key in excerpts[0]}

    def excerpt(self, rng: random.Random, room: int) -> dict[str, np.ndarray]:
        """Segments of one take from START on, cut where there is no more room."""
        _, scores, sums = rng.choices(self.pools, [share for share, *_ in self.pools])[0]
        score = scores[bisect(sums, rng.random() * sums[-1])]
        take = score.take
        bar = rng.randrange(max(1, len(score.bars) - 1))
        half = 1 if len(take.kinds) == 2 and not take.only_fill and rng.random() < 0.2 else 0
        gain = rng.uniform(*GAINS) if rng.random() < OTHER_LEVEL else 1.0
        wanted = Wanted(score, gain, rng)
        ids, conds, numbers = [np.array([e.START])], [], [0]
        length = 1
        while not conds or (bar < len(score.bars) and length < room):
            segments = score.bars[bar]
            if take.metre == 0 and take.timed and score.phrase_bar(bar) == PHRASE_BARS - 1 and rng.random() < SPLICED:
                segments = self.spliced(segments, main_style(take), rng)
            for part in segments[half:]:
                tokens = part.tokens(gain)
                ids.append(tokens)
                numbers += [numbers[-1] + 1] * len(tokens)
                conds += [wanted.at(bar, part)] * (len(tokens) + (not conds))
                length += len(tokens)
            bar, half = bar + 1, 0
        tokens = np.concatenate(ids)[:room]
        touch_weight = TOUCH_WEIGHT if take.timed else TIMED_ONLY
        weights = np.where(tokens >= e.TOUCH, touch_weight, ((tokens >= e.STROKE) | (tokens == e.END)) * 1.0)
        return {
            "ids": tokens,
            "cond": np.array(conds[:room]),
            "weight": weights.astype(np.float32),
            "segment": np.array(numbers[:room]),
            "reach": np.full(len(tokens), rng.choices(REACH, REACH_SHARES)[0]),
        }

    def spliced(self, segments: list[Segment], style: int, rng: random.Random) -> list[Segment]:
        """A bar with a fill take in its place; where the fill begins later, the bar's own first half stays."""
        if not self.fills[style]:
            return segments
        fill = rng.choice(self.fills[style])
        return [segments[0] if not len(fill[0].ids) else fill[0], fill[1]]

    def batch(self, step: int, size: int = BATCH, seed: int = SEED) -> dict[str, Tensor]:
        windows = [self.draw((seed, step, i)) for i in range(size)]
        return {key: torch.from_numpy(np.stack([w[key] for w in windows])) for key in windows[0]}


def main_style(take: Take) -> int:
    return int(take.styles.argmax()) if take.styles.any() else -1


def take_weights(scores: list[Score]) -> list[float]:
    """Long takes count more, common styles and long takes less than their bars."""
    bars: dict[int, int] = defaultdict(int)
    for score in scores:
        bars[main_style(score.take)] += len(score.bars)
    return [len(s.bars) ** 0.8 / bars[main_style(s.take)] ** 0.4 for s in scores]


class Wanted:
    """What an excerpt's segments are told: some of what can be known, with the onsets of a band."""

    def __init__(self, score: Score, gain: float, rng: random.Random):
        take = score.take
        self.score, self.gain = score, gain
        self.known = {name for name, share in KNOWN.items() if rng.random() < share}
        self.tempo = take.tempo * 2 ** rng.uniform(-TEMPO_SPREAD, TEMPO_SPREAD)
        self.blur = {name: rng.gauss(0, spread) for name, spread in BLUR.items()}
        if take.bass is None:
            self.bass, self.band = band.draw(take, rng)
        else:
            self.bass, self.band = (given if rng.random() < HEARD else None for given in (take.bass, take.band))

    def at(self, bar: int, part: Segment) -> np.ndarray:
        return e.condition(self.asked(bar, part))

    def asked(self, bar: int, part: Segment) -> e.Asked:
        measured = self.score.phrases[bar // PHRASE_BARS]
        facts = {
            "styles": self.score.take.styles,
            "density": self.blurred("density", measured["density"], 8),
            "triplets": self.blurred("triplets", measured["triplets"], 1),
            "level": self.blurred("level", measured["level"] and self.gain * measured["level"], 127),
            "fill": part.fill,
            "phrase_bar": self.score.phrase_bar(bar),
        }
        facts = {name: value for name, value in facts.items() if name in self.known}
        line = bar * self.score.take.ticks
        onsets = {
            name: None if given is None else inside(given, line, part.kind)
            for name, given in (("bass", self.bass), ("band", self.band))
        }
        return e.Asked(tempo=self.tempo, **facts, **onsets)

    def blurred(self, name: str, value: float | None, most: float) -> float | None:
        return None if value is None else min(most, max(0.0, value + self.blur[name]))


def inside(onsets: list[int], line: int, kind: int) -> list[int]:
    """Those in a segment of the bar that begins at `line`, in ticks of the bar."""
    start, end = (line + tick for tick in e.SEGMENTS[kind])
    return [t - line for t in onsets[bisect_left(onsets, start) : bisect_left(onsets, end)]]


# Training


def may_look(batch: dict[str, Tensor]) -> Tensor:
    """bool [B, 1, T, T]: causal, within the excerpt, and no farther than its reach; START always."""
    excerpt, number, reach = (batch[key][:, :-1] for key in ("excerpt", "segment", "reach"))
    causal = torch.ones(LENGTH, LENGTH, dtype=torch.bool).tril()
    near = (number[:, :, None] - number[:, None, :] <= reach[:, :, None]) | (number == 0)[:, None, :]
    return (causal & near & (excerpt[:, :, None] == excerpt[:, None, :])).unsqueeze(1)


def losses(model, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
    """Weighted mean loss, and the plain means over strokes (and ends) and over touches."""
    ids, weight = batch["ids"], batch["weight"][:, 1:].flatten()
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(ids[:, :-1], batch["cond"][:, :-1], may_look(batch))
    target = ids[:, 1:].flatten()
    each = F.cross_entropy(logits.flatten(0, 1).float(), target, reduction="none")
    loss = (each * weight).sum() / weight.sum().clamp(min=1)
    each = each.detach()
    strokes, touches = weight == 1, weight == TOUCH_WEIGHT
    return loss, {"strokes": float(each[strokes].mean()), "touches": float(each[touches].mean())}


def rate(elapsed: float, budget: float, step: int) -> float:
    """Trapezoid by time: warm-up by steps, flat, then down to FLOOR."""
    left = 1 - elapsed / budget
    return min(1.0, (step + 1) / WARM_UP_STEPS) * max(FLOOR, min(1.0, left / COOL_DOWN))


def optimisers(model: Drummer) -> list[torch.optim.Optimizer]:
    matrices = [p for b in model.blocks for p in b.parameters() if p.ndim == 2]
    chosen = {id(p) for p in matrices}
    others = [p for p in model.parameters() if id(p) not in chosen]
    return [
        torch.optim.Muon(matrices, lr=MUON_RATE, weight_decay=WEIGHT_DECAY, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=ADAM_RATE, betas=(0.9, 0.95), weight_decay=0.0),
    ]


@torch.no_grad()
def validate(model: Drummer, windows: Windows, batches: int = 4) -> dict[str, float]:
    """Plain losses on fixed windows of held-out takes."""
    model.eval()
    found = [losses(model, windows.batch(i, seed=99))[1] for i in range(batches)]
    model.train()
    return {kind: float(np.nanmean([f[kind] for f in found])) for kind in ("strokes", "touches")}


MEASURES = ("density", "level", "triplets")


def controls(takes: list[Take]) -> dict:
    """Density and level at the quantiles 0, .1 ... 1 of the played grooves' phrases, and the styles' means."""
    values: dict[str, list[float]] = defaultdict(list)
    sums = np.zeros((len(dataset.STYLES), len(MEASURES), 2))
    for take in takes:
        for measured in [] if take.only_fill else Score(take).phrases:
            for i, name in enumerate(MEASURES):
                if measured[name] is not None:
                    values[name] += [measured[name]] if take.timed else []
                    sums[:, i] += np.outer(take.styles, (measured[name], 1))
    quantiles = {n: np.quantile(values[n], np.linspace(0, 1, 11)).round(2).tolist() for n in ("density", "level")}
    means = {
        style: {name: round(float(total / count), 2) for name, (total, count) in zip(MEASURES, row, strict=True)}
        for style, row in zip(dataset.STYLES, sums, strict=True)
        if row[:, 1].all()
    }
    return {**quantiles, "styles": means}


def save(path: Path, model: Drummer, opts: list, step: int, elapsed: float, known: dict) -> None:
    state = {
        "shape": asdict(model.shape),
        "model": model.state_dict(),
        "optimisers": [o.state_dict() for o in opts],
        "step": step,
        "elapsed": elapsed,
        "controls": known,
    }
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.replace(path)


def resume(path: Path, model: Drummer, opts: list) -> tuple[int, float]:
    """Steps and seconds that the checkpoint has behind it."""
    if not path.exists():
        return 0, 0.0
    saved = torch.load(path, map_location="cpu", weights_only=True)
    model.load_state_dict(saved["model"])
    for opt, state in zip(opts, saved["optimisers"], strict=True):
        opt.load_state_dict(state)
    print(f"goes on from step {saved['step']}, {saved['elapsed'] / 60:.1f} min")
    return saved["step"], saved["elapsed"]


def learn(model, opts: list, batch: dict[str, Tensor], step: int, last: Path) -> tuple[float, float, float]:
    """One step; the loss in all, of strokes and of touches."""
    loss, parts = losses(model, batch)
    loss.backward()
    size = torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
    if not math.isfinite(loss.item()) or not math.isfinite(size.item()):
        raise SystemExit(f"step {step}: the loss is {loss.item()}; {last} holds the last good weights")
    for opt in opts:
        opt.step()
        opt.zero_grad(set_to_none=True)
    return loss.item(), parts["strokes"], parts["touches"]


def train(takes: list[Take], folder: Path, minutes: float, shape: Shape, compiled: bool) -> None:
    torch.manual_seed(SEED)
    folder.mkdir(parents=True, exist_ok=True)
    train_takes = [take for take in takes if take.split == "train"]
    windows, held_out = Windows(train_takes), Windows([take for take in takes if take.split == "validation"])
    known = controls(train_takes)
    model = Drummer(shape, DROPOUT)
    opts = optimisers(model)
    rates = [[group["lr"] for group in opt.param_groups] for opt in opts]
    last = folder / "last.pt"
    step, before = resume(last, model, opts)
    forward = torch.compile(model) if compiled else model
    losses(forward, windows.batch(step))[0].backward()  # Compiling is not counted as training time.
    model.zero_grad()
    budget, recent, saved_at = 60 * minutes, [], time.monotonic()
    started = saved_at - before
    log_path = folder / "log.csv"
    is_new = not log_path.exists()
    with log_path.open("a", newline="") as file:
        log = csv.writer(file)
        if is_new:
            log.writerow(["step", "seconds", "rate", "loss", "strokes", "touches", "held out"])
        while (elapsed := time.monotonic() - started) < budget:
            factor = rate(elapsed, budget, step)
            for opt, own in zip(opts, rates, strict=True):
                for group, value in zip(opt.param_groups, own, strict=True):
                    group["lr"] = value * factor
            recent.append(learn(forward, opts, windows.batch(step), step, last))
            step += 1
            if step % 20 == 0:
                checked = validate(model, held_out) if step % VALIDATE_STEPS == 0 else {}
                row = [step, round(time.monotonic() - started, 1), round(factor, 4)]
                row += np.nanmean(recent, 0).round(4).tolist()
                log.writerow([*row, " ".join(f"{k}={v:.3f}" for k, v in checked.items())])
                file.flush()
                print(*row, checked or "", flush=True)
                recent = []
            if time.monotonic() - saved_at > SAVE_MINUTES * 60:
                save(last, model, opts, step, elapsed, known)
                saved_at = time.monotonic()
    save(last, model, opts, step, time.monotonic() - started, known)
    print(f"{step} steps, {step * BATCH * LENGTH:,} tokens, held out: {validate(model, held_out)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True, help="folder of checkpoint and log")
    parser.add_argument("--minutes", type=float, default=13, help="in all, with what the checkpoint has behind it")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tiny", action="store_true", help="a small network, to try the pipeline")
    parser.add_argument("--no-compile", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    shape = Shape(32, 2, 2, SHAPE.window) if arguments.tiny else SHAPE
    train(dataset.load(arguments.dataset), arguments.run, arguments.minutes, shape, not arguments.no_compile)


if __name__ == "__main__":
    main()
