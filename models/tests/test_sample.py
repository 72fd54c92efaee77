"""Whatever the network says, the sampler writes what the grammar allows."""

import numpy as np
import pytest
import torch

from obbligato_models import encoding as e
from obbligato_models.encoding import Bar, Note
from obbligato_models.transformer import sample
from obbligato_models.transformer.model import Outputs, Shape, Stepper, Transformer
from obbligato_models.transformer.sample import Choice, Request, Song

SEEDS = range(6)
WINDOW = 512


def request(seed: int, bars: int = 8, **options) -> Request:
    """Made-up melody, metre, mode and parts."""
    rng = np.random.default_rng(seed)
    metre, jam = int(rng.integers(4)), bool(rng.integers(2))
    asked = tuple(p for p in range(3) if rng.random() < 0.7)
    line, music = e.BAR_TICKS[metre], []
    for _ in range(bars):
        melody = [Note(int(t), int(rng.integers(1, 60)), int(rng.integers(50, 90))) for t in rng.integers(-9, line, 6)]
        chords = [int(rng.integers(121)) for _ in e.SEGMENTS[metre]]
        music.append(Bar(metre, melody, chords, {}, jam))
    cond = e.condition((), {}, asked)
    return Request(music, [cond] * bars, [asked] * bars, seed=seed, **options)


def said(logits: np.ndarray) -> Outputs:
    """A network that says nothing but logits."""
    return Outputs(logits, np.zeros(e.LOUDNESS_CLASSES), np.zeros(12))


def noted(song: Song) -> list[int]:
    """Fills up with every token that the song reads and writes, also those no longer in the window."""
    tokens: list[int] = []
    read = song.read

    def read_and_note(more: list[int]) -> None:
        tokens.extend(more)
        read(more)

    song.read = read_and_note
    return tokens


def written(song: Song, answers) -> list[int]:
    """Drives a song with the given source of outputs. Returns every token."""
    tokens = noted(song)
    run, outputs = song.run(), None
    fed = 0
    while True:
        try:
            restart, feed = run.send(outputs)
        except StopIteration:
            return tokens
        fed = len(feed) if restart else fed + len(feed)
        assert 0 < len(feed) and fed <= WINDOW
        assert feed[0][0] == e.START if restart else feed[0][0] != e.START
        outputs = answers()


class CheckedCaches(sample.Caches):
    """Says what the network says without a cache too. What is drawn cannot be compared instead: of hundreds of choices
    one lies so close to the next that rounding tips it."""

    def __init__(self, step: Stepper, songs: int):
        super().__init__(step, songs)
        self.fed: list[list[tuple[int, np.ndarray]]] = [[] for _ in range(songs)]
        self.answers = 0

    def read(self, songs, past, tokens) -> list[Outputs]:
        outputs = super().read(songs, past, tokens)
        for song, before, more, output in zip(songs, past, tokens, outputs, strict=True):
            self.fed[song] = [*self.fed[song][:before], *more]
            ids, cond = zip(*self.fed[song], strict=True)
            whole = self.step.model(torch.tensor([ids]), torch.from_numpy(np.stack(cond))[None])
            for name, here, expected in zip(Outputs._fields, output, whole, strict=True):
                np.testing.assert_allclose(here, expected[0, -1], rtol=0, atol=1e-5, err_msg=name)
            self.answers += 1
        return outputs


@torch.no_grad()
def play_checked(model: Transformer, songs: list[Song]) -> int:
    """Plays songs side by side as `sample.play` does, each answer compared. Returns how many there were."""
    caches = CheckedCaches(Stepper(model), len(songs))
    sample.play_all(songs, caches)
    return caches.answers


@pytest.mark.parametrize("seed", SEEDS)
def test_any_logits_give_valid_bars(seed):
    rng = np.random.default_rng(seed + 100)
    asked = request(seed)
    song = Song(asked, Choice(1.0, 1.5, 1.0), WINDOW)
    bars = e.decode(written(song, lambda: said(rng.normal(0, 3, e.VOCABULARY))))
    assert len(bars) == len(asked.bars)
    for bar, answer, given, parts in zip(bars, song.answers, asked.bars, asked.asked, strict=True):
        assert bar.jam == given.jam and bar.metre == given.metre
        assert tuple(sorted(bar.parts)) == parts
        assert bar.parts == without_velocities(answer.parts) and bar.chords == answer.chords


@pytest.mark.parametrize("seed", SEEDS)
def test_a_long_song_stays_in_the_window(seed):
    """A network that never wants to stop: logits favour notes and positions over ends."""
    rng = np.random.default_rng(seed)
    asked = request(seed, bars=30)

    def talkative() -> Outputs:
        logits = rng.normal(0, 1, e.VOCABULARY)
        logits[e.POS : e.CHORD] += 8
        logits[e.NOTE :] += 5
        return said(logits)

    assert len(e.decode(written(Song(asked, Choice(), WINDOW), talkative))) == 30


def without_velocities(parts: dict[int, list[Note]]) -> dict[int, list[Note]]:
    return {part: [n._replace(velocity=0) for n in notes] for part, notes in parts.items()}


def test_given_chords_and_given_bars_are_kept():
    rng = np.random.default_rng(3)
    asked = request(4, given_chords=True, given_bars=2)
    for bar, parts in zip(asked.bars, asked.asked, strict=True):
        bar.parts = {p: [Note(0, 12, 48)] for p in parts}
    song = Song(asked, Choice(), WINDOW)
    bars = e.decode(written(song, lambda: said(rng.normal(0, 1, e.VOCABULARY))))
    assert [b.chords for b in bars] == [b.chords for b in asked.bars]
    assert all(bar.parts == given.parts for bar, given in zip(bars[:2], asked.bars[:2], strict=True))


