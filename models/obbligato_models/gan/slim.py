"""Makes a faster generator of a trained one: of the channels inside its blocks the most important are kept, and what is
left learns to answer as the whole did (Hinton et al., Distilling the knowledge in a neural network, 2015).

python -m obbligato_models.gan.slim --checkpoint runs/gan/last.pt --dataset data/songs.npz --run runs/slim --minutes 60

The run's folder gets `last.pt`, for gan.calibrate, and `log.csv`: how far the answers are from the larger one's, in
nats a tick, and `other`, the share of struck cells that only one of the two strikes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .. import dataset, rolls
from ..dataset import Run
from ..training import Ahead, Measures, Session, parser, plan_of, to_the_end
from ..transformer import device
from ..transformer.train import Plan
from ..unet import Block
from . import play
from .model import NOISE, Generator, Given
from .train import CLIP, own_history, struck
from .windows import Windows, given_of

SEED = 17
BATCH = 16
RATE = 5e-4
INNER = (32, 64, 64)
"""Channels inside the blocks: four bars then take three fifths of the time."""
TINY = (8, 8, 8)
LOOKED_AT = 4
"""Batches in which channels show how important they are."""
OWN_HISTORY = 0.5
"""Share of steps in which the bars before are as the larger generator plays them."""
COLUMNS = ("distance", "heard", "other")


def slimmer(generator: Generator, inner: tuple[int, int, int], looked_at: Sequence[tuple[Given, Tensor]]) -> Generator:
    """With so many channels inside the blocks of each size: those that, as they vary, move most of what comes out.
    `looked_at`: what the generator is given meanwhile, and noise."""
    there = generator.net.shape.inner or generator.net.shape.widths
    if any(kept > had or kept < 1 for kept, had in zip(inner, there, strict=True)):
        raise SystemExit(f"slim: {inner} channels cannot be kept of {there}")
    found = Generator(replace(generator.shape, inner=inner))
    taken = found.state_dict()
    kept = most_important(generator, found, looked_at)
    for name, value in generator.state_dict().items():
        block, _, rest = name.rpartition(".first.conv.") if ".first." in name else name.rpartition(".second.conv.")
        if block in kept and ".first." in name:
            value = value[kept[block]]
        elif block in kept and rest == "weight":
            value = value[:, kept[block]]
        taken[name] = value
    found.load_state_dict(taken)
    return found


@torch.no_grad()
def most_important(
    generator: Generator, slim: Generator, looked_at: Sequence[tuple[Given, Tensor]]
) -> dict[str, Tensor]:
    """Channels to keep, by the block's name."""
    blocks = {name: module for name, module in generator.named_modules() if isinstance(module, Block)}
    varied = {name: torch.zeros(block.second.conv.in_channels) for name, block in blocks.items()}

    def watch(name: str, inputs: tuple[Tensor, ...]) -> None:
        varied[name] += inputs[0].var((0, 2, 3))

    hooks = [
        block.second.register_forward_pre_hook(lambda _, inputs, name=name: watch(name, inputs))
        for name, block in blocks.items()
    ]
    for given, noise in looked_at:
        generator(*given[:4], noise, given.cond)
    for hook in hooks:
        hook.remove()
    counts = {name: slim.get_submodule(name).second.conv.in_channels for name in blocks}
    moved = {name: varied[name] * block.second.conv.weight.square().sum((0, 2, 3)) for name, block in blocks.items()}
    return {name: moved[name].topk(counts[name]).indices.sort().values for name in blocks}


def distance(logits: Tensor, wanted: Tensor, asked: Tensor) -> Tensor:
    """From chances to the chances that are wanted, in nats a tick for all cells of what is asked for; 0 where they are
    the same."""
    chances = torch.sigmoid(wanted)
    each = F.binary_cross_entropy_with_logits(logits, chances, reduction="none")
    each = each - F.binary_cross_entropy_with_logits(wanted, chances, reduction="none")
    return (each.sum(3).mean(2) * asked).sum(1).mean()


