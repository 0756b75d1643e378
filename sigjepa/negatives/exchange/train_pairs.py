"""The pairs of a file as positions of the train split: translated, checked and counted, from any file."""

from typing import Any

import numpy as np

from sigjepa.negatives.exchange.function_ids import UNKNOWN, FunctionIds
from sigjepa.negatives.judging.judged_pairs import JudgedPairs
from sigjepa.negatives.mining.vectors import Ids
from sigjepa.runtime.fields import LineError

DTYPES = (np.int64, np.int64, np.float64, np.int8)
SKIP = "leave out such pairs with negatives.outside_train=skip"


class TrainPairs:
    """Collects the pairs of a file.

    ids: how it names functions. train_ids: `[n]`, the whole train split. skip_outside: leave out and count pairs with a
    function outside of the train split (and, by content key, outside of the corpus) instead of refusing the file.
    """

    def __init__(self, ids: FunctionIds, train_ids: Ids, *, skip_outside: bool = False) -> None:
        self.ids = ids
        self.outside = 0
        self._skip_outside = skip_outside
        in_train = np.zeros(ids.n_functions + 1, dtype=bool)  # the last stands for UNKNOWN
        in_train[train_ids] = True
        self._in_train: list[bool] = in_train.tolist()
        self._seen: set[tuple[Any, Any]] = set()
        self._rows: list[tuple[Any, ...]] = []

    def inside(self, anchor: Any, neighbor: Any) -> tuple[int, int] | None:
        """Return the positions of a pair; None, and counted, where one is outside of the train split.

        Raises LineError for an id that is none, a function outside where those are refused, a pair of a function with
        itself, and one that came before.
        """
        pair = self._position(anchor), self._position(neighbor)
        if anchor == neighbor:
            raise LineError(f"function {anchor} is paired with itself")
        if (anchor, neighbor) in self._seen:
            raise LineError(f"the pair ({anchor}, {neighbor}) stands there twice")
        self._seen.add((anchor, neighbor))
        if self._in_train[pair[0]] and self._in_train[pair[1]]:
            return pair
        self.outside += 1
        return None

    def begin_list(self) -> None:
        """Forget which pairs came before: those of another list may be the same."""
        self._seen.clear()

    def add(self, pair: tuple[int, int], cosim: float, score_c: int, reason: str = "") -> None:
        """Keep a pair; a cosine that the file does not have is NaN."""
        self._rows.append((*pair, cosim, score_c, reason))

    def judged(self, judge: str) -> JudgedPairs:
        """Return the pairs that were kept, ordered as `JudgedPairs` are."""
        columns = [list(column) for column in zip(*self._rows, strict=True)] or [[]] * 5
        anchors, neighbors, cosims, scores = (
            np.array(column, dtype) for column, dtype in zip(columns[:4], DTYPES, strict=True)
        )
        return JudgedPairs(anchors, neighbors, cosims, scores, judge, columns[4]).ordered()

    def _position(self, value: Any) -> int:
        by_key = self.ids.kind == "key"
        if not self.ids.is_id(value):
            raise LineError(
                f"function {value!r} is no {'content key' if by_key else 'position, an integer,'} of the corpus; "
                f"negatives.ids={'position reads positions' if by_key else 'key reads content keys'}"
            )
        position = self.ids.find(value)
        if self._in_train[position]:
            return position
        if position == UNKNOWN and not (self._skip_outside and by_key):
            raise LineError(
                f"function {value!r} is not in the corpus of {self.ids.n_functions:,} functions, so the file is of "
                f"another corpus: use that one{f', or {SKIP}' if by_key else ''}"
            )
        if not self._skip_outside:
            raise LineError(
                f"function {value!r} is not in the train split, whose functions alone may become negatives: {SKIP}, or "
                "use the corpus that the file was made for"
            )
        return position
