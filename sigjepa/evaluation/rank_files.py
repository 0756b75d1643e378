"""Ranks and other arrays of queries in `.npz` files."""

import math
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sigjepa.errors import SigjepaError, StorageError
from sigjepa.evaluation.ranks import Ranks
from sigjepa.store.files import atomic_path, read_errors

MAX_INFLATION = 1000
"""What deflate can do at most: bytes of an array for a byte of the file."""


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
        with read_errors(path), np.load(path, allow_pickle=False) as arrays:
            if not isinstance(arrays, np.lib.npyio.NpzFile):
                raise ValueError("it is not a zip of arrays")
            for name in names:
                check_member(arrays, name)
            found = tuple(arrays[name] for name in names)
        if not all(isinstance(array, np.ndarray) for array in found):
            raise ValueError("it holds something else than arrays")  # numpy gives the bytes of such a member
        return found
    except FileNotFoundError:
        raise SigjepaError(f"{path} does not exist; the run is unfinished: run it again.") from None
    except StorageError:
        raise
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, NotImplementedError, zlib.error) as error:
        raise SigjepaError(f"{path} has no readable {', '.join(names)} ({error}); run it again.") from None


def check_member(arrays: np.lib.npyio.NpzFile, name: str) -> None:
    """Raise ValueError for an array whose header asks for more bytes than the file holds; KeyError where it is not."""
    if name not in arrays.files:
        raise KeyError(name)
    assert arrays.zip is not None, "the file is open"
    member = arrays.zip.getinfo(f"{name}.npy")
    with arrays.zip.open(member) as stream:
        version = np.lib.format.read_magic(stream)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read_header(stream)
    if math.prod(shape) * dtype.itemsize > member.file_size or member.file_size > MAX_INFLATION * (
        member.compress_size + 1024
    ):
        raise ValueError(f"'{name}' says that it has the shape {shape} of {dtype}, more than the file holds")


def read_ranks(path: Path, split: str) -> tuple[np.ndarray, Ranks]:
    """Return ids `[N]` and ranks of a split; raises SigjepaError when they can't be read or there are none."""
    ids, optimistic, pessimistic = read_arrays(
        path, *(f"{split}_{name}" for name in ("ids", "optimistic", "pessimistic"))
    )
    check_ids(path, split, ids)
    for places in (optimistic, pessimistic):
        if places.shape != ids.shape or not np.issubdtype(places.dtype, np.integer):
            raise SigjepaError(f"{path} has no whole rank of each of its {len(ids)} {split} queries; run it again.")
    if not ((optimistic >= 1) & (optimistic <= pessimistic) & (pessimistic <= len(ids))).all():
        raise SigjepaError(f"{path} has {split} ranks that are not within 1 to {len(ids)}, its pool; run it again.")
    return ids, Ranks(optimistic, pessimistic)


def check_ids(path: Path, split: str, ids: np.ndarray) -> None:
    """Raise SigjepaError naming the file unless `ids` are whole numbers from 0 on, ascending, at least one."""
    if ids.ndim != 1 or not np.issubdtype(ids.dtype, np.integer):
        raise SigjepaError(f"{path} has {split} ids that are not a row of whole numbers; run it again.")
    if not len(ids):
        raise SigjepaError(f"{path} has no {split} query; a corpus with an empty {split} split can't be compared.")
    if ids[0] < 0 or (np.diff(ids.astype(np.int64)) <= 0).any():
        raise SigjepaError(f"{path} has {split} ids that do not rise from 0 on; run it again.")
