"""The scores of enhancer and extender say what a listener would: who does nothing, who does all, who copies."""

import random

import numpy as np
import pytest
from made_up import song
from test_arcnn import SCALE, scale_sense

from obbligato_models import encoding as e
from obbligato_models.arcnn import evaluate as enhanced
from obbligato_models.encoding import Note
from obbligato_models.evaluate import copies
from obbligato_models.extend import evaluate as extended
from obbligato_models.extend import play
from obbligato_models.transformer.model import Shape


def songs(count: int = 4, bars: int = 24) -> list:
    made = []
    for i in range(count):
        rng = random.Random(i)
        melody = [Note(t, 12, rng.choice(SCALE)) for t in range(0, bars * 48, 12)]
        made.append(song(melody, bars=bars, labels=0, song=f"pop909/{i}", bass=[Note(0, 48, 36)]))
    return made


def test_a_perfect_ear_passes_the_gate_and_doing_nothing_does_not():
    result = enhanced.evaluate(scale_sense, songs(), iterations=4)
    before, after = (result["off tune"][name] for name in (enhanced.SPOILT, enhanced.ENHANCER))
    assert result["off tune"]["clean"]["in scale"] == 1 and before["in scale"] < 0.95 < after["in scale"] == 1
    assert before["wrong notes go"] == 0 and before["right notes stay"] == after["right notes stay"] == 1
    assert after["wrong notes go"] > 0.5  # Those that are in the scale by chance stay.
    assert [v.said for v in result["verdicts"]] == ["aim", "aim"]
    assert result["gaps"][enhanced.ENHANCER]["missing notes come"] == 0
    assert result["ornaments"]["risk 0"] == {"new notes a bar": 0, "of them in scale": 0}


def test_ornaments_are_counted_as_far_as_they_are_allowed():
    def generous(**inputs):
        """At every sixteenth a note of the scale is as likely as not, and none goes."""
        found = np.full((len(inputs["clock"]), 3, 192, 96), -20.0)
        found[:, 0, 3::6, 60 - 16] = -0.5
        return found

    found = enhanced.ornaments(generous, songs(1), 4, 1.0)
    assert found == {"new notes a bar": enhanced.ORNAMENTS_A_BAR, "of them in scale": 1}


def test_a_tenth_and_a_half_of_the_notes_is_off():
    run = songs(1)[0]
    spoilt = enhanced.off_tune(run, 3)
    steps = [b.key - a.key for a, b in zip(run.melody, spoilt, strict=True)]
    assert sum(map(bool, steps)) == round(0.15 * len(steps)) and set(steps) == {-1, 0, 1}
    assert all(n.key % 12 in {k % 12 for k in SCALE} for n in enhanced.to_scale(spoilt))


def lines_of(runs, make) -> list:
    return [extended.Line(run, [*extended.beginning(run), *make(run)]) for run in runs]


def test_people_are_like_people_and_a_drone_is_not():
    runs = songs()
    known = copies.Training(songs(2))
    human = extended.people(runs)
    drone = lines_of(runs, lambda r: [Note(16 * 48 + t, 24, 60) for t in range(0, 8 * 48, 24)])
    one, other = (extended.Scores([some], human, known).values() for some in (human, drone))
    assert all(one[kind] == 1 for kind in extended.KINDS)
    assert all(other[kind] < 0.5 for kind in ("intervals", "durations", "contour"))
    assert one["copied"] == 0.5 and other["copied"] == 0  # Two of four songs are training songs.
    again = extended.Scores([extended.again(runs)], human, known).values()
    assert again["alike at 8 bars"] == pytest.approx(1)


def test_what_is_written_is_judged_beside_people():
    runs = songs(2)

    def runner(inputs):
        """Strikes C at every quarter."""
        ids = inputs["ids"][0]
        logits = np.full((1, len(ids), e.VOCABULARY), -20.0)
        last = int(ids[-1])
        if e.POS <= last < e.CHORD:
            logits[0, -1, e.note_token(60, 12)] = 0
        elif last >= e.NOTE:
            runner.tick += 12
            logits[0, -1, e.POS + runner.tick if runner.tick < 48 else e.BAR] = 0
        elif last >= e.CHORD:
            runner.tick = 0
            logits[0, -1, e.POS] = 0
            logits[0, -1, e.CHORD] = 0
        else:
            logits[0, -1, e.CHORD] = 0
        cache = np.zeros((1, 1, 1, len(ids), 8), np.float32)
        return [logits, np.zeros((1, len(ids), 12)), np.zeros((1, len(ids), 12)), cache, cache]

    runner.tick = 0
    result = extended.evaluate(runner, Shape(8, 1, 1, 512, 0), runs, songs(1), play.Choice(), seeds=2)
    ours = result["all"][extended.EXTENDER]
    assert ours["silent"] == 0 and ours["durations"] == 1 and ours["intervals"] < 0.5
    assert {v.name for v in result["verdicts"]} >= {"contour, overlap", "notes in copied runs"}
    assert [v.said for v in result["verdicts"] if v.name == "intervals, overlap"] == ["missed"]
