"""Means over an epoch's steps, kept where a checkpoint can take them along."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch import distributed as torch_distributed

from sigjepa.losses.distributed import world_size


class MeanMetrics:
    """Weighted means of named figures since the last `take`; a name may come at any step.

    Lightning's own epoch means are lost with the process: a run that is continued in the middle of an epoch would log
    another mean than one that was never interrupted. Figures of a device are left there until `read`, which waits for
    it once, and are then counted in the order in which they came, in the double precision of the host.
    """

    def __init__(self) -> None:
        self.sums: dict[str, tuple[float, float]] = {}
        self._unread: list[tuple[dict[str, float | None], Tensor | None, float, int]] = []

    def add(self, figures: Mapping[str, Tensor | float], weight: float = 1.0, step: int = -1) -> None:
        """Count `figures`, scalars, with `weight`, for instance the number of functions that they are a mean over."""
        left = [value for value in figures.values() if isinstance(value, Tensor)]
        known = {name: None if isinstance(value, Tensor) else float(value) for name, value in figures.items()}
        self._unread.append((known, torch.stack(left) if left else None, weight, step))

    def read(self) -> list[tuple[int, dict[str, float]]]:
        """Count all that was added since the last reading, and return it, each with its step."""
        unread, self._unread = self._unread, []
        left = [values for _, values, _, _ in unread if values is not None]
        numbers = iter(torch.cat(left).tolist() if left else [])
        read = []
        for known, _, weight, step in unread:
            figures = {name: next(numbers) if value is None else value for name, value in known.items()}
            for name, value in figures.items():
                total, weights = self.sums.get(name, (0.0, 0.0))
                self.sums[name] = (total + value * weight, weights + weight)
            read.append((step, figures))
        return read

    def take(self) -> dict[str, float]:
        """Return the means, over all processes, which all must call this; begins anew."""
        self.read()
        parts: list[dict[str, tuple[float, float]]] = [self.sums]
        if world_size() > 1:
            parts = [{} for _ in range(world_size())]
            torch_distributed.all_gather_object(parts, self.sums)
        self.sums = {}
        names = dict.fromkeys(name for part in parts for name in part)
        held = {name: [part[name] for part in parts if name in part] for name in names}
        return {name: sum(value for value, _ in pairs) / sum(size for _, size in pairs) for name, pairs in held.items()}

    def state_dict(self) -> dict[str, list[float]]:
        """Sum and weight by name, plain numbers."""
        self.read()
        return {name: list(pair) for name, pair in self.sums.items()}

    def load_state_dict(self, state_dict: Mapping[str, list[float]]) -> None:
        """Go on from the sums of another process."""
        self.sums = {name: (total, weights) for name, (total, weights) in state_dict.items()}
