"""A source: packages of the standard library by name, with an own way of reading."""

import hashlib
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class StandardPackage:
    """One package of the standard library, a repository."""

    name: str

    @property
    def place(self) -> Path:
        """Where the files lie."""
        return Path(sysconfig.get_paths()["stdlib"], self.name)

    @cached_property
    def paths(self) -> list[str]:
        """Path of every Python file."""
        return sorted(path.relative_to(self.place).as_posix() for path in self.place.rglob("*.py"))

    def read(self, positions: Sequence[int]) -> Iterator[bytes | None]:
        """Yield the contents of the files at `positions`."""
        for position in positions:
            yield (self.place / self.paths[position]).read_bytes()


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

    def repositories(self) -> list[StandardPackage]:
        """Return the packages."""
        return [StandardPackage(name) for name in self.packages]
