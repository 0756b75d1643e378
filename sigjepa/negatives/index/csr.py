"""Lists of function ids by function id, as three arrays."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class CSR:
    """Lists of ids by key as three arrays (CSR): `keys [K]` ascending, `offsets [K + 1]`, `values [P]`."""

    keys: Ids
    offsets: Ids
    values: Ids

    @classmethod
    def from_sorted(cls, keys: Ids, values: Ids) -> "CSR":
        """Build from one key per value `[P]`, ascending."""
        unique, starts = np.unique(keys, return_index=True)
        return cls(unique, np.append(starts, len(keys)).astype(np.int64), values)

    @classmethod
    def symmetric(cls, one: Ids, other: Ids) -> "CSR":
        """Return the pairs `[P]` in both directions, whichever of them was given."""
        both = np.unique(np.stack([np.concatenate([one, other]), np.concatenate([other, one])], axis=1), axis=0)
        return cls.from_sorted(both[:, 0], both[:, 1])

    def pair_keys(self) -> Ids:
        """Return the key of each value `[P]`."""
        return np.repeat(self.keys, np.diff(self.offsets))

    def span(self, key: int) -> slice:
        """Return where the values of `key` lie; empty for an unknown key."""
        position = int(np.searchsorted(self.keys, key))
        if position == len(self.keys) or self.keys[position] != key:
            return slice(0, 0)
        return slice(int(self.offsets[position]), int(self.offsets[position + 1]))

    def to_lists(self, column: npt.NDArray[Any]) -> dict[int, list[Any]]:
        """Return `column [P]`, parallel to the values, as lists by key."""
        bounds = self.offsets.tolist()
        flat = column.tolist()
        return {key: flat[start:stop] for key, start, stop in zip(self.keys.tolist(), bounds, bounds[1:], strict=False)}
