"""The record of a baseline: what a way to rank without training gives on the held-out pools."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sigjepa.data.pool_sample import HELD_OUT
from sigjepa.evaluation.metrics import Metrics, QueryValues, of_split, query_values
from sigjepa.evaluation.pools import Pools
from sigjepa.evaluation.ranks import Ranks


@dataclass(frozen=True)
class Baseline:
    """Hold the places of true bodies by a baseline on the val and test pools.

    figures: what does not follow from the ranks, such as `val/cosine`, or the `weight` of the fusion. ranks:
    `{split: (ids [N], Ranks)}`.
    """

    figures: Mapping[str, float]
    ranks: Mapping[str, tuple[np.ndarray, Ranks]]

    def queries(self, metrics: Metrics) -> dict[str, QueryValues]:
        """Return by split the values of every query by those of `metrics` that have one a query."""
        return {split: query_values(ids, ranks, of_split(metrics, split)) for split, (ids, ranks) in self.ranks.items()}

    def figures_of(self, metrics: Metrics) -> dict[str, float]:
        """Return `metrics` by key, `val/rank10`, as far as a baseline has them, and its other figures."""
        queries = self.queries(metrics).items()
        means = {f"{split}/{name}": mean for split, values in queries for name, mean in values.means().items()}
        known = {f"{split}/{name}" for split in HELD_OUT for name in metrics}
        return means | {
            key: value for key, value in self.figures.items() if "/" not in key or key in known - means.keys()
        }


def from_ranks(ranks: Mapping[str, Ranks], pools: Pools, figures: Mapping[str, float]) -> Baseline:
    """Return the baseline of the ranks of some pools by split."""
    return Baseline(figures, {split: (pools[split].ids, places) for split, places in ranks.items()})
