"""The functions that an index is of: all of a source, none left out as a duplicate or for another's balance."""

import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from sigjepa.corpus.extraction import Extraction, extract
from sigjepa.corpus.functions import EXTRACTION_VERSION, Function
from sigjepa.corpus.source_files import content_digest, read_sources
from sigjepa.corpus.sources.source import Source
from sigjepa.corpus.text import writable
from sigjepa.errors import SigjepaError
from sigjepa.store.artifact import OpenedArtifact
from sigjepa.store.manifest import Manifest
from sigjepa.store.stage import Get, Part, Stage

FORMAT = 1  # raise it when the same inputs give other files
FUNCTIONS_FILE = "functions.arrow"
SCHEMA = pa.schema(
    {
        **dict.fromkeys(("repository", "path", "digest"), pa.dictionary(pa.int32(), pa.string())),
        "qualname": pa.large_string(),
        "line": pa.int64(),
        "signature": pa.large_string(),
        "body": pa.large_string(),
    }
)
"""`digest` is that of the file as it was read."""


@dataclass(frozen=True)
class IndexedFunction:
    """A function of an index; digest: of its file as it was read."""

    repository: str
    path: str
    digest: str
    qualname: str
    line: int
    signature: str
    body: str

    @property
    def key(self) -> str:
        """The content hash that the corpus gives a function."""
        return Function(self.repository, self.path, self.qualname, self.line, self.signature, "", self.body).key


class Functions(OpenedArtifact):
    """Functions by row, those of a file together, in the order of their place; memory-mapped."""

    @cached_property
    def table(self) -> pa.Table:
        """All rows; nothing is read from the disk until it is used."""
        return pa.ipc.open_file(pa.memory_map(str(self.folder / FUNCTIONS_FILE))).read_all()

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def bodies(self, start: int, stop: int) -> list[str]:
        """Return the bodies of a range of rows."""
        return list(self.table.column("body").slice(start, stop - start).to_pylist())

    def files(self) -> list[tuple[int, int]]:
        """Return the range of rows of each file, in order."""
        keys = [self.table.column(name).to_pylist() for name in ("repository", "path")]
        places = list(zip(*keys, strict=True))
        starts = [row for row, place in enumerate(places) if row == 0 or place != places[row - 1]]
        return list(zip(starts, [*starts[1:], len(places)], strict=True))

    def __getitem__(self, row: int) -> IndexedFunction:
        return IndexedFunction(**self.table.slice(row, 1).to_pylist()[0])


@dataclass(frozen=True)
class Places:
    """The places of an index's repositories when it was last built, by name: no part of what the index holds."""

    places: Mapping[str, str]

    @classmethod
    def of(cls, source: Source) -> "Places":
        """Return where the repositories of a source lie."""
        return cls({found.name: writable(str(found.place or "")) for found in source.repositories()})

    def rows_of(self, functions: Functions, path: Path) -> list[int]:
        """Return the rows of the functions of a file of this machine."""
        wanted = path.resolve()
        repositories, paths = (functions.table.column(name).to_pylist() for name in ("repository", "path"))
        return [
            row
            for row, (repository, name) in enumerate(zip(repositories, paths, strict=True))
            if name.endswith(wanted.name) and Path(self.places.get(repository, ""), name) == wanted
        ]

    def file_of(self, function: IndexedFunction) -> Path | None:
        """Return where a function's file lies on this machine; None for one in an archive or a repository of git."""
        place = Path(self.places.get(function.repository, ""))
        return (
            place / function.path if place.is_absolute() and not place.is_file() and not is_git_store(place) else None
        )


def change_of(function: IndexedFunction, file: Path | None) -> str | None:
    """Return `removed` or `changed` for a file that is not as it was read; None for one that is, or without one."""
    if file is None:
        return None
    try:
        return None if content_digest(file.read_bytes()) == function.digest else "changed"
    except OSError:
        return "removed"


def is_git_store(place: Path) -> bool:
    """Return whether a folder is a bare repository, whose files are not on the disk under their names."""
    return (place / "HEAD").is_file() and (place / "objects").is_dir()


@dataclass(frozen=True)
class FunctionsStage(Stage[Functions]):
    """Collect all functions of a source; the limits are those of `extract_functions`."""

    source: Source
    min_body_statements: int = 1
    max_body_lines: int = 1000
    max_file_bytes: int = 1_000_000
    include_tests: bool = False

    kind: ClassVar[str] = "functions"
    packages: ClassVar[Sequence[str]] = ("pyarrow",)

    @property
    def label(self) -> str:
        """The name of the source."""
        return self.source.name

    @property
    def limits(self) -> dict[str, int]:
        """The limits that `extract_functions` is given."""
        return {name: getattr(self, name) for name in ("min_body_statements", "max_body_lines", "max_file_bytes")}

    def inputs(self) -> dict[str, Any]:
        """Return the source's content and the limits; raises SigjepaError for a limit below 1."""
        for name, value in self.limits.items():
            if value < 1:
                raise SigjepaError(f"corpus.{name}={value} must be at least 1.")
        return {
            "extraction": EXTRACTION_VERSION,
            "python": ".".join(platform.python_version_tuple()[:2]),  # its grammar decides what parses
            "source": self.source.fingerprint(),
            **self.limits,
            "include_tests": self.include_tests,
            "format": FORMAT,
        }

    def with_steps(self, get: Get) -> "IndexedFunctionsStage":
        """Return the stage that joins the functions that were extracted in parts."""
        repositories = self.source.repositories()
        extraction = extract(repositories, self.limits, include_tests=self.include_tests, get=get)
        return IndexedFunctionsStage(**vars(self), extraction=extraction)

    def build(self, part: Part, out: Path) -> Mapping[str, Any]:
        """Not called: `with_steps` gives the stage that builds."""
        raise NotImplementedError

    def open(self, manifest: Manifest) -> Functions:
        """Return the functions, whose texts are read when they are asked for."""
        return Functions(manifest)


@dataclass(frozen=True)
class IndexedFunctionsStage(FunctionsStage):
    """Write all extracted functions into one file."""

    extraction: Extraction = field(kw_only=True)

    def build(self, part: Part, out: Path) -> Mapping[str, Any]:
        """Write the functions; the facts are counts. Raises SigjepaError for none."""
        read = self.extraction.manifest.facts
        if not len(self.extraction):
            skipped = ", ".join(f"{count} {reason}" for reason, count in Counter(read["skipped"]).most_common())
            raise SigjepaError(
                f"There is nothing to index: the source '{self.source.name}' lists {read['files_listed']} Python "
                f"files and gives no function. Skipped: {skipped or 'nothing'}. Check corpus.source."
            )
        whole = pa.concat_tables(map(self.rows, self.extraction.parts)).combine_chunks()
        with pa.OSFile(str(out / FUNCTIONS_FILE), "wb") as sink, pa.ipc.new_file(sink, SCHEMA) as writer:
            writer.write_table(whole, max_chunksize=len(whole))
        return {
            "functions": len(whole),
            "files": read["files_read"],
            "skipped": dict(sorted(read["skipped"].items())),
        }

    def rows(self, part: str) -> pa.Table:
        """Return the functions of a part of the extraction, each with the digest of its file."""
        table = self.extraction.table(part)
        digests = {(file.repository, file.path): file.digest for file in read_sources(self.extraction.sources(part))}
        places = zip(*(table[name].to_pylist() for name in ("repository", "path")), strict=True)
        table = table.append_column("digest", pa.array([digests[place] for place in places], pa.string()))
        return table.select(SCHEMA.names).cast(SCHEMA)
