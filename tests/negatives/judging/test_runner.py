"""Asking through the ledger: limits that nest, answers reused, and pairs without a score left out."""

import logging
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up import ledger_lines, tables_of

from sigjepa.errors import SigjepaError
from sigjepa.negatives.judging.judges.judge import Judge, Judgement, JudgeRequest
from sigjepa.negatives.judging.questions import (
    chosen,
    functions_of,
    ids_of,
    question_hashes,
    questions_of,
    requests_for,
)
from sigjepa.negatives.judging.runner import ask, histogram
from sigjepa.negatives.judging.stage import judge_pairs
from sigjepa.negatives.mining.pairs import Pairs


@dataclass
class CountingJudge(Judge):
    """Scores by the keys, in reverse order; fails after some answers, and gives parse errors to some pairs."""

    name: str = "counting"
    limit: int | None = None
    parse_error_retries: int = 0
    fails_after: int | None = None
    unanswerable: frozenset = frozenset()
    heals_after: int = 99
    asked: list = field(default_factory=list)

    def fingerprint(self):
        return {"judge": self.name}

    def judge(self, requests):
        for number, request in enumerate(reversed(list(requests))):
            if number == self.fails_after:
                raise SigjepaError("The endpoint is gone.")
            self.asked.append(request.pair)
            score = int(request.anchor_key, 36) % 4
            if request.anchor_key in self.unanswerable and self.asked.count(request.pair) <= self.heals_after:
                score = None
            yield request, Judgement(score, "parse_error: prose" if score is None else "counted")


def make_requests(n):
    return [JudgeRequest(i, n + i, f"{i:02d}", f"x{i:02d}", 0.9, "", f"one {i}", "", f"two {i}") for i in range(n)]


class Corpus:
    """Functions whose content keys run against their ids, shifted as another corpus would have them."""

    def __init__(self, size, shift=0):
        self.size, self.shift = size, shift

    def column(self, name, rows=slice(None)):
        contents = [(position - self.shift) % self.size for position in range(self.size)]
        return [f"{99 - content}" if name == "key" else f"{name} {content}" for content in contents][rows]

    tables = tables_of


def asked_of(pairs, corpus):
    """The requests of directed pairs, and which of them each is."""
    questions, question_of = questions_of(pairs)
    functions = functions_of(corpus, ids_of(questions), lambda signature, body: f"{signature}|{body}".encode())
    return list(requests_for(questions, functions)), question_of.tolist()


def directed(*pairs):
    anchors, neighbors = (np.array(ids, dtype=np.int64) for ids in zip(*pairs, strict=True))
    return Pairs(anchors, neighbors, np.full(len(anchors), 0.9))


def test_answers_in_any_order_reach_their_pairs(tmp_path):
    requests = make_requests(10)
    answers = ask(CountingJudge(), requests, tmp_path)
    assert [answers[request.pair].score_c for request in requests] == [
        i % 4 for i in (int(r.anchor_key, 36) for r in requests)
    ]


def test_a_function_pair_is_put_in_one_order_whatever_its_numbering():
    one, _ = asked_of(directed((0, 1), (1, 0), (2, 1)), Corpus(4))
    other, question_of = asked_of(directed((1, 2), (3, 2)), Corpus(4, shift=1))
    assert len(one) == len(other) == 2
    assert [request.pair for request in one] == [request.pair for request in other] == [("98", "99"), ("97", "98")]
    assert (
        [request.anchor_body for request in one] == [request.anchor_body for request in other] == ["body 1", "body 2"]
    )
    assert (one[0].anchor_id, one[0].neighbor_id) == (1, 0)
    assert (one[0].anchor_features, one[0].neighbor_features) == (b"signature 1|body 1", b"signature 0|body 0")
    assert question_of == [0, 1]


def test_another_corpus_asks_nothing_again(tmp_path):
    first, second = CountingJudge(), CountingJudge()
    judge_pairs(directed((0, 1), (1, 2)), first, Corpus(4), tmp_path)
    judged, _ = judge_pairs(directed((1, 2), (3, 2), (3, 0)), second, Corpus(4, shift=1), tmp_path)
    assert len(second.asked) == 1
    assert len(judged) == 3


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 2**64 - 1), max_size=30, unique=True), st.integers(1, 40), st.integers(1, 40))
def test_limits_nest(hashes, one, other):
    hashes = np.array(hashes, np.uint64)
    low, high = (chosen(hashes, limit) for limit in sorted((one, other)))
    assert len(low) == min(len(hashes), one, other)
    assert set(low) <= set(high)
    assert list(high) == sorted(high)
    assert set(hashes[::-1][chosen(hashes[::-1], one)]) == set(hashes[chosen(hashes, one)])


def test_what_a_limit_chooses_depends_on_content_alone():
    one, other = directed((0, 1), (1, 2), (2, 3)), directed((1, 2), (2, 3), (3, 0))
    columns = [{"id": np.arange(4), "key": Corpus(4, shift).column("key")} for shift in (0, 1)]
    hashes = [
        question_hashes(questions_of(pairs)[0], pa.table(column)).tolist()
        for pairs, column in zip((one, other), columns, strict=True)
    ]
    assert sorted(hashes[0]) == sorted(hashes[1])


