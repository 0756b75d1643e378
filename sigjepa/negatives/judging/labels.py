"""Pairs labelled by hand: a JSONL file of two functions and a score each, to hold a judge against."""

import json
from pathlib import Path
from typing import Any

from sigjepa.corpus.functions import Function
from sigjepa.errors import SigjepaError
from sigjepa.negatives.judging.judges.judge import SCORES, JudgeRequest, Pair

FIELDS = ("anchor_signature", "anchor_body", "neighbor_signature", "neighbor_body")


def read_labels(path: Path) -> tuple[list[JudgeRequest], dict[Pair, int]]:
    """The labelled pairs as requests, and their labels.

    A line holds `label`, `anchor_signature`, `anchor_body`, `neighbor_signature` and `neighbor_body`; what else it
    holds is not read. Raises SigjepaError naming file and line for one that is not of that form, and for a pair that
    stands there twice.
    """
    if not path.is_file():
        raise SigjepaError(f"labels={path} does not exist; give a JSONL file of labelled pairs.")
    requests: list[JudgeRequest] = []
    labels: dict[Pair, int] = {}
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        pair, problem = _parse(line)
        if problem:
            raise SigjepaError(f"{path}:{number}: {problem}.")
        request = _request(number, *(pair[field] for field in FIELDS))
        if request.pair in labels:
            raise SigjepaError(f"{path}:{number}: this pair was labelled before; remove one of the two lines.")
        requests.append(request)
        labels[request.pair] = pair["label"]
    return requests, labels


def _parse(line: bytes) -> tuple[dict[str, Any], str]:
    try:
        pair = json.loads(line)
    except (ValueError, RecursionError) as error:
        return {}, f"not valid JSON ({error})"
    if not isinstance(pair, dict):
        return {}, "not a JSON object"
    if missing := [field for field in FIELDS if not isinstance(pair.get(field), str)]:
        return {}, f"{missing[0]} is missing or no text"
    label = pair.get("label")
    if type(label) is not int or label not in SCORES:
        return {}, f"label {label!r} is not one of 0, 1, 2, 3"
    return pair, ""


def _request(number: int, *halves: str) -> JudgeRequest:
    """In the order of the content keys, as mined pairs are, so that answers are shared with them."""
    functions = [Function("", "", "", 0, signature, "", body) for signature, body in (halves[:2], halves[2:])]
    one, other = sorted(functions, key=lambda function: function.key)
    return JudgeRequest(
        *(2 * number, 2 * number + 1, one.key, other.key, 0.0),
        *(one.signature, one.body, other.signature, other.body),
    )
