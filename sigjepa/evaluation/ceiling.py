"""The ceiling that a teacher's space sets to any student: ranks of simulated predictions at a given cosine.

A simulated prediction is `p = c b + √(1 - c²) u`: the true body b, and an error of which only the direction u, a unit
vector orthogonal to b, is left to choose. So every point of a curve has exactly the cosine that it stands for. A cosine
of 0 puts the body in the middle of a spread-out pool: Rank@10 is below chance there, since the cosine of a random
prediction is not always 0.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from sigjepa.errors import SigjepaError
from sigjepa.evaluation.geometry import check_bodies
from sigjepa.evaluation.metrics import rank_figures
from sigjepa.evaluation.ranks import Ranks, block_ranks, cosine_scores

COSINES = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 1.0)
"""The cosines of a curve: closest where high-dimensional pools turn from chance to certainty."""

NEEDED = (0.5, 0.9)
"""The Rank@10 whose price in cosine is quoted."""

_VANISHED = 1e-4  # of a unit vector: what is left after removing the body is rounding noise
_BLOCK = 128  # queries whose scores stay in the processor's cache


class Directions(Protocol):
    """Say where the errors of simulated predictions point."""

    name: ClassVar[str]

    def __call__(self, ids: Tensor, dimension: int, generator: torch.Generator) -> Tensor:
        """Return a direction for each function of `ids` `[N]`, `[N, dimension]`, not yet orthogonal to its body."""


@dataclass(frozen=True)
class Isotropic:
    """Draw errors without structure: Gaussian."""

    name: ClassVar[str] = "isotropic"

    def __call__(self, ids: Tensor, dimension: int, generator: torch.Generator) -> Tensor:
        """Return a Gaussian vector for each of `ids` `[N, dimension]`."""
        return torch.randn(len(ids), dimension, generator=generator)


@dataclass(frozen=True)
class TowardsBodies:
    """Draw errors towards another function: a train body `[T, D]` drawn at random, so no member of the pool."""

    bodies: Tensor
    name: ClassVar[str] = "bodies"

    def __call__(self, ids: Tensor, dimension: int, generator: torch.Generator) -> Tensor:
        """Return a train body for each of `ids` `[N, dimension]`."""
        check_bodies(self.bodies, "train split")
        return self.bodies[torch.randint(len(self.bodies), ids.shape, generator=generator)].float()


@dataclass(frozen=True)
class AlongResiduals:
    """Draw errors that were really made: the residual `[V, D]` of another function, at random.

    ids: `[V]` of the functions that the residuals belong to, each once; a function never gets its own.
    """

    ids: Tensor
    residuals: Tensor
    name: ClassVar[str] = "residuals"

    def __call__(self, ids: Tensor, dimension: int, generator: torch.Generator) -> Tensor:
        """Return another function's residual for each of `ids` `[N, dimension]`; raises SigjepaError without one."""
        count = len(self.ids)
        if count < 2:
            raise SigjepaError(
                f"There are {count} residuals to draw from; a function needs another's. Use more of val."
            )
        drawn = torch.randint(count, ids.shape, generator=generator)
        moved = (drawn + torch.randint(1, count, ids.shape, generator=generator)) % count
        return self.residuals[torch.where(self.ids[drawn] == ids, moved, drawn)]


def fit_residuals(predictions: Tensor, bodies: Tensor, ids: Tensor) -> AlongResiduals:
    """Return the directions in which `predictions` `[V, D]` miss `bodies` `[V, D]`, the functions `ids` `[V]` of val.

    A prediction that is its body has no error and is left out. Raises SigjepaError for values that are not finite.
    """
    check_pair(predictions, bodies)
    unit, body = F.normalize(predictions.float(), dim=-1), F.normalize(bodies.float(), dim=-1)
    residuals = _without_body(unit, body)
    kept = residuals.norm(dim=1) > _VANISHED
    return AlongResiduals(ids[kept], F.normalize(residuals[kept], dim=-1))


def check_pair(predictions: Tensor, bodies: Tensor) -> None:
    """Raise SigjepaError unless `predictions` and `bodies` `[N, D]` are finite, and no body is zero."""
    check_bodies(bodies)
    if not torch.isfinite(predictions).all():
        raise SigjepaError("A prediction is NaN or infinite; the student diverged. Lower optimizer.lr or clip more.")


def orthogonal_directions(directions: Tensor, bodies: Tensor, generator: torch.Generator) -> Tensor:
    """Return unit vectors `[N, D]`: what of `directions` `[N, D]` is orthogonal to `bodies` `[N, D]`.

    A direction along its own body (a copy of it in train) leaves nothing and is replaced by an isotropic one.
    """
    body = F.normalize(bodies.float(), dim=-1)
    rest = _without_body(F.normalize(directions.float(), dim=-1), body)
    isotropic = _without_body(torch.randn(rest.shape, generator=generator), body)
    rest = torch.where(rest.norm(dim=1, keepdim=True) > _VANISHED, rest, isotropic)
    return F.normalize(
        _without_body(F.normalize(rest, dim=-1), body), dim=-1
    )  # twice: the first leaves rounding errors


