"""Teaches a trained accompanist by reward: it plays, judges hear it (reward.py), and what was better than its other
tries is made likelier.

python -m obbligato_models.transformer.posttrain --dataset data/songs.npz --begin-from runs/accompanist/last.pt \
    --judges runs/judges.pt --run runs/rewarded --minutes 60

After Wu et al., *Adaptive accompaniment with ReaLchords* (2024), and *Generative adversarial post-training* (2025):
rewards learnt from people for how well melody and accompaniment belong together, and a judge of people or machine that
learns on while the model does. The run's folder gets `last.pt` and `log.csv`; docs/training.md says what the numbers
mean.
"""

from __future__ import annotations

import argparse
import copy
import csv
import math
import random
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import dataset, export, styles
from .. import encoding as e
from ..dataset import MELODY_ROW, Run
from . import device, reward, sample, train
from .reward import Judges, People, Sample
from .train import SelfMade, Spoilt, Windows

SEED = 17
GROUPS, TRIES = 32, 4
"""Excerpts that are played at a time, and how often each: its tries are compared with each other."""
BARS = 8
LISTENED_BARS = 4
WINDOWS_A_STEP = train.BATCH
RATE = 2e-4
WARM_UP_STEPS = 20
COOL_DOWN = 0.3
CLIP_RATIO = 0.3
KL_WEIGHT = 0.1
POLICY_WEIGHT = 0.5
"""Of the loss by reward, beside the ordinary one."""
CHORD_WEIGHT = 3.0
"""There are few chords, and the notes follow them."""
DISCOUNT = 0.6
"""What a segment does to the next counts so much."""
MOST = 3.0
"""Advantages are cut at so many deviations."""
AVERAGED = 0.98
"""How much of the running mean of the weights, which is what is saved to be played, stays at a step."""
SAVE_MINUTES = 3
USUAL = 0.8
"""Share of the excerpts that are told what is usual in the style, as the program tells it."""
WEAK = (styles.CHORALE, styles.QUARTET, styles.ROCK)
"""Styles that are asked for twice as often: few songs have them."""
REMEMBERED = 8
"""Rounds whose samples the judge of people or machine still hears."""
JUDGE_STEPS, JUDGE_FIRST_STEPS, JUDGE_BATCH = 6, 60, 32
JUDGE_RATE = 1e-3
CROP = 6
"""Bars that it hears at once while it learns."""


class Kind(NamedTuple):
    name: str
    share: float
    jam: bool
    listens: bool
    styled: bool
    """In a style that is not the song's own."""


KINDS = (
    Kind("jam", 0.42, True, False, False),
    Kind("listened", 0.12, True, True, False),
    Kind("styled", 0.34, False, False, True),
    Kind("jam styled", 0.12, True, False, True),
)
REWARDS = ("match", "fit", "clash", "people", "style")
WEIGHTS = {
    "jam": (0.6, 0.8, 0.3, 0.5, 0.2),
    "listened": (0.6, 0.8, 0.3, 0.5, 0.2),
    "styled": (0.3, 0.2, 0.3, 0.4, 1.0),
    "jam styled": (0.4, 0.5, 0.3, 0.4, 0.8),
}
"""What each reward counts, by kind, after it was divided by its deviation."""


# Tasks


@dataclass
class Task:
    """An excerpt and how it is to be played."""

    kind: Kind
    run: Run
    """Of the whole song."""
    first: int
    excerpt: Run
    style: np.ndarray
    asked: tuple[int, ...]
    lead: float
    usual: bool
    numbered: bool

    def request(self, controls: dict, seed: int) -> sample.Request:
        count = self.excerpt.bars
        listening = LISTENED_BARS if self.kind.listens else 0
        asked = [() if i < listening else self.asked for i in range(count)]
        bars = [self.excerpt.bar(i, (), self.kind.jam and i >= listening) for i in range(count)]
        conds = []
        for i in range(count):
            bar = self.first + i if self.numbered else None
            cond = e.condition(self.style, {}, asked[i], self.excerpt.tempo, bar)
            conds.append(styles.with_usual(cond, controls) if self.usual else cond)
        return sample.Request(bars, conds, asked, seed=seed, lead=self.lead, paced=False, recorded=True)


