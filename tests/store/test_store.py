import json
import multiprocessing
import shutil
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from stages import Squares, Total

from sigjepa.errors import DamagedError, SigjepaError, StorageError
from sigjepa.store.executors.local import Local, in_processes
from sigjepa.store.files import file_digest
from sigjepa.store.manifest import Manifest, Reference, digest_of_files, write_record
from sigjepa.store.stage import Part
from sigjepa.store.store import Store, artifact_lock


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of an artifact but its records, which hold the time."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in ("manifest.json", "verified.json")
    }


def built(log: Path) -> list[str]:
    return log.read_text().split() if log.exists() else []


def test_an_artifact_is_built_once(tmp_path, caplog):
    caplog.set_level("INFO", "sigjepa.store")
    stage = Squares(log=str(tmp_path / "log"))
    store = Store(tmp_path / "data")
    assert [part.name for part in store.missing(stage)] == ["part-000", "part-002", "part-004"]
    assert store.get(stage) == [0, 1, 4, 9, 16]
    assert store.missing(stage) == []
    assert store.get(stage) == Store(tmp_path / "data").get(stage)
    assert built(tmp_path / "log") == ["part-000", "part-002", "part-004"]
    assert caplog.messages.count(f"Built squares/{store.folder(stage).name}") == 1


def test_the_manifest_says_all(tmp_path):
    store, stage = Store(tmp_path), Squares()
    store.get(stage)
    manifest = Manifest.read(store.folder(stage))
    assert manifest.inputs == {"numbers": 5, "per_part": 2}
    assert manifest.facts == {"part-000": 2, "part-002": 2, "part-004": 1}
    assert {name: record.digest for name, record in manifest.files.items()} == {
        f"files/{part.name}.txt": file_digest(manifest.folder / f"files/{part.name}.txt") for part in stage.parts()
    }
    assert manifest.stage == "stages.Squares"
    assert {"code", "versions", "command", "time", "platform"} <= manifest.origin.keys()
    total = Total(store.get(stage), manifest.reference)
    assert store.get(total) == 30
    assert Manifest.read(store.folder(total)).upstream == {
        "squares": Reference("squares", manifest.folder.name, manifest.content, digest_of_files(manifest.digests()))
    }


@pytest.mark.parametrize("executor", [Local(), Local(2)])
def test_every_executor_writes_the_same_bytes(tmp_path, executor):
    plain, other = Store(tmp_path / "plain"), Store(tmp_path / "other", executor)
    stage = Squares(9)
    assert plain.get(stage) == other.get(stage)
    assert contents(plain.folder(stage)) == contents(other.folder(stage))
    assert Manifest.read(plain.folder(stage)).content == Manifest.read(other.folder(stage)).content


def test_a_process_that_dies_leaves_what_was_finished(tmp_path):
    store = Store(tmp_path / "data", SimpleNamespace(run=partial(in_processes, 1)))
    log = tmp_path / "log"
    with pytest.raises(SigjepaError, match="executor"):
        store.get(Squares(6, log=str(log), die_in="part-004"))
    assert built(log) == ["part-000", "part-002"]
    assert store.get(Squares(6, log=str(log))) == [0, 1, 4, 9, 16, 25]
    assert built(log) == ["part-000", "part-002", "part-004"]


def test_a_killed_command_goes_on_where_it_was(tmp_path):
    script = (
        "import sys; from pathlib import Path; from stages import Squares; from sigjepa.store.store import Store\n"
        "Store(Path(sys.argv[1])).get(Squares(6, log=sys.argv[2], die_in='part-002'))"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "data"), str(tmp_path / "log")]
    path = [str(Path(__file__).parent), *sys.path]
    killed = subprocess.run(command, env={"PYTHONPATH": ":".join(path)}, check=False)
    assert killed.returncode == -9
    store, stage = Store(tmp_path / "data"), Squares(6, log=str(tmp_path / "log"))
    assert [part.name for part in store.missing(stage)] == ["part-002", "part-004"]
    assert store.get(stage) == [0, 1, 4, 9, 16, 25]
    assert built(tmp_path / "log") == ["part-000", "part-002", "part-004"]
    undisturbed = Store(tmp_path / "undisturbed")
    undisturbed.get(stage)
    assert contents(store.folder(stage)) == contents(undisturbed.folder(stage))


