"""Optimizers and schedulers: parameter groups, Muon beside AdamW, averaged weights, and the learning rate."""

import inspect
import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from lightning import Trainer
from torch import nn
from torch.optim import AdamW, Muon, Optimizer
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    CyclicLR,
    LinearLR,
    LRScheduler,
    ReduceLROnPlateau,
    SequentialLR,
)

from sigjepa.errors import SigjepaError

TOTAL_STEPS = ("total_steps", "num_training_steps")
"""Parameters of schedulers that are the optimizer steps of the whole run."""


def parameter_groups(module: nn.Module) -> list[dict[str, Any]]:
    """Return groups of `module`'s parameters: matrices, and what weight decay would only distort.

    Vectors and scalars (norms, biases, mask token, temperature) and embeddings get no weight decay. Parameters below a
    module with an `lr_scale`, the nearest one's, are groups of their own that carry it.
    """
    embeddings = {id(layer.weight) for layer in module.modules() if isinstance(layer, nn.Embedding)}
    scales = {id(parameter): 1.0 for parameter in module.parameters()}
    for each in module.modules():  # a module comes before those below it
        if isinstance(scale := getattr(each, "lr_scale", None), float | int):
            scales |= {id(parameter): float(scale) for parameter in each.parameters()}
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for scale in sorted(set(scales.values()), reverse=True) or [1.0]:
        groups |= {(scale, True): [], (scale, False): []}
    for parameter in module.parameters():
        if parameter.requires_grad:
            plain = parameter.ndim < 2 or id(parameter) in embeddings
            groups[scales[id(parameter)], not plain].append(parameter)
    return [
        {"params": parameters}
        | ({} if decayed else {"weight_decay": 0.0})
        | ({} if scale == 1 else {"lr_scale": scale})
        for (scale, decayed), parameters in groups.items()
        if parameters or scale == 1
    ]


class MuonAdamW(Optimizer):
    """Update matrices with Muon and everything else with AdamW, as one optimizer with one rate.

    params: groups as `parameter_groups` gives them. Muon gets the two-dimensional weights of groups that decay; AdamW
    gets vectors, embeddings and tensors of more dimensions. Muon's updates are scaled to the size of AdamW's, so that
    `lr` and `weight_decay` suit both (https://arxiv.org/abs/2502.16982). momentum, ns_steps: Muon's. betas: AdamW's.
    """

    def __init__(
        self,
        params: Iterable[dict[str, Any]],
        lr: float = 5e-4,
        weight_decay: float = 0.05,
        momentum: float = 0.95,
        ns_steps: int = 5,
        betas: tuple[float, float] = (0.9, 0.999),
    ) -> None:
        matrices: list[dict[str, Any]] = []
        others: list[dict[str, Any]] = []
        for group in params:
            members = list(group["params"])
            for_muon = [item for item in members if item.ndim == 2 and "weight_decay" not in group]
            for_adamw = [item for item in members if item.ndim != 2 or "weight_decay" in group]
            matrices += [{**group, "params": for_muon}] if for_muon else []
            others += [{**group, "params": for_adamw}] if for_adamw else []
        self.parts: list[Optimizer] = []
        if matrices:
            scale = "match_rms_adamw"
            self.parts.append(Muon(matrices, lr, weight_decay, momentum, ns_steps=ns_steps, adjust_lr_fn=scale))
        if others:
            self.parts.append(AdamW(others, lr, (betas[0], betas[1]), weight_decay=weight_decay))
        options = {"lr": lr, "weight_decay": weight_decay}
        super().__init__([group for part in self.parts for group in part.param_groups], options)
        self._share()

    def _share(self) -> None:
        """Let both parts work on the groups and the state of the whole, which schedulers and checkpoints know."""
        groups = list(self.param_groups)
        for part in self.parts:
            part.param_groups, groups = groups[: len(part.param_groups)], groups[len(part.param_groups) :]
            part.state = self.state

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take one step with both; `closure` computes the loss and its gradients first."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self.parts:
            part.step()
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load what `state_dict` gave."""
        super().load_state_dict(state_dict)
        self._share()


def train_mode(optimizers: Iterable[Optimizer]) -> None:
    """Switch optimizers that average weights (schedule-free) to the weights that gradients are taken at.

    Optimizers without a method `train` have one set of weights and are left alone; so they are by `eval_mode`.
    """
    for optimizer in optimizers:
        if callable(switch := getattr(optimizer, "train", None)):
            switch()


def eval_mode(optimizers: Iterable[Optimizer]) -> None:
    """Switch optimizers that average weights (schedule-free) to the weights that are evaluated and kept."""
    for optimizer in optimizers:
        if callable(switch := getattr(optimizer, "eval", None)):
            switch()


def is_fused(optimizer: Optimizer) -> bool:
    """Return whether the optimizer updates all parameters in one operation."""
    return any(group.get("fused") for group in optimizer.param_groups)


def scales_gradients(trainer: Trainer) -> bool:
    """Return whether gradients are those of a scaled loss until the optimizer's step, as in 16-mixed."""
    return getattr(trainer.precision_plugin, "scaler", None) is not None


