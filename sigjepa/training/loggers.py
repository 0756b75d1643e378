"""Weights & Biases: one run a run directory, never in the way of training, and always finished."""

import logging
import os
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import Logger, WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from sigjepa.errors import SigjepaError
from sigjepa.store.files import atomic_path
from sigjepa.training.wandb_names import GROUP_LENGTH, NAME_LENGTH, STEP, shortened, wandb_tags

log = logging.getLogger(__name__)

ID_FILE = "wandb_id"


def wandb_id(run_dir: Path) -> str:
    """Return the W&B id of a run directory, drawn once and kept in its file `wandb_id`.

    Kept, not derived from the path: a directory that was moved, or is mounted elsewhere when it is resumed, still
    continues its curve, and two machines that use the same path in one project do not share one. Raises SigjepaError
    for a file that holds no id.
    """
    path = run_dir / ID_FILE
    if not path.exists():
        with atomic_path(path) as temporary:
            temporary.write_text(uuid.uuid4().hex[:12] + "\n", encoding="utf-8")  # not from the seeded generators
    content = path.read_text(encoding="utf-8", errors="replace").strip()
    if not re.fullmatch(r"[\w-]{1,64}", content, flags=re.ASCII):
        raise SigjepaError(f"{path} holds no W&B run id; delete it, and the run gets a new curve.")
    return content


@contextmanager
def warn_of_wandb_errors(action: str) -> Iterator[None]:
    """Warn instead of raising when W&B fails: what it would have shown is in the run directory as well."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - whatever a dashboard's client raises, a trained run outweighs it
        log.warning("W&B could not %s, and the run goes on without it: %s", action, error)


class RunLogger(WandbLogger):
    """Lightning's W&B logger with a stable id, every metric defined, and offline when the server does not answer.

    summaries: what stands for the whole curve of a metric, its `max` or `min` by its key; others keep their last value.
    A module sets it.
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._wandb_init.pop("anonymous", None)  # Lightning always passes it, and the client then says it is obsolete
        self.summaries: Mapping[str, str] = {}
        self.defined: set[str] = set()

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The W&B run, begun when it is first asked for; offline, with a warning, if it can't begin online."""
        if self._experiment is None:
            self._wandb_init["id"] = self._id = wandb_id(Path(str(self.save_dir)))
            if self._wandb_init["mode"] == "online":
                self._begin_online()
        return super().experiment

    def _begin_online(self) -> None:
        import wandb  # noqa: PLC0415 - slow, and only needed here

        if "x_disable_viewer" in wandb.Settings.model_fields:  # asks who is logged in, for a greeting: 10 s of outage
            wandb.setup(settings=wandb.Settings(x_disable_viewer=True))
        try:
            _ = super().experiment
        except Exception as error:  # noqa: BLE001 - if the arguments are at fault, beginning offline raises again
            log.warning("W&B can't begin online, so this run is offline: %s", error)
            wandb.teardown()  # the failed run's id is in use until then
            self._wandb_init["mode"] = "offline"

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Log, and define each metric when it first appears: a curriculum's mined figures come late."""
        for name, value in metrics.items():
            if name not in self.defined and isinstance(value, int | float):
                self.experiment.define_metric(name, step_metric=STEP, summary=self.summaries.get(name))
                self.defined.add(name)
        super().log_metrics(metrics, step)

    def finalize(self, status: str) -> None:
        """Log checkpoints as artifacts, if that was asked for."""
        with warn_of_wandb_errors("log the checkpoints"):
            super().finalize(status)
        self._checkpoint_callbacks.clear()  # Lightning calls this after fit and test: an outage is waited for once

    @rank_zero_only
    def finish(self, failed: bool) -> None:
        """Close the run, if it has begun, and say where it is."""
        if self._experiment is None:
            return
        folder, offline = Path(self._experiment.dir).parent, self._wandb_init["mode"] == "offline"
        with warn_of_wandb_errors("finish the run"):
            self._experiment.finish(exit_code=int(failed))
        if offline:
            log.info("W&B run %s is offline; upload it with: wandb sync %s", self.version, folder)
        elif self._wandb_init["mode"] == "online":
            log.info("W&B run: %s", self._experiment.url)


def wandb_logger(
    project: str,
    name: str,
    group: str,
    save_dir: str,
    tags: Mapping[str, str | Sequence[str]] | None = None,
    entity: str | None = None,
    job_type: str = "train",
    mode: str | None = None,
    log_checkpoints: bool = False,
    init_timeout: float = 10.0,
    finish_timeout: float = 60.0,
) -> RunLogger:
    """Return a W&B run for the run directory `save_dir`, which is continued when the directory is.

    tags: choices by key, e.g. `{"experiment": "exp1_4"}`. mode: `online`, `offline` or `disabled`; None is `offline`
    unless WANDB_API_KEY is set. log_checkpoints: upload the best and last checkpoint as a model artifact.
    init_timeout, finish_timeout: seconds that an outage may cost before and after training; what is not uploaded by
    then stays on disk for `wandb sync`. Raises SigjepaError when wandb is not installed or `mode` is not one of these.
    """
    chosen = mode or ("online" if os.environ.get("WANDB_API_KEY") else "offline")
    if chosen not in ("online", "offline", "disabled"):
        raise SigjepaError(f"logger.wandb.mode={chosen}: choose online, offline or disabled, or null.")
    folder = Path(save_dir)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        return RunLogger(
            project=project,
            entity=entity,
            name=shortened(name, NAME_LENGTH),
            group=shortened(group, GROUP_LENGTH),
            job_type=job_type,
            tags=wandb_tags(tags or {}),
            save_dir=str(folder),
            log_model=log_checkpoints,
            # mode, not offline=True: that sets a process-wide variable that leaks into the next job of a sweep
            mode=chosen,
            settings={"init_timeout": init_timeout, "finish_timeout": finish_timeout, "quiet": True},
        )
    except ModuleNotFoundError:
        raise SigjepaError("wandb is not installed: pip install wandb, or choose logger=csv or logger=none.") from None


@contextmanager
def logger_session(loggers: list[Logger]) -> Iterator[list[Logger]]:
    """Close every logger's run at the end, whatever happens: the next job of a sweep must get a run of its own."""
    failed = True
    try:
        yield loggers
        failed = False
    finally:
        for logger in loggers:
            logger.finalize("failed" if failed else "success")
            if isinstance(logger, RunLogger):
                logger.finish(failed)
