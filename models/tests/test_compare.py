"""Two networks are as far apart as their losses say."""

import copy

import numpy as np
import pytest
import torch
from onnx import helper

from obbligato_models import compare, export
from obbligato_models.roll_file import all_in_use
from obbligato_models.transformer import model_file
from obbligato_models.transformer.model import Shape, Transformer


def test_the_distance_is_none_to_oneself_and_the_loss_otherwise():
    torch.manual_seed(5)
    model = all_in_use(Transformer(Shape(32, 1, 2, 512)))
    other = copy.deepcopy(model)
    with torch.no_grad():
        other.blocks[0].up.weight += 0.05 * torch.randn_like(other.blocks[0].up.weight)
    ids, cond = export.reference_music()
    length = compare.accompanist.LENGTH
    ids, cond = (np.resize(each, (1, length + 1, *each.shape[1:])) for each in (np.array(ids), cond))
    zeros = torch.zeros(1, length + 1, dtype=torch.long)
    batch = {"ids": torch.from_numpy(ids), "target": torch.from_numpy(ids), "cond": torch.from_numpy(cond).float()}
    batch |= {"weight": torch.ones(1, length + 1), "excerpt": zeros, "bar": zeros, "hidden": zeros.bool()}
    same = compare.distance([model, model], "transformer", iter([batch]))
    assert (same.tokens, same.nats, same.divergence, same.logit) == (length, 0, 0, 0)
    found = compare.distance([model, other], "transformer", iter([batch, batch]))
    assert found.tokens == 2 * length and found.divergence > 0 and found.logit > 0
    losses = [
        torch.nn.functional.cross_entropy(compare.logits(each, "transformer", batch), batch["target"][0, 1:])
        for each in (model, other)
    ]
    assert found.nats == pytest.approx(float((losses[1] - losses[0]).detach()), abs=1e-5)


def test_files_that_cannot_be_compared_are_refused_in_words(tmp_path):
    (tmp_path / "text.onnx").write_text("no model")
    with pytest.raises(model_file.Refused, match=r"text\.onnx is not a model file"):
        compare.compared([tmp_path / "text.onnx"] * 2, tmp_path / "songs.npz", 1)
    with pytest.raises(model_file.Refused, match=r"none\.onnx is not a model file"):
        compare.compared([tmp_path / "none.onnx"] * 2, tmp_path / "songs.npz", 1)
    with pytest.raises(model_file.Refused, match="no network over tokens"):
        model_file.over_tokens(helper.make_model(helper.make_graph([], "g", [], [])))
