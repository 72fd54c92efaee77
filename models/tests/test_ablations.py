"""Every variant writes what can be read back, learns and plays in its own grammar, and is measured alike."""

import json
import random
import subprocess
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from made_up import song
from test_sample import noted, play_checked, request, said, without_velocities, written

from obbligato_models import dataset
from obbligato_models import encoding as e
from obbligato_models.ablations import __main__ as commands
from obbligato_models.ablations import measure, table, trial
from obbligato_models.ablations.layouts import BEATS, Beats, ByTime, NextBar, read_by_time
from obbligato_models.ablations.trial import Settings
from obbligato_models.ablations.variants import VARIANTS, Variant
from obbligato_models.encoding import Bar, Note, Reader
from obbligato_models.evaluate import playing
from obbligato_models.transformer import sample, train
from obbligato_models.transformer.layout import SHIPPED, Layout, Role
from obbligato_models.transformer.model import Outputs, Shape, Transformer
from obbligato_models.transformer.sample import Choice, Song
from obbligato_models.transformer.train import Windows

LAYOUTS = {"shipped": SHIPPED, "beats": Beats(), "next bar": NextBar(), "by time": ByTime()}
BOTH = pytest.mark.parametrize("jam", [False, True], ids=["known", "jam"])
EACH_LAYOUT = pytest.mark.parametrize("layout", LAYOUTS.values(), ids=list(LAYOUTS))
EACH = pytest.mark.parametrize("name", list(VARIANTS))
C, F = (e.chord_class(f"{root} maj") for root in "CF")


