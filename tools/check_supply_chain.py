"""Hold what is installed, constraints.txt and pyproject.toml to known_bad.toml, and every pin to its hashes.

Run by `make check`: python tools/check_supply_chain.py [--root FOLDER]. It prints each thing that is wrong, one a line,
and then exits with 1.
"""

import argparse
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import distributions
from itertools import chain
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

UNHASHED = "torch"
"""Its file depends on the index, CPU or CUDA."""

SHA256 = re.compile(r"--hash=sha256:[0-9a-f]{64}(?=\s|$)")


@dataclass(frozen=True)
class Pin:
    """One requirement of constraints.txt and how many sha256 it has."""

    requirement: Requirement
    hashes: int

    @property
    def version(self) -> str | None:
        """The one version that it allows, or None where it allows several."""
        exact = [one.version for one in self.requirement.specifier if one.operator == "==" and "*" not in one.version]
        return exact[0] if len(self.requirement.specifier) == 1 and exact else None


def read_pins(text: str) -> tuple[dict[str, Pin], list[str]]:
    """Pins by canonical name, and what is wrong with the lines."""
    pins: dict[str, Pin] = {}
    problems = []
    for line in text.replace("\\\n", " ").splitlines():
        content = line.split(" #")[0].strip()
        if not content or content.startswith("#"):
            continue
        try:
            requirement = Requirement(content.split("--hash")[0].strip())
        except InvalidRequirement:
            problems.append(f"constraints.txt: {content[:60]!r} is no requirement; run `make pin`")
            continue
        name = canonicalize_name(requirement.name)
        if name in pins:
            problems.append(f"constraints.txt: {name} is there twice; run `make pin`")
        pins[name] = Pin(requirement, len(SHA256.findall(content)))
    return pins, problems


def check_pins(pins: Mapping[str, Pin]) -> Iterator[str]:
    """What keeps `pip install --require-hashes` from taking the pins; torch must be pinned, and alone has no hash."""
    for name, pin in pins.items():
        if pin.version is None:
            yield f"constraints.txt: {pin.requirement} is no exact version; run `make pin`"
        if not pin.hashes and name != UNHASHED:
            yield f"constraints.txt: {name} has no --hash=sha256:…; run `make pin`"
    if UNHASHED not in pins:
        yield f"constraints.txt: {UNHASHED} is not pinned, and `make setup` takes its version from there"


def check_versions(
    where: str, versions: Mapping[str, str], known_bad: Mapping[str, Mapping[str, str]]
) -> Iterator[str]:
    """Each version, by canonical name, that is known to be bad."""
    for name, version in versions.items():
        entry = known_bad.get(name)
        if entry and not SpecifierSet(entry["allowed"]).contains(version, prereleases=True):
            yield f"{where}: {name} {version} is known to be bad ({entry['advisory']}: {entry['reason']}); " + way_out(
                name, entry
            )


def check_bounds(requirements: Mapping[str, SpecifierSet], known_bad: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """Each requirement of pyproject.toml, by canonical name, that permits a version known to be bad."""
    for name, specifier in requirements.items():
        entry = known_bad.get(name)
        if entry is None:
            continue
        allowed = SpecifierSet(entry["allowed"])
        bad = [version for version in probes(specifier, allowed) if version in specifier and version not in allowed]
        if bad:
            yield f"pyproject.toml: {name}{specifier} permits {min(bad)} ({entry['advisory']}); " + way_out(name, entry)


def probes(*specifiers: SpecifierSet) -> list[Version]:
    """Versions at, just below and just above every bound: where two ranges differ, they differ at one of these."""
    found = {Version("0"), Version("99999")}
    for one in chain.from_iterable(specifiers):
        bound = Version(one.version.removesuffix(".*"))
        release = list(bound.release)
        while release and release[-1] == 0:
            release.pop()
        below = [*release[:-1], release[-1] - 1, 99999] if release else [0]
        for numbers in ([*bound.release], below, [*bound.release, 0, 0, 1]):
            found.add(Version(".".join(map(str, numbers))))
    return sorted(found)


def way_out(name: str, entry: Mapping[str, str]) -> str:
    """What to ask for instead."""
    return f"ask for {name}{entry['allowed']}"


def check_coverage(
    installed: Mapping[str, str], pins: Mapping[str, Pin], project: str, from_torch: set[str]
) -> Iterator[str]:
    """Each installed distribution, by canonical name, that is not pinned or has another version than its pin.

    project: the name of this one, which nobody pins. from_torch: what only torch needs, which its index gives.
    """
    for name, version in installed.items():
        if name == project or name in from_torch:
            continue
        if name not in pins:
            yield (
                f"installed: {name} {version} is not in constraints.txt; add what needs it to pyproject.toml and run "
                "`make pin`"
            )
        elif Version(version).public != pins[name].version:
            yield f"installed: {name} is {version}, constraints.txt says {pins[name].version}; run `make setup`"


def installed_versions() -> dict[str, str]:
    """Version of every distribution of this interpreter, those that `pip freeze` leaves out among them."""
    return {canonicalize_name(one.metadata["Name"]): one.version for one in distributions()}


def needed_by_torch(pins: Mapping[str, Pin]) -> set[str]:
    """Unpinned distributions that torch's own metadata asks for, directly or through others: CUDA, where it has it."""
    needs = {canonicalize_name(one.metadata["Name"]): one.requires or [] for one in distributions()}
    found: set[str] = set()
    waiting = [UNHASHED]
    while waiting:
        for text in needs.get(waiting.pop(), []):
            name = canonicalize_name(Requirement(text).name)
            if name not in found and name not in pins:
                found.add(name)
                waiting.append(name)
    return found


def declared(pyproject: Mapping[str, Any]) -> dict[str, SpecifierSet]:
    """What pyproject.toml asks for, by canonical name, all its extras and build requirements among it."""
    project = pyproject["project"]
    listed = [*project["dependencies"], *chain.from_iterable(project.get("optional-dependencies", {}).values())]
    found: dict[str, SpecifierSet] = {}
    for text in [*listed, *pyproject["build-system"]["requires"]]:
        requirement = Requirement(text)
        name = canonicalize_name(requirement.name)
        # a name that is listed again, such as transformers[serving], asks for both
        found[name] = found.get(name, SpecifierSet()) & requirement.specifier
    return found


def problems_of(root: Path, installed: Mapping[str, str] | None) -> list[str]:
    """All that is wrong with the files of `root` and, where given, with what is installed."""
    known_bad = tomllib.loads((root / "known_bad.toml").read_text(encoding="utf-8"))
    pyproject = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    pins, problems = read_pins((root / "constraints.txt").read_text(encoding="utf-8"))
    pinned = {name: pin.version for name, pin in pins.items() if pin.version}
    problems += check_pins(pins)
    problems += check_versions("constraints.txt", pinned, known_bad)
    problems += check_bounds(declared(pyproject), known_bad)
    if installed is not None:
        problems += check_versions("installed", installed, known_bad)
        project = canonicalize_name(pyproject["project"]["name"])
        problems += check_coverage(installed, pins, project, needed_by_torch(pins))
    return problems


def main() -> None:
    """Check, say what is wrong, and exit with 1 if anything is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--root", type=Path, default=Path(__file__).resolve().parents[1], help="folder of pyproject.toml"
    )
    problems = problems_of(parser.parse_args().root, installed_versions())
    if problems:
        sys.exit("\n".join(problems))
    print("supply chain: no version known to be bad; every pin but torch's has its hashes")


if __name__ == "__main__":
    main()
