"""Artifact folders: named by the hash of their inputs, written atomically, locked while they are built."""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import xxhash
from filelock import FileLock

from sigjepa.errors import SigjepaError

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


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that is renamed onto it on success and removed on failure."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)  # mkstemp's 0600 would hide shared artifacts from other users
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file; raises SigjepaError naming the file when it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SigjepaError(f"{path} does not exist; run `python -m sigjepa.prepare` to build it.") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise SigjepaError(f"{path} is not valid JSON ({error}); delete its folder and prepare it again.") from None


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
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        yield
