"""The folder of an index: what may lie in it, and that processes take turns there."""

import logging
import threading
import time

import pytest
from fake_student import FakeStudent, write_files

from sigjepa.corpus.sources.folder import Folder
from sigjepa.errors import SigjepaError
from sigjepa.serving.code_search import build_index, index_lock
from sigjepa.serving.functions import FunctionsStage
from sigjepa.store.executors.local import Local


@pytest.fixture
def build(tmp_path):
    """Build the index of a small source in a folder."""
    write_files(tmp_path / "sources", files=2)
    (tmp_path / "student").mkdir()
    (tmp_path / "student" / "checksums.json").write_text("{}")

    def index(output):
        return build_index(
            output, FunctionsStage(Folder([str(tmp_path / "sources")])), FakeStudent(), tmp_path / "student", Local()
        )

    return index


def test_a_first_build_that_was_interrupted_goes_on(build, tmp_path):
    for name in (".student.new", ".slurm", ".probe-1", "functions"):
        (tmp_path / "out" / name).mkdir(parents=True)
    assert len(build(tmp_path / "out")) == 8
    assert not (tmp_path / "out" / ".student.new").exists()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    with pytest.raises(SigjepaError, match=r"other is no index and not empty \(notes\.txt\)"):
        build(tmp_path / "other")
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["notes.txt"]


def test_a_process_waits_for_another_in_the_same_folder_and_says_so(build, tmp_path, caplog):
    thread = threading.Thread(target=build, args=[tmp_path / "out"])
    with caplog.at_level(logging.WARNING), index_lock(tmp_path / "out"):
        thread.start()
        while "waits" not in caplog.text and thread.is_alive():
            time.sleep(0.01)
        assert thread.is_alive()
        assert [path.name for path in (tmp_path / "out").iterdir()] == [".lock"]
    thread.join()
    assert (tmp_path / "out" / "index.json").is_file()
