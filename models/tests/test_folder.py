"""A user's files: who plays what, where the bars begin, and what is refused with which words."""

import random

import pytest
from midi_files import Track, band, bass, chords, later, line, midi

from obbligato_models import encoding as e
from obbligato_models import folder
from obbligato_models.dataset import MELODY_ROW
from obbligato_models.folder import TooLittle, Unusable

BARS = 24


def roles(*tracks: Track, kind: int = 1) -> folder.Roles:
    return folder.roles_of(folder.read_song(midi(tracks, kind=kind)))


def same(found, given) -> bool:
    return [(n.start, n.key) for n in found] == sorted((start, key) for start, _, key in given)


HIGH, LOW = line(BARS, 72), line(BARS, 60, seed=2)


@pytest.mark.parametrize("kind", [0, 1])
def test_unnamed_lines_are_told_by_height_and_program(kind):
    found = roles(*band(BARS), kind=kind)
    assert same(found.melody, line(BARS)) and same(found.bass, bass(BARS)) and same(found.chords, chords(BARS))
    assert not found.counter and not found.piano


def test_names_say_more_than_height():
    found = roles(Track(HIGH, "Flute fills"), Track(LOW, "Lead Vocal"), Track(chords(BARS), "Piano"))
    assert same(found.melody, LOW) and same(found.counter, HIGH) and same(found.piano, chords(BARS))


def test_a_second_free_line_is_counter_and_inner_voices_are_chords():
    between = later(line(BARS, 62, seed=5), 0.25)
    assert same(roles(Track(HIGH), Track(between), Track(bass(BARS), program=32)).counter, between)
    alto = [(start, end, key - 5) for start, end, key in HIGH]
    hymn = roles(Track(HIGH, "Soprano"), Track(alto, "Alto"), Track(bass(BARS), "Bass"))
    assert same(hymn.chords, alto) and not hymn.counter and same(hymn.bass, bass(BARS))


def test_drums_doubles_and_effects_are_left_out():
    drums = [(i / 2, i / 2 + 0.1, 42) for i in range(8 * BARS)]
    found = roles(
        Track(HIGH, "melody"), Track(HIGH, "strings"), Track(drums, channel=9), Track(drums, "Percussion"),
        Track([(0, 1, 96)], "sparkle"), Track(chords(BARS), "piano"),
    )  # fmt: skip
    assert same(found.piano, chords(BARS)) and not found.bass and not found.counter and not found.chords


def test_a_piano_alone_is_taken_apart():
    left, right = [(b * 4 + i, b * 4 + i + 1, 40 + i) for b in range(BARS) for i in (0, 2)], chords(BARS)
    tune = [(start, end, key + 12) for start, end, key in HIGH]
    runs, _ = folder.runs_of_file("solo", midi([Track(left + right + tune, "Piano")]))
    (run,) = runs
    assert sorted({n.key for n in run.notes[e.BASS]}) == [40, 42]
    assert {(n.start, n.key) for n in run.melody} >= {(round(12 * start), key) for start, _, key in tune}
    assert run.parts == (e.BASS, e.CHORDS)


@pytest.mark.parametrize("resolution", [24, 96, 960])
def test_any_resolution_gives_the_same_run(resolution):
    (run,), moved = folder.runs_of_file("x", midi(band(BARS), resolution=resolution))
    (other,), _ = folder.runs_of_file("x", midi(band(BARS)))
    assert run.notes == other.notes and (run.bars, run.metre, moved) == (BARS, 0, 0)
    assert run.chords.tolist() == other.chords.tolist()
    assert [e.chord_name(c) for c in run.chords[:4, 0]] == ["C maj", "A min", "F maj", "G maj"]


def test_metres_divide_a_song():
    three, six = 4 * BARS, 4 * BARS + 3 * BARS
    tracks = [
        Track(line(2 * BARS, beats=4)[: 8 * 2 * BARS] + later(line(BARS), six)),
        Track(bass(BARS) + later(bass(BARS, 3), three) + later(bass(BARS, 3), six), program=33),
    ]
    runs, _ = folder.runs_of_file("x", midi(tracks, metres=((0, 4, 4), (three, 3, 4), (six, 12, 8))))
    assert [e.METRES[run.metre] for run in runs] == ["4/4", "3/4", "6/8"]
    with pytest.raises(Unusable, match="in 5/4; the model knows 4/4, 3/4, 2/4, 6/8"):
        folder.runs_of_file("x", midi(band(BARS), metres=((0, 5, 4),)))


def bass_starts(data: bytes) -> tuple[set[int], int]:
    (run,), moved = folder.runs_of_file("x", data)
    return {n.start % run.ticks for n in run.notes[e.BASS]}, moved


def test_a_pickup_is_filled_up_to_a_bar():
    pickup = [(0, 1, 67)]
    tracks = [Track(pickup + later(line(BARS), 1)), Track(later(bass(BARS), 1), program=33)]
    assert bass_starts(midi(tracks, metres=((0, 1, 4), (1, 4, 4)))) == ({0}, 0)
    tracks.append(Track(later(chords(BARS), 1), channel=3))
    assert bass_starts(midi(tracks)) == ({0}, 1)
    tracks = [Track(later(t.notes, 3), channel=t.channel, program=t.program) for t in band(BARS)]
    assert bass_starts(midi(tracks)) == ({0}, 3)