def tune(seed: int, metre: int = 0, bars: int = 12, **fields):
    """Made-up music of three parts, none of whose bars is like another."""
    rng = np.random.default_rng(seed)
    end = bars * e.BAR_TICKS[metre]

    def row(count: int, low: int, high: int) -> list[Note]:
        places = {(int(rng.integers(end)), int(rng.integers(low, high))) for _ in range(count)}
        return [Note(t, int(rng.integers(1, 30)), k, int(rng.integers(40, 120))) for t, k in sorted(places)]

    rows = row(3 * bars, 30, 50), row(8 * bars, 50, 70), row(2 * bars, 60, 80)
    labels = rng.integers(0, 121, (bars, len(e.SEGMENTS[metre])))
    # Notes ring into the next beat, and no two that sound at once have one key.
    melody = [Note(6 * i, 10, 60 + (7 * i + seed) % 29, 90) for i in range(end // 6)]
    return song(melody, *rows, bars=bars, metre=metre, labels=labels, song=f"pop909/{seed}", **fields)


# Reading back


class BeatsReader(Reader):
    def jam_bar(self) -> Bar:
        bar = Bar(self.take(e.JAM, e.POS, "a bar"), jam=True)
        for start, end in BEATS[bar.metre]:
            bar.chords.append(self.chord())
            self.parts(start, end, bar.parts)
            self.take(e.MELODY, e.MELODY + 1, "the melody heard")
            while self.peek() == e.TIE:
                self.at += 1
                key, duration = e.note_of(e.NOTE + self.take(e.NOTE, e.VOCABULARY, "a tied note"))
                bar.melody.append(Note(start, duration, key))
            bar.melody += self.notes(start, end, 6, held=True)
        return bar


class NextBarReader(Reader):
    def __init__(self, tokens):
        super().__init__(tokens)
        self.following: list[list[Note] | None] = []
        """For each bar the melody that it says will follow."""

    def notes(self, start: int, end: int, limit: int, held: bool) -> list[Note]:
        found = super().notes(start, end, limit, held)
        if self.peek() == e.MELODY:  # In a jam an END stands before it.
            self.at += 1
            self.following[-1] = super().notes(start, end, limit, held)
        return found

    def bar(self) -> Bar:
        self.following.append(None)
        return super().bar()


class ByTimeReader(Reader):
    def parts(self, start: int, end: int, into: dict[int, list[Note]]) -> None:
        asked: list[int] = []
        while e.PART <= self.peek() < e.BAR:
            asked.append(self.take(e.PART, e.BAR, "a part"))
            into.setdefault(asked[-1], [])
        assert asked == sorted(set(asked))
        before = start - 1
        while e.POS <= self.peek() < e.CHORD:
            tick, last = self.take(e.POS + before + 1, e.POS + end, "a later position") + before + 1, -1
            while e.PART <= self.peek() < e.BAR or last < 0:
                part = self.take(e.PART, e.BAR, "a part")
                assert part > last and part in asked
                keys = []
                while self.peek() >= e.NOTE or not keys:
                    key, duration = e.note_of(e.NOTE + self.take(e.NOTE, e.VOCABULARY, "a note"))
                    assert duration != e.HELD and [*keys, key] == sorted({*keys, key})
                    keys.append(key)
                    into[part].append(Note(tick, duration, key))
                assert len(keys) <= e.NOTES_A_POSITION[part]
                last = part
            before = tick
        self.take(e.END, e.END + 1, "the end of the answer")


READERS = {Layout: Reader, Beats: BeatsReader, NextBar: NextBarReader, ByTime: ByTimeReader}


def read_all(layout: Layout, tokens: list[int]) -> tuple[list[Bar], Reader]:
    """After an optional START."""
    reader = READERS[type(layout)](tokens)
    reader.at = int(reader.peek() == e.START)
    bars = []
    while reader.at < len(reader.tokens):
        bars.append(reader.bar())
    return bars, reader


def decode(layout: Layout, tokens: list[int]) -> list[Bar]:
    return read_all(layout, tokens)[0]


def as_written(layout: Layout, bar: Bar, lead: float = e.DEFAULT_LEAD) -> Bar:
    """What is left of a bar when the shipped encoding has rounded it; in `Beats` the melody is heard by beats."""
    (read,) = e.decode(e.encode(bar, lead))
    if isinstance(layout, Beats) and bar.jam:
        read.chords, read.melody = layout.chords(bar), []
        for line in BEATS[bar.metre]:
            ties, struck = e.heard(bar.melody, *line, lead)
            melody = [tie._replace(start=line[0]) for tie in sorted(ties, key=lambda n: n.key)] + struck
            read.melody += [n._replace(duration=e.note_of(e.note_token(n.key, n.duration))[1]) for n in melody]
    return read


@BOTH
@EACH_LAYOUT
@pytest.mark.parametrize("metre", range(4), ids=e.METRES)
def test_bars_come_back(layout, metre, jam):
    run = tune(metre, metre)
    for index in range(run.bars):
        for asked in ((), (1,), (0, 1, 2)):
            bar = run.bar(index, asked, jam)
            assert decode(layout, layout.encode(bar)) == [as_written(layout, bar)]


@BOTH
@EACH_LAYOUT
def test_velocities_and_roles_go_with_the_tokens(layout, jam):
    run = tune(1)
    by_note = {(part, n.start, n.key): n.velocity for part in range(3) for n in run.notes[part]}
    for index in range(run.bars):
        bar = run.bar(index, (0, 1, 2), jam)
        tokens = layout.encode(bar)
        roles, velocities = layout.roles(tokens), layout.velocities(bar)
        notes = [t for t, role in zip(tokens, roles, strict=True) if role == Role.CHOSEN and t >= e.NOTE]
        assert len(notes) == len(velocities)
        chosen = [t for t, role in zip(tokens, roles, strict=True) if role in (Role.OPENING, Role.CHOSEN)]
        # The reader of this order reads part after part too.
        for part, note in read_by_time(chosen, velocities):
            assert by_note[part, note.start + index * run.ticks, note.key] == note.velocity
        answers = len(layout.segments(0)) if jam else 1
        assert roles.count(Role.CLOSING) == tokens.count(e.END) == answers
        assert roles.count(Role.CHORD) == len(layout.chords(bar))
        heard = [t for t, role in zip(tokens, roles, strict=True) if role == Role.HEARD]
        assert sum(t >= e.NOTE for t in heard) == len(as_written(layout, bar).melody)


def test_bars_by_hand():
    bar = Bar(0, [Note(0, 30, 72)], [C, F], {0: [Note(0, 24, 36), Note(24, 24, 41)], 1: [Note(0, 12, 64)], 2: []})
    c2, f2, e4, c5 = (e.note_token(key, ticks) for key, ticks in ((36, 24), (41, 24), (64, 12), (72, 30)))
    melody, chords = [e.BAR, e.POS, c5], [e.CHORD + C, e.CHORD + F]
    together = [5, 6, 7, e.POS, 5, c2, 6, e4, e.POS + 24, 5, f2, e.END]
    assert ByTime().encode(bar) == [*melody, *chords, *together]
    assert [int(r) for r in ByTime().roles(ByTime().encode(bar))] == [0, 1, 1, 2, 2, 3, 3, 3, *[4] * 8, 5]
    part_after_part = [5, e.POS, c2, e.POS + 24, f2, 6, e.POS, e4, 7, e.END]
    coming = [Note(-6, 10, 70), Note(12, 12, 74)]
    ahead = [e.MELODY, e.POS + 12, e.note_token(74, 12)]
    assert NextBar().encode(bar, following=coming) == [*melody, *ahead, *chords, *part_after_part]
    assert NextBar().encode(bar) == e.encode(bar)
    assert NextBar().encode(bar, following=[]) == [*melody, e.MELODY, *chords, *part_after_part]
    bar.jam, bar.parts = True, {0: bar.parts[0]}
    held, tied = e.note_token(72, e.HELD), [e.MELODY, e.TIE, e.note_token(72, e.HELD)]
    first = [e.CHORD + C, 5, e.POS, c2, e.END, e.MELODY, e.POS, held, e.CHORD + C, 5, e.END, *tied]
    second = [e.CHORD + F, 5, e.POS + 24, f2, e.END, e.MELODY, e.TIE, e.note_token(72, 6), e.CHORD + F, 5, e.END]
    assert Beats().encode(bar) == [e.JAM, *first, *second, e.MELODY]


def test_the_melody_to_come_by_beats():
    run = tune(3)
    for bar in range(run.bars):
        shares = Beats().melody_shares(run, bar)
        assert shares.reshape(2, 2, 12).mean(1) == pytest.approx(SHIPPED.melody_shares(run, bar), abs=1e-6)


class Noting:
    """A layout that keeps the bars it has encoded, and the melodies that were known to follow."""

    def __init__(self, layout: Layout):
        self.layout, self.bars, self.leads, self.following = layout, [], [], []

    def __getattr__(self, name: str):
        return getattr(self.layout, name)

    def encode(self, bar: Bar, lead: float, following) -> list[int]:
        self.bars.append(replace(bar, parts=dict(bar.parts)))
        self.leads.append(lead)
        self.following.append(following)
        return self.layout.encode(bar, lead, following)


@EACH
def test_windows_decode_to_the_bars_they_came_from(name, monkeypatch):
    monkeypatch.setattr(train, "LOWEST_SHIFT", 0)
    monkeypatch.setattr(train, "HIGHEST_SHIFT", 0)
    recipe = VARIANTS[name].recipe
    noting = Noting(recipe.layout)
    windows = Windows([tune(seed, seed % 4) for seed in range(5)], recipe=replace(recipe, layout=noting))
    read_bars = 0
    for number in range(12):
        noting.bars, noting.leads, noting.following = [], [], []
        ids = windows.draw((number,))["ids"].tolist()
        last = max(at for at, token in enumerate(ids) if e.BAR <= token < e.POS)  # It may be cut off.
        starts = [at for at, token in enumerate(ids[:last]) if token == e.START]
        given = zip(noting.bars, noting.leads, strict=True)
        for start, end in zip(starts, [*starts[1:], last], strict=True):
            for read in decode(recipe.layout, ids[start:end]):
                assert read == as_written(recipe.layout, *next(given))
                read_bars += 1
        in_jam = [bar.jam for bar in noting.bars]
        for jam, then, following in zip(in_jam, in_jam[1:], noting.following, strict=False):
            assert following is None or not jam and not then
    assert read_bars > 40


def test_what_follows_is_the_melody_of_the_next_bar():
    windows = Windows([tune(2)], recipe=VARIANTS["next-bar"].recipe)
    for seed in range(4):
        ids = windows.excerpt(random.Random(seed), True, 10_000)["ids"].tolist()
        bars, reader = read_all(NextBar(), ids)
        assert len(bars) > 3 and reader.following == [*(bar.melody for bar in bars[1:]), None]


def test_what_a_recipe_leaves_out():
    runs = [tune(seed) for seed in range(3)]
    drawn = {
        name: [Windows(runs, recipe=VARIANTS[name].recipe).draw((number,)) for number in range(12)]
        for name in ("base", "no-controls", "clean-history", "plain-chords")
    }
    told = {name: np.concatenate([w["cond"] for w in windows]) for name, windows in drawn.items()}
    for columns in (slice(e.STYLES, e.ASKED), slice(e.PHRASE, e.COND)):
        assert told["base"][:, columns].any() and not told["no-controls"][:, columns].any()
    kept = slice(e.ASKED, e.PHRASE)
    assert (told["base"][:, kept] == told["no-controls"][:, kept]).all() and told["base"][:, kept].any()
    assert any(w["hidden"].any() for w in drawn["base"])
    assert not any(w["hidden"].any() for w in drawn["clean-history"])
    for name, spoilt in (("base", True), ("clean-history", False)):
        unlike = [(w["ids"] != w["target"]).any() for w in drawn[name]]
        assert any(unlike) == spoilt
    for name, weight in (("base", train.CHORD_WEIGHT), ("plain-chords", 1.0)):
        for window in drawn[name]:
            chords = (window["ids"] >= e.CHORD) & (window["ids"] < e.NOTE)
            assert (window["weight"][chords] == weight).all()


# Playing


@EACH_LAYOUT
@pytest.mark.parametrize("seed", range(4))
def test_any_logits_give_bars_that_can_be_read(layout, seed):
    rng = np.random.default_rng(seed + 50)
    asked = replace(request(seed), layout=layout)
    for bar in asked.bars[:3]:
        bar.jam = False  # Listening: the next melody is known until the last of these.
    player = Song(asked, Choice(1.0, 1.5, 1.0), 512)
    tokens = written(player, lambda: said(rng.normal(0, 3, e.VOCABULARY)))
    check_read_back(layout, asked, player.answers, tokens)


def check_read_back(layout: Layout, asked: sample.Request, answers: list[Bar], tokens: list[int]) -> None:
    bars, reader = read_all(layout, tokens)
    assert [(bar.jam, bar.metre) for bar in bars] == [(bar.jam, bar.metre) for bar in asked.bars]
    for bar, answer, parts in zip(bars, answers, asked.asked, strict=True):
        assert tuple(bar.parts) == parts
        assert bar.parts == without_velocities(answer.parts) and bar.chords == answer.chords
        assert len(bar.chords) == len(layout.segments(bar.metre) if bar.jam else e.SEGMENTS[bar.metre])
    if isinstance(layout, NextBar):
        said_to_follow = [following is not None for following in reader.following]
        assert said_to_follow == [*(not a.jam and not b.jam for a, b in zip(bars, bars[1:], strict=False)), False]


@EACH_LAYOUT
@pytest.mark.parametrize("seed", range(3))
def test_a_talkative_network_stays_in_the_window(layout, seed):
    rng = np.random.default_rng(seed)
    asked = replace(request(seed, bars=10), layout=layout)
    for bar, number in zip(asked.bars, range(10), strict=True):
        bar.jam = number >= 2

    def talkative() -> Outputs:
        logits = rng.normal(0, 1, e.VOCABULARY)
        logits[e.PART : e.BAR] += 6
        logits[e.POS : e.CHORD] += 8
        logits[e.NOTE :] += 5
        return said(logits)

    assert len(decode(layout, written(Song(asked, Choice(), 512), talkative))) == 10


# Learning and measuring


@pytest.fixture
def short(monkeypatch):
    """Two steps, with a little playing along before the second."""
    monkeypatch.setattr(train, "COLLECTED_BARS", 2)
    monkeypatch.setattr(trial, "QUICK_STEPS", 2)


def taught(variant: Variant, folder) -> train.Trainer:
    runs = [*(tune(seed) for seed in range(2)), tune(9, split="validation")]
    return trial.teach(variant, runs, folder, Settings(quick=True))


@EACH
def test_a_variant_learns_and_plays_in_its_grammar(name, tmp_path, short):
    variant = VARIANTS[name]
    trainer = taught(variant, tmp_path)
    model, layout = trainer.model.eval(), variant.recipe.layout
    assert trainer.step == 2 and len(trainer.windows.self_made) == (name != "no-self-made")
    assert len(trainer.optimisers) == (1 if name == "adamw" else 2)
    assert (model.told is None) == (name == "at-tokens") == (len(model.condition_weights()) == 1)
    for jam in (False, True):
        asked = measure.in_recipe(playing.request(tune(5, bars=3), jam), variant.recipe)
        player = Song(asked, Choice(), 512)
        tokens = noted(player)
        assert play_checked(model, [player]) > 20
        check_read_back(layout, asked, player.answers, tokens)


def test_adamw_takes_all_weights():
    model = Transformer(Shape(32, 1, 2))
    (adamw,) = train.optimisers(model, muon=False)
    decays = [group["weight_decay"] for group in adamw.param_groups]
    assert type(adamw) is torch.optim.AdamW and decays == [train.WEIGHT_DECAY, 0]
    assert sum(len(group["params"]) for group in adamw.param_groups) == len(list(model.parameters()))


class Undecided:
    """A network to which all tokens are alike."""

    def __init__(self):
        self.lengths: list[int] = []

    def __call__(self, ids, cond) -> Outputs:
        assert ids.shape == cond.shape[:2]
        self.lengths.append(ids.shape[1])
        return Outputs(torch.zeros(1, ids.shape[1], e.VOCABULARY), None, None)


@BOTH
@EACH_LAYOUT
def test_the_loss_counts_every_choice_from_bar_five_on(layout, jam):
    runs, network = [tune(1, bars=21), tune(2, 1, bars=12)], Undecided()
    found = measure.held_out_loss(network, train.Recipe(layout=layout), runs, jam)
    for song_, run in enumerate(runs):
        roles = [r for i in range(4, run.bars) for r in layout.roles(layout.encode(run.bar(i, run.parts, jam)))]
        chords = roles.count(Role.CHORD)
        parts = roles.count(Role.CHOSEN) + roles.count(Role.CLOSING)
        each = np.log(e.VOCABULARY)
        assert found["chord loss"][song_] == pytest.approx([chords * each, chords])
        assert found["part loss"][song_] == pytest.approx([parts * each, parts])
        assert found["nats a bar"][song_] == pytest.approx([(chords + parts) * each, run.bars - 4])
    assert len(network.lengths) == 9 + 4
    assert 350 < max(network.lengths) <= train.LENGTH


def test_all_measures_of_a_variant(tmp_path, short):
    variant, songs = VARIANTS["beats"], [tune(5, bars=6), tune(6, 1, bars=6)]
    trainer = taught(variant, tmp_path)
    found = measure.measure(trainer.last, variant.recipe, songs, seeds=2)
    assert list(found) == ["known", "jam"]
    for measured in found.values():
        assert list(measured.values) == list(measure.MEASURES) and None not in measured.values.values()
        assert set(measured.by_song) == {*measure.LOSSES, *measure.RATIOS, measure.UNAIDED_FIT}
        assert all(np.shape(sums) == (2, 2) for sums in measured.by_song.values())
        assert measured.values["part loss"] < np.log(e.VOCABULARY) + 1
        assert [bars for _, bars in measured.by_song["nats a bar"]] == [2, 2]
    people = measure.measure_baselines(songs)
    assert list(people) == ["human", "another song, same key"]
    human = people["human"].values
    assert human["pitch overlap"] == 1 and human["fit, unaided"] == human["fit"] and "nats a bar" not in human


# The table


def a_result(name: str, fit: float = 0.7) -> dict:
    songs = 6
    ratios = {m: [[70.0, 100.0]] * songs for m in (*measure.LOSSES, *measure.RATIOS, measure.UNAIDED_FIT)}
    ratios["fit"] = [[100 * fit + song_, 100.0] for song_ in range(songs)]
    values = dict.fromkeys(measure.MEASURES, 0.7) | {"fit": fit + 0.025}
    modes = {mode: {"values": values, "by_song": ratios} for mode in measure.MODES}
    return {"variant": name, "settings": asdict(Settings()), "steps": 1234, "parameters": 9, "modes": modes}


BASELINES = {
    name: measure.Measured({"fit": fit, "clash": 0.02}, {}) for name, fit in (("human", 0.79), ("another song", 0.53))
}


def test_the_table_has_a_row_for_each(tmp_path):
    results = {name: a_result(name, 0.6 if name == "adamw" else 0.7) for name in VARIANTS}
    table.write(tmp_path, results, BASELINES)
    lines = (tmp_path / "ablations.md").read_text().splitlines()
    for title in [variant.title for variant in VARIANTS.values()] + list(BASELINES):
        assert sum(line.startswith(f"| {title} |") for line in lines) == 2
    assert len({line.count("|") for line in lines if line.startswith("|")}) == 1
    rows = {line.split(" | ")[0].removeprefix("| "): line.split(" | ") for line in lines if line.startswith("| ")}
    fit = 2 + measure.MEASURES.index("fit")
    assert rows["AdamW for the matrices too"][fit] == "**0.625**" and rows["jam by beats"][fit] == "0.725"
    assert rows["jam by beats"][2:4] == ["0.700 †", "0.700 †"] and rows["as shipped"][1] == "1234"
    assert rows["human"][2] == "–" and rows["human"][fit] == "0.790"
    assert (tmp_path / "ablations.png").read_bytes().startswith(b"\x89PNG")
    told = json.loads((tmp_path / "ablations.json").read_text())["variants"]
    assert told["adamw"]["beside base"]["jam"]["fit"] == pytest.approx([-0.1] * 3, abs=1e-4)
    assert list(told) == list(VARIANTS) and "chord loss" not in told["beats"]["beside base"]["jam"]


def test_results_that_are_there_are_kept(tmp_path, capsys):
    tried = []

    def fake(name: str) -> bool:
        tried.append(name)
        return name != "beats"

    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "result.json").write_text(json.dumps(a_result("base")))
    assert commands.try_all(["base", "adamw", "beats"], tmp_path, Settings(), fake) == ["beats"]
    assert tried == ["adamw", "beats"] and "adamw: AdamW for the matrices too (1 of 2)" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="other settings"):
        commands.try_all(["base"], tmp_path, Settings(minutes=9), fake)


