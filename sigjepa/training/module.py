"""The LightningModule: sums the loss terms in training, ranks the whole pool in validation and test."""

import math
from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from lightning import LightningModule
from lightning.fabric.utilities import move_data_to_device
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from sigjepa.data.batch import Batch
from sigjepa.data.datamodule import FunctionDataModule
from sigjepa.errors import SigjepaError
from sigjepa.evaluation.metrics import Metrics, default_metrics, measure, monitored_metric, of_split, query_values
from sigjepa.losses.distributed import sum_over_processes, world_size
from sigjepa.losses.loss import Loss, Progress
from sigjepa.models.prediction import Prediction
from sigjepa.models.student import INPUTS, BodyEncoder, FittedStudent
from sigjepa.runtime.attention import attention_of_any_shape
from sigjepa.runtime.instantiate import instantiate
from sigjepa.training.evaluation_pass import Evaluation, check_each_once, concatenate_evaluations, evaluation
from sigjepa.training.loggers import RunLogger
from sigjepa.training.mean_metrics import MeanMetrics
from sigjepa.training.optimizer import (
    build_optimizer,
    build_scheduler,
    eval_mode,
    is_fused,
    scales_gradients,
    train_mode,
)
from sigjepa.training.run_directory import SplitPredictions


class SigJepaModule(LightningModule):
    """Trains a student on named, weighted loss terms.

    model: `(signature_states, signature_mask, body_positions) -> Prediction`; one that names other fields of a Batch as
    `reads` is given these. One with `body_views(body_pooled, body_terms) -> Views` has its own view of bodies, and one
    with `fit(halves)` fits something to train before the first step. losses: terms by the name they are
    logged under. optimizer: `(parameter groups) -> Optimizer`. scheduler: `(optimizer, ...) -> LRScheduler`, given what
    `build_scheduler` says; None keeps the rate. hyperparameters: the resolved config, plain values only, stored in the
    checkpoint and sent to loggers. metrics: what is measured, by name. monitor: that of them by which the best
    epoch is chosen and ReduceLROnPlateau lowers the rate.

    evaluated: by split, the predictions and ranks of the last pass over it. A pass is ranked with its last batch, so
    that callbacks, whose hooks Lightning calls before the module's, find this epoch's there and in `callback_metrics`.
    """

    first_loss: Tensor

    def __init__(
        self,
        model: nn.Module,
        losses: Mapping[str, nn.Module],
        optimizer: Callable[[list[dict[str, Any]]], Optimizer],
        scheduler: Callable[..., LRScheduler] | None = None,
        hyperparameters: dict[str, Any] | None = None,
        metrics: Metrics | None = None,
        monitor: str = "val/rank10",
    ) -> None:
        super().__init__()
        if not losses:
            raise SigjepaError("There is no loss term to train on: choose one, e.g. 'loss=[infonce]'.")
        self.save_hyperparameters(hyperparameters or {})
        self.model = model
        self.losses = nn.ModuleDict(losses)
        self.make_optimizer = optimizer
        self.make_scheduler = scheduler
        self.register_buffer("first_loss", torch.tensor(float("nan")))
        self.metrics = metrics = default_metrics() if metrics is None else metrics
        self.monitor = monitor
        self.direction = monitored_metric(monitor, metrics).direction
        self.step = self.compute_step
        self.mean_metrics = MeanMetrics()
        self.evaluated: dict[str, SplitPredictions] = {}
        self._collected: list[Evaluation] = []

    def forward(self, batch: Batch) -> Prediction:
        """Return the student's prediction; of the body it reads how many positions to predict, and in eval nothing."""
        body_positions = batch.body_states.shape[1] if self.training and batch.body_states is not None else 0
        given = {"body_positions": body_positions}
        with attention_of_any_shape():
            return self.model(
                *(given.get(name, getattr(batch, name, None)) for name in getattr(self.model, "reads", INPUTS))
            )

    def encode_bodies(self, batch: Batch) -> None:
        """Let a student that has its own view of bodies make it, of all bodies of a batch."""
        if isinstance(self.model, BodyEncoder):
            encode = self.model.body_views
            batch.body_views = encode(batch.body_pooled, batch.body_terms)
            for rows in (batch.negatives, batch.related, batch.random):
                if rows is not None:
                    rows.views = encode(rows.embeddings, rows.terms)

    def on_fit_start(self) -> None:
        """Let a student fit what it fits before training, give every further process dropout of its own (the first
        draws a single one's), and tell loggers what is best.

        Raises SigjepaError for several processes and a student with its own view of bodies.
        """
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # 4 % of a step
        if isinstance(self.model, BodyEncoder) and world_size() > 1:
            raise SigjepaError(
                f"A student with its own view of bodies trains in one process, and there are {world_size()}: set "
                "trainer.devices=1 trainer.num_nodes=1."
            )
        if isinstance(self.model, FittedStudent):
            train = cast(FunctionDataModule, self.trainer.datamodule).train_halves()  # type: ignore[attr-defined]
            self.model.fit(move_data_to_device(train, self.device))
        if self.global_rank > 0:
            torch.manual_seed(torch.initial_seed() + self.global_rank)
        for logger in self.loggers:
            if isinstance(logger, RunLogger):
                logger.summaries = self.summaries()

    def summaries(self) -> dict[str, str]:
        """Return what stands for the whole curve of a figure, `max` or `min` by its key: the best that it reached.

        The test split is looked at once, so there is nothing to choose among.
        """
        terms = [f"{term}{part}" for term in self.losses for part in ("", "_in_batch", "_mined")]
        of_val = of_split(self.metrics, "val").items()
        best = {f"val/{name}": str(metric.direction) for name, metric in of_val if metric.direction}
        return best | {f"train/{name}": "min" for name in ("loss", "step_loss", *terms)}

    def on_train_epoch_start(self) -> None:
        """Forget the last epoch's figures, which Lightning keeps: an epoch without validation has none of val."""
        self.trainer.callback_metrics.clear()

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Train the weights that gradients are taken at, where the optimizer averages others from them."""
        train_mode(self.trainer.optimizers)

    def compute_step(self, batch: Batch, progress: Progress) -> tuple[Tensor, dict[str, Tensor | float]]:
        """Return the weighted sum of the loss terms on a batch, and what is logged of it."""
        prediction = self(batch)
        self.encode_bodies(batch)
        total = torch.zeros((), device=prediction.pooled.device)
        logs: dict[str, Tensor | float] = {}
        for name, module in self.losses.items():
            loss = cast(Loss, module)
            term = loss(prediction, batch, progress)
            total = total + loss.weight * term.value
            logs[f"train/{name}"] = term.value.detach()
            logs |= {f"train/{name}_{key}": value for key, value in term.logs.items()}
        return total, logs | {"train/loss": total.detach()}

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Return the weighted sum of the loss terms; raises SigjepaError as `read_figures` does."""
        step, done = self.global_step, batch_index / self.trainer.num_training_batches
        total, logs = self.step(batch, Progress(epoch=self.current_epoch + done, step=step))
        weight = float(len(batch))
        if step == 0 or world_size() > 1:
            functions = torch.full((), len(batch), device=total.device)
            sums = sum_over_processes({"functions": functions, "loss": total})
            # terms are scaled such that their mean over processes is the global batch's, whatever each one's share
            weight = float(sums["functions"]) / world_size() if world_size() > 1 else weight
            if step == 0:
                self.first_loss.copy_(sums["loss"] / world_size())
        logs["train/first_loss"] = self.first_loss  # where hard negatives from step 0 show first
        self.mean_metrics.add(logs, weight, step)
        every = self.trainer.log_every_n_steps  # type: ignore[attr-defined]
        logged = bool(every) and (step + 1) % every == 0  # then Lightning hands figures of steps to loggers
        if (figures := self.read_figures() if logged or total.device.type == "cpu" else {}) and logged:
            loss = torch.tensor(figures["train/loss"])
            self.log("train/step_loss", loss, prog_bar=True, on_step=True, on_epoch=False, batch_size=len(batch))
        return total

    def read_figures(self) -> dict[str, float]:
        """Count what steps have left on the device, and return the last one's; it is waited for once.

        On a CPU that is each step, else each `trainer.log_every_n_steps`, and before a checkpoint and an epoch's end.
        Raises SigjepaError with step and term when a loss term was not finite.
        """
        last: dict[str, float] = {}
        for step, figures in self.mean_metrics.read():
            for name in self.losses:
                if not math.isfinite(value := figures.get(f"train/{name}", 0.0)):
                    raise SigjepaError(
                        f"The loss term '{name}' is {value} at step {step} (epoch {self.current_epoch}). Training "
                        "stopped; the checkpoints of the last good epoch are kept. Lower optimizer.lr or "
                        "trainer.gradient_clip_val."
                    )
            last = figures if "train/loss" in figures else last
        return last

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip as Lightning does, also for a fused optimizer, which it refuses whether or not gradients are scaled."""
        fused, by_norm = is_fused(optimizer), gradient_clip_algorithm in (None, "norm")
        if fused and by_norm and gradient_clip_val and not scales_gradients(self.trainer):
            members = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            nn.utils.clip_grad_norm_(members, gradient_clip_val)
        else:
            super().configure_gradient_clipping(optimizer, gradient_clip_val, gradient_clip_algorithm)

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Log the norm of the whole gradient before it is clipped, mean over the epoch's steps."""
        gradients = [parameter.grad for parameter in self.parameters() if parameter.grad is not None]
        norm = nn.utils.get_total_norm(gradients)
        self.mean_metrics.add({"train/gradient_norm": norm}, step=self.global_step)

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        """Log the epoch's means with its last step."""
        steps_done = self.global_step == self.trainer.max_steps
        if batch_idx + 1 == self.trainer.num_training_batches or steps_done:
            self.read_figures()
            self.log_dict(self.mean_metrics.take(), on_step=False, on_epoch=True, batch_size=1)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the sums of an epoch that goes on; raises SigjepaError as `read_figures` does."""
        self.read_figures()
        checkpoint["mean_metrics"] = self.mean_metrics.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up the sums of the epoch that is continued."""
        self.mean_metrics.load_state_dict(checkpoint.get("mean_metrics", {}))

    def _evaluate(self, split: str, batch: Batch, last: bool) -> None:
        """Collect this process's share of a pass; with its last batch, rank every true body in the whole pool."""
        self.encode_bodies(batch)
        self._collected.append(evaluation(self(batch), batch))
        if not last:
            return
        whole = concatenate_evaluations(self._collected)
        self._collected.clear()
        check_each_once(whole.ids, split)
        metrics = of_split(self.metrics, split)
        owners = None
        if whole.views is not None:
            owners = cast(FunctionDataModule, self.trainer.datamodule).data.targets.owners  # type: ignore[attr-defined]
        ranks = whole.ranks(owners)
        queries = query_values(whole.ids.cpu().numpy(), ranks, metrics)
        pooled = whole.predictions.cpu().numpy() if whole.views is None else None
        first = None if self.trainer.state.fn == TrainerFn.FITTING else whole.first_bodies(owners)
        self.evaluated[split] = SplitPredictions(queries.ids, ranks, pooled, queries, first)
        for name, value in measure(whole.predictions, whole.bodies, queries, metrics).items():
            key = f"{split}/{name}"
            self.log(key, value, prog_bar=key == self.monitor, on_step=False, on_epoch=True, batch_size=1)

    def on_validation_epoch_start(self) -> None:
        """Forget what an interrupted pass has left."""
        self._collected.clear()

    on_test_epoch_start = on_validation_epoch_start

    def on_validation_start(self) -> None:
        """Validate, and at the epoch's end keep, the averaged weights of an optimizer that has them."""
        if self.trainer.state.fn == TrainerFn.FITTING:  # after it, a checkpoint brought the weights
            eval_mode(self.trainer.optimizers)

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Predict this process's share of val; the last batch ranks the whole of it."""
        fitting = self.trainer.state.fn == TrainerFn.FITTING
        loop = self.trainer.fit_loop.epoch_loop.val_loop if fitting else self.trainer.validate_loop
        self._evaluate("val", batch, last=loop.batch_progress.is_last_batch)

    def test_step(self, batch: Batch, batch_index: int) -> None:
        """Predict this process's share of test; the last batch ranks the whole of it."""
        self._evaluate("test", batch, last=self.trainer.test_loop.batch_progress.is_last_batch)

    def configure_optimizers(self) -> Any:
        """Return the optimizer over decayed and undecayed parameters, and its learning-rate schedule."""
        fused = self.device.type == "cuda" and not scales_gradients(self.trainer)
        optimizer = build_optimizer(self.make_optimizer, self, fused)
        if self.make_scheduler is None:
            return optimizer
        total_steps = self.trainer.estimated_stepping_batches
        steps_per_epoch = int(self.trainer.num_training_batches)
        schedule = (optimizer, total_steps, steps_per_epoch, self.monitor, str(self.direction))
        return {"optimizer": optimizer, "lr_scheduler": build_scheduler(self.make_scheduler, *schedule)}


def build_module(resolved: Mapping[str, Any], teacher_dim: int, metrics: Metrics) -> SigJepaModule:
    """Return the module that a run's resolved config describes; teacher_dim: of the states that the student sees."""
    allowed = resolved["allowed_targets"]
    return SigJepaModule(
        model=instantiate(resolved["model"], allowed, teacher_dim=teacher_dim),
        losses=instantiate(resolved["loss"], allowed),
        optimizer=instantiate(resolved["optimizer"], allowed),
        scheduler=instantiate(resolved["scheduler"], allowed),
        hyperparameters=dict(resolved),
        metrics=metrics,
        monitor=resolved["monitor"],
    )
