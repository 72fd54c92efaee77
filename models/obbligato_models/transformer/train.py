"""Trains the accompaniment transformer for a given time in all, going on from the run's checkpoint where there is one.

python -m obbligato_models.transformer.train --dataset data/songs.npz --run runs/accompanist --minutes 30
torchrun --nproc_per_node 4 -m obbligato_models.transformer.train --dataset data/songs.npz --run-folder runs/accompanist

The run's folder gets `last.pt`, `log.csv` and `samples/`; docs/training.md says what the numbers mean.
"""

from __future__ import annotations

import argparse
import copy
import csv
import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import dataset, styles
from .. import encoding as e
from ..dataset import MELODY_ROW, Run
from ..encoding import Bar, Note
from . import device
from .device import Process
from .layout import SHIPPED, Layout, Role
from .model import Shape, Transformer

SEED = 7
BATCH = 8
"""Windows a step, of all processes together."""
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
LOG_STEPS = 20
VALIDATE_STEPS = 200
SAMPLE_STEPS = 2000
SAMPLED_BARS = 16

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
HIDDEN_HISTORY = 0.35
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
PHRASE_KNOWN = 0.75
PARTS_OF_LOSS = ("chords", "parts", "loudness", "coming")
PART_ASKED = 0.85
STYLE_KNOWN = 0.85
DENSITY_KNOWN = 0.5
"""Share of windows that are told densities; a part's is then known with a chance drawn for the window."""
OTHERS_KNOWN = 0.35
"""The same for register, length and polyphony."""
STRETCHES = (1, 2, 4, 8)
"""Bars over which a window's attributes are measured: few say much of each bar, so that they are heeded; many are what
a knob that stays where it is says."""
DENSITY_BLUR = 0.15
"""Standard deviation, octaves: a density is told roughly."""
LOWEST_SHIFT, HIGHEST_SHIFT = -5, 6
LEADS = (1.5, 1.5, 1.5, 3.0, 5.0)


@dataclass(frozen=True)
class Recipe:
    """How the network is taught, as far as `ablations/` tries it otherwise."""

    layout: Layout = SHIPPED
    controls: bool = True
    """Style, attributes and place in the phrase are told, beside parts and tempo."""
    chord_weight: float = CHORD_WEIGHT
    spoilt_history: bool = True
    """Some windows have spoilt accompaniments, or hide those of earlier bars."""
    collected: int | None = None
    """Songs to play along with each time, for self-made history, in place of COLLECTED."""
    muon: bool = True
    """For the matrices; else AdamW."""

    def told(self, cond: np.ndarray) -> np.ndarray:
        return cond if self.controls else without_controls(cond)


SHIPPED_RECIPE = Recipe()


def without_controls(cond: np.ndarray) -> np.ndarray:
    """A condition vector that says parts and tempo only."""
    cond = cond.copy()
    cond[e.STYLES : e.ASKED] = 0
    cond[e.PHRASE :] = 0
    return cond


@dataclass
class SelfMade:
    """What the model itself played to a training song: bars from `first` on."""

    run: Run
    first: int
    bars: list[Bar]


