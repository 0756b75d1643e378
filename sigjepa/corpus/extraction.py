"""A step of building the corpus: functions of all files in parts, with what duplicates are looked for by."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from sigjepa.corpus.collect import collect
from sigjepa.corpus.dedup import REASONS, VIEWS, ShingleSet, band_keys, lsh_bands, shingle_set
from sigjepa.corpus.functions import Function
from sigjepa.corpus.source_files import write_sources
from sigjepa.corpus.sources.source import Repository, Source
from sigjepa.corpus.text import writable
from sigjepa.store.artifact import OpenedArtifact
from sigjepa.store.manifest import Manifest
from sigjepa.store.stage import Part, Step

FILES_PER_PART = 2000
"""About 17,000 functions: half a minute of work, and a few hundred MB while it lasts."""

FIELDS = pa.schema(
    {
        **{name: pa.string() for name in ("key", "repository", "path", "qualname")},
        "line": pa.int64(),
        **{name: pa.string() for name in ("signature", "docstring", "body")},
    }
)
"""Of a function, before it has an id and a split."""
Numbers: TypeAlias = npt.NDArray[np.uint64]
Positions: TypeAlias = npt.NDArray[np.int64]


class Extraction(OpenedArtifact):
    """All functions in order of place; a position counts through the parts."""

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

    def tables(self, columns: Sequence[str] | None = None) -> Iterator[tuple[int, pa.Table]]:
        """Yield the position of its first function and the rows of each part; columns: None for all."""
        for part, start in zip(self.parts, self.starts, strict=False):
            yield int(start), pq.read_table(self.folder / f"functions-{part}.parquet", columns=columns)

    @property
    def sources(self) -> list[Path]:
        """Lists of the files that were read, in order."""
        return [self.folder / f"sources-{part}.parquet" for part in self.parts]

    def digests(self, reason: str) -> Iterator[tuple[int, Numbers]]:
        """Yield half a hash of what one of REASONS compares, by blocks of functions, each with its first position."""
        yield from self._blocks("digests", (REASONS.index(reason), 1))

    def digests_of(self, reason: str, positions: Positions) -> Numbers:
        """Return 128 bits of hash in halves of what one of REASONS compares, of some functions `[2, P]`."""
        return self._of("digests", (REASONS.index(reason),), positions)

    def keys(self, view: str, band: int) -> Iterator[tuple[int, Numbers]]:
        """Yield the keys of a band by blocks of functions, each with its first position."""
        yield from self._blocks("keys", (list(VIEWS).index(view), band))

    def keys_of(self, view: str, bands: int | slice, positions: Positions) -> Numbers:
        """Return the keys of a band `[P]` or of several `[bands, P]` of some functions."""
        return self._of("keys", (list(VIEWS).index(view), bands), positions)

    def sizes(self, view: str, positions: Positions) -> Positions:
        """Return the sizes of the shingle sets of functions, in the shape of `positions`."""
        sizes: Positions = self._of("sizes", (list(VIEWS).index(view),), positions.ravel()).reshape(positions.shape)
        return sizes

    def shingles(self, view: str, position: int) -> ShingleSet:
        """Return the shingle set of a function."""
        part = int(np.searchsorted(self.starts, position, side="right")) - 1
        number, here = list(VIEWS).index(view), position - self.starts[part]
        start, size = (self._arrays(name)[part][number, here] for name in ("offsets", "sizes"))
        return self._arrays("shingles")[part][start : start + size]

    def _blocks(self, name: str, index: tuple[int, ...]) -> Iterator[tuple[int, Any]]:
        for start, array in zip(self.starts, self._arrays(name), strict=False):
            yield int(start), array[index]

    def _of(self, name: str, index: tuple[int | slice, ...], positions: Positions) -> Any:
        """Return the last dimension of an array at `positions`, across the parts."""
        arrays = self._arrays(name)
        found = np.empty((*arrays[0][index].shape[:-1], len(positions)), arrays[0].dtype)
        parts = np.searchsorted(self.starts, positions, side="right") - 1
        for part in np.unique(parts):
            here = parts == part
            found[..., here] = arrays[part][index][..., positions[here] - self.starts[part]]
        return found

    def _arrays(self, name: str) -> list[Any]:
        if name not in self._opened:
            self._opened[name] = [np.load(self.folder / f"{name}-{part}.npy", mmap_mode="r") for part in self.parts]
        return self._opened[name]

    @cached_property
    def _opened(self) -> dict[str, list[Any]]:
        return {}


@dataclass(frozen=True)
class ExtractionStage(Step[Extraction]):
    """Extract the functions of a source's files, in parts of so many files, or of whole repositories under a limit.

    With `max_functions` all is one part: what is read of a repository depends on what the others gave. Then, `workers`
    processes read. The arguments are those of CorpusStage; a part's are the repositories that it reads, or some files
    of them.
    """

    source: Source
    limits: Mapping[str, int]
    max_functions: int | None
    max_functions_per_repository: int | None
    include_tests: bool
    seed: int
    workers: int | None
    near_duplicate_threshold: float

    kind: ClassVar[str] = "extraction"
    unit: ClassVar[str] = "file"

    def caches(self) -> Sequence[Path]:
        """Return where the source keeps what it downloads."""
        cache = getattr(self.source, "cache", None)
        return () if cache is None else (Path(cache),)

    def parts(self) -> Sequence[Part]:
        """Return the parts in order of place."""
        return [Part("all")] if self.max_functions is not None else self._groups

    @cached_property
    def _groups(self) -> list[Part]:
        groups = grouped(self.source.repositories(), FILES_PER_PART, self.max_functions_per_repository is None)
        parts, start = [], 0
        for number, group in enumerate(groups):
            size = sum(len(repository.paths) for repository in group)
            parts.append(Part(f"{number:06}", start, start + size, group))
            start += size
        return parts

    def __getstate__(self) -> dict[str, Any]:
        return {each.name: getattr(self, each.name) for each in fields(self)}  # not the files of all parts

    def build(self, part: Part, out: Path) -> Mapping[str, Any]:
        """Write functions, lists of files, and arrays for the search for duplicates; the facts are counts."""
        collected = collect(
            self.source.repositories() if part.work is None else part.work,
            limits=self.limits,
            max_functions=self.max_functions,
            max_functions_per_repository=self.max_functions_per_repository,
            include_tests=self.include_tests,
            seed=self.seed,
            workers=self.workers if part.work is None else 1,
        )
        functions = sorted((each for found in collected.functions.values() for each in found), key=attrgetter("place"))
        rows = [{name: getattr(function, name) for name in FIELDS.names} for function in functions]
        pq.write_table(pa.Table.from_pylist(rows, FIELDS), out / f"functions-{part.name}.parquet", compression="zstd")
        write_sources(out / f"sources-{part.name}.parquet", collected.sources)
        for name, array in arrays_of(functions, lsh_bands(self.near_duplicate_threshold)).items():
            np.save(out / f"{name}-{part.name}.npy", array)
        return {
            "part": part.name,
            "functions": len(functions),
            "files_listed": collected.files_listed,
            "files_read": collected.files_read,
            "skipped": collected.skipped,
        }

    def facts(self, parts: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        """Return the parts with their functions, and sums of what was read and skipped."""
        skipped: Counter[str] = Counter()
        for part in parts:
            skipped.update(part["skipped"])
        return {
            "parts": [part["part"] for part in parts],
            "functions": [part["functions"] for part in parts],
            **{name: sum(part[name] for part in parts) for name in ("files_listed", "files_read")},
            "skipped": dict(skipped),
        }

    def open(self, manifest: Manifest) -> Extraction:
        """Return the functions, which are read when they are asked for."""
        return Extraction(manifest)


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


def arrays_of(functions: Sequence[Function], bands: int) -> dict[str, npt.NDArray[Any]]:
    """Return what duplicates are looked for by.

    digests: of what each of REASONS compares `[reasons, 2, N]`. keys: of each view's bands `[views, bands, N]`.
    shingles: the sets of each function's views, one behind another. offsets, sizes: where each of them is
    `[views, N]`.
    """
    digests = np.zeros((len(REASONS), 2, len(functions)), dtype=np.uint64)
    keys = np.zeros((len(VIEWS), bands, len(functions)), dtype=np.uint64)
    hashes: dict[str, int] = {}
    sets: list[ShingleSet] = []
    for position, function in enumerate(functions):
        digests[0, :, position] = halves(function.body.encode())
        for number, view in enumerate(VIEWS.values()):
            shingles = shingle_set(view(function.body), hashes)
            digests[1 + number, :, position] = halves(shingles.tobytes())
            keys[number, :, position] = band_keys(shingles, bands)
            sets.append(shingles)
    sizes = np.array([*map(len, sets)], dtype=np.int64)
    ends = np.cumsum(sizes)
    sizes, ends = (each.reshape(-1, len(VIEWS)).T for each in (sizes, ends))
    return {
        "digests": digests,
        "keys": keys,
        "shingles": np.concatenate([np.zeros(0, dtype=np.uint64), *sets]),
        "offsets": ends - sizes,
        "sizes": sizes,
    }


def halves(content: bytes) -> tuple[int, int]:
    """Return 128 bits of hash in two halves."""
    return divmod(xxhash.xxh3_128_intdigest(content), 1 << 64)
