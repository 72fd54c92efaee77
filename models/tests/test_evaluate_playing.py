"""What the model is told where nothing is asked for."""

import numpy as np
import pytest

from obbligato_models import encoding as e
from obbligato_models import styles
from obbligato_models.encoding import Attributes, Bar
from obbligato_models.evaluate.playing import as_the_plugin_asks
from obbligato_models.transformer.pace import asked_density
from obbligato_models.transformer.sample import Request

CONTROLS = {
    "styles": {
        "Hymn": {
            "bass": {"density": 1.0, "length": 12.0},
            "chords": {"density": 1.0, "length": 12.0, "polyphony": 2.0},
        },
        "Quartet": {"bass": {"density": 2.0, "length": 6.0}, "chords": {"density": 3.0, "length": 6.0}},
    }
}


def asked(style: np.ndarray, attributes: dict) -> Request:
    cond = e.condition(style, attributes, [e.BASS, e.CHORDS])
    return as_the_plugin_asks(Request([Bar(0)], [cond], [(e.BASS, e.CHORDS)]), CONTROLS)


def test_what_is_usual_is_told_and_not_kept_to():
    blend = np.zeros(len(styles.NAMES))
    blend[[styles.HYMN, styles.QUARTET]] = 0.25, 0.75
    request = asked(blend, {})
    cond = request.conds[0]
    assert not request.paced
    assert cond[[styles.HYMN, styles.QUARTET]] == pytest.approx([0.25 * styles.EMPHASIS, 0.75 * styles.EMPHASIS])
    assert not e.density_known(cond), "songs of one style differ in it"
    assert cond[e.ATTRIBUTES + 4 : e.ATTRIBUTES + 6].tolist() == pytest.approx([np.log2(7.5 / 12), 1])
    assert cond[e.POLYPHONY : e.POLYPHONY + 2].tolist() == [0, 1]
    assert not cond[e.ATTRIBUTES + 2 : e.ATTRIBUTES + 4].any()


def test_a_density_that_is_asked_for_stays_and_is_kept_to():
    request = asked(np.eye(len(styles.NAMES))[styles.HYMN], {e.BASS: Attributes(density=3.0)})
    assert request.paced
    assert asked_density(request.conds[0], e.BASS) == pytest.approx(3.0)


def test_without_a_style_nothing_is_usual():
    request = asked(np.zeros(len(styles.NAMES)), {})
    assert not e.density_known(request.conds[0])
