"""Trains the accompaniment transformer for a given time in all, going on from the run's checkpoint where there is one.

python -m obbligato_models.transformer.train --dataset data/songs.npz --run runs/accompanist --minutes 30
"""

from __future__ import annotations

import argparse
import csv
import math
import random
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .. import dataset, styles
from .. import encoding as e
from ..dataset import Run
from ..encoding import Bar, Note
from .model import Shape, Transformer

SEED = 7
BATCH = 8
LENGTH = 512
MUON_RATE = 3e-3
ADAM_RATE = 3e-3
WEIGHT_DECAY = 0.02
WARM_UP_STEPS = 60
COOL_DOWN = 0.45
"""Share of the time in which the rates fall to `FLOOR`."""
FLOOR = 0.03
CLIP = 1.0
SAVE_MINUTES = 3
VALIDATE_STEPS = 200

SOURCES = {
    "pop909": 0.5,
    "lieder": 0.17,
    "open_hymnal": 0.08,
    "bach_chorales": 0.05,
    "openewld": 0.07,
    "js_fakes": 0.03,
    "string_quartets": 0.06,
    "freedoom": 0.04,
}
"""Share of the windows."""
KNOWN = 0.5
"""Share of windows whose melody is known; the others are jam."""
LISTENING = 0.35
"""Share of jam windows that begin with some bars of known melody."""
CHORD_WEIGHT = 5.0
MELODY_WEIGHT = 0.02
HIDDEN_HISTORY = 0.3
"""Share of windows in which no bar sees the parts of earlier bars; in half of these not their chords either."""
CORRUPTED = {True: 0.45, False: 0.2}
"""Share of windows, by jam, with bars whose accompaniment is spoilt and not learnt."""
CORRUPTED_BARS = 0.35
SELF_MADE = 0.5
"""Share of jam windows that show the model's own earlier answers, once there are some."""
SELF_MADE_BARS = 0.75
"""Share of the bars of such a window, from its second on."""
COLLECT_AT = (0.3, 0.6)
"""Shares of the time at which the model plays along with training songs, for the windows that follow."""
COLLECTED, COLLECTED_BARS = 192, 16
LOUDNESS_WEIGHT = 0.1
COMING_WEIGHT = 0.2
PHRASE_KNOWN = 0.6
PARTS_OF_LOSS = ("chords", "parts", "loudness", "coming")
PART_ASKED = 0.85
STYLE_KNOWN = 0.75
ATTRIBUTES_KNOWN = 0.5
"""Share of windows with any attribute; each of them is then known with a chance drawn for the window."""
LOWEST_SHIFT, HIGHEST_SHIFT = -5, 6
LEADS = (1.5, 1.5, 1.5, 3.0, 5.0)


@dataclass
class SelfMade:
    """What the model itself played to a training song: bars from `first` on."""

    run: Run
    first: int
    bars: list[Bar]


