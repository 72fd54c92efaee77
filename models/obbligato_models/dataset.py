"""Reads the symbolic music archives into one file of songs on the 12-tick grid.

python -m obbligato_models.dataset --data DIR --out data/songs.npz      (DIR may also stand in OBBLIGATO_DATA)

DIR has one folder a set (pop909, lieder, ...), each with its `.tar.gz` archive; archives are read without unpacking.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import math
import os
import tarfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import mido
import numpy as np
from tqdm import tqdm

from . import chords, styles
from . import encoding as e
from .encoding import Attributes, Bar, Note

METRE_OF = {(4, 4): 0, (2, 2): 0, (3, 4): 1, (2, 4): 2, (6, 8): 3}
FEWEST_BARS = 4
HIGHEST_BASS = 50
"""D3: the lowest note of an onset up to here is bass."""
LATE = 0.01
"""A note this share of a tick before the middle between two ticks goes to the later one (rounding in the files)."""
VALIDATION, TEST = 8, 4
"""Per cent of the songs."""
PLAYED = 2.0
"""Music whose velocities deviate by less (standard deviation) was not played but written."""
MELODY_ROW = 3
"""Where the melody stands in a table of notes, after the three parts."""


@dataclass(frozen=True)
class Set:
    archive: str
    melody: str
    bass: tuple[str, ...] = ()
    chords: tuple[str, ...] = ()
    piano: tuple[str, ...] = ()
    counter: str | None = None
    labels: str | None = None


HYMN = {"melody": "SOPRANO", "bass": ("BASS",), "chords": ("ALTO", "TENOR")}
SETS = {
    "pop909": Set("pop909_aligned.tar.gz", "MELODY", piano=("PIANO",), counter="BRIDGE", labels="CHORD"),
    "lieder": Set("lieder.tar.gz", "VOICE", piano=("PIANO_RH", "PIANO_LH", "PIANO_3")),
    "open_hymnal": Set("open_hymnal.tar.gz", **HYMN),
    "bach_chorales": Set("bach_chorales.tar.gz", **HYMN),
    "openewld": Set("openewld.tar.gz", "MELODY", labels="CHORD"),
    "js_fakes": Set("js_fakes.tar.gz", **HYMN),
    "string_quartets": Set("string_quartets.tar.gz", "VIOLIN_1", bass=("CELLO",), chords=("VIOLIN_2", "VIOLA")),
    "freedoom": Set("freedoom.tar.gz", "LEAD", bass=("BASS",), chords=("CHORDS", "PAD", "RIFF")),
}


@dataclass
class Run:
    """Whole bars of one metre from one song. Note starts in ticks from the run's first bar line."""

    song: str
    source: str
    metre: int
    bars: int
    tempo: float
    parts: tuple[int, ...]
    notes: tuple[list[Note], ...]
    """Bass, chords, counter, melody; each sorted."""
    chords: np.ndarray
    """Chord class, [bars, segments]."""
    styles: np.ndarray
    """[bars, styles]"""
    split: str = "train"
    pad: list[Note] = field(default_factory=list)
    _by_bar: list[list[list[Note]]] | None = field(default=None, repr=False)
    _sums: np.ndarray | None = field(default=None, repr=False)
    _melody_classes: np.ndarray | None = field(default=None, repr=False)

    @property
    def loudness(self) -> float | None:
        """Mean velocity of the parts; None where they were written down and not played."""
        velocities = [n.velocity for row in self.notes[:MELODY_ROW] for n in row if n.velocity]
        if not velocities or np.std(velocities) < PLAYED:
            return None
        return float(np.mean(velocities))

    @property
    def ticks(self) -> int:
        return e.BAR_TICKS[self.metre]

    @property
    def melody(self) -> list[Note]:
        return self.notes[MELODY_ROW]

    def by_bar(self) -> list[list[list[Note]]]:
        """[row][bar] to notes, starts from the bar's line; melody with what still sounds from earlier bars."""
        if self._by_bar is None:
            self._by_bar = [
                in_bars(notes, self.bars, self.ticks, row == MELODY_ROW) for row, notes in enumerate(self.notes)
            ]
        return self._by_bar

    def bar(self, index: int, asked: Sequence[int], jam: bool) -> Bar:
        rows = self.by_bar()
        parts = {part: rows[part][index] for part in asked}
        return Bar(self.metre, rows[MELODY_ROW][index], self.chords[index].tolist(), parts, jam)

    def melody_classes(self) -> np.ndarray:
        """What share of each segment each pitch class sounds in the melody, [bars, segments, 12]."""
        if self._melody_classes is None:
            sounds = np.zeros((self.bars * self.ticks, 12), np.float32)
            for note in self.melody:
                sounds[note.start : note.start + note.duration, note.key % 12] = 1
            size = e.SEGMENTS[self.metre][0][1]
            self._melody_classes = sounds.reshape(self.bars, -1, size, 12).mean(2)
        return self._melody_classes

    def attributes(self, part: int, bars: slice) -> Attributes:
        """Measured over some bars, from running sums of onsets, notes, keys and durations."""
        if self._sums is None:
            sums = np.zeros((self.bars + 1, len(e.PARTS), 4))
            for p in range(len(e.PARTS)):
                for b, notes in enumerate(self.by_bar()[p]):
                    lengths = sum(min(48, n.duration) for n in notes)
                    sums[b + 1, p] = len({n.start for n in notes}), len(notes), sum(n.key for n in notes), lengths
            self._sums = sums.cumsum(0)
        onsets, notes, keys, ticks = self._sums[bars.stop, part] - self._sums[bars.start, part]
        if not notes:
            return Attributes(density=0.0)
        quarters = (bars.stop - bars.start) * self.ticks / e.GRID
        return Attributes(onsets / quarters, keys / notes, ticks / notes, notes / onsets)


