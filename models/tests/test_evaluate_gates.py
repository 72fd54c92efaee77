"""Verdicts, and the whole table for a player that copies people and one that never plays."""

import json

import numpy as np
import pytest
import torch
from made_up import every, song

from obbligato_models import encoding as e
from obbligato_models import styles
from obbligato_models.encoding import Bar, Note
from obbligato_models.evaluate import excerpts, gates, report, trials
from obbligato_models.evaluate.gates import Bound
from obbligato_models.evaluate.intervals import Estimate
from obbligato_models.transformer.model import Shape, Transformer


@pytest.mark.parametrize(
    ("bound", "found", "verdict"),
    [
        (Bound("at least", 0.7, 0.8), (0.85, 0.81, 0.9), "aim"),
        (Bound("at least", 0.7, 0.8), (0.85, 0.79, 0.9), "aim ?"),
        (Bound("at least", 0.7, 0.8), (0.75, 0.71, 0.81), "first gate"),
        (Bound("at least", 0.7, 0.8), (0.75, 0.69, 0.81), "first gate ?"),
        (Bound("at least", 0.7, 0.8), (0.65, 0.60, 0.71), "missed ?"),
        (Bound("at least", 0.7, 0.8), (0.65, 0.60, 0.69), "missed"),
        (Bound("at most", 0.03, 0.02), (0.01, 0.0, 0.02), "aim"),
        (Bound("at most", 0.03, 0.02), (0.025, 0.01, 0.04), "first gate ?"),
        (Bound("at most", 0.03, 0.02), (0.05, 0.04, 0.06), "missed"),
        (Bound("within", 0.08, 0.04), (-0.03, -0.039, 0.01), "aim"),
        (Bound("within", 0.08, 0.04), (-0.03, -0.05, 0.01), "aim ?"),
        (Bound("within", 0.08, 0.04), (0.09, -0.01, 0.2), "missed ?"),
        (Bound("within", 0.08, 0.04), (0.2, 0.1, 0.3), "missed"),
        (Bound("at least", 0.7, 0.8), (np.nan, np.nan, np.nan), "not measured"),
    ],
)
def test_verdicts(bound, found, verdict):
    assert bound.verdict(Estimate(*found)) == verdict


def test_limits_in_words():
    assert Bound("at least", 0.74, 0.77).words(0.74) == "≥ 0.74"
    assert Bound("at most", 0.05, 0.02, beside_human=True).words(0.05) == "≤ human +0.05"
    assert Bound("within", 0.08, 0.04, beside_human=True).words(0.04) == "within 0.04"


# The whole table


def made_up_song(number: int, source: str, split: str, style: int):
    """Sixty-four bars of I IV V I with a melody of chord tones; every style has its own number of chords a bar."""
    random = np.random.default_rng(number)
    melody, bass, chords, labels = [], [], [], []
    for bar in range(64):
        root = (0, 5, 7, 0)[bar % 4] + number % 12
        tones = [root, root + 4, root + 7]
        labels.append([10 * (root % 12)] * 2)
        line = 48 * bar
        count = 2 if bar % 8 == 7 else 4  # A phrase ends.
        melody += [Note(line + 12 * i, 12, 60 + int(random.choice(tones))) for i in range(count)]
        bass.append(Note(line, 48, 36 + root % 12))
        chords += every(4, 1 + style, *sorted(48 + t % 12 for t in tones), duration=36, first=line)
    weights = np.zeros((64, len(styles.NAMES)), np.float32)
    weights[:, style] = 1
    name = f"{source}/{split}{number}"
    return song(
        melody, bass, chords, bars=64, labels=np.array(labels), song=name, source=source, split=split, styles=weights
    )


def everything() -> list:
    sources = ("pop909", "lieder", "open_hymnal", "bach_chorales")
    return [made_up_song(i, sources[i % 4], "train" if i < 8 else "validation", i % 2) for i in range(16)]