class Windows:
    """Draws training windows from runs. The same seed and number give the same window."""

    def __init__(self, runs: list[Run]):
        self.sources = [s for s in SOURCES if any(r.source == s for r in runs)]
        self.shares = np.array([SOURCES[s] for s in self.sources])
        self.shares /= self.shares.sum()
        self.runs = {s: [r for r in runs if r.source == s] for s in self.sources}
        self.bars = {s: np.cumsum([r.bars for r in self.runs[s]]) for s in self.sources}
        shifts = range(LOWEST_SHIFT, HIGHEST_SHIFT + 1)
        self.shifted = {s: e.transposition_table(s) for s in shifts}
        self.kinds = token_kinds()
        self.self_made: list[SelfMade] = []

    def draw(self, seed: tuple[int, ...], known: bool | None = None) -> dict[str, np.ndarray]:
        """One window of LENGTH + 1 tokens, filled with as many excerpts as it takes: ids; target, what ought to stand
        at a token's place, and its weight; cond; loudness class of the note that a token is (-1: not known); share of
        the coming segment in which each pitch class of the melody sounds (-1: not asked there); excerpt and bar
        numbers; and which tokens are hidden from later bars."""
        rng = random.Random(hash(seed))
        excerpts, length = [], 0
        while length <= LENGTH:
            excerpt = self.excerpt(rng, known, LENGTH + 1 - length)
            excerpt["excerpt"] = np.full(len(excerpt["ids"]), len(excerpts))
            excerpt["bar"] += 1000 * len(excerpts)
            length += len(excerpt["ids"])
            excerpts.append(excerpt)
        return {key: np.concatenate([x[key] for x in excerpts]) for key in excerpts[0]}

    def excerpt(self, rng: random.Random, known: bool | None, room: int) -> dict[str, np.ndarray]:
        """Bars of one run from START on, cut where there is no more room."""
        jam = rng.random() >= KNOWN if known is None else not known
        own = rng.choice(self.self_made) if jam and self.self_made and rng.random() < SELF_MADE else None
        run, first = (own.run, own.first) if own else self.place(rng)
        listening = rng.randint(1, 8) if jam and not own and rng.random() < LISTENING else 0
        asked = tuple(p for p in run.parts if rng.random() < PART_ASKED)
        if own:
            asked = tuple(own.bars[0].parts)
        lead = rng.choice(LEADS)
        shift = rng.randint(LOWEST_SHIFT, HIGHEST_SHIFT)
        corrupted = CORRUPTED_BARS if not own and rng.random() < CORRUPTED[jam] else 0.0
        conditions = Conditions(run, first, asked, shift, rng)
        mean = run.loudness

        ids, targets, weights, bars, conds, loudness, coming = [e.START], [e.START], [0.0], [0], [], [-1], [UNASKED]
        for bar_index in range(first, run.bars):
            in_jam = jam and bar_index - first >= listening
            bar_asked = asked if in_jam or not jam or rng.random() < 0.5 else ()
            bar = run.bar(bar_index, bar_asked, in_jam)
            target_chords = list(bar.chords)
            spoilt = rng.random() < corrupted
            if spoilt:
                spoil(bar, run, rng)
            elif own and 0 < bar_index - first < len(own.bars) and rng.random() < SELF_MADE_BARS:
                spoilt = True
                bar.chords, bar.parts = own.bars[bar_index - first].chords, own.bars[bar_index - first].parts
            tokens = e.encode(bar, lead)
            conds += [conditions.at(bar_index, bar_asked)] * (len(tokens) + (not conds))
            ids += tokens
            targets += with_chords(tokens, target_chords)
            weights += target_weights(tokens, self.kinds, spoilt)
            loudness += loudness_classes(tokens, bar, None if spoilt else mean)
            coming += coming_melody(tokens, bar, run, bar_index)
            bars += [bar_index - first + 1] * len(tokens)
            if len(ids) > room:
                break
        tokens = self.shifted[shift][ids[:room]]
        hidden = np.zeros(len(tokens), bool)
        if not own and rng.random() < HIDDEN_HISTORY:
            hidden = hide(tokens, self.kinds, chords_too=rng.random() < 0.5)
        return {
            "ids": tokens,
            "target": self.shifted[shift][targets[:room]],
            "cond": np.array(conds[:room]),
            "weight": np.array(weights[:room], np.float32),
            "loudness": np.array(loudness[:room]),
            "coming": np.roll(np.array(coming[:room], np.float32), shift, 1),
            "bar": np.array(bars[:room]),
            "hidden": hidden,
        }

    def place(self, rng: random.Random) -> tuple[Run, int]:
        """A run of a source drawn by its share, and a bar of it to begin with, not too near its end."""
        source = rng.choices(self.sources, self.shares)[0]
        place = rng.randrange(self.bars[source][-1])
        index = int(np.searchsorted(self.bars[source], place, side="right"))
        run = self.runs[source][index]
        return run, min(place - (int(self.bars[source][index]) - run.bars), max(0, run.bars - 4))

    def with_parts(self) -> list[Run]:
        return [r for s in self.sources for r in self.runs[s] if r.parts]

    def batch(self, step: int, size: int = BATCH, seed: int = SEED, known: bool | None = None) -> dict[str, Tensor]:
        windows = [self.draw((seed, step, i), known) for i in range(size)]
        return {key: torch.from_numpy(np.stack([w[key] for w in windows])) for key in windows[0]}


class Conditions:
    """What a window's bars are told: style, some attributes measured over eight bars, parts, tempo."""

    def __init__(self, run: Run, first: int, asked: tuple[int, ...], shift: int, rng: random.Random):
        self.run, self.first, self.shift = run, first, shift
        self.style = rng.random() < STYLE_KNOWN
        share = rng.random() if rng.random() < ATTRIBUTES_KNOWN else 0.0
        self.known = {part: [rng.random() < share for _ in range(4)] for part in asked}
        self.tempo = run.tempo * 2 ** rng.uniform(-0.15, 0.15)
        self.phrase = rng.random() < PHRASE_KNOWN
        self.made: dict = {}

    def at(self, bar: int, asked: tuple[int, ...]) -> np.ndarray:
        block = (bar - self.first) // styles.STRETCH
        if (block, asked) not in self.made:
            start = self.first + block * styles.STRETCH
            bars = slice(start, min(self.run.bars, start + styles.STRETCH))
            style = self.run.styles[bars].mean(0) if self.style else ()
            self.made[block, asked] = style, {part: self.attributes(part, bars) for part in asked}
        style, attributes = self.made[block, asked]
        return e.condition(style, attributes, asked, self.tempo, bar if self.phrase else None)

    def attributes(self, part: int, bars: slice) -> e.Attributes:
        values = self.run.attributes(part, bars)
        values = values._replace(register=values.register + self.shift) if values.register is not None else values
        return e.Attributes(*(v if known else None for v, known in zip(values, self.known[part], strict=True)))