def some_task(windows: Windows, runs: Sequence[Run], rng: random.Random) -> Task:
    kind = rng.choices(KINDS, [k.share for k in KINDS])[0]
    while True:
        run, first = windows.place(rng)
        if run.bars >= BARS and run.parts and run.styles.any():
            break
    first = min(first - first % 4, run.bars - BARS)
    excerpt = stretch(run, first, BARS)
    style = excerpt.styles.mean(0)
    asked = tuple(p for p in run.parts if rng.random() < train.PART_ASKED) or run.parts
    if kind.styled:
        others = [s for s in range(len(styles.NAMES)) if s != int(style.argmax())]
        style = np.eye(len(styles.NAMES), dtype=np.float32)[rng.choices(others, [1 + (s in WEAK) for s in others])[0]]
        asked = (e.BASS, e.CHORDS)
    usual, numbered = rng.random() < USUAL, rng.random() < train.PHRASE_KNOWN
    return Task(kind, run, first, excerpt, style, asked, rng.choice(train.LEADS), usual, numbered)


def stretch(run: Run, first: int, bars: int) -> Run:
    """Some bars of a song as a song of their own; melody notes that still sound at its beginning are kept."""
    line, end = first * run.ticks, (first + bars) * run.ticks
    rows = []
    for row, notes in enumerate(run.notes):
        sounding = [n for n in notes if n.start < end and (n.start >= line or n.start + n.duration > line)]
        rows.append([n._replace(start=n.start - line) for n in sounding if row == MELODY_ROW or n.start >= line])
    part = slice(first, first + bars)
    told = {"chords": run.chords[part], "styles": run.styles[part]}
    return replace(run, bars=bars, notes=tuple(rows), **told, _by_bar=None, _sums=None, _melody_classes=None)


# Rewards


@dataclass
class Played:
    """One try: the song as the sampler left it and what the judges said of each of its segments."""

    task: Task
    song: sample.Song
    heard: Sample
    rewards: np.ndarray = field(default_factory=lambda: np.zeros((0, len(REWARDS))))
    """[segments, rewards]"""
    advantage: np.ndarray = field(default_factory=lambda: np.zeros(0))
    """[segments]"""


