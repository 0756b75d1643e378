"""Files of other machines, by the address that fsspec reads: s3://, gs://, https:// and others."""

import contextlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sigjepa.errors import SigjepaError
from sigjepa.store.credentials import without_credentials
from sigjepa.store.files import atomic_path
from sigjepa.store.manifest import content_key

ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(::[a-z0-9+.-]+)*://")
BLOCK = 1 << 20
VERSION_FIELDS = (
    *("ETag", "etag", "md5Hash", "crc32c", "checksum", "Content-MD5", "Digest", "generation"),
    *("LastModified", "Last-Modified", "last_modified", "updated", "mtime", "created"),
)
"""Fields by which file systems tell that a file has another content."""
OF_FILE_SYSTEMS = frozenset({"aiohttp", "adlfs", "azure", "boto", "botocore", "fsspec", "gcsfs", "google", "s3fs"})
"""Packages whose errors say that a file can't be had; they share no class."""


def is_remote(path: str) -> bool:
    """Return whether a path is an address that fsspec reads."""
    return ADDRESS.match(path) is not None


def local_copy(address: str, cache: Path, key: str) -> Path:
    """Return the file of an address as it lies in `cache`, copied there where it is not, or is another version.

    A file system that tells no version of a file has it copied every time. key: the config key of the address, for
    errors. Raises SigjepaError for a file that can't be had.
    """
    import fsspec  # noqa: PLC0415 - seconds that only an address needs

    with unreachable(address, key):
        system, path = fsspec.core.url_to_fs(address)
        info: Mapping[str, Any] = system.info(path)
        if info.get("type") == "directory":
            raise IsADirectoryError("it is a folder")
        version = {name: str(info[name]) for name in VERSION_FIELDS if info.get(name) is not None}
        name = content_key({"address": address, "size": info.get("size"), **version})
        copy = cache / f"{name}-{Path(path).name}"
        if version and copy.is_file():
            return copy
        with atomic_path(copy) as temporary, system.open(path, "rb") as source, temporary.open("wb") as target:
            while block := source.read(BLOCK):
                target.write(block)
    return copy


@contextlib.contextmanager
def unreachable(address: str, key: str) -> Iterator[None]:
    """Raise SigjepaError naming an address that can't be had, and why."""
    try:
        yield
    except SigjepaError:
        raise
    except Exception as error:
        of_them = type(error).__module__.partition(".")[0] in OF_FILE_SYSTEMS
        if not of_them and not isinstance(error, OSError | ImportError | ValueError):
            raise
        reason = (str(error).strip().splitlines() or [""])[0] or type(error).__name__
        raise SigjepaError(
            f"{without_credentials(address)} can't be read ({without_credentials(reason)}). Check {key}, the network "
            "and your credentials for it, and that the package of its file system is installed, such as s3fs or gcsfs."
        ) from error
