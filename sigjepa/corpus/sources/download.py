"""Wheels on disk: those of a list that are missing are downloaded with pip, all of them are checked."""

import hashlib
import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from sigjepa.corpus.sources.pins import Pin, normalized
from sigjepa.errors import SigjepaError
from sigjepa.store.progress import progress
from sigjepa.store.store import artifact_lock

BATCH_WHEELS = 10
"""Wheels that one call of pip downloads: what an interruption loses, and how often progress shows."""
PIP_OPTIONS = (
    # nothing is installed: wheels for other Pythons will do, archives that run a setup.py will not; some projects have
    # compiled wheels, too, which pip would prefer to the one for any platform where an index gives no hashes
    *("--no-deps", "--require-hashes", "--only-binary=:all:", "--platform=any", "--ignore-requires-python"),
    *("--quiet", "--no-input", "--disable-pip-version-check", "--progress-bar=off"),
)

HASHES_DIFFER = "DO NOT MATCH THE HASHES"


def pinned_wheels(pins: Sequence[Pin], folder: Path) -> dict[str, Path]:
    """Return the wheel file of each project, in `folder`, downloaded when it is not there, its sha256 checked.

    Jobs that share `folder` download once. Raises SigjepaError naming the file whose sha256 differs, or saying why
    pip could not download.
    """
    if missing_pins(pins, folder):
        with artifact_lock(folder):
            missing = missing_pins(pins, folder)  # another job may have downloaded them meanwhile
            with progress(None, "Downloading wheels", total=len(missing), unit="wheel") as bar:
                for start in range(0, len(missing), BATCH_WHEELS):
                    batch = missing[start : start + BATCH_WHEELS]
                    download(batch, folder)
                    bar.update(len(batch))
    wheels = wheels_in(folder)
    return {pin.project: checked_wheel(pin, wheels[pin.project, pin.version]) for pin in pins}


def missing_pins(pins: Sequence[Pin], folder: Path) -> list[Pin]:
    """Return the pins that no file in `folder` is named after."""
    wheels = wheels_in(folder)
    return [pin for pin in pins if (pin.project, pin.version) not in wheels]


def wheels_in(folder: Path) -> dict[tuple[str, str], Path]:
    """Return the wheel files directly in `folder`, by normalized project and version."""
    found: dict[tuple[str, str], Path] = {}
    for file in sorted(folder.glob("*.whl")):
        project, _, rest = file.name.partition("-")
        found[normalized(project), rest.partition("-")[0]] = file
    return found


def checked_wheel(pin: Pin, file: Path) -> Path:
    """Return `file`; raises SigjepaError naming it when its sha256 is not the pinned one."""
    try:
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise SigjepaError(f"{file} cannot be read ({error}).") from None
    if digest != pin.sha256:
        raise SigjepaError(
            f"{file} is not the wheel that is pinned: its sha256 is {digest}, the list says {pin.sha256}. Delete the "
            f"file, and it is downloaded again; if the new one differs, too, the index of pip alters wheels."
        )
    return file


def download(pins: Sequence[Pin], folder: Path) -> None:
    """Let pip download wheels to a temporary folder, check them, and move them to `folder`, whole or not at all."""
    names = ", ".join(f"{pin.project} {pin.version}" for pin in pins)
    by_hand = f"Or put the wheels into {folder} by hand: they are {names}."
    if importlib.util.find_spec("pip") is None:
        raise SigjepaError(
            f"Wheels are downloaded with pip, which this Python ({sys.executable}) lacks: run "
            f"`{sys.executable} -m ensurepip`. {by_hand}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".download-") as temporary:
        requirements = Path(temporary, "requirements.txt")
        requirements.write_text("".join(f"{pin.requirement}\n" for pin in pins), encoding="utf-8")
        command = [sys.executable, "-m", "pip", "download", *PIP_OPTIONS, "-r", str(requirements), "-d", temporary]
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", check=False, env=pip_environment()
        )
        if done.returncode:
            raise SigjepaError(f"pip could not download wheels: {last_error(done.stderr)}. {by_hand}")
        wheels = wheels_in(Path(temporary))
        for pin in pins:
            if (pin.project, pin.version) not in wheels:
                raise SigjepaError(f"pip downloaded no wheel named after {pin.project} {pin.version}. {by_hand}")
            wheel = checked_wheel(pin, wheels[pin.project, pin.version])
            wheel.chmod(0o644)
            wheel.replace(folder / wheel.name)


def pip_environment() -> dict[str, str]:
    """Return this process's environment, with pip's index and certificates, and no wish for other wheels."""
    unwanted = {"PIP_REQUIREMENT", "PIP_CONSTRAINT", "PIP_NO_BINARY", "PIP_DEST", "PIP_PLATFORM", "PIP_PYTHON_VERSION"}
    return {name: value for name, value in os.environ.items() if name not in unwanted}


def last_error(output: str) -> str:
    """Return what pip says went wrong: the files whose hashes differ, or its last error."""
    if HASHES_DIFFER in output:
        listed = output.partition(HASHES_DIFFER)[2].partition("\n")[2]
        return f"a place it looks in has other files than those pinned: {' '.join(listed.split())}"
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    return (errors or lines or ["it printed nothing"])[-1].rstrip(".")
