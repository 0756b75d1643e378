"""Source files of every kind of source: verified, changed and gone are told apart."""

import json
import os
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from sigjepa.corpus.source_check import source_files
from sigjepa.corpus.source_files import SOURCES_FILE, content_digest, read_sources
from sigjepa.corpus.sources.folder import Folder
from sigjepa.corpus.sources.git import GitRepositories
from sigjepa.corpus.sources.jsonl import JsonLines
from sigjepa.corpus.sources.pypi import wheel_repository
from sigjepa.corpus.stage import CorpusStage
from sigjepa.store.lineage import Walk
from sigjepa.store.store import Store


def module(label, functions=4):
    return "\n".join(
        f"def f{i}(x):\n    y = x.get('{label}', {i})\n    return '{label}_{i}', y\n" for i in range(functions)
    )


@pytest.fixture
def code(tmp_path):
    root = tmp_path / "code"
    for repository in range(4):
        for file in range(3):
            path = root / f"r{repository}" / f"m{file}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(module(f"w{repository}x{file}"))
    return root


def lineage(folder):
    return Walk(folder.parents[1], {SOURCES_FILE: source_files}).artifact(folder)


def source_states(corpus):
    (link,) = [found for found in lineage(corpus.folder).walk() if found.kind == "source files"]
    return {check.state: check.count for check in link.checks}


def test_every_file_that_was_read_is_recorded_with_the_digest_of_its_bytes(code, tmp_path):
    (code / "r0/broken.py").write_text("def f(:\n")
    corpus = Store(tmp_path / "data").get(CorpusStage(Folder([str(code)])))
    files = read_sources(corpus.folder / "sources.parquet")
    assert len(files) == 13  # what gave no function was read as well
    for file in files:
        path = code / file.repository / file.path
        assert file.digest == content_digest(path.read_bytes())
        assert file.bytes == path.stat().st_size
    assert "sources.parquet" in corpus.manifest.files


def test_files_of_folders(code, tmp_path):
    corpus = Store(tmp_path / "data").get(CorpusStage(Folder([str(code)])))
    assert source_states(corpus) == {"verified": 12}
    (code / "r0/m0.py").write_text("x = 1\n")
    (code / "r1/m1.py").unlink()
    assert source_states(corpus) == {"verified": 10, "changed": 1, "gone": 1}
    assert not lineage(corpus.folder).holds()
    code.rename(tmp_path / "moved")
    assert source_states(corpus) == {"gone": 12}
    assert lineage(corpus.folder).holds()


def odd(path):
    """The path with a byte at its end that is no UTF-8."""
    return Path(os.fsdecode(os.fsencode(path) + b"\xff"))


def test_names_that_are_not_utf8(code, tmp_path):
    code = code.rename(odd(code))
    (code / "r0").rename(odd(code / "r0"))
    (code / "r1/m0.py").rename(odd(code / "r1/m").with_suffix(".py"))
    (code / "r1/m1.py").rename(code / "r1/m\\udcfe.py")  # an ordinary name that looks like one
    corpus = Store(tmp_path / "data").get(CorpusStage(Folder([str(code)])))
    assert source_states(corpus) == {"verified": 12}
    (odd(code / "r0") / "m0.py").write_text("x = 1\n")
    odd(code / "r1/m").with_suffix(".py").unlink()
    assert source_states(corpus) == {"verified": 10, "changed": 1, "gone": 1}


def test_files_of_a_commit_whatever_is_checked_out(code, tmp_path):
    (code / "r0").rename(odd(code / "r0"))
    folders = sorted(code.iterdir())
    for folder in folders:
        git = ["git", "-C", str(folder), "-c", "user.name=t", "-c", "user.email=t@example.com"]
        subprocess.run([*git, "init", "-q"], check=True)
        subprocess.run([*git, "add", "."], check=True)
        subprocess.run([*git, "commit", "-q", "-m", "first"], check=True)
    corpus = Store(tmp_path / "data").get(CorpusStage(GitRepositories([str(folder) for folder in folders])))
    assert set(corpus.column("repository")) == {"r0\\udcff", "r1", "r2", "r3"}
    (folders[0] / "m0.py").write_text("x = 1\n")
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "second"], check=True)
    assert source_states(corpus) == {"verified": 12}
    (folders[1] / ".git").rename(folders[1] / "no-git")
    assert source_states(corpus) == {"verified": 9, "gone": 3}


@pytest.mark.parametrize("field", ["code", "content"])
def test_rows_of_a_file(code, tmp_path, field):
    file = tmp_path / "rows.jsonl"
    rows = [
        {"repository": path.parent.name, "path": path.name, field: path.read_text()}
        for path in sorted(code.rglob("*.py"))
    ]
    rows.append(rows[0] | {field: module("again")})  # two rows of one path
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    corpus = Store(tmp_path / "data").get(CorpusStage(JsonLines(str(file), {"code": field})))
    assert source_states(corpus) == {"verified": 13}
    rows[5][field] = "x = 1"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert source_states(corpus) == {"verified": 12, "changed": 1}
    file.write_text("no json\n")
    assert source_states(corpus) == {"changed": 13}
    file.unlink()
    assert source_states(corpus) == {"gone": 13}


class Wheels:
    name = "pypi"

    def __init__(self, wheels):
        self.wheels = wheels

    def fingerprint(self):
        return {"source": "pypi"}

    def repositories(self):
        return [wheel_repository(wheel.stem, wheel) for wheel in self.wheels]


def test_members_of_wheels(code, tmp_path):
    wheels = []
    for folder in sorted(code.iterdir()):
        wheels.append(tmp_path / f"{folder.name}.whl")
        with zipfile.ZipFile(wheels[-1], "w") as archive:
            for path in sorted(folder.iterdir()):
                archive.write(path, f"{folder.name}/{path.name}")
    corpus = Store(tmp_path / "data").get(CorpusStage(Wheels(wheels)))
    assert source_states(corpus) == {"verified": 12}
    wheels[0].unlink()
    wheels[1].write_bytes(b"no archive")
    assert source_states(corpus) == {"verified": 6, "changed": 3, "gone": 3}


def test_a_tampered_list_of_source_files_is_noticed(code, tmp_path):
    recipe = replace(CorpusStage(Folder([str(code)])), max_functions=20)
    corpus = Store(tmp_path / "data").get(recipe)
    (corpus.folder / "sources.parquet").write_bytes(b"PAR1")
    counts = lineage(corpus.folder).counts()
    assert counts["changed"] == 2  # its digest, and it is no table


def test_the_command_prints_the_chain_and_its_status(run_python, code, tmp_path):
    corpus = Store(tmp_path / "data").get(CorpusStage(Folder([str(code)])))

    def command(*arguments):
        return run_python(["-m", "sigjepa.provenance", *arguments], tmp_path, os.environ)

    whole = command(str(corpus.folder))
    assert whole.returncode == 0
    assert "12 source files" in whole.stdout
    assert "The chain holds: " in whole.stdout
    (code / "r0/m0.py").write_text("x = 1\n")
    broken = command(str(corpus.folder / "functions.parquet"), "--json")
    assert broken.returncode == 1
    report = json.loads(broken.stdout)
    assert (report["holds"], report["counts"]["changed"]) == (False, 1)
    foreign = command(str(tmp_path))
    assert foreign.returncode == 1
    assert foreign.stderr.startswith("sigjepa: ")
    assert "Traceback" not in foreign.stderr
