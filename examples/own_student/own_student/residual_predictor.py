"""ResidualPredictor: a transformer adds to the vectors that a LexicalPredictor predicts."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import ClassVar

from torch import Tensor, nn

from sigjepa import Prediction, SigjepaError, TokenPredictor
from sigjepa.data.batch import Halves, Terms
from sigjepa.data.views import View, Views
from sigjepa.models.lexical_predictor import LexicalPredictor


class ResidualPredictor(nn.Module):
    """Predict the views of a `LexicalPredictor`, its vectors plus a transformer's output, which is 0 at first.

    The teacher's whitened vector of the signature is kept, and the transformer over its token states learns what the
    body's differs by.

    parts: of the `LexicalPredictor`; `vectors` must be on. transformer: a `TokenPredictor` but for its `teacher_dim`.
    teacher_dim: D, of the embeddings. scale: of the transformer's output, beside that of `vectors`. lr_scale: its rate
    as a share of the optimizer's.

    Raises SigjepaError when `vectors` is off.
    """

    gives: ClassVar[Sequence[str]] = ("token_predictions",)
    needs: ClassVar[Sequence[str]] = ("lexicon",)
    reads: ClassVar[Sequence[str]] = (
        "signature_pooled",
        "signature_terms",
        "signature_states",
        "signature_mask",
        "body_positions",
    )

    def __init__(
        self,
        parts: Mapping[str, nn.Module | partial[nn.Module] | None],
        transformer: partial[TokenPredictor],
        teacher_dim: int,
        scale: float = 20.0,
        lr_scale: float = 0.01,
    ) -> None:
        super().__init__()
        if parts.get("vectors") is None:
            raise SigjepaError("model.parts.vectors is null: the transformer adds to these vectors, so leave them on.")
        self.lexical = LexicalPredictor(parts, teacher_dim)
        self.transformer = transformer(teacher_dim=teacher_dim)
        nn.init.zeros_(self.transformer.output.weight)
        nn.init.zeros_(self.transformer.output.bias)
        self.transformer.lr_scale = lr_scale
        self.scale = scale

    def fit(self, train: Halves) -> None:
        """Fit the parts on train, once: a checkpoint brings what was fitted."""
        self.lexical.fit(train)

    def forward(
        self,
        signature_pooled: Tensor,
        signature_terms: Terms,
        signature_states: Tensor,
        signature_mask: Tensor,
        body_positions: int = 0,
    ) -> Prediction:
        """Predict from `[B, D]`, terms, `[B, S, D]` and `[B, S]`, and token states where positions are asked for."""
        prediction = self.lexical(signature_pooled, signature_terms)
        residual = self.transformer(signature_states, signature_mask, body_positions)
        vectors = prediction.views["pooled"].vectors + self.scale * residual.pooled
        views = {**prediction.views, "pooled": View(vectors)}
        return Prediction(vectors, residual.states, views=views)

    def body_views(self, body_pooled: Tensor, body_terms: Terms) -> Views:
        """Return the views of bodies from `[C, D]` and their terms; the transformer sees no body."""
        return self.lexical.body_views(body_pooled, body_terms)