def test_processes_that_share_a_cold_store_build_once(tmp_path):
    stage = Squares(4, log=str(tmp_path / "log"), seconds=0.2)
    context = multiprocessing.get_context("spawn")
    jobs = [context.Process(target=Store(tmp_path / "data").get, args=(stage,)) for _ in range(2)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert [job.exitcode for job in jobs] == [0, 0]
    assert built(tmp_path / "log") == ["part-000", "part-002"]


def test_the_lock_is_waited_for(tmp_path):
    store, stage, values = Store(tmp_path), Squares(), []
    with artifact_lock(store.folder(stage)):
        waiting = threading.Thread(target=lambda: values.append(store.get(stage)))
        waiting.start()
        waiting.join(0.3)
        assert values == []
    waiting.join()
    assert values == [[0, 1, 4, 9, 16]]


def says_the_same(content, other):
    try:
        return json.loads(content) == json.loads(other)
    except ValueError:
        return False


@pytest.fixture(scope="module")
def squares(tmp_path_factory):
    """A data directory with squares that nobody changes."""
    folder = tmp_path_factory.mktemp("squares")
    Store(folder).get(Squares())
    return folder


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_every_flipped_byte_is_found_and_only_its_part_is_built_again(squares, tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("flip")
    shutil.copytree(squares, folder / "data")
    store, stage = Store(folder / "data"), Squares(log=str(folder / "log"))
    before = contents(store.folder(stage))
    names = [*Manifest.read(store.folder(stage)).files, "manifest.json"]
    path = store.folder(stage) / data.draw(st.sampled_from(names))
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    if path.name == "manifest.json":
        assume(not says_the_same(path.read_bytes(), content))  # a blank became a tab
    path.write_bytes(content)
    with pytest.raises(DamagedError, match=path.name):
        store.get(stage)
    artifact, problems = store.repair(stage)
    assert artifact == [0, 1, 4, 9, 16]
    assert len(problems) == 1
    assert path.name in problems[0]
    again = built(folder / "log")
    assert again == ([] if path.name == "manifest.json" else [path.stem])
    assert {name: value for name, value in contents(store.folder(stage)).items() if "damaged" not in name} == before


def test_a_deleted_file_is_built_again_by_itself(tmp_path):
    store, stage = Store(tmp_path / "data"), Squares(log=str(tmp_path / "log"))
    store.get(stage)
    (store.folder(stage) / "files/part-002.txt").unlink()
    assert [part.name for part in store.missing(stage)] == ["part-002"]
    assert store.get(stage) == [0, 1, 4, 9, 16]
    assert built(tmp_path / "log") == ["part-000", "part-002", "part-004", "part-002"]


def test_an_altered_file_is_named(tmp_path):
    store, stage = Store(tmp_path), Squares()
    store.get(stage)
    store.get(stage)
    (store.folder(stage) / "files/part-000.txt").write_text("0\n2")
    with pytest.raises(DamagedError, match=r"part-000\.txt"):
        store.get(stage)


def test_a_manifest_from_elsewhere_is_refused(tmp_path):
    store, stage, other = Store(tmp_path), Squares(4), Squares(6)
    store.get(stage), store.get(other)
    path = store.folder(stage) / "manifest.json"
    path.write_bytes((store.folder(other) / "manifest.json").read_bytes())
    with pytest.raises(DamagedError, match=r"manifest\.json"):
        store.get(stage)
    assert store.repair(stage)[0] == [0, 1, 4, 9]


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"not json", b"\xff"])
def test_a_manifest_that_is_none_is_refused(tmp_path, content):
    store, stage = Store(tmp_path), Squares()
    store.get(stage)
    path = store.folder(stage) / "manifest.json"
    path.write_bytes(content)
    with pytest.raises(DamagedError, match=r"manifest\.json"):
        store.get(stage)
    write_record(path, {"inputs": {}})  # with a checksum, but no manifest
    with pytest.raises(DamagedError, match=r"manifest\.json.*upstream"):
        store.get(stage)


