"""Copied runs on cases worked out by hand."""

import numpy as np
import pytest
from made_up import song

from obbligato_models.encoding import Note
from obbligato_models.evaluate import copies
from obbligato_models.evaluate.answers import Answer


def line(seed: int, count: int = 60) -> list[Note]:
    """A line that repeats nothing."""
    random = np.random.default_rng(seed)
    starts = np.cumsum(random.integers(1, 20, count))
    return [Note(int(s), 6, int(k)) for s, k in zip(starts, random.integers(40, 90, count), strict=True)]


def moved(notes, ticks: int, semitones: int) -> list[Note]:
    return [n._replace(start=n.start + ticks, key=n.key + semitones) for n in notes]


def training(*lines):
    return copies.Training([song([Note(0, 9, 60)], counter=row, bars=20, song=f"x/{i}") for i, row in enumerate(lines)])


@pytest.mark.parametrize("count", [2, 9, 24, 31])
def test_the_longest_run_is_found_in_any_key_and_place(count):
    known = training(line(1), line(2))
    own = line(3, 40)
    copy = moved(line(2)[5 : 5 + count], 30, 7)
    last = own[-1].start
    played = copies.Lines([(0, own + moved(copy, last + 40 - copy[0].start, 0))])
    assert copies.longest(known, played) == (count, 1)


def test_another_rhythm_is_no_copy():
    known = training(line(1))
    slower = [n._replace(start=2 * n.start) for n in line(1)]
    longest, _ = copies.longest(known, copies.Lines([(0, slower)]))
    assert longest <= 2


def test_runs_do_not_cross_rests_lines_or_songs():
    notes = line(1, 20)
    apart = notes[:10] + moved(notes[10:], 200, 0)
    assert copies.longest(training(apart), copies.Lines([(0, apart)]))[0] == 10
    halves = copies.Lines([(0, notes[:10]), (0, notes[10:])])
    assert copies.longest(training(notes), halves)[0] == 10


def test_how_many_songs_have_a_run():
    both = line(1, 30)
    known = training(both, moved(both, 7, -3), line(2))
    assert copies.longest(known, copies.Lines([(0, both)])) == (30, 2)


def test_share_of_copied_notes():
    known = training(line(1))
    copy, own = line(1)[10:40], line(4, 50)
    sums = copies.copied(known, copies.Lines([(0, copy), (0, own), (1, own)]), songs=2)
    assert sums.tolist() == [[30, 80], [0, 50]]
    short = copies.Lines([(0, line(1)[: copies.LONG_RUN - 1])])
    assert copies.copied(known, short, songs=1).tolist() == [[0, copies.LONG_RUN - 1]]


def test_nothing_played_copies_nothing():
    assert copies.longest(training(line(1)), copies.Lines([])) == (0, 0)
    assert copies.copied(training(line(1)), copies.Lines([]), songs=1).tolist() == [[0, 0]]


def test_phrases_are_found_in_any_key():
    keys = [60, 62, 65, 64, 69, 67, 71, 65, 62]
    notes = [Note(12 * i, 12, key) for i, key in enumerate(keys)]
    other = [n._replace(key=n.key + i % 3) for i, n in enumerate(notes)]
    answers = {"copy": [Answer([[], [], moved(notes, 0, 4)])], "own": [Answer([[], [], other])]}
    assert copies.shared_phrases([song(notes, bars=3)], answers) == {"copy": 1, "own": 0}
