"""A disk that is full, read-only or not ours: one message, and whatever was there is still whole."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sigjepa.errors import DamagedError, SigjepaError, StorageError
from sigjepa.store.files import DISK_ERRORS, atomic_path, file_digest, read_errors, read_json, write_json, written_files
from sigjepa.store.manifest import damaged, read_record, write_record
from sigjepa.store.store import artifact_lock
from sigjepa.training.checkpoint_io import AtomicCheckpointIO, read_checkpoint


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a small file system takes root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_leaves_the_old_file_and_names_the_way_out(small_disk):
    path = small_disk / "table.json"
    write_json(path, {"old": 1})
    with pytest.raises(StorageError, match=r"table\.json.*No space left"):
        write_json(path, {"new": "x" * 2_000_000})
    assert read_json(path) == {"old": 1}
    assert [one.name for one in small_disk.iterdir()] == ["table.json"]
    write_json(path, {"new": 1})  # once there is room
    assert read_json(path) == {"new": 1}


def test_a_checkpoint_that_does_not_fit_leaves_the_one_before(small_disk):
    import torch

    path = small_disk / "last.ckpt"
    io = AtomicCheckpointIO()
    io.save_checkpoint({"epoch": 1, "weights": torch.ones(10)}, path)
    with pytest.raises(StorageError, match=r"last\.ckpt.*(No|no) space"):
        io.save_checkpoint({"epoch": 2, "weights": torch.ones(1_000_000)}, path)
    assert read_checkpoint(path)["epoch"] == 1
    assert [one.name for one in small_disk.iterdir()] == ["last.ckpt"]


@pytest.mark.parametrize("number", sorted(DISK_ERRORS))
@pytest.mark.parametrize("call", ["fsync", "mkstemp", "replace"])
def test_whatever_call_is_refused(tmp_path, monkeypatch, number, call):
    path = tmp_path / "table.json"
    write_json(path, {"old": 1})

    if call == "fsync" and number in NO_FSYNC:
        pytest.skip("test_a_file_system_without_fsync_is_written_to")

    def refuse(*arguments, **named):
        raise OSError(number, os.strerror(number))

    place = {"fsync": "os.fsync", "mkstemp": "tempfile.mkstemp", "replace": "pathlib.Path.replace"}[call]
    with monkeypatch.context() as patch:
        patch.setattr(place, refuse)
        with pytest.raises(StorageError, match=r"table\.json"):
            write_json(path, {"new": 1})
    assert read_json(path) == {"old": 1}
    assert [one.name for one in tmp_path.iterdir()] == ["table.json"]


@pytest.mark.parametrize("number", sorted(DISK_ERRORS))
def test_a_file_that_the_disk_keeps_from_being_read_is_no_damaged_file(tmp_path, monkeypatch, number):
    import pyarrow.parquet
    from safetensors import SafetensorError

    from sigjepa.corpus.corpus import Corpus
    from sigjepa.evaluation.rank_files import read_arrays

    def refuse(*arguments, **named):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        for place in ("pathlib.Path.open", "pathlib.Path.read_bytes", "zipfile.ZipFile", "numpy.load"):
            patch.setattr(place, refuse)
        patch.setattr(pyarrow.parquet, "ParquetFile", refuse)
        for read in (file_digest, read_json, read_record, read_checkpoint, lambda path: read_arrays(path, "a")):
            with pytest.raises(StorageError, match=r"file\.bin "):
                read(tmp_path / "file.bin")
        with pytest.raises(StorageError, match=r"functions\.parquet/.* "):
            Corpus(SimpleNamespace(folder=tmp_path, facts={"functions": 1})).ids()
    with pytest.raises(StorageError, match=str(tmp_path)), read_errors(tmp_path):
        raise OSError(f"{os.strerror(number)} (os error {number})")  # as safetensors says it
    with pytest.raises(SafetensorError), read_errors(tmp_path):
        raise SafetensorError("what the file holds is wrong")


def test_a_folder_of_somebody_else(tmp_path):
    """Root may write anywhere, so another user tries."""
    if os.getuid() != 0:
        pytest.skip("becoming another user takes root")
    tmp_path.chmod(0o755)
    for folder in tmp_path.parents:
        if folder != Path("/tmp"):
            folder.chmod(folder.stat().st_mode | 0o055)
    script = (
        "import os, sys; from pathlib import Path; from sigjepa.store.store import artifact_lock\n"
        "from sigjepa.store.files import write_json\n"
        "from sigjepa.errors import StorageError\nos.setuid(65534)\n"
        "for attempt in (lambda: write_json(Path(sys.argv[1], 'a.json'), 1),\n"
        "                lambda: artifact_lock(Path(sys.argv[1], 'b')).__enter__()):\n"
        "    try: attempt()\n"
        "    except StorageError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    assert [line.count("Permission denied") for line in done.stdout.splitlines()] == [1, 1]


def test_another_failure_stays_what_it_is(tmp_path):
    with pytest.raises(ZeroDivisionError), atomic_path(tmp_path / "a"):
        _ = 1 / 0


def test_what_a_killed_process_left_is_removed_under_the_lock(tmp_path):
    folder = tmp_path / "artifact"
    folder.mkdir()
    (folder / ".manifest.json.abc.tmp").touch()
    with artifact_lock(folder):
        assert list(folder.iterdir()) == []


MANIFEST = {"inputs": {"a": [1, 2.5, None], "é": "ü"}, "digest": "xxh3_128:0", "functions": 12}


def test_a_record_comes_back_and_needs_its_checksum(tmp_path):
    write_record(tmp_path / "manifest.json", MANIFEST)
    assert read_record(tmp_path / "manifest.json") == MANIFEST
    write_json(tmp_path / "manifest.json", MANIFEST)
    with pytest.raises(DamagedError, match="checksum"):
        read_record(tmp_path / "manifest.json")


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_no_change_of_a_manifest_goes_unnoticed(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("manifest") / "manifest.json"
    write_record(path, MANIFEST)
    content = bytearray(path.read_bytes())
    kind = data.draw(st.sampled_from(["flip", "cut", "put in"]))
    place = data.draw(st.integers(0, len(content) - 1))
    if kind == "flip":
        content[place] ^= data.draw(st.integers(1, 255))
    elif kind == "cut":
        del content[place:]
    else:
        content[place:place] = data.draw(st.binary(min_size=1, max_size=4))
    path.write_bytes(bytes(content))
    try:
        found = read_record(path)
    except DamagedError as error:
        error.mend()
        assert (str(path) in str(error), path.exists()) == (True, False)  # noqa: PT017 - or it is read as it was
    else:
        assert found == MANIFEST  # white space


def test_a_damaged_file_is_set_aside_again_and_again(tmp_path):
    for number in (1, 2):
        path = tmp_path / "file"
        path.write_text(str(number))
        damaged(path, "is damaged").mend()
        assert (tmp_path / f"file.damaged-{number}").read_text() == str(number)


@settings(max_examples=150, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), bits=st.integers(1, 255))
def test_no_flipped_byte_of_a_checkpoint_changes_what_is_read(checkpoint, place, bits):
    path, sound, expected = checkpoint
    content = bytearray(sound)
    content[int(place * len(content))] ^= bits
    path.write_bytes(bytes(content))
    try:
        found = read_checkpoint(path)
    except SigjepaError as error:
        assert "last.ckpt" in str(error)  # noqa: PT017 - or it is read as it was
    else:
        assert json.dumps(found, default=lambda tensor: tensor.tolist()) == expected


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Path, bytes and content of a checkpoint."""
    import torch

    path = tmp_path_factory.mktemp("checkpoint") / "last.ckpt"
    state = {"epoch": 1, "weights": torch.linspace(0, 1, 300), "other": torch.arange(5)}
    AtomicCheckpointIO().save_checkpoint(state, path)
    return path, path.read_bytes(), json.dumps(read_checkpoint(path), default=lambda tensor: tensor.tolist())


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path):
    import pickle

    import torch

    class Evil:
        def __reduce__(self):
            return Path.touch, (tmp_path / "marker",)

    for write in (torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))):
        write({"state_dict": Evil()}, tmp_path / "last.ckpt")
        with pytest.raises(SigjepaError, match=r"last\.ckpt"):
            read_checkpoint(tmp_path / "last.ckpt")
        assert not (tmp_path / "marker").exists()


NO_FSYNC = (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS)


@pytest.mark.parametrize("number", NO_FSYNC)
def test_a_file_system_without_fsync_is_written_to(tmp_path, monkeypatch, number):
    def refuse(handle):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("os.fsync", refuse)
    write_json(tmp_path / "table.json", {"new": 1})
    assert read_json(tmp_path / "table.json") == {"new": 1}


def test_what_others_remove_while_files_are_looked_for_is_left_out(tmp_path, monkeypatch):
    for name in ("b", "a", "c"):
        (tmp_path / name / "deeper").mkdir(parents=True)
        (tmp_path / name / "deeper" / "job.json").touch()
    os.utime(tmp_path / "b" / "deeper" / "job.json", ns=(5, 5))
    stat = Path.stat

    def vanishing(path, **options):
        if path.parts[-3] == "c":
            path.unlink()
        return stat(path, **options)

    monkeypatch.setattr(Path, "stat", vanishing)
    found = written_files(tmp_path, "job.json", "other.json")
    assert [path.parts[-3] for path in found] == ["a", "b"]
    assert found[tmp_path / "b" / "deeper" / "job.json"] == 5
