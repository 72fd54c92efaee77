"""Texture measures on cases worked out by hand."""

import numpy as np
import pytest
from made_up import all_bars, every, song

from obbligato_models.encoding import Note
from obbligato_models.evaluate import texture


def two_bars(notes, **fields):
    return song([Note(0, 48, 72)], (), notes, bars=2, **fields)


def test_histograms_of_a_part():
    run = two_bars(every(12, 4, 60, 64) + every(24, 2, 60, first=48))
    notes, bars = run.notes[1], all_bars(run)
    # Four onsets in the first bar and two in the second: two and one in half a bar.
    assert np.flatnonzero(texture.density(run, notes, bars)).tolist() == [1, 2]
    assert texture.pitch(run, notes, bars)[[60, 64]].tolist() == [6, 4]
    # Class 8 is a quarter, 11 a half.
    assert {int(c): n for c, n in enumerate(texture.duration(run, notes, bars)) if n} == {8: 8, 11: 2}


@pytest.mark.parametrize(
    ("answer", "shared"),
    [(every(24, 4, 60), 1.0), (every(24, 4, 61), 0.0), (every(24, 2, 60) + every(24, 2, 61), 0.5), ([], 0.0)],
)
def test_overlap_is_the_shared_area(answer, shared):
    run = two_bars(every(12, 8, 60))
    sums = texture.beside_human(run, [[], answer, []], all_bars(run), texture.pitch)
    assert texture.overlap(sums) == shared


def test_overlap_is_the_mean_of_the_parts_that_people_play():
    run = song([Note(0, 48, 72)], every(48, 1, 36), every(48, 1, 60))
    rows = [every(48, 1, 36), every(48, 1, 61), every(48, 1, 80)]
    assert texture.overlap(texture.beside_human(run, rows, all_bars(run), texture.pitch)) == 0.5


def test_likeness_of_neighbouring_bars():
    # Sixteenths 0 4 8 12, then 0 4 8, then nothing twice: 15 of 16 alike, 13 of 16, and two silent bars do not count.
    notes = every(12, 4, 60) + every(12, 3, 60, first=48)
    run = song([Note(0, 48, 72)], (), notes, bars=4)
    assert texture.groove(run, notes, all_bars(run)).tolist() == [15 / 16 + 13 / 16, 2]


def test_likeness_in_three_quarters():
    notes = every(12, 3, 60) + every(36, 1, 60, first=36)
    run = song([Note(0, 36, 72)], (), notes, bars=2, metre=1)
    assert texture.groove(run, notes, all_bars(run)).tolist() == [10 / 12, 1]


def test_overlap_of_groove():
    same, other = every(12, 8, 60), every(12, 4, 60) + every(12, 3, 60, first=48)
    run = two_bars(same)
    for answer, shared in ((same, 1.0), (other, 0.0)):
        assert texture.overlap(texture.groove_beside_human(run, answer, all_bars(run))) == shared
