"""Baselines: predictions that cost nothing, which every student stands beside on the same pool."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sigjepa.data.pool_sample import HELD_OUT
from sigjepa.errors import SigjepaError, nearest_name
from sigjepa.evaluation.baseline import Baseline, from_ranks
from sigjepa.evaluation.lexical import bm25_scorer
from sigjepa.evaluation.lexicon_baselines import free_name_counts, free_name_rule, role_bm25, role_fusion
from sigjepa.evaluation.pools import Pool, Pools, center_halves
from sigjepa.evaluation.ranks import Ranks, block_ranks, cosine_scorer, mean_cosine, pool_ranks
from sigjepa.teacher.normalize import fit_whitening

FUSION_WEIGHTS = tuple(float(weight) for weight in np.linspace(0, 1, 21))
"""The shares of BM25 among which the fusion chooses on val."""


def _from_predictions(predictions: Mapping[str, Tensor], bodies: Mapping[str, Tensor], pools: Pools) -> Baseline:
    cosines = {f"{split}/cosine": mean_cosine(predictions[split], bodies[split]) for split in HELD_OUT}
    return from_ranks({split: pool_ranks(predictions[split], bodies[split]) for split in HELD_OUT}, pools, cosines)


def random_order(pools: Pools) -> Baseline:
    """Give the expectation of guessing: every body of a pool tied with every other."""
    sizes = {split: np.full(len(pools[split].ids), len(pools[split].ids)) for split in HELD_OUT}
    return from_ranks({split: Ranks(np.ones_like(size), size) for split, size in sizes.items()}, pools, {})


def mean_body(pools: Pools) -> Baseline:
    """Rank by the mean train body as the prediction for every query."""
    mean = pools["train"].body_pooled.double().mean(dim=0).float()
    bodies = {split: pools[split].body_pooled for split in HELD_OUT}
    return _from_predictions({split: mean.expand_as(bodies[split]) for split in HELD_OUT}, bodies, pools)


def zero_shot(pools: Pools) -> Baseline:
    """Rank by the teacher's own embedding of the signature as the prediction."""
    signatures = {split: pools[split].signature_pooled for split in HELD_OUT}
    return _from_predictions(signatures, {split: pools[split].body_pooled for split in HELD_OUT}, pools)


def zero_shot_centred(pools: Pools) -> Baseline:
    """Rank by zero-shot after each half has lost its own train mean."""
    return _from_predictions(*center_halves(pools), pools)


def zero_shot_whitened(pools: Pools) -> Baseline:
    """Rank by zero-shot after centering each half, and one whitening of both, fitted on train.

    One for both: the bases of two whitenings have nothing to do with each other, and neither would their cosines.
    """
    signatures, bodies = center_halves(pools)
    whiten = fit_whitening(signatures["train"], bodies["train"])
    return _from_predictions(
        {split: whiten(signatures[split]) for split in HELD_OUT},
        {split: whiten(bodies[split]) for split in HELD_OUT},
        pools,
    )


def bm25(pools: Pools) -> Baseline:
    """Rank by BM25 over split identifiers, no embedding at all."""

    def ranks(pool: Pool) -> Ranks:
        score = bm25_scorer(pool.signatures, pool.bodies)
        return block_ranks(lambda rows: [score(rows)], torch.arange(len(pool.ids)))[0]

    return from_ranks({split: ranks(pools[split]) for split in HELD_OUT}, pools, {})


def fusion(pools: Pools) -> Baseline:
    """Rank by `weight` × BM25 + (1 − `weight`) × centered zero-shot, both standardized per query.

    The weight is the one of `FUSION_WEIGHTS` with the highest Rank@10 on val, the highest MRR among equals.
    """
    signatures, bodies = center_halves(pools)

    def ranks(split: str, weights: Sequence[float]) -> dict[float, Ranks]:
        lexical = bm25_scorer(pools[split].signatures, pools[split].bodies)
        semantic = cosine_scorer(signatures[split], bodies[split])

        def fused(rows: Tensor) -> Iterator[Tensor]:
            words, vectors = _standardized(lexical(rows)), _standardized(semantic(rows))
            return (weight * words + (1 - weight) * vectors for weight in weights)

        places = block_ranks(fused, torch.arange(len(pools[split].ids)), scorings=len(weights))
        return dict(zip(weights, places, strict=True))

    def quality(ranks: Ranks) -> tuple[float, float]:
        return float(ranks.recall_at(10).mean()), float(ranks.reciprocal().mean())

    on_val = ranks("val", FUSION_WEIGHTS)
    weight = max(on_val, key=lambda weight: quality(on_val[weight]))
    return from_ranks({"val": on_val[weight], "test": ranks("test", [weight])[weight]}, pools, {"weight": weight})


def _standardized(scores: Tensor) -> Tensor:
    """Give each row `[N]` of `scores` `[Q, N]` the mean 0 and the deviation 1; a constant row becomes 0."""
    centered = scores - scores.mean(dim=1, keepdim=True)
    return centered / scores.std(dim=1, correction=0, keepdim=True).clamp(min=torch.finfo(scores.dtype).eps)


@dataclass(frozen=True)
class BaselineMethod:
    """Name a way to rank without training: what tables call it, and the function that ranks the held-out pools.

    needs_lexicon: whether it reads the terms of the pools.
    """

    label: str
    measure: Callable[[Pools], Baseline]
    needs_lexicon: bool = False


BASELINES = {
    "random": BaselineMethod("random", random_order),
    "mean_body": BaselineMethod("mean body", mean_body),
    "zero_shot": BaselineMethod("teacher zero-shot", zero_shot),
    "zero_shot_centred": BaselineMethod("teacher zero-shot, centred", zero_shot_centred),
    "zero_shot_whitened": BaselineMethod("teacher zero-shot, whitened", zero_shot_whitened),
    "bm25": BaselineMethod("BM25", bm25),
    "fusion": BaselineMethod("BM25 + zero-shot", fusion),
    "role_bm25": BaselineMethod("role-weighted BM25", role_bm25, needs_lexicon=True),
    "role_fusion": BaselineMethod("role-weighted BM25 + zero-shot", role_fusion, needs_lexicon=True),
    "free_name_rule": BaselineMethod("role-weighted + free-name rule", free_name_rule, needs_lexicon=True),
    "free_name_counts": BaselineMethod("role-weighted + free-name counts", free_name_counts, needs_lexicon=True),
}
"""The baselines that `baseline` names in configs, in the order in which tables show them."""


def reference_label(name: str) -> str:
    """Return what tables call a baseline; an experiment has its own name."""
    return BASELINES[name].label if name in BASELINES else name


def baseline_names(names: str | Sequence[str]) -> list[str]:
    """Return the named baselines in the order of `BASELINES`, or all of them for `all`.

    Raises SigjepaError for a name that is not there.
    """
    chosen = list(BASELINES) if names == "all" else [names] if isinstance(names, str) else list(names)
    for name in chosen:
        if name not in BASELINES:
            raise SigjepaError(
                f"There is no baseline '{name}'.{nearest_name(name, BASELINES)} Known: all, {', '.join(BASELINES)}."
            )
    return [name for name in BASELINES if name in chosen]