def played(notes, rng: random.Random, late: float, spread: float):
    return [(start + late + rng.gauss(0, spread), end + late, key) for start, end, key in notes]


def test_playing_to_a_click_is_put_on_the_beat_and_free_playing_refused():
    rng = random.Random(3)
    written = band(BARS)
    loose = [Track(played(t.notes, rng, 0.04, 0.03), "", t.channel, t.program) for t in written]
    (run,), _ = folder.runs_of_file("x", midi(loose))
    (exact,), _ = folder.runs_of_file("x", midi(written))
    for row, expected in zip(run.notes, exact.notes, strict=True):
        starts = {(n.start, n.key) for n in expected}
        assert len(starts & {(n.start, n.key) for n in row}) >= 0.97 * len(starts)
    free = [Track([(s * 1.37 + rng.random(), s * 1.37 + 2, k) for s, _, k in t.notes], "", t.channel) for t in written]
    with pytest.raises(Unusable, match="do not follow the file's beat"):
        folder.runs_of_file("x", midi(free))


def test_what_cannot_be_used_is_listed_with_its_reason(tmp_path):
    (tmp_path / "deeper").mkdir()
    smpte = bytearray(midi(band(4)))
    smpte[12] = 0xE7
    drums = [Track([(i, i + 0.5, 36) for i in range(32)], channel=9)]
    files = {
        "good.mid": midi(band(BARS)),
        "deeper/also.MIDI": midi(band(BARS, seed=9)),
        "notes.txt": b"no music",
        "text.mid": b"no music",
        "cut off.mid": midi(band(BARS))[:700],
        "empty.mid": b"",
        "drums.mid": midi(drums),
        "tune.mid": midi([Track(HIGH)]),
        "several.mid": midi(band(4), kind=2),
        "frames.mid": bytes(smpte),
        "short.mid": midi(band(3)),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    found = folder.read_folder(tmp_path)
    assert sorted(found.songs) == ["deeper/also.MIDI", "good.mid"] and found.bars == 2 * BARS
    expected = {
        "text.mid": "not a MIDI file",
        "cut off.mid": "broken (EOFError",
        "empty.mid": "not a MIDI file",
        "drums.mid": "drums or a few notes only",
        "tune.mid": "one line only",
        "several.mid": "format 2",
        "frames.mid": "SMPTE",
        "short.mid": "no 4 bars in a row",
    }
    assert sorted(found.skipped) == sorted(expected)
    assert [name for name, words in expected.items() if words not in found.skipped[name]] == []
    report = found.report()
    assert "10 MIDI files: 2 used (48 bars), 8 skipped" in report and "skipped tune.mid: one line only" in report


def test_damage_is_never_more_than_an_error():
    data, rng = midi(band(8)), random.Random(8)
    outcomes = set()
    for _ in range(150):
        broken = bytearray(data)
        for _ in range(rng.randint(1, 6)):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        try:
            outcomes.add(type(folder.runs_of_file("x", bytes(broken))))
        except Exception as problem:
            outcomes.add(type(problem))
    assert {tuple, Unusable} <= outcomes and MemoryError not in outcomes


def test_too_little_is_said_and_ends_with_two(tmp_path, monkeypatch, capsys):
    for words, names in (("is not a folder", None), ("holds no .mid files", []), ("24 usable bars of 1 songs", ["a"])):
        path = tmp_path / words.replace(" ", "-")
        for name in names if names is not None else []:
            path.mkdir(exist_ok=True)
            (path / f"{name}.mid").write_bytes(midi(band(BARS)))
        if names == []:
            path.mkdir()
        monkeypatch.setattr("sys.argv", ["folder", str(path)])
        with pytest.raises(SystemExit) as ended:
            folder.main()
        assert ended.value.code == 2 and words in capsys.readouterr().err
    assert folder.FEWEST_USABLE_BARS == 64


def test_songs_are_split_and_versions_of_one_stay_together(tmp_path):
    for i in range(9):
        (tmp_path / f"{i}.mid").write_bytes(midi(band(BARS, seed=i)))
        up = [Track([(s, t, k + 2) for s, t, k in x.notes], "", x.channel, x.program) for x in band(BARS, seed=i)]
        (tmp_path / f"{i} in D.mid").write_bytes(midi(up))
    runs = folder.enough(folder.read_folder(tmp_path))
    sides = {run.song: run.split for run in runs}
    assert all(sides[f"{i}.mid"] == sides[f"{i} in D.mid"] for i in range(9))
    assert sum(side == "validation" for side in sides.values()) == 2
    assert all(run.melody and run.notes[MELODY_ROW] for run in runs)
    for path in tmp_path.glob("[1-8]*"):
        path.unlink()
    with pytest.raises(TooLittle, match="of 1 songs are too little"):
        folder.enough(folder.read_folder(tmp_path))
