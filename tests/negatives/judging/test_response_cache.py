"""The response cache: whatever byte a process is killed at, nothing whole is lost, and nothing broken is believed."""

import json
import multiprocessing
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sigjepa.errors import DamagedError, SigjepaError
from sigjepa.negatives.judging.judges.judge import SCORES, Judge, Judgement
from sigjepa.negatives.judging.response_cache import ResponseCache, held_ledgers, ledgers, pair_hash, slug
from sigjepa.store.files import read_json
from sigjepa.store.manifest import checksum_of


class NamedJudge(Judge):
    def __init__(self, model="tiny"):
        self.model = model

    @property
    def name(self):
        return f"named: {self.model}"

    def fingerprint(self):
        return {"judge": "named", "model": self.model, "prompt_version": "score_c_v1"}


JUDGE = NamedJudge()

answers = st.builds(
    Judgement,
    st.sampled_from([*SCORES, None]),
    st.text(max_size=20),
    st.dictionaries(st.text(max_size=5), st.lists(st.floats(0, 1), max_size=4), max_size=2),
)
entries = st.lists(st.tuples(st.tuples(st.text(max_size=6), st.text(max_size=6)), answers), max_size=8)


def recorded(data_dir, entries, judge=JUDGE):
    """The ledger of a writer that has appended some answers; it has none without."""
    with ResponseCache(data_dir, judge, []) as responses:
        for pair, answer in entries:
            responses.append(pair, answer)
    return responses.path


def found(data_dir, pairs, judge=JUDGE, retries=0):
    """What another writer finds of some pairs, when the ledgers have been checked."""
    with held_ledgers(data_dir, judge), ResponseCache(data_dir, judge, pairs) as responses:
        return [responses.find(pair, retries) for pair in pairs]


def one_pair(score=1):
    return ("a", "b"), Judgement(score, "because", {"p": [0.5]})


def test_a_line_says_who_judged_what_and_how(tmp_path):
    path = recorded(tmp_path, [one_pair()])
    line = json.loads(path.read_text())
    assert line.pop("checksum") == checksum_of(line)
    assert line == {
        "pair": ["a", "b"],
        "judge": "named: tiny",
        "model": "tiny",
        "prompt_version": "score_c_v1",
        "score_c": 1,
        "reason": "because",
        "details": {"p": [0.5]},
    }
    assert path.parent == tmp_path / "responses"
    assert path.name.startswith("named-tiny-")
    assert found(tmp_path, [("a", "b")]) == [one_pair()[1]]
    (fingerprint,) = path.parent.glob("named-tiny-*.fingerprint.json")
    assert read_json(fingerprint) == JUDGE.fingerprint()


def test_a_ledger_without_a_writers_name_is_read(tmp_path):
    """As those are called that one writer kept for all."""
    path = recorded(tmp_path, [one_pair()])
    path.rename(path.with_name(f"{path.name.partition('.')[0]}.jsonl"))
    recorded(tmp_path, [(("a", "b"), Judgement(3, "later")), (("c", "d"), Judgement(2, "other"))])
    assert found(tmp_path, [("a", "b"), ("c", "d")]) == [one_pair()[1], Judgement(2, "other")]


def test_another_score_in_a_line_is_noticed(tmp_path):
    path = recorded(tmp_path, [one_pair()])
    path.write_text(path.read_text().replace('"score_c": 1', '"score_c": 3'))
    with pytest.raises(DamagedError, match=":1: .*repair=true"):
        found(tmp_path, [])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(entries, max_size=3), st.integers(0, 2))
def test_what_all_writers_append_is_found_in_the_order_of_the_ledgers(tmp_path_factory, writers, retries):
    data_dir = tmp_path_factory.mktemp("data")
    for entries in writers:
        recorded(data_dir, entries)
    given_to = {}
    for pair, answer in (entry for entries in writers for entry in entries):
        given_to.setdefault(pair, []).append(answer)
    expected = []
    for answers in given_to.values():
        scored = [answer for answer in answers[: retries + 1] if answer.score_c is not None]
        expected.append(scored[0] if scored else answers[retries] if len(answers) > retries else None)
    assert found(data_dir, [*given_to], retries=retries) == expected
    # what is told before it is asked agrees, but for a score that came too late to count
    with held_ledgers(data_dir, JUDGE) as known:
        answered = known.answered(np.array([*map(pair_hash, given_to)], np.uint64), retries)
    assert all(answered[[answer is not None for answer in expected]])


