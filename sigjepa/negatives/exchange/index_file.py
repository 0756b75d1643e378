"""`hard_negatives.json`, one id a line, and the meta file beside it: written, read, and found wrong with its line."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ConfigDict, TypeAdapter, ValidationError

from sigjepa.errors import SigjepaError
from sigjepa.negatives.exchange.function_ids import UNKNOWN, FunctionIds
from sigjepa.negatives.index.csr import CSR, Ids
from sigjepa.negatives.index.hard_negatives import HardNegatives
from sigjepa.negatives.judging.judged_pairs import JudgedPairs
from sigjepa.runtime.fields import Cosine, Score, problem
from sigjepa.store.files import atomic_path, file_digest

FILE_NAME = "hard_negatives.json"
META_NAME = "hard_negatives.meta.json"
COLUMNS = ("scores", "cosims", "related")
"""What the meta file holds by anchor, and `digest` beside it; the rest of it is metadata."""
ASSUMED_SCORE = 1
"""What a pair without a score counts as: the index holds it as a negative, and nothing says it is surely unrelated."""


def write_lists(path: Path, lists: Mapping[Any, Sequence[Any]]) -> None:
    """Write lists of ids by id, one id a line as `json.dump(lists, indent=1)` does: the size of the published file."""
    blocks = (
        f" {json.dumps(str(key))}: [\n  " + ",\n  ".join(map(json.dumps, values)) + "\n ]"
        for key, values in lists.items()
    )
    with atomic_path(path) as temporary:
        temporary.write_text("{\n" + ",\n".join(blocks) + "\n}\n" if lists else "{}\n", encoding="utf-8")


def write_index(index: HardNegatives, folder: Path, ids: FunctionIds) -> Path:
    """Write `hard_negatives.json` and its meta file, functions under the names of `ids`; returns the former."""

    def named(lists: Mapping[int, Sequence[Any]]) -> dict[Any, Sequence[Any]]:
        return dict(zip(ids.names(lists), lists.values(), strict=True))

    def of_ids(adjacency: CSR) -> dict[Any, Sequence[Any]]:
        return named({key: ids.names(values) for key, values in adjacency.to_lists(adjacency.values).items()})

    path = folder / FILE_NAME
    write_lists(path, of_ids(index.negatives))
    meta = {
        **index.metadata,
        "ids": ids.kind,
        "statistics": index.statistics(),
        "digest": file_digest(path),
        "scores": named(index.negatives.to_lists(index.scores)),
        "cosims": named(index.negatives.to_lists(index.cosims)),
        "related": of_ids(index.related),
    }
    with atomic_path(folder / META_NAME) as temporary:  # compactly: its columns are for programs
        temporary.write_text(json.dumps(meta, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def read_index(
    path: Path, meta_path: Path | None, ids: FunctionIds, *, way_out: str, skip_unknown: bool = False
) -> tuple[JudgedPairs, Ids, Mapping[str, Any]]:
    """Read an index file and, unless it is None, its meta file.

    way_out: what a person can do about a file that is wrong. skip_unknown: let pass functions that the corpus does
    not have. Returns its pairs in its order, with `UNKNOWN` for such functions, and without a meta file no cosines
    (NaN) and `ASSUMED_SCORE`; related pairs `[R, 2]` of known functions; and the rest of the meta file. Raises
    SigjepaError naming the file, the line and the way out when a file is missing, altered or damaged, names unknown
    functions, pairs a function with itself or twice with another, or has a score or cosine out of range.
    """
    document = Document(path, way_out)
    lists = document.read()
    anchors, negatives = _pairs(lists, document, ids, skip_unknown)
    if meta_path is None:
        scores, cosims = np.full(len(anchors), ASSUMED_SCORE, np.int8), np.full(len(anchors), np.nan)
        reasons = [""] * len(anchors)
        return JudgedPairs(anchors, negatives, cosims, scores, "unknown", reasons), np.empty((0, 2), np.int64), {}
    notes = Document(meta_path, way_out)
    meta = notes.read()
    if not isinstance(meta, dict) or not {"digest", *COLUMNS} <= meta.keys():
        raise notes.wrong(f"lacks one of digest, {', '.join(COLUMNS)}")
    if (digest := file_digest(path)) != meta["digest"]:
        raise document.wrong(f"was altered: its digest is {digest}, but {meta_path.name} says {meta['digest']}")
    scores = np.array(_column(meta, "scores", lists, notes, Score), np.int8)
    cosims = np.array(_column(meta, "cosims", lists, notes, Cosine), np.float64)
    judged = JudgedPairs(anchors, negatives, cosims, scores, str(meta.get("judge")), [""] * len(anchors))
    related = np.stack(_pairs(meta["related"], notes, ids, skip_unknown), axis=1)
    rest = {key: value for key, value in meta.items() if key not in (*COLUMNS, "statistics")}
    return judged, related[(related != UNKNOWN).all(axis=1)], rest


@dataclass(frozen=True)
class Document:
    """A JSON file that is being read, and what a person can do when it is wrong."""

    path: Path
    way_out: str

    def read(self) -> Any:
        """Return its content; raises SigjepaError when it is missing, no JSON, or has a key twice."""
        try:
            return json.loads(self.path.read_bytes(), object_pairs_hook=self._unique)
        except FileNotFoundError:
            raise self.wrong("does not exist") from None
        except OSError as error:
            raise self.wrong(f"cannot be read ({error.strerror})") from None
        except json.JSONDecodeError as error:
            raise self.wrong(f"is not valid JSON ({error.msg})", line=error.lineno) from None
        except (ValueError, RecursionError) as error:
            raise self.wrong(f"is not valid JSON ({error})") from None

    def _unique(self, items: list[tuple[str, Any]]) -> dict[str, Any]:
        mapping = dict(items)
        if len(mapping) < len(items):
            keys = [key for key, _ in items]
            repeated = next(key for key in keys if keys.count(key) > 1)
            raise self.wrong(f"has the key {repeated!r} twice", repeated)
        return mapping

    def wrong(self, problem: str, key: Any = None, value: Any = None, line: int | None = None) -> SigjepaError:
        """Return the error to raise; `line`, or the line of a `key` and a `value` in its list, is named where it is
        known.
        """
        if key is not None:
            line = self._line(str(key), value)
        return SigjepaError(f"{self.path}{f':{line}:' if line else ''} {problem}; {self.way_out}")

    def _line(self, key: str, value: Any) -> int | None:
        text = self.path.read_text(encoding="utf-8")
        place = [found.start() for found in re.finditer(rf"{re.escape(json.dumps(key))}\s*:", text)]
        if not place:
            return None
        start = place[-1]
        if value is not None:
            listed = text[start : text.find("]", start)]
            spelled = rf'(?<![\w."-]){re.escape(json.dumps(value))}(?![\w."])'
            start += max((found.start() for found in re.finditer(spelled, listed)), default=0)
        return text.count("\n", 0, start) + 1


def _flat(lists: Mapping[str, Sequence[Any]]) -> Iterator[tuple[str, Any]]:
    return ((key, value) for key, values in lists.items() for value in values)


def _pairs(lists: Any, document: Document, ids: FunctionIds, skip_unknown: bool) -> tuple[Ids, Ids]:
    """Check `{"<id>": [id, …]}` and flatten it to positions `[P]` and `[P]`."""
    if not isinstance(lists, dict):
        raise document.wrong("is not an object of id lists")
    keys: dict[str, int] = {}
    for key, values in lists.items():
        if (anchor := ids.from_json_key(key)) is None:
            raise document.wrong(f"has the key {key!r}, which is no function id", key)
        if not (isinstance(values, list) and values and all(map(ids.is_id, values))):
            raise document.wrong(f"holds no list of function ids under {key!r}", key)
        keys[key] = ids.find(anchor)
    anchors = np.array([keys[key] for key, _ in _flat(lists)], np.int64)
    negatives = np.array([ids.find(value) for _, value in _flat(lists)], np.int64)
    unknown = (anchors == UNKNOWN) | (negatives == UNKNOWN)
    if unknown.any() and not skip_unknown:
        raise _foreign(lists, keys, document, ids)
    place = int(np.argmax((anchors == negatives) & ~unknown)) if len(anchors) else 0
    if len(anchors) and anchors[place] == negatives[place] and not unknown[place]:
        key, value = _entry(lists, place)
        raise document.wrong(f"pairs function {value} with itself", key, value)
    known = np.flatnonzero(~unknown)
    first = np.unique(np.stack([anchors, negatives], axis=1)[known], axis=0, return_index=True)[1]
    if len(first) < len(known):
        key, value = _entry(lists, int(np.delete(known, first)[0]))
        raise document.wrong(f"holds the pair ({key}, {value}) twice", key, value)
    return anchors, negatives


def _entry(lists: Mapping[str, Sequence[Any]], place: int) -> tuple[str, Any]:
    return next(entry for position, entry in enumerate(_flat(lists)) if position == place)


def _foreign(
    lists: Mapping[str, Sequence[Any]], keys: Mapping[str, int], document: Document, ids: FunctionIds
) -> SigjepaError:
    foreign: dict[Any, tuple[str, Any]] = {}  # id: where it stands
    for key, value in _flat(lists):
        if keys[key] == UNKNOWN:
            foreign.setdefault(ids.from_json_key(key), (key, None))
        if ids.find(value) == UNKNOWN:
            foreign.setdefault(value, (key, value))
    first, (key, value) = next(iter(foreign.items()))
    return document.wrong(
        f"names {len(foreign)} function ids that are not in the corpus of {ids.n_functions:,} functions (the first is "
        f"{first}), so it was mined from another corpus",
        key,
        value,
    )


def _column(
    meta: Mapping[str, Any], name: str, lists: Mapping[str, Sequence[Any]], document: Document, kind: Any
) -> list[Any]:
    """Return the values of a column, which must hold one of a `kind` for each id of `lists`, in their order."""
    try:
        column = TypeAdapter(dict[str, list[kind]], config=ConfigDict(strict=True)).validate_python(meta[name])
    except ValidationError as error:
        raise document.wrong(f"has a wrong value among its {name}, {problem(error)}") from None
    if {key: len(values) for key, values in column.items()} != {key: len(values) for key, values in lists.items()}:
        raise document.wrong(f"does not have one of its {name} for each pair of {FILE_NAME}")
    return [value for key in lists for value in column[key]]
