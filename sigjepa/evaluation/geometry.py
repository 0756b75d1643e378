"""The geometry of a pool's bodies in the teacher's space: neighbors, copies, dimensions in use, common direction."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from sigjepa.errors import SigjepaError
from sigjepa.evaluation.collapse import effective_rank, mean_pairwise_cosine
from sigjepa.evaluation.ranks import cosine_scores
from sigjepa.teacher.normalize import fit_center, fit_whitening

NEAR = (0.80, 0.90, 0.95)
"""Cosines from which another body counts as near; hard negatives are mined from the first one on."""


@dataclass(frozen=True)
class Coordinates:
    """Describe the shape of a pool in one choice of coordinates.

    effective_rank: dimensions in use, between 1 and min(N, D). mean_pairwise_cosine: anisotropy, 0 when bodies share no
    direction. near: by threshold, the share of bodies whose nearest other body is at that cosine or above.
    """

    effective_rank: float
    mean_pairwise_cosine: float
    near: Mapping[float, float]

    def as_dict(self) -> dict[str, Any]:
        """Return the gauges for JSON, with keys `nearest_other_0.80`."""
        gauges = {"effective_rank": self.effective_rank, "mean_pairwise_cosine": self.mean_pairwise_cosine}
        return gauges | {f"nearest_other_{threshold:.2f}": share for threshold, share in self.near.items()}


@dataclass(frozen=True)
class Geometry:
    """Describe the shape of a pool of `bodies` bodies; `duplicates`: the share that has an exact copy in the pool."""

    bodies: int
    dimension: int
    duplicates: float
    raw: Coordinates
    centred: Coordinates
    whitened: Coordinates

    def coordinates(self) -> dict[str, Coordinates]:
        """Return the three by name."""
        return {"raw": self.raw, "centred": self.centred, "whitened": self.whitened}

    def as_dict(self) -> dict[str, Any]:
        """Return all of it for JSON."""
        by_name = {name: coordinates.as_dict() for name, coordinates in self.coordinates().items()}
        return asdict(self) | by_name


def check_bodies(bodies: Tensor, name: str = "pool") -> None:
    """Raise SigjepaError unless `bodies` `[N, D]` are finite, and none of them is zero."""
    if not torch.isfinite(bodies).all():
        raise SigjepaError(f"A body of the {name} is NaN or infinite; encode the corpus again.")
    if not bodies.any(dim=1).all():
        row = int((~bodies.any(dim=1)).nonzero()[0])
        raise SigjepaError(f"Body {row} of the {name} is zero and has no direction; encode the corpus again.")


def nearest_other(bodies: Tensor) -> Tensor:
    """Return `[N]` the cosine of each of `bodies` `[N, D]` to its nearest other; an exact copy is another body.

    Raises SigjepaError for one that is zero or not finite.
    """
    check_bodies(bodies)
    return cosine_scores(bodies, bodies).fill_diagonal_(-torch.inf).amax(dim=1)


def duplicate_share(bodies: Tensor) -> float:
    """Return the share of `bodies` `[N, D]` that have an exact copy among the others."""
    _, columns, counts = torch.unique(bodies, dim=0, return_inverse=True, return_counts=True)
    return float((counts[columns] > 1).float().mean())


def measure_coordinates(bodies: Tensor) -> Coordinates:
    """Return the shape of `bodies` `[N, D]` in the coordinates that they are given in."""
    nearest = nearest_other(bodies)
    near = {threshold: float((nearest >= threshold).float().mean()) for threshold in NEAR}
    return Coordinates(effective_rank(bodies), mean_pairwise_cosine(bodies), near)


def measure_geometry(bodies: Tensor, train_bodies: Tensor) -> Geometry:
    """Return the shape of `bodies` `[N, D]`, raw, centered and whitened by the statistics of `train_bodies` `[T, D]`.

    Raises SigjepaError for rows that are zero or not finite.
    """
    check_bodies(bodies)
    check_bodies(train_bodies, "train split")
    return Geometry(
        len(bodies),
        bodies.shape[1],
        duplicate_share(bodies),
        measure_coordinates(bodies.float()),
        measure_coordinates(fit_center(train_bodies)(bodies)),
        measure_coordinates(fit_whitening(train_bodies)(bodies)),
    )
