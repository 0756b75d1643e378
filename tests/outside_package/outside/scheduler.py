"""A learning-rate schedule: warm-up, then the inverse square root of the step."""

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


def inverse_square_root(optimizer: Optimizer, total_steps: int, warmup_fraction: float) -> LambdaLR:
    """Return a schedule that rises over `warmup_fraction` of the steps, then falls with 1/sqrt(step)."""
    warmup = max(1, round(warmup_fraction * total_steps))
    return LambdaLR(optimizer, lambda step: min((step + 1) / warmup, (warmup / (step + 1)) ** 0.5))
