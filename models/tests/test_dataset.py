"""Reading, refusing and splitting, on made-up music."""

import io
import random
import tarfile

import mido
import numpy as np
import pytest

from obbligato_models import chords, dataset, styles
from obbligato_models import encoding as e
from obbligato_models.dataset import Run, Score
from obbligato_models.encoding import Note


def test_refuses_a_bad_folder(tmp_path):
    with pytest.raises(dataset.Unreadable, match="is not a folder"):
        dataset.archives(tmp_path / "missing")
    with pytest.raises(dataset.Unreadable, match="none of the archives"):
        dataset.archives(tmp_path)
    (tmp_path / "lieder").mkdir()
    (tmp_path / "lieder" / "lieder.tar.gz").write_bytes(b"not an archive")
    with pytest.raises(dataset.Unreadable, match="lieder.tar.gz cannot be read"):
        dataset.archives(tmp_path)


def midi(notes: dict[str, list[tuple[int, int, int]]], metre=(4, 4)) -> bytes:
    """Tracks of (start, end, key) in ticks of 480 a quarter."""
    file = mido.MidiFile(ticks_per_beat=480)
    head = mido.MidiTrack([mido.MetaMessage("time_signature", numerator=metre[0], denominator=metre[1])])
    file.tracks.append(head)
    for name, row in notes.items():
        track = mido.MidiTrack([mido.MetaMessage("track_name", name=name)])
        events = sorted([(s, 1, k) for s, _, k in row] + [(t, 0, k) for _, t, k in row])
        now = 0
        for tick, on, key in events:
            track.append(mido.Message("note_on", note=key, velocity=64 * on, time=tick - now))
            now = tick
        file.tracks.append(track)
    data = io.BytesIO()
    file.save(file=data)
    return data.getvalue()


def test_broken_files_are_listed_and_skipped(tmp_path):
    song = {"VOICE": [(i * 480, i * 480 + 480, 60 + i % 5) for i in range(24)], "PIANO_LH": [(0, 1920, 48)]}
    with tarfile.open(tmp_path / "lieder.tar.gz", "w:gz") as archive:
        for name, data in (("a", midi(song)), ("b", b"MThd nonsense"), ("c", midi({"OTHER": song["VOICE"]}))):
            info = tarfile.TarInfo(f"lieder/midi/{name}.mid")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    read = {
        song: (runs, problem) for song, runs, problem in dataset.read_set("lieder", tmp_path / "lieder.tar.gz", None)
    }
    assert [(len(runs), bool(problem)) for runs, problem in read.values()] == [(1, False), (0, True), (0, True)]
    run = read["lieder/a"][0][0]
    assert (run.bars, run.metre, run.parts) == (6, 0, (e.BASS,))
    assert run.notes[e.BASS] == [Note(0, 48, 48, 64)]


def test_bass_is_the_lowest_up_to_d3():
    notes = [Note(0, 12, 50), Note(0, 12, 57), Note(12, 12, 51), Note(12, 12, 60), Note(24, 12, 40), Note(24, 12, 47)]
    bass, rest = dataset.split_piano(notes)
    assert [n.key for n in bass] == [50, 40]
    assert [n.key for n in rest] == [57, 51, 60, 47]


def test_grid():
    assert [dataset.grid(q) for q in (0, 1 / 24, 0.04, 1 / 3, 0.99, 1.5)] == [0, 1, 0, 4, 12, 18]


def test_other_metres_split_a_song():
    score = Score([], [(0, 4, 4), (16, 5, 4), (21, 4, 4), (37, 2, 2), (45, 3, 4)], [], 60)
    assert list(dataset.stretches(score)) == [(0, 0, 4), (252, 0, 6), (540, 1, 5)]


def test_chord_labels():
    def label(keys, bass=()):
        return e.chord_name(chords.label([], [Note(0, 24, k) for k in (*bass, *keys)], 0, 24))

    assert label((60, 64, 67), (36,)) == "C maj"
    assert label((57, 60, 64), (45,)) == "A min"
    assert label((59, 62, 65), (43,)) == "G 7"
    assert label((60, 64, 69), (45,)) == "A min"
    assert label((), ()) == "N.C."
    track = [Note(0, 10, 48), Note(0, 10, 52), Note(0, 10, 55), Note(10, 14, 45), Note(10, 14, 48), Note(10, 14, 52)]
    assert e.chord_name(chords.from_chord_track(track, 0, 24)) == "A min"
    assert e.chord_name(chords.triad_under([Note(0, 12, 65), Note(12, 12, 69)], 0, 24, chords.TRIADS[0])) == "F maj"