def token_kinds() -> np.ndarray:
    """Of every token: 0 structure, 1 melody or position, 2 chord, 3 note."""
    kinds = np.zeros(e.VOCABULARY, np.int64)
    kinds[e.POS : e.CHORD] = 1
    kinds[e.CHORD : e.NOTE] = 2
    kinds[e.NOTE :] = 3
    return kinds


def target_weights(tokens: list[int], kinds: np.ndarray, spoilt: bool) -> list[float]:
    """Loss weights: chords heavy, parts and the ends the model chooses 1, melody small, what the host gives 0."""
    weights, in_part = [], False
    for token in tokens:
        chosen = in_part
        if e.PART <= token < e.BAR:
            in_part = True
        elif token == e.END or token == e.MELODY or e.BAR <= token < e.POS:
            in_part = False
        if e.CHORD <= token < e.NOTE:
            # Also after a spoilt past there is a chord that fits: the one that people play there.
            weights.append(CHORD_WEIGHT)
        elif chosen:
            weights.append(0.0 if spoilt else 1.0)
        else:
            weights.append(MELODY_WEIGHT if kinds[token] else 0.0)
    return weights


def with_chords(tokens: list[int], chords: Sequence[int]) -> list[int]:
    """The tokens of a bar with other chords."""
    left = iter(chords)
    return [e.CHORD + next(left) if e.CHORD <= t < e.NOTE else t for t in tokens]


def loudness_classes(tokens: list[int], bar: Bar, mean: float | None) -> list[int]:
    """Of each token that is a note of a part the loudness class; -1 for the others, and where it is not known."""
    if mean is None:
        return [-1] * len(tokens)
    velocities, in_part, classes = iter(e.part_velocities(bar)), False, []
    for token in tokens:
        if e.PART <= token < e.BAR:
            in_part = True
        elif token in (e.END, e.MELODY):
            in_part = False
        velocity = next(velocities) if in_part and token >= e.NOTE else 0
        classes.append(e.loudness_class(velocity, mean) if velocity else -1)
    return classes


UNASKED = (-1.0,) * 12


def coming_melody(tokens: list[int], bar: Bar, run: Run, index: int) -> list[Sequence[float]]:
    """For each token of a jam bar that a chord follows what share of that chord's segment each pitch class of the
    melody sounds; `UNASKED` for the others."""
    found: list[Sequence[float]] = [UNASKED] * len(tokens)
    if bar.jam:
        places = [i for i, token in enumerate(tokens) if e.CHORD <= token < e.NOTE]
        for place, shares in zip(places, run.melody_classes()[index], strict=True):
            found[place - 1] = shares
    return found


def hide(tokens: np.ndarray, kinds: np.ndarray, chords_too: bool) -> np.ndarray:
    """Which tokens later bars do not see: those of the parts, and chords if asked."""
    hidden, in_part = np.zeros(len(tokens), bool), False
    for i, token in enumerate(tokens):
        if e.PART <= token < e.BAR:
            in_part = True
        elif token == e.END or token == e.MELODY or e.BAR <= token < e.POS:
            in_part = False
        hidden[i] = in_part or (chords_too and kinds[token] == 2)
    return hidden