def test_a_record_of_a_part_vouches_only_for_what_it_was_written_for(tmp_path):
    store, stage = Store(tmp_path / "data"), Squares(log=str(tmp_path / "log"))
    store.get(stage)
    folder = store.folder(stage)
    (folder / "manifest.json").unlink()
    record = folder / "parts/part-002.json"
    record.write_text(record.read_text().replace('"bytes": 3', '"bytes": 4'))
    assert [part.name for part in store.missing(stage)] == ["part-002"]


class Twin(Squares):
    """Another class of the same kind and inputs."""


def test_two_stages_of_one_kind_and_key_are_refused(tmp_path):
    store = Store(tmp_path)
    store.get(Squares())
    with pytest.raises(SigjepaError, match=r"stages\.Squares.*Twin"):
        store.get(Twin())


class Neighbor(Squares):
    """Writes where another artifact lies."""

    def build(self, part, out):
        (out.parents[1] / "other.txt").write_text("x")
        return {}


class Renamer(Squares):
    """Moves a file out of its folder."""

    def build(self, part, out):
        (out / "a.txt").write_text("x")
        (out / "a.txt").rename(out.parents[1] / "a.txt")
        return {}


class Linker(Squares):
    """Leaves a link."""

    def build(self, part, out):
        (out / "link").symlink_to("/")
        return {}


class SameFile(Squares):
    """Writes one file in every part."""

    def build(self, part, out):
        (out / "a.txt").write_text("x")
        return {}


class SameName(Squares):
    """Has two parts of one name."""

    def parts(self):
        return [Part("a"), Part("a")]


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        (Neighbor(), r"Neighbor.*other\.txt"),
        (Renamer(), r"Renamer.*a\.txt"),
        (Linker(), r"Linker.*link link"),
        (SameFile(), r"SameFile.*a\.txt"),
        (SameName(), "SameName"),
    ],
)
def test_a_stage_that_breaks_its_contract_is_refused(tmp_path, stage, message):
    store = Store(tmp_path)
    with pytest.raises(SigjepaError, match=message):
        store.get(stage)
    assert not (store.folder(stage) / "manifest.json").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["squares"]
    assert not (tmp_path / "squares/other.txt").exists()
    assert not (tmp_path / "squares/a.txt").exists()


class Cached(Squares):
    """Writes an answer that outlives it."""

    def caches(self):
        return [Path(self.log)]

    def build(self, part, out):
        Path(self.log).mkdir(exist_ok=True)
        (Path(self.log) / "answer").write_text("x")
        return {}


def test_a_cache_may_be_written(tmp_path):
    Store(tmp_path).get(Cached(log=str(tmp_path / "answers")))
    assert (tmp_path / "answers/answer").read_text() == "x"


@pytest.mark.parametrize("label", ["../squares", "a/b", "/a"])
def test_a_label_that_leads_out_of_the_folder_of_its_kind_is_refused(tmp_path, monkeypatch, label):
    monkeypatch.setattr(Squares, "label", label)
    with pytest.raises(SigjepaError, match=rf"label of .*Squares='{label}'"):
        Store(tmp_path / "data").get(Squares())
    assert not [*tmp_path.iterdir()]


