"""Teaches the shipped model one more style, from a folder of the user's own MIDI files.

python -m obbligato_models.transformer.finetune --data FOLDER --style-name NAME --out NAME.onnx --minutes 15

It starts from the .onnx file itself. The songs that file was trained on are not here, so what it can do already is kept
by the file's own word: first it plays to the folder's melodies in the styles it has, and in half of each step the
network is asked what comes next in that music, and drawn to what the file says. The other half learns the new style.
What is exported is the running mean of the weights that did best on songs of the folder that were not trained on.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .. import encoding as e
from .. import export, folder, styles
from ..dataset import Run
from . import device, replay, train
from .model import Transformer
from .model_file import Refused, begin_like, place_beside, read_file, write_file
from .train import Windows

SHIPPED = export.MODELS / "weights" / "accompanist.onnx"
MOST_STYLES = e.ATTRIBUTES - e.STYLES
RATE = 2e-4
WARM_UP_STEPS = 20
LEARNT, RECALLED = 4, 4
"""Windows a step: of the new style, and of what the file played."""
PLAYED, PLAYED_HELD_OUT = 40, 8
"""Excerpts that the file plays before the lesson: to ask about, and to measure by."""
RECALL_WEIGHT = 1.0
READINGS_WEIGHT = 0.1
"""Of the outputs beside the logits, in the distance from the file."""
AVERAGED = 0.97
"""How much of the running mean of the weights stays at a step."""
DRIFT_BATCHES = 4
CHECK_STEPS = 25
CHECKED_WINDOWS = 6
"""Of each kind, melody known and jam."""
PATIENCE = 6
"""Checks without a gain after which it is over."""
LONGEST_NAME = 40


def check_name(name: str, taken: Sequence[str]) -> str:
    """The name as it will be shown. Raises Refused."""
    name = " ".join(name.split())
    if not name or len(name) > LONGEST_NAME or "|" in name:
        raise Refused(f"a style's name has 1 to {LONGEST_NAME} letters and no |")
    if name.lower() in (other.lower() for other in taken):
        raise Refused(f"the model has a style {name} already: choose another name")
    if len(taken) >= MOST_STYLES:
        raise Refused(f"the model has {len(taken)} styles already, and there is room for {MOST_STYLES}")
    return name


# Styles


def in_style(batch: dict[str, Tensor], style: Tensor) -> dict[str, Tensor]:
    """The same windows asked for in another style, [12]."""
    cond = batch["cond"].clone()
    cond[..., e.STYLES : e.STYLES + MOST_STYLES] = style
    return {**batch, "cond": cond}


def one_style(index: int) -> Tensor:
    return F.one_hot(torch.tensor(index), MOST_STYLES).float()


@torch.no_grad()
def loss_in_style(model: Transformer, windows: Windows, style: Tensor, count: int = CHECKED_WINDOWS) -> float:
    """Nats a token of chords and parts, melody known and jam, on the same windows each time."""
    found = []
    for known in (True, False):
        for i in range(0, count, LEARNT):
            batch = windows.batch(i, size=min(LEARNT, count - i), seed=99, known=known)
            found.append(train.losses(model, in_style(batch, style))[1])
    return float(np.mean([f[kind] for f in found for kind in ("chords", "parts")]))


def nearest_style(model: Transformer, windows: Windows, count: int) -> tuple[int, list[float]]:
    """The style in which the model finds the new music likeliest, and the loss in each."""
    losses = [loss_in_style(model, windows, one_style(i)) for i in range(count)]
    return int(np.argmin(losses)), losses


def means(runs: Sequence[Run]) -> dict:
    """What the style's controls say: per part the mean of each measure, by bars."""
    sums = np.zeros((len(e.PARTS), len(styles.MEASURES), 2))
    for run in runs:
        for first in range(0, run.bars, styles.STRETCH):
            bars = slice(first, min(run.bars, first + styles.STRETCH))
            for part in run.parts:
                for m, value in enumerate(run.attributes(part, bars)):
                    if value is not None:
                        sums[part, m] += value * (bars.stop - bars.start), bars.stop - bars.start
    return {
        part: {
            measure: round(float(sums[p, m, 0] / sums[p, m, 1]), 2)
            for m, measure in enumerate(styles.MEASURES)
            if sums[p, m, 1] and (measure != "polyphony" or part == "chords")
        }
        for p, part in enumerate(e.PARTS)
    }


