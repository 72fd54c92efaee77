"""What is spoilt is known, limits are kept exactly, locked notes stay, and anything that can be played is a melody."""

import random

import numpy as np
import pytest
import torch
from made_up import every, song

from obbligato_models import encoding as e
from obbligato_models import rolls, training
from obbligato_models.arcnn import enhance, train, windows
from obbligato_models.arcnn.enhance import Choice, Melody
from obbligato_models.arcnn.model import ADD, CHANNELS, REMOVE, Enhancer, Shape
from obbligato_models.arcnn.windows import Amounts, Windows
from obbligato_models.encoding import Note
from obbligato_models.transformer.train import Plan

TINY = Shape(12)
SCALE = (60, 62, 64, 65, 67, 69, 71)


def music(count: int = 4) -> list:
    rng, made = random.Random(5), []
    for i in range(count):
        metre = (0, 1)[i % 2]
        ticks = e.BAR_TICKS[metre] * 12
        melody = [Note(t, 12, rng.choice(SCALE), 70 + t % 20) for t in range(0, ticks, 12)]
        made.append(song(melody, bars=12, metre=metre, song=f"pop909/{i}"))
    return made


def scale_sense(**given: np.ndarray) -> np.ndarray:
    """A network that knows one thing: notes outside of C major are wrong, and belong a semitone lower."""
    melody = given["melody"]
    logits = np.full((len(melody), CHANNELS, *melody.shape[2:]), -9.0)
    for n, _, tick, at in np.argwhere(melody[:, :1] > 0):
        if (at + rolls.LOWEST_KEY) % 12 not in {k % 12 for k in SCALE}:
            logits[n, REMOVE, tick, at] = 5.0
            logits[n, ADD, tick, at - 1] = 5.0
    return logits


def generous(**given: np.ndarray) -> np.ndarray:
    """A network that finds every note wrong and misses one on every sixteenth."""
    melody = given["melody"]
    logits = np.full((len(melody), CHANNELS, *melody.shape[2:]), -9.0)
    logits[:, REMOVE] = 4.0
    logits[:, ADD, ::3, 50] = 6.0
    logits[:, 2, :, 50] = 3.0
    return logits


def changes(before, after) -> tuple[int, int]:
    one, two = ({(n.start, n.key) for n in notes} for notes in (before, after))
    return len(two - one), len(one - two)


def test_a_spoilt_melody_says_what_is_wrong_with_it():
    clean = [Note(12 * i, 12, SCALE[i % 7]) for i in range(16)]
    spoilt = windows.spoil(clean, Amounts(0.3, 0.2, 0.2), random.Random(1))
    assert spoilt == windows.spoil(clean, Amounts(0.3, 0.2, 0.2), random.Random(1)) != clean
    found = windows.example(clean, [[], spoilt, None], 0, random.Random(1))
    now = found["melody"][rolls.ONSET]
    mended = now + found["answer"][ADD] - found["answer"][REMOVE]
    assert np.array_equal(mended, rolls.write(clean, 192)[rolls.ONSET])
    assert not found["clock"][rolls.KNOWN].any() and not found["around"][2:].any()


def test_as_much_is_spoilt_as_was_asked():
    clean = every(12, 1000, 60)
    rng = random.Random(2)
    assert windows.spoil(clean, Amounts(), rng) == clean
    for share, count in ((Amounts(moved=0.2), lambda a, r: r), (Amounts(removed=0.3), lambda a, r: r)):
        added, removed = changes(clean, windows.spoil(clean, share, rng))
        assert count(added, removed) / 1000 == pytest.approx(share.moved + share.removed, abs=0.05)


def test_windows_are_the_same_again_and_locked_notes_are_right():
    one, two = Windows(music()), Windows(music())
    locked = 0
    for step in range(10):
        batch, again = one.batch(3, step, 4), two.batch(3, step, 4)
        assert all(torch.equal(batch[k], again[k]) for k in batch)
        held = batch["locked"][:, 0] * batch["melody"][:, rolls.ONSET]
        locked += int(held.sum())
        assert not (held * batch["answer"][:, REMOVE]).any()
    assert locked > 0


def test_an_off_tune_melody_is_retuned_and_keeps_length_and_velocity():
    notes = [Note(12 * i, 7 + i % 5, SCALE[i % 7], 60 + i) for i in range(40)]
    wrong = [n._replace(key=n.key + 1) if i in (3, 10, 33) else n for i, n in enumerate(notes)]
    wanted = [n._replace(key=n.key - 1) if n.key % 12 not in {k % 12 for k in SCALE} else n for n in wrong]
    assert enhance.enhance(scale_sense, Melody(wrong), Choice(add=40, remove=100, risk=0)) == wanted


