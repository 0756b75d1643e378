"""Source code under study is parsed, never imported or run, and writes nothing: traps that would leave a marker."""

import json
import os
import runpy
import shutil
import subprocess
import sys

import pytest

from sigjepa.corpus.sources.folder import Folder
from sigjepa.corpus.sources.git import GitRepositories
from sigjepa.corpus.sources.installed import InstalledPackages
from sigjepa.corpus.sources.jsonl import JsonLines
from sigjepa.corpus.sources.pypi import PinnedWheels
from sigjepa.corpus.stage import CorpusStage
from sigjepa.errors import SigjepaError
from sigjepa.negatives.judging.judges.judge import JudgeRequest
from sigjepa.negatives.judging.judges.structural import StructuralJudge
from sigjepa.store.executors.local import Local
from sigjepa.store.store import Store

FUNCTION = "def trap(x):\n    y = x + 1\n    z = 'COPY'\n    return y, z\n"
COPIES = ("evil", "evil_b", "evil_c")
"""A corpus needs a repository for each split."""
TRAPS = {
    "at_import": "TOUCH('at_import')\n",
    "decorator": "@TOUCH\ndef decorated(x):\n    y = x\n    return y\n",
    "default": "def default(x=TOUCH('default')):\n    y = x\n    return y\n",
    "annotation": "def annotated(x: TOUCH('annotation')) -> TOUCH('annotation'):\n    y = x\n    return y\n",
    "subclass": (
        "class Base:\n    def __init_subclass__(cls):\n        name = 'subclass'\n        TOUCH(name)\n"
        "class Derived(Base):\n    pass\n"
    ),
    "metaclass": (
        "class Meta(type):\n    def __prepare__(name, bases):\n        TOUCH(name)\n        return {}\n"
        "class Made(metaclass=Meta):\n    pass\n"
    ),
    "f_string": "NAME = f\"{TOUCH('f_string')}\"\n",
    "doctest": "def documented(x):\n    '''\n    >>> TOUCH('doctest')\n    '''\n    y = x\n    return y\n",
}
RUN_BY_OTHERS = ("setup", "conftest", "sitecustomize", "usercustomize", "__init__", "__main__", "noxfile", "trapcodec")
"""Files that pip, pytest, the interpreter and others run by their names, and a codec named in a file's first line."""


def head(folder):
    touch = f"    pathlib.Path({str(folder)!r}, str(name)[:20]).touch()\n    return name\n"
    return f"import pathlib\ndef TOUCH(name):\n{touch}"


@pytest.fixture
def markers(tmp_path):
    folder = tmp_path / "markers"
    folder.mkdir()
    return folder


@pytest.fixture
def files(markers):
    """Text by path; each file gives at least one function of its own, and each but one would leave a marker."""
    found = {f"trap_{name}.py": head(markers) + text for name, text in TRAPS.items()}
    found |= {f"{name}.py": f"{head(markers)}TOUCH({name!r})\n" for name in RUN_BY_OTHERS}
    found["encodings/trapcodec.py"] = found["trapcodec.py"]
    found["coded.py"] = "# coding: trapcodec\n"
    found["rot.py"] = "# coding: rot13\n"
    found = {name: text + FUNCTION for name, text in found.items()}
    found["trap.pth"] = f"import pathlib; pathlib.Path({str(markers / 'pth')!r}).touch()\n"
    found["pyproject.toml"] = "[build-system]\nrequires = []\nbuild-backend = 'setup'\nbackend-path = ['.']\n"
    return found


