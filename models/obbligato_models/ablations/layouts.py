"""Other ways to write bars as tokens than docs/encoding.md. The vocabulary is the same."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence

import numpy as np

from .. import encoding as e
from ..dataset import MELODY_ROW, Run
from ..encoding import Bar, Note
from ..transformer.layout import Layout, Role
from ..transformer.model import Outputs
from ..transformer.sample import LAST_NOTES, NOTE_CLASSES, USUAL_VELOCITY, Feed, Song, pick

BEATS = (
    ((0, 12), (12, 24), (24, 36), (36, 48)),
    ((0, 12), (12, 24), (24, 36)),
    ((0, 12), (12, 24)),
    ((0, 18), (18, 36)),
)
"""The beats of each metre, in ticks; in 6/8 there are two."""


class Beats(Layout):
    """In a jam a segment is a beat: answered, and then heard. Its chord is that of the half bar it is in."""

    margin = 80
    """Three more beats of chord, parts and melody may come after an answer."""

    def segments(self, metre: int) -> Sequence[tuple[int, int]]:
        return BEATS[metre]

    def chords(self, bar: Bar) -> list[int]:
        """The bar has one for each half bar (or bar, where that is one segment), or for each beat already."""
        if not bar.jam:
            return bar.chords
        return [chord for chord in bar.chords for _ in range(len(BEATS[bar.metre]) // len(bar.chords))]

    def encode(self, bar: Bar, lead: float = e.DEFAULT_LEAD, following: Sequence[Note] | None = None) -> list[int]:
        if not bar.jam:
            return e.encode(bar)
        tokens = [e.JAM + bar.metre]
        for beat, (line, chord) in enumerate(zip(BEATS[bar.metre], self.chords(bar), strict=True)):
            tokens += [e.CHORD + chord, *e.encode_parts(bar, line), *self.heard(bar, beat, lead)]
        return tokens

    def heard(self, bar: Bar, segment: int, lead: float) -> list[int]:
        ties, struck = e.heard(bar.melody, *BEATS[bar.metre][segment], lead)
        return [e.MELODY, *e.tie_list(ties), *e.note_list(struck)]

    def velocities(self, bar: Bar) -> list[int]:
        return velocities(bar, BEATS[bar.metre], e.encode_parts) if bar.jam else e.part_velocities(bar)

    def melody_shares(self, run: Run, bar: int) -> np.ndarray:
        sounds = np.zeros((run.ticks, 12), np.float32)
        for note in run.by_bar()[MELODY_ROW][bar]:
            sounds[max(0, note.start) : note.start + note.duration, note.key % 12] = 1
        return np.stack([sounds[start:end].mean(0) for start, end in BEATS[run.metre]])


class NextBar(Layout):
    """The melody of the next bar stands in front of the answer too, after a MELODY, where it is known."""

    margin = 32

    def encode(self, bar: Bar, lead: float = e.DEFAULT_LEAD, following: Sequence[Note] | None = None) -> list[int]:
        if bar.jam:
            return e.encode(bar, lead)
        chords = [e.CHORD + chord for chord in bar.chords]
        return [*self.known_melody(bar, following), *chords, *e.encode_parts(bar, (0, e.BAR_TICKS[bar.metre]))]

    def known_melody(self, bar: Bar, following: Sequence[Note] | None) -> list[int]:
        melody = super().known_melody(bar, following)
        if following is None:
            return melody
        return [*melody, e.MELODY, *e.note_list(n for n in following if n.start >= 0)]


class ByTime(Layout):
    """The notes of all parts together by their onsets: `PART ...` of those asked for, by the host, and then
    `POS t, (PART NOTE ...) ..., POS t', ... END`. Positions ascend, and so do the parts at a position."""

    margin = 32

    def encode(self, bar: Bar, lead: float = e.DEFAULT_LEAD, following: Sequence[Note] | None = None) -> list[int]:
        chords = [e.CHORD + chord for chord in bar.chords]
        if not bar.jam:
            answer = encode_by_time(bar, (0, e.BAR_TICKS[bar.metre]))
            return [*self.known_melody(bar, following), *chords, *answer]
        tokens = [e.JAM + bar.metre]
        for segment, line in enumerate(e.SEGMENTS[bar.metre]):
            tokens += [chords[segment], *encode_by_time(bar, line), *e.encode_heard(bar, segment, lead)]
        return tokens

    def roles(self, tokens: Sequence[int]) -> list[Role]:
        roles: list[Role] = []
        playing = False
        for token in tokens:
            part = e.PART <= token < e.BAR
            if e.CHORD <= token < e.NOTE:
                roles.append(Role.CHORD)
            elif part and roles[-1] in (Role.CHORD, Role.OPENING):
                roles.append(Role.OPENING)
                playing = True
            elif playing:
                roles.append(Role.CLOSING if token == e.END else Role.CHOSEN)
                playing = token != e.END
            else:
                roles.append(Role.HEARD if token >= e.POS else Role.GIVEN)
        return roles

    def velocities(self, bar: Bar) -> list[int]:
        lines = e.SEGMENTS[bar.metre] if bar.jam else ((0, e.BAR_TICKS[bar.metre]),)
        return velocities(bar, lines, encode_by_time)

    def answer(
        self, song: Song, asked: Sequence[int], line: tuple[int, int], answer: Bar
    ) -> Generator[Feed, Outputs, None]:
        """As `Song.parts`, in this order."""
        written = [e.PART + part for part in asked] or [e.END]
        song.read(written)
        velocities: list[int] = []
        while written[-1] != e.END:
            allowed = allowed_by_time(asked, written[len(asked) :], line)
            velocity = USUAL_VELOCITY
            if allowed[e.END] and song.context.size() + LAST_NOTES > song.context.window:
                token = e.END
            else:
                outputs = yield from song.ask()
                if written[-1] >= e.NOTE:
                    velocity = song.velocity(outputs.loudness)
                logits = outputs.logits.astype(np.float64)
                if song.expected is not None:
                    logits[e.NOTE :] += song.choice.along * song.expected[NOTE_CLASSES]
                token = pick(logits, allowed, song.choice.note_temperature, song.choice.top_p, song.random)
            if written[-1] >= e.NOTE:
                velocities.append(velocity)
            song.read([token])
            written.append(token)
        for part, note in read_by_time(written, velocities):
            answer.parts[part].append(note)


def allowed_by_time(asked: Sequence[int], written: Sequence[int], line: tuple[int, int]) -> np.ndarray:
    """Tokens allowed after `written`, the answer so far without the parts that the host has given."""
    mask = np.zeros(e.VOCABULARY, bool)
    if not written:
        mask[e.END] = True
        mask[e.POS + line[0] : e.POS + line[1]] = True
        return mask
    position = max(i for i, token in enumerate(written) if e.POS <= token < e.CHORD)
    here, last = written[position + 1 :], written[-1]
    named = [token - e.PART for token in here if e.PART <= token < e.BAR]
    if named:
        mask |= more_notes(named[-1], here)
    if not e.PART <= last < e.BAR:
        for part in asked:
            mask[e.PART + part] = not named or part > named[-1]
    if last >= e.NOTE:
        mask[e.END] = True
        mask[written[position] + 1 : e.POS + line[1]] = True
    return mask


def more_notes(part: int, here: Sequence[int]) -> np.ndarray:
    """Which notes may come next in a part's group, the last of the tokens at a position."""
    group = here[max(i for i, token in enumerate(here) if token < e.BAR) + 1 :]
    mask = e.allowed_in_part(part, [e.POS, *group], 0, 1, e.END)
    mask[: e.NOTE] = False
    return mask


