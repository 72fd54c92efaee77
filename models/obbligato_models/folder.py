"""A user's folder of MIDI files as training music: any tracks, any resolution, files of format 0 and 1.

python -m obbligato_models.folder FOLDER        (says what of it can be used, and why the rest cannot)

Nobody has told these files which track is the melody, so the roles are guessed (`roles_of`): by name, else the melody
is the highest line that plays mostly one note at a time, the bass is a bass by its program or the lowest line, a second
single line is the counter-melody, and everything else is chords. A piano that plays all of it is taken apart by height.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import mido
import numpy as np
from tqdm import tqdm

from . import encoding as e
from .dataset import FEWEST_BARS, MELODY_ROW, METRE_OF, Run, cut, families, quantise, split_piano, stretches

SOURCE = "folder"

DRUM_CHANNEL = 9
BASS_PROGRAMS = range(32, 40)
"""General MIDI's basses."""
LARGEST_BYTES = 16 << 20
LONGEST_QUARTERS = 40_000
"""More than five hours; a file that says so is broken."""
FEWEST_NOTES = 8
"""A line with fewer is an effect, not a part."""
SINGLE = 0.8
"""A line is single where this share of its onsets has one note."""
ALIKE = 0.9
"""A line that shares so much of its notes with an earlier one doubles it."""
INDEPENDENT = 0.35
"""A counter-melody has this share of its onsets where the melody has none; inner voices of a hymn have fewer."""
HIGHEST_BASS, BELOW = 60, 0.9
"""C4: a single line without a bass's name or program is a bass if this share of its notes lies no higher; one that
climbs more is a pianist's left hand."""
HIGHEST_BASS_MEAN = 52.0
"""E3, of its keys."""
LOWEST_TOP = 57
"""A3: the top notes of a piano that lie lower are no melody."""
STRETCH_QUARTERS = 4.0
OCTAVE = 12.0
EXACT = 0.05
"""Ticks, quarters or beats: what lies nearer counts as on the line."""
WRITTEN = 0.75
"""Where this share of the onsets is exactly on ticks the music was written, or quantised, and stays as it is."""
FOLLOWS = 0.25
"""How sharply played onsets gather around the beat's divisions: with a click .4 to .9, in free playing near 0."""
CLEARLY = 1.4
"""Bar lines are moved where another beat is so many times stronger. Of songs with right bar lines 3 in 100 are moved,
of those that are a beat off 9 in 10 are put right (pop; hymns 2 in 3)."""
READ_AS = {(12, 8): (6, 8), (6, 4): (3, 4), (4, 2): (4, 4), (8, 4): (4, 4), (8, 8): (4, 4), (4, 8): (2, 4)}
"""Metres whose bars fall into whole bars of one that the model knows."""
FEWEST_USABLE_BARS = 64
FEWEST_SONGS = 2
HELD_OUT = 8
"""One song in so many is kept for validation."""

MELODY_WORDS = (
    "melody melodie melodia mélodie melodía tune cantus",
    "vocal vocals vox voice voz voix voce gesang stimme sing singer soprano sopran",
    "lead solo theme canto treble discant",
)
"""What people call the track one sings or plays alone, the surest first: the words of src/midi_file/melody_line.rs."""
OTHER_WORDS = {
    "drums": "drum drums percussion perc schlagzeug batterie",
    "bass": "bass bajo basse basso kontrabass contrabass cello violoncello continuo",
    "chords": "backing background bg choir chorus harmony chord chords accomp accompaniment comp pad rhythm left "
    "strings",
    "counter": "bridge counter countermelody counterpoint obbligato descant fills",
}
"""Of a name that fits several, the first role counts; each of them before melody."""


class Unusable(Exception):
    """Says in words why a file cannot be learnt from."""


class Struck(NamedTuple):
    """A note as the file has it, in quarters."""

    start: float
    end: float
    key: int
    velocity: int


