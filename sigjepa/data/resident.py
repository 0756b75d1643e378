"""Token states on the device that trains: batches are gathered there, and a step asks the host for nothing but ids."""

import logging
import math
from collections.abc import Iterable
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from sigjepa.data.targets import Targets
from sigjepa.store.progress import stage
from sigjepa.teacher.shards import TeacherShards

log = logging.getLogger(__name__)

WIDTH_MULTIPLE = 8
"""Batches are padded to a multiple of it, so that few shapes come, each of them often: what CUDA graphs are made of."""
MAX_SHARE = 0.6
"""Of the device's free memory that the data may take, so that the student and its activations have room."""
GIB = 2**30


class ResidentStates:
    """Token states of functions on a device, gathered to the padded states of a batch there.

    blocks: the states `[ΣS, D]` of all functions in order, in any number of blocks. lengths: `[n]`, of each function.
    kept: `[n]`, how many of each, from its start, are taken to the device.
    """

    def __init__(self, blocks: Iterable[Tensor], lengths: np.ndarray, kept: np.ndarray, device: torch.device) -> None:
        self.lengths = kept
        ends = np.cumsum(kept)
        self._ends, self._lengths = torch.from_numpy(ends).to(device), torch.from_numpy(kept).to(device)
        self._padding = int(ends[-1])
        self._columns = torch.arange(int(kept.max()), device=device)
        first, whole = np.repeat(np.cumsum(lengths) - lengths, lengths), bool((kept == lengths).all())
        wanted = torch.from_numpy(np.arange(len(first)) - first < np.repeat(kept, lengths))
        read = written = 0
        for block in blocks:
            rows = block.to(device)
            if not whole:
                rows = rows[wanted[read : read + len(block)].to(device)]
            if not read:
                self._states = torch.empty(self._padding + 1, block.shape[1], dtype=block.dtype, device=device)
                self._states[-1] = 0  # what padding reads
            self._states[written : written + len(rows)] = rows
            read, written = read + len(block), written + len(rows)

    def padded(self, ids: np.ndarray, functions: Tensor) -> tuple[Tensor, Tensor]:
        """Return the states `[B, S, D]` of some functions, zeros behind each, and their mask `[B, S]`.

        ids: `[B]` on the host, by which S is known without waiting for the device; functions: the same there.
        """
        width = -(-int(self.lengths[ids].max()) // WIDTH_MULTIPLE) * WIDTH_MULTIPLE  # or that of the longest of all
        columns, lengths = self._columns[:width], self._lengths[functions][:, None]
        mask = columns < lengths
        rows = torch.where(mask, self._ends[functions][:, None] - lengths + columns, self._padding)
        return self._states[rows], mask


class ResidentData:
    """Hold what batches are made of on a device: token states by half, and targets.

    targets: `[n, D]` body embeddings. bodies: `[n]` how many states of each body are taken there; None is without.
    """

    def __init__(
        self, shards: TeacherShards, targets: Tensor | Targets, device: torch.device, bodies: np.ndarray | None = None
    ) -> None:
        self.device = device
        self.targets = targets[torch.arange(len(targets))].to(device)
        lengths = shards.signature_lengths
        self.signatures = ResidentStates(shards.blocks("signature"), lengths, lengths, device)
        self.bodies: ResidentStates | None = None
        if bodies is not None:
            self.bodies = ResidentStates(shards.blocks("body"), shards.body_lengths, bodies, device)

    def to_device(self, values: np.ndarray) -> Tensor:
        """Return values of the host on the device, without waiting for what the device has still to do."""
        return to_device(torch.from_numpy(values), self.device)


def to_device(values: Tensor, device: torch.device) -> Tensor:
    """Return values of the host on a device, without waiting for what the device has still to do."""
    if device.type != "cuda":
        return values.to(device)
    return values.pin_memory().to(device, non_blocking=True)


def resident_bytes(shards: TeacherShards, targets: Tensor | Targets, bodies: np.ndarray | None = None) -> int:
    """Return the bytes that `ResidentData` of these arguments takes."""
    states = int(shards.signature_lengths.sum()) + (0 if bodies is None else int(bodies.sum()))
    return states * shards.dim * shards.item_size + math.prod(targets.shape) * torch.float32.itemsize


def resident_data(
    wanted: bool | Literal["auto"],
    shards: TeacherShards,
    targets: Tensor | Targets,
    device: torch.device,
    bodies: np.ndarray | None = None,
) -> ResidentData | None:
    """Return the data on a device, or None where it stays on the host; what is done is said in a line.

    wanted: `auto` for a CUDA device with room for it. Other arguments are `ResidentData`'s.
    """
    if not wanted or (wanted == "auto" and device.type != "cuda"):
        return None
    size = resident_bytes(shards, targets, bodies)
    if device.type == "cuda":
        free = torch.cuda.mem_get_info(device)[0]
        if wanted == "auto" and size > MAX_SHARE * free:
            log.info(
                "Token states stay on the host: %.1f GiB leave too little of the %.1f GiB free on %s "
                "(data.device_resident=true takes them all the same)",
                size / GIB,
                free / GIB,
                device,
            )
            return None
    with stage("Token states to the device"):
        data = ResidentData(shards, targets, device, bodies)
    log.info("Token states are on %s: %.1f GiB, data.device_resident=%s", device, size / GIB, wanted)
    return data
