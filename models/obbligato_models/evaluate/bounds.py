"""What does a value have to be, and is it?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .intervals import Estimate


@dataclass(frozen=True)
class Bound:
    """What a value has to be: `at least`, `at most`, or `within` so much of 0. Beside the human it is the difference
    from the human's value that has to be so."""

    kind: str
    gate: float
    aim: float
    beside_human: bool = False

    def passes(self, value: float, limit: float) -> bool:
        if self.kind == "at least":
            return value >= limit
        return value <= limit if self.kind == "at most" else abs(value) <= limit

    def worst(self, found: Estimate) -> float:
        if self.kind == "at least":
            return found.low
        return found.high if self.kind == "at most" else max(found.low, found.high, key=abs)

    def best(self, found: Estimate) -> float:
        if self.kind == "at least":
            return found.high
        if self.kind == "at most":
            return found.low
        return 0.0 if found.low <= 0 <= found.high else min(found.low, found.high, key=abs)

    def words(self, limit: float) -> str:
        if self.kind == "within":
            return f"within {limit:.3g}"
        sign = "≥" if self.kind == "at least" else "≤"
        return f"{sign} human {limit:+.3g}" if self.beside_human else f"{sign} {limit:.3g}"

    def verdict(self, judged: Estimate) -> str:
        """`aim`, `first gate` or `missed`; with a question mark where the interval has both sides of the limit."""
        if np.isnan(judged.value):
            return "not measured"
        for name, limit in (("aim", self.aim), ("first gate", self.gate)):
            if self.passes(judged.value, limit):
                return name if self.passes(self.worst(judged), limit) else f"{name} ?"
        return "missed ?" if self.passes(self.best(judged), self.gate) else "missed"


def least(gate: float, aim: float) -> Bound:
    return Bound("at least", gate, aim)


def most(gate: float, aim: float) -> Bound:
    return Bound("at most", gate, aim)


def near_human(gate: float, aim: float) -> Bound:
    return Bound("within", gate, aim, beside_human=True)
