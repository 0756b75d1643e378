"""An endpoint is a stranger: answers that hold no judgement, outages in disguise, and what it tries with its client."""

import gzip
import json
import logging
import time
import tracemalloc
import zlib
from pathlib import Path

import pytest
from chat_server import ANSWER, FAULTS, Reply, make_request, score_of
from made_up import ledger_lines

from sigjepa.errors import SigjepaError
from sigjepa.negatives.judging.judges.connection import MAX_BYTES
from sigjepa.negatives.judging.runner import MAX_UNUSABLE, ask

CASES = {case["case"]: case for case in json.loads(Path(__file__).with_name("answers.json").read_text())}
KEY = "Zebra quartz-4711"  # of no known shape


def reply(name, **changes):
    """What the endpoint of a case sends."""
    case = CASES[name]
    message = {field: case[field] for field in ("content", "reasoning_content") if field in case}
    return Reply(case["status"], case.get("body"), message, case.get("finish_reason"), **changes)


def requests(count):
    return [make_request(number) for number in range(count)]


def answers_of(judge, count, folder):
    """Judgement by pair number, and the lines of the response cache."""
    given = ask(judge, requests(count), folder)
    lines = ledger_lines(folder, judge)
    return {request.anchor_id // 2: given[request.pair] for request in requests(count)}, lines


def in_place_of_pair(number, what, attempts=10**9):
    """A behavior that answers all but one pair; that one is answered so for some attempts."""
    return lambda asked, attempt: what if asked == number and attempt < attempts else ANSWER


@pytest.mark.parametrize("name", ["unfinished_thinking", "cut_after_a_first_object", "nothing_but_reasoning"])
def test_an_answer_that_was_cut_off_is_no_judgement(server, judge, tmp_path, name):
    server.behavior = in_place_of_pair(1, reply(name))
    answers, _ = answers_of(judge(), 3, tmp_path)
    assert (answers[1].score_c, server.asked[1]) == (None, 2)
    assert answers[1].reason.startswith("parse_error: ")
    assert "max_answer_tokens=200" in answers[1].reason
    assert [answers[number].score_c for number in (0, 2)] == [0, 2]


def test_a_cut_answer_is_repaired_once(server, judge, tmp_path):
    server.behavior = in_place_of_pair(1, reply("unfinished_thinking"), attempts=1)
    answers, _ = answers_of(judge(), 2, tmp_path)
    assert (answers[1].score_c, answers[1].details["repaired"]) == (1, True)


@pytest.mark.parametrize("name", ["closed_thinking_with_a_draft", "content_as_parts"])
def test_an_answer_in_another_wrapping_is_read(server, judge, tmp_path, name):
    server.behavior = in_place_of_pair(0, reply(name))
    answers, _ = answers_of(judge(), 1, tmp_path)
    assert (answers[0].score_c, answers[0].reason, server.asked[0]) == (1, "fine", 1)


@pytest.mark.parametrize("name", ["error_body_under_200", "no_choices_under_200", "html_under_200"])
def test_an_outage_under_200_is_waited_for(server, judge, tmp_path, name):
    server.behavior = in_place_of_pair(1, reply(name), attempts=1)
    answers, lines = answers_of(judge(), 3, tmp_path)
    assert [answers[number].score_c for number in range(3)] == [0, 1, 2]
    assert (server.asked[1], len(lines)) == (2, 3)


@pytest.mark.parametrize(
    ("name", "words"),
    [("error_body_under_200", "rate limit"), ("no_choices_under_200", "choices"), ("html_under_200", "Bad gateway")],
)
def test_an_outage_under_200_that_lasts_ends_in_the_endpoints_words(server, judge, tmp_path, name, words):
    server.behavior = in_place_of_pair(1, reply(name))
    with pytest.raises(SigjepaError, match=words):
        answers_of(judge(max_retries=1, concurrency=1), 3, tmp_path)
    (line,) = ledger_lines(tmp_path, judge())
    assert json.loads(line)["pair"] == list(make_request(0).pair)


@pytest.mark.parametrize("status", [500, 501, 404])
def test_a_refused_response_format_is_left_out_for_good(server, judge, tmp_path, caplog, status):
    refusal = reply(f"response_format_refused_{status}")
    server.behavior = lambda number, attempt: refusal if "response_format" in server.bodies[-1] else ANSWER
    with caplog.at_level(logging.INFO):
        answers, _ = answers_of(judge(concurrency=1), 4, tmp_path)
    assert [answers[number].score_c for number in range(4)] == [0, 1, 2, 3]
    assert sum("response_format" in body for body in server.bodies) == 1
    assert caplog.text.count("refuses response_format") == 1


@pytest.mark.parametrize("number", [0, 3])
def test_a_filtered_pair_stops_no_other(server, judge, tmp_path, number):
    server.behavior = in_place_of_pair(number, reply("one_pair_filtered"))
    answers, lines = answers_of(judge(), 6, tmp_path)
    assert answers.pop(number).reason == (
        "parse_error: refused by the endpoint: HTTP 400: The response was filtered by a content policy."
    )
    assert all(answer.score_c == score_of(other) for other, answer in answers.items())
    assert len(lines) == 6
    assert "response_format" in server.bodies[-1]


def test_every_case_is_tried():
    tried = {
        *("unfinished_thinking", "cut_after_a_first_object", "closed_thinking_with_a_draft", "nothing_but_reasoning"),
        *("error_body_under_200", "no_choices_under_200", "html_under_200", "one_pair_filtered", "content_as_parts"),
        *(f"response_format_refused_{status}" for status in (500, 501, 404)),
    }
    assert CASES.keys() == tried


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        (reply("nothing_but_reasoning"), "max_answer_tokens=200"),
        (FAULTS["score in prose"], "no JSON object"),
        (reply("one_pair_filtered"), "content policy.*temperature=null"),
    ],
)
def test_a_judge_whose_first_answers_are_all_unusable_is_stopped(server, judge, tmp_path, what, reason):
    server.behavior = lambda number, attempt: what
    started = time.perf_counter()
    with pytest.raises(SigjepaError, match=f"first {MAX_UNUSABLE} .*{reason}"):
        answers_of(judge(), 200, tmp_path)
    assert time.perf_counter() - started < 20
    assert ledger_lines(tmp_path, judge()) == []
    assert len(server.asked) < MAX_UNUSABLE + 10


