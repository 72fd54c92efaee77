"""Reads drum takes (Groove) and drums with their band (Freedoom) into one file of strokes on the 12-tick grid.

python -m obbligato_models.drums.dataset --data DIR --out data/drums.npz      (DIR may also stand in OBBLIGATO_DATA)

DIR has the folders `groove` and `freedoom`, each with its `.tar.gz` archive and tables; archives are read as they are.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import json
import os
import tarfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import mido
import numpy as np
from tqdm import tqdm

from . import encoding as e
from .encoding import Stroke

STYLES = (
    "Soul and pop", "Country", "Rock", "Game rock", "Dance", "Hip-hop", "Funk", "New Orleans", "Afrobeat", "Latin",
    "Jazz",
)  # fmt: skip
POP, COUNTRY, ROCK, GAME, DANCE, HIPHOP, FUNK, NEW_ORLEANS, AFROBEAT, LATIN, JAZZ = range(11)
PRIMARY = {
    "soul": POP, "pop": POP, "gospel": POP, "country": COUNTRY, "blues": COUNTRY, "rock": ROCK, "punk": ROCK,
    "dance": DANCE, "hiphop": HIPHOP, "funk": FUNK, "neworleans": NEW_ORLEANS, "afrobeat": AFROBEAT,
    "highlife": AFROBEAT, "latin": LATIN, "afrocuban": LATIN, "jazz": JAZZ,
}  # fmt: skip
"""Groove's styles; reggae has too few takes to be one here and goes without a style."""
SECONDARY = {
    "funk": FUNK, "latin": LATIN, "rock": ROCK, "folk": COUNTRY, "rockabilly": COUNTRY, "reggaeton": HIPHOP,
    "soul": POP, "groove6": POP,
}  # fmt: skip
"""Second halves of Groove's style names that weigh as much as the first."""

METRES = {(4, 4): 0, (2, 2): 0, (3, 4): 1, (6, 8): 2}
FEWEST_BARS = 2
REST_BARS = 2
"""So many empty bars divide a take."""
VALIDATION, TEST = 15, 10
"""Per cent of Freedoom's pieces; Groove brings its own split."""
BAND_ROLES = ("CHORDS", "PAD", "RIFF", "MID")


@dataclass
class Take:
    """Whole bars of one metre. Strokes by bar, ticks from the bar line; onsets of others from the first bar line."""

    name: str
    source: str
    split: str
    tempo: float
    metre: int
    """0..2: 4/4, 3/4, 6/8"""
    styles: np.ndarray
    """[styles], all 0 where not known"""
    bars: list[list[Stroke]]
    triplets: np.ndarray
    """[bars, 2]: beats that move in triplets, beats that move at all"""
    bass: list[int] | None = None
    band: list[int] | None = None
    only_fill: bool = False
    fills: np.ndarray = field(default_factory=lambda: np.zeros((0, 1), bool))
    """[bars, segments]"""

    @property
    def ticks(self) -> int:
        return e.BAR_TICKS[self.metre]

    @property
    def kinds(self) -> tuple[int, ...]:
        return e.KINDS_OF_METRE[self.metre]

    @property
    def timed(self) -> bool:
        """Played by a person, so touches can be learnt."""
        return self.source == "groove"


# Time: straight or in triplets


@dataclass(frozen=True)
class Division:
    places: tuple[float, ...]
    """Ticks of a quarter."""
    price: float
    """Negative log likelihood: how rare it is before anything is heard."""
    in_triplets: bool


DIVISIONS = (
    Division((0, 3, 6, 9), 0.0, False),
    Division((0, 4, 8), 0.7, True),
    Division((0, 2, 4, 6, 8, 10), 3.5, True),
    Division((0, 1.5, 3, 4.5, 6, 7.5, 9, 10.5), 4.5, False),
)
SPREAD_SECONDS = 0.018
"""How far from its place a stroke is played, about."""
EARLY = 1.4
"""A stroke up to so many ticks before a quarter belongs to it."""
OWN_HABIT = 1.5
"""How much the take's usual division counts."""