def build_optimizer(
    make: Callable[[list[dict[str, Any]]], Optimizer], module: nn.Module, fused: bool = False
) -> Optimizer:
    """Return `make`'s optimizer over the parameter groups of `module`; raises SigjepaError for settings it refuses.

    The rate of a group with an `lr_scale` is so many times that of the others. fused: whether all parameters are
    updated in one operation, where `make` can and is not told otherwise.
    """
    choice = {"fused", "foreach"} & getattr(make, "keywords", {}).keys()
    can = "fused" in inspect.signature(getattr(make, "func", make)).parameters
    try:
        optimizer = make(parameter_groups(module), **({"fused": True} if fused and can and not choice else {}))
        for group in optimizer.param_groups:
            group["lr"] *= group.get("lr_scale", 1.0)
        return optimizer
    except (TypeError, ValueError) as error:
        raise SigjepaError(f"The optimizer can't be built ({error}): check the keys of `optimizer`.") from error


def build_scheduler(
    make: Callable[..., LRScheduler],
    optimizer: Optimizer,
    total_steps: float,
    steps_per_epoch: int,
    monitor: str,
    mode: str,
) -> dict[str, Any]:
    """Return the learning-rate scheduler of `make(optimizer, ...)` and when to step it, as Lightning takes both.

    make: any scheduler class of torch with some of its settings, or a function. What is not set and follows from the
    run is given to it: the run's `total_steps` (or `T_max`), the optimizer's rate as `max_lr`, and to
    ReduceLROnPlateau whether `monitor` should rise (`mode="max"`) or fall. A scheduler that knows the run's steps, and
    CyclicLR, is stepped at each of them; ReduceLROnPlateau after an epoch's validation; any other at an epoch's end, as
    torch documents it. total_steps: infinite for a run without an end. Raises SigjepaError when a setting is missing or
    refused, and for such a run where the scheduler spans it.
    """
    target = getattr(make, "func", make)
    missing = set(inspect.signature(target).parameters) - set(getattr(make, "keywords", {}))
    is_plateau = isinstance(target, type) and issubclass(target, ReduceLROnPlateau)
    every_step = "T_max" in missing or target is CyclicLR
    every_step |= any(name in inspect.signature(target).parameters for name in TOTAL_STEPS)
    wanted = {name for name in (*TOTAL_STEPS, "T_max") if name in missing}
    if {"epochs", "steps_per_epoch"} & getattr(make, "keywords", {}).keys():  # OneCycleLR's other way to say it
        wanted -= {"total_steps"}
    if wanted and math.isinf(total_steps):
        raise SigjepaError(
            f"The scheduler spans the run ({' and '.join(sorted(wanted))}), and trainer.max_epochs=-1 has no last "
            "step: give trainer.max_epochs or trainer.max_steps, or choose scheduler=reduce_on_plateau or none."
        )
    settings: dict[str, Any] = {name: int(total_steps) for name in wanted}
    if "max_lr" in missing:
        settings["max_lr"] = [group["lr"] for group in optimizer.param_groups]
    if "cycle_momentum" in missing and not {"momentum", "betas"} & set(optimizer.defaults):
        settings["cycle_momentum"] = False  # there is none that it could set
    if is_plateau and "mode" in missing:
        settings["mode"] = mode
    try:
        scheduler = make(optimizer, **settings)
    except (TypeError, ValueError, ZeroDivisionError) as error:  # torch's OneCycleLR divides by few steps
        raise SigjepaError(f"The scheduler can't be built ({error}): check the keys of `scheduler`.") from error
    if is_plateau:
        # by step: Lightning steps those by epoch after checkpoints are saved, and a resumed run would miss it
        schedule = {"scheduler": scheduler, "interval": "step", "frequency": steps_per_epoch, "monitor": monitor}
        return schedule | {"strict": False}  # an epoch without validation is passed over
    return {"scheduler": scheduler, "interval": "step" if every_step else "epoch"}


def warmup_cosine(
    optimizer: Optimizer, total_steps: int, warmup_fraction: float = 0.05, final_fraction: float = 0.01
) -> LRScheduler:
    """Warm up linearly over `warmup_fraction` of the steps, then decay by a cosine to `final_fraction` of the peak.

    Groups with rates of their own end at that of the lowest. Raises SigjepaError for a share outside of 0 to 1.
    """
    for name, share in (("warmup_fraction", warmup_fraction), ("final_fraction", final_fraction)):
        if not 0 <= share <= 1:
            raise SigjepaError(f"scheduler.{name}={share} must be a share, from 0 to 1.")
    warmup_steps = max(1, round(warmup_fraction * total_steps))
    peak = min(group["lr"] for group in optimizer.param_groups)
    warmup = LinearLR(optimizer, start_factor=1 / (warmup_steps + 1), total_iters=warmup_steps)
    decay = CosineAnnealingLR(optimizer, T_max=max(1, total_steps - warmup_steps), eta_min=final_fraction * peak)
    return SequentialLR(optimizer, [warmup, decay], milestones=[warmup_steps])
