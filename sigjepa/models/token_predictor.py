"""The token-level student of Exp 2.2: the body's embedding, and its teacher state at every position."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from sigjepa.errors import SigjepaError
from sigjepa.models.prediction import Prediction
from sigjepa.models.predictor import SignatureEncoder, masked_mean


class CrossAttentionLayer(nn.Module):
    """Pre-norm layer in which queries `[B, T, H]` read a context `[B, S, H]` and never each other.

    Queries that attended to each other would let a prediction depend on how many there are, which is the body's
    length.
    """

    def __init__(self, hidden_dim: int, heads: int, feedforward_dim: int, dropout: float) -> None:
        super().__init__()
        self.query_norm = nn.LayerNorm(hidden_dim)
        self.attention = nn.MultiheadAttention(hidden_dim, heads, dropout, batch_first=True)
        self.feedforward = nn.Sequential(
            nn.LayerNorm(hidden_dim),
            nn.Linear(hidden_dim, feedforward_dim),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(feedforward_dim, hidden_dim),
            nn.Dropout(dropout),
        )

    def forward(self, queries: Tensor, context: Tensor, context_mask: Tensor) -> Tensor:
        """Return updated queries `[B, T, H]`; `context_mask` is `[B, S]`, True = token."""
        attended, _ = self.attention(
            self.query_norm(queries), context, context, key_padding_mask=~context_mask, need_weights=False
        )
        queries = queries + attended
        return queries + self.feedforward(queries)


class TokenPredictor(nn.Module):
    """Predict the pooled body embedding and the layer-normalized teacher state at each body position.

    I-JEPA style (https://arxiv.org/abs/2301.08243): one learned mask token with a position per body token attends to
    the encoded signature. token_layers: cross-attention layers; max_body_tokens: positions that exist.
    """

    capturable: ClassVar[bool] = True
    gives: ClassVar[Sequence[str]] = ("token_predictions",)

    def __init__(
        self,
        teacher_dim: int = 2048,
        hidden_dim: int = 512,
        layers: int = 2,
        heads: int = 8,
        feedforward_dim: int = 2048,
        dropout: float = 0.1,
        token_layers: int = 1,
        max_body_tokens: int = 512,
    ) -> None:
        super().__init__()
        self.encoder = SignatureEncoder(teacher_dim, hidden_dim, layers, heads, feedforward_dim, dropout)
        self.output = nn.Linear(hidden_dim, teacher_dim)
        self.mask_token = nn.Parameter(torch.randn(hidden_dim) * 0.02)
        self.positions = nn.Embedding(max_body_tokens, hidden_dim)
        nn.init.normal_(self.positions.weight, std=0.02)
        self.token_layers = nn.ModuleList(
            CrossAttentionLayer(hidden_dim, heads, feedforward_dim, dropout) for _ in range(token_layers)
        )
        self.token_output = nn.Sequential(nn.LayerNorm(hidden_dim), nn.Linear(hidden_dim, teacher_dim))

    def forward(self, signature_states: Tensor, signature_mask: Tensor, body_positions: int = 0) -> Prediction:
        """Predict from `[B, S, D]` and `[B, S]`; the first `body_positions` positions when it is not 0.

        Raises SigjepaError when more positions are asked for than exist.
        """
        context = self.encoder(signature_states, signature_mask)
        pooled = self.output(masked_mean(context, signature_mask))
        if body_positions == 0:
            return Prediction(pooled)
        if body_positions > self.positions.num_embeddings:
            raise SigjepaError(
                f"A body has {body_positions} token states but model.max_body_tokens is "
                f"{self.positions.num_embeddings}; raise it, or lower teacher.max_body_tokens."
            )
        queries = self.mask_token + self.positions.weight[:body_positions]
        queries = queries.expand(len(context), -1, -1)
        for layer in self.token_layers:
            queries = layer(queries, context, signature_mask)
        return Prediction(pooled, self.token_output(queries))
