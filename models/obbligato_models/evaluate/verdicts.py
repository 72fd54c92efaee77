"""Limits for a handful of values of many songs, as a table: for the engines that have few gates."""

from __future__ import annotations

from dataclasses import dataclass

from .bounds import Bound
from .intervals import Estimate


@dataclass(frozen=True)
class Verdict:
    name: str
    bound: Bound
    found: Estimate
    human: float | None = None

    @property
    def judged(self) -> Estimate:
        """The value, or how far it is from people's."""
        if not self.bound.beside_human or self.human is None:
            return self.found
        return Estimate(*(value - self.human for value in self.found))

    def cells(self) -> list[str]:
        human = "–" if self.human is None else f"{self.human:.3f}"
        value, low, high = (f"{x:.3f}" for x in self.found)
        return [self.name, human, f"{value} ({low} to {high})", self.bound.words(self.bound.gate), self.said]

    @property
    def said(self) -> str:
        return self.bound.verdict(self.judged)


def table(verdicts: list[Verdict]) -> str:
    lines = ["| | people | found (95 %) | gate | verdict |", "|---|---|---|---|---|"]
    return "\n".join([*lines, *(f"| {' | '.join(v.cells())} |" for v in verdicts)])


def as_json(verdicts: list[Verdict]) -> dict:
    return {
        v.name: {"value": round(v.found.value, 4), "low": round(v.found.low, 4), "high": round(v.found.high, 4),
                 "human": v.human if v.human is None else round(v.human, 4), "verdict": v.said}
        for v in verdicts
    }  # fmt: skip


def measured(value: float) -> Estimate:
    """Of what has no songs to draw from."""
    return Estimate(value, value, value)
