"""The run directory: the files that every reader of a finished run relies on."""

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from sigjepa.artifacts import atomic_path
from sigjepa.evaluation.ranks import Ranks


def write_ranks(path: Path, ranks: dict[str, tuple[np.ndarray, Ranks]]) -> None:
    """Write `ranks.npz`: for each split `<split>_ids`, `<split>_optimistic` and `<split>_pessimistic`, all `[N]`."""
    arrays: dict[str, Any] = {}
    for split, (ids, split_ranks) in ranks.items():
        arrays[f"{split}_ids"] = ids
        arrays[f"{split}_optimistic"] = split_ranks.optimistic
        arrays[f"{split}_pessimistic"] = split_ranks.pessimistic
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, **arrays)


def write_summary(path: Path, summary: Mapping[str, Any]) -> None:
    """Write `summary.json`: flat, fractions not percent, NaN as null."""
    clean = {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in summary.items()}
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(clean, indent=2, allow_nan=False) + "\n", encoding="utf-8")


@contextmanager
def recorded_status(path: Path, facts: Mapping[str, Any]) -> Iterator[None]:
    """Keep `summary.json` honest while a run goes on: `running` now, `failed` with the reason if it raises."""
    write_summary(path, {**facts, "status": "running"})
    try:
        yield
    except BaseException as error:
        write_summary(path, {**facts, "status": "failed", "error": f"{type(error).__name__}: {error}"})
        raise
