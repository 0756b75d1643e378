"""Checks of a run's settings before anything is built: numbers, student, and components that lack what they need."""

import logging
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from hydra.errors import InstantiationException
from lightning import Callback, Trainer
from lightning.pytorch.accelerators import CUDAAccelerator, MPSAccelerator
from lightning.pytorch.callbacks import Checkpoint, EarlyStopping, ModelCheckpoint
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from sigjepa.data.datamodule import check_data_settings
from sigjepa.data.training_data import TrainingData
from sigjepa.errors import SigjepaError
from sigjepa.evaluation.metrics import Metrics, monitored_metric
from sigjepa.runtime.foreign_lines import without_foreign_lines
from sigjepa.runtime.instantiate import instantiate
from sigjepa.runtime.slow_precision import warn_of_slow_bfloat16
from sigjepa.store.manifest import flatten
from sigjepa.training.callbacks import build_callbacks
from sigjepa.training.module import build_module
from sigjepa.training.optimizer import build_optimizer, build_scheduler
from sigjepa.training.process_check import check_processes
from sigjepa.training.refresh import RefreshNegatives, check_student

log = logging.getLogger(__name__)

NEGATIVES = {"hard_negatives", "mined_negatives"}
SOME_STEPS = 100_000
"""Steps of a run that a scheduler is tried with before it is known how many there are: more than a warm-up takes."""


def components_of(
    losses: Mapping[str, Any], nodes: Mapping[str, Any] | None, callbacks: Sequence[Callback]
) -> dict[str, Any]:
    """Return loss terms and callbacks by config key; nodes: the config of the callbacks."""
    keys = [f"callbacks.{name}" for name, node in (nodes or {}).items() if node is not None]
    named = dict(zip(keys, callbacks, strict=True))
    return {f"loss.{name}": loss for name, loss in losses.items()} | named


def check_negatives(components: Mapping[str, Any], data: TrainingData) -> None:
    """Raise SigjepaError when components need hard negatives, and no train function has one.

    components: by config key; each says what it needs as `needs`.
    """
    needing = [key for key, component in components.items() if NEGATIVES & set(getattr(component, "needs", ()))]
    negatives = data.hard_negatives
    if needing and (negatives is None or not negatives.coverage(data.train_ids)):
        raise SigjepaError(
            f"{' and '.join(needing)} would train without hard negatives: none of the train functions has one. Let "
            "more pairs through negatives.filter, or mend what scores them, negatives.judge; `sigjepa prepare` shows "
            "what became of the pairs."
        )


def check_settings(resolved: Mapping[str, Any]) -> None:
    """Raise SigjepaError for a seed, batches or a trainer that no run can have; resolved: the run's config."""
    check_seed(resolved["seed"])
    check_whole_folds(resolved["fold"], resolved["data"].get("pool_size"))
    check_data_settings(resolved["data"])
    trainer = resolved["trainer"]
    check_processes(trainer, os.environ)
    check_accelerator(trainer)
    check_whole_pools(trainer)
    check_trainer(trainer, resolved["allowed_targets"])


def check_seed(seed: Any) -> None:
    """Raise SigjepaError for a seed that no generator of random numbers takes."""
    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**32:
        raise SigjepaError(f"seed={seed} must be a whole number from 0 to {2**32 - 1:,}.")


def check_whole_folds(fold: int | None, pool_size: int | None) -> None:
    """Raise SigjepaError for a fold whose pool is a sample: the folds could not be pooled."""
    if fold is not None and pool_size is not None:
        raise SigjepaError(
            f"fold={fold} with data.pool_size={pool_size} can't be pooled with the other folds, in which each function "
            "is test once. Leave one of the two out; more folds give smaller pools."
        )


