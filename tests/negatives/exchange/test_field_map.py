"""Field maps: what is written under other names is read back, and what cannot be is refused."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigjepa.errors import SigjepaError
from sigjepa.negatives.exchange.field_map import KEYS, MISSING, FieldMap

PAIR = {"anchor_id": 1, "neighbor_id": 2, "cosim": 0.9, "score_c": 1, "judge": "someone", "reason": "because"}
OTHERS = {
    "anchor_id": "anchor",
    "neighbor_id": "neighbor",
    "cosim": "cosine",
    "score_c": "judgement.score_c",
    "reason": "judgement.said.why",
}


def test_names_of_our_own_are_the_default():
    assert FieldMap().line(PAIR) == PAIR
    assert [FieldMap().get(PAIR, name) for name in KEYS] == list(PAIR.values())


def test_dots_reach_into_nested_objects():
    line = FieldMap(OTHERS).line(PAIR)
    assert line == {
        "anchor": 1,
        "neighbor": 2,
        "cosine": 0.9,
        "judge": "someone",
        "judgement": {"score_c": 1, "said": {"why": "because"}},
    }
    assert {name: FieldMap(OTHERS).get(line, name) for name in KEYS} == PAIR


words = st.text("abc", min_size=1, max_size=3)
names = st.lists(words, min_size=1, max_size=3).map(".".join)


def accepted(fields):
    try:
        return FieldMap(fields)
    except SigjepaError:
        return None


@given(
    st.dictionaries(st.sampled_from(KEYS), names).map(accepted).filter(bool),
    st.fixed_dictionaries({key: st.integers() for key in KEYS}),
)
def test_whatever_map_is_accepted_reads_what_it_wrote(field_map, values):
    line = field_map.line(values)
    assert {name: field_map.get(line, name) for name in KEYS} == values


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ({"judgement": {"score_c": None}}, None),
        ({"judgement": None}, None),
        ({"judgement": {}}, MISSING),
        ({"judgement": 3}, MISSING),
        ({"judgement": [1]}, MISSING),
        ({}, MISSING),
    ],
)
def test_null_is_told_from_missing(line, value):
    assert FieldMap(OTHERS).get(line, "score_c") is value


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"anchor": "anchor_id"}, "'anchor'.*'anchor_id'.*fields="),
        ({"cosim": "score_c"}, r"cosim \('score_c'\) .*score_c \('score_c'\)"),
        ({"cosim": "x", "score_c": "x.y"}, r"\('x'\) .*\('x.y'\)"),
        ({"cosim": "x.y", "score_c": "x"}, r"\('x.y'\) .*\('x'\)"),
    ],
)
def test_a_map_that_cannot_be_is_refused(fields, message):
    with pytest.raises(SigjepaError, match=message):
        FieldMap(fields)


@pytest.mark.parametrize(
    ("line", "name", "message"),
    [
        (
            {"anchor": 1, "b": 2},
            "anchor_id",
            r"no field 'anchor_id' for anchor_id\. Did you mean 'anchor'\? The line",
        ),
        ({"judgement": {"score_c": 1}}, "score_c", r"Did you mean 'judgement.score_c'\?"),
        ({}, "cosim", r"The line has none; name it with negatives.fields=\{cosim: <field>\}"),
    ],
)
def test_an_absent_field_is_answered_with_the_nearest(line, name, message):
    assert re.search(message, FieldMap().absence(line, name))
