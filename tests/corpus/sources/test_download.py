"""The real pip, with folders of hand-made wheels for an index: no network."""

import hashlib
import importlib.util
import subprocess
import tarfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sigjepa.corpus.sources import download
from sigjepa.corpus.sources.download import pinned_wheels
from sigjepa.corpus.sources.pins import Pin
from sigjepa.errors import SigjepaError


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder where pip looks for wheels instead of the network."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def pins(index: Path, make_wheel: Callable[..., Pin]) -> list[Pin]:
    return [make_wheel(index, name, {f"{name}.py": f"# {name}\n"}) for name in ("one", "two-parts", "three")]


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Projects of each batch that is downloaded."""
    batches: list[list[str]] = []
    original = download.download

    def counted(pins: Sequence[Pin], folder: Path) -> None:
        batches.append([pin.project for pin in pins])
        original(pins, folder)

    monkeypatch.setattr(download, "download", counted)
    return batches


def test_missing_wheels_are_downloaded_and_found_again(
    pins: list[Pin], tmp_path: Path, downloads: list[list[str]]
) -> None:
    cache = tmp_path / "data/wheels"
    wheels = pinned_wheels(pins[:1], cache)
    assert wheels == {"one": cache / "one-1.0-py3-none-any.whl"}
    wheels = pinned_wheels(pins, cache)
    assert set(wheels) == {"one", "two-parts", "three"}
    assert sorted(file.name for file in cache.iterdir()) == sorted(file.name for file in wheels.values())
    assert pinned_wheels(pins, cache) == wheels
    assert downloads == [["one"], ["two-parts", "three"]]


def test_a_full_folder_needs_neither_pip_nor_an_index(
    pins: list[Pin], index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "run", None)
    assert len(pinned_wheels(pins, index)) == 3  # the index is a folder of wheels like any other


def test_other_releases_in_the_folder_do_not_matter(
    pins: list[Pin], tmp_path: Path, make_wheel: Callable[..., Pin]
) -> None:
    make_wheel(tmp_path / "cache", "one", {"one.py": "# older\n"}, version="0.9")
    assert pinned_wheels(pins, tmp_path / "cache")["one"].name == "one-1.0-py3-none-any.whl"


def test_batches_are_kept_when_a_later_one_fails(
    pins: list[Pin], index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, downloads: list[list[str]]
) -> None:
    monkeypatch.setattr(download, "BATCH_WHEELS", 2)
    last = index / "three-1.0-py3-none-any.whl"
    content = last.read_bytes()
    last.unlink()
    with pytest.raises(SigjepaError, match=r"by hand.* three 1\.0"):
        pinned_wheels(pins, tmp_path / "cache")
    last.write_bytes(content)
    assert len(pinned_wheels(pins, tmp_path / "cache")) == 3
    assert downloads == [["one", "two-parts"], ["three"], ["three"]]
    assert not list((tmp_path / "cache").glob(".*"))


def test_a_wheel_in_the_folder_whose_hash_differs_is_named(pins: list[Pin], tmp_path: Path) -> None:
    altered = pinned_wheels(pins, tmp_path / "cache")["one"]
    altered.write_bytes(altered.read_bytes() + b"\0")
    with pytest.raises(SigjepaError) as caught:
        pinned_wheels(pins, tmp_path / "cache")
    assert str(altered) in str(caught.value)
    assert pins[0].sha256 in str(caught.value)
    assert "Delete the file, and it is downloaded again" in str(caught.value)
    altered.unlink()
    assert len(pinned_wheels(pins, tmp_path / "cache")) == 3


def test_pip_refuses_a_wheel_of_another_hash(pins: list[Pin], tmp_path: Path) -> None:
    wrong = "0" * 64
    with pytest.raises(SigjepaError) as caught:
        pinned_wheels([replace(pins[0], sha256=wrong)], tmp_path / "cache")
    message = str(caught.value)
    assert "one-1.0-py3-none-any.whl" in message
    assert f"Expected sha256 {wrong} Got {pins[0].sha256}" in message
    assert "by hand: they are one 1.0" in message
    assert not list((tmp_path / "cache").iterdir())


def test_what_pip_let_through_is_checked_all_the_same(
    pins: list[Pin], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_wheel: Callable[..., Pin]
) -> None:
    def careless(command: Sequence[str], **_: Any) -> subprocess.CompletedProcess[str]:
        make_wheel(Path(command[-1]), "one", {"one.py": "# another\n"})
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", careless)
    with pytest.raises(SigjepaError, match=r"one-1\.0-py3-none-any\.whl .*sha256"):
        pinned_wheels(pins[:1], tmp_path / "cache")
    monkeypatch.setattr(subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 0, "", ""))
    with pytest.raises(SigjepaError, match=r"one 1\.0"):
        pinned_wheels(pins[:1], tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())


def test_compiled_wheels_of_the_same_release_are_passed_over(pins: list[Pin], index: Path, tmp_path: Path) -> None:
    from pip._vendor.packaging.tags import sys_tags

    plain = index / "one-1.0-py3-none-any.whl"
    (index / f"one-1.0-{next(iter(sys_tags()))}.whl").write_bytes(plain.read_bytes() + b"\0")
    assert pinned_wheels(pins[:1], tmp_path / "cache")["one"].name == plain.name


def test_source_distributions_are_not_taken(index: Path, tmp_path: Path) -> None:
    (tmp_path / "setup.py").write_text("raise SystemExit('ran')\n")
    with tarfile.open(index / "one-1.0.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "setup.py", "one-1.0/setup.py")
    digest = hashlib.sha256((index / "one-1.0.tar.gz").read_bytes()).hexdigest()
    with pytest.raises(SigjepaError, match="one==1.0"):
        pinned_wheels([Pin("one", "1.0", digest)], tmp_path / "cache")


def test_without_pip_the_way_out_is_named(pins: list[Pin], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SigjepaError, match=r"-m ensurepip.*one 1\.0, two-parts 1\.0, three 1\.0"):
        pinned_wheels(pins, tmp_path / "cache")


def test_an_index_that_cannot_be_reached_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, index: Path
) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # the discard port: nobody listens
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(SigjepaError, match=r"one==1\.0.*by hand"):
        pinned_wheels([Pin("one", "1.0", "0" * 64)], tmp_path / "cache")


def test_wishes_of_the_environment_for_other_wheels_are_ignored(
    pins: list[Pin], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    constraints = tmp_path / "constraints.txt"
    constraints.write_text("one==2.0\n")
    monkeypatch.setenv("PIP_CONSTRAINT", str(constraints))
    monkeypatch.setenv("PIP_NO_BINARY", ":all:")
    assert len(pinned_wheels(pins, tmp_path / "cache")) == 3


def test_jobs_that_share_a_cold_folder_download_once(
    pins: list[Pin], tmp_path: Path, downloads: list[list[str]]
) -> None:
    jobs = [threading.Thread(target=pinned_wheels, args=(pins, tmp_path / "cache")) for _ in range(3)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert downloads == [["one", "two-parts", "three"]]
