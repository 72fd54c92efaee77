"""Which songs are scored, tables of scores, and .mid files."""

import mido
import numpy as np
import pytest
from made_up import every, song

from obbligato_models import encoding as e
from obbligato_models.encoding import Bar, Note
from obbligato_models.evaluate import __main__ as commands
from obbligato_models.evaluate import answers, excerpts, midi, playing, scores
from obbligato_models.evaluate.measures import MEASURES, Scores
from obbligato_models.transformer.sample import Choice


def test_the_excerpt_is_where_the_melody_is_and_begins_with_a_phrase():
    melody = [Note(48 * bar, 12, 60) for bar in range(10, 30)]
    part = excerpts.excerpt(song(melody, [Note(0, 12, 40)], bars=40), 20)
    assert part.bars == 20 and part.melody[0].start == 2 * 48 and len(part.melody) == 18 and part.parts == ()


def test_songs_are_chosen_by_length_and_count():
    runs = []
    for i in range(9):
        bars = 40 if i % 3 else 12
        runs.append(song(every(12, 4 * bars, 60), every(48, bars, 40), bars=bars, song=f"pop909/{i}"))
    chosen = excerpts.choose(runs, {"pop909": excerpts.Wanted(4, 32), "lieder": excerpts.Wanted(3)}, 32)
    assert len(chosen) == 4 and len({r.song for r in chosen}) == 4
    assert all(r.bars == 32 and int(r.song[-1]) % 3 for r in chosen)
    assert [r.song for r in excerpts.choose(runs, {"pop909": excerpts.Wanted(4, 32)}, 32)] == [r.song for r in chosen]


def test_the_beginning_of_an_excerpt():
    run = excerpts.beginning(song(every(24, 16, 60), every(48, 8, 40), bars=8), 3)
    assert (run.bars, len(run.melody), len(run.notes[0]), run.chords.shape) == (3, 6, 3, (3, 2))


def a_song(labels: int = 0):
    """C major under C E G E, eight bars."""
    melody = [Note(24 * i, 24, 72 + (0, 4, 7, 4)[i % 4]) for i in range(16)]
    return song(melody, every(48, 8, 36), every(24, 16, 52, 55, 60), bars=8, labels=labels)


def test_a_song_scored_against_itself():
    run = a_song()
    found = Scores([run], [[answers.human(run)]]).values()
    perfect = ("fit", "in scale", "chords agree", "roots agree", "plan agrees")
    overlaps = ("density overlap", "pitch overlap", "duration overlap", "groove overlap")
    assert [found[name] for name in (*perfect, *overlaps)] == [1] * 9
    assert (found["empty bars"], found["clash"], found["notes a bar"]) == (0, 0, 7)
    # The melody is C E G E over C E G: of three chord tones under C two are consonant and G a fourth, and so on.
    assert found["consonance"] == pytest.approx((3 / 4 + 4 / 4 + 4 / 4 + 4 / 4) / 4, abs=1e-4)


def test_silence_scores_nothing():
    run = a_song()
    found = Scores([run], [[answers.Answer([[], [], []])]]).values()
    assert (found["fit"], found["empty bars"], found["chords agree"], found["pitch overlap"]) == (0, 1, 0, 0)
    assert np.isnan(found["consonance"]) and np.isnan(found["in scale"])


def test_another_key_agrees_with_nothing():
    run = a_song()
    up = answers.Answer([[], [n._replace(key=n.key + 6) for n in run.notes[1]], []])
    found = Scores([run], [[up]]).values()
    assert found["fit"] == 0 and found["chords agree"] == 0 and found["roots agree"] == 0


def test_seeds_are_summed_within_their_song():
    run = a_song()
    both = Scores([run], [[answers.human(run)], [answers.Answer([[], [], []])]])
    assert both.value("fit") == 0.5 and both.value("empty bars") == 0.5
    two = Scores([run, run], [[answers.human(run), answers.Answer([[], [], []])]])
    assert (two.value("fit"), two.value("fit", [0]), two.value("fit", [1, 1])) == (0.5, 1, 0)


def test_rule_triads_hold_the_melody():
    run = song([Note(0, 24, 65), Note(24, 12, 67), Note(36, 12, 71)])
    answer = answers.rule_triads(run)
    found = Scores([run], [[answer]], first=0).values()
    assert found["fit"] == 1
    # F is the root of its triad; G and B are held by G major.
    assert answer.plan.tolist() == [[e.chord_class("F maj"), e.chord_class("G maj")]]


