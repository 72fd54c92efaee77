"""A small drummer through the exporter and the sampler, and the scores' arithmetic."""

import json
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch

from obbligato_models import export as shared
from obbligato_models.drums import dataset, evaluate, export, parity, sample
from obbligato_models.drums import encoding as e
from obbligato_models.drums.dataset import Take
from obbligato_models.drums.encoding import Asked, Stroke
from obbligato_models.drums.model import Drummer
from obbligato_models.drums.sample import Network, Player
from obbligato_models.transformer.model import Shape

FIELDS = (
    "engine encoding grid metres parts styles controls window layers heads head_size name licence data commit scores"
).split()
SHAPE = Shape(32, 2, 2, 256)


@pytest.fixture(scope="module")
def model() -> Drummer:
    torch.manual_seed(3)
    model = Drummer(SHAPE).eval()
    with torch.no_grad():
        for value in model.parameters():
            value += 0.1 * torch.randn_like(value)
    return model


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("drums")
    differences = export.export(model, export.NO_CONTROLS, {"a": 1}, folder / "d.onnx", folder / "d.json")
    return onnx.load(folder / "d.onnx"), json.loads((folder / "d.json").read_text()), differences


@pytest.fixture(scope="module")
def network(exported) -> Network:
    return Network(exported[0])


def test_both_lengths_agree_with_pytorch(exported):
    assert set(exported[2]) == {"T=1", "T=32"} and max(exported[2].values()) < 1e-4


def test_training_and_stepping_are_one_network(model):
    ids, cond = parity.reference_music()
    stepped = export.run_steps(shared.torch_runner(shared.stepper(model)), SHAPE, ids, cond, 32)
    causal = torch.ones(len(ids), len(ids), dtype=torch.bool).tril()[None, None]
    with torch.no_grad():
        whole = model(torch.tensor([ids]), torch.from_numpy(cond)[None], causal)[0].numpy()
    assert np.abs(stepped - whole).max() < 0.05 * whole.std()


def test_contract_and_graph(exported):
    graph, cases, _ = exported
    fields = {p.key: p.value for p in graph.metadata_props}
    assert sorted(fields) == sorted(f"obbligato.{name}" for name in FIELDS)
    assert fields["obbligato.engine"] == "drums" and json.loads(fields["obbligato.scores"]) == {"a": 1}
    assert fields["obbligato.styles"].split("|") == list(dataset.STYLES) and len(dataset.STYLES) <= e.MOST_STYLES
    assert not any(node.op_type == "Shape" for node in graph.graph.node)
    sizes = {v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in graph.graph.input}
    assert sizes["cond"] == [1, "T", 123] and sizes["past_k"] == [2, 1, 2, 256, 16]
    outputs = cases["outputs"]
    assert sum(run["tokens"] for run in outputs["cond"]) == len(outputs["ids"]) == len(outputs["best"])


def answers(network: Network, seed: int, segments=None) -> list[list[int]]:
    asked = Asked(np.eye(11)[2].tolist(), 110.0, 2.5, 0.0, 80.0)
    return sample.play(Player(network, seed), segments or sample.phrases(12, 0, asked))


def test_what_is_sampled_follows_the_grammar(network):
    for metre in range(3):
        segments = sample.phrases(8, metre, Asked())
        tokens = answers(network, metre, segments)
        read = e.decode([token for part in tokens for token in part])
        assert [kind for kind, _ in read] == [kind for kind, _ in segments]


def test_a_seed_plays_the_same_again_and_another_something_else(network):
    first = answers(network, 1)
    assert first == answers(network, 1) and first != answers(network, 2)


