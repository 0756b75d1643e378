"""The teacher's vectors: whitened cosine, with a small learned step from signature to body."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sigjepa.data.batch import Halves, Terms
from sigjepa.data.views import View, Views
from sigjepa.models.lexical.part import ScaledRate, positive_logarithms, zero_linear
from sigjepa.teacher.normalize import fit_whitening


class WhitenedVectors(nn.Module):
    """Score `scale · p(signature) · z(body)`, where z is centered, whitened and normalized, and p is z and a learned
    step.

    Each half has its own mean, both one whitening, fitted on train. At first the step is 0: then it is `scale` times
    the cosine of whitened zero-shot. teacher_dim: D. hidden_dim: of the step. dropout: in it. shrinkage: share of the
    mean variance in each direction's. scale: at first. lr_scale: of the step, as a share of the optimizer's rate.
    """

    signature_mean: Tensor
    body_mean: Tensor
    whitening: Tensor

    def __init__(
        self,
        teacher_dim: int,
        hidden_dim: int = 64,
        dropout: float = 0.1,
        shrinkage: float = 0.3,
        scale: float = 20.0,
        lr_scale: float = 0.003,
    ) -> None:
        super().__init__()
        self.shrinkage = shrinkage
        self.register_buffer("signature_mean", torch.zeros(teacher_dim))
        self.register_buffer("body_mean", torch.zeros(teacher_dim))
        self.register_buffer("whitening", torch.eye(teacher_dim))
        self.log_scale = nn.Parameter(positive_logarithms("vectors.scale", scale))
        layers = (nn.Linear(teacher_dim, hidden_dim), nn.GELU(), nn.Dropout(dropout))
        self.step = ScaledRate(*layers, zero_linear(hidden_dim, teacher_dim), lr_scale=lr_scale)

    def fit(self, train: Halves) -> None:
        """Fit means and whitening on train."""
        self.signature_mean.copy_(train.signature_pooled.mean(dim=0))
        self.body_mean.copy_(train.body_pooled.mean(dim=0))
        both = [train.signature_pooled - self.signature_mean, train.body_pooled - self.body_mean]
        self.whitening.copy_(fit_whitening(*both, shrinkage=self.shrinkage).matrix)

    def signature_views(self, pooled: Tensor, terms: Terms) -> Views:
        """Return the predicted vectors `[B, D]`."""
        z = F.normalize((pooled - self.signature_mean) @ self.whitening, dim=-1)
        return {"pooled": View((z + self.step(z)) * self.log_scale.exp())}

    def body_views(self, pooled: Tensor, terms: Terms) -> Views:
        """Return the whitened vectors `[C, D]`, which are frozen."""
        return {"pooled": View(F.normalize((pooled - self.body_mean) @ self.whitening, dim=-1))}