class Windows:
    """Draws training windows from runs, each source by its share. The same seed and number give the same window."""

    def __init__(self, runs: Sequence[Run], shares: Mapping[str, float] = SOURCES, recipe: Recipe = SHIPPED_RECIPE):
        self.recipe = recipe
        self.sources = [s for s in shares if any(r.source == s for r in runs)]
        self.shares = np.array([shares[s] for s in self.sources])
        self.shares /= self.shares.sum()
        self.runs = {s: [r for r in runs if r.source == s] for s in self.sources}
        self.bars = {s: np.cumsum([r.bars for r in self.runs[s]]) for s in self.sources}
        shifts = range(LOWEST_SHIFT, HIGHEST_SHIFT + 1)
        self.shifted = {s: e.transposition_table(s) for s in shifts}
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
        recipe, layout = self.recipe, self.recipe.layout
        corrupted = CORRUPTED_BARS if recipe.spoilt_history and not own and rng.random() < CORRUPTED[jam] else 0.0
        conditions = Conditions(run, first, asked, shift, rng)
        mean, melody = run.loudness, run.by_bar()[MELODY_ROW]
        known_until = min(run.bars, first + listening) if jam else run.bars

        ids, targets, weights, bars, conds, loudness, coming = [e.START], [e.START], [0.0], [0], [], [-1], [UNASKED]
        roles = [Role.GIVEN]
        for bar_index in range(first, run.bars):
            in_jam = bar_index >= known_until
            bar_asked = asked if in_jam or not jam or rng.random() < 0.5 else ()
            bar = run.bar(bar_index, bar_asked, in_jam)
            target_chords = list(layout.chords(bar))
            spoilt = rng.random() < corrupted
            if spoilt:
                spoil(bar, run, rng)
            elif own and 0 < bar_index - first < len(own.bars) and rng.random() < SELF_MADE_BARS:
                spoilt = True
                bar.chords, bar.parts = own.bars[bar_index - first].chords, own.bars[bar_index - first].parts
            tokens = layout.encode(bar, lead, melody[bar_index + 1] if bar_index + 1 < known_until else None)
            bar_roles = layout.roles(tokens)
            conds += [recipe.told(conditions.at(bar_index, bar_asked))] * (len(tokens) + (not conds))
            ids += tokens
            roles += bar_roles
            targets += with_chords(tokens, target_chords)
            weights += target_weights(bar_roles, spoilt, recipe.chord_weight)
            loudness += loudness_classes(tokens, bar_roles, layout.velocities(bar), None if spoilt else mean)
            coming += coming_melody(tokens, layout.melody_shares(run, bar_index) if in_jam else None)
            bars += [bar_index - first + 1] * len(tokens)
            if len(ids) > room:
                break
        tokens = self.shifted[shift][ids[:room]]
        hidden = np.zeros(len(tokens), bool)
        if recipe.spoilt_history and not own and rng.random() < HIDDEN_HISTORY:
            hidden = hide(roles[:room], chords_too=rng.random() < 0.5)
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

    def batch(
        self, step: int, size: int = BATCH, seed: int = SEED, known: bool | None = None, share: tuple[int, int] = (0, 1)
    ) -> dict[str, Tensor]:
        """The windows of a step. `share` is a process's rank and their count: it has every count-th window."""
        windows = [self.draw((seed, step, i), known) for i in range(share[0], size, share[1])]
        return {key: torch.from_numpy(np.stack([w[key] for w in windows])) for key in windows[0]}


class Conditions:
    """What a window's bars are told: style, some attributes measured over eight bars, parts, tempo."""

    def __init__(self, run: Run, first: int, asked: tuple[int, ...], shift: int, rng: random.Random):
        self.run, self.first, self.shift = run, first, shift
        self.style = rng.random() < STYLE_KNOWN
        dense, others = (rng.random() ** 0.5 * (rng.random() < share) for share in (DENSITY_KNOWN, OTHERS_KNOWN))
        self.known = {part: [rng.random() < dense, *(rng.random() < others for _ in range(3))] for part in asked}
        self.stretch = rng.choice(STRETCHES)
        self.blur = 2 ** rng.gauss(0, DENSITY_BLUR)
        self.tempo = run.tempo * 2 ** rng.uniform(-0.15, 0.15)
        self.phrase = rng.random() < PHRASE_KNOWN
        self.made: dict = {}

    def at(self, bar: int, asked: tuple[int, ...]) -> np.ndarray:
        style = self.measured(bar, styles.STRETCH, self.mean_style) if self.style else ()
        attributes = {part: self.measured(bar, self.stretch, self.attributes, part) for part in asked}
        return e.condition(style, attributes, asked, self.tempo, bar if self.phrase else None)

    def measured(self, bar: int, stretch: int, measure: Callable, *of_what):
        """Over the stretch in which the bar lies, counted from the first."""
        start = bar - (bar - self.first) % stretch
        key = start, measure, of_what
        if key not in self.made:
            self.made[key] = measure(slice(start, min(self.run.bars, start + stretch)), *of_what)
        return self.made[key]

    def mean_style(self, bars: slice) -> np.ndarray:
        return self.run.styles[bars].mean(0)

    def attributes(self, bars: slice, part: int) -> e.Attributes:
        values = self.run.attributes(part, bars)
        values = values._replace(density=values.density * self.blur)
        values = values._replace(register=values.register + self.shift) if values.register is not None else values
        return e.Attributes(*(v if known else None for v, known in zip(values, self.known[part], strict=True)))


