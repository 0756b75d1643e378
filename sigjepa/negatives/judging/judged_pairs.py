"""Judged pairs: `knn_results.jsonl`, one line per directed pair, the record from which every filter starts."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sigjepa.errors import SigjepaError
from sigjepa.negatives.exchange.function_ids import is_integer
from sigjepa.negatives.judging.judges.judge import SCORES
from sigjepa.store.artifacts import atomic_path
from sigjepa.store.progress import progress

FILE_NAME = "knn_results.jsonl"
KEYS = ("anchor_id", "neighbor_id", "cosim", "score_c", "judge", "reason")
"""What a line holds."""


@dataclass(frozen=True, eq=False)
class JudgedPairs:
    """Directed pairs with their scores, ordered by anchor, then descending cosine, then neighbor.

    anchor_ids, neighbor_ids: `[P]` int64. cosim: `[P]` float64. score_c: `[P]` int8, see `SCORES`. judge: who scored
    them. reasons: `P` strings.
    """

    anchor_ids: npt.NDArray[np.int64]
    neighbor_ids: npt.NDArray[np.int64]
    cosim: npt.NDArray[np.float64]
    score_c: npt.NDArray[np.int8]
    judge: str
    reasons: Sequence[str]

    def __len__(self) -> int:
        return len(self.anchor_ids)

    def write(self, path: Path) -> None:
        """Write one JSON object a line, atomically."""
        columns = (self.anchor_ids, self.neighbor_ids, self.cosim, self.score_c)
        with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as stream:
            for *values, reason in zip(*(column.tolist() for column in columns), self.reasons, strict=True):
                pair = dict(zip(KEYS, values, strict=False))
                stream.write(json.dumps(pair | {"judge": self.judge, "reason": reason}, ensure_ascii=False) + "\n")

    @classmethod
    def read(cls, path: Path, judge: str) -> "JudgedPairs":
        """Read the pairs that `judge` scored.

        Raises SigjepaError naming file and line for one that is not JSON, lacks a key, holds a score or cosine out of
        range, pairs a function with itself, repeats a pair, or comes from another judge.
        """
        anchors, neighbors, cosims, scores, reasons = [], [], [], [], []
        seen: set[tuple[int, int]] = set()
        with path.open("rb") as stream:
            for number, line in enumerate(progress(stream, "Reading judged pairs", unit="pair"), start=1):
                pair, problem = parse_object(line)
                missing = [key for key in KEYS if key not in pair]
                problem = problem or (f"no {', '.join(missing)}" if missing else _problem(pair, judge))
                if not problem and (pair["anchor_id"], pair["neighbor_id"]) in seen:
                    problem = f"pair ({pair['anchor_id']}, {pair['neighbor_id']}) appears twice"
                if problem:
                    raise SigjepaError(
                        f"{path}:{number}: {problem}. Repair the line, or delete {path.parent} to judge again."
                    )
                seen.add((pair["anchor_id"], pair["neighbor_id"]))
                anchors.append(pair["anchor_id"])
                neighbors.append(pair["neighbor_id"])
                cosims.append(pair["cosim"])
                scores.append(pair["score_c"])
                reasons.append(pair["reason"])
        return cls(
            np.array(anchors, dtype=np.int64),
            np.array(neighbors, dtype=np.int64),
            np.array(cosims, dtype=np.float64),
            np.array(scores, dtype=np.int8),
            judge,
            reasons,
        )


def is_cosine(value: Any) -> bool:
    """Whether a JSON value is a number in [-1, 1]; NaN and `true` are not."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -1 <= value <= 1


def is_score(value: Any) -> bool:
    """Whether a JSON value is a `score_c`."""
    return is_integer(value) and value in SCORES


def parse_object(line: bytes) -> tuple[dict[str, Any], str]:
    """The object on a line and what is wrong with the line, which is empty when nothing is."""
    try:
        pair = json.loads(line)
    except (ValueError, RecursionError) as error:  # no JSON, no UTF-8, a number of thousands of digits, deep nesting
        return {}, f"not valid JSON ({error})"
    return (pair, "") if isinstance(pair, dict) else ({}, "not a JSON object")


def _problem(pair: dict[str, Any], judge: str) -> str:
    anchor, neighbor = pair["anchor_id"], pair["neighbor_id"]
    if not (is_integer(anchor) and is_integer(neighbor) and min(anchor, neighbor) >= 0):
        return f"anchor_id {anchor!r} and neighbor_id {neighbor!r} must be integers of at least 0"
    if not is_score(pair["score_c"]):
        return f"score_c {pair['score_c']!r} is not one of 0, 1, 2, 3"
    if not is_cosine(pair["cosim"]):
        return f"cosim {pair['cosim']!r} is not within [-1, 1]"
    if anchor == neighbor:
        return f"function {anchor} is paired with itself"
    if pair["judge"] != judge:
        return f"judged by {pair['judge']!r}, not by {judge!r}"
    return ""
