"""What the trainers of rolls and melodies have in common: a run's folder with its log and checkpoints, going on, the
end of the time, and the stop when a loss is no number.

The transformer's and the drummer's trainers came before it and have their own (several processes; two files each).
"""

from __future__ import annotations

import argparse
import csv
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from .transformer.train import Plan, Spoilt, rate

SAVE_MINUTES = 3
LOG_STEPS = 20
CHECK_STEPS = 500

Measures = dict[str, float]


class Session:
    """A run: its networks, their optimisers, and where it stands. Goes on from `last.pt` where there is one.

    All that is random in a step is drawn from the step's number, so a run that was stopped goes on as if it had not
    been.
    """

    def __init__(
        self,
        folder: Path,
        plan: Plan,
        networks: Mapping[str, nn.Module],
        optimisers: Mapping[str, Sequence[torch.optim.Optimizer]],
        columns: Sequence[str],
        facts: dict | None = None,
    ):
        """`optimisers`: of the network with that name. `columns`: what is logged of each step. `facts`: what else a
        checkpoint holds, for export."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.last, self.plan = folder, folder / "last.pt", plan
        self.networks, self.optimisers, self.facts = networks, optimisers, facts or {}
        self.scale = dict.fromkeys(optimisers, 1.0)
        """Of a network's rate, for parts of a training."""
        self.rates = {name: [[g["lr"] for g in o.param_groups] for o in some] for name, some in optimisers.items()}
        self.factor = 1.0
        self.step, self.before, self.started = 0, 0.0, time.monotonic()
        if self.last.exists():
            self.resume()
        self.columns = list(columns)
        self.recent: list[list[float]] = []
        self.write_log(self.kept_lines())

    def resume(self) -> None:
        saved = torch.load(self.last, map_location="cpu", weights_only=True)
        for name, network in self.networks.items():
            network.load_state_dict(saved[name])
        for name, some in self.optimisers.items():
            for optimiser, state in zip(some, saved["optimisers"][name], strict=True):
                optimiser.load_state_dict(state)
        self.facts.update({name: saved[name] for name in self.facts if name in saved})
        self.step, self.before = saved["step"], saved["elapsed"]
        print(f"goes on from step {self.step}, {self.before / 60:.1f} min")

    def seconds(self) -> float:
        """Of training, in all."""
        return time.monotonic() - self.started

    def steps(self, seed: int, check: Callable[[int], Measures]) -> Iterator[float]:
        """To the plan's end: for each step the share of the plan that is behind. `check` measures held-out music, every
        `CHECK_STEPS`."""
        saved_at = time.monotonic()
        self.started = saved_at - self.before
        while (done := self.plan.done(self.step, self.seconds())) < 1:
            torch.manual_seed(seed * 1_000_003 + self.step)
            self.factor = rate(done, self.step)
            yield done
            self.step += 1
            if self.step % LOG_STEPS == 0:
                self.line(check(self.step) if self.step % CHECK_STEPS == 0 else {})
            if time.monotonic() - saved_at > SAVE_MINUTES * 60:
                self.save()
                saved_at = time.monotonic()
        self.save()

    def learn(self, name: str, loss: Tensor, clip: float) -> float:
        """One step of a network's optimisers. Returns the gradient's norm. Raises Spoilt where it is no number: the
        weights are as they were."""
        self.networks[name].zero_grad(set_to_none=True)
        loss.backward()
        size = float(nn.utils.clip_grad_norm_(self.networks[name].parameters(), clip))
        if not math.isfinite(size):
            raise Spoilt(f"step {self.step}: the loss is {loss.item()}, the gradient {size}")
        for optimiser, rates in zip(self.optimisers[name], self.rates[name], strict=True):
            for group, value in zip(optimiser.param_groups, rates, strict=True):
                group["lr"] = value * self.factor * self.scale[name]
            optimiser.step()
        return size

    def save(self, path: Path | None = None) -> None:
        """Unless a weight is no number."""
        if not all(v.isfinite().all() for network in self.networks.values() for v in network.parameters()):
            return
        state = {name: network.state_dict() for name, network in self.networks.items()}
        state["optimisers"] = {name: [o.state_dict() for o in some] for name, some in self.optimisers.items()}
        state |= {"step": self.step, "elapsed": self.seconds(), **self.facts}
        write_checkpoint(path or self.last, state)

    # The log: a line every LOG_STEPS, means since the line before

    def kept_lines(self) -> list[list[str]]:
        """Without what an earlier run wrote after its checkpoint, and lost."""
        path = self.folder / "log.csv"
        if not path.exists():
            return []
        with path.open(newline="") as file:
            return [row for row in list(csv.reader(file))[1:] if int(row[0]) <= self.step]

    def write_log(self, rows: Sequence[Sequence[str]]) -> None:
        header = ["step", "seconds", "steps a second", *self.columns, "validation"]
        with (self.folder / "log.csv").open("w", newline="") as file:
            csv.writer(file).writerows([header, *rows])
        self.line_at = time.monotonic()

    def note(self, values: Mapping[str, float]) -> None:
        self.recent.append([values.get(name, float("nan")) for name in self.columns])

    def line(self, checked: Measures) -> None:
        known = np.array(self.recent, float).reshape(-1, len(self.columns))
        counts = (~np.isnan(known)).sum(0)
        means = np.divide(np.nansum(known, 0), counts, out=np.full(len(counts), np.nan), where=counts > 0)
        speed = len(self.recent) / (time.monotonic() - self.line_at)
        row = [self.step, round(self.seconds(), 1), round(speed, 3), *means.round(4).tolist()]
        row.append(" ".join(f"{k}={v:.4f}" for k, v in checked.items()))
        self.recent, self.line_at = [], time.monotonic()
        with (self.folder / "log.csv").open("a", newline="") as file:
            csv.writer(file).writerow(row)
        print(*row, flush=True)


def write_checkpoint(path: Path, state: dict) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.replace(path)


def to_the_end(session: Session, learn: Callable[[], None]) -> None:
    """Runs a trainer. A loss that is no number ends the program in words."""
    try:
        learn()
    except Spoilt as problem:
        kept = f"{session.last} holds the last good weights" if session.last.exists() else "nothing was saved before"
        raise SystemExit(f"{problem}; {kept}") from None
    print(f"{session.step} steps, {session.seconds() / 60:.1f} min")


def parser(description: str | None, minutes: float) -> argparse.ArgumentParser:
    """The options that these trainers share."""
    found = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument("--dataset", type=Path, required=True)
    found.add_argument("--run", type=Path, required=True, help="folder for checkpoints, log and samples")
    found.add_argument("--minutes", type=float, default=minutes, help="in all, with what the checkpoint has behind it")
    found.add_argument("--steps", type=int, help="instead of minutes, in all")
    found.add_argument("--threads", type=int, help="processor cores [default: all]")
    found.add_argument("--tiny", action="store_true", help="a small network, to try the pipeline")
    return found


def plan_of(given: argparse.Namespace) -> Plan:
    """And the threads that were asked for."""
    if given.threads:
        torch.set_num_threads(given.threads)
    return Plan(given.minutes, given.steps)


class Ahead:
    """Draws batches by their numbers, the next one while this one is learnt from."""

    def __init__(self, draw: Callable[[int], dict[str, Tensor]]):
        self.draw, self.pool = draw, ThreadPoolExecutor(1)
        self.waiting: dict[int, Future] = {}

    def batch(self, number: int) -> dict[str, Tensor]:
        found = self.waiting.pop(number, None) or self.pool.submit(self.draw, number)
        self.waiting = {number + 1: self.pool.submit(self.draw, number + 1)}
        return found.result()
