"""The file read back as a network, a style put beside the others, and what is refused."""

import copy
import json

import numpy as np
import onnx
import pytest
import torch
from midi_files import band, midi

from obbligato_models import encoding as e
from obbligato_models import export, folder, styles
from obbligato_models.transformer import finetune, model_file, replay
from obbligato_models.transformer.model import Shape, Transformer
from obbligato_models.transformer.model_file import Refused
from obbligato_models.transformer.train import Windows

NAMES = list(styles.NAMES)


@pytest.fixture(autouse=True)
def little_is_played(monkeypatch):
    monkeypatch.setattr(finetune, "PLAYED", 2)
    monkeypatch.setattr(finetune, "PLAYED_HELD_OUT", 2)
    monkeypatch.setattr(replay, "BARS", 2)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A small made-up model: the network and its file."""
    torch.manual_seed(5)
    model = Transformer(Shape(32, 1, 2, 512)).eval()
    with torch.no_grad():
        for value in model.parameters():
            value += 0.05 * torch.randn_like(value)
    path = tmp_path_factory.mktemp("base") / "base.onnx"
    export.export(copy.deepcopy(model), styles.NO_CONTROLS, {}, path, path.with_suffix(".json"))
    return model, path


@pytest.fixture(scope="module")
def songs(tmp_path_factory):
    path = tmp_path_factory.mktemp("songs")
    for i in range(4):
        (path / f"{i}.mid").write_bytes(midi(band(24, seed=i)))
    return path


def outputs(model: Transformer, cond: np.ndarray | None = None) -> list[np.ndarray]:
    """Of the reference music; the exporter rounds the network it is given."""
    ids, usual = export.reference_music()
    step = export.stepper(copy.deepcopy(model))
    return export.run_steps(export.torch_runner(step), model.shape, ids, usual if cond is None else cond, 32)


def test_a_file_read_back_computes_what_was_exported(base):
    model, path = base
    file = model_file.read_file(path)
    assert file.styles == NAMES and file.fields["name"] == "Accompanist" and file.model.shape == model.shape
    for found, expected in zip(outputs(file.model), outputs(model), strict=True):
        assert np.abs(found - expected).max() < 1e-4
    assert not any(table.any() for table in file.model.tokens.tables.values())
    ids, cond = export.reference_music()
    with torch.no_grad():
        whole = file.model(torch.tensor([ids]), torch.from_numpy(cond)[None]).logits[0].numpy()
    assert np.abs(whole - outputs(model)[0]).max() < 1e-3


def test_a_file_made_a_checkpoint_and_exported_is_the_same_file(base, tmp_path):
    model_file.write_checkpoint(tmp_path / "begin.pt", model_file.read_file(base[1]))
    model, saved = export.load(tmp_path / "begin.pt")
    assert saved["controls"] == styles.NO_CONTROLS
    export.export(model, saved["controls"], {}, tmp_path / "again.onnx", tmp_path / "again.json")
    before, after = (onnx.load(path).graph.initializer for path in (base[1], tmp_path / "again.onnx"))
    values = [{t.name: onnx.numpy_helper.to_array(t) for t in tensors} for tensors in (before, after)]
    assert values[0].keys() == values[1].keys() and "table.whole" in values[0]
    assert all((values[0][name] == values[1][name]).all() for name in values[0])
    assert (tmp_path / "again.json").read_text() == base[1].with_suffix(".json").read_text()


def test_other_files_are_refused(base, tmp_path):
    graph = onnx.load(base[1])
    for prop in graph.metadata_props:
        if prop.key == "obbligato.encoding":
            prop.value = "1"
    onnx.save(graph, tmp_path / "old.onnx")
    (tmp_path / "text.onnx").write_text("no model")
    for name, words in (("old", "not a transformer of encoding 3"), ("text", "is not a model file"), ("no", "no.onnx")):
        with pytest.raises(Refused, match=words):
            model_file.read_file(tmp_path / f"{name}.onnx")


def test_names_are_checked():
    assert finetune.check_name("  Bossa   nova ", NAMES) == "Bossa nova"
    for name, words in (("hymn", "has a style hymn already"), ("a|b", "no |"), (" ", "1 to 40"), ("x" * 41, "1 to 40")):
        with pytest.raises(Refused, match=words.replace("|", r"\|")):
            finetune.check_name(name, NAMES)
    with pytest.raises(Refused, match="12 styles already"):
        finetune.check_name("new", [str(i) for i in range(12)])


def answer(file: model_file.File, name: str) -> np.ndarray:
    _, cond = export.reference_music()
    cond[:, : finetune.MOST_STYLES] = 0
    cond[:, file.styles.index(name)] = 1
    return outputs(file.model, cond)[0]


def test_a_new_style_begins_as_its_nearest_and_stands_beside_it(base):
    file = model_file.read_file(base[1])
    before = {name: answer(file, name) for name in NAMES}
    model_file.begin_like(file.model, len(NAMES), 4)
    model_file.place_beside(file, "Mine", len(NAMES), 4)
    assert file.styles == [*NAMES[:5], "Mine", *NAMES[5:]]
    assert np.allclose(answer(file, "Mine"), before[NAMES[4]], atol=1e-4)
    for name in NAMES:
        assert np.allclose(answer(file, name), before[name], atol=1e-4)
    assert not np.allclose(before[NAMES[4]], before[NAMES[5]], atol=1e-2)


def test_windows_are_asked_for_in_a_style(songs):
    runs = folder.enough(folder.read_folder(songs))
    batch = Windows(runs, {folder.SOURCE: 1.0}).batch(0, size=2)
    in_one = finetune.in_style(batch, finetune.one_style(9))["cond"]
    assert (in_one[..., 9] == 1).all() and in_one[..., : finetune.MOST_STYLES].sum() == in_one[..., 0].numel()
    assert (in_one[..., finetune.MOST_STYLES :] == batch["cond"][..., finetune.MOST_STYLES :]).all()
    random = np.random.default_rng(1)
    some = np.array([replay.some_style(9, random) for _ in range(400)])
    said = some.sum(1).round(4)
    assert set(said) == {0.0, 1.0} and 0.1 < (said == 0).mean() < 0.3
    assert (some.sum(0) > 0).all() and ((some > 0).sum(1) <= 2).all()


def test_the_file_plays_to_melodies_of_the_folder(base, songs):
    model, runs = model_file.read_file(base[1]).model, folder.enough(folder.read_folder(songs))
    made = replay.played(model, len(NAMES), runs, 2, np.random.default_rng(1))
    tunes = {run.song: {(n.start, n.key) for n in run.melody} for run in runs}
    for run in made:
        assert run.bars == replay.BARS and run.chords.shape == (run.bars, 2) and run.styles.shape == (run.bars, 9)
        excerpt = {(n.start, n.key) for n in run.melody}
        assert any({(start + line, key) for start, key in excerpt} <= tunes[run.song] for line in range(0, 24 * 48, 48))
        assert run.notes[e.BASS] and all(0 <= n.start < run.bars * 48 for n in run.notes[e.BASS])
    assert Windows(made, {replay.SOURCE: 1.0}).batch(0, size=1)["ids"].shape == (1, 513)


def test_a_style_is_learnt_and_put_into_a_file(base, songs, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(finetune, "CHECK_STEPS", 10)
    monkeypatch.setattr(finetune, "CHECKED_WINDOWS", 2)
    monkeypatch.setattr(finetune, "RATE", 3e-3)
    ends = iter([*(i / 40 for i in range(40)), 1.0])
    monkeypatch.setattr(finetune, "share_of_time", lambda started, minutes: next(ends))
    out = tmp_path / "models" / "mine.onnx"
    lesson = finetune.finetune(base[1], songs, "Mine", out, 1.0)
    assert lesson.after < lesson.before - 0.5 and 10 <= lesson.steps <= 40
    printed = capsys.readouterr().out
    assert "4 MIDI files: 4 used (96 bars), 0 skipped" in printed and str(out) in printed

    file, old = model_file.read_file(out), model_file.read_file(base[1])
    assert file.styles == [*NAMES[: lesson.nearest + 1], "Mine", *NAMES[lesson.nearest + 1 :]]
    assert file.fields["name"] == "Mine" and "4 files" in file.fields["data"]
    assert set(file.fields) == set(old.fields)
    controls = json.loads(file.fields["controls"])
    assert set(controls) == set(styles.NO_CONTROLS) and controls["styles"]["Mine"]["bass"]["length"] == 48
    assert controls["styles"]["Mine"]["bass"]["density"] == 0.25
    scores = json.loads(file.fields["scores"])
    assert scores["fine-tuned from"] == "Accompanist" and scores["loss after"] == round(lesson.after, 4)
    with pytest.raises(Refused, match="has a style mine already"):
        finetune.finetune(out, songs, "mine", tmp_path / "again.onnx", 1.0)


def lesson_with(weight: float, base, songs, monkeypatch) -> finetune.Lesson:
    file, runs = model_file.read_file(base[1]), folder.enough(folder.read_folder(songs))
    monkeypatch.setattr(finetune, "RECALL_WEIGHT", weight)
    tutor = finetune.Tutor(file.model, len(NAMES), runs, seed=2)
    while tutor.step < 30:
        loss, apart = tutor.teach(1.0)
    tutor.check(loss, apart)
    return tutor.end()


def test_asking_what_the_file_says_keeps_the_other_styles(base, songs, monkeypatch):
    for name, value in (("CHECKED_WINDOWS", 1), ("LEARNT", 2), ("RECALLED", 2), ("RATE", 3e-3)):
        monkeypatch.setattr(finetune, name, value)
    alone, kept = (lesson_with(weight, base, songs, monkeypatch) for weight in (0.0, 1.0))
    assert kept.drift < 0.6 * alone.drift
    assert kept.after < kept.before - 0.2


def test_a_loss_that_is_no_number_writes_nothing(base, songs, tmp_path, monkeypatch):
    def spoil(model: Transformer, new: int, known: int) -> None:
        model.cond.weight.data[:, new] = float("nan")

    monkeypatch.setattr(finetune, "CHECKED_WINDOWS", 1)
    monkeypatch.setattr(finetune, "begin_like", spoil)
    with pytest.raises(Refused, match="step 0: the loss is nan; nothing was written"):
        finetune.finetune(base[1], songs, "Mine", tmp_path / "mine.onnx", 1.0)
    assert not list(tmp_path.iterdir())


def test_what_is_refused_ends_with_two(base, tmp_path, monkeypatch, capsys):
    arguments = ["finetune", "--base", str(base[1]), "--out", str(tmp_path / "x.onnx"), "--data", str(tmp_path)]
    for name, words in (("Mine", "holds no .mid files"), ("Hymn", "has a style Hymn already")):
        monkeypatch.setattr("sys.argv", [*arguments, "--style-name", name])
        with pytest.raises(SystemExit) as ended:
            finetune.main()
        assert ended.value.code == 2 and words in capsys.readouterr().err
    assert e.STYLES + finetune.MOST_STYLES == e.ATTRIBUTES
