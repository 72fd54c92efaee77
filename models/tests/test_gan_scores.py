"""The GAN's scores and pictures: people fit, silence is empty, and a run can be looked at."""

import numpy as np
import pytest
import torch
from made_up import song
from PIL import Image
from test_gan import TINY, music

from obbligato_models import curves, styles
from obbligato_models.encoding import Note
from obbligato_models.evaluate import classic
from obbligato_models.evaluate.answers import Answer, human
from obbligato_models.evaluate.midi import write_rows
from obbligato_models.gan import evaluate, play, report
from obbligato_models.gan.model import Generator


def test_the_three_measures_are_what_they_are_called():
    scale = [Note(12 * i, 12, k) for i, k in enumerate((60, 62, 64, 65, 67, 69, 71, 72))] * 2
    run = song([Note(0, 192, 72)], bass=scale, bars=4, labels=0)
    line = classic.TrainingLine([run], [human(run)])
    found = line.measure([run], [Answer([scale, [], []])])
    # Eight notes fill the first two bars; a scale is in scale, whichever semitones are neighbours.
    assert found["empty bars"] == 0.5 and found["in scale"] == 1 and found[classic.PITCHES] == 0
    sharp = [n._replace(key=n.key + 1) for n in scale]
    assert line.measure([run], [Answer([sharp, [], []])])["in scale"] < 0.35
    assert line.measure([run], [Answer([[], [], []])])["empty bars"] == 1


def test_pitch_classes_are_counted_from_the_tonic():
    one, two = (song([Note(t, 12, 60 + k)], bass=[Note(i * 12, 12, 36 + k + s) for i, s in enumerate((0, 4, 7, 0))])
                for t, k in ((0, 0), (0, 5)))  # fmt: skip
    histograms = [classic.pitch_classes([run], [human(run)]) for run in (one, two)]
    assert np.array_equal(*histograms) and histograms[0][0] == 0.5


def test_a_generator_is_judged_beside_people_and_its_own_start(tmp_path, monkeypatch):
    torch.manual_seed(1)
    generator = Generator(TINY)
    shape = {"width": TINY.width, "critic": TINY.critic}
    state = {"generator": generator.state_dict(), "shape": shape, "step": 3}
    state |= {"controls": styles.NO_CONTROLS, "thresholds": [-5.0] * 4}
    for name in ("last", "supervised"):
        torch.save(state, tmp_path / f"{name}.pt")
    runs = music(2)
    monkeypatch.setattr(evaluate, "judged", lambda songs: list(songs))  # These are shorter than what is judged.
    result = evaluate.evaluate(tmp_path, runs, music(4), play.Choice(), seeds=2)
    verdicts = {v.name: v for v in result["verdicts"]}
    assert set(verdicts) == set(evaluate.GATES)
    assert verdicts["fit"].human == pytest.approx(1) and verdicts["density overlap"].human == pytest.approx(1)
    assert result["all"][evaluate.SUPERVISED] == result["all"]["GAN"] != result["all"]["GAN, jam"]
    text = evaluate.write(tmp_path / "scores", result)
    assert "| fit | 1.000 |" in text and (tmp_path / "scores" / "scores.json").exists()


LOG = """step,seconds,steps a second,imitation,critic,distance,adversarial,gradient norm,difference,validation
0,0.0,0,nan,nan,nan,nan,nan,nan,MEASURED
20,30.5,2,9.5,nan,nan,nan,nan,nan,
40,60.5,2,8.5,3.0,0.5,-0.1,0.4,0.1,MEASURED
"""


@pytest.fixture
def run(tmp_path):
    measured = " ".join(f"{name}=0.5" for name, _ in report.MEASURED)
    (tmp_path / "log.csv").write_text(LOG.replace("MEASURED", measured))
    (tmp_path / "training_line.json").write_text('{"fit": 0.8, "clash": 0.02}')
    (tmp_path / "samples").mkdir()
    for step in (0, 40):
        rows = [[Note(0, 48, 40 + step // 10)], [Note(0, 24, 60)], [], [Note(0, 96, 57)]]
        write_rows(tmp_path / "samples" / f"step{step:06d}-pop909--1.mid", song([Note(0, 12, 72)], bars=2), rows)
    return tmp_path


def test_a_run_is_drawn_and_moves(run, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["report", "--run", str(run), "--out", str(tmp_path / "out")])
    report.main()
    with Image.open(tmp_path / "out" / "gan.gif") as moving:
        assert moving.n_frames == 2 + report.LAST_STAYS or moving.n_frames == 2  # Equal frames may be joined.
        assert moving.is_animated
    assert (tmp_path / "out" / "gan.png").read_bytes().startswith(b"\x89PNG")
    monkeypatch.setattr("sys.argv", ["report", "--run", str(run), "--melody", "x"])
    with pytest.raises(SystemExit, match="there are: pop909--1"):
        report.main()


def test_curves_of_any_log(run, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["curves", "--run", str(run), "--out", str(tmp_path / "a.png")])
    curves.main()
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    (run / "log.csv").write_text("")
    with pytest.raises(SystemExit, match="has no lines of training"):
        curves.main()
