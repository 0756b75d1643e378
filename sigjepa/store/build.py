"""Building one part of a stage: in a folder of its own, and kept only when it is whole."""

import os
import shutil
import sys
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from sigjepa.errors import DamagedError, SigjepaError
from sigjepa.store.files import file_digest, storage_errors, synchronize
from sigjepa.store.locks import file_lock
from sigjepa.store.manifest import MANIFEST_FILE, FileRecord, read_record, write_record
from sigjepa.store.stage import Part, Stage

PARTS_FOLDER = "parts"
STEPS_FOLDER = ".steps"
"""Within an unfinished artifact: what only building it needs, as a data directory of its own."""
MAX_COMMIT_SECONDS = 600


@dataclass(frozen=True)
class PartRecord:
    """A finished part: its files by path below the artifact's folder, and what its stage said of it.

    It also holds the content of each artifact that the part was built from: of others, it is to be built again.
    """

    part: str
    files: Mapping[str, FileRecord]
    facts: Mapping[str, Any]

    @classmethod
    def read(cls, folder: Path, part: Part, stage: Stage[Any]) -> "PartRecord | None":
        """Return the record of a part whose files are all there; None when the part is to be built.

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
        whole = content["upstream"] == contents_of(stage) and all((folder / name).is_file() for name in files)
        return cls(part.name, files, content["facts"]) if whole else None


def contents_of(stage: Stage[Any]) -> dict[str, str]:
    """Return the content of each artifact that a stage is built from, by name."""
    return {name: reference.content for name, reference in stage.upstream().items()}


def build_part(stage: Stage[Any], part: Part, folder: Path) -> PartRecord:
    """Build a part of a stage below its folder, and record it last: what is killed on the way leaves no part."""
    out = folder / f".{part.name}.{uuid.uuid4().hex}.building"  # its own, whatever another process is still doing
    with storage_errors(folder / part.name):
        out.mkdir(parents=True)
        with writes_refused(folder, [out, *stage.caches()], stage):
            facts = stage.build(part, out)
        if not out.is_dir():
            raise SigjepaError(f"{out} was removed while {name_of(stage)} built in it; give the same command again.")
        names = files_below(out, stage)
        records = {}
        for name in names:
            path = out / name
            path.chmod(0o644)
            synchronize(path)
            records[name] = FileRecord(path.stat().st_size, file_digest(path), part.name)
        with file_lock(folder / PARTS_FOLDER / ".lock", MAX_COMMIT_SECONDS):
            record = PartRecord.read(folder, part, stage)  # of a worker that was given up, and was only slow
            if record is None:
                record = PartRecord(part.name, records, dict(facts))
                keep(record, out, folder, stage)
        shutil.rmtree(out)
    return record


def keep(record: PartRecord, out: Path, folder: Path, stage: Stage[Any]) -> None:
    """Move the files of a part into its stage's folder, and record it last."""
    for name in record.files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).replace(folder / name)
    synchronize(folder)
    files = {name: asdict(each) for name, each in record.files.items()}
    content = {"files": files, "facts": dict(record.facts), "upstream": contents_of(stage)}
    write_record(folder / PARTS_FOLDER / f"{record.part}.json", content)


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


@dataclass(frozen=True)
class _Guard:
    """A part that a thread of this process builds: in which folder, where it may write, and for which stage."""

    thread: int
    folder: Path
    allowed: Sequence[Path]
    stage: str


_guards: list[_Guard] = []
"""The parts that are being built now, the innermost last."""


@contextmanager
def writes_refused(folder: Path, allowed: Sequence[Path], stage: Stage[Any]) -> Iterator[None]:
    """Refuse what a stage writes, while it builds in `folder`, into other artifacts and among those of its own kind.

    Python reports every file that it opens, makes, renames or removes; what a library's C code writes it does not.
    """
    _install_audit_hook()
    places = [path.expanduser().absolute() for path in allowed]
    whole = folder.parents[2] if folder.parents[1].name == STEPS_FOLDER else folder
    _guards.append(_Guard(threading.get_ident(), whole.absolute(), places, name_of(stage)))
    try:
        yield
    finally:
        _guards.pop()


@cache
def _install_audit_hook() -> None:
    sys.addaudithook(_audit)


_WRITES = {
    "os.mkdir": ((0, 2),),
    "os.remove": ((0, 1),),
    "os.rmdir": ((0, 1),),
    "os.rename": ((0, 2), (1, 3)),
    "os.link": ((1, 3),),
    "os.symlink": ((1, 2),),
    "os.truncate": ((0, None),),
}
"""Events of the interpreter that change files: where each path stands, and the folder that it is relative to."""
_WRITE_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if not _guards or _guards[-1].thread != threading.get_ident():
        return
    if event == "open":
        writes = isinstance(arguments[2], int) and arguments[2] & _WRITE_FLAGS
        places: Sequence[tuple[int, int | None]] = ((0, None),) if writes else ()
    else:
        places = _WRITES.get(event, ())
    for path, base in places:
        relative_to_a_folder = base is not None and arguments[base] not in (-1, None)
        if isinstance(arguments[path], str | bytes | os.PathLike) and not relative_to_a_folder:
            _refuse_outside(Path(os.fsdecode(arguments[path])).absolute(), _guards[-1])


def _refuse_outside(path: Path, guard: _Guard) -> None:
    kind_folder, data_dir = guard.folder.parent, guard.folder.parents[1]
    if not path.is_relative_to(data_dir) or any(path.is_relative_to(place) for place in guard.allowed):
        return
    artifact = data_dir.joinpath(*path.relative_to(data_dir).parts[:2])
    is_artifact = (artifact / MANIFEST_FILE).is_file() or (artifact / PARTS_FOLDER).is_dir()
    if is_artifact or path.is_relative_to(kind_folder):
        raise SigjepaError(
            f"{guard.stage} writes {path}, outside of the folder that build() is given: other artifacts lie there. "
            "Write below `out`, or name the folder in caches()."
        )
