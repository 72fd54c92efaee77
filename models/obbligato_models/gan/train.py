"""Trains the GAN for a given time in all, going on from the run's checkpoint where there is one: first the generator
alone, on what people played; then generator and critic in turn.

python -m obbligato_models.gan.train --dataset data/songs.npz --run runs/gan --minutes 150

The run's folder gets `last.pt`, `supervised.pt` (before the critic had a say), `iterations/` (the generator as it was,
from 0 on), `log.csv` and `samples/`; docs/training.md says what the numbers mean.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .. import dataset, rolls, styles
from ..dataset import Run
from ..evaluate.answers import human
from ..evaluate.classic import TrainingLine
from ..evaluate.excerpts import SONGS, Wanted, choose
from ..evaluate.midi import file_name, write_rows
from ..training import Ahead, Measures, Session, parser, plan_of, to_the_end, write_checkpoint
from ..transformer import device
from ..transformer.train import Plan
from . import calibrate, play
from .model import NOISE, Critic, Generator, Given, Shape
from .windows import Windows, given_of

SEED = 13
BATCH = 16
"""Windows that the generator alone learns from."""
JUDGED = 8
"""Windows of a step with the critic; the generator answers each of its own twice, with other noise."""
GENERATOR_RATE, CRITIC_RATE = 2e-3, 3e-4
SLOWER = 0.25
"""Of the generator's rate, once the critic speaks."""
LEARNING_TO_JUDGE = 100
"""Steps in which only the critic learns, before the generator listens to it."""
CRITIC_STEPS = 2
PENALTY = 10.0
"""Of gradients whose norm is not 1 (Gulrajani et al., Improved training of Wasserstein GANs, 2017)."""
IMITATION_ENDS = 0.8
"""The weight of imitation falls from 1, when the critic begins to speak, to its floor at this share of the plan."""
LOUDEST = 5.0
"""At most so many times the critic's gradient is amplified to be as strong as imitation's."""
DIFFERENCE_WEIGHT, DIFFERENCE = 0.5, 0.3
"""Two answers to one melody ought to differ by this share of their cells."""
OWN_HISTORY = 0.35
"""Share of steps in which the bars before are the generator's own."""
CLIP = 1.0
CRITIC_CLIP = 100.0


@dataclass(frozen=True)
class Schedule:
    """How much of the training is whose."""

    supervised: float = 0.3
    """Share of the plan before the critic speaks."""
    imitation_floor: float = 1.0
    """The weight of imitation in the end, 0..1."""
    critic_share: float = 0.3
    """How strongly the critic moves the generator, by how strongly imitation does."""
    begin_from: Path | None = None
    """A generator that was taught before: `supervised.pt`, or one of `iterations/`."""

    def speaks(self, done: float) -> bool:
        return done >= self.supervised

    def imitation_weight(self, done: float) -> float:
        left = (IMITATION_ENDS - done) / max(1e-3, IMITATION_ENDS - self.supervised)
        return max(self.imitation_floor, min(1.0, left))


COLUMNS = (
    "imitation", "imitation weight", "critic", "distance", "penalty", "gradient norm", "adversarial", "loudness",
    "difference", "struck",
)  # fmt: skip
MELODIES = {"pop909": Wanted(6), "lieder": Wanted(3), "open_hymnal": Wanted(2), "bach_chorales": Wanted(1)}
"""Validation songs that are measured while training; the first `LISTENED` of each set are kept as .mid."""
MELODY_BARS = 16
LISTENED = 1


def optimisers(generator: Generator, critic: Critic) -> dict[str, list[torch.optim.Optimizer]]:
    first = torch.optim.AdamW(generator.parameters(), lr=GENERATOR_RATE, betas=(0.5, 0.95), weight_decay=1e-3)
    return {"generator": [first], "critic": [torch.optim.Adam(critic.parameters(), lr=CRITIC_RATE, betas=(0.0, 0.9))]}


def each_imitation(logits: Tensor, parts: Tensor, asked: Tensor) -> Tensor:
    """Nats a tick for all cells of the parts that are asked for, by example."""
    each = F.binary_cross_entropy_with_logits(logits.float(), parts, reduction="none")
    return (each.sum(3).mean(2) * asked).sum(1)


