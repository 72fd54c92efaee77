"""What the network is shown and what it is asked."""

import random

import numpy as np
import torch

from obbligato_models import encoding as e
from obbligato_models.dataset import Run
from obbligato_models.encoding import Bar, Note
from obbligato_models.transformer import train
from obbligato_models.transformer.train import Windows


def runs() -> list[Run]:
    rng = random.Random(4)
    made = []
    for i in range(4):
        bars = 30
        melody = [Note(12 * t, 12, rng.randint(60, 80)) for t in range(4 * bars)]
        bass = [Note(24 * t, 24, rng.randint(36, 48)) for t in range(2 * bars)]
        chords = np.array([[rng.randrange(120) for _ in range(2)] for _ in range(bars)])
        style = np.tile(np.eye(9, dtype=np.float32)[i], (bars, 1))
        made.append(Run(f"pop909/{i}", "pop909", 0, bars, 100, (0,), (bass, [], [], melody), chords, style))
    return made


def test_weights_name_what_the_model_chooses():
    bar = Bar(0, [Note(0, 12, 60)], [0, 1], {0: [Note(0, 12, 40)], 2: []})
    low, chord = train.MELODY_WEIGHT, train.CHORD_WEIGHT
    kinds = train.token_kinds()
    #                 BAR POS  NOTE  CHORD  CHORD  PART POS NOTE PART END
    assert train.target_weights(e.encode(bar), kinds, False) == [0, low, low, chord, chord, 0, 1, 1, 1, 1]
    assert train.target_weights(e.encode(bar), kinds, True) == [0, low, low] + [0] * 7


def test_the_same_seed_gives_the_same_window():
    windows, again = Windows(runs()), Windows(runs())
    for i in range(5):
        one, other = windows.draw((1, i)), again.draw((1, i))
        assert all((one[key] == other[key]).all() for key in one)
        assert all(len(one[key]) == train.LENGTH + 1 for key in one)


def test_windows_hold_valid_bars():
    windows = Windows(runs())
    for i in range(20):
        window = windows.draw((2, i))
        starts = [*np.flatnonzero(window["ids"] == e.START), train.LENGTH + 1]
        for start, end in zip(starts, starts[1:], strict=False):
            tokens = window["ids"][start:end].tolist()
            if end > train.LENGTH:
                tokens = (
                    tokens[: max(at for at, t in enumerate(tokens) if e.BAR <= t < e.POS)] if len(tokens) > 1 else []
                )
            e.decode(tokens)


def test_hidden_tokens_are_seen_in_their_own_bar_only():
    windows = Windows(runs())
    seen = 0
    for i in range(12):
        batch = windows.batch(i, size=1)
        look, hidden, bar = train.may_look(batch)[0, 0], batch["hidden"][0, :-1], batch["bar"][0, :-1]
        excerpt = batch["excerpt"][0, :-1]
        assert not look.triu(1).any() and look.diagonal().all()
        assert not (look & (excerpt[:, None] != excerpt[None, :])).any()
        later = bar[:, None] > bar[None, :]
        assert not (look & later & hidden[None, :]).any()
        seen += int(hidden.any())
    assert 0 < seen < 12


def test_rates_rise_stay_and_fall():
    assert train.rate(0, 100, 0) < 0.05
    assert train.rate(20, 100, 500) == 1
    assert train.FLOOR <= train.rate(99, 100, 500) < 0.05


def test_a_small_network_learns_and_goes_on_where_it_stopped(tmp_path, monkeypatch):
    from obbligato_models.transformer.model import Shape

    monkeypatch.setattr(train, "BATCH", 2)
    monkeypatch.setattr(train, "VALIDATE_STEPS", 10**9)
    music = runs()
    music[3].split = "validation"
    train.train(music, tmp_path, 0.03, Shape(32, 1, 2), compiled=False)
    first = torch.load(tmp_path / "last.pt", weights_only=True)
    train.train(music, tmp_path, 0.06, Shape(32, 1, 2), compiled=False)
    second = torch.load(tmp_path / "last.pt", weights_only=True)
    assert second["step"] > first["step"] > 0
    assert second["elapsed"] >= 3.5 > first["elapsed"]
    assert set(second["controls"]) == {"bass", "chords", "counter", "styles"}
