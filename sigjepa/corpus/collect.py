"""Reading and extracting in parallel, no more of each repository than the corpus can use."""

import math
import multiprocessing
import os
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import islice
from types import TracebackType
from typing import TypeAlias

from sigjepa.corpus.functions import Extract, Extracted, Function, is_test_path
from sigjepa.corpus.source_files import SourceFile, content_digest
from sigjepa.corpus.sources.source import Repository
from sigjepa.corpus.split import seeded_hash
from sigjepa.corpus.text import writable
from sigjepa.errors import SigjepaError
from sigjepa.store.progress import progress

File: TypeAlias = tuple[Extract, str, str, bytes]
"""What extracts from it, repository, path within it, content."""
Read: TypeAlias = tuple[Extracted, str, int]
"""What a file gave, its digest and its size."""

OVERCOLLECT = 1.3
"""How many more functions than asked for are read, because duplicates go afterwards."""
INLINE_FILES = 200
"""Starting worker processes costs about as much as extracting from so many files."""
BATCH_FILES = 16


@dataclass
class Collected:
    """Functions by repository in the order read, what was skipped by reason, and the files that were read."""

    functions: dict[str, list[Function]] = field(default_factory=dict)
    skipped: Counter[str] = field(default_factory=Counter)
    sources: list[SourceFile] = field(default_factory=list)
    files_listed: int = 0

    @property
    def files_read(self) -> int:
        """Files whose content was read."""
        return len(self.sources)


@dataclass
class Reading:
    """Progress of reading a repository: the files still to come, in seeded order, and how many are read next."""

    repository: Repository
    waiting: deque[int]
    functions: list[Function] = field(default_factory=list)
    helping: int = 1


def collect(
    repositories: Sequence[Repository],
    *,
    limits: Mapping[str, int],
    max_functions: int | None,
    max_functions_per_repository: int | None,
    include_tests: bool,
    seed: int,
    workers: int | None,
) -> Collected:
    """Return the functions from `repositories`, a little over the two limits, at random but the same for any number of
    workers.

    Each repository is read in a seeded order of its files until it has given its level of functions. The level starts
    where equal shares would fill the corpus and doubles while small repositories leave it short. `limits` are those of
    `extract_functions`.
    """
    collected = Collected()
    readings = []
    for repository in progress(repositories, "Listing source files", unit="repository"):
        collected.skipped.update(repository.left_out)
        if not include_tests:
            collected.skipped["test_file"] += sum(map(is_test_path, repository.paths))
        kept = [position for position, path in enumerate(repository.paths) if include_tests or not is_test_path(path)]
        kept.sort(key=lambda position: (seeded_hash(seed, repository.paths[position]), position))
        readings.append(Reading(repository, deque(kept)))
        collected.files_listed += len(repository.paths)

    wanted = math.inf if max_functions is None else OVERCOLLECT * max_functions
    limit = math.inf if max_functions_per_repository is None else OVERCOLLECT * max_functions_per_repository
    level = min(limit, max(8.0, wanted / max(1, len(readings))))
    with (
        Extractor(limits, workers) as extractor,
        progress(None, "Reading source files", total=None, unit="file") as bar,
    ):
        while True:
            while unfinished := [reading for reading in readings if reading.waiting and len(reading.functions) < level]:
                files_read = read_round(unfinished, level, extractor, collected)
                bar.update(files_read)
            enough = sum(min(len(reading.functions), level) for reading in readings) >= wanted
            if enough or level >= limit or not any(reading.waiting for reading in readings):
                break
            level = min(limit, 2 * level)
    collected.functions = {reading.repository.name: reading.functions for reading in readings}
    return collected


def read_round(readings: Sequence[Reading], level: float, extractor: "Extractor", collected: Collected) -> int:
    """Read the next helping of each repository, all of it without a level; returns the number of files."""
    helpings: list[tuple[Reading, list[int]]] = []
    for reading in readings:
        count = len(reading.waiting) if math.isinf(level) else min(reading.helping, len(reading.waiting))
        reading.helping *= 2
        helpings.append((reading, [reading.waiting.popleft() for _ in range(count)]))

    owners: deque[tuple[Reading, str]] = deque()

    def files() -> Iterator[File]:
        for reading, positions in helpings:
            for position, content in zip(positions, reading.repository.read(positions), strict=True):
                if content is None:
                    collected.skipped["unreadable_file"] += 1
                    continue
                path = writable(reading.repository.paths[position])
                owners.append((reading, path))
                yield reading.repository.extract, reading.repository.name, path, content

    total = sum(len(positions) for _, positions in helpings)
    for (functions, skipped), digest, size in extractor.map(files(), total):
        reading, path = owners.popleft()
        reading.functions.extend(functions)
        collected.skipped.update(skipped)
        place = str(reading.repository.place or "")
        collected.sources.append(SourceFile(reading.repository.name, path, digest, size, place))
    return total


class Extractor(AbstractContextManager["Extractor"]):
    """Maps files to their functions in order, in worker processes once there is work enough for them."""

    def __init__(self, limits: Mapping[str, int], workers: int | None):
        self.limits = limits
        self.workers = usable_cores() if workers is None else workers
        if self.workers < 1:
            raise SigjepaError(f"corpus.workers={workers} must be at least 1, or null for one per core.")
        self.pool: ProcessPoolExecutor | None = None

    def map(self, files: Iterator[File], total: int) -> Iterator[Read]:
        """Yield the functions, skip counts, digest and size of each of `total` files, in their order."""
        if self.workers == 1 or (self.pool is None and total < INLINE_FILES):
            yield from (extract_file(self.limits, file) for file in files)
            return
        if self.pool is None:
            # "spawn": a fork of a process whose libraries run threads can hang
            self.pool = ProcessPoolExecutor(self.workers, mp_context=multiprocessing.get_context("spawn"))
        running: deque[Future[list[Read]]] = deque()
        try:
            while batch := list(islice(files, BATCH_FILES)):
                running.append(self.pool.submit(extract_batch, self.limits, batch))
                if len(running) > 4 * self.workers:  # bounds what waits in memory
                    yield from running.popleft().result()
            while running:
                yield from running.popleft().result()
        except BrokenProcessPool:
            raise SigjepaError(
                "A process that extracts functions died. In a script of your own, guard the call with "
                "`if __name__ == '__main__':`; if memory ran out, or to do without processes, set corpus.workers=1."
            ) from None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.pool is not None:
            self.pool.shutdown(cancel_futures=True)


def extract_batch(limits: Mapping[str, int], files: Sequence[File]) -> list[Read]:
    """Return what each file of a batch gives, in a worker process."""
    return [extract_file(limits, file) for file in files]


def extract_file(limits: Mapping[str, int], file: File) -> Read:
    """Return what one file gives, and the digest of the very bytes that gave it."""
    extract, name, path, content = file
    return extract(content, repository=name, path=path, **limits), content_digest(content), len(content)


def usable_cores() -> int:
    """Return the cores this process may use, which in a container or under a scheduler are fewer than the machine's."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
