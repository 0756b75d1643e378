"""The bounds of pyproject.toml against known_bad.txt, and `make supply-chain` against a bad version."""

import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
BAD = {
    canonicalize_name(requirement.name): requirement.specifier
    for line in (ROOT / "known_bad.txt").read_text().splitlines()
    if not line.startswith("#")
    for requirement in [Requirement(line.split("  #")[0])]
}


def permitted_bad(bounds: SpecifierSet, allowed: SpecifierSet) -> list[Version]:
    """Return what `bounds` permits and `allowed` does not, of the versions at and around their bounds."""
    edges = {Version(bound.version) for bound in chain(bounds, allowed)}
    around = {Version(f"{edge}.dev0") for edge in edges} | {Version(f"{edge}.1") for edge in edges}
    versions = {Version("0"), Version("99999"), *edges, *around}
    return sorted(version for version in versions if version in bounds and version not in allowed)


@pytest.mark.parametrize("bounds", ["", ">=1.3", ">=1.3.7,<1.4", ">=1.3.8", ">=1.3.8,<1.5", ">=1.3.8,<=1.4", "!=1.3.7"])
def test_a_bound_that_permits_a_bad_version_is_noticed(bounds):
    assert permitted_bad(SpecifierSet(bounds), SpecifierSet(">=1.3.8,<1.4"))


def test_no_bound_of_the_project_permits_a_version_known_to_be_bad():
    extras = chain.from_iterable(PROJECT["optional-dependencies"].values())
    bounds = {}
    for requirement in map(Requirement, chain(PROJECT["dependencies"], extras)):
        name = canonicalize_name(requirement.name)
        # a name that is listed again, such as transformers[serving], asks for both
        bounds[name] = bounds.get(name, SpecifierSet()) & requirement.specifier
    assert {name: bad for name in bounds.keys() & BAD.keys() if (bad := permitted_bad(bounds[name], BAD[name]))} == {}


def test_make_names_an_installed_version_that_is_known_to_be_bad(tmp_path):
    (tmp_path / "known_bad.txt").write_text("packaging<2  # CVE-1: it burns\n")
    make = ["make", "supply-chain", f"BIN={Path(sys.executable).parent}", f"KNOWN_BAD={tmp_path / 'known_bad.txt'}"]
    answer = subprocess.run(make, cwd=ROOT, capture_output=True, text=True, check=False)
    assert answer.returncode != 0
    assert "packaging<2" in answer.stdout + answer.stderr
