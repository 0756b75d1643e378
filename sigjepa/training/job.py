"""Which job a run directory holds, and how a run that is started in it begins."""

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from omegaconf import DictConfig, OmegaConf

from sigjepa.errors import SigjepaError, nearest_name
from sigjepa.runtime.instantiate import plain
from sigjepa.store.files import read_json, write_json
from sigjepa.store.manifest import content_key, differences
from sigjepa.training.run_directory import FINISHED, read_status

JOB_FILE = "job.json"
LAST_CHECKPOINT = Path("checkpoints") / "last.ckpt"
RESUME = ("auto", "never")
OUTPUTS = (
    *("checkpoints", "metrics.csv", "summary.json", "provenance.json", "wandb_id"),
    *(
        "baselines",
        "baselines.json",
        "metrics.json",
        "ranks.npz",
        "queries.npz",
        "predictions.npz",
        "negatives",
        "figures",
        "files.json",
        JOB_FILE,
    ),
)
"""What a run writes into its directory, and a run that begins anew there removes."""


@dataclass(frozen=True)
class ResumePoint:
    """How a run begins: from `checkpoint`, or with None from its initial weights; `finished` ones do not begin."""

    checkpoint: Path | None = None
    finished: bool = False


def job_settings(config: DictConfig) -> dict[str, Any]:
    """What a composed config asks for, resolved: all of it but where it lies, which process asks, and `resume`.

    Values below `paths`, and what Hydra tells of the running process, stand as words for themselves.
    """
    raw = OmegaConf.to_container(config, resolve=False)
    assert isinstance(raw, dict)
    raw.pop("resume", None)
    raw["paths"] = {key: key for key in raw.get("paths") or {}}
    settings = plain(OmegaConf.create(_without_process(raw)))
    return json.loads(json.dumps(settings))  # as it is read back


def _without_process(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_process(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_process(inner) for inner in value]
    return re.sub(r"\$\{hydra:[^}]*\}", "hydra", value) if isinstance(value, str) else value


def job_key(settings: Mapping[str, Any], artifacts: Mapping[str, Any]) -> str:
    """A job's identity: the hash of its settings and of the artifacts that it reads."""
    return content_key({"settings": settings, "artifacts": artifacts})


@contextmanager
def run_lock(run_dir: Path) -> Iterator[None]:
    """Hold a run directory; raises SigjepaError naming it while another process trains there."""
    run_dir.mkdir(parents=True, exist_ok=True)
    lock = FileLock(run_dir / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise SigjepaError(
            f"Another process is training in {run_dir}; wait for it, or choose another folder with hydra.run.dir=..."
        ) from None
    try:
        yield
    finally:
        lock.release()


def check_resume(resume: str) -> None:
    """Raise SigjepaError for a word that is not among `RESUME`."""
    if resume not in RESUME:
        raise SigjepaError(f"resume={resume}: use {' or '.join(RESUME)}.{nearest_name(str(resume), RESUME)}")


def earlier_job(run_dir: Path, settings: Mapping[str, Any], resume: str) -> dict[str, Any] | None:
    """The job that `run_dir` holds and this run goes on with; None when it begins anew.

    Raises SigjepaError when the directory holds a job with other settings, naming what differs.
    """
    path = run_dir / JOB_FILE
    if resume == "never" or not path.exists():
        return None
    job = read_json(path)
    if not isinstance(job, dict) or not {"settings", "artifacts", "key"} <= job.keys():
        raise SigjepaError(f"{path} is not the record of a job; delete it, or begin anew with resume=never.")
    _check_same(run_dir, job["settings"], settings)
    return job


def begin_job(
    run_dir: Path, settings: Mapping[str, Any], artifacts: Mapping[str, Any], earlier: Mapping[str, Any] | None
) -> ResumePoint:
    """How this run begins, given the `earlier_job` of its directory; clears and claims a directory to begin anew in.

    A finished job is done. One that was interrupted goes on from its last checkpoint. One that failed, or has none,
    begins anew. Raises SigjepaError when the artifacts are not those of the earlier job.
    """
    if earlier is not None:
        _check_same(run_dir, earlier["artifacts"], artifacts)
    start = start_of(run_dir, earlier)
    if start == ResumePoint():
        if (run_dir / JOB_FILE).exists():  # else the files there are not a run's
            clear_outputs(run_dir)
        key = job_key(settings, artifacts)
        write_json(run_dir / JOB_FILE, {"key": key, "artifacts": dict(artifacts), "settings": dict(settings)})
    return start


def start_of(run_dir: Path, earlier: Mapping[str, Any] | None) -> ResumePoint:
    """How every process of a run begins, whether it looks before the first one has begun the job or after."""
    if earlier is not None:
        status = read_status(run_dir)
        if status == FINISHED:
            return ResumePoint(finished=True)
        if status != "failed" and (run_dir / LAST_CHECKPOINT).exists():
            return ResumePoint(run_dir / LAST_CHECKPOINT)
    return ResumePoint()


def clear_outputs(run_dir: Path) -> None:
    """Remove what an earlier run has left, so that nothing of it is taken for this one's."""
    for name in OUTPUTS:
        path = run_dir / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _check_same(run_dir: Path, have: Mapping[str, Any], want: Mapping[str, Any]) -> None:
    if changes := differences(have, want):
        shown = "; ".join(changes[:5]) + "; …" * (len(changes) > 5)
        raise SigjepaError(
            f"{run_dir} holds another job ({shown}). Choose another folder with hydra.run.dir=... or "
            "hydra.sweep.dir=..., or give up what is there with resume=never."
        )
