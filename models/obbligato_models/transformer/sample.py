"""Plays melodies through the network, many at once: the plugin's sampler in Python, for evaluation.

python -m obbligato_models.transformer.sample --checkpoint runs/accompanist/last.pt melody.mid out.mid
"""

from __future__ import annotations

import argparse
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from .. import encoding as e
from ..encoding import Bar, Note
from . import device
from .layout import SHIPPED, Layout
from .model import Outputs, Stepper
from .pace import Pace, asked_density, log_sum

CHORD_TEMPERATURE = 0.5
NOTE_TEMPERATURE = 1.0
LOUDNESS_TEMPERATURE = 0.8
TOP_P = 0.95
FORESIGHT = 12.0
"""Nats for a chord that has all of the melody expected in a segment that is not heard yet."""
HINDSIGHT = 4.0
"""The same where the melody of the segment is known, which the model has read itself."""
RUB = 0.5
ALONG = 2.5
"""Nats for a note that the melody is sure to have in a segment that is not heard yet."""
FIDELITY = 0.7
"""Nats for a note of the chord, where the chord is given."""
AGAIN = 4
"""A tune that comes round after so many bars or more is arranged as it was before."""
ALIKE_BEFORE, ALIKE_NOTES = 2, 3
"""It comes round where so many bars with so many notes, and the bar after them, are as they were."""
RESERVE = 160
"""A bar begins only with so many tokens of the window free."""
KEEP_TOKENS, KEEP_BARS = 256, 4
"""What stays of the context when it is cut: the newest bars that fit, but so many bars at least."""
LAST_NOTES = 8
"""With fewer places left in the window, parts are brought to an end."""
USUAL_VELOCITY = 80
AT_ONCE = 64
FEW_PENDING = 4


@dataclass
class Choice:
    chord_temperature: float = CHORD_TEMPERATURE
    note_temperature: float = NOTE_TEMPERATURE
    top_p: float = TOP_P
    foresight: float = FORESIGHT
    hindsight: float = HINDSIGHT
    along: float = ALONG
    fidelity: float = FIDELITY
    again: int = AGAIN
    """Bars; 0 for never."""


@dataclass
class Request:
    """A song to accompany. `bars` hold the melody; where `given_chords`, their chords are used. The first `given_bars`
    are taken as they stand, accompaniment and all."""

    bars: list[Bar]
    conds: list[np.ndarray]
    asked: list[tuple[int, ...]]
    given_chords: bool = False
    given_bars: int = 0
    seed: int = 0
    lead: float = e.DEFAULT_LEAD
    paced: bool = True
    """Whether the densities in `conds` are kept to, or are only what is usual."""
    layout: Layout = SHIPPED
    recorded: bool = False
    """Whether it is to be learnt from: what could be drawn is kept, and the song ends where the window would be cut."""

    def following(self, index: int) -> list[Note] | None:
        """The melody of the bar after this one, where it is known."""
        after = self.bars[index + 1 : index + 2]
        return after[0].melody if after and not after[0].jam else None


@dataclass
class Context:
    """The window of one song: whole bars since START, each with its condition."""

    window: int
    bars: list[list[tuple[int, np.ndarray]]] = field(default_factory=list)

    def tokens(self) -> list[tuple[int, np.ndarray]]:
        return [(e.START, self.bars[0][0][1]), *(t for bar in self.bars for t in bar)]

    def size(self) -> int:
        return 1 + sum(len(bar) for bar in self.bars)

    def is_full(self) -> bool:
        """Whether the next bar might not fit."""
        return self.size() + RESERVE > self.window

    def make_room(self) -> None:
        """Drops the oldest bars."""
        while len(self.bars) > KEEP_BARS and self.size() > KEEP_TOKENS:
            self.bars.pop(0)
        while self.bars and self.size() + RESERVE > self.window:
            self.bars.pop(0)


Feed = tuple[bool, list[tuple[int, np.ndarray]]]
"""Whether to empty the cache first, and tokens with conditions."""


