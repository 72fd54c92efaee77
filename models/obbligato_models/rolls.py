"""Bars as piano rolls and back: rolls 1 of docs/rolls.md, for the networks that see music as a picture.

`python -m obbligato_models.rolls parity/rolls.json` writes the shared cases of that page anew.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from . import chords
from . import encoding as e
from .dataset import MELODY_ROW, Run
from .encoding import Note

VERSION = "1"
"""Of docs/rolls.md."""
BARS = 4
"""In a roll."""
LOWEST_KEY, KEYS = 16, 96
"""Row 0, and the number of rows: eight octaves, so that rows fold into pitch classes."""
STEP = 48
"""A roll's ticks are a multiple of this, in every metre."""
PARTS = (*e.PARTS, "pad")
PAD = len(e.PARTS)
ONSET, SUSTAIN = range(2)
"""Channels of one part: the ticks at which a key is struck, and all ticks at which it sounds."""
MOST_STRUCK = (1, 6, 1, 4)
"""Keys of a part struck at one tick. Bass and counter-melody are lines."""
LINES = (0, 2)
"""Parts whose notes end where the next one is struck."""
PAD_LOWEST = 55
"""The pad has each pitch class at one key only, in the octave from here (G3)."""
BAR_LINE, BEAT, KNOWN = range(3)
"""Channels of the clock."""
BEATS = (12, 12, 12, 18)
"""Ticks of a beat, by metre."""
CHORD_ROWS = 13
"""Twelve pitch classes of the chord that is given, and whether one is given."""


def ticks_of(metre: int) -> int:
    """Of a roll: 192 in 4/4, 144 in 3/4 and 6/8, 96 in 2/4."""
    return BARS * e.BAR_TICKS[metre]


def row(key: int) -> int:
    """Keys that the tokens do not have are folded in by octaves, as there."""
    return e.fold_key(key) - LOWEST_KEY


def write(notes: Iterable[Note], ticks: int) -> np.ndarray:
    """Onset and sustain, f32 [2, ticks, 96]. A note struck before tick 0 sounds on from there and is not struck; one
    that lasts beyond the end is cut."""
    roll = np.zeros((2, ticks, KEYS), np.float32)
    add(roll, notes)
    return roll


def add(roll: np.ndarray, notes: Iterable[Note], moved: int = 0, shift: int = 0) -> None:
    """Writes notes into a roll, `moved` ticks later and `shift` semitones higher."""
    ticks = roll.shape[1]
    for note in notes:
        start, end = note.start + moved, note.start + moved + max(1, note.duration)
        if start >= ticks or end <= 0:
            continue
        at = row(note.key + shift)
        roll[SUSTAIN, max(0, start) : end, at] = 1
        if start >= 0:
            roll[ONSET, start, at] = 1


def read(roll: np.ndarray) -> list[Note]:
    """The notes of onset and sustain, bool [2, ticks, 96]. A note lasts until it is not sustained, is struck again, or
    the roll ends; at least a tick. What sounds from tick 0 without being struck is no note."""
    onset, sustain = roll
    notes = []
    for at in np.flatnonzero(onset.any(0)):
        starts = np.flatnonzero(onset[:, at])
        for start, coming in zip(starts, [*starts[1:], len(onset)], strict=True):
            silent = np.flatnonzero(~sustain[start + 1 : coming, at])
            length = 1 + (silent[0] if len(silent) else coming - start - 1)
            notes.append(Note(int(start), int(length), int(at) + LOWEST_KEY))
    return sorted(notes)


def clock(metre: int, known: int | None = None) -> np.ndarray:
    """f32 [3, ticks]: 1 at bar lines; 1 at beats; 1 where the melody may be known, which is up to tick `known`."""
    return clock_of(ticks_of(metre), range(0, ticks_of(metre), e.BAR_TICKS[metre]), BEATS[metre], known)


def clock_of(ticks: int, bar_lines: Iterable[int], beat: int, known: int | None = None) -> np.ndarray:
    """The same for any metre: beats are counted from each bar line."""
    rows = np.zeros((3, ticks), np.float32)
    line = 0
    lines = set(bar_lines)
    for tick in range(ticks):
        line = tick if tick in lines else line
        rows[BAR_LINE, tick] = tick in lines
        rows[BEAT, tick] = (tick - line) % beat == 0
    rows[KNOWN, :known] = 1
    return rows


