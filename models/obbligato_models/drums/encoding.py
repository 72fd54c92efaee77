"""Strokes as tokens: encoding 1 of docs/drums.md."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

GRID = 12
INSTRUMENTS = (
    "kick", "snare", "side stick", "closed hat", "open hat", "pedal hat", "low tom", "mid tom", "high tom", "crash",
    "ride",
)  # fmt: skip
KICK, SNARE, SIDE_STICK, CLOSED_HAT, OPEN_HAT, PEDAL_HAT, LOW_TOM, MID_TOM, HIGH_TOM, CRASH, RIDE = range(11)
KEYS = (36, 38, 37, 42, 46, 44, 45, 47, 50, 49, 51)
"""General MIDI keys the instruments are written with."""
ALSO = ((35,), (39, 40), (), (22,), (26,), (), (41, 43, 58), (), (48,), (52, 55, 57), (53, 59))
"""Other keys that are read as the same instrument."""
INSTRUMENT_OF = {key: i for i, (own, others) in enumerate(zip(KEYS, ALSO, strict=True)) for key in (own, *others)}
FEET = (KICK, PEDAL_HAT)
HANDS = 2

SEGMENTS = ((0, 24), (24, 48), (0, 36), (0, 18), (18, 36))
"""Ticks of the bar, by kind: 4/4 first and second half (or two bars of 2/4), 3/4, 6/8 first and second half."""
KINDS_OF_METRE = ((0, 1), (2,), (3, 4))
"""4/4, 3/4, 6/8."""
BAR_TICKS = (48, 36, 36)
MOST_TICKS = 48

PAD, START, END, SEGMENT = range(4)
STROKE = SEGMENT + len(SEGMENTS)
TOUCH = STROKE + len(INSTRUMENTS) * MOST_TICKS
LOUDNESS_BOUNDS = (1, 25, 41, 53, 67, 81, 97, 113, 128)
"""Class i holds velocities from bound i up to below bound i + 1."""
LOUDNESSES = len(LOUDNESS_BOUNDS) - 1
TIMINGS = 9
TIMING_STEPS = 4
"""Timing classes a tick."""
VOCABULARY = TOUCH + LOUDNESSES * TIMINGS
MOST_STROKES = 48

MOST_STYLES = 12
TEMPO, DENSITY, TRIPLETS, LEVEL, FILL, PHRASE, BASS_KNOWN, BAND_KNOWN, BASS, BAND = (
    12,
    13,
    15,
    17,
    19,
    21,
    25,
    26,
    27,
    75,
)
"""Where in the condition vector what begins."""
COND = BAND + MOST_TICKS


class Stroke(NamedTuple):
    """Tick of the bar, instrument, velocity 1..127, and how much later than its tick it sounds (ticks, may be < 0)."""

    tick: int
    instrument: int
    velocity: int
    deviation: float = 0.0


# Tokens


def stroke_token(tick: int, instrument: int) -> int:
    return STROKE + len(INSTRUMENTS) * tick + instrument


def place_of(token: int) -> tuple[int, int]:
    """Tick and instrument of a STROKE token."""
    return divmod(token - STROKE, len(INSTRUMENTS))


def touch_token(velocity: int, deviation: float) -> int:
    loudness = sum(velocity >= bound for bound in LOUDNESS_BOUNDS[1:-1])
    middle = TIMINGS // 2
    timing = min(TIMINGS - 1, max(0, math.floor(deviation * TIMING_STEPS + 0.5) + middle))
    return TOUCH + TIMINGS * loudness + timing


def touch_of(token: int) -> tuple[int, int]:
    """Loudness and timing class of a TOUCH token."""
    return divmod(token - TOUCH, TIMINGS)


def sounding(touch: int, in_class: float = 0.5, in_step: float = 0.5) -> tuple[int, float]:
    """Velocity and deviation of a TOUCH; the two shares 0 <= s < 1 say where in the classes."""
    loudness, timing = touch_of(touch)
    low, beyond = LOUDNESS_BOUNDS[loudness], LOUDNESS_BOUNDS[loudness + 1]
    return low + math.floor(in_class * (beyond - low)), (timing - TIMINGS // 2 + in_step - 0.5) / TIMING_STEPS


def playable(strokes: Iterable[Stroke]) -> list[Stroke]:
    """What one player can play, in order: of one instrument at one tick the loudest stroke, of closed and open hat the
    louder, of the hands' strokes the two loudest."""
    ticks: dict[int, dict[int, Stroke]] = defaultdict(dict)
    for stroke in strokes:
        at = ticks[stroke.tick]
        if stroke.instrument not in at or stroke.velocity > at[stroke.instrument].velocity:
            at[stroke.instrument] = stroke
    chosen = []
    for tick in sorted(ticks):
        at = ticks[tick]
        if CLOSED_HAT in at and OPEN_HAT in at:
            louder_open = at[OPEN_HAT].velocity > at[CLOSED_HAT].velocity
            del at[CLOSED_HAT if louder_open else OPEN_HAT]
        hands = sorted((s for s in at.values() if s.instrument not in FEET), key=lambda s: (-s.velocity, s.instrument))
        feet = [s for s in at.values() if s.instrument in FEET]
        chosen += sorted(hands[:HANDS] + feet, key=lambda s: s.instrument)
    return chosen