def place_strokes(times: np.ndarray, tempo: float) -> tuple[np.ndarray, np.ndarray, dict[int, bool]]:
    """Times in ticks to grid ticks and deviations; and for each quarter in which something moves, whether in triplets.

    Each quarter gets the division its strokes fit best, with a leaning to what the take does elsewhere."""
    spread = float(np.clip(SPREAD_SECONDS * tempo * e.GRID / 60, 0.3, 0.8))
    quarters = np.floor((times + EARLY) / e.GRID).astype(int)
    inside = times - e.GRID * quarters
    misfit = np.zeros((quarters.max() + 1, len(DIVISIONS)))
    for d, division in enumerate(DIVISIONS):
        distance = np.abs(inside[:, None] - np.array(division.places)).min(1)
        np.add.at(misfit[:, d], quarters, np.minimum(distance / spread, 3) ** 2 / 2)
    prices = np.array([d.price for d in DIVISIONS])
    moving = np.zeros(len(misfit), bool)
    moving[quarters[np.abs(inside) > EARLY]] = True
    first = (misfit + prices).argmin(1)[moving]
    habit = np.bincount(first, minlength=len(DIVISIONS)) + 1.0
    chosen = (misfit + prices - OWN_HABIT * np.log(habit / habit.sum())).argmin(1)
    ticks = np.zeros(len(times), int)
    for d, division in enumerate(DIVISIONS):
        mine = chosen[quarters] == d
        places = np.array(division.places)
        nearest = places[np.abs(inside[mine, None] - places).argmin(1)]
        ticks[mine] = e.GRID * quarters[mine] + np.floor(nearest).astype(int)
    flags = {int(q): DIVISIONS[chosen[q]].in_triplets for q in np.flatnonzero(moving)}
    deviations = times - ticks
    return ticks, deviations - np.median(deviations), flags


