"""Weights & Biases, offline unless somebody is logged in, and always finished."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger, WandbLogger

from sigjepa.errors import SigjepaError


def wandb_logger(
    project: str, name: str, group: str, save_dir: str, tags: list[str] | None = None, mode: str | None = None
) -> Logger:
    """A W&B run for one job. mode: `online`, `offline` or `disabled`; None is `offline` unless WANDB_API_KEY is set.

    Raises SigjepaError when wandb is not installed.
    """
    chosen = mode or ("online" if os.environ.get("WANDB_API_KEY") else "offline")
    Path(save_dir).mkdir(parents=True, exist_ok=True)
    try:
        # mode, not offline=True: that sets a process-wide variable that leaks into the next job of a sweep
        return WandbLogger(project=project, name=name, group=group, save_dir=save_dir, tags=tags, mode=chosen)
    except ModuleNotFoundError:
        raise SigjepaError("wandb is not installed: pip install wandb, or choose logger=csv or logger=none.") from None


@contextmanager
def finished(loggers: list[Logger]) -> Iterator[list[Logger]]:
    """Close every logger's run at the end, whatever happens: the next job of a sweep must get a run of its own."""
    failed = True
    try:
        yield loggers
        failed = False
    finally:
        for logger in loggers:
            logger.finalize("failed" if failed else "success")
            if isinstance(logger, WandbLogger):
                _finish(logger.experiment, failed)


def _finish(run: Any, failed: bool) -> None:
    if hasattr(run, "finish"):  # ranks other than 0 hold a dummy
        run.finish(exit_code=int(failed))