def chord_classes() -> np.ndarray:
    """Which pitch classes each chord token has, [121, 12]."""
    classes = np.zeros((e.NO_CHORD + 1, 12))
    for chord in range(e.NO_CHORD):
        classes[chord, list(e.chord_pitch_classes(chord))] = 1
    return classes


CHORD_CLASSES = chord_classes()
ALLOWED_CHORDS = e.allowed_chords()


BESIDE = np.clip(np.roll(CHORD_CLASSES, 1, 1) + np.roll(CHORD_CLASSES, -1, 1), 0, 1) * (1 - CHORD_CLASSES)
"""Which pitch classes lie a semitone beside a note of each chord and are none themselves."""


NOTE_CLASSES = np.array([e.token_key(token) % 12 for token in range(e.NOTE, e.VOCABULARY)])


def chances(coming: np.ndarray) -> np.ndarray:
    """How likely the melody has each pitch class, from the logits."""
    return 1 / (1 + np.exp(-coming.astype(np.float64)))


def expected_fit(coming: np.ndarray) -> np.ndarray:
    """Of each chord the share of the melody expected next that it has, less `RUB` times the share that would rub
    against it, [121], from the logits of the melody's pitch classes."""
    return fit(chances(coming))


def fit(melody: np.ndarray) -> np.ndarray:
    """Of each chord the share of a melody that it has, less `RUB` times the share that rubs against it, [121], from how
    long or how likely each pitch class sounds, [12]."""
    return (CHORD_CLASSES - RUB * BESIDE) @ melody / max(melody.sum(), 1e-6)


def sounding(bar: Bar, segment: int) -> np.ndarray:
    """Ticks for which each pitch class sounds in the melody of a segment, [12]."""
    start, end = e.SEGMENTS[bar.metre][segment]
    ticks = np.zeros(12)
    for note in bar.melody:
        ticks[note.key % 12] += max(0, min(end, note.start + note.duration) - max(start, note.start))
    return ticks


class Drawn(NamedTuple):
    """A token that the model chose, and what it was chosen from."""

    place: int
    """In the window."""
    bar: int
    segment: int
    ids: np.ndarray
    """All that could be drawn, the likeliest first."""
    leans: np.ndarray
    """What was added to the logits of each."""
    chosen: int
    """Which of them."""
    temperature: float
    logp: float
    """Of the one that was drawn."""


