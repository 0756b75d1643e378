"""Pinned wheels of well-known packages: the same functions on every machine and every Python from 3.11 on.

What could break that, and what keeps it:

- The bytes: the list has one sha256 a wheel, and only wheels for any platform and Python.
- The grammar, and the Unicode version that decides what a name is: a file that some Pythons parse and others do not.
  The releases listed support 3.11, where each of their files parses, so later grammars read them, too.
- Positions inside f-strings, which moved in 3.12: `text.py` does not enter strings.
- `inspect.cleandoc`, by which `ast` dedents docstrings, sees other blanks than spaces from 3.13 on. No docstring of the
  list has such an indentation.
- MinHash, by rensa's version. It only proposes duplicates, an exact comparison decides, and an exact search finds no
  pair that was missed: any version that misses none keeps the same functions.

When the list was made, all of its 24,666 files gave the same 214,198 functions, docstrings and tokens under CPython
3.11, 3.12, 3.13, 3.14 and a candidate of 3.15. A wheel that breaks this changes what was skipped or the hash, which the
slow test of the corpus asserts on whatever Python runs it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sigjepa.corpus.sources.archive import python_members, read_members
from sigjepa.corpus.sources.download import pinned_wheels
from sigjepa.corpus.sources.pins import Pin, read_pins
from sigjepa.corpus.sources.source import Repository

COMMITTED_LIST = Path(__file__).with_name("pypi_wheels.txt")

RULES_VERSION = 1
"""Part of the fingerprint: raise it when the same wheels give other files."""

VENDOR_FOLDERS = frozenset(
    {
        *("_vendor", "_vendors", "vendor", "vendored", "_vendored", "third_party", "thirdparty"),
        *("extern", "externals", "_extern", "_externals", "site-packages", "dist-packages"),
    }
)
VENDORED_PATHS = (
    # copies of other projects under a name of their own
    "_pytest/_py/",
    "blib2to3/",
    "distributed/_concurrent_futures_thread.py",
    "setuptools/_distutils/",
    "sympy/multipledispatch/",
    "twisted/persisted/_token.py",
    "twisted/persisted/_tokenize.py",
    "xarray/core/datatree_render.py",
)


@dataclass(frozen=True)
class PinnedWheels:
    """Wheels of a requirements file with hashes, each a repository, downloaded into `cache` and never installed.

    `wheels` is the file, None for the committed list.
    """

    cache: str
    wheels: str | None = None

    @property
    def name(self) -> str:
        """Short name for the corpus folder."""
        return "pypi"

    def fingerprint(self) -> Mapping[str, Any]:
        """Return the pins; needs neither the wheels nor a network."""
        pins = {pin.project: f"{pin.version} sha256:{pin.sha256}" for pin in self.pins()}
        return {"source": self.name, "rules": RULES_VERSION, "wheels": pins}

    def repositories(self) -> list[Repository]:
        """Return a repository for each wheel; raises SigjepaError for one that cannot be had, differs or is refused."""
        found = pinned_wheels(self.pins(), Path(self.cache).expanduser())
        return [wheel_repository(project, wheel) for project, wheel in found.items()]

    def pins(self) -> list[Pin]:
        """Return the list, by project; raises SigjepaError naming a bad line."""
        return read_pins(COMMITTED_LIST if self.wheels is None else Path(self.wheels).expanduser())


def wheel_repository(project: str, wheel: Path) -> Repository:
    """Return the importable files of a wheel: neither metadata, scripts and data, nor copies of other projects."""
    library = [path for path in python_members(wheel) if not path.partition("/")[0].endswith((".dist-info", ".data"))]
    paths = [path for path in library if not is_vendored(path)]
    left_out = {"vendored_file": len(library) - len(paths)}
    return Repository(project, paths, partial(read_wheel, wheel, paths), wheel, left_out, pinned=True)


def read_wheel(wheel: Path, paths: Sequence[str], positions: Sequence[int]) -> Iterator[bytes]:
    """Yield the contents of the files at `positions` of `paths` in a wheel; raises SigjepaError for a bad one."""
    return read_members(wheel, [paths[position] for position in positions])


def is_vendored(path: str) -> bool:
    """Return whether `path` within a wheel is a copy of another project's code."""
    folders = path.lower().split("/")[:-1]
    return not VENDOR_FOLDERS.isdisjoint(folders) or path.startswith(VENDORED_PATHS)
