"""Building one part of a stage: in a folder of its own, and kept only when it is whole."""

import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from sigjepa.errors import DamagedError, SigjepaError
from sigjepa.store.files import file_digest, storage_errors, synchronize
from sigjepa.store.manifest import FileRecord, read_record, write_record
from sigjepa.store.stage import Part, Stage

PARTS_FOLDER = "parts"


@dataclass(frozen=True)
class PartRecord:
    """A finished part: its files by path below the artifact's folder, and what its stage said of it."""

    part: str
    files: Mapping[str, FileRecord]
    facts: Mapping[str, Any]

    @classmethod
    def read(cls, folder: Path, part: Part) -> "PartRecord | None":
        """Return the record of a part whose files are all there with their recorded sizes; None when it is to be built.

        A record that is not as it was written vouches for nothing.
        """
        path = folder / PARTS_FOLDER / f"{part.name}.json"
        if not path.is_file():
            return None
        try:
            content = read_record(path)
        except DamagedError:
            return None
        files = {name: FileRecord(**record) for name, record in content["files"].items()}
        whole = all((folder / name).is_file() for name in files)
        return cls(part.name, files, content["facts"]) if whole else None


def build_part(stage: Stage[Any], part: Part, folder: Path) -> PartRecord:
    """Build a part of a stage below its folder, and record it last: what is killed on the way leaves no part."""
    out = folder / f".{part.name}.building"
    with storage_errors(folder / part.name):
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        with writes_refused(folder.parents[1], [out, *stage.caches()], stage):
            facts = stage.build(part, out)
        names = files_below(out, stage)
        records = {}
        for name in names:
            path = out / name
            path.chmod(0o644)
            synchronize(path)
            records[name] = FileRecord(path.stat().st_size, file_digest(path), part.name)
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            path.replace(folder / name)
        synchronize(folder)
        content = {"files": {name: asdict(record) for name, record in records.items()}, "facts": dict(facts)}
        write_record(folder / PARTS_FOLDER / f"{part.name}.json", content)
        shutil.rmtree(out)
    return PartRecord(part.name, records, facts)


def files_below(out: Path, stage: Stage[Any]) -> list[str]:
    """Return the files of a part, as paths below `out`; raises SigjepaError for a link, which leads elsewhere."""
    names = []
    for current, folders, files in os.walk(out):
        for name in [*folders, *files]:
            path = Path(current, name)
            if path.is_symlink():
                raise SigjepaError(
                    f"{name_of(stage)} wrote the link {path.relative_to(out)} to {path.readlink()}: a stage writes "
                    "only files, and only below the folder that build() is given."
                )
        names += [Path(current, name).relative_to(out).as_posix() for name in files]
    return sorted(names)


def name_of(stage: Stage[Any]) -> str:
    """Return the full name of a stage's class."""
    return f"{type(stage).__module__}.{type(stage).__qualname__}"


_guarded: list[tuple[Path, Sequence[Path], str]] = []
"""Data directory, folders that may be written and stage of the part that this process builds; empty between parts."""


@contextmanager
def writes_refused(data_dir: Path, allowed: Sequence[Path], stage: Stage[Any]) -> Iterator[None]:
    """Refuse what a stage writes below the data directory but outside `allowed`, where other artifacts lie.

    Python reports every file that it opens, makes, renames or removes; what a library's C code writes it does not.
    """
    _install_audit_hook()
    _guarded.append((data_dir.absolute(), [path.absolute() for path in allowed], name_of(stage)))
    try:
        yield
    finally:
        _guarded.pop()


@cache
def _install_audit_hook() -> None:
    sys.addaudithook(_audit)


_PATH_ARGUMENTS = {
    "os.mkdir": (0,),
    "os.remove": (0,),
    "os.rmdir": (0,),
    "os.rename": (0, 1),
    "os.link": (1,),
    "os.symlink": (1,),
    "os.truncate": (0,),
}
"""Events of the interpreter that change files, and which of their arguments are paths."""
_WRITE_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if not _guarded:
        return
    if event == "open":
        changes = [0] if isinstance(arguments[2], int) and arguments[2] & _WRITE_FLAGS else []
    else:
        changes = list(_PATH_ARGUMENTS.get(event, ()))
    for position in changes:
        if isinstance(arguments[position], str | bytes | os.PathLike):
            _refuse_outside(Path(os.fsdecode(arguments[position])).absolute())


def _refuse_outside(path: Path) -> None:
    data_dir, allowed, stage = _guarded[-1]
    if path.is_relative_to(data_dir) and not any(path.is_relative_to(place) for place in allowed):
        raise SigjepaError(
            f"{stage} writes {path}, outside of the folder that build() is given: other artifacts lie there. Write "
            "below `out`, or name the folder in caches()."
        )
