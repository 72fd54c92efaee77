"""A slimmer generator is the larger one where nothing is lost, and learns to answer as it does where something is."""

import pytest
import torch
from test_gan import TINY, divided, music

from obbligato_models.gan import calibrate, export, play, slim
from obbligato_models.gan.model import NOISE, Generator, Shape
from obbligato_models.gan.windows import Windows, given_of
from obbligato_models.training import write_checkpoint
from obbligato_models.transformer.train import Plan
from obbligato_models.unet import Block


def generator(seed: int = 1) -> Generator:
    torch.manual_seed(seed)
    made = Generator(TINY)
    for value in made.parameters():
        torch.nn.init.normal_(value, std=0.1)
    return made.eval()


def looked_at() -> list:
    return [(given_of(Windows(music()).batch(1, 0, 2)), torch.randn(2, NOISE))]


def answers(network: Generator, given, noise) -> torch.Tensor:
    with torch.no_grad():
        return network(*given[:4], noise, given.cond)


def test_nothing_is_lost_with_channels_that_do_nothing():
    whole = generator()
    inner = tuple(width // 2 for width in whole.net.shape.widths)
    blocks = {block for block in whole.modules() if isinstance(block, Block)}
    with torch.no_grad():
        for block in blocks:
            kept = min(inner, key=lambda n: abs(2 * n - block.second.conv.in_channels))
            block.second.conv.weight[:, torch.randperm(block.second.conv.in_channels)[kept:]] = 0
    seen = looked_at()
    found = slim.slimmer(whole, inner, seen).eval()
    assert found.shape.inner == inner
    assert sum(p.numel() for p in found.parameters()) < sum(p.numel() for p in whole.parameters())
    torch.testing.assert_close(answers(found, *seen[0]), answers(whole, *seen[0]), atol=1e-5, rtol=1e-5)


def test_more_channels_than_there_are_cannot_be_kept():
    whole = generator()
    for inner in ((9, 8, 8), (0, 4, 4)):
        with pytest.raises(SystemExit, match="cannot be kept"):
            slim.slimmer(whole, inner, looked_at())


def test_what_is_no_checkpoint_is_said_in_words(tmp_path):
    (tmp_path / "text.pt").write_text("no weights")
    write_checkpoint(tmp_path / "other.pt", {"critic": {}})
    for name, words in (("none.pt", "no file"), ("text.pt", "no checkpoint"), ("other.pt", "no checkpoint")):
        for read in (play.load, lambda path: calibrate.again(path, [])):
            with pytest.raises(SystemExit, match=words):
                read(tmp_path / name)


def test_the_distance_is_none_from_itself_and_counts_what_is_asked():
    torch.manual_seed(0)
    logits, other = torch.randn(2, 8, 12, 96), torch.randn(2, 8, 12, 96)
    everything, nothing = torch.ones(2, 8), torch.zeros(2, 8)
    assert slim.distance(logits, logits, everything).abs() < 1e-4
    assert slim.distance(logits, other, everything) > 1 and slim.distance(logits, other, nothing) == 0


def test_it_learns_to_answer_as_the_larger_one_and_is_exported(tmp_path):
    whole = generator()
    saved = {"generator": whole.state_dict(), "shape": {"width": TINY.width, "critic": TINY.critic}, "step": 5}
    saved |= {"controls": {}, "thresholds": [0.5, -0.5, 0.0, 0.2], "sustained": [0.1, 0.0, 0.2, 0.0]}
    write_checkpoint(tmp_path / "whole.pt", saved)
    runs, folder = divided(), tmp_path / "run"
    slim.Trainer(runs, folder, Plan(None, 4), tmp_path / "whole.pt", (3, 4, 5)).run()
    trainer = slim.Trainer(runs, folder, Plan(None, 60), tmp_path / "whole.pt", (3, 4, 5))
    assert trainer.session.step == 4, "it goes on"
    before = trainer.check(0)
    trainer.run()
    after = trainer.check(0)
    assert after["distance"] < 0.8 * before["distance"] and after["heard"] < before["heard"]
    trained = play.load(folder / "last.pt")
    assert trained.generator.shape == Shape(TINY.width, TINY.critic, (3, 4, 5))
    assert trained.thresholds == play.everywhere(saved["thresholds"], saved["sustained"])
    again = calibrate.again(folder / "last.pt", runs)
    assert again["thresholds"] != saved["thresholds"]
    write_checkpoint(tmp_path / "again.pt", again)
    measured = play.load(tmp_path / "again.pt").thresholds
    assert measured.onset[0] != measured.onset[1] != again["thresholds"] and measured.sustain[0] != again["sustained"]
    differences = export.export(trained, "GAN", {}, tmp_path / "gan.onnx", tmp_path / "gan.json")
    assert max(differences.values()) < 1e-3
