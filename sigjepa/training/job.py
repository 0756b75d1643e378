"""The job that a run directory holds, and the point from which a run that is started in it goes on."""

import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import Timeout
from omegaconf import DictConfig, OmegaConf

from sigjepa.errors import SigjepaError, nearest_name
from sigjepa.runtime.config_files import config_directory
from sigjepa.runtime.instantiate import find_target, plain
from sigjepa.store.files import read_json, write_json
from sigjepa.store.locks import file_lock
from sigjepa.store.manifest import content_key, differences, flatten
from sigjepa.training.run_file_names import JOB_FILE, LAST_CHECKPOINT, OUTPUTS
from sigjepa.training.run_status import FINISHED, read_status

RESUME = ("auto", "never")
KEYS_WITHOUT_RESULT = ("resume", "executor", "verify", "logger")
"""Keys that decide no result: whether a run goes on, who builds and checks artifacts, and who is told of it."""


@dataclass(frozen=True)
class ResumePoint:
    """The start of a run: from `checkpoint`, or with None from its initial weights; a `finished` one has none."""

    checkpoint: Path | None = None
    finished: bool = False


def job_settings(config: DictConfig, without: Sequence[str] = ()) -> dict[str, Any]:
    """Return what a composed config asks for, resolved: a job's identity.

    All of it but `KEYS_WITHOUT_RESULT` and where it lies. Values below `paths`, keys in `without`, and what Hydra tells
    of the running process stand as words for themselves, also where they are interpolated.
    """
    raw = json.loads(re.sub(r"\$\{hydra:[^}]*\}", "hydra", json.dumps(OmegaConf.to_container(config))))
    raw = {key: value for key, value in raw.items() if key not in KEYS_WITHOUT_RESULT}
    raw["paths"] = {key: key for key in raw.get("paths") or {}}
    raw |= {key: key for key in without if key in raw}
    return json.loads(json.dumps(plain(OmegaConf.create(raw))))  # as it is read back


SETTINGS_OUTSIDE_EXPERIMENT = (
    *("baseline", "metrics", "allowed_targets", "data.num_workers", "data.device_resident", "trainer.default_root_dir"),
    *("trainer.enable_progress_bar", "trainer.enable_model_summary", "trainer.log_every_n_steps"),
    *("callbacks.metrics_table", "callbacks.resume_checkpoint", "callbacks.status", "callbacks.cuda_graphs"),
)
"""Settings of a job that make no other experiment: what is shown, written or measured beside.

Of `metrics`, those that something selects by, a `monitor`, do make another one where they are not the default.
"""


def experiment_settings(config: DictConfig) -> dict[str, Any]:
    """Return an experiment's identity, resolved: `job_settings` without seed, fold and name.

    Nor are `SETTINGS_OUTSIDE_EXPERIMENT` in it, and plugins that write checkpoints.
    """
    settings = job_settings(config, without=("seed", "fold", "name"))
    selecting = _own_metrics(settings)
    if isinstance(trainer := settings.get("trainer"), dict):
        plugins = _deciding_plugins(trainer.pop("plugins", None), settings.get("allowed_targets") or ())
        trainer |= {"plugins": plugins} if plugins else {}
    for place in SETTINGS_OUTSIDE_EXPERIMENT:
        *groups, key = place.split(".")
        node: Any = settings
        for group in groups:
            node = node.get(group) if isinstance(node, dict) else None
        if isinstance(node, dict):
            node.pop(key, None)
    return settings | ({"metrics": selecting} if selecting else {})


def _own_metrics(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return those nodes of `metrics` that a `monitor` names and that are others than in conf/metrics/default.yaml."""
    monitors = [str(value) for key, value in flatten(settings) if key.rpartition(".")[2] == "monitor"]
    named = dict.fromkeys(monitor.partition("/")[2] for monitor in monitors)
    default = plain(OmegaConf.load(config_directory() / "metrics" / "default.yaml"))
    nodes = settings.get("metrics") or {}
    return {name: nodes[name] for name in named if name in nodes and nodes[name] != default.get(name)}


def _deciding_plugins(plugins: Any, allowed_targets: Sequence[str]) -> list[Any]:
    """Return those of a trainer's plugins that decide a result: all but those that write checkpoints."""
    from lightning.pytorch.plugins import CheckpointIO  # noqa: PLC0415 - slow to import

    def writes_checkpoints(plugin: Any) -> bool:
        if not isinstance(plugin, dict) or "_target_" not in plugin:
            return False
        target = find_target(plugin["_target_"], allowed_targets)
        return isinstance(target, type) and issubclass(target, CheckpointIO)

    listed = plugins if isinstance(plugins, list) else [plugins]
    return [plugin for plugin in listed if plugin is not None and not writes_checkpoints(plugin)]


def experiment_key(config: DictConfig) -> str:
    """Return the hash of an experiment's identity."""
    return content_key(experiment_settings(config))


@contextmanager
def run_lock(run_dir: Path) -> Iterator[None]:
    """Hold a run directory; raises SigjepaError naming it while another process trains there."""
    lock = file_lock(run_dir / ".lock", timeout=0)
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
    """Return the job that `run_dir` holds and this run goes on with; None when it begins anew.

    Raises SigjepaError when the directory holds a job with other settings, naming what differs.
    """
    path = run_dir / JOB_FILE
    if resume == "never" or not path.exists():
        return None
    job = read_json(path)
    if not isinstance(job, dict) or not {"settings", "artifacts", "experiment"} <= job.keys():
        raise SigjepaError(f"{path} is not the record of a job; delete it, or begin anew with resume=never.")
    _check_same(run_dir, job["settings"], settings)
    return job


def forget_checkpoint(run_dir: Path) -> None:
    """Remove what the job of a directory would go on from: one begins anew there, and claims it when its data is built.

    Until then it may be interrupted, and must not go on from another's weights.
    """
    if (run_dir / JOB_FILE).exists():  # else the files there are not a run's
        (run_dir / LAST_CHECKPOINT).unlink(missing_ok=True)


def begin_job(
    run_dir: Path,
    settings: Mapping[str, Any],
    artifacts: Mapping[str, Any],
    earlier: Mapping[str, Any] | None,
    experiment: Mapping[str, Any],
) -> ResumePoint:
    """Return how this run begins, given the `earlier_job` of its directory; clear and claim one to begin anew in.

    A finished job is done. One that was interrupted goes on from its last checkpoint. One that failed, or has none,
    begins anew. Raises SigjepaError when the artifacts are not those of the earlier job.
    """
    if earlier is not None:
        _check_same(run_dir, earlier["artifacts"], artifacts)
    start = start_of(run_dir, earlier)
    if start == ResumePoint():
        if (run_dir / JOB_FILE).exists():  # else the files there are not a run's
            clear_outputs(run_dir)
        job = {"experiment": dict(experiment), "artifacts": dict(artifacts), "settings": dict(settings)}
        write_json(run_dir / JOB_FILE, job)
    return start


def start_of(run_dir: Path, earlier: Mapping[str, Any] | None) -> ResumePoint:
    """Return how every process of a run begins, whether it looks before the first one has begun the job or after."""
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
        for path in run_dir.glob(name):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def _check_same(run_dir: Path, have: Mapping[str, Any], want: Mapping[str, Any]) -> None:
    if changes := differences(have, want):
        shown = "; ".join(map(str, changes[:5])) + "; …" * (len(changes) > 5)
        raise SigjepaError(
            f"{run_dir} holds another job ({shown}). Choose another folder with hydra.run.dir=... or "
            "hydra.sweep.dir=..., or give up what is there with resume=never."
        )
