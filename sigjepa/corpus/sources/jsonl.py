"""Functions or files as rows of a JSON Lines file, such as an exported data set."""

import gzip
import re
import tempfile
import textwrap
import weakref
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any

from sigjepa.corpus.functions import Extracted, Function, functions_of, is_generated
from sigjepa.corpus.sources.remote import is_remote, local_copy
from sigjepa.corpus.sources.source import Repository
from sigjepa.corpus.text import indent_source, leading_whitespace, plain_text, writable
from sigjepa.errors import SigjepaError
from sigjepa.runtime.field_map import MISSING, FieldMap
from sigjepa.runtime.fields import LineError, json_object
from sigjepa.store.files import file_digest

NAMES = ("repository", "path")
HALVES = ("signature", "body")
OPTIONAL = ("qualname", "docstring")
FIELDS = (*NAMES, "code", *HALVES, *OPTIONAL)
ROWS_VERSION = 3
"""Part of the fingerprint of rows: raise it when the same rows give other functions."""
PYTHON_SUFFIXES = (".py", ".pyi")
PYTHON_SIGNATURE = re.compile(r"(async\s+)?def\s|@")
INDENTED_DEFINITION = re.compile(r"^([ \t]+)(?:async[ \t]+)?def\s", re.MULTILINE)


@dataclass(frozen=True)
class JsonLines:
    """Rows with `repository`, `path`, and either `code` or `signature` and `body`; `.gz` files are unpacked.

    `code` is any Python source: one function, indented or not, or a whole file. Halves of a Python function are put
    together and read as such, where the colon or the indentation of a first line is gone, too; those that Python can't
    parse are left out. Halves in another language are taken as they are, with `qualname` and `docstring`, if the row
    has them. fields: what the file calls its fields, by our name, dots reaching into nested objects. path: of a
    file here, or an address that fsspec reads (s3://, gs://, https://). cache: folder for copies of the latter.
    """

    path: str
    fields: Mapping[str, str] | None = None
    cache: str = "data/downloads"

    @property
    def name(self) -> str:
        """Short name for the corpus folder."""
        return "jsonl"

    def fingerprint(self) -> Mapping[str, Any]:
        """Return the digest of the file, the names of its fields, and the version of what is read from rows."""
        return {
            "source": self.name,
            "version": ROWS_VERSION,
            "file": file_digest(self.existing_file()),
            "fields": dict(sorted(self.field_map().given.items())),
        }

    def field_map(self) -> FieldMap:
        """Return where a row holds what; raises SigjepaError for an unknown field."""
        return FieldMap(self.fields, FIELDS, "a row of source code", "corpus.source.fields")

    def repositories(self) -> list[Repository]:
        """Return the repositories that the rows name; raises SigjepaError that names the line of a bad row."""
        file, fields = self.existing_file(), self.field_map()
        rows = Rows(file)
        paths: dict[str, list[str]] = {}
        offsets: dict[str, list[int]] = {}
        for number, offset, line in rows:
            try:
                row = row_of(line, fields)
            except LineError as error:
                raise SigjepaError(f"{file}:{number}: {error}. Correct or remove the line.") from None
            repository = writable(row["repository"])
            paths.setdefault(repository, []).append(writable(row["path"]))
            offsets.setdefault(repository, []).append(offset)
        extract = partial(extract_row, fields=fields)
        return [
            Repository(name, paths[name], partial(rows.read, offsets[name]), file, extract=extract)
            for name in sorted(paths)
        ]

    def existing_file(self) -> Path:
        """Return the file, or the copy of one that lies elsewhere; raises SigjepaError when there is none."""
        if is_remote(self.path):
            return local_copy(self.path, Path(self.cache), "corpus.source.path")
        file = Path(self.path).expanduser()
        if not file.is_file():
            raise SigjepaError(f"{file} does not exist or is not a file; check corpus.source.path.")
        return file


