"""The texture of a stretch, the classifier, and styles and blends with a player whose style is known."""

import numpy as np
import pytest
from made_up import every, song

from obbligato_models import encoding as e
from obbligato_models import styles
from obbligato_models.encoding import Bar, Note
from obbligato_models.evaluate import style


def texture(bass=(), chords=(), bars=1, metre=0) -> dict[str, float]:
    found = style.features(list(bass), list(chords), metre, bars)
    return dict(zip(style.FEATURES, found, strict=True))


def test_held_triads_over_a_bass():
    found = texture(every(48, 2, 36), every(24, 4, 60, 64, 67), bars=2)
    assert (found["bass onsets a quarter"], found["chords onsets a quarter"]) == (0.25, 0.5)
    assert (found["chords notes an onset"], found["chords share of three notes and more"]) == (3, 1)
    assert (found["bass mean key"], found["bass repeats"], found["chords repeat"]) == (3, 1, 1)
    assert (found["chords held to the next onset"], found["bass with chords"]) == (1, 1)
    assert (found["syncopation"], found["silent bars"], found["onsets as in the bar before"]) == (0, 0, 1)
    assert found["chords log duration"] == pytest.approx(np.log2(24))


def test_an_arpeggio_in_eighths():
    keys = (60, 64, 67, 72)
    found = texture(chords=[Note(6 * i, 3, keys[i % 4]) for i in range(8)])
    assert (found["chords onsets a quarter"], found["chords share of single notes"]) == (2, 1)
    assert (found["chords onsets off the beat"], found["chords onsets off the eighth"]) == (0.5, 0)
    assert found["chords held to the next onset"] == 0.5
    assert found["chords leap"] == pytest.approx((4 + 3 + 5 + 12 + 4 + 3 + 5) / 7 / 12)
    # Every off-beat is followed by a beat with an onset, but the last.
    assert found["syncopation"] == pytest.approx(1 / 8)
    assert (found["bass onsets a quarter"], found["bass with chords"]) == (0, 0)


def test_triplets_and_silence():
    found = texture(every(4, 12, 36), bars=2)
    assert found["triplet onsets"] == pytest.approx(8 / 12)
    assert (found["silent bars"], found["onsets as in the bar before"]) == (0.5, 0)
    assert not any(np.isnan(v) for v in texture().values())


def test_the_classifier_learns_what_can_be_told_apart():
    random = np.random.default_rng(2)
    centres = np.array([[0, 0, 0], [4, 0, 0], [0, 4, 0]])
    labels = random.choice([1, 5, 7], 300, p=[0.8, 0.1, 0.1])
    given = centres[np.searchsorted([1, 5, 7], labels)] + random.normal(0, 0.5, (300, 3))
    learnt = style.teach(given, labels)
    assert learnt.names == [1, 5, 7]
    assert learnt.styles(centres).tolist() == [1, 5, 7]
    assert style.recall(labels, learnt.styles(given)) > 0.98


def test_recall_weighs_styles_alike():
    asked, heard = np.array([0, 0, 0, 0, 1]), np.array([0, 0, 0, 1, 0])
    assert style.recall(asked, heard) == (3 / 4 + 0) / 2


def test_examples_are_sure_and_whole():
    weights = np.zeros((20, len(styles.NAMES)), np.float32)
    weights[:8, 2] = 1
    weights[8:16, [3, 4]] = 0.5
    weights[16:, 2] = 1  # Only half a stretch.
    run = song(every(12, 80, 72), every(48, 20, 36), every(24, 40, 60, 64), bars=20, styles=weights)
    given, labels, songs = style.examples([run])
    assert labels.tolist() == [2] and songs.tolist() == [0]
    assert given[0].tolist() == pytest.approx(list(texture(every(48, 8, 36), every(24, 16, 60, 64), 8).values()))


class MadeUpPlayer:
    """Plays as many chords a bar as the weight of the last style asks for: 1 to 9."""

    def play(self, requests):
        return [[self.bar(r, i) for i in range(len(r.bars))] for r in requests]

    def bar(self, request, index) -> Bar:
        weight = float(request.conds[index][e.STYLES + len(styles.NAMES) - 1])
        assert request.asked[index] == style.ASKED
        return Bar(request.bars[index].metre, parts={e.CHORDS: every(4, 1 + round(8 * weight), 60, 64, 67)})


def test_styles_are_asked_for_and_measured():
    runs = [song(every(12, 64, 72), every(48, 16, 36), bars=16) for _ in range(2)]
    last = len(styles.NAMES) - 1
    played = style.play_styles(MadeUpPlayer(), runs, [style.one_style(0), style.one_style(last)], 16, seed=0)
    assert [len(stretches) for songs in played for stretches in songs] == [2, 2, 2, 2]
    density = style.FEATURES.index("chords onsets a quarter")
    assert [songs[0][0][density] for songs in played] == [1 / 4, 9 / 4]


@pytest.mark.parametrize(("direction", "expected"), [(1, 1), (-1, -1)])
def test_blends_move_the_features(direction, expected):
    """A classifier for which the last style is the denser one, and one for which it is the sparser."""
    run = song(every(12, 32, 72), every(48, 8, 36), bars=8)
    last = len(styles.NAMES) - 1
    weights = np.zeros((len(style.FEATURES) + 1, 2))
    weights[style.FEATURES.index("chords onsets a quarter"), 1] = direction
    judge = style.Classifier([last - 1, last], np.zeros(len(style.FEATURES)), np.ones(len(style.FEATURES)), weights)
    vectors = [style.blend(last - 1, last, share) for share in style.BLENDS]
    assert [v[last - 1 :].tolist() for v in vectors[::4]] == [[1, 0], [0, 1]]
    played = style.play_styles(MadeUpPlayer(), [run], vectors, style.STRETCH, seed=0)
    assert style.blend_order(judge, last - 1, last, [songs[0] for songs in played]) == pytest.approx(expected)
