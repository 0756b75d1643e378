"""The bodies of the highest scores of each query of a pool, and what those scores are the sums of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sigjepa.data.explanation import PairShares, explain, signature_terms
from sigjepa.data.shares import Share
from sigjepa.data.views import Views, score, take_views
from sigjepa.evaluation.ranks import BLOCK, first_of_identical
from sigjepa.lexicon.function_terms import extract_terms
from sigjepa.lexicon.terms import recorded_terms

TOP_K = 5


@dataclass(frozen=True)
class FirstBodies:
    """The first k bodies of each of N queries, and the own body, by score.

    places: `[N, k]` in the pool. scores: `[N, k + 1]`, the own body's last. shares: of as many pairs, in that order.
    """

    places: np.ndarray
    scores: np.ndarray
    shares: PairShares

    def why(self, row: int, texts: Mapping[int, str], signature: str) -> list[list[Share]]:
        """Return what the k + 1 scores of a query are the sums of. texts: of terms, by hash. signature: the query's."""
        count, terms = self.scores.shape[1], signature_terms(signature)
        return [self.shares.of(pair, texts, terms) for pair in range(row * count, (row + 1) * count)]


def term_texts(signatures: Sequence[str], bodies: Sequence[str]) -> dict[int, str]:
    """Return the texts of all terms of some functions, by the hash that a view has of each."""
    with recorded_terms() as texts:
        extract_terms(signatures, bodies)
    return texts


def first_bodies(predictions: Views, bodies: Views, identity: Tensor, top_k: int = TOP_K) -> FirstBodies:
    """Return the first bodies of each query of a pool whose body i is that of query i; equal scores in order.

    identity: equal for identical bodies alone, which have one score, as in `ranks.view_ranks`.
    """
    first, columns, _ = first_of_identical(identity)
    every = torch.arange(len(identity), device=identity.device)
    candidates, k = take_views(bodies, first), min(top_k, len(identity))
    parts: list[tuple[np.ndarray, np.ndarray, PairShares]] = []
    for rows in every.tensor_split(max(1, -(-len(every) // BLOCK))):
        scores = score(take_views(predictions, rows), candidates)[:, columns]
        places = torch.sort(scores, dim=1, descending=True, stable=True).indices[:, :k]
        shown = torch.cat([places, rows[:, None]], dim=1)
        pairs = (
            take_views(predictions, rows.repeat_interleave(k + 1)),
            take_views(bodies, first[columns[shown]].ravel()),
        )
        parts.append((places.cpu().numpy(), scores.gather(1, shown).float().cpu().numpy(), explain(*pairs)))
    found, values, shares = zip(*parts, strict=True)
    return FirstBodies(np.concatenate(found), np.concatenate(values), PairShares.concatenate(shares))
