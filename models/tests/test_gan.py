"""The generator answers melodies in all metres, learns, goes on where it stopped, and is exported as it is."""

import random

import mido
import numpy as np
import pytest
import torch
from made_up import song

from obbligato_models import encoding as e
from obbligato_models import rolls, styles, training
from obbligato_models.encoding import Note
from obbligato_models.evaluate.answers import Answer
from obbligato_models.gan import calibrate, play, train
from obbligato_models.gan.model import CHANNELS, NOISE, Critic, Generator, Shape
from obbligato_models.gan.windows import Windows, given_of
from obbligato_models.transformer.train import Plan

TINY = Shape(8, 8)
HALVES, ALL_LOW = play.everywhere([0.0] * 4), play.everywhere([-5.0] * 4)
"""Struck is what is as likely as not, and what is far from likely too."""


def music(count: int = 4) -> list:
    rng, made = random.Random(3), []
    for i in range(count):
        metre, bars = (0, 0, 1, 3)[i % 4], 12
        ticks = e.BAR_TICKS[metre]
        root = rng.randrange(12)
        melody = [Note(t, 12, 60 + root + rng.choice((0, 4, 7))) for t in range(0, bars * ticks, 12)]
        bass = [Note(t, ticks, 36 + root % 12) for t in range(0, bars * ticks, ticks)]
        chords = [Note(t, 12, 48 + root + k) for t in range(0, bars * ticks, 12) for k in (0, 4, 7)]
        made.append(song(melody, bass, chords, bars=bars, metre=metre, labels=10 * root, song=f"pop909/{i}"))
    return made


def divided() -> list:
    runs = music(8)
    for run in runs[6:]:
        run.split = "validation"
    return runs


def test_the_same_number_gives_the_same_windows_of_one_length():
    windows, again = Windows(music()), Windows(music())
    lengths = set()
    for step in range(8):
        one, other = windows.batch(1, step, 3), again.batch(1, step, 3)
        assert all(torch.equal(one[key], other[key]) for key in one)
        lengths.add(one["parts"].shape[2])
    assert lengths == {192, 144}


def test_what_is_not_asked_or_not_known_is_not_there():
    windows, unknown = Windows(music()), 0
    for step in range(12):
        batch = windows.batch(2, step, 4)
        silent = batch["asked"] == 0
        assert not batch["parts"][silent].any() and not batch["before"][:, :CHANNELS][silent].any()
        hidden = batch["clock"][:, rolls.KNOWN] == 0
        assert not batch["melody"].amax((1, 3))[hidden].any()
        unknown += int(hidden.any())
        assert batch["parts"][:, 6:].any()
    assert 0 < unknown < 48


def test_networks_hear_the_ring_of_time_and_every_key():
    torch.manual_seed(0)
    generator, critic = Generator(TINY), Critic(TINY)
    given = given_of(Windows(music()).batch(1, 0, 2))
    noise = torch.randn(2, NOISE)
    for value in generator.parameters():
        torch.nn.init.normal_(value, std=0.1)
    first = generator(*given[:4], noise, given.cond)
    assert first.shape == (2, CHANNELS, given.melody.shape[2], 96)
    changed = given.before.clone()
    changed[:, 0, -1, 20] = 1 - changed[:, 0, -1, 20]
    second = generator(given.melody, changed, given.chords, given.clock, noise, given.cond)
    assert (second - first).abs()[:, :, 0].max() > 1e-5  # The last tick of the bars before is next to the first.
    parts = torch.rand(2, *first.shape[1:])
    assert not torch.equal(critic(parts, critic.listen(given)), critic(parts.roll(1, 3), critic.listen(given)))


