"""From hits in time to strokes on the grid."""

import random
from dataclasses import replace

import numpy as np
import pytest

from obbligato_models.drums import dataset
from obbligato_models.drums import encoding as e
from obbligato_models.drums.dataset import Take

ROCK = np.eye(11, dtype=np.float32)[dataset.ROCK]
BEAT = [
    (0, 36),
    (0, 42),
    (0.5, 42),
    (1, 38),
    (1, 42),
    (1.5, 42),
    (2, 36),
    (2, 42),
    (2.5, 42),
    (3, 38),
    (3, 42),
    (3.5, 42),
]


def made(hits, tempo=100.0, **more) -> Take:
    (take,) = dataset.takes_of("t", "groove", "train", 0, tempo, ROCK, [(t, k, 80) for t, k in hits], **more)
    return take


def loop(bars: int, beat=BEAT) -> list[tuple[float, int]]:
    return [(4 * bar + t, key) for bar in range(bars) for t, key in beat]


@pytest.mark.parametrize(
    ("inside", "ticks", "in_triplets"),
    [
        ((0, 0.25, 0.5, 0.75), [0, 3, 6, 9], False),
        ((0, 1 / 3, 2 / 3), [0, 4, 8], True),
        ((0, 2 / 3), [0, 8], True),
        ((0, 0.75), [0, 9], False),
        ((0, 1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6), [0, 2, 4, 6, 8, 10], True),
        ((0, 1 / 8, 2 / 8, 3 / 8, 4 / 8, 5 / 8, 6 / 8, 7 / 8), [0, 1, 3, 4, 6, 7, 9, 10], False),
    ],
)
def test_each_quarter_finds_its_division(inside, ticks, in_triplets):
    rng = random.Random(3)
    times = np.array([12 * (q + t) + rng.gauss(0, 0.03) for q in range(8) for t in inside])
    found, deviations, flags = dataset.place_strokes(times, 90.0)
    assert found.tolist() == [12 * q + t for q in range(8) for t in ticks]
    assert set(flags.values()) == {in_triplets}
    thirty_seconds = np.isin(found % 12, (1, 4, 7, 10)) & (len(inside) == 8)
    assert np.abs(deviations - 0.5 * thirty_seconds).max() < 0.6


def test_a_player_who_is_always_late_is_not_late():
    take = made([(t + 0.04, k) for t, k in loop(4)])
    assert all(abs(s.deviation) < 1e-6 for bar in take.bars for s in bar)
    assert [(s.tick, s.instrument) for s in take.bars[2]][:2] == [(0, e.KICK), (0, e.CLOSED_HAT)]


def test_a_stroke_before_the_line_belongs_to_the_bar_it_is_meant_for():
    take = made([(t - (0.05 if t == 4 else 0), k) for t, k in loop(3)])
    first = [s for s in take.bars[1] if s.tick == 0]
    assert len(first) == 2 and all(s.deviation == pytest.approx(-0.6) for s in first)


def test_fills_stand_out():
    fill = [
        (0, 36),
        (0, 42),
        (0.5, 42),
        (1, 38),
        (1, 42),
        (1.5, 42),
        *((2 + i / 4, 38 if i < 4 else 45) for i in range(8)),
    ]
    hits = [hit for bar in range(16) for hit in ((4 * bar + t, k) for t, k in (fill if bar % 4 == 3 else BEAT))]
    assert np.argwhere(made(hits).fills).tolist() == [[3, 1], [7, 1], [11, 1], [15, 1]]
    assert not made(loop(16)).fills.any()


def test_rests_divide_a_take():
    hits = [(t, k, 80) for t, k in loop(4)] + [(t + 32, k, 80) for t, k in loop(3)]
    takes = dataset.takes_of("t", "freedoom", "train", 0, 100.0, ROCK, hits, bass=[0.0, 33.0, 60.0], band=[])
    assert [(len(t.bars), t.bass, t.band) for t in takes] == [(4, [0], []), (3, [12], [])]


def test_shuffles_become_six_eight():
    shuffle = [(q + t, 42) for q in range(4) for t in (0, 2 / 3)] + [(0, 36), (1, 38), (2, 36), (3, 38)]
    take = dataset.in_six_eight(made(loop(4, shuffle), tempo=100.0))
    assert (take.metre, take.tempo, len(take.bars)) == (2, 150.0, 8)
    assert [(s.tick, s.instrument) for s in take.bars[1]] == [
        (0, e.KICK), (0, e.CLOSED_HAT), (12, e.CLOSED_HAT), (18, e.SNARE), (18, e.CLOSED_HAT), (30, e.CLOSED_HAT),
    ]  # fmt: skip
    assert dataset.in_six_eight(made(loop(4))) is None


def test_styles_of_groove_share_their_weight():
    assert dataset.style_weights("funk/latin")[[dataset.FUNK, dataset.LATIN]].tolist() == [0.5, 0.5]
    assert dataset.style_weights("rock/shuffle").tolist() == ROCK.tolist()
    assert not dataset.style_weights("reggae/slow").any()


def test_what_is_saved_is_loaded(tmp_path):
    played = made(loop(5))
    takes = [replace(played, bass=[0, 24], band=None), replace(played, name="u", source="freedoom", bass=[], band=[3])]
    dataset.save(tmp_path / "d.npz", takes)
    for take, read in zip(takes, dataset.load(tmp_path / "d.npz"), strict=True):
        for key, value in vars(take).items():
            other = getattr(read, key)
            if isinstance(value, np.ndarray):
                assert (value == other).all() and value.dtype.kind == other.dtype.kind
            elif key == "bars":
                assert [[s[:3] for s in bar] for bar in value] == [[s[:3] for s in bar] for bar in other]
            else:
                assert value == other, key


def test_a_folder_without_the_sets_is_refused_in_words(tmp_path):
    with pytest.raises(dataset.Unreadable, match="groove.tar.gz cannot be read"):
        list(dataset.read_groove(tmp_path, []))
