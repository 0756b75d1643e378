"""Files by an address: read from a file system in memory, which fsspec has, and copied only where they changed."""

import gzip
import json

import fsspec
import pytest

from sigjepa.corpus.sources import remote
from sigjepa.corpus.sources.jsonl import JsonLines
from sigjepa.errors import SigjepaError

ROW = {"repository": "r", "path": "a.py", "code": "def f(x):\n    y = x\n    return y"}


@pytest.fixture
def memory():
    """A file system of its own for this test."""
    system = fsspec.filesystem("memory")
    system.store.clear()
    return system


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz"])
def test_rows_elsewhere_are_those_of_a_file_here(memory, tmp_path, name):
    content = (json.dumps(ROW) + "\n").encode()
    content = gzip.compress(content, mtime=0) if name.endswith(".gz") else content
    memory.pipe(f"/bucket/{name}", content)
    (tmp_path / name).write_bytes(content)
    there = JsonLines(f"memory://bucket/{name}", cache=str(tmp_path / "cache"))
    here = JsonLines(str(tmp_path / name))
    assert there.fingerprint() == here.fingerprint()
    assert [list(each.read([0])) for each in there.repositories()] == [
        list(each.read([0])) for each in here.repositories()
    ]


def test_a_copy_is_made_again_only_where_the_file_is_another(memory, tmp_path):
    memory.pipe("/bucket/rows.jsonl", b"one")
    copy = remote.local_copy("memory://bucket/rows.jsonl", tmp_path, "key")
    copy.write_bytes(b"ours")
    assert remote.local_copy("memory://bucket/rows.jsonl", tmp_path, "key").read_bytes() == b"ours"
    memory.pipe("/bucket/rows.jsonl", b"two")
    assert remote.local_copy("memory://bucket/rows.jsonl", tmp_path, "key").read_bytes() == b"two"


def test_a_file_whose_version_is_not_told_is_copied_every_time(memory, tmp_path, monkeypatch):
    monkeypatch.setattr(remote, "VERSION_FIELDS", ())
    memory.pipe("/bucket/rows.jsonl", b"one")
    remote.local_copy("memory://bucket/rows.jsonl", tmp_path, "key")
    memory.pipe("/bucket/rows.jsonl", b"two")  # of the same size
    assert remote.local_copy("memory://bucket/rows.jsonl", tmp_path, "key").read_bytes() == b"two"


@pytest.mark.parametrize(
    "address", ["memory://bucket/none.jsonl", "none://bucket/rows.jsonl", "https://127.0.0.1:9/rows.jsonl"]
)
def test_what_cant_be_had_is_one_error(memory, tmp_path, address):
    with pytest.raises(SigjepaError, match=r"rows|none") as caught:
        JsonLines(address, cache=str(tmp_path)).fingerprint()
    assert "corpus.source.path" in str(caught.value)
    assert not list(tmp_path.iterdir())
