"""Networks of the shape and size of AWS DeepComposer's, with random weights, to compare their speed with ours.

python -m obbligato_models.originals --out runs/originals
OBBLIGATO_ORIGINALS=models/runs/originals cargo bench --bench model    # where Cargo.toml lies

The shapes are those of its public samples: a U-Net from a melody of two bars (32 sixteenths by 128 keys) and noise to
four parts, 8.3 million parameters; and one from eight bars to the odds of every cell, 31.5 million, that is asked a
hundred times for an edit. What they compute is of no use, and how long they take does not depend on that. The files
are not shipped.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn


class Accompanist(nn.Module):
    """The GAN's generator: melody [1, 1, 32, 128] and noise [1, 512, 2, 8] to parts [1, 4, 32, 128]."""

    WIDTHS = (64, 128, 256, 512)

    def __init__(self) -> None:
        super().__init__()
        widths = self.WIDTHS
        self.down = nn.ModuleList(nn.Conv2d(i, o, 4, 2, 1) for i, o in zip((1, *widths), widths, strict=False))
        inputs = (2 * widths[3], 2 * widths[2], 2 * widths[1], 2 * widths[0])
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(i, o, 4, 2, 1) for i, o in zip(inputs, (*widths[2::-1], 4), strict=True)
        )

    def forward(self, melody: Tensor, noise: Tensor) -> Tensor:
        x, passed = melody, []
        for layer in self.down:
            x = nn.functional.leaky_relu(layer(x), 0.2)
            passed.append(x)
        x = noise
        for layer, beside in zip(self.up, reversed(passed), strict=True):
            x = torch.relu(layer(torch.cat([x, beside], 1)))
        return torch.tanh(x)


class Enhancer(nn.Module):
    """The AR-CNN: melody [1, 1, 128, 128] to the odds of every cell, [1, 1, 128, 128]."""

    LEVELS = 5

    def __init__(self) -> None:
        super().__init__()
        widths = [32 * 2**n for n in range(self.LEVELS + 1)]
        self.down = nn.ModuleList(twice(i, o) for i, o in zip((1, *widths), widths, strict=False))
        pairs = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.wider = nn.ModuleList(nn.ConvTranspose2d(i, o, 2, 2) for i, o in pairs)
        self.up = nn.ModuleList(twice(i, o) for i, o in pairs)
        self.last = nn.Conv2d(widths[0], 1, 1)

    def forward(self, melody: Tensor) -> Tensor:
        x, passed = melody, []
        for level, layer in enumerate(self.down):
            x = layer(x if level == 0 else nn.functional.max_pool2d(x, 2))
            passed.append(x)
        for wider, layer, beside in zip(self.wider, self.up, reversed(passed[:-1]), strict=True):
            x = layer(torch.cat([wider(x), beside], 1))
        return self.last(x)


def twice(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(), nn.Conv2d(outputs, outputs, 3, padding=1), nn.ReLU()
    )


NETWORKS = {
    "accompanist": (Accompanist, {"melody": (1, 1, 32, 128), "noise": (1, 512, 2, 8)}),
    "enhancer": (Enhancer, {"melody": (1, 1, 128, 128)}),
}


def export(name: str, out: Path) -> tuple[Path, int]:
    """The file, and how many parameters it has."""
    network, shapes = NETWORKS[name]
    torch.manual_seed(1)
    built = network().eval()
    path = out / f"{name}.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        inputs = tuple(torch.zeros(shape) for shape in shapes.values())
        torch.onnx.export(
            built, inputs, path, dynamo=False, opset_version=17, input_names=list(shapes), output_names=["notes"]
        )
    return path, sum(p.numel() for p in built.parameters())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    for name in NETWORKS:
        path, parameters = export(name, out)
        print(f"{path}: {parameters / 1e6:.1f} million parameters")


if __name__ == "__main__":
    main()