class Song:
    """Writes one song's answer, bar by bar. A generator: yields tokens to read, receives what the network says
    after the last (`Outputs` of one token, as arrays)."""

    def __init__(self, request: Request, choice: Choice, window: int):
        self.request, self.choice = request, choice
        self.layout = request.layout
        self.context = Context(window - self.layout.margin)
        self.random = np.random.default_rng(request.seed)
        self.answers: list[Bar] = []
        self.waiting: list[tuple[int, np.ndarray]] = []
        self.restart = True
        self.expected: np.ndarray | None = None
        self.paces = [Pace() for _ in e.PARTS]
        self.drawn: list[Drawn] = []

    def run(self) -> Generator[Feed, Outputs, None]:
        for index, bar in enumerate(self.request.bars):
            if self.context.is_full():
                if self.request.recorded:
                    return
                self.context.make_room()
                self.restart = True
            self.context.bars.append([])
            self.cond = self.request.conds[index]
            asked = self.request.asked[index]
            for part, pace in enumerate(self.paces):
                pace.begin_bar(asked_density(self.cond, part) if part in asked and self.request.paced else None)
            if index < self.request.given_bars:
                self.read(self.layout.encode(bar, self.request.lead, self.request.following(index)))
                self.answers.append(bar)
                continue
            before = self.arranged_before(index)
            if before is not None:
                self.play_again(index, before)
                continue
            answer = Bar(bar.metre, bar.melody, [], {part: [] for part in asked}, bar.jam)
            if bar.jam:
                self.read([e.JAM + bar.metre])
                for segment, line in enumerate(self.layout.segments(bar.metre)):
                    yield from self.chord(bar, segment, answer)
                    yield from self.layout.answer(self, asked, line, answer)
                    self.read(self.layout.heard(bar, segment, self.request.lead))
            else:
                self.read(self.layout.known_melody(bar, self.request.following(index)))
                for segment in range(len(e.SEGMENTS[bar.metre])):
                    yield from self.chord(bar, segment, answer)
                yield from self.layout.answer(self, asked, (0, e.BAR_TICKS[bar.metre]), answer)
            self.answers.append(answer)

    def arranged_before(self, index: int) -> Bar | None:
        """What was written when the tune of this bar, and of those before it, was arranged before for the same settings
        and chords: the latest."""
        if not self.choice.again or self.request.bars[index].jam or index < ALIKE_BEFORE:
            return None
        if sum(len(struck(bar)) for bar in self.request.bars[index - ALIKE_BEFORE : index]) < ALIKE_NOTES:
            return None
        places = range(index - self.choice.again, ALIKE_BEFORE - 1, -1)
        return next((self.answers[place] for place in places if self.comes_round(place, index)), None)

    def comes_round(self, place: int, index: int) -> bool:
        request = self.request
        same_tune = all(
            alike(request.bars[place - back], request.bars[index - back]) for back in range(ALIKE_BEFORE + 1)
        )
        same_settings = request.asked[place] == request.asked[index] and np.array_equal(
            request.conds[place][: e.PHRASE], request.conds[index][: e.PHRASE]
        )
        same_chords = not request.given_chords or request.bars[place].chords == request.bars[index].chords
        return same_tune and same_settings and same_chords

    def play_again(self, index: int, before: Bar) -> None:
        bar = replace(self.request.bars[index], chords=list(before.chords), parts=dict(before.parts))
        self.read(self.layout.encode(bar, self.request.lead, self.request.following(index)))
        for part, notes in bar.parts.items():
            self.paces[part].played(len({note.start for note in notes}), e.BAR_TICKS[bar.metre])
        self.answers.append(bar)

    def read(self, tokens: list[int]) -> None:
        pairs = [(token, self.cond) for token in tokens]
        self.context.bars[-1] += pairs
        self.waiting += pairs

    def ask(self) -> Generator[Feed, Outputs, Outputs]:
        feed = (self.restart, self.context.tokens() if self.restart else self.waiting)
        self.restart, self.waiting = False, []
        return (yield feed)

    def draw(self, logits: np.ndarray, said: np.ndarray, allowed: np.ndarray, temperature: float, segment: int) -> int:
        """Of the logits as they are leaned on. `said`: as they were."""
        kept, chosen = chances_kept(logits, allowed, temperature, self.choice.top_p, self.random)
        if self.request.recorded:
            bar, place = len(self.answers), self.context.size()
            logp = (logits[kept[chosen]] / temperature) - log_sum(logits[kept] / temperature)
            leans = logits[kept] - said[kept]
            self.drawn.append(Drawn(place, bar, segment, kept, leans, chosen, temperature, float(logp)))
        return int(kept[chosen])

    def velocity(self, logits: np.ndarray) -> int:
        """Drawn from the classes, with the music's mean at `USUAL_VELOCITY`."""
        everything = np.ones(len(logits), bool)
        found = pick(logits, everything, LOUDNESS_TEMPERATURE, self.choice.top_p, self.random)
        within = self.random.random() - 0.5
        return round(USUAL_VELOCITY + e.LOUDNESS_STEP * (found - e.MEAN_LOUDNESS + within))

    def chord(self, bar: Bar, segment: int, answer: Bar) -> Generator[Feed, Outputs, None]:
        if bar.jam or not self.request.given_chords:
            outputs = yield from self.ask()
            self.expected = chances(outputs.coming) if bar.jam else None
        if self.request.given_chords:
            token = e.CHORD + bar.chords[segment]
        else:
            logits = outputs.logits.copy()
            if bar.jam:
                logits[e.CHORD : e.NOTE] += self.choice.foresight * expected_fit(outputs.coming)
            else:
                logits[e.CHORD : e.NOTE] += self.choice.hindsight * fit(sounding(bar, segment))
            token = self.draw(logits, outputs.logits, ALLOWED_CHORDS, self.choice.chord_temperature, segment)
        self.read([token])
        answer.chords.append(token - e.CHORD)

    def leans(self, answer: Bar) -> np.ndarray:
        """What is added to the logits while a segment's notes are drawn, [segments, 1505]: for notes that the melody is
        expected to have, and for those of a chord that is given."""
        leans = np.zeros((len(e.SEGMENTS[answer.metre]), e.VOCABULARY))
        if self.expected is not None:
            leans[:, e.NOTE :] += self.choice.along * self.expected[NOTE_CLASSES]
        if self.request.given_chords:
            for segment, chord in enumerate(answer.chords):
                leans[segment, e.NOTE :] += self.choice.fidelity * CHORD_CLASSES[chord][NOTE_CLASSES]
        return leans

    def parts(self, asked: Sequence[int], line: tuple[int, int], answer: Bar) -> Generator[Feed, Outputs, None]:
        leans = self.leans(answer)
        for i, part in enumerate(asked):
            if i == 0:
                self.read([e.PART + part])
            then = e.PART + asked[i + 1] if i + 1 < len(asked) else e.END
            pace = self.paces[part]
            written: list[int] = []
            velocities: list[int] = []
            while True:
                allowed = e.allowed_in_part(part, written, *line, then)
                if allowed[then] and self.context.size() + LAST_NOTES > self.context.window:
                    token = then
                else:
                    outputs = yield from self.ask()
                    if written and written[-1] >= e.NOTE:
                        velocities.append(self.velocity(outputs.loudness))
                    logits = outputs.logits + leans[segment_at(answer.metre, written)]
                    logits = pace.pace(logits, allowed, written, line, then)
                    segment = segment_at(answer.metre, written or [e.POS + line[0]])
                    token = self.draw(logits, outputs.logits, allowed, self.choice.note_temperature, segment)
                self.read([token])
                if token == then:
                    break
                written.append(token)
            answer.parts[part] += read_notes(written, velocities)
            pace.played(sum(token < e.CHORD for token in written), line[1] - line[0])
        if not asked:
            self.read([e.END])