def test_a_full_disk_keeps_what_is_finished(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], check=False)
    if mounted.returncode:
        pytest.skip("mounting a small file system takes root")
    try:
        store, stage = Store(disk), Squares(6, log=str(tmp_path / "log"))

        class Filling(Squares):
            """Finds the disk full in its second part."""

            def build(self, part, out):
                if part.start:
                    (out / "large").write_bytes(b"x" * 2_000_000)
                return super().build(part, out)

            __qualname__ = "Squares"
            __module__ = "stages"

        with pytest.raises(StorageError, match="SIGJEPA_DATA_DIR"):
            store.get(Filling(6, log=str(tmp_path / "log")))
        assert store.get(stage) == [0, 1, 4, 9, 16, 25]
        assert built(tmp_path / "log") == ["part-000", "part-002", "part-004"]
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_records_are_json_that_people_can_read(tmp_path):
    store, stage = Store(tmp_path), Squares()
    store.get(stage)
    assert json.loads((store.folder(stage) / "manifest.json").read_text())["kind"] == "squares"


class Reader(Squares):
    """Reads numbers that may change while it reads."""

    numbers_now: ClassVar[list[int]] = [3]

    def inputs(self):
        return {"numbers": self.numbers_now[0]}

    def build(self, part, out):
        self.numbers_now[0] += 1
        return super().build(part, out)


def test_what_changes_while_it_is_read_is_kept_under_no_key(tmp_path):
    store = Store(tmp_path)
    with pytest.raises(SigjepaError, match="plain-"):
        store.get(Reader(2))
    assert not list(tmp_path.glob("squares/*/manifest.json"))
    assert not list(tmp_path.glob("squares/*/parts/*"))


def test_what_was_built_from_another_content_is_built_again(tmp_path):
    store = Store(tmp_path)
    old, new = (Reference("squares", "same", content, "d") for content in ("one", "two"))

    class Sum(Total):
        """Keyed by the folder of its squares, which two contents share."""

        def inputs(self):
            return {"squares": self.reference.folder}

    assert store.get(Sum([1, 2], old)) == 3
    assert store.get(Sum([4, 5], new)) == 9
    assert store.missing(Sum([1, 2], old)) != []


def test_a_command_may_lie_below_the_data_directory(tmp_path):
    """Its own files, a temporary folder and what another thread writes are no artifacts."""
    (tmp_path / "outputs/run").mkdir(parents=True)

    class Busy(Squares):
        """Writes into the folder of its command."""

        def build(self, part, out):
            (tmp_path / "outputs/run/status.json").write_text("{}")
            thread = threading.Thread(target=(tmp_path / "squares/of_a_thread.txt").write_text, args=("x",))
            thread.start()
            thread.join()
            return super().build(part, out)

    assert Store(tmp_path).get(Busy(2)) == [0, 1]
    assert (tmp_path / "squares/of_a_thread.txt").exists()


def test_workers_end_with_the_process_that_started_them(tmp_path):
    script = (
        "import sys; from pathlib import Path; from stages import Squares; from sigjepa.store.store import Store\n"
        "from sigjepa.store.executors.local import Local\n"
        "if __name__ == '__main__':\n"
        "    Store(Path(sys.argv[1]), Local(2)).get(Squares(3, seconds=60, log=sys.argv[2]))\n"
    )
    (tmp_path / "script.py").write_text(script)
    path = [str(Path(__file__).parent), *sys.path]
    parent = subprocess.Popen(
        [sys.executable, str(tmp_path / "script.py"), str(tmp_path / "data"), str(tmp_path / "log")],
        env={"PYTHONPATH": ":".join(path)},
    )
    assert wait_for(lambda: list(tmp_path.glob("data/squares/*/.*.building/files/*")))
    workers = children(parent.pid)
    assert workers
    parent.kill()
    parent.wait()
    assert wait_for(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers))


def children(parent):
    """The processes that a process has started."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended meanwhile
            continue
        if int(fields[1]) == parent:
            found.append(int(path.parent.name))
    return found


def wait_for(condition, seconds=60):
    """What `condition` gives as soon as it is something, or at the end."""
    end = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < end:
        time.sleep(0.1)
    return found
