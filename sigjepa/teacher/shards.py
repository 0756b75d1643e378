"""A corpus in the teacher's eyes: shards of states, memory-mapped when they are read."""

from bisect import bisect_right
from collections.abc import Iterator
from functools import cached_property
from typing import Literal

import numpy as np
import torch
import xxhash
from safetensors import safe_open
from torch import Tensor

from sigjepa.errors import SigjepaError
from sigjepa.store.artifact import OpenedArtifact
from sigjepa.store.files import read_errors
from sigjepa.store.manifest import Manifest


class TeacherShards(OpenedArtifact):
    """The teacher's states of every function of a corpus, by function id.

    Nothing is read until it is asked for, and then through a memory map, of its own in each process.

    Args:
        manifest: of the artifact that `ShardStage` builds.

    Attributes:
        dim: size D of a state.
        has_body_states: whether `body_states` can be asked for.
    """

    def __init__(self, manifest: Manifest) -> None:
        super().__init__(manifest)
        self.dim: int = manifest.facts["dim"]
        self.has_body_states: bool = manifest.inputs["body_states"]
        self._files: list[str] = [shard["file"] for shard in manifest.facts["shards"]]
        self._starts: list[int] = [shard["first_id"] for shard in manifest.facts["shards"]]
        self._maps: dict[int, dict[str, Tensor]] = {}
        self._offsets: dict[tuple[str, int], list[int]] = {}

    def __len__(self) -> int:
        return int(self.manifest.facts["functions"])

    @property
    def ids(self) -> np.ndarray:
        """Ids of the functions `[n]`, int64, ascending; row i of the pooled matrices is function `ids[i]`."""
        return np.arange(len(self), dtype=np.int64)

    @cached_property
    def signature_pooled(self) -> Tensor:
        """Mean of each signature's states `[n, D]`, float32."""
        return self._rows("signature_pooled")

    @cached_property
    def body_pooled(self) -> Tensor:
        """Mean of each body's states `[n, D]`, float32."""
        return self._rows("body_pooled")

    def pooled(self, half: Literal["signature", "body"], functions: np.ndarray) -> Tensor:
        """Return the means of one half of some functions `[B, D]`, float32: no other row is read from the maps."""
        shards = np.searchsorted(self._starts, functions, side="right") - 1
        order = np.argsort(shards, kind="stable")
        found = np.empty((len(functions), self.dim), dtype=np.float32)
        for rows in np.split(order, np.flatnonzero(np.diff(shards[order])) + 1) if len(order) else ():
            shard = int(shards[rows[0]])
            found[rows] = self._shard(shard)[f"{half}_pooled"].numpy()[functions[rows] - self._starts[shard]]
        return torch.from_numpy(found)

    @cached_property
    def pooled_digest(self) -> str:
        """Identifies both matrices of means; equal whether or not token states of bodies were kept."""
        digest = xxhash.xxh3_128()
        for half in ("signature", "body"):
            for shard in range(len(self._starts)):  # of the map: nothing is copied
                digest.update(self._shard(shard)[f"{half}_pooled"].numpy().data)
        return f"xxh3_128:{digest.hexdigest()}"

    @cached_property
    def signature_lengths(self) -> np.ndarray:
        """States of each signature `[n]`, int64."""
        return self._rows("signature_lengths").numpy()

    @cached_property
    def body_lengths(self) -> np.ndarray:
        """States of each body `[n]`, int64; known whether or not the states themselves were kept."""
        return self._rows("body_lengths").numpy()

    def signature_states(self, function: int) -> Tensor:
        """Return the token states of a function's signature `[S, D]`, in the storage precision: a view of the map,
        read-only.

        Raises IndexError when there is no such function.
        """
        return self._states("signature", function)

    def body_states(self, function: int) -> Tensor:
        """Return the token states of a function's body `[T, D]`, in the storage precision: a view of the map,
        read-only.

        Raises IndexError when there is no such function, SigjepaError when body states were not kept.
        """
        self._check_body_states()
        return self._states("body", function)

    def blocks(self, half: Literal["signature", "body"]) -> Iterator[Tensor]:
        """Yield the token states `[ΣS, D]` of one half of all functions in order, a shard at a time.

        Raises SigjepaError when body states were not kept.
        """
        if half == "body":
            self._check_body_states()
        for shard in range(len(self._starts)):
            yield self._shard(shard)[f"{half}_states"]

    @property
    def item_size(self) -> int:
        """Bytes of a number in the storage precision."""
        return self._shard(0)["signature_states"].element_size()

    def _check_body_states(self) -> None:
        if not self.has_body_states:
            raise SigjepaError(f"{self.folder} holds no body states; prepare it with body_states=true.")

    def _states(self, half: str, function: int) -> Tensor:
        if not 0 <= function < len(self):
            raise IndexError(f"no function {function} in {self.folder}; ids go from 0 to {len(self) - 1}")
        shard = bisect_right(self._starts, function) - 1
        # as numbers of Python: to take two out of a tensor costs more than the rest
        if (half, shard) not in self._offsets:
            self._offsets[half, shard] = self._shard(shard)[f"{half}_offsets"].tolist()
        offsets, row = self._offsets[half, shard], function - self._starts[shard]
        return self._shard(shard)[f"{half}_states"][offsets[row] : offsets[row + 1]]

    def _rows(self, name: str) -> Tensor:
        return torch.cat([self._shard(shard)[name] for shard in range(len(self._starts))])

    def _shard(self, shard: int) -> dict[str, Tensor]:
        if shard not in self._maps:
            path = self.folder / self._files[shard]
            with read_errors(path), safe_open(path, framework="pt") as file:
                # torch tensors over a copy-on-write map: pages are read when touched, bfloat16 included.
                self._maps[shard] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return self._maps[shard]