def chord_rows(labels: Sequence[Sequence[int]], metre: int, given: bool = True) -> np.ndarray:
    """f32 [13, ticks]: the pitch classes of the chord of each segment, and 1 where a chord is given. `chords`: classes,
    [bars][segments]. No chord is a given one without pitch classes."""
    rows = np.zeros((CHORD_ROWS, ticks_of(metre)), np.float32)
    if not given:
        return rows
    for bar, classes in enumerate(labels[:BARS]):
        for chord, (start, end) in zip(classes, e.SEGMENTS[metre], strict=True):
            line = bar * e.BAR_TICKS[metre]
            rows[list(e.chord_pitch_classes(int(chord))), line + start : line + end] = 1
            rows[12, line + start : line + end] = 1
    return rows


def pad(labels: Sequence[Sequence[int]], metre: int) -> list[Note]:
    """The chords held, each pitch class at its one key and as long as it stays."""
    held = chord_rows(labels, metre)[:12]
    starts = np.diff(held, axis=1, prepend=0) > 0
    notes = []
    for pitch_class, start in np.argwhere(starts).tolist():
        silent = np.flatnonzero(held[pitch_class, start:] == 0)
        length = int(silent[0]) if len(silent) else held.shape[1] - start
        notes.append(Note(start, length, pad_key(pitch_class)))
    return sorted(notes)


def pad_key(pitch_class: int) -> int:
    return PAD_LOWEST + (pitch_class - PAD_LOWEST) % 12


def chords_of(pad_chances: np.ndarray, metre: int) -> np.ndarray:
    """The chord class of each segment, [bars, segments], that its pad says best: `pad_chances` [ticks, 96], how likely
    each key of the pad sounds."""
    found = np.full((BARS, len(e.SEGMENTS[metre])), e.NO_CHORD)
    classes = pad_chances[:, [pad_key(p) - LOWEST_KEY for p in range(12)]]
    for bar in range(BARS):
        for segment, (start, end) in enumerate(e.SEGMENTS[metre]):
            line = bar * e.BAR_TICKS[metre]
            weights = classes[line + start : line + end].mean(0)
            if weights.max() >= 0.5:
                found[bar, segment] = int((chords.TONES @ weights - (chords.TONES @ (1 - weights))).argmax())
    return found


# From a song


class Place(NamedTuple):
    """Where in a song, and how high."""

    first: int
    """Bar."""
    shift: int = 0
    """Semitones."""


def melody_of(run: Run, place: Place) -> np.ndarray:
    """f32 [2, ticks, 96] of a dataset.Run."""
    return of_rows(run, [MELODY_ROW], place)


def parts_of(run: Run, place: Place) -> np.ndarray:
    """Bass, chords, counter, pad: f32 [8, ticks, 96]. Bars outside of the song rest."""
    written = of_rows(run, range(len(e.PARTS)), place)
    first, last = max(0, place.first), max(0, place.first + BARS)
    labels = [run.chords[b] for b in range(first, min(last, run.bars))]
    held = np.zeros((2, ticks_of(run.metre), KEYS), np.float32)
    add(held, pad(labels, run.metre), (first - place.first) * run.ticks)
    # A pitch class keeps its one key in every transposition.
    held[:, :, PAD_ROWS] = np.roll(held[:, :, PAD_ROWS], place.shift, 2)
    return np.concatenate([written, held])


PAD_ROWS = slice(PAD_LOWEST - LOWEST_KEY, PAD_LOWEST - LOWEST_KEY + 12)


def of_rows(run: Run, rows: Sequence[int], place: Place) -> np.ndarray:
    """Of some rows of a run's notes."""
    rolls = np.zeros((2 * len(rows), ticks_of(run.metre), KEYS), np.float32)
    by_bar = run.by_bar()
    for index, name in enumerate(rows):
        # A bar holds the notes that are struck in it; those of the bars before may sound on.
        for bar in range(max(0, place.first - BARS), min(run.bars, place.first + BARS)):
            add(rolls[2 * index : 2 * index + 2], by_bar[name][bar], (bar - place.first) * run.ticks, place.shift)
    return rolls


# The shared fixture