class Trainer:
    def __init__(self, runs: Sequence[Run], folder: Path, plan: Plan, checkpoint: Path, inner: tuple[int, int, int]):
        torch.manual_seed(SEED)
        saved = play.saved_in(checkpoint)
        self.teacher = play.generator_in(saved).requires_grad_(False)
        self.windows = Windows([r for r in runs if r.split == "train"])
        self.held_out = Windows([r for r in runs if r.split == "validation"])
        self.ahead = Ahead(lambda number: self.windows.batch(SEED, number, BATCH))
        looked_at = [given_of(self.windows.batch(SEED + 1, number, BATCH)) for number in range(LOOKED_AT)]
        self.pupil = slimmer(self.teacher, inner, [(given, torch.randn(BATCH, NOISE)) for given in looked_at])
        self.facts = {"shape": asdict(self.pupil.shape)}
        played = play.thresholds_in(saved)
        self.facts |= {"controls": saved["controls"], "thresholds": played.onset[0], "sustained": played.sustain[0]}
        self.above = torch.tensor([played.onset[0], played.sustain[0]]).T.flatten()
        learning = torch.optim.AdamW(self.pupil.parameters(), lr=RATE, betas=(0.9, 0.95), weight_decay=1e-3)
        self.session = Session(folder, plan, {"generator": self.pupil}, {"generator": [learning]}, COLUMNS, self.facts)

    def run(self) -> None:
        if self.session.step == 0:
            self.session.line(self.check(0))
        for _ in self.session.steps(SEED, self.check):
            loss, found = self.compare(self.ahead.batch(self.session.step))
            self.session.learn("generator", loss, CLIP)
            self.session.note(found)
        self.session.save()

    def compare(self, batch: dict[str, Tensor]) -> tuple[Tensor, Measures]:
        """The two generators' answers to a batch: as chances, and as likely as each cell is heard when it plays, whose
        thresholds lie where few chances do."""
        asked, noise = batch["asked"], torch.randn(len(batch["asked"]), NOISE)
        given = own_history(given_of(batch), asked, OWN_HISTORY, self.plays)
        wanted = self.answer(self.teacher, given, noise)
        logits = self.answer(self.pupil, given, noise)
        plain, heard = distance(logits, wanted, asked), distance(self.heard(logits), self.heard(wanted), asked)
        found = {"distance": plain.item(), "heard": heard.item(), "other": self.other(logits, wanted, asked)}
        return plain + heard, found

    def answer(self, generator: Generator, given: Given, noise: Tensor) -> Tensor:
        with device.autocast(torch.device("cpu")):
            return generator(*given[:4], noise, given.cond).float()

    def plays(self, given: Given, asked: Tensor) -> Tensor:
        return struck(self.answer(self.teacher, given, torch.randn(len(asked), NOISE)), asked, self.above)

    def heard(self, logits: Tensor) -> Tensor:
        """The log odds of being struck, with the noise of playing at temperature 1; of sounding, as if there were such
        noise too."""
        return (logits - self.above[:, None, None]) / play.CELL_NOISE

    def other(self, logits: Tensor, wanted: Tensor, asked: Tensor) -> float:
        """Of the cells that one or the other strikes, without noise, the share that only one does."""
        strikes = [
            ((found - self.above[:, None, None]) > 0)[:, rolls.ONSET :: 2] * asked[:, rolls.ONSET :: 2, None, None]
            for found in (logits.detach(), wanted)
        ]
        either = torch.maximum(*strikes).sum()
        return float((strikes[0] != strikes[1]).sum() / either.clamp(min=1))

    @torch.no_grad()
    def check(self, step: int, batches: int = 4) -> Measures:
        found = [self.compare(self.held_out.batch(99, number, BATCH))[1] for number in range(batches)]
        return {name: float(np.mean([f[name] for f in found])) for name in COLUMNS}


def main() -> None:
    options = parser(__doc__, minutes=60)
    options.add_argument("--checkpoint", type=Path, required=True, help="the larger one, calibrated")
    options.add_argument("--inner", type=int, nargs=3, default=INNER, help="channels inside the blocks of each size")
    given = options.parse_args()
    plan, inner = plan_of(given), TINY if given.tiny else tuple(given.inner)
    trainer = Trainer(dataset.load(given.dataset), given.run, plan, given.checkpoint, inner)
    to_the_end(trainer.session, trainer.run)


if __name__ == "__main__":
    main()