def check_module(resolved: Mapping[str, Any], teacher_dim: int, metrics: Metrics) -> None:
    """Raise SigjepaError for settings of which no student, optimizer or scheduler can be built, before any data is, and
    for a student that a callback can't mine by.

    Errors of a student that is a user's own keep their traceback. resolved: the run's config.
    """
    try:
        module = build_module(resolved, teacher_dim, metrics)
    except (ArithmeticError, AssertionError, InstantiationException, RuntimeError, TypeError, ValueError) as error:
        targets = [value for key, value in flatten(resolved["model"]) if key.endswith("_target_")]
        if not all(str(target).startswith("sigjepa.") for target in targets):
            raise
        cause = error.__cause__ or error  # a part's own error lies below Hydra's
        raise SigjepaError(f"The student can't be built ({cause}): check the keys of `model`.") from error
    callbacks = build_callbacks(resolved["callbacks"], metrics, resolved["allowed_targets"])
    if any(isinstance(callback, RefreshNegatives) for callback in callbacks):
        check_student(module.model)
    optimizer = build_optimizer(module.make_optimizer, module)
    if module.make_scheduler is not None:
        trainer = resolved["trainer"]
        endless = math.isinf(last_of(trainer.get("max_epochs"))) and trainer.get("max_steps", -1) == -1
        steps = math.inf if endless else SOME_STEPS
        build_scheduler(module.make_scheduler, optimizer, steps, 1, module.monitor, str(module.direction))


def check_accelerator(trainer: Mapping[str, Any]) -> None:
    """Raise SigjepaError for a GPU that is not there; trainer: keywords of `lightning.Trainer`."""
    accelerator = trainer.get("accelerator")
    kinds = {"gpu": (CUDAAccelerator, MPSAccelerator), "cuda": (CUDAAccelerator,), "mps": (MPSAccelerator,)}
    if accelerator in kinds and not any(kind.is_available() for kind in kinds[accelerator]):
        raise SigjepaError(
            f"trainer.accelerator={accelerator}: torch {torch.__version__} finds no such device here. Take "
            "trainer=default, which trains on what there is, or install the torch of your GPU."
        )


def check_trainer(trainer: Mapping[str, Any], allowed_targets: Sequence[str]) -> None:
    """Raise SigjepaError for arguments that `lightning.Trainer` refuses, before any data is built.

    trainer: a config node. Nothing is written and no device is touched.
    """
    # these two set flags of torch, by which artifacts are not to be built
    node = {key: value for key, value in trainer.items() if key not in ("deterministic", "benchmark")}
    try:
        with without_foreign_lines():
            instantiate(node, allowed_targets, callbacks=[], logger=False)
    except (MisconfigurationException, TypeError, ValueError) as error:
        raise SigjepaError(f"The trainer can't be built ({error}): check the keys of `trainer`.") from error


def check_whole_pools(trainer: Mapping[str, Any]) -> None:
    """Raise SigjepaError for a trainer that would rank a part of a pool; trainer: keywords of `lightning.Trainer`."""
    # Lightning takes 1 for one batch, and 1.0 for all of them
    limits = {name: trainer.get(name) for name in ("limit_val_batches", "limit_test_batches")}
    parts = {name: value for name, value in limits.items() if value is not None and str(value) != "1.0"}
    parts |= {name: trainer[name] for name in ("overfit_batches", "fast_dev_run") if trainer.get(name)}
    if parts:
        raise SigjepaError(
            f"{' and '.join(f'trainer.{name}={value}' for name, value in parts.items())} would rank a part of a pool, "
            "the shortest signatures, beside baselines of all of it. Leave it out; data.pool_size samples a pool for "
            "both, and data=tiny is a quick run."
        )


def check_selection(resolved: Mapping[str, Any], metrics: Metrics) -> None:
    """Raise SigjepaError for callbacks by which not the epoch that is best by `monitor` would be tested.

    resolved: the run's config.
    """
    callbacks = build_callbacks(resolved["callbacks"], metrics, resolved["allowed_targets"])
    named = components_of({}, resolved["callbacks"], callbacks)
    checkpoints = {key: callback for key, callback in named.items() if isinstance(callback, Checkpoint)}
    key = next(iter(checkpoints), "callbacks.best_checkpoint")
    checkpoint = checkpoints.get(key)  # the first, as in Trainer.checkpoint_callback
    if not isinstance(checkpoint, ModelCheckpoint):
        raise SigjepaError(
            "No epoch would be kept to be tested: callbacks.best_checkpoint must be a ModelCheckpoint, and stand "
            "before any other that keeps checkpoints."
        )
    wanted = (resolved["monitor"], monitored_metric(resolved["monitor"], metrics).direction)
    if (checkpoint.monitor, checkpoint.mode) != wanted:
        raise SigjepaError(
            f"{key} would keep the epoch that is best by monitor={checkpoint.monitor} mode={checkpoint.mode}, but this "
            f"run selects by monitor={wanted[0]}, whose direction is {wanted[1]}: give monitor=... alone, and leave "
            f"{key}.monitor and {key}.mode as they are."
        )
    number, name = checkpoint.save_top_k, checkpoint.filename or "{epoch}-{step}"
    if number == 0 or (number != 1 and "{epoch" not in name):
        raise SigjepaError(
            f"{key}.save_top_k={number} with filename={name} does not keep the best epoch: each one that is kept "
            f"overwrites the one before. Take save_top_k=1, or give each epoch its file, "
            f"'{key}.filename=\"{name}-{{epoch}}\"'."
        )


