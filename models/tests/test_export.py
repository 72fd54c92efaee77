"""A tiny network through the exporter: the file computes what PyTorch does, whatever the number of tokens."""

import hashlib
import json

import numpy as np
import onnx
import pytest
import torch

from obbligato_models import encoding as e
from obbligato_models import export, storage, styles
from obbligato_models.transformer.model import Shape, Transformer

FIELDS = (
    "engine encoding grid metres parts styles controls window layers heads head_size name licence data commit scores"
).split()


@pytest.fixture(scope="module")
def model() -> Transformer:
    torch.manual_seed(3)
    model = Transformer(Shape(48, 2, 2, 256)).eval()
    with torch.no_grad():
        for value in model.parameters():
            value += 0.1 * torch.randn_like(value)
    return model


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    differences = export.export(model, styles.NO_CONTROLS, {}, folder / "m.onnx", folder / "m.json")
    return onnx.load(folder / "m.onnx"), json.loads((folder / "m.json").read_text()), differences


def test_both_lengths_agree_with_pytorch(exported):
    assert set(exported[2]) == {"T=1", "T=32"} and max(exported[2].values()) < 1e-4


def test_no_length_is_written_into_the_graph(exported):
    graph = exported[0]
    assert not any(node.op_type == "Shape" for node in graph.graph.node)
    runs = [export.onnx_runner(export.with_length(graph, n, 256)) for n in (5, 7)]
    ids, cond = export.reference_music()
    shape = Shape(48, 2, 2, 256)
    ids, cond = ids[:35], cond[:35]
    read = [export.run_steps(run, shape, ids, cond, n) for run, n in zip(runs, (5, 7), strict=True)]
    assert all(np.allclose(a, b, atol=1e-4) for a, b in zip(*read, strict=True))


def test_inputs_and_outputs(exported):
    def sizes(values):
        return {v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in values}

    assert sizes(exported[0].graph.input) == {
        "ids": [1, "T"],
        "cond": [1, "T", 41],
        "pos": [1, "T"],
        "mask": [1, 1, "T", "P_T"],
        "past_k": [2, 1, 2, 256, 24],
        "past_v": [2, 1, 2, 256, 24],
    }
    new = [2, 1, 2, "T", 24]
    assert sizes(exported[0].graph.output) == {
        "logits": [1, "T", 1505],
        "loudness": [1, "T", 12],
        "coming": [1, "T", 12],
        "new_k": new,
        "new_v": new,
    }


def test_large_weights_are_halves_and_large_matrices_whole_numbers(exported):
    kinds = {}
    for tensor in exported[0].graph.initializer:
        if not tensor.name.endswith(storage.SCALES):
            kinds.setdefault(tensor.data_type, []).append(np.prod(tensor.dims))
    assert min(kinds[onnx.TensorProto.INT8]) >= storage.MANY > max(kinds[onnx.TensorProto.FLOAT16])
    assert min(kinds[onnx.TensorProto.FLOAT16]) >= storage.SMALL > max(kinds[onnx.TensorProto.FLOAT])


def test_contract(exported):
    fields = {p.key: p.value for p in exported[0].metadata_props}
    assert sorted(fields) == sorted(f"obbligato.{name}" for name in FIELDS)
    assert fields["obbligato.styles"].split("|") == list(styles.NAMES) and len(styles.NAMES) <= e.ATTRIBUTES
    controls = json.loads(fields["obbligato.controls"])
    assert all(len(controls[part][m]) == 11 for part in e.PARTS for m in ("density", "register", "length"))


def test_reference_outputs_describe_valid_music(exported):
    reference = exported[1]
    e.decode(reference["ids"])
    assert sum(run["tokens"] for run in reference["cond"]) == len(reference["ids"]) == len(reference["best"])


def test_training_and_stepping_are_one_network(model):
    step = export.stepper(model, None)
    ids, cond = export.reference_music()
    stepped = export.run_steps(export.torch_runner(step), model.shape, ids, cond, 32)
    with torch.no_grad():
        whole = model(torch.tensor([ids]), torch.from_numpy(cond)[None])
    for one, other in zip(stepped, whole, strict=True):
        assert np.abs(one - other[0].numpy()).max() < 0.05 * other.std()


def test_each_file_stands_in_its_folders_list(tmp_path):
    for name, version in (("b", 1), ("a", 1), ("b", 2)):
        graph = onnx.ModelProto(model_version=version)
        export.save(graph, tmp_path / f"{name}.onnx")
    sums = [hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in ("a.onnx", "b.onnx")]
    assert (tmp_path / "SHA256SUMS").read_text() == f"{sums[0]}  a.onnx\n{sums[1]}  b.onnx\n"
