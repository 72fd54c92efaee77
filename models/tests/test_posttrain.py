"""What was better than its other tries becomes likelier."""

import copy
import csv
import random
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from test_reward import pieces

from obbligato_models import encoding as e
from obbligato_models import export, styles
from obbligato_models.encoding import Bar, Note
from obbligato_models.transformer import between, posttrain, report, reward, sample
from obbligato_models.transformer.model import Shape, Transformer
from obbligato_models.transformer.posttrain import KINDS, Plan, Played, Task, Trainer
from obbligato_models.transformer.train import Spoilt, Windows

TINY = Shape(32, 1, 2)


def network() -> Transformer:
    torch.manual_seed(3)
    return Transformer(TINY).eval()


def some_tasks(count: int, kind: str) -> list[Task]:
    runs = [r for r in pieces() if r.split == "train"]
    rng, found = random.Random(4), []
    while len(found) < count:
        task = posttrain.some_task(Windows(runs), runs, rng)
        if task.kind.name == kind:
            found.append(task)
    return found


def play(model: Transformer, tasks: list[Task], seed: int) -> list[Played]:
    tasks = [task for task in tasks for _ in range(posttrain.TRIES)]
    requests = [task.request(styles.NO_CONTROLS, seed + i) for i, task in enumerate(tasks)]
    songs = sample.perform(export.stepper(copy.deepcopy(model)), requests, sample.Choice(again=0))
    return [Played(t, s, posttrain.heard_of(t, s.answers)) for t, s in zip(tasks, songs, strict=True)]


@pytest.mark.parametrize("kind", [kind.name for kind in KINDS])
def test_what_was_drawn_has_the_chance_that_learning_gives_it(kind):
    model = network()
    played = play(model, some_tasks(2, kind), 1)
    for one in played:
        one.advantage = np.zeros(64)
    windows = posttrain.packed(played, 1000)
    assert 1 < len(windows) < len(played)
    given = posttrain.choices_of(windows, 1000, 9)
    tokens = given.ids[given.row, given.before + 1]
    assert (tokens == given.could.gather(1, given.chosen[:, None])[:, 0]).all()
    with torch.no_grad():
        logits = model(given.ids, given.cond, given.may_look()).logits[given.row, given.before]
    assert (posttrain.chances(logits, given) - given.logp).abs().max() < 0.05, "but for the file's half precision"
    assert len(given.row) > 50 * len(played)


