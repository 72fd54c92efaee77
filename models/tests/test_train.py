"""What the network is shown and what it is asked, and that runs go on, stop and divide as they should."""

import csv
import os
import random
import subprocess
import sys
from pathlib import Path

import mido
import numpy as np
import pytest
import torch

from obbligato_models import dataset
from obbligato_models import encoding as e
from obbligato_models.dataset import Run
from obbligato_models.encoding import Bar, Note
from obbligato_models.transformer import report, train
from obbligato_models.transformer.layout import SHIPPED
from obbligato_models.transformer.model import Shape
from obbligato_models.transformer.train import Plan, Windows

TINY = Shape(32, 1, 2)


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
    roles = SHIPPED.roles(e.encode(bar))
    #         BAR POS  NOTE  CHORD  CHORD  PART POS NOTE PART END
    assert train.target_weights(roles, False) == [0, low, low, chord, chord, 0, 1, 1, 1, 1]
    assert train.target_weights(roles, True) == [0, low, low, chord, chord, 0, 0, 0, 0, 0]
    assert train.hide(roles, chords_too=False).tolist() == [False] * 5 + [True] * 4 + [False]
    assert train.hide(roles, chords_too=True).tolist() == [False] * 3 + [True] * 6 + [False]


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
    assert train.rate(0, 0) < 0.05
    assert train.rate(0.2, 500) == 1
    assert train.FLOOR <= train.rate(0.99, 500) < 0.05


def test_processes_share_the_windows_of_a_step():
    windows = Windows(runs())
    whole = windows.batch(3, size=4)
    shares = [windows.batch(3, size=4, share=(rank, 2)) for rank in range(2)]
    assert (whole["ids"][0::2] == shares[0]["ids"]).all() and (whole["ids"][1::2] == shares[1]["ids"]).all()


def divided() -> list[Run]:
    music = runs()
    music[3].split = "validation"
    return music


