"""What a student may do besides predicting, as far as the training module asks for it."""

from typing import Protocol, runtime_checkable

from torch import Tensor

from sigjepa.data.batch import Halves, Terms
from sigjepa.data.views import Views

INPUTS = ("signature_states", "signature_mask", "body_positions")
"""Fields of a Batch, in order, for a student that does not say what it `reads`."""


@runtime_checkable
class BodyEncoder(Protocol):
    """A student with its own view of bodies; without one, a score is the cosine with the teacher's embedding."""

    def body_views(self, body_pooled: Tensor, body_terms: Terms | None) -> Views:
        """Return the views of bodies from `[C, D]` and their terms."""
        ...


@runtime_checkable
class FittedStudent(Protocol):
    """A student that fits something to train before the first step; a checkpoint brings what it fitted."""

    def fit(self, train: Halves) -> None:
        """Fit, unless it is done."""
        ...