class Copyist:
    """Plays what people played in the bars it is asked for; of densities and styles it knows nothing."""

    def play(self, requests):
        return [[self.bar(r, i) for i in range(len(r.bars))] for r in requests]

    def bar(self, request, index) -> Bar:
        given = request.bars[index]
        return Bar(given.metre, given.melody, given.chords, dict(given.parts), given.jam)


class Silent(Copyist):
    def bar(self, request, index) -> Bar:
        given = request.bars[index]
        return Bar(given.metre, given.melody, [e.NO_CHORD] * 2, {p: [] for p in request.asked[index]}, given.jam)


SIZE = trials.Size(
    {s: excerpts.Wanted(2) for s in ("pop909", "lieder", "open_hymnal", "bach_chorales")},
    {"pop909": excerpts.Wanted(2, 64)},
    bars=16,
    seeds=2,
    style_songs=2,
    style_bars=8,
    blend_songs=1,
)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    model = Transformer(Shape(16, 1, 1, 512))
    path = tmp_path_factory.mktemp("run") / "last.pt"
    torch.save({"shape": vars(model.shape), "model": model.state_dict(), "controls": styles.NO_CONTROLS}, path)
    return path


def table(checkpoint, player) -> tuple[trials.Trials, dict[str, gates.Row]]:
    held = trials.hold(checkpoint, everything(), "validation", SIZE, player)
    return held, {row.metric: row for row in gates.rows(held)}


def test_people_pass_their_own_gates(checkpoint, tmp_path):
    held, rows = table(checkpoint, Copyist())
    assert len(held.runs) == 8 and all(run.bars == 16 for run in held.runs)
    unmoved = {
        "melody moved three bars: loss of the chord tokens rises, nats",  # Of the network, not of the player.
        "density asked for and got, rank correlation",
        "blend of two neighbouring styles moves the features, rank correlation",
        "style asked for is recognised",
    }
    for metric, row in rows.items():
        if metric not in unmoved:
            assert row.verdict == "aim", (metric, row)
            assert row.model.value == pytest.approx(row.human, nan_ok=True), metric
    # The same music for both styles: heard as its own style each time, which was asked for half of the time.
    assert rows["style asked for is recognised"].model.value == 0.5
    assert rows["style asked for is recognised"].human == 1
    assert rows["density asked for and got, rank correlation"].model.value == pytest.approx(0, abs=1e-9)

    report.write(tmp_path, held, list(rows.values()), {}, "validation", SIZE.seeds)
    result = json.loads((tmp_path / "gates.json").read_text())
    assert result["all"]["human"] == result["all"]["model, melody known"]
    assert [g["verdict"] for g in result["gates"]] == [row.verdict for row in rows.values()]
    lines = (tmp_path / "gates.md").read_text().splitlines()
    assert sum(line.startswith("| ") for line in lines) > len(rows)
    assert (tmp_path / "gates.png").read_bytes().startswith(b"\x89PNG")
    assert len(list((tmp_path / "midi").glob("*.mid"))) == 8 * len(report.HEARD)


def test_silence_passes_no_gate_of_music(checkpoint):
    held, rows = table(checkpoint, Silent())
    missed = {metric for metric, row in rows.items() if row.verdict.startswith(("missed", "not measured"))}
    passed = set(rows) - missed
    assert passed <= {
        "semitone clash",
        "muted part silent",
        "grammar errors",
        "share of notes in runs of 24 and more that stand in the training set",
        "64 bars: bars struck as the bar before",
        "64 bars: fit of the last 16 less that of bars 17 to 32",
        "melody moved three bars: loss of the chord tokens rises, nats",
    }
    assert held.bars_read > 1000 and not held.errors


def test_a_side_without_songs_is_refused(checkpoint):
    with pytest.raises(SystemExit, match="no songs of the test side"):
        trials.hold(checkpoint, everything(), "test", SIZE, Copyist())
