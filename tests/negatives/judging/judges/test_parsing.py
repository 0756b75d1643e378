"""Reading answers: JSON in any wrapping, and nothing else."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigjepa.negatives.judging.judges.judge import SCORES
from sigjepa.negatives.judging.judges.parsing import UnusableAnswerError, read_answer

GOOD = '{"reason": "both {add}", "score_c": 2}'


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        f"\n {GOOD} \n",
        f"```json\n{GOOD}\n```",
        f"Sure, here it is: {GOOD} I hope it helps {{really}}.",
        f"{GOOD}\n{GOOD}",
        f'<think>maybe {{"reason": "no", "score_c": 0}}</think>{GOOD}',
        f"{{ not json {GOOD}",
        '{"score_c": 2, "reason": "both {add}"}',
        f'[THINK]maybe {{"reason": "no", "score_c": 0}}[/THINK]{GOOD}',
    ],
)
def test_a_judgement_in_any_wrapping(text):
    assert read_answer(text) == (2, "both {add}")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "empty"),
        ("<think>hm</think>", "empty"),
        (f"<think>maybe {GOOD} but", "thinks"),
        (f"<Thinking> {GOOD}", "thinks"),
        (f"[THINK]{GOOD}", "thinks"),
        (f"◁think▷{GOOD}", "thinks"),
        (f"<think>so</think><think>{GOOD}", "thinks"),
        ("score: 3", "JSON"),
        ("3", "JSON"),
        (GOOD[:-5], "JSON"),
        ("[2]", "JSON"),
        ('{"score_c": 2}', "reason"),
        ('{"score": 2}', "reason.*score_c"),
        ('{"reason": "", "score_c": "2"}', 'score_c .*"2"'),
        ('{"reason": "", "score_c": 2.0}', "score_c .*2.0"),
        ('{"reason": "", "score_c": true}', "score_c .*true"),
        ('{"reason": "", "score_c": [2]}', "score_c .*list"),
        ('{"reason": "", "score_c": 7}', "score_c .*7"),
        ('{"reason": 5, "score_c": 2}', "reason .*string"),
        ('{"reason": "", "score_c": 2, "also": 1}', "'also'"),
        (f'{GOOD} or {{"reason": "", "score_c": 3}}', r"\(2, 3\)"),
        ("{" * 50_000, "JSON"),
        ('{"a":' * 4_000, "JSON"),
        ('{"reason": "", "score_c": ' + "9" * 10_000 + "}", "JSON"),
    ],
)
def test_what_is_no_judgement_is_named(text, problem):
    with pytest.raises(UnusableAnswerError, match=problem):
        read_answer(text)


def test_a_reason_can_be_written_to_a_file():
    _, reason = read_answer('{"reason": "\\ud800' + "long" * 500 + '", "score_c": 1}')
    reason.encode()
    assert len(reason) == 500


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["reason", "score_c"]) | st.text(), inner)
    ),
    max_leaves=5,
)


@given(st.text() | values.map(json.dumps) | st.lists(values.map(json.dumps) | st.text(max_size=5)).map("".join))
def test_arbitrary_text_is_a_judgement_or_unusable(text):
    try:
        score, reason = read_answer(text)
    except UnusableAnswerError:
        return
    assert score in SCORES
    assert isinstance(reason, str)


@given(
    st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=50),
    st.sampled_from(list(SCORES)),
    st.text("ab \n}]:,", max_size=30),
)
def test_every_valid_answer_is_read(reason, score, around):
    text = f"{around}{json.dumps({'reason': reason, 'score_c': score})}{around}"
    if "</think>" not in text:
        assert read_answer(text) == (score, reason)


def test_a_reason_may_speak_of_thinking():
    assert read_answer('{"reason": "both strip <think> tags", "score_c": 1}')[0] == 1
