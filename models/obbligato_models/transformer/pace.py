"""Keeps to the density that was asked for: onsets come sooner while there have been too few, later after too many.

The network is told the density, but what it has just played speaks louder. So the chance of each next position is
multiplied by exp(-pull * gap), gap in quarter notes to the onset before: among the places the network likes, the nearer
or the farther. `pull` follows the onsets that are missing since some bars, as an integral controller does, so what is
played comes to what was asked whatever the network makes of it.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from .. import encoding as e

BARS = 8
"""What is missing from longer ago is forgiven."""
GAIN = 1.2
"""Pull, in nats a quarter note, for each onset that is missing."""
MOST = 4.0


class Pace:
    """The onsets of one part. Densities in onsets a quarter note; nothing is pulled where none is asked for."""

    def __init__(self):
        self.missing: deque[float] = deque(maxlen=BARS)
        self.asked: float | None = None

    def begin_bar(self, asked: float | None) -> None:
        self.asked = asked
        self.missing.append(0.0)

    def played(self, onsets: int, ticks: int) -> None:
        """A segment, or a bar, was written."""
        if self.asked is not None:
            self.missing[-1] += self.asked * ticks / e.GRID - onsets

    def pull(self, onsets: int, ticks: int) -> float:
        """With so many onsets in the first `ticks` of the segment."""
        if self.asked is None:
            return 0.0
        missing = sum(self.missing) + self.asked * ticks / e.GRID - onsets
        return float(np.clip(GAIN * missing, -MOST, MOST))

    def pace(
        self, logits: np.ndarray, allowed: np.ndarray, written: list[int], line: tuple[int, int], then: int
    ) -> np.ndarray:
        """The logits with the next positions, and `then`, the token that ends the part, pulled nearer or farther.
        `line`: where the segment begins and ends. How likely it is that any of these comes, and not one more note at
        the same position, stays as it is."""
        if self.asked is None or not allowed[then]:
            return logits
        positions = [token - e.POS for token in written if token < e.CHORD]
        last = positions[-1] if positions else line[0]
        pull = self.pull(len(positions), last - line[0])
        ahead = np.append(np.flatnonzero(allowed[: e.CHORD] & (np.arange(e.CHORD) >= e.POS)), then)
        gaps = np.append(ahead[:-1] - e.POS, line[1]) - last
        before = logits[ahead]
        pulled = before - pull * gaps / e.GRID
        paced = logits.copy()
        paced[ahead] = pulled + log_sum(before) - log_sum(pulled)
        return paced


def log_sum(logits: np.ndarray) -> float:
    most = logits.max()
    return float(most + np.log(np.exp(logits - most).sum()))


def asked_density(cond: np.ndarray, part: int) -> float | None:
    """In onsets a quarter note, from a condition vector."""
    value, known = cond[e.ATTRIBUTES + 6 * part : e.ATTRIBUTES + 6 * part + 2]
    return max(0.0, 2.0 ** float(value) - e.LEAST_DENSITY) if known else None