def _without_body(vectors: Tensor, body: Tensor) -> Tensor:
    return vectors - (vectors * body).sum(dim=1, keepdim=True) * body


def simulate_predictions(bodies: Tensor, directions: Tensor, cosines: Tensor) -> Tensor:
    """Return unit predictions `[N, D]` at `cosines` `[N]` to `bodies` `[N, D]`, in error along `directions` `[N, D]`.

    directions: as from `orthogonal_directions`.
    """
    cosine = cosines.float()[:, None]
    return cosine * F.normalize(bodies.float(), dim=-1) + _sine(cosine) * directions


def _sine(cosine: Tensor) -> Tensor:
    return (1 - cosine.square()).clamp(min=0).sqrt()


def simulated_ranks(towards_body: Tensor, towards_error: Tensor, cosines: Sequence[Tensor]) -> list[Ranks]:
    """Return the ranks of `simulate_predictions` in the pool, for each `[N]` of `cosines`.

    A score is linear in its prediction, so all cosines share two products with the pool: `towards_body` and
    `towards_error`, the `cosine_scores` `[N, N]` of the bodies themselves and of the directions.
    """

    def simulated(rows: Tensor) -> Iterator[Tensor]:
        body, error = towards_body[rows], towards_error[rows]
        for cosine in cosines:
            column = cosine[rows, None].float()
            yield column * body + _sine(column) * error

    return block_ranks(simulated, torch.arange(len(towards_body)), scorings=len(cosines), block=_BLOCK)


@dataclass(frozen=True)
class CeilingCurve:
    """Hold Rank@k of simulated predictions as a function of their cosine to the true body.

    means, spreads: by name (`rank1`, `rank5`, `rank10`, `mrr`), the mean over the draws at each of `cosines` and its
    standard deviation between draws, fractions.
    """

    directions: str
    cosines: tuple[float, ...]
    means: dict[str, list[float]]
    spreads: dict[str, list[float]]

    def cosine_needed(self, rank10: float) -> float | None:
        """Return the cosine from which Rank@10 is at least `rank10`, interpolated; None when it never is."""
        reached = np.array(self.means["rank10"]) >= rank10
        if not reached[-1]:
            return None
        first = len(reached) - int(np.argmin(reached[::-1])) if not reached.all() else 0
        if first == 0:
            return self.cosines[0]
        around = slice(first - 1, first + 1)
        return float(np.interp(rank10, self.means["rank10"][around], self.cosines[around]))

    def rows(self) -> list[dict[str, float]]:
        """Return a row for each cosine: `cosine`, and each metric with its `_spread`."""
        return [
            {"cosine": cosine}
            | {name: values[i] for name, values in self.means.items()}
            | {f"{name}_spread": values[i] for name, values in self.spreads.items()}
            for i, cosine in enumerate(self.cosines)
        ]

    def as_dict(self) -> dict[str, Any]:
        """Return for JSON: the rows, and the cosine needed for each Rank@10 of `NEEDED`."""
        needed = {f"{rank10:.2f}": self.cosine_needed(rank10) for rank10 in NEEDED}
        return {"directions": self.directions, "rank10_needs_cosine": needed, "curve": self.rows()}


def measure_curve(
    bodies: Tensor,
    ids: Tensor,
    directions: Directions,
    *,
    cosines: Sequence[float] = COSINES,
    draws: int = 3,
    seed: int = 0,
) -> CeilingCurve:
    """Return the ceiling of a pool of `bodies` `[N, D]`, functions `ids` `[N]`, when errors point along `directions`.

    cosines: rising, from -1 to 1. draws: at least 2. Raises SigjepaError for bodies that are zero or not finite.
    """
    check_bodies(bodies)
    grid = tuple(float(cosine) for cosine in cosines)
    levels = [torch.full((len(bodies),), cosine) for cosine in grid]
    body_cosines = cosine_scores(bodies, bodies)
    by_draw = [
        [rank_figures(ranks) for ranks in simulated_ranks(body_cosines, cosine_scores(drawn, bodies), levels)]
        for drawn in draw_directions(bodies, ids, directions, draws=draws, seed=seed)
    ]
    means, spreads = {}, {}
    for name in by_draw[0][0]:
        values = np.array([[metrics[name] for metrics in draw] for draw in by_draw])
        means[name], spreads[name] = values.mean(axis=0).tolist(), values.std(axis=0, ddof=1).tolist()
    return CeilingCurve(directions.name, grid, means, spreads)


def draw_directions(bodies: Tensor, ids: Tensor, directions: Directions, *, draws: int, seed: int) -> Iterator[Tensor]:
    """Yield `draws` times `orthogonal_directions` `[N, D]` for functions `ids` `[N]`, the same for the same seed."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(draws):
        drawn = directions(ids, bodies.shape[1], generator)
        yield orthogonal_directions(drawn, bodies, generator)
