"""Features of pairs: a number for each query and body, by products of sparse or dense rows, a block at a time."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from scipy import sparse
from torch import Tensor
from torch.nn import functional as F

from sigjepa.evaluation.ranks import cosine_scorer


class PairFeature(Protocol):
    """A number for each pair of a query and a body of one pool."""

    def sample(self, queries: np.ndarray, bodies: np.ndarray) -> np.ndarray:
        """Return `[Q, C]` float32 for some queries `[Q]` and some bodies `[C]`."""

    def scores(self, queries: np.ndarray) -> np.ndarray:
        """Return `[Q, N]` float32 for some queries `[Q]` and all bodies; identical bodies have the same number."""


PoolFeatures = Mapping[str, Mapping[str, PairFeature]]
"""The features of each pool by split, those of a pool by name."""


@dataclass(frozen=True)
class SparseFeature:
    """`queries[i] · bodies[j] + constants[j]`.

    queries, bodies: `[N, columns]`. constants: `[N]`, None for 0.
    """

    queries: sparse.csr_array
    bodies: sparse.csr_array
    constants: np.ndarray | None = None

    @cached_property
    def _columns(self) -> sparse.csr_array:
        return self.bodies.T.tocsr()

    def sample(self, queries: np.ndarray, bodies: np.ndarray) -> np.ndarray:
        """Return the numbers of some queries and some bodies."""
        products = (self.queries[queries] @ self.bodies[bodies].T).toarray()
        return self._with_constants(products, bodies)

    def scores(self, queries: np.ndarray) -> np.ndarray:
        """Return the numbers of some queries and all bodies."""
        return self._with_constants((self.queries[queries] @ self._columns).toarray(), slice(None))

    def _with_constants(self, products: np.ndarray, bodies: np.ndarray | slice) -> np.ndarray:
        if self.constants is not None:
            products = products + self.constants[bodies][None]
        return products.astype(np.float32, copy=False)


@dataclass(frozen=True)
class CosineFeature:
    """The cosine of prediction i and body j, both `[N, D]`."""

    predictions: Tensor
    bodies: Tensor

    @cached_property
    def _scorer(self) -> Callable[[Tensor], Tensor]:
        return cosine_scorer(self.predictions, self.bodies)

    def sample(self, queries: np.ndarray, bodies: np.ndarray) -> np.ndarray:
        """Return the cosines of some queries and some bodies."""
        rows = [each[torch.from_numpy(ids)] for each, ids in ((self.predictions, queries), (self.bodies, bodies))]
        predictions, candidates = (F.normalize(each.float(), dim=-1) for each in rows)
        return (predictions @ candidates.T).numpy()

    def scores(self, queries: np.ndarray) -> np.ndarray:
        """Return the cosines of some queries and all bodies."""
        return self._scorer(torch.from_numpy(queries)).numpy()


def weighted_scorer(features: Mapping[str, PairFeature], weights: Mapping[str, float]) -> Callable[[Tensor], Tensor]:
    """Return a function from queries `rows` `[Q]` to the weighted sums `[Q, N]` of features with all bodies."""

    def scores(rows: Tensor) -> Tensor:
        queries = rows.numpy()
        (first, feature), *others = features.items()
        total = np.float32(weights[first]) * feature.scores(queries)
        for name, feature in others:
            if weights[name]:
                total += np.float32(weights[name]) * feature.scores(queries)
        return torch.from_numpy(total)

    return scores


def merged(*groups: PoolFeatures) -> PoolFeatures:
    """Return the features of several groups as one; no two have the same name."""
    return {split: {name: each for group in groups for name, each in group[split].items()} for split in groups[0]}
