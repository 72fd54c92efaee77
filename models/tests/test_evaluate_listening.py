"""The shift test with networks of which it is known whether they listen."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from made_up import every, song

from obbligato_models import encoding as e
from obbligato_models.encoding import Note
from obbligato_models.evaluate import listening


def run():
    """A melody note a bar, C D E F and again, and the chord of the same root."""
    keys = [60, 62, 64, 65] * 2
    labels = np.array([[10 * (k % 12)] * 2 for k in keys])
    melody = [Note(48 * i, 48, k) for i, k in enumerate(keys)]
    return song(melody, every(48, 8, 40), bars=8, labels=labels)


def deaf(ids, cond):
    return SimpleNamespace(logits=torch.zeros(*ids.shape, e.VOCABULARY))


def listener(ids, cond, trust=8.0):
    """Expects the chord of the newest melody note's root."""
    logits = torch.zeros(*ids.shape, e.VOCABULARY)
    newest = 0
    for i, token in enumerate(ids[0].tolist()):
        if token >= e.NOTE and e.note_of(token)[0] >= 60:
            newest = e.note_of(token)[0] % 12
        logits[0, i, e.CHORD + 10 * newest] = trust
    return SimpleNamespace(logits=logits)


def test_who_does_not_listen_loses_nothing():
    sums = listening.shift_test(deaf, [run()])
    assert listening.rise(sums, "chords") == listening.rise(sums, "parts") == 0
    assert sums[0, 0] == pytest.approx([16 * np.log(e.VOCABULARY)] * 2 + [16], rel=1e-5)


def test_who_listens_is_led_astray():
    sums = listening.shift_test(listener, [run()])
    # The chord expected has 8 nats more than the others, and is never the right one when the melody is moved.
    assert listening.rise(sums, "chords") == pytest.approx(8, rel=1e-4)
    assert sums[0, 0, 2] == 16


def test_the_rise_is_a_mean_over_tokens():
    sums = np.array([[[1.0, 4.0, 1], [0, 0, 0]], [[2.0, 2.0, 2], [0, 0, 0]]])
    assert listening.rise(sums, "chords") == 1
    assert np.isnan(listening.rise(sums, "parts"))
