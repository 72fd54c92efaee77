"""Bars as tokens: encoding 3 of docs/encoding.md, mirrored by src/generators/encoding.rs.

`python -m obbligato_models.encoding parity/encoding.json` writes the `tokens` of the hand-made cases in that file anew.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

GRID = 12
METRES = ("4/4", "3/4", "2/4", "6/8")
BAR_TICKS = (48, 36, 24, 36)
SEGMENTS = (((0, 24), (24, 48)), ((0, 36),), ((0, 24),), ((0, 18), (18, 36)))
PARTS = ("bass", "chords", "counter")
BASS, CHORDS, COUNTER = range(3)
QUALITIES = ("maj", "min", "7", "maj7", "m7", "dim", "m7b5", "dim7", "aug", "sus4")
QUALITY_INTERVALS = (
    (0, 4, 7), (0, 3, 7), (0, 4, 7, 10), (0, 4, 7, 11), (0, 3, 7, 10),
    (0, 3, 6), (0, 3, 6, 10), (0, 3, 6, 9), (0, 4, 8), (0, 5, 7),
)  # fmt: skip
NO_CHORD = 120
ROOT_NAMES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
_NATURALS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}

PAD, START, END, MELODY, TIE = range(5)
PART, BAR, JAM, POS, CHORD, NOTE = 5, 8, 12, 16, 64, 185
LOWEST_KEY, HIGHEST_KEY = 21, 108
DURATIONS = (1, 2, 3, 4, 6, 8, 9, 12, 16, 18, 24, 30, 36, 48)
DURATION_CLASSES = 1 + len(DURATIONS)
VOCABULARY = NOTE + DURATION_CLASSES * (HIGHEST_KEY - LOWEST_KEY + 1)
HELD = 1_000_000
"""A duration no note has: still sounding when the melody was cut."""
DEFAULT_LEAD = 1.5
NOTES_A_POSITION = (1, 6, 6)
"""At most so many notes of a part at one position. Melody: 6."""
LEAST_DENSITY = 1 / 8
"""Added to a density, in onsets a quarter, before its logarithm is taken."""
COND = 41
STYLES, ATTRIBUTES, POLYPHONY, ASKED, TEMPO, PHRASE = 0, 12, 30, 32, 35, 36
"""Where in the condition vector what begins."""
LOUDNESS_CLASSES = 12
LOUDNESS_STEP, MEAN_LOUDNESS = 6, 6
"""A class is this many MIDI velocities wide; this class is the mean of the music."""


class Note(NamedTuple):
    """Start in ticks from a line the holder names, duration in ticks, MIDI key; velocity 1..127, 0 if not known."""

    start: int
    duration: int
    key: int
    velocity: int = 0


@dataclass
class Bar:
    """One bar. All starts in ticks from its bar line; melody notes that began in an earlier bar and still sound have
    negative starts. `chords` has one class 0..120 a segment. A part not in `parts` is not asked for."""

    metre: int
    melody: list[Note] = field(default_factory=list)
    chords: list[int] = field(default_factory=list)
    parts: dict[int, list[Note]] = field(default_factory=dict)
    jam: bool = False


# Tokens


def fold_key(key: int) -> int:
    while key < LOWEST_KEY:
        key += 12
    while key > HIGHEST_KEY:
        key -= 12
    return key


def duration_class(ticks: int) -> int:
    if ticks >= HELD:
        return 0
    return 1 + min(range(len(DURATIONS)), key=lambda i: (abs(DURATIONS[i] - ticks), DURATIONS[i]))


_DURATION_CLASS = tuple(duration_class(max(1, t)) for t in range(49))


def note_token(key: int, ticks: int) -> int:
    duration = 0 if ticks >= HELD else _DURATION_CLASS[max(0, min(48, ticks))]
    return NOTE + DURATION_CLASSES * (fold_key(key) - LOWEST_KEY) + duration


def note_of(token: int) -> tuple[int, int]:
    """Key and duration in ticks (`HELD` for class 0)."""
    key, duration = divmod(token - NOTE, DURATION_CLASSES)
    return key + LOWEST_KEY, DURATIONS[duration - 1] if duration else HELD


def chord_class(name: str) -> int:
    """`C maj`, `F# m7b5`, `Bb 7`, `N.C.` to 0..120."""
    if name == "N.C.":
        return NO_CHORD
    root, quality = name.split(" ")
    semitones = _NATURALS[root[0]] + root.count("#") - root.count("b")
    return 10 * (semitones % 12) + QUALITIES.index(quality)


def chord_name(chord: int) -> str:
    return "N.C." if chord == NO_CHORD else f"{ROOT_NAMES[chord // 10]} {QUALITIES[chord % 10]}"


def chord_pitch_classes(chord: int) -> tuple[int, ...]:
    """Root first; empty for no chord."""
    if chord == NO_CHORD:
        return ()
    return tuple((chord // 10 + i) % 12 for i in QUALITY_INTERVALS[chord % 10])


def note_list(notes: Iterable[Note], limit: int = 6, velocities: list[int] | None = None) -> list[int]:
    """`POS t, NOTE ...`. Too many notes at a position: a bass (limit 1) keeps the lowest, the others the highest.
    `velocities` gets one value a token: the note's, 0 for a position."""
    positions: dict[int, dict[int, tuple[int, int]]] = {}
    for start, duration, key, velocity in notes:
        at = positions.setdefault(start, {})
        key = fold_key(key)
        at[key] = max((duration, velocity), at.get(key, (0, 0)))
    tokens = []
    for start in sorted(positions):
        at = positions[start]
        keys = sorted(at)
        keys = keys[:1] if limit == 1 else keys[-limit:]
        tokens.append(POS + start)
        tokens += [note_token(key, at[key][0]) for key in keys]
        if velocities is not None:
            velocities += [0, *(at[key][1] for key in keys)]
    return tokens