def imitation(logits: Tensor, parts: Tensor, asked: Tensor) -> Tensor:
    return each_imitation(logits, parts, asked).mean()


def struck(logits: Tensor, asked: Tensor, above: Tensor) -> Tensor:
    """Cells as 0 or 1, as they are heard, with the gradient of their chances (straight-through, Bengio et al. 2013).
    The noise is that of playing at temperature 1; `above` [8]: what a channel's logit must be above. A critic that
    heard all above 0 would hear a fifth of the notes, and would need to count no further."""
    even = torch.rand_like(logits).clamp(1e-6, 1 - 1e-6)
    moved = logits + play.CELL_NOISE * (even / (1 - even)).log() - above[:, None, None]
    soft = torch.sigmoid(moved)
    return ((moved > 0).float() + soft - soft.detach()) * asked[:, :, None, None]


def penalty(critic: Critic, real: Tensor, fake: Tensor, listened: Tensor) -> tuple[Tensor, Tensor]:
    """And the mean norm of the gradient, between people's parts and the generator's."""
    share = torch.rand(len(real), 1, 1, 1)
    between = (share * real + (1 - share) * fake).requires_grad_()
    (gradient,) = torch.autograd.grad(critic(between, listened).sum(), between, create_graph=True)
    norms = gradient.flatten(1).norm(dim=1)
    return PENALTY * (norms - 1).square().mean(), norms.mean().detach()


@torch.no_grad()
def own_history(given: Given, asked: Tensor, share: float, plays: Callable[[Given, Tensor], Tensor]) -> Given:
    """In this share of steps the bars before are as a generator plays them, who will have to go on from them."""
    if torch.rand(()) >= share:
        return given
    melody, channels = given.before[:, -2:], len(rolls.PARTS) * 2
    clock = given.clock.clone()
    clock[:, rolls.KNOWN] = 1
    earlier = Given(melody, torch.zeros_like(given.before), torch.zeros_like(given.chords), clock, given.cond)
    heard = (melody.amax((1, 2, 3), keepdim=True) > 0).float()
    before = torch.cat([heard * plays(earlier, asked) + (1 - heard) * given.before[:, :channels], melody], 1)
    return given._replace(before=before)


