"""Eight bits in the large matrices: the same words, near enough, and the same file to whoever loads it."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch

from obbligato_models import export, quantise, styles
from obbligato_models.drums import export as drums
from obbligato_models.transformer.model import Shape, Transformer

SHAPE = Shape(64, 2, 2, 256)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    torch.manual_seed(5)
    model = Transformer(SHAPE).eval()
    with torch.no_grad():
        for value in model.parameters():
            value += 0.05 * torch.randn_like(value)
    folder = tmp_path_factory.mktemp("quantise")
    export.export(model, styles.NO_CONTROLS, {}, folder / "m.onnx", folder / "m.json")
    graph = onnx.load(folder / "m.onnx")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quantise, "MANY", 4096)
        return graph, quantise.quantise(graph)


def test_the_blocks_are_in_eight_bits_and_the_words_hardly_move(files):
    graph, small = files
    assert sum(node.op_type == "MatMulInteger" for node in small.graph.node) >= 6 * SHAPE.layers
    far = quantise.differences(graph, small, SHAPE)
    assert 0 < far["nats"] < 0.02 and far["others"] < 0.1


def test_it_is_the_same_file_to_a_loader(files):
    graph, small = files
    for which in ("input", "output"):
        assert [v.SerializeToString() for v in getattr(graph.graph, which)] == [
            v.SerializeToString() for v in getattr(small.graph, which)
        ]
    assert {p.key: p.value for p in small.metadata_props} == {p.key: p.value for p in graph.metadata_props}
    assert quantise.shape_of(small).window == SHAPE.window
    ids, cond = export.reference_music()
    run = export.onnx_runner(export.with_length(small, 32, SHAPE.window))
    piece = export.run_steps(run, SHAPE, ids, cond, 32)
    assert all(np.isfinite(values).all() for values in piece)


def test_the_drummer_too(tmp_path):
    model = drums.random_drummer(drums.Drummer(replace(drums.Drummer().shape, layers=2)).shape)
    drums.export(model, drums.NO_CONTROLS, {}, tmp_path / "d.onnx", tmp_path / "d.json")
    graph = onnx.load(tmp_path / "d.onnx")
    small = quantise.quantise(graph)
    assert sum(node.op_type == "MatMulInteger" for node in small.graph.node) == 2 * model.shape.layers
    assert quantise.is_drummer(small)
    far = quantise.differences(graph, small, quantise.shape_of(graph))
    assert 0 < far["nats"] < 0.02
    assert all(time > 0 for time in quantise.milliseconds_a_token([graph, small], quantise.shape_of(graph), times=3))


def test_both_are_timed(files):
    assert all(time > 0 for time in quantise.milliseconds_a_token(list(files), SHAPE, times=3))
