"""The store: artifacts below a data directory, each built once under the key of its inputs."""

import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from sigjepa.errors import DamagedError, SigjepaError
from sigjepa.store.build import PARTS_FOLDER, STEPS_FOLDER, PartRecord, contents_of, name_of
from sigjepa.store.executors.executor import Executor
from sigjepa.store.executors.local import Local
from sigjepa.store.files import storage_errors
from sigjepa.store.locks import file_lock
from sigjepa.store.manifest import MANIFEST_FILE, FileRecord, Manifest, content_key, write_record
from sigjepa.store.origin import origin
from sigjepa.store.progress import SHOWN_BY_A_BAR, progress
from sigjepa.store.stage import Part, Stage, check_label
from sigjepa.store.verified import VERIFIED_FILE, Verify, check_verify, verify_files

log = logging.getLogger(__name__)

Artifact = TypeVar("Artifact")

MAX_REPAIRS = 1000
UNCHANGED_FILE = "unchanged.json"
"""In the folder of a step: the inputs were the same after it had read them."""


@dataclass(frozen=True)
class Store:
    """Artifacts in `<data_dir>/<kind>/<label>-<key>/`, built by `executor` where they are missing.

    Processes that share a data directory build each artifact once: the others wait for its lock. What a killed process
    had finished is kept, part by part; of what reads user files, step by step. verify: which files of an artifact are
    compared with their digests when it is opened: `changed` since they last were, or `full`, all. Raises SigjepaError
    for another word.
    """

    data_dir: Path
    executor: Executor = field(default_factory=Local)
    verify: Verify = "changed"

    def __post_init__(self) -> None:
        check_verify(self.verify)

    def folder(self, stage: Stage[Any], inputs: Mapping[str, Any] | None = None) -> Path:
        """Return where a stage's artifact lies, or will; inputs: those of the stage, where they are known already.

        Raises SigjepaError for a label with a slash, which would lie elsewhere.
        """
        check_label(f"label of {name_of(stage)}", str(stage.label))
        key = content_key(stage.inputs() if inputs is None else inputs)
        return Path(self.data_dir) / stage.kind / (f"{stage.label}-{key}" if stage.label else key)

    def get(self, stage: Stage[Artifact]) -> Artifact:
        """Return the artifact of a stage, built where it is missing, its files compared as `verify` says.

        Raises DamagedError for a file that is not as it was written, and SigjepaError for another class's stage of the
        same kind and key.
        """
        inputs = stage.inputs()
        folder = self.folder(stage, inputs)
        manifest = self._finished(stage, folder)
        if manifest is None:
            with artifact_lock(folder):
                manifest = self._finished(stage, folder)  # another process may have built it meanwhile
                if manifest is None:
                    manifest = self._build(stage, folder, inputs)
        verify_files(manifest, self.verify)
        return stage.open(manifest)

    def missing(self, stage: Stage[Any]) -> list[Part]:
        """Return the parts of a stage that `get` would build; none for a finished artifact."""
        folder = self.folder(stage)
        if self._finished(stage, folder) is not None:
            return []
        return [part for part in stage.parts() if PartRecord.read(folder, part, stage) is None]

    def repair(self, stage: Stage[Artifact]) -> tuple[Artifact, list[str]]:
        """Return the artifact and what was damaged of it: that is set aside, and only its parts are built again."""
        problems: list[str] = []
        while True:
            try:
                return replace(self, verify="full").get(stage), problems
            except DamagedError as damage:
                if len(problems) == MAX_REPAIRS:
                    raise
                log.warning("Repairing: %s", damage)
                damage.mend()
                problems.append(damage.problem)

    def _finished(self, stage: Stage[Any], folder: Path) -> Manifest | None:
        if not (folder / MANIFEST_FILE).is_file():
            return None
        manifest = Manifest.read(folder)
        if manifest.stage != name_of(stage):
            raise SigjepaError(
                f"{folder} was built by {manifest.stage}, and {name_of(stage)} has the same kind '{stage.kind}' and "
                "the same inputs. Give one of the two another kind."
            )
        # what it was built from may have been built again, with another content
        contents = {name: reference.content for name, reference in manifest.upstream.items()}
        return None if manifest.missing_files() or contents != contents_of(stage) else manifest

    def _build(self, stage: Stage[Any], folder: Path, inputs: Mapping[str, Any]) -> Manifest:
        (folder / MANIFEST_FILE).unlink(missing_ok=True)  # while a part is built again it vouches for too much
        builder = stage
        if any(PartRecord.read(folder, part, stage) is None for part in stage.parts()):
            builder = stage.with_steps(partial(self._step, stage, folder, inputs))
        parts = builder.parts()
        check_parts(parts, stage)
        records = {part.name: record for part in parts if (record := PartRecord.read(folder, part, stage)) is not None}
        todo = [part for part in parts if part.name not in records]
        if records and todo:
            log.info("%s is unfinished: %d of %d parts are kept", folder, len(records), len(parts))
        results = self.executor.run(builder, todo, folder)
        if len(parts) > 1:  # a single part has bars of its own
            results = counted(results, parts, todo, stage)
        records |= {record.part: record for record in results}
        check_unchanged(stage, folder, inputs)
        ordered = [records[part.name] for part in parts]
        files = files_of(ordered, stage)
        facts = dict(stage.facts([record.facts for record in ordered]))
        manifest = Manifest(
            folder,
            stage.kind,
            name_of(stage),
            inputs,
            stage.content({name: record.digest for name, record in files.items()}, facts),
            facts,
            files,
            dict(stage.upstream()),
            origin(stage.packages),
        )
        manifest.write()
        shutil.rmtree(folder / STEPS_FOLDER, ignore_errors=True)
        log.info("Built %s/%s", stage.kind, folder.name, extra=SHOWN_BY_A_BAR)
        return manifest

    def _step(self, stage: Stage[Any], folder: Path, inputs: Mapping[str, Any], step: Stage[Artifact]) -> Artifact:
        """Return a step of a stage; one that was read from user files is kept once they were found unchanged after it.

        Else what a killed process left of it may be of files that were others for a while, under the key of these.
        """
        steps = Store(folder / STEPS_FOLDER, self.executor)
        unchanged = steps.folder(step) / UNCHANGED_FILE
        if not step.reads_user_files or unchanged.is_file():
            return steps.get(step)
        shutil.rmtree(unchanged.parent, ignore_errors=True)
        artifact = steps.get(step)
        check_unchanged(stage, folder, inputs)
        write_record(unchanged, {})
        return artifact


