"""The running interpreter's standard library and installed packages: a corpus without a download."""

import csv
import importlib.metadata
import platform
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xxhash

from sigjepa.corpus.sources.folder import files_repository
from sigjepa.corpus.sources.pins import normalized
from sigjepa.corpus.sources.source import Repository, python_files
from sigjepa.errors import SigjepaError, nearest_name

# Not library code: the test suite, two applications, a grammar copy, demonstrations.
SKIPPED_MODULES = frozenset({"test", "idlelib", "lib2to3", "turtledemo", "__phello__", "antigravity", "this"})


@dataclass(frozen=True)
class InstalledPackages:
    """Each installed distribution, and each top-level module of the standard library as `python/<module>`.

    `packages`: names of the distributions, None for all of them, an empty list for none. `exclude` names
    distributions to leave out of all.
    """

    packages: Sequence[str] | None = None
    standard_library: bool = True
    exclude: Sequence[str] = ("sigjepa",)

    @property
    def name(self) -> str:
        """Short name for the corpus folder."""
        return "installed"

    def fingerprint(self) -> Mapping[str, Any]:
        """Return the version and file list of the standard library and each package, as the installer recorded them."""
        return {
            "source": self.name,
            "python": f"{platform.python_implementation()} {platform.python_version()}",
            "standard_library": standard_library_digest() if self.standard_library else None,
            "packages": {
                name: f"{distribution.version} {record_digest(distribution)}"
                for name, distribution in self.distributions().items()
            },
        }

    def repositories(self) -> list[Repository]:
        """Return the standard library's modules, then the distributions."""
        modules = standard_library_modules() if self.standard_library else []
        return modules + [
            files_repository(name, Path(str(distribution.locate_file(""))), [path for path, *_ in record(distribution)])
            for name, distribution in self.distributions().items()
        ]

    def distributions(self) -> dict[str, importlib.metadata.Distribution]:
        """Return the chosen distributions that hold Python files, by normalized name.

        Raises SigjepaError for one that is not installed, or whose installer recorded no Python files.
        """
        if isinstance(self.packages, str):
            raise SigjepaError(f"packages={self.packages!r} must be a list of names, such as packages=[numpy,torch].")
        if self.packages is not None and not self.packages:
            return {}
        found: dict[str, importlib.metadata.Distribution] = {}
        for distribution in importlib.metadata.distributions():
            if distribution.metadata["Name"]:  # None for the remains of a broken uninstallation
                found.setdefault(normalized(distribution.metadata["Name"]), distribution)  # the first one is imported
        if self.packages is None:
            excluded = {normalized(name) for name in self.exclude}
            chosen = {name: found[name] for name in sorted(found) if name not in excluded}
            return {name: distribution for name, distribution in chosen.items() if record(distribution)}
        for package in self.packages:
            if normalized(package) not in found:
                raise SigjepaError(
                    f"corpus.source.packages names '{package}', which is not installed."
                    f"{nearest_name(normalized(package), found)} Install it or take it off the list."
                )
            if not record(found[normalized(package)]):
                raise SigjepaError(
                    f"The installed package '{package}' has no record of Python files (an editable or system "
                    f"installation?). Take it off corpus.source.packages, or read its source with corpus=folder."
                )
        return {name: found[name] for name in sorted(map(normalized, self.packages))}


def record(distribution: importlib.metadata.Distribution) -> list[tuple[str, str, str]]:
    """Return (path, digest, size) of the Python files in a distribution's RECORD, sorted; empty without one."""
    lines = [line for line in (distribution.read_text("RECORD") or "").splitlines() if ".py," in line]
    rows = {(row[0], row[1], row[2]) for row in csv.reader(lines) if len(row) == 3 and row[0].endswith(".py")}
    return sorted(
        row
        for row in rows
        # scripts stand outside of the packages; an editable installation leaves only its import hook
        if not row[0].startswith(("..", "/", "__editable__")) and ".dist-info/" not in row[0]
    )


def record_digest(distribution: importlib.metadata.Distribution) -> str:
    """Hash of the Python files' paths, digests and sizes in RECORD: their identity without reading them."""
    return xxhash.xxh3_64_hexdigest(repr(record(distribution)).encode())


def standard_library_folder() -> Path:
    """Return where the running interpreter keeps the standard library's source."""
    return Path(sysconfig.get_path("stdlib"))


def standard_library_modules() -> list[Repository]:
    """Return each top-level module and package of the standard library that is written in Python."""
    root = standard_library_folder()
    modules = []
    for name in sorted(sys.stdlib_module_names - SKIPPED_MODULES):
        if (root / f"{name}.py").is_file():
            modules.append(files_repository(f"python/{name}", root, [f"{name}.py"]))
        elif paths := python_files(root / name):
            modules.append(files_repository(f"python/{name}", root, [f"{name}/{path}" for path in paths]))
    return modules


def standard_library_digest() -> str:
    """Hash of the paths and sizes of the standard library's files."""
    root = standard_library_folder()
    sizes = [(path, (root / path).stat().st_size) for module in standard_library_modules() for path in module.paths]
    return xxhash.xxh3_64_hexdigest(repr(sizes).encode())
