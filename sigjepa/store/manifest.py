"""The manifest of an artifact: its inputs, a digest of every file, and what it was built from."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import xxhash

from sigjepa.errors import DamagedError, SigjepaError
from sigjepa.store.files import file_digest, read_json, set_aside, write_json
from sigjepa.store.progress import progress

MANIFEST_FILE = "manifest.json"
CHECKSUM = "checksum"
KEY_LENGTH = 12


def content_key(inputs: Mapping[str, Any]) -> str:
    """Return a short hexadecimal key of JSON-serializable `inputs`; equal inputs give equal keys on every machine."""
    canonical = json.dumps(inputs, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:KEY_LENGTH]


def checksum_of(content: Mapping[str, Any]) -> str:
    """Return `xxh3_128:<hex>` of a record without its own checksum, whatever the order of its keys."""
    values = {key: value for key, value in content.items() if key != CHECKSUM}
    return f"xxh3_128:{xxhash.xxh3_128_hexdigest(json.dumps(values, sort_keys=True).encode())}"


def digest_of_files(digests: Mapping[str, str]) -> str:
    """Return one `sha256:<hex>` for files by name, of their digests."""
    return f"sha256:{hashlib.sha256(json.dumps(dict(digests), sort_keys=True).encode()).hexdigest()}"


def write_record(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON record with its checksum, atomically: a digit that changes later is noticed."""
    write_json(path, {**content, CHECKSUM: checksum_of(content)})


def read_record(path: Path) -> dict[str, Any]:
    """Return a record without its checksum; raises DamagedError when it is not as it was written."""
    try:
        content = read_json(path)
    except SigjepaError as error:
        if not path.exists() or isinstance(error.__context__, OSError):
            raise
        raise damaged(path, f"is damaged ({error})") from None
    if not isinstance(content, dict) or content.pop(CHECKSUM, None) != checksum_of(content):
        raise damaged(path, "was altered after it was written: its checksum differs")
    return content


def damaged(path: Path, problem: str, remove: Path | None = None) -> DamagedError:
    """Return the error for a file of an artifact; `remove` is what is set aside for it to be built again."""
    target = remove or path
    return DamagedError(
        f"{path} {problem}",
        "`python -m sigjepa.prepare repair=true`, with the overrides of your command, sets "
        f"{'it' if target == path else target} aside and builds it again.",
        partial(set_aside, target),
    )


@dataclass(frozen=True)
class Reference:
    """An artifact as others name it.

    kind, folder: it lies in `<data_dir>/<kind>/<folder>`. content: what it holds, equal wherever that is equal. digest:
    of its files, byte for byte.
    """

    kind: str
    folder: str
    content: str
    digest: str


@dataclass(frozen=True)
class FileRecord:
    """A file of an artifact: its size in bytes, its digest, and the part of the work that wrote it."""

    bytes: int
    digest: str
    part: str


@dataclass(frozen=True)
class Manifest:
    """The record of a finished artifact.

    folder: where it lies now. kind, stage: what it is, and the class that built it. inputs: all that its content
    depends on; its key is their hash. content: what artifacts built from it know it by. facts: what its stage says of
    it. files: by path below the folder. upstream: the artifacts that it was built from. origin: code, versions and
    command that built it.
    """

    folder: Path
    kind: str
    stage: str
    inputs: Mapping[str, Any]
    content: str
    facts: Mapping[str, Any]
    files: Mapping[str, FileRecord]
    upstream: Mapping[str, Reference] = field(default_factory=dict)
    origin: Mapping[str, Any] = field(default_factory=dict)

    @property
    def reference(self) -> Reference:
        """The artifact as others name it."""
        digests = {name: record.digest for name, record in self.files.items()}
        return Reference(self.kind, self.folder.name, self.content, digest_of_files(digests))

    def write(self) -> None:
        """Write the manifest into its folder, atomically and last of all."""
        content = {key: value for key, value in asdict(self).items() if key != "folder"}
        write_record(self.folder / MANIFEST_FILE, content)

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        """Return the manifest of a folder; raises SigjepaError where there is none, DamagedError for another content.

        A manifest that was copied from elsewhere is damage, too: the key of its inputs is not the folder's.
        """
        path = folder / MANIFEST_FILE
        content = read_record(path)
        names = {each.name for each in fields(cls)} - {"folder"}
        if content.keys() != names:
            raise damaged(path, f"is not the manifest of an artifact: it needs {', '.join(sorted(names))}")
        if content_key(content["inputs"]) != folder.name.rpartition("-")[2]:
            raise damaged(path, "belongs to another artifact: its inputs do not give the folder's key", folder)
        content["files"] = {name: FileRecord(**record) for name, record in content["files"].items()}
        content["upstream"] = {name: Reference(**record) for name, record in content["upstream"].items()}
        return cls(folder=folder, **content)

    def missing_files(self) -> list[str]:
        """Return the files that are not there."""
        return [name for name in self.files if not (self.folder / name).is_file()]

    def verify(self, names: Sequence[str] | None = None) -> None:
        """Compare files with their records; raises DamagedError naming the first that is missing or altered.

        names: of which files; None for all.
        """
        for name in self.missing_files():
            raise damaged(self.folder / name, "is missing")
        for name, digest in self.digests(names).items():
            if digest != self.files[name].digest:
                size = (self.folder / name).stat().st_size
                detail = (
                    f"it has {size} bytes instead of {self.files[name].bytes}"
                    if (size != self.files[name].bytes)
                    else "its digest differs"
                )
                raise damaged(self.folder / name, f"was altered after it was written: {detail}")

    def digests(self, names: Sequence[str] | None = None) -> dict[str, str]:
        """Return the digest that each file has today; all of them must be there.

        names: of which files; None for all.
        """
        names = list(self.files) if names is None else names
        if not names:
            return {}
        # xxhash lets go of the interpreter, so threads hash as fast as the disk reads.
        with ThreadPoolExecutor() as pool:
            digests = pool.map(file_digest, [self.folder / name for name in names])
            bar = progress(digests, f"check {self.kind}", total=len(names), unit="file")
            return dict(zip(names, bar, strict=True))


class Difference(NamedTuple):
    """A dotted key by which two nested mappings differ, and its values; `nothing` where one of them lacks it."""

    key: str
    have: Any
    want: Any

    def __str__(self) -> str:
        return f"{self.key}: have {self.have}, want {self.want}"


def differences(have: Mapping[str, Any], want: Mapping[str, Any]) -> list[Difference]:
    """Return what distinguishes two nested mappings, in the order of keys."""
    flat_have, flat_want = dict(flatten(have)), dict(flatten(want))
    keys = sorted(flat_have.keys() | flat_want.keys())
    pairs = (Difference(key, flat_have.get(key, "nothing"), flat_want.get(key, "nothing")) for key in keys)
    return [each for each in pairs if each.have != each.want]


def flatten(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted key and value of every leaf of a nested mapping; an empty mapping is a leaf."""
    if isinstance(node, Mapping) and node:
        for key, value in node.items():
            yield from flatten(value, f"{prefix}.{key}" if prefix else str(key))
    elif prefix:
        yield prefix, node