def test_the_penalty_is_none_where_the_critic_rises_by_one():
    class Slope(torch.nn.Module):
        def forward(self, parts, listened):
            return parts[:, 0, 0, 0] * listened

    real, fake = torch.rand(3, 8, 48, 96), torch.rand(3, 8, 48, 96)
    one, norm = train.penalty(Slope(), real, fake, torch.ones(3))
    three, _ = train.penalty(Slope(), real, fake, 3 * torch.ones(3))
    assert one.item() == pytest.approx(0, abs=1e-6) and norm.item() == pytest.approx(1)
    assert three.item() == pytest.approx(train.PENALTY * 4)


def test_what_is_struck_is_binary_and_teaches():
    logits = torch.randn(2, 8, 48, 96, requires_grad=True)
    asked = torch.ones(2, 8)
    asked[0, 4:6] = 0
    cells = train.struck(logits, asked, torch.zeros(8))
    assert torch.allclose(cells, cells.round(), atol=1e-6) and not cells[0, 4:6].any()
    cells.sum().backward()
    assert logits.grad[1].min() > 0 and not logits.grad[0, 4:6].any()


def test_thresholds_let_as_many_notes_pass_as_people_strike():
    values = np.random.default_rng(0).standard_normal(1000)
    assert (values >= calibrate.highest(values, 37)).sum() == 37
    assert calibrate.highest(values, 0) == 0


@pytest.mark.parametrize("way", [0, 3], ids=[play.WAYS[0], play.WAYS[3]])
def test_thresholds_follow_what_is_played_in_whole_songs(way, monkeypatch):
    torch.manual_seed(3)
    runs, before, played = music(2), [-7.0] * len(rolls.PARTS), []
    trained = play.Trained(Generator(TINY).eval(), play.everywhere(before, before), styles.NO_CONTROLS, 0)

    def noting(songs, answers, count):
        played.append(beside(songs, answers, count))
        return played[-1]

    beside = calibrate.beside_people
    monkeypatch.setattr(calibrate, "beside_people", noting)
    calibrate.while_playing(trained, runs, way, rounds=12)
    asked = sorted({part for run in runs for part in run.parts})
    notes, ticks = np.array(played).reshape(12, 2, -1)[:, :, asked].transpose(1, 0, 2)
    away = np.abs(np.log([notes, ticks / notes])).sum(0)
    assert (away.min(0) < 0.8).all() and (away[0] > 2 * away.min(0)).all(), away
    for rows in (trained.thresholds.onset, trained.thresholds.sustain):
        assert [row != before for row in rows] == [number == way for number in range(4)]


def test_what_sounds_is_counted_beside_what_people_let_sound():
    run = song([], [Note(0, 48, 36), Note(48, 48, 36)], [Note(0, 12, 60)], bars=2)
    answer = Answer([[Note(0, 24, 36)], [Note(0, 12, 60), Note(24, 12, 60)], [Note(0, 9, 72)]])
    assert calibrate.beside_people([run], [answer], len).tolist() == [0.5, 2, 1], "there is no counter-melody"
    assert calibrate.beside_people([run], [answer], calibrate.sounding_ticks).tolist() == [0.25, 2, 1]


def cells(*notes: tuple[int, int, int, int]) -> np.ndarray:
    """Logits of a roll in which these notes (part, start, duration, key) are sure."""
    logits = np.full((CHANNELS, 192, 96), -9.0)
    for part, start, duration, key in notes:
        rolls_of = rolls.write([Note(start, duration, key)], 192)
        logits[2 * part : 2 * part + 2][rolls_of > 0] = 9.0
    return logits


def test_sure_cells_are_played_at_any_temperature_and_lines_have_one_voice():
    logits = cells((0, 0, 48, 40), (0, 24, 24, 43), (1, 0, 24, 55), (1, 0, 24, 59), (2, 96, 12, 72))
    logits[1, :, rolls.row(40)] = 9.0
    for temperature in (0.0, 1.0):
        choice = play.Choice(temperature, cell_noise=0.1, lean=0)
        found = play.notes_of(logits, (0, 1), choice, [0.0] * 4, np.random.default_rng(1))
        assert [tuple(n[:3]) for n in found[0]] == [(0, 24, 40), (24, 24, 43)]
        assert [tuple(n[:3]) for n in found[1]] == [(0, 24, 55), (0, 24, 59)]
        assert found[2] == []  # Not asked for.


