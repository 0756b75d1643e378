"""Judged files from elsewhere: what is read, what is left out and counted, and every line that is refused."""

import json

import numpy as np
import pytest

from sigjepa.errors import SigjepaError
from sigjepa.negatives.exchange.field_map import FieldMap
from sigjepa.negatives.exchange.function_ids import FunctionIds
from sigjepa.negatives.exchange.pairs_reader import PairsReader

LINE = {"anchor_id": 1, "neighbor_id": 2, "cosim": 0.9, "score_c": 1, "judge": "someone", "reason": "because"}
PUBLISHED = {"anchor_id": "anchor", "cosim": "cosine", "score_c": "judgement.score_c", "reason": "judgement.why"}
TRAIN = np.arange(40)


def write_lines(tmp_path, *lines):
    path = tmp_path / "phase0_2_knn_results_full.jsonl"
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def reader(fields=None, keys=None, **options):
    return PairsReader(FieldMap(fields), FunctionIds(60, keys), TRAIN, **options)


def without(*names, **others):
    return {name: value for name, value in LINE.items() if name not in names} | others


def test_lines_in_any_order_are_read_in_ours(tmp_path):
    lines = [LINE | {"neighbor_id": n, "cosim": c, "reason": str(n)} for n, c in ((5, 0.7), (3, 0.8), (2, 0.8))]
    judged, left_out = reader().read(write_lines(tmp_path, LINE | {"anchor_id": 7, "score_c": 3}, *lines))
    assert judged.anchor_ids.tolist() == [1, 1, 1, 7]
    assert judged.neighbor_ids.tolist() == [2, 3, 5, 2]
    assert judged.cosim.tolist() == [0.8, 0.8, 0.7, 0.9]
    assert judged.score_c.tolist() == [1, 1, 1, 3]
    assert judged.reasons == ["2", "3", "5", "because"]
    assert (judged.judge, left_out) == ("someone", {"unscored_pairs": 0, "outside_pairs": 0})
    assert [column.dtype for column in (judged.anchor_ids, judged.neighbor_ids, judged.cosim, judged.score_c)] == [
        *(np.int64, np.int64, np.float64, np.int8)
    ]


def test_other_names_and_keys(tmp_path):
    line = {"anchor": "key1", "neighbor_id": "key2", "cosine": 0.9, "judgement": {"score_c": 0, "why": ["a", 1]}}
    judged, _ = reader(PUBLISHED, [f"key{i}" for i in range(60)], judge="an LLM").read(write_lines(tmp_path, line))
    assert (judged.anchor_ids.tolist(), judged.neighbor_ids.tolist()) == ([1], [2])
    assert (judged.score_c.tolist(), judged.judge, judged.reasons) == ([0], "an LLM", ['["a", 1]'])


def test_judge_and_reason_may_be_missing_or_many(tmp_path):
    path = write_lines(tmp_path, without("judge", "reason"), without("judge", neighbor_id=3), LINE | {"neighbor_id": 4})
    judged, _ = reader(judge="an LLM").read(path)
    assert (judged.judge, judged.reasons) == ("an LLM + someone", ["", "because", "because"])
    path = write_lines(tmp_path, without("judge", "reason"))
    assert reader().read(path)[0].judge == "unknown"


def test_pairs_that_nobody_scored_are_counted(tmp_path):
    path = write_lines(tmp_path, LINE, without("score_c", neighbor_id=3), LINE | {"neighbor_id": 4, "score_c": None})
    judged, left_out = reader().read(path)
    assert (judged.neighbor_ids.tolist(), *left_out.values()) == ([2], 2, 0)


def test_pairs_outside_of_train_are_counted_on_demand(tmp_path):
    path = write_lines(tmp_path, LINE, LINE | {"neighbor_id": 45}, LINE | {"anchor_id": 50, "score_c": None})
    judged, left_out = reader(skip_outside=True).read(path)
    assert (judged.neighbor_ids.tolist(), *left_out.values()) == ([2], 0, 2)
    keyed = [{"anchor_id": f"key{a}", "neighbor_id": f"key{b}"} for a, b in ((1, 2), (1, 99), (1, 45), (99, 98))]
    path = write_lines(tmp_path, *(LINE | line for line in keyed))
    judged, left_out = reader(keys=[f"key{i}" for i in range(60)], skip_outside=True).read(path)
    assert (judged.neighbor_ids.tolist(), left_out["outside_pairs"]) == ([2], 3)


def test_an_empty_file_has_no_pairs(tmp_path):
    assert len(reader().read(write_lines(tmp_path))[0]) == 0


