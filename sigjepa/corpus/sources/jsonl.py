"""Functions or files as rows of a JSON Lines file, such as an exported data set."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sigjepa.corpus.sources.source import Repository
from sigjepa.corpus.text import encode_source, indent_source
from sigjepa.errors import SigjepaError
from sigjepa.store.files import file_digest


@dataclass(frozen=True)
class JsonLines:
    """Rows with `repository`, `path`, and either `code` or `signature` and `body`; other fields are ignored.

    `code` is any Python source, one function or a whole file. `body` is dedented, as this package writes it.
    """

    path: str

    @property
    def name(self) -> str:
        """Short name for the corpus folder."""
        return "jsonl"

    def fingerprint(self) -> Mapping[str, Any]:
        """Return the digest of the file."""
        return {"source": self.name, "file": file_digest(self.existing_file())}

    def repositories(self) -> list[Repository]:
        """Return the repositories that the rows name; raises SigjepaError that names the line of a bad row."""
        file = self.existing_file()
        paths: dict[str, list[str]] = {}
        offsets: dict[str, list[int]] = {}
        offset = 0
        with file.open("rb") as stream:
            for number, line in enumerate(stream, start=1):
                if line.strip():
                    row = checked_row(line, f"{file}:{number}")
                    paths.setdefault(row["repository"], []).append(row["path"])
                    offsets.setdefault(row["repository"], []).append(offset)
                offset += len(line)
        return [Repository(name, paths[name], partial(read_rows, file, offsets[name]), file) for name in sorted(paths)]

    def existing_file(self) -> Path:
        """Return the file; raises SigjepaError when there is none."""
        file = Path(self.path).expanduser()
        if not file.is_file():
            raise SigjepaError(f"{file} does not exist or is not a file; check corpus.source.path.")
        return file


def read_rows(file: Path, offsets: Sequence[int], positions: Sequence[int]) -> Iterator[bytes]:
    """Yield the source of the rows that begin at the `positions` of `offsets`, in bytes."""
    with file.open("rb") as stream:
        for position in positions:
            stream.seek(offsets[position])
            yield row_source(json.loads(stream.readline()))


def checked_row(line: bytes, place: str) -> dict[str, str]:
    """Return the row of one line; raises SigjepaError that names `place` when it is broken or lacks a field."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise SigjepaError(f"{place}: not valid JSON ({error}); correct or remove the line.") from None
    if not isinstance(row, dict):
        raise SigjepaError(f"{place}: a row must be a JSON object, not {type(row).__name__}.")
    source = ["code"] if "code" in row else ["signature", "body"]
    for name in ["repository", "path", *source]:
        if not isinstance(row.get(name), str):
            problem = f"'{name}' is not a string" if name in row else f"'{name}' is missing"
            raise SigjepaError(
                f"{place}: {problem}. A row needs 'repository', 'path', and 'code' or both 'signature' and 'body'."
            )
    return row


def row_source(row: Mapping[str, str]) -> bytes:
    """Return Python source of a row, its two halves put together where it comes in halves."""
    if "code" in row:
        return encode_source(row["code"])
    return encode_source(f"{row['signature'].rstrip()}\n{indent_source(row['body'], '    ')}\n")
