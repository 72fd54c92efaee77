"""Form measures on cases worked out by hand."""

import numpy as np
import pytest
from made_up import all_bars, every, song

from obbligato_models.encoding import Note
from obbligato_models.evaluate import form


def bars_of(letters: str, ticks: int = 48) -> list[Note]:
    """A bar for each letter: A strikes on one, B a fifth higher, C on three; a dot is silent."""
    patterns = {"A": (0, 60), "B": (0, 67), "C": (24, 60)}
    return [Note(i * ticks + patterns[x][0], 12, patterns[x][1]) for i, x in enumerate(letters) if x != "."]


A_NOTE = (Note(0, 48, 72),)


def backed(notes, bars: int, melody=A_NOTE, **fields):
    return song(melody, (), notes, bars=bars, **fields)


@pytest.mark.parametrize(
    ("letters", "different", "looped", "struck_after_first"),
    [("ABCA", 3, 0, 3), ("AAAA", 1, 3, 3), ("AABB", 2, 2, 3), ("A..A", 2, 0, 1), ("ABAB", 2, 0, 3)],
)
def test_unique_and_looped_bars(letters, different, looped, struck_after_first):
    run = backed(bars_of(letters), len(letters))
    rows = run.notes[:3]
    assert form.unique(run, rows, all_bars(run)).tolist() == [different, len(letters)]
    assert form.loops(run, rows, all_bars(run)).tolist() == [looped, struck_after_first]


def test_the_same_keys_in_another_part_are_another_bar():
    run = song([Note(0, 48, 72)], every(48, 1, 60), every(48, 1, 60, first=48), bars=2)
    assert form.unique(run, run.notes[:3], all_bars(run)).tolist() == [2, 2]


def test_bars_alike_by_lag():
    # Four bars again and again: at lags 4 and 8 all are alike; A and B share no pitch class, A and C no place.
    run = backed(bars_of("ABCB" * 3), 12)
    sums = form.self_similarity(run, run.notes[1], all_bars(run))
    means = sums[0] / np.maximum(sums[1], 1)
    assert means[3] == means[7] == 1 and means[0] == 0
    assert means[1] == pytest.approx(0.5)  # B meets B, A meets C.
    assert sums[1].tolist() == [11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 0, 0, 0, 0]


def test_half_of_a_bar_alike():
    run = backed(bars_of("A") + every(24, 2, 60, duration=12, first=48), 2)
    sums = form.self_similarity(run, run.notes[1], all_bars(run))
    assert sums[0, 0] == pytest.approx(1 / np.sqrt(2))


def chord(start: int, ticks: int, root: int) -> list[Note]:
    return [Note(start, ticks, key) for key in (36 + root, 48 + root, 52 + root, 55 + root)]


@pytest.mark.parametrize(
    ("starts", "strong", "metre"), [((24, 48, 72), 3, 0), ((24, 60, 72), 2, 0), ((12, 36, 48), 1, 1), ((36, 72), 2, 1)]
)
def test_changes_on_strong_beats(starts, strong, metre):
    """Roots C F C F ...: in 4/4 beats 1 and 3 are strong, in 3/4 the first."""
    ends = [*starts, 96]
    notes = chord(0, starts[0], 0)
    for i, start in enumerate(starts):
        notes += chord(start, ends[i + 1] - start, 5 if i % 2 == 0 else 0)
    run = backed(notes, 3 if metre else 2, metre=metre)
    assert form.changes(run, notes, all_bars(run)).tolist() == [strong, len(starts)]


PHRASE_MELODY = [
    *[Note(48 * b + 12 * i, 12, 60 + (0, 4, 7, 0)[i]) for b in range(16) if b % 8 != 7 for i in range(4)],
    *[Note(48 * b, 24, 60) for b in (7, 15)],
]
"""C major in phrases of eight bars: the melody rests in every eighth bar."""


def harmony(roots: str) -> list[Note]:
    """A chord a bar by its Roman numeral."""
    steps = {"1": 0, "4": 5, "5": 7, "2": 2, "6": 9}
    return [n for b, x in enumerate(roots) for n in chord(48 * b, 48, steps[x])]


def test_phrases_end_where_the_melody_rests():
    assert form.phrase_phase(backed((), 16, PHRASE_MELODY)) == 7


@pytest.mark.parametrize(
    ("roots", "closed"),
    [
        ("1645164516451651", 2),  # V into I over the first phrase's end, V-I in the second's.
        ("1645164216451642", 1),  # On I after the first; the song stops on II.
        ("6645664266456642", 0),
        ("6645661266456641", 1),  # IV-I at the end.
    ],
)
def test_cadences(roots, closed):
    notes = harmony(roots)
    run = backed(notes, 16, PHRASE_MELODY)
    assert form.key_of(song(PHRASE_MELODY, bars=16)) == ("major", 0)
    plain = backed((), 16, PHRASE_MELODY)
    assert form.cadences(plain, notes, all_bars(run)).tolist() == [closed, 2]


def test_drift_compares_two_stretches():
    melody = every(48, 64, 72)
    notes = every(48, 32, 48) + every(24, 32, 50, first=48 * 48)
    sums = form.drift(backed(notes, 64, melody), notes)
    assert sums.tolist() == [[16 * 48, 16 * 48, 16], [0, 16 * 48, 32]]
