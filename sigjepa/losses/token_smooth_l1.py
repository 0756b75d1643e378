"""Per-token SmoothL1 between predicted and layer-normalized teacher states (Exp 2.2)."""

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from sigjepa.data.batch import Batch
from sigjepa.errors import SigjepaError
from sigjepa.losses.distributed import gather_rows, world_size
from sigjepa.losses.loss import LossTerm, Progress, at_least_float32
from sigjepa.models.prediction import Prediction


def token_smooth_l1(predicted: Tensor, states: Tensor, beta: float) -> Tensor:
    """Return the SmoothL1 of tokens against the teacher's layer-normalized states, both `[..., D]`, meaned over D.

    Targets are normalized without affine parameters, as in I-JEPA (https://arxiv.org/abs/2301.08243).
    """
    targets = F.layer_norm(at_least_float32(states), (states.shape[-1],))
    return F.smooth_l1_loss(at_least_float32(predicted), targets, reduction="none", beta=beta).mean(dim=-1)


def summed_smooth_l1(predicted: Tensor, states: Tensor, mask: Tensor, beta: float) -> Tensor:
    """Return the sum of `token_smooth_l1` over real tokens of `[B, T, D]` under mask `[B, T]`, True = token.

    A CPU lists them, so that it computes no others; an accelerator would be waited for by how long the list is.
    """
    if mask.device.type == "cpu":
        return token_smooth_l1(predicted[mask], states[mask], beta).sum()
    return masked_smooth_l1(predicted, states, mask, beta)


def masked_smooth_l1(predicted: Tensor, states: Tensor, mask: Tensor, beta: float) -> Tensor:
    """Return what `summed_smooth_l1` returns, computed at all positions, of which padding counts nothing."""
    return token_smooth_l1(predicted, states, beta).masked_fill(~mask, 0).sum()


class TokenSmoothL1(nn.Module):
    """Mean per-token SmoothL1 over the real tokens of the batch.

    beta: where the loss turns from squared to absolute. weight: share of this term in the loss. Under DDP each rank's
    value is scaled by its share of the global batch's tokens, so DDP's mean is the single-process value and gradient.
    """

    capturable: ClassVar[bool] = True
    needs: ClassVar[Sequence[str]] = ("body_states", "token_predictions")

    def __init__(self, beta: float = 1.0, weight: float = 1.0) -> None:
        super().__init__()
        if beta <= 0:
            raise SigjepaError(f"token_smooth_l1.beta is {beta}; give a positive number.")
        self.beta = beta
        self.weight = weight

    def forward(self, prediction: Prediction, batch: Batch, progress: Progress) -> LossTerm:
        """Return the term on one batch; raises SigjepaError when student or data bring no token states."""
        if batch.body_states is None or batch.body_mask is None:
            raise SigjepaError("The token_smooth_l1 loss needs the bodies' token states: data.body_states=true.")
        if prediction.states is None:
            raise SigjepaError("The token_smooth_l1 loss needs a student that predicts tokens: model=token_predictor.")
        value = summed_smooth_l1(prediction.states, batch.body_states, batch.body_mask, self.beta)
        tokens, _ = gather_rows(batch.body_mask.sum()[None])
        return LossTerm(value * world_size() / tokens.sum().clamp(min=1))
