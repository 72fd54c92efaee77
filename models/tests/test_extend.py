"""A melody is carried on in its metre and in its chords, bar by bar, from wherever the player stopped."""

import random

import numpy as np
import pytest
import torch
from made_up import song

from obbligato_models import encoding as e
from obbligato_models import export, training
from obbligato_models.encoding import Bar, Note
from obbligato_models.extend import play, train, windows
from obbligato_models.extend.play import Choice, Ending, Request
from obbligato_models.extend.windows import Windows
from obbligato_models.transformer.model import Shape, Transformer
from obbligato_models.transformer.train import Plan

TINY = Shape(32, 2, 2, 512, 8)


def music(count: int = 6) -> list:
    rng, made = random.Random(6), []
    for i in range(count):
        metre = (0, 1, 3)[i % 3]
        bars = 14
        ticks = e.BAR_TICKS[metre] * bars
        melody = [Note(t, 6, 60 + rng.choice((0, 2, 4, 7)), 60 + t % 30) for t in range(0, ticks, 6)]
        labels = np.array([[rng.randrange(120) for _ in e.SEGMENTS[metre]] for _ in range(bars)])
        made.append(song(melody, bars=bars, metre=metre, labels=labels, song=f"pop909/{i}"))
    return made


@pytest.fixture(scope="module")
def runner():
    torch.manual_seed(2)
    model = Transformer(TINY).eval()
    with torch.no_grad():
        for value in model.parameters():
            value += 0.1 * torch.randn_like(value)
    return export.torch_runner(export.stepper(model))


def heard(run, bars: int, chords: bool) -> list[Bar]:
    return [Bar(run.metre, run.bar(b, (), False).melody, run.chords[b].tolist() if chords else []) for b in range(bars)]


def request(run, bars: int = 4, chords: bool = True, **options) -> Request:
    return Request(heard(run, 10, chords), bars, lambda b: e.condition((), bar=b), run.metre, **options)


def test_windows_hold_melody_and_chords_and_are_the_same_again():
    one, two, with_chords = Windows(music()), Windows(music()), 0
    for i in range(12):
        window, again = one.draw((1, i)), two.draw((1, i))
        assert all(np.array_equal(window[key], again[key]) for key in window)
        assert all(len(value) == windows.LENGTH + 1 for value in window.values())
        ids = window["ids"]
        assert not np.isin(ids, [e.END, e.MELODY, e.TIE]).any() and not ((ids >= e.PART) & (ids < e.BAR)).any()
        assert ((window["loudness"] >= 0) <= (ids >= e.NOTE)).all() and (window["loudness"] >= 0).any()
        assert (window["weight"] == (ids != e.START)).all()
        with_chords += int(((ids >= e.CHORD) & (ids < e.NOTE)).any())
    assert 0 < with_chords


def test_tokens_of_a_bar():
    bar = Bar(1, [Note(-6, 12, 60), Note(0, 12, 64, 70), Note(12, 24, 67, 80)], [42])
    tokens = [e.BAR + 1, e.POS, e.note_token(64, 12), e.POS + 12, e.note_token(67, 24)]
    assert windows.encode(bar, False) == tokens
    assert windows.encode(bar, True) == [tokens[0], e.CHORD + 42, *tokens[1:]]
    assert windows.velocities(bar) == [70, 80]


@pytest.mark.parametrize("sampling", play.SAMPLINGS)
@pytest.mark.parametrize("index", range(3))
def test_bars_keep_metre_voices_and_range(runner, sampling, index):
    run = music()[index]
    choice = Choice(sampling=sampling, risk=1.3, seed=index)
    bars = play.extend(runner, TINY, request(run, 6), choice)
    assert len(bars) == 6 and any(bar.melody for bar in bars)
    for bar in bars:
        starts = [n.start for n in bar.melody]
        assert bar.metre == run.metre and len(bar.chords) == len(e.SEGMENTS[run.metre])
        assert starts == sorted(set(starts)) and all(0 <= s < run.ticks for s in starts)
        assert all(1 <= n.duration <= 48 and 1 <= n.velocity <= 127 for n in bar.melody)
    assert bars == play.extend(runner, TINY, request(run, 6), choice)
    assert bars != play.extend(runner, TINY, request(run, 6), Choice(sampling=sampling, risk=1.3, seed=9))


def test_no_risk_has_no_luck(runner):
    one, two = (play.extend(runner, TINY, request(music()[0]), Choice(risk=0, seed=s)) for s in (1, 2))
    assert [[n[:3] for n in bar.melody] for bar in one] == [[n[:3] for n in bar.melody] for bar in two]


def test_given_chords_are_kept_and_unknown_ones_are_not_made_up(runner):
    given = [[10, 20], [30, 40]]
    asked = Request(heard(music()[0], 6, True), 2, lambda b: e.condition(), 0, chords=given)
    assert [bar.chords for bar in play.extend(runner, TINY, asked)] == given
    assert all(bar.chords == [] for bar in play.extend(runner, TINY, request(music()[0], 2, chords=False)))


def test_a_bar_that_was_stopped_in_is_filled_from_there(runner):
    run = music()[0]
    begun = Bar(0, [Note(0, 12, 60), Note(12, 30, 64)])
    for seed in range(4):
        asked = request(run, 2, ending=Ending(begun, 24))
        first = play.extend(runner, TINY, asked, Choice(seed=seed, risk=1.5))[0]
        assert all(n.start >= 24 for n in first.melody)


def test_it_goes_on_beyond_its_window_and_listens_back_as_far_as_asked(runner):
    run = music()[0]
    assert len(play.extend(runner, TINY, request(run, 40), Choice(listen=4, risk=1.2))) == 40
    reads = []

    def counting(inputs):
        reads.append(inputs["ids"].size)
        return runner(inputs)

    for listen in (0, 2, 8):
        reads.clear()
        play.extend(counting, TINY, request(run, 1), Choice(listen=listen, seed=1))
        expected = 1 + sum(len(windows.encode(bar, True)) for bar in heard(run, 10, True)[10 - listen : 10])
        begun = next(i for i, total in enumerate(np.cumsum(reads)) if total >= expected)
        assert np.cumsum(reads)[begun] == expected


@pytest.mark.parametrize("bars", [[], [Bar(0)], [Bar(0, [Note(0, 48, k) for k in range(128)])]])
def test_anything_can_be_carried_on(runner, bars):
    found = play.extend(runner, TINY, Request(bars, 3, lambda b: e.condition()), Choice(risk=2, sampling="random"))
    assert len(found) == 3
    assert play.extend(runner, TINY, Request(bars, 0, lambda b: e.condition())) == []


def test_a_run_learns_and_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(train, "BATCH", 2)
    monkeypatch.setattr(train, "VALIDATION_BATCHES", 1)
    monkeypatch.setattr(training, "LOG_STEPS", 10)
    monkeypatch.setattr(training, "CHECK_STEPS", 20)
    runs = music()
    runs[5].split = "validation"
    train.train(runs, tmp_path, Plan(1, steps=20), TINY)
    train.train(runs, tmp_path, Plan(1, steps=40), TINY)
    rows = [line.split(",") for line in (tmp_path / "log.csv").read_text().splitlines()]
    assert [row[0] for row in rows[1:]] == ["10", "20", "30", "40"]
    melody = rows[0].index("melody")
    assert float(rows[-1][melody]) < float(rows[1][melody]) - 0.5
    assert "chords=" in rows[2][-1] and play.load(tmp_path / "last.pt").model.shape == TINY