def test_a_higher_limit_asks_only_the_difference(tmp_path):
    requests = make_requests(20)
    low, high = CountingJudge(limit=5), CountingJudge(limit=12)
    assert len(ask(low, requests, tmp_path)) == 5
    assert len(ask(high, requests, tmp_path)) == 12
    assert len(high.asked) == 7
    again = CountingJudge(limit=5)
    assert ask(again, requests, tmp_path) == ask(low, requests, tmp_path)
    assert not again.asked


def test_pairs_beyond_the_limit_are_counted(tmp_path):
    pairs = directed((0, 1), (1, 0), (1, 2), (2, 3))
    judged, counts = judge_pairs(pairs, CountingJudge(limit=2), Corpus(4), tmp_path)
    assert counts == {"parse_errors": 0, "not_asked": 1, "questions": 3, "unusable": ""}
    assert len({frozenset(pair) for pair in zip(judged.anchor_ids, judged.neighbor_ids, strict=True)}) == 2


def test_parse_errors_are_recorded_left_out_and_told_once(tmp_path, caplog):
    pairs = directed((0, 1), (1, 0), (1, 2), (2, 3))
    judge = CountingJudge(unanswerable=frozenset({"98"}))
    judged, counts = judge_pairs(pairs, judge, Corpus(4), tmp_path)
    assert counts["parse_errors"] == 1
    assert judged.anchor_ids.tolist() == [1, 2]
    (warning,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "1 of 3 pairs (33.3%)" in warning.getMessage()
    assert "prose (1)" in warning.getMessage()
    asked = len(judge.asked)
    judge_pairs(pairs, judge, Corpus(4), tmp_path)
    assert len(judge.asked) == asked


def test_a_judge_without_any_score_ends_what_it_was_asked_for(tmp_path):
    judge = CountingJudge(unanswerable=frozenset({"96", "97", "98", "99"}))
    with pytest.raises(SigjepaError, match=r"3 of 3 pairs .*prose \(3\).*parse_error_retries=1"):
        judge_pairs(directed((0, 1), (1, 2), (2, 3)), judge, Corpus(4), tmp_path)


def test_parse_errors_are_asked_again_as_often_as_wanted(tmp_path):
    requests = make_requests(6)
    lost = {"02", "04"}
    ask(CountingJudge(unanswerable=lost), requests, tmp_path)
    judge = CountingJudge(unanswerable=lost, parse_error_retries=2, heals_after=1)
    answers = ask(judge, requests, tmp_path)
    assert sorted(judge.asked) == sorted([("02", "x02"), ("04", "x04")] * 2)
    assert all(answer.score_c is not None for answer in answers.values())
    assert ask(CountingJudge(), requests, tmp_path)["02", "x02"].score_c is None  # as it was made without retries


def test_fresh_pairs_are_retried_in_the_same_run(tmp_path):
    judge = CountingJudge(unanswerable={"01"}, parse_error_retries=3)
    assert ask(judge, make_requests(2), tmp_path)["01", "x01"].score_c is None
    assert judge.asked.count(("01", "x01")) == 4


def test_a_failure_half_way_keeps_what_was_given_and_says_so(tmp_path):
    requests = make_requests(10)
    with pytest.raises(SigjepaError, match=r"gone.*4 of 10 "):
        ask(CountingJudge(fails_after=4), requests, tmp_path)
    assert len(ledger_lines(tmp_path, CountingJudge())) == 4
    again = CountingJudge()
    assert len(ask(again, requests, tmp_path)) == 10
    assert len(again.asked) == 6


def test_a_failure_at_once_says_only_what_failed(tmp_path):
    with pytest.raises(SigjepaError, match=r"^The endpoint is gone\.$"):
        ask(CountingJudge(fails_after=0), make_requests(3), tmp_path)


def test_what_is_asked_is_told_with_its_cost(tmp_path, caplog):
    judge = CountingJudge(limit=4)
    judge.cost = lambda requests: f"{len(list(requests))} coins"
    with caplog.at_level(logging.INFO):
        ask(judge, make_requests(9), tmp_path)
        ask(judge, make_requests(9), tmp_path)
    told = [record.getMessage() for record in caplog.records]
    assert told == [
        "Judging with counting: 9 pairs, 4 of them within negatives.judge.limit, 0 already judged, 4 to ask; 4 coins"
    ]


def test_progress_shows_the_histogram(tmp_path, monkeypatch):
    drawn = []
    bar = SimpleNamespace(update=lambda: True, set_postfix_str=drawn.append, close=lambda: drawn.append("closed"))
    monkeypatch.setattr("sigjepa.negatives.judging.runner.progress", lambda *arguments, **options: bar)
    ask(CountingJudge(unanswerable={"00"}), make_requests(3), tmp_path)
    assert drawn == ["0:0 1:0 2:1 3:0", "0:0 1:1 2:1 3:0", "0:0 1:1 2:1 3:0 parse_error:1", "closed"]


def test_histogram():
    assert histogram({}) == "0:0 1:0 2:0 3:0"
    assert histogram({0: 3, 3: 1, None: 2}) == "0:3 1:0 2:0 3:1 parse_error:2"