ABOUT = [
    "Shared cases of docs/rolls.md; the music is made up. write: notes [start, duration, key] and the cells that are",
    "set: onsets [tick, row], sustained [row, first tick, ticks]. read: cells, and the notes they are read as. clock:",
    "bar lines and beats as ticks, known as the number of ticks. chords: names a bar, rows as runs [pitch class or 12,",
    "first tick, ticks], and the pad's notes.",
]
WRITE_CASES: list[tuple[str, list[tuple[int, int, int]]]] = [
    ("4/4", [(0, 12, 60), (12, 12, 60), (24, 24, 64), (188, 12, 67)]),
    ("4/4", [(-6, 18, 55), (-12, 12, 57), (12, 0, 20), (24, 6, 109), (191, 1, 108), (192, 4, 60)]),
    ("3/4", [(0, 36, 48), (36, 108, 52), (140, 12, 21)]),
    ("2/4", [(0, 96, 72), (48, 24, 72), (95, 1, 71)]),
    ("6/8", []),
]
READ_CASES = [
    ("4/4", [[0, 44], [12, 44], [24, 48]], [[44, 0, 30], [48, 25, 4]]),
    ("3/4", [[143, 20]], [[20, 100, 44], [21, 0, 10]]),
    ("2/4", [[5, 60], [6, 60]], []),
]
CLOCK_CASES = [("4/4", None), ("3/4", 36), ("2/4", 0), ("6/8", 90)]
CHORD_CASES = [
    ("4/4", [["C maj", "A m7"], ["F maj7", "G 7"], ["N.C.", "N.C."], ["C maj", "C maj"]]),
    ("3/4", [["G maj"], ["D 7"], ["G maj"], ["G maj"]]),
    ("6/8", [["E min", "E min"], ["B dim7", "N.C."]]),
]


def runs_in(cells: np.ndarray) -> list[list[int]]:
    """Of [ticks, rows]: row, first tick, ticks."""
    found = []
    for at in np.flatnonzero(cells.any(0)):
        edges = np.flatnonzero(np.diff(cells[:, at].astype(int), prepend=0, append=0))
        found += [[int(at), int(a), int(b - a)] for a, b in edges.reshape(-1, 2)]
    return found


def fixture() -> dict:
    written, readings, clocks, labelled = [], [], [], []
    for name, notes in WRITE_CASES:
        onset, sustain = write([Note(*n) for n in notes], ticks_of(e.METRES.index(name)))
        written.append({"metre": name, "notes": notes, "onsets": np.argwhere(onset).tolist()})
        written[-1]["sustained"] = runs_in(sustain > 0)
    for name, onsets, sustained in READ_CASES:
        roll = np.zeros((2, ticks_of(e.METRES.index(name)), KEYS), bool)
        for tick, at in onsets:
            roll[ONSET, tick, at] = True
        for at, first, length in sustained:
            roll[SUSTAIN, first : first + length, at] = True
        notes = [list(n[:3]) for n in read(roll)]
        readings.append({"metre": name, "onsets": onsets, "sustained": sustained, "notes": notes})
    for name, known in CLOCK_CASES:
        rows = clock(e.METRES.index(name), known)
        case = {"metre": name, "known": int(rows[KNOWN].sum())}
        clocks.append({**case, "bar lines": ticks_set(rows[BAR_LINE]), "beats": ticks_set(rows[BEAT])})
    for name, names in CHORD_CASES:
        metre = e.METRES.index(name)
        classes = [[e.chord_class(x) for x in bar] for bar in names]
        held = [list(n[:3]) for n in pad(classes, metre)]
        labelled.append(
            {"metre": name, "chords": names, "rows": runs_in(chord_rows(classes, metre).T > 0), "pad": held}
        )
    return {"about": ABOUT, "write": written, "read": readings, "clock": clocks, "chords": labelled}


def ticks_set(row: np.ndarray) -> list[int]:
    return np.flatnonzero(row).tolist()


def dump_fixture(cases: dict) -> str:
    """JSON with one case a line."""
    lines = [f'"about": {json.dumps(cases["about"], indent=1)}']
    for name in ("write", "read", "clock", "chords"):
        lines.append(f'"{name}": [\n' + ",\n".join(json.dumps(case) for case in cases[name]) + "\n]")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("fixture", type=Path)
    parser.parse_args().fixture.write_text(dump_fixture(fixture()))


if __name__ == "__main__":
    main()
