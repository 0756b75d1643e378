"""Files that were found as they were written, remembered so that the next job need not read all of them again.

A file is remembered by size, inode and the nanoseconds of its last writing and last change. Whoever writes into it,
puts another in its place or sets its time back changes one of these, the last of which no program can set. What changes
none of them is a disk that gives other bytes than it was given: `verify=full`, `repair=true` and `sigjepa provenance`
read every file, and so does the first job after MAX_DAYS.
"""

import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Literal, TypeAlias

from sigjepa.errors import SigjepaError, StorageError, nearest_name
from sigjepa.store.manifest import Manifest, read_record, write_record

VERIFIED_FILE = "verified.json"
Verify: TypeAlias = Literal["changed", "full"]
VERIFY: tuple[Verify, ...] = ("changed", "full")
MAX_DAYS = 7
MIN_AGE_SECONDS = 2
"""A file is remembered once it was left alone for so long before it was read: within one tick of a file system's clock,
two seconds at most, a second writing leaves the time of the first."""


def check_verify(verify: str) -> None:
    """Raise SigjepaError for a word that is not among `VERIFY`."""
    if verify not in VERIFY:
        raise SigjepaError(f"verify={verify}: use {' or '.join(VERIFY)}.{nearest_name(str(verify), VERIFY)}")


def verify_files(manifest: Manifest, verify: Verify) -> None:
    """Compare the files of an artifact with their digests, and remember those that are settled.

    verify: `full` is all of them, `changed` those that are not remembered as they are. Raises as `Manifest.verify`
    does.
    """
    path, now = manifest.folder / VERIFIED_FILE, time.time()
    found = states(manifest)
    known: Mapping[str, Any] = {}
    if verify == "changed":
        with suppress(SigjepaError):  # there is none, or it vouches for nothing
            known = read_record(path)
    trusted = {
        name: entry
        for name, entry in known.items()
        if entry["state"] == found.get(name) and 0 <= now - entry["checked"] < MAX_DAYS * 86_400
    }
    rest = [name for name in manifest.files if name not in trusted]
    if not rest:
        return
    manifest.verify(rest)
    settled = {
        name: {"state": found[name], "checked": now}
        for name in rest
        if now - max(found[name][2:4]) / 1e9 > MIN_AGE_SECONDS
    }
    # Who may not write there hashes again, and so does whose file a job cleared away that waited to build the same.
    with suppress(StorageError, FileNotFoundError):
        write_record(path, {**trusted, **settled})


def states(manifest: Manifest) -> dict[str, list[Any]]:
    """Return size, inode, nanoseconds of last writing and change, and recorded digest of each file that is there."""
    found = {}
    for name, record in manifest.files.items():
        with suppress(FileNotFoundError):
            state = (manifest.folder / name).stat()
            found[name] = [state.st_size, state.st_ino, state.st_mtime_ns, state.st_ctime_ns, record.digest]
    return found
