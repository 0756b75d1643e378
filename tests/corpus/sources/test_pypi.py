import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sigjepa.corpus.sources.pins import Pin, read_pins
from sigjepa.corpus.sources.pypi import COMMITTED_LIST, PinnedWheels, is_vendored
from sigjepa.corpus.stage import CorpusStage
from sigjepa.errors import SigjepaError
from sigjepa.store.store import Store

PERMISSIVE = {"MIT", "BSD-2-Clause", "BSD-3-Clause", "Apache-2.0", "ISC", "PSF-2.0"}


def code(label: str, functions: int) -> str:
    return "\n".join(
        f"def f{i}(x):\n    y = x.get('{label}_{i}')\n    return '{i}_{label}', y\n" for i in range(functions)
    )


@pytest.fixture
def source(tmp_path: Path, make_wheel: Callable[..., Pin]) -> PinnedWheels:
    """Three wheels in a cache, and their list."""
    pins = [
        make_wheel(tmp_path / "wheels", name, {f"{name}/a.py": code(name, 20), f"{name}/tests/test_a.py": code("t", 2)})
        for name in ("one", "three", "two")
    ]
    listed = tmp_path / "list.txt"
    listed.write_text("".join(f"{pin.requirement}  # MIT\n" for pin in pins))
    return PinnedWheels(str(tmp_path / "wheels"), str(listed))


def test_each_wheel_is_a_repository_with_its_library_files(
    tmp_path: Path, make_wheel: Callable[..., Pin], source: PinnedWheels
) -> None:
    files = {
        "two/b.py": "b = 1\n",
        "two/a.py": "a = 1\n",
        "two/data.json": "{}",
        "two/_vendor/six.py": "",
        "two-1.0.data/scripts/run.py": "",
        "two-1.0.data/purelib/two/c.py": "",
        "two-1.0.dist-info/hook.py": "",
    }
    pin = make_wheel(tmp_path / "other", "two", files)
    (tmp_path / "list.txt").write_text(f"{pin.requirement}\n")
    (found,) = replace(source, cache=str(tmp_path / "other")).repositories()
    assert found.name == "two"
    assert found.paths == ["two/a.py", "two/b.py"]
    assert found.left_out == {"vendored_file": 1}
    assert list(found.read([1, 0])) == [b"b = 1\n", b"a = 1\n"]


@pytest.mark.parametrize(
    ("path", "vendored"),
    [
        ("pip/_vendor/rich/text.py", True),
        ("botocore/vendored/requests/api.py", True),
        ("jax/_src/third_party/scipy/linalg.py", True),
        ("nibabel/externals/netcdf.py", True),
        ("setuptools/_distutils/cmd.py", True),
        ("_pytest/_py/path.py", True),
        ("blib2to3/pytree.py", True),
        ("a/site-packages/b.py", True),
        ("pip/_internal/vendor.py", False),
        ("openstack/config/vendors/__init__.py", False),
        ("poetry/packages/locker.py", False),
        ("setuptools/_distutils.py", False),
    ],
)
def test_copies_of_other_projects_are_told_by_their_path(path: str, vendored: bool) -> None:
    assert is_vendored(path) is vendored


def test_the_corpus_counts_what_was_left_out(
    source: PinnedWheels, tmp_path: Path, make_wheel: Callable[..., Pin]
) -> None:
    pin = make_wheel(tmp_path / "wheels", "two", {"two/a.py": code("two", 20), "two/_vendor/b.py": code("other", 20)})
    listed = Path(source.wheels or "")
    listed.write_text(re.sub(r"two==.*", pin.requirement, listed.read_text()))
    corpus = Store(tmp_path / "data").get(CorpusStage(source))
    assert corpus.manifest.facts["skipped"] == {"test_file": 2, "vendored_file": 1}
    assert {*corpus.column("repository")} == {"one", "two", "three"}
    assert len(corpus) == 60


def test_a_warm_corpus_needs_no_wheels(source: PinnedWheels, tmp_path: Path) -> None:
    recipe = CorpusStage(source)
    corpus = Store(tmp_path / "data").get(recipe)
    moved = replace(recipe, source=replace(source, cache=str(tmp_path / "nowhere")))
    assert Store(tmp_path / "data").get(moved).folder == corpus.folder
    assert not (tmp_path / "nowhere").exists()
    assert str(tmp_path) not in (corpus.folder / "manifest.json").read_text()


def test_another_pin_is_another_corpus(source: PinnedWheels) -> None:
    before = source.fingerprint()
    listed = Path(source.wheels or "")
    text = listed.read_text()
    listed.write_text("# a comment does not matter\n" + "\n".join(reversed(text.splitlines())))
    assert source.fingerprint() == before
    listed.write_text(re.sub(r"sha256:.{64}", f"sha256:{'0' * 64}", text, count=1))
    assert source.fingerprint() != before


def test_an_altered_wheel_stops_the_corpus_and_is_named(source: PinnedWheels, tmp_path: Path) -> None:
    file = tmp_path / "wheels/two-1.0-py3-none-any.whl"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(SigjepaError, match=r"two-1\.0-py3-none-any\.whl"):
        Store(tmp_path / "data").get(CorpusStage(source))
    assert not list((tmp_path / "data/corpus").glob("*/manifest.json"))


def test_the_committed_list_is_of_licensed_wheels_in_order() -> None:
    lines = [line for line in COMMITTED_LIST.read_text().splitlines() if not line.startswith("#")]
    pins = read_pins(COMMITTED_LIST)
    assert [line.partition("  # ")[0] for line in lines] == [pin.requirement for pin in pins]
    assert {line.partition("  # ")[2] for line in lines} <= PERMISSIVE
    assert 60 <= len(pins) <= 100
    assert PinnedWheels("nowhere").pins() == pins