def read_by_time(written: Sequence[int], velocities: Sequence[int]) -> Iterator[tuple[int, Note]]:
    """Parts and their notes, from the tokens of an answer and the velocity of each note."""
    velocity, part, tick = iter(velocities), 0, 0
    for token in written:
        if e.PART <= token < e.BAR:
            part = token - e.PART
        elif e.POS <= token < e.CHORD:
            tick = token - e.POS
        elif token >= e.NOTE:
            key, duration = e.note_of(token)
            yield part, Note(tick, duration, key, next(velocity))


def encode_by_time(bar: Bar, line: tuple[int, int], velocities: list[int] | None = None) -> list[int]:
    """As `e.encode_parts`, in the order of `ByTime`."""
    groups: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for part in sorted(bar.parts):
        said: list[int] = []
        notes = (n for n in bar.parts[part] if line[0] <= n.start < line[1])
        for token, velocity in zip(e.note_list(notes, e.NOTES_A_POSITION[part], said), said, strict=True):
            if token < e.CHORD:
                group = groups[token, part] = []
            else:
                group.append((token, velocity))
    written = [(e.PART + part, 0) for part in sorted(bar.parts)]
    position = None
    for (start, part), group in sorted(groups.items()):
        if start != position:
            written.append((start, 0))
        written += [(e.PART + part, 0), *group]
        position = start
    written.append((e.END, 0))
    if velocities is not None:
        velocities += [velocity for _, velocity in written]
    return [token for token, _ in written]


def velocities(bar: Bar, lines: Sequence[tuple[int, int]], encode_parts: Callable) -> list[int]:
    """Of the notes in the asked parts, in the order in which they are written."""
    found: list[int] = []
    for line in lines:
        said: list[int] = []
        tokens = encode_parts(bar, line, said)
        found += [v for token, v in zip(tokens, said, strict=True) if token >= e.NOTE]
    return found
