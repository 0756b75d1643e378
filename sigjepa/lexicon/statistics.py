"""How many train functions have a term, counted by package, so that a function's own package can be left out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sigjepa.lexicon.terms import TermTable, Vocabulary


@dataclass(frozen=True)
class PackageCounts:
    """The functions that have a term, and all functions, by package.

    packages: their names, ascending `[P]`. functions: of each package `[P]`. totals: of each column, in all packages
    `[columns]`. keys, counts: package times columns plus column, ascending, and how many functions it has `[k]`.

    A function of a package that was counted is told the counts of all others: those of its own would give away what a
    function of a new package has to do without.
    """

    packages: np.ndarray
    functions: np.ndarray
    totals: np.ndarray
    keys: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(
        cls, table: TermTable, vocabulary: Vocabulary, packages: Sequence[str], chosen: np.ndarray | None = None
    ) -> "PackageCounts":
        """Return the counts of the functions of `table`, whose packages are given, a term once a function.

        chosen: `[m]` whether an entry of the table counts; None counts all.
        """
        if len(packages) != len(table):
            raise ValueError(f"{len(table)} functions have {len(packages)} packages")
        names, package = np.unique(np.asarray(packages, dtype=str), return_inverse=True)
        kept = slice(None) if chosen is None else chosen
        width = max(vocabulary.size, 1)
        pairs = np.unique(table.functions[kept] * width + vocabulary.columns(table.terms[kept]))
        function, column = np.divmod(pairs, width)
        keys, counts = np.unique(package[function] * width + column, return_counts=True)
        totals = np.bincount(column, minlength=vocabulary.size)
        return cls(names, np.bincount(package, minlength=len(names)), totals, keys, counts)

    def of_others(self, packages: Sequence[str], functions: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Return for each entry `[m]` in how many functions of other packages its column occurs, float64.

        packages: of each function. functions: which of them an entry belongs to `[m]`. columns: `[m]`.
        """
        position, known = self._positions(packages)
        wanted = position[functions] * max(len(self.totals), 1) + columns
        found = np.minimum(np.searchsorted(self.keys, wanted), max(len(self.keys) - 1, 0))
        own = np.zeros(len(columns), dtype=np.int64)
        if len(self.keys):
            own = np.where(known[functions] & (self.keys[found] == wanted), self.counts[found], 0)
        return (self.totals[columns] - own).astype(float)

    def functions_of_others(self, packages: Sequence[str], functions: np.ndarray) -> np.ndarray:
        """Return for each entry `[m]` how many functions other packages have, float64; arguments: as in `of_others`."""
        position, known = self._positions(packages)
        own = np.where(known, self.functions[position], 0) if len(self.functions) else np.zeros(len(packages))
        return (self.functions.sum() - own[functions]).astype(float)

    def _positions(self, packages: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Return the place of each package among those counted, and whether it is one `[n]`."""
        names = np.asarray(packages, dtype=str)
        if not len(self.packages):
            return np.zeros(len(names), dtype=np.int64), np.zeros(len(names), dtype=bool)
        position = np.minimum(np.searchsorted(self.packages, names), len(self.packages) - 1)
        return position, self.packages[position] == names
