import pytest
import torch

from obbligato_models.originals import NETWORKS


@pytest.mark.parametrize(
    "name, millions, shape", [("accompanist", 8.3, (1, 4, 32, 128)), ("enhancer", 31.5, (1, 1, 128, 128))]
)
def test_they_have_the_published_size(name, millions, shape):
    network, shapes = NETWORKS[name]
    built = network().eval()
    assert sum(p.numel() for p in built.parameters()) / 1e6 == pytest.approx(millions, rel=0.02)
    with torch.no_grad():
        assert built(*(torch.zeros(given) for given in shapes.values())).shape == shape
