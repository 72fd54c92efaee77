"""The measures on cases worked out by hand."""

import numpy as np
import pytest

from obbligato_models import encoding as e
from obbligato_models import evaluate as ev
from obbligato_models.dataset import Run
from obbligato_models.encoding import Bar, Note


def song(melody: list[Note], bass=(), chords=(), bars=1, metre=0, labels=0) -> Run:
    found = np.full((bars, len(e.SEGMENTS[metre])), labels)
    parts = tuple(p for p, row in enumerate((bass, chords)) if row)
    return Run(
        "x/y", "pop909", metre, bars, 90.0, parts, (list(bass), list(chords), [], melody), found, np.zeros((bars, 7))
    )


def test_fit_counts_melody_time_in_the_segment():
    melody = [Note(0, 12, 72), Note(12, 12, 74), Note(24, 24, 76)]
    answer = [Note(18, 6, 48), Note(24, 1, 64)]
    fits, clashes, heard = ev.fit_and_clash(melody, answer, 0, 1)
    assert (fits, clashes, heard) == (12 + 24, 0, 48)


def test_clash_is_a_semitone_sounding_together():
    melody = [Note(0, 24, 64)]
    assert ev.fit_and_clash(melody, [Note(12, 6, 65)], 0, 1)[1] == 6
    assert ev.fit_and_clash(melody, [Note(0, 24, 63)], 0, 1)[1] == 24
    assert ev.fit_and_clash(melody, [Note(0, 24, 77), Note(24, 24, 65)], 0, 1)[1] == 0


def test_a_song_scored_against_itself():
    melody = [Note(24 * i, 24, 72 + (0, 4, 7, 4)[i % 4]) for i in range(16)]
    bass = [Note(48 * i, 48, 36) for i in range(8)]
    chords = [Note(24 * i, 24, k) for i in range(16) for k in (52, 55, 60)]
    run = song(melody, bass, chords, bars=8)
    scores = ev.score([run], [ev.human(run)])
    assert scores["fit"] == scores["in scale"] == scores["chords agree"] == 1
    assert scores["density overlap"] == scores["pitch overlap"] == scores["duration overlap"] == 1
    assert (scores["empty bars"], scores["clash"], scores["notes a bar"]) == (0, 0, 7)
    silent = ev.score([run], [ev.Answer([[], [], []])])
    assert (silent["fit"], silent["empty bars"], silent["chords agree"], silent["pitch overlap"]) == (0, 1, 0, 0)


def test_another_key_agrees_with_nothing():
    melody = [Note(24 * i, 24, 72) for i in range(16)]
    chords = [Note(24 * i, 24, k) for i in range(16) for k in (48, 52, 55)]
    run = song(melody, (), chords, bars=8)
    up = ev.Answer([[], [n._replace(key=n.key + 6) for n in chords], []])
    scores = ev.score([run], [up])
    assert scores["fit"] == 0 and scores["chords agree"] == 0 and scores["density overlap"] == 1


def test_triads_hold_the_melody():
    run = song([Note(0, 24, 65), Note(24, 12, 67), Note(36, 12, 71)])
    fits, _, heard = ev.fit_and_clash(run.melody, ev.rule_triads(run).notes, 0, 1)
    assert fits == heard == 48


def test_the_excerpt_is_where_the_melody_is():
    melody = [Note(48 * bar, 12, 60) for bar in range(10, 30)]
    part = ev.excerpt(song(melody, [Note(0, 12, 40)], bars=40), 20)
    assert part.bars == 20 and part.melody[0].start == 0 and len(part.melody) == 20 and part.parts == ()


def test_copies_are_found_in_any_key():
    line = [60, 62, 65, 64, 69, 67, 71, 65, 62]
    notes = [Note(12 * i, 12, key) for i, key in enumerate(line)]
    training = [song(notes, bars=3)]
    up = [n._replace(key=n.key + 4) for n in notes]
    other = [n._replace(key=n.key + i % 3) for i, n in enumerate(notes)]
    answers = {"copy": [ev.Answer([[], [], up])], "own": [ev.Answer([[], [], other])]}
    assert ev.copied(training, answers) == {"copy": 1, "own": 0}


@pytest.mark.parametrize("metre", range(4))
def test_midi_files_come_back(tmp_path, metre):
    line = e.BAR_TICKS[metre]
    run = song([Note(i * 6, 6, 60 + i) for i in range(line // 6)], metre=metre)
    answers = [Bar(metre, parts={e.BASS: [Note(0, 12, 40)], e.COUNTER: [Note(3, 1, 80)]})]
    ev.write_midi(tmp_path / "one.mid", run, answers)
    back = ev.read_melody(tmp_path / "one.mid")
    assert (back.melody, back.metre, round(back.tempo)) == (run.melody, metre, 90)
    assert back.notes[:3] == ([Note(0, 12, 40)], [], [Note(3, 1, 80)])
    result = ev.score_folder(tmp_path, None, [])
    assert result["files"] == 1 and list(result["all"]) == [tmp_path.name]


def test_a_folder_without_songs_is_refused(tmp_path):
    (tmp_path / "bad.mid").write_bytes(b"nothing")
    with pytest.raises(SystemExit, match="bad.mid"):
        ev.score_folder(tmp_path, None, [])
