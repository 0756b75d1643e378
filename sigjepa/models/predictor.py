"""SigPredictor: from the teacher's signature states to the body's embedding."""

from typing import ClassVar

from torch import Tensor, nn

from sigjepa.models.prediction import Prediction


def masked_mean(states: Tensor, mask: Tensor) -> Tensor:
    """Return the mean `[B, H]` over real tokens of `[B, S, H]` under mask `[B, S]`; zeros for a row without any."""
    weights = mask.unsqueeze(-1).to(states.dtype)
    return (states * weights).sum(1) / weights.sum(1).clamp(min=1)


class SignatureEncoder(nn.Module):
    """Project signature states `[B, S, D]` to `[B, S, H]` and let them attend to each other.

    The teacher's states already know their positions, so none are added.
    """

    def __init__(
        self, teacher_dim: int, hidden_dim: int, layers: int, heads: int, feedforward_dim: int, dropout: float
    ) -> None:
        super().__init__()
        self.input = nn.Linear(teacher_dim, hidden_dim)
        layer = nn.TransformerEncoderLayer(
            hidden_dim, heads, feedforward_dim, dropout, activation="gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, layers, norm=nn.LayerNorm(hidden_dim), enable_nested_tensor=False)

    def forward(self, signature_states: Tensor, signature_mask: Tensor) -> Tensor:
        """Return contextual states `[B, S, H]`; padded positions hold numbers that must not be read."""
        hidden = self.input(signature_states.to(self.input.weight.dtype))
        return self.layers(hidden, src_key_padding_mask=~signature_mask)


class SigPredictor(nn.Module):
    """Predict the teacher's pooled body embedding from its signature states.

    The published student: `2048 -> 512`, 2 pre-norm transformer layers (8 heads, FFN 2048), `512 -> 2048`, 8.4 M
    parameters (Exp 1.4).
    """

    capturable: ClassVar[bool] = True

    def __init__(
        self,
        teacher_dim: int = 2048,
        hidden_dim: int = 512,
        layers: int = 2,
        heads: int = 8,
        feedforward_dim: int = 2048,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.encoder = SignatureEncoder(teacher_dim, hidden_dim, layers, heads, feedforward_dim, dropout)
        self.output = nn.Linear(hidden_dim, teacher_dim)

    def forward(self, signature_states: Tensor, signature_mask: Tensor, body_positions: int = 0) -> Prediction:
        """Predict from `[B, S, D]` and `[B, S]`; this student predicts no tokens, whatever `body_positions`."""
        hidden = self.encoder(signature_states, signature_mask)
        return Prediction(pooled=self.output(masked_mean(hidden, signature_mask)))
