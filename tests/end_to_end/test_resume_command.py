"""A run that is told to stop, started again with the same words, and once more when it is finished."""

import json
import os
import signal
import subprocess
import sys
import time

import torch

WORDS = (  # as the sweep's, but for how often it saves
    *("experiment=exp2_1", "data=tiny", "trainer.max_epochs=2", "logger=none", "resume=auto"),
    *("loss.infonce.schedule.start_epoch=0", "loss.infonce.schedule.ramp_epochs=0"),
    "callbacks.resume_checkpoint.every_n_steps=1",
)


def started(data_dir, folder):
    """The command in a process of its own."""
    environment = {**os.environ, "SIGJEPA_DATA_DIR": str(data_dir), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "sigjepa.train", *WORDS, "hydra.run.dir=run"]
    return subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True)


def test_stopped_and_started_again_it_ends_the_same(run, sweep, tiny_data_dir, tmp_path):
    (tmp_path / "stopped").mkdir()
    process = started(tiny_data_dir, tmp_path / "stopped")
    last = tmp_path / "stopped" / "run" / "checkpoints" / "last.ckpt"
    deadline = time.monotonic() + 300
    while not last.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    stderr = process.communicate(timeout=300)[1]
    assert process.returncode == 128 + signal.SIGTERM, stderr
    summary = json.loads((tmp_path / "stopped" / "run" / "summary.json").read_text())
    assert summary["status"] == "interrupted"
    done = run("train", *WORDS, "hydra.run.dir=run", cwd=tmp_path / "stopped")
    assert "Continuing at step" in done.stdout + done.stderr
    again = tmp_path / "stopped" / "run"
    (whole,) = [path for path in sweep.iterdir() if "experiment=exp2_1" in path.name]
    assert (whole / "metrics.csv").read_bytes() == (again / "metrics.csv").read_bytes()
    for name in ("best", "last"):
        one, other = (
            torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)["state_dict"]
            for folder in (whole, again)
        )
        assert all(torch.equal(one[key], other[key]) for key in one)
    before = last.stat().st_mtime_ns
    done = run("train", *WORDS, "hydra.run.dir=run", cwd=tmp_path / "stopped")
    assert "resume=never" in done.stdout + done.stderr
    assert last.stat().st_mtime_ns == before