def target_weights(roles: Sequence[Role], spoilt: bool, chord_weight: float = CHORD_WEIGHT) -> list[float]:
    """Loss weights: chords heavy, parts and the ends the model chooses 1, melody small, what the host gives 0."""
    # Also after a spoilt past there is a chord that fits: the one that people play there.
    chosen = 0.0 if spoilt else 1.0
    weights = {
        Role.GIVEN: 0.0,
        Role.HEARD: MELODY_WEIGHT,
        Role.CHORD: chord_weight,
        Role.OPENING: 0.0,
        Role.CHOSEN: chosen,
        Role.CLOSING: chosen,
    }
    return [weights[role] for role in roles]


def with_chords(tokens: list[int], chords: Sequence[int]) -> list[int]:
    """The tokens of a bar with other chords."""
    left = iter(chords)
    return [e.CHORD + next(left) if e.CHORD <= t < e.NOTE else t for t in tokens]


def loudness_classes(
    tokens: list[int], roles: Sequence[Role], velocities: Sequence[int], mean: float | None
) -> list[int]:
    """Of each token that is a note of a part the loudness class; -1 for the others, and where it is not known."""
    if mean is None:
        return [-1] * len(tokens)
    left, classes = iter(velocities), []
    for token, role in zip(tokens, roles, strict=True):
        velocity = next(left) if role == Role.CHOSEN and token >= e.NOTE else 0
        classes.append(e.loudness_class(velocity, mean) if velocity else -1)
    return classes


UNASKED = (-1.0,) * 12


def coming_melody(tokens: list[int], shares: np.ndarray | None) -> list[Sequence[float]]:
    """For each token that a chord follows what share of that chord's segment each pitch class of the melody sounds
    (`shares`, one row a chord; None: not asked); `UNASKED` for the others."""
    found: list[Sequence[float]] = [UNASKED] * len(tokens)
    if shares is not None:
        places = [i for i, token in enumerate(tokens) if e.CHORD <= token < e.NOTE]
        for place, row in zip(places, shares, strict=True):
            found[place - 1] = row
    return found


def hide(roles: Sequence[Role], chords_too: bool) -> np.ndarray:
    """Which tokens later bars do not see: those of the parts, and chords if asked."""
    return np.isin(roles, [Role.OPENING, Role.CHOSEN, *([Role.CHORD] if chords_too else [])])


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
    causal = torch.ones(LENGTH, LENGTH, dtype=torch.bool, device=bar.device).tril()
    same_excerpt = excerpt[:, :, None] == excerpt[:, None, :]
    same_bar = bar[:, :, None] == bar[:, None, :]
    return (causal & same_excerpt & (same_bar | ~hidden[:, None, :])).unsqueeze(1)


