"""Features of functions: the numbers that students read of each term, statistics of train among them.

A statistic that a train function is given leaves out its own package: a function of a new package has none of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sigjepa.lexicon.bm25 import inverse_document_frequencies, saturated_frequencies
from sigjepa.lexicon.function_terms import FunctionTerms
from sigjepa.lexicon.signature import PARAMETER_FLAGS, ROLES
from sigjepa.lexicon.statistics import PackageCounts, TrainStatistics
from sigjepa.lexicon.terms import TermTable, term_hash
from sigjepa.lexicon.uses import SPELLINGS, USES

PRIOR = 2.0
"""So many functions are added to the counts of a name, at the rate of all names."""

WORD_FEATURES = ("idf", *ROLES, "length")
"""idf of the word, how often it stands in each role, and how many words the signature has, as log(1 + n)."""
STATISTICS = ("log_odds", "log_count", "parameter_log_share", "body_log_share")
"""Of a name on train: log odds of what is asked of it and of how many functions they are counted, as log(1 + n); share
of signatures that have it as a parameter, and of bodies that name it, as logarithms."""
FREE_NAME_FEATURES = (*USES, *SPELLINGS, "free_names", "self_free", *STATISTICS)
"""Uses and spelling as log(1 + n), how many free names the body has, whether `self` or `cls` is one; the log odds are
those of being a parameter."""
PARAMETER_FEATURES = (*PARAMETER_FLAGS, "place", "parameters", *STATISTICS)
"""Flags, the place among the parameters and how many there are, as log(1 + n); the log odds are those of being
unused."""


@dataclass(frozen=True)
class FunctionFeatures:
    """Tables of n functions whose values are float32.

    signature_words: `WORD_FEATURES`. function_names: a 1 for one of `NAME_VARIANTS`. parameters: `PARAMETER_FEATURES`.
    body_words: BM25's saturated frequency. free_names: `FREE_NAME_FEATURES`. body_names, super_calls: without values.
    mentions: 0 or 1 for each of `MENTIONS`. signature_structure, body_structure: log2(1 + n).
    """

    signature_words: TermTable
    function_names: TermTable
    parameters: TermTable
    body_words: TermTable
    body_names: TermTable
    free_names: TermTable
    super_calls: TermTable
    mentions: TermTable
    signature_structure: TermTable
    body_structure: TermTable


def build_features(
    terms: FunctionTerms, packages: Sequence[str] | None, statistics: TrainStatistics
) -> FunctionFeatures:
    """Return the features of functions; packages: of each, None for functions of packages that train has none of."""
    signature_words, body_words = _words(terms, packages, statistics)
    free_names, parameters = _names(terms, packages, statistics)
    return FunctionFeatures(
        signature_words=signature_words,
        function_names=_with_values(terms.function_names, terms.function_names.values),
        parameters=parameters,
        body_words=body_words,
        body_names=_with_values(terms.body_names, terms.body_names.values[:, :0]),
        free_names=free_names,
        super_calls=_with_values(terms.super_calls, terms.super_calls.values[:, :0]),
        mentions=_with_values(terms.mentions, terms.mentions.values > 0),
        signature_structure=_with_values(terms.signature_structure, _log_counts(terms.signature_structure)),
        body_structure=_with_values(terms.body_structure, _log_counts(terms.body_structure)),
    )


def _words(terms: FunctionTerms, packages: Sequence[str] | None, train: TrainStatistics) -> tuple[TermTable, TermTable]:
    """Return the words of signatures and of bodies."""
    signatures, bodies = terms.signature_words, terms.body_words
    idf = inverse_document_frequencies(signatures, packages, train.body_words)
    length = np.log1p(np.diff(signatures.offsets))[signatures.functions]
    saturated = saturated_frequencies(bodies, train.body_length, "words")
    return (
        _with_values(signatures, np.column_stack([idf, signatures.values, length])),
        _with_values(bodies, saturated[:, None]),
    )


def _names(terms: FunctionTerms, packages: Sequence[str] | None, train: TrainStatistics) -> tuple[TermTable, TermTable]:
    """Return the free names of bodies and the parameters of signatures."""
    free, parameters = terms.free_names, terms.parameters

    def statistics(table: TermTable, having: PackageCounts, holding: PackageCounts, rate: float) -> np.ndarray:
        """Return `STATISTICS` `[m, 4]` of a table; holding: the functions in which what is asked holds."""
        asked = (packages, table.functions, table.terms)
        count = having.of_others(*asked)
        share = (holding.of_others(*asked) + PRIOR * rate) / (count + PRIOR)
        functions = train.body_names.functions_of_others(packages, table.functions)
        shares = [
            np.log((each.of_others(*asked) + 0.5) / (functions + 1)) for each in (train.parameters, train.body_names)
        ]
        return np.column_stack([np.log(share) - np.log1p(-share), np.log1p(count), *shares])

    rows = free.functions
    is_self = np.isin(free.terms, np.array([term_hash("self"), term_hash("cls")], np.uint64))
    has_self = np.bincount(rows, is_self, minlength=len(free))[rows]
    number = np.log1p(np.diff(free.offsets))[rows]
    of_free = statistics(free, train.free_names, train.free_parameters, train.free_parameter_rate)
    free_values = np.column_stack([np.log1p(free.values), number, has_self, of_free])
    rows = parameters.functions
    place = np.log1p(np.arange(len(rows)) - parameters.offsets[:-1][rows])
    number = np.log1p(np.diff(parameters.offsets))[rows]
    of_parameters = statistics(parameters, train.parameters, train.unused_parameters, train.unused_parameter_rate)
    parameter_values = np.column_stack([parameters.values, place, number, of_parameters])
    return _with_values(free, free_values), _with_values(parameters, parameter_values)


def _log_counts(structure: TermTable) -> np.ndarray:
    """Return `[m, 1]`: what is there once has 1."""
    return np.log1p(structure.values) / np.log(2)


def _with_values(table: TermTable, values: np.ndarray) -> TermTable:
    return TermTable(table.offsets, table.terms, values.astype(np.float32))
