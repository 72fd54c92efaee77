"""Music survives a piano roll, and the shared cases are what this program computes."""

import json
import random
from pathlib import Path

import numpy as np
from made_up import every, song

from obbligato_models import encoding as e
from obbligato_models import rolls
from obbligato_models.encoding import Note
from obbligato_models.rolls import Place

FIXTURE = Path(__file__).parents[1] / "parity" / "rolls.json"


def plain(notes) -> list[tuple[int, int, int]]:
    return sorted(tuple(n[:3]) for n in notes)


def test_the_shared_cases_are_what_is_computed():
    assert json.loads(FIXTURE.read_text()) == json.loads(json.dumps(rolls.fixture()))


def test_notes_come_back_as_they_were_written():
    for seed in range(50):
        rng = random.Random(seed)
        metre = rng.randrange(4)
        ticks = rolls.ticks_of(metre)
        notes, free = [], {}
        for _ in range(40):
            key, start = rng.randint(21, 108), rng.randrange(ticks)
            length = rng.randint(1, min(30, ticks - start))
            if all(start + length <= a or start >= b for a, b in free.setdefault(key, [])):
                free[key].append((start, start + length))
                notes.append(Note(start, length, key))
        assert plain(rolls.read(rolls.write(notes, ticks) > 0)) == plain(notes), seed


def test_a_note_over_the_edge_sounds_and_is_not_struck_again():
    roll = rolls.write([Note(-6, 12, 60), Note(180, 48, 64)], 192)
    assert roll[rolls.SUSTAIN, :, rolls.row(60)].sum() == 6 and not roll[rolls.ONSET, :, rolls.row(60)].any()
    assert plain(rolls.read(roll > 0)) == [(180, 12, 64)]


def test_a_transposed_song_is_the_song_some_rows_higher():
    run = song(every(12, 32, 60), bass=every(48, 8, 40, duration=70), chords=every(24, 16, 55, 59), bars=8)
    run.chords[:] = np.arange(16).reshape(8, 2) * 10 % 120
    low, high = (rolls.parts_of(run, Place(2, shift)) for shift in (0, 5))
    assert np.array_equal(np.roll(low[:6], 5, 2), high[:6])
    assert low[:2].any() and low[rolls.SUSTAIN, 0, rolls.row(40)]  # Bar 1's bass still sounds.
    classes = [{n.key % 12 for n in rolls.read(roll[6:8, :24] > 0)} for roll in (low, high)]
    assert {(k + 5) % 12 for k in classes[0]} == classes[1] == {(p + 5) % 12 for p in e.chord_pitch_classes(40)}


def test_bars_outside_of_a_song_rest():
    run = song(every(12, 16, 60), bars=4, labels=0)
    assert not rolls.parts_of(run, Place(-4)).any() and not rolls.melody_of(run, Place(4)).any()
    assert rolls.melody_of(run, Place(-2))[rolls.ONSET].nonzero()[0].min() == 96


def test_chords_are_read_back_from_the_pad_that_holds_them():
    rng = random.Random(2)
    for metre in range(4):
        labels = [[rng.randrange(120) for _ in e.SEGMENTS[metre]] for _ in range(rolls.BARS)]
        held = rolls.write(rolls.pad(labels, metre), rolls.ticks_of(metre))[rolls.SUSTAIN]
        found = rolls.chords_of(held, metre)
        for asked, heard in zip(np.ravel(labels), found.ravel(), strict=True):
            assert set(e.chord_pitch_classes(asked)) == set(e.chord_pitch_classes(heard))


def test_the_clock_counts_any_metre():
    rows = rolls.clock_of(192, range(0, 192, 42), 12, 50)
    assert np.flatnonzero(rows[rolls.BAR_LINE]).tolist() == [0, 42, 84, 126, 168]
    assert np.flatnonzero(rows[rolls.BEAT])[:6].tolist() == [0, 12, 24, 36, 42, 54] and rows[rolls.KNOWN].sum() == 50
