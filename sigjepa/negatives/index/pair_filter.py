"""The filter of judged pairs that may be hard negatives: by score, cosine, rank, and beside the positive."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from sigjepa.errors import SigjepaError
from sigjepa.negatives.judging.judged_pairs import JudgedPairs
from sigjepa.negatives.mining.vectors import Floats, PooledRows, cosines
from sigjepa.runtime.fields import Cosine, Count, component

if TYPE_CHECKING:
    from sigjepa.teacher.shards import TeacherShards


@component("negatives.filter")
class PairFilter:
    """Bounds that a judged pair must keep to be a hard negative.

    The names of sentence-transformers' `mine_hard_negatives` mean what they mean there.

    Args:
        min_cosim, max_cosim: lowest and highest cosine of the two bodies, inclusive; as the positive's cosine with
            itself is 1, the highest is also a cap as a share of that.
        max_score_c: highest score of a negative, 0 or 1; related pairs (2, 3) are masked, never negatives.
        relative_margin: positive-aware: the negative must be less similar to the anchor's signature than the anchor's
            own body, by at least this share of that similarity (TopK-PercPos of NV-Retriever,
            https://arxiv.org/abs/2407.15831: 0.05 caps a negative at 95 % of the positive).
        absolute_margin: positive-aware: less similar by at least this much (TopK-MarginPos, same source).
        range_max: only the so many nearest of an anchor's judged neighbors are looked at; None is all of them.
        range_min: so many of an anchor's nearest are skipped, of those that pass the bounds above; 0 takes all.
        max_per_anchor: most negatives of an anchor, the nearest of those that are left.

    Raises SigjepaError for arguments out of range.
    """

    min_cosim: Cosine = -1.0
    max_cosim: Cosine = 1.0
    max_score_c: Annotated[int, Field(ge=0, le=1)] = 1
    relative_margin: Annotated[float, Field(ge=0, lt=1)] | None = None
    absolute_margin: Annotated[float, Field(ge=0, le=2)] | None = None
    range_min: Annotated[int, Field(ge=0)] = 0
    range_max: Count | None = None
    max_per_anchor: Count | None = None

    def __post_init__(self) -> None:
        for low, high in (("min_cosim", "max_cosim"), ("range_min", "range_max")):
            bounds = getattr(self, low), getattr(self, high)
            if None not in bounds and (bounds[0] > bounds[1] or (low == "range_min" and bounds[0] == bounds[1])):
                raise SigjepaError(
                    f"negatives.filter.{low}={bounds[0]} leaves nothing below negatives.filter.{high}={bounds[1]}; "
                    "lower the one or raise the other."
                )

    @property
    def positive_aware(self) -> bool:
        """Whether `chosen` must know how similar the two bodies are to the anchor's signature."""
        return self.relative_margin is not None or self.absolute_margin is not None

    def settings(self) -> dict[str, Any]:
        """Return all bounds by name, as JSON: part of an index's key and of its metadata."""
        return asdict(self)

    def chosen(self, judged: JudgedPairs, similarities: tuple[Floats, Floats] | None = None) -> npt.NDArray[np.int64]:
        """Return the positions of the pairs that pass, ordered by anchor, then descending cosine, then neighbor.

        similarities: of each pair's negative and of its anchor's own body to the anchor's signature, `[P]` each; see
        `similarities_for`.
        """
        order = np.lexsort((judged.neighbor_ids, -judged.cosim, judged.anchor_ids))
        cosim = judged.cosim[order]
        passes = (judged.score_c[order] <= self.max_score_c) & (cosim >= self.min_cosim) & (cosim <= self.max_cosim)
        if self.range_max is not None:
            passes &= _places(judged.anchor_ids[order]) < self.range_max
        if self.positive_aware:
            if similarities is None:
                raise ValueError("a positive-aware filter needs the similarities to the anchor's signature")
            negative, positive = similarities[0][order], similarities[1][order]
            if self.relative_margin is not None:
                passes &= negative <= positive - np.abs(positive) * self.relative_margin
            if self.absolute_margin is not None:
                passes &= negative + self.absolute_margin <= positive
        kept = order[passes]
        places = _places(judged.anchor_ids[kept]) - self.range_min
        last = len(judged) if self.max_per_anchor is None else self.max_per_anchor
        return kept[(places >= 0) & (places < last)]


def similarities_for(
    pair_filter: PairFilter, judged: JudgedPairs, shards: "TeacherShards"
) -> tuple[Floats, Floats] | None:
    """Return what `pair_filter` must know beside the pairs: similarities to the anchors' signatures, or nothing."""
    if not pair_filter.positive_aware:
        return None
    signatures, bodies = PooledRows(shards, "signature"), PooledRows(shards, "body")
    anchors, negatives = judged.anchor_ids, judged.neighbor_ids
    return cosines(signatures, bodies, anchors, negatives), cosines(signatures, bodies, anchors, anchors)


def _places(anchors: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the place of each entry among those of its anchor, from 0; `anchors` are ascending."""
    return np.arange(len(anchors)) - np.searchsorted(anchors, anchors)
