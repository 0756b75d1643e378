"""Judged files from elsewhere: what is read, what is left out and counted, and every line that is refused."""

import json

import numpy as np
import pytest
from reading import read_file

from sigjepa.errors import SigjepaError
from sigjepa.negatives.exchange.function_ids import FunctionIds
from sigjepa.negatives.exchange.imported_pairs import ImportedPairs
from sigjepa.negatives.exchange.imports import check_not_empty

LINE = {"anchor_id": 1, "neighbor_id": 2, "cosim": 0.9, "score_c": 1, "judge": "someone", "reason": "because"}
PUBLISHED = {"anchor_id": "anchor", "cosim": "cosine", "score_c": "judgement.score_c", "reason": "judgement.why"}
KEYS = [f"key{i}" for i in range(60)]


def write_lines(tmp_path, *lines):
    path = tmp_path / "phase0_2_knn_results_full.jsonl"
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def read(path, fields=None, keys=None, judge=None, **options):
    judged, metadata = read_file(ImportedPairs(path, fields=fields, judge=judge), FunctionIds(60, keys), **options)
    if not len(judged):
        check_not_empty(path, metadata)
    return judged, metadata


def without(*names, **others):
    return {name: value for name, value in LINE.items() if name not in names} | others


def test_lines_in_any_order_are_read_in_ours(tmp_path):
    lines = [LINE | {"neighbor_id": n, "cosim": c, "reason": str(n)} for n, c in ((5, 0.7), (3, 0.8), (2, 0.8))]
    judged, left_out = read(write_lines(tmp_path, LINE | {"anchor_id": 7, "score_c": 3}, *lines))
    assert judged.anchor_ids.tolist() == [1, 1, 1, 7]
    assert judged.neighbor_ids.tolist() == [2, 3, 5, 2]
    assert judged.cosim.tolist() == [0.8, 0.8, 0.7, 0.9]
    assert judged.score_c.tolist() == [1, 1, 1, 3]
    assert judged.reasons == ["2", "3", "5", "because"]
    assert (judged.judge, *left_out.values()) == ("someone", 0, 0)
    assert [column.dtype for column in (judged.anchor_ids, judged.neighbor_ids, judged.cosim, judged.score_c)] == [
        *(np.int64, np.int64, np.float64, np.int8)
    ]


def test_other_names_and_keys(tmp_path):
    line = {"anchor": "key1", "neighbor_id": "key2", "cosine": 0.9, "judgement": {"score_c": 0, "why": ["a", 1]}}
    judged, _ = read(write_lines(tmp_path, line), PUBLISHED, KEYS, judge="an LLM")
    assert (judged.anchor_ids.tolist(), judged.neighbor_ids.tolist()) == ([1], [2])
    assert (judged.score_c.tolist(), judged.judge, judged.reasons) == ([0], "an LLM", ['["a", 1]'])


def test_judge_and_reason_may_be_missing_or_many(tmp_path):
    path = write_lines(tmp_path, without("judge", "reason"), without("judge", neighbor_id=3), LINE | {"neighbor_id": 4})
    judged, _ = read(path, judge="an LLM")
    assert (judged.judge, judged.reasons) == ("an LLM + someone", ["", "because", "because"])
    path = write_lines(tmp_path, without("judge", "reason"))
    assert read(path)[0].judge == "unknown"


def test_pairs_that_nobody_scored_are_counted(tmp_path):
    path = write_lines(tmp_path, LINE, without("score_c", neighbor_id=3), LINE | {"neighbor_id": 4, "score_c": None})
    judged, left_out = read(path)
    assert (judged.neighbor_ids.tolist(), *left_out.values()) == ([2], 2, 0)


def test_pairs_outside_of_train_are_counted_on_demand(tmp_path):
    path = write_lines(tmp_path, LINE, LINE | {"neighbor_id": 45}, LINE | {"anchor_id": 50, "score_c": None})
    judged, left_out = read(path, skip_outside=True)
    assert (judged.neighbor_ids.tolist(), *left_out.values()) == ([2], 0, 2)
    keyed = [{"anchor_id": f"key{a}", "neighbor_id": f"key{b}"} for a, b in ((1, 2), (1, 99), (1, 45), (99, 98))]
    path = write_lines(tmp_path, *(LINE | line for line in keyed))
    judged, left_out = read(path, keys=KEYS, skip_outside=True)
    assert (judged.neighbor_ids.tolist(), left_out["outside_pairs"]) == ([2], 3)


def test_an_empty_file_has_no_pairs(tmp_path):
    assert len(read(write_lines(tmp_path))[0]) == 0


