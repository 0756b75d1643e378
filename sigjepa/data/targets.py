"""The targets of students: body embeddings where they lie in the shards, equal for byte-identical bodies."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import xxhash
from torch import Tensor

from sigjepa.teacher.shards import TeacherShards


class Targets:
    """The body embeddings `[n, D]` of functions, read from the map of the shards row by row.

    A map's pages are shared by all processes of a machine, so that none has a copy. owners: `[n]` the function whose
    embedding each has.
    """

    def __init__(self, shards: TeacherShards, owners: npt.NDArray[np.int64]) -> None:
        self.shards = shards
        self.owners = owners
        self.shape = (len(owners), shards.dim)

    def __len__(self) -> int:
        return len(self.owners)

    def __getitem__(self, functions: Tensor | npt.NDArray[np.int64]) -> Tensor:
        """Return the targets of some functions `[B, D]`, float32."""
        return self.shards.pooled("body", self.owners[np.asarray(functions)])

    def whole(self) -> Tensor:
        """Return a copy of all `[n, D]`."""
        return self[np.arange(len(self))]


def owners_of(bodies: Iterable[str]) -> npt.NDArray[np.int64]:
    """Return for each body the position of the first one that is equal byte for byte `[n]`.

    A teacher's last bits depend on how a batch was padded; with the first one's embedding, equal bodies are exactly
    equal rows, so false negatives can be masked and ties ranked by equality.
    """
    first: dict[bytes, int] = {}
    digests = (xxhash.xxh3_128_digest(body.encode()) for body in bodies)
    return np.fromiter((first.setdefault(digest, position) for position, digest in enumerate(digests)), np.int64)