def heard_of(task: Task, answers: Sequence) -> Sample:
    run = task.excerpt
    rows: list[list] = [[], [], [], []]
    for i, bar in enumerate(answers):
        for part, notes in bar.parts.items():
            rows[part] += [n._replace(start=n.start + i * run.ticks) for n in notes]
    end = len(answers) * run.ticks
    rows[MELODY_ROW] = [n for n in run.melody if n.start < end]
    return Sample(reward.roll_of(rows, end // reward.CELL), run.metre, task.asked, task.style)


def plain_rewards(heard: Sample) -> np.ndarray:
    """Of each segment the share of the melody that sounds in the accompaniment too, and less than nothing for what of
    it is rubbed by a semitone, [segments, 2]. Not a number where the melody rests."""
    size = reward.cells_of(heard.metre)
    melody, others = heard.roll[MELODY_ROW, 1], heard.roll[:MELODY_ROW, 1].any(0)
    count = len(melody) // size
    beside = np.zeros_like(others)
    beside[:, 1:] |= others[:, :-1]
    beside[:, :-1] |= others[:, 1:]
    found = np.full((count, 2), np.nan)
    for i in range(count):
        here = slice(i * size, (i + 1) * size)
        sung = melody[here]
        if sung.any():
            classes = reward.by_class(torch.from_numpy(sung.astype(np.float32))).numpy()
            played = reward.by_class(torch.from_numpy(others[here].any(0).astype(np.float32))).numpy()
            found[i] = (classes * played).sum() / classes.sum(), -(sung & beside[here]).sum() / sung.sum()
    return found


@torch.no_grad()
def give_rewards(played: Sequence[Played], judges: Judges, manner: nn.Module) -> None:
    """`manner`: the judge of people or machine."""
    heard = reward.together([p.heard for p in played])
    match, style = judges.judge(heard)
    with device.autocast(torch.device("cpu")):
        people = manner(heard)[..., 0].float().clamp(-3, 3)
    in_style = (style * heard.style[:, None]).sum(-1)
    for i, one in enumerate(played):
        plain = plain_rewards(one.heard)
        count = len(plain)
        learnt = match[i, :count].clamp(-4, 4), people[i, :count], in_style[i, :count].clamp(-5)
        columns = [learnt[0], plain[:, 0], plain[:, 1], *learnt[1:]]
        one.rewards = np.stack([np.asarray(c, np.float64) for c in columns], 1)


def compare(played: Sequence[Played], tries: int = TRIES) -> None:
    """Gives every segment its advantage over the same segment of the other tries, with what it does to those that
    follow."""
    count = max(len(p.rewards) for p in played)
    table = np.full((len(played), count, len(REWARDS)), np.nan)
    for row, one in zip(table, played, strict=True):
        row[: len(one.rewards)] = one.rewards
    groups = table.reshape(-1, tries, count, len(REWARDS))
    known = ~np.isnan(groups)
    sums = np.where(known, groups, 0)
    mean = sums.sum(1, keepdims=True) / np.maximum(known.sum(1, keepdims=True), 1)
    centred = np.where(known, groups - mean, 0).reshape(table.shape)
    deviation = np.sqrt((centred**2).sum((0, 1)) / np.maximum(known.sum((0, 1, 2)), 1)) + 1e-6
    weights = np.array([WEIGHTS[p.task.kind.name] for p in played])
    each = (centred / deviation * weights[:, None]).sum(2)
    for segment in range(count - 2, -1, -1):
        each[:, segment] += DISCOUNT * each[:, segment + 1]
    each /= each.std() + 1e-6
    for row, one in zip(each, played, strict=True):
        one.advantage = row[: len(one.rewards)].clip(-MOST, MOST)


# Learning


class Choices(NamedTuple):
    """What was drawn in some songs, which stand side by side in windows, as tensors."""

    ids: Tensor
    """[windows, tokens]"""
    cond: Tensor
    song: Tensor
    """Of each token; -1 where there is none."""
    row: Tensor
    """Of each draw the window, [draws]."""
    before: Tensor
    """The place of the token before it."""
    could: Tensor
    """What could be drawn, [draws, most]."""
    leans: Tensor
    """-inf where there is nothing more."""
    chosen: Tensor
    temperature: Tensor
    logp: Tensor
    """Of what was drawn, when it was."""
    advantage: Tensor
    weight: Tensor

    def may_look(self) -> Tensor:
        """bool [windows, 1, tokens, tokens]: causal, within the song."""
        causal = torch.ones(self.ids.shape[1], self.ids.shape[1], dtype=torch.bool).tril()
        return (causal & (self.song[:, :, None] == self.song[:, None, :])).unsqueeze(1)


def packed(played: Sequence[Played], length: int) -> list[list[Played]]:
    """The songs in windows of so many tokens, each in the first that has room."""
    windows: list[list[Played]] = []
    room: list[int] = []
    for one in played:
        size = one.song.context.size()
        place = next((i for i, left in enumerate(room) if left >= size), len(windows))
        if place == len(windows):
            windows.append([])
            room.append(length)
        windows[place].append(one)
        room[place] -= size
    return windows


def choices_of(windows: Sequence[Sequence[Played]], length: int, count: int = 0) -> Choices:
    """Filled up to `count` windows."""
    count = max(count, len(windows))
    ids = np.zeros((count, length), np.int64)
    cond = np.zeros((count, length, e.COND), np.float32)
    song = np.full((count, length), -1)
    draws: list[tuple[int, int, Played, sample.Drawn]] = []
    for row, window in enumerate(windows):
        at = 0
        for number, one in enumerate(window):
            tokens = one.song.context.tokens()
            here = slice(at, at + len(tokens))
            ids[row, here], cond[row, here], song[row, here] = [t for t, _ in tokens], [c for _, c in tokens], number
            draws += [(row, at, one, d) for d in one.song.drawn if len(d.ids) > 1]
            at += len(tokens)
    most = max((len(d.ids) for _, _, _, d in draws), default=1)
    could = np.zeros((len(draws), most), np.int64)
    leans = np.full((len(draws), most), -np.inf, np.float32)
    columns = np.zeros((5, len(draws)), np.float32)
    for n, (_, _, one, d) in enumerate(draws):
        could[n, : len(d.ids)], leans[n, : len(d.ids)] = d.ids, d.leans
        segment = d.bar * len(e.SEGMENTS[one.task.excerpt.metre]) + d.segment
        weight = CHORD_WEIGHT if e.CHORD <= d.ids[0] < e.NOTE else 1.0
        columns[:, n] = d.chosen, d.temperature, d.logp, one.advantage[segment], weight
    row, before = np.array([(row, at + d.place - 1) for row, at, _, d in draws], np.int64).reshape(-1, 2).T.copy()
    chosen, *others = map(torch.from_numpy, columns)
    tensors = map(torch.from_numpy, (ids, cond, song, row, before, could, leans))
    return Choices(*tensors, chosen.long(), *others)


def policy_losses(model: nn.Module, file: nn.Module, given: Choices) -> tuple[Tensor, Tensor, Tensor]:
    """What makes better tries likelier (Schulman et al., *Proximal policy optimization*, 2017: not much at once), as
    they are drawn, leaned on and cut; how far the network's word has moved from the file's, nats a token; and the share
    of draws that have become so much likelier or less likely that they say nothing more."""
    inputs = given.ids, given.cond, given.may_look()
    with device.autocast(torch.device("cpu")):
        with torch.no_grad():
            said = file(*inputs).logits
        now = model(*inputs).logits
    now, said = (x[given.row, given.before].float() for x in (now, said))
    logp = chances(now, given)
    ratio = (logp - given.logp).exp()
    within = ratio.clamp(1 - CLIP_RATIO, 1 + CLIP_RATIO)
    gain = torch.minimum(ratio * given.advantage, within * given.advantage)
    loss = -(gain * given.weight).sum() / given.weight.sum()
    now, said = now.log_softmax(-1), said.log_softmax(-1)
    moved = (now.exp() * (now - said)).sum(-1).mean()
    return loss, moved, ((ratio - within).abs() > 1e-6).float().mean()


def chances(logits: Tensor, given: Choices) -> Tensor:
    """Log chance of what was drawn, among what could be, [draws]."""
    leaned = (logits.gather(1, given.could) + given.leans) / given.temperature[:, None]
    return leaned.log_softmax(-1).gather(1, given.chosen[:, None])[:, 0]


class Manner:
    """The judge of people or machine, and what it remembers of the machine."""

    def __init__(self, people: People):
        self.people = people
        self.ear = reward.people_or_machine()
        self.optimiser = torch.optim.AdamW(self.ear.parameters(), lr=JUDGE_RATE, weight_decay=0.01)
        self.memory: deque[list[Sample]] = deque(maxlen=REMEMBERED)
        self.by_style: dict[int, list[Run]] = {}
        for runs in people.runs.values():
            for run in runs:
                self.by_style.setdefault(int(run.styles.mean(0).argmax()), []).append(run)

    def learn(self, steps: int, rng: random.Random) -> float:
        """How often it was right."""
        self.ear.train()
        right = []
        for _ in range(steps):
            pairs = [self.pair(rng) for _ in range(JUDGE_BATCH)]
            heard = reward.together([s for pair in pairs for s in pair])
            target = torch.tensor([0.9, 0.05]).repeat(JUDGE_BATCH)
            with device.autocast(torch.device("cpu")):
                said = self.ear(heard)[..., 0].float()
            known = torch.arange(said.shape[1])[None] <= heard.segments.amax(1, keepdim=True)
            target = target[:, None].expand_as(said)
            loss = F.binary_cross_entropy_with_logits(said[known], target[known])
            loss.backward()
            self.optimiser.step()
            self.optimiser.zero_grad(set_to_none=True)
            right.append(float(((said > 0) == (target > 0.5))[known].float().mean()))
        self.ear.eval()
        return float(np.mean(right))

    def pair(self, rng: random.Random) -> tuple[Sample, Sample]:
        """Bars of a person and as many of the machine's, in one style and with the same parts."""
        machine = rng.choice(rng.choice(self.memory))
        style = int(machine.style.argmax())
        runs = self.by_style.get(style) or [r for some in self.people.runs.values() for r in some]
        for _ in range(12):
            run = rng.choice(runs)
            if run.metre == machine.metre and set(machine.asked) <= set(run.parts):
                break
        bar = e.BAR_TICKS[machine.metre] // reward.CELL
        bars = min(CROP, machine.roll.shape[2] // bar, run.bars)
        first = rng.randrange(machine.roll.shape[2] // bar - bars + 1)
        told = np.eye(len(styles.NAMES), dtype=np.float32)[style]
        cropped = machine.roll[:, :, first * bar : (first + bars) * bar]
        place = rng.randrange(run.bars - bars + 1)
        roll = self.people.rolls.of(run, place, bars)
        roll[[p for p in range(MELODY_ROW) if p not in machine.asked]] = False
        shifts = (rng.randint(-5, 6) for _ in range(2))
        rolls = [reward.moved(r, s) for r, s in zip((roll, cropped), shifts, strict=True)]
        return (
            Sample(rolls[0], run.metre, machine.asked, told),
            Sample(rolls[1], machine.metre, machine.asked, told),
        )

    def state(self) -> dict:
        return {"ear": self.ear.state_dict(), "optimiser": self.optimiser.state_dict()}

    def load(self, state: dict) -> None:
        self.ear.load_state_dict(state["ear"])
        self.optimiser.load_state_dict(state["optimiser"])


@dataclass(frozen=True)
class Plan:
    minutes: float
    rounds: int | None = None
    """Instead of minutes."""
    groups: int = GROUPS

    def done(self, rounds: int, seconds: float) -> float:
        return rounds / self.rounds if self.rounds else seconds / (60 * self.minutes)


def rate(done: float, step: int) -> float:
    return min(1.0, (step + 1) / WARM_UP_STEPS) * max(train.FLOOR, min(1.0, (1 - done) / COOL_DOWN))


COLUMNS = (
    "round",
    "seconds",
    "rate",
    "chords",
    "parts",
    "drift",
    "clipped",
    "judge right",
    *(f"{kind.name} {name}" for kind in KINDS for name in REWARDS),
)


class Trainer:
    """A run: the network, its mean, the judges and where it stands."""

    def __init__(
        self,
        runs: Sequence[Run],
        folder: Path,
        plan: Plan,
        begin_from: Path,
        judges: Judges,
        compiled: bool = False,
    ):
        torch.manual_seed(SEED)
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.plan, self.last, self.judges = folder, plan, folder / "last.pt", judges
        self.training = [r for r in runs if r.split == "train"]
        self.windows = Windows(self.training)
        self.manner = Manner(People(self.training, BARS))
        self.model, saved = export.load(begin_from)
        self.controls = saved["controls"]
        self.file = copy.deepcopy(self.model).requires_grad_(False)
        self.mean = copy.deepcopy(self.model).requires_grad_(False)
        self.optimiser = torch.optim.AdamW(self.model.parameters(), lr=RATE, betas=(0.9, 0.95), weight_decay=0.0)
        self.round, self.step, self.before = 0, 0, 0.0
        self.own: deque[SelfMade] = deque(maxlen=train.COLLECTED)
        if self.last.exists():
            self.resume()
        self.forward = torch.compile(self.model) if compiled else self.model
        self.log = folder / "log.csv"
        self.begin_log()

    def begin_log(self) -> None:
        """What an earlier run wrote after its checkpoint is struck out."""
        rows = []
        if self.log.exists():
            with self.log.open(newline="") as file:
                rows = [row for row in list(csv.reader(file))[1:] if int(row[0]) <= self.round]
        with self.log.open("w", newline="") as file:
            csv.writer(file).writerows([COLUMNS, *rows])

    def resume(self) -> None:
        saved = torch.load(self.last, map_location="cpu", weights_only=True)
        self.model.load_state_dict(saved["learning"])
        self.mean.load_state_dict(saved["model"])
        self.optimiser.load_state_dict(saved["optimiser"])
        self.manner.load(saved["manner"])
        self.round, self.step, self.before = saved["round"], saved["step"], saved["elapsed"]
        print(f"goes on from round {self.round}, {self.before / 60:.1f} min", flush=True)

    def seconds(self) -> float:
        return time.monotonic() - self.started

    def run(self) -> None:
        """To the plan's end. Raises Spoilt; the checkpoint then has the last weights whose loss was a number."""
        self.saved_at = time.monotonic()
        self.started = self.saved_at - self.before
        while (done := self.plan.done(self.round, self.seconds())) < 1:
            rng = random.Random(hash((SEED, self.round)))
            played = self.play(rng)
            right = self.manner.learn(JUDGE_STEPS if self.round else JUDGE_FIRST_STEPS, rng)
            give_rewards(played, self.judges, self.manner.ear)
            compare(played)
            factor = rate(done, self.step)
            found = self.learn(played, factor, rng)
            self.round += 1
            self.line(factor, right, found, played)
            if time.monotonic() - self.saved_at > SAVE_MINUTES * 60:
                self.save()
        self.save()

    def play(self, rng: random.Random) -> list[Played]:
        tasks = [some_task(self.windows, self.training, rng) for _ in range(self.plan.groups)]
        tasks = [task for task in tasks for _ in range(TRIES)]
        requests = [task.request(self.controls, rng.randrange(1 << 30)) for task in tasks]
        # Rounded as little as can be: it learns from chances, which are to be those that it played with.
        step = export.stepper(copy.deepcopy(self.model), None)
        songs = sample.perform(step, requests, sample.Choice(again=0), brief=True)
        played = [Played(t, s, heard_of(t, s.answers)) for t, s in zip(tasks, songs, strict=True)]
        self.manner.memory.append([p.heard for p in played])
        plain = [p for p in played if p.task.kind.name == "jam"]
        self.own += [SelfMade(p.task.run, p.task.first, p.song.answers) for p in plain]
        self.windows.self_made = list(self.own)
        return played

    def learn(self, played: list[Played], factor: float, rng: random.Random) -> dict[str, float]:
        """Some steps: tries, and as much of what people play. Returns means."""
        for group in self.optimiser.param_groups:
            group["lr"] = RATE * factor
        tries = packed(rng.sample(played, len(played)), train.LENGTH)
        found: list[list[float]] = []
        for at in range(0, len(tries), WINDOWS_A_STEP):
            given = choices_of(tries[at : at + WINDOWS_A_STEP], train.LENGTH, WINDOWS_A_STEP)
            loss, moved, clipped = policy_losses(self.forward, self.file, given)
            (POLICY_WEIGHT * loss + KL_WEIGHT * moved).backward()
            ordinary, parts = train.losses(self.forward, self.windows.batch(self.step, seed=SEED))
            ordinary.backward()
            size = float(nn.utils.clip_grad_norm_(self.model.parameters(), train.CLIP))
            if not math.isfinite(size):
                raise Spoilt(f"step {self.step}: the loss is {loss.item()} and {ordinary.item()}, the gradient {size}")
            self.optimiser.step()
            self.optimiser.zero_grad(set_to_none=True)
            self.step += 1
            self.average()
            found.append([parts["chords"], parts["parts"], float(moved.detach()), float(clipped)])
        return dict(zip(("chords", "parts", "drift", "clipped"), np.nanmean(found, 0).tolist(), strict=True))

    @torch.no_grad()
    def average(self) -> None:
        share = 1 - min(AVERAGED, self.step / (self.step + 10))
        for mean, value in zip(self.mean.parameters(), self.model.parameters(), strict=True):
            mean.lerp_(value, share)

    def line(self, factor: float, right: float, found: dict[str, float], played: Sequence[Played]) -> None:
        means = []
        for kind in KINDS:
            rows = [p.rewards for p in played if p.task.kind is kind]
            means += list(np.nanmean(np.concatenate(rows), 0)) if rows else [math.nan] * len(REWARDS)
        row = [self.round, round(self.seconds(), 1), round(factor, 3), *(round(x, 4) for x in (*found.values(), right))]
        row += [round(float(x), 4) for x in means]
        with self.log.open("a", newline="") as file:
            csv.writer(file).writerow(row)
        print(*row, flush=True)

    def save(self) -> None:
        """Unless a weight is no number."""
        self.saved_at = time.monotonic()
        if not all(value.isfinite().all() for value in self.model.parameters()):
            return
        state = {
            "shape": asdict(self.model.shape),
            "model": self.mean.state_dict(),
            "learning": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "manner": self.manner.state(),
            "round": self.round,
            "step": self.step,
            "elapsed": self.seconds(),
            "controls": self.controls,
        }
        part = self.last.with_suffix(".part")
        torch.save(state, part)
        part.replace(self.last)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", type=Path, required=True)
    parser.add_argument("--begin-from", type=Path, required=True, help="a checkpoint of train.py, or of model_file.py")
    parser.add_argument("--judges", type=Path, required=True, help="of reward.py")
    parser.add_argument("--run", type=Path, required=True, help="for checkpoint and log")
    parser.add_argument("--minutes", type=float, default=60, help="in all, with what the checkpoint has behind it")
    parser.add_argument("--rounds", type=int, help="instead of minutes, in all")
    parser.add_argument("--groups", type=int, default=GROUPS, help=f"excerpts a round, each played {TRIES} times")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--no-compile", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    for path in (arguments.dataset, arguments.begin_from, arguments.judges):
        if not path.is_file():
            parser.error(f"{path} is not a file")
    plan = Plan(arguments.minutes, arguments.rounds, arguments.groups)
    judges = reward.load(arguments.judges)
    runs, compiled = dataset.load(arguments.dataset), not arguments.no_compile
    trainer = Trainer(runs, arguments.run, plan, arguments.begin_from, judges, compiled)
    try:
        trainer.run()
    except Spoilt as problem:
        kept = f"{trainer.last} holds the last good weights" if trainer.last.exists() else "nothing was saved before"
        raise SystemExit(f"{problem}; {kept}") from None
    print(f"{trainer.round} rounds, {trainer.step} steps, {trainer.seconds() / 60:.1f} min")


if __name__ == "__main__":
    main()
