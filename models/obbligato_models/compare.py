"""How far the words of one model file are from another's, on music that neither has learnt from.

python -m obbligato_models.compare before.onnx weights/accompanist.onnx --dataset data/songs.npz

Both are read into PyTorch and shown windows of held-out songs, as a training run is validated with (takes, for
drummers: `drums.dataset` writes their file). Counted are the tokens that the program draws: no melody that is heard.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import dataset
from .drums import dataset as takes
from .drums import train as drums
from .extend import windows as extend
from .transformer import model_file
from .transformer import train as accompanist

Batch = dict[str, Tensor]
SEED = 99
BATCHES = 12


@dataclass
class Distance:
    tokens: int
    """Counted."""
    nats: float
    """How much less likely the second makes what people played, a token on average."""
    error: float
    """Standard error of that."""
    divergence: float
    """Mean divergence of the second's words from the first's, in nats."""
    logit: float
    """The largest move of a logit."""


def batches(engine: str, path: Path, count: int) -> Iterator[Batch]:
    if engine == "drums":
        held_out = drums.Windows([take for take in takes.load(path) if take.split == "validation"])
        yield from (held_out.batch(i, seed=SEED) for i in range(count))
        return
    runs = [run for run in dataset.load(path) if run.split == "validation"]
    if engine == "extender":
        yield from (extend.Windows(runs).batch(SEED, i, accompanist.BATCH) for i in range(count))
    else:
        windows = accompanist.Windows(runs)
        yield from (windows.batch(i, seed=SEED, known=i % 2 == 0) for i in range(count))


def logits(model: nn.Module, engine: str, batch: Batch) -> Tensor:
    """[tokens, words], single precision."""
    ids, cond = batch["ids"][:, :-1], batch["cond"][:, :-1]
    if engine == "drums":
        return model(ids, cond, drums.may_look(batch)).flatten(0, 1)
    return model(ids, cond, accompanist.may_look(batch)).logits.flatten(0, 1)


@torch.no_grad()
def distance(models: list[nn.Module], engine: str, shown: Iterator[Batch]) -> Distance:
    worse, apart, moved = [], [], 0.0
    for batch in shown:
        target = batch["ids" if engine == "drums" else "target"][:, 1:].flatten()
        counted = batch["weight"][:, 1:].flatten() > accompanist.MELODY_WEIGHT
        words = [logits(model, engine, batch)[counted] for model in models]
        losses = [F.cross_entropy(each, target[counted], reduction="none") for each in words]
        worse.append(losses[1] - losses[0])
        moved = max(moved, float((words[1] - words[0]).abs().max()))
        likely = [each.log_softmax(-1) for each in words]
        apart.append((likely[0].exp() * (likely[0] - likely[1])).sum(-1))
    all_worse, all_apart = torch.cat(worse).double(), torch.cat(apart).double()
    error = float(all_worse.std() / len(all_worse) ** 0.5)
    return Distance(len(all_worse), float(all_worse.mean()), error, float(all_apart.mean()), moved)


def compared(files: list[Path], dataset: Path, count: int) -> Distance:
    graphs = [model_file.graph_of(path) for path in files]
    engine, other = map(model_file.over_tokens, graphs)
    if engine != other:
        raise model_file.Refused(f"the files are of two engines, {engine} and {other}")
    return distance([model_file.network_of(graph) for graph in graphs], engine, batches(engine, dataset, count))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs=2, help="two .onnx files of one engine")
    parser.add_argument("--dataset", type=Path, required=True)
    parser.add_argument("--batches", type=int, default=BATCHES)
    given = parser.parse_args()
    try:
        found = compared(given.files, given.dataset, given.batches)
    except (model_file.Refused, OSError) as problem:
        raise SystemExit(f"compare: {problem}") from None
    print(f"{found.tokens} tokens: {found.nats:+.5f} nats a token (standard error {found.error:.5f}),")
    print(f"divergence {found.divergence:.5f} nats; a logit moves by {found.logit:.3f} at most")


if __name__ == "__main__":
    main()
