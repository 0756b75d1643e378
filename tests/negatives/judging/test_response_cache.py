"""The response cache: whatever byte a process is killed at, nothing whole is lost, and nothing broken is believed."""

import json
import multiprocessing
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sigjepa.errors import DamagedError, SigjepaError
from sigjepa.negatives.judging.judges.judge import SCORES, Judge, Judgement
from sigjepa.negatives.judging.response_cache import open_responses, responses_path, slug
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
    with open_responses(data_dir, judge) as responses:
        for pair, answer in entries:
            responses.append(pair, answer)
    return responses_path(data_dir, judge)


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
    assert read_json(path.with_suffix(".fingerprint.json")) == JUDGE.fingerprint()


def test_another_score_in_a_line_is_noticed(tmp_path):
    path = recorded(tmp_path, [one_pair()])
    path.write_text(path.read_text().replace('"score_c": 1', '"score_c": 3'))
    with (
        pytest.raises(DamagedError, match=":1: .*repair=true"),
        open_responses(tmp_path, JUDGE),
    ):
        pass


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(entries)
def test_what_is_appended_is_found_by_the_next_process(tmp_path_factory, entries):
    data_dir = tmp_path_factory.mktemp("data")
    recorded(data_dir, entries)
    with open_responses(data_dir, JUDGE) as responses:
        for pair, _ in entries:
            given_to_pair = [answer for other, answer in entries if other == pair]
            assert responses.find(pair) == given_to_pair[0]
        assert len(responses) == len({pair for pair, _ in entries})


@settings(max_examples=50, deadline=None)
@given(entries.filter(bool), st.data())
def test_cut_at_any_byte_keeps_every_whole_line(tmp_path_factory, entries, data):
    data_dir = tmp_path_factory.mktemp("data")
    entries = list(dict(entries).items())
    path = recorded(data_dir, entries)
    whole = path.read_bytes()
    cut = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:cut])
    # a line counts when its object is whole, with or without the end of the line
    ends = [index for index, byte in enumerate(whole) if byte == ord("\n")]
    kept = sum(end <= cut for end in ends)
    with open_responses(data_dir, JUDGE) as responses:
        for position, (pair, answer) in enumerate(entries):
            assert responses.find(pair) == (answer if position < kept else None)
            if position >= kept:
                responses.append(pair, answer)
    assert path.read_bytes() == whole


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
    with pytest.raises(SigjepaError, match=rf"{path.name}:2: {message}"), open_responses(tmp_path, JUDGE):
        pass
    assert path.read_bytes() == broken


def test_other_models_have_other_caches(tmp_path):
    recorded(tmp_path, [one_pair()])
    with open_responses(tmp_path, NamedJudge("other")) as responses:
        assert responses.find(("a", "b")) is None


def test_a_parse_error_counts_until_it_is_to_be_asked_again(tmp_path):
    pair, error = one_pair(None)
    with open_responses(tmp_path, JUDGE) as responses:
        assert responses.find(pair) is None
        responses.append(pair, error)
        assert responses.find(pair) == error
        assert responses.find(pair, retries=1) is None
        responses.append(pair, Judgement(2, "second"))
        assert responses.find(pair) == error  # what was made with fewer retries stays as it was
        assert responses.find(pair, retries=1).score_c == 2


def test_names_are_safe_as_file_names():
    assert slug("openai: Qwen/Qwen2.5-Coder") == "openai-qwen-qwen2-5-coder"
    assert len(slug("openai: " + "/very/long" * 50)) <= 60


def _append_slowly(data_dir: Path, ready, number: int) -> None:
    with open_responses(data_dir, JUDGE) as responses:
        ready.set()
        for step in range(5):
            if responses.find((f"{step}", "x")) is None:
                responses.append((f"{step}", "x"), Judgement(number, "process"))
            time.sleep(0.02)


def test_a_second_process_waits_and_finds_what_the_first_wrote(tmp_path):
    context = multiprocessing.get_context("fork")
    processes = []
    for number in range(2):
        ready = context.Event()
        processes.append(context.Process(target=_append_slowly, args=(tmp_path, ready, number)))
        processes[-1].start()
        if number == 0:
            assert ready.wait(30)
    for process in processes:
        process.join(30)
        assert process.exitcode == 0
    lines = [json.loads(line) for line in responses_path(tmp_path, JUDGE).read_text().splitlines()]
    assert [line["score_c"] for line in lines] == [0] * 5