def alike(one: Bar, other: Bar) -> bool:
    """Whether two known bars have the same melody."""
    if one.jam or other.jam or one.metre != other.metre:
        return False
    return struck(one) == struck(other)


def struck(bar: Bar) -> list[tuple[int, int]]:
    """The melody's onsets and keys."""
    return sorted((note.start, note.key) for note in bar.melody if note.start >= 0)


def segment_at(metre: int, written: Sequence[int]) -> int:
    """In which segment of the bar a part's last position lies."""
    tick = next((token - e.POS for token in reversed(written) if token < e.CHORD), 0)
    return sum(tick >= end for _, end in e.SEGMENTS[metre][:-1])


def read_notes(tokens: Sequence[int], velocities: Sequence[int]) -> list[Note]:
    """A part that was brought to an end has one velocity fewer than notes."""
    notes, tick = [], 0
    for token in tokens:
        if token < e.CHORD:
            tick = token - e.POS
        else:
            key, duration = e.note_of(token)
            velocity = velocities[len(notes)] if len(notes) < len(velocities) else USUAL_VELOCITY
            notes.append(Note(tick, duration, key, velocity))
    return notes


def pick(logits: np.ndarray, allowed: np.ndarray, temperature: float, top_p: float, random: np.random.Generator) -> int:
    """Softmax of the allowed logits over the temperature, cut to the most likely tokens that hold `top_p` together."""
    kept, chosen = chances_kept(logits, allowed, temperature, top_p, random)
    return int(kept[chosen])


LIKELY = 64
"""So many tokens nearly always hold `top_p`; only else are all of them put in order."""


