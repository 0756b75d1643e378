"""Ranks and other arrays of queries in `.npz` files."""

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sigjepa.errors import SigjepaError
from sigjepa.evaluation.ranks import Ranks
from sigjepa.store.files import atomic_path


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write an `.npz`, atomically."""
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, **arrays)


def write_ranks(path: Path, ranks: Mapping[str, tuple[np.ndarray, Ranks]]) -> None:
    """Write an `.npz` of ranks: for each split `<split>_ids`, `<split>_optimistic` and `<split>_pessimistic`, `[N]`."""
    arrays = {}
    for split, (ids, split_ranks) in ranks.items():
        arrays[f"{split}_ids"] = ids
        arrays[f"{split}_optimistic"] = split_ranks.optimistic
        arrays[f"{split}_pessimistic"] = split_ranks.pessimistic
    write_arrays(path, arrays)


def read_arrays(path: Path, *names: str) -> tuple[np.ndarray, ...]:
    """Return the named arrays of an `.npz`; raises SigjepaError naming the file when it or one of them is missing."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            found = tuple(arrays[name] for name in names)
        if not all(isinstance(array, np.ndarray) for array in found):
            raise ValueError("it holds something else than arrays")  # numpy gives the bytes of such a member
        return found
    except FileNotFoundError:
        raise SigjepaError(f"{path} does not exist; the run is unfinished: run it again.") from None
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, NotImplementedError, zlib.error) as error:
        raise SigjepaError(f"{path} has no readable {', '.join(names)} ({error}); run it again.") from None


def read_ranks(path: Path, split: str) -> tuple[np.ndarray, Ranks]:
    """Return ids `[N]` and ranks of a split; raises SigjepaError when they can't be read or there are none."""
    ids, optimistic, pessimistic = read_arrays(
        path, *(f"{split}_{name}" for name in ("ids", "optimistic", "pessimistic"))
    )
    if not len(ids):
        raise SigjepaError(f"{path} has no {split} query; a corpus with an empty {split} split can't be compared.")
    return ids, Ranks(optimistic, pessimistic)
