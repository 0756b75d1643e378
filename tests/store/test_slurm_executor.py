"""The job array, by submitit's executor for one machine: its jobs are processes that take the same way."""

import os
import shutil
from pathlib import Path

import pytest
from stages import Fragile, Squares
from test_store import contents

from sigjepa.errors import SigjepaError
from sigjepa.store.executors.slurm import Slurm
from sigjepa.store.store import Store

LOCAL = {"cluster": "local", "poll_seconds": 0.2, "patience": 5, "mem_gb": None, "cpus_per_task": 1}


@pytest.fixture(autouse=True)
def stages_at_hand(monkeypatch):
    path = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path))


@pytest.mark.slow
def test_an_array_writes_the_same_bytes_and_goes_on_after_a_death(tmp_path, caplog):
    """The first job dies in its first part, then an error comes, then all is well."""
    (tmp_path / "marks").mkdir()
    stage = Fragile(9, log=str(tmp_path / "log"), marks=str(tmp_path / "marks"), breaks_in="part-000", deaths=1)
    store, here = Store(tmp_path / "data", Slurm(jobs=2, **LOCAL)), Store(tmp_path / "here")
    assert store.get(stage) == here.get(Fragile(9)) == [number * number for number in range(9)]
    assert contents(store.folder(stage)) == contents(here.folder(Fragile(9)))
    assert sorted(line for line in (tmp_path / "log").read_text().split() if line.startswith("part")) == [
        part.name for part in stage.parts()
    ]
    assert "part-000 failed" in caplog.text
    assert "_log.err" in caplog.text


@pytest.mark.slow
def test_a_part_that_fails_each_time_is_named_with_the_others_done(tmp_path):
    (tmp_path / "marks").mkdir()
    stage = Fragile(6, marks=str(tmp_path / "marks"), breaks_in="part-002", raises=99)
    store = Store(tmp_path / "data", Slurm(jobs=2, **LOCAL))
    with pytest.raises(SigjepaError, match=r"part-002 .*ValueError: a bad day"):
        store.get(stage)
    assert [part.name for part in store.missing(stage)] == ["part-002"]


def test_no_slurm_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(SigjepaError, match=r"srun.*executor\.cluster=local"):
        Store(tmp_path, Slurm()).get(Squares())


@pytest.mark.parametrize("bad", [{"jobs": 0}, {"jobs": 1.5}, {"cluster": "pbs"}])
def test_what_can_not_be_is_refused(bad):
    with pytest.raises(SigjepaError, match=f"executor.{next(iter(bad))}"):
        Slurm(**bad)