@settings(max_examples=50, deadline=None)
@given(entries.filter(bool), st.data())
def test_cut_at_any_byte_keeps_every_whole_line(tmp_path_factory, entries, data):
    data_dir = tmp_path_factory.mktemp("data")
    entries = dict(entries)
    path = recorded(data_dir, entries.items())
    whole = path.read_bytes()
    cut = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:cut])
    # a line counts when its object is whole, with or without the end of the line
    ends = [index for index, byte in enumerate(whole) if byte == ord("\n")]
    kept = sum(end <= cut for end in ends)
    assert found(data_dir, [*entries]) == [
        answer if position < kept else None for position, answer in enumerate(entries.values())
    ]
    recorded(data_dir, list(entries.items())[kept:])
    assert found(data_dir, [*entries]) == list(entries.values())
    assert path.read_bytes() == whole[:cut]  # a ledger has one writer


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"pair": ["a"', ".*JSON"),
        (b"", ".*JSON"),
        (b"\xff", ".*JSON"),
        (b"[" * 100_000, ".*JSON"),
        (b"[1]", ".*JSON object"),
        (b'{"pair": ["a", "b"], "score_c": 1}', "reason"),
        (b'{"pair": ["a"], "score_c": 1, "reason": "", "details": {}}', r"pair=\['a'\]"),
        (b'{"pair": ["a", "b"], "score_c": 4, "reason": "", "details": {}}', "score_c=4"),
        (b'{"pair": ["a", "b"], "score_c": true, "reason": "", "details": {}}', "score_c=True"),
        (b'{"pair": ["a", "b"], "score_c": [1], "reason": "", "details": {}}', r"score_c=\[1\]"),
        (b'{"pair": ["a", "b"], "score_c": 1, "reason": null, "details": {}}', "reason=None"),
    ],
)
def test_a_broken_line_before_the_end_is_named(tmp_path, line, message):
    path = recorded(tmp_path, [one_pair()])
    broken = path.read_bytes() + line + b"\n" + path.read_bytes()
    path.write_bytes(broken)
    with pytest.raises(SigjepaError, match=rf"{path.name}:2: {message}"):
        found(tmp_path, [])
    assert path.read_bytes() == broken


def test_a_line_of_another_writer_s_order_is_found_by_its_pair(tmp_path):
    """A line that a person repaired may hold its fields in any order."""
    path = recorded(tmp_path, [one_pair()])
    path.write_text(json.dumps(dict(reversed(json.loads(path.read_text()).items()))) + "\n")
    assert found(tmp_path, [("a", "b"), ("b", "c")]) == [one_pair()[1], None]


def test_other_models_have_other_caches(tmp_path):
    recorded(tmp_path, [one_pair()])
    assert found(tmp_path, [("a", "b")], NamedJudge("other")) == [None]


def test_a_judge_that_wants_no_answers_kept_has_none(tmp_path):
    class CheapJudge(NamedJudge):
        keeps_answers = False

    judge = CheapJudge()
    with ResponseCache(tmp_path, judge, []) as responses, held_ledgers(tmp_path, judge):
        responses.append(*one_pair())
        assert responses.find(("a", "b")) == one_pair()[1]
    assert list(tmp_path.iterdir()) == []


def test_a_parse_error_counts_until_it_is_to_be_asked_again(tmp_path):
    pair, error = one_pair(None)
    with ResponseCache(tmp_path, JUDGE, [pair]) as responses:
        assert responses.find(pair) is None
        responses.append(pair, error)
        assert responses.find(pair) == error
        assert responses.find(pair, retries=1) is None
        responses.append(pair, Judgement(2, "second"))
        assert responses.find(pair) == error  # what was made with fewer retries stays as it was
        assert responses.find(pair, retries=1).score_c == 2


def test_a_judge_is_trusted_that_has_given_a_score(tmp_path):
    assert not ResponseCache(tmp_path, JUDGE, []).trusted
    recorded(tmp_path, [(("a", "b"), Judgement(None, '"score_c": 1'))])
    assert not ResponseCache(tmp_path, JUDGE, []).trusted
    recorded(tmp_path, [(("a", "c"), Judgement(0, '"score_c": null'))])
    assert ResponseCache(tmp_path, JUDGE, []).trusted


def test_names_are_safe_as_file_names():
    assert slug("openai: Qwen/Qwen2.5-Coder") == "openai-qwen-qwen2-5-coder"
    assert len(slug("openai: " + "/very/long" * 50)) <= 60


def _answer_slowly(data_dir: Path, ready, number: int) -> None:
    pairs = [(f"{step}", "x") for step in range(5)]
    with held_ledgers(data_dir, JUDGE), ResponseCache(data_dir, JUDGE, pairs) as responses:
        ready.set()
        for pair in pairs:
            if responses.find(pair) is None:
                responses.append(pair, Judgement(number, "process"))
            time.sleep(0.02)


def test_a_second_command_waits_and_finds_what_the_first_wrote(tmp_path):
    context = multiprocessing.get_context("fork")
    processes = []
    for number in range(2):
        ready = context.Event()
        processes.append(context.Process(target=_answer_slowly, args=(tmp_path, ready, number)))
        processes[-1].start()
        if number == 0:
            assert ready.wait(30)
    for process in processes:
        process.join(30)
        assert process.exitcode == 0
    (ledger,) = ledgers(tmp_path, JUDGE)
    assert [json.loads(line)["score_c"] for line in ledger.read_text().splitlines()] == [0] * 5
