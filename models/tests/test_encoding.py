"""The encoding against hand-written tokens, against its own reader, and against the fixture shared with Rust."""

import json
from pathlib import Path

import numpy as np
import pytest

from obbligato_models import encoding as e
from obbligato_models.encoding import Bar, Note

FIXTURE = Path(__file__).parents[1] / "parity" / "encoding.json"
CASES = json.loads(FIXTURE.read_text())["cases"]


def note(key: int, duration_class: int) -> int:
    return 185 + 15 * (key - 21) + duration_class


def test_known_bar_by_hand():
    bar = Bar(0, [Note(24, 12, 64), Note(0, 24, 60)], [0, 94], {0: [Note(0, 48, 36)], 2: []})
    assert e.encode(bar) == [8, 16, note(60, 11), 40, note(64, 8), 64, 158, 5, 16, note(36, 14), 7, 2]


def test_jam_bar_by_hand():
    # The first note ends at tick 22, where the melody was cut: heard to its end. The second rings into segment two.
    melody = [Note(0, 22, 60), Note(20, 10, 62), Note(23, 9, 64), Note(46, 1, 65), Note(47, 1, 66)]
    bar = Bar(0, melody, [0, 0], {1: [Note(30, 6, 55)]}, jam=True)
    first = [64, 6, 2, 3, 16, note(60, 11), 36, note(62, 0)]
    second = [64, 6, 46, note(55, 5), 2, 3, 4, note(62, 5), 4, note(64, 6), 62, note(65, 0)]
    assert e.encode(bar) == [12, *first, *second]


def test_sizes():
    assert e.VOCABULARY == 1505
    assert [e.duration_class(t) for t in (0, 5, 7, 10, 21, 42, 43, 500)] == [1, 4, 5, 7, 10, 13, 14, 14]
    assert [e.fold_key(k) for k in (9, 20, 21, 108, 109, 127)] == [21, 32, 21, 108, 97, 103]


@pytest.mark.parametrize("case", CASES, ids=[c["name"] for c in CASES])
def test_fixture(case):
    assert e.fixture_tokens(case) == case["tokens"]


@pytest.mark.parametrize("case", CASES, ids=[c["name"] for c in CASES])
def test_reading_gives_the_same_tokens(case):
    bars = e.decode(case["tokens"])
    if case["mode"] == "known":
        assert [t for bar in bars for t in e.encode(bar)] == case["tokens"][1:]
    given = e.fixture_bars(case)
    assert [bar.chords for bar in bars] == [bar.chords for bar in given]
    assert [sorted(bar.parts) for bar in bars] == [sorted(bar.parts) for bar in given]


@pytest.mark.parametrize("case", CASES, ids=[c["name"] for c in CASES])
def test_every_choice_in_the_fixture_is_allowed(case):
    """Walks through the parts and asks the sampler's mask about each token."""
    tokens, metre = case["tokens"], e.METRES.index(case["metre"])
    segment, part_at = 0, None
    for at, token in enumerate(tokens):
        if token in range(e.BAR, e.POS):
            segment = 0
        if part_at is not None:
            part = tokens[part_at] - e.PART
            asked = [e.PARTS.index(p) for p in case["asked"]]
            later = [p for p in asked if p > part]
            then = e.PART + later[0] if later else e.END
            line = (0, e.BAR_TICKS[metre]) if case["mode"] == "known" else e.SEGMENTS[metre][segment]
            mask = e.allowed_in_part(part, tokens[part_at + 1 : at], *line, then)
            assert mask[token], f"token {at}: {token}"
            assert not mask[: e.POS].any() or mask[: e.POS].sum() == 1
            assert not mask[e.CHORD : e.NOTE].any()
        if token in range(e.PART, e.BAR):
            part_at = at
        elif token == e.END:
            part_at = None
            segment += 1


def test_reader_refuses_what_the_grammar_does_not_allow():
    good = e.encode(Bar(0, [], [0, 0], {0: [Note(0, 12, 40), Note(12, 12, 43)]}))
    for at, wrong in [(1, e.END), (4, good[6]), (5, note(40, 0)), (6, e.POS), (7, e.POS + 20), (8, e.MELODY)]:
        with pytest.raises(ValueError):
            e.decode([*good[:at], wrong, *good[at + 1 :]])


def test_transposition_moves_keys_and_roots_only():
    up = e.transposition_table(5)
    tokens = np.array(CASES[0]["tokens"])
    moved = up[tokens]
    assert (e.transposition_table(-5)[moved] == tokens).all()
    before, after = e.decode(tokens), e.decode(moved)
    assert [n.key + 5 for b in before for n in b.melody] == [n.key for b in after for n in b.melody]
    assert e.chord_name(after[0].chords[0]) == "F maj"


def test_condition_vector():
    attributes = {1: e.measure([Note(0, 12, 60), Note(0, 12, 64), Note(24, 36, 67)], 48)}
    cond = e.condition([0.25, 0.75], attributes, [1], 60, 10)
    assert cond[:2].tolist() == [0.25, 0.75]
    assert cond[18:24].tolist() == pytest.approx([np.log2(0.625), 1, (191 / 3 - 60) / 12, 1, np.log2(20 / 12), 1])
    assert cond[30:36].tolist() == pytest.approx([-0.5, 1, 0, 1, 0, -1])
    assert cond[36:].tolist() == pytest.approx([1, 0, -1, 1, 0], abs=1e-6)
    assert not e.condition()[36:].any()


def test_velocities_go_with_the_notes_of_the_parts():
    melody = [Note(0, 12, 67, 100)]
    chords = [Note(0, 6, 60, 70), Note(0, 12, 60, 80), Note(30, 6, 55)]
    parts = {0: [Note(24, 12, 36, 50), Note(0, 12, 36, 60)], 1: chords}
    for jam, expected in ((False, [60, 50, 80, 0]), (True, [60, 80, 50, 0])):
        bar = Bar(0, melody, [0, 0], parts, jam)
        assert e.part_velocities(bar) == expected
    assert [e.loudness_class(v, 80) for v in (1, 77, 80, 84, 127)] == [0, 6, 6, 7, 11]