def losses(model, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
    """Weighted mean loss, and the plain means over chord tokens, part tokens, loudness and the coming melody."""
    where = device.device_of(model)
    batch = device.on_device(batch, where)
    ids, weight = batch["ids"], batch["weight"][:, 1:].flatten()
    with device.autocast(where):
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
    chords = (target >= e.CHORD) & (target < e.NOTE)
    parts = (weight == 1) & ~chords
    found = {
        "chords": float(each[chords].mean()),
        "parts": float(each[parts].mean()),
        "loudness": float(loudness.detach()),
        "coming": float(coming.detach()),
    }
    return loss + LOUDNESS_WEIGHT * loudness + COMING_WEIGHT * coming, found


def rate(done: float, step: int) -> float:
    """Trapezoid: warm-up by steps, flat, then down to FLOOR. `done` is the share of the time or of the steps."""
    return min(1.0, (step + 1) / WARM_UP_STEPS) * max(FLOOR, min(1.0, (1 - done) / COOL_DOWN))


def optimisers(model: Transformer, muon: bool = True) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the blocks if asked, AdamW for the rest."""
    matrices = [p for b in model.blocks for p in b.parameters() if p.ndim == 2]
    chosen = {id(p) for p in matrices}
    others = [p for p in model.parameters() if id(p) not in chosen]
    if not muon:
        groups = [{"params": matrices, "weight_decay": WEIGHT_DECAY}, {"params": others, "weight_decay": 0.0}]
        return [torch.optim.AdamW(groups, lr=ADAM_RATE, betas=(0.9, 0.95))]
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


def collect(
    model: Transformer, runs: Sequence[Run], seed: int, count: int, recipe: Recipe = SHIPPED_RECIPE
) -> list[SelfMade]:
    """Lets the model jam along with excerpts of training songs, so that it learns to go on from its own playing."""
    from .. import export
    from . import sample

    rng = random.Random(seed)
    chosen = [r for r in rng.choices(runs, [r.bars for r in runs], k=count) if r.parts and r.bars >= 4]
    firsts = [rng.randrange(max(1, r.bars - COLLECTED_BARS)) for r in chosen]
    requests = []
    for number, (run, first) in enumerate(zip(chosen, firsts, strict=True)):
        bars = [run.bar(i, (), True) for i in range(first, min(run.bars, first + COLLECTED_BARS))]
        style = run.styles.mean(0) if rng.random() < STYLE_KNOWN else ()
        conds = [recipe.told(e.condition(style, {}, run.parts, run.tempo))] * len(bars)
        asked, lead = [run.parts] * len(bars), rng.choice(LEADS)
        requests.append(sample.Request(bars, conds, asked, seed=seed + number, lead=lead, layout=recipe.layout))
    answers = one_thread(lambda: sample.play(export.stepper(copy.deepcopy(model).cpu()), requests))
    return [SelfMade(*made) for made in zip(chosen, firsts, answers, strict=True)]


def one_thread(play: Callable[[], list[list[Bar]]]) -> list[list[Bar]]:
    """Steps of sampling are small: two threads mostly wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return play()
    finally:
        torch.set_num_threads(threads)


class Spoilt(Exception):
    """The loss is not a number any more."""


@dataclass(frozen=True)
class Plan:
    """How long to train, in all."""

    minutes: float
    steps: int | None = None
    """Instead of minutes, where runs are to be compared."""
    batch: int = BATCH

    begin_from: Path | None = None
    """A checkpoint whose weights a new run begins with, where they fit."""

    def done(self, step: int, seconds: float) -> float:
        """The share that is behind, 0..1 and more."""
        return step / self.steps if self.steps else seconds / (60 * self.minutes)


class Log:
    """log.csv: a line every LOG_STEPS, means since the line before. The processes' means; written by the first."""

    def __init__(self, path: Path, process: Process, step: int):
        """What an earlier run wrote after `step`, and lost, is struck out."""
        self.path, self.process = path, process
        self.recent: list[list[float]] = []
        self.line_at = time.monotonic()
        if process.first:
            self.write(
                ["step", "seconds", "tokens a second", "rate", "loss", *PARTS_OF_LOSS, "validation"], self.kept(step)
            )

    def kept(self, step: int) -> list[list[str]]:
        if not self.path.exists():
            return []
        with self.path.open(newline="") as file:
            return [row for row in list(csv.reader(file))[1:] if int(row[0]) <= step]

    def write(self, header: list[str], rows: list[list[str]]) -> None:
        with self.path.open("w", newline="") as file:
            csv.writer(file).writerows([header, *rows])

    def add(self, loss: float, parts: dict[str, float]) -> None:
        self.recent.append([loss, *(parts[kind] for kind in PARTS_OF_LOSS)])

    def line(self, step: int, seconds: float, tokens: int, factor: float, checked: dict[str, float]) -> None:
        """`tokens`: of one step."""
        means = [round(x, 4) for x in self.process.mean(np.nanmean(self.recent, 0).tolist())]
        speed = tokens * len(self.recent) / (time.monotonic() - self.line_at)
        self.recent, self.line_at = [], time.monotonic()
        if self.process.first:
            row = [step, round(seconds, 1), round(speed), round(factor, 4), *means]
            with self.path.open("a", newline="") as file:
                csv.writer(file).writerow([*row, " ".join(f"{k}={v:.3f}" for k, v in checked.items())])
            print(*row, checked or "", flush=True)


class Trainer:
    """A run: the network, its optimisers and where it stands."""

    def __init__(
        self,
        runs: Sequence[Run],
        folder: Path,
        plan: Plan,
        shape: Shape,
        process: Process,
        compiled: bool,
        recipe: Recipe = SHIPPED_RECIPE,
    ):
        torch.manual_seed(SEED)
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.plan, self.process, self.last = folder, plan, process, folder / "last.pt"
        self.recipe = recipe
        training = [r for r in runs if r.split == "train"]
        self.held_out_runs = [r for r in runs if r.split == "validation"]
        self.windows, self.held_out = (Windows(some, recipe=recipe) for some in (training, self.held_out_runs))
        self.controls = styles.controls(training)
        self.model = Transformer(shape).to(process.device)
        self.collect_at = COLLECT_AT
        if plan.begin_from and not self.last.exists():
            self.begin_from(plan.begin_from)
        self.optimisers = optimisers(self.model, recipe.muon)
        self.rates = [[group["lr"] for group in o.param_groups] for o in self.optimisers]
        self.step, self.before, self.collected = 0, 0.0, 0
        if self.last.exists():
            self.resume()
        joined = process.joined(self.model)
        self.forward = torch.compile(joined) if compiled else joined
        self.log = Log(folder / "log.csv", process, self.step)

    def begin_from(self, checkpoint: Path) -> None:
        """Such a network can play along at once. What it has no weights for stays as it begins."""
        self.collect_at = (0.0, *COLLECT_AT)
        weights, own = torch.load(checkpoint, map_location="cpu", weights_only=True)["model"], self.model.state_dict()
        fitting = {name: value for name, value in weights.items() if name in own and own[name].shape == value.shape}
        self.model.load_state_dict({**own, **fitting})
        if self.process.first:
            print(f"begins with {len(fitting)} of {len(own)} tensors of {checkpoint}")

    def resume(self) -> None:
        saved = torch.load(self.last, map_location=self.process.device, weights_only=True)
        self.model.load_state_dict(saved["model"])
        for optimiser, state in zip(self.optimisers, saved["optimisers"], strict=True):
            optimiser.load_state_dict(state)
        self.step, self.before = saved["step"], saved["elapsed"]
        if self.process.first:
            print(f"goes on from step {self.step}, {self.before / 60:.1f} min")

    def run(self) -> None:
        """To the plan's end. Raises Spoilt; the checkpoint then has the last weights whose loss was a number."""
        self.batch_loss()[0].backward()  # Compiles before the clock starts.
        self.model.zero_grad()
        self.saved_at = self.log.line_at = time.monotonic()
        self.started = self.saved_at - self.before
        while True:
            seconds = self.process.from_first(self.seconds())
            done = self.plan.done(self.step, seconds)
            if done >= 1:
                break
            self.play_along(done)
            factor = rate(done, self.step)
            self.learn(factor)
            if self.step % LOG_STEPS == 0:
                checked = self.check() if self.step % VALIDATE_STEPS == 0 else {}
                self.log.line(self.step, seconds, self.plan.batch * LENGTH, factor, checked)
            if self.step % SAMPLE_STEPS == 0 and self.process.first:
                self.play_samples()
        self.save()

    def seconds(self) -> float:
        """Of training, in all."""
        return time.monotonic() - self.started

    def batch_loss(self) -> tuple[Tensor, dict[str, float]]:
        share = self.process.rank, self.process.count
        return losses(self.forward, self.windows.batch(self.step, self.plan.batch, share=share))

    def learn(self, factor: float) -> None:
        for optimiser, rates in zip(self.optimisers, self.rates, strict=True):
            for group, value in zip(optimiser.param_groups, rates, strict=True):
                group["lr"] = value * factor
        loss, parts = self.batch_loss()
        loss.backward()
        size = float(nn.utils.clip_grad_norm_(self.model.parameters(), CLIP))
        # Of all processes' gradients, so that they agree; a loss that is no number has such gradients.
        if not math.isfinite(size):
            raise Spoilt(f"step {self.step}: the loss is {loss.item()}, the gradient {size}")
        if time.monotonic() - self.saved_at > SAVE_MINUTES * 60:
            self.save()
        for optimiser in self.optimisers:
            optimiser.step()
        self.model.zero_grad(set_to_none=True)
        self.step += 1
        self.log.add(loss.item(), parts)

    def play_along(self, done: float) -> None:
        due = sum(done >= share for share in self.collect_at)
        if due > self.collected:
            self.collected = due
            songs = COLLECTED if self.recipe.collected is None else self.recipe.collected
            seed, count = SEED + due + 1000 * self.process.rank, songs // self.process.count
            self.windows.self_made = collect(self.model, self.windows.with_parts(), seed, count, self.recipe)
            if self.process.first:
                print(f"{len(self.windows.self_made)} songs played along with", flush=True)

    def check(self) -> dict[str, float]:
        return validate(self.model, self.held_out) if self.process.first else {}

    def play_samples(self) -> None:
        try:
            paths = sample_files(self.model, self.held_out_runs, self.folder / "samples", f"step{self.step:06d}")
            print(*(path.name for path in paths), flush=True)
        except Exception as problem:  # Hours of training do not end for want of something to listen to.
            print(f"no samples: {type(problem).__name__}: {problem}", flush=True)

    def save(self) -> None:
        """By the first process, unless a weight is no number."""
        self.saved_at = time.monotonic()
        if not self.process.first or not all(value.isfinite().all() for value in self.model.parameters()):
            return
        state = {
            "shape": asdict(self.model.shape),
            "model": self.model.state_dict(),
            "optimisers": [o.state_dict() for o in self.optimisers],
            "step": self.step,
            "elapsed": self.seconds(),
            "controls": self.controls,
        }
        part = self.last.with_suffix(".part")
        torch.save(state, part)
        part.replace(self.last)


def sample_files(model: Transformer, runs: Sequence[Run], folder: Path, name: str) -> list[Path]:
    """The longest held-out song of each source, played with the melody known and as a jam: .mid files with melody and
    answer."""
    from .. import export
    from ..evaluate.excerpts import excerpt
    from ..evaluate.midi import write_midi
    from . import sample

    longest: dict[str, Run] = {}
    for run in runs:
        if run.parts and (run.source not in longest or run.bars > longest[run.source].bars):
            longest[run.source] = run
    ways = [(excerpt(run, SAMPLED_BARS), jam) for run in longest.values() for jam in (False, True)]
    requests = []
    for run, jam in ways:
        bars = [run.bar(i, (), jam) for i in range(run.bars)]
        conds = [e.condition(run.styles.mean(0), {}, run.parts, run.tempo, i) for i in range(run.bars)]
        requests.append(sample.Request(bars, conds, [run.parts] * run.bars))
    played = one_thread(lambda: sample.play(export.stepper(copy.deepcopy(model).cpu()), requests))
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}-{run.source}-{'jam' if jam else 'known'}.mid" for run, jam in ways]
    for path, (run, _), answer in zip(paths, ways, played, strict=True):
        write_midi(path, run, answer)
    return paths


