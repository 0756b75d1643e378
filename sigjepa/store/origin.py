"""The origin of an artifact: code, versions, platform, command and time."""

import platform
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import sigjepa
from sigjepa.store.credentials import without_credentials
from sigjepa.store.git_state import code_state


def origin(packages: Sequence[str]) -> dict[str, Any]:
    """Return what a manifest says of how an artifact was built; no input that names a folder is among it.

    packages: distributions whose version can decide the content.
    """
    return {
        "code": {**code_state(), "sigjepa": sigjepa.__version__},
        "versions": package_versions(packages),
        "platform": platform.platform(),
        "command": command_line(),
        "time": now(),
    }


def package_versions(packages: Sequence[str]) -> dict[str, str | None]:
    """Return the python's version and those of `packages`; None for what is not installed."""
    versions: dict[str, str | None] = {"python": platform.python_version()}
    for package in packages:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = None
    return versions


def command_line() -> list[str]:
    """Return the arguments of this process, without what looks like a credential."""
    return [without_credentials(argument) for argument in sys.argv]


def now() -> str:
    """Return the time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
