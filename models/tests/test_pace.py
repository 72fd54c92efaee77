"""As many onsets as were asked for, whatever the network makes of it."""

import numpy as np
import pytest
from test_sample import said, written

from obbligato_models import encoding as e
from obbligato_models.encoding import Attributes, Bar
from obbligato_models.transformer.pace import Pace, asked_density
from obbligato_models.transformer.sample import Choice, Request, Song


def played(density: float | None, jam: bool, bars: int = 16) -> float:
    """Onsets a quarter of a bass whose network knows nothing but that parts end some time."""
    attributes = {e.BASS: Attributes(density=density)}
    cond = e.condition((), attributes, [e.BASS])
    song = Song(Request([Bar(0, jam=jam) for _ in range(bars)], [cond] * bars, [(e.BASS,)] * bars), Choice(), 512)
    rng = np.random.default_rng(3)

    def answers():
        logits = rng.normal(size=e.VOCABULARY)
        logits[e.END] += 2
        return said(logits)

    written(song, answers)
    return sum(len(bar.parts[e.BASS]) for bar in song.answers) / (4 * bars)


@pytest.mark.parametrize("jam", [False, True])
def test_the_asked_density_comes(jam):
    free = played(None, jam)
    for density in (0.25, 0.5, 1.0, 2.0):
        assert played(density, jam) == pytest.approx(density, rel=0.3)
    assert played(0.0, jam) < free / 3


def test_the_density_is_read_from_the_conditions():
    for density in (0.0, 0.25, 3.0):
        cond = e.condition((), {e.CHORDS: Attributes(density=density)}, [e.CHORDS])
        assert asked_density(cond, e.CHORDS) == pytest.approx(density, abs=1e-6)
    assert asked_density(cond, e.BASS) is None


def test_another_note_at_the_same_position_stays_as_likely():
    pace = Pace()
    pace.begin_bar(2.0)
    pace.played(0, 48)
    written_so_far = [e.POS, e.NOTE + 15 * 30 + 4]
    allowed = e.allowed_in_part(e.CHORDS, written_so_far, 0, 48, e.END)
    logits = np.random.default_rng(1).normal(size=e.VOCABULARY)
    paced = pace.pace(logits, allowed, written_so_far, (0, 48), e.END)

    def chances(values):
        values = np.where(allowed, np.exp(values), 0)
        return values / values.sum()

    before, after = chances(logits), chances(paced)
    assert after[e.NOTE :].sum() == pytest.approx(before[e.NOTE :].sum())
    assert after[e.POS + 1] > before[e.POS + 1] and after[e.END] < before[e.END]


def test_what_is_missing_is_forgiven_after_eight_bars():
    pace = Pace()
    pulls = []
    for _ in range(12):
        pace.begin_bar(0.1)
        pulls.append(pace.pull(0, 0))
        pace.played(0, 48)
    assert pulls[:8] == sorted(pulls[:8]) and pulls[0] == 0 < pulls[1]
    assert len(set(pulls[7:])) == 1
