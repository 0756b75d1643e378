"""What rooms that are not stages yet still use; it goes with the last of them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import xxhash
from filelock import FileLock

from sigjepa.errors import SigjepaError
from sigjepa.store.files import atomic_path, file_digest, read_json, set_aside, storage_errors, write_json
from sigjepa.store.manifest import content_key, damaged

__all__ = ["atomic_path", "content_key", "damaged", "file_digest", "read_json", "set_aside", "write_json"]

SEAL = "seal"


def write_manifest(path: Path, manifest: Mapping[str, Any]) -> None:
    """Write an artifact's manifest with a seal over its content: a changed digit is no longer valid."""
    write_json(path, {**manifest, SEAL: seal_of(manifest)})


def seal_of(manifest: Mapping[str, Any]) -> str:
    """Return `xxh3_128:<hex>` of a manifest's content, whatever the order of its keys."""
    content = {key: value for key, value in manifest.items() if key != SEAL}
    return f"xxh3_128:{xxhash.xxh3_128_hexdigest(json.dumps(content, sort_keys=True).encode())}"


def read_manifest(path: Path, keys: Sequence[str]) -> dict[str, Any]:
    """Read an artifact's manifest; raises DamagedError when it is not as it was written or lacks one of `keys`.

    Manifests of before seals are read without.
    """
    try:
        manifest = read_json(path)
    except SigjepaError as error:
        if not path.exists() or isinstance(error.__context__, OSError):
            raise
        raise damaged(path, f"is damaged ({error})") from None
    if not isinstance(manifest, dict) or not set(keys) <= manifest.keys():
        raise damaged(path, f"is not the manifest of an artifact: it needs {', '.join(keys)}")
    sealed = SEAL in manifest or "made" in manifest  # which came with seals: then the key of the seal was altered
    if sealed and manifest.get(SEAL) != seal_of(manifest):
        raise damaged(path, "was altered after it was written: its seal is broken")
    return manifest


class NotBuiltError(SigjepaError):
    """An artifact is missing, and building was refused."""


_refused: ContextVar[bool] = ContextVar("building is refused", default=False)


@contextmanager
def building_refused() -> Iterator[None]:
    """Open artifacts only: a missing one raises NotBuiltError instead of being built."""
    token = _refused.set(True)
    try:
        yield
    finally:
        _refused.reset(token)


@contextmanager
def artifact_lock(folder: Path) -> Iterator[None]:
    """Hold the lock of an artifact folder, so that parallel jobs that share a cold cache build it once.

    Raises NotBuiltError where `building_refused` holds.
    """
    if _refused.get():
        raise NotBuiltError(f"{folder} does not exist; `python -m sigjepa.prepare` builds it.")
    lock = FileLock(f"{folder}.lock")
    with storage_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    try:
        if folder.is_dir():
            for leftover in folder.glob(".*.tmp"):
                leftover.unlink(missing_ok=True)
        yield
    finally:
        lock.release()