def chances_kept(
    logits: np.ndarray, allowed: np.ndarray, temperature: float, top_p: float, random: np.random.Generator
) -> tuple[np.ndarray, int]:
    """The most likely of the allowed tokens that hold `top_p` together, the likeliest first, and which of them is
    drawn."""
    ids = np.flatnonzero(allowed)
    if len(ids) == 1:
        return ids, 0
    values = logits[ids].astype(np.float64) / max(temperature, 1e-3)
    chances = np.exp(values - values.max())
    chances /= chances.sum()
    likely = np.arange(len(ids))
    if len(ids) > 2 * LIKELY:
        likely = np.flatnonzero(chances >= np.partition(chances, -LIKELY)[-LIKELY])
        if chances[likely].sum() <= top_p:
            likely = np.arange(len(ids))
    order = likely[np.argsort(-chances[likely], kind="stable")]
    cumulative = chances[order].cumsum()
    kept = order[: int(np.searchsorted(cumulative, top_p)) + 1]
    share = random.random() * chances[kept].sum()
    return ids[kept], min(len(kept) - 1, int(np.searchsorted(chances[kept].cumsum(), share, side="right")))


class Caches:
    """Keys and values of many songs side by side, a row for each that still plays, the first rows of all; a song's
    tokens fill its row's places from 0 on."""

    def __init__(self, step: Stepper, songs: int, kind: torch.dtype = torch.float32):
        shape = step.model.shape
        self.step, self.window = step, shape.window
        size = (songs, shape.heads, shape.window + 1, shape.head_size)
        # The place after the window takes what fills up short rows.
        self.keys = [torch.zeros(size, dtype=kind) for _ in range(shape.layers)]
        self.values = [torch.zeros(size, dtype=kind) for _ in range(shape.layers)]
        self.row = list(range(songs))
        """Of each song."""
        self.songs = list(range(songs))
        """Of each row that is used."""

    def leave(self, song: int) -> None:
        """The last row's song takes the row of one that has ended, so that the used ones stay together."""
        row, last = self.row[song], self.songs.pop()
        if last == song:
            return
        for cache in (*self.keys, *self.values):
            cache[row] = cache[len(self.songs)]
        self.row[last], self.songs[row] = row, last

    def read(self, songs: list[int], past: list[int], tokens: list[list[tuple[int, np.ndarray]]]) -> list[Outputs]:
        """Reads each song's tokens after its `past` others. Returns what the network says after the last of each."""
        everyone = len(songs) == len(self.songs)
        places_of = {self.row[song]: i for i, song in enumerate(songs)}
        in_rows = sorted(places_of)
        given = [tokens[places_of[row]] for row in in_rows]
        before = [past[places_of[row]] for row in in_rows]
        count = max(map(len, given))
        ids = np.zeros((len(songs), count), np.int64)
        conds = np.zeros((len(songs), count, e.COND), np.float32)
        places = np.full((len(songs), count), self.window)
        for row, pairs in enumerate(given):
            ids[row, : len(pairs)] = [token for token, _ in pairs]
            for i, (_, cond) in enumerate(pairs):
                conds[row, i] = cond
            places[row, : len(pairs)] = np.arange(before[row], before[row] + len(pairs))
        length = max(p + len(pairs) for p, pairs in zip(before, given, strict=True))
        last = torch.tensor([len(pairs) - 1 for pairs in given])
        said = self.outputs(in_rows, everyone, *map(torch.from_numpy, (ids, conds, places)), length, last)
        outputs = [Outputs(*values) for values in zip(*(v.float().numpy() for v in said), strict=True)]
        back = {row: output for row, output in zip(in_rows, outputs, strict=True)}
        return [back[self.row[song]] for song in songs]

    def outputs(
        self,
        in_rows: list[int],
        everyone: bool,
        ids: torch.Tensor,
        cond: torch.Tensor,
        places: torch.Tensor,
        length: int,
        last: torch.Tensor,
    ) -> Outputs:
        may_look = (torch.arange(length) <= places[..., None]).unsqueeze(1)
        rows = torch.tensor(in_rows)
        model = self.step.model
        x = model.embed(self.step.table, ids, cond)
        cos, sin = model.angles(places)
        heard = model.tell(cond)
        for block, keys, values in zip(model.blocks, self.keys, self.values, strict=True):
            told = block.hear(heard)
            q, k, v = block.queries_keys_values(x, told, cos, sin)
            seen = []
            for cache, new in ((keys, k), (values, v)):
                cache[rows[:, None], :, places] = new.transpose(1, 2).to(cache.dtype)
                shown = cache[: len(self.songs), :, :length]
                seen.append(shown if everyone else shown.index_select(0, rows))
            attended = torch.nn.functional.scaled_dot_product_attention(q.to(keys.dtype), *seen, may_look)
            x = block.finish(x, told, attended)
        return model.outputs(x[torch.arange(len(in_rows)), last], self.step.table)