def test_what_is_rewarded_becomes_likelier():
    """Only one thing is rewarded: that the chord of a segment has the root C."""
    model = network()
    tasks, file = some_tasks(4, "jam"), copy.deepcopy(model)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)

    def share(played: list[Played]) -> float:
        return float(np.mean([c // 10 == 0 for p in played for bar in p.song.answers for c in bar.chords]))

    shares = []
    for turn in range(8):
        played = play(model, tasks, 100 * turn)
        shares.append(share(played))
        for one in played:
            given = np.zeros((sum(len(bar.chords) for bar in one.song.answers), len(posttrain.REWARDS)))
            given[:, 0] = [c // 10 == 0 for bar in one.song.answers for c in bar.chords]
            one.rewards = given
        posttrain.compare(played)
        for _ in range(3):
            given = posttrain.choices_of(posttrain.packed(played, TINY.window), TINY.window)
            loss, moved, _ = posttrain.policy_losses(model, file, given)
            loss.backward()
            optimiser.step()
            optimiser.zero_grad()
    assert moved > 0
    assert np.mean(shares[-2:]) > np.mean(shares[:2]) + 0.1, shares


def tried(task: Task, rewards: list[list[float]]) -> list[Played]:
    table = [np.tile(np.array(row)[:, None], len(posttrain.REWARDS)) for row in rewards]
    return [Played(task, None, None, row) for row in table]


def test_tries_are_compared_with_each_other_only():
    easy, hard = some_tasks(2, "jam")
    same = tried(easy, [[5.0, 5.0]] * 4)
    other = tried(hard, [[0.0, 0.0], [0.0, 0.0], [0.0, 1.0], [0.0]])
    posttrain.compare(same + other)
    assert not any(one.advantage.any() for one in same), "all were as good"
    a, b, c, d = (one.advantage for one in other)
    assert c[1] > 0 > a[1] and (a == b).all() and d[0] == 0
    assert c[0] == pytest.approx(posttrain.DISCOUNT * c[1]), "what came before has its share in it"


def test_plain_rewards_of_what_fits_and_rubs():
    roll = np.zeros((4, 2, 16, reward.KEYS), bool)
    roll[3, 1, :8, 60 - e.LOWEST_KEY] = True
    roll[0, 1, :4, 48 - e.LOWEST_KEY] = True
    roll[1, 1, 4:8, 61 - e.LOWEST_KEY] = True
    found = posttrain.plain_rewards(reward.Sample(roll, 0, (0, 1), np.zeros(9)))
    assert found[0].tolist() == [1.0, -0.5] and np.isnan(found[1]).all(), "the melody rests in the second segment"


def test_a_song_to_learn_from_ends_where_the_window_would_be_cut():
    melody = [Note(6 * i, 6, 60 + i) for i in range(8)]
    asked = (e.BASS, e.CHORDS, e.COUNTER)
    bars = [Bar(0, melody, [], {}, True) for _ in range(40)]
    request = sample.Request(bars, [e.condition((), {}, asked)] * 40, [asked] * 40, recorded=True)
    (song,) = sample.perform(export.stepper(network()), [request])
    assert 0 < len(song.answers) < 40
    assert song.context.is_full() and song.context.size() <= TINY.window
    (whole,) = sample.perform(export.stepper(network()), [replace(request, recorded=False)])
    assert len(whole.answers) == 40 and not whole.drawn
    assert whole.answers[: len(song.answers)] == song.answers


@pytest.fixture
def begin(tmp_path, monkeypatch):
    """What a run needs, small."""
    for name, value in (("JUDGE_STEPS", 1), ("JUDGE_FIRST_STEPS", 1), ("JUDGE_BATCH", 2)):
        monkeypatch.setattr(posttrain, name, value)
    torch.manual_seed(2)
    checkpoint = tmp_path / "begin.pt"
    model = network()
    torch.save({"shape": vars(TINY), "model": model.state_dict(), "controls": styles.NO_CONTROLS}, checkpoint)
    return lambda rounds: Trainer(pieces(), tmp_path / "run", Plan(1, rounds, 2), checkpoint, reward.Judges(16).eval())


def test_runs_go_on(begin, tmp_path):
    begin(1).run()
    trainer = begin(2)
    assert trainer.round == 1 and trainer.step > 0
    trainer.run()
    with (tmp_path / "run" / "log.csv").open() as file:
        rows = list(csv.reader(file))
    assert tuple(rows[0]) == posttrain.COLUMNS and [row[0] for row in rows[1:]] == ["1", "2"]
    report.draw_rewards(tmp_path / "run" / "log.csv", tmp_path / "drawn.png")
    assert report.is_by_reward(tmp_path / "run" / "log.csv") and (tmp_path / "drawn.png").stat().st_size > 10_000
    model, saved = export.load(tmp_path / "run" / "last.pt")
    assert saved["controls"] == styles.NO_CONTROLS
    moved = [(a - b).abs().max() for a, b in zip(model.parameters(), network().parameters(), strict=True)]
    assert max(moved) > 0


def test_a_loss_that_is_no_number_stops_it(begin, tmp_path):
    begin(1).run()
    before = (tmp_path / "run" / "last.pt").read_bytes()
    trainer = begin(2)
    with torch.no_grad():
        trainer.model.cond.weight[0, 0] = float("nan")
    with pytest.raises((Spoilt, ValueError)):
        trainer.run()
    assert (tmp_path / "run" / "last.pt").read_bytes() == before


def test_what_is_missing_is_said(tmp_path):
    command = [sys.executable, "-m", "obbligato_models.transformer.posttrain", "--dataset", str(tmp_path / "no.npz")]
    command += ["--begin-from", "a.pt", "--judges", "b.pt", "--run", str(tmp_path / "run")]
    said = subprocess.run(command, capture_output=True, text=True)
    assert said.returncode == 2 and "no.npz is not a file" in said.stderr and "Traceback" not in said.stderr


def test_half_way_between_two_networks():
    before, after = ({"shape": vars(TINY), "model": {"x": torch.tensor([v])}, "controls": {"a": 1}} for v in (1.0, 3.0))
    found = between.between(before, after, 0.25)
    assert found["model"]["x"].tolist() == [1.5] and found["controls"] == {"a": 1}
    with pytest.raises(between.Unlike, match="shape"):
        between.between(before, {**after, "shape": {"width": 1}}, 0.5)