def test_top_p_and_temperature():
    logits = np.log(np.array([0.5, 0.3, 0.15, 0.05]))
    allowed = np.array([True, True, True, True])
    rng = np.random.default_rng(1)
    assert {sample.pick(logits, allowed, 1.0, 0.7, rng) for _ in range(200)} == {0, 1}
    assert {sample.pick(logits, allowed, 0.01, 1.0, rng) for _ in range(50)} == {0}
    allowed[0] = False
    counts = np.bincount([sample.pick(logits, allowed, 1.0, 1.0, rng) for _ in range(2000)], minlength=4) / 2000
    assert counts == pytest.approx([0, 0.6, 0.3, 0.1], abs=0.04)


def test_batched_cache_computes_the_whole_forward():
    """Songs of different lengths side by side get the logits that each gets alone, without a cache."""
    torch.manual_seed(2)
    model = Transformer(Shape(32, 2, 2, 512)).eval()
    for value in model.parameters():
        torch.nn.init.normal_(value, 0, 0.1)
    songs = [Song(request(s, bars=3), Choice(0.5, 0.5, 0.9), WINDOW) for s in (0, 1, 2)]
    assert play_checked(model, songs) > 100


def test_a_chord_is_drawn_towards_the_melody_expected():
    expected = np.full(12, -9.0)
    expected[[2, 5, 9]] = 3
    fit = sample.expected_fit(expected)
    assert fit[e.chord_class("D min")] > 0.99 and fit[e.chord_class("C maj")] < 0.01 and fit[e.NO_CHORD] == 0
    song = Request([Bar(0, jam=True)] * 4, [e.condition()] * 4, [()] * 4, seed=1)
    heard = [Outputs(np.zeros(e.VOCABULARY), np.zeros(e.LOUDNESS_CLASSES), expected)]
    for foresight, likely in ((0, False), (20, True)):
        written(player := Song(song, Choice(foresight=foresight), WINDOW), lambda: heard[0])
        chosen = [chord for bar in player.answers for chord in bar.chords]
        assert all(fit[chord] > 0.9 for chord in chosen) == likely


def test_loud_notes_come_out_loud():
    def played(loud: int) -> float:
        song = Song(request(0), Choice(), WINDOW)
        rng = np.random.default_rng(3)
        peak = np.where(np.arange(e.LOUDNESS_CLASSES) == loud, 30.0, 0.0)
        written(song, lambda: Outputs(rng.normal(0, 1, e.VOCABULARY), peak, np.zeros(12)))
        return float(np.mean([n.velocity for bar in song.answers for notes in bar.parts.values() for n in notes]))

    assert played(2) < 60 < 95 < played(9)


def tune(*bars: int) -> list[Bar]:
    """Bars of three notes each; the same number, the same tune."""
    return [Bar(0, [Note(12 * i, 12, 60 + (7 * number + 5 * i) % 24) for i in range(3)]) for number in bars]


def arranged(music: list[Bar], choice: Choice | None = None, **options) -> list[tuple]:
    """What a network of random words makes of each bar."""
    asked = (e.BASS, e.CHORDS)
    conds = options.pop("conds", [e.condition((), {}, asked, bar=i) for i in range(len(music))])
    song = Song(Request(music, conds, [asked] * len(music), **options), choice or Choice(), WINDOW)
    rng = np.random.default_rng(5)
    read = e.decode(written(song, lambda: said(rng.normal(0, 3, e.VOCABULARY))))
    assert [bar.parts for bar in read] == [without_velocities(bar.parts) for bar in song.answers], "what is read"
    return [(bar.chords, bar.parts) for bar in song.answers]


def again(answers: list[tuple]) -> list[int | None]:
    """The earlier bar that each is the same as."""
    return [next((j for j in range(i) if answers[j] == answer), None) for i, answer in enumerate(answers)]


VERSE = (1, 2, 3, 4, 1, 2, 3, 4, 5)


def test_a_tune_that_comes_round_is_arranged_as_it_was():
    assert again(arranged(tune(*VERSE))) == [None] * 6 + [2, 3, None]
    assert again(arranged(tune(*VERSE), Choice(again=0))) == [None] * 9
    assert again(arranged(tune(*[1] * 6))) == [None] * 6, "one bar over and over is no tune that comes round"
    assert again(arranged(tune(*[1] * 8))) == [None] * 6 + [2, 3], "four bars of it are"
    in_jam = [Bar(bar.metre, bar.melody, [], {}, True) for bar in tune(*VERSE)]
    assert again(arranged(in_jam)) == [None] * 9, "in a jam the host says when a loop comes round"


def test_it_is_not_where_settings_or_chords_are_others():
    asked = (e.BASS, e.CHORDS)
    dense = e.condition((), {e.BASS: e.Attributes(density=2.0)}, asked)
    sparse = e.condition((), {}, asked)
    assert again(arranged(tune(*VERSE), conds=[sparse] * 6 + [dense] * 3)) == [None] * 9
    chords = [[0, 0], [1, 1], [2, 2], [3, 3], [0, 0], [1, 1], [2, 2], [4, 4], [5, 5]]
    music = [Bar(bar.metre, bar.melody, given) for bar, given in zip(tune(*VERSE), chords, strict=True)]
    found = arranged(music, given_chords=True)
    assert again(found) == [None] * 6 + [2, None, None] and [c for c, _ in found] == chords