def test_unusable_answers_after_a_good_one_are_recorded(server, judge, tmp_path):
    server.behavior = lambda number, attempt: ANSWER if number == 0 else reply("one_pair_filtered")
    _, lines = answers_of(judge(), MAX_UNUSABLE + 5, tmp_path)
    assert len(lines) == MAX_UNUSABLE + 5
    again, lines = answers_of(judge(parse_error_retries=1), MAX_UNUSABLE + 5, tmp_path)
    assert (len(lines), again[0].score_c) == (2 * MAX_UNUSABLE + 9, 0)


@pytest.mark.parametrize(
    "what",
    [
        Reply(401, {"error": {"message": f"\x1b[31mIncorrect key {KEY}\x1b]0;pwned\x07"}}),
        Reply(404, f"no model for \x9b31m{KEY}"),
        Reply(200, {"error": f"quota of {KEY} is spent"}),
    ],
)
def test_a_key_in_an_error_is_not_repeated(server, judge, tmp_path, monkeypatch, what):
    monkeypatch.setenv("JUDGE_ACCESS", KEY)
    server.behavior = lambda number, attempt: what
    with pytest.raises(SigjepaError, match="<credential>") as caught:
        answers_of(judge(api_key_env="JUDGE_ACCESS", max_retries=0), 2, tmp_path)
    assert KEY not in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_key_in_an_answer_is_not_kept(server, judge, tmp_path, monkeypatch):
    monkeypatch.setenv("JUDGE_ACCESS", KEY)
    spoken = json.dumps({"reason": f"\x1b[2J{KEY}\n\x9b1m", "score_c": 1})
    server.behavior = lambda number, attempt: (
        Reply(message={"content": spoken}, model=KEY) if number == 0 else f"\x1b[0m{KEY}"
    )
    answers, lines = answers_of(judge(api_key_env="JUDGE_ACCESS"), 2, tmp_path)
    assert (answers[0].reason, answers[0].details["model"]) == ("[2J<credential> 1m", "<credential>")
    assert answers[1].details["answer"] == "[0m<credential>"
    assert not any(KEY in line or "\\u001b" in line for line in lines)
    assert f"Bearer {KEY}" in server.keys


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_compressed_answer_is_read(server, judge, tmp_path, encoding):
    content = Reply(message={"content": '{"reason": "packed", "score_c": 2}'}).content()
    packed = (gzip if encoding == "gzip" else zlib).compress(content)
    server.behavior = lambda number, attempt: Reply(body=packed, headers={"Content-Encoding": encoding})
    answers, _ = answers_of(judge(), 1, tmp_path)
    assert answers[0].reason == "packed"


