"""The judges learn what belongs together and how one plays, from what people played."""

import random

import numpy as np
import pytest
import torch
from made_up import every, song

from obbligato_models import encoding as e
from obbligato_models import styles
from obbligato_models.encoding import Note
from obbligato_models.transformer import reward
from obbligato_models.transformer.reward import People, TooLittle

BARS = 24
QUICK, HELD = styles.ROCK, styles.CHORALE


def piece(seed: int, split: str):
    """In one style chords are struck quickly, in the other they are held; both follow the melody's every note."""
    rng = random.Random(seed)
    style, source = ((HELD, "bach_chorales"), (QUICK, "freedoom"))[seed % 2]
    roots = [rng.choice((0, 2, 5, 7, 9)) for _ in range(2 * BARS)]
    melody = [Note(24 * i, 24, 72 + root) for i, root in enumerate(roots)]
    step = 24 if style == HELD else 6
    chords = [n for i, root in enumerate(roots) for n in every(step, 24 // step, 48 + root, 55 + root, first=24 * i)]
    bass = [Note(24 * i, 24, 36 + root) for i, root in enumerate(roots)]
    weights = np.tile(np.eye(len(styles.NAMES), dtype=np.float32)[style], (BARS, 1))
    labels = np.array(roots).reshape(BARS, 2) * 10
    fields = {"styles": weights, "split": split, "source": source, "song": f"{source}/{seed}"}
    return song(melody, bass, chords, bars=BARS, labels=labels, **fields)


def pieces():
    return [piece(i, "train") for i in range(8)] + [piece(i + 100, "validation") for i in range(4)]


@pytest.fixture(scope="module")
def judges():
    usual, reward.BATCH = reward.BATCH, 16
    try:
        return reward.learn(pieces(), 1, steps=160, width=32)
    finally:
        reward.BATCH = usual


def heard(run, first=0, melody_from=None):
    people = People([run])
    sample = people.sample(run, first, run.parts)
    if melody_from is not None:
        sample.roll[3] = people.rolls.of(run, melody_from, people.bars)[3]
    return reward.together([sample])


def test_an_accompaniment_belongs_to_its_melody(judges):
    for seed in (100, 101, 102, 103):
        run = piece(seed, "validation")
        match, _ = judges.judge(heard(run))
        other, _ = judges.judge(heard(run, melody_from=9))
        assert match.mean() > other.mean() + 1


def test_styles_are_told_apart(judges):
    for seed in (100, 101):
        _, style = judges.judge(heard(piece(seed, "validation")))
        assert set(style[0].argmax(-1).tolist()) == {(HELD, QUICK)[seed % 2]}


def test_judges_are_kept(judges, tmp_path):
    reward.save(judges, tmp_path / "judges.pt")
    again = reward.load(tmp_path / "judges.pt")
    given = heard(piece(100, "validation"))
    assert torch.equal(again.judge(given)[0], judges.judge(given)[0])


def test_intervals_are_the_same_in_every_key():
    melody, other = torch.zeros(1, 12), torch.zeros(1, 12)
    melody[0, 4], other[0, [0, 7]] = 1, 1
    found = reward.intervals(melody, other)
    assert found[0].nonzero().flatten().tolist() == [3, 8]
    assert torch.equal(reward.intervals(melody.roll(5, 1), other.roll(5, 1)), found)


def test_rolls_hold_what_is_played():
    run = song([Note(-6, 12, 60), Note(12, 6, 62)], bass=[Note(0, 24, 36)], bars=1)
    roll = reward.roll_of(run.notes, 16)
    assert roll[3, 0].sum() == 1 and roll[3, 1].sum() == 2 + 2, "struck once, sounds in four sixteenths"
    assert roll[0, 1, :, 36 - e.LOWEST_KEY].sum() == 8
    assert (reward.moved(roll, 3)[0, 1, :8, 39 - e.LOWEST_KEY]).all()
    kept = reward.Rolls().of(run, 0, 1)
    assert (kept == roll).all()


def test_something_else_is_said_to_be_so():
    people = People(pieces())
    rng = random.Random(2)
    found = [people.example(rng)[1] for _ in range(60)]
    whole = sum((f == 1).all() for f in found)
    assert 20 <= whole <= 40 and any((f == 0).all() for f in found)
    assert any((f == -1).any() and (f == 0).any() for f in found), "the same chord elsewhere may fit"


def test_too_little_is_said():
    with pytest.raises(TooLittle, match="no song with bass and chords"):
        People([song([Note(0, 12, 60)], bars=8)])
