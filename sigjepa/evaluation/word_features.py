"""BM25 of the words of a signature in a body, one feature for each role that the words stand in."""

import numpy as np

from sigjepa.errors import SigjepaError
from sigjepa.evaluation.pair_features import PairFeature, PoolFeatures, SparseFeature
from sigjepa.evaluation.pools import Pools
from sigjepa.lexicon.signature import ROLES
from sigjepa.lexicon.statistics import PackageCounts
from sigjepa.lexicon.terms import Vocabulary

FORMS = {"words": (1.0, 0.9), "names": (1.5, 0.75)}
"""BM25's k1 and b for split words and for bare names."""


def word_features(pools: Pools) -> PoolFeatures:
    """Return for each pool a feature for each form of words and each role, such as `words_parameter`.

    It sums over the words of that role in the signature: idf, of train bodies without the query's own package, times
    saturated frequency in the body. Raises SigjepaError when no train body has a word.
    """
    features: dict[str, dict[str, PairFeature]] = {split: {} for split in pools}
    for form, (k1, b) in FORMS.items():
        tables = {
            split: (getattr(pool.lexicon_terms, f"signature_{form}"), getattr(pool.lexicon_terms, f"body_{form}"))
            for split, pool in pools.items()
        }
        train = tables["train"][1]
        if form == "words" and not len(train.terms):
            raise SigjepaError(
                "No body of the train split has a word, so no word weighs anything; check corpus.source."
            )
        vocabulary = Vocabulary.of([table for pair in tables.values() for table in pair])
        counts = PackageCounts.of(train, vocabulary, pools["train"].packages)
        average = max(train.values.sum() / len(train), 1.0)
        for split, (query, body) in tables.items():
            packages = pools[split].packages
            having = counts.of_others(packages, query.functions, vocabulary.columns(query.terms))
            functions = counts.functions_of_others(packages, query.functions)
            idf = np.log1p((functions - having + 0.5) / (having + 0.5))
            frequency = body.values[:, 0].astype(float)
            length = np.bincount(body.functions, frequency, minlength=len(body))
            saturated = frequency / (frequency + k1 * (1 - b + b * length[body.functions] / average))
            bodies = body.matrix(vocabulary, saturated)
            for position, role in enumerate(ROLES):
                weighted = query.matrix(vocabulary, idf * query.values[:, position])
                features[split][f"{form}_{role}"] = SparseFeature(weighted, bodies)
    return features
