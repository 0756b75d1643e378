"""Counts of train: how many functions have a term, by package, so that a function's own can be left out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np

from sigjepa.errors import SigjepaError
from sigjepa.lexicon.function_terms import FunctionTerms
from sigjepa.lexicon.terms import TermTable


@dataclass(frozen=True)
class PackageCounts:
    """The functions that have a term, and all functions, by package.

    packages: their names, ascending `[P]`. functions: of each package `[P]`. terms: hashes, ascending `[T]`. totals:
    how many functions of all packages have each `[T]`. keys, counts: package times T plus the place of a term,
    ascending, and how many functions it has `[k]`.

    A function of a package that was counted is told the counts of all others: those of its own would give away what a
    function of a new package has to do without.
    """

    packages: np.ndarray
    functions: np.ndarray
    terms: np.ndarray
    totals: np.ndarray
    keys: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, table: TermTable, packages: Sequence[str], chosen: np.ndarray | None = None) -> "PackageCounts":
        """Return the counts of the functions of `table`, whose packages are given, a term once a function.

        chosen: `[m]` whether an entry of the table counts; None counts all.
        """
        if len(packages) != len(table):
            raise ValueError(f"{len(table)} functions have {len(packages)} packages")
        names, package = np.unique(np.asarray(packages, dtype=str), return_inverse=True)
        kept = slice(None) if chosen is None else chosen
        terms, places = np.unique(table.terms[kept], return_inverse=True)
        width = max(len(terms), 1)
        function, place = np.divmod(np.unique(table.functions[kept] * width + places), width)
        keys, counts = np.unique(package[function] * width + place, return_counts=True)
        totals = np.bincount(place, minlength=len(terms))
        return cls(names, np.bincount(package, minlength=len(names)), terms, totals, keys, counts)

    def of_others(self, packages: Sequence[str] | None, functions: np.ndarray, terms: np.ndarray) -> np.ndarray:
        """Return for each entry `[m]` how many functions of other packages have its term, float64.

        packages: of each function; None for functions of new ones. functions: which of them an entry belongs to `[m]`.
        terms: hashes `[m]`.
        """
        totals, place = self._found(self.terms, terms, self.totals)
        if packages is None or not len(self.keys):
            return totals.astype(float)
        position, known = self._positions(packages)
        of_package, _ = self._found(self.keys, position[functions] * max(len(self.terms), 1) + place, self.counts)
        return (totals - np.where(known[functions] & (totals > 0), of_package, 0)).astype(float)

    def functions_of_others(self, packages: Sequence[str] | None, functions: np.ndarray) -> np.ndarray:
        """Return for each entry `[m]` how many functions other packages have, float64; arguments: as in `of_others`."""
        everything = float(self.functions.sum())
        if packages is None or not len(self.packages):
            return np.full(len(functions), everything)
        position, known = self._positions(packages)
        return everything - np.where(known, self.functions[position], 0)[functions]

    @staticmethod
    def _found(keys: np.ndarray, wanted: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the value of each key that is wanted `[m]`, 0 for one that is not there, and its place."""
        if not len(keys):
            return np.zeros(len(wanted), np.int64), np.zeros(len(wanted), np.int64)
        place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        return np.where(keys[place] == wanted, values[place], 0), place

    def _positions(self, packages: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Return the place of each package among those counted, and whether it is one `[n]`."""
        names = np.asarray(packages, dtype=str)
        position = np.minimum(np.searchsorted(self.packages, names), len(self.packages) - 1)
        return position, self.packages[position] == names


@dataclass(frozen=True)
class TrainStatistics:
    """The statistics of train that the features of a function are made with.

    body_words, body_names: the bodies that have a term; body_length: their mean number of words. parameters,
    free_names: the functions with such a name. free_parameters: those in which a free name is a parameter,
    unused_parameters: in which a parameter goes unused; free_parameter_rate, unused_parameter_rate: shares of all
    names.
    """

    body_words: PackageCounts
    body_names: PackageCounts
    parameters: PackageCounts
    free_names: PackageCounts
    free_parameters: PackageCounts
    unused_parameters: PackageCounts
    body_length: float
    free_parameter_rate: float
    unused_parameter_rate: float

    @classmethod
    def of(cls, terms: FunctionTerms, packages: Sequence[str]) -> "TrainStatistics":
        """Return the statistics of the functions of train; raises SigjepaError when none of their bodies has a word."""
        check_words(terms.body_words)
        is_parameter = in_rows(terms.free_names, terms.parameters)
        is_unused = ~in_rows(terms.parameters, terms.body_names)
        return cls(
            PackageCounts.of(terms.body_words, packages),
            PackageCounts.of(terms.body_names, packages),
            PackageCounts.of(terms.parameters, packages),
            PackageCounts.of(terms.free_names, packages),
            PackageCounts.of(terms.free_names, packages, is_parameter),
            PackageCounts.of(terms.parameters, packages, is_unused),
            mean_length(terms.body_words),
            float((is_parameter.sum() + 1) / (len(is_parameter) + 2)),
            float((is_unused.sum() + 1) / (len(is_unused) + 2)),
        )

    def arrays(self) -> dict[str, np.ndarray]:
        """Return what `from_arrays` needs to give the statistics without packages."""
        arrays: dict[str, np.ndarray] = {}
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, PackageCounts):
                arrays |= {f"{each.name}.terms": value.terms, f"{each.name}.totals": value.totals}
                arrays[f"{each.name}.functions"] = value.functions.sum(keepdims=True)
            else:
                arrays[each.name] = np.array([value])
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "TrainStatistics":
        """Return statistics that tell every function the same, also one of a package that was counted."""
        nothing = np.empty(0, np.int64)
        values: dict[str, PackageCounts | float] = {}
        for each in fields(cls):
            if each.name in arrays:
                values[each.name] = float(arrays[each.name][0])
            else:
                functions, terms, totals = (arrays[f"{each.name}.{of}"] for of in ("functions", "terms", "totals"))
                values[each.name] = PackageCounts(np.empty(0, str), functions, terms, totals, nothing, nothing)
        return cls(**values)  # type: ignore[arg-type]


def check_words(train: TermTable) -> None:
    """Raise SigjepaError when no train body has a word; train: their split words."""
    if not len(train.terms):
        raise SigjepaError("No body of the train split has a word, so no word weighs anything; check corpus.source.")


def mean_length(bodies: TermTable) -> float:
    """Return the mean number of terms of bodies, at least 1."""
    return float(max(bodies.values.sum() / max(len(bodies), 1), 1.0))


def in_rows(table: TermTable, other: TermTable) -> np.ndarray:
    """Return for each entry `[m]` of a table whether the same function has its term in `other`."""
    _, codes = np.unique(np.concatenate([table.terms, other.terms]), return_inverse=True)
    width = int(codes.max(initial=0)) + 1
    keys = table.functions * width + codes[: len(table.terms)]
    return np.isin(keys, other.functions * width + codes[len(table.terms) :])
