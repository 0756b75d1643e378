"""Functions or files as rows of a data set of Hugging Face `datasets`: on the Hub, or parquet, JSON and others here."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sigjepa.corpus.sources.jsonl import FIELDS, HALVES, NAMES, ROWS_VERSION, JsonLines, checked_row
from sigjepa.corpus.sources.source import Repository
from sigjepa.errors import SigjepaError
from sigjepa.runtime.field_map import FieldMap
from sigjepa.runtime.fields import LineError
from sigjepa.store.files import atomic_path, file_digest
from sigjepa.store.manifest import content_key
from sigjepa.store.progress import progress
from sigjepa.store.store import artifact_lock

if TYPE_CHECKING:
    from datasets import IterableDataset

BUILDERS = {".parquet": "parquet", ".json": "json", ".jsonl": "json", ".csv": "csv", ".arrow": "arrow"}
"""The builder that reads a file or a pattern of files, by its ending."""


@dataclass(frozen=True)
class HuggingFaceDataset:
    """Rows with `repository`, `path`, and either `code` or `signature` and `body`, as those of `JsonLines`.

    They are streamed once, the columns that are wanted alone, into a file of `cache`. path: id of a data set on the
    Hub, a folder of one, or a file or pattern of files (parquet, JSON lines, CSV, Arrow). config: which configuration;
    None is the data set's default. revision: a commit, tag or branch on the Hub; None is the newest. fields: what the
    columns are called, by our name, dots reaching into nested ones. max_rows: so many of the first rows; None is all.
    Raises SigjepaError for a number below 1.
    """

    path: str
    cache: str
    config: str | None = None
    split: str = "train"
    revision: str | None = None
    fields: Mapping[str, str] | None = None
    max_rows: int | None = None

    def __post_init__(self) -> None:
        if self.max_rows is not None and self.max_rows < 1:
            raise SigjepaError(f"corpus.source.max_rows={self.max_rows} must be at least 1, or null for all rows.")

    @property
    def name(self) -> str:
        """Short name for the corpus folder."""
        return "huggingface"

    def fingerprint(self) -> Mapping[str, Any]:
        """Return the digest of the rows, under our names, and the version: equal wherever they came from."""
        return {"source": self.name, "version": ROWS_VERSION, "rows": file_digest(self.rows())}

    def repositories(self) -> list[Repository]:
        """Return the repositories that the rows name."""
        return JsonLines(str(self.rows())).repositories()

    def rows(self) -> Path:
        """Return the file of the rows, streamed where it is not there.

        Raises SigjepaError for a data set that can't be had, a column that is missing, and a row that holds no text.
        """
        fields = FieldMap(self.fields, FIELDS, "a row of source code", "corpus.source.fields")
        with self.problems():
            stream, version = self.open_stream()
        settings = {"config": self.config, "split": self.split, "fields": fields.names, "max_rows": self.max_rows}
        key = content_key({"path": self.path, "version": version, **settings})
        file = Path(self.cache) / f"{Path(self.path).stem}-{key}.jsonl"
        if not file.is_file():
            with artifact_lock(file):
                if not file.is_file():
                    self.write(file, stream, fields)
        return file

    def open_stream(self) -> "tuple[IterableDataset, list[Any]]":
        """Return the rows, not yet read, and what is another when they are."""
        try:
            from datasets import load_dataset_builder  # noqa: PLC0415 - an extra, and seconds that only this needs
        except ImportError:
            raise SigjepaError("corpus=huggingface needs `pip install 'sigjepa[datasets]'`.") from None
        place = Path(self.path).expanduser()
        by_file = BUILDERS.get(place.suffix)
        if by_file is not None:
            builder = load_dataset_builder(by_file, data_files={self.split: str(place)})
        else:
            builder = load_dataset_builder(
                str(place) if place.exists() else self.path, self.config, revision=self.revision
            )
        files = (builder.config.data_files or {}).get(self.split)
        if files is None:
            known = ", ".join(map(str, builder.config.data_files or {}))
            raise ValueError(f"it has no split '{self.split}'; it has {known}")
        version = [[str(file), *state(str(file))] for file in files]
        return builder.as_streaming_dataset(split=self.split), [version, files.origin_metadata]

    def write(self, file: Path, stream: "IterableDataset", fields: FieldMap) -> None:
        """Write the rows that are wanted, one a line, the columns that are read under our names."""
        if stream.column_names is not None:
            columns = check_columns(stream.column_names, fields)
            stream = stream.select_columns(columns)
        wanted = progress(islice(stream, self.max_rows), f"Reading rows of {self.path}", unit="row")
        with atomic_path(file) as temporary, temporary.open("w", encoding="utf-8") as target, self.problems():
            for number, given in enumerate(wanted, start=1):
                try:
                    row = checked_row(given, fields)
                except LineError as error:
                    raise SigjepaError(f"{self.path}, row {number}: {error}.") from None
                target.write(json.dumps(row) + "\n")

    @contextmanager
    def problems(self) -> Iterator[None]:
        """Raise SigjepaError naming the data set for what keeps it from being read."""
        try:
            yield
        except SigjepaError:
            raise
        except Exception as error:
            package = type(error).__module__.partition(".")[0]
            if package not in OF_DATASETS and not isinstance(error, OSError | ValueError):
                raise
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
            raise SigjepaError(
                f"The data set {self.path} can't be read ({reason}). Check corpus.source.path, config, split and "
                "revision; for one that is private or gated, accept its terms on the Hub and log in with "
                "`hf auth login`; without a network, give a folder or file of it."
            ) from error


OF_DATASETS = frozenset({"datasets", "huggingface_hub", "httpx", "fsspec", "aiohttp", "pyarrow"})
"""Packages whose errors say that a data set can't be had; they share no class."""


def state(file: str) -> list[int]:
    """Return size and nanoseconds of the last writing of a file that lies here, and nothing of another."""
    path = Path(file)
    return [path.stat().st_size, path.stat().st_mtime_ns] if path.is_file() else []


def check_columns(columns: list[str], fields: FieldMap) -> list[str]:
    """Return the columns that are read; raises SigjepaError for those that are missing, such as any that holds code."""
    present = {name for name, theirs in fields.names.items() if theirs.partition(".")[0] in columns}
    code = () if present.issuperset(HALVES) else ("code",)
    for name in (*NAMES, *code):
        if name not in present:
            absent = fields.absence(dict.fromkeys(columns), name)
            also = ", or signature and body" if name == "code" else ""
            raise SigjepaError(f"The data set has {absent}{also}.")
    return sorted({fields.names[name].partition(".")[0] for name in present})