# Training


@dataclass
class Lesson:
    """What was learnt and what it cost."""

    nearest: int
    before: float
    """Loss on the folder's held-out songs, in the nearest of the styles there were."""
    after: float
    steps: int = 0
    """Of the weights that did best."""
    drift: float = 0.0
    """Nats a token that the network's word in the styles there were has moved from the file's."""
    log: list[list[float]] = field(default_factory=list)
    """Step, loss, drift of that step, loss on held-out songs."""


class Tutor:
    """Teaches a network the style at place `new`, with the file's network beside it."""

    def __init__(self, model: Transformer, new: int, runs: Sequence[Run], seed: int):
        torch.manual_seed(seed)
        self.random, self.seed = np.random.default_rng(seed), seed
        self.windows = Windows([r for r in runs if r.split == "train"], {folder.SOURCE: 1.0})
        self.held_out = Windows([r for r in runs if r.split == "validation"], {folder.SOURCE: 1.0})
        self.model, self.new, self.style = model, new, one_style(new)
        self.file = copy.deepcopy(model)
        self.memory = self.played([r for r in runs if r.split == "train"], PLAYED)
        self.held_out_memory = self.played([r for r in runs if r.split == "validation"], PLAYED_HELD_OUT)
        nearest, losses = nearest_style(self.file, self.held_out, new)
        begin_like(model, new, nearest)
        self.mean = copy.deepcopy(model)
        self.best = copy.deepcopy(model.state_dict())
        self.lesson = Lesson(nearest, min(losses), min(losses))
        self.optimiser = torch.optim.AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.95), weight_decay=0.0)
        self.step = 0

    def played(self, runs: Sequence[Run], songs: int) -> Windows:
        return Windows(replay.played(self.file, self.new, runs, songs, self.random), {replay.SOURCE: 1.0})

    def teach(self, left: float) -> tuple[float, float]:
        """One step; `left` is the share of the time. Returns the loss and the drift. Raises Refused where they are no
        numbers."""
        for group in self.optimiser.param_groups:
            group["lr"] = RATE * min(1.0, (self.step + 1) / WARM_UP_STEPS) * left
        loss, _ = train.losses(self.model, in_style(self.windows.batch(self.step, LEARNT, self.seed), self.style))
        apart = distance(self.model, self.file, self.memory.batch(self.step, RECALLED, self.seed + 1))
        (loss + RECALL_WEIGHT * apart).backward()
        size = torch.nn.utils.clip_grad_norm_(self.model.parameters(), train.CLIP).item()
        if not math.isfinite(loss.item() + apart.item() + size):
            raise Refused(f"step {self.step}: the loss is {loss.item()}; nothing was written")
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.step += 1
        self.average()
        return loss.item(), apart.item()

    @torch.no_grad()
    def average(self) -> None:
        share = 1 - min(AVERAGED, self.step / (self.step + 10))
        for mean, value in zip(self.mean.parameters(), self.model.parameters(), strict=True):
            mean.lerp_(value, share)

    def check(self, loss: float, apart: float) -> bool:
        """Keeps the weights if they are the best. False: there is no more to gain."""
        held_out, lesson = loss_in_style(self.mean, self.held_out, self.style), self.lesson
        lesson.log.append([self.step, round(loss, 4), round(apart, 4), round(held_out, 4)])
        print(f"step {self.step}: loss {loss:.3f}, drift {apart:.4f}, held-out songs {held_out:.3f}", flush=True)
        if held_out < lesson.after:
            self.best = copy.deepcopy(self.mean.state_dict())
            lesson.after, lesson.steps = held_out, self.step
        return self.step - lesson.steps < PATIENCE * CHECK_STEPS

    def end(self) -> Lesson:
        """Gives the model the best weights."""
        self.model.load_state_dict(self.best)
        self.lesson.drift = drift(self.model, self.file, self.held_out_memory)
        return self.lesson


