"""`knn_results.jsonl`: what is written is read back, and a bad line is named."""

import json

import numpy as np
import pytest

from sigjepa.errors import SigjepaError
from sigjepa.negatives.judging.judged_pairs import FILE_NAME, JudgedPairs

LINE = {"anchor_id": 1, "neighbor_id": 2, "cosim": 0.9, "score_c": 1, "judge": "test", "reason": "because"}


def write_lines(path, *lines):
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def test_written_pairs_are_read_back(tmp_path):
    pairs = JudgedPairs(
        np.array([1, 2]), np.array([2, 1]), np.array([0.812345, -1.0]), np.array([0, 3], np.int8), "test", ["ä", "b"]
    )
    path = tmp_path / FILE_NAME
    pairs.write(path)
    first = {"anchor_id": 1, "neighbor_id": 2, "cosim": 0.812345, "score_c": 0, "judge": "test", "reason": "ä"}
    assert json.loads(path.read_text(encoding="utf-8").splitlines()[0]) == first
    again = JudgedPairs.read(path, "test")
    for name in ("anchor_ids", "neighbor_ids", "cosim", "score_c"):
        np.testing.assert_array_equal(getattr(again, name), getattr(pairs, name))
        assert getattr(again, name).dtype == getattr(pairs, name).dtype
    assert (again.judge, again.reasons) == ("test", ["ä", "b"])


def test_no_pairs(tmp_path):
    assert len(JudgedPairs.read(write_lines(tmp_path / FILE_NAME), "test")) == 0


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"anchor_id": 1, "neigh', "not valid JSON"),
        ("", "not valid JSON"),
        ("[1, 2]", "not a JSON object"),
        ({"anchor_id": 1, "neighbor_id": 2, "cosim": 0.9}, "no score_c, judge, reason"),
        (LINE | {"score_c": 4}, "score_c 4 is not one of 0, 1, 2, 3"),
        (LINE | {"score_c": None}, "score_c None is not one of"),
        (LINE | {"score_c": [1]}, r"score_c \[1\] is not one of"),
        (LINE | {"cosim": 1.5}, r"cosim 1.5 is not within \[-1, 1\]"),
        (LINE | {"cosim": float("nan")}, "cosim nan is not within"),
        (LINE | {"cosim": "0.9"}, "cosim '0.9' is not within"),
        (LINE | {"anchor_id": "1"}, "anchor_id '1' and neighbor_id 2 must be integers of at least 0"),
        (LINE | {"anchor_id": [1]}, r"anchor_id \[1\] and neighbor_id 2 must be integers of at least 0"),
        (LINE | {"neighbor_id": -2}, "anchor_id 1 and neighbor_id -2 must be integers of at least 0"),
        (LINE | {"neighbor_id": 1}, "function 1 is paired with itself"),
        (LINE | {"judge": "another"}, "judged by 'another', not by 'test'"),
        (LINE, r"pair \(1, 2\) appears twice"),
    ],
)
def test_bad_line_is_named(tmp_path, line, message):
    path = write_lines(tmp_path / FILE_NAME, LINE, line)
    with pytest.raises(SigjepaError, match=rf"{FILE_NAME}:2: {message}.*delete .* to judge again"):
        JudgedPairs.read(path, "test")


def test_bytes_that_are_not_utf8(tmp_path):
    path = tmp_path / FILE_NAME
    path.write_bytes(b'{"reason": "\xff"}\n')
    with pytest.raises(SigjepaError, match=f"{FILE_NAME}:1: not valid JSON"):
        JudgedPairs.read(path, "test")
