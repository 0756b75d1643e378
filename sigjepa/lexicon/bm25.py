"""BM25 of terms that have tables: idf counted on train without the own package, and saturated frequencies."""

from collections.abc import Sequence

import numpy as np

from sigjepa.lexicon.statistics import PackageCounts
from sigjepa.lexicon.terms import TermTable

FORMS = {"words": (1.0, 0.9), "names": (1.5, 0.75)}
"""BM25's k1 and b for split words and for bare names."""


def inverse_document_frequencies(terms: TermTable, packages: Sequence[str] | None, counts: PackageCounts) -> np.ndarray:
    """Return the idf of each term `[m]`, of functions of some `packages`, by train bodies of other packages.

    Source: Robertson and Zaragoza (2009), in Lucene's variant.
    """
    having = counts.of_others(packages, terms.functions, terms.terms)
    functions = counts.functions_of_others(packages, terms.functions)
    return np.log1p((functions - having + 0.5) / (having + 0.5))


def saturated_frequencies(bodies: TermTable, mean_length: float, form: str) -> np.ndarray:
    """Return the saturated frequency of each term of bodies `[m]`; mean_length: of the train bodies."""
    k1, b = FORMS[form]
    frequency = bodies.values[:, 0].astype(float)
    lengths = np.bincount(bodies.functions, frequency, minlength=len(bodies))
    return frequency / (frequency + k1 * (1 - b + b * lengths[bodies.functions] / mean_length))
