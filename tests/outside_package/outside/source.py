"""A source: packages of the standard library by name, with an own way of reading."""

import hashlib
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sigjepa.corpus.sources.source import Repository


def package(name: str) -> Repository:
    """Return one package of the standard library."""
    place = Path(sysconfig.get_paths()["stdlib"], name)
    paths = sorted(path.relative_to(place).as_posix() for path in place.rglob("*.py"))

    def read(positions: Sequence[int]) -> Iterator[bytes]:
        for position in positions:
            yield (place / paths[position]).read_bytes()

    return Repository(name, paths, read, place)


@dataclass(frozen=True)
class StandardPackages:
    """Some packages of the standard library, each a repository."""

    packages: Sequence[str]

    @property
    def name(self) -> str:
        """Short name for the corpus folder."""
        return "standard"

    def fingerprint(self) -> Mapping[str, Any]:
        """Return the digest of each package's files."""
        digests = {}
        for repository in self.repositories():
            digest = hashlib.sha256()
            for content in repository.read(range(len(repository.paths))):
                digest.update(content or b"")
            digests[repository.name] = digest.hexdigest()
        return {"source": self.name, "repositories": digests}

    def repositories(self) -> list[Repository]:
        """Return the packages."""
        return [package(name) for name in self.packages]
