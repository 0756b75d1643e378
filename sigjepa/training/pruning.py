"""Jobs of a sweep that are ended early, because the others were further by then."""

import csv
import logging
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any

from lightning import Callback, LightningModule, Trainer

log = logging.getLogger(__name__)


class MedianPruning(Callback):
    """End a job whose best `monitor` is worse than the median of the bests of the sweep's other jobs by the same epoch.

    A run is tested at its best epoch, so bests are compared; Optuna's median pruner takes the others' values at the
    epoch, and Google Vizier's their averages until then. The others are read from the `metrics.csv` of the folders
    beside `run_dir`: it needs no connection to a study, so that it holds for any sweeper and launcher. What a job comes
    to depends on which jobs were before it. warmup_epochs: epochs that every job has. min_jobs: others that have come
    so far.
    """

    def __init__(
        self, run_dir: str | Path, monitor: str, mode: str = "max", warmup_epochs: int = 3, min_jobs: int = 5
    ) -> None:
        self.run_dir, self.monitor, self.sign = Path(run_dir), monitor, 1 if mode == "max" else -1
        self.warmup_epochs, self.min_jobs = warmup_epochs, max(1, min_jobs)
        self.best = float("-inf")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compare this epoch; validation, where the epoch has one, has run by now."""
        if self.monitor not in trainer.callback_metrics:
            return
        self.best = max(self.best, self.sign * float(trainer.callback_metrics[self.monitor]))
        epoch = trainer.current_epoch
        if epoch + 1 <= self.warmup_epochs:
            return
        others = self.others(epoch)
        worse = len(others) >= self.min_jobs and self.best < median(others)
        if trainer.strategy.reduce_boolean_decision(worse, all=False):
            log.info(
                "Ended in epoch %d: the best %s is below the median of %d other jobs.",
                epoch,
                self.monitor,
                len(others),
            )
            trainer.should_stop = True

    def others(self, epoch: int) -> list[float]:
        """Return the best value of each other job by an epoch that it has come to; larger is better."""
        values = []
        for path in sorted(self.run_dir.parent.glob("*/metrics.csv")):
            if path.parent.name != self.run_dir.name:
                rows: list[dict[str, str]] = []
                with suppress(FileNotFoundError), path.open(newline="", encoding="utf-8") as stream:  # begins anew
                    rows = [row for row in csv.DictReader(stream) if row.get(self.monitor)]
                if any(int(row["epoch"]) >= epoch for row in rows):
                    values.append(
                        max(self.sign * float(row[self.monitor]) for row in rows if int(row["epoch"]) <= epoch)
                    )
        return values

    def state_dict(self) -> dict[str, Any]:
        """Return the best so far, for a job that is continued."""
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the best of the run that is continued."""
        self.best = state_dict["best"]
