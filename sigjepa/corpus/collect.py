"""Reading a repository's files in a seeded order, and the functions that they give."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sigjepa.corpus.functions import Function, is_test_path
from sigjepa.corpus.source_files import SourceFile, content_digest
from sigjepa.corpus.sources.source import Repository
from sigjepa.corpus.split import seeded_hash
from sigjepa.corpus.text import writable


@dataclass
class Collected:
    """Functions, what was skipped by reason, and the files that were read."""

    functions: list[Function] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    sources: list[SourceFile] = field(default_factory=list)

    def read(self, repository: Repository, positions: Sequence[int], limits: Mapping[str, int]) -> int:
        """Add what the files at `positions` of a repository give; returns how many functions that is.

        limits: those of `extract_functions`.
        """
        before = len(self.functions)
        for position, content in zip(positions, repository.read(positions), strict=True):
            if content is None:
                self.skipped["unreadable_file"] += 1
                continue
            name, path = repository.name, writable(repository.paths[position])
            functions, skipped = repository.extract(content, repository=name, path=path, **limits)
            self.functions.extend(functions)
            self.skipped.update(skipped)
            digest, place = content_digest(content), writable(str(repository.place or ""))
            self.sources.append(SourceFile(name, path, digest, len(content), place))
        return len(self.functions) - before


def seeded_order(repository: Repository, include_tests: bool, seed: int) -> list[int]:
    """Return the positions of a repository's files in the order in which they are read."""
    kept = [position for position, path in enumerate(repository.paths) if include_tests or not is_test_path(path)]
    return sorted(kept, key=lambda position: (seeded_hash(seed, repository.paths[position]), position))


def next_files(order: Sequence[int], taken: int, level: float) -> Sequence[int]:
    """Return which files of `order` are read next when `taken` of them were: 1, 2, 4 and so on; all without a level."""
    return order[taken : None if math.isinf(level) else 2 * taken + 1]
