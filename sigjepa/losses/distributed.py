"""Rows and sums of every process; the identity when there is one process."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch import distributed as torch_distributed

from sigjepa.losses.loss import at_least_float32


def world_size() -> int:
    """Return the number of processes that train together."""
    return torch_distributed.get_world_size() if torch_distributed.is_initialized() else 1


def process_number() -> int:
    """Return the number of this process among those that train together, from 0."""
    return torch_distributed.get_rank() if torch_distributed.is_initialized() else 0


def gather_rows(rows: Tensor) -> tuple[Tensor, int]:
    """Concatenate `[n_r, ...]` of all ranks to `[Σ n_r, ...]` and return it with the offset of this rank's rows.

    Carries no gradient: only frozen targets are gathered. Ranks may bring different numbers of rows.
    """
    if world_size() == 1:
        return rows, 0
    size = torch.tensor([len(rows)], device=rows.device)
    sizes = [torch.zeros_like(size) for _ in range(world_size())]
    torch_distributed.all_gather(sizes, size)
    counts = [int(count) for count in sizes]
    padded = rows.new_zeros((max(counts), *rows.shape[1:]))
    padded[: len(rows)] = rows.detach()
    gathered = [torch.zeros_like(padded) for _ in counts]
    torch_distributed.all_gather(gathered, padded)
    offset = sum(counts[: process_number()])
    return torch.cat([part[:count] for part, count in zip(gathered, counts, strict=True)]), offset


def sum_over_processes(figures: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the sum of every process's scalars by name, the same names in all, in one exchange; carries no
    gradient.
    """
    sums = torch.stack([at_least_float32(value.detach()) for value in figures.values()])
    if world_size() > 1:
        torch_distributed.all_reduce(sums)
    return dict(zip(figures, sums, strict=True))
