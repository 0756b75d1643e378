"""Functions that are made up, as many as wanted: files of real repositories whose names are replaced.

Each copy of a repository draws its names from few others, so that it differs from its original, and from another copy,
by more than a renaming, which the search for near duplicates would see through.
"""

import builtins
import keyword
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any

import numpy as np
import xxhash

from sigjepa.corpus.sources.source import Repository, Source

NAME = re.compile(rb"(?<![\\\w])[A-Za-z_]\w{2,}")
ABSTRACT = ("overload", "abstractmethod", "abstractproperty", "NotImplementedError")
KEPT = frozenset(name.encode() for name in (*keyword.kwlist, *dir(builtins), *ABSTRACT, "self", "cls"))
WORDS = [name.encode() for name in sorted(np.__all__) if name.isidentifier() and len(name) > 2]
"""The names that are put in place of others: those of numpy."""
NAMES_OF_A_COPY = 48
"""So few that two names of a body often become one: what a renaming would leave equal differs."""

FILES_OF_A_REPOSITORY = 20


class Renaming(dict[bytes, bytes]):
    """The name that a copy of a repository has in place of each, drawn when it is first met."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed
        self.names = [WORDS[i] for i in np.random.default_rng(seed).choice(len(WORDS), NAMES_OF_A_COPY, replace=False)]

    def __missing__(self, name: bytes) -> bytes:
        kept = name in KEPT or (name.startswith(b"__") and name.endswith(b"__"))
        new = name if kept else self.names[xxhash.xxh3_64_intdigest(name, self.seed) % NAMES_OF_A_COPY]
        self[name] = new
        return new

    def of(self, content: bytes) -> bytes:
        """Return a file with its names replaced; the first two lines, which may name its encoding, stay."""
        first, end, rest = content.partition(b"\n")
        second, other_end, rest = rest.partition(b"\n")
        return first + end + second + other_end + NAME.sub(lambda match: self[match[0]], rest)


def read_renamed(
    read: Callable[[Sequence[int]], Iterator[bytes | None]], files: Sequence[int], name: str, positions: Sequence[int]
) -> Iterator[bytes | None]:
    """Yield the ones at `positions` of some `files` that `read` gives, with the names of a copy."""
    renaming = Renaming(xxhash.xxh3_64_intdigest(name.encode()) % 2**32)
    for content in read([files[position] for position in positions]):
        yield None if content is None else renaming.of(content)


@dataclass(frozen=True)
class RenamedCopies:
    """So many files of a source's repositories, renamed, and of further copies of them where it has fewer.

    A repository is cut into ones of at most FILES_OF_A_REPOSITORY files, so that there are more of them where there are
    more functions; which come first is by hash.
    """

    source: Source
    files: int

    name = "renamed"

    def fingerprint(self) -> Mapping[str, Any]:
        """Return the source's, and how many files."""
        return {"source": self.name, "of": self.source.fingerprint(), "files": self.files}

    def repositories(self) -> list[Repository]:
        """Return the copies in order of their hash, the last one cut to the number of files."""
        pieces = [
            (each, range(start, min(start + FILES_OF_A_REPOSITORY, len(each.paths))))
            for each in self.source.repositories()
            for start in range(0, len(each.paths), FILES_OF_A_REPOSITORY)
        ]
        pieces.sort(key=lambda piece: xxhash.xxh3_64_intdigest(f"{piece[0].name} {piece[1].start}".encode()))
        found: list[Repository] = []
        left = self.files
        for copy in count():
            for repository, positions in pieces:
                chosen = positions[:left]
                name = f"{repository.name}~{copy}.{positions.start}"
                paths = [repository.paths[position] for position in chosen]
                found.append(Repository(name, paths, partial(read_renamed, repository.read, chosen, name)))
                left -= len(chosen)
                if not left:
                    return found
        raise AssertionError("count() has no end")