def train(
    runs: Sequence[Run], folder: Path, plan: Plan, shape: Shape, compiled: bool = False, process: Process | None = None
) -> None:
    process = process or device.join()
    trainer = Trainer(runs, folder, plan, shape, process, compiled)
    try:
        trainer.run()
    except Spoilt as problem:
        kept = f"{trainer.last} holds the last good weights" if trainer.last.exists() else "nothing was saved before"
        raise SystemExit(f"{problem}; {kept}") from None
    if process.first:
        print(f"{trainer.step} steps, {trainer.step * plan.batch * LENGTH:,} tokens, {trainer.seconds() / 60:.1f} min")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", type=Path, required=True)
    # torchrun takes `--run` for an option of its own.
    parser.add_argument("--run", "--run-folder", type=Path, required=True, help="for checkpoint, log and samples")
    parser.add_argument("--minutes", type=float, default=30, help="in all, with what the checkpoint has behind it")
    parser.add_argument("--steps", type=int, help="instead of minutes, in all")
    parser.add_argument("--batch", type=int, default=BATCH, help="windows a step, of all processes together")
    parser.add_argument("--begin-from", type=Path, help="a checkpoint of another run, for the weights of a new one")
    parser.add_argument("--threads", type=int, help="processor cores of each process [default: its share of all]")
    parser.add_argument("--tiny", action="store_true", help="a small network, to try the pipeline")
    parser.add_argument("--no-compile", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads or device.usual_threads())
    process = device.join()
    if arguments.batch % process.count:
        parser.error(f"--batch {arguments.batch} cannot be divided among {process.count} processes")
    shape = Shape(64, 2, 2) if arguments.tiny else Shape()
    plan = Plan(arguments.minutes, arguments.steps, arguments.batch, arguments.begin_from)
    try:
        train(dataset.load(arguments.dataset), arguments.run, plan, shape, not arguments.no_compile, process)
    finally:
        device.leave(process)


if __name__ == "__main__":
    main()