def learn(model: Transformer, new: int, runs: Sequence[Run], minutes: float, seed: int = 1) -> Lesson:
    """Trains `model` in place. Raises Refused where the loss is not a number; the model is then spoilt."""
    tutor, started = Tutor(model, new, runs, seed), time.monotonic()
    while (share := share_of_time(started, minutes)) < 1:
        loss, apart = tutor.teach(1 - share)
        if tutor.step % CHECK_STEPS == 0 and not tutor.check(loss, apart):
            break
    return tutor.end()


def share_of_time(started: float, minutes: float) -> float:
    return (time.monotonic() - started) / (60 * minutes)


def distance(model: Transformer, file: Transformer, batch: dict[str, Tensor]) -> Tensor:
    """How far the network is from what the file says of the same windows: nats a token, and the readings beside."""
    where = device.device_of(model)
    batch = device.on_device(batch, where)
    inputs = batch["ids"][:, :-1], batch["cond"][:, :-1], train.may_look(batch)
    with device.autocast(where):
        with torch.no_grad():
            said = file(*inputs)
        now = model(*inputs)
    weight = batch["weight"][:, 1:]
    now_logits, said_logits = (x.logits.float().log_softmax(-1) for x in (now, said))
    each = F.kl_div(now_logits, said_logits, reduction="none", log_target=True).sum(-1)
    nats = (each * weight).sum() / weight.sum()
    beside = sum(
        F.mse_loss(a.float(), b.float()) for a, b in ((now.loudness, said.loudness), (now.coming, said.coming))
    )
    return nats + READINGS_WEIGHT * beside


@torch.no_grad()
def drift(model: Transformer, file: Transformer, windows: Windows) -> float:
    batches = (windows.batch(i, RECALLED, seed=98) for i in range(DRIFT_BATCHES))
    return float(np.mean([float(distance(model, file, batch)) for batch in batches]))


def finetune(base: Path, data: Path, name: str, out: Path, minutes: float) -> Lesson:
    """Reads the folder, trains, writes `out` and beside it the log. Raises Refused or folder.TooLittle."""
    file = read_file(base)
    name = check_name(name, file.styles)
    found = folder.read_folder(data)
    print(found.report(), flush=True)
    runs = folder.enough(found)
    new = len(file.styles)
    lesson = learn(file.model.to(device.join().device), new, runs, minutes)
    nearest = file.styles[lesson.nearest]
    place_beside(file, name, new, lesson.nearest)
    controls = json.loads(file.fields["controls"])
    controls["styles"][name] = means(runs)
    file.fields |= {
        "name": name,
        "controls": json.dumps(controls),
        "data": f"{file.fields['data']}; for the style {name}: {len(found.songs)} files of the user's",
        "licence": f"{file.fields['licence']}, as far as the files of the style {name} allow",
        "scores": json.dumps(scores(lesson, name, nearest, found, file.fields["name"])),
    }
    write_file(out, file)
    print(
        f"{name}: loss on held-out songs {lesson.before:.3f} (as {nearest}) -> {lesson.after:.3f} after {lesson.steps} "
        f"steps; the other styles moved by {lesson.drift:.4f} nats a token\n{out}"
    )
    return lesson


def scores(lesson: Lesson, name: str, nearest: str, found: folder.Folder, base: str) -> dict:
    return {
        "fine-tuned from": base,
        "style": name,
        "nearest": nearest,
        "songs": len(found.songs),
        "bars": found.bars,
        "steps": lesson.steps,
        "loss before": round(lesson.before, 4),
        "loss after": round(lesson.after, 4),
        "drift of the other styles": round(lesson.drift, 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of .mid files")
    parser.add_argument("--style-name", required=True)
    parser.add_argument("--out", type=Path, required=True, help="the .onnx file to write")
    parser.add_argument("--minutes", type=float, default=15, help="at most; it ends when held-out songs gain no more")
    parser.add_argument("--base", type=Path, default=SHIPPED, help="the .onnx file to begin with")
    parser.add_argument("--threads", type=int, help="processor cores [default: all]")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    try:
        finetune(arguments.base, arguments.data, arguments.style_name, arguments.out, arguments.minutes)
    except (Refused, folder.TooLittle) as problem:
        print(f"finetune: {problem}", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
