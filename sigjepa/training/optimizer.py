"""What is optimised and how fast: parameter groups and the learning-rate schedule."""

from typing import Any

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler, SequentialLR


def parameter_groups(module: nn.Module) -> list[dict[str, Any]]:
    """Two groups of `module`'s parameters: matrices, and what weight decay would only distort.

    Vectors and scalars (norms, biases, mask token, temperature) and embeddings get no weight decay.
    """
    embeddings = {id(layer.weight) for layer in module.modules() if isinstance(layer, nn.Embedding)}
    decayed: list[nn.Parameter] = []
    undecayed: list[nn.Parameter] = []
    for parameter in module.parameters():
        if parameter.requires_grad:
            plain = parameter.ndim < 2 or id(parameter) in embeddings
            (undecayed if plain else decayed).append(parameter)
    return [{"params": decayed}, {"params": undecayed, "weight_decay": 0.0}]


def warmup_cosine(
    optimizer: Optimizer, total_steps: int, warmup_fraction: float = 0.05, final_fraction: float = 0.01
) -> LRScheduler:
    """Linear warm-up over `warmup_fraction` of the steps, then cosine decay to `final_fraction` of the peak rate."""
    warmup_steps = max(1, round(warmup_fraction * total_steps))
    peak = max(group["lr"] for group in optimizer.param_groups)
    warmup = LinearLR(optimizer, start_factor=1 / (warmup_steps + 1), total_iters=warmup_steps)
    decay = CosineAnnealingLR(optimizer, T_max=max(1, total_steps - warmup_steps), eta_min=final_fraction * peak)
    return SequentialLR(optimizer, [warmup, decay], milestones=[warmup_steps])
