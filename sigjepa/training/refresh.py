"""Refreshing hard negatives while training goes on, from what the student confuses."""

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import torch
from lightning import Callback, LightningModule, Trainer
from torch import nn

from sigjepa.data.datamodule import FunctionDataModule
from sigjepa.errors import SigjepaError
from sigjepa.losses.distributed import gather_rows
from sigjepa.models.student import BodyEncoder
from sigjepa.negatives.index.hard_negatives import HardNegatives
from sigjepa.negatives.refresh import mine_predictions
from sigjepa.negatives.sources import MinedNegatives
from sigjepa.store.progress import progress

log = logging.getLogger(__name__)


class RefreshNegatives(Callback):
    """Mines hard negatives anew with the student's predictions every `every_n_epochs` epochs (ANCE style).

    Each refresh is kept in `folder/epoch_<n>`, so that a resumed run takes up the negatives it had. Every process
    predicts its share of the train split; one of them mines. Raises SigjepaError for a period below 1, and at the start
    of training when there is nothing to refresh.
    """

    needs: ClassVar[Sequence[str]] = ("mined_negatives",)

    def __init__(self, every_n_epochs: int, folder: str | Path) -> None:
        if every_n_epochs < 1:
            raise SigjepaError(f"refresh_negatives.every_n_epochs must be at least 1, got {every_n_epochs}.")
        self.every_n_epochs = self.begins = every_n_epochs
        self.folder = Path(folder)
        self.refreshed_epoch: int | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Have batches served by a new loader each epoch: loader processes hold on to the negatives they began with."""
        trainer.reload_dataloaders_every_n_epochs = 1  # type: ignore[attr-defined]

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take up the refreshed negatives of the run that is continued."""
        datamodule, _ = _parts(trainer)
        check_student(cast(nn.Module, pl_module.model))
        if self.refreshed_epoch is not None:
            datamodule.use_negatives(HardNegatives.load(self._epoch_folder(self.refreshed_epoch)))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refresh when the epochs done are a multiple of the period, and some are still to come."""
        done = trainer.current_epoch + 1
        last = math.inf if trainer.max_epochs is None or trainer.max_epochs < 0 else trainer.max_epochs
        if done % self.every_n_epochs or done >= last:
            return
        datamodule, source = _parts(trainer)
        data = datamodule.data
        earlier = cast(HardNegatives, data.hard_negatives)
        ids, predictions = predict_train(trainer, pl_module, datamodule)
        folder = self._epoch_folder(done)
        if trainer.is_global_zero:
            mine_predictions(
                source,
                predictions,
                ids,
                data.targets.owners,
                earlier,
                corpus=data.corpus,
                shards=data.shards,
                data_dir=data.store.data_dir,
                provenance={"source": f"the student's predictions after {done} epochs"},
            ).save(folder)
        trainer.strategy.barrier("refreshed negatives")
        negatives = HardNegatives.load(folder)
        log.info(
            "Hard negatives refreshed after %d epochs: %d pairs for %.1f %% of train anchors, %.1f %% of them new",
            done,
            len(negatives),
            100 * negatives.coverage(ids),
            100 * (1 - shared_pairs(negatives, earlier)),
        )
        datamodule.use_negatives(negatives)
        self.refreshed_epoch = done

    def state_dict(self) -> dict[str, Any]:
        """Return which refresh is in use."""
        return {"refreshed_epoch": self.refreshed_epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up which refresh was in use."""
        self.refreshed_epoch = state_dict["refreshed_epoch"]

    def _epoch_folder(self, epoch: int) -> Path:
        return self.folder / f"epoch_{epoch}"


def check_student(model: nn.Module) -> None:
    """Raise SigjepaError for a student of several views, whose vectors alone do not say what it confuses."""
    if isinstance(model, BodyEncoder):
        raise SigjepaError(
            "callbacks=refresh mines by the predicted vectors of the student, and this one scores by several "
            "views: leave callbacks=refresh out, or train another student (model=sig_predictor_small)."
        )


def predict_train(
    trainer: Trainer, module: LightningModule, datamodule: FunctionDataModule
) -> tuple[np.ndarray, np.ndarray]:
    """Return ids `[n]`, ascending, and predictions `[n, D]` of what is trained on, in eval mode, without gradients."""
    was_training = module.training
    module.eval()
    ids, predictions = [], []
    with torch.no_grad(), trainer.precision_plugin.forward_context():
        for batch in progress(datamodule.eval_dataloader("train"), "Predicting train bodies", unit="batch"):
            moved = trainer.strategy.batch_to_device(batch)
            ids.append(moved.ids)
            predictions.append(module(moved).pooled.float())
    module.train(was_training)
    all_ids, all_predictions = (gather_rows(torch.cat(rows))[0].cpu().numpy() for rows in (ids, predictions))
    order = np.argsort(all_ids)
    return all_ids[order], all_predictions[order]


def shared_pairs(index: HardNegatives, earlier: HardNegatives) -> float:
    """Return the share of the pairs of `index` that `earlier` has as well."""
    if not len(index):
        return 0.0
    keys = [
        np.stack([each.negatives.pair_keys(), each.negatives.values], axis=1).view("i8,i8").ravel()
        for each in (index, earlier)
    ]
    return float(np.isin(keys[0], keys[1]).mean())


def _parts(trainer: Trainer) -> tuple[FunctionDataModule, MinedNegatives]:
    """Return the datamodule and the source that mines for it; raises SigjepaError where nothing is mined."""
    datamodule: FunctionDataModule = trainer.datamodule  # type: ignore[attr-defined]
    source = datamodule.data.source
    if not isinstance(source, MinedNegatives):
        raise SigjepaError(
            "callbacks=refresh mines hard negatives anew, but this run mines none: use negatives=knn, or leave "
            "callbacks=refresh out."
        )
    return datamodule, source
