"""Songs and answers from and to .mid files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import mido
import numpy as np

from .. import dataset, styles
from .. import encoding as e
from ..dataset import Run
from ..encoding import Bar, Note
from .answers import from_bars

TRACKS = ("Bass", "Chords", "Counter", "Pad")
TICKS_PER_QUARTER = 480
VELOCITY = 80
"""Of a note whose velocity is not known."""


def read_melody(path: Path) -> Run:
    """A .mid file as a run: the track named Melody, or the first with notes; parts by their tracks' names."""
    score = dataset.read_score(path.read_bytes())
    tracks: dict[str, list[Note]] = {}
    for name, notes in score.tracks:
        if notes:
            tracks.setdefault(name.lower(), []).extend(dataset.quantise(notes))
    numerator, denominator = score.metres[0][1:] if score.metres else (4, 4)
    metre = dataset.METRE_OF.get((numerator, denominator))
    if metre is None:
        raise ValueError(f"{path}: metre {numerator}/{denominator} is not one of {', '.join(e.METRES)}")
    melody = tracks.get("melody")
    rows = tuple(sorted(tracks.get(t.lower(), [])) for t in TRACKS)
    if melody is None and not any(rows):
        melody = next(iter(tracks.values()), [])
    melody = sorted(melody or [])
    last = max((n.start for row in (melody, *rows) for n in row), default=0)
    bars = last // e.BAR_TICKS[metre] + 1
    found = np.full((bars, len(e.SEGMENTS[metre])), e.NO_CHORD)
    tempo = score.tempos[0][1] if score.tempos else 120.0
    unknown = np.zeros((bars, len(styles.NAMES)), np.float32)
    run = Run(path.stem, "midi", metre, bars, tempo, (), (*rows[:3], melody), found, unknown)
    run.pad = rows[3]
    return run


def melody_named(path: Path) -> Run:
    """The same for somebody at a shell: what is no melody ends the program in words."""
    try:
        return read_melody(path)
    except (OSError, ValueError, EOFError) as problem:
        said = str(problem)
        raise SystemExit(said if str(path) in said else f"{path}: {said or 'is no MIDI file'}") from None


def write_midi(path: Path, run: Run, answers: Sequence[Bar] = ()) -> None:
    """The melody, and the answers to its bars if there are some."""
    write_rows(path, run, from_bars(run, answers).rows if answers else [])


def write_rows(path: Path, run: Run, rows: Sequence[Sequence[Note]]) -> None:
    """The melody of a run, and rows of notes as tracks named by `TRACKS`."""
    midi = mido.MidiFile(ticks_per_beat=TICKS_PER_QUARTER)
    head = mido.MidiTrack()
    numerator, denominator = (int(x) for x in e.METRES[run.metre].split("/"))
    head.append(mido.MetaMessage("time_signature", numerator=numerator, denominator=denominator))
    head.append(mido.MetaMessage("set_tempo", tempo=round(60e6 / run.tempo)))
    midi.tracks.append(head)
    for name, notes in (("Melody", run.melody), *zip(TRACKS, rows, strict=False)):
        midi.tracks.append(track(name, notes))
    midi.save(path)


def track(name: str, notes: Sequence[Note]) -> mido.MidiTrack:
    written = mido.MidiTrack()
    written.append(mido.MetaMessage("track_name", name=name))
    scale, events = TICKS_PER_QUARTER // e.GRID, []
    for note in notes:
        events.append((note.start * scale, 1, note.key, note.velocity or VELOCITY))
        events.append(((note.start + note.duration) * scale, 0, note.key, 0))
    now = 0
    for tick, on, key, velocity in sorted(events):
        kind = "note_on" if on else "note_off"
        written.append(mido.Message(kind, note=key, velocity=velocity, time=tick - now))
        now = tick
    return written


def file_name(run: Run) -> str:
    return run.song.replace("/", "--")


def export_melodies(runs: Sequence[Run], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for run in runs:
        write_midi(folder / f"{file_name(run)}.mid", run)
    print(f"{len(runs)} melodies in {folder}")