class Trainer:
    def __init__(self, runs: Sequence[Run], folder: Path, plan: Plan, shape: Shape, schedule: Schedule):
        torch.manual_seed(SEED)
        self.schedule = schedule
        training = [r for r in runs if r.split == "train"]
        held_out = [r for r in runs if r.split == "validation"]
        self.windows, self.held_out = Windows(training), Windows(held_out)
        self.ahead = Ahead(lambda number: self.windows.batch(SEED, number, BATCH))
        self.generator, self.critic = Generator(shape), Critic(shape)
        if schedule.begin_from:
            self.generator.load_state_dict(torch.load(schedule.begin_from, map_location="cpu")["generator"])
        self.facts = {"shape": asdict(shape), "controls": styles.controls(training)}
        self.facts["thresholds"] = [0.0] * len(rolls.PARTS)
        self.facts["sustained"] = [0.0] * len(rolls.PARTS)
        networks = {"generator": self.generator, "critic": self.critic}
        self.session = Session(folder, plan, networks, optimisers(*networks.values()), COLUMNS, self.facts)
        self.melodies = choose(held_out, MELODIES, MELODY_BARS)
        people = choose(training, SONGS, MELODY_BARS)
        self.line = TrainingLine(people, [human(r) for r in people])
        (folder / "training_line.json").write_text(json.dumps(self.line.values) + "\n")
        self.judged_since: int | None = None

    def run(self) -> None:
        if self.session.step == 0:
            self.session.line(self.check(0))
        for done in self.session.steps(SEED, self.check):
            self.session.note(self.compete(done) if self.schedule.speaks(done) else self.imitate())
        self.keep(self.session.step)
        self.session.save()

    def imitate(self) -> Measures:
        batch = self.ahead.batch(self.session.step)
        logits = self.answer(given_of(batch), torch.randn(BATCH, NOISE))
        loss = imitation(logits, batch["parts"], batch["asked"])
        self.session.learn("generator", loss, CLIP)
        return {"imitation": loss.item(), "imitation weight": 1.0, "struck": struck_share(logits, batch)}

    def answer(self, given: Given, noise: Tensor) -> Tensor:
        with device.autocast(torch.device("cpu")):
            return self.generator(*given[:4], noise, given.cond).float()

    def heard(self, logits: Tensor, asked: Tensor) -> Tensor:
        """As often and as long as when it plays: `calibrate` keeps these numbers true."""
        above = [self.facts[name] for name in ("thresholds", "sustained")]
        return struck(logits, asked, torch.tensor(above).T.flatten())

    def compete(self, done: float) -> Measures:
        """Some steps of the critic, then one of the generator."""
        if self.judged_since is None:
            self.begin_to_judge()
        self.session.scale["generator"] = SLOWER
        judging = [self.judge(i) for i in range(CRITIC_STEPS)]
        found = {name: float(np.mean([j[name] for j in judging])) for name in judging[0]}
        if self.session.step - self.judged_since < LEARNING_TO_JUDGE:
            return found
        return found | self.convince(self.schedule.imitation_weight(done))

    def begin_to_judge(self) -> None:
        """`supervised.pt` is the generator that nobody but people has taught; a run that goes on has it already."""
        path = self.session.folder / "supervised.pt"
        if not path.exists():
            self.calibrate()
            self.keep(self.session.step, path)
        since = torch.load(path, map_location="cpu", weights_only=True)["step"]
        self.judged_since = since

    def batch(self, index: int, size: int) -> dict[str, Tensor]:
        """One of the batches of this step."""
        number = self.session.step * (CRITIC_STEPS + 1) + index
        whole = self.ahead.batch(number)
        return {name: value[:size] for name, value in whole.items()}

    def judge(self, index: int) -> Measures:
        batch = self.batch(index, JUDGED)
        given, asked = self.with_history(batch), batch["asked"]
        with torch.no_grad():
            fake = self.heard(self.answer(given, torch.randn(JUDGED, NOISE)), asked)
        listened = self.critic.listen(given)
        real_score, fake_score = self.critic(batch["parts"], listened), self.critic(fake, listened)
        apart = real_score.mean() - fake_score.mean()
        outside, norm = penalty(self.critic, batch["parts"], fake, listened.detach())
        loss = outside - apart
        self.session.learn("critic", loss, CRITIC_CLIP)
        return {
            "critic": loss.item(), "distance": apart.item(), "penalty": outside.item(), "gradient norm": norm.item(),
        }  # fmt: skip

    def convince(self, weight: float) -> Measures:
        batch = self.batch(CRITIC_STEPS, JUDGED)
        given, asked = self.with_history(batch), batch["asked"]
        twice = Given(*(torch.cat([value, value]) for value in given))
        logits = self.answer(twice, torch.randn(2 * JUDGED, NOISE))
        # The better of the two is asked to be what people played, so that noise may decide between ways to play (Fan et
        # al., A point set generation network, 2017).
        each = each_imitation(logits, batch["parts"].repeat(2, 1, 1, 1), asked.repeat(2, 1))
        copied = torch.minimum(*each.chunk(2)).mean()
        self.critic.requires_grad_(False)
        adversarial = -self.critic(self.heard(logits, asked.repeat(2, 1)), self.critic.listen(twice)).mean()
        self.critic.requires_grad_(True)
        loud = self.schedule.critic_share * self.loudness(copied, adversarial)
        apart = difference(logits, asked)
        loss = weight * copied + loud * adversarial + DIFFERENCE_WEIGHT * F.relu(DIFFERENCE - apart)
        self.session.learn("generator", loss, CLIP)
        return {
            "imitation": copied.item(), "imitation weight": weight, "adversarial": adversarial.item(),
            "loudness": loud, "difference": apart.item(), "struck": struck_share(logits[:JUDGED], batch),
        }  # fmt: skip

    def loudness(self, copied: Tensor, adversarial: Tensor) -> float:
        """By how much the critic must be amplified to move the last layer as strongly as imitation does (Esser et al.,
        Taming transformers, 2021): its scores have no unit."""
        last = self.generator.net.head.conv.weight
        sizes = [torch.autograd.grad(loss, last, retain_graph=True)[0].norm() for loss in (copied, adversarial)]
        return float((sizes[0] / (sizes[1] + 1e-6)).clamp(max=LOUDEST))

    def with_history(self, batch: dict[str, Tensor]) -> Given:
        return own_history(given_of(batch), batch["asked"], OWN_HISTORY, self.plays)

    def plays(self, given: Given, asked: Tensor) -> Tensor:
        return self.heard(self.answer(given, torch.randn(len(asked), NOISE)), asked)

    # What is kept and measured

    @torch.no_grad()
    def calibrate(self) -> None:
        """Each part strikes as often as people do, and sounds as long."""
        self.generator.eval()
        self.facts["thresholds"][:] = calibrate.thresholds(self.generator, self.windows)
        self.facts["sustained"][:] = calibrate.sustained(self.generator, self.windows)
        self.generator.train()

    def check(self, step: int) -> Measures:
        self.calibrate()
        self.keep(step)
        answers, loss = self.play_melodies(step), self.validate()
        return {**self.line.measure(self.melodies, answers), "imitation": loss}

    def keep(self, step: int, path: Path | None = None) -> None:
        """In half precision: there are many."""
        weights = {name: value.half() for name, value in self.generator.state_dict().items()}
        state = {"generator": weights, "step": step, **self.facts}
        write_checkpoint(path or play.iteration_file(self.session.folder, step), state)

    @torch.no_grad()
    def validate(self, batches: int = 4) -> float:
        found = []
        for number in range(batches):
            batch = self.held_out.batch(99, number, BATCH)
            logits = self.answer(given_of(batch), torch.zeros(BATCH, NOISE))
            found.append(imitation(logits, batch["parts"], batch["asked"]).item())
        return float(np.mean(found))

    def play_melodies(self, step: int) -> list:
        """The same melodies each time, with the same noise. One of each set becomes a .mid file."""
        songs = [play.song_of(run, self.facts["controls"], seed) for seed, run in enumerate(self.melodies)]
        thresholds = play.everywhere(self.facts["thresholds"], self.facts["sustained"])
        answers = play.play(play.torch_forward(self.generator), songs, thresholds)
        folder = self.session.folder / "samples"
        folder.mkdir(exist_ok=True)
        heard: dict[str, int] = {}
        for run, song in zip(self.melodies, songs, strict=True):
            heard[run.source] = heard.get(run.source, 0) + 1
            if heard[run.source] <= LISTENED:
                write_rows(folder / f"step{step:06d}-{file_name(run)}.mid", run, song.played)
        return answers