def heard(melody: Sequence[Note], start: int, end: int, lead: float = DEFAULT_LEAD) -> tuple[list[Note], list[Note]]:
    """What of a segment's melody had been heard a lead before its end: (ties, notes struck in it), durations cut."""
    cut = end - lead - 0.5
    ties, struck = [], []
    for note in melody:
        note_end = note.start + note.duration
        if note.start < start:
            if note_end > start:
                ties.append(Note(start, HELD if note_end > cut else note_end - start, note.key))
        elif note.start <= cut:
            struck.append(Note(note.start, HELD if note_end > cut else note.duration, note.key))
    return ties, struck


def tie_list(ties: Iterable[Note]) -> list[int]:
    tokens = note_list(tie._replace(start=0) for tie in ties)[1:]
    return [token for note in tokens for token in (TIE, note)]


def encode_known(bar: Bar) -> list[int]:
    tokens = [BAR + bar.metre, *note_list(n for n in bar.melody if n.start >= 0)]
    tokens += [CHORD + chord for chord in bar.chords]
    return tokens + encode_parts(bar, (0, BAR_TICKS[bar.metre]))


def encode_answer(bar: Bar, segment: int) -> list[int]:
    """The answer to one segment of a jam bar: CHORD, parts, END."""
    return [CHORD + bar.chords[segment], *encode_parts(bar, SEGMENTS[bar.metre][segment])]


def encode_parts(bar: Bar, line: tuple[int, int], velocities: list[int] | None = None) -> list[int]:
    """The asked parts of a stretch, and END. `velocities` gets one value a token, 0 where it is no note."""
    tokens = []
    for part in sorted(bar.parts):
        notes = (n for n in bar.parts[part] if line[0] <= n.start < line[1])
        tokens.append(PART + part)
        if velocities is not None:
            velocities.append(0)
        tokens += note_list(notes, NOTES_A_POSITION[part], velocities)
    if velocities is not None:
        velocities.append(0)
    return [*tokens, END]