def in_bars(notes: list[Note], bars: int, ticks: int, with_ties: bool) -> list[list[Note]]:
    rows: list[list[Note]] = [[] for _ in range(bars)]
    for note in notes:
        first = note.start // ticks
        last = (note.start + note.duration - 1) // ticks if with_ties else first
        for bar in range(first, min(last, bars - 1) + 1):
            rows[bar].append(note._replace(start=note.start - bar * ticks))
    return rows


# Reading MIDI


@dataclass
class Score:
    """A MIDI file with times in quarters."""

    tracks: list[tuple[str, list[tuple[float, float, int, int]]]]
    """Name, and notes: start, end, key, velocity."""
    metres: list[tuple[float, int, int]]
    tempos: list[tuple[float, float]]
    end: float


def read_score(data: bytes) -> Score:
    midi = mido.MidiFile(file=io.BytesIO(data))
    tracks, metres, tempos, end = [], [], [], 0.0
    for track in midi.tracks:
        now, notes = 0, []
        struck: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
        for message in track:
            now += message.time
            if message.type == "note_on" and message.velocity:
                struck[message.channel, message.note].append((now, message.velocity))
            elif message.type in ("note_on", "note_off") and struck[message.channel, message.note]:
                start, velocity = struck[message.channel, message.note].pop(0)
                notes.append((start / midi.ticks_per_beat, now / midi.ticks_per_beat, message.note, velocity))
            elif message.type == "time_signature":
                metres.append((now / midi.ticks_per_beat, message.numerator, message.denominator))
            elif message.type == "set_tempo":
                tempos.append((now / midi.ticks_per_beat, 60e6 / message.tempo))
        end = max(end, now / midi.ticks_per_beat)
        tracks.append((track.name.strip(), sorted(notes)))
    return Score(tracks, sorted(metres), sorted(tempos), end)


def quantise(notes: list[tuple[float, float, int, int]]) -> list[Note]:
    ticks = [(grid(start), grid(end), key, velocity) for start, end, key, velocity in notes]
    return sorted(Note(start, max(1, end - start), key, velocity) for start, end, key, velocity in ticks)


def grid(quarters: float) -> int:
    return math.floor(quarters * e.GRID + 0.5 + LATE)


