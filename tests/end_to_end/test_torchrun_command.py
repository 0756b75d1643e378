"""Processes that torchrun starts share one run, as the only process would have written it."""

import csv
import json
import os
import signal
import subprocess
import sys
import time

import pytest

WORDS = (
    *("experiment=exp1_4", "data=tiny", "logger=none", "baseline=[random]", "model.dropout=0", "data.batch_size=32"),
    *("trainer=ddp_cpu", "resume=auto", "hydra.run.dir=run"),
)


def torchrun(folder, *words):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "SIGJEPA_DATA_DIR": str(folder / "data")}
    command = [*("torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "sigjepa.train"), *WORDS, *words]
    with (folder / "output.txt").open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def epochs(folder):
    with (folder / "run" / "metrics.csv").open(newline="", encoding="utf-8") as stream:
        return [row["epoch"] for row in csv.DictReader(stream)]


def summary(folder):
    return json.loads((folder / "run" / "summary.json").read_text())


@pytest.mark.slow
def test_two_processes_share_a_run_that_is_killed_and_goes_on(tmp_path):
    words = ("trainer.max_epochs=12", "callbacks.early_stopping.patience=12")
    killed = torchrun(tmp_path, *words)
    deadline = time.monotonic() + 300
    while not (tmp_path / "run" / "checkpoints" / "last.ckpt").exists():
        assert killed.poll() is None, (tmp_path / "output.txt").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    workers = [int(one) for one in subprocess.check_output(["pgrep", "-P", str(killed.pid)]).split()]
    os.kill(max(workers), signal.SIGKILL)
    assert killed.wait(120) != 0  # instead of waiting for the one that is gone
    assert summary(tmp_path)["status"] in ("interrupted", "running")  # not failed: that would begin anew

    assert torchrun(tmp_path, *words).wait(300) == 0, (tmp_path / "output.txt").read_text()
    run = tmp_path / "run"
    assert "Continuing at step" in (tmp_path / "output.txt").read_text()
    assert epochs(tmp_path) == [str(epoch) for epoch in range(12)]
    assert summary(tmp_path)["status"] == "finished"
    assert [path.name for path in run.glob("*.log")] == ["train.log"]
    assert (run / ".hydra" / "overrides.yaml").exists()

    assert torchrun(tmp_path, *words).wait(300) == 0, (tmp_path / "output.txt").read_text()
    assert "is finished: nothing to do" in (tmp_path / "output.txt").read_text()


def test_torchrun_without_a_folder_is_refused(run, tmp_path):
    started = {"TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0"}
    done = run("train", "trainer=ddp_cpu", cwd=tmp_path, check=False, **started)
    assert done.returncode == 1
    assert "torchrun has started this command in 2 processes" in done.stderr
    assert not list(tmp_path.iterdir())