def check_beginnings(resolved: Mapping[str, Any], metrics: Metrics) -> None:
    """Raise SigjepaError for loss terms and callbacks that begin after `trainer.max_epochs`, before anything is built.

    Each says when it begins as `begins`. What is switched off in so many words, by a weight of 0, and what begins
    after early stopping may end training, is warned of. resolved: the run's config.
    """
    allowed = resolved["allowed_targets"]
    callbacks = build_callbacks(resolved["callbacks"], metrics, allowed)
    components = components_of(instantiate(resolved["loss"], allowed) or {}, resolved["callbacks"], callbacks)
    max_epochs = resolved["trainer"].get("max_epochs")
    if not (max_epochs is None or (isinstance(max_epochs, int) and (max_epochs == -1 or max_epochs > 0))):
        raise SigjepaError(
            f"trainer.max_epochs={max_epochs} must be a whole number, at least 1, or -1 for no limit, or null for 1000."
        )
    settings = dict(flatten({group: resolved[group] for group in ("loss", "callbacks")}))
    never = [
        f"{key} begins in epoch {begins:g} ({setting_of(key, begins, settings)})"
        for key, component in components.items()
        if math.isfinite(begins := beginning_of(component)) and begins >= last_of(max_epochs)
    ]
    if never:
        raise SigjepaError(
            f"{' and '.join(never)}, and trainer.max_epochs={max_epochs} ends training before: this run would not do "
            "what it is called. Train for more epochs, or let it begin earlier."
        )
    warn_of_late_beginnings(components)


def last_of(max_epochs: int | None) -> float:
    """Return how many epochs training has at most: Lightning takes -1 for no limit, and null for 1000."""
    return 1000 if max_epochs is None else math.inf if max_epochs < 0 else max_epochs


def beginning_of(component: Any) -> float:
    """Return the epoch from which on a component does what it is for; infinity for one that never does."""
    return math.inf if getattr(component, "weight", 1) == 0 else getattr(component, "begins", 0)


def setting_of(key: str, begins: float, settings: Mapping[str, Any]) -> str:
    """Return the setting of a component, with its value, that says when it begins; its own key where none does."""
    named = (f"{place}={value}" for place, value in settings.items() if value == begins and place.startswith(f"{key}."))
    return next(named, key)


def warn_of_late_beginnings(components: Mapping[str, Any]) -> None:
    """Warn of components that a weight switches off, and of those that begin when early stopping may end training."""
    stopping = [component for component in components.values() if isinstance(component, EarlyStopping)]
    patience = min((callback.patience for callback in stopping), default=math.inf)
    for key, component in components.items():
        begins = beginning_of(component)
        if begins == math.inf:
            log.warning("%s never begins: its weight is 0. Whatever it is called, this run trains without it.", key)
        elif begins > patience:
            log.warning(
                "%s begins in epoch %g, but early stopping may end training after epoch %d; raise "
                "callbacks.early_stopping.patience.",
                key,
                begins,
                patience,
            )


def never_began(components: Mapping[str, Any], best_epoch: int) -> dict[str, str]:
    """Return, for `summary.json`, what the tested checkpoint has not seen, as `never_began`; nothing if it has all."""
    late = [
        f"{key} begins in epoch {begins:g}, and the tested checkpoint is of epoch {best_epoch}"
        for key, component in components.items()
        if (begins := getattr(component, "begins", 0)) >= best_epoch + 1
    ]
    if not late:
        return {}
    log.warning("This run did not test what it is called: %s.", "; ".join(late))
    return {"never_began": "; ".join(late)}


def warn_of_slow_precision(trainer: Trainer) -> None:
    """Say in a line where the device of a trainer computes in its precision many times as slowly as in float32."""
    if str(trainer.precision).startswith("bf16"):
        setting = f"trainer.precision={trainer.precision}"
        warn_of_slow_bfloat16(setting, "trainer.precision=32-true", trainer.strategy.root_device)
