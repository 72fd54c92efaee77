"""How bars stand in the network's window, and what it may write next: docs/encoding.md.

Training and sampling ask the layout for all that depends on it, so that others can be compared with the one that is
shipped (`ablations/layouts.py`).
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

from .. import encoding as e
from ..dataset import Run
from ..encoding import Bar, Note

if TYPE_CHECKING:
    from .model import Outputs
    from .sample import Feed, Song


class Role(IntEnum):
    """Who says a token, and what about."""

    GIVEN = 0
    """Structure, by the host."""
    HEARD = 1
    """Melody."""
    CHORD = 2
    OPENING = 3
    """By the host, before the model's first choice of an answer."""
    CHOSEN = 4
    """What the parts play, by the model."""
    CLOSING = 5
    """The model's END."""


class Layout:
    """The shipped one."""

    margin = 0
    """So many places at the window's end are left free where the sampler sees to its room: for longer bars."""

    # Reading

    def segments(self, metre: int) -> Sequence[tuple[int, int]]:
        """The stretches of a jam bar that are answered one after the other, in ticks."""
        return e.SEGMENTS[metre]

    def chords(self, bar: Bar) -> list[int]:
        """One class for each of the bar's chord tokens."""
        return bar.chords

    def encode(self, bar: Bar, lead: float = e.DEFAULT_LEAD, following: Sequence[Note] | None = None) -> list[int]:
        """`following`: the melody of the next bar, where it is known with that of this one."""
        return e.encode(bar, lead)

    def known_melody(self, bar: Bar, following: Sequence[Note] | None) -> list[int]:
        """What stands before the chords of a bar whose melody is known."""
        return [e.BAR + bar.metre, *e.note_list(n for n in bar.melody if n.start >= 0)]

    def heard(self, bar: Bar, segment: int, lead: float) -> list[int]:
        return e.encode_heard(bar, segment, lead)

    def roles(self, tokens: Sequence[int]) -> list[Role]:
        """Of the tokens of whole bars."""
        roles, playing = [], False
        for token in tokens:
            if e.CHORD <= token < e.NOTE:
                roles.append(Role.CHORD)
            elif playing:
                roles.append(Role.CLOSING if token == e.END else Role.CHOSEN)
                playing = token != e.END
            elif e.PART <= token < e.BAR:
                roles.append(Role.OPENING)
                playing = True
            else:
                roles.append(Role.HEARD if token >= e.POS else Role.GIVEN)
        return roles

    def velocities(self, bar: Bar) -> list[int]:
        """Of the notes in the asked parts, in the order of their tokens."""
        return e.part_velocities(bar)

    def melody_shares(self, run: Run, bar: int) -> np.ndarray:
        """What share of each segment of a jam bar each pitch class sounds in the melody, [segments, 12]."""
        return run.melody_classes()[bar]

    # Writing

    def answer(
        self, song: Song, asked: Sequence[int], line: tuple[int, int], answer: Bar
    ) -> Generator[Feed, Outputs, None]:
        """The song writes the notes of the parts in a stretch, after its chords, and END."""
        return song.parts(asked, line, answer)


SHIPPED = Layout()
