"""Artifact folders: named by the hash of their inputs, written atomically, locked while they are built."""

import errno
import hashlib
import itertools
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import Any

import xxhash
from filelock import FileLock

from sigjepa.errors import DamagedError, SigjepaError, StorageError

KEY_LENGTH = 12


def content_key(inputs: Mapping[str, Any]) -> str:
    """Short hexadecimal key of JSON-serialisable `inputs`; equal inputs give equal keys on every machine."""
    canonical = json.dumps(inputs, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:KEY_LENGTH]


def file_digest(path: Path) -> str:
    """`xxh3_128:<hex>` of a file's bytes; safetensors and parquet do not notice a flipped byte, this does."""
    digest = xxhash.xxh3_128()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return f"xxh3_128:{digest.hexdigest()}"


OF_THE_DISK = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO),
}
FULL = 1 << 20
"""With fewer bytes free than this, whatever fails while it writes has failed for want of space."""


@contextmanager
def storage_checked(path: Path) -> Iterator[None]:
    """Raise StorageError naming `path` and the way out for what the disk refuses, however a library puts it."""
    try:
        yield
    except SigjepaError:
        raise
    except Exception as error:
        free = free_bytes(path.parent)
        refused = isinstance(error, OSError) and error.errno in OF_THE_DISK
        if not refused and not (free is not None and free < FULL):
            raise
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "no space left on device"
        room = f", {free / 2**20:,.0f} MiB are free" if free is not None else ""
        raise StorageError(
            f"{path} can't be written: {reason}{room}. Make room or give the right to write there, or choose another "
            "place (SIGJEPA_DATA_DIR=... for artifacts, hydra.run.dir=... for a run), and give the same command again: "
            "what is finished is kept."
        ) from error


def free_bytes(folder: Path) -> int | None:
    """Bytes that are free on the disk of a folder, or of the nearest one above it that exists."""
    for place in (folder, *folder.parents):
        if place.exists():
            return shutil.disk_usage(place).free
    return None


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that is renamed onto it on success and removed on failure.

    What was there stays until the new file is whole and on the disk, so that neither a kill nor a power cut leaves half
    of one. Raises StorageError when the disk refuses.
    """
    with storage_checked(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            temporary.chmod(0o644)  # mkstemp's 0600 would hide shared artifacts from other users
            synchronise(temporary)
            temporary.replace(path)
            synchronise(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def synchronise(path: Path) -> None:
    """Have the operating system put a file, or the names in a folder, on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_leftovers(folder: Path) -> None:
    """Remove what a killed process had begun to write in a folder; only for who holds its lock."""
    for leftover in folder.glob(".*.tmp"):
        leftover.unlink(missing_ok=True)


def set_aside(path: Path) -> None:
    """Rename a damaged file or folder to `<name>.damaged-<n>`, so that it is built again."""
    if not path.exists():
        return
    number = next(n for n in itertools.count(1) if not path.with_name(f"{path.name}.damaged-{n}").exists())
    path.rename(path.with_name(f"{path.name}.damaged-{number}"))


def damaged(path: Path, problem: str, remove: Path | None = None) -> DamagedError:
    """The error for a file of an artifact; `remove` is what is to be deleted for it to be built again."""
    target = remove or path
    return DamagedError(
        f"{path} {problem}. `python -m sigjepa.prepare repair=true`, with the words of your command, sets "
        f"{'it' if target == path else target} aside and builds it again.",
        partial(set_aside, target),
    )


SEAL = "seal"


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_manifest(path: Path, manifest: Mapping[str, Any]) -> None:
    """Write an artifact's manifest with a seal over its content: a changed digit is no longer valid."""
    write_json(path, {**manifest, SEAL: seal_of(manifest)})


def seal_of(manifest: Mapping[str, Any]) -> str:
    """`xxh3_128:<hex>` of a manifest's content, whatever the order of its keys."""
    content = {key: value for key, value in manifest.items() if key != SEAL}
    return f"xxh3_128:{xxhash.xxh3_128_hexdigest(json.dumps(content, sort_keys=True).encode())}"


def read_json(path: Path) -> Any:
    """Read a JSON file; raises SigjepaError naming the file when it is missing, unreadable or damaged."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        raise SigjepaError(f"{path} does not exist; run `python -m sigjepa.prepare` to build it.") from None
    except OSError as error:
        raise SigjepaError(f"{path} can't be read: {error.strerror}. Give yourself the right to read it.") from None
    except (ValueError, RecursionError) as error:
        raise SigjepaError(f"{path} is not valid JSON ({error}).") from None


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
    with storage_checked(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    try:
        if folder.is_dir():
            remove_leftovers(folder)
        yield
    finally:
        lock.release()
