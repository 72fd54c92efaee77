"""Density, muted parts and grammar, with a player whose obedience is known."""

import numpy as np
import pytest
from made_up import every, song

from obbligato_models import encoding as e
from obbligato_models.encoding import Bar, Note
from obbligato_models.evaluate import obedience
from obbligato_models.transformer.pace import asked_density


class MadeUpPlayer:
    """Plays `onsets(density asked for)` notes a bar in every part that is asked for, and in `deaf` ones too."""

    def __init__(self, onsets, deaf=()):
        self.onsets, self.deaf = onsets, deaf

    def play(self, requests):
        return [[self.bar(r, i) for i in range(len(r.bars))] for r in requests]

    def bar(self, request, index) -> Bar:
        parts = {}
        for part in (*request.asked[index], *self.deaf):
            density = asked_density(request.conds[index], part) or 0.0
            parts[part] = [Note(3 * i, 3, 60) for i in range(self.onsets(density))]
        return Bar(request.bars[index].metre, parts=parts)


CONTROLS = {part: {"density": [0.25 * i for i in range(11)]} for part in e.PARTS}


def songs() -> list:
    return [song(every(12, 32, 72), every(48, 8, 36), every(48, 8, 60), bars=8) for _ in range(3)]


@pytest.mark.parametrize(
    ("onsets", "expected"), [(lambda d: round(4 * d), 1), (lambda d: 12 - round(4 * d), -1), (lambda d: 3, np.nan)]
)
def test_density_asked_and_got(onsets, expected):
    table = obedience.density_sweep(MadeUpPlayer(onsets), songs(), CONTROLS, seed=0)
    assert len(table) == 3 * 2 * len(obedience.LEVELS)
    assert obedience.density_obeyed(table, np.arange(3)) == pytest.approx(expected, nan_ok=True)


def test_density_is_asked_of_one_part_at_a_time():
    table = obedience.density_sweep(MadeUpPlayer(lambda d: round(4 * d)), songs()[:1], CONTROLS, seed=0)
    assert table[:, 2].tolist() == 2 * [0.25, 0.75, 1.25, 1.75, 2.25]
    assert (table[:, 3] == table[:, 2]).all()


def test_density_is_the_mean_over_the_parts():
    """Bass obeys, chords do the opposite."""
    rows = [(0, part, d, d if part == 0 else -d) for part in (0, 1) for d in (1, 2, 3)]
    assert obedience.density_obeyed(np.array(rows), np.arange(1)) == 0


def test_muted_parts():
    quiet = obedience.muted_silent(MadeUpPlayer(lambda d: 1), songs(), seed=0)
    # Two parts muted in turn, twice, over eight bars.
    assert quiet.tolist() == [[32, 32]] * 3
    loud = obedience.muted_silent(MadeUpPlayer(lambda d: 1, deaf=(e.BASS,)), songs(), seed=0)
    assert loud.tolist() == [[16, 32]] * 3


def test_grammar():
    good = Bar(0, [], [0, 0], {e.BASS: [Note(0, 12, 40), Note(12, 12, 43)], e.CHORDS: [Note(0, 6, 60), Note(0, 6, 64)]})
    assert (
        obedience.grammar_errors([good, Bar(1, [], [e.NO_CHORD], {}), Bar(0, [], [0, 0], {e.COUNTER: []}, jam=True)])
        == []
    )


@pytest.mark.parametrize(
    ("parts", "complaint"),
    [
        ({e.BASS: [Note(0, 12, 40), Note(0, 12, 43)]}, "bar 1: bass is read as other notes"),
        ({e.CHORDS: [Note(0, 12, 60 + k) for k in range(7)]}, "bar 1: chords is read as other notes"),
        ({e.CHORDS: [Note(12, 12, 60), Note(0, 12, 60)]}, "bar 1: chords is read as other notes"),
        ({e.COUNTER: [Note(0, 11, 60)]}, "bar 1: counter is read as other notes"),
        ({e.COUNTER: [Note(48, 12, 60)]}, "bar 1"),
        ({e.CHORDS: [Note(0, 12, 120)]}, "bar 1: chords is read as other notes"),
    ],
)
def test_broken_grammar_is_found(parts, complaint):
    (found,) = obedience.grammar_errors([Bar(0, [], [0, 0], parts)])
    assert found.startswith(complaint)