def encode_heard(bar: Bar, segment: int, lead: float = DEFAULT_LEAD) -> list[int]:
    """The melody of one segment of a jam bar, as heard: MELODY, ties, notes."""
    ties, struck = heard(bar.melody, *SEGMENTS[bar.metre][segment], lead)
    return [MELODY, *tie_list(ties), *note_list(struck)]


def encode_jam(bar: Bar, lead: float = DEFAULT_LEAD) -> list[int]:
    tokens = [JAM + bar.metre]
    for segment in range(len(SEGMENTS[bar.metre])):
        tokens += encode_answer(bar, segment) + encode_heard(bar, segment, lead)
    return tokens


def encode(bar: Bar, lead: float = DEFAULT_LEAD) -> list[int]:
    return encode_jam(bar, lead) if bar.jam else encode_known(bar)


def part_velocities(bar: Bar) -> list[int]:
    """The velocities of the notes in the asked parts, in the order of their tokens in `encode(bar)`."""
    velocities: list[int] = []
    lines = SEGMENTS[bar.metre] if bar.jam else ((0, BAR_TICKS[bar.metre]),)
    for line in lines:
        written: list[int] = []
        tokens = encode_parts(bar, line, written)
        velocities += [v for token, v in zip(tokens, written, strict=True) if token >= NOTE]
    return velocities


def loudness_class(velocity: int, mean: float) -> int:
    """0..11 by the distance from the mean velocity of the music."""
    return min(LOUDNESS_CLASSES - 1, max(0, round((velocity - mean) / LOUDNESS_STEP) + MEAN_LOUDNESS))


# Reading tokens


class Reader:
    """Reads a token list and complains about the first token that the grammar does not allow."""

    def __init__(self, tokens: Sequence[int]):
        self.tokens, self.at = list(tokens), 0

    def peek(self) -> int:
        return self.tokens[self.at] if self.at < len(self.tokens) else PAD

    def take(self, low: int, high: int, what: str) -> int:
        token = self.peek()
        if not low <= token < high:
            raise ValueError(f"token {self.at} is {token}, expected {what}")
        self.at += 1
        return token - low

    def notes(self, start: int, end: int, limit: int, held: bool) -> list[Note]:
        notes: list[Note] = []
        while POS <= self.peek() < CHORD:
            tick = self.take(POS, CHORD, "a position")
            if not start <= tick < end or (notes and tick <= notes[-1].start):
                raise ValueError(f"token {self.at - 1}: position {tick} outside {start}..{end} or not ascending")
            count, last = 0, 0
            while not count or self.peek() >= NOTE:
                key, duration = note_of(NOTE + self.take(NOTE, VOCABULARY, "a note"))
                count += 1
                if key <= last or count > limit or (duration == HELD and not held):
                    raise ValueError(f"token {self.at - 1}: key {key} not ascending, too many notes, or held")
                notes.append(Note(tick, duration, key))
                last = key
        return notes

    def chord(self) -> int:
        return self.take(CHORD, NOTE, "a chord")

    def parts(self, start: int, end: int, into: dict[int, list[Note]]) -> None:
        last = -1
        while PART <= self.peek() < BAR:
            part = self.take(PART, BAR, "a part")
            if part <= last:
                raise ValueError(f"token {self.at - 1}: parts not in order")
            into.setdefault(part, []).extend(self.notes(start, end, NOTES_A_POSITION[part], held=False))
            last = part
        self.take(END, END + 1, "the end of the answer")

    def bar(self) -> Bar:
        if self.peek() >= JAM:
            return self.jam_bar()
        bar = Bar(self.take(BAR, JAM, "a bar"))
        ticks = BAR_TICKS[bar.metre]
        bar.melody = self.notes(0, ticks, 6, held=False)
        bar.chords = [self.chord() for _ in SEGMENTS[bar.metre]]
        self.parts(0, ticks, bar.parts)
        return bar

    def jam_bar(self) -> Bar:
        """The melody is given as heard in each segment: a tie as a note that starts with the segment."""
        bar = Bar(self.take(JAM, POS, "a bar"), jam=True)
        for start, end in SEGMENTS[bar.metre]:
            bar.chords.append(self.chord())
            self.parts(start, end, bar.parts)
            self.take(MELODY, MELODY + 1, "the melody heard")
            while self.peek() == TIE:
                self.at += 1
                key, duration = note_of(NOTE + self.take(NOTE, VOCABULARY, "a tied note"))
                bar.melody.append(Note(start, duration, key))
            bar.melody += self.notes(start, end, 6, held=True)
        return bar


