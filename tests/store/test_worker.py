import threading
from dataclasses import replace

import pytest
from stages import Fragile, NeedsAKey, Squares, Total

from sigjepa.errors import DamagedError, SigjepaError
from sigjepa.store.build import PartRecord, build_part
from sigjepa.store.executors.tries import MAX_FAILED, Tries
from sigjepa.store.executors.worker import Failure, Worker, probed_driver
from sigjepa.store.manifest import Manifest
from sigjepa.store.stage import Part
from sigjepa.store.store import Store


@pytest.fixture
def stage():
    return Squares(4)


@pytest.fixture
def folder(tmp_path, stage):
    return Store(tmp_path).folder(stage)


@pytest.fixture
def driver(stage, folder):
    with probed_driver(stage, folder, ("xxhash",), patience=0.1) as driver:
        yield driver


def test_a_worker_like_the_driver_builds(stage, folder, driver):
    worker = Worker(stage, folder, driver)
    driver.await_report(worker.check(), "there")
    record = worker.build(stage.parts()[0])
    assert isinstance(record, PartRecord)
    driver.await_files(folder, record)


def test_the_probe_goes_with_the_work(stage, folder, tmp_path):
    with probed_driver(stage, folder, (), 0.1) as driver:
        assert driver.probe.is_dir()
    assert not list(tmp_path.glob(".probe*"))


@pytest.mark.parametrize("name", ["python", "xxhash", "sigjepa", "the files of sigjepa"])
def test_another_version_is_named(stage, folder, driver, name):
    other = replace(driver, versions={**driver.versions, name: "0.0"})
    with pytest.raises(SigjepaError, match=f"{name} .* 0.0 on {driver.host}"):
        Worker(stage, folder, other).check()


def test_a_folder_that_is_not_shared_is_refused_by_either_side(stage, folder, driver, tmp_path):
    elsewhere = replace(driver, probe=tmp_path / "elsewhere" / "probe")
    with pytest.raises(SigjepaError, match="elsewhere .*shared"):
        Worker(stage, folder, elsewhere).check()
    with pytest.raises(SigjepaError, match="shared"):
        driver.await_report("never-written", "there")


def test_a_folder_of_the_command_that_a_worker_lacks_is_named(stage, folder, driver, tmp_path):
    with pytest.raises(SigjepaError, match="gone"):
        Worker(stage, folder, replace(driver, working_folder=tmp_path / "gone")).check()


def test_a_late_file_is_waited_for_and_then_named(stage, folder, driver):
    record = build_part(stage, stage.parts()[0], folder)
    file = folder / "files" / "part-000.txt"
    file.rename(folder / "hidden")
    with pytest.raises(SigjepaError, match=r"part-000\.txt .*executor\.patience"):
        driver.await_files(folder, record)
    threading.Timer(0.3, (folder / "hidden").rename, [file]).start()
    replace(driver, patience=30).await_files(folder, record)


def test_a_file_that_is_only_begun_is_late(stage, folder, driver):
    record = build_part(stage, stage.parts()[0], folder)
    (folder / "files" / "part-000.txt").write_text("")
    with pytest.raises(SigjepaError, match=r"part-000\.txt"):
        driver.await_files(folder, record)


def test_what_a_stage_is_built_from_must_be_seen(stage, tmp_path):
    store = Store(tmp_path)
    squares = store.get(stage)
    total = Total(squares, Manifest.read(store.folder(stage)).reference)
    with probed_driver(total, store.folder(total), (), 0.1) as driver:
        Worker(total, store.folder(total), driver).check()
        (store.folder(stage) / "files" / "part-002.txt").unlink()
        with pytest.raises(SigjepaError, match=r"part-002\.txt"):
            Worker(total, store.folder(total), driver).check()


def test_missing_credentials_are_named_and_never_told(folder, monkeypatch):
    monkeypatch.setenv("SQUARES_API_KEY", "sk-thisisasecretofmine1")
    with probed_driver(NeedsAKey(4), folder, (), 0.1) as driver:
        monkeypatch.delenv("SQUARES_API_KEY")
        failure = Worker(NeedsAKey(4), folder, driver).build(Part("part-000", 0, 2))
    assert "thisisasecret" not in repr(driver)
    assert "SQUARES_API_KEY" in str(failure.error)
    assert "401" in str(failure.error)


def test_an_error_comes_without_credentials(folder, driver, monkeypatch, tmp_path):
    monkeypatch.setattr(Fragile, "build", lambda *_: 1 / len("sk-thisisasecretofmine1"[:0]))
    failure = Worker(Fragile(4), folder, driver).build(Part("part-000", 0, 2))
    assert failure.said.startswith("ZeroDivisionError")
    assert failure.error is None
    assert "test_worker.py" in failure.trace
    monkeypatch.setattr(Fragile, "build", raise_with("sk-thisisasecretofmine1"))
    failure = Worker(Fragile(4), folder, driver).build(Part("part-000", 0, 2))
    assert "thisisasecret" not in failure.said + failure.trace


def raise_with(text):
    def build(*_):
        raise ValueError(text)

    return build


def test_the_first_worker_to_finish_a_part_has_built_it(stage, folder):
    """One that was given up, and was only slow, keeps nothing."""
    part = stage.parts()[0]
    begun = threading.Event()

    class Slow(Squares):
        def build(self, part, out):
            begun.set()
            facts = super().build(part, out)
            (out / "files" / f"{part.name}.txt").write_text("other bytes")
            return facts

    records = []
    slow = threading.Thread(target=lambda: records.append(build_part(Slow(4, seconds=1), part, folder)))
    slow.start()
    begun.wait()
    first = build_part(stage, part, folder)
    slow.join()
    assert records == [first]
    assert (folder / "files" / "part-000.txt").read_text() == "0\n1"
    assert not list(folder.glob(".*building"))


def failure_of(name, error=None):
    return Failure(Part(name), "a-node", "it burns", error)


def test_a_part_is_tried_three_times_and_then_named():
    tries = Tries([])
    for _ in range(2):
        tries.fail(failure_of("a"))
        assert tries.waiting.popleft() == Part("a")
    tries.check()
    tries.fail(failure_of("a"))
    assert not tries.waiting
    with pytest.raises(SigjepaError, match=r"a-node: it burns"):
        tries.check()


def test_what_the_user_can_mend_ends_it_at_once():
    damage = DamagedError("x.parquet is damaged", "Build it again.", lambda: None)
    with pytest.raises(DamagedError) as raised:
        Tries([]).fail(failure_of("a", damage))
    assert raised.value is damage


def test_no_part_is_begun_when_many_have_failed():
    tries = Tries([Part("last")])
    for number in range(MAX_FAILED):
        for _ in range(3):
            tries.fail(failure_of(f"part-{number}"))
    assert not tries.waiting
    with pytest.raises(SigjepaError, match=f"{MAX_FAILED} parts"):
        tries.check()
