"""Counts of a body's free names and of a signature's parameters: which are the same, which are missing."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from sigjepa.evaluation.pair_features import PairFeature, PoolFeatures, SparseFeature
from sigjepa.evaluation.pools import Pool, Pools
from sigjepa.lexicon.features import PRIOR
from sigjepa.lexicon.function_terms import FREE_NAME_COLUMNS, FunctionTerms
from sigjepa.lexicon.signature import ROLES
from sigjepa.lexicon.statistics import PackageCounts, in_rows
from sigjepa.lexicon.terms import TermTable, Vocabulary

TABLES = ("signature_names", "parameters", "body_names", "free_names", "super_calls")
USES_COUNTED = ("called", "attribute", "subscripted", "iterated", "none", "passed", "early")
KINDS = ("builtin", "underscore", "capitalized")
"""Kinds of free names by their spelling; a name is of the first that it fits, or of none."""


def missing_name_features(pools: Pools) -> PoolFeatures:
    """Return for each pool how many free names of a body the signature has not, how many parameters it does not use.

    The second is less the number of parameters, which is the same for all bodies of a query.
    """
    vocabulary = _vocabulary(pools)
    features = {}
    for split, pool in pools.items():
        names = _Names(pool.lexicon_terms, vocabulary)
        features[split] = {"missing": names.missing(names.free), "unused": names.unused(names.parameters)}
    return features


def name_count_features(pools: Pools) -> PoolFeatures:
    """Return for each pool twenty features of which names signature and body share, and which are missing.

    For a name that the body has free, that is a parameter or not, and for a parameter that it names or not: how many,
    and sums of logarithms of train rates, without the function's own package. Besides, which attributes the body takes
    of `super()`.
    """
    vocabulary = _vocabulary(pools)
    rates = _Rates.of(pools["train"])
    return {split: _name_counts(_Names(pool.lexicon_terms, vocabulary), rates, pool) for split, pool in pools.items()}


def _vocabulary(pools: Pools) -> Vocabulary:
    return Vocabulary.of([getattr(pool.lexicon_terms, name) for pool in pools.values() for name in TABLES])


class _Names:
    """The names of the functions of one pool as matrices over one vocabulary `[N, columns]`."""

    def __init__(self, terms: FunctionTerms, vocabulary: Vocabulary) -> None:
        self.terms, self.vocabulary = terms, vocabulary
        self.parameters, self.signature = self.which(terms.parameters), self.which(terms.signature_names)
        self.free, self.body = self.which(terms.free_names), self.which(terms.body_names)
        self.super_calls = self.which(terms.super_calls)
        is_function = terms.signature_names.values[:, ROLES.index("name")] > 0
        self.function = self.which(terms.signature_names, is_function)

    def which(self, table: TermTable, chosen: np.ndarray | None = None) -> sparse.csr_array:
        """Return 1 for each name that a function has; chosen: `[m]`, None for all."""
        matrix = table.matrix(self.vocabulary, np.ones(len(table.terms)) if chosen is None else chosen)
        matrix.data[:] = 1  # names that share a column are one
        return matrix

    def missing(self, bodies: sparse.csr_array, names: sparse.csr_array | None = None) -> SparseFeature:
        """Return the sum over names in a row of `bodies` that are not in one of `names`, the signature's by default."""
        known = self.signature if names is None else names
        return SparseFeature(-known, bodies, np.asarray(bodies.sum(axis=1)).ravel())

    def unused(self, parameters: sparse.csr_array) -> SparseFeature:
        """Return the sum over parameters that a body does not name, less the sum over all parameters."""
        return SparseFeature(-parameters, self.body)


@dataclass(frozen=True)
class _Rates:
    """Count how often names of train are parameters, and used; each for a function without those of its own package."""

    free: PackageCounts
    free_parameters: PackageCounts
    parameters: PackageCounts
    unused_parameters: PackageCounts
    bodies: PackageCounts
    parameter_rates: np.ndarray
    unused_rate: float

    @classmethod
    def of(cls, train: Pool) -> "_Rates":
        terms, packages = train.lexicon_terms, train.packages
        is_parameter = in_rows(terms.free_names, terms.parameters)
        is_unused = ~in_rows(terms.parameters, terms.body_names)
        kinds = _kinds(terms.free_names)
        counts = [(is_parameter[kinds == kind].sum(), (kinds == kind).sum()) for kind in range(len(KINDS) + 1)]
        return cls(
            PackageCounts.of(terms.free_names, packages),
            PackageCounts.of(terms.free_names, packages, is_parameter),
            PackageCounts.of(terms.parameters, packages),
            PackageCounts.of(terms.parameters, packages, is_unused),
            PackageCounts.of(terms.body_names, packages),
            np.array([(part + 1) / (whole + 2) for part, whole in counts]),
            (is_unused.sum() + 1) / (len(is_unused) + 2),
        )


def _name_counts(names: _Names, rates: _Rates, pool: Pool) -> dict[str, PairFeature]:
    """Return the features of one pool by name."""
    free, parameters, vocabulary = names.terms.free_names, names.terms.parameters, names.vocabulary
    kinds = _kinds(free)
    asked = (pool.packages, free.functions, free.terms)
    prior = PRIOR * rates.parameter_rates[kinds]
    is_parameter = (rates.free_parameters.of_others(*asked) + prior) / (rates.free.of_others(*asked) + PRIOR)
    asked = (pool.packages, parameters.functions, parameters.terms)
    functions = rates.parameters.functions_of_others(*asked[:2]) + 1
    having = rates.parameters.of_others(*asked)
    declared, named = (having + 0.5) / functions, (rates.bodies.of_others(*asked) + 0.5) / functions
    is_unused = (rates.unused_parameters.of_others(*asked) + PRIOR * rates.unused_rate) / (having + PRIOR)

    def of_free(values: np.ndarray) -> sparse.csr_array:
        return free.matrix(vocabulary, values)

    def of_parameters(values: np.ndarray) -> sparse.csr_array:
        return parameters.matrix(vocabulary, values)

    features: dict[str, PairFeature] = {
        "shared": SparseFeature(names.parameters, names.free),
        "shared_log_declared": SparseFeature(of_parameters(np.log(declared)), names.free),
        "shared_log_rate": SparseFeature(names.parameters, of_free(np.log(is_parameter))),
        "missing": names.missing(names.free),
        "missing_log_rate": names.missing(of_free(np.log1p(-is_parameter))),
    }
    for use in USES_COUNTED:
        features[f"missing_{use}"] = names.missing(of_free(free.values[:, FREE_NAME_COLUMNS.index(use)] > 0))
    for kind, spelled in enumerate(KINDS):
        features[f"missing_{spelled}"] = names.missing(of_free(kinds == kind))
    return features | {
        "unused": names.unused(names.parameters),
        "unused_log_rate": names.unused(of_parameters(np.log(is_unused))),
        "used_log_named": SparseFeature(of_parameters(np.log(named)), names.body),
        "super_same": SparseFeature(names.function, names.super_calls),
        "super_other": names.missing(names.super_calls, names.function),
    }


def _kinds(free_names: TermTable) -> np.ndarray:
    """Return the place of each free name in `KINDS`, behind the last for one of none."""
    flags = [free_names.values[:, FREE_NAME_COLUMNS.index(kind)] > 0 for kind in KINDS]
    return np.select(flags, range(len(KINDS)), len(KINDS))