def test_the_higher_the_risk_the_more_comes_that_is_not_needed():
    def timid(**inputs):
        found = np.full((len(inputs["clock"]), 3, 192, rolls.KEYS), -20.0)
        for tick, logit in ((6, -2), (18, -3), (30, -4), (42, -5), (54, -7)):
            found[:, ADD, tick, rolls.row(64)] = logit
        return found

    notes = every(12, 16, 60)
    found = [
        changes(notes, enhance.enhance(timid, Melody(notes), Choice(remove=100, risk=risk))) for risk in (0, 0.5, 1, 2)
    ]
    added = [came for came, gone in found if not gone]
    assert len(added) == 4 and added[0] == 0 and added == sorted(added) and 0 < added[2] < added[3]


@pytest.mark.parametrize("add", [0, 1, 7, 1000])
@pytest.mark.parametrize("remove", [0.0, 13.0, 100.0])
def test_limits_are_kept_exactly(add, remove):
    notes = every(12, 30, 60)
    for iterations in (1, 4, 10):
        choice = Choice(add=add, remove=remove, iterations=iterations, risk=1.0, seed=iterations)
        added, removed = changes(notes, enhance.enhance(generous, Melody(notes), choice))
        assert added == min(add, added) and removed <= int(30 * remove / 100)
        if add and remove == 100:
            assert added > 0
        if add == 7 and iterations > 1:
            assert added == 7  # There is always more to add than that.


def test_locked_notes_and_what_is_outside_stay():
    notes = every(12, 30, 60)
    locked = frozenset(notes[4:8])
    found = enhance.enhance(generous, Melody(notes, locked=locked), Choice(add=500, remove=100))
    assert locked <= set(found) and changes(notes, found)[0] > 0
    found = enhance.enhance(generous, Melody(notes, editable=(96, 192)), Choice(add=500, remove=100))
    assert [n for n in found if not 96 <= n.start < 192] == [n for n in notes if not 96 <= n.start < 192]
    assert changes(notes, found)[0] > 0


def test_notes_that_are_added_end_before_the_next():
    notes = [Note(0, 40, 60, 90), Note(48, 20, 62, 70)]
    found = enhance.enhance(generous, Melody(notes), Choice(add=3, remove=0, risk=0))
    assert len(found) == 5 and all(a.start + a.duration <= b.start for a, b in zip(found, found[1:], strict=False))
    assert {n.velocity for n in found if n.key == 66} <= set(range(70, 91))


@pytest.mark.parametrize(
    "notes, bar_ticks",
    [
        ([], 48),
        ([Note(0, 12, 60)], 48),
        ([Note(0, 48, key) for key in range(128)], 48),
        ([Note(0, 12, 60), Note(86400, 12, 60)], 48),
        ([Note(7 * i, 5, 40 + i) for i in range(60)], 42),
        ([Note(12 * i, 5, 60) for i in range(60)], 60),
        ([Note(12 * i, 5, 60) for i in range(60)], 72),
    ],
)
def test_anything_is_a_melody(notes, bar_ticks):
    torch.manual_seed(1)
    forward = enhance.torch_forward(Enhancer(TINY).eval())
    choice = Choice(add=5, remove=10, iterations=2, risk=1.5)
    found = enhance.enhance(forward, Melody(list(notes), bar_ticks), choice)
    added, removed = changes(notes, found)
    assert added <= 5 and removed <= len(notes) // 10
    assert found == enhance.enhance(forward, Melody(list(notes), bar_ticks), choice) == sorted(found)
    assert all(n.start >= 0 and n.duration >= 1 and 0 <= n.key < 128 for n in found)


def test_a_run_learns_goes_on_and_stops_where_it_is_spoilt(tmp_path, monkeypatch):
    monkeypatch.setattr(train, "BATCH", 4)
    monkeypatch.setattr(train, "VALIDATION_BATCHES", 2)
    monkeypatch.setattr(training, "LOG_STEPS", 5)
    monkeypatch.setattr(training, "CHECK_STEPS", 10)
    runs = music(6)
    for run in runs[4:]:
        run.split = "validation"
    train.train(runs, tmp_path, Plan(1, steps=20), TINY)
    train.train(runs, tmp_path, Plan(1, steps=40), TINY)
    rows = [line.split(",") for line in (tmp_path / "log.csv").read_text().splitlines()]
    assert [row[0] for row in rows[1:]] == ["5", "10", "15", "20", "25", "30", "35", "40"]
    missing = [float(rows[i][-1].split()[0].removeprefix("add=")) for i in (2, -1)]
    assert missing[1] < 0.95 * missing[0]
    assert "wrong notes found=" in rows[-1][-1]
    assert torch.load(tmp_path / "last.pt", weights_only=True)["step"] == 40
    assert enhance.load(tmp_path / "last.pt").shape == TINY


def test_the_area_is_half_for_guesses_and_one_for_knowledge():
    wrong = np.array([True, False, True, False])
    assert train.roc_area(np.array([3.0, 1.0, 2.0, 0.0]), wrong) == 1
    assert train.roc_area(np.zeros(4), wrong) == 0.5