class Rows:
    """The lines of a file, and any of them again by its offset; a packed file is unpacked for that, to a nameless one.

    Raises SigjepaError for a file that is called `.gz` and cannot be unpacked.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.stream: IO[bytes] = tempfile.TemporaryFile() if file.suffix == ".gz" else file.open("rb")  # noqa: SIM115
        weakref.finalize(self, self.stream.close)
        if file.suffix == ".gz":
            try:
                with gzip.open(file) as packed:
                    while block := packed.read(1 << 20):
                        self.stream.write(block)
            except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                raise SigjepaError(f"{file} cannot be unpacked ({error}); check corpus.source.path.") from None

    def __reduce__(self) -> tuple[Any, ...]:
        return Rows, (self.file,)

    def __iter__(self) -> Iterator[tuple[int, int, bytes]]:
        """Yield the number from 1, the offset and the bytes of each line that is not empty."""
        offset = 0
        self.stream.seek(0)
        for number, line in enumerate(self.stream, start=1):
            if line.strip():
                yield number, offset, line
            offset += len(line)

    def read(self, offsets: Sequence[int], positions: Sequence[int]) -> Iterator[bytes]:
        """Yield the lines that begin at the `positions` of `offsets`."""
        for position in positions:
            self.stream.seek(offsets[position])
            yield self.stream.readline()


def row_of(line: bytes, fields: FieldMap) -> dict[str, str]:
    """Return the row of a line by our names; raises LineError for a broken one, and for a field that is not there."""
    return checked_row(json_object(line), fields)


def checked_row(given: Mapping[str, Any], fields: FieldMap) -> dict[str, str]:
    """Return a row by our names; raises LineError for a field that is not there, and for one that is no string."""
    row = {name: value for name in FIELDS if (value := fields.get(given, name)) is not MISSING}
    for name in (*NAMES, *(("code",) if "code" in row else HALVES)):
        if name not in row:
            raise LineError(fields.absence(given, name))
        if not isinstance(row[name], str):
            raise LineError(f"'{fields.names[name]}' is not a string")
    if "code" not in row and not row["signature"].strip():
        raise LineError(f"'{fields.names['signature']}' is empty")
    return {name: value for name, value in row.items() if isinstance(value, str)}


def extract_row(
    line: bytes,
    *,
    repository: str,
    path: str,
    fields: FieldMap,
    min_body_statements: int = 2,
    max_body_lines: int = 200,
    max_file_bytes: int = 1_000_000,
) -> Extracted:
    """Return the functions of a row, and what was skipped, by reason, as `extract_functions` does of a file.

    The text is decoded already: an encoding that its first lines may name is not asked for, and a byte-order mark that
    an export left in place is no part of it.
    """
    row = row_of(line, fields)
    texts = {name: row[name].removeprefix("\ufeff") for name in ("code", *HALVES) if name in row}
    if sum(len(text.encode("utf-8", "surrogatepass")) for text in texts.values()) > max_file_bytes:
        return [], Counter(oversized_file=1)
    try:
        row |= {name: plain_text(text) for name, text in texts.items()}
    except UnicodeError:
        return [], Counter(undecodable_file=1)
    limits = (repository, path, min_body_statements, max_body_lines)
    if "code" in row:
        return ([], Counter(generated_file=1)) if is_generated(row["code"]) else python_functions(row["code"], *limits)
    python = claims_python(row)
    halves = (row["signature"], row["body"])
    for signature, body in readings(*halves) if python else [halves]:
        whole = f"{textwrap.dedent(signature).rstrip()}\n{indent_source(body, '    ')}\n"
        functions, skipped = functions_of(whole, *limits)
        if functions or skipped - Counter(syntax_error=1, too_deeply_nested=1):
            return functions, skipped
    return ([], skipped or Counter(syntax_error=1)) if python else foreign_function(row, *limits)


def claims_python(row: Mapping[str, str]) -> bool:
    """Return whether a row says that its halves are Python, by the ending of its path or the start of its signature.

    Ruby and Scala write `def`, too, and Java `@`: beside the ending of another language the last colon decides.
    """
    suffix, signature = PurePosixPath(row["path"]).suffix.lower(), row["signature"].strip()
    if suffix in PYTHON_SUFFIXES:
        return True
    return PYTHON_SIGNATURE.match(signature) is not None and (not suffix or signature.endswith(":"))


def readings(signature: str, body: str) -> Iterator[tuple[str, str]]:
    """Yield Python halves as written, and then with what exports cut off: the colon, and a first line's indentation."""
    yield signature, body
    definition = INDENTED_DEFINITION.search(signature)
    signature = f"{definition[1] if definition else ''}{signature.strip().removesuffix(':')}:"
    yield signature, body
    body = body.strip()
    indentations = [leading_whitespace(line) for line in body.split("\n")[1:] if line.strip()]
    yield signature, f"{min(indentations, key=len, default='')}{body}"


def python_functions(code: str, *limits: Any) -> Extracted:
    """Return the functions of Python code that may be indented as a whole, as a method in its class is."""
    code_lines = (line for line in code.split("\n") if line.strip() and not line.lstrip().startswith("#"))
    if not next(code_lines, "").startswith((" ", "\t")):
        return functions_of(code, *limits)
    functions, skipped = functions_of(f"if True:\n{code}", *limits)
    return [replace(function, line=function.line - 1) for function in functions], skipped


def foreign_function(
    row: Mapping[str, str], repository: str, path: str, min_body_lines: int, max_body_lines: int
) -> Extracted:
    """Return the halves of a function in a language that is not parsed: its lines count where statements would."""
    lines = row["body"].split("\n")
    written = sum(bool(line.strip()) for line in lines)
    if written < min_body_lines or len(lines) > max_body_lines:
        return [], Counter(["stub" if not written else "short_body" if written < min_body_lines else "long_body"])
    qualname = writable(row.get("qualname", ""))
    docstring = row.get("docstring", "").encode("utf-8", "replace").decode()
    return [Function(repository, path, qualname, 1, row["signature"], docstring, row["body"])], Counter()