def encode(kind: int, strokes: Iterable[Stroke]) -> list[int]:
    """One segment. Strokes outside it are left out."""
    start, end = SEGMENTS[kind]
    tokens = [SEGMENT + kind]
    for stroke in playable(s for s in strokes if start <= s.tick < end)[:MOST_STROKES]:
        tokens += [stroke_token(stroke.tick, stroke.instrument), touch_token(stroke.velocity, stroke.deviation)]
    return [*tokens, END]


def decode(tokens: Sequence[int]) -> list[tuple[int, list[Stroke]]]:
    """(kind, strokes) of each segment, after an optional START. Raises ValueError where the grammar is broken."""
    grammar, segments = Grammar(), []
    for i, token in enumerate(tokens[1:] if tokens and tokens[0] == START else tokens):
        if not grammar.allows(token):
            raise ValueError(f"token {i} is {token}, which the grammar does not allow here")
        grammar.read(token)
        if SEGMENT <= token < STROKE:
            segments.append((token - SEGMENT, []))
        elif STROKE <= token < TOUCH:
            place = place_of(token)
        elif token >= TOUCH:
            segments[-1][1].append(Stroke(*place, *sounding(token)))
    if grammar.kind is not None:
        raise ValueError("the last segment has no END")
    return segments


# What the model may choose


_TICKS, _INSTRUMENTS = np.divmod(np.arange(TOUCH - STROKE), len(INSTRUMENTS))


class Grammar:
    """Follows one sequence and says what may come next."""

    def __init__(self):
        self.kind: int | None = None
        self.last = -1
        """Id of the last stroke in the segment."""
        self.struck = False
        """A stroke waits for its touch."""
        self.count = 0
        self.at_tick: list[int] = []

    def read(self, token: int) -> None:
        if SEGMENT <= token < STROKE:
            self.kind, self.last, self.count, self.at_tick = token - SEGMENT, -1, 0, []
        elif token == END:
            self.kind = None
        elif token < TOUCH:
            tick, instrument = place_of(token)
            same = self.last >= 0 and place_of(self.last)[0] == tick
            self.at_tick = [*self.at_tick, instrument] if same else [instrument]
            self.last, self.struck, self.count = token, True, self.count + 1
        else:
            self.struck = False

    def choices(self) -> np.ndarray:
        """Ids, ascending: of the segments outside of one, else of touches, or of strokes and END."""
        if self.kind is None:
            return np.arange(SEGMENT, STROKE)
        if self.struck:
            return np.arange(TOUCH, VOCABULARY)
        if self.count == MOST_STROKES:
            return np.array([END])
        start, end = SEGMENTS[self.kind]
        allowed = np.zeros(TOUCH - STROKE, bool)
        allowed[len(INSTRUMENTS) * start : len(INSTRUMENTS) * end] = True
        if self.last >= 0:
            allowed[: self.last - STROKE + 1] = False
            here = _TICKS == place_of(self.last)[0]
            if CLOSED_HAT in self.at_tick:
                allowed &= ~(here & (_INSTRUMENTS == OPEN_HAT))
            if sum(i not in FEET for i in self.at_tick) >= HANDS:
                allowed &= ~(here & ~np.isin(_INSTRUMENTS, FEET))
        return np.concatenate([[END], STROKE + np.flatnonzero(allowed)])

    def allows(self, token: int) -> bool:
        return token in self.choices()


# Conditions


@dataclass(frozen=True)
class Asked:
    """What a segment is to be. None: not known."""

    styles: Sequence[float] = ()
    """Weights, sum 1; empty when not known."""
    tempo: float = 120.0
    """Quarters a minute."""
    density: float | None = None
    """Ticks with a stroke, a quarter note."""
    triplets: float | None = None
    """Share of beats that move in triplets."""
    level: float | None = None
    """Mean velocity."""
    fill: bool | None = None
    phrase_bar: int | None = None
    """0..3"""
    bass: Sequence[int] | None = None
    """Onsets in this segment, ticks of the bar."""
    band: Sequence[int] | None = None


def condition(asked: Asked) -> np.ndarray:
    """f32 [123]"""
    cond = np.zeros(COND, np.float32)
    cond[: len(asked.styles)] = asked.styles
    cond[TEMPO] = min(1.5, max(-1.5, math.log2(asked.tempo / 120)))
    if asked.density is not None:
        cond[DENSITY : DENSITY + 2] = asked.density / 4, 1
    if asked.triplets is not None:
        cond[TRIPLETS : TRIPLETS + 2] = asked.triplets, 1
    if asked.level is not None:
        cond[LEVEL : LEVEL + 2] = asked.level / 127, 1
    if asked.fill is not None:
        cond[FILL : FILL + 2] = asked.fill, 1
    if asked.phrase_bar is not None:
        cond[PHRASE + asked.phrase_bar] = 1
    for known, first, onsets in ((BASS_KNOWN, BASS, asked.bass), (BAND_KNOWN, BAND, asked.band)):
        if onsets is not None:
            cond[known] = 1
            cond[[first + tick for tick in onsets]] = 1
    return cond
