"""Small MIDI files made up for tests."""

import io
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import mido

PULSE = 480


@dataclass
class Track:
    """Notes are (start, end, key) in quarters."""

    notes: Sequence[tuple[float, float, int]]
    name: str = ""
    channel: int = 0
    program: int | None = None
    metres: Sequence[tuple[float, int, int]] = field(default_factory=tuple)


def track(given: Track, resolution: int) -> mido.MidiTrack:
    made = mido.MidiTrack([mido.MetaMessage("track_name", name=given.name)])
    if given.program is not None:
        made.append(mido.Message("program_change", program=given.program, channel=given.channel))
    events = [(at, mido.MetaMessage("time_signature", numerator=n, denominator=d)) for at, n, d in given.metres]
    for start, end, key in given.notes:
        events.append((end, mido.Message("note_off", note=key, channel=given.channel)))
        events.append((start, mido.Message("note_on", note=key, velocity=70 + key % 9, channel=given.channel)))
    now = 0
    for at, message in sorted(events, key=lambda event: event[0]):
        tick = max(now, round(at * resolution))
        made.append(message.copy(time=tick - now))
        now = tick
    return made


def midi(tracks: Sequence[Track], metres=((0, 4, 4),), kind: int = 1, resolution: int = PULSE) -> bytes:
    """The file's bytes. Of kind 0 all in one track."""
    rows = [track(Track((), metres=metres), resolution), *(track(t, resolution) for t in tracks)]
    if kind == 0:
        rows = [mido.merge_tracks(rows)]
    file = mido.MidiFile(type=kind, ticks_per_beat=resolution)
    file.tracks.extend(rows)
    data = io.BytesIO()
    file.save(file=data)
    return data.getvalue()


ROOTS = (48, 45, 41, 43)


def line(bars: int, low: int = 67, seed: int = 1, beats: int = 4) -> list[tuple[float, float, int]]:
    """A melody of quarters and eighths."""
    rng = random.Random(seed)
    keys = [low + rng.choice((0, 2, 4, 5, 7, 9)) for _ in range(2 * beats * bars)]
    return [(i / 2, i / 2 + 0.5, key) for i, key in enumerate(keys) if i % 2 == 0 or rng.random() < 0.4]


def bass(bars: int, beats: int = 4) -> list[tuple[float, float, int]]:
    """The roots, a bar each."""
    return [(b * beats, (b + 1) * beats, ROOTS[b % 4] - 12) for b in range(bars)]


def chords(bars: int, beats: int = 4) -> list[tuple[float, float, int]]:
    """A triad on every beat, changing with the bar."""
    third = {48: 4, 45: 3, 41: 4, 43: 4}
    return [
        (b * beats + beat, b * beats + beat + 1, ROOTS[b % 4] + 12 + up)
        for b in range(bars)
        for beat in range(beats)
        for up in (0, third[ROOTS[b % 4]], 7)
    ]


def later(notes, quarters: float):
    return [(start + quarters, end + quarters, key) for start, end, key in notes]


def band(bars: int = 24, seed: int = 1) -> list[Track]:
    """Without names: melody, chords, bass."""
    return [Track(chords(bars), channel=1), Track(line(bars, seed=seed)), Track(bass(bars), channel=2, program=33)]
