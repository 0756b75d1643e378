"""The search that finds the neighbors: exact while that takes minutes, approximate with measured recall beyond."""

from dataclasses import field
from typing import Annotated, Any

from pydantic import Field, SkipValidation

from sigjepa.negatives.mining.approximate import IVF, Approximate
from sigjepa.negatives.mining.exact import ExactIndex, NeighborIndex
from sigjepa.negatives.mining.vectors import UnitVectors
from sigjepa.runtime.fields import component


@component("negatives.search")
class Search:
    """Exact search of up to `exact_up_to` functions (None: of any number), and `beyond` of more.

    Raises SigjepaError for arguments out of range.
    """

    exact_up_to: Annotated[int, Field(ge=0)] | None = 50_000
    beyond: SkipValidation[Approximate] = field(default_factory=IVF)

    def inputs(self, functions: int) -> dict[str, Any]:
        """Return all that the pairs of so many functions depend on: nothing of an approximate search that is not
        used.
        """
        approximate = self.approximate(functions)
        return {"method": "exact"} if approximate is None else approximate.inputs()

    def approximate(self, functions: int) -> Approximate | None:
        """Return the approximate search of so many functions; None where it is exact."""
        return None if self.exact_up_to is None or functions <= self.exact_up_to else self.beyond

    def build(
        self, bodies: UnitVectors, top_k: int, min_cosim: float, queries: UnitVectors | None = None
    ) -> tuple[NeighborIndex, dict[str, Any]]:
        """Return the index over `bodies`, n >= 1, and a record of it with the recall of an approximate one.

        queries: what will be searched for; None is the bodies themselves.

        Raises SigjepaError when an approximate search does not reach its lowest recall.
        """
        approximate = self.approximate(len(bodies))
        return exact_index(bodies) if approximate is None else approximate.build(bodies, top_k, min_cosim, queries)


def exact_index(bodies: UnitVectors) -> tuple[NeighborIndex, dict[str, Any]]:
    """Return the exact index over `bodies`, n >= 1, and its record."""
    return ExactIndex(bodies.matrix), {"method": "exact", "recall": 1.0}
