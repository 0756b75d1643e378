"""LexicalPredictor: a student whose score sums parts, over words, names and vectors."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from sigjepa.data.batch import Halves, Terms
from sigjepa.data.views import View, Views
from sigjepa.errors import SigjepaError
from sigjepa.models.lexical.part import Part
from sigjepa.models.prediction import Prediction


class LexicalPredictor(nn.Module):
    """Predict views of the body from the words, the parameters and the embedding of the signature.

    parts: summands of the score by name; None leaves one out. One that needs `teacher_dim` comes as a partial.
    teacher_dim: D, of the embeddings.

    Raises SigjepaError when no part is left.
    """

    needs: Sequence[str] = ("lexicon",)
    reads: Sequence[str] = ("signature_pooled", "signature_terms")
    fitted: Tensor

    def __init__(self, parts: Mapping[str, nn.Module | partial[nn.Module] | None], teacher_dim: int) -> None:
        super().__init__()
        self.parts = nn.ModuleDict()
        for name, part in parts.items():
            if part is not None:
                self.parts[name] = part(teacher_dim=teacher_dim) if isinstance(part, partial) else part
        if not self.parts:
            raise SigjepaError("model.parts has no part: leave at least one of them on.")
        self.register_buffer("fitted", torch.tensor(False))

    def fit(self, train: Halves) -> None:
        """Fit the parts on train, once: a checkpoint brings what was fitted."""
        if not self.fitted:
            for part in self.parts.values():
                cast(Part, part).fit(train)
            self.fitted.fill_(True)

    def forward(self, signature_pooled: Tensor, signature_terms: Terms) -> Prediction:
        """Predict from `[B, D]` and the signatures' terms, in full precision whatever autocast says.

        Without a part that predicts a vector, `pooled` is the signature's own: figures of it are those of zero-shot.
        Raises SigjepaError for two parts with a view of one name.
        """
        views: dict[str, View] = {}
        with torch.autocast(signature_pooled.device.type, enabled=False):
            for name, part in self.parts.items():
                _add(views, name, cast(Part, part).signature_views(signature_pooled, signature_terms))
        pooled = views["pooled"].vectors if "pooled" in views else signature_pooled
        return Prediction(cast(Tensor, pooled), views=views)

    def body_views(self, body_pooled: Tensor, body_terms: Terms) -> Views:
        """Return the views of bodies from `[C, D]` and their terms, in full precision whatever autocast says."""
        views: dict[str, View] = {}
        with torch.autocast(body_pooled.device.type, enabled=False):
            for name, part in self.parts.items():
                _add(views, name, cast(Part, part).body_views(body_pooled, body_terms))
        return views


def _add(views: dict[str, View], part: str, more: Views) -> None:
    """Add the views of one part; raises SigjepaError where another part has a view of that name."""
    for name, view in more.items():
        if name in views:
            raise SigjepaError(
                f"model.parts.{part} has a view '{name}', and so has a part before it, which would not count in the "
                "score: give one of the views another name, or leave one of the parts out."
            )
        views[name] = view
