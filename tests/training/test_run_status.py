import json

import pytest
import torch

from sigjepa.errors import LostProcessError, SigjepaError
from sigjepa.runtime.compose import compose
from sigjepa.train import train
from sigjepa.training.run_file_names import JOB_FILE
from sigjepa.training.run_status import ended_by, recorded_status, write_summary


def test_summary_is_strict_json(tmp_path):
    write_summary(tmp_path / "summary.json", {"temperature": float("nan"), "seed": 0})
    assert json.loads((tmp_path / "summary.json").read_text()) == {"temperature": None, "seed": 0}


def test_status_is_running_and_then_failed_with_the_reason(tmp_path):
    path = tmp_path / "summary.json"
    facts = {"seed": 3}
    with pytest.raises(ValueError, match="boom"), recorded_status(tmp_path, facts):
        assert json.loads(path.read_text())["status"] == "running"
        facts["parameters"] = 7
        raise ValueError("boom")
    summary = json.loads(path.read_text())
    assert summary == {"seed": 3, "parameters": 7, "status": "failed", "error": "ValueError: boom"}


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB."), "interrupted"),
        (RuntimeError("CUDA error: uncorrectable ECC error encountered"), "interrupted"),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), "interrupted"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes."), "interrupted"),
        (RuntimeError("DataLoader worker (pid 4711) is killed by signal: Killed. "), "interrupted"),
        (LostProcessError("The 2 loader processes cannot run"), "interrupted"),
        (RuntimeError("CUDA error: device-side assert triggered"), "failed"),
        (RuntimeError("Expected all tensors to be on the same device, but found cuda:0 and cpu!"), "failed"),
        (SigjepaError("Training ran out of memory of how it began"), "failed"),
    ],
)
def test_what_the_machine_did_interrupts(error, status):
    assert ended_by(error)["status"] == status


def test_the_error_in_a_summary_holds_no_credential(tmp_path, monkeypatch):
    monkeypatch.setenv("PGPASSWORD", "plain-words-4711")
    with pytest.raises(ValueError, match="4711"), recorded_status(tmp_path, {}):
        raise ValueError("plain-words-4711 was refused")
    assert json.loads((tmp_path / "summary.json").read_text())["error"] == "ValueError: <credential> was refused"


@pytest.mark.parametrize(
    ("word", "seed"),
    [
        *(("monitor=val/nothing", 0), ("corpus=folder", 0), ("trainer.max_epochs=three", 0), ("seed=one", None)),
        *(("callbacks.best_checkpoint=null", 0), ("+trainer.limit_val_batches=2", 0)),
        *(("data.max_body_states=-1", 0), ("scheduler.warmup_fraction=5", 0)),
    ],
)
def test_a_job_that_is_refused_leaves_the_reason_in_its_new_folder(tmp_path, word, seed):
    with pytest.raises(SigjepaError, match=word.partition("=")[0].lstrip("+")) as refused:
        train(compose([word, "data=tiny"], folder=tmp_path))
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["experiment"], summary["seed"], summary["status"]) == ("exp1_4", seed, "failed")
    assert str(refused.value) in summary["error"]


@pytest.mark.parametrize("name", [JOB_FILE, "summary.json"])
def test_a_job_that_is_refused_leaves_what_another_has_recorded(tmp_path, name):
    (tmp_path / name).write_text("{}")
    with pytest.raises(SigjepaError, match="val/nothing"):
        train(compose(["monitor=val/nothing", "data=tiny"], folder=tmp_path))
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == [name]
    assert (tmp_path / name).read_text() == "{}"