BAD_LINES = [
    ('{"anchor_id": 1, "neigh', "not valid JSON"),
    ("", "not valid JSON"),
    ("[" * 100_000, "not valid JSON"),
    ("[1, 2]", "not a JSON object"),
    (
        without("anchor_id", anchor=1),
        r"no field 'anchor_id' for anchor_id\. Did you mean 'anchor'\?.*negatives.fields=",
    ),
    (without("cosim", cosine=0.9), r"no field 'cosim' for cosim\. Did you mean 'cosine'\?"),
    (without("neighbor_id"), "no field 'neighbor_id'"),
    (LINE | {"neighbor_id": "key3"}, r"neighbor_id 'key3' is not an integer.*negatives.ids=key reads content keys"),
    (LINE | {"anchor_id": True}, "anchor_id True is not an integer"),
    (LINE | {"anchor_id": 1.0}, "anchor_id 1.0 is not an integer"),
    (LINE | {"anchor_id": 10**30}, "anchor_id 1000000000000000000000000000000 is not an integer"),
    (LINE | {"anchor_id": None}, "anchor_id None is not an integer"),
    (
        LINE | {"neighbor_id": 60},
        "neighbor_id 60 is not in the corpus of 60 functions, so the file was judged for another",
    ),
    (LINE | {"neighbor_id": -1}, "neighbor_id -1 is not in the corpus"),
    (LINE | {"neighbor_id": 45}, r"neighbor_id 45 is not in the train split.*negatives.outside_train=skip"),
    (LINE | {"neighbor_id": 1}, "function 1 is paired with itself"),
    (LINE | {"neighbor_id": 3, "cosim": 1.0000001}, "cosim=1.0000001: input should be less than"),
    (LINE | {"neighbor_id": 3, "cosim": float("nan")}, "cosim=nan"),
    (LINE | {"neighbor_id": 3, "cosim": None}, "cosim=None"),
    (LINE | {"neighbor_id": 3, "cosim": "0.9"}, "cosim='0.9'"),
    (LINE | {"neighbor_id": 3, "score_c": 4}, "score_c=4"),
    (LINE | {"neighbor_id": 3, "score_c": -1}, "score_c=-1"),
    (LINE | {"neighbor_id": 3, "score_c": 1.0}, "score_c=1.0"),
    (LINE | {"neighbor_id": 3, "score_c": True}, "score_c=True"),
    (LINE | {"neighbor_id": 3, "score_c": "1"}, "score_c='1'"),
    (LINE | {"cosim": 0.8}, r"the pair \(1, 2\) is already on line 1"),
    (without("score_c"), r"the pair \(1, 2\) is already on line 1"),
]


@pytest.mark.parametrize(("line", "message"), BAD_LINES)
def test_a_bad_line_is_named_with_the_way_out(tmp_path, line, message):
    path = write_lines(tmp_path, LINE, line)
    with pytest.raises(SigjepaError, match=rf"knn_results_full\.jsonl:2: {message}.*Repair the line, or take it"):
        reader().read(path)


def test_a_bad_line_is_bad_even_where_its_pair_is_left_out(tmp_path):
    with pytest.raises(SigjepaError, match=":2: cosim=2"):
        reader(skip_outside=True).read(write_lines(tmp_path, LINE, LINE | {"neighbor_id": 45, "cosim": 2}))
    with pytest.raises(SigjepaError, match=":2: neighbor_id 60 is not in the corpus"):
        reader(skip_outside=True).read(write_lines(tmp_path, LINE, LINE | {"neighbor_id": 60}))


def test_an_unknown_key_is_named_with_both_ways_out(tmp_path):
    keys = [f"key{i}" for i in range(60)]
    path = write_lines(tmp_path, LINE | {"anchor_id": "key1", "neighbor_id": "other"})
    with pytest.raises(SigjepaError, match=":1: neighbor_id 'other' is not in the corpus.*outside_train=skip"):
        reader(keys=keys).read(path)
    with pytest.raises(SigjepaError, match=":1: anchor_id 1 is not a key of the corpus; negatives.ids=position"):
        reader(keys=keys).read(write_lines(tmp_path, LINE))


@pytest.mark.parametrize(
    ("fields", "lines", "options", "message"),
    [
        (
            {},
            [without("score_c", score=1)],
            {},
            r":1: no field 'score_c' for score_c\. Did you mean 'score'\?.*No line",
        ),
        ({"reason": "why"}, [LINE], {}, ":1: no field 'why' for reason"),
        ({}, [LINE | {"score_c": None}], {}, "none of its 1 pairs in the train split has a score"),
        ({}, [LINE | {"anchor_id": 50}], {"skip_outside": True}, "none of its 1 pairs lies in the train split"),
    ],
)
def test_what_only_the_whole_file_shows(tmp_path, fields, lines, options, message):
    with pytest.raises(SigjepaError, match=message):
        reader(fields, **options).read(write_lines(tmp_path, *lines))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(SigjepaError, match="cannot be read.*negatives.path"):
        reader().read(tmp_path / "nothing.jsonl")


def test_a_wrong_figure_is_named_as_the_file_calls_it(tmp_path):
    line = {"anchor": 1, "neighbor_id": 2, "cosine": 0.9, "judgement": {"score_c": 4, "why": ""}}
    with pytest.raises(SigjepaError, match=":1: judgement.score_c=4"):
        reader(PUBLISHED).read(write_lines(tmp_path, line))
