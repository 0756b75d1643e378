"""The origin of an artifact: code, versions, platform, command and time."""

import platform
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import sigjepa
from sigjepa.store.credentials import without_credentials
from sigjepa.store.files import file_digest
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


MADE = "made"
"""The key of a manifest that holds this record; it is never among the inputs that name a folder."""


def made(
    packages: Sequence[str],
    upstream: Mapping[str, Mapping[str, Any]] | None = None,
    files: Sequence[Path] = (),
) -> dict[str, Any]:
    """Return what a manifest says under `made`, beside the inputs that its folder is named after.

    packages: distributions whose version can decide the content. upstream: the artifacts that it was made from, by
    kind, as `upstream_of` describes them. files: those of the artifact that its manifest lists no digest of.
    """
    return {
        "code": {**code_state(), "sigjepa": sigjepa.__version__},
        "versions": package_versions(packages),
        "platform": platform.platform(),
        "command": command_line(),
        "time": now(),
        "upstream": {kind: dict(one) for kind, one in (upstream or {}).items()},
        "files": {path.name: file_digest(path) for path in files},
    }


def upstream_of(folder: Path, digest: str) -> dict[str, str]:
    """Return how an artifact names one that it was made from: its keyed folder, and the digest of its content."""
    return {"folder": folder.name, "digest": digest}


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