def test_a_cut_context_is_read_anew(network):
    player = Player(network, 5)
    cut = False
    for kind, asked in sample.phrases(12, 0, Asked()):
        before = network.past
        player.write(kind, asked)
        cut = cut or 0 < network.past < before
        assert 1 + sum(len(tokens) for tokens, _ in player.segments) <= SHAPE.window
    assert cut
    tokens = [e.START, *(t for part, _ in player.segments for t in part)]
    conds = [player.segments[0][1], *(c for part, c in player.segments for _ in part)]
    logits = network.read([t for t, _ in player.unread], [c for _, c in player.unread])
    network.clear()
    assert np.allclose(network.read(tokens, conds), logits, atol=1e-4)


def test_only_the_likeliest_are_picked():
    dice, logits = np.random.default_rng(1), np.log(np.array([0.0001, 0.5, 0.3, 0.15, 0.05]) + 1e-9)
    picked = {sample.pick(np.array([1, 2, 3, 4]), logits, 1.0, 0.9, dice) for _ in range(300)}
    assert picked == {1, 2, 3}
    assert {sample.pick(np.array([1, 2, 3, 4]), logits, 0.0, 1.0, dice) for _ in range(50)} == {1}


def test_the_grid_shows_strokes_where_they_are():
    shown = sample.grid([(0, [Stroke(0, e.KICK, 100), Stroke(12, e.SNARE, 20)]), (1, [Stroke(47, e.RIDE, 127)])], 0)
    assert [" ".join(line.split()) for line in shown.splitlines()] == [
        "bar 1", "kick 6...|....|....|....", "snare ....|0...|....|....", "ride ....|....|....|...7",
    ]  # fmt: skip


# Scores


def take(bars: list[list[Stroke]], bass: list[int] | None = None) -> Take:
    made = Take("t", "groove", "test", 100.0, 0, np.zeros(11), bars, np.zeros((len(bars), 2), int), bass)
    made.fills = np.zeros((len(bars), 2), bool)
    return made


def test_kick_share_counts_onsets_within_a_tick():
    bar = [Stroke(0, e.KICK, 90), Stroke(24, e.KICK, 90), Stroke(12, e.SNARE, 90)]
    assert evaluate.kick_share(take([bar, bar]), [1, 12, 47, 72, 74, 500]) == pytest.approx(3 / 5)


def test_repeats_and_likeness():
    one, two = [Stroke(0, e.KICK, 90), Stroke(12, e.SNARE, 90)], [Stroke(0, e.KICK, 20), Stroke(24, e.SNARE, 90)]
    assert evaluate.repeats([take([one, one, two])]) == (0.5, 0.75)
    assert evaluate.repeats([take([one, two, one])], lag=2) == (1.0, 1.0)


def test_overlap_and_rank_correlation():
    loud = take([[Stroke(0, e.KICK, 120)] * 3 + [Stroke(3, e.KICK, 10)]])
    soft = take([[Stroke(0, e.KICK, 10)] * 2])
    assert evaluate.overlap(*(evaluate.histogram("loudness", [t]) for t in (loud, soft))) == pytest.approx(0.25)
    assert evaluate.rank_correlation([1, 2, 3, 4], [10, 20, 30, 31]) == pytest.approx(1)
    assert evaluate.rank_correlation([1, 2, 3, 4], [4, 3, 2, 1]) == pytest.approx(-1)


def test_report_has_numbers(network, tmp_path):
    rng = np.random.default_rng(3)
    beat = [Stroke(t, int(rng.integers(11)), 90) for t in range(0, 48, 6)]
    people = replace(take([beat] * 8), split="validation")
    people.fills[3, 1] = True
    songs = [replace(people, name=f"s{i}", source="freedoom", bass=[0, 24], band=[]) for i in range(2)]
    controls = {**export.NO_CONTROLS, "density": list(np.linspace(1, 4, 11))}
    scores = evaluate.report(network, [people, *songs], "validation", controls, sample.Choice())
    numbers = json.loads(json.dumps(evaluate.summary(scores)))
    assert numbers["grammar errors"] == 0 and 0 < numbers["instruments"] < 1 and numbers["kick-bass"]["own bass"] >= 0
