"""The files of a run directory, read with a clear error for what is not as a run left it."""

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np

from sigjepa.data.explanation import PairShares
from sigjepa.errors import SigjepaError
from sigjepa.evaluation.first_bodies import FirstBodies
from sigjepa.evaluation.metrics import QueryValues
from sigjepa.evaluation.pools import PoolFacts
from sigjepa.evaluation.rank_files import check_ids, read_arrays
from sigjepa.store.files import file_digest, read_json
from sigjepa.training.run_file_names import FILES_FILE


def verified(folder: Path, name: str) -> Path:
    """Return the path of a run's file; raises SigjepaError when it is not as the run left it when it finished."""
    record = folder / FILES_FILE
    if record.exists():
        files = read_json(record)
        digest = files.get("files", {}).get(name) if isinstance(files, dict) else None
        if digest is not None and (folder / name).is_file() and file_digest(folder / name) != digest:
            raise SigjepaError(
                f"{folder / name} was altered after its run had finished: its digest is not that of {record.name}. "
                "Leave the run out, or train it again with resume=never."
            )
    return folder / name


def was_written(folder: Path, name: str) -> bool:
    """Return whether a run left a file: it is there, or the record of its files names it."""
    record = folder / FILES_FILE
    files = read_json(record) if record.exists() else None
    named = files.get("files") if isinstance(files, dict) else None
    return (folder / name).exists() or (isinstance(named, dict) and name in named) or not isinstance(named, dict)


def as_mapping(value: Any, path: Path) -> dict[str, Any]:
    """Return a file's content, or a part of it, which must be a mapping; raises SigjepaError naming the file."""
    if not isinstance(value, dict):
        raise SigjepaError(f"{path} does not hold what a run writes there; leave the run out, or train it again.")
    return value


def read_rows(path: Path) -> list[dict[str, float]]:
    """Return the rows of a `metrics.csv`, absent values left out; raises SigjepaError naming file and line."""
    rows: list[dict[str, float]] = []
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            reader = csv.DictReader(stream)
            for cells in reader:
                try:
                    row = {name: float(value) for name, value in cells.items() if value}
                    int(row["epoch"])
                except (KeyError, ValueError, TypeError, OverflowError):
                    raise SigjepaError(
                        f"{path}, line {reader.line_num} is not a row of numbers under the file's header; "
                        "delete that line, or leave the run out."
                    ) from None
                rows.append(row)
    except FileNotFoundError:
        raise SigjepaError(f"{path} does not exist; the run has written no epoch. Leave it out.") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SigjepaError(f"{path} can't be read ({error}); leave the run out, or repair the file.") from None
    return [{name: value for name, value in row.items() if not math.isnan(value)} for row in rows]


def read_pool_facts(path: Path, split: str) -> PoolFacts:
    """Return the facts of a split's queries; raises SigjepaError where there are none to read."""
    ids, packages, in_train = read_arrays(path, *(f"{split}_{name}" for name in ("ids", "packages", "in_train")))
    check_ids(path, split, ids)
    if packages.shape != ids.shape or packages.dtype.kind not in "iu" or in_train.shape != ids.shape:
        raise SigjepaError(f"{path} has no package and no mark of each {split} query; leave the run out.")
    return PoolFacts(ids, packages, in_train.astype(bool))


def read_queries(path: Path, split: str, names: list[str]) -> QueryValues:
    """Return the values by query of a split's metrics; raises SigjepaError where there are none to read."""
    ids, *values = read_arrays(path, *(f"{split}_{name}" for name in ("ids", *names)))
    check_ids(path, split, ids)
    for name, column in zip(names, values, strict=True):
        if column.shape != ids.shape or column.dtype.kind not in "fiub" or not np.isfinite(column).all():
            raise SigjepaError(f"{path} has not one finite value of '{name}' for each {split} query; leave it out.")
    return QueryValues(ids, dict(zip(names, values, strict=True)))


def read_first_bodies(path: Path, split: str) -> tuple[np.ndarray, FirstBodies]:
    """Return ids `[N]` of a split's queries and what is ranked first for each; raises SigjepaError without it."""
    names = ("ids", "places", "scores", "names", "values", "pairs", "views", "terms", "products")
    ids, places, scores, *shares = read_arrays(path, *(f"{split}_{name}" for name in names))
    check_ids(path, split, ids)
    views, values, *terms = shares
    pairs = scores.size
    whole = (
        places.ndim == 2
        and scores.shape == (len(ids), places.shape[1] + 1)
        and values.shape == (pairs, len(views))
        and all(column.shape == terms[0].shape for column in terms)
        and all(
            column.dtype.kind == "i" and (not column.size or (column.min() >= 0 and column.max() < limit))
            for column, limit in ((places, len(ids)), (terms[0], pairs), (terms[1], len(views)))
        )
        and all(column.dtype.kind == "f" and np.isfinite(column).all() for column in (scores, values, terms[3]))
    )
    if not whole:
        raise SigjepaError(f"{path} does not say what is ranked first for each {split} query; leave the run out.")
    return ids, FirstBodies(places, scores, PairShares(views.tolist(), values, *terms))
