"""Prediction: what a student says of a body it has not seen."""

from dataclasses import dataclass

from torch import Tensor


@dataclass
class Prediction:
    """A function of the signature alone.

    pooled: `[B, D]` predicted body embedding. states: `[B, T, D]` predicted layer-normalised teacher state at each
    body position, or None when the student predicts no tokens.
    """

    pooled: Tensor
    states: Tensor | None = None