def test_a_note_sounds_a_sixteenth_unless_another_takes_its_place():
    logits = cells((1, 0, 1, 52), (1, 6, 2, 55), (1, 7, 1, 55), (2, 0, 1, 76), (2, 2, 1, 77))
    found = play.notes_of(logits, (1, 2), play.Choice(0, lean=0), [0.0] * 4, np.random.default_rng(1))
    assert [tuple(n[:3]) for n in found[1]] == [(0, 3, 52), (6, 1, 55), (7, 3, 55)]
    assert [tuple(n[:3]) for n in found[2]] == [(0, 2, 76), (2, 3, 77)]


def test_the_pad_draws_the_other_parts_to_its_chord():
    logits = cells(*((3, 0, 192, rolls.pad_key(p)) for p in (0, 4, 7)))
    for key in (48, 49):
        logits[2, 0, rolls.row(key)] = -0.1
    found = play.notes_of(logits, (1,), play.Choice(0, lean=0.5), [0.0] * 4, np.random.default_rng(1))
    assert [n.key for n in found[1]] == [48]


def test_a_note_sounds_into_the_next_segment_at_most():
    logits = cells((0, 0, 192, 40), (1, 30, 18, 60))
    for way, line, ends in (({}, (0, 48), [72, 48]), ({"jam": True}, (0, 24), [48])):
        one = silent_song(**way)
        one.take(line, logits, play.Choice(0, lean=0), HALVES)
        assert [n.start + n.duration for part in one.played[:3] for n in part] == ends