def check_unchanged(stage: Stage[Any], folder: Path, inputs: Mapping[str, Any]) -> None:
    """Raise SigjepaError where a stage has other inputs by now, and remove what was built in its folder."""
    if stage.inputs() == inputs:
        return
    for built in (PARTS_FOLDER, STEPS_FOLDER):
        shutil.rmtree(folder / built, ignore_errors=True)
    raise SigjepaError(
        f"What {folder.name} is built from changed while it was read. Give the same command again when nothing "
        "writes there any more."
    )


def counted(
    results: Iterator[PartRecord], parts: Sequence[Part], todo: Sequence[Part], stage: Stage[Any]
) -> Iterator[PartRecord]:
    """Yield the finished parts of a stage under a bar that counts the units of its work."""
    sizes = {part.name: part.size for part in parts}
    with progress(None, f"build {stage.kind}", total=sum(sizes.values()), unit=stage.unit) as bar:
        bar.initial = bar.n = bar.total - sum(part.size for part in todo)  # what is there makes no rate
        for record in results:
            bar.update(sizes[record.part])
            yield record


def check_parts(parts: Sequence[Part], stage: Stage[Any]) -> None:
    """Raise SigjepaError for a stage without parts, and for two parts of one name."""
    names = [part.name for part in parts]
    if not names or len(set(names)) < len(names):
        raise SigjepaError(f"{name_of(stage)} must have parts, each with a name of its own; it has {names}.")


def files_of(records: Sequence[PartRecord], stage: Stage[Any]) -> dict[str, FileRecord]:
    """Return the files of all parts; raises SigjepaError when two parts have written one, or a record's place."""
    files: dict[str, FileRecord] = {}
    for record in records:
        for name, file in record.files.items():
            if name in files or name in (MANIFEST_FILE, VERIFIED_FILE) or name.startswith(f"{PARTS_FOLDER}/"):
                raise SigjepaError(
                    f"{name_of(stage)} writes {name} in part {record.part}, where another part's file or a record "
                    "lies; give the files of each part names of their own."
                )
            files[name] = file
    return files


@contextmanager
def artifact_lock(folder: Path) -> Iterator[None]:
    """Hold the lock of an artifact's folder, and clear away what a killed process had begun in it."""
    lock = file_lock(folder.with_name(f"{folder.name}.lock"))
    with storage_errors(folder):
        lock.acquire()
    try:
        for leftover in [*folder.glob(".*.tmp"), *folder.glob(f"{PARTS_FOLDER}/.*.tmp")]:
            leftover.unlink(missing_ok=True)
        for leftover in folder.glob(".*.building"):
            shutil.rmtree(leftover, ignore_errors=True)
        yield
    finally:
        lock.release()
