"""Where a real command is, asked from outside; and what is said of one that was killed."""

import json
import os
import signal
import time

import pytest
from small_student import SMALL_STUDENT

from sigjepa.reporting.runs import read_run


@pytest.fixture
def training(start, tmp_path):
    """A long training run, and its folder; killed at the end of the test."""
    overrides = ("experiment=exp1_4", "data=tiny", "trainer.max_epochs=10000", "logger=none", "baseline=random")
    patience = "callbacks.early_stopping.patience=10000"
    command = start("train", *overrides, patience, *SMALL_STUDENT, "hydra.run.dir=run", cwd=tmp_path)
    yield command, tmp_path / "run"
    if command.poll() is None:
        command.kill()
        command.wait()


def wait_for(condition, process, seconds=120):
    """Return once `condition` holds; fail if it does not in time, or the process ends."""
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "the process ended"
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.05)


def test_a_run_tells_where_it_is_goes_on_and_is_known_to_be_killed(training):
    process, folder = training

    def told(key):
        path = folder / "status.json"
        return json.loads(path.read_text()).get(key) if path.exists() else None

    wait_for(lambda: told("val/rank10") is not None, process)
    os.kill(process.pid, signal.SIGUSR1)
    wait_for(lambda: "status: train: " in (folder / "train.log").read_text(), process)
    assert "step/s" in (folder / "train.log").read_text()
    steps = told("step")
    wait_for(lambda: told("step") > steps, process)  # it lets the run go on
    assert (told("pid"), told("epoch") > 0, told("last_checkpoint") is not None) == (process.pid, True, True)
    assert read_run(folder).reason == f"still running, as process {process.pid}"
    process.kill()
    killed = process.wait()
    assert "it/s" not in killed.stdout + killed.stderr  # Lightning's bar is for a terminal
    assert "was killed" in read_run(folder).reason
