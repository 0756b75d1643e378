import pytest
from stages import Squares

from sigjepa.errors import SigjepaError
from sigjepa.store.executors import local
from sigjepa.store.executors.local import Local
from sigjepa.store.store import Store


@pytest.fixture
def spread(monkeypatch):
    """The parts that go to further processes, by their number; on a machine of two cores, on which all work is long."""
    given = {}

    def record(workers, stage, parts, folder):
        given[workers] = [part.name for part in parts]
        return map(local.build_part, [stage] * len(parts), parts, [folder] * len(parts))

    monkeypatch.setattr(local, "in_processes", record)
    monkeypatch.setattr(local, "core_count", lambda: 2)
    monkeypatch.setattr(local, "MIN_SECONDS", 0)
    monkeypatch.setattr(local, "main_is_a_command", lambda: True)
    return given


def test_long_work_of_a_command_is_spread_after_its_first_part(tmp_path, spread):
    assert Store(tmp_path, Local()).get(Squares(5)) == [0, 1, 4, 9, 16]
    assert spread == {2: ["part-002", "part-004"]}


@pytest.mark.parametrize("reason", ["it is short", "it fills all cores", "a script would run again"])
def test_other_work_stays_in_its_process(tmp_path, spread, monkeypatch, reason):
    if reason == "it is short":
        monkeypatch.setattr(local, "MIN_SECONDS", 60)
    elif reason == "it fills all cores":
        monkeypatch.setattr(Squares, "uses", "gpu")
    else:
        monkeypatch.setattr(local, "main_is_a_command", lambda: False)
    assert Store(tmp_path, Local()).get(Squares(5)) == [0, 1, 4, 9, 16]
    assert spread == {}


def test_as_many_processes_are_started_as_are_asked_for(tmp_path, spread):
    Store(tmp_path / "three", Local(3)).get(Squares(5))
    assert spread == {3: ["part-000", "part-002", "part-004"]}
    Store(tmp_path / "one", Local(1)).get(Squares(5))
    assert len(spread) == 1


@pytest.mark.parametrize("workers", [0, 1.5, "abc", True])
def test_processes_are_a_whole_number_of_at_least_one(workers):
    with pytest.raises(SigjepaError, match=rf"executor\.workers={workers} .*at least 1"):
        Local(workers)
