"""Views of predictions and bodies, and the one score of a prediction and a body: the sum of their views' products."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass  # not frozen: Lightning moves it to a device
class TermRows:
    """The terms of n functions with some values each.

    size: n. rows: `[m]` the position of each term's function, ascending. terms: `[m]` int64, hashes. values: `[m, k]`.
    """

    size: int
    rows: Tensor
    terms: Tensor
    values: Tensor

    def with_values(self, values: Tensor) -> "TermRows":
        """Return the same terms with other values."""
        return TermRows(self.size, self.rows, self.terms, values)

    def sums(self, values: Tensor) -> Tensor:
        """Return the sum `[n]` of values `[m]` by function."""
        return values.new_zeros(self.size).index_add(0, self.rows, values)

    def take(self, rows: Tensor) -> "TermRows":
        """Return some functions `[p]`, in the order given."""
        starts = torch.searchsorted(self.rows, rows)
        lengths = torch.searchsorted(self.rows, rows, right=True) - starts
        new = torch.repeat_interleave(torch.arange(len(rows), device=rows.device), lengths)
        first = torch.cumsum(lengths, 0) - lengths
        entries = torch.arange(len(new), device=rows.device) + (starts - first)[new]
        return TermRows(len(rows), new, self.terms[entries], self.values[entries])

    @classmethod
    def concatenate(cls, parts: Sequence["TermRows"]) -> "TermRows":
        """Return the functions of all parts, in order; there is at least one."""
        offsets = [0]
        for part in parts:
            offsets.append(offsets[-1] + part.size)
        rows = torch.cat([part.rows + offset for part, offset in zip(parts, offsets, strict=False)])
        terms, values = (torch.cat([getattr(part, name) for part in parts]) for name in ("terms", "values"))
        return cls(offsets[-1], rows, terms, values)


@dataclass
class View:
    """One side of a summand of the score: a row for each of n predictions or bodies, and a constant.

    vectors: `[n, D]`, or terms with values, whose product is over equal terms. constants: `[n]`, None for 0.
    """

    vectors: Tensor | TermRows
    constants: Tensor | None = None

    def __len__(self) -> int:
        return self.vectors.size if isinstance(self.vectors, TermRows) else len(self.vectors)

    @classmethod
    def concatenate(cls, parts: Sequence["View"]) -> "View":
        """Return the rows of all parts, in order; there is at least one."""
        constants = [part.constants for part in parts if part.constants is not None]
        sparse = [part.vectors for part in parts if isinstance(part.vectors, TermRows)]
        dense = [part.vectors for part in parts if isinstance(part.vectors, Tensor)]
        vectors = TermRows.concatenate(sparse) if sparse else torch.cat(dense)
        return cls(vectors, torch.cat(constants) if constants else None)

    def take(self, rows: Tensor) -> "View":
        """Return some rows `[p]`, in the order given."""
        vectors = self.vectors.take(rows) if isinstance(self.vectors, TermRows) else self.vectors[rows]
        return View(vectors, None if self.constants is None else self.constants[rows])

    def product(self, bodies: "View") -> Tensor:
        """Return the products `[Q, C]` of this view's rows with those of the same view of bodies."""
        if isinstance(self.vectors, TermRows):
            assert isinstance(bodies.vectors, TermRows), "a view is sparse on both sides, or on none"
            product = sparse_product(self.vectors, bodies.vectors)
        else:
            assert isinstance(bodies.vectors, Tensor), "a view is dense on both sides, or on none"
            product = self.vectors @ bodies.vectors.T
        if bodies.constants is not None:
            product = product + bodies.constants
        return product


def equal_places(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Return the places `[p]` in `first` and in `second` of every pair of equal values, in the order of `first`."""
    order = torch.argsort(second, stable=True)
    ascending = second[order]
    start = torch.searchsorted(ascending, first)
    counts = torch.searchsorted(ascending, first, right=True) - start
    left = torch.repeat_interleave(torch.arange(len(counts), device=counts.device), counts)
    place = torch.arange(len(left), device=counts.device) - (counts.cumsum(0) - counts)[left]
    return left, order[start[left] + place]


def sparse_product(queries: TermRows, bodies: TermRows) -> Tensor:
    """Return `[Q, C]`: the sum over equal terms of the products of their values `[m, k]` or `[m]`.

    Each pair of equal terms is looked up, so that it costs what is shared, whatever the number of terms.
    """
    left, right = equal_places(queries.terms, bodies.terms)
    values = [each.values if each.values.ndim > 1 else each.values[:, None] for each in (queries, bodies)]
    products = (values[0][left] * values[1][right]).sum(dim=1)
    pairs = queries.rows[left] * bodies.size + bodies.rows[right]
    sums = products.new_zeros(queries.size * bodies.size).index_add(0, pairs, products)
    return sums.reshape(queries.size, bodies.size)


Views: TypeAlias = Mapping[str, View]
"""The views of predictions or bodies by name; a prediction and a body have the same."""


def pooled_views(vectors: Tensor) -> Views:
    """Return the one view of `vectors` `[n, D]` by which a product is a cosine."""
    return {"pooled": View(F.normalize(vectors.to(torch.promote_types(vectors.dtype, torch.float32)), dim=-1))}


def take_views(views: Views, rows: Tensor) -> Views:
    """Return some rows `[p]` of all views, in the order given."""
    return {name: view.take(rows) for name, view in views.items()}


def concatenate_views(parts: Sequence[Views]) -> Views:
    """Return the rows of all parts, in order; there is at least one, and all have the same views."""
    return {name: View.concatenate([part[name] for part in parts]) for name in parts[0]}


def score(predictions: Views, bodies: Views) -> Tensor:
    """Return `[Q, C]`: the sum of the products of all views of predictions with the same views of bodies.

    It is the one score that the loss trains, ranks count and search uses.
    """
    first, *others = (view.product(bodies[name]) for name, view in predictions.items())
    for product in others:
        first = first + product
    return first


def in_rows(table: TermRows, other: TermRows) -> Tensor:
    """Return for each term `[m]` of a table whether the same function has it in `other`, of as many functions."""
    _, codes = torch.unique(torch.cat([table.terms, other.terms]), return_inverse=True)
    width = int(codes.max()) + 1 if len(codes) else 1
    mine = table.rows * width + codes[: len(table.terms)]
    return torch.isin(mine, other.rows * width + codes[len(table.terms) :])