def stretches(score: Score) -> Iterator[tuple[int, int, int]]:
    """Stretches of whole bars of one known metre: (start tick, metre, bars)."""
    events = score.metres if score.metres and score.metres[0][0] <= 0 else [(0.0, 4, 4), *score.metres]
    open_start, open_metre, open_bars = 0, -1, 0
    for i, (start, numerator, denominator) in enumerate(events):
        end = events[i + 1][0] if i + 1 < len(events) else score.end
        metre = METRE_OF.get((numerator, denominator), -1)
        start_tick, ticks = grid(start), grid(end) - grid(start)
        last = i + 1 == len(events)
        bars = 0 if metre < 0 else -(-ticks // e.BAR_TICKS[metre]) if last else ticks // e.BAR_TICKS[metre]
        joins = metre == open_metre and start_tick == open_start + open_bars * e.BAR_TICKS[metre]
        if joins:
            open_bars += bars
        else:
            if open_bars:
                yield open_start, open_metre, open_bars
            open_start, open_metre, open_bars = start_tick, metre, bars
    if open_bars:
        yield open_start, open_metre, open_bars


def split_piano(notes: list[Note]) -> tuple[list[Note], list[Note]]:
    bass, rest = [], []
    onsets: dict[int, list[Note]] = defaultdict(list)
    for note in notes:
        onsets[note.start].append(note)
    for group in onsets.values():
        group.sort(key=lambda n: n.key)
        low = 1 if group[0].key <= HIGHEST_BASS else 0
        bass += group[:low]
        rest += group[low:]
    return bass, rest


def named(score: Score, names: Sequence[str]) -> list[Note]:
    return sorted(n for name, notes in score.tracks if name in names for n in quantise(notes))


def name_voices(score: Score) -> Score:
    """Four voices without names get theirs by mean pitch, from high to low."""
    voices = [notes for _, notes in score.tracks if notes]
    if len(voices) != 4:
        raise ValueError(f"{len(voices)} voices, not four")
    voices.sort(key=lambda notes: -sum(key for _, _, key, _ in notes) / len(notes))
    names = ("SOPRANO", "ALTO", "TENOR", "BASS")
    return Score(list(zip(names, voices, strict=True)), score.metres, score.tempos, score.end)


def runs_of(song: str, source: str, score: Score) -> list[Run]:
    tracks = SETS[source]
    if source == "js_fakes":
        score = name_voices(score)
    melody = named(score, [tracks.melody])
    if not melody:
        raise ValueError(f"no notes in the track {tracks.melody}")
    bass, upper = split_piano(named(score, tracks.piano))
    rows = (
        sorted(bass + named(score, tracks.bass)),
        sorted(upper + named(score, tracks.chords)),
        named(score, [tracks.counter]) if tracks.counter else [],
        melody,
    )
    labels = named(score, [tracks.labels]) if tracks.labels else None
    runs = []
    for start, metre, bars in stretches(score):
        run = cut(song, source, rows, labels, score.tempos, start, metre, bars)
        if run:
            runs.append(run)
    return runs


def cut(song, source, rows, labels, tempos, start: int, metre: int, bars: int) -> Run | None:
    """One run; silent bars at both ends are left out."""
    ticks = e.BAR_TICKS[metre]
    inside = [n.start for row in rows for n in row if start <= n.start < start + bars * ticks]
    if not inside:
        return None
    skipped = (min(inside) - start) // ticks
    bars = (max(inside) - start) // ticks + 1 - skipped
    start += skipped * ticks
    if bars < FEWEST_BARS:
        return None
    end = start + bars * ticks
    cut_rows = tuple([n._replace(start=n.start - start) for n in row if start <= n.start < end] for row in rows)
    if not cut_rows[MELODY_ROW]:
        return None
    parts = tuple(p for p in range(len(e.PARTS)) if cut_rows[p])
    accompaniment = sorted(cut_rows[e.BASS] + cut_rows[e.CHORDS])
    if labels is not None:
        labels = [n._replace(start=n.start - start) for n in labels]
    found = np.array(segment_chords(cut_rows[MELODY_ROW], accompaniment, labels, metre, bars), np.int16)
    style = styles.weigh(source, in_bars(accompaniment, bars, ticks, with_ties=False))
    tempo = [t for at, t in tempos if grid(at) <= start]
    return Run(song, source, metre, bars, tempo[-1] if tempo else 100.0, parts, cut_rows, found, style)


def segment_chords(melody, accompaniment, labels, metre: int, bars: int) -> list[list[int]]:
    ticks, found = e.BAR_TICKS[metre], []
    rows = [in_bars(r, bars, ticks, with_ties=True) if r is not None else None for r in (melody, accompaniment)]
    label_rows = (
        in_bars([n for n in labels if n.start + n.duration > 0], bars, ticks, True) if labels is not None else None
    )
    for bar in range(bars):
        found.append([])
        for start, end in e.SEGMENTS[metre]:
            if label_rows is not None:
                found[-1].append(chords.from_chord_track(label_rows[bar], start, end))
            else:
                found[-1].append(chords.label(rows[0][bar], rows[1][bar], start, end))
    return found


# The sets


class Unreadable(Exception):
    """Says what is wrong with the data folder and what to do."""


def archives(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise Unreadable(f"{folder} is not a folder: name the one that holds {', '.join(SETS)} with --data")
    found = {name: folder / name / s.archive for name, s in SETS.items() if (folder / name / s.archive).is_file()}
    if not found:
        raise Unreadable(f"{folder} holds none of the archives, e.g. pop909/{SETS['pop909'].archive}")
    for name, path in found.items():
        if not os.access(path, os.R_OK) or not tarfile.is_tarfile(path):
            raise Unreadable(
                f"{path} cannot be read as a .tar.gz archive: fetch {name} again, or check its permissions"
            )
    return found


def usable_pop909(folder: Path) -> set[str]:
    lines = (folder / "pop909" / "index.tsv").read_text().splitlines()
    names = lines[0].split("\t")
    rows = [dict(zip(names, line.split("\t"), strict=False)) for line in lines[1:]]
    return {
        r["id"]
        for r in rows
        if r.get("bars_reliable") == "1" and r.get("triplet_feel") == "0" and r.get("meter_uncertain") == "0"
    }


def roles(folder: Path) -> dict[str, dict[tuple[str, int], str]]:
    """Freedoom: of each song, the role of a track by its name and number of notes. Of the leads the one with most notes
    has the melody, and the others are left out, as are doubled tracks."""
    lines = (folder / "freedoom" / "roles.tsv").read_text().splitlines()
    names = lines[0].split("\t")
    songs: dict[str, dict[tuple[str, int], str]] = defaultdict(dict)
    for line in lines[1:]:
        row = dict(zip(names, line.split("\t"), strict=False))
        songs[row["id"]][row["track_name"].strip(), int(row["notes"])] = row["suggested_role"]
    for found in songs.values():
        leads = [track for track, role in found.items() if role == "LEAD"]
        for track in leads:
            if track != max(leads, key=lambda t: t[1]):
                found[track] = "MID"
    return songs


def name_roles(score: Score, found: dict[tuple[str, int], str]) -> Score:
    """Tracks named by their roles; of two tracks with the same notes one."""
    tracks, seen = [], set()
    for name, notes in score.tracks:
        starts = tuple((round(start * e.GRID), key) for start, _, key, _ in notes)
        if notes and starts not in seen:
            seen.add(starts)
            tracks.append((found.get((name, len(notes)), ""), notes))
    return Score(tracks, score.metres, score.tempos, score.end)


def read_set(
    name: str, path: Path, keep: set[str] | None, named_by: dict | None = None
) -> Iterator[tuple[str, list[Run], str]]:
    """(song, runs, what was wrong)."""
    with tarfile.open(path) as archive:
        members = sorted((m for m in archive.getmembers() if m.name.endswith(".mid")), key=lambda m: m.offset)
        for member in tqdm(members, desc=name, unit="file"):
            stem = Path(member.name).with_suffix("")
            song = f"{name}/{stem.parent.name}-{stem.name}" if name == "js_fakes" else f"{name}/{stem.name}"
            if keep is not None and stem.name not in keep:
                continue
            try:
                score = read_score(archive.extractfile(member).read())
                if named_by is not None:
                    score = name_roles(score, named_by.get(stem.name, {}))
                yield song, runs_of(song, name, score), ""
            except Exception as problem:  # A broken file can fail in many ways; it is counted, listed and skipped.
                yield song, [], f"{type(problem).__name__}: {problem}"


# Splitting by song


def fingerprints(runs: Sequence[Run], length: int = 9) -> set[tuple[int, ...]]:
    """Melody intervals, nine in a row: the same in every key."""
    found = set()
    for run in runs:
        top = {n.start: n.key for n in run.melody}
        keys = [top[t] for t in sorted(top)]
        steps = [b - a for a, b in zip(keys, keys[1:], strict=False)]
        for i in range(len(steps) - length + 1):
            gram = tuple(steps[i : i + length])
            if len(set(gram)) > 2:
                found.add(gram)
    return found


def families(songs: dict[str, list[Run]], shared: float = 0.25, common: int = 12) -> dict[str, str]:
    """Song to the first song of its family: those that share a quarter of the smaller one's fingerprints."""
    prints = {song: fingerprints(runs) for song, runs in songs.items()}
    holders: dict[tuple[int, ...], list[str]] = defaultdict(list)
    for song, grams in prints.items():
        for gram in grams:
            holders[gram].append(song)
    pairs: Counter[tuple[str, str]] = Counter()
    for held_by in holders.values():
        if len(held_by) <= common:
            pairs.update((a, b) for i, a in enumerate(held_by) for b in held_by[i + 1 :])
    first = {song: song for song in songs}

    def root(song: str) -> str:
        while first[song] != song:
            song = first[song]
        return song

    for (a, b), count in pairs.items():
        if count >= 3 and count >= shared * min(len(prints[a]), len(prints[b])):
            one, other = sorted((root(a), root(b)))
            first[other] = one
    return {song: root(song) for song in songs}


def split_songs(songs: dict[str, list[Run]]) -> dict[str, str]:
    """Song to train, validation or test, families together. Machine-made music alone is for training only."""
    family = families(songs)
    real = {family[song] for song in songs if not song.startswith("js_fakes/")}
    sides = {}
    for song in songs:
        name = family[song]
        place = int(hashlib.sha256(name.encode()).hexdigest(), 16) % 100
        side = "test" if place < TEST else "validation" if place < TEST + VALIDATION else "train"
        sides[song] = side if name in real else "train"
    return sides


# Files


def save(path: Path, runs: list[Run], statistics: dict) -> None:
    heads, notes, labels, weights = [], [], [], []
    for run in runs:
        heads.append(
            [
                run.song,
                run.source,
                run.split,
                run.metre,
                run.bars,
                run.tempo,
                list(run.parts),
                [len(r) for r in run.notes],
            ]
        )
        notes += [n for row in run.notes for n in row]
        labels.append(run.chords.ravel())
        weights.append(run.styles)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        path,
        heads=np.frombuffer(json.dumps(heads).encode(), np.uint8),
        statistics=np.frombuffer(json.dumps(statistics).encode(), np.uint8),
        notes=np.array(notes, np.int32),
        chords=np.concatenate(labels),
        styles=np.concatenate(weights).astype(np.float16),
    )


def load(path: Path, split: str | None = None) -> list[Run]:
    try:
        stored = np.load(path)
    except (OSError, EOFError, ValueError):
        raise SystemExit(f"{path}: there is no data set of this name (python -m obbligato_models.dataset)") from None
    with stored as file:
        heads = json.loads(file["heads"].tobytes())
        notes, labels, weights = file["notes"].tolist(), file["chords"], file["styles"].astype(np.float32)
    runs, at_note, at_label, at_bar = [], 0, 0, 0
    for song, source, side, metre, bars, tempo, parts, counts in heads:
        rows = []
        for count in counts:
            rows.append([Note(*n) for n in notes[at_note : at_note + count]])
            at_note += count
        segments = bars * len(e.SEGMENTS[metre])
        found = labels[at_label : at_label + segments].reshape(bars, -1)
        style = weights[at_bar : at_bar + bars]
        at_label, at_bar = at_label + segments, at_bar + bars
        if split in (None, side):
            runs.append(Run(song, source, metre, bars, tempo, tuple(parts), tuple(rows), found, style, side))
    return runs


def count_up(runs: list[Run], broken: list[str], skipped: int) -> dict:
    table: dict = {}
    for source in SETS:
        mine = [r for r in runs if r.source == source]
        if mine:
            table[source] = {
                "songs": {
                    side: len({r.song for r in mine if r.split == side}) for side in ("train", "validation", "test")
                },
                "runs": len(mine),
                "bars": sum(r.bars for r in mine),
                "melody notes": sum(len(r.melody) for r in mine),
                "part notes": [sum(len(r.notes[p]) for r in mine) for p in range(3)],
                "metres": {m: sum(r.bars for r in mine if r.metre == i) for i, m in enumerate(e.METRES)},
                "no chord": round(float(np.mean(np.concatenate([r.chords.ravel() for r in mine]) == e.NO_CHORD)), 4),
            }
    return {"sets": table, "songs without a usable stretch": skipped, "broken files": broken}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data", type=Path, default=os.environ.get("OBBLIGATO_DATA"), required="OBBLIGATO_DATA" not in os.environ
    )
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    try:
        found = archives(Path(arguments.data))
    except Unreadable as problem:
        raise SystemExit(f"dataset: {problem}") from None
    songs: dict[str, list[Run]] = {}
    broken, skipped = [], 0
    for name, path in found.items():
        keep = usable_pop909(Path(arguments.data)) if name == "pop909" else None
        named_by = roles(Path(arguments.data)) if name == "freedoom" else None
        for song, runs, problem in read_set(name, path, keep, named_by):
            if problem:
                broken.append(f"{song}: {problem}")
            elif runs:
                songs[song] = runs
            else:
                skipped += 1
    sides = split_songs(songs)
    runs = [run for song in songs for run in songs[song]]
    for run in runs:
        run.split = sides[run.song]
    statistics = count_up(runs, broken, skipped)
    save(arguments.out, runs, statistics)
    arguments.out.with_suffix(".json").write_text(json.dumps(statistics, indent=1) + "\n")
    print(json.dumps(statistics, indent=1))


if __name__ == "__main__":
    main()
