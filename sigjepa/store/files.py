"""Files that are whole or not there: written atomically, digested, set aside when they are damaged."""

import errno
import itertools
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import xxhash

from sigjepa.errors import SigjepaError, StorageError


def file_digest(path: Path) -> str:
    """Return `xxh3_128:<hex>` of a file's bytes; safetensors and parquet do not notice a flipped byte, this does."""
    digest = xxhash.xxh3_128()
    with read_errors(path), path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return f"xxh3_128:{digest.hexdigest()}"


_ROOM = "Make room"
_RIGHT = "Give the right to write there"
_MOUNT = "Look at the disk, or mount its file system again"
_OTHER = "The file system can't do that"
_FEWER = "Close other programs, or raise the limit (ulimit)"
DISK_ERRORS = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMLINK), _ROOM),
    **dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM, errno.EBUSY, errno.ETXTBSY), _RIGHT),
    **dict.fromkeys((errno.EIO, errno.ESTALE, errno.EREMOTEIO, errno.ENXIO), _MOUNT),
    **dict.fromkeys((errno.ENODEV, errno.EXDEV, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOLCK, errno.EOVERFLOW), _OTHER),
    **dict.fromkeys((errno.ENOMEM, errno.EMFILE, errno.ENFILE), _FEWER),
    **dict.fromkeys((errno.ENAMETOOLONG, errno.ELOOP), "Take a shorter path"),
}
"""What a disk or its file system says when it refuses to write, rename, lock, synchronize or map, and the way out."""


@contextmanager
def read_errors(path: Path) -> Iterator[None]:
    """Raise StorageError naming `path` and the way out where the disk, not what is on it, keeps it from being read."""
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        number = errno_of(error)
        if number not in DISK_ERRORS:
            raise
        way_out = "Give yourself the right to read it" if number in (errno.EACCES, errno.EPERM) else DISK_ERRORS[number]
        raise StorageError(f"{path} can't be read: {os.strerror(number)}. {way_out}.") from error


def errno_of(error: OSError) -> int | None:
    """Return the number of an error of the operating system, which safetensors, written in Rust, has in its text."""
    said = re.search(r"\(os error (\d+)\)", str(error))
    return int(said[1]) if error.errno is None and said else error.errno


MIN_FREE_BYTES = 1 << 20
"""With fewer bytes free than this, whatever fails while it writes has failed for want of space."""


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Raise StorageError naming `path` and the way out for what the disk refuses, however a library puts it."""
    try:
        yield
    except SigjepaError:
        raise
    except Exception as error:
        free = free_bytes(path.parent)
        refused = isinstance(error, OSError) and error.errno in DISK_ERRORS
        if not refused and not (free is not None and free < MIN_FREE_BYTES):
            raise
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "no space left on device"
        room = f", {free / 2**20:,.0f} MiB are free" if free is not None else ""
        way_out = DISK_ERRORS[error.errno] if isinstance(error, OSError) and error.errno in DISK_ERRORS else _ROOM
        raise StorageError(
            f"{path} can't be written: {reason}{room}. {way_out}, or choose another "
            "place (SIGJEPA_DATA_DIR=... for artifacts, hydra.run.dir=... for a run), and give the same command again: "
            "what is finished is kept."
        ) from error


def free_bytes(folder: Path) -> int | None:
    """Return the bytes that are free on the disk of a folder, or of the nearest one above it that exists."""
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
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            temporary.chmod(0o644)  # mkstemp's 0600 would hide shared artifacts from other users
            synchronize(temporary)
            temporary.replace(path)
            synchronize(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def synchronize(path: Path) -> None:
    """Have the operating system put a file, or the names in a folder, on the disk, where the file system can."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS):  # of a file system that has no fsync
            raise
    finally:
        os.close(handle)


def appears(path: Path, seconds: float, size: int | None = None) -> bool:
    """Return whether a file is there, of `size` bytes where that is given, waiting for it at most so many seconds.

    Listing its folder makes a network file system look again.
    """
    end = time.monotonic() + seconds
    while True:
        with suppress(OSError):
            os.listdir(path.parent)  # noqa: PTH208
            if size in (None, path.stat().st_size):
                return True
        if time.monotonic() >= end:
            return False
        time.sleep(min(0.5, seconds / 10))


def written_files(root: Path, *names: str) -> dict[Path, int]:
    """Return the files in or below `root` with one of these names, sorted, and when each was written, in nanoseconds.

    Other processes may write there: what one of them removes meanwhile is left out.
    """
    found = {}
    for folder, _, files in os.walk(root):
        for path in (Path(folder, name) for name in names if name in files):
            with suppress(FileNotFoundError):
                found[path] = path.stat().st_mtime_ns
    return dict(sorted(found.items()))


def set_aside(path: Path) -> None:
    """Rename a damaged file or folder to `<name>.damaged-<n>`, so that it is built again."""
    if not path.exists():
        return
    number = next(n for n in itertools.count(1) if not path.with_name(f"{path.name}.damaged-{n}").exists())
    path.rename(path.with_name(f"{path.name}.damaged-{number}"))


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file; raises SigjepaError naming the file when it is missing, unreadable or damaged."""
    try:
        with read_errors(path):
            return json.loads(path.read_bytes())
    except FileNotFoundError:
        raise SigjepaError(
            f"{path} does not exist. An artifact is built by `python -m sigjepa.prepare`; a run that lacks a file is "
            "trained again, or left out."
        ) from None
    except StorageError:
        raise
    except OSError as error:
        raise SigjepaError(f"{path} can't be read: {error.strerror}. Give the path of a file.") from None
    except (ValueError, RecursionError) as error:
        raise SigjepaError(f"{path} is not valid JSON ({error}).") from None