def made_up(song: str, melody: list[int], transposed: int = 0) -> Run:
    notes = [Note(12 * i, 12, key + transposed) for i, key in enumerate(melody)]
    bars = len(notes) // 4
    empty = np.zeros((bars, 2), np.int16)
    return Run(
        song,
        song.split("/")[0],
        0,
        bars,
        100,
        (),
        ([], [], [], notes),
        empty,
        np.zeros((bars, len(styles.NAMES)), np.float32),
    )


def test_no_tune_stands_on_both_sides():
    rng = random.Random(1)
    songs = {}
    for i in range(150):
        tune = [rng.randint(55, 80) for _ in range(64)]
        songs[f"lieder/{i}"] = [made_up(f"lieder/{i}", tune)]
        songs[f"pop909/{i}"] = [made_up(f"pop909/{i}", tune[:48], 3)]
        songs[f"js_fakes/{i}"] = [made_up(f"js_fakes/{i}", [rng.randint(55, 80) for _ in range(64)])]
    sides = dataset.split_songs(songs)
    assert all(sides[f"lieder/{i}"] == sides[f"pop909/{i}"] for i in range(150))
    assert all(sides[f"js_fakes/{i}"] == "train" for i in range(150))
    counts = {side: sum(sides[f"lieder/{i}"] == side for i in range(150)) for side in ("train", "validation", "test")}
    assert 4 <= counts["validation"] <= 24 and 1 <= counts["test"] <= 15


def test_a_saved_set_comes_back(tmp_path):
    run = made_up("lieder/x", list(range(60, 76)))
    run.notes[e.BASS].append(Note(3, 5, 40))
    run.parts, run.split, run.chords[1, 1] = (e.BASS,), "validation", 77
    dataset.save(tmp_path / "songs.npz", [made_up("pop909/y", [60] * 16), run], {})
    assert [r.song for r in dataset.load(tmp_path / "songs.npz")] == ["pop909/y", "lieder/x"]
    (back,) = dataset.load(tmp_path / "songs.npz", "validation")
    assert (back.notes, back.parts, back.chords.tolist()) == (run.notes, run.parts, run.chords.tolist())


def test_textures():
    def best(*onsets):
        return styles.NAMES[int(styles.texture([Note(t, 6, 60 + i) for t, n in onsets for i in range(n)]).argmax())]

    assert best(*((6 * t, 1) for t in range(8))) == "Arpeggio ballad"
    assert best(*((6 * t, 1 + t % 2) for t in range(8))) == "Broken-chord ballad"
    assert best(*((6 * t, 3) for t in range(8))) == "Driving pop"
    assert best((0, 3), (24, 3), (36, 3)) == "Block-chord ballad"
    run = [[Note(6 * t, 6, 60) for t in range(8)]] * 9
    assert styles.weigh("lieder", run)[4].tolist() == pytest.approx([0, 0, 0, 0.75, 0.25, 0, 0, 0, 0])
    assert styles.weigh("openewld", run).sum() == 0


def test_attributes_are_those_of_the_notes():
    run = made_up("lieder/x", list(range(60, 76)))
    run.notes[e.CHORDS].extend([Note(0, 12, 60), Note(0, 12, 64), Note(60, 100, 67), Note(150, 6, 50)])
    assert run.attributes(e.CHORDS, slice(0, 2)) == pytest.approx(
        e.measure([*run.notes[e.CHORDS][:2], Note(60, 48, 67)], 96)
    )
    assert run.attributes(e.CHORDS, slice(2, 3)) == e.Attributes(density=0.0)


def test_what_is_no_data_set_is_said_in_words(tmp_path):
    (tmp_path / "text.npz").write_text("no songs")
    for name in ("none.npz", "text.npz"):
        with pytest.raises(SystemExit, match="no data set"):
            dataset.load(tmp_path / name)
