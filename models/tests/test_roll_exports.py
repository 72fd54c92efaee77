"""Tiny networks through their exporters: the files compute what PyTorch does in every metre, and say what they are."""

import json

import numpy as np
import onnx
import pytest
import torch

from obbligato_models import export, roll_file, rolls, styles
from obbligato_models.arcnn import enhance
from obbligato_models.arcnn import export as arcnn
from obbligato_models.arcnn.model import Enhancer
from obbligato_models.arcnn.model import Shape as EnhancerShape
from obbligato_models.extend import export as extend
from obbligato_models.gan import evaluate as gan_scores
from obbligato_models.gan import export as gan
from obbligato_models.gan import play
from obbligato_models.gan.model import Generator, Shape
from obbligato_models.transformer.model import Shape as TransformerShape
from obbligato_models.transformer.model import Transformer

COMMON = {"engine", "encoding", "grid", "metres", "parts", "styles", "bars", "keys", "name", "licence", "data"}
COMMON |= {"commit", "scores"}
THRESHOLDS = play.Thresholds(*np.arange(32.0).reshape(2, 4, 4).tolist())


def in_use(network):
    torch.manual_seed(3)
    network = network.eval()
    with torch.no_grad():
        for value in network.parameters():
            value += 0.1 * torch.randn_like(value)
    return network


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    trained = play.Trained(in_use(Generator(Shape(12))), THRESHOLDS, styles.NO_CONTROLS, 7)
    enhancer = in_use(Enhancer(EnhancerShape(12)))
    differences = {
        "gan": gan.export(trained, "GAN", {"songs": 3}, folder / "gan.onnx", folder / "gan.json"),
        "arcnn": arcnn.export(enhancer, {}, folder / "arcnn.onnx", folder / "arcnn.json"),
    }
    return folder, differences, enhancer


def sizes(values) -> dict:
    return {v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in values}


def test_every_metre_agrees_with_pytorch(files):
    for found in files[1].values():
        assert set(found) == {"T=192", "T=144", "T=96"} and max(found.values()) < 1e-4


def test_graphs_and_contracts(files):
    folder = files[0]
    graph, other = (onnx.load(folder / f"{name}.onnx") for name in ("gan", "arcnn"))
    assert sizes(graph.graph.input) == {
        "melody": [1, 2, "T", 96],
        "before": [1, 10, "T", 96],
        "chords": [1, 13, "T"],
        "clock": [1, 3, "T"],
        "noise": [1, 32],
        "cond": [1, 41],
    }
    assert sizes(graph.graph.output) == {"cells": [1, 8, "T", 96]}
    assert sizes(other.graph.input)["around"] == [1, 4, "T", 96] and sizes(other.graph.input)["profile"] == [1, 12, 1]
    assert sizes(other.graph.output) == {"cells": [1, 3, "T", 96]}
    for file, own in (
        (graph, {"controls", "thresholds", "sustained", "cell_noise", "lean", "noise"}),
        (other, {"cell_noise"}),
    ):
        assert {p.key.removeprefix("obbligato.") for p in file.metadata_props} == COMMON | own
        assert file.opset_import[0].version == 17
    said = {p.key: p.value for p in graph.metadata_props}
    assert said["obbligato.thresholds"] == " ".join(f"{t:.4f}" for t in range(16))
    assert said["obbligato.sustained"].startswith("16.0000 17.0000") and said["obbligato.engine"] == "gan"
    assert said["obbligato.parts"] == "bass chords counter pad" and json.loads(said["obbligato.scores"]) == {"songs": 3}


def test_the_reference_outputs_are_what_the_files_compute(files):
    for name, exporter in (("gan", gan), ("arcnn", arcnn)):
        file, said = onnx.load(files[0] / f"{name}.onnx"), json.loads((files[0] / f"{name}.json").read_text())
        for case, (_, inputs) in zip(said["cases"], exporter.cases(), strict=True):
            run = export.onnx_runner(export.with_length(file, inputs["clock"].shape[2], 0))
            (cells,) = run(inputs)
            for channel, tick, row, value in case["cells"]:
                assert cells[0, channel, tick, row] == pytest.approx(value, abs=said["tolerance"])
            assert np.allclose(cells[0].mean((1, 2)), case["means"], atol=1e-3)


def test_a_file_that_computes_otherwise_is_not_written(files, tmp_path):
    graph = onnx.load(files[0] / "arcnn.onnx")
    with pytest.raises(SystemExit, match="does not compute what PyTorch does"):
        roll_file.write(
            in_use(Enhancer(EnhancerShape(8))), graph, {}, arcnn.cases(), tmp_path / "m.onnx", tmp_path / "m"
        )
    assert not (tmp_path / "m.onnx").exists()


def test_the_file_enhances_as_the_network_does(files):
    folder, _, enhancer = files
    graph = onnx.load(folder / "arcnn.onnx")
    runner = export.onnx_runner(export.with_length(graph, 192, 0))
    rounded = enhance.torch_forward(roll_file.rounded(enhancer))

    def forward(**inputs):
        rows = [{name: value[i : i + 1] for name, value in inputs.items()} for i in range(len(inputs["melody"]))]
        return np.concatenate([runner(row)[0] for row in rows])

    notes = [arcnn.Note(12 * i, 12, 60 + i % 12) for i in range(30)]
    choice = enhance.Choice(add=6, remove=30, risk=1)
    one, other = (enhance.enhance(f, enhance.Melody(notes), choice) for f in (forward, rounded))
    assert one == other != notes


def test_the_speed_of_a_file_is_measured(files, monkeypatch):
    monkeypatch.setattr(gan_scores, "RUNS", 20)
    assert 0 < gan_scores.p99_milliseconds(files[0] / "gan.onnx") < 10_000


def test_the_extender_has_the_accompanists_graph(tmp_path):
    model = in_use(Transformer(TransformerShape(32, 1, 2, 256, 8)))
    found = extend.export(model, {}, tmp_path / "m.onnx", tmp_path / "m.json")
    assert max(found.values()) < 1e-4
    graph = onnx.load(tmp_path / "m.onnx")
    said = {p.key: p.value for p in graph.metadata_props}
    assert said["obbligato.engine"] == "extender" and said["obbligato.window"] == "256"
    assert [v.name for v in graph.graph.output] == export.OUTPUTS
    assert len(json.loads((tmp_path / "m.json").read_text())["ids"]) == len(extend.music()[0])


def test_rolls_of_all_metres_can_be_halved_twice():
    assert all(rolls.ticks_of(metre) % rolls.STEP == 0 for metre in range(4))