def write(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def own(files, copy):
    """The files with functions that no other copy has: equal ones count once."""
    return {name: text.replace("COPY", f"{copy} {name}") for name, text in files.items()}


@pytest.fixture
def make_source(files, tmp_path, make_wheel, monkeypatch):
    """The hostile files as a source of any kind."""

    def make(kind):
        place = tmp_path / "place"
        for copy in COPIES:
            write(place / copy, own(files, copy))
        if kind == "folder":
            return Folder([str(place)])
        if kind == "jsonl":
            rows = [
                {"repository": f"../../{copy}", "path": f"/../{name}", "code": text}
                for copy in COPIES
                for name, text in own(files, copy).items()
                if name.endswith(".py")
            ]
            rows += [{"repository": "halves", "path": "a.py", "signature": "def f(x):", "body": "x()\nreturn 1"}]
            (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
            return JsonLines(str(tmp_path / "rows.jsonl"))
        if kind == "pypi":
            pins = [
                make_wheel(
                    tmp_path / "cache", copy, {f"{copy}/{name}": text for name, text in own(files, copy).items()}
                )
                for copy in COPIES
            ]
            (tmp_path / "wheels.txt").write_text("".join(f"{pin.requirement}\n" for pin in pins))
            return PinnedWheels(str(tmp_path / "cache"), str(tmp_path / "wheels.txt"))
        if kind == "installed":
            for copy in COPIES:
                record = "".join(f"{copy}/{name},sha256=a,1\n" for name in files if name.endswith(".py"))
                metadata = f"Metadata-Version: 2.1\nName: {copy}\nVersion: 1.0\n"
                write(place / f"{copy}-1.0.dist-info", {"METADATA": metadata, "RECORD": record})
            monkeypatch.syspath_prepend(place)
            return InstalledPackages(COPIES, standard_library=False)
        for copy in COPIES:
            identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
            for command in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-q", "-m", "m"]):
                subprocess.run(["git", *command], cwd=place / copy, check=True)
        return GitRepositories([str(place / copy) for copy in COPIES])

    return make


def tree(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


@pytest.mark.parametrize("name", [*(f"trap_{one}" for one in TRAPS if one != "doctest"), *RUN_BY_OTHERS])
def test_the_traps_work(files, tmp_path, markers, name):
    runpy.run_path(str(write(tmp_path / "place", files) / f"{name}.py"))
    assert tree(markers)


@pytest.mark.parametrize(
    ("kind", "workers"),
    [
        *(("folder", 1), ("folder", 2), ("jsonl", 1), ("pypi", 1), ("installed", 1)),
        pytest.param("git", 1, marks=pytest.mark.skipif(shutil.which("git") is None, reason="needs git")),
    ],
)
def test_nothing_of_a_corpus_is_imported_run_or_written_elsewhere(
    make_source, markers, tmp_path, monkeypatch, kind, workers
):
    source = make_source(kind)
    monkeypatch.chdir(tmp_path / "place" / "evil")  # as somebody does who looks at the code there
    monkeypatch.syspath_prepend(tmp_path / "place" / "evil")
    modules, before = set(sys.modules), tree(tmp_path)
    recipe = CorpusStage(source, include_tests=True, near_duplicate_threshold=1.0)
    corpus = Store(tmp_path / "data", Local(workers)).get(recipe)
    paths = corpus.column("path")
    for name in ("trap_at_import.py", "setup.py", "sitecustomize.py"):
        assert any(path.endswith(name) for path in paths)  # they were read
    if kind != "jsonl":  # an unknown codec is looked for nowhere else; rows are decoded already
        assert corpus.manifest.facts["skipped"]["undecodable_file"] >= 1
    assert tree(markers) == set()
    names = {name.rpartition("/")[2].partition(".")[0] for name in paths} - {"__init__", "__main__", "a"}
    assert not {name.rpartition(".")[2] for name in set(sys.modules) - modules} & {*names, "trapcodec", "coded"}
    added = {path for path in tree(tmp_path) - before if not path.startswith("data")}
    assert added == set()


def test_judging_code_runs_none_of_it(files, markers):
    judge = StructuralJudge()
    traps = [text for name, text in files.items() if name.startswith("trap_")]
    requests = [
        JudgeRequest(2 * i, 2 * i + 1, f"a{i}", f"b{i}", 0.9, "@TOUCH\ndef f(x=TOUCH(1)):", text, "def g(x):", text)
        for i, text in enumerate(traps)
    ]
    assert len(list(judge.judge(requests))) == len(traps)
    assert tree(markers) == set()


def test_a_pipe_named_as_a_python_file_is_not_waited_for(files, tmp_path):
    folder = write(tmp_path / "place" / "evil", files)
    os.mkfifo(folder / "pipe.py")
    (repository,) = Folder([str(tmp_path / "place")]).repositories()
    assert "setup.py" in repository.paths
    assert "pipe.py" not in repository.paths


def test_a_wheel_that_would_write_elsewhere_stops_the_corpus_and_writes_nothing(tmp_path, make_wheel):
    pin = make_wheel(tmp_path / "cache", "evil", {"../../escaped.py": "x = 1\n", "evil/a.py": "x = 1\n"})
    (tmp_path / "wheels.txt").write_text(f"{pin.requirement}\n")
    before = tree(tmp_path)
    source = PinnedWheels(str(tmp_path / "cache"), str(tmp_path / "wheels.txt"))
    with pytest.raises(SigjepaError, match=r"evil-1\.0.*'\.\./\.\./escaped\.py'"):
        Store(tmp_path / "data").get(CorpusStage(source))
    assert {path for path in tree(tmp_path) - before if "escaped" in path or not path.startswith("data")} == set()