def logged(folder: Path) -> list[dict[str, str]]:
    with (folder / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_run_learns_goes_on_where_it_stopped_and_leaves_samples(tmp_path, monkeypatch):
    monkeypatch.setattr(train, "VALIDATE_STEPS", 20)
    monkeypatch.setattr(train, "SAMPLE_STEPS", 30)
    monkeypatch.setattr(train, "SAMPLED_BARS", 4)
    monkeypatch.setattr(train, "COLLECTED", 2)
    train.train(divided(), tmp_path, Plan(1, steps=20, batch=2), TINY)
    first = torch.load(tmp_path / "last.pt", weights_only=True)
    with (tmp_path / "log.csv").open("a") as file:
        file.write("40,1.0,1,1,1,1,1,1,1,\n")  # Of a run that was lost before it was saved.
    train.train(divided(), tmp_path, Plan(1, steps=40, batch=2), TINY)
    second = torch.load(tmp_path / "last.pt", weights_only=True)
    assert (first["step"], second["step"]) == (20, 40) and second["elapsed"] > first["elapsed"] > 0
    assert set(second["controls"]) == {"bass", "chords", "counter", "styles"}
    moments = second["optimisers"][1]["state"][0]["step"]
    assert int(moments) == 40
    lines = logged(tmp_path)
    assert [line["step"] for line in lines] == ["20", "40"]
    assert float(lines[1]["loss"]) < float(lines[0]["loss"]) - 0.5
    assert "jam coming" in lines[0]["validation"]
    samples = sorted(path.name for path in (tmp_path / "samples").iterdir())
    assert samples == ["step000030-pop909-jam.mid", "step000030-pop909-known.mid"]
    tracks = [track.name for track in mido.MidiFile(tmp_path / "samples" / samples[0]).tracks]
    assert tracks[1:3] == ["Melody", "Bass"]


def test_time_is_a_budget_too(tmp_path, monkeypatch):
    monkeypatch.setattr(train, "COLLECTED", 2)
    train.train(divided(), tmp_path, Plan(minutes=0.01, batch=2), TINY)
    first = torch.load(tmp_path / "last.pt", weights_only=True)
    assert first["step"] > 0 and first["elapsed"] >= 0.6


def test_a_loss_that_is_no_number_stops_and_the_last_good_weights_stay(tmp_path, monkeypatch):
    with pytest.raises(SystemExit, match="step 0: the loss is nan.*nothing was saved"):
        spoilt_at(0, tmp_path, monkeypatch)
    with pytest.raises(SystemExit, match="step 3: the loss is nan.*last.pt holds the last good weights"):
        spoilt_at(3, tmp_path, monkeypatch)
    kept = torch.load(tmp_path / "last.pt", weights_only=True)
    assert kept["step"] == 2 and all(value.isfinite().all() for value in kept["model"].values())


def spoilt_at(step: int, folder: Path, monkeypatch) -> None:
    """Saves after each step that is good."""
    drawn = Windows.batch

    def batch(self, at, *rest, **named):
        found = drawn(self, at, *rest, **named)
        if at == step:
            found["cond"][0, 0] = float("nan")
        return found

    with monkeypatch.context() as patch:
        patch.setattr(Windows, "batch", batch)
        patch.setattr(train, "SAVE_MINUTES", 0)
        train.train(divided(), folder, Plan(1, steps=20, batch=2), TINY)


TRAINING = """
from obbligato_models.transformer import train

train.COLLECTED = 0  # What a process plays along with is its own, so that windows would differ.
train.main()
"""


def test_two_processes_learn_as_one_does(tmp_path):
    dataset.save(tmp_path / "songs.npz", divided(), {})
    (tmp_path / "training.py").write_text(TRAINING)
    models = str(Path(train.__file__).parents[2])
    options = ["--dataset", str(tmp_path / "songs.npz"), "--tiny", "--no-compile", "--steps", "40", "--batch", "4"]
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    losses = {}
    for name, starter in (("one", []), ("two", torchrun)):
        command = [sys.executable, *starter, str(tmp_path / "training.py"), *options, "--threads", "1"]
        command += ["--run-folder", str(tmp_path / name)]
        done = subprocess.run(command, env=os.environ | {"PYTHONPATH": models}, capture_output=True)
        assert done.returncode == 0, done.stderr.decode()
        losses[name] = [float(line["loss"]) for line in logged(tmp_path / name)]
    assert len(losses["one"]) == 2 and losses["one"][1] < losses["one"][0] - 0.5
    assert np.allclose(losses["two"], losses["one"], rtol=0.02)
    weights = [torch.load(tmp_path / name / "last.pt", weights_only=True)["model"] for name in losses]
    apart = torch.cat([(weights[0][key] - weights[1][key]).flatten() for key in weights[0]]).norm()
    size = torch.cat([value.flatten() for value in weights[0].values()]).norm()
    assert apart < 0.1 * size


def test_the_report_draws_a_log(tmp_path, monkeypatch, capsys):
    log = "step,seconds,tokens a second,rate,loss,chords,parts,loudness,coming,validation\n"
    log += "20,30.5,7000,0.3,8.2,5.5,nan,2.4,5.2,\n"
    log += "40,50.0,7000,0.3,9.9,9.9,nan,2.4,5.2,\n"
    log += "40,60.1,7100,1.0,5.6,4.1,5.1,2.1,2.8,known chords=2.5 jam coming=2.0\n"
    (tmp_path / "log.csv").write_text(log)
    columns, checked = report.read_log(tmp_path / "log.csv")
    assert columns["loss"].tolist() == [8.2, 5.6] and sorted(checked) == ["jam coming", "known chords"]
    assert checked["known chords"].tolist() == [[60.1 / 60, 2.5]]
    assert report.smooth(np.array([1.0, 3.0, 5.0]), 2).tolist() == [1, 2, 4]
    monkeypatch.setattr("sys.argv", ["report", "--run", str(tmp_path), "--out", str(tmp_path / "p" / "log.png")])
    report.main()
    assert (tmp_path / "p" / "log.png").read_bytes().startswith(b"\x89PNG")
    (tmp_path / "log.csv").write_text("")
    with pytest.raises(SystemExit, match="has no lines of training"):
        report.main()
