"""Weights between those of two checkpoints.

python -m obbligato_models.transformer.between runs/accompanist/last.pt runs/rewarded/last.pt runs/between.pt

What was learnt by reward is in part bought with what was there before; a network half-way often has most of both
(Wortsman et al., *Robust fine-tuning of zero-shot models*, 2022).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch


class Unlike(Exception):
    """The networks are not of one shape."""


def between(before: dict, after: dict, share: float) -> dict:
    """A checkpoint to evaluate, export or begin from. `share`: of the second. Raises Unlike."""
    if before["shape"] != after["shape"]:
        raise Unlike(f"one network has the shape {before['shape']}, the other {after['shape']}")
    weights = {name: value.lerp(after["model"][name], share) for name, value in before["model"].items()}
    return {"shape": before["shape"], "model": weights, "controls": before["controls"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("out", type=Path, help="the .pt file to write")
    parser.add_argument("--share", type=float, default=0.5, help="of the second, 0 to 1")
    arguments = parser.parse_args()
    if not 0 <= arguments.share <= 1:
        parser.error("--share is from 0 to 1")
    try:
        given = [torch.load(p, map_location="cpu", weights_only=True) for p in (arguments.before, arguments.after)]
        torch.save(between(*given, arguments.share), arguments.out)
    except (OSError, Unlike) as problem:
        parser.error(str(problem))


if __name__ == "__main__":
    main()
