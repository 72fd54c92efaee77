"""A band for takes that have none: where a bass and a band might have struck with these drums, drawn at random.

The bass is near the kick more often than not, but sometimes keeps to itself, rests, or is not known; so the drummer
learns to listen and not to depend on it.
"""

from __future__ import annotations

import random
from collections.abc import Iterable

from . import encoding as e
from .dataset import Take

QUARTER, EIGHTH = e.GRID, e.GRID // 2
LOUD = 70
"""Velocity from which a stroke is an accent others may share."""


def draw(take: Take, rng: random.Random) -> tuple[list[int] | None, list[int] | None]:
    """Onsets of bass and band in ticks from the take's first bar line. None: not known."""
    return bass(take, rng), band(take, rng)


def bass(take: Take, rng: random.Random) -> list[int] | None:
    way = rng.choices(("with the kick", "even", "long", "rests", "unknown"), (50, 13, 14, 3, 20))[0]
    if way == "unknown":
        return None
    if way == "rests":
        return []
    if way == "even":
        step = QUARTER if in_triplets(take) or rng.random() < 0.4 else EIGHTH
        return thinned(range(0, length(take), step), rng.uniform(0.85, 1), rng)
    if way == "long":
        return thinned(strong(take), 0.95, rng)
    kicks = thinned(struck(take, (e.KICK,), 1), rng.uniform(0.6, 1), rng)
    offbeat = 2 * e.GRID // 3 if in_triplets(take) else EIGHTH
    others = [t + shift for t in range(0, length(take), QUARTER) for shift in (0, offbeat)]
    return sorted({*kicks, *thinned(others, rng.uniform(0, 0.25), rng), *thinned(strong(take), 0.3, rng)})


def band(take: Take, rng: random.Random) -> list[int] | None:
    way = rng.choices(("beats", "accents", "even", "rests", "unknown"), (25, 20, 25, 5, 25))[0]
    if way == "unknown":
        return None
    if way == "rests":
        return []
    if way == "even":
        steps = (QUARTER, 4) if in_triplets(take) else (QUARTER, EIGHTH, EIGHTH, 3)
        return thinned(range(0, length(take), rng.choice(steps)), rng.uniform(0.6, 1), rng)
    if way == "accents":
        return thinned(struck(take, (e.KICK, e.SNARE, e.CRASH), LOUD), rng.uniform(0.4, 0.9), rng)
    beats = thinned(range(0, length(take), QUARTER), rng.uniform(0.2, 0.8), rng)
    return sorted({*beats, *thinned(strong(take), 0.9, rng)})


def length(take: Take) -> int:
    return len(take.bars) * take.ticks


def in_triplets(take: Take) -> bool:
    moving = take.triplets.sum(0)
    return 2 * moving[0] > moving[1]


def strong(take: Take) -> list[int]:
    """Where segments begin."""
    return [bar * take.ticks + e.SEGMENTS[kind][0] for bar in range(len(take.bars)) for kind in take.kinds]


def struck(take: Take, instruments: tuple[int, ...], softest: int) -> list[int]:
    strokes = ((bar * take.ticks, s) for bar, strokes in enumerate(take.bars) for s in strokes)
    return sorted({at + s.tick for at, s in strokes if s.instrument in instruments and s.velocity >= softest})


def thinned(onsets: Iterable[int], share: float, rng: random.Random) -> list[int]:
    return [t for t in onsets if rng.random() < share]