def decode(tokens: Sequence[int]) -> list[Bar]:
    """Whole bars, after an optional START. Raises ValueError where the grammar is broken."""
    reader = Reader(tokens)
    if reader.peek() == START:
        reader.at += 1
    bars = []
    while reader.at < len(reader.tokens):
        bars.append(reader.bar())
    return bars


# What the model may choose


_NOTE_KEYS = np.repeat(np.arange(LOWEST_KEY, HIGHEST_KEY + 1), DURATION_CLASSES)
_NOTE_HELD = np.tile(np.arange(DURATION_CLASSES) == 0, HIGHEST_KEY - LOWEST_KEY + 1)


def allowed_chords() -> np.ndarray:
    mask = np.zeros(VOCABULARY, bool)
    mask[CHORD:NOTE] = True
    return mask


def allowed_in_part(part: int, written: Sequence[int], start: int, end: int, then: int) -> np.ndarray:
    """Tokens allowed after `written`, the tokens since this part's PART token. `then` is the structural token that
    follows the part: the next asked part's PART, or END."""
    mask = np.zeros(VOCABULARY, bool)
    tick, count, last = start - 1, 0, 0
    for token in written:
        if token < CHORD:
            tick, count, last = token - POS, 0, 0
        else:
            count, last = count + 1, note_of(token)[0]
    if count or not written:
        mask[then] = True
        mask[POS + tick + 1 : POS + end] = True
    if written and count < NOTES_A_POSITION[part]:
        mask[NOTE:] = (_NOTE_KEYS > last) & ~_NOTE_HELD
    return mask


# Conditions


class Attributes(NamedTuple):
    """Measured on the notes of one part over some bars. None: not known."""

    density: float | None = None
    """Onsets a quarter."""
    register: float | None = None
    """Mean key."""
    length: float | None = None
    """Mean duration in ticks."""
    polyphony: float | None = None
    """Notes an onset; read for chords only."""


def measure(notes: Sequence[Note], ticks: int) -> Attributes:
    """`ticks`: how long the stretch is in which these notes begin."""
    if not notes:
        return Attributes(density=0.0)
    onsets = len({n.start for n in notes})
    return Attributes(
        onsets / (ticks / GRID),
        sum(n.key for n in notes) / len(notes),
        sum(min(48, max(1, n.duration)) for n in notes) / len(notes),
        len(notes) / onsets,
    )


def condition(
    styles: Sequence[float] = (),
    attributes: dict[int, Attributes] | None = None,
    asked: Iterable[int] = (),
    quarters_per_minute: float = 120.0,
    bar: int | None = None,
) -> np.ndarray:
    """The condition vector, f32 [41]. Attributes of parts that are not asked for are left out by the caller. `bar`: its
    number from the beginning of the music, where that is known."""
    cond = np.zeros(COND, np.float32)
    cond[: len(styles)] = styles
    for part, values in (attributes or {}).items():
        tell(cond, part, values)
    for part in asked:
        cond[ASKED + part] = 1
    cond[TEMPO] = min(1.5, max(-1.5, math.log2(quarters_per_minute / 120)))
    if bar is not None:
        four, eight = 2 * math.pi * (bar % 4) / 4, 2 * math.pi * (bar % 8) / 8
        cond[PHRASE : PHRASE + 5] = 1, math.sin(four), math.cos(four), math.sin(eight), math.cos(eight)
    return cond


