"""A student: one hidden layer on the mean of the signature's states."""

from torch import Tensor, nn

from sigjepa import Prediction


class MeanStudent(nn.Module):
    """Predict the body's embedding from the mean signature state."""

    def __init__(self, teacher_dim: int, width: int = 64, dropout: float = 0.0) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(teacher_dim, width), nn.GELU(), nn.Dropout(dropout), nn.Linear(width, teacher_dim)
        )

    def forward(self, signature_states: Tensor, signature_mask: Tensor, body_positions: int = 0) -> Prediction:
        """Predict from `[B, S, D]` and `[B, S]`."""
        mask = signature_mask.unsqueeze(-1)
        means = (signature_states.float() * mask).sum(1) / mask.sum(1).clamp(min=1)
        return Prediction(self.layers(means))
