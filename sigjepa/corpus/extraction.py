"""A step of building the corpus: functions of all files in parts, no more of a repository than the corpus can use."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from sigjepa.corpus.collect import Collected, next_files, seeded_order
from sigjepa.corpus.source_files import read_sources, write_sources
from sigjepa.corpus.sources.source import Repository
from sigjepa.corpus.text import writable
from sigjepa.store.artifact import OpenedArtifact
from sigjepa.store.manifest import Manifest
from sigjepa.store.progress import progress
from sigjepa.store.stage import Get, Part, Step

FILES_PER_PART = 2000
"""About 17,000 functions: a quarter of a minute of work, and a few hundred MB while it lasts."""
OVERCOLLECT = 1.3
"""How many more functions than asked for are read at first, because duplicates go afterwards."""
MIN_LEVEL = 8.0
"""The least that is read of each repository for a limit of all functions, if it has so many."""
FORMAT = 2
"""Part of the key: raise it when a step writes something else, so that none of before is gone on with."""

FIELDS = pa.schema(
    {
        **{name: pa.string() for name in ("key", "repository", "path", "qualname")},
        "line": pa.int64(),
        **{name: pa.string() for name in ("signature", "docstring", "body")},
    }
)
"""Of a function, before it has an id and a split."""
PLACE = [(name, "ascending") for name in ("repository", "path", "line", "qualname", "key")]
"""By which functions are ordered."""


class InParts(OpenedArtifact):
    """Something of all functions, in files of parts; a position counts through the parts."""

    @property
    def parts(self) -> Sequence[str]:
        """Names of the parts, in order."""
        return list(self.manifest.facts["parts"])

    @cached_property
    def starts(self) -> npt.NDArray[np.int64]:
        """Position of the first function of each part, and behind the last `[parts + 1]`."""
        return np.cumsum([0, *self.manifest.facts["functions"]], dtype=np.int64)

    def __len__(self) -> int:
        return int(self.starts[-1])


class Extraction(InParts):
    """All functions in order of place."""

    def table(self, part: str, columns: Sequence[str] | None = None) -> pa.Table:
        """Return the rows of a part; columns: None for all."""
        return pq.read_table(self.folder / f"functions-{part}.parquet", columns=columns)

    def tables(self, columns: Sequence[str] | None = None) -> Iterator[tuple[int, pa.Table]]:
        """Yield the position of its first function and the rows of each part; columns: None for all."""
        for part, start in zip(self.parts, self.starts, strict=False):
            yield int(start), self.table(part, columns)

    def sources(self, part: str) -> Path:
        """Return the list of the files of a part that were read."""
        return self.folder / f"sources-{part}.parquet"

    @property
    def waiting(self) -> Sequence[str]:
        """Repositories with files that a higher level would go on with."""
        return list(self.manifest.facts["waiting"])

    def taken(self, part: str) -> npt.NDArray[np.int64]:
        """Return how many files of each repository of a part were read, or could not be."""
        found: npt.NDArray[np.int64] = np.load(self.folder / f"taken-{part}.npy")
        return found


@dataclass(frozen=True)
class ExtractionStage(Step[Extraction]):
    """Extract the functions of repositories, of each until it has given `level` functions.

    groups: the repositories of each part, or some files of them. limits: those of `extract_functions`. before: what a
    lower level of the same groups gave, from which it goes on: what is read of a repository depends on the level alone.
    """

    groups: Sequence[Sequence[Repository]] = field(repr=False, compare=False)
    limits: Mapping[str, int]
    include_tests: bool
    seed: int
    level: float = math.inf
    before: Extraction | None = None

    kind: ClassVar[str] = "extraction"
    unit: ClassVar[str] = "file"

    @property
    def reads_user_files(self) -> bool:
        """Whether any of the repositories is not pinned."""
        return not all(repository.pinned for group in self.groups for repository in group)

    def inputs(self) -> dict[str, Any]:
        """Return the level and the format: the rest is that of the artifact in whose folder it lies."""
        return {"level": str(self.level), "format": FORMAT}

    def parts(self) -> Sequence[Part]:
        """Return the parts in order of place; each is given its repositories, and counts what may be read of them."""
        parts, start = [], 0
        for number, group in enumerate(self.groups):
            size = sum(math.ceil(min(len(repository.paths), self.level)) for repository in group)
            parts.append(Part(f"{number:06}", start, start + size, group))
            start += size
        return parts

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"groups": ()}  # a part has its own

    def build(self, part: Part, out: Path) -> Mapping[str, Any]:
        """Write functions, the list of files, and how many files of each repository were taken; the facts are counts.

        files_listed, files_read, skipped: those that `before` has not. filled: repositories that gave the level. short:
        functions of the others. waiting: repositories with files that a higher level would go on with.
        """
        found, counts, given = Collected(), Counter[str](), Counter[str]()
        taken, waiting = np.zeros(len(part.work), dtype=np.int64), []
        if self.before is not None:
            taken = self.before.taken(part.name)
            given.update(self.before.table(part.name, ["repository"])["repository"].to_pylist())
        for number, repository in enumerate(progress(part.work, "Reading source files", unit="repository")):
            order = seeded_order(repository, self.include_tests, self.seed)
            if self.before is None:
                counts["files_listed"] += len(repository.paths)
                found.skipped.update(repository.left_out)
                found.skipped["test_file"] += len(repository.paths) - len(order)
            functions = given[repository.name]
            while functions < self.level and (positions := next_files(order, int(taken[number]), self.level)):
                functions += found.read(repository, positions, self.limits)
                taken[number] += len(positions)
            if taken[number] < len(order):
                waiting.append(repository.name)
            counts.update({"filled": 1} if functions >= self.level else {"short": functions})
        files = found.sources if self.before is None else read_sources(self.before.sources(part.name)) + found.sources
        rows = [{name: getattr(function, name) for name in FIELDS.names} for function in found.functions]
        table = pa.Table.from_pylist(rows, FIELDS)
        if self.before is not None:
            table = pa.concat_tables([self.before.table(part.name), table])
        pq.write_table(table.sort_by(PLACE), out / f"functions-{part.name}.parquet", compression="zstd")
        write_sources(out / f"sources-{part.name}.parquet", files)
        np.save(out / f"taken-{part.name}.npy", taken)
        return {
            "part": part.name,
            "functions": len(table),
            "counts": counts | {"files_read": len(found.sources)},
            "skipped": found.skipped,
            "waiting": waiting,
        }

    def facts(self, parts: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        """Return the parts with their functions, and sums of what was read and skipped, `before` included."""
        skipped, counts = Counter[str](), Counter[str]()
        if self.before is not None:
            facts = self.before.manifest.facts
            skipped.update(facts["skipped"])
            counts.update({name: facts[name] for name in ("files_listed", "files_read")})
        for part in parts:
            skipped.update(part["skipped"])
            counts.update(part["counts"])
        return {
            "parts": [part["part"] for part in parts],
            "functions": [part["functions"] for part in parts],
            **{name: counts[name] for name in ("files_listed", "files_read", "filled", "short")},
            "waiting": [name for part in parts for name in part["waiting"]],
            "skipped": dict(+skipped),
        }

    def open(self, manifest: Manifest) -> Extraction:
        """Return the functions, which are read when they are asked for."""
        return Extraction(manifest)


def extract(
    repositories: Sequence[Repository],
    limits: Mapping[str, int],
    *,
    include_tests: bool,
    get: Get,
    max_functions: int | None = None,
    max_functions_per_repository: int | None = None,
    seed: int = 0,
    is_enough: Callable[[Extraction], bool] = lambda found: True,
) -> Extraction:
    """Return the functions of `repositories`, a little over the two limits, at random but the same for any executor.

    Each repository is read in a seeded order of its files until it has given its level of functions. The level starts
    where equal shares would fill the corpus and doubles while small repositories leave it short, and then while what is
    found is not enough. limits: those of `extract_functions`. get: gives the extraction of each level. is_enough:
    whether what fills the limits still does without its duplicates.
    """
    most = (max_functions, max_functions_per_repository)
    wanted, limit = (math.inf if each is None else OVERCOLLECT * each for each in most)
    level = min(limit, max(MIN_LEVEL, wanted / max(1, len(repositories))))
    groups = [*grouped(repositories, FILES_PER_PART, divide=math.isinf(level))]
    found: Extraction = get(ExtractionStage(groups, limits, include_tests, seed, level))
    while found.waiting:
        # one by one: a product is rounded otherwise, and a corpus of the same key would be another one
        given = sum([level] * found.manifest.facts["filled"]) + found.manifest.facts["short"]
        if (level >= limit or given >= wanted) and is_enough(found):
            break
        level = min(limit, 2 * level) if level < limit else 2 * level
        found = get(ExtractionStage(groups, limits, include_tests, seed, level, found))
    return found


def grouped(repositories: Sequence[Repository], files: int, divide: bool) -> Iterator[list[Repository]]:
    """Yield all repositories in groups of `files` files or a little more, in order of place.

    A repository of more is divided between its files, if `divide`; rows of one path stay together.
    """
    group: list[Repository] = []
    size = 0
    for repository in sorted(repositories, key=attrgetter("name")):
        paths = [writable(path) for path in repository.paths]
        order = sorted(range(len(paths)), key=lambda position: (paths[position], position))
        begins = [i for i in range(1, len(order)) if paths[order[i]] != paths[order[i - 1]]] if divide else []
        if size >= files:
            yield group
            group, size = [], 0
        start = 0
        for begin in begins:
            if size + begin - start >= files:
                yield [*group, repository.some(order[start:begin], first=start == 0)]
                group, size, start = [], 0, begin
        group.append(repository.some(order[start:], first=start == 0))
        size += len(order) - start
    yield group
