"""Bodies that runs retrieve for queries of a pool: by the cosine of one vector, or as kept of several views."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from sigjepa.data.shares import why_text
from sigjepa.evaluation.first_bodies import FirstBodies
from sigjepa.evaluation.ranks import Ranks, cosine_scores


@dataclass(frozen=True)
class RankedBodies:
    """The first bodies of one query: the true body's score, places in the pool and their scores `[k]`.

    why: what these scores are the sums of, in words, the true body's last; empty of a cosine.
    """

    true_score: float
    places: np.ndarray
    scores: np.ndarray
    why: Sequence[str] = ()


@dataclass(frozen=True)
class Retrieval:
    """Hold what one run predicts for each query of a pool, and where the true body ranks.

    ids: `[N]`. predictions: `[N, D]`, whose cosines rank. ranks: of the same N queries, in the same order.
    """

    ids: np.ndarray
    predictions: np.ndarray
    ranks: Ranks

    def own_scores(self, bodies: Tensor) -> np.ndarray:
        """Return the score `[N]` of each query's own body."""
        return F.cosine_similarity(torch.from_numpy(self.predictions).float(), bodies.float(), dim=-1).numpy()

    def first(self, rows: Sequence[int], bodies: Tensor, top: int) -> list[RankedBodies]:
        """Return what is found first for some queries, equal scores in the order of ids."""
        scores = cosine_scores(torch.from_numpy(self.predictions[rows]).float(), bodies).numpy()
        places = [np.lexsort((self.ids, -line))[:top] for line in scores]
        return [RankedBodies(line[row], each, line[each]) for row, line, each in zip(rows, scores, places, strict=True)]


@dataclass(frozen=True)
class ExplainedRetrieval:
    """Hold what a run of a student of several views has kept of each query of a pool.

    ids: `[N]`. first_bodies: what is ranked first and why. ranks: of the same N queries, in the same order.
    texts: of terms. signatures: of the queries.
    """

    ids: np.ndarray
    first_bodies: FirstBodies
    ranks: Ranks
    texts: Mapping[int, str]
    signatures: Mapping[int, str]

    def own_scores(self, bodies: Tensor) -> np.ndarray:
        """Return the score `[N]` of each query's own body."""
        return self.first_bodies.scores[:, -1]

    def first(self, rows: Sequence[int], bodies: Tensor, top: int) -> list[RankedBodies]:
        """Return what is found first for some queries, as many as were kept at most."""
        found = []
        for row in rows:
            places, scores = self.first_bodies.places[row][:top], self.first_bodies.scores[row]
            shares = self.first_bodies.why(row, self.texts, self.signatures[int(self.ids[row])])
            why = [why_text(each) for each in shares]
            found.append(RankedBodies(scores[-1], places, scores[: len(places)], [*why[: len(places)], why[-1]]))
        return found
