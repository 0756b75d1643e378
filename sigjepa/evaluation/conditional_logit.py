"""Weights of pair features by which each train query picks its own body among random ones (McFadden 1974)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

from sigjepa.errors import SigjepaError
from sigjepa.evaluation.pair_features import PairFeature

SEED = 0
MAX_QUERIES = 4096
BLOCK = 256
RANDOM_BODIES = 512
RIDGE = 1e-3
DIGITS = 4
"""Weights are rounded to so many significant digits: what a processor's order of adding changes is gone."""


def sampled_blocks(size: int, seed: int = SEED) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield blocks of queries `[Q]` with the bodies `[C]` they share: their own, in order, then random others.

    Raises SigjepaError for a train split of fewer than two functions.
    """
    if size < 2:
        raise SigjepaError(
            f"Weights are fitted on train, which has {size} function; it needs at least 2. Widen corpus.source."
        )
    random = np.random.default_rng(seed)
    queries = random.permutation(size)[:MAX_QUERIES]
    for block in np.array_split(queries, -(-len(queries) // BLOCK)):
        others = np.setdiff1d(np.arange(size), block)
        yield block, np.concatenate([block, random.choice(others, min(RANDOM_BODIES, len(others)), replace=False)])


def fit_weights(features: Mapping[str, PairFeature], bodies: Sequence[str], seed: int = SEED) -> dict[str, float]:
    """Return a weight for each of some features of the train pool by name.

    They maximize the likelihood that a query picks its own body among those of its block of `sampled_blocks`, without
    bodies that are identical to its own: a convex problem, with `RIDGE` times the squares of standardized weights. A
    feature that never varies weighs 0. bodies: the texts. Raises SigjepaError as `sampled_blocks` does.
    """
    _, identical = np.unique(np.asarray(bodies, dtype=object), return_inverse=True)
    blocks: list[_Choices] = []
    for queries, candidates in sampled_blocks(len(bodies), seed):
        values = np.stack([feature.sample(queries, candidates) for feature in features.values()], axis=-1)
        diagonal = np.arange(len(queries))
        values -= values[diagonal, diagonal][:, None]
        excluded = identical[queries][:, None] == identical[candidates][None]
        excluded[diagonal, diagonal] = False
        blocks.append(_Choices(values, excluded))
    squares = np.mean([np.mean(np.square(block.values, dtype=float), axis=(0, 1)) for block in blocks], axis=0)
    scales = np.where(squares > 0, np.sqrt(squares), 1.0)
    for block in blocks:  # in place: they are large
        np.divide(block.values, scales.astype(np.float32), out=block.values)
    count = sum(len(block.values) for block in blocks)

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the mean negative log-likelihood with its penalty, and the gradient."""
        parts = [block.loss(weights) for block in blocks]
        value, gradient = (sum(each) / count for each in zip(*parts, strict=True))
        return value + RIDGE * weights @ weights, gradient + 2 * RIDGE * weights

    def curvature(weights: np.ndarray) -> np.ndarray:
        """Return the second derivatives of `loss`."""
        return sum(block.curvature(weights) for block in blocks) / count + 2 * RIDGE * np.eye(len(weights))

    found = minimize(
        loss, np.zeros(len(features)), jac=True, hess=curvature, method="trust-exact", options={"gtol": 1e-5}
    )
    weights = np.where(squares > 0, found.x / scales, 0.0)
    return {name: float(f"{weight:.{DIGITS - 1}e}") for name, weight in zip(features, weights, strict=True)}


@dataclass(frozen=True)
class _Choices:
    """Queries, each of which picks one of the same bodies; query i should pick body i.

    values: `[Q, C, F]` float32, of features, less those of the own body. excluded: `[Q, C]`, bodies it can't pick.
    """

    values: np.ndarray
    excluded: np.ndarray

    def log_shares(self, weights: np.ndarray) -> np.ndarray:
        """Return `[Q, C]` the logarithms of the probabilities by weights `[F]`."""
        scores = (self.values @ weights.astype(np.float32)).astype(float)
        scores[self.excluded] = -np.inf
        return log_softmax(scores, axis=1)

    def loss(self, weights: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the negative log-likelihood, summed over queries, and its gradient `[F]`."""
        log_shares = self.log_shares(weights)
        gradient = np.tensordot(np.exp(log_shares).astype(np.float32), self.values, axes=2)
        return -float(np.trace(log_shares)), gradient.astype(float)

    def curvature(self, weights: np.ndarray) -> np.ndarray:
        """Return the second derivatives `[F, F]`: the covariance of the features, summed over queries."""
        shares = np.exp(self.log_shares(weights)).astype(np.float32)[..., None]
        weighed = shares * self.values
        means = weighed.sum(axis=1)
        width = len(weights)
        return (weighed.reshape(-1, width).T @ self.values.reshape(-1, width) - means.T @ means).astype(float)
