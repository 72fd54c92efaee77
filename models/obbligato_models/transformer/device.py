"""Where a training process computes, in which precision, and which processes work beside it.

Alone: `python -m ...train`. Together: `torchrun --nproc_per_node N -m ...train`, over gloo on processors, nccl on GPUs.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.distributed as distributed
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel


@dataclass(frozen=True)
class Process:
    """One of `count` that train one network, each on its share of every step's windows."""

    device: torch.device
    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether it logs and saves."""
        return self.rank == 0

    def joined(self, model: nn.Module) -> nn.Module:
        """The network as it is called in training: gradients become the mean over the processes."""
        return DistributedDataParallel(model) if self.count > 1 else model

    def mean(self, values: Sequence[float]) -> list[float]:
        """The means over all processes, of those values that are numbers; the same in each process."""
        if self.count == 1:
            return list(values)
        given = torch.tensor(values, dtype=torch.float64, device=self.device)
        known = ~given.isnan()
        both = torch.stack([torch.where(known, given, 0), known.double()])
        distributed.all_reduce(both)
        return (both[0] / both[1]).tolist()

    def from_first(self, value: float) -> float:
        """What the first process says, in all."""
        if self.count == 1:
            return value
        said = torch.tensor(value, dtype=torch.float64, device=self.device)
        distributed.broadcast(said, 0)
        return float(said)


def join() -> Process:
    """This process, on a GPU where there is one; with those that torchrun has started beside it."""
    rank, count = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    if torch.cuda.is_available():
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
        torch.cuda.set_device(device)
    else:
        device = torch.device("cpu")
    if count > 1:
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return Process(device, rank, count)


def leave(process: Process) -> None:
    """Together: a process that left first would tear the others' connections while they still save."""
    if process.count > 1:
        distributed.barrier()
        distributed.destroy_process_group()


def usual_threads() -> int:
    """The machine's cores, divided among the processes on it."""
    return max(1, (os.cpu_count() or 1) // int(os.environ.get("LOCAL_WORLD_SIZE", 1)))


def device_of(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def on_device(batch: dict[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    return {key: value.to(device, non_blocking=True) for key, value in batch.items()}


def autocast(device: torch.device) -> torch.autocast:
    """bf16 where the device is faster with it."""
    return torch.autocast(device.type, torch.bfloat16, enabled=faster_in_bf16(device))


@lru_cache
def faster_in_bf16(device: torch.device) -> bool:
    """Measured, once: processors without instructions for it compute bf16 too, but slowly, and do not say so."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    single, half = (multiplication_seconds(kind) for kind in (torch.float32, torch.bfloat16))
    return half < single


def multiplication_seconds(kind: torch.dtype, rounds: int = 5) -> float:
    """The shortest of some tries."""
    a, b = torch.ones(1024, 512, dtype=kind), torch.ones(512, 512, dtype=kind)
    tries = []
    for _ in range(rounds):
        started = time.perf_counter()
        a @ b
        tries.append(time.perf_counter() - started)
    return min(tries[1:])
