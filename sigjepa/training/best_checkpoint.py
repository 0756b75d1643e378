"""Selection on val, and the one look at test."""

import math
from pathlib import Path

import lightning
from lightning.pytorch.callbacks import ModelCheckpoint

from sigjepa.data.datamodule import FunctionDataModule
from sigjepa.errors import SigjepaError
from sigjepa.losses.infonce import InfoNCE
from sigjepa.training.checkpoint_io import read_checkpoint
from sigjepa.training.module import SigJepaModule


def evaluate_best(
    trainer: lightning.Trainer, module: SigJepaModule, datamodule: FunctionDataModule
) -> dict[str, float]:
    """Validate and then test, once, the checkpoint that was best on val; flat metrics, its epoch and temperature.

    Raises SigjepaError, before test is looked at, when its file does not score what its epoch did.
    """
    checkpoint = trainer.checkpoint_callback
    if not isinstance(checkpoint, ModelCheckpoint) or not checkpoint.best_model_path:
        raise SigjepaError("No best checkpoint was written: keep callbacks.best_checkpoint (a ModelCheckpoint).")
    path = checkpoint.best_model_path
    # not trainer.current_epoch: that is one less when training was resumed after its end
    stopped_epoch = trainer.fit_loop.epoch_progress.current.processed - 1  # type: ignore[attr-defined]
    loggers, trainer.loggers = trainer.loggers, []  # their curves have this point already
    (val,) = trainer.validate(module, datamodule=datamodule, ckpt_path=path, weights_only=True, verbose=False)
    trainer.loggers = loggers
    if (best := checkpoint.best_model_score) is not None:
        check_same_score(val[module.monitor], best.item(), len(module.evaluated["val"].ids), path)
    (test,) = trainer.test(module, datamodule=datamodule, ckpt_path=path, weights_only=True, verbose=False)
    temperatures = [loss.temperature.item() for loss in module.losses.values() if isinstance(loss, InfoNCE)]
    return {
        **val,
        **test,
        "best_epoch": read_checkpoint(Path(path))["epoch"],
        "stopped_epoch": stopped_epoch,
        "temperature": temperatures[0] if temperatures else float("nan"),
        "first_loss": module.first_loss.item(),
    }


def check_same_score(score: float, best: float, queries: int, path: str) -> None:
    """Raise SigjepaError when a checkpoint's `score` on val is not that of the best epoch.

    Hundredths may be apart, or two queries: on another machine, or in half precision, near ties fall otherwise.
    """
    if not math.isclose(score, best, rel_tol=0.01, abs_tol=max(0.01, 2 / queries)):
        raise SigjepaError(
            f"{path} scores {score:.4f} on val, but the best epoch scored {best:.4f}: another epoch has overwritten "
            "it. Give every callback that writes checkpoints files of its own, and train anew with resume=never."
        )
