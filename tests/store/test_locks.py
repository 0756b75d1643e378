import errno
import fcntl
import os
import subprocess
import sys

import pytest
from filelock import Timeout

from sigjepa.errors import StorageError
from sigjepa.store.locks import NO_LOCKS, file_lock
from sigjepa.training.job import run_lock

DIES = """
import os, sys
from pathlib import Path
from filelock import SoftFileLock

lock = SoftFileLock(sys.argv[1])
lock.acquire()
os._exit(9)
"""


def refuse_flock(monkeypatch, number):
    def refuse(file, operation):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)


def test_a_lock_is_held_by_one(tmp_path):
    path = tmp_path / "new" / "x.lock"
    with file_lock(path), pytest.raises(Timeout):
        file_lock(path, timeout=0).acquire()
    file_lock(path, timeout=0).acquire()


@pytest.mark.parametrize("number", sorted(NO_LOCKS))
def test_without_flock_a_file_is_the_lock(tmp_path, monkeypatch, caplog, number):
    refuse_flock(monkeypatch, number)
    path = tmp_path / "x.lock"
    path.touch()  # a lock file that a process left where there was flock is no sign of one that holds it
    lock = file_lock(path, timeout=0)
    assert os.strerror(number) in caplog.text
    assert "x.lock.held" in caplog.text
    with lock, pytest.raises(Timeout):
        file_lock(path, timeout=0).acquire()
    with file_lock(path, timeout=0):
        pass


def test_without_flock_the_lock_of_a_dead_process_is_taken(tmp_path, monkeypatch):
    refuse_flock(monkeypatch, errno.ENOLCK)
    subprocess.run([sys.executable, "-c", DIES, str(tmp_path / "x.lock.held")], check=False)
    assert (tmp_path / "x.lock.held").exists()
    with file_lock(tmp_path / "x.lock", timeout=5):
        pass


def test_without_flock_a_run_directory_is_trained_in_once(tmp_path, monkeypatch):
    refuse_flock(monkeypatch, errno.ENOLCK)
    with run_lock(tmp_path / "run"):
        with pytest.raises(Exception, match=r"hydra\.run\.dir") as raised, run_lock(tmp_path / "run"):
            pass
        assert "run" in str(raised.value)


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EACCES])
def test_what_else_the_disk_says_of_a_lock_is_said(tmp_path, monkeypatch, number):
    refuse_flock(monkeypatch, number)
    with pytest.raises(StorageError, match=r"x\.lock") as raised:
        file_lock(tmp_path / "x.lock")
    assert os.strerror(number) in str(raised.value)
