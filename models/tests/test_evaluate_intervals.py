"""Bootstrap intervals and rank correlation on numbers with known answers."""

import numpy as np
import pytest

from obbligato_models.evaluate.intervals import estimate, known_mean, rank_correlation, ranks


def test_the_interval_of_a_mean():
    values = np.random.default_rng(1).normal(5, 2, 400)
    found = estimate(lambda songs: values[songs].mean(), len(values))
    assert found.value == values.mean()
    # 1.96 standard errors either way.
    expected = 1.96 * values.std() / 20
    assert found.high - found.value == pytest.approx(expected, rel=0.12)
    assert found.value - found.low == pytest.approx(expected, rel=0.12)


def test_the_same_draws_each_time():
    values = np.arange(10.0)
    assert estimate(lambda s: values[s].mean(), 10) == estimate(lambda s: values[s].mean(), 10)


def test_what_all_draws_have_in_common_is_taken_off():
    """Different songs among those drawn: never all of them, though all there are is 50."""
    found = estimate(lambda songs: len(set(songs.tolist())), 50)
    assert found.value == 50 and found.low < 50 < found.high


def test_nothing_to_draw_from():
    assert all(np.isnan(estimate(lambda songs: 1.0, 0)))


def test_the_mean_of_what_is_known():
    assert known_mean([1, np.nan, 3]) == 2 and np.isnan(known_mean([np.nan]))


def test_ranks_share_their_mean():
    assert ranks(np.array([5, 1, 5, 9])).tolist() == [2.5, 1, 2.5, 4]


@pytest.mark.parametrize(
    ("given", "expected"),
    [([1, 2, 3, 4], 1), ([1, 8, 9, 100], 1), ([4, 3, 2, 1], -1), ([2, 1, 4, 3], 0.6), ([1, 1, 2, 2], 2 / np.sqrt(5))],
)
def test_rank_correlation(given, expected):
    assert rank_correlation([1, 2, 3, 4], given) == pytest.approx(expected)


def test_no_rank_correlation_without_change():
    assert np.isnan(rank_correlation([1, 2, 3], [7, 7, 7]))
