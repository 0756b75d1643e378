"""Attention for batches whose shape is new each time."""

from contextlib import AbstractContextManager

from torch.nn.attention import SDPBackend, sdpa_kernel


def attention_of_any_shape() -> AbstractContextManager[None]:
    """Return a context in which attention takes kernels that serve every shape; on a CPU they are the same.

    On a Hopper GPU torch takes cuDNN's first, which are planned anew for each shape: tens of milliseconds and more.
    """
    return sdpa_kernel([SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH])
