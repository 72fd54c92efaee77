"""Weights in eight bits: near enough, the same when they are stored again, and read by whoever reads ONNX."""

import json

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from obbligato_models import export, pack, storage, styles
from obbligato_models.drums import export as drums
from obbligato_models.drums.model import SHAPE as OF_DRUMS
from obbligato_models.drums.model import Drummer
from obbligato_models.extend import export as extend
from obbligato_models.transformer import model_file
from obbligato_models.transformer.model import Shape, Stepper, Transformer

SHAPE = Shape(128, 1, 2, 256)


def made_up(model):
    """With weights none of which are equal, as if it were trained."""
    torch.manual_seed(5)
    with torch.no_grad():
        for value in model.parameters():
            value += 0.02 * torch.randn_like(value)
    return model.eval()


def network() -> Transformer:
    return made_up(Transformer(SHAPE))


@pytest.fixture(scope="module", params=["transformer", "drums", "extender"])
def file(request, tmp_path_factory):
    """A file of each engine with its reference, as the exporter writes them."""
    path = tmp_path_factory.mktemp("storage") / "m.onnx"
    parity = path.with_suffix(".json")
    if request.param == "drums":
        drums.export(made_up(Drummer(OF_DRUMS)), drums.NO_CONTROLS, {}, path, parity)
    elif request.param == "extender":
        extend.export(network(), {}, path, parity)
    else:
        export.export(network(), styles.NO_CONTROLS, {}, path, parity)
    return path


def in_half_precision(graph: onnx.ModelProto) -> onnx.ModelProto:
    """As files were stored before."""
    former = onnx.ModelProto()
    former.CopyFrom(graph)
    del former.graph.initializer[:]
    former.graph.initializer.extend(
        numpy_helper.from_array(values.astype(np.float32), name)
        for name, values in storage.weights(graph.graph).items()
    )
    names = {tensor.name for tensor in former.graph.initializer}
    nodes = [node for node in former.graph.node if node.output[0] not in names]
    del former.graph.node[:]
    former.graph.node.extend(nodes)
    storage.store(former.graph)
    onnx.checker.check_model(former)
    return former


def test_each_row_comes_back_within_half_a_step_and_is_stored_the_same_again():
    values = np.random.default_rng(1).standard_t(4, (700, 300)).astype(np.float32)
    values[3] = 0
    for largest in (storage.LARGEST, storage.FINEST):
        whole, scales = storage.rounded(values, largest)
        back = whole.astype(np.float32) * scales[:, None]
        assert (np.abs(whole).max(1) == np.where(np.arange(700) == 3, 0, largest)).all()
        # Half precision moves the largest of a row, and with it all.
        assert (np.abs(back - values) <= 0.51 * scales[:, None] + np.abs(values) / 2000).all()
        for again in (back, back.astype(np.float16).astype(np.float32)):
            assert all((a == b).all() for a, b in zip(storage.rounded(again, largest), (whole, scales), strict=True))


def test_what_is_no_number_is_not_stored():
    for spoilt in (np.nan, np.inf, 1e5):
        with pytest.raises(SystemExit):
            storage.rounded(np.full((2, 2), spoilt, np.float32), 64)


def test_large_matrices_are_unpacked_by_rows_and_the_table_is_finer():
    random = np.random.default_rng(2)
    shapes = {
        "table": (512, 64),
        "w": (64, 512),
        "middle": (128, 64),
        "small": (64, 64),
        "tall": (1, 1, 32_768),
        "few": (8, 8),
    }
    values = {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    held = [numpy_helper.from_array(each, name) for name, each in values.items()]
    outputs = [helper.make_tensor_value_info(f"{n} out", TensorProto.FLOAT, shape) for n, shape in shapes.items()]
    nodes = [helper.make_node("Identity", [name], [f"{name} out"]) for name in shapes]
    model = helper.make_model(helper.make_graph(nodes, "g", [], outputs, held), ir_version=8)
    model.opset_import[0].version = 17
    storage.store(model.graph, storage.LARGEST)
    onnx.checker.check_model(model, full_check=True)
    kinds = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    whole, half, single = TensorProto.INT8, TensorProto.FLOAT16, TensorProto.FLOAT
    assert kinds == {f"{name}.whole": whole for name in ("table", "w", "middle")} | {
        "table.scales": single,
        "w.scales": single,
        "middle.scales": single,
        "small.half": half,
        "tall.half": half,
        "few": single,
    }
    found = export.onnx_runner(model)({})
    for (name, shape), each in zip(shapes.items(), found, strict=True):
        expected = storage.as_stored(name, values[name], storage.LARGEST)
        assert each.shape == shape and (each == expected).all()
        assert (storage.weights(model.graph)[name] == expected).all()
    numbers = {t.name: np.abs(numpy_helper.to_array(t).astype(int)).max() for t in model.graph.initializer}
    assert [numbers[f"{name}.whole"] for name in ("table", "w", "middle")] == [
        storage.FINEST,
        storage.LARGEST,
        storage.FINEST,
    ]


def test_a_file_in_half_precision_becomes_what_the_exporter_writes(file, tmp_path, monkeypatch, capsys):
    exported = onnx.load(file)
    former, parity = tmp_path / "former.onnx", tmp_path / "former.json"
    onnx.save(in_half_precision(exported), former)
    assert not any(node.op_type == "DequantizeLinear" for node in onnx.load(former).graph.node)
    monkeypatch.setattr("sys.argv", ["pack", str(former), "--parity", str(parity)])
    pack.main()
    assert "MB before" in capsys.readouterr().out
    packed = onnx.load(former)
    tensors = [{t.name: numpy_helper.to_array(t) for t in graph.graph.initializer} for graph in (packed, exported)]
    assert tensors[0].keys() == tensors[1].keys() and "table.whole" in tensors[0]
    assert all((tensors[0][name] == tensors[1][name]).all() for name in tensors[0])
    assert list(packed.metadata_props) == list(exported.metadata_props)
    assert json.loads(parity.read_text()) == json.loads(file.with_suffix(".json").read_text())
    assert pack.packed(packed) == packed, "there is nothing left to do"


def test_a_file_in_half_precision_is_read_like_one_in_eight_bits(file):
    graph = onnx.load(file)
    found, former = (model_file.network_of(each).state_dict() for each in (graph, in_half_precision(graph)))
    assert all(torch.allclose(found[name], former[name], rtol=1e-3, atol=1e-6) for name in found)
    step = Stepper(model_file.network_of(graph)).eval()
    assert max(pack.differences(graph, step).values()) < export.TOLERANCE


def test_other_files_are_not_packed():
    graph = onnx.ModelProto()
    helper.set_model_props(graph, {"obbligato.engine": "gan"})
    with pytest.raises(model_file.Refused):
        pack.packed(graph)
