"""What the drummer is shown and what it is asked."""

import random

import numpy as np
import torch

from obbligato_models.drums import band, dataset, train
from obbligato_models.drums import encoding as e
from obbligato_models.drums.dataset import Take
from obbligato_models.drums.encoding import Stroke
from obbligato_models.drums.model import Drummer
from obbligato_models.drums.train import Score, Wanted, Windows
from obbligato_models.transformer.model import Shape


def takes() -> list[Take]:
    rng = random.Random(4)
    made = []
    for i in range(6):
        source, metre, fill = ("groove", "groove", "groove", "freedoom", "groove", "groove")[i], i % 3, i == 5
        metre, count = (0, 1) if fill else (metre, 12)
        ticks = e.BAR_TICKS[metre]
        bars = [
            e.playable(
                Stroke(t, rng.randrange(11), rng.randint(20, 120), rng.uniform(-0.5, 0.5)) for t in range(0, ticks, 3)
            )
            for _ in range(count)
        ]
        bass = list(range(0, count * ticks, 9)) if source == "freedoom" else None
        take = Take(
            f"t{i}", source, "train", 90.0 + i, metre, np.eye(11, dtype=np.float32)[2], bars, np.ones((count, 2), int)
        )
        take.bass, take.band, take.only_fill = bass, bass, fill
        take.fills = np.full((count, len(take.kinds)), fill)
        made.append(take)
    return made


def test_the_same_seed_gives_the_same_window():
    windows, again = Windows(takes()), Windows(takes())
    for i in range(10):
        one, other = windows.draw((1, i)), again.draw((1, i))
        assert all((one[key] == other[key]).all() for key in one)
        assert all(len(one[key]) == train.LENGTH + 1 for key in one)


def test_windows_hold_valid_segments_under_one_condition_each():
    windows = Windows(takes())
    for i in range(30):
        window = windows.draw((2, i))
        ids, cond = window["ids"], window["cond"]
        starts = [*np.flatnonzero(ids == e.START), len(ids)]
        for start, end in zip(starts, starts[1:], strict=False):
            ends = np.flatnonzero(ids[start:end] == e.END)
            if len(ends):
                e.decode(ids[start : start + ends[-1] + 1].tolist())
            assert end - start == 1 or (cond[start] == cond[start + 1]).all()
        changes = np.flatnonzero((cond[1:] != cond[:-1]).any(1)) + 1
        assert all(e.SEGMENT <= ids[at] < e.STROKE or ids[at] == e.START for at in changes)
        assert (window["weight"][(ids >= e.SEGMENT) & (ids < e.STROKE)] == 0).all()


def test_touches_of_machines_are_not_learnt():
    machine = [take for take in takes() if take.source == "freedoom"]
    window = Windows(machine).draw((3, 0))
    assert not window["weight"][window["ids"] >= e.TOUCH].any()
    assert window["weight"][(window["ids"] >= e.STROKE) & (window["ids"] < e.TOUCH)].all()


def test_a_segment_is_told_the_bass_of_its_own_ticks():
    take = takes()[3]
    score = Score(take)
    wanted = Wanted(score, 1.0, random.Random(1))
    wanted.bass = take.bass
    for bar, parts in enumerate(score.bars):
        for part in parts:
            start, end = e.SEGMENTS[part.kind]
            told = wanted.asked(bar, part).bass
            assert told == [t - bar * take.ticks for t in take.bass if start <= t - bar * take.ticks < end] and told


def test_louder_takes_are_called_louder():
    take = takes()[0]
    levels = []
    for gain in (0.7, 1.0):
        wanted = Wanted(Score(take), gain, random.Random(1))
        wanted.known, wanted.blur = {"level"}, dict.fromkeys(wanted.blur, 0.0)
        levels.append(wanted.asked(0, Score(take).bars[0][0]).level)
    assert abs(levels[0] / levels[1] - 0.7) < 1e-6
    loud, soft = (Score(take).bars[0][0].tokens(gain) for gain in (1.0, 0.5))
    assert (loud[1:-1:2] == soft[1:-1:2]).all() and (loud[2:-1:2] >= soft[2:-1:2]).all() and (loud != soft).any()


def test_fill_takes_end_their_phrase_and_replace_bars():
    windows = Windows(takes())
    groove, fill = windows.pools[2][1][0].bars[3], windows.fills[2][0]
    spliced = windows.spliced(groove, 2, random.Random(1))
    assert spliced == [fill[0], fill[1]] and all(part.fill for part in spliced)
    assert windows.spliced(groove, 7, random.Random(1)) == groove
    assert [s.phrase_bar(0) for s in windows.pools[1][1]] == [3]


def test_a_drawn_bass_is_with_the_kick_more_often_than_chance():
    rng = random.Random(2)
    beat = [Stroke(t, i, 90) for t, i in ((0, e.KICK), (12, e.SNARE), (21, e.KICK), (36, e.SNARE))]
    take = Take("t", "groove", "train", 100.0, 0, np.zeros(11), [beat] * 16, np.tile([0, 1], (16, 1)))
    hits = [t % 48 in (0, 21) for _ in range(200) for t in band.bass(take, rng) or []]
    others = [t % 48 in (9, 33) for _ in range(200) for t in band.bass(take, rng) or []]
    assert np.mean(hits) > 0.4 > 0.1 > np.mean(others)
    unknown = [band.bass(take, rng) is None for _ in range(400)]
    assert 0.1 < np.mean(unknown) < 0.3


def test_controls_are_quantiles_and_means():
    controls = train.controls(takes())
    assert all(len(controls[name]) == 11 and controls[name] == sorted(controls[name]) for name in ("density", "level"))
    assert set(controls["styles"]) == {dataset.STYLES[2]} and set(controls["styles"]["Rock"]) == set(train.MEASURES)


def test_excerpts_do_not_see_each_other():
    windows = Windows(takes())
    batch = windows.batch(0, 2)
    torch.manual_seed(1)
    model = Drummer(Shape(32, 2, 2, 256)).eval()
    for value in model.parameters():
        torch.nn.init.normal_(value, std=0.1)
    excerpt = batch["excerpt"][0, :-1]
    later = (excerpt == excerpt[-1]).nonzero().flatten()
    assert 0 < later[0] < len(excerpt)
    ids, cond, mask = batch["ids"][:1, :-1], batch["cond"][:1, :-1], train.may_look(batch)[:1]
    changed = ids.clone()
    changed[0, : later[0]] = e.END
    with torch.no_grad():
        one, other = model(ids, cond, mask)[0], model(changed, cond, mask)[0]
    assert torch.allclose(one[later], other[later], atol=1e-5) and not torch.allclose(one, other)
