"""What of an artifact is hashed again: nothing that stayed, and everything that something was done to."""

import os
from dataclasses import replace

import pytest
from stages import Squares

from sigjepa.errors import DamagedError, SigjepaError
from sigjepa.store import files, verified
from sigjepa.store import manifest as manifests
from sigjepa.store.store import Store, artifact_lock


@pytest.fixture
def hashed(monkeypatch):
    """Names of the files that were hashed."""
    names = []
    digest = manifests.file_digest
    monkeypatch.setattr(manifests, "file_digest", lambda path: names.append(path.name) or digest(path))
    return names


@pytest.fixture
def settled(tmp_path, monkeypatch, hashed):
    """A store with an artifact that was found whole an hour after it was written, and the file that is altered."""
    monkeypatch.setattr(verified.time, "time", lambda now=verified.time.time: now() + 3600)
    store, stage = Store(tmp_path), Squares()
    store.get(stage)
    hashed.clear()
    return store, stage, store.folder(stage) / "files" / "part-002.txt"


def other_content(path):
    """Write another content of the same size in its place."""
    path.write_text(path.read_text().replace("4", "5"))


def other_time(path):
    """Write another content, and set the time back."""
    before = path.stat()
    other_content(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_mtime_ns == before.st_mtime_ns


def other_file(path):
    """Put another file in its place, of the same size and time."""
    before = path.stat()
    other = path.with_name("other")
    other.write_text(path.read_text().replace("4", "5"))
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(path)


def test_a_file_that_stayed_is_not_hashed_again(settled, hashed):
    store, stage, path = settled
    assert store.get(stage) == [0, 1, 4, 9, 16]
    assert Store(store.data_dir).get(stage) == [0, 1, 4, 9, 16]
    assert hashed == []
    path.touch()
    store.get(stage)
    assert hashed == [path.name]
    hashed.clear()
    replace(store, verify="full").get(stage)
    assert len(hashed) == 3


@pytest.mark.parametrize("alter", [other_content, other_time, other_file])
def test_an_altered_file_is_found(settled, alter):
    store, stage, path = settled
    alter(path)
    with pytest.raises(DamagedError, match=path.name):
        store.get(stage)
    assert store.repair(stage)[1]
    assert store.get(stage) == [0, 1, 4, 9, 16]


def test_a_file_that_was_written_just_now_is_not_remembered(tmp_path, hashed):
    store, stage = Store(tmp_path), Squares()
    store.get(stage)
    hashed.clear()
    store.get(stage)
    assert len(hashed) == 3


def test_a_check_is_forgotten_after_days(settled, hashed, monkeypatch):
    store, stage, _ = settled
    later = verified.time.time() + 86_400 * verified.MAX_DAYS
    monkeypatch.setattr(verified.time, "time", lambda: later)
    store.get(stage)
    assert len(hashed) == 3


def test_what_changes_nothing_but_bytes_is_found_by_a_full_check_alone(settled, monkeypatch):
    """As a disk that decays: the file's state stays, its bytes do not."""
    store, stage, path = settled
    states = verified.states
    frozen = states(manifests.Manifest.read(store.folder(stage)))
    other_content(path)
    monkeypatch.setattr(verified, "states", lambda _: frozen)
    store.get(stage)
    with pytest.raises(DamagedError, match=path.name):
        replace(store, verify="full").get(stage)


def test_a_damaged_record_vouches_for_nothing(settled, hashed):
    store, stage, _ = settled
    record = store.folder(stage) / verified.VERIFIED_FILE
    record.write_text(record.read_text().replace("part-002", "part-004"))
    store.get(stage)
    assert len(hashed) == 3


def test_a_job_that_waited_for_the_lock_may_clear_away_what_is_being_remembered(settled, monkeypatch):
    store, stage, path = settled
    (path.parents[1] / verified.VERIFIED_FILE).unlink()

    def clear_away(_):
        with artifact_lock(store.folder(stage)):
            pass

    def write_beside_another_job(path, content, write=verified.write_record):
        with monkeypatch.context() as patch:
            patch.setattr(files, "synchronize", clear_away)
            write(path, content)

    monkeypatch.setattr(verified, "write_record", write_beside_another_job)
    assert store.get(stage) == [0, 1, 4, 9, 16]
    assert not (path.parents[1] / verified.VERIFIED_FILE).exists()


def test_another_word_is_refused(tmp_path):
    with pytest.raises(SigjepaError, match=r"verify=none.*full"):
        Store(tmp_path, verify="none")  # type: ignore[arg-type]