def play(step: Stepper, requests: Sequence[Request], choice: Choice | None = None) -> list[list[Bar]]:
    """The answers to all requests, side by side."""
    return [song.answers for song in perform(step, requests, choice)]


@torch.no_grad()
def perform(
    step: Stepper, requests: Sequence[Request], choice: Choice | None = None, brief: bool = False
) -> list[Song]:
    """The songs as they were played. `brief`: in bf16 where that is faster; what is drawn may then be something else,
    from the same chances but for rounding."""
    songs = [Song(r, choice or Choice(), step.model.shape.window) for r in requests]
    in_half = brief and device.faster_in_bf16(torch.device("cpu"))
    with torch.autocast("cpu", torch.bfloat16, enabled=in_half):
        play_all(songs, Caches(step, len(songs), torch.bfloat16 if in_half else torch.float32))
    return songs


def play_all(songs: Sequence[Song], caches: Caches) -> None:
    runs = [song.run() for song in songs]
    pending: list[list[tuple[int, np.ndarray]]] = [[] for _ in songs]
    filled = [0] * len(songs)

    def advance(i: int, outputs: Outputs | None) -> bool:
        try:
            restart, tokens = runs[i].send(outputs)
        except StopIteration:
            caches.leave(i)
            return False
        filled[i] = 0 if restart else filled[i]
        pending[i] = list(tokens)
        return True

    active = [i for i in range(len(songs)) if advance(i, None)]
    while active:
        # Songs with much to read go first and alone: the others would only wait for them, filled up.
        group = [i for i in active if len(pending[i]) > FEW_PENDING] or list(active)
        tokens = [pending[i][:AT_ONCE] for i in group]
        outputs = caches.read(group, [filled[i] for i in group], tokens)
        for row, i in enumerate(group):
            filled[i] += len(tokens[row])
            pending[i] = pending[i][len(tokens[row]) :]
            if not pending[i] and not advance(i, outputs[row]):
                active.remove(i)


def main() -> None:
    from .. import evaluate, export, styles

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--jam", action="store_true", help="segment by segment instead of with the melody known")
    parser.add_argument("--style", type=int, help="0..8, see styles.py; not known without it")
    parser.add_argument("--parts", default="bass chords counter")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("melody", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    model, _ = export.load(arguments.checkpoint)
    song = evaluate.melody_named(arguments.melody)
    asked = tuple(e.PARTS.index(p) for p in arguments.parts.split())
    style = np.eye(len(styles.NAMES))[arguments.style] if arguments.style is not None else ()
    bars = [song.bar(i, (), arguments.jam) for i in range(song.bars)]
    conds = [e.condition(style, {}, asked, song.tempo, i) for i in range(song.bars)]
    request = Request(bars, conds, [asked] * song.bars, seed=arguments.seed)
    answers = play(export.stepper(model), [request])[0]
    evaluate.write_midi(arguments.out, song, answers)


if __name__ == "__main__":
    main()
