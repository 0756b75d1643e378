"""Baselines of the lexicon: words by role, free names and the teacher's vectors, with weights fitted on train."""

import torch

from sigjepa.data.pool_sample import HELD_OUT
from sigjepa.evaluation.baseline import Baseline, from_ranks
from sigjepa.evaluation.conditional_logit import fit_weights
from sigjepa.evaluation.name_features import missing_name_features, name_count_features
from sigjepa.evaluation.pair_features import CosineFeature, PoolFeatures, merged, weighted_scorer
from sigjepa.evaluation.pools import Pools, center_halves
from sigjepa.evaluation.ranks import Ranks, block_ranks
from sigjepa.evaluation.word_features import word_features
from sigjepa.teacher.normalize import fit_whitening

SHRINKAGE = 0.3
"""Of the whitening, chosen on val of the pinned corpus; teacher zero-shot alone has less."""


def role_bm25(pools: Pools) -> Baseline:
    """Rank by BM25 of split words and bare names, with a weight for each role of the signature's words."""
    return _fitted(pools, word_features(pools))


def role_fusion(pools: Pools) -> Baseline:
    """Rank by role-weighted BM25 and whitened zero-shot."""
    return _fitted(pools, merged(word_features(pools), vector_features(pools)))


def free_name_rule(pools: Pools) -> Baseline:
    """Rank by these and two counts: free names of the body that the signature has not, parameters it does not use."""
    return _fitted(pools, merged(word_features(pools), vector_features(pools), missing_name_features(pools)))


def free_name_counts(pools: Pools) -> Baseline:
    """Rank by words, vectors and twenty counts of names that signature and body share or miss."""
    return _fitted(pools, merged(word_features(pools), vector_features(pools), name_count_features(pools)))


def vector_features(pools: Pools) -> PoolFeatures:
    """Return for each pool the cosine of signature and body, centered by half and whitened together on train."""
    signatures, bodies = center_halves(pools)
    whiten = fit_whitening(signatures["train"], bodies["train"], shrinkage=SHRINKAGE)
    return {split: {"zero_shot": CosineFeature(whiten(signatures[split]), whiten(bodies[split]))} for split in pools}


def _fitted(pools: Pools, features: PoolFeatures) -> Baseline:
    """Return the ranks by the weighted sum of features, whose weights are fitted on train and among its figures."""
    weights = fit_weights(features["train"], pools["train"].bodies)

    def ranks(split: str) -> Ranks:
        score = weighted_scorer(features[split], weights)
        return block_ranks(lambda rows: [score(rows)], torch.arange(len(pools[split].ids)))[0]

    figures = {f"weight_{name}": weight for name, weight in weights.items()}
    return from_ranks({split: ranks(split) for split in HELD_OUT}, pools, figures)
