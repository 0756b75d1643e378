"""The status of training: a line an epoch, and epoch, step, score and last checkpoint in the command's status."""

import datetime
import logging
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from lightning import Callback, LightningModule, Trainer

from sigjepa.evaluation.metrics import Metric, Metrics
from sigjepa.store.progress import Stage, stage

log = logging.getLogger(__name__)


class TrainingStatus(Callback):
    """Log a line an epoch; make a stage of fitting, with epoch, step and score, and one of each pass over val or test.

    Lightning's own bar is drawn on a terminal only. monitor: the figure whose best value is told.
    """

    def __init__(self, monitor: str = "val/rank10") -> None:
        self.monitor = monitor
        self.best: tuple[float, int] | None = None
        self._began = time.monotonic()
        self._open: dict[str, ExitStack] = {}
        self._stages: dict[str, Stage] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Switch Lightning's bar off where nobody sees it move."""
        if trainer.progress_bar_callback is not None and not sys.stdout.isatty():
            trainer.progress_bar_callback.disable()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Fitting begins, or goes on where it stopped."""
        steps = trainer.estimated_stepping_batches
        fit = self._begin("train", int(steps) if steps != float("inf") else None, "step")
        fit.done = fit.initial = trainer.global_step

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """An epoch begins."""
        self._began = time.monotonic()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the epoch; validation has run by now."""
        metrics: Metrics = getattr(pl_module, "metrics", {})
        figures = {name: float(value) for name, value in trainer.callback_metrics.items()}
        metric = metrics.get(self.monitor.removeprefix("val/"))
        if metric is not None and self.monitor in figures:
            score = figures[self.monitor]
            if self.best is None or metric.gain(score) > metric.gain(self.best[0]):
                self.best = (score, trainer.current_epoch)
        epochs = trainer.max_epochs or -1
        last = f"/{epochs - 1}" if epochs > 0 else ""
        parts = [f"epoch {trainer.current_epoch}{last}", *epoch_figures(figures, metrics)]
        if self.best is not None and metric is not None:
            parts.append(f"best {metric.label} {metric.format(self.best[0])} in epoch {self.best[1]}")
        if trainer.is_global_zero:
            log.info("%s", "  ".join([*parts, f"{time.monotonic() - self._began:.0f} s"]))
            if "train" in self._stages:
                self._stages["train"].told = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        """Return the best score so far and its epoch, for a run that goes on."""
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the best score of the run that goes on."""
        self.best = state_dict["best"]

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """One step more."""
        fit = self._stages["train"]
        fit.done = trainer.global_step
        fit.facts |= {"epoch": trainer.current_epoch, "step": trainer.global_step}

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """A checkpoint is about to be written."""
        if fit := self._stages.get("train"):
            fit.facts["last_checkpoint"] = datetime.datetime.now().astimezone().isoformat(timespec="seconds")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Fitting is over."""
        self._end("train")

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A pass over val begins."""
        self._begin("validate", _batches(trainer.num_val_batches), "batch")

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """One batch more."""
        self._stages["validate"].done += 1

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The pass is over, and its score is known."""
        self._end("validate")
        if (fit := self._stages.get("train")) and self.monitor in trainer.callback_metrics:
            fit.facts[self.monitor] = float(trainer.callback_metrics[self.monitor])

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The pass over test begins."""
        self._begin("test", _batches(trainer.num_test_batches), "batch")

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """One batch more."""
        self._stages["test"].done += 1

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The pass is over."""
        self._end("test")

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Nothing goes on any more."""
        for name in reversed(list(self._open)):
            self._end(name)

    def _begin(self, name: str, total: int | None, unit: str) -> Stage:
        self._open[name] = ExitStack()
        self._stages[name] = self._open[name].enter_context(stage(name, total=total, unit=unit))
        return self._stages[name]

    def _end(self, name: str) -> None:
        self._open.pop(name).close()
        del self._stages[name]


def epoch_figures(figures: Mapping[str, float], metrics: Mapping[str, Metric]) -> list[str]:
    """Return the loss and the val metrics that may select, as a person reads them; gauges are left to `metrics.csv`."""
    loss = [f"loss {figures['train/loss']:.4g}"] if "train/loss" in figures else []
    shown = {f"val/{name}": metric for name, metric in metrics.items() if metric.direction is not None}
    return loss + [f"{metric.label} {metric.format(figures[key])}" for key, metric in shown.items() if key in figures]


def _batches(counts: Any) -> int | None:
    total = sum(counts) if isinstance(counts, list) else counts
    return int(total) if total != float("inf") else None