BAD_LINES = [
    ('{"anchor_id": 1, "neigh', "JSON"),
    ("", "JSON"),
    ("[" * 100_000, "JSON"),
    ("[1, 2]", "JSON object"),
    (without("anchor_id", anchor=1), "'anchor_id' .*'anchor'.*negatives.fields="),
    (without("cosim", cosine=0.9), "'cosim' .*'cosine'"),
    (without("neighbor_id"), "'neighbor_id'"),
    (LINE | {"neighbor_id": "key3"}, "'key3' .*negatives.ids=key"),
    (LINE | {"anchor_id": True}, "True"),
    (LINE | {"anchor_id": 1.0}, "1.0 "),
    (LINE | {"anchor_id": 10**30}, "10{30} "),
    (LINE | {"anchor_id": None}, "None"),
    (LINE | {"neighbor_id": 60}, "60 .* 60 "),
    (LINE | {"neighbor_id": -1}, "-1 .*corpus"),
    (LINE | {"neighbor_id": 45}, "45 .*negatives.outside_train=skip"),
    (LINE | {"neighbor_id": 1}, "1 .*itself"),
    (LINE | {"neighbor_id": 3, "cosim": 1.0000001}, "cosim=1.0000001"),
    (LINE | {"neighbor_id": 3, "cosim": float("nan")}, "cosim=nan"),
    (LINE | {"neighbor_id": 3, "cosim": None}, "cosim=None"),
    (LINE | {"neighbor_id": 3, "cosim": "0.9"}, "cosim='0.9'"),
    (LINE | {"neighbor_id": 3, "score_c": 4}, "score_c=4"),
    (LINE | {"neighbor_id": 3, "score_c": -1}, "score_c=-1"),
    (LINE | {"neighbor_id": 3, "score_c": 1.0}, "score_c=1.0"),
    (LINE | {"neighbor_id": 3, "score_c": True}, "score_c=True"),
    (LINE | {"neighbor_id": 3, "score_c": "1"}, "score_c='1'"),
    (LINE | {"cosim": 0.8}, r"\(1, 2\) .*twice"),
    (without("score_c"), r"\(1, 2\) .*twice"),
]


@pytest.mark.parametrize(("line", "message"), BAD_LINES)
def test_a_bad_line_is_named_with_the_way_out(tmp_path, line, message):
    path = write_lines(tmp_path, LINE, line)
    with pytest.raises(SigjepaError, match=rf"knn_results_full\.jsonl:2: .*{message}.*Repair"):
        read(path)


def test_a_bad_line_is_bad_even_where_its_pair_is_left_out(tmp_path):
    with pytest.raises(SigjepaError, match=":2: cosim=2"):
        read(write_lines(tmp_path, LINE, LINE | {"neighbor_id": 45, "cosim": 2}), skip_outside=True)
    with pytest.raises(SigjepaError, match=":2: .*60"):
        read(write_lines(tmp_path, LINE, LINE | {"neighbor_id": 60}), skip_outside=True)


def test_an_unknown_key_is_named_with_both_ways_out(tmp_path):
    path = write_lines(tmp_path, LINE | {"anchor_id": "key1", "neighbor_id": "other"})
    with pytest.raises(SigjepaError, match=":1: .*'other' .*outside_train=skip"):
        read(path, keys=KEYS)
    with pytest.raises(SigjepaError, match=":1: .*negatives.ids=position"):
        read(write_lines(tmp_path, LINE), keys=KEYS)


@pytest.mark.parametrize(
    ("fields", "lines", "options", "message"),
    [
        ({}, [without("score_c", score=1)], {}, ":1: .*'score_c' .*'score'"),
        ({"reason": "why"}, [LINE], {}, ":1: .*'why'"),
        ({}, [LINE | {"score_c": None}], {}, "1 pairs .*score"),
        ({}, [LINE | {"anchor_id": 50}], {"skip_outside": True}, "1 pairs .*train"),
    ],
)
def test_what_only_the_whole_file_shows(tmp_path, fields, lines, options, message):
    with pytest.raises(SigjepaError, match=message):
        read(write_lines(tmp_path, *lines), fields, **options)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(SigjepaError, match="nothing.jsonl .*negatives.path"):
        read(tmp_path / "nothing.jsonl")


def test_a_wrong_figure_is_named_as_the_file_calls_it(tmp_path):
    line = {"anchor": 1, "neighbor_id": 2, "cosine": 0.9, "judgement": {"score_c": 4, "why": ""}}
    with pytest.raises(SigjepaError, match=":1: judgement.score_c=4"):
        read(write_lines(tmp_path, line), PUBLISHED)
