import json
import sys
import sysconfig
from pathlib import Path

import pytest

from sigjepa.corpus.sources.installed import InstalledPackages
from sigjepa.errors import SigjepaError


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on `sys.path` that holds one installed distribution, Odd_Name 1.2."""
    folder = tmp_path / "site"
    install(folder, "Odd_Name", "1.2", {"odd/__init__.py": "x = 1\n", "odd/core.py": "y = 2\n"})
    monkeypatch.syspath_prepend(str(folder))
    return folder


def install(site: Path, name: str, version: str, files: dict[str, str], extra: str = "") -> None:
    for path, content in files.items():
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_text(content)
    info = site / f"{name}-{version}.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = [f"{path},sha256=h{hash(content)},{len(content)}" for path, content in files.items()]
    (info / "RECORD").write_text("\n".join([*lines, extra]))


def test_the_standard_library_gives_a_repository_for_each_module() -> None:
    found = {module.name: module for module in InstalledPackages(packages=[]).repositories()}
    assert found["python/argparse"].paths == ["argparse.py"]
    assert "json/decoder.py" in found["python/json"].paths
    assert not {"python/test", "python/idlelib", "python/site-packages", "python/sys"} & set(found)
    (content,) = found["python/argparse"].read([0])
    assert content == Path(sysconfig.get_path("stdlib"), "argparse.py").read_bytes()


def test_a_named_package_alone(site: Path) -> None:
    (repository,) = InstalledPackages(packages=["odd.name"], standard_library=False).repositories()
    assert repository.name == "odd-name"
    assert repository.paths == ["odd/__init__.py", "odd/core.py"]
    assert list(repository.read([1])) == [b"y = 2\n"]


def test_all_packages_but_the_excluded(site: Path) -> None:
    names = {found.name for found in InstalledPackages(standard_library=False, exclude=["PyTest"]).repositories()}
    assert {"odd-name", "hypothesis"} <= names
    assert "pytest" not in names
    assert "sigjepa" not in {found.name for found in InstalledPackages(standard_library=False).repositories()}


def test_only_the_code_of_a_package_counts(site: Path) -> None:
    extra = "../../bin/run.py,sha256=a,1\n__editable___x_finder.py,,\nodd/data.json,,\nOdd_Name-1.2.dist-info/a.py,,\n"
    install(site, "Odd_Name", "1.2", {"odd/core.py": "y = 2\n", "odd/a, b.txt": ""}, extra)
    assert InstalledPackages(packages=["odd-name"], standard_library=False).repositories()[0].paths == ["odd/core.py"]


def test_the_fingerprint_changes_with_the_package_and_names_no_place(site: Path) -> None:
    source = InstalledPackages(packages=["odd-name"])
    before = source.fingerprint()
    assert str(site) not in json.dumps(before)
    assert sys.prefix not in json.dumps(before)
    install(site, "Odd_Name", "1.2", {"odd/core.py": "z = 3\n"})
    assert source.fingerprint() != before


def test_the_fingerprint_reads_no_source_file(site: Path) -> None:
    source = InstalledPackages(packages=["odd-name"], standard_library=False)
    before = source.fingerprint()
    (site / "odd" / "core.py").unlink()
    assert source.fingerprint() == before


def test_the_fingerprint_of_everything_names_each_package() -> None:
    packages = InstalledPackages(standard_library=False).fingerprint()["packages"]
    assert {"torch", "lightning", "pytest"} <= set(packages)


def test_a_package_that_is_not_installed_is_named_with_its_nearest(site: Path) -> None:
    with pytest.raises(SigjepaError, match=r"'odd_nam'.*'odd-name'"):
        InstalledPackages(packages=["odd_nam"]).fingerprint()


def test_a_package_without_a_record_of_code_is_named(site: Path) -> None:
    install(site, "editable", "1", {})
    with pytest.raises(SigjepaError, match=r"'editable' .*corpus=folder"):
        InstalledPackages(packages=["editable"]).repositories()


def test_a_string_of_packages_is_an_error() -> None:
    with pytest.raises(SigjepaError, match="packages="):
        InstalledPackages(packages="torch").fingerprint()
