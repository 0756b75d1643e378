"""Where training is: its epoch, step, score and last checkpoint, told to the status of the command."""

import datetime
import sys
from contextlib import ExitStack
from typing import Any

from lightning import Callback, LightningModule, Trainer

from sigjepa.store.progress import Stage, stage


class TrainingStatus(Callback):
    """Makes a stage of fitting, with its epoch, step, score and last checkpoint, and one of each pass over val or test.

    Lightning's own bar is drawn on a terminal only: elsewhere the log has a line a minute.
    """

    def __init__(self, monitor: str = "val/rank10") -> None:
        self.monitor = monitor
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


def _batches(counts: Any) -> int | None:
    total = sum(counts) if isinstance(counts, list) else counts
    return int(total) if total != float("inf") else None
