"""The precision that losses are computed in, whatever the student's is."""

import torch
from torch import Tensor


def at_least_float32(values: Tensor) -> Tensor:
    """Half precision and whole numbers as float32; float32 and float64 as they are."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
