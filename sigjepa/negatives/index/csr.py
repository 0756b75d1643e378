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
    def symmetric(cls, first: Ids, second: Ids) -> "CSR":
        """Return the pairs `[P]` in both directions, whichever of them was given."""
        count = max(first.max(initial=0), second.max(initial=0)) + 1
        both = np.concatenate([first * count + second, second * count + first])  # a number sorts faster than two
        both.sort()
        return cls.from_sorted(*np.divmod(both[np.diff(both, prepend=-1) > 0], count))

    def pair_keys(self) -> Ids:
        """Return the key of each value `[P]`."""
        return np.repeat(self.keys, np.diff(self.offsets))

    def take(self, chosen: npt.NDArray[np.bool_]) -> "CSR":
        """Return the `chosen` values `[P]` with their keys; a key without a value goes."""
        return CSR.from_sorted(self.pair_keys()[chosen], self.values[chosen])

    def spans(self, keys: Ids) -> tuple[Ids, Ids]:
        """Return where the values of each of `keys` `[K]` begin and end, `[K]` each; an unknown key has none."""
        first, behind = (np.searchsorted(self.keys, keys, side) for side in ("left", "right"))
        return self.offsets[first], self.offsets[behind]

    def span(self, key: int) -> slice:
        """Return where the values of `key` lie; empty for an unknown key."""
        start, stop = self.spans(np.array([key]))
        return slice(int(start[0]), int(stop[0]))

    def padded(self, keys: Ids, value: int) -> Ids:
        """Return the values of each of `keys` `[K]` as a row, `value` behind the shorter ones: `[K, L]`."""
        starts, stops = self.spans(keys)
        lengths = (stops - starts)[:, None]
        columns = np.arange(lengths.max(initial=0))
        there = columns < lengths
        rows = np.full(there.shape, value, dtype=np.int64)
        rows[there] = self.values[(starts[:, None] + columns)[there]]
        return rows

    def to_lists(self, column: npt.NDArray[Any]) -> dict[int, list[Any]]:
        """Return `column [P]`, parallel to the values, as lists by key."""
        bounds = self.offsets.tolist()
        flat = column.tolist()
        return {key: flat[start:stop] for key, start, stop in zip(self.keys.tolist(), bounds, bounds[1:], strict=False)}
