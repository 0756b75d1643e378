"""Sources of Python files: the protocol, and the repositories that they list."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from sigjepa.corpus.functions import Extract, extract_functions
from sigjepa.errors import SigjepaError

SKIPPED_FOLDERS = frozenset({"__pycache__", "node_modules", "site-packages", "dist-packages"})


@dataclass(frozen=True)
class Repository:
    """The unit that never straddles a split: its Python files, listed at once and read when wanted.

    name: without a machine's paths in it. paths: of every file within the repository, with `/`. read: yields the
    contents of the files at given positions of `paths`, in that order; None for one that cannot be read. place: what
    holds them on this machine, for `sigjepa provenance` to hash them again. left_out: the number of files that are not
    in `paths`, by reason of `skip_reasons.py`. extract: what turns the bytes of a file into functions. pinned: whether
    the fingerprint of the source names the very content, which can't change while it is read. It can be pickled, since
    files are read in parts.
    """

    name: str
    paths: Sequence[str] = field(repr=False)
    read: Callable[[Sequence[int]], Iterator[bytes | None]] = field(repr=False)
    place: Path | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)
    extract: Extract = extract_functions
    pinned: bool = False

    def some(self, positions: Sequence[int], first: bool) -> "Repository":
        """Return the repository with the files at `positions` alone; what is left out is counted for the `first`."""
        paths = [self.paths[position] for position in positions]
        return replace(
            self,
            paths=paths,
            read=partial(read_some, self.read, positions),
            left_out=self.left_out if first else {},
        )


def read_some(
    read: Callable[[Sequence[int]], Iterator[bytes | None]], positions: Sequence[int], wanted: Sequence[int]
) -> Iterator[bytes | None]:
    """Yield the contents of the files at the `wanted` ones of `positions`."""
    return read([positions[index] for index in wanted])


class Source(Protocol):
    """Python files by repository, and a fingerprint that changes when they do."""

    @property
    def name(self) -> str:
        """Short name for the corpus folder."""

    def fingerprint(self) -> Mapping[str, Any]:
        """Return the identity of the content as JSON, part of the corpus key; quick, and free of machine paths."""

    def repositories(self) -> Sequence[Repository]:
        """Return all repositories, each name once."""


def sequence_of_names(values: Sequence[str], parameter: str) -> list[str]:
    """Return `values` as a list; raises SigjepaError for an empty one, and for a string, whose letters are no paths."""
    if isinstance(values, str) or not values:
        raise SigjepaError(f"{parameter}={values!r} must be a list of at least one path, such as {parameter}=[a,b].")
    return [str(value) for value in values]


def unique_names(paths: Sequence[Path]) -> list[str]:
    """Return a name for each path: its last part, and as many parents as it takes to tell it from the others.

    Raises SigjepaError when a path is given twice.
    """
    if repeated := [str(path) for position, path in enumerate(paths) if path in paths[:position]]:
        raise SigjepaError(f"{repeated[0]} is given twice as a repository; give each one once.")
    names = [path.name for path in paths]
    depth = 1
    while len(set(names)) < len(names):
        depth += 1
        names = [
            "/".join(part for part in path.parts[-depth:] if part != path.anchor) if names.count(name) > 1 else name
            for path, name in zip(paths, names, strict=True)
        ]
    return names


def python_files(folder: Path) -> list[str]:
    """Return the paths of the `.py` files below `folder`, sorted; no links, hidden folders or virtual environments."""
    found = []
    for current, folders, names in os.walk(folder):
        folders[:] = sorted(
            name
            for name in folders
            if name not in SKIPPED_FOLDERS
            and not name.startswith(".")
            and not Path(current, name, "pyvenv.cfg").exists()
        )
        for name in names:
            path = Path(current, name)
            if name.endswith(".py") and path.is_file() and not path.is_symlink():
                found.append(path.relative_to(folder).as_posix())
    return sorted(found)