@pytest.fixture(scope="module")
def bomb():
    """A quarter of a megabyte that inflates to a quarter of a gigabyte."""
    packer = zlib.compressobj(wbits=zlib.MAX_WBITS + 16)
    return b"".join([*(packer.compress(bytes(2**20)) for _ in range(256)), packer.flush()])


@pytest.mark.parametrize("status", [200, 500])
def test_a_bomb_is_not_inflated(server, judge, tmp_path, bomb, status):
    server.behavior = lambda number, attempt: Reply(status, body=bomb, headers={"Content-Encoding": "gzip"})
    tracemalloc.start()
    try:
        with pytest.raises(SigjepaError, match=f"{MAX_BYTES:,} bytes"):
            answers_of(judge(max_retries=0), 1, tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 8 * MAX_BYTES
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "what",
    [
        Reply(body=b" " * (MAX_BYTES + 1)),
        Reply(body=b"xx", headers={"Content-Encoding": "gzip, gzip"}),
        Reply(body=b"xx", headers={"Content-Encoding": "gzip"}),
    ],
)
def test_an_answer_that_can_not_be_one_is_an_outage(server, judge, tmp_path, what):
    server.behavior = lambda number, attempt: what
    with pytest.raises(SigjepaError, match="an answer "):
        answers_of(judge(max_retries=0), 1, tmp_path)


@pytest.mark.parametrize("seconds", ["0.3", "99999", "nan", "-1", "soon"])
def test_an_endpoint_says_how_long_to_wait_within_limits(server, judge, tmp_path, monkeypatch, seconds):
    monkeypatch.setattr("sigjepa.negatives.judging.judges.endpoint.MAX_WAIT", 0.4)
    server.behavior = in_place_of_pair(0, Reply(429, {}, headers={"Retry-After": seconds}), attempts=1)
    started = time.perf_counter()
    answers, _ = answers_of(judge(), 1, tmp_path)
    assert answers[0].score_c == 0
    assert 0.3 <= time.perf_counter() - started < 8


def test_a_redirection_is_not_followed_with_the_key(server, judge, tmp_path):
    server.behavior = lambda number, attempt: Reply(307, {}, headers={"Location": "http://127.0.0.1:9/v1"})
    with pytest.raises(SigjepaError, match="HTTP 307.*negatives.judge.base_url"):
        answers_of(judge(), 1, tmp_path)


def test_the_time_limit_is_for_the_whole_answer(server, judge, tmp_path):
    server.behavior = lambda number, attempt: Reply(message={"content": FAULTS["truncated"]}, pause=0.1)
    started = time.perf_counter()
    with pytest.raises(SigjepaError, match=r"0\.5 s.*negatives.judge.timeout"):
        answers_of(judge(timeout=0.5, max_retries=0), 1, tmp_path)
    assert time.perf_counter() - started < 8


def test_a_key_that_none_can_be_names_its_variable(judge, monkeypatch, tmp_path):
    monkeypatch.setenv("JUDGE_ACCESS", "sk-\u00e4")
    with pytest.raises(SigjepaError, match="JUDGE_ACCESS"):
        answers_of(judge(api_key_env="JUDGE_ACCESS"), 1, tmp_path)