@dataclass
class Line:
    """The notes of one channel of one track."""

    name: str
    program: int
    drums: bool
    notes: list[Struck]

    @property
    def mean_key(self) -> float:
        return sum(n.key for n in self.notes) / len(self.notes)

    def single_share(self) -> float:
        """Share of its onsets that have one note."""
        onsets = Counter(round(n.start * e.GRID) for n in self.notes)
        return sum(count == 1 for count in onsets.values()) / len(onsets)

    def lies_low(self) -> bool:
        below = sum(n.key <= HIGHEST_BASS for n in self.notes)
        return self.mean_key < HIGHEST_BASS_MEAN and below >= BELOW * len(self.notes)

    def words(self) -> set[str]:
        return set(re.split(r"[^a-zà-ÿ]+", self.name.lower()))

    def called(self) -> str | None:
        """The role its name speaks of, if it is not a melody's."""
        return next((role for role, known in OTHER_WORDS.items() if self.words() & set(known.split())), None)

    def melody_rank(self) -> int:
        """0 where the name does not speak of a melody, more the surer it does."""
        if self.called():
            return 0
        found = [i for i, known in enumerate(MELODY_WORDS) if self.words() & set(known.split())]
        return len(MELODY_WORDS) - found[0] if found else 0

    def height(self, end: float) -> float:
        """In semitones, less what speaks against a melody: chords, long silence, another role's name."""
        stretches = {int(n.start / STRETCH_QUARTERS) for n in self.notes}
        silence = 1 - len(stretches) / max(1, -(-end // STRETCH_QUARTERS))
        chordal = 1 - self.single_share()
        named = OCTAVE if self.called() else 0
        return self.mean_key - 1.5 * OCTAVE * chordal - 2 * OCTAVE * silence**2 - named


@dataclass
class Song:
    """A file's lines with its metres (quarters, numerator, denominator) and tempos (quarters, quarters a minute)."""

    lines: list[Line]
    metres: list[tuple[float, int, int]]
    tempos: list[tuple[float, float]]
    end: float


# Reading


def read_song(data: bytes) -> Song:
    """Raises Unusable, or whatever mido finds wrong with a broken file."""
    if len(data) > LARGEST_BYTES:
        raise Unusable(f"larger than {LARGEST_BYTES >> 20} MB")
    if not data.startswith(b"MThd"):
        raise Unusable("not a MIDI file")
    if data[12] & 0x80:
        raise Unusable("counts time in SMPTE frames, so it has no bars: export it with beats")
    midi = mido.MidiFile(file=io.BytesIO(data), clip=True)
    if midi.type == 2:
        raise Unusable("format 2 (several songs in one): export the songs one by one")
    if midi.ticks_per_beat <= 0:
        raise Unusable("says that a beat has no ticks")
    song = Song([], [], [], 0.0)
    for track in midi.tracks:
        read_track(track, midi.ticks_per_beat, song)
    if song.end > LONGEST_QUARTERS:
        raise Unusable(f"longer than {LONGEST_QUARTERS} quarter notes")
    song.metres.sort()
    song.tempos.sort()
    return song


def read_track(track: mido.MidiTrack, resolution: int, song: Song) -> None:
    now, name, programs = 0, "", {}
    notes: dict[int, list[Struck]] = defaultdict(list)
    sounding: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)

    def release(channel: int, key: int) -> None:
        start, velocity = sounding[channel, key].pop(0)
        notes[channel].append(Struck(start / resolution, max(now, start + 1) / resolution, key, velocity))

    for message in track:
        now += message.time
        if message.type == "note_on" and message.velocity:
            sounding[message.channel, message.note].append((now, message.velocity))
        elif message.type in ("note_on", "note_off"):
            if sounding[message.channel, message.note]:
                release(message.channel, message.note)
        elif message.type == "program_change":
            programs.setdefault(message.channel, message.program)
        elif message.type in ("track_name", "instrument_name"):
            name = name or message.name.strip()
        elif message.type == "time_signature":
            song.metres.append((now / resolution, message.numerator, message.denominator))
        elif message.type == "set_tempo" and message.tempo > 0:
            song.tempos.append((now / resolution, 60e6 / message.tempo))
    for (channel, key), struck in sounding.items():
        for _ in list(struck):
            release(channel, key)
    song.end = max(song.end, now / resolution)
    name = name if len(notes) == 1 else ""  # A track of many instruments has the song's name.
    for channel, row in sorted(notes.items()):
        line = Line(name, programs.get(channel, 0), channel == DRUM_CHANNEL, sorted(row))
        line.drums = line.drums or line.called() == "drums"
        song.lines.append(line)


# Roles


class Roles(NamedTuple):
    """The lines of a song, sorted. A piano's bass is still in `piano`."""

    melody: list[Struck]
    bass: list[Struck]
    piano: list[Struck]
    """Chords and bass together."""
    chords: list[Struck]
    counter: list[Struck]


def roles_of(song: Song) -> Roles:
    """Who plays what. Raises Unusable where nothing accompanies."""
    pitched = [line for line in song.lines if not line.drums]
    lines = without_doubles([line for line in pitched if len(line.notes) >= FEWEST_NOTES])
    if not lines:
        raise Unusable("no line with notes" if not pitched and not song.lines else "drums or a few notes only")
    melody = max(lines, key=lambda line: (line.melody_rank(), line.height(song.end)))
    others = [line for line in lines if line is not melody]
    tune, rest = (melody.notes, []) if melody.single_share() >= SINGLE else top_of(melody.notes)
    bass = bass_of(others)
    others = [line for line in others if line is not bass]
    counter = counter_of(others, tune)
    chords = sorted([n for line in others if line is not counter for n in line.notes] + rest)
    if not (bass or counter or chords):
        raise Unusable("one line only: nothing accompanies it")
    if not tune:
        raise Unusable("no melody")
    low, upper = (bass.notes, chords) if bass else ([], [])
    return Roles(tune, low, [] if bass else chords, upper, counter.notes if counter else [])


def without_doubles(lines: Sequence[Line]) -> list[Line]:
    """Leaves out lines that play what another does, on another instrument."""
    kept: list[tuple[Line, set]] = []
    for line in sorted(lines, key=lambda line: -line.melody_rank()):
        notes = {(round(n.start * e.GRID), n.key) for n in line.notes}
        if not any(len(notes & other) >= ALIKE * max(len(notes), len(other)) for _, other in kept):
            kept.append((line, notes))
    return [line for line, _ in kept]


def top_of(notes: Sequence[Struck]) -> tuple[list[Struck], list[Struck]]:
    """The top notes of a piano, as long as no higher one of them still sounds, and the rest."""
    onsets: dict[int, list[Struck]] = defaultdict(list)
    for note in notes:
        onsets[round(note.start * e.GRID)].append(note)
    top: list[Struck] = []
    rest: list[Struck] = []
    for _, group in sorted(onsets.items()):
        highest = max(group, key=lambda n: n.key)
        covered = any(n.end - highest.start > 1 / e.GRID and n.key > highest.key for n in top[-8:])
        if highest.key >= LOWEST_TOP and not covered:
            top.append(highest)
            group.remove(highest)
        rest += group
    return top, rest


def bass_of(lines: Sequence[Line]) -> Line | None:
    """None where the bass is the low notes of a piano."""
    single = [line for line in lines if line.single_share() >= SINGLE]
    said = [line for line in single if line.called() == "bass" or line.program in BASS_PROGRAMS]
    low = [line for line in single if line.called() is None and line.lies_low()]
    if said:
        return max(said, key=lambda line: len(line.notes))
    return min(low, key=lambda line: line.mean_key, default=None)


def counter_of(lines: Sequence[Line], melody: Sequence[Struck]) -> Line | None:
    """The second line that goes its own way: the one with that name, else the most independent single one."""
    said = [line for line in lines if line.called() == "counter"]
    free = [line for line in lines if line.called() is None and line.single_share() >= SINGLE]
    struck = {round(n.start * e.GRID) for n in melody}

    def independence(line: Line) -> float:
        onsets = {round(n.start * e.GRID) for n in line.notes}
        return len(onsets - struck) / len(onsets)

    candidates = said or [line for line in free if independence(line) >= INDEPENDENT and line.mean_key >= LOWEST_TOP]
    return max(candidates, key=independence, default=None)


# Bar lines


def on_bar_lines(song: Song) -> int:
    """Brings a song's bar lines to where dataset.stretches looks for them: readable metres, a pickup filled up to a
    bar, played notes on the ticks of the grid. Returns by how many beats the bar lines were off. Raises Unusable where
    the notes do not follow the file's beat."""
    on_the_beat(song)
    readable_metres(song)
    return fill_pickup(song)


def move(song: Song, quarters: float) -> None:
    """Everything but the metres and tempos that hold from the beginning."""
    for line in song.lines:
        line.notes = [n._replace(start=n.start + quarters, end=n.end + quarters) for n in line.notes]
    song.metres = [(at + quarters if at > 0 else 0.0, *metre) for at, *metre in song.metres]
    song.tempos = [(at + quarters if at > 0 else 0.0, tempo) for at, tempo in song.tempos]
    song.end += quarters


def on_the_beat(song: Song) -> None:
    """Music that was played, not written: moved by what it is late on average, each onset to the nearest sixteenth or,
    in beats that lie closer to them, triplet."""
    starts = np.array([n.start for line in song.lines for n in line.notes])
    off = np.abs(starts * e.GRID - np.round(starts * e.GRID))
    if not len(starts) or np.mean(off < EXACT) >= WRITTEN:
        return
    around = {k: np.exp(2j * np.pi * k * starts).mean() for k in (2, 3, 4, 6)}
    division, mean = max(around.items(), key=lambda item: abs(item[1]))
    if abs(mean) < FOLLOWS:
        raise Unusable("the notes do not follow the file's beat: record to a click, or quantise and export again")
    move(song, -float(np.angle(mean)) / (2 * np.pi * division))
    straight: dict[int, float] = defaultdict(float)
    for line in song.lines:
        for note in line.notes:
            place = note.start * 12
            straight[int(note.start // 1)] += abs(place - 4 * round(place / 4)) - abs(place - 3 * round(place / 3))
    for line in song.lines:
        line.notes = [snap(note, 4 if straight[int(note.start // 1)] >= 0 else 3) for note in line.notes]


def snap(note: Struck, division: int) -> Struck:
    start = max(0.0, round(note.start * division) / division)
    return note._replace(start=start, end=max(start + 1 / e.GRID, note.end))


def readable_metres(song: Song) -> None:
    """12/8 as 6/8 and the like; without any metre 4/4. A short first bar, as notation programs write a pickup, becomes
    the end of a whole one. Raises Unusable where no metre is one of the model's."""
    events = song.metres if song.metres and song.metres[0][0] <= 0 else [(0.0, 4, 4), *song.metres]
    last_said = {at: (numerator, denominator) for at, numerator, denominator in events}
    song.metres = [(at, *READ_AS.get(metre, metre)) for at, metre in sorted(last_said.items())]
    if not any((numerator, denominator) in METRE_OF for _, numerator, denominator in song.metres):
        named = ", ".join(sorted({f"{n}/{d}" for _, n, d in song.metres}))
        raise Unusable(f"in {named}; the model knows {', '.join(e.METRES)}")
    fill_short_bar(song)


def fill_short_bar(song: Song) -> None:
    """A first bar of its own metre that is shorter than those after it."""
    if len(song.metres) < 2:
        return
    at, numerator, denominator = song.metres[1]
    bar = 4 * numerator / denominator
    if (numerator, denominator) in METRE_OF and at < bar - EXACT:
        del song.metres[0]
        song.metres[0] = (0.0, numerator, denominator)
        move(song, bar - at)


def fill_pickup(song: Song) -> int:
    """Files made without bar lines in mind begin with a pickup at the first bar line, so that all the others are wrong.
    Where one metre holds and harmony and bass say clearly that bars begin on another beat, they do."""
    if len({m[1:] for m in song.metres}) > 1:
        return 0
    _, numerator, denominator = song.metres[0]
    beats, beat = numerator, 4 / denominator
    strength = accents(song, beats, beat)
    best = int(strength.argmax())
    if not best or strength[best] < CLEARLY * strength[0]:
        return 0
    del song.metres[1:]
    move(song, (beats - best) * beat)
    return best


def accents(song: Song, beats: int, beat: float) -> np.ndarray:
    """How much each beat of the bar sounds like its first, [beats], mean 1: how far the harmony changes there, how low
    and how long the notes are that begin there."""
    count = int(song.end / beat) + 2
    count += -count % beats
    sounds, low, long = np.zeros((count, 12)), np.zeros(count), np.zeros(count)
    for note in (n for line in song.lines if not line.drums for n in line.notes):
        start, end = note.start / beat, note.end / beat
        for at in range(int(start), min(count, int(np.ceil(end)))):
            sounds[at, note.key % 12] += min(end, at + 1) - max(start, at)
        if abs(start - round(start)) < EXACT:
            at = round(start)
            low[at] = max(low[at], 60 - note.key)
            long[at] = max(long[at], min(beats, end - start))
    size = np.linalg.norm(sounds, axis=1)
    change = np.zeros(count)
    both = (size[1:] > 0) & (size[:-1] > 0)
    change[1:][both] = 1 - ((sounds[1:] * sounds[:-1]).sum(1)[both] / (size[1:] * size[:-1])[both])
    found = [values.reshape(-1, beats).sum(0) for values in (change, low, long)]
    return np.mean([beats * values / max(values.sum(), 1e-9) for values in found], axis=0)


# The folder


@dataclass
class Folder:
    """What a folder gave. `skipped` has a reason for each file, `moved` the files whose bar lines were off."""

    songs: dict[str, list[Run]]
    skipped: dict[str, str]
    moved: dict[str, int]

    @property
    def bars(self) -> int:
        return sum(usable_bars(run) for runs in self.songs.values() for run in runs)

    def report(self) -> str:
        files = len(self.songs) + len(self.skipped)
        lines = [f"{files} MIDI files: {len(self.songs)} used ({self.bars} bars), {len(self.skipped)} skipped"]
        lines += [f"  skipped {name}: {reason}" for name, reason in self.skipped.items()]
        lines += [f"  {name}: bars begin {beats} beats later than the file says" for name, beats in self.moved.items()]
        return "\n".join(lines)


class TooLittle(Exception):
    """Says what a folder lacks."""


def usable_bars(run: Run) -> int:
    """Bars in which somebody accompanies."""
    return len({n.start // run.ticks for row in run.notes[:MELODY_ROW] for n in row})


def read_folder(folder: Path) -> Folder:
    """All MIDI files in a folder and those below it, by path. Raises TooLittle where it is no folder or has none."""
    if not folder.is_dir():
        raise TooLittle(f"{folder} is not a folder: name the one with your .mid files")
    found = Folder({}, {}, {})
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".mid", ".midi") and p.is_file())
    if not files:
        raise TooLittle(f"{folder} holds no .mid files")
    for path in tqdm(files, desc="reading", unit="file", disable=None):
        name = path.relative_to(folder).as_posix()
        try:
            runs, beats = runs_of_file(name, path.read_bytes())
        except Unusable as problem:
            found.skipped[name] = str(problem)
        except Exception as problem:  # A broken file can fail in many ways; it is counted, listed and skipped.
            found.skipped[name] = f"broken ({type(problem).__name__}: {problem})"
        else:
            found.songs[name] = runs
            if beats:
                found.moved[name] = beats
    return found


def runs_of_file(name: str, data: bytes) -> tuple[list[Run], int]:
    """The runs of one song, and by how many beats its bar lines were off."""
    song = read_song(data)
    if not song.lines:
        raise Unusable("no notes")
    beats = on_bar_lines(song)
    roles = roles_of(song)
    low, upper = split_piano(quantise(roles.piano))
    rows = (
        sorted(low + quantise(roles.bass)),
        sorted(upper + quantise(roles.chords)),
        quantise(roles.counter),
        quantise(roles.melody),
    )
    found = [cut(name, SOURCE, rows, None, song.tempos, *whole_bars) for whole_bars in stretches(song)]
    runs = [run for run in found if run and run.parts]
    if not runs:
        raise Unusable(f"no {FEWEST_BARS} bars in a row with melody and accompaniment in {', '.join(e.METRES)}")
    return runs, beats


def enough(found: Folder) -> list[Run]:
    """The runs with their sides, one song in eight for validation, at least one. Raises TooLittle."""
    families_of = families(found.songs)
    names = sorted(set(families_of.values()), key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    if found.bars < FEWEST_USABLE_BARS or len(names) < FEWEST_SONGS:
        raise TooLittle(
            f"{found.bars} usable bars of {len(names)} songs are too little to learn a style from: it takes "
            f"at least {FEWEST_USABLE_BARS} bars with melody and accompaniment, of {FEWEST_SONGS} songs or more "
            f"(versions of one song count once). Good results need a thousand bars"
        )
    held_out = set(names[: max(1, len(names) // HELD_OUT)])
    runs = [run for song in found.songs.values() for run in song]
    for run in runs:
        run.split = "validation" if families_of[run.song] in held_out else "train"
    return runs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    try:
        found = read_folder(parser.parse_args().folder)
        print(found.report())
        enough(found)
    except TooLittle as problem:
        print(f"folder: {problem}", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
