"""Hand-labeled pairs as one side of an agreement."""

import json
from pathlib import Path

import pytest

from sigjepa.corpus.functions import Function
from sigjepa.errors import SigjepaError
from sigjepa.negatives.judging.labels import read_labels

LABELED = Path(__file__).parents[1] / "labeled_pairs.jsonl"
LINE = {
    "label": 2,
    "anchor_signature": "def f():",
    "anchor_body": "a",
    "neighbor_signature": "def g():",
    "neighbor_body": "b",
}


def test_labeled_pairs_are_requests_in_canonical_order():
    requests, labels = read_labels(LABELED)
    lines = [json.loads(line) for line in LABELED.read_text().splitlines()]
    assert len(requests) == len(labels) == len(lines) == 72
    for request, line in zip(requests, lines, strict=True):
        assert labels[request.pair] == line["label"]
        assert request.anchor_key < request.neighbor_key
        assert request.anchor_key == Function("", "", "", 0, request.anchor_signature, "", request.anchor_body).key
        assert {request.anchor_body, request.neighbor_body} == {line["anchor_body"], line["neighbor_body"]}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", ".*JSON"),
        ("[]", ".*JSON object"),
        (LINE | {"anchor_body": None}, "anchor_body=None"),
        ({"label": 1}, "anchor_signature"),
        (LINE | {"label": 4}, "label=4"),
        (LINE | {"label": True}, "label=True"),
        (LINE, ""),
    ],
)
def test_a_bad_line_is_named(tmp_path, line, message):
    path = tmp_path / "labels.jsonl"
    path.write_text(f"{json.dumps(LINE)}\n{line if isinstance(line, str) else json.dumps(line)}\n")
    with pytest.raises(SigjepaError, match=f"labels.jsonl:2: {message}"):
        read_labels(path)


def test_a_missing_file(tmp_path):
    with pytest.raises(SigjepaError, match="labels="):
        read_labels(tmp_path / "nowhere.jsonl")
