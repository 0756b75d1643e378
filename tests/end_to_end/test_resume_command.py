"""A run that is told to stop, started again with the same words, and once more when it is finished."""

import json
import signal

import torch
from small_student import SMALL_STUDENT

WORDS = (  # as the sweep's, but for how often it saves and for what stops it
    *("experiment=exp2_1", "data=tiny", "trainer.max_epochs=2", "logger=none", "resume=auto"),
    *("loss.infonce.schedule.start_epoch=0", "loss.infonce.schedule.ramp_epochs=0"),
    *("callbacks.resume_checkpoint.every_n_steps=1", *SMALL_STUDENT, "hydra.run.dir=run"),
    *("+callbacks.stop._target_=stop_once.StopOnce", "allowed_targets=[stop_once.]"),
)
STOP_ONCE = """
import os
import signal
from pathlib import Path

import lightning


class StopOnce(lightning.Callback):
    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.global_step == 7 and not Path("stopped").exists():
            Path("stopped").touch()
            os.kill(os.getpid(), signal.SIGTERM)
"""


def test_stopped_and_started_again_it_ends_the_same(run, sweep, tmp_path):
    (tmp_path / "stop_once.py").write_text(STOP_ONCE)
    stopped = run("train", *WORDS, cwd=tmp_path, check=False)
    assert stopped.returncode == 128 + signal.SIGTERM, stopped.stderr
    again = tmp_path / "run"
    last = again / "checkpoints" / "last.ckpt"
    assert torch.load(last, weights_only=True)["global_step"] == 7
    assert json.loads((again / "summary.json").read_text())["status"] == "interrupted"
    done = run("train", *WORDS, cwd=tmp_path)
    assert "Continuing at step 7" in done.stdout + done.stderr
    (whole,) = [path for path in sweep.iterdir() if "experiment=exp2_1" in path.name]
    assert (whole / "metrics.csv").read_bytes() == (again / "metrics.csv").read_bytes()
    for name in ("best", "last"):
        one, other = (
            torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)["state_dict"]
            for folder in (whole, again)
        )
        assert all(torch.equal(one[key], other[key]) for key in one)
    before = last.stat().st_mtime_ns
    done = run("train", *WORDS, cwd=tmp_path)
    assert "resume=never" in done.stdout + done.stderr
    assert last.stat().st_mtime_ns == before
