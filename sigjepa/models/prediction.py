"""Prediction: what a student says of a body it has not seen."""

from dataclasses import dataclass

from torch import Tensor

from sigjepa.data.views import Views, pooled_views


@dataclass
class Prediction:
    """A function of the signature alone.

    pooled: `[B, D]` predicted body embedding. states: `[B, T, D]` predicted layer-normalized teacher state at each
    body position, or None when the student predicts no tokens. views: what its score with a body is the sum of; None
    is the cosine of `pooled` with the teacher's embedding of the body.
    """

    pooled: Tensor
    states: Tensor | None = None
    views: Views | None = None

    def scored_views(self) -> Views:
        """Return the views, or that of the cosine."""
        return pooled_views(self.pooled) if self.views is None else self.views