def test_chords_are_given_as_far_as_they_are_asked_for_and_the_melody_as_far_as_it_is_heard():
    for way, line, known, given in (
        ({}, (48, 96), 48, 0),
        ({"chords_given": True}, (48, 96), 48, 48),
        ({"jam": True}, (72, 96), 24, 0),
        ({"jam": True, "chords_given": True}, (48, 72), 0, 24),
    ):
        one = silent_song(**way)
        one.run.chords[:] = e.chord_class("G maj")
        one.plan = [e.chord_class("C maj")] * (line[0] // 24)
        told = one.inputs(line, 1.0)
        assert told["clock"][2].sum() == known and not told["melody"][:, known:].any()
        assert told["chords"][12].sum() == given and told["chords"][7].sum() == given
        before = [(n.start, n.duration, n.key) for n in rolls.read(told["before"][6:8].astype(bool))]
        assert sorted(before) == sorted((144, 48, rolls.pad_key(p)) for p in (0, 4, 7)), "the chords that were played"
        assert not told["melody"][:, known:].any() and (known == 0 or told["melody"].any())


def test_the_plan_is_what_was_given_else_what_the_pad_says():
    logits = cells(*((3, 0, 192, rolls.pad_key(p)) for p in (0, 4, 7)))
    for way, name in (({}, "C maj"), ({"chords_given": True}, "G maj")):
        one = silent_song(**way)
        one.run.chords[:] = e.chord_class("G maj")
        one.take((0, 48), logits, play.Choice(0, lean=0), HALVES)
        assert one.plan == [e.chord_class(name)] * 2


def test_each_way_of_playing_has_its_thresholds():
    logits = cells()
    logits[2, 30, rolls.row(60)] = logits[3, 30:42, rolls.row(60)] = 1.5
    for way, mode in enumerate(({}, {"chords_given": True}, {"jam": True}, {"jam": True, "chords_given": True})):
        one = silent_song(**mode)
        # Silence, which would be broken, would not say who was asked.
        one.played[0] = [Note(0, 48, 36)]
        line = (24, 48) if one.jam else (0, 48)
        for asked in range(4):
            for kind, found in (("onset", []), ("sustain", [3])):
                thresholds = play.everywhere([0.0] * 4)
                getattr(thresholds, kind)[asked][e.CHORDS] = 2.0
                one.played[1] = []
                one.take(line, logits, play.Choice(0, lean=0), thresholds)
                assert [n.duration for n in one.played[1]] == (found if asked == way else [12])


@pytest.mark.parametrize("mode", [{}, {"jam": True}, {"chords_given": True}])
def test_songs_of_all_metres_are_played_bar_by_bar(mode):
    torch.manual_seed(1)
    generator = Generator(TINY).eval()
    runs = music()
    songs = [play.song_of(run, seed=i, **mode) for i, run in enumerate(runs)]
    answers = play.play(play.torch_forward(generator), songs, ALL_LOW)
    again = play.play(play.torch_forward(generator), [play.song_of(runs[1], seed=1, **mode)], ALL_LOW)
    assert again[0].rows == answers[1].rows and answers[1].rows != answers[0].rows
    for run, answer in zip(runs, answers, strict=True):
        assert answer.plan.shape == run.chords.shape
        assert answer.rows[0] and not answer.rows[2]
        for row in answer.rows:
            assert all(0 <= n.start < run.bars * run.ticks and n.duration >= 1 for n in row)
        line = sorted(answer.rows[0])
        assert all(a.start + a.duration <= b.start for a, b in zip(line, line[1:], strict=False))


def test_a_jam_does_not_hear_what_is_yet_to_be_played():
    torch.manual_seed(1)
    forward, run = play.torch_forward(Generator(TINY).eval()), music()[0]
    other = music()[0]
    later = [n._replace(key=n.key + 3) if n.start >= 4 * 48 + 24 else n for n in other.melody]
    other.notes = (*other.notes[:3], later)
    one, two = (play.play(forward, [play.song_of(r, jam=True)], ALL_LOW)[0].notes for r in (run, other))
    heard = [sorted(n[::2] for n in notes if n.start < 5 * 48) for notes in (one, two)]
    assert heard[0] == heard[1] and sorted(one) != sorted(two)


@pytest.fixture
def quick(monkeypatch):
    for name, value in {"BATCH": 3, "JUDGED": 2, "CRITIC_STEPS": 2, "LEARNING_TO_JUDGE": 2}.items():
        monkeypatch.setattr(train, name, value)
    monkeypatch.setattr(train, "MELODIES", {"pop909": train.Wanted(1, 8)})
    monkeypatch.setattr(train, "MELODY_BARS", 4)
    monkeypatch.setattr(calibrate, "BATCHES", 1)
    monkeypatch.setattr(training, "LOG_STEPS", 5)
    monkeypatch.setattr(training, "CHECK_STEPS", 10)


def test_a_run_learns_competes_and_keeps_its_iterations(tmp_path, quick):
    train.train(divided(), tmp_path, Plan(1, steps=20), TINY)
    lines = [line.split(",") for line in (tmp_path / "log.csv").read_text().splitlines()]
    rows = [dict(zip(lines[0], line, strict=True)) for line in lines[1:]]
    assert [row["step"] for row in rows] == ["0", "5", "10", "15", "20"]
    imitation = [float(rows[i]["validation"].split("imitation=")[1]) for i in (0, 2)]
    assert imitation[1] < imitation[0]
    assert rows[1]["distance"] == "nan" and np.isfinite(float(rows[-1]["distance"]))
    assert np.isfinite(float(rows[-1]["gradient norm"])) and "empty bars=" in rows[-1]["validation"]
    assert sorted(p.stem for p in (tmp_path / "iterations").iterdir()) == ["000000", "000010", "000020"]
    untrained, trained = (play.load(play.checkpoint_of(tmp_path, step)) for step in (0, None))
    assert untrained.step == 0 and trained.step == 20 and np.shape(trained.thresholds.sustain) == (4, 4)
    assert play.load(tmp_path / "supervised.pt").step == 6
    with pytest.raises(SystemExit, match="iterations that were kept: 0, 10, 20"):
        play.checkpoint_of(tmp_path, 7)
    heard = sorted((tmp_path / "samples").iterdir())
    assert [path.name[:10] for path in heard] == ["step000000", "step000010", "step000020"]
    assert mido.MidiFile(heard[-1]).tracks[1].name == "Melody"


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(tmp_path, quick, monkeypatch):
    train.train(divided(), tmp_path / "whole", Plan(1, steps=20), TINY)
    monkeypatch.setattr(training, "SAVE_MINUTES", 0)
    learn = train.Trainer.compete

    def stopping(self, done):
        if self.session.step == 13:
            raise KeyboardInterrupt
        return learn(self, done)

    with monkeypatch.context() as patch:
        patch.setattr(train.Trainer, "compete", stopping)
        with pytest.raises(KeyboardInterrupt):
            train.train(divided(), tmp_path / "stopped", Plan(1, steps=20), TINY)
    train.train(divided(), tmp_path / "stopped", Plan(1, steps=20), TINY)
    one, two = (torch.load(tmp_path / name / "last.pt", weights_only=True) for name in ("whole", "stopped"))
    for name in ("generator", "critic"):
        for key, value in one[name].items():
            assert torch.allclose(value, two[name][key], atol=1e-5), key


def test_a_loss_that_is_no_number_stops_and_the_last_good_weights_stay(tmp_path, quick, monkeypatch):
    monkeypatch.setattr(training, "SAVE_MINUTES", 0)
    imitation, seen = train.imitation, []

    def breaking(*given):
        seen.append(0)
        return imitation(*given) * (float("nan") if len(seen) > 12 else 1)

    monkeypatch.setattr(train, "imitation", breaking)
    with pytest.raises(SystemExit, match="the loss is nan.*last.pt holds the last good weights"):
        train.train(divided(), tmp_path, Plan(1, steps=40), TINY)
    kept = torch.load(tmp_path / "last.pt", weights_only=True)
    assert kept["step"] > 0 and all(v.isfinite().all() for v in kept["generator"].values())


def silent_song(**mode) -> play.Song:
    melody = [Note(t, 12, 72) for t in range(0, 192, 12) if not 96 <= t < 144]
    bass, chords = [Note(0, 48, 36)], [Note(0, 12, 60)]
    return play.song_of(song(melody, bass, chords, bars=4, metre=0, song="pop909/1"), **mode)


def timid(by: float) -> np.ndarray:
    """Nearly sure of a chord on each second beat and of a counter-melody; silence is surer."""
    logits = np.full((8, 192, 96), -30.0, np.float32)
    for beat in range(0, 192, 24):
        logits[2, beat, rolls.row(60)] = -by
        logits[4, beat, rolls.row(76)] = -by
    return logits


def test_where_all_would_be_silent_bass_and_chords_dare_more():
    choice = play.Choice(0, lean=0)
    one, other = silent_song(), silent_song()
    for bar in range(0, 192, 48):
        one.take((bar, bar + 48), timid(2.5), choice, HALVES)
        other.take((bar, bar + 48), timid(9), choice, HALVES)
    # In the third bar the melody rests.
    assert [n.start for n in one.played[1]] == [0, 24, 48, 72, 144, 168]
    assert one.played[0] == one.played[2] == []
    assert other.played[1] == []  # What nobody would play is not played.


def test_in_a_jam_half_a_bar_may_be_silent_after_one_that_is_not():
    choice = play.Choice(0, lean=0)
    jam = silent_song(jam=True)
    jam.take((24, 48), timid(2.5), choice, HALVES)
    assert [n.start for n in jam.played[1]] == [24]
    jam = silent_song(jam=True)
    jam.played[0] = [Note(0, 6, 36)]
    jam.take((24, 48), timid(2.5), choice, HALVES)
    assert jam.played[1] == []
