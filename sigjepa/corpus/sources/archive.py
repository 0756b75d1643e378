"""Python files straight from a wheel: nothing is unpacked, and an archive made to do harm is refused."""

import re
import stat
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sigjepa.errors import SigjepaError

MAX_MEMBERS = 50_000
MAX_FILE_BYTES = 16_000_000
"""Of one Python file, unpacked. The largest of the pinned wheels has 5 MB."""
MAX_TOTAL_BYTES = 500_000_000
"""Of all Python files of a wheel."""
MAX_RATIO = 250
"""Unpacked over packed size of a Python file of RATIO_BYTES or more. Tables in the pinned wheels reach 60."""
RATIO_BYTES = 1_000_000
READ_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
ENCRYPTED = 0x1
FILE_KINDS = frozenset({0, stat.S_IFREG, stat.S_IFDIR})
"""0 is what archives written on other systems than Unix have."""


def python_members(wheel: Path) -> list[str]:
    """Names of the Python files in `wheel`, sorted.

    Raises SigjepaError naming the wheel and the member for a name that leaves the archive's root or occurs twice, a
    link or device, encryption, or a size that is declared over the bounds of this file.
    """
    with open_wheel(wheel) as archive:
        members = archive.infolist()
        if len(members) > MAX_MEMBERS:
            raise refusal(wheel, f"it has {len(members):,} members, over {MAX_MEMBERS:,}")
        seen: set[str] = set()
        for member in members:
            check_member(wheel, member)
            if member.filename in seen:
                raise refusal(wheel, "its name occurs twice", member)
            seen.add(member.filename)
        python = [member for member in members if is_python(member)]
        if (total := sum(member.file_size for member in python)) > MAX_TOTAL_BYTES:
            raise refusal(wheel, f"its Python files would unpack to {total:,} bytes, over {MAX_TOTAL_BYTES:,}")
    return sorted(member.filename for member in python)


def read_members(wheel: Path, names: Sequence[str]) -> Iterator[bytes]:
    """Yield the contents of the members `names` of `wheel`, in that order, none of them longer than MAX_FILE_BYTES.

    Raises SigjepaError naming the wheel and the member when it is damaged or longer than the bound.
    """
    with open_wheel(wheel) as archive:
        for name in names:
            try:
                with archive.open(name) as stream:
                    content = stream.read(MAX_FILE_BYTES + 1)
            except (zipfile.BadZipFile, zlib.error, EOFError, OSError, KeyError, RuntimeError, ValueError) as error:
                raise SigjepaError(f"{wheel}: the member {name!r} cannot be read ({error}). {advice(wheel)}") from None
            if len(content) > MAX_FILE_BYTES:
                raise SigjepaError(
                    f"{wheel}: the member {name!r} unpacks to more than {MAX_FILE_BYTES:,} bytes. {advice(wheel)}"
                )
            yield content


@contextmanager
def open_wheel(wheel: Path) -> Iterator[zipfile.ZipFile]:
    """The archive of `wheel`; raises SigjepaError naming a file that is missing or is none."""
    try:
        archive = zipfile.ZipFile(wheel)
    except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError) as error:
        raise SigjepaError(f"{wheel} cannot be read as a wheel ({error}). {advice(wheel)}") from None
    with archive:
        yield archive


def is_python(member: zipfile.ZipInfo) -> bool:
    """Return whether a member is a Python file."""
    return member.filename.endswith(".py") and not member.is_dir()


def check_member(wheel: Path, member: zipfile.ZipInfo) -> None:
    """Raise SigjepaError for a name, a kind of file, a packing or a declared size that no honest wheel has."""
    name = member.orig_filename  # as it stands in the archive: zipfile mends some names
    folders = name.removesuffix("/").split("/")
    size, packed = member.file_size, member.compress_size
    if not {"", ".", ".."}.isdisjoint(folders) or re.search(r"[\\\0]|^[A-Za-z]:", name):
        raise refusal(wheel, "its name is not a plain path below the archive's root", member)
    if stat.S_IFMT(member.external_attr >> 16) not in FILE_KINDS:
        raise refusal(wheel, "it is a link or a device, not a file", member)
    if member.flag_bits & ENCRYPTED:
        raise refusal(wheel, "it is encrypted", member)
    if member.compress_type not in READ_METHODS:
        raise refusal(wheel, f"it is packed by method {member.compress_type}, not stored or deflated", member)
    if is_python(member) and size > MAX_FILE_BYTES:
        raise refusal(wheel, f"it would unpack to {size:,} bytes, over {MAX_FILE_BYTES:,}", member)
    if is_python(member) and size >= RATIO_BYTES and size > MAX_RATIO * packed:
        raise refusal(wheel, f"{packed:,} bytes would unpack to {size:,}, over {MAX_RATIO} to 1", member)


def refusal(wheel: Path, reason: str, member: zipfile.ZipInfo | None = None) -> SigjepaError:
    """Return the error that refuses a wheel for one of its members, or as a whole."""
    of_member = f" for its member {member.orig_filename!r}" if member is not None else ""
    return SigjepaError(f"{wheel} is refused{of_member}: {reason}. {advice(wheel)}")


def advice(wheel: Path) -> str:
    """Return what to do about a wheel that cannot be used."""
    return f"Delete {wheel.name} if it was altered or damaged, or take its line off the list of wheels."