def test_the_command_tries_each_and_writes_the_table(tmp_path, monkeypatch):
    people = [tune(seed, bars=14, split="validation") for seed in range(3)]
    dataset.save(tmp_path / "songs.npz", [tune(7), *people], {})
    out = tmp_path / "out"

    def run(command: list[str]) -> subprocess.CompletedProcess:
        """As `subprocess.run`, in this process and without a network."""
        assert command[1:3] == ["-m", "obbligato_models.ablations.trial"]
        monkeypatch.setattr("sys.argv", command[2:])
        try:
            trial.main()
        except SystemExit:
            return subprocess.CompletedProcess(command, 1)
        return subprocess.CompletedProcess(command, 0)

    def hold(name, runs, folder, settings) -> dict:
        assert len(runs) == 4 and folder == out / name
        if name == "beats":
            raise train.Spoilt("step 3: the loss is nan")
        folder.mkdir(parents=True)
        return a_result(name) | {"settings": asdict(settings)}

    monkeypatch.setattr(commands.subprocess, "run", run)
    monkeypatch.setattr(trial, "hold", hold)
    options = ["--dataset", str(tmp_path / "songs.npz"), "--out", str(out), "--minutes", "0.5"]
    monkeypatch.setattr("sys.argv", ["ablations", *options, "--only", "base", "beats", "by-time"])
    with pytest.raises(SystemExit, match="failed: beats"):
        commands.main()
    text = (out / "ablations.md").read_text()
    assert "0.5 minutes of one core's training each" in text and "| parts merged by time | 1234 |" in text
    assert "Without a result: AdamW for the matrices too" in text and "| jam by beats" not in text