def spoil(bar: Bar, run: Run, rng: random.Random) -> None:
    """Replaces a bar's accompaniment by one that does not fit its melody, as the model's own mistakes do."""
    way = rng.random()
    if way < 0.5:
        other = run.bar(rng.randrange(run.bars), tuple(bar.parts), bar.jam)
        bar.chords, bar.parts = other.chords, other.parts
    elif way < 0.75:
        shift = rng.randint(-6, 6)
        bar.chords = [c if c == e.NO_CHORD else 10 * ((c // 10 + shift) % 12) + c % 10 for c in bar.chords]
        bar.parts = {p: [n._replace(key=n.key + shift) for n in notes] for p, notes in bar.parts.items()}
    else:
        for part, notes in bar.parts.items():
            bar.parts[part] = [moved(n, rng) if rng.random() < 0.35 else n for n in notes]


def moved(note: Note, rng: random.Random) -> Note:
    return note._replace(key=note.key + rng.choice((-7, -5, -3, -2, -1, 1, 2, 3, 5, 7)))


# Training


def may_look(batch: dict[str, Tensor]) -> Tensor:
    """bool [B, 1, T, T]: causal, within the excerpt, and hidden tokens only within their own bar."""
    excerpt, bar, hidden = (batch[key][:, :-1] for key in ("excerpt", "bar", "hidden"))
    causal = torch.ones(LENGTH, LENGTH, dtype=torch.bool).tril()
    same_excerpt = excerpt[:, :, None] == excerpt[:, None, :]
    same_bar = bar[:, :, None] == bar[:, None, :]
    return (causal & same_excerpt & (same_bar | ~hidden[:, None, :])).unsqueeze(1)


def losses(model, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
    """Weighted mean loss, and the plain means over chord tokens, part tokens, loudness and the coming melody."""
    ids, weight = batch["ids"], batch["weight"][:, 1:].flatten()
    with torch.autocast("cpu", torch.bfloat16):
        outputs = model(ids[:, :-1], batch["cond"][:, :-1], may_look(batch))
    target = batch["target"][:, 1:].flatten()
    each = F.cross_entropy(outputs.logits.flatten(0, 1).float(), target, reduction="none")
    loss = (each * weight).sum() / weight.sum().clamp(min=1)
    loudness_target = batch["loudness"][:, :-1].flatten()
    loudness = F.cross_entropy(
        outputs.loudness.flatten(0, 1).float(), loudness_target, ignore_index=-1, reduction="sum"
    ) / (loudness_target >= 0).sum().clamp(min=1)
    coming_target = batch["coming"][:, :-1].flatten(0, 1)
    asked = coming_target[:, 0] >= 0
    coming = F.binary_cross_entropy_with_logits(
        outputs.coming.flatten(0, 1).float()[asked], coming_target[asked], reduction="sum"
    ) / asked.sum().clamp(min=1)
    each = each.detach()
    chords, parts = weight == CHORD_WEIGHT, weight == 1
    found = {
        "chords": float(each[chords].mean()),
        "parts": float(each[parts].mean()),
        "loudness": float(loudness.detach()),
        "coming": float(coming.detach()),
    }
    return loss + LOUDNESS_WEIGHT * loudness + COMING_WEIGHT * coming, found


def rate(elapsed: float, budget: float, step: int) -> float:
    """Trapezoid by time: warm-up by steps, flat, then down to FLOOR."""
    left = 1 - elapsed / budget
    return min(1.0, (step + 1) / WARM_UP_STEPS) * max(FLOOR, min(1.0, left / COOL_DOWN))


def optimisers(model: Transformer) -> list[torch.optim.Optimizer]:
    matrices = [p for b in model.blocks for p in b.parameters() if p.ndim == 2]
    chosen = {id(p) for p in matrices}
    others = [p for p in model.parameters() if id(p) not in chosen]
    return [
        torch.optim.Muon(matrices, lr=MUON_RATE, weight_decay=WEIGHT_DECAY, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=ADAM_RATE, betas=(0.9, 0.95), weight_decay=0.0),
    ]


@torch.no_grad()
def validate(model: Transformer, windows: Windows, batches: int = 4) -> dict[str, float]:
    """Plain losses on fixed windows of held-out songs, by mode."""
    results = {}
    for name, known in (("known", True), ("jam", False)):
        found = [losses(model, windows.batch(i, seed=99, known=known))[1] for i in range(batches)]
        for kind in PARTS_OF_LOSS:
            results[f"{name} {kind}"] = float(np.mean([f[kind] for f in found]))
    return results


def collect(model: Transformer, runs: Sequence[Run], seed: int) -> list[SelfMade]:
    """Lets the model jam along with excerpts of training songs, so that it learns to go on from its own playing."""
    from .. import export
    from . import sample

    rng = random.Random(seed)
    chosen = [r for r in rng.choices(runs, [r.bars for r in runs], k=COLLECTED) if r.parts and r.bars >= 4]
    firsts = [rng.randrange(max(1, r.bars - COLLECTED_BARS)) for r in chosen]
    requests = []
    for number, (run, first) in enumerate(zip(chosen, firsts, strict=True)):
        bars = [run.bar(i, (), True) for i in range(first, min(run.bars, first + COLLECTED_BARS))]
        style = run.styles.mean(0) if rng.random() < STYLE_KNOWN else ()
        cond = e.condition(style, {}, run.parts, run.tempo)
        requests.append(
            sample.Request(
                bars, [cond] * len(bars), [run.parts] * len(bars), seed=seed + number, lead=rng.choice(LEADS)
            )
        )
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # Steps of sampling are small: two threads mostly wait for each other.
    answers = sample.play(export.stepper(model), requests)
    torch.set_num_threads(threads)
    return [SelfMade(*made) for made in zip(chosen, firsts, answers, strict=True)]


def save(path: Path, model: Transformer, opts: list, step: int, elapsed: float, controls: dict) -> None:
    state = {
        "shape": asdict(model.shape),
        "model": model.state_dict(),
        "optimisers": [o.state_dict() for o in opts],
        "step": step,
        "elapsed": elapsed,
        "controls": controls,
    }
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.replace(path)


def train(runs: list[Run], folder: Path, minutes: float, shape: Shape, compiled: bool) -> None:
    torch.manual_seed(SEED)
    folder.mkdir(parents=True, exist_ok=True)
    windows = Windows([r for r in runs if r.split == "train"])
    held_out = Windows([r for r in runs if r.split == "validation"])
    controls = styles.controls([r for r in runs if r.split == "train"])
    model = Transformer(shape)
    opts = optimisers(model)
    base = [[g["lr"] for g in o.param_groups] for o in opts]
    last = folder / "last.pt"
    step, before = 0, 0.0
    if last.exists():
        saved = torch.load(last, map_location="cpu", weights_only=True)
        model.load_state_dict(saved["model"])
        for opt, state in zip(opts, saved["optimisers"], strict=True):
            opt.load_state_dict(state)
        step, before = saved["step"], saved["elapsed"]
        print(f"goes on from step {step}, {before / 60:.1f} min")
    forward = torch.compile(model) if compiled else model
    losses(forward, windows.batch(step))[0].backward()
    model.zero_grad()
    budget, tokens, recent, collected = minutes * 60, 0, [], 0
    saved_at = time.monotonic()
    started = saved_at - before
    log_path = folder / "log.csv"
    is_new = not log_path.exists()
    with log_path.open("a", newline="") as file:
        log = csv.writer(file)
        if is_new:
            log.writerow(["step", "seconds", "tokens a second", "rate", "loss", *PARTS_OF_LOSS, "validation"])
        while (elapsed := time.monotonic() - started) < budget:
            due = sum(elapsed >= share * budget for share in COLLECT_AT)
            if due > collected:
                collected = due
                windows.self_made = collect(model, windows.with_parts(), SEED + due)
                print(f"{len(windows.self_made)} songs played along with", flush=True)
            factor = rate(elapsed, budget, step)
            for opt, rates in zip(opts, base, strict=True):
                for group, value in zip(opt.param_groups, rates, strict=True):
                    group["lr"] = value * factor
            loss, parts = losses(forward, windows.batch(step))
            loss.backward()
            size = torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
            if not math.isfinite(loss.item()) or not math.isfinite(size.item()):
                raise SystemExit(f"step {step}: the loss is {loss.item()}; {last} holds the last good weights")
            for opt in opts:
                opt.step()
            model.zero_grad(set_to_none=True)
            step, tokens = step + 1, tokens + BATCH * LENGTH
            recent.append((loss.item(), *(parts[kind] for kind in PARTS_OF_LOSS)))
            if step % 20 == 0:
                means = np.nanmean(recent, 0).round(4).tolist()
                recent = []
                seconds = time.monotonic() - started
                checked = validate(model, held_out) if step % VALIDATE_STEPS == 0 else {}
                row = [step, round(seconds, 1), round(tokens / (seconds - before)), round(factor, 4), *means]
                log.writerow([*row, " ".join(f"{k}={v:.3f}" for k, v in checked.items())])
                file.flush()
                print(*row, checked or "", flush=True)
            if time.monotonic() - saved_at > SAVE_MINUTES * 60:
                save(last, model, opts, step, elapsed, controls)
                saved_at = time.monotonic()
    seconds = time.monotonic() - started
    save(last, model, opts, step, seconds, controls)
    print(f"{step} steps, {tokens:,} tokens now, {tokens / max(1, seconds - before):.0f} a second")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True, help="folder of checkpoint and log")
    parser.add_argument("--minutes", type=float, default=30, help="in all, with what the checkpoint has behind it")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tiny", action="store_true", help="a small network, to try the pipeline")
    parser.add_argument("--no-compile", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    shape = Shape(64, 2, 2) if arguments.tiny else Shape()
    train(dataset.load(arguments.dataset), arguments.run, arguments.minutes, shape, not arguments.no_compile)


if __name__ == "__main__":
    main()