def struck_share(logits: Tensor, batch: dict[str, Tensor]) -> float:
    """Onsets above 0 by those that people strike."""
    onsets = (logits.detach()[:, rolls.ONSET :: 2] > 0) * batch["asked"][:, rolls.ONSET :: 2, None, None]
    return float(onsets.sum() / batch["parts"][:, rolls.ONSET :: 2].sum().clamp(min=1))


def difference(logits: Tensor, asked: Tensor) -> Tensor:
    """Between the two answers to each melody: the share of the struck cells that only one of them has."""
    onsets = torch.sigmoid(logits[:, rolls.ONSET :: 2]) * asked.repeat(2, 1)[:, rolls.ONSET :: 2, None, None]
    one, other = onsets.chunk(2)
    return (one - other).abs().sum() / (one + other).sum().clamp(min=1e-3)


def train(runs: Sequence[Run], folder: Path, plan: Plan, shape: Shape, schedule: Schedule | None = None) -> None:
    trainer = Trainer(runs, folder, plan, shape, schedule or Schedule())
    to_the_end(trainer.session, trainer.run)


def main() -> None:
    options, usual = parser(__doc__, minutes=150), Schedule()
    options.add_argument("--begin-from", type=Path, help="a generator that was taught before")
    options.add_argument("--supervised", type=float, default=usual.supervised, help="share of the time without critic")
    options.add_argument("--imitation-floor", type=float, default=usual.imitation_floor, help="its weight in the end")
    options.add_argument("--critic-share", type=float, default=usual.critic_share, help="its strength by imitation's")
    given = options.parse_args()
    if given.begin_from and not given.begin_from.is_file():
        raise SystemExit(f"train: there is no file {given.begin_from} to begin from")
    shape = Shape(16, 16) if given.tiny else Shape()
    schedule = Schedule(given.supervised, given.imitation_floor, given.critic_share, given.begin_from)
    train(dataset.load(given.dataset), given.run, plan_of(given), shape, schedule)


if __name__ == "__main__":
    main()
