"""Hand-made wheels for the tests of `corpus=pypi`."""

import hashlib
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

import pytest

from sigjepa.corpus.sources.pins import Pin

MakeWheel: TypeAlias = Callable[..., Pin]


@pytest.fixture
def make_wheel() -> MakeWheel:
    """Write a wheel that pip takes for one into a folder; gives its pin."""

    def make(folder: Path, project: str, files: Mapping[str, str], version: str = "1.0") -> Pin:
        folder.mkdir(parents=True, exist_ok=True)
        stem = f"{project.replace('-', '_')}-{version}"
        members = {
            **files,
            f"{stem}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {project}\nVersion: {version}\n",
            f"{stem}.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        members[f"{stem}.dist-info/RECORD"] = "".join(f"{name},,\n" for name in members)
        file = folder / f"{stem}-py3-none-any.whl"
        with zipfile.ZipFile(file, "w") as made:
            for name, text in members.items():
                made.writestr(zipfile.ZipInfo(name), text)  # of a fixed date: equal files have equal sha256
        return Pin(project, version, hashlib.sha256(file.read_bytes()).hexdigest())

    return make