def takes_of(
    name: str,
    source: str,
    split: str,
    metre: int,
    tempo: float,
    styles: np.ndarray,
    hits: Sequence[tuple[float, int, int]],
    bass: Sequence[float] | None = None,
    band: Sequence[float] | None = None,
    only_fill: bool = False,
) -> list[Take]:
    """Takes from hits (quarters, key, velocity), divided where the drums rest. Onsets of the others in quarters."""
    hits = sorted((t, e.INSTRUMENT_OF[k], v) for t, k, v in hits if k in e.INSTRUMENT_OF)
    if not hits:
        return []
    times = np.array([t for t, *_ in hits]) * e.GRID
    ticks, deviations, flags = place_strokes(times, tempo)
    length = e.BAR_TICKS[metre]
    bars: list[list[Stroke]] = [[] for _ in range(max(ticks) // length + 1)]
    for tick, deviation, (_, instrument, velocity) in zip(ticks, deviations, hits, strict=True):
        if tick >= 0:
            bars[tick // length].append(Stroke(int(tick % length), instrument, velocity, float(deviation)))
    bars = [e.playable(bar) for bar in bars]
    triplets = np.zeros((len(bars), 2), int)
    for quarter, in_triplets in flags.items():
        bar = min(len(bars) - 1, max(0, quarter * e.GRID // length))
        triplets[bar] += (in_triplets, 1)

    def onsets(given: Sequence[float] | None, first: int, last: int) -> list[int] | None:
        if given is None:
            return None
        there = {round(t * e.GRID) - first * length for t in given}
        return sorted(t for t in there if 0 <= t < (last - first) * length)

    found = []
    for first, last in sounding_stretches(bars):
        part = f"{name}#{len(found)}" if found else name
        onset_lists = onsets(bass, first, last), onsets(band, first, last)
        take = Take(part, source, split, tempo, metre, styles, bars[first:last], triplets[first:last], *onset_lists)
        take.only_fill = only_fill
        take.fills = np.ones((last - first, len(take.kinds)), bool) if only_fill else find_fills(take)
        if only_fill or last - first >= FEWEST_BARS:
            found.append(take)
    return found


def sounding_stretches(bars: Sequence[Sequence[Stroke]]) -> list[tuple[int, int]]:
    """From the first bar with a stroke to the last, divided where some bars in a row have none."""
    stretches: list[tuple[int, int]] = []
    for i, bar in enumerate(bars):
        if not bar:
            continue
        if stretches and i - stretches[-1][1] < REST_BARS:
            stretches[-1] = stretches[-1][0], i + 1
        else:
            stretches.append((i, i + 1))
    return stretches


def in_six_eight(take: Take) -> Take | None:
    """A 4/4 take that moves in triplets, written in 6/8: its triplet eighths are the eighths, two bars to one."""
    moving = take.triplets.sum(0)
    if take.metre != 0 or take.only_fill or moving[0] < 0.8 * moving[1] or moving[1] < len(take.bars):
        return None
    bars: list[list[Stroke]] = []
    for bar in take.bars:
        halves: tuple[list[Stroke], list[Stroke]] = ([], [])
        for stroke in bar:
            exact = 1.5 * stroke.tick
            tick = int(exact)
            late = 1.5 * stroke.deviation + exact - tick
            halves[tick // 36].append(stroke._replace(tick=tick % 36, deviation=late))
        bars += [e.playable(half) for half in halves]
    name, tempo, fills = f"{take.name} in 6/8", 1.5 * take.tempo, take.fills.repeat(2, 0)
    fills[::2, :], fills[1::2, :] = take.fills[:, :1], take.fills[:, 1:]
    straight = np.stack([np.zeros(len(bars), int), np.ones(len(bars), int)], 1)
    return Take(name, take.source, take.split, tempo, 2, take.styles, bars, straight, fills=fills)


# Fills


FAMILIES = np.array([0, 1, 1, 2, 2, 3, 4, 4, 4, 5, 2])
"""Which instruments do the same in a groove: kick, snares, cymbals that keep time, pedal, toms, crash."""
AROUND_BARS = 8
STRANGE = 0.22
"""A fill is less like its neighbours than the take's segments usually are, by so much of full likeness."""
BUSIER = 2
"""It has so many more strokes on snare and toms than is usual."""


def find_fills(take: Take) -> np.ndarray:
    """[bars, segments]: segments that stand out from those around, by snare and toms."""
    fills = np.zeros((len(take.bars), len(take.kinds)), bool)
    for s, kind in enumerate(take.kinds):
        start, end = e.SEGMENTS[kind]
        rows = [[x for x in bar if start <= x.tick < end] for bar in take.bars]
        table = np.zeros((len(rows), 16 * (FAMILIES.max() + 1)), bool)
        for row, strokes in zip(table, rows, strict=True):
            row[[FAMILIES[x.instrument] * 16 + (x.tick - start) // 3 for x in strokes]] = True
        drumming = np.array([sum(FAMILIES[x.instrument] in (1, 4) for x in strokes) for strokes in rows])
        likeness = np.array([likeness_around(table, i) for i in range(len(table))])
        strange = likeness < np.median(likeness) - STRANGE
        fills[:, s] = strange & (drumming >= np.median(drumming) + BUSIER)
    return fills


def likeness_around(table: np.ndarray, i: int) -> float:
    """The middle likeness (shared strokes, twice, of all) to the rows around: fills are often like each other."""
    near = [j for j in range(max(0, i - AROUND_BARS), min(len(table), i + AROUND_BARS + 1)) if j != i]
    shared = (table[near] & table[i]).sum(1)
    total = table[near].sum(1) + table[i].sum()
    likeness = np.divide(2 * shared, total, out=np.zeros(len(near)), where=total > 0)
    return float(np.median(likeness)) if near else 1.0


# The sets


class Unreadable(Exception):
    """Says what is wrong with the data folder and what to do."""


def opened(folder: Path, name: str) -> tuple[Path, list[dict[str, str]]]:
    """The archive of a set and the rows of its index."""
    archive, index = folder / name / f"{name}.tar.gz", folder / name / "index.tsv"
    for path in (archive, index):
        if not os.access(path, os.R_OK):
            raise Unreadable(f"{path} cannot be read: name the folder that holds groove and freedoom with --data")
    if not tarfile.is_tarfile(archive):
        raise Unreadable(f"{archive} is not a .tar.gz archive: fetch {name} again")
    return archive, read_table(index)


def read_table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def members(archive: Path) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(archive) as tar:
        files = sorted((m for m in tar.getmembers() if m.name.endswith(".mid")), key=lambda m: m.offset)
        for member in tqdm(files, desc=archive.parent.name, unit="file"):
            yield member.name, tar.extractfile(member).read()


def note_ons(track: mido.MidiTrack, quarter: int) -> Iterator[tuple[float, mido.Message]]:
    now = 0
    for message in track:
        now += message.time
        if message.type == "note_on" and message.velocity:
            yield now / quarter, message


def style_weights(name: str) -> np.ndarray:
    """Groove's `primary/secondary` as weights."""
    weights = np.zeros(len(STYLES), np.float32)
    first, *rest = name.split("/")
    chosen = [PRIMARY[first]] if first in PRIMARY else []
    chosen += [SECONDARY[part] for part in rest for part in part.split("-") if part in SECONDARY and chosen]
    for style in chosen:
        weights[style] += 1 / len(chosen)
    return weights


def read_groove(folder: Path, broken: list[str]) -> Iterator[Take]:
    archive, index = opened(folder, "groove")
    rows = {f"groove/midi/{row['file']}": row for row in index}
    for name, data in members(archive):
        row = rows.get(name.removeprefix("./"))
        metre = METRES.get(tuple(map(int, row["time_signature"].split("-")))) if row else None
        if metre is None:
            continue
        try:
            midi = mido.MidiFile(file=io.BytesIO(data))
            hits = [(t, m.note, m.velocity) for track in midi.tracks for t, m in note_ons(track, midi.ticks_per_beat)]
            facts = f"groove/{Path(name).stem}@{row['session']}", "groove", row["split"], metre, float(row["bpm"])
            takes = takes_of(*facts, style_weights(row["style"]), hits, only_fill=row["beat_type"] == "fill")
        except Exception as problem:  # A broken file can fail in many ways; it is counted, listed and skipped.
            broken.append(f"{name}: {type(problem).__name__}: {problem}")
            continue
        for take in takes:
            yield take
            other = in_six_eight(take)
            if other:
                yield other


def read_freedoom(folder: Path, broken: list[str]) -> Iterator[Take]:
    archive, index = opened(folder, "freedoom")
    rows = {row["id"]: row for row in index}
    roles: dict[str, dict[int, str]] = defaultdict(dict)
    for row in read_table(folder / "freedoom" / "roles.tsv"):
        roles[row["id"]][int(row["track"])] = row["suggested_role"]
    style = np.eye(len(STYLES), dtype=np.float32)[GAME]
    for name, data in members(archive):
        song = Path(name).stem
        row = rows.get(song, {"n_meters": "9"})
        metre = METRES.get(tuple(map(int, (row.get("meter") or "4/4").split("/"))))
        if int(row["n_meters"]) > 1 or metre is None:
            continue
        try:
            midi = mido.MidiFile(file=io.BytesIO(data))
            heard: dict[str, list] = defaultdict(list)
            for i, track in enumerate(midi.tracks):
                for at, message in note_ons(track, midi.ticks_per_beat):
                    role = "DRUMS" if message.channel == 9 else roles[song].get(i, "")
                    heard[role].append((at, message.note, message.velocity))
            bass = [t for t, *_ in heard["BASS"]] or None
            band = [t for role in BAND_ROLES for t, *_ in heard[role]] or None
            tempo = float(row["tempo_qpm"] or 120)
            split = side_of(song)
            found = takes_of(f"freedoom/{song}", "freedoom", split, metre, tempo, style, heard["DRUMS"], bass, band)
        except Exception as problem:  # As above.
            broken.append(f"{name}: {type(problem).__name__}: {problem}")
            continue
        yield from found


def side_of(song: str) -> str:
    """The same song is always on the same side."""
    place = int(hashlib.sha256(song.encode()).hexdigest(), 16) % 100
    return "test" if place < TEST else "validation" if place < TEST + VALIDATION else "train"


# The file


def save(path: Path, takes: Sequence[Take]) -> None:
    heads, strokes, onsets = [], [], []
    for take in takes:
        lists = [[] if given is None else given for given in (take.bass, take.band)]
        heads.append(
            {
                "name": take.name, "source": take.source, "split": take.split, "tempo": take.tempo, "metre": take.metre,
                "only_fill": take.only_fill, "styles": [round(float(w), 4) for w in take.styles],
                "counts": [len(bar) for bar in take.bars], "triplets": take.triplets.tolist(),
                "fills": take.fills.astype(int).tolist(),
                "bass": None if take.bass is None else len(take.bass),
                "band": None if take.band is None else len(take.band),
            }
        )  # fmt: skip
        strokes += [stroke for bar in take.bars for stroke in bar]
        onsets += [tick for given in lists for tick in given]
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        path, heads=json.dumps(heads), strokes=np.array(strokes, np.float32), onsets=np.array(onsets, np.int32)
    )


def load(path: Path) -> list[Take]:
    with np.load(path) as file:
        heads, strokes, onsets = json.loads(str(file["heads"])), file["strokes"].tolist(), file["onsets"].tolist()
    takes, at, at_onset = [], 0, 0
    for head in heads:
        bars = []
        for count in head["counts"]:
            bars.append([Stroke(int(t), int(i), int(v), d) for t, i, v, d in strokes[at : at + count]])
            at += count
        lists: list[list[int] | None] = []
        for part in ("bass", "band"):
            count = head[part]
            lists.append(None if count is None else onsets[at_onset : at_onset + count])
            at_onset += count or 0
        facts = (head[key] for key in ("name", "source", "split", "tempo", "metre"))
        take = Take(*facts, np.array(head["styles"], np.float32), bars, np.array(head["triplets"]), *lists)
        take.only_fill, take.fills = head["only_fill"], np.array(head["fills"], bool)
        takes.append(take)
    return takes


def count_up(takes: Sequence[Take], broken: list[str]) -> dict:
    table: dict = {}
    for source in ("groove", "freedoom"):
        mine = [take for take in takes if take.source == source]
        long = [take for take in mine if not take.only_fill]
        by_style: Counter[str] = Counter()
        for take in long:
            for style, weight in zip(STYLES, take.styles, strict=True):
                by_style[style] += float(weight) * len(take.bars)
        table[source] = {
            "takes": dict(Counter(take.split for take in mine)),
            "of them only a fill": sum(take.only_fill for take in mine),
            "bars": {m: sum(len(t.bars) for t in mine if t.metre == i) for i, m in enumerate(("4/4", "3/4", "6/8"))},
            "strokes": sum(len(bar) for take in mine for bar in take.bars),
            "bars of grooves by style": {style: round(n) for style, n in by_style.most_common() if n},
        }
    return {"sets": table, "broken files": broken}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data", type=Path, default=os.environ.get("OBBLIGATO_DATA"), required="OBBLIGATO_DATA" not in os.environ
    )
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    broken: list[str] = []
    try:
        folder = Path(arguments.data)
        takes = [*read_groove(folder, broken), *read_freedoom(folder, broken)]
    except Unreadable as problem:
        raise SystemExit(f"drums.dataset: {problem}") from None
    statistics = count_up(takes, broken)
    save(arguments.out, takes)
    arguments.out.with_suffix(".json").write_text(json.dumps(statistics, indent=1) + "\n")
    print(json.dumps(statistics, indent=1))


if __name__ == "__main__":
    main()