def test_another_song_is_moved_into_the_key():
    scale = [0, 2, 4, 5, 7, 9, 11, 12, 7, 4, 0, 0]
    melody = [Note(12 * i, 12, 72 + s) for i, s in enumerate(scale)]
    one = song(melody, every(48, 3, 36), every(48, 3, 52, 55, 60), bars=3, labels=e.chord_class("C maj"))
    up = [[n._replace(key=n.key + 2) for n in row] for row in one.notes]
    other = song(up[3], up[0], up[1], bars=3, labels=e.chord_class("D maj"))
    answer = answers.another_song([one, other], 0)
    assert answer.rows[:2] == list(one.notes[:2])
    assert (answer.plan == one.chords).all()


@pytest.mark.parametrize("metre", range(4))
def test_midi_files_come_back(tmp_path, metre):
    line = e.BAR_TICKS[metre]
    run = song([Note(i * 6, 6, 60 + i, 70) for i in range(line // 6)], metre=metre)
    written = [Bar(metre, parts={e.BASS: [Note(0, 12, 40, 99)], e.COUNTER: [Note(3, 1, 80)]})]
    midi.write_midi(tmp_path / "one.mid", run, written)
    back = midi.read_melody(tmp_path / "one.mid")
    assert (back.melody, back.metre, round(back.tempo)) == (run.melody, metre, 90)
    assert back.notes[:3] == ([Note(0, 12, 40, 99)], [], [Note(3, 1, 80, midi.VELOCITY)])
    result = scores.score_folder(tmp_path, None, [])
    assert result["files"] == 1 and list(result["all"]) == [tmp_path.name]
    assert result["all"][tmp_path.name]["pitch overlap"] is None


def test_a_folder_is_compared_with_the_human(tmp_path):
    run = a_song()
    midi.write_rows(tmp_path / f"{midi.file_name(run)}.mid", run, run.notes[:3])
    result = scores.score_folder(tmp_path, None, [run])
    ours, people = result["all"][tmp_path.name], result["all"]["human"]
    del ours["plan agrees"], people["plan agrees"]  # A file does not say which chords it was made from.
    assert ours == people


def test_a_folder_without_songs_is_refused(tmp_path):
    (tmp_path / "bad.mid").write_bytes(b"nothing")
    with pytest.raises(SystemExit, match="bad.mid"):
        scores.score_folder(tmp_path, None, [])


def test_what_could_not_be_measured_is_a_dash():
    values = dict.fromkeys(MEASURES, 0.5) | {"fit": None}
    assert scores.table({"one": values}, ["fit", "clash"]).splitlines()[-1] == "| one | – | 0.500 |"


@pytest.mark.parametrize(("processes", "count"), [(1, 7), (1, 5), (2, 7), (2, 1), (1, 0)])
def test_requests_are_shared_out_and_come_back_in_order(monkeypatch, processes, count):
    at_once = []

    def play_some(checkpoint, requests, choice):
        at_once.append(len(requests))
        return [f"{checkpoint} {request}" for request in requests]

    monkeypatch.setattr(playing, "play_some", play_some)
    monkeypatch.setattr(playing, "AT_ONCE", 3)
    player = playing.Player("model", None)
    player.processes = processes  # Shared out as for so many, but played here.
    assert player.play(list(range(count))) == [f"model {i}" for i in range(count)]
    assert max(at_once, default=0) <= 3 and sum(at_once) == count


def test_the_sampler_is_set_on_the_command_line():
    files = ["--checkpoint", "a", "--dataset", "b", "--out", "c"]
    plain = commands.choice_of(commands.parser().parse_args(["gates", *files]))
    assert plain == Choice()
    warm = commands.choice_of(commands.parser().parse_args(["model", *files, "--chord-temperature", "0.9"]))
    assert warm == Choice(chord_temperature=0.9)


def test_what_is_no_melody_is_said_in_words(tmp_path):
    (tmp_path / "nothing.mid").write_bytes(b"no music")
    in_nine = mido.MidiFile()
    in_nine.tracks.append(mido.MidiTrack([mido.MetaMessage("time_signature", numerator=9, denominator=8)]))
    in_nine.save(tmp_path / "nine.mid")
    for name, words in (("none.mid", "No such file"), ("nothing.mid", "MIDI"), ("nine.mid", "metre 9/8 is not one of")):
        with pytest.raises(SystemExit, match=words) as said:
            midi.melody_named(tmp_path / name)
        assert name in str(said.value)
