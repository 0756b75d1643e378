"""The worker that builds parts on another machine: it first compares itself with the process of the command."""

import os
import shutil
import socket
import traceback
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import xxhash

import sigjepa
from sigjepa.errors import SigjepaError, StorageError
from sigjepa.store.build import PartRecord, build_part
from sigjepa.store.credentials import secrets_of_environment, without_credentials
from sigjepa.store.files import appears
from sigjepa.store.manifest import MANIFEST_FILE, Manifest
from sigjepa.store.origin import package_versions
from sigjepa.store.stage import Part, Stage

CODE = "the files of sigjepa"
DRIVER_FILE = "driver"


@dataclass(frozen=True)
class Driver:
    """The process of a command, as its workers know it.

    host, working_folder: where it runs. packages: those whose versions must be the same. versions: theirs, Python's and
    this package's. variables: names of those that hold its credentials, never a value. probe: a folder beside the
    artifacts in which each side looks for the other's file. upstream: the manifests of what the stage is built from.
    patience: seconds that a file may be late.
    """

    host: str
    working_folder: Path
    packages: Sequence[str]
    versions: Mapping[str, str | None]
    variables: Sequence[str]
    probe: Path
    upstream: Sequence[Path]
    patience: float

    def compare_versions(self, host: str, versions: Mapping[str, str | None]) -> None:
        """Raise SigjepaError naming each version that a worker has and the driver has not."""
        differences = [
            f"{name} {versions.get(name)} there and {wanted} on {self.host}"
            for name, wanted in self.versions.items()
            if versions.get(name) != wanted
        ]
        if differences:
            raise SigjepaError(
                f"The worker on {host} would not give the same bytes: {', '.join(differences)}. Install the same "
                "versions on all machines, or start the workers from an environment that they share."
            )

    def await_report(self, name: str, host: str) -> None:
        """Wait for the file that a worker says it has written; raises SigjepaError when it does not appear here."""
        if not appears(self.probe / name, self.patience):
            raise self.not_shared(f"{self.host} does not see what the worker on {host} writes there")

    def await_files(self, folder: Path, record: PartRecord) -> None:
        """Wait until the files of a part are seen here; raises SigjepaError naming the first that stays away."""
        for name, file in record.files.items():
            if not appears(folder / name, self.patience, file.bytes):
                raise SigjepaError(
                    f"{folder / name} was written by a worker, and {self.host} does not see all of it after "
                    f"{self.patience:g} s. Look at the shared file system, or raise executor.patience, and give the "
                    "same command again: finished parts are kept."
                )

    def not_shared(self, what: str) -> SigjepaError:
        """Return the error for a data directory that is not the same one on all machines."""
        return SigjepaError(
            f"{self.probe.parent} is not shared: {what} (waited {self.patience:g} s). Give a folder that all machines "
            "mount: SIGJEPA_DATA_DIR=... (or raise executor.patience for a file system that is slower)."
        )


@contextmanager
def probed_driver(stage: Stage[Any], folder: Path, packages: Sequence[str], patience: float) -> Iterator[Driver]:
    """Yield this process as its workers know it, with its file in a probe folder that goes at the end.

    packages: those of the cluster, whose versions must be the same as well.
    """
    data_dir = folder.parents[1]
    probe = data_dir / f".probe-{uuid.uuid4().hex}"
    packages = [*packages, *stage.packages]
    manifests = [data_dir / each.kind / each.folder / MANIFEST_FILE for each in stage.upstream().values()]
    driver = Driver(
        socket.gethostname(),
        Path.cwd(),
        packages,
        versions(packages),
        sorted(secrets_of_environment()),
        probe,
        [path for path in manifests if path.is_file()],
        patience,
    )
    probe.mkdir(parents=True)
    try:
        (probe / DRIVER_FILE).touch()
        yield driver
    finally:
        shutil.rmtree(probe, ignore_errors=True)


def versions(packages: Sequence[str]) -> dict[str, str | None]:
    """Return the versions of Python, of packages, of sigjepa, and a digest of its files."""
    return {**package_versions(packages), "sigjepa": sigjepa.__version__, CODE: _code_digest()}


@cache
def _code_digest() -> str:
    root, digest = Path(sigjepa.__file__).parent, xxhash.xxh3_64()
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class Failure:
    """A part that a worker could not build.

    host: where. said: the error in a line, without credentials. error: what the user can mend, as it was raised; None
    for what may go better elsewhere, or is a defect. trace: where in the code it happened.
    """

    part: Part
    host: str
    said: str
    error: SigjepaError | None = None
    trace: str = ""


class Worker:
    """Builds parts of a stage in its process, one after another; what the stage loads, it loads once."""

    def __init__(self, stage: Stage[Any], folder: Path, driver: Driver) -> None:
        self.stage = stage
        self.folder = folder
        self.driver = driver
        self._checked = False

    def check(self) -> str:
        """Return the name of a file that was written for the driver to see.

        Raises SigjepaError for other versions, and for a driver's file or an upstream artifact that is not seen here.
        """
        driver, host = self.driver, socket.gethostname()
        if not driver.working_folder.is_dir():
            raise SigjepaError(
                f"The worker on {host} has no folder {driver.working_folder}, where the command was given and from "
                "which its paths are taken: give it in a folder that all machines mount."
            )
        os.chdir(driver.working_folder)
        driver.compare_versions(host, versions(driver.packages))
        if not appears(driver.probe / DRIVER_FILE, driver.patience):
            raise driver.not_shared(f"the worker on {host} does not see what {driver.host} has written there")
        for manifest in driver.upstream:
            names = [MANIFEST_FILE, *Manifest.read(manifest.parent).files] if appears(manifest, driver.patience) else []
            late = [name for name in names if not appears(manifest.parent / name, driver.patience)]
            if late or not names:
                raise driver.not_shared(f"the worker on {host} does not see {manifest.parent / (late or ['.'])[0]}")
        self._checked = True
        report = f"worker-{uuid.uuid4().hex}"
        (driver.probe / report).touch()
        return report

    def build(self, part: Part) -> PartRecord | Failure:
        """Return the record of a part, or what kept it from being built: the driver decides what comes of that."""
        try:
            if not self._checked:
                self.check()
            return build_part(self.stage, part, self.folder)
        except Exception as error:  # noqa: BLE001  (whatever it is, the driver names the part)
            return self._failure(part, error)

    def _failure(self, part: Part, error: Exception) -> Failure:
        host = socket.gethostname()
        text = str(error) if isinstance(error, SigjepaError) else f"{type(error).__name__}: {error}"
        missing = [name for name in self.driver.variables if name not in os.environ]
        if missing:
            text += f" On {host} these variables of {self.driver.host} are not set: {', '.join(missing)}."
        text = without_credentials(text)
        is_final = isinstance(error, SigjepaError) and not isinstance(error, StorageError)
        refusal = error if type(error) is not SigjepaError else SigjepaError(f"{text} (On the worker {host}.)")
        trace = "" if isinstance(error, SigjepaError) else without_credentials(traceback.format_exc())
        return Failure(part, host, text, refusal if is_final and isinstance(refusal, SigjepaError) else None, trace)
