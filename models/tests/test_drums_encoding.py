"""Strokes to tokens and back; what the grammar allows; the shared cases."""

import json
import random
from pathlib import Path

import numpy as np
import pytest

from obbligato_models.drums import encoding as e
from obbligato_models.drums import parity
from obbligato_models.drums.encoding import Asked, Stroke

CASES = json.loads((Path(__file__).parents[1] / "parity" / "drums.json").read_text())


def some_strokes(rng: random.Random, count: int) -> list[Stroke]:
    return [
        Stroke(rng.randrange(48), rng.randrange(11), rng.randint(1, 127), rng.uniform(-1.5, 1.5)) for _ in range(count)
    ]


def test_the_shared_cases_are_up_to_date():
    for case, made in zip(CASES["strokes"], parity.stroke_cases(), strict=True):
        assert case == made
    for case, made in zip(CASES["conditions"], parity.condition_cases(), strict=True):
        assert case == json.loads(json.dumps(made))
    assert CASES["outputs"]["ids"] == parity.reference_music()[0] and len(CASES["outputs"]["ids"]) <= 256


def test_ids_are_those_of_the_document():
    assert (e.SEGMENT, e.STROKE, e.TOUCH, e.VOCABULARY, e.COND) == (3, 8, 536, 608, 123)
    assert e.stroke_token(47, e.RIDE) == 535 and e.touch_token(127, 2.0) == 607 and e.touch_token(1, -2.0) == 536


def test_whatever_is_encoded_follows_the_grammar():
    rng = random.Random(5)
    for _ in range(200):
        kind, strokes = rng.randrange(5), some_strokes(rng, rng.randrange(0, 120))
        (read_kind, read), *none = e.decode(e.encode(kind, strokes))
        start, end = e.SEGMENTS[kind]
        expected = e.playable(s for s in strokes if start <= s.tick < end)[: e.MOST_STROKES]
        assert read_kind == kind and not none
        assert [s[:2] for s in read] == [s[:2] for s in expected]


def test_one_player_has_two_hands_and_one_hat():
    rng = random.Random(6)
    for _ in range(100):
        played = e.playable(some_strokes(rng, 80))
        for tick in range(48):
            here = [s.instrument for s in played if s.tick == tick]
            assert len(set(here)) == len(here) and sum(i not in e.FEET for i in here) <= 2
            assert not {e.CLOSED_HAT, e.OPEN_HAT} <= set(here)


def test_of_what_cannot_be_played_together_the_loudest_stays():
    at_once = [Stroke(0, i, 60 + i) for i in (e.SNARE, e.CLOSED_HAT, e.OPEN_HAT, e.CRASH)]
    assert [s.instrument for s in e.playable(at_once)] == [e.OPEN_HAT, e.CRASH]


@pytest.mark.parametrize(
    ("tokens", "why"),
    [
        ([3, 8, 536, 8, 536, 2], "a stroke twice"),
        ([3, 19, 536, 8, 536, 2], "back in time"),
        ([3, e.stroke_token(24, 0), 536, 2], "outside the segment"),
        ([3, 8, 2], "a stroke without its touch"),
        ([3, 536, 2], "a touch without a stroke"),
        ([3, 8, 536], "no end"),
        ([3, 9, 536, 11, 536, 17, 536, 2], "three hands"),
        ([3, 11, 536, 12, 536, 2], "hat closed and open"),
        ([8, 536, 2], "no segment"),
    ],
)
def test_the_grammar_refuses(tokens, why):
    with pytest.raises(ValueError):
        e.decode(tokens)


def test_choices_are_exactly_what_may_be_read():
    rng = random.Random(7)
    for _ in range(20):
        grammar, struck = e.Grammar(), 0
        grammar.read(e.SEGMENT + rng.randrange(5))
        while grammar.kind is not None:
            choices = grammar.choices()
            assert (np.diff(choices) > 0).all()
            token = int(rng.choice(choices[-40:] if grammar.struck else choices[:6]))
            struck += e.STROKE <= token < e.TOUCH
            grammar.read(token)
        assert struck <= e.MOST_STROKES


def test_a_touch_sounds_within_its_class():
    rng = random.Random(8)
    for touch in range(e.TOUCH, e.VOCABULARY):
        for _ in range(5):
            velocity, deviation = e.sounding(touch, rng.random(), rng.random())
            assert e.touch_token(velocity, deviation) == touch and 1 <= velocity <= 127


def test_what_is_not_known_is_zero_with_its_flag():
    assert not e.condition(Asked()).any()
    rests = e.condition(Asked(bass=[], fill=False, density=0.0))
    assert np.flatnonzero(rests).tolist() == [e.DENSITY + 1, e.FILL + 1, e.BASS_KNOWN]
