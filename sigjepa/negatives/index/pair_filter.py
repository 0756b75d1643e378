"""Which judged pairs may be hard negatives, before any training: by score, cosine, rank, and beside the positive."""

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sigjepa.errors import SigjepaError
from sigjepa.negatives.judging.judged_pairs import JudgedPairs

if TYPE_CHECKING:
    from sigjepa.teacher.shards import TeacherShards

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class PairFilter:
    """Bounds that a judged pair must keep to be a hard negative; every one of them is inclusive.

    Args:
        min_cosim: lowest cosine of the two bodies.
        max_cosim: highest cosine of the two bodies; as the positive's cosine with itself is 1, this is also its cap as
            a share of that.
        max_score_c: highest score of a negative, 0 or 1; related pairs (2, 3) are masked, never negatives.
        max_positive_share: positive-aware cap: the negative may be at most this share as similar to the anchor's
            signature as the anchor's own body is (TopK-PercPos of NV-Retriever, https://arxiv.org/abs/2407.15831).
        min_positive_margin: positive-aware margin: the negative must be less similar to the anchor's signature than
            the anchor's own body, by at least this much (TopK-MarginPos, same source).
        min_rank, max_rank: window of the neighbor's place among the judged neighbors of its anchor, 1 is the nearest.
        max_per_anchor: most negatives of an anchor, the nearest of those that pass everything else.

    Raises SigjepaError for arguments out of range.
    """

    min_cosim: float = -1.0
    max_cosim: float = 1.0
    max_score_c: int = 1
    max_positive_share: float | None = None
    min_positive_margin: float | None = None
    min_rank: int = 1
    max_rank: int | None = None
    max_per_anchor: int | None = None

    def __post_init__(self) -> None:
        for name in ("min_cosim", "max_cosim"):
            if not -1 <= getattr(self, name) <= 1:
                raise SigjepaError(f"negatives.{name} must lie within [-1, 1], got {getattr(self, name)}.")
        if self.min_cosim > self.max_cosim:
            raise SigjepaError(f"negatives.min_cosim={self.min_cosim} is above negatives.max_cosim={self.max_cosim}.")
        if self.max_score_c not in (0, 1):
            raise SigjepaError(
                f"negatives.max_score_c must be 0 or 1, got {self.max_score_c}: pairs scored 2 or 3 are related, and "
                "the loss masks them as false negatives."
            )
        if self.max_positive_share is not None and not 0 < self.max_positive_share <= 1:
            raise SigjepaError(
                f"negatives.max_positive_share must lie within (0, 1], got {self.max_positive_share}; null is no cap."
            )
        if self.min_positive_margin is not None and not 0 <= self.min_positive_margin <= 2:
            raise SigjepaError(
                f"negatives.min_positive_margin must lie within [0, 2], got {self.min_positive_margin}; null is none."
            )
        for name in ("min_rank", "max_rank", "max_per_anchor"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise SigjepaError(f"negatives.{name} must be at least 1, got {value}.")
        if self.max_rank is not None and self.max_rank < self.min_rank:
            raise SigjepaError(f"negatives.min_rank={self.min_rank} is above negatives.max_rank={self.max_rank}.")

    @property
    def needs_similarities(self) -> bool:
        """Whether `chosen` must know how similar the two bodies are to the anchor's signature."""
        return self.max_positive_share is not None or self.min_positive_margin is not None

    def settings(self) -> dict[str, Any]:
        """All bounds by name, as JSON: part of an index's key and of its metadata."""
        return asdict(self)

    def chosen(self, judged: JudgedPairs, similarities: tuple[Floats, Floats] | None = None) -> npt.NDArray[np.int64]:
        """Positions of the pairs that pass, ordered by anchor, then descending cosine, then neighbor.

        similarities: of each pair's negative and of its anchor's own body to the anchor's signature, `[P]` each; see
        `signature_similarities`.
        """
        order = np.lexsort((judged.neighbor_ids, -judged.cosim, judged.anchor_ids))
        cosim, ranks = judged.cosim[order], _places(judged.anchor_ids[order])
        passes = (judged.score_c[order] <= self.max_score_c) & (cosim >= self.min_cosim) & (cosim <= self.max_cosim)
        passes &= ranks >= self.min_rank
        if self.max_rank is not None:
            passes &= ranks <= self.max_rank
        if self.needs_similarities:
            if similarities is None:
                raise ValueError("a positive-aware filter needs the similarities to the anchor's signature")
            negative, positive = similarities[0][order], similarities[1][order]
            if self.max_positive_share is not None:
                passes &= negative <= self.max_positive_share * positive
            if self.min_positive_margin is not None:
                passes &= negative <= positive - self.min_positive_margin
        kept = order[passes]
        if self.max_per_anchor is not None:
            kept = kept[_places(judged.anchor_ids[kept]) <= self.max_per_anchor]
        return kept


def filter_of(recipe: Any) -> PairFilter:
    """The bounds among the arguments of a recipe, which bear the same names."""
    return PairFilter(**{one.name: getattr(recipe, one.name) for one in fields(PairFilter)})


def similarities_for(
    pair_filter: PairFilter, judged: JudgedPairs, shards: "TeacherShards"
) -> tuple[Floats, Floats] | None:
    """What `pair_filter` must know beside the pairs: None, or their similarities to the anchors' signatures."""
    if not pair_filter.needs_similarities:
        return None
    return signature_similarities(judged, shards.signature_pooled.float().numpy(), shards.body_pooled.float().numpy())


def signature_similarities(
    judged: JudgedPairs,
    signatures: npt.NDArray[np.floating],
    bodies: npt.NDArray[np.floating],
    block_size: int = 65_536,
) -> tuple[Floats, Floats]:
    """Cosine of each anchor's signature with its negative and with its own body, `[P]` each.

    signatures, bodies: `[n, D]` the teacher's pooled embeddings by function id, of any length.
    """
    negative, positive = np.empty(len(judged)), np.empty(len(judged))
    for start in range(0, len(judged), block_size):
        block = slice(start, start + block_size)
        anchors = _unit(signatures[judged.anchor_ids[block]])
        negative[block] = np.einsum("pd,pd->p", anchors, _unit(bodies[judged.neighbor_ids[block]]))
        positive[block] = np.einsum("pd,pd->p", anchors, _unit(bodies[judged.anchor_ids[block]]))
    return negative, positive


def _unit(vectors: npt.NDArray[np.floating]) -> Floats:
    wide = vectors.astype(np.float64)
    return wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-12)


def _places(anchors: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Place of each entry among those of its anchor, from 1; `anchors` are ascending."""
    return np.arange(len(anchors)) - np.searchsorted(anchors, anchors) + 1
