"""A judged file from elsewhere, one pair a line, as judged pairs of this corpus: checked, translated, counted."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from sigjepa.errors import SigjepaError
from sigjepa.negatives.exchange.field_map import MISSING, FieldMap
from sigjepa.negatives.exchange.function_ids import UNKNOWN, FunctionIds
from sigjepa.negatives.judging.judged_pairs import JudgedPairs
from sigjepa.negatives.mining.vectors import Ids
from sigjepa.runtime.fields import Cosine, LineError, Score, json_object, validate
from sigjepa.store.progress import progress

REQUIRED = ("anchor_id", "neighbor_id", "cosim", "score_c")
DTYPES = (np.int64, np.int64, np.float64, np.int8)


class Figures(BaseModel):
    """The figures of a line; a score that is null or missing was given by nobody."""

    model_config = ConfigDict(strict=True)

    cosim: Cosine
    score_c: Score | None = None


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

    def read(self, path: Path) -> tuple[JudgedPairs, dict[str, int]]:
        """Return the scored pairs of train functions in `path`, ordered as `JudgedPairs` are, and what was left out.

        `unscored_pairs` were judged by nobody, `outside_pairs` have a function outside of the train split. Raises
        SigjepaError naming file, line and way out for one that is not JSON, lacks a field, names a function outside of
        corpus or train split, pairs one with itself or twice with another, or has a score or cosine out of range; and
        for a file in which no pair has a score, or none lies in the train split.
        """
        seen: dict[tuple[Any, Any], int] = {}
        judges: dict[str, None] = {}
        found: set[str] = set()
        rows: list[tuple[Any, ...]] = []
        first: Mapping[str, Any] = {}
        number = unscored = outside = 0
        try:
            with path.open("rb") as stream:
                for number, text in enumerate(progress(stream, f"read {path.name}", unit="line"), start=1):
                    line = json_object(text)
                    first = first or line
                    anchor, neighbor = self._pair(line, number, seen)
                    figures = self._figures(line)
                    judge, reason = self.fields.get(line, "judge"), self.fields.get(line, "reason")
                    present = (("judge", judge), ("reason", reason), ("score_c", self.fields.get(line, "score_c")))
                    found.update(name for name, value in present if value is not MISSING)
                    if not (self._in_train[anchor] and self._in_train[neighbor]):
                        outside += 1
                    elif figures.score_c is None:
                        unscored += 1
                    else:
                        rows.append((anchor, neighbor, figures.cosim, figures.score_c, _text(reason)))
                        judges[_text(judge) or self.judge] = None
        except LineError as error:
            raise SigjepaError(f"{path}:{number}: {error}. Repair the line, or take it out.") from None
        except OSError as error:
            raise SigjepaError(f"{path} cannot be read ({error.strerror}); give negatives.path=<file>.") from None
        if number:
            self._check_whole(path, first, found, len(rows), unscored, outside)
        judged = _ordered(rows, " + ".join(judges) or self.judge)
        return judged, {"unscored_pairs": unscored, "outside_pairs": outside}

    def _pair(self, line: Mapping[str, Any], number: int, seen: dict[tuple[Any, Any], int]) -> tuple[int, int]:
        """Return the positions of anchor and neighbor."""
        names = tuple(self.fields.get(line, name) for name in REQUIRED[:3])
        for name, value in zip(REQUIRED[:3], names, strict=True):
            if value is MISSING:
                raise LineError(self.fields.absence(line, name))
        anchor, neighbor = self._position("anchor_id", names[0]), self._position("neighbor_id", names[1])
        if names[0] == names[1]:
            raise LineError(f"function {names[0]} is paired with itself")
        if (earlier := seen.setdefault(names[:2], number)) != number:
            raise LineError(f"the pair ({names[0]}, {names[1]}) is already on line {earlier}")
        return anchor, neighbor

    def _figures(self, line: Mapping[str, Any]) -> Figures:
        values = {name: self.fields.get(line, name) for name in REQUIRED[2:]}
        return validate(
            Figures, {name: value for name, value in values.items() if value is not MISSING}, self.fields.names
        )

    def _position(self, name: str, value: Any) -> int:
        if not self.ids.is_id(value):
            by_position = self.ids.kind == "position"
            raise LineError(
                f"{self.fields.names[name]} {value!r} is not {'an integer, a position' if by_position else 'a key'} of "
                f"the corpus; negatives.ids={'key' if by_position else 'position'} reads "
                f"{'content keys' if by_position else 'positions'}"
            )
        position = self.ids.find(value)
        if self._in_train[position]:
            return position
        if position == UNKNOWN and not (self.skip_outside and self.ids.kind == "key"):
            raise LineError(
                f"{self.fields.names[name]} {value!r} is not in the corpus of {self.ids.n_functions:,} functions, so "
                "the file was judged for another corpus: use the one it was judged for"
                + (", or leave out such pairs with negatives.outside_train=skip" if self.ids.kind == "key" else "")
            )
        if not self.skip_outside:
            raise LineError(
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
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text.encode(errors="replace").decode()  # half a surrogate pair can be written in JSON, but to no file


def _ordered(rows: list[tuple[Any, ...]], judge: str) -> JudgedPairs:
    columns = [list(column) for column in zip(*rows, strict=True)] or [[]] * 5
    anchors, neighbors, cosims, scores = (
        np.array(column, dtype) for column, dtype in zip(columns[:4], DTYPES, strict=True)
    )
    judged = JudgedPairs(anchors, neighbors, cosims, scores, judge, columns[4])
    return judged.take(np.lexsort((neighbors, -cosims, anchors)))
