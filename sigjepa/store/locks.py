"""Locks between processes, on file systems that have them and on those that have none."""

import errno
import fcntl
import logging
import tempfile
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock

from sigjepa.store.files import storage_errors

log = logging.getLogger(__name__)

NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL}
"""What `flock` says on a file system without locks, such as NFS without its daemon, or Lustre without its option."""


def file_lock(path: Path, timeout: float = -1) -> BaseFileLock:
    """Return the lock whose file is `path`, not acquired; the folder is made where it is not there.

    On a file system without locks, the existence of `<path>.held` is the lock: its process writes its number and its
    machine into it, and a process of the same machine takes it from one that has died. timeout: seconds to wait, -1
    without end. Raises StorageError when the disk refuses.
    """
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        refusal = _refusal_of_flock(path.parent)
    if refusal is None:
        return FileLock(path, timeout=timeout)
    held = path.with_name(f"{path.name}.held")
    log.warning(
        "The file system of %s has no locks (%s), so the file %s is one. If a process on another machine dies "
        "while it holds it, delete the file.",
        path.parent,
        refusal.strerror,
        held,
    )
    return SoftFileLock(held, timeout=timeout)


def _refusal_of_flock(folder: Path) -> OSError | None:
    """Return why the files in `folder` can't be locked; None when they can."""
    with tempfile.TemporaryFile(dir=folder) as probe:
        try:
            fcntl.flock(probe, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in NO_LOCKS:
                return error
            raise
    return None
