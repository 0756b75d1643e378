"""BM25 of the words of a signature in a body, one feature for each role that the words stand in."""

from sigjepa.evaluation.pair_features import PairFeature, PoolFeatures, SparseFeature
from sigjepa.evaluation.pools import Pools
from sigjepa.lexicon.bm25 import FORMS, inverse_document_frequencies, saturated_frequencies
from sigjepa.lexicon.signature import ROLES
from sigjepa.lexicon.statistics import PackageCounts, check_words, mean_length
from sigjepa.lexicon.terms import Vocabulary


def word_features(pools: Pools) -> PoolFeatures:
    """Return for each pool a feature for each form of words and each role, such as `words_parameter`.

    It sums over the words of that role in the signature: idf, of train bodies without the query's own package, times
    saturated frequency in the body. Raises SigjepaError when no train body has a word.
    """
    features: dict[str, dict[str, PairFeature]] = {split: {} for split in pools}
    for form in FORMS:
        tables = {
            split: (getattr(pool.lexicon_terms, f"signature_{form}"), getattr(pool.lexicon_terms, f"body_{form}"))
            for split, pool in pools.items()
        }
        train = tables["train"][1]
        if form == "words":
            check_words(train)
        vocabulary = Vocabulary.of([table for pair in tables.values() for table in pair])
        counts = PackageCounts.of(train, pools["train"].packages)
        for split, (query, body) in tables.items():
            idf = inverse_document_frequencies(query, pools[split].packages, counts)
            bodies = body.matrix(vocabulary, saturated_frequencies(body, mean_length(train), form))
            for position, role in enumerate(ROLES):
                weighted = query.matrix(vocabulary, idf * query.values[:, position])
                features[split][f"{form}_{role}"] = SparseFeature(weighted, bodies)
    return features