def tell(cond: np.ndarray, part: int, values: Attributes) -> None:
    """Writes what is known of a part into a condition vector."""
    at = ATTRIBUTES + 6 * part
    if values.density is not None:
        cond[at : at + 2] = math.log2(values.density + LEAST_DENSITY), 1
    if values.register is not None:
        cond[at + 2 : at + 4] = (values.register - 60) / 12, 1
    if values.length is not None:
        cond[at + 4 : at + 6] = math.log2(values.length / 12), 1
    if part == CHORDS and values.polyphony is not None:
        cond[POLYPHONY : POLYPHONY + 2] = values.polyphony - 2, 1


def density_known(cond: np.ndarray) -> bool:
    """Of any part."""
    return any(cond[ATTRIBUTES + 6 * part + 1] for part in range(len(PARTS)))


# Transposing


def transposition_table(semitones: int) -> np.ndarray:
    """Token to transposed token, i64 [1505]. Keys that would leave the range fold back by octaves."""
    table = np.arange(VOCABULARY)
    for chord in range(NO_CHORD):
        table[CHORD + chord] = CHORD + 10 * ((chord // 10 + semitones) % 12) + chord % 10
    for token in range(NOTE, VOCABULARY):
        key = fold_key(token_key(token) + semitones)
        table[token] = NOTE + DURATION_CLASSES * (key - LOWEST_KEY) + (token - NOTE) % DURATION_CLASSES
    return table


def token_key(token: int) -> int:
    return (token - NOTE) // DURATION_CLASSES + LOWEST_KEY


# The shared fixture


def fixture_bars(case: dict) -> list[Bar]:
    """The bars of one case of parity/encoding.json, whose `about` describes the fields."""
    metre = METRES.index(case["metre"])
    melody = [Note(*n) for bar in case["bars"] for n in bar["melody"]]
    bars = []
    for i, given in enumerate(case["bars"]):
        line = i * BAR_TICKS[metre]
        notes = [Note(n.start - line, n.duration, n.key) for n in melody]
        notes = [n for n in notes if n.start < BAR_TICKS[metre] and (n.start >= 0 or n.start + n.duration > 0)]
        parts = {PARTS.index(p): [Note(*n) for n in given["parts"].get(p, [])] for p in case["asked"]}
        chords = [chord_class(name) for name in given["chords"]]
        bars.append(Bar(metre, notes, chords, parts, case["mode"] == "jam"))
    return bars


def fixture_tokens(case: dict) -> list[int]:
    return [START, *(token for bar in fixture_bars(case) for token in encode(bar, case.get("lead", DEFAULT_LEAD)))]


def dump_fixture(fixture: dict) -> str:
    """JSON with one bar a line, so that a person can read it."""
    lines = ["{", f'  "about": {json.dumps(fixture["about"], indent=4)},', '  "cases": [']
    for i, case in enumerate(fixture["cases"]):
        head = {k: v for k, v in case.items() if k not in ("bars", "tokens")}
        lines.append("    {" + json.dumps(head)[1:-1] + ',\n      "bars": [')
        lines.append(",\n".join("        " + json.dumps(bar) for bar in case["bars"]))
        lines.append(f'      ],\n      "tokens": {json.dumps(case["tokens"])}')
        lines.append("    }" + ("," if i + 1 < len(fixture["cases"]) else ""))
    return "\n".join([*lines, "  ]", "}"]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("fixture", type=Path)
    path = parser.parse_args().fixture
    fixture = json.loads(path.read_text())
    for case in fixture["cases"]:
        case["tokens"] = fixture_tokens(case)
    path.write_text(dump_fixture(fixture))


if __name__ == "__main__":
    main()
