"""A judged file from elsewhere, one pair a line, as judged pairs of this corpus: checked, translated, counted."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sigjepa.errors import SigjepaError
from sigjepa.negatives.exchange.field_map import MISSING, FieldMap
from sigjepa.negatives.exchange.function_ids import UNKNOWN, FunctionIds
from sigjepa.negatives.index.csr import Ids
from sigjepa.negatives.judging.judged_pairs import JudgedPairs, is_cosine, is_score, parse_object
from sigjepa.store.progress import progress

REQUIRED = ("anchor_id", "neighbor_id", "cosim", "score_c")


class PairsRead(NamedTuple):
    """What a file held: the scored pairs of train functions, and how many were left out.

    unscored: pairs that nobody judged; they can be neither negatives nor masked. outside: pairs with a function that
    is not in the train split.
    """

    judged: JudgedPairs
    unscored: int
    outside: int


class _WrongLineError(Exception):
    """What is wrong with the line that is being read."""


class PairsReader:
    """Reads a file of judged pairs of a corpus.

    fields: what the file calls its fields. ids: how it names functions. train_ids: `[n]`, the whole train split.
    skip_outside: leave out pairs with a function outside of the train split (and, by content key, outside of the
    corpus) instead of refusing the file. judge: who scored, for lines that do not say.
    """

    def __init__(
        self, fields: FieldMap, ids: FunctionIds, train_ids: Ids, *, skip_outside: bool = False, judge: str = "unknown"
    ) -> None:
        self.fields = fields
        self.ids = ids
        self.skip_outside = skip_outside
        self.judge = judge
        in_train = np.zeros(ids.n_functions + 1, dtype=bool)  # the last stands for UNKNOWN
        in_train[train_ids] = True
        self._in_train: list[bool] = in_train.tolist()

    def read(self, path: Path) -> PairsRead:
        """All lines of `path`, ordered as `JudgedPairs` are.

        Raises SigjepaError naming file, line and way out for one that is not JSON, lacks a field, names a function
        outside of corpus or train split, pairs one with itself or twice with another, or has a score or cosine out of
        range; and for a file in which no pair has a score, or none lies in the train split.
        """
        seen: dict[tuple[Any, Any], int] = {}
        judges: dict[str, None] = {}
        found: set[str] = set()
        columns: tuple[list[Any], ...] = ([], [], [], [], [])
        first: Mapping[str, Any] = {}
        number = unscored = outside = 0
        try:
            with path.open("rb") as stream:
                for number, text in enumerate(progress(stream, f"Reading {path.name}", unit="line"), start=1):
                    line, problem = parse_object(text)
                    if problem:
                        raise _WrongLineError(problem)
                    first = first or line
                    anchor, neighbor, cosim, score = self._pair(line, number, seen)
                    judge, reason = self.fields.get(line, "judge"), self.fields.get(line, "reason")
                    present = (("score_c", score), ("judge", judge), ("reason", reason))
                    found.update(name for name, value in present if value is not MISSING)
                    if not (self._in_train[anchor] and self._in_train[neighbor]):
                        outside += 1
                    elif score is None or score is MISSING:
                        unscored += 1
                    else:
                        for column, value in zip(columns, (anchor, neighbor, cosim, score, _text(reason)), strict=True):
                            column.append(value)
                        judges[_text(judge) or self.judge] = None
        except _WrongLineError as error:
            raise SigjepaError(f"{path}:{number}: {error}. Repair the line, or take it out.") from None
        except OSError as error:
            raise SigjepaError(f"{path} cannot be read ({error.strerror}); give negatives.path=<file>.") from None
        if number:
            self._check_whole(path, first, found, len(columns[0]), unscored, outside)
        return PairsRead(_ordered(columns, " + ".join(judges) or self.judge), unscored, outside)

    def _pair(
        self, line: Mapping[str, Any], number: int, seen: dict[tuple[Any, Any], int]
    ) -> tuple[int, int, float, Any]:
        """Positions of anchor and neighbor, cosine, and score, None or `MISSING` for a pair that nobody judged."""
        one, other, cosim, score = (self.fields.get(line, name) for name in REQUIRED)
        for name, value in zip(REQUIRED[:3], (one, other, cosim), strict=True):
            if value is MISSING:
                raise _WrongLineError(self.fields.absence(line, name))
        anchor, neighbor = self._position("anchor_id", one), self._position("neighbor_id", other)
        if one == other:
            raise _WrongLineError(f"function {one} is paired with itself")
        if (earlier := seen.setdefault((one, other), number)) != number:
            raise _WrongLineError(f"the pair ({one}, {other}) is already on line {earlier}")
        if not is_cosine(cosim):
            raise _WrongLineError(
                f"{self.fields.names['cosim']} {cosim!r} is not a number within [-1, 1]; round one that is only just "
                "beyond"
            )
        if score is not None and score is not MISSING and not is_score(score):
            raise _WrongLineError(
                f"{self.fields.names['score_c']} {score!r} is not one of 0, 1, 2, 3, nor null for a pair that nobody "
                "judged"
            )
        return anchor, neighbor, cosim, score

    def _position(self, name: str, value: Any) -> int:
        if not self.ids.is_id(value):
            by_position = self.ids.kind == "position"
            raise _WrongLineError(
                f"{self.fields.names[name]} {value!r} is not {'an integer, a position' if by_position else 'a key'} of "
                f"the corpus; negatives.ids={'key' if by_position else 'position'} reads "
                f"{'content keys' if by_position else 'positions'}"
            )
        position = self.ids.find(value)
        if self._in_train[position]:
            return position
        if position == UNKNOWN and not (self.skip_outside and self.ids.kind == "key"):
            raise _WrongLineError(
                f"{self.fields.names[name]} {value!r} is not in the corpus of {self.ids.n_functions:,} functions, so "
                "the file was judged for another corpus: use the one it was judged for"
                + (", or leave out such pairs with negatives.outside_train=skip" if self.ids.kind == "key" else "")
            )
        if not self.skip_outside:
            raise _WrongLineError(
                f"{self.fields.names[name]} {value!r} is not in the train split, whose functions alone may become "
                "negatives: leave out such pairs with negatives.outside_train=skip, or use the corpus that the file "
                "was judged for"
            )
        return position

    def _check_whole(
        self, path: Path, first: Mapping[str, Any], found: set[str], judged: int, unscored: int, outside: int
    ) -> None:
        """Raise for what only the file as a whole shows: a field on no line, no score, no pair in train."""
        for name in ("score_c", "judge", "reason"):
            if name not in found and (name in REQUIRED or name in self.fields.given):
                raise SigjepaError(f"{path}:1: {self.fields.absence(first, name)}. No line of the file has it.")
        if not judged and not unscored:
            raise SigjepaError(
                f"{path}: none of its {outside:,} pairs lies in the train split, so it was judged for another corpus. "
                "Use the corpus that it was judged for, or another file."
            )
        if not judged:
            raise SigjepaError(
                f"{path}: none of its {unscored:,} pairs in the train split has a score. Judge them, or mine and judge "
                "pairs of this corpus with negatives=knn."
            )


def _text(value: Any) -> str:
    if value is None or value is MISSING:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _ordered(columns: tuple[list[Any], ...], judge: str) -> JudgedPairs:
    kinds = (np.int64, np.int64, np.float64, np.int8)
    anchors, neighbors, cosims, scores = (
        np.array(column, kind) for column, kind in zip(columns[:4], kinds, strict=True)
    )
    order = np.lexsort((neighbors, -cosims, anchors))
    reasons = [columns[4][place] for place in order.tolist()]
    return JudgedPairs(anchors[order], neighbors[order], cosims[order], scores[order], judge, reasons)
