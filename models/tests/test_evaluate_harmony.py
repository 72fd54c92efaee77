"""Harmony measures on cases worked out by hand."""

import numpy as np
import pytest
from made_up import all_bars, every, song

from obbligato_models import encoding as e
from obbligato_models.encoding import Note
from obbligato_models.evaluate import harmony


def measured(function, melody, answer, **fields) -> list[float]:
    run = song(melody, **fields)
    return function(run, answer, all_bars(run)).tolist()


def test_fit_counts_melody_time_in_the_segment():
    melody = [Note(0, 12, 72), Note(12, 12, 74), Note(24, 24, 76)]
    # C sounds in the first segment, after the melody's C; D nowhere; E for a tick of the second.
    assert measured(harmony.fit, melody, [Note(18, 6, 48), Note(24, 1, 64)]) == [12 + 24, 48]


def test_fit_of_some_bars():
    melody = every(48, 4, 72)
    run = song(melody, bars=4)
    answer = [Note(2 * 48, 48, 48)]
    assert harmony.fit(run, answer, slice(2, 4)).tolist() == [48, 96]
    assert harmony.fit(run, answer, slice(3, 4)).tolist() == [0, 48]


@pytest.mark.parametrize(
    ("answer", "ticks"),
    [([Note(12, 6, 65)], 6), ([Note(0, 24, 63)], 24), ([Note(0, 24, 77), Note(24, 24, 65)], 0), ([], 0)],
)
def test_clash_is_a_semitone_sounding_together(answer, ticks):
    assert measured(harmony.clash, [Note(0, 24, 64)], answer) == [ticks, 24]


@pytest.mark.parametrize(
    ("semitones", "score"),
    [(0, 1), (1, -1), (2, -1), (3, 1), (4, 1), (5, 0), (6, -1), (7, 1), (8, 1), (9, 1), (10, -1), (11, -1), (12, 1)],
)
def test_consonance_of_an_interval(semitones, score):
    """The table of Yeh et al.; the melody is the upper note, in whatever octave the answer plays."""
    for octave in (-12, 0, 24):
        answer = [Note(0, 12, 72 - semitones + octave)]
        assert measured(harmony.consonance, [Note(0, 12, 72)], answer) == [12 * score, 12]


def test_consonance_is_averaged_over_time_in_which_both_sound():
    # A triad under its fifth: fifth 1, major third 1... G over C 1, over E 1, over G 1. Then B over C -1, over E 1.
    melody = [Note(0, 12, 79), Note(12, 12, 83), Note(24, 24, 84)]
    answer = [Note(0, 12, k) for k in (48, 52, 55)] + [Note(12, 6, k) for k in (48, 52)]
    assert measured(harmony.consonance, melody, answer) == [12 * 1 + 6 * 0, 18]


def test_in_scale_counts_time():
    melody = every(12, 4, 60, 64, 67, 65, 71)
    assert measured(harmony.in_scale, melody, [Note(0, 30, 50), Note(0, 10, 49)]) == [30, 40]


def test_chords_and_roots_agree():
    c, c7, g, nothing = (e.chord_class(n) for n in ("C maj", "C 7", "G maj", "N.C."))
    found = np.array([[c, c7], [g, c], [nothing, c], [c, g]])
    labels = np.array([[c, c], [c, c], [c, nothing], [c, g]])
    assert harmony.agreement(found, labels).tolist() == [4, 5, 7]


def test_chords_are_read_from_notes():
    notes = every(12, 2, 36, 52, 55) + every(3, 8, 43, 59, 62, first=24)
    assert harmony.read_chords(notes, 0, 1).tolist() == [[e.chord_class("C maj"), e.chord_class("G maj")]]


@pytest.mark.parametrize("tonic", range(12))
def test_the_key_is_found(tonic):
    tune = [0, 4, 7, 12, 11, 9, 7, 5, 4, 2, 0, 0]
    run = song([Note(12 * i, 12, 60 + tonic + t) for i, t in enumerate(tune)], bars=3)
    assert harmony.key_of(run) == ("major", tonic)
